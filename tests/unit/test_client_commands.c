/*
 * test_client_commands.c - the whole program against memory made by hand: every
 * command that needs no broker, its document, its exit status, its messages.
 */
/* Before cmocka.h, which has a macro by the name of fail(). */
int client_main(int argc, char **argv);
#define main client_main
#include "../../client/main.c"
#undef main

#include "client_help.h"

#include <json-c/json.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "../../shm/names.h"
#include "../../shm/region_write.h"


/* ---- an instance ------------------------------------------------------- */

static char runtime_dir[64], instance[32];
static struct region *directory, *alpha, *beta;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct region *region(enum region_kind kind, const char *host)
{
	const struct region_spec spec = {.kind = kind, .uid = geteuid(), .gid = getegid(),
					 .instance = instance, .host = host};
	char err[256] = "";
	struct region *r;

	if (region_open(&r, &spec, NULL, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	return r;
}

static void put_host_row(struct region *r, const char *error, enum dcm_host_state state)
{
	struct dcm_host h = {.state = state, .engine_version = S("20.10.24"),
			     .api_version = S("1.41"), .transport = S("unix"),
			     .error = str_of(error), .cpus = 2, .memory_total = 4LL << 30,
			     .os = S("Debian"), .kernel = S("6.1"), .clock_offset = 0.001,
			     .containers = 3, .running = 2, .cpu_percent = 51.5,
			     .memory_usage = 150 << 20, .events = 7, .refreshes = 5, .errors = 1,
			     .pid = getpid()};
	struct record_buf status = {0}, stats = {0};

	assert_int_equal(record_encode_host(&h, DCM_STATUS, &status), 0);
	assert_int_equal(record_encode_host(&h, DCM_STATS, &stats), 0);
	const struct region_tier tiers[] = {
		{DCM_STATUS, status.data, (uint32_t)status.len, now() - 1},
		{DCM_STATS, stats.data, (uint32_t)stats.len, now()}};
	assert_int_equal(region_put_self(r, tiers, 2), 0);
	region_publish(r);
	record_buf_free(&status);
	record_buf_free(&stats);
}

static void put_dirent(const char *host, bool enabled, struct region *shard)
{
	static const struct dcm_str tags[] = {S("test")};
	struct dcm_str name = str_of(host);
	struct record_dirent e = {.id = name, .description = S("an engine"), .tags = {tags, 1, true},
				  .enabled = enabled,
				  .generation = shard ? region_generation(shard) : 0, .restarts = 2};
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

static void put_info(void)
{
	struct dcm_info i = {.ttl = {120, 300, 3600, 7200}, .status_update = 60,
			     .memory_retention = 3600, .supervisor_pid = getpid(),
			     .broker_pid = 0, .broker_restarts = 1, .started = now(),
			     .version = DCM_VERSION, .uid = geteuid(), .log_tail_lines = 100};
	struct record_buf b = {0};

	snprintf(i.instance, sizeof(i.instance), "%s", instance);
	snprintf(i.runtime_dir, sizeof(i.runtime_dir), "%s", runtime_dir);
	assert_int_equal(record_encode_info(&i, &b), 0);
	const struct region_tier tier = {DCM_STATUS, b.data, (uint32_t)b.len, now()};
	assert_int_equal(region_put_self(directory, &tier, 1), 0);
	record_buf_free(&b);
}

static void put(struct region *shard, struct dcm_record *r)
{
	struct record_buf b[DCM_TIERS] = {{0}};
	struct region_tier tiers[DCM_TIERS];
	struct region_brief brief = {record_status_code(r->status),
				     record_health_code(r->health_status), r->cpu_percent,
				     r->memory_usage};
	uint8_t id[32];
	size_t t;

	for (t = 0; t < 32; t++) {
		unsigned v;

		sscanf(r->id + 2 * t, "%2x", &v);
		id[t] = (uint8_t)v;
	}
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
static const char *const web_id = "abcd000000000000000000000000000000000000000000000000000000000001",
		  *const db_id = "abcd000000000000000000000000000000000000000000000000000000000002",
		  *const lone_id = "1234000000000000000000000000000000000000000000000000000000000003";

static void make_web(struct dcm_record *r)
{
	static const struct dcm_pair labels[] = {{S("tier"), S("front")}, {S("empty"), S("")}};
	static const struct dcm_network nets[] = {{.name = S("shop_net"), .ip = S("10.0.0.2")}};
	static const struct dcm_str ports[] = {S("80/tcp->0.0.0.0:8080")};
	static const struct dcm_str binds[] = {S("/srv/appdata/web:/www:ro"), S("/etc/x:/x:rw")};

	record_named(r, NULL, web_id, "shop-web-1");
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

static void make_db(struct dcm_record *r)
{
	record_named(r, NULL, db_id, "shop-db-1");
	r->status = S("exited");
	r->exit_code = 1;
	r->image = S("postgres:15");
	r->created = S("2026-01-01T00:00:01Z");
	r->started = S("2026-01-01T00:00:01.5Z");
	r->compose_project = S("shop");
	r->compose_service = S("db");
}

static void make_lone(struct dcm_record *r)
{
	record_named(r, NULL, lone_id, "lone");
	r->status = S("running");
	r->health_status = S("unhealthy");
	r->image = S("busybox");
	r->created = S("2026-01-01T00:00:03Z");
	r->started = S("2026-01-01T00:00:04Z");
	r->cpu_percent = 1;
	r->memory_usage = 200 << 20;
}

static int set_up(void **state)
{
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
	put_info();
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

static int tear_down(void **state)
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

/* ---- running the program ----------------------------------------------- */

static struct capture out, err;

/* Words separated by single spaces; the exit status. */
static int dcm_client(const char *line)
{
	static char copy[512];
	char *argv[40] = {(char *)"dcm-client", (char *)"--runtime-dir", runtime_dir,
			  (char *)"--instance", instance}, *save;
	int argc = 5, status;

	snprintf(copy, sizeof(copy), "%s", line);
	for (argv[argc] = strtok_r(copy, " ", &save); argv[argc];
	     argv[argc] = strtok_r(NULL, " ", &save))
		argc++;
	/* Nobody beats here: without this the handle looks for successors. */
	region_beat(directory);
	region_beat(alpha);
	region_beat(beta);
	capture(&out, STDOUT_FILENO);
	capture(&err, STDERR_FILENO);
	status = client_main(argc, argv);
	captured(&err);
	captured(&out);
	return status;
}

static json_object *doc;

static json_object *json(const char *line)
{
	char with[512];

	json_object_put(doc);
	snprintf(with, sizeof(with), "--json %s", line);
	assert_int_equal(dcm_client(with), EXIT_OK);
	assert_string_equal(err.text, "");
	doc = json_tokener_parse(out.text);
	if (!doc)
		fail_msg("%s: not JSON: %s", line, out.text);
	return doc;
}

static json_object *member(json_object *o, const char *key)
{
	json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v))
		fail_msg("no key '%s' in %s", key, json_object_to_json_string(o));
	return v;
}

/* "alpha/shop-db-1 alpha/shop-web-1 …" of an array of records. */
static const char *names(json_object *records)
{
	static char text[1024];
	size_t i, n = 0;

	text[0] = '\0';
	for (i = 0; i < json_object_array_length(records); i++) {
		json_object *r = json_object_array_get_idx(records, i);

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s/%s", i ? " " : "",
				      json_object_get_string(member(r, "host_id")),
				      json_object_get_string(member(r, "name")));
	}
	return text;
}

static const char *keys(json_object *o)
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

/* A list command answers with these. */
static void lists(const char *line, const char *expected)
{
	const char *got = names(json(line));

	if (strcmp(got, expected) != 0)
		fail_msg("%s: %s, not %s", line, got, expected);
}

/* A command fails with this status, and one line that says this. */
static void fails(const char *line, int status, const char *says)
{
	int got = dcm_client(line);

	if (got != status || !strstr(err.text, says) || strcmp(out.text, "") != 0 ||
	    strcspn(err.text, "\n") != strlen(err.text) - 1 ||
	    strncmp(err.text, "dcm-client: ", 12) != 0)
		fail_msg("%s: exit %d, '%s', '%s'", line, got, err.text, out.text);
}

#define ALPHA "alpha/lone alpha/shop-db-1 alpha/shop-web-1"

/* ---- tests ------------------------------------------------------------- */

static void hosts(void **state)
{
	json_object *rows = json("hosts"), *row = json_object_array_get_idx(rows, 0);

	(void)state;
	assert_int_equal(json_object_array_length(rows), 3);
	assert_string_equal(keys(row), "id state containers running age engine_version api_version "
				       "transport error description tags cpus memory_total os kernel "
				       "cpu_percent memory_usage");
	assert_string_equal(json_object_get_string(member(row, "state")), "online");
	assert_null(member(row, "error"));
	assert_true(json_object_get_double(member(row, "age")) >= 1);
	row = json_object_array_get_idx(rows, 1);
	assert_string_equal(json_object_get_string(member(row, "state")), "offline");
	assert_string_equal(json_object_get_string(member(row, "error")), "connection refused");
	row = json_object_array_get_idx(rows, 2);
	assert_string_equal(json_object_get_string(member(row, "state")), "disabled");
	assert_null(member(row, "age"));
	assert_int_equal(dcm_client("hosts"), EXIT_OK);
	assert_non_null(strstr(out.text, "connection refused"));
}

static void ps(void **state)
{
	(void)state;
	lists("ps", ALPHA " beta/shop-web-1");
	lists("ps alpha", ALPHA);
	lists("ps off", "");
	lists("ps --filter host=beta", "beta/shop-web-1");
	lists("ps --filter host=nowhere", "");
	lists("ps --filter status=exited", "alpha/shop-db-1");
	lists("ps --filter status=exited --filter status=running", ALPHA " beta/shop-web-1");
	lists("ps --filter project=shop --filter service=db", "alpha/shop-db-1");
	lists("ps --filter health=none", "alpha/shop-db-1");
	lists("ps alpha --filter network=shop_net", "alpha/shop-web-1");
	lists("ps --filter name=^shop --filter exited=1", "alpha/shop-db-1");
	fails("ps nowhere", EXIT_NOTFOUND, "'nowhere': the hosts are alpha, beta, off");
	fails("ps --filter colour=red", EXIT_USAGE, "no filter 'colour'");
	fails("ps a b", EXIT_USAGE, "ps takes fewer arguments");
	fails("ps --all", EXIT_USAGE, "ps takes no --all");
}

static void filters_that_refer(void **state)
{
	(void)state;
	lists("ps alpha --filter since=shop-web-1", "alpha/lone");
	lists("ps alpha --filter before=shop-web-1", "alpha/shop-db-1");
	lists("ps alpha --filter before=abcd000000000000000000000000000000000000000000000000000000000001",
	      "alpha/shop-db-1");
	lists("ps alpha --filter before=lone --filter since=shop-db-1", "alpha/shop-web-1");
	/* Only alpha has it: times compare across hosts. */
	lists("ps --filter before=lone", "alpha/shop-db-1 alpha/shop-web-1 beta/shop-web-1");
	/* Both have it: each host by its own. */
	lists("ps --filter since=shop-web-1", "alpha/lone");
	fails("ps --filter before=nobody", EXIT_NOTFOUND, "no container 'nobody'");
	fails("ps alpha --filter before=abcd", EXIT_NOTFOUND, "abcd00000000");
	lists("ps --filter id=1234", "alpha/lone");
	lists("ps --filter id=abcd", "beta/shop-web-1"); /* two on alpha: none there, as docker */
	lists("ps --filter id=9", "");
	lists("ps alpha --filter ancestor=busybox:latest", "alpha/lone");
	lists("ps alpha --filter ancestor=nginx", "");
}

static void ps_quiet_and_formats(void **state)
{
	(void)state;
	assert_int_equal(dcm_client("ps -q beta"), EXIT_OK);
	assert_string_equal(out.text, "abcd00000000\n");
	assert_int_equal(dcm_client("ps -q beta --json"), EXIT_OK);
	assert_non_null(strstr(out.text, web_id));
	assert_int_equal(dcm_client("ps alpha --format {host_id}/{name}={exit_code}"), EXIT_OK);
	assert_string_equal(out.text, "alpha/lone=\nalpha/shop-db-1=1\nalpha/shop-web-1=\n");
	assert_int_equal(dcm_client("ps alpha --format table"), EXIT_OK);
	assert_non_null(strstr(out.text, "CONTAINER ID"));
	assert_null(strchr(out.text, '\033'));
	assert_int_equal(dcm_client("hosts --format {id}:{state}"), EXIT_OK);
	assert_string_equal(out.text, "alpha:online\nbeta:offline\noff:disabled\n");
	fails("ps --format {nope}", EXIT_USAGE, "no field 'nope'");
	fails("ps --format {name} --json", EXIT_USAGE, "exclude each other");
	fails("hosts --format {name}", EXIT_USAGE, "no field 'name'");
}

static void get(void **state)
{
	json_object *r;

	(void)state;
	r = json("get alpha shop-web-1");
	assert_string_equal(json_object_get_string(member(r, "container_id")), web_id);
	assert_string_equal(json_object_get_string(member(r, "host_id")), "alpha");
	assert_int_equal(json_object_object_length(r), DCM_FIELD_COUNT + 3);
	assert_false(json_object_get_boolean(member(member(member(r, "freshness"), "stats"), "stale")));
	json("get alpha /shop-web-1");
	json("get alpha 1234");
	json("get alpha abcd000000000000000000000000000000000000000000000000000000000002");
	fails("get alpha abcd", EXIT_NOTFOUND, "shop-web-1");
	fails("get alpha abcd", EXIT_NOTFOUND, "shop-db-1");
	fails("get alpha 123", EXIT_NOTFOUND, "123");
	fails("get alpha nobody", EXIT_NOTFOUND, "nobody");
	fails("get nowhere lone", EXIT_NOTFOUND, "nowhere");
	fails("get alpha", EXIT_USAGE, "get takes more arguments");
	assert_int_equal(dcm_client("get alpha lone"), EXIT_OK);
	assert_non_null(strstr(out.text, "memory_usage              200MiB\n"));
	assert_non_null(strstr(out.text, "exit_code                 -\n"));
}

static void queries(void **state)
{
	(void)state;
	lists("stack shop", "alpha/shop-db-1 alpha/shop-web-1 beta/shop-web-1");
	lists("stack none", "");
	lists("label tier", "alpha/shop-web-1 beta/shop-web-1");
	lists("label tier=front", "alpha/shop-web-1 beta/shop-web-1");
	lists("label tier=back", "");
	lists("label empty=", "alpha/shop-web-1 beta/shop-web-1");
	lists("label tier=", "");
	lists("search NGINX", "alpha/shop-web-1 beta/shop-web-1");
	lists("search 1234", "alpha/lone");
	lists("search nothing", "");
	lists("mounts /srv", "alpha/shop-web-1 beta/shop-web-1");
	lists("mounts /www", "alpha/shop-web-1 beta/shop-web-1");
	lists("mounts /sr", "");
	lists("network shop_net", "alpha/shop-web-1 beta/shop-web-1");
	lists("status exited", "alpha/shop-db-1");
	lists("status dead", "");
	fails("status up", EXIT_USAGE, "no status 'up'");
	fails("label =x", EXIT_USAGE, "no key");
}

static void top(void **state)
{
	json_object *d = json("top");

	(void)state;
	assert_string_equal(keys(d), "top_cpu top_memory");
	assert_string_equal(names(member(d, "top_cpu")),
			    "alpha/shop-web-1 beta/shop-web-1 alpha/lone");
	assert_string_equal(names(member(d, "top_memory")),
			    "alpha/lone alpha/shop-web-1 beta/shop-web-1");
	d = json("top -n 1");
	assert_string_equal(names(member(d, "top_memory")), "alpha/lone");
	fails("top -n 0", EXIT_USAGE, "-n takes no '0'");
	fails("ps -n 1", EXIT_USAGE, "ps takes no -n");
}

static void health(void **state)
{
	json_object *d = json("health");

	(void)state;
	assert_string_equal(keys(d), "healthy unhealthy starting no_health_check");
	assert_string_equal(names(member(d, "healthy")), "alpha/shop-web-1 beta/shop-web-1");
	assert_string_equal(names(member(d, "unhealthy")), "alpha/lone");
	assert_string_equal(names(member(d, "starting")), "");
	assert_string_equal(names(member(d, "no_health_check")), "alpha/shop-db-1");
}

static const char *compact(json_object *o)
{
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static void discover(void **state)
{
	json_object *d = json("discover");

	(void)state;
	assert_string_equal(keys(d), "alpha beta");
	d = json("discover alpha");
	assert_string_equal(compact(d), "{\"alpha\":{\"compose_projects\":[\"shop\"],"
			    "\"compose_paths\":[\"/srv/over\",\"/srv/shop\"],"
			    "\"appdata_paths\":[\"/srv/appdata/web\"],\"total_containers\":3}}");
	fails("discover nowhere", EXIT_NOTFOUND, "nowhere");
	assert_int_equal(dcm_client("discover --format {host}={total_containers}"), EXIT_OK);
	assert_string_equal(out.text, "alpha=3\nbeta=1\n");
}

static void stats(void **state)
{
	json_object *d = json("stats");

	(void)state;
	assert_string_equal(keys(d), "hosts_cached total_containers cache_ages update_interval "
				     "cache_ttl memory_held memory_used events refreshes errors "
				     "restarts");
	assert_int_equal(json_object_get_int(member(d, "hosts_cached")), 2);
	assert_int_equal(json_object_get_int(member(d, "update_interval")), 60);
	assert_int_equal(json_object_get_int(member(d, "cache_ttl")), 300);
	assert_int_equal(json_object_get_int(member(d, "events")), 14);
	assert_int_equal(json_object_get_int(member(d, "restarts")), 7);
	assert_true(json_object_get_int64(member(d, "memory_held")) >=
		    json_object_get_int64(member(d, "memory_used")));
	assert_string_equal(keys(member(d, "cache_ages")), "alpha beta");
}

static void asking_without_a_broker(void **state)
{
	(void)state;
	/* From the cache, with a warning; on demand that it is fresh, exit 4. */
	assert_int_equal(dcm_client("ps beta --refresh -q"), EXIT_OK);
	assert_string_equal(out.text, "abcd00000000\n");
	assert_non_null(strstr(err.text, "could be read anew"));
	assert_int_equal(dcm_client("get beta shop-web-1 --refresh --format {name}"), EXIT_OK);
	assert_string_equal(out.text, "shop-web-1\n");
	fails("get nowhere x --refresh", EXIT_NOTFOUND, "nowhere");
	assert_int_equal(dcm_client("stack shop --refresh --strict"), EXIT_PARTIAL);
	assert_string_equal(out.text, "");
	assert_int_equal(dcm_client("refresh alpha"), EXIT_PARTIAL);
	assert_int_equal(dcm_client("logs alpha lone"), EXIT_PARTIAL);
	fails("refresh nowhere", EXIT_NOTFOUND, "nowhere");
	fails("refresh", EXIT_USAGE, "hosts or --all");
	fails("refresh --all alpha", EXIT_USAGE, "hosts or --all");
	fails("forget nowhere", EXIT_NOTFOUND, "nowhere");
	fails("logs alpha nobody", EXIT_NOTFOUND, "nobody");
}

static void doctor(void **state)
{
	(void)state;
	/* No broker, and beta is offline: both are told, with a mend. */
	assert_int_equal(dcm_client("doctor"), EXIT_OTHER);
	assert_non_null(strstr(out.text, "FAIL  broker:"));
	assert_non_null(strstr(out.text, "FAIL  host beta:"));
	assert_non_null(strstr(out.text, "connection refused"));
	assert_non_null(strstr(out.text, "ok    host alpha:"));
	assert_int_equal(dcm_client("doctor --json"), EXIT_OTHER);
	json_object_put(doc);
	doc = json_tokener_parse(out.text);
	assert_true(json_object_array_length(doc) >= 6);
	assert_int_equal(dcm_client("--instance nobody-runs-this doctor"), EXIT_NOTRUNNING);
	assert_non_null(strstr(out.text, "FAIL  instance:"));
}

static void usage(void **state)
{
	(void)state;
	fails("", EXIT_USAGE, "no command");
	fails("no-such-command", EXIT_USAGE, "no command 'no-such-command'");
	fails("--instance nobody-runs-this hosts", EXIT_NOTRUNNING, "nobody-runs-this");
	fails("--runtime-dir /nonexistent hosts", EXIT_NOTRUNNING, "not running");
	fails("--instance ../x hosts", EXIT_USAGE, "../x");
	assert_int_equal(dcm_client("--help"), EXIT_OK);
	assert_non_null(strstr(out.text, "Usage: dcm-client"));
	assert_int_equal(dcm_client("get --help"), EXIT_OK);
	assert_non_null(strstr(out.text, "get HOST CONTAINER"));
	assert_int_equal(dcm_client("--version"), EXIT_OK);
	assert_string_equal(out.text, "dcm-client " DCM_VERSION "\n");
}

/* ---- watch, in a child of its own -------------------------------------- */

static int line_from(FILE *f, json_object **o)
{
	static char *line;
	static size_t room;

	json_object_put(*o);
	*o = NULL;
	if (getline(&line, &room, f) <= 0)
		return 0;
	*o = json_tokener_parse(line);
	assert_non_null(*o);
	return 1;
}

static pid_t watch(FILE **lines, const char *filter)
{
	char *argv[] = {(char *)"dcm-client", (char *)"--runtime-dir", runtime_dir,
			(char *)"--instance", instance, (char *)"--json", (char *)"watch",
			(char *)"--filter", (char *)filter, NULL};
	int fd[2];
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		dup2(fd[1], STDOUT_FILENO);
		close(fd[0]);
		close(fd[1]);
		_exit(client_main(filter ? 9 : 7, argv));
	}
	close(fd[1]);
	*lines = fdopen(fd[0], "r");
	return pid;
}

/* Changes go on until the child has seen the first: then it follows. */
static void until_it_follows(FILE *lines, json_object **line, struct dcm_record *r)
{
	struct timespec nap = {0, 20000000};
	int fd = fileno(lines), n = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	do {
		r->restart_count = ++n;
		put(alpha, r);
		region_beat(alpha);
		region_beat(directory);
		nanosleep(&nap, NULL);
		clearerr(lines);
	} while (!line_from(lines, line));
	/* And those that were under way. */
	for (n = 0; n < 20; n++) {
		json_object *more = NULL;

		nanosleep(&nap, NULL);
		clearerr(lines);
		if (line_from(lines, &more))
			n = 0;
		json_object_put(more);
	}
	clearerr(lines);
	fcntl(fd, F_SETFL, 0);
}

static void event_is(json_object *line, const char *event, const char *name, const char *changed)
{
	assert_string_equal(json_object_get_string(member(line, "event")), event);
	assert_string_equal(json_object_get_string(member(line, "name")), name);
	assert_string_equal(compact(member(line, "changed")), changed);
}

static void watch_tells_what_changed(void **state)
{
	json_object *line = NULL;
	struct dcm_record r;
	FILE *lines;
	uint8_t id[32];
	pid_t pid = watch(&lines, NULL);
	int status;
	size_t i;

	(void)state;
	make_lone(&r);
	until_it_follows(lines, &line, &r);
	event_is(line, "updated", "lone", "[\"restart_count\"]");
	assert_string_equal(keys(line), "event host_id container_id name changed record");
	r.status = S("exited");
	r.exit_code = 3;
	r.last_updated = now(); /* which is no change */
	put(alpha, &r);
	assert_true(line_from(lines, &line));
	event_is(line, "updated", "lone", "[\"status\",\"exit_code\"]");
	assert_int_equal(json_object_get_int(member(member(line, "record"), "exit_code")), 3);
	r.last_updated = now();
	put(alpha, &r); /* not shown */
	r.name = S("renamed");
	put(alpha, &r);
	assert_true(line_from(lines, &line));
	event_is(line, "updated", "renamed", "[\"name\"]");
	for (i = 0; i < 32; i++) {
		unsigned v;

		sscanf(lone_id + 2 * i, "%2x", &v);
		id[i] = (uint8_t)v;
	}
	assert_int_equal(region_remove(alpha, id), 0);
	region_publish(alpha);
	assert_true(line_from(lines, &line));
	event_is(line, "removed", "renamed", "[]");
	assert_string_equal(json_object_get_string(member(line, "container_id")), lone_id);
	assert_null(member(line, "record"));
	make_lone(&r);
	put(alpha, &r);
	assert_true(line_from(lines, &line));
	event_is(line, "appeared", "lone", "[]");
	put_host_row(alpha, "no route to host", DCM_DEGRADED);
	assert_true(line_from(lines, &line));
	assert_string_equal(json_object_get_string(member(line, "event")), "host");
	assert_string_equal(json_object_get_string(member(line, "host_id")), "alpha");
	assert_null(member(line, "container_id"));
	assert_string_equal(compact(member(line, "changed")), "[\"state\",\"error\"]");
	put_host_row(alpha, NULL, DCM_ONLINE);
	assert_true(line_from(lines, &line));
	kill(pid, SIGINT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK);
	json_object_put(line);
	fclose(lines);
}

static void watch_with_a_filter(void **state)
{
	json_object *line = NULL;
	struct dcm_record r, other;
	FILE *lines;
	pid_t pid = watch(&lines, "status=running");
	int status;

	(void)state;
	make_lone(&r);
	make_db(&other);
	until_it_follows(lines, &line, &r);
	put_host_row(alpha, "an error", DCM_DEGRADED); /* of no container: not shown */
	put_host_row(alpha, NULL, DCM_ONLINE);
	other.exit_code = 77; /* does not match: not shown */
	put(alpha, &other);
	r.status = S("paused");
	put(alpha, &r);
	assert_true(line_from(lines, &line));
	event_is(line, "removed", "lone", "[]");
	r.status = S("running");
	put(alpha, &r);
	assert_true(line_from(lines, &line));
	event_is(line, "appeared", "lone", "[]");
	make_db(&other);
	put(alpha, &other);
	/* Nobody reads any more: it ends by itself, and well. */
	json_object_put(line);
	fclose(lines);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts),
		cmocka_unit_test(ps),
		cmocka_unit_test(filters_that_refer),
		cmocka_unit_test(ps_quiet_and_formats),
		cmocka_unit_test(get),
		cmocka_unit_test(queries),
		cmocka_unit_test(top),
		cmocka_unit_test(health),
		cmocka_unit_test(discover),
		cmocka_unit_test(stats),
		cmocka_unit_test(asking_without_a_broker),
		cmocka_unit_test(doctor),
		cmocka_unit_test(usage),
		cmocka_unit_test(watch_tells_what_changed),
		cmocka_unit_test(watch_with_a_filter),
	};
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);

	json_object_put(doc);
	return failed;
}
