/* test_collector.c - the collector process against a fake engine. */
#include <sys/stat.h>

#include "collector_help.h"

static void test_first_list(void **state)
{
	uint64_t rung = 0;

	(void)state;
	put(0, "web", "running");
	put(1, "job", "exited");
	put(2, "still", "paused");
	start_online();
	assert_true(status_is("web", "running"));
	assert_string_equal(rec.image.s, "img");
	assert_true(status_is("job", "exited"));
	assert_true(verified("job", DCM_STATS) > 0); /* known to be null */
	assert_int_equal(rec.memory_usage, DCM_UNKNOWN);
	assert_int_equal(asked.lists, 1);
	assert_int_equal(asked.inspects, 3);
	assert_int_equal(row.containers, 3);
	assert_int_equal(row.running, 1); /* paused ones are not counted */
	assert_int_equal(row.cpus, 2);
	assert_int_equal(row.engine_version.len, 3);
	assert_int_equal(read(bell, &rung, sizeof(rung)), sizeof(rung));
	UNTIL(cycles == 1);
	assert_int_equal(stop(), 0);
}

static void test_events(void **state)
{
	int before;

	(void)state;
	put(0, "web", "running");
	start_online();
	put(1, "new", "created");
	event("create", 1);
	UNTIL(status_is("new", "created"));
	fleet[1].status = "running";
	before = asked.inspects;
	for (int i = 0; i < 10; i++) /* a burst is one update */
		event(i & 1 ? "start" : "update", 1);
	UNTIL(status_is("new", "running"));
	run_for(60);
	assert_true(asked.inspects - before <= 2);
	fleet[1].name = "other";
	event("rename", 1);
	UNTIL(shown("other"));
	assert_false(shown("new"));
	before = asked.inspects;
	fleet[1].present = false;
	event("destroy", 1);
	UNTIL(!shown("other"));
	assert_int_equal(asked.inspects, before); /* at once, nothing asked */
	assert_int_equal(asked.lists, 1);
	assert_true(shown("web"));
}

/* A start that fails may have no event: what was created is looked at once more. */
static void test_silent_start(void **state)
{
	(void)state;
	put(0, "web", "running");
	start_online();
	put(1, "new", "created");
	event("create", 1);
	UNTIL(status_is("new", "created"));
	fleet[1].status = "exited";
	UNTIL(status_is("new", "exited"));
}

/* An inspect that began before the container went must not bring it back. */
static void test_late_inspect(void **state)
{
	(void)state;
	put(0, "web", "running");
	start_online();
	put(1, "ghost", "running");
	fleet[1].inspect = HELD;
	event("create", 1);
	UNTIL(fleet[1].held);
	event("destroy", 1);
	event("die", 1); /* events come in any order */
	run_for(50);
	inspect_reply(fleet[1].held, 1);
	fleet[1].inspect = WELL;
	run_for(100);
	assert_false(shown("ghost"));
	assert_int_equal(asked.inspects, 2);
}

/* Nor must a list that was asked for before. */
static void test_late_list(void **state)
{
	uint64_t token;

	(void)state;
	put(0, "web", "running");
	put(1, "ghost", "running");
	start_online();
	hold_lists = true;
	token = ask(CONTROL_REFRESH, 0, 0);
	UNTIL(held_list);
	event("destroy", 1);
	UNTIL(!shown("ghost"));
	put(2, "young", "running"); /* came after the list was asked for */
	event("create", 2);
	UNTIL(shown("young"));
	fleet[2].present = false;
	list_reply(held_list);
	fleet[2].present = true;
	UNTIL(answer_to(token));
	assert_false(shown("ghost"));
	assert_true(shown("young"));
}

/* An item of the list that cannot be read takes nothing away by its absence: who is
 * not listed is asked for, and goes only where the engine says so. */
static void test_bad_item_of_a_list(void **state)
{
	uint64_t token;

	(void)state;
	put(0, "web", "running");
	put(1, "odd", "running");
	put(2, "gone", "running");
	start_online();
	fleet[1].unlisted = true;
	fleet[2].present = false;
	fleet[2].inspect = MISSING;
	token = ask(CONTROL_REFRESH, 0, 0);
	UNTIL(answer_to(token));
	assert_true(shown("web"));
	assert_true(shown("odd"));
	assert_false(shown("gone"));
}

/* Online, and then an inspect of what there is finds nothing. */
static void start_and_miss_web(void)
{
	put(0, "web", "running");
	start_online();
	fleet[0].inspect = MISSING;
	event("die", 0);
	UNTIL(!shown("web"));
}

static void test_missing_is_removed(void **state)
{
	(void)state;
	start_and_miss_web();
	assert_int_equal(state_now(), DCM_ONLINE);
}

/* An engine lists what it begins to make before an inspect finds it; and only then does
 * it tell of it. */
static void test_listed_too_early(void **state)
{
	uint64_t token;

	(void)state;
	start_online();
	put(0, "young", "created");
	fleet[0].inspect = MISSING;
	token = ask(CONTROL_REFRESH, 0, 0);
	UNTIL(answer_to(token));
	assert_int_equal(asked.inspects, 1);
	assert_false(shown("young"));
	fleet[0].inspect = WELL;
	event("create", 0);
	UNTIL(shown("young"));
}

static void test_missing_for_a_moment(void **state)
{
	(void)state;
	start_and_miss_web();
	fleet[0].inspect = WELL;
	event("rename", 0);
	UNTIL(shown("web"));
	event("destroy", 0);
	UNTIL(!shown("web"));
	event("die", 0);
	run_for(100);
	assert_false(shown("web"));
}

/* An exec that ended may have been a health check of podman's, whose outcome is there a
 * little later, and told by nothing. */
static void test_end_of_an_exec(void **state)
{
	(void)state;
	put(0, "web", "running");
	start_online();
	event("exec_died", 0);
	UNTIL(asked.inspects == 3); /* the first, at the event, and once more */
	run_for(1500);
	assert_int_equal(asked.inspects, 3);
}

/* An engine that takes long to list its images is not asked again and again. */
static void test_images_change_all_the_time(void **state)
{
	static const char tagged[] = "{\"Type\":\"image\",\"Action\":\"tag\",\"Actor\":"
				     "{\"ID\":\"i\",\"Attributes\":{\"name\":\"a:%d\"}},"
				     "\"timeNano\":%d}\n";
	char line[256];

	(void)state;
	put(0, "web", "running");
	start_online();
	UNTIL(asked_images);
	run_for(400); /* so long it takes, and the rest after it several times that */
	for (int i = 1; i < 20; i++) {
		fake_raw(events, line, (size_t)snprintf(line, sizeof(line), tagged, i, i));
		run_for(5);
	}
	assert_int_equal(asked.images, 1);
	fake_json(asked_images, 200, "[]");
	run_for(300);
	assert_int_equal(asked.images, 1);
	UNTIL(asked.images == 2);
}

/* One that hangs is shown with what the list says, and holds up no other. */
static void test_hanging_inspect(void **state)
{
	(void)state;
	cache.request_timeout = 1;
	put(0, "stuck", "running");
	fleet[0].inspect = HANGS;
	put(1, "web", "running");
	start();
	UNTIL(shown("web"));
	assert_false(shown("stuck"));
	UNTIL(status_is("stuck", "running"));
	assert_true(verified("stuck", DCM_STATUS) > 0);
	assert_true(verified("stuck", DCM_CONFIG) == 0); /* its age is null */
	assert_null(rec.started.s);
	UNTIL(state_now() == DCM_DEGRADED);
	assert_non_null(strstr(row_error, "inspect of a"));
	fleet[0].inspect = WELL;
	UNTIL(shown("stuck") && rec.started.s);
	UNTIL(state_now() == DCM_ONLINE);
	assert_true(verified("stuck", DCM_CONFIG) > 0);
}

static void test_refresh(void **state)
{
	uint64_t a, b, d;
	int lists;

	(void)state;
	put(0, "web", "running");
	start_online();
	lists = asked.lists;
	hold_lists = true;
	a = ask(CONTROL_REFRESH, 0, 0);
	UNTIL(held_list);
	b = ask(CONTROL_REFRESH, 0, 0);
	d = ask(CONTROL_REFRESH, 0, 0);
	run_for(50);
	put(1, "quiet", "running"); /* no event tells of it */
	hold_lists = false;
	list_reply(held_list);
	UNTIL(answer_to(a) && answer_to(b) && answer_to(d));
	assert_int_equal(answer_to(d)->rc, DCM_OK);
	assert_int_equal(asked.lists - lists, 2); /* b and d share one */
	assert_true(shown("quiet"));
	assert_int_equal(rec.memory_usage, 4000);
	UNTIL(state_now() == DCM_ONLINE && row.refreshes == 3);
}

static void test_offline_and_back(void **state)
{
	uint64_t token;

	(void)state;
	put(0, "web", "running");
	put(1, "gone", "running");
	start_online();
	fake_down(&sim);
	events = NULL;
	UNTIL(state_now() == DCM_OFFLINE);
	assert_non_null(strstr(row_error, "connection refused"));
	assert_true(shown("gone")); /* what was known stays */
	assert_int_equal(row.cpus, 2);
	token = ask(CONTROL_REFRESH, 0, 0);
	UNTIL(answer_to(token));
	assert_int_equal(answer_to(token)->rc, DCM_EHOST);
	assert_non_null(strstr(answer_to(token)->error, "connection refused"));
	UNTIL(failed_cycles >= 2);
	fleet[1].present = false;
	fleet[0].status = "paused";
	fake_listen(&sim);
	token = ask(CONTROL_REFRESH, 0, 0); /* need not wait for the backoff */
	UNTIL(answer_to(token));
	UNTIL(answer_to(token)->rc != DCM_OK || state_now() == DCM_ONLINE);
	UNTIL(state_now() == DCM_ONLINE);
	assert_true(status_is("web", "paused"));
	assert_false(shown("gone"));
}

/* What failed before the engine was lost is asked for again when it is back: the
 * attempt that was due was dropped with the connection. */
static void test_failure_before_offline(void **state)
{
	(void)state;
	cache.request_timeout = 1;
	put(0, "web", "running");
	start_online();
	fleet[0].inspect = HANGS;
	event("update", 0);
	UNTIL(state_now() == DCM_DEGRADED);
	fake_down(&sim);
	events = NULL;
	UNTIL(state_now() == DCM_OFFLINE);
	fleet[0].inspect = WELL;
	fake_listen(&sim);
	UNTIL(state_now() == DCM_ONLINE);
}

/* The stream ends, the engine lives: subscribed anew, from before the last event. */
static void test_stream_lost(void **state)
{
	(void)state;
	put(0, "web", "running");
	start_online();
	event("update", 0);
	run_for(50);
	fleet[0].status = "exited"; /* while nobody listens */
	fake_hang_up(events);
	UNTIL(asked.subscriptions == 2);
	assert_true(atof(asked.since) <= 1767225600 - 1.9);
	UNTIL(status_is("web", "exited"));
	assert_int_equal(state_now(), DCM_ONLINE);
	fake_hang_up(events);
	UNTIL(state_now() == DCM_DEGRADED); /* it ends each time */
	assert_non_null(strstr(row_error, "event stream"));
}

/* A subscription that is never answered is not waited for: it is asked for anew. */
static void test_stream_hangs(void **state)
{
	(void)state;
	cache.request_timeout = 1;
	hold_events = true;
	put(0, "web", "running");
	start();
	UNTIL(state_now() == DCM_DEGRADED);
	assert_non_null(strstr(row_error, "does not open"));
	UNTIL(shown("web"));
	hold_events = false;
	UNTIL(state_now() == DCM_ONLINE);
}

/* Killed, and started again on what it left behind. */
static void test_reattach(void **state)
{
	double cached_at;

	(void)state;
	put(0, "web", "running");
	put(1, "gone", "running");
	start_online();
	assert_true(shown("web"));
	cached_at = rec.cached_at;
	kill(collector, SIGKILL);
	stop();
	fleet[1].present = false;
	put(2, "new", "running");
	start();
	assert_true(shown("gone")); /* nothing is lost meanwhile */
	UNTIL(state_now() == DCM_ONLINE);
	UNTIL(!shown("gone"));
	assert_true(shown("new"));
	assert_true(shown("web"));
	assert_true(rec.cached_at == cached_at);
	assert_int_equal(row.containers, 2);
}

static void test_secrets(void **state)
{
	uint64_t token, other;

	(void)state;
	put(0, "web", "running");
	start_online();
	assert_true(shown("web"));
	assert_string_equal(rec.command.s, "run --with=********");
	token = ask(CONTROL_LOGS, 0, 5);
	UNTIL(answer_to(token));
	assert_int_equal(answer_to(token)->rc, DCM_OK);
	assert_true(shown("web"));
	assert_int_equal(rec.log_tail.n, 2);
	assert_string_equal(rec.log_tail.v[1].s, "use ******** now");
	assert_true(anywhere("hello"));
	assert_false(anywhere(SECRET));
	/* Whoever asks for fewer at the same time does not take them from the other. */
	token = ask(CONTROL_LOGS, 0, 9);
	other = ask(CONTROL_LOGS, 0, 2);
	UNTIL(answer_to(token) && answer_to(other));
	assert_int_equal(asked.tail, 9);
	token = ask(CONTROL_LOGS, 0, 2);
	UNTIL(answer_to(token));
	assert_int_equal(asked.tail, 2);
	token = ask(CONTROL_LOGS, 9, 5);
	UNTIL(answer_to(token));
	assert_int_equal(answer_to(token)->rc, DCM_ENOTFOUND);
}

static void test_forget(void **state)
{
	uint64_t token;

	(void)state;
	put(0, "web", "running");
	start_online();
	fleet[0].inspect = HELD;
	token = ask(CONTROL_FORGET, 0, 0);
	UNTIL(answer_to(token));
	assert_int_equal(answer_to(token)->rc, DCM_OK);
	assert_false(shown("web"));
	UNTIL(fleet[0].held);
	inspect_reply(fleet[0].held, 0);
	UNTIL(shown("web"));
}

static bool stack_is(const char *name, const char *all)
{
	char text[256] = "";

	if (!shown(name) || !rec.compose_stack_containers.known)
		return false;
	for (uint32_t i = 0; i < rec.compose_stack_containers.n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ",
			 rec.compose_stack_containers.v[i].s);
	return !strcmp(text, all);
}

static void test_stacks(void **state)
{
	(void)state;
	put(0, "web", "running");
	put(1, "db", "running");
	put(2, "alone", "running");
	fleet[0].project = fleet[1].project = "shop";
	start_online();
	UNTIL(stack_is("web", "db "));
	assert_true(stack_is("db", "web "));
	assert_true(stack_is("alone", ""));
	put(3, "cache", "running");
	fleet[3].project = "shop";
	event("create", 3);
	UNTIL(stack_is("web", "cache db "));
	assert_true(stack_is("cache", "db web "));
	fleet[1].name = "sql";
	event("rename", 1);
	UNTIL(stack_is("web", "cache sql "));
	event("destroy", 3);
	UNTIL(stack_is("web", "sql "));
	assert_true(stack_is("sql", "web "));
}

static void test_compose_files(void **state)
{
	char dir[] = "/tmp/dcm-test-compose-XXXXXX", one[64], fifo[64], link[64], all[256];
	static const char text[] = "services:\n  web:\n    command: run " SECRET "\n";
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(one, sizeof(one), "%s/one.yml", dir);
	snprintf(fifo, sizeof(fifo), "%s/fifo.yml", dir);
	snprintf(link, sizeof(link), "%s/link.yml", dir);
	snprintf(all, sizeof(all), "%s,%s,%s", fifo, link, one);
	f = fopen(one, "w");
	fputs(text, f);
	fclose(f);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(symlink("one.yml", link), 0);
	put(0, "web", "running");
	put(1, "both", "running");
	put(2, "none", "running");
	for (size_t i = 0; i < 3; i++)
		fleet[i].project = "shop";
	fleet[0].files = one;
	fleet[1].files = all;
	fleet[2].files = "/etc/passwd";
	start_online();
	assert_true(shown("web"));
	assert_string_equal(rec.compose_file_content.s,
			    "services:\n  web:\n    command: run ********\n");
	assert_true(shown("both")); /* each headed by its path; what is no file is left out */
	assert_non_null(rec.compose_file_content.s);
	assert_int_equal(rec.compose_file_content.s[0], '#');
	assert_null(strstr(rec.compose_file_content.s, "link.yml"));
	assert_non_null(strstr(rec.compose_file_content.s, "command: run ********"));
	assert_true(shown("none"));
	assert_null(rec.compose_file_content.s);
	/* an event reads no file, and what was read stays */
	unlink(one);
	fleet[0].status = "paused";
	event("pause", 0);
	UNTIL(status_is("web", "paused"));
	assert_non_null(rec.compose_file_content.s);
	assert_false(anywhere(SECRET));
	unlink(fifo);
	unlink(link);
	rmdir(dir);
}

static void test_never_reached(void **state)
{
	(void)state;
	fake_down(&sim);
	start();
	UNTIL(state_now() == DCM_OFFLINE);
	assert_true(isnan(row.cpu_percent)); /* not known, and not 0 */
	assert_int_equal(row.memory_usage, DCM_UNKNOWN);
}

static void test_ssh_that_is_refused(void **state)
{
	uint64_t token;

	(void)state;
	host.at = (struct endpoint){
		.kind = ENDPOINT_SSH, .hostname = (char[]){"127.0.0.1"}, .port = 1};
	start();
	UNTIL(state_now() == DCM_OFFLINE);
	assert_non_null(strcasestr(row_error, "connection refused"));
	token = ask(CONTROL_REFRESH, 0, 0);
	UNTIL(answer_to(token));
	assert_int_equal(answer_to(token)->rc, DCM_EHOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_first_list),
		T(test_events),
		T(test_silent_start),
		T(test_late_inspect),
		T(test_late_list),
		T(test_bad_item_of_a_list),
		T(test_missing_is_removed),
		T(test_listed_too_early),
		T(test_missing_for_a_moment),
		T(test_end_of_an_exec),
		T(test_images_change_all_the_time),
		T(test_hanging_inspect),
		T(test_refresh),
		T(test_offline_and_back),
		T(test_failure_before_offline),
		T(test_never_reached),
		T(test_stream_lost),
		T(test_stream_hangs),
		T(test_reattach),
		T(test_secrets),
		T(test_forget),
		T(test_stacks),
		T(test_compose_files),
		T(test_ssh_that_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
