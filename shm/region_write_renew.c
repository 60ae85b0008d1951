/*
 * region_write_renew.c - the heartbeat, and memory that shrinks: a region of
 * which most is free is copied into a new generation, and the old one unlinked
 * once the directory leads to the new one; its pages go with its last mapping.
 *
 * The new object is complete before its magic is stored, and only then the old
 * header says `successor` and RETIRED.  A writer that ends in between leaves two
 * live generations, of which the next one takes the newer.  Until the old object
 * is unlinked its readers go on with what it last held.
 *
 * Entries keep their number and generation, so references stay valid; those at
 * the end that are in no use are left off, and generation_base rises above all
 * they had, so that no number and generation ever comes back.
 */
#include "region_impl.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	SPARSE_HELD = 1 << 20, /* bytes: less is not worth it */
	SPARSE_PART = 4,       /* live is less than this part of what is held */
	SPARSE_BEATS = 10,     /* in a row: it may be about to fill again */
	BACKOFF_BEATS = 60,    /* after a renewal that failed */
};
#define EPOCH_SPAN (8.0 * 365 * 86400) /* entry times end 8.5 years after the epoch */

/* ---- the copy ---------------------------------------------------------------------- */

static uint32_t copy_time(const struct region *to, const struct region *from, uint32_t t)
{
	int64_t shift = (ld(&from->h->epoch) - ld(&to->h->epoch)) * DCM_TICKS, moved = t + shift;

	if (t == 0 || shift == 0)
		return t;
	return moved < 1 ? 1 : moved > UINT32_MAX ? UINT32_MAX : (uint32_t)moved;
}

static int copy_slot(struct region *to, _Atomic uint64_t *slot, const struct region *from,
		     uint64_t ref)
{
	uint64_t copy = ref ? blob_copy(to, blob_of(from, ref)) : 0;

	st_64(slot, copy);
	return ref && !copy ? -ENOSPC : 0;
}

static int copy_entry(struct region *to, const struct region *from, uint32_t i)
{
	const struct dcm_entry *e = entry_of(from, i);
	struct dcm_entry *n = entry_of(to, i);
	int rc;

	st_32(&n->generation, ld(&e->generation));
	if (!entry_live(e))
		return 0;
	for (int w = 0; w < 4; w++)
		st_64(&n->id[w], ld(&e->id[w]));
	st_64(&n->brief, ld(&e->brief));
	st_64(&n->memory_usage, ld(&e->memory_usage));
	rc = copy_slot(to, &n->name, from, ld(&e->name));
	for (int t = 0; t < DCM_TIER_SLOTS && rc == 0; t++) {
		st_32(&n->verified[t], copy_time(to, from, ld(&e->verified[t])));
		rc = copy_slot(to, &n->ref[t], from, ld(&e->ref[t]));
	}
	return rc;
}

/* How many entries stay, and what generation those start from that come later. */
static uint32_t entries_kept(const struct region *r, uint32_t *base)
{
	uint32_t n = ld(&r->h->entries), generation;

	*base = r->h->generation_base;
	for (; n > 1 && !entry_live(entry_of(r, n - 1)); n--) {
		generation = ld(&entry_of(r, n - 1)->generation);
		*base = generation > *base ? generation : *base;
	}
	return n;
}

static int copy_entries(struct region *to, const struct region *from)
{
	uint32_t base, n = entries_kept(from, &base);
	int rc = 0;

	to->h->generation_base = base;
	for (uint32_t i = 0; i < DCM_CHUNK0; i++)
		st_32(&entry_of(to, i)->generation, base);
	for (unsigned k = 1; k <= dcm_chunk_of(n - 1) && rc == 0; k++)
		rc = chunk_make(to, k);
	for (uint32_t i = 0; i < n && rc == 0; i++)
		rc = copy_entry(to, from, i);
	if (rc < 0)
		return rc;
	st_32_release(&to->h->entries, n);
	st_64(&to->h->live, ld(&from->h->live));
	for (uint32_t i = n - 1; i >= 1; i--)
		if (!entry_live(entry_of(to, i)))
			entry_give(to, i);
	rc = table_rebuild(to, &to->by_id);
	return rc < 0 ? rc : table_rebuild(to, &to->by_name);
}

static void copy_ring(struct region *to, const struct region *from)
{
	st_words((_Atomic uint64_t *)(to->base + to->h->changes_offset),
		 from->base + from->h->changes_offset, DCM_CHANGES * sizeof(uint64_t));
	st_64(&to->h->change_head, ld(&from->h->change_head));
}

/* ---- the exchange ------------------------------------------------------------------ */

/* r becomes what n is; n's shell takes what r had, but for its mapping. */
static void exchange(struct region *r, struct region *n)
{
	struct region was = *r;

	*r = *n;
	r->spec.instance = r->instance;
	r->spec.host = r->host;
	r->old_base = was.base;
	memcpy(r->old_object, was.object, sizeof(was.object));
	r->full = was.full + n->full;
	r->renewals = was.renewals + 1;
	r->repaired = was.repaired;
	r->changed = true;
	*n = was;
	n->base = NULL;
}

int region_renew(struct region *r)
{
	struct region *n;
	char note[8];
	int rc;

	if (r->spec.kind != REGION_SHARD || r->old_base)
		return region_fail(r, EBUSY, "%s cannot be renewed now", r->object);
	region_follow_clock(r);
	n = region_new(&r->spec);
	if (!n)
		return region_fail(r, ENOMEM, "no memory");
	rc = region_create(n, r->generation + 1, note, sizeof(note));
	if (rc == 0) {
		st_64(&n->h->sequence, ld(&r->h->sequence));
		rc = copy_entries(n, r);
	}
	if (rc < 0) {
		region_fail(r, -rc, "%s", n->err);
		region_close(&n, true);
		return rc;
	}
	copy_ring(n, r);
	blob_spare(n);
	st_32(&n->h->incarnation, ld(&r->h->incarnation) - 1); /* the same writer goes on */
	st_32(&n->h->publish, ld(&r->h->publish));
	region_go_live(n);
	region_retire(r->h, n->generation);
	exchange(r, n);
	region_close(&n, false);
	return 0;
}

int region_reset(struct region *r)
{
	region_clear(r);
	return region_renew(r);
}

void region_unlink_old(struct region *r)
{
	if (!r->old_base)
		return;
	shm_unlink(r->old_object);
	munmap(r->old_base, DCM_MAP_SPAN);
	r->old_base = NULL;
}

/* ---- each second --------------------------------------------------------------------- */

/* Whether a new generation would hold much less.  Tables and entry chunks count
 * there with what they will be, not with what they are. */
static bool sparse(const struct region *r)
{
	uint64_t held = ld(&r->h->data_limit), live = space_live(r);
	struct region_extent table;
	uint32_t base, kept;

	if (held <= SPARSE_HELD)
		return false;
	for (unsigned k = 0; k < DCM_CHUNKS && ld(&r->h->chunk[k]); k++)
		live -= dcm_chunk_bytes(k);
	table_extent(&r->by_id, &table);
	live -= (uint64_t)table.units * DCM_UNIT;
	table_extent(&r->by_name, &table);
	live -= (uint64_t)table.units * DCM_UNIT;
	kept = entries_kept(r, &base);
	live += kept * (uint64_t)(DCM_ENTRY_SIZE + 2 * 2 * 8);
	if (kept > dcm_chunk_first(DCM_HOME_CHUNK))
		live += (kept - dcm_chunk_first(DCM_HOME_CHUNK)) * (DCM_HOMES * DCM_HOME_SIZE);
	return live < held / SPARSE_PART;
}

/* Times can soon not be said from this epoch any more. */
static bool epoch_over(const struct region *r)
{
	return region_wall() - (double)ld(&r->h->epoch) > EPOCH_SPAN;
}

int region_beat(struct region *r)
{
	st_64(&r->h->heartbeat, region_now());
	region_follow_clock(r);
	space_reclaim(r);
	blob_spare(r);
	if (r->spec.kind != REGION_SHARD || r->old_base)
		return 0;
	if (!sparse(r) && !epoch_over(r)) {
		r->sparse = 0;
		return 0;
	}
	if (++r->sparse != SPARSE_BEATS) {
		if (r->sparse > SPARSE_BEATS + BACKOFF_BEATS)
			r->sparse = 0;
		return 0;
	}
	return region_renew(r) == 0 ? 1 : 0;
}
