/* fuzz_catalog.c - whatever an engine answers to the lists of images and of networks:
 * lines of words, each line bounded, or a sentence. */
#include "fuzz_decode.h"

typedef int decode_fn(const char *json, size_t len, struct arena *a, struct dcm_strs *out,
		      char *err);

static void check_line(struct dcm_str s, size_t words_least)
{
	size_t words = 1;

	check(s.len > 0 && s.len <= 8192 && s.s[0] != ' ' && s.s[s.len - 1] != ' ');
	for (uint32_t i = 0; i < s.len; i++) {
		check((unsigned char)s.s[i] >= ' ' && s.s[i] != 0x7F);
		check(s.s[i] != ' ' || s.s[i + 1] != ' ');
		words += s.s[i] == ' ';
	}
	check(words >= words_least);
}

static void try(decode_fn *decode, const uint8_t *data, size_t size)
{
	struct arena a = {.max = 4 << 20};
	char err[DECODE_ERR] = "";
	struct dcm_strs lines;

	if (decode((const char *)data, size, &a, &lines, err) < 0)
		check(err[0] && strlen(err) < sizeof(err));
	check_strs(lines);
	for (uint32_t i = 0; i < lines.n; i++)
		check_line(lines.v[i], 2); /* an id, and a parent or a name */
	arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try(decode_images, data, size);
	try(decode_networks, data, size);
	return 0;
}
