/*
 * known.h - what `watch` last saw of each container and host: its name and a
 * hash of each field.  So it can say which fields changed, and name what was
 * removed, in half a kilobyte each.
 */
#ifndef CLIENT_KNOWN_H
#define CLIENT_KNOWN_H

#include "props.h"

enum { KNOWN_FIELDS = 64 }; /* at most, of a row */

/* The indexes of the properties that changed. */
struct changed {
	uint8_t v[KNOWN_FIELDS];
	size_t n;
};

struct known {
	char host[64], id[65];
	char *name;
	struct dcm_ref ref;
	uint32_t mark; /* the last resync that saw it */
	bool shown;    /* it matched the filter */
	uint64_t hash[KNOWN_FIELDS];
	struct known *next_by_ref, *next_by_id;
};
struct known_table {
	struct known **by_ref, **by_id;
	size_t buckets, n;
};

/* Found by the reference that a change carries; or, when references are new
 * (a shard was renewed), by host and id.  NULL: not known. */
struct known *known_by_ref(const struct known_table *t, struct dcm_ref ref);
struct known *known_by_id(const struct known_table *t, struct dcm_str host, const char *id);
/* Adds it, or notes its new reference. */
struct known *known_add(struct known_table *t, const struct dcm_record *r, struct dcm_ref ref);
void known_move(struct known_table *t, struct known *k, struct dcm_ref ref);
void known_remove(struct known_table *t, struct known *k);
void known_free(struct known_table *t);
/* Calls fn for each that is of `host` and whose mark is another; fn may remove it. */
void known_unmarked(struct known_table *t, struct dcm_str host, uint32_t mark,
		    void (*fn)(struct known *k, void *arg), void *arg);

/* Notes the record: which fields are other than before.  Of tiers that did not
 * change (bits of `tiers`) nothing is looked at.  Times of verification and
 * what the reader adds do not count. */
void known_compare(struct known *k, const struct dcm_record *r, uint32_t tiers,
		   struct changed *out);

/* The same for host rows; ages, sums and counts do not count. */
struct known_host {
	char id[64];
	uint32_t mark;
	uint64_t hash[KNOWN_FIELDS];
};
void known_compare_host(struct known_host *k, const struct dcm_host *h, struct changed *out);

#endif
