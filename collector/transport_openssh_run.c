/*
 * transport_openssh_run.c - runs a command on the host, over the master.
 *
 *	connect to its control socket -> hello -> ours: a session, with three descriptors
 *		-> opened -> exit status -> the end of the connection and of all output
 *
 * The master itself does what the `ssh -S` program would ask of it: no process is
 * started here.  One connection is one session, and to close it ends the session.
 * Until the session is asked for, nothing has happened on the host: a master that does
 * not speak the protocol as known here is left to that program.
 */
#include "transport_openssh.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport_ssh_mux.h"
#include "transport_ssh_output.h"

enum {
	REQUEST = 1,
	REQUEST_MAX = 8192, /* bytes of it, the command in it */
};

enum run_step {
	RUN_HELLO,  /* ours is sent, the master's is waited for */
	RUN_ASKED,  /* for the session */
	RUN_OPENED,
	RUN_EXITED, /* its status is known */
};

struct program_run {
	struct event_base *base;
	const struct ssh_target *target;
	const struct endpoint *at;
	const char *control;
	char *command;
	int stdio; /* -1: none, or given away */
	size_t max;
	struct event *io, *limit, *over;
	int fd; /* -1: it has ended */
	enum run_step step;
	uint32_t session;
	struct ssh_output out, err;
	unsigned char heard[MUX_PACKET_MAX];
	size_t n_heard;
	int status;
	struct ssh_child *child; /* the ssh program, in the master's place */
	program_done *done;
	void *arg;
};

static void hang_up(struct program_run *r)
{
	if (r->io)
		event_free(r->io);
	r->io = NULL;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

static void finish(struct program_run *r)
{
	const struct program_result result = {
		.status = r->status, .out = r->out.data, .err = r->err.data, .out_len = r->out.len};

	r->done(r->arg, &result);
	program_run_cancel(r);
}

static void on_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg);
}

/* It is over when nobody can say more. */
static void look_whether_over(void *arg)
{
	struct program_run *r = arg;

	if (r->fd < 0 && r->out.fd < 0 && r->err.fd < 0)
		event_active(r->over, 0, 0);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct program_run *r = arg;

	(void)fd;
	(void)what;
	r->status = -1;
	finish(r);
}

/* ---- by the program --------------------------------------------------------------------- */

static void on_child(void *arg, const struct ssh_child_result *c)
{
	struct program_run *r = arg;
	const struct program_result result = {
		.status = c->status != -1 && WIFEXITED(c->status) ? WEXITSTATUS(c->status) : -1,
		.out = c->out, .err = c->err, .out_len = c->out_len};

	r->child = NULL;
	r->done(r->arg, &result);
	program_run_cancel(r);
}

/* The limit runs on: it is one for both. */
static void by_program(struct program_run *r)
{
	struct program_args a;

	hang_up(r);
	program_client(&a, r->target, r->at, r->control, r->command);
	r->child = ssh_child_start(r->base, a.v, r->stdio, r->max, 0, on_child, r);
	if (r->child)
		r->stdio = -1;
	else
		event_active(r->over, 0, 0);
}

/* ---- by the master ------------------------------------------------------------------------- */

/* Nothing was sent on this connection that is not read at once: what cannot be sent
 * whole is not sent. */
static int say(const struct program_run *r, const unsigned char *data, size_t len)
{
	return len && send(r->fd, data, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

/* With one byte, as OpenSSH wants each. */
static int give(const struct program_run *r, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = {0}};
	struct iovec byte = {.iov_base = (char[]){0}, .iov_len = 1};
	struct msghdr m = {.msg_iov = &byte,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control.room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(r->fd, &m, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

static int watch(struct program_run *r, int out, int err)
{
	int no_out = out >= 0 ? ssh_output_watch(r->base, &r->out, out) : 0;
	int no_err = ssh_output_watch(r->base, &r->err, err);

	return no_out || no_err ? -1 : 0;
}

/* False: nothing of it was sent. */
static bool ask(struct program_run *r)
{
	int in = r->stdio, out[2] = {-1, -1}, err[2] = {-1, -1};
	unsigned char buf[REQUEST_MAX];
	size_t n = mux_new_session(buf, sizeof(buf), REQUEST, r->command);
	bool asked = false;

	if (in < 0)
		in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (in < 0 || pipe2(err, O_CLOEXEC) || (r->stdio < 0 && pipe2(out, O_CLOEXEC)) ||
	    say(r, buf, n))
		goto out;
	asked = true;
	r->step = RUN_ASKED;
	if (watch(r, out[0], err[0]) || give(r, in) || give(r, r->stdio < 0 ? out[1] : in) ||
	    give(r, err[1]))
		hang_up(r);
	out[0] = err[0] = r->stdio = -1;
out:
	if (in != r->stdio)
		close(in);
	for (int i = 0; i < 2; i++) {
		close_if(out[i]);
		close_if(err[i]);
	}
	return asked;
}

/* False: it is not to be understood. */
static bool take(struct program_run *r, const struct mux_answer *a)
{
	if (a->kind == MUX_OPENED && r->step == RUN_ASKED && a->request == REQUEST) {
		r->session = a->session;
		r->step = RUN_OPENED;
		return true;
	}
	if (a->kind == MUX_REFUSED && r->step == RUN_ASKED && a->request == REQUEST) {
		ssh_output_add(&r->err, a->reason, strlen(a->reason));
		return false;
	}
	if (a->kind == MUX_EXIT && r->step == RUN_OPENED && a->session == r->session &&
	    a->status <= 255) {
		r->status = (int)a->status;
		r->step = RUN_EXITED;
		return true;
	}
	return false;
}

/* False: the master is done, or done with. */
static bool listen_to(struct program_run *r)
{
	ssize_t n = read(r->fd, r->heard + r->n_heard, sizeof(r->heard) - r->n_heard);
	struct mux_answer a;
	size_t used;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	r->n_heard += (size_t)n;
	while ((used = mux_read(r->heard, r->n_heard, &a))) {
		r->n_heard -= used;
		memmove(r->heard, r->heard + used, r->n_heard);
		if (r->step != RUN_HELLO) {
			if (!take(r, &a))
				return false;
		} else if (a.kind != MUX_HELLO || a.version != MUX_VERSION || !ask(r)) {
			return false;
		} else if (r->fd < 0) {
			return false;
		}
	}
	return a.kind == MUX_MORE;
}

static void on_master(evutil_socket_t fd, short what, void *arg)
{
	struct program_run *r = arg;

	(void)fd;
	(void)what;
	if (listen_to(r))
		return;
	if (r->step == RUN_HELLO) {
		by_program(r);
		return;
	}
	hang_up(r);
	if (r->step == RUN_EXITED)
		look_whether_over(r);
	else
		event_active(r->over, 0, 0);
}

static int greet(struct program_run *r)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	unsigned char hello[16];

	if (strlen(r->control) >= sizeof(a.sun_path))
		return -1;
	memcpy(a.sun_path, r->control, strlen(r->control));
	r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->fd < 0 || connect(r->fd, (struct sockaddr *)&a, sizeof(a)) ||
	    say(r, hello, mux_hello(hello, sizeof(hello))))
		return -1;
	r->io = event_new(r->base, r->fd, EV_READ | EV_PERSIST, on_master, r);
	return r->io ? event_add(r->io, NULL) : -1;
}

struct program_run *program_run(struct event_base *base, const struct ssh_target *target,
				const struct endpoint *at, const char *control,
				const char *command, int stdio, size_t max, double seconds,
				program_done *done, void *arg)
{
	struct program_run *r = calloc(1, sizeof(*r));
	int no_out, no_err;

	if (!r)
		return NULL;
	*r = (struct program_run){.base = base, .target = target, .at = at, .control = control,
				  .stdio = -1, .max = max, .fd = -1, .status = -1, .done = done,
				  .arg = arg};
	no_out = ssh_output_init(&r->out, max, look_whether_over, r);
	no_err = ssh_output_init(&r->err, SSH_CHILD_ERR_MAX, look_whether_over, r);
	r->command = strdup(command);
	r->limit = evtimer_new(base, on_limit, r);
	r->over = event_new(base, -1, 0, on_over, r);
	if (no_out || no_err || !r->command || !r->limit || !r->over) {
		program_run_cancel(r);
		return NULL;
	}
	r->stdio = stdio;
	if (seconds > 0)
		ssh_timer(r->limit, seconds);
	if (greet(r))
		by_program(r);
	return r;
}

void program_run_cancel(struct program_run *r)
{
	if (!r)
		return;
	hang_up(r);
	ssh_child_kill(r->child);
	ssh_output_free(&r->out);
	ssh_output_free(&r->err);
	if (r->limit)
		event_free(r->limit);
	if (r->over)
		event_free(r->over);
	close_if(r->stdio);
	free(r->command);
	free(r);
}
