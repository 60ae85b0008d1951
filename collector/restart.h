/*
 * restart.h - when a child that died is started again.  Pure.
 *
 * After 0.1 s; a child that dies before its first beat doubles that, up to
 * 30 s; whichever it does waits 2 s at least from its 10th death in a minute.
 */
#ifndef DCM_RESTART_H
#define DCM_RESTART_H

#include <stdbool.h>

enum { RESTART_DEATHS = 10 };

struct restart_history {
	double died[RESTART_DEATHS]; /* the latest, in a ring; seconds, monotonic */
	unsigned n;		     /* deaths ever */
	unsigned stillborn;	     /* deaths in a row before a first beat */
};

/* Notes a death at `now` and says how many seconds to wait. */
double restart_delay(struct restart_history *h, bool had_beaten, double now);

#endif
