/*
 * arena.c - memory that is freed all at once.
 *
 * Blocks in a list, the newest at the head, filled from the front.  A piece
 * that no fresh block of the usual size would hold gets a block of its own
 * behind the head, so that the head's free space stays in use.  `used` counts
 * what was given out (not what malloc holds), so that a limit means the same
 * whatever the sizes asked for.
 */
#include "arena.h"

#include <stdlib.h>
#include <string.h>

struct arena_block {
	struct arena_block *next;
	size_t len, room;
	uint64_t data[]; /* aligned for all that is put there */
};

enum { BLOCK_MIN = 8 << 10, BLOCK_MAX = 256 << 10 };

/* A new block for a piece of n bytes; NULL: no memory. */
static struct arena_block *block_for(struct arena *a, size_t n)
{
	size_t room = a->used < BLOCK_MIN ? BLOCK_MIN : a->used < BLOCK_MAX ? a->used : BLOCK_MAX;
	struct arena_block *b;

	room = (room + 7) & ~(size_t)7;
	if (room < n)
		room = n;
	b = malloc(sizeof(*b) + room);
	if (!b)
		return NULL;
	b->len = 0;
	b->room = room;
	if (a->head && n == room) {
		b->next = a->head->next;
		a->head->next = b;
	} else {
		b->next = a->head;
		a->head = b;
	}
	return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b = a->head;
	void *p;

	if (n > SIZE_MAX / 4)
		return NULL;
	n = (n + 7) & ~(size_t)7;
	if (a->max && (n > a->max || a->used > a->max - n))
		return NULL;
	if (!b || n > b->room - b->len)
		b = block_for(a, n);
	if (!b)
		return NULL;
	p = (char *)b->data + b->len;
	b->len += n;
	a->used += n;
	return memset(p, 0, n);
}

struct dcm_str arena_str(struct arena *a, const char *s, size_t len)
{
	struct dcm_str out = {NULL, 0};
	char *p;

	if (len > UINT32_MAX - 8)
		return out;
	p = arena_alloc(a, len + 1);
	if (!p)
		return out;
	if (len)
		memcpy(p, s, len);
	out.s = p;
	out.len = (uint32_t)len;
	return out;
}

void arena_free(struct arena *a)
{
	while (a->head) {
		struct arena_block *next = a->head->next;

		free(a->head);
		a->head = next;
	}
	a->used = 0;
}
