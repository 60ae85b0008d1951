/*
 * ask.c - what others ask of this collector: refresh, logs, forget.
 *
 * A refresh is served by the first cycle whose list begins after it was asked;
 * so those that come while one runs share one further cycle.  Of a host that is
 * offline, the attempt to connect is made at once, and its end is the answer.
 * Every ask gets exactly one answer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector_impl.h"

static void answer(struct ask *a, int rc, const char *error)
{
	struct collector *c = a->collector;
	struct control_msg m = {.kind = CONTROL_DONE, .token = a->msg.token, .rc = rc};

	snprintf(m.host, sizeof(m.host), "%s", c->host->id);
	snprintf(m.error, sizeof(m.error), "%s", rc ? error : "");
	collector_say(c, &m);
	if (a->request)
		engine_cancel(a->request);
	TAILQ_REMOVE(&c->asks, a, link);
	c->n_asks--;
	arena_free(&a->arena);
	free(a);
}

/* ---- refresh ------------------------------------------------------------------------ */

bool ask_waiting(const struct collector *c)
{
	const struct ask *a;

	TAILQ_FOREACH(a, &c->asks, link)
		if (a->msg.what == CONTROL_REFRESH && !a->served)
			return true;
	return false;
}

/* Does somebody wait for this cycle? */
bool ask_served(const struct collector *c)
{
	const struct ask *a;

	TAILQ_FOREACH(a, &c->asks, link)
		if (a->served)
			return true;
	return false;
}

void ask_list_begins(struct collector *c)
{
	struct ask *a;

	TAILQ_FOREACH(a, &c->asks, link) {
		if (a->msg.what != CONTROL_REFRESH)
			continue;
		c->refreshes++;
		a->served = true;
	}
}

void ask_cycle_dropped(struct collector *c)
{
	struct ask *a;

	TAILQ_FOREACH(a, &c->asks, link)
		a->served = false;
}

void ask_cycle_ended(struct collector *c, int rc, const char *error)
{
	struct ask *a, *next;

	for (a = TAILQ_FIRST(&c->asks); a; a = next) {
		next = TAILQ_NEXT(a, link);
		if (a->served)
			answer(a, rc, error);
	}
}

void ask_stop(struct collector *c)
{
	struct ask *a;

	TAILQ_FOREACH(a, &c->asks, link) {
		engine_cancel(a->request);
		a->request = NULL;
	}
}

void ask_attempt_failed(struct collector *c, const char *error)
{
	while (!TAILQ_EMPTY(&c->asks))
		answer(TAILQ_FIRST(&c->asks), DCM_EHOST, error);
}

/* ---- logs --------------------------------------------------------------------------- */

/* Puts the lines, fewer of them where they are too long for a record. */
static int put_lines(struct ask *a, struct dcm_strs lines)
{
	int rc = publish_logs(a->collector, a->id, lines);

	while (rc == -E2BIG && lines.n > 1) {
		lines.v += lines.n - lines.n / 2;
		lines.n /= 2;
		rc = publish_logs(a->collector, a->id, lines);
	}
	return rc;
}

static void take_logs(struct ask *a, const struct engine_reply *r)
{
	struct collector *c = a->collector;
	struct dcm_strs lines;
	struct dcm_str *clean;
	uint32_t i;

	if (decode_logs(r->body, r->len, a->tty, a->msg.lines, &a->arena, &lines)) {
		answer(a, DCM_EHOST, "the engine's log cannot be decoded");
		return;
	}
	clean = arena_alloc(&a->arena, sizeof(*clean) * (lines.n + 1));
	for (i = 0; clean && i < lines.n; i++)
		clean[i] = redact_text(&c->rules, &a->secrets, &a->arena, lines.v[i]);
	lines.v = clean;
	if (!clean) {
		answer(a, DCM_ENOMEM, "no memory for the log");
		return;
	}
	if (put_lines(a, lines)) {
		answer(a, DCM_ESYSTEM, "the log could not be written into the memory");
		return;
	}
	publish_flush(c, true);
	answer(a, DCM_OK, "");
}

/* The answer stands in the record, where one who asks at the same time for fewer
 * lines would replace it before it is read: those ask for the most of them. */
static void agree_on_lines(struct ask *a)
{
	struct ask *o;

	TAILQ_FOREACH(o, &a->collector->asks, link) {
		if (o == a || o->msg.what != CONTROL_LOGS ||
		    strcmp(o->msg.container, a->msg.container))
			continue;
		if (o->msg.lines < a->msg.lines)
			o->msg.lines = a->msg.lines;
		else
			a->msg.lines = o->msg.lines;
	}
}

static void on_logs(void *arg, const struct engine_reply *r);

static void fetch_logs(struct ask *a)
{
	struct collector *c = a->collector;
	char path[160], hex[65];

	id_hex(a->id, hex);
	session_path(c, path, sizeof(path), "/containers/%s/logs?stdout=1&stderr=1&tail=%u", hex,
		     a->msg.lines);
	a->fetched = a->msg.lines;
	a->request = engine_get(c->session.engine, path, ENGINE_LOGS_MAX, on_logs, a);
	if (!a->request)
		answer(a, DCM_ENOMEM, "no memory to ask the engine");
}

/* Its log driver passes the lines on, and keeps none. */
static const char *unreadable(const struct ask *a, const char *why, char *out, size_t len)
{
	snprintf(out, len, "the log of %.12s cannot be read, %.160s: run it with another log "
		 "driver, such as json-file", a->msg.container, why);
	return out;
}

static void on_logs(void *arg, const struct engine_reply *r)
{
	struct ask *a = arg;
	char error[256];

	a->request = NULL;
	collector_answered(a->collector, r);
	if (r->failure == ENGINE_STATUS && r->status == 404)
		answer(a, DCM_ENOTFOUND, "the container went meanwhile");
	else if (r->failure == ENGINE_STATUS && r->status == 501)
		answer(a, DCM_EHOST, unreadable(a, r->error, error, sizeof(error)));
	else if (r->failure)
		answer(a, DCM_EHOST, r->error);
	else if (a->fetched < a->msg.lines)
		fetch_logs(a);
	else
		take_logs(a, r);
}

static void on_logs_inspect(void *arg, const struct engine_reply *r)
{
	struct ask *a = arg;
	struct collector *c = a->collector;
	char error[DECODE_ERR];
	struct decoded d;

	a->request = NULL;
	if (r->failure) {
		bool gone = r->failure == ENGINE_STATUS && r->status == 404;

		answer(a, gone ? DCM_ENOTFOUND : DCM_EHOST, r->error);
		return;
	}
	/* for what has to be taken out of the lines, and how they are framed */
	if (decode_inspect(r->body, r->len, &a->arena, &d, error) ||
	    redact_record(&c->rules, &a->arena, &d.rec, &a->secrets)) {
		answer(a, DCM_EHOST, "the engine's inspect cannot be decoded");
		return;
	}
	a->tty = d.tty;
	fetch_logs(a);
}

static void begin_logs(struct ask *a)
{
	struct collector *c = a->collector;
	struct container *ct;
	char path[128];

	if (!a->msg.lines)
		a->msg.lines = c->cache->log_tail_lines;
	if (a->msg.lines > DCM_LOG_LINES)
		a->msg.lines = DCM_LOG_LINES;
	agree_on_lines(a);
	ct = id_parse(a->msg.container, a->id) ? inventory_find(c, a->id) : NULL;
	if (!ct || !ct->published) {
		answer(a, DCM_ENOTFOUND, "no such container");
		return;
	}
	if (!c->session.live) {
		answer(a, DCM_EHOST, c->session.error[0] ? c->session.error : "not connected yet");
		return;
	}
	session_path(c, path, sizeof(path), "/containers/%s/json", a->msg.container);
	a->request = engine_get_trimmed(c->session.engine, path, ENGINE_INSPECT_MAX, 1,
					on_logs_inspect, a);
	if (!a->request)
		answer(a, DCM_ENOMEM, "no memory to ask the engine");
}

/* ---- forget, and which is which ------------------------------------------------------ */

static void forget(struct ask *a)
{
	struct collector *c = a->collector;
	int rc = region_clear(c->region);

	snapshot_emptied(c, a->msg.what == CONTROL_FORGET);
	inventory_clear(c);
	catalog_forget(c);
	if (a->msg.what == CONTROL_FORGET) {
		c->listed = 0;
		session_forget(c);
	}
	publish_recount(c);
	publish_flush(c, true);
	answer(a, rc ? DCM_ESYSTEM : DCM_OK, region_error(c->region));
	if (c->session.live)
		cycle_restart(c);
}

void ask_received(struct collector *c, const struct control_msg *m)
{
	struct ask *a = c->n_asks < ASKS_MAX ? calloc(1, sizeof(*a)) : NULL;

	if (!a) {
		struct control_msg no = {.kind = CONTROL_DONE, .token = m->token, .rc = DCM_EHOST};

		snprintf(no.host, sizeof(no.host), "%s", c->host->id);
		snprintf(no.error, sizeof(no.error),
			 "too many requests wait for this host: ask later");
		collector_say(c, &no);
		return;
	}
	a->msg = *m;
	a->collector = c;
	a->arena.max = ARENA_INSPECT;
	TAILQ_INSERT_TAIL(&c->asks, a, link);
	c->n_asks++;
	if (!c->region) {
		answer(a, DCM_EHOST, "it has no room in /dev/shm: make some");
	} else if (m->what == CONTROL_LOGS) {
		begin_logs(a);
	} else if (m->what == CONTROL_FORGET || m->what == CONTROL_EXPIRE) {
		forget(a);
	} else {
		cycle_want(c, true, true);
		session_connect_now(c);
	}
}
