/* test_dcm_changes.c - changes and waiting for them, over an instance that this
 * test writes. */
#include "dcm_world.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "../../shm/layout.h"

static void none(void)
{
	struct dcm_change c;

	assert_int_equal(dcm_changes_next(d, &c, 0), DCM_ETIMEDOUT);
}

static struct dcm_change next_of(enum dcm_change_kind kind, const char *host)
{
	struct dcm_change c;

	assert_int_equal(dcm_changes_next(d, &c, 0), DCM_OK);
	assert_int_equal(c.kind, kind);
	if (host)
		assert_true(str_is(c.host_id, host));
	else
		assert_null(c.host_id.s);
	return c;
}

static void test_life_of_a_container(void **state)
{
	struct dcm_change c;
	struct dcm_ref ref;
	uint8_t id[32];

	(void)state;
	put_plain(world.shard[0], 9, "before", "running", 1, 1);
	none(); /* from here on */
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	c = next_of(DCM_APPEARED, "beta");
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	assert_memory_equal(&c.ref, &ref, sizeof(ref));
	none();
	put_plain(world.shard[0], 1, "web", "running", 2, 1);
	c = next_of(DCM_UPDATED, "beta");
	assert_int_equal(c.tiers, 1u << DCM_STATS);
	assert_memory_equal(&c.ref, &ref, sizeof(ref));
	put_plain(world.shard[0], 1, "web", "running", 2, 1); /* nothing new */
	none();
	put_plain(world.shard[1], 5, "db", "running", 2, 1);
	next_of(DCM_APPEARED, "alpha");
	make_id(1, id);
	assert_int_equal(region_remove(world.shard[0], id), 0);
	c = next_of(DCM_REMOVED, "beta");
	assert_memory_equal(&c.ref, &ref, sizeof(ref));
	none();
}

/* Gone before anyone looked: only its end is told, and it is another's entry. */
static void test_overtaken(void **state)
{
	struct dcm_change c;
	struct dcm_ref ref;
	uint8_t id[32];

	(void)state;
	none();
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	make_id(1, id);
	assert_int_equal(region_remove(world.shard[0], id), 0);
	put_plain(world.shard[0], 2, "web", "running", 1, 1);
	c = next_of(DCM_REMOVED, "beta");
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	assert_int_equal(c.ref.entry, ref.entry);
	assert_true(c.ref.entry_generation != ref.entry_generation);
	c = next_of(DCM_APPEARED, "beta");
	assert_memory_equal(&c.ref, &ref, sizeof(ref));
	none();
}

static void test_missed_too_much(void **state)
{
	(void)state;
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	none();
	for (int i = 0; i < DCM_CHANGES + 5; i++)
		put_plain(world.shard[0], 1, "web", "running", i + 2, 1);
	next_of(DCM_RESYNC, "beta");
	none();
	/* one less than the ring holds is told one by one */
	for (int i = 0; i < DCM_CHANGES - 1; i++)
		put_plain(world.shard[0], 1, "web", "running", -i, 1);
	for (int i = 0; i < DCM_CHANGES - 1; i++)
		next_of(DCM_UPDATED, "beta");
	none();
}

static void test_forgotten(void **state)
{
	(void)state;
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	none();
	assert_int_equal(region_clear(world.shard[0]), 0);
	next_of(DCM_RESYNC, "beta");
	none();
}

static void test_hosts_come_and_go(void **state)
{
	uint8_t id[32];

	(void)state;
	none();
	world_host(&world, 2, "gamma");
	next_of(DCM_HOST, "gamma");
	next_of(DCM_RESYNC, "gamma");
	none();
	put_plain(world.shard[2], 1, "web", "running", 1, 1);
	next_of(DCM_APPEARED, "gamma");
	/* its row changes */
	struct dcm_host row = {.state = DCM_OFFLINE, .error = {"refused", 7}};
	struct record_buf b = {0};

	assert_int_equal(record_encode_host(&row, DCM_STATUS, &b), 0);
	struct region_tier t = {DCM_STATUS, b.data, (uint32_t)b.len, wall()};

	assert_int_equal(region_put_self(world.shard[2], &t, 1), 0);
	next_of(DCM_HOST, "gamma");
	record_buf_free(&b);
	/* disabled: a change of the directory, and its containers are void */
	world_row(&world, 2, false, region_generation(world.shard[2]));
	next_of(DCM_HOST, "gamma");
	next_of(DCM_RESYNC, "gamma");
	none();
	directory_host_id("gamma", id);
	assert_int_equal(region_remove(world.dir, id), 0);
	region_publish(world.dir);
	next_of(DCM_HOST, "gamma");
	none();
}

/* ---- waiting ------------------------------------------------------------ */

/* Writes one container a while from now. */
static void *write_later(void *arg)
{
	poll(NULL, 0, 30);
	put_plain(arg, 77, "late", "running", 1, 1);
	return NULL;
}

static void test_waits_for_a_change(void **state)
{
	struct dcm_change c;
	pthread_t t;

	(void)state;
	none();
	assert_int_equal(pthread_create(&t, NULL, write_later, world.shard[0]), 0);
	assert_int_equal(dcm_changes_next(d, &c, -1), DCM_OK);
	assert_int_equal(c.kind, DCM_APPEARED);
	pthread_join(t, NULL);
	assert_int_equal(dcm_changes_next(d, &c, 30), DCM_ETIMEDOUT);
}

static void test_wait(void **state)
{
	pthread_t t;

	(void)state;
	assert_int_equal(dcm_wait(d, "beta", 0), DCM_ETIMEDOUT);
	assert_int_equal(pthread_create(&t, NULL, write_later, world.shard[0]), 0);
	assert_int_equal(dcm_wait(d, "beta", -1), DCM_OK);
	pthread_join(t, NULL);
	assert_int_equal(dcm_wait(d, "beta", 0), DCM_ETIMEDOUT);
	/* what came between two waits is told */
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	assert_int_equal(dcm_wait(d, "beta", 0), DCM_OK);
	assert_int_equal(dcm_wait(d, "nowhere", 0), DCM_ENOTFOUND);
	/* any host */
	assert_int_equal(dcm_wait(d, NULL, 0), DCM_ETIMEDOUT);
	put_plain(world.shard[1], 1, "web", "running", 1, 1);
	assert_int_equal(dcm_wait(d, NULL, -1), DCM_OK);
	assert_int_equal(dcm_wait(d, NULL, 20), DCM_ETIMEDOUT);
}

static void test_descriptor(void **state)
{
	int fd = dcm_changes_fd(d);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(dcm_changes_fd(d), fd);
	none();
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	assert_int_equal(poll(&p, 1, -1), 1);
	next_of(DCM_APPEARED, "beta");
	none();
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* A signal ends the longest wait, so that a program can look at its flags. */
static void test_signal_ends_a_wait(void **state)
{
	struct sigaction sa = {.sa_handler = on_alarm}, old;
	struct itimerval often = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}};
	struct dcm_change c;

	(void)state;
	none();
	assert_int_equal(dcm_wait(d, "beta", 0), DCM_ETIMEDOUT);
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &often, NULL);
	assert_int_equal(dcm_changes_next(d, &c, -1), DCM_ETIMEDOUT);
	assert_int_equal(dcm_wait(d, "beta", -1), DCM_ETIMEDOUT);
	assert_int_equal(dcm_wait(d, NULL, -1), DCM_ETIMEDOUT);
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_life_of_a_container),
		TEST(test_overtaken),
		TEST(test_missed_too_much),
		TEST(test_forgotten),
		TEST(test_hosts_come_and_go),
		TEST(test_waits_for_a_change),
		TEST(test_wait),
		TEST(test_descriptor),
		TEST(test_signal_ends_a_wait),
	};

	return cmocka_run_group_tests_name("dcm_changes", tests, NULL, NULL);
}
