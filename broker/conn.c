/* conn.c - the bytes of one connection; see conn.h. */
#include "conn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "../shm/log.h"

enum { PREFIX = 4, AT_ONCE = 1 << 20, SMALL = 4096, SOCKET_HOLDS = 208 << 10 };

size_t conn_unread(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev));
}

/* What waits for it counts no more. */
static void uncount(struct conn *c)
{
	if (c->counting)
		evbuffer_remove_cb_entry(bufferevent_get_output(c->bev), c->counting);
	c->counting = NULL;
	c->s->stats.unread -= conn_unread(c);
}

void conn_doom(struct conn *c)
{
	if (c->doomed)
		return;
	c->doomed = c->closing = true;
	c->s->doomed++;
	uncount(c);
	serve_work(c->s);
}

/* ---- in ------------------------------------------------------------------- */

static uint32_t prefix_of(struct evbuffer *in)
{
	uint8_t p[PREFIX];

	evbuffer_copyout(in, p, sizeof(p));
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool whole(struct evbuffer *in)
{
	size_t have = evbuffer_get_length(in);

	return have >= PREFIX && have - PREFIX >= prefix_of(in);
}

static void complain(struct conn *c, const char *why)
{
	struct protocol_reply r = {.rc = DCM_EINVAL, .error = {why, (uint32_t)strlen(why)}};

	c->s->stats.malformed++;
	conn_reply(c, &r, true);
}

bool conn_ready(const struct conn *c)
{
	return !c->closing && c->n_jobs < JOBS_MAX && conn_unread(c) < OUT_LOW &&
	       whole(bufferevent_get_input(c->bev));
}

void conn_queue(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	size_t have = evbuffer_get_length(in);

	if (c->closing)
		return;
	if (have >= PREFIX && (prefix_of(in) == 0 || prefix_of(in) > PROTOCOL_REQUEST_MAX)) {
		complain(c, "not a request: its length is not between 1 and 65536");
		return;
	}
	if (have == 0 || whole(in))
		c->half_since = 0;
	else if (!c->half_since)
		c->half_since = serve_now_us();
	if (c->waiting || !conn_ready(c))
		return;
	c->waiting = true;
	TAILQ_INSERT_TAIL(&c->s->line, c, in_line);
	serve_work(c->s);
}

void conn_serve(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	struct serve *s = c->s;
	uint32_t len = prefix_of(in);

	evbuffer_drain(in, PREFIX);
	evbuffer_remove(in, s->body, len);
	if (protocol_decode_request(s->body, len, &s->request))
		reply_to(c, &s->request);
	else
		complain(c, "not a request of version 1 of this protocol; see docs/protocol.md");
}

static void on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	conn_queue(arg);
}

/* ---- out ------------------------------------------------------------------ */

static void count(struct evbuffer *b, const struct evbuffer_cb_info *i, void *arg)
{
	struct conn *c = arg;

	(void)b;
	c->s->stats.unread += i->n_added;
	c->s->stats.unread -= i->n_deleted;
	if (i->n_deleted || i->orig_size == 0)
		c->read_at = serve_now_us();
}

/* The one that has not read for longest makes room for the others. */
static bool make_room(struct serve *s, const struct conn *but)
{
	struct conn *c, *worst = NULL;

	TAILQ_FOREACH(c, &s->all, in_all)
		if (c != but && !c->doomed && conn_unread(c) &&
		    (!worst || c->read_at < worst->read_at))
			worst = c;
	if (!worst)
		return false;
	log_msg(LOG_LEVEL_DEBUG, "client_dropped", NULL,
		"clients have not read %zu bytes of replies: the slowest one was closed",
		s->stats.unread);
	s->stats.dropped++;
	conn_doom(worst);
	return true;
}

static void free_data(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	free(arg);
}

static bool send_buf(struct conn *c, struct record_buf *b)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	int rc;

	if (b->len <= SMALL) {
		rc = evbuffer_add(out, b->data, b->len);
		record_buf_free(b);
		return rc == 0;
	}
	while (c->s->stats.unread + b->len > OUT_ALL_MAX && make_room(c->s, c))
		;
	rc = evbuffer_add_reference(out, b->data, b->len, free_data, b->data);
	if (rc)
		record_buf_free(b);
	return rc == 0;
}

void conn_reply(struct conn *c, const struct protocol_reply *r, bool last)
{
	static const char too_large[] = "the answer is too large for the broker: scan";
	struct protocol_reply less = {.id = r->id, .rc = DCM_EBROKER,
				      .error = {too_large, sizeof(too_large) - 1}};
	struct record_buf b = {0};
	int rc;

	if (c->closing)
		return;
	c->closing = last;
	rc = protocol_encode_reply(r, &b);
	if (rc)
		rc = protocol_encode_reply(&less, &b);
	if (rc || !send_buf(c, &b)) {
		record_buf_free(&b);
		conn_doom(c);
	}
}

void conn_notice(struct conn *c)
{
	static const struct protocol_reply notice = {.notice = true};
	int unread = 0;

	if (conn_unread(c))
		return;
	if (ioctl(bufferevent_getfd(c->bev), SIOCOUTQ, &unread) == 0 && unread > 0)
		return;
	conn_reply(c, &notice, false);
}

/* Everything was sent: a bufferevent says so when its output is empty. */
static void on_write(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (c->closing)
		conn_doom(c);
	else
		conn_queue(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what; /* the end, or an error */
	conn_doom(arg);
}

/* ---- the whole ------------------------------------------------------------ */

struct conn *conn_new(struct serve *s, int fd, uid_t uid, bool may_act)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c)
		c->bev = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->bev) {
		free(c);
		close(fd);
		return NULL;
	}
	/* Twice what is usual, since the kernel doubles it: a long answer takes half as many
	 * turns of us and its reader. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){SOCKET_HOLDS}, sizeof(int));
	c->s = s;
	c->uid = uid;
	c->may_act = may_act;
	bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, PREFIX + PROTOCOL_REQUEST_MAX);
	bufferevent_set_max_single_write(c->bev, AT_ONCE);
	bufferevent_set_max_single_read(c->bev, PREFIX + PROTOCOL_REQUEST_MAX);
	c->counting = evbuffer_add_cb(bufferevent_get_output(c->bev), count, c);
	if (!c->counting) {
		bufferevent_free(c->bev);
		free(c);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&s->all, c, in_all);
	s->stats.conns++;
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	return c;
}

void conn_free(struct conn *c)
{
	struct serve *s = c->s;

	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (c->jobs[i].job)
			requests_cancel(c->jobs[i].job);
	if (c->waiting)
		TAILQ_REMOVE(&s->line, c, in_line);
	TAILQ_REMOVE(&s->all, c, in_all);
	s->stats.conns--;
	s->stats.subscribers -= c->subscribed;
	if (c->doomed)
		s->doomed--;
	else
		uncount(c);
	bufferevent_free(c->bev);
	free(c);
}
