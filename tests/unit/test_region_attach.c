/*
 * test_region_attach.c - the next writer takes over what it finds, whatever that
 * is; and readers live through every byte that may stand in a region.
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

static void fill(struct world *w, int n)
{
	char name[32], text[400];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		memset(text, 'a' + i % 26, sizeof(text));
		text[snprintf(text, sizeof(text), "text %d", i)] = ' ';
		text[20 + i * 7 % 370] = '\0';
		assert_int_equal(put_text(w->r, i, name, DCM_CONFIG, text), 0);
		assert_int_equal(put_text(w->r, i, NULL, DCM_STATS, "stats"), 0);
	}
	region_publish(w->r);
}

static uint64_t repaired(const struct world *w)
{
	struct region_usage u;

	region_usage(w->r, &u);
	return u.repaired;
}

static void check_all(const struct world *w, int n)
{
	struct region_map m;
	char name[32];

	map_open(w, &m);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		assert_int_equal(atoi(read_text(&m, i, DCM_CONFIG) + 5), i);
		assert_string_equal(read_text(&m, i, DCM_STATS), "stats");
		assert_int_equal(entry_of_name(&m, name), entry_of_id(&m, i));
	}
	region_map_close(&m);
}

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

/* Each of these is damage to one thing of container 5, or to a table. */
static void damage(struct region *r, int how)
{
	uint64_t id[4];
	struct dcm_entry *e, *other;
	struct dcm_blob *b;

	memcpy(id, id_of(5), sizeof(id));
	e = entry_of(r, table_find_id(r, id));
	memcpy(id, id_of(6), sizeof(id));
	other = entry_of(r, table_find_id(r, id));
	b = blob_of(r, ld(&e->ref[DCM_CONFIG]));
	switch (how) {
	case 0:
		e->ref[DCM_CONFIG] ^= 1ull << 63;
		break; /* far outside */
	case 1:
		e->ref[DCM_CONFIG] = DCM_REF(DCM_PAGE, 1, 1);
		break; /* into the ring */
	case 2:
		e->ref[DCM_CONFIG] ^= 1;
		break; /* another sequence */
	case 3:
		e->ref[DCM_CONFIG] = other->ref[DCM_CONFIG];
		break; /* another's blob */
	case 4:
		e->ref[DCM_CONFIG] = e->ref[DCM_STATS];
		break; /* another tier */
	case 5:
		((uint8_t *)b)[DCM_BLOB_HEADER + 3] ^= 1;
		break; /* the payload */
	case 6:
		b->length += 8;
		break;
	case 7:
		b->length = UINT32_MAX;
		break;
	case 8:
		b->generation += 2;
		break;
	case 9:
		b->seq = 0;
		break;
	case 10:
		b->seq += 1ull << 32;
		break; /* above the header's */
	case 11:
		e->ref[DCM_CONFIG] = DCM_REF(ld(&r->h->data_limit) - 64, 1, 5);
		break;
	}
}
enum { DAMAGES = 12 };

static void test_bad_references_are_taken_out(void **state)
{
	struct world *w = *state;
	struct region_map m;

	for (int how = 0; how < DAMAGES; how++) {
		fill(w, 50);
		damage(w->r, how);
		map_open(w, &m);
		read_text(&m, 5, DCM_CONFIG); /* a reader gets past it, too */
		region_map_close(&m);
		world_reopen(w);
		if (!w->reattached || repaired(w) != 1)
			fail_msg("damage %d: %d, %d repaired: %s", how, w->reattached,
				 (int)repaired(w), w->err);
		map_open(w, &m);
		assert_string_equal(read_text(&m, 5, DCM_CONFIG), "none");
		assert_string_equal(read_text(&m, 5, DCM_STATS), "stats");
		assert_true(region_verified(&m, region_entry(&m, entry_of_id(&m, 5)), DCM_CONFIG) ==
			    0);
		region_map_close(&m);
	}
	fill(w, 50);
	check_all(w, 50);
}

static void test_bad_name(void **state)
{
	struct world *w = *state;
	struct region_map m;
	uint64_t id[4];

	fill(w, 20);
	memcpy(id, id_of(5), sizeof(id));
	entry_of(w->r, table_find_id(w->r, id))->name ^= 2;
	world_reopen(w);
	map_open(w, &m);
	assert_int_equal(repaired(w), 1);
	assert_int_equal(entry_of_name(&m, "name-5"), 0);
	assert_string_equal(read_text(&m, 5, DCM_STATS), "stats");
	region_map_close(&m);
	fill(w, 20);
	check_all(w, 20);
}

static void test_bad_tables_are_rebuilt(void **state)
{
	struct world *w = *state;

	for (int how = 0; how < 6; how++) {
		_Atomic uint64_t *slot = how & 1 ? &w->r->h->table_id : &w->r->h->table_name;
		_Atomic uint64_t *v;

		fill(w, 60);
		v = (_Atomic uint64_t *)(w->r->base + DCM_TABLE_OFFSET(*slot));
		switch (how / 2) {
		case 0:
			*slot = 0xffffffffffffffffull;
			break;
		case 1:
			memset((void *)v, 0, 8ull << DCM_TABLE_LOG2(*slot));
			break;
		case 2:
			for (size_t i = 0; i < 1ull << DCM_TABLE_LOG2(*slot); i++)
				v[i] = v[i] ? v[i] : 0x1234567800000000ull + 5000;
			break;
		}
		world_reopen(w);
		assert_true(w->reattached);
		check_all(w, 60);
	}
}

static void test_one_id_twice(void **state)
{
	struct world *w = *state;
	struct dcm_entry *a, *b;
	uint64_t id[4];
	uint32_t one, two;

	fill(w, 20);
	memcpy(id, id_of(5), sizeof(id));
	one = table_find_id(w->r, id);
	a = entry_of(w->r, one);
	memcpy(id, id_of(6), sizeof(id));
	two = table_find_id(w->r, id);
	b = entry_of(w->r, two);
	for (int i = 0; i < 4; i++)
		b->id[i] = ld(&a->id[i]);
	world_reopen(w);
	assert_true(w->reattached);
	assert_true(repaired(w) >= 1);
	assert_int_equal(w->r->h->live, 19);
	fill(w, 20);
	check_all(w, 20);
}

static void test_damaged_header_is_made_anew(void **state)
{
	struct world *w = *state;

	for (int how = 0; how < 14; how++) {
		char before[DCM_OBJECT_NAME_MAX];
		uint32_t generation = region_generation(w->r);
		struct dcm_header *h = w->r->h;

		fill(w, 10);
		switch (how) {
		case 0:
			h->magic = 0;
			break;
		case 1:
			h->canary = 1;
			break;
		case 2:
			h->abi_major++;
			break;
		case 3:
			h->layout_hash++;
			break;
		case 4:
			h->boot_id[0] ^= 1;
			break;
		case 5:
			h->host[0] ^= 1;
			break;
		case 6:
			h->generation++;
			break;
		case 7:
			h->data_limit += 1ull << 33;
			break;
		case 8:
			h->data_limit = 100;
			break;
		case 9:
			h->chunk[0] = 3 * DCM_MAP_SPAN;
			break;
		case 10:
			h->entries = 1u << 30;
			break;
		case 11:
			h->kind = REGION_DIRECTORY;
			break;
		case 12:
			h->state = DCM_REGION_RETIRED;
			break;
		case 13:
			h->generation_base = 2;
			break;
		}
		memcpy(before, w->object, sizeof(before));
		world_reopen(w);
		if (w->reattached)
			fail_msg("damage %d was taken over", how);
		assert_int_equal(region_generation(w->r), generation + 1);
		assert_true(strlen(w->err) > 0);
		assert_int_equal(shm_open(before, O_RDONLY, 0), -1);
	}
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

/* ---- any bytes ---------------------------------------------------------------------- */

static uint64_t rnd = 0x1234567;

static uint64_t next_random(void)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return rnd;
}

/* A value of the kind that breaks things. */
static uint64_t nasty(const struct region *r)
{
	switch (next_random() % 8) {
	case 0:
		return next_random();
	case 1:
		return UINT64_MAX;
	case 2:
		return (ld(&r->h->data_limit) / 64) << 32;
	case 3:
		return ((ld(&r->h->data_limit) / 64 - 1) << 32) | 1;
	case 4:
		return next_random() % 4096;
	case 5:
		return DCM_MAP_SPAN - 64;
	case 6:
		return 1ull << (next_random() % 64);
	default:
		return 0;
	}
}

static void mutate(struct region *r, int words)
{
	static const size_t hot[] = {
	    offsetof(struct dcm_header, data_limit), offsetof(struct dcm_header, incarnation),
	    offsetof(struct dcm_header, table_id),   offsetof(struct dcm_header, table_name),
	    offsetof(struct dcm_header, sequence),   offsetof(struct dcm_header, change_head),
	    offsetof(struct dcm_header, chunk),	     offsetof(struct dcm_header, chunk) + 8,
	};

	for (int i = 0; i < words; i++) {
		size_t at = next_random() % 3
				? next_random() % (size_t)r->space.top * 64 + next_random() % 8 * 8
				: hot[next_random() % (sizeof(hot) / sizeof(hot[0]))];

		if (at < 256 && next_random() % 8)
			continue; /* else it is mostly the identity that is wrong */
		memcpy(r->base + at, &(uint64_t){nasty(r)}, 8);
	}
}

static void read_everything(const struct region_map *m)
{
	uint32_t n = region_entries(m);
	uint64_t cursor = region_change_head(m) - 1000;
	struct region_change c;
	char name[32];

	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		read_text(m, i, DCM_CONFIG);
		entry_of_name(m, name);
	}
	for (uint32_t i = 0; i < n && i < 300; i++) {
		const struct dcm_entry *e = region_entry(m, i);
		struct region_blob b;

		if (!e)
			continue;
		region_entry_prefetch(m, e);
		for (uint32_t t = 0; t < DCM_TIER_SLOTS; t++) {
			uint32_t gen = atomic_load(&e->generation);

			region_verified(m, e, t);
			if (region_blob_load(m, &e->ref[t], i, gen, t, &b) == DCM_OK) {
				XXH3_64bits(b.data, b.len);
				region_blob_ok(&b);
			}
		}
	}
	for (int i = 0; i < 2000 && region_change_next(m, &cursor, &c) == 1; i++)
		;
}

static void test_any_bytes(void **state)
{
	struct world *w = *state;
	int taken = 0, anew = 0;

	for (int round = 0; round < 1500; round++) {
		struct region_map m;
		char err[256];

		if (round % 50 == 0 || !w->reattached)
			fill(w, 60);
		map_open(w, &m);
		mutate(w->r, 1 + (int)(next_random() % 40));
		read_everything(&m);
		region_map_close(&m);
		if (region_map_open(&m, w->object, getuid(), err, sizeof(err)) == DCM_OK) {
			read_everything(&m);
			region_map_close(&m);
		}
		world_reopen(w);
		taken += w->reattached;
		anew += !w->reattached;
		/* What came out of it is sound: it takes over again with nothing to do. */
		world_reopen(w);
		assert_true(w->reattached);
		assert_int_equal(repaired(w), 0);
		fill(w, 30);
		check_all(w, 30);
	}
	assert_true(taken > 100 && anew > 100);
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
	    T(test_bad_references_are_taken_out),
	    T(test_bad_name),
	    T(test_bad_tables_are_rebuilt),
	    T(test_one_id_twice),
	    T(test_damaged_header_is_made_anew),
	    T(test_several_generations),
	    T(test_renewal),
	    T(test_squatted_name),
	    T(test_reader_trusts_the_owner_alone),
	    T(test_mode_and_group),
	    T(test_any_bytes),
	    T(test_full_shm),
	    cmocka_unit_test(test_cgroup_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
