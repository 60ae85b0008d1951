/*
 * fields.h - the fields of a record as a table, for code that goes over them.
 * Private to shm/; the list itself is DCM_FIELDS in dcm.h.
 */
#ifndef DCM_FIELDS_H
#define DCM_FIELDS_H

#include "dcm.h"

enum field_type {
	FIELD_STR,
	FIELD_INT,
	FIELD_FLOAT,
	FIELD_BOOL,
	FIELD_STRS,
	FIELD_MAP,
	FIELD_NETS,
	FIELD_ALIASES,
	FIELD_VOLS
};

struct field {
	const char *key;  /* as msgpack holds it: one byte of tag and length, then the name */
	uint8_t key_len;  /* of both */
	uint8_t tier;	  /* enum dcm_tier */
	uint8_t type;	  /* enum field_type */
	uint16_t offset;  /* in struct dcm_record */
};
extern const struct field record_fields[DCM_FIELD_COUNT];

/* The fields of a tier stand side by side: [first, end). */
struct field_range {
	uint8_t first, end;
};
extern const struct field_range record_tier_fields[DCM_TIERS];

/* A record with every field null. */
extern const struct dcm_record record_null;

extern const char *const record_tier_names[DCM_TIERS];

#endif
