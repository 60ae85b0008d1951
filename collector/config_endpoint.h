/* config_endpoint.h - where an engine is: URLs (config_url.c), docker contexts
 * (config_context.c), DOCKER_HOST (config_environment.c).  Private to the
 * configuration. */
#ifndef DCM_CONFIG_ENDPOINT_H
#define DCM_CONFIG_ENDPOINT_H

#include "config.h"

enum { ENDPOINT_ERR = 512 };

/* Each returns 0, or -1 with a clause "what is wrong; expected …" in
 * err[ENDPOINT_ERR].  *out must be zeroed, and is to be cleared after either. */

/* A URL: unix:// tcp:// http:// https:// ssh://.  Pure.  A relative path of
 * unix:// is left relative. */
int endpoint_from_url(struct endpoint *out, const char *url, char *err);
/* A docker context by its name, as the docker command would find it. */
int endpoint_from_context(struct endpoint *out, const char *name, char *err);
/* What the docker command would reach here: DOCKER_HOST (DOCKER_TLS_VERIFY,
 * DOCKER_CERT_PATH), DOCKER_CONTEXT, currentContext, /var/run/docker.sock.
 * *says gets a text, to be freed, that names the source (NULL: no memory). */
int endpoint_from_environment(struct endpoint *out, char **says, char *err);

/* The docker context "default": DOCKER_HOST, or what stands for it, with the TLS of
 * the environment. */
int endpoint_of_default(struct endpoint *out, char *err);
/* Gives a TCP endpoint the ca.pem, cert.pem and key.pem of `dir`; with any of them, or
 * where `demanded`, it becomes one of TLS.  false: there is no ca.pem.  Other kinds
 * are left as they are, and that is true. */
bool endpoint_add_tls(struct endpoint *e, const char *dir, bool demanded, bool verify);

/* ~/.docker, or what DOCKER_CONFIG says; to be freed; NULL: there is none. */
char *docker_directory(void);
/* The context that config.json names; to be freed; NULL: none. */
char *docker_current_context(void);

/* May s stand as a host name or user (on ssh's command line, too)? */
bool endpoint_name_ok(const char *s);
/* One that may be a host's; with a ':' it must be an IPv6 address. */
bool endpoint_host_ok(const char *s);
/* Is the path of a unix socket short enough for connect()? */
bool endpoint_socket_fits(const char *path);
void endpoint_clear(struct endpoint *e);

#endif
