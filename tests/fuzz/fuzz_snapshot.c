/* fuzz_snapshot.c - bytes on disk that are no snapshot, or nearly one.  The first
 * byte says what the rest is: a file, a file whose checksum is put right, the
 * content, or a region's mark.  What is taken can be written again, and is the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "../../shm/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 1 << 20 };

static void check(bool truth)
{
	if (!truth)
		abort();
}

/* Content that passed the check: whole items, and the same once more. */
static void try_content(const uint8_t *data, size_t size)
{
	struct snapshot_head head = {.host = "h", .time = 1}, again;
	struct record_buf content = {0}, file = {0};
	int64_t n = snapshot_check(data, size), left = n;
	struct mp m = mp_of(data, size);
	struct region_item item;
	char why[SNAPSHOT_ERR];
	uint8_t *back;
	size_t len;

	if (n < 0)
		return;
	for (; left >= 0; left--) {
		check(snapshot_next(&m, &item) == 1);
		check((item.id == NULL) == (left == n));
		check(item.name.s && item.name.len <= 1024);
		check(snapshot_pack(&content, 2 * MAX, &item) == 0);
	}
	check(snapshot_next(&m, &item) == 0);
	check(snapshot_seal(&head, &content, &file, 2 * MAX) == 0);
	check(snapshot_open(file.data, file.len, "h", 2 * MAX, &again, &back, &len, why) == 0);
	check(len == content.len && memcmp(back, content.data, len) == 0);
	check(snapshot_check(back, len) == n);
	free(back);
	record_buf_free(&content);
	record_buf_free(&file);
}

static void try_file(const uint8_t *data, size_t size)
{
	char why[SNAPSHOT_ERR] = "";
	struct snapshot_head head;
	uint8_t *content;
	size_t len;

	if (snapshot_open(data, size, "h", MAX, &head, &content, &len, why)) {
		check(why[0] && strlen(why) < SNAPSHOT_ERR && !content);
		return;
	}
	check(len <= MAX && head.host[sizeof(head.host) - 1] == '\0');
	try_content(content, len);
	free(content);
}

static void mend(uint8_t *file, size_t size)
{
	uint64_t frame = size - SNAPSHOT_HEADER, sum;

	memcpy(file, "DCMSNAP\n\1\0\0\0\x80\0\0", 16);
	memcpy(file + 32, &frame, sizeof(frame));
	sum = XXH3_64bits(file + 24, size - 24);
	memcpy(file + 16, &sum, sizeof(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot_origin o;
	uint8_t *copy;

	if (size == 0)
		return 0;
	size--;
	copy = malloc(size ? size : 1);
	memcpy(copy, data + 1, size);
	if (data[0] % 4 == 1 && size >= SNAPSHOT_HEADER)
		mend(copy, size);
	if (data[0] % 4 < 2)
		try_file(copy, size);
	else if (data[0] % 4 == 2)
		try_content(copy, size);
	else
		snapshot_origin_decode(copy, size, &o);
	free(copy);
	return 0;
}
