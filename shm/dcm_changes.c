/*
 * dcm_changes.c - what changed since the handle began to follow.
 *
 * Each shard has a ring of its last changes; the handle keeps how far it has read
 * each, and how far the directory's.  A ring that went round, or a shard that was
 * replaced, becomes DCM_RESYNC of its host.  Nothing is lost in between: a cursor
 * is put at a ring's head before the caller is told to read all anew.
 */
#include "dcm_follow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ld(p) atomic_load_explicit((p), memory_order_acquire)

/* ---- following ---------------------------------------------------------- */

int dcm_follow_room(dcm *d, struct dcm_follow *f)
{
	uint32_t n = region_entries(&d->dir);
	struct followed *grown;

	if (n <= f->n)
		return DCM_OK;
	grown = realloc(f->v, n * sizeof(*grown));
	if (!grown)
		return dcm_fail(d, DCM_ENOMEM, "out of memory for %u hosts", n);
	memset(grown + f->n, 0, (n - f->n) * sizeof(*grown));
	f->v = grown;
	f->n = n;
	return DCM_OK;
}

/* Holds a slot against its row and shard.  true: it is another shard than was
 * followed, or none any more; the cursor is then at the head of the new one. */
static bool slot_moved(dcm *d, struct followed *w, uint32_t i, struct dcm_slot **s)
{
	int rc = dcm_slot_shard(d, i, s);

	if (rc != DCM_OK) {
		bool had = w->mapped && (rc == DCM_ENOTFOUND || rc == DCM_ESTALE);

		w->mapped = w->mapped && !had;
		*s = NULL;
		return had;
	}
	if (w->mapped && w->generation == (*s)->generation && strcmp(w->host, (*s)->host) == 0)
		return false;
	snprintf(w->host, sizeof(w->host), "%s", (*s)->host);
	w->mapped = true;
	w->generation = (*s)->generation;
	w->seen = region_change_head(&(*s)->map);
	return true;
}

/* Puts every cursor at its head. */
static int follow_all(dcm *d, struct dcm_follow *f)
{
	struct dcm_slot *s;
	int rc;

	f->epoch = d->epoch;
	free(f->v);
	f->v = NULL;
	f->n = f->at = 0;
	f->dir_seen = region_change_head(&d->dir);
	rc = dcm_follow_room(d, f);
	for (uint32_t i = DCM_SELF + 1; rc == DCM_OK && i < f->n; i++) {
		if (dcm_slot_row(d, i, &s) == DCM_OK)
			snprintf(f->v[i].host, sizeof(f->v[i].host), "%s", s->host);
		slot_moved(d, &f->v[i], i, &s);
	}
	return rc;
}

int dcm_follow_begin(dcm *d, struct dcm_follow **out)
{
	struct dcm_follow *f = d->follow;
	int rc = DCM_OK;

	if (!f) {
		rc = dcm_directory_checked(d);
		if (rc != DCM_OK)
			return rc;
		f = calloc(1, sizeof(*f));
		if (!f)
			return dcm_fail(d, DCM_ENOMEM, "out of memory for following changes");
		f->told = f->fd = f->timer = -1;
		d->follow = f;
		rc = follow_all(d, f);
		if (rc != DCM_OK)
			dcm_follow_release(d);
	}
	*out = f;
	return rc;
}

void dcm_follow_release(dcm *d)
{
	struct dcm_follow *f = d->follow;

	d->follow = NULL;
	if (!f)
		return;
	if (f->told >= 0)
		close(f->told);
	if (f->timer >= 0)
		close(f->timer);
	if (f->fd >= 0)
		close(f->fd);
	free(f->v);
	free(f);
}

/* ---- one change --------------------------------------------------------- */

static int tell(struct dcm_follow *f, struct dcm_change *out, enum dcm_change_kind kind,
		uint32_t slot, const char *host)
{
	*out = (struct dcm_change){.kind = kind, .ref = {.host = slot}};
	if (host) {
		memmove(f->host, host, strlen(host) + 1);
		out->host_id = (struct dcm_str){f->host, (uint32_t)strlen(f->host)};
	}
	return DCM_OK;
}

/* The generation whose low half is `low`, not after `now`. */
static uint32_t whole_generation(uint32_t now, uint16_t low)
{
	uint32_t g = (now & 0xffff0000u) | low;

	return g > now ? g - 0x10000u : g;
}

/* A change of a shard's ring for the caller.  false: it has been overtaken. */
static bool translate(struct dcm_follow *f, const struct dcm_slot *s, uint32_t slot,
		      const struct region_change *c, struct dcm_change *out)
{
	const struct dcm_entry *e = region_entry(&s->map, c->entry);
	uint32_t now;

	if (c->kind == DCM_CH_SELF || c->kind == DCM_CH_CLEARED) {
		tell(f, out, c->kind == DCM_CH_SELF ? DCM_HOST : DCM_RESYNC, slot, s->host);
		return true;
	}
	if (!e)
		return false;
	now = ld(&e->generation);
	switch (c->kind) {
	case DCM_CH_APPEARED:
	case DCM_CH_UPDATED:
		if ((uint16_t)now != c->generation)
			return false; /* removed since; the ring says so further on */
		tell(f, out, c->kind == DCM_CH_APPEARED ? DCM_APPEARED : DCM_UPDATED, slot,
		     s->host);
		break;
	case DCM_CH_REMOVED:
		/* The ring has the odd generation that ended it. */
		now = whole_generation(now, c->generation);
		now -= now & 1;
		tell(f, out, DCM_REMOVED, slot, s->host);
		break;
	default:
		return false; /* of a newer writer */
	}
	out->tiers = c->tiers;
	out->ref.shard_generation = s->generation;
	out->ref.entry = c->entry;
	out->ref.entry_generation = now;
	return true;
}

/* DCM_OK: a change of the directory; DCM_ETIMEDOUT: none. */
static int directory_change(dcm *d, struct dcm_follow *f, struct dcm_change *out)
{
	struct region_change c;
	struct dcm_slot *s;
	int got;

	while ((got = region_change_next(&d->dir, &f->dir_seen, &c)) != 0) {
		if (got < 0 || c.kind == DCM_CH_CLEARED)
			return tell(f, out, DCM_RESYNC, UINT32_MAX, NULL);
		if (c.kind == DCM_CH_SELF || dcm_follow_room(d, f) != DCM_OK || c.entry >= f->n)
			continue;
		if (dcm_slot_row(d, c.entry, &s) == DCM_OK) {
			if (strcmp(f->v[c.entry].host, s->host) != 0)
				f->v[c.entry].mapped = false;
			snprintf(f->v[c.entry].host, sizeof(f->v[c.entry].host), "%s", s->host);
		}
		if (f->v[c.entry].host[0])
			return tell(f, out, DCM_HOST, c.entry, f->v[c.entry].host);
	}
	return DCM_ETIMEDOUT;
}

static int shard_change(dcm *d, struct dcm_follow *f, uint32_t i, struct dcm_change *out)
{
	struct followed *w = &f->v[i];
	struct region_change c;
	struct dcm_slot *s;
	int got;

	if (slot_moved(d, w, i, &s))
		return tell(f, out, DCM_RESYNC, i, w->host);
	if (!s)
		return DCM_ETIMEDOUT;
	while ((got = region_change_next(&s->map, &w->seen, &c)) > 0)
		if (translate(f, s, i, &c, out))
			return DCM_OK;
	return got < 0 ? tell(f, out, DCM_RESYNC, i, s->host) : DCM_ETIMEDOUT;
}

/* The next change that is there.  DCM_ETIMEDOUT: none. */
static int next_change(dcm *d, struct dcm_follow *f, struct dcm_change *out)
{
	int rc = dcm_directory_checked(d);

	if (rc == DCM_OK && f->epoch != d->epoch) {
		rc = follow_all(d, f);
		return rc == DCM_OK ? tell(f, out, DCM_RESYNC, UINT32_MAX, NULL) : rc;
	}
	if (rc == DCM_OK)
		rc = dcm_follow_room(d, f);
	if (rc == DCM_OK)
		rc = directory_change(d, f, out);
	/* Once round, from the slot that had the last one on. */
	for (uint32_t k = 0; rc == DCM_ETIMEDOUT && k < f->n; k++) {
		if (f->at == DCM_SELF || f->at >= f->n)
			f->at = DCM_SELF + 1;
		if (f->at < f->n)
			rc = shard_change(d, f, f->at, out);
		if (rc == DCM_ETIMEDOUT)
			f->at++;
		if (f->epoch != d->epoch) /* seen while a shard was looked up */
			return DCM_ETIMEDOUT;
	}
	return rc;
}

/* ---- for the caller ----------------------------------------------------- */

int dcm_changes_next(dcm *d, struct dcm_change *out, int timeout_ms)
{
	double until = dcm_monotonic() + timeout_ms * 1e-3;
	struct dcm_follow *f;
	int rc = dcm_follow_begin(d, &f);

	while (rc == DCM_OK) {
		struct dcm_watch w = dcm_watch_begin(d, f);

		rc = next_change(d, f, out);
		if (rc == DCM_ETIMEDOUT && dcm_hear(f))
			rc = next_change(d, f, out);
		if (rc != DCM_ETIMEDOUT)
			return rc;
		rc = dcm_watch_wait(d, f, &w, timeout_ms < 0 ? INFINITY : until);
	}
	if (rc == DCM_ETIMEDOUT)
		dcm_fail(d, rc, "nothing changed within the time limit");
	return rc;
}
