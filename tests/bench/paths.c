/*
 * paths.c - the hot paths, each so many times on fixed input, for callgrind to count:
 * `make bench-check` (tests/bench/instructions) runs this program under it and holds
 * the figures against those in the tree.
 *
 *   paths           under callgrind --instr-atstart=no: a dump for each path, named
 *                   "PATH TIMES"
 *   paths hold N    an instance of N containers, until the standard input ends; says
 *                   where it is: "INSTANCE RUNTIME_DIR"
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <valgrind/callgrind.h>

#include "../../broker/index.h"
#include "../../collector/decode.h"
#include "../../shm/region_write.h"
#include "fleet.h"

enum {
	CONTAINERS = 2000, /* the later ones have homes for their stats */
	STEP = 7,	   /* ids are looked up in steps, which is prime to CONTAINERS */
	WRITTEN = 100,	   /* containers that are written anew */
};

static struct fleet fleet;
static dcm *d;
static struct dcm_record record;
static struct dcm_refs found;
static struct index *ix;
static uint32_t indexed;
static struct fleet_record *written[WRITTEN];
static volatile uint64_t sink;

static void must(bool ok, const char *what)
{
	if (!ok)
		die("%s went wrong", what);
}

/* In the C library's place: the key of the tables in the memory is the same in each run,
 * and so is the number of probes. */
ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
	(void)flags;
	memset(buffer, 0x5a, length);
	for (size_t i = 0; i < length; i++)
		((uint8_t *)buffer)[i] ^= (uint8_t)(i * 151);
	return (ssize_t)length;
}

/* ---- reading --------------------------------------------------------------------- */

static struct dcm_ref find(uint32_t i)
{
	struct dcm_ref ref;
	uint8_t id[32];

	fleet_id(i * STEP % CONTAINERS, id);
	must(dcm_find_id(d, FLEET_HOST, id, &ref) == DCM_OK, "a look-up by id");
	return ref;
}

static void view_field(uint32_t i)
{
	struct dcm_view v;
	double cpu = 0;

	must(dcm_view(d, find(i), DCM_STATS, &v) == DCM_OK, "a view");
	dcm_view_float(&v, DCM_F_cpu_percent, &cpu);
	must(dcm_view_ok(&v), "a view");
	sink += (uint64_t)cpu;
}

static void read_record(uint32_t i)
{
	must(dcm_read(d, find(i), &record) == DCM_OK, "a read");
	sink += record.labels.n;
}

static void find_name(uint32_t i)
{
	static const char *const services[] = {"web", "api", "worker", "db", "cache"};
	struct dcm_ref ref;
	char name[64];

	i = i * STEP % CONTAINERS;
	snprintf(name, sizeof(name), "shop-%u-%s-%u", i / 20, services[i % 5], i % 20 / 5 + 1);
	must(dcm_find(d, FLEET_HOST, name, &ref) == DCM_OK, name);
}

static void query(const struct dcm_query *q)
{
	must(dcm_query(d, q, &found) == DCM_OK && found.n > 0, "a query");
}

static void scan_status(uint32_t i)
{
	(void)i;
	query(&(struct dcm_query){.kind = DCM_Q_STATUS, .text = "paused"});
}

static void scan_search(uint32_t i)
{
	(void)i;
	query(&(struct dcm_query){.kind = DCM_Q_SEARCH, .text = "SHOP-77-web"});
}

static void top_cpu(uint32_t i)
{
	(void)i;
	query(&(struct dcm_query){.kind = DCM_Q_TOP_CPU, .n = 10});
}

/* ---- the broker's index ---------------------------------------------------------- */

static void ask_index(const struct dcm_query *q)
{
	static struct match m;
	const char *why;

	must(match_init(&m, q, &why) == DCM_OK && index_query(ix, &m, NULL, NULL, NULL) &&
		 ix->answer_n > 0,
	     "a question to the index");
}

static void index_label(uint32_t i)
{
	(void)i;
	ask_index(&(struct dcm_query){.kind = DCM_Q_LABEL, .text = "tier", .value = "t7"});
}

static void index_search(uint32_t i)
{
	(void)i;
	ask_index(&(struct dcm_query){.kind = DCM_Q_SEARCH, .text = "SHOP-77-web"});
}

static void index_everywhere(uint32_t i)
{
	(void)i;
	ask_index(&(struct dcm_query){.kind = DCM_Q_SEARCH, .text = "shop"});
}

/* ---- collecting ------------------------------------------------------------------ */

struct document {
	char *s;
	size_t len;
};

static const struct document *document(const char *name)
{
	static struct {
		char name[64];
		struct document d;
	} known[4];
	char path[128];
	unsigned i = 0;
	FILE *f;

	while (i < 3 && known[i].d.s && strcmp(known[i].name, name) != 0)
		i++;
	if (known[i].d.s)
		return &known[i].d;
	snprintf(path, sizeof(path), "tests/data/engine/%s", name);
	f = fopen(path, "rb");
	known[i].d.s = malloc(1 << 20);
	if (!f || !known[i].d.s)
		die("cannot read %s: run this at the top of the tree", path);
	known[i].d.len = fread(known[i].d.s, 1, 1 << 20, f);
	fclose(f);
	snprintf(known[i].name, sizeof(known[i].name), "%s", name);
	return &known[i].d;
}

static void inspect_json(uint32_t i)
{
	const struct document *doc = document("docker-20.10-inspect-web.json");
	struct arena a = {0};
	struct decoded out;
	char err[DECODE_ERR];

	(void)i;
	must(decode_inspect(doc->s, doc->len, &a, &out, err) == 0, "an inspect");
	arena_free(&a);
}

static bool listed(const struct decoded *c, void *arg)
{
	(void)arg;
	sink += c->rec.name.len;
	return true;
}

static void list_json(uint32_t i)
{
	const struct document *doc = document("docker-20.10-list.json");
	struct arena a = {0};
	char err[DECODE_ERR];

	(void)i;
	must(decode_list(doc->s, doc->len, &a, listed, NULL, NULL, err) == 0, "a list");
	arena_free(&a);
}

static void stats_json(uint32_t i)
{
	const struct document *doc = document("docker-20.10-stats-web.json");
	struct stats_sample now;
	struct dcm_record r;
	char err[DECODE_ERR];

	(void)i;
	must(decode_stats(doc->s, doc->len, &now, err) == 0, "stats");
	record_out_init(&r);
	stats_to_record(NULL, &now, &r);
}

static void publish(uint32_t i, enum dcm_tier last)
{
	static uint32_t round;
	struct fleet_record *c = written[i % WRITTEN];

	fleet_record_change(c, ++round);
	fleet_put(&fleet, c, DCM_STATS, last);
	region_publish(fleet.shard);
}

static void publish_stats(uint32_t i)
{
	publish(i, DCM_STATS);
}

static void publish_record(uint32_t i)
{
	publish(i, DCM_COMPOSE);
}

/* ---- all of them ------------------------------------------------------------------- */

static const struct path {
	const char *name;
	void (*fn)(uint32_t i);
	uint32_t times;
} paths[] = {
	{"point-read-one-field", view_field, 1000},
	{"point-read-every-field", read_record, 1000},
	{"find-by-name", find_name, 1000},
	{"scan-by-status", scan_status, 5},
	{"scan-by-search", scan_search, 1},
	{"top-by-cpu", top_cpu, 5},
	{"index-label", index_label, 50},
	{"index-search", index_search, 20},
	{"index-search-everywhere", index_everywhere, 5},
	{"decode-inspect", inspect_json, 20},
	{"decode-list", list_json, 20},
	{"decode-stats", stats_json, 50},
	{"publish-stats", publish_stats, 500},
	{"publish-record", publish_record, 200},
};

/* Once without being counted: pages are touched and buffers made. */
static void run(const struct path *p)
{
	char label[64];

	snprintf(label, sizeof(label), "%s %u", p->name, p->times);
	p->fn(0);
	CALLGRIND_START_INSTRUMENTATION;
	CALLGRIND_ZERO_STATS;
	for (uint32_t i = 0; i < p->times; i++)
		p->fn(i);
	CALLGRIND_DUMP_STATS_AT(label);
	CALLGRIND_STOP_INSTRUMENTATION;
}

static void into_index(const uint8_t id[32], const struct dcm_record *r,
		       const struct record_buf tiers[DCM_TIERS])
{
	uint32_t doc =
	    index_put(ix, index_host(ix, 1, FLEET_HOST), (struct dcm_ref){1, 1, ++indexed, 2});

	(void)r;
	index_identify(ix, doc, id);
	for (int t = DCM_STATUS; t <= DCM_COMPOSE; t++)
		index_tier(ix, doc, (enum dcm_tier)t, (const uint8_t *)tiers[t].data,
			   (uint32_t)tiers[t].len);
}

static void hold(uint32_t n)
{
	fleet_make(&fleet, n, NULL);
	printf("%s %s\n", fleet.instance, fleet.runtime_dir);
	fflush(stdout);
	while (getchar() != EOF)
		;
	fleet_remove(&fleet);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "hold") == 0) {
		hold((uint32_t)strtoul(argv[2], NULL, 10));
		return 0;
	}
	if (argc != 1)
		die("usage: paths [hold CONTAINERS]");
	ix = index_new(1);
	fleet_make(&fleet, CONTAINERS, into_index);
	d = fleet_open(&fleet, DCM_NO_BROKER);
	dcm_record_init(&record);
	for (uint32_t i = 0; i < WRITTEN; i++)
		written[i] = fleet_record_new(i * (CONTAINERS / WRITTEN));
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		run(&paths[i]);
	for (uint32_t i = 0; i < WRITTEN; i++)
		fleet_record_free(written[i]);
	dcm_record_free(&record);
	dcm_refs_free(&found);
	dcm_close(&d);
	fleet_remove(&fleet);
	index_free(&ix);
	return 0;
}
