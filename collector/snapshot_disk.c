/*
 * snapshot_disk.c - the files of snapshots; see snapshot_disk.h.
 *
 * The directory is opened anew each time, so one that was replaced or mounted
 * over is found.  At any instant HOST.snap is the last whole one: a new one gets
 * its name only once its bytes are on the disk, and the name is on the disk when
 * the write returns.
 */
#include "snapshot_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_ROOM = 128 };

static int fail(int code, char *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(int code, char *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, SNAPSHOT_DISK_ERR, fmt, ap);
	va_end(ap);
	return -code;
}

static int open_dir(const char *dir)
{
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void file_name(char name[NAME_ROOM], const char *host)
{
	snprintf(name, NAME_ROOM, "%.63s.snap", host);
}

/* ---- read ---------------------------------------------------------------------- */

static int read_all(int fd, uint8_t *data, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = read(fd, data + have, len - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO; /* it got shorter meanwhile */
		have += (size_t)n;
	}
	return 0;
}

static int read_file(int fd, uid_t uid, uint64_t max, void **data, size_t *len, char *err)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0)
		return fail(errno, err, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(EINVAL, err, "it is not a regular file");
	if (st.st_uid != uid)
		return fail(EINVAL, err, "it belongs to uid %u", (unsigned)st.st_uid);
	if (st.st_mode & 0022)
		return fail(EINVAL, err, "others may write it (mode %04o)",
			    (unsigned)st.st_mode & 07777);
	if ((uint64_t)st.st_size > max)
		return fail(EINVAL, err, "it is larger than shard_limit");
	*len = (size_t)st.st_size;
	*data = malloc(*len + 1);
	if (!*data)
		return fail(ENOMEM, err, "no memory to read it");
	rc = read_all(fd, *data, *len);
	if (rc) {
		free(*data);
		*data = NULL;
		return fail(EINVAL, err, "it cannot be read: %s", strerror(rc));
	}
	return 0;
}

int snapshot_disk_read(const char *dir, const char *host, uid_t uid, uint64_t max, void **data,
		       size_t *len, char *err)
{
	char name[NAME_ROOM];
	int d = open_dir(dir), fd, rc;

	*data = NULL;
	file_name(name, host);
	/* not through a link, and not waiting for whoever writes into a fifo */
	fd = d < 0 ? -1 : openat(d, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		rc = read_file(fd, uid, max, data, len, err);
	else if (errno == ELOOP)
		rc = fail(EINVAL, err, "it is a symbolic link");
	else if (errno == ENXIO || (errno == EACCES && d >= 0))
		rc = fail(EINVAL, err, "it cannot be opened: %s", strerror(errno));
	else
		rc = fail(errno, err, "cannot open %s/%s: %s", dir, name, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (d >= 0)
		close(d);
	return rc;
}

/* ---- write --------------------------------------------------------------------- */

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The file `name`, whole and on the disk: 0 or errno. */
static int write_file(int d, const char *name, const void *data, size_t len, double time)
{
	const struct timespec t[2] = {{(time_t)time, 0}, {(time_t)time, 0}};
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, rc = 0;
	int fd = openat(d, name, flags, 0600);

	if (fd < 0 && errno == EEXIST && unlinkat(d, name, 0) == 0) /* our pid's forerunner */
		fd = openat(d, name, flags, 0600);
	if (fd < 0)
		return errno;
	if (fchmod(fd, 0600) < 0)
		rc = errno;
	if (!rc)
		rc = write_all(fd, data, len);
	if (!rc && (futimens(fd, t) < 0 || fsync(fd) < 0))
		rc = errno;
	if (close(fd) < 0 && !rc)
		rc = errno;
	return rc;
}

int snapshot_disk_write(const char *dir, const char *host, const void *data, size_t len,
			double time, char *err)
{
	char name[NAME_ROOM], temp[NAME_ROOM + 32];
	int d = open_dir(dir), rc = 0;

	if (d < 0 && errno == ENOENT && mkdir(dir, 0700) == 0)
		d = open_dir(dir);
	file_name(name, host);
	snprintf(temp, sizeof(temp), "%s.tmp-%ld", name, (long)getpid());
	if (d < 0)
		return fail(errno, err, "cannot open %s: %s", dir, strerror(errno));
	rc = write_file(d, temp, data, len, time);
	if (!rc && renameat(d, temp, d, name) < 0)
		rc = errno;
	if (rc)
		unlinkat(d, temp, 0);
	else if (fsync(d) < 0 && errno != EINVAL) /* not every file system can */
		rc = errno;
	close(d);
	if (rc)
		fail(rc, err, "cannot write %s/%s: %s; the one before stays", dir, name,
		     strerror(rc));
	return -rc;
}

/* ---- what else can become of one ------------------------------------------------- */

/* The number N of NAME + infix + N, or 0. */
static uint64_t numbered(const char *file, const char *name, const char *infix)
{
	size_t n = strlen(name), m = strlen(infix);
	char *end;
	uint64_t v;

	if (strncmp(file, name, n) != 0 || strncmp(file + n, infix, m) != 0 ||
	    file[n + m] < '1' || file[n + m] > '9')
		return 0;
	errno = 0;
	v = strtoull(file + n + m, &end, 10);
	return *end || errno || v >= UINT64_MAX / 2 ? 0 : v;
}

static DIR *list(int d)
{
	int again = openat(d, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *l = again < 0 ? NULL : fdopendir(again);

	if (!l && again >= 0)
		close(again);
	return l;
}

/* The least and the greatest of the numbers of those set aside, and how many. */
static unsigned bad_ones(int d, const char *name, uint64_t *least, uint64_t *most)
{
	const struct dirent *e;
	unsigned n = 0;
	DIR *l = list(d);

	*least = *most = 0;
	while (l && (e = readdir(l))) {
		uint64_t v = numbered(e->d_name, name, ".bad-");

		if (!v)
			continue;
		n++;
		*least = !*least || v < *least ? v : *least;
		*most = v > *most ? v : *most;
	}
	if (l)
		closedir(l);
	return n;
}

/* What was set aside may hold what newer rules take out: for nobody else to read. */
static void make_private(int d, const char *file)
{
	int fd = openat(d, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    st.st_nlink == 1)
		fchmod(fd, 0600);
	if (fd >= 0)
		close(fd);
}

int snapshot_disk_set_aside(const char *dir, const char *host, char *to, size_t len, char *err)
{
	char name[NAME_ROOM], bad[NAME_ROOM + 32];
	uint64_t least, most;
	int d = open_dir(dir), rc = 0;
	unsigned n;

	file_name(name, host);
	if (d < 0)
		return fail(errno, err, "cannot open %s: %s", dir, strerror(errno));
	bad_ones(d, name, &least, &most);
	snprintf(to, len, "%s.bad-%" PRIu64, name, most + 1);
	if (renameat(d, name, d, to) < 0)
		rc = errno;
	else
		make_private(d, to);
	while (!rc && (n = bad_ones(d, name, &least, &most)) > SNAPSHOT_BAD_KEPT) {
		snprintf(bad, sizeof(bad), "%s.bad-%" PRIu64, name, least);
		if (unlinkat(d, bad, 0) < 0 && unlinkat(d, bad, AT_REMOVEDIR) < 0)
			break; /* a directory that holds something: its maker's to clear */
	}
	if (!rc)
		fsync(d);
	close(d);
	return rc ? fail(rc, err, "cannot rename %s/%s: %s", dir, name, strerror(rc)) : 0;
}

int snapshot_disk_remove(const char *dir, const char *host, char *err)
{
	char name[NAME_ROOM];
	int d = open_dir(dir), rc = 0;

	file_name(name, host);
	if (d < 0 || (unlinkat(d, name, 0) < 0 && errno != ENOENT))
		rc = fail(errno, err, "cannot remove %s/%s: %s", dir, name, strerror(errno));
	else
		fsync(d);
	if (d >= 0)
		close(d);
	return rc;
}

void snapshot_disk_tidy(const char *dir, const char *host)
{
	char name[NAME_ROOM];
	const struct dirent *e;
	int d = open_dir(dir);
	DIR *l = d < 0 ? NULL : list(d);

	file_name(name, host);
	while (l && (e = readdir(l)))
		if (numbered(e->d_name, name, ".tmp-"))
			unlinkat(d, e->d_name, 0);
	if (l)
		closedir(l);
	if (d >= 0)
		close(d);
}
