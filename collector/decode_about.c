/*
 * decode_about.c - what an engine says of itself: /version, /info, errors.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "decode_json.h"
#include "decode_text.h"

void decode_about_init(struct engine_about *out)
{
	memset(out, 0, sizeof(*out));
	out->cpus = out->memory_total = DCM_UNKNOWN;
	out->system_time = NAN;
}

/* Leaves `out` as it is where the value is absent or empty. */
static void copy(struct json_object *v, char *out, size_t room)
{
	struct dcm_str s = json_raw(v);

	if (s.len)
		text_line(s.s, s.len, out, room);
}

int decode_version(const char *json, size_t len, struct engine_about *out, char *err)
{
	struct json_object *first;
	struct dcm_str name;
	struct json doc;

	if (json_open(&doc, json, len, "the reply to /version", err) < 0)
		return -1;
	if (!json_is_object(doc.root)) {
		snprintf(err, DECODE_ERR, "the reply to /version is no JSON object");
		json_close(&doc);
		return -1;
	}
	copy(json_get(doc.root, "Version"), out->version, sizeof(out->version));
	copy(json_get(doc.root, "ApiVersion"), out->api_version, sizeof(out->api_version));
	copy(json_get(doc.root, "MinAPIVersion"), out->min_api_version,
	     sizeof(out->min_api_version));
	copy(json_get(doc.root, "Os"), out->os, sizeof(out->os));
	copy(json_get(doc.root, "KernelVersion"), out->kernel, sizeof(out->kernel));
	first = json_at(json_get(doc.root, "Components"), 0);
	name = json_raw(json_get(first, "Name"));
	out->podman = name.s && strncmp(name.s, "Podman", 6) == 0;
	json_close(&doc);
	return 0;
}

int decode_info(const char *json, size_t len, struct engine_about *out, char *err)
{
	struct json doc;

	if (json_open(&doc, json, len, "the reply to /info", err) < 0)
		return -1;
	if (!json_is_object(doc.root)) {
		snprintf(err, DECODE_ERR, "the reply to /info is no JSON object");
		json_close(&doc);
		return -1;
	}
	copy(json_get(doc.root, "ServerVersion"), out->version, sizeof(out->version));
	copy(json_get(doc.root, "OperatingSystem"), out->os, sizeof(out->os));
	copy(json_get(doc.root, "KernelVersion"), out->kernel, sizeof(out->kernel));
	copy(json_get(doc.root, "Name"), out->name, sizeof(out->name));
	out->cpus = json_int(json_get(doc.root, "NCPU"));
	out->memory_total = json_int(json_get(doc.root, "MemTotal"));
	out->system_time = decode_time(json_raw(json_get(doc.root, "SystemTime")));
	json_close(&doc);
	return 0;
}

void decode_error(const char *body, size_t len, char *out, size_t outlen)
{
	char ignored[DECODE_ERR];
	struct json doc;

	if (!outlen)
		return;
	out[0] = 0;
	if (json_open(&doc, body, len, "", ignored) == 0) {
		copy(json_get(doc.root, "message"), out, outlen);
		json_close(&doc);
	}
	if (!out[0])
		text_line(body, len, out, outlen);
}
