/*
 * bench_rates.c - how fast the collector's two halves are by themselves: engine's JSON to
 * C values, beside json-c alone on the same documents, and records into the memory.
 *
 *   bench_rates        at the top of the tree: it reads tests/data/engine
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../collector/decode.h"
#include "../../shm/region_write.h"
#include "fleet.h"
#include "measure.h"

enum { CONTAINERS = 2000, WRITTEN = 1000, ROUNDS = 7 };
static const double round_least = 0.3; /* s */

static struct fleet fleet;
static struct fleet_record *written[WRITTEN];
static struct document {
	char s[1 << 16];
	size_t len;
} inspect, list, stats;
static uint32_t listed; /* containers of the list */

static void read_document(struct document *d, const char *name)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "tests/data/engine/%s", name);
	f = fopen(path, "rb");
	if (!f)
		die("cannot read %s: run this at the top of the tree", path);
	d->len = fread(d->s, 1, sizeof(d->s) - 1, f);
	fclose(f);
}

/* ---- JSON --------------------------------------------------------------------------- */

static void decode_one(void)
{
	struct arena a = {0};
	struct decoded out;
	char err[DECODE_ERR];

	if (decode_inspect(inspect.s, inspect.len, &a, &out, err))
		die("an inspect: %s", err);
	arena_free(&a);
}

static bool count(const struct decoded *c, void *arg)
{
	(void)c;
	(void)arg;
	listed++;
	return true;
}

static void decode_all(void)
{
	struct arena a = {0};
	char err[DECODE_ERR];

	listed = 0;
	if (decode_list(list.s, list.len, &a, count, NULL, NULL, err))
		die("a list: %s", err);
	arena_free(&a);
}

static void decode_sample(void)
{
	struct stats_sample now;
	struct dcm_record r;
	char err[DECODE_ERR];

	if (decode_stats(stats.s, stats.len, &now, err))
		die("stats: %s", err);
	record_out_init(&r);
	stats_to_record(NULL, &now, &r);
}

static void json_alone(const struct document *d)
{
	struct json_tokener *t = json_tokener_new();
	struct json_object *o = t ? json_tokener_parse_ex(t, d->s, (int)d->len) : NULL;

	if (!o)
		die("json-c does not take a document");
	json_object_put(o);
	json_tokener_free(t);
}

static void json_inspect(void)
{
	json_alone(&inspect);
}

static void json_list(void)
{
	json_alone(&list);
}

static void json_stats(void)
{
	json_alone(&stats);
}

/* ---- the memory ---------------------------------------------------------------------- */

static void put(enum dcm_tier last)
{
	static uint32_t i, changed;
	struct fleet_record *c = written[i++ % WRITTEN];

	fleet_record_change(c, ++changed);
	fleet_put(&fleet, c, DCM_STATS, last);
	region_publish(fleet.shard);
}

static void put_stats(void)
{
	put(DCM_STATS);
}

static void put_record(void)
{
	put(DCM_COMPOSE);
}

/* ---- rates --------------------------------------------------------------------------- */

/* Calls a second of CPU time: the median of some rounds. */
static double rate(void (*fn)(void))
{
	double v[ROUNDS];

	for (int k = 0; k < ROUNDS; k++) {
		double begin = seconds_of(CLOCK_THREAD_CPUTIME_ID), took = 0;
		uint64_t n = 0;

		while (took < round_least) {
			for (int i = 0; i < 50; i++, n++)
				fn();
			took = seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin;
		}
		v[k] = (double)n / took;
	}
	return median(v, ROUNDS);
}

static void say(const char *what, double ours, const char *rival, double theirs, const char *unit)
{
	printf("row\trates of one core\t%s\t%.9g\t%s\t", what, ours, rival);
	if (theirs > 0)
		printf("%.9g", theirs);
	printf("\t%s\t\t\n", unit);
	fflush(stdout);
}

static void decoding(const char *what, void (*ours)(void), void (*alone)(void), size_t bytes,
		     uint32_t containers)
{
	double a = rate(ours), b = rate(alone);
	char text[64];

	snprintf(text, sizeof(text), "decode: %s", what);
	say(text, a * (double)bytes / 1e6, "json-c alone", b * (double)bytes / 1e6, "MB/s");
	say("… containers", a * containers, "", 0, "/s");
}

int main(void)
{
	read_document(&inspect, "docker-20.10-inspect-web.json");
	read_document(&list, "docker-20.10-list.json");
	read_document(&stats, "docker-20.10-stats-web.json");
	decode_all();
	decoding("inspect", decode_one, json_inspect, inspect.len, 1);
	decoding("list", decode_all, json_list, list.len, listed);
	decoding("stats", decode_sample, json_stats, stats.len, 1);
	fleet_make(&fleet, CONTAINERS, NULL);
	for (uint32_t i = 0; i < WRITTEN; i++)
		written[i] = fleet_record_new(i);
	say("publish: stats that changed, each by itself", rate(put_stats), "", 0, "records/s");
	say("publish: whole records that changed", rate(put_record), "", 0, "records/s");
	for (uint32_t i = 0; i < WRITTEN; i++)
		fleet_record_free(written[i]);
	fleet_remove(&fleet);
	return 0;
}
