/*
 * collector_help.h - a collector process in front of a fake engine whose fleet
 * the test holds in its hands, and what the collector's region shows.
 */
#ifndef DCM_COLLECTOR_HELP_H
#define DCM_COLLECTOR_HELP_H

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "../../collector/collector.h"
#include "../../shm/control.h"
#include "../../shm/log.h"
#include "../../shm/names.h"
#include "../../shm/record.h"
#include "../../shm/region_read.h"
#include "fake_engine.h"

enum { FLEET = 16 };
#define SECRET "hunter2-hunter2"

struct member {
	bool present;
	const char *name, *status, *project;
	const char *files;	  /* compose's config_files */
	const char *started;
	unsigned long cpu;	  /* total_usage of the next sample */
	enum { WELL, HANGS, FAILS, MISSING, HELD } inspect;
	struct fake_conn *held;	  /* the inspect that waits */
	int bad_stats;		  /* so many requests for stats fail */
	bool unlisted;		  /* its item in the list cannot be read */
};
static struct member fleet[FLEET];
static struct fake sim;
static struct fake_conn *events, *held_list, *asked_images, *held_stats[FLEET];
static bool hold_lists, hold_events, hold_stats;
static struct {
	int pings, lists, inspects, stats, subscriptions, images;
	unsigned tail; /* lines of a log, the last time */
	char since[64];
} asked;

static char host_id[] = "sim";
static struct host_config host = {.id = host_id, .enabled = true, .stats = true};
static struct cache_config cache;
static pid_t collector;
static int control = -1, bell = -1;
static struct control_msg done[16];
static int n_done, ready, cycles, failed_cycles;
static uint32_t generation;
static struct region_map map;
static char instance[32], state_dir[64];

/* ---- the engine ------------------------------------------------------------------- */

static inline const char *id_of(size_t i)
{
	static char id[65];

	memset(id, '0' + (int)(i % 10), 64);
	id[0] = 'a';
	id[1] = (char)('a' + i / 10);
	return id;
}

static inline void inspect_reply(struct fake_conn *k, size_t i)
{
	struct member *m = &fleet[i];
	bool runs = !strcmp(m->status, "running") || !strcmp(m->status, "paused");
	char body[4096], labels[512] = "";

	if (m->project)
		snprintf(labels, sizeof(labels), "\"com.docker.compose.project\":\"%s\"",
			 m->project);
	if (m->files)
		snprintf(labels + strlen(labels), sizeof(labels) - strlen(labels),
			 ",\"com.docker.compose.project.config_files\":\"%s\"", m->files);
	snprintf(body, sizeof(body),
		 "{\"Id\":\"%s\",\"Name\":\"/%s\",\"Created\":\"2026-01-01T00:00:00Z\","
		 "\"Image\":\"sha256:1\","
		 "\"State\":{\"Status\":\"%s\",\"Running\":%s,\"ExitCode\":0,\"Pid\":7,"
		 "\"StartedAt\":\"%s\"},"
		 "\"Config\":{\"Image\":\"img\",\"Env\":[\"DB_PASSWORD=" SECRET "\",\"A=b\"],"
		 "\"Cmd\":[\"run\",\"--with=" SECRET "\"],\"Labels\":{%s}},"
		 "\"HostConfig\":{},\"NetworkSettings\":{\"Networks\":{}}}",
		 id_of(i), m->name, m->status, runs ? "true" : "false",
		 m->started ? m->started : "2026-01-01T00:00:01Z", labels);
	fake_json(k, 200, body);
}

static inline void list_reply(struct fake_conn *k)
{
	static char body[FLEET * 512];
	size_t n = 1;

	body[0] = '[';
	for (size_t i = 0; i < FLEET; i++)
		if (fleet[i].present)
			n += (size_t)snprintf(
				body + n, sizeof(body) - n,
				"%s{\"Id\":\"%s\",\"Names\":[\"/%s\"],\"Image\":\"img\","
				"\"ImageID\":\"sha256:1\","
				"\"Command\":\"run\",\"Created\":1767225600,\"State\":\"%s\","
				"\"Status\":\"Up\","
				"\"Labels\":{},\"Ports\":[],\"Mounts\":[]}",
				n > 1 ? "," : "", fleet[i].unlisted ? "?" : id_of(i), fleet[i].name,
				fleet[i].status);
	snprintf(body + n, sizeof(body) - n, "]");
	fake_json(k, 200, body);
}

static inline void stats_reply(struct fake_conn *k, size_t i)
{
	static unsigned long system = 1000000000;
	char body[1024];

	system += 2000000000; /* 2 CPUs, a second */
	snprintf(body, sizeof(body),
		 "{\"read\":\"2026-01-01T00:%02lu:%02lu.5Z\","
		 "\"cpu_stats\":{\"cpu_usage\":{\"total_usage\":%lu},"
		 "\"system_cpu_usage\":%lu,\"online_cpus\":2},\"precpu_stats\":{},"
		 "\"memory_stats\":{"
		 "\"usage\":5000,\"limit\":10000,\"stats\":{\"inactive_file\":1000}},"
		 "\"pids_stats\":{\"current\":3}}",
		 system / 2000000000 / 60 % 60, system / 2000000000 % 60, fleet[i].cpu, system);
	fleet[i].cpu += 500000000; /* half a core */
	fake_json(k, 200, body);
}

static inline void stats_release(void)
{
	for (size_t i = 0; i < FLEET; i++) {
		if (held_stats[i])
			stats_reply(held_stats[i], i);
		held_stats[i] = NULL;
	}
}

static inline void logs_reply(struct fake_conn *k)
{
	static const char text[] = "hello\nuse " SECRET " now\n";
	char body[8 + sizeof(text)] = {1, 0, 0, 0, 0, 0, 0, sizeof(text) - 1};

	memcpy(body + 8, text, sizeof(text) - 1);
	fake_reply(k, 200, "", body, 8 + sizeof(text) - 1);
}

static inline void container_request(struct fake_conn *k, const char *rest)
{
	size_t i;

	for (i = 0; i < FLEET; i++)
		if (!strncmp(rest, id_of(i), 64))
			break;
	if (i == FLEET || !fleet[i].present || (fleet[i].inspect == MISSING && rest[65] == 'j')) {
		asked.inspects++;
		fake_json(k, 404, "{\"message\":\"No such container\"}");
	} else if (!strncmp(rest + 64, "/stats", 6)) {
		asked.stats++;
		if (hold_stats)
			held_stats[i] = k;
		else if (fleet[i].bad_stats && fleet[i].bad_stats--)
			fake_json(k, 500, "{\"message\":\"no stats\"}");
		else
			stats_reply(k, i);
	} else if (!strncmp(rest + 64, "/logs", 5)) {
		asked.tail = (unsigned)strtoul(strstr(rest, "tail=") + 5, NULL, 10);
		logs_reply(k);
	} else {
		asked.inspects++;
		if (fleet[i].inspect == FAILS)
			fake_json(k, 500, "{\"message\":\"broken\"}");
		else if (fleet[i].inspect == HELD)
			fleet[i].held = k;
		else if (fleet[i].inspect == WELL)
			inspect_reply(k, i);
	}
}

static inline void handle(struct fake *f, struct fake_conn *k, const char *target)
{
	const char *rest = target[1] == 'v' ? strchr(target + 1, '/') : target;

	(void)f;
	if (!strcmp(target, "/_ping")) {
		asked.pings++;
		fake_reply(k, 200, "Api-Version: 1.41\r\n", "OK", 2);
	} else if (!strcmp(target, "/version")) {
		fake_json(k, 200, "{\"Version\":\"9.9\",\"ApiVersion\":\"1.41\","
				  "\"MinAPIVersion\":\"1.12\"}");
	} else if (!strcmp(rest, "/info")) {
		fake_json(k, 200, "{\"NCPU\":2,\"MemTotal\":4096,\"OperatingSystem\":\"Sim\"}");
	} else if (!strncmp(rest, "/events", 7)) {
		asked.subscriptions++;
		sscanf(strstr(rest, "since="), "since=%63[0-9.]", asked.since);
		events = k;
		if (!hold_events)
			fake_raw(k, "HTTP/1.1 200 OK\r\n\r\n", 19);
	} else if (!strncmp(rest, "/images/json", 12)) {
		asked.images++;
		asked_images = k; /* the test answers, or nobody */
	} else if (!strcmp(rest, "/networks")) {
		fake_json(k, 200, "[]");
	} else if (!strncmp(rest, "/containers/json", 16)) {
		asked.lists++;
		if (hold_lists)
			held_list = k;
		else
			list_reply(k);
	} else if (!strncmp(rest, "/containers/", 12)) {
		container_request(k, rest + 12);
	}
}

static inline void event(const char *action, size_t i)
{
	static long long nano = 1767225600000000000;
	char line[512];
	int n = snprintf(line, sizeof(line),
			 "{\"Type\":\"container\",\"Action\":\"%s\",\"Actor\":{\"ID\":\"%s\","
			 "\"Attributes\":{}},"
			 "\"timeNano\":%lld}\n",
			 action, id_of(i), ++nano);

	fake_raw(events, line, (size_t)n);
}

/* ---- the collector ------------------------------------------------------------------- */

static inline void hear(void)
{
	struct control_msg m;
	char object[DCM_OBJECT_NAME_MAX], err[256];

	while (control >= 0 && control_recv(control, &m) == 1) {
		ready += m.kind == CONTROL_READY;
		cycles += m.kind == CONTROL_CYCLE && m.rc == 0;
		failed_cycles += m.kind == CONTROL_CYCLE && m.rc != 0;
		if (m.kind == CONTROL_DONE && n_done < 16)
			done[n_done++] = m;
		if (m.kind != CONTROL_SHARD)
			continue;
		generation = m.generation;
		if (map.base)
			region_map_close(&map);
		names_shard(object, getuid(), instance, host.id, generation);
		assert_int_equal(region_map_open(&map, object, getuid(), err, sizeof(err)), DCM_OK);
	}
}

/* Lets both run until `cond`; a test that never gets there fails after 20 s. */
#define UNTIL(cond)                                        \
	do {                                               \
		time_t end_ = time(NULL) + 20;             \
		while (!(cond)) {                          \
			if (time(NULL) > end_)             \
				fail_msg("never: " #cond); \
			fake_step(&sim, 5);                \
			hear();                            \
		}                                          \
	} while (0)

static inline void run_for(int ms)
{
	for (; ms > 0; ms -= 5) {
		fake_step(&sim, 5);
		hear();
	}
}

static inline void start(void)
{
	int sv[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv), 0);
	collector = fork();
	if (collector == 0) {
		struct child_env env = {.instance = instance, .runtime_dir = "/tmp",
					.state_dir = state_dir, .uid = getuid(), .gid = getgid(),
					.control = sv[1], .bell = bell, .listener = -1};

		close(sv[0]);
		fake_down(&sim); /* this process's copies */
		if (!getenv("DCM_TEST_VERBOSE"))
			log_init(LOG_LEVEL_ERROR, false);
		exit(collector_run(&env, &host, &cache)); /* leaks are looked for, too */
	}
	close(sv[1]);
	control = sv[0];
	ready = 0;
	UNTIL(ready);
}

static inline int stop(void)
{
	int status = -1;

	close(control);
	control = -1;
	waitpid(collector, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline uint64_t ask(enum control_what what, size_t i, uint32_t lines)
{
	static uint64_t token = 100;
	struct control_msg m = {
		.kind = CONTROL_ASK, .token = ++token, .what = what, .lines = lines};

	snprintf(m.host, sizeof(m.host), "%s", host.id);
	if (what == CONTROL_LOGS)
		snprintf(m.container, sizeof(m.container), "%s", id_of(i));
	assert_int_equal(control_send(control, &m), 0);
	return token;
}

static inline const struct control_msg *answer_to(uint64_t token)
{
	for (int i = 0; i < n_done; i++)
		if (done[i].token == token)
			return &done[i];
	return NULL;
}

/* ---- what the region shows ------------------------------------------------------------- */

static struct dcm_record rec;

static inline bool entry_named(const char *name, uint32_t *entry, uint32_t *gen)
{
	return map.base && region_find_name(&map, name, strlen(name), entry, gen) == DCM_OK;
}

/* Decodes a container into `rec`; false where it is not there. */
static inline bool shown(const char *name)
{
	static uint8_t data[DCM_TIERS][65536], room[1 << 20];
	uint8_t *at = room;
	size_t left = sizeof(room);
	uint32_t e, g, len;
	uint64_t written;

	record_out_init(&rec);
	if (!entry_named(name, &e, &g))
		return false;
	for (int t = 0; t < DCM_TIERS; t++)
		if (!region_blob_copy(&map, &region_entry(&map, e)->ref[t], e, g, (uint32_t)t,
				      data[t], sizeof(data[t]) - RECORD_BEHIND, &len, &written))
			record_decode_tier(data[t], len, (enum dcm_tier)t, &rec, &at, &left);
	return true;
}

static inline bool status_is(const char *name, const char *status)
{
	return shown(name) && rec.status.s && !strcmp(rec.status.s, status);
}

static inline double verified(const char *name, enum dcm_tier t)
{
	uint32_t e, g;

	return entry_named(name, &e, &g) ? region_verified(&map, region_entry(&map, e), t) : NAN;
}

static struct dcm_host row;
static char row_error[256];

static inline enum dcm_host_state state_now(void)
{
	static uint8_t a[4096], b[4096];
	const struct dcm_entry *e = map.base ? region_entry(&map, DCM_SELF) : NULL;
	uint32_t len;
	uint64_t w;

	if (!e || region_blob_copy(&map, &e->ref[DCM_STATUS], DCM_SELF, e->generation, DCM_STATUS,
				   a, sizeof(a), &len, &w) ||
	    !record_decode_host(a, len, DCM_STATUS, &row, RECORD_NO_ROOM))
		return DCM_DISABLED;
	snprintf(row_error, sizeof(row_error), "%.*s", (int)row.error.len,
		 row.error.s ? row.error.s : "");
	if (!region_blob_copy(&map, &e->ref[DCM_STATS], DCM_SELF, e->generation, DCM_STATS, b,
			      sizeof(b), &len, &w))
		record_decode_host(b, len, DCM_STATS, &row, RECORD_NO_ROOM);
	return row.state;
}

/* Does the text stand anywhere in the region's memory? */
static inline bool anywhere(const char *text)
{
	return memmem(map.base, map.h->data_limit, text, strlen(text)) != NULL;
}

/* ---- files ------------------------------------------------------------------------------- */

static inline void remove_state(void)
{
	DIR *d = opendir(state_dir);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (unlinkat(dirfd(d), e->d_name, 0))
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	if (d)
		closedir(d);
	rmdir(state_dir);
}

/* ---- each test ---------------------------------------------------------------------------- */

static inline int each_setup(void **state)
{
	static char word[] = "PASSWORD", *words[] = {word};
	static char path[64];
	static int n;

	(void)state;
	memset(fleet, 0, sizeof(fleet));
	memset(&asked, 0, sizeof(asked));
	n_done = ready = cycles = failed_cycles = 0;
	events = held_list = asked_images = NULL;
	memset(held_stats, 0, sizeof(held_stats));
	hold_lists = hold_events = hold_stats = false;
	snprintf(instance, sizeof(instance), "unit-%d-%d", (int)getpid(), ++n);
	snprintf(path, sizeof(path), "/tmp/dcm-test-%s.sock", instance);
	snprintf(state_dir, sizeof(state_dir), "/tmp/dcm-test-%s.state", instance);
	assert_int_equal(mkdir(state_dir, 0700), 0);
	memset(&sim, 0, sizeof(sim));
	sim.handle = handle;
	fake_init(&sim, path);
	bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	host.at = (struct endpoint){.kind = ENDPOINT_UNIX, .path = path};
	host.environment = ENV_REDACT;
	host.stats = true;
	cache = (struct cache_config){
		.stats_update = 3600, .status_update = 3600, .config_update = 3600,
		.inspect_concurrency = 4, .event_debounce_ms = 20, .log_tail_lines = 10,
		.connect_timeout = 10, .request_timeout = 30, .shard_limit = 64 << 20,
		.redact = words, .n_redact = 1, .disk_retention = 604800,
	};
	return 0;
}

static inline int each_teardown(void **state)
{
	char object[DCM_OBJECT_NAME_MAX];

	(void)state;
	if (control >= 0)
		stop();
	if (map.base)
		region_map_close(&map);
	memset(&map, 0, sizeof(map));
	if (sim.listener >= 0)
		fake_down(&sim);
	unlink(sim.path);
	remove_state();
	close(bell);
	for (uint32_t g = 1; g <= generation; g++) {
		names_shard(object, getuid(), instance, host.id, g);
		shm_unlink(object);
	}
	return 0;
}

static inline void put(size_t i, const char *name, const char *status)
{
	fleet[i] = (struct member){.present = true, .name = name, .status = status};
}

static inline void start_online(void)
{
	start();
	UNTIL(state_now() == DCM_ONLINE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, each_setup, each_teardown)

#endif
