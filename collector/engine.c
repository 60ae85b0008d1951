/*
 * engine.c - requests: their limits and bodies.  engine_loop.c drives them,
 * engine_failure.c says what went wrong with one.
 *
 * A request is queued, then active (it has an easy handle that the multi handle
 * knows), then finished: its callback is called and it is gone.  Streams do not wait
 * behind the connection limit, nor pings, but where a transport carries few requests.
 */
#include "engine.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "engine_impl.h"

double mono_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double wall_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool body_grow(struct engine_request *q, size_t need)
{
	size_t room = q->room ? q->room : 4096;
	char *p;

	if (need <= q->room)
		return true;
	while (room < need)
		room *= 2;
	p = realloc(q->body, room);
	if (!p)
		return false;
	q->body = p;
	q->room = room;
	return true;
}

static bool append(struct engine_request *q, const char *data, size_t len, size_t max)
{
	if (q->len + len > max) {
		q->too_long = true;
		return false;
	}
	if (!body_grow(q, q->len + len + 1))
		return false;
	memcpy(q->body + q->len, data, len);
	q->len += len;
	q->body[q->len] = '\0';
	return true;
}

/* The same, of what stays of it. */
static bool append_trimmed(struct engine_request *q, const char *data, size_t len)
{
	while (len) {
		size_t n = len < ENGINE_TRIM_AFTER ? len : ENGINE_TRIM_AFTER;

		if (!body_grow(q, q->len + TRIM_ROOM(n) + 1))
			return false;
		q->len += json_trim_feed(&q->trim, q->body + q->len, data, n);
		q->body[q->len] = '\0';
		if (q->len > q->max) {
			q->too_long = true;
			return false;
		}
		data += n;
		len -= n;
	}
	return true;
}

/* It has become long: from its first byte on, only what fits stays. */
static bool begin_to_trim(struct engine_request *q)
{
	struct engine_request whole = *q;
	bool ok;

	q->body = NULL;
	q->len = q->room = 0;
	json_trim_init(&q->trim, q->trim_level);
	ok = append_trimmed(q, whole.body, whole.len);
	free(whole.body);
	return ok;
}

static bool append_container(struct engine_request *q, const char *data, size_t len)
{
	bool before = q->raw > ENGINE_TRIM_AFTER;

	q->raw += len;
	if (q->raw > ENGINE_RAW_MAX) {
		q->too_long = true;
		return false;
	}
	if (q->raw <= ENGINE_TRIM_AFTER)
		return append(q, data, len, q->max);
	return (before || begin_to_trim(q)) && append_trimmed(q, data, len);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct engine_request *q = arg;
	size_t len = size * n, max = q->max;

	if (q->chunk && q->status_seen && q->http_status == 200)
		q->fresh = true;
	else if (q->chunk)
		max = ENGINE_SMALL_MAX;
	if (!(q->trim_level ? append_container(q, data, len) : append(q, data, len, max)))
		return 0;
	if (q->chunk) /* of others the whole answer counts: a byte now and then is none */
		q->engine->last_answer = mono_now();
	return len;
}

static bool header_is(const char *line, size_t len, const char *name, const char **value)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) || line[n] != ':')
		return false;
	*value = line + n + 1 + strspn(line + n + 1, " ");
	return true;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct engine_request *q = arg;
	char line[256];
	const char *v;
	size_t len = size * n, keep = len < sizeof(line) - 1 ? len : sizeof(line) - 1;

	q->head += len;
	if (q->head > ENGINE_HEAD_MAX) {
		q->too_long = true;
		return 0;
	}
	if (!q->chunk && !q->headers)
		return len;
	memcpy(line, data, keep);
	line[keep] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	if (header_is(line, keep, "Api-Version", &v))
		snprintf(q->api_version, sizeof(q->api_version), "%.*s",
			 (int)sizeof(q->api_version) - 1, v);
	else if (header_is(line, keep, "Date", &v))
		q->date = (double)curl_getdate(v, NULL);
	else if (!line[0]) { /* the end of the headers */
		curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &q->http_status);
		q->status_seen = q->http_status >= 200;
		if (q->chunk && q->http_status == 200)
			q->opened = true;
		q->engine->last_answer = mono_now();
	}
	return len;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct engine_request *q = arg;
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

	(void)purpose;
	q->starved = fd < 0 && (errno == EMFILE || errno == ENFILE);
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

int engine_request_prepare(struct engine_request *q)
{
	struct engine *e = q->engine;
	CURL *h = q->easy;
	char url[2048];

	if ((size_t)snprintf(url, sizeof(url), "%s%s", e->ops->url(e->transport), q->path) >=
	    sizeof(url))
		return -1;
	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_PRIVATE, q);
	curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, q);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, q);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, q);
	if (q->alone) { /* a ping must not wait on a connection that is half open */
		curl_easy_setopt(h, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(h, CURLOPT_FORBID_REUSE, 1L);
	}
	if (!q->chunk)
		curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)(e->request_timeout * 1e3));
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)(e->connect_timeout * 1e3));
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_PROXY, ""); /* http_proxy is not for engines */
	curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(h, CURLOPT_MAXAGE_CONN, 3600L);
	/* another address of the name is found when the engine is opened anew */
	curl_easy_setopt(h, CURLOPT_DNS_CACHE_TIMEOUT, -1L);
	curl_easy_setopt(h, CURLOPT_BUFFERSIZE, q->max > ENGINE_INSPECT_MAX ? 65536L : 8192L);
	curl_easy_setopt(h, CURLOPT_USERAGENT, "dcm/" DCM_VERSION);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, q->curl_error);
	return e->ops->prepare(e->transport, h);
}

static struct engine_request *request_new(struct engine *e, const char *path, size_t max,
					  engine_done *done, void *arg)
{
	size_t n = strlen(path) + 1;
	struct engine_request *q = calloc(1, sizeof(*q) + n);

	if (!q)
		return NULL;
	q->engine = e;
	q->max = max;
	q->done = done;
	q->arg = arg;
	q->date = NAN;
	q->began = mono_now();
	memcpy(q->path, path, n);
	return q;
}

struct engine_request *engine_get(struct engine *e, const char *path, size_t max_body,
				  engine_done *done, void *arg)
{
	struct engine_request *q = request_new(e, path, max_body, done, arg);

	return q ? engine_request_start(q, false) : NULL;
}

struct engine_request *engine_get_trimmed(struct engine *e, const char *path, size_t max_body,
					  unsigned level, engine_done *done, void *arg)
{
	struct engine_request *q = request_new(e, path, max_body, done, arg);

	if (!q)
		return NULL;
	q->trim_level = level;
	return engine_request_start(q, false);
}

struct engine_request *engine_get_later(struct engine *e, const char *path, size_t max_body,
					engine_done *done, void *arg)
{
	struct engine_request *q = request_new(e, path, max_body, done, arg);

	if (!q)
		return NULL;
	q->later = true;
	return engine_request_start(q, false);
}

struct engine_request *engine_ping(struct engine *e, bool alone, engine_done *done, void *arg)
{
	struct engine_request *q = request_new(e, "/_ping", ENGINE_SMALL_MAX, done, arg);

	if (!q)
		return NULL;
	q->headers = true;
	q->alone = alone;
	return engine_request_start(q, !engine_is_narrow(e));
}

struct engine_request *engine_stream(struct engine *e, const char *path, engine_chunk *chunk,
				     engine_done *done, void *arg)
{
	/* what libcurl hands over in one go comes on top of an unfinished line */
	struct engine_request *q = request_new(e, path, 4 * ENGINE_LINE_MAX, done, arg);

	if (!q)
		return NULL;
	q->chunk = chunk;
	return engine_request_start(q, true);
}

void engine_request_finish(struct engine_request *q, CURLcode rc)
{
	struct engine_reply r = {.began = q->began, .date = q->date, .step = DCM_STEP_API};

	if (q->starved && rc == CURLE_COULDNT_CONNECT) {
		q->engine->starved_at = q->engine->more_at = mono_now();
		if (engine_request_wait(q))
			return;
	}
	memcpy(r.api_version, q->api_version, sizeof(r.api_version));
	engine_judge(q, rc, &r);
	r.body = q->body ? q->body : "";
	r.len = q->len;
	if (r.failure == ENGINE_OK || r.failure == ENGINE_STATUS)
		q->engine->last_answer = mono_now();
	engine_request_retire(q);
	q->done(q->arg, &r);
	free(q->body);
	free(q);
}
