/* test_client_text.c - safe text, figures for people, times. */
#include "client_help.h"

static struct dcm_text t;

static const char *safe(const char *s, size_t n, enum text_charset cs, unsigned *columns)
{
	text_clear(&t);
	*columns = text_add_safe(&t, s, n, cs);
	return t.s ? t.s : "";
}

static void control_characters_never_pass(void **state)
{
	unsigned w, c;

	(void)state;
	assert_string_equal(safe("a\033[31mb", 7, TEXT_UTF8, &w), "a\\x1b[31mb");
	assert_int_equal(w, 10);
	assert_string_equal(safe("a\nb\tc\r", 6, TEXT_UTF8, &w), "a\\nb\\tc\\r");
	for (c = 0; c < 256; c++) {
		char byte = (char)c;

		safe(&byte, 1, TEXT_UTF8, &w);
		assert_int_equal(w, t.len);
		for (size_t i = 0; i < t.len; i++)
			assert_true(t.s[i] >= 0x20 && t.s[i] < 0x7f);
	}
	/* C1 as UTF-8 (CSI), a bidirectional override, a tag character. */
	assert_string_equal(safe("\xc2\x9b", 2, TEXT_UTF8, &w), "\\x9b");
	assert_string_equal(safe("\xe2\x80\xae", 3, TEXT_UTF8, &w), "\\u202e");
	assert_string_equal(safe("\xf3\xa0\x80\xa1", 4, TEXT_UTF8, &w), "\\U000e0021");
}

static void invalid_utf8_is_shown_byte_by_byte(void **state)
{
	unsigned w;

	(void)state;
	assert_string_equal(safe("\xff\xc3", 2, TEXT_UTF8, &w), "\\xff\\xc3");
	assert_string_equal(safe("\xc0\xaf", 2, TEXT_UTF8, &w), "\\xc0\\xaf"); /* overlong */
	assert_string_equal(safe("\xed\xa0\x80", 3, TEXT_UTF8, &w), "\\xed\\xa0\\x80");
	assert_string_equal(safe("\xe2\x82", 2, TEXT_UTF8, &w), "\\xe2\\x82"); /* cut */
}

static void width_is_of_columns(void **state)
{
	unsigned w;

	(void)state;
	assert_string_equal(safe("größe", 7, TEXT_UTF8, &w), "größe");
	assert_int_equal(w, 5);
	safe("日本", 6, TEXT_UTF8, &w);
	assert_int_equal(w, 4);
	assert_string_equal(safe("é", 2, TEXT_ASCII, &w), "\\xe9");
	assert_int_equal(w, 4);
	assert_string_equal(safe("日", 3, TEXT_ASCII, &w), "\\u65e5");
}

static void fit_cuts_at_characters(void **state)
{
	unsigned used;

	(void)state;
	assert_int_equal(text_fit("abcdef", 6, 4, &used), 4);
	assert_int_equal(used, 4);
	assert_int_equal(text_fit("日本", 6, 3, &used), 3);
	assert_int_equal(used, 2);
	assert_int_equal(text_fit("ab", 2, 9, &used), 2);
	assert_int_equal(text_fit("ab", 2, 0, &used), 0);
}

static const char *bytes(int64_t v)
{
	text_clear(&t);
	text_bytes(&t, v);
	return t.s;
}

static const char *seconds(double v)
{
	text_clear(&t);
	text_seconds(&t, v);
	return t.s;
}

static void figures(void **state)
{
	(void)state;
	assert_string_equal(bytes(0), "0B");
	assert_string_equal(bytes(1023), "1023B");
	assert_string_equal(bytes(1024), "1.0KiB");
	assert_string_equal(bytes(12897484), "12.3MiB");
	assert_string_equal(bytes((int64_t)1 << 30), "1.0GiB");
	assert_string_equal(bytes(((int64_t)1 << 30) - 1), "1.0GiB"); /* not "1024MiB" */
	assert_string_equal(bytes(500LL << 20), "500MiB");
	assert_string_equal(bytes(INT64_MAX), "8.0EiB");
	assert_string_equal(seconds(0.9), "0s");
	assert_string_equal(seconds(59.9), "59s");
	assert_string_equal(seconds(60), "1m");
	assert_string_equal(seconds(3599), "59m");
	assert_string_equal(seconds(3600 * 3 + 60 * 12), "3h 12m");
	assert_string_equal(seconds(86400 * 2 + 3600 * 5), "2d 5h");
	assert_string_equal(seconds(-3), "0s");
	assert_string_equal(seconds(NAN), "-");
}

static void numbers(void **state)
{
	static const double v[] = {0, 1, -1.5, 0.1, 1.0 / 3, 1e300, 1795415000.123456};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(v) / sizeof(*v); i++) {
		text_clear(&t);
		text_number(&t, v[i]);
		assert_true(strtod(t.s, NULL) == v[i]);
	}
	text_clear(&t);
	text_number(&t, 0.1);
	text_number(&t, NAN);
	text_number(&t, INFINITY);
	assert_string_equal(t.s, "0.1nullnull");
}

static void times(void **state)
{
	int64_t ns, other;

	(void)state;
	assert_true(time_parse(S("1970-01-01T00:00:01Z"), &ns));
	assert_int_equal(ns, 1000000000);
	assert_true(time_parse(S("2026-11-23T06:36:56.160006177Z"), &ns));
	assert_true(time_parse(S("2026-11-23T08:36:56.160006177+02:00"), &other));
	assert_int_equal(ns, other);
	assert_int_equal(ns % 1000000000, 160006177);
	assert_true(time_parse(S("2026-11-23T06:36:56.16Z"), &other));
	assert_int_equal(ns - other, 6177);
	assert_false(time_parse(S(""), &ns));
	assert_false(time_parse(S("yesterday"), &ns));
	assert_false(time_parse(S("2026-11-23T06:36:56"), &ns));
	assert_false(time_parse((struct dcm_str){NULL, 0}, &ns));
}

static void buffers_grow(void **state)
{
	struct dcm_text b = {0};
	size_t i;

	(void)state;
	for (i = 0; i < 100000; i++)
		text_printf(&b, "%zu,", i % 10);
	text_pad(&b, 1000);
	assert_int_equal(b.len, 201000);
	assert_int_equal(strlen(b.s), b.len);
	assert_true(one_of("b", "a b c") && one_of("c", "a b c") && one_of("a", "a b c"));
	assert_false(one_of("", "a b c") || one_of("a b", "a b c") || one_of("bb", "a b c"));
	dcm_text_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_characters_never_pass),
		cmocka_unit_test(invalid_utf8_is_shown_byte_by_byte),
		cmocka_unit_test(width_is_of_columns),
		cmocka_unit_test(fit_cuts_at_characters),
		cmocka_unit_test(figures),
		cmocka_unit_test(numbers),
		cmocka_unit_test(times),
		cmocka_unit_test(buffers_grow),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	dcm_text_free(&t);
	return failed;
}
