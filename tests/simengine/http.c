/*
 * http.c - the connections of the simulated engine: as much of HTTP/1.1 as
 * clients of the Engine API use (keep-alive, Content-Length bodies, chunked
 * streams out), with every byte in our hand, for the faults' sake.
 */
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

static void read_requests(struct conn *c);

/* ---- requests ------------------------------------------------------------ */

static void decode(const char *in, size_t n, char *out, size_t len, bool plus)
{
	size_t o = 0;

	for (size_t i = 0; i < n && o + 1 < len; i++) {
		if (in[i] == '%' && i + 2 < n && isxdigit((unsigned char)in[i + 1]) &&
		    isxdigit((unsigned char)in[i + 2])) {
			char hex[3] = {in[i + 1], in[i + 2], 0};

			out[o++] = (char)strtol(hex, NULL, 16);
			i += 2;
		} else {
			out[o++] = plus && in[i] == '+' ? ' ' : in[i];
		}
	}
	out[o] = '\0';
}

bool http_query(const struct request *r, const char *key, char *out, size_t len)
{
	size_t klen = strlen(key);

	for (const char *p = r->query; *p != '\0';) {
		size_t n = strcspn(p, "&");

		if (n > klen && strncmp(p, key, klen) == 0 && p[klen] == '=') {
			decode(p + klen + 1, n - klen - 1, out, len, true);
			return true;
		}
		p += n + (p[n] == '&');
	}
	out[0] = '\0';
	return false;
}

/* As the engine reads booleans: anything but "", 0, no, false and none is true. */
bool http_flag(const struct request *r, const char *key)
{
	char v[16];

	return http_query(r, key, v, sizeof(v)) && v[0] != '\0' && strcmp(v, "0") != 0 &&
	       strcasecmp(v, "no") != 0 && strcasecmp(v, "false") != 0 &&
	       strcasecmp(v, "none") != 0;
}

/* "GET /v1.41/containers/json?all=1 HTTP/1.1" into the request. */
static bool parse_line(struct conn *c, const char *line)
{
	struct request *r = &c->req;
	char target[3072];
	int skip = 0;

	memset(r, 0, sizeof(*r));
	r->api_minor = c->engine->sim->api_minor;
	if (sscanf(line, "%7s %3071s", r->method, target) != 2 || target[0] != '/')
		return false;
	if (sscanf(target, "/v1.%d/%n", &r->api_minor, &skip) == 1 && skip > 0)
		memmove(target, target + skip - 1, strlen(target + skip - 1) + 1);
	else
		r->api_minor = c->engine->sim->api_minor;
	char *q = strchr(target, '?');

	if (q != NULL) {
		*q++ = '\0';
		snprintf(r->query, sizeof(r->query), "%.2047s", q);
	}
	decode(target, strlen(target), r->path, sizeof(r->path), false);
	return true;
}

static size_t content_length(const char *head)
{
	for (const char *p = strstr(head, "\r\n"); p != NULL; p = strstr(p + 2, "\r\n"))
		if (strncasecmp(p + 2, "Content-Length:", 15) == 0)
			return strtoul(p + 17, NULL, 10);
	return 0;
}

/* Takes one whole request off the input.  1: got it, 0: more is to come, -1:
 * the connection is of no use. */
static int take_request(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);

	if (end.pos < 0)
		return evbuffer_get_length(in) > SIM_HEADER_MAX ? -1 : 0;
	size_t head_len = (size_t)end.pos + 4;
	char *head = malloc(head_len + 1);

	if (head == NULL)
		return -1;
	evbuffer_copyout(in, head, head_len);
	head[head_len] = '\0';
	size_t body_len = content_length(head);
	int rc = 0;

	if (body_len > SIM_BODY_MAX)
		rc = -1;
	else if (evbuffer_get_length(in) >= head_len + body_len) {
		rc = parse_line(c, head) ? 1 : -1;
		c->close_after = strcasestr(head, "\r\nConnection: close") != NULL;
		evbuffer_drain(in, head_len);
		c->req.body = calloc(1, body_len + 1);
		if (c->req.body == NULL)
			rc = -1;
		else
			evbuffer_remove(in, c->req.body, body_len);
	}
	free(head);
	return rc;
}

static void read_requests(struct conn *c)
{
	if (c->busy)
		return;
	int rc = take_request(c);

	if (rc < 0) {
		http_free(c);
	} else if (rc > 0) {
		c->busy = true;
		routes_serve(c);
	}
}

/* ---- replies ------------------------------------------------------------- */

static const char *reason(int code)
{
	switch (code) {
	case 200: return "OK";
	case 201: return "Created";
	case 204: return "No Content";
	case 304: return "Not Modified";
	case 400: return "Bad Request";
	case 404: return "Not Found";
	case 409: return "Conflict";
	case 501: return "Not Implemented";
	default: return "Internal Server Error";
	}
}

/* The head of a reply; len SIZE_MAX: chunked. */
struct evbuffer *http_head(struct conn *c, int code, const char *type, size_t len)
{
	struct evbuffer *b = evbuffer_new();
	time_t now = (time_t)(sim_now() / 1000000000);
	struct tm tm;
	char date[40];

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	evbuffer_add_printf(b,
			    "HTTP/1.1 %d %s\r\nApi-Version: 1.%d\r\n"
			    "Docker-Experimental: false\r\nOstype: linux\r\n"
			    "Server: Docker/" SIM_VERSION " (linux)\r\nDate: %s\r\n",
			    code, reason(code), c->engine->sim->api_minor, date);
	if (type != NULL)
		evbuffer_add_printf(b, "Content-Type: %s\r\n", type);
	if (len == SIZE_MAX)
		evbuffer_add_printf(b, "Transfer-Encoding: chunked\r\n");
	else if (code != 204 && code != 304)
		evbuffer_add_printf(b, "Content-Length: %zu\r\n", len);
	evbuffer_add_printf(b, "\r\n");
	return b;
}

void http_reply(struct conn *c, int code, const char *type, const void *body, size_t len)
{
	struct evbuffer *b = evbuffer_new();

	evbuffer_add(b, body, len);
	faults_send(c, code, type, b);
	evbuffer_free(b);
}

void http_json(struct conn *c, int code, struct json_object *o)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	struct evbuffer *b = evbuffer_new();

	evbuffer_add(b, text, len);
	evbuffer_add(b, "\n", 1);
	json_object_put(o);
	faults_send(c, code, "application/json", b);
	evbuffer_free(b);
}

void http_error(struct conn *c, int code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "message", json_object_new_string(text));
	http_json(c, code, o);
}

void http_stream_start(struct conn *c)
{
	struct evbuffer *head = http_head(c, 200, "application/json", SIZE_MAX);

	bufferevent_write_buffer(c->bev, head);
	evbuffer_free(head);
}

void http_stream_write(struct conn *c, const char *data, size_t len)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	evbuffer_add_printf(out, "%zx\r\n", len);
	evbuffer_add(out, data, len);
	evbuffer_add(out, "\r\n", 2);
}

void http_stream_end(struct conn *c)
{
	evbuffer_add_printf(bufferevent_get_output(c->bev), "0\r\n\r\n");
	http_end(c);
}

static void go_on(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	read_requests(c);
}

void http_end(struct conn *c)
{
	free(c->req.body);
	c->req.body = NULL;
	c->busy = false;
	/* From the loop, not from here: requests that were sent ahead would pile
	 * frame upon frame. */
	if (!c->close_after)
		http_later(c, 0, go_on);
	else if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
		http_later(c, 0, (event_callback_fn)NULL);
}

/* ---- connections --------------------------------------------------------- */

void http_free(struct conn *c)
{
	events_forget(c);
	if (c->timer != NULL)
		event_free(c->timer);
	if (c->pending != NULL)
		evbuffer_free(c->pending);
	free(c->req.body);
	bufferevent_free(c->bev);
	free(c);
}

static void close_now(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	http_free(arg);
}

void http_later(struct conn *c, long ms, event_callback_fn fn)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	if (c->timer != NULL)
		event_free(c->timer);
	c->timer = event_new(c->engine->sim->base, -1, 0, fn != NULL ? fn : close_now, c);
	event_add(c->timer, &tv);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	read_requests(arg);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (c->close_after && !c->busy)
		http_free(c);
}

static void on_end(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	http_free(arg);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	int one = 1, s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conn *c;

	(void)what;
	if (s < 0)
		return;
	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* fails on unix: no harm */
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		close(s);
		return;
	}
	c->engine = e;
	c->bev = bufferevent_socket_new(e->sim->base, s, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(c->bev, on_read, on_written, on_end, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, SIM_HEADER_MAX + SIM_BODY_MAX + 1);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

int http_listen(struct engine *e, const char *address)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET};
	bool unix_socket = strncmp(address, "unix://", 7) == 0;
	char host[64];
	unsigned port;
	int one = 1, fd;

	if (unix_socket) {
		if (strlen(address + 7) >= sizeof(un.sun_path)) {
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(un.sun_path, address + 7, strlen(address + 7) + 1);
		unlink(un.sun_path);
	} else if (sscanf(address, "tcp://%63[0-9.]:%u", host, &port) != 2 ||
		   inet_pton(AF_INET, host, &in.sin_addr) != 1) {
		errno = EINVAL;
		return -1;
	} else {
		in.sin_port = htons((uint16_t)port);
	}
	fd = socket(unix_socket ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, unix_socket ? (struct sockaddr *)&un : (struct sockaddr *)&in,
		 unix_socket ? sizeof(un) : sizeof(in)) != 0 ||
	    listen(fd, 1024) != 0) {
		close(fd);
		return -1;
	}
	return event_add(event_new(e->sim->base, fd, EV_READ | EV_PERSIST, on_accept, e), NULL);
}
