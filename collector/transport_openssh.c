/*
 * transport_openssh.c - backend: the system's `ssh` program.
 *
 * This build reaches hosts by libssh2 alone, and says so where that is not enough.
 */
#include <stdlib.h>

#include "transport_ssh.h"

struct ssh_way {
	const struct ssh_owner *owner;
	void *arg;
	struct event *event;
	ssh_why why;
};

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_way *w = arg;

	(void)fd;
	(void)what;
	w->owner->down(w->arg, false, w->why);
}

static void program_close(struct ssh_way *w)
{
	if (w->event)
		event_free(w->event);
	free(w);
}

static struct ssh_way *program_open(struct event_base *base, const struct endpoint *at,
				    const struct ssh_target *target,
				    const struct ssh_owner *owner, void *arg)
{
	struct ssh_way *w = calloc(1, sizeof(*w));

	(void)at;
	if (!w)
		return NULL;
	w->owner = owner;
	w->arg = arg;
	ssh_say(w->why,
		"%s needs what libssh2 cannot (an RSA or FIDO key, a jump host, or newer algorithms): "
		"use an ed25519 key",
		target->where);
	w->event = event_new(base, -1, 0, on_event, w);
	if (!w->event) {
		program_close(w);
		return NULL;
	}
	event_active(w->event, 0, 0);
	return w;
}

const struct ssh_backend_ops ssh_openssh = {
    .name = "ssh/openssh",
    .open = program_open,
    .close = program_close,
};
