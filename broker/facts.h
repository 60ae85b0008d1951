/*
 * facts.h - what a tier of a container says to the index: its terms.  Pure:
 * msgpack bytes in, terms out, by the same rules as shm/match.h, so that an
 * index and a scan give one answer.
 */
#ifndef DCM_FACTS_H
#define DCM_FACTS_H

#include "../shm/dcm.h"
#include "terms.h"

enum {
	FACTS_MAX = 4096,      /* terms of one tier */
	FACTS_TEXT_MAX = 1024, /* bytes of a name or image */
};
struct fact {
	struct term_key key;
	uint64_t kind; /* enum term_kind */
};
struct facts {
	struct fact v[FACTS_MAX];
	uint32_t n;
	struct dcm_str name;	   /* STATUS: as it stands in the data; s NULL: none */
	char text[FACTS_TEXT_MAX]; /* of TERM_NAME or TERM_IMAGE, folded */
	uint32_t text_len;
	bool has_text;
	bool wide; /* malformed, or past a maximum: only reading the tier tells */
};
/* The tiers that say something. */
enum { FACTS_TIERS = 1 << DCM_STATUS | 1 << DCM_CONFIG | 1 << DCM_COMPOSE };

/* Fills *out; `terms` gives the keys.  data NULL: the tier is not there. */
void facts_of(struct facts *out, const struct terms *terms, enum dcm_tier tier,
	      const uint8_t *data, uint32_t len);
/* The full id that a CONFIG tier names; false where it names none. */
bool facts_id(const uint8_t *data, uint32_t len, uint8_t id[32]);
bool facts_parse_id(struct dcm_str hex64, uint8_t id[32]);
/* The value of a digit 0-9 a-f, or -1. */
int facts_hex(char c);
/* A fingerprint: facts that differ have another. */
uint64_t facts_print(const struct facts *f);

#endif
