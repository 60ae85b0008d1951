/*
 * dcm_query.c - a query: by the broker's indexes or by scanning here.
 *
 * Which way is a matter of cost alone; the answers are the same.  All containers,
 * status, health and the highest are decided by the entries' digests, which a scan
 * goes over in a few milliseconds where 100,000 are, while the broker would have
 * to send what it finds: they are scanned for here.  Project, label, search, mount
 * and network would parse every container's bytes: those the broker is asked.  It is
 * asked for the highest, too, by a handle that would have to map many hosts' shards
 * for the few that it is about.
 */
#include "dcm_impl.h"

#include <stdlib.h>
#include <string.h>

#include "protocol.h"

enum { BROKER_MS = 50, MANY_HOSTS = 16 };

static bool broker_is_quicker(const dcm *d, const struct dcm_query *q)
{
	switch (q->kind) {
	case DCM_Q_PROJECT:
	case DCM_Q_LABEL:
	case DCM_Q_SEARCH:
	case DCM_Q_MOUNT:
	case DCM_Q_NETWORK:
		return true;
	case DCM_Q_TOP_CPU:
	case DCM_Q_TOP_MEMORY:
		return !q->host && !d->mapped_all && region_entries(&d->dir) > MANY_HOSTS;
	default:
		return false;
	}
}

static uint32_t u32_at(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Whether the shard that a reference is into is the one that we would read.
 * Where the broker is ahead of or behind a renewal, it is not. */
static bool ref_current(dcm *d, struct dcm_ref ref)
{
	struct dcm_slot *s;

	if (dcm_slot_row(d, ref.host, &s) == DCM_OK && s->row_generation == ref.shard_generation)
		return s->enabled;
	return dcm_slot_shard(d, ref.host, &s) == DCM_OK && s->generation == ref.shard_generation;
}

static bool take_refs(dcm *d, const struct protocol_reply *r, struct dcm_refs *out)
{
	struct dcm_ref last = {.host = UINT32_MAX};

	out->n = 0;
	if (dcm_refs_room(out, r->n_refs) != DCM_OK)
		return false;
	for (uint32_t i = 0; i < r->n_refs; i++) {
		const uint8_t *p = r->refs + 16 * (size_t)i;
		struct dcm_ref ref = {u32_at(p), u32_at(p + 4), u32_at(p + 8), u32_at(p + 12)};

		if (ref.host != last.host || ref.shard_generation != last.shard_generation) {
			if (!ref_current(d, ref))
				return false;
			last = ref;
		}
		out->v[i] = ref;
	}
	out->n = r->n_refs;
	out->by_broker = true;
	return true;
}

/* True: the broker answered. */
static bool ask_broker(dcm *d, const struct dcm_query *q, struct dcm_refs *out)
{
	struct protocol_request *request = dcm_broker_request(d);
	struct protocol_reply reply = {0};

	if (!request)
		return false;
	request->op = PROTOCOL_QUERY;
	request->query = *q;
	return dcm_broker_call(d, request, &reply, BROKER_MS) == DCM_OK && reply.rc == DCM_OK &&
	       take_refs(d, &reply, out);
}

/* What is wrong with a query, before anyone is asked. */
static int check(dcm *d, const struct dcm_query *q)
{
	const char *why = NULL;
	struct match *m;
	int rc;

	if (q->kind == DCM_Q_TOP_CPU || q->kind == DCM_Q_TOP_MEMORY)
		return DCM_OK;
	m = malloc(sizeof(*m));
	if (!m)
		return dcm_fail(d, DCM_ENOMEM, "out of memory for a query");
	rc = match_init(m, q, &why);
	free(m);
	return rc == DCM_OK ? rc : dcm_fail(d, rc, "%s", why);
}

int dcm_query(dcm *d, const struct dcm_query *given, struct dcm_refs *out)
{
	struct dcm_query q = *given;
	uint32_t slot;
	int rc;

	out->n = 0;
	out->by_broker = false;
	if (q.kind == DCM_Q_SEARCH && !q.text)
		q.text = "";
	rc = check(d, &q);
	if (rc == DCM_OK && q.host)
		rc = dcm_slot_of(d, q.host, &slot);
	if (rc != DCM_OK)
		return rc;
	if (!(d->flags & DCM_NO_BROKER) && broker_is_quicker(d, &q) && ask_broker(d, &q, out))
		return DCM_OK;
	return dcm_scan(d, &q, out);
}
