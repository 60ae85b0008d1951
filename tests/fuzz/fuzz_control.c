/* fuzz_control.c - bytes of a child gone mad: no message, or one that stays within its
 * bounds and can be said again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../shm/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool truth)
{
	if (!truth)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_msg m, again;
	uint8_t out[CONTROL_MAX];
	size_t len;

	if (!control_decode(data, size, &m))
		return 0;
	check(m.kind >= CONTROL_BEAT && m.kind <= CONTROL_CONDITION);
	check((unsigned)m.what <= CONTROL_EXPIRE);
	check(memchr(m.host, 0, sizeof(m.host)) && memchr(m.container, 0, sizeof(m.container)) &&
	      memchr(m.error, 0, sizeof(m.error)));
	len = control_encode(&m, out);
	check(len > 0 && control_decode(out, len, &again));
	/* NaN is as it was, too */
	check(memcmp(&m.seconds, &again.seconds, sizeof(m.seconds)) == 0 || m.seconds == 0);
	m.seconds = again.seconds = 0;
	check(memcmp(&m, &again, sizeof(m)) == 0);
	return 0;
}
