/*
 * instance.c - what a running instance holds on this machine.
 *
 * The lock is an open-file-description lock on byte 0 of a memory object that
 * the supervisor alone keeps open: the kernel drops it with the process, so no
 * pid is ever taken as proof of life.  Each child holds a shared lock on byte 1
 * through a description of its own.  A supervisor that was killed takes its
 * children with it (PR_SET_PDEATHSIG), but a moment later than its lock: the
 * successor waits for byte 1, for a shard must never have two writers.
 *
 * Names in /dev/shm and /tmp can be squatted by others, so owner, kind and mode
 * of everything found are checked before it is used.
 */
#include "instance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../shm/names.h"

enum { BYTE_SUPERVISOR, BYTE_CHILDREN, FAILED = 1 };

static int fail(char *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(char *err, const char *fmt, ...)
{
	int why = errno;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, INSTANCE_ERR, fmt, ap);
	va_end(ap);
	errno = why;
	return FAILED;
}

/* ---- the lock ------------------------------------------------------------- */

static int lock_byte(int fd, short type, off_t byte)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &l);
}

static void nap(void)
{
	const struct timespec t = {.tv_nsec = 10 * 1000 * 1000};

	nanosleep(&t, NULL);
}

static int open_lock(const struct instance *i, const char *name, int *fd, char *err)
{
	struct stat st;

	*fd = shm_open(name, O_RDWR | O_CREAT, 0600);
	if (*fd < 0)
		return fail(err,
			    "cannot open /dev/shm%s: %s; see with ls -l whose it is",
			    name, strerror(errno));
	if (fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != i->uid ||
	    (st.st_mode & 0077) != 0) {
		close(*fd);
		return fail(err, "/dev/shm%s is not a private file of this user; remove it", name);
	}
	return 0;
}

static long read_pid(int fd)
{
	char text[24];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return atol(text);
}

static int held_by(const struct instance *i, long pid, char *err)
{
	char who[40] = "unknown";

	if (pid > 0)
		snprintf(who, sizeof(who), "%ld", pid);
	fail(err,
	     "instance \"%s\" is already running: pid %s; stop it, or choose another --instance",
	     i->name, who);
	return INSTANCE_HELD;
}

/* One try.  0, an exit status, or -1: try again. */
static int try_lock(struct instance *i, const char *name, bool last, char *err)
{
	struct stat mine, named;
	char path[DCM_OBJECT_NAME_MAX + 16];
	int fd, rc = open_lock(i, name, &fd, err);

	if (rc)
		return rc;
	if (lock_byte(fd, F_WRLCK, BYTE_SUPERVISOR) < 0) {
		long pid = read_pid(fd);

		close(fd);
		/* No pid yet, or one that is gone: its holder is just starting or ending. */
		if (!last && (pid <= 0 || (kill((pid_t)pid, 0) < 0 && errno == ESRCH)))
			return -1;
		return held_by(i, pid, err);
	}
	/* A predecessor that ends unlinks the object under its lock. */
	snprintf(path, sizeof(path), "/dev/shm%s", name);
	if (fstat(fd, &mine) < 0 || stat(path, &named) < 0 || mine.st_ino != named.st_ino) {
		close(fd);
		return last ? fail(err, "/dev/shm%s keeps changing; try again", name) : -1;
	}
	i->lock = fd;
	return 0;
}

/* The children of a killed predecessor end at once: bounded. */
static int wait_for_orphans(struct instance *i, char *err)
{
	for (int n = 0; n < 500; n++) {
		if (lock_byte(i->lock, F_WRLCK, BYTE_CHILDREN) == 0)
			return lock_byte(i->lock, F_UNLCK, BYTE_CHILDREN) == 0
				       ? 0
				       : fail(err, "cannot unlock: %s", strerror(errno));
		nap();
	}
	return fail(err, "processes of the dcmd before this one are still there; end those that "
			 "`ps` shows as \"dcmd: …\"");
}

static int write_pid(const struct instance *i, const char *name, char *err)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(i->lock, 0) == 0 && pwrite(i->lock, text, (size_t)len, 0) == len)
		return 0;
	return fail(err, "cannot write /dev/shm%s: %s; make room in /dev/shm", name,
		    strerror(errno));
}

int instance_lock(struct instance *i, char *err)
{
	char name[DCM_OBJECT_NAME_MAX];
	int rc = -1;

	names_lock(name, i->uid, i->name);
	for (int n = 0; rc < 0; n++) {
		rc = try_lock(i, name, n == 100, err);
		if (rc < 0)
			nap();
	}
	if (!rc)
		rc = write_pid(i, name, err);
	return rc ? rc : wait_for_orphans(i, err);
}

int instance_relock(struct instance *i, char *err)
{
	char name[DCM_OBJECT_NAME_MAX], path[DCM_OBJECT_NAME_MAX + 16];
	struct stat mine, named;
	int before = i->lock, rc;

	names_lock(name, i->uid, i->name);
	snprintf(path, sizeof(path), "/dev/shm%s", name);
	if (fstat(i->lock, &mine) == 0 && stat(path, &named) == 0 && mine.st_ino == named.st_ino)
		return 0;
	rc = try_lock(i, name, true, err);
	if (rc)
		return rc;
	close(before);
	rc = write_pid(i, name, err);
	return rc ? rc : INSTANCE_RELOCKED;
}

void instance_child_lock(const struct instance *i)
{
	char name[DCM_OBJECT_NAME_MAX];
	int fd;

	names_lock(name, i->uid, i->name);
	fd = shm_open(name, O_RDWR, 0);
	if (fd >= 0 && lock_byte(fd, F_RDLCK, BYTE_CHILDREN) < 0)
		close(fd);
	/* Else it stays open for as long as this process lives. */
}

/* ---- directories ---------------------------------------------------------- */

static bool is_empty(const char *path)
{
	struct dirent *e;
	bool empty = true;
	DIR *d = opendir(path);

	if (!d)
		return false;
	while (empty && (e = readdir(d)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	closedir(d);
	return empty;
}

static int own(const char *path, mode_t mode, gid_t gid, char *err)
{
	struct stat st;

	/* Nothing to do: not refused where the file system is read-only. */
	if (lstat(path, &st) == 0 && (st.st_mode & 07777) == mode &&
	    (gid == (gid_t)-1 || st.st_gid == gid))
		return 0;
	if (chown(path, (uid_t)-1, gid) < 0)
		return fail(err, "cannot give %s to group %u: %s; be a member of that group", path,
			    (unsigned)gid, strerror(errno));
	if (chmod(path, mode) < 0)
		return fail(err, "cannot set the mode of %s: %s", path, strerror(errno));
	return 0;
}

/* A directory that is this user's.  One that was there before keeps its mode
 * where it is open to others and holds something (`always`: not even then): it
 * may be /run or /tmp. */
static int make_directory(const struct instance *i, const char *path, mode_t mode, gid_t gid,
			  bool always, char *err)
{
	bool made = mkdir(path, mode) == 0;
	struct stat st;

	if (!made && errno != EEXIST)
		return fail(err, "cannot make the directory %s: %s; choose another, or make it",
			    path, strerror(errno));
	if ((always ? lstat : stat)(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return fail(err, "%s is not a directory; choose another", path);
	if (made || always) {
		if (st.st_uid != i->uid)
			return fail(err, "%s belongs to uid %u; remove it, or choose another", path,
				    (unsigned)st.st_uid);
		return own(path, mode, gid, err);
	}
	if (st.st_uid != i->uid) {
		/* Another may replace what we put there, unless it is root's. */
		if (st.st_uid != 0 || ((st.st_mode & 0022) && !(st.st_mode & S_ISVTX)))
			return fail(err, "%s belongs to uid %u; choose another", path,
				    (unsigned)st.st_uid);
		return 0;
	}
	if ((st.st_mode & 0007) == 0 || is_empty(path))
		return own(path, mode, gid, err);
	return 0;
}

/* mkdir -p of what is above `path`. */
static void make_parents(const char *path)
{
	char above[PATH_MAX];
	int n = snprintf(above, sizeof(above), "%s", path);

	if (n < 1 || (size_t)n >= sizeof(above))
		return;
	for (char *s = strchr(above + 1, '/'); s; s = strchr(s + 1, '/')) {
		*s = '\0';
		mkdir(above, 0755); /* what fails shows when the last one is made */
		*s = '/';
	}
}

static bool same_place(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int instance_directories(struct instance *i, char *err)
{
	int n = snprintf(i->socket, sizeof(i->socket), "%s/%s/broker.sock", i->runtime_dir,
			 i->name);
	int rc;

	if (n < 0 || (size_t)n >= sizeof(i->socket))
		return fail(err,
			    "the path %s/%s/broker.sock is longer than %zu bytes; choose a shorter "
			    "--runtime-dir",
			    i->runtime_dir, i->name, sizeof(i->socket) - 1);
	snprintf(i->run, sizeof(i->run), "%.*s", n - (int)strlen("/broker.sock"), i->socket);
	if (asprintf(&i->state, "%s/%s", i->state_dir, i->name) < 0) {
		i->state = NULL;
		return fail(err, "no memory left; free some");
	}
	make_parents(i->runtime_dir);
	make_parents(i->state_dir);
	rc = make_directory(i, i->runtime_dir, 0750, i->gid, false, err);
	if (!rc)
		rc = make_directory(i, i->run, 0750, i->gid, true, err);
	if (rc || same_place(i->state_dir, i->runtime_dir))
		return rc; /* one for both is open to the group; snapshots are 0600 */
	rc = make_directory(i, i->state_dir, 0700, (gid_t)-1, false, err);
	if (!rc)
		rc = make_directory(i, i->state, 0700, (gid_t)-1, true, err);
	/* Without snapshots all else works; collectors say that they cannot write
	 * them, and make the directory once they can. */
	if (rc && (errno == EROFS || errno == ENOSPC || errno == EDQUOT))
		rc = 0;
	return rc;
}

/* ---- the broker's socket -------------------------------------------------- */

int instance_listen(struct instance *i, char *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	mode_t mask;
	int rc;

	memcpy(at.sun_path, i->socket, sizeof(at.sun_path));
	i->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (i->listener < 0)
		return fail(err, "cannot make a socket: %s", strerror(errno));
	unlink(i->socket); /* a stale one: the lock says that nobody listens */
	mask = umask(0177);
	rc = bind(i->listener, (struct sockaddr *)&at, sizeof(at));
	umask(mask);
	if (rc < 0 || listen(i->listener, SOMAXCONN) < 0)
		return fail(err, "cannot listen at %s: %s", i->socket, strerror(errno));
	return own(i->socket, 0660, i->gid, err);
}

/* ---- memory objects ------------------------------------------------------- */

void instance_unlink_shards(const struct instance *i,
			    bool (*keep)(const char *host, void *arg), void *arg)
{
	DIR *d = opendir("/dev/shm");
	struct names_parsed p;
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d))) {
		char name[DCM_OBJECT_NAME_MAX];

		if (!names_parse(e->d_name, &p) || p.kind != NAMES_SHARD || p.uid != i->uid ||
		    strcmp(p.instance, i->name) != 0 || (keep && keep(p.host, arg)))
			continue;
		names_shard(name, p.uid, p.instance, p.host, p.generation);
		shm_unlink(name);
	}
	closedir(d);
}

void instance_let_go(struct instance *i)
{
	if (i->listener >= 0)
		close(i->listener);
	if (i->lock >= 0)
		close(i->lock);
	i->listener = i->lock = -1;
	i->run[0] = '\0';
}

void instance_remove(struct instance *i)
{
	char name[DCM_OBJECT_NAME_MAX];

	if (i->listener >= 0) {
		unlink(i->socket);
		close(i->listener);
		i->listener = -1;
	}
	if (*i->run)
		rmdir(i->run);
	if (i->lock >= 0) {
		names_lock(name, i->uid, i->name);
		shm_unlink(name);
		close(i->lock);
		i->lock = -1;
	}
	free(i->state);
	i->state = NULL;
}
