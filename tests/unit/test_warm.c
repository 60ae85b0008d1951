/* test_warm.c - a collector that comes back: what it finds in its snapshot or in
 * the region it left, what it shows of it, and what it must not. */
#pragma GCC diagnostic ignored "-Wunused-function" /* not all of the help is used */
#include "collector_help.h"

#include "../../collector/snapshot_disk.h"
#include "../../shm/snapshot.h"

enum { MAX = 64 << 20 };

static bool there(const char *name)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", state_dir, name);
	return lstat(path, &st) == 0;
}

/* The region goes, as after an orderly stop of dcmd, or with the machine. */
static void forget_region(void)
{
	char object[DCM_OBJECT_NAME_MAX];

	if (map.base)
		region_map_close(&map);
	memset(&map, 0, sizeof(map));
	for (uint32_t g = 1; g <= generation; g++) {
		names_shard(object, getuid(), instance, host.id, g);
		shm_unlink(object);
	}
	generation = 0;
}

static void engine_down(void)
{
	fake_down(&sim);
	events = held_list = NULL;
}

static void engine_up(void)
{
	char path[sizeof(sim.path)];

	memcpy(path, sim.path, sizeof(path));
	memset(&sim, 0, sizeof(sim));
	sim.handle = handle;
	fake_init(&sim, path);
}

static void crash(void)
{
	kill(collector, SIGKILL);
	waitpid(collector, NULL, 0);
	close(control);
	control = -1;
}

static struct snapshot_head head; /* of the snapshot last looked at */

/* The snapshot's content, unpacked; NULL where there is none. */
static uint8_t *content(size_t *len)
{
	char err[SNAPSHOT_DISK_ERR], why[SNAPSHOT_ERR];
	uint8_t *out;
	size_t n;
	void *file;

	if (snapshot_disk_read(state_dir, host.id, getuid(), MAX, &file, &n, err))
		return NULL;
	if (snapshot_open(file, n, host.id, MAX, &head, &out, len, why))
		fail_msg("%s", why);
	free(file);
	return out;
}

static bool saved(const char *text)
{
	size_t len;
	uint8_t *c = content(&len);
	bool found = c && memmem(c, len, text, strlen(text));

	free(c);
	return found;
}

static int64_t saved_containers(void)
{
	size_t len;
	uint8_t *c = content(&len);
	int64_t n = c ? snapshot_check(c, len) : -1;

	free(c);
	return n;
}

static void test_what_was_known_is_shown_at_once(void **state)
{
	double cached_at, at;

	(void)state;
	put(0, "web", "running");
	put(1, "job", "exited");
	fleet[0].project = "shop";
	start_online();
	UNTIL(saved_containers() == 2); /* while it runs, too */
	UNTIL(shown("web") && rec.memory_usage == 4000);
	cached_at = rec.cached_at;
	at = verified("web", DCM_CONFIG);
	assert_int_equal(stop(), 0);
	forget_region();
	engine_down();
	start(); /* "ready" comes after what is known */
	assert_true(status_is("web", "running") && status_is("job", "exited"));
	assert_true(shown("web"));
	assert_string_equal(rec.compose_project.s, "shop");
	assert_int_equal(rec.memory_usage, 4000);
	assert_true(rec.cached_at == cached_at);
	assert_true(fabs(verified("web", DCM_CONFIG) - at) < 0.2); /* more have passed since */
	UNTIL(state_now() == DCM_OFFLINE);
	assert_int_equal(row.containers, 2);
	assert_int_equal(row.running, 1);
	assert_int_equal(row.cpus, 2);
	assert_true(row.engine_version.len == 3);

	/* meanwhile one went, one came and one ended */
	fleet[1].present = false;
	fleet[0].status = "exited";
	put(2, "new", "created");
	engine_up();
	UNTIL(state_now() == DCM_ONLINE);
	UNTIL(status_is("web", "exited"));
	assert_false(shown("job"));
	assert_true(shown("new"));
	assert_true(shown("web") && rec.cached_at == cached_at);
	assert_int_equal(row.containers, 2);
	assert_int_equal(stop(), 0);
	assert_int_equal(saved_containers(), 2);
	assert_false(saved("job"));
}

/* The same run goes on: what was measured stays until it is measured again. */
static void test_stats_stay(void **state)
{
	(void)state;
	put(0, "web", "running");
	start_online();
	UNTIL(shown("web") && rec.memory_usage == 4000);
	assert_int_equal(stop(), 0);
	forget_region();
	fleet[0].inspect = HELD;
	start();
	UNTIL(fleet[0].held);
	assert_true(shown("web") && rec.memory_usage == 4000);
	inspect_reply(fleet[0].held, 0);
	UNTIL(state_now() == DCM_ONLINE);
	assert_true(shown("web") && rec.memory_usage == 4000);
}

static void test_no_secret_in_it(void **state)
{
	uint64_t token;

	(void)state;
	put(0, "web", "running");
	start_online();
	token = ask(CONTROL_LOGS, 0, 0);
	UNTIL(answer_to(token));
	assert_int_equal(stop(), 0);
	assert_true(saved("DB_PASSWORD") && saved("********") && saved("hello"));
	assert_false(saved(SECRET));
}

/* What new rules take out does not come back: from disk ... */
static void test_other_rules(void **state)
{
	(void)state;
	put(0, "web", "running");
	host.environment = ENV_FULL;
	start_online();
	assert_int_equal(stop(), 0);
	assert_true(saved(SECRET));
	forget_region();
	engine_down();
	host.environment = ENV_REDACT;
	start();
	assert_false(shown("web"));
	assert_false(there("sim.snap"));
	assert_false(anywhere(SECRET));
	engine_up();
	UNTIL(state_now() == DCM_ONLINE);
	UNTIL(saved("web"));
	assert_false(saved(SECRET));
	assert_int_equal(stop(), 0);

	/* another word alone is another rule */
	forget_region();
	engine_down();
	cache.n_redact = 0;
	start();
	assert_false(shown("web"));
}

/* ... and from a region that was left behind. */
static void test_other_rules_for_a_region(void **state)
{
	(void)state;
	put(0, "web", "running");
	host.environment = ENV_FULL;
	start_online();
	assert_true(anywhere(SECRET));
	UNTIL(saved(SECRET));
	crash();
	engine_down();
	host.environment = ENV_REDACT;
	start();
	assert_int_equal(generation, 2);
	assert_false(shown("web"));
	assert_false(anywhere(SECRET));
	engine_up();
	UNTIL(state_now() == DCM_ONLINE);
	assert_true(shown("web"));
	assert_false(anywhere(SECRET));
}

static void test_other_engine(void **state)
{
	static char elsewhere[] = "/tmp/dcm-test-nowhere.sock";
	char *here = host.at.path;

	(void)state;
	put(0, "web", "running");
	start_online();
	assert_int_equal(stop(), 0);
	forget_region();
	host.at.path = elsewhere;
	start();
	assert_false(shown("web"));
	UNTIL(state_now() == DCM_OFFLINE);
	assert_int_equal(stop(), 0); /* nothing is known: nothing is written */
	forget_region();
	host.at.path = here;
	engine_down();
	start();
	assert_true(shown("web"));
}

static void test_too_old(void **state)
{
	(void)state;
	put(0, "web", "running");
	start_online();
	assert_int_equal(stop(), 0);
	forget_region();
	engine_down();
	cache.disk_retention = 0;
	start();
	assert_false(shown("web"));
	assert_true(there("sim.snap"));
}

/* Written while the clock was ahead: it does not look fresh until then. */
static void test_clock_set_back(void **state)
{
	struct record_buf later = {0}, file = {0};
	char err[SNAPSHOT_DISK_ERR];
	struct region_item item;
	uint8_t *c;
	size_t len;
	struct mp m;

	(void)state;
	put(0, "web", "running");
	start_online();
	assert_int_equal(stop(), 0);
	forget_region();
	engine_down();
	c = content(&len);
	m = mp_of(c, len);
	while (snapshot_next(&m, &item) == 1) {
		for (int t = 0; t < DCM_TIERS; t++)
			item.tier[t].verified += item.tier[t].verified > 0 ? 1e6 : 0;
		assert_int_equal(snapshot_pack(&later, MAX, &item), 0);
	}
	head.time += 1e6;
	assert_int_equal(snapshot_seal(&head, &later, &file, MAX), 0);
	assert_int_equal(
		snapshot_disk_write(state_dir, host.id, file.data, file.len, head.time, err), 0);
	free(c);
	record_buf_free(&later);
	record_buf_free(&file);
	start();
	assert_true(verified("web", DCM_CONFIG) > 0);
	assert_true(verified("web", DCM_CONFIG) <= (double)time(NULL) + 2);
}

static void test_damaged(void **state)
{
	char path[256];
	int fd;

	(void)state;
	put(0, "web", "running");
	start_online();
	assert_int_equal(stop(), 0);
	forget_region();
	snprintf(path, sizeof(path), "%s/sim.snap", state_dir);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "?", 1, 200), 1);
	close(fd);
	engine_down();
	start();
	assert_false(shown("web"));
	assert_false(there("sim.snap"));
	assert_true(there("sim.snap.bad-1"));
	engine_up();
	UNTIL(state_now() == DCM_ONLINE);
	UNTIL(saved("web"));
	assert_true(there("sim.snap.bad-1"));
}

static void test_forget(void **state)
{
	uint64_t token;

	(void)state;
	put(0, "web", "running");
	start_online();
	UNTIL(saved("web"));
	fleet[0].inspect = HANGS;
	engine_down();
	UNTIL(state_now() == DCM_OFFLINE);
	token = ask(CONTROL_FORGET, 0, 0);
	UNTIL(answer_to(token));
	assert_false(there("sim.snap"));
	crash(); /* nor does the region's next writer bring it back */
	start();
	assert_false(shown("web"));
	assert_int_equal(stop(), 0);
	assert_false(there("sim.snap"));
	fleet[0].inspect = WELL;
	engine_up();
	start_online();
	UNTIL(saved("web"));
}

/* What leaves the memory for its age stays on the disk. */
static void test_expire(void **state)
{
	uint64_t token;

	(void)state;
	put(0, "web", "running");
	start_online();
	UNTIL(saved("web"));
	engine_down();
	UNTIL(state_now() == DCM_OFFLINE);
	token = ask(CONTROL_EXPIRE, 0, 0);
	UNTIL(answer_to(token));
	assert_false(shown("web"));
	assert_int_equal(row.containers, 1); /* as last looked at */
	assert_int_equal(state_now(), DCM_OFFLINE);
	assert_int_equal(row.containers, 0);
	assert_true(saved("web"));
	crash();
	start();
	assert_false(shown("web"));
	assert_int_equal(stop(), 0);
	assert_true(saved("web"));
	forget_region();
	start();
	assert_true(shown("web"));
}

static void test_expire_and_stop(void **state)
{
	uint64_t token;

	(void)state;
	put(0, "web", "running");
	start_online();
	UNTIL(saved("web"));
	engine_down();
	UNTIL(state_now() == DCM_OFFLINE);
	token = ask(CONTROL_EXPIRE, 0, 0);
	UNTIL(answer_to(token));
	assert_int_equal(stop(), 0);
	assert_true(saved("web"));
}

/* A region whose filling was cut short is not taken for the whole. */
static void test_half_filled_region(void **state)
{
	struct region_spec spec = {REGION_SHARD, getuid(), getgid(), instance, host_id, 0};
	struct dcm_str name = {"half", 4};
	uint8_t id[32] = {1};
	struct region *r;
	char err[256];

	(void)state;
	put(0, "web", "running");
	start_online();
	assert_int_equal(stop(), 0);
	forget_region();
	assert_int_equal(region_open(&r, &spec, NULL, err, sizeof(err)), 0);
	assert_int_equal(region_put(r, id, &name, NULL, NULL, 0), 0);
	region_close(&r, false);
	engine_down();
	start();
	assert_true(shown("web"));
	assert_false(shown("half"));
}

/* While the host is away nothing is written, so that its snapshot ages. */
static void test_away(void **state)
{
	char path[256];
	struct stat before, after;

	(void)state;
	host.stats = false; /* nothing changes by itself */
	put(0, "web", "running");
	start_online();
	UNTIL(saved("web"));
	run_for(200);
	snprintf(path, sizeof(path), "%s/sim.snap", state_dir);
	assert_int_equal(stat(path, &before), 0);
	engine_down();
	UNTIL(state_now() == DCM_OFFLINE);
	assert_int_equal(stop(), 0);
	forget_region();
	start();
	UNTIL(state_now() == DCM_OFFLINE);
	assert_true(shown("web"));
	assert_int_equal(stop(), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_true(before.st_ino == after.st_ino && before.st_mtime == after.st_mtime);
}


int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_what_was_known_is_shown_at_once),
		T(test_stats_stay),
		T(test_no_secret_in_it),
		T(test_other_rules),
		T(test_other_rules_for_a_region),
		T(test_other_engine),
		T(test_too_old),
		T(test_clock_set_back),
		T(test_damaged),
		T(test_forget),
		T(test_expire),
		T(test_expire_and_stop),
		T(test_half_filled_region),
		T(test_away),
	};

	return cmocka_run_group_tests_name("warm", tests, NULL, NULL);
}
