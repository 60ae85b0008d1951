/*
 * config_context.c - where the docker command of this user would go: docker
 * contexts and the DOCKER_… variables, by docker's own precedence (DOCKER_HOST,
 * then DOCKER_CONTEXT, then currentContext of config.json).
 *
 * A context's directory is named by the SHA-256 of its name; the metadata says
 * the name as well, so the directories are looked through instead of computing
 * a digest.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_endpoint.h"
#include "config_expand.h"
#include "config_file.h"
#include "decode_context.h"

enum {
	DOCKER_FILE_MAX = 1 << 20,
	CONTEXTS_MAX = 4096, /* directories looked through */
};

#define DEFAULT_SOCKET "/var/run/docker.sock"

/* ~/.docker, or what DOCKER_CONFIG says; to be freed; NULL: there is none. */
static char *docker_dir(void)
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

static void set_if_exists(char **to, const char *dir, const char *file)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, file) < 0)
		return;
	if (access(path, F_OK) == 0) {
		free(*to);
		*to = path;
	} else {
		free(path);
	}
}

/* Turns a TCP endpoint to TLS where there is material in `dir`, or where that
 * was asked for. */
static void add_tls(struct endpoint *e, const char *dir, bool demanded, bool verify)
{
	if (e->kind != ENDPOINT_TCP && e->kind != ENDPOINT_TLS)
		return;
	set_if_exists(&e->ca, dir, "ca.pem");
	set_if_exists(&e->cert, dir, "cert.pem");
	set_if_exists(&e->key, dir, "key.pem");
	if (!demanded && !e->ca && !e->cert && e->kind == ENDPOINT_TCP)
		return;
	if (e->kind == ENDPOINT_TCP && e->port == 2375 && demanded)
		e->port = 2376;
	e->kind = ENDPOINT_TLS;
	e->verify = verify;
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

static int default_socket(struct endpoint *out, char *err)
{
	return endpoint_from_url(out, "unix://" DEFAULT_SOCKET, err);
}

static int from_docker_host(struct endpoint *out, const char *url, char *err)
{
	const char *verify = getenv("DOCKER_TLS_VERIFY"), *certs = getenv("DOCKER_CERT_PATH");
	char *dir = NULL;

	if (endpoint_from_url(out, url, err) < 0)
		return -1;
	if (!verify || !*verify)
		return 0;
	dir = certs && *certs ? strdup(certs) : docker_dir();
	if (dir)
		add_tls(out, dir, true, true);
	free(dir);
	return 0;
}

int endpoint_from_context(struct endpoint *out, const char *name, char *err)
{
	struct docker_context found;
	char *dir, *tls_dir = NULL;
	int rc;

	if (!strcmp(name, "default")) {
		const char *url = getenv("DOCKER_HOST");

		return url && *url ? from_docker_host(out, url, err) : default_socket(out, err);
	}
	dir = docker_dir();
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
		add_tls(out, tls_dir, found.skip_tls_verify, !found.skip_tls_verify);
	free(found.name);
	free(found.host);
	free(tls_dir);
	free(dir);
	return rc;
}

/* The context that DOCKER_CONTEXT or config.json names; NULL: none. */
static char *current_context(const char **by)
{
	const char *set = getenv("DOCKER_CONTEXT");
	char *dir, *path = NULL, *text, *name = NULL;
	size_t len;

	if (set && *set) {
		*by = "DOCKER_CONTEXT";
		return strdup(set);
	}
	*by = "currentContext";
	dir = docker_dir();
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

int endpoint_from_environment(struct endpoint *out, char **says, char *err)
{
	const char *url = getenv("DOCKER_HOST"), *by;
	char *name, clause[ENDPOINT_ERR];
	int rc;

	*says = NULL;
	if (url && *url) {
		*says = strdup("no file: the engine that DOCKER_HOST names");
		rc = from_docker_host(out, url, clause);
		if (rc < 0)
			snprintf(err, ENDPOINT_ERR, "DOCKER_HOST: %.480s", clause);
		return rc;
	}
	name = current_context(&by);
	if (!name || !strcmp(name, "default")) {
		free(name);
		*says = strdup("no file: the engine at " DEFAULT_SOCKET);
		return default_socket(out, err);
	}
	if (asprintf(says, "no file: the engine of the docker context \"%s\" (%s)", name, by) < 0)
		*says = NULL;
	rc = endpoint_from_context(out, name, clause);
	if (rc < 0)
		snprintf(err, ENDPOINT_ERR, "%s: %.460s", by, clause);
	free(name);
	return rc;
}
