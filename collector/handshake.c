/*
 * handshake.c - the beginning of a session: a way to the engine, who it is, and which
 * version of its API to speak.
 *
 *	transport -> /_ping -> /version -> /info -> /events -> list
 *
 * It runs at start, after a host was lost, and (on the same connections, while
 * everything else goes on) when the event stream ended.  A step that fails ends it by
 * session_failed(), and session.c tries again.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "collector_impl.h"

enum { API_MAJOR = 1, API_OLDEST = 24, API_NEWEST = 52 };

static void on_ping(struct collector *c, const struct engine_reply *r, bool stuck);
static void on_version(void *arg, const struct engine_reply *r);
static void on_info(void *arg, const struct engine_reply *r);

static struct engine_request *get(struct collector *c, const char *path, engine_done *done)
{
	return engine_get(c->session.engine, path, ENGINE_SMALL_MAX, done, c);
}

void handshake_again(struct collector *c)
{
	struct session *se = &c->session;

	se->phase = PHASE_PING;
	se->attempt_at = mono_now();
	se->fresh = (struct engine_about){
		.cpus = DCM_UNKNOWN, .memory_total = DCM_UNKNOWN, .system_time = NAN};
	if (pulse_ask(c, c->cache->connect_timeout, on_ping))
		session_failed(c, DCM_STEP_API, "no memory to ask the engine");
}

static void on_ping(struct collector *c, const struct engine_reply *r, bool stuck)
{
	struct session *se = &c->session;

	(void)stuck; /* on_probe() asks that; here all is new */
	if (r->failure) {
		session_failed_reply(c, r);
		return;
	}
	snprintf(se->fresh.api_version, sizeof(se->fresh.api_version), "%s", r->api_version);
	se->clock_offset = isnan(r->date) ? NAN : r->date + 0.5 - wall_now();
	se->phase = PHASE_VERSION;
	se->step = get(c, "/version", on_version);
	if (!se->step)
		session_failed(c, DCM_STEP_API, "no memory to ask the engine");
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
		session_failed_reply(c, r);
		return;
	}
	memcpy(header, se->fresh.api_version, sizeof(header));
	if (decode_version(r->body, r->len, &se->fresh, error)) {
		session_failed(c, DCM_STEP_API, error);
		return;
	}
	if (!se->fresh.api_version[0])
		memcpy(se->fresh.api_version, header, sizeof(header));
	if (!negotiate(se, error, sizeof(error))) {
		session_failed(c, DCM_STEP_API, error);
		return;
	}
	se->phase = PHASE_INFO;
	se->asked_wall = wall_now();
	session_path(c, path, sizeof(path), "/info");
	se->step = get(c, path, on_info);
	if (!se->step)
		session_failed(c, DCM_STEP_API, "no memory to ask the engine");
}

static void on_info(void *arg, const struct engine_reply *r)
{
	struct collector *c = arg;
	struct session *se = &c->session;
	char error[DECODE_ERR];

	se->step = NULL;
	if (r->failure && r->failure != ENGINE_STATUS) {
		session_failed_reply(c, r);
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
		session_failed(c, DCM_STEP_API, "no memory to ask the engine");
		return;
	}
	/* some engines send the stream's header with its first event only */
	timer_set(se->subscribe_limit, 1);
}

/* The stream is there, or will not come: the list need not wait any longer. */
void handshake_subscribed(struct collector *c)
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
	handshake_subscribed(arg);
}

static void on_transport(void *arg, const char *error)
{
	struct collector *c = arg;
	struct session *se = &c->session;

	if (error) {
		session_failed(c,
			       se->ops->failed ? se->ops->failed(se->transport) : DCM_STEP_CONNECT,
			       error);
		return;
	}
	se->engine = engine_open(c->base, se->ops, se->transport, se->where,
				 c->cache->connect_timeout, c->cache->request_timeout);
	if (!se->engine)
		session_failed(c, DCM_STEP_API,
			       "no memory, or no descriptor, for the engine's client: raise the "
			       "limits of dcmd");
	else
		handshake_again(c);
}

void handshake_start(struct collector *c)
{
	struct session *se = &c->session;
	const char *why = NULL;

	event_del(se->retry);
	se->attempt_at = mono_now();
	se->ops = transport_for(&c->host->at, &why);
	if (!se->ops) {
		session_failed(c, DCM_STEP_CONNECT, why);
		return;
	}
	se->phase = PHASE_OPEN;
	se->transport =
	    se->ops->open(c->base, &c->host->at, c->cache->connect_timeout, on_transport, c);
	if (!se->transport)
		session_failed(c, DCM_STEP_CONNECT, "no memory for the way to the engine");
}

int handshake_init(struct collector *c)
{
	c->session.subscribe_limit = evtimer_new(c->base, on_subscribed, c);
	return c->session.subscribe_limit ? 0 : -1;
}
