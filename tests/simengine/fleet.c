/*
 * fleet.c - which containers an engine has, and what the seed asks for.
 *
 * Each is in two chained tables, by id and by name, and in a list by age.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim.h"

static int64_t clock_error;

void sim_set_clock(double seconds)
{
	clock_error = (int64_t)(seconds * 1e9);
}

int64_t sim_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + clock_error;
}

/* splitmix64 */
static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint64_t sim_random(struct sim *s)
{
	return mix(s->random += 0x9e3779b97f4a7c15ull);
}

uint64_t sim_hash(uint64_t a, uint64_t b)
{
	return mix(mix(a + 0x9e3779b97f4a7c15ull) ^ (b + 0x632be59bd9b4e019ull));
}

void sim_hex(const uint8_t *bytes, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

struct json_object *json_at(struct json_object *o, const char *key, const char *key2)
{
	struct json_object *v;

	if (o == NULL || !json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, key, &v))
		return NULL;
	return key2 == NULL ? v : json_at(v, key2, NULL);
}

/* ---- tables ---------------------------------------------------------------- */

static struct container **id_bucket(const struct engine *e, const uint8_t *id)
{
	uint64_t h;

	memcpy(&h, id, sizeof(h));
	return &e->by_id[h & (e->buckets - 1)];
}

static struct container **name_bucket(const struct engine *e, const char *name)
{
	uint64_t h = 14695981039346656037ull;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 1099511628211ull;
	return &e->by_name[h & (e->buckets - 1)];
}

static void link_name(struct container *c)
{
	struct container **b = name_bucket(c->engine, c->name);

	c->next_by_name = *b;
	*b = c;
}

static void unlink_name(struct container *c)
{
	struct container **b = name_bucket(c->engine, c->name);

	while (*b != c)
		b = &(*b)->next_by_name;
	*b = c->next_by_name;
}

static struct container *find_prefix(struct engine *e, const char *prefix)
{
	struct container *found = NULL;
	size_t len = strlen(prefix);
	char id[65];

	for (size_t i = 0; i < e->n; i++) {
		sim_hex(e->v[i]->id, 32, id);
		if (strncmp(id, prefix, len) != 0)
			continue;
		if (found != NULL)
			return NULL;
		found = e->v[i];
	}
	return found;
}

struct container *fleet_find(struct engine *e, const char *what)
{
	size_t len = strlen(what);
	uint8_t id[32];

	if (len == 64 && strspn(what, "0123456789abcdef") == 64) {
		for (int i = 0; i < 32; i++) {
			unsigned byte;

			sscanf(what + 2 * i, "%2x", &byte);
			id[i] = (uint8_t)byte;
		}
		for (struct container *c = *id_bucket(e, id); c != NULL; c = c->next_by_id)
			if (memcmp(c->id, id, 32) == 0)
				return c;
		return NULL;
	}
	if (*what == '/')
		what++;
	for (struct container *c = *name_bucket(e, what); c != NULL; c = c->next_by_name)
		if (strcmp(c->name, what) == 0)
			return c;
	return len > 0 && strspn(what, "0123456789abcdef") == len ? find_prefix(e, what) : NULL;
}

struct container *fleet_add(struct engine *e, const char *name, struct json_object *asked)
{
	struct container *c = calloc(1, sizeof(*c));

	if (e->n == e->room) {
		size_t room = e->room != 0 ? 2 * e->room : 64;
		struct container **v = realloc(e->v, room * sizeof(struct container *));

		if (v != NULL) {
			e->v = v;
			e->room = room;
		}
	}
	if (c == NULL || e->n == e->room || (c->name = strdup(name)) == NULL) {
		free(c);
		return NULL;
	}
	c->engine = e;
	c->birth = (uint32_t)e->births++;
	c->asked = asked;
	c->created = sim_now();
	for (int i = 0; i < 4; i++) {
		uint64_t word = sim_hash(e->seed + (uint64_t)i, c->birth);

		memcpy(c->id + 8 * i, &word, 8);
	}
	struct container **b = id_bucket(e, c->id);

	c->next_by_id = *b;
	*b = c;
	link_name(c);
	e->v[e->n++] = c;
	return c;
}

void fleet_remove(struct container *c)
{
	struct engine *e = c->engine;
	struct container **b = id_bucket(e, c->id);
	size_t i = 0;

	while (*b != c)
		b = &(*b)->next_by_id;
	*b = c->next_by_id;
	unlink_name(c);
	while (e->v[i] != c)
		i++;
	memmove(e->v + i, e->v + i + 1, (e->n - i - 1) * sizeof(struct container *));
	e->n--;
	if (c->timer != NULL)
		event_free(c->timer);
	json_object_put(c->asked);
	json_object_put(c->networks);
	free(c->error);
	free(c->name);
	free(c);
}

void fleet_rename(struct container *c, const char *name)
{
	char *copy = strdup(name);

	if (copy == NULL)
		return;
	unlink_name(c);
	free(c->name);
	c->name = copy;
	link_name(c);
}

struct network *fleet_network(struct engine *e, const char *name, bool make)
{
	struct network *n;

	for (size_t i = 0; i < e->n_networks; i++)
		if (strcmp(e->networks[i].name, name) == 0 || strcmp(e->networks[i].id, name) == 0)
			return &e->networks[i];
	if (!make || e->n_networks == SIM_NETWORKS)
		return NULL;
	if (e->n_networks % 8 == 0) {
		n = realloc(e->networks, (e->n_networks + 8) * sizeof(*n));
		if (n == NULL)
			return NULL;
		e->networks = n;
	}
	n = &e->networks[e->n_networks];
	snprintf(n->name, sizeof(n->name), "%s", name);
	for (int i = 0; i < 4; i++)
		snprintf(n->id + 16 * i, 17, "%016llx",
			 (unsigned long long)sim_hash(e->seed ^ 0x6e657477ull,
						      e->n_networks * 4 + (size_t)i));
	n->subnet = (uint8_t)e->n_networks++;
	return n;
}

bool fleet_has_image(const struct engine *e, const char *reference)
{
	for (size_t i = 0; i < e->n_images; i++)
		if (strcmp(e->images[i], reference) == 0)
			return true;
	return false;
}

void fleet_add_image(struct engine *e, const char *reference)
{
	if (e->n_images < sizeof(e->images) / sizeof(e->images[0]) &&
	    !fleet_has_image(e, reference))
		e->images[e->n_images++] = strdup(reference);
}

/* ---- what the seed asks for -------------------------------------------------- */

/* One service of a stack.  %u is the number of its project. */
static const struct service {
	const char *name, *image, *cmd, *config, *host;
} services[] = {
	{"web", "nginx:1.21-alpine", "[\"nginx\",\"-g\",\"daemon off;\"]",
	 "\"ExposedPorts\":{\"80/tcp\":{},\"443/tcp\":{}},\"Env\":[\"PATH=/usr/sbin:/usr/bin\","
	 "\"NGINX_VERSION=1.21.6\",\"API_TOKEN=token-of-web-%u\"],\"Healthcheck\":{\"Test\":"
	 "[\"CMD\",\"wget\",\"-q\",\"localhost\"],\"Interval\":5000000000}",
	 "\"Binds\":[\"/srv/stack%u/appdata/html:/usr/share/nginx/html:ro\"],\"Memory\":134217728"},
	{"api", "registry.example.net/shop/api:2.14.0",
	 "[\"gunicorn\",\"-b\",\":8000\",\"api:app\"]",
	 "\"ExposedPorts\":{\"8000/tcp\":{}},\"Env\":[\"PATH=/usr/local/bin:/usr/bin\","
	 "\"DATABASE_URL=postgres://app:hunter2-%u@db/app\",\"TZ=Europe/Zürich\"],"
	 "\"WorkingDir\":\"/app\",\"User\":\"1000:1000\"",
	 "\"Binds\":[\"/srv/stack%u/config:/etc/api:ro\"],\"Memory\":536870912"},
	{"db", "postgres:15.3", "[\"postgres\"]",
	 "\"ExposedPorts\":{\"5432/tcp\":{}},\"Env\":[\"POSTGRES_PASSWORD=swordfish-%u\","
	 "\"PGDATA=/var/lib/postgresql/data\"],\"Entrypoint\":[\"docker-entrypoint.sh\"],"
	 "\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"pg_isready\"],\"Interval\":5000000000}",
	 "\"Binds\":[\"stack%u_pgdata:/var/lib/postgresql/data\"]"},
	{"cache", "redis:7", "[\"redis-server\",\"--save\",\"\"]",
	 "\"ExposedPorts\":{\"6379/tcp\":{}},\"Env\":[\"REDIS_VERSION=7.0.11\",\"UNSET\"]",
	 "\"Binds\":[\"/srv/stack%u/data/redis:/data\"]"},
	{"worker", "registry.example.net/shop/worker:2.14.0", "[\"celery\",\"-A\",\"tasks\"]",
	 "\"Env\":[\"CELERY_BROKER=redis://:s3cret-%u@cache:6379/0\"]",
	 "\"Privileged\":false"},
};
enum { SERVICES = sizeof(services) / sizeof(services[0]) };

static void write_asked(const struct container *c, char *out, size_t len)
{
	const struct service *s = &services[c->birth % SERVICES];
	unsigned p = c->birth / SERVICES;
	char config[1024], host[256], ports[96] = "{}";

	/* The formats are those of the table above. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(config, sizeof(config), s->config, p);
	snprintf(host, sizeof(host), s->host, p);
#pragma GCC diagnostic pop
	if (c->birth % SERVICES == 0)
		snprintf(ports, sizeof(ports),
			 "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"%u\"}]}", 8000 + p % 50000);
	snprintf(out, len,
		 "{\"Image\":\"%s\",\"Cmd\":%s,%s,\"Labels\":{"
		 "\"com.docker.compose.project\":\"stack%u\",\"com.docker.compose.service\":\"%s\","
		 "\"com.docker.compose.container-number\":\"1\","
		 "\"com.docker.compose.oneoff\":\"False\","
		 "\"com.docker.compose.config-hash\":\"%016llx\","
		 "\"com.docker.compose.depends_on\":\"%s\","
		 "\"com.docker.compose.project.working_dir\":\"/srv/stack%u\","
		 "\"com.docker.compose.project.config_files\":\"/srv/stack%u/docker-compose.yml\","
		 "\"org.example.tier\":\"%s\"},"
		 "\"HostConfig\":{%s,\"NetworkMode\":\"stack%u_default\",\"PortBindings\":%s,"
		 "\"RestartPolicy\":{\"Name\":\"%s\",\"MaximumRetryCount\":0}},"
		 "\"NetworkingConfig\":{\"EndpointsConfig\":{\"stack%u_default\":"
		 "{\"Aliases\":[\"%s\"]}}}}",
		 s->image, s->cmd, config, p, s->name, (unsigned long long)sim_hash(1, p),
		 strcmp(s->name, "api") == 0 ? "db:service_healthy:true,cache:service_started:true"
		 : strcmp(s->name, "web") == 0 ? "api:service_started:false"
					       : "",
		 p, p, p % 3 == 0 ? "production" : "staging", host, p, ports,
		 p % 4 == 0 ? "always" : "unless-stopped", p, s->name);
}

struct json_object *fleet_asked(const struct container *c)
{
	char text[4096];

	if (c->asked != NULL)
		return json_object_get(c->asked);
	write_asked(c, text, sizeof(text));
	return json_tokener_parse(text);
}

struct json_object *fleet_networks(const struct container *c)
{
	struct json_object *asked, *n, *mode;

	if (c->networks != NULL)
		return json_object_get(c->networks);
	asked = fleet_asked(c);
	n = json_at(asked, "NetworkingConfig", "EndpointsConfig");
	if (n != NULL && json_object_object_length(n) > 0) {
		json_object_get(n);
	} else {
		mode = json_at(asked, "HostConfig", "NetworkMode");
		const char *name = mode != NULL ? json_object_get_string(mode) : "default";

		n = json_object_new_object();
		json_object_object_add(n, strcmp(name, "default") == 0 ? "bridge" : name,
				       json_object_new_object());
	}
	json_object_put(asked);
	return n;
}

int fleet_fill(struct engine *e, unsigned containers)
{
	char name[64];

	for (e->buckets = 64; e->buckets < containers * 2ull; e->buckets *= 2)
		;
	e->by_id = calloc(e->buckets, sizeof(struct container *));
	e->by_name = calloc(e->buckets, sizeof(struct container *));
	if (e->by_id == NULL || e->by_name == NULL)
		return -1;
	fleet_network(e, "bridge", true);
	fleet_network(e, "host", true);
	fleet_network(e, "none", true);
	for (size_t i = 0; i < SERVICES; i++)
		fleet_add_image(e, services[i].image);
	for (unsigned i = 0; i < containers; i++) {
		snprintf(name, sizeof(name), "stack%u-%s-1", i / SERVICES,
			 services[i % SERVICES].name);
		struct container *c = fleet_add(e, name, NULL);

		if (c == NULL)
			return -1;
		life_begin(c);
	}
	return 0;
}
