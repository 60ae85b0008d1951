/* terms.c - see terms.h. */
#include "terms.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

enum { TABLE_MIN = 1024 };

void terms_init(struct terms *t, uint64_t seed)
{
	memset(t, 0, sizeof(*t));
	t->seed = seed;
	t->free = TERM_NONE;
}

void terms_free(struct terms *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->v[i].room)
			free(t->v[i].docs.v);
	free(t->v);
	free(t->table);
	memset(t, 0, sizeof(*t));
}

struct term_key terms_key(const struct terms *t, enum term_kind kind, const void *s, size_t n)
{
	uint64_t seed = t->seed + (uint64_t)kind * 0x9e3779b97f4a7c15ull;
	XXH128_hash_t h = XXH3_128bits_withSeed(n ? s : "", n, seed);

	return (struct term_key){h.low64, h.high64};
}

struct term_key terms_pair(struct term_key label, const void *value, size_t n)
{
	XXH128_hash_t h = XXH3_128bits_withSeed(n ? value : "", n, label.lo + TERM_PAIR);

	return (struct term_key){h.low64 ^ label.hi, h.high64};
}

/* ---- the hash table ----------------------------------------------------- */

/* The bucket of `key`, or the empty one where it belongs. */
static uint32_t bucket_of(const struct terms *t, struct term_key key)
{
	uint32_t b = (uint32_t)key.lo & t->mask;

	while (t->table[b]) {
		const struct term_key *k = &t->v[t->table[b] - 1].key;

		if (k->lo == key.lo && k->hi == key.hi)
			break;
		b = (b + 1) & t->mask;
	}
	return b;
}

static bool table_grow(struct terms *t)
{
	uint32_t size = t->table ? (t->mask + 1) * 2 : TABLE_MIN;
	uint32_t *old = t->table, old_size = old ? t->mask + 1 : 0;

	t->table = calloc(size, sizeof(*t->table));
	if (!t->table) {
		t->table = old;
		return false;
	}
	t->mask = size - 1;
	for (uint32_t i = 0; i < old_size; i++)
		if (old[i])
			t->table[bucket_of(t, t->v[old[i] - 1].key)] = old[i];
	free(old);
	return true;
}

/* Empties the bucket, and closes the gap so that no probe ends in it. */
static void bucket_clear(struct terms *t, uint32_t gap)
{
	uint32_t b = gap;

	t->table[gap] = 0;
	for (;;) {
		uint32_t home;

		b = (b + 1) & t->mask;
		if (!t->table[b])
			return;
		home = (uint32_t)t->v[t->table[b] - 1].key.lo & t->mask;
		if (((b - home) & t->mask) >= ((b - gap) & t->mask)) {
			t->table[gap] = t->table[b];
			t->table[b] = 0;
			gap = b;
		}
	}
}

const struct term *terms_find(const struct terms *t, struct term_key key)
{
	uint32_t i;

	if (!t->table)
		return NULL;
	i = t->table[bucket_of(t, key)];
	return i ? &t->v[i - 1] : NULL;
}

/* ---- terms and their lists ---------------------------------------------- */

/* A new term in the empty bucket that bucket_of() gives, or TERM_NONE. */
static uint32_t term_new(struct terms *t, struct term_key key, enum term_kind kind)
{
	uint32_t i = t->free;

	if (t->used >= t->mask / 3 * 2 && !table_grow(t))
		return TERM_NONE;
	if (i != TERM_NONE) {
		t->free = t->v[i].text;
	} else {
		if (t->n == t->room) {
			uint32_t room = t->room ? t->room + t->room / 2 : TABLE_MIN;
			struct term *v = realloc(t->v, room * sizeof(*v));

			if (!v)
				return TERM_NONE;
			t->v = v;
			t->room = room;
		}
		i = t->n++;
	}
	t->v[i] = (struct term){.key = key, .text = TERM_NONE, .kind = kind};
	t->table[bucket_of(t, key)] = i + 1;
	t->used++;
	return i;
}

static void term_die(struct terms *t, uint32_t i)
{
	struct term *m = &t->v[i];

	bucket_clear(t, bucket_of(t, m->key));
	if (m->room)
		free(m->docs.v);
	*m = (struct term){.text = t->free};
	t->free = i;
	t->used--;
}

/* Room for one doc more. */
static bool docs_grow(struct term *m)
{
	uint32_t one = m->docs.one, room = m->room ? m->room + m->room / 2 : 4;
	uint32_t *v;

	if (m->n == 0 || (m->room && m->n < m->room))
		return true;
	v = realloc(m->room ? m->docs.v : NULL, room * sizeof(*v));
	if (!v)
		return false;
	if (!m->room)
		v[0] = one;
	m->docs.v = v;
	m->room = room;
	return true;
}

static void docs_shrink(struct term *m)
{
	uint32_t *v = m->docs.v;

	if (m->n == 1) {
		m->docs.one = v[0];
		m->room = 0;
		free(v);
	} else if (m->room > 16 && m->n < m->room / 4) {
		v = realloc(v, m->room / 2 * sizeof(*v));
		if (v) {
			m->docs.v = v;
			m->room /= 2;
		}
	}
}

int terms_add(struct terms *t, struct term_key key, enum term_kind kind, uint32_t doc,
	      struct term_link *link, bool *fresh)
{
	struct term *m;
	uint32_t i;

	if (!t->table && !table_grow(t))
		return -1;
	i = t->table[bucket_of(t, key)];
	*fresh = !i;
	i = i ? i - 1 : term_new(t, key, kind);
	if (i == TERM_NONE)
		return -1;
	m = &t->v[i];
	if (m->n && term_docs(m)[m->n - 1] == doc)
		return 0;
	if (!docs_grow(m))
		return -1;
	if (m->room)
		m->docs.v[m->n] = doc;
	else
		m->docs.one = doc;
	*link = (struct term_link){i, m->n++};
	t->links++;
	return 1;
}

void terms_remove(struct terms *t, struct term_link link, uint32_t *moved, bool *died,
		  uint32_t *text)
{
	struct term *m = &t->v[link.term];
	uint32_t last = term_docs(m)[m->n - 1];

	t->links--;
	*moved = TERM_NONE;
	*died = m->n == 1;
	*text = m->text;
	if (*died) {
		term_die(t, link.term);
		return;
	}
	m->n--;
	if (link.at < m->n) {
		m->docs.v[link.at] = last;
		*moved = last;
	}
	docs_shrink(m);
}
