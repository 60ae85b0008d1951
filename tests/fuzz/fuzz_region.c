/*
 * fuzz_region.c - the shared memory holds anything at all.  Readers of a shard, or of
 * the directory, stay within it and come to an end; the next writer repairs it or makes
 * it anew, and what it then goes on with is sound.
 *
 * Input: a byte of mode (bit 0: the directory, else a shard; bit 1: raw, see below; bit
 * 2: the writer comes first), a byte that says how many pages the object has (0: all),
 * then what it holds: a true region with patches, each an offset (two bytes,
 * little-endian), a byte whose low 4 bits are a count less one, and that many bytes; or
 * raw: the bytes from the beginning, of which only the identity is put right.
 */
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../../shm/dcm_impl.h"
#include "../../shm/region_impl.h"
#include "../stress/hold_instance.h"
#include "../unit/random_record.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CONTAINERS = 24, PAGES = 40, IMAGE_MAX = PAGES * DCM_PAGE, GENERATION = 7 };

struct image {
	char object[DCM_OBJECT_NAME_MAX];
	uint8_t *v;
	size_t len;
};
/* The directory of the process's own threads is one of a trusted user, with the
 * instance's name in it, as a runtime directory must be. */
static const char runtime_dir[] = "/proc/self/task";
static char instance[DCM_INSTANCE_MAX + 1];
static struct image directory, shard;

static void check_at(bool truth, int line)
{
	if (truth)
		return;
	fprintf(stderr, "line %d does not hold\n", line);
	abort();
}
#define check(truth) check_at(truth, __LINE__)

static struct region_spec spec_of(bool dir)
{
	return (struct region_spec){dir ? REGION_DIRECTORY : REGION_SHARD, getuid(), getgid(),
				    instance, dir ? NULL : "h", 1 << 20};
}

/* ---- a true region, the same in each process ------------------------------------- */

static struct region *make(bool dir)
{
	struct region_spec spec = spec_of(dir);
	struct region *r;
	char err[256];

	check(region_open(&r, &spec, NULL, err, sizeof(err)) == 0);
	for (unsigned i = 0; i < 4; i++)
		r->h->seed[i] = 0x9e3779b97f4a7c15ull * (i + 1);
	r->h->generation_base = 4711;
	r->h->epoch = 1600000000;
	for (uint32_t i = 0; i < DCM_CHUNK0; i++)
		st_32(&entry_of(r, i)->generation, i ? 4711 : 4712);
	return r;
}

static void put(struct region *r, const uint8_t *id, struct dcm_str name,
		struct region_brief *brief, struct record_buf b[DCM_TIERS])
{
	struct region_tier t[DCM_TIERS];
	unsigned n = 0;

	for (unsigned i = 0; i < DCM_TIERS; i++)
		if (b[i].len)
			t[n++] = (struct region_tier){(enum dcm_tier)i, b[i].data,
						      (uint32_t)b[i].len, 1.7e9 + i};
	check((id ? region_put(r, id, &name, brief, t, n) : region_put_self(r, t, n)) == 0);
	for (unsigned i = 0; i < DCM_TIERS; i++)
		record_buf_free(&b[i]);
}

static void put_container(struct region *r, unsigned serial)
{
	struct record_buf b[DCM_TIERS] = {0};
	struct random_record x = {.n_text = 0};
	struct region_brief brief = {.memory_usage = 1000 * serial};
	uint8_t id[32];

	record_out_init(&x.r);
	random_status(&x, serial);
	random_config(&x);
	random_compose(&x);
	random_id(id);
	x.r.cpu_percent = brief.cpu_percent = serial;
	brief.status = record_status_code(x.r.status);
	for (unsigned t = 0; t < DCM_TIERS; t++)
		if (t != DCM_LOGS || serial % 5 == 0)
			check(record_encode(&x.r, (enum dcm_tier)t, &b[t]) == 0);
	put(r, id, x.r.name, &brief, b);
}

static void fill_shard(struct region *r)
{
	struct dcm_host row = {.state = DCM_ONLINE, .engine_version = {"24.0.7", 6}, .cpus = 8,
			       .transport = {"unix", 4}, .containers = CONTAINERS};
	struct record_buf b[DCM_TIERS] = {0};

	check(record_encode_host(&row, DCM_STATUS, &b[DCM_STATUS]) == 0);
	check(record_encode_host(&row, DCM_STATS, &b[DCM_STATS]) == 0);
	put(r, NULL, (struct dcm_str){NULL, 0}, NULL, b);
	for (unsigned i = 0; i < CONTAINERS; i++)
		put_container(r, i);
}

static void fill_directory(struct region *r)
{
	struct record_dirent row = {.enabled = true, .generation = GENERATION};
	struct dcm_info info = {.ttl = {120, 300, 3600, 7200}, .status_update = 60};
	struct record_buf b[DCM_TIERS] = {0};
	uint8_t id[32];

	check(record_encode_info(&info, &b[DCM_STATUS]) == 0);
	put(r, NULL, (struct dcm_str){NULL, 0}, NULL, b);
	for (const char *host = "hgf"; *host; host++) {
		char name[2] = {*host, '\0'};

		check(record_encode_dirent(&row, DCM_STATUS, &b[DCM_STATUS]) == 0);
		check(record_encode_dirent(&row, DCM_CONFIG, &b[DCM_CONFIG]) == 0);
		directory_host_id(name, id);
		put(r, id, (struct dcm_str){name, 1}, NULL, b);
		row.generation++;
	}
}

static void take_image(struct image *to, bool dir)
{
	struct region *r = make(dir);

	if (dir)
		fill_directory(r);
	else
		fill_shard(r);
	region_publish(r);
	r->h->generation = dir ? 0 : GENERATION;
	to->len = ld(&r->h->data_limit);
	check(to->len <= IMAGE_MAX && (to->v = malloc(to->len)));
	memcpy(to->v, r->base, to->len);
	region_close(&r, true);
	if (dir)
		names_directory(to->object, getuid(), instance);
	else
		names_shard(to->object, getuid(), instance, "h", GENERATION);
}

static void object_write(const struct image *of, const uint8_t *v, size_t len)
{
	int fd;

	shm_unlink(of->object);
	fd = shm_open(of->object, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && fchmod(fd, 0640) == 0);
	check(pwrite(fd, v, len, 0) == (ssize_t)len);
	close(fd);
}

static void leave(void)
{
	shm_unlink(directory.object);
	shm_unlink(shard.object);
	release_instance(instance);
	free(directory.v);
	free(shard.v);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	snprintf(instance, sizeof(instance), "%d", (int)getpid());
	hold_instance(instance);
	take_image(&directory, true);
	take_image(&shard, false);
	atexit(leave);
	return 0;
}

/* ---- what stands in the memory ------------------------------------------------------ */

static void mend(uint8_t *v, const struct image *like)
{
	const struct dcm_header *true_one = (const struct dcm_header *)(const void *)like->v;
	struct dcm_header *h = (struct dcm_header *)(void *)v;

	memcpy(h, true_one, offsetof(struct dcm_header, epoch));
	memcpy(h->boot_id, true_one->boot_id, sizeof(h->boot_id));
	memcpy(h->host, true_one->host, sizeof(h->host));
	h->changes_offset = true_one->changes_offset;
	st_32(&h->state, DCM_REGION_LIVE);
}

static void patch(uint8_t *v, size_t len, const uint8_t *data, size_t size)
{
	for (size_t at, n; size > 3; data += 3 + n, size -= 3 + n) {
		at = (size_t)data[0] | (size_t)data[1] << 8;
		n = (data[2] & 15) + 1u;
		n = n < size - 3 ? n : size - 3;
		if (at < len && n <= len - at)
			memcpy(v + at, data + 3, n);
	}
}

/* ---- readers ------------------------------------------------------------------------- */

/* Every entry that is there; all of it must be sound, where a writer says so. */
static void walk(const struct region_map *m, bool sound)
{
	uint8_t copy[512], id[32];
	uint64_t cursor = region_change_head(m) - 40, written;
	struct region_change change;
	char name[DCM_NAME_MAX + 1];
	uint32_t len, found, gen;
	int rc;

	for (uint32_t i = 1, entries = region_entries(m); i < entries; i++) {
		const struct dcm_entry *e;
		uint32_t g = dcm_live_entry(m, i, &e);

		if (!g)
			continue;
		region_entry_prefetch(m, e);
		dcm_entry_id(e, id);
		rc = region_find_id(m, id, &found, &gen);
		check(!sound || (rc == DCM_OK && found == i && gen == g));
		rc = dcm_entry_name(m, e, i, g, name, &len);
		check(!sound || rc == DCM_OK || !ld(&e->name)); /* taken out, as damaged */
		if (rc == DCM_OK && len) {
			rc = region_find_name(m, name, len, &found, &gen);
			check(!sound || rc == DCM_OK);
		}
		for (unsigned t = 0; t < DCM_TIER_SLOTS; t++) {
			struct region_blob b;

			rc = region_blob_load(m, &e->ref[t], i, g, t, &b);
			check(!sound || rc == DCM_OK || (rc == DCM_ENOTFOUND && !ld(&e->ref[t])));
			rc = region_blob_copy(m, &e->ref[t], i, g, t, copy, sizeof(copy), &len,
					      &written);
			check(rc != DCM_OK || len <= sizeof(copy));
			region_verified(m, e, t);
		}
	}
	for (int i = 0; i < 50 && region_change_next(m, &cursor, &change); i++)
		;
}

static void ask(dcm *d, enum dcm_query_kind kind, const char *text)
{
	struct dcm_query q = {.kind = kind, .text = text, .n = 3};
	struct dcm_record r;
	struct dcm_refs refs = {0};
	struct dcm_text json = {0};
	struct dcm_view view;
	struct dcm_str s;
	int64_t v;

	dcm_record_init(&r);
	if (dcm_query(d, &q, &refs) == DCM_OK) {
		for (size_t i = 0; kind == DCM_Q_ALL && i < refs.n && i < 40; i++) {
			if (dcm_read(d, refs.v[i], &r) == DCM_OK && i < 3)
				check(dcm_record_json(&r, &json) == DCM_OK);
			if (dcm_view(d, refs.v[i], DCM_STATUS, &view) == DCM_OK) {
				dcm_view_str(&view, DCM_F_name, &s);
				dcm_view_int(&view, DCM_F_exit_code, &v);
				dcm_view_ok(&view);
			}
		}
	}
	dcm_refs_free(&refs);
	dcm_text_free(&json);
	dcm_record_free(&r);
}

/* The library from the directory on, as a program uses it. */
static void use_library(void)
{
	struct dcm_options opt = {.size = sizeof(opt), .instance = instance,
				  .runtime_dir = runtime_dir, .flags = DCM_NO_BROKER};
	struct dcm_hosts hosts = {0};
	struct dcm_change change;
	struct dcm_info info;
	struct dcm_ref ref;
	dcm *d;

	if (dcm_open(&d, &opt, NULL, 0) != DCM_OK)
		return;
	dcm_changes_next(d, &change, 0);
	dcm_hosts_read(d, &hosts);
	dcm_info_read(d, &info);
	dcm_find(d, "h", "web_web-1", &ref);
	dcm_find(d, "h", "ab00", &ref);
	ask(d, DCM_Q_ALL, NULL);
	ask(d, DCM_Q_SEARCH, "we");
	ask(d, DCM_Q_STATUS, "running");
	ask(d, DCM_Q_LABEL, "a");
	ask(d, DCM_Q_MOUNT, "/srv");
	ask(d, DCM_Q_TOP_CPU, NULL);
	for (int i = 0; i < 8 && dcm_changes_next(d, &change, 0) == DCM_OK; i++)
		;
	dcm_hosts_free(&hosts);
	dcm_close(&d);
}

static void read_all(const struct image *of)
{
	struct region_map m;
	char err[512];

	if (region_map_open(&m, of->object, getuid(), err, sizeof(err)) == DCM_OK) {
		walk(&m, false);
		region_map_close(&m);
	}
	use_library();
}

/* ---- the next writer --------------------------------------------------------------------- */

static void check_sound(struct region *r)
{
	char object[DCM_OBJECT_NAME_MAX], err[512];
	struct region_map m;

	if (r->spec.kind == REGION_DIRECTORY)
		names_directory(object, getuid(), instance);
	else
		names_shard(object, getuid(), instance, "h", region_generation(r));
	check(region_map_open(&m, object, getuid(), err, sizeof(err)) == DCM_OK);
	walk(&m, true);
	region_map_close(&m);
}

struct some {
	uint8_t id[3][32];
	unsigned n, all;
};

static bool take_some(const struct region_item *item, void *arg)
{
	struct some *s = arg;

	if (s->n < 3)
		memcpy(s->id[s->n++], item->id, 32);
	s->all++;
	for (unsigned t = 0; t < DCM_TIERS; t++)
		check(!item->tier[t].data || item->tier[t].len <= DCM_BLOB_MAX);
	return true;
}

static void write_on(struct region *r)
{
	struct region_tier t = {DCM_STATUS, "\x81\xa4name\xa1x", 8, 1.7e9};
	struct dcm_str name = {"another", 7};
	struct some s = {.n = 0};

	region_each(r, take_some, &s);
	for (unsigned i = 0; i < 8 + s.all; i++) /* beyond what is in use: of what is free */
		put_container(r, 100 + i);
	if (s.n > 0)
		check(region_put(r, s.id[0], &name, NULL, &t, 1) == 0);
	if (s.n > 1)
		check(region_remove(r, s.id[1]) == 0);
	if (s.n > 2)
		check(region_put(r, s.id[2], &name, NULL, &t, 1) == 0);
	region_publish(r);
	check_sound(r);
	check(region_beat(r) >= 0);
}

static void write_all(const struct image *of, bool dir)
{
	struct region_spec spec = spec_of(dir);
	struct region *r;
	char err[256];

	check(region_open(&r, &spec, NULL, err, sizeof(err)) == 0);
	check_sound(r);
	write_on(r);
	check_sound(r);
	region_close(&r, true);
	shm_unlink(of->object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t v[IMAGE_MAX];
	const struct image *of;
	bool dir, raw;
	size_t len;

	if (size < 2)
		return 0;
	dir = data[0] & 1;
	raw = data[0] & 2;
	of = dir ? &directory : &shard;
	len = data[1] ? (size_t)(data[1] % PAGES) * DCM_PAGE : of->len;
	memset(v, 0, sizeof(v));
	if (raw) {
		memcpy(v, data + 2, size - 2 < sizeof(v) ? size - 2 : sizeof(v));
		mend(v, of);
	} else {
		memcpy(v, of->v, of->len);
		patch(v, of->len, data + 2, size - 2);
	}
	random_state = 88172645463325252ull;
	object_write(dir ? &shard : &directory, dir ? shard.v : directory.v,
		     dir ? shard.len : directory.len);
	object_write(of, v, len);
	if (!(data[0] & 4))
		read_all(of);
	write_all(of, dir);
	return 0;
}
