/*
 * transport_ssh_child.c - runs a program beside the loop: `ssh`, for what it
 * knows (-G) and for what libssh2 cannot do.
 *
 * A child dies with this process (PR_SET_PDEATHSIG), holds none of its
 * descriptors, and is over when it was reaped and its output has ended, or half a
 * second after it was reaped: a grandchild may hold the pipe for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport_ssh.h"
#include "transport_ssh_output.h"

struct ssh_child {
	struct event *ended, *limit, *linger;
	struct ssh_output out, err;
	pid_t pid;
	int status;
	bool reaped, late;
	void (*done)(void *arg, const struct ssh_child_result *r);
	void *arg;
};

static void child_free(struct ssh_child *c)
{
	struct event *all[] = {c->ended, c->limit, c->linger};

	ssh_output_free(&c->out);
	ssh_output_free(&c->err);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i])
			event_free(all[i]);
	free(c);
}

static void finish(struct ssh_child *c)
{
	struct ssh_child_result r = {
		.status = c->late ? -1 : c->status,
		.out = c->out.data,
		.err = c->err.data,
		.out_len = c->out.len,
	};
	void (*done)(void *, const struct ssh_child_result *) = c->done;
	void *arg = c->arg;

	done(arg, &r);
	child_free(c);
}

static void finish_if_over(void *arg)
{
	struct ssh_child *c = arg;

	if (c->reaped && c->out.fd < 0 && c->err.fd < 0)
		finish(c);
	else if (c->reaped)
		ssh_timer(c->linger, 0.5);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_child *c = arg;

	(void)fd;
	(void)what;
	if (c->reaped || waitpid(c->pid, &c->status, WNOHANG) != c->pid)
		return;
	c->reaped = true;
	finish_if_over(c);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_child *c = arg;

	(void)fd;
	(void)what;
	c->late = true;
	if (!c->reaped)
		kill(c->pid, SIGKILL);
}

static void on_linger(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg);
}

static _Noreturn void become(const char *const argv[], int in, int out, int err, pid_t parent)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(127);
	if (syscall(SYS_close_range, 3U, ~0U, 0U))
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
	sigemptyset(&none);
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

/* output: its standard output (-1 with stdio) and standard error. */
static int start(struct ssh_child *c, const char *const argv[], int stdio, int output[2])
{
	int out[2] = {-1, -1}, err[2] = {-1, -1}, null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t self = getpid();

	if (null < 0 || pipe2(err, O_CLOEXEC) || (stdio < 0 && pipe2(out, O_CLOEXEC)))
		goto fail;
	c->pid = fork();
	if (c->pid < 0)
		goto fail;
	if (c->pid == 0)
		become(argv, stdio < 0 ? null : stdio, stdio < 0 ? out[1] : stdio, err[1], self);
	close(null);
	close(err[1]);
	if (out[1] >= 0)
		close(out[1]);
	output[0] = out[0];
	output[1] = err[0];
	return 0;
fail:
	for (int i = 0; i < 2; i++) {
		if (out[i] >= 0)
			close(out[i]);
		if (err[i] >= 0)
			close(err[i]);
	}
	if (null >= 0)
		close(null);
	return -1;
}

struct ssh_child *ssh_child_start(struct event_base *base, const char *const argv[], int stdio,
				  size_t max, double seconds,
				  void (*done)(void *arg, const struct ssh_child_result *r),
				  void *arg)
{
	struct ssh_child *c = calloc(1, sizeof(*c));
	int output[2], no_out, no_err;

	if (!c)
		return NULL;
	c->done = done;
	c->arg = arg;
	no_out = ssh_output_init(&c->out, max, finish_if_over, c);
	no_err = ssh_output_init(&c->err, SSH_CHILD_ERR_MAX, finish_if_over, c);
	c->ended = evsignal_new(base, SIGCHLD, on_ended, c);
	c->limit = evtimer_new(base, on_limit, c);
	c->linger = evtimer_new(base, on_linger, c);
	/* SIGCHLD is watched before there is a child: none is missed */
	if (no_out || no_err || !c->ended || !c->limit || !c->linger || event_add(c->ended, NULL) ||
	    start(c, argv, stdio, output)) {
		child_free(c);
		return NULL;
	}
	if (stdio >= 0)
		close(stdio);
	if (seconds > 0)
		ssh_timer(c->limit, seconds);
	if ((stdio < 0 && ssh_output_watch(base, &c->out, output[0])) |
	    ssh_output_watch(base, &c->err, output[1])) {
		ssh_child_kill(c);
		return NULL;
	}
	return c;
}

const char *ssh_child_said(const struct ssh_child *c)
{
	return c->err.data;
}

void ssh_child_kill(struct ssh_child *c)
{
	if (!c)
		return;
	if (!c->reaped) {
		kill(c->pid, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	child_free(c);
}
