/*
 * region_write_table.c - the two tables of a region, by id and by name: open
 * addressing, linear probing, 8-byte buckets {tag:32 | entry:32}.
 *
 * Readers probe while these functions work, so every step is one store after
 * which each key that is present throughout is still found:
 *  - a key is added by one store into an empty bucket or a tombstone;
 *  - it is dropped by a tombstone, or by emptying the bucket where the next one
 *    is empty (and so the tombstones before it): no probe for another key went
 *    past there;
 *  - a name that goes to another entry is one store in place;
 *  - a table that fills up is built anew aside, from the entries, and swung in
 *    by one store of the descriptor.  Readers who miss in the old one see that
 *    the descriptor changed, and look again.
 *
 * Two containers may have one name for a while (`docker rename` around a
 * re-creation).  Then the name leads to the one that took it last; the other is
 * *shadowed*, and gets it back when that one goes.
 */
#include "region_impl.h"

#include <xxhash.h>

/* Dense, because a small table stays in the cache of who probes it: a miss there
 * costs more than the longer probe. */
enum { LOG2_LEAST = 7, LOG2_MOST = 28, LOAD_NEW = 8 /* tenths that a new table may be full */ };

struct probe {
	_Atomic uint64_t *v;
	uint32_t mask;
};

static struct probe probe_of(const struct region *r, uint64_t descriptor)
{
	return (struct probe){(_Atomic uint64_t *)(r->base + DCM_TABLE_OFFSET(descriptor)),
			      (1u << DCM_TABLE_LOG2(descriptor)) - 1};
}

static bool bucket_is(uint64_t bucket, uint64_t hash)
{
	return bucket != DCM_TOMBSTONE && (bucket ^ hash) >> 32 == 0;
}

static void id_words(const struct dcm_entry *e, uint64_t id[4])
{
	for (int i = 0; i < 4; i++)
		id[i] = ld(&e->id[i]);
}

static uint64_t hash_id_of(const struct region *r, uint32_t entry)
{
	uint64_t id[4];

	id_words(entry_of(r, entry), id);
	return dcm_hash_id(r->h->seed, id);
}

static uint64_t hash_name(const struct region *r, struct dcm_str name)
{
	return XXH3_64bits_withSeed(name.s, name.len, r->h->seed[0]);
}

uint64_t table_extent(const struct region_table *t, struct region_extent *out)
{
	uint64_t d = ld(t->slot);

	out->off = (uint32_t)(d >> 32);
	out->units = DCM_TABLE_LOG2(d) <= LOG2_MOST ? (8u << DCM_TABLE_LOG2(d)) / DCM_UNIT : 0;
	return d;
}

/* ---- one bucket ---------------------------------------------------------------- */

/* The bucket that leads to `entry` under `hash`, or NULL. */
static _Atomic uint64_t *bucket_of(const struct probe *p, uint64_t hash, uint32_t entry)
{
	for (uint32_t n = 0, i = (uint32_t)hash & p->mask; n <= p->mask;
	     n++, i = (i + 1) & p->mask) {
		uint64_t b = ld(&p->v[i]);

		if (b == 0)
			return NULL;
		if (b == dcm_bucket(hash, entry))
			return &p->v[i];
	}
	return NULL;
}

static void bucket_add(struct region_table *t, const struct probe *p, uint64_t hash, uint32_t entry)
{
	uint32_t i = (uint32_t)hash & p->mask;

	/* table_reserve() left some free. */
	while (ld(&p->v[i]) != 0 && ld(&p->v[i]) != DCM_TOMBSTONE)
		i = (i + 1) & p->mask;
	if (ld(&p->v[i]) == 0)
		t->used++;
	st_64_release(&p->v[i], dcm_bucket(hash, entry));
}

static void bucket_drop(struct region_table *t, const struct probe *p, _Atomic uint64_t *at)
{
	uint32_t i = (uint32_t)(at - p->v);

	if (ld(&p->v[(i + 1) & p->mask]) != 0) {
		st_64_release(at, DCM_TOMBSTONE);
		return;
	}
	do {
		st_64_release(&p->v[i], 0);
		t->used--;
		i = (i - 1) & p->mask;
	} while (ld(&p->v[i]) == DCM_TOMBSTONE);
}

/* ---- by id --------------------------------------------------------------------- */

uint32_t table_find_id(const struct region *r, const uint64_t id[4])
{
	struct probe p = probe_of(r, ld(r->by_id.slot));
	uint64_t hash = dcm_hash_id(r->h->seed, id), have[4];

	for (uint32_t n = 0, i = (uint32_t)hash & p.mask; n <= p.mask; n++, i = (i + 1) & p.mask) {
		uint64_t b = ld(&p.v[i]);

		if (b == 0)
			return 0;
		if (!bucket_is(b, hash))
			continue;
		id_words(entry_of(r, (uint32_t)b), have);
		if (memcmp(have, id, sizeof(have)) == 0)
			return (uint32_t)b;
	}
	return 0;
}

void table_add_id(struct region *r, uint32_t entry)
{
	struct probe p = probe_of(r, ld(r->by_id.slot));

	bucket_add(&r->by_id, &p, hash_id_of(r, entry), entry);
}

void table_drop_id(struct region *r, uint32_t entry)
{
	struct probe p = probe_of(r, ld(r->by_id.slot));
	_Atomic uint64_t *at = bucket_of(&p, hash_id_of(r, entry), entry);

	if (at)
		bucket_drop(&r->by_id, &p, at);
}

/* ---- by name ------------------------------------------------------------------- */

static bool str_equal(struct dcm_str a, struct dcm_str b)
{
	return a.len == b.len && memcmp(a.s, b.s, a.len) == 0;
}

/* The bucket of this name, whichever entry it leads to.  `entry` is in the
 * middle of a rename, perhaps: what it is called does not count. */
static _Atomic uint64_t *bucket_of_name(const struct region *r, const struct probe *p,
					uint64_t hash, struct dcm_str name, uint32_t entry)
{
	for (uint32_t n = 0, i = (uint32_t)hash & p->mask; n <= p->mask;
	     n++, i = (i + 1) & p->mask) {
		uint64_t b = ld(&p->v[i]);

		if (b == 0)
			return NULL;
		if (bucket_is(b, hash) && (uint32_t)b != entry) {
			struct dcm_str have = blob_str(r, ld(&entry_of(r, (uint32_t)b)->name));

			if (have.s && str_equal(have, name))
				return &p->v[i];
		}
	}
	return NULL;
}

static void add_name(struct region *r, const struct probe *p, struct dcm_str name, uint32_t entry)
{
	uint64_t hash = hash_name(r, name);
	_Atomic uint64_t *at = bucket_of_name(r, p, hash, name, entry);

	if (!at) {
		bucket_add(&r->by_name, p, hash, entry);
		return;
	}
	st_64_release(at, dcm_bucket(hash, entry));
	r->shadowed++;
}

void table_add_name(struct region *r, struct dcm_str name, uint32_t entry)
{
	struct probe p = probe_of(r, ld(r->by_name.slot));

	if (name.len)
		add_name(r, &p, name, entry);
}

/* The newest other entry of this name, or 0. */
static uint32_t newest_of_name(const struct region *r, struct dcm_str name, uint32_t but)
{
	uint32_t entries = ld(&r->h->entries), best = 0;
	uint64_t best_seq = 0;

	for (uint32_t i = 1; i < entries; i++) {
		const struct dcm_entry *e = entry_of(r, i);
		uint64_t ref = ld(&e->name);

		if (i == but || !entry_live(e) || ref == 0 || !str_equal(blob_str(r, ref), name))
			continue;
		if (ld(&blob_of(r, ref)->seq) > best_seq) {
			best_seq = ld(&blob_of(r, ref)->seq);
			best = i;
		}
	}
	return best;
}

void table_drop_name(struct region *r, struct dcm_str name, uint32_t entry)
{
	struct probe p = probe_of(r, ld(r->by_name.slot));
	uint64_t hash = name.len ? hash_name(r, name) : 0;
	_Atomic uint64_t *at = name.len ? bucket_of(&p, hash, entry) : NULL;
	uint32_t heir;

	if (name.len == 0)
		return;
	if (!at) {
		r->shadowed--;
		return;
	}
	heir = r->shadowed ? newest_of_name(r, name, entry) : 0;
	if (heir) {
		st_64_release(at, dcm_bucket(hash, heir));
		r->shadowed--;
		return;
	}
	bucket_drop(&r->by_name, &p, at);
}

/* ---- whole tables ---------------------------------------------------------------- */

int table_make(struct region *r, struct region_table *t, unsigned log2)
{
	uint64_t old = ld(t->slot);
	uint32_t off = space_alloc(r, (8u << log2) / DCM_UNIT);
	_Atomic uint64_t *v = (_Atomic uint64_t *)(r->base + (uint64_t)off * DCM_UNIT);

	if (off == 0)
		return -ENOSPC;
	st_zero(v, 1u << log2);
	t->used = 0;
	/* The serial in the low bits differs, so that no two look alike. */
	st_64_release(t->slot, (uint64_t)off << 32 | (uint64_t)log2 << 24 | ((old + 1) & 0xffffff));
	return 0;
}

static uint32_t live_entries(const struct region *r)
{
	uint32_t entries = ld(&r->h->entries), n = 0;

	for (uint32_t i = 1; i < entries; i++)
		n += entry_live(entry_of(r, i));
	return n;
}

/* Fills the table at p from the entries; of one name the newest wins. */
static void fill(struct region *r, struct region_table *t, const struct probe *p)
{
	uint32_t entries = ld(&r->h->entries);

	t->used = 0;
	if (t->by_name)
		r->shadowed = 0;
	for (uint32_t i = 1; i < entries; i++) {
		const struct dcm_entry *e = entry_of(r, i);
		struct dcm_str name = blob_str(r, ld(&e->name));
		_Atomic uint64_t *at;

		if (!entry_live(e))
			continue;
		if (!t->by_name) {
			bucket_add(t, p, hash_id_of(r, i), i);
			continue;
		}
		if (name.len == 0)
			continue;
		at = bucket_of_name(r, p, hash_name(r, name), name, i);
		if (at && ld(&blob_of(r, ld(&entry_of(r, (uint32_t)ld(at))->name))->seq) >
			      ld(&blob_of(r, ld(&e->name))->seq))
			r->shadowed++;
		else
			add_name(r, p, name, i);
	}
}

int table_rebuild(struct region *r, struct region_table *t)
{
	uint64_t old = ld(t->slot), n = live_entries(r) + 1;
	unsigned log2 = LOG2_LEAST;
	struct region_extent was;
	struct probe p;
	uint32_t off;

	while (log2 < LOG2_MOST && (1ull << log2) * LOAD_NEW < n * 10)
		log2++;
	off = space_alloc(r, (8u << log2) / DCM_UNIT);
	if (off == 0)
		return -ENOSPC;
	p = (struct probe){(_Atomic uint64_t *)(r->base + (uint64_t)off * DCM_UNIT),
			   (1u << log2) - 1};
	st_zero(p.v, 1u << log2);
	fill(r, t, &p);
	table_extent(t, &was);
	st_64_release(t->slot, (uint64_t)off << 32 | (uint64_t)log2 << 24 | ((old + 1) & 0xffffff));
	if (was.off)
		space_retire(r, was.off, was.units);
	return 0;
}

int table_reserve(struct region *r, struct region_table *t)
{
	uint64_t size = 1ull << DCM_TABLE_LOG2(ld(t->slot));

	if ((t->used + 1) * 8ull <= size * 7)
		return 0;
	if (table_rebuild(r, t) == 0)
		return 0;
	/* No room for a better one: go on in this one while probes still end. */
	return (t->used + 1) * 32ull <= size * 31 ? 0 : -ENOSPC;
}

/* Whether every bucket leads to an entry in use, and every entry in use is led
 * to; counts what is used. */
bool table_sound(struct region *r, struct region_table *t)
{
	struct probe p = probe_of(r, ld(t->slot));
	uint32_t entries = ld(&r->h->entries), led = 0, named = 0;

	t->used = 0;
	for (uint32_t i = 0; i <= p.mask; i++) {
		uint64_t b = ld(&p.v[i]);

		t->used += b != 0;
		if (b == 0 || b == DCM_TOMBSTONE)
			continue;
		if ((uint32_t)b == 0 || (uint32_t)b >= entries ||
		    !entry_live(entry_of(r, (uint32_t)b)))
			return false;
		led++;
	}
	if (t->used > p.mask)
		return false;
	for (uint32_t i = 1; i < entries; i++) {
		const struct dcm_entry *e = entry_of(r, i);
		struct dcm_str name = blob_str(r, ld(&e->name));

		if (!entry_live(e) || (t->by_name && name.len == 0))
			continue;
		named++;
		if (!bucket_of(&p, t->by_name ? hash_name(r, name) : hash_id_of(r, i), i))
			return false;
	}
	return led == named;
}
