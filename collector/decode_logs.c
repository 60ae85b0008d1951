/*
 * decode_logs.c - the reply to /containers/ID/logs, made into lines.
 *
 * Without a terminal the bytes are frames: {stream, 0, 0, 0, length, 4 bytes
 * big-endian} and the bytes of one write.  A line may be spread over several
 * frames (the engine cuts long ones at 16 KiB), and the other stream's may lie
 * between them; so each stream has its own open line.
 *
 * The bytes are walked twice: first to count the lines, then to keep the last
 * `max`, so that the arena holds only what is kept.
 */
#include <stdlib.h>
#include <string.h>

#include "decode_json.h"
#include "decode_text.h"

enum { STREAMS = 4, HEADER = 8 };

struct line {
	char *p;
	size_t len;
	bool open;
};

struct walk {
	struct line lines[STREAMS];
	uint64_t seen, first; /* lines ended; the first to keep */
	struct arena *a;      /* NULL: count only */
	struct dcm_strs *out;
	struct dcm_str *list;
	bool full;
};

static void end_line(struct walk *w, struct line *l)
{
	if (w->a && w->seen >= w->first) {
		struct dcm_str s;

		if (l->len && l->p[l->len - 1] == '\r')
			l->len--;
		s = decode_utf8_nul(w->a, l->p ? l->p : "", l->len);
		if (s.s)
			w->list[w->out->n++] = s;
		else
			w->full = true;
	}
	w->seen++;
	l->len = 0;
	l->open = false;
}

/* Adds to the open line, up to what one text may hold. */
static void add(struct walk *w, struct line *l, const char *s, size_t n)
{
	char *p;

	l->open = true;
	if (!w->a)
		return;
	if (n > DECODE_TEXT_MAX - l->len)
		n = DECODE_TEXT_MAX - l->len;
	if (!n)
		return;
	p = realloc(l->p, l->len + n);
	if (!p) {
		w->full = true;
		return;
	}
	memcpy(p + l->len, s, n);
	l->p = p;
	l->len += n;
}

static void piece(struct walk *w, struct line *l, const char *s, size_t len)
{
	const char *end = s + len, *nl;

	while (s < end && (nl = memchr(s, '\n', (size_t)(end - s)))) {
		add(w, l, s, (size_t)(nl - s));
		end_line(w, l);
		s = nl + 1;
	}
	if (s < end)
		add(w, l, s, (size_t)(end - s));
}

static bool is_header(const unsigned char *p)
{
	return p[0] < STREAMS && !p[1] && !p[2] && !p[3];
}

static void walk(struct walk *w, const char *data, size_t len, bool tty)
{
	const unsigned char *p = (const unsigned char *)data;
	int i;

	w->seen = 0;
	/* Some engines send plain bytes whatever the terminal. */
	if (tty || len < HEADER || !is_header(p)) {
		piece(w, &w->lines[0], data, len);
		len = 0;
	}
	while (len >= HEADER && is_header(p)) {
		size_t n = (size_t)p[4] << 24 | (size_t)p[5] << 16 | (size_t)p[6] << 8 | p[7];

		len -= HEADER;
		if (n > len) /* cut by the end of the reply */
			n = len;
		piece(w, &w->lines[p[0]], (const char *)p + HEADER, n);
		p += HEADER + n;
		len -= n;
	}
	for (i = 0; i < STREAMS; i++)
		if (w->lines[i].open)
			end_line(w, &w->lines[i]);
}

int decode_logs(const char *data, size_t len, bool tty, uint32_t max, struct arena *a,
		struct dcm_strs *out)
{
	struct walk w = {.out = out};
	int i;

	*out = (struct dcm_strs){NULL, 0, true};
	walk(&w, data, len, tty);
	if (!w.seen || !max)
		return 0;
	w.first = w.seen > max ? w.seen - max : 0;
	w.list = arena_alloc(a, (size_t)(w.seen - w.first) * sizeof(*w.list));
	if (!w.list)
		return -1;
	out->v = w.list;
	w.a = a;
	walk(&w, data, len, tty);
	for (i = 0; i < STREAMS; i++)
		free(w.lines[i].p);
	return w.full ? -1 : 0;
}
