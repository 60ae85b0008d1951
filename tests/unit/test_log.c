/*
 * test_log.c - log lines: each is one line, valid JSON or readable text,
 * whatever was put into it, and nothing ever waits for who reads them.
 */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "../../shm/log.h"

/* Standard error goes into a pipe while a test runs. */
static int out, saved;

static int begin(void **state)
{
	int pair[2];

	(void)state;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	saved = dup(STDERR_FILENO);
	dup2(pair[1], STDERR_FILENO);
	close(pair[1]);
	out = pair[0];
	fcntl(out, F_SETFL, O_NONBLOCK);
	return saved < 0 ? -1 : 0;
}

static int finish(void **state)
{
	(void)state;
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(out);
	return 0;
}

/* What was written, which must be one line; without its newline. */
static const char *line(void)
{
	static char buf[65536];
	ssize_t n = read(out, buf, sizeof(buf) - 1);

	if (n <= 0)
		return "";
	buf[n] = '\0';
	assert_int_equal(buf[n - 1], '\n');
	buf[n - 1] = '\0';
	assert_null(strchr(buf, '\n'));
	return buf;
}

static struct json_object *json(void)
{
	enum json_tokener_error error;
	struct json_object *o = json_tokener_parse_verbose(line(), &error);

	assert_int_equal(error, json_tokener_success);
	assert_true(json_object_is_type(o, json_type_object));
	return o;
}

static const char *text(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

static void test_json(void **state)
{
	struct json_object *o, *v;

	(void)state;
	log_init(LOG_LEVEL_INFO, true);
	log_event(LOG_LEVEL_WARN, "host_offline", "web-1", LF_STR("error", "connection refused"),
		  LF_INT("tries", -3), LF_NUM("seconds", 0.5), LF_NUM("never", NAN),
		  LF_STR("absent", NULL));
	o = json();
	assert_int_equal(strlen(text(o, "ts")), strlen("2026-01-02T03:04:05.678Z"));
	assert_string_equal(text(o, "level"), "warn");
	assert_string_equal(text(o, "event"), "host_offline");
	assert_string_equal(text(o, "host"), "web-1");
	assert_string_equal(text(o, "error"), "connection refused");
	assert_true(json_object_object_get_ex(o, "tries", &v));
	assert_true(json_object_is_type(v, json_type_int));
	assert_int_equal(json_object_get_int(v), -3);
	assert_true(json_object_object_get_ex(o, "seconds", &v));
	assert_true(json_object_get_double(v) == 0.5);
	assert_true(json_object_object_get_ex(o, "never", &v));
	assert_null(v);
	assert_false(json_object_object_get_ex(o, "absent", NULL));
	json_object_put(o);

	log_msg(LOG_LEVEL_INFO, "said", NULL, "%d %s", 1, "thing");
	o = json();
	assert_string_equal(text(o, "message"), "1 thing");
	assert_false(json_object_object_get_ex(o, "host", NULL));
	assert_false(json_object_object_get_ex(o, "error", NULL));
	json_object_put(o);
	log_msg(LOG_LEVEL_ERROR, "said", NULL, "no");
	o = json();
	assert_string_equal(text(o, "error"), "no");
	json_object_put(o);
}

static void test_text(void **state)
{
	const char *s;

	(void)state;
	log_init(LOG_LEVEL_DEBUG, false);
	log_event(LOG_LEVEL_WARN, "host_offline", "web-1", LF_STR("error", "refused = \"no\""),
		  LF_STR("path", "/a b"), LF_STR("plain", "x.y"), LF_STR("none", ""),
		  LF_INT("n", 5));
	s = line();
	assert_non_null(strchr(s, ' '));
	assert_string_equal(strchr(s, ' '),
			    " warn host_offline host=web-1 path=\"/a b\" plain=x.y none=\"\" n=5: "
			    "refused = \"no\"");
}

static void test_levels(void **state)
{
	(void)state;
	log_init(LOG_LEVEL_WARN, false);
	assert_false(log_wants(LOG_LEVEL_INFO));
	assert_true(log_wants(LOG_LEVEL_ERROR));
	log_msg(LOG_LEVEL_INFO, "x", NULL, "hidden");
	assert_string_equal(line(), "");
	log_msg(LOG_LEVEL_ERROR, "x", NULL, "shown");
	assert_non_null(strstr(line(), "shown"));
}

/* What an engine says must not forge a line, nor break the JSON. */
static void test_hostile_text(void **state)
{
	static const char evil[] = "a\nb\"c\\d\x01\x1b[31m\xff\xc3(\xed\xa0\x80 \xc3\xa9\x7f";
	struct json_object *o;

	(void)state;
	log_init(LOG_LEVEL_INFO, true);
	log_event(LOG_LEVEL_WARN, "x", NULL, LF_STR("error", evil));
	o = json();
	assert_string_equal(text(o, "error"), "a\nb\"c\\d\x01\x1b[31m\xef\xbf\xbd\xef\xbf\xbd("
					      "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xc3\xa9\x7f");
	json_object_put(o);
	log_init(LOG_LEVEL_INFO, false);
	log_event(LOG_LEVEL_WARN, "x", NULL, LF_STR("v", evil), LF_STR("error", evil));
	for (const char *s = line(); *s; s++)
		assert_true((unsigned char)*s >= ' ' && *s != 0x7f);
}

static void test_long_values(void **state)
{
	char *big = malloc(100001);
	struct json_object *o;

	(void)state;
	assert_non_null(big);
	for (int json_too = 0; json_too < 2; json_too++) {
		log_init(LOG_LEVEL_INFO, json_too);
		/* Every length around the limit, of characters of one to six bytes. */
		for (int n = 3500; n < 4200; n++) {
			memset(big, n % 3 ? 'x' : n % 2 ? '"' : '\x02', (size_t)n);
			big[n] = '\0';
			log_event(LOG_LEVEL_WARN, "x", "h", LF_STR("a", big), LF_STR("b", big),
				  LF_INT("c", 1), LF_STR("error", big));
			if (json_too) {
				o = json();
				assert_string_equal(text(o, "host"), "h");
				assert_non_null(text(o, "a"));
				json_object_put(o);
			} else {
				assert_in_range(strlen(line()), 100, 4096);
			}
		}
	}
	memset(big, 'y', 100000);
	big[100000] = '\0';
	log_event(LOG_LEVEL_WARN, "x", NULL, LF_STR("error", big));
	o = json();
	assert_string_equal(text(o, "error") + strlen(text(o, "error")) - 3, "\xe2\x80\xa6");
	json_object_put(o);
	free(big);
}

/* Nobody reads: lines are dropped, and the first that gets through says so. */
static void test_nobody_reads(void **state)
{
	static char all[1 << 20];
	char *last;
	ssize_t n;

	(void)state;
	log_init(LOG_LEVEL_INFO, false);
	for (int i = 0; i < 20000; i++)
		log_msg(LOG_LEVEL_WARN, "flood", NULL, "line %d", i);
	n = read(out, all, sizeof(all) - 1);
	assert_true(n > 1000);
	all[n] = '\0';
	assert_int_equal(all[n - 1], '\n'); /* none was cut */
	assert_null(strstr(all, "line 19999"));
	log_msg(LOG_LEVEL_WARN, "again", NULL, "here");
	n = read(out, all, sizeof(all) - 1);
	assert_true(n > 0);
	all[n] = '\0';
	last = strstr(all, "log_lost lines=");
	assert_non_null(last);
	assert_in_range(atoi(last + strlen("log_lost lines=")), 100, 20000);
	assert_non_null(strstr(last, "here"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_json, begin, finish),
		cmocka_unit_test_setup_teardown(test_text, begin, finish),
		cmocka_unit_test_setup_teardown(test_levels, begin, finish),
		cmocka_unit_test_setup_teardown(test_hostile_text, begin, finish),
		cmocka_unit_test_setup_teardown(test_long_values, begin, finish),
		cmocka_unit_test_setup_teardown(test_nobody_reads, begin, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
