/* fuzz_about.c - what an engine says of itself, and its errors: bounded, clean
 * lines. */
#include "fuzz_decode.h"

static void check_line(const char *s, size_t room)
{
	size_t n = strnlen(s, room), i;

	check(n < room && text_valid(s, n) == n);
	for (i = 0; i < n; i++)
		check((unsigned char)s[i] >= ' ' && s[i] != 0x7F);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	char err[DECODE_ERR] = "", line[80];
	struct engine_about a;

	decode_about_init(&a);
	decode_version(s, size, &a, err);
	decode_info(s, size, &a, err);
	check_line(a.version, sizeof(a.version));
	check_line(a.api_version, sizeof(a.api_version));
	check_line(a.min_api_version, sizeof(a.min_api_version));
	check_line(a.os, sizeof(a.os));
	check_line(a.kernel, sizeof(a.kernel));
	check_line(a.name, sizeof(a.name));
	decode_error(s, size, line, sizeof(line));
	check_line(line, sizeof(line));
	return 0;
}
