/* filter_value.c - patterns, ports and image references.  See filter_value.h. */
#include "filter_value.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- patterns ---------------------------------------------------------- */

/* What a Perl class stands for inside [ ]; NULL: not one. */
static const char *perl_class(char c)
{
	switch (tolower((unsigned char)c)) {
	case 'd':
		return "0-9";
	case 'w':
		return "0-9A-Za-z_";
	case 's':
		return " \t\n\f\r";
	default:
		return NULL;
	}
}

/* A bracket expression from *s on ('['): in POSIX a backslash is itself there,
 * and ']' and '-' are literal by their place alone. */
static bool bracket(struct dcm_text *out, const char **s)
{
	const char *p = *s + 1;
	bool minus = false, close = false, caret = false;
	struct dcm_text body = {0};
	bool negated = *p == '^';

	if (negated)
		p++;
	if (*p == ']') { /* first: literal */
		close = true;
		p++;
	}
	for (; *p && *p != ']'; p++) {
		if (p[0] == '[' && p[1] == ':' && strstr(p, ":]")) {
			const char *end = strstr(p, ":]") + 2;

			text_add(&body, p, (size_t)(end - p));
			p = end - 1;
		} else if (*p != '\\') {
			text_putc(&body, *p);
		} else if (!*++p) {
			break;
		} else if (perl_class(*p) && islower((unsigned char)*p)) {
			text_puts(&body, perl_class(*p));
		} else if (*p == ']') {
			close = true;
		} else if (*p == '-') {
			minus = true;
		} else if (*p == '^') {
			caret = true;
		} else if (isalnum((unsigned char)*p)) {
			break; /* \D within a set, \x41, …: beyond POSIX */
		} else {
			text_putc(&body, *p);
		}
	}
	if (*p == ']' && caret && !body.len && !close && !negated)
		text_puts(out, minus ? "[-^]" : "\\^");
	else if (*p == ']')
		text_printf(out, "[%s%s%s%s%s]", negated ? "^" : "", close ? "]" : "",
			    body.s ? body.s : "", caret ? "^" : "", minus ? "-" : "");
	dcm_text_free(&body);
	*s = p;
	return *p == ']';
}

/* A backslash and the character behind it. */
static bool escaped(struct dcm_text *out, char c)
{
	if (perl_class(c)) {
		text_printf(out, "[%s%s]", isupper((unsigned char)c) ? "^" : "", perl_class(c));
	} else if (c == 'A') {
		text_putc(out, '^');
	} else if (c == 'z') {
		text_putc(out, '$');
	} else if (c == 'b' || c == 'B') { /* as in glibc */
		text_putc(out, '\\');
		text_putc(out, c);
	} else if (c && !isalnum((unsigned char)c)) {
		text_putc(out, '\\');
		text_putc(out, c);
	} else {
		return false; /* a back reference, a Unicode class: RE2 or beyond POSIX */
	}
	return true;
}

static bool translate(struct dcm_text *out, const char *s)
{
	bool operand = false; /* something stands before a repeat */
	unsigned depth = 0;

	for (; *s; s++) {
		if (*s == '\\') {
			if (!escaped(out, *++s))
				return false;
			operand = true;
		} else if (*s == '[') {
			if (!bracket(out, &s))
				return false;
			operand = true;
		} else if (strchr("*+?", *s) || (*s == '{' && isdigit((unsigned char)s[1]))) {
			if (!operand)
				return false;
			do
				text_putc(out, *s);
			while (*s != '*' && *s != '+' && *s != '?' && *s != '}' && *++s);
			if (!*s)
				return false;
			if (s[1] == '?') /* lazy: matches the same names */
				s++;
			operand = false;
		} else if (*s == '{') {
			text_puts(out, "\\{");
			operand = true;
		} else if (*s == '(' && s[1] == '?') {
			if (s[2] != ':')
				return false;
			s += 2;
			depth++;
			text_putc(out, '(');
			operand = false;
		} else {
			/* POSIX leaves a ) too many undefined. */
			if (*s == ')' && !depth--)
				return false;
			depth += *s == '(';
			text_putc(out, *s);
			operand = *s != '(' && *s != '|';
		}
	}
	return depth == 0;
}

bool pattern_compile(regex_t *re, const char *go)
{
	struct dcm_text posix = {0};
	int flags = REG_EXTENDED | REG_NOSUB;
	bool ok;

	text_putc(&posix, '(');
	if (!strncmp(go, "(?i)", 4)) {
		flags |= REG_ICASE;
		go += 4;
	}
	ok = translate(&posix, go);
	text_putc(&posix, ')');
	ok = ok && regcomp(re, posix.s, flags) == 0;
	dcm_text_free(&posix);
	return ok;
}

/* ---- ports ------------------------------------------------------------- */

static bool port_number(const char **s, unsigned *out)
{
	unsigned v = 0;
	int digits = 0;

	while (isdigit((unsigned char)**s) && digits++ < 6)
		v = v * 10 + (unsigned)(*(*s)++ - '0');
	*out = v;
	return digits > 0 && v <= 65535;
}

bool port_range_parse(struct port_range *p, const char *s)
{
	size_t i;

	if (!port_number(&s, &p->lo))
		return false;
	p->hi = p->lo;
	if (*s == '-') {
		s++;
		if (!port_number(&s, &p->hi) || p->hi < p->lo)
			return false;
	}
	memcpy(p->proto, "tcp", 4);
	if (*s == '\0')
		return true;
	if (*s++ != '/' || strlen(s) >= sizeof(p->proto))
		return false;
	for (i = 0; s[i]; i++)
		p->proto[i] = (char)tolower((unsigned char)s[i]);
	if (i)
		p->proto[i] = '\0';
	return true;
}

bool port_text_matches(struct dcm_str text, const struct port_range *p, bool published)
{
	const char *slash = text.s ? memchr(text.s, '/', text.len) : NULL;
	const char *end, *arrow, *s;
	size_t proto;
	unsigned port = 0;

	if (!slash)
		return false;
	slash++;
	end = text.s + text.len;
	arrow = memmem(slash, (size_t)(end - slash), "->", 2);
	proto = (size_t)((arrow ? arrow : end) - slash);
	if (proto != strlen(p->proto) || memcmp(slash, p->proto, proto) != 0)
		return false;
	/* The engine gives an unpublished port the public port 0. */
	s = text.s;
	if (published && arrow) {
		s = memrchr(arrow, ':', (size_t)(end - arrow));
		s = s ? s + 1 : end;
	}
	if (!published || arrow)
		for (; s < end && isdigit((unsigned char)*s) && port < 65536; s++)
			port = port * 10 + (unsigned)(*s - '0');
	return port >= p->lo && port <= p->hi;
}

/* ---- images ------------------------------------------------------------ */

void image_normalise(struct dcm_text *t, struct dcm_str ref)
{
	const char *s = ref.s, *end = ref.s + ref.len;
	const char *at = memchr(s, '@', ref.len), *name_end = at ? at : end, *colon;
	const char *slash = memchr(s, '/', (size_t)(name_end - s));

	/* The part before the first '/' is a registry if it looks like one. */
	if (slash && (memchr(s, '.', (size_t)(slash - s)) || memchr(s, ':', (size_t)(slash - s)) ||
		      (slash - s == 9 && !memcmp(s, "localhost", 9)))) {
		size_t n = (size_t)(slash - s);

		if ((n == 15 && !memcmp(s, "index.docker.io", n)) ||
		    (n == 9 && !memcmp(s, "docker.io", n)))
			text_puts(t, "docker.io/");
		else
			text_add(t, s, n + 1);
		s = slash + 1;
		slash = memchr(s, '/', (size_t)(name_end - s));
	} else {
		text_puts(t, "docker.io/");
	}
	if (!slash && t->len >= 10 && !memcmp(t->s + t->len - 10, "docker.io/", 10))
		text_puts(t, "library/");
	colon = memrchr(s, ':', (size_t)(name_end - s));
	if (at) {
		text_add(t, s, (size_t)((colon ? colon : at) - s));
		text_add(t, at, (size_t)(end - at));
		return;
	}
	text_add(t, s, (size_t)(end - s));
	if (!colon)
		text_puts(t, ":latest");
}

bool image_id_has_prefix(struct dcm_str id, const char *prefix)
{
	size_t n, i;

	if (!strncmp(prefix, "sha256:", 7))
		prefix += 7;
	if (id.s && id.len > 7 && !memcmp(id.s, "sha256:", 7))
		id = str_from(id, 7);
	n = strlen(prefix);
	if (!id.s || !n || n > id.len)
		return false;
	for (i = 0; i < n; i++)
		if (!isxdigit((unsigned char)prefix[i]))
			return false;
	return !strncasecmp(id.s, prefix, n);
}
