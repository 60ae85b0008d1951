/*
 * decode_stats.c - one reply to /stats, and what usage two of them make.
 *
 * The formulas are those of `docker stats`, so that both show the same.
 */
#include <math.h>
#include <string.h>

#include "decode_json.h"

static int64_t clamp(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static int64_t counter(struct json_object *o, const char *key)
{
	uint64_t v;

	return json_u64(json_get(o, key), &v) ? clamp(v) : DCM_UNKNOWN;
}

/* Usage without the page cache: less total_inactive_file (cgroup v1) or
 * inactive_file (v2), where that is smaller. */
static int64_t memory_usage(struct json_object *memory)
{
	struct json_object *stats = json_get(memory, "stats");
	uint64_t usage, cache;

	if (!json_u64(json_get(memory, "usage"), &usage))
		return DCM_UNKNOWN;
	if (json_u64(json_get(stats, "total_inactive_file"), &cache) && cache < usage)
		return clamp(usage - cache);
	if (json_u64(json_get(stats, "inactive_file"), &cache) && cache < usage)
		return clamp(usage - cache);
	return clamp(usage);
}

/* What podman (whose cpu_stats alone have a "cpu") calls the system's CPU time is
 * what all control groups used, not all that there was: a container alone on an
 * idle machine would show as all of its cores.  So the clock counts, of one core. */
static void settle_podman(struct stats_sample *out)
{
	out->cpu_system = out->read > 0 ? (uint64_t)(out->read * 1e9) : 0;
	out->precpu_system = 0;
	out->online_cpus = 1;
}

static void read_cpu(struct json_object *root, struct stats_sample *out)
{
	struct json_object *cpu = json_get(root, "cpu_stats"),
			   *pre = json_get(root, "precpu_stats");
	uint64_t n = 0;

	json_u64(json_get(json_get(cpu, "cpu_usage"), "total_usage"), &out->cpu_total);
	json_u64(json_get(cpu, "system_cpu_usage"), &out->cpu_system);
	json_u64(json_get(json_get(pre, "cpu_usage"), "total_usage"), &out->precpu_total);
	json_u64(json_get(pre, "system_cpu_usage"), &out->precpu_system);
	json_u64(json_get(cpu, "online_cpus"), &n);
	if (!n)
		n = json_len(json_get(json_get(cpu, "cpu_usage"), "percpu_usage"));
	out->online_cpus = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
	if (json_has(cpu, "cpu"))
		settle_podman(out);
}

/* The sum over the networks; the key is absent where the container has none of
 * its own. */
static void read_networks(struct json_object *root, struct stats_sample *out)
{
	struct json_object *networks = json_get(root, "networks");
	struct json_object_iter it;
	uint64_t rx = 0, tx = 0, v;

	if (!json_is_object(networks))
		return;
	json_object_object_foreachC(networks, it)
	{
		if (json_u64(json_get(it.val, "rx_bytes"), &v))
			rx = add(rx, v);
		if (json_u64(json_get(it.val, "tx_bytes"), &v))
			tx = add(tx, v);
	}
	out->network_rx = clamp(rx);
	out->network_tx = clamp(tx);
}

/* The sum over the devices, by the first letter of op.  A null list of a
 * container that runs means that it did none. */
static void read_blocks(struct json_object *root, struct stats_sample *out)
{
	struct json_object *blocks = json_get(root, "blkio_stats");
	struct json_object *list = json_get(blocks, "io_service_bytes_recursive");
	uint64_t in = 0, to = 0, v;
	size_t i;

	if (!json_has(blocks, "io_service_bytes_recursive") || (list && !json_is_array(list)))
		return;
	for (i = 0; i < json_len(list); i++) {
		struct dcm_str op = json_raw(json_get(json_at(list, i), "op"));

		if (!op.len || !json_u64(json_get(json_at(list, i), "value"), &v))
			continue;
		if (op.s[0] == 'r' || op.s[0] == 'R')
			in = add(in, v);
		else if (op.s[0] == 'w' || op.s[0] == 'W')
			to = add(to, v);
	}
	out->block_read = clamp(in);
	out->block_write = clamp(to);
}

static bool blank(const char *s, size_t len)
{
	while (len && s[len - 1] && strchr(" \t\r\n", s[len - 1]))
		len--;
	return !len;
}

int decode_stats(const char *json, size_t len, struct stats_sample *out, char *err)
{
	struct json_object *memory;
	struct json doc;

	memset(out, 0, sizeof(*out));
	out->read = NAN;
	out->memory_usage = out->memory_limit_in_force = out->pids = DCM_UNKNOWN;
	out->network_rx = out->network_tx = out->block_read = out->block_write = DCM_UNKNOWN;
	if (blank(json, len)) /* podman, of a container that does not run */
		return 0;
	if (json_open(&doc, json, len, "the reply to stats", err) < 0)
		return -1;
	out->read = decode_time(json_raw(json_get(doc.root, "read")));
	/* Year 1: Docker, of a container that does not run. */
	if (out->read > 0) {
		read_cpu(doc.root, out);
		memory = json_get(doc.root, "memory_stats");
		out->memory_usage = memory_usage(memory);
		out->memory_limit_in_force = counter(memory, "limit");
		if (out->memory_limit_in_force == 0)
			out->memory_limit_in_force = DCM_UNKNOWN;
		read_networks(doc.root, out);
		read_blocks(doc.root, out);
		out->pids = counter(json_get(doc.root, "pids_stats"), "current");
		/* A kernel without the memory controller still tells the CPU's time. */
		out->usable = out->cpu_system || out->memory_usage != DCM_UNKNOWN;
	}
	json_close(&doc);
	return 0;
}

/* Percent of one core; NaN where the two make no interval. */
static double cpu_percent(uint64_t total, uint64_t system, uint64_t before_total,
			  uint64_t before_system, uint32_t cpus)
{
	if (!before_system || system <= before_system || total < before_total || !cpus)
		return NAN;
	return (double)(total - before_total) / (double)(system - before_system) * cpus * 100;
}

void stats_to_record(const struct stats_sample *before, const struct stats_sample *now,
		     struct dcm_record *rec)
{
	rec->cpu_percent = rec->memory_percent = NAN;
	rec->memory_usage = rec->network_rx = rec->network_tx = DCM_UNKNOWN;
	rec->block_read = rec->block_write = rec->pids = DCM_UNKNOWN;
	if (!now->usable)
		return;
	rec->memory_usage = now->memory_usage;
	rec->network_rx = now->network_rx;
	rec->network_tx = now->network_tx;
	rec->block_read = now->block_read;
	rec->block_write = now->block_write;
	rec->pids = now->pids;
	if (now->memory_usage != DCM_UNKNOWN && now->memory_limit_in_force != DCM_UNKNOWN)
		rec->memory_percent =
		    100.0 * (double)now->memory_usage / (double)now->memory_limit_in_force;
	if (before && before->usable)
		rec->cpu_percent = cpu_percent(now->cpu_total, now->cpu_system, before->cpu_total,
					       before->cpu_system, now->online_cpus);
	else if (!before)
		rec->cpu_percent = cpu_percent(now->cpu_total, now->cpu_system, now->precpu_total,
					       now->precpu_system, now->online_cpus);
}
