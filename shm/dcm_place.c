/*
 * dcm_place.c - entries of a shard, and where a reference leads: to its entry, or
 * by id into the shard that has replaced the one that it is into.
 */
#include "dcm_impl.h"

#include <endian.h>
#include <string.h>

#define ld(p) atomic_load_explicit((p), memory_order_acquire)

/* ---- entries ------------------------------------------------------------ */

uint32_t dcm_live_entry(const struct region_map *m, uint32_t index, const struct dcm_entry **e)
{
	const struct dcm_entry *found = index == DCM_SELF ? NULL : region_entry(m, index);
	uint32_t generation;

	*e = found;
	if (!found)
		return 0;
	generation = ld(&found->generation);
	return generation & 1 ? 0 : generation;
}

int dcm_entry_name(const struct region_map *m, const struct dcm_entry *e, uint32_t index,
		   uint32_t generation, char buf[DCM_NAME_MAX + 1], uint32_t *len)
{
	uint64_t written;
	int rc = region_blob_copy(m, &e->name, index, generation, DCM_BLOB_NAME, buf, DCM_NAME_MAX,
				  len, &written);

	if (rc == DCM_ENOTFOUND)
		rc = DCM_ESTALE;
	else if (rc == DCM_ENOMEM) /* longer than any name is: damaged */
		rc = DCM_EBUSY;
	if (rc != DCM_OK)
		*len = 0;
	buf[*len] = '\0';
	return rc == DCM_OK && !region_entry_ok(e, generation) ? DCM_ESTALE : rc;
}

void dcm_entry_id(const struct dcm_entry *e, uint8_t id[32])
{
	for (int i = 0; i < 4; i++) {
		uint64_t w = atomic_load_explicit(&e->id[i], memory_order_relaxed);

		memcpy(id + 8 * i, &w, 8);
	}
}

void dcm_hex(const uint8_t *bytes, size_t n, char *out)
{
	size_t i = 0;

	/* Four bytes at a time: a record is read in less than a microsecond, of which a
	 * loop over 64 digits would be a tenth. */
	for (; i + 4 <= n; i += 4) {
		uint64_t v, ten;
		uint32_t w;

		memcpy(&w, bytes + i, sizeof(w));
		v = be32toh(w);
		v = (v << 16 | v) & 0x0000ffff0000ffff;
		v = (v << 8 | v) & 0x00ff00ff00ff00ff;
		v = (v << 4 | v) & 0x0f0f0f0f0f0f0f0f;
		ten = (v + 0x0606060606060606) >> 4 & 0x0101010101010101;
		v = htobe64(v + 0x3030303030303030 + ten * ('a' - '0' - 10));
		memcpy(out + 2 * i, &v, sizeof(v));
	}
	for (; i < n; i++) {
		out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 0xf];
	}
	out[2 * n] = '\0';
}

/* ---- references --------------------------------------------------------- */

static int gone(dcm *d)
{
	return dcm_fail(d, DCM_ESTALE, "the container is gone; look it up anew");
}

/* A reference into the shard that was replaced: the same id in the new one. */
static int translate(dcm *d, struct dcm_ref ref, struct dcm_slot *s, struct dcm_place *out)
{
	const struct dcm_entry *old;
	uint8_t id[32];
	int rc;

	if (!s->before.base || s->before_generation != ref.shard_generation)
		return gone(d);
	if (ref.entry_generation == 0 ||
	    dcm_live_entry(&s->before, ref.entry, &old) != ref.entry_generation)
		return gone(d);
	dcm_entry_id(old, id);
	if (!region_entry_ok(old, ref.entry_generation))
		return gone(d);
	rc = region_find_id(&s->map, id, &out->entry, &out->generation);
	if (rc == DCM_ENOTFOUND)
		return gone(d);
	if (rc != DCM_OK)
		return dcm_fail(d, rc, "the index changes too fast to be read; try again");
	out->e = region_entry(&s->map, out->entry);
	return out->e ? DCM_OK : gone(d);
}

int dcm_locate(dcm *d, struct dcm_ref ref, struct dcm_place *out)
{
	int rc = dcm_slot_shard(d, ref.host, &out->slot);

	if (rc != DCM_OK)
		return rc == DCM_ENOTFOUND ? gone(d) : rc;
	out->map = &out->slot->map;
	if (out->slot->generation != ref.shard_generation)
		return translate(d, ref, out->slot, out);
	out->entry = ref.entry;
	out->generation = dcm_live_entry(out->map, ref.entry, &out->e);
	if (out->generation == 0 || out->generation != ref.entry_generation)
		return gone(d);
	return DCM_OK;
}
