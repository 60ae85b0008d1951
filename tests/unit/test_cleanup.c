/* test_cleanup.c - what the broker's cleanup throws away, and what it leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../broker/cleanup.h"
#include "../../shm/log.h"
#include "../../shm/names.h"

#define MUST(x) assert_true(x)

static void remove_all(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	while ((e = readdir(d)))
		if (unlinkat(dirfd(d), e->d_name, 0))
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	closedir(d);
	assert_int_equal(rmdir(dir), 0);
}

static void touch(const char *dir, const char *name, time_t age)
{
	struct timespec t[2] = {{time(NULL) - age, 0}, {time(NULL) - age, 0}};
	char path[1024];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	MUST(fd >= 0 && futimens(fd, t) == 0);
	close(fd);
}

static bool there(const char *dir, const char *name)
{
	char path[1024];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return lstat(path, &st) == 0;
}

static void object(const char *dir, uid_t uid, const char *instance, char kind)
{
	char name[DCM_OBJECT_NAME_MAX];

	if (kind == 'l')
		names_lock(name, uid, instance);
	else if (kind == 'd')
		names_directory(name, uid, instance);
	else
		names_shard(name, uid, instance, "h", 1);
	touch(dir, name + 1, 0);
}

static unsigned objects(const char *dir, uid_t uid, const char *instance)
{
	char name[3][DCM_OBJECT_NAME_MAX];

	names_lock(name[0], uid, instance);
	names_directory(name[1], uid, instance);
	names_shard(name[2], uid, instance, "h", 1);
	return there(dir, name[0] + 1) + there(dir, name[1] + 1) + there(dir, name[2] + 1);
}

static void only_the_dead_are_cleared(void **state)
{
	char dir[] = "/tmp/dcm-test-XXXXXX", path[256], lock[DCM_OBJECT_NAME_MAX];
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	static const char *const who[] = {"own", "dead", "alive", "nolock"};
	struct orphans seen = {.n = 0};
	uid_t me = getuid();
	int fd;

	(void)state;
	MUST(mkdtemp(dir));
	for (int i = 0; i < 4; i++) {
		object(dir, me, who[i], 'd');
		object(dir, me, who[i], 's');
		if (i < 3)
			object(dir, me, who[i], 'l');
	}
	object(dir, me + 1, "dead", 's');
	touch(dir, "something-else", 0);
	touch(dir, "dcm-x", 0);
	names_lock(lock, me, "alive");
	snprintf(path, sizeof(path), "%s%s", dir, lock);
	fd = open(path, O_RDWR);
	MUST(fcntl(fd, F_OFD_SETLK, &l) == 0);

	/* found dead; cleared at the next look */
	assert_int_equal(cleanup_orphans(dir, me, "own", &seen, 100), 0);
	assert_int_equal(objects(dir, me, "dead"), 3);
	assert_int_equal(cleanup_orphans(dir, me, "own", &seen, 101), 3);
	assert_int_equal(objects(dir, me, "own"), 3);
	assert_int_equal(objects(dir, me, "dead"), 0);
	assert_int_equal(objects(dir, me, "alive"), 3);
	assert_int_equal(objects(dir, me, "nolock"), 2);
	assert_int_equal(objects(dir, me + 1, "dead"), 1);
	assert_true(there(dir, "something-else") && there(dir, "dcm-x"));
	/* without a lock object: a minute later, and the lock made for it goes, too */
	assert_int_equal(cleanup_orphans(dir, me, "own", &seen, 159), 0);
	assert_int_equal(cleanup_orphans(dir, me, "own", &seen, 160), 3);
	assert_int_equal(objects(dir, me, "nolock"), 0);
	assert_int_equal(cleanup_orphans(dir, me, "own", &seen, 160), 0);
	/* the living one dies */
	close(fd);
	assert_int_equal(cleanup_orphans(dir, me, "own", &seen, 161), 0);
	assert_int_equal(objects(dir, me, "alive"), 3);
	/* and lives again: what was seen of it is forgotten */
	fd = open(path, O_RDWR);
	MUST(fcntl(fd, F_OFD_SETLK, &l) == 0);
	assert_int_equal(cleanup_orphans(dir, me, "own", &seen, 162), 0);
	close(fd);
	assert_int_equal(cleanup_orphans(dir, me, "own", &seen, 163), 0);
	assert_int_equal(cleanup_orphans(dir, me, "own", &seen, 164), 3);
	assert_int_equal(objects(dir, me, "alive"), 0);
	remove_all(dir);
}

static void only_old_snapshots_are_removed(void **state)
{
	char dir[] = "/tmp/dcm-test-XXXXXX", path[256];

	(void)state;
	MUST(mkdtemp(dir));
	touch(dir, "old.snap", 2000);
	touch(dir, "new.snap", 10);
	touch(dir, "old.txt", 2000);
	touch(dir, ".snap", 2000);
	touch(dir, "old.snap.bad-12", 2000);
	touch(dir, "old.snap.tmp-7", 2000);
	touch(dir, "new.snap.bad-1", 10);
	touch(dir, "old.bad-1", 2000);
	touch(dir, "old.snap.bad-1x", 2000);
	snprintf(path, sizeof(path), "%s/dir.snap", dir);
	MUST(mkdir(path, 0700) == 0);
	snprintf(path, sizeof(path), "%s/link.snap", dir);
	MUST(symlink("old.txt", path) == 0);
	assert_int_equal(cleanup_files(dir, getuid() + 1, 1000), 0);
	assert_int_equal(cleanup_files(dir, getuid(), 1000), 3);
	assert_false(there(dir, "old.snap") || there(dir, "old.snap.bad-12") ||
		     there(dir, "old.snap.tmp-7"));
	assert_true(there(dir, "new.snap.bad-1") && there(dir, "old.bad-1") &&
		    there(dir, "old.snap.bad-1x"));
	assert_true(there(dir, "new.snap") && there(dir, "old.txt") && there(dir, ".snap") &&
		    there(dir, "link.snap") && there(dir, "dir.snap"));
	assert_int_equal(cleanup_files("/nonexistent", getuid(), 1), 0);
	remove_all(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_dead_are_cleared),
		cmocka_unit_test(only_old_snapshots_are_removed),
	};

	log_init(LOG_LEVEL_ERROR, false);
	return cmocka_run_group_tests_name("cleanup", tests, NULL, NULL);
}
