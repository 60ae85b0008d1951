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
 *
 * Where the decode stands is `p`, handed on by value from one item to the next:
 * each item begins where the one before it ended, and that chain, were it to go
 * through memory, would be most of the time.  What is inlined is for the same.
 */
#include "fields.h"
#include "mp.h"
#include "record.h"

#if defined(__GNUC__) && !defined(__clang__)
/* gcc keeps the two pointers of a struct mp as one vector, and takes it apart and
 * together again for each item: twice the time. */
#pragma GCC optimize("no-tree-slp-vectorize")
#endif
#define INLINE static inline __attribute__((always_inline))

struct reader {
	const uint8_t *end;
	uint8_t *owed; /* where a NUL goes once the next tag was read */
	uint8_t *arena;
	size_t room;
	bool terminate, bad, short_of_room;
	uint8_t sink; /* where a NUL goes when none is owed */
};

/* A tag was read: the NUL in its place may be written. */
INLINE void pay(struct reader *r)
{
	*r->owed = 0;
}

/* And the item was a text, so that the next NUL is owed. */
INLINE void owe(struct reader *r, const char *text, uint32_t len)
{
	pay(r);
	r->owed = r->terminate ? (uint8_t *)(uintptr_t)text + len : &r->sink;
}

/* ---- the long ways: any item at p; each returns where it ends ------------- */

static const uint8_t *next(struct reader *r, const uint8_t *p, struct mp_item *it)
{
	struct mp m = {p, r->end, r->bad};

	*it = mp_next(&m);
	pay(r);
	if (it->type == MP_STR)
		owe(r, it->s.s, it->s.len);
	r->bad = m.bad;
	return m.p;
}

/* What is left of a value of the wrong type. */
static const uint8_t *pass_over(struct reader *r, const uint8_t *p, struct mp_item it)
{
	uint64_t n = it.type == MP_ARRAY ? it.n : it.type == MP_MAP ? 2 * (uint64_t)it.n : 0;
	struct mp m = {p, r->end, r->bad};

	while (n-- > 0 && !m.bad)
		mp_skip(&m);
	r->bad = m.bad;
	return m.p;
}

static __attribute__((noinline)) const uint8_t *long_str(struct reader *r, const uint8_t *p, struct dcm_str *out)
{
	struct mp_item it;

	p = next(r, p, &it);
	*out = (struct dcm_str){0};
	if (it.type == MP_STR)
		*out = it.s;
	return pass_over(r, p, it);
}

static const uint8_t *long_int(struct reader *r, const uint8_t *p, int64_t *out)
{
	struct mp_item it;

	p = next(r, p, &it);
	*out = it.type == MP_INT ? it.i : DCM_UNKNOWN;
	return pass_over(r, p, it);
}

static const uint8_t *long_float(struct reader *r, const uint8_t *p, double *out)
{
	struct mp_item it;

	p = next(r, p, &it);
	*out = it.type == MP_FLOAT ? it.f : it.type == MP_INT ? (double)it.i : __builtin_nan("");
	return pass_over(r, p, it);
}

static const uint8_t *long_bool(struct reader *r, const uint8_t *p, int8_t *out)
{
	struct mp_item it;

	p = next(r, p, &it);
	*out = it.type == MP_BOOL ? (int8_t)it.b : -1;
	return pass_over(r, p, it);
}

/* *n items or pairs follow; *is: it was of `type`, and not nil. */
static const uint8_t *long_begin(struct reader *r, const uint8_t *p, enum mp_type type,
				 uint32_t *n, bool *is)
{
	struct mp_item it;

	p = next(r, p, &it);
	*is = it.type == type;
	*n = *is ? it.n : 0;
	return *is ? p : pass_over(r, p, it);
}

/* ---- the short ways: what most items are --------------------------------- */

INLINE const uint8_t *take_STR(struct reader *r, const uint8_t *p, struct dcm_str *out)
{
	const uint8_t *end = r->end, *s = p + 1;
	uint32_t tag, len;

	if (p >= end)
		return long_str(r, p, out);
	tag = mp_byte(p);
	len = tag & 0x1f;
	if ((tag & 0xe0) != 0xa0) {
		if (tag == 0xc0) {
			pay(r);
			*out = (struct dcm_str){0};
			return s;
		}
		if (tag != 0xd9 || s >= end)
			return long_str(r, p, out);
		len = mp_byte(s++);
	}
	if (len > (size_t)(end - s))
		return long_str(r, p, out);
	owe(r, (const char *)s, len);
	out->s = (const char *)s;
	out->len = len;
	return s + len;
}

INLINE const uint8_t *take_INT(struct reader *r, const uint8_t *p, int64_t *out)
{
	struct mp m = {p, r->end, false};
	int64_t v = DCM_UNKNOWN;

	if (!mp_short_int(&m, &v) && !mp_nil(&m))
		return long_int(r, p, out);
	pay(r);
	*out = v;
	return m.p;
}

INLINE const uint8_t *take_FLOAT(struct reader *r, const uint8_t *p, double *out)
{
	struct mp m = {p, r->end, false};
	double v = __builtin_nan("");

	if (!mp_short_float(&m, &v) && !mp_nil(&m))
		return long_float(r, p, out);
	pay(r);
	*out = v;
	return m.p;
}

INLINE const uint8_t *take_BOOL(struct reader *r, const uint8_t *p, int8_t *out)
{
	struct mp m = {p, r->end, false};
	int8_t v = -1;
	bool b;

	if (mp_short_bool(&m, &b))
		v = b;
	else if (!mp_nil(&m))
		return long_bool(r, p, out);
	pay(r);
	*out = v;
	return m.p;
}

INLINE const uint8_t *begin(struct reader *r, const uint8_t *p, enum mp_type type, uint32_t *n,
			    bool *is)
{
	uint8_t tag = p < r->end ? mp_byte(p) : 0;

	if (tag != 0xc0 && (tag & 0xf0) != (type == MP_MAP ? 0x80 : 0x90))
		return long_begin(r, p, type, n, is);
	pay(r);
	*is = tag != 0xc0;
	*n = *is ? tag & 0xf : 0;
	return p + 1;
}

/* ---- lists ---------------------------------------------------------------- */

/*
 * Room for `n` items of `size` bytes, each of which takes `least` bytes of data
 * at the least: so a count that the data cannot hold is malformed, and the arena
 * that can be asked for is bounded by the data's length.  NULL: there is none.
 */
INLINE void *make_room(struct reader *r, const uint8_t *p, uint32_t n, size_t size, size_t least)
{
	void *room = r->arena;

	if (n > (size_t)(r->end - p) / least) {
		r->bad = true;
		return NULL;
	}
	if (n > r->room / size) {
		r->short_of_room = true;
		return NULL;
	}
	r->arena += n * size;
	r->room -= n * size;
	return room;
}

/* `n` texts one behind the other.  Where the reader stands is kept beside it, since
 * for the compiler each NUL may fall on the reader itself. */
INLINE const uint8_t *each_text(struct reader *r, const uint8_t *p, struct dcm_str *v, uint32_t n,
				bool terminate)
{
	const uint8_t *end = r->end, *s;
	uint8_t *owed = r->owed;
	uint32_t tag, len;

	for (struct dcm_str *last = v + n; v < last; v++) {
		if (p + 2 > end)
			goto any;
		tag = mp_byte(p);
		len = tag & 0x1f;
		s = p + 1;
		if (__builtin_expect((tag & 0xe0) != 0xa0, 0)) {
			if (tag != 0xd9)
				goto any;
			len = mp_byte(s++);
		}
		if (len > (size_t)(end - s))
			goto any;
		*owed = 0;
		p = s + len;
		if (terminate)
			owed = (uint8_t *)(uintptr_t)p;
		v->s = (const char *)s;
		v->len = len;
		continue;
	any:
		r->owed = owed;
		p = long_str(r, p, v);
		owed = r->owed;
	}
	r->owed = owed;
	return p;
}

static __attribute__((noinline)) const uint8_t *texts(struct reader *r, const uint8_t *p,
						      struct dcm_str *v, uint32_t n)
{
	return r->terminate ? each_text(r, p, v, n, true) : each_text(r, p, v, n, false);
}

INLINE const uint8_t *take_STRS(struct reader *r, const uint8_t *p, struct dcm_strs *out)
{
	struct dcm_str *v;
	uint32_t n;
	bool is;

	p = begin(r, p, MP_ARRAY, &n, &is);
	v = make_room(r, p, n, sizeof(*v), 1);
	if (v)
		p = texts(r, p, v, n);
	*out = is && v ? (struct dcm_strs){v, n, true} : (struct dcm_strs){0};
	return p;
}

INLINE const uint8_t *take_MAP(struct reader *r, const uint8_t *p, struct dcm_map *out)
{
	struct dcm_pair *v;
	uint32_t n;
	bool is;

	p = begin(r, p, MP_MAP, &n, &is);
	v = make_room(r, p, n, sizeof(*v), 2);
	_Static_assert(sizeof(*v) == 2 * sizeof(struct dcm_str), "texts side by side");
	if (v)
		p = texts(r, p, &v->key, 2 * n);
	*out = is && v ? (struct dcm_map){v, n, true} : (struct dcm_map){0};
	return p;
}

INLINE const uint8_t *take_ALIASES(struct reader *r, const uint8_t *p, struct dcm_aliases *out)
{
	struct dcm_alias *v;
	uint32_t n;
	bool is;

	p = begin(r, p, MP_MAP, &n, &is);
	v = make_room(r, p, n, sizeof(*v), 2);
	for (uint32_t i = 0; v && i < n; i++) {
		p = take_STR(r, p, &v[i].network);
		p = take_STRS(r, p, &v[i].aliases);
	}
	*out = is && v ? (struct dcm_aliases){v, n, true} : (struct dcm_aliases){0};
	return p;
}

/* ---- fields --------------------------------------------------------------- */

/* One function a type, which all its fields share: inlined in each field, the code
 * would be too much for the processor's caches. */
#define READ(type, of)                                                                    \
	static __attribute__((noinline)) const uint8_t *read_##type(                      \
		struct reader *r, const uint8_t *p, of *out)                              \
	{                                                                                 \
		return take_##type(r, p, out);                                            \
	}
READ(STR, struct dcm_str)
READ(INT, int64_t)
READ(FLOAT, double)
READ(BOOL, int8_t)
READ(STRS, struct dcm_strs)
READ(MAP, struct dcm_map)
READ(ALIASES, struct dcm_aliases)

/* memcmp() of a length that the compiler knows, by comparisons of 8, 4 or 2 bytes, the
 * last of which overlaps the one before: no call, however long the name. */
INLINE bool same(const uint8_t *p, const char *name, size_t len)
{
	size_t step = len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;

	for (size_t i = 0; i + step <= len; i += step)
		if (memcmp(p + i, name + i, step) != 0)
			return false;
	return memcmp(p + len - step, name + len - step, step) == 0;
}

/* The key at p is `name`. */
INLINE bool at_key(const struct reader *r, const uint8_t *p, const char *name, size_t len)
{
	return (size_t)(r->end - p) > len && p[0] == (0xa0 | len) && same(p + 1, name, len);
}

/* A step of what comes in order: the key `name`, then its value by `read`, which also
 * pays the NUL that is owed in the place of the key's tag. */
#define STEP_IN_ORDER(name, read, out)                              \
	if (left > 0 && at_key(r, p, #name, sizeof(#name) - 1)) {   \
		p = read(r, p + sizeof(#name), out);                \
		left--;                                             \
	}

/* ---- networks and volumes: maps of texts ---------------------------------- */

enum { TEXTS_LEAST = 7 /* bytes: {"name": nil} at the least */ };

/* `left` pairs that came in no order, into the texts side by side at `out`. */
static const uint8_t *any_texts(struct reader *r, const uint8_t *p, const char *const *keys,
				unsigned n_keys, struct dcm_str *out, uint32_t left)
{
	for (; left > 0 && !r->bad; left--) {
		struct dcm_str key, none;
		unsigned k = 0;

		p = read_STR(r, p, &key);
		while (k < n_keys && !mp_key_is(key, keys[k]))
			k++;
		p = read_STR(r, p, k < n_keys ? &out[k] : &none);
	}
	return p;
}

/* One object: TEXTS_X names its members, as they come. */
#define TEXTS_OF(type, TEXTS_X, of)                                                       \
	static const uint8_t *one_##type(struct reader *r, const uint8_t *p, of *v)       \
	{                                                                                 \
		static const char *const keys[] = {TEXTS_X(TEXT_NAME)};                   \
		uint32_t left;                                                            \
		bool is;                                                                  \
                                                                                          \
		_Static_assert(sizeof(*v) == sizeof(keys) / sizeof(keys[0]) *             \
						     sizeof(struct dcm_str),              \
			       "texts side by side");                                     \
		memset(v, 0, sizeof(*v));                                                 \
		p = begin(r, p, MP_MAP, &left, &is);                                      \
		TEXTS_X(TEXT_STEP)                                                        \
		return left ? any_texts(r, p, keys, sizeof(keys) / sizeof(keys[0]),       \
					(struct dcm_str *)(void *)v, left)                \
			    : p;                                                          \
	}
#define TEXT_NAME(name) #name,
#define TEXT_STEP(name) STEP_IN_ORDER(name, read_STR, &v->name)
#define NETWORK_TEXTS(X) X(name) X(ip) X(gateway) X(mac) X(ipv6)
#define VOLUME_TEXTS(X) X(name) X(source) X(destination) X(driver) X(mode)
TEXTS_OF(NETS, NETWORK_TEXTS, struct dcm_network)
TEXTS_OF(VOLS, VOLUME_TEXTS, struct dcm_volume)

static const uint8_t *read_NETS(struct reader *r, const uint8_t *p, struct dcm_networks *out)
{
	struct dcm_network *v;
	uint32_t n;
	bool is;

	p = begin(r, p, MP_ARRAY, &n, &is);
	v = make_room(r, p, n, sizeof(*v), TEXTS_LEAST);
	for (uint32_t i = 0; v && i < n; i++)
		p = one_NETS(r, p, &v[i]);
	*out = is && v ? (struct dcm_networks){v, n, true} : (struct dcm_networks){0};
	return p;
}

static const uint8_t *read_VOLS(struct reader *r, const uint8_t *p, struct dcm_volumes *out)
{
	struct dcm_volume *v;
	uint32_t n;
	bool is;

	p = begin(r, p, MP_ARRAY, &n, &is);
	v = make_room(r, p, n, sizeof(*v), TEXTS_LEAST);
	for (uint32_t i = 0; v && i < n; i++)
		p = one_VOLS(r, p, &v[i]);
	*out = is && v ? (struct dcm_volumes){v, n, true} : (struct dcm_volumes){0};
	return p;
}

/* ---- a tier ---------------------------------------------------------------- */

/* The fields as far as they come in order.  *pairs: how many are left.  Inlined
 * for each tier, where only that tier's steps remain. */
INLINE const uint8_t *in_order(struct reader *r, const uint8_t *p, enum dcm_tier tier,
			       struct dcm_record *rec, uint32_t *pairs)
{
	uint32_t left = *pairs;

#define STEP(name, tier_, type)                                    \
	if (tier == DCM_##tier_)                                   \
		STEP_IN_ORDER(name, read_##type, &rec->name)
	DCM_FIELDS(STEP)
#undef STEP
	*pairs = left;
	return p;
}

static const uint8_t *tier_in_order(struct reader *r, const uint8_t *p, enum dcm_tier tier,
				    struct dcm_record *rec, uint32_t *pairs)
{
	switch (tier) {
	case DCM_STATS:
		return in_order(r, p, DCM_STATS, rec, pairs);
	case DCM_STATUS:
		return in_order(r, p, DCM_STATUS, rec, pairs);
	case DCM_CONFIG:
		return in_order(r, p, DCM_CONFIG, rec, pairs);
	case DCM_COMPOSE:
		return in_order(r, p, DCM_COMPOSE, rec, pairs);
	case DCM_LOGS:
		return in_order(r, p, DCM_LOGS, rec, pairs);
	default:
		return p;
	}
}

/* ---- fields that come in no order: another version wrote them ------------- */

static const uint8_t *any_field(struct reader *r, const uint8_t *p, enum dcm_field f,
				struct dcm_record *rec)
{
	switch (f) {
#define CASE(name, tier, type)                        \
	case DCM_F_##name:                            \
		return read_##type(r, p, &rec->name);
		DCM_FIELDS(CASE)
#undef CASE
	default:
		return p;
	}
}

/* Looks the key up, or passes over the pair. */
static const uint8_t *any_pair(struct reader *r, const uint8_t *p, enum dcm_tier tier,
			       struct dcm_record *rec)
{
	struct field_range range = record_tier_fields[tier];
	struct mp_item it;
	struct dcm_str key;
	int8_t b;

	p = read_STR(r, p, &key);
	for (unsigned f = range.first; f < range.end; f++)
		if (mp_key_is(key, dcm_field_name((enum dcm_field)f)))
			return any_field(r, p, (enum dcm_field)f, rec);
	if (tier == DCM_CONFIG && mp_key_is(key, "truncated")) {
		p = read_BOOL(r, p, &b);
		rec->truncated = b == 1;
		return p;
	}
	p = next(r, p, &it);
	return pass_over(r, p, it);
}

int record_decode_tier(uint8_t *data, size_t len, enum dcm_tier tier, struct dcm_record *rec,
		       bool terminate, uint8_t **arena, size_t *room)
{
	struct reader r = {
		.end = data + len, .terminate = terminate, .arena = *arena, .room = *room};
	const uint8_t *p = data;
	uint32_t pairs;
	bool is;

	if ((unsigned)tier >= DCM_TIERS)
		return DCM_EINVAL;
	r.owed = &r.sink;
	p = begin(&r, p, MP_MAP, &pairs, &is);
	if (!is)
		return DCM_ELAYOUT;
	p = tier_in_order(&r, p, tier, rec, &pairs);
	while (pairs-- > 0 && !r.bad && !r.short_of_room)
		p = any_pair(&r, p, tier, rec);
	pay(&r);
	*arena = r.arena;
	*room = r.room;
	if (r.short_of_room)
		return DCM_ENOMEM;
	return r.bad ? DCM_ELAYOUT : DCM_OK;
}
