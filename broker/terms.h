/*
 * terms.h - the inverted index: term -> the containers that have it.
 *
 * A term is a fact such as "has the label a=b", known by a 128-bit hash of kind
 * and text under a seed of this process's own; the text itself is not kept, so
 * a term costs the same however long it is.  A container ("doc") is a small
 * number.  A doc keeps a link {term, at} for each of its terms, and the term
 * keeps the doc in docs[at]; so both adding and removing take constant time.
 * Which docs a list holds is what counts: its order is none.
 */
#ifndef DCM_TERMS_H
#define DCM_TERMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum term_kind {
	TERM_NAME,	/* folded; its text stands in the text arena too */
	TERM_IMAGE,	/* likewise */
	TERM_NETWORK,
	TERM_LABEL,	/* the key */
	TERM_PAIR,	/* key and value */
	TERM_MOUNT,	/* a path, or one above it */
	TERM_PROJECT,
	TERM_KINDS
};
#define TERM_NONE UINT32_MAX

struct term_key {
	uint64_t lo, hi;
};
struct term_link {
	uint32_t term, at;
};
struct term {
	struct term_key key;
	union {
		uint32_t one; /* room == 0: the list is this doc alone */
		uint32_t *v;
	} docs;
	uint32_t n, room;
	uint32_t text;	/* place in the text arena, TERM_NONE; of a free term: the next free */
	uint32_t kind;
};
struct terms {
	struct term *v;
	uint32_t n, room, free, used;
	uint32_t *table; /* term + 1, by the key's low bits; linear probing */
	uint32_t mask;
	uint64_t seed, links;
};

void terms_init(struct terms *t, uint64_t seed);
void terms_free(struct terms *t);

struct term_key terms_key(const struct terms *t, enum term_kind kind, const void *s, size_t n);
/* Of a label with a value, from the key of TERM_LABEL. */
struct term_key terms_pair(struct term_key label, const void *value, size_t n);

/* NULL: no container has it. */
const struct term *terms_find(const struct terms *t, struct term_key key);
static inline const uint32_t *term_docs(const struct term *t)
{
	return t->room ? t->docs.v : &t->docs.one;
}

/* Gives `doc` the term.  1: done, *link filled, *fresh where the term is new;
 * 0: the doc was the last to get this very term, so has it; -1: no memory. */
int terms_add(struct terms *t, struct term_key key, enum term_kind kind, uint32_t doc,
	      struct term_link *link, bool *fresh);
/* Takes it away.  Another doc may move to link.at: *moved, else TERM_NONE; the
 * caller corrects that doc's link.  *died: nobody has the term any more, its
 * number is free, and *text what it had in the text arena. */
void terms_remove(struct terms *t, struct term_link link, uint32_t *moved, bool *died,
		  uint32_t *text);

#endif
