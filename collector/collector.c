/*
 * collector.c - the collector process of one Docker host: its region, its beat,
 * and the control socket to the supervisor.
 *
 * One event loop, one engine.  It ends when the control socket ends (the
 * supervisor is gone) or at SIGTERM, and leaves its region and its snapshot behind:
 * whoever starts it again finds what was known.
 */
#include "collector.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "collector_impl.h"

static const double BEAT = 1; /* s */

void timer_set(struct event *timer, double seconds)
{
	struct timeval t;

	if (!(seconds > 0))
		seconds = 0;
	t.tv_sec = (time_t)seconds;
	t.tv_usec = (suseconds_t)((seconds - (double)t.tv_sec) * 1e6);
	evtimer_add(timer, &t);
}

double collector_spread(const struct collector *c, double interval)
{
	uint64_t h = hash_str((struct dcm_str){c->host->id, (uint32_t)strlen(c->host->id)});

	return interval * (0.25 + 0.75 * (double)(h >> 11) * 0x1p-53);
}

void collector_answered(struct collector *c, const struct engine_reply *r)
{
	c->over_limit += r->failure == ENGINE_TOO_LONG;
}

/* After a cycle there is much of it; but looking costs time, too. */
void collector_trim(struct collector *c)
{
	if (!evtimer_pending(c->trim, NULL))
		timer_set(c->trim, 0.5);
}

static void on_trim(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	malloc_trim(0);
}

/* ---- control ------------------------------------------------------------------------- */

static void send_unsent(struct collector *c)
{
	unsigned sent = 0;

	while (sent < c->n_unsent && !control_send(c->env->control, &c->unsent[sent]))
		sent++;
	c->n_unsent -= sent;
	memmove(c->unsent, c->unsent + sent, c->n_unsent * sizeof(c->unsent[0]));
}

void collector_say(struct collector *c, const struct control_msg *m)
{
	bool must = m->kind == CONTROL_DONE || m->kind == CONTROL_SHARD || m->kind == CONTROL_READY;

	send_unsent(c);
	if (!c->n_unsent && !control_send(c->env->control, m))
		return;
	/* beats and cycles may be missed; answers wait for room */
	if (must && c->n_unsent < sizeof(c->unsent) / sizeof(c->unsent[0]))
		c->unsent[c->n_unsent++] = *m;
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;
	struct control_msg m;
	int rc;

	(void)what;
	while ((rc = control_recv(fd, &m)) == 1) {
		if (m.kind == CONTROL_ASK)
			ask_received(c, &m);
		else if (m.kind == CONTROL_SHOWN && c->region &&
			 m.generation == region_generation(c->region))
			region_unlink_old(c->region);
	}
	if (rc == 0 || (rc != -EAGAIN && rc != -EINTR && rc != -EPROTO))
		event_base_loopbreak(c->base);
}

static void announce(struct collector *c, enum control_kind kind)
{
	struct control_msg m = {.kind = kind};

	if (c->region)
		m.generation = region_generation(c->region);
	collector_say(c, &m);
}

void collector_alive(struct collector *c)
{
	double now = mono_now();

	if (now - c->beat_at < BEAT)
		return;
	c->beat_at = now;
	announce(c, CONTROL_BEAT);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;
	double set, slept;

	(void)fd;
	(void)what;
	c->beat_at = mono_now();
	announce(c, CONTROL_BEAT);
	if (!c->region)
		return;
	if (clock_watch_look(&c->clock, &set, &slept))
		session_clock(c, set, slept);
	if (region_beat(c->region) == 1)
		announce(c, CONTROL_SHARD);
	/* What was refused is asked for again as soon as it fits. */
	if (condition_on(&c->conditions, COND_SHARD_FULL) && region_room(c->region))
		cycle_want(c, false, false);
	session_tick(c);
}

static void on_sigterm(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(c->base);
}

/* ---- begin and end --------------------------------------------------------------------- */

/* Nothing can be done without a region: say why, and try again. */
static void wait_for_region(struct collector *c, const char *why)
{
	struct control_msg m = {.kind = CONTROL_CONDITION};

	snprintf(m.error, sizeof(m.error), "%s", why);
	collector_say(c, &m);
	timer_set(c->again, BEAT);
}

static int open_region(struct collector *c)
{
	struct region_spec spec = {
		.kind = REGION_SHARD,
		.uid = c->env->uid,
		.gid = c->env->gid,
		.instance = c->env->instance,
		.host = c->host->id,
		.limit = c->cache->shard_limit,
	};
	char err[256];
	bool reattached = false;

	if (region_open(&c->region, &spec, &reattached, err, sizeof(err))) {
		wait_for_region(c, err);
		return -1;
	}
	if (snapshot_begin(c, reattached)) { /* what is there may not stay: it makes room */
		wait_for_region(c, region_error(c->region));
		region_close(&c->region, true);
		return -1;
	}
	inventory_adopt(c);
	publish_recount(c);
	log_event(LOG_LEVEL_DEBUG, "shard_open", c->host->id,
		  LF_STR("how", reattached ? "re-attached" : "new"),
		  LF_INT("generation", region_generation(c->region)),
		  LF_INT("containers", c->inventory.published));
	return 0;
}

static struct event_base *new_loop(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	if (cfg) { /* debounce and batches are of milliseconds: a precise timer */
		event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
		base = event_base_new_with_config(cfg);
		event_config_free(cfg);
	}
	return base;
}

static void work(struct collector *c)
{
	publish_recall(c);
	publish_flush(c, true); /* the host's row: starting */
	announce(c, CONTROL_SHARD);
	session_connect_now(c);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;

	(void)fd;
	(void)what;
	if (!open_region(c))
		work(c);
}

static int begin(struct collector *c)
{
	static const struct timeval second = {1, 0};

	c->base = new_loop();
	if (!c->base)
		return -1;
	TAILQ_INIT(&c->asks);
	clock_watch_init(&c->clock);
	c->beat = event_new(c->base, -1, EV_PERSIST, on_beat, c);
	c->control = event_new(c->base, c->env->control, EV_READ | EV_PERSIST, on_control, c);
	c->sigterm = evsignal_new(c->base, SIGTERM, on_sigterm, c);
	c->trim = evtimer_new(c->base, on_trim, c);
	c->again = evtimer_new(c->base, on_again, c);
	if (!c->beat || !c->control || !c->sigterm || !c->trim || !c->again ||
	    event_add(c->beat, &second) || event_add(c->control, NULL) ||
	    event_add(c->sigterm, NULL))
		return -1;
	if (pulse_init(c) || inventory_init(c) || inspect_init(c) || sampler_init(c) ||
	    cycle_init(c) || catalog_init(c) || compose_init(c) || publish_init(c) ||
	    session_open(c) || snapshot_init(c))
		return -1;
	if (!open_region(c))
		work(c);
	announce(c, CONTROL_READY);
	announce(c, CONTROL_BEAT);
	return 0;
}

static void free_event(struct event *e)
{
	if (e)
		event_free(e);
}

static void end(struct collector *c)
{
	ask_stop(c);
	snapshot_end(c);
	session_close(c);
	if (c->region)
		publish_flush(c, true);
	inventory_free(c);
	while (!TAILQ_EMPTY(&c->asks)) {
		struct ask *a = TAILQ_FIRST(&c->asks);

		TAILQ_REMOVE(&c->asks, a, link);
		arena_free(&a->arena);
		free(a);
	}
	compose_files_free(c);
	free_event(c->pulse.timer);
	free_event(c->inventory.large);
	publish_free(c);
	free_event(c->inspector.tick);
	free_event(c->sampler.timer);
	free_event(c->sampler.second);
	free_event(c->sampler.again);
	free_event(c->sampler.ended);
	free_event(c->cycle.status_timer);
	free_event(c->cycle.config_timer);
	free_event(c->cycle.complete);
	free_event(c->cycle.again);
	free_event(c->catalog.timer);
	free_event(c->beat);
	free_event(c->control);
	free_event(c->sigterm);
	free_event(c->trim);
	free_event(c->again);
	if (c->region)
		region_close(&c->region, false);
	event_base_free(c->base);
}

int collector_run(const struct child_env *env, const struct host_config *host,
		  const struct cache_config *cache)
{
	struct collector *c = calloc(1, sizeof(*c));
	int rc = 0;

	/* big bodies come from the system and go back to it, always */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* of a terminal: the supervisor ends us in order */
	signal(SIGHUP, SIG_IGN);
	if (!c)
		return 1;
	log_host(host->id);
	c->env = env;
	c->host = host;
	c->cache = cache;
	c->rules = (struct redact_rules){host->environment, cache->redact, cache->n_redact};
	/* TLS is a good part of a megabyte: only where it is used */
	curl_global_init(host->at.kind == ENDPOINT_TLS ? CURL_GLOBAL_ALL : CURL_GLOBAL_NOTHING);
	if (begin(c))
		rc = 1;
	else
		event_base_dispatch(c->base);
	if (c->base)
		end(c);
	curl_global_cleanup();
	free(c);
	return rc;
}
