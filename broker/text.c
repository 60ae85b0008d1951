/* text.c - see text.h. */
#include "text.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { DEAD_MIN = 64 << 10, PAD = 16 }; /* PAD: readable bytes behind the last text */

void texts_free(struct text_arena *t)
{
	free(t->bytes);
	free(t->offset);
	free(t->owner);
	memset(t, 0, sizeof(*t));
}

static bool grow(struct text_arena *t, size_t n)
{
	if (t->n == t->room_n) {
		uint32_t room = t->room_n ? t->room_n + t->room_n / 2 : 256;
		uint32_t *o = realloc(t->offset, room * sizeof(*o)), *w;

		if (!o)
			return false;
		t->offset = o;
		w = realloc(t->owner, room * sizeof(*w));
		if (!w)
			return false;
		t->owner = w;
		t->room_n = room;
	}
	if (t->room - t->len < n + PAD) {
		size_t room = t->room + t->room / 2 + n + 4096;
		char *b = room < UINT32_MAX ? realloc(t->bytes, room) : NULL;

		if (!b)
			return false;
		t->bytes = b;
		t->room = room;
	}
	return true;
}

uint32_t texts_add(struct text_arena *t, const char *s, size_t n, uint32_t owner)
{
	if (!grow(t, n + 1))
		return UINT32_MAX;
	t->offset[t->n] = (uint32_t)t->len;
	t->owner[t->n] = owner;
	memcpy(t->bytes + t->len, s, n);
	t->len += n;
	t->bytes[t->len++] = 0;
	memset(t->bytes + t->len, 0, PAD);
	return t->n++;
}

static size_t text_end(const struct text_arena *t, uint32_t i)
{
	return i + 1 < t->n ? t->offset[i + 1] : t->len;
}

bool texts_remove(struct text_arena *t, uint32_t i)
{
	size_t n = text_end(t, i) - t->offset[i];

	memset(t->bytes + t->offset[i], 0, n);
	t->owner[i] = UINT32_MAX;
	t->dead += n;
	return t->dead > DEAD_MIN && t->dead > t->len / 2;
}

void texts_pack(struct text_arena *t, void (*moved)(void *arg, uint32_t owner, uint32_t i),
		void *arg)
{
	uint32_t to = 0;
	size_t len = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		size_t n = text_end(t, i) - t->offset[i];

		if (t->owner[i] == UINT32_MAX)
			continue;
		memmove(t->bytes + len, t->bytes + t->offset[i], n);
		t->offset[to] = (uint32_t)len;
		t->owner[to] = t->owner[i];
		moved(arg, t->owner[to], to);
		len += n;
		to++;
	}
	t->n = to;
	t->len = len;
	t->dead = 0;
	if (t->bytes)
		memset(t->bytes + t->len, 0, PAD);
}

/* What is looked for, and its first 8 bytes as a number (those it has). */
struct needle {
	const char *s;
	size_t n;
	uint64_t head, mask;
};

static struct needle needle_of(const char *s, size_t n)
{
	struct needle x = {.s = s, .n = n};

	memcpy(&x.head, s, n < 8 ? n : 8);
	memset(&x.mask, 0xff, n < 8 ? n : 8);
	return x;
}

/* It stands at `at`: only one of more than 8 bytes costs a call. */
static inline bool stands(const char *at, const struct needle *x)
{
	uint64_t w;

	memcpy(&w, at, sizeof(w));
	return ((w ^ x->head) & x->mask) == 0 &&
	       (x->n <= 8 || memcmp(at + 8, x->s + 8, x->n - 8) == 0);
}

/* Where the needle next stands in [p, end), or NULL.  PAD bytes behind `end` may
 * be read, and are NUL. */
static const char *find(const char *p, const char *end, const struct needle *x)
{
	size_t n = x->n;

#ifdef __SSE2__
	/* 16 places at once: those whose first and last byte fit are looked at. */
	const __m128i first = _mm_set1_epi8(x->s[0]), last = _mm_set1_epi8(x->s[n - 1]);

	for (; p + n <= end; p += 16) {
		__m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + n - 1));
		__m128i both = _mm_and_si128(_mm_cmpeq_epi8(a, first), _mm_cmpeq_epi8(b, last));
		unsigned mask = (unsigned)_mm_movemask_epi8(both);

		for (; mask; mask &= mask - 1) {
			const char *at = p + __builtin_ctz(mask);

			if (at + n <= end && stands(at, x))
				return at;
		}
	}
	return NULL;
#else
	return p < end ? memmem(p, (size_t)(end - p), x->s, n) : NULL;
#endif
}

void texts_search(const struct text_arena *t, const char *needle, size_t n,
		 void (*hit)(void *arg, uint32_t owner), void *arg)
{
	const struct needle x = needle_of(needle, n);
	const char *p = t->bytes, *end;
	uint32_t i = 0;

	if (!p)
		return;
	end = p + t->len;
	while ((p = find(p, end, &x))) {
		size_t at = (size_t)(p - t->bytes);

		while (text_end(t, i) <= at)
			i++;
		hit(arg, t->owner[i]); /* a needle holds no NUL, so this text is whole */
		p = t->bytes + text_end(t, i);
		i++;
	}
}
