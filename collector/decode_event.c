/*
 * decode_event.c - one event of the engine's stream, and cutting the stream.
 *
 * An event is a hint to inspect, so little of it is read: what it is about and
 * what happened.  Podman's words are made Docker's.
 */
#include <stdio.h>
#include <string.h>

#include "decode_json.h"
#include "decode_text.h"

long decode_split(const char *s, size_t len)
{
	size_t i = 0;

	while (i < len && s[i] && strchr(" \t\r\n", s[i]))
		i++;
	if (i == len)
		return 0;
	return s[i] == '{' ? json_span(s, len) : -1;
}

static bool is(struct dcm_str s, const char *text)
{
	return s.s && strcmp(s.s, text) == 0;
}

static enum event_kind kind_of(struct json_object *root)
{
	struct dcm_str type = json_raw(json_get(root, "Type"));

	if (is(type, "container"))
		return EVENT_CONTAINER;
	if (is(type, "network"))
		return EVENT_NETWORK;
	if (is(type, "volume"))
		return EVENT_VOLUME;
	if (is(type, "image"))
		return EVENT_IMAGE;
	/* Before API 1.22 there is no Type, and all that has an id is a container. */
	return !type.s && json_raw(json_get(root, "id")).s ? EVENT_CONTAINER : EVENT_OTHER;
}

/* "exec_create: sh -c …" is exec_create; podman's words are Docker's. */
static void read_action(struct json_object *root, struct engine_event *out)
{
	static const struct {
		const char *podman, *docker;
	} names[] = {{"remove", "destroy"}, {"died", "die"}};
	struct dcm_str s = json_raw(json_get(root, "Action"));
	const char *colon;
	size_t i;

	if (!s.len)
		s = json_raw(json_get(root, "status"));
	if (!s.len)
		return;
	colon = memchr(s.s, ':', s.len);
	text_line(s.s, colon ? (size_t)(colon - s.s) : s.len, out->action, sizeof(out->action));
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(out->action, names[i].podman) == 0)
			snprintf(out->action, sizeof(out->action), "%s", names[i].docker);
}

/* Only a whole container id is one. */
static void read_id(struct dcm_str s, struct engine_event *out)
{
	if (s.len == 64 && strspn(s.s, "0123456789abcdef") == 64)
		memcpy(out->id, s.s, 65);
}

int decode_event(const char *json, size_t len, struct engine_event *out, char *err)
{
	struct json_object *actor, *attributes;
	struct dcm_str actor_id, s;
	struct json doc;
	int64_t t;

	memset(out, 0, sizeof(*out));
	if (json_open(&doc, json, len, "an event", err) < 0)
		return -1;
	if (!json_is_object(doc.root)) {
		snprintf(err, DECODE_ERR, "an event is no JSON object");
		json_close(&doc);
		return -1;
	}
	actor = json_get(doc.root, "Actor");
	attributes = json_get(actor, "Attributes");
	actor_id = json_raw(json_get(actor, "ID"));
	out->kind = kind_of(doc.root);
	read_action(doc.root, out);
	if (out->kind == EVENT_CONTAINER) {
		read_id(actor_id.len ? actor_id : json_raw(json_get(doc.root, "id")), out);
	} else if (out->kind != EVENT_OTHER) {
		read_id(json_raw(json_get(attributes, "container")), out);
		s = json_raw(json_get(attributes, "name"));
		if (!s.len)
			s = actor_id;
		text_line(s.s ? s.s : "", s.len, out->object, sizeof(out->object));
	}
	t = json_int(json_get(doc.root, "timeNano"));
	if (t <= 0) {
		t = json_int(json_get(doc.root, "time"));
		t = t > 0 && t < INT64_MAX / 1000000000 ? t * 1000000000 : 0;
	}
	out->time_nano = t;
	json_close(&doc);
	return 0;
}
