/*
 * transport_ssh_lookup.c - a host name to addresses, beside the loop.
 *
 * getaddrinfo() knows all that the machine's name service knows, and waits for it.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beside.h"
#include "transport_ssh.h"

struct ssh_lookup {
	struct beside *beside; /* the loop's: the thread never looks at it */
	void (*done)(void *arg, struct addrinfo *list, const char *error);
	void *arg;
	struct addrinfo *list;
	int rc;
	char port[8];
	char host[];
};

static void look(void *work)
{
	struct ssh_lookup *l = work;
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	const struct addrinfo plain = {.ai_socktype = SOCK_STREAM};

	l->rc = getaddrinfo(l->host, l->port, &hints, &l->list);
	if (l->rc) /* a machine with loopback alone has no "configured" address */
		l->rc = getaddrinfo(l->host, l->port, &plain, &l->list);
}

static void tell(void *work)
{
	struct ssh_lookup *l = work;
	struct addrinfo *list = l->list;

	l->list = NULL;
	l->done(l->arg, l->rc ? NULL : list, l->rc ? gai_strerror(l->rc) : NULL);
}

static void release(void *work)
{
	struct ssh_lookup *l = work;

	if (l->list)
		freeaddrinfo(l->list);
	free(l);
}

struct ssh_lookup *ssh_lookup(struct event_base *base, const char *host, unsigned port,
			      void (*done)(void *arg, struct addrinfo *list, const char *error),
			      void *arg)
{
	static const struct beside_work how = {.run = look, .done = tell, .release = release};
	size_t n = strlen(host) + 1;
	struct ssh_lookup *l = calloc(1, sizeof(*l) + n);
	struct beside *b;

	if (!l)
		return NULL;
	*l = (struct ssh_lookup){.done = done, .arg = arg};
	memcpy(l->host, host, n);
	snprintf(l->port, sizeof(l->port), "%u", port % 65536);
	b = beside_start(base, &how, l);
	if (!b)
		return NULL;
	l->beside = b;
	return l;
}

void ssh_lookup_cancel(struct ssh_lookup *l)
{
	if (l)
		beside_cancel(l->beside);
}
