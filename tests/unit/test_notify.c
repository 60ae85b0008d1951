/* test_notify.c - a service manager that reads late gets all that counts, in its order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../collector/notify.h"

static int manager;
static struct sockaddr_un at = {.sun_family = AF_UNIX};
static socklen_t at_len;

static int setup(void **state)
{
	(void)state;
	/* an abstract name: nothing to clean up */
	snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "dcm-test-notify-%d", (int)getpid());
	at_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(at.sun_path + 1));
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return bind(manager, (struct sockaddr *)&at, at_len);
}

static int teardown(void **state)
{
	(void)state;
	return close(manager);
}

/* What the manager reads next; "": nothing is there. */
static const char *next(void)
{
	static char buf[600];
	ssize_t n = recv(manager, buf, sizeof(buf) - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

/* Until the manager's socket takes no more, of a socket that has sent nothing yet. */
static unsigned fill(void)
{
	unsigned n = 0, before;

	do {
		int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		before = n;
		while (sendto(fd, "x", 1, 0, (struct sockaddr *)&at, at_len) == 1)
			n++;
		close(fd);
	} while (n > before);
	return n;
}

static void test_full_socket(void **state)
{
	char name[128], want[32];
	unsigned n;

	(void)state;
	snprintf(name, sizeof(name), "@%s", at.sun_path + 1);
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	notify_init();
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_null(getenv("WATCHDOG_USEC"));
	n = fill();
	assert_true(n > 0);
	notify_send("RELOADING=1");
	notify_send("READY=1\nSTATUS=%d hosts", 7);
	notify_beat(1); /* nor does the watchdog go before them */
	while (n--)
		assert_string_equal(next(), "x");
	assert_string_equal(next(), "");
	notify_beat(1);
	assert_string_equal(next(), "RELOADING=1");
	assert_string_equal(next(), "READY=1\nSTATUS=7 hosts");
	assert_string_equal(next(), "WATCHDOG=1");
	notify_beat(1.9);
	assert_string_equal(next(), "");
	notify_beat(2.1); /* a third of what the manager allows */
	assert_string_equal(next(), "WATCHDOG=1");

	/* what is new goes behind what waits, of very much the newest is kept, and no status */
	n = fill();
	for (int i = 0; i < 20; i++) {
		notify_send("READY=1\nSTATUS=%d", i);
		notify_send("STATUS=%d of 20", i);
	}
	while (n--)
		next();
	notify_send("STOPPING=1");
	for (int i = 12; i < 20; i++) {
		snprintf(want, sizeof(want), "READY=1\nSTATUS=%d", i);
		assert_string_equal(next(), want);
	}
	assert_string_equal(next(), "STOPPING=1");
	assert_string_equal(next(), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_full_socket, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
