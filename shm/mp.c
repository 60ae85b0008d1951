/*
 * mp.c - the bounded msgpack cursor; see mp.h.
 *
 * Each multi-byte number is one volatile load, so a length that was checked is
 * the length that is used, even where another process rewrites the bytes.
 */
#include "mp.h"

struct mp_u16 {
	uint16_t v;
} __attribute__((packed, may_alias));
struct mp_u32 {
	uint32_t v;
} __attribute__((packed, may_alias));
struct mp_u64 {
	uint64_t v;
} __attribute__((packed, may_alias));

static uint64_t load_number(const uint8_t *p, size_t width)
{
	switch (width) {
	case 1:
		return mp_byte(p);
	case 2:
		return be16toh(((const volatile struct mp_u16 *)p)->v);
	case 4:
		return be32toh(((const volatile struct mp_u32 *)p)->v);
	default:
		return be64toh(((const volatile struct mp_u64 *)p)->v);
	}
}

static struct mp_item bad(struct mp *m)
{
	m->bad = true;
	m->p = m->end;
	return (struct mp_item){.type = MP_BAD};
}

/* The number of `width` bytes behind the tag; false: not that many are there. */
static bool take_number(struct mp *m, size_t width, uint64_t *out)
{
	if ((size_t)(m->end - m->p) < 1 + width)
		return false;
	*out = load_number(m->p + 1, width);
	m->p += 1 + width;
	return true;
}

static struct mp_item take_bytes(struct mp *m, enum mp_type type, uint64_t len)
{
	struct mp_item it = {.type = type};

	if (len > (size_t)(m->end - m->p))
		return bad(m);
	it.s.s = (const char *)m->p;
	it.s.len = (uint32_t)len;
	m->p += len;
	return it;
}

static struct mp_item take_int(struct mp *m, size_t width, bool is_signed)
{
	struct mp_item it = {.type = MP_INT};
	uint64_t v;

	if (!take_number(m, width, &v))
		return bad(m);
	if (!is_signed && v > INT64_MAX)
		return bad(m);
	if (is_signed && width < 8)
		v = (uint64_t)((int64_t)(v << (64 - 8 * width)) >> (64 - 8 * width));
	it.i = (int64_t)v;
	return it;
}

static struct mp_item take_float(struct mp *m, size_t width)
{
	struct mp_item it = {.type = MP_FLOAT};
	uint64_t v;

	if (!take_number(m, width, &v))
		return bad(m);
	if (width == 4) {
		uint32_t half = (uint32_t)v;
		float f;

		memcpy(&f, &half, sizeof(f));
		it.f = (double)f;
	} else {
		memcpy(&it.f, &v, sizeof(it.f));
	}
	return it;
}

/* Strings, binaries, extensions, arrays and maps whose count takes `width` bytes;
 * `extra` bytes stand between an extension's length and its data. */
static struct mp_item take_counted(struct mp *m, enum mp_type type, size_t width, size_t extra)
{
	struct mp_item it = {.type = type};
	uint64_t n;

	if (!take_number(m, width, &n))
		return bad(m);
	if (type == MP_ARRAY || type == MP_MAP) {
		it.n = (uint32_t)n;
		return it;
	}
	if (extra > (size_t)(m->end - m->p))
		return bad(m);
	m->p += extra;
	return take_bytes(m, type, n);
}

static struct mp_item take_small(struct mp *m, struct mp_item it)
{
	m->p++;
	return it;
}

/* 0xc0 to 0xdf, where the tag names a type and the width of what follows. */
static struct mp_item take_tagged(struct mp *m, uint8_t tag)
{
	switch (tag) {
	case 0xc0:
		return take_small(m, (struct mp_item){.type = MP_NIL});
	case 0xc2:
	case 0xc3:
		return take_small(m, (struct mp_item){.type = MP_BOOL, .b = tag == 0xc3});
	case 0xc4:
	case 0xc5:
	case 0xc6:
		return take_counted(m, MP_BIN, 1u << (tag - 0xc4), 0);
	case 0xc7:
	case 0xc8:
	case 0xc9:
		return take_counted(m, MP_BIN, 1u << (tag - 0xc7), 1);
	case 0xca:
	case 0xcb:
		return take_float(m, tag == 0xca ? 4 : 8);
	case 0xcc:
	case 0xcd:
	case 0xce:
	case 0xcf:
		return take_int(m, 1u << (tag - 0xcc), false);
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
		return take_int(m, 1u << (tag - 0xd0), true);
	case 0xd4:
	case 0xd5:
	case 0xd6:
	case 0xd7:
	case 0xd8:
		if (m->end - m->p < 2)
			return bad(m);
		m->p += 2;
		return take_bytes(m, MP_BIN, 1u << (tag - 0xd4));
	case 0xd9:
	case 0xda:
	case 0xdb:
		return take_counted(m, MP_STR, 1u << (tag - 0xd9), 0);
	case 0xdc:
	case 0xdd:
		return take_counted(m, MP_ARRAY, tag == 0xdc ? 2 : 4, 0);
	case 0xde:
	case 0xdf:
		return take_counted(m, MP_MAP, tag == 0xde ? 2 : 4, 0);
	default: /* 0xc1 is no msgpack */
		return bad(m);
	}
}

struct mp_item mp_next(struct mp *m)
{
	uint8_t tag;

	if (m->bad || m->p >= m->end)
		return bad(m);
	tag = mp_byte(m->p);
	if (tag < 0x80)
		return take_small(m, (struct mp_item){.type = MP_INT, .i = tag});
	if (tag < 0x90)
		return take_small(m, (struct mp_item){.type = MP_MAP, .n = tag & 0xf});
	if (tag < 0xa0)
		return take_small(m, (struct mp_item){.type = MP_ARRAY, .n = tag & 0xf});
	if (tag < 0xc0) {
		m->p++;
		return take_bytes(m, MP_STR, tag & 0x1f);
	}
	if (tag >= 0xe0)
		return take_small(m, (struct mp_item){.type = MP_INT, .i = (int8_t)tag});
	return take_tagged(m, tag);
}

/* What is left to pass over once the header of `it` was read. */
static void skip_rest(struct mp *m, struct mp_item it)
{
	/* Each turn takes a byte at least, so the count of items in the bytes'
	 * own words cannot make this long. */
	uint64_t todo = it.type == MP_ARRAY ? it.n : it.type == MP_MAP ? 2 * (uint64_t)it.n : 0;

	while (todo > 0 && !m->bad) {
		const char *text;
		uint32_t len;

		todo--;
		if (mp_short_text(m, &text, &len))
			continue;
		it = mp_next(m);
		if (it.type == MP_ARRAY)
			todo += it.n;
		else if (it.type == MP_MAP)
			todo += 2 * (uint64_t)it.n;
	}
}

void mp_skip(struct mp *m)
{
	const char *text;
	uint32_t len;

	if (!mp_short_text(m, &text, &len))
		skip_rest(m, mp_next(m));
}

bool mp_any_int(struct mp *m, int64_t *out)
{
	struct mp_item it = mp_next(m);

	if (it.type == MP_INT) {
		*out = it.i;
		return true;
	}
	skip_rest(m, it);
	return false;
}

bool mp_any_float(struct mp *m, double *out)
{
	struct mp_item it = mp_next(m);

	if (it.type == MP_FLOAT || it.type == MP_INT) {
		*out = it.type == MP_FLOAT ? it.f : (double)it.i;
		return true;
	}
	skip_rest(m, it);
	return false;
}

bool mp_any_bool(struct mp *m, bool *out)
{
	struct mp_item it = mp_next(m);

	if (it.type == MP_BOOL) {
		*out = it.b;
		return true;
	}
	skip_rest(m, it);
	return false;
}

bool mp_long_str(struct mp *m, struct dcm_str *out)
{
	struct mp_item it = mp_next(m);

	if (it.type == MP_STR) {
		*out = it.s;
		return true;
	}
	skip_rest(m, it);
	return false;
}

bool mp_map(struct mp *m, uint32_t *pairs)
{
	struct mp_item it = mp_next(m);

	if (it.type == MP_MAP) {
		*pairs = it.n;
		return true;
	}
	skip_rest(m, it);
	return false;
}

bool mp_array(struct mp *m, uint32_t *items)
{
	struct mp_item it = mp_next(m);

	if (it.type == MP_ARRAY) {
		*items = it.n;
		return true;
	}
	skip_rest(m, it);
	return false;
}
