/*
 * dcm_top.c - the n highest by CPU or memory, from the entries' digests.
 *
 * They are kept as a heap whose root is the least of them, so that nearly every
 * entry is passed over by one comparison.  Names are looked at last, when only n
 * are left: where several have the value of the last place, it is the first found
 * of them that stay.
 */
#include "dcm_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct top_item {
	double value;
	uint32_t rank; /* the host's place among the sorted */
	struct dcm_ref ref;
};
struct top {
	struct top_item *v;
	uint32_t n, max;
};

/* Negative: a comes first. */
static int compare_found(const struct top_item *a, const struct top_item *b)
{
	if (a->value != b->value)
		return a->value > b->value ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return a->ref.entry < b->ref.entry ? -1 : a->ref.entry > b->ref.entry;
}

/* Lets the item at `i` sink to where all below it come before it. */
static void top_sink(struct top *t, uint32_t i)
{
	for (;;) {
		uint32_t last = i, child = 2 * i + 1;
		struct top_item swap;

		for (uint32_t c = child; c <= child + 1 && c < t->n; c++)
			if (compare_found(&t->v[c], &t->v[last]) > 0)
				last = c;
		if (last == i)
			return;
		swap = t->v[i];
		t->v[i] = t->v[last];
		t->v[last] = swap;
		i = last;
	}
}

static int top_add(struct top *t, const struct top_item *item)
{
	if (t->n < t->max) {
		if ((t->n & (t->n - 1)) == 0) { /* grown at each power of two */
			uint32_t room = t->n ? 2 * t->n : 1;
			struct top_item *grown = realloc(t->v, room * sizeof(*grown));

			if (!grown)
				return DCM_ENOMEM;
			t->v = grown;
		}
		t->v[t->n++] = *item;
		if (t->n == t->max)
			for (uint32_t i = t->n / 2; i-- > 0;)
				top_sink(t, i);
		return DCM_OK;
	}
	if (compare_found(item, &t->v[0]) < 0) {
		t->v[0] = *item;
		top_sink(t, 0);
	}
	return DCM_OK;
}

static double top_value(const struct dcm_entry *e, enum dcm_query_kind kind)
{
	struct dcm_brief b;

	dcm_brief_of(e, &b);
	if (kind == DCM_Q_TOP_CPU)
		return b.cpu_percent;
	return b.memory_usage == DCM_UNKNOWN ? NAN : (double)b.memory_usage;
}

static int top_shard(const struct dcm_slot *s, uint32_t slot, uint32_t rank,
		     enum dcm_query_kind kind, struct top *t)
{
	uint32_t n = region_entries(&s->map);
	const struct dcm_entry *e;
	int rc = DCM_OK;

	for (uint32_t i = DCM_SELF + 1; i < n && rc == DCM_OK; i++) {
		uint32_t generation = dcm_live_entry(&s->map, i, &e);
		struct top_item item = {.rank = rank};

		if (generation == 0)
			continue;
		__builtin_prefetch(e + DCM_AHEAD);
		item.value = top_value(e, kind);
		if (isnan(item.value) || (t->n == t->max && item.value < t->v[0].value) ||
		    !region_entry_ok(e, generation))
			continue;
		item.ref = (struct dcm_ref){slot, s->generation, i, generation};
		rc = top_add(t, &item);
	}
	return rc;
}

/* The digest's CPU is a float32; among the few that are left, the record's own
 * value decides. */
static void top_exact(dcm *d, struct top *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct dcm_view v;
		double exact;

		if (dcm_view(d, t->v[i].ref, DCM_STATS, &v) == DCM_OK &&
		    dcm_view_float(&v, DCM_F_cpu_percent, &exact) && dcm_view_ok(&v) &&
		    (double)(float)exact == t->v[i].value)
			t->v[i].value = exact;
	}
}

/* The name of an item's container, "" where it is gone. */
static uint32_t name_of(dcm *d, const struct top_item *item, char name[DCM_NAME_MAX + 1])
{
	struct dcm_place p;
	uint32_t len = 0;

	if (dcm_locate(d, item->ref, &p) != DCM_OK ||
	    dcm_entry_name(p.map, p.e, p.entry, p.generation, name, &len) != DCM_OK)
		len = 0;
	return len;
}

static int by_value_host_name(const void *pa, const void *pb, void *arg)
{
	const struct top_item *a = pa, *b = pb;
	char x[DCM_NAME_MAX + 1], y[DCM_NAME_MAX + 1];
	uint32_t lx, ly;
	int order;

	if (a->value != b->value || a->rank != b->rank)
		return compare_found(a, b);
	lx = name_of(arg, a, x);
	ly = name_of(arg, b, y);
	order = memcmp(x, y, lx < ly ? lx : ly);
	return order ? order : lx < ly ? -1 : lx > ly;
}

int dcm_scan_top(dcm *d, const struct dcm_query *q, const uint32_t *only, struct dcm_refs *out)
{
	struct top t = {.max = q->n < DCM_REFS_MAX ? q->n : DCM_REFS_MAX};
	struct dcm_slot *s;
	uint32_t slot;
	int rc = DCM_OK;

	for (uint32_t h = 0; rc == DCM_OK && t.max > 0; h++) {
		rc = dcm_query_host(d, only, h, &slot, &s);
		if (rc == DCM_ESTALE)
			break;
		if (rc == DCM_OK)
			rc = top_shard(s, slot, h, q->kind, &t);
		else if (rc == DCM_ENOTFOUND)
			rc = DCM_OK;
	}
	if (rc == DCM_ESTALE)
		rc = DCM_OK;
	if (q->kind == DCM_Q_TOP_CPU)
		top_exact(d, &t);
	if (rc == DCM_OK && t.n > 1)
		qsort_r(t.v, t.n, sizeof(*t.v), by_value_host_name, d);
	for (uint32_t i = 0; rc == DCM_OK && i < t.n; i++)
		rc = dcm_refs_add(out, t.v[i].ref);
	free(t.v);
	return rc;
}
