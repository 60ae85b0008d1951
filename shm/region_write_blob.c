/*
 * region_write_blob.c - blobs and entries of the writer: made, compared, given
 * back.
 *
 * A blob's life: space that nothing leads to -> seq = 0, fence, header and
 * payload, seq = q -> the caller stores a reference to it -> the caller stores
 * another reference there -> quarantine -> space that nothing leads to.
 * The stats of an entry that has homes (layout.h) lie in these in turn: space that
 * is the entry's for good.
 * A sequence is on record in the header before it is used, so that the next
 * writer never gives it out again.
 *
 * The row of a host must be told even where nothing else finds room ("full" is in
 * it).  So the blobs of entry 0 always take the same space, one more of each is
 * held back, and what is replaced becomes the next one held back.
 */
#include "region_impl.h"

#include <stdlib.h>
#include <xxhash.h>

static const uint32_t row_bytes[DCM_TIER_SLOTS] = {[DCM_STATUS] = 4096, [DCM_STATS] = 256};

uint32_t blob_units(uint32_t entry, uint32_t tier, uint32_t length)
{
	uint64_t bytes = (uint64_t)DCM_BLOB_HEADER + length;

	if (entry == DCM_SELF && tier < DCM_TIER_SLOTS && bytes < row_bytes[tier])
		bytes = row_bytes[tier];
	return space_round(bytes);
}

void blob_spare(struct region *r)
{
	for (unsigned t = 0; t < DCM_TIER_SLOTS; t++) {
		uint32_t units = row_bytes[t] / DCM_UNIT, off = 0;

		if (units && !r->spare[t].units)
			off = space_alloc(r, units);
		if (off)
			r->spare[t] = (struct region_extent){off, units};
	}
}

/* Of what is held back; 0: it is not for this one. */
static uint32_t take_spare(struct region *r, uint32_t entry, uint32_t tier, uint32_t units)
{
	uint32_t off = 0;

	if (entry == DCM_SELF && tier < DCM_TIER_SLOTS && r->spare[tier].units == units) {
		off = r->spare[tier].off;
		r->spare[tier].units = 0;
	}
	return off;
}

/* Holds it back, where that is missing.  Readers may look at it, and find at their
 * check that it is another one. */
static bool give_spare(struct region *r, uint64_t ref)
{
	const struct dcm_blob *b = blob_of(r, ref);
	uint32_t tier = ld(&b->tier), units = blob_units(ld(&b->entry), tier, ld(&b->length));

	if (ld(&b->entry) != DCM_SELF || tier >= DCM_TIER_SLOTS || r->spare[tier].units ||
	    units * DCM_UNIT != row_bytes[tier])
		return false;
	r->spare[tier] = (struct region_extent){(uint32_t)(DCM_REF_OFFSET(ref) / DCM_UNIT), units};
	return true;
}

bool blob_at_home(const struct region *r, uint64_t ref)
{
	const struct dcm_blob *b = blob_of(r, ref);
	uint32_t off = (uint32_t)(DCM_REF_OFFSET(ref) / DCM_UNIT), entry = ld(&b->entry);

	if (ld(&b->tier) != DCM_STATS || ld(&b->length) > DCM_HOME_SIZE - DCM_BLOB_HEADER)
		return false;
	for (unsigned i = 0; i < DCM_HOMES; i++)
		if (off == home_of(r, entry, i))
			return true;
	return false;
}

/* Stats go to the home that those in force do not lie in, so that a blob stays for
 * as long as the next one is in force; other blobs, and larger ones, anywhere. */
static uint32_t place(struct region *r, uint32_t entry, uint32_t tier, uint32_t len)
{
	uint32_t home = home_of(r, entry, 0);
	uint64_t old;

	if (tier != DCM_STATS || !home || len > DCM_HOME_SIZE - DCM_BLOB_HEADER)
		return space_alloc(r, blob_units(entry, tier, len));
	old = ld(&entry_of(r, entry)->ref[DCM_STATS]);
	return DCM_REF_OFFSET(old) / DCM_UNIT == home ? home_of(r, entry, 1) : home;
}

static uint64_t store_blob(struct region *r, uint32_t entry, uint32_t generation, uint32_t tier,
			   const void *data, uint32_t len, uint64_t written)
{
	uint32_t units = blob_units(entry, tier, len), off = place(r, entry, tier, len);
	uint64_t q = ld(&r->h->sequence) + 1;
	struct dcm_blob *b;

	if (off == 0)
		off = take_spare(r, entry, tier, units);
	if (off == 0)
		return 0;
	b = (struct dcm_blob *)(r->base + (uint64_t)off * DCM_UNIT);
	st_64(&r->h->sequence, q);
	st_64(&b->seq, 0);
	atomic_thread_fence(memory_order_release);
	st_32(&b->entry, entry);
	st_32(&b->generation, generation);
	st_32(&b->tier, tier);
	st_32(&b->length, len);
	st_64(&b->checksum, XXH3_64bits(data, len));
	st_64(&b->written, written);
	st_words((_Atomic uint64_t *)((uint8_t *)b + DCM_BLOB_HEADER), data, len);
	st_64_release(&b->seq, q);
	return DCM_REF((uint64_t)off * DCM_UNIT, dcm_blob_units(len), q);
}

uint64_t blob_write(struct region *r, uint32_t entry, uint32_t generation, uint32_t tier,
		    const void *data, uint32_t len)
{
	double now = region_wall();
	uint64_t bits;

	memcpy(&bits, &now, sizeof(bits));
	return store_blob(r, entry, generation, tier, data, len, bits);
}

uint64_t blob_copy(struct region *r, const struct dcm_blob *b)
{
	return store_blob(r, ld(&b->entry), ld(&b->generation), ld(&b->tier), blob_data(b),
			  ld(&b->length), ld(&b->written));
}

bool blob_equals(const struct region *r, uint64_t ref, const void *data, uint32_t len)
{
	const struct dcm_blob *b = blob_of(r, ref);

	return ref != 0 && ld(&b->length) == len && memcmp(blob_data(b), data, len) == 0;
}

static uint32_t units_of(const struct region *r, uint64_t ref)
{
	const struct dcm_blob *b = blob_of(r, ref);

	return blob_units(ld(&b->entry), ld(&b->tier), ld(&b->length));
}

void blob_discard(struct region *r, uint64_t ref)
{
	if (ref && !blob_at_home(r, ref) && !give_spare(r, ref))
		space_free(r, (uint32_t)(DCM_REF_OFFSET(ref) / DCM_UNIT), units_of(r, ref));
}

void blob_retire(struct region *r, uint64_t ref)
{
	if (ref && !blob_at_home(r, ref) && !give_spare(r, ref))
		space_retire(r, (uint32_t)(DCM_REF_OFFSET(ref) / DCM_UNIT), units_of(r, ref));
}

struct dcm_str blob_str(const struct region *r, uint64_t ref)
{
	const struct dcm_blob *b = blob_of(r, ref);

	if (ref == 0)
		return (struct dcm_str){NULL, 0};
	return (struct dcm_str){(const char *)blob_data(b), ld(&b->length)};
}

/* ---- entries ----------------------------------------------------------------- */

int chunk_make(struct region *r, unsigned k)
{
	uint64_t count = dcm_chunk_entries(k);
	uint32_t off = k < DCM_CHUNKS ? space_alloc(r, (uint32_t)(dcm_chunk_bytes(k) / DCM_UNIT)) : 0;
	struct dcm_entry *e = (struct dcm_entry *)(r->base + (uint64_t)off * DCM_UNIT);

	if (off == 0)
		return -ENOSPC;
	st_zero((_Atomic uint64_t *)e, count * (DCM_ENTRY_SIZE / 8));
	for (uint64_t i = 0; i < count; i++)
		st_32(&e[i].generation, r->h->generation_base);
	st_64_release(&r->h->chunk[k], (uint64_t)off * DCM_UNIT);
	return 0;
}

uint32_t entry_take(struct region *r)
{
	uint32_t index = ld(&r->h->entries);
	unsigned k = dcm_chunk_of(index);

	if (r->n_unused)
		return r->unused[--r->n_unused];
	if (k >= DCM_CHUNKS || (ld(&r->h->chunk[k]) == 0 && chunk_make(r, k) < 0))
		return 0;
	st_32_release(&r->h->entries, index + 1);
	return index;
}

void entry_give(struct region *r, uint32_t index)
{
	if (r->n_unused == r->room_unused) {
		uint32_t room = r->room_unused ? r->room_unused * 2 : 64;
		void *v = realloc(r->unused, room * sizeof(*r->unused));

		if (!v)
			return; /* lost until the next take-over */
		r->unused = v;
		r->room_unused = room;
	}
	r->unused[r->n_unused++] = index;
}
