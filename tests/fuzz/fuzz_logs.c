/* fuzz_logs.c - the bytes of a log, as frames and as a terminal's: at most as many
 * lines as asked for, each clean. */
#include "fuzz_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = {.max = 16 << 20};
	struct dcm_strs lines;
	uint32_t max;

	if (size < 1)
		return 0;
	max = data[0] & 0x7F;
	if (decode_logs((const char *)data + 1, size - 1, data[0] & 0x80, max, &a, &lines) == 0) {
		check(lines.known && lines.n <= max);
		for (uint32_t i = 0; i < lines.n; i++) {
			check(lines.v[i].s && !lines.v[i].s[lines.v[i].len]);
			check(text_valid(lines.v[i].s, lines.v[i].len) == lines.v[i].len);
			check(!memchr(lines.v[i].s, '\n', lines.v[i].len));
		}
	}
	arena_free(&a);
	return 0;
}
