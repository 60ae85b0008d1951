/*
 * dcm_ask.c - has dcmd act: refresh, logs, forget.  The broker passes these on to
 * the collectors and answers when they are done and the memory shows it.
 */
#include "dcm_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol.h"

enum {
	GRACE_MS = 500, /* the broker keeps the limit; we allow it to say so */
	LIMIT_MAX_MS = 600000,
};

static int limit(int timeout_ms)
{
	return timeout_ms < 0 || timeout_ms > LIMIT_MAX_MS ? LIMIT_MAX_MS : timeout_ms;
}

/* Sends the connection's request, with `reply` holding room for outcomes. */
static int ask(dcm *d, struct protocol_request *q, struct protocol_reply *reply, int timeout_ms)
{
	int rc;

	q->timeout_ms = (uint32_t)limit(timeout_ms);
	rc = dcm_broker_call(d, q, reply, limit(timeout_ms) + GRACE_MS);
	if (rc != DCM_OK)
		return rc;
	if (reply->rc == DCM_OK)
		return DCM_OK;
	if (reply->error.s && reply->error.len)
		return dcm_fail(d, reply->rc, "%.*s", (int)reply->error.len, reply->error.s);
	return dcm_fail(d, reply->rc, "%s", dcm_strerror(reply->rc));
}

static struct dcm_str str_of(const char *s)
{
	return (struct dcm_str){s, (uint32_t)strlen(s)};
}

int dcm_refresh(dcm *d, const char *const *hosts, size_t n, int timeout_ms, struct dcm_outcome *out,
		size_t room, size_t *n_out)
{
	struct protocol_request *q = dcm_broker_request(d);
	struct protocol_reply reply = {.outcomes = out, .room_outcomes = (uint32_t)room};
	uint32_t slot;
	int rc;

	if (n_out)
		*n_out = 0;
	if (!q)
		return DCM_ENOMEM;
	if (n > PROTOCOL_HOSTS_MAX)
		return dcm_fail(d, DCM_EINVAL,
				"more than %d hosts at once; name none to refresh all",
				PROTOCOL_HOSTS_MAX);
	if (!out)
		reply.room_outcomes = 0;
	for (size_t i = 0; i < n; i++) {
		rc = dcm_slot_of(d, hosts[i], &slot);
		if (rc != DCM_OK)
			return rc;
		q->hosts[i] = str_of(hosts[i]);
	}
	q->op = PROTOCOL_REFRESH;
	q->n_hosts = (uint32_t)n;
	rc = ask(d, q, &reply, timeout_ms);
	if (n_out)
		*n_out = reply.n_outcomes;
	return rc;
}

int dcm_logs(dcm *d, struct dcm_ref ref, uint32_t lines, int timeout_ms)
{
	struct protocol_request *q = dcm_broker_request(d);
	struct protocol_reply reply = {0};
	struct dcm_place at;
	uint8_t id[32];
	int rc;

	if (!q)
		return DCM_ENOMEM;
	rc = dcm_locate(d, ref, &at);
	if (rc != DCM_OK)
		return rc;
	dcm_entry_id(at.e, id);
	if (!region_entry_ok(at.e, at.generation))
		return dcm_fail(d, DCM_ESTALE, "the container is gone; look it up anew");
	dcm_hex(id, sizeof(id), q->container);
	snprintf(q->host, sizeof(q->host), "%s", at.slot->host);
	q->op = PROTOCOL_LOGS;
	q->hosts[0] = str_of(q->host);
	q->n_hosts = 1;
	q->lines = lines;
	return ask(d, q, &reply, timeout_ms);
}

int dcm_forget(dcm *d, const char *host, int timeout_ms)
{
	struct protocol_request *q = dcm_broker_request(d);
	struct protocol_reply reply = {0};
	uint32_t slot;
	int rc;

	if (!q)
		return DCM_ENOMEM;
	rc = dcm_slot_of(d, host, &slot);
	if (rc != DCM_OK)
		return rc;
	q->op = PROTOCOL_FORGET;
	q->hosts[0] = str_of(host);
	q->n_hosts = 1;
	return ask(d, q, &reply, timeout_ms);
}
