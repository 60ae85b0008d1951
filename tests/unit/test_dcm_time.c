/* test_dcm_time.c - times as the engine writes them, ages as people read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "../../shm/dcm_impl.h"

static double parse(const char *s)
{
	return dcm_time_parse((struct dcm_str){s, s ? (uint32_t)strlen(s) : 0});
}

static void test_times(void **state)
{
	(void)state;
	assert_true(parse("1970-01-01T00:00:00Z") == 0);
	assert_true(parse("2024-02-29T12:34:56Z") == 1709210096);
	assert_true(parse("2000-03-01T00:00:00Z") == 951868800);
	assert_true(parse("1969-12-31T23:59:59Z") == -1);
	assert_true(parse("2024-02-29T12:34:56+02:00") == 1709210096 - 7200);
	assert_true(parse("2024-02-29T12:34:56-05:30") == 1709210096 + 19800);
	assert_true(fabs(parse("2024-02-29T12:34:56.987654321Z") - 1709210096.987654321) < 1e-6);
	assert_true(parse("2024-12-31T23:59:60Z") == parse("2025-01-01T00:00:00Z"));
}

static void test_no_times(void **state)
{
	static const char *const wrong[] = {
		"", "2024", "2024-02-29", "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z",
		"2024-01-32T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z",
		"2024-01-01T00:00:61Z", "2024-01-01T00:00:00", "2024-01-01T00:00:00+2:00",
		"2024-01-01T00:00:00Zx", "2024-01-01x00:00:00Z", "yesterday",
		"2024-01-01T00:00:00+02:00x"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (!isnan(parse(wrong[i])))
			fail_msg("%s is no time", wrong[i]);
	assert_true(isnan(parse(NULL)));
}

static void uptime_is(double seconds, const char *want)
{
	char out[24];

	dcm_uptime_text(seconds, out);
	assert_string_equal(out, want);
}

static void test_uptime(void **state)
{
	(void)state;
	uptime_is(0, "0s");
	uptime_is(12.9, "12s");
	uptime_is(59.99, "59s");
	uptime_is(60, "1m");
	uptime_is(4 * 60 + 59, "4m");
	uptime_is(3600, "1h 0m");
	uptime_is(3 * 3600 + 12 * 60 + 5, "3h 12m");
	uptime_is(86400, "1d 0h");
	uptime_is(2 * 86400 + 5 * 3600 + 3599, "2d 5h");
	uptime_is(-3, "0s"); /* clocks differ a little */
	uptime_is(NAN, "");
	uptime_is(INFINITY, "");
	uptime_is(1e300, "115740740d 17h");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_no_times),
		cmocka_unit_test(test_uptime),
	};

	return cmocka_run_group_tests_name("dcm_time", tests, NULL, NULL);
}
