/* transport.c - which transport an endpoint takes, and what it is called. */
#include "transport.h"

#include <stdio.h>
#include <string.h>

const struct transport_ops *transport_for(const struct endpoint *at, const char **why)
{
	switch (at->kind) {
	case ENDPOINT_UNIX:
		return &transport_unix;
	case ENDPOINT_TCP:
		return &transport_tcp;
	case ENDPOINT_TLS:
		return &transport_tls;
	case ENDPOINT_SSH:
		return transport_ssh_by_program(at) ? &transport_openssh : &transport_ssh;
	}
	*why = "there is no way to an engine of this kind";
	return NULL;
}

const char *transport_kind(const struct endpoint *at)
{
	const char *why;
	const struct transport_ops *ops = transport_for(at, &why);

	return ops ? ops->name : "none";
}

void transport_where(const struct endpoint *at, char *buf, size_t len)
{
	const char *host = at->hostname ? at->hostname : "?";
	bool v6 = strchr(host, ':') != NULL;
	const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";

	switch (at->kind) {
	case ENDPOINT_UNIX:
		snprintf(buf, len, "unix://%s", at->path ? at->path : "?");
		break;
	case ENDPOINT_TCP:
		snprintf(buf, len, "tcp://%s%s%s:%u", open, host, close,
			 at->port ? at->port : 2375);
		break;
	case ENDPOINT_TLS:
		snprintf(buf, len, "https://%s%s%s:%u", open, host, close,
			 at->port ? at->port : 2376);
		break;
	case ENDPOINT_SSH:
		snprintf(buf, len, "ssh://%s%s%s%s%s:%u", at->user ? at->user : "",
			 at->user ? "@" : "", open, host, close, at->port ? at->port : 22);
		break;
	}
}
