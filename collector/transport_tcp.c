/*
 * transport_tcp.c - an engine that listens on TCP, in the clear or with TLS.
 *
 * libcurl does it all: name look-up (in a thread of its own), TLS, client
 * certificates.  There is no way to read a file of such a host.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport.h"

struct transport {
	const struct endpoint *at;
	struct event *ready;
	void (*done)(void *arg, const char *error);
	void *arg;
	char url[320];
};

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;

	(void)fd;
	(void)what;
	t->done(t->arg, NULL);
}

static struct transport *tcp_open(struct event_base *base, const struct endpoint *at,
				  double connect_timeout,
				  void (*done)(void *arg, const char *error), void *arg)
{
	struct transport *t = calloc(1, sizeof(*t));
	bool tls = at->kind == ENDPOINT_TLS;
	const char *host = at->hostname ? at->hostname : "";
	bool bare6 = strchr(host, ':') && host[0] != '[';

	(void)connect_timeout;
	if (!t)
		return NULL;
	*t = (struct transport){.at = at, .done = done, .arg = arg};
	snprintf(t->url, sizeof(t->url), "%s://%s%s%s:%u", tls ? "https" : "http", bare6 ? "[" : "",
		 host, bare6 ? "]" : "", at->port ? at->port : (tls ? 2376 : 2375));
	t->ready = event_new(base, -1, 0, on_ready, t);
	if (!t->ready) {
		free(t);
		return NULL;
	}
	event_active(t->ready, 0, 0);
	return t;
}

static int tcp_prepare(struct transport *t, CURL *easy)
{
	const struct endpoint *at = t->at;

	/* a peer that vanished is found by the kernel within half a minute */
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 15L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
	if (at->kind != ENDPOINT_TLS)
		return 0;
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, at->verify ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, at->verify ? 2L : 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_ENABLE_ALPN, 0L); /* engines speak HTTP/1.1 */
	if (at->ca && curl_easy_setopt(easy, CURLOPT_CAINFO, at->ca))
		return -1;
	if (at->cert && curl_easy_setopt(easy, CURLOPT_SSLCERT, at->cert))
		return -1;
	if (at->key && curl_easy_setopt(easy, CURLOPT_SSLKEY, at->key))
		return -1;
	return 0;
}

static const char *tcp_url(struct transport *t)
{
	return t->url;
}

static void tcp_close(struct transport *t)
{
	event_free(t->ready);
	free(t);
}

const struct transport_ops transport_tcp = {
    .name = "tcp",
    .open = tcp_open,
    .prepare = tcp_prepare,
    .url = tcp_url,
    .close = tcp_close,
};
const struct transport_ops transport_tls = {
    .name = "tls",
    .open = tcp_open,
    .prepare = tcp_prepare,
    .url = tcp_url,
    .close = tcp_close,
};
