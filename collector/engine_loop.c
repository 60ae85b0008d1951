/*
 * engine_loop.c - drives libcurl's multi handle by libevent.
 *
 * libcurl tells which sockets and which time it waits for; each wake-up is one
 * curl_multi_socket_action().  Only after it returned are stream data and
 * finished requests handed to their callbacks: never inside libcurl, so a
 * callback may start, cancel and close whatever it likes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "engine_impl.h"

static const double more_after = 1; /* s: then some more are tried */

static void engine_act(struct engine *e, curl_socket_t fd, int what);

static void on_socket_event(evutil_socket_t fd, short what, void *arg)
{
	engine_act(arg, fd,
		   (what & EV_READ ? CURL_CSELECT_IN : 0) |
		       (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

/* libcurl says when TLS is done, but not when there is a connection for it. */
static void note_connected(CURL *easy, curl_socket_t fd)
{
	struct engine_request *q = NULL;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&q);
	/* the resolver's own pair is of unix sockets, too */
	if (q && !q->connected && !getpeername(fd, (struct sockaddr *)&peer, &len))
		q->connected = peer.ss_family != AF_UNIX;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *watch)
{
	struct engine *e = arg;
	struct event *ev = watch;
	short events = (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) |
			       (what & CURL_POLL_OUT ? EV_WRITE : 0));

	if (what & CURL_POLL_IN)
		note_connected(easy, fd);
	if (ev && event_get_events(ev) == events && what != CURL_POLL_REMOVE)
		return 0;
	if (ev)
		event_free(ev);
	ev = NULL;
	if (what != CURL_POLL_REMOVE) {
		ev = event_new(e->base, fd, events, on_socket_event, e);
		if (!ev || event_add(ev, NULL))
			return -1;
	}
	curl_multi_assign(e->multi, fd, ev);
	return 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	engine_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wanted(CURLM *multi, long ms, void *arg)
{
	struct engine *e = arg;

	(void)multi;
	if (ms < 0)
		event_del(e->timer);
	else
		event_add(e->timer, &(struct timeval){ms / 1000, ms % 1000 * 1000});
	return 0;
}

/* libcurl counts those in use, too: while a burst is longer than its width, each
 * connection is kept for the next request; when it ends, they go one by one. */
static void count_running(struct engine *e, int more)
{
	unsigned keep;

	e->running += (unsigned)more;
	keep = e->running > ENGINE_IDLE_CONNECTIONS ? e->running : ENGINE_IDLE_CONNECTIONS;
	if (keep != e->kept)
		curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)keep);
	e->kept = keep;
}

struct engine *engine_open(struct event_base *base, const struct transport_ops *ops,
			   struct transport *t, const char *where, double connect_timeout,
			   double request_timeout)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->base = base;
	e->ops = ops;
	e->transport = t;
	e->connect_timeout = connect_timeout;
	e->request_timeout = request_timeout;
	e->most = ENGINE_CONNECTIONS;
	snprintf(e->where, sizeof(e->where), "%s", where);
	TAILQ_INIT(&e->waiting);
	TAILQ_INIT(&e->later);
	TAILQ_INIT(&e->active);
	TAILQ_INIT(&e->streams);
	e->multi = curl_multi_init();
	e->timer = evtimer_new(base, on_timer, e);
	if (!e->multi || !e->timer) {
		engine_close(&e);
		return NULL;
	}
	curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e);
	curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
	curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
	curl_multi_setopt(e->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	count_running(e, 0);
	return e;
}

static void engine_free(struct engine *e)
{
	while (e->n_spare)
		curl_easy_cleanup(e->spare[--e->n_spare]);
	if (e->multi)
		curl_multi_cleanup(e->multi);
	if (e->timer)
		event_free(e->timer);
	free(e);
}

static void drop_all(struct engine_requests *list)
{
	struct engine_request *q;

	while ((q = TAILQ_FIRST(list)))
		engine_cancel(q);
}

void engine_close(struct engine **engine)
{
	struct engine *e = *engine;

	*engine = NULL;
	if (!e)
		return;
	e->dead = true;
	drop_all(&e->waiting);
	drop_all(&e->later);
	drop_all(&e->active);
	drop_all(&e->streams);
	if (e->depth == 0)
		engine_free(e);
}

/* ---- a request's life ---------------------------------------------------------- */

static struct engine_requests *list_of(struct engine_request *q)
{
	if (!q->easy)
		return q->later ? &q->engine->later : &q->engine->waiting;
	return q->chunk ? &q->engine->streams : &q->engine->active;
}

static int begin(struct engine_request *q)
{
	struct engine *e = q->engine;

	q->easy = e->n_spare ? e->spare[--e->n_spare] : curl_easy_init();
	if (!q->easy)
		return -1;
	if (engine_request_prepare(q) || curl_multi_add_handle(e->multi, q->easy)) {
		curl_easy_cleanup(q->easy);
		q->easy = NULL;
		return -1;
	}
	e->requests++;
	TAILQ_INSERT_TAIL(list_of(q), q, link);
	return 0;
}

static unsigned transport_carries(const struct engine *e)
{
	return e->ops->connections ? e->ops->connections(e->transport) : 0;
}

bool engine_is_narrow(const struct engine *e)
{
	return transport_carries(e) > 0;
}

static bool is_full(const struct engine *e, bool later)
{
	unsigned most = transport_carries(e);

	if (!most || most > e->most)
		return e->running >= e->most;
	/* of three or fewer none can be kept free */
	return e->running >= (later && most > 3 ? most - 1 : most);
}

/* A ping first. */
static void queue_up(struct engine_request *q)
{
	if (q->headers)
		TAILQ_INSERT_HEAD(list_of(q), q, link);
	else
		TAILQ_INSERT_TAIL(list_of(q), q, link);
}

struct engine_request *engine_request_start(struct engine_request *q, bool at_once)
{
	struct engine *e = q->engine;

	q->counted = !at_once;
	if (q->counted && is_full(e, q->later)) {
		queue_up(q);
		return q;
	}
	if (begin(q)) {
		free(q);
		return NULL;
	}
	if (q->counted)
		count_running(e, 1);
	return q;
}

void engine_request_retire(struct engine_request *q)
{
	struct engine *e = q->engine;

	TAILQ_REMOVE(list_of(q), q, link);
	if (!q->easy)
		return;
	curl_multi_remove_handle(e->multi, q->easy);
	if (e->n_spare < sizeof(e->spare) / sizeof(e->spare[0]) && !e->dead) {
		curl_easy_reset(q->easy);
		e->spare[e->n_spare++] = q->easy;
	} else {
		curl_easy_cleanup(q->easy);
	}
	q->easy = NULL;
	if (q->counted)
		count_running(e, -1);
}

bool engine_request_wait(struct engine_request *q)
{
	struct engine *e = q->engine;

	if (!q->counted || e->running < 2 || e->dead)
		return false;
	engine_request_retire(q);
	e->most = e->running;
	q->starved = false;
	TAILQ_INSERT_HEAD(list_of(q), q, link);
	return true;
}

/* A descriptor may have come free since. */
static void try_more(struct engine *e)
{
	if (e->most < ENGINE_CONNECTIONS && mono_now() - e->more_at > more_after) {
		e->most += 1 + e->most / 4;
		e->more_at = mono_now();
	}
}

void engine_cancel(struct engine_request *q)
{
	if (!q)
		return;
	engine_request_retire(q);
	free(q->body);
	free(q);
}

/* ---- after libcurl has returned -------------------------------------------------- */

static struct engine_request *stream_with_news(struct engine *e)
{
	struct engine_request *q;

	TAILQ_FOREACH(q, &e->streams, link)
		if (q->opened || q->fresh)
			return q;
	return NULL;
}

/* Hands over what a stream got.  The callback may have cancelled it: then it is
 * no longer in the list, and must not be touched. */
static void hand_over(struct engine_request *q)
{
	struct engine *e = q->engine;
	struct engine_request *s;
	bool opened = q->opened;
	long took;

	q->opened = false;
	if (opened) {
		q->chunk(q->arg, NULL, 0);
		return; /* what is fresh is found at the next look, if it still lives */
	}
	q->fresh = false;
	took = q->chunk(q->arg, q->body, q->len);
	TAILQ_FOREACH(s, &e->streams, link)
		if (s == q)
			break;
	if (!s || e->dead)
		return;
	if (took < 0 || (size_t)took > q->len)
		took = -1;
	if (took > 0) {
		memmove(q->body, q->body + took, q->len - (size_t)took);
		q->len -= (size_t)took;
	}
	if (took < 0 || q->len > ENGINE_LINE_MAX) {
		q->too_long = q->len > ENGINE_LINE_MAX;
		engine_request_finish(q, CURLE_WRITE_ERROR);
	}
}

static struct engine_request *next_waiting(struct engine *e)
{
	if (!TAILQ_EMPTY(&e->waiting))
		return is_full(e, false) ? NULL : TAILQ_FIRST(&e->waiting);
	return is_full(e, true) ? NULL : TAILQ_FIRST(&e->later);
}

static void start_waiting(struct engine *e)
{
	struct engine_request *q;

	while (!e->dead && (q = next_waiting(e))) {
		struct engine_requests *list = list_of(q);

		TAILQ_REMOVE(list, q, link);
		if (begin(q)) {
			TAILQ_INSERT_HEAD(list, q, link);
			engine_request_finish(q, CURLE_OUT_OF_MEMORY);
		} else {
			count_running(e, 1);
		}
	}
}

static void engine_act(struct engine *e, curl_socket_t fd, int what)
{
	struct engine_request *q;
	CURLMsg *m;
	int n;

	e->depth++;
	curl_multi_socket_action(e->multi, fd, what, &n);
	while (!e->dead && (q = stream_with_news(e)))
		hand_over(q);
	while (!e->dead && (m = curl_multi_info_read(e->multi, &n))) {
		CURLcode rc = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&q);
		engine_request_finish(q, rc);
	}
	try_more(e);
	start_waiting(e);
	if (--e->depth == 0 && e->dead)
		engine_free(e);
}

double engine_last_answer(const struct engine *e)
{
	return e->last_answer;
}

double engine_starved(const struct engine *e)
{
	return e->starved_at;
}

uint64_t engine_requests(const struct engine *e)
{
	return e->requests;
}
