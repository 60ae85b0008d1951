/*
 * transport_ssh_place.c - a private directory under $TMPDIR, and the listener in
 * it through which libcurl reaches a channel.
 *
 * The directory is ours alone (0700), and a connection of any other process is
 * closed.  Its name holds the pid, so that what a killed collector left behind is
 * removed by the next one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport_ssh.h"

#define PREFIX "dcm-ssh-"

struct ssh_place {
	char dir[SSH_PATH], socket[SSH_PATH];
	int listener;
	struct event *event, *again;
	void (*accepted)(void *arg, int fd);
	void *arg;
};

static void remove_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *e;
	struct stat st;
	DIR *d;

	if (fd < 0)
		return;
	if (fstat(fd, &st) || st.st_uid != geteuid() || !(d = fdopendir(fd))) {
		close(fd);
		return;
	}
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(path);
}

/* What the dead left. */
static void sweep(const char *tmp)
{
	DIR *d = opendir(tmp);
	struct dirent *e;
	char path[SSH_PATH];

	if (!d)
		return;
	for (int i = 0; i < 65536 && (e = readdir(d)); i++) {
		long pid;

		if (strncmp(e->d_name, PREFIX, sizeof(PREFIX) - 1))
			continue;
		pid = strtol(e->d_name + sizeof(PREFIX) - 1, NULL, 10);
		if (pid <= 1 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
			continue;
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", tmp, e->d_name) < sizeof(path))
			remove_dir(path);
	}
	closedir(d);
}

static void on_connection(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval later = {0, 100000};
	struct ssh_place *p = arg;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred who;
	socklen_t n = sizeof(who);

	(void)what;
	if (peer < 0 && (errno == EMFILE || errno == ENFILE)) {
		event_del(p->event); /* it stays readable: look again later, not at once */
		evtimer_add(p->again, &later);
	}
	if (peer < 0)
		return;
	if (getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &who, &n) || who.pid != getpid())
		close(peer);
	else
		p->accepted(p->arg, peer);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct ssh_place *p = arg;

	(void)fd;
	(void)what;
	event_add(p->event, NULL);
}

static int listen_there(struct event_base *base, struct ssh_place *p)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	memcpy(a.sun_path, p->socket, sizeof(a.sun_path));
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&a, sizeof(a)) ||
	    listen(p->listener, 1024))
		return -1;
	p->event = event_new(base, p->listener, EV_READ | EV_PERSIST, on_connection, p);
	p->again = evtimer_new(base, on_again, p);
	return p->event && p->again ? event_add(p->event, NULL) : -1;
}

struct ssh_place *ssh_place_open(struct event_base *base, void (*accepted)(void *arg, int fd),
				 void *arg, char *why)
{
	struct ssh_place *p = calloc(1, sizeof(*p));
	const char *tmp = getenv("TMPDIR");
	char dir[SSH_PATH];

	if (!p) {
		ssh_say(why, "no memory for the way to the engine");
		return NULL;
	}
	*p = (struct ssh_place){.accepted = accepted, .arg = arg, .listener = -1};
	if (!tmp || tmp[0] != '/' || strlen(tmp) > 48) /* ssh appends to what is in there */
		tmp = "/tmp";
	sweep(tmp);
	snprintf(dir, sizeof(dir), "%.48s/" PREFIX "%ld.XXXXXX", tmp, (long)getpid());
	if (!mkdtemp(dir)) {
		ssh_say(why, "cannot make a directory in %.48s (%s): make room there, or set TMPDIR",
			tmp, strerror(errno));
		free(p);
		return NULL;
	}
	memcpy(p->dir, dir, sizeof(dir));
	ssh_place_path(p, "s", p->socket);
	if (listen_there(base, p)) {
		ssh_say(why, "cannot listen in %.80s (%s)", p->dir, strerror(errno));
		ssh_place_close(p);
		return NULL;
	}
	return p;
}

const char *ssh_place_socket(const struct ssh_place *p)
{
	return p->socket;
}

void ssh_place_path(const struct ssh_place *p, const char *name, char *buf)
{
	snprintf(buf, SSH_PATH, "%.90s/%.16s", p->dir, name);
}

void ssh_place_close(struct ssh_place *p)
{
	if (!p)
		return;
	if (p->event)
		event_free(p->event);
	if (p->again)
		event_free(p->again);
	if (p->listener >= 0)
		close(p->listener);
	remove_dir(p->dir);
	free(p);
}
