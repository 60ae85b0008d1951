/*
 * sampler.c - one-shot stats of every running container.
 *
 * All are asked in one burst, since engines before v25 answer one-shots at a 1 s
 * tick and so share it.  CPU usage is computed from this collector's own sample
 * before; a container's second sample comes 1 s after its first.  When a burst
 * takes longer than stats_update, the interval is stretched.  While the first cycle
 * inspects, samples wait: the engine would serve both in turn, and what there is comes
 * before how much it uses.
 *
 * How many are asked for at once is found out: each answer allows one more, up to
 * stats_concurrency, and answers that take long halve it, so that what is asked for
 * never waits longer at a busy engine (or for a share of a busy machine) than the
 * engine is given for an answer.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector_impl.h"

enum {
	API_ONE_SHOT = 41,
	LIMIT_FIRST = 32, /* at once, before an engine has shown how many it can answer */
	LIMIT_LEAST = 4,
};
static const double second_after = 1;  /* s */
static const double again_after = 3;   /* s until those that failed are asked anew */
static const double settled_after = 5; /* s without any answer: those that are left hang */
static const double longest = 100;     /* s that a refresh waits for stats that come slowly */
static const double too_close = 0.2;   /* s between samples: their difference is noise */
static const double slow_share = 0.25; /* of request_timeout: an answer that came late, */
static const double slow_least = 3;    /* s; a tick of an old engine is not late */

static void pump(struct collector *c);

bool sampler_idle(const struct collector *c)
{
	return !c->sampler.n_active && TAILQ_EMPTY(&c->sampler.queue);
}

static void unqueue(struct collector *c, struct container *ct)
{
	if (ct->sample_queued)
		TAILQ_REMOVE(&c->sampler.queue, ct, sample_link);
	if (ct->second_sample_at > 0)
		TAILQ_REMOVE(&c->sampler.seconds, ct, sample_link);
	ct->sample_queued = false;
	ct->second_sample_at = 0;
}

static void enqueue(struct collector *c, struct container *ct)
{
	if (ct->sample_queued)
		return;
	unqueue(c, ct);
	if (!ct->running || !ct->published || ct->sampling)
		return;
	ct->sample_queued = true;
	TAILQ_INSERT_TAIL(&c->sampler.queue, ct, sample_link);
}

/* ---- the end of a burst -------------------------------------------------------------- */

static void stretch(struct collector *c, double took)
{
	struct sampler *s = &c->sampler;

	if (!condition_on(&c->conditions, COND_STATS_STRETCHED))
		c->errors++;
	condition_set(&c->conditions, COND_STATS_STRETCHED,
		      "raise cache.stats_update, or set stats: false for this host",
		      "the engine took %.0f s to tell the stats of %u containers, more than the "
		      "%.0f s of stats_update, so they come less often",
		      took, s->asked, c->cache->stats_update);
	timer_set(s->timer, took / 4); /* the engine has others to serve, too */
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;
	struct sampler *s = &c->sampler;
	double took = mono_now() - s->began_at;

	(void)fd;
	(void)what;
	if (!sampler_idle(c))
		return;
	s->failing = s->failed > 0;
	s->late = s->failed;
	if (s->burst) {
		s->burst = false;
		publish_recount(c);
		log_event(LOG_LEVEL_DEBUG, "stats", c->host->id, LF_INT("containers", s->asked),
			  LF_INT("failed", s->failed), LF_NUM("seconds", took));
		if (s->overdue)
			stretch(c, took);
		else
			condition_clear(&c->conditions, COND_STATS_STRETCHED);
	}
	if (s->failing)
		timer_set(s->again, again_after);
	s->asked = s->failed = 0;
	session_update(c);
	c->row_dirty = true;
	publish_flush(c, true);
	collector_trim(c);
	cycle_check(c);
}

static void left(struct collector *c)
{
	c->sampler.n_active--;
	pump(c); /* in the place that is free now: it may be the only one */
	if (sampler_idle(c))
		event_active(c->sampler.ended, 0, 0);
}

void sampler_drop(struct collector *c, struct container *ct)
{
	unqueue(c, ct);
	ct->has_sample = ct->no_stats = false;
	if (!ct->sampling)
		return;
	engine_cancel(ct->sampling);
	ct->sampling = NULL;
	left(c);
}

/* ---- one sample ------------------------------------------------------------------------ */

static void second_sample(struct collector *c, struct container *ct)
{
	if (ct->sample_queued || ct->second_sample_at > 0)
		return;
	ct->second_sample_at = mono_now() + second_after;
	TAILQ_INSERT_TAIL(&c->sampler.seconds, ct, sample_link);
	if (!evtimer_pending(c->sampler.second, NULL))
		timer_set(c->sampler.second, second_after);
}

/* Two samples that are nearly one give no usage: the value before stays. */
static void keep_cpu(struct collector *c, struct container *ct, struct dcm_record *rec)
{
	struct region_item item;

	if (region_get(c->region, ct->id, &item))
		rec->cpu_percent = item.brief.cpu_percent;
}

static void take_sample(struct collector *c, struct container *ct, const struct stats_sample *now)
{
	struct stats_sample before = {
		.usable = ct->has_sample,
		.read = ct->sampled,
		.cpu_total = ct->cpu_total,
		.cpu_system = ct->cpu_system,
		.online_cpus = now->online_cpus,
	};
	bool first = !ct->has_sample;
	struct dcm_record rec;

	record_out_init(&rec);
	stats_to_record(first ? NULL : &before, now, &rec);
	if (!now->usable) {
		ct->has_sample = false;
	} else if (!first && now->read - ct->sampled < too_close && now->read >= ct->sampled) {
		keep_cpu(c, ct, &rec);
		first = true; /* where there is no usage yet, another sample tells it */
	} else {
		ct->has_sample = true;
		ct->sampled = now->read;
		ct->cpu_total = now->cpu_total;
		ct->cpu_system = now->cpu_system;
	}
	publish_stats(c, ct, &rec, wall_now());
	if (first && now->usable && isnan(rec.cpu_percent))
		second_sample(c, ct);
}

/* A container that ends while it is asked for may be told as an error of the
 * engine (podman: 500): it is asked for once more before that counts. */
static bool try_again(struct collector *c, struct container *ct, const struct engine_reply *r)
{
	if (r->failure != ENGINE_STATUS || ct->no_stats)
		return false;
	ct->no_stats = true;
	second_sample(c, ct);
	return true;
}

/* Those that were asked for before the last cut say nothing new. */
static void adapt(struct collector *c, const struct engine_reply *r)
{
	struct sampler *s = &c->sampler;
	double now = mono_now();

	if (r->failure != ENGINE_TIMEOUT &&
	    now - r->began < fmax(slow_share * c->cache->request_timeout, slow_least)) {
		s->limit += !r->failure && s->limit < s->most;
	} else if (r->began > s->cut_at) {
		s->cut_at = now;
		s->limit = s->limit > 2 * LIMIT_LEAST ? s->limit / 2
			   : s->limit < LIMIT_LEAST   ? s->limit
						      : LIMIT_LEAST;
	}
}

static void on_stats(void *arg, const struct engine_reply *r)
{
	struct container *ct = arg;
	struct collector *c = ct->collector;
	struct sampler *s = &c->sampler;
	struct stats_sample now;
	char error[DECODE_ERR];

	ct->sampling = NULL;
	collector_answered(c, r);
	s->answered_at = mono_now();
	adapt(c, r);
	snprintf(error, sizeof(error), "%.250s", r->error);
	if (!r->failure && !decode_stats(r->body, r->len, &now, error)) {
		s->told_at = s->answered_at;
		ct->no_stats = false;
		take_sample(c, ct, &now);
	} else if (r->status != 404 && r->status != 409 && /* those: it just went */
		   !try_again(c, ct, r)) {
		c->errors++;
		s->failed++;
		s->failing = ct->no_stats = true;
		snprintf(s->error, sizeof(s->error), "stats failed: %.230s", error);
		if (r->failure && r->failure != ENGINE_STATUS)
			session_suspect(c);
		session_update(c);
	}
	publish_flush(c, false);
	left(c);
}

static bool ask(struct collector *c, struct container *ct)
{
	char path[160], hex[65];
	bool one_shot = c->session.api_minor >= API_ONE_SHOT;

	id_hex(ct->id, hex);
	session_path(c, path, sizeof(path), "/containers/%s/stats?stream=0%s", hex,
		     one_shot ? "&one-shot=1" : "");
	ct->sampling = engine_get_later(c->session.engine, path, ENGINE_STATS_MAX, on_stats, ct);
	if (!ct->sampling)
		return false;
	c->sampler.n_active++;
	c->sampler.asked++;
	return true;
}

static void pump(struct collector *c)
{
	struct sampler *s = &c->sampler;
	struct container *ct;

	if (!c->session.engine || cycle_warms(c))
		return;
	while (s->n_active < s->limit && (ct = TAILQ_FIRST(&s->queue))) {
		unqueue(c, ct);
		if (!ask(c, ct))
			s->failed++;
	}
}

void sampler_pump(struct collector *c)
{
	if (!TAILQ_EMPTY(&c->sampler.queue) && !c->sampler.n_active)
		c->sampler.began_at = mono_now();
	pump(c);
}

void sampler_want(struct collector *c, struct container *ct)
{
	if (!c->host->stats)
		return;
	ct->has_sample = ct->no_stats = false;
	enqueue(c, ct);
	pump(c);
}

/* ---- when ------------------------------------------------------------------------------ */

static void enqueue_failed(struct collector *c, struct container *ct, void *arg)
{
	(void)arg;
	if (ct->no_stats)
		enqueue(c, ct);
}

/* That the engine serves them again is not to be seen at the next burst only. */
static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;

	(void)fd;
	(void)what;
	if (!c->session.live)
		return;
	inventory_each(c, enqueue_failed, NULL);
	pump(c);
	if (sampler_idle(c))
		event_active(c->sampler.ended, 0, 0);
}

static void enqueue_each(struct collector *c, struct container *ct, void *arg)
{
	(void)arg;
	enqueue(c, ct);
}

void sampler_burst(struct collector *c)
{
	struct sampler *s = &c->sampler;

	if (!c->host->stats || !c->session.live)
		return;
	s->burst = true;
	s->overdue = false;
	s->began_at = mono_now();
	s->asked = s->failed = 0;
	timer_set(s->timer, collector_spread(c, c->cache->stats_update));
	inventory_each(c, enqueue_each, NULL);
	pump(c);
	if (sampler_idle(c))
		event_active(s->ended, 0, 0);
}

/* A few that hang do not keep the others from their next burst; an engine that
 * has not got through the last one does. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;
	struct sampler *s = &c->sampler;
	bool busy = s->burst && (!TAILQ_EMPTY(&s->queue) || s->n_active > s->limit / 2);
	double left = s->began_at + c->cache->stats_update - mono_now();

	(void)fd;
	(void)what;
	if (cycle_warms(c)) {
		timer_set(s->timer, second_after);
	} else if (busy && left > 0.1) { /* the timer came early, to be spread */
		timer_set(s->timer, left);
	} else if (busy) {
		s->overdue = true;
	} else {
		sampler_burst(c);
		timer_set(s->timer, c->cache->stats_update);
	}
}

unsigned sampler_late(const struct collector *c)
{
	return sampler_idle(c) ? c->sampler.late : c->sampler.n_active + c->sampler.failed;
}

/* As long as stats come, however slowly, the rest is worth waiting for. */
bool sampler_settled(const struct collector *c)
{
	const struct sampler *s = &c->sampler;
	double now = mono_now(), patience = c->cache->request_timeout;

	return sampler_idle(c) || now - fmax(s->began_at, s->told_at) > patience ||
	       now - s->began_at > fmax(longest, patience) ||
	       (TAILQ_EMPTY(&s->queue) && now - fmax(s->began_at, s->answered_at) > settled_after);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;
	struct container *ct;
	double now = mono_now() + 0.02; /* those that are nearly due share the burst */

	(void)fd;
	(void)what;
	while ((ct = TAILQ_FIRST(&c->sampler.seconds)) && ct->second_sample_at <= now)
		enqueue(c, ct);
	if (ct)
		timer_set(c->sampler.second, ct->second_sample_at - mono_now());
	pump(c);
}

static void stop_one(struct collector *c, struct container *ct, void *arg)
{
	(void)arg;
	sampler_drop(c, ct);
}

void sampler_stop(struct collector *c)
{
	struct sampler *s = &c->sampler;
	unsigned limit = s->limit;

	s->limit = 0; /* so that no drop starts another */
	inventory_each(c, stop_one, NULL);
	s->limit = limit;
	s->burst = s->failing = false;
	s->asked = s->failed = 0;
	if (s->timer)
		event_del(s->timer);
	if (s->again)
		event_del(s->again);
}

int sampler_init(struct collector *c)
{
	struct sampler *s = &c->sampler;

	TAILQ_INIT(&s->queue);
	TAILQ_INIT(&s->seconds);
	s->most = c->cache->stats_concurrency ? c->cache->stats_concurrency : STATS_AUTO;
	s->limit = s->most < LIMIT_FIRST ? s->most : LIMIT_FIRST;
	s->timer = evtimer_new(c->base, on_timer, c);
	s->second = evtimer_new(c->base, on_second, c);
	s->again = evtimer_new(c->base, on_again, c);
	s->ended = event_new(c->base, -1, 0, on_ended, c);
	return s->timer && s->second && s->again && s->ended ? 0 : -1;
}
