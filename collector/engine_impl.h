/* engine_impl.h - what engine.c, engine_loop.c and engine_failure.c share. */
#ifndef DCM_ENGINE_IMPL_H
#define DCM_ENGINE_IMPL_H

#include <sys/queue.h>

#include "decode_trim.h"
#include "engine.h"

TAILQ_HEAD(engine_requests, engine_request);

struct engine {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
	const struct transport_ops *ops;
	struct transport *transport;
	double connect_timeout, request_timeout;
	struct engine_requests waiting, later, active, streams;
	unsigned running; /* active, of those that the limit counts */
	unsigned most;	  /* of those, as far as there are descriptors */
	unsigned kept;	  /* connections that libcurl keeps */
	double starved_at, more_at; /* when that was; when one more is tried */
	CURL *spare[8];	  /* handles for the next requests */
	unsigned n_spare;
	int depth; /* inside a callback: freeing must wait */
	bool dead;
	double last_answer;
	uint64_t requests;
	char where[320];
};

struct engine_request {
	TAILQ_ENTRY(engine_request) link;
	struct engine *engine;
	CURL *easy; /* NULL: waiting */
	engine_done *done;
	engine_chunk *chunk; /* a stream */
	void *arg;
	char *body;
	size_t len, room, max;
	size_t raw; /* bytes that came, of one that is trimmed */
	size_t head;
	unsigned trim_level; /* 0: as it comes */
	struct json_trim trim;
	double began, date;
	long http_status;
	bool headers, alone, later, counted, starved;
	bool connected; /* somebody accepted; TLS may still be to come */
	bool status_seen, opened, fresh, too_long;
	char api_version[16];
	char curl_error[CURL_ERROR_SIZE];
	char path[];
};

/* engine.c */
int engine_request_prepare(struct engine_request *q);
void engine_request_finish(struct engine_request *q, CURLcode rc);
/* engine_failure.c: fills in status, failure, step and error */
void engine_judge(const struct engine_request *q, CURLcode rc, struct engine_reply *r);
/* engine_loop.c: starts or queues it; NULL (and freed) where it cannot. */
struct engine_request *engine_request_start(struct engine_request *q, bool at_once);
/* Back into the line, with fewer beside it; false: it is none that waits. */
bool engine_request_wait(struct engine_request *q);
/* Does the transport carry a few requests only? */
bool engine_is_narrow(const struct engine *e);
/* Takes it out of the engine's lists and libcurl; the caller frees it. */
void engine_request_retire(struct engine_request *q);

#endif
