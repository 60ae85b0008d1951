/* decode_text.h - UTF-8 and times, as the decoders share them. */
#ifndef DCM_DECODE_TEXT_H
#define DCM_DECODE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the UTF-8 character at s (1 to 4), or 0 where the byte there
 * starts none; *bad is then how many bytes one U+FFFD stands for.  NUL is a
 * character here. */
size_t text_char(const char *s, const char *end, size_t *bad);
/* How many bytes from s on are whole UTF-8 characters. */
size_t text_valid(const char *s, size_t len);
/* The longest prefix of at most `max` bytes that ends between characters; s is
 * UTF-8. */
size_t text_cut(const char *s, size_t len, size_t max);
/* Writes s into the buffer `out` of `room` bytes as one clean line: UTF-8,
 * control characters as spaces, none at the ends, cut between characters. */
void text_line(const char *s, size_t len, char *out, size_t room);
/* Unix seconds as RFC 3339 in UTC, "2024-05-01T12:00:00Z". */
enum { TEXT_TIME = 40 };
void text_time(int64_t unix_s, char out[TEXT_TIME]);

#endif
