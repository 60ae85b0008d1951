/* test_dcm.c - libdcm over an instance that this test writes: opening, hosts,
 * finding, views and records. */
#include <sys/wait.h>

#include "dcm_world.h"

/* ---- opening ------------------------------------------------------------ */

static int try_open(const char *runtime_dir, const char *instance, char *err, size_t errlen)
{
	struct dcm_options opt = {.size = sizeof(opt), .instance = instance,
				  .runtime_dir = runtime_dir};
	dcm *other;
	int rc = dcm_open(&other, &opt, err, errlen);

	assert_true((rc == DCM_OK) == (other != NULL));
	dcm_close(&other);
	return rc;
}

static void test_open_refusals(void **state)
{
	char err[512], path[160];
	struct dcm_options small = {.size = 1};
	dcm *other;

	(void)state;
	assert_int_equal(try_open(world.runtime_dir, "no-such", err, sizeof(err)), DCM_ENOTRUNNING);
	assert_non_null(strstr(err, "no-such"));
	assert_non_null(strstr(err, world.runtime_dir));
	assert_int_equal(try_open("/no/such/dir", world.instance, err, sizeof(err)),
			 DCM_ENOTRUNNING);
	assert_int_equal(try_open(world.runtime_dir, "../x", err, sizeof(err)), DCM_EINVAL);
	assert_int_equal(try_open(world.runtime_dir, "", err, sizeof(err)), DCM_EINVAL);
	assert_int_equal(try_open(world.runtime_dir, "no-such", NULL, 0), DCM_ENOTRUNNING);
	assert_int_equal(dcm_open(&other, &small, err, sizeof(err)), DCM_EINVAL);
	/* the directory is there, the memory is not */
	snprintf(path, sizeof(path), "%s/empty", world.runtime_dir);
	assert_int_equal(mkdir(path, 0750), 0);
	assert_int_equal(try_open(world.runtime_dir, "empty", err, sizeof(err)), DCM_ENOTRUNNING);
	rmdir(path);
	/* not a directory: somebody plays tricks */
	assert_int_equal(symlink("/tmp", path), 0);
	assert_int_equal(try_open(world.runtime_dir, "empty", err, sizeof(err)), DCM_EACCESS);
	unlink(path);
	if (getuid() == 0) {
		snprintf(path, sizeof(path), "%s/%s", world.runtime_dir, world.instance);
		assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
		assert_int_equal(try_open(world.runtime_dir, world.instance, err, sizeof(err)),
				 DCM_EACCESS);
		assert_non_null(strstr(err, "12345"));
		assert_int_equal(chown(path, 0, (gid_t)-1), 0);
	}
}

/* The environment names the instance where the caller does not. */
static void test_open_by_environment(void **state)
{
	struct dcm_options opt = {.size = sizeof(opt), .runtime_dir = world.runtime_dir};
	dcm *other;
	char err[512];

	(void)state;
	setenv("DCM_INSTANCE", world.instance, 1);
	assert_int_equal(dcm_open(&other, &opt, err, sizeof(err)), DCM_OK);
	dcm_close(&other);
	unsetenv("DCM_INSTANCE");
	assert_int_equal(dcm_open(&other, &opt, err, sizeof(err)), DCM_ENOTRUNNING);
	assert_non_null(strstr(err, "'default'"));
}

/* A stranger's user may not read; the sentence names the group. */
static void test_open_without_permission(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (getuid() != 0)
		skip();
	assert_int_equal(chmod(world.runtime_dir, 0750), 0);
	pid = fork();
	if (pid == 0) {
		char err[512];
		int rc;

		if (setgid(54321) || setuid(54321))
			_exit(10);
		rc = try_open(world.runtime_dir, world.instance, err, sizeof(err));
		_exit(rc == DCM_EACCESS && strstr(err, "group root") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- hosts and info ----------------------------------------------------- */

static void test_hosts(void **state)
{
	struct dcm_hosts h = {0};
	struct dcm_host *a;

	(void)state;
	assert_int_equal(dcm_hosts_read(d, &h), DCM_OK);
	assert_int_equal(h.n, 2);
	a = &h.v[0];
	assert_string_equal(a->id.s, "alpha");
	assert_string_equal(h.v[1].id.s, "beta");
	assert_int_equal(a->state, DCM_ONLINE);
	assert_int_equal(a->containers, 3);
	assert_in_range((int)a->age, 10, 60);
	assert_string_equal(a->engine_version.s, "24.0.7");
	assert_string_equal(a->transport.s, "unix");
	assert_null(a->error.s);
	assert_string_equal(a->description.s, "a host");
	assert_int_equal(a->tags.n, 2);
	assert_string_equal(a->tags.v[1].s, "west");
	assert_int_equal(a->restarts, 1);
	assert_int_equal(a->cpus, 8);
	assert_true(a->cpu_percent == 12.5);
	assert_true(a->memory_held >= 4096 && a->memory_used > 0);
	dcm_hosts_free(&h);
	assert_null(h.v);
	dcm_hosts_free(&h);
}

static void test_disabled_and_starting_hosts(void **state)
{
	struct dcm_query all = {.kind = DCM_Q_ALL}, one = {.kind = DCM_Q_ALL, .host = "beta"};
	struct dcm_hosts h = {0};
	struct dcm_refs refs = {0};
	struct dcm_ref ref;

	(void)state;
	put_plain(world.shard[0], 1, "web", "running", 1, 1);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	world_row(&world, 0, false, region_generation(world.shard[0]));
	snprintf(world.host[2], sizeof(world.host[2]), "gamma");
	world_row(&world, 2, true, 0);
	assert_int_equal(dcm_hosts_read(d, &h), DCM_OK);
	assert_int_equal(h.n, 3);
	assert_int_equal(h.v[1].state, DCM_DISABLED);
	assert_int_equal(h.v[1].containers, 0);
	assert_int_equal(h.v[2].state, DCM_STARTING);
	assert_true(h.v[2].containers == DCM_UNKNOWN);
	assert_true(isnan(h.v[2].age));
	dcm_hosts_free(&h);
	/* a disabled host has no containers, whatever its shard holds */
	assert_int_equal(dcm_query(d, &all, &refs), DCM_OK);
	assert_int_equal(refs.n, 0);
	assert_int_equal(dcm_query(d, &one, &refs), DCM_OK);
	assert_int_equal(refs.n, 0);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_ENOTFOUND);
	assert_int_equal(dcm_find(d, "gamma", "web", &ref), DCM_ENOTFOUND);
	world_row(&world, 0, true, region_generation(world.shard[0]));
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	dcm_refs_free(&refs);
}

static void test_info(void **state)
{
	struct dcm_info info;

	(void)state;
	assert_int_equal(dcm_info_read(d, &info), DCM_OK);
	assert_int_equal(info.supervisor_pid, 4711);
	assert_true(info.ttl[DCM_COMPOSE] == 7200);
	assert_string_equal(info.version, "0.1.0");
}

/* ---- finding ------------------------------------------------------------ */

static void test_find(void **state)
{
	struct dcm_ref ref, by_id;
	uint8_t id[32];
	char hex[65];

	(void)state;
	put_plain(world.shard[0], 0xabcd0001, "web-1", "running", 1, 1);
	put_plain(world.shard[0], 0xabcd0002, "web-2", "running", 1, 1);
	put_plain(world.shard[0], 0x12345678, "abcd", "running", 1, 1);
	assert_int_equal(dcm_find(d, "beta", "web-1", &ref), DCM_OK);
	make_id(0xabcd0001, id);
	assert_int_equal(dcm_find_id(d, "beta", id, &by_id), DCM_OK);
	assert_memory_equal(&ref, &by_id, sizeof(ref));
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02X", id[i]);
	assert_int_equal(dcm_find(d, "beta", hex, &by_id), DCM_OK);
	assert_memory_equal(&ref, &by_id, sizeof(ref));
	assert_int_equal(dcm_find(d, "beta", "abcd0001", &by_id), DCM_OK);
	assert_memory_equal(&ref, &by_id, sizeof(ref));
	assert_int_equal(dcm_find(d, "beta", "/web-1", &by_id), DCM_OK);
	assert_memory_equal(&ref, &by_id, sizeof(ref));
	/* a name goes before a prefix */
	assert_int_equal(dcm_find(d, "beta", "abcd", &by_id), DCM_OK);
	assert_true(by_id.entry != ref.entry);
	assert_int_equal(dcm_find(d, "beta", "abcd0", &by_id), DCM_EAMBIGUOUS);
	assert_non_null(strstr(dcm_error(d), "web-1"));
	assert_non_null(strstr(dcm_error(d), "web-2"));
	assert_int_equal(dcm_find(d, "beta", "123", &by_id), DCM_ENOTFOUND); /* too short */
	assert_int_equal(dcm_find(d, "beta", "/abcd0001", &by_id), DCM_ENOTFOUND); /* no name */
	assert_int_equal(dcm_find(d, "beta", "nothing", &by_id), DCM_ENOTFOUND);
	assert_int_equal(dcm_find(d, "beta", "", &by_id), DCM_EINVAL);
	assert_int_equal(dcm_find(d, "beta", NULL, &by_id), DCM_EINVAL);
	assert_int_equal(dcm_find(d, "delta", "web-1", &by_id), DCM_ENOTFOUND);
	assert_non_null(strstr(dcm_error(d), "alpha, beta"));
	assert_int_equal(dcm_find(d, "alpha", "web-1", &by_id), DCM_ENOTFOUND);
	make_id(99, id);
	assert_int_equal(dcm_find_id(d, "beta", id, &by_id), DCM_ENOTFOUND);
}

/* ---- views -------------------------------------------------------------- */

static void test_view(void **state)
{
	struct dcm_view v, old;
	struct dcm_ref ref;
	struct dcm_str s;
	int64_t i;
	double f;
	bool b;

	(void)state;
	put_plain(world.shard[0], 1, "web", "running", 12.5, 4096);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	assert_int_equal(dcm_view(d, ref, DCM_STATS, &v), DCM_OK);
	assert_true(dcm_view_float(&v, DCM_F_cpu_percent, &f));
	assert_true(f == 12.5);
	assert_true(dcm_view_int(&v, DCM_F_memory_usage, &i));
	assert_int_equal(i, 4096);
	assert_true(dcm_view_float(&v, DCM_F_cpu_percent, &f)); /* backwards */
	assert_false(dcm_view_int(&v, DCM_F_pids, &i));		/* null */
	assert_false(dcm_view_str(&v, DCM_F_memory_usage, &s)); /* another type */
	assert_false(dcm_view_str(&v, DCM_F_name, &s));		/* another tier */
	assert_false(dcm_view_bool(&v, DCM_F_oom_killed, &b));
	assert_true(dcm_view_ok(&v));
	old = v;
	put_plain(world.shard[0], 1, "web", "running", 13.5, 4096);
	assert_false(dcm_view_ok(&old));
	assert_int_equal(dcm_view(d, ref, DCM_STATS, &v), DCM_OK);
	assert_true(dcm_view_float(&v, DCM_F_cpu_percent, &f));
	assert_true(f == 13.5);
	assert_int_equal(dcm_view(d, ref, DCM_STATUS, &v), DCM_OK);
	assert_true(dcm_view_str(&v, DCM_F_name, &s));
	assert_true(str_is(s, "web"));
	assert_int_equal(dcm_view(d, ref, DCM_TIERS, &v), DCM_EINVAL);
}

static void test_view_of_an_unfilled_tier(void **state)
{
	struct dcm_record r;
	struct dcm_view v;
	struct dcm_ref ref;

	(void)state;
	record_out_init(&r);
	r.name = text_of("new");
	put_record(world.shard[0], 1, &r, 1u << DCM_STATUS, wall());
	assert_int_equal(dcm_find(d, "beta", "new", &ref), DCM_OK);
	assert_int_equal(dcm_view(d, ref, DCM_STATUS, &v), DCM_OK);
	assert_int_equal(dcm_view(d, ref, DCM_CONFIG, &v), DCM_ENOTFOUND);
	assert_non_null(strstr(dcm_error(d), "config"));
}

static void test_brief(void **state)
{
	struct dcm_brief b;
	struct dcm_ref ref;

	(void)state;
	put_plain(world.shard[0], 1, "web", "running", 12.5, 4096);
	put_plain(world.shard[0], 2, "off", "exited", NAN, DCM_UNKNOWN);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	assert_int_equal(dcm_brief_read(d, ref, &b), DCM_OK);
	assert_int_equal(b.status, DCM_S_RUNNING);
	assert_true(b.cpu_percent == 12.5);
	assert_int_equal(b.memory_usage, 4096);
	assert_int_equal(dcm_find(d, "beta", "off", &ref), DCM_OK);
	assert_int_equal(dcm_brief_read(d, ref, &b), DCM_OK);
	assert_int_equal(b.status, DCM_S_EXITED);
	assert_true(isnan(b.cpu_percent));
	assert_true(b.memory_usage == DCM_UNKNOWN);
}

/* ---- records ------------------------------------------------------------ */

static void test_read(void **state)
{
	static const struct dcm_pair env[] = {{{"A", 1}, {"1", 1}}, {{"B", 1}, {NULL, 0}}};
	struct dcm_record in, r;
	struct dcm_ref ref;
	char started[40];
	time_t at = time(NULL) - (2 * 86400 + 5 * 3600 + 30);

	(void)state;
	record_out_init(&in);
	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%S.123456789Z", gmtime(&at));
	in.name = text_of("web");
	in.status = text_of("running");
	in.started = text_of(started);
	in.container_id = text_of("0123");
	in.image = text_of("nginx");
	in.cpu_percent = 1.0 / 3;
	in.environment_vars = (struct dcm_map){env, 2, true};
	in.labels.known = true;
	in.last_updated = 5;
	put_record(world.shard[0], 7, &in, ALL_TIERS & ~(1u << DCM_LOGS), wall() - 130);
	assert_int_equal(dcm_find(d, "beta", "web", &ref), DCM_OK);
	dcm_record_init(&r);
	assert_int_equal(dcm_read(d, ref, &r), DCM_OK);
	assert_string_equal(r.host_id.s, "beta");
	assert_string_equal(r.name.s, "web");
	assert_string_equal(r.image.s, "nginx");
	assert_string_equal(r.container_id.s, "0123");
	assert_string_equal(r.uptime, "2d 5h");
	assert_true(r.cpu_percent == 1.0 / 3);
	assert_int_equal(r.environment_vars.n, 2);
	assert_string_equal(r.environment_vars.v[0].value.s, "1");
	assert_null(r.environment_vars.v[1].value.s);
	assert_true(r.labels.known && r.labels.n == 0);
	assert_false(r.log_tail.known);
	assert_true(r.freshness[DCM_STATS].stale);
	assert_in_range((int)r.freshness[DCM_STATS].age, 129, 200);
	assert_false(r.freshness[DCM_STATUS].stale);
	assert_true(isnan(r.freshness[DCM_LOGS].age));
	assert_true(fabs(r.last_updated - (wall() - 130)) < 60);
	/* the record stays when the container goes, and when it is read into anew */
	put_plain(world.shard[0], 8, "other", "exited", NAN, DCM_UNKNOWN);
	assert_string_equal(r.name.s, "web");
	assert_int_equal(dcm_find(d, "beta", "other", &ref), DCM_OK);
	assert_int_equal(dcm_read(d, ref, &r), DCM_OK);
	assert_string_equal(r.name.s, "other");
	assert_string_equal(r.uptime, "");
	assert_int_equal(strlen(r.container_id.s), 64); /* the CONFIG tier said null */
	assert_int_equal(strncmp(r.container_id.s, "00000008", 8), 0);
	dcm_record_free(&r);
	assert_null(r.name.s);
	dcm_record_free(&r);
}

/* Alone of what the list says: the rest is null, ages too. */
static void test_read_of_a_bare_container(void **state)
{
	struct dcm_record in, r;
	struct dcm_ref ref;
	struct dcm_text t = {0};

	(void)state;
	record_out_init(&in);
	in.name = text_of("new");
	in.status = text_of("created");
	in.cpu_percent = 3; /* what does not run has no stats */
	put_record(world.shard[0], 0xbeef, &in, 1u << DCM_STATUS | 1u << DCM_STATS, wall());
	assert_int_equal(dcm_find(d, "beta", "new", &ref), DCM_OK);
	dcm_record_init(&r);
	assert_int_equal(dcm_read(d, ref, &r), DCM_OK);
	assert_null(r.image.s);
	assert_true(isnan(r.cpu_percent));
	assert_true(isnan(r.freshness[DCM_CONFIG].age));
	assert_true(r.freshness[DCM_CONFIG].stale);
	assert_int_equal(dcm_record_json(&r, &t), DCM_OK);
	assert_non_null(strstr(t.s, "\"container_id\":\"0000beef"));
	assert_non_null(strstr(t.s, "\"config\":{\"age\":null,\"stale\":true}"));
	dcm_text_free(&t);
	dcm_record_free(&r);
}

/* Larger than the first block, with lists larger than their bytes. */
static void test_read_of_a_large_record(void **state)
{
	enum { N = 20000 };
	struct dcm_str *lines = calloc(N, sizeof(*lines));
	struct dcm_record in, r;
	struct dcm_ref ref;

	(void)state;
	assert_non_null(lines);
	for (int i = 0; i < N; i++)
		lines[i] = i % 2 ? text_of("line") : text_of("");
	record_out_init(&in);
	in.name = text_of("big");
	in.status = text_of("running");
	in.log_tail = (struct dcm_strs){lines, N, true};
	put_record(world.shard[0], 9, &in, ALL_TIERS, wall());
	assert_int_equal(dcm_find(d, "beta", "big", &ref), DCM_OK);
	dcm_record_init(&r);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(dcm_read(d, ref, &r), DCM_OK);
		assert_int_equal(r.log_tail.n, N);
		assert_string_equal(r.log_tail.v[N - 1].s, "line");
		assert_string_equal(r.log_tail.v[N - 2].s, "");
		assert_string_equal(r.name.s, "big");
	}
	dcm_record_free(&r);
	free(lines);
}

/* A record whose bytes are no record is told as damaged, and nothing breaks. */
static void test_damaged_record(void **state)
{
	struct region_tier t = {DCM_STATUS, "\xdf\xff\xff\xff\xff", 5, wall()};
	struct dcm_str name = text_of("bad");
	struct dcm_record r;
	struct dcm_ref ref;
	uint8_t id[32];

	(void)state;
	make_id(3, id);
	assert_int_equal(region_put(world.shard[0], id, &name, NULL, &t, 1), 0);
	assert_int_equal(dcm_find(d, "beta", "bad", &ref), DCM_OK);
	dcm_record_init(&r);
	assert_int_equal(dcm_read(d, ref, &r), DCM_ELAYOUT);
	assert_null(r.name.s);
	dcm_record_free(&r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_open_refusals),
		TEST(test_open_by_environment),
		TEST(test_open_without_permission),
		TEST(test_hosts),
		TEST(test_disabled_and_starting_hosts),
		TEST(test_info),
		TEST(test_find),
		TEST(test_view),
		TEST(test_view_of_an_unfilled_tier),
		TEST(test_brief),
		TEST(test_read),
		TEST(test_read_of_a_bare_container),
		TEST(test_read_of_a_large_record),
		TEST(test_damaged_record),
	};

	return cmocka_run_group_tests_name("dcm", tests, NULL, NULL);
}
