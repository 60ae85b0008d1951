/*
 * config_context.c - docker contexts: where one leads to, with its TLS material.
 *
 * A context's directory is named by the SHA-256 of its name; the metadata says
 * the name as well, so the directories are looked through instead of computing
 * a digest.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_endpoint.h"
#include "config_expand.h"
#include "config_file.h"
#include "decode_context.h"

enum {
	DOCKER_FILE_MAX = 1 << 20,
	CONTEXTS_MAX = 4096, /* directories looked through */
};

char *docker_directory(void)
{
	const char *set = getenv("DOCKER_CONFIG"), *home;
	char *dir;

	if (set && *set)
		return strdup(set);
	home = config_home();
	if (!home || asprintf(&dir, "%s/.docker", home) < 0)
		return NULL;
	return dir;
}

static char *path_if_exists(const char *dir, const char *file)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, file) < 0)
		return NULL;
	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return NULL;
}

bool endpoint_add_tls(struct endpoint *e, const char *dir, bool demanded, bool verify)
{
	char *ca, *cert, *key;

	if (e->kind != ENDPOINT_TCP && e->kind != ENDPOINT_TLS)
		return true;
	ca = path_if_exists(dir, "ca.pem");
	cert = path_if_exists(dir, "cert.pem");
	key = path_if_exists(dir, "key.pem");
	if (!cert || !key) { /* docker, too, shows a certificate only where both are */
		free(cert);
		free(key);
		cert = key = NULL;
	}
	if (demanded || ca || cert) {
		e->kind = ENDPOINT_TLS;
		e->verify = verify;
	}
	e->ca = ca;
	e->cert = cert;
	e->key = key;
	return ca != NULL;
}

/* Reads one meta.json; true where it is the context `name`. */
static bool context_here(const char *dir, const char *entry, const char *name,
			 struct docker_context *out)
{
	char *path, *text;
	size_t len;
	bool found = false;
	int rc;

	if (asprintf(&path, "%s/contexts/meta/%s/meta.json", dir, entry) < 0)
		return false;
	rc = config_read_file(path, DOCKER_FILE_MAX, &text, &len);
	free(path);
	if (rc < 0)
		return false;
	if (decode_context(text, len, out) == 0) {
		found = !strcmp(out->name, name);
		if (!found) {
			free(out->name);
			free(out->host);
		}
	}
	free(text);
	return found;
}

/* Looks a context up; its directory's name goes to tls_dir as a whole path. */
static bool find_context(const char *dir, const char *name, struct docker_context *out,
			 char **tls_dir)
{
	struct dirent *e;
	bool found = false;
	char *meta;
	DIR *d;

	if (asprintf(&meta, "%s/contexts/meta", dir) < 0)
		return false;
	d = opendir(meta);
	free(meta);
	if (!d)
		return false;
	for (int i = 0; !found && i < CONTEXTS_MAX && (e = readdir(d)); i++) {
		if (e->d_name[0] == '.' || !context_here(dir, e->d_name, name, out))
			continue;
		found = true;
		if (asprintf(tls_dir, "%s/contexts/tls/%s/docker", dir, e->d_name) < 0)
			*tls_dir = NULL;
	}
	closedir(d);
	return found;
}

int endpoint_from_context(struct endpoint *out, const char *name, char *err)
{
	struct docker_context found;
	char *dir, *tls_dir = NULL;
	int rc;

	if (!strcmp(name, "default"))
		return endpoint_of_default(out, err);
	dir = docker_directory();
	if (!dir || !find_context(dir, name, &found, &tls_dir)) {
		snprintf(err, ENDPOINT_ERR,
			 "there is no docker context \"%.100s\" in %.200s; expected one that "
			 "`docker context ls` shows",
			 name, dir ? dir : "~/.docker");
		free(dir);
		return -1;
	}
	if (found.host) {
		rc = endpoint_from_url(out, found.host, err);
	} else {
		snprintf(err, ENDPOINT_ERR, "the docker context \"%.100s\" has no docker endpoint; "
			 "expected one with a host", name);
		rc = -1;
	}
	if (rc == 0 && tls_dir)
		endpoint_add_tls(out, tls_dir, found.skip_tls_verify, !found.skip_tls_verify);
	free(found.name);
	free(found.host);
	free(tls_dir);
	free(dir);
	return rc;
}

char *docker_current_context(void)
{
	char *dir = docker_directory(), *path = NULL, *text, *name = NULL;
	size_t len;

	if (!dir || asprintf(&path, "%s/config.json", dir) < 0)
		path = NULL;
	if (path && config_read_file(path, DOCKER_FILE_MAX, &text, &len) == 0) {
		/* The docker command, too, goes on without a config.json that it
		 * cannot read. */
		decode_docker_config(text, len, &name);
		free(text);
	}
	free(path);
	free(dir);
	if (name && !*name) {
		free(name);
		name = NULL;
	}
	return name;
}
