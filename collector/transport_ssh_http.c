/*
 * transport_ssh_http.c - is a connection of libcurl's between two requests?
 *
 * Where connections are few (dial-stdio), one that is kept open for later has to
 * give its place to one that waits.  Only that is judged here, from the first bytes
 * of an answer and its length; in doubt it is not idle.
 */
#include <stdlib.h>
#include <string.h>

#include "transport_ssh.h"

void http_asked(struct ssh_http *h)
{
	*h = (struct ssh_http){.busy = true};
}

/* A header's value in the first bytes of an answer. */
static const char *header(const char *head, const char *name)
{
	const char *p = strcasestr(head, name);

	return p ? p + strlen(name) : NULL;
}

static void take_head(struct ssh_http *h, const char *data, size_t len)
{
	char head[1024];
	size_t n = len < sizeof(head) - 1 ? len : sizeof(head) - 1;
	const char *end, *v;

	memcpy(head, data, n);
	head[n] = '\0';
	end = strstr(head, "\r\n\r\n");
	if (!end)
		return; /* not to be told: busy for good */
	v = header(head, "\r\nContent-Length:");
	if (v && v < end)
		h->total = (size_t)(end - head) + 4 + strtoul(v, NULL, 10);
	v = header(head, "\r\nTransfer-Encoding:");
	h->chunked = v && v < end;
}

void http_answered(struct ssh_http *h, const char *data, size_t len, double now)
{
	size_t keep = len < sizeof(h->tail) ? len : sizeof(h->tail);

	if (h->got == 0)
		take_head(h, data, len);
	h->got += len;
	memmove(h->tail, h->tail + keep, sizeof(h->tail) - keep);
	memcpy(h->tail + sizeof(h->tail) - keep, data + len - keep, keep);
	h->at = now;
}

bool http_idle(const struct ssh_http *h, double since)
{
	if (!h->busy)
		return false; /* it has asked nothing yet: it is about to */
	if (h->at > since || h->got == 0)
		return false;
	if (h->chunked)
		return !memcmp(h->tail, "0\r\n\r\n", sizeof(h->tail));
	return h->total && h->got >= h->total;
}
