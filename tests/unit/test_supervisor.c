/* test_supervisor.c - children that start, die, fall silent, are asked. */
#include "supervised.h"

static void check_process(pid_t pid, const char *title, bool child)
{
	char path[64], link[256], buf[4096];
	struct dirent *e;
	ssize_t n;
	DIR *d;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY);
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_string_equal(buf, title);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	assert_non_null(d);
	while (child && (e = readdir(d))) {
		n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		assert_null(strstr(link, "-:dir"));
		assert_null(strstr(link, "signalfd"));
	}
	closedir(d);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	fd = open(path, O_RDONLY);
	while (child && (n = read(fd, buf, sizeof(buf) - 1)) > 0) {
		buf[n] = '\0';
		assert_null(strstr(buf, "-:dir"));
	}
	close(fd);
}

static void test_start_and_stop(void **state)
{
	char description[64], path[128];
	struct dcm_host h;
	struct stat st;
	pid_t good, b;

	(void)state;
	write_config(base);
	start();
	assert_notified("READY=1");
	assert_notified("WATCHDOG=1");
	good = pid_of("good", 1);
	b = pid_of("broker", 1);
	said("good shown 7", 1);
	assert_true(row("good", &h, description));
	assert_string_equal(description, "d");
	assert_true(row("off", &h, description));
	assert_int_equal(h.state, DCM_DISABLED);
	assert_false(row("none", &h, description));
	check_process(good, "dcmd: collector good", true);
	check_process(b, "dcmd: broker", true);
	snprintf(path, sizeof(path), "%s/%s/broker.sock", t.dir, t.instance);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_true(logged("\"event\":\"cycle\",\"successful\":1,\"failed\":0,"
			   "\"total_containers\":4,\"seconds\":0.5}"));
	assert_int_equal(end(SIGTERM), 0);
	assert_notified("STOPPING=1");
	assert_false(alive(good) || alive(b));
	assert_int_equal(objects(""), 0);
	assert_int_equal(stat(path, &st), -1);
}

static void test_children_die(void **state)
{
	char description[64];
	struct dcm_host h;
	pid_t good, other, b;

	(void)state;
	write_config("hosts: {good: {url: \"unix:///x\"}, other: {url: \"unix:///x\"}, "
		     "silent: {url: \"unix:///x\"}, stillborn: {url: \"unix:///x\"}}\n");
	start();
	good = pid_of("good", 1);
	other = pid_of("other", 1);
	b = pid_of("broker", 1);
	kill(good, SIGKILL);
	assert_int_not_equal(pid_of("good", 2), good);
	assert_true(row("good", &h, description));
	assert_int_equal(h.restarts, 1);
	kill(pid_of("good", 2), SIGSTOP); /* as good as dead */
	pid_of("good", 3);
	pid_of("silent", 2);
	kill(b, SIGSEGV);
	pid_of("broker", 2);
	pid_of("stillborn", 4);
	assert_true(logged("exited with status 5"));
	assert_true(alive(other)); /* and all that disturbed nobody else */
	assert_int_equal(end(SIGINT), 0);
	assert_int_equal(objects(""), 0);
}

/* Nothing ran for a while, as when a machine is paused: no child is guilty of it,
 * even when it comes back a little later than the supervisor. */
static void test_stopped_supervisor(void **state)
{
	pid_t good, b;

	(void)state;
	write_config(base);
	start();
	assert_notified("READY=1");
	good = pid_of("good", 1);
	b = pid_of("broker", 1);
	kill(t.pid, SIGSTOP);
	kill(good, SIGSTOP);
	kill(b, SIGSTOP);
	sleep(6);
	kill(t.pid, SIGCONT);
	sleep(1);
	kill(good, SIGCONT);
	kill(b, SIGCONT);
	sleep(1);
	assert_true(alive(good) && alive(b));
	assert_int_equal(end(SIGTERM), 0);
}

static void touch(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", t.dir, name);
	close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void test_requests(void **state)
{
	char want[80];

	(void)state;
	write_config("hosts: {good: {url: \"unix:///x\"}, off: {url: \"unix:///x\", enabled: no}, "
		     "dies-when-asked: {url: \"unix:///x\"}, slow: {url: \"unix:///x\"}}\n");
	start();
	assert_notified("READY=1");
	touch("ask");
	said("broker done 1 0 good", 1);
	snprintf(want, sizeof(want), "broker done 2 %d unknown", DCM_ENOTFOUND);
	said(want, 1);
	snprintf(want, sizeof(want), "broker done 3 %d off", DCM_EHOST);
	said(want, 1);
	snprintf(want, sizeof(want), "broker done 4 %d dies-when-asked", DCM_EHOST);
	said(want, 1);
	said("broker done 5 0 slow", 1);
	/* The answer to a broker that died does not reach the next one, though that
	 * asks at once, and by the same tokens. */
	touch("ask");
	said("slow ask", 2);
	kill(pid_of("broker", 1), SIGKILL);
	touch("ask");
	said("broker done 5 0 slow", 2);
	assert_int_equal(times("broker done 5 0 slow 2"), 0);
	assert_int_equal(times("broker done 5 0 slow 3"), 1);
	assert_int_equal(end(SIGTERM), 0);
}

static void assert_ready(const char *status)
{
	char want[200];

	snprintf(want, sizeof(want), "READY=1\nMAINPID=%d\nSTATUS=%s", (int)t.pid, status);
	assert_string_equal(notice(), want);
}

/* A list of the host that is not heard of again is overdue at once. */
#define LISTS_SOON "cache: {status_update: 0.1, request_timeout: 0.1}\n"

static void test_service_manager(void **state)
{
	unsigned long long usec, last = 0;
	struct timespec now;

	(void)state;
	write_config(LISTS_SOON "hosts: {good: {url: \"unix:///x\"}}\n");
	start();
	assert_ready("1 hosts");
	for (int refused = 0; refused < 2; refused++) {
		write_config(refused ? "hosts: {good: 1}\n"
				     : LISTS_SOON "hosts: {good: {url: \"unix:///x\"}, "
						  "b: {url: \"unix:///x\"}}\n");
		kill(t.pid, SIGHUP);
		assert_int_equal(sscanf(notice(), "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
		clock_gettime(CLOCK_MONOTONIC, &now);
		assert_true(usec > last);
		assert_true(usec / 1e6 <= (double)now.tv_sec + (double)now.tv_nsec / 1e9);
		last = usec;
		assert_ready("2 hosts");
	}
	assert_notified("WATCHDOG=1");
	assert_notified("STATUS=");
	assert_int_equal(end(SIGTERM), 0);
	assert_string_equal(notice(), "STOPPING=1\nSTATUS=stopping");
}

/* A reload while it starts tells nothing: it is not ready yet. */
static void test_reload_before_ready(void **state)
{
	(void)state;
	write_config("hosts: {mute: {url: \"unix:///x\"}}\n");
	start();
	pid_of("mute", 1);
	kill(t.pid, SIGHUP);
	assert_true(logged("\"event\":\"reload\""));
	assert_int_equal(end(SIGTERM), 0);
	assert_null(strstr(notice(), "RELOADING")); /* on a slow machine READY; else STOPPING */
}

int main(int argc, char **argv)
{
	const struct CMUnitTest stories[] = {
		STORY(test_start_and_stop),
		STORY(test_children_die),
		STORY(test_stopped_supervisor),
		STORY(test_requests),
		STORY(test_service_manager),
		STORY(test_reload_before_ready),
	};

	return RUN_STORIES(argc, argv, stories);
}
