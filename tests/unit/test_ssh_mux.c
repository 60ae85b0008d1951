/* test_ssh_mux.c - commands over an ssh master: a fake one that says what it should, and
 * what it should not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../collector/transport_openssh.h"
#include "../../collector/transport_ssh_mux.h"

/* A packet as C text: its length, its type, its body. */
#define HELLO "\0\0\0\x08\0\0\0\x01\0\0\0\x04"
#define HELLO_MORE "\0\0\0\x15\0\0\0\x01\0\0\0\x04\0\0\0\x04info\0\0\0\x01" "0"
#define HELLO_5 "\0\0\0\x08\0\0\0\x01\0\0\0\x05"
#define OPENED "\0\0\0\x0c\x80\0\0\x06\0\0\0\x01\0\0\0\x07"
#define EXIT_3 "\0\0\0\x0c\x80\0\0\x04\0\0\0\x07\0\0\0\x03"
#define REFUSED "\0\0\0\x13\x80\0\0\x03\0\0\0\x01\0\0\0\x07" "by peer"
#define BYTES(text) (text), sizeof(text) - 1

static char dir[] = "/tmp/dcm-test-mux-XXXXXX", control[64];
static struct ssh_target target = {.name = (char[]){"h"}, .where = "ssh://u@h:22"};
static struct endpoint at;

/* ---- the fake master -------------------------------------------------------------------- */

struct script {
	const char *hello, *answer; /* answer: once it has the command */
	size_t hello_len, answer_len;
	bool stays; /* silent at the end, in place of an end */
};

static void must(bool so)
{
	if (!so)
		_exit(9);
}

static void read_all(int fd, void *to, size_t n)
{
	for (ssize_t got; n; to = (char *)to + got, n -= (size_t)got)
		must((got = read(fd, to, n)) > 0);
}

static size_t read_packet(int fd, unsigned char *body)
{
	unsigned char head[4];
	size_t n;

	read_all(fd, head, 4);
	n = (size_t)head[2] << 8 | head[3];
	must(!head[0] && !head[1]);
	read_all(fd, body, n);
	return n;
}

static int receive_fd(int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} room;
	char byte;
	struct iovec v = {&byte, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &room,
			   .msg_controllen = sizeof(room.room)};
	int got;

	must(recvmsg(fd, &m, 0) == 1 && CMSG_FIRSTHDR(&m) &&
	     CMSG_FIRSTHDR(&m)->cmsg_type == SCM_RIGHTS);
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	return got;
}

/* "Runs" the command: says it on standard output, and what came in on standard error. */
static void serve_session(int fd, const struct script *s)
{
	static const char begin[] = "\x10\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
				    "\xff\xff\xff\xff\0\0\0\0\0\0";
	unsigned char body[8192];
	size_t n = read_packet(fd, body);
	const size_t before = sizeof(begin) - 1 + 2;
	int io[3];
	char in[8];
	ssize_t said;

	must(n > before && !memcmp(body, begin, sizeof(begin) - 1));
	must(n == before + ((size_t)body[before - 2] << 8 | body[before - 1]));
	for (int i = 0; i < 3; i++)
		io[i] = receive_fd(fd);
	must(write(io[1], body + before, n - before) == (ssize_t)(n - before));
	fcntl(io[0], F_SETFL, 0);
	said = read(io[0], in, sizeof(in));
	must(said >= 0 && write(io[2], in, (size_t)said) == said);
	must(write(fd, s->answer, s->answer_len) == (ssize_t)s->answer_len);
	for (int i = 0; i < 3; i++)
		close(io[i]);
}

static pid_t fake_master(const struct script *s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	unsigned char body[8192];
	pid_t pid;

	memcpy(a.sun_path, control, strlen(control));
	unlink(control);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 8), 0);
	pid = fork();
	if (pid == 0) {
		int fd = accept(listener, NULL, NULL);

		must(fd >= 0 && write(fd, s->hello, s->hello_len) == (ssize_t)s->hello_len);
		must(read_packet(fd, body) == 8 && !memcmp(body, HELLO + 4, 8));
		if (s->answer)
			serve_session(fd, s);
		if (s->stays)
			pause();
		_exit(0);
	}
	close(listener);
	return pid;
}

/* ---- the client -------------------------------------------------------------------------- */

struct answer {
	struct event_base *base;
	int status;
	char out[64], err[256];
	unsigned times;
};

static void on_done(void *arg, const struct program_result *r)
{
	struct answer *a = arg;

	a->times++;
	a->status = r->status;
	assert_int_equal(strlen(r->out), r->out_len);
	snprintf(a->out, sizeof(a->out), "%s", r->out);
	snprintf(a->err, sizeof(a->err), "%.200s", r->err);
	event_base_loopbreak(a->base);
}

static struct answer run(const struct script *s, const char *command, int stdio, double seconds)
{
	struct answer a = {.base = event_base_new()};
	pid_t master = fake_master(s);
	int status;

	assert_non_null(program_run(a.base, &target, &at, control, command, stdio, 32, seconds,
				    on_done, &a));
	event_base_dispatch(a.base);
	assert_int_equal(a.times, 1);
	if (s->stays)
		kill(master, SIGKILL);
	waitpid(master, &status, 0);
	if (!s->stays)
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 9);
	event_base_free(a.base);
	return a;
}

static struct answer ask(const struct script *s)
{
	return run(s, "a command", -1, 20);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void test_well(void **state)
{
	const struct script s = {.hello = HELLO_MORE, .hello_len = sizeof(HELLO_MORE) - 1,
				 .answer = OPENED EXIT_3, .answer_len = sizeof(OPENED EXIT_3) - 1};
	struct answer a = ask(&s);

	(void)state;
	assert_int_equal(a.status, 3);
	assert_string_equal(a.out, "a command");
	assert_string_equal(a.err, "");
	/* what is above the maximum is forgotten */
	a = run(&s, "0123456789012345678901234567890123456789", -1, 20);
	assert_int_equal(a.status, 3);
	assert_string_equal(a.out, "01234567890123456789012345678901");
}

static void test_a_connection_for_it(void **state)
{
	const struct script s = {.hello = HELLO, .hello_len = sizeof(HELLO) - 1,
				 .answer = OPENED EXIT_3, .answer_len = sizeof(OPENED EXIT_3) - 1};
	struct answer a;
	char said[32] = "";
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(write(pair[0], "hear", 4), 4);
	a = run(&s, "dial", pair[1], 20);
	assert_int_equal(a.status, 3);
	assert_string_equal(a.out, "");
	assert_string_equal(a.err, "hear");
	assert_int_equal(read(pair[0], said, sizeof(said)), 4);
	assert_string_equal(said, "dial");
	assert_int_equal(read(pair[0], said, sizeof(said)), 0); /* nobody else holds it */
	close(pair[0]);
}

static void test_refused(void **state)
{
	const struct script s = {.hello = HELLO, .hello_len = sizeof(HELLO) - 1,
				 .answer = REFUSED, .answer_len = sizeof(REFUSED) - 1};
	struct answer a = ask(&s);

	(void)state;
	assert_int_equal(a.status, -1);
	assert_non_null(strstr(a.err, "by peer"));
}

/* The conversation, cut after each of its bytes: never a status, and never twice.  Before
 * the command is asked the ssh program is (the one of this test exits with 7). */
static void test_cut(void **state)
{
	static const char answer[] = OPENED EXIT_3;

	(void)state;
	for (size_t n = 0; n < sizeof(HELLO_MORE) - 1; n++) {
		const struct script s = {.hello = HELLO_MORE, .hello_len = n};
		struct answer a = ask(&s);

		assert_int_equal(a.status, 7);
		assert_string_equal(a.out, "program\n");
	}
	for (size_t n = 0; n <= sizeof(answer) - 1; n++) {
		const struct script s = {.hello = HELLO, .hello_len = sizeof(HELLO) - 1,
					 .answer = answer, .answer_len = n};

		assert_int_equal(ask(&s).status, n < sizeof(answer) - 1 ? -1 : 3);
	}
}

static void test_another_protocol(void **state)
{
	static const struct {
		const char *hello;
		size_t len;
	} others[] = {
		{BYTES(HELLO_5)},
		{BYTES("SSH-2.0-OpenSSH_9.2p1\r\n")},
		{BYTES("\0\0\0\x0c\0\0\0\x01\0\0\0\x04\0\0\0\xff")}, /* an extension cut */
		{BYTES("\0\0\0\x09\0\0\0\x01\0\0\0\x04" "x")},
		{BYTES("\0\0\0\0")},
		{BYTES("\xff\xff\xff\xff")},
		{BYTES(OPENED)},
		{BYTES("\0\0\0\x04\0\0\0\x01")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		const struct script s = {.hello = others[i].hello, .hello_len = others[i].len};

		assert_int_equal(ask(&s).status, 7);
	}
}

static void test_malformed(void **state)
{
	static const struct {
		const char *answer;
		size_t len;
	} bad[] = {
		{BYTES(EXIT_3)},			 /* of no session */
		{BYTES(HELLO OPENED EXIT_3)},		 /* once is enough */
		{BYTES(OPENED OPENED EXIT_3)},
		{BYTES("\0\0\0\x0c\x80\0\0\x06\0\0\0\x02\0\0\0\x07" EXIT_3)}, /* another request */
		{BYTES(OPENED "\0\0\0\x0c\x80\0\0\x04\0\0\0\x08\0\0\0\x03")}, /* another session */
		{BYTES(OPENED "\0\0\0\x0c\x80\0\0\x04\0\0\0\x07\0\0\x01\0")}, /* no exit status */
		{BYTES(OPENED "\0\0\0\x0d\x80\0\0\x04\0\0\0\x07\0\0\0\x03" "x")},
		{BYTES(OPENED "\0\0\0\x08\x80\0\0\x04\0\0\0\x07")},
		{BYTES(OPENED REFUSED)},
		{BYTES(OPENED "\0\0\0\x08\x80\0\0\x08\0\0\0\x07")}, /* there is no terminal */
		{BYTES("\0\0\0\x10\x80\0\0\x03\0\0\0\x01\0\0\0\x05" "long")},
		{BYTES("\0\0\x10\0\x80\0\0\x06")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct script s = {.hello = HELLO, .hello_len = sizeof(HELLO) - 1,
				   .answer = bad[i].answer, .answer_len = bad[i].len};
		struct answer a = ask(&s);

		assert_int_equal(a.status, -1);
		assert_string_not_equal(a.out, "program\n");
		s.stays = true; /* it is not waited for */
		assert_int_equal(ask(&s).status, -1);
	}
}

static void test_silent(void **state)
{
	const struct script before = {.hello = HELLO, .hello_len = 5, .stays = true};
	const struct script after = {.hello = HELLO, .hello_len = sizeof(HELLO) - 1,
				     .answer = OPENED, .answer_len = sizeof(OPENED) - 1,
				     .stays = true};

	(void)state;
	assert_int_equal(run(&before, "a command", -1, 0.1).status, -1);
	assert_int_equal(run(&after, "a command", -1, 0.1).status, -1);
}

static void test_nobody(void **state)
{
	struct answer a = {.base = event_base_new()};
	struct program_run *r;
	int pair[2];

	(void)state;
	unlink(control);
	program_run(a.base, &target, &at, control, "x", -1, 32, 20, on_done, &a);
	event_base_dispatch(a.base);
	assert_int_equal(a.status, 7);
	/* what is called off says no more, and closes what it was given */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	r = program_run(a.base, &target, &at, control, "x", pair[1], 32, 20, on_done, &a);
	assert_non_null(r);
	program_run_cancel(r);
	assert_int_equal(read(pair[0], &(char){0}, 1), 0);
	assert_int_equal(a.times, 1);
	close(pair[0]);
	event_base_free(a.base);
}

static void test_requests(void **state)
{
	unsigned char buf[128];
	struct mux_answer a;

	(void)state;
	assert_int_equal(mux_hello(buf, sizeof(buf)), 12);
	assert_memory_equal(buf, HELLO, 12);
	for (size_t room = 4; room < 12; room++)
		assert_int_equal(mux_hello(buf, room), 0);
	assert_int_equal(mux_new_session(buf, sizeof(buf), 1, "ls"), 46);
	for (size_t room = 4; room < 46; room++)
		assert_int_equal(mux_new_session(buf, room, 1, "ls"), 0);
	assert_int_equal(mux_read((const unsigned char *)OPENED EXIT_3, 32, &a), 16);
	assert_int_equal(a.kind, MUX_OPENED);
	assert_int_equal(a.session, 7);
}

static int setup(void **state)
{
	char path[80];
	FILE *f;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return -1;
	snprintf(control, sizeof(control), "%s/m", dir);
	snprintf(path, sizeof(path), "%s/ssh", dir);
	f = fopen(path, "w");
	if (!f)
		return -1;
	fputs("#!/bin/sh\necho program\nexit 7\n", f);
	fclose(f);
	chmod(path, 0755);
	snprintf(path, sizeof(path), "%s:/bin:/usr/bin", dir);
	return setenv("PATH", path, 1);
}

static int teardown(void **state)
{
	char path[80];

	(void)state;
	unlink(control);
	snprintf(path, sizeof(path), "%s/ssh", dir);
	unlink(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_well),
		cmocka_unit_test(test_a_connection_for_it),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_another_protocol),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
