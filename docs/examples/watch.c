/*
 * watch.c [SECONDS] - keeps a list of containers right: follows, reads all once,
 * then prints each change.  Ends when nothing changed for SECONDS (for ever).
 */
#include <stdio.h>
#include <stdlib.h>

#include <dcm.h>

static void show(dcm *d, const char *what, struct dcm_ref ref, struct dcm_record *r)
{
	if (dcm_read(d, ref, r) == DCM_OK)
		printf("%s %s/%s %s\n", what, r->host_id.s, r->name.s, r->status.s);
}

static int read_all(dcm *d, const char *host, struct dcm_record *r)
{
	struct dcm_query all = {.kind = DCM_Q_ALL, .host = host};
	struct dcm_refs refs = {0};
	int rc = dcm_query(d, &all, &refs);

	for (size_t i = 0; i < refs.n; i++)
		show(d, "there", refs.v[i], r);
	dcm_refs_free(&refs);
	return rc;
}

static void tell(dcm *d, const struct dcm_change *c, struct dcm_record *r)
{
	char host[64] = "";

	/* host_id lives until the next call on the handle. */
	if (c->host_id.s)
		snprintf(host, sizeof(host), "%s", c->host_id.s);
	switch (c->kind) {
	case DCM_APPEARED:
		show(d, "appeared", c->ref, r);
		break;
	case DCM_UPDATED:
		show(d, "updated", c->ref, r);
		break;
	case DCM_REMOVED:
		printf("removed a container of %s (entry %u)\n", host, c->ref.entry);
		break;
	case DCM_HOST:
		printf("host %s\n", host);
		break;
	case DCM_RESYNC: /* too much at once: what is kept of the host is void */
		read_all(d, host[0] ? host : NULL, r);
		break;
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct dcm_options opt = {.size = sizeof(opt), .runtime_dir = getenv("DCM_RUNTIME_DIR")};
	int limit_ms = argc > 1 ? (int)(strtod(argv[1], NULL) * 1000) : -1;
	struct dcm_change c;
	struct dcm_record r;
	char err[512];
	dcm *d;
	int rc;

	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	dcm_record_init(&r);
	/* Following begins with the first call, so nothing is lost after the list. */
	rc = dcm_changes_next(d, &c, 0);
	if (rc == DCM_OK || rc == DCM_ETIMEDOUT)
		rc = read_all(d, NULL, &r);
	fflush(stdout);
	while (rc == DCM_OK) {
		rc = dcm_changes_next(d, &c, limit_ms);
		if (rc == DCM_OK)
			tell(d, &c, &r);
	}
	if (rc != DCM_ETIMEDOUT)
		fprintf(stderr, "%s\n", dcm_error(d));
	dcm_record_free(&r);
	dcm_close(&d);
	return rc == DCM_ETIMEDOUT ? 0 : 1;
}
