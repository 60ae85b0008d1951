/* conn.h - a connection, as the files of the broker's server share it: serve.c
 * (accepting, the line, notices), conn.c (bytes in and out), reply.c (answers). */
#ifndef DCM_CONN_H
#define DCM_CONN_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <sys/queue.h>

#include "../shm/protocol.h"
#include "serve.h"

struct conn_job {
	struct job *job; /* NULL: free */
	struct conn *conn;
	uint32_t id;
};
struct conn {
	TAILQ_ENTRY(conn) in_all, in_line;
	struct serve *s;
	struct bufferevent *bev;
	struct conn_job jobs[JOBS_MAX];
	unsigned n_jobs;
	bool waiting;	 /* in the line */
	uid_t uid;	 /* whose it is */
	bool may_act;	 /* have engines asked: --refresh-group */
	bool subscribed, notice_owed;
	bool closing;	 /* a last reply is on its way; nothing more is taken */
	bool doomed;	 /* to be freed by the next turn of the line */
	uint64_t half_since; /* monotonic µs: since when half a message waits; 0: none does */
	uint64_t read_at;    /* when the client last read something of what waits for it */
	struct evbuffer_cb_entry *counting;
};
struct serve_stats {
	uint64_t accepted, refused, dropped, malformed; /* connections, ever */
	uint64_t queries, behind; /* answered by rc DCM_EBROKER */
	uint32_t conns, subscribers;
	size_t unread; /* bytes of replies */
};
struct serve {
	struct event_base *base;
	const struct child_env *env;
	struct follow *follow;
	struct requests *requests;
	struct event *accepting, *resuming, *working, *noticing;
	TAILQ_HEAD(conns, conn) all, line;
	uint32_t conns_max, doomed;
	uint64_t noticed_us, told_us;
	struct serve_stats stats, told; /* now, and when the log was last told */
	struct protocol_request request; /* of whom is served now; points into body */
	uint8_t body[PROTOCOL_REQUEST_MAX];
};

/* The line has something to do: in the loop's next turn. */
void serve_work(struct serve *s);

/* Takes over fd; NULL: no memory, and fd is closed. */
struct conn *conn_new(struct serve *s, int fd, uid_t uid, bool may_act);
void conn_free(struct conn *c);
/* Frees it soon, but not under its callers' feet. */
void conn_doom(struct conn *c);
/* Bytes of replies that the client has not read. */
size_t conn_unread(const struct conn *c);
/* Is there a whole message, and may it be taken? */
bool conn_ready(const struct conn *c);
/* Gets into the line where it has something for it. */
void conn_queue(struct conn *c);
/* Takes one message, that conn_ready() spoke of, and acts on it. */
void conn_serve(struct conn *c);
/* Sends; `last`: and closes once it is read. */
void conn_reply(struct conn *c, const struct protocol_reply *r, bool last);
/* A subscriber is told, unless it has not read the last notice yet: then its
 * descriptor is readable anyway. */
void conn_notice(struct conn *c);

/* reply.c: the answer to s->request. */
void reply_to(struct conn *c, const struct protocol_request *q);

#endif
