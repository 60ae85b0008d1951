/*
 * region_write_verify.c - what the next writer checks before it goes on in a
 * region that its predecessor left, perhaps in the middle of a store.
 *
 * The header's numbers and the entry chunks must be right, else the region is
 * given up (-EUCLEAN) and a new generation made.  Behind that, nothing is
 * believed that cannot be checked, and what is wrong is taken out:
 *  - a reference must lead, aligned and within bounds, to a blob that names this
 *    entry, its generation and tier, with the reference's sequence, none above
 *    the header's, and the right checksum, and overlaps nothing; else it is 0;
 *  - an entry that is in no use, or was never, leads nowhere; one whose id another
 *    has, too, is taken out of use;
 *  - a table must lead to each entry in use and to nothing else, else it is
 *    built anew.
 * All space that nothing leads to is free.  Readers are served all the while.
 */
#include "region_impl.h"

#include <stdlib.h>
#include <xxhash.h>

/* What lies where.  Blobs know the reference that leads to them. */
struct used {
	struct region_extent at;
	_Atomic uint64_t *slot; /* of a blob; NULL: an entry chunk, or a table */
};
struct used_list {
	struct used *v;
	size_t n, room;
	bool failed; /* no memory */
};

static void use(struct used_list *l, uint64_t off, uint32_t units, _Atomic uint64_t *slot)
{
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 256;
		void *v = realloc(l->v, room * sizeof(*l->v));

		if (!v) {
			l->failed = true;
			return;
		}
		l->v = v;
		l->room = room;
	}
	l->v[l->n++] = (struct used){{(uint32_t)(off / DCM_UNIT), units}, slot};
}

static bool within(const struct region *r, uint64_t off, uint64_t bytes)
{
	uint64_t first = DCM_PAGE + DCM_CHANGES * 8, limit = ld(&r->h->data_limit);

	return off >= first && off <= limit && bytes <= limit - off && off % DCM_UNIT == 0;
}

/* Times that a clock can say: 30,000 years, and 100 of them in nanoseconds. */
static bool times_sound(const struct region *r)
{
	int64_t epoch = ld(&r->h->epoch), clock = ld(&r->h->clock);

	return epoch >= 0 && epoch < INT64_C(1000000000000) &&
	       clock > -INT64_C(3000000000000000000) && clock < INT64_C(3000000000000000000);
}

/* ---- chunks --------------------------------------------------------------------- */

static int check_chunks(struct region *r, struct used_list *l)
{
	uint32_t entries = ld(&r->h->entries);

	/* No writer lives to give out half of all sequences. */
	if (entries < 1 || dcm_chunk_of(entries - 1) >= DCM_CHUNKS ||
	    !(r->h->generation_base & 1) || ld(&r->h->sequence) >> 63 || !times_sound(r))
		return region_fail(r, EUCLEAN, "%s: its header is damaged", r->object);
	for (unsigned k = 0; k < DCM_CHUNKS; k++) {
		uint64_t off = ld(&r->h->chunk[k]), bytes = dcm_chunk_bytes(k);

		if (off == 0 && dcm_chunk_first(k) >= entries)
			continue;
		if (!within(r, off, bytes))
			return region_fail(r, EUCLEAN, "%s: its entries are damaged", r->object);
		use(l, off, (uint32_t)(bytes / DCM_UNIT), NULL);
	}
	return 0;
}

/* ---- references ------------------------------------------------------------------- */

static bool ref_sound(const struct region *r, uint64_t ref, uint32_t entry, uint32_t generation,
		      uint32_t tier)
{
	const struct dcm_blob *b = blob_of(r, ref);
	uint32_t len;

	if (!within(r, DCM_REF_OFFSET(ref), DCM_UNIT))
		return false;
	len = ld(&b->length);
	return len <= DCM_BLOB_MAX &&
	       DCM_REF(DCM_REF_OFFSET(ref), dcm_blob_units(len), DCM_REF_SEQ(ref)) == ref &&
	       within(r, DCM_REF_OFFSET(ref), (uint64_t)blob_units(entry, tier, len) * DCM_UNIT) &&
	       ld(&b->seq) != 0 && (uint32_t)ld(&b->seq) == DCM_REF_SEQ(ref) &&
	       ld(&b->seq) <= ld(&r->h->sequence) && ld(&b->entry) == entry &&
	       ld(&b->generation) == generation && ld(&b->tier) == tier &&
	       (tier != DCM_BLOB_NAME || len <= DCM_NAME_MAX) &&
	       XXH3_64bits(blob_data(b), len) == ld(&b->checksum);
}

static void check_ref(struct region *r, struct used_list *l, _Atomic uint64_t *slot, uint32_t entry,
		      uint32_t generation, uint32_t tier)
{
	uint64_t ref = ld(slot);

	if (ref == 0)
		return;
	if (ref_sound(r, ref, entry, generation, tier)) {
		if (!blob_at_home(r, ref)) /* else it lies in what the chunk uses */
			use(l, DCM_REF_OFFSET(ref),
			    blob_units(entry, tier, ld(&blob_of(r, ref)->length)), slot);
		return;
	}
	st_64_release(slot, 0);
	r->repaired++;
}

static void clear_refs(struct dcm_entry *e)
{
	if (ld(&e->name))
		st_64_release(&e->name, 0);
	for (int t = 0; t < DCM_TIER_SLOTS; t++) {
		if (ld(&e->ref[t]))
			st_64_release(&e->ref[t], 0);
		if (ld(&e->verified[t]))
			st_32(&e->verified[t], 0);
	}
}

/* Those never used yet will be taken as they lie. */
static void check_unused(struct region *r)
{
	uint32_t entries = ld(&r->h->entries);

	for (unsigned k = dcm_chunk_of(entries); k < DCM_CHUNKS && ld(&r->h->chunk[k]); k++) {
		uint64_t first = dcm_chunk_first(k), end = first + dcm_chunk_entries(k);

		for (uint64_t i = first > entries ? first : entries; i < end; i++) {
			struct dcm_entry *e = entry_of(r, (uint32_t)i);

			if (entry_live(e))
				st_32(&e->generation, r->h->generation_base);
			clear_refs(e);
		}
	}
}

static void check_entries(struct region *r, struct used_list *l)
{
	uint32_t entries = ld(&r->h->entries), generation;

	for (uint32_t i = 0; i < entries; i++) {
		struct dcm_entry *e = entry_of(r, i);

		generation = ld(&e->generation);
		if (i == DCM_SELF && (generation & 1))
			st_32_release(&e->generation, ++generation);
		if (!entry_live(e)) {
			clear_refs(e);
			continue;
		}
		check_ref(r, l, &e->name, i, generation, DCM_BLOB_NAME);
		for (uint32_t t = 0; t < DCM_TIER_SLOTS; t++) {
			bool had = ld(&e->ref[t]) != 0;

			check_ref(r, l, &e->ref[t], i, generation, t);
			if (had && ld(&e->ref[t]) == 0)
				st_32(&e->verified[t], 0);
		}
	}
}

/* ---- space ------------------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
	const struct used *x = a, *y = b;

	if (x->at.off != y->at.off)
		return x->at.off < y->at.off ? -1 : 1;
	return (x->slot != NULL) - (y->slot != NULL); /* what is no blob goes first */
}

/* Sorts; of two that overlap the blob gives way, of two blobs the second. */
static int drop_overlap(struct region *r, struct used_list *l)
{
	size_t n = 0;

	qsort(l->v, l->n, sizeof(*l->v), by_offset);
	for (size_t i = 0; i < l->n; i++) {
		struct used *u = &l->v[i];

		while (n && u->at.off < l->v[n - 1].at.off + l->v[n - 1].at.units) {
			struct used *last = &l->v[n - 1];

			if (!u->slot && !last->slot)
				return region_fail(r, EUCLEAN, "%s: its entries overlap",
						   r->object);
			r->repaired++;
			if (u->slot) {
				st_64_release(u->slot, 0);
				break;
			}
			st_64_release(last->slot, 0);
			n--;
		}
		if (!u->slot || ld(u->slot) != 0)
			l->v[n++] = *u;
	}
	l->n = n;
	return 0;
}

/* Keeps the space of a table that may be doubtful but is one, so that readers
 * who probe it while it is rebuilt find what it leads to.  A table that overlaps
 * anything is none. */
static bool use_table(const struct region *r, const struct region_table *t, struct used_list *l)
{
	struct region_extent at;
	uint64_t d = table_extent(t, &at);
	unsigned log2 = DCM_TABLE_LOG2(d);

	if (log2 < 3 || at.units == 0 || !within(r, DCM_TABLE_OFFSET(d), 8ull << log2))
		return false;
	for (size_t i = 0; i < l->n; i++)
		if (at.off < l->v[i].at.off + l->v[i].at.units &&
		    l->v[i].at.off < at.off + at.units)
			return false;
	use(l, DCM_TABLE_OFFSET(d), at.units, NULL);
	return true;
}

static int rebuild_space(struct region *r, struct used_list *l)
{
	struct region_extent *at = malloc((l->n ? l->n : 1) * sizeof(*at));

	if (!at)
		return region_fail(r, ENOMEM, "no memory");
	for (size_t i = 0; i < l->n; i++)
		at[i] = l->v[i].at;
	space_rebuild(r, at, l->n, (DCM_PAGE + DCM_CHANGES * 8) / DCM_UNIT);
	free(at);
	return 0;
}

/* ---- entries in use, and the tables --------------------------------------------------- */

static void count_entries(struct region *r)
{
	uint32_t entries = ld(&r->h->entries);
	uint64_t live = 0;

	/* Backwards, so that the lowest is taken first. */
	r->n_unused = 0;
	for (uint32_t i = entries - 1; i >= 1; i--) {
		if (entry_live(entry_of(r, i)))
			live++;
		else
			entry_give(r, i);
	}
	st_64(&r->h->live, live);
}

/* Of several entries with one id the first one found stays. */
static int drop_double_ids(struct region *r)
{
	uint32_t entries = ld(&r->h->entries);
	bool dropped = false;
	uint64_t id[4];

	for (uint32_t i = 1; i < entries; i++) {
		struct dcm_entry *e = entry_of(r, i);

		if (!entry_live(e))
			continue;
		for (int w = 0; w < 4; w++)
			id[w] = ld(&e->id[w]);
		if (table_find_id(r, id) == i)
			continue;
		table_drop_id(r, i);
		st_32_release(&e->generation, ld(&e->generation) + 1);
		clear_refs(e);
		r->repaired++;
		dropped = true;
	}
	return dropped ? table_rebuild(r, &r->by_name) : 0;
}

static int check_table(struct region *r, struct region_table *t, bool there)
{
	if (there && table_sound(r, t))
		return 0;
	if (!there)
		st_64_release(t->slot, 0);
	return table_rebuild(r, t);
}

static int check_space(struct region *r, bool *id_there, bool *name_there)
{
	struct used_list l = {0};
	int rc = check_chunks(r, &l);

	if (rc == 0) {
		check_entries(r, &l);
		check_unused(r);
		rc = drop_overlap(r, &l);
	}
	if (rc == 0) {
		*id_there = use_table(r, &r->by_id, &l);
		*name_there = use_table(r, &r->by_name, &l);
		rc = drop_overlap(r, &l); /* sorts, too */
	}
	if (rc == 0 && l.failed)
		rc = region_fail(r, ENOMEM, "no memory");
	if (rc == 0)
		rc = rebuild_space(r, &l);
	free(l.v);
	return rc;
}

int region_verify(struct region *r)
{
	bool id_there = false, name_there = false;
	int rc = check_space(r, &id_there, &name_there);

	if (rc == 0)
		rc = check_table(r, &r->by_id, id_there);
	if (rc == 0)
		rc = check_table(r, &r->by_name, name_there);
	if (rc == 0)
		rc = drop_double_ids(r);
	if (rc < 0)
		return rc;
	count_entries(r);
	/* What was changed last may not be on record: all who follow the ring are
	 * made to read anew. */
	st_64_release(&r->h->change_head, ld(&r->h->change_head) + DCM_CHANGES);
	r->changed = true;
	return 0;
}
