/*
 * broker.c - the broker process: one libevent loop over the listening socket, the
 * supervisor's control socket, the collectors' bell and a clock.
 *
 * It reads the shared memory like any other reader and keeps indexes of it
 * (follow.c, index.c), answers clients (serve.c), relays what engines are asked
 * (requests.c), and cleans up (cleanup.c).  Nothing here waits: whatever is long
 * is done in steps, so that the beat is on time.  When it ends, by accident or
 * not, readers scan the memory themselves until the next one is up.
 */
#include "broker.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shm/condition.h"
#include "../shm/control.h"
#include "../shm/log.h"
#include "cleanup.h"
#include "follow.h"
#include "requests.h"
#include "serve.h"

enum {
	STEP_US = 5000,	       /* of following, between two turns of the loop */
	STEP_GAP_US = 25000,   /* at least, between two looks at all rings */
	OPEN_AGAIN_US = 50000, /* while the directory is not there */
};

struct broker {
	const struct child_env *env;
	struct event_base *base;
	struct event *bell, *control, *term, *second, *step, *opening;
	struct follow *follow;
	struct requests *requests;
	struct serve *serve;
	struct cleanup cleanup;
	struct conditions conditions; /* the broker's own */
	bool conditions_untold;
	uint64_t stepped_us, began_us;
	bool indexed; /* all that was there at the start: said once */
	char why[256]; /* the instance cannot be opened: said once */
};

static struct timeval after_us(uint64_t us)
{
	return (struct timeval){(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
}

/* ---- following ------------------------------------------------------------ */

static void say_indexed(struct broker *b)
{
	const struct index *ix = follow_index(b->follow);

	if (b->indexed)
		return;
	b->indexed = true;
	log_event(LOG_LEVEL_INFO, "broker_indexed", NULL, LF_INT("containers", ix->docs),
		  LF_INT("bytes", (int64_t)index_memory(ix)),
		  LF_NUM("seconds", (double)(serve_now_us() - b->began_us) / 1e6));
}

static void step(struct broker *b)
{
	struct timeval now = {0, 0};
	bool changed;

	if (follow_step(b->follow, STEP_US, &changed))
		event_add(b->step, &now);
	else
		say_indexed(b);
	b->stepped_us = serve_now_us();
	if (changed)
		serve_changed(b->serve);
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	step(arg);
}

/* A collector published.  Subscribers are told at once, and look themselves; the
 * indexes may wait, since a query catches up first: many bells are one look. */
static void on_bell(evutil_socket_t fd, short what, void *arg)
{
	struct broker *b = arg;
	uint64_t rings, now = serve_now_us(), due = b->stepped_us + STEP_GAP_US;
	struct timeval tv = after_us(now < due ? due - now : 0);

	(void)what;
	if (read(fd, &rings, sizeof(rings)) != (ssize_t)sizeof(rings))
		return;
	serve_changed(b->serve);
	if (evtimer_pending(b->step, NULL))
		return;
	if (now >= due)
		step(b);
	else
		event_add(b->step, &tv);
}

/* ---- the supervisor ------------------------------------------------------- */

static void tell(struct broker *b, enum control_kind kind)
{
	struct control_msg m = {.kind = kind};

	/* A full socket: the supervisor is behind, and hears the next beat. */
	control_send(b->env->control, &m);
}

static void on_condition(void *arg)
{
	struct broker *b = arg;

	b->conditions_untold = true;
}

/* The supervisor publishes them: a broker writes no region. */
static void tell_conditions(struct broker *b)
{
	struct control_msg m = {.kind = CONTROL_CONDITION};

	b->conditions_untold = false;
	for (m.lines = 0; m.lines < COND_COUNT; m.lines++) {
		memcpy(m.error, b->conditions.of[m.lines].text, sizeof(m.error));
		if (control_send(b->env->control, &m) < 0)
			b->conditions_untold = true; /* at the next beat */
	}
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
	struct broker *b = arg;
	struct control_msg m;
	int rc;

	(void)what;
	while ((rc = control_recv(fd, &m)) == 1)
		if (m.kind == CONTROL_DONE && b->requests)
			requests_answered(b->requests, &m);
	if (rc == 0 || (rc < 0 && rc != -EAGAIN && rc != -EBADMSG))
		event_base_loopbreak(b->base); /* the supervisor is gone */
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct broker *b = arg;

	(void)fd;
	(void)what;
	tell(b, CONTROL_BEAT);
	if (b->conditions_untold)
		tell_conditions(b);
	if (!b->follow)
		return;
	if (!evtimer_pending(b->step, NULL))
		step(b); /* should a bell have been missed */
	follow_hosts(b->follow);
	serve_tick(b->serve);
	requests_tick(b->requests);
	cleanup_tick(&b->cleanup);
}

static void on_term(evutil_socket_t fd, short what, void *arg)
{
	struct broker *b = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(b->base);
}

/* ---- start ---------------------------------------------------------------- */

static bool start_serving(struct broker *b)
{
	struct timeval now = {0, 0};

	b->requests = requests_new(b->base, b->env->control);
	if (!b->requests)
		return false;
	b->serve = serve_new(b->base, b->env, b->follow, b->requests);
	if (!b->serve)
		return false;
	cleanup_init(&b->cleanup, b->env, follow_handle(b->follow), b->requests);
	event_add(b->bell, NULL);
	event_add(b->step, &now);
	tell(b, CONTROL_READY);
	log_msg(LOG_LEVEL_INFO, "broker_ready", NULL, "answers at %s/%s/broker.sock",
		b->env->runtime_dir, b->env->instance);
	return true;
}

/* The supervisor makes the directory before it forks; should it be made anew at
 * this moment, the next try finds it. */
static void on_open(evutil_socket_t fd, short what, void *arg)
{
	struct timeval again = after_us(OPEN_AGAIN_US);
	struct broker *b = arg;
	char err[256] = "";

	(void)fd;
	(void)what;
	if (follow_open(&b->follow, b->env->instance, b->env->runtime_dir, err, sizeof(err))) {
		if (strcmp(err, b->why) != 0)
			log_event(LOG_LEVEL_WARN, "broker_waits", NULL, LF_STR("error", err));
		memcpy(b->why, err, sizeof(b->why));
		event_add(b->opening, &again);
	} else if (!start_serving(b)) {
		log_event(LOG_LEVEL_ERROR, "broker_failed", NULL, LF_STR("error", "out of memory"));
		event_base_loopbreak(b->base);
	}
}

static bool make_events(struct broker *b)
{
	struct timeval second = {1, 0}, now = {0, 0};

	b->bell = event_new(b->base, b->env->bell, EV_READ | EV_PERSIST, on_bell, b);
	b->control = event_new(b->base, b->env->control, EV_READ | EV_PERSIST, on_control, b);
	b->term = evsignal_new(b->base, SIGTERM, on_term, b);
	b->second = event_new(b->base, -1, EV_PERSIST, on_second, b);
	b->step = evtimer_new(b->base, on_step, b);
	b->opening = evtimer_new(b->base, on_open, b);
	return b->bell && b->control && b->term && b->second && b->step && b->opening &&
	       event_add(b->control, NULL) == 0 && event_add(b->term, NULL) == 0 &&
	       event_add(b->second, &second) == 0 && event_add(b->opening, &now) == 0;
}

static void clear(struct broker *b)
{
	struct event **all[] = {&b->bell, &b->control, &b->term,
				&b->second, &b->step, &b->opening};

	serve_free(&b->serve);
	requests_free(&b->requests);
	follow_close(&b->follow);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (*all[i])
			event_free(*all[i]);
	if (b->base)
		event_base_free(b->base);
}

int broker_run(const struct child_env *env)
{
	struct broker b = {.env = env, .base = event_base_new(), .began_us = serve_now_us()};
	int rc = 0;

	conditions_init(&b.conditions, NULL, on_condition, &b);
	signal(SIGPIPE, SIG_IGN);
	/* A terminal's signals are for the supervisor, who tells us. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (b.base && make_events(&b)) {
		tell(&b, CONTROL_BEAT);
		event_base_dispatch(b.base);
	} else {
		log_event(LOG_LEVEL_ERROR, "broker_failed", NULL,
			  LF_STR("error", "no event loop: out of memory or descriptors"));
		rc = 1;
	}
	clear(&b);
	return rc;
}
