/* dcm_follow.h - following changes: dcm_changes.c (what changed) and dcm_wait.c
 * (being told of it). */
#ifndef DCM_FOLLOW_H
#define DCM_FOLLOW_H

#include "dcm_impl.h"

/* A slot of the directory, as it was followed. */
struct followed {
	char host[DCM_HOST_ID_MAX + 1]; /* "": none */
	bool mapped;
	uint32_t generation; /* of the shard */
	uint64_t seen;	     /* changes of its ring that were reported */
	uint32_t waited;     /* publications that dcm_wait() has told of */
	uint32_t waited_generation;
	bool waiting;	     /* `waited` is set */
};
struct dcm_follow {
	uint32_t epoch;	      /* of the directory that was followed */
	uint64_t dir_seen;
	struct followed *v;   /* by slot */
	uint32_t n, at;	      /* at: the slot that is being read */
	char host[DCM_HOST_ID_MAX + 1]; /* what the last change's host_id points to */

	int told;	      /* subscription to the broker; -1: none */
	double subscribe_at;  /* monotonic s: not before */
	int fd, timer;	      /* of dcm_changes_fd(): epoll over `told` and a timer; -1 */
	int timer_ms;
};

/* The handle's; begun by the first call. */
int dcm_follow_begin(dcm *d, struct dcm_follow **out);
/* Room for every slot of the directory. */
int dcm_follow_room(dcm *d, struct dcm_follow *f);

/* Takes in what the broker told.  true: something was, so look again. */
bool dcm_hear(struct dcm_follow *f);

/* What a wait is for: taken before looking, so that what comes between the look
 * and the wait ends the wait. */
struct dcm_watch {
	uint32_t slot, generation, publish; /* slot 0: of no shard */
};
struct dcm_watch dcm_watch_begin(dcm *d, const struct dcm_follow *f);
/* Waits a while; DCM_OK: look again; DCM_ETIMEDOUT: `until` (monotonic s) has
 * passed, or a signal came. */
int dcm_watch_wait(dcm *d, struct dcm_follow *f, const struct dcm_watch *w, double until);

#endif
