/*
 * output.h - where an answer goes: one set of operations behind every command,
 * implemented for tables, JSON, --format and -q.
 *
 *	output_begin(o, &record_rows, SHAPE_LIST);
 *	output_row(o, &record); ...
 *	return output_end(o);
 *
 * Text is gathered in one buffer and written in large pieces.
 */
#ifndef CLIENT_OUTPUT_H
#define CLIENT_OUTPUT_H

#include "props.h"
#include "table.h"
#include "template.h"

enum output_form { FORM_TABLE, FORM_JSON, FORM_TEMPLATE, FORM_IDS, FORM_IDS_JSON };

enum output_shape {
	SHAPE_LIST,	/* [row, …] */
	SHAPE_ONE,	/* row */
	SHAPE_SECTIONS, /* {"section": [row, …], …} */
	SHAPE_MAP,	/* {"section": row, …} */
	SHAPE_LINES,	/* as SHAPE_LIST, but as text a line each, never cut */
	SHAPE_STREAM,	/* a row a line, written at once */
};

struct output;
struct output_ops {
	void (*begin)(struct output *o);
	void (*section)(struct output *o, const char *name);
	void (*row)(struct output *o, const void *row);
	void (*end)(struct output *o);
};

struct output {
	const struct output_ops *ops;
	enum output_form form;
	enum output_shape shape;
	const struct rows *rows;
	struct terminal term;
	struct dcm_text text;	/* not yet written */
	struct table table;
	struct template template;
	size_t n_rows, n_sections; /* rows: of this section */
	int error;		/* errno of the first write that failed */
};

/* Chooses the form and compiles the format against `rows`; false: `why`. */
bool output_init(struct output *o, enum output_form form, const char *format,
		 const struct rows *rows, struct dcm_text *why);
void output_begin(struct output *o, const struct rows *rows, enum output_shape shape);
/* Begins the next list (SHAPE_SECTIONS) or names the next row (SHAPE_MAP). */
void output_section(struct output *o, const char *name);
void output_row(struct output *o, const void *row);
/* The exit status: 0, or 5 with a message where it could not be written. */
int output_end(struct output *o);

/* Writes what was gathered.  After EPIPE a stream has `error`; any other
 * command ends by SIGPIPE, as a program in a pipe does. */
void output_flush(struct output *o);
void output_free(struct output *o);

#endif
