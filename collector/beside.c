/*
 * beside.c - see beside.h.
 *
 * The thread ends by one write to a pipe, which the loop watches.  It takes no signals.
 */
#include "beside.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { STACK = 512 << 10 }; /* bytes: name services load modules */

struct beside {
	atomic_int holders; /* the loop, the thread */
	int pipe[2];
	struct event *ended;
	const struct beside_work *how;
	void *work;
};

static void let_go(struct beside *b)
{
	if (atomic_fetch_sub(&b->holders, 1) != 1)
		return;
	close(b->pipe[0]);
	close(b->pipe[1]);
	b->how->release(b->work);
	free(b);
}

static void *run(void *arg)
{
	struct beside *b = arg;
	ssize_t n;

	b->how->run(b->work);
	do
		n = write(b->pipe[1], "", 1);
	while (n < 0 && errno == EINTR);
	let_go(b);
	return NULL;
}

static int start_thread(struct beside *b)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int e;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	e = pthread_create(&thread, &attr, run, b);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return e;
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct beside *b = arg;
	char byte;

	(void)what;
	if (read(fd, &byte, 1) != 1)
		return;
	event_free(b->ended);
	b->how->done(b->work);
	let_go(b);
}

struct beside *beside_start(struct event_base *base, const struct beside_work *how, void *work)
{
	struct beside *b = malloc(sizeof(*b));

	if (b)
		*b = (struct beside){.how = how, .work = work};
	if (!b || pipe2(b->pipe, O_CLOEXEC | O_NONBLOCK)) {
		free(b);
		how->release(work);
		return NULL;
	}
	atomic_init(&b->holders, 2);
	b->ended = event_new(base, b->pipe[0], EV_READ | EV_PERSIST, on_ended, b);
	if (!b->ended || event_add(b->ended, NULL) || start_thread(b)) {
		if (b->ended)
			event_free(b->ended);
		atomic_store(&b->holders, 1);
		let_go(b);
		return NULL;
	}
	return b;
}

void beside_cancel(struct beside *b)
{
	event_free(b->ended);
	let_go(b);
}
