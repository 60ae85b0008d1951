/*
 * config.h - hosts.yml: what it says, checked, with every default filled in.
 *
 * Parsing takes bytes and gives a struct or a list of errors; it reads the
 * environment (${VAR}, HOME), looks whether the files named exist, and reads
 * docker contexts, and nothing else.  Reading the file itself, and what counts
 * where there is none, is config_load().
 */
#ifndef DCM_CONFIG_H
#define DCM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum environment_mode { ENV_REDACT, ENV_FULL, ENV_NAMES, ENV_NONE };
enum ssh_backend { SSH_AUTO, SSH_LIBSSH2, SSH_OPENSSH };

struct cache_config {
	double stats_ttl, status_ttl, config_ttl, compose_ttl;
	double stats_update, status_update, config_update;
	double memory_retention, disk_retention;
	double memory_cleanup_interval, disk_cleanup_interval;
	unsigned stats_concurrency; /* 0: auto */
	unsigned inspect_concurrency;
	unsigned event_debounce_ms;
	unsigned log_tail_lines;
	double connect_timeout, request_timeout;
	uint64_t shard_limit;
	enum environment_mode environment;
	char **redact; /* upper case words */
	size_t n_redact;
};

/* Where an engine is.  What is NULL or 0 was not given. */
struct endpoint {
	enum { ENDPOINT_UNIX, ENDPOINT_TCP, ENDPOINT_TLS, ENDPOINT_SSH } kind;
	char *path;		  /* UNIX: the socket; SSH: the remote socket, or NULL */
	char *hostname;		  /* TCP, TLS, SSH */
	char *user;		  /* SSH */
	unsigned port;		  /* TCP: 2375, TLS: 2376; SSH: 0 = ssh_config's, else 22 */
	char *ca, *cert, *key;	  /* TLS: absolute paths, or NULL */
	bool verify;		  /* TLS */
	/* SSH */
	char *identity_file, *known_hosts, *ssh_config;
	enum ssh_backend backend;
};

struct host_config {
	char *id, *description;
	char **tags;
	size_t n_tags;
	char *compose_path, *appdata_path;
	bool enabled, stats;
	enum environment_mode environment; /* the host's own, else cache's */
	struct endpoint at;
};

struct config {
	struct cache_config cache;
	struct host_config *hosts; /* in order of id */
	size_t n_hosts;
	char *source;		   /* the file, or "no file: the engine that … names" */
	char **warnings;	   /* whole sentences with file:line:column */
	size_t n_warnings;
};

/* Each error is one whole line: "file:line:column: what is wrong; expected …". */
struct config_errors {
	char **v;
	size_t n;
};
void config_errors_free(struct config_errors *e);

/* Parses text as if it were `path` (for messages, and as the base of relative
 * paths).  Returns 0, or -1 with at least one error in e. */
int config_parse(struct config *out, const char *path, const char *text, size_t len,
		 struct config_errors *e);
/* Reads `path`; NULL: the default file, and where there is none the one host
 * `local`.  0 or -1. */
int config_load(struct config *out, const char *path, struct config_errors *e);
void config_free(struct config *c);

/* The host of that id, or NULL. */
const struct host_config *config_host(const struct config *c, const char *id);
/* The endpoint as a URL, for messages. */
void config_endpoint_text(const struct endpoint *e, char *buf, size_t len);

/* Would a running collector of `a` notice that it became `b`? */
bool config_host_equal(const struct host_config *a, const struct cache_config *ca,
		       const struct host_config *b, const struct cache_config *cb);

#endif
