/*
 * redact_text.c - finding secrets in a text.
 *
 * The work is bounded whatever a container's variables hold: each place of the
 * text is looked up by its first bytes in a table of all secrets, and where
 * secrets are made so alike that comparing them would take long, the text is
 * given up and covered whole.  Nothing is shown for want of memory or time.
 */
#include "redact_text.h"

#include <stdlib.h>
#include <string.h>

#define STARS "********"

/* ---- spans --------------------------------------------------------------- */

void spans_add(struct spans *s, size_t from, size_t to)
{
	if (from >= to)
		return;
	/* Places come mostly in order: lengthen the last where they overlap. */
	if (s->n && from >= s->v[s->n - 1].from && from < s->v[s->n - 1].to) {
		if (to > s->v[s->n - 1].to)
			s->v[s->n - 1].to = to;
		return;
	}
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		struct span *v = reallocarray(s->v, room, sizeof(*v));

		if (!v) {
			s->failed = true;
			return;
		}
		s->v = v;
		s->room = room;
	}
	s->v[s->n].from = from;
	s->v[s->n++].to = to;
}

static int by_place(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return (x->from > y->from) - (x->from < y->from);
}

/* Sorts, and joins those that overlap; touching ones stay two. */
static void merge(struct spans *s)
{
	size_t i, n = 0;

	if (!s->n)
		return;
	qsort(s->v, s->n, sizeof(*s->v), by_place);
	for (i = 1; i < s->n; i++) {
		if (s->v[i].from >= s->v[n].to)
			s->v[++n] = s->v[i];
		else if (s->v[i].to > s->v[n].to)
			s->v[n].to = s->v[i].to;
	}
	s->n = n + 1;
}

struct dcm_str spans_apply(struct spans *s, struct arena *a, struct dcm_str text)
{
	const size_t stars = sizeof(STARS) - 1;
	struct dcm_str out = text;
	size_t i, at = 0, len = text.len;
	char *p;

	if (s->failed) {
		out = arena_str(a, STARS, stars);
		goto done;
	}
	if (!s->n)
		goto done;
	merge(s);
	for (i = 0; i < s->n; i++)
		len = len - (s->v[i].to - s->v[i].from) + stars;
	out.s = p = len < UINT32_MAX - 8 ? arena_alloc(a, len + 1) : NULL;
	out.len = p ? (uint32_t)len : 0;
	if (!p)
		goto done;
	for (i = 0; i < s->n; i++) {
		memcpy(p, text.s + at, s->v[i].from - at);
		p += s->v[i].from - at;
		memcpy(p, STARS, stars);
		p += stars;
		at = s->v[i].to;
	}
	memcpy(p, text.s + at, text.len - at);
done:
	free(s->v);
	*s = (struct spans){NULL, 0, 0, false};
	return out;
}

/* ---- secrets ------------------------------------------------------------- */

static int longest_first(const void *a, const void *b)
{
	const struct dcm_str *x = a, *y = b;

	if (x->len != y->len)
		return x->len > y->len ? -1 : 1;
	return memcmp(x->s, y->s, x->len);
}

static uint32_t prefix_hash(const char *s)
{
	uint32_t lo;
	uint16_t hi;

	memcpy(&lo, s, 4);
	memcpy(&hi, s + 4, 2);
	return (uint32_t)(((uint64_t)hi << 32 | lo) * 0x9E3779B97F4A7C15ull >> 32);
}

bool secret_index_init(struct secret_index *x, const struct secrets *s)
{
	uint32_t i, n = 0, size = 16;

	memset(x, 0, sizeof(*x));
	if (!s->n)
		return true;
	if (s->n > UINT32_MAX / 8)
		return false;
	while (size < 2 * s->n)
		size *= 2;
	x->mask = size - 1;
	x->v = malloc(s->n * sizeof(*x->v));
	x->next = malloc(s->n * sizeof(*x->next));
	x->cells = calloc(size, sizeof(*x->cells));
	if (!x->v || !x->next || !x->cells) {
		secret_index_free(x);
		return false;
	}
	memcpy(x->v, s->v, s->n * sizeof(*x->v));
	qsort(x->v, s->n, sizeof(*x->v), longest_first);
	for (i = 0; i < s->n; i++)
		if (!n || longest_first(&x->v[n - 1], &x->v[i]) != 0)
			x->v[n++] = x->v[i];
	x->n = n;
	/* The shortest first, each before those of its cell: so the longest leads. */
	for (i = n; i--;) {
		uint32_t *cell = &x->cells[prefix_hash(x->v[i].s) & x->mask];

		x->next[i] = *cell;
		*cell = i + 1;
	}
	return true;
}

void secret_index_free(struct secret_index *x)
{
	free(x->v);
	free(x->next);
	free(x->cells);
	memset(x, 0, sizeof(*x));
}

/* How many bytes two texts have in common from their starts on. */
static size_t common(const char *a, const char *b, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n && memcmp(a + i, b + i, 8) == 0; i += 8)
		;
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

/* The length of the longest secret at s, 0 where none is. */
static size_t secret_at(const struct secret_index *x, const char *s, size_t left, size_t *budget)
{
	uint32_t i;

	for (i = x->cells[prefix_hash(s) & x->mask]; i && *budget; i = x->next[i - 1]) {
		const struct dcm_str *v = &x->v[i - 1];
		size_t same = v->len <= left ? common(v->s, s, v->len) : 0;

		if (same == v->len)
			return same;
		*budget -= 1 + same < *budget ? 1 + same : *budget;
	}
	return 0;
}

void cover_secrets(struct spans *out, const struct secret_index *x, struct dcm_str text)
{
	size_t i, n, budget = 64 * (size_t)text.len + 65536;

	if (!x->n || text.len < SECRET_MIN)
		return;
	/* Inside a match too: the next secret may begin there and end later. */
	for (i = 0; i + SECRET_MIN <= text.len; i++) {
		if (!x->cells[prefix_hash(text.s + i) & x->mask])
			continue;
		n = secret_at(x, text.s + i, text.len - i, &budget);
		if (n)
			spans_add(out, i, i + n);
		if (!budget) {
			spans_add(out, 0, text.len);
			return;
		}
	}
}

/* ---- URLs ---------------------------------------------------------------- */

static bool is_scheme(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '.' || c == '-';
}

/* The password in what follows "://" at s, of an URL that ends before `end`. */
static bool url_password(const char *s, const char *end, const char **from, const char **to)
{
	const char *colon, *at, *host = s, *p;

	while (host < end && !memchr("/?#", *host, 3))
		host++;
	colon = memchr(s, ':', (size_t)(host - s));
	if (!colon || *s == '[') /* none, or in an IPv6 address */
		return false;
	at = memrchr(s, '@', (size_t)(host - s));
	if (!at) {
		/* A port, or the start of a password that holds / ? or #. */
		for (p = colon + 1; p < host && *p >= '0' && *p <= '9'; p++)
			;
		if (p == host)
			return false;
		at = memrchr(host, '@', (size_t)(end - host));
	}
	if (!at || at <= colon + 1)
		return false;
	*from = colon + 1;
	*to = at;
	return true;
}

void cover_urls(struct spans *out, struct dcm_str text, bool value)
{
	const char *p = text.s, *stop = p ? p + text.len : p, *from, *to, *end;

	while (p < stop && (p = memmem(p, (size_t)(stop - p), "://", 3))) {
		bool scheme = p > text.s && is_scheme(p[-1]);

		p += 3;
		if (!scheme)
			continue;
		for (end = p; end < stop && (unsigned char)*end > ' '; end++)
			if (!value && memchr("\"'`<>", *end, 5))
				break;
		if (url_password(p, end, &from, &to))
			spans_add(out, (size_t)(from - text.s), (size_t)(to - text.s));
	}
}

/* ---- what is a secret ---------------------------------------------------- */

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

bool redact_name(const struct redact_rules *rules, const char *name, size_t len)
{
	size_t w, i, k;

	for (w = 0; w < rules->n_words; w++) {
		const char *word = rules->words[w];
		size_t n = strlen(word);

		for (i = 0; n && i + n <= len; i++) {
			for (k = 0; k < n && upper(name[i + k]) == upper(word[k]); k++)
				;
			if (k == n)
				return true;
		}
	}
	return false;
}

static bool add_one(struct secrets *s, struct arena *a, const char *p, size_t len)
{
	struct dcm_str *v;

	while (len && (unsigned char)p[len - 1] <= ' ')
		len--;
	for (; len && (unsigned char)*p <= ' '; p++)
		len--;
	if (len < SECRET_MIN || strspn(p, "*") >= len)
		return true;
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 16;

		v = arena_alloc(a, room * sizeof(*v));
		if (!v)
			return false;
		if (s->n)
			memcpy(v, s->v, s->n * sizeof(*v));
		s->v = v;
		s->room = room;
	}
	/* A copy: the value may be about to be overwritten or freed. */
	s->v[s->n] = arena_str(a, p, len);
	return s->v[s->n++].s || (s->n--, false);
}

bool secret_add(struct secrets *s, struct arena *a, struct dcm_str value)
{
	const char *p = value.s, *end = p ? p + value.len : p, *nl;

	if (!p || !add_one(s, a, p, value.len))
		return !p;
	/* A key of many lines stands in a log, and in YAML, line by line. */
	while ((nl = memchr(p, '\n', (size_t)(end - p)))) {
		if (!add_one(s, a, p, (size_t)(nl - p)))
			return false;
		p = nl + 1;
	}
	return p == value.s || add_one(s, a, p, (size_t)(end - p));
}

bool secret_add_urls(struct secrets *s, struct arena *a, struct dcm_str value)
{
	struct spans urls = {NULL, 0, 0, false};
	bool ok;
	size_t i;

	if (!value.s)
		return true;
	cover_urls(&urls, value, true);
	ok = !urls.failed;
	for (i = 0; i < urls.n && ok; i++)
		ok = add_one(s, a, value.s + urls.v[i].from, urls.v[i].to - urls.v[i].from);
	free(urls.v);
	return ok;
}
