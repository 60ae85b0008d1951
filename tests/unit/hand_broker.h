/*
 * hand_broker.h - a broker made by hand for an instance of dcm_help.h: a thread
 * that answers as the protocol says, or misbehaves as the test would have it.
 */
#ifndef HAND_BROKER_H
#define HAND_BROKER_H

#include "dcm_help.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../../shm/protocol.h"

enum broker_mood {
	ANSWERS,      /* with what a scan finds */
	SAYS_NOTHING,
	TALKS_GARBAGE,
	HANGS_UP,
	ANSWERS_ANOTHER,
	IS_LOST,      /* with references into a shard that is not there */
	REFUSES,
};
struct hand_broker {
	const struct world *world;
	pthread_t thread;
	int listener, quit[2];
	enum broker_mood mood;
	_Atomic unsigned requests;
	struct protocol_request last;
	uint8_t *body; /* the bytes that `last` points into */
};

static inline bool read_full(int fd, void *to, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(fd, (char *)to + at, len - at);

		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static inline void hand_broker_answer(struct hand_broker *b, int fd, const struct dcm_refs *found)
{
	static struct dcm_outcome done = {.host = "beta"};
	struct protocol_reply r = {.id = b->last.id};
	struct record_buf out = {0};
	struct dcm_ref lost = {2, 999, 1, 1};

	if (b->last.op == PROTOCOL_QUERY) {
		r.refs = found->n ? (const uint8_t *)found->v : (const uint8_t *)"";
		r.n_refs = (uint32_t)found->n;
	} else {
		r.outcomes = &done;
		r.n_outcomes = 1;
	}
	if (b->mood == ANSWERS_ANOTHER)
		r.id += 100;
	if (b->mood == IS_LOST) {
		r.refs = (const uint8_t *)&lost;
		r.n_refs = 1;
	}
	if (b->mood == REFUSES) {
		r.rc = DCM_EHOST;
		r.error = text_of("beta: no route to host");
		memcpy(done.error, "no route to host", 17);
		done.rc = DCM_EHOST;
	}
	assert_int_equal(protocol_encode_reply(&r, &out), 0);
	/* who was too slow for its client finds it gone */
	send(fd, out.data, out.len, MSG_NOSIGNAL);
	record_buf_free(&out);
}

static inline void hand_broker_serve(struct hand_broker *b, int fd, dcm *own)
{
	struct dcm_refs found = {0};
	uint8_t prefix[4];

	while (read_full(fd, prefix, 4)) {
		uint32_t len = (uint32_t)prefix[2] << 8 | prefix[3];

		if (!read_full(fd, b->body, len) ||
		    !protocol_decode_request(b->body, len, &b->last))
			break;
		b->requests++;
		if (b->mood == TALKS_GARBAGE && send(fd, "\0\0\0\3abc", 7, MSG_NOSIGNAL) == 7)
			continue;
		if (b->mood == HANGS_UP)
			break;
		if (b->mood == SAYS_NOTHING) {
			struct pollfd p = {.fd = fd, .events = 0};

			poll(&p, 1, 5000); /* until the client hangs up */
			break;
		}
		if (b->last.op == PROTOCOL_QUERY)
			dcm_query(own, &b->last.query, &found);
		hand_broker_answer(b, fd, &found);
	}
	dcm_refs_free(&found);
}

static inline void *hand_broker_run(void *arg)
{
	struct hand_broker *b = arg;
	dcm *own = world_reader(b->world, DCM_NO_BROKER);
	struct pollfd p[2] = {{.fd = b->listener, .events = POLLIN},
			      {.fd = b->quit[0], .events = POLLIN}};

	while (poll(p, 2, -1) > 0 && !p[1].revents) {
		int fd = accept(b->listener, NULL, NULL);

		if (fd < 0)
			continue;
		hand_broker_serve(b, fd, own);
		close(fd);
	}
	dcm_close(&own);
	return NULL;
}

static inline void hand_broker_start(struct hand_broker *b, const struct world *w,
				     enum broker_mood mood)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	memset(b, 0, sizeof(*b));
	b->world = w;
	b->mood = mood;
	b->body = malloc(PROTOCOL_REQUEST_MAX);
	assert_non_null(b->body);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%.31s/broker.sock", w->runtime_dir,
		 w->instance);
	unlink(sa.sun_path);
	b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(b->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(b->listener, 8), 0);
	assert_int_equal(pipe2(b->quit, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&b->thread, NULL, hand_broker_run, b), 0);
}

/* All connections to it must be closed by then. */
static inline void hand_broker_stop(struct hand_broker *b)
{
	assert_int_equal(write(b->quit[1], "q", 1), 1);
	pthread_join(b->thread, NULL);
	close(b->listener);
	close(b->quit[0]);
	close(b->quit[1]);
	free(b->body);
}

#endif
