/*
 * decode_text.c - UTF-8 and times.
 *
 * What an engine sends is UTF-8 when it is honest; what containers write to
 * their logs and what file names hold need not be.  Everything that leaves the
 * decoders is valid UTF-8, and but for log lines without NUL: the shared memory's
 * readers may print it, end it with NUL and put it into JSON as it is.
 */
#include "decode_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "decode.h"

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

size_t text_char(const char *s, const char *end, size_t *bad)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t left = (size_t)(end - s), n, i;
	unsigned char lo = 0x80, hi = 0xBF;

	if (p[0] < 0x80)
		return 1;
	*bad = 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		n = 2;
	else if (p[0] >= 0xE0 && p[0] <= 0xEF)
		n = 3;
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
		n = 4;
	else
		return 0;
	/* Neither overlong forms, nor surrogates, nor beyond U+10FFFF. */
	if (p[0] == 0xE0)
		lo = 0xA0;
	else if (p[0] == 0xED)
		hi = 0x9F;
	else if (p[0] == 0xF0)
		lo = 0x90;
	else if (p[0] == 0xF4)
		hi = 0x8F;
	for (i = 1; i < n; i++) {
		if (i >= left || p[i] < lo || p[i] > hi) {
			*bad = i;
			return 0;
		}
		lo = 0x80;
		hi = 0xBF;
	}
	return n;
}

size_t text_valid(const char *s, size_t len)
{
	const char *p = s, *end = s + len;
	size_t n, bad;

	while (p < end) {
		uint64_t w;

		/* Most text is ASCII: eight at a time. */
		while (end - p >= 8) {
			memcpy(&w, p, 8);
			if (w & 0x8080808080808080ull)
				break;
			p += 8;
		}
		if (p == end)
			break;
		n = text_char(p, end, &bad);
		if (!n)
			break;
		p += n;
	}
	return (size_t)(p - s);
}

size_t text_cut(const char *s, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max && ((unsigned char)s[max] & 0xC0) == 0x80)
		max--;
	return max;
}

static struct dcm_str clean(struct arena *a, const char *s, size_t len, bool nul)
{
	const char *p = s, *end = s + len;
	struct dcm_str out = {NULL, 0};
	size_t bad = 0, grow = 0, n;
	char *to;

	if (text_valid(s, len) == len && (nul || !memchr(s, 0, len)))
		return arena_str(a, s, len);
	for (; p < end; p += n) {
		n = *p || nul ? text_char(p, end, &bad) : 0;
		if (!n) {
			n = *p ? bad : 1;
			grow += 3 - n;
		}
	}
	if (len > UINT32_MAX - 8 - grow)
		return out;
	to = arena_alloc(a, len + grow + 1);
	if (!to)
		return out;
	out.s = to;
	out.len = (uint32_t)(len + grow);
	for (p = s; p < end; p += n) {
		n = *p || nul ? text_char(p, end, &bad) : 0;
		if (n) {
			memcpy(to, p, n);
			to += n;
		} else {
			n = *p ? bad : 1;
			memcpy(to, replacement, 3);
			to += 3;
		}
	}
	return out;
}

struct dcm_str decode_utf8(struct arena *a, const char *s, size_t len)
{
	return clean(a, s, len, false);
}

struct dcm_str decode_utf8_nul(struct arena *a, const char *s, size_t len)
{
	return clean(a, s, len, true);
}

void text_line(const char *s, size_t len, char *out, size_t room)
{
	const char *p = s, *end = s + len;
	size_t at = 0, n, bad;

	if (!room)
		return;
	for (; p < end; p += n) {
		const char *from = p;
		size_t put;

		n = put = text_char(p, end, &bad);
		if (!n) {
			n = bad;
			from = replacement;
			put = 3;
		} else if ((unsigned char)*p <= ' ' || *p == 0x7F) {
			if (!at || out[at - 1] == ' ')
				continue;
			from = " ";
		}
		if (put >= room - at)
			break;
		memcpy(out + at, from, put);
		at += put;
	}
	while (at && out[at - 1] == ' ')
		at--;
	out[at] = 0;
}

/* ---- times --------------------------------------------------------------- */

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar. */
static int64_t days_from_civil(int64_t y, int m, int d)
{
	int64_t era, yoe, doy;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int month_days(int y, int m)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0))
		return 29;
	return days[m - 1];
}

void text_time(int64_t t, char out[TEXT_TIME])
{
	int64_t days = t / 86400, s = t % 86400, era, doe, yoe, doy, mp, y;

	if (s < 0) {
		s += 86400;
		days--;
	}
	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	doe = days - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	y = yoe + era * 400 + (mp >= 10);
	snprintf(out, TEXT_TIME, "%04lld-%02d-%02dT%02d:%02d:%02dZ", (long long)y,
		 (int)(mp < 10 ? mp + 3 : mp - 9), (int)(doy - (153 * mp + 2) / 5 + 1),
		 (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}

/* n digits at *p; -1 where there are fewer. */
static int digits(const char **p, const char *end, int n)
{
	int v = 0;

	while (n--) {
		if (*p >= end || **p < '0' || **p > '9')
			return -1;
		v = v * 10 + *(*p)++ - '0';
	}
	return v;
}

static bool skip(const char **p, const char *end, const char *one_of)
{
	if (*p >= end || !**p || !strchr(one_of, **p))
		return false;
	++*p;
	return true;
}

double decode_time(struct dcm_str str)
{
	const char *p = str.s, *end = p ? p + str.len : p;
	int y, mo, d, h, mi, s, zh, zm;
	double frac = 0, unit = 1; /* exact up to 15 digits */
	int64_t t;

	if (!p || (y = digits(&p, end, 4)) < 0 || !skip(&p, end, "-") ||
	    (mo = digits(&p, end, 2)) < 1 || mo > 12 || !skip(&p, end, "-") ||
	    (d = digits(&p, end, 2)) < 1 || d > month_days(y, mo) || !skip(&p, end, "Tt ") ||
	    (h = digits(&p, end, 2)) < 0 || h > 23 || !skip(&p, end, ":") ||
	    (mi = digits(&p, end, 2)) < 0 || mi > 59 || !skip(&p, end, ":") ||
	    (s = digits(&p, end, 2)) < 0 || s > 60)
		return NAN;
	if (skip(&p, end, ".")) {
		if (p >= end || *p < '0' || *p > '9')
			return NAN;
		for (; p < end && *p >= '0' && *p <= '9'; p++) {
			if (unit < 1e15) {
				frac = frac * 10 + (*p - '0');
				unit *= 10;
			}
		}
	}
	t = days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + s;
	if (!skip(&p, end, "Zz")) {
		int sign = p < end && *p == '-' ? -1 : 1;

		if (!skip(&p, end, "+-") || (zh = digits(&p, end, 2)) < 0 || zh > 23 ||
		    !skip(&p, end, ":") || (zm = digits(&p, end, 2)) < 0 || zm > 59)
			return NAN;
		t -= sign * (zh * 3600 + zm * 60);
	}
	return p == end ? (double)t + frac / unit : NAN;
}
