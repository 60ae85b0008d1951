/* hosts.c - prints every Docker host with its state, and why one is not online. */
#include <stdio.h>
#include <stdlib.h>

#include <dcm.h>

int main(void)
{
	struct dcm_options opt = {.size = sizeof(opt), .runtime_dir = getenv("DCM_RUNTIME_DIR")};
	struct dcm_hosts hosts = {0};
	char err[512];
	dcm *d;

	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	if (dcm_hosts_read(d, &hosts) != DCM_OK) {
		fprintf(stderr, "%s\n", dcm_error(d));
		dcm_close(&d);
		return 1;
	}
	for (size_t i = 0; i < hosts.n; i++) {
		const struct dcm_host *h = &hosts.v[i];

		printf("%-20s %-10s", h->id.s, dcm_host_state_name(h->state));
		if (h->containers != DCM_UNKNOWN)
			printf(" %lld containers", (long long)h->containers);
		if (h->age == h->age) /* not NaN */
			printf(", verified %.0f s ago", h->age);
		printf("%s%s\n", h->error.s ? ": " : "", h->error.s ? h->error.s : "");
	}
	dcm_hosts_free(&hosts);
	dcm_close(&d);
	return 0;
}
