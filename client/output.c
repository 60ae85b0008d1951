/* output.c - the four forms of an answer.  See output.h. */
#include "output.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

enum { PIECE = 256 << 10 }; /* bytes gathered before a write */

/* ---- JSON -------------------------------------------------------------- */

static bool is_list(const struct output *o)
{
	return o->shape == SHAPE_LIST || o->shape == SHAPE_LINES;
}

static void json_begin(struct output *o)
{
	if (is_list(o))
		text_putc(&o->text, '[');
	else if (o->shape == SHAPE_SECTIONS || o->shape == SHAPE_MAP)
		text_putc(&o->text, '{');
}

static void json_section_end(struct output *o)
{
	if (o->shape == SHAPE_SECTIONS && o->n_sections)
		text_puts(&o->text, o->n_rows ? "\n]" : "]");
}

static void json_section(struct output *o, const char *name)
{
	json_section_end(o);
	text_puts(&o->text, o->n_sections ? ",\n" : "\n");
	dcm_json_str(&o->text, str_of(name));
	text_puts(&o->text, o->shape == SHAPE_SECTIONS ? ": [" : ": ");
}

static void json_row(struct output *o, const void *row)
{
	if (is_list(o) || o->shape == SHAPE_SECTIONS)
		text_puts(&o->text, o->n_rows ? ",\n" : "\n");
	if (o->form == FORM_IDS_JSON)
		prop_json(&o->text, prop_find(o->rows, "container_id", 12), row);
	else
		row_json(&o->text, o->rows, row);
	if (o->shape == SHAPE_STREAM)
		text_putc(&o->text, '\n');
}

static void json_end(struct output *o)
{
	json_section_end(o);
	if (is_list(o))
		text_puts(&o->text, o->n_rows ? "\n]" : "]");
	else if (o->shape == SHAPE_SECTIONS || o->shape == SHAPE_MAP)
		text_puts(&o->text, o->n_sections ? "\n}" : "}");
	if (o->shape != SHAPE_STREAM)
		text_putc(&o->text, '\n');
}

static const struct output_ops json_ops = {json_begin, json_section, json_row, json_end};

/* ---- tables ------------------------------------------------------------ */

static void table_form_begin(struct output *o)
{
	table_begin(&o->table, o->rows->columns, o->rows->n_columns, o->term.charset);
}

static void table_form_section_end(struct output *o)
{
	if (o->shape == SHAPE_SECTIONS && o->n_sections && !o->n_rows)
		text_puts(&o->text, "(none)\n");
	else if (o->n_rows || o->shape == SHAPE_LIST || o->shape == SHAPE_MAP)
		table_end(&o->table, &o->text, &o->term);
}

/* "top_cpu" is headed "TOP CPU". */
static void table_form_section(struct output *o, const char *name)
{
	const char *s;

	if (o->shape != SHAPE_SECTIONS)
		return;
	table_form_section_end(o);
	if (o->n_sections)
		text_putc(&o->text, '\n');
	for (s = name; *s; s++)
		text_putc(&o->text, *s == '_' ? ' ' : (char)toupper((unsigned char)*s));
	text_putc(&o->text, '\n');
}

/* A value that may have several lines, each behind a margin. */
static void value_lines(struct output *o, const char *s, size_t n, size_t margin)
{
	const char *end = s + n, *stop;

	for (;; s = stop + 1) {
		stop = memchr(s, '\n', (size_t)(end - s));
		if (!stop)
			stop = end;
		text_add_safe(&o->text, s, (size_t)(stop - s), o->term.charset);
		text_putc(&o->text, '\n');
		if (end - stop <= 1) /* the last, or nothing behind its newline */
			break;
		text_pad(&o->text, margin);
	}
}

/* One row upright: a line a property, items of lists and maps below each other. */
static void upright(struct output *o, const void *row)
{
	size_t i, widest = 0;
	struct dcm_text value = {0};

	for (i = 0; i < o->rows->n_props; i++)
		if (strlen(o->rows->props[i].name) > widest)
			widest = strlen(o->rows->props[i].name);
	for (i = 0; i < o->rows->n_props; i++) {
		const struct prop *p = &o->rows->props[i];

		text_puts(&o->text, p->name);
		text_pad(&o->text, widest - strlen(p->name) + 2);
		text_clear(&value);
		prop_human(&value, p, row);
		value_lines(o, value.s, value.len, widest + 2);
	}
	dcm_text_free(&value);
}

/* A row that is a line: its cells as they are, nothing to align them with. */
static void line(struct output *o, const void *row)
{
	struct dcm_text raw = {0}, safe = {0};
	size_t i;

	for (i = 0; i < o->rows->n_columns; i++) {
		enum paint paint;

		text_clear(&raw);
		text_clear(&safe);
		paint = o->rows->columns[i].cell(&raw, row);
		if (!raw.len)
			continue;
		if (i)
			text_pad(&o->text, 2);
		text_add_safe(&safe, raw.s, raw.len, o->term.charset);
		paint_add(&o->text, &o->term, paint, safe.s, safe.len);
	}
	text_putc(&o->text, '\n');
	dcm_text_free(&raw);
	dcm_text_free(&safe);
}

static void table_form_row(struct output *o, const void *row)
{
	if (o->shape == SHAPE_ONE)
		upright(o, row);
	else if (o->shape == SHAPE_STREAM || o->shape == SHAPE_LINES)
		line(o, row);
	else
		table_row(&o->table, row);
}

static void table_form_end(struct output *o)
{
	if (o->shape != SHAPE_ONE && o->shape != SHAPE_STREAM && o->shape != SHAPE_LINES)
		table_form_section_end(o);
}

static const struct output_ops table_ops = {table_form_begin, table_form_section, table_form_row,
					    table_form_end};

/* ---- --format and -q --------------------------------------------------- */

static void nothing(struct output *o)
{
	(void)o;
}

static void no_section(struct output *o, const char *name)
{
	(void)o;
	(void)name;
}

static void template_form_row(struct output *o, const void *row)
{
	template_row(&o->template, &o->text, row);
}

static void ids_row(struct output *o, const void *row)
{
	size_t before = o->text.len;

	prop_plain(&o->text, prop_find(o->rows, "container_id", 12), row);
	if (o->text.len > before + 12)
		o->text.len = before + 12; /* as docker ps -q has them */
	text_putc(&o->text, '\n');
}

static const struct output_ops template_ops = {nothing, no_section, template_form_row, nothing};
static const struct output_ops ids_ops = {nothing, no_section, ids_row, nothing};

/* ---- the outside ------------------------------------------------------- */

bool output_init(struct output *o, enum output_form form, const char *format,
		 const struct rows *rows, struct dcm_text *why)
{
	static const struct output_ops *const ops[] = {&table_ops, &json_ops, &template_ops,
						       &ids_ops, &json_ops};

	o->form = form;
	o->ops = ops[form];
	if (form == FORM_TABLE)
		o->term = terminal_of_stdout();
	return form != FORM_TEMPLATE || template_compile(&o->template, format, rows, why);
}

void output_begin(struct output *o, const struct rows *rows, enum output_shape shape)
{
	o->rows = rows;
	o->shape = shape;
	o->n_rows = o->n_sections = 0;
	o->ops->begin(o);
}

void output_section(struct output *o, const char *name)
{
	o->ops->section(o, name);
	o->n_sections++;
	if (o->shape == SHAPE_SECTIONS)
		o->n_rows = 0;
}

void output_row(struct output *o, const void *row)
{
	o->ops->row(o, row);
	o->n_rows++;
	if (o->shape == SHAPE_STREAM || o->text.len >= PIECE)
		output_flush(o);
}

void output_flush(struct output *o)
{
	size_t at = 0;

	while (at < o->text.len && !o->error) {
		ssize_t n = write(STDOUT_FILENO, o->text.s + at, o->text.len - at);

		if (n > 0)
			at += (size_t)n;
		else if (n < 0 && errno != EINTR)
			o->error = errno;
	}
	text_clear(&o->text);
	if (o->error == EPIPE && o->shape != SHAPE_STREAM) {
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
}

int output_end(struct output *o)
{
	o->ops->end(o);
	output_flush(o);
	if (!o->error || (o->error == EPIPE && o->shape == SHAPE_STREAM))
		return EXIT_OK;
	return fail(EXIT_OTHER, "cannot write the answer to standard output: %s",
		    strerror(o->error));
}

void output_free(struct output *o)
{
	dcm_text_free(&o->text);
	table_free(&o->table);
	template_free(&o->template);
}
