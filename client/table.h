/*
 * table.h - cells to aligned columns that fit the terminal.  Pure.
 *
 * Cells are collected first and laid out when all are known.  Too wide for the
 * terminal, the widest columns that may be cut are cut, down to their least
 * width ("…" or "~" shows it); still too wide, columns go from the right.
 */
#ifndef CLIENT_TABLE_H
#define CLIENT_TABLE_H

#include "text.h"

struct terminal {
	unsigned width; /* columns; 0: no limit */
	bool tty, colour;
	enum text_charset charset;
};
/* That of standard output; not a terminal: no limit, no colour, UTF-8. */
struct terminal terminal_of_stdout(void);

enum paint { PLAIN, GOOD, WARN, BAD, FAINT };
/* Appends text in a colour, where there are any. */
void paint_add(struct dcm_text *t, const struct terminal *term, enum paint p, const char *s,
	       size_t n);

/* A column: its cell() appends raw text for a row, which the table makes safe,
 * and says how to paint it. */
struct column {
	const char *title;
	enum paint (*cell)(struct dcm_text *t, const void *row);
	uint8_t least; /* width it may be cut to; 0: never cut */
	bool right;    /* figures */
};

struct table_cell;
struct table {
	const struct column *columns;
	size_t n_columns;
	enum text_charset charset;
	struct dcm_text text, raw; /* all cells, one behind the other; one cell */
	struct table_cell *cells;
	size_t n, room;
};

void table_begin(struct table *t, const struct column *columns, size_t n, enum text_charset cs);
void table_row(struct table *t, const void *row);
/* Appends the laid out table, header first, and empties it. */
void table_end(struct table *t, struct dcm_text *out, const struct terminal *term);
void table_free(struct table *t);

#endif
