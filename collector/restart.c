/* restart.c - when a child that died is started again: see restart.h. */
#include "restart.h"

#include <math.h>

static const double FIRST = 0.1, CRASH_LOOP = 2, LONGEST = 30, MINUTE = 60;

double restart_delay(struct restart_history *h, bool had_beaten, double now)
{
	double delay = FIRST;

	h->died[h->n++ % RESTART_DEATHS] = now;
	/* The next to be written over is the 10th last. */
	if (h->n >= RESTART_DEATHS && now - h->died[h->n % RESTART_DEATHS] <= MINUTE)
		delay = CRASH_LOOP;
	if (had_beaten) {
		h->stillborn = 0;
		return delay;
	}
	return fmax(delay, fmin(FIRST * exp2(h->stillborn++), LONGEST));
}
