/*
 * test_region_attach.c - the next writer takes over what the one before left, if it
 * is its own and there is room.  (Damage: test_region_damage.c.)
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <xxhash.h>

#include "../../shm/region_impl.h"
#include "region_help.h"

static void test_goes_on(void **state)
{
	struct world *w = *state;
	struct region_map m;
	uint64_t seq;
	uint32_t incarnation;

	fill(w, 300);
	map_open(w, &m);
	seq = atomic_load(&m.h->sequence);
	incarnation = atomic_load(&m.h->incarnation);
	world_reopen(w);
	assert_true(w->reattached);
	assert_int_equal(repaired(w), 0);
	assert_int_equal(region_generation(w->r), 1);
	assert_int_equal(atomic_load(&m.h->incarnation), incarnation + 1);
	assert_true(atomic_load(&m.h->sequence) >= seq);
	check_all(w, 300);
	fill(w, 310);
	check_all(w, 310);
	region_map_close(&m);
}

static void test_several_generations(void **state)
{
	struct world *w = *state;
	char object[DCM_OBJECT_NAME_MAX];
	struct region_map old;

	fill(w, 20);
	map_open(w, &old);
	/* As if the writer ended in a renewal: 2 is there and live, 1 not retired;
	 * and 3 was begun. */
	memcpy(object, w->object, sizeof(object));
	assert_int_equal(region_renew(w->r), 0);
	((struct dcm_header *)w->r->old_base)->state = DCM_REGION_LIVE;
	w->r->old_base = NULL;
	names_shard(object, getuid(), w->instance, "h", 3);
	close(shm_open(object, O_RDWR | O_CREAT | O_EXCL, 0640));
	world_reopen(w);
	assert_true(w->reattached);
	assert_int_equal(region_generation(w->r), 2);
	assert_int_equal(shm_open(object, O_RDONLY, 0), -1);
	names_shard(object, getuid(), w->instance, "h", 1);
	assert_int_equal(shm_open(object, O_RDONLY, 0), -1);
	/* Who still has the first is told where to go. */
	assert_int_equal(atomic_load(&old.h->state), DCM_REGION_RETIRED);
	assert_int_equal(atomic_load(&old.h->successor), 2);
	region_map_close(&old);
	check_all(w, 20);
}

static void test_renewal(void **state)
{
	struct world *w = *state;
	struct region_usage u;
	struct region_map old, new;
	uint32_t entry, gen, entry2, gen2, top;
	uint64_t held, cursor;
	struct region_change c;
	int renewed = 0;

	fill(w, 3000);
	for (int i = 5; i < 3000; i++)
		region_remove(w->r, id_of(i));
	region_publish(w->r);
	map_open(w, &old);
	assert_int_equal(region_find_id(&old, id_of(3), &entry, &gen), DCM_OK);
	top = region_entries(&old);
	cursor = region_change_head(&old);
	region_usage(w->r, &u);
	held = u.held;
	for (int i = 0; i < 10; i++)
		renewed += region_beat(w->r);
	assert_int_equal(renewed, 1);
	assert_int_equal(region_generation(w->r), 2);
	assert_int_equal(atomic_load(&old.h->state), DCM_REGION_RETIRED);
	assert_int_equal(atomic_load(&old.h->successor), 2);
	assert_string_equal(read_text(&old, 3, DCM_STATS), "stats"); /* still serves */
	region_usage(w->r, &u);
	assert_true(u.held < held / 4);
	region_unlink_old(w->r);
	assert_int_equal(shm_open(w->object, O_RDONLY, 0), -1);
	names_shard(w->object, getuid(), w->instance, "h", 2);
	map_open(w, &new);
	assert_int_equal(region_find_id(&new, id_of(3), &entry2, &gen2), DCM_OK);
	assert_true(entry == entry2 && gen == gen2);
	assert_true(region_verified(&new, region_entry(&new, entry2), DCM_STATS) == 1.7e9);
	assert_int_equal(region_change_next(&new, &cursor, &c), 0); /* the ring goes on */
	check_all(w, 5);
	/* A new container never gets a number and generation that there was. */
	assert_true(region_entries(&new) < top);
	put_text(w->r, 4000, "late", DCM_CONFIG, "x");
	assert_int_equal(region_find_id(&new, id_of(4000), &entry2, &gen2), DCM_OK);
	assert_true((int32_t)(gen2 - gen) > 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(region_beat(w->r), 0);
	region_map_close(&old);
	region_map_close(&new);
	world_reopen(w);
	assert_true(w->reattached && repaired(w) == 0);
	check_all(w, 5);
}

/* ---- whose it is -------------------------------------------------------------------- */

static int as_stranger(struct world *w, uid_t uid, mode_t mode, off_t size)
{
	char object[DCM_OBJECT_NAME_MAX], path[256];
	int fd;

	names_shard(object, getuid(), w->instance, "h", 1);
	snprintf(path, sizeof(path), "/dev/shm%s", object);
	fd = shm_open(object, O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(fchown(fd, uid, (gid_t)-1), 0);
	close(fd);
	return 0;
}

static void test_squatted_name(void **state)
{
	struct world *w = *state;
	char object[DCM_OBJECT_NAME_MAX];

	if (getuid() != 0)
		skip();
	region_close(&w->r, true);
	as_stranger(w, 65534, 0666, 8192);
	world_open(w);
	assert_false(w->reattached);
	assert_int_equal(region_generation(w->r), 2);
	assert_non_null(strstr(w->err, "another user"));
	names_shard(object, getuid(), w->instance, "h", 1);
	assert_int_equal(shm_unlink(object), 0); /* it was let alone */

	/* The directory has one name only: refused, with the mend. */
	w->spec.kind = REGION_DIRECTORY;
	w->spec.host = NULL;
	names_directory(object, getuid(), w->instance);
	int fd = shm_open(object, O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_int_equal(fchown(fd, 65534, (gid_t)-1), 0);
	close(fd);
	struct region *dir;
	assert_int_equal(region_open(&dir, &w->spec, NULL, w->err, sizeof(w->err)), -EEXIST);
	assert_non_null(strstr(w->err, "remove it"));
	shm_unlink(object);
	w->spec.kind = REGION_SHARD;
	w->spec.host = "h";
}

static void test_reader_trusts_the_owner_alone(void **state)
{
	struct world *w = *state;
	struct region_map m;
	char err[256], path[256];

	snprintf(path, sizeof(path), "/dev/shm%s", w->object);
	assert_int_equal(region_map_open(&m, "/dcm-0-none-:dir", getuid(), err, sizeof(err)),
			 DCM_ENOTRUNNING);
	assert_non_null(strstr(err, "not running"));
	assert_int_equal(region_map_open(&m, w->object, getuid() + 1, err, sizeof(err)),
			 DCM_EACCESS);
	chmod(path, 0660);
	assert_int_equal(region_map_open(&m, w->object, getuid(), err, sizeof(err)), DCM_EACCESS);
	chmod(path, 0642);
	assert_int_equal(region_map_open(&m, w->object, getuid(), err, sizeof(err)), DCM_EACCESS);
	chmod(path, 0640);
	assert_int_equal(region_map_open(&m, w->object, getuid(), err, sizeof(err)), DCM_OK);
	region_map_close(&m);
	assert_null(m.base);
	w->r->h->layout_hash++;
	assert_int_equal(region_map_open(&m, w->object, getuid(), err, sizeof(err)), DCM_ELAYOUT);
	w->r->h->layout_hash--;
	if (getuid() != 0)
		return;
	/* Another user, not of the group: told what is missing. */
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(9);
		_exit(region_map_open(&m, w->object, 0, err, sizeof(err)));
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), DCM_EACCESS);
}

static void test_mode_and_group(void **state)
{
	struct world *w = *state;
	struct stat st;
	char path[256];
	mode_t mask = umask(0777);

	region_close(&w->r, true);
	w->spec.gid = getuid() == 0 ? 65534 : getgid();
	world_open(w);
	umask(mask);
	snprintf(path, sizeof(path), "/dev/shm%s", w->object);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_gid, w->spec.gid);
	chmod(path, 0666); /* somebody meddled: not taken over */
	world_reopen(w);
	assert_false(w->reattached);
}

/* ---- a full /dev/shm ------------------------------------------------------------------ */

/* In a child with a small /dev/shm of its own.  The exit status says what was wrong. */
static void in_small_shm(struct world *w)
{
	static char text[3000];
	struct region *r, *other;
	struct region_map m;
	char err[256], object[DCM_OBJECT_NAME_MAX];
	int rc = 0, n;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=300k") < 0)
		_exit(99);
	if (region_open(&r, &w->spec, NULL, err, sizeof(err)) < 0)
		_exit(1);
	names_shard(object, getuid(), w->instance, "h", region_generation(r));
	if (region_map_open(&m, object, getuid(), err, sizeof(err)) != DCM_OK)
		_exit(2);
	memset(text, 'q', sizeof(text) - 1);
	for (n = 0; n < 1000 && rc == 0; n++)
		rc = put_text(r, n, "n", DCM_STATUS, text);
	if (rc != -ENOSPC || n < 40 || !strstr(region_error(r), "make room in /dev/shm"))
		_exit(3);
	for (int i = 0; i < n - 1; i++) /* all that was accepted stays readable */
		if (strcmp(read_text(&m, i, DCM_STATUS), text) != 0)
			_exit(4);
	if (strcmp(read_text(&m, n - 1, DCM_STATUS), "gone") != 0)
		_exit(5);
	w->spec.host = "other";
	if (region_open(&other, &w->spec, NULL, err, sizeof(err)) != -ENOSPC ||
	    !strstr(err, "make room"))
		_exit(6);
	if (mount("tmpfs", "/dev/shm", "tmpfs", MS_REMOUNT, "size=3m") < 0)
		_exit(99);
	if (put_text(r, n, "n", DCM_STATUS, text) != 0 ||
	    strcmp(read_text(&m, n, DCM_STATUS), text) != 0)
		_exit(7);
	_exit(0);
}

static void test_full_shm(void **state)
{
	struct world *w = *state;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		in_small_shm(w);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
		skip(); /* no right to mount */
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- the cgroup's limit --------------------------------------------------------------- */

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_cgroup_room(void **state)
{
	char dir[] = "/tmp/dcm-cgroup.XXXXXX", sub[128], list[128], command[160];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(list, sizeof(list), "%s/list", dir);
	assert_true(region_cgroup_room(list, dir) == UINT64_MAX); /* cannot be read */

	write_file(dir, "list", "12:cpu,cpuacct:/x\n0::/a/b\n");
	assert_true(region_cgroup_room(list, dir) == UINT64_MAX); /* no files there */
	snprintf(sub, sizeof(sub), "%s/a", dir);
	mkdir(sub, 0700);
	write_file(sub, "memory.max", "1000000\n");
	write_file(sub, "memory.current", "900000\n");
	assert_int_equal(region_cgroup_room(list, dir), 100000); /* of the parent */
	write_file(sub, "memory.stat", "anon 5\ninactive_file 20000\nactive_file 10000\nshmem 7\n");
	assert_int_equal(region_cgroup_room(list, dir), 130000); /* page cache gives way */
	snprintf(sub, sizeof(sub), "%s/a/b", dir);
	mkdir(sub, 0700);
	write_file(sub, "memory.max", "max\n");
	write_file(sub, "memory.current", "500\n");
	assert_int_equal(region_cgroup_room(list, dir), 130000);
	write_file(sub, "memory.max", "400\n");
	assert_int_equal(region_cgroup_room(list, dir), 0);

	write_file(dir, "list", "5:cpu:/q\n4:hugetlb,memory:/m\n");
	snprintf(sub, sizeof(sub), "%s/memory", dir);
	mkdir(sub, 0700);
	write_file(sub, "memory.limit_in_bytes", "9223372036854771712\n");
	write_file(sub, "memory.usage_in_bytes", "100\n");
	assert_true(region_cgroup_room(list, dir) == UINT64_MAX);
	snprintf(sub, sizeof(sub), "%s/memory/m", dir);
	mkdir(sub, 0700);
	write_file(sub, "memory.limit_in_bytes", "1000\n");
	write_file(sub, "memory.usage_in_bytes", "700\n");
	write_file(sub, "memory.stat", "inactive_file 1\ntotal_inactive_file 50\n");
	assert_int_equal(region_cgroup_room(list, dir), 350);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_goes_on),
	    T(test_several_generations),
	    T(test_renewal),
	    T(test_squatted_name),
	    T(test_reader_trusts_the_owner_alone),
	    T(test_mode_and_group),
	    T(test_full_shm),
	    cmocka_unit_test(test_cgroup_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
