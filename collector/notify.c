/*
 * notify.c - the service manager's notification protocol: a datagram of
 * "KEY=VALUE" lines to the unix socket in NOTIFY_SOCKET ('@': abstract).
 *
 * Nothing here waits.  A manager that does not read for a while finds its socket full:
 * what was not sent is sent later, in its order, since a READY that is lost would have it
 * end the daemon.  A beat of the watchdog or a mere status is not kept: the next one is
 * as good.
 */
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TEXT_MAX = 512, UNSENT_MAX = 8 }; /* of more, the newest count */

static int notify_fd = -1;
static char unsent[UNSENT_MAX][TEXT_MAX];
static unsigned n_unsent;
static double watchdog_every, watchdog_due;

static int connect_to(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd;

	if (len < 2 || len >= sizeof(to.sun_path) || (*path != '/' && *path != '@'))
		return -1;
	memcpy(to.sun_path, path, len);
	if (*path == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&to,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

void notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	if (path)
		notify_fd = connect_to(path);
	if (usec && (!pid || atol(pid) == getpid()))
		watchdog_every = atof(usec) / 1e6 / 3;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

/* False: there is no room for it now. */
static bool sent(const char *text)
{
	return send(notify_fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
	       (errno != EAGAIN && errno != ENOBUFS);
}

static void drop_first(void)
{
	memmove(unsent[0], unsent[1], sizeof(unsent[0]) * --n_unsent);
}

static void send_unsent(void)
{
	while (n_unsent && sent(unsent[0]))
		drop_first();
}

void notify_send(const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	if (notify_fd < 0)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send_unsent();
	if ((!n_unsent && sent(text)) || !strncmp(text, "STATUS=", 7))
		return;
	if (n_unsent == UNSENT_MAX)
		drop_first();
	memcpy(unsent[n_unsent++], text, sizeof(text));
}

void notify_beat(double now)
{
	send_unsent();
	if (watchdog_every <= 0 || now < watchdog_due || n_unsent || notify_fd < 0)
		return;
	if (sent("WATCHDOG=1"))
		watchdog_due = now + watchdog_every;
}
