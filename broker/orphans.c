/*
 * orphans.c - memory objects of dead instances of this user; see cleanup.h.
 *
 * A living instance holds an OFD lock on its lock object, which the kernel drops
 * with the process; it takes the lock before it makes any other object.  So who
 * gets the lock of another instance knows that instance to be dead, and while it
 * holds the lock none of that name can start.  The lock object goes last: a
 * supervisor that opened it before and gets its lock after finds that the name
 * no longer leads to it, and begins anew.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shm/log.h"
#include "../shm/names.h"
#include "cleanup.h"

enum { DEAD_AT_ONCE = 32 }; /* instances in one round */

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
		    S_ISREG(st.st_mode) && st.st_uid == uid && unlinkat(dirfd(d), e->d_name, 0) == 0)
			removed++;
	return removed;
}

/* The lock of an instance, held; -1: it lives, or its lock is not ours. */
static int hold_lock(DIR *d, const char *name, uid_t uid)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = openat(dirfd(d), name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	struct stat st, now;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == uid &&
	    fcntl(fd, F_OFD_SETLK, &l) == 0 &&
	    fstatat(dirfd(d), name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == st.st_ino &&
	    now.st_dev == st.st_dev)
		return fd;
	close(fd);
	return -1;
}

static unsigned remove_dead(DIR *d, uid_t uid, const char *instance)
{
	char lock[DCM_OBJECT_NAME_MAX];
	unsigned removed;
	int fd;

	names_lock(lock, uid, instance);
	fd = hold_lock(d, lock + 1, uid);
	if (fd < 0)
		return 0;
	removed = remove_objects(d, uid, instance);
	if (unlinkat(dirfd(d), lock + 1, 0) == 0)
		removed++;
	close(fd);
	if (removed)
		log_event(LOG_LEVEL_INFO, "orphan_instance", NULL, LF_STR("instance", instance),
			  LF_INT("objects", removed));
	return removed;
}

unsigned cleanup_orphans(const char *shm_dir, uid_t uid, const char *own)
{
	char found[DEAD_AT_ONCE][DCM_INSTANCE_MAX + 1];
	unsigned n = 0, removed = 0, i;
	DIR *d = opendir(shm_dir);
	const struct dirent *e;
	struct names_parsed p;

	/* First whom there is something of, since removing moves the listing. */
	while (d && n < DEAD_AT_ONCE && (e = readdir(d))) {
		if (!names_parse(e->d_name, &p) || p.uid != uid || strcmp(p.instance, own) == 0)
			continue;
		for (i = 0; i < n && strcmp(found[i], p.instance) != 0; i++)
			;
		if (i == n)
			memcpy(found[n++], p.instance, sizeof(found[0]));
	}
	for (i = 0; i < n; i++)
		removed += remove_dead(d, uid, found[i]);
	if (d)
		closedir(d);
	return removed;
}
