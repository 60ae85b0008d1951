/* requests.c - see requests.h. */
#include "requests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "../shm/log.h"

enum { BUCKETS = 256 };
enum ask_state {
	ASK_READY, /* to be sent */
	ASK_HELD,  /* an equal one was sent: waits until that is over */
	ASK_SENT,
};

struct waiter {
	TAILQ_ENTRY(waiter) in_ask;
	struct ask *ask; /* NULL: not waiting any more */
	struct job *job;
};
struct ask {
	TAILQ_ENTRY(ask) in_bucket, in_ready;
	TAILQ_HEAD(, waiter) waiters;
	enum ask_state state;
	struct control_msg msg;
	uint64_t sent_at; /* monotonic s */
};
struct job {
	struct requests *r;
	struct event *timer;
	job_done *done;
	void *arg;
	uint32_t n, pending;
	struct dcm_outcome *outcomes;
	struct waiter *waiters;
};
struct requests {
	struct event_base *base;
	int control;
	struct event *writable;
	TAILQ_HEAD(, ask) bucket[BUCKETS]; /* by host; the token's low byte says which */
	TAILQ_HEAD(, ask) ready;
	uint32_t asks;
	uint64_t tokens;
};

static uint64_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec;
}

static unsigned bucket_of(const char *host)
{
	uint32_t h = 2166136261u;

	for (; *host; host++)
		h = (h ^ (uint8_t)*host) * 16777619u;
	return (h ^ h >> 16) % BUCKETS;
}

/* ---- asks ----------------------------------------------------------------- */

static void pump(struct requests *r)
{
	struct ask *a;

	while ((a = TAILQ_FIRST(&r->ready))) {
		int rc = control_send(r->control, &a->msg);

		if (rc == -EAGAIN || rc == -EWOULDBLOCK || rc == -ENOBUFS) {
			event_add(r->writable, NULL);
			return;
		}
		if (rc < 0) { /* the supervisor is gone: the broker ends with it */
			log_msg(LOG_LEVEL_WARN, "request_failed", a->msg.host, "%s", strerror(-rc));
			return;
		}
		TAILQ_REMOVE(&r->ready, a, in_ready);
		a->state = ASK_SENT;
		a->sent_at = now_s();
	}
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pump(arg);
}

static bool same(const struct control_msg *a, const struct control_msg *b)
{
	return a->what == b->what && a->lines == b->lines && strcmp(a->host, b->host) == 0 &&
	       strcmp(a->container, b->container) == 0;
}

static struct ask *ask_find(struct requests *r, const struct control_msg *m, bool sent)
{
	struct ask *a;

	TAILQ_FOREACH(a, &r->bucket[bucket_of(m->host)], in_bucket)
		if ((a->state == ASK_SENT) == sent && same(&a->msg, m))
			return a;
	return NULL;
}

/* The ask that a request for `m` may wait for: one that is not sent yet. */
static struct ask *ask_join(struct requests *r, const struct control_msg *m)
{
	struct ask *a = ask_find(r, m, false);
	unsigned b = bucket_of(m->host);

	if (a || r->asks >= ASKS_MAX || !(a = calloc(1, sizeof(*a))))
		return a;
	a->msg = *m;
	a->msg.token = ++r->tokens << 8 | b;
	TAILQ_INIT(&a->waiters);
	a->state = ask_find(r, m, true) ? ASK_HELD : ASK_READY;
	TAILQ_INSERT_TAIL(&r->bucket[b], a, in_bucket);
	if (a->state == ASK_READY)
		TAILQ_INSERT_TAIL(&r->ready, a, in_ready);
	r->asks++;
	return a;
}

/* Takes an ask that nobody waits for away; who was held by it may go. */
static void ask_free(struct requests *r, struct ask *a)
{
	struct ask *next = a->state == ASK_SENT ? ask_find(r, &a->msg, false) : NULL;

	if (a->state == ASK_READY)
		TAILQ_REMOVE(&r->ready, a, in_ready);
	TAILQ_REMOVE(&r->bucket[bucket_of(a->msg.host)], a, in_bucket);
	r->asks--;
	free(a);
	if (next && next->state == ASK_HELD) {
		next->state = ASK_READY;
		TAILQ_INSERT_TAIL(&r->ready, next, in_ready);
	}
}

static void unwait(struct requests *r, struct waiter *w)
{
	struct ask *a = w->ask;

	if (!a)
		return;
	TAILQ_REMOVE(&a->waiters, w, in_ask);
	w->ask = NULL;
	/* What was sent is under way, and answered some time. */
	if (TAILQ_EMPTY(&a->waiters) && a->state != ASK_SENT)
		ask_free(r, a);
}

/* ---- jobs ----------------------------------------------------------------- */

void requests_cancel(struct job *j)
{
	for (uint32_t i = 0; i < j->n; i++)
		unwait(j->r, &j->waiters[i]);
	if (j->timer)
		event_free(j->timer);
	free(j->outcomes);
	free(j->waiters);
	free(j);
}

static void job_over(struct job *j)
{
	j->done(j->arg, j->outcomes, j->n);
	requests_cancel(j);
}

static void set_outcome(struct waiter *w, int rc, const char *error)
{
	struct dcm_outcome *o = &w->job->outcomes[w - w->job->waiters];

	o->rc = rc;
	snprintf(o->error, sizeof(o->error), "%s", error);
}

/* The time is up (or there was nothing to wait for). */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct job *j = arg;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < j->n; i++)
		if (j->waiters[i].ask)
			set_outcome(&j->waiters[i], DCM_ETIMEDOUT,
				    "no answer within the time limit; the engine may be slow: "
				    "look at `dcm-client hosts`, or allow more time");
	job_over(j);
}

/* Joins an ask for each host, or says why not. */
static void job_ask(struct job *j, const struct job_spec *s)
{
	struct control_msg m = {.kind = CONTROL_ASK, .what = s->what, .lines = s->lines};

	if (s->container)
		snprintf(m.container, sizeof(m.container), "%s", s->container);
	for (uint32_t i = 0; i < j->n; i++) {
		struct waiter *w = &j->waiters[i];

		w->job = j;
		if (j->outcomes[i].rc != DCM_OK)
			continue;
		memcpy(m.host, j->outcomes[i].host, sizeof(m.host));
		w->ask = ask_join(j->r, &m);
		if (!w->ask) {
			set_outcome(w, DCM_EBUSY,
				    "too many requests wait for engines: try again later");
			continue;
		}
		TAILQ_INSERT_TAIL(&w->ask->waiters, w, in_ask);
		j->pending++;
	}
}

struct job *requests_start(struct requests *r, const struct job_spec *s, job_done *done, void *arg)
{
	uint32_t ms = s->timeout_ms < TIMEOUT_MAX_MS ? s->timeout_ms : TIMEOUT_MAX_MS;
	struct job *j = calloc(1, sizeof(*j));
	struct timeval tv;

	if (!j)
		return NULL;
	j->r = r;
	j->done = done;
	j->arg = arg;
	j->timer = evtimer_new(r->base, on_timer, j);
	j->outcomes = calloc(s->n + 1, sizeof(*j->outcomes));
	j->waiters = calloc(s->n + 1, sizeof(*j->waiters));
	if (!j->timer || !j->outcomes || !j->waiters) {
		requests_cancel(j);
		return NULL;
	}
	j->n = s->n;
	if (s->n)
		memcpy(j->outcomes, s->hosts, s->n * sizeof(*j->outcomes));
	job_ask(j, s);
	if (!j->pending)
		ms = 0;
	tv = (struct timeval){ms / 1000, ms % 1000 * 1000};
	event_add(j->timer, &tv);
	pump(r);
	return j;
}

void requests_order(struct requests *r, enum control_what what, const char *host)
{
	struct control_msg m = {.kind = CONTROL_ASK, .what = what};

	snprintf(m.host, sizeof(m.host), "%s", host);
	ask_join(r, &m);
	pump(r);
}

/* ---- answers -------------------------------------------------------------- */

void requests_answered(struct requests *r, const struct control_msg *m)
{
	struct waiter *w;
	struct ask *a;

	TAILQ_FOREACH(a, &r->bucket[m->token % BUCKETS], in_bucket)
		if (a->msg.token == m->token && a->state == ASK_SENT)
			break;
	if (!a) /* forgotten, or of the broker before this one */
		return;
	while ((w = TAILQ_FIRST(&a->waiters))) {
		TAILQ_REMOVE(&a->waiters, w, in_ask);
		w->ask = NULL;
		set_outcome(w, m->rc, m->error);
		if (--w->job->pending == 0)
			job_over(w->job);
	}
	ask_free(r, a);
	pump(r);
}

void requests_tick(struct requests *r)
{
	uint64_t now = now_s();
	struct ask *a, *next;

	for (unsigned b = 0; b < BUCKETS; b++)
		for (a = TAILQ_FIRST(&r->bucket[b]); a; a = next) {
			next = TAILQ_NEXT(a, in_bucket);
			if (a->state == ASK_SENT && TAILQ_EMPTY(&a->waiters) &&
			    now - a->sent_at > ASK_LIFE_S)
				ask_free(r, a);
		}
	pump(r);
}

/* ---- the whole ------------------------------------------------------------ */

struct requests *requests_new(struct event_base *base, int control)
{
	struct requests *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->base = base;
	r->control = control;
	/* Tokens of one broker are not those of the one before. */
	r->tokens = ((uint64_t)time(NULL) & 0xffffff) << 24;
	TAILQ_INIT(&r->ready);
	for (unsigned b = 0; b < BUCKETS; b++)
		TAILQ_INIT(&r->bucket[b]);
	r->writable = event_new(base, control, EV_WRITE, on_writable, r);
	if (!r->writable) {
		free(r);
		return NULL;
	}
	return r;
}

void requests_free(struct requests **p)
{
	struct requests *r = *p;
	struct ask *a;

	*p = NULL;
	if (!r)
		return;
	for (unsigned b = 0; b < BUCKETS; b++)
		while ((a = TAILQ_FIRST(&r->bucket[b]))) {
			TAILQ_REMOVE(&r->bucket[b], a, in_bucket);
			free(a);
		}
	event_free(r->writable);
	free(r);
}
