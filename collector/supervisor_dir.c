/*
 * supervisor_dir.c - the directory region: a row for each host of the
 * configuration, and one for the daemon itself.
 *
 * A full /dev/shm costs freshness, never the daemon: what could not be written
 * is written again each second (dir_behind).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../shm/log.h"
#include "../shm/names.h"
#include "../shm/record.h"
#include "supervisor_impl.h"

static double unix_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct dcm_str str(const char *s)
{
	return (struct dcm_str){.s = s, .len = s ? (uint32_t)strlen(s) : 0};
}

int directory_open(struct supervisor *s, char *err, size_t errlen)
{
	const struct region_spec spec = {
		.kind = REGION_DIRECTORY,
		.uid = s->instance->uid,
		.gid = s->instance->gid,
		.instance = s->instance->name,
	};

	return region_open(&s->dir, &spec, NULL, err, errlen);
}

static void failed(struct supervisor *s, int rc)
{
	condition_set(&s->conditions, COND_DIRECTORY_BEHIND, "make room in memory and in /dev/shm",
		      "%s", rc == -ENOMEM ? "no memory left" : region_error(s->dir));
	s->dir_behind = true;
}

static void on_condition(void *arg)
{
	struct supervisor *s = arg;

	s->self_behind = true;
}

void directory_conditions_init(struct supervisor *s)
{
	conditions_init(&s->conditions, NULL, on_condition, s);
	conditions_init(&s->of_broker, NULL, on_condition, s);
}

/* c NULL: the host has no collector. */
static void put_row(struct supervisor *s, const struct host_config *h, const struct child *c)
{
	struct dcm_str tags[1024], name = str(h->id);
	struct record_dirent e = {
		.id = name,
		.description = str(h->description),
		.tags = {.v = tags, .known = true},
		.enabled = h->enabled,
		.generation = c && h->enabled ? c->generation : 0,
		.restarts = c ? c->restarts : 0,
		.error = c && *c->trouble ? str(c->trouble) : str(NULL),
	};
	struct record_buf config = {0}, status = {0};
	uint8_t id[32];
	int rc;

	for (; e.tags.n < h->n_tags && e.tags.n < 1024; e.tags.n++)
		tags[e.tags.n] = str(h->tags[e.tags.n]);
	directory_host_id(h->id, id);
	rc = record_encode_dirent(&e, DCM_CONFIG, &config);
	if (rc == 0)
		rc = record_encode_dirent(&e, DCM_STATUS, &status);
	if (rc == 0) {
		const struct region_tier tiers[] = {
			{DCM_CONFIG, config.data, (uint32_t)config.len, unix_now()},
			{DCM_STATUS, status.data, (uint32_t)status.len, unix_now()},
		};

		rc = region_put(s->dir, id, &name, NULL, tiers, 2);
	}
	if (rc < 0)
		failed(s, rc);
	s->dir_touched = true;
	record_buf_free(&config);
	record_buf_free(&status);
}

void directory_host(struct supervisor *s, const struct child *c)
{
	const struct host_config *h = config_host(&s->config, c->host);

	if (h)
		put_row(s, h, c);
}

void directory_self(struct supervisor *s)
{
	const struct cache_config *cache = &s->config.cache;
	struct dcm_info i = {
		.ttl = {[DCM_STATS] = cache->stats_ttl,
			[DCM_STATUS] = cache->status_ttl,
			[DCM_CONFIG] = cache->config_ttl,
			[DCM_COMPOSE] = cache->compose_ttl},
		.status_update = cache->status_update,
		.memory_retention = cache->memory_retention,
		.disk_retention = cache->disk_retention,
		.memory_cleanup_interval = cache->memory_cleanup_interval,
		.disk_cleanup_interval = cache->disk_cleanup_interval,
		.log_tail_lines = cache->log_tail_lines,
		.supervisor_pid = s->pid,
		.broker_pid = s->broker.pid,
		.broker_restarts = s->broker.restarts,
		.started = s->started_unix,
		.uid = s->instance->uid,
		.shard_limit = (int64_t)cache->shard_limit,
	};
	struct condition_list list = {0};
	struct record_buf b = {0};
	int rc;

	s->self_behind = false;
	conditions_list(&s->conditions, &list);
	conditions_list(&s->of_broker, &list);
	i.conditions = (struct dcm_strs){list.names, list.n, true};
	i.warnings = (struct dcm_strs){list.warnings, list.n, true};
	snprintf(i.version, sizeof(i.version), "%s", DCM_VERSION);
	snprintf(i.instance, sizeof(i.instance), "%s", s->instance->name);
	snprintf(i.runtime_dir, sizeof(i.runtime_dir), "%s", s->instance->runtime_dir);
	rc = record_encode_info(&i, &b);
	if (rc == 0) {
		const struct region_tier tier = {DCM_STATUS, b.data, (uint32_t)b.len, unix_now()};

		rc = region_put_self(s->dir, &tier, 1);
	}
	if (rc < 0)
		failed(s, rc);
	s->dir_touched = true;
	record_buf_free(&b);
}

/* A row that is put anew after this is another one to readers: they let go of
 * the shard that they had mapped by it, though the next may have its number. */
void directory_forget(struct supervisor *s, struct child *c)
{
	uint8_t id[32];

	directory_host_id(c->host, id);
	region_remove(s->dir, id);
	c->generation = 0;
	s->dir_touched = true;
}

/* Rows that no host of the configuration accounts for. */
struct strays {
	struct supervisor *s;
	uint8_t id[64][32]; /* some at a time: the walk must not change the region */
	size_t n;
};

static bool note_stray(const struct region_item *item, void *arg)
{
	struct strays *strays = arg;
	char id[64];

	if (item->name.s && item->name.len < sizeof(id)) {
		memcpy(id, item->name.s, item->name.len);
		id[item->name.len] = '\0';
		if (config_host(&strays->s->config, id))
			return true;
	}
	memcpy(strays->id[strays->n++], item->id, 32);
	return strays->n < 64;
}

static void remove_strays(struct supervisor *s)
{
	struct strays strays = {.s = s};

	do {
		strays.n = 0;
		region_each(s->dir, note_stray, &strays);
		for (size_t i = 0; i < strays.n; i++)
			if (region_remove(s->dir, strays.id[i]) < 0)
				return;
	} while (strays.n == 64);
}

void directory_sync(struct supervisor *s)
{
	s->dir_behind = false;
	remove_strays(s);
	for (size_t i = 0; i < s->config.n_hosts; i++) {
		const struct host_config *h = &s->config.hosts[i];

		put_row(s, h, hosts_find(s, h->id));
	}
	directory_self(s);
	if (!s->dir_behind)
		condition_clear(&s->conditions, COND_DIRECTORY_BEHIND);
	directory_publish(s);
}

void directory_publish(struct supervisor *s)
{
	const uint64_t one = 1;

	if (!s->dir_touched)
		return;
	s->dir_touched = false;
	region_publish(s->dir);
	/* A bell that is full (EAGAIN) rings already. */
	if (write(s->bell, &one, sizeof(one)) < 0)
		return;
}

void directory_beat(struct supervisor *s)
{
	if (s->dir_behind)
		directory_sync(s);
	if (s->self_behind)
		directory_self(s);
	if (region_beat(s->dir) == 1) {
		/* Readers find the new one under the directory's own name. */
		region_unlink_old(s->dir);
		s->dir_touched = true;
	}
	directory_publish(s);
}
