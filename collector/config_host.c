/*
 * config_host.c - one entry of `hosts:` to a struct host_config: its keys, and
 * which of docker_context, url and hostname says where the engine is.
 */
#include "config_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/names.h"
#include "config_endpoint.h"
#include "config_expand.h"

const char *const config_environment_words[] = {"redact", "full", "names", "none", NULL};

enum { ENVIRONMENT_NOT_GIVEN = -1 };

/* What the document says, before it is decided which of it counts. */
struct raw {
	struct host_config h;
	int environment, backend;
	unsigned port;
	char *hostname, *user, *url, *context;
	char *identity_file, *ssh_config, *known_hosts;
	const struct ynode *tls_node;
};

struct raw_tls {
	char *ca, *cert, *key;
	bool verify;
};

static const char *const backend_words[] = {"auto", "libssh2", "openssh", NULL};

#define AT(member) offsetof(struct raw, member)
static const struct key host_keys[] = {
	{"hostname", KEY_STR, AT(hostname), 0, 0, NULL},
	{"user", KEY_STR, AT(user), 0, 0, NULL},
	{"port", KEY_UINT, AT(port), 1, 65535, NULL},
	{"identity_file", KEY_FILE, AT(identity_file), 0, 0, NULL},
	{"description", KEY_STR, AT(h.description), 0, 0, NULL},
	{"tags", KEY_STRS, AT(h.tags), 0, 0, NULL},
	{"compose_path", KEY_STR, AT(h.compose_path), 0, 0, NULL},
	{"appdata_path", KEY_STR, AT(h.appdata_path), 0, 0, NULL},
	{"docker_context", KEY_STR, AT(context), 0, 0, NULL},
	{"ssh_backend", KEY_WORD, AT(backend), 0, 0, backend_words},
	{"ssh_config", KEY_FILE, AT(ssh_config), 0, 0, NULL},
	{"known_hosts", KEY_FILE, AT(known_hosts), 0, 0, NULL},
	{"enabled", KEY_BOOL, AT(h.enabled), 0, 0, NULL},
	{"url", KEY_STR, AT(url), 0, 0, NULL},
	{"tls", KEY_NODE, AT(tls_node), 0, 0, NULL},
	{"stats", KEY_BOOL, AT(h.stats), 0, 0, NULL},
	{"environment", KEY_WORD, AT(environment), 0, 0, config_environment_words},
	{"zfs_capable", KEY_LEGACY, 0, 0, 0, NULL},
	{"zfs_dataset", KEY_LEGACY, 0, 0, 0, NULL},
};

#define TLS_AT(member) offsetof(struct raw_tls, member)
static const struct key tls_keys[] = {
	{"ca", KEY_FILE, TLS_AT(ca), 0, 0, NULL},
	{"cert", KEY_FILE, TLS_AT(cert), 0, 0, NULL},
	{"key", KEY_FILE, TLS_AT(key), 0, 0, NULL},
	{"verify", KEY_BOOL, TLS_AT(verify), 0, 0, NULL},
};

void config_host_clear(struct host_config *h)
{
	free(h->id);
	free(h->description);
	for (size_t i = 0; i < h->n_tags; i++)
		free(h->tags[i]);
	free(h->tags);
	free(h->compose_path);
	free(h->appdata_path);
	endpoint_clear(&h->at);
	memset(h, 0, sizeof(*h));
}

/* Gives *from to *to, where there is something to give. */
static void move(char **to, char **from)
{
	if (!*from)
		return;
	free(*to);
	*to = *from;
	*from = NULL;
}

static void check_tls(struct checker *c, const struct raw *r, struct endpoint *at)
{
	struct raw_tls tls = {.verify = true};
	const struct ynode *node = r->tls_node;
	struct pairs p;

	if (!node || ynode_type(node) == YT_NULL)
		return;
	if (node->kind != Y_MAP) {
		check_error(c, node, "tls is %s; expected a map of ca, cert, key, verify",
			    ytype_name(ynode_type(node)));
		return;
	}
	if (check_pairs(c, node, "tls", &p) < 0)
		return;
	check_map(c, &p, "tls", tls_keys, sizeof(tls_keys) / sizeof(*tls_keys), &tls);
	if (!pairs_find(&p, "cert") != !pairs_find(&p, "key"))
		check_error(c, node, "tls has only one of cert and key; expected both, or neither");
	if (r->context || (at->kind != ENDPOINT_TCP && at->kind != ENDPOINT_TLS)) {
		check_warn(c, node, "tls is not used: it belongs to a tcp:// or https:// url");
	} else {
		if (at->kind == ENDPOINT_TCP && r->url && !strncmp(r->url, "http://", 7))
			check_error(c, node, "tls with http://; expected https:// or tcp://");
		at->kind = ENDPOINT_TLS;
		at->verify = tls.verify;
		move(&at->ca, &tls.ca);
		move(&at->cert, &tls.cert);
		move(&at->key, &tls.key);
	}
	free(tls.ca);
	free(tls.cert);
	free(tls.key);
	free(p.v);
}

#define SIGNS "spaces, quotes, slashes or signs of the shell"

/* unix://~/x and unix://x mean what they would mean as a path. */
static void settle_socket(struct checker *c, const struct ynode *url, struct endpoint *at)
{
	const char *home = at->path[0] == '~' && at->path[1] == '/' ? config_home() : NULL;
	char *path;

	if (!home)
		path = check_path(c, at->path);
	else if (asprintf(&path, "%s%s", home, at->path + 1) < 0)
		path = NULL;
	if (path) {
		free(at->path);
		at->path = path;
	}
	if (!endpoint_socket_fits(at->path))
		check_error(c, url,
			    "url: the whole path of the socket is longer than the 107 bytes of a "
			    "socket's path; expected a shorter one");
}

static void check_names(struct checker *c, const struct pairs *p, const struct raw *r)
{
	if (r->hostname && !endpoint_host_ok(r->hostname))
		check_error(c, pairs_find(p, "hostname")->value,
			    "hostname is \"%.80s\"; expected a name or an address without " SIGNS
			    ", that begins with no '-' (a port goes to `port`)",
			    r->hostname);
	if (r->user && !endpoint_name_ok(r->user))
		check_error(c, pairs_find(p, "user")->value,
			    "user is \"%.80s\"; expected a name without " SIGNS
			    ", that begins with no '-'",
			    r->user);
}

/* Was the key given with something in it? */
static bool given(const struct pairs *p, const char *key)
{
	const struct pair *at = pairs_find(p, key);

	return at && ynode_type(at->value) != YT_NULL;
}

/* docker_context wins over url, url over hostname. */
static void settle_endpoint(struct checker *c, const struct pair *host, const struct pairs *p,
			    struct raw *r)
{
	struct endpoint *at = &r->h.at;
	char err[ENDPOINT_ERR];

	check_names(c, p, r);
	at->verify = true;
	if (r->context) {
		if (endpoint_from_context(at, r->context, err) < 0)
			check_error(c, pairs_find(p, "docker_context")->value, "docker_context: %s",
				    err);
	} else if (r->url) {
		if (endpoint_from_url(at, r->url, err) < 0)
			check_error(c, pairs_find(p, "url")->value, "url: %s", err);
		else if (at->kind == ENDPOINT_UNIX)
			settle_socket(c, pairs_find(p, "url")->value, at);
	} else if (r->hostname) {
		at->kind = ENDPOINT_SSH;
		at->port = r->port;
		move(&at->hostname, &r->hostname);
		move(&at->user, &r->user);
	} else if (!pairs_find(p, "hostname") && !pairs_find(p, "url") &&
		   !pairs_find(p, "docker_context")) {
		check_error(c, host->key,
			    "the host \"%.80s\" says not where it is; expected hostname, url or "
			    "docker_context",
			    host->key->text);
	} else if (!given(p, "hostname") && !given(p, "url") && !given(p, "docker_context")) {
		check_error(c, host->key,
			    "the host \"%.80s\" has an empty address; expected a value for "
			    "hostname, url or docker_context",
			    host->key->text);
	}
	if (at->kind == ENDPOINT_SSH) {
		at->backend = (enum ssh_backend)r->backend;
		move(&at->identity_file, &r->identity_file);
		move(&at->ssh_config, &r->ssh_config);
		move(&at->known_hosts, &r->known_hosts);
	}
}

static void raw_free(struct raw *r)
{
	free(r->hostname);
	free(r->user);
	free(r->url);
	free(r->context);
	free(r->identity_file);
	free(r->ssh_config);
	free(r->known_hosts);
}

void config_parse_host(struct checker *c, const struct pair *at, struct host_config *out)
{
	struct raw r = {.environment = ENVIRONMENT_NOT_GIVEN};
	struct pairs p;

	if (!names_id_valid(at->key->text, DCM_HOST_ID_MAX))
		check_error(c, at->key,
			    "the host id \"%.80s\" is not valid; expected 1 to %d of A-Z a-z 0-9 . "
			    "_ -, starting with a letter or digit",
			    at->key->text, DCM_HOST_ID_MAX);
	if (at->value->kind != Y_MAP) {
		check_error(c, ynode_type(at->value) == YT_NULL ? at->key : at->value,
			    "the host \"%.80s\" is %s; expected a map with hostname, url or "
			    "docker_context", at->key->text, ytype_name(ynode_type(at->value)));
		return;
	}
	if (check_pairs(c, at->value, "a host", &p) < 0)
		return;
	r.h.id = strdup(at->key->text);
	r.h.enabled = true;
	r.h.stats = true;
	check_map(c, &p, "a host", host_keys, sizeof(host_keys) / sizeof(*host_keys), &r);
	settle_endpoint(c, at, &p, &r);
	check_tls(c, &r, &r.h.at);
	r.h.environment = r.environment == ENVIRONMENT_NOT_GIVEN
				  ? c->out->cache.environment
				  : (enum environment_mode)r.environment;
	*out = r.h;
	raw_free(&r);
	free(p.v);
}
