/*
 * transport_ssh_lookup.c - a host name to addresses, beside the loop.
 *
 * getaddrinfo() knows all that the machine's name service knows, and waits for it:
 * so it runs in a thread, which ends by one write to a pipe.  Whoever lets go last
 * frees the job.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport_ssh.h"

struct ssh_lookup {
	atomic_int holders; /* the loop, the thread */
	int pipe[2];
	struct event *event;
	void (*done)(void *arg, struct addrinfo *list, const char *error);
	void *arg;
	struct addrinfo *list;
	int rc;
	char port[8];
	char host[];
};

static void let_go(struct ssh_lookup *l)
{
	if (atomic_fetch_sub(&l->holders, 1) != 1)
		return;
	close(l->pipe[0]);
	close(l->pipe[1]);
	if (l->list)
		freeaddrinfo(l->list);
	free(l);
}

static void *look(void *arg)
{
	struct ssh_lookup *l = arg;
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	const struct addrinfo plain = {.ai_socktype = SOCK_STREAM};
	ssize_t n;

	l->rc = getaddrinfo(l->host, l->port, &hints, &l->list);
	if (l->rc) /* a machine with loopback alone has no "configured" address */
		l->rc = getaddrinfo(l->host, l->port, &plain, &l->list);
	do
		n = write(l->pipe[1], "", 1);
	while (n < 0 && errno == EINTR);
	let_go(l);
	return NULL;
}

static int start_thread(struct ssh_lookup *l)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int e;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 512 << 10);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	e = pthread_create(&thread, &attr, look, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return e;
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_lookup *l = arg;
	struct addrinfo *list = l->list;
	char byte;

	(void)what;
	if (read(fd, &byte, 1) != 1)
		return;
	event_free(l->event);
	l->event = NULL;
	l->list = NULL;
	l->done(l->arg, l->rc ? NULL : list, l->rc ? gai_strerror(l->rc) : NULL);
	let_go(l);
}

struct ssh_lookup *ssh_lookup(struct event_base *base, const char *host, unsigned port,
			      void (*done)(void *arg, struct addrinfo *list, const char *error),
			      void *arg)
{
	size_t n = strlen(host) + 1;
	struct ssh_lookup *l = calloc(1, sizeof(*l) + n);

	if (!l)
		return NULL;
	*l = (struct ssh_lookup){.done = done, .arg = arg};
	atomic_init(&l->holders, 2);
	memcpy(l->host, host, n);
	snprintf(l->port, sizeof(l->port), "%u", port % 65536);
	if (pipe2(l->pipe, O_CLOEXEC | O_NONBLOCK)) {
		free(l);
		return NULL;
	}
	l->event = event_new(base, l->pipe[0], EV_READ | EV_PERSIST, on_done, l);
	if (!l->event || event_add(l->event, NULL) || start_thread(l)) {
		if (l->event)
			event_free(l->event);
		atomic_store(&l->holders, 1);
		let_go(l);
		return NULL;
	}
	return l;
}

void ssh_lookup_cancel(struct ssh_lookup *l)
{
	if (!l)
		return;
	event_free(l->event);
	l->event = NULL;
	let_go(l);
}
