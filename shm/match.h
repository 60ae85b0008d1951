/*
 * match.h - which containers a cross-host query means.  Pure predicates over
 * the bytes of tiers: libdcm scans with them, the broker builds its indexes by
 * them, and so both give the same answer.
 *
 * All texts are compared as bytes; "any case" folds A-Z alone, so a text in
 * another script matches as it stands.
 */
#ifndef DCM_MATCH_H
#define DCM_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "dcm.h"

enum { MATCH_TEXT_MAX = 4095 }; /* bytes of a query's text or value */

/* ---- the parts ---------------------------------------------------------- */

/* Folds A-Z to a-z, s to dst (which may be s); both hold n bytes. */
void match_fold(char *dst, const char *s, size_t n);
/* `folded` (by match_fold) stands in `text`, any case.  An empty one always does. */
bool match_contains(struct dcm_str text, struct dcm_str folded);
/* The hex digits of `prefix`, any case and 0 to 64 of them, begin `id`. */
bool match_id_prefix(const uint8_t id[32], struct dcm_str prefix);
/* `at` is `path` or below it, by whole components; slashes at the end do not count. */
bool match_path(struct dcm_str at, struct dcm_str path);
/* Takes "source:destination:mode" apart, from the right.  false: it is none. */
bool match_bind_split(struct dcm_str bind, struct dcm_str *source, struct dcm_str *destination);
/* Source or destination of a bind_mounts text is `path` or below it. */
bool match_bind(struct dcm_str bind, struct dcm_str path);

/* ---- a whole query ------------------------------------------------------ */

struct match {
	enum dcm_query_kind kind;
	struct dcm_str text; /* SEARCH: folded; MOUNT: without slashes at the end */
	struct dcm_str value; /* s == NULL: any */
	uint8_t code;	     /* STATUS, HEALTH: of enum dcm_status, dcm_health */
	unsigned tiers;	     /* bits (1 << tier) of the tiers to look into */
	bool none;	     /* nothing can match, such as an unknown status */
	char buf[MATCH_TEXT_MAX + 1];
};
/* Prepares q (not a TOP query) into *m, which must not move afterwards; q's
 * value must live as long.  DCM_OK, or DCM_EINVAL with the sentence in *why. */
int match_init(struct match *m, const struct dcm_query *q, const char **why);
/* What the entry alone says.  1: it matches, 0: it does not, -1: ask the tiers of
 * m->tiers, any of which may match. */
int match_entry(const struct match *m, const uint8_t id[32], uint8_t status, uint8_t health);
/* What one tier's msgpack map says. */
bool match_tier(const struct match *m, enum dcm_tier tier, const uint8_t *data, uint32_t len);

#endif
