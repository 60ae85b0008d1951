/*
 * region_limit.h - how far a reader may read: one load on the hot path.  For
 * region_map.c and region_inline.h alone.
 */
#ifndef DCM_REGION_LIMIT_H
#define DCM_REGION_LIMIT_H

#include "region_read.h"

/* Slow path: the header says more than is known to be there. */
uint64_t region_limit_probe(const struct region_map *m, uint64_t limit);

/* Bytes that can be read.  Ask after loading the reference that is to be
 * followed: the writer raises data_limit before it stores such a reference. */
static inline uint64_t region_limit(const struct region_map *m)
{
	uint64_t limit = atomic_load_explicit(&m->h->data_limit, memory_order_acquire);

	if (__builtin_expect(limit > atomic_load_explicit(&m->known, memory_order_relaxed), 0))
		return region_limit_probe(m, limit);
	return limit;
}

#endif
