/* rivals.h - the same records in LMDB, and in a bare hash table in a mapping:
 * keyed by the same ids, each value the record's tiers one behind the other. */
#ifndef BENCH_RIVALS_H
#define BENCH_RIVALS_H

#include <stddef.h>
#include <stdint.h>

struct rival;

struct rival *lmdb_new(const char *dir, uint32_t n); /* dir is removed at once */
void lmdb_put(struct rival *r, const uint8_t id[32], const void *value, size_t len);
void lmdb_ready(struct rival *r); /* all were put */
/* In one transaction for all reads, which sees the state of its beginning for ever;
 * `renewed`: in one of its own, which sees what is new, as a reader of dcm does. */
const uint8_t *lmdb_get(struct rival *r, const uint8_t id[32], size_t *len, int renewed);
/* Calls fn for each record, in the order of the keys. */
void lmdb_each(struct rival *r, void (*fn)(const uint8_t *value, size_t len, void *arg), void *arg);
void lmdb_free(struct rival *r);

/* No writer can ever touch it: no validation, no tiers, no growth.  The floor. */
struct bare;
struct bare *bare_new(uint32_t n, size_t bytes);
void bare_put(struct bare *h, const uint8_t id[32], const void *value, size_t len);
const uint8_t *bare_get(const struct bare *h, const uint8_t id[32], size_t *len);
void bare_free(struct bare *h);

#endif
