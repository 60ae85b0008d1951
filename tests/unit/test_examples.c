/* test_examples.c - runs the programs of docs/examples/ beside an instance made by
 * hand, and reads what they print. */
#include "hand_broker.h"

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static struct world world;
static struct hand_broker broker;

static int setup(void **state)
{
	struct dcm_pair labels[] = {{{"tier", 4}, {"front", 5}}};
	struct dcm_record r;

	(void)state;
	world_open(&world);
	world_host(&world, 0, "beta");
	world_host(&world, 1, "alpha");
	record_out_init(&r);
	r.name = text_of("web");
	r.status = text_of("running");
	r.pid = 4711;
	r.cpu_percent = 12.5;
	r.labels = (struct dcm_map){labels, 1, true};
	put_record(world.shard[0], 0xabcdef01, &r, ALL_TIERS, wall());
	region_publish(world.shard[0]);
	put_plain(world.shard[1], 2, "db", "running", 40, 1);
	put_plain(world.shard[1], 3, "off", "exited", NAN, DCM_UNKNOWN);
	setenv("DCM_RUNTIME_DIR", world.runtime_dir, 1);
	setenv("DCM_INSTANCE", world.instance, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close(&world);
	return 0;
}

/* A program that runs; its output comes through `out`, its input ends with `in`. */
struct running {
	pid_t pid;
	int in, out;
};

static struct running start(const char *const argv[])
{
	char self[PATH_MAX], path[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	posix_spawn_file_actions_t fa;
	struct running p;
	int in[2], out[2];

	assert_true(n > 0);
	self[n] = '\0';
	snprintf(path, sizeof(path), "%s/../examples/%s", dirname(self), argv[0]);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, in[0], 0);
	posix_spawn_file_actions_adddup2(&fa, out[1], 1);
	posix_spawn_file_actions_adddup2(&fa, out[1], 2);
	if (posix_spawn(&p.pid, path, &fa, NULL, (char *const *)(uintptr_t)argv, environ) != 0)
		fail_msg("cannot run %s", path);
	posix_spawn_file_actions_destroy(&fa);
	close(in[0]);
	close(out[1]);
	p.in = in[1];
	p.out = out[0];
	return p;
}

/* Reads until the output holds `until` (NULL: to its end). */
static const char *output(struct running *p, const char *until)
{
	static char text[65536];
	size_t len = 0;
	ssize_t n;

	text[0] = '\0';
	while ((!until || !strstr(text, until)) && len < sizeof(text) - 1 &&
	       (n = read(p->out, text + len, sizeof(text) - 1 - len)) > 0) {
		len += (size_t)n;
		text[len] = '\0';
	}
	if (until && !strstr(text, until))
		fail_msg("no '%s' in: %s", until, text);
	return text;
}

static int finish(struct running *p)
{
	int status;

	close(p->in);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	close(p->out);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Runs to the end; the output must hold each of `wants` (up to NULL). */
static void runs(int status, const char *const argv[], const char *const *wants)
{
	struct running p = start(argv);
	const char *text = output(&p, NULL);

	for (; *wants; wants++)
		if (!strstr(text, *wants))
			fail_msg("%s: no '%s' in: %s", argv[0], *wants, text);
	if (finish(&p) != status)
		fail_msg("%s: another exit status than %d; it said: %s", argv[0], status, text);
}
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SAYS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_reading(void **state)
{
	(void)state;
	runs(0, ARGS("hosts"), SAYS("alpha", "beta", "online", "3 containers"));
	runs(0, ARGS("list"), SAYS("alpha\t00000002", "beta\tabcdef01", "\tweb\trunning"));
	runs(0, ARGS("list", "alpha"), SAYS("db\trunning", "off\texited"));
	runs(1, ARGS("list", "nowhere"), SAYS("no such host 'nowhere'"));
	runs(0, ARGS("get", "beta", "abcd"), SAYS("\"name\":\"web\"", "\"cpu_percent\":12.5"));
	runs(1, ARGS("get", "beta", "nothing"), SAYS("no container 'nothing'"));
	runs(0, ARGS("view", "beta", "web"), SAYS("running, pid 4711"));
	runs(0, ARGS("view", "alpha", "off"), SAYS("exited\n"));
	runs(0, ARGS("label", "tier=front"), SAYS("beta/web\n"));
	runs(0, ARGS("label", "tier"), SAYS("beta/web\n"));
	runs(0, ARGS("top", "1"), SAYS("40.00% alpha/db"));
}

static void test_not_running(void **state)
{
	(void)state;
	setenv("DCM_INSTANCE", "another", 1);
	runs(1, ARGS("hosts"), SAYS("dcm is not running", "another"));
	setenv("DCM_INSTANCE", world.instance, 1);
}

static void test_watch(void **state)
{
	struct running p = start(ARGS("watch"));

	(void)state;
	output(&p, "there beta/web");
	put_plain(world.shard[0], 7, "late", "running", 1, 1);
	output(&p, "appeared beta/late running");
	put_plain(world.shard[0], 7, "late", "paused", 1, 1);
	output(&p, "updated beta/late paused");
	assert_int_equal(kill(p.pid, SIGTERM), 0);
	waitpid(p.pid, NULL, 0);
	close(p.in);
	close(p.out);
	/* nothing changes: it ends by itself */
	runs(0, ARGS("watch", "0.05"), SAYS("there beta/late"));
}

static void test_event_loop(void **state)
{
	struct running p = start(ARGS("event_loop"));

	(void)state;
	output(&p, "following");
	put_plain(world.shard[1], 7, "late", "running", 1, 1);
	output(&p, "appeared alpha");
	assert_int_equal(finish(&p), 0);
}

static void test_refresh(void **state)
{
	(void)state;
	runs(1, ARGS("refresh"), SAYS("broker"));
	hand_broker_start(&broker, &world, ANSWERS);
	runs(0, ARGS("refresh", "beta"), SAYS("beta: read anew"));
	hand_broker_stop(&broker);
	hand_broker_start(&broker, &world, REFUSES);
	runs(1, ARGS("refresh", "beta"), SAYS("beta: no route to host"));
	hand_broker_stop(&broker);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_reading),
		TEST(test_not_running),
		TEST(test_watch),
		TEST(test_event_loop),
		TEST(test_refresh),
	};

	return cmocka_run_group_tests_name("examples", tests, NULL, NULL);
}
