/*
 * transport_ssh_place.c - a private directory under $TMPDIR, and the listener in
 * it through which libcurl reaches a channel.
 *
 * The directory is ours alone (0700), and a connection of any other process is
 * closed.  Its owner holds a lock on it, which the kernel drops with the owner: so it
 * is known which directories killed collectors left behind, whatever became of their
 * pids, and the next who starts removes them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport.h"
#include "transport_ssh.h"

#define PREFIX "dcm-ssh-"
#define LISTENER "s"

enum { TMPDIR_MAX = 48 }; /* of TMPDIR's length: ssh appends to what is in there */

struct ssh_place {
	char dir[SSH_PATH], socket[SSH_PATH];
	int lock, listener;
	struct event *event, *again;
	void (*accepted)(void *arg, int fd);
	void *arg;
};

static const char *temporary(void)
{
	const char *tmp = getenv("TMPDIR");

	return tmp && tmp[0] == '/' && strlen(tmp) <= TMPDIR_MAX ? tmp : "/tmp";
}

/* ---- one directory, and whose it is ------------------------------------------------ */

static void remove_dir(int fd, const char *path)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!d) {
		if (copy >= 0)
			close(copy);
		return;
	}
	rewinddir(d);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			unlinkat(fd, e->d_name, 0);
	closedir(d);
	rmdir(path);
}

/* Opened and locked for this process alone; -1: it is not ours, or somebody has it. */
static int take_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st, there;

	if (fd < 0)
		return -1;
	/* the same still, since who locked it before may have removed it */
	if (!fstat(fd, &st) && st.st_uid == geteuid() && (st.st_mode & 07777) == 0700 &&
	    (!flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK) && !lstat(path, &there) &&
	    there.st_dev == st.st_dev && there.st_ino == st.st_ino)
		return fd;
	close(fd);
	return -1;
}

/* Where there are no locks (a file system's, another version's), the listener tells. */
static bool somebody_listens(const char *dir)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/" LISTENER, dir);
	bool listens = true;

	if (fd < 0)
		return true;
	if (n > 0 && (size_t)n < sizeof(a.sun_path) &&
	    connect(fd, (struct sockaddr *)&a, sizeof(a)))
		listens = errno != ECONNREFUSED && errno != ENOENT;
	close(fd);
	return listens;
}

void transport_sweep(void)
{
	const char *tmp = temporary();
	DIR *d = opendir(tmp);
	struct dirent *e;
	char path[SSH_PATH];

	for (int i = 0; d && i < 65536 && (e = readdir(d)); i++) {
		int fd;

		if (strncmp(e->d_name, PREFIX, sizeof(PREFIX) - 1) ||
		    (size_t)snprintf(path, sizeof(path), "%s/%s", tmp, e->d_name) >= sizeof(path) ||
		    (fd = take_dir(path)) < 0)
			continue;
		if (!somebody_listens(path))
			remove_dir(fd, path);
		close(fd);
	}
	if (d)
		closedir(d);
}

/* ---- the listener -------------------------------------------------------------------- */

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

static int make_dir(struct ssh_place *p)
{
	static bool swept;

	if (!swept)
		transport_sweep(); /* our predecessor's, who was killed */
	swept = true;
	for (int tries = 0; tries < 8; tries++) {
		snprintf(p->dir, sizeof(p->dir), "%s/" PREFIX "%ld.XXXXXX", temporary(),
			 (long)getpid());
		if (!mkdtemp(p->dir))
			return -1;
		p->lock = take_dir(p->dir);
		if (p->lock >= 0)
			return 0;
		rmdir(p->dir); /* one who sweeps was faster, if it is not gone already */
	}
	return -1;
}

struct ssh_place *ssh_place_open(struct event_base *base, void (*accepted)(void *arg, int fd),
				 void *arg, char *why)
{
	struct ssh_place *p = calloc(1, sizeof(*p));

	if (!p) {
		ssh_say(why, "no memory for the way to the engine");
		return NULL;
	}
	*p = (struct ssh_place){.accepted = accepted, .arg = arg, .lock = -1, .listener = -1};
	if (make_dir(p)) {
		ssh_say(why, "cannot make a directory in %.48s (%s): make room there, or set TMPDIR",
			temporary(), strerror(errno));
		free(p);
		return NULL;
	}
	ssh_place_path(p, LISTENER, p->socket);
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
	remove_dir(p->lock, p->dir);
	close(p->lock);
	free(p);
}
