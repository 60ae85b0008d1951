/*
 * bench_read.c - what reading costs, beside LMDB and a bare hash table that hold
 * the same records, in the same run: rounds of each in turn, medians, ratios, and
 * the goals of the design.  No test: figures of a noisy machine.
 *
 *   bench_read [CONTAINERS [SECONDS]]      seconds for each row
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fleet.h"
#include "rivals.h"

enum { ROUNDS_MAX = 1000, LOOKUPS = 100000 /* of a round */ };

static uint32_t containers = 100000;
static double seconds = 4; /* that a row takes */
static struct fleet fleet;
static struct rival *lmdb;
static struct bare *bare;
static uint8_t *ids; /* of the look-ups, in their (random) order */
static dcm *d, *alone; /* with the broker, and without */
static volatile uint64_t sink;

static double seconds_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double now(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, uint32_t n)
{
	qsort(v, n, sizeof(*v), by_size);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* ---- what is measured --------------------------------------------------- */

/* Each is one round; it returns how many of its operations it did. */
typedef uint32_t work(void);

/*
 * Look-ups one after the other: which is next depends, for the processor, on what
 * the last one found (`nothing` is 0, but only this program knows), so that a
 * look-up's whole time shows.  Else several would run side by side.
 */
static volatile uint32_t nothing;
static inline const uint8_t *next_id(uint32_t i, uint64_t found, uint32_t zero)
{
	return ids + 32 * (size_t)(i + (uint32_t)(found & zero));
}

static inline uint64_t bits_of(double v)
{
	uint64_t w;

	memcpy(&w, &v, sizeof(w));
	return w;
}

static uint32_t view_one_field(void)
{
	uint32_t zero = nothing;
	struct dcm_ref ref;
	struct dcm_view v;
	double cpu = 0;

	for (uint32_t i = 0; i < LOOKUPS; i++)
		if (dcm_find_id(alone, FLEET_HOST, next_id(i, bits_of(cpu), zero), &ref) ||
		    dcm_view(alone, ref, DCM_STATS, &v) != DCM_OK ||
		    !dcm_view_float(&v, DCM_F_cpu_percent, &cpu) || !dcm_view_ok(&v))
			cpu = 0;
	sink += bits_of(cpu);
	return LOOKUPS;
}

static uint32_t view_side_by_side(void)
{
	struct dcm_ref ref;
	struct dcm_view v;
	double cpu, sum = 0;

	for (uint32_t i = 0; i < LOOKUPS; i++)
		if (dcm_find_id(alone, FLEET_HOST, ids + 32 * i, &ref) == DCM_OK &&
		    dcm_view(alone, ref, DCM_STATS, &v) == DCM_OK &&
		    dcm_view_float(&v, DCM_F_cpu_percent, &cpu) && dcm_view_ok(&v))
			sum += cpu;
	sink += (uint64_t)sum;
	return LOOKUPS;
}

static uint32_t lmdb_one_by_one(int renewed)
{
	uint32_t zero = nothing;
	uint64_t found = 0;
	size_t len;

	for (uint32_t i = 0; i < LOOKUPS; i++)
		found = lmdb_get(lmdb, next_id(i, found, zero), &len, renewed)[0];
	sink += found;
	return LOOKUPS;
}

static uint32_t lmdb_get_only(void)
{
	return lmdb_one_by_one(0);
}

static uint32_t lmdb_get_renewed(void)
{
	return lmdb_one_by_one(1);
}

static uint32_t lmdb_side_by_side(void)
{
	size_t len;

	for (uint32_t i = 0; i < LOOKUPS; i++)
		sink += lmdb_get(lmdb, ids + 32 * i, &len, 0)[0];
	return LOOKUPS;
}

static uint32_t bare_get_only(void)
{
	uint32_t zero = nothing;
	uint64_t found = 0;
	size_t len;

	for (uint32_t i = 0; i < LOOKUPS; i++)
		found = bare_get(bare, next_id(i, found, zero), &len)[0];
	sink += found;
	return LOOKUPS;
}

static uint32_t read_decoded(void)
{
	static struct dcm_record r;
	uint32_t zero = nothing;
	uint64_t found = 0;
	struct dcm_ref ref;

	if (!r.priv)
		dcm_record_init(&r);
	for (uint32_t i = 0; i < LOOKUPS; i++)
		if (dcm_find_id(alone, FLEET_HOST, next_id(i, found, zero), &ref) == DCM_OK &&
		    dcm_read(alone, ref, &r) == DCM_OK)
			found = r.compose_working_dir.len;
	sink += found;
	return LOOKUPS;
}

static void touch(const uint8_t *value, size_t len, void *arg)
{
	uint64_t w, sum = 0;

	(void)arg;
	for (; len >= 8; len -= 8, value += 8) {
		memcpy(&w, value, 8);
		sum += w;
	}
	for (; len; len--)
		sum += *value++;
	sink += sum;
}

static uint32_t lmdb_get_touched(void)
{
	uint32_t zero = nothing;
	size_t len;

	for (uint32_t i = 0; i < LOOKUPS; i++) {
		const uint8_t *v = lmdb_get(lmdb, next_id(i, sink, zero), &len, 0);

		touch(v, len, NULL);
	}
	return LOOKUPS;
}

static uint32_t iterate_decoded(void)
{
	static struct dcm_record r;
	static struct dcm_refs refs;
	struct dcm_query q = {.kind = DCM_Q_ALL};

	if (!r.priv)
		dcm_record_init(&r);
	if (dcm_query(alone, &q, &refs) != DCM_OK || refs.n != containers)
		die("not all containers were listed");
	for (size_t i = 0; i < refs.n; i++)
		if (dcm_read(alone, refs.v[i], &r) == DCM_OK)
			sink += r.labels.n;
	return 1;
}

static uint32_t lmdb_iterate(void)
{
	lmdb_each(lmdb, touch, NULL);
	return 1;
}

/* A query, answered `n` times. */
static struct dcm_refs found;
static uint32_t query(dcm *handle, const struct dcm_query *q, bool by_broker)
{
	uint32_t n = 0;

	for (int i = 0; i < 1; i++) {
		if (dcm_query(handle, q, &found) != DCM_OK)
			die("%s", dcm_error(handle));
		if (by_broker && !found.by_broker)
			usleep(1100000); /* it took too long once: that round does not count */
		else
			n++;
	}
	return n;
}

#define QUERY(name, handle, brokered, ...)                               \
	static uint32_t name(void)                                       \
	{                                                                \
		static const struct dcm_query q = {__VA_ARGS__};         \
		return query(handle, &q, brokered);                      \
	}
QUERY(scan_paused, alone, false, .kind = DCM_Q_STATUS, .text = "paused")
QUERY(scan_exited, alone, false, .kind = DCM_Q_STATUS, .text = "exited")
QUERY(top_cpu, alone, false, .kind = DCM_Q_TOP_CPU, .n = 10)
QUERY(top_memory, alone, false, .kind = DCM_Q_TOP_MEMORY, .n = 10)
#define BOTH(name, ...)                      \
	QUERY(name##_ask, d, true, __VA_ARGS__) \
	QUERY(name##_scan, alone, false, __VA_ARGS__)
BOTH(label, .kind = DCM_Q_LABEL, .text = "tier", .value = "t7")
BOTH(label_many, .kind = DCM_Q_LABEL, .text = "com.docker.compose.service", .value = "web")
BOTH(project, .kind = DCM_Q_PROJECT, .text = "shop-777")
BOTH(search, .kind = DCM_Q_SEARCH, .text = "SHOP-777-web")
BOTH(search_many, .kind = DCM_Q_SEARCH, .text = "web-2")

/* ---- the table ---------------------------------------------------------- */

struct row {
	const char *what;
	bool batch; /* of look-ups: a round is some of them */
	work *ours;
	const char *rival_name;
	work *rival;	  /* NULL: none */
	double goal_ratio; /* of the rival's; 0: none */
	double goal;	  /* s; 0: none */
};

static const struct row rows[] = {
	{"point read: view of one tier, one field", true, view_one_field,
	 "LMDB get", lmdb_get_only, 0.25, 300e-9},
	{"", true, NULL, "LMDB get, new transaction", lmdb_get_renewed, 0, 0},
	{"", true, NULL, "bare mapped hash", bare_get_only, 0, 0},
	{"the same, independent look-ups side by side", true, view_side_by_side,
	 "LMDB get", lmdb_side_by_side, 0, 0},
	{"point read, every field decoded", true, read_decoded,
	 "LMDB get, all bytes touched", lmdb_get_touched, 1.0, 0},
	{"list all by name, decode each", false, iterate_decoded,
	 "LMDB cursor, all bytes touched", lmdb_iterate, 0, 0},
	{"scan by status (1 in 100)", false, scan_paused, NULL, NULL, 0, 5e-3},
	{"scan by status (8 in 100)", false, scan_exited, NULL, NULL, 0, 5e-3},
	{"top 10 by CPU", false, top_cpu, NULL, NULL, 0, 5e-3},
	{"top 10 by memory", false, top_memory, NULL, NULL, 0, 5e-3},
	{"label (500), by the broker", false, label_ask, "scan", label_scan, 0, 2e-3},
	{"project (20), by the broker", false, project_ask, "scan", project_scan, 0, 2e-3},
	{"name search (4), by the broker", false, search_ask, "scan", search_scan, 0, 2e-3},
	{"label (20,000), by the broker", false, label_many_ask, "scan", label_many_scan, 0, 0},
	{"name search (5,000), by the broker", false, search_many_ask,
	 "scan", search_many_scan, 0, 0},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const char *time_text(double s, char out[32])
{
	if (isnan(s))
		snprintf(out, 32, "-");
	else if (s < 1e-6)
		snprintf(out, 32, "%.0f ns", s * 1e9);
	else if (s < 1e-3)
		snprintf(out, 32, "%.2f us", s * 1e6);
	else
		snprintf(out, 32, "%.2f ms", s * 1e3);
	return out;
}

/* Look-ups wait for nobody: of them the CPU's time counts, which leaves out other
 * processes on a busy machine.  A query to the broker is timed as it passes. */
static double one_round(const struct row *r, work *w)
{
	clockid_t clock = r->batch ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
	double start = seconds_of(clock);
	uint32_t n = w();

	return n ? (seconds_of(clock) - start) / n : NAN;
}

/* Where a row has only a rival, it is another of the row above. */
static void print_row(const struct row *r, double ours, double rival)
{
	char a[32], b[32], ratio[32] = "", goal[64] = "", verdict[8] = "";
	bool reached = true;

	if (r->rival)
		snprintf(ratio, sizeof(ratio), "%.2f", ours / rival);
	if (r->goal_ratio > 0) {
		snprintf(goal, sizeof(goal), "<= %.2f ", r->goal_ratio);
		reached &= ours <= r->goal_ratio * rival;
	}
	if (r->goal > 0) {
		snprintf(goal + strlen(goal), sizeof(goal) - strlen(goal), "< %s", time_text(r->goal, a));
		reached &= ours < r->goal;
	}
	if (*goal)
		snprintf(verdict, sizeof(verdict), "%s", reached ? "yes" : "NO");
	printf("%-43s %10s  %-31s %10s %6s  %-18s %s\n", r->what, r->ours ? time_text(ours, a) : "",
	       r->rival_name ? r->rival_name : "", r->rival ? time_text(rival, b) : "", ratio, goal,
	       verdict);
	fflush(stdout);
}

static void run_rows(void)
{
	static double mine[ROUNDS_MAX], theirs[ROUNDS_MAX];
	double ours = NAN, rival = NAN;

	printf("%-43s %10s  %-31s %10s %6s  %-18s %s\n", "", "dcm", "rival", "", "ratio", "goal",
	       "reached");
	for (int i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];

		uint32_t k = 0;

		/* Rounds in turn: a row's two sides see the same machine, and the median
		 * leaves out the first, which pays for page faults, and those that
		 * others interrupted. */
		for (double end = now() + seconds; k < ROUNDS_MAX && (k < 5 || now() < end); k++) {
			fleet_beat(&fleet);
			if (r->ours)
				mine[k] = one_round(r, r->ours);
			if (r->rival)
				theirs[k] = one_round(r, r->rival);
		}
		if (r->ours)
			ours = median(mine, k);
		rival = r->rival ? median(theirs, k) : NAN;
		print_row(r, ours, rival);
	}
}

/* ---- the whole ---------------------------------------------------------- */

static void to_rivals(const uint8_t id[32], const struct record_buf tiers[DCM_TIERS])
{
	static uint8_t value[65536];
	size_t len = 0;

	for (int t = 0; t < DCM_LOGS; t++) {
		if (len + tiers[t].len > sizeof(value))
			die("a record is too large for the rivals");
		memcpy(value + len, tiers[t].data, tiers[t].len);
		len += tiers[t].len;
	}
	lmdb_put(lmdb, id, value, len);
	bare_put(bare, id, value, len);
}

static void make_lookups(void)
{
	uint64_t x = 88172645463325252ull;

	ids = malloc(32 * LOOKUPS);
	if (!ids)
		die("no memory");
	for (uint32_t i = 0; i < LOOKUPS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		fleet_id((uint32_t)(x % containers), ids + 32 * i);
	}
}

/* Until the broker has read everything. */
static void await_broker(void)
{
	static const struct dcm_query q = {.kind = DCM_Q_LABEL, .text = "tier"};
	double start = now();

	do {
		fleet_beat(&fleet);
		if (dcm_query(d, &q, &found) == DCM_OK && found.by_broker && found.n == containers)
			break;
		usleep(200000);
	} while (now() - start < 120);
	if (!found.by_broker)
		die("the broker did not get ready within 2 minutes");
	printf("broker ready after %.1f s\n\n", now() - start);
}

int main(int argc, char **argv)
{
	char lmdb_dir[] = "/dev/shm/bench-lmdb-XXXXXX"; /* the same kind of memory */

	if (argc > 1)
		containers = (uint32_t)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seconds = strtod(argv[2], NULL);
	if (argc > 3 || containers < 1000 || containers > 1000000 || !(seconds >= 0))
		die("usage: bench_read [CONTAINERS [SECONDS]]: 1000 to 1000000; of each row");
	if (!mkdtemp(lmdb_dir))
		die("cannot make %s", lmdb_dir);
	lmdb = lmdb_new(lmdb_dir, containers);
	bare = bare_new(containers, 4096);
	fleet_make(&fleet, containers, to_rivals);
	lmdb_ready(lmdb);
	make_lookups();
	printf("%u containers of %.0f bytes; medians of rounds of %d look-ups, or one query\n",
	       containers, fleet.bytes, LOOKUPS);
	fleet_broker(&fleet);
	d = fleet_open(&fleet, 0);
	alone = fleet_open(&fleet, DCM_NO_BROKER);
	await_broker();
	run_rows();
	dcm_refs_free(&found);
	dcm_close(&d);
	dcm_close(&alone);
	fleet_remove(&fleet);
	lmdb_free(lmdb);
	bare_free(bare);
	free(ids);
	return 0;
}
