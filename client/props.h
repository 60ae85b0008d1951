/*
 * props.h - what a row of an answer consists of, as data.
 *
 * A row is a C struct (struct dcm_record, struct dcm_host, or one of a
 * command); a `struct rows` lists its properties by name, in the order of
 * the JSON document, and its table columns.  JSON, --format and the upright
 * view of one row all render from this one list.
 */
#ifndef CLIENT_PROPS_H
#define CLIENT_PROPS_H

#include "table.h"
#include "text.h"

enum prop_kind {
	P_STR,	  /* struct dcm_str */
	P_CSTR,	  /* const char *; NULL: null */
	P_CHARS,  /* char[]; "": null */
	P_INT,	  /* int64_t; DCM_UNKNOWN: null */
	P_FLOAT,  /* double; NaN: null */
	P_BOOL,	  /* bool */
	P_TRIBOOL,/* int8_t; -1: null */
	P_STRS,	  /* struct dcm_strs */
	P_STATE,  /* enum dcm_host_state */
	P_TEXT,	  /* struct dcm_text: JSON as it is; empty: null */
	/* Of a struct dcm_record: libdcm renders them. */
	P_MAP,	  /* struct dcm_map */
	P_NETS,	  /* struct dcm_networks */
	P_ALIASES,/* struct dcm_aliases */
	P_VOLS,	  /* struct dcm_volumes */
	P_FRESH,  /* struct dcm_freshness[] */
};
enum prop_unit {
	U_NONE,
	U_BYTES,
	U_LIMIT, /* bytes; 0: no limit */
	U_SECONDS,
	U_PERCENT,
	U_UNIX,	 /* a Unix time */
	U_KEY,	 /* names the row of a SHAPE_MAP, so its JSON leaves it out */
};

struct prop {
	const char *name;
	uint8_t kind, unit;
	uint16_t offset;
};

/* PROP(struct x, member): a property named as its member is, of its type. */
#define PROP_KIND(T, m) _Generic(((T *)0)->m, \
	struct dcm_str: P_STR, const char *: P_CSTR, char *: P_CHARS, int64_t: P_INT, \
	double: P_FLOAT, bool: P_BOOL, int8_t: P_TRIBOOL, struct dcm_strs: P_STRS, \
	enum dcm_host_state: P_STATE, struct dcm_text: P_TEXT, struct dcm_map: P_MAP, \
	struct dcm_networks: P_NETS, struct dcm_aliases: P_ALIASES, struct dcm_volumes: P_VOLS, \
	struct dcm_freshness *: P_FRESH)
#define PROP_IN(T, m, unit) { #m, PROP_KIND(T, m), unit, offsetof(T, m) }
#define PROP(T, m) PROP_IN(T, m, U_NONE)

struct rows {
	const struct prop *props;
	size_t n_props;
	const struct column *columns; /* of the table; none: always upright */
	size_t n_columns;
};

/* The value: null or not; as JSON; as the bare text that --format prints (a string as it is,
 * null as nothing, lists and maps as JSON); for people in the upright view, of
 * a list or map a line each. */
bool prop_is_null(const struct prop *p, const void *row); /* lists and maps: never */
void prop_json(struct dcm_text *t, const struct prop *p, const void *row);
void prop_plain(struct dcm_text *t, const struct prop *p, const void *row);
void prop_human(struct dcm_text *t, const struct prop *p, const void *row);

/* A whole row as a JSON object. */
void row_json(struct dcm_text *t, const struct rows *rows, const void *row);
const struct prop *prop_find(const struct rows *rows, const char *name, size_t len);

/* Rows of containers and of hosts: rows.c. */
extern const struct rows record_rows, host_rows;
/* Of single commands, where these are. */
extern const struct rows stats_rows, discover_rows, outcome_rows, logs_rows, change_rows,
	check_rows;

/* Building blocks of columns. */
void add_str(struct dcm_text *t, struct dcm_str s);	     /* null: "-" */
void add_list(struct dcm_text *t, const struct dcm_strs *list); /* "a, b"; none: "-" */

#endif
