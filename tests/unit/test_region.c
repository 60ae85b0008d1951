/* test_region.c - a region as its writer and its readers see it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "region_help.h"

static void test_put_read(void **state)
{
	struct world *w = *state;
	struct region_map m;

	map_open(w, &m);
	assert_string_equal(read_text(&m, 1, DCM_CONFIG), "gone");
	assert_int_equal(put_text(w->r, 1, "web", DCM_CONFIG, "one"), 0);
	assert_string_equal(read_text(&m, 1, DCM_CONFIG), "one");
	assert_string_equal(read_text(&m, 1, DCM_STATS), "none");
	assert_int_equal(put_text(w->r, 1, NULL, DCM_CONFIG, "another and longer one"), 0);
	assert_string_equal(read_text(&m, 1, DCM_CONFIG), "another and longer one");
	assert_int_equal(put_text(w->r, 1, NULL, DCM_CONFIG, ""), 0);
	assert_string_equal(read_text(&m, 1, DCM_CONFIG), "");
	assert_int_equal(entry_of_name(&m, "web"), entry_of_id(&m, 1));
	assert_int_equal(region_remove(w->r, id_of(1)), 0);
	assert_string_equal(read_text(&m, 1, DCM_CONFIG), "gone");
	assert_int_equal(entry_of_name(&m, "web"), 0);
	assert_int_equal(region_remove(w->r, id_of(1)), -ENOENT);
	region_map_close(&m);
}

static void test_arguments(void **state)
{
	struct world *w = *state;
	static char big[DCM_NAME_MAX + 1];
	struct dcm_str name = {big, sizeof(big)};
	struct region_tier t = {(enum dcm_tier)7, "x", 1, NAN};

	memset(big, 'n', sizeof(big));
	assert_int_equal(put_text(w->r, 1, NULL, DCM_STATS, "x"), -EINVAL);
	assert_int_equal(region_put(w->r, id_of(1), &name, NULL, NULL, 0), -EINVAL);
	assert_true(strlen(region_error(w->r)) > 0);
	name.len = DCM_NAME_MAX;
	assert_int_equal(region_put(w->r, id_of(1), &name, NULL, &t, 1), -EINVAL);
	assert_int_equal(region_put(w->r, id_of(1), &name, NULL, NULL, 0), 0);
	w->spec.host = "no/host";
	assert_int_equal(
	    region_open(&(struct region *){NULL}, &w->spec, NULL, w->err, sizeof(w->err)), -EINVAL);
}

static void test_empty_is_small(void **state)
{
	struct world *w = *state;
	struct region_usage u;
	struct stat st;
	char path[256];

	snprintf(path, sizeof(path), "/dev/shm%s", w->object);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size <= 64 << 10);
	assert_int_equal(st.st_mode & 07777, 0640);
	region_usage(w->r, &u);
	assert_int_equal(u.held, st.st_size);
	assert_int_equal(u.entries, 0);
}

static void test_unchanged_is_not_written(void **state)
{
	struct world *w = *state;
	struct region_brief brief = {2, 1, 1.5, 100}, none = {2, 1, NAN, DCM_UNKNOWN};
	struct region_item item;
	struct region_map m;
	uint64_t cursor, seq;
	struct region_change c;
	struct region_tier t = {DCM_STATUS, "same", 4, 1.7e9};
	struct dcm_str name = str("web");

	map_open(w, &m);
	cursor = region_change_head(&m);
	assert_int_equal(region_put(w->r, id_of(1), &name, &brief, &t, 1), 0);
	assert_true(region_publish(w->r));
	assert_false(region_publish(w->r));
	assert_int_equal(region_change_next(&m, &cursor, &c), 1);
	assert_int_equal(c.kind, DCM_CH_APPEARED);
	assert_int_equal(c.entry, entry_of_id(&m, 1));
	seq = atomic_load(&m.h->sequence);

	t.verified = 1.8e9;
	assert_int_equal(region_put(w->r, id_of(1), &name, &brief, &t, 1), 0);
	assert_false(region_publish(w->r));
	assert_int_equal(region_change_next(&m, &cursor, &c), 0);
	assert_true(atomic_load(&m.h->sequence) == seq);
	assert_true(fabs(region_verified(&m, region_entry(&m, 1), DCM_STATUS) - 1.8e9) < 0.1);

	t = (struct region_tier){DCM_STATUS, NULL, 0, 1.81e9}; /* only found true */
	assert_int_equal(region_put(w->r, id_of(1), NULL, NULL, &t, 1), 0);
	assert_true(fabs(region_verified(&m, region_entry(&m, 1), DCM_STATUS) - 1.81e9) < 0.1);
	t.verified = NAN;
	assert_int_equal(region_put(w->r, id_of(1), NULL, NULL, &t, 1), 0);
	assert_true(fabs(region_verified(&m, region_entry(&m, 1), DCM_STATUS) - 1.81e9) < 0.1);
	t.verified = 0;
	assert_int_equal(region_put(w->r, id_of(1), NULL, NULL, &t, 1), 0);
	assert_true(region_verified(&m, region_entry(&m, 1), DCM_STATUS) == 0);
	assert_false(region_publish(w->r));

	assert_int_equal(region_put(w->r, id_of(1), NULL, &none, NULL, 0), 0);
	assert_int_equal(region_put(w->r, id_of(1), NULL, &none, NULL, 0), 0);
	assert_int_equal(region_change_next(&m, &cursor, &c), 1);
	assert_int_equal(c.kind, DCM_CH_UPDATED);
	assert_int_equal(c.tiers, 0);
	assert_int_equal(region_change_next(&m, &cursor, &c), 0);
	assert_true(region_get(w->r, id_of(1), &item));
	assert_true(isnan(item.brief.cpu_percent) && item.brief.memory_usage == DCM_UNKNOWN);
	assert_int_equal(item.brief.status, 2);
	assert_int_equal(item.brief.health, 1);
	region_map_close(&m);
}

static void test_times_of_before_and_after(void **state)
{
	struct world *w = *state;
	const double week = 7 * 86400, now = (double)time(NULL);
	const double at[] = {now - week, now - 300 * 86400.0, now, now + 3600};
	struct region_map m;

	map_open(w, &m);
	assert_int_equal(put_text(w->r, 1, "a", DCM_STATS, "x"), 0);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct region_tier t = {DCM_STATS, NULL, 0, at[i]};

		assert_int_equal(region_put(w->r, id_of(1), NULL, NULL, &t, 1), 0);
		assert_true(fabs(region_verified(&m, region_entry(&m, 1), DCM_STATS) - at[i]) <=
			    1.0 / DCM_TICKS);
	}
	region_map_close(&m);
}

static void test_names_go_round(void **state)
{
	struct world *w = *state;
	struct region_map m;

	map_open(w, &m);
	put_text(w->r, 1, "web", DCM_CONFIG, "1");
	put_text(w->r, 1, "old", DCM_CONFIG, "1"); /* rename */
	assert_int_equal(entry_of_name(&m, "web"), 0);
	assert_int_equal(entry_of_name(&m, "old"), entry_of_id(&m, 1));
	put_text(w->r, 2, "old", DCM_CONFIG, "2"); /* the newest has it */
	put_text(w->r, 3, "old", DCM_CONFIG, "3");
	assert_int_equal(entry_of_name(&m, "old"), entry_of_id(&m, 3));
	region_remove(w->r, id_of(3)); /* then the next newest */
	assert_int_equal(entry_of_name(&m, "old"), entry_of_id(&m, 2));
	world_reopen(w);
	assert_int_equal(entry_of_name(&m, "old"), entry_of_id(&m, 2));
	put_text(w->r, 2, "new", DCM_CONFIG, "2");
	assert_int_equal(entry_of_name(&m, "old"), entry_of_id(&m, 1));
	assert_int_equal(entry_of_name(&m, "new"), entry_of_id(&m, 2));
	region_remove(w->r, id_of(1));
	assert_int_equal(entry_of_name(&m, "old"), 0);
	put_text(w->r, 4, "", DCM_CONFIG, "4"); /* nameless: found by id alone */
	assert_int_equal(entry_of_name(&m, ""), 0);
	assert_string_equal(read_text(&m, 4, DCM_CONFIG), "4");
	put_text(w->r, 4, "four", DCM_CONFIG, "4");
	assert_int_equal(entry_of_name(&m, "four"), entry_of_id(&m, 4));
	region_map_close(&m);
}

/* Growth: of the file, the tables, the entry chunks; seen by an old mapping. */
static void test_many(void **state)
{
	enum { N = 20000 };
	struct world *w = *state;
	struct region_usage u;
	struct region_map m;
	char name[32], text[300];

	map_open(w, &m);
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		text[snprintf(text, sizeof(text), "%d", i)] = ' ';
		text[200 + i % 90] = '\0';
		assert_int_equal(put_text(w->r, i, name, DCM_STATUS, text), 0);
		text[200 + i % 90] = 'x';
	}
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		assert_int_equal(atoi(read_text(&m, i, DCM_STATUS)), i);
		assert_int_equal(entry_of_name(&m, name), entry_of_id(&m, i));
	}
	assert_int_equal(entry_of_name(&m, "name-20000"), 0);
	region_usage(w->r, &u);
	assert_int_equal(u.entries, N);
	/* What is held is not much more than what is in use. */
	assert_true(u.held < u.live + u.quarantined + u.held / 4);
	region_clear(w->r);
	for (int i = 0; i < N; i += 97)
		assert_string_equal(read_text(&m, i, DCM_STATUS), "gone");
	region_map_close(&m);
}

/* Updates for ever do not make the region grow for ever. */
static void test_steady(void **state)
{
	struct world *w = *state;
	struct region_usage before, after;
	char text[2000];

	memset(text, 'y', sizeof(text));
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 200; i++) {
			size_t len = 100 + (size_t)((round * 7919 + i * 104729) % 1800);

			text[snprintf(text, sizeof(text), "%d.%d", round, i)] = 'y';
			text[len] = '\0';
			assert_int_equal(put_text(w->r, i, round ? NULL : "n", DCM_STATUS, text),
					 0);
			text[len] = 'y';
		}
		region_publish(w->r);
		if (round == 20)
			region_usage(w->r, &before);
	}
	region_usage(w->r, &after);
	if (after.held > before.held * 3 / 2)
		fail_msg("grew from %llu to %llu", (unsigned long long)before.held,
			 (unsigned long long)after.held);
}

static void test_limit(void **state)
{
	struct world *w = *state;
	struct region_usage u;
	struct region_map m;
	static char text[4000];
	int rc = 0, n = 0;

	region_close(&w->r, true);
	w->spec.limit = 400 << 10;
	world_open(w);
	map_open(w, &m);
	memset(text, 'z', sizeof(text) - 1);
	for (n = 0; n < 1000 && rc == 0; n++)
		rc = put_text(w->r, n, "n", DCM_STATUS, text);
	assert_int_equal(rc, -ENOSPC);
	assert_true(n > 50 && n < 110);
	assert_non_null(strstr(region_error(w->r), "shard_limit"));
	region_usage(w->r, &u);
	assert_true(u.full > 0 && u.held <= w->spec.limit);
	/* What is there stays, a refused update changed nothing, and what is
	 * removed makes room at once. */
	assert_string_equal(read_text(&m, n - 1, DCM_STATUS), "gone");
	assert_string_equal(read_text(&m, 0, DCM_STATUS), text);
	for (int i = 0; i < 20; i++)
		region_remove(w->r, id_of(i));
	assert_int_equal(put_text(w->r, 5000, "n", DCM_STATUS, text), 0);
	assert_string_equal(read_text(&m, 5000, DCM_STATUS), text);
	/* What was refused is known to fit as soon as something went. */
	for (n = 6000, rc = 0; n < 7000 && rc == 0; n++)
		rc = put_text(w->r, n, "n", DCM_STATUS, text);
	region_usage(w->r, &u);
	assert_false(region_room(w->r));
	assert_int_equal(u.full, 2);
	assert_int_equal(region_remove(w->r, id_of(6000)), 0);
	assert_true(region_room(w->r));
	assert_int_equal(put_text(w->r, n - 1, "n", DCM_STATUS, text), 0);
	assert_true(region_room(w->r));
	region_map_close(&m);
}

/* The host's row says something else each time, and readers see it. */
static void tell_self(struct world *w, const char *about)
{
	struct region_map m;
	char row[3000], buf[4096];

	map_open(w, &m);
	for (int i = 0; i < 50; i++) {
		int n = snprintf(row, sizeof(row), "%s %d %*s", about, i, i * 50, "");
		struct region_tier t[] = {{DCM_STATUS, row, (uint32_t)n, 1.7e9 + i},
					  {DCM_STATS, row, (uint32_t)strlen(about) + 3, 1.7e9 + i}};
		const struct dcm_entry *e = region_entry(&m, DCM_SELF);
		uint64_t written;
		uint32_t len;

		assert_int_equal(region_put_self(w->r, t, 2), 0);
		for (int k = 0; k < 2; k++) {
			assert_int_equal(region_blob_copy(&m, &e->ref[t[k].tier], DCM_SELF,
							  atomic_load(&e->generation), t[k].tier,
							  buf, sizeof(buf), &len, &written),
					 DCM_OK);
			assert_int_equal(len, t[k].len);
			assert_memory_equal(buf, row, len);
		}
	}
	region_map_close(&m);
}

static void fill_to_the_brim(struct world *w)
{
	static char text[4000];

	memset(text, 'z', sizeof(text));
	for (int len = sizeof(text), n = 0; len > 1; len /= 2)
		for (int rc = 0; rc == 0;) {
			struct region_tier t = {DCM_STATUS, text, (uint32_t)len, 1.7e9};
			char name[16];
			struct dcm_str s = {name, (uint32_t)snprintf(name, sizeof(name), "n%d", n)};

			rc = region_put(w->r, id_of(n++), &s, NULL, &t, 1);
			assert_true(rc == 0 || rc == -ENOSPC);
		}
}

static void test_a_full_region_tells_its_row(void **state)
{
	struct world *w = *state;

	region_close(&w->r, true);
	w->spec.limit = 400 << 10;
	world_open(w);
	tell_self(w, "room");
	fill_to_the_brim(w);
	tell_self(w, "full");
	fill_to_the_brim(w);
	tell_self(w, "again");
	world_reopen(w); /* the next writer finds its room again */
	fill_to_the_brim(w);
	tell_self(w, "taken over");
}

static bool collect(const struct region_item *item, void *arg)
{
	int *seen = arg, n;

	memcpy(&n, item->id, sizeof(n));
	assert_true(n >= 0 && n < 10);
	assert_int_equal(item->tier[DCM_LOGS].len, 3);
	assert_memory_equal(item->tier[DCM_LOGS].data, "log", 3);
	assert_true(fabs(item->tier[DCM_LOGS].verified - 1.7e9) < 0.1);
	assert_null(item->tier[DCM_STATS].data);
	seen[n]++;
	return n != 7;
}

static void test_each(void **state)
{
	struct world *w = *state;
	int seen[10] = {0}, n = 0;

	for (int i = 0; i < 10; i++)
		put_text(w->r, i, "n", DCM_LOGS, "log");
	region_remove(w->r, id_of(3));
	region_each(w->r, collect, seen);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(seen[i], i < 8 && i != 3);
		n += seen[i];
	}
	assert_int_equal(n, 7);
}

static void test_self(void **state)
{
	struct world *w = *state;
	struct region_tier t = {DCM_STATUS, "host row", 8, 1.7e9};
	const struct dcm_entry *e;
	struct region_change c;
	struct region_map m;
	char buf[32];
	uint32_t len;
	uint64_t written, cursor;

	map_open(w, &m);
	cursor = region_change_head(&m);
	assert_int_equal(region_put_self(w->r, &t, 1), 0);
	region_clear(w->r);
	e = region_entry(&m, DCM_SELF);
	assert_int_equal(region_blob_copy(&m, &e->ref[DCM_STATUS], DCM_SELF,
					  atomic_load(&e->generation), DCM_STATUS, buf, sizeof(buf),
					  &len, &written),
			 DCM_OK);
	assert_int_equal(len, 8);
	assert_memory_equal(buf, "host row", 8);
	assert_int_equal(region_change_next(&m, &cursor, &c), 1);
	assert_int_equal(c.kind, DCM_CH_SELF);
	assert_int_equal(region_change_next(&m, &cursor, &c), 1);
	assert_int_equal(c.kind, DCM_CH_CLEARED);
	region_map_close(&m);
}

static void test_stale_reference(void **state)
{
	struct world *w = *state;
	uint32_t entry, gen, len;
	const struct dcm_entry *e;
	struct region_blob b;
	struct region_map m;
	uint64_t written;
	char buf[64];

	map_open(w, &m);
	put_text(w->r, 1, "a", DCM_CONFIG, "first");
	assert_int_equal(region_find_id(&m, id_of(1), &entry, &gen), DCM_OK);
	e = region_entry(&m, entry);
	assert_int_equal(region_blob_load(&m, &e->ref[DCM_CONFIG], entry, gen, DCM_CONFIG, &b),
			 DCM_OK);
	assert_true(region_blob_ok(&b) && region_entry_ok(e, gen));
	region_remove(w->r, id_of(1));
	assert_false(region_blob_ok(&b));
	assert_false(region_entry_ok(e, gen));
	put_text(w->r, 2, "b", DCM_CONFIG, "second"); /* takes the same entry */
	assert_int_equal(entry_of_id(&m, 2), entry);
	assert_int_equal(region_blob_copy(&m, &e->ref[DCM_CONFIG], entry, gen, DCM_CONFIG, buf,
					  sizeof(buf), &len, &written),
			 DCM_ESTALE);
	assert_false(region_entry_ok(e, gen));
	gen = atomic_load(&e->generation);
	assert_int_equal(region_blob_copy(&m, &e->ref[DCM_CONFIG], entry, gen, DCM_CONFIG, buf, 3,
					  &len, &written),
			 DCM_ENOMEM);
	assert_int_equal(len, 6);
	region_map_close(&m);
}

static void *publisher(void *arg)
{
	struct region *r = arg;

	usleep(20000);
	put_text(r, 1, "a", DCM_CONFIG, "x");
	region_publish(r);
	return NULL;
}

static void test_wait(void **state)
{
	struct world *w = *state;
	struct region_map m;
	pthread_t t;
	uint32_t seen;

	map_open(w, &m);
	seen = atomic_load(&m.h->publish);
	assert_false(region_wait(&m, seen, 0));
	assert_false(region_wait(&m, seen, 5));
	assert_true(region_wait(&m, seen - 1, 0));
	assert_int_equal(pthread_create(&t, NULL, publisher, w->r), 0);
	assert_true(region_wait(&m, seen, 60000));
	pthread_join(t, NULL);
	region_map_close(&m);
}

static void test_ring_overrun(void **state)
{
	struct world *w = *state;
	struct region_change c;
	struct region_map m;
	uint64_t cursor;
	char text[32];

	map_open(w, &m);
	cursor = region_change_head(&m);
	for (int i = 0; i < DCM_CHANGES - 1; i++) {
		snprintf(text, sizeof(text), "%d", i);
		put_text(w->r, 1, i ? NULL : "a", DCM_CONFIG, text);
	}
	for (int i = 0; i < DCM_CHANGES - 1; i++)
		assert_int_equal(region_change_next(&m, &cursor, &c), 1);
	assert_int_equal(region_change_next(&m, &cursor, &c), 0);
	for (int i = 0; i < DCM_CHANGES; i++) {
		snprintf(text, sizeof(text), "again %d", i);
		put_text(w->r, 1, NULL, DCM_CONFIG, text);
	}
	assert_int_equal(region_change_next(&m, &cursor, &c), -1);
	assert_int_equal(region_change_next(&m, &cursor, &c), 0);
	world_reopen(w); /* a new writer cannot know what was last on record */
	assert_int_equal(region_change_next(&m, &cursor, &c), -1);
	region_map_close(&m);
}

/* The wall clock was set while nobody wrote: times are moved with it. */
static void test_clock(void **state)
{
	struct world *w = *state;
	int fd = shm_open(w->object, O_RDWR, 0);
	struct dcm_header *h = mmap(NULL, DCM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct region_map m;
	double at;

	assert_true(h != MAP_FAILED);
	close(fd);
	map_open(w, &m);
	put_text(w->r, 1, "web", DCM_STATUS, "x");
	at = region_verified(&m, region_entry(&m, 1), DCM_STATUS);
	for (int hours = -48; hours <= 48; hours += 96) {
		/* as it was then */
		atomic_fetch_sub(&h->clock, (int64_t)hours * 3600 * 1000000000);
		region_beat(w->r);
		assert_true(fabs(region_verified(&m, region_entry(&m, 1), DCM_STATUS) -
				 (at + hours * 3600)) < 2);
		at += hours * 3600;
	}
	munmap(h, DCM_PAGE);
	region_map_close(&m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
	    T(test_put_read),
	    T(test_arguments),
	    T(test_empty_is_small),
	    T(test_unchanged_is_not_written),
	    T(test_times_of_before_and_after),
	    T(test_names_go_round),
	    T(test_many),
	    T(test_steady),
	    T(test_limit),
	    T(test_clock),
	    T(test_a_full_region_tells_its_row),
	    T(test_each),
	    T(test_self),
	    T(test_stale_reference),
	    T(test_wait),
	    T(test_ring_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
