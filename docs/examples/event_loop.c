/*
 * event_loop.c - changes in a loop around poll(), beside standard input; ends
 * with standard input.  Give the descriptor to libevent, epoll or a GUI the same
 * way.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <dcm.h>

static const char *const kinds[] = {"appeared", "updated", "removed", "host", "resync"};

/* Takes every change that is there; only then may the loop sleep again. */
static int take_changes(dcm *d)
{
	struct dcm_change c;
	int rc;

	while ((rc = dcm_changes_next(d, &c, 0)) == DCM_OK)
		printf("%s %s\n", kinds[c.kind], c.host_id.s ? c.host_id.s : "all");
	fflush(stdout);
	return rc == DCM_ETIMEDOUT ? DCM_OK : rc;
}

int main(void)
{
	struct dcm_options opt = {.size = sizeof(opt), .runtime_dir = getenv("DCM_RUNTIME_DIR")};
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
	char err[512], bytes[256];
	dcm *d;
	int rc;

	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	p[1].fd = dcm_changes_fd(d);
	rc = p[1].fd < 0 ? DCM_ESYSTEM : take_changes(d);
	printf("following\n");
	fflush(stdout);
	while (rc == DCM_OK && poll(p, 2, -1) > 0) {
		if (p[1].revents)
			rc = take_changes(d);
		if (p[0].revents && read(STDIN_FILENO, bytes, sizeof(bytes)) <= 0)
			break;
	}
	if (rc != DCM_OK)
		fprintf(stderr, "%s\n", dcm_error(d));
	dcm_close(&d);
	return rc == DCM_OK ? 0 : 1;
}
