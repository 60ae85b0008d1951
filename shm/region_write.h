/*
 * region_write.h - the one writer of a region of shared memory.
 *
 * A writer is one process (single-threaded use).  Killed or stopped at any
 * instruction it leaves every reader working on what was last published; the
 * next region_attach() of the same object repairs what was half done.
 * No function aborts on a full /dev/shm or a reached limit: it returns -ENOSPC
 * and the last published state stays.
 * Return values: 0, or a negative errno; region_error() has the sentence.
 */
#ifndef DCM_REGION_WRITE_H
#define DCM_REGION_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dcm.h"

struct region;

enum region_kind { REGION_DIRECTORY = 1, REGION_SHARD = 2 };

struct region_spec {
	enum region_kind kind;
	uid_t uid;
	gid_t gid;		/* group that may read; mode is 0640 */
	const char *instance;
	const char *host;	/* NULL for the directory */
	uint64_t limit;		/* bytes; 0: none */
};

/*
 * Opens the region for writing: re-attaches the newest sound generation that
 * this user left in /dev/shm (the same boot and layout; every reference is
 * checked, doubtful ones zeroed), else makes a new generation; older ones are
 * unlinked.  The caller must be the only writer (its predecessor was reaped).
 * *reattached (may be NULL) says which.
 */
int region_open(struct region **out, const struct region_spec *spec, bool *reattached,
		char *err, size_t errlen);
/* Unmaps; unlink_it: removes the object too. */
void region_close(struct region **r, bool unlink_it);
const char *region_error(const struct region *r);
uint32_t region_generation(const struct region *r);

/* One tier of an entry.  data == NULL: nothing new to write, but verified.
 * Data equal to what is published is not written again. */
struct region_tier {
	enum dcm_tier tier;
	const void *data;
	uint32_t len;
	double verified;	/* Unix s; NaN: leave as it is; 0: "never" (age null) */
};
struct region_brief {
	uint8_t status, health;	/* enum dcm_status, enum dcm_health */
	double cpu_percent;	/* NaN: not measured */
	int64_t memory_usage;	/* DCM_UNKNOWN: not measured */
};

enum { REGION_NAME_MAX = 1024 }; /* bytes; longer ones are refused */

/* Inserts or updates the entry of `id`.  name NULL: as it is (a new entry needs
 * one).  brief NULL: as it is.  A rename inserts the new name before it takes
 * the old one away; a name that another entry holds goes to the newest. */
int region_put(struct region *r, const uint8_t id[32], const struct dcm_str *name,
	       const struct region_brief *brief, const struct region_tier *tiers, size_t n);
/* The region's own row (entry DCM_SELF): STATUS and STATS tiers of a host. */
int region_put_self(struct region *r, const struct region_tier *tiers, size_t n);
/* -ENOENT where there is none. */
int region_remove(struct region *r, const uint8_t id[32]);
/* Removes every entry (`forget`). */
int region_clear(struct region *r);

/* Removes every entry, and goes on in a new generation, so that nothing of what
 * they held can be read any more; announce it, as that of region_beat(). */
int region_reset(struct region *r);

/* End of a batch: readers and waiters are told.  Also reclaims what has been in
 * quarantine long enough.  true: something was published since the last call. */
bool region_publish(struct region *r);
/* Called each second: the heartbeat; reclaims; renews the region into a new
 * generation when most of what it holds is free (memory shrinks so).  Returns 1
 * where it did: announce region_generation(), call region_unlink_old() once the
 * directory shows it. */
int region_beat(struct region *r);
void region_unlink_old(struct region *r);

/* What the writer itself published, for re-attach and comparison: calls `fn`
 * for each entry; stop by returning false.  Pointers live during the call. */
struct region_item {
	const uint8_t *id;
	struct dcm_str name;
	struct region_brief brief;
	struct {
		const uint8_t *data; /* NULL: none */
		uint32_t len;
		double verified;     /* Unix s; 0: never */
	} tier[DCM_TIERS];
};
void region_each(struct region *r, bool (*fn)(const struct region_item *, void *), void *arg);
/* The same in pieces: begin with 1, and go on with what it returned when fn stopped it,
 * 0 at the end, while region_generation() stays: another one has other entries. */
uint32_t region_each_from(struct region *r, uint32_t from,
			  bool (*fn)(const struct region_item *, void *), void *arg);
bool region_get(struct region *r, const uint8_t id[32], struct region_item *out);
void region_get_self(struct region *r, struct region_item *out); /* its id is NULL */

/* Would what was refused last for want of space fit now?  true also where nothing was. */
bool region_room(struct region *r);

struct region_usage {
	uint64_t held, live, quarantined, entries; /* bytes, bytes, bytes, count */
	uint64_t full;		/* writes refused for want of space */
	uint64_t renewals, repaired;
};
void region_usage(const struct region *r, struct region_usage *out);

#endif
