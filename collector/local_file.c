/*
 * local_file.c - see local_file.h.
 *
 * The job is shared by the loop and its thread; the thread ends by one write to
 * a pipe, and whoever lets go last frees the job.  The thread calls nothing that
 * allocates (no arena of its own appears) and takes no signals.
 */
#include "local_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct local_file {
	atomic_int holders; /* the loop, the thread */
	int done_fd[2];
	struct event *done_event;
	void (*done)(void *arg, const char *data, size_t len, const char *error);
	void *arg;
	const char *error;
	long len;
	size_t max;
	char *path;
	char data[];
};

/* Every component by itself, for kernels (and sandboxes) without openat2. */
static int open_by_steps(const char *path)
{
	char part[256];
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0) {
		int next, wanted;
		size_t n;

		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (n == 0 || n >= sizeof(part)) {
			close(fd);
			errno = n ? ENAMETOOLONG : EISDIR;
			return -1;
		}
		memcpy(part, path, n);
		part[n] = '\0';
		path += n;
		wanted = path[strspn(path, "/")] ? O_PATH | O_DIRECTORY : O_RDONLY | O_NONBLOCK;
		next = openat(fd, part, wanted | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
		close(fd);
		fd = next;
		if (!(wanted & O_PATH))
			break;
	}
	return fd;
}

static int open_without_links(const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		return open_by_steps(path);
	return (int)fd;
}

static const char *open_error(int e)
{
	switch (e) {
	case ENOENT:
	case ENOTDIR:
		return "no such file";
	case EACCES:
		return "permission denied";
	case ELOOP:
		return "a part of the path is a symbolic link";
	}
	return "cannot be opened";
}

long local_file_get(const char *path, char *buf, size_t max, const char **error)
{
	size_t len = 0;
	struct stat st;
	int fd;

	if (path[0] != '/') {
		*error = "not an absolute path";
		return -1;
	}
	fd = open_without_links(path);
	if (fd < 0) {
		*error = open_error(errno);
		return -1;
	}
	/* opened without waiting: a FIFO or device is seen here, before a read */
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		*error = "not a regular file";
		return -1;
	}
	while (len < max) {
		ssize_t n = read(fd, buf + len, max - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			close(fd);
			*error = "cannot be read";
			return -1;
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	return (long)len;
}

static void let_go(struct local_file *f)
{
	if (atomic_fetch_sub(&f->holders, 1) != 1)
		return;
	close(f->done_fd[0]);
	close(f->done_fd[1]);
	free(f->path);
	free(f);
}

static void *read_it(void *arg)
{
	struct local_file *f = arg;
	ssize_t n;

	f->len = local_file_get(f->path, f->data, f->max, &f->error);
	do
		n = write(f->done_fd[1], "", 1);
	while (n < 0 && errno == EINTR);
	let_go(f);
	return NULL;
}

static int start_thread(struct local_file *f)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int e;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	e = pthread_create(&thread, &attr, read_it, f);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return e;
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
	struct local_file *f = arg;
	char byte;

	(void)what;
	if (read(fd, &byte, 1) != 1)
		return;
	event_free(f->done_event);
	f->done_event = NULL;
	if (f->len < 0)
		f->done(f->arg, NULL, 0, f->error);
	else
		f->done(f->arg, f->data, (size_t)f->len, NULL);
	let_go(f);
}

struct local_file *
local_file_read(struct event_base *base, const char *path, size_t max,
		void (*done)(void *arg, const char *data, size_t len, const char *error), void *arg)
{
	struct local_file *f = malloc(sizeof(*f) + max);

	if (!f)
		return NULL;
	*f = (struct local_file){.done = done, .arg = arg, .max = max, .path = strdup(path)};
	atomic_init(&f->holders, 2);
	if (!f->path || pipe2(f->done_fd, O_CLOEXEC | O_NONBLOCK)) {
		free(f->path);
		free(f);
		return NULL;
	}
	f->done_event = event_new(base, f->done_fd[0], EV_READ | EV_PERSIST, on_done, f);
	if (!f->done_event || event_add(f->done_event, NULL) || start_thread(f)) {
		if (f->done_event)
			event_free(f->done_event);
		atomic_store(&f->holders, 1);
		let_go(f);
		return NULL;
	}
	return f;
}

void local_file_cancel(struct local_file *f)
{
	event_free(f->done_event);
	f->done_event = NULL;
	let_go(f);
}
