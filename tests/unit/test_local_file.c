/* test_local_file.c - files of this machine: regular ones, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../collector/local_file.h"

static char dir[64];

static const char *in_dir(const char *name)
{
	static char p[128];

	snprintf(p, sizeof(p), "%s/%s", dir, name);
	return p;
}

static void make(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	char to[128];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/dcm-test-file-XXXXXX");
	assert_non_null(mkdtemp(dir));
	make("a.yml", "services: {}\n");
	assert_int_equal(mkdir(in_dir("d"), 0700), 0);
	make("d/b.yml", "0123456789");
	assert_int_equal(symlink("a.yml", in_dir("link.yml")), 0);
	snprintf(to, sizeof(to), "%s", in_dir("d"));
	assert_int_equal(symlink(to, in_dir("way")), 0);
	assert_int_equal(mkfifo(in_dir("pipe.yml"), 0600), 0);
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"a.yml", "d/b.yml", "link.yml", "way", "pipe.yml"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(in_dir(names[i]));
	rmdir(in_dir("d"));
	rmdir(dir);
	return 0;
}

static void refused(const char *name, const char *why)
{
	char buf[32];
	const char *error = NULL;

	assert_int_equal(local_file_get(in_dir(name), buf, sizeof(buf), &error), -1);
	assert_non_null(strstr(error, why));
}

static void test_regular_files_alone(void **state)
{
	char buf[32];
	const char *error = NULL;

	(void)state;
	assert_int_equal(local_file_get(in_dir("a.yml"), buf, sizeof(buf), &error), 13);
	assert_memory_equal(buf, "services: {}\n", 13);
	assert_int_equal(local_file_get(in_dir("d/b.yml"), buf, 4, &error), 4);
	assert_memory_equal(buf, "0123", 4);
	refused("link.yml", "symbolic link");
	refused("way/b.yml", "symbolic link");
	refused("pipe.yml", "regular");
	refused("d", "regular");
	refused("none.yml", "no such file");
	assert_int_equal(local_file_get("a.yml", buf, sizeof(buf), &error), -1);
	assert_non_null(strstr(error, "absolute"));
}

static struct event_base *base;
static int calls;
static char got[32];

static void on_done(void *arg, const char *data, size_t len, const char *error)
{
	(void)arg;
	calls++;
	snprintf(got, sizeof(got), "%s%.*s", error ? error : "", (int)len, data ? data : "");
}

static void test_beside_the_loop(void **state)
{
	(void)state;
	base = event_base_new();
	calls = 0;
	assert_non_null(local_file_read(base, in_dir("d/b.yml"), 100, on_done, NULL));
	assert_int_equal(calls, 0);
	event_base_dispatch(base); /* ends by itself: nothing is left to wait for */
	assert_int_equal(calls, 1);
	assert_string_equal(got, "0123456789");
	assert_non_null(local_file_read(base, in_dir("none.yml"), 100, on_done, NULL));
	event_base_dispatch(base);
	assert_string_equal(got, "no such file");
	local_file_cancel(local_file_read(base, in_dir("d/b.yml"), 100, on_done, NULL));
	event_base_dispatch(base);
	assert_int_equal(calls, 2);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_regular_files_alone),
		cmocka_unit_test(test_beside_the_loop),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
