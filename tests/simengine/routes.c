/*
 * routes.c - which request does what, and those that read.  A path without a
 * route is 404, as is a container that is not there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routes.h"

/* ---- the engine ---------------------------------------------------------------- */

static void serve_ping(struct conn *c)
{
	http_reply(c, 200, "text/plain; charset=utf-8", "OK", 2);
}

static void serve_version(struct conn *c)
{
	http_json(c, 200, document_version(c->engine->sim));
}

static void serve_info(struct conn *c)
{
	http_json(c, 200, document_info(c->engine));
}

static void serve_events(struct conn *c)
{
	events_listen(c);
}

/* The container of the route's *, or NULL and a reply. */
struct container *wanted(struct conn *c)
{
	struct container *x = fleet_find(c->engine, c->req.arg);

	if (x == NULL || faults_at(c->engine, FAULT_MISSING, c->req.where) != NULL) {
		http_error(c, 404, "No such container: %s", c->req.arg);
		return NULL;
	}
	return x;
}

void done(struct conn *c)
{
	http_reply(c, 204, NULL, "", 0);
}

/* ---- reading containers -------------------------------------------------------- */

/* Is one of filters[key] what `test` says yes to?  No such key: yes. */
static bool filter(struct json_object *filters, const char *key, const struct container *c,
		   bool (*test)(const struct container *c, const char *want))
{
	struct json_object *list;

	if (filters == NULL || !json_object_object_get_ex(filters, key, &list))
		return true;
	if (json_object_is_type(list, json_type_object)) {
		json_object_object_foreach(list, want, unused)
		{
			(void)unused;
			if (test(c, want))
				return true;
		}
		return false;
	}
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (test(c, json_object_get_string(json_object_array_get_idx(list, i))))
			return true;
	return false;
}

static bool has_status(const struct container *c, const char *want)
{
	return strcmp(document_status(c->status), want) == 0;
}

static bool has_name(const struct container *c, const char *want)
{
	return strstr(c->name, want) != NULL;
}

static bool has_id(const struct container *c, const char *want)
{
	char id[65];

	sim_hex(c->id, 32, id);
	return strncmp(id, want, strlen(want)) == 0;
}

static bool has_health(const struct container *c, const char *want)
{
	return strcmp(document_health(c->health), want) == 0;
}

static bool has_label(const struct container *c, const char *want)
{
	struct json_object *asked = fleet_asked(c), *v;
	char key[256];
	const char *equal = strchr(want, '=');

	snprintf(key, sizeof(key), "%.*s", (int)strcspn(want, "="), want);
	v = json_at(json_at(asked, "Labels", NULL), key, NULL);
	bool yes = v != NULL &&
		   (equal == NULL || strcmp(json_object_get_string(v), equal + 1) == 0);

	json_object_put(asked);
	return yes;
}

static void serve_list(struct conn *c)
{
	struct engine *e = c->engine;
	struct json_object *list = json_object_new_array(), *filters = NULL;
	char text[1024];
	bool all = http_flag(&c->req, "all");

	if (http_query(&c->req, "filters", text, sizeof(text))) {
		filters = json_tokener_parse(text);
		all = all || json_at(filters, "status", NULL) != NULL;
	}
	for (size_t i = e->n; i-- > 0;) {
		const struct container *x = e->v[i];

		if (!all && x->status != RUNNING && x->status != PAUSED && x->status != RESTARTING)
			continue;
		if (!filter(filters, "status", x, has_status) ||
		    !filter(filters, "name", x, has_name) || !filter(filters, "id", x, has_id) ||
		    !filter(filters, "label", x, has_label) ||
		    !filter(filters, "health", x, has_health))
			continue;
		json_object_array_add(list, document_list(x));
		if (faults_at(e, FAULT_LYING, AT_LIST) != NULL)
			json_object_array_add(list, document_list(x));
	}
	json_object_put(filters);
	http_json(c, 200, list);
}

static void serve_inspect(struct conn *c)
{
	struct container *x = wanted(c);

	if (x != NULL && faults_at(c->engine, FAULT_LYING, AT_INSPECT) != NULL)
		x = c->engine->v[sim_random(c->engine->sim) % c->engine->n];
	if (x != NULL)
		http_json(c, 200, document_inspect(x, c->req.api_minor));
}

static void send_stats(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct container *x = fleet_find(c->engine, c->req.arg);
	bool one_shot = http_flag(&c->req, "one-shot") && c->req.api_minor >= 41;
	struct evbuffer *b;

	(void)fd;
	(void)what;
	if (x == NULL) {
		http_error(c, 404, "No such container: %s", c->req.arg);
		return;
	}
	b = evbuffer_new();
	document_stats(x, !one_shot, b);
	faults_send(c, 200, "application/json", b);
	evbuffer_free(b);
}

/* Always one document.  An engine before v25 answers at a tick. */
static void serve_stats(struct conn *c)
{
	struct container *x = wanted(c);
	long tick = c->engine->sim->stats_tick;

	if (x == NULL)
		return;
	if (tick > 0 && (x->status == RUNNING || x->status == PAUSED))
		http_later(c, tick - sim_now() / 1000000 % tick, send_stats);
	else
		send_stats(-1, 0, c);
}

static void serve_logs(struct conn *c)
{
	struct container *x = wanted(c);
	struct json_object *asked;
	const char *driver;
	struct evbuffer *b;
	char tail[32];

	if (x == NULL)
		return;
	asked = fleet_asked(x);
	driver = json_object_get_string(
		json_at(json_at(asked, "HostConfig", "LogConfig"), "Type", NULL));
	bool readable = driver == NULL || strcmp(driver, "none") != 0;

	json_object_put(asked);
	if (!http_flag(&c->req, "stdout") && !http_flag(&c->req, "stderr")) {
		http_error(c, 400, "Bad parameters: you must choose at least one stream");
	} else if (!readable) {
		http_error(c, 501, "configured logging driver does not support reading");
	} else {
		http_query(&c->req, "tail", tail, sizeof(tail));
		b = evbuffer_new();
		document_logs(x, tail[0] == '\0' || strcmp(tail, "all") == 0 ? -1 : atol(tail),
			      http_flag(&c->req, "timestamps"), b);
		faults_send(c, 200, "application/octet-stream", b);
		evbuffer_free(b);
	}
}

/* ---- the simulation itself ----------------------------------------------------- */

/* POST /_sim/fault?spec=KIND[:ARG][@WHERE] adds one, DELETE takes all away. */
static void serve_fault(struct conn *c)
{
	char spec[256];

	if (strcmp(c->req.method, "DELETE") == 0) {
		faults_clear(c->engine);
		done(c);
	} else if (!http_query(&c->req, "spec", spec, sizeof(spec)) ||
		   faults_add(c->engine, spec) != 0) {
		http_error(c, 400, "no such fault: %s", spec);
	} else {
		done(c);
	}
}

/* POST /_sim/churn?n=N: so many changes now. */
static void serve_churn(struct conn *c)
{
	char n[16];

	http_query(&c->req, "n", n, sizeof(n));
	for (long i = atol(n); i > 0; i--)
		life_churn(c->engine);
	done(c);
}

/* POST /_sim/die/NAME?code=C&oom=1: it ends by itself. */
static void serve_die(struct conn *c)
{
	struct container *x = wanted(c);
	char code[16];

	if (x == NULL)
		return;
	http_query(&c->req, "code", code, sizeof(code));
	if (x->status == RUNNING)
		life_die(x, atoi(code), http_flag(&c->req, "oom"));
	done(c);
}

/* POST /_sim/clock?seconds=S: somebody sets the clock, of all hosts. */
static void serve_clock(struct conn *c)
{
	char seconds[32];

	http_query(&c->req, "seconds", seconds, sizeof(seconds));
	sim_set_clock(atof(seconds));
	done(c);
}

/* GET /_sim/requests: how many requests each place has served. */
static void serve_requests(struct conn *c)
{
	static const char *const names[] = {"ping",   "list", "inspect", "stats",
					    "events", "logs", "info",	 "other"};
	struct json_object *o = json_object_new_object();

	for (int i = 0; i < 8; i++)
		json_object_object_add(o, names[i],
				       json_object_new_int64((int64_t)c->engine->requests[i]));
	http_json(c, 200, o);
}

/* ---- the table ----------------------------------------------------------------- */

static const struct route {
	const char *method, *path; /* * stands for one part without '/' */
	enum where where;	   /* 0: no fault strikes here */
	void (*serve)(struct conn *c);
} routes[] = {
	{"GET", "/_ping", AT_PING, serve_ping},
	{"HEAD", "/_ping", AT_PING, serve_ping},
	{"GET", "/version", AT_INFO, serve_version},
	{"GET", "/info", AT_INFO, serve_info},
	{"GET", "/events", AT_EVENTS, serve_events},
	{"GET", "/containers/json", AT_LIST, serve_list},
	{"GET", "/containers/*/json", AT_INSPECT, serve_inspect},
	{"GET", "/containers/*/stats", AT_STATS, serve_stats},
	{"GET", "/containers/*/logs", AT_LOGS, serve_logs},
	{"POST", "/containers/create", AT_OTHER, serve_create},
	{"POST", "/containers/*/start", AT_OTHER, serve_start},
	{"POST", "/containers/*/stop", AT_OTHER, serve_stop},
	{"POST", "/containers/*/restart", AT_OTHER, serve_restart},
	{"POST", "/containers/*/kill", AT_OTHER, serve_kill},
	{"POST", "/containers/*/pause", AT_OTHER, serve_pause},
	{"POST", "/containers/*/unpause", AT_OTHER, serve_pause},
	{"POST", "/containers/*/rename", AT_OTHER, serve_rename},
	{"DELETE", "/containers/*", AT_OTHER, serve_remove},
	{"POST", "/images/create", AT_OTHER, serve_import},
	{"POST", "/networks/create", AT_OTHER, serve_network_create},
	{"POST", "/networks/*/connect", AT_OTHER, serve_network_connect},
	{"POST", "/networks/*/disconnect", AT_OTHER, serve_network_connect},
	{"GET", "/networks", AT_OTHER, serve_nothing},
	{"GET", "/images/json", AT_OTHER, serve_nothing},
	{"POST", "/_sim/fault", 0, serve_fault},
	{"DELETE", "/_sim/fault", 0, serve_fault},
	{"POST", "/_sim/churn", 0, serve_churn},
	{"POST", "/_sim/die/*", 0, serve_die},
	{"POST", "/_sim/clock", 0, serve_clock},
	{"GET", "/_sim/requests", 0, serve_requests},
};

/* Does the path match, and what stands for the star? */
static bool matches(const char *pattern, const char *path, char *arg, size_t len)
{
	const char *star = strchr(pattern, '*');
	size_t before, n;

	arg[0] = '\0';
	if (star == NULL)
		return strcmp(pattern, path) == 0;
	before = (size_t)(star - pattern);
	if (strncmp(pattern, path, before) != 0)
		return false;
	n = strcspn(path + before, "/");
	if (n == 0 || n >= len || strcmp(path + before + n, star + 1) != 0)
		return false;
	memcpy(arg, path + before, n);
	arg[n] = '\0';
	return true;
}

static int bit_of(enum where where)
{
	return where != 0 ? __builtin_ctz(where) : 7;
}

void routes_serve(struct conn *c)
{
	const struct engine *e = c->engine;
	const struct fault *f;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *r = &routes[i];

		if (strcmp(r->method, c->req.method) != 0 ||
		    !matches(r->path, c->req.path, c->req.arg, sizeof(c->req.arg)))
			continue;
		c->req.where = r->where;
		c->engine->requests[bit_of(r->where)]++;
		if (c->req.api_minor > e->sim->api_minor)
			http_error(c, 400, "client version 1.%d is too new. Maximum supported API "
				   "version is 1.%d", c->req.api_minor, e->sim->api_minor);
		else if (c->req.api_minor < e->sim->api_least)
			http_error(c, 400, "client version 1.%d is too old. Minimum supported API "
				   "version is 1.%d, please upgrade your client to a newer version",
				   c->req.api_minor, e->sim->api_least);
		else if (faults_at(e, FAULT_HANG, r->where) != NULL)
			return; /* busy for ever: the connection's end frees it */
		else if ((f = faults_at(e, FAULT_ERROR, r->where)) != NULL)
			http_error(c, (int)f->arg, "simulated failure");
		else
			r->serve(c);
		return;
	}
	http_error(c, 404, "page not found");
}
