/* record_rows.c - rows of hosts, entries of the directory and the daemon's info:
 * their maps as tables, and the reading of them.  Pure. */
#include "record_rows.h"
#include "mp.h"
#include "record.h"

#define FIELD(type_, of, member)                                                  \
	{                                                                         \
		.name = #member, .type = ROW_##type_,                             \
		.offset = offsetof(struct of, member),                            \
		.size = sizeof(((struct of *)0)->member),                         \
	}
#define ROW(fields)                                                               \
	{                                                                         \
		fields, sizeof(fields) / sizeof((fields)[0])                      \
	}

static const struct row_field host_status[] = {
	FIELD(STATE, dcm_host, state),	      FIELD(STR, dcm_host, error),
	FIELD(STR, dcm_host, engine_version), FIELD(STR, dcm_host, api_version),
	FIELD(STR, dcm_host, transport),      FIELD(INT, dcm_host, cpus),
	FIELD(INT, dcm_host, memory_total),   FIELD(STR, dcm_host, os),
	FIELD(STR, dcm_host, kernel),	      FIELD(FLOAT, dcm_host, clock_offset),
	FIELD(STEP, dcm_host, step),	      FIELD(STRS, dcm_host, conditions),
	FIELD(STRS, dcm_host, warnings),
};
static const struct row_field host_stats[] = {
	FIELD(INT, dcm_host, containers),    FIELD(INT, dcm_host, running),
	FIELD(FLOAT, dcm_host, cpu_percent), FIELD(INT, dcm_host, memory_usage),
	FIELD(INT, dcm_host, events),	     FIELD(INT, dcm_host, refreshes),
	FIELD(INT, dcm_host, errors),	     FIELD(INT, dcm_host, pid),
	FIELD(INT, dcm_host, refused),	     FIELD(INT, dcm_host, truncated),
};
const struct row record_host_row[DCM_TIERS] = {
	[DCM_STATUS] = ROW(host_status),
	[DCM_STATS] = ROW(host_stats),
};

static const struct row_field dirent_config[] = {
	FIELD(STR, record_dirent, description),
	FIELD(STRS, record_dirent, tags),
	FIELD(BOOL, record_dirent, enabled),
};
static const struct row_field dirent_status[] = {
	FIELD(U32, record_dirent, generation),
	FIELD(INT, record_dirent, restarts),
	FIELD(STR, record_dirent, error),
};
const struct row record_dirent_row[DCM_TIERS] = {
	[DCM_CONFIG] = ROW(dirent_config),
	[DCM_STATUS] = ROW(dirent_status),
};

static const struct row_field info_fields[] = {
	FIELD(TTL, dcm_info, ttl),
	FIELD(FLOAT, dcm_info, status_update),
	FIELD(FLOAT, dcm_info, memory_retention),
	FIELD(FLOAT, dcm_info, disk_retention),
	FIELD(FLOAT, dcm_info, memory_cleanup_interval),
	FIELD(FLOAT, dcm_info, disk_cleanup_interval),
	FIELD(INT, dcm_info, log_tail_lines),
	FIELD(INT, dcm_info, supervisor_pid),
	FIELD(INT, dcm_info, broker_pid),
	FIELD(INT, dcm_info, broker_restarts),
	FIELD(FLOAT, dcm_info, started),
	FIELD(TEXT, dcm_info, version),
	FIELD(TEXT, dcm_info, instance),
	FIELD(TEXT, dcm_info, runtime_dir),
	FIELD(U32, dcm_info, uid),
	FIELD(INT, dcm_info, shard_limit),
	FIELD(STRS, dcm_info, conditions),
	FIELD(STRS, dcm_info, warnings),
};
const struct row record_info_row = ROW(info_fields);

static const struct row_field catalog_fields[] = {
	FIELD(STRS, dcm_catalog, images),
	FIELD(STRS, dcm_catalog, networks),
};
const struct row record_catalog_row = ROW(catalog_fields);

/* ---- reading ------------------------------------------------------------ */

struct rows_reader {
	struct mp m;
	struct record_room room; /* for ROW_STRS */
};

static void read_strs(struct rows_reader *r, struct dcm_strs *out)
{
	uint32_t n, kept = 0;

	*out = (struct dcm_strs){0};
	if (!mp_array(&r->m, &n))
		return;
	for (uint32_t i = 0; i < n && !r->m.bad; i++) {
		struct dcm_str s = {0};

		mp_str(&r->m, &s);
		if (kept < r->room.n)
			r->room.v[kept++] = s;
	}
	*out = (struct dcm_strs){r->room.v, kept, true};
	r->room.v += kept;
	r->room.n -= kept;
}

static void read_ttl(struct mp *m, double *ttl)
{
	uint32_t n;

	if (!mp_array(m, &n))
		return;
	for (uint32_t i = 0; i < n && !m->bad; i++) {
		double v = 0;

		mp_float(m, &v);
		if (i < DCM_TIERS)
			ttl[i] = v;
	}
}

static void read_state(struct mp *m, enum dcm_host_state *out)
{
	struct dcm_str s;

	if (!mp_str(m, &s))
		return;
	for (int i = DCM_STARTING; i <= DCM_DISABLED; i++)
		if (mp_key_is(s, dcm_host_state_name((enum dcm_host_state)i)))
			*out = (enum dcm_host_state)i;
}

static void read_step(struct mp *m, enum dcm_step *out)
{
	struct dcm_str s;

	if (!mp_str(m, &s))
		return;
	for (int i = DCM_STEP_NONE; i <= DCM_STEP_API; i++)
		if (mp_key_is(s, dcm_step_name((enum dcm_step)i)))
			*out = (enum dcm_step)i;
}

static void read_text(struct mp *m, char *out, size_t size)
{
	struct dcm_str s;
	size_t n;

	if (!mp_str(m, &s))
		return;
	n = s.len < size ? s.len : size - 1;
	memcpy(out, s.s, n);
	out[n] = '\0';
}

static void read_value(struct rows_reader *r, const struct row_field *f, void *at)
{
	int64_t v;

	switch ((enum row_type)f->type) {
	case ROW_STR:
		if (!mp_str(&r->m, at))
			*(struct dcm_str *)at = (struct dcm_str){0};
		break;
	case ROW_STRS:
		read_strs(r, at);
		break;
	case ROW_INT:
		if (!mp_int(&r->m, at))
			*(int64_t *)at = DCM_UNKNOWN;
		break;
	case ROW_U32:
		if (mp_int(&r->m, &v) && v >= 0 && v <= UINT32_MAX)
			*(uint32_t *)at = (uint32_t)v;
		break;
	case ROW_FLOAT:
		if (!mp_float(&r->m, at))
			*(double *)at = __builtin_nan("");
		break;
	case ROW_BOOL:
		mp_bool(&r->m, at);
		break;
	case ROW_STATE:
		read_state(&r->m, at);
		break;
	case ROW_STEP:
		read_step(&r->m, at);
		break;
	case ROW_TEXT:
		read_text(&r->m, at, f->size);
		break;
	case ROW_TTL:
		read_ttl(&r->m, at);
		break;
	}
}

static bool read_row(struct rows_reader *r, const struct row *row, void *out)
{
	uint32_t pairs;

	if (!mp_map(&r->m, &pairs))
		return false;
	for (uint32_t i = 0; i < pairs && !r->m.bad; i++) {
		struct dcm_str key = {0};
		unsigned f = i;

		mp_str(&r->m, &key);
		if (f >= row->n || !mp_key_is(key, row->fields[f].name))
			for (f = 0; f < row->n && !mp_key_is(key, row->fields[f].name); f++)
				;
		if (f < row->n)
			read_value(r, &row->fields[f], (char *)out + row->fields[f].offset);
		else
			mp_skip(&r->m);
	}
	return !r->m.bad;
}

bool record_decode_host(const uint8_t *data, size_t len, enum dcm_tier tier, struct dcm_host *out,
			struct record_room room)
{
	struct rows_reader r = {.m = mp_of(data, len), .room = room};

	return (unsigned)tier < DCM_TIERS && read_row(&r, &record_host_row[tier], out);
}

bool record_decode_dirent(const uint8_t *data, size_t len, enum dcm_tier tier,
			  struct record_dirent *out, struct record_room room)
{
	struct rows_reader r = {.m = mp_of(data, len), .room = room};

	return (unsigned)tier < DCM_TIERS && read_row(&r, &record_dirent_row[tier], out);
}

bool record_decode_info(const uint8_t *data, size_t len, struct dcm_info *out,
			struct record_room room)
{
	struct rows_reader r = {.m = mp_of(data, len), .room = room};

	return read_row(&r, &record_info_row, out);
}

bool record_decode_catalog(const uint8_t *data, size_t len, struct dcm_catalog *out,
			   struct record_room room)
{
	struct rows_reader r = {.m = mp_of(data, len), .room = room};

	return read_row(&r, &record_catalog_row, out);
}
