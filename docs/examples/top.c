/*
 * top.c [N] - the N containers that use most CPU.  Their digests are enough to
 * find them: of 100,000 containers no more than N records are read.
 */
#include <stdio.h>
#include <stdlib.h>

#include <dcm.h>

int main(int argc, char **argv)
{
	struct dcm_options opt = {.size = sizeof(opt), .runtime_dir = getenv("DCM_RUNTIME_DIR")};
	struct dcm_query q = {.kind = DCM_Q_TOP_CPU,
			      .n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 10};
	struct dcm_refs refs = {0};
	struct dcm_brief b;
	struct dcm_record r;
	char err[512];
	dcm *d;
	int rc;

	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	dcm_record_init(&r);
	rc = dcm_query(d, &q, &refs);
	if (rc != DCM_OK)
		fprintf(stderr, "%s\n", dcm_error(d));
	for (size_t i = 0; i < refs.n; i++) {
		if (dcm_brief_read(d, refs.v[i], &b) != DCM_OK ||
		    dcm_read(d, refs.v[i], &r) != DCM_OK)
			continue;
		printf("%7.2f%% %s/%s\n", b.cpu_percent, r.host_id.s, r.name.s);
	}
	dcm_record_free(&r);
	dcm_refs_free(&refs);
	dcm_close(&d);
	return rc == DCM_OK ? 0 : 1;
}
