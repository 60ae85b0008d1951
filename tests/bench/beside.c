/*
 * beside.c - see beside.h.  A writer updates the stats of containers as fast as it
 * can, and publishes (commits) every hundred; readers read one field of one container
 * after another.  What counts is the CPU's time of a read, and of an update.
 */
#include "beside.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../shm/region_write.h"
#include "fleet.h"
#include "measure.h"
#include "rivals.h"

enum { READERS_MAX = 64, WRITTEN = 500, BATCH = 100, ROUNDS = 5 };

/* One round of one side. */
struct crew {
	bool lmdb;
	struct fleet *f;
	struct rival *rival;
	struct fleet_record **written;
	const uint8_t *ids;
	uint32_t n;
	_Atomic bool stop;
	_Atomic uint64_t reads, read_ns, writes, write_ns;
};

static void count(_Atomic uint64_t *n, _Atomic uint64_t *ns, uint64_t done)
{
	*ns += (uint64_t)(seconds_of(CLOCK_THREAD_CPUTIME_ID) * 1e9);
	*n += done;
}

static void *write_dcm(void *arg)
{
	struct crew *c = arg;
	uint32_t i = 0;

	while (!c->stop) {
		struct fleet_record *r = c->written[i++ % WRITTEN];

		fleet_record_change(r, i);
		fleet_put(c->f, r, DCM_STATS, DCM_STATS);
		if (i % BATCH == 0) {
			region_publish(c->f->shard);
			region_beat(c->f->shard);
		}
	}
	count(&c->writes, &c->write_ns, i);
	return NULL;
}

static void *write_lmdb(void *arg)
{
	static uint8_t value[65536];
	struct crew *c = arg;
	uint32_t i = 0;

	while (!c->stop) {
		struct fleet_record *r = c->written[i++ % WRITTEN];

		fleet_record_change(r, i);
		lmdb_write(c->rival, fleet_record_id(r), value,
			   fleet_record_bytes(r, value, sizeof(value)));
		if (i % BATCH == 0)
			lmdb_commit(c->rival);
	}
	lmdb_commit(c->rival);
	count(&c->writes, &c->write_ns, i);
	return NULL;
}

static void *read_dcm(void *arg)
{
	struct crew *c = arg;
	dcm *d = fleet_open(c->f, DCM_NO_BROKER);
	uint64_t i = 0, lost = 0;
	struct dcm_ref ref;
	struct dcm_view v;
	double cpu;

	while (!c->stop) {
		bool ok = dcm_find_id(d, FLEET_HOST, c->ids + 32 * (i++ % c->n), &ref) == DCM_OK &&
			  dcm_view(d, ref, DCM_STATS, &v) == DCM_OK;

		if (ok) {
			dcm_view_float(&v, DCM_F_cpu_percent, &cpu);
			ok = dcm_view_ok(&v);
		}
		lost += !ok; /* changed while it was read: a program would read again */
	}
	count(&c->reads, &c->read_ns, i - lost);
	dcm_close(&d);
	return NULL;
}

static void *read_lmdb(void *arg)
{
	struct crew *c = arg;
	struct lmdb_reader *l = lmdb_reader_new(c->rival);
	uint64_t i = 0, sum = 0;

	while (!c->stop)
		sum += lmdb_reader_get(l, c->ids + 32 * (i++ % c->n));
	count(&c->reads, &c->read_ns, i + (sum == 1));
	lmdb_reader_free(l);
	return NULL;
}

static void one_round(struct crew *c, unsigned readers, double seconds)
{
	pthread_t writer, reader[READERS_MAX];

	c->stop = false;
	c->reads = c->read_ns = c->writes = c->write_ns = 0;
	if (pthread_create(&writer, NULL, c->lmdb ? write_lmdb : write_dcm, c) != 0)
		die("no thread");
	for (unsigned i = 0; i < readers; i++)
		if (pthread_create(&reader[i], NULL, c->lmdb ? read_lmdb : read_dcm, c) != 0)
			die("no thread");
	usleep((useconds_t)(seconds * 1e6));
	c->stop = true;
	pthread_join(writer, NULL);
	for (unsigned i = 0; i < readers; i++)
		pthread_join(reader[i], NULL);
}

static void rows(struct crew c, unsigned readers, double seconds)
{
	double read[2][ROUNDS], written[2][ROUNDS];
	char what[80], rate[80];
	struct row r = {.what = what, .rival_name = "LMDB get, new transaction"};
	struct row w = {.what = rate, .rival_name = "LMDB put, commit each 100"};

	for (int i = 0; i < 2 * ROUNDS; i++) {
		c.lmdb = i % 2;
		one_round(&c, readers, seconds / (2 * ROUNDS));
		read[i % 2][i / 2] = (double)c.read_ns * 1e-9 / (double)c.reads;
		written[i % 2][i / 2] = (double)c.write_ns * 1e-9 / (double)c.writes;
	}
	snprintf(what, sizeof(what), "point read by %u beside a writer", readers);
	snprintf(rate, sizeof(rate), "update of stats beside %u readers", readers);
	say_row("reading", &r, median(read[0], ROUNDS), median(read[1], ROUNDS));
	say_row("reading", &w, median(written[0], ROUNDS), median(written[1], ROUNDS));
}

void beside_writer(struct fleet *f, struct rival *lmdb, uint32_t containers, const uint8_t *ids,
		   uint32_t n, double seconds)
{
	struct fleet_record *written[WRITTEN];
	struct crew c = {.f = f, .rival = lmdb, .written = written, .ids = ids, .n = n};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	for (uint32_t i = 0; i < WRITTEN; i++)
		written[i] = fleet_record_new(i * (containers / WRITTEN));
	lmdb_begin_writing(lmdb);
	rows(c, 1, seconds);
	if (cpus > 1)
		rows(c, cpus < READERS_MAX ? (unsigned)cpus : READERS_MAX, seconds);
	for (uint32_t i = 0; i < WRITTEN; i++)
		fleet_record_free(written[i]);
}
