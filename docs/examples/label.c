/* label.c KEY[=VALUE] - asks across all hosts: the containers with a label. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dcm.h>

int main(int argc, char **argv)
{
	struct dcm_options opt = {.size = sizeof(opt), .runtime_dir = getenv("DCM_RUNTIME_DIR")};
	struct dcm_query q = {.kind = DCM_Q_LABEL};
	struct dcm_refs refs = {0};
	struct dcm_record r;
	char err[512], *equals;
	dcm *d;
	int rc;

	if (argc != 2) {
		fprintf(stderr, "usage: label KEY[=VALUE]\n");
		return 2;
	}
	equals = strchr(argv[1], '=');
	if (equals) {
		*equals = '\0';
		q.value = equals + 1; /* "KEY=" is the empty value */
	}
	q.text = argv[1];
	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	dcm_record_init(&r);
	rc = dcm_query(d, &q, &refs);
	if (rc != DCM_OK)
		fprintf(stderr, "%s\n", dcm_error(d));
	for (size_t i = 0; i < refs.n; i++)
		if (dcm_read(d, refs.v[i], &r) == DCM_OK)
			printf("%s/%s\n", r.host_id.s, r.name.s);
	dcm_record_free(&r);
	dcm_refs_free(&refs);
	dcm_close(&d);
	return rc == DCM_OK ? 0 : 1;
}
