/*
 * record_json.c - a decoded record as a JSON object: every field of the
 * contract, in its order.  Pure.
 */
#include "fields.h"
#include "json_text.h"

#include <math.h>
#include <string.h>

/* What the reader adds stands behind the stored fields. */
enum { ADDED_HOST_ID = DCM_FIELD_COUNT, ADDED_UPTIME, ADDED_FRESHNESS, ADDED_END };

#define F(name) DCM_F_##name
static const uint8_t order[] = {
	/* basic */
	ADDED_HOST_ID, F(container_id), F(name), F(status), F(image), F(created), F(started),
	ADDED_UPTIME,
	/* resources */
	F(cpu_percent), F(memory_usage), F(memory_percent), F(memory_limit),
	/* network */
	F(networks), F(ports), F(ip_address), F(network_aliases),
	/* compose */
	F(compose_project), F(compose_service), F(compose_stack_containers),
	F(compose_config_files), F(compose_file_content), F(compose_working_dir),
	/* storage */
	F(bind_mounts), F(volumes), F(volume_drivers), F(working_dir),
	/* configuration */
	F(environment_vars), F(labels), F(command), F(entrypoint),
	/* health, dependencies */
	F(health_status), F(restart_count), F(exit_code), F(restart_policy), F(depends_on),
	F(links),
	/* logs */
	F(log_tail), F(log_driver),
	/* metadata */
	F(cached_at), F(last_updated),
	/* more */
	F(image_id), F(finished), F(oom_killed), F(error), F(pid), F(hostname), F(user),
	F(privileged), F(pids), F(network_rx), F(network_tx), F(block_read), F(block_write),
	ADDED_FRESHNESS,
};
#undef F
_Static_assert(sizeof(order) == ADDED_END, "every field once");

/* Appends what stands before the i-th of several things, and checks. */
static int separate(struct dcm_text *t, uint32_t i)
{
	return i ? json_text_word(t, ",") : DCM_OK;
}

static int json_strs(struct dcm_text *t, const struct dcm_strs *l)
{
	int rc;

	if (!l->known)
		return json_text_word(t, "null");
	rc = json_text_word(t, "[");
	for (uint32_t i = 0; rc == DCM_OK && i < l->n; i++)
		if ((rc = separate(t, i)) == DCM_OK)
			rc = dcm_json_str(t, l->v[i]);
	return rc == DCM_OK ? json_text_word(t, "]") : rc;
}

/* A key of an object; a null one (malformed bytes) is "". */
static int json_key(struct dcm_text *t, struct dcm_str key)
{
	int rc = dcm_json_str(t, key.s ? key : (struct dcm_str){"", 0});

	return rc == DCM_OK ? json_text_word(t, ":") : rc;
}

static int json_map(struct dcm_text *t, const struct dcm_map *m)
{
	int rc;

	if (!m->known)
		return json_text_word(t, "null");
	rc = json_text_word(t, "{");
	for (uint32_t i = 0; rc == DCM_OK && i < m->n; i++)
		if ((rc = separate(t, i)) == DCM_OK && (rc = json_key(t, m->v[i].key)) == DCM_OK)
			rc = dcm_json_str(t, m->v[i].value);
	return rc == DCM_OK ? json_text_word(t, "}") : rc;
}

static int json_aliases(struct dcm_text *t, const struct dcm_aliases *m)
{
	int rc;

	if (!m->known)
		return json_text_word(t, "null");
	rc = json_text_word(t, "{");
	for (uint32_t i = 0; rc == DCM_OK && i < m->n; i++)
		if ((rc = separate(t, i)) == DCM_OK &&
		    (rc = json_key(t, m->v[i].network)) == DCM_OK)
			rc = json_strs(t, &m->v[i].aliases);
	return rc == DCM_OK ? json_text_word(t, "}") : rc;
}

/* n objects of five texts each, side by side from `v` on. */
static int json_objects(struct dcm_text *t, const char *const keys[5], const struct dcm_str *v,
			uint32_t n, bool known)
{
	int rc;

	if (!known)
		return json_text_word(t, "null");
	rc = json_text_word(t, "[");
	for (uint32_t i = 0; rc == DCM_OK && i < 5 * n; i++) {
		uint32_t k = i % 5;

		rc = json_text_word(t, k ? "," : i ? ",{" : "{");
		if (rc == DCM_OK)
			rc = json_key(t, (struct dcm_str){keys[k], (uint32_t)strlen(keys[k])});
		if (rc == DCM_OK)
			rc = dcm_json_str(t, v[i]);
		if (rc == DCM_OK && k == 4)
			rc = json_text_word(t, "}");
	}
	return rc == DCM_OK ? json_text_word(t, "]") : rc;
}

static int json_nets(struct dcm_text *t, const struct dcm_networks *l)
{
	static const char *const keys[5] = {"name", "ip", "gateway", "mac", "ipv6"};

	return json_objects(t, keys, (const struct dcm_str *)(const void *)l->v, l->n, l->known);
}

static int json_vols(struct dcm_text *t, const struct dcm_volumes *l)
{
	static const char *const keys[5] = {"name", "source", "destination", "driver", "mode"};

	return json_objects(t, keys, (const struct dcm_str *)(const void *)l->v, l->n, l->known);
}

static int json_freshness(struct dcm_text *t, const struct dcm_freshness *f)
{
	int rc = json_text_word(t, "{");

	for (uint32_t i = 0; rc == DCM_OK && i <= DCM_COMPOSE; i++) {
		const char *name = record_tier_names[i];

		rc = separate(t, i);
		if (rc == DCM_OK)
			rc = json_key(t, (struct dcm_str){name, (uint32_t)strlen(name)});
		if (rc == DCM_OK)
			rc = json_text_word(t, "{\"age\":");
		if (rc == DCM_OK) /* to the microsecond: more digits would only be noise */
			rc = json_text_float(t, round(f[i].age * 1e6) / 1e6);
		if (rc == DCM_OK)
			rc = json_text_word(t, f[i].stale ? ",\"stale\":true}" : ",\"stale\":false}");
	}
	return rc == DCM_OK ? json_text_word(t, "}") : rc;
}

static int json_stored(struct dcm_text *t, const struct dcm_record *r, unsigned f)
{
	const void *at = (const char *)r + record_fields[f].offset;

	switch ((enum field_type)record_fields[f].type) {
	case FIELD_STR:
		return dcm_json_str(t, *(const struct dcm_str *)at);
	case FIELD_INT:
		return json_text_int(t, *(const int64_t *)at);
	case FIELD_FLOAT:
		return json_text_float(t, *(const double *)at);
	case FIELD_BOOL:
		return json_text_bool(t, *(const int8_t *)at);
	case FIELD_STRS:
		return json_strs(t, at);
	case FIELD_MAP:
		return json_map(t, at);
	case FIELD_NETS:
		return json_nets(t, at);
	case FIELD_ALIASES:
		return json_aliases(t, at);
	case FIELD_VOLS:
		return json_vols(t, at);
	}
	return DCM_EINVAL;
}

static struct dcm_str text_or_null(const char *s)
{
	return (struct dcm_str){*s ? s : NULL, (uint32_t)strlen(s)};
}

static int json_value(struct dcm_text *t, const struct dcm_record *r, unsigned f)
{
	switch (f) {
	case ADDED_HOST_ID:
		return dcm_json_str(t, r->host_id);
	case ADDED_UPTIME:
		return dcm_json_str(t, text_or_null(r->uptime));
	case ADDED_FRESHNESS:
		return json_freshness(t, r->freshness);
	case DCM_F_container_id:
		return dcm_json_str(t, r->container_id.s ? r->container_id : text_or_null(r->id));
	default:
		return json_stored(t, r, f);
	}
}

static const char *name_of(unsigned f)
{
	static const char *const added[] = {"host_id", "uptime", "freshness"};

	return f < DCM_FIELD_COUNT ? dcm_field_name((enum dcm_field)f) : added[f - ADDED_HOST_ID];
}

int dcm_record_json(const struct dcm_record *r, struct dcm_text *t)
{
	int rc = json_text_word(t, "{");

	for (uint32_t i = 0; rc == DCM_OK && i < sizeof(order); i++) {
		const char *name = name_of(order[i]);

		rc = separate(t, i);
		if (rc == DCM_OK)
			rc = json_key(t, (struct dcm_str){name, (uint32_t)strlen(name)});
		if (rc == DCM_OK)
			rc = json_value(t, r, order[i]);
	}
	if (rc == DCM_OK && r->truncated)
		rc = json_text_word(t, ",\"truncated\":true");
	return rc == DCM_OK ? json_text_word(t, "}") : rc;
}

int dcm_record_json_field(const struct dcm_record *r, const char *field, struct dcm_text *t)
{
	if (strcmp(field, "truncated") == 0)
		return json_text_bool(t, r->truncated);
	for (unsigned f = 0; f < ADDED_END; f++)
		if (strcmp(field, name_of(f)) == 0)
			return json_value(t, r, f);
	return DCM_ENOTFOUND;
}
