/* order.c - see order.h. */
#include "order.h"

#include <stdlib.h>
#include <string.h>

enum { HOLES_MIN = 64 };

void order_free(struct order *o)
{
	free(o->v);
	memset(o, 0, sizeof(*o));
}

uint32_t order_add(struct order *o, uint32_t doc)
{
	if (o->n == o->room) {
		uint32_t room = o->room ? o->room + o->room / 2 : 64;
		uint32_t *v = realloc(o->v, room * sizeof(*v));

		if (!v)
			return ORDER_HOLE;
		o->v = v;
		o->room = room;
	}
	o->v[o->n] = doc;
	return o->n++;
}

void order_remove(struct order *o, uint32_t place)
{
	o->v[place] = ORDER_HOLE;
	o->holes++;
}

bool order_settled(const struct order *o)
{
	return o->sorted == o->n && (o->holes < HOLES_MIN || o->holes < o->n / 2);
}

/* Closes the holes; returns the first place that changed. */
static uint32_t close_holes(struct order *o)
{
	uint32_t to = 0, sorted = 0, first = o->n;

	for (uint32_t i = 0; i < o->n; i++) {
		if (i == o->sorted)
			sorted = to;
		if (o->v[i] == ORDER_HOLE) {
			if (first > to)
				first = to;
			continue;
		}
		o->v[to++] = o->v[i];
	}
	o->sorted = o->sorted == o->n ? to : sorted;
	o->n = to;
	o->holes = 0;
	return first;
}

static void merge_sort(uint32_t *v, uint32_t *tmp, uint32_t n, order_cmp *cmp, const void *arg)
{
	uint32_t half = n / 2, i = 0, j = half, k = 0;

	if (n < 2)
		return;
	merge_sort(v, tmp, half, cmp, arg);
	merge_sort(v + half, tmp, n - half, cmp, arg);
	if (cmp(arg, v[half - 1], v[half]) <= 0)
		return;
	memcpy(tmp, v, half * sizeof(*v));
	while (i < half && j < n)
		v[k++] = cmp(arg, v[j], tmp[i]) < 0 ? v[j++] : tmp[i++];
	memcpy(v + k, tmp + i, (half - i) * sizeof(*v));
}

/* How many of v[0..n) come before or with `doc`. */
static uint32_t upper_bound(const uint32_t *v, uint32_t n, uint32_t doc, order_cmp *cmp,
			    const void *arg)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (cmp(arg, doc, v[mid]) < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Sorts the tail in, from its end: each takes its place, and what comes behind
 * it moves up in one piece.  Returns the first place that changed. */
static uint32_t merge_tail(struct order *o, uint32_t *tail, order_cmp *cmp, const void *arg)
{
	uint32_t left = o->sorted, t = o->n - o->sorted, at = o->n;

	memcpy(tail, o->v + left, t * sizeof(*tail));
	merge_sort(tail, o->v + left, t, cmp, arg);
	while (t) {
		uint32_t k = upper_bound(o->v, left, tail[t - 1], cmp, arg);

		memmove(o->v + at - (left - k), o->v + k, (left - k) * sizeof(*o->v));
		at -= left - k;
		left = k;
		o->v[--at] = tail[--t];
	}
	o->sorted = o->n;
	return at;
}

bool order_settle(struct order *o, order_cmp *cmp,
		  void (*moved)(void *arg, uint32_t doc, uint32_t place), void *arg)
{
	uint32_t *tail = NULL, first, merged;

	if (o->n > o->sorted) {
		tail = malloc((o->n - o->sorted) * sizeof(*tail));
		if (!tail)
			return false;
	}
	first = o->holes ? close_holes(o) : o->n;
	if (o->n > o->sorted) {
		merged = merge_tail(o, tail, cmp, arg);
		if (merged < first)
			first = merged;
	}
	free(tail);
	for (uint32_t i = first; i < o->n; i++)
		moved(arg, o->v[i], i);
	return true;
}
