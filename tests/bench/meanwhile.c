/*
 * meanwhile.c - how long look-ups take now: of each number of seconds that stands on
 * standard input it reads containers of one host, by name, one field each, for so long, and
 * says in a line the median of a look-up (ns, of batches of 64, as time passes), the longest
 * batch (ns) and how many look-ups found nothing.
 *
 *   meanwhile INSTANCE RUNTIME_DIR HOST NAME…
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../shm/dcm.h"
#include "measure.h"

enum { BATCH = 64, BATCHES_MAX = 1 << 20 };

static dcm *d;
static const char *host;
static char **names;
static int names_n;
static double took[BATCHES_MAX];

/* Reads one batch; returns how many look-ups failed. */
static uint32_t batch(uint32_t first)
{
	uint32_t failed = 0;

	for (uint32_t i = 0; i < BATCH; i++) {
		struct dcm_ref ref;
		struct dcm_view view;
		double cpu;

		if (dcm_find(d, host, names[(first + i) % (uint32_t)names_n], &ref) != DCM_OK ||
		    dcm_view(d, ref, DCM_STATS, &view) != DCM_OK ||
		    !dcm_view_float(&view, DCM_F_cpu_percent, &cpu) || !dcm_view_ok(&view))
			failed++;
	}
	return failed;
}

static void read_for(double seconds)
{
	double end = now() + seconds, most = 0;
	uint32_t n = 0, failed = 0;

	while (n < BATCHES_MAX && now() < end) {
		double begin = now();

		failed += batch(n * BATCH);
		took[n] = now() - begin;
		if (took[n] > most)
			most = took[n];
		n++;
	}
	printf("%.1f %.0f %u\n", median(took, n) / BATCH * 1e9, most * 1e9, failed);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct dcm_options opt = {.size = sizeof(opt)};
	char why[256], line[64];

	if (argc < 5) {
		fprintf(stderr, "usage: meanwhile INSTANCE RUNTIME_DIR HOST NAME...\n");
		return 2;
	}
	opt.instance = argv[1];
	opt.runtime_dir = argv[2];
	host = argv[3];
	names = argv + 4;
	names_n = argc - 4;
	if (dcm_open(&d, &opt, why, sizeof(why)) != DCM_OK) {
		fprintf(stderr, "meanwhile: %s\n", why);
		return 1;
	}
	while (fgets(line, sizeof(line), stdin))
		read_for(atof(line));
	dcm_close(&d);
	return 0;
}
