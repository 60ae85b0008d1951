/*
 * fake_engine.h - a scripted HTTP server on a unix socket, for tests of the
 * engine client and the collector.  One thread, driven by fake_step(): a request
 * that came is given to `handle`, which answers at once, later, badly or never.
 */
#ifndef DCM_FAKE_ENGINE_H
#define DCM_FAKE_ENGINE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FAKE_CONNS = 512 };

struct fake;
struct fake_conn {
	int fd; /* -1: free */
	size_t len;
	char in[4096];
};
struct fake {
	int listener;
	char path[108];
	void (*handle)(struct fake *f, struct fake_conn *k, const char *target);
	struct fake_conn conn[FAKE_CONNS];
	void *arg;
};

static inline void fake_listen(struct fake *f)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", f->path);
	unlink(f->path);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(f->listener, (struct sockaddr *)&a, sizeof(a)) || listen(f->listener, 512))
		abort();
}

static inline void fake_init(struct fake *f, const char *path)
{
	snprintf(f->path, sizeof(f->path), "%s", path);
	for (int i = 0; i < FAKE_CONNS; i++)
		f->conn[i].fd = -1;
	fake_listen(f);
}

static inline void fake_hang_up(struct fake_conn *k)
{
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	k->len = 0;
}

/* No longer there: connections are cut, new ones refused. */
static inline void fake_down(struct fake *f)
{
	close(f->listener);
	f->listener = -1;
	for (int i = 0; i < FAKE_CONNS; i++)
		fake_hang_up(&f->conn[i]);
}

/* What the other side does not take is lost: it hung up. */
static inline void fake_raw(struct fake_conn *k, const char *data, size_t len)
{
	while (k->fd >= 0 && len) {
		ssize_t n = send(k->fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {k->fd, POLLOUT, 0};

			poll(&p, 1, 100);
		} else if (n < 0) {
			return;
		} else {
			data += n;
			len -= (size_t)n;
		}
	}
}

static inline void fake_reply(struct fake_conn *k, int status, const char *headers,
			      const char *body, size_t len)
{
	char head[512];
	int n = snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\n\r\n",
			 status, headers, len);

	fake_raw(k, head, (size_t)n);
	fake_raw(k, body, len);
}

static inline void fake_json(struct fake_conn *k, int status, const char *body)
{
	fake_reply(k, status, "Content-Type: application/json\r\n", body, strlen(body));
}

static inline void fake_take(struct fake *f, struct fake_conn *k)
{
	char target[2048], *end;

	k->in[k->len] = '\0';
	while ((end = strstr(k->in, "\r\n\r\n"))) {
		size_t used = (size_t)(end + 4 - k->in);

		if (sscanf(k->in, "GET %2047s", target) != 1)
			target[0] = '\0';
		memmove(k->in, k->in + used, k->len - used + 1);
		k->len -= used;
		f->handle(f, k, target);
	}
}

static inline void fake_read(struct fake *f, struct fake_conn *k)
{
	ssize_t n = read(k->fd, k->in + k->len, sizeof(k->in) - 1 - k->len);

	if (n <= 0 && errno != EAGAIN) {
		fake_hang_up(k);
		return;
	}
	k->len += n > 0 ? (size_t)n : 0;
	fake_take(f, k);
}

/* Waits at most `ms` for something to do, and does it. */
static inline void fake_step(struct fake *f, int ms)
{
	static struct pollfd p[FAKE_CONNS + 1];
	int who[FAKE_CONNS + 1], n = 0, fd;

	p[n++] = (struct pollfd){f->listener, POLLIN, 0};
	for (int i = 0; i < FAKE_CONNS; i++) {
		if (f->conn[i].fd < 0)
			continue;
		who[n] = i;
		p[n++] = (struct pollfd){f->conn[i].fd, POLLIN, 0};
	}
	if (poll(p, (nfds_t)n, ms) <= 0)
		return;
	for (int i = 1; i < n; i++)
		if (p[i].revents && f->conn[who[i]].fd == p[i].fd)
			fake_read(f, &f->conn[who[i]]);
	while (f->listener >= 0 && (fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		for (int i = 0; i < FAKE_CONNS; i++)
			if (f->conn[i].fd < 0) {
				f->conn[i] = (struct fake_conn){.fd = fd};
				break;
			}
}

#endif
