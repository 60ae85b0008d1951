/* test_decode_event.c - the engine's events, and cutting their stream. */
#include "decode_help.h"

#define ID "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"

static struct engine_event event(const char *json)
{
	struct engine_event e;
	char err[DECODE_ERR] = "";

	if (decode_event(json, strlen(json), &e, err) < 0)
		fail_msg("%s: %s", json, err);
	return e;
}

/* How many events of a captured stream are of this kind and action. */
static unsigned count(const char *file, enum event_kind kind, const char *action, const char *id)
{
	struct bytes b = load(file);
	char err[DECODE_ERR];
	struct engine_event e;
	size_t at = 0;
	unsigned n = 0;
	long len;

	while ((len = decode_split(b.p + at, b.len - at)) > 0) {
		if (decode_event(b.p + at, (size_t)len, &e, err) < 0)
			fail_msg("%s: %s", file, err);
		n += e.kind == kind && strcmp(e.action, action) == 0 &&
		     (!id || strcmp(e.id, id) == 0);
		assert_true(e.time_nano > 1795415000000000000);
		at += (size_t)len;
	}
	assert_int_equal(len, 0);
	free(b.p);
	return n;
}

static void docker(void **state)
{
	const char *file = "docker-20.10-events.ndjson";
	const char *web = "5fd46afef4cd4d41623309d5bc8962cd892f45faa1fab4914e9e66ae024a673c";

	(void)state;
	assert_int_equal(count(file, EVENT_CONTAINER, "create", NULL), 7);
	assert_int_equal(count(file, EVENT_CONTAINER, "create", web), 1);
	assert_int_equal(count(file, EVENT_CONTAINER, "start", web), 1);
	assert_int_equal(count(file, EVENT_CONTAINER, "die", NULL), 1);
	assert_int_equal(count(file, EVENT_CONTAINER, "pause", NULL), 1);
	assert_int_equal(count(file, EVENT_CONTAINER, "health_status", web), 1);
	assert_true(count(file, EVENT_CONTAINER, "exec_create", web) >= 1);
	assert_int_equal(count(file, EVENT_NETWORK, "connect", web), 2);
	assert_int_equal(count(file, EVENT_NETWORK, "create", ""), 2);
	assert_int_equal(count(file, EVENT_VOLUME, "mount", web), 1);
}

static void podman(void **state)
{
	const char *file = "podman-4.3-events.ndjson";

	(void)state;
	assert_true(count(file, EVENT_CONTAINER, "destroy", NULL) >= 3);
	assert_int_equal(count(file, EVENT_CONTAINER, "remove", NULL), 0);
	assert_true(count(file, EVENT_CONTAINER, "cleanup", NULL) >= 1);
	assert_true(count(file, EVENT_VOLUME, "create", "") >= 1);
	assert_string_equal(event("{\"Type\":\"container\",\"Action\":\"died\"}").action, "die");
}

static void networks_and_volumes(void **state)
{
	struct engine_event e =
	    event("{\"Type\":\"network\",\"Action\":\"disconnect\",\"Actor\":{\"ID\":\"n\","
		  "\"Attributes\":{\"container\":\"" ID "\",\"name\":\"front\"}},"
		  "\"time\":5,\"timeNano\":5000000001}");

	(void)state;
	assert_int_equal(e.kind, EVENT_NETWORK);
	assert_string_equal(e.id, ID);
	assert_string_equal(e.object, "front");
	assert_int_equal(e.time_nano, 5000000001);
	e = event("{\"Type\":\"volume\",\"Action\":\"destroy\",\"Actor\":{\"ID\":\"data\","
		  "\"Attributes\":{\"driver\":\"local\"}},\"time\":5}");
	assert_int_equal(e.kind, EVENT_VOLUME);
	assert_string_equal(e.action, "destroy");
	assert_string_equal(e.id, "");
	assert_string_equal(e.object, "data");
	assert_int_equal(e.time_nano, 5000000000);
}

static void old_and_new_engines(void **state)
{
	struct engine_event e = event("{\"status\":\"start\",\"id\":\"" ID "\",\"from\":\"i\"}");

	(void)state;
	assert_int_equal(e.kind, EVENT_CONTAINER);
	assert_string_equal(e.action, "start");
	assert_string_equal(e.id, ID);
	assert_int_equal(e.time_nano, 0);
	e = event("{\"Type\":\"container\",\"Action\":\"exec_start: sh -c 'a:b'\",\"Actor\":{"
		  "\"ID\":\"" ID "\",\"Attributes\":{\"name\":\"x\"}},\"scope\":\"local\"}");
	assert_string_equal(e.action, "exec_start");
	assert_string_equal(e.id, ID);
	assert_string_equal(e.object, "");
}

static void odd_events(void **state)
{
	char json[4000], err[DECODE_ERR];
	struct engine_event e;

	(void)state;
	assert_int_equal(event("{}").kind, EVENT_OTHER);
	assert_int_equal(event("{\"Type\":\"image\",\"Action\":\"pull\",\"id\":\"x\"}").kind,
			 EVENT_IMAGE);
	assert_int_equal(event("{\"Type\":\"plugin\",\"Action\":\"enable\",\"id\":\"x\"}").kind,
			 EVENT_OTHER);
	/* Only a whole id is one. */
	assert_string_equal(event("{\"Type\":\"container\",\"Actor\":{\"ID\":\"abc\"}}").id, "");
	assert_string_equal(event("{\"Type\":\"container\",\"Actor\":{\"ID\":\"../" ID "\"}}").id,
			    "");
	assert_string_equal(event("{\"Type\":\"container\",\"Actor\":[],\"Action\":7}").action, "");
	/* Texts are cut between characters and stay one clean line. */
	e = event(
	    "{\"Type\":\"volume\",\"Action\":\"a\\u0000b\\nc\xff\",\"Actor\":{\"ID\":\"x\"}}");
	assert_string_equal(e.action, "a\xEF\xBF\xBD"
				      "b c\xEF\xBF\xBD");
	snprintf(json, sizeof(json),
		 "{\"Type\":\"volume\",\"Action\":\"%0100d\",\"Actor\":{"
		 "\"ID\":\"%0299d\xc3\xa9\"},\"time\":-5}",
		 0, 0);
	e = event(json);
	assert_int_equal(strlen(e.action), sizeof(e.action) - 1);
	assert_int_equal(strlen(e.object), sizeof(e.object) - 1);
	assert_int_equal(e.time_nano, 0);
	assert_int_equal(decode_event("[1]", 3, &e, err), -1);
	assert_int_equal(decode_event("{", 1, &e, err), -1);
}

static long split(const char *s)
{
	size_t len = strlen(s);
	char *exact = exact_copy(s, len);
	long n;

	n = decode_split(exact, len);
	free(exact);
	return n;
}

static void cutting_a_stream(void **state)
{
	(void)state;
	assert_int_equal(split(""), 0);
	assert_int_equal(split(" \r\n"), 0);
	assert_int_equal(split("{"), 0);
	assert_int_equal(split("{}"), 2);
	assert_int_equal(split("\n{}{}"), 3);
	assert_int_equal(split("{\"a\":{}"), 0);
	assert_int_equal(split("{\"a\":{}}\n{\"b\""), 8);
	assert_int_equal(split("{\"}\":\"{\\\"}\"}x"), 12);
	assert_int_equal(split("{\"a\\\\\"}"), 7);
	assert_int_equal(split("{\"a\\"), 0);
	assert_int_equal(split("[]"), -1);
	assert_int_equal(split("x"), -1);
	assert_int_equal(split("}"), -1);
	assert_int_equal(split("\"{}\""), -1);
	assert_int_equal(decode_split("\0{}", 3), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(docker),
	    cmocka_unit_test(podman),
	    cmocka_unit_test(networks_and_volumes),
	    cmocka_unit_test(old_and_new_engines),
	    cmocka_unit_test(odd_events),
	    cmocka_unit_test(cutting_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
