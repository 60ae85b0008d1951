/*
 * stalls.h - how long the machine itself kept a thread waiting.
 *
 * On a busy machine a call of a microsecond can take half a second of wall time,
 * and the library has no part in it.  Two witnesses tell such a stall from a call
 * that waits: what the scheduler says that this thread was ready and did not run, and
 * threads that do nothing but sleep 2 ms, one bound to each processor, and note when
 * they wake too late though they did not wait for their turn either: then the whole
 * machine stood still.  A call is charged with its wall time less both; if it waits
 * for anything else, they know nothing of it.
 */
#ifndef DCM_TEST_STALLS_H
#define DCM_TEST_STALLS_H

/* Seconds, monotonic. */
double stalls_now(void);
/* Starts the threads that watch; once. */
void stalls_watch(void);

struct stalls_call {
	int schedstat; /* of this thread */
	double began, delayed;
};
/* Once a thread; then begin and end around each call. */
void stalls_call_init(struct stalls_call *c);
void stalls_call_begin(struct stalls_call *c);
/* Seconds that the call is charged with; *wall: that it took. */
double stalls_call_end(const struct stalls_call *c, double *wall);
/* The longest time that a watching thread woke too late, for whatever reason, and the sum
 * of all, by the mean of the processors: no more than the time that has passed. */
void stalls_sum(double *worst, double *sum);

#endif
