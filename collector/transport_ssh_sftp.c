/*
 * transport_ssh_sftp.c - files of the host by SFTP, one after the other over one
 * channel, which is closed when nothing was asked for a while.
 *
 * A path is taken only where the server's own idea of it (REALPATH) is the same:
 * then no part of it is a symbolic link.  Where there is no sftp subsystem, or
 * sessions are few, files are read by a command (transport_ssh_command.c).
 */
#include <stdlib.h>
#include <string.h>

#include <libssh2_sftp.h>

#include "transport_ssh_session.h"

static const double init_patience = 10; /* s */
static const double idle_most = 2;	/* s */

struct ssh_sftp {
	enum { INIT, IDLE, REALPATH, STAT, OPEN, READ, CLOSE, END } state;
	LIBSSH2_SFTP *sftp;
	LIBSSH2_SFTP_HANDLE *handle;
	struct ssh_file *file; /* that is being read */
	char *data;
	size_t len;
	const char *error;
	double since; /* of INIT or IDLE */
};

/* For the life of the process: what was refused once is refused again. */
static bool refused;

static struct ssh_file *next_file(struct ssh_way *w)
{
	for (unsigned i = 0; i < SSH_FILES; i++)
		if (w->files[i].done && w->files[i].path)
			return &w->files[i];
	return NULL;
}

static void finish_file(struct ssh_sftp *s)
{
	struct ssh_file *f = s->file;
	ssh_file_done *done = f->done;
	void *arg = f->arg;

	free(f->path);
	f->path = NULL;
	f->done = NULL;
	done(arg, s->data, s->len, s->error);
	free(s->data);
	s->data = NULL;
	s->file = NULL;
	s->state = IDLE;
	s->since = ssh_now();
}

static const char *sftp_error(struct ssh_sftp *s)
{
	switch (libssh2_sftp_last_error(s->sftp)) {
	case LIBSSH2_FX_NO_SUCH_FILE:
		return "no such file";
	case LIBSSH2_FX_PERMISSION_DENIED:
		return "permission denied";
	}
	return "cannot be read";
}

static bool start(struct ssh_way *w)
{
	w->sftp = calloc(1, sizeof(*w->sftp));
	w->files_stream = w->sftp ? ssh_stream_new(w, STREAM_FILES, -1) : NULL;
	if (!w->files_stream) {
		ssh_sftp_free(w);
		return false;
	}
	w->files_stream->dial = true; /* sshd counts it as a session */
	return true;
}

/* The files that wait are read by commands. */
static void hand_on(struct ssh_way *w)
{
	for (unsigned i = 0; i < SSH_FILES; i++) {
		struct ssh_file *f = &w->files[i];
		char *path = f->path;

		f->path = NULL;
		if (f->done && path && ssh_file_by_command(w, f, path)) {
			ssh_file_done *done = f->done;

			f->done = NULL;
			done(f->arg, NULL, 0, "cannot be read");
		}
		free(path);
	}
}

static void closed(struct ssh_way *w, struct ssh_stream *st)
{
	w->sftp->sftp = NULL;
	ssh_sftp_free(w);
	w->files_stream = NULL;
	st->state = STREAM_FREE;
	ssh_kick(w);
}

static int init(struct ssh_way *w, struct ssh_stream *st)
{
	struct ssh_sftp *s = w->sftp;

	if (st->state == STREAM_WAIT) {
		if (w->opening)
			return 0;
		w->opening = st;
		st->state = STREAM_OPEN;
		s->since = ssh_now();
	}
	s->sftp = libssh2_sftp_init(w->ssh);
	if (!s->sftp && libssh2_session_last_errno(w->ssh) == LIBSSH2_ERROR_EAGAIN)
		return LIBSSH2_ERROR_EAGAIN;
	if (!s->sftp) { /* no subsystem */
		refused = true;
		w->opening = NULL;
		closed(w, st);
		hand_on(w);
		return 0;
	}
	w->opening = NULL;
	st->state = STREAM_RUN;
	s->state = IDLE;
	ssh_kick(w);
	return 1;
}

static int begin_file(struct ssh_way *w)
{
	struct ssh_sftp *s = w->sftp;

	s->file = next_file(w);
	if (!s->file)
		return 0;
	s->len = 0;
	s->error = NULL;
	s->data = malloc(s->file->max + 1);
	if (!s->data) {
		s->error = "no memory for it";
		finish_file(s);
		return 1;
	}
	s->state = REALPATH;
	return 1;
}

/* Each does one step: 1 to go on, 0 to wait for work, or EAGAIN. */
static int check_path(struct ssh_sftp *s)
{
	char real[4096];
	int n = libssh2_sftp_realpath(s->sftp, s->file->path, real, sizeof(real) - 1);

	if (n == LIBSSH2_ERROR_EAGAIN)
		return n;
	if (n < 0)
		s->error = sftp_error(s);
	else if ((size_t)n != strlen(s->file->path) || memcmp(real, s->file->path, (size_t)n))
		s->error = "a part of the path is a symbolic link";
	s->state = STAT;
	return 1;
}

static int check_kind(struct ssh_sftp *s)
{
	LIBSSH2_SFTP_ATTRIBUTES a;
	int rc = libssh2_sftp_lstat(s->sftp, s->file->path, &a);

	if (rc == LIBSSH2_ERROR_EAGAIN)
		return rc;
	if (rc)
		s->error = sftp_error(s);
	else if (!(a.flags & LIBSSH2_SFTP_ATTR_PERMISSIONS) ||
		 !LIBSSH2_SFTP_S_ISREG(a.permissions))
		s->error = "not a regular file";
	s->state = OPEN;
	return 1;
}

static int open_file(struct ssh_way *w, struct ssh_sftp *s)
{
	s->handle = libssh2_sftp_open(s->sftp, s->file->path, LIBSSH2_FXF_READ, 0);
	if (!s->handle && libssh2_session_last_errno(w->ssh) == LIBSSH2_ERROR_EAGAIN)
		return LIBSSH2_ERROR_EAGAIN;
	if (!s->handle)
		s->error = sftp_error(s);
	s->state = READ;
	return 1;
}

static int read_some(struct ssh_sftp *s)
{
	ssize_t n = 0;

	if (s->len < s->file->max)
		n = libssh2_sftp_read(s->handle, s->data + s->len, s->file->max - s->len);
	if (n == LIBSSH2_ERROR_EAGAIN)
		return LIBSSH2_ERROR_EAGAIN;
	if (n > 0) {
		s->len += (size_t)n;
		return 1;
	}
	if (n < 0)
		s->error = sftp_error(s);
	s->state = CLOSE;
	return 1;
}

static int close_file(struct ssh_sftp *s)
{
	if (libssh2_sftp_close(s->handle) == LIBSSH2_ERROR_EAGAIN)
		return LIBSSH2_ERROR_EAGAIN;
	s->handle = NULL;
	finish_file(s);
	return 1;
}

static int end(struct ssh_way *w, struct ssh_stream *st)
{
	if (libssh2_sftp_shutdown(w->sftp->sftp) == LIBSSH2_ERROR_EAGAIN)
		return LIBSSH2_ERROR_EAGAIN;
	closed(w, st);
	if (next_file(w) && !start(w)) /* asked for meanwhile */
		hand_on(w);
	return 0;
}

static int one_step(struct ssh_way *w, struct ssh_stream *st)
{
	struct ssh_sftp *s = w->sftp;

	if (s->error && s->file && !s->handle) {
		finish_file(s);
		return 1;
	}
	switch (s->state) {
	case INIT:
		return init(w, st);
	case IDLE:
		return begin_file(w);
	case REALPATH:
		return check_path(s);
	case STAT:
		return check_kind(s);
	case OPEN:
		return open_file(w, s);
	case READ:
		return read_some(s);
	case CLOSE:
		return close_file(s);
	case END:
		return end(w, st);
	}
	return 0;
}

bool ssh_sftp_step(struct ssh_stream *st)
{
	int rc;

	do
		rc = one_step(st->way, st);
	while (rc == 1);
	return rc != LIBSSH2_ERROR_EAGAIN || !ssh_stream_blocked(st);
}

void ssh_sftp_tick(struct ssh_way *w)
{
	struct ssh_sftp *s = w->sftp;
	double now = ssh_now();

	if (!s)
		return;
	if (s->state == IDLE && !next_file(w) && now - s->since > idle_most)
		s->state = END;
	if (s->state == INIT && s->since > 0 && now - s->since > init_patience) {
		refused = true; /* and nothing else can open behind it */
		ssh_fail(w, false, "%s does not answer to sftp: connecting anew without it",
			 w->target->where);
	}
}

bool ssh_sftp_busy(const struct ssh_way *w)
{
	return w->sftp && w->sftp->state != IDLE;
}

int ssh_sftp_read(struct ssh_way *w, struct ssh_file *f, const char *path)
{
	if (refused || w->dial)
		return -1;
	f->path = strdup(path);
	if (!f->path)
		return -1;
	if (w->sftp || start(w)) {
		ssh_kick(w);
		return 0;
	}
	free(f->path);
	f->path = NULL;
	return -1;
}

void ssh_sftp_free(struct ssh_way *w)
{
	struct ssh_sftp *s = w->sftp;

	if (!s)
		return;
	/* only at the end of all is one still open, and nothing waits any more then */
	for (int i = 0; s->handle && i < 100; i++)
		if (libssh2_sftp_close(s->handle) != LIBSSH2_ERROR_EAGAIN)
			s->handle = NULL;
	free(s->data);
	free(s);
	w->sftp = NULL;
}
