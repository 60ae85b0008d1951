/* test_snapshot_job.c - a region is copied in slices, while it goes on changing, and
 * what is written is what it held. */
#include "region_help.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "../../collector/snapshot_disk.h"
#include "../../collector/snapshot_job.h"
#include "../../shm/region_impl.h"

enum { MANY = 1000, MAX = 64 << 20 };

static char dir[64];
static const struct snapshot_head head = {.host = "h", .time = 1.7e9};

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/dcm-snap-job-XXXXXX");
	return mkdtemp(dir) && !world_setup(state) ? 0 : -1;
}

static int teardown(void **state)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/h.snap", dir);
	unlink(path);
	return world_teardown(state) || rmdir(dir);
}

static void put_self(struct region *r)
{
	struct region_tier t = {DCM_STATUS, "\x80", 1, 1.7e9};

	assert_int_equal(region_put_self(r, &t, 1), 0);
}

/* Containers n to n + count - 1. */
static void put_many(struct region *r, int n, int count)
{
	char name[16];

	for (int i = n; i < n + count; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		assert_int_equal(put_text(r, i, name, DCM_CONFIG, "\x80"), 0);
	}
}

static struct snapshot_job *new_job(size_t max)
{
	struct snapshot_job *j = snapshot_job_new(&head, dir, max, false);

	assert_non_null(j);
	return j;
}

/* Slices until all is copied; how many. */
static unsigned copy_rest(struct snapshot_job *j, struct region *r)
{
	unsigned n = 1;
	int rc;

	while ((rc = snapshot_job_copy(j, r, SNAPSHOT_SLICE)) == 1)
		n++;
	assert_int_equal(rc, 0);
	return n;
}

/* How often each container stands in the file that was written. */
static int64_t read_file(uint8_t seen[2 * MANY])
{
	char err[SNAPSHOT_DISK_ERR];
	struct region_item item;
	struct snapshot_head h;
	uint8_t *content;
	size_t len, n;
	int64_t count;
	struct mp m;
	void *file;
	int which;

	memset(seen, 0, 2 * MANY);
	assert_int_equal(snapshot_disk_read(dir, "h", getuid(), MAX, &file, &n, err), 0);
	assert_int_equal(snapshot_open(file, n, "h", MAX, &h, &content, &len, err), 0);
	count = snapshot_check(content, len);
	m = mp_of(content, len);
	while (snapshot_next(&m, &item) == 1) {
		if (!item.id)
			continue;
		memcpy(&which, item.id, sizeof(which));
		assert_in_range(which, 0, 2 * MANY - 1);
		seen[which]++;
	}
	free(content);
	free(file);
	return count;
}

static void test_in_slices(void **state)
{
	struct world *w = *state;
	struct snapshot_job *j = new_job(MAX);
	uint8_t seen[2 * MANY];

	put_self(w->r);
	put_many(w->r, 0, MANY);
	assert_int_equal(copy_rest(j, w->r), MANY / SNAPSHOT_SLICE + 1);
	assert_int_equal(snapshot_job_run(j), 0);
	snapshot_job_free(&j);
	assert_null(j);
	assert_int_equal(read_file(seen), MANY);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(seen[i], 1);

	j = new_job(MAX); /* at the stop: at once */
	assert_int_equal(snapshot_job_copy(j, w->r, SNAPSHOT_ALL), 0);
	assert_int_equal(snapshot_job_run(j), 0);
	snapshot_job_free(&j);
	assert_int_equal(read_file(seen), MANY);
}

/* Few large ones are a slice, too. */
static void test_large_items(void **state)
{
	struct world *w = *state;
	struct snapshot_job *j = new_job(MAX);
	static uint8_t big[SNAPSHOT_SLICE_BYTES] = {0xc6, 0x00, 0x0f, 0xff, 0xf0};
	struct region_tier t = {DCM_LOGS, big, sizeof(big), 1.7e9};
	struct dcm_str name = str("large");

	put_self(w->r);
	for (int i = 0; i < 5; i++)
		assert_int_equal(region_put(w->r, id_of(i), &name, NULL, &t, 1), 0);
	assert_int_equal(copy_rest(j, w->r), 6); /* the last finds that there is none */
	snapshot_job_free(&j);

	j = new_job(3 * SNAPSHOT_SLICE_BYTES);
	assert_int_equal(snapshot_job_copy(j, w->r, SNAPSHOT_ALL), -E2BIG);
	assert_non_null(strstr(snapshot_job_error(j), "shard_limit"));
	snapshot_job_free(&j);
}

/* Those that are there all the time are there once, whatever comes and goes between. */
static void test_changes_between_slices(void **state)
{
	struct world *w = *state;
	struct snapshot_job *j = new_job(MAX);
	uint8_t seen[2 * MANY];
	int rc, n = 0;

	put_self(w->r);
	put_many(w->r, 0, MANY);
	while ((rc = snapshot_job_copy(j, w->r, SNAPSHOT_SLICE)) == 1) {
		region_remove(w->r, id_of(n++));    /* copied already */
		region_remove(w->r, id_of(MANY - n)); /* to be copied */
		put_many(w->r, MANY + n, 1);
		region_publish(w->r);
	}
	assert_int_equal(rc, 0);
	assert_in_range(n, 2, 10);
	assert_int_equal(snapshot_job_run(j), 0);
	snapshot_job_free(&j);
	assert_true(read_file(seen) > 0);
	for (int i = n; i < MANY - n; i++)
		assert_int_equal(seen[i], 1);
}

/* A renewal moves all entries: the copy begins anew. */
static void test_renewal_between_slices(void **state)
{
	struct world *w = *state;
	struct snapshot_job *j = new_job(MAX);
	uint8_t seen[2 * MANY];

	put_self(w->r);
	put_many(w->r, 0, MANY);
	for (int i = 0; i < MANY; i += 2)
		region_remove(w->r, id_of(i));
	assert_int_equal(snapshot_job_copy(j, w->r, SNAPSHOT_SLICE), 1);
	assert_int_equal(region_renew(w->r), 0);
	region_unlink_old(w->r);
	assert_int_equal(copy_rest(j, w->r), MANY / 2 / SNAPSHOT_SLICE + 1);
	assert_int_equal(snapshot_job_run(j), 0);
	snapshot_job_free(&j);
	assert_int_equal(read_file(seen), MANY / 2); /* and one row of the host */
	for (int i = 0; i < MANY; i++)
		assert_int_equal(seen[i], i % 2);
}

static void test_thread(void **state)
{
	struct world *w = *state;
	struct snapshot_job *j = new_job(MAX);
	int bell = eventfd(0, EFD_CLOEXEC);
	struct pollfd p = {.fd = bell, .events = POLLIN};
	uint8_t seen[2 * MANY];

	put_self(w->r);
	put_many(w->r, 0, 10);
	copy_rest(j, w->r);
	assert_false(snapshot_job_started(j));
	assert_int_equal(snapshot_job_start(j, bell), 0);
	assert_true(snapshot_job_started(j));
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(snapshot_job_wait(j), 0);
	assert_false(snapshot_job_started(j));
	snapshot_job_free(&j);
	assert_int_equal(read_file(seen), 10);

	j = snapshot_job_new(&head, "/nonexistent/x", MAX, false);
	copy_rest(j, w->r);
	assert_int_equal(snapshot_job_start(j, bell), 0);
	assert_int_equal(snapshot_job_wait(j), -ENOENT);
	assert_non_null(strstr(snapshot_job_error(j), "/nonexistent/x"));
	snapshot_job_free(&j);
	close(bell);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_in_slices),		T(test_large_items),
		T(test_changes_between_slices), T(test_renewal_between_slices),
		T(test_thread),
	};

	return cmocka_run_group_tests_name("snapshot_job", tests, NULL, NULL);
}
