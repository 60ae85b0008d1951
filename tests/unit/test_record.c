/* test_record.c - the record codec: what is written is what is read, whatever the
 * order, and no bytes lead astray; and the record as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack.h>

#include "../../shm/fields.h"
#include "../../shm/record.h"

static struct dcm_str str(const char *s)
{
	return (struct dcm_str){s, s ? (uint32_t)strlen(s) : 0};
}

#define LIST(...) {(const struct dcm_str[]){__VA_ARGS__}, \
		   sizeof((const struct dcm_str[]){__VA_ARGS__}) / sizeof(struct dcm_str), true}

/* A record with every field set to something of its own. */
static void fill(struct dcm_record *r)
{
	static const struct dcm_str ports[] = {{"80/tcp->0.0.0.0:8080", 20}, {"443/tcp", 7}};
	static const struct dcm_network nets[] = {
		{{"front", 5}, {"10.0.0.2", 8}, {"10.0.0.1", 8}, {"02:42", 5}, {"fe80::1", 7}},
		{{"none", 4}, {"", 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}}};
	static const struct dcm_str aliases[] = {{"web", 3}, {"w", 1}};
	static const struct dcm_alias al[] = {{{"front", 5}, {aliases, 2, true}},
					      {{"none", 4}, {NULL, 0, false}}};
	static const struct dcm_str binds[] = {{"/a:/b:rw", 8}};
	static const struct dcm_volume vols[] = {
		{{"v", 1}, {"/var/v", 6}, {"/v", 2}, {"local", 5}, {"ro", 2}}};
	static const struct dcm_pair drivers[] = {{{"v", 1}, {"local", 5}}};
	static const struct dcm_pair env[] = {
		{{"PATH", 4}, {"/bin", 4}}, {{"NOEQ", 4}, {NULL, 0}}, {{"E", 1}, {"", 0}}};
	static char content[1000];
	int64_t i = 1000;

	record_out_init(r);
#define SET_STR(name) r->name = str(#name " text");
#define SET_INT(name) r->name = i++;
#define SET_FLOAT(name) r->name = (double)i++ + 0.25;
#define SET_BOOL(name) r->name = (int8_t)(i++ % 2);
#define SET_STRS(name) r->name = (struct dcm_strs){binds, 1, true};
#define SET_MAP(name) r->name = (struct dcm_map){env, 3, true};
#define SET_NETS(name) r->name = (struct dcm_networks){nets, 2, true};
#define SET_ALIASES(name) r->name = (struct dcm_aliases){al, 2, true};
#define SET_VOLS(name) r->name = (struct dcm_volumes){vols, 1, true};
#define SET(name, tier, type) SET_##type(name)
	DCM_FIELDS(SET)
	r->ports = (struct dcm_strs){ports, 2, true};
	r->links = (struct dcm_strs){NULL, 0, true};
	r->volume_drivers = (struct dcm_map){drivers, 1, true};
	r->labels = (struct dcm_map){NULL, 0, true};
	memset(content, 'c', sizeof(content));
	r->compose_file_content = (struct dcm_str){content, sizeof(content)};
	r->truncated = true;
}

static void same_str(struct dcm_str a, struct dcm_str b)
{
	assert_true((a.s == NULL) == (b.s == NULL));
	assert_int_equal(a.len, b.len);
	if (a.s)
		assert_memory_equal(a.s, b.s, a.len);
}

static void same_strs(struct dcm_strs a, struct dcm_strs b)
{
	assert_int_equal(a.known, b.known);
	assert_int_equal(a.n, b.n);
	for (uint32_t i = 0; i < a.n; i++)
		same_str(a.v[i], b.v[i]);
}

static void same_texts(const void *a, const void *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		same_str(((const struct dcm_str *)a)[i], ((const struct dcm_str *)b)[i]);
}

#define SAME_COUNT(f)                            \
	assert_int_equal(a->f.known, b->f.known); \
	assert_int_equal(a->f.n, b->f.n)
#define SAME_STR(f) same_str(a->f, b->f);
#define SAME_INT(f) assert_true(a->f == b->f);
#define SAME_FLOAT(f) assert_true(a->f == b->f || (isnan(a->f) && isnan(b->f)));
#define SAME_BOOL(f) assert_int_equal(a->f, b->f);
#define SAME_STRS(f) same_strs(a->f, b->f);
#define SAME_MAP(f) SAME_COUNT(f); same_texts(a->f.v, b->f.v, 2 * (size_t)a->f.n);
#define SAME_NETS(f) SAME_COUNT(f); same_texts(a->f.v, b->f.v, 5 * (size_t)a->f.n);
#define SAME_VOLS(f) SAME_COUNT(f); same_texts(a->f.v, b->f.v, 5 * (size_t)a->f.n);
#define SAME_ALIASES(f)                                              \
	SAME_COUNT(f);                                               \
	for (uint32_t i = 0; i < a->f.n; i++) {                      \
		same_str(a->f.v[i].network, b->f.v[i].network);      \
		same_strs(a->f.v[i].aliases, b->f.v[i].aliases);     \
	}
static void same_record(const struct dcm_record *a, const struct dcm_record *b)
{
#define SAME(name, tier, type) SAME_##type(name)
	DCM_FIELDS(SAME)
	assert_int_equal(a->truncated, b->truncated);
}

/* Decodes a copy that lies exactly as long as it may; the arena too. */
struct decoded {
	uint8_t *data, *arena;
};

static int decode(const void *bytes, size_t len, enum dcm_tier tier, struct dcm_record *r,
		  struct decoded *own)
{
	size_t room = 2 * RECORD_ARENA * len;
	uint8_t *at;

	own->data = malloc(len + RECORD_BEHIND);
	own->arena = malloc(room ? room : 1);
	assert_non_null(own->data);
	assert_non_null(own->arena);
	memcpy(own->data, bytes, len);
	at = own->arena;
	return record_decode_tier(own->data, len, tier, r, &at, &room);
}

static void drop(struct decoded *own)
{
	free(own->data);
	free(own->arena);
}

static void round_trip(const struct dcm_record *in, bool texts)
{
	struct decoded own[DCM_TIERS];
	struct record_buf b = {0};
	struct dcm_record out;

	record_out_init(&out);
	for (int t = 0; t < DCM_TIERS; t++) {
		assert_int_equal(record_encode(in, (enum dcm_tier)t, &b), 0);
		assert_int_equal(decode(b.data, b.len, (enum dcm_tier)t, &out, &own[t]),
				 DCM_OK);
	}
	same_record(in, &out);
	if (texts) {
		assert_string_equal(out.name.s, "name text");
		assert_string_equal(out.ports.v[1].s, "443/tcp");
		assert_string_equal(out.environment_vars.v[0].value.s, "/bin");
		assert_string_equal(out.networks.v[0].ipv6.s, "fe80::1");
		assert_string_equal(out.network_aliases.v[0].aliases.v[1].s, "w");
		assert_string_equal(out.compose_working_dir.s, "compose_working_dir text");
	}
	for (int t = 0; t < DCM_TIERS; t++)
		drop(&own[t]);
	record_buf_free(&b);
}

static void test_round_trip(void **state)
{
	struct dcm_record r;

	(void)state;
	fill(&r);
	round_trip(&r, true);
	record_out_init(&r);
	round_trip(&r, false);
}

static void test_equal_states_are_equal_bytes(void **state)
{
	struct record_buf a = {0}, b = {0};
	struct dcm_record r;

	(void)state;
	fill(&r);
	assert_int_equal(record_encode(&r, DCM_CONFIG, &a), 0);
	assert_int_equal(record_encode(&r, DCM_CONFIG, &b), 0);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	r.hostname = (struct dcm_str){0};
	assert_int_equal(record_encode(&r, DCM_CONFIG, &b), 0);
	assert_true(a.len != b.len || memcmp(a.data, b.data, a.len) != 0);
	record_buf_free(&a);
	record_buf_free(&b);
}

static void test_too_large(void **state)
{
	struct record_buf b = {0};
	struct dcm_record r;
	char *text = malloc(RECORD_TIER_MAX);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', RECORD_TIER_MAX);
	record_out_init(&r);
	r.compose_file_content = (struct dcm_str){text, RECORD_TIER_MAX};
	assert_int_equal(record_encode(&r, DCM_COMPOSE, &b), -E2BIG);
	r.compose_file_content.len = RECORD_TIER_MAX - 1000;
	assert_int_equal(record_encode(&r, DCM_COMPOSE, &b), 0);
	free(text);
	record_buf_free(&b);
}

/* Another version: fields in another order, some missing, some unknown, one of
 * another type. */
static void test_another_version(void **state)
{
	msgpack_sbuffer b;
	msgpack_packer pk;
	struct decoded own;
	struct dcm_record r;

#define KEY(s) msgpack_pack_str(&pk, sizeof(s) - 1); msgpack_pack_str_body(&pk, s, sizeof(s) - 1)
	(void)state;
	msgpack_sbuffer_init(&b);
	msgpack_packer_init(&pk, &b, msgpack_sbuffer_write);
	msgpack_pack_map(&pk, 6);
	KEY("pids");
	msgpack_pack_int(&pk, 12);
	KEY("invented_later");
	msgpack_pack_array(&pk, 2);
	KEY("x");
	msgpack_pack_map(&pk, 1);
	KEY("k");
	msgpack_pack_nil(&pk);
	KEY("memory_usage");
	KEY("much"); /* not a number */
	KEY("cpu_percent");
	msgpack_pack_int(&pk, 3);
	KEY("name"); /* a field, but of another tier */
	KEY("n");
	KEY("network_rx");
	msgpack_pack_int(&pk, 99);
#undef KEY
	record_out_init(&r);
	assert_int_equal(decode(b.data, b.size, DCM_STATS, &r, &own), DCM_OK);
	assert_int_equal(r.pids, 12);
	assert_true(r.memory_usage == DCM_UNKNOWN);
	assert_true(r.cpu_percent == 3);
	assert_int_equal(r.network_rx, 99);
	assert_null(r.name.s);
	assert_true(r.network_tx == DCM_UNKNOWN);
	drop(&own);
	msgpack_sbuffer_destroy(&b);
}

/* What stands behind the map is passed over, and is no part of its last text. */
static void test_more_behind(void **state)
{
	static const char bytes[] = "\x81\xa8log_tail\x91\xa4lastmore";
	struct decoded own;
	struct dcm_record r;

	(void)state;
	assert_int_equal(decode(bytes, sizeof(bytes) - 1, DCM_LOGS, &r, &own), DCM_OK);
	assert_int_equal(r.log_tail.n, 1);
	assert_string_equal(r.log_tail.v[0].s, "last");
	drop(&own);
}

static void test_cut_anywhere(void **state)
{
	struct record_buf b = {0};
	struct dcm_record r;

	(void)state;
	fill(&r);
	for (int t = 0; t < DCM_TIERS; t++) {
		assert_int_equal(record_encode(&r, (enum dcm_tier)t, &b), 0);
		for (size_t n = 0; n < b.len; n++) {
			struct decoded own;
			struct dcm_record out;

			record_out_init(&out);
			assert_int_equal(decode(b.data, n, (enum dcm_tier)t, &out, &own),
					 DCM_ELAYOUT);
			drop(&own);
		}
	}
	record_buf_free(&b);
}

/* Bytes changed at random: decoded or refused, within the arena that suffices. */
static void test_damaged(void **state)
{
	struct record_buf b = {0};
	struct dcm_record r;

	(void)state;
	srand(2);
	fill(&r);
	for (int i = 0; i < 60000; i++) {
		enum dcm_tier tier = (enum dcm_tier)(i % DCM_TIERS);
		struct decoded own;
		struct dcm_record out;
		int rc;

		assert_int_equal(record_encode(&r, tier, &b), 0);
		for (int k = 0; k < 1 + i % 8; k++)
			b.data[(size_t)rand() % b.len] = (char)(rand() >> 4);
		record_out_init(&out);
		rc = decode(b.data, b.len, tier, &out, &own);
		assert_true(rc == DCM_OK || rc == DCM_ELAYOUT);
		if (rc == DCM_OK) {
			struct dcm_text t = {0};

			assert_int_equal(dcm_record_json(&out, &t), DCM_OK);
			dcm_text_free(&t);
		}
		drop(&own);
	}
	record_buf_free(&b);
}

static void test_small_arena(void **state)
{
	struct record_buf b = {0};
	struct dcm_record r, out;
	uint64_t arena[4];
	uint8_t *at = (uint8_t *)arena, *data;
	size_t room = sizeof(arena);

	(void)state;
	fill(&r);
	assert_int_equal(record_encode(&r, DCM_STATUS, &b), 0);
	data = malloc(b.len + RECORD_BEHIND);
	assert_non_null(data);
	memcpy(data, b.data, b.len);
	record_out_init(&out);
	assert_int_equal(record_decode_tier(data, b.len, DCM_STATUS, &out, &at, &room),
			 DCM_ENOMEM);
	free(data);
	record_buf_free(&b);
}

/* ---- rows --------------------------------------------------------------- */

static void test_host_row(void **state)
{
	struct dcm_host in = {.state = DCM_DEGRADED, .error = {"events fail", 11},
			      .engine_version = {"20.10.24", 8}, .api_version = {"1.41", 4},
			      .transport = {"unix", 4}, .cpus = 2, .memory_total = 1 << 30,
			      .os = {"Debian", 6}, .clock_offset = -0.5, .containers = 12,
			      .running = 7, .cpu_percent = 12.5, .memory_usage = DCM_UNKNOWN,
			      .events = 3, .refreshes = 4, .errors = 5, .pid = 6,
			      .conditions = LIST({"a", 1}, {"b", 1}),
			      .warnings = LIST({"first", 5}, {"second", 6})};
	struct dcm_str list[3];
	struct dcm_host out = {.state = DCM_STARTING, .memory_usage = 1, .kernel = {"x", 1}};
	struct record_buf a = {0}, b = {0};

	(void)state;
	assert_int_equal(record_encode_host(&in, DCM_STATUS, &a), 0);
	assert_int_equal(record_encode_host(&in, DCM_STATS, &b), 0);
	assert_int_equal(record_encode_host(&in, DCM_LOGS, &b), -EINVAL);
	assert_true(record_decode_host((uint8_t *)a.data, a.len, DCM_STATUS, &out,
				       (struct record_room){list, 3}));
	assert_true(record_decode_host((uint8_t *)b.data, b.len, DCM_STATS, &out,
				       RECORD_NO_ROOM));
	assert_int_equal(out.state, DCM_DEGRADED);
	same_str(out.error, in.error);
	same_str(out.transport, in.transport);
	assert_null(out.kernel.s);
	assert_true(out.clock_offset == -0.5);
	assert_int_equal(out.containers, 12);
	assert_true(out.cpu_percent == 12.5);
	assert_true(out.memory_usage == DCM_UNKNOWN);
	assert_int_equal(out.pid, 6);
	assert_int_equal(out.conditions.n, 2);
	same_str(out.conditions.v[1], in.conditions.v[1]);
	assert_int_equal(out.warnings.n, 1); /* no room for the second */
	same_str(out.warnings.v[0], in.warnings.v[0]);
	for (size_t n = 0; n < a.len; n++)
		assert_false(record_decode_host((uint8_t *)a.data, n, DCM_STATUS, &out,
						RECORD_NO_ROOM));
	record_buf_free(&a);
	record_buf_free(&b);
}

static void test_directory_rows(void **state)
{
	struct record_dirent in = {.description = {"Prod", 4}, .tags = LIST({"a", 1}, {"b", 1}),
				   .enabled = true, .generation = 0xfffffffe, .restarts = 3};
	struct record_dirent out = {0};
	struct dcm_str room[1];
	struct record_buf b = {0};
	struct dcm_info info = {.ttl = {120, 300, 3600, 7200, 0}, .status_update = 60,
				.supervisor_pid = 42, .version = "0.1.0", .instance = "default",
				.runtime_dir = "/run/dcm", .uid = 1000};
	struct dcm_info read = {0};

	(void)state;
	assert_int_equal(record_encode_dirent(&in, DCM_CONFIG, &b), 0);
	assert_true(record_decode_dirent((uint8_t *)b.data, b.len, DCM_CONFIG, &out,
					 (struct record_room){room, 1}));
	same_str(out.description, in.description);
	assert_int_equal(out.tags.n, 1); /* no room for the second */
	same_str(out.tags.v[0], in.tags.v[0]);
	assert_true(out.enabled);
	assert_int_equal(record_encode_dirent(&in, DCM_STATUS, &b), 0);
	assert_true(record_decode_dirent((uint8_t *)b.data, b.len, DCM_STATUS, &out,
					 RECORD_NO_ROOM));
	assert_true(out.generation == 0xfffffffe);
	assert_int_equal(out.restarts, 3);
	assert_int_equal(record_encode_info(&info, &b), 0);
	assert_true(record_decode_info((uint8_t *)b.data, b.len, &read, RECORD_NO_ROOM));
	assert_memory_equal(&read, &info, sizeof(info));
	info.conditions = (struct dcm_strs)LIST({"x", 1});
	assert_int_equal(record_encode_info(&info, &b), 0);
	assert_true(record_decode_info((uint8_t *)b.data, b.len, &read,
				       (struct record_room){room, 1}));
	assert_true(read.conditions.known && read.conditions.n == 1);
	same_str(read.conditions.v[0], info.conditions.v[0]);
	assert_false(read.warnings.known);
	record_buf_free(&b);
}

/* ---- names and JSON ----------------------------------------------------- */

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(dcm_field_name(DCM_F_cpu_percent), "cpu_percent");
	assert_string_equal(dcm_field_name(DCM_F_log_tail), "log_tail");
	assert_null(dcm_field_name(DCM_FIELD_COUNT));
	for (int f = 0; f < DCM_FIELD_COUNT; f++) {
		struct field_range range = record_tier_fields[record_fields[f].tier];

		assert_int_equal(dcm_field_by_name(dcm_field_name((enum dcm_field)f)), f);
		assert_in_range(f, range.first, range.end - 1);
	}
	assert_int_equal(dcm_field_by_name("no_such_field"), -1);
	assert_int_equal(dcm_field_by_name(NULL), -1);
	for (uint8_t c = 1; c <= DCM_S_DEAD; c++)
		assert_int_equal(record_status_code(str(record_status_name(c))), c);
	assert_int_equal(record_status_code((struct dcm_str){0}), DCM_S_UNKNOWN);
	assert_string_equal(record_status_name(200), "");
	assert_int_equal(record_health_code(str("unhealthy")), DCM_H_UNHEALTHY);
	assert_int_equal(record_health_code(str("none")), DCM_H_NONE);
	assert_string_equal(dcm_host_state_name(DCM_OFFLINE), "offline");
	for (int rc = 0; rc <= DCM_EREFUSED; rc++)
		assert_string_not_equal(dcm_strerror(rc), "unknown error");
}

static void json_is(struct dcm_str s, const char *want)
{
	struct dcm_text t = {0};

	assert_int_equal(dcm_json_str(&t, s), DCM_OK);
	assert_string_equal(t.s, want);
	dcm_text_free(&t);
}

static void test_json_text(void **state)
{
	(void)state;
	json_is(str("plain"), "\"plain\"");
	json_is((struct dcm_str){0}, "null");
	json_is(str(""), "\"\"");
	json_is(str("q\"b\\n\nt\tr\rf\fb\b"), "\"q\\\"b\\\\n\\nt\\tr\\rf\\fb\\b\"");
	json_is((struct dcm_str){"a\0b\x1f\x0b\x7f", 6}, "\"a\\u0000b\\u001f\\u000b\x7f\"");
	json_is(str("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xb3"),
		"\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xb3\"");
	/* broken: a lone byte, cut short, overlong, a surrogate, too high */
	json_is(str("\xff" "a"), "\"\xef\xbf\xbd" "a\"");
	json_is(str("\xe2\x82"), "\"\xef\xbf\xbd\"");
	json_is(str("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
	json_is(str("\xe0\x80\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	json_is(str("\xf0\x80\x80\xaf"),
		"\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	json_is(str("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	json_is(str("\xf4\x90\x80\x80" "z"),
		"\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"");
	json_is(str("\xe2\x82(") , "\"\xef\xbf\xbd(\"");
}

static void field_is(const struct dcm_record *r, const char *field, const char *want)
{
	struct dcm_text t = {0};

	assert_int_equal(dcm_record_json_field(r, field, &t), DCM_OK);
	assert_string_equal(t.s, want);
	dcm_text_free(&t);
}

static void test_json_fields(void **state)
{
	struct dcm_record r;
	struct dcm_text t = {0};

	(void)state;
	fill(&r);
	r.host_id = str("prod");
	memcpy(r.uptime, "2d 5h", 6);
	r.freshness[DCM_STATS] = (struct dcm_freshness){1.25, false};
	r.cpu_percent = 0;
	field_is(&r, "host_id", "\"prod\"");
	field_is(&r, "uptime", "\"2d 5h\"");
	field_is(&r, "cpu_percent", "0.0");
	r.cpu_percent = 0.1;
	field_is(&r, "cpu_percent", "0.1");
	r.cpu_percent = 1.0 / 3;
	field_is(&r, "cpu_percent", "0.3333333333333333");
	r.cpu_percent = 1e300;
	field_is(&r, "cpu_percent", "1e+300");
	r.cpu_percent = INFINITY;
	field_is(&r, "cpu_percent", "null");
	field_is(&r, "ports", "[\"80/tcp->0.0.0.0:8080\",\"443/tcp\"]");
	field_is(&r, "links", "[]");
	field_is(&r, "labels", "{}");
	field_is(&r, "environment_vars", "{\"PATH\":\"/bin\",\"NOEQ\":null,\"E\":\"\"}");
	field_is(&r, "networks",
		 "[{\"name\":\"front\",\"ip\":\"10.0.0.2\",\"gateway\":\"10.0.0.1\",\"mac\":"
		 "\"02:42\",\"ipv6\":\"fe80::1\"},{\"name\":\"none\",\"ip\":\"\",\"gateway\":"
		 "null,\"mac\":null,\"ipv6\":null}]");
	field_is(&r, "network_aliases", "{\"front\":[\"web\",\"w\"],\"none\":null}");
	field_is(&r, "volumes",
		 "[{\"name\":\"v\",\"source\":\"/var/v\",\"destination\":\"/v\",\"driver\":"
		 "\"local\",\"mode\":\"ro\"}]");
	field_is(&r, "freshness",
		 "{\"stats\":{\"age\":1.25,\"stale\":false},\"status\":{\"age\":null,\"stale\":"
		 "true},\"config\":{\"age\":null,\"stale\":true},\"compose\":{\"age\":null,"
		 "\"stale\":true}}");
	assert_int_equal(dcm_record_json_field(&r, "no_such_field", &t), DCM_ENOTFOUND);
	record_out_init(&r);
	field_is(&r, "oom_killed", "null");
	field_is(&r, "memory_usage", "null");
	field_is(&r, "labels", "null");
	field_is(&r, "ports", "null");
	field_is(&r, "uptime", "null");
	memcpy(r.id, "abc", 4);
	field_is(&r, "container_id", "\"abc\"");
	dcm_text_free(&t);
}

/* The contract's table, word for word. */
static void test_json_has_every_field_in_order(void **state)
{
	static const char *const fields[] = {
		"host_id", "container_id", "name", "status", "image", "created", "started",
		"uptime", "cpu_percent", "memory_usage", "memory_percent", "memory_limit",
		"networks", "ports", "ip_address", "network_aliases", "compose_project",
		"compose_service", "compose_stack_containers", "compose_config_files",
		"compose_file_content", "compose_working_dir", "bind_mounts", "volumes",
		"volume_drivers", "working_dir", "environment_vars", "labels", "command",
		"entrypoint", "health_status", "restart_count", "exit_code", "restart_policy",
		"depends_on", "links", "log_tail", "log_driver", "cached_at", "last_updated",
		"image_id", "finished", "oom_killed", "error", "pid", "hostname", "user",
		"privileged", "pids", "network_rx", "network_tx", "block_read", "block_write",
		"freshness"};
	struct dcm_record r;
	struct dcm_text t = {0};
	const char *at;

	(void)state;
	record_out_init(&r);
	assert_int_equal(dcm_record_json(&r, &t), DCM_OK);
	assert_int_equal(t.len, strlen(t.s));
	at = t.s;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		char want[64];

		snprintf(want, sizeof(want), "%c\"%s\":", i ? ',' : '{', fields[i]);
		if (strncmp(at, want, strlen(want)) != 0)
			fail_msg("wanted %s at %.40s", want, at);
		at += strlen(want);
		if (strcmp(fields[i], "freshness") != 0) {
			assert_memory_equal(at, "null", 4);
			at += 4;
		}
	}
	assert_null(strstr(t.s, "truncated"));
	t.len = 0;
	r.truncated = true;
	assert_int_equal(dcm_record_json(&r, &t), DCM_OK);
	assert_non_null(strstr(t.s, ",\"truncated\":true}"));
	dcm_text_free(&t);
}

/* A tier that is too large is kept with what fits, and the record says so. */
static void test_made_to_fit(void **state)
{
	static char text[RECORD_TIER_MAX];
	struct dcm_pair *labels = calloc(300000, sizeof(*labels));
	struct dcm_network nets[2] = {{.name = {"a", 1}}, {.name = {text, 3 << 20}}};
	struct dcm_str links[3] = {{text, 5 << 19}, {text, 5 << 19}, {text, 5 << 19}};
	struct record_buf b = {0};
	struct dcm_record r;

	(void)state;
	for (size_t i = 0; i + 2 <= sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	for (size_t i = 0; i < 300000; i++)
		labels[i] = (struct dcm_pair){{"key", 3}, {text, 20}};
	record_out_init(&r);
	r.networks = (struct dcm_networks){nets, 2, true};
	assert_int_equal(record_encode_fit(&r, DCM_STATUS, &b), 0);
	assert_false(r.truncated);
	r.name = (struct dcm_str){text, (2 << 20) + 2};
	assert_int_equal(record_encode_fit(&r, DCM_STATUS, &b), 0);
	assert_true(r.truncated);
	assert_true(r.networks.known && r.networks.n == 1); /* the largest of them */
	assert_int_equal(r.name.len, (2 << 20) + 2);
	r.links = (struct dcm_strs){links, 3, true};
	r.labels = (struct dcm_map){labels, 300000, true};
	r.command = (struct dcm_str){text, (3 << 20) + 2};
	r.user = (struct dcm_str){"root", 4};
	assert_int_equal(record_encode_fit(&r, DCM_CONFIG, &b), 0);
	assert_true(b.len <= RECORD_TIER_MAX && b.len > RECORD_TIER_MAX / 4);
	assert_true(r.labels.n > 1000 && r.command.len % 2 == 0);
	assert_non_null(memmem(b.data, b.len, "truncated", 9));
	assert_non_null(memmem(b.data, b.len, "root", 4));
	record_buf_free(&b);
	free(labels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_equal_states_are_equal_bytes),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_made_to_fit),
		cmocka_unit_test(test_another_version),
		cmocka_unit_test(test_more_behind),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_small_arena),
		cmocka_unit_test(test_host_row),
		cmocka_unit_test(test_directory_rows),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_json_text),
		cmocka_unit_test(test_json_fields),
		cmocka_unit_test(test_json_has_every_field_in_order),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
