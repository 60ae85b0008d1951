/*
 * broker_world.h - a broker in a process of its own, over a directory and shards
 * that the test writes, with the test as its supervisor: for test_broker.c,
 * test_broker_clients.c and the bench.
 */
#ifndef BROKER_WORLD_H
#define BROKER_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../broker/broker.h"
#include "../../shm/control.h"
#include "../../shm/log.h"
#include "../../shm/names.h"
#include "../../shm/protocol.h"
#include "../../shm/record.h"
#include "../../shm/region_write.h"

enum { WORLD_HOSTS_MAX = 512, PATIENCE_MS = 20000 };

struct world {
	char instance[33], runtime[48], state[64], socket[108];
	struct region *dir, *shard[WORLD_HOSTS_MAX];
	unsigned hosts;
	struct child_env env;
	int lock;    /* held, or a broker on this machine takes the world for an orphan */
	int control; /* the supervisor's end */
	pid_t pid;
};

static inline double unix_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#define MUST(x)                                                                     \
	do {                                                                        \
		if (!(x)) {                                                         \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #x,  \
				strerror(errno));                                   \
			abort();                                                    \
		}                                                                   \
	} while (0)

static inline struct region *world_region(const struct world *w, const char *host)
{
	struct region_spec spec = {.kind = host ? REGION_SHARD : REGION_DIRECTORY, .uid = getuid(),
				   .gid = getgid(), .instance = w->instance, .host = host};
	struct region *r;
	char err[256] = "";

	if (region_open(&r, &spec, NULL, err, sizeof(err))) {
		fprintf(stderr, "region: %s\n", err);
		abort();
	}
	return r;
}

/* The daemon's settings, and that it started `up` seconds ago. */
static inline void world_info(struct world *w, double retention, double interval, double up)
{
	struct dcm_info info = {.memory_retention = retention,
				.disk_retention = 1000,
				.memory_cleanup_interval = interval,
				.disk_cleanup_interval = interval,
				.supervisor_pid = getpid(),
				.started = unix_now() - up,
				.uid = getuid()};
	struct record_buf b = {0};
	struct region_tier t = {.tier = DCM_STATUS, .verified = unix_now()};

	snprintf(info.instance, sizeof(info.instance), "%s", w->instance);
	snprintf(info.runtime_dir, sizeof(info.runtime_dir), "%s", w->runtime);
	MUST(record_encode_info(&info, &b) == 0);
	t.data = b.data;
	t.len = (uint32_t)b.len;
	MUST(region_put_self(w->dir, &t, 1) == 0);
	region_publish(w->dir);
	record_buf_free(&b);
}

/* Shows host `id` in the directory, with a shard where it is enabled. */
static inline void world_host(struct world *w, const char *id, bool enabled, struct region *shard)
{
	struct record_dirent e = {.id = {id, (uint32_t)strlen(id)}, .enabled = enabled,
				  .generation = shard ? region_generation(shard) : 0};
	struct record_buf config = {0}, status = {0};
	struct region_tier t[2];
	uint8_t key[32];

	directory_host_id(id, key);
	MUST(record_encode_dirent(&e, DCM_CONFIG, &config) == 0);
	MUST(record_encode_dirent(&e, DCM_STATUS, &status) == 0);
	t[0] = (struct region_tier){DCM_CONFIG, config.data, (uint32_t)config.len, unix_now()};
	t[1] = (struct region_tier){DCM_STATUS, status.data, (uint32_t)status.len, unix_now()};
	MUST(region_put(w->dir, key, &e.id, NULL, t, 2) == 0);
	region_publish(w->dir);
	record_buf_free(&config);
	record_buf_free(&status);
}

/* A host's own row: `verified` is when its list was last complete. */
static inline void world_row(struct region *shard, int64_t containers, double verified)
{
	struct dcm_host h = {.state = DCM_ONLINE, .containers = containers, .running = containers,
			     .clock_offset = 0, .cpu_percent = NAN};
	struct record_buf status = {0}, stats = {0};
	struct region_tier t[2];

	MUST(record_encode_host(&h, DCM_STATUS, &status) == 0);
	MUST(record_encode_host(&h, DCM_STATS, &stats) == 0);
	t[0] = (struct region_tier){DCM_STATUS, status.data, (uint32_t)status.len, verified};
	t[1] = (struct region_tier){DCM_STATS, stats.data, (uint32_t)stats.len, unix_now()};
	MUST(region_put_self(shard, t, 2) == 0);
	region_publish(shard);
	record_buf_free(&status);
	record_buf_free(&stats);
}

static inline void world_ring(struct world *w)
{
	uint64_t one = 1;

	MUST(write(w->env.bell, &one, sizeof(one)) == sizeof(one));
}

static inline int world_listen(const struct world *w)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", w->socket);
	MUST(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 128) == 0);
	return fd;
}

static inline int world_lock(const struct world *w)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char name[DCM_OBJECT_NAME_MAX];
	int fd;

	names_lock(name, getuid(), w->instance);
	fd = shm_open(name, O_RDWR | O_CREAT, 0600);
	MUST(fd >= 0 && fcntl(fd, F_OFD_SETLK, &l) == 0);
	return fd;
}

/* Starts a broker; the last one must have been ended. */
static inline void world_broker(struct world *w)
{
	int pair[2];

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	w->control = pair[0];
	w->env.control = pair[1];
	w->pid = fork();
	MUST(w->pid >= 0);
	if (w->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		log_init(LOG_LEVEL_ERROR, false);
		exit(broker_run(&w->env));
	}
	close(pair[1]);
}

static inline void world_begin(struct world *w, unsigned hosts)
{
	static unsigned serial;
	char path[96], id[64];

	*w = (struct world){.hosts = hosts};
	snprintf(w->instance, sizeof(w->instance), "t%d.%u", (int)getpid(), serial++);
	snprintf(w->runtime, sizeof(w->runtime), "/tmp/dcm-test-XXXXXX");
	MUST(mkdtemp(w->runtime));
	snprintf(path, sizeof(path), "%.47s/%.32s", w->runtime, w->instance);
	MUST(mkdir(path, 0700) == 0);
	snprintf(w->socket, sizeof(w->socket), "%.94s/broker.sock", path);
	snprintf(w->state, sizeof(w->state), "%s/state", w->runtime);
	MUST(mkdir(w->state, 0700) == 0);
	w->lock = world_lock(w);
	w->dir = world_region(w, NULL);
	world_info(w, 3600, 300, 0);
	for (unsigned h = 0; h < hosts; h++) {
		snprintf(id, sizeof(id), "host-%u", h);
		w->shard[h] = world_region(w, id);
		world_host(w, id, true, w->shard[h]);
		world_row(w->shard[h], 0, unix_now());
	}
	w->env = (struct child_env){.instance = w->instance,
				    .runtime_dir = w->runtime,
				    .state_dir = w->state,
				    .uid = getuid(),
				    .gid = getgid(),
				    .control = -1,
				    .bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
				    .listener = world_listen(w)};
}

/* Ends the broker as a supervisor does; its exit status. */
static inline int world_broker_end(struct world *w, int sig)
{
	int status;

	if (sig)
		kill(w->pid, sig);
	else
		close(w->control);
	MUST(waitpid(w->pid, &status, 0) == w->pid);
	if (sig)
		close(w->control);
	return status;
}

static inline void world_end(struct world *w)
{
	char path[128], name[DCM_OBJECT_NAME_MAX];

	region_close(&w->dir, true);
	for (unsigned h = 0; h < w->hosts; h++)
		region_close(&w->shard[h], true);
	close(w->env.bell);
	close(w->env.listener);
	names_lock(name, getuid(), w->instance);
	shm_unlink(name);
	close(w->lock);
	unlink(w->socket);
	snprintf(path, sizeof(path), "%s/%s", w->runtime, w->instance);
	rmdir(path);
	rmdir(w->state);
	rmdir(w->runtime);
}

/* The next message of the broker that is no beat; false: none came. */
static inline bool world_hear(struct world *w, struct control_msg *m, int patience_ms)
{
	struct pollfd p = {.fd = w->control, .events = POLLIN};

	for (int waited = 0; waited <= patience_ms; waited += 20) {
		while (control_recv(w->control, m) == 1)
			if (m->kind != CONTROL_BEAT)
				return true;
		poll(&p, 1, 20);
	}
	return false;
}

static inline void world_done(struct world *w, uint64_t token, int rc, const char *error)
{
	struct control_msg m = {.kind = CONTROL_DONE, .token = token, .rc = rc};

	snprintf(m.error, sizeof(m.error), "%s", error);
	MUST(control_send(w->control, &m) == 0);
}

#endif
