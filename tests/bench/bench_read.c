/*
 * bench_read.c - what reading costs, beside LMDB and a bare hash table that hold
 * the same records, in the same run: rounds of each in turn, medians, ratios, and
 * the goals of the design.  No test: figures of a noisy machine.
 *
 *   bench_read [CONTAINERS [SECONDS]]      seconds for each row
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beside.h"
#include "fleet.h"
#include "measure.h"
#include "rivals.h"
#include "rivals_redis.h"

enum {
	IDS = 1 << 17,	   /* that are looked up, again and again */
	LOOKUPS = 4 * IDS, /* of a round: the first of them find the rival's in the caches */
	READS = IDS,	   /* of a round, of whole records */
	ASKED = 10000,	   /* of a round of Redis */
};

static uint32_t containers = 100000;
static double seconds = 4; /* that a row takes */
static struct fleet fleet;
static struct rival *lmdb;
static struct bare *bare;
static struct redis *redis;
static struct chase *chase; /* as many lines as look-ups touch: an entry's and a blob's */
static uint8_t *ids; /* of the look-ups, in their (random) order */
static dcm *d, *alone; /* with the broker, and without */
static volatile uint64_t sink;

/* ---- what is measured --------------------------------------------------- */

/*
 * Look-ups one after the other: which is next depends, for the processor, on what
 * the last one found (`nothing` is 0, but only this program knows), so that a
 * look-up's whole time shows.  Else several would run side by side.
 */
static volatile uint32_t nothing;
static inline const uint8_t *next_id(uint32_t i, uint64_t found, uint32_t zero)
{
	return ids + 32 * (size_t)((i + (uint32_t)(found & zero)) % IDS);
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
		if (dcm_find_id(alone, FLEET_HOST, ids + 32 * (i % IDS), &ref) == DCM_OK &&
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
		sink += lmdb_get(lmdb, ids + 32 * (i % IDS), &len, 0)[0];
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

static uint32_t chase_lines(void)
{
	static uint32_t at;

	at = chase_on(chase, at, LOOKUPS);
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
	for (uint32_t i = 0; i < READS; i++)
		if (dcm_find_id(alone, FLEET_HOST, next_id(i, found, zero), &ref) == DCM_OK &&
		    dcm_read(alone, ref, &r) == DCM_OK)
			found = r.compose_working_dir.len;
	sink += found;
	return READS;
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

	for (uint32_t i = 0; i < READS; i++) {
		const uint8_t *v = lmdb_get(lmdb, next_id(i, sink, zero), &len, 0);

		touch(v, len, NULL);
	}
	return READS;
}

static uint32_t redis_field_only(void)
{
	for (uint32_t i = 0; redis && i < ASKED; i++)
		sink += (uint64_t)redis_field(redis, ids + 32 * (i % IDS));
	return redis ? ASKED : 0;
}

static uint32_t redis_record_touched(void)
{
	for (uint32_t i = 0; redis && i < ASKED; i++)
		redis_record(redis, ids + 32 * (i % IDS), touch, NULL);
	return redis ? ASKED : 0;
}

static uint32_t redis_iterate(void)
{
	if (redis)
		redis_each(redis, touch, NULL);
	return redis != NULL;
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

static struct dcm_refs found;
static uint32_t query(dcm *handle, const struct dcm_query *q, bool by_broker)
{
	if (dcm_query(handle, q, &found) != DCM_OK)
		die("%s", dcm_error(handle));
	if (!by_broker || found.by_broker)
		return 1;
	usleep(1100000); /* it took too long once: that round does not count */
	return 0;
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
QUERY(label_many_ask, d, true, .kind = DCM_Q_LABEL, .text = "com.docker.compose.service", .value = "web")
BOTH(project, .kind = DCM_Q_PROJECT, .text = "shop-777")
BOTH(search, .kind = DCM_Q_SEARCH, .text = "SHOP-777-web")
BOTH(mount, .kind = DCM_Q_MOUNT, .text = "/srv/shop-777")
BOTH(search_all, .kind = DCM_Q_SEARCH, .text = "shop")
BOTH(search_many, .kind = DCM_Q_SEARCH, .text = "web-2")

/* ---- the table ---------------------------------------------------------- */

#define REDIS_SET(name, key)                             \
	static uint32_t name(void)                       \
	{                                                \
		sink += redis ? redis_set(redis, key) : 0; \
		return redis != NULL;                    \
	}
REDIS_SET(redis_paused, "status:paused")
REDIS_SET(redis_exited, "status:exited")
REDIS_SET(redis_label, "label:tier=t7")
REDIS_SET(redis_label_many, "label:com.docker.compose.service=web")
REDIS_SET(redis_project, "project:shop-777")

static uint32_t redis_top_cpu(void)
{
	sink += redis ? redis_top(redis, "cpu") : 0;
	return redis != NULL;
}

static const struct row rows[] = {
	{"point read: view of one tier, one field", true, view_one_field,
	 "LMDB get", lmdb_get_only, 0.25, 300e-9},
	{"", true, NULL, "LMDB get, new transaction", lmdb_get_renewed, 0, 0},
	{"", true, NULL, "bare mapped hash (the limit)", bare_get_only, 0, 0},
	{"", true, NULL, "one load from as much memory", chase_lines, 0, 0},
	{"", false, NULL, "Redis HGET, unix socket", redis_field_only, 0, 0},
	{"the same, independent look-ups side by side", true, view_side_by_side,
	 "LMDB get", lmdb_side_by_side, 0, 0},
	{"point read, every field decoded", true, read_decoded,
	 "LMDB get, all bytes touched", lmdb_get_touched, 1.0, 0},
	{"", false, NULL, "Redis HMGET, bytes touched", redis_record_touched, 0, 0},
	{"a host's containers by name, each decoded", false, iterate_decoded,
	 "LMDB cursor, all bytes touched", lmdb_iterate, 0, 0},
	{"", false, NULL, "Redis, pipelined by 100", redis_iterate, 0, 0},
	{"scan by status (1 in 100)", false, scan_paused, "Redis set", redis_paused, 0, 5e-3},
	{"scan by status (8 in 100)", false, scan_exited, "Redis set", redis_exited, 0, 5e-3},
	{"top 10 by CPU", false, top_cpu, "Redis sorted set", redis_top_cpu, 0, 5e-3},
	{"top 10 by memory", false, top_memory, NULL, NULL, 0, 5e-3},
	{"label (500), by the broker", false, label_ask, "Redis set", redis_label, 0, 2e-3},
	{"", false, NULL, "scan, without the broker", label_scan, 0, 0},
	{"label (20,000), by the broker", false, label_many_ask, "Redis set", redis_label_many, 0, 2e-3},
	{"project (20), by the broker", false, project_ask, "Redis set", redis_project, 0, 2e-3},
	{"", false, NULL, "scan, without the broker", project_scan, 0, 0},
	{"mount (20), by the broker", false, mount_ask, "scan, without the broker", mount_scan, 0,
	 2e-3},
	{"name search (4), by the broker", false, search_ask, "scan, without the broker",
	 search_scan, 0, 2e-3},
	{"name search (5,000), by the broker", false, search_many_ask, "scan, without the broker",
	 search_many_scan, 0, 2e-3},
	{"name search (all), by the broker", false, search_all_ask, "scan, without the broker",
	 search_all_scan, 0, 2e-3},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* ---- the whole ---------------------------------------------------------- */

static void to_rivals(const uint8_t id[32], const struct dcm_record *r,
		      const struct record_buf tiers[DCM_TIERS])
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
	if (redis)
		redis_put(redis, id, r, tiers);
}

static void beat(void)
{
	fleet_beat(&fleet);
}

static void make_lookups(void)
{
	uint64_t x = 88172645463325252ull;

	ids = malloc(32 * IDS);
	if (!ids)
		die("no memory");
	for (uint32_t i = 0; i < IDS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		fleet_id((uint32_t)(x % containers), ids + 32 * (i % IDS));
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
	printf("# broker ready after %.1f s\n", now() - start);
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
	chase = chase_new(2 * containers);
	redis = redis_new();
	if (!redis)
		fprintf(stderr, "bench_read: redis-server is not there: left out\n");
	fleet_make(&fleet, containers, to_rivals);
	lmdb_ready(lmdb);
	if (redis)
		redis_ready(redis);
	make_lookups();
	printf("# %u containers of %.0f bytes; medians of rounds of %d look-ups, %d reads, or one query\n",
	       containers, fleet.bytes, LOOKUPS, READS);
	fleet_broker(&fleet);
	d = fleet_open(&fleet, 0);
	alone = fleet_open(&fleet, DCM_NO_BROKER);
	await_broker();
	measure("reading", rows, ROWS, seconds, beat);
	beside_writer(&fleet, lmdb, containers, ids, IDS, seconds);
	dcm_refs_free(&found);
	dcm_close(&d);
	dcm_close(&alone);
	fleet_remove(&fleet);
	lmdb_free(lmdb);
	bare_free(bare);
	chase_free(chase);
	redis_free(redis);
	free(ids);
	return 0;
}
