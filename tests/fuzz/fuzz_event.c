/* fuzz_event.c - a stream of events: cut into objects that move on, each an event
 * with sound texts or a sentence. */
#include "fuzz_decode.h"

static void check_text(const char *s, size_t room)
{
	size_t n = strnlen(s, room);

	check(n < room && text_valid(s, n) == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	char err[DECODE_ERR] = "";
	struct engine_event e;
	size_t at = 0;
	long n;

	while ((n = decode_split(s + at, size - at)) > 0) {
		check((size_t)n <= size - at);
		if (decode_event(s + at, (size_t)n, &e, err) < 0) {
			check(err[0]);
		} else {
			check_text(e.action, sizeof(e.action));
			check_text(e.object, sizeof(e.object));
			check(strlen(e.id) == 0 || strlen(e.id) == 64);
			check(e.time_nano >= 0);
		}
		at += (size_t)n;
	}
	check(n == 0 || n == -1);
	return 0;
}
