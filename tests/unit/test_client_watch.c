/*
 * test_client_watch.c - dcm-client watch in a process of its own, against memory
 * that changes under it.
 */
#include "client_instance.h"

#include <signal.h>
#include <sys/wait.h>

static int line_from(FILE *f, json_object **o)
{
	static char *line;
	static size_t room;

	json_object_put(*o);
	*o = NULL;
	if (getline(&line, &room, f) <= 0)
		return 0;
	*o = json_tokener_parse(line);
	assert_non_null(*o);
	return 1;
}

static pid_t watch(FILE **lines, const char *filter)
{
	char *argv[] = {(char *)"dcm-client", (char *)"--runtime-dir", runtime_dir,
			(char *)"--instance", instance, (char *)"--json", (char *)"watch",
			(char *)"--filter", (char *)filter, NULL};
	int fd[2];
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		dup2(fd[1], STDOUT_FILENO);
		close(fd[0]);
		close(fd[1]);
		_exit(client_main(filter ? 9 : 7, argv));
	}
	close(fd[1]);
	*lines = fdopen(fd[0], "r");
	return pid;
}

/* Changes go on until the child has seen the first: then it follows. */
static void until_it_follows(FILE *lines, json_object **line, struct dcm_record *r)
{
	struct timespec nap = {0, 20000000};
	int fd = fileno(lines), n = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	do {
		r->restart_count = ++n;
		put(alpha, r);
		region_beat(alpha);
		region_beat(directory);
		nanosleep(&nap, NULL);
		clearerr(lines);
	} while (!line_from(lines, line));
	/* And those that were under way. */
	for (n = 0; n < 20; n++) {
		json_object *more = NULL;

		nanosleep(&nap, NULL);
		clearerr(lines);
		if (line_from(lines, &more))
			n = 0;
		json_object_put(more);
	}
	clearerr(lines);
	fcntl(fd, F_SETFL, 0);
}

static void event_is(json_object *line, const char *event, const char *name, const char *changed)
{
	assert_string_equal(json_object_get_string(member(line, "event")), event);
	assert_string_equal(json_object_get_string(member(line, "name")), name);
	assert_string_equal(compact(member(line, "changed")), changed);
}

static void watch_tells_what_changed(void **state)
{
	json_object *line = NULL;
	struct dcm_record r;
	FILE *lines;
	uint8_t id[32];
	pid_t pid = watch(&lines, NULL);
	int status;

	(void)state;
	make_lone(&r);
	until_it_follows(lines, &line, &r);
	event_is(line, "updated", "lone", "[\"restart_count\"]");
	assert_string_equal(keys(line), "event host_id container_id name changed record");
	r.status = S("exited");
	r.exit_code = 3;
	r.last_updated = now(); /* which is no change */
	put(alpha, &r);
	assert_true(line_from(lines, &line));
	event_is(line, "updated", "lone", "[\"status\",\"exit_code\"]");
	assert_int_equal(json_object_get_int(member(member(line, "record"), "exit_code")), 3);
	r.last_updated = now();
	put(alpha, &r); /* not shown */
	r.name = S("renamed");
	put(alpha, &r);
	assert_true(line_from(lines, &line));
	event_is(line, "updated", "renamed", "[\"name\"]");
	binary_id(LONE_ID, id);
	assert_int_equal(region_remove(alpha, id), 0);
	region_publish(alpha);
	assert_true(line_from(lines, &line));
	event_is(line, "removed", "renamed", "[]");
	assert_string_equal(json_object_get_string(member(line, "container_id")), LONE_ID);
	assert_null(member(line, "record"));
	make_lone(&r);
	put(alpha, &r);
	assert_true(line_from(lines, &line));
	event_is(line, "appeared", "lone", "[]");
	put_host_row(alpha, "no route to host", DCM_DEGRADED);
	assert_true(line_from(lines, &line));
	assert_string_equal(json_object_get_string(member(line, "event")), "host");
	assert_string_equal(json_object_get_string(member(line, "host_id")), "alpha");
	assert_null(member(line, "container_id"));
	assert_string_equal(compact(member(line, "changed")), "[\"state\",\"error\"]");
	put_host_row(alpha, NULL, DCM_ONLINE);
	assert_true(line_from(lines, &line));
	kill(pid, SIGINT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK);
	json_object_put(line);
	fclose(lines);
}

static void watch_with_a_filter(void **state)
{
	json_object *line = NULL;
	struct dcm_record r, other;
	FILE *lines;
	pid_t pid = watch(&lines, "status=running");
	int status;

	(void)state;
	make_lone(&r);
	make_db(&other);
	until_it_follows(lines, &line, &r);
	put_host_row(alpha, "an error", DCM_DEGRADED); /* of no container: not shown */
	put_host_row(alpha, NULL, DCM_ONLINE);
	other.exit_code = 77; /* does not match: not shown */
	put(alpha, &other);
	r.status = S("paused");
	put(alpha, &r);
	assert_true(line_from(lines, &line));
	event_is(line, "removed", "lone", "[]");
	r.status = S("running");
	put(alpha, &r);
	assert_true(line_from(lines, &line));
	event_is(line, "appeared", "lone", "[]");
	make_db(&other);
	put(alpha, &other);
	/* Nobody reads any more: it ends by itself, and well. */
	json_object_put(line);
	fclose(lines);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watch_tells_what_changed),
		cmocka_unit_test(watch_with_a_filter),
	};

	alarm(120); /* a line that never comes must not hold up the others */
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
