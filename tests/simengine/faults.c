/*
 * faults.c - what the simulated engine does wrong on purpose.
 *
 * A fault has a kind, a number and the places where it strikes.  Those that
 * change what a reply says work on its bytes or its JSON; those that change how
 * it comes work on the connection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

const char faults_help[] =
	"faults, with what ARG is and its default, and where they strike by default:\n"
	"  slow:MS=1000         each reply waits (all)\n"
	"  cut:PERCENT=50       the connection closes in the middle of a reply (all)\n"
	"  short:PERCENT=50     the reply ends early, but is whole HTTP (all)\n"
	"  malformed            a byte in the middle of the JSON is wrong (all)\n"
	"  endless-body         the reply never ends (list, inspect, stats, events)\n"
	"  endless-headers      the head of the reply never ends (all)\n"
	"  headers              short headers without end (all)\n"
	"  continue             100 Continue without end (all)\n"
	"  chunks               chunks without end (list, inspect, stats, info)\n"
	"  gzip:BYTES=65536     gzip that nobody asked for,"
	" a thousand times as long unpacked (all)\n"
	"  labels:N=10000       so many labels more (list, inspect)\n"
	"  twice                every member twice, the second of another type (inspect, stats,"
	" info)\n"
	"  lying                inspect tells of another container, the list tells twice\n"
	"  types:PERCENT=30     values have the wrong JSON type (all)\n"
	"  huge:BYTES=8388608   labels of this size (list, inspect)\n"
	"  utf8                 text is not UTF-8 (list, inspect)\n"
	"  deep:LEVELS=100000   JSON nested so deep (list, inspect, stats)\n"
	"  missing              404 (inspect)\n"
	"  error:CODE=500       (all but ping)\n"
	"  noevents             no event is ever sent\n"
	"  storm:RATE=2000      so many events a second\n"
	"  hang                 the request is read and never answered (all)\n"
	"  trickle:MS=1000      one byte in this time (all)\n"
	"WHERE: ping list inspect stats events logs info other all\n";

static const struct {
	const char *name;
	enum fault_kind kind;
	long arg;
	unsigned where;
} kinds[] = {
	{"slow", FAULT_SLOW, 1000, AT_ALL},
	{"cut", FAULT_CUT, 50, AT_ALL},
	{"short", FAULT_SHORT, 50, AT_ALL},
	{"malformed", FAULT_MALFORMED, 0, AT_ALL},
	{"endless-body", FAULT_ENDLESS_BODY, 0, AT_LIST | AT_INSPECT | AT_STATS | AT_EVENTS},
	{"endless-headers", FAULT_ENDLESS_HEADERS, 0, AT_ALL},
	{"lying", FAULT_LYING, 0, AT_LIST | AT_INSPECT},
	{"types", FAULT_TYPES, 30, AT_ALL},
	{"huge", FAULT_HUGE, 8 << 20, AT_LIST | AT_INSPECT},
	{"utf8", FAULT_UTF8, 0, AT_LIST | AT_INSPECT},
	{"deep", FAULT_DEEP, 100000, AT_LIST | AT_INSPECT | AT_STATS},
	{"missing", FAULT_MISSING, 0, AT_INSPECT},
	{"error", FAULT_ERROR, 500, AT_ALL & ~AT_PING},
	{"noevents", FAULT_NO_EVENTS, 0, AT_EVENTS},
	{"storm", FAULT_STORM, 2000, AT_EVENTS},
	{"hang", FAULT_HANG, 0, AT_ALL},
	{"trickle", FAULT_TRICKLE, 1000, AT_ALL},
	{"headers", FAULT_HEADERS, 0, AT_ALL},
	{"continue", FAULT_CONTINUE, 0, AT_ALL},
	{"chunks", FAULT_CHUNKS, 0, AT_LIST | AT_INSPECT | AT_STATS | AT_INFO},
	{"gzip", FAULT_GZIP, 65536, AT_ALL},
	{"labels", FAULT_LABELS, 10000, AT_LIST | AT_INSPECT},
	{"twice", FAULT_TWICE, 0, AT_INSPECT | AT_STATS | AT_INFO},
};

static const char *const places[] = {"ping",   "list", "inspect", "stats",
				     "events", "logs", "info",	  "other"};

static int parse_where(const char *text, unsigned *where)
{
	*where = 0;
	while (*text != '\0') {
		size_t n = strcspn(text, ",");
		unsigned bit = n == 3 && strncmp(text, "all", 3) == 0 ? AT_ALL : 0;

		for (size_t i = 0; i < 8; i++)
			if (strlen(places[i]) == n && strncmp(text, places[i], n) == 0)
				bit = 1u << i;
		if (bit == 0)
			return -1;
		*where |= bit;
		text += n + (text[n] == ',');
	}
	return *where == 0 ? -1 : 0;
}

static void on_storm(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	const struct fault *f = faults_at(e, FAULT_STORM, AT_ALL);

	(void)fd;
	(void)what;
	for (long i = 0; f != NULL && e->n > 0 && i < f->arg / 50; i++)
		events_container(e->v[sim_random(e->sim) % e->n], "update", NULL, NULL);
}

int faults_add(struct engine *e, const char *spec)
{
	size_t n = strcspn(spec, ":@");
	const char *at = strchr(spec, '@');
	struct timeval tick = {0, 20000};

	if (e->n_faults == SIM_FAULTS)
		return -1;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strlen(kinds[i].name) != n || strncmp(spec, kinds[i].name, n) != 0)
			continue;
		struct fault f = {kinds[i].kind, kinds[i].arg, kinds[i].where};

		if (spec[n] == ':')
			f.arg = atol(spec + n + 1);
		if (at != NULL && parse_where(at + 1, &f.where) != 0)
			return -1;
		e->faults[e->n_faults++] = f;
		if (f.kind == FAULT_STORM && e->storm == NULL) {
			e->storm = event_new(e->sim->base, -1, EV_PERSIST, on_storm, e);
			event_add(e->storm, &tick);
		}
		return 0;
	}
	return -1;
}

void faults_clear(struct engine *e)
{
	e->n_faults = 0;
	if (e->storm != NULL)
		event_free(e->storm);
	e->storm = NULL;
}

const struct fault *faults_at(const struct engine *e, enum fault_kind kind, enum where where)
{
	for (size_t i = 0; i < e->n_faults; i++)
		if (e->faults[i].kind == kind && (e->faults[i].where & where) != 0)
			return &e->faults[i];
	return NULL;
}

/* ---- what a reply says ----------------------------------------------------- */

static struct json_object *wrong(struct sim *s, struct json_object *o, long percent);

static struct json_object *wrong_value(struct sim *s, struct json_object *v, long percent)
{
	if ((long)(sim_random(s) % 100) >= percent)
		return wrong(s, v, percent);
	switch (sim_random(s) % 5) {
	case 0: return json_object_new_string("simengine");
	case 1: return json_object_new_double(-1.5e300);
	case 2: return json_object_new_array();
	case 3: return json_object_new_object();
	default: return json_object_new_uint64(UINT64_MAX);
	}
}

/* A copy of o in which `percent` of the values are of another type. */
static struct json_object *wrong(struct sim *s, struct json_object *o, long percent)
{
	struct json_object *out;

	if (json_object_is_type(o, json_type_object)) {
		out = json_object_new_object();
		json_object_object_foreach(o, key, v)
			json_object_object_add(out, key, wrong_value(s, v, percent));
		return out;
	}
	if (json_object_is_type(o, json_type_array)) {
		out = json_object_new_array();
		for (size_t i = 0; i < json_object_array_length(o); i++)
			json_object_array_add(
				out, wrong_value(s, json_object_array_get_idx(o, i), percent));
		return out;
	}
	return json_object_get(o);
}

static void make_types_wrong(struct conn *c, struct evbuffer *body, long percent)
{
	size_t len = evbuffer_get_length(body);
	struct json_tokener *t = json_tokener_new();
	struct json_object *o =
		json_tokener_parse_ex(t, (const char *)evbuffer_pullup(body, -1), (int)len);

	json_tokener_free(t);
	if (o == NULL)
		return;
	struct json_object *w = wrong(c->engine->sim, o, percent);

	evbuffer_drain(body, len);
	evbuffer_add_printf(body, "%s", json_object_to_json_string_ext(w, JSON_C_TO_STRING_PLAIN));
	json_object_put(w);
	json_object_put(o);
}

/* Puts `labels` behind the first `"Labels":{` of the body, if it has one. */
static void insert_labels(struct evbuffer *body, struct evbuffer *labels)
{
	static const char mark[] = "\"Labels\":{";
	struct evbuffer_ptr p = evbuffer_search(body, mark, sizeof(mark) - 1, NULL);
	struct evbuffer *out = evbuffer_new();

	if (p.pos >= 0) {
		evbuffer_remove_buffer(body, out, (size_t)p.pos + sizeof(mark) - 1);
		evbuffer_add_buffer(out, labels);
		if (*evbuffer_pullup(body, 1) != '}')
			evbuffer_add(out, ",", 1);
		evbuffer_add_buffer(out, body);
		evbuffer_add_buffer(body, out);
	}
	evbuffer_free(out);
	evbuffer_free(labels);
}

static void insert_label(struct evbuffer *body, const char *text, size_t fill)
{
	struct evbuffer *label = evbuffer_new();
	char *big = malloc(fill + 1);

	evbuffer_add_printf(label, "\"sim.fault\":\"%s", text);
	if (big != NULL) {
		memset(big, 'x', fill);
		evbuffer_add(label, big, fill);
		free(big);
	}
	evbuffer_add(label, "\"", 1);
	insert_labels(body, label);
}

static void insert_many_labels(struct evbuffer *body, long n)
{
	struct evbuffer *labels = evbuffer_new();

	for (long i = 0; i < n; i++)
		evbuffer_add_printf(labels, "%s\"sim.label.%ld\":\"%ld\"", i ? "," : "", i, i);
	insert_labels(body, labels);
}

/* {A} becomes {A,A'}, where the values of A' are of other types. */
static void say_twice(struct conn *c, struct evbuffer *body)
{
	struct evbuffer *again = evbuffer_new();
	size_t len = evbuffer_get_length(body);

	evbuffer_add(again, evbuffer_pullup(body, -1), len);
	make_types_wrong(c, again, 100);
	if (len > 2 && *evbuffer_pullup(body, 1) == '{') {
		struct evbuffer *out = evbuffer_new();

		evbuffer_remove_buffer(body, out, len - 1);
		evbuffer_drain(body, evbuffer_get_length(body));
		evbuffer_drain(again, 1);
		evbuffer_add(out, ",", 1);
		evbuffer_add_buffer(out, again);
		evbuffer_add_buffer(body, out);
		evbuffer_free(out);
	}
	evbuffer_free(again);
}

/* Deflate says a long run of one byte in about a byte for each thousand. */
static void make_bomb(struct evbuffer *body, size_t n)
{
	static const unsigned char head[] = {0x1f, 0x8b, 8,    0,    0,	  0,	0,    0,    0,
					     3,	   0xec, 0xc1, 0x01, 0x0d, 0x00, 0x00, 0x00, 0xc2,
					     0xa0, 0xf7, 0x4f, 0x6d, 0x0e, 0x37, 0xa0};
	char *zeros = calloc(1, n + 1);

	evbuffer_drain(body, evbuffer_get_length(body));
	evbuffer_add(body, head, sizeof(head));
	if (zeros != NULL)
		evbuffer_add(body, zeros, n);
	free(zeros);
}

static void make_deep(struct evbuffer *body, long levels)
{
	evbuffer_drain(body, evbuffer_get_length(body));
	for (long i = 0; i < levels; i++)
		evbuffer_add(body, "[{\"a\":", 6);
}

static void spoil(struct conn *c, struct evbuffer *body, enum where at)
{
	const struct engine *e = c->engine;
	const struct fault *f;

	if ((f = faults_at(e, FAULT_TYPES, at)) != NULL)
		make_types_wrong(c, body, f->arg);
	if ((f = faults_at(e, FAULT_HUGE, at)) != NULL)
		insert_label(body, "", (size_t)f->arg);
	if (faults_at(e, FAULT_UTF8, at) != NULL)
		insert_label(body, "a\xff\xfe\xc0\x80\xed\xa0\x80z", 0);
	if ((f = faults_at(e, FAULT_LABELS, at)) != NULL)
		insert_many_labels(body, f->arg);
	if (faults_at(e, FAULT_TWICE, at) != NULL)
		say_twice(c, body);
	if ((f = faults_at(e, FAULT_DEEP, at)) != NULL)
		make_deep(body, f->arg);
	if ((f = faults_at(e, FAULT_GZIP, at)) != NULL)
		make_bomb(body, (size_t)f->arg);
	if (faults_at(e, FAULT_MALFORMED, at) != NULL && evbuffer_get_length(body) > 2) {
		size_t middle = evbuffer_get_length(body) / 2;

		evbuffer_pullup(body, -1)[middle] = '\x01';
	}
	if ((f = faults_at(e, FAULT_SHORT, at)) != NULL) {
		struct evbuffer *rest = evbuffer_new();

		evbuffer_remove_buffer(body, rest,
				       evbuffer_get_length(body) * (size_t)f->arg / 100);
		evbuffer_drain(body, evbuffer_get_length(body));
		evbuffer_add_buffer(body, rest);
		evbuffer_free(rest);
	}
}

/* ---- how it comes ---------------------------------------------------------- */

/* Writes more as long as somebody reads. */
static void go_endless(struct bufferevent *bev, void *arg)
{
	static char more[16384];

	(void)arg;
	if (more[0] == '\0')
		memset(more, ' ', sizeof(more));
	bufferevent_write(bev, more, sizeof(more));
}

/* The same, of a text that is whole by itself. */
static void go_on(struct bufferevent *bev, void *arg)
{
	const struct conn *c = arg;
	const struct engine *e = c->engine;
	static const char header[] = "X-More: of it\r\n";
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	static const char chunk[] = "10\r\n                \r\n";
	const char *text = faults_at(e, FAULT_HEADERS, c->req.where) != NULL    ? header
			   : faults_at(e, FAULT_CONTINUE, c->req.where) != NULL ? interim
										  : chunk;

	for (int i = 0; i < 1000; i++)
		bufferevent_write(bev, text, strlen(text));
}

static void on_end(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	http_free(arg);
}

static void send_endless(struct conn *c, struct evbuffer *first)
{
	bufferevent_setcb(c->bev, NULL, go_endless, on_end, c);
	bufferevent_write_buffer(c->bev, first);
	evbuffer_free(first);
}

/* One of these, and then without end: short headers, interim replies, chunks. */
static bool send_more(struct conn *c, int code, const char *type, enum where at)
{
	const struct engine *e = c->engine;
	bool chunks = code == 200 && faults_at(e, FAULT_CHUNKS, at) != NULL;
	struct evbuffer *head, *first = evbuffer_new();

	if (faults_at(e, FAULT_HEADERS, at) != NULL || chunks) {
		head = http_head(c, code, type, chunks ? SIZE_MAX : 0);
		evbuffer_remove_buffer(head, first,
				       evbuffer_get_length(head) - (chunks ? 0 : 2));
		evbuffer_free(head);
	} else if (faults_at(e, FAULT_CONTINUE, at) == NULL) {
		evbuffer_free(first);
		return false;
	}
	bufferevent_setcb(c->bev, NULL, go_on, on_end, c);
	bufferevent_write_buffer(c->bev, first);
	evbuffer_free(first);
	go_on(c->bev, c);
	return true;
}

static void drip(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	const struct fault *f = faults_at(c->engine, FAULT_TRICKLE, c->req.where);
	struct evbuffer *one = evbuffer_new();

	(void)fd;
	(void)what;
	evbuffer_remove_buffer(c->pending, one, 1);
	bufferevent_write_buffer(c->bev, one);
	evbuffer_free(one);
	if (evbuffer_get_length(c->pending) > 0) {
		http_later(c, f != NULL ? f->arg : 0, drip);
		return;
	}
	evbuffer_free(c->pending);
	c->pending = NULL;
	http_end(c);
}

static void send_pending(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	bufferevent_write_buffer(c->bev, c->pending);
	evbuffer_free(c->pending);
	c->pending = NULL;
	http_end(c);
}

static void send_cut(struct conn *c, long percent)
{
	size_t n = evbuffer_get_length(c->pending) * (size_t)percent / 100;

	evbuffer_remove_buffer(c->pending, bufferevent_get_output(c->bev), n);
	c->close_after = true;
	http_end(c);
}

static void say_gzip(struct evbuffer *head)
{
	struct evbuffer *out = evbuffer_new();

	evbuffer_remove_buffer(head, out, evbuffer_get_length(head) - 2);
	evbuffer_add_printf(out, "Content-Encoding: gzip\r\n\r\n");
	evbuffer_drain(head, 2);
	evbuffer_add_buffer(head, out);
	evbuffer_free(out);
}

void faults_send(struct conn *c, int code, const char *type, struct evbuffer *body)
{
	const struct engine *e = c->engine;
	enum where at = c->req.where;
	const struct fault *f;

	if (strcmp(c->req.method, "HEAD") == 0)
		evbuffer_drain(body, evbuffer_get_length(body));
	if (code == 200)
		spoil(c, body, at);
	if (faults_at(e, FAULT_ENDLESS_HEADERS, at) != NULL) {
		struct evbuffer *head = http_head(c, code, type, 0);
		struct evbuffer *first = evbuffer_new();

		/* All but the last CR LF CR LF; what follows belongs to one header. */
		evbuffer_remove_buffer(head, first, evbuffer_get_length(head) - 4);
		evbuffer_add_printf(first, "\r\nX-Endless: ");
		evbuffer_free(head);
		send_endless(c, first);
		return;
	}
	if (send_more(c, code, type, at))
		return;
	if (faults_at(e, FAULT_ENDLESS_BODY, at) != NULL && code == 200) {
		struct evbuffer *head = http_head(c, code, type, (size_t)1 << 50);

		evbuffer_add(head, at == AT_LIST ? "[" : "{", 1);
		send_endless(c, head);
		return;
	}
	c->pending = http_head(c, code, type, evbuffer_get_length(body));
	if (code == 200 && faults_at(e, FAULT_GZIP, at) != NULL)
		say_gzip(c->pending);
	evbuffer_add_buffer(c->pending, body);
	if ((f = faults_at(e, FAULT_CUT, at)) != NULL)
		send_cut(c, f->arg);
	else if (faults_at(e, FAULT_TRICKLE, at) != NULL)
		drip(-1, 0, c);
	else if ((f = faults_at(e, FAULT_SLOW, at)) != NULL)
		http_later(c, f->arg, send_pending);
	else
		send_pending(-1, 0, c);
}
