/* stalls.c - how long the machine itself kept a thread waiting: see stalls.h. */
#include "stalls.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSORS_MAX = 256, STALLS_KEPT = 1024 };
static const double nap = 0.002, worth_noting = 0.003; /* s */
static const double look_closer = 0.05;		       /* s: shorter calls are not in question */

/* One processor's latest stalls, in a ring.  Taken only by calls that were long. */
static struct processor {
	pthread_mutex_t lock;
	unsigned n;
	struct {
		double from, to;
	} stall[STALLS_KEPT];
} *processors[PROCESSORS_MAX];
static int n_processors;
static double longest, total;
static pthread_mutex_t sum_lock = PTHREAD_MUTEX_INITIALIZER;

double stalls_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int open_schedstat(void)
{
	return open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
}

/* Seconds that a thread was ready and did not run, ever. */
static double run_delay(int schedstat)
{
	char text[96];
	unsigned long long delay = 0;
	ssize_t n = schedstat < 0 ? -1 : pread(schedstat, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return sscanf(text, "%*u %llu", &delay) == 1 ? (double)delay * 1e-9 : 0;
}

/* All of it counts for the machine; for a call what was no mere waiting for its turn. */
static void note(struct processor *p, double from, double to, double waited)
{
	pthread_mutex_lock(&sum_lock);
	total += to - from;
	if (to - from > longest)
		longest = to - from;
	pthread_mutex_unlock(&sum_lock);
	to -= waited;
	if (to - from < worth_noting)
		return;
	pthread_mutex_lock(&p->lock);
	p->stall[p->n % STALLS_KEPT].from = from;
	p->stall[p->n++ % STALLS_KEPT].to = to;
	pthread_mutex_unlock(&p->lock);
}

static void *watch(void *arg)
{
	const struct timespec t = {.tv_nsec = (long)(nap * 1e9)};
	struct processor *p = arg;
	int schedstat = open_schedstat();

	for (;;) {
		double waited = run_delay(schedstat), due = stalls_now() + nap, now;

		nanosleep(&t, NULL);
		now = stalls_now();
		if (now - due > worth_noting)
			note(p, due, now, run_delay(schedstat) - waited);
	}
	return NULL;
}

static void watch_processor(int cpu)
{
	struct processor *p = calloc(1, sizeof(*p));
	pthread_attr_t attr;
	pthread_t thread;
	cpu_set_t one;

	if (!p)
		exit(2);
	pthread_mutex_init(&p->lock, NULL);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(one), &one);
	if (pthread_create(&thread, &attr, watch, p) == 0)
		processors[n_processors++] = p;
	else
		free(p);
	pthread_attr_destroy(&attr);
}

void stalls_watch(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE && n_processors < PROCESSORS_MAX; cpu++)
		if (CPU_ISSET(cpu, &set))
			watch_processor(cpu);
}

/* ---- one call --------------------------------------------------------------- */

void stalls_call_init(struct stalls_call *c)
{
	c->schedstat = open_schedstat();
}

void stalls_call_begin(struct stalls_call *c)
{
	c->delayed = run_delay(c->schedstat);
	c->began = stalls_now();
}

static double overlap(struct processor *p, double from, double to)
{
	double sum = 0;

	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < STALLS_KEPT && i < p->n; i++) {
		double a = p->stall[i].from > from ? p->stall[i].from : from;
		double b = p->stall[i].to < to ? p->stall[i].to : to;

		sum += b > a ? b - a : 0;
	}
	pthread_mutex_unlock(&p->lock);
	return sum;
}

double stalls_call_end(const struct stalls_call *c, double *wall)
{
	const struct timespec settle = {.tv_nsec = 10 * 1000 * 1000};
	double now = stalls_now(), waited, stood = 0;

	*wall = now - c->began;
	if (*wall < look_closer)
		return *wall;
	waited = run_delay(c->schedstat) - c->delayed;
	nanosleep(&settle, NULL); /* who watched wakes up only now, too */
	for (int i = 0; i < n_processors; i++) {
		double stalled = overlap(processors[i], c->began, now);

		if (stalled > stood)
			stood = stalled;
	}
	return *wall > waited + stood ? *wall - waited - stood : 0;
}

void stalls_sum(double *worst, double *sum)
{
	pthread_mutex_lock(&sum_lock);
	*worst = longest;
	*sum = n_processors ? total / n_processors : 0;
	pthread_mutex_unlock(&sum_lock);
}
