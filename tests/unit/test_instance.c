/* test_instance.c - an instance as a whole: reload, take-over, its memory. */
#include "supervised.h"

static void test_reload(void **state)
{
	char description[64];
	struct dcm_host h;
	pid_t good, tuned, gone;

	(void)state;
	write_config("hosts: {good: {url: \"unix:///x\"}, tuned: {url: \"unix:///x\"}, "
		     "gone: {url: \"unix:///x\"}}\n");
	start();
	assert_notified("READY=1");
	good = pid_of("good", 1);
	tuned = pid_of("tuned", 1);
	gone = pid_of("gone", 1);
	write_config("hosts: {good: {url: 5}}\nwrong: 1\n");
	kill(t.pid, SIGHUP);
	assert_notified("RELOADING=1");
	assert_notified("READY=1");
	assert_true(logged("reload_refused"));
	assert_true(alive(good) && alive(tuned) && alive(gone));
	write_config("hosts: {good: {url: \"unix:///x\", description: new}, "
		     "tuned: {url: \"unix:///y\"}, added: {url: \"unix:///x\"}}\n");
	kill(t.pid, SIGHUP);
	assert_notified("READY=1");
	pid_of("added", 1);
	pid_of("tuned", 2);
	wait_gone(gone);
	wait_gone(tuned);
	assert_true(alive(good));
	assert_true(row("good", &h, description));
	assert_string_equal(description, "new");
	assert_false(row("gone", &h, description));
	assert_true(row("tuned", &h, description));
	assert_true(row("added", &h, description));
	/* To and fro at once: what counts is the last. */
	for (int i = 0; i < 20; i++) {
		write_config(i % 2 ? base : "hosts: {}\n");
		kill(t.pid, SIGHUP);
		usleep(i * 3000);
	}
	assert_true(logged("\"event\":\"reload\""));
	pid_of("good", 2);
	assert_int_equal(end(SIGTERM), 0);
	assert_int_equal(objects(""), 0);
}

static void test_one_instance(void **state)
{
	struct instance second = new_instance();
	char err[INSTANCE_ERR], pid[24];

	(void)state;
	write_config(base);
	start();
	assert_notified("READY=1");
	assert_int_equal(instance_lock(&second, err), INSTANCE_HELD);
	snprintf(pid, sizeof(pid), "pid %d;", (int)t.pid);
	assert_non_null(strstr(err, pid));
	assert_int_equal(end(SIGTERM), 0);
}

/* Makes an object as a collector that was killed leaves it. */
static void leave_shard(const char *host)
{
	char name[DCM_OBJECT_NAME_MAX];
	int fd;

	names_shard(name, geteuid(), t.instance, host, GENERATION);
	fd = shm_open(name, O_CREAT | O_RDWR, 0640);
	assert_true(fd >= 0);
	close(fd);
}

static void test_killed_supervisor(void **state)
{
	pid_t good, b, next;

	(void)state;
	write_config(base);
	start();
	assert_notified("READY=1");
	good = pid_of("good", 1);
	b = pid_of("broker", 1);
	kill(good, SIGSTOP); /* even so it must not outlive the supervisor */
	assert_int_equal(end(SIGKILL), -SIGKILL);
	leave_shard("good");
	leave_shard("off");
	leave_shard("stranger");
	close(t.out);
	close(t.log);
	t.n = 0;
	t.said[0] = '\0';
	start(); /* at once */
	next = pid_of("good", 1);
	assert_true(next != good && !alive(good) && !alive(b));
	assert_notified("READY=1");
	assert_int_equal(objects(":host:good:"), 1);
	assert_int_equal(objects(":host:off:"), 0);
	assert_int_equal(objects(":host:stranger:"), 0);
	assert_int_equal(end(SIGTERM), 0);
	assert_int_equal(objects(""), 0);
}

/* A child of a killed supervisor that is not gone yet holds the next one back. */
static void test_orphan(void **state)
{
	struct instance i = new_instance();
	int ready[2];
	pid_t orphan;
	char byte;

	(void)state;
	write_config(base);
	start();
	assert_notified("READY=1");
	assert_int_equal(pipe(ready), 0);
	orphan = fork();
	if (orphan == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* with the test, if that fails */
		instance_child_lock(&i);
		write(ready[1], "x", 1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	assert_int_equal(end(SIGKILL), -SIGKILL);
	close(t.out);
	close(t.log);
	t.n = 0;
	t.said[0] = '\0';
	start();
	sleep(1);
	assert_int_equal(objects("lock"), 1);
	fcntl(t.out, F_SETFL, O_NONBLOCK);
	assert_int_equal(read(t.out, &byte, 1), -1); /* nobody was started */
	assert_int_equal(errno, EAGAIN);
	kill(orphan, SIGKILL);
	waitpid(orphan, NULL, 0);
	pid_of("good", 1);
	assert_int_equal(end(SIGTERM), 0);
}

/* What logind does to a user who logs out. */
static void test_memory_removed(void **state)
{
	char description[64], name[DCM_OBJECT_NAME_MAX];
	struct instance other = new_instance();
	char err[INSTANCE_ERR];
	struct dcm_host h;
	pid_t good;

	(void)state;
	write_config(base);
	start();
	assert_notified("READY=1");
	good = pid_of("good", 1);
	names_directory(name, other.uid, other.name);
	shm_unlink(name);
	names_lock(name, other.uid, other.name);
	shm_unlink(name);
	assert_int_not_equal(pid_of("good", 2), good); /* a lock of its own again */
	assert_true(row("good", &h, description));
	assert_int_equal(instance_lock(&other, err), INSTANCE_HELD);
	said("good shown", 2);
	names_shard(name, other.uid, other.name, "good", GENERATION);
	assert_int_equal(shm_unlink(name), 0);
	said("good shown", 3);
	assert_int_equal(objects(":host:good:"), 1);
	names_lock(name, other.uid, other.name);
	/* Another takes the instance: this one ends and leaves it alone. */
	good = pid_of("good", 3);
	shm_unlink(name);
	assert_int_equal(instance_lock(&other, err), 0);
	assert_int_equal(end(0), 1);
	assert_false(alive(good));
	assert_int_equal(objects("lock"), 1);
	instance_remove(&other);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest stories[] = {
		STORY(test_reload),
		STORY(test_one_instance),
		STORY(test_killed_supervisor),
		STORY(test_orphan),
		STORY(test_memory_removed),
	};

	return RUN_STORIES(argc, argv, stories);
}
