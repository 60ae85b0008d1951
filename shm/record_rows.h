/*
 * record_rows.h - the maps of rows, as tables that reading (record_rows.c) and
 * writing (record_write_rows.c) go by: a host's row, an entry of the directory,
 * the daemon's info.  Private to shm/.
 */
#ifndef DCM_RECORD_ROWS_H
#define DCM_RECORD_ROWS_H

#include "dcm.h"

enum row_type {
	ROW_STR,   /* struct dcm_str */
	ROW_STRS,  /* struct dcm_strs */
	ROW_INT,   /* int64_t */
	ROW_U32,   /* uint32_t */
	ROW_FLOAT, /* double */
	ROW_BOOL,  /* bool */
	ROW_STATE, /* enum dcm_host_state, by name */
	ROW_STEP,  /* enum dcm_step, by name */
	ROW_TEXT,  /* char[size] */
	ROW_TTL,   /* double[DCM_TIERS], as an array */
};
struct row_field {
	const char *name;
	uint8_t type;
	uint16_t offset, size;
};
struct row {
	const struct row_field *fields;
	unsigned n;
};

/* By tier; n == 0 where the row has no such tier. */
extern const struct row record_host_row[DCM_TIERS], record_dirent_row[DCM_TIERS];
extern const struct row record_info_row, record_catalog_row;

#endif
