/*
 * rivals_redis.h - the same records in Redis, a private one on a unix socket that
 * writes nothing to disk: a hash for each container, one field for each tier and one
 * for what is asked most; and a set, or a sorted set, for each question that dcm answers
 * from an index, as a program that used Redis would keep them.
 */
#ifndef BENCH_RIVALS_REDIS_H
#define BENCH_RIVALS_REDIS_H

#include <stddef.h>
#include <stdint.h>

#include "../../shm/record.h"

struct redis;
struct redis *redis_new(void); /* NULL: there is no redis-server */
void redis_put(struct redis *r, const uint8_t id[32], const struct dcm_record *c,
	       const struct record_buf tiers[DCM_TIERS]);
void redis_ready(struct redis *r); /* all were put */
/* One field of one container, as a number. */
double redis_field(struct redis *r, const uint8_t id[32]);
/* All tiers, passed to fn, in one answer. */
typedef void redis_bytes(const uint8_t *value, size_t len, void *arg);
void redis_record(struct redis *r, const uint8_t id[32], redis_bytes *fn, void *arg);
/* All containers: their ids, then their tiers, a hundred at a time. */
void redis_each(struct redis *r, redis_bytes *fn, void *arg);
/* The ids in a set; the ten highest of a sorted set.  How many came. */
size_t redis_set(struct redis *r, const char *key);
size_t redis_top(struct redis *r, const char *key);
void redis_free(struct redis *r);

#endif
