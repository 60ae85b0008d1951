/*
 * cycle.c - a cycle: one list, compared with what is held, the inspects that it
 * leads to and, for a refresh, one burst of stats.
 *
 * A list shows at once what appeared, what went, and whose state, name, health,
 * networks or ports are other than they were.  A full cycle inspects every
 * container whatever the list says.  One cycle runs at a time; what is wanted
 * meanwhile is one further cycle.  Absence from a list removes only containers
 * that were known before that list was asked for.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector_impl.h"

static const double give_up_after = 5; /* s that a cycle has before the next list */
static const double warm_most = 60;    /* s that stats wait for the first inspects */
static const double retry_first = 0.2, retry_most = 3; /* s, of lists that fail */

static void begin(struct collector *c);

/* ---- the end ------------------------------------------------------------------------ */

static void unmark(struct collector *c, struct container *ct, void *arg)
{
	(void)c;
	(void)arg;
	ct->in_cycle = false;
}

static void report(struct collector *c, int rc, const char *error, bool warm)
{
	struct cycle *cy = &c->cycle;
	double seconds = mono_now() - cy->began_at;
	struct control_msg m = {
		.kind = CONTROL_CYCLE,
		.rc = rc,
		.containers = c->inventory.published,
		.seconds = seconds,
	};

	if (error) /* the first; the next ones say nothing new */
		log_event(c->session.list_error[0] ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
			  "cycle_failed", c->host->id, LF_STR("error", error),
			  LF_NUM("seconds", seconds));
	else
		log_event(warm ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, warm ? "host_warm" : "cycle",
			  c->host->id,
			  LF_INT("containers", c->inventory.published),
			  LF_INT("running", c->inventory.running), LF_INT("changed", cy->changed),
			  LF_INT("failed", cy->failed + cy->slow),
			  LF_INT("requests",
				 (int64_t)(engine_requests(c->session.engine) - cy->requests)),
			  LF_NUM("seconds", seconds));
	collector_say(c, &m);
}

static void end(struct collector *c, const char *error)
{
	struct cycle *cy = &c->cycle;
	unsigned late = cy->failed + cy->slow + (cy->stats ? sampler_late(c) : 0);
	bool warm = cy->first && !error && !cy->goes_on;
	char partial[128];

	cy->active = false;
	if (!error && !c->refused)
		condition_clear(&c->conditions, COND_SHARD_FULL);
	c->refused = 0;
	if (!error)
		snapshot_whole(c);
	session_update(c);
	c->row_dirty = true;
	publish_flush(c, true);
	report(c, error ? 1 : 0, error, warm);
	cy->first = cy->first && !warm;
	if (warm)
		timer_set(cy->status_timer, collector_spread(c, c->cache->status_update));
	if (!cy->goes_on)
		sampler_pump(c);
	snprintf(partial, sizeof(partial), "%u of %zu containers did not answer in time", late,
		 c->inventory.count);
	ask_cycle_ended(c, error || late ? DCM_EHOST : DCM_OK, error ? error : late ? partial : "");
	collector_trim(c);
	if (cy->wanted && !cy->active)
		begin(c);
}

void cycle_left(struct collector *c, struct container *ct, bool ok)
{
	if (!ct->in_cycle)
		return;
	ct->in_cycle = false;
	c->cycle.pending--;
	c->cycle.failed += !ok;
	if (!c->cycle.pending && c->cycle.first)
		sampler_burst(c);
	cycle_check(c);
}

bool cycle_warms(const struct collector *c)
{
	const struct cycle *cy = &c->cycle;

	return cy->first && cy->active && (cy->listing || cy->pending) &&
	       mono_now() - c->session.live_at < warm_most;
}

static bool waits_for_stats_alone(const struct cycle *cy)
{
	return cy->active && !cy->listing && !cy->pending;
}

static bool complete(const struct collector *c)
{
	return waits_for_stats_alone(&c->cycle) && (!c->cycle.stats || sampler_settled(c));
}

/* The end comes from a timer, not from inside whatever called. */
void cycle_check(struct collector *c)
{
	if (complete(c))
		timer_set(c->cycle.complete, 0);
	else if (waits_for_stats_alone(&c->cycle) && !evtimer_pending(c->cycle.complete, NULL))
		timer_set(c->cycle.complete, 0.5);
}

void cycle_stop(struct collector *c, const char *error)
{
	struct cycle *cy = &c->cycle;

	cy->list = NULL; /* its engine is closed */
	cy->wanted = cy->wanted_full = cy->wanted_stats = false;
	if (!cy->active)
		return;
	cy->active = false;
	inventory_each(c, unmark, NULL);
	ask_cycle_ended(c, DCM_EHOST, error);
}

void cycle_restart(struct collector *c)
{
	struct cycle *cy = &c->cycle;

	if (cy->active)
		ask_cycle_dropped(c);
	engine_cancel(cy->list);
	cy->list = NULL;
	cy->active = false;
	cycle_want(c, true, true);
}

/* ---- the list ----------------------------------------------------------------------- */

struct listing {
	struct collector *c;
	double began_at, answered; /* mono, Unix */
	struct arena *arena;
	unsigned left_out;
	bool room; /* for what was refused */
};

static uint64_t list_hash(struct collector *c, const struct dcm_record *r)
{
	struct record_buf *b = &c->buf[DCM_LOGS];
	uint64_t h = hash_str(r->image);

	if (!record_encode(r, DCM_STATUS, b))
		h ^= hash_str((struct dcm_str){b->data, (uint32_t)b->len}) * 3;
	return h | 1;
}

/* Is what the list says what the region shows? */
static bool as_held(struct collector *c, const struct container *ct, const struct dcm_record *r)
{
	struct region_item item;

	if (!region_get(c->region, ct->id, &item))
		return false;
	if (r->name.s &&
	    (item.name.len != r->name.len || memcmp(item.name.s, r->name.s, r->name.len)))
		return false;
	if (item.brief.status != record_status_code(r->status))
		return false;
	/* of a container that does not run, the list tells no health */
	return item.brief.status != DCM_S_RUNNING ||
	       item.brief.health == record_health_code(r->health_status);
}

static void want_inspect(struct collector *c, struct container *ct)
{
	if (ct->in_cycle)
		return;
	ct->in_cycle = true;
	c->cycle.pending++;
	if (ct->inspecting)
		ct->again = ct->inspecting->began_at < c->cycle.began_at;
	else if (ct->queue == QUEUE_NONE || ct->queue == QUEUE_SETTLING)
		inventory_queue(c, ct, QUEUE_SWEEP);
}

static void publish_listed(struct listing *l, struct container *ct, const struct decoded *d)
{
	struct collector *c = l->c;
	struct decoded own = *d;
	struct secrets secrets = {NULL, 0, 0};
	struct publish_source src = {
		.decoded = &own,
		.arena = l->arena,
		.verified = l->answered,
		.secrets = &secrets,
	};

	if (!redact_record(&c->rules, l->arena, &own.rec, &secrets))
		publish_container(c, ct, &src);
}

/* Is it to be shown with what the list says, since no inspect tells more? */
static bool list_must_do(struct listing *l, struct container *ct, bool held)
{
	double left = ct->first_seen_at + l->c->cache->request_timeout - mono_now();

	if (ct->published)
		return !held && (!ct->whole || ct->failures);
	if (left > 0)
		cycle_list_after(l->c, left);
	return left <= 0;
}

static bool take_listed(const struct decoded *d, void *arg)
{
	struct listing *l = arg;
	struct collector *c = l->c;
	struct container *ct = inventory_find(c, d->id);
	uint64_t h = list_hash(c, &d->rec);
	bool held, changed;

	collector_alive(c); /* a list may have 100,000 of them */
	if (!ct && inventory_was_removed(c, d->id, l->began_at))
		return true;
	if (!ct && !(ct = inventory_add(c, d->id))) {
		l->left_out++;
		return true;
	}
	ct->cycle = c->cycle.number;
	c->refused += ct->refused && !l->room; /* it is not even tried again */
	held = ct->published && as_held(c, ct, &d->rec);
	changed = !held || (ct->listed && ct->listed != h && !ct->inspected);
	ct->listed = h;
	ct->inspected = false;
	if (held && ct->running == d->running)
		publish_verified(c, ct, l->answered);
	if (list_must_do(l, ct, held))
		publish_listed(l, ct, d);
	c->cycle.changed += changed;
	if (c->cycle.full)
		ct->compose_due = true;
	if (ct->failures && !changed && !c->cycle.full)
		return true; /* it has its own time for the next attempt */
	if (ct->refused ? l->room : c->cycle.full || changed || !ct->whole)
		want_inspect(c, ct);
	return true;
}

static void remove_absent(struct collector *c, struct container *ct, void *arg)
{
	const double *began_at = arg;

	if (ct->cycle != c->cycle.number && ct->first_seen_at < *began_at)
		inventory_remove(c, ct, "not in the list");
}

static void ask_of_absent(struct collector *c, struct container *ct, void *arg)
{
	const double *began_at = arg;

	if (ct->cycle != c->cycle.number && ct->first_seen_at < *began_at)
		want_inspect(c, ct);
}

static void take_list(struct collector *c, const struct engine_reply *r, char *error)
{
	struct arena arena = {.max = ARENA_INSPECT};
	struct listing l = {.c = c, .began_at = r->began, .answered = wall_now(), .arena = &arena};
	unsigned bad = 0;
	int rc;

	c->cycle.number++;
	l.room = region_room(c->region);
	rc = decode_list(r->body, r->len, &arena, take_listed, &l, &bad, error);
	arena_free(&arena);
	if (rc)
		return;
	if (bad || l.left_out) {
		c->errors++;
		log_event(LOG_LEVEL_WARN, "list_incomplete", c->host->id,
			  LF_STR("error", l.left_out ? "more containers than one host may have"
						     : "items without a usable id"),
			  LF_INT("containers", (int64_t)bad + l.left_out));
	}
	/* of items that could not be read nobody knows whose they are: ask */
	inventory_each(c, bad ? ask_of_absent : remove_absent, &l.began_at);
	c->listed = l.answered;
	c->was_listed = true;
}

static void list_again(struct collector *c)
{
	struct cycle *cy = &c->cycle;

	cy->retry = fmin(fmax(cy->retry * 2, retry_first), retry_most);
	if (c->session.live && cy->retry < c->cache->status_update)
		timer_set(cy->status_timer, cy->retry);
}

static void on_list(void *arg, const struct engine_reply *r)
{
	struct collector *c = arg;
	struct cycle *cy = &c->cycle;
	char error[DECODE_ERR] = "";

	cy->list = NULL;
	collector_answered(c, r);
	if (r->failure) {
		snprintf(error, sizeof(error), "%.250s", r->error);
		if (r->failure != ENGINE_STATUS)
			session_suspect(c);
	} else {
		take_list(c, r, error);
	}
	if (error[0]) {
		c->errors++;
		if (c->session.live)
			end(c, error);
		session_listed(c, error);
		list_again(c);
		return;
	}
	cy->retry = 0;
	cy->listing = false;
	if (cy->stats)
		sampler_burst(c);
	inspect_pump(c);
	publish_flush(c, false);
	session_listed(c, NULL);
	cycle_check(c);
}

/* ---- when --------------------------------------------------------------------------- */

static void begin(struct collector *c)
{
	struct cycle *cy = &c->cycle;
	char path[64];

	cy->full = cy->wanted_full;
	cy->stats = cy->wanted_stats && c->host->stats;
	cy->wanted = cy->wanted_full = cy->wanted_stats = false;
	cy->pending = cy->failed = cy->slow = cy->changed = 0;
	cy->began_at = mono_now();
	cy->requests = engine_requests(c->session.engine);
	cy->active = cy->listing = true;
	ask_list_begins(c);
	session_path(c, path, sizeof(path), "/containers/json?all=1");
	cy->list = engine_get_trimmed(c->session.engine, path, ENGINE_LIST_MAX, 2, on_list, c);
	timer_set(cy->status_timer, collector_spread(c, c->cache->status_update));
	if (cy->full) {
		timer_set(cy->config_timer, collector_spread(c, c->cache->config_update));
		catalog_want(c, 0);
	}
	if (!cy->list)
		end(c, "no memory to ask the engine");
}

void cycle_want(struct collector *c, bool full, bool stats)
{
	struct cycle *cy = &c->cycle;

	cy->wanted = true;
	cy->wanted_full |= full;
	cy->wanted_stats |= stats;
	if (!cy->active && (c->session.live || c->session.phase == PHASE_UP))
		begin(c);
}

/* A refresh ends with its stats; the list itself is in. */
static bool stats_are_awaited(const struct collector *c)
{
	return waits_for_stats_alone(&c->cycle) && c->cycle.stats && !sampler_settled(c) &&
	       ask_served(c);
}

/* Whatever inspects it still waits for: the next list must come in time.  They
 * stay in their queue; a first cycle whose inspects are answered, only slowly (a large
 * host, a busy machine), is over when they are done. */
static void give_up(struct collector *c)
{
	struct cycle *cy = &c->cycle;

	if (!cy->active || cy->listing)
		return;
	cy->slow += cy->pending;
	cy->pending = 0;
	inventory_each(c, unmark, NULL);
	cy->stats = cy->stats && sampler_idle(c);
	cy->goes_on = cy->first && c->inspector.answered > cy->began_at;
	end(c, NULL);
	cy->goes_on = false;
}

void cycle_list_after(struct collector *c, double seconds)
{
	if (!evtimer_pending(c->cycle.again, NULL))
		timer_set(c->cycle.again, fmax(seconds, 0.05));
}

/* Some are still not published: a list shows what it knows of them. */
static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;

	(void)fd;
	(void)what;
	if (!c->session.live || c->inventory.published == c->inventory.count)
		return;
	give_up(c);
	cycle_want(c, false, false);
}

static void on_complete(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;

	(void)fd;
	(void)what;
	if (complete(c))
		end(c, NULL);
	else
		cycle_check(c);
}

static void on_status_timer(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;
	double left = c->cycle.began_at + c->cache->status_update - mono_now();

	(void)fd;
	(void)what;
	if (c->cycle.active && left > 0.1) { /* it came early, to be spread */
		timer_set(c->cycle.status_timer, left);
		return;
	}
	if (c->session.live) {
		if (mono_now() - c->cycle.began_at > give_up_after && !stats_are_awaited(c))
			give_up(c);
		cycle_want(c, false, false);
	}
	timer_set(c->cycle.status_timer, c->cache->status_update);
}

static void on_config_timer(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;

	(void)fd;
	(void)what;
	if (c->session.live)
		cycle_want(c, true, false);
	timer_set(c->cycle.config_timer, c->cache->config_update);
}

int cycle_init(struct collector *c)
{
	struct cycle *cy = &c->cycle;

	cy->first = true;
	cy->complete = evtimer_new(c->base, on_complete, c);
	cy->again = evtimer_new(c->base, on_again, c);
	cy->status_timer = evtimer_new(c->base, on_status_timer, c);
	cy->config_timer = evtimer_new(c->base, on_config_timer, c);
	return cy->complete && cy->again && cy->status_timer && cy->config_timer ? 0 : -1;
}
