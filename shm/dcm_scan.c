/*
 * dcm_scan.c - answers a query from the memory alone: the way that always works,
 * and the quickest for what the entries' digests decide.
 *
 * A scan goes over the entries of each shard in turn.  Status, health, CPU and
 * memory stand in the entry, so those queries touch no blob; the others parse
 * the one or two tiers that they are about, in place.
 */
#include "dcm_impl.h"

#include <stdlib.h>
#include <string.h>

enum { TRIES = 8 };

#define ld(p) atomic_load_explicit((p), memory_order_acquire)

int dcm_refs_room(struct dcm_refs *r, size_t n)
{
	size_t room = r->room ? r->room : 64;
	struct dcm_ref *grown;

	if (n <= r->room)
		return DCM_OK;
	while (room < n)
		room *= 2;
	if (room > DCM_REFS_MAX)
		return DCM_ENOMEM;
	grown = realloc(r->v, room * sizeof(*grown));
	if (!grown)
		return DCM_ENOMEM;
	r->v = grown;
	r->room = room;
	return DCM_OK;
}

int dcm_refs_add(struct dcm_refs *r, struct dcm_ref ref)
{
	int rc = dcm_refs_room(r, r->n + 1);

	if (rc == DCM_OK)
		r->v[r->n++] = ref;
	return rc;
}

void dcm_refs_free(struct dcm_refs *r)
{
	free(r->v);
	*r = (struct dcm_refs){0};
}

int dcm_query_host(dcm *d, const uint32_t *only, uint32_t n, uint32_t *slot, struct dcm_slot **out)
{
	int rc;

	if (n >= (only ? 1 : d->n_order))
		return DCM_ESTALE;
	*slot = only ? *only : d->order[n];
	rc = dcm_slot_shard_checked(d, *slot, out);
	if (rc == DCM_ESTALE)
		return DCM_ENOTFOUND;
	/* One shard that cannot be read does not hide the others; its host's row
	 * tells of it. */
	return rc != DCM_OK && !only && rc != DCM_ENOMEM ? DCM_ENOTFOUND : rc;
}

/* ---- matching ----------------------------------------------------------- */

static bool tiers_match(const struct region_map *map, const struct dcm_entry *e, uint32_t entry,
			uint32_t generation, const struct match *m)
{
	for (unsigned t = 0; t < DCM_TIERS; t++) {
		if (!(m->tiers & 1u << t))
			continue;
		for (int i = 0; i < TRIES; i++) {
			struct region_blob b;
			bool is;

			if (region_blob_load(map, &e->ref[t], entry, generation, t, &b) != DCM_OK)
				break;
			is = match_tier(m, (enum dcm_tier)t, b.data, b.len);
			if (!region_blob_ok(&b))
				continue;
			if (is)
				return true;
			break;
		}
	}
	return false;
}

static bool entry_matches(const struct region_map *map, const struct dcm_entry *e, uint32_t entry,
			  uint32_t generation, const struct match *m)
{
	uint64_t brief = atomic_load_explicit(&e->brief, memory_order_relaxed);
	uint8_t id[32];
	int said;

	if (m->kind == DCM_Q_SEARCH)
		dcm_entry_id(e, id);
	said = match_entry(m, id, (uint8_t)brief, (uint8_t)(brief >> 8));
	if (said < 0)
		said = tiers_match(map, e, entry, generation, m);
	return said > 0 && region_entry_ok(e, generation);
}

static int match_shard(const struct dcm_slot *s, uint32_t slot, const struct match *m,
		       struct dcm_refs *out)
{
	uint32_t n = region_entries(&s->map);
	const struct dcm_entry *e;
	int rc = DCM_OK;

	for (uint32_t i = DCM_SELF + 1; i < n && rc == DCM_OK; i++) {
		uint32_t generation = dcm_live_entry(&s->map, i, &e);

		if (e && m->tiers == 0)
			__builtin_prefetch(e + DCM_AHEAD);
		if (generation && entry_matches(&s->map, e, i, generation, m))
			rc =
			    dcm_refs_add(out, (struct dcm_ref){slot, s->generation, i, generation});
	}
	return rc;
}

/* ---- order -------------------------------------------------------------- */

/* A reference and the name that it is sorted by. */
struct named {
	uint64_t start; /* the name's first 8 bytes, as a number that sorts like them */
	const char *name;
	uint32_t len;
	struct dcm_ref ref;
};
struct names_room {
	char *text;
	size_t len, room;
};

static int by_name(const void *pa, const void *pb)
{
	const struct named *a = pa, *b = pb;
	int order;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	order = memcmp(a->name, b->name, a->len < b->len ? a->len : b->len);
	return order ? order : a->len < b->len ? -1 : a->len > b->len;
}

static uint64_t name_start(const char *name, uint32_t len)
{
	uint64_t v = 0;

	for (uint32_t i = 0; i < 8; i++)
		v = v << 8 | (i < len ? (uint8_t)name[i] : 0);
	return v;
}

/* Copies the name behind the others; its offset. */
static int keep_name(struct names_room *r, const char *name, uint32_t len, size_t *at)
{
	if (!r->text || r->room - r->len < len) {
		size_t room = 2 * r->room + len + 4096;
		char *grown = realloc(r->text, room);

		if (!grown)
			return DCM_ENOMEM;
		r->text = grown;
		r->room = room;
	}
	memcpy(r->text + r->len, name, len);
	*at = r->len;
	r->len += len;
	return DCM_OK;
}

/* Sorts refs of one shard by name; those whose container went meanwhile are
 * dropped.  *n: how many remain. */
static int sort_shard(const struct dcm_slot *s, struct dcm_ref *v, size_t *n)
{
	struct named *named = malloc((*n + 1) * sizeof(*named));
	struct names_room names = {0};
	size_t kept = 0;
	int rc = named ? DCM_OK : DCM_ENOMEM;

	for (size_t i = 0; rc == DCM_OK && i < *n; i++) {
		const struct dcm_entry *e = region_entry(&s->map, v[i].entry);
		char name[DCM_NAME_MAX + 1];
		uint32_t len = 0;
		size_t at = 0;

		if (!e || dcm_entry_name(&s->map, e, v[i].entry, v[i].entry_generation, name,
					 &len) == DCM_ESTALE)
			continue;
		rc = keep_name(&names, name, len, &at);
		/* The text may move while it grows: an offset until all are there. */
		named[kept++] = (struct named){name_start(name, len), (const char *)at, len, v[i]};
	}
	for (size_t i = 0; rc == DCM_OK && i < kept; i++)
		named[i].name = names.text + (size_t)named[i].name;
	if (rc == DCM_OK && kept > 1)
		qsort(named, kept, sizeof(*named), by_name);
	for (size_t i = 0; rc == DCM_OK && i < kept; i++)
		v[i] = named[i].ref;
	*n = kept;
	free(names.text);
	free(named);
	return rc;
}

static int scan_matches(dcm *d, const struct dcm_query *q, const uint32_t *only,
			struct dcm_refs *out)
{
	struct match *m = malloc(sizeof(*m));
	const char *why = "";
	struct dcm_slot *s;
	uint32_t slot;
	int rc;

	if (!m)
		return DCM_ENOMEM;
	rc = match_init(m, q, &why);
	if (rc != DCM_OK)
		dcm_fail(d, rc, "%s", why);
	for (uint32_t h = 0; rc == DCM_OK && !m->none; h++) {
		size_t before = out->n, n;

		rc = dcm_query_host(d, only, h, &slot, &s);
		if (rc == DCM_ESTALE)
			break;
		if (rc == DCM_OK)
			rc = match_shard(s, slot, m, out);
		else if (rc == DCM_ENOTFOUND)
			rc = DCM_OK;
		n = out->n - before;
		if (rc == DCM_OK && n > 0) {
			rc = sort_shard(s, out->v + before, &n);
			out->n = before + n;
		}
	}
	free(m);
	return rc == DCM_ESTALE ? DCM_OK : rc;
}

/* ---- any query ---------------------------------------------------------- */

int dcm_scan(dcm *d, const struct dcm_query *q, struct dcm_refs *out)
{
	uint32_t only;
	int rc;

	out->n = 0;
	out->by_broker = false;
	rc = q->host ? dcm_slot_of(d, q->host, &only) : dcm_slots_sorted(d);
	if (rc != DCM_OK)
		return rc;
	d->mapped_all = d->mapped_all || !q->host;
	if (q->kind == DCM_Q_TOP_CPU || q->kind == DCM_Q_TOP_MEMORY)
		rc = dcm_scan_top(d, q, q->host ? &only : NULL, out);
	else
		rc = scan_matches(d, q, q->host ? &only : NULL, out);
	if (rc == DCM_ENOMEM)
		dcm_fail(d, rc, "out of memory for the answer");
	return rc;
}
