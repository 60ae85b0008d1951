/* restart.c - when a child that died is started again: see restart.h. */
#include "restart.h"

static const double FIRST = 0.1, CRASH_LOOP = 2, LONGEST = 30, MINUTE = 60;

double restart_delay(struct restart_history *h, bool had_beaten, double now)
{
	double delay = FIRST;

	h->died[h->n++ % RESTART_DEATHS] = now;
	if (!had_beaten) {
		for (unsigned i = 0; i < h->stillborn && delay < LONGEST; i++)
			delay *= 2;
		h->stillborn++;
		return delay < LONGEST ? delay : LONGEST;
	}
	h->stillborn = 0;
	/* The next to be written over is the 10th last. */
	if (h->n >= RESTART_DEATHS && now - h->died[h->n % RESTART_DEATHS] <= MINUTE)
		return CRASH_LOOP;
	return FIRST;
}
