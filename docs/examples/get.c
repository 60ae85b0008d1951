/* get.c HOST CONTAINER - one record as JSON: by id, prefix of the id, or name. */
#include <stdio.h>
#include <stdlib.h>

#include <dcm.h>

int main(int argc, char **argv)
{
	struct dcm_options opt = {.size = sizeof(opt), .runtime_dir = getenv("DCM_RUNTIME_DIR")};
	struct dcm_text json = {0};
	struct dcm_record r;
	struct dcm_ref ref;
	char err[512];
	dcm *d;
	int rc;

	if (argc != 3) {
		fprintf(stderr, "usage: get HOST CONTAINER\n");
		return 2;
	}
	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	dcm_record_init(&r);
	rc = dcm_find(d, argv[1], argv[2], &ref);
	if (rc == DCM_OK)
		rc = dcm_read(d, ref, &r);
	if (rc == DCM_OK)
		rc = dcm_record_json(&r, &json);
	if (rc == DCM_OK)
		printf("%s\n", json.s);
	else
		fprintf(stderr, "%s\n", dcm_error(d));
	dcm_text_free(&json);
	dcm_record_free(&r);
	dcm_close(&d);
	return rc == DCM_OK ? 0 : 1;
}
