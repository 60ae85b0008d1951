/*
 * view.c HOST CONTAINER - reads two fields in place: no copy, no allocation, no
 * system call, and no lock.  For programs that read often.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dcm.h>

/* The status, copied: a pointer into a view must not outlive dcm_view_ok(). */
static int read_status(dcm *d, struct dcm_ref ref, char *out, size_t room, int64_t *pid)
{
	struct dcm_view v;
	struct dcm_str s;
	int rc;

	for (int tries = 0; tries < 4; tries++) {
		rc = dcm_view(d, ref, DCM_STATUS, &v);
		if (rc != DCM_OK)
			return rc;
		out[0] = '\0';
		if (dcm_view_str(&v, DCM_F_status, &s) && s.len < room) {
			memcpy(out, s.s, s.len);
			out[s.len] = '\0';
		}
		if (!dcm_view_int(&v, DCM_F_pid, pid))
			*pid = DCM_UNKNOWN;
		if (dcm_view_ok(&v))
			return DCM_OK; /* both were true at the same time */
		/* It was changed under our eyes: throw away what was read. */
	}
	return DCM_EBUSY;
}

int main(int argc, char **argv)
{
	struct dcm_options opt = {.size = sizeof(opt), .runtime_dir = getenv("DCM_RUNTIME_DIR")};
	struct dcm_ref ref;
	char err[512], status[32];
	int64_t pid;
	dcm *d;
	int rc;

	if (argc != 3) {
		fprintf(stderr, "usage: view HOST CONTAINER\n");
		return 2;
	}
	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	rc = dcm_find(d, argv[1], argv[2], &ref);
	if (rc == DCM_OK)
		rc = read_status(d, ref, status, sizeof(status), &pid);
	if (rc != DCM_OK)
		fprintf(stderr, "%s\n", dcm_error(d));
	else if (pid == DCM_UNKNOWN)
		printf("%s\n", status);
	else
		printf("%s, pid %lld\n", status, (long long)pid);
	dcm_close(&d);
	return rc == DCM_OK ? 0 : 1;
}
