/* serve.c - accepting connections, the line in which they wait, and notices; see
 * serve.h. */
#include "serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../shm/log.h"
#include "conn.h"

enum {
	ACCEPT_AT_ONCE = 32,
	FILES_KEPT = 64, /* descriptors for everything but connections */
};

uint64_t serve_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- accepting ------------------------------------------------------------ */

static bool in_group(int fd, gid_t gid)
{
	gid_t few[64], *groups = few;
	socklen_t len = sizeof(few);
	int rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len);
	bool found = false;

	if (rc && errno == ERANGE && (groups = malloc(len)))
		rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len);
	for (size_t i = 0; rc == 0 && i < len / sizeof(groups[0]) && !found; i++)
		found = groups[i] == gid;
	if (groups != few)
		free(groups);
	return found;
}

/* Who connected, as the kernel knows it from when it did.  The socket's mode lets in
 * those that may read; this holds if somebody changed it. */
struct peer {
	uid_t uid;
	bool ours; /* root, or the user of dcmd */
	bool may_read, may_act;
};

static struct peer peer_of(const struct serve *s, int fd)
{
	const struct child_env *env = s->env;
	struct peer p = {.uid = (uid_t)-1};
	struct ucred c;
	socklen_t len = sizeof(c);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len))
		return p;
	p.uid = c.uid;
	p.ours = c.uid == 0 || c.uid == env->uid;
	p.may_read = p.ours || c.gid == env->gid || in_group(fd, env->gid);
	p.may_act = p.ours || !env->refresh_group || c.gid == env->refresh_gid ||
		    in_group(fd, env->refresh_gid);
	return p;
}

/* One who takes all places that one may have leaves some to the others. */
static bool crowds(const struct serve *s, const struct peer *p)
{
	uint32_t most = s->conns_max / 4 * 3, n = 0;
	struct conn *c;

	if (p->ours || s->stats.conns < most)
		return false;
	TAILQ_FOREACH(c, &s->all, in_all)
		n += c->uid == p->uid;
	return n >= most;
}

/* One reply into the empty socket of somebody who is not let in. */
static void turn_away(struct serve *s, int fd, int rc, const char *why)
{
	struct protocol_reply r = {.rc = rc, .error = {why, (uint32_t)strlen(why)}};
	struct record_buf b = {0};
	ssize_t sent = 0;

	if (protocol_encode_reply(&r, &b) == 0)
		sent = send(fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)sent; /* it is closed either way */
	record_buf_free(&b);
	close(fd);
	s->stats.refused++;
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
	static const struct timeval later = {0, 100000};
	struct serve *s = arg;
	struct peer p;

	(void)what;
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
			/* It stays readable: look again later, not at once. */
			event_del(s->accepting);
			event_add(s->resuming, &later);
		}
		if (fd < 0)
			return;
		s->stats.accepted++;
		p = peer_of(s, fd);
		if (!p.may_read)
			turn_away(s, fd, DCM_EACCESS, "this dcmd does not answer your user");
		else if (s->stats.conns >= s->conns_max)
			turn_away(s, fd, DCM_EBUSY, "the broker has all the connections it "
						    "can have: close some");
		else if (crowds(s, &p))
			turn_away(s, fd, DCM_EBUSY, "your user has all the connections to the "
						    "broker that one may have: close some");
		else
			conn_new(s, fd, p.uid, p.may_act);
	}
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;

	(void)fd;
	(void)what;
	event_add(s->accepting, NULL);
}

/* ---- the line ------------------------------------------------------------- */

static void free_doomed(struct serve *s)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->all); c && s->doomed; c = next) {
		next = TAILQ_NEXT(c, in_all);
		if (c->doomed)
			conn_free(c);
	}
}

/* A timer, so that whatever else came has its turn before. */
void serve_work(struct serve *s)
{
	static const struct timeval at_once = {0, 0};

	event_add(s->working, &at_once);
}

static void on_work(evutil_socket_t fd, short what, void *arg)
{
	uint64_t until = serve_now_us() + SLICE_US;
	struct serve *s = arg;
	struct conn *c;

	(void)fd;
	(void)what;
	while ((c = TAILQ_FIRST(&s->line))) {
		TAILQ_REMOVE(&s->line, c, in_line);
		c->waiting = false;
		if (conn_ready(c)) {
			conn_serve(c);
			conn_queue(c);
		}
		if (serve_now_us() >= until)
			break;
	}
	free_doomed(s);
	if (!TAILQ_EMPTY(&s->line))
		serve_work(s);
}

/* ---- notices -------------------------------------------------------------- */

static void on_notice(evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;
	struct conn *c;

	(void)fd;
	(void)what;
	s->noticed_us = serve_now_us();
	TAILQ_FOREACH(c, &s->all, in_all)
		if (c->subscribed)
			conn_notice(c);
}

void serve_changed(struct serve *s)
{
	uint64_t now = serve_now_us(), due = s->noticed_us + NOTICE_GAP_US;
	struct timeval tv = {0, now < due ? (suseconds_t)(due - now) : 0};

	if (!s->stats.subscribers || evtimer_pending(s->noticing, NULL))
		return;
	if (now >= due)
		on_notice(-1, 0, s);
	else
		event_add(s->noticing, &tv);
}

/* Clients can make much of this: one line a minute at most. */
static void tell_log(struct serve *s, uint64_t now)
{
	const struct serve_stats *a = &s->told, *b = &s->stats;

	if (now - s->told_us < LOG_GAP_S * 1000000ull ||
	    (a->refused == b->refused && a->dropped == b->dropped && a->malformed == b->malformed))
		return;
	log_event(LOG_LEVEL_WARN, "clients_bad", NULL,
		  LF_INT("refused", (int64_t)(b->refused - a->refused)),
		  LF_INT("dropped", (int64_t)(b->dropped - a->dropped)),
		  LF_INT("malformed", (int64_t)(b->malformed - a->malformed)),
		  LF_INT("connections", b->conns), LF_INT("queries", (int64_t)b->queries),
		  LF_INT("behind", (int64_t)b->behind));
	s->told = *b;
	s->told_us = now;
}

void serve_tick(struct serve *s)
{
	uint64_t now = serve_now_us(), limit = STALL_S * 1000000ull;
	struct conn *c;

	TAILQ_FOREACH(c, &s->all, in_all) {
		bool half = c->half_since && now - c->half_since > limit;
		bool unread = conn_unread(c) && now - c->read_at > limit;

		if (c->doomed || (!half && !unread))
			continue;
		log_msg(LOG_LEVEL_DEBUG, "client_dropped", NULL, "%s for %d s",
			half ? "half a request stood there" : "a reply was not read", STALL_S);
		s->stats.dropped++;
		conn_doom(c);
	}
	tell_log(s, now);
}

/* ---- the whole ------------------------------------------------------------ */

/* As many connections as descriptors allow. */
static uint32_t conns_allowed(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return CONNS_MAX / 4;
	if (l.rlim_cur < CONNS_MAX + FILES_KEPT && l.rlim_cur < l.rlim_max) {
		l.rlim_cur =
		    l.rlim_max < CONNS_MAX + FILES_KEPT ? l.rlim_max : CONNS_MAX + FILES_KEPT;
		if (setrlimit(RLIMIT_NOFILE, &l) && getrlimit(RLIMIT_NOFILE, &l))
			return CONNS_MAX / 4;
	}
	if (l.rlim_cur >= CONNS_MAX + FILES_KEPT)
		return CONNS_MAX;
	return l.rlim_cur > FILES_KEPT * 2 ? (uint32_t)l.rlim_cur - FILES_KEPT : FILES_KEPT / 2;
}

struct serve *serve_new(struct event_base *base, const struct child_env *env, struct follow *f,
			struct requests *r)
{
	struct serve *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base = base;
	s->env = env;
	s->follow = f;
	s->requests = r;
	s->conns_max = conns_allowed();
	TAILQ_INIT(&s->all);
	TAILQ_INIT(&s->line);
	s->accepting = event_new(base, env->listener, EV_READ | EV_PERSIST, on_accept, s);
	s->resuming = evtimer_new(base, on_resume, s);
	s->working = evtimer_new(base, on_work, s);
	s->noticing = evtimer_new(base, on_notice, s);
	if (!s->accepting || !s->resuming || !s->working || !s->noticing ||
	    event_add(s->accepting, NULL))
		serve_free(&s);
	return s;
}

void serve_free(struct serve **p)
{
	struct serve *s = *p;
	struct conn *c;

	*p = NULL;
	if (!s)
		return;
	while ((c = TAILQ_FIRST(&s->all)))
		conn_free(c);
	if (s->accepting)
		event_free(s->accepting);
	if (s->resuming)
		event_free(s->resuming);
	if (s->working)
		event_free(s->working);
	if (s->noticing)
		event_free(s->noticing);
	free(s);
}
