/*
 * life.c - what becomes of a container: its states, and the events that tell of
 * them, in the order in which an engine sends them.
 *
 * The program of a container is told from its words: "sleep N" ends after N
 * seconds, "true", "false" and a shell's "exit N" at once, a path outside of
 * /bin, /sbin and /usr cannot be started, and all else runs for ever.  A health check fails where
 * its words hold "false" or "exit 1".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define SECOND 1000000000ll

/* ---- what was asked for ------------------------------------------------------ */

struct program {
	bool missing;
	char name[256];
	double seconds; /* it runs; < 0: for ever */
	int exit_code;
};

static void append_words(struct json_object *v, char *out, size_t len)
{
	if (v == NULL || !json_object_is_type(v, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		size_t used = strlen(out);

		snprintf(out + used, len - used, "%s%s", used > 0 ? " " : "",
			 json_object_get_string(json_object_array_get_idx(v, i)));
	}
}

static struct program program_of(struct json_object *asked)
{
	struct program p = {.seconds = -1};
	char words[1024] = "", *at;

	append_words(json_at(asked, "Entrypoint", NULL), words, sizeof(words));
	append_words(json_at(asked, "Cmd", NULL), words, sizeof(words));
	snprintf(p.name, sizeof(p.name), "%.*s", (int)strcspn(words, " ") & 255, words);
	p.missing = p.name[0] == '/' && strncmp(p.name, "/bin/", 5) != 0 &&
		    strncmp(p.name, "/sbin/", 6) != 0 && strncmp(p.name, "/usr/", 5) != 0;
	if ((at = strstr(words, "sleep ")) != NULL)
		p.seconds = strtod(at + 6, NULL);
	else if (strcmp(p.name, "true") == 0 || strcmp(p.name, "echo") == 0)
		p.seconds = 0;
	else if (strcmp(p.name, "false") == 0 || strstr(words, "exit ") != NULL)
		p.seconds = 0;
	if (strcmp(p.name, "false") == 0)
		p.exit_code = 1;
	if ((at = strstr(words, "exit ")) != NULL)
		p.exit_code = atoi(at + 5);
	return p;
}

static bool check_passes(struct json_object *asked)
{
	char words[512] = "";

	append_words(json_at(asked, "Healthcheck", "Test"), words, sizeof(words));
	return strstr(words, "false") == NULL && strstr(words, "exit 1") == NULL;
}

/* ns between two health checks; 0: there is none. */
static int64_t check_interval(struct json_object *asked)
{
	char words[512] = "";
	int64_t every = json_object_get_int64(json_at(asked, "Healthcheck", "Interval"));

	append_words(json_at(asked, "Healthcheck", "Test"), words, sizeof(words));
	if (words[0] == '\0' || strncmp(words, "NONE", 4) == 0)
		return 0;
	return every != 0 ? every : 30 * SECOND;
}

/* Does the policy start it again, having ended with this code? */
static bool policy_restarts(const struct container *c, struct json_object *asked, int exit_code)
{
	struct json_object *policy = json_at(asked, "HostConfig", "RestartPolicy");
	const char *name = json_object_get_string(json_at(policy, "Name", NULL));
	int most = json_object_get_int(json_at(policy, "MaximumRetryCount", NULL));

	if (name == NULL || c->stopped_by_hand)
		return false;
	if (strcmp(name, "always") == 0 || strcmp(name, "unless-stopped") == 0)
		return true;
	return strcmp(name, "on-failure") == 0 && exit_code != 0 &&
	       (most == 0 || c->restarts < most);
}

/* ---- time -------------------------------------------------------------------- */

static void on_time(evutil_socket_t fd, short what, void *arg);

/* Sets the timer to what comes first. */
static void schedule(struct container *c)
{
	const int64_t at[] = {c->exit_at, c->health_at, c->restart_at};
	int64_t first = 0, now = sim_now();

	for (int i = 0; i < 3; i++)
		if (at[i] != 0 && (first == 0 || at[i] < first))
			first = at[i];
	if (first == 0) {
		if (c->timer != NULL)
			event_del(c->timer);
		return;
	}
	if (c->timer == NULL)
		c->timer = event_new(c->engine->sim->base, -1, 0, on_time, c);
	int64_t wait = first > now ? first - now : 0;
	struct timeval tv = {wait / SECOND, wait % SECOND / 1000 + 1};

	event_add(c->timer, &tv);
}

static void check_health(struct container *c)
{
	struct json_object *asked = fleet_asked(c);
	int retries = json_object_get_int(json_at(asked, "Healthcheck", "Retries"));

	c->health_at = sim_now() + check_interval(asked);
	if (check_passes(asked)) {
		c->streak = 0;
		if (c->health != HEALTH_HEALTHY)
			life_health(c, HEALTH_HEALTHY);
		c->health_at = 0; /* it will not change by itself */
	} else if (++c->streak >= (retries != 0 ? retries : 3)) {
		if (c->health != HEALTH_UNHEALTHY)
			life_health(c, HEALTH_UNHEALTHY);
		c->health_at = 0;
	}
	json_object_put(asked);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct container *c = arg;
	int64_t now = sim_now();

	(void)fd;
	(void)what;
	if (c->restart_at != 0 && c->restart_at <= now) {
		c->restart_at = 0;
		c->restarts++;
		life_start(c);
	} else if (c->exit_at != 0 && c->exit_at <= now && c->status == RUNNING) {
		struct json_object *asked = fleet_asked(c);
		struct program p = program_of(asked);

		json_object_put(asked);
		life_die(c, p.exit_code, false);
	} else if (c->health_at != 0 && c->health_at <= now && c->status == RUNNING) {
		check_health(c);
	}
	schedule(c);
}

/* ---- networks and volumes ---------------------------------------------------- */

static void make_networks(const struct container *c)
{
	struct json_object *nets = fleet_networks(c);

	json_object_object_foreach(nets, name, unused)
	{
		(void)unused;
		fleet_network(c->engine, name, true);
	}
	json_object_put(nets);
}

static void tell_networks(struct container *c, const char *action)
{
	struct json_object *nets = fleet_networks(c);

	json_object_object_foreach(nets, name, unused)
	{
		struct network *n = fleet_network(c->engine, name, true);

		(void)unused;
		if (n != NULL)
			events_network(c, n, action);
	}
	json_object_put(nets);
}

static void tell_volumes(struct container *c, struct json_object *asked, const char *action)
{
	struct json_object *binds = json_at(asked, "HostConfig", "Binds");

	for (size_t i = 0; binds != NULL && i < json_object_array_length(binds); i++) {
		const char *b = json_object_get_string(json_object_array_get_idx(binds, i));
		char volume[256], destination[256];

		if (b[0] != '/' && sscanf(b, "%255[^:]:%255[^:]", volume, destination) == 2)
			events_volume(c, volume, strcmp(action, "mount") == 0 ? destination : NULL,
				      action);
	}
}

/* ---- states ------------------------------------------------------------------ */

void life_begin(struct container *c)
{
	uint64_t r = sim_hash(c->engine->seed, c->birth ^ 0x6c696665u);
	struct json_object *asked = fleet_asked(c);
	unsigned chance = (unsigned)(r % 100);
	int64_t now = sim_now();

	make_networks(c);
	c->created = now - (int64_t)(r % (90 * 86400)) * SECOND - 600 * SECOND;
	c->started = c->created + (int64_t)(r % 500) * SECOND;
	c->pid = 1000 + c->birth;
	c->status = RUNNING;
	if (check_interval(asked) != 0)
		c->health = chance % 17 == 3 ? HEALTH_UNHEALTHY : HEALTH_HEALTHY;
	if (chance >= 97) {
		c->status = CREATED;
		c->started = 0;
		c->health = HEALTH_NONE; /* before the first start none is known */
	} else if (chance >= 88) {
		c->status = EXITED;
		c->finished = c->started + 60 * SECOND;
		c->exit_code = chance % 2 != 0 ? 137 : 0;
		c->oom = chance == 91;
	} else if (chance >= 85) {
		c->status = PAUSED;
	}
	if (c->status != RUNNING && c->status != PAUSED) {
		c->pid = 0;
		c->health = c->health != HEALTH_NONE ? HEALTH_UNHEALTHY : HEALTH_NONE;
	}
	json_object_put(asked);
}

int life_start(struct container *c)
{
	struct json_object *asked = fleet_asked(c);
	struct program p = program_of(asked);

	tell_networks(c, "connect");
	if (p.missing) {
		free(c->error);
		if (asprintf(&c->error,
			     "failed to create shim task: OCI runtime create failed: runc create "
			     "failed: unable to start container process: exec: \"%s\": stat %s: "
			     "no such file or directory: unknown", p.name, p.name) < 0)
			c->error = NULL;
		c->exit_code = 127;
		tell_networks(c, "disconnect");
		json_object_put(asked);
		return -1;
	}
	tell_volumes(c, asked, "mount");
	free(c->error);
	c->error = NULL;
	c->status = RUNNING;
	c->started = sim_now();
	c->pid = 2000 + (uint32_t)(sim_random(c->engine->sim) % 4000000);
	c->exit_code = 0;
	c->oom = c->stopped_by_hand = false;
	c->exit_at = p.seconds >= 0 ? c->started + (int64_t)(p.seconds * 1e9) + 1000000 : 0;
	c->streak = 0;
	c->health = check_interval(asked) != 0 ? HEALTH_STARTING : HEALTH_NONE;
	c->health_at = c->health != HEALTH_NONE ? c->started + check_interval(asked) : 0;
	events_container(c, "start", NULL, NULL);
	json_object_put(asked);
	schedule(c);
	return 0;
}

void life_die(struct container *c, int exit_code, bool oom)
{
	struct json_object *asked = fleet_asked(c);
	bool again = policy_restarts(c, asked, exit_code);
	char code[16];

	snprintf(code, sizeof(code), "%d", exit_code);
	if (oom)
		events_container(c, "oom", NULL, NULL);
	c->backoff = sim_now() - c->started > 10 * SECOND
			     ? 0 : (uint8_t)(c->backoff + (c->backoff < 9));
	c->status = again ? RESTARTING : EXITED;
	c->pid = 0;
	c->exit_code = exit_code;
	c->oom = oom;
	c->finished = sim_now();
	c->exit_at = c->health_at = 0;
	c->restart_at = again ? c->finished + (50000000ll << c->backoff) : 0;
	if (c->health != HEALTH_NONE)
		c->health = HEALTH_UNHEALTHY;
	events_container(c, "die", "exitCode", code);
	tell_networks(c, "disconnect");
	tell_volumes(c, asked, "unmount");
	json_object_put(asked);
	schedule(c);
}

void life_stop(struct container *c, int exit_code, const char *signals)
{
	c->stopped_by_hand = true;
	for (const char *s = signals; *s != '\0'; s += strspn(s, " ")) {
		size_t n = strcspn(s, " ");
		char one[8] = "";

		memcpy(one, s, n < sizeof(one) ? n : sizeof(one) - 1);
		events_container(c, "kill", "signal", one);
		s += n;
	}
	if (c->status == RESTARTING) {
		c->restart_at = 0;
		c->status = EXITED;
		schedule(c);
	} else {
		life_die(c, exit_code, false);
	}
}

void life_restart(struct container *c)
{
	if (c->status == RUNNING || c->status == PAUSED)
		life_stop(c, 137, "15 9");
	c->restart_at = 0;
	events_container(c, "stop", NULL, NULL);
	if (life_start(c) == 0)
		events_container(c, "restart", NULL, NULL);
}

void life_pause(struct container *c, bool pause)
{
	c->status = pause ? PAUSED : RUNNING;
	events_container(c, pause ? "pause" : "unpause", NULL, NULL);
	if (!pause)
		schedule(c);
}

void life_rename(struct container *c, const char *name)
{
	char old[256];

	snprintf(old, sizeof(old), "/%s", c->name);
	fleet_rename(c, name);
	events_container(c, "rename", "oldName", old);
}

void life_remove(struct container *c)
{
	if (c->status == RUNNING || c->status == PAUSED || c->status == RESTARTING)
		life_stop(c, 137, "9");
	events_container(c, "destroy", NULL, NULL);
	fleet_remove(c);
}

void life_connect(struct container *c, struct network *n, struct json_object *config, bool connect)
{
	struct json_object *was = fleet_networks(c), *now = NULL;

	if (json_object_deep_copy(was, &now, NULL) == 0) {
		if (connect)
			json_object_object_add(now, n->name,
					       config != NULL ? json_object_get(config)
							      : json_object_new_object());
		else
			json_object_object_del(now, n->name);
		json_object_put(c->networks);
		c->networks = now;
	}
	json_object_put(was);
	if (c->status == RUNNING || c->status == PAUSED)
		events_network(c, n, connect ? "connect" : "disconnect");
}

void life_health(struct container *c, enum health h)
{
	char action[40];

	c->health = h;
	snprintf(action, sizeof(action), "health_status: %s", document_health(h));
	events_container(c, action, NULL, NULL);
}

/* ---- churn --------------------------------------------------------------------- */

/* Takes one container away, and makes another as the seed asks for. */
static void churn_replace(struct container *c)
{
	struct engine *e = c->engine;
	char name[96];

	life_remove(c);
	snprintf(name, sizeof(name), "stack%zu-churned-%zu", e->births / 5, e->births);
	c = fleet_add(e, name, NULL);
	if (c == NULL)
		return;
	make_networks(c);
	events_container(c, "create", NULL, NULL);
	life_start(c);
}

static void churn_running(struct container *c, unsigned chance)
{
	if (chance < 20)
		life_restart(c);
	else if (chance < 35)
		life_pause(c, true);
	else if (chance < 50)
		life_stop(c, 0, "15");
	else if (chance < 60)
		life_die(c, 137, chance == 50);
	else if (chance < 65)
		churn_replace(c);
	else if (chance < 90 && c->health != HEALTH_NONE)
		life_health(c, c->health == HEALTH_HEALTHY ? HEALTH_UNHEALTHY : HEALTH_HEALTHY);
	else
		events_container(c, "update", NULL, NULL);
}

void life_churn(struct engine *e)
{
	struct container *c;
	unsigned chance;

	if (e->n == 0)
		return;
	c = e->v[sim_random(e->sim) % e->n];
	chance = (unsigned)(sim_random(e->sim) % 100);
	if (c->asked != NULL)
		return; /* a test's own */
	if (c->status == RUNNING)
		churn_running(c, chance);
	else if (c->status == PAUSED)
		life_pause(c, false);
	else if (c->status == EXITED && chance < 5)
		churn_replace(c);
	else if (c->status == EXITED || c->status == CREATED)
		life_start(c);
}
