/* cleanup.c - retention, in memory and on disk; see cleanup.h. */
#include "cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../shm/log.h"

/* s: a collector sees a step within a beat, and writes its snapshot within 5 minutes */
static const double CLOCK_PATIENCE = 5, SLEEP_PATIENCE = 60, FILES_PATIENCE = 600;

static double now_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void cleanup_init(struct cleanup *c, const struct child_env *env, dcm *d, struct requests *r)
{
	*c = (struct cleanup){.env = env, .d = d, .requests = r};
	/* The first round soon: what a crash left is cleared at the next start. */
	c->memory_due = c->disk_due = now_of(CLOCK_MONOTONIC) + 1;
	clock_watch_init(&c->clock);
}

/* Where the clock was set, ages in memory are wrong until their writers have seen it, and
 * those of files until they are written again; behind a sleep all is old, and may be
 * verified at once. */
static void mind_clock(struct cleanup *c, const struct dcm_info *info, double now)
{
	double set, slept;

	if (!clock_watch_look(&c->clock, &set, &slept))
		return;
	c->memory_due = fmax(c->memory_due, now + (slept != 0 ? SLEEP_PATIENCE : CLOCK_PATIENCE));
	c->disk_due = now + fmax(info->disk_cleanup_interval, FILES_PATIENCE);
}

/* Hosts that nobody has verified for too long hold no containers any more.  What
 * came from disk at the start was verified before it: it counts from the start. */
static void forget_old(struct cleanup *c, const struct dcm_info *info)
{
	double up = now_of(CLOCK_REALTIME) - info->started;
	struct dcm_hosts hosts = {0};

	if (dcm_hosts_read(c->d, &hosts) != DCM_OK)
		return;
	for (size_t i = 0; i < hosts.n; i++) {
		const struct dcm_host *h = &hosts.v[i];
		char id[64];

		/* An age that is not known is not too old. */
		if (!(fmin(h->age, up) > info->memory_retention) || h->containers <= 0 ||
		    h->id.len >= sizeof(id))
			continue;
		memcpy(id, h->id.s, h->id.len);
		id[h->id.len] = 0;
		log_event(LOG_LEVEL_INFO, "host_expired", id, LF_NUM("age", h->age),
			  LF_INT("containers", h->containers));
		requests_order(c->requests, CONTROL_EXPIRE, id);
	}
	dcm_hosts_free(&hosts);
}

void cleanup_tick(struct cleanup *c)
{
	double now = now_of(CLOCK_MONOTONIC);
	struct dcm_info info;

	if (now < c->memory_due && now < c->disk_due)
		return;
	if (dcm_info_read(c->d, &info) != DCM_OK)
		return;
	mind_clock(c, &info, now);
	if (now >= c->memory_due) {
		unsigned n = cleanup_orphans("/dev/shm", c->env->uid, c->env->instance,
					     &c->dead, now);

		if (n)
			log_event(LOG_LEVEL_INFO, "orphans_removed", NULL, LF_INT("objects", n));
		forget_old(c, &info);
		c->memory_due = now + fmax(info.memory_cleanup_interval, 1);
	}
	if (now >= c->disk_due) {
		unsigned n = cleanup_files(c->env->state_dir, c->env->uid, info.disk_retention);

		if (n)
			log_event(LOG_LEVEL_INFO, "snapshots_removed", NULL, LF_INT("files", n));
		c->disk_due = now + fmax(info.disk_cleanup_interval, 1);
	}
}

/* ---- files ---------------------------------------------------------------- */

/* HOST.snap, and what was set aside or never finished of a host that is gone. */
static bool is_snapshot(const char *name)
{
	const char *tail = strrchr(name, '.');

	if (tail && (strncmp(tail, ".bad-", 5) == 0 || strncmp(tail, ".tmp-", 5) == 0) &&
	    tail[5 + strspn(tail + 5, "0123456789")] == '\0')
		return tail - name > 5 && strncmp(tail - 5, ".snap", 5) == 0;
	return tail && tail > name && strcmp(tail, ".snap") == 0;
}

/* By the time of the last write: a host that is seen writes its snapshot anew, so
 * what is old is of a host that is gone or was not reached all that time. */
unsigned cleanup_files(const char *dir, uid_t uid, double older_than_s)
{
	double now = now_of(CLOCK_REALTIME);
	DIR *d = dir ? opendir(dir) : NULL;
	const struct dirent *e;
	unsigned removed = 0;
	struct stat st;

	while (d && (e = readdir(d))) {
		if (!is_snapshot(e->d_name) ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    !S_ISREG(st.st_mode) || st.st_uid != uid ||
		    now - (double)st.st_mtim.tv_sec <= older_than_s)
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) == 0)
			removed++;
		else
			log_event(LOG_LEVEL_WARN, "cleanup_failed", NULL, LF_STR("file", e->d_name),
				  LF_STR("error", "cannot remove an old snapshot: look at the "
						  "permissions of the state directory"));
	}
	if (d)
		closedir(d);
	return removed;
}
