/* index.c - hosts and docs of the index, and what their tiers say; see index.h. */
#include "index.h"

#include <stdlib.h>
#include <string.h>

struct index *index_new(uint64_t seed)
{
	struct index *ix = calloc(1, sizeof(*ix));

	if (ix)
		terms_init(&ix->terms, seed);
	return ix;
}

void index_free(struct index **p)
{
	struct index *ix = *p;

	*p = NULL;
	if (!ix)
		return;
	for (uint32_t i = 0; i < ix->n; i++) {
		free(ix->doc[i].name);
		for (int k = 0; k < PARTS; k++)
			free(ix->doc[i].part[k].v);
	}
	for (uint32_t i = 0; i < ix->hosts; i++) {
		order_free(&ix->host[i]->order);
		free(ix->host[i]->by_entry);
		free(ix->host[i]);
	}
	terms_free(&ix->terms);
	texts_free(&ix->text);
	free(ix->ref);
	free(ix->where);
	free(ix->head);
	free(ix->doc);
	free(ix->free);
	free(ix->host);
	free(ix->by_slot);
	free(ix->ranked);
	free(ix->base);
	free(ix->wide);
	free(ix->bits);
	free(ix->answer);
	free(ix);
}

/* Room for `need` items in *v, doubled at least.  false: no memory; *v stays. */
static bool room_for(void **v, uint32_t *room, uint32_t need, size_t size)
{
	uint32_t n = *room * 2 > need ? *room * 2 : need + 64;
	void *p;

	if (need <= *room)
		return true;
	p = realloc(*v, n * size);
	if (!p)
		return false;
	memset((char *)p + *room * size, 0, (n - *room) * size);
	*v = p;
	*room = n;
	return true;
}
#define ROOM(ix, v, room, need) \
	(room_for((void **)&(v), &(room), (need), sizeof(*(v))) || ((ix)->broken = true, false))

/* ---- hosts --------------------------------------------------------------- */

static void host_clear(struct index *ix, struct index_host *h)
{
	for (uint32_t e = 0; e < h->entries; e++)
		if (h->by_entry[e])
			index_remove(ix, h->by_entry[e] - 1);
}

static uint32_t host_new(struct index *ix, uint32_t slot)
{
	struct index_host *h;
	uint32_t n = ix->hosts_room;

	if (!ROOM(ix, ix->host, n, ix->hosts + 1))
		return INDEX_NONE;
	n = ix->hosts_room;
	if (!ROOM(ix, ix->ranked, n, ix->hosts + 1))
		return INDEX_NONE;
	if (!ROOM(ix, ix->base, ix->hosts_room, ix->hosts + 1))
		return INDEX_NONE;
	h = calloc(1, sizeof(*h));
	if (!h) {
		ix->broken = true;
		return INDEX_NONE;
	}
	h->slot = slot;
	ix->host[ix->hosts] = h;
	ix->by_slot[slot] = ix->hosts + 1;
	return ix->hosts++;
}

uint32_t index_host(struct index *ix, uint32_t slot, const char *id)
{
	struct index_host *h;
	uint32_t i;

	if (slot >= INDEX_SLOTS_MAX || strlen(id) >= sizeof(h->id))
		return INDEX_NONE;
	if (!ROOM(ix, ix->by_slot, ix->slots, slot + 1))
		return INDEX_NONE;
	i = ix->by_slot[slot] ? ix->by_slot[slot] - 1 : host_new(ix, slot);
	if (i == INDEX_NONE)
		return i;
	h = ix->host[i];
	h->gone = false;
	if (strcmp(h->id, id) != 0) {
		host_clear(ix, h);
		memcpy(h->id, id, strlen(id) + 1);
		ix->dirty = true;
	}
	return i;
}

/* ---- docs ---------------------------------------------------------------- */

static bool docs_grow(struct index *ix)
{
	uint32_t rooms[3] = {ix->room, ix->room, ix->room};

	return ROOM(ix, ix->ref, rooms[0], ix->n + 1) && ROOM(ix, ix->where, rooms[1], ix->n + 1) &&
	       ROOM(ix, ix->head, rooms[2], ix->n + 1) && ROOM(ix, ix->doc, ix->room, ix->n + 1);
}

uint32_t index_find(const struct index *ix, struct dcm_ref ref)
{
	const struct index_host *h;

	if (ref.host >= ix->slots || !ix->by_slot[ref.host])
		return INDEX_NONE;
	h = ix->host[ix->by_slot[ref.host] - 1];
	return ref.entry < h->entries ? h->by_entry[ref.entry] - 1 : INDEX_NONE;
}

uint32_t index_put(struct index *ix, uint32_t host, struct dcm_ref ref)
{
	struct index_host *h = ix->host[host];
	uint32_t doc = index_find(ix, ref);

	if (doc != INDEX_NONE) {
		const struct dcm_ref *r = &ix->ref[doc];

		if (r->shard_generation == ref.shard_generation &&
		    r->entry_generation == ref.entry_generation)
			return doc;
		index_remove(ix, doc);
	}
	if (ref.entry >= INDEX_ENTRIES_MAX) {
		ix->broken = true;
		return INDEX_NONE;
	}
	if (!ROOM(ix, h->by_entry, h->entries, ref.entry + 1) ||
	    !ROOM(ix, ix->free, ix->free_room, ix->n + 1) || !docs_grow(ix))
		return INDEX_NONE;
	doc = ix->free_n ? ix->free[ix->free_n - 1] : ix->n;
	if (ix->free_n)
		ix->free_n--;
	else
		ix->n++;
	memset(&ix->doc[doc], 0, sizeof(ix->doc[doc]));
	ix->ref[doc] = ref;
	ix->where[doc] = (struct index_where){host, ORDER_HOLE};
	ix->head[doc] = 0;
	h->by_entry[ref.entry] = doc + 1;
	h->docs++;
	ix->docs++;
	return doc;
}

void index_identify(struct index *ix, uint32_t doc, const uint8_t id[32])
{
	uint64_t head = 0;

	for (int i = 0; i < 8; i++)
		head = head << 8 | id[i];
	memcpy(ix->doc[doc].id, id, 32);
	ix->head[doc] = head;
	ix->doc[doc].identified = true;
}

static void text_moved(void *arg, uint32_t owner, uint32_t i)
{
	struct index *ix = arg;

	ix->terms.v[owner].text = i;
}

/* Another doc's link to `term` is now at `at`. */
static void link_moved(struct index *ix, uint32_t doc, uint32_t term, uint32_t at)
{
	struct index_doc *d = &ix->doc[doc];

	for (int k = 0; k < PARTS; k++)
		for (uint32_t i = 0; i < d->part[k].n; i++)
			if (d->part[k].v[i].term == term) {
				d->part[k].v[i].at = at;
				return;
			}
}

static void part_clear(struct index *ix, uint32_t doc, enum index_part k)
{
	struct index_doc *d = &ix->doc[doc];
	uint32_t moved, text;
	bool died;

	while (d->part[k].n) {
		struct term_link l = d->part[k].v[--d->part[k].n];

		terms_remove(&ix->terms, l, &moved, &died, &text);
		if (moved != TERM_NONE)
			link_moved(ix, moved, l.term, l.at);
		if (died && text != TERM_NONE && texts_remove(&ix->text, text))
			texts_pack(&ix->text, text_moved, ix);
	}
	free(d->part[k].v);
	d->part[k].v = NULL;
	d->part[k].print = 0;
}

static void set_wide(struct index *ix, uint32_t doc, enum index_part k, bool wide)
{
	struct index_doc *d = &ix->doc[doc];
	uint8_t now = wide ? d->wide | 1u << k : d->wide & ~(1u << k);

	if (now && !d->wide) {
		if (ROOM(ix, ix->wide, ix->wide_room, ix->n_wide + 1))
			ix->wide[ix->n_wide++] = doc;
	} else if (!now && d->wide) {
		for (uint32_t i = 0; i < ix->n_wide; i++)
			if (ix->wide[i] == doc)
				ix->wide[i--] = ix->wide[--ix->n_wide];
	}
	d->wide = now;
}

void index_remove(struct index *ix, uint32_t doc)
{
	struct index_doc *d = &ix->doc[doc];
	struct index_host *h = ix->host[ix->where[doc].host];

	for (int k = 0; k < PARTS; k++) {
		part_clear(ix, doc, k);
		set_wide(ix, doc, k, false);
	}
	if (ix->where[doc].place != ORDER_HOLE)
		order_remove(&h->order, ix->where[doc].place);
	h->by_entry[ix->ref[doc].entry] = 0;
	h->docs--;
	free(d->name);
	memset(d, 0, sizeof(*d));
	ix->where[doc].host = INDEX_NONE;
	ix->head[doc] = 0;
	ix->docs--;
	ix->free[ix->free_n++] = doc; /* index_put() made room for all docs */
}

/* ---- tiers --------------------------------------------------------------- */

static bool add_fact(struct index *ix, uint32_t doc, enum index_part k, const struct fact *f)
{
	struct index_doc *d = &ix->doc[doc];
	struct term_link *l = &d->part[k].v[d->part[k].n];
	bool fresh;
	int rc = terms_add(&ix->terms, f->key, (enum term_kind)f->kind, doc, l, &fresh);

	if (rc <= 0)
		return rc == 0;
	d->part[k].n++;
	if (!fresh || (f->kind != TERM_NAME && f->kind != TERM_IMAGE))
		return true;
	ix->terms.v[l->term].text =
	    texts_add(&ix->text, ix->facts.text, ix->facts.text_len, l->term);
	return ix->terms.v[l->term].text != UINT32_MAX;
}

/* The order is by name: a new doc, or one with another name, is placed at the end,
 * from where index_settle() takes it to its place. */
static void set_name(struct index *ix, uint32_t doc, struct dcm_str name)
{
	struct index_doc *d = &ix->doc[doc];
	struct order *o = &ix->host[ix->where[doc].host]->order;
	uint32_t place, old = ix->where[doc].place;
	char *s = NULL;

	if (old != ORDER_HOLE && d->name_len == name.len &&
	    (!name.len || memcmp(d->name, name.s, name.len) == 0))
		return;
	if (name.len) {
		s = malloc(name.len);
		if (s)
			memcpy(s, name.s, name.len);
	}
	place = order_add(o, doc);
	if ((name.len && !s) || place == ORDER_HOLE) {
		ix->broken = true;
		free(s);
		return;
	}
	if (old != ORDER_HOLE)
		order_remove(o, old);
	ix->where[doc].place = place;
	free(d->name);
	d->name = s;
	d->name_len = name.len;
	ix->dirty = true;
}

static enum index_part part_of(enum dcm_tier tier)
{
	return tier == DCM_STATUS ? PART_STATUS : tier == DCM_CONFIG ? PART_CONFIG : PART_COMPOSE;
}

void index_tier(struct index *ix, uint32_t doc, enum dcm_tier tier, const uint8_t *data,
		uint32_t len)
{
	struct index_doc *d = &ix->doc[doc];
	enum index_part k = part_of(tier);
	struct facts *f = &ix->facts;
	uint64_t print;

	facts_of(f, &ix->terms, tier, data, len);
	if (tier == DCM_STATUS)
		set_name(ix, doc, f->name);
	print = facts_print(f);
	if (print == d->part[k].print)
		return;
	part_clear(ix, doc, k);
	if (ix->terms.links + f->n > INDEX_LINKS_MAX)
		f->wide = true;
	set_wide(ix, doc, k, f->wide);
	d->part[k].print = print;
	if (f->wide || !f->n)
		return;
	d->part[k].v = malloc(f->n * sizeof(*d->part[k].v));
	if (!d->part[k].v) {
		ix->broken = true;
		return;
	}
	for (uint32_t i = 0; i < f->n; i++)
		if (!add_fact(ix, doc, k, &f->v[i])) {
			ix->broken = true;
			return;
		}
}

size_t index_memory(const struct index *ix)
{
	size_t doc = sizeof(*ix->ref) + sizeof(*ix->where) + sizeof(*ix->head) + sizeof(*ix->doc);

	return sizeof(*ix) + ix->room * doc + ix->terms.room * sizeof(*ix->terms.v) +
	       ((size_t)ix->terms.mask + 1) * sizeof(uint32_t) +
	       ix->terms.links * (sizeof(struct term_link) + sizeof(uint32_t)) + ix->text.room +
	       ix->text.room_n * 2 * sizeof(uint32_t);
}
