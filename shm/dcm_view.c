/*
 * dcm_view.c - a tier in place: no copy, no allocation, no system call.  And the
 * digest that lies in the entry itself.
 */
#include "dcm_impl.h"

#include <math.h>
#include <string.h>

#include "fields.h"
#include "mp.h"
#include "region_inline.h"

static void view_of(const struct dcm_place *at, enum dcm_tier tier, const struct region_blob *b,
		    struct dcm_view *out)
{
	*out = (struct dcm_view){.map = at->map,
				 .data = b->data,
				 .len = b->len,
				 .ref = b->ref,
				 .entry = at->e,
				 .entry_generation = at->generation,
				 .tier = tier,
				 .sequence = b->seq};
}

static int view_anyhow(dcm *d, struct dcm_ref ref, enum dcm_tier tier, struct dcm_view *out)
{
	struct dcm_place at;
	struct region_blob b;
	int rc;

	if ((unsigned)tier >= DCM_TIERS)
		return dcm_fail(d, DCM_EINVAL, "no such tier: %d", (int)tier);
	rc = dcm_locate(d, ref, &at);
	if (rc != DCM_OK)
		return rc;
	rc = region_blob_load(at.map, &at.e->ref[tier], at.entry, at.generation, tier, &b);
	if (rc == DCM_ENOTFOUND && region_entry_ok(at.e, at.generation))
		return dcm_fail(d, rc, "the %s of the container are not known yet",
				record_tier_names[tier]);
	if (rc == DCM_EBUSY)
		return dcm_fail(d, rc, "the container changes too fast to be read; try again");
	if (rc != DCM_OK)
		return dcm_fail(d, DCM_ESTALE, "the container is gone; look it up anew");
	view_of(&at, tier, &b, out);
	return DCM_OK;
}

/* The common case without a call; all else is view_anyhow()'s. */
int dcm_view(dcm *d, struct dcm_ref ref, enum dcm_tier tier, struct dcm_view *out)
{
	struct dcm_slot *s = dcm_slot_ready(d, ref.host);
	struct dcm_place at = {.slot = s, .entry = ref.entry, .generation = ref.entry_generation};
	struct region_blob b;

	if (!s || s->generation != ref.shard_generation || (unsigned)tier >= DCM_TIERS ||
	    ref.entry == DCM_SELF || ref.entry_generation & 1)
		return view_anyhow(d, ref, tier, out);
	at.map = &s->map;
	at.e = entry_at(at.map, ref.entry);
	/* A blob of this generation also says that the entry was not another's. */
	if (!at.e ||
	    blob_try(at.map, &at.e->ref[tier], at.entry, at.generation, tier, &b) != DCM_OK)
		return view_anyhow(d, ref, tier, out);
	view_of(&at, tier, &b, out);
	return DCM_OK;
}

bool dcm_view_ok(const struct dcm_view *v)
{
	const struct dcm_entry *e = v->entry;
	const uint8_t *blob = v->data - DCM_BLOB_HEADER;

	return blob_same((const struct dcm_blob *)(const void *)blob, v->sequence, &e->ref[v->tier],
			 v->ref) &&
	       entry_same(e, v->entry_generation);
}

/* ---- fields ------------------------------------------------------------- */

/* At p is the key of field `d`: most are of 8 to 16 bytes, and so are equal where
 * their first and their last 8 are. */
static inline bool at_field(const uint8_t *p, const uint8_t *end, const struct field *d)
{
	uint64_t a[2], b[2];

	if ((size_t)(end - p) < d->key_len)
		return false;
	if (d->key_len < 8 || d->key_len > 16)
		return memcmp(p, d->key, d->key_len) == 0;
	memcpy(&a[0], p, 8);
	memcpy(&b[0], d->key, 8);
	memcpy(&a[1], p + d->key_len - 8, 8);
	memcpy(&b[1], d->key + d->key_len - 8, 8);
	return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
}

/* Moves `m` behind the key of field `d`, looking from there to the end. */
static bool seek(struct mp *m, const struct field *d)
{
	while (m->p < m->end && !m->bad) {
		if (at_field(m->p, m->end, d)) {
			m->p += d->key_len;
			return true;
		}
		mp_skip(m); /* the key */
		mp_skip(m);
	}
	return false;
}

/* Behind the header of the map. */
static bool enter(struct mp *m)
{
	uint32_t pairs;

	if (m->p < m->end && (mp_byte(m->p) & 0xf0) == 0x80) {
		m->p++;
		return true;
	}
	return mp_map(m, &pairs);
}

static bool search_value(const struct dcm_view *v, const struct field *d, struct mp *m)
{
	*m = mp_of(v->data, v->len);
	if (v->cursor > 0 && v->cursor < v->len) {
		m->p += v->cursor;
		if (seek(m, d))
			return true;
		*m = mp_of(v->data, v->len);
	}
	return enter(m) && seek(m, d);
}

/* A cursor at the value of field `f`, looked for from where the last one was
 * found on, then from the start.  At once where it is the next one, or the first. */
static inline bool find_value(struct dcm_view *v, enum dcm_field f, struct mp *m)
{
	const struct field *d = &record_fields[f];
	const uint8_t *p = v->data + (v->cursor ? v->cursor : 1), *end = v->data + v->len;

	if ((unsigned)f >= DCM_FIELD_COUNT || d->tier != v->tier)
		return false;
	if (p >= end || (mp_byte(v->data) & 0xf0) != 0x80 || !at_field(p, end, d))
		return search_value(v, d, m);
	*m = (struct mp){p + d->key_len, end, false};
	return true;
}

static inline bool found(struct dcm_view *v, const struct mp *m, bool got)
{
	if (m->bad)
		return false;
	v->cursor = (uint32_t)(m->p - v->data);
	return got;
}

bool dcm_view_int(struct dcm_view *v, enum dcm_field f, int64_t *out)
{
	struct mp m;

	return find_value(v, f, &m) && found(v, &m, mp_int(&m, out));
}

bool dcm_view_float(struct dcm_view *v, enum dcm_field f, double *out)
{
	struct mp m;

	return find_value(v, f, &m) && found(v, &m, mp_float(&m, out));
}

bool dcm_view_bool(struct dcm_view *v, enum dcm_field f, bool *out)
{
	struct mp m;

	return find_value(v, f, &m) && found(v, &m, mp_bool(&m, out));
}

bool dcm_view_str(struct dcm_view *v, enum dcm_field f, struct dcm_str *out)
{
	struct mp m;

	return find_value(v, f, &m) && found(v, &m, mp_str(&m, out));
}

void dcm_brief_of(const struct dcm_entry *e, struct dcm_brief *out)
{
	uint64_t w = atomic_load_explicit(&e->brief, memory_order_relaxed);
	uint64_t memory = atomic_load_explicit(&e->memory_usage, memory_order_relaxed);
	uint32_t bits = (uint32_t)(w >> 32);
	float cpu;

	memcpy(&cpu, &bits, sizeof(cpu));
	out->status = (uint8_t)w;
	out->health = (uint8_t)(w >> 8);
	out->cpu_percent = (double)cpu;
	out->memory_usage = memory > INT64_MAX ? DCM_UNKNOWN : (int64_t)memory;
}

int dcm_brief_read(dcm *d, struct dcm_ref ref, struct dcm_brief *out)
{
	struct dcm_place at;
	int rc = dcm_locate(d, ref, &at);

	if (rc != DCM_OK)
		return rc;
	dcm_brief_of(at.e, out);
	if (!region_entry_ok(at.e, at.generation))
		return dcm_fail(d, DCM_ESTALE, "the container is gone; look it up anew");
	return DCM_OK;
}
