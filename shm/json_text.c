/*
 * json_text.c - values as JSON text, appended to a dcm_text.  Valid JSON whatever
 * the bytes: what is not UTF-8 becomes U+FFFD.
 */
#include "json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 30 }; /* bytes; 100,000 common records have 300 MB */

void dcm_text_free(struct dcm_text *t)
{
	free(t->s);
	*t = (struct dcm_text){0};
}

static int reserve(struct dcm_text *t, size_t more)
{
	size_t room = t->room ? t->room : 1024;
	char *grown;

	if (more < t->room - t->len)
		return DCM_OK;
	if (more >= TEXT_MAX || t->len >= TEXT_MAX - more)
		return DCM_ENOMEM;
	while (room <= t->len + more)
		room *= 2;
	grown = realloc(t->s, room);
	if (!grown)
		return DCM_ENOMEM;
	t->s = grown;
	t->room = room;
	return DCM_OK;
}

int json_text_raw(struct dcm_text *t, const char *s, size_t n)
{
	int rc = reserve(t, n);

	if (rc != DCM_OK)
		return rc;
	memcpy(t->s + t->len, s, n);
	t->len += n;
	t->s[t->len] = '\0';
	return DCM_OK;
}

int json_text_word(struct dcm_text *t, const char *s)
{
	return json_text_raw(t, s, strlen(s));
}

/* The length of the UTF-8 sequence at s[0..n), 0 where it is none; *bad: how many
 * bytes of it are to be taken as one wrong character (as Unicode recommends). */
static size_t utf8_sequence(const unsigned char *s, size_t n, size_t *bad)
{
	unsigned char c = s[0], low = 0x80, high = 0xbf;
	size_t want, i;

	*bad = 1;
	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	want = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (c == 0xe0)
		low = 0xa0; /* overlong */
	else if (c == 0xed)
		high = 0x9f; /* surrogates */
	else if (c == 0xf0)
		low = 0x90; /* overlong */
	else if (c == 0xf4)
		high = 0x8f; /* above U+10FFFF */
	for (i = 1; i < want && i < n && s[i] >= low && s[i] <= high; i++) {
		low = 0x80;
		high = 0xbf;
	}
	*bad = i;
	return i == want ? want : 0;
}

static int escape(struct dcm_text *t, unsigned char c)
{
	static const char letters[] = "btn\0fr"; /* 8 to 13 */
	char out[8];

	if (c == '"' || c == '\\') {
		snprintf(out, sizeof(out), "\\%c", c);
	} else if (c >= 8 && c <= 13 && letters[c - 8]) {
		snprintf(out, sizeof(out), "\\%c", letters[c - 8]);
	} else {
		snprintf(out, sizeof(out), "\\u%04x", c);
	}
	return json_text_word(t, out);
}

int dcm_json_str(struct dcm_text *t, struct dcm_str str)
{
	const unsigned char *s = (const unsigned char *)str.s;
	size_t start = 0, i = 0, bad;
	int rc;

	if (!s)
		return json_text_word(t, "null");
	rc = json_text_word(t, "\"");
	while (rc == DCM_OK && i < str.len) {
		size_t n = utf8_sequence(s + i, str.len - i, &bad);

		if (n > 0 && s[i] >= 0x20 && s[i] != '"' && s[i] != '\\') {
			i += n;
			continue;
		}
		rc = json_text_raw(t, str.s + start, i - start);
		if (rc == DCM_OK)
			rc = n ? escape(t, s[i]) : json_text_word(t, "\xef\xbf\xbd");
		i += n ? n : bad;
		start = i;
	}
	if (rc == DCM_OK)
		rc = json_text_raw(t, str.s + start, i - start);
	return rc == DCM_OK ? json_text_word(t, "\"") : rc;
}

int json_text_int(struct dcm_text *t, int64_t v)
{
	char out[24];

	if (v == DCM_UNKNOWN)
		return json_text_word(t, "null");
	snprintf(out, sizeof(out), "%lld", (long long)v);
	return json_text_word(t, out);
}

int json_text_float(struct dcm_text *t, double v)
{
	char out[40];
	bool whole = true;
	int rc;

	if (!isfinite(v))
		return json_text_word(t, "null");
	/* The shortest text that reads back as the same number. */
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(out, sizeof(out), "%.*g", digits, v);
		if (strtod(out, NULL) == v)
			break;
	}
	for (char *p = out; *p; p++) {
		if (strchr("0123456789+-", *p))
			continue;
		whole = false;
		if (*p != 'e')
			*p = '.'; /* whatever the locale's decimal point is */
	}
	rc = json_text_word(t, out);
	return rc == DCM_OK && whole ? json_text_word(t, ".0") : rc;
}

int json_text_bool(struct dcm_text *t, int v)
{
	return json_text_word(t, v < 0 ? "null" : v ? "true" : "false");
}
