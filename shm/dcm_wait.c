/*
 * dcm_wait.c - being told that something was published.
 *
 * The broker tells a subscriber at once.  Without it there is a futex on one of
 * the shards, and a look at the others every SLICE_MS.  A descriptor for event
 * loops is an epoll over the subscription and a timer, so it stays the same
 * while brokers come and go.
 */
#include "dcm_follow.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "protocol.h"

enum {
	SLICE_MS = 20,	/* between looks where nobody tells us */
	TOLD_MS = 1000, /* and where the broker does */
	ONE_MS = 200,	/* and where one host is waited for, by its own futex */
	CONNECT_MS = 20,
};
static const double SUBSCRIBE_AGAIN = 1.0; /* s */

#define ld(p) atomic_load_explicit((p), memory_order_acquire)

/* ---- the subscription --------------------------------------------------- */

static void timer_set(struct dcm_follow *f, int ms)
{
	struct itimerspec t = {{ms / 1000, ms % 1000 * 1000000}, {ms / 1000, ms % 1000 * 1000000}};

	if (f->timer < 0 || f->timer_ms == ms)
		return;
	timerfd_settime(f->timer, 0, &t, NULL);
	f->timer_ms = ms;
}

static void told_end(struct dcm_follow *f)
{
	close(f->told); /* epoll forgets it by itself */
	f->told = -1;
	f->subscribe_at = dcm_monotonic() + SUBSCRIBE_AGAIN;
	timer_set(f, SLICE_MS);
}

/* Subscribes where it is time to; the reply is heard as a first notice. */
static void subscribe(dcm *d, struct dcm_follow *f)
{
	struct protocol_request *q;
	struct epoll_event ev = {.events = EPOLLIN};
	struct record_buf b = {0};
	bool sent;

	if (f->told >= 0 || d->flags & DCM_NO_BROKER || dcm_monotonic() < f->subscribe_at)
		return;
	f->subscribe_at = dcm_monotonic() + SUBSCRIBE_AGAIN;
	q = dcm_broker_request(d);
	if (!q)
		return;
	q->op = PROTOCOL_SUBSCRIBE;
	q->id = 1;
	f->told = dcm_broker_connect(d, CONNECT_MS);
	if (f->told < 0)
		return;
	sent = protocol_encode_request(q, &b) == 0 &&
	       send(f->told, b.data, b.len, MSG_NOSIGNAL) == (ssize_t)b.len;
	record_buf_free(&b);
	if (!sent || (f->fd >= 0 && epoll_ctl(f->fd, EPOLL_CTL_ADD, f->told, &ev) < 0))
		told_end(f);
	else
		timer_set(f, TOLD_MS);
}

bool dcm_hear(struct dcm_follow *f)
{
	char bytes[4096];
	uint64_t ticks;
	bool heard = false;

	while (f->told >= 0) {
		/* What a notice says is of no matter: it means, look. */
		ssize_t n = recv(f->told, bytes, sizeof(bytes), 0);

		if (n > 0)
			heard = true;
		else if (n < 0 && errno == EAGAIN)
			break;
		else if (n == 0 || errno != EINTR)
			told_end(f);
	}
	if (f->timer >= 0 && read(f->timer, &ticks, sizeof(ticks)) == sizeof(ticks))
		heard = true;
	return heard;
}

int dcm_changes_fd(dcm *d)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct dcm_follow *f;

	if (dcm_follow_begin(d, &f) != DCM_OK)
		return -1;
	if (f->fd >= 0)
		return f->fd;
	f->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	f->fd = epoll_create1(EPOLL_CLOEXEC);
	if (f->timer < 0 || f->fd < 0 || epoll_ctl(f->fd, EPOLL_CTL_ADD, f->timer, &ev) < 0 ||
	    (f->told >= 0 && epoll_ctl(f->fd, EPOLL_CTL_ADD, f->told, &ev) < 0)) {
		dcm_fail(d, DCM_ESYSTEM, "cannot make a descriptor to wait on: %s",
			 strerror(errno));
		if (f->timer >= 0)
			close(f->timer);
		if (f->fd >= 0)
			close(f->fd);
		f->timer = f->fd = -1;
		return -1;
	}
	f->timer_ms = 0;
	timer_set(f, f->told >= 0 ? TOLD_MS : SLICE_MS);
	subscribe(d, f);
	return f->fd;
}

/* ---- a wait ------------------------------------------------------------- */

static const struct region_map *map_of(const dcm *d, uint32_t slot)
{
	if (slot == DCM_SELF || slot >= d->n_slots || !d->slot[slot] || !d->slot[slot]->map.base)
		return NULL;
	return &d->slot[slot]->map;
}

struct dcm_watch dcm_watch_begin(dcm *d, const struct dcm_follow *f)
{
	for (uint32_t i = DCM_SELF + 1; i < f->n; i++) {
		const struct region_map *m = f->v[i].mapped ? map_of(d, i) : NULL;

		if (m)
			return (struct dcm_watch){i, d->slot[i]->generation, ld(&m->h->publish)};
	}
	return (struct dcm_watch){0};
}

/* false: a signal came. */
static bool sleep_on(dcm *d, const struct dcm_follow *f, const struct dcm_watch *w, int ms)
{
	const struct region_map *m = map_of(d, w->slot);
	struct pollfd p = {.fd = f->told, .events = POLLIN};

	if (f->told >= 0)
		return poll(&p, 1, ms < TOLD_MS ? ms : TOLD_MS) >= 0 || errno != EINTR;
	if (ms > SLICE_MS)
		ms = SLICE_MS;
	if (m && d->slot[w->slot]->generation == w->generation)
		return region_wait_once(m, w->publish, ms) >= 0;
	return poll(NULL, 0, ms) >= 0 || errno != EINTR;
}

static int ms_until(double until)
{
	double ms = (until - dcm_monotonic()) * 1e3;

	return ms <= 0 ? 0 : ms < TOLD_MS ? (int)ms + 1 : TOLD_MS;
}

int dcm_watch_wait(dcm *d, struct dcm_follow *f, const struct dcm_watch *w, double until)
{
	int ms = ms_until(until);

	/* Also where nothing is waited for: it keeps dcm_changes_fd() fed. */
	if (ms > 0 || f->fd >= 0)
		subscribe(d, f);
	if (ms == 0)
		return DCM_ETIMEDOUT;
	return sleep_on(d, f, w, ms) ? DCM_OK : DCM_ETIMEDOUT;
}

/* ---- dcm_wait ----------------------------------------------------------- */

/* true: the shard of slot `i` was published since it was last waited for. */
static bool was_published(dcm *d, struct dcm_follow *f, uint32_t i)
{
	struct followed *w = &f->v[i];
	struct dcm_slot *s;
	uint32_t publish;
	bool is;

	if (dcm_slot_shard_checked(d, i, &s) != DCM_OK)
		return false;
	publish = ld(&s->map.h->publish);
	is = w->waiting && (publish != w->waited || s->generation != w->waited_generation);
	w->waited = publish;
	w->waited_generation = s->generation;
	w->waiting = true;
	return is;
}

static int wait_one(dcm *d, struct dcm_follow *f, uint32_t slot, double until)
{
	while (!was_published(d, f, slot)) {
		int ms = ms_until(until), rc = dcm_directory_checked(d);
		const struct region_map *m;

		if (rc != DCM_OK) /* dcmd has stopped: nothing will be published */
			return rc;
		m = map_of(d, slot); /* of the directory that there is now */
		if (ms == 0)
			return DCM_ETIMEDOUT;
		if (ms > ONE_MS)
			ms = ONE_MS;
		if (m ? region_wait_once(m, f->v[slot].waited, ms) < 0
		      : poll(NULL, 0, ms < SLICE_MS ? ms : SLICE_MS) < 0)
			return DCM_ETIMEDOUT;
	}
	return DCM_OK;
}

static int wait_any(dcm *d, struct dcm_follow *f, double until)
{
	for (;;) {
		struct dcm_watch w = dcm_watch_begin(d, f);
		int rc = dcm_directory_checked(d);
		bool any = false;

		if (rc != DCM_OK)
			return rc;
		/* All of them, so that each is told of once. */
		for (uint32_t i = DCM_SELF + 1; i < f->n; i++)
			any |= was_published(d, f, i);
		if (any)
			return DCM_OK;
		rc = dcm_hear(f) ? DCM_OK : dcm_watch_wait(d, f, &w, until);
		if (rc != DCM_OK)
			return rc;
		rc = dcm_follow_room(d, f);
		if (rc != DCM_OK)
			return rc;
	}
}

int dcm_wait(dcm *d, const char *host, int timeout_ms)
{
	double until = timeout_ms < 0 ? INFINITY : dcm_monotonic() + timeout_ms * 1e-3;
	struct dcm_follow *f;
	uint32_t slot;
	int rc = dcm_follow_begin(d, &f);

	if (rc == DCM_OK && host)
		rc = dcm_slot_of(d, host, &slot);
	if (rc == DCM_OK)
		rc = dcm_follow_room(d, f);
	if (rc == DCM_OK)
		rc = host ? wait_one(d, f, slot, until) : wait_any(d, f, until);
	if (rc == DCM_ETIMEDOUT)
		dcm_fail(d, rc, "nothing was published within the time limit");
	return rc;
}
