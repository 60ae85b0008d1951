/* Conditions: one log line at the begin and one at the end, the sentence in between,
 * and what owners are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../shm/condition.h"
#include "../../shm/log.h"

static unsigned changes;

static void on_changed(void *arg)
{
	assert_ptr_equal(arg, &changes);
	changes++;
}

/* What the log says between the two calls. */
static int saved, lines[2];
static void capture(void)
{
	fflush(stderr);
	saved = dup(2);
	assert_int_equal(pipe(lines), 0);
	fcntl(lines[0], F_SETFL, O_NONBLOCK);
	dup2(lines[1], 2);
}
static const char *captured(void)
{
	static char text[4096];
	ssize_t n = read(lines[0], text, sizeof(text) - 1);

	dup2(saved, 2);
	close(saved);
	close(lines[0]);
	close(lines[1]);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static struct conditions begin(void)
{
	struct conditions c;

	log_init(LOG_LEVEL_INFO, true);
	changes = 0;
	conditions_init(&c, "web", on_changed, &changes);
	return c;
}

static void test_said_at_begin_and_end(void **state)
{
	struct conditions c = begin();
	const char *said;

	(void)state;
	capture();
	condition_clear(&c, COND_SNAPSHOT);
	condition_set(&c, COND_SNAPSHOT, "free some", "%d bytes are left", 5);
	condition_set(&c, COND_SNAPSHOT, "free some", "%d bytes are left", 4);
	condition_set(&c, COND_SNAPSHOT, "free some", "%d bytes are left", 4);
	assert_true(condition_on(&c, COND_SNAPSHOT));
	assert_false(condition_on(&c, COND_SHARD_FULL));
	said = captured();
	assert_non_null(strstr(said, "\"event\":\"snapshot_failed\""));
	assert_non_null(strstr(said, "\"host\":\"web\""));
	assert_non_null(strstr(said, "\"error\":\"5 bytes are left: free some\""));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
	assert_int_equal(changes, 2);
	capture();
	condition_clear(&c, COND_SNAPSHOT);
	condition_clear(&c, COND_SNAPSHOT);
	said = captured();
	assert_non_null(strstr(said, "\"event\":\"snapshot_ok\""));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	assert_int_equal(changes, 3);
	assert_false(condition_on(&c, COND_SNAPSHOT));
}

static void test_what_is_long_keeps_its_mend(void **state)
{
	struct conditions c = begin();
	struct condition_list list = {0};
	char what[600];

	(void)state;
	memset(what, 'x', sizeof(what) - 1);
	what[sizeof(what) - 1] = '\0';
	capture();
	condition_set(&c, COND_SHARD_FULL, "make room", "%s", what);
	captured();
	conditions_list(&c, &list);
	assert_int_equal(list.warnings[0].len, CONDITION_TEXT - 1);
	assert_string_equal(list.warnings[0].s + CONDITION_TEXT - 1 - 12, "x: make room");
}

static void test_listed_by_name(void **state)
{
	struct conditions c = begin(), other = begin();
	struct condition_list list = {0};

	(void)state;
	capture();
	condition_set(&c, COND_STATS_STRETCHED, "wait", "slow");
	condition_set(&c, COND_SHARD_FULL, "make room", "full");
	condition_relay(&other, COND_SNAPSHOT, "no disk: buy one");
	conditions_list(&c, &list);
	conditions_list(&other, &list);
	assert_int_equal(list.n, 3);
	assert_string_equal(list.names[0].s, "shard_full");
	assert_string_equal(list.warnings[0].s, "full: make room");
	assert_string_equal(list.names[1].s, "stats_stretched");
	assert_string_equal(list.names[2].s, "snapshot_failed");
	assert_int_equal(list.names[2].len, 15);
	assert_string_equal(list.warnings[2].s, "no disk: buy one");
	for (int i = 0; i < 3; i++)
		conditions_list(&c, &list);
	assert_int_equal(list.n, COND_COUNT); /* and not beyond */
	conditions_relay_none(&other);
	assert_false(condition_on(&other, COND_SNAPSHOT));
	assert_null(strstr(captured(), "snapshot")); /* whose log it is says so */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_said_at_begin_and_end),
		cmocka_unit_test(test_what_is_long_keeps_its_mend),
		cmocka_unit_test(test_listed_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
