/*
 * region_write_space.c - the space of a region: private to the writer, rebuilt
 * from what the entries lead to when a writer takes over.
 *
 * Offsets and sizes are in units of 64 bytes.  A free extent lies in the stack
 * of the greatest size class that it fills; taking one of a higher class splits
 * it.  Neighbours are not merged at once but in one pass over all free extents,
 * when enough was freed since the last one to pay for it.
 *
 * What readers may still look at waits in a FIFO quarantine (10 s, and at most
 * an eighth of the region).  That makes retries rare; it is the validation in
 * region_read.c that makes reuse safe, so where space is short the quarantine
 * is emptied before a write is refused.
 *
 * The file grows by posix_fallocate() before data_limit rises, so all that a
 * reader may touch has its pages, and a full /dev/shm is an error code here and
 * SIGBUS nowhere.  It never shrinks, and no holes are punched: a reader's fault
 * on a hole would allocate a page.
 */
#include "region_impl.h"

#include <fcntl.h>
#include <stdlib.h>

#define QUARANTINE_NS (10ull * 1000000000ull)
enum {
	QUARANTINE_LEAST = 64 << 10, /* bytes that may always wait */
	GROW_LEAST = 64 << 10,	     /* bytes */
	MERGE_LEAST = 1024,	     /* units freed before a merge can pay */
	CGROUP_MARGIN = 4 << 20,     /* bytes left to the cgroup's other needs */
};

/* ---- size classes: each size to 16 units, then four to each doubling -------- */

static unsigned class_floor(uint32_t units)
{
	unsigned e;

	if (units <= 16)
		return units - 1;
	e = 31u - (unsigned)__builtin_clz(units);
	return 15 + (e - 4) * 4 + ((units >> (e - 2)) & 3);
}

static uint32_t class_units(unsigned c)
{
	if (c < 16)
		return c + 1;
	c -= 15;
	return (4 + c % 4) << (2 + c / 4);
}

static unsigned class_ceil(uint32_t units)
{
	unsigned c = class_floor(units);

	return class_units(c) < units ? c + 1 : c;
}

uint32_t space_round(uint64_t bytes)
{
	return class_units(class_ceil((uint32_t)((bytes + DCM_UNIT - 1) / DCM_UNIT)));
}

/* ---- free extents ---------------------------------------------------------- */

static void push(struct region_space *s, uint32_t off, uint32_t units)
{
	unsigned c = class_floor(units);
	struct region_extents *l = &s->free[c];

	if (l->n == l->room) {
		uint32_t room = l->room ? l->room * 2 : 16;
		void *v = realloc(l->v, room * sizeof(*l->v));

		if (!v)
			return; /* out of private memory: lost until the next rebuild */
		l->v = v;
		l->room = room;
	}
	l->v[l->n++] = (struct region_extent){off, units};
	s->nonempty[c / 64] |= 1ull << (c % 64);
	s->free_units += units;
}

/* An extent from the lowest class not below c that has one. */
static bool pop(struct region_space *s, unsigned c, struct region_extent *out)
{
	uint64_t low = c < 64 ? s->nonempty[0] & (~0ull << c) : 0;
	uint64_t high = c < 64 ? s->nonempty[1] : s->nonempty[1] & (~0ull << (c - 64));
	struct region_extents *l;

	if (low)
		c = (unsigned)__builtin_ctzll(low);
	else if (high)
		c = 64 + (unsigned)__builtin_ctzll(high);
	else
		return false;
	l = &s->free[c];
	*out = l->v[--l->n];
	if (l->n == 0)
		s->nonempty[c / 64] &= ~(1ull << (c % 64));
	s->free_units -= out->units;
	return true;
}

static int by_offset(const void *a, const void *b)
{
	const struct region_extent *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

/* Joins neighbours, and gives back to `top` what lies at the end. */
static void merge(struct region_space *s)
{
	struct region_extent *all;
	size_t n = 0, m = 0;

	s->fresh = 0;
	for (unsigned c = 0; c < REGION_CLASSES; c++)
		n += s->free[c].n;
	all = n ? malloc(n * sizeof(*all)) : NULL;
	if (!all)
		return;
	n = 0;
	for (unsigned c = 0; c < REGION_CLASSES; c++) {
		if (s->free[c].n == 0)
			continue;
		memcpy(all + n, s->free[c].v, s->free[c].n * sizeof(*all));
		n += s->free[c].n;
		s->free[c].n = 0;
	}
	qsort(all, n, sizeof(*all), by_offset);
	for (size_t i = 1; i < n; i++) {
		if (all[m].off + all[m].units == all[i].off)
			all[m].units += all[i].units;
		else
			all[++m] = all[i];
	}
	m++;
	s->nonempty[0] = s->nonempty[1] = s->free_units = 0;
	if (all[m - 1].off + all[m - 1].units == s->top)
		s->top = all[--m].off;
	for (size_t i = 0; i < m; i++)
		push(s, all[i].off, all[i].units);
	free(all);
}

void space_free(struct region *r, uint32_t off, uint32_t units)
{
	push(&r->space, off, units);
	r->space.fresh += units;
}

/* ---- quarantine ------------------------------------------------------------- */

static void reclaim_oldest(struct region *r)
{
	struct region_space *s = &r->space;
	struct region_extent at = s->ring[s->head].at;

	s->head = (s->head + 1) % s->room;
	s->waiting--;
	s->quarantined -= at.units;
	space_free(r, at.off, at.units);
}

static bool ring_grow(struct region_space *s)
{
	uint32_t room = s->room ? s->room * 2 : 64;
	struct region_waiting *ring = malloc(room * sizeof(*ring));

	if (!ring)
		return false;
	for (uint32_t i = 0; i < s->waiting; i++)
		ring[i] = s->ring[(s->head + i) % s->room];
	free(s->ring);
	s->ring = ring;
	s->head = 0;
	s->room = room;
	return true;
}

void space_retire(struct region *r, uint32_t off, uint32_t units)
{
	struct region_space *s = &r->space;
	uint64_t most = ld(&r->h->data_limit) / 8;

	if (most < QUARANTINE_LEAST)
		most = QUARANTINE_LEAST;
	if (s->waiting == s->room && !ring_grow(s)) {
		space_free(r, off, units);
		return;
	}
	s->ring[(s->head + s->waiting) % s->room] =
	    (struct region_waiting){{off, units}, region_now()};
	s->waiting++;
	s->quarantined += units;
	while (s->quarantined * DCM_UNIT > most)
		reclaim_oldest(r);
}

void space_reclaim(struct region *r)
{
	struct region_space *s = &r->space;
	uint64_t now = region_now();

	while (s->waiting && now - s->ring[s->head].since >= QUARANTINE_NS)
		reclaim_oldest(r);
}

/* ---- growth ----------------------------------------------------------------- */

static uint64_t page_up(uint64_t bytes)
{
	return (bytes + DCM_PAGE - 1) & ~(uint64_t)(DCM_PAGE - 1);
}

static int allocate(struct region *r, uint64_t from, uint64_t to)
{
	int rc;

	/* tmpfs charges the pages to our cgroup: there the OOM killer would come
	 * before ENOSPC does. */
	if (region_cgroup_room("/proc/self/cgroup", "/sys/fs/cgroup") < to - from + CGROUP_MARGIN)
		return ENOMEM;
	do
		rc = posix_fallocate(r->fd, (off_t)from, (off_t)(to - from));
	while (rc == EINTR);
	return rc;
}

static int grow(struct region *r, uint32_t units)
{
	uint64_t held = ld(&r->h->data_limit), least = page_up((r->space.top + units) * DCM_UNIT);
	uint64_t limit =
	    r->spec.limit && r->spec.limit < DCM_MAP_SPAN ? r->spec.limit : DCM_MAP_SPAN;
	uint64_t more = held / 8 > GROW_LEAST ? held / 8 : GROW_LEAST, to = page_up(held + more);
	int rc;

	limit &= ~(uint64_t)(DCM_PAGE - 1);
	if (least > limit)
		return region_fail(r, ENOSPC,
				   "%s holds %llu bytes and may not hold more; raise cache.shard_limit",
				   r->object, (unsigned long long)held);
	if (to < least)
		to = least;
	if (to > limit)
		to = limit;
	rc = allocate(r, held, to);
	if (rc && to > least) {
		to = least;
		rc = allocate(r, held, to);
	}
	if (rc)
		return region_fail(
		    r, ENOSPC, "%s cannot grow beyond %llu bytes: %s; make room in /dev/shm",
		    r->object, (unsigned long long)held,
		    rc == ENOMEM ? "the memory limit of its cgroup is near" : strerror(rc));
	st_64_release(&r->h->data_limit, to);
	return 0;
}

static uint32_t take_free(struct region_space *s, uint32_t units)
{
	struct region_extent at;

	if (!pop(s, class_ceil(units), &at))
		return 0;
	if (at.units > units)
		push(s, at.off + units, at.units - units);
	return at.off;
}

/* From what is free, merged if that can pay, else from what was never used. */
static uint32_t take_held(struct region *r, uint32_t units)
{
	struct region_space *s = &r->space;
	uint32_t off = take_free(s, units);

	if (!off && s->fresh >= MERGE_LEAST && s->fresh >= s->top / 8) {
		merge(s);
		off = take_free(s, units);
	}
	if (off || (s->top + units) * DCM_UNIT > ld(&r->h->data_limit))
		return off;
	s->top += units;
	return (uint32_t)(s->top - units);
}

static uint32_t take(struct region *r, uint32_t units)
{
	uint32_t off = take_held(r, units);

	if (!off && grow(r, units) == 0)
		off = take_held(r, units);
	return off;
}

uint32_t space_alloc(struct region *r, uint32_t units)
{
	struct region_space *s = &r->space;
	uint32_t off;

	if (units == 0 || units > REGION_UNITS_MAX)
		return 0;
	off = take(r, units);
	if (off)
		return off;
	/* Refused: what waits in quarantine is worth less than this write. */
	while (s->waiting)
		reclaim_oldest(r);
	merge(s);
	off = take_held(r, units);
	if (off)
		return off;
	r->full++;
	if (!r->wanted || units < r->wanted)
		r->wanted = units;
	return 0;
}

bool region_room(struct region *r)
{
	uint64_t full = r->full;
	uint32_t off;

	if (!r->wanted)
		return true;
	off = space_alloc(r, r->wanted);
	if (!off) {
		r->full = full; /* nobody's write was refused */
		return false;
	}
	space_free(r, off, r->wanted);
	r->wanted = 0;
	return true;
}

uint64_t space_live(const struct region *r)
{
	const struct region_space *s = &r->space;
	uint64_t units = s->top - s->free_units - s->quarantined;

	for (unsigned t = 0; t < DCM_TIER_SLOTS; t++)
		units -= r->spare[t].units;
	return units * DCM_UNIT;
}

void space_release(struct region_space *s)
{
	for (unsigned c = 0; c < REGION_CLASSES; c++)
		free(s->free[c].v);
	free(s->ring);
	memset(s, 0, sizeof(*s));
}

void space_rebuild(struct region *r, const struct region_extent *used, size_t n, uint32_t first)
{
	space_release(&r->space);
	memset(r->spare, 0, sizeof(r->spare));
	r->space.top = first;
	for (size_t i = 0; i < n; i++) {
		if (used[i].off > r->space.top)
			push(&r->space, (uint32_t)r->space.top,
			     used[i].off - (uint32_t)r->space.top);
		r->space.top = (uint64_t)used[i].off + used[i].units;
	}
}
