/*
 * watch.c - the event stream.
 *
 * An event is a hint, never the truth: it leads to one inspect after the
 * debounce.  Only `destroy` acts by itself, since an id never returns.  The
 * stream begins 2 s before what is already known (since=), because the engine
 * sends its header before it subscribes; so events come twice, and those seen
 * lately are passed over.  It is renewed before proxies cut it, and always
 * drained: nothing is asked for while reading it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector_impl.h"

static const double overlap = 2;       /* s before the last event, or the engine's now */
static const double renew_after = 300; /* s */
static const double lives_after = 5;   /* s; a stream that ends sooner is a failure */

/* "health_status" alone would make every filter a prefix match on Docker, so its
 * three whole names are given; podman knows it by the bare name only, and tells it when
 * a check begins: what came of it is there a little after the end of its exec. */
#define ACTIONS                                                                             \
	"\"create\",\"start\",\"restart\",\"pause\",\"unpause\",\"die\",\"stop\",\"kill\"," \
	"\"oom\",\"rename\",\"update\",\"destroy\",\"connect\",\"disconnect\",\"mount\","   \
	"\"unmount\",\"tag\",\"untag\",\"delete\",\"import\",\"load\",\"pull\""
#define HEALTH                                                                      \
	"\"health_status: healthy\",\"health_status: unhealthy\",\"health_status: " \
	"starting\""
#define PODMAN "\"health_status\",\"exec_died\",\"died\",\"init\",\"cleanup\",\"remove\""

static bool append_escaped(char *buf, size_t len, const char *text)
{
	size_t n = strlen(buf);

	for (; *text; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
			     (*text >= '0' && *text <= '9') || *text == '_';
		int m = snprintf(buf + n, len - n, plain ? "%c" : "%%%02X", (unsigned char)*text);

		if (m < 0 || (size_t)m >= len - n)
			return false;
		n += (size_t)m;
	}
	return true;
}

/* ---- what an event leads to ------------------------------------------------------ */

struct referrers {
	bool network;
	struct dcm_str name;
};

static bool refers(struct dcm_record *r, const struct referrers *to)
{
	uint32_t i, n = to->network ? r->networks.n : r->volumes.n;

	for (i = 0; i < n; i++) {
		struct dcm_str s = to->network ? r->networks.v[i].name : r->volumes.v[i].name;

		if (s.s && s.len == to->name.len && !memcmp(s.s, to->name.s, s.len))
			return true;
	}
	return false;
}

/* Reads the tier back from the region: that a network went is rare. */
static void touch_if_refers(struct collector *c, struct container *ct, void *arg)
{
	const struct referrers *to = arg;
	enum dcm_tier tier = to->network ? DCM_STATUS : DCM_CONFIG;
	struct region_item item;
	struct dcm_record r;
	void *memory;

	if (!ct->published || !region_get(c->region, ct->id, &item) || !item.tier[tier].data)
		return;
	memory = malloc(record_decode_room(item.tier[tier].len));
	if (memory &&
	    !record_decode_copy(item.tier[tier].data, item.tier[tier].len, tier, &r, memory) &&
	    refers(&r, to))
		inventory_touch(c, ct, c->cache->event_debounce_ms / 1e3);
	free(memory);
}

static void object_destroyed(struct collector *c, const struct engine_event *ev)
{
	struct referrers to = {.network = ev->kind == EVENT_NETWORK,
			       .name = {ev->object, (uint32_t)strlen(ev->object)}};

	if (ev->object[0])
		inventory_each(c, touch_if_refers, &to);
}

static void container_event(struct collector *c, const struct engine_event *ev)
{
	struct container *ct;
	uint8_t id[32];

	if (!id_parse(ev->id, id))
		return;
	ct = inventory_find(c, id);
	if (ev->kind == EVENT_CONTAINER &&
	    (!strcmp(ev->action, "destroy") || !strcmp(ev->action, "remove"))) {
		inventory_remove(c, ct, "destroyed");
		/* an inspect, list or event under way must not bring it back */
		inventory_forget_id(c, id, true);
		publish_flush(c, true);
		return;
	}
	if (!ct && !inventory_was_destroyed(c, id))
		ct = inventory_add(c, id);
	if (!ct)
		return;
	if (!strcmp(ev->action, "exec_died"))
		ct->unsettled = true;
	inventory_touch(c, ct, c->cache->event_debounce_ms / 1e3);
}

static bool seen_before(struct watch *w, const struct engine_event *ev)
{
	uint64_t h = hash_str((struct dcm_str){ev->id, (uint32_t)strlen(ev->id)}) ^
		     hash_str((struct dcm_str){ev->action, (uint32_t)strlen(ev->action)}) * 3 ^
		     hash_str((struct dcm_str){ev->object, (uint32_t)strlen(ev->object)}) * 5 ^
		     (uint64_t)ev->time_nano;
	unsigned i;

	for (i = 0; i < EVENTS_SEEN; i++)
		if (w->seen[i] == h)
			return true;
	w->seen[w->next_seen++ % EVENTS_SEEN] = h;
	return false;
}

static void take_event(struct collector *c, const char *json, size_t len)
{
	struct watch *w = &c->watch;
	struct engine_event ev;
	char error[DECODE_ERR];

	if (decode_event(json, len, &ev, error)) {
		c->errors++;
		log_event(LOG_LEVEL_DEBUG, "event_bad", c->host->id, LF_STR("error", error));
		return;
	}
	if (ev.time_nano > w->last_event)
		w->last_event = ev.time_nano;
	if (ev.kind == EVENT_OTHER || seen_before(w, &ev))
		return;
	if (ev.kind == EVENT_IMAGE ||
	    (ev.kind == EVENT_NETWORK &&
	     (!strcmp(ev.action, "create") || !strcmp(ev.action, "destroy"))))
		catalog_want(c, c->cache->event_debounce_ms / 1e3);
	if (ev.kind == EVENT_IMAGE)
		return;
	c->events++;
	c->row_dirty = true;
	if (ev.kind != EVENT_CONTAINER &&
	    (!strcmp(ev.action, "destroy") || !strcmp(ev.action, "remove")))
		object_destroyed(c, &ev);
	else
		container_event(c, &ev);
}

/* ---- the stream ------------------------------------------------------------------- */

static long on_chunk(void *arg, const char *data, size_t len)
{
	struct collector *c = arg;
	size_t done = 0;

	if (!data) {
		c->watch.open = true;
		c->watch.opened_at = mono_now();
		if (c->session.phase == PHASE_SUBSCRIBE)
			event_active(c->session.subscribe_limit, 0, 0);
		session_update(c);
		return 0;
	}
	while (done < len) {
		long n = decode_split(data + done, len - done);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		take_event(c, data + done, (size_t)n);
		done += (size_t)n;
	}
	return (long)done;
}

static void on_end(void *arg, const struct engine_reply *r)
{
	struct collector *c = arg;
	struct watch *w = &c->watch;
	bool lived = w->open && mono_now() - w->opened_at >= lives_after;

	w->stream = NULL;
	w->open = false;
	collector_answered(c, r);
	w->short_lives = lived ? 0 : w->short_lives + 1;
	snprintf(w->error, sizeof(w->error), "the event stream ended%s%.200s: subscribing anew",
		 r->error[0] ? ": " : "", r->error);
	c->errors++;
	session_stream_lost(c, w->error);
}

int watch_open(struct collector *c)
{
	struct watch *w = &c->watch;
	double now = wall_now() + (isnan(c->session.clock_offset) ? 0 : c->session.clock_offset);
	double since = w->last_event ? (double)w->last_event / 1e9 : now;
	char path[1024], when[40];

	/* an event stamped in the future must not hide those of now */
	since = fmin(since, now) - overlap;
	snprintf(when, sizeof(when), "%lld.%09lld", (long long)since,
		 (long long)((since - floor(since)) * 1e9));
	watch_close(c);
	session_path(c, path, sizeof(path), "/events?since=%s&filters=", when);
	if (!append_escaped(path, sizeof(path),
			    "{\"type\":[\"container\",\"network\",\"volume\",\"image\"],"
			    "\"event\":[" ACTIONS ",") ||
	    !append_escaped(path, sizeof(path),
			    c->session.about.podman ? PODMAN "]}" : HEALTH "]}"))
		return -1;
	w->stream = engine_stream(c->session.engine, path, on_chunk, on_end, c);
	w->opened_at = mono_now();
	return w->stream ? 0 : -1;
}

void watch_close(struct collector *c)
{
	engine_cancel(c->watch.stream);
	c->watch.stream = NULL;
	c->watch.open = false;
}

static void reopen(struct collector *c)
{
	if (watch_open(c))
		session_stream_lost(c, "no memory for the event stream");
}

void watch_tick(struct collector *c)
{
	struct watch *w = &c->watch;
	double age = mono_now() - w->opened_at;

	if (!w->stream)
		return;
	if (w->open && w->short_lives && age >= lives_after) {
		w->short_lives = 0;
		w->error[0] = '\0';
		session_update(c);
	} else if (!w->open && age > c->cache->request_timeout) {
		w->short_lives = 2;
		snprintf(w->error, sizeof(w->error),
			 "the event stream does not open: changes are "
			 "seen by lists alone");
		reopen(c); /* the next may be answered */
		session_update(c);
	} else if (age > renew_after) {
		reopen(c); /* what falls between is within the overlap */
	}
}
