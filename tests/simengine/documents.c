/*
 * documents.c - the reply to inspect, made from what was asked for and what
 * became of it.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "documents.h"

/* HostConfig and Config of engine 20.10 where nothing was asked for. */
static const char host_defaults[] =
	"{\"Binds\":null,\"ContainerIDFile\":\"\",\"LogConfig\":{\"Type\":\"json-file\","
	"\"Config\":{}},"
	"\"NetworkMode\":\"default\",\"PortBindings\":{},\"RestartPolicy\":{\"Name\":\"no\","
	"\"MaximumRetryCount\":0},\"AutoRemove\":false,\"VolumeDriver\":\"\",\"VolumesFrom\":null,"
	"\"CapAdd\":null,\"CapDrop\":null,\"CgroupnsMode\":\"host\",\"Dns\":null,"
	"\"DnsOptions\":null,"
	"\"DnsSearch\":null,\"ExtraHosts\":null,\"GroupAdd\":null,\"IpcMode\":\"private\","
	"\"Cgroup\":\"\","
	"\"Links\":null,\"OomScoreAdj\":0,\"PidMode\":\"\",\"Privileged\":false,"
	"\"PublishAllPorts\":false,\"ReadonlyRootfs\":false,\"SecurityOpt\":null,\"UTSMode\":\"\","
	"\"UsernsMode\":\"\",\"ShmSize\":67108864,\"Runtime\":\"runc\",\"ConsoleSize\":[0,0],"
	"\"Isolation\":\"\",\"CpuShares\":0,\"Memory\":0,\"NanoCpus\":0,\"CgroupParent\":\"\","
	"\"BlkioWeight\":0,\"BlkioWeightDevice\":null,\"BlkioDeviceReadBps\":null,"
	"\"BlkioDeviceWriteBps\":null,\"BlkioDeviceReadIOps\":null,\"BlkioDeviceWriteIOps\":null,"
	"\"CpuPeriod\":0,\"CpuQuota\":0,\"CpuRealtimePeriod\":0,\"CpuRealtimeRuntime\":0,"
	"\"CpusetCpus\":\"\",\"CpusetMems\":\"\",\"Devices\":null,\"DeviceCgroupRules\":null,"
	"\"DeviceRequests\":null,\"KernelMemory\":0,\"KernelMemoryTCP\":0,\"MemoryReservation\":0,"
	"\"MemorySwap\":0,\"MemorySwappiness\":null,\"OomKillDisable\":false,\"PidsLimit\":null,"
	"\"Ulimits\":null,\"CpuCount\":0,\"CpuPercent\":0,\"IOMaximumIOps\":0,"
	"\"IOMaximumBandwidth\":0,"
	"\"MaskedPaths\":[\"/proc/asound\",\"/proc/acpi\",\"/proc/kcore\",\"/proc/keys\","
	"\"/proc/latency_stats\",\"/proc/timer_list\",\"/proc/timer_stats\",\"/proc/sched_debug\","
	"\"/proc/scsi\",\"/sys/firmware\"],\"ReadonlyPaths\":[\"/proc/bus\",\"/proc/fs\","
	"\"/proc/irq\",\"/proc/sys\",\"/proc/sysrq-trigger\"]}";
static const char config_defaults[] =
	"{\"Hostname\":\"\",\"Domainname\":\"\",\"User\":\"\",\"AttachStdin\":false,"
	"\"AttachStdout\":false,\"AttachStderr\":false,\"Tty\":false,\"OpenStdin\":false,"
	"\"StdinOnce\":false,\"Env\":null,\"Cmd\":null,\"Image\":\"\",\"Volumes\":null,"
	"\"WorkingDir\":\"\",\"Entrypoint\":null,\"OnBuild\":null,\"Labels\":{}}";
/* ---- small things ---------------------------------------------------------------- */

void put_str(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

void put_int(struct json_object *o, const char *key, int64_t value)
{
	json_object_object_add(o, key, json_object_new_int64(value));
}

void put_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

struct json_object *get_str(struct json_object *o, const char *key)
{
	struct json_object *v = json_at(o, key, NULL);

	return v != NULL && json_object_get_string_len(v) > 0 ? v : NULL;
}

bool is_up(const struct container *c)
{
	return c->status == RUNNING || c->status == PAUSED;
}

const char *document_status(enum status s)
{
	static const char *const names[] = {"created",	  "running", "paused",
					    "restarting", "exited",  "dead"};

	return names[s];
}

const char *document_health(enum health h)
{
	static const char *const names[] = {"none", "starting", "healthy", "unhealthy"};

	return names[h];
}

/* RFC 3339 as Go writes it: no zeros at the end of the fraction; 0: year 1. */
void document_time(int64_t ns, char out[40])
{
	time_t s = ns / 1000000000;
	long rest = (long)(ns % 1000000000);
	struct tm tm;
	size_t n;

	if (ns == 0) {
		snprintf(out, 40, "0001-01-01T00:00:00Z");
		return;
	}
	gmtime_r(&s, &tm);
	n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	if (rest != 0) {
		n += (size_t)snprintf(out + n, 40 - n, ".%09ld", rest);
		while (out[n - 1] == '0')
			n--;
	}
	snprintf(out + n, 40 - n, "Z");
}

void put_time(struct json_object *o, const char *key, int64_t ns)
{
	char text[40];

	document_time(ns, text);
	put_str(o, key, text);
}

void image_id(const char *reference, char out[72])
{
	uint64_t h = 5381;

	for (; *reference != '\0'; reference++)
		h = h * 33 + (uint8_t)*reference;
	snprintf(out, 72, "sha256:%016llx%016llx%016llx%016llx", (unsigned long long)sim_hash(h, 1),
		 (unsigned long long)sim_hash(h, 2), (unsigned long long)sim_hash(h, 3),
		 (unsigned long long)sim_hash(h, 4));
}

/* The defaults, and over them what was asked for of the same keys (and of
 * `more`, which an engine leaves out when they were not given). */
static struct json_object *overlay(const char *defaults, struct json_object *asked,
				   const char *const *more)
{
	struct json_object *o = json_tokener_parse(defaults), *v;

	if (asked == NULL)
		return o;
	json_object_object_foreach(asked, key, value)
	{
		bool take = value != NULL && json_object_object_get_ex(o, key, &v);

		for (int i = 0; more[i] != NULL && value != NULL; i++)
			take = take || strcmp(more[i], key) == 0;
		if (take)
			json_object_object_add(o, key, json_object_get(value));
	}
	return o;
}

static struct json_object *host_config(struct json_object *asked)
{
	static const char *const more[] = {"Tmpfs", "Mounts", "Init", "Sysctls", NULL};
	struct json_object *o = overlay(host_defaults, json_at(asked, "HostConfig", NULL), more);
	struct json_object *policy = json_at(o, "RestartPolicy", NULL);
	struct json_object *log = json_at(o, "LogConfig", NULL);
	int64_t memory = json_object_get_int64(json_at(o, "Memory", NULL));

	if (json_at(policy, "MaximumRetryCount", NULL) == NULL)
		put_int(policy, "MaximumRetryCount", 0);
	if (json_at(log, "Config", NULL) == NULL)
		json_object_object_add(log, "Config", json_object_new_object());
	if (json_object_get_boolean(json_at(o, "Privileged", NULL))) {
		json_object_object_add(o, "MaskedPaths", NULL);
		json_object_object_add(o, "ReadonlyPaths", NULL);
		json_object_object_add(o, "SecurityOpt", json_tokener_parse("[\"label=disable\"]"));
	}
	if (memory != 0 && json_object_get_int64(json_at(o, "MemorySwap", NULL)) == 0)
		put_int(o, "MemorySwap", 2 * memory);
	return o;
}

static struct json_object *config(const struct container *c, struct json_object *asked)
{
	static const char *const more[] = {"ExposedPorts", "Healthcheck", "StopSignal",
					   "StopTimeout",  "Shell",	  NULL};
	struct json_object *o = overlay(config_defaults, asked, more);
	struct json_object *bindings = json_at(asked, "HostConfig", "PortBindings");
	char id[65];

	sim_hex(c->id, 32, id);
	id[12] = '\0';
	if (get_str(o, "Hostname") == NULL)
		put_str(o, "Hostname", id);
	if (json_at(o, "ExposedPorts", NULL) == NULL && bindings != NULL &&
	    json_object_object_length(bindings) > 0) {
		struct json_object *ports = json_object_new_object();

		json_object_object_foreach(bindings, port, unused)
		{
			(void)unused;
			json_object_object_add(ports, port, json_object_new_object());
		}
		json_object_object_add(o, "ExposedPorts", ports);
	}
	return o;
}

/* ---- mounts ------------------------------------------------------------------------ */

static struct json_object *mount_of(const char *bind)
{
	char source[512], destination[512], mode[64] = "", path[640];
	struct json_object *o;

	if (sscanf(bind, "%511[^:]:%511[^:]:%63s", source, destination, mode) < 2)
		return NULL;
	o = json_object_new_object();
	bool volume = source[0] != '/';

	put_str(o, "Type", volume ? "volume" : "bind");
	if (volume)
		put_str(o, "Name", source);
	snprintf(path, sizeof(path), "/var/lib/docker/volumes/%s/_data", source);
	put_str(o, "Source", volume ? path : source);
	put_str(o, "Destination", destination);
	if (volume)
		put_str(o, "Driver", "local");
	put_str(o, "Mode", mode[0] != '\0' ? mode : volume ? "z" : "");
	put_bool(o, "RW", strncmp(mode, "ro", 2) != 0);
	put_str(o, "Propagation", volume ? "" : "rprivate");
	return o;
}

struct json_object *mounts(struct json_object *asked)
{
	struct json_object *binds = json_at(asked, "HostConfig", "Binds");
	struct json_object *list = json_object_new_array(), *o;

	if (binds == NULL || !json_object_is_type(binds, json_type_array))
		return list;
	for (size_t i = 0; i < json_object_array_length(binds); i++) {
		o = mount_of(json_object_get_string(json_object_array_get_idx(binds, i)));
		if (o != NULL)
			json_object_array_add(list, o);
	}
	return list;
}

/* ---- inspect ----------------------------------------------------------------------- */

static struct json_object *health_of(const struct container *c)
{
	struct json_object *o = json_object_new_object(), *log = json_object_new_array();
	struct json_object *one = json_object_new_object();
	bool fine = c->health == HEALTH_HEALTHY;

	put_str(o, "Status", document_health(c->health));
	put_int(o, "FailingStreak", c->streak);
	if (c->health != HEALTH_STARTING) {
		put_time(one, "Start", c->started + 1000000000);
		put_time(one, "End", c->started + 1050000000);
		put_int(one, "ExitCode", fine ? 0 : 1);
		put_str(one, "Output", fine ? "" : "check failed\n");
		json_object_array_add(log, json_object_get(one));
	}
	json_object_put(one);
	json_object_object_add(o, "Log", log);
	return o;
}

static struct json_object *state_of(const struct container *c)
{
	struct json_object *o = json_object_new_object();

	put_str(o, "Status", document_status(c->status));
	put_bool(o, "Running", is_up(c) || c->status == RESTARTING);
	put_bool(o, "Paused", c->status == PAUSED);
	put_bool(o, "Restarting", c->status == RESTARTING);
	put_bool(o, "OOMKilled", c->oom);
	put_bool(o, "Dead", c->status == DEAD);
	put_int(o, "Pid", c->pid);
	put_int(o, "ExitCode", c->exit_code);
	put_str(o, "Error", c->error != NULL ? c->error : "");
	put_time(o, "StartedAt", c->started);
	put_time(o, "FinishedAt", c->finished);
	if (c->health != HEALTH_NONE)
		json_object_object_add(o, "Health", health_of(c));
	return o;
}

/* Path and Args: the words of entrypoint and command, apart. */
void put_words(struct json_object *o, struct json_object *asked)
{
	static const char *const from[] = {"Entrypoint", "Cmd"};
	struct json_object *args = json_object_new_array();
	const char *path = "";
	bool first = true;

	for (int k = 0; k < 2; k++) {
		struct json_object *v = json_at(asked, from[k], NULL);

		for (size_t i = 0; v != NULL && i < json_object_array_length(v); i++) {
			struct json_object *w = json_object_array_get_idx(v, i);

			if (first)
				path = json_object_get_string(w);
			else
				json_object_array_add(args, json_object_get(w));
			first = false;
		}
	}
	put_str(o, "Path", path);
	json_object_object_add(o, "Args", args);
}

static struct json_object *graph_driver(const char *id)
{
	static const char *const dirs[] = {"LowerDir", "MergedDir", "UpperDir", "WorkDir"};
	struct json_object *o = json_object_new_object(), *data = json_object_new_object();
	char path[192];

	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "/var/lib/docker/overlay2/%s/%s", id, dirs[i]);
		put_str(data, dirs[i], path);
	}
	json_object_object_add(o, "Data", data);
	put_str(o, "Name", "overlay2");
	return o;
}

static void put_paths(const struct container *c, struct json_object *o, const char *id)
{
	static const struct { const char *key, *file; } files[] = {
		{"ResolvConfPath", "resolv.conf"},
		{"HostnamePath", "hostname"},
		{"HostsPath", "hosts"},
	};
	char path[256];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/var/lib/docker/containers/%s/%s", id, files[i].file);
		put_str(o, files[i].key, c->started != 0 ? path : "");
	}
	snprintf(path, sizeof(path), "/var/lib/docker/containers/%s/%s-json.log", id, id);
	put_str(o, "LogPath", c->started != 0 ? path : "");
}

struct json_object *document_inspect(const struct container *c, int api_minor)
{
	struct json_object *o = json_object_new_object(), *asked = fleet_asked(c);
	char id[65], name[300], image[72];

	sim_hex(c->id, 32, id);
	snprintf(name, sizeof(name), "/%s", c->name);
	image_id(json_object_get_string(json_at(asked, "Image", NULL)), image);
	put_str(o, "Id", id);
	put_time(o, "Created", c->created);
	put_words(o, asked);
	json_object_object_add(o, "State", state_of(c));
	put_str(o, "Image", image);
	put_paths(c, o, id);
	put_str(o, "Name", name);
	put_int(o, "RestartCount", c->restarts);
	put_str(o, "Driver", "overlay2");
	put_str(o, "Platform", "linux");
	put_str(o, "MountLabel", "");
	put_str(o, "ProcessLabel", "");
	put_str(o, "AppArmorProfile", "");
	json_object_object_add(o, "ExecIDs", NULL);
	json_object_object_add(o, "HostConfig", host_config(asked));
	json_object_object_add(o, "GraphDriver", graph_driver(id));
	json_object_object_add(o, "Mounts", mounts(asked));
	json_object_object_add(o, "Config", config(c, asked));
	json_object_object_add(o, "NetworkSettings", network_settings(c, asked, api_minor));
	json_object_put(asked);
	return o;
}
