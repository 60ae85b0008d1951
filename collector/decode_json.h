/*
 * decode_json.h - the small accessor through which the decoders see JSON.
 *
 * A value is a `struct json_object *`; NULL is null, absent, or not of the type
 * asked for, and every function takes it, so that a walk down a document needs
 * no checks on its way.
 */
#ifndef DCM_DECODE_JSON_H
#define DCM_DECODE_JSON_H

#include <json-c/json.h>

#include "../shm/region_write.h"
#include "decode.h"

enum {
	JSON_DEPTH = 64,	   /* deeper: refused */
	JSON_DOC_MAX = 32 << 20,   /* bytes of one parsed document: more is refused */
	DECODE_TEXT_MAX = 1 << 20, /* bytes of one text of a record: cut there */
	DECODE_NAME_MAX = REGION_NAME_MAX,
};

/* One parsed document; `what` ("the inspect reply") stands in the sentence.
 * Invalid UTF-8 and NUL have become U+FFFD; what is nested too deep is left out.
 * 0, or -1 and nothing to close. */
struct json {
	struct json_object *root;
	struct arena clean;
	bool trimmed; /* it lost something: decode_trim.h */
};
int json_open(struct json *j, const char *s, size_t len, const char *what, char *err);
void json_close(struct json *j);

/* The bytes of the first whole JSON value in s (leading white space counted):
 * 0 where it is not whole yet, -1 where it can be none. */
long json_span(const char *s, size_t len);

struct json_object *json_get(struct json_object *o, const char *key);
bool json_has(struct json_object *o, const char *key); /* even if null */
size_t json_len(struct json_object *array);	       /* 0: none */
struct json_object *json_at(struct json_object *array, size_t i);
bool json_is_object(struct json_object *v);
bool json_is_array(struct json_object *v);
int64_t json_int(struct json_object *v); /* DCM_UNKNOWN; beyond int64: its end */
bool json_u64(struct json_object *v, uint64_t *out);
int8_t json_flag(struct json_object *v);	/* 1, 0, -1 */
struct dcm_str json_raw(struct json_object *v); /* lives as long as the document */

/* Where the texts of a record go, and what became of them. */
struct decode_to {
	struct arena *a;
	bool truncated; /* a text was cut at DECODE_TEXT_MAX */
	bool full;	/* the arena gave no more */
};
void *to_alloc(struct decode_to *to, size_t n, size_t size); /* NULL and full */
struct dcm_str to_str(struct decode_to *to, const char *s, size_t len);
struct dcm_str to_name(struct decode_to *to, const char *s, size_t len); /* a container's */
struct dcm_str to_text(struct decode_to *to, struct json_object *v);
/* The same, but "" is null: where an engine says "" for what it does not know. */
struct dcm_str to_text_known(struct decode_to *to, struct json_object *v);
struct dcm_str to_const(const char *constant);
/* A list of texts: null is empty, absent (has == false) not known. */
struct dcm_strs to_strs(struct decode_to *to, struct json_object *v, bool has);

#endif
