/*
 * transport_ssh_stream.c - channels of a libssh2 session: libcurl's connections,
 * commands, and probes.
 *
 * A stream waits for its turn, opens a channel (to the engine's socket, or with a
 * program behind it), runs, and is freed when the server has closed it, too.  What
 * waits in either direction is at most STREAM_CHUNK: the side that sends is not
 * read while the other does not take it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport_ssh_session.h"

static const double stall_most = 30;	/* s that what waits may not move */

static void local_close(struct ssh_stream *st)
{
	if (st->readable)
		event_free(st->readable);
	if (st->writable)
		event_free(st->writable);
	st->readable = st->writable = NULL;
	if (st->fd >= 0)
		close(st->fd);
	st->fd = -1;
}

static void stream_free(struct ssh_stream *st)
{
	struct ssh_way *w = st->way;

	local_close(st);
	TAILQ_REMOVE(&w->streams, st, link);
	if (st->dial)
		w->freed_at = ssh_now();
	if (w->opening == st)
		w->opening = NULL;
	if (w->blocked == st)
		w->blocked = NULL;
	free(st->out);
	free(st->in);
	free(st->command);
	free(st);
}

/* Nobody wants it any more.  What is opening must first be open, and a packet that
 * was cut must first be whole. */
void ssh_stream_end(struct ssh_stream *st)
{
	local_close(st);
	st->local_gone = true;
	ssh_kick(st->way);
	if (st->state != STREAM_OPEN && st->state != STREAM_EXEC && st->way->blocked != st)
		st->state = STREAM_FREE;
}

void ssh_stream_finish(struct ssh_stream *st, int status, const char *failed)
{
	if (st->kind == STREAM_ENGINE) {
		ssh_stream_end(st);
		return;
	}
	if (st->finished)
		return;
	st->finished = true;
	st->status = status;
	ssh_say(st->failed, "%s", failed ? failed : "");
	ssh_kick(st->way);
}

/* ---- libcurl's end -------------------------------------------------------------------- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_stream *st = arg;
	ssize_t n;

	(void)what;
	if (!st->out && !(st->out = malloc(STREAM_CHUNK)))
		return;
	n = read(fd, st->out, STREAM_CHUNK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		ssh_stream_end(st);
		return;
	}
	http_asked(&st->http);
	st->out_len = (size_t)n;
	st->out_off = 0;
	st->stalled = ssh_now();
	event_del(st->readable); /* until it is sent */
	ssh_kick(st->way);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_stream *st = arg;
	ssize_t n = write(fd, st->in + st->in_off, st->in_len - st->in_off);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		ssh_stream_end(st);
		return;
	}
	st->in_off += (size_t)n;
	if (st->in_off < st->in_len)
		return;
	free(st->in);
	st->in = NULL;
	st->in_len = st->in_off = 0;
	event_del(st->writable);
	ssh_kick(st->way);
}

/* -1: the other end is gone, or there is no memory. */
static int give_local(struct ssh_stream *st, const char *data, size_t len)
{
	ssize_t n = write(st->fd, data, len);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -1;
	if (n < 0)
		n = 0;
	if ((size_t)n == len)
		return 0;
	st->in = malloc(len - (size_t)n);
	if (!st->in)
		return -1;
	memcpy(st->in, data + n, len - (size_t)n);
	st->in_len = len - (size_t)n;
	st->in_off = 0;
	return event_add(st->writable, NULL);
}

/* ---- a channel's data ------------------------------------------------------------------- */

/* After EAGAIN: true where the call must be repeated before all others. */
bool ssh_stream_blocked(struct ssh_stream *st)
{
	struct ssh_way *w = st->way;

	if (!(libssh2_session_block_directions(w->ssh) & LIBSSH2_SESSION_BLOCK_OUTBOUND))
		return false;
	if (!w->blocked)
		w->blocked_at = ssh_now();
	w->blocked = st;
	return true;
}

/* Takes what a channel brought. */
static int take(struct ssh_stream *st, const char *data, size_t len)
{
	size_t room;

	if (st->kind == STREAM_ENGINE) {
		http_answered(&st->http, data, len, ssh_now());
		return give_local(st, data, len);
	}
	room = st->max - st->in_len;
	if (len > room) /* the rest is read and forgotten */
		len = room;
	memcpy(st->in + st->in_len, data, len);
	st->in_len += len;
	return 0;
}

static void take_error(struct ssh_stream *st)
{
	char buf[512];
	ssize_t n;

	while ((n = libssh2_channel_read_stderr(st->channel, buf, sizeof(buf))) > 0) {
		size_t room = sizeof(st->err) - 1 - st->err_len;
		size_t keep = (size_t)n < room ? (size_t)n : room;

		memcpy(st->err + st->err_len, buf, keep);
		st->err_len += keep;
	}
	if (n == LIBSSH2_ERROR_EAGAIN)
		ssh_stream_blocked(st);
}

/* The server will send no more. */
static bool at_end(struct ssh_stream *st)
{
	int rc;

	if (st->kind == STREAM_ENGINE && st->in)
		return true; /* libcurl has not taken all yet */
	if (st->kind != STREAM_ENGINE && st->dial) {
		rc = libssh2_channel_wait_closed(st->channel); /* for its exit status */
		if (rc == LIBSSH2_ERROR_EAGAIN)
			return !ssh_stream_blocked(st);
		ssh_stream_finish(st, libssh2_channel_get_exit_status(st->channel), NULL);
		return true;
	}
	ssh_stream_finish(st, -1, "the connection was closed");
	return true;
}

/* False: the pass ends here. */
static bool pull(struct ssh_stream *st)
{
	struct ssh_way *w = st->way;

	for (int i = 0; i < 16; i++) {
		ssize_t n;

		if (st->state != STREAM_RUN || st->finished || (st->kind == STREAM_ENGINE && st->in))
			return true;
		n = libssh2_channel_read(st->channel, w->scratch, sizeof(w->scratch));
		if (n == LIBSSH2_ERROR_EAGAIN && ssh_stream_blocked(st))
			return false;
		if (n > 0 && take(st, w->scratch, (size_t)n)) {
			ssh_stream_end(st);
			return true;
		}
		if (n > 0)
			continue;
		if (st->dial)
			take_error(st);
		if (w->blocked)
			return false;
		if (n == 0 || n == LIBSSH2_ERROR_EAGAIN) {
			if (st->kind == STREAM_PROBE && st->in_len >= 5)
				ssh_stream_finish(st, memcmp(st->in, "HTTP/", 5) != 0, NULL);
			else if (libssh2_channel_eof(st->channel) == 1)
				return at_end(st);
			return true;
		}
		ssh_stream_finish(st, -1, ssh_last(w));
		return true;
	}
	ssh_kick(w); /* others first */
	return true;
}

static bool push(struct ssh_stream *st)
{
	struct ssh_way *w = st->way;
	ssize_t n;

	st->write_first = false;
	while (st->state == STREAM_RUN && st->out_off < st->out_len) {
		n = libssh2_channel_write(st->channel, st->out + st->out_off,
					  st->out_len - st->out_off);
		if (n == LIBSSH2_ERROR_EAGAIN || n == 0) {
			st->write_first = ssh_stream_blocked(st);
			return !st->write_first;
		}
		if (n < 0) {
			ssh_stream_finish(st, -1, ssh_last(w));
			return true;
		}
		st->out_off += (size_t)n;
		st->stalled = ssh_now();
	}
	if (st->out_off == st->out_len && st->out) {
		free(st->out);
		st->out = NULL;
		st->out_len = st->out_off = 0;
		st->stalled = 0;
		if (st->readable)
			event_add(st->readable, NULL);
	}
	if (st->kind == STREAM_COMMAND && st->state == STREAM_RUN && !st->eof_sent) {
		n = libssh2_channel_send_eof(st->channel);
		if (n == LIBSSH2_ERROR_EAGAIN) {
			st->write_first = ssh_stream_blocked(st);
			return !st->write_first;
		}
		st->eof_sent = true;
	}
	return true;
}

/* False: the session is blocked, or gone. */
static bool step(struct ssh_stream *st)
{
	struct ssh_way *w = st->way;
	int rc;

	if (st->kind == STREAM_FILES && st->state != STREAM_FREE && !ssh_sftp_step(st))
		return false;
	if (st->kind != STREAM_FILES && st->state < STREAM_RUN && !ssh_stream_open(st))
		return false;
	if (st->kind != STREAM_FILES && st->state == STREAM_RUN) {
		if (st->write_first && !push(st))
			return false;
		if (!pull(st) || !push(st))
			return false;
		if (st->state == STREAM_RUN && st->local_gone)
			st->state = STREAM_FREE;
	}
	if (st->state == STREAM_FREE) {
		rc = st->channel ? libssh2_channel_free(st->channel) : 0;
		if (rc == LIBSSH2_ERROR_EAGAIN)
			return !ssh_stream_blocked(st);
		st->channel = NULL;
		stream_free(st);
		ssh_kick(w); /* somebody may wait for its slot */
	}
	return true;
}

/* It stays marked until it got through, so that its time is known. */
static bool retry_blocked(struct ssh_way *w)
{
	struct ssh_stream *st = w->blocked;
	double since = w->blocked_at;

	w->blocked = NULL;
	if (step(st))
		return true;
	w->blocked_at = since;
	return false;
}

void ssh_streams_pass(struct ssh_way *w)
{
	struct ssh_stream *st, *next;

	if (w->blocked && !retry_blocked(w))
		return;
	for (int round = 0; round < 8; round++) {
		w->received = false;
		for (st = TAILQ_FIRST(&w->streams); st; st = next) {
			next = TAILQ_NEXT(st, link);
			if (st->finished && st->done)
				continue; /* its owner is told first */
			if (!step(st))
				return;
		}
		if (!w->received)
			return;
	}
	ssh_kick(w);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct ssh_stream *ssh_stream_new(struct ssh_way *w, enum stream_kind kind, int fd)
{
	struct ssh_stream *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->way = w;
	st->kind = kind;
	st->fd = fd;
	TAILQ_INSERT_TAIL(&w->streams, st, link);
	if (fd >= 0) {
		st->readable = event_new(w->base, fd, EV_READ | EV_PERSIST, on_readable, st);
		st->writable = event_new(w->base, fd, EV_WRITE | EV_PERSIST, on_writable, st);
		if (!st->readable || !st->writable || event_add(st->readable, NULL)) {
			st->fd = -1; /* still the caller's */
			stream_free(st);
			return NULL;
		}
	}
	ssh_kick(w);
	return st;
}

static struct ssh_stream *task(struct ssh_way *w, enum stream_kind kind, size_t max,
			       double seconds, ssh_command_done *done, void *arg)
{
	struct ssh_stream *st = ssh_stream_new(w, kind, -1);

	if (!st)
		return NULL;
	st->max = max;
	st->in = calloc(1, max + 1);
	st->limit = ssh_now() + seconds;
	st->done = done;
	st->arg = arg;
	if (st->in)
		return st;
	stream_free(st);
	return NULL;
}

int ssh_command(struct ssh_way *w, const char *command, size_t max, double seconds,
		ssh_command_done *done, void *arg)
{
	struct ssh_stream *st = task(w, STREAM_COMMAND, max, seconds, done, arg);

	if (!st)
		return -1;
	st->dial = true;
	st->command = strdup(command);
	if (st->command)
		return 0;
	stream_free(st);
	return -1;
}

int ssh_probe(struct ssh_way *w, bool dial, double seconds, ssh_command_done *done, void *arg)
{
	static const char ping[] = "GET /_ping HTTP/1.1\r\nHost: docker\r\n"
				   "Connection: close\r\n\r\n";
	struct ssh_stream *st = task(w, STREAM_PROBE, 256, seconds, done, arg);

	if (!st)
		return -1;
	st->dial = dial;
	st->out = malloc(sizeof(ping));
	if (!st->out) {
		stream_free(st);
		return -1;
	}
	memcpy(st->out, ping, sizeof(ping));
	st->out_len = sizeof(ping) - 1;
	return 0;
}

void ssh_streams_report(struct ssh_way *w)
{
	struct ssh_stream *st;

	do {
		TAILQ_FOREACH(st, &w->streams, link)
			if (st->finished && st->done)
				break;
		if (st) {
			ssh_command_done *done = st->done;
			struct ssh_command_result r = {
				.out = st->in,
				.len = st->in_len,
				.err = st->err,
				.status = st->status,
				.failed = st->failed,
			};

			st->done = NULL;
			done(w, st->arg, &r);
			if (w->phase == SSH_DEAD)
				return;
			ssh_stream_end(st);
		}
	} while (st);
}

void ssh_streams_tick(struct ssh_way *w)
{
	struct ssh_stream *st, *next;
	double now = ssh_now();

	for (st = TAILQ_FIRST(&w->streams); st; st = next) {
		next = TAILQ_NEXT(st, link);
		if (st->limit && now > st->limit)
			ssh_stream_finish(st, -1, "no answer in time");
		if (!st->stalled || now - st->stalled < stall_most || st->state != STREAM_RUN)
			continue;
		if (w->blocked) {
			ssh_fail(w, false, "%s takes nothing any more: a stalled connection is given up",
				 w->target->where);
			return;
		}
		ssh_stream_end(st);
	}
	if (w->blocked && now - w->blocked_at > stall_most)
		ssh_fail(w, false, "%s takes nothing any more: a stalled connection is given up",
			 w->target->where);
}

bool ssh_streams_listen(const struct ssh_way *w)
{
	const struct ssh_stream *st;

	TAILQ_FOREACH(st, &w->streams, link)
		if (st->state != STREAM_WAIT && !(st->kind == STREAM_ENGINE && st->in) &&
		    (st->kind != STREAM_FILES || ssh_sftp_busy(w)))
			return true;
	return false;
}

void ssh_streams_hang_up(struct ssh_way *w)
{
	struct ssh_stream *st;

	TAILQ_FOREACH(st, &w->streams, link)
		local_close(st);
}

void ssh_streams_drop(struct ssh_way *w)
{
	while (!TAILQ_EMPTY(&w->streams))
		stream_free(TAILQ_FIRST(&w->streams));
}
