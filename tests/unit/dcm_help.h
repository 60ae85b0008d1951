/*
 * dcm_help.h - an instance of dcm made by hand: a directory and shards, written
 * by this process in the place of dcmd, for tests of the library that reads them.
 */
#ifndef DCM_HELP_H
#define DCM_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../shm/dcm.h"
#include "../../shm/names.h"
#include "../../shm/record.h"
#include "../../shm/region_write.h"

enum { WORLD_HOSTS = 20 };

struct world {
	char runtime_dir[64], instance[32];
	struct region *dir, *shard[WORLD_HOSTS];
	char host[WORLD_HOSTS][64];
};

static inline struct dcm_str text_of(const char *s)
{
	return (struct dcm_str){s, s ? (uint32_t)strlen(s) : 0};
}

static inline double wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline struct region *world_region(struct world *w, const char *host)
{
	struct region_spec spec = {.kind = host ? REGION_SHARD : REGION_DIRECTORY,
				   .uid = getuid(), .gid = getgid(), .instance = w->instance,
				   .host = host, .limit = 1ull << 30};
	struct region *r;
	char err[256];

	if (region_open(&r, &spec, NULL, err, sizeof(err)) != 0)
		fail_msg("region_open: %s", err);
	return r;
}

/* The directory's row of host `i`. */
static inline void world_row(struct world *w, int i, bool enabled, uint32_t generation)
{
	struct dcm_str name = text_of(w->host[i]), tags[] = {{"blue", 4}, {"west", 4}};
	struct record_dirent row = {.description = {"a host", 6}, .tags = {tags, 2, true},
				    .enabled = enabled, .generation = generation, .restarts = i};
	struct record_buf config = {0}, status = {0};
	uint8_t id[32];

	assert_int_equal(record_encode_dirent(&row, DCM_CONFIG, &config), 0);
	assert_int_equal(record_encode_dirent(&row, DCM_STATUS, &status), 0);
	struct region_tier tiers[] = {{DCM_CONFIG, config.data, (uint32_t)config.len, wall()},
				      {DCM_STATUS, status.data, (uint32_t)status.len, wall()}};

	directory_host_id(w->host[i], id);
	assert_int_equal(region_put(w->dir, id, &name, NULL, tiers, 2), 0);
	region_publish(w->dir);
	record_buf_free(&config);
	record_buf_free(&status);
}

/* A host with a shard, its row ONLINE. */
static inline void world_host(struct world *w, int i, const char *host)
{
	struct dcm_host row = {.state = DCM_ONLINE, .engine_version = {"24.0.7", 6},
			       .api_version = {"1.43", 4}, .transport = {"unix", 4}, .cpus = 8,
			       .memory_total = 1 << 30, .os = {"Debian", 6}, .kernel = {"6.1", 3},
			       .clock_offset = 0, .containers = 3, .running = 2,
			       .cpu_percent = 12.5, .memory_usage = 4096, .events = 7,
			       .pid = getpid()};
	struct record_buf status = {0}, stats = {0};

	snprintf(w->host[i], sizeof(w->host[i]), "%s", host);
	w->shard[i] = world_region(w, host);
	assert_int_equal(record_encode_host(&row, DCM_STATUS, &status), 0);
	assert_int_equal(record_encode_host(&row, DCM_STATS, &stats), 0);
	struct region_tier tiers[] = {{DCM_STATUS, status.data, (uint32_t)status.len, wall() - 10},
				      {DCM_STATS, stats.data, (uint32_t)stats.len, wall()}};

	assert_int_equal(region_put_self(w->shard[i], tiers, 2), 0);
	region_publish(w->shard[i]);
	world_row(w, i, true, region_generation(w->shard[i]));
	record_buf_free(&status);
	record_buf_free(&stats);
}

static inline void world_info(struct world *w, const struct dcm_info *info)
{
	struct record_buf b = {0};

	assert_int_equal(record_encode_info(info, &b), 0);
	struct region_tier tier = {DCM_STATUS, b.data, (uint32_t)b.len, wall()};

	assert_int_equal(region_put_self(w->dir, &tier, 1), 0);
	region_publish(w->dir);
	record_buf_free(&b);
}

/* An instance without hosts. */
static inline void world_open(struct world *w)
{
	static int count;
	char path[128];

	memset(w, 0, sizeof(*w));
	snprintf(w->instance, sizeof(w->instance), "t%d.%d", (int)getpid(), count++);
	snprintf(w->runtime_dir, sizeof(w->runtime_dir), "/tmp/dcm-test-XXXXXX");
	assert_non_null(mkdtemp(w->runtime_dir));
	snprintf(path, sizeof(path), "%s/%s", w->runtime_dir, w->instance);
	assert_int_equal(mkdir(path, 0750), 0);
	w->dir = world_region(w, NULL);
	region_publish(w->dir);
}

static inline void world_close(struct world *w)
{
	char path[160];

	for (int i = 0; i < WORLD_HOSTS; i++)
		region_close(&w->shard[i], true);
	region_close(&w->dir, true);
	snprintf(path, sizeof(path), "%s/%s/broker.sock", w->runtime_dir, w->instance);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s", w->runtime_dir, w->instance);
	rmdir(path);
	rmdir(w->runtime_dir);
}

static inline dcm *world_reader(const struct world *w, unsigned flags)
{
	struct dcm_options opt = {.size = sizeof(opt), .instance = w->instance,
				  .runtime_dir = w->runtime_dir, .flags = flags};
	char err[512];
	dcm *d;

	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK)
		fail_msg("dcm_open: %s", err);
	return d;
}

/* ---- containers --------------------------------------------------------- */

/* An id that begins with the bytes of `n`. */
static inline void make_id(uint32_t n, uint8_t id[32])
{
	for (int i = 0; i < 32; i++)
		id[i] = (uint8_t)(i < 4 ? n >> (24 - 8 * i) : n * 31 + (uint32_t)i);
}

/* Writes all tiers of `r` that `tiers` (bits) names; the digest from the record. */
static inline void put_record(struct region *shard, uint32_t n, const struct dcm_record *r,
			      unsigned tiers, double verified)
{
	struct record_buf b[DCM_TIERS] = {0};
	struct region_tier t[DCM_TIERS];
	struct region_brief brief = {.status = record_status_code(r->status),
				     .health = record_health_code(r->health_status),
				     .cpu_percent = r->cpu_percent,
				     .memory_usage = r->memory_usage};
	uint8_t id[32];
	size_t k = 0;

	for (int i = 0; i < DCM_TIERS; i++) {
		if (!(tiers & 1u << i))
			continue;
		assert_int_equal(record_encode(r, (enum dcm_tier)i, &b[i]), 0);
		t[k++] = (struct region_tier){(enum dcm_tier)i, b[i].data, (uint32_t)b[i].len,
					      verified};
	}
	make_id(n, id);
	assert_int_equal(region_put(shard, id, &r->name, &brief, t, k), 0);
	for (int i = 0; i < DCM_TIERS; i++)
		record_buf_free(&b[i]);
}

enum { ALL_TIERS = (1u << DCM_TIERS) - 1 };

/* A running container, plainly filled. */
static inline void put_plain(struct region *shard, uint32_t n, const char *name,
			     const char *status, double cpu, int64_t memory)
{
	struct dcm_record r;

	record_out_init(&r);
	r.name = text_of(name);
	r.status = text_of(status);
	r.image = text_of("registry/Nginx:1.21");
	r.cpu_percent = cpu;
	r.memory_usage = memory;
	put_record(shard, n, &r, ALL_TIERS, wall());
	region_publish(shard);
}

static inline bool str_is(struct dcm_str s, const char *want)
{
	return s.s && s.len == strlen(want) && memcmp(s.s, want, s.len) == 0;
}

#endif
