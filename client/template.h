/*
 * template.h - `--format` texts: {field}, \t, \n, \\, \{ and everything else
 * as it stands.  Pure: compiled once against the properties of a row, so an
 * unknown field is told before anything is asked.
 */
#ifndef CLIENT_TEMPLATE_H
#define CLIENT_TEMPLATE_H

#include "props.h"

struct template_part {
	const struct prop *prop; /* NULL: literal */
	size_t at, len;		 /* literal: in template.literals */
};
struct template {
	struct template_part *parts;
	size_t n;
	struct dcm_text literals;
};

/* false: `why` gets the sentence. */
bool template_compile(struct template *t, const char *format, const struct rows *rows,
		      struct dcm_text *why);
/* Appends one row, and a newline. */
void template_row(const struct template *t, struct dcm_text *out, const void *row);
void template_free(struct template *t);

#endif
