/*
 * cleanup.h - what the broker throws away, and what it never touches.
 *
 *  - Containers of a host that was not verified for memory_retention: its
 *    collector is asked to let them go (the broker writes no shard).  What a
 *    start brought from disk has that long from the start.
 *  - Memory objects of instances of this user that are dead: those whose lock
 *    nobody held at two looks in a row; where the lock object itself is missing,
 *    once that was so for ORPHAN_WAIT_S.  Never another user's, never the own instance's.
 *  - Snapshots (*.snap, and *.snap.bad-N) of this instance older than
 *    disk_retention.
 */
#ifndef DCM_CLEANUP_H
#define DCM_CLEANUP_H

#include "../shm/child.h"
#include "../shm/clock.h"
#include "../shm/dcm.h"
#include "../shm/names.h"
#include "requests.h"

enum { ORPHAN_WAIT_S = 60, ORPHANS_MAX = 256 /* instances of one user that are looked at */ };

/* Instances seen dead at the last look, and since when that is known (monotonic s). */
struct orphans {
	struct {
		char instance[DCM_INSTANCE_MAX + 1];
		double since;
	} v[ORPHANS_MAX];
	unsigned n;
};
struct cleanup {
	const struct child_env *env;
	dcm *d;
	struct requests *requests;
	struct orphans dead;
	double memory_due, disk_due; /* monotonic s */
	struct clock_watch clock;
};
void cleanup_init(struct cleanup *c, const struct child_env *env, dcm *d, struct requests *r);
/* Each second: does what is due, by the intervals that the memory shows. */
void cleanup_tick(struct cleanup *c);

/* The parts, for tests.  Each returns how many it threw away.  shm_dir: "/dev/shm". */
unsigned cleanup_orphans(const char *shm_dir, uid_t uid, const char *own_instance,
			 struct orphans *dead, double now);
unsigned cleanup_files(const char *dir, uid_t uid, double older_than_s);

#endif
