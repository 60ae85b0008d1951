/*
 * dcm_catalog.c - what a host's engine has beside containers: its images and
 * networks, as its collector last heard of them (the COMPOSE tier of the shard's
 * own row).
 */
#include "dcm_impl.h"

#include <stdlib.h>

enum { TRIES = 6, ROOM_FIRST = 16 << 10 };

/* What a catalog's texts point into. */
struct held {
	struct dcm_str v[2 * DCM_CATALOG_MAX];
	uint8_t data[];
};

void dcm_catalog_free(struct dcm_catalog *c)
{
	free(c->priv);
	*c = (struct dcm_catalog){0};
}

static int copy(const struct region_map *m, struct dcm_catalog *out, uint32_t *len)
{
	const struct dcm_entry *e = region_entry(m, DCM_SELF);
	uint32_t room = ROOM_FIRST, generation;
	uint64_t written;
	int rc = DCM_EBUSY;

	if (!e)
		return DCM_ELAYOUT;
	generation = atomic_load_explicit(&e->generation, memory_order_acquire);
	for (int i = 0; i < TRIES && (rc == DCM_ENOMEM || rc == DCM_EBUSY); i++) {
		struct held *h = realloc(out->priv, sizeof(*h) + room);

		if (!h)
			return DCM_ENOMEM;
		out->priv = h;
		rc = region_blob_copy(m, &e->ref[DCM_COMPOSE], DCM_SELF, generation, DCM_COMPOSE,
				      h->data, room, len, &written);
		if (rc == DCM_ENOMEM && *len > RECORD_TIER_MAX)
			return DCM_ELAYOUT;
		if (rc == DCM_ENOMEM)
			room = *len + 1024;
	}
	return rc;
}

int dcm_catalog_read(dcm *d, const char *host, struct dcm_catalog *out)
{
	struct dcm_slot *s;
	struct held *h;
	uint32_t slot, len;
	int rc;

	dcm_catalog_free(out);
	rc = dcm_slot_of(d, host, &slot);
	if (rc != DCM_OK)
		return rc;
	rc = dcm_slot_shard(d, slot, &s);
	if (rc == DCM_OK)
		rc = copy(&s->map, out, &len);
	if (rc == DCM_OK) {
		h = out->priv;
		if (record_decode_catalog(h->data, len, out,
					  (struct record_room){h->v, 2 * DCM_CATALOG_MAX}))
			return DCM_OK;
		rc = DCM_ELAYOUT;
	}
	dcm_catalog_free(out);
	if (rc == DCM_ENOTFOUND) /* none yet */
		return DCM_OK;
	return dcm_fail(d, rc, "the images and networks of %s cannot be read: %s", host,
			dcm_strerror(rc));
}
