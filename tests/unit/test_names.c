/* test_names.c - what objects are called, and the default directories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../shm/names.h"

static void test_ids(void **state)
{
	char longest[65];

	(void)state;
	memset(longest, 'a', 64);
	longest[64] = '\0';
	assert_true(names_id_valid("a", 63));
	assert_true(names_id_valid("0.x_y-Z", 63));
	assert_true(names_id_valid(longest + 1, 63));
	assert_false(names_id_valid(longest, 63));
	assert_false(names_id_valid(NULL, 63));
	assert_false(names_id_valid("", 63));
	assert_false(names_id_valid("-a", 63));
	assert_false(names_id_valid(".a", 63));
	assert_false(names_id_valid("_a", 63));
	assert_false(names_id_valid("a/b", 63));
	assert_false(names_id_valid("a:b", 63));
	assert_false(names_id_valid("\xc3\xa9", 63));
}

static void test_there_and_back(void **state)
{
	char name[DCM_OBJECT_NAME_MAX];
	struct names_parsed p;

	(void)state;
	names_lock(name, 0, "default");
	assert_string_equal(name, "/dcm-0-default-:lock");
	assert_true(names_parse(name + 1, &p));
	assert_int_equal(p.kind, NAMES_LOCK);

	names_directory(name, 1000, "a-b.c-");
	assert_string_equal(name, "/dcm-1000-a-b.c--:dir");
	assert_true(names_parse(name + 1, &p));
	assert_int_equal(p.kind, NAMES_DIRECTORY);
	assert_int_equal(p.uid, 1000);
	assert_string_equal(p.instance, "a-b.c-");
	assert_string_equal(p.host, "");

	names_shard(name, 4294967295u, "x", "host-1.example", 4294967295u);
	assert_string_equal(name, "/dcm-4294967295-x-:host:host-1.example:4294967295");
	assert_true(names_parse(name + 1, &p));
	assert_int_equal(p.kind, NAMES_SHARD);
	assert_true(p.uid == 4294967295u && p.generation == 4294967295u);
	assert_string_equal(p.instance, "x");
	assert_string_equal(p.host, "host-1.example");
}

static void test_longest_fits(void **state)
{
	char name[DCM_OBJECT_NAME_MAX], instance[33], host[64];
	struct names_parsed p;

	(void)state;
	memset(instance, 'i', 32);
	memset(host, 'h', 63);
	instance[32] = host[63] = '\0';
	names_shard(name, 4294967295u, instance, host, 4294967295u);
	assert_true(names_parse(name + 1, &p));
	assert_string_equal(p.instance, instance);
	assert_string_equal(p.host, host);
}

static void test_strangers(void **state)
{
	static const char *const wrong[] = {
	    "",
	    "dcm-",
	    "dcm-0",
	    "dcm-0-",
	    "dcm-0-:",
	    "dcm-0--:lock",
	    "dcm-0-a:lock",
	    "dcm-0-a-:",
	    "dcm-0-a-:lock2",
	    "dcm-0-a-:dirx",
	    "dcm-0-a-:host",
	    "dcm-0-a-:host:",
	    "dcm-0-a-:host:h",
	    "dcm-0-a-:host:h:",
	    "dcm-0-a-:host:h:0",
	    "dcm-0-a-:host:h:01",
	    "dcm-0-a-:host:h:1x",
	    "dcm-0-a-:host:h:-1",
	    "dcm-0-a-:host::1",
	    "dcm-0-a-:host:h:4294967296",
	    "dcm-00-a-:lock",
	    "dcm-x-a-:lock",
	    "dcm--a-:lock",
	    "dcm-4294967296-a-:lock",
	    "dcm-0-.a-:lock",
	    "xdcm-0-a-:lock",
	    "dcm-0-a-:host:h/../x:1",
	    "dcm-0-a-:host:h:1:2",
	    "dcm-99999999999999999999-a-:lock",
	    "dcm-0-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-:lock",
	};
	struct names_parsed p;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (names_parse(wrong[i], &p))
			fail_msg("taken for ours: %s", wrong[i]);
}

static void test_default_paths(void **state)
{
	char path[256], small[8];

	(void)state;
	if (getuid() == 0) {
		assert_true(names_default_path('r', path, sizeof(path)));
		assert_string_equal(path, "/run/dcm");
		assert_true(names_default_path('s', path, sizeof(path)));
		assert_string_equal(path, "/var/lib/dcm");
		assert_true(names_default_path('c', path, sizeof(path)));
		assert_string_equal(path, "/etc/dcm/hosts.yml");
		if (setresuid(65534, 65534, 0) < 0)
			skip();
	}
	setenv("HOME", "/home/u", 1);
	unsetenv("XDG_STATE_HOME");
	unsetenv("XDG_CONFIG_HOME");
	setenv("XDG_RUNTIME_DIR", "/run/user/77", 1);
	assert_true(names_default_path('r', path, sizeof(path)));
	assert_string_equal(path, "/run/user/77/dcm");
	assert_true(names_default_path('s', path, sizeof(path)));
	assert_string_equal(path, "/home/u/.local/state/dcm");
	assert_true(names_default_path('c', path, sizeof(path)));
	assert_string_equal(path, "/home/u/.config/dcm/hosts.yml");
	setenv("XDG_STATE_HOME", "/s", 1);
	setenv("XDG_CONFIG_HOME", "relative", 1); /* not valid: passed over */
	assert_true(names_default_path('s', path, sizeof(path)));
	assert_string_equal(path, "/s/dcm");
	assert_true(names_default_path('c', path, sizeof(path)));
	assert_string_equal(path, "/home/u/.config/dcm/hosts.yml");
	assert_false(names_default_path('c', small, sizeof(small)));
	unsetenv("HOME");
	assert_false(names_default_path('c', path, sizeof(path)));
	unsetenv("XDG_RUNTIME_DIR");
	assert_true(names_default_path('r', path, sizeof(path)));
	assert_non_null(strstr(path, "dcm"));
	assert_false(names_default_path('x', path, sizeof(path)));
	if (getuid() == 65534)
		assert_int_equal(setresuid(0, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ids),		  cmocka_unit_test(test_there_and_back),
	    cmocka_unit_test(test_longest_fits),  cmocka_unit_test(test_strangers),
	    cmocka_unit_test(test_default_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
