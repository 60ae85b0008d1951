/*
 * local_file.c - see local_file.h.
 *
 * What runs in the thread calls nothing that allocates: no arena of its own appears.
 */
#include "local_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "beside.h"

struct local_file {
	struct beside *beside; /* the loop's: the thread never looks at it */
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

/* ---- beside the loop ------------------------------------------------------- */

static void read_it(void *work)
{
	struct local_file *f = work;

	f->len = local_file_get(f->path, f->data, f->max, &f->error);
}

static void tell(void *work)
{
	struct local_file *f = work;

	if (f->len < 0)
		f->done(f->arg, NULL, 0, f->error);
	else
		f->done(f->arg, f->data, (size_t)f->len, NULL);
}

static void release(void *work)
{
	struct local_file *f = work;

	free(f->path);
	free(f);
}

struct local_file *
local_file_read(struct event_base *base, const char *path, size_t max,
		void (*done)(void *arg, const char *data, size_t len, const char *error), void *arg)
{
	static const struct beside_work how = {.run = read_it, .done = tell, .release = release};
	struct local_file *f = malloc(sizeof(*f) + max);
	struct beside *b;

	if (!f)
		return NULL;
	*f = (struct local_file){.done = done, .arg = arg, .max = max, .path = strdup(path)};
	if (!f->path) {
		free(f);
		return NULL;
	}
	b = beside_start(base, &how, f);
	if (!b)
		return NULL;
	f->beside = b;
	return f;
}

void local_file_cancel(struct local_file *f)
{
	beside_cancel(f->beside);
}
