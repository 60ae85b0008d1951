/* refresh.c [HOST...] - reads hosts anew from their engines (all that are enabled,
 * where none is named), and waits until the memory shows it. */
#include <stdio.h>
#include <stdlib.h>

#include <dcm.h>

enum { LIMIT_MS = 30000, HOSTS_MAX = 1024 };

int main(int argc, char **argv)
{
	static struct dcm_outcome outcomes[HOSTS_MAX];
	struct dcm_options opt = {.size = sizeof(opt), .runtime_dir = getenv("DCM_RUNTIME_DIR")};
	char err[512];
	size_t n;
	dcm *d;
	int rc;

	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	rc = dcm_refresh(d, (const char *const *)(argv + 1), (size_t)argc - 1, LIMIT_MS, outcomes,
			 HOSTS_MAX, &n);
	for (size_t i = 0; i < n; i++)
		printf("%s: %s\n", outcomes[i].host,
		       outcomes[i].rc == DCM_OK ? "read anew" : outcomes[i].error);
	if (rc != DCM_OK)
		fprintf(stderr, "%s\n", dcm_error(d));
	dcm_close(&d);
	return rc == DCM_OK ? 0 : 1;
}
