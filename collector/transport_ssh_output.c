/*
 * transport_ssh_output.c - what a program, here or there, prints into a pipe.
 *
 * Kept up to a maximum; what is above it is read and forgotten, so that the program
 * need not wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport_ssh_output.h"

static void end(struct ssh_output *o)
{
	if (o->event)
		event_free(o->event);
	o->event = NULL;
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_output *o = arg;
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		ssh_output_add(o, buf, (size_t)n);
		return;
	}
	end(o);
	o->ended(o->arg);
}

int ssh_output_init(struct ssh_output *o, size_t max, void (*ended)(void *arg), void *arg)
{
	*o = (struct ssh_output){.fd = -1, .max = max, .ended = ended, .arg = arg};
	o->data = calloc(1, max + 1);
	return o->data ? 0 : -1;
}

int ssh_output_watch(struct event_base *base, struct ssh_output *o, int fd)
{
	o->fd = fd;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	o->event = event_new(base, fd, EV_READ | EV_PERSIST, on_output, o);
	return o->event ? event_add(o->event, NULL) : -1;
}

void ssh_output_add(struct ssh_output *o, const char *data, size_t len)
{
	size_t keep = len < o->max - o->len ? len : o->max - o->len;

	memcpy(o->data + o->len, data, keep);
	o->len += keep;
	o->data[o->len] = '\0';
}

void ssh_output_free(struct ssh_output *o)
{
	end(o);
	free(o->data);
	o->data = NULL;
}
