/*
 * config_environment.c - where the docker command of this user would go, by its own
 * rules (docker/cli: opts/hosts.go, cli/command/cli.go): DOCKER_HOST, then
 * DOCKER_CONTEXT, then currentContext of config.json.  The context "default" is
 * DOCKER_HOST or what stands for it, with the TLS that DOCKER_TLS_VERIFY (or
 * DOCKER_TLS, which does not verify) and DOCKER_CERT_PATH ask for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_endpoint.h"

#define DEFAULT_SOCKET "unix:///var/run/docker.sock"
#define DEFAULT_TLS "tcp://localhost:2376"

static const char blanks[] = " \t\r\n";

/* The variable's value; NULL where it is not set, or empty. */
static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static bool tls_demanded(void)
{
	return variable("DOCKER_TLS_VERIFY") || variable("DOCKER_TLS");
}

/* HOST, HOST:PORT, :PORT or nothing, as tcp://HOST:PORT; to be freed. */
static char *tcp_url(const char *s)
{
	const char *colon = strchr(s, ':');
	bool bare_v6 = *s != '[' && colon && strchr(colon + 1, ':');
	size_t len = strlen(s);
	char *url;

	if (!bare_v6 && len && s[len - 1] == ':')
		len--; /* an empty port is the default one */
	if (asprintf(&url, "tcp://%s%s%.*s%s", bare_v6 ? "[" : "",
		     (!len || *s == ':') && !bare_v6 ? "localhost" : "", (int)len, s,
		     bare_v6 ? "]" : "") < 0)
		return NULL;
	return url;
}

/* The forms of DOCKER_HOST as a URL; to be freed, NULL: no memory. */
static char *docker_host_url(const char *value)
{
	char *text, *url;

	value += strspn(value, blanks);
	text = strdup(value);
	if (!text)
		return NULL;
	for (size_t len = strlen(text); len && strchr(blanks, text[len - 1]); len--)
		text[len - 1] = 0;
	if (!*text) {
		url = strdup(tls_demanded() ? DEFAULT_TLS : DEFAULT_SOCKET);
	} else if (!strncmp(text, "tcp://", 6)) {
		url = tcp_url(text + 6);
	} else if (!strcmp(text, "unix://")) {
		url = strdup(DEFAULT_SOCKET);
	} else if (strstr(text, "://")) {
		return text;
	} else if (*text == '/' || !strncmp(text, "./", 2)) {
		if (asprintf(&url, "unix://%s", text) < 0)
			url = NULL;
	} else {
		url = tcp_url(text);
	}
	free(text);
	return url;
}

/* The TLS that the environment asks for; it is nothing to sockets and ssh. */
static int add_tls(struct endpoint *out, char *err)
{
	const char *certs = variable("DOCKER_CERT_PATH");
	char *dir = certs ? strdup(certs) : docker_directory();
	bool has_ca;

	has_ca = endpoint_add_tls(out, dir ? dir : "", true, variable("DOCKER_TLS_VERIFY") != NULL);
	if (!has_ca)
		snprintf(err, ENDPOINT_ERR,
			 "%s is set, and there is no ca.pem in %.300s; expected it there, or in "
			 "the directory that DOCKER_CERT_PATH names",
			 variable("DOCKER_TLS_VERIFY") ? "DOCKER_TLS_VERIFY" : "DOCKER_TLS",
			 dir ? dir : "~/.docker");
	free(dir);
	return has_ca ? 0 : -1;
}

int endpoint_of_default(struct endpoint *out, char *err)
{
	const char *value = variable("DOCKER_HOST");
	char *url = docker_host_url(value ? value : "");
	int rc = -1;

	if (!url)
		snprintf(err, ENDPOINT_ERR, "no memory to read DOCKER_HOST");
	else
		rc = endpoint_from_url(out, url, err);
	if (rc == 0 && tls_demanded())
		rc = add_tls(out, err);
	free(url);
	return rc;
}

int endpoint_from_environment(struct endpoint *out, char **says, char *err)
{
	const char *host = variable("DOCKER_HOST"), *set = variable("DOCKER_CONTEXT"), *by = "";
	char *name = NULL, clause[ENDPOINT_ERR], url[ENDPOINT_ERR];
	int rc;

	*says = NULL;
	if (!host)
		name = set ? strdup(set) : docker_current_context();
	if (name && strcmp(name, "default") != 0) {
		by = set ? "DOCKER_CONTEXT" : "currentContext";
		rc = endpoint_from_context(out, name, clause);
		if (asprintf(says, "no file: the engine of the docker context \"%s\" (%s)", name,
			     by) < 0)
			*says = NULL;
	} else {
		by = host ? "DOCKER_HOST" : "";
		rc = endpoint_of_default(out, clause);
		config_endpoint_text(out, url, sizeof(url));
		if (asprintf(says, "no file: the engine %s%s", host ? "" : "at ",
			     host ? "that DOCKER_HOST names" : url) < 0)
			*says = NULL;
	}
	if (rc < 0)
		snprintf(err, ENDPOINT_ERR, "%s%s%.480s", by, *by ? ": " : "", clause);
	free(name);
	return rc;
}
