/*
 * engine.c - requests: their limits, bodies, and what their failures are called.
 * engine_loop.c drives them.
 *
 * A request is queued, then active (it has an easy handle that the multi handle
 * knows), then finished: its callback is called and it is gone.  Streams do not wait
 * behind the connection limit, nor pings, but where a transport carries few requests.
 */
#include "engine.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "decode.h"
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

/* ---- failures by name -------------------------------------------------------- */

/* A sentence that is cut where it does not fit. */
static __attribute__((format(printf, 3, 4))) void say(char *out, size_t len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out, len, fmt, ap);
	va_end(ap);
}

void engine_silent(char *out, size_t len, const char *where, double seconds)
{
	say(out, len,
	    "timeout: no answer from %.150s within %.3g s: check the engine, its host and the "
	    "network",
	    where, seconds);
}

static void connect_error(const struct engine_request *q, char *out, size_t len)
{
	const char *where = q->engine->where;
	long e = 0;

	curl_easy_getinfo(q->easy, CURLINFO_OS_ERRNO, &e);
	switch (e) {
	case ECONNREFUSED:
		say(out, len, "connection refused by %s: start the engine there", where);
		break;
	case ENOENT:
		say(out, len,
		    "no socket at %s (no such file): start the engine, or correct the path in "
		    "hosts.yml",
		    where);
		break;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EINVAL: /* a blackhole */
		say(out, len, "no route to %s: check the network, or the address in hosts.yml",
		    where);
		break;
	case EACCES:
	case EPERM:
		if (!strncmp(where, "unix://", 7))
			transport_unix_denied(where + 7, out, len);
		else
			say(out, len, "no route to %s, a rule of this machine prohibits it: check its "
				      "routes and firewall",
			    where);
		break;
	case ETIMEDOUT:
		say(out, len, "timeout: no answer from %s: check the host and the network", where);
		break;
	default:
		say(out, len,
		    "cannot connect to %s%s%s: check that the engine runs and can be "
		    "reached",
		    where, e ? ": " : "", e ? strerror((int)e) : "");
	}
}

/* The server's certificate: each fault has a mend of its own. */
static void certificate_error(const struct engine_request *q, char *out, size_t len)
{
	const char *where = q->engine->where, *said = q->curl_error;

	if (strstr(said, "expired"))
		say(out, len, "certificate of %s has expired (%s): renew it on the host", where,
		    said);
	else if (strstr(said, "not yet valid"))
		say(out, len, "certificate of %s is not yet valid (%s): check the clocks", where,
		    said);
	else if (strstr(said, "does not match") || strstr(said, "no alternative"))
		say(out, len,
		    "certificate of %s is for another name (%s): use a name that it holds, or "
		    "renew it",
		    where, said);
	else
		say(out, len, "certificate of %s is not trusted (%s): check tls.ca in hosts.yml",
		    where, said);
}

static bool client_refused(const struct engine_request *q)
{
	return strstr(q->curl_error, "alert") &&
	       (strstr(q->curl_error, "certificate") || strstr(q->curl_error, "ca,"));
}

static enum engine_failure curl_failure(const struct engine_request *q, CURLcode rc, char *out,
					size_t len)
{
	const char *where = q->engine->where;
	double took = mono_now() - q->began;

	switch (rc) {
	case CURLE_COULDNT_CONNECT:
		connect_error(q, out, len);
		return ENGINE_UNREACHABLE;
	case CURLE_COULDNT_RESOLVE_HOST:
		say(out, len,
		    "no address found for the host name of %s: check the name in "
		    "hosts.yml, and DNS",
		    where);
		return ENGINE_UNREACHABLE;
	case CURLE_OPERATION_TIMEDOUT:
		engine_silent(out, len, where, took);
		return ENGINE_TIMEOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
		certificate_error(q, out, len);
		return ENGINE_UNREACHABLE;
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		say(out, len,
		    "certificate or key for %s cannot be used (%s): check tls in "
		    "hosts.yml",
		    where, q->curl_error);
		return ENGINE_UNREACHABLE;
	case CURLE_SSL_CONNECT_ERROR:
		say(out, len,
		    "TLS with %s failed (%s): check its port, and the certificate in "
		    "tls of hosts.yml",
		    where, q->curl_error);
		return ENGINE_UNREACHABLE;
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		if (client_refused(q)) {
			say(out, len,
			    "%s refused the client certificate, or wants one (%s): check tls.cert "
			    "and tls.key in hosts.yml",
			    where, q->curl_error);
			return ENGINE_UNREACHABLE;
		}
		say(out, len, "%s closed the connection before it had answered%s%s%s", where,
		    q->curl_error[0] ? " (" : "", q->curl_error, q->curl_error[0] ? ")" : "");
		return ENGINE_BROKEN;
	case CURLE_OUT_OF_MEMORY: /* what libcurl says of endless headers, too */
		say(out, len, "an answer of %s has headers without an end, or no memory is left",
		    where);
		return ENGINE_BROKEN;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		say(out, len,
		    "%s does not answer in HTTP: is it a Docker engine, and does it "
		    "want TLS?",
		    where);
		return ENGINE_BROKEN;
	default:
		say(out, len, "request to %s failed (%s)", where,
		    q->curl_error[0] ? q->curl_error : curl_easy_strerror(rc));
		return ENGINE_BROKEN;
	}
}

/* How far a request came; libcurl tells of each step how long it took. */
static enum dcm_step failed_step(const struct engine_request *q, CURLcode rc)
{
	const char *url = q->engine->ops->url(q->engine->transport);
	curl_off_t named = 0, connected = 0, ready = 0;

	switch (rc) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return DCM_STEP_NAME;
	case CURLE_COULDNT_CONNECT:
		return DCM_STEP_CONNECT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CONNECT_ERROR:
		return DCM_STEP_CERTIFICATE;
	case CURLE_OPERATION_TIMEDOUT:
		curl_easy_getinfo(q->easy, CURLINFO_NAMELOOKUP_TIME_T, &named);
		curl_easy_getinfo(q->easy, CURLINFO_CONNECT_TIME_T, &connected);
		curl_easy_getinfo(q->easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
		if (!connected && !q->connected)
			return named ? DCM_STEP_CONNECT : DCM_STEP_NAME;
		return !ready && !strncmp(url, "https", 5) ? DCM_STEP_CERTIFICATE : DCM_STEP_API;
	default: /* TLS 1.3 refuses a client's certificate after the handshake */
		return client_refused(q) ? DCM_STEP_CERTIFICATE : DCM_STEP_API;
	}
}

static void status_error(const struct engine_request *q, long status, char *out, size_t len)
{
	char said[192];

	if (status >= 300 && status < 400) {
		say(out, len,
		    "%s answered with a redirect (%ld), which is not followed: correct "
		    "the address in hosts.yml",
		    q->engine->where, status);
		return;
	}
	decode_error(q->body ? q->body : "", q->len, said, sizeof(said));
	say(out, len, said[0] ? "the engine answered %ld (%s)" : "the engine answered %ld", status,
	    said);
}

enum dcm_step engine_step(const struct engine_request *q)
{
	return q->easy ? failed_step(q, CURLE_OPERATION_TIMEDOUT) : DCM_STEP_API;
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
	if (q->easy)
		curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &r.status);
	if (q->too_long) {
		r.failure = ENGINE_TOO_LONG;
		say(r.error, sizeof(r.error), "%s of %s is longer than %zu KiB and was dropped",
		    q->head > ENGINE_HEAD_MAX ? "the head of an answer" : "an answer",
		    q->engine->where,
		    (q->head > ENGINE_HEAD_MAX ? (size_t)ENGINE_HEAD_MAX : q->max) >> 10);
	} else if (q->starved && rc == CURLE_COULDNT_CONNECT) {
		r.failure = ENGINE_STARVED;
		say(r.error, sizeof(r.error),
		    "no descriptor is left for a connection to %s: raise LimitNOFILE of dcmd",
		    q->engine->where);
	} else if (rc == CURLE_OK && q->headers && !q->status_seen) {
		r.failure = curl_failure(q, CURLE_GOT_NOTHING, r.error, sizeof(r.error));
	} else if (rc != CURLE_OK) {
		r.failure = curl_failure(q, rc, r.error, sizeof(r.error));
		r.step = failed_step(q, rc);
	} else if (r.status < 200 || r.status > 299) {
		r.failure = ENGINE_STATUS;
		status_error(q, r.status, r.error, sizeof(r.error));
	}
	r.body = q->body ? q->body : "";
	r.len = q->len;
	if (r.failure == ENGINE_OK || r.failure == ENGINE_STATUS)
		q->engine->last_answer = mono_now();
	engine_request_retire(q);
	q->done(q->arg, &r);
	free(q->body);
	free(q);
}
