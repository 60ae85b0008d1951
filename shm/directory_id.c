/*
 * directory_id.c - the binary id of a host in the directory.  Entries of every
 * region are keyed by 32 bytes; a container has an id of that size, a host gets
 * one here, the same in every process.
 */
#include "names.h"

#include <string.h>

#include <xxhash.h>

void directory_host_id(const char *host, uint8_t id[32])
{
	static const XXH64_hash_t seed[2] = {0x64636d2d686f7374ull, 0x64636d2d686f7375ull};

	for (unsigned i = 0; i < 2; i++) {
		XXH128_canonical_t c;

		XXH128_canonicalFromHash(&c, XXH3_128bits_withSeed(host, strlen(host), seed[i]));
		memcpy(id + 16 * i, c.digest, 16);
	}
}
