/*
 * region_write.c - what the one writer of a region does: put, remove, publish.
 *
 * Order is the whole protocol; each line below is one store or follows from one,
 * and a writer that ends between any two leaves readers either the old state or
 * the new one (region_write_verify.c tidies up):
 *
 *   change a tier   new blob; ref[t] -> it; old blob into quarantine
 *   new entry       (generation odd) id, name, tiers, brief; generation even;
 *                   bucket by name; bucket by id
 *   rename          new name's bucket; name -> new blob; old name's bucket away
 *   remove          buckets away; generation odd; references 0; blobs into quarantine
 *   then            change record; ...; publish and wake, once a batch
 *
 * Space is taken before the first of these stores, so a write that is refused
 * for want of it changed nothing.
 */
#include "region_impl.h"

#include <linux/futex.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

_Static_assert((int)REGION_NAME_MAX == (int)DCM_NAME_MAX, "what a name may have");

/* ---- small things ---------------------------------------------------------- */

uint64_t region_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double region_wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void region_follow_clock(struct region *r)
{
	int64_t clock = ld(&r->h->clock);
	int64_t moved = clock_step(&clock, clock_between(CLOCK_REALTIME, CLOCK_BOOTTIME));
	int64_t seconds = moved / 1000000000;

	if (!moved)
		return;
	st_i64(&r->h->clock, ld(&r->h->clock) + seconds * 1000000000);
	st_i64(&r->h->epoch, ld(&r->h->epoch) + seconds);
}

int region_fail(struct region *r, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->err, sizeof(r->err), fmt, ap);
	va_end(ap);
	return -code;
}

const char *region_error(const struct region *r)
{
	return r->err;
}

uint32_t region_generation(const struct region *r)
{
	return r->generation;
}

static void record_change(struct region *r, uint32_t entry, unsigned tiers, unsigned kind)
{
	_Atomic uint64_t *ring = (_Atomic uint64_t *)(r->base + r->h->changes_offset);
	uint64_t head = ld(&r->h->change_head);
	uint16_t gen = (uint16_t)ld(&entry_of(r, entry)->generation);

	st_64(&ring[head % DCM_CHANGES],
	      (uint64_t)entry << 32 | (uint64_t)gen << 16 | tiers << 8 | kind);
	st_64_release(&r->h->change_head, head + 1);
	r->changed = true;
}

/* Ticks since the epoch, + 1; 0: never. */
static uint32_t ticks(const struct region *r, double verified)
{
	double t = (verified - (double)ld(&r->h->epoch)) * DCM_TICKS + 1;

	if (!(verified > 0))
		return 0;
	return t < 1 ? 1 : t > (double)UINT32_MAX ? UINT32_MAX : (uint32_t)t;
}

static uint64_t pack_brief(const struct region_brief *b)
{
	float cpu = (float)b->cpu_percent;
	uint32_t bits;

	if (isnan(b->cpu_percent))
		cpu = NAN;
	memcpy(&bits, &cpu, sizeof(bits));
	return (uint64_t)bits << 32 | (uint64_t)b->health << 8 | b->status;
}

static uint64_t pack_memory(const struct region_brief *b)
{
	return b->memory_usage == DCM_UNKNOWN ? UINT64_MAX : (uint64_t)b->memory_usage;
}

/* ---- put --------------------------------------------------------------------- */

/* What a put is going to store, all of it written and nothing leading to it. */
struct draft {
	uint32_t entry, generation;
	uint64_t name;		      /* reference; 0: as it is */
	uint64_t ref[DCM_TIER_SLOTS]; /* 0: as it is */
};

static void draft_discard(struct region *r, const struct draft *d)
{
	blob_discard(r, d->name);
	for (int t = 0; t < DCM_TIER_SLOTS; t++)
		blob_discard(r, d->ref[t]);
}

/* Writes the blobs that differ from what the entry has. */
static int draft_write(struct region *r, struct draft *d, const struct dcm_str *name,
		       const struct region_tier *tiers, size_t n)
{
	const struct dcm_entry *e = entry_of(r, d->entry);

	if (name && !blob_equals(r, ld(&e->name), name->s, name->len)) {
		d->name = blob_write(r, d->entry, d->generation, DCM_BLOB_NAME, name->s, name->len);
		if (!d->name)
			return -ENOSPC;
	}
	for (size_t i = 0; i < n; i++) {
		const struct region_tier *t = &tiers[i];

		if (!t->data || d->ref[t->tier] ||
		    blob_equals(r, ld(&e->ref[t->tier]), t->data, t->len))
			continue;
		d->ref[t->tier] = blob_write(r, d->entry, d->generation, t->tier, t->data, t->len);
		if (!d->ref[t->tier]) {
			draft_discard(r, d);
			return -ENOSPC;
		}
	}
	return 0;
}

/* Swings the tiers in and moves their times.  Returns the bits of those with
 * new content. */
static unsigned store_tiers(struct region *r, struct dcm_entry *e, const struct draft *d,
			    const struct region_tier *tiers, size_t n)
{
	unsigned changed = 0;

	for (unsigned t = 0; t < DCM_TIER_SLOTS; t++) {
		uint64_t old = ld(&e->ref[t]);

		if (!d->ref[t])
			continue;
		st_64_release(&e->ref[t], d->ref[t]);
		blob_retire(r, old);
		changed |= 1u << t;
	}
	for (size_t i = 0; i < n; i++)
		if (!isnan(tiers[i].verified))
			st_32(&e->verified[tiers[i].tier], ticks(r, tiers[i].verified));
	return changed;
}

static bool store_brief(struct dcm_entry *e, const struct region_brief *b)
{
	uint64_t brief = pack_brief(b), memory = pack_memory(b);
	bool changed = ld(&e->brief) != brief || ld(&e->memory_usage) != memory;

	if (changed) {
		st_64(&e->brief, brief);
		st_64(&e->memory_usage, memory);
	}
	return changed;
}

static int put_new(struct region *r, const uint64_t id[4], const struct dcm_str *name,
		   const struct region_brief *brief, const struct region_tier *tiers, size_t n)
{
	static const struct region_brief unknown = {0, 0, NAN, DCM_UNKNOWN};
	struct draft d = {0};
	struct dcm_entry *e;

	if (table_reserve(r, &r->by_id) < 0 || table_reserve(r, &r->by_name) < 0)
		return -ENOSPC;
	d.entry = entry_take(r);
	if (!d.entry)
		return -ENOSPC;
	e = entry_of(r, d.entry);
	d.generation = ld(&e->generation) + 1;
	if (draft_write(r, &d, name, tiers, n) < 0) {
		entry_give(r, d.entry);
		return -ENOSPC;
	}
	for (int i = 0; i < 4; i++)
		st_64(&e->id[i], id[i]);
	st_64(&e->name, d.name);
	store_tiers(r, e, &d, tiers, n);
	store_brief(e, brief ? brief : &unknown);
	st_32_release(&e->generation, d.generation);
	table_add_name(r, *name, d.entry);
	table_add_id(r, d.entry);
	st_64(&r->h->live, ld(&r->h->live) + 1);
	record_change(r, d.entry, (1u << DCM_TIER_SLOTS) - 1, DCM_CH_APPEARED);
	return 0;
}

static int put_entry(struct region *r, uint32_t entry, const struct dcm_str *name,
		     const struct region_brief *brief, const struct region_tier *tiers, size_t n)
{
	struct dcm_entry *e = entry_of(r, entry);
	struct draft d = {.entry = entry, .generation = ld(&e->generation)};
	unsigned changed;
	bool differs;

	if (name && name->len && !blob_equals(r, ld(&e->name), name->s, name->len) &&
	    table_reserve(r, &r->by_name) < 0)
		return -ENOSPC;
	if (draft_write(r, &d, name, tiers, n) < 0)
		return -ENOSPC;
	if (d.name) {
		uint64_t old = ld(&e->name);

		table_add_name(r, *name, entry);
		st_64_release(&e->name, d.name);
		if (old)
			table_drop_name(r, blob_str(r, old), entry);
		blob_retire(r, old);
	}
	changed = store_tiers(r, e, &d, tiers, n);
	differs = brief && store_brief(e, brief);
	if (changed || differs || d.name)
		record_change(r, entry, changed, entry == DCM_SELF ? DCM_CH_SELF : DCM_CH_UPDATED);
	return 0;
}

static int check_args(struct region *r, const struct dcm_str *name, const struct region_tier *tiers,
		      size_t n)
{
	if (name && (!name->s || name->len > DCM_NAME_MAX))
		return region_fail(r, EINVAL, "a name of %u bytes: at most %d are kept",
				   name->s ? name->len : 0, DCM_NAME_MAX);
	for (size_t i = 0; i < n; i++)
		if ((unsigned)tiers[i].tier >= DCM_TIER_SLOTS || tiers[i].len > DCM_BLOB_MAX)
			return region_fail(r, EINVAL, "tier %d of %u bytes: at most %d are kept",
					   (int)tiers[i].tier, tiers[i].len, DCM_BLOB_MAX);
	return 0;
}

int region_put(struct region *r, const uint8_t id[32], const struct dcm_str *name,
	       const struct region_brief *brief, const struct region_tier *tiers, size_t n)
{
	int rc = check_args(r, name, tiers, n);
	uint64_t key[4];
	uint32_t entry;

	if (rc < 0)
		return rc;
	region_follow_clock(r);
	memcpy(key, id, sizeof(key));
	entry = table_find_id(r, key);
	if (entry)
		return put_entry(r, entry, name, brief, tiers, n);
	if (!name)
		return region_fail(r, EINVAL, "a new entry needs a name");
	return put_new(r, key, name, brief, tiers, n);
}

int region_put_self(struct region *r, const struct region_tier *tiers, size_t n)
{
	int rc = check_args(r, NULL, tiers, n);

	if (rc < 0)
		return rc;
	region_follow_clock(r);
	return put_entry(r, DCM_SELF, NULL, NULL, tiers, n);
}

/* ---- remove -------------------------------------------------------------------- */

static void remove_entry(struct region *r, uint32_t entry)
{
	struct dcm_entry *e = entry_of(r, entry);
	uint64_t name = ld(&e->name), old;

	if (name)
		table_drop_name(r, blob_str(r, name), entry);
	table_drop_id(r, entry);
	st_32_release(&e->generation, ld(&e->generation) + 1);
	/* The generation is seen to have moved before the references are. */
	st_64_release(&e->name, 0);
	blob_retire(r, name);
	for (int t = 0; t < DCM_TIER_SLOTS; t++) {
		old = ld(&e->ref[t]);
		st_64_release(&e->ref[t], 0);
		st_32(&e->verified[t], 0);
		blob_retire(r, old);
	}
	st_64(&r->h->live, ld(&r->h->live) - 1);
	entry_give(r, entry);
}

int region_remove(struct region *r, const uint8_t id[32])
{
	uint64_t key[4];
	uint32_t entry;

	memcpy(key, id, sizeof(key));
	entry = table_find_id(r, key);
	if (!entry)
		return region_fail(r, ENOENT, "no such entry");
	remove_entry(r, entry);
	record_change(r, entry, 0, DCM_CH_REMOVED);
	return 0;
}

int region_clear(struct region *r)
{
	uint32_t entries = ld(&r->h->entries);

	for (uint32_t i = 1; i < entries; i++)
		if (entry_live(entry_of(r, i)))
			remove_entry(r, i);
	record_change(r, DCM_SELF, 0, DCM_CH_CLEARED);
	return 0;
}

/* ---- publish ------------------------------------------------------------------- */

void region_wake(struct dcm_header *h)
{
	st_32_release(&h->publish, ld(&h->publish) + 1);
	/* Waiters are other processes, so not FUTEX_PRIVATE. */
	syscall(SYS_futex, &h->publish, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void region_retire(struct dcm_header *h, uint32_t successor)
{
	st_32(&h->successor, successor);
	st_32_release(&h->state, DCM_REGION_RETIRED);
	region_wake(h);
}

bool region_publish(struct region *r)
{
	space_reclaim(r);
	if (!r->changed)
		return false;
	r->changed = false;
	st_64(&r->h->bytes_live, space_live(r));
	region_wake(r->h);
	return true;
}

/* ---- what was published, for the writer itself ---------------------------------- */

static void item_of(const struct region *r, const struct dcm_entry *e, struct region_item *out)
{
	uint64_t brief = ld(&e->brief), memory = ld(&e->memory_usage);
	uint32_t bits = (uint32_t)(brief >> 32), t;
	float cpu;

	memset(out, 0, sizeof(*out));
	memcpy(&cpu, &bits, sizeof(cpu));
	out->id = (const uint8_t *)e->id;
	out->name = blob_str(r, ld(&e->name));
	out->brief = (struct region_brief){(uint8_t)brief, (uint8_t)(brief >> 8), (double)cpu,
					   memory == UINT64_MAX ? DCM_UNKNOWN : (int64_t)memory};
	for (int i = 0; i < DCM_TIER_SLOTS; i++) {
		struct dcm_str s = blob_str(r, ld(&e->ref[i]));

		t = ld(&e->verified[i]);
		out->tier[i].data = (const uint8_t *)s.s;
		out->tier[i].len = s.len;
		out->tier[i].verified = t ? (double)ld(&r->h->epoch) + (double)(t - 1) / DCM_TICKS : 0;
	}
}

uint32_t region_each_from(struct region *r, uint32_t from,
			  bool (*fn)(const struct region_item *, void *), void *arg)
{
	uint32_t entries = ld(&r->h->entries);
	struct region_item item;

	for (uint32_t i = from; i < entries; i++) {
		if (!entry_live(entry_of(r, i)))
			continue;
		item_of(r, entry_of(r, i), &item);
		if (!fn(&item, arg))
			return i + 1;
	}
	return 0;
}

void region_each(struct region *r, bool (*fn)(const struct region_item *, void *), void *arg)
{
	region_each_from(r, 1, fn, arg);
}

bool region_get(struct region *r, const uint8_t id[32], struct region_item *out)
{
	uint64_t key[4];
	uint32_t entry;

	memcpy(key, id, sizeof(key));
	entry = table_find_id(r, key);
	if (entry)
		item_of(r, entry_of(r, entry), out);
	return entry != 0;
}

void region_get_self(struct region *r, struct region_item *out)
{
	item_of(r, entry_of(r, DCM_SELF), out);
	out->id = NULL;
}

void region_usage(const struct region *r, struct region_usage *out)
{
	*out = (struct region_usage){
	    .held = ld(&r->h->data_limit),
	    .live = space_live(r),
	    .quarantined = r->space.quarantined * DCM_UNIT,
	    .entries = ld(&r->h->live),
	    .full = r->full,
	    .renewals = r->renewals,
	    .repaired = r->repaired,
	};
}
