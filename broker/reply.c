/* reply.c - what the broker answers to each kind of request. */
#include <endian.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "conn.h"

static void fail(struct conn *c, uint32_t id, int rc, const char *why)
{
	struct protocol_reply r = {.id = id, .rc = rc, .error = {why, (uint32_t)strlen(why)}};

	conn_reply(c, &r, false);
}

/* ---- queries -------------------------------------------------------------- */

#if __BYTE_ORDER == __LITTLE_ENDIAN
/* References stand in a reply as they stand in memory. */
static const uint8_t *wire(const struct dcm_ref *refs, uint32_t n)
{
	_Static_assert(sizeof(struct dcm_ref) == 16, "a reference is four u32");
	return n ? (const uint8_t *)refs : (const uint8_t *)"";
}
#else
#error "the shared memory is little-endian, and so is the broker"
#endif

static void reply_query(struct conn *c, const struct protocol_request *q)
{
	struct protocol_reply r = {.id = q->id};
	const struct dcm_ref *refs = NULL;
	const char *why = "";

	c->s->stats.queries++;
	r.rc = follow_query(c->s->follow, &q->query, &refs, &r.n_refs, &why);
	if (r.rc != DCM_OK) {
		c->s->stats.behind += r.rc == DCM_EBROKER;
		fail(c, q->id, r.rc, why);
		return;
	}
	r.refs = wire(refs, r.n_refs);
	conn_reply(c, &r, false);
}

/* ---- what engines are asked ------------------------------------------------ */

/* The rc of all: where they failed alike, that; DCM_EHOST where they did not. */
static int sum_up(const struct dcm_outcome *o, uint32_t n, char *why, size_t room)
{
	const struct dcm_outcome *first = NULL;
	uint32_t failed = 0;
	int rc = DCM_OK;

	for (uint32_t i = 0; i < n; i++) {
		if (o[i].rc == DCM_OK)
			continue;
		if (failed++ == 0) {
			first = &o[i];
			rc = first->rc;
		} else if (o[i].rc != rc) {
			rc = DCM_EHOST;
		}
	}
	if (!failed)
		snprintf(why, room, "%s", "");
	else if (failed == 1 && strncmp(first->error, "host ", 5) == 0)
		snprintf(why, room, "%s", first->error); /* the supervisor's names it */
	else if (failed == 1)
		snprintf(why, room, "%s: %s", first->host, first->error);
	else
		snprintf(why, room, "%u of %u hosts failed; the first, %s: %s", failed, n,
			 first->host, first->error);
	return rc;
}

static void job_over(void *arg, struct dcm_outcome *outcomes, uint32_t n)
{
	struct conn_job *j = arg;
	struct protocol_reply r = {.id = j->id, .outcomes = outcomes, .n_outcomes = n};
	char why[512];

	r.rc = sum_up(outcomes, n, why, sizeof(why));
	if (r.rc != DCM_OK)
		r.error = (struct dcm_str){why, (uint32_t)strlen(why)};
	j->job = NULL;
	j->conn->n_jobs--;
	conn_reply(j->conn, &r, false);
	conn_queue(j->conn);
}

static void set_host(struct dcm_outcome *o, struct dcm_str id, int rc, const char *why)
{
	uint32_t len = id.len < sizeof(o->host) ? id.len : sizeof(o->host) - 1;

	memset(o, 0, sizeof(*o));
	memcpy(o->host, id.s, len);
	o->rc = rc;
	snprintf(o->error, sizeof(o->error), "%s", why);
}

static const struct dcm_host *host_find(const struct dcm_hosts *hosts, struct dcm_str id)
{
	for (size_t i = 0; i < hosts->n; i++)
		if (hosts->v[i].id.len == id.len && memcmp(hosts->v[i].id.s, id.s, id.len) == 0)
			return &hosts->v[i];
	return NULL;
}

/* Who is to be asked, and who cannot be. */
static uint32_t list_hosts(const struct protocol_request *q, const struct dcm_hosts *hosts,
			   struct dcm_outcome *out)
{
	uint32_t n = 0;

	for (size_t i = 0; q->n_hosts == 0 && i < hosts->n; i++)
		if (hosts->v[i].state != DCM_DISABLED)
			set_host(&out[n++], hosts->v[i].id, DCM_OK, "");
	for (uint32_t i = 0; i < q->n_hosts; i++) {
		const struct dcm_host *h = host_find(hosts, q->hosts[i]);

		if (!h)
			set_host(&out[n++], q->hosts[i], DCM_ENOTFOUND,
				 "no such host; `dcm-client hosts` lists them");
		else if (h->state == DCM_DISABLED)
			set_host(&out[n++], q->hosts[i], DCM_EHOST,
				 "the host is disabled: set `enabled: true` in the "
				 "configuration and reload");
		else
			set_host(&out[n++], q->hosts[i], DCM_OK, "");
	}
	return n;
}

static struct conn_job *free_job(struct conn *c)
{
	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (!c->jobs[i].job)
			return &c->jobs[i];
	return NULL; /* conn_ready() lets no more in */
}

static void refuse_action(struct conn *c, const struct protocol_request *q)
{
	char why[256];

	snprintf(why, sizeof(why),
		 "you may read what is cached, but only the group \"%.64s\" may have engines "
		 "asked (--refresh-group of dcmd): ask one of them, or join it",
		 c->s->env->refresh_group);
	fail(c, q->id, DCM_EREFUSED, why);
}

static void reply_action(struct conn *c, const struct protocol_request *q)
{
	struct job_spec spec = {.lines = q->op == PROTOCOL_LOGS ? q->lines : 0,
				.container = q->op == PROTOCOL_LOGS ? q->container : NULL,
				.timeout_ms = q->timeout_ms};
	struct conn_job *j = free_job(c);
	struct dcm_outcome *out;
	struct dcm_hosts hosts = {0};
	dcm *d = follow_handle(c->s->follow);
	int rc = dcm_hosts_read(d, &hosts);

	spec.what = q->op == PROTOCOL_REFRESH ? CONTROL_REFRESH :
		    q->op == PROTOCOL_LOGS    ? CONTROL_LOGS :
						CONTROL_FORGET;
	if (rc != DCM_OK || !j) {
		fail(c, q->id, rc ? rc : DCM_EBUSY, dcm_error(d));
		return;
	}
	out = calloc((q->n_hosts ? q->n_hosts : hosts.n) + 1, sizeof(*out));
	if (out) {
		spec.hosts = out;
		spec.n = list_hosts(q, &hosts, out);
		*j = (struct conn_job){.conn = c, .id = q->id};
		j->job = requests_start(c->s->requests, &spec, job_over, j);
	}
	dcm_hosts_free(&hosts);
	free(out);
	if (j->job)
		c->n_jobs++;
	else
		fail(c, q->id, DCM_ENOMEM, "the broker is out of memory");
}

/* ---- the rest -------------------------------------------------------------- */

static void reply_subscribe(struct conn *c, const struct protocol_request *q)
{
	struct protocol_reply ok = {.id = q->id}, notice = {.notice = true};

	c->s->stats.subscribers += !c->subscribed;
	c->subscribed = true;
	conn_reply(c, &ok, false);
	/* What changed just before was told to nobody: look once. */
	conn_reply(c, &notice, false);
}

void reply_to(struct conn *c, const struct protocol_request *q)
{
	struct protocol_reply ok = {.id = q->id};

	switch (q->op) {
	case PROTOCOL_QUERY:
		reply_query(c, q);
		break;
	case PROTOCOL_REFRESH:
	case PROTOCOL_LOGS:
	case PROTOCOL_FORGET:
		if (c->may_act)
			reply_action(c, q);
		else
			refuse_action(c, q);
		break;
	case PROTOCOL_SUBSCRIBE:
		reply_subscribe(c, q);
		break;
	case PROTOCOL_PING:
		conn_reply(c, &ok, false);
		break;
	}
}
