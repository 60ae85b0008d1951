/* test_dcm_life.c - libdcm as containers, shards, hosts and processes come and go. */
#include "dcm_world.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void test_stale_reference(void **state)
{
	struct dcm_record r;
	struct dcm_brief b;
	struct dcm_view v;
	struct dcm_ref ref, again;
	uint8_t id[32];

	(void)state;
	dcm_record_init(&r);
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	assert_int_equal(dcm_view(d, ref, DCM_STATS, &v), DCM_OK);
	make_id(1, id);
	assert_int_equal(region_remove(world.shard[0], id), 0);
	assert_false(dcm_view_ok(&v));
	assert_int_equal(dcm_read(d, ref, &r), DCM_ESTALE);
	assert_int_equal(dcm_view(d, ref, DCM_STATS, &v), DCM_ESTALE);
	assert_int_equal(dcm_brief_read(d, ref, &b), DCM_ESTALE);
	assert_non_null(strstr(dcm_error(d), "gone"));
	/* another container in the same entry is not this one */
	put_plain(world.shard[0], 2, "web", "running", 1, 1);
	assert_int_equal(dcm_find(d, "beta", "web", &again), DCM_OK);
	assert_int_equal(again.entry, ref.entry);
	assert_int_equal(dcm_read(d, ref, &r), DCM_ESTALE);
	assert_int_equal(dcm_read(d, again, &r), DCM_OK);
	/* nonsense is as good as gone */
	for (uint32_t i = 0; i < 40; i++) {
		struct dcm_ref bad = {i % 5, i % 3, i * 1000003, i * 77};

		assert_int_equal(dcm_read(d, bad, &r), DCM_ESTALE);
	}
	assert_int_equal(dcm_read(d, (struct dcm_ref){1, ref.shard_generation, 0, 0}, &r),
			 DCM_ESTALE);
	dcm_record_free(&r);
}

/* ---- shards that come and go -------------------------------------------- */

/* As a collector does that found damage: a new object, the old one is retired. */
static void replace_shard(int i, bool tell)
{
	char object[DCM_OBJECT_NAME_MAX];
	int fd;

	names_shard(object, getuid(), world.instance, world.host[i],
		    region_generation(world.shard[i]));
	region_close(&world.shard[i], false);
	fd = shm_open(object, O_RDWR, 0);
	assert_true(fd >= 0);
	/* its canary is not one: the next writer makes a new generation */
	assert_int_equal(pwrite(fd, "damaged!", 8, 8), 8);
	close(fd);
	world.shard[i] = world_region(&world, world.host[i]);
	if (tell)
		world_row(&world, i, true, region_generation(world.shard[i]));
}

static void test_shard_replaced(void **state)
{
	struct dcm_record r;
	struct dcm_ref ref, again;
	uint32_t before = region_generation(world.shard[0]);

	(void)state;
	dcm_record_init(&r);
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	put_plain(world.shard[0], 2, "gone", "running", 1, 1);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	assert_int_equal(dcm_find(d, "beta", "gone", &again), DCM_OK);
	replace_shard(0, true);
	assert_true(region_generation(world.shard[0]) > before);
	put_plain(world.shard[0], 5, "first", "running", 1, 1);
	put_plain(world.shard[0], 1, "web", "running", 99, 1);
	/* the old reference leads to the same container in the new shard */
	assert_int_equal(dcm_read(d, ref, &r), DCM_OK);
	assert_string_equal(r.name.s, "web");
	assert_true(r.cpu_percent == 99);
	assert_int_equal(dcm_read(d, again, &r), DCM_ESTALE);
	assert_int_equal(dcm_find(d, "beta", "web", &again), DCM_OK);
	assert_true(again.shard_generation != ref.shard_generation);
	dcm_record_free(&r);
}

/* A host that leaves the configuration, and one that takes its slot. */
static void test_host_removed(void **state)
{
	struct dcm_hosts h = {0};
	struct dcm_record r;
	struct dcm_ref ref;
	uint8_t id[32];

	(void)state;
	dcm_record_init(&r);
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	directory_host_id("beta", id);
	assert_int_equal(region_remove(world.dir, id), 0);
	region_publish(world.dir);
	region_close(&world.shard[0], true);
	assert_int_equal(dcm_read(d, ref, &r), DCM_ESTALE);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_ENOTFOUND);
	assert_int_equal(dcm_hosts_read(d, &h), DCM_OK);
	assert_int_equal(h.n, 1);
	world_host(&world, 0, "other");
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	assert_int_equal(dcm_read(d, ref, &r), DCM_ESTALE);
	assert_int_equal(dcm_find(d, "other", "web", &ref), DCM_OK);
	assert_int_equal(dcm_read(d, ref, &r), DCM_OK);
	assert_string_equal(r.host_id.s, "other");
	dcm_hosts_free(&h);
	dcm_record_free(&r);
}

/* Another host in the same slot, and nobody looked in between: what was mapped for
 * the first is not read for the second. */
static void test_host_replaced_unseen(void **state)
{
	struct dcm_ref ref;
	uint8_t id[32];

	(void)state;
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	directory_host_id("beta", id);
	assert_int_equal(region_remove(world.dir, id), 0);
	world_host(&world, 2, "other");
	assert_int_equal(region_generation(world.shard[2]), region_generation(world.shard[0]));
	assert_int_equal(dcm_find(d, "other", "web", &ref), DCM_ENOTFOUND);
	put_plain(world.shard[2], 9, "db", "running", 1, 1);
	assert_int_equal(dcm_find(d, "other", "db", &ref), DCM_OK);
}

/* The daemon stops in order, and another one starts: the handle says so at once, also
 * where it waits, and then reads what is new; a reference from before does not fit by accident. */
static void test_daemon_gone_and_back(void **state)
{
	struct dcm_query all = {.kind = DCM_Q_ALL};
	struct dcm_refs refs = {0};
	struct dcm_change c;
	struct dcm_record r;
	struct dcm_ref ref;

	(void)state;
	dcm_record_init(&r);
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	region_close(&world.shard[0], true);
	region_close(&world.shard[1], true);
	assert_int_equal(dcm_changes_next(d, &c, 0), DCM_ETIMEDOUT);
	assert_int_equal(dcm_wait(d, "alpha", 0), DCM_ETIMEDOUT);
	region_close(&world.dir, true);
	/* at once, from the memory itself, without a look at how old its beat is */
	assert_int_equal(dcm_changes_next(d, &c, -1), DCM_ENOTRUNNING);
	assert_int_equal(dcm_wait(d, "alpha", -1), DCM_ENOTRUNNING);
	assert_int_equal(dcm_wait(d, NULL, -1), DCM_ENOTRUNNING);
	assert_int_equal(dcm_query(d, &all, &refs), DCM_ENOTRUNNING);
	assert_non_null(strstr(dcm_error(d), "not running"));
	world.dir = world_region(&world, NULL);
	world_host(&world, 0, "beta");
	put_plain(world.shard[0], 2, "new", "running", 1, 1);
	assert_int_equal(dcm_query(d, &all, &refs), DCM_OK);
	assert_int_equal(refs.n, 1);
	assert_int_equal(dcm_read(d, ref, &r), DCM_ESTALE);
	assert_int_equal(dcm_read(d, refs.v[0], &r), DCM_OK);
	assert_string_equal(r.name.s, "new");
	dcm_refs_free(&refs);
	dcm_record_free(&r);
}

/* ---- processes and threads ---------------------------------------------- */

static void test_fork(void **state)
{
	struct dcm_ref ref;
	int status;
	pid_t pid;

	(void)state;
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	pid = fork();
	if (pid == 0) {
		struct dcm_options opt = {.size = sizeof(opt), .instance = world.instance,
					  .runtime_dir = world.runtime_dir};
		dcm *own;
		int rc;

		dcm_close(&d);
		rc = dcm_open(&own, &opt, NULL, 0);
		if (rc == DCM_OK)
			rc = dcm_find(own, "beta", "web", &ref);
		dcm_close(&own);
		_exit(rc);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
}

/* A handle a thread, while this thread writes: every record is whole. */
struct reading {
	pthread_t thread;
	_Atomic unsigned reads;
	unsigned wrong;
	_Atomic bool *stop;
};

static void *read_all_the_time(void *arg)
{
	struct reading *me = arg;
	struct dcm_options opt = {.size = sizeof(opt), .instance = world.instance,
				  .runtime_dir = world.runtime_dir, .flags = DCM_NO_BROKER};
	struct dcm_record r;
	struct dcm_ref ref;
	dcm *own;

	if (dcm_open(&own, &opt, NULL, 0) != DCM_OK) {
		me->wrong++;
		return NULL;
	}
	dcm_record_init(&r);
	while (!*me->stop) {
		int rc = dcm_find(own, "beta", "web", &ref);

		if (rc == DCM_OK)
			rc = dcm_read(own, ref, &r);
		if (rc == DCM_OK) {
			/* the status tier says twice how often it was written */
			me->wrong += r.restart_count != r.exit_code;
			me->wrong += r.cpu_percent != (double)r.memory_usage;
			me->reads++;
		} else if (rc != DCM_ESTALE && rc != DCM_EBUSY) {
			me->wrong++;
		}
	}
	dcm_record_free(&r);
	dcm_close(&own);
	return NULL;
}

static void test_threads(void **state)
{
	struct reading readers[3] = {0};
	_Atomic bool stop = false;
	struct dcm_record r;
	unsigned least = 0;

	(void)state;
	record_out_init(&r);
	r.name = text_of("web");
	r.status = text_of("running");
	r.restart_count = r.exit_code = r.memory_usage = 0;
	r.cpu_percent = 0;
	put_record(world.shard[0], 1, &r, ALL_TIERS, wall());
	for (int i = 0; i < 3; i++) {
		readers[i].stop = &stop;
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all_the_time,
						&readers[i]), 0);
	}
	for (int n = 1; least < 2000 && n < 5000000; n++) {
		r.restart_count = r.exit_code = r.memory_usage = n;
		r.cpu_percent = n;
		put_record(world.shard[0], 1, &r, 1u << DCM_STATUS | 1u << DCM_STATS, wall());
		if (n % 64 == 0)
			region_publish(world.shard[0]);
		least = UINT32_MAX;
		for (int i = 0; i < 3; i++) {
			unsigned reads = readers[i].reads;

			least = reads < least ? reads : least;
		}
	}
	stop = true;
	for (int i = 0; i < 3; i++)
		pthread_join(readers[i].thread, NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(readers[i].wrong, 0);
		assert_true(readers[i].reads >= 2000);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_stale_reference),
		TEST(test_shard_replaced),
		TEST(test_host_removed),
		TEST(test_host_replaced_unseen),
		TEST(test_daemon_gone_and_back),
		TEST(test_fork),
		TEST(test_threads),
	};

	return cmocka_run_group_tests_name("dcm_life", tests, NULL, NULL);
}
