/*
 * listing.c - what the engine says about all: the rows of the list, its version,
 * and what machine it runs on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "documents.h"

/* ---- the list ---------------------------------------------------------------------- */

static void ago(int64_t ns, char *out, size_t len)
{
	int64_t s = (sim_now() - ns) / 1000000000;

	if (s < 120)
		snprintf(out, len, "%lld seconds", (long long)s);
	else if (s < 7200)
		snprintf(out, len, "%lld minutes", (long long)(s / 60));
	else if (s < 172800)
		snprintf(out, len, "%lld hours", (long long)(s / 3600));
	else
		snprintf(out, len, "%lld days", (long long)(s / 86400));
}

static void put_status_text(const struct container *c, struct json_object *o)
{
	char text[128], time[32];

	ago(is_up(c) ? c->started : c->finished, time, sizeof(time));
	if (is_up(c))
		snprintf(text, sizeof(text), "Up %s%s%s%s%s", time,
			 c->status == PAUSED ? " (Paused)" : "",
			 c->health != HEALTH_NONE ? " (" : "",
			 c->health == HEALTH_NONE	? ""
			 : c->health == HEALTH_STARTING ? "health: starting"
							: document_health(c->health),
			 c->health != HEALTH_NONE ? ")" : "");
	else if (c->status == CREATED)
		snprintf(text, sizeof(text), "Created");
	else
		snprintf(text, sizeof(text), "%s (%d) %s ago",
			 c->status == RESTARTING ? "Restarting" : "Exited", c->exit_code, time);
	put_str(o, "Status", text);
}

/* The list's own form of the ports: one object for each binding. */
static struct json_object *list_ports(const struct container *c, struct json_object *asked)
{
	struct json_object *from = ports(c, asked), *list = json_object_new_array();
	struct json_object *o;

	json_object_object_foreach(from, key, bound)
	{
		char proto[16] = "tcp";
		int port = 0;
		size_t n = bound != NULL ? json_object_array_length(bound) : 0;

		sscanf(key, "%d/%15s", &port, proto);
		for (size_t i = 0; i < (n > 0 ? n : 1); i++) {
			struct json_object *b = n > 0 ? json_object_array_get_idx(bound, i) : NULL;

			o = json_object_new_object();
			if (b != NULL)
				put_str(o, "IP",
					json_object_get_string(json_at(b, "HostIp", NULL)));
			put_int(o, "PrivatePort", port);
			if (b != NULL)
				put_int(o, "PublicPort",
					atoi(json_object_get_string(json_at(b, "HostPort", NULL))));
			put_str(o, "Type", proto);
			json_object_array_add(list, o);
		}
	}
	json_object_put(from);
	return list;
}

struct json_object *document_list(const struct container *c)
{
	struct json_object *o = json_object_new_object(), *asked = fleet_asked(c);
	struct json_object *names = json_object_new_array(), *v, *labels, *words, *args;
	struct json_object *mode = json_at(asked, "HostConfig", "NetworkMode");
	char id[65], text[512], image[72];

	sim_hex(c->id, 32, id);
	snprintf(text, sizeof(text), "/%s", c->name);
	image_id(json_object_get_string(json_at(asked, "Image", NULL)), image);
	put_str(o, "Id", id);
	json_object_array_add(names, json_object_new_string(text));
	json_object_object_add(o, "Names", names);
	put_str(o, "Image", json_object_get_string(json_at(asked, "Image", NULL)));
	put_str(o, "ImageID", image);
	words = json_object_new_object();
	put_words(words, asked);
	snprintf(text, sizeof(text), "%s", json_object_get_string(json_at(words, "Path", NULL)));
	args = json_at(words, "Args", NULL);
	for (size_t i = 0; i < json_object_array_length(args); i++) {
		size_t used = strlen(text);

		snprintf(text + used, sizeof(text) - used, " %s",
			 json_object_get_string(json_object_array_get_idx(args, i)));
	}
	json_object_put(words);
	put_str(o, "Command", text);
	put_int(o, "Created", c->created / 1000000000);
	json_object_object_add(o, "Ports", list_ports(c, asked));
	labels = json_at(asked, "Labels", NULL);
	json_object_object_add(o, "Labels",
			       labels != NULL ? json_object_get(labels) : json_object_new_object());
	put_str(o, "State", document_status(c->status));
	put_status_text(c, o);
	v = json_object_new_object();
	put_str(v, "NetworkMode", mode != NULL ? json_object_get_string(mode) : "default");
	json_object_object_add(o, "HostConfig", v);
	v = json_object_new_object();
	json_object_object_add(v, "Networks", endpoints(c, 45, true));
	json_object_object_add(o, "NetworkSettings", v);
	json_object_object_add(o, "Mounts", mounts(asked));
	json_object_put(asked);
	return o;
}

/* ---- the engine itself --------------------------------------------------------------- */

struct json_object *document_version(const struct sim *s)
{
	struct json_object *o = json_object_new_object(), *v = json_object_new_object();
	struct json_object *list = json_object_new_array(), *details = json_object_new_object();
	char api[16], least[16];

	snprintf(api, sizeof(api), "1.%d", s->api_minor);
	snprintf(least, sizeof(least), "1.%d", s->api_least);
	put_str(v, "Name", "simengine");
	json_object_object_add(o, "Platform", v);
	v = json_object_new_object();
	put_str(v, "Name", "Engine");
	put_str(v, "Version", SIM_VERSION);
	put_str(details, "ApiVersion", api);
	put_str(details, "Arch", "amd64");
	put_str(details, "BuildTime", "2023-05-07T21:09:36.000000000+00:00");
	put_str(details, "Experimental", "false");
	put_str(details, "GitCommit", "simulated");
	put_str(details, "GoVersion", "none");
	put_str(details, "KernelVersion", "6.1.0-sim");
	put_str(details, "MinAPIVersion", least);
	put_str(details, "Os", "linux");
	json_object_object_add(v, "Details", details);
	json_object_array_add(list, v);
	json_object_object_add(o, "Components", list);
	put_str(o, "Version", SIM_VERSION);
	put_str(o, "ApiVersion", api);
	put_str(o, "MinAPIVersion", least);
	put_str(o, "GitCommit", "simulated");
	put_str(o, "GoVersion", "none");
	put_str(o, "Os", "linux");
	put_str(o, "Arch", "amd64");
	put_str(o, "KernelVersion", "6.1.0-sim");
	put_str(o, "BuildTime", "2023-05-07T21:09:36.000000000+00:00");
	return o;
}

struct json_object *document_info(const struct engine *e)
{
	struct json_object *o = json_object_new_object();
	int64_t up = 0, paused = 0;

	for (size_t i = 0; i < e->n; i++) {
		up += e->v[i]->status == RUNNING || e->v[i]->status == RESTARTING;
		paused += e->v[i]->status == PAUSED;
	}
	put_str(o, "ID", "SIMU:LATE:DENG:INE0");
	put_int(o, "Containers", (int64_t)e->n);
	put_int(o, "ContainersRunning", up);
	put_int(o, "ContainersPaused", paused);
	put_int(o, "ContainersStopped", (int64_t)e->n - up - paused);
	put_int(o, "Images", (int64_t)e->n_images);
	put_str(o, "Driver", "overlay2");
	put_bool(o, "MemoryLimit", true);
	put_bool(o, "SwapLimit", true);
	put_time(o, "SystemTime", sim_now());
	put_str(o, "LoggingDriver", "json-file");
	put_str(o, "CgroupDriver", "cgroupfs");
	put_str(o, "CgroupVersion", "1");
	put_str(o, "KernelVersion", "6.1.0-sim");
	put_str(o, "OperatingSystem", "Simulated Engine");
	put_str(o, "OSVersion", "12");
	put_str(o, "OSType", "linux");
	put_str(o, "Architecture", "x86_64");
	put_int(o, "NCPU", SIM_CPUS);
	put_int(o, "MemTotal", SIM_MEMORY);
	put_str(o, "DockerRootDir", "/var/lib/docker");
	put_str(o, "Name", e->name);
	put_str(o, "ServerVersion", SIM_VERSION);
	put_str(o, "DefaultRuntime", "runc");
	put_bool(o, "LiveRestoreEnabled", false);
	json_object_object_add(o, "Warnings", NULL);
	return o;
}
