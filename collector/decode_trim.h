/*
 * decode_trim.h - JSON made small enough as it comes, so that one container over a
 * limit costs that container alone.
 *
 * A filter over the bytes of one document, in pieces.  An *item* is one container:
 * the document itself (level 1), or each element of its array (level 2).  Of an item
 * stays what fits: a text of more than DECODE_TEXT_MAX is cut; behind TRIM_ITEM bytes
 * every array and object in it ends early, behind twice that the item itself; what is
 * nested deeper than TRIM_DEPTH is 0; of white space in a row one stays.  An item that
 * lost something ends with the member TRIM_MARK.  What is malformed stays so, or is not
 * worse for it.
 */
#ifndef DCM_DECODE_TRIM_H
#define DCM_DECODE_TRIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TRIM_ITEM = 2 << 20,
	TRIM_DEPTH = 48,
};
#define TRIM_MARK "dcm.truncated"
/* What feeding `len` bytes, at most TRIM_ITEM, can give: a mark has 21, and an item so
 * deep that it gets one has 96 or more. */
#define TRIM_ROOM(len) ((len) + (len) / 4 + 32)

struct json_trim {
	unsigned level;
	uint64_t depth, drop_depth; /* of brackets; where what is dropped ends */
	size_t text, item;	    /* bytes of the text, and of the item, until now */
	uint8_t escape;		    /* characters of an escape that are to come */
	bool in_text, cut_text;	    /* the rest of it is dropped */
	bool blank;		    /* the byte before was white space */
	enum { TRIM_KEEP, TRIM_DROP_REST, TRIM_DROP_DEEP } drop;
	bool cut; /* the item lost something */
};

void json_trim_init(struct json_trim *t, unsigned level);
/* Writes what stays of `len` bytes, at most TRIM_ITEM, into `to`, which has TRIM_ROOM(len);
 * returns how much that is. */
size_t json_trim_feed(struct json_trim *t, char *to, const char *from, size_t len);

#endif
