/*
 * dcm_read.c - a whole record, decoded into memory of its own.
 *
 * The tiers' bytes are copied one behind the other into the record's block, each
 * checked by itself; the entry's generation is checked once more behind the
 * last, so that a record is one container's.  Then they are decoded where they
 * lie, lists into what the block has left.  A block that was large enough once
 * is used again: no allocation in the steady state.
 */
#include "dcm_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"

enum {
	TRIES = 4,
	BLOCK_FIRST = 16 << 10,
	BLOCK_MAX = 1 << 30, /* five tiers of 4 MiB and their lists are 500 MiB */
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

	if (room > BLOCK_MAX)
		return NULL;
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

struct tier_copy {
	uint32_t at, len; /* in the block's data */
	bool filled;
};

/* Copies all tiers.  DCM_ENOMEM: *need bytes and more would be needed. */
static int copy_tiers(const struct dcm_place *p, struct block *b, struct tier_copy *t, size_t *used)
{
	size_t at = 0;

	for (int i = 0; i < DCM_TIERS; i++) {
		uint64_t written;
		uint32_t len = 0;
		int rc = region_blob_copy(p->map, &p->e->ref[i], p->entry, p->generation,
					  (uint32_t)i, b->data + at,
					  b->room > at + 8 ? b->room - at - 8 : 0, &len, &written);

		t[i] = (struct tier_copy){(uint32_t)at, len, rc == DCM_OK};
		if (rc == DCM_ENOTFOUND)
			continue;
		if (rc == DCM_OK || rc == DCM_ENOMEM)
			/* a NUL behind the last string, then the next multiple of 8 */
			at = (at + len + 8) & ~(size_t)7;
		*used = at;
		if (rc != DCM_OK)
			return rc;
	}
	*used = at;
	return region_entry_ok(p->e, p->generation) ? DCM_OK : DCM_ESTALE;
}

static int decode_tiers(struct block *b, const struct tier_copy *t, size_t used,
			struct dcm_record *r)
{
	uint8_t *arena = b->data + used;
	size_t room = b->room - used;

	for (int i = 0; i < DCM_TIERS; i++) {
		int rc;

		if (!t[i].filled)
			continue;
		rc = record_decode_tier(b->data + t[i].at, t[i].len, (enum dcm_tier)i, r, true,
					&arena, &room);
		if (rc != DCM_OK)
			return rc;
	}
	return DCM_OK;
}

/* ---- what the reader adds ----------------------------------------------- */

/* The offset of the host's engine's clock to ours, as its row says; 0: unknown. */
static double read_clock_offset(struct dcm_slot *s, const struct dcm_entry *e)
{
	struct dcm_host h = {.clock_offset = NAN};
	struct region_blob b;
	uint32_t generation = atomic_load_explicit(&e->generation, memory_order_acquire);

	if (region_blob_load(&s->map, &e->ref[DCM_STATUS], DCM_SELF, generation, DCM_STATUS, &b) ||
	    !record_decode_host(b.data, b.len, DCM_STATUS, &h) || !region_blob_ok(&b))
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

	if (status == DCM_S_RUNNING)
		dcm_uptime_text(now + clock_offset(s) - dcm_time_parse(r->started), r->uptime);
	else if (status == DCM_S_CREATED || status == DCM_S_EXITED || status == DCM_S_DEAD)
		drop_stats(r);
}

/* ---- reading ------------------------------------------------------------ */

static int read_into(struct dcm_place *p, struct block **b, struct dcm_record *r)
{
	struct tier_copy t[DCM_TIERS];
	struct block *grown;
	size_t used, need;
	int rc;

	for (;;) {
		rc = copy_tiers(p, *b, t, &used);
		need = used + 8;
		if (rc == DCM_OK) {
			*r = record_null;
			rc = decode_tiers(*b, t, used, r);
			need = used + RECORD_ARENA * used;
			if (need > 2 * (*b)->room)
				need = 2 * (*b)->room;
		}
		if (rc != DCM_ENOMEM)
			return rc;
		/* Each turn the block is larger, up to its maximum. */
		grown = block_grow(*b, need > (*b)->room ? need : (*b)->room + 1);
		if (!grown) {
			if (need > BLOCK_MAX)
				return DCM_ELAYOUT;
			*b = NULL;
			return DCM_ENOMEM;
		}
		*b = grown;
	}
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

int dcm_read(dcm *d, struct dcm_ref ref, struct dcm_record *out)
{
	struct block *b = out->priv;
	struct dcm_place p;
	uint8_t id[32];
	double now;
	int rc = dcm_locate(d, ref, &p);

	if (rc != DCM_OK)
		return rc;
	region_entry_prefetch(p.map, p.e);
	out->priv = NULL; /* until it is whole again */
	b = b ? b : block_grow(NULL, BLOCK_FIRST);
	rc = b ? DCM_EBUSY : DCM_ENOMEM;
	for (int i = 0; i < TRIES && rc == DCM_EBUSY; i++)
		rc = read_into(&p, &b, out);
	if (rc != DCM_OK) {
		*out = record_null;
		out->priv = b;
		return fail_read(d, rc);
	}
	dcm_entry_id(p.e, id);
	now = dcm_now();
	dcm_info_load(d);
	add_times(d, &p, now, out);
	if (!region_entry_ok(p.e, p.generation)) {
		*out = record_null;
		out->priv = b;
		return fail_read(d, DCM_ESTALE);
	}
	dcm_hex(id, sizeof(id), b->id);
	memcpy(out->id, b->id, sizeof(out->id));
	memcpy(b->host, p.slot->host, sizeof(b->host));
	out->host_id = (struct dcm_str){b->host, (uint32_t)strlen(b->host)};
	out->priv = b;
	if (!out->container_id.s)
		out->container_id = (struct dcm_str){b->id, 64};
	add_state(p.slot, now, out);
	return DCM_OK;
}
