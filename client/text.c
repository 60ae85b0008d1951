/* text.c - growing text, safe text, human figures.  See text.h. */
#include "text.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

/* Not through fail(), which needs memory itself. */
static _Noreturn void give_up(const char *sentence)
{
	ssize_t n = write(STDERR_FILENO, sentence, strlen(sentence));

	(void)n;
	_exit(5);
}

void text_reserve(struct dcm_text *t, size_t more)
{
	size_t room = t->room ? t->room : 256;
	char *s;

	if (more < t->room && t->len < t->room - more)
		return;
	if (more >= TEXT_MAX - t->len)
		give_up("dcm-client: the answer is larger than 8 GiB: ask for less\n");
	while (room <= t->len + more)
		room *= 2;
	s = realloc(t->s, room);
	if (!s)
		give_up("dcm-client: out of memory: ask for less, or free some\n");
	t->s = s;
	t->room = room;
}

void text_add(struct dcm_text *t, const char *s, size_t n)
{
	text_reserve(t, n);
	if (n)
		memcpy(t->s + t->len, s, n);
	t->len += n;
	t->s[t->len] = '\0';
}

void text_puts(struct dcm_text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_putc(struct dcm_text *t, char c)
{
	text_add(t, &c, 1);
}

void text_pad(struct dcm_text *t, size_t spaces)
{
	text_reserve(t, spaces);
	memset(t->s + t->len, ' ', spaces);
	t->len += spaces;
	t->s[t->len] = '\0';
}

void text_vprintf(struct dcm_text *t, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n > 0) {
		text_reserve(t, (size_t)n);
		vsnprintf(t->s + t->len, (size_t)n + 1, fmt, again);
		t->len += (size_t)n;
	}
	va_end(again);
}

void text_printf(struct dcm_text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_vprintf(t, fmt, ap);
	va_end(ap);
}

void text_clear(struct dcm_text *t)
{
	t->len = 0;
	if (t->s)
		t->s[0] = '\0';
}

/* ---- safe text --------------------------------------------------------- */

/* One code point of s[0..n): its length, or 0 where it is not UTF-8. */
static size_t utf8_next(const unsigned char *s, size_t n, uint32_t *cp)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len, i;
	uint32_t c = s[0];

	if (c < 0x80) {
		*cp = c;
		return 1;
	}
	len = (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 0;
	if (!len || len > n)
		return 0;
	c &= 0x7fu >> len;
	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*cp = c;
	return len;
}

/* Characters that move the cursor, reorder text or hide it. */
static bool is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c >= 0xe0000 && c <= 0xe0fff);
}

/* Width in columns.  The table behind wcwidth() is loaded with the first
 * character that is not ASCII: most answers have none. */
static unsigned width_of(uint32_t c)
{
	static int loaded;
	int w;

	if (c < 0x80)
		return 1;
	if (!loaded)
		loaded = setlocale(LC_CTYPE, "C.UTF-8") ? 1 : -1;
	w = loaded > 0 ? wcwidth((wchar_t)c) : 1;
	return w < 0 ? 1 : (unsigned)w;
}

static void add_escape(struct dcm_text *t, uint32_t c)
{
	if (c == '\n')
		text_puts(t, "\\n");
	else if (c == '\t')
		text_puts(t, "\\t");
	else if (c == '\r')
		text_puts(t, "\\r");
	else if (c < 0x100)
		text_printf(t, "\\x%02x", c);
	else
		text_printf(t, c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
}

unsigned text_add_safe(struct dcm_text *t, const char *s, size_t n, enum text_charset cs)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + n;
	unsigned columns = 0;

	while (p < end) {
		const unsigned char *plain = p;
		size_t len, before;
		uint32_t c = 0;

		while (p < end && *p >= 0x20 && *p < 0x7f)
			p++;
		text_add(t, (const char *)plain, (size_t)(p - plain));
		columns += (unsigned)(p - plain);
		if (p == end)
			break;
		len = utf8_next(p, (size_t)(end - p), &c);
		before = t->len;
		if (!len) { /* a byte that is no character */
			add_escape(t, *p);
			len = 1;
		} else if (is_unsafe(c) || (c >= 0x80 && cs == TEXT_ASCII)) {
			add_escape(t, c);
		} else {
			text_add(t, (const char *)p, len);
			columns += width_of(c);
			before = t->len;
		}
		columns += (unsigned)(t->len - before); /* of an escape: ASCII */
		p += len;
	}
	return columns;
}

size_t text_fit(const char *s, size_t n, unsigned columns, unsigned *used)
{
	size_t i = 0;

	*used = 0;
	while (i < n) {
		uint32_t c = 0;
		size_t len = utf8_next((const unsigned char *)s + i, n - i, &c);
		unsigned w = width_of(c);

		if (!len || *used + w > columns)
			break;
		*used += w;
		i += len;
	}
	return i;
}

/* ---- figures for people ------------------------------------------------ */

void text_bytes(struct dcm_text *t, int64_t bytes)
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	unsigned u = 0;

	while (fabs(v) >= 1023.95 && u < 6) {
		v /= 1024;
		u++;
	}
	text_printf(t, u == 0 ? "%.0f%s" : fabs(v) < 99.95 ? "%.1f%s" : "%.0f%s", v, unit[u]);
}

void text_seconds(struct dcm_text *t, double seconds)
{
	static const struct {
		double of, below;
		const char *unit, *sub;
	} step[] = {
		{1, 60, "s", NULL},    {60, 3600, "m", NULL},	   {3600, 86400, "h", "m"},
		{86400, INFINITY, "d", "h"},
	};
	const double parts[] = {0, 0, 60, 3600};
	unsigned i = 0;
	double whole;

	if (!isfinite(seconds)) {
		text_putc(t, '-');
		return;
	}
	seconds = floor(seconds < 0 ? 0 : seconds);
	while (seconds >= step[i].below)
		i++;
	whole = floor(seconds / step[i].of);
	text_printf(t, "%.0f%s", whole, step[i].unit);
	if (step[i].sub)
		text_printf(t, " %.0f%s", floor((seconds - whole * step[i].of) / parts[i]),
			    step[i].sub);
}

void text_number(struct dcm_text *t, double v)
{
	char s[40];
	int digits;

	if (!isfinite(v)) {
		text_puts(t, "null");
		return;
	}
	for (digits = 15; digits <= 17; digits++) {
		snprintf(s, sizeof(s), "%.*g", digits, v);
		if (strtod(s, NULL) == v)
			break;
	}
	text_puts(t, s);
}

/* ---- strings and times ------------------------------------------------- */

struct dcm_str str_of(const char *s)
{
	return (struct dcm_str){s, s ? (uint32_t)strlen(s) : 0};
}

struct dcm_str str_from(struct dcm_str s, uint32_t from)
{
	return (struct dcm_str){s.s + from, s.len - from};
}

int str_cmp(struct dcm_str a, struct dcm_str b)
{
	uint32_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.s, b.s, n) : 0;

	return c ? c : (a.len > b.len) - (a.len < b.len);
}

bool str_eq(struct dcm_str a, struct dcm_str b)
{
	return a.s && b.s && !str_cmp(a, b);
}

bool one_of(const char *word, const char *words)
{
	size_t n = strlen(word), len;

	for (; *words; words += len + (words[len] == ' ')) {
		len = strcspn(words, " ");
		if (len == n && !memcmp(words, word, n))
			return true;
	}
	return false;
}

/* The ns of a fraction ".123", moving *p behind it. */
static int64_t fraction(const char **p)
{
	int64_t ns = 0, unit = 100000000;

	if (**p != '.')
		return 0;
	for ((*p)++; **p >= '0' && **p <= '9'; (*p)++) {
		ns += unit * (**p - '0');
		unit /= 10;
	}
	return ns;
}

bool time_parse(struct dcm_str s, int64_t *ns)
{
	char text[64];
	struct tm tm = {0};
	const char *p;
	int64_t sec, frac;
	int at = 0;

	if (!s.s || s.len >= sizeof(text))
		return false;
	memcpy(text, s.s, s.len);
	text[s.len] = '\0';
	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &at) != 6 || !at)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	sec = timegm(&tm);
	p = text + at;
	frac = fraction(&p);
	if (*p == '+' || *p == '-') {
		unsigned h, m;

		if (sscanf(p + 1, "%2u:%2u", &h, &m) != 2)
			return false;
		sec -= (*p == '+' ? 1 : -1) * (int64_t)(h * 3600 + m * 60);
	} else if (strcmp(p, "Z") != 0) {
		return false;
	}
	if (sec > INT64_MAX / 1000000000 - 1 || sec < INT64_MIN / 1000000000 + 1)
		return false;
	*ns = sec * 1000000000 + frac;
	return true;
}
