/* test_decode_text.c - UTF-8, times, what an engine says of itself, log lines. */
#include "../../collector/decode_text.h"
#include "decode_help.h"

static struct arena arena;
#define FFFD "\xEF\xBF\xBD"

static struct dcm_str utf8(const char *s, size_t len)
{
	char *exact = exact_copy(s, len);
	struct dcm_str out;

	out = decode_utf8(&arena, exact, len);
	free(exact);
	return out;
}
#define UTF8(literal) utf8(literal, sizeof(literal) - 1)

static void clean_text(void **state)
{
	(void)state;
	assert_text(UTF8(""), "");
	assert_text(UTF8("plain ascii text"), "plain ascii text");
	assert_text(UTF8("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
		    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	assert_text(UTF8("a\0b"), "a" FFFD "b");
	assert_text(UTF8("\x80"), FFFD);
	assert_text(UTF8("\xc0\xaf"), FFFD FFFD); /* overlong */
	assert_text(UTF8("\xe0\x80\x80"), FFFD FFFD FFFD);
	assert_text(UTF8("\xed\xa0\x80"), FFFD FFFD FFFD); /* a surrogate */
	assert_text(UTF8("\xf4\x90\x80\x80"), FFFD FFFD FFFD FFFD);
	assert_text(UTF8("\xf5"), FFFD);
	assert_text(UTF8("1234567\xe2\x82"), "1234567" FFFD); /* cut: one for the whole */
	assert_text(UTF8("\xe2\x82x\xf0\x9f\x98"), FFFD "x" FFFD);
	assert_text(UTF8("\xc3\xc3\xa9"), FFFD "\xc3\xa9");
}

/* Every sequence of up to three bytes: clean in, the same out; always valid. */
static void every_sequence(void **state)
{
	static const unsigned char bytes[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
					      0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
					      0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};
	size_t n = sizeof(bytes), i, j, k, l;

	(void)state;
	for (i = 0; i < n; i++)
		for (j = 0; j < n; j++)
			for (k = 0; k < n; k++)
				for (l = 0; l < n; l += 3) {
					char s[4] = {(char)bytes[i], (char)bytes[j], (char)bytes[k],
						     (char)bytes[l]};
					struct dcm_str out = utf8(s, 4);

					assert_int_equal(text_valid(out.s, out.len), out.len);
					assert_null(memchr(out.s, 0, out.len));
					if (text_valid(s, 4) == 4 && !memchr(s, 0, 4))
						assert_memory_equal(out.s, s, 4);
				}
	arena_free(&arena);
}

static void cutting(void **state)
{
	char line[8];

	(void)state;
	assert_int_equal(text_cut("a\xc3\xa9", 3, 3), 3);
	assert_int_equal(text_cut("a\xc3\xa9", 3, 2), 1);
	assert_int_equal(text_cut("\xf0\x9f\x98\x80", 4, 3), 0);
	text_line(" a\t\n\x7f b\x1b ", 9, line, sizeof(line));
	assert_string_equal(line, "a b");
	text_line("abcdef\xc3\xa9", 8, line, sizeof(line));
	assert_string_equal(line, "abcdef");
	text_line("abcde\xc3\xa9", 7, line, sizeof(line));
	assert_string_equal(line, "abcde\xc3\xa9");
	text_line("x", 1, line, 1);
	assert_string_equal(line, "");
}

static double when(const char *s)
{
	return decode_time((struct dcm_str){s, (uint32_t)strlen(s)});
}

static void times(void **state)
{
	static const char *const bad[] = {
	    "",
	    "2024",
	    "2024-05-01",
	    "2024-05-01T12:00:00",
	    "2024-05-01T12:00:00Zx",
	    "2024-05-01T12:00:00.Z",
	    "2024-13-01T12:00:00Z",
	    "2024-02-30T12:00:00Z",
	    "2023-02-29T12:00:00Z",
	    "2024-05-01T24:00:00Z",
	    "2024-05-01T12:00:00+2",
	    "2024-05-01T12:00:00+02",
	    "2024-05-01T12:00:00+02:60",
	    "-024-05-01T12:00:00Z",
	};
	char text[TEXT_TIME];
	int64_t t;
	size_t i;

	(void)state;
	assert_true(when("1970-01-01T00:00:00Z") == 0);
	assert_true(when("2024-05-01T12:00:00Z") == 1714564800);
	assert_true(when("2024-05-01T14:00:00+02:00") == 1714564800);
	assert_true(when("2024-05-01T06:30:00-05:30") == 1714564800);
	assert_true(fabs(when("2024-05-01T12:00:00.123456789Z") - 1714564800.123456789) < 1e-6);
	assert_true(when("2024-02-29T00:00:00.5z") == 1709164800.5);
	assert_true(when("0001-01-01T00:00:00Z") == -62135596800);
	assert_true(when("2016-12-31T23:59:60Z") == 1483228800);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (!isnan(when(bad[i])))
			fail_msg("%s: taken as a time", bad[i]);
	assert_true(isnan(decode_time((struct dcm_str){NULL, 0})));
	/* And back. */
	for (t = -62135596800; t < 253402300799; t += 86400 * 13 + 3607) {
		text_time(t, text);
		if (when(text) != (double)t)
			fail_msg("%lld became %s", (long long)t, text);
	}
}

/* ---- the engine ---------------------------------------------------------- */

static struct engine_about about(const char *version, const char *info)
{
	struct bytes b = load(version);
	struct engine_about a;
	char err[DECODE_ERR] = "";

	decode_about_init(&a);
	assert_int_equal(a.cpus, DCM_UNKNOWN);
	assert_int_equal(decode_version(b.p, b.len, &a, err), 0);
	free(b.p);
	b = load(info);
	assert_int_equal(decode_info(b.p, b.len, &a, err), 0);
	free(b.p);
	return a;
}

static void engines(void **state)
{
	struct engine_about a = about("docker-20.10-version.json", "docker-20.10-info.json");

	(void)state;
	assert_string_equal(a.version, "20.10.24+dfsg1");
	assert_string_equal(a.api_version, "1.41");
	assert_string_equal(a.min_api_version, "1.12");
	assert_string_equal(a.os, "Debian GNU/Linux 12 (bookworm)");
	assert_string_equal(a.kernel, "6.1.0-18-amd64");
	assert_string_equal(a.name, "engine-1");
	assert_int_equal(a.cpus, 2);
	assert_int_equal(a.memory_total, 25276510208);
	assert_true(fabs(a.system_time - 1795415824.718) < 0.01);
	assert_false(a.podman);
	a = about("podman-4.3-version.json", "podman-4.3-info.json");
	assert_true(a.podman);
	assert_string_equal(a.version, "4.3.1");
	assert_string_equal(a.api_version, "1.41");
}

static void engines_that_say_nothing(void **state)
{
	struct engine_about a;
	char err[DECODE_ERR];

	(void)state;
	decode_about_init(&a);
	assert_int_equal(decode_version("{}", 2, &a, err), 0);
	assert_int_equal(decode_info("{}", 2, &a, err), 0);
	assert_string_equal(a.version, "");
	assert_int_equal(a.cpus, DCM_UNKNOWN);
	assert_true(isnan(a.system_time));
	assert_int_equal(decode_version("[]", 2, &a, err), -1);
	assert_non_null(strstr(err, "/version"));
	assert_int_equal(decode_info("[]", 2, &a, err), -1);
	assert_non_null(strstr(err, "/info"));
	assert_int_equal(decode_info("<html>", 6, &a, err), -1);
}

static void errors(void **state)
{
	struct bytes b = load("docker-20.10-error.json");
	char out[64];

	(void)state;
	decode_error(b.p, b.len, out, sizeof(out));
	assert_string_equal(out, "No such container: nope");
	free(b.p);
	decode_error("page not found\n", 15, out, sizeof(out));
	assert_string_equal(out, "page not found");
	decode_error("{\"message\":\"two\\nlines \\u001b[0m\"}", 34, out, sizeof(out));
	assert_string_equal(out, "two lines [0m");
	decode_error("{\"cause\":\"x\"}", 13, out, sizeof(out));
	assert_string_equal(out, "{\"cause\":\"x\"}");
	decode_error("\xff", 1, out, sizeof(out));
	assert_string_equal(out, FFFD);
	decode_error("", 0, out, sizeof(out));
	assert_string_equal(out, "");
	decode_error("abc", 3, out, 2);
	assert_string_equal(out, "a");
}

/* ---- logs ---------------------------------------------------------------- */

/* A frame, appended to *at. */
static void frame(char **at, int stream, const char *s)
{
	size_t n = strlen(s);
	char head[8] = {(char)stream,	0,	0, 0, (char)(n >> 24), (char)(n >> 16),
			(char)(n >> 8), (char)n};

	memcpy(*at, head, 8);
	memcpy(*at + 8, s, n);
	*at += 8 + n;
}

static struct dcm_strs logs(const char *data, size_t len, bool tty, uint32_t max)
{
	char *exact = exact_copy(data, len);
	struct dcm_strs out;

	arena_free(&arena);
	assert_int_equal(decode_logs(exact, len, tty, max, &arena, &out), 0);
	free(exact);
	return out;
}

static void log_frames(void **state)
{
	char data[500], *p = data;

	(void)state;
	frame(&p, 1, "one\n");
	frame(&p, 2, "err\xff\r\n");
	frame(&p, 1, "two and");
	frame(&p, 2, "between\n");
	frame(&p, 1, " a half\n\nfour\nopen");
	assert_list(logs(data, (size_t)(p - data), false, 100), "one", "err" FFFD, "between",
		    "two and a half", "", "four", "open");
	assert_list(logs(data, (size_t)(p - data), false, 2), "four", "open");
	/* Cut in the last frame, and in its header. */
	assert_list(logs(data, (size_t)(p - data) - 4, false, 1), "four");
	assert_list(logs(data, (size_t)(p - data) - 6, false, 1), "fou");
	assert_list(logs(data, 12 + 5, false, 9), "one");
	assert_empty(logs(data, (size_t)(p - data), false, 0));
	assert_empty(logs(data, 0, false, 5));
}

static void log_of_a_terminal(void **state)
{
	struct dcm_strs l = logs("a\r\nb\0\xff\r\n\r\nd", 11, true, 9);

	(void)state;
	assert_int_equal(l.n, 4);
	/* NUL is a character as any other; what is no UTF-8 is not. */
	assert_int_equal(l.v[1].len, 5);
	assert_memory_equal(l.v[1].s, "b\0" FFFD, 5);
	assert_list(logs("a\r\nbc\r\n\r\nd", 10, true, 9), "a", "bc", "", "d");
	/* Plain bytes where frames were to come. */
	assert_list(logs("plain text\nmore", 15, false, 9), "plain text", "more");
	assert_list(logs("x\n", 2, false, 9), "x");
}

/* A length that lies reads nothing that is not there; a line has its maximum. */
static void hostile_logs(void **state)
{
	size_t n = 3 << 20, i;
	char *data = malloc(n);
	struct dcm_strs out;

	(void)state;
	assert_list(logs("\1\0\0\0\377\377\377\377abc", 11, false, 9), "abc");
	memset(data, 'a', n);
	out = logs(data, n, true, 5);
	assert_int_equal(out.n, 1);
	assert_int_equal(out.v[0].len, 1 << 20);
	for (i = 0; i < n; i++)
		data[i] = '\n';
	out = logs(data, n, true, 5);
	assert_int_equal(out.n, 5);
	arena_free(&arena);
	arena.max = 1000;
	assert_int_equal(decode_logs(data, n, true, 1000, &arena, &out), -1);
	arena.max = 0;
	free(data);
}

/* ---- images and networks ---------------------------------------------------------- */

static void catalogs(void **state)
{
	char err[DECODE_ERR];
	struct dcm_strs out;
#define CATALOG(what, json) decode_##what(json, sizeof(json) - 1, &arena, &out, err)

	(void)state;
	arena_free(&arena);
	assert_int_equal(CATALOG(images, "[{\"Id\":\"sha256:b\",\"ParentId\":\"sha256:a\","
				 "\"RepoTags\":[\"x:1\",\"y:2\"],\"RepoDigests\":[\"x@sha256:d\"]},"
				 "{\"Id\":\"sha256:a\",\"ParentId\":\"\","
				 "\"RepoTags\":[\"<none>:<none>\"],"
				 "\"RepoDigests\":null},{\"Id\":\"a b\"},7,{}]"), 0);
	assert_list(out, "sha256:b sha256:a x:1 y:2 x@sha256:d", "sha256:a -");
	assert_int_equal(CATALOG(networks, "[{\"Id\":\"ab\",\"Name\":\"n\"},{\"Name\":\"m\"},"
				 "{\"Id\":\"ac\"}]"), 0);
	assert_list(out, "ab n");
	assert_int_equal(CATALOG(networks, "[]"), 0);
	assert_empty(out);
	assert_int_equal(CATALOG(images, "{\"message\":\"no\"}"), -1);
	assert_false(out.known);
	assert_int_equal(CATALOG(images, "[{\"Id\""), -1);
	assert_false(out.known);
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(clean_text),
	    cmocka_unit_test(every_sequence),
	    cmocka_unit_test(catalogs),
	    cmocka_unit_test(cutting),
	    cmocka_unit_test(times),
	    cmocka_unit_test(engines),
	    cmocka_unit_test(engines_that_say_nothing),
	    cmocka_unit_test(errors),
	    cmocka_unit_test(log_frames),
	    cmocka_unit_test(log_of_a_terminal),
	    cmocka_unit_test(hostile_logs),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
