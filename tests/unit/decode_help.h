/* decode_help.h - what the tests of the decoders share: documents and records. */
#ifndef DCM_TEST_DECODE_HELP_H
#define DCM_TEST_DECODE_HELP_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../collector/decode.h"

struct bytes {
	char *p;
	size_t len;
};

/* A file of tests/data/engine (the tests run at the top of the tree). */
static inline struct bytes load(const char *name)
{
	struct bytes b;
	char path[256];
	FILE *f;
	long n;

	snprintf(path, sizeof(path), "tests/data/engine/%s", name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("%s: not there; run the tests at the top of the tree", path);
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	b.p = malloc((size_t)n + 1);
	assert_non_null(b.p);
	b.len = fread(b.p, 1, (size_t)n, f);
	assert_int_equal(b.len, n);
	b.p[n] = 0;
	fclose(f);
	return b;
}

/* A copy in a block of just that size, so that ASan sees a read past its end.
 * Not inline: gcc would warn that malloc() fills nothing where len is 0. */
__attribute__((noinline, unused)) static char *exact_copy(const char *s, size_t len)
{
	char *p = malloc(len);

	if (len) {
		assert_non_null(p);
		memcpy(p, s, len);
	}
	return p;
}

#define assert_text(str, expected)                      \
	do {                                            \
		struct dcm_str t_ = (str);              \
		assert_non_null(t_.s);                  \
		assert_string_equal(t_.s, expected);    \
		assert_int_equal(t_.len, strlen(t_.s)); \
	} while (0)
#define assert_null_text(str) assert_null((str).s)

static inline void assert_list_(struct dcm_strs l, size_t n, const char *const *expected,
				const char *file, int line)
{
	if (!l.known || l.n != n)
		fail_msg("%s:%d: %s, %u items, expected %zu", file, line,
			 l.known ? "known" : "not known", l.n, n);
	for (size_t i = 0; i < n; i++)
		if (strcmp(l.v[i].s, expected[i]) != 0)
			fail_msg("%s:%d: item %zu is \"%s\", expected \"%s\"", file, line, i,
				 l.v[i].s, expected[i]);
}
#define LIST(...) ((const char *const[]){__VA_ARGS__})
#define assert_list(l, ...)                                                                      \
	assert_list_(l, sizeof(LIST(__VA_ARGS__)) / sizeof(char *), LIST(__VA_ARGS__), __FILE__, \
		     __LINE__)
#define assert_empty(l)                     \
	do {                                \
		assert_true((l).known);     \
		assert_int_equal((l).n, 0); \
	} while (0)

/* The value of a key; fails where the key is absent. */
static inline struct dcm_str value_of(struct dcm_map m, const char *key)
{
	assert_true(m.known);
	for (uint32_t i = 0; i < m.n; i++)
		if (strcmp(m.v[i].key.s, key) == 0)
			return m.v[i].value;
	fail_msg("no key %s", key);
	return (struct dcm_str){NULL, 0};
}

#endif
