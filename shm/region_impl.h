/*
 * region_impl.h - what the files of a region's writer share.
 *
 *   region_write.c         put, remove, publish, beat: what the callers ask for
 *   region_write_blob.c    blobs: written, read back, compared
 *   region_write_table.c   the two open-addressed tables
 *   region_write_space.c   free space, quarantine, growth
 *   region_write_room.c    how much memory the cgroups leave us
 *   region_write_attach.c  open: create a generation, or find and take over one
 *   region_write_verify.c  what is checked and repaired when taking over
 *   region_write_renew.c   a new generation, smaller than the old one
 *
 * Everything in struct region is private to the process and can be rebuilt from
 * the memory.  Every store to the memory goes through the st_* helpers below,
 * so that a test can stop the writer at each of them in turn.
 */
#ifndef DCM_REGION_IMPL_H
#define DCM_REGION_IMPL_H

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "layout.h"
#include "names.h"
#include "region_write.h"

#ifdef DCM_TEST_STORES
void region_test_store(void); /* the test's: may end the process */
#define REGION_STORE() region_test_store()
#else
#define REGION_STORE() ((void)0)
#endif

static inline void st_32(_Atomic uint32_t *p, uint32_t v)
{
	REGION_STORE();
	atomic_store_explicit(p, v, memory_order_relaxed);
}
static inline void st_64(_Atomic uint64_t *p, uint64_t v)
{
	REGION_STORE();
	atomic_store_explicit(p, v, memory_order_relaxed);
}
static inline void st_i64(_Atomic int64_t *p, int64_t v)
{
	REGION_STORE();
	atomic_store_explicit(p, v, memory_order_relaxed);
}
static inline void st_32_release(_Atomic uint32_t *p, uint32_t v)
{
	REGION_STORE();
	atomic_store_explicit(p, v, memory_order_release);
}
static inline void st_64_release(_Atomic uint64_t *p, uint64_t v)
{
	REGION_STORE();
	atomic_store_explicit(p, v, memory_order_release);
}
/* Many words that nothing leads to yet; a test stops at some of them. */
static inline void st_words(_Atomic uint64_t *p, const void *data, size_t bytes)
{
	const uint8_t *from = data;
	uint64_t word;

	for (size_t i = 0; i < bytes; i += 8) {
		word = 0;
		memcpy(&word, from + i, bytes - i < 8 ? bytes - i : 8);
		if (i % 512 == 0)
			REGION_STORE();
		atomic_store_explicit(p++, word, memory_order_relaxed);
	}
}
static inline void st_zero(_Atomic uint64_t *p, size_t words)
{
	for (size_t i = 0; i < words; i++) {
		if (i % 64 == 0)
			REGION_STORE();
		atomic_store_explicit(p++, 0, memory_order_relaxed);
	}
}
/* The writer's own loads need no order: nobody else stores. */
#define ld(p) atomic_load_explicit((p), memory_order_relaxed)

/* ---- space: offsets and sizes in units ------------------------------------ */

struct region_extent {
	uint32_t off, units;
};
struct region_extents {
	struct region_extent *v;
	uint32_t n, room;
};
struct region_waiting {
	struct region_extent at;
	uint64_t since; /* monotonic ns */
};

enum { REGION_CLASSES = 107, REGION_UNITS_MAX = 1 << 26 };

struct region_space {
	struct region_extents free[REGION_CLASSES]; /* by size, as stacks */
	uint64_t nonempty[2];			    /* bits: classes that have one */
	uint64_t top;				    /* all beyond was never used */
	uint64_t free_units;
	uint64_t fresh;		     /* freed since the last merge */
	struct region_waiting *ring; /* quarantine, oldest first */
	uint32_t head, waiting, room;
	uint64_t quarantined; /* units */
};

struct region_table {
	_Atomic uint64_t *slot; /* the descriptor in the header */
	bool by_name;
	uint32_t used; /* buckets that are not empty: live ones and tombstones */
};

struct region {
	uint8_t *base;
	struct dcm_header *h;
	int fd;
	uint32_t generation;
	char object[DCM_OBJECT_NAME_MAX];

	struct region_spec spec; /* its strings point to: */
	char instance[DCM_INSTANCE_MAX + 1], host[DCM_HOST_ID_MAX + 1];

	struct region_space space;
	struct region_table by_id, by_name;
	uint32_t *unused; /* entries below header.entries that are in no use */
	uint32_t n_unused, room_unused;
	struct region_extent spare[DCM_TIER_SLOTS]; /* for entry 0's next blob; units 0: none */
	uint32_t shadowed; /* entries whose name leads to a newer one */
	bool changed;	   /* since the last publish */

	uint32_t sparse;   /* beats that found most of the region free, in a row */
	uint8_t *old_base; /* the generation that this one replaced, until unlinked */
	char old_object[DCM_OBJECT_NAME_MAX];

	uint64_t full, renewals, repaired;
	uint32_t wanted; /* units of the smallest write refused since there was room; 0 */
	char err[256];
};

/* Sets the sentence; returns -code. */
int region_fail(struct region *r, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A batch is out: whoever waits is woken. */
void region_wake(struct dcm_header *h);
/* A region is out: its readers are told which generation to look for. */
void region_retire(struct dcm_header *h, uint32_t successor);
/* Where the wall clock was set, the epoch is moved with it: ages stay what they are. */
void region_follow_clock(struct region *r);
uint64_t region_now(void); /* CLOCK_MONOTONIC, ns */
double region_wall(void);  /* CLOCK_REALTIME, s */

/* region_write_space.c */
uint32_t space_round(uint64_t bytes); /* units of the size class that holds `bytes` */
/* Offset in units, or 0 with -ENOSPC's sentence set. */
uint32_t space_alloc(struct region *r, uint32_t units);
void space_free(struct region *r, uint32_t off, uint32_t units);   /* nobody may know of it */
void space_retire(struct region *r, uint32_t off, uint32_t units); /* readers may */
void space_reclaim(struct region *r);
uint64_t space_live(const struct region *r); /* bytes */
void space_release(struct region_space *s);
/* All that is used, sorted by offset: the rest becomes free. */
void space_rebuild(struct region *r, const struct region_extent *used, size_t n, uint32_t first);

/* region_write_room.c: bytes that the tightest cgroup of this process still
 * allows; UINT64_MAX: no limit, or none that can be read. */
uint64_t region_cgroup_room(const char *proc_cgroup, const char *sys_root);

/* region_write_blob.c */
static inline struct dcm_entry *entry_of(const struct region *r, uint32_t index)
{
	unsigned k = dcm_chunk_of(index);

	return (struct dcm_entry *)(r->base + ld(&r->h->chunk[k]) +
				    (index - dcm_chunk_first(k)) * DCM_ENTRY_SIZE);
}
static inline struct dcm_blob *blob_of(const struct region *r, uint64_t ref)
{
	return (struct dcm_blob *)(r->base + DCM_REF_OFFSET(ref));
}
static inline const uint8_t *blob_data(const struct dcm_blob *b)
{
	return (const uint8_t *)b + DCM_BLOB_HEADER;
}
static inline bool entry_live(const struct dcm_entry *e)
{
	return (ld(&e->generation) & 1) == 0;
}
/* The place of an entry's stats, number `which`: in units; 0: it has none. */
static inline uint32_t home_of(const struct region *r, uint32_t index, unsigned which)
{
	unsigned k = dcm_chunk_of(index);

	if (k < DCM_HOME_CHUNK)
		return 0;
	return (uint32_t)((ld(&r->h->chunk[k]) + dcm_homes_at(k, index) + which * DCM_HOME_SIZE) /
			  DCM_UNIT);
}
uint32_t blob_units(uint32_t entry, uint32_t tier, uint32_t length);
bool blob_at_home(const struct region *r, uint64_t ref); /* one that is sound */
/* Takes the room that entry 0 is to find in a region that is full, where it is missing. */
void blob_spare(struct region *r);
/* A reference to a new blob that nothing leads to yet; 0: no space. */
uint64_t blob_write(struct region *r, uint32_t entry, uint32_t generation, uint32_t tier,
		    const void *data, uint32_t len);
uint64_t blob_copy(struct region *r, const struct dcm_blob *b); /* of another region */
bool blob_equals(const struct region *r, uint64_t ref, const void *data, uint32_t len);
void blob_discard(struct region *r, uint64_t ref); /* one that nothing ever led to */
void blob_retire(struct region *r, uint64_t ref);  /* one that something led to */
struct dcm_str blob_str(const struct region *r, uint64_t ref);
/* Takes or makes an entry that is in no use; 0: no space. */
uint32_t entry_take(struct region *r);
void entry_give(struct region *r, uint32_t index);
/* Makes an entry chunk, all of it in no use; 0, or -errno. */
int chunk_make(struct region *r, unsigned k);

/* region_write_table.c */
/* An empty one in place of what the descriptor says, which is not given back. */
int table_make(struct region *r, struct region_table *t, unsigned log2);
int table_reserve(struct region *r, struct region_table *t); /* for one more key */
int table_rebuild(struct region *r, struct region_table *t);
bool table_sound(struct region *r, struct region_table *t);
/* Where it lies; its descriptor. */
uint64_t table_extent(const struct region_table *t, struct region_extent *out);
uint32_t table_find_id(const struct region *r, const uint64_t id[4]); /* entry, or 0 */
void table_add_id(struct region *r, uint32_t entry);
void table_drop_id(struct region *r, uint32_t entry);
/* The name leads to `entry` from now on, whoever had it. */
void table_add_name(struct region *r, struct dcm_str name, uint32_t entry);
/* It does not any more; another entry of this name is found by it again. */
void table_drop_name(struct region *r, struct dcm_str name, uint32_t entry);

/* region_write_attach.c */
struct region *region_new(const struct region_spec *spec);
void region_unmap(struct region *r);
/* A new object of the first free generation from `generation` on, mapped, its
 * header filled, entry 0 there, and no magic yet. */
int region_create(struct region *r, uint32_t generation, char *note, size_t notelen);
void region_go_live(struct region *r);

/* region_write_renew.c: 0, or -errno and all is as before. */
int region_renew(struct region *r);

/* region_write_verify.c: 0, or -EUCLEAN with the sentence of what is wrong. */
int region_verify(struct region *r);

#endif
