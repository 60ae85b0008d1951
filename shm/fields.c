/*
 * fields.c - tables of names: fields, tiers, states, codes.  Pure.
 */
#include "fields.h"
#include "record.h"

#include <math.h>
#include <string.h>

/* "name" -> "\xa4" "name" is not something the preprocessor can write, so the tag
 * is a character array's first element. */
#define KEY(name)                                                                      \
	static const struct {                                                          \
		uint8_t tag;                                                           \
		char text[sizeof(#name)];                                              \
	} key_##name = {0xa0 | (sizeof(#name) - 1), #name};                            \
	_Static_assert(sizeof(#name) - 1 < 32, "a name is a msgpack fixstr");
#define FIELD_KEY(name, tier, type) KEY(name)
DCM_FIELDS(FIELD_KEY)

#define FIELD_ROW(name, tier_, type_)                                                  \
	{                                                                              \
		.key = (const char *)&key_##name, .key_len = sizeof(#name),            \
		.tier = DCM_##tier_, .type = FIELD_##type_,                            \
		.offset = offsetof(struct dcm_record, name),                           \
	},
const struct field record_fields[DCM_FIELD_COUNT] = {DCM_FIELDS(FIELD_ROW)};

const struct field_range record_tier_fields[DCM_TIERS] = {
	[DCM_STATS] = {DCM_F_cpu_percent, DCM_F_pids + 1},
	[DCM_STATUS] = {DCM_F_name, DCM_F_last_updated + 1},
	[DCM_CONFIG] = {DCM_F_container_id, DCM_F_cached_at + 1},
	[DCM_COMPOSE] = {DCM_F_compose_project, DCM_F_compose_working_dir + 1},
	[DCM_LOGS] = {DCM_F_log_tail, DCM_F_log_tail + 1},
};

#define NULL_STR {0}
#define NULL_INT DCM_UNKNOWN
#define NULL_FLOAT NAN
#define NULL_BOOL -1
#define NULL_STRS {0}
#define NULL_MAP {0}
#define NULL_NETS {0}
#define NULL_ALIASES {0}
#define NULL_VOLS {0}
#define FIELD_NULL(name, tier, type) .name = NULL_##type,
#define NEVER {NAN, true}
const struct dcm_record record_null = {
	.freshness = {NEVER, NEVER, NEVER, NEVER, NEVER},
	DCM_FIELDS(FIELD_NULL)
};

const char *const record_tier_names[DCM_TIERS] = {"stats", "status", "config", "compose", "logs"};

const char *dcm_version(void)
{
	return DCM_VERSION;
}

const char *dcm_field_name(enum dcm_field f)
{
	return (unsigned)f < DCM_FIELD_COUNT ? record_fields[f].key + 1 : NULL;
}

int dcm_field_by_name(const char *name)
{
	if (name)
		for (int i = 0; i < DCM_FIELD_COUNT; i++)
			if (strcmp(record_fields[i].key + 1, name) == 0)
				return i;
	return -1;
}

const char *dcm_strerror(int rc)
{
	switch (rc) {
	case DCM_OK:
		return "no error";
	case DCM_ENOTFOUND:
		return "no such container or host";
	case DCM_EAMBIGUOUS:
		return "more than one container matches";
	case DCM_EINVAL:
		return "an argument is not valid";
	case DCM_ENOTRUNNING:
		return "dcm is not running";
	case DCM_EACCESS:
		return "the memory of dcm is not readable or not trustworthy";
	case DCM_ELAYOUT:
		return "the memory of dcm is of another version or damaged";
	case DCM_ESTALE:
		return "the container is gone";
	case DCM_EBUSY:
		return "the container changes too fast to be read";
	case DCM_EBROKER:
		return "the broker is away";
	case DCM_EHOST:
		return "a Docker host could not be reached";
	case DCM_ETIMEDOUT:
		return "the time limit passed";
	case DCM_ENOMEM:
		return "out of memory";
	case DCM_ESYSTEM:
		return "a system call failed";
	case DCM_EREFUSED:
		return "only one group may have engines asked, and you are not in it";
	default:
		return "unknown error";
	}
}

const char *dcm_host_state_name(enum dcm_host_state s)
{
	static const char *const names[] = {"starting", "online", "degraded", "offline",
					    "disabled"};

	return (unsigned)s < sizeof(names) / sizeof(names[0]) ? names[s] : "unknown";
}

const char *dcm_step_name(enum dcm_step s)
{
	static const char *const names[] = {"",		"name",	 "connect", "certificate",
					    "host key", "login", "docker",  "API"};

	return (unsigned)s < sizeof(names) / sizeof(names[0]) ? names[s] : "";
}

static const char *const status_names[] = {"", "created", "running", "paused",
					   "restarting", "removing", "exited", "dead"};
static const char *const health_names[] = {"", "healthy", "unhealthy", "starting"};

static uint8_t code_of(struct dcm_str s, const char *const *names, unsigned n)
{
	for (unsigned i = 1; s.len && i < n; i++)
		if (names[i][0] == s.s[0] && strlen(names[i]) == s.len &&
		    memcmp(names[i], s.s, s.len) == 0)
			return (uint8_t)i;
	return 0;
}

uint8_t record_status_code(struct dcm_str s)
{
	return code_of(s, status_names, sizeof(status_names) / sizeof(status_names[0]));
}

uint8_t record_health_code(struct dcm_str s)
{
	return code_of(s, health_names, sizeof(health_names) / sizeof(health_names[0]));
}

const char *record_status_name(uint8_t code)
{
	return code < sizeof(status_names) / sizeof(status_names[0]) ? status_names[code] : "";
}
