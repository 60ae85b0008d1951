/* dcm_time.c - times as the engine writes them, and ages as people read them. Pure. */
#include "dcm_impl.h"

#include <math.h>

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
	/* Counted in years that begin in March, so that a leap day comes last. */
	int64_t era;
	unsigned yoe, doy, doe;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = (unsigned)(y - era * 400);
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + (int64_t)doe - 719468;
}

/* `n` digits at s[*at]; -1 where they are not. */
static inline int digits(struct dcm_str s, uint32_t *at, unsigned n)
{
	const char *p = s.s + *at;
	int v = 0;

	if (s.len - *at < n)
		return -1;
	*at += n;
	for (unsigned i = 0; i < n; i++) {
		unsigned digit = (unsigned char)p[i] - '0';

		if (digit > 9)
			return -1;
		v = v * 10 + (int)digit;
	}
	return v;
}

/* `n` digits behind the character `c`. */
static inline int after(struct dcm_str s, uint32_t *at, char c, unsigned n)
{
	if (*at >= s.len || s.s[*at] != c)
		return -1;
	++*at;
	return digits(s, at, n);
}

static double fraction(struct dcm_str s, uint32_t *at)
{
	double v = 0, unit = 1;

	if (*at >= s.len || s.s[*at] != '.')
		return 0;
	for (++*at; *at < s.len && s.s[*at] >= '0' && s.s[*at] <= '9'; ++*at, unit *= 10)
		v = v * 10 + (s.s[*at] - '0');
	return v / unit;
}

/* "Z" or "+02:00" at the end, in seconds; NaN where it is neither. */
static double zone(struct dcm_str s, uint32_t at)
{
	int sign, h, m;

	if (at + 1 == s.len && (s.s[at] == 'Z' || s.s[at] == 'z'))
		return 0;
	if (at >= s.len || (s.s[at] != '+' && s.s[at] != '-'))
		return NAN;
	sign = s.s[at] == '-' ? -1 : 1;
	at++;
	h = digits(s, &at, 2);
	m = after(s, &at, ':', 2);
	return h < 0 || m < 0 || at != s.len ? NAN : sign * (h * 3600 + m * 60);
}

double dcm_time_parse(struct dcm_str s)
{
	uint32_t at = 0;
	int y, mo, d, h, mi, sec;
	double f, z;

	if (!s.s)
		return NAN;
	y = digits(s, &at, 4);
	mo = after(s, &at, '-', 2);
	d = after(s, &at, '-', 2);
	if (y < 0 || mo < 1 || mo > 12 || d < 1 || d > 31 || at >= s.len ||
	    (s.s[at] != 'T' && s.s[at] != 't' && s.s[at] != ' '))
		return NAN;
	at++;
	h = digits(s, &at, 2);
	mi = after(s, &at, ':', 2);
	sec = after(s, &at, ':', 2);
	if (h < 0 || h > 23 || mi < 0 || mi > 59 || sec < 0 || sec > 60)
		return NAN;
	f = fraction(s, &at);
	z = zone(s, at);
	return (double)(days_of(y, (unsigned)mo, (unsigned)d) * 86400 + h * 3600 + mi * 60 + sec) +
	       f - z;
}

/* Appends a number and what follows it; no printf, which would be a tenth of the
 * time that a record takes to read. */
static char *append(char *at, int64_t v, const char *unit)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	while (n > 0)
		*at++ = digits[--n];
	while (*unit)
		*at++ = *unit++;
	*at = '\0';
	return at;
}

void dcm_uptime_text(double seconds, char out[24])
{
	int64_t s;

	out[0] = '\0';
	if (!isfinite(seconds))
		return;
	s = seconds < 0 ? 0 : seconds > 1e13 ? 10000000000000 : (int64_t)seconds;
	if (s >= 86400)
		append(append(out, s / 86400, "d "), s % 86400 / 3600, "h");
	else if (s >= 3600)
		append(append(out, s / 3600, "h "), s % 3600 / 60, "m");
	else if (s >= 60)
		append(out, s / 60, "m");
	else
		append(out, s, "s");
}
