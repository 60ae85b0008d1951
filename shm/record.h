/*
 * record.h - the record codec: C values to and from the msgpack maps of tiers.
 *
 * Writing (collector, through msgpack-c): a struct record_out is filled field
 * by field and encoded tier by tier.  A tier's map holds every field of that
 * tier, in the order of DCM_FIELDS, by name, nil where it is not known; so
 * equal states are equal bytes.
 * Reading (libdcm) is in record_read.c, over mp.h.
 */
#ifndef DCM_RECORD_H
#define DCM_RECORD_H

#include "dcm.h"

/* A growing buffer with a stated maximum. */
struct record_buf {
	char *data;
	size_t len, room;
};
void record_buf_free(struct record_buf *b);
/* Appends; 0, or -E2BIG where the whole would pass `max` bytes, or -ENOMEM. */
int record_buf_append(struct record_buf *b, const void *data, size_t len, size_t max);

/* Encodes the fields of `tier` in `r` (a decoded record whose pointers the
 * caller owns; record_out_init() sets every field to null) into b, replacing
 * its content.  0, or -E2BIG when it would pass RECORD_TIER_MAX, or -ENOMEM. */
enum { RECORD_TIER_MAX = 4 << 20 };
void record_out_init(struct dcm_record *r);
int record_encode(const struct dcm_record *r, enum dcm_tier tier, struct record_buf *b);
/* The same, but what is too long is made to fit: the longest texts, lists and maps of the
 * tier lose their ends, in r too, and r->truncated is set.  So encode CONFIG, which says
 * so, last. */
int record_encode_fit(struct dcm_record *r, enum dcm_tier tier, struct record_buf *b);

/* The row of a host, as the self entry of its shard holds it: STATUS tier
 * {state error engine_version api_version transport cpus memory_total os kernel
 *  clock_offset step conditions warnings}, whose `verified` is the time of the last complete list;
 * STATS tier {containers running cpu_percent memory_usage events refreshes
 * errors pid}.  DCM_STATUS or DCM_STATS of `h`. */
int record_encode_host(const struct dcm_host *h, enum dcm_tier tier, struct record_buf *b);
/* Its COMPOSE tier, {images networks}: lists of texts. */
int record_encode_catalog(const struct dcm_catalog *c, struct record_buf *b);

/* Entries of the directory.  CONFIG: {description tags enabled}; STATUS:
 * {generation restarts error}.  Self entry, STATUS: struct dcm_info as a map. */
struct record_dirent {
	struct dcm_str id, description;
	struct dcm_strs tags;
	bool enabled;
	uint32_t generation; /* of the shard; 0: none */
	int64_t restarts;
	struct dcm_str error; /* why its collector cannot work, else null */
};
int record_encode_dirent(const struct record_dirent *e, enum dcm_tier tier, struct record_buf *b);
int record_encode_info(const struct dcm_info *i, struct record_buf *b);

/* Readers of the same, pure: bytes in, struct out; false where malformed.  They
 * set the members that the bytes name and leave the others; strings point into
 * the bytes. */
#define RECORD_NO_ROOM ((struct record_room){0})
struct record_room { /* for the members of lists, taken in turn; more are left out */
	struct dcm_str *v;
	size_t n;
};
bool record_decode_host(const uint8_t *data, size_t len, enum dcm_tier tier, struct dcm_host *out,
			struct record_room room);
bool record_decode_dirent(const uint8_t *data, size_t len, enum dcm_tier tier,
			  struct record_dirent *out, struct record_room room);
bool record_decode_catalog(const uint8_t *data, size_t len, struct dcm_catalog *out,
			   struct record_room room);
bool record_decode_info(const uint8_t *data, size_t len, struct dcm_info *out,
			struct record_room room);
/* A whole tier of a container into r's members, each of them, null where the bytes do
 * not name it.  The bytes are overwritten, and RECORD_BEHIND more behind them: strings
 * point into them, with a NUL behind each; lists into the arena at *arena (8-byte
 * aligned, *room bytes; moved on).  DCM_ELAYOUT: malformed; DCM_ENOMEM: the arena is too
 * small.  RECORD_ARENA bytes for each byte of what record_encode() wrote suffice, twice
 * as many for any bytes. */
enum { RECORD_ARENA = 16, RECORD_BEHIND = 48 };
int record_decode_tier(uint8_t *data, size_t len, enum dcm_tier tier, struct dcm_record *r,
		       uint8_t **arena, size_t *room);
/* And the tier of which there are no bytes. */
void record_null_tier(struct dcm_record *r, enum dcm_tier tier);
/* Decodes bytes that we wrote and that must stay as they are: `memory`, 8-byte aligned and of
 * record_decode_room(len) bytes, takes a copy of them, and the lists. */
static inline size_t record_decode_room(size_t len)
{
	return ((len + RECORD_BEHIND + 7) & ~(size_t)7) + len * RECORD_ARENA;
}
int record_decode_copy(const void *data, size_t len, enum dcm_tier tier, struct dcm_record *r,
		       void *memory);

uint8_t record_status_code(struct dcm_str s); /* enum dcm_status */
uint8_t record_health_code(struct dcm_str s); /* enum dcm_health */
const char *record_status_name(uint8_t code); /* "" for unknown */

#endif
