/*
 * tsan_dcm.c - libdcm's threads under ThreadSanitizer: three readers, a handle
 * each, read while this process's first thread writes.  Exit status 0: no race,
 * and every record was whole.
 *
 * ThreadSanitizer goes by addresses, and a reader's mapping of a shard lies at
 * another address than the writer's.  So each handle is made to read where the
 * writer writes; else nothing could ever be seen.  What reads in place (views, and
 * queries that look into tiers) is left out: it reads plain bytes by design, and
 * throws away what was not true.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "../../shm/dcm_impl.h"
#include "../../shm/region_impl.h"
#include "../unit/dcm_help.h"

enum { CONTAINERS = 40, READERS = 3, ROUNDS = 1500 };

static struct world world;
static _Atomic bool stop;

struct reader {
	pthread_t thread;
	dcm *d;
	struct dcm_record record;
	struct dcm_refs refs;
	struct dcm_hosts hosts;
	unsigned reads, wrong;
};

static void check(struct reader *r, int rc)
{
	r->wrong += rc != DCM_OK && rc != DCM_ESTALE && rc != DCM_EBUSY && rc != DCM_ENOTFOUND &&
		    rc != DCM_ETIMEDOUT;
}

static void read_one(struct reader *r, struct dcm_ref ref)
{
	int rc = dcm_read(r->d, ref, &r->record);

	check(r, rc);
	if (rc != DCM_OK)
		return;
	r->reads++;
	/* each tier says the same twice, and the name says which container it is */
	r->wrong += r->record.restart_count != r->record.exit_code;
	r->wrong += r->record.cpu_percent != (double)r->record.memory_usage;
	r->wrong += !r->record.hostname.s || strcmp(r->record.hostname.s, r->record.name.s) != 0;
}

static void look_around(struct reader *r, unsigned n)
{
	static const enum dcm_query_kind kinds[] = {DCM_Q_ALL, DCM_Q_STATUS, DCM_Q_HEALTH,
						    DCM_Q_TOP_MEMORY};
	struct dcm_query q = {.kind = kinds[n % 4], .text = n % 4 == 1 ? "running" : "", .n = 5};
	struct dcm_change change;
	struct dcm_brief brief;
	struct dcm_ref ref;
	char name[16];

	check(r, dcm_query(r->d, &q, &r->refs));
	for (size_t i = 0; i < r->refs.n; i++)
		read_one(r, r->refs.v[i]);
	snprintf(name, sizeof(name), "c%u", n % CONTAINERS);
	if (dcm_find(r->d, "beta", name, &ref) == DCM_OK &&
	    dcm_brief_read(r->d, ref, &brief) == DCM_OK)
		r->wrong += brief.status != DCM_S_RUNNING || !(brief.cpu_percent >= 0);
	check(r, dcm_changes_next(r->d, &change, 0));
	if (n % 16 == 0)
		check(r, dcm_hosts_read(r->d, &r->hosts));
	if (n % 64 == 0)
		check(r, dcm_wait(r->d, "beta", 1));
}

/* The slot of the one host. */
static struct dcm_slot *slot_of(dcm *d)
{
	struct dcm_slot *s = NULL;
	uint32_t i;

	if (dcm_slot_of(d, "beta", &i) == DCM_OK && dcm_slot_shard(d, i, &s) == DCM_OK)
		return s;
	fail_msg("no shard: %s", dcm_error(d));
	return NULL;
}

static void *run(void *arg)
{
	struct reader *r = arg;
	struct dcm_slot *s;
	const uint8_t *own;

	r->d = world_reader(&world, DCM_NO_BROKER);
	dcm_record_init(&r->record);
	s = slot_of(r->d);
	own = s->map.base;
	s->map.base = world.shard[0]->base;
	s->map.h = world.shard[0]->h;
	for (unsigned n = 0; !stop; n++)
		look_around(r, n);
	dcm_record_free(&r->record);
	dcm_refs_free(&r->refs);
	dcm_hosts_free(&r->hosts);
	s->map.base = own; /* what is the handle's to unmap */
	dcm_close(&r->d);
	return NULL;
}

/* One container is written; now and then one is removed. */
static void write_one(unsigned round)
{
	struct dcm_record r;
	uint32_t n = round % CONTAINERS;
	char name[16];
	uint8_t id[32];

	if (round % 97 == 96) {
		make_id(n, id);
		region_remove(world.shard[0], id);
		return;
	}
	snprintf(name, sizeof(name), "c%u", n);
	record_out_init(&r);
	r.name = r.hostname = text_of(name);
	r.status = text_of("running");
	r.restart_count = r.exit_code = r.memory_usage = (int64_t)round;
	r.cpu_percent = round;
	put_record(world.shard[0], n, &r, ALL_TIERS, wall());
	if (round % 8 == 0)
		region_publish(world.shard[0]);
}

int main(void)
{
	struct reader readers[READERS] = {0};
	unsigned wrong = 0, reads = 0;

	world_open(&world);
	world_host(&world, 0, "beta");
	for (unsigned i = 0; i < CONTAINERS; i++)
		write_one(i);
	for (int i = 0; i < READERS; i++)
		if (pthread_create(&readers[i].thread, NULL, run, &readers[i]))
			return 2;
	for (unsigned i = 0; i < ROUNDS; i++) {
		write_one(i);
		usleep(500);
	}
	stop = true;
	for (int i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		wrong += readers[i].wrong;
		reads += readers[i].reads;
	}
	world_close(&world);
	printf("%sok %u records read by %d threads, %u wrong\n", wrong || !reads ? "not " : "",
	       reads, READERS, wrong);
	return wrong || !reads;
}
