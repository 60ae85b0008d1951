/*
 * measure.h - how the programs of the benchmark time what they compare, and how they
 * tell it: one line a row, which tests/bench/run makes a table of.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

/* One round; it returns how many of its operations it did, 0 where it does not count. */
typedef uint32_t work(void);

struct row {
	const char *what;
	bool batch; /* of look-ups, which wait for nobody: the CPU's time counts */
	work *ours;
	const char *rival_name;
	work *rival;	   /* NULL: none */
	double goal_ratio; /* of the rival's; 0: none */
	double goal;	   /* s; 0: none */
};

double seconds_of(int clock);
double now(void); /* monotonic, s */
double median(double *v, uint32_t n);

/* Rounds of both sides in turn for `seconds`, at least five; `between` (or NULL) runs
 * before each.  A row without `ours` is another rival of the row above. */
void measure(const char *group, const struct row *rows, unsigned n, double seconds,
	     void (*between)(void));

/* A row whose figures (s; NAN: none) are known. */
void say_row(const char *group, const struct row *r, double ours, double rival);

#endif
