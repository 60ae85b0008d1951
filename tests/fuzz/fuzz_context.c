/* fuzz_context.c - files of the docker command that are none: a name, or nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../collector/decode_context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool truth)
{
	if (!truth)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct docker_context c;
	char *current;

	if (decode_context((const char *)data, size, &c) == 0)
		check(c.name != NULL);
	else
		check(!c.name && !c.host);
	free(c.name);
	free(c.host);
	if (decode_docker_config((const char *)data, size, &current) < 0)
		check(!current);
	free(current);
	return 0;
}
