/*
 * config.c - hosts.yml as a whole: defaults, `hosts` and `cache`, loading, and
 * what changed between two of them.
 *
 * The way of a file: config_load() reads it, yaml_parse() makes nodes that know
 * their place, check_map() holds them against tables (here and in
 * config_host.c), config_url.c and config_context.c turn addresses into
 * endpoints.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shm/names.h"
#include "config_endpoint.h"
#include "config_file.h"
#include "config_host.h"

enum { TEN_YEARS = 315360000, NODES_BYTES_MAX = 64 << 20 };

static const char *const default_redact[] = {"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN",
					     "KEY", "CREDENTIAL", "AUTH", "DSN"};

#define AT(member) offsetof(struct cache_config, member)
#define SECONDS(name) {#name, KEY_SECONDS, AT(name), 0.01, TEN_YEARS, NULL}
static const struct key cache_keys[] = {
	SECONDS(stats_ttl),
	SECONDS(status_ttl),
	SECONDS(config_ttl),
	SECONDS(compose_ttl),
	SECONDS(stats_update),
	SECONDS(status_update),
	SECONDS(config_update),
	SECONDS(memory_retention),
	SECONDS(disk_retention),
	SECONDS(memory_cleanup_interval),
	SECONDS(disk_cleanup_interval),
	{"stats_concurrency", KEY_AUTO, AT(stats_concurrency), 1, 128, NULL},
	{"inspect_concurrency", KEY_UINT, AT(inspect_concurrency), 1, 64, NULL},
	{"event_debounce_ms", KEY_UINT, AT(event_debounce_ms), 0, 10000, NULL},
	{"log_tail_lines", KEY_UINT, AT(log_tail_lines), 1, 100000, NULL},
	SECONDS(connect_timeout),
	SECONDS(request_timeout),
	{"shard_limit", KEY_BYTES, AT(shard_limit), 1 << 20, 4294967296.0, NULL},
	{"environment", KEY_WORD, AT(environment), 0, 0, config_environment_words},
	{"redact", KEY_STRS, AT(redact), 0, 0, NULL},
};

struct top {
	const struct ynode *hosts, *cache;
};
static const struct key top_keys[] = {
	{"hosts", KEY_NODE, offsetof(struct top, hosts), 0, 0, NULL},
	{"cache", KEY_NODE, offsetof(struct top, cache), 0, 0, NULL},
	{"server", KEY_LEGACY, 0, 0, 0, NULL},
	{"transfer", KEY_LEGACY, 0, 0, 0, NULL},
};

/* ---- making and freeing --------------------------------------------------- */

static int config_init(struct config *out)
{
	size_t n = sizeof(default_redact) / sizeof(*default_redact);

	*out = (struct config){
		.cache = {.stats_ttl = 120,
			  .status_ttl = 300,
			  .config_ttl = 3600,
			  .compose_ttl = 7200,
			  .stats_update = 30,
			  .status_update = 60,
			  .config_update = 600,
			  .memory_retention = 3600,
			  .disk_retention = 604800,
			  .memory_cleanup_interval = 300,
			  .disk_cleanup_interval = 3600,
			  .inspect_concurrency = 4,
			  .event_debounce_ms = 20,
			  .log_tail_lines = 100,
			  .connect_timeout = 10,
			  .request_timeout = 20,
			  .shard_limit = 1 << 30,
			  .environment = ENV_REDACT},
	};
	out->cache.redact = calloc(n, sizeof(char *));
	if (!out->cache.redact)
		return -1;
	for (; out->cache.n_redact < n; out->cache.n_redact++) {
		char *word = strdup(default_redact[out->cache.n_redact]);

		if (!word)
			return -1;
		out->cache.redact[out->cache.n_redact] = word;
	}
	return 0;
}

static void free_texts(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

void config_free(struct config *c)
{
	for (size_t i = 0; i < c->n_hosts; i++)
		config_host_clear(&c->hosts[i]);
	free(c->hosts);
	free_texts(c->cache.redact, c->cache.n_redact);
	free_texts(c->warnings, c->n_warnings);
	free(c->source);
	memset(c, 0, sizeof(*c));
}

void config_errors_free(struct config_errors *e)
{
	free_texts(e->v, e->n);
	memset(e, 0, sizeof(*e));
}

/* ---- parsing -------------------------------------------------------------- */

static void parse_cache(struct checker *c, const struct ynode *node)
{
	struct cache_config *cache = &c->out->cache;
	struct pairs p;

	if (!node || ynode_type(node) == YT_NULL)
		return;
	if (node->kind != Y_MAP) {
		check_error(c, node, "cache is %s; expected a map", ytype_name(ynode_type(node)));
		return;
	}
	if (check_pairs(c, node, "cache", &p) < 0)
		return;
	check_map(c, &p, "cache", cache_keys, sizeof(cache_keys) / sizeof(*cache_keys), cache);
	for (size_t i = 0; i < cache->n_redact; i++)
		for (char *s = cache->redact[i]; *s; s++)
			*s = (char)toupper((unsigned char)*s);
	free(p.v);
}

static int by_id(const void *a, const void *b)
{
	const struct host_config *x = a, *y = b;

	return strcmp(x->id ? x->id : "", y->id ? y->id : "");
}

static void parse_hosts(struct checker *c, const struct ynode *node)
{
	struct config *out = c->out;
	struct pairs p;

	if (ynode_type(node) == YT_NULL) {
		check_warn(c, node, "hosts is empty: there is nothing to watch");
		return;
	}
	if (node->kind != Y_MAP) {
		check_error(c, node, "hosts is %s; expected a map of host ids",
			    ytype_name(ynode_type(node)));
		return;
	}
	if (check_pairs(c, node, "hosts", &p) < 0)
		return;
	if (p.n > CONFIG_HOSTS_MAX)
		check_error(c, node, "%zu hosts; expected at most %d", p.n, CONFIG_HOSTS_MAX);
	if (p.n == 0)
		check_warn(c, node, "hosts is empty: there is nothing to watch");
	out->hosts = calloc(p.n + 1, sizeof(*out->hosts));
	if (out->hosts) {
		for (; out->n_hosts < p.n; out->n_hosts++)
			config_parse_host(c, &p.v[out->n_hosts], &out->hosts[out->n_hosts]);
		qsort(out->hosts, out->n_hosts, sizeof(*out->hosts), by_id);
	}
	free(p.v);
}

static void parse_top(struct checker *c, const struct ynode *root)
{
	static const struct ynode start = {.line = 1, .column = 1};
	struct top top = {0};
	struct pairs p;

	if (!root || ynode_type(root) == YT_NULL) {
		check_warn(c, root ? root : &start, "the file is empty: there is nothing to watch");
		return;
	}
	if (root->kind != Y_MAP) {
		check_error(c, root, "the document is %s; expected a map with hosts and cache",
			    ytype_name(ynode_type(root)));
		return;
	}
	if (check_pairs(c, root, "the file", &p) < 0)
		return;
	check_map(c, &p, "the file", top_keys, sizeof(top_keys) / sizeof(*top_keys), &top);
	free(p.v);
	parse_cache(c, top.cache); /* first: hosts take the default of `environment` there */
	if (top.hosts)
		parse_hosts(c, top.hosts);
	else
		check_warn(c, root, "there is no `hosts`: there is nothing to watch");
}

/* The absolute directory that `path` lies in. */
static char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char cwd[PATH_MAX], *out;

	if (slash && *path == '/')
		return strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!getcwd(cwd, sizeof(cwd)))
		return NULL;
	if (!slash)
		return strdup(cwd);
	if (asprintf(&out, "%s/%.*s", strcmp(cwd, "/") ? cwd : "", (int)(slash - path), path) < 0)
		return NULL;
	return out;
}

static void tell(void *arg, unsigned line, unsigned column, const char *what)
{
	struct checker *c = arg;
	const struct ynode at = {.line = line, .column = column};

	check_error(c, &at, "%s", what);
}

int config_parse(struct config *out, const char *path, const char *text, size_t len,
		 struct config_errors *e)
{
	struct arena arena = {.max = NODES_BYTES_MAX};
	struct checker c = {.path = path, .base = base_of(path), .errors = e, .out = out};
	struct ynode *root;
	struct yerrors told = {tell, &c};
	size_t before = e->n;

	if (config_init(out) < 0 || !c.base) {
		errors_add(e, "%s:1:1: no memory, or no working directory; expected both", path);
	} else if (yaml_parse(text, len, &arena, &root, &told) == 0) {
		out->source = strdup(path);
		parse_top(&c, root);
	}
	if (e->n > before)
		check_sort(e->v + before, e->n - before, path);
	if (e->n == CONFIG_ERRORS_MAX)
		errors_add(e, "%s: there are more errors than these %d; expected none", path,
			   CONFIG_ERRORS_MAX);
	check_sort(out->warnings, out->n_warnings, path);
	arena_free(&arena);
	free(c.base);
	if (e->n == before)
		return 0;
	config_free(out);
	return -1;
}

/* ---- loading -------------------------------------------------------------- */

/* The one host `local`. */
static int local_host(struct config *out, struct config_errors *e)
{
	char err[ENDPOINT_ERR];

	if (config_init(out) < 0 || !(out->hosts = calloc(1, sizeof(*out->hosts)))) {
		errors_add(e, "no memory left for the configuration; expected some");
		config_free(out);
		return -1;
	}
	out->n_hosts = 1;
	out->hosts->id = strdup("local");
	out->hosts->enabled = true;
	out->hosts->stats = true;
	out->hosts->environment = out->cache.environment;
	if (out->hosts->id && endpoint_from_environment(&out->hosts->at, &out->source, err) == 0)
		return 0;
	errors_add(e, "%s", out->hosts->id ? err : "no memory left");
	config_free(out);
	return -1;
}

int config_load(struct config *out, const char *path, struct config_errors *e)
{
	char deflt[PATH_MAX], *text;
	bool given = path != NULL;
	size_t len;
	int rc;

	memset(out, 0, sizeof(*out));
	if (!given) {
		if (!names_default_path('c', deflt, sizeof(deflt)))
			return local_host(out, e);
		path = deflt;
	}
	rc = config_read_file(path, YAML_BYTES_MAX, &text, &len);
	if (!given && (rc == -ENOENT || rc == -ENOTDIR))
		return local_host(out, e);
	if (rc < 0) {
		errors_add(e, "%s:1:1: cannot be read: %s; expected a %s file of at most 4 MiB",
			   path, strerror(-rc), rc == -EINVAL ? "regular" : "readable");
		return -1;
	}
	rc = config_parse(out, path, text, len, e);
	free(text);
	return rc;
}

/* ---- comparing ------------------------------------------------------------ */

const struct host_config *config_host(const struct config *c, const char *id)
{
	const struct host_config key = {.id = (char *)id};

	return c->n_hosts ? bsearch(&key, c->hosts, c->n_hosts, sizeof(*c->hosts), by_id) : NULL;
}

static bool same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_list(char *const *a, size_t na, char *const *b, size_t nb)
{
	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++)
		if (!same(a[i], b[i]))
			return false;
	return true;
}

static bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->kind == b->kind && same(a->path, b->path) && same(a->hostname, b->hostname) &&
	       same(a->user, b->user) && a->port == b->port && same(a->ca, b->ca) &&
	       same(a->cert, b->cert) && same(a->key, b->key) && a->verify == b->verify &&
	       same(a->identity_file, b->identity_file) && same(a->known_hosts, b->known_hosts) &&
	       same(a->ssh_config, b->ssh_config) && a->backend == b->backend;
}

/* What a collector works by.  How long tiers count as fresh and what the broker
 * cleans up travels through the directory instead. */
static bool cache_equal(const struct cache_config *a, const struct cache_config *b)
{
	return a->compose_ttl == b->compose_ttl && a->stats_update == b->stats_update &&
	       a->status_update == b->status_update && a->config_update == b->config_update &&
	       a->disk_retention == b->disk_retention &&
	       a->stats_concurrency == b->stats_concurrency &&
	       a->inspect_concurrency == b->inspect_concurrency &&
	       a->event_debounce_ms == b->event_debounce_ms &&
	       a->log_tail_lines == b->log_tail_lines && a->connect_timeout == b->connect_timeout &&
	       a->request_timeout == b->request_timeout && a->shard_limit == b->shard_limit &&
	       same_list(a->redact, a->n_redact, b->redact, b->n_redact);
}

bool config_host_equal(const struct host_config *a, const struct cache_config *ca,
		       const struct host_config *b, const struct cache_config *cb)
{
	return a->enabled == b->enabled && a->stats == b->stats &&
	       a->environment == b->environment && same(a->compose_path, b->compose_path) &&
	       same(a->appdata_path, b->appdata_path) && endpoint_equal(&a->at, &b->at) &&
	       cache_equal(ca, cb);
}
