/*
 * decode_inspect.c - the reply to /containers/ID/json, made into a record.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/record.h"
#include "decode_parts.h"

/* Cmd and Entrypoint: words, or (of old) one text. */
static struct dcm_str joined(struct decode_to *to, struct json_object *words)
{
	struct dcm_str out = {NULL, 0};
	size_t i, n = json_len(words), len = 0;
	char *p;

	if (!json_is_array(words))
		return to_text(to, words);
	for (i = 0; i < n; i++)
		len += json_raw(json_at(words, i)).len + 1u;
	p = malloc(len + 1);
	if (!p) {
		to->full = true;
		return out;
	}
	for (len = 0, i = 0; i < n; i++) {
		struct dcm_str w = json_raw(json_at(words, i));

		if (i)
			p[len++] = ' ';
		if (w.len)
			memcpy(p + len, w.s, w.len);
		len += w.len;
	}
	out = to_str(to, p, len);
	free(p);
	return out;
}

/* ---- Env ----------------------------------------------------------------- */

static uint32_t hash(const char *s, size_t n)
{
	uint32_t h = 2166136261u;

	while (n--)
		h = (h ^ (unsigned char)*s++) * 16777619u;
	return h;
}

/* The place of `name` in the map being built: the one of before, or the next.
 * `index` has `mask` + 1 cells, at most half of them used: 0 free, else place + 1. */
static struct dcm_pair *env_place(struct dcm_map *map, struct dcm_pair *list, uint32_t *index,
				  uint32_t mask, const char *name, size_t len)
{
	uint32_t i = hash(name, len) & mask;

	for (; index[i]; i = (i + 1) & mask) {
		struct dcm_pair *p = &list[index[i] - 1];

		if (p->key.len == len && memcmp(p->key.s, name, len) == 0)
			return p;
	}
	index[i] = ++map->n;
	return &list[map->n - 1];
}

/* [NAME=value]: split at the first '='; without one the value is null; of two
 * with one name the later counts, as it does for the container. */
static void read_env(struct decode_to *to, struct json_object *config, struct dcm_record *rec)
{
	struct json_object *env = json_get(config, "Env");
	size_t i, n = json_len(env);
	struct dcm_map *map = &rec->environment_vars;
	struct dcm_pair *list;
	uint32_t *index, mask = 15;

	if (!json_has(config, "Env") || (env && !json_is_array(env)))
		return;
	map->known = true;
	if (!n)
		return;
	while (mask < 2 * n)
		mask = mask * 2 + 1;
	map->v = list = to_alloc(to, n, sizeof(*list));
	index = calloc((size_t)mask + 1, sizeof(*index));
	to->full |= !index;
	for (i = 0; i < n && list && index && !to->full; i++) {
		struct dcm_str s = json_raw(json_at(env, i));
		const char *eq = s.s ? memchr(s.s, '=', s.len) : NULL;
		size_t len = eq ? (size_t)(eq - s.s) : s.len;
		struct dcm_pair *p;

		if (!s.s)
			continue;
		if (len > DECODE_TEXT_MAX) {
			to->truncated = true;
			continue;
		}
		p = env_place(map, list, index, mask, s.s, len);
		if (!p->key.s)
			p->key = to_str(to, s.s, len);
		p->value = (struct dcm_str){NULL, 0};
		if (eq)
			p->value = to_str(to, eq + 1, s.len - len - 1);
	}
	free(index);
}

/* ---- State --------------------------------------------------------------- */

/* A time, null where the engine says year 1: it never happened. */
static struct dcm_str moment(struct decode_to *to, struct json_object *v)
{
	struct dcm_str s = part_time(to, v);

	return s.s && strncmp(s.s, "0001-", 5) == 0 ? (struct dcm_str){NULL, 0} : s;
}

/* Engines before API 1.21 have no Status, only flags. */
static struct dcm_str status_of_flags(struct json_object *state)
{
	if (!json_is_object(state))
		return (struct dcm_str){NULL, 0};
	if (json_flag(json_get(state, "Paused")) == 1)
		return to_const("paused");
	if (json_flag(json_get(state, "Restarting")) == 1)
		return to_const("restarting");
	if (json_flag(json_get(state, "Running")) == 1)
		return to_const("running");
	if (json_flag(json_get(state, "Dead")) == 1)
		return to_const("dead");
	if (json_raw(json_get(state, "StartedAt")).len &&
	    strncmp(json_raw(json_get(state, "StartedAt")).s, "0001-", 5) == 0)
		return to_const("created");
	return to_const("exited");
}

static void read_state(struct decode_to *to, struct json_object *root, struct decoded *out)
{
	struct json_object *state = json_get(root, "State");
	struct dcm_record *rec = &out->rec;

	rec->status = part_status(to, json_get(state, "Status"));
	if (!rec->status.s)
		rec->status = status_of_flags(state);
	rec->started = moment(to, json_get(state, "StartedAt"));
	rec->finished = moment(to, json_get(state, "FinishedAt"));
	rec->health_status = part_health(json_raw(json_get(json_get(state, "Health"), "Status")));
	rec->exit_code = json_int(json_get(state, "ExitCode"));
	rec->oom_killed = json_flag(json_get(state, "OOMKilled"));
	rec->error = to_text(to, json_get(state, "Error"));
	rec->pid = json_int(json_get(state, "Pid"));
	rec->restart_count = json_int(json_get(root, "RestartCount"));
	out->running = json_flag(json_get(state, "Running")) == 1;
}

/* ---- Config, HostConfig, NetworkSettings --------------------------------- */

static void read_config(struct decode_to *to, struct json_object *root, struct decoded *out)
{
	struct json_object *config = json_get(root, "Config");
	struct dcm_record *rec = &out->rec;

	rec->image_id = to_text_known(to, json_get(root, "Image"));
	rec->image = to_text_known(to, json_get(config, "Image"));
	if (!rec->image.s)
		rec->image = rec->image_id;
	rec->command = joined(to, json_get(config, "Cmd"));
	rec->entrypoint = joined(to, json_get(config, "Entrypoint"));
	rec->working_dir = to_text(to, json_get(config, "WorkingDir"));
	rec->hostname = to_text(to, json_get(config, "Hostname"));
	rec->user = to_text(to, json_get(config, "User"));
	out->tty = json_flag(json_get(config, "Tty")) == 1;
	read_env(to, config, rec);
	part_labels(to, config, rec);
}

static void read_host_config(struct decode_to *to, struct json_object *root, struct dcm_record *rec)
{
	struct json_object *host = json_get(root, "HostConfig");
	struct json_object *policy = json_get(host, "RestartPolicy");

	rec->memory_limit = json_int(json_get(host, "Memory"));
	rec->restart_policy = to_text(to, json_get(policy, "Name"));
	if (rec->restart_policy.s && !rec->restart_policy.len)
		rec->restart_policy = to_const("no");
	rec->links = to_strs(to, json_get(host, "Links"), json_has(host, "Links"));
	rec->log_driver = to_text_known(to, json_get(json_get(host, "LogConfig"), "Type"));
	rec->privileged = json_flag(json_get(host, "Privileged"));
}

/* {"80/tcp": [{HostIp, HostPort}, …] or null}: a text for each binding. */
static void read_ports(struct decode_to *to, struct json_object *settings, struct dcm_record *rec)
{
	struct json_object *ports = json_get(settings, "Ports");
	struct dcm_str none = {NULL, 0};
	struct json_object_iter it;
	struct port *list;
	size_t room = 0;
	unsigned n = 0;

	if (!json_has(settings, "Ports") || (ports && !json_is_object(ports)))
		return;
	if (!ports || !json_object_object_length(ports)) {
		rec->ports.known = true;
		return;
	}
	json_object_object_foreachC(ports, it)
	{
		room += json_len(it.val) + 1;
	}
	list = to_alloc(to, room, sizeof(*list));
	if (!list)
		return;
	json_object_object_foreachC(ports, it)
	{
		struct dcm_str container = {it.key, (uint32_t)strlen(it.key)};
		size_t i;

		for (i = 0; i < json_len(it.val); i++, n++) {
			struct json_object *b = json_at(it.val, i);

			part_port(to, container, json_raw(json_get(b, "HostIp")),
				  json_raw(json_get(b, "HostPort")), n, &list[n]);
		}
		if (!i) {
			part_port(to, container, none, none, n, &list[n]);
			n++;
		}
	}
	rec->ports = part_ports_sorted(to, list, n);
}

int decode_inspect(const char *json, size_t len, struct arena *a, struct decoded *out, char *err)
{
	struct decode_to to = {.a = a};
	struct json_object *settings;
	struct dcm_str name;
	struct json doc;

	memset(out, 0, sizeof(*out));
	record_out_init(&out->rec);
	if (json_open(&doc, json, len, "the reply to inspect", err) < 0)
		return -1;
	if (!part_id(&to, json_get(doc.root, "Id"), out)) {
		snprintf(err, DECODE_ERR,
			 "the reply to inspect has no Id of 64 hex digits: not a container");
		json_close(&doc);
		return -1;
	}
	to.truncated = doc.trimmed;
	name = json_raw(json_get(doc.root, "Name"));
	if (name.len && name.s[0] == '/') {
		name.s++;
		name.len--;
	}
	if (name.len)
		out->rec.name = to_name(&to, name.s, name.len);
	out->rec.created = part_time(&to, json_get(doc.root, "Created"));
	read_state(&to, doc.root, out);
	read_config(&to, doc.root, out);
	read_host_config(&to, doc.root, &out->rec);
	part_mounts(&to, doc.root, &out->rec);
	settings = json_get(doc.root, "NetworkSettings");
	read_ports(&to, settings, &out->rec);
	part_networks(&to, settings, true, &out->rec);
	part_address(&to, settings, json_get(json_get(doc.root, "HostConfig"), "NetworkMode"),
		     &out->rec);
	json_close(&doc);
	return part_end(&to, out, err);
}
