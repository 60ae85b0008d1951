/*
 * child.h - all that a child process inherits from the supervisor.  It closes
 * every other descriptor before it runs.
 */
#ifndef DCM_CHILD_H
#define DCM_CHILD_H

#include <sys/types.h>

struct child_env {
	const char *instance;
	const char *runtime_dir; /* RUNTIME_DIR, with INSTANCE/ already made */
	const char *state_dir;	 /* STATE_DIR/INSTANCE, made; snapshots */
	uid_t uid;
	gid_t gid;		 /* group that may read */
	const char *refresh_group; /* NULL, or the group without which nobody asks engines */
	gid_t refresh_gid;
	int control;		 /* SEQPACKET to the supervisor, non-blocking; its end means: end */
	int bell;		 /* eventfd: rung after a publish, awaited by the broker */
	int listener;		 /* broker: the listening socket broker.sock; else -1 */
};

#endif
