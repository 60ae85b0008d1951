/* test_mp.c - the msgpack cursor: every format, every bound, any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack.h>

#include "../../shm/mp.h"

/* A copy of exactly `len` bytes on the heap, where ASan sees a step beyond. */
static uint8_t *exact(const void *data, size_t len)
{
	uint8_t *p = malloc(len ? len : 1);

	assert_non_null(p);
	memcpy(p, data, len);
	return p;
}

static struct mp_item only_item(const void *bytes, size_t len)
{
	struct mp m = mp_of(bytes, len);
	struct mp_item it = mp_next(&m);

	assert_false(m.bad);
	assert_ptr_equal(m.p, m.end);
	return it;
}

static void test_numbers(void **state)
{
	static const int64_t values[] = {0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295,
					 4294967296, INT64_MAX, -1, -32, -33, -128, -129, -32768,
					 -32769, INT32_MIN, INT32_MIN - 1ll, INT64_MIN};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		msgpack_sbuffer b;
		msgpack_packer pk;
		struct mp_item it;

		msgpack_sbuffer_init(&b);
		msgpack_packer_init(&pk, &b, msgpack_sbuffer_write);
		msgpack_pack_int64(&pk, values[i]);
		it = only_item(b.data, b.size);
		assert_int_equal(it.type, MP_INT);
		assert_true(it.i == values[i]);
		b.size = 0;
		msgpack_pack_double(&pk, (double)values[i]);
		it = only_item(b.data, b.size);
		assert_int_equal(it.type, MP_FLOAT);
		assert_true(it.f == (double)values[i]);
		msgpack_sbuffer_destroy(&b);
	}
	assert_true(only_item("\xca\x3f\xc0\x00\x00", 5).f == 1.5);
	assert_int_equal(only_item("\xd3\xff\xff\xff\xff\xff\xff\xff\xfe", 9).i, -2);
}

static void test_uint64_beyond_int64_is_bad(void **state)
{
	struct mp m = mp_of("\xcf\x80\x00\x00\x00\x00\x00\x00\x00", 9);

	(void)state;
	assert_int_equal(mp_next(&m).type, MP_BAD);
	assert_true(m.bad);
}

static void test_texts_of_every_width(void **state)
{
	static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
	char *text = malloc(65536);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 65536);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		msgpack_sbuffer b;
		msgpack_packer pk;
		struct mp_item it;

		msgpack_sbuffer_init(&b);
		msgpack_packer_init(&pk, &b, msgpack_sbuffer_write);
		msgpack_pack_str(&pk, lengths[i]);
		msgpack_pack_str_body(&pk, text, lengths[i]);
		it = only_item(b.data, b.size);
		assert_int_equal(it.type, MP_STR);
		assert_int_equal(it.s.len, lengths[i]);
		assert_memory_equal(it.s.s, text, lengths[i]);
		/* one byte less: bad, and nothing beyond is read */
		if (b.size > 1) {
			uint8_t *cut = exact(b.data, b.size - 1);
			struct mp m = mp_of(cut, b.size - 1);

			assert_int_equal(mp_next(&m).type, MP_BAD);
			free(cut);
		}
		b.size = 0;
		msgpack_pack_bin(&pk, lengths[i]);
		msgpack_pack_bin_body(&pk, text, lengths[i]);
		it = only_item(b.data, b.size);
		assert_int_equal(it.type, MP_BIN);
		assert_int_equal(it.s.len, lengths[i]);
		msgpack_sbuffer_destroy(&b);
	}
	free(text);
}

static void test_containers_and_others(void **state)
{
	(void)state;
	assert_int_equal(only_item("\xc0", 1).type, MP_NIL);
	assert_true(only_item("\xc3", 1).b);
	assert_false(only_item("\xc2", 1).b);
	assert_int_equal(only_item("\x8f", 1).n, 15);
	assert_int_equal(only_item("\x9f", 1).type, MP_ARRAY);
	assert_int_equal(only_item("\xdc\x12\x34", 3).n, 0x1234);
	assert_int_equal(only_item("\xdf\x00\x01\x00\x00", 5).n, 65536);
	assert_int_equal(only_item("\xd5\x01" "ab", 4).s.len, 2);
	assert_int_equal(only_item("\xc7\x03\x01" "abc", 6).s.len, 3);
}

static void test_wrong_stays_wrong(void **state)
{
	struct mp m = mp_of("\xc1\x01\x02", 3);
	int64_t v = 7;

	(void)state;
	assert_int_equal(mp_next(&m).type, MP_BAD);
	assert_false(mp_int(&m, &v));
	assert_int_equal(v, 7);
	assert_true(m.bad);
}

static void test_typed_reads_pass_over_other_types(void **state)
{
	/* [ {"a": [1, 2]}, nil, 5, 2.5, "s", true ] */
	static const char bytes[] = "\x96\x81\xa1" "a\x92\x01\x02\xc0\x05"
				    "\xcb\x40\x04\x00\x00\x00\x00\x00\x00\xa1s\xc3";
	struct mp m = mp_of(bytes, sizeof(bytes) - 1);
	struct dcm_str s;
	int64_t i = 0;
	double f = 0;
	bool b = false;
	uint32_t n = 0;

	(void)state;
	assert_true(mp_array(&m, &n));
	assert_int_equal(n, 6);
	assert_false(mp_int(&m, &i)); /* the map, all of it */
	assert_false(mp_str(&m, &s)); /* nil */
	assert_true(mp_float(&m, &f));
	assert_true(f == 5);
	assert_false(mp_int(&m, &i)); /* 2.5 */
	assert_false(mp_bool(&m, &b)); /* "s" */
	assert_true(mp_bool(&m, &b));
	assert_true(b);
	assert_false(m.bad);
	assert_ptr_equal(m.p, m.end);
}

static void test_skip_any_depth(void **state)
{
	enum { DEEP = 100000 };
	uint8_t *bytes = malloc(DEEP + 1);
	struct mp m;

	(void)state;
	assert_non_null(bytes);
	memset(bytes, 0x91, DEEP);
	bytes[DEEP] = 0xc0;
	m = mp_of(bytes, DEEP + 1);
	mp_skip(&m);
	assert_false(m.bad);
	assert_ptr_equal(m.p, m.end);
	m = mp_of(bytes, DEEP); /* the innermost is missing */
	mp_skip(&m);
	assert_true(m.bad);
	free(bytes);
}

/* A count beyond the bytes ends at the bytes, at once. */
static void test_huge_counts(void **state)
{
	struct mp m = mp_of("\xdf\xff\xff\xff\xff\x01\x02", 7);

	(void)state;
	mp_skip(&m);
	assert_true(m.bad);
}

static void test_any_bytes(void **state)
{
	(void)state;
	srand(1);
	for (int i = 0; i < 200000; i++) {
		uint8_t bytes[64];
		size_t len = (size_t)rand() % sizeof(bytes);
		uint8_t *p;
		struct mp m;
		int steps = 0;

		for (size_t k = 0; k < len; k++)
			bytes[k] = (uint8_t)(rand() >> 4);
		p = exact(bytes, len);
		m = mp_of(p, len);
		while (!m.bad && m.p < m.end) {
			struct mp_item it = mp_next(&m);

			if (it.type == MP_STR || it.type == MP_BIN) {
				assert_true((const uint8_t *)it.s.s >= p);
				assert_true((const uint8_t *)it.s.s + it.s.len <= p + len);
			}
			assert_true(++steps <= 64);
		}
		m = mp_of(p, len);
		mp_skip(&m);
		assert_true(m.p <= m.end);
		free(p);
	}
}

static void test_keys(void **state)
{
	(void)state;
	assert_true(mp_key_is((struct dcm_str){"name", 4}, "name"));
	assert_false(mp_key_is((struct dcm_str){"names", 5}, "name"));
	assert_false(mp_key_is((struct dcm_str){"nam", 3}, "name"));
	assert_false(mp_key_is((struct dcm_str){NULL, 0}, "name"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_uint64_beyond_int64_is_bad),
		cmocka_unit_test(test_texts_of_every_width),
		cmocka_unit_test(test_containers_and_others),
		cmocka_unit_test(test_wrong_stays_wrong),
		cmocka_unit_test(test_typed_reads_pass_over_other_types),
		cmocka_unit_test(test_skip_any_depth),
		cmocka_unit_test(test_huge_counts),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests_name("mp", tests, NULL, NULL);
}
