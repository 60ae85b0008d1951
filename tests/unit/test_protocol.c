/* test_protocol.c - the codec of the broker's protocol: whole messages come back
 * as they went, and nothing that is not one is taken for one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../shm/protocol.h"

#define STR(s) ((struct dcm_str){(s), sizeof(s) - 1})

static struct protocol_request req; /* too large for a stack that is watched */

/* The body of the only message in b. */
static const uint8_t *body(const struct record_buf *b, size_t *len)
{
	const uint8_t *p = (const uint8_t *)b->data;

	assert_true(b->len > 4);
	*len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	assert_int_equal(*len, b->len - 4);
	return p + 4;
}

static void round_request(const struct protocol_request *q)
{
	struct record_buf b = {0};
	const uint8_t *p;
	size_t len;

	assert_int_equal(protocol_encode_request(q, &b), 0);
	p = body(&b, &len);
	memset(&req, 0xa5, sizeof(req));
	/* From a block of its own size, so that a sanitizer sees every step too far. */
	uint8_t *copy = malloc(len);
	memcpy(copy, p, len);
	assert_true(protocol_decode_request(copy, len, &req));
	assert_int_equal(req.id, q->id);
	assert_int_equal(req.op, q->op);
	for (size_t cut = 0; cut < len; cut++) {
		static struct protocol_request half;
		uint8_t *part = malloc(cut ? cut : 1);

		memcpy(part, copy, cut);
		assert_false(protocol_decode_request(part, cut, &half));
		free(part);
	}
	record_buf_free(&b);
	if (!req.n_hosts)
		free(copy);
	else
		for (uint32_t i = 0; i < req.n_hosts; i++) { /* before what they point into goes */
			assert_int_equal(req.hosts[i].len, q->hosts[i].len);
			assert_memory_equal(req.hosts[i].s, q->hosts[i].s, q->hosts[i].len);
			if (i + 1 == req.n_hosts)
				free(copy);
		}
}

static void queries_come_back(void **state)
{
	static struct protocol_request q;

	(void)state;
	for (int kind = DCM_Q_ALL; kind <= DCM_Q_TOP_MEMORY; kind++) {
		q = (struct protocol_request){.id = 0xfffffff0u + (uint32_t)kind % 16,
					      .op = PROTOCOL_QUERY};
		q.query = (struct dcm_query){kind, "host-1", "k\xc3\xa9y", "", 77};
		round_request(&q);
		assert_int_equal(req.query.kind, kind);
		assert_string_equal(req.query.host, "host-1");
		assert_string_equal(req.query.text, "k\xc3\xa9y");
		assert_string_equal(req.query.value, "");
		assert_int_equal(req.query.n, 77);
	}
	q.query = (struct dcm_query){DCM_Q_LABEL, NULL, "k", NULL, 0};
	round_request(&q);
	assert_null(req.query.host);
	assert_null(req.query.value);
}

static void actions_come_back(void **state)
{
	static struct protocol_request q;

	(void)state;
	q = (struct protocol_request){
	    .id = 1, .op = PROTOCOL_REFRESH, .n_hosts = 2, .timeout_ms = 5000};
	q.hosts[0] = STR("a");
	q.hosts[1] = STR("b.c-d_e");
	round_request(&q);
	assert_int_equal(req.timeout_ms, 5000);
	q.n_hosts = 0;
	round_request(&q);
	assert_int_equal(req.n_hosts, 0);
	q = (struct protocol_request){
	    .id = 2, .op = PROTOCOL_LOGS, .n_hosts = 1, .lines = 100, .timeout_ms = UINT32_MAX};
	q.hosts[0] = STR("a");
	memset(q.container, 'f', 64);
	round_request(&q);
	assert_string_equal(req.container, q.container);
	assert_int_equal(req.lines, 100);
	assert_true(req.timeout_ms == UINT32_MAX);
	q = (struct protocol_request){.id = 3, .op = PROTOCOL_FORGET, .n_hosts = 1};
	q.hosts[0] = STR("a");
	round_request(&q);
	q = (struct protocol_request){.id = 4, .op = PROTOCOL_SUBSCRIBE};
	round_request(&q);
	q.op = PROTOCOL_PING;
	round_request(&q);
}

static void what_cannot_be_asked_is_not_encoded(void **state)
{
	static struct protocol_request q;
	static char text[5000];
	struct record_buf b = {0};

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	q = (struct protocol_request){.op = PROTOCOL_QUERY,
				      .query = {.kind = DCM_Q_SEARCH, .text = text}};
	assert_int_equal(protocol_encode_request(&q, &b), -EINVAL);
	text[4095] = 0;
	assert_int_equal(protocol_encode_request(&q, &b), 0);
	b.len = 0;
	q.query.host = "0123456789012345678901234567890123456789012345678901234567890123";
	assert_int_equal(protocol_encode_request(&q, &b), -EINVAL);
	q = (struct protocol_request){.op = PROTOCOL_LOGS};
	assert_int_equal(protocol_encode_request(&q, &b), -EINVAL);
	q = (struct protocol_request){.op = 99};
	assert_int_equal(protocol_encode_request(&q, &b), -EINVAL);
	assert_int_equal(b.len, 0);
	/* 1024 of the longest host ids do not fit a request: nothing is left behind */
	q = (struct protocol_request){.op = PROTOCOL_REFRESH, .n_hosts = PROTOCOL_HOSTS_MAX};
	for (int i = 0; i < PROTOCOL_HOSTS_MAX; i++)
		q.hosts[i] = (struct dcm_str){text, 63};
	assert_int_equal(protocol_encode_request(&q, &b), -E2BIG);
	assert_int_equal(b.len, 0);
	for (int i = 0; i < PROTOCOL_HOSTS_MAX; i++)
		q.hosts[i].len = 60;
	assert_int_equal(protocol_encode_request(&q, &b), 0);
	record_buf_free(&b);
}

static void replies_come_back(void **state)
{
	struct dcm_outcome in[3] = {{"a", DCM_OK, ""},
				    {"b", DCM_EHOST, "connection refused"},
				    {"c", DCM_ETIMEDOUT, "late"}};
	struct dcm_outcome out[3];
	uint8_t refs[48];
	struct protocol_reply r = {.id = 9,
				   .rc = DCM_EHOST,
				   .error = STR("why"),
				   .refs = refs,
				   .n_refs = 3,
				   .outcomes = in,
				   .n_outcomes = 3};
	struct protocol_reply got = {.outcomes = out, .room_outcomes = 3};
	struct record_buf b = {0};
	const uint8_t *p;
	size_t len;

	(void)state;
	memset(refs, 0x5a, sizeof(refs));
	assert_int_equal(protocol_encode_reply(&r, &b), 0);
	p = body(&b, &len);
	assert_true(protocol_decode_reply(p, len, &got));
	assert_int_equal(got.id, 9);
	assert_int_equal(got.rc, DCM_EHOST);
	assert_int_equal(got.error.len, 3);
	assert_int_equal(got.n_refs, 3);
	assert_memory_equal(got.refs, refs, sizeof(refs));
	assert_int_equal(got.n_outcomes, 3);
	for (int i = 0; i < 3; i++) {
		assert_string_equal(out[i].host, in[i].host);
		assert_string_equal(out[i].error, in[i].error);
		assert_int_equal(out[i].rc, in[i].rc);
	}
	assert_false(got.notice);
	for (size_t cut = 0; cut < len; cut++)
		assert_false(protocol_decode_reply(p, cut, &got));
	/* less room, or none: what fits */
	got = (struct protocol_reply){.outcomes = out, .room_outcomes = 1};
	assert_true(protocol_decode_reply(p, len, &got));
	assert_int_equal(got.n_outcomes, 1);
	got = (struct protocol_reply){0};
	assert_true(protocol_decode_reply(p, len, &got));
	assert_int_equal(got.n_outcomes, 0);
	record_buf_free(&b);
}

static void small_replies(void **state)
{
	struct protocol_reply r = {.notice = true}, got = {0};
	struct record_buf b = {0};
	const uint8_t *p;
	size_t len;

	(void)state;
	assert_int_equal(protocol_encode_reply(&r, &b), 0);
	p = body(&b, &len);
	assert_true(protocol_decode_reply(p, len, &got));
	assert_true(got.notice);
	b.len = 0;
	/* an empty list is an answer: refs are there, of no length */
	r = (struct protocol_reply){.id = 1, .refs = (const uint8_t *)"", .n_refs = 0};
	assert_int_equal(protocol_encode_reply(&r, &b), 0);
	p = body(&b, &len);
	assert_true(protocol_decode_reply(p, len, &got));
	assert_non_null(got.refs);
	assert_int_equal(got.n_refs, 0);
	assert_false(got.notice);
	assert_null(got.error.s);
	record_buf_free(&b);
}

static bool request_of(const char *bytes, size_t n)
{
	return protocol_decode_request((const uint8_t *)bytes, n, &req);
}
#define REQUEST(s) request_of(s, sizeof(s) - 1)

static void garbage_is_refused(void **state)
{
	(void)state;
	assert_true(REQUEST("\x83\xa1v\x01\xa2id\x07\xa2op\xa4ping"));
	/* keys nobody knows are passed over, whatever is in them */
	assert_true(REQUEST("\x84\xa1v\x01\xa2id\x07\xa2op\xa4ping\xa3new\x92\x81\xa1x\xc0\xc3"));
	assert_int_equal(req.id, 7);
	assert_false(REQUEST(""));
	assert_false(REQUEST("\xc0"));
	assert_false(REQUEST("GET / HTTP/1.1\r\n"));
	assert_false(REQUEST("\x83\xa1v\x02\xa2id\x07\xa2op\xa4ping"));		   /* version */
	assert_false(REQUEST("\x82\xa2id\x07\xa2op\xa4ping"));			   /* no version */
	assert_false(REQUEST("\x82\xa1v\x01\xa2id\x07"));			   /* no op */
	assert_false(REQUEST("\x83\xa1v\x01\xa2id\x07\xa2op\xa4pong"));		   /* op */
	assert_false(REQUEST("\x83\xa1v\x01\xa2id\xff\xa2op\xa4ping"));		   /* id -1 */
	assert_false(REQUEST("\x83\xa1v\x01\xa2id\x07\xa2op\xa4ping\xc0"));	   /* more behind */
	assert_false(REQUEST("\x83\xa1v\x01\x05\x07\xa2op\xa4ping"));		   /* key 5 */
	assert_false(REQUEST("\xdf\xff\xff\xff\xff\xa1v\x01"));			   /* 4G pairs */
	assert_false(
	    REQUEST("\x84\xa1v\x01\xa2id\x07\xa2op\xa5query\xa4kind\xa5label")); /* no text */
	assert_false(
	    REQUEST("\x85\xa1v\x01\xa2id\x07\xa2op\xa5query\xa4kind\xa5label\xa4text\xa3k\x00y"));
	assert_true(
	    REQUEST("\x85\xa1v\x01\xa2id\x07\xa2op\xa5query\xa4kind\xa5label\xa4text\xa3kxy"));
	assert_false(REQUEST("\x84\xa1v\x01\xa2id\x07\xa2op\xa7refresh\xa5hosts\x91\xa0"));
	assert_false(
	    REQUEST("\x84\xa1v\x01\xa2id\x07\xa2op\xa7refresh\xa5hosts\xdd\xff\xff\xff\xff"));
	assert_false(REQUEST("\x83\xa1v\x01\xa2id\x07\xa2op\xa6""forget"));	   /* no host */
}

static void odd_replies_are_refused(void **state)
{
	struct protocol_reply r = {0};
#define REPLY(s) protocol_decode_reply((const uint8_t *)(s), sizeof(s) - 1, &r)
	(void)state;
	assert_true(REPLY("\x82\xa1v\x01\xa4refs\xc4\x00"));
	assert_false(REPLY("\x82\xa1v\x01\xa4refs\xc4\x03" "abc"));
	assert_false(REPLY("\x82\xa1v\x01\xa4refs\xa0"));
	assert_false(REPLY("\x82\xa1v\x01\xa2rc\x63"));
	assert_false(REPLY("\x82\xa1v\x01\xa2rc\xff"));
	assert_false(REPLY("\x82\xa1v\x01\xa8outcomes\x91\xc0"));
	assert_false(REPLY("\x81\xa2rc\x00"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queries_come_back),
		cmocka_unit_test(actions_come_back),
		cmocka_unit_test(what_cannot_be_asked_is_not_encoded),
		cmocka_unit_test(replies_come_back),
		cmocka_unit_test(small_replies),
		cmocka_unit_test(garbage_is_refused),
		cmocka_unit_test(odd_replies_are_refused),
	};

	return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
