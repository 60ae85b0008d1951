/* template.c - `--format` texts.  See template.h. */
#include "template.h"

#include <stdlib.h>
#include <string.h>

/* A '\' and what follows it; 0: not an escape. */
static char escape(char c)
{
	switch (c) {
	case 't':
		return '\t';
	case 'n':
		return '\n';
	case '\\':
	case '{':
	case '}':
		return c;
	default:
		return '\0';
	}
}

static bool unknown_field(const struct rows *rows, const char *name, size_t len,
			  struct dcm_text *why)
{
	size_t i;

	text_printf(why, "no field '%.*s' in --format: the fields are", (int)len, name);
	for (i = 0; i < rows->n_props; i++)
		text_printf(why, "%s %s", i ? "," : "", rows->props[i].name);
	return false;
}

static struct template_part *part_new(struct template *t)
{
	t->parts[t->n] = (struct template_part){NULL, t->literals.len, 0};
	return &t->parts[t->n++];
}

static void literal(struct template *t, char c)
{
	struct template_part *p = t->n ? &t->parts[t->n - 1] : NULL;

	if (!p || p->prop)
		p = part_new(t);
	text_putc(&t->literals, c);
	p->len++;
}

bool template_compile(struct template *t, const char *format, const struct rows *rows,
		      struct dcm_text *why)
{
	const char *f = format, *close;
	struct dcm_text memory = {0};
	char c;

	/* No more parts than characters. */
	text_reserve(&memory, (strlen(format) + 1) * sizeof(*t->parts));
	t->parts = (struct template_part *)(void *)memory.s;
	t->n = 0;
	while (*f) {
		if (*f == '\\' && (c = escape(f[1]))) {
			literal(t, c);
			f += 2;
		} else if (f[0] == '{' && f[1] == '{') {
			text_puts(why, "--format takes no Go templates: write {name}, and \\{ for "
				       "a brace");
			return false;
		} else if (*f == '{') {
			close = strchr(f, '}');
			if (!close) {
				text_puts(why, "a { without its } in --format: write {name}, and "
					       "\\{ for a brace");
				return false;
			}
			f++;
			part_new(t)->prop = prop_find(rows, f, (size_t)(close - f));
			if (!t->parts[t->n - 1].prop)
				return unknown_field(rows, f, (size_t)(close - f), why);
			f = close + 1;
		} else {
			literal(t, *f++);
		}
	}
	return true;
}

void template_row(const struct template *t, struct dcm_text *out, const void *row)
{
	size_t i, start = out->len;

	for (i = 0; i < t->n; i++) {
		const struct template_part *p = &t->parts[i];

		if (p->prop)
			prop_plain(out, p->prop, row);
		else
			text_add(out, t->literals.s + p->at, p->len);
	}
	/* One line a row: a format that ends its line by itself gets no second end. */
	if (out->len == start || out->s[out->len - 1] != '\n')
		text_putc(out, '\n');
}

void template_free(struct template *t)
{
	free(t->parts);
	dcm_text_free(&t->literals);
	*t = (struct template){0};
}
