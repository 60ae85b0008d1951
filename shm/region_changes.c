/*
 * region_changes.c - the reader's side of a region's change ring.
 *
 * The writer stores a change into slot head % DCM_CHANGES and then raises
 * change_head (release).  So the slots of the changes [head - DCM_CHANGES + 1,
 * head) are whole; the one before may be under the writer's pen.  A reader that
 * took a slot asks afterwards whether its change was still within them.
 */
#include "region_read.h"

uint64_t region_change_head(const struct region_map *m)
{
	return atomic_load_explicit(&m->h->change_head, memory_order_acquire);
}

static const _Atomic uint64_t *ring_slot(const struct region_map *m, uint64_t index)
{
	uint64_t offset = m->h->changes_offset + (index & (DCM_CHANGES - 1)) * sizeof(uint64_t);

	return (const _Atomic uint64_t *)(const void *)(m->base + offset);
}

/* changes_offset was checked when the region was mapped, but it lies in memory
 * that another may write: never follow it out of what is backed. */
static bool ring_within(const struct region_map *m)
{
	uint64_t at = m->h->changes_offset;
	uint64_t limit = atomic_load_explicit(&m->h->data_limit, memory_order_acquire);

	return at % sizeof(uint64_t) == 0 && at >= DCM_PAGE && limit <= DCM_MAP_SPAN &&
	       at <= limit && limit - at >= DCM_CHANGES * sizeof(uint64_t);
}

int region_change_next(const struct region_map *m, uint64_t *cursor, struct region_change *out)
{
	uint64_t head = region_change_head(m);

	if (*cursor == head)
		return 0;
	if (head - *cursor < DCM_CHANGES && ring_within(m)) {
		uint64_t w = atomic_load_explicit(ring_slot(m, *cursor), memory_order_relaxed);

		atomic_thread_fence(memory_order_acquire);
		if (region_change_head(m) - *cursor < DCM_CHANGES) {
			*out = (struct region_change){.entry = (uint32_t)(w >> 32),
						      .generation = (uint16_t)(w >> 16),
						      .tiers = (uint8_t)(w >> 8),
						      .kind = (uint8_t)w};
			++*cursor;
			return 1;
		}
	}
	*cursor = region_change_head(m);
	return -1;
}
