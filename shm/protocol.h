/*
 * protocol.h - what libdcm and the broker say to each other: on a unix stream
 * socket, each message is a big-endian u32 length (of what follows, at most
 * PROTOCOL_MAX) and one msgpack map.  Unknown keys are skipped.  Pure codec.
 * docs/protocol.md is the description.
 */
#ifndef DCM_PROTOCOL_H
#define DCM_PROTOCOL_H

#include "dcm.h"
#include "record.h"

enum {
	PROTOCOL_VERSION = 1,
	PROTOCOL_REQUEST_MAX = 64 << 10, /* bytes of a request: hosts lists included */
	PROTOCOL_REPLY_MAX = 64 << 20,
	PROTOCOL_HOSTS_MAX = 1024,
};
enum protocol_op {
	PROTOCOL_QUERY = 1,
	PROTOCOL_REFRESH,
	PROTOCOL_LOGS,
	PROTOCOL_FORGET,
	PROTOCOL_SUBSCRIBE,
	PROTOCOL_PING
};

struct protocol_request {
	uint32_t id;		/* echoed in the reply */
	enum protocol_op op;
	struct dcm_query query;	/* QUERY */
	char text[4096], value[4096], host[64]; /* what query's pointers point to, once decoded */
	struct dcm_str hosts[PROTOCOL_HOSTS_MAX]; /* REFRESH, LOGS and FORGET: the first */
	uint32_t n_hosts;	/* REFRESH: 0 = all enabled */
	char container[65];
	uint32_t lines, timeout_ms;
};
struct protocol_reply {
	uint32_t id;
	int rc;			/* enum dcm_rc */
	struct dcm_str error;
	/* QUERY: n_refs × 16 bytes, struct dcm_ref as four LE u32; NULL: none given */
	const uint8_t *refs;
	uint32_t n_refs;
	struct dcm_outcome *outcomes; /* REFRESH, LOGS, FORGET; room is the caller's */
	/* Decoding: set outcomes (may be NULL) and room before; n_outcomes is how
	 * many were stored, those past the room are passed over. */
	uint32_t n_outcomes, room_outcomes;
	bool notice;		/* SUBSCRIBE: something changed (no id) */
};

/* Each appends a whole message, length included.  0; -EINVAL: the other side
 * would refuse it (text of 4096 bytes or more, …); -E2BIG, -ENOMEM.  On failure
 * the buffer is as before. */
int protocol_encode_request(const struct protocol_request *q, struct record_buf *b);
int protocol_encode_reply(const struct protocol_reply *r, struct record_buf *b);
/* The body behind the length.  false: malformed, or of another version.  hosts,
 * error and refs point into data; query's texts into *out. */
bool protocol_decode_request(const uint8_t *data, size_t len, struct protocol_request *out);
bool protocol_decode_reply(const uint8_t *data, size_t len, struct protocol_reply *out);

#endif
