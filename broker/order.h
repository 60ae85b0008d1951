/*
 * order.h - the docs of one host in the order of their names, kept so that an
 * answer needs no sorting: it is a set of bits, one for each place.
 *
 * A doc that goes leaves a hole, one that comes stands behind the sorted part;
 * so both take constant time and no other place moves.  order_settle() sorts
 * the tail in and closes the holes, before an answer or when the tail is long.
 */
#ifndef DCM_ORDER_H
#define DCM_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORDER_HOLE UINT32_MAX
enum { ORDER_TAIL_MAX = 4096 };

struct order {
	uint32_t *v; /* docs, ORDER_HOLE between */
	uint32_t n, room, sorted, holes;
};
/* What the order is by: less than 0 where doc a comes before b. */
typedef int order_cmp(const void *arg, uint32_t a, uint32_t b);

void order_free(struct order *o);
/* The place of the new doc, ORDER_HOLE where there is no memory. */
uint32_t order_add(struct order *o, uint32_t doc);
void order_remove(struct order *o, uint32_t place);
bool order_settled(const struct order *o);
/* Settles; `moved` tells each doc that moved its new place.  false: no memory,
 * and nothing changed. */
bool order_settle(struct order *o, order_cmp *cmp,
		  void (*moved)(void *arg, uint32_t doc, uint32_t place), void *arg);

#endif
