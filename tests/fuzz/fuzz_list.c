/* fuzz_list.c - whatever an engine answers to list: sound records, each alone in
 * the arena, or a sentence. */
#include "fuzz_decode.h"

static bool one(const struct decoded *d, void *arg)
{
	unsigned *n = arg;

	check_record(&d->rec);
	++*n;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = {.max = 4 << 20};
	unsigned n = 0, bad = 0;
	char err[DECODE_ERR] = "";

	if (decode_list((const char *)data, size, &a, one, &n, &bad, err) < 0)
		check(err[0] && strlen(err) < sizeof(err));
	check((size_t)n * 64 + bad <= size);
	check(a.used == 0 && !a.head);
	return 0;
}
