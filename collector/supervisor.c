/*
 * supervisor.c - the loop: signals, control sockets, deadlines; start and stop.
 *
 * Order of one turn: messages first (what was said counts before what was not),
 * then deaths, then what a signal asked for, then deadlines.  Children are freed
 * only after the events of a turn were handled, so no event points to one that
 * is gone.
 */
#include "supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../shm/dcm.h"
#include "../shm/log.h"
#include "notify.h"
#include "supervisor_impl.h"
#include "title.h"

enum { EVENTS_A_TURN = 128, FAILED = 1 };

/* s: a stop is orderly for so long, then the rest is killed; READY is not held
 * back longer than that by a child that does not come up. */
static const double STOP_PATIENCE = 3, STOP_LIMIT = 4.5, READY_LIMIT = 5, TICK = 1;

/* ---- signals -------------------------------------------------------------- */

static int watch_signals(struct supervisor *s)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* an ignored one would be inherited, and reap for us */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return s->signals < 0 ? -1 : epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->signals, &ev);
}

static void read_signals(struct supervisor *s)
{
	struct signalfd_siginfo si;

	while (read(s->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			s->reap = true;
		else if (si.ssi_signo == SIGHUP)
			s->reload = true;
		else if (s->stop)
			s->hurry = true; /* asked a second time */
		else
			s->stop = true;
	}
}

/* ---- readiness ------------------------------------------------------------ */

/* Every child has spoken, or has died trying. */
static bool all_up(const struct supervisor *s)
{
	if (!s->broker.spoke && !s->broker.history.n)
		return false;
	for (size_t i = 0; i < s->n_hosts; i++)
		if (!s->hosts[i]->spoke && !s->hosts[i]->history.n)
			return false;
	return true;
}

static bool all_forked(const struct supervisor *s)
{
	if (s->broker.state == CHILD_WAITING && !s->broker.history.n)
		return false;
	for (size_t i = 0; i < s->n_hosts; i++)
		if (s->hosts[i]->state == CHILD_WAITING && !s->hosts[i]->history.n)
			return false;
	return true;
}

void supervisor_tell_ready(const struct supervisor *s)
{
	size_t enabled = 0;

	for (size_t i = 0; i < s->config.n_hosts; i++)
		enabled += s->config.hosts[i].enabled;
	notify_send("READY=1\nMAINPID=%d\nSTATUS=%zu hosts", (int)s->pid, enabled);
}

static void check_ready(struct supervisor *s, double now)
{
	if (s->ready || !all_forked(s) || (!all_up(s) && now - s->started < READY_LIMIT))
		return;
	s->ready = true;
	log_event(LOG_LEVEL_INFO, "dcmd_ready", NULL, LF_NUM("seconds", now - s->started));
	supervisor_tell_ready(s);
}

/* ---- stop ----------------------------------------------------------------- */

static void begin_stop(struct supervisor *s, double now)
{
	notify_send("STOPPING=1\nSTATUS=stopping");
	log_event(LOG_LEVEL_INFO, "dcmd_stopping", NULL,
		  LF_INT("children", (int64_t)s->n_hosts + 1));
	s->stop_by = now + STOP_LIMIT;
	s->broker.wanted = false;
	child_stop(&s->broker, now, STOP_PATIENCE, "dcmd stops");
	for (size_t i = s->n_hosts; i-- > 0;) {
		s->hosts[i]->wanted = false;
		child_stop(s->hosts[i], now, STOP_PATIENCE, "dcmd stops");
		if (s->hosts[i]->state == CHILD_GONE)
			hosts_gone(s, s->hosts[i]);
	}
}

static void hurry_up(struct supervisor *s, double now)
{
	s->broker.due = now;
	for (size_t i = 0; i < s->n_hosts; i++)
		s->hosts[i]->due = now;
}

static bool stopped(const struct supervisor *s, double now)
{
	return (s->broker.state == CHILD_GONE && s->n_hosts == 0) || now >= s->stop_by;
}

/* ---- the loop ------------------------------------------------------------- */

/* Where the clock was set, we have started when it would have said so. */
static void follow_clock(struct supervisor *s)
{
	double set, slept;

	if (!clock_watch_look(&s->clock, &set, &slept))
		return;
	if (set)
		log_event(LOG_LEVEL_WARN, "clock_set", NULL, LF_NUM("seconds", set));
	s->started_unix += set;
	directory_self(s);
}

/* Does what is due; the next time that something is. */
static double deadlines(struct supervisor *s, double now)
{
	double next, d;

	if (now >= s->tick_at) {
		s->tick_at = now + TICK;
		follow_clock(s);
		directory_beat(s);
		notify_beat(now);
		cycles_check(s, now);
		memory_check(s, now);
	}
	s->forks_left = FORKS_A_TURN;
	next = child_deadline(s, &s->broker, now);
	for (size_t i = 0; i < s->n_hosts; i++) {
		d = child_deadline(s, s->hosts[i], now);
		if (d < next)
			next = d;
	}
	directory_publish(s);
	return next < s->tick_at ? next : s->tick_at;
}

/* When this process did not run (stopped, or starved), nobody was silent: the
 * beats of that time may still be in the sockets. */
static void forgive(struct supervisor *s, double gap)
{
	s->broker.heard += gap;
	for (size_t i = 0; i < s->n_hosts; i++)
		s->hosts[i]->heard += gap;
}

static void handle(struct supervisor *s, const struct epoll_event *ev, double now)
{
	struct child *c = ev->data.ptr;

	if (!c) {
		read_signals(s);
		return;
	}
	if (c->control >= 0 && (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		child_readable(s, c, now);
	if (c->control >= 0 && (ev->events & EPOLLOUT))
		child_writable(s, c);
}

static void wanted_by_signals(struct supervisor *s, double now)
{
	if (s->reap) {
		s->reap = false;
		children_reap(s, now);
	}
	if (s->stop && !s->stop_by)
		begin_stop(s, now);
	if (s->hurry) {
		s->hurry = false;
		hurry_up(s, now);
	}
	if (s->reload) {
		s->reload = false;
		if (!s->stop)
			hosts_reload(s, now);
	}
}

static void loop(struct supervisor *s)
{
	struct epoll_event ev[EVENTS_A_TURN];
	double now = mono_now(), next = now, before;

	while (!s->stop_by || !stopped(s, now)) {
		int wait = next > now ? (int)((next - now) * 1000) + 1 : 0;
		int n = epoll_wait(s->epoll, ev, EVENTS_A_TURN, wait < 1000 ? wait : 1000);

		before = now;
		now = mono_now();
		if (now - before > 2 * TICK)
			forgive(s, now - before - TICK);
		for (int i = 0; i < n; i++)
			handle(s, &ev[i], now);
		wanted_by_signals(s, now);
		if (!s->stop)
			check_ready(s, now);
		/* A full turn may have left words of a child unread. */
		next = n < EVENTS_A_TURN ? deadlines(s, now) : now;
	}
}

/* ---- start and end -------------------------------------------------------- */

/* A descriptor or two for each of many hosts. */
static void raise_descriptor_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static int start_failed(const char *what, const char *why)
{
	log_event(LOG_LEVEL_ERROR, "dcmd_failed", NULL, LF_STR("what", what), LF_STR("error", why));
	return FAILED;
}

static int start(struct supervisor *s)
{
	char err[512];

	raise_descriptor_limit();
	title_set("dcmd: supervisor");
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->epoll < 0 || s->bell < 0 || watch_signals(s) < 0)
		return start_failed("descriptors", strerror(errno));
	directory_conditions_init(s);
	if (s->opt->not_confined)
		condition_set(&s->conditions, COND_NOT_CONFINED,
			      "see docs/security.md for what that means, and what allows it",
			      "not given up, %s", s->opt->not_confined);
	if (directory_open(s, err, sizeof(err)) < 0)
		return start_failed("directory", err);
	child_init(&s->broker, "", s->started);
	hosts_start(s, s->started);
	directory_sync(s);
	log_event(LOG_LEVEL_INFO, "dcmd_start", NULL, LF_STR("version", DCM_VERSION),
		  LF_STR("instance", s->instance->name), LF_INT("pid", s->pid),
		  LF_INT("hosts", (int64_t)s->config.n_hosts),
		  LF_INT("enabled", (int64_t)s->n_hosts), LF_STR("config", s->config.source),
		  LF_STR("socket", s->instance->socket));
	return 0;
}

static void end(struct supervisor *s)
{
	if (!s->ousted)
		instance_unlink_shards(s->instance, NULL, NULL);
	if (s->dir)
		region_close(&s->dir, !s->ousted);
	if (s->ousted)
		instance_let_go(s->instance);
	for (size_t i = 0; i < s->n_hosts; i++)
		free(s->hosts[i]);
	free(s->hosts);
	free(s->asks);
	config_free(&s->config);
}

int supervisor_run(const struct supervisor_options *opt, struct config *config)
{
	struct supervisor s = {
		.opt = opt,
		.instance = opt->instance,
		.config = *config,
		.epoll = -1,
		.bell = -1,
		.signals = -1,
		.pid = getpid(),
		.started = mono_now(),
	};
	struct timespec t;
	int rc;

	memset(config, 0, sizeof(*config));
	clock_gettime(CLOCK_REALTIME, &t);
	clock_watch_init(&s.clock);
	s.started_unix = (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
	rc = start(&s);
	if (rc == 0) {
		loop(&s);
		rc = s.broker.state == CHILD_GONE && s.n_hosts == 0 && !s.ousted ? 0 : FAILED;
	}
	end(&s);
	if (rc == 0)
		log_event(LOG_LEVEL_INFO, "dcmd_stopped", NULL,
			  LF_NUM("seconds", mono_now() - (s.stop_by - STOP_LIMIT)));
	return rc;
}
