/*
 * decode_parts.c - the parts of a container that inspect and the list tell in
 * the same words: labels, networks, mounts, ports, states.
 */
#include "decode_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode_text.h"

static bool is(struct dcm_str s, const char *text)
{
	return s.s && s.len == strlen(text) && memcmp(s.s, text, s.len) == 0;
}

static int compare_str(struct dcm_str a, struct dcm_str b)
{
	uint32_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.s, b.s, n) : 0;

	return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool part_id(struct decode_to *to, struct json_object *id, struct decoded *out)
{
	struct dcm_str s = json_raw(id);
	char text[64];
	int i;

	if (s.len != 64)
		return false;
	for (i = 0; i < 32; i++) {
		int hi = hex(s.s[2 * i]), lo = hex(s.s[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		out->id[i] = (uint8_t)(hi << 4 | lo);
		text[2 * i] = "0123456789abcdef"[hi];
		text[2 * i + 1] = "0123456789abcdef"[lo];
	}
	memcpy(out->rec.id, text, 64);
	out->rec.id[64] = 0;
	out->rec.container_id = to_str(to, text, 64);
	return true;
}

/* ---- labels -------------------------------------------------------------- */

/* "db:service_started:false,cache" or, of old, "db,cache": the names. */
static struct dcm_strs services(struct decode_to *to, struct dcm_str label)
{
	struct dcm_strs out = {NULL, 0, true};
	const char *p = label.s, *end = p + label.len;
	struct dcm_str *list;
	size_t n = 1, i;

	if (!label.s)
		return out;
	for (i = 0; i < label.len; i++)
		n += label.s[i] == ',';
	list = to_alloc(to, n, sizeof(*list));
	if (!list)
		return out;
	out.v = list;
	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end;
		const char *colon = memchr(p, ':', (size_t)(stop - p));
		const char *q = colon ? colon : stop;

		while (p < q && *p == ' ')
			p++;
		while (p < q && q[-1] == ' ')
			q--;
		if (p < q)
			list[out.n++] = to_str(to, p, (size_t)(q - p));
		p = stop + 1;
	}
	return out;
}

void part_labels(struct decode_to *to, struct json_object *o, struct dcm_record *rec)
{
	struct json_object *labels = json_get(o, "Labels");
	struct json_object_iter it;
	struct dcm_pair *list;
	static const char compose[] = "com.docker.compose.";

	if (!json_has(o, "Labels") || (labels && !json_is_object(labels)))
		return;
	rec->labels.known = rec->depends_on.known = true;
	if (!labels || !json_object_object_length(labels))
		return;
	list = to_alloc(to, (size_t)json_object_object_length(labels), sizeof(*list));
	if (!list)
		return;
	rec->labels.v = list;
	json_object_object_foreachC(labels, it)
	{
		struct dcm_pair *p = &list[rec->labels.n];
		const char *key = it.key;

		p->key = to_str(to, key, strlen(key));
		p->value = to_text(to, it.val);
		if (!p->key.s)
			return;
		rec->labels.n++;
		if (strncmp(key, compose, sizeof(compose) - 1) != 0)
			continue;
		key += sizeof(compose) - 1;
		if (strcmp(key, "project") == 0)
			rec->compose_project = p->value;
		else if (strcmp(key, "service") == 0)
			rec->compose_service = p->value;
		else if (strcmp(key, "project.config_files") == 0)
			rec->compose_config_files = p->value;
		else if (strcmp(key, "project.working_dir") == 0)
			rec->compose_working_dir = p->value;
		else if (strcmp(key, "depends_on") == 0)
			rec->depends_on = services(to, p->value);
	}
}

/* ---- states and times ---------------------------------------------------- */

struct dcm_str part_time(struct decode_to *to, struct json_object *v)
{
	char text[TEXT_TIME];
	int64_t t = json_int(v);

	if (t == DCM_UNKNOWN)
		return to_text_known(to, v);
	/* Years 1 to 9999, what RFC 3339 can say. */
	if (t < -62135596800 || t > 253402300799)
		return (struct dcm_str){NULL, 0};
	text_time(t, text);
	return to_str(to, text, strlen(text));
}

struct dcm_str part_status(struct decode_to *to, struct json_object *v)
{
	static const struct {
		const char *podman, *docker;
	} names[] = {
	    {"configured", "created"},
	    {"initialized", "created"},
	    {"stopped", "exited"},
	    {"stopping", "running"},
	};
	struct dcm_str s = json_raw(v);
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (is(s, names[i].podman))
			return to_const(names[i].docker);
	return to_text_known(to, v);
}

struct dcm_str part_health(struct dcm_str s)
{
	static const char *const names[] = {"healthy", "unhealthy", "starting"};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (is(s, names[i]))
			return to_const(names[i]);
	return (struct dcm_str){NULL, 0};
}

/* ---- networks ------------------------------------------------------------ */

static int by_network_name(const void *a, const void *b)
{
	return compare_str(((const struct dcm_network *)a)->name,
			   ((const struct dcm_network *)b)->name);
}

static int by_alias_name(const void *a, const void *b)
{
	return compare_str(((const struct dcm_alias *)a)->network,
			   ((const struct dcm_alias *)b)->network);
}

void part_networks(struct decode_to *to, struct json_object *settings, bool aliases,
		   struct dcm_record *rec)
{
	struct json_object *networks = json_get(settings, "Networks");
	struct json_object_iter it;
	struct dcm_network *list;
	struct dcm_alias *names;
	uint32_t n = 0;
	size_t len;

	if (!json_has(settings, "Networks") || (networks && !json_is_object(networks)))
		return;
	rec->networks.known = true;
	rec->network_aliases.known = aliases;
	len = networks ? (size_t)json_object_object_length(networks) : 0;
	if (!len)
		return;
	list = to_alloc(to, len, sizeof(*list));
	names = to_alloc(to, len, sizeof(*names));
	if (!list || !names)
		return;
	json_object_object_foreachC(networks, it)
	{
		list[n].name = to_str(to, it.key, strlen(it.key));
		list[n].ip = to_text_known(to, json_get(it.val, "IPAddress"));
		list[n].gateway = to_text_known(to, json_get(it.val, "Gateway"));
		list[n].mac = to_text_known(to, json_get(it.val, "MacAddress"));
		list[n].ipv6 = to_text_known(to, json_get(it.val, "GlobalIPv6Address"));
		names[n].network = list[n].name;
		names[n].aliases =
		    to_strs(to, json_get(it.val, "Aliases"), json_has(it.val, "Aliases"));
		if (!list[n].name.s)
			return;
		n++;
	}
	qsort(list, n, sizeof(*list), by_network_name);
	qsort(names, n, sizeof(*names), by_alias_name);
	rec->networks.v = list;
	rec->networks.n = n;
	if (aliases) {
		rec->network_aliases.v = names;
		rec->network_aliases.n = n;
	}
}

void part_address(struct decode_to *to, struct json_object *settings, struct json_object *mode,
		  struct dcm_record *rec)
{
	struct json_object *networks = json_get(settings, "Networks");
	struct dcm_str name = json_raw(mode);
	struct json_object_iter it;
	uint32_t i;

	rec->ip_address = to_text_known(to, json_get(settings, "IPAddress"));
	if (rec->ip_address.s || !json_is_object(networks))
		return;
	if (is(name, "default"))
		name = to_const("bridge");
	/* The mode may name its network by id. */
	json_object_object_foreachC(networks, it)
	{
		struct dcm_str id = json_raw(json_get(it.val, "NetworkID"));

		if (name.len && (is(name, it.key) || (id.s && compare_str(id, name) == 0)))
			rec->ip_address = to_text_known(to, json_get(it.val, "IPAddress"));
	}
	for (i = 0; i < rec->networks.n && !rec->ip_address.s; i++)
		rec->ip_address = rec->networks.v[i].ip;
}

/* ---- mounts -------------------------------------------------------------- */

static struct dcm_str mount_mode(struct json_object *m)
{
	int8_t rw = json_flag(json_get(m, "RW"));

	return rw < 0 ? (struct dcm_str){NULL, 0} : to_const(rw ? "rw" : "ro");
}

/* "source:destination:mode"; null without both paths. */
static struct dcm_str bind_text(struct decode_to *to, struct json_object *m)
{
	struct dcm_str out = {NULL, 0}, mode = mount_mode(m);
	struct dcm_str source = json_raw(json_get(m, "Source"));
	struct dcm_str destination = json_raw(json_get(m, "Destination"));
	size_t len = (size_t)source.len + destination.len + mode.len + 2;
	char *p;

	if (!source.s || !destination.s)
		return out;
	if (len > DECODE_TEXT_MAX) {
		to->truncated = true;
		return out;
	}
	p = to_alloc(to, len + 1, 1);
	if (!p)
		return out;
	out.s = p;
	out.len = (uint32_t)snprintf(p, len + 1, "%s:%s%s%s", source.s, destination.s,
				     mode.s ? ":" : "", mode.s ? mode.s : "");
	return out;
}

static void add_driver(struct dcm_map *drivers, struct dcm_pair *list, const struct dcm_volume *v)
{
	uint32_t i;

	/* One volume may be mounted twice; a container has a handful. */
	for (i = 0; i < drivers->n; i++)
		if (compare_str(list[i].key, v->name) == 0)
			return;
	list[drivers->n].key = v->name;
	list[drivers->n++].value = v->driver;
}

void part_mounts(struct decode_to *to, struct json_object *o, struct dcm_record *rec)
{
	enum { DRIVERS_MAX = 1024 }; /* bounds the search for doubles */
	struct json_object *mounts = json_get(o, "Mounts");
	size_t i, n = json_len(mounts);
	struct dcm_str *binds;
	struct dcm_volume *volumes;
	struct dcm_pair *drivers;

	if (!json_has(o, "Mounts") || (mounts && !json_is_array(mounts)))
		return;
	rec->bind_mounts.known = rec->volumes.known = rec->volume_drivers.known = true;
	if (!n)
		return;
	rec->bind_mounts.v = binds = to_alloc(to, n, sizeof(*binds));
	rec->volumes.v = volumes = to_alloc(to, n, sizeof(*volumes));
	rec->volume_drivers.v = drivers = to_alloc(to, n, sizeof(*drivers));
	if (!binds || !volumes || !drivers)
		return;
	for (i = 0; i < n; i++) {
		struct json_object *m = json_at(mounts, i);
		struct dcm_str type = json_raw(json_get(m, "Type"));
		struct dcm_volume *v = &volumes[rec->volumes.n];

		/* API 1.24 has no Type; there, volumes are what has a name. */
		if (!type.s && json_is_object(m))
			type = to_const(json_raw(json_get(m, "Name")).len ? "volume" : "bind");
		if (is(type, "bind")) {
			struct dcm_str text = bind_text(to, m);

			if (text.s)
				binds[rec->bind_mounts.n++] = text;
		} else if (is(type, "volume")) {
			v->name = to_text_known(to, json_get(m, "Name"));
			v->source = to_text_known(to, json_get(m, "Source"));
			v->destination = to_text_known(to, json_get(m, "Destination"));
			v->driver = to_text_known(to, json_get(m, "Driver"));
			v->mode = mount_mode(m);
			rec->volumes.n++;
			if (v->name.s && rec->volume_drivers.n < DRIVERS_MAX)
				add_driver(&rec->volume_drivers, drivers, v);
		}
	}
}

/* ---- ports --------------------------------------------------------------- */

void part_port(struct decode_to *to, struct dcm_str container, struct dcm_str host_ip,
	       struct dcm_str host_port, unsigned order, struct port *out)
{
	const char *slash = memchr(container.s, '/', container.len);
	size_t len = (size_t)container.len + host_ip.len + host_port.len + 3;
	char *p;

	memset(out, 0, sizeof(*out));
	out->number = (unsigned)strtoul(container.s, NULL, 10);
	out->order = order;
	if (len > DECODE_TEXT_MAX) {
		to->truncated = true;
		return;
	}
	if (!host_port.len) {
		out->text = to_str(to, container.s, container.len);
	} else if ((p = to_alloc(to, len + 1, 1))) {
		out->text.s = p;
		out->text.len = (uint32_t)snprintf(p, len + 1, "%s->%s:%s", container.s,
						   host_ip.s ? host_ip.s : "", host_port.s);
	}
	if (slash && out->text.s) {
		out->protocol.s = out->text.s + (slash - container.s) + 1;
		out->protocol.len = (uint32_t)(container.s + container.len - slash - 1);
	}
}

static int by_port(const void *a, const void *b)
{
	const struct port *x = a, *y = b;
	int c;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	c = compare_str(x->protocol, y->protocol);
	return c ? c : (x->order > y->order) - (x->order < y->order);
}

struct dcm_strs part_ports_sorted(struct decode_to *to, struct port *v, unsigned n)
{
	struct dcm_strs out = {NULL, 0, true};
	struct dcm_str *list;
	unsigned i;

	if (!n)
		return out;
	list = to_alloc(to, n, sizeof(*list));
	if (!list)
		return out;
	qsort(v, n, sizeof(*v), by_port);
	for (i = 0; i < n; i++)
		if (v[i].text.s)
			list[out.n++] = v[i].text;
	out.v = list;
	return out;
}

/* -------------------------------------------------------------------------- */

int part_end(const struct decode_to *to, struct decoded *out, char *err)
{
	out->truncated = out->rec.truncated = to->truncated;
	if (!to->full)
		return 0;
	snprintf(err, DECODE_ERR,
		 "container %.12s: what the engine says of it needs more than %zu bytes: not kept",
		 out->rec.id, to->a->max);
	return -1;
}
