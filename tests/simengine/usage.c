/*
 * usage.c - what a container uses, and what it logs: functions of its id and
 * the time, so that nothing is kept.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "documents.h"

struct usage {
	double cpu; /* seconds of CPU since it was started */
	double system;
	int64_t memory, cache, rx, tx, block_read, block_write;
};

/* What it has used at a time: a steady part and a slow wave, which never makes
 * a counter fall. */
static struct usage usage_at(const struct container *c, int64_t ns)
{
	uint64_t r = sim_hash(c->engine->seed ^ 0x75736167u, c->birth);
	double t = (double)(ns - c->started) / 1e9, share = (double)(r % 1000) / 1000;
	double rate = 0.002 + share * share * share * 0.9, wave = 120 + (double)(r >> 20 & 255);
	int64_t memory = (int64_t)(4 << 20) + (int64_t)((r >> 10) % (200 << 20));

	if (t < 0)
		t = 0;
	return (struct usage){
		.cpu = rate * (t + wave / 2 * sin(t / wave)),
		.system = (double)(ns - c->created) / 1e9 * SIM_CPUS,
		.memory = memory / 2 + (int64_t)((double)memory / 2 * fabs(sin(t / wave))),
		.cache = memory / 4,
		.rx = (int64_t)(t * 1500 * share),
		.tx = (int64_t)(t * 900 * share),
		.block_read = memory,
		.block_write = (int64_t)(t * 300 * share),
	};
}

static void add_cpu(struct evbuffer *out, const char *key, const struct usage *u)
{
	long long total = u != NULL ? (long long)(u->cpu * 1e9) : 0;

	evbuffer_add_printf(out, "\"%s\":{\"cpu_usage\":{\"total_usage\":%lld,", key, total);
	if (u != NULL)
		evbuffer_add_printf(out, "\"percpu_usage\":[%lld,%lld,%lld,%lld],", total / 4,
				    total / 4, total / 4, total - total / 4 * 3);
	evbuffer_add_printf(out, "\"usage_in_kernelmode\":%lld,\"usage_in_usermode\":%lld},",
			    total / 5, total - total / 5);
	if (u != NULL)
		evbuffer_add_printf(out, "\"system_cpu_usage\":%lld,\"online_cpus\":%d,",
				    (long long)(u->system * 1e9), SIM_CPUS);
	evbuffer_add_printf(out, "\"throttling_data\":{\"periods\":0,\"throttled_periods\":0,"
				 "\"throttled_time\":0}}");
}

static void add_blkio(struct evbuffer *out, const struct usage *u)
{
	static const char *const others[] = {"io_serviced_recursive",	  "io_queue_recursive",
					     "io_service_time_recursive", "io_wait_time_recursive",
					     "io_merged_recursive",	  "io_time_recursive",
					     "sectors_recursive"};

	if (u != NULL)
		evbuffer_add_printf(out,
				    "\"blkio_stats\":{\"io_service_bytes_recursive\":["
				    "{\"major\":254,\"minor\":0,\"op\":\"Read\",\"value\":%lld},"
				    "{\"major\":254,\"minor\":0,\"op\":\"Write\",\"value\":%lld}]",
				    (long long)u->block_read, (long long)u->block_write);
	else
		evbuffer_add_printf(out, "\"blkio_stats\":{\"io_service_bytes_recursive\":null");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		evbuffer_add_printf(out, ",\"%s\":%s", others[i], u != NULL ? "[]" : "null");
	evbuffer_add_printf(out, "},");
}

static void add_memory(struct evbuffer *out, const struct usage *u, int64_t limit)
{
	if (u == NULL) {
		evbuffer_add_printf(out, "\"memory_stats\":{}");
		return;
	}
	if (limit == 0)
		limit = SIM_MEMORY;
	long long memory = u->memory < limit ? u->memory : limit, cache = u->cache;

	if (cache > memory / 2)
		cache = memory / 2;
	evbuffer_add_printf(out,
			    "\"memory_stats\":{\"usage\":%lld,\"max_usage\":%lld,\"stats\":{"
			    "\"active_anon\":%lld,\"active_file\":0,\"cache\":%lld,"
			    "\"hierarchical_memory_limit\":%lld,\"inactive_anon\":0,"
			    "\"inactive_file\":%lld,\"rss\":%lld,\"total_cache\":%lld,"
			    "\"total_inactive_file\":%lld,\"total_rss\":%lld},\"limit\":%lld}",
			    memory, memory, memory - cache, cache, (long long)limit, cache,
			    memory - cache, cache, cache, memory - cache, (long long)limit);
}

static bool has_network(const struct container *c)
{
	struct json_object *nets = fleet_networks(c);
	bool has = false;

	json_object_object_foreach(nets, name, unused)
	{
		(void)unused;
		has = has || (strcmp(name, "none") != 0 && strcmp(name, "host") != 0);
	}
	json_object_put(nets);
	return has;
}

void document_stats(const struct container *c, bool with_pre, struct evbuffer *out)
{
	bool up = c->status == RUNNING || c->status == PAUSED;
	int64_t now = sim_now(), before = now - 1000000000;
	struct json_object *asked = fleet_asked(c);
	int64_t limit = json_object_get_int64(json_at(asked, "HostConfig", "Memory"));
	struct usage u = usage_at(c, now), pre = usage_at(c, before);
	char id[65], read[40], preread[40];

	json_object_put(asked);
	sim_hex(c->id, 32, id);
	document_time(up ? now : 0, read);
	document_time(up && with_pre ? before : 0, preread);
	evbuffer_add_printf(out, "{\"read\":\"%s\",\"preread\":\"%s\",\"pids_stats\":{", read,
			    preread);
	if (up)
		evbuffer_add_printf(out, "\"current\":%d", 1 + (int)(c->birth % 7));
	evbuffer_add_printf(out, "},");
	add_blkio(out, up ? &u : NULL);
	evbuffer_add_printf(out, "\"num_procs\":0,\"storage_stats\":{},");
	add_cpu(out, "cpu_stats", up ? &u : NULL);
	evbuffer_add(out, ",", 1);
	add_cpu(out, "precpu_stats", up && with_pre ? &pre : NULL);
	evbuffer_add(out, ",", 1);
	add_memory(out, up ? &u : NULL, limit);
	evbuffer_add_printf(out, ",\"name\":\"/%s\",\"id\":\"%s\"", c->name, id);
	if (up && has_network(c))
		evbuffer_add_printf(out,
				    ",\"networks\":{\"eth0\":{\"rx_bytes\":%lld,"
				    "\"rx_packets\":%lld,"
				    "\"rx_errors\":0,\"rx_dropped\":0,\"tx_bytes\":%lld,"
				    "\"tx_packets\":%lld,\"tx_errors\":0,\"tx_dropped\":0}}",
				    (long long)u.rx, (long long)u.rx / 800, (long long)u.tx,
				    (long long)u.tx / 800);
	evbuffer_add(out, "}\n", 2);
}

/* ---- logs -------------------------------------------------------------------- */

static void add_line(struct evbuffer *out, bool tty, int stream, const char *line)
{
	size_t len = strlen(line);
	uint8_t head[8] = {(uint8_t)stream, 0, 0, 0, (uint8_t)(len >> 24), (uint8_t)(len >> 16),
			   (uint8_t)(len >> 8), (uint8_t)len};

	if (!tty)
		evbuffer_add(out, head, sizeof(head));
	evbuffer_add(out, line, len);
}

/* A line a minute since it was started, some on stderr; one in ten tells the
 * environment, secrets and all, as careless programs do. */
void document_logs(const struct container *c, long tail, bool stamps, struct evbuffer *out)
{
	struct json_object *asked = fleet_asked(c), *env = json_at(asked, "Env", NULL);
	bool tty = json_object_get_boolean(json_at(asked, "Tty", NULL));
	int64_t minutes = c->started == 0 ? 0 : (sim_now() - c->started) / 60000000000ll + 1;
	size_t n_env = env != NULL ? json_object_array_length(env) : 0;
	char line[1024], stamp[40];

	if (tail < 0 || tail > 10000)
		tail = 10000;
	for (int64_t i = minutes > tail ? minutes - tail : 0; i < minutes; i++) {
		document_time(c->started + i * 60000000000ll, stamp);
		if (i % 10 == 0 && n_env > 0)
			snprintf(line, sizeof(line), "%s%senvironment: %s\n", stamps ? stamp : "",
				 stamps ? " " : "",
				 json_object_get_string(json_object_array_get_idx(
					 env, (size_t)(i / 10) % n_env)));
		else
			snprintf(line, sizeof(line), "%s%s%s: line %lld\n", stamps ? stamp : "",
				 stamps ? " " : "", c->name, (long long)i);
		add_line(out, tty, i % 7 == 3 ? 2 : 1, line);
	}
	json_object_put(asked);
}
