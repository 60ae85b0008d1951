/* test_engine.c - the Engine API client against a server that misbehaves. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "../../collector/engine.h"
#include "fake_engine.h"

static char path[64];
static pid_t server;
static struct event_base *base;
static struct transport *transport;
static struct engine *engine;
static struct endpoint at;

/* ---- the server: what a path asks for -------------------------------------------- */

static void serve(struct fake *f, struct fake_conn *k, const char *target)
{
	static char big[40000];
	static int held;

	(void)f;
	memset(big, 'x', sizeof(big));
	if (!strcmp(target, "/ok"))
		fake_json(k, 200, "{\"a\":1}");
	else if (!strcmp(target, "/_ping"))
		fake_reply(k, 200, "Api-Version: 1.47\r\nDate: Thu, 01 Jan 1970 00:01:40 GMT\r\n",
			   "OK", 2);
	else if (!strcmp(target, "/missing"))
		fake_json(k, 404, "{\"message\":\"No such container: web\"}");
	else if (!strcmp(target, "/moved"))
		fake_reply(k, 302, "Location: /ok\r\n", "", 0);
	else if (!strcmp(target, "/big"))
		fake_reply(k, 200, "", big, sizeof(big));
	else if (!strcmp(target, "/cut"))
		fake_raw(k, "HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\nabc", 42), fake_hang_up(k);
	else if (!strcmp(target, "/garbage"))
		fake_raw(k, "\x15\x03\x01 no http\r\n\r\n", 14), fake_hang_up(k);
	else if (!strcmp(target, "/stream"))
		fake_raw(k, "HTTP/1.1 200 X\r\n\r\none\ntwo\nthr", 29);
	else if (!strcmp(target, "/flood"))
		for (int i = 0; i < 200; i++)
			fake_raw(k, i ? big : "HTTP/1.1 200 X\r\n\r\n", i ? sizeof(big) : 18);
	else if (!strcmp(target, "/end"))
		fake_raw(k, "HTTP/1.1 200 X\r\n\r\nonly\n", 23), fake_hang_up(k);
	else if (!strcmp(target, "/many") && ++held <= 400)
		fake_json(k, 200, "{}");
	/* anything else: never answered */
}

static void server_run(void)
{
	static struct fake f = {.handle = serve};

	fake_init(&f, path);
	for (;;)
		fake_step(&f, 1000);
}

/* ---- helpers ------------------------------------------------------------------------- */

static struct engine_reply last;
static char last_body[65536];
static int answers;

static void on_done(void *arg, const struct engine_reply *r)
{
	int *wanted = arg;

	last = *r;
	snprintf(last_body, sizeof(last_body), "%s", r->body);
	last.body = last_body;
	if (++answers >= (wanted ? *wanted : 1))
		event_base_loopbreak(base);
}

static void get(const char *p, size_t max)
{
	answers = 0;
	assert_non_null(engine_get(engine, p, max, on_done, NULL));
	event_base_dispatch(base);
	assert_int_equal(answers, 1);
}

static void on_ready(void *arg, const char *error)
{
	(void)arg;
	assert_null(error);
	event_base_loopbreak(base);
}

static void open_engine(const char *socket_path, double request_timeout)
{
	at = (struct endpoint){.kind = ENDPOINT_UNIX, .path = (char *)(uintptr_t)socket_path};
	base = event_base_new();
	transport = transport_unix.open(base, &at, 1, on_ready, NULL);
	assert_non_null(transport);
	event_base_dispatch(base);
	engine = engine_open(base, &transport_unix, transport, "unix:///the/socket", 1,
			     request_timeout);
	assert_non_null(engine);
}

static int setup(void **state)
{
	(void)state;
	open_engine(path, 30);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	engine_close(&engine);
	transport_unix.close(transport);
	event_base_free(base);
	return 0;
}

static int group_setup(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/tmp/dcm-test-engine-%d.sock", (int)getpid());
	curl_global_init(CURL_GLOBAL_NOTHING);
	server = fork();
	if (server == 0)
		server_run();
	while (access(path, F_OK))
		usleep(1000);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(path);
	curl_global_cleanup();
	return 0;
}

/* ---- tests ----------------------------------------------------------------------------- */

static void test_answers(void **state)
{
	(void)state;
	get("/ok", 100);
	assert_int_equal(last.failure, ENGINE_OK);
	assert_int_equal(last.status, 200);
	assert_string_equal(last.body, "{\"a\":1}");
	assert_string_equal(last.error, "");
	assert_true(engine_last_answer(engine) > 0);
	assert_int_equal(engine_requests(engine), 1);
}

static void test_headers(void **state)
{
	(void)state;
	answers = 0;
	assert_non_null(engine_ping(engine, true, on_done, NULL));
	event_base_dispatch(base);
	assert_string_equal(last.api_version, "1.47");
	assert_true(last.date == 100);
}

static void test_status(void **state)
{
	(void)state;
	get("/missing", 100);
	assert_int_equal(last.failure, ENGINE_STATUS);
	assert_int_equal(last.status, 404);
	assert_string_equal(last.error, "the engine answered 404 (No such container: web)");
	get("/moved", 100);
	assert_int_equal(last.failure, ENGINE_STATUS);
	assert_non_null(strstr(last.error, "redirect"));
}

static void test_too_long(void **state)
{
	(void)state;
	get("/big", 40000);
	assert_int_equal(last.failure, ENGINE_OK);
	get("/big", 39999);
	assert_int_equal(last.failure, ENGINE_TOO_LONG);
	assert_non_null(strstr(last.error, "longer than"));
}

static void test_broken(void **state)
{
	(void)state;
	get("/cut", 100);
	assert_int_equal(last.failure, ENGINE_BROKEN);
	assert_non_null(strstr(last.error, "closed the connection"));
	get("/garbage", 100);
	assert_int_equal(last.failure, ENGINE_BROKEN);
	get("/ok", 100); /* and goes on */
	assert_int_equal(last.failure, ENGINE_OK);
}

static void test_silence(void **state)
{
	(void)state;
	teardown(NULL);
	open_engine(path, 0.2);
	get("/silence", 100);
	assert_int_equal(last.failure, ENGINE_TIMEOUT);
	assert_non_null(strstr(last.error, "no answer from unix:///the/socket within"));
}

static void test_nobody_there(void **state)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char dead[80];

	(void)state;
	teardown(NULL);
	open_engine("/nonexistent/docker.sock", 1);
	get("/ok", 100);
	assert_int_equal(last.failure, ENGINE_UNREACHABLE);
	assert_non_null(strstr(last.error, "no socket at"));
	teardown(NULL);
	snprintf(dead, sizeof(dead), "%s.dead", path);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", dead);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0); /* and no listen() */
	open_engine(dead, 1);
	get("/ok", 100);
	assert_int_equal(last.failure, ENGINE_UNREACHABLE);
	assert_non_null(strstr(last.error, "connection refused"));
	close(fd);
	unlink(dead);
}

/* More than may run at once: all are answered, in turn. */
static void test_many(void **state)
{
	int wanted = 400;

	(void)state;
	answers = 0;
	for (int i = 0; i < wanted; i++)
		assert_non_null(engine_get(engine, "/many", 100, on_done, &wanted));
	event_base_dispatch(base);
	assert_int_equal(answers, wanted);
	assert_int_equal(last.failure, ENGINE_OK);
}

static char lines[64];
static int opened;
static struct engine_request *stream;

static long on_chunk(void *arg, const char *data, size_t len)
{
	const char *end = data ? data + len : NULL, *nl;
	long took = 0;

	(void)arg;
	if (!data) {
		opened++;
		return 0;
	}
	while ((nl = memchr(data + took, '\n', (size_t)(end - data - took)))) {
		strncat(lines, data + took, (size_t)(nl - data - took));
		strncat(lines, "|", 2);
		took = nl + 1 - data;
	}
	if (!strcmp(lines, "one|two|")) { /* ending it from inside its own callback */
		engine_cancel(stream);
		event_base_loopbreak(base);
	}
	return took;
}

static void test_stream(void **state)
{
	(void)state;
	lines[0] = '\0';
	opened = answers = 0;
	stream = engine_stream(engine, "/stream", on_chunk, on_done, NULL);
	assert_non_null(stream);
	event_base_dispatch(base);
	assert_int_equal(opened, 1);
	assert_string_equal(lines, "one|two|");
	assert_int_equal(answers, 0);

	lines[0] = '\0';
	stream = engine_stream(engine, "/end", on_chunk, on_done, NULL);
	event_base_dispatch(base);
	assert_string_equal(lines, "only|");
	assert_int_equal(last.failure, ENGINE_OK);
}

static void test_stream_without_lines(void **state)
{
	(void)state;
	answers = 0;
	stream = engine_stream(engine, "/flood", on_chunk, on_done, NULL);
	event_base_dispatch(base);
	assert_int_equal(answers, 1);
	assert_int_equal(last.failure, ENGINE_TOO_LONG);
	stream = engine_stream(engine, "/missing", on_chunk, on_done, NULL);
	event_base_dispatch(base);
	assert_int_equal(last.status, 404);
}

static void close_inside(void *arg, const struct engine_reply *r)
{
	(void)arg;
	(void)r;
	answers++;
	engine_close(&engine);
	event_base_loopbreak(base);
}

/* The others get no answer any more, and nothing is left behind (ASan). */
static void test_close_inside_a_callback(void **state)
{
	(void)state;
	answers = 0;
	for (int i = 0; i < 200; i++)
		engine_get(engine, "/ok", 100, close_inside, NULL);
	engine_stream(engine, "/stream", on_chunk, on_done, NULL);
	event_base_dispatch(base);
	assert_int_equal(answers, 1);
	assert_null(engine);
}

static void test_cancel(void **state)
{
	struct engine_request *q[3];

	(void)state;
	answers = 0;
	for (int i = 0; i < 3; i++)
		q[i] = engine_get(engine, i == 1 ? "/ok" : "/silence", 100, on_done, NULL);
	engine_cancel(q[0]);
	engine_cancel(q[2]);
	event_base_dispatch(base);
	assert_int_equal(answers, 1);
	assert_int_equal(last.failure, ENGINE_OK);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_answers),      T(test_headers),
		T(test_status),	      T(test_too_long),
		T(test_broken),	      T(test_silence),
		T(test_nobody_there), T(test_many),
		T(test_stream),	      T(test_stream_without_lines),
		T(test_cancel),	      T(test_close_inside_a_callback),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
