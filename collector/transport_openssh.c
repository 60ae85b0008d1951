/*
 * transport_openssh.c - backend: the system's `ssh` program, for what libssh2
 * cannot do.
 *
 *	master (logs in) -> which engine? -> forwarding -> does it answer through it?
 *	                 -> else by dial-stdio? -> up
 *
 * One connection to the host and one process here: `ssh -M -N`, and everything else
 * goes over it.  Where the socket there can be forwarded, libcurl connects to ssh's own
 * socket.  Else each connection of libcurl's is given to a `docker system dial-stdio`
 * there, at most four, which live as long as libcurl keeps the connection.  Commands
 * are the master's own sessions (transport_openssh_run.c).  When the master ends, all
 * is over.
 */
#include "transport_openssh.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ENGINE_SAYS_MAX = 1024 };
static const double look_every = 0.02; /* s between looks for the master's socket */
static const double ask_patience = 5, step_patience = 10;
static const double refused_pause = 0.2; /* s until sshd is asked again */

struct dial {
	struct ssh_way *way;
	struct program_run *run;
	int fd; /* libcurl's connection, kept to serve it anew where sshd refused */
};

struct reader {
	struct program_run *run;
	ssh_file_done *done;
	void *arg;
};

/* How many sessions the host allows; learned when it refuses one, and kept for the
 * life of the process: the next connection must not find out again. */
static unsigned dials_most = PROGRAM_DIALS;

struct ssh_way {
	struct event_base *base;
	const struct endpoint *at;
	const struct ssh_target *target;
	const struct ssh_owner *owner;
	void *arg;
	struct ssh_place *place;
	struct event *look, *deadline, *fail;
	char control[SSH_PATH], local[SSH_PATH];
	struct ssh_child *master, *forwarder;
	struct program_run *asking; /* the host, while coming up */
	struct ssh_ping *ping;
	bool answered;
	char *engine; /* "": only docker knows */
	bool up, dead, dials;
	enum dcm_step step; /* that it is at, or that failed */
	struct dial dial[PROGRAM_DIALS];
	int waiting[PROGRAM_WAITING]; /* connections; the first is the next */
	unsigned n_waiting;
	struct reader reader[SSH_FILES];
	ssh_why why;
};

/* ---- the end ---------------------------------------------------------------------------- */

static void hang_up(struct ssh_way *w)
{
	for (unsigned i = 0; i < w->n_waiting; i++)
		close(w->waiting[i]);
	w->n_waiting = 0;
	for (unsigned i = 0; i < PROGRAM_DIALS; i++) {
		if (!w->dial[i].run)
			continue;
		program_run_cancel(w->dial[i].run);
		close(w->dial[i].fd);
		w->dial[i].run = NULL;
	}
}

static void fail(struct ssh_way *w)
{
	if (w->dead)
		return;
	w->dead = true;
	event_del(w->look);
	event_del(w->deadline);
	event_active(w->fail, 0, 0);
}

static void on_fail(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_way *w = arg;

	(void)fd;
	(void)what;
	hang_up(w);
	ssh_child_kill(w->master); /* with it goes ssh's own socket */
	w->master = NULL;
	unlink(w->local);
	w->owner->down(w->arg, w->step, false, w->why);
}

static void no_memory(struct ssh_way *w)
{
	ssh_say(w->why, "no memory or process for the way to %s", w->target->where);
	fail(w);
}

static void on_master_ended(void *arg, const struct ssh_child_result *r)
{
	struct ssh_way *w = arg;

	w->master = NULL;
	w->step = program_error(w->target, r->err, w->why);
	fail(w);
}

/* ---- steps ---------------------------------------------------------------------------------- */

static void is_up(struct ssh_way *w, bool dials)
{
	w->up = true;
	w->dials = dials;
	event_del(w->deadline);
	w->owner->up(w->arg);
}

/* docker has answered, or its program has ended: whichever comes last decides. */
static void dial_probed(struct ssh_way *w, const struct program_result *r)
{
	if (w->answered) {
		program_run_cancel(w->asking);
		w->asking = NULL;
		is_up(w, true);
		return;
	}
	if (!r || w->dead)
		return;
	if (strstr(r->err, "refused by peer"))
		ssh_say(w->why, "%s opens no session, its MaxSessions is reached: raise it, or leave "
				"room",
			w->target->where);
	else
		ssh_docker_error(w->target, r->err, r->status, w->why);
	fail(w);
}

static void on_dial_ended(void *arg, const struct program_result *r)
{
	struct ssh_way *w = arg;

	w->asking = NULL;
	dial_probed(w, r);
}

static void on_dial_answered(void *arg, bool answered)
{
	struct ssh_way *w = arg;

	w->ping = NULL;
	w->answered = answered;
	if (!w->dead)
		dial_probed(w, NULL);
}

static struct program_run *over_master(struct ssh_way *w, const char *command, int stdio,
				       size_t max, double seconds, program_done *done, void *arg)
{
	return program_run(w->base, w->target, w->at, w->control, command, stdio, max, seconds,
			   done, arg);
}

static void probe_dial(struct ssh_way *w)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		no_memory(w);
		return;
	}
	w->asking = over_master(w, w->target->dial, pair[1], 0, step_patience, on_dial_ended, w);
	if (!w->asking)
		close(pair[1]);
	w->ping = ssh_ping(w->base, pair[0], step_patience, on_dial_answered, w);
	if (!w->asking || !w->ping)
		no_memory(w);
}

static void on_forward_answered(void *arg, bool answered)
{
	struct ssh_way *w = arg;

	w->ping = NULL;
	if (w->dead)
		return;
	if (answered)
		is_up(w, false);
	else
		probe_dial(w);
}

static int connect_local(const struct ssh_way *w)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, w->local, sizeof(a.sun_path));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void on_forwarded(void *arg, const struct ssh_child_result *r)
{
	struct ssh_way *w = arg;
	int fd = r->status == 0 ? connect_local(w) : -1;

	w->forwarder = NULL;
	if (w->dead)
		return;
	if (fd < 0) {
		probe_dial(w);
		return;
	}
	w->ping = ssh_ping(w->base, fd, step_patience, on_forward_answered, w);
	if (!w->ping)
		no_memory(w);
}

static void forward(struct ssh_way *w)
{
	const char *engine = w->engine ? w->engine : "/var/run/docker.sock";
	struct program_args a;

	if (!engine[0]) {
		probe_dial(w);
		return;
	}
	program_forward(&a, w->target, w->at, w->control, w->local, engine);
	w->forwarder = ssh_child_start(w->base, a.v, -1, 256, step_patience, on_forwarded, w);
	if (!w->forwarder)
		no_memory(w);
}

static void on_engine_said(void *arg, const struct program_result *r)
{
	struct ssh_way *w = arg;
	char said[ENGINE_SAYS_MAX + 1];
	const char *path;

	w->asking = NULL;
	if (w->dead)
		return;
	memcpy(said, r->out, r->out_len + 1);
	path = r->status == -1 ? NULL : ssh_engine_path(said);
	if (path)
		w->engine = strdup(path);
	forward(w);
}

static void logged_in(struct ssh_way *w)
{
	event_del(w->deadline);
	w->step = DCM_STEP_DOCKER;
	if (w->at->path) {
		w->engine = strdup(w->at->path);
		forward(w);
		return;
	}
	w->asking = over_master(w, ssh_engine_command, -1, ENGINE_SAYS_MAX, ask_patience,
				on_engine_said, w);
	if (!w->asking)
		no_memory(w);
}

static void serve_waiting(struct ssh_way *w);

/* The master makes its socket when it has logged in.  Later on, this looks after
 * connections that were refused. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_way *w = arg;
	struct stat st;

	(void)fd;
	(void)what;
	if (w->dead)
		return;
	if (w->dials)
		serve_waiting(w);
	else if (stat(w->control, &st))
		ssh_timer(w->look, look_every);
	else
		logged_in(w);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_way *w = arg;

	(void)fd;
	(void)what;
	/* its ConnectTimeout did not strike: the server talks, and has not let us in */
	w->step = DCM_STEP_LOGIN;
	ssh_say(w->why, "timeout: no answer of %s within %.0f s: check the host and the network",
		w->target->where, w->target->timeout);
	fail(w);
}

/* ---- connections over dial-stdio ----------------------------------------------------------- */

static unsigned running(const struct ssh_way *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PROGRAM_DIALS; i++)
		n += w->dial[i].run != NULL;
	return n;
}

/* sshd's MaxSessions.  Nothing was read of the connection: it waits for its turn,
 * since a session that just ended may still count there. */
static void refused(struct ssh_way *w, struct dial *d)
{
	if (running(w) >= 2 && running(w) < dials_most) {
		/* libcurl has more connections than that, and would wait for itself */
		dials_most = running(w);
		ssh_say(w->why, "MaxSessions of %s allows %u sessions: connecting anew for so many",
			w->target->where, dials_most);
		fail(w);
	}
	if (w->dead || w->n_waiting == PROGRAM_WAITING) {
		close(d->fd);
		return;
	}
	memmove(w->waiting + 1, w->waiting, w->n_waiting * sizeof(w->waiting[0]));
	w->waiting[0] = d->fd;
	w->n_waiting++;
	ssh_timer(w->look, refused_pause);
}

static void on_stream_ended(void *arg, const struct program_result *r)
{
	struct dial *d = arg;

	d->run = NULL;
	if (!d->way->dead && strstr(r->err, "refused by peer")) {
		refused(d->way, d);
		return;
	}
	close(d->fd);
	if (!d->way->dead)
		serve_waiting(d->way);
}

static void serve_waiting(struct ssh_way *w)
{
	for (unsigned i = 0; i < PROGRAM_DIALS && w->n_waiting && running(w) < dials_most; i++) {
		struct dial *d = &w->dial[i];
		int copy;

		if (d->run)
			continue;
		d->way = w;
		d->fd = w->waiting[0];
		w->n_waiting--;
		memmove(w->waiting, w->waiting + 1, w->n_waiting * sizeof(w->waiting[0]));
		copy = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
		if (copy >= 0)
			d->run = over_master(w, w->target->dial, copy, 0, 0, on_stream_ended, d);
		if (!d->run) {
			close(d->fd);
			if (copy >= 0)
				close(copy);
		}
	}
}

static void on_accepted(void *arg, int fd)
{
	struct ssh_way *w = arg;

	if (w->dead || !w->dials || w->n_waiting == PROGRAM_WAITING) {
		close(fd);
		return;
	}
	w->waiting[w->n_waiting++] = fd;
	serve_waiting(w);
}

/* ---- the backend ------------------------------------------------------------------------------ */

static void program_close(struct ssh_way *w)
{
	struct event *all[] = {w->look, w->deadline, w->fail};

	hang_up(w);
	ssh_ping_cancel(w->ping);
	for (unsigned i = 0; i < SSH_FILES; i++)
		program_run_cancel(w->reader[i].run);
	program_run_cancel(w->asking);
	ssh_child_kill(w->forwarder);
	ssh_child_kill(w->master);
	ssh_place_close(w->place);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i])
			event_free(all[i]);
	free(w->engine);
	free(w);
}

static struct ssh_way *program_open(struct event_base *base, const struct endpoint *at,
				    const struct ssh_target *target,
				    const struct ssh_owner *owner, void *arg)
{
	struct ssh_way *w = calloc(1, sizeof(*w));
	struct program_args a;

	if (!w)
		return NULL;
	*w = (struct ssh_way){
		.base = base, .at = at, .target = target, .owner = owner, .arg = arg,
		.step = DCM_STEP_CONNECT};
	w->look = evtimer_new(base, on_look, w);
	w->deadline = evtimer_new(base, on_deadline, w);
	w->fail = event_new(base, -1, 0, on_fail, w);
	if (!w->look || !w->deadline || !w->fail) {
		program_close(w);
		return NULL;
	}
	w->place = ssh_place_open(base, on_accepted, w, w->why);
	if (!w->place) {
		w->step = DCM_STEP_NONE; /* a lack of our own */
		fail(w);
		return w;
	}
	ssh_place_path(w->place, "m", w->control);
	ssh_place_path(w->place, "e", w->local);
	program_master(&a, target, at, w->control);
	w->master = ssh_child_start(base, a.v, -1, 0, 0, on_master_ended, w);
	if (!w->master) {
		no_memory(w);
		return w;
	}
	ssh_timer(w->look, look_every);
	ssh_timer(w->deadline, target->timeout + 1); /* ssh's own words come first */
	return w;
}

static const char *program_socket(struct ssh_way *w)
{
	return w->dials ? ssh_place_socket(w->place) : w->local;
}

static unsigned program_connections(struct ssh_way *w)
{
	if (!w->dials)
		return 0;
	return dials_most > 2 ? dials_most - 1 : 1; /* and one for the events */
}

/* With two sessions one is for the events, and nothing may keep the other. */
static bool program_keeps(struct ssh_way *w)
{
	return !w->dials || dials_most > 2;
}

static void on_file(void *arg, const struct program_result *r)
{
	struct reader *reader = arg;
	const char *data = r->out, *error;
	size_t len = r->out_len;

	reader->run = NULL;
	error = ssh_file_read(r->status, &data, &len);
	reader->done(reader->arg, data, len, error);
}

static int program_read_file(struct ssh_way *w, const char *path, size_t max, ssh_file_done *done,
			     void *arg)
{
	struct reader *reader = w->reader;
	char *command;

	while (reader < w->reader + SSH_FILES && reader->run)
		reader++;
	if (w->dead || !w->up || reader == w->reader + SSH_FILES ||
	    !(command = ssh_file_command(path, max)))
		return -1;
	reader->done = done;
	reader->arg = arg;
	reader->run = over_master(w, command, -1, max + SSH_FILE_EXTRA, step_patience, on_file,
				  reader);
	free(command);
	return reader->run ? 0 : -1;
}

const struct ssh_backend_ops ssh_openssh = {
    .name = "ssh/openssh",
    .open = program_open,
    .socket = program_socket,
    .connections = program_connections,
    .keeps = program_keeps,
    .read_file = program_read_file,
    .close = program_close,
};
