/*
 * cleanup.h - what the broker throws away, and what it never touches.
 *
 *  - Containers of a host that was not verified for memory_retention: its
 *    collector is asked to forget them (the broker writes no shard).
 *  - Memory objects of instances of this user that are dead: those whose lock
 *    nobody holds.  Never another user's, never the broker's own instance's.
 *  - Snapshots (*.snap) of this instance older than disk_retention.
 */
#ifndef DCM_CLEANUP_H
#define DCM_CLEANUP_H

#include "../shm/child.h"
#include "../shm/dcm.h"
#include "requests.h"

struct cleanup {
	const struct child_env *env;
	dcm *d;
	struct requests *requests;
	double memory_due, disk_due; /* monotonic s */
};
void cleanup_init(struct cleanup *c, const struct child_env *env, dcm *d, struct requests *r);
/* Each second: does what is due, by the intervals that the memory shows. */
void cleanup_tick(struct cleanup *c);

/* The parts, for tests.  Each returns how many it threw away.  shm_dir: "/dev/shm". */
unsigned cleanup_orphans(const char *shm_dir, uid_t uid, const char *own_instance);
unsigned cleanup_files(const char *dir, uid_t uid, double older_than_s);

#endif
