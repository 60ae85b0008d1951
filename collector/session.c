/*
 * session.c - the way to one engine as long as it lives: the host's state, how a loss is
 * noticed, and trying again.  handshake.c makes the connection.
 *
 * A lost host is tried again after 0.1 s, doubling to 3 s, with jitter.  What fails, and
 * silence, is judged by one question, "does a ping get an answer?" (pulse.c): only where
 * it does not, the host is offline, and until the answer is there nothing is said of its
 * state.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector_impl.h"

static const double backoff_first = 0.1, backoff_most = 3;
static const double ping_after = 3, ping_after_unix = 10; /* s of silence */
static const double ping_patience = 5;	  /* s, or half of a long connect_timeout */
static const double steady_after = 5;	  /* s: losing it then is a new loss */
static const double clock_tolerance = 3; /* s: what a Date header is off by */
static const double warm_up_most = 2; /* s */
static const double starved_for = 2;  /* s: without a lack of descriptors, it is over */

bool session_path(const struct collector *c, char *buf, size_t len, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(buf, len, "/v%s", c->session.api), m;

	va_start(ap, fmt);
	m = vsnprintf(buf + n, len - (size_t)n, fmt, ap);
	va_end(ap);
	return m >= 0 && (size_t)(n + m) < len;
}

/* ---- state --------------------------------------------------------------------- */

static void log_state(struct collector *c, enum dcm_host_state s)
{
	struct session *se = &c->session;

	switch (s) {
	case DCM_ONLINE:
		log_event(LOG_LEVEL_INFO, "host_online", c->host->id,
			  LF_STR("engine", se->about.version), LF_STR("api", se->api),
			  LF_STR("transport", transport_kind(&c->host->at)),
			  LF_INT("containers", c->inventory.published));
		break;
	case DCM_DEGRADED:
		log_event(LOG_LEVEL_WARN, "host_degraded", c->host->id, LF_STR("error", se->error));
		break;
	case DCM_OFFLINE:
		log_event(LOG_LEVEL_WARN, "host_offline", c->host->id, LF_STR("error", se->error));
		break;
	default:
		break;
	}
}

static void set_state(struct collector *c, enum dcm_host_state s, const char *error)
{
	struct session *se = &c->session;
	bool changed = s != se->state;

	if (!changed && !strcmp(se->error, error))
		return;
	se->state = s;
	snprintf(se->error, sizeof(se->error), "%s", error);
	if (changed)
		log_state(c, s);
	c->row_dirty = true;
	publish_flush(c, true);
}

/* "online" waits a moment for the inspects of the first list, so that who sees it
 * sees the containers, too; but not for one that hangs. */
static bool warming_up(const struct collector *c)
{
	return c->cycle.active && mono_now() < c->session.warm_by;
}

/* While connected: what, if anything, keeps the host from being online. */
static const char *fault(const struct collector *c)
{
	if (c->session.list_error[0])
		return c->session.list_error;
	if (c->watch.short_lives >= 2)
		return c->watch.error;
	if (condition_on(&c->conditions, COND_SHARD_FULL))
		return "memory is full: raise cache.shard_limit, or make room in /dev/shm";
	if (c->inventory.failing)
		return c->inspector.error;
	return c->sampler.failing ? c->sampler.error : NULL;
}

void session_update(struct collector *c)
{
	const char *error;

	if (!c->session.live)
		return; /* starting or offline until a list came */
	error = fault(c);
	if (error && c->session.state == DCM_ONLINE && pulse_asking(c))
		return; /* degraded, or offline: the ping will tell */
	if (error)
		set_state(c, DCM_DEGRADED, error);
	else if (c->watch.open && !warming_up(c))
		set_state(c, DCM_ONLINE, "");
}

/* ---- ends ------------------------------------------------------------------------ */

static void disconnect(struct collector *c)
{
	struct session *se = &c->session;

	watch_close(c);
	catalog_stop(c);
	c->watch.short_lives = 0;
	inspect_stop(c);
	sampler_stop(c);
	event_del(se->subscribe_limit);
	pulse_stop(c);
	se->step = NULL;
	engine_close(&se->engine);
	if (se->transport)
		se->ops->close(se->transport);
	se->transport = NULL;
	compose_reset(c);
	se->phase = PHASE_DOWN;
	se->live = false;
}

static double jitter(double seconds)
{
	return seconds * (0.8 + 0.4 * drand48());
}

/* A silent host has had its pause in the attempt's time, but for a rest of it. */
static double next_pause(struct session *se)
{
	double took = mono_now() - se->attempt_at;
	double least = fmax(backoff_first, se->backoff / 3);
	double pause = jitter(fmax(se->backoff - took, least));

	se->backoff = fmin(se->backoff * 2, backoff_most);
	return pause;
}

void session_failed(struct collector *c, enum dcm_step step, const char *error)
{
	struct session *se = &c->session;
	struct control_msg m = {.kind = CONTROL_CYCLE, .rc = 1};
	bool lost = c->session.live;
	const char *cause = se->transport && se->ops->lost ? se->ops->lost(se->transport) : NULL;
	char why[256];

	if (lost && mono_now() - se->live_at > steady_after)
		se->backoff = backoff_first;
	snprintf(why, sizeof(why), "%s", cause ? cause : error);
	c->errors++;
	se->failed_at = cause ? se->ops->failed(se->transport) : step;
	ask_stop(c);
	disconnect(c);
	m.containers = c->inventory.published;
	m.seconds = lost ? 0 : mono_now() - se->attempt_at;
	cycle_stop(c, why);
	set_state(c, DCM_OFFLINE, why);
	c->row_dirty = true;
	publish_flush(c, true);
	collector_say(c, &m);
	ask_attempt_failed(c, why);
	timer_set(se->retry, next_pause(se));
	collector_trim(c);
}

/* A unix socket that cannot be opened is docker's. */
void session_failed_reply(struct collector *c, const struct engine_reply *r)
{
	bool docker = c->host->at.kind == ENDPOINT_UNIX && r->step == DCM_STEP_CONNECT;

	session_failed(c, docker ? DCM_STEP_DOCKER : r->step, r->error);
}

/* ---- trying again ------------------------------------------------------------------- */

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;

	(void)fd;
	(void)what;
	if (c->session.phase == PHASE_DOWN)
		handshake_start(c);
	else if (c->session.phase == PHASE_UP && !c->watch.stream)
		handshake_again(c);
}

void session_connect_now(struct collector *c)
{
	if (c->session.phase == PHASE_DOWN)
		handshake_start(c);
}

/* ---- while it runs -------------------------------------------------------------------- */

void session_listed(struct collector *c, const char *error)
{
	struct session *se = &c->session;
	bool first = !se->live;

	if (error && first) {
		session_failed(c, DCM_STEP_API, error);
		return;
	}
	snprintf(se->list_error, sizeof(se->list_error), "%s", error ? error : "");
	if (!error) {
		se->live = true;
		se->failed_at = DCM_STEP_NONE;
	}
	if (first) {
		se->live_at = mono_now();
		se->warm_by = se->live_at + warm_up_most;
		sampler_burst(c);
	}
	session_update(c);
}

void session_stream_lost(struct collector *c, const char *error)
{
	struct session *se = &c->session;

	log_event(LOG_LEVEL_DEBUG, "stream_lost", c->host->id, LF_STR("error", error));
	handshake_subscribed(c); /* an engine without events is still listed: degraded */
	session_update(c);
	/* at once the first time; a stream that keeps ending is asked for less often */
	if (c->watch.short_lives < 2) {
		handshake_again(c);
		return;
	}
	timer_set(se->retry, jitter(fmin(backoff_first * ldexp(1, c->watch.short_lives < 16
								      ? (int)c->watch.short_lives
								      : 16),
					 backoff_most)));
}

/* Somebody may have set the engine's clock. */
static void compare_clocks(struct collector *c, double date)
{
	struct session *se = &c->session;
	double offset = date + 0.5 - wall_now();

	if (isnan(offset) || fabs(offset - se->clock_offset) < clock_tolerance)
		return;
	se->clock_offset = offset;
	c->row_dirty = true;
	publish_flush(c, true);
}

/* A ping that has no answer yet, while other requests had theirs lately: it waits for
 * its turn at an engine, or on a machine, that is busy. */
static bool only_busy(const struct collector *c, const struct engine_reply *r)
{
	const struct pulse *p = &c->pulse;

	return r->failure == ENGINE_TIMEOUT &&
	       engine_last_answer(c->session.engine) > (p->began_at + mono_now()) / 2;
}

static void on_probe(struct collector *c, const struct engine_reply *r, bool stuck)
{
	char why[256];

	if (only_busy(c, r)) {
		session_update(c);
	} else if (r->failure && r->failure != ENGINE_STATUS && r->failure != ENGINE_STARVED) {
		session_failed_reply(c, r);
	} else if (stuck) {
		snprintf(why, sizeof(why), "connections to %.150s got stuck: connecting anew",
			 c->session.where);
		session_failed(c, DCM_STEP_API, why);
	} else {
		compare_clocks(c, r->date);
		session_update(c);
	}
}

void session_suspect(struct collector *c)
{
	struct session *se = &c->session;

	if (!se->engine || pulse_asking(c) || se->phase < PHASE_SUBSCRIBE)
		return; /* a handshake finds out by itself */
	pulse_ask(c, fmax(fmin(ping_patience, c->cache->connect_timeout),
			  c->cache->connect_timeout / 2), on_probe);
}

/* A lack of our own, which no host answers for. */
static void check_descriptors(struct collector *c)
{
	double at = c->session.engine ? engine_starved(c->session.engine) : 0;

	if (at && mono_now() - at < starved_for)
		condition_set(&c->conditions, COND_DESCRIPTORS, "raise LimitNOFILE of dcmd",
			      "no descriptor was left for a connection to the engine, so that "
			      "fewer requests run at once");
	else
		condition_clear(&c->conditions, COND_DESCRIPTORS);
}

void session_tick(struct collector *c)
{
	struct session *se = &c->session;
	double most = c->host->at.kind == ENDPOINT_UNIX ? ping_after_unix : ping_after;

	check_descriptors(c);
	if (se->engine && mono_now() - engine_last_answer(se->engine) > most)
		session_suspect(c);
	watch_tick(c);
	session_update(c);
}

void session_clock(struct collector *c, double set, double slept)
{
	struct session *se = &c->session;

	c->watch.last_event = 0; /* it may lie in a time to come: ask from now on, and list */
	if (set != 0) {
		se->clock_offset -= set; /* NaN stays; of a host that answers, measured below */
		c->row_dirty = true;
		publish_flush(c, true);
	}
	if (slept) { /* peers have given our connections up, and said so to nobody */
		log_event(LOG_LEVEL_INFO, "host_awake", c->host->id, LF_NUM("seconds", slept));
		if (se->phase == PHASE_DOWN) {
			session_connect_now(c);
			return;
		}
		ask_stop(c);
		disconnect(c);
		cycle_stop(c, "the machine slept meanwhile");
		handshake_start(c);
		return;
	}
	log_event(LOG_LEVEL_DEBUG, "clock_set", c->host->id, LF_NUM("seconds", set));
	if (se->phase == PHASE_UP) /* how far is the engine's clock from ours now? */
		handshake_again(c);
}

void session_forget(struct collector *c)
{
	struct session *se = &c->session;

	if (se->live)
		return;
	se->about = (struct engine_about){.cpus = DCM_UNKNOWN, .memory_total = DCM_UNKNOWN};
	se->clock_offset = NAN;
	if (se->phase <= PHASE_VERSION)
		se->api[0] = '\0';
}

int session_open(struct collector *c)
{
	struct session *se = &c->session;

	se->state = DCM_STARTING;
	se->backoff = backoff_first;
	session_forget(c);
	transport_where(&c->host->at, se->where, sizeof(se->where));
	se->retry = evtimer_new(c->base, on_retry, c);
	if (!se->retry || handshake_init(c))
		return -1;
	srand48((long)(wall_now() * 1e6) ^
		(long)hash_str((struct dcm_str){c->host->id, (uint32_t)strlen(c->host->id)}));
	return 0;
}

void session_close(struct collector *c)
{
	struct session *se = &c->session;

	if (se->retry && se->subscribe_limit)
		disconnect(c);
	if (se->retry)
		event_free(se->retry);
	if (se->subscribe_limit)
		event_free(se->subscribe_limit);
}
