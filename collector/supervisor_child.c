/*
 * supervisor_child.c - one child: fork, what it inherits, silence, death,
 * restart.  The table of states and events is in supervisor_impl.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../shm/dcm.h"
#include "../shm/log.h"
#include "supervisor_impl.h"
#include "title.h"

/* Beats come each second; three that fail to come are missed at 3.5 s.  A child
 * that has just been forked may first have a large shard to check, or 500
 * others beside it. */
static const double SILENCE = 3.5, FIRST_BEAT = 15, NEVER = 1e18;

void child_init(struct child *c, const char *host, double due)
{
	memset(c, 0, sizeof(*c));
	snprintf(c->host, sizeof(c->host), "%s", host);
	c->state = CHILD_WAITING;
	c->wanted = true;
	c->control = -1;
	c->due = due;
	STAILQ_INIT(&c->outgoing);
}

static bool is_broker(const struct child *c)
{
	return !*c->host;
}

const char *child_name(const struct child *c)
{
	return is_broker(c) ? NULL : c->host;
}

static const char *role(const struct child *c)
{
	return is_broker(c) ? "broker" : "collector";
}

/* ---- in the child --------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes everything but stdin, stdout, stderr and these. */
static void keep_only(int *fds, size_t n)
{
	unsigned from = 3;

	qsort(fds, n, sizeof(*fds), by_number);
	for (size_t i = 0; i < n; i++) {
		if (fds[i] < 3)
			continue;
		if ((unsigned)fds[i] > from)
			close_range(from, (unsigned)fds[i] - 1, 0);
		from = (unsigned)fds[i] + 1;
	}
	close_range(from, ~0u, 0);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int n = 1; n < NSIG; n++)
		signal(n, SIG_DFL);
	signal(SIGPIPE, SIG_IGN); /* a peer that left is an error code, not a death */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What a child must not have of the supervisor: descriptors, the directory's
 * writable mapping, signals, the terminal's attention.  (What it may not do at all
 * is confine.h's.) */
static void shed(struct supervisor *s, int control, int listener)
{
	int keep[] = {control, s->bell, listener};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null >= 0)
		dup2(null, STDIN_FILENO);
	region_close(&s->dir, false);
	keep_only(keep, 3);
	instance_child_lock(s->instance);
	setpgid(0, 0);
	reset_signals();
}

static _Noreturn void run_child(struct supervisor *s, const struct child *c, int control)
{
	const struct instance *i = s->instance;
	const struct child_env env = {
		.instance = i->name,
		.runtime_dir = i->runtime_dir,
		.state_dir = i->state,
		.uid = i->uid,
		.gid = i->gid,
		.refresh_group = i->refresh_group,
		.refresh_gid = i->refresh_gid,
		.control = control,
		.bell = s->bell,
		.listener = is_broker(c) ? i->listener : -1,
	};
	const struct host_config *host = config_host(&s->config, c->host);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (is_broker(c))
		title_set("dcmd: broker");
	else
		title_set("dcmd: collector %s", c->host);
	shed(s, control, env.listener);
	if (getppid() != s->pid) /* it died before it could take us along */
		_exit(1);
	if (is_broker(c))
		exit(s->opt->broker(&env));
	exit(host ? s->opt->collector(&env, host, &s->config.cache) : 1);
}

/* ---- fork ----------------------------------------------------------------- */

static bool any_in_trouble(const struct supervisor *s, enum condition which)
{
	if (*s->broker.trouble && s->broker.trouble_of == which)
		return true;
	for (size_t i = 0; i < s->n_hosts; i++)
		if (*s->hosts[i]->trouble && s->hosts[i]->trouble_of == which)
			return true;
	return false;
}

void child_trouble(struct supervisor *s, struct child *c, enum condition which, const char *why)
{
	static const char *const mends[COND_COUNT] = {
		[COND_SHARD_WAITS] = "it is tried again each second",
		[COND_NOT_STARTED] = "raise the limits of dcmd, it is tried again each second",
	};

	if (*c->trouble && c->trouble_of == which &&
	    !strncmp(c->trouble, why, sizeof(c->trouble) - 1))
		return;
	snprintf(c->trouble, sizeof(c->trouble), "%s", why);
	c->trouble_of = which;
	condition_set(&s->conditions, which, mends[which], "%s%s: %s",
		      is_broker(c) ? "the broker" : "host ", c->host, why);
	if (!is_broker(c))
		directory_host(s, c);
}

void child_well(struct supervisor *s, struct child *c, enum condition which)
{
	if (!*c->trouble || c->trouble_of != which)
		return;
	*c->trouble = '\0';
	if (!is_broker(c))
		directory_host(s, c);
	if (!any_in_trouble(s, which))
		condition_clear(&s->conditions, which);
}

static void fork_later(struct supervisor *s, struct child *c, double now, const char *what)
{
	char why[128];

	snprintf(why, sizeof(why), "its process cannot be started: %s", what);
	child_trouble(s, c, COND_NOT_STARTED, why);
	c->due = now + 1;
}

static void forked(struct supervisor *s, struct child *c, double now)
{
	c->state = CHILD_RUNNING;
	c->heard = now;
	c->spoke = c->beaten = c->killed = false;
	c->why = NULL;
	log_event(LOG_LEVEL_INFO, "child_started", child_name(c), LF_STR("role", role(c)),
		  LF_INT("pid", c->pid));
	child_well(s, c, COND_NOT_STARTED);
	if (is_broker(c))
		directory_self(s);
}

static void child_fork(struct supervisor *s, struct child *c, double now)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	int pair[2];

	if (c->fresh && !is_broker(c)) {
		hosts_unlink_shards_of(s, c->host);
		c->fresh = false;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
		fork_later(s, c, now, strerror(errno));
		return;
	}
	c->pid = fork();
	if (c->pid == 0)
		run_child(s, c, pair[1]);
	close(pair[1]);
	if (c->pid < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, pair[0], &ev) < 0) {
		const char *what = strerror(errno);

		close(pair[0]); /* its end tells a child that was forked to end */
		if (c->pid < 0) {
			c->pid = 0;
			fork_later(s, c, now, what);
			return;
		}
		pair[0] = -1;
	}
	c->control = pair[0];
	forked(s, c, now);
}

/* ---- ends ----------------------------------------------------------------- */

void child_stop(struct child *c, double now, double patience, const char *why)
{
	if (c->state == CHILD_WAITING) {
		c->state = c->wanted ? CHILD_WAITING : CHILD_GONE;
	} else if (c->state == CHILD_RUNNING) {
		kill(c->pid, SIGTERM);
		c->state = CHILD_ENDING;
		c->due = now + patience;
		c->why = why;
	}
}

static void kill_silent(struct child *c, double now)
{
	log_event(LOG_LEVEL_ERROR, "child_silent", child_name(c), LF_STR("role", role(c)),
		  LF_INT("pid", c->pid), LF_NUM("seconds", now - c->heard),
		  LF_STR("error", "missed 3 beats: killed"));
	kill(c->pid, SIGKILL);
	c->state = CHILD_ENDING;
	c->killed = true;
	c->due = NEVER;
}

double child_deadline(struct supervisor *s, struct child *c, double now)
{
	double limit;

	switch (c->state) {
	case CHILD_WAITING:
		if (now >= c->due && s->forks_left > 0) {
			s->forks_left--;
			child_fork(s, c, now);
			return now;
		}
		return c->due;
	case CHILD_RUNNING:
		limit = c->heard + (c->spoke ? SILENCE : FIRST_BEAT);
		if (now < limit)
			return limit;
		kill_silent(c, now);
		return NEVER;
	case CHILD_ENDING:
		if (now < c->due)
			return c->due;
		kill(c->pid, SIGKILL);
		c->due = NEVER;
		return NEVER;
	case CHILD_GONE:
		break;
	}
	return NEVER;
}

static void close_control(struct supervisor *s, struct child *c)
{
	struct outgoing *o;

	if (c->control >= 0) {
		/* By hand: a sibling just forked may hold the socket for a moment. */
		epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->control, NULL);
		close(c->control);
	}
	c->control = -1;
	while ((o = STAILQ_FIRST(&c->outgoing))) {
		STAILQ_REMOVE_HEAD(&c->outgoing, link);
		free(o);
	}
	c->n_outgoing = 0;
}

static void describe_death(const struct child *c, int status, char *buf, size_t len)
{
	if (WIFSIGNALED(status))
		snprintf(buf, len, "%s by signal %d (%s)",
			 c->killed ? "silent, so killed" : "killed", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(buf, len, "exited with status %d", WEXITSTATUS(status));
}

static void child_died(struct supervisor *s, struct child *c, int status, double now)
{
	bool expected = c->state == CHILD_ENDING && !c->killed;
	char how[128];

	c->pid = 0;
	describe_death(c, status, how, sizeof(how));
	asks_of_dead(s, c);
	if (s->stop || !c->wanted) {
		log_event(LOG_LEVEL_INFO, "child_ended", child_name(c), LF_STR("role", role(c)),
			  LF_STR("message", how));
		c->state = CHILD_GONE;
		return;
	}
	c->state = CHILD_WAITING;
	if (expected) {
		c->due = now;
		log_event(LOG_LEVEL_INFO, "child_ended", child_name(c), LF_STR("role", role(c)),
			  LF_STR("why", c->why), LF_STR("message", how));
		return;
	}
	c->restarts++;
	c->due = now + restart_delay(&c->history, c->beaten, now);
	log_event(LOG_LEVEL_ERROR, "child_died", child_name(c), LF_STR("role", role(c)),
		  LF_NUM("restart_in", c->due - now), LF_INT("restarts", c->restarts),
		  LF_STR("error", how));
	if (is_broker(c)) {
		conditions_relay_none(&s->of_broker);
		directory_self(s);
	} else {
		directory_host(s, c);
	}
}

static struct child *by_pid(struct supervisor *s, pid_t pid)
{
	if (s->broker.pid == pid)
		return &s->broker;
	for (size_t i = 0; i < s->n_hosts; i++)
		if (s->hosts[i]->pid == pid)
			return s->hosts[i];
	return NULL;
}

void children_reap(struct supervisor *s, double now)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = by_pid(s, pid);

		if (!c)
			continue;
		if (c->control >= 0)
			child_readable(s, c, now); /* its last words */
		close_control(s, c);
		child_died(s, c, status, now);
		if (c->state == CHILD_GONE && c != &s->broker)
			hosts_gone(s, c);
	}
}

/* ---- messages ------------------------------------------------------------- */

void child_readable(struct supervisor *s, struct child *c, double now)
{
	struct control_msg m;

	for (int n = 0; n < MESSAGES_A_TURN; n++) {
		int rc = control_recv(c->control, &m);

		if (rc == -EAGAIN)
			return;
		if (rc == -EBADMSG) {
			log_event(LOG_LEVEL_ERROR, "control_malformed", child_name(c),
				  LF_STR("role", role(c)),
				  LF_STR("error", "a message that makes no sense: passed over"));
			continue;
		}
		if (rc <= 0) { /* it closed its end: it dies, or falls silent */
			close_control(s, c);
			return;
		}
		c->heard = now;
		c->spoke = true;
		if (m.kind == CONTROL_BEAT)
			c->beaten = true;
		else
			message_from(s, c, &m, now);
	}
}

static void watch_for(struct supervisor *s, struct child *c, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->control, &ev);
}

void child_send(struct supervisor *s, struct child *c, const struct control_msg *m)
{
	struct outgoing *o;

	if (c->control < 0)
		return;
	if (c->n_outgoing == 0 && control_send(c->control, m) != -EAGAIN)
		return; /* gone, or it died: both are seen elsewhere */
	o = c->n_outgoing < OUTGOING_MAX ? malloc(sizeof(*o)) : NULL;
	if (!o) {
		log_event(LOG_LEVEL_WARN, "control_full", child_name(c), LF_STR("role", role(c)),
			  LF_STR("error", "it reads too slowly: a message was dropped"));
		return;
	}
	o->msg = *m;
	STAILQ_INSERT_TAIL(&c->outgoing, o, link);
	if (c->n_outgoing++ == 0)
		watch_for(s, c, EPOLLIN | EPOLLOUT);
}

void child_writable(struct supervisor *s, struct child *c)
{
	struct outgoing *o;

	while ((o = STAILQ_FIRST(&c->outgoing))) {
		if (control_send(c->control, &o->msg) == -EAGAIN)
			return;
		STAILQ_REMOVE_HEAD(&c->outgoing, link);
		c->n_outgoing--;
		free(o);
	}
	watch_for(s, c, EPOLLIN);
}
