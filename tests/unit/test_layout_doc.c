/*
 * test_layout_doc.c - docs/memory-layout.md is enough to read a live shard: this
 * reader knows no number but those in the tables of that page (and takes none
 * from layout.h, which it must not include).
 */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "../../shm/names.h"
#include "../../shm/region_write.h"
#include "../stress/hold_instance.h"

#ifdef DCM_LAYOUT_H
#error "the test must not know layout.h"
#endif

/* ---- the page ----------------------------------------------------------------- */

struct row {
	char section[24], name[40];
	uint64_t at, size; /* of a constant: its value in `at` */
};
static struct row rows[128];
static int n_rows;

/* "| 16 | 8 | `name` | …" and "| `NAME` | value | …" */
static void parse_row(const char *line, const char *section)
{
	struct row *r = &rows[n_rows];
	unsigned long long a, b;
	long long v;

	assert_true(n_rows < 128);
	snprintf(r->section, sizeof(r->section), "%s", section);
	if (sscanf(line, "| %llu | %llu | `%39[a-z_]` |", &a, &b, r->name) == 3) {
		r->at = a;
		r->size = b;
		n_rows++;
	} else if (sscanf(line, "| `%39[A-Z_0-9]` | %lli |", r->name, &v) == 2) {
		r->at = (uint64_t)v;
		n_rows++;
	}
}

static void read_page(void)
{
	const char *dir = getenv("DCM_DOCS");
	char path[512], line[512], section[24] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/memory-layout.md", dir ? dir : "docs");
	f = fopen(path, "r");
	if (!f)
		fail_msg("cannot read %s: run the test from the top of the tree", path);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "## %23[A-Za-z]", section);
		parse_row(line, section);
	}
	fclose(f);
}

static const struct row *find(const char *section, const char *name)
{
	for (int i = 0; i < n_rows; i++)
		if (strcmp(rows[i].name, name) == 0 &&
		    (!section || strcmp(rows[i].section, section) == 0))
			return &rows[i];
	fail_msg("the page has no %s", name);
	return NULL;
}

static uint64_t value(const char *name)
{
	return find("Constants", name)->at;
}

/* ---- a reader made of the page --------------------------------------------------- */

static const uint8_t *base;

static uint64_t word(uint64_t at, uint64_t size)
{
	uint64_t v = 0;

	assert_true(size <= 8);
	memcpy(&v, base + at, size);
	return v;
}

static uint64_t field(const char *section, uint64_t object, const char *name)
{
	const struct row *r = find(section, name);

	return word(object + r->at, r->size);
}

static uint64_t header(const char *name)
{
	return field("Header", 0, name);
}

static uint64_t entry_offset(uint64_t i)
{
	unsigned k = 0;

	while ((value("CHUNK0") << (k + 1)) - value("CHUNK0") <= i)
		k++;
	return word(find("Header", "chunk")->at + 8 * k, 8) +
	       (i - ((value("CHUNK0") << k) - value("CHUNK0"))) * value("ENTRY_SIZE");
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t seed(int i)
{
	return word(find("Header", "seed")->at + 8u * (unsigned)i, 8);
}

/* The blob of a reference, all of its header checked. */
static uint64_t blob(uint64_t ref, uint64_t entry, uint64_t tier)
{
	uint64_t at = (ref >> 32 & 0x3ffffff) * value("UNIT"), e = entry_offset(entry), units;

	assert_true(ref != 0 && at < header("data_limit"));
	units = (value("BLOB_HEADER") + field("Blob", at, "length") + value("UNIT") - 1) /
		value("UNIT");
	assert_int_equal(ref >> 58,
			 units < value("REF_UNITS_MAX") ? units : value("REF_UNITS_MAX"));
	assert_true((uint32_t)field("Blob", at, "seq") == (uint32_t)ref);
	assert_true(field("Blob", at, "seq") <= header("sequence"));
	assert_int_equal(field("Blob", at, "blob_entry"), entry);
	assert_int_equal(field("Blob", at, "blob_generation"), field("Entry", e, "generation"));
	assert_int_equal(field("Blob", at, "tier"), tier);
	assert_true(XXH3_64bits(base + at + value("BLOB_HEADER"), field("Blob", at, "length")) ==
		    field("Blob", at, "checksum"));
	return at;
}

static bool blob_is(uint64_t at, const char *text)
{
	return field("Blob", at, "length") == strlen(text) &&
	       memcmp(base + at + value("BLOB_HEADER"), text, strlen(text)) == 0;
}

/* The entry that a table leads to by `hash`, asked by `is`; 0: none. */
static uint64_t probe(const char *table, uint64_t hash, bool (*is)(uint64_t entry, const void *key),
		      const void *key)
{
	uint64_t d = header(table), at = (d >> 32) * value("UNIT"),
		 mask = (1ull << (d >> 24 & 0xff)) - 1;

	assert_true(at < header("data_limit") && mask < header("data_limit"));
	for (uint64_t n = 0, i = hash & mask; n <= mask; n++, i = (i + 1) & mask) {
		uint64_t b = word(at + i * 8, 8);

		if (b == 0)
			return 0;
		if (b != value("TOMBSTONE") && b >> 32 == hash >> 32 && is(b & 0xffffffff, key))
			return b & 0xffffffff;
	}
	fail_msg("%s has no end", table);
	return 0;
}

static bool has_id(uint64_t entry, const void *key)
{
	return memcmp(base + entry_offset(entry) + find("Entry", "id")->at, key, 32) == 0;
}

static bool has_name(uint64_t entry, const void *key)
{
	return blob_is(blob(field("Entry", entry_offset(entry), "name"), entry, value("BLOB_NAME")),
		       key);
}

static uint64_t by_id(const uint8_t id[32])
{
	uint64_t w[4];

	memcpy(w, id, 32);
	return probe("table_id",
		     fold(w[0] ^ seed(0), w[1] ^ seed(1)) ^ fold(w[2] ^ seed(2), w[3] ^ seed(3)),
		     has_id, id);
}

static uint64_t by_name(const char *name)
{
	return probe("table_name", XXH3_64bits_withSeed(name, strlen(name), seed(0)), has_name,
		     name);
}

static uint64_t tier_ref(uint64_t entry, unsigned tier)
{
	return word(entry_offset(entry) + find("Entry", "ref")->at + 8 * tier, 8);
}

/* ---- a live shard ------------------------------------------------------------------- */

enum { N = 300 };
static char instance[33];
static struct region *region;

static void id_of(int n, uint8_t id[32])
{
	XXH128_hash_t h = XXH3_128bits(&n, sizeof(n));

	memcpy(id, &h, 16);
	memcpy(id + 16, &h, 16);
}

static void write_shard(void)
{
	struct region_spec spec = {REGION_SHARD, getuid(), getgid(), instance, "doc-host", 0};
	struct region_tier self = {DCM_STATUS, "the host", 8, (double)time(NULL)};
	char err[256], text[64], name[32];
	uint8_t id[32];

	if (region_open(&region, &spec, NULL, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	assert_int_equal(region_put_self(region, &self, 1), 0);
	for (int i = 0; i < N; i++) {
		struct dcm_str s = {name, (uint32_t)snprintf(name, sizeof(name), "name-%d", i)};
		struct region_brief b = {2, 3, 12.5, 1000 + i};
		struct region_tier t = {DCM_CONFIG, text,
					(uint32_t)snprintf(text, sizeof(text), "config of %d", i),
					1.7e9};

		id_of(i, id);
		assert_int_equal(region_put(region, id, &s, &b, &t, 1), 0);
	}
	for (int i = 0; i < N; i += 3) {
		id_of(i, id);
		assert_int_equal(region_remove(region, id), 0);
	}
	region_publish(region);
	region_beat(region);
}

static void map_shard(void)
{
	char object[DCM_OBJECT_NAME_MAX];
	struct stat st;
	void *p;
	int fd;

	snprintf(object, sizeof(object), "/dcm-%u-%s-:host:doc-host:1", (unsigned)getuid(),
		 instance);
	fd = shm_open(object, O_RDONLY, 0);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	assert_true(p != MAP_FAILED);
	base = p;
	assert_true(header("data_limit") == (uint64_t)st.st_size);
}

static int setup(void **state)
{

	(void)state;
	read_page();
	snprintf(instance, sizeof(instance), "doc.%d", (int)getpid());
	hold_instance(instance);
	write_shard();
	map_shard();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	region_close(&region, true);
	release_instance(instance);
	return 0;
}

static void test_header(void **state)
{
	char boot[64] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
	struct timespec t;

	(void)state;
	assert_non_null(f);
	assert_non_null(fgets(boot, sizeof(boot), f));
	fclose(f);
	boot[strcspn(boot, "\n")] = '\0';
	assert_int_equal(header("magic"), value("MAGIC"));
	assert_memory_equal(base, "DCM1", 4);
	assert_int_equal(header("abi_major"), value("ABI_MAJOR"));
	assert_int_equal(header("abi_minor"), value("ABI_MINOR"));
	assert_true(header("canary") == value("CANARY"));
	assert_true(header("layout_hash") != 0);
	assert_int_equal(header("header_size"), value("HEADER_SIZE"));
	assert_int_equal(header("entry_size"), value("ENTRY_SIZE"));
	assert_int_equal(header("change_slots"), value("CHANGES"));
	assert_int_equal(header("kind"), 2);
	assert_int_equal(header("generation"), 1);
	assert_int_equal(header("generation_base") & 1, 1);
	assert_true(header("epoch") < (uint64_t)time(NULL));
	assert_string_equal((const char *)base + find("Header", "boot_id")->at, boot);
	assert_string_equal((const char *)base + find("Header", "host")->at, "doc-host");
	assert_true(header("changes_offset") >= value("PAGE") &&
		    header("changes_offset") % value("UNIT") == 0);
	assert_int_equal(header("state"), value("LIVE"));
	assert_int_equal(header("successor"), 0);
	assert_int_equal(header("incarnation"), 1);
	assert_int_equal(header("entries"), N + 1);
	assert_int_equal(header("live"), N - N / 3);
	assert_true(header("bytes_live") > 0 && header("bytes_live") <= header("data_limit"));
	assert_int_equal(header("publish"), 1);
	clock_gettime(CLOCK_MONOTONIC, &t);
	assert_true(header("heartbeat") / 1000000000 <= (uint64_t)t.tv_sec &&
		    header("heartbeat") / 1000000000 + 600 > (uint64_t)t.tv_sec);
	/* One for each name and tier, and the host's row. */
	assert_int_equal(header("sequence"), 2 * N + 1);
}

static void test_containers(void **state)
{
	char name[32], text[64];
	uint8_t id[32];

	(void)state;
	for (int i = 0; i < N; i++) {
		uint64_t entry, e, at, brief;
		uint32_t bits, ticks;
		double written;
		float cpu;

		id_of(i, id);
		entry = by_id(id);
		snprintf(name, sizeof(name), "name-%d", i);
		assert_int_equal(by_name(name), entry);
		assert_int_equal(entry != 0, i % 3 != 0);
		if (!entry)
			continue;
		e = entry_offset(entry);
		assert_int_equal(field("Entry", e, "generation") & 1, 0);
		brief = field("Entry", e, "brief");
		bits = (uint32_t)(brief >> 32);
		memcpy(&cpu, &bits, sizeof(cpu));
		assert_true((brief & 0xff) == 2 && (brief >> 8 & 0xff) == 3 && cpu == 12.5f);
		assert_int_equal(field("Entry", e, "memory_usage"), 1000 + i);
		assert_true(tier_ref(entry, 0) == 0 && tier_ref(entry, 4) == 0);
		at = blob(tier_ref(entry, 2), entry, 2);
		snprintf(text, sizeof(text), "config of %d", i);
		assert_true(blob_is(at, text));
		memcpy(&written, base + at + find("Blob", "written")->at, 8);
		assert_true(fabs(written - (double)time(NULL)) < 600);
		ticks = (uint32_t)word(e + find("Entry", "verified")->at + 4 * 2, 4);
		assert_true((double)header("epoch") + (ticks - 1.0) / (double)value("TICKS") ==
			    1.7e9);
		assert_int_equal(word(e + find("Entry", "verified")->at, 4), 0);
	}
	assert_true(blob_is(blob(tier_ref(0, 1), 0, 1), "the host"));
}

static void test_changes(void **state)
{
	uint64_t ring, head = header("change_head"), entry;
	uint8_t id[32];

	(void)state;
	ring = header("changes_offset");
	assert_int_equal(head, 1 + N + N / 3);
	assert_int_equal(word(ring, 8) & 0xff, 4); /* the host's row */
	id_of(1, id);
	entry = by_id(id);
	assert_int_equal(word(ring + 8 * 2, 8) & 0xff, 1); /* then container 0, 1, … */
	assert_true(word(ring + 8 * 2, 8) >> 32 == entry);
	assert_int_equal(word(ring + 8 * 2, 8) >> 16 & 0xffff,
			 field("Entry", entry_offset(entry), "generation") & 0xffff);
	assert_int_equal(word(ring + 8 * ((head - 1) % value("CHANGES")), 8) & 0xff,
			 3); /* last: a removal */
}

/* Where the stats of an entry lie: 0 or 1 of its homes; -1: anywhere. */
static int home_of_stats(uint64_t entry)
{
	uint64_t first = (value("CHUNK0") << value("HOME_CHUNK")) - value("CHUNK0"), n, chunk, at,
		 home;
	unsigned k = (unsigned)value("HOME_CHUNK");

	at = blob(tier_ref(entry, 0), entry, 0);
	if (entry < first)
		return -1;
	while ((value("CHUNK0") << (k + 1)) - value("CHUNK0") <= entry)
		k++;
	n = value("CHUNK0") << k;
	chunk = word(find("Header", "chunk")->at + 8 * k, 8);
	home = chunk + n * value("ENTRY_SIZE") +
	       (entry - (n - value("CHUNK0"))) * value("HOMES") * value("HOME_SIZE");
	if (at < home || (at - home) % value("HOME_SIZE") ||
	    at >= home + value("HOMES") * value("HOME_SIZE"))
		return -1;
	return (int)((at - home) / value("HOME_SIZE"));
}

/* Stats of a large host lie in two homes in turn; those that do not fit, anywhere. */
static void test_homes(void **state)
{
	enum { MANY = 1200, FIRST = 1000 };
	struct dcm_str name = {"many", 4};
	char text[300];
	struct region_tier t = {DCM_STATS, text, 0, 1.7e9};
	uint8_t id[32];

	(void)state;
	memset(text, 't', sizeof(text));
	for (int round = 0; round < 4; round++) {
		t.len = round < 3 ? 216 - (uint32_t)round : 217;
		for (int i = FIRST; i < FIRST + MANY; i++) {
			id_of(i, id);
			assert_int_equal(region_put(region, id, &name, NULL, &t, 1), 0);
		}
		map_shard();
		for (int i = FIRST; i < FIRST + MANY; i++) {
			id_of(i, id);
			assert_int_equal(home_of_stats(by_id(id)),
					 by_id(id) < 960 || round == 3 ? -1 : round % 2);
		}
	}
	for (int i = FIRST; i < FIRST + MANY; i++) {
		id_of(i, id);
		assert_int_equal(region_remove(region, id), 0);
	}
}

/* Grows past a MiB, shrinks, and so goes on in another generation. */
static void test_successor(void **state)
{
	static char text[30000];
	struct region_tier t = {DCM_LOGS, text, sizeof(text), 1.7e9};
	int renewed = 0;
	uint8_t id[32];

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 1; i < N; i += 3) {
			id_of(i, id);
			assert_int_equal(round ? region_remove(region, id)
					       : region_put(region, id, NULL, NULL, &t, 1),
					 0);
		}
	}
	for (int i = 0; i < 10; i++)
		renewed += region_beat(region);
	assert_int_equal(renewed, 1);
	assert_int_equal(header("state"), value("RETIRED"));
	assert_int_equal(header("successor"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_header),
	    cmocka_unit_test(test_containers),
	    cmocka_unit_test(test_changes),
	    cmocka_unit_test(test_homes),
	    cmocka_unit_test(test_successor),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
