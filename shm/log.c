/*
 * log.c - structured log lines on standard error.
 *
 * Part: every process of dcmd writes its lines here.  A line is one write() of
 * at most LINE_MAX bytes (PIPE_BUF, so that lines of several processes on one
 * pipe do not mix).
 *
 * Invariants: a line is valid UTF-8 without control characters, whatever an
 * engine put into a message, so it is valid JSON and cannot forge another line.
 * Logging never blocks: when whoever reads the pipe does not keep up, the line
 * is dropped, and the next line that gets through says how many were
 * (`log_lost`).  A value too long for a line is cut and ends in "…".
 */
#include "log.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_BYTES = 4096, /* PIPE_BUF */
	TAIL = 16,	   /* kept free for what closes a line: …"}\n */
};

static enum log_level log_least = LOG_LEVEL_INFO;
static bool log_json;
static unsigned log_dropped;
static const char *log_own_host;

struct line {
	char s[LINE_BYTES];
	size_t len;
};

void log_init(enum log_level least, bool json)
{
	log_least = least;
	log_json = json;
	log_dropped = 0;
}

void log_host(const char *host)
{
	log_own_host = host;
}

bool log_wants(enum log_level l)
{
	return l >= log_least;
}

static const char *level_name(enum log_level l)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};

	return names[l <= LOG_LEVEL_ERROR ? l : LOG_LEVEL_ERROR];
}

/* Appends raw bytes; false where they do not fit. */
static bool put(struct line *b, const char *s, size_t n)
{
	if (b->len + n > LINE_BYTES - TAIL)
		return false;
	memcpy(b->s + b->len, s, n);
	b->len += n;
	return true;
}

static bool puts_line(struct line *b, const char *s)
{
	return put(b, s, strlen(s));
}

/* Bytes of the UTF-8 sequence at s; 0 where it is none (or cut by the NUL). */
static size_t utf8_len(const unsigned char *s)
{
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* Appends text with what could break the line escaped; cuts it where the line
 * is full. */
static void put_text(struct line *b, const char *text, bool in_quotes)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		char esc[8];
		size_t n = utf8_len(s);
		bool ok;

		if (n == 0) {
			n = 1;
			ok = puts_line(b, "\xef\xbf\xbd");
		} else if (*s < 0x20 || *s == 0x7f) {
			snprintf(esc, sizeof(esc), "\\u%04x", *s);
			ok = puts_line(b, esc);
		} else if (in_quotes && (*s == '"' || *s == '\\')) {
			ok = put(b, "\\", 1) && put(b, (const char *)s, 1);
		} else {
			ok = put(b, (const char *)s, n);
		}
		if (!ok) {
			memcpy(b->s + b->len, "\xe2\x80\xa6", 3); /* TAIL has room */
			b->len += 3;
			return;
		}
		s += n;
	}
}

static bool is_bare(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (*s <= ' ' || *s >= 0x7f || *s == '"' || *s == '=' || *s == '\\')
			return false;
	return true;
}

static void put_value(struct line *b, const struct log_field *f)
{
	char num[40];

	switch (f->type) {
	case LOG_STR:
		if (!log_json && is_bare(f->s)) {
			put_text(b, f->s, true);
			return;
		}
		put(b, "\"", 1);
		put_text(b, f->s, true);
		b->s[b->len++] = '"'; /* TAIL has room */
		return;
	case LOG_INT:
		snprintf(num, sizeof(num), "%lld", (long long)f->i);
		break;
	case LOG_NUM:
		if (!isfinite(f->f))
			snprintf(num, sizeof(num), "null");
		else
			snprintf(num, sizeof(num), "%.6g", f->f);
		break;
	}
	puts_line(b, num);
}

static void put_field(struct line *b, const struct log_field *f)
{
	if (f->type == LOG_STR && !f->s)
		return;
	/* key, quotes, the least value: whole, or not at all */
	if (b->len + strlen(f->key) + 48 > LINE_BYTES - TAIL)
		return;
	if (log_json) {
		puts_line(b, ",\"");
		puts_line(b, f->key);
		puts_line(b, "\":");
	} else {
		puts_line(b, " ");
		puts_line(b, f->key);
		puts_line(b, "=");
	}
	put_value(b, f);
}

static void put_head(struct line *b, enum log_level l, const char *event)
{
	struct timespec now;
	struct tm tm;
	char head[160];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	snprintf(head, sizeof(head),
		 log_json ? "{\"ts\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ\",\"level\":\"%s\","
			    "\"event\":\"%.64s\""
			  : "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %.64s",
		 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		 now.tv_nsec / 1000000, level_name(l), event);
	puts_line(b, head);
}

/* One write, without waiting for a reader that does not read. */
static bool line_write(const struct line *b)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	struct iovec v = {.iov_base = (void *)b->s, .iov_len = b->len};
	ssize_t n;

	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
		return false;
	/* Another process may take the room between poll and write: hence NOWAIT,
	 * where the kind of file knows it. */
	n = pwritev2(STDERR_FILENO, &v, 1, -1, RWF_NOWAIT);
	if (n < 0 && errno == EAGAIN) {
		struct stat st;

		/* A regular file says so where it must allocate: that may be waited for. */
		if (fstat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode))
			return false;
	}
	if (n < 0)
		n = write(STDERR_FILENO, b->s, b->len);
	return n > 0;
}

static bool line_end(struct line *b)
{
	if (log_json)
		b->s[b->len++] = '}';
	b->s[b->len++] = '\n';
	return line_write(b);
}

static void say_lost(void)
{
	struct line b = {.len = 0};
	unsigned n = log_dropped;

	put_head(&b, LOG_LEVEL_WARN, "log_lost");
	put_field(&b, &LF_INT("lines", n));
	if (line_end(&b))
		log_dropped = 0;
}

void log_fields(enum log_level l, const char *event, const char *host,
		const struct log_field *fields, int n)
{
	struct line b = {.len = 0};
	const struct log_field *sentence = NULL;

	if (!log_wants(l))
		return;
	if (log_dropped)
		say_lost();
	put_head(&b, l, event);
	put_field(&b, &LF_STR("host", host ? host : log_own_host));
	for (int i = 0; i < n; i++) {
		/* For people the sentence stands last, as prose. */
		if (!log_json && fields[i].type == LOG_STR && fields[i].s &&
		    (!strcmp(fields[i].key, "error") || !strcmp(fields[i].key, "message")))
			sentence = &fields[i];
		else
			put_field(&b, &fields[i]);
	}
	if (sentence) {
		puts_line(&b, ": ");
		put_text(&b, sentence->s, false);
	}
	if (!line_end(&b))
		log_dropped++;
}

void log_msg(enum log_level l, const char *event, const char *host, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	if (!log_wants(l))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_event(l, event, host,
		  LF_STR(l >= LOG_LEVEL_WARN ? "error" : "message", text));
}
