/*
 * transport_ssh_open.c - a stream's channel: its turn, its slot, its opening.
 *
 * One channel opens at a time.  Exec channels are counted: sshd's MaxSessions
 * counts them, and one more would fail; how many it allows is learned from that, but
 * not below two: one that just closed may still count there, and is waited for.
 * A connection that libcurl keeps for later gives its slot to one that waits.
 */
#include <string.h>

#include "transport_ssh_session.h"

static const double forward_pause = 30; /* s between tries of the direct way */
static const double idle_least = 0.1;	/* s of quiet before a slot is taken away */
static const double refused_pause = 0.2; /* s until sshd is asked again */
static const double still_counted = 1;	/* s that sshd may count a channel that is closed */
static const double one_is_too_few = 5; /* s that no second channel can be had */

static size_t put_string(char *out, const char *s)
{
	size_t n = strlen(s);

	out[0] = (char)(n >> 24);
	out[1] = (char)(n >> 16);
	out[2] = (char)(n >> 8);
	out[3] = (char)n;
	memcpy(out + 4, s, n);
	return n + 4;
}

static LIBSSH2_CHANNEL *open_channel(struct ssh_way *w, bool dial)
{
	static const char session[] = "session", direct[] = "direct-streamlocal@openssh.com";
	char message[512];
	size_t n = 0;

	if (dial)
		return libssh2_channel_open_ex(w->ssh, session, sizeof(session) - 1, STREAM_WINDOW,
					       LIBSSH2_CHANNEL_PACKET_DEFAULT, NULL, 0);
	/* string path, string reserved, uint32 reserved: OpenSSH's PROTOCOL, 2.4 */
	n = put_string(message, ssh_engine(w));
	memset(message + n, 0, 8);
	return libssh2_channel_open_ex(w->ssh, direct, sizeof(direct) - 1, STREAM_WINDOW,
				       LIBSSH2_CHANNEL_PACKET_DEFAULT, message,
				       (unsigned)(n + 8));
}

static unsigned exec_channels(const struct ssh_way *w)
{
	const struct ssh_stream *st;
	unsigned n = 0;

	TAILQ_FOREACH(st, &w->streams, link)
		n += st->dial && st->state != STREAM_WAIT;
	return n;
}

/* An idle connection gives its slot away: libcurl makes a new one when it needs one. */
static void make_slot(struct ssh_way *w)
{
	struct ssh_stream *st;
	double now = ssh_now();

	ssh_timer(w->deadline, idle_least); /* to look again */
	TAILQ_FOREACH(st, &w->streams, link)
		if (st->dial && st->state == STREAM_FREE)
			return; /* there is one soon */
	TAILQ_FOREACH(st, &w->streams, link)
		if (st->kind == STREAM_ENGINE && st->dial && st->state == STREAM_RUN && !st->in &&
		    !st->out && http_idle(&st->http, now - idle_least)) {
			ssh_stream_end(st);
			return;
		}
}

static bool may_open(struct ssh_way *w, struct ssh_stream *st)
{
	if (w->opening)
		return false;
	if (st->kind == STREAM_ENGINE) {
		st->dial = w->dial;
		if (w->dial && ssh_engine(w)[0] && ssh_now() >= w->forward_again) {
			w->forward_again = ssh_now() + forward_pause;
			st->dial = false;
		}
	}
	if (st->dial && ssh_now() < w->refused_until) {
		ssh_timer(w->deadline, refused_pause);
		return false;
	}
	if (!st->dial || exec_channels(w) < w->dial_most)
		return true;
	make_slot(w);
	return false;
}

/* MaxSessions: what is open is what there is, unless one of them just closed. */
static void refused(struct ssh_way *w, unsigned others)
{
	double now = ssh_now();

	if (!w->refused_at)
		w->refused_at = now;
	if (others >= 2 && now - w->freed_at > still_counted)
		w->dial_most = others;
	w->refused_until = now + refused_pause;
	ssh_timer(w->deadline, refused_pause);
	if (others < 2 && w->phase == SSH_UP && now - w->refused_at > one_is_too_few)
		ssh_fail(w, false,
			 "%s opens no second session, its MaxSessions is reached: raise it, or "
			 "allow forwarding to the socket",
			 w->target->where);
}

static void open_failed(struct ssh_way *w, struct ssh_stream *st)
{
	unsigned others = exec_channels(w) - st->dial;

	w->opening = NULL;
	st->state = st->local_gone ? STREAM_FREE : STREAM_WAIT;
	if (st->local_gone)
		return;
	if (st->kind == STREAM_ENGINE && !st->dial && w->dial)
		return; /* it was only tried; by dial-stdio, then */
	if (st->dial && (others || ssh_now() - w->freed_at < still_counted)) {
		refused(w, others);
		return;
	}
	ssh_stream_finish(st, -1, ssh_last(w));
}

bool ssh_stream_open(struct ssh_stream *st)
{
	struct ssh_way *w = st->way;
	int rc;

	if (st->state == STREAM_WAIT) {
		if (!may_open(w, st))
			return true;
		st->state = STREAM_OPEN;
		w->opening = st;
	}
	if (st->state == STREAM_OPEN) {
		st->channel = open_channel(w, st->dial);
		if (!st->channel) {
			if (libssh2_session_last_errno(w->ssh) == LIBSSH2_ERROR_EAGAIN)
				return !ssh_stream_blocked(st);
			open_failed(w, st);
			return true;
		}
		st->state = st->dial ? STREAM_EXEC : STREAM_RUN;
		if (st->dial && exec_channels(w) > 1)
			w->refused_at = 0;
		if (st->kind == STREAM_ENGINE && !st->dial)
			w->dial = false;
	}
	if (st->state == STREAM_EXEC) {
		const char *command = st->command ? st->command : w->target->dial;

		rc = libssh2_channel_process_startup(st->channel, "exec", 4, command,
						     (unsigned)strlen(command));
		if (rc == LIBSSH2_ERROR_EAGAIN)
			return !ssh_stream_blocked(st);
		st->state = STREAM_RUN;
		if (rc)
			ssh_stream_finish(st, -1, ssh_last(w));
	}
	w->opening = NULL;
	ssh_kick(w); /* the next one's turn */
	if (st->local_gone)
		st->state = STREAM_FREE;
	return true;
}
