/*
 * beside.h - work that may wait for long, in a thread of its own beside the event loop.
 *
 * One thread a piece of work, so that one that hangs (a dead file system, a name server)
 * holds up nothing else.  The work is shared by the loop and the thread: whoever lets go
 * last frees it, so that the loop may leave a thread that hangs to itself.
 */
#ifndef DCM_BESIDE_H
#define DCM_BESIDE_H

#include <event2/event.h>

struct beside;

struct beside_work {
	void (*run)(void *work);     /* in the thread: touches nothing but the work */
	void (*done)(void *work);    /* in the loop, once, when run has returned */
	void (*release)(void *work); /* the last call, in either of them */
};

/* Starts it; NULL: it could not be started, and only release was called.  The handle is
 * good until done is called, or beside_cancel. */
struct beside *beside_start(struct event_base *base, const struct beside_work *how, void *work);
/* No call of done any more. */
void beside_cancel(struct beside *b);

#endif
