/*
 * text.h - growing text, and text from strangers made fit for a terminal.
 *
 * Everything here is pure.  Names, labels, log lines and error texts come from
 * Docker hosts; text_add_safe() is the one way by which they reach a person:
 * control characters, bidirectional overrides and invalid UTF-8 appear as
 * \xNN or \uNNNN, never raw.
 */
#ifndef CLIENT_TEXT_H
#define CLIENT_TEXT_H

#include <stdarg.h>

#include "../shm/dcm.h"

/* A text is libdcm's struct dcm_text, NUL-terminated once anything was added.
 * It grows up to TEXT_MAX; past that, and without memory, the program ends
 * with one sentence and exit status 5: nothing here has a half answer. */
#define TEXT_MAX ((size_t)8 << 30)

void text_reserve(struct dcm_text *t, size_t more);
void text_add(struct dcm_text *t, const char *s, size_t n);
void text_puts(struct dcm_text *t, const char *s);
void text_putc(struct dcm_text *t, char c);
void text_pad(struct dcm_text *t, size_t spaces);
void text_printf(struct dcm_text *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), nonnull(2)));
void text_vprintf(struct dcm_text *t, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0), nonnull(2)));
/* Keeps the memory for the next use. */
void text_clear(struct dcm_text *t);

/* What the terminal can show. */
enum text_charset { TEXT_UTF8, TEXT_ASCII /* whatever is not ASCII is escaped */ };

/* Appends s[0..n) made safe, on one line; returns the columns it takes. */
unsigned text_add_safe(struct dcm_text *t, const char *s, size_t n, enum text_charset cs);
/* Of text made safe: how many of its bytes fit into `columns`; *used: the
 * columns that they take. */
size_t text_fit(const char *s, size_t n, unsigned columns, unsigned *used);

/* For people: "1.2GiB", "3m", "2d 5h". */
void text_bytes(struct dcm_text *t, int64_t bytes);
void text_seconds(struct dcm_text *t, double seconds);

/* A number as JSON has it: the shortest that reads back the same; NaN: null. */
void text_number(struct dcm_text *t, double v);

static inline bool str_is(struct dcm_str s, const char *text)
{
	return s.s && __builtin_strlen(text) == s.len && !__builtin_memcmp(s.s, text, s.len);
}
bool str_eq(struct dcm_str a, struct dcm_str b);
int str_cmp(struct dcm_str a, struct dcm_str b);
struct dcm_str str_of(const char *s);
struct dcm_str str_from(struct dcm_str s, uint32_t from); /* without its first bytes */
/* `word` is one of `words`, which are separated by single spaces. */
bool one_of(const char *word, const char *words);

/* RFC 3339, up to nanoseconds, to ns since 1970.  false: not such a time. */
bool time_parse(struct dcm_str s, int64_t *ns);

#endif
