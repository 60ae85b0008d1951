/* list.c [HOST] - goes over the containers of one host, or of all. */
#include <stdio.h>
#include <stdlib.h>

#include <dcm.h>

int main(int argc, char **argv)
{
	struct dcm_options opt = {.size = sizeof(opt), .runtime_dir = getenv("DCM_RUNTIME_DIR")};
	struct dcm_query all = {.kind = DCM_Q_ALL, .host = argc > 1 ? argv[1] : NULL};
	struct dcm_refs refs = {0};
	struct dcm_record r;
	char err[512];
	dcm *d;
	int rc;

	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	dcm_record_init(&r);
	rc = dcm_query(d, &all, &refs);
	if (rc != DCM_OK)
		fprintf(stderr, "%s\n", dcm_error(d));
	for (size_t i = 0; i < refs.n; i++) {
		/* The record's memory is used again for each. */
		if (dcm_read(d, refs.v[i], &r) != DCM_OK)
			continue; /* removed meanwhile */
		printf("%s\t%.12s\t%s\t%s\t%s", r.host_id.s, r.container_id.s,
		       r.name.s ? r.name.s : "-", r.status.s ? r.status.s : "-",
		       r.uptime[0] ? r.uptime : "-");
		for (uint32_t k = 0; k < r.ports.n; k++)
			printf("%s%s", k ? ", " : "\t", r.ports.v[k].s);
		printf("\n");
	}
	dcm_record_free(&r);
	dcm_refs_free(&refs);
	dcm_close(&d);
	return rc == DCM_OK ? 0 : 1;
}
