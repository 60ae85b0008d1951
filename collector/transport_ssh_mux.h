/* transport_ssh_mux.h - the bytes of OpenSSH's multiplexing protocol; no I/O. */
#ifndef DCM_TRANSPORT_SSH_MUX_H
#define DCM_TRANSPORT_SSH_MUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MUX_VERSION = 4,
	MUX_PACKET_MAX = 1024, /* of what a master may say at once */
};

enum mux_kind {
	MUX_MORE, /* it is not whole yet */
	MUX_BAD,  /* it is none, or none that may come here */
	MUX_HELLO,
	MUX_OPENED,
	MUX_REFUSED,
	MUX_EXIT,
};
struct mux_answer {
	enum mux_kind kind;
	uint32_t version;	   /* of MUX_HELLO */
	uint32_t request, session; /* whose it is */
	uint32_t status;	   /* of MUX_EXIT */
	char reason[128];	   /* of MUX_REFUSED, cut where it does not fit */
};
/* The first packet of data; returns how long it is, 0: MUX_MORE or MUX_BAD. */
size_t mux_read(const unsigned char *data, size_t len, struct mux_answer *a);

/* A packet; returns its length, 0: it does not fit. */
size_t mux_hello(unsigned char *buf, size_t room);
size_t mux_new_session(unsigned char *buf, size_t room, uint32_t request, const char *command);

#endif
