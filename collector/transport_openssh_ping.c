/* transport_openssh_ping.c - does an engine answer at the other end of a socket? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport_openssh.h"

struct ssh_ping {
	struct event *event;
	int fd;
	size_t got;
	char start[5];
	void (*done)(void *arg, bool answered);
	void *arg;
};

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_ping *p = arg;
	void (*done)(void *, bool) = p->done;
	void *done_arg = p->arg;
	bool answered;
	ssize_t n = -1;

	if (what & EV_READ) {
		n = read(fd, p->start + p->got, sizeof(p->start) - p->got);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n > 0)
			p->got += (size_t)n;
		if (n > 0 && p->got < sizeof(p->start))
			return;
	}
	answered = n > 0 && !memcmp(p->start, "HTTP/", sizeof(p->start));
	ssh_ping_cancel(p);
	done(done_arg, answered);
}

struct ssh_ping *ssh_ping(struct event_base *base, int fd, double seconds,
			  void (*done)(void *arg, bool answered), void *arg)
{
	static const char ping[] = "GET /_ping HTTP/1.1\r\nHost: docker\r\n"
				   "Connection: close\r\n\r\n";
	const struct timeval limit = {.tv_sec = (time_t)seconds};
	struct ssh_ping *p = calloc(1, sizeof(*p));

	if (!p) {
		close(fd);
		return NULL;
	}
	*p = (struct ssh_ping){.fd = fd, .done = done, .arg = arg};
	p->event = event_new(base, fd, EV_READ | EV_PERSIST, on_event, p);
	/* what cannot be sent is not answered: the limit, or the end of file, says so */
	if (!p->event || event_add(p->event, &limit) ||
	    (send(fd, ping, sizeof(ping) - 1, MSG_NOSIGNAL) < 0 && errno != EPIPE)) {
		ssh_ping_cancel(p);
		return NULL;
	}
	return p;
}

void ssh_ping_cancel(struct ssh_ping *p)
{
	if (!p)
		return;
	if (p->event)
		event_free(p->event);
	close(p->fd);
	free(p);
}
