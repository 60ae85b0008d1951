/*
 * inspect.c - the queue of inspects.
 *
 * At most inspect_concurrency at once; what an event asked for goes before what
 * a sweep asked for.  An inspect waits on the container's lock in the engine and
 * may hang for ever: one that is slow, while one begun later was answered, no longer
 * counts against the concurrency (but SLOW_INSPECTS bounds them), so it holds up nothing
 * else.  Where all are slow the engine is busy, and more would make it worse.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector_impl.h"

static const double slow_after = 0.5; /* s: gives its place to another */
static const double left_after = 5;   /* s: the cycle waits no longer */
static const double follow_after = 1; /* s: a second look at what may change unheard */
static const double retry_most = 3, retry_share = 0.3; /* s between inspects that fail: more
							* where many do */

static void on_reply(void *arg, const struct engine_reply *r);

static int start(struct collector *c, struct container *ct)
{
	struct inspector *ins = &c->inspector;
	struct inspection *in = calloc(1, sizeof(*in));
	char path[128], hex[65];

	if (!in)
		return -1;
	id_hex(ct->id, hex);
	session_path(c, path, sizeof(path), "/containers/%s/json", hex);
	in->collector = c;
	in->container = ct;
	in->arena.max = ARENA_INSPECT;
	in->began_at = mono_now();
	in->request =
	    engine_get_trimmed(c->session.engine, path, ENGINE_INSPECT_MAX, 1, on_reply, in);
	if (!in->request) {
		free(in);
		return -1;
	}
	ct->inspecting = in;
	ct->again = false;
	TAILQ_INSERT_TAIL(&ins->active, in, link);
	ins->n_active++;
	return 0;
}

static unsigned find_slow(struct collector *c)
{
	struct inspection *in;
	double now = mono_now();
	unsigned slow = 0;

	TAILQ_FOREACH(in, &c->inspector.active, link) {
		if (now - in->began_at < slow_after ||
		    (in->began_at >= c->inspector.answered && now - in->began_at < left_after))
			break; /* they are in order of their beginning */
		slow++;
	}
	return slow;
}

void inspect_pump(struct collector *c)
{
	struct inventory *v = &c->inventory;
	struct inspector *ins = &c->inspector;
	unsigned slow;

	if (!c->session.engine || c->session.phase == PHASE_DOWN || !c->session.api[0])
		return;
	slow = ins->n_active >= c->cache->inspect_concurrency ? find_slow(c) : 0;
	while (ins->n_active - slow < c->cache->inspect_concurrency &&
	       ins->n_active < c->cache->inspect_concurrency + SLOW_INSPECTS) {
		struct container *ct = TAILQ_FIRST(&v->urgent);

		if (!ct)
			ct = TAILQ_FIRST(&v->sweep);
		if (!ct)
			break;
		inventory_queue(c, ct, QUEUE_NONE);
		if (start(c, ct)) {
			inventory_touch(c, ct, 1);
			break;
		}
	}
	if (ins->n_active && !evtimer_pending(ins->tick, NULL))
		timer_set(ins->tick, 0.25);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;
	struct inspection *in;
	double now = mono_now();

	(void)fd;
	(void)what;
	TAILQ_FOREACH(in, &c->inspector.active, link)
		if (in->container->in_cycle && now - in->began_at > left_after) {
			c->cycle.slow++;
			cycle_left(c, in->container, true);
		}
	inspect_pump(c);
}

static void drop(struct inspection *in)
{
	struct collector *c = in->collector;

	TAILQ_REMOVE(&c->inspector.active, in, link);
	c->inspector.n_active--;
	in->container->inspecting = NULL;
	engine_cancel(in->request);
	compose_read_cancel(c, in);
	arena_free(&in->arena);
	free(in);
}

void inspect_drop(struct collector *c, struct container *ct)
{
	(void)c;
	if (ct->inspecting)
		drop(ct->inspecting);
}

void inspect_stop(struct collector *c)
{
	struct inventory *v = &c->inventory;
	struct container *ct;

	while (!TAILQ_EMPTY(&c->inspector.active))
		drop(TAILQ_FIRST(&c->inspector.active));
	while ((ct = TAILQ_FIRST(&v->settling)) || (ct = TAILQ_FIRST(&v->urgent)) ||
	       (ct = TAILQ_FIRST(&v->sweep)))
		inventory_queue(c, ct, QUEUE_NONE);
}

/* ---- answers ------------------------------------------------------------------------ */

static void try_one(struct collector *c, struct container *ct, void *arg)
{
	(void)arg;
	if (ct->failures && ct->queue == QUEUE_SETTLING)
		inventory_touch(c, ct, 0);
}

/* Others that failed need not wait out their time. */
static void try_others(struct collector *c)
{
	double now = mono_now();

	if (now - c->inspector.tried_at < 1)
		return;
	c->inspector.tried_at = now;
	inventory_each(c, try_one, NULL);
}

static void finish(struct inspection *in, bool ok)
{
	struct collector *c = in->collector;
	struct container *ct = in->container;
	bool again = ct->again;

	bool mended = ok && ct->failures > 0;

	drop(in);
	c->inventory.failing -= mended;
	if (ok)
		ct->failures = 0;
	if (mended && c->inventory.failing)
		try_others(c);
	if (ct->in_cycle)
		cycle_left(c, ct, ok);
	if (again && ct->queue == QUEUE_NONE)
		inventory_touch(c, ct, c->cache->event_debounce_ms / 1e3);
	inspect_pump(c);
	if (!c->inspector.n_active && TAILQ_EMPTY(&c->inventory.sweep))
		compose_idle(c);
	publish_flush(c, !c->inspector.n_active);
	session_update(c);
	cycle_check(c);
}

static void fail(struct inspection *in, const char *error)
{
	struct collector *c = in->collector;
	struct container *ct = in->container;
	bool first = ct->failures == 0;
	char hex[65];

	c->errors++;
	id_hex(ct->id, hex);
	snprintf(c->inspector.error, sizeof(c->inspector.error), "inspect of %.12s failed: %.200s",
		 hex, error);
	/* one line when it begins: host_degraded says the rest */
	log_event(c->inventory.failing ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "inspect_failed",
		  c->host->id, LF_STR("container", hex), LF_STR("error", error));
	c->inventory.failing += first;
	if (ct->failures < 250)
		ct->failures++;
	finish(in, false);
	/* drop() emptied the place, so that this is the next attempt */
	if (!ct->inspecting)
		inventory_touch(c, ct,
				fmin(ldexp(1, ct->failures < 8 ? ct->failures : 8),
				     fmax(retry_most, c->inventory.failing * retry_share)));
}

void inspect_ready(struct inspection *in, bool known, struct dcm_str text)
{
	struct publish_source src = {
		.decoded = &in->decoded,
		.arena = &in->arena,
		.verified = in->answered,
		.whole = true,
		.secrets = &in->secrets,
		.text_known = known,
		.text = text,
	};
	struct container *ct = in->container;
	struct collector *c = in->collector;
	/* a start that fails may have no event at all */
	bool starts = record_status_code(in->decoded.rec.status) == DCM_S_CREATED &&
		      !ct->in_cycle && !ct->followed;

	if (known)
		ct->compose_due = false;
	ct->inspected = true;
	publish_container(c, ct, &src);
	finish(in, true);
	if (ct->queue == QUEUE_NONE && !ct->inspecting && (starts || ct->unsettled)) {
		ct->followed |= starts;
		ct->unsettled = false;
		inventory_touch(c, ct, follow_after);
	}
}

static void on_reply(void *arg, const struct engine_reply *r)
{
	struct inspection *in = arg;
	struct collector *c = in->collector;
	struct container *ct = in->container;
	char error[DECODE_ERR];

	in->request = NULL;
	if (!r->failure && in->began_at > c->inspector.answered)
		c->inspector.answered = in->began_at;
	collector_answered(c, r);
	if (r->failure == ENGINE_STATUS && r->status == 404) {
		inventory_remove(c, ct, "inspect: no such container");
		inspect_pump(c);
		publish_flush(c, true);
		cycle_check(c);
		return;
	}
	if (r->failure) {
		if (r->failure != ENGINE_STATUS)
			session_suspect(c);
		fail(in, r->error);
		return;
	}
	in->answered = wall_now();
	if (decode_inspect(r->body, r->len, &in->arena, &in->decoded, error)) {
		fail(in, error);
		return;
	}
	in->files = in->decoded.rec.compose_config_files;
	in->files_dir = in->decoded.rec.compose_working_dir;
	if (redact_record(&c->rules, &in->arena, &in->decoded.rec, &in->secrets)) {
		fail(in, "no memory to redact it");
		return;
	}
	if (memcmp(in->decoded.id, ct->id, 32)) {
		fail(in, "the engine answered with another container");
		return;
	}
	if (hash_str(in->files) != ct->files)
		ct->compose_due = true;
	ct->files = hash_str(in->files);
	if (!ct->compose_due)
		inspect_ready(in, false, (struct dcm_str){NULL, 0});
	else
		compose_read(c, in);
}

int inspect_init(struct collector *c)
{
	TAILQ_INIT(&c->inspector.active);
	c->inspector.tick = evtimer_new(c->base, on_tick, c);
	return c->inspector.tick ? 0 : -1;
}
