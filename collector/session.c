/*
 * session.c - the way to one engine: connect, negotiate, subscribe, list; the
 * host's state; and trying again.
 *
 * A handshake is  transport -> /_ping -> /version -> /info -> /events -> list.
 * It runs at start, after a host was lost, and (on the same connections, while
 * everything else goes on) when the event stream ended.  A lost host is tried
 * again after 0.1 s, doubling to 3 s, with jitter.  What fails, and silence, is judged
 * by one question, "does a ping get an answer?" (pulse.c): only where it does not, the
 * host is offline, and until the answer is there nothing is said of its state.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector_impl.h"

enum { API_MAJOR = 1, API_OLDEST = 24, API_NEWEST = 52 };
static const double backoff_first = 0.1, backoff_most = 3;
static const double ping_after = 3, ping_after_unix = 10; /* s of silence */
static const double ping_patience = 5;	  /* s, or half of a long connect_timeout */
static const double steady_after = 5;	  /* s: losing it then is a new loss */
static const double clock_tolerance = 3; /* s: what a Date header is off by */
static const double warm_up_most = 2; /* s */
static const double starved_for = 2;  /* s: without a lack of descriptors, it is over */

static void on_ping(struct collector *c, const struct engine_reply *r, bool stuck);
static void on_version(void *arg, const struct engine_reply *r);
static void on_info(void *arg, const struct engine_reply *r);

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

static void failed(struct collector *c, enum dcm_step step, const char *error)
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
static void failed_reply(struct collector *c, const struct engine_reply *r)
{
	bool local = c->host->at.kind == ENDPOINT_UNIX;

	failed(c, local && r->step == DCM_STEP_CONNECT ? DCM_STEP_DOCKER : r->step, r->error);
}

/* ---- handshake --------------------------------------------------------------------- */

static struct engine_request *get(struct collector *c, const char *path, engine_done *done)
{
	return engine_get(c->session.engine, path, ENGINE_SMALL_MAX, done, c);
}

static void shake(struct collector *c)
{
	struct session *se = &c->session;

	se->phase = PHASE_PING;
	se->attempt_at = mono_now();
	se->fresh = (struct engine_about){
		.cpus = DCM_UNKNOWN, .memory_total = DCM_UNKNOWN, .system_time = NAN};
	if (pulse_ask(c, c->cache->connect_timeout, on_ping))
		failed(c, DCM_STEP_API, "no memory to ask the engine");
}

static void on_ping(struct collector *c, const struct engine_reply *r, bool stuck)
{
	struct session *se = &c->session;

	(void)stuck; /* on_probe() asks that; here all is new */
	if (r->failure) {
		failed_reply(c, r);
		return;
	}
	snprintf(se->fresh.api_version, sizeof(se->fresh.api_version), "%s", r->api_version);
	se->clock_offset = isnan(r->date) ? NAN : r->date + 0.5 - wall_now();
	se->phase = PHASE_VERSION;
	se->step = get(c, "/version", on_version);
	if (!se->step)
		failed(c, DCM_STEP_API, "no memory to ask the engine");
}

/* Chooses the version to speak; false with the sentence where there is none. */
static bool negotiate(struct session *se, char *error, size_t len)
{
	unsigned major = 0, minor = 0, least_major = 0, least = 0;

	sscanf(se->fresh.min_api_version, "%u.%u", &least_major, &least);
	if (sscanf(se->fresh.api_version, "%u.%u", &major, &minor) != 2 || major != API_MAJOR) {
		snprintf(error, len,
			 "%.150s does not say which API version it speaks: is it a "
			 "Docker engine?",
			 se->where);
		return false;
	}
	if (minor < API_OLDEST) {
		snprintf(error, len,
			 "the engine speaks API %s, and dcm needs 1.%d: update the engine",
			 se->fresh.api_version, API_OLDEST);
		return false;
	}
	if (least_major == API_MAJOR && least > API_NEWEST) {
		snprintf(error, len,
			 "the engine wants API %s, and this dcm speaks up to 1.%d: update "
			 "dcm",
			 se->fresh.min_api_version, API_NEWEST);
		return false;
	}
	se->api_minor = minor < API_NEWEST ? minor : API_NEWEST;
	snprintf(se->api, sizeof(se->api), "1.%u", se->api_minor % 1000);
	return true;
}

static void on_version(void *arg, const struct engine_reply *r)
{
	struct collector *c = arg;
	struct session *se = &c->session;
	char error[DECODE_ERR], path[64], header[16];

	se->step = NULL;
	if (r->failure) {
		failed_reply(c, r);
		return;
	}
	memcpy(header, se->fresh.api_version, sizeof(header));
	if (decode_version(r->body, r->len, &se->fresh, error)) {
		failed(c, DCM_STEP_API, error);
		return;
	}
	if (!se->fresh.api_version[0])
		memcpy(se->fresh.api_version, header, sizeof(header));
	if (!negotiate(se, error, sizeof(error))) {
		failed(c, DCM_STEP_API, error);
		return;
	}
	se->phase = PHASE_INFO;
	se->asked_wall = wall_now();
	session_path(c, path, sizeof(path), "/info");
	se->step = get(c, path, on_info);
	if (!se->step)
		failed(c, DCM_STEP_API, "no memory to ask the engine");
}

static void on_info(void *arg, const struct engine_reply *r)
{
	struct collector *c = arg;
	struct session *se = &c->session;
	char error[DECODE_ERR];

	se->step = NULL;
	if (r->failure && r->failure != ENGINE_STATUS) {
		failed_reply(c, r);
		return;
	}
	/* an engine whose /info fails is still good for everything else */
	if (r->failure || decode_info(r->body, r->len, &se->fresh, error))
		c->errors++;
	else if (!isnan(se->fresh.system_time))
		se->clock_offset = se->fresh.system_time - (se->asked_wall + wall_now()) / 2;
	se->about = se->fresh;
	se->phase = PHASE_SUBSCRIBE;
	c->row_dirty = true;
	if (watch_open(c)) {
		failed(c, DCM_STEP_API, "no memory to ask the engine");
		return;
	}
	/* some engines send the stream's header with its first event only */
	timer_set(se->subscribe_limit, 1);
}

/* The stream is there, or will not come: the list need not wait any longer. */
static void subscribed(struct collector *c)
{
	event_del(c->session.subscribe_limit);
	if (c->session.phase != PHASE_SUBSCRIBE)
		return;
	c->session.phase = PHASE_UP;
	cycle_want(c, !c->session.live, ask_waiting(c));
}

static void on_subscribed(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	subscribed(arg);
}

static void on_transport(void *arg, const char *error)
{
	struct collector *c = arg;
	struct session *se = &c->session;

	if (error) {
		failed(c, se->ops->failed ? se->ops->failed(se->transport) : DCM_STEP_CONNECT,
		       error);
		return;
	}
	se->engine = engine_open(c->base, se->ops, se->transport, se->where,
				 c->cache->connect_timeout, c->cache->request_timeout);
	if (!se->engine)
		failed(c, DCM_STEP_API,
		       "no memory, or no descriptor, for the engine's client: raise the limits of "
		       "dcmd");
	else
		shake(c);
}

static void attempt(struct collector *c)
{
	struct session *se = &c->session;
	const char *why = NULL;

	event_del(se->retry);
	se->attempt_at = mono_now();
	se->ops = transport_for(&c->host->at, &why);
	if (!se->ops) {
		failed(c, DCM_STEP_CONNECT, why);
		return;
	}
	se->phase = PHASE_OPEN;
	se->transport =
	    se->ops->open(c->base, &c->host->at, c->cache->connect_timeout, on_transport, c);
	if (!se->transport)
		failed(c, DCM_STEP_CONNECT, "no memory for the way to the engine");
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;

	(void)fd;
	(void)what;
	if (c->session.phase == PHASE_DOWN)
		attempt(c);
	else if (c->session.phase == PHASE_UP && !c->watch.stream)
		shake(c);
}

void session_connect_now(struct collector *c)
{
	if (c->session.phase == PHASE_DOWN)
		attempt(c);
}

/* ---- while it runs -------------------------------------------------------------------- */

void session_listed(struct collector *c, const char *error)
{
	struct session *se = &c->session;
	bool first = !se->live;

	if (error && first) {
		failed(c, DCM_STEP_API, error);
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
	subscribed(c); /* an engine without events is still listed: degraded */
	session_update(c);
	/* at once the first time; a stream that keeps ending is asked for less often */
	if (c->watch.short_lives < 2) {
		shake(c);
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

static void on_probe(struct collector *c, const struct engine_reply *r, bool stuck)
{
	char why[256];

	if (r->failure && r->failure != ENGINE_STATUS && r->failure != ENGINE_STARVED) {
		failed_reply(c, r);
	} else if (stuck) {
		snprintf(why, sizeof(why), "connections to %.150s got stuck: connecting anew",
			 c->session.where);
		failed(c, DCM_STEP_API, why);
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
		attempt(c);
		return;
	}
	log_event(LOG_LEVEL_DEBUG, "clock_set", c->host->id, LF_NUM("seconds", set));
	if (se->phase == PHASE_UP) /* how far is the engine's clock from ours now? */
		shake(c);
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
	se->subscribe_limit = evtimer_new(c->base, on_subscribed, c);
	if (!se->retry || !se->subscribe_limit)
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
