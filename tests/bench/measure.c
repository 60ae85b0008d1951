/* measure.c - see measure.h. */
#include "measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS_MAX = 1000, ROUNDS_LEAST = 5 };

double seconds_of(int clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double now(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double median(double *v, uint32_t n)
{
	qsort(v, n, sizeof(*v), by_size);
	return n == 0 ? NAN : n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Look-ups wait for nobody: of them the CPU's time counts, which leaves out other
 * processes on a busy machine.  What others answer is timed as it passes. */
static void one_round(work *w, bool batch, double *v, uint32_t *n)
{
	int clock = batch ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
	double start;
	uint32_t done;

	if (batch)
		w(); /* what the other side left in the caches is not ours, nor its fault */
	start = seconds_of(clock);
	done = w();

	if (done && *n < ROUNDS_MAX)
		v[(*n)++] = (seconds_of(clock) - start) / done;
}

static void say_number(double v)
{
	if (isnan(v) || v == 0)
		printf("\t");
	else
		printf("\t%.9g", v);
}

void say_row(const char *group, const struct row *r, double ours, double rival)
{
	printf("row\t%s\t%s", group, r->what);
	say_number(ours);
	printf("\t%s", r->rival_name ? r->rival_name : "");
	say_number(rival);
	printf("\ts");
	say_number(r->goal_ratio);
	say_number(r->goal);
	printf("\n");
	fflush(stdout);
}

void measure(const char *group, const struct row *rows, unsigned n, double seconds,
	     void (*between)(void))
{
	static double mine[ROUNDS_MAX], theirs[ROUNDS_MAX];
	double ours = NAN;

	for (unsigned i = 0; i < n; i++) {
		const struct row *r = &rows[i];
		uint32_t a = 0, b = 0, k = 0;

		/* A row's two sides see the same machine, and the median leaves out the
		 * first round, which pays for page faults, and those that others
		 * interrupted. */
		for (double end = now() + seconds;
		     k < ROUNDS_MAX && (k < ROUNDS_LEAST || now() < end); k++) {
			if (between)
				between();
			if (r->ours)
				one_round(r->ours, r->batch, mine, &a);
			if (r->rival)
				one_round(r->rival, r->batch, theirs, &b);
		}
		if (r->ours)
			ours = median(mine, a);
		say_row(group, r, ours, r->rival ? median(theirs, b) : NAN);
	}
}
