/* arena.h - memory that is freed all at once: what one JSON document became. */
#ifndef DCM_ARENA_H
#define DCM_ARENA_H

#include <stddef.h>

#include "../shm/dcm.h"

struct arena_block;
struct arena {
	struct arena_block *head;
	size_t used, max; /* bytes given out; where max != 0, arena_alloc fails beyond it */
};
/* Zeroed, 8-byte aligned; NULL: no memory, or over max. */
void *arena_alloc(struct arena *a, size_t n);
struct dcm_str arena_str(struct arena *a, const char *s, size_t len); /* copied, NUL behind */
void arena_free(struct arena *a); /* ready for use again */

#endif
