/* test_sampler.c - stats, as the collector process gets them from a fake engine. */
#include "collector_help.h"

static void test_stats(void **state)
{
	(void)state;
	put(0, "web", "running");
	start_online();
	UNTIL(shown("web") && rec.memory_usage == 4000);
	assert_true(isnan(rec.cpu_percent)); /* of one sample nothing is known */
	UNTIL(shown("web") && !isnan(rec.cpu_percent)); /* the second comes by itself */
	assert_true(rec.cpu_percent == 50);
	assert_true(rec.memory_percent == 40);
	assert_int_equal(asked.stats, 2);
	fleet[0].status = "exited";
	event("die", 0);
	UNTIL(shown("web") && rec.memory_usage == DCM_UNKNOWN);
	assert_true(isnan(rec.cpu_percent));
	UNTIL(state_now() == DCM_ONLINE && row.running == 0);
	fleet[0].status = "running";
	fleet[0].started = "2026-01-01T00:09:00Z";
	fleet[0].cpu = 0;
	event("start", 0);
	UNTIL(shown("web") && rec.memory_usage == 4000);
	assert_true(isnan(rec.cpu_percent)); /* the sample of its former life is not used */
	UNTIL(shown("web") && rec.cpu_percent == 50);
	UNTIL(state_now() == DCM_ONLINE && row.cpu_percent == 50 && row.memory_usage == 4000);
}

/* An engine that refuses the stats of one that just ended is well; one that goes on
 * refusing is not. */
static void test_stats_refused(void **state)
{
	uint64_t token;

	(void)state;
	put(0, "web", "running");
	fleet[0].bad_stats = 1;
	start_online();
	UNTIL(shown("web") && rec.cpu_percent == 50);
	assert_int_equal(asked.stats, 3);
	assert_int_equal(state_now(), DCM_ONLINE);
	fleet[0].bad_stats = 2; /* once in each of two lives */
	fleet[0].started = "2026-01-01T00:08:00Z";
	event("restart", 0);
	UNTIL(fleet[0].bad_stats == 1);
	fleet[0].started = "2026-01-01T00:09:00Z";
	event("restart", 0);
	UNTIL(fleet[0].bad_stats == 0);
	UNTIL(state_now() == DCM_ONLINE && shown("web") && rec.memory_usage == 4000);
	assert_int_equal(row.errors, 0);
	UNTIL(shown("web") && rec.cpu_percent == 50);
	fleet[0].bad_stats = 2;
	token = ask(CONTROL_REFRESH, 0, 0);
	UNTIL(answer_to(token));
	assert_int_equal(state_now(), DCM_ONLINE);
	UNTIL(state_now() == DCM_DEGRADED);
	assert_non_null(strstr(row_error, "stats failed"));
	token = ask(CONTROL_REFRESH, 0, 0);
	UNTIL(answer_to(token) && state_now() == DCM_ONLINE);
}

/* An engine that answers late is asked for half as many at once. */
static void test_stats_of_a_busy_engine(void **state)
{
	static const char *const names[FLEET] = {"a", "b", "c", "d", "e", "f", "g", "h",
						 "i", "j", "k", "l", "m", "n", "o", "p"};

	(void)state;
	for (size_t i = 0; i < FLEET; i++)
		put(i, names[i], "running");
	cache.stats_concurrency = FLEET;
	cache.request_timeout = 12;
	hold_stats = true;
	start_online();
	UNTIL(asked.stats == FLEET);
	run_for(3100); /* a quarter of what it is given */
	stats_release();
	UNTIL(asked.stats == FLEET + FLEET / 2);
	run_for(300);
	assert_int_equal(asked.stats, FLEET + FLEET / 2);
	hold_stats = false;
	stats_release();
	UNTIL(asked.stats == 2 * FLEET);
	UNTIL(shown("a") && !isnan(rec.cpu_percent) && shown("p") && !isnan(rec.cpu_percent));
}

/* Restarted between two looks: its counters begin anew. */
static void test_stats_of_a_restart(void **state)
{
	(void)state;
	put(0, "web", "running");
	start_online();
	UNTIL(shown("web") && rec.cpu_percent == 50);
	fleet[0].started = "2026-01-01T00:09:00Z";
	fleet[0].cpu = 1000000000000;
	event("restart", 0);
	UNTIL(asked.stats == 3 && shown("web") && rec.memory_usage == 4000);
	assert_true(isnan(rec.cpu_percent));
	UNTIL(shown("web") && !isnan(rec.cpu_percent));
	assert_true(rec.cpu_percent == 50);
}

static void test_no_stats(void **state)
{
	uint64_t token;

	(void)state;
	host.stats = false;
	put(0, "web", "running");
	start_online();
	token = ask(CONTROL_REFRESH, 0, 0);
	UNTIL(answer_to(token));
	assert_int_equal(asked.stats, 0);
	assert_true(verified("web", DCM_STATS) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_stats),
		T(test_stats_refused),
		T(test_stats_of_a_busy_engine),
		T(test_stats_of_a_restart),
		T(test_no_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
