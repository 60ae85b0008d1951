/*
 * engine_failure.c - what is wrong with a request that failed: a kind, how far it came,
 * and a sentence with the mend.  libcurl's codes become words here and nowhere else.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "decode.h"
#include "engine_impl.h"

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
			say(out, len,
			    "no route to %s, a rule of this machine prohibits it: check its "
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

void engine_judge(const struct engine_request *q, CURLcode rc, struct engine_reply *r)
{
	if (q->easy)
		curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &r->status);
	if (q->too_long) {
		r->failure = ENGINE_TOO_LONG;
		say(r->error, sizeof(r->error), "%s of %s is longer than %zu KiB and was dropped",
		    q->head > ENGINE_HEAD_MAX ? "the head of an answer" : "an answer",
		    q->engine->where,
		    (q->head > ENGINE_HEAD_MAX ? (size_t)ENGINE_HEAD_MAX : q->max) >> 10);
	} else if (q->starved && rc == CURLE_COULDNT_CONNECT) {
		r->failure = ENGINE_STARVED;
		say(r->error, sizeof(r->error),
		    "no descriptor is left for a connection to %s: raise LimitNOFILE of dcmd",
		    q->engine->where);
	} else if (rc == CURLE_OK && q->headers && !q->status_seen) {
		r->failure = curl_failure(q, CURLE_GOT_NOTHING, r->error, sizeof(r->error));
	} else if (rc != CURLE_OK) {
		r->failure = curl_failure(q, rc, r->error, sizeof(r->error));
		r->step = failed_step(q, rc);
	} else if (r->status < 200 || r->status > 299) {
		r->failure = ENGINE_STATUS;
		status_error(q, r->status, r->error, sizeof(r->error));
	}
}
