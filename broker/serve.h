/*
 * serve.h - the broker's connections.  Each is bounded in what it may ask, hold
 * and delay, and one that goes past a bound is closed with a reason; no other
 * notices.  docs/protocol.md lists the bounds.
 *
 * Requests wait in one line, connection by connection, and are answered in slices
 * of SLICE_US with the loop running between; so a client that asks much waits for
 * itself, and beats and others' requests go on.
 */
#ifndef DCM_SERVE_H
#define DCM_SERVE_H

#include <event2/event.h>

#include "../shm/child.h"
#include "follow.h"
#include "requests.h"

enum {
	CONNS_MAX = 1024,
	JOBS_MAX = 8,		   /* requests of one connection that wait for engines */
	OUT_LOW = 256 << 10,	   /* bytes a client has not read: no further request is taken */
	OUT_ALL_MAX = 64 << 20,	   /* bytes that all clients have not read */
	STALL_S = 10,		   /* half a message, or an unread reply */
	SLICE_US = 5000,
	NOTICE_GAP_US = 5000,
	LOG_GAP_S = 60,
};

struct serve;
/* Monotonic microseconds. */
uint64_t serve_now_us(void);
/* `follow` and `requests` outlive it.  NULL: no memory, or the listener is bad. */
struct serve *serve_new(struct event_base *base, const struct child_env *env, struct follow *f,
			struct requests *r);
void serve_free(struct serve **s);
/* Something changed in the memory: subscribers get a notice. */
void serve_changed(struct serve *s);
/* Each second: drops who stalls; now and then, a line in the log on those who were
 * refused, dropped or not understood. */
void serve_tick(struct serve *s);

#endif
