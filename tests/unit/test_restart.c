/* test_restart.c - how long a child that died waits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../collector/restart.h"

static void assert_about(double is, double want)
{
	if (fabs(is - want) > 1e-9)
		fail_msg("%g, not %g", is, want);
}

static void test_stillborn(void **state)
{
	static const double want[] = {0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30};
	struct restart_history h = {0};
	double now = 1000;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		assert_about(restart_delay(&h, false, now), want[i]);
		now += 100;
	}
	for (int i = 0; i < 10000; i++) /* for ever */
		assert_about(restart_delay(&h, false, now += 100), 30);
	assert_about(restart_delay(&h, true, now + 100), 0.1); /* it came up once */
	assert_about(restart_delay(&h, false, now + 200), 0.1); /* so from the start */
}

static void test_tenth_death_in_a_minute(void **state)
{
	struct restart_history h = {0};

	(void)state;
	for (int i = 1; i <= 9; i++)
		assert_about(restart_delay(&h, true, i), 0.1);
	assert_about(restart_delay(&h, true, 10), 2);
	assert_about(restart_delay(&h, true, 60), 2);	/* ten since 2 */
	assert_about(restart_delay(&h, true, 63.5), 0.1); /* the 10th last was at 3 */
	assert_about(restart_delay(&h, true, 63.6), 2); /* 4 */
	assert_about(restart_delay(&h, true, 1000), 0.1);
}

/* Whether it was seen to beat makes no difference to a crash loop. */
static void test_stillborn_in_a_crash_loop(void **state)
{
	struct restart_history h = {0};

	(void)state;
	for (int i = 1; i <= 9; i++)
		assert_about(restart_delay(&h, true, i), 0.1);
	assert_about(restart_delay(&h, false, 10), 2);
	assert_about(restart_delay(&h, true, 12), 2);
	for (int i = 0; i < 5; i++)
		assert_about(restart_delay(&h, false, 20), 2);
	assert_about(restart_delay(&h, false, 20), 3.2); /* the sixth in a row */
}

/* Far apart, any number of deaths is none too many. */
static void test_now_and_then(void **state)
{
	struct restart_history h = {0};

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_about(restart_delay(&h, true, i * 6.7), 0.1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stillborn),
		cmocka_unit_test(test_tenth_death_in_a_minute),
		cmocka_unit_test(test_stillborn_in_a_crash_loop),
		cmocka_unit_test(test_now_and_then),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
