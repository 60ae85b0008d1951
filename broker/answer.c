/*
 * answer.c - the index answers: a query's containers are marked as bits over all
 * places (host by host in order of id, containers in order of name), and read
 * out in order.  So nothing is sorted, and a container that two terms lead to
 * stands in the answer once.
 */
#include <stdlib.h>
#include <string.h>

#include "index.h"

/* ---- order --------------------------------------------------------------- */

static int by_name(const void *arg, uint32_t a, uint32_t b)
{
	const struct index *ix = arg;
	const struct index_doc *x = &ix->doc[a], *y = &ix->doc[b];
	uint32_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
	int c = n ? memcmp(x->name, y->name, n) : 0;

	if (c)
		return c;
	if (x->name_len != y->name_len)
		return x->name_len < y->name_len ? -1 : 1;
	return memcmp(x->id, y->id, sizeof(x->id));
}

static void place_moved(void *arg, uint32_t doc, uint32_t place)
{
	struct index *ix = arg;

	ix->where[doc].place = place;
}

void index_settle(struct index *ix, uint32_t host)
{
	struct order *o = &ix->host[host]->order;

	if (!order_settled(o) && !order_settle(o, by_name, place_moved, ix))
		ix->broken = true;
}

static int by_host_id(const void *a, const void *b, void *arg)
{
	const struct index *ix = arg;

	return strcmp(ix->host[*(const uint32_t *)a]->id, ix->host[*(const uint32_t *)b]->id);
}

/* Every doc's bit is base[host] + place from here on. */
static void settle_all(struct index *ix)
{
	if (!ix->dirty)
		return;
	ix->places = 0;
	for (uint32_t i = 0; i < ix->hosts; i++) {
		index_settle(ix, i);
		ix->ranked[i] = i;
	}
	qsort_r(ix->ranked, ix->hosts, sizeof(*ix->ranked), by_host_id, ix);
	for (uint32_t i = 0; i < ix->hosts; i++) {
		uint32_t h = ix->ranked[i];

		ix->base[h] = ix->places;
		ix->places += (ix->host[h]->order.n + 63) / 64 * 64;
	}
	ix->dirty = ix->broken;
}

/* ---- marking ------------------------------------------------------------- */

static inline void mark(struct index *ix, uint32_t doc)
{
	struct index_where w = ix->where[doc];
	uint32_t bit = ix->base[w.host] + w.place;

	if (w.place != ORDER_HOLE)
		ix->bits[bit / 64] |= 1ull << bit % 64;
}

static void mark_term(struct index *ix, const struct term *t)
{
	const uint32_t *docs = t ? term_docs(t) : NULL;

	for (uint32_t i = 0; t && i < t->n; i++)
		mark(ix, docs[i]);
}

static void mark_text(void *arg, uint32_t owner)
{
	struct index *ix = arg;

	mark_term(ix, &ix->terms.v[owner]);
}

static void mark_all(struct index *ix)
{
	for (uint32_t d = 0; d < ix->n; d++)
		if (ix->where[d].host != INDEX_NONE)
			mark(ix, d);
}

/* Heads first: 8 bytes a container, one behind the other. */
static void mark_id_prefix(struct index *ix, struct dcm_str prefix)
{
	unsigned n = prefix.len < 16 ? prefix.len : 16;
	uint64_t head = 0, mask = n ? ~0ull << (64 - 4 * n) : 0;

	if (prefix.len > 64)
		return;
	for (uint32_t i = 0; i < prefix.len; i++) {
		int digit = facts_hex(prefix.s[i]); /* folded already */

		if (digit < 0)
			return;
		if (i < n)
			head |= (uint64_t)digit << (60 - 4 * i);
	}
	for (uint32_t d = 0; d < ix->n; d++)
		if ((ix->head[d] & mask) == head && ix->where[d].host != INDEX_NONE &&
		    ix->doc[d].identified && match_id_prefix(ix->doc[d].id, prefix))
			mark(ix, d);
}

static bool mark_query(struct index *ix, const struct match *m)
{
	const struct terms *t = &ix->terms;
	struct term_key key;

	switch (m->kind) {
	case DCM_Q_PROJECT:
		mark_term(ix, terms_find(t, terms_key(t, TERM_PROJECT, m->text.s, m->text.len)));
		return true;
	case DCM_Q_NETWORK:
		mark_term(ix, terms_find(t, terms_key(t, TERM_NETWORK, m->text.s, m->text.len)));
		return true;
	case DCM_Q_MOUNT:
		mark_term(ix, terms_find(t, terms_key(t, TERM_MOUNT, m->text.s, m->text.len)));
		return true;
	case DCM_Q_LABEL:
		key = terms_key(t, TERM_LABEL, m->text.s, m->text.len);
		if (m->value.s)
			key = terms_pair(key, m->value.s, m->value.len);
		mark_term(ix, terms_find(t, key));
		return true;
	case DCM_Q_SEARCH:
		if (!m->text.len) {
			mark_all(ix);
			return true;
		}
		texts_search(&ix->text, m->text.s, m->text.len, mark_text, ix);
		mark_id_prefix(ix, m->text);
		return true;
	default:
		return false;
	}
}

static void mark_wide(struct index *ix, const struct match *m, index_wide *wide, void *arg)
{
	for (uint32_t i = 0; i < ix->n_wide; i++)
		if (wide(arg, m, ix->ref[ix->wide[i]]))
			mark(ix, ix->wide[i]);
}

/* ---- reading out --------------------------------------------------------- */

static bool answer_room(struct index *ix, uint32_t words)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < words; i++)
		n += (uint32_t)__builtin_popcountll(ix->bits[i]);
	if (n > ix->answer_room) {
		struct dcm_ref *v = realloc(ix->answer, n * sizeof(*v));

		if (!v)
			return false;
		ix->answer = v;
		ix->answer_room = n;
	}
	ix->answer_n = 0;
	return true;
}

static void read_host(struct index *ix, uint32_t host)
{
	const struct order *o = &ix->host[host]->order;
	const uint64_t *bits = ix->bits + ix->base[host] / 64;

	for (uint32_t w = 0; w * 64 < o->n; w++)
		for (uint64_t b = bits[w]; b; b &= b - 1) {
			uint32_t doc = o->v[w * 64 + (uint32_t)__builtin_ctzll(b)];

			ix->answer[ix->answer_n++] = ix->ref[doc];
		}
}

bool index_query(struct index *ix, const struct match *m, const char *host, index_wide *wide,
		 void *arg)
{
	uint32_t words;
	bool known = !host;

	settle_all(ix);
	if (ix->broken || ix->n_wide > INDEX_WIDE_MAX)
		return false;
	words = ix->places / 64;
	if (words > ix->bits_room) {
		uint64_t *bits = realloc(ix->bits, words * sizeof(*bits));

		if (!bits)
			return false;
		ix->bits = bits;
		ix->bits_room = words;
	}
	if (words)
		memset(ix->bits, 0, words * sizeof(*ix->bits));
	if (!m->none) {
		if (!mark_query(ix, m))
			return false;
		mark_wide(ix, m, wide, arg);
	}
	if (!answer_room(ix, words))
		return false;
	for (uint32_t i = 0; i < ix->hosts; i++) {
		const struct index_host *h = ix->host[ix->ranked[i]];

		if (h->gone || (host && strcmp(host, h->id) != 0))
			continue;
		known = true;
		read_host(ix, ix->ranked[i]);
	}
	return known;
}
