/*
 * events.c - the engine's events: a backlog of the last 256, and the
 * connections that listen.  As with dockerd, a listener that does not read
 * misses events without being told.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* Is `value` among filters[key]?  No such key: yes.  Filters come as
 * {"type": ["container"]} or, of old clients, {"type": {"container": true}}. */
static bool passes(struct json_object *filters, const char *key, const char *value, bool prefix)
{
	struct json_object *want;

	if (filters == NULL || !json_object_object_get_ex(filters, key, &want))
		return true;
	if (json_object_is_type(want, json_type_object)) {
		json_object_object_foreach(want, k, v)
			if (json_object_get_boolean(v) &&
			    (strcmp(k, value) == 0 ||
			     (prefix && strncmp(k, value, strlen(k)) == 0)))
				return true;
		return false;
	}
	for (size_t i = 0; i < json_object_array_length(want); i++) {
		const char *k = json_object_get_string(json_object_array_get_idx(want, i));

		if (strcmp(k, value) == 0 || (prefix && strncmp(k, value, strlen(k)) == 0))
			return true;
	}
	return false;
}

/* A bare health_status, exec_create or exec_start makes the event filters
 * prefixes, as in the engine. */
static bool event_filters_are_prefixes(struct json_object *filters)
{
	static const char *const bare[] = {"health_status", "exec_create", "exec_start"};
	struct json_object *want;

	if (filters == NULL || !json_object_object_get_ex(filters, "event", &want))
		return false;
	for (size_t i = 0; i < 3; i++)
		if (passes(filters, "event", bare[i], false))
			return true;
	return false;
}

static bool wanted(const struct conn *c, struct json_object *o)
{
	struct json_object *actor = json_at(o, "Actor", "ID");
	struct json_object *label = json_at(o, "Actor", "Attributes");
	const char *type = json_object_get_string(json_at(o, "Type", NULL));
	const char *id = json_object_get_string(actor);
	const char *name = json_object_get_string(json_at(label, "name", NULL));

	return passes(c->filters, "type", type, false) &&
	       passes(c->filters, "event", json_object_get_string(json_at(o, "Action", NULL)),
		      event_filters_are_prefixes(c->filters)) &&
	       (passes(c->filters, "container", id, true) ||
		(name != NULL && passes(c->filters, "container", name, false)));
}

static void send_to(struct conn *c, struct json_object *o, const char *text, size_t len)
{
	const struct fault *f = faults_at(c->engine, FAULT_MALFORMED, AT_EVENTS);

	if (evbuffer_get_length(bufferevent_get_output(c->bev)) > SIM_UNREAD_MAX || !wanted(c, o))
		return;
	http_stream_write(c, f != NULL ? "{\"status\":}\n" : text, f != NULL ? 12 : len);
	if (faults_at(c->engine, FAULT_CUT, AT_EVENTS) != NULL) {
		c->close_after = true;
		events_forget(c);
		http_end(c);
	}
}

/* The text of an event for clients of this version; of 1.52 and later without
 * what was only kept for old ones. */
static void publish(struct engine *e, struct json_object *o)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	size_t slot = e->events++ % SIM_BACKLOG;
	char *line = malloc(len + 2);

	if (line == NULL)
		return;
	memcpy(line, text, len);
	memcpy(line + len, "\n", 2);
	free(e->backlog[slot].text);
	e->backlog[slot].text = line;
	e->backlog[slot].time = json_object_get_int64(json_at(o, "timeNano", NULL));
	for (struct conn *c = e->listeners, *next; c != NULL; c = next) {
		next = c->next;
		send_to(c, o, line, len + 1);
	}
}

static void put_common(struct json_object *o, const char *type, const char *action,
		       const char *actor, struct json_object *attributes)
{
	struct json_object *a = json_object_new_object();
	int64_t now = sim_now();

	json_object_object_add(o, "Type", json_object_new_string(type));
	json_object_object_add(o, "Action", json_object_new_string(action));
	json_object_object_add(a, "ID", json_object_new_string(actor));
	json_object_object_add(a, "Attributes", attributes);
	json_object_object_add(o, "Actor", a);
	json_object_object_add(o, "scope", json_object_new_string("local"));
	json_object_object_add(o, "time", json_object_new_int64(now / 1000000000));
	json_object_object_add(o, "timeNano", json_object_new_int64(now));
}

void events_container(struct container *c, const char *action, const char *key, const char *value)
{
	struct json_object *o = json_object_new_object(), *attributes = NULL;
	struct json_object *asked = fleet_asked(c);
	struct json_object *labels = json_at(asked, "Labels", NULL);
	const char *image = json_object_get_string(json_at(asked, "Image", NULL));
	char id[65];

	sim_hex(c->id, 32, id);
	if (labels == NULL || json_object_deep_copy(labels, &attributes, NULL) != 0)
		attributes = json_object_new_object();
	json_object_object_add(attributes, "image", json_object_new_string(image));
	json_object_object_add(attributes, "name", json_object_new_string(c->name));
	if (key != NULL)
		json_object_object_add(attributes, key, json_object_new_string(value));
	if (c->engine->sim->api_minor < 52) {
		json_object_object_add(o, "status", json_object_new_string(action));
		json_object_object_add(o, "id", json_object_new_string(id));
		json_object_object_add(o, "from", json_object_new_string(image));
	}
	put_common(o, "container", action, id, attributes);
	publish(c->engine, o);
	json_object_put(o);
	json_object_put(asked);
}

void events_network(struct container *c, const struct network *n, const char *action)
{
	struct json_object *o = json_object_new_object(), *attributes = json_object_new_object();
	bool none = strcmp(n->name, "none") == 0;
	char id[65];

	sim_hex(c->id, 32, id);
	json_object_object_add(attributes, "container", json_object_new_string(id));
	json_object_object_add(attributes, "name", json_object_new_string(n->name));
	json_object_object_add(attributes, "type",
			       json_object_new_string(none ? "null" : "bridge"));
	put_common(o, "network", action, n->id, attributes);
	publish(c->engine, o);
	json_object_put(o);
}

void events_volume(struct container *c, const char *volume, const char *destination,
		   const char *action)
{
	struct json_object *o = json_object_new_object(), *attributes = json_object_new_object();
	char id[65];

	sim_hex(c->id, 32, id);
	json_object_object_add(attributes, "container", json_object_new_string(id));
	if (destination != NULL) {
		json_object_object_add(attributes, "destination",
				       json_object_new_string(destination));
		json_object_object_add(attributes, "propagation", json_object_new_string(""));
		json_object_object_add(attributes, "read/write", json_object_new_string("true"));
	}
	json_object_object_add(attributes, "driver", json_object_new_string("local"));
	put_common(o, "volume", action, volume, attributes);
	publish(c->engine, o);
	json_object_put(o);
}

/* "seconds" or "seconds.nnnnnnnnn" as ns; 0 where it is not given. */
static int64_t moment(const struct request *r, const char *key)
{
	char text[64], *dot;
	int64_t ns;

	if (!http_query(r, key, text, sizeof(text)))
		return 0;
	ns = strtoll(text, &dot, 10) * 1000000000;
	if (*dot == '.') {
		char nine[10] = "000000000";

		memcpy(nine, dot + 1, strnlen(dot + 1, 9));
		ns += strtoll(nine, NULL, 10);
	}
	return ns;
}

static void on_until(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	events_forget(c);
	http_stream_end(c);
}

static void replay(struct conn *c, int64_t since)
{
	struct engine *e = c->engine;
	size_t first = e->events > SIM_BACKLOG ? e->events - SIM_BACKLOG : 0;

	for (size_t i = first; i < e->events && c->streaming; i++) {
		const char *text = e->backlog[i % SIM_BACKLOG].text;
		int64_t at = e->backlog[i % SIM_BACKLOG].time;

		if (at < since || (c->until != 0 && at > c->until))
			continue;
		struct json_object *o = json_tokener_parse(text);

		send_to(c, o, text, strlen(text));
		json_object_put(o);
	}
}

void events_listen(struct conn *c)
{
	struct engine *e = c->engine;
	int64_t since = moment(&c->req, "since"), now = sim_now();
	char filters[1024];

	if (http_query(&c->req, "filters", filters, sizeof(filters)))
		c->filters = json_tokener_parse(filters);
	c->until = moment(&c->req, "until");
	if (faults_at(e, FAULT_ENDLESS_BODY, AT_EVENTS) != NULL) {
		http_json(c, 200, json_object_new_object());
		return;
	}
	http_stream_start(c);
	if (faults_at(e, FAULT_NO_EVENTS, AT_EVENTS) != NULL)
		return;
	c->streaming = true;
	c->next = e->listeners;
	c->link = &e->listeners;
	if (c->next != NULL)
		c->next->link = &c->next;
	e->listeners = c;
	if (since != 0)
		replay(c, since);
	if (c->streaming && c->until != 0)
		http_later(c, c->until > now ? (c->until - now) / 1000000 : 0, on_until);
}

void events_forget(struct conn *c)
{
	json_object_put(c->filters);
	c->filters = NULL;
	if (!c->streaming)
		return;
	c->streaming = false;
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
}
