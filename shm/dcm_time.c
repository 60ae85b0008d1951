/* dcm_time.c - times as the engine writes them, and ages as people read them. Pure. */
#include "dcm_impl.h"

#include <math.h>
#include <stdio.h>

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
static int digits(struct dcm_str s, uint32_t *at, unsigned n)
{
	int v = 0;

	for (; n > 0; n--, ++*at) {
		if (*at >= s.len || s.s[*at] < '0' || s.s[*at] > '9')
			return -1;
		v = v * 10 + (s.s[*at] - '0');
	}
	return v;
}

/* `n` digits behind the character `c`. */
static int after(struct dcm_str s, uint32_t *at, char c, unsigned n)
{
	if (*at >= s.len || s.s[*at] != c)
		return -1;
	++*at;
	return digits(s, at, n);
}

static double fraction(struct dcm_str s, uint32_t *at)
{
	double v = 0, unit = 0.1;

	if (*at >= s.len || s.s[*at] != '.')
		return 0;
	for (++*at; *at < s.len && s.s[*at] >= '0' && s.s[*at] <= '9'; ++*at, unit /= 10)
		v += (s.s[*at] - '0') * unit;
	return v;
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

void dcm_uptime_text(double seconds, char out[24])
{
	int64_t s;

	out[0] = '\0';
	if (!isfinite(seconds))
		return;
	s = seconds < 0 ? 0 : seconds > 1e13 ? 10000000000000 : (int64_t)seconds;
	if (s >= 86400)
		snprintf(out, 24, "%lldd %lldh", (long long)(s / 86400),
			 (long long)(s % 86400 / 3600));
	else if (s >= 3600)
		snprintf(out, 24, "%lldh %lldm", (long long)(s / 3600), (long long)(s % 3600 / 60));
	else if (s >= 60)
		snprintf(out, 24, "%lldm", (long long)(s / 60));
	else
		snprintf(out, 24, "%llds", (long long)s);
}
