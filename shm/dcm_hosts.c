/*
 * dcm_hosts.c - the rows of all hosts, and the settings of the running daemon.
 *
 * A row is put together of the directory's entry (description, tags, enabled,
 * restarts) and the self entry of the host's shard (everything the collector
 * says of itself and the engine).
 */
#include "dcm_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mp.h"

enum {
	TRIES = 4,
	ROW_SMALL = 1024,   /* bytes of a tier of a row: nearly every one */
	ROW_MAX = 64 << 10,
	TAGS_MAX = 256,	    /* of a host that are shown */
	CONDITIONS_MAX = 64, /* names and sentences, of a host or the daemon */
};

/* Memory of a list of hosts: pieces that never move, freed together. */
struct dcm_piece {
	struct dcm_piece *next;
	_Alignas(8) uint8_t data[];
};

static void *keep(struct dcm_piece **pieces, size_t len)
{
	struct dcm_piece *p = malloc(sizeof(*p) + len);

	if (!p)
		return NULL;
	p->next = *pieces;
	*pieces = p;
	return p->data;
}

static void drop(struct dcm_piece *pieces)
{
	while (pieces) {
		struct dcm_piece *next = pieces->next;

		free(pieces);
		pieces = next;
	}
}

void dcm_hosts_free(struct dcm_hosts *h)
{
	drop(h->priv);
	free(h->v);
	*h = (struct dcm_hosts){0};
}

/* A copy of one tier of an entry: in `small`, or kept with the list where it is longer.
 * *data NULL: none. */
static int copy_tier(struct dcm_piece **pieces, const struct region_map *m, const struct dcm_entry *e,
		     uint32_t entry, uint32_t generation, enum dcm_tier tier,
		     uint8_t small[ROW_SMALL], uint8_t **data, uint32_t *len)
{
	uint32_t room = ROW_SMALL;
	uint64_t written;
	int rc = DCM_ENOMEM;

	*data = NULL;
	for (int i = 0; i < TRIES && rc == DCM_ENOMEM && room <= ROW_MAX; i++) {
		uint8_t *copy = i ? keep(pieces, room) : small;

		if (!copy)
			return DCM_ENOMEM;
		rc = region_blob_copy(m, &e->ref[tier], entry, generation, tier, copy, room, len,
				      &written);
		if (rc == DCM_OK)
			*data = copy;
		room = rc == DCM_ENOMEM ? *len + 256 : room;
	}
	return rc == DCM_ENOTFOUND ? DCM_OK : rc;
}

/* Texts of a row point into its bytes, which go, and have no NUL, which people want
 * who print them. */
static bool terminate(struct dcm_piece **pieces, struct dcm_str *s)
{
	char *copy;

	if (!s->s)
		return true;
	copy = keep(pieces, s->len + 1);
	if (!copy)
		return false;
	memcpy(copy, s->s, s->len);
	copy[s->len] = '\0';
	s->s = copy;
	return true;
}

/* The same of a list, which is decoded into room for the longest. */
static bool keep_list(struct dcm_piece **pieces, struct dcm_strs *list)
{
	struct dcm_str *v;

	if (!list->known || !list->n)
		return true;
	v = keep(pieces, list->n * sizeof(*v));
	if (!v)
		return false;
	memcpy(v, list->v, list->n * sizeof(*v));
	list->v = v;
	for (uint32_t i = 0; i < list->n; i++)
		if (!terminate(pieces, &v[i]))
			return false;
	return true;
}

static struct dcm_str str_of(const char *s)
{
	return (struct dcm_str){s, (uint32_t)strlen(s)};
}

/* ---- the directory's part of a row -------------------------------------- */

static int read_dirent(dcm *d, uint32_t slot, struct dcm_piece **pieces, struct dcm_host *out)
{
	const struct dcm_entry *e;
	uint32_t generation = dcm_live_entry(&d->dir, slot, &e), len;
	struct record_dirent row = {0};
	struct dcm_str tags[TAGS_MAX];
	uint8_t small[ROW_SMALL], *data;
	int rc;

	if (generation == 0)
		return DCM_ESTALE;
	rc = copy_tier(pieces, &d->dir, e, slot, generation, DCM_CONFIG, small, &data,
		       &len);
	if (rc != DCM_OK || !data)
		return rc;
	record_decode_dirent(data, len, DCM_CONFIG, &row, (struct record_room){tags, TAGS_MAX});
	if (!keep_list(pieces, &row.tags))
		return DCM_ENOMEM;
	out->description = row.description;
	out->tags = row.tags;
	return terminate(pieces, &out->description) ? DCM_OK : DCM_ENOMEM;
}

/* ---- the shard's part --------------------------------------------------- */

static int read_self(const struct region_map *m, struct dcm_piece **pieces, struct dcm_host *out)
{
	static const enum dcm_tier tiers[] = {DCM_STATUS, DCM_STATS};
	const struct dcm_entry *e = region_entry(m, DCM_SELF);
	struct dcm_str *texts[] = {&out->error,	      &out->engine_version,
				   &out->api_version, &out->transport,
				   &out->os,	      &out->kernel};
	struct dcm_str list[CONDITIONS_MAX];
	uint8_t small[2][ROW_SMALL];
	uint32_t generation, len;
	double verified;

	if (!e)
		return DCM_ELAYOUT;
	generation = atomic_load_explicit(&e->generation, memory_order_acquire);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *data;
		int rc = copy_tier(pieces, m, e, DCM_SELF, generation, tiers[i], small[i],
				   &data, &len);

		if (rc != DCM_OK)
			return rc;
		if (data)
			record_decode_host(data, len, tiers[i], out,
					   (struct record_room){list, CONDITIONS_MAX});
	}
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!terminate(pieces, texts[i]))
			return DCM_ENOMEM;
	if (!keep_list(pieces, &out->conditions) || !keep_list(pieces, &out->warnings))
		return DCM_ENOMEM;
	verified = region_verified(m, e, DCM_STATUS);
	if (verified > 0)
		out->age = fmax(0, dcm_now() - verified);
	out->memory_held = (int64_t)atomic_load(&m->h->data_limit);
	out->memory_used = (int64_t)atomic_load(&m->h->bytes_live);
	return DCM_OK;
}

static void row_null(struct dcm_host *h)
{
	*h = (struct dcm_host){
	    .containers = DCM_UNKNOWN,
	    .running = DCM_UNKNOWN,
	    .age = NAN,
	    .cpus = DCM_UNKNOWN,
	    .memory_total = DCM_UNKNOWN,
	    .cpu_percent = NAN,
	    .memory_usage = DCM_UNKNOWN,
	    .clock_offset = NAN,
	    .pid = DCM_UNKNOWN,
	};
}

static int read_row(dcm *d, uint32_t slot, struct dcm_piece **pieces, struct dcm_host *out)
{
	struct dcm_slot *s;
	int rc = dcm_slot_row(d, slot, &s);

	row_null(out);
	if (rc == DCM_OK)
		rc = read_dirent(d, slot, pieces, out);
	if (rc != DCM_OK)
		return rc;
	out->id = str_of(s->host);
	if (!terminate(pieces, &out->id))
		return DCM_ENOMEM;
	out->restarts = s->restarts;
	if (!s->enabled) {
		out->state = DCM_DISABLED;
		out->containers = out->running = 0;
		return DCM_OK;
	}
	rc = dcm_slot_shard_checked(d, slot, &s);
	if (rc == DCM_OK)
		rc = read_self(&s->map, pieces, out);
	if (rc == DCM_EACCESS || rc == DCM_ELAYOUT || rc == DCM_ESYSTEM) {
		/* One shard that cannot be read is told in its row. */
		out->error =
		    str_of(rc == DCM_ELAYOUT && !d->err[0] ? "its memory is damaged" : d->err);
		return terminate(pieces, &out->error) ? DCM_OK : DCM_ENOMEM;
	}
	if (rc != DCM_ENOTFOUND)
		return rc;
	out->error = s->error[0] ? str_of(s->error) : out->error;
	return terminate(pieces, &out->error) ? DCM_OK : DCM_ENOMEM;
}

int dcm_hosts_read(dcm *d, struct dcm_hosts *out)
{
	struct dcm_piece *pieces = NULL;
	int rc = dcm_slots_sorted(d);

	dcm_hosts_free(out);
	if (rc != DCM_OK)
		return rc;
	out->v = calloc(d->n_order + 1, sizeof(*out->v));
	if (!out->v)
		return dcm_fail(d, DCM_ENOMEM, "out of memory for %u hosts", d->n_order);
	for (uint32_t i = 0; i < d->n_order; i++) {
		rc = DCM_EBUSY;
		for (int k = 0; k < TRIES && rc == DCM_EBUSY; k++)
			rc = read_row(d, d->order[i], &pieces, &out->v[out->n]);
		if (rc == DCM_OK)
			out->n++;
		else if (rc != DCM_ESTALE)
			break;
	}
	out->priv = pieces;
	if (rc == DCM_OK || rc == DCM_ESTALE)
		return DCM_OK;
	dcm_hosts_free(out);
	if (rc == DCM_ENOMEM)
		dcm_fail(d, rc, "out of memory for the rows of the hosts");
	else if (rc == DCM_EBUSY)
		dcm_fail(d, rc, "a host's row changes too fast to be read; try again");
	return rc;
}

/* ---- the daemon --------------------------------------------------------- */

void dcm_info_release(dcm *d)
{
	drop(d->info_pieces);
	d->info_pieces = NULL;
}

/* Its lists are copied, for they point into the memory. */
static int info_decode(const struct region_blob *b, struct dcm_info *info,
		       struct dcm_piece **pieces)
{
	struct dcm_str list[CONDITIONS_MAX];

	if (!record_decode_info(b->data, b->len, info,
				(struct record_room){list, CONDITIONS_MAX}))
		return DCM_EBUSY;
	if (!keep_list(pieces, &info->conditions) || !keep_list(pieces, &info->warnings))
		return DCM_ENOMEM;
	return region_blob_ok(b) ? DCM_OK : DCM_EBUSY;
}

int dcm_info_load(dcm *d)
{
	static const struct dcm_info defaults = {
		.ttl = {120, 300, 3600, 7200, 0},
		.status_update = 60,
		.memory_retention = 3600,
		.disk_retention = 604800,
		.memory_cleanup_interval = 300,
		.disk_cleanup_interval = 3600,
		.log_tail_lines = 100,
		.shard_limit = DCM_UNKNOWN,
	};
	const struct dcm_entry *e = region_entry(&d->dir, DCM_SELF);
	struct region_blob b;
	uint32_t generation;
	uint64_t ref;

	if (!e)
		return DCM_ELAYOUT;
	ref = atomic_load_explicit(&e->ref[DCM_STATUS], memory_order_acquire);
	if (ref != 0 && ref == d->info_ref)
		return DCM_OK;
	generation = atomic_load_explicit(&e->generation, memory_order_acquire);
	for (int i = 0; i < TRIES; i++) {
		struct dcm_piece *pieces = NULL;
		struct dcm_info info = defaults;
		int rc = region_blob_load(&d->dir, &e->ref[DCM_STATUS], DCM_SELF, generation,
					  DCM_STATUS, &b);

		if (rc == DCM_ENOTFOUND) { /* the daemon is just starting */
			dcm_info_release(d);
			d->info = defaults;
			return DCM_OK;
		}
		if (rc == DCM_OK)
			rc = info_decode(&b, &info, &pieces);
		if (rc == DCM_OK) {
			dcm_info_release(d);
			d->info = info;
			d->info_ref = b.ref;
			d->info_pieces = pieces;
			return DCM_OK;
		}
		drop(pieces);
		if (rc == DCM_ENOMEM)
			return rc;
	}
	return DCM_EBUSY;
}

int dcm_info_read(dcm *d, struct dcm_info *out)
{
	int rc = dcm_directory_checked(d);

	if (rc != DCM_OK)
		return rc;
	rc = dcm_info_load(d);
	if (rc != DCM_OK)
		return dcm_fail(d, rc,
				"the daemon's settings cannot be read from its memory; "
				"restart dcmd");
	*out = d->info;
	return DCM_OK;
}
