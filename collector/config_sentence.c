/*
 * config_sentence.c - what is wrong with a file, one sentence a fault, each with its
 * place: see config_check.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_check.h"

/* Appends s (taken over) unless it stands there already (what an alias brings
 * in twice is told once) or there are `max`. */
static void list_add(char ***v, size_t *n, size_t max, char *s)
{
	char **grown;

	if (!s)
		return;
	for (char *at = s; *at; at++) /* what a file says is shown on a terminal, in one line */
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	for (size_t i = 0; i < *n; i++)
		if (!strcmp((*v)[i], s))
			goto drop;
	if (*n >= max)
		goto drop;
	grown = realloc(*v, (*n + 1) * sizeof(**v));
	if (!grown)
		goto drop;
	*v = grown;
	(*v)[(*n)++] = s;
	return;
drop:
	free(s);
}

void errors_add(struct config_errors *e, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	list_add(&e->v, &e->n, CONFIG_ERRORS_MAX + 1, s);
}

static char *sentence(const struct checker *c, const struct ynode *at, const char *fmt, va_list ap)
{
	char *text = NULL, *whole = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		return NULL;
	if (asprintf(&whole, "%s:%u:%u: %s", c->path, at->line, at->column, text) < 0)
		whole = NULL;
	free(text);
	return whole;
}

void check_error(struct checker *c, const struct ynode *at, const char *fmt, ...)
{
	va_list ap;

	if (at->kind == Y_BAD) /* it was told when it was read */
		return;
	va_start(ap, fmt);
	list_add(&c->errors->v, &c->errors->n, CONFIG_ERRORS_MAX, sentence(c, at, fmt, ap));
	va_end(ap);
}

/* In the order of the file: "PATH:LINE:COLUMN: …". */
static int by_place(const void *a, const void *b, void *path)
{
	size_t skip = strlen(path) + 1;
	unsigned la = 0, ca = 0, lb = 0, cb = 0;

	sscanf(*(char *const *)a + skip, "%u:%u", &la, &ca);
	sscanf(*(char *const *)b + skip, "%u:%u", &lb, &cb);
	if (la != lb)
		return la < lb ? -1 : 1;
	return ca < cb ? -1 : ca > cb;
}

void check_sort(char **sentences, size_t n, const char *path)
{
	if (n)
		qsort_r(sentences, n, sizeof(*sentences), by_place, (void *)path);
}

void check_warn(struct checker *c, const struct ynode *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	list_add(&c->out->warnings, &c->out->n_warnings, 4 * CONFIG_HOSTS_MAX,
		 sentence(c, at, fmt, ap));
	va_end(ap);
}
