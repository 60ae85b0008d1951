/*
 * fuzz_record.c - a blob of a shard gone mad: what a reader decodes of it lies within
 * it, is valid JSON, and is the same once it was written and read again.
 *
 * Input: a byte, of which the low 3 bits are the tier; the rest is its msgpack map.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../../shm/mp.h"
#include "../../shm/record.h"
#include "../../shm/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes of their own, so that one byte beyond them is seen. */
struct bytes {
	uint8_t *v, *arena;
	size_t len;
};

static void check(bool truth)
{
	if (!truth)
		abort();
}

static void check_in(const struct bytes *b, struct dcm_str s)
{
	const char *first = (const char *)b->v;

	if (!s.s) {
		check(s.len == 0);
		return;
	}
	check(s.s >= first && s.len <= b->len && s.s + s.len <= first + b->len);
}

static void check_str(const struct bytes *b, struct dcm_str s)
{
	check_in(b, s);
	check(!s.s || s.s[s.len] == '\0');
}

static void check_strs(const struct bytes *b, struct dcm_strs l)
{
	check(l.known || !l.n);
	for (uint32_t i = 0; i < l.n; i++)
		check_str(b, l.v[i]);
}

static void check_map(const struct bytes *b, struct dcm_map m)
{
	check(m.known || !m.n);
	for (uint32_t i = 0; i < m.n; i++) {
		check_str(b, m.v[i].key);
		check_str(b, m.v[i].value);
	}
}

static void check_nets(const struct bytes *b, struct dcm_networks l)
{
	check(l.known || !l.n);
	for (uint32_t i = 0; i < l.n; i++) {
		check_str(b, l.v[i].name);
		check_str(b, l.v[i].ip);
		check_str(b, l.v[i].gateway);
		check_str(b, l.v[i].mac);
		check_str(b, l.v[i].ipv6);
	}
}

static void check_aliases(const struct bytes *b, struct dcm_aliases l)
{
	check(l.known || !l.n);
	for (uint32_t i = 0; i < l.n; i++) {
		check_str(b, l.v[i].network);
		check_strs(b, l.v[i].aliases);
	}
}

static void check_vols(const struct bytes *b, struct dcm_volumes l)
{
	check(l.known || !l.n);
	for (uint32_t i = 0; i < l.n; i++) {
		check_str(b, l.v[i].name);
		check_str(b, l.v[i].source);
		check_str(b, l.v[i].destination);
		check_str(b, l.v[i].driver);
		check_str(b, l.v[i].mode);
	}
}

static void check_record(const struct bytes *b, const struct dcm_record *r)
{
#define CHECK_STR(f) check_str(b, r->f);
#define CHECK_STRS(f) check_strs(b, r->f);
#define CHECK_MAP(f) check_map(b, r->f);
#define CHECK_NETS(f) check_nets(b, r->f);
#define CHECK_ALIASES(f) check_aliases(b, r->f);
#define CHECK_VOLS(f) check_vols(b, r->f);
#define CHECK_INT(f)
#define CHECK_FLOAT(f)
#define CHECK_BOOL(f) check(r->f >= -1 && r->f <= 1);
#define CHECK(f, tier, type) CHECK_##type(f)
	DCM_FIELDS(CHECK)
#undef CHECK
}

static void check_json(const struct dcm_record *r)
{
	struct json_tokener *t = json_tokener_new();
	struct dcm_text text = {0};
	struct json_object *o;

	check(dcm_record_json(r, &text) == DCM_OK && strlen(text.s) == text.len);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(t, text.s, (int)text.len);
	check(o && json_tokener_get_error(t) == json_tokener_success);
	check(json_object_is_type(o, json_type_object));
	json_object_put(o);
	json_tokener_free(t);
	dcm_text_free(&text);
}

static int decode(struct bytes *b, enum dcm_tier tier, struct dcm_record *r)
{
	const size_t most = 2 * b->len * RECORD_ARENA;
	size_t room = most;
	uint8_t *arena = b->arena;
	int rc;

	record_out_init(r);
	rc = record_decode_tier(b->v, b->len, tier, r, &arena, &room);
	check(rc == DCM_OK || rc == DCM_ELAYOUT); /* the arena always suffices */
	check(arena >= b->arena && arena + room == b->arena + most);
	for (size_t i = 1; i < RECORD_BEHIND; i++) /* behind the last NUL */
		check(b->v[b->len + i] == b->v[b->len + RECORD_BEHIND - 1]);
	return rc;
}

static struct bytes bytes_of(const void *data, size_t len, size_t behind)
{
	struct bytes b = {.len = len};

	b.v = malloc(len + behind);
	b.arena = malloc(2 * len * RECORD_ARENA);
	memcpy(b.v, data, len);
	return b;
}

static void bytes_free(struct bytes *b)
{
	free(b->v);
	free(b->arena);
}

static void try_tier(const uint8_t *data, size_t size, enum dcm_tier tier)
{
	struct bytes b = bytes_of(data, size, RECORD_BEHIND), again;
	struct record_buf first = {0}, second = {0};
	struct dcm_record r, back;

	if (decode(&b, tier, &r) == DCM_OK) {
		check_record(&b, &r);
		check_json(&r);
		if (record_encode(&r, tier, &first) == 0) {
			again = bytes_of(first.data, first.len, RECORD_BEHIND);
			check(decode(&again, tier, &back) == DCM_OK);
			check_record(&again, &back);
			check(record_encode(&back, tier, &second) == 0);
			check(first.len == second.len &&
			      memcmp(first.data, second.data, first.len) == 0);
			bytes_free(&again);
		}
	}
	record_buf_free(&first);
	record_buf_free(&second);
	bytes_free(&b);
}

static void check_in_all(const struct bytes *b, struct dcm_strs l)
{
	for (uint32_t i = 0; i < l.n; i++)
		check_in(b, l.v[i]);
}

/* Every row is a map, too: of hosts, of the directory, of the daemon. */
static void try_rows(const uint8_t *data, size_t size, enum dcm_tier tier)
{
	struct bytes b = bytes_of(data, size, 0);
	struct dcm_str list[4];
	const struct record_room room = {list, 4};
	struct record_dirent dirent = {.generation = 0};
	struct dcm_host host = {.state = DCM_STARTING};
	struct dcm_info info = {.uid = 0};
	struct snapshot_origin origin;

	if (record_decode_host(b.v, b.len, tier, &host, room)) {
		check(host.state >= DCM_STARTING && host.state <= DCM_DISABLED);
		check_in(&b, host.error);
		check_in(&b, host.engine_version);
		check_in(&b, host.api_version);
		check_in(&b, host.transport);
		check_in(&b, host.os);
		check_in(&b, host.kernel);
		check(host.conditions.n + host.warnings.n <= 4);
		check_in_all(&b, host.conditions);
		check_in_all(&b, host.warnings);
	}
	if (record_decode_dirent(b.v, b.len, tier, &dirent, room)) {
		check(dirent.tags.n <= 4);
		check_in(&b, dirent.description);
		check_in_all(&b, dirent.tags);
	}
	if (record_decode_info(b.v, b.len, &info, room)) {
		check(info.conditions.n + info.warnings.n <= 4);
		check_in_all(&b, info.conditions);
		check_in_all(&b, info.warnings);
	}
	check(memchr(info.version, 0, sizeof(info.version)) &&
	      memchr(info.instance, 0, sizeof(info.instance)) &&
	      memchr(info.runtime_dir, 0, sizeof(info.runtime_dir)));
	snapshot_origin_decode(b.v, b.len, &origin);
	bytes_free(&b);
}

/* Passing over a value ends where reading it item by item does. */
static void try_skip(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_of(data, size, 0);
	struct mp skipped = mp_of(b.v, b.len), read = skipped;
	uint64_t left = 1;

	mp_skip(&skipped);
	while (left > 0 && !read.bad) {
		struct mp_item it = mp_next(&read);

		left += it.type == MP_ARRAY ? it.n : it.type == MP_MAP ? 2 * (uint64_t)it.n : 0;
		left--;
	}
	check(skipped.bad == read.bad && (skipped.bad || skipped.p == read.p));
	bytes_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum dcm_tier tier;

	if (size < 2)
		return 0;
	tier = (enum dcm_tier)((data[0] & 7) % DCM_TIERS);
	try_tier(data + 1, size - 1, tier);
	try_rows(data + 1, size - 1, tier);
	try_skip(data + 1, size - 1);
	return 0;
}
