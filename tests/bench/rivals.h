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

/* For threads that read beside one that writes: from then on the transaction that sees
 * the beginning for ever is gone, so that pages can be used again.  Each thread reads by
 * a transaction of its own, renewed for each read. */
void lmdb_begin_writing(struct rival *r);
void lmdb_write(struct rival *r, const uint8_t id[32], const void *value, size_t len);
void lmdb_commit(struct rival *r);
struct lmdb_reader;
struct lmdb_reader *lmdb_reader_new(struct rival *r);
void lmdb_reader_free(struct lmdb_reader *l);
/* The first word of the value, read within the transaction. */
uint64_t lmdb_reader_get(struct lmdb_reader *l, const uint8_t id[32]);

/* No writer can ever touch it: no validation, no tiers, no growth.  The floor. */
struct bare;
struct bare *bare_new(uint32_t n, size_t bytes);
void bare_put(struct bare *h, const uint8_t id[32], const void *value, size_t len);
const uint8_t *bare_get(const struct bare *h, const uint8_t id[32], size_t *len);
void bare_free(struct bare *h);

/* The memory itself: a chain through `lines` cache lines in random order, each found in
 * the one before it. */
struct chase;
struct chase *chase_new(uint32_t lines);
uint32_t chase_on(const struct chase *c, uint32_t from, uint32_t steps); /* where it ends */
void chase_free(struct chase *c);

#endif
