/* test_dcm_query.c - queries: the same answers in the same order, whether the
 * broker gives them or a scan, and whatever the broker does. */
#include "hand_broker.h"

static struct world world;
static dcm *d;
static struct dcm_refs refs;

/* Names of an answer, with commas, as "host/name". */
static const char *names(void)
{
	static char out[4096];
	struct dcm_record r;
	size_t len = 0;

	out[0] = '\0';
	dcm_record_init(&r);
	for (size_t i = 0; i < refs.n; i++) {
		assert_int_equal(dcm_read(d, refs.v[i], &r), DCM_OK);
		len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%s/%s", i ? "," : "",
					r.host_id.s, r.name.s);
	}
	dcm_record_free(&r);
	return out;
}

static const char *ask(enum dcm_query_kind kind, const char *text, const char *value)
{
	struct dcm_query q = {.kind = kind, .text = text, .value = value};

	assert_int_equal(dcm_query(d, &q, &refs), DCM_OK);
	return names();
}

static const char *ask_top(enum dcm_query_kind kind, uint32_t n)
{
	struct dcm_query q = {.kind = kind, .n = n};

	assert_int_equal(dcm_query(d, &q, &refs), DCM_OK);
	return names();
}

/* n, name, status, health, CPU, memory, project, label's value */
static void put(int host, uint32_t n, const char *name, const char *status, const char *health,
		double cpu, int64_t memory, const char *project, const char *label)
{
	struct dcm_network nets[] = {{.name = text_of(project ? project : "bridge")}};
	struct dcm_str binds[] = {text_of(project ? "/srv/data:/data:rw" : "/srv/database:/x:ro")};
	struct dcm_pair labels[] = {{{"tier", 4}, text_of(label)}};
	struct dcm_record r;

	record_out_init(&r);
	r.name = text_of(name);
	r.status = text_of(status);
	r.health_status = text_of(health);
	r.image = text_of(project ? "registry/Nginx:1.21" : "postgres:15");
	r.cpu_percent = cpu;
	r.memory_usage = memory;
	r.compose_project = text_of(project);
	r.labels = (struct dcm_map){labels, label != NULL, true};
	r.networks = (struct dcm_networks){nets, 1, true};
	r.bind_mounts = (struct dcm_strs){binds, 1, true};
	put_record(world.shard[host], n, &r, ALL_TIERS, wall());
	region_publish(world.shard[host]);
}

static int setup_with(unsigned flags)
{
	world_open(&world);
	world_host(&world, 0, "beta");
	world_host(&world, 1, "alpha");
	put(0, 0xa0000001, "web-1", "running", "healthy", 5, 100, "shop", "front");
	put(0, 0xa0000002, "web-10", "running", "unhealthy", 7, 400, "shop", "");
	put(0, 0xa0000003, "web", "exited", NULL, NAN, DCM_UNKNOWN, NULL, NULL);
	put(1, 0xb0000001, "zeta", "running", "starting", 5, 300, "shop", NULL);
	put(1, 0xb0000002, "Web-X", "paused", NULL, 0, 200, NULL, "front");
	put(1, 0xb0000003, "db", "running", NULL, 0, 200, NULL, NULL);
	d = world_reader(&world, flags);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(DCM_NO_BROKER);
}

static int teardown(void **state)
{
	(void)state;
	dcm_refs_free(&refs);
	dcm_close(&d);
	world_close(&world);
	return 0;
}

#define EVERYTHING "alpha/Web-X,alpha/db,alpha/zeta,beta/web,beta/web-1,beta/web-10"

static void check_queries(void)
{
	assert_string_equal(ask(DCM_Q_PROJECT, "shop", NULL), "alpha/zeta,beta/web-1,beta/web-10");
	assert_string_equal(ask(DCM_Q_PROJECT, "sho", NULL), "");
	assert_string_equal(ask(DCM_Q_LABEL, "tier", NULL), "alpha/Web-X,beta/web-1,beta/web-10");
	assert_string_equal(ask(DCM_Q_LABEL, "tier", "front"), "alpha/Web-X,beta/web-1");
	assert_string_equal(ask(DCM_Q_LABEL, "tier", ""), "beta/web-10");
	assert_string_equal(ask(DCM_Q_SEARCH, "WEB", NULL),
			    "alpha/Web-X,beta/web,beta/web-1,beta/web-10");
	assert_string_equal(ask(DCM_Q_SEARCH, "nginx", NULL), "alpha/zeta,beta/web-1,beta/web-10");
	assert_string_equal(ask(DCM_Q_SEARCH, "a0", NULL), "beta/web,beta/web-1,beta/web-10");
	assert_string_equal(ask(DCM_Q_SEARCH, NULL, NULL), EVERYTHING);
	assert_string_equal(ask(DCM_Q_MOUNT, "/srv/data", NULL),
			    "alpha/zeta,beta/web-1,beta/web-10");
	assert_string_equal(ask(DCM_Q_MOUNT, "/", NULL), EVERYTHING);
	assert_string_equal(ask(DCM_Q_NETWORK, "bridge", NULL), "alpha/Web-X,alpha/db,beta/web");
}

static void test_queries(void **state)
{
	struct dcm_query q = {.kind = DCM_Q_ALL, .host = "beta"};

	(void)state;
	check_queries();
	assert_false(refs.by_broker);
	assert_string_equal(ask(DCM_Q_ALL, NULL, NULL), EVERYTHING);
	assert_string_equal(ask(DCM_Q_STATUS, "running", NULL),
			    "alpha/db,alpha/zeta,beta/web-1,beta/web-10");
	assert_string_equal(ask(DCM_Q_STATUS, "dead", NULL), "");
	assert_string_equal(ask(DCM_Q_STATUS, "what", NULL), "");
	assert_string_equal(ask(DCM_Q_HEALTH, "healthy", NULL), "beta/web-1");
	assert_string_equal(ask(DCM_Q_HEALTH, "", NULL), "alpha/Web-X,alpha/db,beta/web");
	assert_int_equal(dcm_query(d, &q, &refs), DCM_OK);
	assert_string_equal(names(), "beta/web,beta/web-1,beta/web-10");
}

static void test_top(void **state)
{
	(void)state;
	assert_string_equal(ask_top(DCM_Q_TOP_CPU, 3), "beta/web-10,alpha/zeta,beta/web-1");
	assert_string_equal(ask_top(DCM_Q_TOP_CPU, 10),
			    "beta/web-10,alpha/zeta,beta/web-1,alpha/Web-X,alpha/db");
	assert_string_equal(ask_top(DCM_Q_TOP_MEMORY, 100),
			    "beta/web-10,alpha/zeta,alpha/Web-X,alpha/db,beta/web-1");
	assert_string_equal(ask_top(DCM_Q_TOP_MEMORY, 1), "beta/web-10");
	assert_string_equal(ask_top(DCM_Q_TOP_MEMORY, 0), "");
}

/* Values that a float32 cannot tell apart are in the records' order. */
static void test_top_by_exact_values(void **state)
{
	(void)state;
	put(0, 1, "a", "running", NULL, 50.00000001, 1, NULL, NULL);
	put(0, 2, "b", "running", NULL, 50.00000003, 1, NULL, NULL);
	put(0, 3, "c", "running", NULL, 50.00000002, 1, NULL, NULL);
	assert_string_equal(ask_top(DCM_Q_TOP_CPU, 3), "beta/b,beta/c,beta/a");
}

/* Many, against a plain sort. */
static int downwards(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x > *y ? -1 : *x < *y;
}

static void test_top_of_many(void **state)
{
	enum { N = 3000, TOP = 50 };
	static int64_t values[N];
	struct dcm_query q = {.kind = DCM_Q_TOP_MEMORY, .host = "alpha", .n = TOP};
	struct dcm_brief b;

	(void)state;
	srand(3);
	for (uint32_t i = 0; i < N; i++) {
		char name[32];

		snprintf(name, sizeof(name), "c%u", i);
		values[i] = 1000 + rand() % 100000;
		put_plain(world.shard[1], 0x10000 + i, name, "running", 1, values[i]);
	}
	qsort(values, N, sizeof(values[0]), downwards);
	assert_int_equal(dcm_query(d, &q, &refs), DCM_OK);
	assert_int_equal(refs.n, TOP);
	for (size_t i = 0; i < TOP; i++) {
		assert_int_equal(dcm_brief_read(d, refs.v[i], &b), DCM_OK);
		assert_true(b.memory_usage == values[i]);
	}
}

static void test_refused(void **state)
{
	struct dcm_query q = {.kind = DCM_Q_ALL, .host = "nowhere"};

	(void)state;
	assert_int_equal(dcm_query(d, &q, &refs), DCM_ENOTFOUND);
	assert_non_null(strstr(dcm_error(d), "nowhere"));
	q = (struct dcm_query){.kind = DCM_Q_LABEL};
	assert_int_equal(dcm_query(d, &q, &refs), DCM_EINVAL);
	q = (struct dcm_query){.kind = (enum dcm_query_kind)99};
	assert_int_equal(dcm_query(d, &q, &refs), DCM_EINVAL);
}

/* ---- with a broker ------------------------------------------------------- */

static struct hand_broker broker;

static void broker_start(enum broker_mood mood)
{
	hand_broker_start(&broker, &world, mood);
}

/* The reader's connection must be gone by then: it is what the broker waits on. */
static void broker_stop(void)
{
	dcm_close(&d);
	hand_broker_stop(&broker);
}

static int setup_broker(void **state)
{
	(void)state;
	return setup_with(0);
}

/* The answers are right whoever gives them; on a machine that is busy enough the
 * broker takes more than its 50 ms now and then. */
static void check_until_by_broker(void)
{
	for (int i = 0; i < 100; i++) {
		check_queries();
		if (refs.by_broker)
			return;
		poll(NULL, 0, 300);
	}
	fail_msg("the broker never answered");
}

static void test_broker_answers(void **state)
{
	unsigned before;

	(void)state;
	broker_start(ANSWERS);
	check_until_by_broker();
	/* what the digests decide is not asked for */
	before = broker.requests;
	assert_string_equal(ask(DCM_Q_ALL, NULL, NULL), EVERYTHING);
	assert_string_equal(ask_top(DCM_Q_TOP_CPU, 1), "beta/web-10");
	assert_int_equal(broker.requests, before);
	broker_stop();
}

/* Of many hosts a handle asks for the highest, until it has mapped them all. */
static void test_broker_of_many_hosts(void **state)
{
	unsigned before;
	char host[16];

	(void)state;
	for (int i = 2; i < WORLD_HOSTS; i++) {
		snprintf(host, sizeof(host), "h%02d", i);
		world_host(&world, i, host);
		put(i, 0xc0000000 + (unsigned)i, host, "running", NULL, i, i, NULL, NULL);
	}
	broker_start(ANSWERS);
	for (int i = 0; i < 100; i++) {
		assert_string_equal(ask_top(DCM_Q_TOP_CPU, 2), "h19/h19,h18/h18");
		if (refs.by_broker)
			break;
		dcm_close(&d);
		d = world_reader(&world, 0);
		poll(NULL, 0, 300);
	}
	assert_true(refs.by_broker);
	ask(DCM_Q_ALL, NULL, NULL);
	before = broker.requests;
	assert_string_equal(ask_top(DCM_Q_TOP_MEMORY, 1), "beta/web-10");
	assert_int_equal(broker.requests, before);
	broker_stop();
}

/* Whatever it does, the answers are right. */
static void misbehave(enum broker_mood mood, bool believed_alive)
{
	unsigned rounds = 0;

	broker_start(mood);
	do {
		check_queries();
		assert_false(refs.by_broker);
		if (broker.requests == 0)
			poll(NULL, 0, 300); /* a busy machine: it has not even begun */
	} while (broker.requests == 0 && ++rounds < 100);
	assert_true(broker.requests >= 1);
	/* it was left alone for a while after the first */
	if (!believed_alive)
		assert_true(broker.requests < 12);
	broker_stop();
}

static void test_broker_silent(void **state)
{
	(void)state;
	misbehave(SAYS_NOTHING, false);
}

static void test_broker_garbage(void **state)
{
	(void)state;
	misbehave(TALKS_GARBAGE, false);
}

static void test_broker_hangs_up(void **state)
{
	(void)state;
	misbehave(HANGS_UP, false);
}

static void test_broker_answers_another(void **state)
{
	(void)state;
	misbehave(ANSWERS_ANOTHER, false);
}

static void test_broker_lost(void **state)
{
	(void)state;
	misbehave(IS_LOST, true);
}

static void test_no_broker(void **state)
{
	(void)state;
	check_queries();
	assert_false(refs.by_broker);
}

/* One that went and came again is found at once: a dead connection costs nothing. */
static void test_broker_replaced(void **state)
{
	(void)state;
	broker_start(ANSWERS);
	check_until_by_broker();
	broker_stop();
	broker_start(ANSWERS);
	d = world_reader(&world, 0);
	check_until_by_broker();
	broker_stop();
}

/* ---- asking dcmd to act ------------------------------------------------- */

static void test_refresh(void **state)
{
	const char *hosts[] = {"beta"}, *unknown[] = {"nowhere"};
	struct dcm_outcome out[4];
	struct dcm_ref ref;
	size_t n = 9;

	(void)state;
	broker_start(ANSWERS);
	assert_int_equal(dcm_refresh(d, hosts, 1, 60000, out, 4, &n), DCM_OK);
	assert_int_equal(n, 1);
	assert_string_equal(out[0].host, "beta");
	assert_int_equal(broker.last.op, PROTOCOL_REFRESH);
	assert_int_equal(broker.last.n_hosts, 1);
	assert_true(str_is(broker.last.hosts[0], "beta"));
	assert_int_equal(dcm_refresh(d, NULL, 0, 60000, NULL, 0, NULL), DCM_OK);
	assert_int_equal(broker.last.n_hosts, 0);
	assert_int_equal(dcm_refresh(d, unknown, 1, 60000, NULL, 0, NULL), DCM_ENOTFOUND);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	assert_int_equal(dcm_logs(d, ref, 20, 60000), DCM_OK);
	assert_int_equal(broker.last.op, PROTOCOL_LOGS);
	assert_int_equal(broker.last.lines, 20);
	assert_int_equal(strncmp(broker.last.container, "a0000003", 8), 0);
	assert_int_equal(dcm_forget(d, "beta", 60000), DCM_OK);
	assert_int_equal(broker.last.op, PROTOCOL_FORGET);
	assert_int_equal(dcm_forget(d, "nowhere", 60000), DCM_ENOTFOUND);
	broker_stop();
}

static void test_refresh_fails(void **state)
{
	struct dcm_outcome out[1];
	size_t n;

	(void)state;
	assert_int_equal(dcm_refresh(d, NULL, 0, 60000, NULL, 0, NULL), DCM_EBROKER);
	assert_non_null(strstr(dcm_error(d), "broker"));
	broker_start(REFUSES);
	assert_int_equal(dcm_refresh(d, NULL, 0, 60000, out, 1, &n), DCM_EHOST);
	assert_string_equal(out[0].error, "no route to host");
	assert_string_equal(dcm_error(d), "beta: no route to host");
	broker_stop();
}

static void test_refresh_timed_out(void **state)
{
	(void)state;
	broker_start(SAYS_NOTHING);
	assert_int_equal(dcm_refresh(d, NULL, 0, 10, NULL, 0, NULL), DCM_ETIMEDOUT);
	broker_stop();
}

int main(void)
{
#define TEST(name, how) cmocka_unit_test_setup_teardown(name, how, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_queries, setup),
		TEST(test_top, setup),
		TEST(test_top_by_exact_values, setup),
		TEST(test_top_of_many, setup),
		TEST(test_refused, setup),
		TEST(test_broker_answers, setup_broker),
		TEST(test_broker_of_many_hosts, setup_broker),
		TEST(test_broker_silent, setup_broker),
		TEST(test_broker_garbage, setup_broker),
		TEST(test_broker_hangs_up, setup_broker),
		TEST(test_broker_answers_another, setup_broker),
		TEST(test_broker_lost, setup_broker),
		TEST(test_no_broker, setup_broker),
		TEST(test_broker_replaced, setup_broker),
		TEST(test_refresh, setup_broker),
		TEST(test_refresh_fails, setup_broker),
		TEST(test_refresh_timed_out, setup_broker),
	};

	return cmocka_run_group_tests_name("dcm_query", tests, NULL, NULL);
}
