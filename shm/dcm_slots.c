/*
 * dcm_slots.c - the directory's rows, and the shards that they lead to.
 *
 * Shards are mapped when they are first read, and looked up anew when the
 * directory was published since or the shard says that it was replaced; on the
 * common path that is two loads.  The shard that was replaced stays mapped until
 * the next replacement, so that a reference into it can be translated by id.
 */
#include "dcm_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 4 };

static const double SILENT = 3.0; /* s without a beat: is it still the one of its name? */

#define ld(p) atomic_load_explicit((p), memory_order_acquire)

/* ---- the directory ------------------------------------------------------ */

static bool region_is_live(const struct region_map *m)
{
	return ld(&m->h->state) == DCM_REGION_LIVE;
}

void dcm_slots_release(dcm *d)
{
	for (uint32_t i = 0; i < d->n_slots; i++) {
		if (!d->slot[i])
			continue;
		region_map_close(&d->slot[i]->map);
		region_map_close(&d->slot[i]->before);
		free(d->slot[i]);
	}
	free(d->slot);
	d->slot = NULL;
	d->n_slots = 0;
}

/* Another dcmd, or none: what was known of the old directory is void. */
static int directory_reopen(dcm *d)
{
	char object[DCM_OBJECT_NAME_MAX];
	struct region_map fresh;
	int rc;

	names_directory(object, d->uid, d->instance);
	rc = region_map_open(&fresh, object, d->uid, d->err, sizeof(d->err));
	if (rc == DCM_ENOTRUNNING)
		return dcm_fail(d, rc,
				"dcm is not running any more: the memory of the instance '%s' "
				"in %s is gone; start dcmd",
				d->instance, d->runtime_dir);
	if (rc != DCM_OK)
		return rc;
	if (fresh.inode == d->dir.inode) {
		region_map_close(&fresh);
		return DCM_OK;
	}
	dcm_slots_release(d);
	region_map_close(&d->dir);
	d->dir = fresh;
	d->epoch++;
	d->ordered = d->mapped_all = false;
	d->info_ref = 0;
	return DCM_OK;
}

int dcm_directory(dcm *d)
{
	return region_is_live(&d->dir) ? DCM_OK : directory_reopen(d);
}

int dcm_directory_checked(dcm *d)
{
	double now = dcm_monotonic();

	if (!region_is_live(&d->dir))
		return directory_reopen(d);
	if (now - d->dir_checked < 1)
		return DCM_OK;
	d->dir_checked = now;
	if (now - (double)ld(&d->dir.h->heartbeat) * 1e-9 < SILENT)
		return DCM_OK;
	return directory_reopen(d);
}

/* ---- rows --------------------------------------------------------------- */

static int slots_room(dcm *d, uint32_t host)
{
	uint32_t room = region_entries(&d->dir);
	struct dcm_slot **grown;

	if (host < d->n_slots)
		return DCM_OK;
	if (host >= room)
		return DCM_ESTALE;
	grown = realloc(d->slot, room * sizeof(*grown));
	if (!grown)
		return dcm_fail(d, DCM_ENOMEM, "out of memory for %u hosts", room);
	memset(grown + d->n_slots, 0, (room - d->n_slots) * sizeof(*grown));
	d->slot = grown;
	d->n_slots = room;
	return DCM_OK;
}

static int slot_at(dcm *d, uint32_t host, struct dcm_slot **out)
{
	int rc = slots_room(d, host);

	if (rc != DCM_OK)
		return rc;
	if (!d->slot[host]) {
		d->slot[host] = calloc(1, sizeof(**out));
		if (!d->slot[host])
			return dcm_fail(d, DCM_ENOMEM, "out of memory for a host");
	}
	*out = d->slot[host];
	return DCM_OK;
}

/* The part of a row that leads to the shard; texts are dcm_hosts.c's. */
static int row_read(dcm *d, uint32_t host, const struct dcm_entry *e, uint32_t generation,
		    struct record_dirent *row, char name[DCM_NAME_MAX + 1])
{
	static const enum dcm_tier tiers[] = {DCM_CONFIG, DCM_STATUS};
	struct region_blob b;
	uint32_t len;
	int rc;

	for (unsigned i = 0; i < 2; i++) {
		int tries = 0;

		do {
			rc = region_blob_load(&d->dir, &e->ref[tiers[i]], host, generation,
					      tiers[i], &b);
			if (rc != DCM_OK)
				break;
			record_decode_dirent(b.data, b.len, tiers[i], row,
					     RECORD_NO_ROOM);
			rc = region_blob_ok(&b) ? DCM_OK : DCM_EBUSY;
		} while (rc == DCM_EBUSY && ++tries < TRIES);
		if (rc != DCM_OK && rc != DCM_ENOTFOUND)
			return rc;
	}
	return dcm_entry_name(&d->dir, e, host, generation, name, &len);
}

/* The host of a slot went, or another came into its place. */
static void slot_clear(struct dcm_slot *s)
{
	region_map_close(&s->map);
	region_map_close(&s->before);
	memset(s, 0, sizeof(*s));
}

static int slot_refresh(dcm *d, uint32_t host, struct dcm_slot *s)
{
	uint32_t publish = ld(&d->dir.h->publish);
	const struct dcm_entry *e;
	uint32_t generation = dcm_live_entry(&d->dir, host, &e);
	struct record_dirent row = {.enabled = true};
	char name[DCM_NAME_MAX + 1];
	int rc = DCM_ESTALE;

	if (generation)
		rc = row_read(d, host, e, generation, &row, name);
	if (rc == DCM_OK && !names_id_valid(name, DCM_HOST_ID_MAX))
		rc = DCM_ELAYOUT;
	if (rc != DCM_OK) {
		if (rc != DCM_EBUSY)
			slot_clear(s);
		return rc;
	}
	if (s->live && s->entry_generation != generation)
		slot_clear(s);
	s->live = true;
	s->entry_generation = generation;
	s->enabled = row.enabled;
	s->row_generation = row.generation;
	s->restarts = row.restarts;
	snprintf(s->error, sizeof(s->error), "%.*s", (int)row.error.len,
		 row.error.s ? row.error.s : "");
	snprintf(s->host, sizeof(s->host), "%.*s", DCM_HOST_ID_MAX, name);
	s->publish = publish;
	return DCM_OK;
}

int dcm_slot_row(dcm *d, uint32_t host, struct dcm_slot **out)
{
	struct dcm_slot *s = NULL;
	int rc = dcm_directory(d);

	if (rc == DCM_OK)
		rc = slot_at(d, host, &s);
	if (rc != DCM_OK)
		return rc;
	*out = s;
	if (s->live && s->publish == ld(&d->dir.h->publish))
		return DCM_OK;
	rc = slot_refresh(d, host, s);
	if (rc == DCM_ESTALE)
		dcm_fail(d, rc, "the host is gone from the configuration; look it up anew");
	else if (rc == DCM_ELAYOUT)
		dcm_fail(d, rc, "the directory's row of a host is damaged; restart dcmd");
	else if (rc == DCM_EBUSY)
		dcm_fail(d, rc, "the directory changes too fast to be read; try again");
	return rc;
}

/* ---- shards ------------------------------------------------------------- */

/* Maps `generation` in place of what is mapped; nothing where that is the same
 * object. */
static int shard_map(dcm *d, struct dcm_slot *s, uint32_t generation)
{
	char object[DCM_OBJECT_NAME_MAX];
	struct region_map fresh;
	int rc;

	names_shard(object, d->uid, d->instance, s->host, generation);
	rc = region_map_open(&fresh, object, d->uid, d->err, sizeof(d->err));
	if (rc != DCM_OK)
		return rc;
	if (s->map.base && fresh.inode == s->map.inode) {
		region_map_close(&fresh);
		return DCM_OK;
	}
	region_map_close(&s->before);
	s->before = s->map;
	s->before_generation = s->generation;
	s->map = fresh;
	s->generation = generation;
	s->clock_ref = 0;
	return DCM_OK;
}

/*
 * Follows the row's generation, and from there the successors of shards that
 * were replaced before the directory shows it.  Where the newest cannot be had
 * yet, the replaced one that is mapped goes on being read: it is true, and ages.
 */
static int shard_follow(dcm *d, struct dcm_slot *s)
{
	uint32_t want = s->row_generation, next;
	int rc = DCM_OK;

	if (s->map.base && s->followed_row == want) {
		if (region_is_live(&s->map))
			return DCM_OK;
		next = ld(&s->map.h->successor);
		want = next ? next : s->generation;
	}
	for (int i = 0; i < TRIES; i++) {
		rc = shard_map(d, s, want);
		if (rc != DCM_OK || region_is_live(&s->map))
			break;
		next = ld(&s->map.h->successor);
		if (next == 0 || next == want)
			break;
		want = next;
	}
	if (rc == DCM_OK)
		s->followed_row = s->row_generation;
	return s->map.base ? DCM_OK : rc;
}

static int shard_none(dcm *d, const struct dcm_slot *s)
{
	return dcm_fail(d, DCM_ENOTFOUND, "nothing is known of the host %s yet%s", s->host,
			s->enabled ? ": its first list has not come" : ": it is disabled");
}

int dcm_slot_shard(dcm *d, uint32_t host, struct dcm_slot **out)
{
	int rc;

	*out = dcm_slot_ready(d, host);
	if (*out)
		return DCM_OK;
	for (int i = 0; i < TRIES; i++) {
		rc = dcm_slot_row(d, host, out);
		if (rc != DCM_OK)
			return rc;
		if (!(*out)->enabled || (*out)->row_generation == 0)
			return shard_none(d, *out);
		rc = shard_follow(d, *out);
		if (rc != DCM_ENOTRUNNING)
			return rc;
		/* The shard was replaced and unlinked between the two looks. */
		(*out)->live = false;
	}
	return shard_none(d, *out);
}

int dcm_slot_shard_checked(dcm *d, uint32_t host, struct dcm_slot **out)
{
	int rc = dcm_slot_shard(d, host, out);
	double now;

	if (rc != DCM_OK)
		return rc;
	now = dcm_monotonic();
	if (now - (*out)->checked >= 1 &&
	    now - (double)ld(&(*out)->map.h->heartbeat) * 1e-9 >= SILENT) {
		(*out)->checked = now;
		shard_map(d, *out, (*out)->row_generation);
	}
	return DCM_OK;
}

/* ---- all hosts ---------------------------------------------------------- */

static int by_host(const void *a, const void *b, void *arg)
{
	const dcm *d = arg;

	return strcmp(d->slot[*(const uint32_t *)a]->host, d->slot[*(const uint32_t *)b]->host);
}

static int order_fill(dcm *d)
{
	uint32_t n = region_entries(&d->dir), epoch = d->epoch;
	struct dcm_slot *s;
	int rc;

	if (n > d->room_order) {
		uint32_t *grown = realloc(d->order, n * sizeof(*grown));

		if (!grown)
			return dcm_fail(d, DCM_ENOMEM, "out of memory for %u hosts", n);
		d->order = grown;
		d->room_order = n;
	}
	d->n_order = 0;
	for (uint32_t i = DCM_SELF + 1; i < n; i++) {
		rc = dcm_slot_row(d, i, &s);
		if (rc == DCM_OK)
			d->order[d->n_order++] = i;
		else if (rc != DCM_ESTALE && rc != DCM_ELAYOUT)
			return rc;
	}
	if (d->epoch != epoch) /* another directory: these slots are void */
		return DCM_EBUSY;
	if (d->n_order)
		qsort_r(d->order, d->n_order, sizeof(*d->order), by_host, d);
	return DCM_OK;
}

int dcm_slots_sorted(dcm *d)
{
	int rc = dcm_directory_checked(d);

	for (int i = 0; rc == DCM_OK && i < TRIES; i++) {
		uint32_t publish = ld(&d->dir.h->publish), epoch = d->epoch;

		if (d->ordered && d->order_publish == publish && d->order_epoch == epoch)
			return DCM_OK;
		d->ordered = false;
		rc = order_fill(d);
		d->order_publish = publish;
		d->order_epoch = epoch;
		d->ordered = rc == DCM_OK && d->epoch == epoch;
		if (d->ordered)
			return DCM_OK;
		if (rc == DCM_EBUSY)
			rc = DCM_OK;
	}
	return rc == DCM_OK ? dcm_fail(d, DCM_EBUSY,
				       "the directory changes too fast to be read; "
				       "try again")
			    : rc;
}

static int no_such_host(dcm *d, const char *host)
{
	char known[320] = "";
	size_t len = 0;

	if (dcm_slots_sorted(d) == DCM_OK) {
		for (uint32_t i = 0; i < d->n_order && len + DCM_HOST_ID_MAX + 8 < sizeof(known);
		     i++)
			len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s",
						i ? ", " : "", d->slot[d->order[i]]->host);
	}
	return dcm_fail(d, DCM_ENOTFOUND, "no such host '%.64s'; the hosts are: %s", host,
			len ? known : "none");
}

int dcm_slot_of(dcm *d, const char *host, uint32_t *slot)
{
	uint32_t generation;
	int rc = dcm_directory_checked(d);

	if (rc != DCM_OK)
		return rc;
	if (!host)
		return dcm_fail(d, DCM_EINVAL, "no host given");
	rc = region_find_name(&d->dir, host, strlen(host), slot, &generation);
	if (rc == DCM_ENOTFOUND || (rc == DCM_OK && *slot == DCM_SELF))
		return no_such_host(d, host);
	if (rc != DCM_OK)
		return dcm_fail(d, rc, "the directory changes too fast to be read; try again");
	return DCM_OK;
}
