/*
 * engine.h - the Engine API client: HTTP requests over a transport, by libcurl's
 * multi interface in a libevent loop.  Nothing here knows what the answers mean.
 *
 * Every request has a time limit and a largest body; redirects are refused and
 * no compression is asked for.  Where no descriptor is left, fewer requests run at
 * once and the others wait.  Callbacks come from the loop, outside libcurl, so that
 * they may start and cancel requests and close the engine.
 */
#ifndef DCM_ENGINE_H
#define DCM_ENGINE_H

#include <event2/event.h>
#include <stdint.h>

#include "transport.h"

enum {
	ENGINE_HEAD_MAX = 256 << 10, /* headers of an answer, interim answers' counted */
	ENGINE_RAW_MAX = 1 << 30,    /* of an answer that is trimmed as it comes */
	ENGINE_TRIM_AFTER = 1 << 20, /* bytes: a shorter one needs no look */
	ENGINE_LIST_MAX = 256 << 20,
	ENGINE_INSPECT_MAX = 16 << 20,
	ENGINE_CATALOG_MAX = 8 << 20, /* the images, or the networks, of a host */
	ENGINE_STATS_MAX = 1 << 20,
	ENGINE_SMALL_MAX = 1 << 20, /* ping, version, info, an error's body */
	ENGINE_LOGS_MAX = 32 << 20,
	ENGINE_LINE_MAX = 1 << 20,   /* of a stream, what is not consumed yet */
	ENGINE_CONNECTIONS = 160,    /* at once; more requests wait their turn */
	ENGINE_IDLE_CONNECTIONS = 8, /* kept open between bursts of requests */
};

struct engine;
struct engine_request;

enum engine_failure {
	ENGINE_OK,
	ENGINE_STATUS,	    /* answered, but not with 2xx */
	ENGINE_UNREACHABLE, /* no connection */
	ENGINE_TIMEOUT,
	ENGINE_BROKEN, /* cut short, or no HTTP */
	ENGINE_STARVED, /* this process may open no further descriptor: not its fault */
	ENGINE_TOO_LONG,
};
struct engine_reply {
	enum engine_failure failure;
	enum dcm_step step; /* that failed: name, connect, certificate, else API */
	long status;	  /* of HTTP; 0: none */
	const char *body; /* NUL-terminated; lives during the call */
	size_t len;
	double began;	      /* when it was asked, mono_now() */
	double date;	      /* Date header, Unix s; NaN (only engine_ping) */
	char api_version[16]; /* Api-Version header (only engine_ping) */
	char error[320];      /* a sentence; "" when ENGINE_OK */
};
typedef void engine_done(void *arg, const struct engine_reply *reply);

/* NULL: no memory.  t must be ready, and outlive the engine; `where` (copied) is what
 * sentences call it; timeouts in s. */
struct engine *engine_open(struct event_base *base, const struct transport_ops *ops,
			   struct transport *t, const char *where, double connect_timeout,
			   double request_timeout);
/* Drops every request without a callback. */
void engine_close(struct engine **e);

/* GET of `path` ("/v1.41/…").  done is called once, unless it is cancelled.
 * NULL: no memory. */
struct engine_request *engine_get(struct engine *e, const char *path, size_t max_body,
				  engine_done *done, void *arg);
/* The same of containers in JSON: where it is long, what does not fit of each of them is
 * left out as it comes (decode_trim.h), `level` 1: the document is one, 2: a list. */
struct engine_request *engine_get_trimmed(struct engine *e, const char *path, size_t max_body,
					  unsigned level, engine_done *done, void *arg);
/* The same, behind all others where connections are few, and never on the last. */
struct engine_request *engine_get_later(struct engine *e, const char *path, size_t max_body,
					engine_done *done, void *arg);
/* A ping: its headers are kept, and no other request goes before it.  alone: on a
 * connection of its own. */
struct engine_request *engine_ping(struct engine *e, bool alone, engine_done *done, void *arg);
/* On which step of the way it still waits; and the sentence of one that waited in vain. */
enum dcm_step engine_step(const struct engine_request *q);
void engine_silent(char *out, size_t len, const char *where, double seconds);
/* An endless answer.  chunk(arg, NULL, 0) when its 200 came; then with all that is
 * not consumed: it returns how much it took, or -1 to end the stream. */
typedef long engine_chunk(void *arg, const char *data, size_t len);
struct engine_request *engine_stream(struct engine *e, const char *path, engine_chunk *chunk,
				     engine_done *done, void *arg);
void engine_cancel(struct engine_request *q);

double engine_last_answer(const struct engine *e); /* mono_now(); 0: none */
uint64_t engine_requests(const struct engine *e);
double engine_starved(const struct engine *e); /* mono_now() of the last time; 0: never */

double mono_now(void); /* s, CLOCK_MONOTONIC */
double wall_now(void); /* Unix s */

#endif
