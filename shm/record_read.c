/*
 * record_read.c - decodes the msgpack map of a tier into a struct dcm_record.
 *
 * Pure, bounded on any bytes, and quick: it expects the fields in the order in
 * which they are written, so that a key costs one comparison, and looks a key up
 * only where that fails (bytes of another version).
 *
 * Strings stay where they are.  A NUL is wanted behind each, but there stands
 * the tag of the next item; so the NUL is owed until that tag has been read, and
 * paid then.  The last is paid into data[len].
 */
#include "fields.h"
#include "mp.h"
#include "record.h"

struct reader {
	struct mp m;
	bool terminate, short_of_room;
	uint8_t *owed; /* where a NUL goes once the next tag was read */
	uint8_t sink;  /* where it goes when none is owed */
	uint8_t *arena;
	size_t room;
};

/* A text was read, and its tag's byte may be written to. */
static inline void owe(struct reader *r, const char *text, uint32_t len)
{
	*r->owed = 0;
	r->owed = r->terminate ? (uint8_t *)(uintptr_t)text + len : &r->sink;
}

static inline struct mp_item next(struct reader *r)
{
	struct mp_item it = mp_next(&r->m);

	*r->owed = 0;
	if (it.type == MP_STR)
		owe(r, it.s.s, it.s.len);
	return it;
}

/* What is left of a value of the wrong type. */
static void pass_over(struct reader *r, struct mp_item it)
{
	uint64_t n = it.type == MP_ARRAY ? it.n : it.type == MP_MAP ? 2 * (uint64_t)it.n : 0;

	while (n-- > 0 && !r->m.bad)
		mp_skip(&r->m);
}

/*
 * Room for `n` items of `size` bytes, each of which takes `least` bytes of data
 * at the least: so a count that the data cannot hold is malformed, and the arena
 * that can be asked for is bounded by the data's length.
 */
static void *take(struct reader *r, uint32_t n, size_t size, size_t least)
{
	void *p = r->arena;

	if (n > (size_t)(r->m.end - r->m.p) / least) {
		r->m.bad = true;
		return NULL;
	}
	if (n > r->room / size) {
		r->short_of_room = true;
		return NULL;
	}
	r->arena += n * size;
	r->room -= n * size;
	return p;
}

/* ---- one function a type of field --------------------------------------- */

static void read_long_str(struct reader *r, struct dcm_str *out)
{
	struct mp_item it = next(r);

	*out = (struct dcm_str){0};
	if (it.type == MP_STR)
		*out = it.s;
	else
		pass_over(r, it);
}

/* Filled part by part: a struct that is copied goes through memory, and stalls. */
static inline void read_STR(struct reader *r, struct dcm_str *out)
{
	const char *s;
	uint32_t len;

	if (!mp_short_text(&r->m, &s, &len)) {
		read_long_str(r, out);
		return;
	}
	owe(r, s, len);
	out->s = s;
	out->len = len;
}

static bool begin_long(struct reader *r, enum mp_type type, uint32_t *n)
{
	struct mp_item it = next(r);

	*n = it.n;
	if (it.type == type)
		return true;
	pass_over(r, it);
	return false;
}

/* The header of an array or map, with the shortcut for what most are: nil, or of
 * less than 16.  false: it was nil, or of another type, and is passed over. */
static inline bool begin(struct reader *r, enum mp_type type, uint32_t *n)
{
	uint8_t tag = r->m.p < r->m.end ? mp_byte(r->m.p) : 0;

	if (tag == 0xc0 || (tag & 0xf0) == (type == MP_MAP ? 0x80 : 0x90)) {
		*r->owed = 0;
		r->m.p++;
		*n = tag & 0xf;
		return tag != 0xc0;
	}
	return begin_long(r, type, n);
}

static void read_INT(struct reader *r, int64_t *out)
{
	struct mp_item it = next(r);

	*out = it.type == MP_INT ? it.i : DCM_UNKNOWN;
	pass_over(r, it);
}

static void read_FLOAT(struct reader *r, double *out)
{
	struct mp_item it = next(r);

	*out = it.type == MP_FLOAT ? it.f : it.type == MP_INT ? (double)it.i : __builtin_nan("");
	pass_over(r, it);
}

static void read_BOOL(struct reader *r, int8_t *out)
{
	struct mp_item it = next(r);

	*out = it.type == MP_BOOL ? (int8_t)it.b : -1;
	pass_over(r, it);
}

static void read_STRS(struct reader *r, struct dcm_strs *out)
{
	struct dcm_str *v;
	uint32_t n;

	*out = (struct dcm_strs){0};
	if (!begin(r, MP_ARRAY, &n) || !(v = take(r, n, sizeof(*v), 1)))
		return;
	for (uint32_t i = 0; i < n; i++)
		read_STR(r, &v[i]);
	*out = (struct dcm_strs){v, n, true};
}

static void read_MAP(struct reader *r, struct dcm_map *out)
{
	struct dcm_pair *v;
	uint32_t n;

	*out = (struct dcm_map){0};
	if (!begin(r, MP_MAP, &n) || !(v = take(r, n, sizeof(*v), 2)))
		return;
	for (uint32_t i = 0; i < n; i++) {
		read_STR(r, &v[i].key);
		read_STR(r, &v[i].value);
	}
	*out = (struct dcm_map){v, n, true};
}

static void read_ALIASES(struct reader *r, struct dcm_aliases *out)
{
	struct dcm_alias *v;
	uint32_t n;

	*out = (struct dcm_aliases){0};
	if (!begin(r, MP_MAP, &n) || !(v = take(r, n, sizeof(*v), 2)))
		return;
	for (uint32_t i = 0; i < n; i++) {
		read_STR(r, &v[i].network);
		read_STRS(r, &v[i].aliases);
	}
	*out = (struct dcm_aliases){v, n, true};
}

/* ---- networks and volumes: maps of five texts ---------------------------- */

enum {
	TEXTS = 5,
	TEXTS_LEAST = 7, /* bytes: {"name": nil} at the least */
};

/* One map into the texts side by side at `out`, in the order of `keys`. */
static void read_texts(struct reader *r, const struct dcm_str keys[TEXTS],
		       struct dcm_str *out)
{
	uint32_t n;

	memset(out, 0, TEXTS * sizeof(*out));
	if (!begin(r, MP_MAP, &n))
		return;
	for (uint32_t i = 0; i < n && !r->m.bad; i++) {
		struct dcm_str key, none;
		unsigned k = i;

		read_STR(r, &key);
		if (k >= TEXTS || keys[k].len != key.len || memcmp(keys[k].s, key.s, key.len) != 0)
			for (k = 0; k < TEXTS && !mp_key_is(key, keys[k].s); k++)
				;
		read_STR(r, k < TEXTS ? &out[k] : &none);
	}
}

static void read_NETS(struct reader *r, struct dcm_networks *out)
{
	static const struct dcm_str keys[TEXTS] = {
		{"name", 4}, {"ip", 2}, {"gateway", 7}, {"mac", 3}, {"ipv6", 4}};
	struct dcm_network *v;
	uint32_t n;

	_Static_assert(sizeof(*v) == TEXTS * sizeof(struct dcm_str), "texts side by side");
	*out = (struct dcm_networks){0};
	if (!begin(r, MP_ARRAY, &n) || !(v = take(r, n, sizeof(*v), TEXTS_LEAST)))
		return;
	for (uint32_t i = 0; i < n; i++)
		read_texts(r, keys, &v[i].name);
	*out = (struct dcm_networks){v, n, true};
}

static void read_VOLS(struct reader *r, struct dcm_volumes *out)
{
	static const struct dcm_str keys[TEXTS] = {
		{"name", 4}, {"source", 6}, {"destination", 11}, {"driver", 6}, {"mode", 4}};
	struct dcm_volume *v;
	uint32_t n;

	_Static_assert(sizeof(*v) == TEXTS * sizeof(struct dcm_str), "texts side by side");
	*out = (struct dcm_volumes){0};
	if (!begin(r, MP_ARRAY, &n) || !(v = take(r, n, sizeof(*v), TEXTS_LEAST)))
		return;
	for (uint32_t i = 0; i < n; i++)
		read_texts(r, keys, &v[i].name);
	*out = (struct dcm_volumes){v, n, true};
}

/* ---- a tier ------------------------------------------------------------- */

/* memcmp() of a length that the compiler knows, by comparisons of 8 bytes, the last
 * of which overlaps the one before: no call, however long the name. */
static inline __attribute__((always_inline)) bool same(const uint8_t *p, const char *name,
						       size_t len)
{
	size_t i;

	if (len < 8)
		return memcmp(p, name, len) == 0;
	for (i = 0; i + 8 <= len; i += 8)
		if (memcmp(p + i, name + i, 8) != 0)
			return false;
	return memcmp(p + len - 8, name + len - 8, 8) == 0;
}

/* The next key is `name`: passes over it. */
static inline __attribute__((always_inline)) bool at_key(struct reader *r, const char *name,
							 size_t len)
{
	const uint8_t *p = r->m.p;

	if ((size_t)(r->m.end - p) <= len || p[0] != (0xa0 | len) || !same(p + 1, name, len))
		return false;
	*r->owed = 0;
	r->owed = &r->sink;
	r->m.p += 1 + len;
	return true;
}

/* The fields as far as they come in order.  Returns the pairs that are left.
 * Inlined for each tier, where only that tier's steps remain. */
static inline __attribute__((always_inline)) uint32_t read_in_order(struct reader *r,
								    enum dcm_tier tier,
								    struct dcm_record *rec,
								    uint32_t pairs)
{
#define STEP(name, tier_, type)                                                                \
	if (tier == DCM_##tier_ && pairs > 0 && at_key(r, #name, sizeof(#name) - 1)) {         \
		read_##type(r, &rec->name);                                                    \
		pairs--;                                                                       \
	}
	DCM_FIELDS(STEP)
#undef STEP
	return pairs;
}

static uint32_t read_tier_in_order(struct reader *r, enum dcm_tier tier, struct dcm_record *rec,
				   uint32_t pairs)
{
	switch (tier) {
	case DCM_STATS:
		return read_in_order(r, DCM_STATS, rec, pairs);
	case DCM_STATUS:
		return read_in_order(r, DCM_STATUS, rec, pairs);
	case DCM_CONFIG:
		return read_in_order(r, DCM_CONFIG, rec, pairs);
	case DCM_COMPOSE:
		return read_in_order(r, DCM_COMPOSE, rec, pairs);
	case DCM_LOGS:
		return read_in_order(r, DCM_LOGS, rec, pairs);
	default:
		return pairs;
	}
}

static void read_field(struct reader *r, enum dcm_field f, struct dcm_record *rec)
{
	switch (f) {
#define CASE(name, tier, type)                                                                 \
	case DCM_F_##name:                                                                     \
		read_##type(r, &rec->name);                                                    \
		break;
		DCM_FIELDS(CASE)
#undef CASE
	default:
		break;
	}
}

/* A pair whose key was not the one expected: look it up, or pass over it. */
static void read_any(struct reader *r, enum dcm_tier tier, struct dcm_record *rec)
{
	struct dcm_str key;
	struct field_range range = record_tier_fields[tier];

	read_STR(r, &key);
	for (unsigned f = range.first; f < range.end; f++) {
		const struct field *d = &record_fields[f];

		if (d->key_len == key.len + 1 && memcmp(d->key + 1, key.s, key.len) == 0) {
			read_field(r, (enum dcm_field)f, rec);
			return;
		}
	}
	if (key.s && tier == DCM_CONFIG && mp_key_is(key, "truncated")) {
		int8_t b;

		read_BOOL(r, &b);
		rec->truncated = b == 1;
		return;
	}
	pass_over(r, next(r));
}

int record_decode_tier(uint8_t *data, size_t len, enum dcm_tier tier, struct dcm_record *rec,
		       bool terminate, uint8_t **arena, size_t *room)
{
	struct reader r = {.m = mp_of(data, len), .terminate = terminate, .arena = *arena,
			   .room = *room};
	uint32_t pairs;

	if ((unsigned)tier >= DCM_TIERS)
		return DCM_EINVAL;
	r.owed = &r.sink;
	if (!mp_map(&r.m, &pairs))
		return DCM_ELAYOUT;
	pairs = read_tier_in_order(&r, tier, rec, pairs);
	while (pairs-- > 0 && !r.m.bad && !r.short_of_room)
		read_any(&r, tier, rec);
	*r.owed = 0;
	*arena = r.arena;
	*room = r.room;
	if (r.short_of_room)
		return DCM_ENOMEM;
	return r.m.bad ? DCM_ELAYOUT : DCM_OK;
}
