/*
 * requests.h - what clients ask of engines: refresh, logs, forget.  Relayed over
 * the supervisor to the hosts' collectors, and answered when those are done.
 *
 * A *job* is one client's request; it waits for one *ask* per host.  An ask is one
 * order to a collector, known by a token.  A refresh must begin after it was asked
 * for; so who asks while an equal ask has been sent waits for the next, of which
 * there is at most one, and everybody joins that: a flood of requests costs the
 * engine two.
 */
#ifndef DCM_REQUESTS_H
#define DCM_REQUESTS_H

#include <event2/event.h>

#include "../shm/control.h"
#include "../shm/dcm.h"

enum {
	ASKS_MAX = 8192,	       /* waiting or sent, of all clients */
	TIMEOUT_MAX_MS = 10 * 60 * 1000,
	ASK_LIFE_S = 30,	       /* an order nobody waits for holds others back so long */
};

struct requests;
struct job;
/* The job is over; outcomes live during the call. */
typedef void job_done(void *arg, struct dcm_outcome *outcomes, uint32_t n);

struct requests *requests_new(struct event_base *base, int control);
void requests_free(struct requests **r);

struct job_spec {
	enum control_what what;
	const struct dcm_outcome *hosts; /* rc DCM_OK: to be asked; else it is the outcome */
	uint32_t n;
	const char *container; /* LOGS */
	uint32_t lines;
	uint32_t timeout_ms;
};
/* NULL: no memory.  `done` is called once, later and never from in here, unless
 * the job is cancelled. */
struct job *requests_start(struct requests *r, const struct job_spec *spec, job_done *done,
			   void *arg);
void requests_cancel(struct job *j);
/* An order of the broker's own: nobody waits. */
void requests_order(struct requests *r, enum control_what what, const char *host);

/* CONTROL_DONE came. */
void requests_answered(struct requests *r, const struct control_msg *m);
/* Each second: forgets what nobody answers. */
void requests_tick(struct requests *r);

#endif
