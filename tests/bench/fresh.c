/*
 * fresh.c - when does a name come into the memory?  Two readers of one host look out for
 * each name that stands on standard input: one looks again and again, the other waits by
 * dcm_wait().  For each name a line says when they saw it: Unix seconds of both.
 *
 *   fresh INSTANCE RUNTIME_DIR HOST
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../shm/dcm.h"

enum { LOOK_AGAIN = 100 }; /* µs */
static const double patience = 10; /* s; then it is said to be never */

struct reader {
	pthread_t thread;
	pthread_barrier_t begin, end;
	const char *host;
	struct dcm_options opt;
	bool waits;
	char name[256];
	double seen;
};

static double now(int clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double look_out(struct reader *r, dcm *d)
{
	double end = now(CLOCK_MONOTONIC) + patience;
	struct dcm_ref ref;

	while (dcm_find(d, r->host, r->name, &ref) != DCM_OK) {
		if (now(CLOCK_MONOTONIC) > end)
			return NAN;
		if (r->waits)
			dcm_wait(d, r->host, 1000);
		else
			usleep(LOOK_AGAIN);
	}
	return now(CLOCK_REALTIME);
}

static void *read_names(void *arg)
{
	struct reader *r = arg;
	char err[256];
	dcm *d;

	if (dcm_open(&d, &r->opt, err, sizeof(err)) != DCM_OK) {
		fprintf(stderr, "fresh: %s\n", err);
		exit(1);
	}
	dcm_wait(d, r->host, 0);
	for (;;) {
		pthread_barrier_wait(&r->begin);
		r->seen = look_out(r, d);
		pthread_barrier_wait(&r->end);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct reader readers[2];
	char name[256];

	if (argc != 4) {
		fprintf(stderr, "usage: fresh INSTANCE RUNTIME_DIR HOST\n");
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		struct reader *r = &readers[i];

		*r = (struct reader){
			.host = argv[3],
			.opt = {.size = sizeof(r->opt), .instance = argv[1], .runtime_dir = argv[2]},
			.waits = i == 1,
		};
		pthread_barrier_init(&r->begin, NULL, 2);
		pthread_barrier_init(&r->end, NULL, 2);
		if (pthread_create(&r->thread, NULL, read_names, r))
			return 1;
	}
	while (fgets(name, sizeof(name), stdin)) {
		name[strcspn(name, "\n")] = '\0';
		for (int i = 0; i < 2; i++) {
			memcpy(readers[i].name, name, sizeof(name));
			pthread_barrier_wait(&readers[i].begin);
		}
		printf("looking\n");
		fflush(stdout);
		for (int i = 0; i < 2; i++)
			pthread_barrier_wait(&readers[i].end);
		printf("%.6f %.6f\n", readers[0].seen, readers[1].seen);
		fflush(stdout);
	}
	return 0;
}
