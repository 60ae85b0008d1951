/* fleet.c - see fleet.h.  The containers are made up, but of the size and shape of
 * those of a web shop under compose: some 2.6 KB of tiers each. */
#include "fleet.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../broker/broker.h"
#include "../../shm/log.h"
#include "../../shm/names.h"
#include "../../shm/region_write.h"

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "bench: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

static double wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

void fleet_id(uint32_t i, uint8_t id[32])
{
	for (unsigned k = 0; k < 4; k++) {
		uint64_t v = mix(4ull * i + k);

		memcpy(id + 8 * k, &v, 8);
	}
}

/* ---- one record --------------------------------------------------------- */

enum { ENV = 14, LABELS = 14, TEXT = 8192 };
static const char *const services[] = {"web", "api", "worker", "db", "cache"};

struct maker {
	char text[TEXT];
	size_t used;
	struct dcm_pair env[ENV], labels[LABELS], drivers[1];
	struct dcm_str ports[2], binds[2], stack[4], depends[2], aliases[2];
	struct dcm_network nets[1];
	struct dcm_alias alias[1];
	struct dcm_volume vols[1];
};

__attribute__((format(printf, 2, 3))) static struct dcm_str text(struct maker *m, const char *fmt,
								 ...)
{
	char *at = m->text + m->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(at, TEXT - m->used, fmt, ap);
	va_end(ap);
	if (n < 0 || m->used + (size_t)n >= TEXT)
		die("a record's text is larger than %d bytes", TEXT);
	m->used += (size_t)n + 1;
	return (struct dcm_str){at, (uint32_t)n};
}

static struct dcm_str hex_text(struct maker *m, const uint8_t id[32])
{
	uint64_t w[4];

	for (int i = 0; i < 4; i++) {
		memcpy(&w[i], id + 8 * i, 8);
		w[i] = __builtin_bswap64(w[i]);
	}
	return text(m, "%016llx%016llx%016llx%016llx", (unsigned long long)w[0],
		    (unsigned long long)w[1], (unsigned long long)w[2], (unsigned long long)w[3]);
}

static const char *status_of(uint32_t i)
{
	uint64_t r = mix(i) % 100;

	return r < 90 ? "running" : r < 98 ? "exited" : r < 99 ? "paused" : "restarting";
}

static void make_config(struct maker *m, uint32_t i, struct dcm_record *r)
{
	const char *service = services[i % 5];
	unsigned project = i / 20;

	for (unsigned k = 0; k < ENV; k++) {
		m->env[k].key = text(m, "SHOP_%s_SETTING_%02u", service, k);
		m->env[k].value = text(m, "value-%u-of-%u", k, i);
	}
	for (unsigned k = 0; k < LABELS; k++) {
		m->labels[k].key = text(m, "org.example.shop.label-%02u", k);
		m->labels[k].value = text(m, "%u", (i + k) % 7);
	}
	m->labels[0] =
	    (struct dcm_pair){text(m, "com.docker.compose.project"), text(m, "shop-%u", project)};
	m->labels[1] =
	    (struct dcm_pair){text(m, "com.docker.compose.service"), text(m, "%s", service)};
	m->labels[2] = (struct dcm_pair){text(m, "tier"), text(m, "t%u", i % 200)};
	m->binds[0] = text(m, "/srv/shop-%u/%s/config:/etc/shop:ro", project, service);
	m->binds[1] = text(m, "/srv/shop-%u/data:/data:rw", project);
	m->vols[0] = (struct dcm_volume){
	    text(m, "shop-%u_%s", project, service),
	    text(m, "/var/lib/docker/volumes/shop-%u_%s/_data", project, service),
	    text(m, "/var/lib/%s", service), text(m, "local"), text(m, "rw")};
	m->drivers[0] = (struct dcm_pair){m->vols[0].name, text(m, "local")};
	m->depends[0] = text(m, "db");
	m->depends[1] = text(m, "cache");
	r->image = text(m, "registry.example.org/shop/%s:1.%u", service, i % 40);
	r->image_id = text(m, "sha256:%016llx%016llx%016llx%016llx", (unsigned long long)mix(i),
			   (unsigned long long)mix(i + 1), (unsigned long long)mix(i + 2),
			   (unsigned long long)mix(i + 3));
	r->created = text(m, "2026-03-0%uT10:11:12.131415161Z", 1 + i % 9);
	r->memory_limit = 1 << 28;
	r->bind_mounts = (struct dcm_strs){m->binds, 2, true};
	r->volumes = (struct dcm_volumes){m->vols, 1, true};
	r->volume_drivers = (struct dcm_map){m->drivers, 1, true};
	r->working_dir = text(m, "/srv/app");
	r->environment_vars = (struct dcm_map){m->env, ENV, true};
	r->labels = (struct dcm_map){m->labels, LABELS, true};
	r->command = text(m, "/usr/bin/%s --config /etc/shop/%s.yml --verbose", service, service);
	r->entrypoint = text(m, "/sbin/tini --");
	r->restart_policy = text(m, "unless-stopped");
	r->depends_on = (struct dcm_strs){m->depends, 2, true};
	r->links = (struct dcm_strs){NULL, 0, true};
	r->log_driver = text(m, "json-file");
	r->hostname = text(m, "%s-%u", service, i);
	r->user = text(m, "1000:1000");
	r->privileged = 0;
	r->cached_at = 1.7e9;
}

static void make_state(struct maker *m, uint32_t i, struct dcm_record *r)
{
	const char *service = services[i % 5];
	unsigned project = i / 20;

	m->ports[0] = text(m, "80/tcp->0.0.0.0:%u", 1024 + i % 60000);
	m->ports[1] = text(m, "443/tcp");
	m->nets[0] = (struct dcm_network){
	    text(m, "shop-%u_default", project), text(m, "172.18.0.%u", i % 250),
	    text(m, "172.18.0.1"), text(m, "02:42:ac:12:00:%02x", i % 250), text(m, "%s", "")};
	m->aliases[0] = text(m, "%s", service);
	m->aliases[1] = text(m, "%s-%u", service, i);
	m->alias[0] = (struct dcm_alias){m->nets[0].name, {m->aliases, 2, true}};
	r->name = text(m, "shop-%u-%s-%u", project, service, 1 + i % 20 / 5);
	r->status = text(m, "%s", status_of(i));
	r->started = text(m, "2026-03-0%uT10:11:13.131415161Z", 1 + i % 9);
	r->health_status = i % 3 ? text(m, "healthy") : (struct dcm_str){0};
	r->restart_count = 0;
	r->exit_code = 0;
	r->oom_killed = 0;
	r->error = text(m, "%s", "");
	r->pid = 1000 + i;
	r->networks = (struct dcm_networks){m->nets, 1, true};
	r->ports = (struct dcm_strs){m->ports, 2, true};
	r->ip_address = m->nets[0].ip;
	r->network_aliases = (struct dcm_aliases){m->alias, 1, true};
	r->last_updated = 1.7e9;
	r->compose_project = text(m, "shop-%u", project);
	r->compose_service = text(m, "%s", service);
	for (unsigned k = 0; k < 4; k++)
		m->stack[k] =
		    text(m, "shop-%u-%s-%u", project, services[(i + 1 + k) % 5], 1 + i % 20 / 5);
	r->compose_stack_containers = (struct dcm_strs){m->stack, 4, true};
	r->compose_config_files = text(m, "/srv/shop-%u/docker-compose.yml", project);
	r->compose_working_dir = text(m, "/srv/shop-%u", project);
	if (strcmp(r->status.s, "running") == 0) {
		r->cpu_percent = (double)(mix(i + 7) % 100000) / 1000;
		r->memory_usage = (int64_t)(mix(i + 8) % (1 << 28));
		r->memory_percent = (double)(mix(i + 9) % 100000) / 1000;
		r->network_rx = r->network_tx = (int64_t)(mix(i + 10) % (1 << 30));
		r->block_read = r->block_write = (int64_t)(mix(i + 11) % (1 << 30));
		r->pids = 12;
	}
}

/* ---- the instance ------------------------------------------------------- */

static struct region *region_make(const struct fleet *f, const char *host)
{
	struct region_spec spec = {.kind = host ? REGION_SHARD : REGION_DIRECTORY,
				   .uid = getuid(),
				   .gid = getgid(),
				   .instance = f->instance,
				   .host = host,
				   .limit = 3ull << 30};
	struct region *r;
	char err[256];

	if (region_open(&r, &spec, NULL, err, sizeof(err)) != 0)
		die("%s", err);
	return r;
}

static void put_row(struct fleet *f)
{
	static const struct dcm_info info = {.ttl = {120, 300, 3600, 7200, 0},
					     .status_update = 60,
					     .memory_retention = 3600,
					     .disk_retention = 604800,
					     .memory_cleanup_interval = 3600,
					     .disk_cleanup_interval = 3600,
					     .log_tail_lines = 100};
	struct dcm_host host = {.state = DCM_ONLINE, .containers = 1};
	struct dcm_str name = {FLEET_HOST, sizeof(FLEET_HOST) - 1};
	struct record_dirent row = {.enabled = true, .generation = region_generation(f->shard)};
	struct record_buf b[4] = {0};
	uint8_t id[32];

	record_encode_dirent(&row, DCM_CONFIG, &b[0]);
	record_encode_dirent(&row, DCM_STATUS, &b[1]);
	record_encode_info(&info, &b[2]);
	record_encode_host(&host, DCM_STATUS, &b[3]);
	struct region_tier tiers[] = {{DCM_CONFIG, b[0].data, (uint32_t)b[0].len, wall()},
				      {DCM_STATUS, b[1].data, (uint32_t)b[1].len, wall()}};
	struct region_tier self = {DCM_STATUS, b[2].data, (uint32_t)b[2].len, wall()};
	struct region_tier own = {DCM_STATUS, b[3].data, (uint32_t)b[3].len, wall()};

	directory_host_id(FLEET_HOST, id);
	if (region_put(f->dir, id, &name, NULL, tiers, 2) || region_put_self(f->dir, &self, 1) ||
	    region_put_self(f->shard, &own, 1))
		die("%s", region_error(f->dir));
	region_publish(f->dir);
	region_publish(f->shard);
	for (int i = 0; i < 4; i++)
		record_buf_free(&b[i]);
}

/* ---- records, and storing them ------------------------------------------ */

struct fleet_record {
	struct maker m;
	uint8_t id[32];
	struct dcm_record r;
	struct record_buf tier[DCM_TIERS];
};

static void make_record(struct fleet_record *c, uint32_t i)
{
	c->m.used = 0;
	fleet_id(i, c->id);
	record_out_init(&c->r);
	c->r.container_id = hex_text(&c->m, c->id);
	make_config(&c->m, i, &c->r);
	make_state(&c->m, i, &c->r);
}

struct fleet_record *fleet_record_new(uint32_t i)
{
	struct fleet_record *c = calloc(1, sizeof(*c));

	if (!c)
		die("no memory");
	make_record(c, i);
	return c;
}

const uint8_t *fleet_record_id(const struct fleet_record *c)
{
	return c->id;
}

void fleet_record_free(struct fleet_record *c)
{
	for (int t = 0; t < DCM_TIERS; t++)
		record_buf_free(&c->tier[t]);
	free(c);
}

void fleet_record_change(struct fleet_record *c, uint32_t round)
{
	c->r.cpu_percent = round % 10007;
	c->r.memory_usage = round;
	c->r.network_rx = round;
	c->r.last_updated = c->r.cached_at = 1.7e9 + round;
}

size_t fleet_record_bytes(struct fleet_record *c, uint8_t *value, size_t room)
{
	size_t len = 0;

	for (enum dcm_tier t = DCM_STATS; t < DCM_LOGS; t++) {
		if (record_encode(&c->r, t, &c->tier[t]) != 0 || room - len < c->tier[t].len)
			die("a record cannot be encoded");
		memcpy(value + len, c->tier[t].data, c->tier[t].len);
		len += c->tier[t].len;
	}
	return len;
}

void fleet_put(struct fleet *f, struct fleet_record *c, enum dcm_tier first, enum dcm_tier last)
{
	struct region_brief brief = {record_status_code(c->r.status),
				     record_health_code(c->r.health_status), c->r.cpu_percent,
				     c->r.memory_usage};
	struct region_tier tiers[DCM_TIERS];
	unsigned n = 0;

	for (enum dcm_tier t = first; t <= last; t++) {
		if (record_encode(&c->r, t, &c->tier[t]) != 0)
			die("a record cannot be encoded");
		tiers[n++] = (struct region_tier){t, c->tier[t].data, (uint32_t)c->tier[t].len,
						  wall()};
	}
	if (region_put(f->shard, c->id, &c->r.name, &brief, tiers, n) != 0)
		die("%s", region_error(f->shard));
}

/* As a collector does: containers come with their inspects, then all are measured in
 * one burst. */
static void fill(struct fleet *f, uint32_t n, fleet_each *each)
{
	struct fleet_record *c = fleet_record_new(0);

	for (uint32_t i = 0; i < n; i++) {
		make_record(c, i);
		fleet_put(f, c, DCM_STATUS, DCM_COMPOSE);
		if (record_encode(&c->r, DCM_STATS, &c->tier[DCM_STATS]) != 0)
			die("a record cannot be encoded");
		for (int t = 0; t < DCM_LOGS; t++)
			f->bytes += (double)c->tier[t].len / n;
		if (each)
			each(c->id, &c->r, c->tier);
		if (i % 1000 == 0)
			region_publish(f->shard);
	}
	for (uint32_t i = 0; i < n; i++) {
		make_record(c, i);
		fleet_put(f, c, DCM_STATS, DCM_STATS);
	}
	region_publish(f->shard);
	fleet_record_free(c);
}

/* Whatever this program ends by, nothing of it stays in /dev/shm. */
static char objects[2][DCM_OBJECT_NAME_MAX];

static void unname(void)
{
	for (int i = 0; i < 2; i++)
		if (objects[i][0])
			shm_unlink(objects[i]);
}

static void on_signal(int signal)
{
	unname();
	_exit(128 + signal);
}

static void name_objects(const struct fleet *f)
{
	names_directory(objects[0], getuid(), f->instance);
	names_shard(objects[1], getuid(), f->instance, FLEET_HOST, region_generation(f->shard));
	atexit(unname);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGPIPE, on_signal);
}

void fleet_make(struct fleet *f, uint32_t n, fleet_each *each)
{
	char path[128];

	memset(f, 0, sizeof(*f));
	snprintf(f->instance, sizeof(f->instance), "bench-%d", (int)getpid());
	snprintf(f->runtime_dir, sizeof(f->runtime_dir), "/tmp/dcm-bench-XXXXXX");
	if (!mkdtemp(f->runtime_dir))
		die("cannot begin: %s", strerror(errno));
	snprintf(f->state_dir, sizeof(f->state_dir), "%s/state", f->runtime_dir);
	snprintf(path, sizeof(path), "%s/%s", f->runtime_dir, f->instance);
	if (mkdir(path, 0750) < 0 || mkdir(f->state_dir, 0700) < 0)
		die("cannot make %s: %s", path, strerror(errno));
	f->dir = region_make(f, NULL);
	f->shard = region_make(f, FLEET_HOST);
	name_objects(f);
	fill(f, n, each);
	put_row(f);
	fleet_beat(f);
}

void fleet_beat(struct fleet *f)
{
	region_beat(f->dir);
	region_beat(f->shard);
}

void fleet_broker(struct fleet *f)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct child_env env = {.instance = f->instance,
				.runtime_dir = f->runtime_dir,
				.state_dir = f->state_dir,
				.uid = getuid(),
				.gid = getgid()};
	int pair[2];

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.60s/%.31s/broker.sock", f->runtime_dir,
		 f->instance);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(f->listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(f->listener, 64) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		die("cannot start the broker: %s", strerror(errno));
	env.control = pair[1];
	env.listener = f->listener;
	env.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	f->control = pair[0];
	f->broker = fork();
	if (f->broker == 0) {
		close(pair[0]);
		log_init(LOG_LEVEL_ERROR, false);
		_exit(broker_run(&env));
	}
	close(pair[1]);
	close(env.bell);
}

void fleet_remove(struct fleet *f)
{
	char path[160];

	if (f->broker > 0) {
		kill(f->broker, SIGTERM);
		waitpid(f->broker, NULL, 0);
		close(f->control);
		close(f->listener);
	}
	region_close(&f->shard, true);
	region_close(&f->dir, true);
	snprintf(path, sizeof(path), "%s/%s/broker.sock", f->runtime_dir, f->instance);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s", f->runtime_dir, f->instance);
	rmdir(path);
	rmdir(f->state_dir);
	rmdir(f->runtime_dir);
}

dcm *fleet_open(const struct fleet *f, unsigned flags)
{
	struct dcm_options opt = {.size = sizeof(opt),
				  .instance = f->instance,
				  .runtime_dir = f->runtime_dir,
				  .flags = flags};
	char err[512];
	dcm *d;

	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK)
		die("%s", err);
	return d;
}
