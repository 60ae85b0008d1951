/*
 * supervisor_message.c - what children say.
 *
 *	collector: shard -> the directory shows it -> shown
 *	broker:    ask -> the host's collector -> done -> the broker
 *	collector: cycle; when every enabled host has had one, a line in the log
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shm/dcm.h"
#include "../shm/log.h"
#include "notify.h"
#include "supervisor_impl.h"

static const double ASK_FORGOTTEN = 600; /* s after which an answer is not expected any more */

/* ---- requests ------------------------------------------------------------- */

static void refuse(struct supervisor *s, uint64_t token, const char *host, int rc, const char *why)
{
	struct control_msg m = {.kind = CONTROL_DONE, .token = token, .rc = rc};

	snprintf(m.host, sizeof(m.host), "%s", host);
	snprintf(m.error, sizeof(m.error), "host %s: %s", host, why);
	child_send(s, &s->broker, &m);
}

static void forget_old(struct supervisor *s, double now)
{
	for (size_t i = s->n_asks; i-- > 0;)
		if (now - s->asks[i].since > ASK_FORGOTTEN)
			s->asks[i] = s->asks[--s->n_asks];
}

static void pass_on(struct supervisor *s, struct child *to, const struct control_msg *m, double now)
{
	struct control_msg own = *m;

	if (!s->asks)
		s->asks = malloc(ASKS_OUTSTANDING_MAX * sizeof(*s->asks));
	if (s->n_asks == ASKS_OUTSTANDING_MAX)
		forget_old(s, now);
	if (!s->asks || s->n_asks == ASKS_OUTSTANDING_MAX) {
		refuse(s, m->token, m->host, DCM_EBUSY,
		       "too many requests are under way; try again");
		return;
	}
	own.token = ++s->last_token;
	s->asks[s->n_asks++] = (struct ask){own.token, m->token, to, now};
	child_send(s, to, &own);
}

static void ask(struct supervisor *s, const struct control_msg *m, double now)
{
	const struct host_config *h = config_host(&s->config, m->host);
	struct child *c = hosts_find(s, m->host);

	if (!h)
		refuse(s, m->token, m->host, DCM_ENOTFOUND,
		       "there is no such host; `dcm-client hosts` lists them");
	else if (!h->enabled)
		refuse(s, m->token, m->host, DCM_EHOST,
		       "disabled; enable it in the configuration and reload");
	else if (!c || c->state != CHILD_RUNNING || c->control < 0)
		refuse(s, m->token, m->host, DCM_EHOST,
		       "its collector is being restarted; try again");
	else
		pass_on(s, c, m, now);
}

static void done(struct supervisor *s, const struct child *from, const struct control_msg *m)
{
	struct control_msg theirs = *m;

	for (size_t i = 0; i < s->n_asks; i++) {
		if (s->asks[i].token != m->token || s->asks[i].to != from)
			continue;
		theirs.token = s->asks[i].theirs;
		snprintf(theirs.host, sizeof(theirs.host), "%s", from->host);
		s->asks[i] = s->asks[--s->n_asks];
		child_send(s, &s->broker, &theirs);
		return;
	}
}

void asks_of_dead(struct supervisor *s, const struct child *c)
{
	if (c == &s->broker) { /* who would have heard the answers */
		s->n_asks = 0;
		return;
	}
	for (size_t i = s->n_asks; i-- > 0;) {
		uint64_t theirs = s->asks[i].theirs;

		if (s->asks[i].to != c)
			continue;
		s->asks[i] = s->asks[--s->n_asks];
		refuse(s, theirs, c->host, DCM_EHOST,
		       "its collector ended before it was done; try again");
	}
}

/* ---- cycles --------------------------------------------------------------- */

struct sums {
	int64_t hosts, reported, successful, containers;
	double seconds;
};

static void add_up(struct supervisor *s, struct sums *n)
{
	*n = (struct sums){0};
	for (size_t i = 0; i < s->n_hosts; i++) {
		const struct child *c = s->hosts[i];

		if (!c->wanted)
			continue;
		n->hosts++;
		n->reported += c->cycle.reported;
		if (!c->cycle.reported || !c->cycle.ok)
			continue;
		n->successful++;
		n->containers += c->cycle.containers;
		if (c->cycle.seconds > n->seconds)
			n->seconds = c->cycle.seconds;
	}
}

static void log_cycle(const char *event, const struct sums *n, double seconds)
{
	log_event(LOG_LEVEL_INFO, event, NULL, LF_INT("successful", n->successful),
		  LF_INT("failed", n->hosts - n->successful),
		  LF_INT("total_containers", n->containers), LF_NUM("seconds", seconds));
}

/* A cycle is finished when every enabled host had one, or had the time for one:
 * a host that says nothing must not keep the line of the others back. */
void cycles_check(struct supervisor *s, double now)
{
	const struct cache_config *cache = &s->config.cache;
	struct sums n;

	if (!s->cycle_since)
		return;
	add_up(s, &n);
	if (n.reported < n.hosts &&
	    now - s->cycle_since < cache->status_update + cache->request_timeout)
		return;
	if (!s->warm)
		log_cycle("warm_up", &n, now - s->started);
	/* Hosts that are all away report each attempt: that is not news. */
	if (!s->warm || n.successful || now - s->cycle_logged >= cache->status_update) {
		log_cycle("cycle", &n, n.seconds);
		s->cycle_logged = now;
	}
	s->warm = true;
	notify_send("STATUS=%lld of %lld hosts, %lld containers", (long long)n.successful,
		    (long long)n.hosts, (long long)n.containers);
	for (size_t i = 0; i < s->n_hosts; i++)
		s->hosts[i]->cycle.reported = false;
	s->cycle_since = 0;
}

static void cycle(struct supervisor *s, struct child *c, const struct control_msg *m, double now)
{
	c->cycle.reported = true;
	c->cycle.ok = m->rc == 0;
	c->cycle.containers = m->containers;
	c->cycle.seconds = m->seconds;
	if (!s->cycle_since)
		s->cycle_since = now;
	cycles_check(s, now);
}

/* ---- all ------------------------------------------------------------------ */

static void shard(struct supervisor *s, struct child *c, const struct control_msg *m)
{
	const struct control_msg shown = {.kind = CONTROL_SHOWN, .generation = m->generation};

	if (!c->wanted || c->fresh)
		return; /* what it holds is not to be shown any more */
	c->generation = m->generation;
	child_well(s, c, COND_SHARD_WAITS);
	directory_host(s, c);
	directory_publish(s);
	child_send(s, c, &shown);
}

void message_from(struct supervisor *s, struct child *c, const struct control_msg *m, double now)
{
	bool broker = c == &s->broker;

	if (m->kind == CONTROL_ASK && broker)
		ask(s, m, now);
	else if (m->kind == CONTROL_DONE && !broker)
		done(s, c, m);
	else if (m->kind == CONTROL_SHARD && !broker)
		shard(s, c, m);
	else if (m->kind == CONTROL_CYCLE && !broker)
		cycle(s, c, m, now);
	else if (m->kind == CONTROL_CONDITION && !broker)
		child_trouble(s, c, COND_SHARD_WAITS, m->error);
	else if (m->kind == CONTROL_CONDITION && m->lines < COND_COUNT)
		condition_relay(&s->of_broker, m->lines, *m->error ? m->error : NULL);
}
