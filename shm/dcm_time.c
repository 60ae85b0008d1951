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

/* Two digits at p, that are there; *bad: one of them is none. */
static inline int two(const char *p, unsigned *bad)
{
	unsigned tens = (unsigned char)p[0] - '0', ones = (unsigned char)p[1] - '0';

	*bad |= (tens > 9) | (ones > 9);
	return (int)(tens * 10 + ones);
}

/* What stands behind the dot at s[*at], if one does. */
static double fraction(struct dcm_str s, uint32_t *at)
{
	static const double unit[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
	uint32_t i = *at, n = 0, v = 0;

	if (i >= s.len || s.s[i] != '.')
		return 0;
	for (i++; i < s.len && s.s[i] >= '0' && s.s[i] <= '9'; i++)
		if (n < 9) { /* nanoseconds, as the engine writes them; finer is nothing */
			v = v * 10 + (uint32_t)(s.s[i] - '0');
			n++;
		}
	*at = i;
	return v / unit[n];
}

/* "Z" or "+02:00" at the end, in seconds; NaN where it is neither. */
static double zone(struct dcm_str s, uint32_t at)
{
	const char *p = s.s + at;
	unsigned bad = 0;
	int seconds;

	if (at + 1 == s.len && (*p == 'Z' || *p == 'z'))
		return 0;
	if (s.len - at != 6 || (*p != '+' && *p != '-') || p[3] != ':')
		return NAN;
	seconds = two(p + 1, &bad) * 3600 + two(p + 4, &bad) * 60;
	return bad ? NAN : *p == '-' ? -seconds : seconds;
}

double dcm_time_parse(struct dcm_str s)
{
	uint32_t at = sizeof("0000-00-00T00:00:00") - 1;
	const char *p = s.s;
	unsigned bad = 0;
	int y, mo, d, h, mi, sec;
	double f;

	if (!p || s.len < at || p[4] != '-' || p[7] != '-' || p[13] != ':' || p[16] != ':' ||
	    (p[10] != 'T' && p[10] != 't' && p[10] != ' '))
		return NAN;
	y = two(p, &bad) * 100 + two(p + 2, &bad);
	mo = two(p + 5, &bad);
	d = two(p + 8, &bad);
	h = two(p + 11, &bad);
	mi = two(p + 14, &bad);
	sec = two(p + 17, &bad);
	if (bad || mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || sec > 60)
		return NAN;
	f = fraction(s, &at);
	return (double)(days_of(y, (unsigned)mo, (unsigned)d) * 86400 + h * 3600 + mi * 60 + sec) +
	       f - zone(s, at);
}

/* Appends a number and its unit; no printf, which would be a tenth of the time that a
 * record takes to read. */
static char *append(char *at, uint64_t v, char unit)
{
	char digits[24];
	int n = 0;

	for (; v > 9; v /= 10)
		digits[n++] = (char)('0' + v % 10);
	*at++ = (char)('0' + v);
	while (n > 0)
		*at++ = digits[--n];
	*at++ = unit;
	*at = '\0';
	return at;
}

void dcm_uptime_text(double seconds, char out[24])
{
	uint64_t s;

	out[0] = '\0';
	if (!isfinite(seconds))
		return;
	s = seconds < 0 ? 0 : seconds > 1e13 ? 10000000000000 : (uint64_t)seconds;
	if (s >= 86400) {
		out = append(out, s / 86400, 'd');
		*out++ = ' ';
		append(out, s % 86400 / 3600, 'h');
	} else if (s >= 3600) {
		out = append(out, s / 3600, 'h');
		*out++ = ' ';
		append(out, s % 3600 / 60, 'm');
	} else if (s >= 60) {
		append(out, s / 60, 'm');
	} else {
		append(out, s, 's');
	}
}
