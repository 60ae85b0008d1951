/* record_buf.c - the growing buffer of the codecs; its maximum is the caller's. */
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void record_buf_free(struct record_buf *b)
{
	free(b->data);
	*b = (struct record_buf){0};
}

int record_buf_append(struct record_buf *b, const void *data, size_t len, size_t max)
{
	if (b->len > max || len > max - b->len)
		return -E2BIG;
	if (b->len + len > b->room) {
		size_t room = b->room ? b->room : 512;
		char *grown;

		while (room < b->len + len)
			room *= 2;
		if (room > max)
			room = max;
		grown = realloc(b->data, room);
		if (!grown)
			return -ENOMEM;
		b->data = grown;
		b->room = room;
	}
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}
