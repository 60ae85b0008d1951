/*
 * transport_ssh_session.c - the libssh2 backend: from a name to a session that
 * gives channels to the engine.
 *
 *	look up -> connect -> handshake -> host key -> log in -> which engine?
 *	        -> does it answer directly? -> else by dial-stdio? -> up
 *
 * All runs in turn(), called when the socket, a timer or a stream has news.  The
 * owner is told last of all there, since it may close us.
 */
#include "transport_ssh_session.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ENGINE_SAYS_MAX = 1024 };
static const double ask_patience = 5;	 /* s for what the login shell says */
static const double probe_patience = 10; /* s for the engine's answer */

double ssh_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

const char *ssh_last(struct ssh_way *w)
{
	char *text = NULL;

	if (!w->ssh || !libssh2_session_last_errno(w->ssh))
		return "connection closed";
	libssh2_session_last_error(w->ssh, &text, NULL, 0);
	return text && *text ? text : "unknown cause";
}

const char *ssh_engine(const struct ssh_way *w)
{
	return w->engine ? w->engine : "/var/run/docker.sock";
}

void ssh_kick(struct ssh_way *w)
{
	event_active(w->kick, 0, 0);
}

void ssh_fail(struct ssh_way *w, bool other, const char *fmt, ...)
{
	static const enum dcm_step step_of[] = {
		[SSH_LOOKUP] = DCM_STEP_NAME,	     [SSH_CONNECT] = DCM_STEP_CONNECT,
		[SSH_HANDSHAKE] = DCM_STEP_CONNECT,  [SSH_HOST_KEY] = DCM_STEP_HOST_KEY,
		[SSH_METHODS] = DCM_STEP_LOGIN,	     [SSH_LOGIN] = DCM_STEP_LOGIN,
		[SSH_DISCOVER] = DCM_STEP_DOCKER,    [SSH_PROBE_FORWARD] = DCM_STEP_DOCKER,
		[SSH_PROBE_DIAL] = DCM_STEP_DOCKER,  [SSH_UP] = DCM_STEP_CONNECT,
	};
	va_list ap;

	if (w->phase == SSH_DEAD)
		return;
	va_start(ap, fmt);
	vsnprintf(w->why, sizeof(w->why), fmt, ap);
	va_end(ap);
	w->step = step_of[w->phase];
	w->phase = SSH_DEAD;
	w->say_down = true;
	w->say_up = false;
	w->other = other;
	if (w->io)
		event_del(w->io);
	event_del(w->deadline);
	ssh_streams_hang_up(w);
	ssh_kick(w);
}

/* ---- the socket ------------------------------------------------------------------------- */

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ssh_turn(arg);
}

void ssh_want(struct ssh_way *w, short events)
{
	if (w->io && w->io_wants == events)
		return;
	if (w->io)
		event_free(w->io);
	w->io = NULL;
	w->io_wants = events;
	if (!events)
		return;
	w->io = event_new(w->base, w->fd, (short)(events | EV_PERSIST), on_io, w);
	if (!w->io || event_add(w->io, NULL))
		ssh_fail(w, false, "no memory for the way to %s", w->target->where);
}

static void wait_for(struct ssh_way *w)
{
	int d;

	if (w->phase == SSH_DEAD || w->phase == SSH_LOOKUP || w->fd < 0)
		return;
	if (w->phase == SSH_CONNECT) {
		ssh_want(w, EV_WRITE);
		return;
	}
	d = libssh2_session_block_directions(w->ssh);
	if (w->phase < SSH_DISCOVER)
		ssh_want(w, (short)((d & LIBSSH2_SESSION_BLOCK_OUTBOUND ? EV_WRITE : 0) |
				(d & LIBSSH2_SESSION_BLOCK_INBOUND || !d ? EV_READ : 0)));
	else if (w->blocked)
		ssh_want(w, EV_WRITE);
	else /* with nobody to take it, what comes stays where it is */
		ssh_want(w, ssh_streams_listen(w) ? EV_READ : 0);
}

/* ---- to the engine ------------------------------------------------------------------------------ */

static void is_up(struct ssh_way *w)
{
	w->phase = SSH_UP;
	event_del(w->deadline);
	w->say_up = true;
}

static void on_dial_probe(struct ssh_way *w, void *arg, const struct ssh_command_result *r)
{
	ssh_why why;

	(void)arg;
	if (r->status == 0 && r->len) {
		w->dial = true;
		w->forward_again = ssh_now() + 30;
		is_up(w);
		return;
	}
	if (r->status < 0 && strstr(r->failed, "Channel open"))
		ssh_say(why, "%s opens no channel, its MaxSessions is reached: raise it, or leave "
			     "room",
			w->target->where);
	else
		ssh_docker_error(w->target, r->err[0] ? r->err : r->failed, r->status, why);
	ssh_fail(w, false, "%s", why);
}

static void probe_dial(struct ssh_way *w)
{
	w->phase = SSH_PROBE_DIAL;
	if (ssh_probe(w, true, probe_patience, on_dial_probe, NULL))
		ssh_fail(w, false, "no memory for the way to %s", w->target->where);
}

static void on_forward_probe(struct ssh_way *w, void *arg, const struct ssh_command_result *r)
{
	(void)arg;
	if (r->status == 0)
		is_up(w);
	else
		probe_dial(w);
}

static void probe(struct ssh_way *w)
{
	if (!ssh_engine(w)[0]) {
		probe_dial(w);
		return;
	}
	w->phase = SSH_PROBE_FORWARD;
	if (ssh_probe(w, false, probe_patience, on_forward_probe, NULL))
		ssh_fail(w, false, "no memory for the way to %s", w->target->where);
}

static void on_engine_said(struct ssh_way *w, void *arg, const struct ssh_command_result *r)
{
	char said[ENGINE_SAYS_MAX + 1];
	const char *path;

	(void)arg;
	memcpy(said, r->out, r->len);
	said[r->len] = '\0';
	path = r->status < 0 ? NULL : ssh_engine_path(said);
	if (path)
		w->engine = strdup(path);
	probe(w);
}

static void logged_in(struct ssh_way *w)
{
	ssh_login_clear(w);
	event_del(w->deadline); /* from here on each step has its own */
	w->phase = SSH_DISCOVER;
	if (w->at->path) {
		w->engine = strdup(w->at->path);
		probe(w);
	} else if (ssh_command(w, ssh_engine_command, ENGINE_SAYS_MAX, ask_patience, on_engine_said,
			       NULL)) {
		ssh_fail(w, false, "no memory for the way to %s", w->target->where);
	}
}

/* ---- the machine ---------------------------------------------------------------------------------- */

static void drive(struct ssh_way *w)
{
	int rc;

	if (w->phase == SSH_CONNECT)
		ssh_connected(w);
	if (w->phase == SSH_HANDSHAKE) {
		rc = libssh2_session_handshake(w->ssh, w->fd);
		if (rc == 0)
			ssh_check_host_key(w);
		else if (rc != LIBSSH2_ERROR_EAGAIN)
			ssh_handshake_failed(w, rc);
	}
	if (w->phase == SSH_METHODS || w->phase == SSH_LOGIN) {
		rc = ssh_login(w);
		if (rc && w->phase != SSH_DEAD)
			logged_in(w);
	}
	if (w->phase >= SSH_DISCOVER && w->phase <= SSH_UP)
		ssh_streams_pass(w);
}

/* Has the server gone?  libssh2 says so to channels, and there may be none. */
static void check_socket(struct ssh_way *w)
{
	char byte;
	ssize_t n;

	if (w->phase < SSH_HANDSHAKE || w->phase == SSH_DEAD)
		return;
	n = recv(w->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n == 0)
		ssh_fail(w, false, "connection to %s was closed by the host", w->target->where);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		ssh_fail(w, false, "connection to %s was lost (%s)", w->target->where,
			 strerror(errno));
}

void ssh_turn(struct ssh_way *w)
{
	drive(w);
	if (w->phase >= SSH_DISCOVER && w->phase <= SSH_UP) {
		check_socket(w);
		ssh_streams_report(w);
	}
	wait_for(w);
	if (w->say_down) {
		w->say_down = false;
		w->owner->down(w->owner_arg, w->step, w->other, w->why);
	} else if (w->say_up) {
		w->say_up = false;
		w->owner->up(w->owner_arg);
	}
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ssh_turn(arg);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_way *w = arg;

	(void)fd;
	(void)what;
	if (w->phase < SSH_DISCOVER)
		ssh_deadline_over(w);
	ssh_turn(w);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_way *w = arg;

	(void)fd;
	(void)what;
	if (w->phase >= SSH_DISCOVER && w->phase <= SSH_UP)
		ssh_streams_tick(w);
	if (w->phase == SSH_UP)
		ssh_sftp_tick(w);
	ssh_turn(w);
}

static void on_accepted(void *arg, int fd)
{
	struct ssh_way *w = arg;

	if (w->phase != SSH_UP || !ssh_stream_new(w, STREAM_ENGINE, fd))
		close(fd);
}

/* ---- the backend --------------------------------------------------------------------------------- */

static void session_close(struct ssh_way *w)
{
	struct event *all[] = {w->io, w->deadline, w->tick, w->kick};

	ssh_lookup_cancel(w->lookup);
	ssh_place_close(w->place);
	ssh_login_clear(w);
	ssh_known_free(w->known);
	if (w->ssh && !w->blocked)
		libssh2_session_disconnect(w->ssh, "dcm ends this session");
	if (w->fd >= 0)
		shutdown(w->fd, SHUT_RDWR); /* nothing below waits for an answer any more */
	ssh_sftp_free(w);
	for (unsigned i = 0; i < SSH_FILES; i++)
		free(w->files[i].path);
	ssh_streams_drop(w);
	for (int i = 0; w->ssh && i < 1000; i++)
		if (libssh2_session_free(w->ssh) != LIBSSH2_ERROR_EAGAIN)
			break;
	if (w->fd >= 0)
		close(w->fd);
	if (w->addresses)
		freeaddrinfo(w->addresses);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i])
			event_free(all[i]);
	free(w->engine);
	free(w);
	libssh2_exit();
}

static struct ssh_way *session_open(struct event_base *base, const struct endpoint *at,
				    const struct ssh_target *target,
				    const struct ssh_owner *owner, void *arg)
{
	struct ssh_way *w = calloc(1, sizeof(*w));
	const struct timeval second = {1, 0};

	if (!w)
		return NULL;
	*w = (struct ssh_way){.base = base,
			      .at = at,
			      .target = target,
			      .owner = owner,
			      .owner_arg = arg,
			      .fd = -1,
			      .dial_most = SSH_DIAL_MAX};
	TAILQ_INIT(&w->streams);
	libssh2_init(0);
	w->deadline = evtimer_new(base, on_deadline, w);
	w->tick = event_new(base, -1, EV_PERSIST, on_tick, w);
	w->kick = event_new(base, -1, 0, on_kick, w);
	if (!w->deadline || !w->tick || !w->kick || event_add(w->tick, &second)) {
		session_close(w);
		return NULL;
	}
	w->place = ssh_place_open(base, on_accepted, w, w->why);
	if (!w->place) {
		ssh_fail(w, false, "%s", w->why);
		w->step = DCM_STEP_NONE; /* a lack of our own */
		return w;
	}
	ssh_deadline(w, target->timeout);
	ssh_connect(w);
	return w;
}

static const char *session_socket(struct ssh_way *w)
{
	return ssh_place_socket(w->place);
}

/* One channel is for events, and one for a ping; where there are fewer they wait. */
static unsigned session_connections(struct ssh_way *w)
{
	if (!w->dial)
		return 0;
	return w->dial_most > 3 ? w->dial_most - 2 : 1;
}

static void on_file(struct ssh_way *w, void *arg, const struct ssh_command_result *r)
{
	struct ssh_file *f = arg;
	ssh_file_done *done = f->done;
	const char *data = r->out, *error;
	size_t len = r->len;

	(void)w;
	f->done = NULL;
	error = ssh_file_read(r->status, &data, &len);
	done(f->arg, data, len, error);
}

int ssh_file_by_command(struct ssh_way *w, struct ssh_file *f, const char *path)
{
	char *command = ssh_file_command(path, f->max);
	int rc = -1;

	if (command)
		rc = ssh_command(w, command, f->max + SSH_FILE_EXTRA, probe_patience, on_file, f);
	free(command);
	return rc;
}

static int session_read_file(struct ssh_way *w, const char *path, size_t max, ssh_file_done *done,
			     void *arg)
{
	struct ssh_file *f = w->files;

	while (f < w->files + SSH_FILES && f->done)
		f++;
	if (w->phase != SSH_UP || f == w->files + SSH_FILES)
		return -1;
	*f = (struct ssh_file){.done = done, .arg = arg, .max = max};
	if (!ssh_sftp_read(w, f, path) || !ssh_file_by_command(w, f, path))
		return 0;
	f->done = NULL;
	return -1;
}

const struct ssh_backend_ops ssh_libssh2 = {
    .name = "ssh/libssh2",
    .open = session_open,
    .socket = session_socket,
    .connections = session_connections,
    .read_file = session_read_file,
    .close = session_close,
};
