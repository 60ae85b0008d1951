/*
 * supervisor_hosts.c - which collectors there are: those of the configuration's
 * enabled hosts, at the start and after a reload.
 *
 * A reload is all or nothing: a file with an error changes nothing.  A host that
 * did not change keeps its process; one whose tuning changed gets a new process
 * that takes over the shard; one whose engine or redaction changed starts from
 * an empty shard, since what the old one holds is another engine's, or holds
 * more than it may now.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shm/log.h"
#include "../shm/names.h"
#include "../shm/record.h"
#include "notify.h"
#include "supervisor_impl.h"

static const double PATIENCE = 3; /* s between TERM and KILL */

/* Index of the child, or where it belongs: ids are in order. */
static size_t place(const struct supervisor *s, const char *id, bool *found)
{
	size_t low = 0, high = s->n_hosts;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int cmp = strcmp(s->hosts[mid]->host, id);

		if (cmp == 0) {
			*found = true;
			return mid;
		}
		if (cmp < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*found = false;
	return low;
}

struct child *hosts_find(struct supervisor *s, const char *id)
{
	bool found;
	size_t at = place(s, id, &found);

	return found ? s->hosts[at] : NULL;
}

/* The generation that the directory of a killed predecessor shows, so that
 * readers keep what they have until the collector has taken it over. */
static uint32_t shown_generation(struct supervisor *s, const char *host)
{
	struct record_dirent e = {0};
	char name[DCM_OBJECT_NAME_MAX], path[DCM_OBJECT_NAME_MAX + 16];
	struct region_item item;
	uint8_t id[32];

	directory_host_id(host, id);
	if (!region_get(s->dir, id, &item) || !item.tier[DCM_STATUS].data ||
	    !record_decode_dirent(item.tier[DCM_STATUS].data, item.tier[DCM_STATUS].len, DCM_STATUS,
				  &e, RECORD_NO_ROOM))
		return 0;
	names_shard(name, s->instance->uid, s->instance->name, host, e.generation);
	snprintf(path, sizeof(path), "/dev/shm%s", name);
	return access(path, F_OK) == 0 ? e.generation : 0;
}

static struct child *add(struct supervisor *s, const char *id, double now)
{
	struct child *c = malloc(sizeof(*c)), **grown;
	bool found;
	size_t at = place(s, id, &found);

	grown = realloc(s->hosts, (s->n_hosts + 1) * sizeof(struct child *));
	if (grown)
		s->hosts = grown;
	if (!grown || !c) {
		free(c);
		log_event(LOG_LEVEL_ERROR, "child_not_started", id,
			  LF_STR("error", "no memory left: reload when there is some"));
		return NULL;
	}
	child_init(c, id, now);
	c->generation = shown_generation(s, id);
	memmove(s->hosts + at + 1, s->hosts + at, (s->n_hosts - at) * sizeof(struct child *));
	s->hosts[at] = c;
	s->n_hosts++;
	return c;
}

static bool is_this_host(const char *host, void *id)
{
	return strcmp(host, id) != 0;
}

void hosts_unlink_shards_of(struct supervisor *s, const char *id)
{
	instance_unlink_shards(s->instance, is_this_host, (void *)id);
}

void hosts_gone(struct supervisor *s, struct child *c)
{
	bool found;
	size_t at = place(s, c->host, &found);

	if (!found)
		return;
	child_well(s, c, c->trouble_of);
	if (!s->stop) /* else all are unlinked at once, at the end */
		hosts_unlink_shards_of(s, c->host);
	s->n_hosts--;
	memmove(s->hosts + at, s->hosts + at + 1, (s->n_hosts - at) * sizeof(struct child *));
	free(c);
}

static bool is_enabled(const char *host, void *arg)
{
	struct supervisor *s = arg;
	const struct host_config *h = config_host(&s->config, host);

	return h && h->enabled;
}

void hosts_start(struct supervisor *s, double now)
{
	instance_unlink_shards(s->instance, is_enabled, s);
	for (size_t i = 0; i < s->config.n_hosts; i++)
		if (s->config.hosts[i].enabled)
			add(s, s->config.hosts[i].id, now);
}

/* ---- reload --------------------------------------------------------------- */

struct changes {
	int64_t kept, changed, added, removed;
};

static bool same_words(const struct cache_config *a, const struct cache_config *b)
{
	if (a->n_redact != b->n_redact)
		return false;
	for (size_t i = 0; i < a->n_redact; i++)
		if (strcmp(a->redact[i], b->redact[i]))
			return false;
	return true;
}

/* May what `a` put into its shard stay for `b` to take over? */
static bool same_content(const struct host_config *a, const struct config *ca,
			 const struct host_config *b, const struct config *cb)
{
	char at_a[512], at_b[512];

	config_endpoint_text(&a->at, at_a, sizeof(at_a));
	config_endpoint_text(&b->at, at_b, sizeof(at_b));
	return !strcmp(at_a, at_b) && a->environment == b->environment &&
	       same_words(&ca->cache, &cb->cache);
}

static void restart(struct child *c, double now)
{
	if (c->state == CHILD_WAITING)
		c->due = now;
	else
		child_stop(c, now, PATIENCE, "its configuration changed");
}

/* Fits one running collector to the new configuration.  It is freed later, by
 * hosts_gone(), where it is not wanted any more. */
static void fit(struct supervisor *s, struct child *c, const struct config *to, double now,
		struct changes *n)
{
	const struct host_config *was = config_host(&s->config, c->host);
	const struct host_config *is = config_host(to, c->host);
	bool wanted = is && is->enabled;

	if (!wanted) {
		if (c->wanted)
			n->removed++;
		c->wanted = false;
		directory_forget(s, c);
		child_stop(c, now, PATIENCE, "its host was taken out");
		return;
	}
	if (!c->wanted) { /* taken out and back again before its process had ended */
		c->wanted = true;
		c->fresh = true;
		directory_forget(s, c);
		n->added++;
		return;
	}
	if (was && config_host_equal(was, &s->config.cache, is, &to->cache)) {
		n->kept++;
		return;
	}
	n->changed++;
	if (!was || !same_content(was, &s->config, is, to)) {
		c->fresh = true;
		directory_forget(s, c);
	}
	restart(c, now);
}

static void report_refused(const struct config_errors *e)
{
	for (size_t i = 0; i < e->n; i++)
		log_event(LOG_LEVEL_ERROR, "config_error", NULL, LF_STR("error", e->v[i]));
	log_event(LOG_LEVEL_ERROR, "reload_refused", NULL, LF_INT("errors", (int64_t)e->n),
		  LF_STR("error", "the file has errors: the running configuration goes on"));
}

static void take_over(struct supervisor *s, struct config *to, double now)
{
	struct changes n = {0};

	for (size_t i = 0; i < s->n_hosts; i++)
		fit(s, s->hosts[i], to, now, &n);
	for (size_t i = s->n_hosts; i-- > 0;)
		if (s->hosts[i]->state == CHILD_GONE)
			hosts_gone(s, s->hosts[i]);
	config_free(&s->config);
	s->config = *to;
	for (size_t i = 0; i < s->config.n_hosts; i++) {
		const struct host_config *h = &s->config.hosts[i];

		if (h->enabled && !hosts_find(s, h->id) && add(s, h->id, now))
			n.added++;
	}
	directory_sync(s);
	log_event(LOG_LEVEL_INFO, "reload", NULL, LF_STR("config", s->config.source),
		  LF_INT("hosts", (int64_t)s->config.n_hosts), LF_INT("kept", n.kept),
		  LF_INT("changed", n.changed), LF_INT("added", n.added),
		  LF_INT("removed", n.removed));
}

void hosts_reload(struct supervisor *s, double now)
{
	struct config_errors e = {0};
	struct config to;

	if (s->ready) /* else readiness is still to come, and a READY now would be untrue */
		notify_send("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(now * 1e6));
	if (config_load(&to, s->opt->config_path, &e) < 0) {
		report_refused(&e);
	} else {
		for (size_t i = 0; i < to.n_warnings; i++)
			log_event(LOG_LEVEL_WARN, "config_warning", NULL,
				  LF_STR("error", to.warnings[i]));
		take_over(s, &to, now);
	}
	if (s->ready)
		supervisor_tell_ready(s);
	if (e.n) /* until the next cycle; the manager's reload itself ended well */
		notify_send("STATUS=reload refused: %s", e.v[0]);
	config_errors_free(&e);
}
