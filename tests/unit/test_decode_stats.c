/* test_decode_stats.c - usage as `docker stats` shows it, and what has none. */
#include "decode_help.h"

static struct stats_sample text_sample(const char *json)
{
	struct stats_sample s;
	char err[DECODE_ERR] = "";

	if (decode_stats(json, strlen(json), &s, err) < 0)
		fail_msg("%s: %s", json, err);
	return s;
}

static struct stats_sample file_sample(const char *name)
{
	struct bytes b = load(name);
	struct stats_sample s = text_sample(b.p);

	free(b.p);
	return s;
}

static struct dcm_record record_of(const struct stats_sample *before,
				   const struct stats_sample *now)
{
	struct dcm_record r;

	/* Values of before must not stay. */
	memset(&r, 0x55, sizeof(r));
	r.cpu_percent = r.memory_percent = 55;
	stats_to_record(before, now, &r);
	return r;
}

static void assert_nothing_measured(const struct dcm_record *r)
{
	assert_true(isnan(r->cpu_percent));
	assert_true(isnan(r->memory_percent));
	assert_int_equal(r->memory_usage, DCM_UNKNOWN);
	assert_int_equal(r->network_rx, DCM_UNKNOWN);
	assert_int_equal(r->network_tx, DCM_UNKNOWN);
	assert_int_equal(r->block_read, DCM_UNKNOWN);
	assert_int_equal(r->block_write, DCM_UNKNOWN);
	assert_int_equal(r->pids, DCM_UNKNOWN);
}

static void one_shot(void **state)
{
	struct stats_sample s = file_sample("docker-20.10-stats-web.json");
	struct dcm_record r = record_of(NULL, &s);

	(void)state;
	assert_true(s.usable);
	assert_true(fabs(s.read - 1795415821.668639469) < 1e-6);
	assert_int_equal(s.cpu_total, 49554188);
	assert_int_equal(s.cpu_system, 3431590000000);
	assert_int_equal(s.online_cpus, 2);
	assert_int_equal(s.precpu_system, 0);
	assert_true(isnan(r.cpu_percent)); /* no sample before */
	assert_int_equal(r.memory_usage, 1363968);
	assert_true(fabs(r.memory_percent - 100.0 * 1363968 / 67108864) < 1e-9);
	assert_int_equal(r.network_rx, 1042 + 1096);
	assert_int_equal(r.network_tx, 0);
	assert_int_equal(r.block_read, 0);
	assert_int_equal(r.block_write, 0);
	assert_int_equal(r.pids, 1);
}

static void two_samples_in_one(void **state)
{
	struct stats_sample s = file_sample("docker-20.10-stats-two-samples.json");
	struct dcm_record r = record_of(NULL, &s);

	(void)state;
	assert_true(s.precpu_system > 0);
	assert_true(s.precpu_total <= s.cpu_total);
	assert_true(fabs(r.cpu_percent - (double)(s.cpu_total - s.precpu_total) /
					     (double)(s.cpu_system - s.precpu_system) * 200) <
		    1e-9);
}

static void without_a_network(void **state)
{
	struct stats_sample s = file_sample("docker-20.10-stats-hostnet.json");
	struct dcm_record r = record_of(NULL, &s);

	(void)state;
	assert_int_equal(r.network_rx, DCM_UNKNOWN);
	assert_int_equal(r.network_tx, DCM_UNKNOWN);
	assert_true(r.memory_usage > 0);
}

static void podman(void **state)
{
	struct stats_sample s = file_sample("podman-4.3-stats-running.json");
	struct dcm_record r = record_of(NULL, &s);

	(void)state;
	assert_true(s.usable);
	assert_int_equal(r.memory_usage, 1114112);
	assert_int_equal(s.memory_limit_in_force, 25276510208);
	assert_int_equal(r.network_rx, 0);
	assert_int_equal(r.pids, 1);
	assert_true(isnan(r.cpu_percent));
}

/* Its system_cpu_usage is what all control groups used: the clock is what counts. */
static void podman_cpu(void **state)
{
	static const char format[] =
	    "{\"read\":\"2024-05-01T12:00:0%d.5Z\",\"cpu_stats\":{\"cpu_usage\":{"
	    "\"total_usage\":%d00000000},\"system_cpu_usage\":%d00000000,\"online_cpus\":64,"
	    "\"cpu\":0},\"precpu_stats\":{\"system_cpu_usage\":5}}";
	struct stats_sample before, now;
	struct dcm_record r;
	char json[400];

	(void)state;
	snprintf(json, sizeof(json), format, 0, 10, 10);
	before = text_sample(json);
	snprintf(json, sizeof(json), format, 2, 20, 20);
	now = text_sample(json);
	r = record_of(&before, &now);
	assert_true(fabs(r.cpu_percent - 50) < 1e-3);
	r = record_of(NULL, &now);
	assert_true(isnan(r.cpu_percent));
}

static void not_running(void **state)
{
	static const char *const none[] = {"",
					   "\n",
					   "{}",
					   "{\"read\":\"x\"}",
					   "{\"read\":\"2024-01-01T00:00:00Z\"}",
					   "{\"read\":\"0001-01-01T00:00:00Z\","
					   "\"memory_stats\":{\"usage\":5,\"limit\":9}}"};
	struct stats_sample s = file_sample("docker-20.10-stats-done.json");
	struct stats_sample before = file_sample("docker-20.10-stats-web.json");
	struct dcm_record r = record_of(&before, &s);
	size_t i;

	(void)state;
	assert_false(s.usable);
	assert_nothing_measured(&r);
	for (i = 0; i < sizeof(none) / sizeof(*none); i++) {
		s = text_sample(none[i]);
		assert_false(s.usable);
		r = record_of(&before, &s);
		assert_nothing_measured(&r);
	}
}

#define READ "\"read\":\"2024-05-01T12:00:00.5Z\","

static struct stats_sample sample(uint64_t total, uint64_t system)
{
	char json[400];

	snprintf(json, sizeof(json),
		 "{" READ "\"cpu_stats\":{\"cpu_usage\":{\"total_usage\":%llu},"
		 "\"system_cpu_usage\":%llu,\"online_cpus\":4}}",
		 (unsigned long long)total, (unsigned long long)system);
	return text_sample(json);
}

static double cpu(uint64_t total0, uint64_t system0, uint64_t total1, uint64_t system1)
{
	struct stats_sample before = sample(total0, system0), now = sample(total1, system1);

	return record_of(&before, &now).cpu_percent;
}

static void cpu_percent(void **state)
{
	struct stats_sample now = sample(1500, 20000), stopped = {.usable = false};
	struct dcm_record r;

	(void)state;
	assert_true(fabs(cpu(1000, 10000, 1500, 20000) - 20.0) < 1e-9);
	assert_true(cpu(1000, 10000, 1000, 20000) == 0);   /* measured, and zero */
	assert_true(isnan(cpu(1000, 10000, 900, 20000)));  /* restarted between */
	assert_true(isnan(cpu(1000, 10000, 1500, 10000))); /* no time between */
	assert_true(isnan(cpu(1000, 10000, 1500, 9000)));
	/* Counters near the end of uint64 lose nothing. */
	assert_true(fabs(cpu(18446744073709550000u, 18446744073709540000u, 18446744073709551000u,
			     18446744073709550000u) -
			 40.0) < 1e-9);
	/* A sample of when it did not run is none to count from. */
	r = record_of(&stopped, &now);
	assert_true(isnan(r.cpu_percent));
}

static void online_cpus_of_old_engines(void **state)
{
	struct stats_sample s = text_sample(
	    "{" READ "\"cpu_stats\":{\"cpu_usage\":{\"total_usage\":1,\"percpu_usage\":[1,0,0]},"
	    "\"system_cpu_usage\":5,\"online_cpus\":0}}");

	(void)state;
	assert_int_equal(s.online_cpus, 3);
}

static int64_t memory(const char *stats)
{
	char json[400];
	struct stats_sample s;

	snprintf(json, sizeof(json),
		 "{" READ "\"memory_stats\":{\"usage\":1000,\"limit\":4000,"
		 "\"stats\":{%s}}}",
		 stats);
	s = text_sample(json);
	assert_true(s.usable);
	return record_of(NULL, &s).memory_usage;
}

static void memory_without_cache(void **state)
{
	struct stats_sample s;

	(void)state;
	assert_int_equal(memory("\"total_inactive_file\":300,\"inactive_file\":200"), 700);
	assert_int_equal(memory("\"inactive_file\":200"), 800);
	/* What is not smaller than usage is not taken off. */
	assert_int_equal(memory("\"total_inactive_file\":1000,\"inactive_file\":200"), 800);
	assert_int_equal(memory("\"inactive_file\":1000"), 1000);
	assert_int_equal(memory(""), 1000);
	s = text_sample("{" READ "\"memory_stats\":{\"usage\":1000,\"limit\":0}}");
	assert_true(isnan(record_of(NULL, &s).memory_percent));
	s = text_sample("{" READ "\"memory_stats\":{\"usage\":18446744073709551615,"
			"\"limit\":18446744073709551615}}");
	assert_int_equal(s.memory_usage, INT64_MAX);
	assert_true(fabs(record_of(NULL, &s).memory_percent - 100) < 1e-9);
}

static void block_io(void **state)
{
	struct stats_sample s = text_sample(
	    "{" READ "\"memory_stats\":{\"usage\":1},\"pids_stats\":{\"current\":7,"
	    "\"limit\":18446744073709551615},\"blkio_stats\":{\"io_service_bytes_recursive\":["
	    "{\"major\":8,\"minor\":0,\"op\":\"Read\",\"value\":100},{\"op\":\"read\",\"value\":5},"
	    "{\"op\":\"Write\",\"value\":7},{\"op\":\"Sync\",\"value\":9},"
	    "{\"op\":\"Total\",\"value\":11},null,{\"op\":\"\",\"value\":1}]}}");

	(void)state;
	assert_int_equal(s.block_read, 105);
	assert_int_equal(s.block_write, 7);
	assert_int_equal(s.pids, 7);
	s = text_sample("{" READ "\"memory_stats\":{\"usage\":1},"
			"\"blkio_stats\":{\"io_service_bytes_recursive\":null}}");
	assert_int_equal(s.block_read, 0);
	s = text_sample("{" READ "\"memory_stats\":{\"usage\":1},\"blkio_stats\":{}}");
	assert_int_equal(s.block_read, DCM_UNKNOWN);
	assert_int_equal(s.pids, DCM_UNKNOWN);
}

static void malformed(void **state)
{
	struct bytes b = load("docker-20.10-stats-web.json");
	struct stats_sample s;
	char err[DECODE_ERR];
	size_t i;

	(void)state;
	while (b.p[b.len - 1] != '}')
		b.len--;
	for (i = 1; i < b.len; i++) {
		char *exact = exact_copy(b.p, i);

		err[0] = 0;
		assert_int_equal(decode_stats(exact, i, &s, err), -1);
		assert_non_null(strstr(err, "stats"));
		assert_false(s.usable);
		free(exact);
	}
	free(b.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_shot),
	    cmocka_unit_test(two_samples_in_one),
	    cmocka_unit_test(without_a_network),
	    cmocka_unit_test(podman),
	    cmocka_unit_test(podman_cpu),
	    cmocka_unit_test(not_running),
	    cmocka_unit_test(cpu_percent),
	    cmocka_unit_test(online_cpus_of_old_engines),
	    cmocka_unit_test(memory_without_cache),
	    cmocka_unit_test(block_io),
	    cmocka_unit_test(malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
