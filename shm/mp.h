/*
 * mp.h - a bounded cursor over msgpack bytes, for reading in place.
 *
 * msgpack-c writes what we store; its unpacker builds a tree of objects, which
 * a reader of shared memory has no time for and must not (the bytes may change
 * under it).  This cursor reads each byte once, allocates nothing, never leaves
 * [p, end), and once wrong stays wrong: check `bad` at the end.
 */
#ifndef DCM_MP_H
#define DCM_MP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
		struct dcm_str s;  /* STR and BIN: bytes in place */
		uint32_t n;	   /* ARRAY: items; MAP: pairs that follow */
	};
};

static inline struct mp mp_of(const void *data, size_t len)
{
	return (struct mp){(const uint8_t *)data, (const uint8_t *)data + len, false};
}
/* The next item; of arrays and maps only the header.  MP_BAD sets m->bad. */
struct mp_item mp_next(struct mp *m);
/* Passes over one whole value; nesting deeper than 16 is bad. */
void mp_skip(struct mp *m);
/* Typed reads: false on nil or another type, with the value passed over. */
bool mp_int(struct mp *m, int64_t *out);
bool mp_float(struct mp *m, double *out); /* an integer counts as a float */
bool mp_bool(struct mp *m, bool *out);
bool mp_str(struct mp *m, struct dcm_str *out);
bool mp_map(struct mp *m, uint32_t *pairs);
bool mp_array(struct mp *m, uint32_t *items);
bool mp_key_is(struct dcm_str key, const char *name);

#endif
