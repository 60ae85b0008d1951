/*
 * dcm_read.c - a whole record, decoded into memory of its own.
 *
 * Each tier's bytes are copied into the record's block, checked, and decoded where
 * they lie; the entry's generation is checked once more behind the last, so that
 * a record is one container's.  The lower half of the block takes the bytes, the
 * upper half the lists that point to them.  A block that was large enough once is
 * used again: no allocation in the steady state.
 *
 * Most of the time of a read goes by until the bytes come out of memory: so they
 * are all asked for at first, and something else is done meanwhile.
 */
#include "dcm_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"

enum {
	TRIES = 4,
	BEHIND = RECORD_BEHIND,
	BLOCK_FIRST = 16 << 10,
	BLOCK_MAX = 1 << 30, /* five tiers of 4 MiB and their lists: twice 480 MiB */
};

/* What a record's priv points to. */
struct block {
	size_t room; /* bytes of data */
	char host[DCM_HOST_ID_MAX + 1], id[65];
	_Alignas(8) uint8_t data[];
};

void dcm_record_init(struct dcm_record *r)
{
	*r = record_null;
}

void dcm_record_free(struct dcm_record *r)
{
	free(r->priv);
	*r = record_null;
}

/* A block of `room` bytes at least; what it held is lost. */
static struct block *block_grow(struct block *b, size_t room)
{
	size_t want = b ? b->room : BLOCK_FIRST;

	while (want < room)
		want *= 2;
	if (b && b->room >= want)
		return b;
	free(b);
	b = malloc(sizeof(*b) + want);
	if (b)
		b->room = want;
	return b;
}

/* Copies and decodes all tiers.  DCM_ENOMEM: a block of *need bytes is wanted. */
static int read_tiers(const struct dcm_place *p, struct block *b, struct dcm_record *r,
		      size_t *need)
{
	size_t half = b->room / 2, at = 0, lists = half;
	uint8_t *arena = b->data + half;

	*need = 2 * b->room;
	for (uint32_t i = 0; i < DCM_TIERS; i++) {
		uint64_t written;
		uint32_t len = 0;
		int rc = region_blob_copy(p->map, &p->e->ref[i], p->entry, p->generation, i,
					  b->data + at,
					  half > at + BEHIND ? half - at - BEHIND : 0, &len,
					  &written);

		if (rc == DCM_ENOTFOUND) {
			record_null_tier(r, (enum dcm_tier)i);
			continue;
		}
		if (rc == DCM_ENOMEM && *need < 2 * (at + len + BEHIND))
			*need = 2 * (at + len + BEHIND);
		if (rc == DCM_OK)
			rc = record_decode_tier(b->data + at, len, (enum dcm_tier)i, r, &arena,
						&lists);
		if (rc != DCM_OK)
			return rc;
		/* a NUL behind the last string, then the next multiple of 8 */
		at = (at + len + 8) & ~(size_t)7;
	}
	return region_entry_ok(p->e, p->generation) ? DCM_OK : DCM_ESTALE;
}

/* ---- what the reader adds ----------------------------------------------- */

/* The offset of the host's engine's clock to ours, as its row says; 0: unknown. */
static double read_clock_offset(struct dcm_slot *s, const struct dcm_entry *e)
{
	struct dcm_host h = {.clock_offset = NAN};
	struct region_blob b;
	uint32_t generation = atomic_load_explicit(&e->generation, memory_order_acquire);

	if (region_blob_load(&s->map, &e->ref[DCM_STATUS], DCM_SELF, generation, DCM_STATUS, &b) ||
	    !record_decode_host(b.data, b.len, DCM_STATUS, &h, RECORD_NO_ROOM) || !region_blob_ok(&b))
		return 0;
	s->clock_offset = isfinite(h.clock_offset) ? h.clock_offset : 0;
	s->clock_ref = b.ref;
	return s->clock_offset;
}

/* Its row is decoded when it is another one than the last time. */
static double clock_offset(struct dcm_slot *s)
{
	const struct dcm_entry *e = region_entry(&s->map, DCM_SELF);

	if (!e)
		return 0;
	if (atomic_load_explicit(&e->ref[DCM_STATUS], memory_order_acquire) == s->clock_ref)
		return s->clock_offset;
	return read_clock_offset(s, e);
}

static void add_times(dcm *d, const struct dcm_place *p, double now, struct dcm_record *r)
{
	for (int i = 0; i < DCM_TIERS; i++) {
		double at = region_verified(p->map, p->e, (unsigned)i);
		struct dcm_freshness *f = &r->freshness[i];

		*f = record_null.freshness[i];
		if (!(at > 0))
			continue;
		f->age = now > at ? now - at : 0;
		f->stale = d->info.ttl[i] > 0 && f->age > d->info.ttl[i];
		if (!(r->last_updated >= at))
			r->last_updated = at;
	}
}

/* What does not run uses nothing: the stats of its last moments say nothing any
 * more, though they may be swung out a moment after its status. */
static void drop_stats(struct dcm_record *r)
{
#define DROP_FLOAT NAN
#define DROP_INT DCM_UNKNOWN
#define DROP_STATS(name, type) r->name = DROP_##type;
#define DROP_STATUS(name, type)
#define DROP_CONFIG(name, type)
#define DROP_COMPOSE(name, type)
#define DROP_LOGS(name, type)
#define DROP(name, tier, type) DROP_##tier(name, type)
	DCM_FIELDS(DROP)
}

static void add_state(struct dcm_slot *s, double now, struct dcm_record *r)
{
	uint8_t status = record_status_code(r->status);

	r->uptime[0] = '\0';
	if (status == DCM_S_RUNNING)
		dcm_uptime_text(now + clock_offset(s) - dcm_time_parse(r->started), r->uptime);
	else if (status == DCM_S_CREATED || status == DCM_S_EXITED || status == DCM_S_DEAD)
		drop_stats(r);
}

/* ---- reading ------------------------------------------------------------ */

/* The same, with a block that is made larger as need be.  *b NULL: no memory. */
static int read_into(const struct dcm_place *p, struct block **b, struct dcm_record *r)
{
	size_t need = BLOCK_FIRST;
	int rc = DCM_ENOMEM;

	if (*b)
		rc = read_tiers(p, *b, r, &need);
	while (rc == DCM_ENOMEM) {
		if (need > BLOCK_MAX)
			return DCM_ELAYOUT;
		*b = block_grow(*b, need);
		if (!*b)
			return DCM_ENOMEM;
		rc = read_tiers(p, *b, r, &need);
	}
	return rc;
}

static int fail_read(dcm *d, int rc)
{
	switch (rc) {
	case DCM_EBUSY:
		return dcm_fail(d, rc, "the container changes too fast to be read; try again");
	case DCM_ENOMEM:
		return dcm_fail(d, rc, "out of memory for a record");
	case DCM_ELAYOUT:
		return dcm_fail(d, rc,
				"the container's record is damaged; see `dcm-client doctor`");
	default:
		return dcm_fail(d, DCM_ESTALE, "the container is gone; look it up anew");
	}
}

/* Who it is, in the record's own memory.  The id is the entry's, also where the tier
 * that tells it as text is not there; so the caller checks the entry afterwards. */
static void identify(const struct dcm_place *p, struct block *b, struct dcm_record *r)
{
	uint8_t id[32];

	memcpy(b->host, p->slot->host, sizeof(b->host));
	r->host_id = (struct dcm_str){b->host, (uint32_t)strlen(b->host)};
	if (r->container_id.len != sizeof(b->id) - 1) {
		dcm_entry_id(p->e, id);
		dcm_hex(id, 32, b->id);
		if (!r->container_id.s)
			r->container_id = (struct dcm_str){b->id, sizeof(b->id) - 1};
		memcpy(r->id, b->id, sizeof(r->id));
	} else {
		memcpy(r->id, r->container_id.s, sizeof(r->id));
	}
}

int dcm_read(dcm *d, struct dcm_ref ref, struct dcm_record *out)
{
	struct block *b = out->priv;
	struct dcm_place p;
	double now;
	int rc = dcm_locate(d, ref, &p);

	if (rc != DCM_OK)
		return rc;
	region_entry_prefetch(p.map, p.e);
	now = dcm_now();
	dcm_info_load(d);
	rc = DCM_EBUSY;
	for (int i = 0; i < TRIES && rc == DCM_EBUSY; i++)
		rc = read_into(&p, &b, out);
	if (rc == DCM_OK) {
		identify(&p, b, out);
		add_times(d, &p, now, out);
		rc = region_entry_ok(p.e, p.generation) ? DCM_OK : DCM_ESTALE;
	}
	if (rc != DCM_OK) {
		*out = record_null;
		out->priv = b;
		return fail_read(d, rc);
	}
	out->priv = b;
	add_state(p.slot, now, out);
	return DCM_OK;
}
