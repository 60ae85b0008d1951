/*
 * dcm_broker.c - the connection to the broker: a request out, its reply in.
 *
 * The broker is a convenience: what it knows is in the memory, too.  So nothing
 * here waits longer than it was told to; a connection on which anything is odd
 * (silence, garbage, a reply that was not asked for) is closed, and queries leave
 * the broker alone for a second after that.
 */
#include "dcm_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol.h"

static const double AWAY = 1.0; /* s that queries leave a silent broker alone */

enum { PREFIX = 4, IN_FIRST = 64 << 10 };

struct dcm_broker {
	int fd;		   /* -1: not connected */
	double away_until; /* monotonic s */
	uint32_t last_id;
	struct record_buf out;
	uint8_t *in;
	size_t in_room;
	struct protocol_request request;
};

static struct dcm_broker *broker_of(dcm *d)
{
	if (!d->broker) {
		d->broker = calloc(1, sizeof(*d->broker));
		if (d->broker)
			d->broker->fd = -1;
		else
			dcm_fail(d, DCM_ENOMEM, "out of memory for a request");
	}
	return d->broker;
}

struct protocol_request *dcm_broker_request(dcm *d)
{
	struct dcm_broker *b = broker_of(d);

	if (!b)
		return NULL;
	memset(&b->request, 0, sizeof(b->request));
	return &b->request;
}

static void hang_up(struct dcm_broker *b)
{
	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
}

void dcm_broker_release(dcm *d)
{
	struct dcm_broker *b = d->broker;

	d->broker = NULL;
	if (!b)
		return;
	hang_up(b);
	record_buf_free(&b->out);
	free(b->in);
	free(b);
}

/* ---- connecting --------------------------------------------------------- */

static int away(dcm *d, const char *why)
{
	return dcm_fail(d, DCM_EBROKER,
			"the broker of the instance '%s' is away: %s; see `dcm-client doctor`",
			d->instance, why);
}

/* The address of broker.sock; by way of /proc where its path is too long for one.
 * *dir: a descriptor to close afterwards, or -1. */
static bool socket_address(const dcm *d, struct sockaddr_un *sa, int *dir)
{
	char path[sizeof(d->runtime_dir) + DCM_INSTANCE_MAX + 32];
	int n = snprintf(path, sizeof(path), "%s/%s", d->runtime_dir, d->instance);

	*dir = -1;
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	if ((size_t)n + sizeof("/broker.sock") > sizeof(sa->sun_path)) {
		*dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (*dir < 0)
			return false;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", *dir);
	}
	n = snprintf(sa->sun_path, sizeof(sa->sun_path), "%.90s/broker.sock", path);
	return (size_t)n < sizeof(sa->sun_path);
}

/* A full backlog shows as EAGAIN at once: such a broker is waited for a little. */
static int connect_within(int fd, const struct sockaddr_un *sa, double until)
{
	while (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -1;
		if (dcm_monotonic() >= until) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (errno == EAGAIN)
			poll(NULL, 0, 2);
	}
	return 0;
}

/* The other end must be of the user whose memory we read. */
static bool peer_trusted(const dcm *d, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == d->uid;
}

int dcm_broker_connect(dcm *d, int timeout_ms)
{
	double until = dcm_monotonic() + timeout_ms * 1e-3;
	struct sockaddr_un sa;
	int fd, dir, rc;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		dcm_fail(d, DCM_ESYSTEM, "cannot make a socket: %s", strerror(errno));
		return -1;
	}
	rc = socket_address(d, &sa, &dir) ? connect_within(fd, &sa, until) : -1;
	if (rc < 0)
		away(d, strerror(errno));
	if (dir >= 0)
		close(dir);
	if (rc == 0 && !peer_trusted(d, fd)) {
		away(d, "its socket belongs to another user");
		rc = -1;
	}
	if (rc < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* ---- talking ------------------------------------------------------------ */

/* Waits until `fd` is ready for `events`: DCM_OK or DCM_ETIMEDOUT. */
static int wait_ready(int fd, short events, double until)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		double left = (until - dcm_monotonic()) * 1e3;
		int n = poll(&p, 1, left > 0 ? (int)(left < 1e6 ? left + 1 : 1e6) : 0);

		if (n > 0)
			return DCM_OK;
		if (n == 0 && left <= 0)
			return DCM_ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return DCM_ESYSTEM;
	}
}

static int send_all(struct dcm_broker *b, double until)
{
	size_t at = 0;

	while (at < b->out.len) {
		ssize_t n = send(b->fd, b->out.data + at, b->out.len - at, MSG_NOSIGNAL);

		if (n > 0) {
			at += (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			int rc = wait_ready(b->fd, POLLOUT, until);

			if (rc != DCM_OK)
				return rc;
		} else if (n < 0 && errno != EINTR) {
			return DCM_EBROKER;
		}
	}
	return DCM_OK;
}

static int receive(struct dcm_broker *b, uint8_t *to, size_t len, double until)
{
	while (len > 0) {
		ssize_t n = recv(b->fd, to, len, 0);

		if (n > 0) {
			to += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			int rc = wait_ready(b->fd, POLLIN, until);

			if (rc != DCM_OK)
				return rc;
		} else if (n == 0 || errno != EINTR) {
			return DCM_EBROKER;
		}
	}
	return DCM_OK;
}

/* Room grows with what has come, not with what a length promises. */
static int receive_body(struct dcm_broker *b, size_t len, double until)
{
	size_t have = 0;

	while (have < len) {
		size_t room = b->in_room ? b->in_room : IN_FIRST;
		size_t part;
		int rc;

		if (have == room)
			room *= 2;
		if (room > b->in_room) {
			uint8_t *grown = realloc(b->in, room);

			if (!grown)
				return DCM_ENOMEM;
			b->in = grown;
			b->in_room = room;
		}
		part = b->in_room - have < len - have ? b->in_room - have : len - have;
		rc = receive(b, b->in + have, part, until);
		if (rc != DCM_OK)
			return rc;
		have += part;
	}
	return DCM_OK;
}

/* The next message, decoded.  DCM_EBROKER where it is none. */
static int receive_reply(struct dcm_broker *b, struct protocol_reply *reply, double until)
{
	uint8_t prefix[PREFIX];
	size_t len;
	int rc = receive(b, prefix, sizeof(prefix), until);

	if (rc != DCM_OK)
		return rc;
	len =
	    (size_t)prefix[0] << 24 | (size_t)prefix[1] << 16 | (size_t)prefix[2] << 8 | prefix[3];
	if (len > PROTOCOL_REPLY_MAX)
		return DCM_EBROKER;
	rc = receive_body(b, len, until);
	if (rc == DCM_OK && !protocol_decode_reply(b->in, len, reply))
		rc = DCM_EBROKER;
	return rc;
}

static int exchange(struct dcm_broker *b, const struct protocol_request *q,
		    struct protocol_reply *reply, double until)
{
	int rc;

	b->out.len = 0;
	rc = protocol_encode_request(q, &b->out);
	if (rc < 0)
		return rc == -ENOMEM ? DCM_ENOMEM : DCM_EINVAL;
	rc = send_all(b, until);
	if (rc == DCM_OK)
		rc = receive_reply(b, reply, until);
	/* A reply that nobody asked for is garbage: only one request is under way. */
	if (rc == DCM_OK && (reply->notice || reply->id != q->id))
		rc = DCM_EBROKER;
	return rc;
}

/* Once more on a new connection where the old one broke: the broker may have been
 * replaced since it was made.  *connected: there was one to talk on. */
static int call(dcm *d, struct dcm_broker *b, struct protocol_request *q,
		struct protocol_reply *reply, int timeout_ms, bool *connected)
{
	double until = dcm_monotonic() + timeout_ms * 1e-3;
	bool fresh;
	int rc;

	do {
		fresh = b->fd < 0;
		if (fresh)
			b->fd = dcm_broker_connect(d, timeout_ms);
		*connected = b->fd >= 0;
		rc = *connected ? exchange(b, q, reply, until) : DCM_EBROKER;
		if (rc != DCM_OK && rc != DCM_EINVAL)
			hang_up(b);
	} while (rc == DCM_EBROKER && !fresh);
	return rc;
}

int dcm_broker_call(dcm *d, struct protocol_request *q, struct protocol_reply *reply,
		    int timeout_ms)
{
	struct dcm_broker *b = broker_of(d);
	bool connected;
	int rc;

	if (!b)
		return DCM_ENOMEM;
	if (q->op == PROTOCOL_QUERY && dcm_monotonic() < b->away_until)
		return away(d, "it did not answer a moment ago");
	q->id = ++b->last_id;
	rc = call(d, b, q, reply, timeout_ms, &connected);
	if (rc == DCM_OK)
		return rc;
	if (rc == DCM_EINVAL)
		return dcm_fail(d, rc, "the request is too large or not valid");
	b->away_until = dcm_monotonic() + AWAY;
	if (rc == DCM_ENOMEM)
		return dcm_fail(d, rc, "out of memory for the broker's answer");
	if (rc == DCM_ETIMEDOUT)
		return dcm_fail(d, rc,
				"the broker did not answer within the time limit; see "
				"`dcm-client doctor`");
	return connected ? away(d, "it closed the connection") : DCM_EBROKER;
}
