/*
 * region_inline.h - the two steps of a point read, inlined: an entry by its index,
 * and one try at a blob.  For region_read.c, which has the protocol in words, and
 * for dcm_view.c, where a call more or less is a tenth of the time.
 */
#ifndef DCM_REGION_INLINE_H
#define DCM_REGION_INLINE_H

#include "region_limit.h"

#define load_acq(p) atomic_load_explicit((p), memory_order_acquire)
#define load_rlx(p) atomic_load_explicit((p), memory_order_relaxed)

/* A test-only build reads without validation, to show what it is for. */
#ifdef DCM_TEST_NO_VALIDATION
enum { VALIDATE = 0 };
#else
enum { VALIDATE = 1 };
#endif

/* Slow path: the first look into chunk `k`.  0: it does not lie where it may. */
uintptr_t region_chunk_check(const struct region_map *m, unsigned k);

/* Where chunk `k` lies; 0: nowhere yet. */
static inline uintptr_t chunk_at(const struct region_map *m, unsigned k)
{
	uintptr_t at = load_rlx(&m->chunk[k]);

	return __builtin_expect(at != 0, 1) ? at : region_chunk_check(m, k);
}

static inline const struct dcm_entry *entry_at(const struct region_map *m, uint32_t index)
{
	unsigned k = dcm_chunk_of(index);
	uintptr_t chunk;

	if (k >= DCM_CHUNKS || index >= load_acq(&m->h->entries))
		return NULL;
	chunk = chunk_at(m, k);
	if (chunk == 0)
		return NULL;
	return (const struct dcm_entry *)(chunk + (index - dcm_chunk_first(k)) * DCM_ENTRY_SIZE);
}

/* The same for an entry that is about to be compared with a key: starts fetching it,
 * and where the blob of its stats most likely lies. */
static inline const struct dcm_entry *entry_ahead(const struct region_map *m, uint32_t index)
{
	const struct dcm_entry *e = entry_at(m, index);
	unsigned k = dcm_chunk_of(index);
	const uint8_t *home;

	if (!e || k < DCM_HOME_CHUNK)
		return e;
	__builtin_prefetch(e);
	home = (const uint8_t *)load_rlx(&m->chunk[k]) + dcm_homes_at(k, index);
	for (int i = 0; i < DCM_HOMES; i++)
		__builtin_prefetch(home + i * DCM_HOME_SIZE);
	return e;
}

/* What was read of an entry, or of a blob, was true when it was read. */
static inline bool entry_same(const struct dcm_entry *e, uint32_t generation)
{
	atomic_thread_fence(memory_order_acquire);
	return load_rlx(&e->generation) == generation;
}

static inline bool blob_same(const struct dcm_blob *b, uint64_t seq, const _Atomic uint64_t *slot,
			     uint64_t ref)
{
	if (!VALIDATE)
		return true;
	atomic_thread_fence(memory_order_acquire);
	return load_rlx(&b->seq) == seq && load_rlx(slot) == ref;
}

/* DCM_EBUSY: changed meanwhile, or damaged; what it is shows on another try. */
static inline int blob_try(const struct region_map *m, const _Atomic uint64_t *slot, uint32_t entry,
			   uint32_t generation, uint32_t tier, struct region_blob *out)
{
	uint64_t ref = load_acq(slot), off = DCM_REF_OFFSET(ref), limit = region_limit(m), seq;
	const struct dcm_blob *b = (const struct dcm_blob *)(m->base + off);
	uint32_t len, gen;

	if (ref == 0)
		return DCM_ENOTFOUND;
	if (off < DCM_PAGE || off + DCM_UNIT > limit)
		return DCM_EBUSY;
	seq = load_acq(&b->seq);
	if (VALIDATE && (seq == 0 || (uint32_t)seq != DCM_REF_SEQ(ref)))
		return DCM_EBUSY;
	len = load_rlx(&b->length);
	gen = load_rlx(&b->generation);
	if (len > limit - off - DCM_BLOB_HEADER)
		return DCM_EBUSY;
	out->data = m->base + off + DCM_BLOB_HEADER;
	out->len = len;
	out->blob = b;
	out->seq = seq;
	out->ref = ref;
	out->written = load_rlx(&b->written);
	out->slot = slot;
	if (VALIDATE &&
	    (load_rlx(&b->entry) != entry || load_rlx(&b->tier) != tier || gen != generation)) {
		/* A true blob of a later container in this entry, or damage. */
		return gen != generation && blob_same(b, seq, slot, ref) ? DCM_ESTALE : DCM_EBUSY;
	}
	return DCM_OK;
}

#endif
