/*
 * clock.h - what the clocks of the machine do.  CLOCK_REALTIME may be set at any moment,
 * forwards and back; CLOCK_BOOTTIME never is, and counts the time asleep;
 * CLOCK_MONOTONIC never is, and stands still asleep.  So two of them tell of each step
 * and each sleep.
 */
#ifndef DCM_CLOCK_H
#define DCM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* a - b now. */
static inline int64_t clock_between(clockid_t a, clockid_t b)
{
	return clock_ns(a) - clock_ns(b);
}

/* By how much `now` moved from *was, ns; 0: by less than a second, which is no step (a
 * clock that is slewed does that over time).  *was follows only a step.  Any *was will
 * do, also one that no clock ever said. */
static inline int64_t clock_step(int64_t *was, int64_t now)
{
	int64_t moved;

	if (__builtin_sub_overflow(now, *was, &moved))
		moved = *was < 0 ? INT64_MAX : INT64_MIN;
	if (moved > -1000000000 && moved < 1000000000)
		return 0;
	*was = now;
	return moved;
}

struct clock_watch {
	int64_t wall, sleep;
};
static inline void clock_watch_init(struct clock_watch *w)
{
	w->wall = clock_between(CLOCK_REALTIME, CLOCK_BOOTTIME);
	w->sleep = clock_between(CLOCK_BOOTTIME, CLOCK_MONOTONIC);
}
/* Since the last look: seconds that the wall clock was set by, and that were slept. */
static inline bool clock_watch_look(struct clock_watch *w, double *set, double *slept)
{
	*set = (double)clock_step(&w->wall, clock_between(CLOCK_REALTIME, CLOCK_BOOTTIME)) / 1e9;
	*slept =
	    (double)clock_step(&w->sleep, clock_between(CLOCK_BOOTTIME, CLOCK_MONOTONIC)) / 1e9;
	return *set != 0 || *slept != 0;
}

#endif
