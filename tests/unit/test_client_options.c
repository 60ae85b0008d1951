/* test_client_options.c - the command line, in every order. */
#include "client_help.h"

#include "../../client/filter.h"

static struct options o;
static struct capture err;

static int parse(const char *line)
{
	static char copy[512];
	char *argv[32] = {(char *)"dcm-client"}, *save;
	int argc = 1, status;

	options_free(&o);
	o = (struct options){0};
	snprintf(copy, sizeof(copy), "%s", line);
	for (argv[argc] = strtok_r(copy, " ", &save); argv[argc];
	     argv[argc] = strtok_r(NULL, " ", &save))
		argc++;
	capture(&err, STDERR_FILENO);
	status = options_parse(&o, argc, argv);
	captured(&err);
	assert_int_equal(status == EXIT_OK, err.text[0] == '\0');
	return status;
}

static void any_order(void **state)
{
	static const char *const lines[] = {
		"--json --instance x get alpha web --refresh",
		"get --json alpha --refresh web --instance=x",
		"get alpha web --refresh --instance x --json",
		"--refresh get alpha --json --instance x -- web"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		assert_int_equal(parse(lines[i]), EXIT_OK);
		assert_string_equal(o.command, "get");
		assert_int_equal(o.n_args, 2);
		assert_string_equal(o.args[0], "alpha");
		assert_string_equal(o.args[1], "web");
		assert_string_equal(o.instance, "x");
		assert_true(o.json && o.refresh && !o.strict && !o.all && !o.quiet);
	}
}

static void two_dashes_end_options(void **state)
{
	(void)state;
	assert_int_equal(parse("search -- --json"), EXIT_OK);
	assert_int_equal(o.n_args, 1);
	assert_string_equal(o.args[0], "--json");
	assert_false(o.json);
	assert_int_equal(parse("-- search -n"), EXIT_OK);
	assert_string_equal(o.command, "search");
	assert_string_equal(o.args[0], "-n");
}

static void posixly_correct_changes_nothing(void **state)
{
	(void)state;
	setenv("POSIXLY_CORRECT", "1", 1);
	assert_int_equal(parse("ps alpha --json"), EXIT_OK);
	unsetenv("POSIXLY_CORRECT");
	assert_true(o.json);
	assert_int_equal(o.n_args, 1);
}

static void values(void **state)
{
	(void)state;
	assert_int_equal(parse("top -n 3"), EXIT_OK);
	assert_int_equal(o.n, 3);
	assert_int_equal(parse("top -n7"), EXIT_OK);
	assert_int_equal(o.n, 7);
	assert_int_equal(parse("ps --filter name=a -f status=running -q"), EXIT_OK);
	assert_true(o.quiet);
	assert_false(filter_is_of_hosts(o.filter));
	assert_int_equal(parse("refresh --all"), EXIT_OK);
	assert_true(o.all);
	assert_int_equal(parse("ps --refresh --strict --runtime-dir /x --format {name}"), EXIT_OK);
	assert_true(o.refresh && o.strict);
	assert_string_equal(o.runtime_dir, "/x");
	assert_string_equal(o.format, "{name}");
	assert_int_equal(parse(""), EXIT_OK);
	assert_null(o.command);
	assert_int_equal(o.n_args, 0);
	assert_int_equal(parse("--help"), EXIT_OK);
	assert_true(o.help);
	assert_int_equal(parse("--version"), EXIT_OK);
	assert_true(o.version);
}

static void what_is_refused(void **state)
{
	static const struct {
		const char *line, *says;
	} bad[] = {{"ps --colour", "'--colour'"},     {"ps -x", "'-x'"},
		   {"ps --filter", "needs a value"},  {"top -n", "needs a value"},
		   {"top -n many", "'many'"},	      {"top -n 0", "'0'"},
		   {"top -n -3", "'-3'"},	      {"top -n 99999999999999999999", "expected"},
		   {"top -n 3x", "'3x'"},	      {"ps --filter x=1", "no filter 'x'"},
		   {"ps --filter status", "has no '='"}, {"ps --json=yes", "takes no value"}};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(parse(bad[i].line), EXIT_USAGE);
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s: %s", bad[i].line, err.text);
		/* One line. */
		assert_int_equal(strcspn(err.text, "\n"), strlen(err.text) - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order),
		cmocka_unit_test(two_dashes_end_options),
		cmocka_unit_test(posixly_correct_changes_nothing),
		cmocka_unit_test(values),
		cmocka_unit_test(what_is_refused),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	options_free(&o);
	return failed;
}
