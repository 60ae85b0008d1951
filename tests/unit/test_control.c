/* test_control.c - the messages between supervisor and children. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../shm/control.h"

static struct control_msg full(void)
{
	struct control_msg m = {
		.kind = CONTROL_ASK,
		.token = 1ull << 62,
		.generation = UINT32_MAX,
		.rc = -7,
		.containers = -12345678901,
		.seconds = 0.25,
		.what = CONTROL_LOGS,
		.lines = 100000,
	};

	memset(m.host, 'h', sizeof(m.host) - 1);
	memset(m.container, 'c', sizeof(m.container) - 1);
	memset(m.error, 'e', sizeof(m.error) - 1);
	return m;
}

static void assert_same(const struct control_msg *a, const struct control_msg *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_true(a->token == b->token);
	assert_int_equal(a->generation, b->generation);
	assert_int_equal(a->rc, b->rc);
	assert_true(a->containers == b->containers);
	assert_true(a->seconds == b->seconds);
	assert_int_equal(a->what, b->what);
	assert_int_equal(a->lines, b->lines);
	assert_string_equal(a->host, b->host);
	assert_string_equal(a->container, b->container);
	assert_string_equal(a->error, b->error);
}

static void test_there_and_back(void **state)
{
	uint8_t buf[CONTROL_MAX];
	struct control_msg m = full(), out;

	(void)state;
	for (int kind = CONTROL_BEAT; kind <= CONTROL_CONDITION; kind++) {
		size_t len;

		m.kind = kind;
		len = control_encode(&m, buf);
		assert_in_range(len, 1, CONTROL_MAX);
		assert_true(control_decode(buf, len, &out));
		assert_same(&m, &out);
	}
	m = (struct control_msg){.kind = CONTROL_BEAT};
	assert_in_range(control_encode(&m, buf), 1, 8); /* each second, of each child */
}

/* A message that is cut, or has a bit turned, is refused or is another whole
 * message; it never leads outside (ASan watches). */
static void test_damage(void **state)
{
	uint8_t buf[CONTROL_MAX];
	struct control_msg m = full(), out;
	size_t len = control_encode(&m, buf);

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1);

		assert_non_null(exact);
		memcpy(exact, buf, cut);
		assert_false(control_decode(exact, cut, &out));
		free(exact);
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (control_decode(buf, len, &out)) {
			assert_in_range(out.kind, CONTROL_BEAT, CONTROL_CONDITION);
			assert_in_range(strlen(out.host), 0, sizeof(out.host) - 1);
		}
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void test_what_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool good;
	} cases[] = {
		{"\x81\xa4kind\x01", 7, true},
		{"\x82\xa4kind\x01\xa3new\x93\x01\x02\x03", 15, true}, /* unknown key */
		{"\x81\xa4kind\x01\x00", 8, false},		  /* more behind it */
		{"\x81\xa4kind\x00", 7, false},
		{"\x81\xa4kind\x09", 7, false},
		{"\x81\xa4kind\xff", 7, false},
		{"\x81\xa4kind\xa1x", 8, false},
		{"\x80", 1, false},
		{"\x91\x01", 2, false},
		{"\x82\xa4kind\x01\xa5token\xff", 14, false},
		{"\x82\xa4kind\x01\xa4host\xa3" "a\0b", 16, false},
		{"\x82\xa4kind\x01\xa4host\xc0", 13, false},
	};
	struct control_msg out;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (control_decode((const uint8_t *)cases[i].bytes, cases[i].len, &out) !=
		    cases[i].good)
			fail_msg("case %zu", i);
}

static void test_sockets(void **state)
{
	struct control_msg m = full(), out;
	uint8_t big[CONTROL_MAX + 1] = {0};
	int pair[2], sent = 0, got = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(control_recv(pair[1], &out), -EAGAIN); /* never waits */
	while (control_send(pair[0], &m) == 0)
		sent++;
	assert_in_range(sent, 10, 1000000);
	assert_int_equal(control_send(pair[0], &m), -EAGAIN);
	while (control_recv(pair[1], &out) == 1) {
		assert_same(&m, &out);
		got++;
	}
	assert_int_equal(got, sent);
	assert_int_equal(send(pair[0], big, sizeof(big), 0), sizeof(big));
	assert_int_equal(control_recv(pair[1], &out), -EBADMSG);
	assert_int_equal(control_send(pair[0], &m), 0);
	close(pair[0]);
	assert_int_equal(control_recv(pair[1], &out), 1); /* last words */
	assert_int_equal(control_recv(pair[1], &out), 0);
	assert_int_equal(control_send(pair[1], &m), -EPIPE); /* and no SIGPIPE */
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
