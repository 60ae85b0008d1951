/*
 * index.h - the broker's indexes: which containers a query means.  They are fed
 * with tiers' bytes by follow.c and know nothing of where those come from.
 *
 * A container is a "doc", a small number that is used again.  What each tier of
 * it says are terms (facts.h, terms.h); folded names and images stand in a text
 * arena besides (text.h); the docs of a host are kept in order (order.h), so
 * that an answer is a set of bits over all places, read out in order.
 *
 * A container whose tier is malformed or says more than FACTS_MAX is "wide": it
 * is on a list, and asked about one by one.  With more than INDEX_WIDE_MAX of
 * them, or without memory, the index says that it cannot answer; it never
 * answers wrongly.
 */
#ifndef DCM_INDEX_H
#define DCM_INDEX_H

#include "../shm/dcm.h"
#include "../shm/match.h"
#include "facts.h"
#include "order.h"
#include "terms.h"
#include "text.h"

#define INDEX_NONE UINT32_MAX
enum {
	INDEX_SLOTS_MAX = 1 << 16,   /* hosts */
	INDEX_ENTRIES_MAX = 1 << 24, /* containers of one host */
	INDEX_LINKS_MAX = 1 << 26,   /* terms of all docs together */
	INDEX_WIDE_MAX = 256,
};
enum index_part { PART_STATUS, PART_CONFIG, PART_COMPOSE, PARTS };

struct index_doc {
	uint8_t id[32];
	char *name; /* what the order is by; NULL counts as "" */
	uint32_t name_len;
	uint32_t epoch; /* of its host, when last listed */
	uint8_t todo;	/* follow.c's: what is to be done with it */
	uint8_t wide;	/* bits (1 << part) */
	bool identified;
	struct {
		uint64_t print;
		struct term_link *v;
		uint32_t n;
	} part[PARTS];
};
struct index_where {
	uint32_t host;	/* index_host's number; INDEX_NONE: a free doc */
	uint32_t place; /* in its order; ORDER_HOLE: none yet */
};
struct index_host {
	char id[64];
	uint32_t slot, epoch;
	bool gone;	    /* left the directory */
	struct order order;
	uint32_t *by_entry; /* doc + 1 */
	uint32_t entries, docs;
};
struct index {
	/* docs, side by side: the first three are read by the million */
	struct dcm_ref *ref;
	struct index_where *where;
	uint64_t *head; /* the first 8 bytes of the id, as a number */
	struct index_doc *doc;
	uint32_t n, room, docs, free_n, free_room, *free;

	struct index_host **host; /* by number */
	uint32_t hosts, hosts_room;
	uint32_t *by_slot;	  /* number + 1 */
	uint32_t slots;
	uint32_t *ranked;	  /* numbers in order of id; [hosts] */
	uint32_t *base;		  /* by number: the first bit of its places, a multiple of 64 */
	uint32_t places;
	bool dirty;		  /* ranked and base are to be made anew */

	struct terms terms;
	struct text_arena text;
	uint32_t *wide, n_wide, wide_room;
	bool broken;		  /* memory was short: cannot answer any more */

	uint64_t *bits;
	uint32_t bits_room;
	struct dcm_ref *answer;
	uint32_t answer_n, answer_room;
	struct facts facts; /* scratch */
};

/* NULL: no memory.  `seed` is to be a secret of this process. */
struct index *index_new(uint64_t seed);
void index_free(struct index **ix);

/* The number of the host of that directory slot, made where there is none.  A slot
 * that held another host is cleared first. */
uint32_t index_host(struct index *ix, uint32_t slot, const char *id);
/* The doc of a reference, made where there is none; whoever stood at the entry
 * with another generation is removed.  INDEX_NONE: out of range or memory.  A new
 * doc is in no answer before its STATUS tier is told. */
uint32_t index_put(struct index *ix, uint32_t host, struct dcm_ref ref);
/* By slot and entry; INDEX_NONE. */
uint32_t index_find(const struct index *ix, struct dcm_ref ref);
void index_identify(struct index *ix, uint32_t doc, const uint8_t id[32]);
/* What a tier (one of FACTS_TIERS) now says; data NULL: it is not there. */
void index_tier(struct index *ix, uint32_t doc, enum dcm_tier tier, const uint8_t *data,
		uint32_t len);
void index_remove(struct index *ix, uint32_t doc);
/* Sorts what came since; answers do it by themselves, at the cost of their time. */
void index_settle(struct index *ix, uint32_t host);

/* Which containers `m` means (PROJECT, LABEL, SEARCH, MOUNT, NETWORK) of `host`
 * (NULL: all), into ix->answer[answer_n], by host id, then name; asks `wide`
 * about wide containers.  false: the index cannot say. */
typedef bool index_wide(void *arg, const struct match *m, struct dcm_ref ref);
bool index_query(struct index *ix, const struct match *m, const char *host, index_wide *wide,
		 void *arg);

/* Bytes of private memory, roughly. */
size_t index_memory(const struct index *ix);

#endif
