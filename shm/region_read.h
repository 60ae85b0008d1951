/*
 * region_read.h - a reader's mapping of one region: the four helpers that hold
 * the whole read side of the protocol (attach, find, load a blob, check it).
 * Private to shm/; libdcm is built on it.
 */
#ifndef DCM_REGION_READ_H
#define DCM_REGION_READ_H

#include "dcm.h"
#include <sys/types.h>

#include "layout.h"

struct region_map {
	const uint8_t *base; /* PROT_READ, DCM_MAP_SPAN bytes */
	const struct dcm_header *h;
	uint64_t inode;
	_Atomic uint64_t known; /* bytes known to lie inside the file; grows */
	/* Entry chunks that were seen to lie there whole; they never move. */
	_Atomic uintptr_t chunk[DCM_CHUNKS];
};

/* Maps a region read-only from an O_RDONLY descriptor, after checking that its
 * owner is `uid`, that nobody else may write it, and that its header is of this
 * layout.  Returns enum dcm_rc; `err` gets the sentence. */
int region_map_open(struct region_map *m, const char *object, uid_t uid, char *err, size_t errlen);
void region_map_close(struct region_map *m);

/* Entry by index, NULL where out of range; how many there are to look at. */
const struct dcm_entry *region_entry(const struct region_map *m, uint32_t index);
uint32_t region_entries(const struct region_map *m);
/* For an entry that is to be read whole: starts fetching all its blobs, so that they
 * come together instead of one after the other. */
void region_entry_prefetch(const struct region_map *m, const struct dcm_entry *e);

/* By id or by name.  DCM_OK, DCM_ENOTFOUND, DCM_EBUSY. */
int region_find_id(const struct region_map *m, const uint8_t id[32], uint32_t *entry,
		   uint32_t *generation);
int region_find_name(const struct region_map *m, const char *name, size_t len, uint32_t *entry,
		     uint32_t *generation);

/* A blob in place: loaded and header-checked; the caller parses [data, len) with
 * bounds, then asks region_blob_ok(). */
struct region_blob {
	const uint8_t *data;
	uint32_t len;
	const struct dcm_blob *blob;
	uint64_t seq, ref, written;
	const _Atomic uint64_t *slot; /* where ref was loaded from */
};
/* slot: &entry->ref[tier] or &entry->name; tier to match (DCM_BLOB_NAME). */
int region_blob_load(const struct region_map *m, const _Atomic uint64_t *slot, uint32_t entry,
		     uint32_t generation, uint32_t tier, struct region_blob *out);
bool region_blob_ok(const struct region_blob *b);
/* Load, copy by relaxed words into dst[room], check: DCM_OK with *len; DCM_ENOMEM
 * with *len where room is too small; DCM_ESTALE, DCM_EBUSY, DCM_ENOTFOUND. */
int region_blob_copy(const struct region_map *m, const _Atomic uint64_t *slot, uint32_t entry,
		     uint32_t generation, uint32_t tier, void *dst, size_t room, uint32_t *len,
		     uint64_t *written);
bool region_entry_ok(const struct dcm_entry *e, uint32_t generation);
double region_verified(const struct region_map *m, const struct dcm_entry *e,
		       unsigned tier); /* Unix s; 0: never */

/* XXH3-64 of the sizes and offsets of layout.h, as this build has them. */
uint64_t region_layout_hash(void);

/* Bounded wait for header.publish to differ from `seen` (futex).  True: it does. */
bool region_wait(const struct region_map *m, uint32_t seen, int timeout_ms);

/* The change ring, read from a cursor of the reader's own: how many changes it
 * has seen; start with region_change_head().  In region_changes.c. */
struct region_change {
	uint32_t entry;
	uint16_t generation; /* low half of the entry's generation */
	uint8_t tiers, kind; /* bits 1 << tier; DCM_CH_… */
};
uint64_t region_change_head(const struct region_map *m);
/* 1: the next change is in *out; 0: there is none; -1: the ring went round since,
 * so changes were missed, and *cursor is now at the head: read all anew. */
int region_change_next(const struct region_map *m, uint64_t *cursor, struct region_change *out);
/* One wait for header.publish to differ from `seen`.  1: it does; 0: not yet; -1:
 * a signal came. */
int region_wait_once(const struct region_map *m, uint32_t seen, int timeout_ms);

#endif
