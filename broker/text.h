/*
 * text.h - the arena of folded names and images, for substring search: all
 * texts one behind the other with a NUL between, so that one pass over packed
 * bytes finds every one that holds a needle.  Each text stands once however
 * many containers have it; what was taken out is blanked, and the arena packed
 * anew when most of it is blank.
 */
#ifndef DCM_TEXT_H
#define DCM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text_arena {
	char *bytes;
	size_t len, room, dead;
	uint32_t *offset; /* of text i; ascending */
	uint32_t *owner;  /* the term whose text it is; UINT32_MAX: taken out */
	uint32_t n, room_n;
};
void texts_free(struct text_arena *t);

/* Appends; returns its number, UINT32_MAX where there is no memory. */
uint32_t texts_add(struct text_arena *t, const char *s, size_t n, uint32_t owner);
/* Takes text i out.  true: texts_pack() is worth its while. */
bool texts_remove(struct text_arena *t, uint32_t i);
/* Packs; `moved` tells each owner the new number of its text. */
void texts_pack(struct text_arena *t, void (*moved)(void *arg, uint32_t owner, uint32_t i),
		void *arg);
/* Calls `hit` once for each text that holds the needle (n >= 1, no NUL). */
void texts_search(const struct text_arena *t, const char *needle, size_t n,
		 void (*hit)(void *arg, uint32_t owner), void *arg);

#endif
