/*
 * region_changes.c - the reader's side of a region's change ring, and a wait for it
 * to move.
 *
 * The writer stores a change into slot head % DCM_CHANGES and then raises
 * change_head (release).  So the slots of the changes [head - DCM_CHANGES + 1,
 * head) are whole; the one before may be under the writer's pen.  A reader that
 * took a slot asks afterwards whether its change was still within them.
 */
#include "region_read.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t region_change_head(const struct region_map *m)
{
	return atomic_load_explicit(&m->h->change_head, memory_order_acquire);
}

/* The slot of a change; NULL where the ring does not lie in what is backed.
 * changes_offset was checked when the region was mapped, but it stands in memory
 * that another may write: it is fetched once. */
static const _Atomic uint64_t *ring_slot(const struct region_map *m, uint64_t index)
{
	uint64_t at = *(const volatile uint64_t *)&m->h->changes_offset;

	if (at % sizeof(uint64_t) != 0 || at < DCM_PAGE ||
	    at > atomic_load_explicit(&m->known, memory_order_relaxed) -
		     DCM_CHANGES * sizeof(uint64_t))
		return NULL;
	at += (index & (DCM_CHANGES - 1)) * sizeof(uint64_t);
	return (const _Atomic uint64_t *)(const void *)(m->base + at);
}

int region_change_next(const struct region_map *m, uint64_t *cursor, struct region_change *out)
{
	uint64_t head = region_change_head(m);
	const _Atomic uint64_t *slot;

	if (*cursor == head)
		return 0;
	slot = ring_slot(m, *cursor);
	if (slot) {
		uint64_t w = atomic_load_explicit(slot, memory_order_relaxed);

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

int region_wait_once(const struct region_map *m, uint32_t seen, int timeout_ms)
{
	struct timespec t = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};
	int interrupted = 0;

	if (atomic_load_explicit(&m->h->publish, memory_order_acquire) != seen)
		return 1;
	/* Not FUTEX_PRIVATE: the word is shared between processes. */
	if (syscall(SYS_futex, &m->h->publish, FUTEX_WAIT, seen, &t, NULL, 0) < 0)
		interrupted = errno == EINTR;
	if (atomic_load_explicit(&m->h->publish, memory_order_acquire) != seen)
		return 1;
	return interrupted ? -1 : 0;
}
