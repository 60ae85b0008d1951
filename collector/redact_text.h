/*
 * redact_text.h - finding secrets in a text, as the files of redact share it.
 *
 * A text is redacted in two steps: everything that must go is covered by spans,
 * then each run of overlapping spans is written as ********.
 */
#ifndef DCM_REDACT_TEXT_H
#define DCM_REDACT_TEXT_H

#include "redact.h"

enum { SECRET_MIN = 6 }; /* bytes; a shorter value is not looked for elsewhere */

struct span {
	size_t from, to;
};
struct spans {
	struct span *v;
	size_t n, room;
	bool failed; /* no memory: the whole text must go */
};
void spans_add(struct spans *s, size_t from, size_t to);
/* The text without what is covered: itself where nothing is, else a copy in the
 * arena; null where there is no memory for it.  Frees the spans. */
struct dcm_str spans_apply(struct spans *s, struct arena *a, struct dcm_str text);

/* Secrets by their first bytes, so that a text is walked once for all of them. */
struct secret_index {
	struct dcm_str *v;	/* longest first */
	uint32_t *cells, *next; /* place + 1, of the first and of the next alike; 0: none */
	uint32_t mask, n;
};
bool secret_index_init(struct secret_index *x, const struct secrets *s); /* false: no memory */
void secret_index_free(struct secret_index *x);
void cover_secrets(struct spans *out, const struct secret_index *x, struct dcm_str text);

/* The passwords in scheme://user:password@ of the text.  In a `value` a quote
 * may be part of one; elsewhere it ends the URL. */
void cover_urls(struct spans *out, struct dcm_str text, bool value);

/* Does the name hold one of the words? */
bool redact_name(const struct redact_rules *rules, const char *name, size_t len);
/* Adds a value that is taken out, its lines if it has several, and nothing that
 * is too short; secret_add_urls: the URL passwords in a value.  false: no memory. */
bool secret_add(struct secrets *s, struct arena *a, struct dcm_str value);
bool secret_add_urls(struct secrets *s, struct arena *a, struct dcm_str value);

#endif
