/* fuzz_trim.c - whatever comes, in whatever pieces: no more than the room is written, the
 * same in one go as in many, and what comes out is not made smaller again. */
#include "fuzz_decode.h"

#include "../../collector/decode_trim.h"

static char *trimmed(const char *s, size_t len, unsigned level, size_t piece, size_t *out)
{
	char *all = malloc(2 * len + len / piece * 64 + 64);
	struct json_trim t;

	*out = 0;
	json_trim_init(&t, level);
	for (size_t i = 0; i < len; i += piece) {
		size_t n = len - i < piece ? len - i : piece;
		char *to = malloc(TRIM_ROOM(n));
		size_t got = json_trim_feed(&t, to, s + i, n);

		check(got <= TRIM_ROOM(n));
		memcpy(all + *out, to, got);
		*out += got;
		free(to);
	}
	return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	size_t n, m, k;

	for (unsigned level = 1; level <= 2; level++) {
		char *once = trimmed(s, size, level, size + 1, &n);
		char *many = trimmed(s, size, level, 1 + size % 7, &m);
		char *again = trimmed(once, n, level, size + 1, &k);

		check(n == m && memcmp(once, many, n) == 0);
		check(n == k && memcmp(once, again, n) == 0);
		free(once);
		free(many);
		free(again);
	}
	return 0;
}
