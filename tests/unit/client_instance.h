/*
 * client_instance.h - an instance of dcm made by hand, without any daemon: the
 * directory, the shards of alpha and beta, and their containers; for tests that
 * run the whole of dcm-client (client_main()) against it.
 */
#ifndef CLIENT_INSTANCE_H
#define CLIENT_INSTANCE_H

/* Before cmocka.h, which has a macro by the name of fail(). */
int client_main(int argc, char **argv);
#define main client_main
#include "../../client/main.c"
#undef main

#include "client_help.h"

#include <json-c/json.h>
#include <sys/stat.h>
#include <time.h>

#include "../../shm/names.h"
#include "../../shm/region_write.h"

/* ---- an instance ------------------------------------------------------- */

static char runtime_dir[64], instance[32];
static struct region *directory, *alpha, *beta;

static inline double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline struct region *region(enum region_kind kind, const char *host)
{
	const struct region_spec spec = {.kind = kind, .uid = geteuid(), .gid = getegid(),
					 .instance = instance, .host = host};
	char err[256] = "";
	struct region *r;

	if (region_open(&r, &spec, NULL, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	return r;
}

static inline struct dcm_host host_row(const char *error, enum dcm_host_state state)
{
	return (struct dcm_host){.state = state, .engine_version = S("20.10.24"),
				 .api_version = S("1.41"), .transport = S("unix"),
				 .error = str_of(error), .cpus = 2, .memory_total = 4LL << 30,
				 .os = S("Debian"), .kernel = S("6.1"), .clock_offset = 0.001,
				 .containers = 3, .running = 2, .cpu_percent = 51.5,
				 .memory_usage = 150 << 20, .events = 7, .refreshes = 5,
				 .errors = 1, .pid = getpid()};
}

static inline void put_row(struct region *r, const struct dcm_host *h)
{
	struct record_buf status = {0}, stats = {0};

	assert_int_equal(record_encode_host(h, DCM_STATUS, &status), 0);
	assert_int_equal(record_encode_host(h, DCM_STATS, &stats), 0);
	const struct region_tier tiers[] = {
		{DCM_STATUS, status.data, (uint32_t)status.len, now() - 1},
		{DCM_STATS, stats.data, (uint32_t)stats.len, now()}};
	assert_int_equal(region_put_self(r, tiers, 2), 0);
	region_publish(r);
	record_buf_free(&status);
	record_buf_free(&stats);
}

static inline void put_host_row(struct region *r, const char *error, enum dcm_host_state state)
{
	const struct dcm_host h = host_row(error, state);

	put_row(r, &h);
}

static inline void put_dirent(const char *host, bool enabled, struct region *shard)
{
	static const struct dcm_str tags[] = {S("test")};
	struct dcm_str name = str_of(host);
	struct record_dirent e = {.id = name, .description = S("an engine"),
				  .tags = {tags, 1, true}, .enabled = enabled,
				  .generation = shard ? region_generation(shard) : 0,
				  .restarts = 2};
	struct record_buf config = {0}, status = {0};
	uint8_t id[32];

	directory_host_id(host, id);
	assert_int_equal(record_encode_dirent(&e, DCM_CONFIG, &config), 0);
	assert_int_equal(record_encode_dirent(&e, DCM_STATUS, &status), 0);
	const struct region_tier tiers[] = {
		{DCM_CONFIG, config.data, (uint32_t)config.len, now()},
		{DCM_STATUS, status.data, (uint32_t)status.len, now()}};
	assert_int_equal(region_put(directory, id, &name, NULL, tiers, 2), 0);
	record_buf_free(&config);
	record_buf_free(&status);
}

static inline struct dcm_info info_made(void)
{
	struct dcm_info i = {.ttl = {120, 300, 3600, 7200}, .status_update = 60,
			     .memory_retention = 3600, .supervisor_pid = getpid(),
			     .broker_pid = 0, .broker_restarts = 1, .started = now(),
			     .version = DCM_VERSION, .uid = geteuid(), .log_tail_lines = 100,
			     .shard_limit = 1 << 30};

	snprintf(i.instance, sizeof(i.instance), "%s", instance);
	snprintf(i.runtime_dir, sizeof(i.runtime_dir), "%s", runtime_dir);
	return i;
}

static inline void put_info(const struct dcm_info *i)
{
	struct record_buf b = {0};

	assert_int_equal(record_encode_info(i, &b), 0);
	const struct region_tier tier = {DCM_STATUS, b.data, (uint32_t)b.len, now()};
	assert_int_equal(region_put_self(directory, &tier, 1), 0);
	record_buf_free(&b);
}

static inline void binary_id(const char *hex, uint8_t id[32])
{
	for (size_t i = 0; i < 32; i++) {
		unsigned v;

		sscanf(hex + 2 * i, "%2x", &v);
		id[i] = (uint8_t)v;
	}
}

static inline void put(struct region *shard, struct dcm_record *r)
{
	struct record_buf b[DCM_TIERS] = {{0}};
	struct region_tier tiers[DCM_TIERS];
	struct region_brief brief = {record_status_code(r->status),
				     record_health_code(r->health_status), r->cpu_percent,
				     r->memory_usage};
	uint8_t id[32];
	size_t t;

	binary_id(r->id, id);
	for (t = 0; t < DCM_LOGS; t++) {
		assert_int_equal(record_encode(r, (enum dcm_tier)t, &b[t]), 0);
		tiers[t] = (struct region_tier){(enum dcm_tier)t, b[t].data, (uint32_t)b[t].len,
						now()};
	}
	assert_int_equal(region_put(shard, id, &r->name, &brief, tiers, DCM_LOGS), 0);
	region_publish(shard);
	for (t = 0; t < DCM_TIERS; t++)
		record_buf_free(&b[t]);
}

/* Containers of a host: web and db of the stack shop, and lone. */
#define ZEROS "00000000000000000000000000000000000000000000000000000000000"
#define WEB_ID "abcd" ZEROS "1"
#define DB_ID "abcd" ZEROS "2"
#define LONE_ID "1234" ZEROS "3"

static inline void make_web(struct dcm_record *r)
{
	static const struct dcm_pair labels[] = {{S("tier"), S("front")}, {S("empty"), S("")}};
	static const struct dcm_network nets[] = {{.name = S("shop_net"), .ip = S("10.0.0.2")}};
	static const struct dcm_str ports[] = {S("80/tcp->0.0.0.0:8080")};
	static const struct dcm_str binds[] = {S("/srv/appdata/web:/www:ro"), S("/etc/x:/x:rw")};

	record_named(r, NULL, WEB_ID, "shop-web-1");
	r->status = S("running");
	r->health_status = S("healthy");
	r->image = S("nginx:1.21");
	r->created = S("2026-01-01T00:00:02Z");
	r->started = S("2026-01-01T00:00:03Z");
	r->cpu_percent = 50.5;
	r->memory_usage = 100 << 20;
	r->labels = (struct dcm_map){labels, 2, true};
	r->networks = (struct dcm_networks){nets, 1, true};
	r->ports = (struct dcm_strs){ports, 1, true};
	r->bind_mounts = (struct dcm_strs){binds, 2, true};
	r->compose_project = S("shop");
	r->compose_service = S("web");
	r->compose_working_dir = S("/srv/shop");
	r->compose_config_files = S("/srv/shop/compose.yml,/srv/over/o.yml");
}

static inline void make_db(struct dcm_record *r)
{
	record_named(r, NULL, DB_ID, "shop-db-1");
	r->status = S("exited");
	r->exit_code = 1;
	r->image = S("postgres:15");
	r->created = S("2026-01-01T00:00:01Z");
	r->started = S("2026-01-01T00:00:01.5Z");
	r->compose_project = S("shop");
	r->compose_service = S("db");
}

static inline void make_lone(struct dcm_record *r)
{
	record_named(r, NULL, LONE_ID, "lone");
	r->status = S("running");
	r->health_status = S("unhealthy");
	r->image = S("busybox");
	r->created = S("2026-01-01T00:00:03Z");
	r->started = S("2026-01-01T00:00:04Z");
	r->cpu_percent = 1;
	r->memory_usage = 200 << 20;
}

static inline int set_up(void **state)
{
	struct dcm_info info;
	char path[128];
	struct dcm_record r;

	(void)state;
	snprintf(instance, sizeof(instance), "unit-%d", (int)getpid());
	snprintf(runtime_dir, sizeof(runtime_dir), "/tmp/dcm-unit-XXXXXX");
	assert_non_null(mkdtemp(runtime_dir));
	snprintf(path, sizeof(path), "%s/%s", runtime_dir, instance);
	assert_int_equal(mkdir(path, 0700), 0);
	directory = region(REGION_DIRECTORY, NULL);
	alpha = region(REGION_SHARD, "alpha");
	beta = region(REGION_SHARD, "beta");
	info = info_made();
	put_info(&info);
	put_dirent("alpha", true, alpha);
	put_dirent("beta", true, beta);
	put_dirent("off", false, NULL);
	put_host_row(alpha, NULL, DCM_ONLINE);
	put_host_row(beta, "connection refused", DCM_OFFLINE);
	region_publish(directory);
	region_beat(directory);
	region_beat(alpha);
	region_beat(beta);
	make_web(&r);
	put(alpha, &r);
	put(beta, &r);
	make_db(&r);
	put(alpha, &r);
	make_lone(&r);
	put(alpha, &r);
	return 0;
}

static inline int tear_down(void **state)
{
	char path[128];

	(void)state;
	region_close(&alpha, true);
	region_close(&beta, true);
	region_close(&directory, true);
	snprintf(path, sizeof(path), "%s/%s", runtime_dir, instance);
	rmdir(path);
	return rmdir(runtime_dir);
}

/* ---- JSON ------------------------------------------------------------- */

static inline json_object *member(json_object *o, const char *key)
{
	json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v))
		fail_msg("no key '%s' in %s", key, json_object_to_json_string(o));
	return v;
}

static inline const char *keys(json_object *o)
{
	static char text[1024];
	size_t n = 0;

	text[0] = '\0';
	json_object_object_foreach(o, key, value) {
		(void)value;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "", key);
	}
	return text;
}

static inline const char *compact(json_object *o)
{
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
						 JSON_C_TO_STRING_NOSLASHESCAPE);
}

#endif
