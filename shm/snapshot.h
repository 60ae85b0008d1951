/*
 * snapshot.h - the codec of snapshots: what a region holds, as the bytes of one
 * file, and back.  Pure: bytes in, values or a sentence out; the file itself is
 * the collector's (collector/snapshot_file.c).  docs/snapshots.md has the format.
 *
 *	write: snapshot_pack() each item, the region's own row first, into one
 *	       buffer; snapshot_seal() makes the file of it
 *	read:  snapshot_open() checks the file and unpacks the buffer;
 *	       snapshot_check() looks at all of it; snapshot_next() takes it apart
 *
 * Nothing of a file is believed: sizes are bounded by the caller's maximum before
 * anything is allocated, and what snapshot_check() passed can be put into a region.
 */
#ifndef DCM_SNAPSHOT_H
#define DCM_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mp.h"
#include "record.h"
#include "region_write.h"

enum { SNAPSHOT_VERSION = 1, SNAPSHOT_HEADER = 128, SNAPSHOT_ERR = 160 };

/* Where content comes from, as hashes: which engine, and what was taken out of it. */
struct snapshot_origin {
	uint64_t engine, rules;
	bool forgotten; /* not in a file: the region was emptied on demand */
};
struct snapshot_head {
	char host[64];
	struct snapshot_origin origin;
	double time; /* Unix s: when the content was last known to be true */
};

/* Appends an item; id NULL: the region's own row.  0, -E2BIG beyond max, -ENOMEM. */
int snapshot_pack(struct record_buf *b, size_t max, const struct region_item *item);
/* The file: header and compressed content, in `out`, replacing what it held.
 * 0, -E2BIG beyond max, -ENOMEM. */
int snapshot_seal(const struct snapshot_head *head, const struct record_buf *content,
		  struct record_buf *out, size_t max);

/* Checks the file of `host` and unpacks its content, the caller's to free.  0;
 * -EINVAL: damaged, or not for us, and err[SNAPSHOT_ERR] says why; -ENOMEM. */
int snapshot_open(const void *file, size_t len, const char *host, size_t max,
		  struct snapshot_head *head, uint8_t **content, size_t *content_len, char *err);
/* Is all of the content whole items, the row first?  The count of containers, or -1. */
int64_t snapshot_check(const uint8_t *content, size_t len);
/* The next item, pointing into the content.  1, 0: the end, -1: malformed. */
int snapshot_next(struct mp *m, struct region_item *out);

/* The same for the region itself, which says in its own row where its content
 * comes from (tier CONFIG), once all of it is there. */
int snapshot_origin_encode(const struct snapshot_origin *o, struct record_buf *b);
bool snapshot_origin_decode(const uint8_t *data, size_t len, struct snapshot_origin *out);

#endif
