/*
 * orphans.c - memory objects of dead instances of this user; see cleanup.h.
 *
 * A living instance holds an OFD lock on its lock object, which the kernel drops
 * with the process; it takes the lock before it makes any other object.  So who
 * gets the lock of another instance knows that instance to be dead, and while it
 * holds the lock none of that name can start.  The lock object goes last: a
 * supervisor that opened it before and gets its lock after finds that the name
 * no longer leads to it, and begins anew.
 *
 * An instance found dead is cleared at the next look, not at the first: readers
 * go on with the memory of a supervisor that was killed, and whoever started it
 * starts it anew, to take that memory over.
 *
 * Objects without any lock object are no instance's that this program left: an
 * instance makes its lock first and removes it last.  They may be somebody's who
 * is at work with the writer alone, such as a test; so they have ORPHAN_WAIT_S.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shm/log.h"
#include "cleanup.h"

/* The objects of `instance` but for its lock. */
static unsigned remove_objects(DIR *d, uid_t uid, const char *instance)
{
	const struct dirent *e;
	struct names_parsed p;
	unsigned removed = 0;
	struct stat st;

	rewinddir(d);
	while ((e = readdir(d)))
		if (names_parse(e->d_name, &p) && p.uid == uid && p.kind != NAMES_LOCK &&
		    strcmp(p.instance, instance) == 0 &&
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_uid == uid &&
		    unlinkat(dirfd(d), e->d_name, 0) == 0)
			removed++;
	return removed;
}

/* The lock of an instance, held; -1: it lives, or its lock is not ours, or (ENOENT, but
 * where `make` is given) there is none. */
static int hold_lock(DIR *d, const char *name, uid_t uid, int make)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = openat(dirfd(d), name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | make, 0600);
	struct stat st, now;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == uid &&
	    fcntl(fd, F_OFD_SETLK, &l) == 0 &&
	    fstatat(dirfd(d), name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == st.st_ino &&
	    now.st_dev == st.st_dev)
		return fd;
	close(fd);
	errno = EBUSY;
	return -1;
}

/* Since when it is listed; -1: it is not. */
static double since(const struct orphans *o, const char *instance)
{
	for (unsigned i = 0; i < o->n; i++)
		if (strcmp(o->v[i].instance, instance) == 0)
			return o->v[i].since;
	return -1;
}

static void list(struct orphans *o, const char *instance, double when)
{
	for (unsigned i = 0; i < o->n; i++)
		if (strcmp(o->v[i].instance, instance) == 0)
			return;
	if (o->n == ORPHANS_MAX)
		return;
	memcpy(o->v[o->n].instance, instance, strlen(instance) + 1);
	o->v[o->n++].since = when;
}

/* Clears the instance whose lock `fd` holds. */
static unsigned remove_dead(DIR *d, uid_t uid, const char *instance, const char *lock)
{
	unsigned removed = remove_objects(d, uid, instance);

	if (unlinkat(dirfd(d), lock, 0) == 0)
		removed++;
	log_event(LOG_LEVEL_INFO, "orphan_instance", NULL, LF_STR("instance", instance),
		  LF_INT("objects", removed));
	return removed;
}

/* Looks at one instance, seen dead since `known` (-1: not yet): clears it where it
 * is time, else lists it in `dead` where it is dead. */
static unsigned look_at(DIR *d, uid_t uid, const char *instance, double known, double now,
			struct orphans *dead)
{
	int make = known >= 0 && now - known >= ORPHAN_WAIT_S ? O_CREAT : 0;
	char lock[DCM_OBJECT_NAME_MAX];
	unsigned removed = 0;
	int fd;

	names_lock(lock, uid, instance);
	fd = hold_lock(d, lock + 1, uid, make);
	if (fd >= 0 && known >= 0)
		removed = remove_dead(d, uid, instance, lock + 1);
	else if (fd >= 0 || errno == ENOENT)
		list(dead, instance, known >= 0 ? known : now);
	if (fd >= 0)
		close(fd);
	return removed;
}

unsigned cleanup_orphans(const char *shm_dir, uid_t uid, const char *own, struct orphans *dead,
			 double now)
{
	struct orphans found = {.n = 0}, before = *dead;
	DIR *d = opendir(shm_dir);
	const struct dirent *e;
	struct names_parsed p;
	unsigned removed = 0;

	dead->n = 0;
	/* First of whom there is something: removing moves the listing. */
	while (d && (e = readdir(d)))
		if (names_parse(e->d_name, &p) && p.uid == uid && strcmp(p.instance, own) != 0)
			list(&found, p.instance, now);
	for (unsigned i = 0; i < found.n; i++) {
		const char *instance = found.v[i].instance;

		removed += look_at(d, uid, instance, since(&before, instance), now, dead);
	}
	if (d)
		closedir(d);
	return removed;
}
