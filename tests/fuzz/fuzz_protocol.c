/* fuzz_protocol.c - bytes of a client or a broker gone mad: nothing is read out of
 * bounds, and what is taken for a request or reply can be said again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../shm/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct protocol_request request, again;

static void check(bool truth)
{
	if (!truth)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dcm_outcome outcomes[8];
	struct protocol_reply reply = {.outcomes = outcomes, .room_outcomes = 8};
	struct record_buf b = {0};

	/* 256: keys that a request may leave out, and the encoder does not */
	if (size <= PROTOCOL_REQUEST_MAX - 256 && protocol_decode_request(data, size, &request)) {
		check(protocol_encode_request(&request, &b) == 0);
		check(protocol_decode_request((uint8_t *)b.data + 4, b.len - 4, &again));
		check(again.id == request.id && again.op == request.op);
		check(again.n_hosts == request.n_hosts || again.op == PROTOCOL_QUERY ||
		      again.op == PROTOCOL_SUBSCRIBE || again.op == PROTOCOL_PING);
		b.len = 0;
	}
	if (protocol_decode_reply(data, size, &reply)) {
		check(reply.n_refs == 0 || (reply.refs >= data &&
					    reply.refs + 16 * (size_t)reply.n_refs <= data + size));
		check(reply.n_outcomes <= 8);
		check(protocol_encode_reply(&reply, &b) == 0);
	}
	record_buf_free(&b);
	return 0;
}
