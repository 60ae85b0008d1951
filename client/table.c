/* table.c - layout of tables.  See table.h. */
#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { GAP = 2, MAX_COLUMNS = 16 };

struct table_cell {
	size_t at; /* in table.text */
	uint32_t len, width;
	uint8_t paint;
};

/* ---- the terminal ------------------------------------------------------ */

static bool utf8_locale(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	size_t i;

	/* What setlocale() would find, without loading a locale. */
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *v = getenv(names[i]);

		if (v && *v)
			return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
	}
	return false;
}

struct terminal terminal_of_stdout(void)
{
	struct terminal t = {0, false, false, TEXT_UTF8};
	const char *term = getenv("TERM");
	struct winsize ws;

	if (!isatty(STDOUT_FILENO))
		return t;
	t.tty = true;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0)
		t.width = ws.ws_col;
	t.colour = !getenv("NO_COLOR") && term && *term && strcmp(term, "dumb") != 0;
	t.charset = utf8_locale() ? TEXT_UTF8 : TEXT_ASCII;
	return t;
}

void paint_add(struct dcm_text *t, const struct terminal *term, enum paint p, const char *s,
	       size_t n)
{
	static const char *const start[] = {"", "\033[32m", "\033[33m", "\033[31m", "\033[2m"};

	if (!term->colour || p == PLAIN || !n) {
		text_add(t, s, n);
		return;
	}
	text_puts(t, start[p]);
	text_add(t, s, n);
	text_puts(t, "\033[0m");
}

/* ---- cells ------------------------------------------------------------- */

void table_begin(struct table *t, const struct column *columns, size_t n, enum text_charset cs)
{
	t->columns = columns;
	t->n_columns = n < MAX_COLUMNS ? n : MAX_COLUMNS;
	t->charset = cs;
	t->n = 0;
	text_clear(&t->text);
}

static struct table_cell *cell_new(struct table *t)
{
	if (t->n == t->room) {
		struct dcm_text memory = {(char *)t->cells, t->room * sizeof(*t->cells),
					  t->room * sizeof(*t->cells)};

		/* text_reserve() ends the program where there is no more. */
		text_reserve(&memory, (t->room + 64) * sizeof(*t->cells));
		t->cells = (struct table_cell *)(void *)memory.s;
		t->room = memory.room / sizeof(*t->cells);
	}
	return &t->cells[t->n++];
}

void table_row(struct table *t, const void *row)
{
	size_t i;

	for (i = 0; i < t->n_columns; i++) {
		struct table_cell *c = cell_new(t);

		text_clear(&t->raw);
		c->paint = (uint8_t)t->columns[i].cell(&t->raw, row);
		c->at = t->text.len;
		c->width = text_add_safe(&t->text, t->raw.s ? t->raw.s : "", t->raw.len,
					 t->charset);
		c->len = (uint32_t)(t->text.len - c->at);
	}
}

void table_free(struct table *t)
{
	dcm_text_free(&t->text);
	dcm_text_free(&t->raw);
	free(t->cells);
	*t = (struct table){0};
}

/* ---- layout ------------------------------------------------------------ */

struct layout {
	unsigned width[MAX_COLUMNS];
	size_t n; /* columns shown */
};

static unsigned total(const struct layout *l)
{
	unsigned sum = l->n ? (unsigned)(l->n - 1) * GAP : 0;
	size_t i;

	for (i = 0; i < l->n; i++)
		sum += l->width[i];
	return sum;
}

/* The widest column that may still be cut, or -1. */
static int widest(const struct table *t, const struct layout *l)
{
	int best = -1;
	size_t i;

	for (i = 0; i < l->n; i++) {
		if (!t->columns[i].least || l->width[i] <= t->columns[i].least)
			continue;
		if (best < 0 || l->width[i] > l->width[best])
			best = (int)i;
	}
	return best;
}

/* The natural widths of the first `n` columns. */
static void measure(const struct table *t, size_t n, struct layout *l)
{
	size_t i;

	l->n = n;
	for (i = 0; i < n; i++)
		l->width[i] = (unsigned)strlen(t->columns[i].title);
	for (i = 0; i < t->n; i++)
		if (i % t->n_columns < n && t->cells[i].width > l->width[i % t->n_columns])
			l->width[i % t->n_columns] = t->cells[i].width;
}

/* Cuts columns until the whole is no wider than `width`; false: it cannot be. */
static bool cut(const struct table *t, struct layout *l, unsigned width)
{
	unsigned need = total(l);
	int i;

	while (need > width && (i = widest(t, l)) >= 0) {
		unsigned over = need - width, room = l->width[i] - t->columns[i].least;

		/* Fairly, but not one by one where a cell is enormous. */
		over = over > 64 ? over / 4 : 1;
		l->width[i] -= over < room ? over : room;
		need = total(l);
	}
	return need <= width;
}

/* With as many columns as fit, and each as wide as can be. */
static void fit(const struct table *t, struct layout *l, unsigned width)
{
	size_t n = t->n_columns;

	measure(t, n, l);
	while (width && !cut(t, l, width) && n > 1)
		measure(t, --n, l);
}

static void put_cell(struct dcm_text *out, const struct terminal *term, const struct column *c,
		     const char *s, size_t len, unsigned width, unsigned room, enum paint paint,
		     bool last)
{
	bool too_wide = width > room;

	if (too_wide)
		len = text_fit(s, len, room - 1, &width);
	if (c->right && room > width)
		text_pad(out, room - width);
	paint_add(out, term, paint, s, len);
	if (too_wide) {
		text_puts(out, term->charset == TEXT_UTF8 ? "…" : "~");
		width++;
	}
	if (!c->right && !last && room > width)
		text_pad(out, room - width);
	if (!last)
		text_pad(out, GAP);
}

void table_end(struct table *t, struct dcm_text *out, const struct terminal *term)
{
	struct layout l;
	size_t i, r;

	fit(t, &l, term->width);
	for (i = 0; i < l.n; i++) {
		const char *title = t->columns[i].title;
		unsigned len = (unsigned)strlen(title);

		put_cell(out, term, &t->columns[i], title, len, len, l.width[i], PLAIN,
			 i + 1 == l.n);
	}
	text_putc(out, '\n');
	for (r = 0; r < t->n; r += t->n_columns) {
		for (i = 0; i < l.n; i++) {
			const struct table_cell *c = &t->cells[r + i];

			put_cell(out, term, &t->columns[i], t->text.s + c->at, c->len, c->width,
				 l.width[i], c->paint, i + 1 == l.n);
		}
		text_putc(out, '\n');
	}
	t->n = 0;
	text_clear(&t->text);
}
