/*
 * control.h - messages between the supervisor and its children: one msgpack map
 * a datagram on a SOCK_SEQPACKET pair.  Pure codec, plus send and receive that
 * never block.
 *
 *   child -> supervisor   beat, ready, shard (a new generation is to be shown in
 *                         the directory), cycle (a list cycle ended), done,
 *                         condition (of a collector: why it has no shard)
 *   broker -> supervisor  ask (passed on to the host's collector), condition (of its
 *                         own, for the supervisor to publish)
 *   supervisor -> collector   ask, shown (the directory shows your generation)
 *   supervisor -> broker      done (passed on)
 */
#ifndef DCM_CONTROL_H
#define DCM_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum control_kind {
	CONTROL_BEAT = 1,
	CONTROL_READY,
	CONTROL_SHARD, /* generation */
	CONTROL_CYCLE, /* rc (0: ok), containers, seconds */
	CONTROL_ASK,   /* token, host, what, container, lines */
	CONTROL_DONE,  /* token, rc (enum dcm_rc), error */
	CONTROL_SHOWN, /* generation */
	CONTROL_CONDITION, /* lines: enum condition, error: its sentence, "": over */
};
enum control_what {
	CONTROL_REFRESH = 1,
	CONTROL_LOGS,
	CONTROL_FORGET, /* all that is cached, the snapshot too */
	CONTROL_EXPIRE, /* what is in memory: nobody has verified it for long */
};

struct control_msg {
	enum control_kind kind;
	uint64_t token;
	uint32_t generation;
	int rc;
	int64_t containers;
	double seconds;
	enum control_what what;
	uint32_t lines;
	char host[64];
	char container[65]; /* 64 hex */
	char error[256];
};
enum { CONTROL_MAX = 1024 }; /* bytes of a message */

size_t control_encode(const struct control_msg *m, uint8_t buf[CONTROL_MAX]);
bool control_decode(const uint8_t *data, size_t len, struct control_msg *out);
/* 0, or -errno (-EAGAIN: would block).  control_recv: 1 got one, 0 end. */
int control_send(int fd, const struct control_msg *m);
int control_recv(int fd, struct control_msg *out);

#endif
