/*
 * mp.h - a bounded cursor over msgpack bytes, for reading in place.
 *
 * msgpack-c writes what we store; its unpacker builds a tree of objects, which
 * a reader of shared memory has no time for and must not (the bytes may change
 * under it).  This cursor fetches each tag and length once, allocates nothing,
 * never leaves [p, end), and once wrong stays wrong: check `bad` at the end.
 */
#ifndef DCM_MP_H
#define DCM_MP_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dcm.h"

struct mp {
	const uint8_t *p, *end;
	bool bad;
};

enum mp_type { MP_BAD, MP_NIL, MP_BOOL, MP_INT, MP_FLOAT, MP_STR, MP_BIN, MP_ARRAY, MP_MAP };
struct mp_item {
	enum mp_type type;
	union {
		bool b;
		int64_t i;	   /* a uint64 above INT64_MAX is MP_BAD */
		double f;
		struct dcm_str s;  /* STR, BIN and extensions (as BIN): bytes in place */
		uint32_t n;	   /* ARRAY: items; MAP: pairs that follow */
	};
};

static inline struct mp mp_of(const void *data, size_t len)
{
	return (struct mp){(const uint8_t *)data, (const uint8_t *)data + len, false};
}

/* One fetch, whatever the compiler would like: the byte may change meanwhile. */
static inline uint8_t mp_byte(const uint8_t *p)
{
	return *(const volatile uint8_t *)p;
}
/*
 * The shortcut for what most items are: text of less than 256 bytes.  true: it is
 * in *s and *len.  false: the next item is something else, and still there.  (Its
 * two parts, not a struct: they stay in registers, which halves a decode's time.)
 */
static inline bool mp_short_text(struct mp *m, const char **s, uint32_t *len)
{
	size_t room = (size_t)(m->end - m->p), head = 1, n;
	uint8_t tag;

	if (room == 0)
		return false;
	tag = mp_byte(m->p);
	if ((tag & 0xe0) == 0xa0) {
		n = tag & 0x1f;
	} else if (tag == 0xd9 && room > 1) {
		n = mp_byte(m->p + 1);
		head = 2;
	} else {
		return false;
	}
	if (n > room - head)
		return false; /* mp_next() says that it is bad */
	*s = (const char *)m->p + head;
	*len = (uint32_t)n;
	m->p += head + n;
	return true;
}

/* The same for integers that are not the last 8 bytes. */
static inline bool mp_short_int(struct mp *m, int64_t *out)
{
	unsigned width;
	uint8_t tag;
	uint64_t v;

	if (m->end - m->p < 9)
		return false;
	tag = mp_byte(m->p);
	if (tag < 0x80 || tag >= 0xe0) {
		*out = (int8_t)tag;
		m->p++;
		return true;
	}
	if (tag < 0xcc || tag > 0xcf)
		return false;
	width = 1u << (tag - 0xcc);
	memcpy(&v, m->p + 1, sizeof(v));
	v = be64toh(v) >> (64 - 8 * width);
	if (v > INT64_MAX)
		return false;
	*out = (int64_t)v;
	m->p += 1 + width;
	return true;
}

/* For floats of 8 bytes, as we write them. */
static inline bool mp_short_float(struct mp *m, double *out)
{
	uint64_t v;

	if (m->end - m->p < 9 || mp_byte(m->p) != 0xcb)
		return false;
	memcpy(&v, m->p + 1, sizeof(v));
	v = be64toh(v);
	memcpy(out, &v, sizeof(*out));
	m->p += 9;
	return true;
}

static inline bool mp_short_bool(struct mp *m, bool *out)
{
	uint8_t tag = m->p < m->end ? mp_byte(m->p) : 0;

	if ((tag & 0xfe) != 0xc2)
		return false;
	*out = tag & 1;
	m->p++;
	return true;
}

/* true: the next item is nil, and is passed over. */
static inline bool mp_nil(struct mp *m)
{
	if (m->p == m->end || mp_byte(m->p) != 0xc0)
		return false;
	m->p++;
	return true;
}

/* The next item; of arrays and maps only the header.  MP_BAD sets m->bad. */
struct mp_item mp_next(struct mp *m);
/* Passes over one whole value, however deep: there is no stack to exhaust. */
void mp_skip(struct mp *m);
/* Typed reads: false on nil or another type, with the value passed over. */
bool mp_any_int(struct mp *m, int64_t *out);
static inline bool mp_int(struct mp *m, int64_t *out)
{
	return mp_short_int(m, out) || mp_any_int(m, out);
}
bool mp_any_float(struct mp *m, double *out);
static inline bool mp_float(struct mp *m, double *out) /* an integer counts as a float */
{
	return mp_short_float(m, out) || mp_any_float(m, out);
}
bool mp_any_bool(struct mp *m, bool *out);
static inline bool mp_bool(struct mp *m, bool *out)
{
	return mp_short_bool(m, out) || mp_any_bool(m, out);
}
bool mp_long_str(struct mp *m, struct dcm_str *out); /* without the shortcut */
static inline bool mp_str(struct mp *m, struct dcm_str *out)
{
	return mp_short_text(m, &out->s, &out->len) || mp_long_str(m, out);
}
bool mp_map(struct mp *m, uint32_t *pairs);
bool mp_array(struct mp *m, uint32_t *items);

static inline bool mp_key_is(struct dcm_str key, const char *name)
{
	size_t len = strlen(name);

	return key.len == len && memcmp(key.s, name, len) == 0;
}

#endif
