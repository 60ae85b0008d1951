/*
 * fleet.h - an instance of dcm with one host of many containers, written by the
 * benchmark in the place of a collector; and its broker, the real one.
 */
#ifndef BENCH_FLEET_H
#define BENCH_FLEET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../shm/dcm.h"
#include "../../shm/record.h"

#define FLEET_HOST "bench"

struct fleet {
	char runtime_dir[64], state_dir[80], instance[32];
	struct region *dir, *shard;
	pid_t broker;
	int control;  /* the supervisor's end of the broker's socket */
	int listener; /* broker.sock */
	double bytes; /* of a record's tiers, on average */
};

/* Makes an instance of `n` containers.  `each` (or NULL) sees every record's tiers as
 * they are stored.  Ends the program where it cannot. */
typedef void fleet_each(const uint8_t id[32], const struct dcm_record *r,
			const struct record_buf tiers[DCM_TIERS]);
void fleet_make(struct fleet *f, uint32_t n, fleet_each *each);
void fleet_id(uint32_t i, uint8_t id[32]);

/* The record of container `i`, to be stored again and again: changed, so that its
 * tiers but `compose` differ from those of another round; encoded and put. */
struct fleet_record;
struct fleet_record *fleet_record_new(uint32_t i);
const uint8_t *fleet_record_id(const struct fleet_record *c);
void fleet_record_free(struct fleet_record *c);
void fleet_record_change(struct fleet_record *c, uint32_t round);
size_t fleet_record_bytes(struct fleet_record *c, uint8_t *value, size_t room); /* all tiers */
void fleet_put(struct fleet *f, struct fleet_record *c, enum dcm_tier first, enum dcm_tier last);

void fleet_broker(struct fleet *f);
/* Heartbeats, so that readers know the writer to be there. */
void fleet_beat(struct fleet *f);
void fleet_remove(struct fleet *f);
dcm *fleet_open(const struct fleet *f, unsigned flags);

/* Says what is wrong and ends the program. */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
