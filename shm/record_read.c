/*
 * record_read.c - decodes the msgpack map of a tier into a struct dcm_record.
 *
 * Pure, bounded on any bytes, and quick: it expects the fields in the order in
 * which they are written, so that a key costs one comparison, and looks a key up
 * only where that fails (bytes of another version).
 *
 * Strings stay where they are.  A NUL is wanted behind each, and there stands the
 * tag of the next item: so each tag is overwritten by 0 once it was read, whatever
 * stood before it, and at the end the byte behind the last item.
 *
 * Bounds: behind the data are put RECORD_BEHIND bytes that are no msgpack.  So a tag
 * is read, and a key or a number of 8 bytes compared, without asking where the end
 * is: what stands beyond it is no key, and no tag of the short ways below.  Only the
 * lengths that the bytes tell are held against the end.  A number may be cut by the
 * end, and then p is beyond it: as it is put where something is malformed, END + 1,
 * and there it stays, since no tag is found there.  Who is done asks where p is.
 *
 * Where the decode stands is `p`, handed on by value from one item to the next:
 * each item begins where the one before it ended, and that chain, were it to go
 * through memory, would be most of the time.  What is inlined is for the same.
 */
#include "fields.h"
#include "mp.h"
#include "record.h"

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define LIKELY(x) __builtin_expect((x), 1)
#define RARE(x) __builtin_expect((x), 0)

enum {
	NO_TAG = 0xc1, /* the one byte that begins no item */
	KEY_MAX = 32,  /* bytes of a field's key */
	NUMBER_MAX = 9,
};
_Static_assert(RECORD_BEHIND >= NUMBER_MAX - 1 + KEY_MAX, "what is read beyond the end");

/* Memory for lists. */
struct room {
	uint8_t *at;
	size_t left;
	bool none; /* there was too little of it */
};

/* ---- the long ways: any item at p; each returns where it ends ------------- */

static uint8_t *malformed(const uint8_t *end)
{
	return (uint8_t *)(uintptr_t)end + 1;
}

static uint8_t *next(const uint8_t *end, uint8_t *p, struct mp_item *it)
{
	struct mp m = {p, end, false};

	*it = mp_next(&m);
	if (m.bad)
		return malformed(end);
	*p = 0;
	return (uint8_t *)(uintptr_t)m.p;
}

/* What is left of a value of the wrong type. */
static uint8_t *pass_over(const uint8_t *end, uint8_t *p, struct mp_item it)
{
	uint64_t n = it.type == MP_ARRAY ? it.n : it.type == MP_MAP ? 2 * (uint64_t)it.n : 0;
	struct mp m = {p, end, false};

	while (n-- > 0 && !m.bad)
		mp_skip(&m);
	return m.bad ? malformed(end) : (uint8_t *)(uintptr_t)m.p;
}

NOINLINE uint8_t *long_STR(const uint8_t *end, uint8_t *p, struct dcm_str *out)
{
	struct mp_item it;

	p = next(end, p, &it);
	*out = it.type == MP_STR ? it.s : (struct dcm_str){0};
	return pass_over(end, p, it);
}

NOINLINE uint8_t *long_INT(const uint8_t *end, uint8_t *p, int64_t *out)
{
	struct mp_item it;

	p = next(end, p, &it);
	*out = it.type == MP_INT ? it.i : DCM_UNKNOWN;
	return pass_over(end, p, it);
}

NOINLINE uint8_t *long_FLOAT(const uint8_t *end, uint8_t *p, double *out)
{
	struct mp_item it;

	p = next(end, p, &it);
	*out = it.type == MP_FLOAT ? it.f : it.type == MP_INT ? (double)it.i : __builtin_nan("");
	return pass_over(end, p, it);
}

NOINLINE uint8_t *long_BOOL(const uint8_t *end, uint8_t *p, int8_t *out)
{
	struct mp_item it;

	p = next(end, p, &it);
	*out = it.type == MP_BOOL ? (int8_t)it.b : -1;
	return pass_over(end, p, it);
}

/* *n items or pairs follow; *is: it was of `type`, and not nil. */
NOINLINE uint8_t *long_begin(const uint8_t *end, uint8_t *p, enum mp_type type, uint32_t *n,
			     bool *is)
{
	struct mp_item it;

	p = next(end, p, &it);
	*is = it.type == type;
	*n = *is ? it.n : 0;
	return *is ? p : pass_over(end, p, it);
}

/* ---- the short ways: what most items are --------------------------------- */

INLINE uint8_t *take_STR(const uint8_t *end, uint8_t *p, struct dcm_str *out)
{
	uint32_t tag = *p, len = tag - 0xa0;
	uint8_t *s = p + 1;

	if (len >= 32) {
		if (tag == 0xc0) {
			*p = 0;
			*out = (struct dcm_str){0};
			return s;
		}
		if (RARE(tag != 0xd9))
			return long_STR(end, p, out);
		len = *s++;
	}
	if (RARE(s + len > end))
		return long_STR(end, p, out);
	*p = 0;
	out->s = (char *)s;
	out->len = len;
	return s + len;
}

INLINE uint8_t *take_INT(const uint8_t *end, uint8_t *p, int64_t *out)
{
	uint32_t tag = *p, log2 = tag - 0xcc;
	uint64_t v;

	if (tag < 0x80) {
		*p = 0;
		*out = tag;
		return p + 1;
	}
	memcpy(&v, p + 1, sizeof(v));
	v = be64toh(v) >> ((64 - (8u << (log2 & 3))) & 63);
	if (RARE(log2 > 3 || v > INT64_MAX)) {
		if (tag != 0xc0)
			return long_INT(end, p, out);
		*p = 0;
		*out = DCM_UNKNOWN;
		return p + 1;
	}
	*p = 0;
	*out = (int64_t)v;
	return p + 1 + (1u << log2);
}

INLINE uint8_t *take_FLOAT(const uint8_t *end, uint8_t *p, double *out)
{
	uint64_t v;

	if (RARE(*p != 0xcb)) {
		if (*p != 0xc0)
			return long_FLOAT(end, p, out);
		*p = 0;
		*out = __builtin_nan("");
		return p + 1;
	}
	memcpy(&v, p + 1, sizeof(v));
	v = be64toh(v);
	memcpy(out, &v, sizeof(*out));
	*p = 0;
	return p + NUMBER_MAX;
}

INLINE uint8_t *take_BOOL(const uint8_t *end, uint8_t *p, int8_t *out)
{
	uint32_t tag = *p;

	if (RARE((tag & 0xfe) != 0xc2 && tag != 0xc0))
		return long_BOOL(end, p, out);
	*p = 0;
	*out = tag == 0xc0 ? -1 : (int8_t)(tag & 1);
	return p + 1;
}

INLINE uint8_t *begin(const uint8_t *end, uint8_t *p, enum mp_type type, uint32_t *n, bool *is)
{
	uint32_t tag = *p, few = type == MP_MAP ? 0x80 : 0x90, many = type == MP_MAP ? 0xde : 0xdc;

	*is = true;
	*n = tag & 0xf;
	if (LIKELY((tag & 0xf0) == few)) {
		*p = 0;
		return p + 1;
	}
	if (tag == many) {
		*p = 0;
		*n = (uint32_t)p[1] << 8 | p[2];
		return p + 3;
	}
	if (tag != 0xc0)
		return long_begin(end, p, type, n, is);
	*p = 0;
	*is = false;
	return p + 1;
}

/* ---- lists ---------------------------------------------------------------- */

/*
 * Room for `n` items of `size` bytes, each of which takes `least` bytes of data
 * at the least: so a count that the data cannot hold is malformed, and the memory
 * that can be asked for is bounded by the data's length.  NULL: there is none.
 */
INLINE void *make_room(struct room *room, const uint8_t *end, uint8_t **p, uint32_t n, size_t size,
		       size_t least)
{
	void *v = room->at;

	if (RARE((int64_t)(n * least) > end - *p)) {
		*p = malformed(end);
		return NULL;
	}
	if (RARE(n * size > room->left)) {
		room->none = true;
		return NULL;
	}
	room->at += n * size;
	room->left -= n * size;
	return v;
}

/* `n` texts one behind the other. */
INLINE uint8_t *texts(const uint8_t *end, uint8_t *p, struct dcm_str *v, uint32_t n)
{
	for (struct dcm_str *last = v + n; v < last; v++)
		p = take_STR(end, p, v);
	return p;
}

NOINLINE uint8_t *take_STRS(struct room *room, const uint8_t *end, uint8_t *p, struct dcm_strs *out)
{
	struct dcm_str *v;
	uint32_t n;
	bool is;

	p = begin(end, p, MP_ARRAY, &n, &is);
	v = make_room(room, end, &p, n, sizeof(*v), 1);
	if (v)
		p = texts(end, p, v, n);
	*out = is && v ? (struct dcm_strs){v, n, true} : (struct dcm_strs){0};
	return p;
}

NOINLINE uint8_t *take_MAP(struct room *room, const uint8_t *end, uint8_t *p, struct dcm_map *out)
{
	struct dcm_pair *v;
	uint32_t n;
	bool is;

	p = begin(end, p, MP_MAP, &n, &is);
	v = make_room(room, end, &p, n, sizeof(*v), 2);
	_Static_assert(sizeof(*v) == 2 * sizeof(struct dcm_str), "texts side by side");
	if (v)
		p = texts(end, p, &v->key, 2 * n);
	*out = is && v ? (struct dcm_map){v, n, true} : (struct dcm_map){0};
	return p;
}

NOINLINE uint8_t *take_ALIASES(struct room *room, const uint8_t *end, uint8_t *p,
			       struct dcm_aliases *out)
{
	struct dcm_alias *v;
	uint32_t n;
	bool is;

	p = begin(end, p, MP_MAP, &n, &is);
	v = make_room(room, end, &p, n, sizeof(*v), 2);
	for (uint32_t i = 0; v && i < n; i++) {
		p = take_STR(end, p, &v[i].network);
		p = take_STRS(room, end, p, &v[i].aliases);
	}
	*out = is && v ? (struct dcm_aliases){v, n, true} : (struct dcm_aliases){0};
	return p;
}

/* ---- fields --------------------------------------------------------------- */

/* memcmp() of a length that the compiler knows, by comparisons of 8, 4 or 2 bytes, the
 * last of which overlaps the one before: no call, however long the key. */
INLINE bool same(const uint8_t *p, const void *key, size_t len)
{
	size_t step = len >= 8 ? 8 : len >= 4 ? 4 : 2;

	for (size_t i = 0; i + step <= len; i += step)
		if (memcmp(p + i, (const char *)key + i, step) != 0)
			return false;
	return memcmp(p + len - step, (const char *)key + len - step, step) == 0;
}

/* A step of what comes in order: the key `name`, which the compiler knows with its tag,
 * then its value by `read`; or else the value is null. */
#define STEP_IN_ORDER(name, read, member, null)                                 \
	{                                                                       \
		static const struct {                                           \
			uint8_t tag;                                            \
			char text[sizeof(#name)];                               \
		} key = {0xa0 | (sizeof(#name) - 1), #name};                    \
                                                                                \
		_Static_assert(sizeof(#name) <= KEY_MAX, "a fixstr");           \
		if (LIKELY(same(p, &key, sizeof(#name)))) {                     \
			*p = 0;                                                 \
			p += sizeof(#name);                                     \
			p = read(&member);                                      \
			left--;                                                 \
		} else {                                                        \
			member = null;                                          \
		}                                                               \
	}

/* ---- networks and volumes: maps of texts ---------------------------------- */

enum { TEXTS_LEAST = 7 /* bytes: {"name": nil} at the least */ };

/* `left` pairs that came in no order, into the texts side by side at `out`. */
static uint8_t *any_texts(const uint8_t *end, uint8_t *p, const char *const *keys, unsigned n_keys,
			  struct dcm_str *out, int64_t left)
{
	for (; left > 0 && p <= end; left--) {
		struct dcm_str key, none;
		unsigned k = 0;

		p = take_STR(end, p, &key);
		while (k < n_keys && !mp_key_is(key, keys[k]))
			k++;
		p = take_STR(end, p, k < n_keys ? &out[k] : &none);
	}
	return left < 0 ? malformed(end) : p;
}

#define READ_STR(out) take_STR(end, p, out)

/* Lists of objects: TEXTS_X names the members of one, as they come. */
#define TEXTS_OF(type, TEXTS_X, of, list)                                                 \
	static uint8_t *one_##type(const uint8_t *end, uint8_t *p, of *v)                 \
	{                                                                                 \
		static const char *const keys[] = {TEXTS_X(TEXT_NAME)};                   \
		int64_t left;                                                             \
		uint32_t n;                                                               \
		bool is;                                                                  \
                                                                                          \
		_Static_assert(sizeof(*v) == sizeof(keys) / sizeof(keys[0]) *             \
						     sizeof(struct dcm_str),              \
			       "texts side by side");                                     \
		p = begin(end, p, MP_MAP, &n, &is);                                       \
		left = n;                                                                 \
		TEXTS_X(TEXT_STEP)                                                        \
		if (RARE(left != 0))                                                      \
			p = any_texts(end, p, keys, sizeof(keys) / sizeof(keys[0]),       \
				      (struct dcm_str *)(void *)v, left);                 \
		return p;                                                                 \
	}                                                                                 \
	NOINLINE uint8_t *take_##type(struct room *room, const uint8_t *end, uint8_t *p,  \
				      list *out)                                          \
	{                                                                                 \
		of *v;                                                                    \
		uint32_t n;                                                               \
		bool is;                                                                  \
                                                                                          \
		p = begin(end, p, MP_ARRAY, &n, &is);                                     \
		v = make_room(room, end, &p, n, sizeof(*v), TEXTS_LEAST);                 \
		for (uint32_t i = 0; v && i < n; i++)                                     \
			p = one_##type(end, p, &v[i]);                                    \
		*out = is && v ? (list){v, n, true} : (list){0};                          \
		return p;                                                                 \
	}
#define TEXT_NAME(name) #name,
#define TEXT_STEP(name) STEP_IN_ORDER(name, READ_STR, v->name, (struct dcm_str){0})
#define NETWORK_TEXTS(X) X(name) X(ip) X(gateway) X(mac) X(ipv6)
#define VOLUME_TEXTS(X) X(name) X(source) X(destination) X(driver) X(mode)
TEXTS_OF(NETS, NETWORK_TEXTS, struct dcm_network, struct dcm_networks)
TEXTS_OF(VOLS, VOLUME_TEXTS, struct dcm_volume, struct dcm_volumes)

/* ---- a tier ---------------------------------------------------------------- */

#define READ_INT(out) take_INT(end, p, out)
#define READ_FLOAT(out) take_FLOAT(end, p, out)
#define READ_BOOL(out) take_BOOL(end, p, out)
#define READ_STRS(out) take_STRS(room, end, p, out)
#define READ_MAP(out) take_MAP(room, end, p, out)
#define READ_NETS(out) take_NETS(room, end, p, out)
#define READ_ALIASES(out) take_ALIASES(room, end, p, out)
#define READ_VOLS(out) take_VOLS(room, end, p, out)

/* The fields as far as they come in order, the others null.  *pairs: how many are
 * left; fewer than 0 where more came than the map says.  Inlined for each tier, where
 * only that tier's steps remain. */
INLINE uint8_t *in_order(struct room *room, const uint8_t *end, uint8_t *p, enum dcm_tier tier,
			 struct dcm_record *rec, int64_t *pairs)
{
	int64_t left = *pairs;

#define STEP(name, tier_, type)                                                        \
	if (tier == DCM_##tier_)                                                       \
		STEP_IN_ORDER(name, READ_##type, rec->name, record_null.name)
	DCM_FIELDS(STEP)
#undef STEP
	*pairs = left;
	return p;
}

static uint8_t *tier_in_order(struct room *room, const uint8_t *end, uint8_t *p,
			      enum dcm_tier tier, struct dcm_record *rec, int64_t *pairs)
{
	switch (tier) {
	case DCM_STATS:
		return in_order(room, end, p, DCM_STATS, rec, pairs);
	case DCM_STATUS:
		return in_order(room, end, p, DCM_STATUS, rec, pairs);
	case DCM_CONFIG:
		return in_order(room, end, p, DCM_CONFIG, rec, pairs);
	case DCM_COMPOSE:
		return in_order(room, end, p, DCM_COMPOSE, rec, pairs);
	case DCM_LOGS:
		return in_order(room, end, p, DCM_LOGS, rec, pairs);
	default:
		return p;
	}
}

/* ---- fields that come in no order: another version wrote them ------------- */

static uint8_t *any_field(struct room *room, const uint8_t *end, uint8_t *p, enum dcm_field f,
			  struct dcm_record *rec)
{
	switch (f) {
#define CASE(name, tier, type)                    \
	case DCM_F_##name:                        \
		return READ_##type(&rec->name);
		DCM_FIELDS(CASE)
#undef CASE
	default:
		return p;
	}
}

/* Looks the key up, or passes over the pair. */
static uint8_t *any_pair(struct room *room, const uint8_t *end, uint8_t *p, enum dcm_tier tier,
			 struct dcm_record *rec)
{
	struct field_range range = record_tier_fields[tier];
	struct mp_item it;
	struct dcm_str key;
	int8_t b;

	p = take_STR(end, p, &key);
	for (unsigned f = range.first; f < range.end; f++)
		if (mp_key_is(key, dcm_field_name((enum dcm_field)f)))
			return any_field(room, end, p, (enum dcm_field)f, rec);
	if (tier == DCM_CONFIG && mp_key_is(key, "truncated")) {
		p = take_BOOL(end, p, &b);
		rec->truncated = b == 1;
		return p;
	}
	p = next(end, p, &it);
	return pass_over(end, p, it);
}

void record_null_tier(struct dcm_record *rec, enum dcm_tier tier)
{
	struct field_range range = record_tier_fields[tier];
	size_t from = record_fields[range.first].offset;
	size_t to = range.end < DCM_FIELD_COUNT ? record_fields[range.end].offset
						: offsetof(struct dcm_record, truncated);

	memcpy((char *)rec + from, (const char *)&record_null + from, to - from);
	if (tier == DCM_CONFIG)
		rec->truncated = false;
}

int record_decode_tier(uint8_t *data, size_t len, enum dcm_tier tier, struct dcm_record *rec,
		       uint8_t **arena, size_t *left)
{
	struct room room = {*arena, *left, false};
	const uint8_t *end = data + len;
	uint8_t *p = data;
	int64_t pairs;
	uint32_t n;
	bool is;

	if ((unsigned)tier >= DCM_TIERS)
		return DCM_EINVAL;
	memset(data + len, NO_TAG, RECORD_BEHIND);
	p = begin(end, p, MP_MAP, &n, &is);
	pairs = n;
	if (tier == DCM_CONFIG)
		rec->truncated = false;
	p = tier_in_order(&room, end, p, tier, rec, &pairs);
	for (; pairs > 0 && p <= end && !room.none; pairs--)
		p = any_pair(&room, end, p, tier, rec);
	if (p <= end)
		*p = 0;
	*arena = room.at;
	*left = room.left;
	if (room.none)
		return DCM_ENOMEM;
	return is && pairs == 0 && p <= end ? DCM_OK : DCM_ELAYOUT;
}

int record_decode_copy(const void *data, size_t len, enum dcm_tier tier, struct dcm_record *rec,
		       void *memory)
{
	size_t room = len * RECORD_ARENA;
	uint8_t *copy = memory, *arena = copy + record_decode_room(len) - room;

	memcpy(copy, data, len);
	return record_decode_tier(copy, len, tier, rec, &arena, &room);
}
