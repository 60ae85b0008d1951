/* test_snapshot.c - snapshots: what is written is what is read, and no damage to
 * the bytes, the file or its directory is taken for a snapshot, or harms one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "../../collector/snapshot_disk.h"
#include "../../shm/snapshot.h"

enum { MAX = 1 << 20 };

static uint8_t ids[4][32];
static const uint8_t map1[] = {0x81, 0xa1, 'a', 0x01}, map0[] = {0x80};
static struct region_item items[4];
static const struct snapshot_head head = {
	.host = "h",
	.origin = {0x1122334455667788, 0xfedcba9876543210, false},
	.time = 1.7e9 + 0.5,
};

static int each_setup(void **state)
{
	static char name[1024];

	(void)state;
	memset(name, 'n', sizeof(name));
	memset(items, 0, sizeof(items));
	for (int i = 0; i < 4; i++) {
		memset(ids[i], 0x40 + i, sizeof(ids[i]));
		items[i].id = i ? ids[i] : NULL;
		items[i].name = (struct dcm_str){name, i == 3 ? sizeof(name) : (uint32_t)i};
		items[i].brief = (struct region_brief){(uint8_t)i, 2, 12.5 * i, 1000 * i};
		for (int t = 0; t < DCM_TIERS; t++) {
			items[i].tier[t].data = t == i ? NULL : t & 1 ? map1 : map0;
			items[i].tier[t].len = t == i ? 0 : t & 1 ? sizeof(map1) : sizeof(map0);
			items[i].tier[t].verified = t == i ? 0 : 1.7e9 + t / 16.0;
		}
	}
	items[2].brief.cpu_percent = NAN;
	items[2].brief.memory_usage = DCM_UNKNOWN;
	return 0;
}

static void pack(struct record_buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(snapshot_pack(b, MAX, &items[i]), 0);
}

/* A whole file of all items. */
static struct record_buf sealed(const struct snapshot_head *h)
{
	struct record_buf content = {0}, file = {0};

	pack(&content, 4);
	assert_int_equal(snapshot_seal(h, &content, &file, MAX), 0);
	record_buf_free(&content);
	return file;
}

/* Why it is refused; "" where it is not. */
static const char *refusal(const void *file, size_t len, size_t max)
{
	static char why[SNAPSHOT_ERR];
	void *copy = malloc(len ? len : 1); /* of its own size, for ASan */
	struct snapshot_head h;
	uint8_t *content;
	size_t n;

	memcpy(copy, file, len);
	why[0] = '\0';
	switch (snapshot_open(copy, len, "h", max, &h, &content, &n, why)) {
	case 0:
		assert_true(snapshot_check(content, n) >= 0);
		free(content);
		break;
	case -EINVAL:
		assert_true(why[0]);
		assert_null(content);
		break;
	default:
		fail();
	}
	free(copy);
	return why;
}

static void checksum(struct record_buf *file)
{
	uint64_t sum = XXH3_64bits(file->data + 24, file->len - 24);

	memcpy(file->data + 16, &sum, 8);
}

/* ---- the codec ------------------------------------------------------------------ */

static void same_item(const struct region_item *a, const struct region_item *b)
{
	assert_int_equal(a->id == NULL, b->id == NULL);
	if (a->id)
		assert_memory_equal(a->id, b->id, 32);
	assert_int_equal(a->name.len, b->name.len);
	assert_memory_equal(a->name.s, b->name.s, a->name.len);
	assert_int_equal(a->brief.status, b->brief.status);
	assert_int_equal(a->brief.health, b->brief.health);
	assert_true(a->brief.cpu_percent == b->brief.cpu_percent ||
		    (isnan(a->brief.cpu_percent) && isnan(b->brief.cpu_percent)));
	assert_int_equal(a->brief.memory_usage, b->brief.memory_usage);
	for (int t = 0; t < DCM_TIERS; t++) {
		assert_int_equal(a->tier[t].data == NULL, b->tier[t].data == NULL);
		assert_int_equal(a->tier[t].len, b->tier[t].len);
		if (a->tier[t].data)
			assert_memory_equal(a->tier[t].data, b->tier[t].data, a->tier[t].len);
		assert_true(a->tier[t].verified == b->tier[t].verified);
	}
}

static void test_round(void **state)
{
	struct record_buf file = sealed(&head);
	char why[SNAPSHOT_ERR];
	struct snapshot_head h;
	struct region_item item;
	uint8_t *content;
	size_t len;
	struct mp m;

	(void)state;
	assert_int_equal(snapshot_open(file.data, file.len, "h", MAX, &h, &content, &len, why), 0);
	assert_string_equal(h.host, "h");
	assert_true(h.origin.engine == head.origin.engine && h.origin.rules == head.origin.rules);
	assert_true(h.time == head.time);
	assert_int_equal(snapshot_check(content, len), 3);
	m = mp_of(content, len);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(snapshot_next(&m, &item), 1);
		same_item(&item, &items[i]);
	}
	assert_int_equal(snapshot_next(&m, &item), 0);
	free(content);
	record_buf_free(&file);
}

static void test_cut_anywhere(void **state)
{
	struct record_buf file = sealed(&head), longer = {0};

	(void)state;
	assert_string_equal(refusal(file.data, file.len, MAX), "");
	for (size_t n = 0; n < file.len; n++)
		assert_string_not_equal(refusal(file.data, n, MAX), "");
	record_buf_append(&longer, file.data, file.len, MAX);
	record_buf_append(&longer, "", 1, MAX);
	assert_string_not_equal(refusal(longer.data, longer.len, MAX), "");
	record_buf_free(&longer);
	record_buf_free(&file);
}

static void test_any_bit_flipped(void **state)
{
	struct record_buf file = sealed(&head);

	(void)state;
	for (size_t bit = 0; bit < file.len * 8; bit++) {
		file.data[bit / 8] ^= (char)(1 << bit % 8);
		assert_string_not_equal(refusal(file.data, file.len, MAX), "");
		file.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	/* a page that never reached the disk */
	memset(file.data + file.len - 20, 0, 20);
	assert_string_not_equal(refusal(file.data, file.len, MAX), "");
	record_buf_free(&file);
}

/* The checksum is right, and the file is not: somebody made it so. */
static void test_made_to_harm(void **state)
{
	struct record_buf file = sealed(&head);
	uint64_t huge = 1ull << 40, much = 200000;
	double none = NAN;

	(void)state;
	file.data[8] = 2;
	assert_non_null(strstr(refusal(file.data, file.len, MAX), "version 2"));
	file.data[8] = 1;
	assert_non_null(strstr(refusal(file.data, file.len, 64), "larger"));
	memcpy(file.data + 24, &huge, 8);
	checksum(&file);
	assert_non_null(strstr(refusal(file.data, file.len, SIZE_MAX), "larger"));
	memcpy(file.data + 24, &much, 8); /* more than so few bytes unpack to */
	checksum(&file);
	assert_non_null(strstr(refusal(file.data, file.len, MAX), "larger"));
	much = 1000;
	memcpy(file.data + 24, &much, 8);
	checksum(&file);
	assert_non_null(strstr(refusal(file.data, file.len, MAX), "unpack"));
	record_buf_free(&file);

	file = sealed(&head);
	memset(file.data + SNAPSHOT_HEADER + 10, 0xff, 20);
	checksum(&file);
	assert_non_null(strstr(refusal(file.data, file.len, MAX), "unpack"));
	record_buf_free(&file);

	file = sealed(&head);
	memset(file.data + 64, 'h', 64); /* a host id without an end */
	checksum(&file);
	assert_non_null(strstr(refusal(file.data, file.len, MAX), "of host hhh"));
	record_buf_free(&file);

	file = sealed(&head);
	memcpy(file.data + 56, &none, 8);
	checksum(&file);
	assert_non_null(strstr(refusal(file.data, file.len, MAX), "time"));
	record_buf_free(&file);
}

static void test_bounds_of_writing(void **state)
{
	struct record_buf b = {0}, file = {0};

	(void)state;
	assert_int_equal(snapshot_pack(&b, 100, &items[3]), -E2BIG);
	b.len = 0;
	pack(&b, 4);
	assert_int_equal(snapshot_seal(&head, &b, &file, b.len - 1), -E2BIG);
	assert_null(file.data);
	record_buf_free(&b);
}

static int64_t checked(const struct record_buf *b)
{
	uint8_t *copy = malloc(b->len);
	int64_t n;

	memcpy(copy, b->data, b->len);
	n = snapshot_check(copy, b->len);
	free(copy);
	return n;
}

static void test_content_that_makes_no_sense(void **state)
{
	static const uint8_t not_a_map[] = {0x01}, two[] = {0x80, 0x80}, cut[] = {0x81, 0xa1, 'a'};
	struct record_buf b = {0};
	size_t ends[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(snapshot_pack(&b, MAX, &items[i]), 0);
		ends[i] = b.len;
	}
	assert_int_equal(checked(&b), 3);
	while (b.len-- > 1) {
		int64_t n = checked(&b), whole = -1;

		for (int i = 0; i < 4; i++)
			whole = b.len == ends[i] ? i : whole;
		assert_int_equal(n, whole);
	}
	assert_int_equal(snapshot_check((const uint8_t *)"", 0), -1);
	b.len = 0;
	assert_int_equal(snapshot_pack(&b, MAX, &items[1]), 0); /* no row */
	assert_int_equal(checked(&b), -1);
	b.len = 0;
	pack(&b, 1);
	pack(&b, 1); /* two of them */
	assert_int_equal(checked(&b), -1);
	for (int i = 0; i < 3; i++) {
		b.len = 0;
		items[0].tier[1].data = i == 0 ? not_a_map : i == 1 ? two : cut;
		items[0].tier[1].len = i == 0 ? 1 : i == 1 ? 2 : 3;
		pack(&b, 1);
		assert_int_equal(checked(&b), -1);
	}
	items[0].tier[1].data = NULL;
	for (int i = 0; i < 3; i++) {
		b.len = 0;
		items[0].tier[1].verified = i == 0 ? NAN : i == 1 ? -1 : INFINITY;
		pack(&b, 1);
		assert_int_equal(checked(&b), -1);
	}
	record_buf_free(&b);
}

static void test_mark(void **state)
{
	struct snapshot_origin o = {0xffffffffffffffff, 7, true}, got;
	struct record_buf b = {0};

	(void)state;
	assert_int_equal(snapshot_origin_encode(&o, &b), 0);
	assert_true(snapshot_origin_decode((uint8_t *)b.data, b.len, &got));
	assert_true(got.engine == o.engine && got.rules == 7 && got.forgotten);
	for (size_t n = 0; n < b.len; n++) {
		uint8_t *copy = malloc(n ? n : 1);

		memcpy(copy, b.data, n);
		assert_false(snapshot_origin_decode(copy, n, &got));
		free(copy);
	}
	record_buf_free(&b);
}

/* ---- the files ------------------------------------------------------------------ */

static char dir[64], err[SNAPSHOT_DISK_ERR];

static int disk_setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/dcm-snap-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int disk_teardown(void **state)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	(void)state;
	while ((e = readdir(d)))
		if (unlinkat(dirfd(d), e->d_name, 0))
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	closedir(d);
	return rmdir(dir);
}

static const char *path(const char *name)
{
	static char p[2][256];
	static int i;

	i = !i;
	snprintf(p[i], sizeof(p[i]), "%s/%s", dir, name);
	return p[i];
}

static bool there(const char *name)
{
	struct stat st;

	return lstat(path(name), &st) == 0;
}

static void touch(const char *name)
{
	int fd = open(path(name), O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static unsigned files(void)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static int read_back(char *text, size_t room)
{
	void *data;
	size_t len;
	int rc = snapshot_disk_read(dir, "h", getuid(), 100, &data, &len, err);

	if (rc == 0)
		snprintf(text, room, "%.*s", (int)len, (char *)data);
	free(data);
	return rc;
}

static void test_file(void **state)
{
	char text[64];
	struct stat st;

	(void)state;
	assert_int_equal(read_back(text, sizeof(text)), -ENOENT);
	umask(0);
	assert_int_equal(snapshot_disk_write(dir, "h", "first", 5, 1.7e9, err), 0);
	umask(022);
	assert_int_equal(snapshot_disk_write(dir, "h", "second", 6, 1.6e9, err), 0);
	assert_int_equal(read_back(text, sizeof(text)), 0);
	assert_string_equal(text, "second");
	assert_int_equal(stat(path("h.snap"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_mtime, 1600000000);
	assert_int_equal(files(), 1);
	assert_int_equal(snapshot_disk_remove(dir, "h", err), 0);
	assert_int_equal(files(), 0);
	assert_int_equal(snapshot_disk_remove(dir, "h", err), 0);
}

static void refused(const char *word)
{
	char text[64];

	assert_int_equal(read_back(text, sizeof(text)), -EINVAL);
	if (!strstr(err, word))
		fail_msg("%s: no \"%s\" in it", err, word);
}

static void test_not_one_of_ours(void **state)
{
	(void)state;
	assert_int_equal(snapshot_disk_write(dir, "other", "text", 4, 1, err), 0);
	assert_int_equal(symlink("other.snap", path("h.snap")), 0);
	refused("link");
	unlink(path("h.snap"));
	assert_int_equal(mkfifo(path("h.snap"), 0600), 0);
	refused("regular");
	unlink(path("h.snap"));
	assert_int_equal(mkdir(path("h.snap"), 0700), 0);
	refused("regular");
	rmdir(path("h.snap"));
	touch("h.snap");
	assert_int_equal(chmod(path("h.snap"), 0620), 0);
	refused("write it");
	assert_int_equal(chmod(path("h.snap"), 0600), 0);
	assert_int_equal(truncate(path("h.snap"), 101), 0);
	refused("shard_limit");
	if (getuid() == 0) {
		assert_int_equal(truncate(path("h.snap"), 10), 0);
		assert_int_equal(chown(path("h.snap"), 1, (gid_t)-1), 0);
		refused("uid 1");
	}
}

static void test_set_aside(void **state)
{
	char to[64], name[32];

	(void)state;
	assert_int_equal(snapshot_disk_set_aside(dir, "h", to, sizeof(to), err), -ENOENT);
	touch("h.snap.bad-x");
	touch("h.snap.bad-1.snap"); /* the snapshot of a host with that name */
	for (int i = 1; i <= 12; i++) {
		touch("h.snap");
		assert_int_equal(snapshot_disk_set_aside(dir, "h", to, sizeof(to), err), 0);
		snprintf(name, sizeof(name), "h.snap.bad-%d", i);
		assert_string_equal(to, name);
		assert_true(there(name) && !there("h.snap"));
	}
	assert_true(there("h.snap.bad-10") && there("h.snap.bad-11") && there("h.snap.bad-x"));
	assert_int_equal(files(), 5);
	/* whatever stands there, it does not stay in the way */
	assert_int_equal(mkdir(path("h.snap"), 0700), 0);
	assert_int_equal(snapshot_disk_set_aside(dir, "h", to, sizeof(to), err), 0);
	assert_int_equal(snapshot_disk_write(dir, "h", "text", 4, 1, err), 0);
}

static void test_tidy(void **state)
{
	(void)state;
	touch("h.snap");
	touch("h.snap.tmp-1");
	touch("h.snap.tmp-4294967295");
	touch("h.snap.tmp-1.snap");
	touch("h.snap.tmp-1a");
	touch("hh.snap.tmp-1");
	snapshot_disk_tidy(dir, "h");
	assert_false(there("h.snap.tmp-1") || there("h.snap.tmp-4294967295"));
	assert_int_equal(files(), 4);
	snapshot_disk_tidy("/nonexistent", "h");
}

/* The disk is full half-way: what was there stays, and nothing else. */
static void test_full(void **state)
{
	static char big[1 << 16];
	char text[64];
	int status;

	(void)state;
	assert_int_equal(snapshot_disk_write(dir, "h", "before", 6, 1, err), 0);
	if (fork() == 0) {
		const struct rlimit small = {4096, 4096};

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &small);
		_exit(snapshot_disk_write(dir, "h", big, sizeof(big), 1, err) == -EFBIG ? 0 : 1);
	}
	wait(&status);
	assert_int_equal(status, 0);
	assert_int_equal(read_back(text, sizeof(text)), 0);
	assert_string_equal(text, "before");
	assert_int_equal(files(), 1);
	assert_int_equal(snapshot_disk_write("/nonexistent/x", "h", "a", 1, 1, err), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent/x"));
}

/* A writer that is killed anywhere leaves a whole snapshot, and the next one tidies. */
static void test_killed_writer(void **state)
{
	const struct timespec moment = {0, 300000};
	struct record_buf file;
	size_t len;
	void *data;

	each_setup(state);
	file = sealed(&head);
	assert_int_equal(snapshot_disk_write(dir, "h", file.data, file.len, 1, err), 0);
	for (int i = 0; i < 100; i++) {
		pid_t writer = fork();

		if (writer == 0)
			for (;;)
				snapshot_disk_write(dir, "h", file.data, file.len, 1, err);
		for (int n = rand() % 5; n >= 0; n--)
			nanosleep(&moment, NULL);
		kill(writer, SIGKILL);
		waitpid(writer, NULL, 0);
		assert_int_equal(snapshot_disk_read(dir, "h", getuid(), MAX, &data, &len, err), 0);
		assert_string_equal(refusal(data, len, MAX), "");
		free(data);
	}
	snapshot_disk_tidy(dir, "h");
	assert_int_equal(files(), 1);
	record_buf_free(&file);
}

#define DISK(f) cmocka_unit_test_setup_teardown(f, disk_setup, disk_teardown)
#define CODEC(f) cmocka_unit_test_setup(f, each_setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CODEC(test_round),	CODEC(test_cut_anywhere),
		CODEC(test_any_bit_flipped), CODEC(test_made_to_harm),
		CODEC(test_bounds_of_writing), CODEC(test_content_that_makes_no_sense),
		CODEC(test_mark),	DISK(test_file),
		DISK(test_not_one_of_ours), DISK(test_set_aside),
		DISK(test_tidy),	DISK(test_full),
		DISK(test_killed_writer),
	};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
