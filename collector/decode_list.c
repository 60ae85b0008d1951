/*
 * decode_list.c - the reply to /containers/json: many containers, briefly.
 *
 * The array is cut into its items first and each is parsed alone, so that a
 * host of 10,000 containers needs the memory of one.  An item that is cut
 * rightly and yet makes no container is passed over and counted; a list that
 * cannot be cut is an error, since what follows would be lost without a sound.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/record.h"
#include "decode_parts.h"
#include "decode_text.h"

/* Names: the container's own, and "/other/alias" for each link to it. */
static struct dcm_str own_name(struct decode_to *to, struct json_object *names)
{
	struct dcm_str best = {NULL, 0};
	size_t i;

	for (i = 0; i < json_len(names); i++) {
		struct dcm_str s = json_raw(json_at(names, i));

		if (s.len && s.s[0] == '/') {
			s.s++;
			s.len--;
		}
		if (!s.len)
			continue;
		if (!memchr(s.s, '/', s.len))
			return to_name(to, s.s, s.len);
		if (!best.s)
			best = s;
	}
	return best.s ? to_name(to, best.s, best.len) : best;
}

/* [{IP, PrivatePort, PublicPort, Type}]; unpublished ones have no PublicPort. */
static void read_ports(struct decode_to *to, struct json_object *item, struct dcm_record *rec)
{
	struct json_object *ports = json_get(item, "Ports");
	size_t i, n = json_len(ports);
	struct port *list;
	unsigned count = 0;

	if (!json_has(item, "Ports") || (ports && !json_is_array(ports)))
		return;
	rec->ports.known = true;
	if (!n)
		return;
	list = to_alloc(to, n, sizeof(*list));
	if (!list)
		return;
	for (i = 0; i < n; i++) {
		struct json_object *p = json_at(ports, i);
		int64_t inside = json_int(json_get(p, "PrivatePort"));
		int64_t outside = json_int(json_get(p, "PublicPort"));
		struct dcm_str type = json_raw(json_get(p, "Type"));
		char key[64], public[8] = "";

		if (inside < 0 || inside > 65535)
			continue;
		if (outside > 0 && outside <= 65535)
			snprintf(public, sizeof(public), "%d", (int)outside);
		snprintf(key, sizeof(key), "%d/%.*s", (int)inside,
			 type.len ? (int)text_cut(type.s, type.len, 32) : 3,
			 type.len ? type.s : "tcp");
		part_port(to, to_const(key), json_raw(json_get(p, "IP")), to_const(public), count,
			  &list[count]);
		count++;
	}
	rec->ports = part_ports_sorted(to, list, count);
}

/* What the text for people says: "Up 2 hours (healthy)", "Exited (137) 3 days
 * ago", "Up 2 minutes (Paused)". */
static void read_status_text(struct dcm_str text, struct dcm_record *rec)
{
	static const struct {
		const char *start, *status;
	} states[] = {
	    {"Up ", "running"},		  {"Exited", "exited"}, {"Created", "created"},
	    {"Restarting", "restarting"}, {"Dead", "dead"},	{"Removal In Progress", "removing"},
	};
	size_t i;
	int code;

	if (!text.s)
		return;
	for (i = 0; i < sizeof(states) / sizeof(*states) && !rec->status.s; i++)
		if (strncmp(text.s, states[i].start, strlen(states[i].start)) == 0)
			rec->status =
			    to_const(strstr(text.s, "(Paused)") ? "paused" : states[i].status);
	if (sscanf(text.s, "Exited (%9d)", &code) == 1)
		rec->exit_code = code;
	if (rec->health_status.s)
		return;
	if (strstr(text.s, "(healthy)"))
		rec->health_status = to_const("healthy");
	else if (strstr(text.s, "(unhealthy)"))
		rec->health_status = to_const("unhealthy");
	else if (strstr(text.s, "(health: starting)"))
		rec->health_status = to_const("starting");
}

static bool is_any(struct dcm_str s, const char *a, const char *b)
{
	return s.s && (strcmp(s.s, a) == 0 || strcmp(s.s, b) == 0);
}

static int read_item(const char *json, size_t len, struct arena *a, struct decoded *out, char *err)
{
	struct decode_to to = {.a = a};
	struct dcm_record *rec = &out->rec;
	struct json_object *settings;
	struct json doc;

	memset(out, 0, sizeof(*out));
	record_out_init(rec);
	if (json_open(&doc, json, len, "an item of the list of containers", err) < 0)
		return -1;
	if (!part_id(&to, json_get(doc.root, "Id"), out)) {
		json_close(&doc);
		return -1;
	}
	to.truncated = doc.trimmed;
	rec->name = own_name(&to, json_get(doc.root, "Names"));
	rec->image = to_text_known(&to, json_get(doc.root, "Image"));
	rec->image_id = to_text_known(&to, json_get(doc.root, "ImageID"));
	if (!rec->image.s)
		rec->image = rec->image_id;
	rec->created = part_time(&to, json_get(doc.root, "Created"));
	rec->status = part_status(&to, json_get(doc.root, "State"));
	rec->health_status =
	    part_health(json_raw(json_get(json_get(doc.root, "Health"), "Status")));
	read_status_text(json_raw(json_get(doc.root, "Status")), rec);
	out->running = is_any(rec->status, "running", "paused");
	part_labels(&to, doc.root, rec);
	part_mounts(&to, doc.root, rec);
	read_ports(&to, doc.root, rec);
	settings = json_get(doc.root, "NetworkSettings");
	/* Aliases stand there as null, whatever they are: not known. */
	part_networks(&to, settings, false, rec);
	part_address(&to, settings, json_get(json_get(doc.root, "HostConfig"), "NetworkMode"), rec);
	json_close(&doc);
	return part_end(&to, out, err);
}

static size_t blank(const char *s, size_t i, size_t len)
{
	while (i < len && s[i] && strchr(" \t\r\n", s[i]))
		i++;
	return i;
}

int decode_list(const char *json, size_t len, struct arena *a,
		bool (*fn)(const struct decoded *, void *), void *arg, unsigned *bad, char *err)
{
	char why[DECODE_ERR];
	struct decoded item;
	size_t i = blank(json, 0, len);
	long n;

	if (bad)
		*bad = 0;
	if (i >= len || json[i] != '[') {
		snprintf(err, DECODE_ERR, "the list of containers is no JSON array");
		return -1;
	}
	i = blank(json, i + 1, len);
	if (i < len && json[i] == ']')
		return 0;
	for (;;) {
		n = json_span(json + i, len - i);
		if (n <= 0)
			break;
		if (read_item(json + i, (size_t)n, a, &item, why) == 0) {
			bool more = fn(&item, arg);

			arena_free(a);
			if (!more)
				return 0;
		} else {
			arena_free(a);
			if (bad)
				++*bad;
		}
		i = blank(json, i + (size_t)n, len);
		if (i < len && json[i] == ']')
			return 0;
		if (i >= len || json[i] != ',')
			break;
		i++;
	}
	snprintf(err, DECODE_ERR, "the list of containers is cut or malformed at byte %zu of %zu",
		 i, len);
	return -1;
}
