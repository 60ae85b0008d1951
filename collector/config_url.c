/*
 * config_url.c - an engine's URL to an endpoint.  Pure: text in, struct or a
 * clause out.
 *
 * User and host name end up on the command line of ssh, and from there perhaps on a
 * shell's (ProxyCommand): a leading '-', white space, a control character or a sign of
 * the shell in them is refused here.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "config_endpoint.h"

#define EXPECTED "expected unix:///PATH, tcp://HOST:PORT, http://HOST:PORT, " \
		 "https://HOST:PORT or ssh://USER@HOST:PORT"

void endpoint_clear(struct endpoint *e)
{
	free(e->path);
	free(e->hostname);
	free(e->user);
	free(e->ca);
	free(e->cert);
	free(e->key);
	free(e->identity_file);
	free(e->known_hosts);
	free(e->ssh_config);
	memset(e, 0, sizeof(*e));
}

static int bad(char *err, const char *url, const char *why)
{
	snprintf(err, ENDPOINT_ERR, "\"%.120s\" %s; " EXPECTED, url, why);
	return -1;
}

bool endpoint_name_ok(const char *s)
{
	if (!*s || *s == '-')
		return false;
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f || strchr("/?#@[]\\\"'`$;&<>|(){}", *s))
			return false;
	return true;
}

bool endpoint_host_ok(const char *s)
{
	size_t n = strcspn(s, "%"); /* %ZONE */
	char address[INET6_ADDRSTRLEN];
	struct in6_addr v6;

	if (!endpoint_name_ok(s))
		return false;
	if (!strchr(s, ':'))
		return true;
	if (n >= sizeof(address))
		return false;
	memcpy(address, s, n);
	address[n] = '\0';
	return inet_pton(AF_INET6, address, &v6) == 1;
}

bool endpoint_socket_fits(const char *path)
{
	return strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

/* HOST, HOST:PORT, [V6] or [V6]:PORT in [s, end). */
static bool host_port(struct endpoint *out, const char *s, const char *end)
{
	const char *host_end, *port = NULL;
	unsigned long n;
	char *stop;

	if (*s == '[') {
		s++;
		host_end = memchr(s, ']', (size_t)(end - s));
		if (!host_end || (host_end + 1 < end && host_end[1] != ':'))
			return false;
		if (host_end + 1 < end)
			port = host_end + 2;
	} else {
		host_end = memchr(s, ':', (size_t)(end - s));
		if (host_end)
			port = host_end + 1;
		else
			host_end = end;
	}
	out->hostname = strndup(s, (size_t)(host_end - s));
	if (!out->hostname || !endpoint_host_ok(out->hostname))
		return false;
	if (!port)
		return true;
	if (port == end || *port < '0' || *port > '9')
		return false;
	n = strtoul(port, &stop, 10);
	if (stop != end || n < 1 || n > 65535)
		return false;
	out->port = (unsigned)n;
	return true;
}

static int authority(struct endpoint *out, const char *url, const char *s, char *err)
{
	const char *end = s + strcspn(s, "/?#");
	const char *at = memchr(s, '@', (size_t)(end - s));

	if (at) {
		if (memchr(s, ':', (size_t)(at - s)))
			return bad(err, "(not shown)",
				   "holds a password; use a key file or an agent");
		if (out->kind != ENDPOINT_SSH)
			return bad(err, url, "has a user, which only ssh:// takes");
		out->user = strndup(s, (size_t)(at - s));
		if (!out->user || !endpoint_name_ok(out->user))
			return bad(err, url, "has no valid user before the @");
		s = at + 1;
	}
	if (s == end || !host_port(out, s, end))
		return bad(err, url, "has no valid host and port (1 to 65535; IPv6 in brackets)");
	if (strcmp(end, "") == 0 || strcmp(end, "/") == 0)
		return 0;
	if (out->kind != ENDPOINT_SSH || *end != '/' || strpbrk(end, "?#"))
		return bad(err, url, "has something behind the port");
	for (const char *p = end; *p; p++) /* a shell there may read it: see ssh_dial_command() */
		if ((unsigned char)*p < ' ' || *p == 0x7f || *p == '\'' || *p == '\\')
			return bad(err, url, "has a quote, a backslash or a control character in "
					     "its path");
	out->path = strdup(end);
	return out->path ? 0 : bad(err, url, "found no memory");
}

int endpoint_from_url(struct endpoint *out, const char *url, char *err)
{
	static const struct {
		const char *scheme;
		int kind;
		unsigned port;
	} schemes[] = {
		{"tcp://", ENDPOINT_TCP, 2375},
		{"http://", ENDPOINT_TCP, 2375},
		{"https://", ENDPOINT_TLS, 2376},
		{"ssh://", ENDPOINT_SSH, 0},
	};

	out->verify = true;
	if (!strncmp(url, "unix://", 7)) {
		out->kind = ENDPOINT_UNIX;
		if (!url[7])
			return bad(err, url, "names no socket");
		if (!endpoint_socket_fits(url + 7))
			return bad(err, url, "is longer than the 107 bytes of a socket's path");
		out->path = strdup(url + 7);
		return out->path ? 0 : bad(err, url, "found no memory");
	}
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t len = strlen(schemes[i].scheme);

		if (strncmp(url, schemes[i].scheme, len))
			continue;
		out->kind = schemes[i].kind;
		if (authority(out, url, url + len, err) < 0)
			return -1;
		if (!out->port)
			out->port = schemes[i].port;
		return 0;
	}
	return bad(err, url, "is of no kind that dcm knows");
}

void config_endpoint_text(const struct endpoint *e, char *buf, size_t len)
{
	const char *host = e->hostname ? e->hostname : "";
	bool v6 = strchr(host, ':') != NULL;
	const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";
	char port[16] = "";

	if (e->port)
		snprintf(port, sizeof(port), ":%u", e->port);
	switch (e->kind) {
	case ENDPOINT_UNIX:
		snprintf(buf, len, "unix://%s", e->path ? e->path : "");
		break;
	case ENDPOINT_TCP:
	case ENDPOINT_TLS:
		snprintf(buf, len, "%s://%s%s%s%s", e->kind == ENDPOINT_TCP ? "tcp" : "https", open,
			 host, close, port);
		break;
	case ENDPOINT_SSH:
		snprintf(buf, len, "ssh://%s%s%s%s%s%s%s", e->user ? e->user : "",
			 e->user ? "@" : "", open, host, close, port, e->path ? e->path : "");
		break;
	}
}
