/* beside.h - readers beside a writer at full rate, dcm's and LMDB's in turn. */
#ifndef BENCH_BESIDE_H
#define BENCH_BESIDE_H

#include <stdint.h>

struct fleet;
struct rival;

/* Rows of one reader, and of as many as there are processors, each of which looks up
 * ids[n] (32 bytes each) one after the other; and of the writer itself. */
void beside_writer(struct fleet *f, struct rival *lmdb, uint32_t containers, const uint8_t *ids,
		   uint32_t n, double seconds);

#endif
