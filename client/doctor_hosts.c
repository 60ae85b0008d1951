/*
 * doctor_hosts.c - `dcm-client doctor`: each host, the way to its engine step by
 * step, its collector, its share of the memory, and how fresh its records are.
 */
#include <math.h>
#include <string.h>

#include "doctor.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define CLOCK_MOST 5.0 /* s that an engine's clock may be off */
#define SHARD_MOST 0.9 /* of shard_limit that a shard may hold */

/* ---- the way to its engine ----------------------------------------------- */

enum { STEPS = 6 }; /* of the longest way */

/* By the transport's name, or how it begins; see enum dcm_step. */
static const struct way {
	const char *transport;
	enum dcm_step steps[STEPS]; /* to the first that is DCM_STEP_NONE */
} ways[] = {
	{"unix", {DCM_STEP_DOCKER, DCM_STEP_API}},
	{"tcp", {DCM_STEP_NAME, DCM_STEP_CONNECT, DCM_STEP_API}},
	{"tls", {DCM_STEP_NAME, DCM_STEP_CONNECT, DCM_STEP_CERTIFICATE, DCM_STEP_API}},
	{"ssh/",
	 {DCM_STEP_NAME, DCM_STEP_CONNECT, DCM_STEP_HOST_KEY, DCM_STEP_LOGIN, DCM_STEP_DOCKER,
	  DCM_STEP_API}},
};

static const struct {
	const char *passed;
	const char *mend; /* where the cause names none */
} of_step[] = {
	[DCM_STEP_NAME] = {"has an address", "check the host name in hosts.yml, and DNS"},
	[DCM_STEP_CONNECT] = {"answers at its port",
			      "check that the host is up, its port, and firewalls on the way"},
	[DCM_STEP_CERTIFICATE] = {"is accepted", "check tls in hosts.yml, and both clocks"},
	[DCM_STEP_HOST_KEY] = {"is the known one", "compare its host key with known_hosts"},
	[DCM_STEP_LOGIN] = {"is accepted",
			    "check user and key in hosts.yml, and the log of sshd there"},
	[DCM_STEP_DOCKER] = {"its socket can be opened",
			     "start docker there, and let the user open its socket"},
	[DCM_STEP_API] = {"answers", "check that the engine there is well: its log, its load"},
};

static const struct way *way_of(const struct dcm_host *h)
{
	for (size_t i = 0; h->transport.s && i < COUNT(ways); i++)
		if (!strncmp(h->transport.s, ways[i].transport, strlen(ways[i].transport)))
			return &ways[i];
	return NULL;
}

/* Each step that was passed, and the one where it stops: those beyond were not tried. */
static void check_steps(struct doctor *d, const struct dcm_host *h, const struct way *w)
{
	for (int i = 0; i < STEPS && w->steps[i] != h->step; i++)
		finding(d, OK, 0, dcm_step_name(w->steps[i]), h->id, NULL, "%s",
			of_step[w->steps[i]].passed);
	finding_said(d, FAIL, EXIT_PARTIAL, dcm_step_name(h->step), h->id, h->error,
		     of_step[h->step].mend);
}

static bool has_step(const struct way *w, enum dcm_step step)
{
	for (int i = 0; w && step != DCM_STEP_NONE && i < STEPS; i++)
		if (w->steps[i] == step)
			return true;
	return false;
}

static void all_steps(struct doctor *d, const struct dcm_host *h, const struct way *w)
{
	struct dcm_text list = {0};

	for (int i = 0; i < STEPS && w->steps[i]; i++)
		text_printf(&list, "%s%s", i ? ", " : "", dcm_step_name(w->steps[i]));
	finding(d, OK, 0, "steps", h->id, NULL, "%s", list.s);
	dcm_text_free(&list);
}

/* ---- its state ------------------------------------------------------------- */

static void verified(struct dcm_text *t, const struct dcm_host *h)
{
	if (!isfinite(h->age)) {
		text_puts(t, "never verified");
		return;
	}
	text_puts(t, "verified ");
	text_seconds(t, h->age);
	text_puts(t, " ago");
}

static void offline(struct doctor *d, const struct dcm_host *h, const char *age)
{
	const char *again = "it is tried again every few seconds";
	const struct way *w = way_of(h);
	struct dcm_text said = {0};

	if (has_step(w, h->step)) {
		finding(d, FAIL, EXIT_PARTIAL, "host", h->id, again,
			"offline, %s, by %s it stops at %s", age, h->transport.s,
			dcm_step_name(h->step));
		check_steps(d, h, w);
		return;
	}
	text_printf(&said, "offline, %s", age);
	if (h->error.s)
		text_printf(&said, ", %s", h->error.s);
	finding_said(d, FAIL, EXIT_PARTIAL, "host", h->id,
		     (struct dcm_str){said.s, (uint32_t)said.len}, again);
	dcm_text_free(&said);
}

static void check_state(struct doctor *d, const struct dcm_host *h)
{
	const struct way *w = way_of(h);
	struct dcm_text said = {0};
	struct dcm_text age = {0};

	verified(&age, h);
	switch (h->state) {
	case DCM_ONLINE:
		finding(d, OK, 0, "host", h->id, NULL, "online by %s, %lld containers, %s",
			h->transport.s ? h->transport.s : "?", (long long)h->containers, age.s);
		break;
	case DCM_STARTING:
	case DCM_DEGRADED:
		text_puts(&said, dcm_host_state_name(h->state));
		if (h->error.s)
			text_printf(&said, ", %s", h->error.s);
		finding_said(d, NOTICE, 0, "host", h->id,
			     (struct dcm_str){said.s, (uint32_t)said.len},
			     h->state == DCM_STARTING ? "wait for its first attempt to end" :
							"see the log of dcmd and of that engine");
		break;
	case DCM_OFFLINE:
		offline(d, h, age.s);
		break;
	case DCM_DISABLED:
		finding(d, OK, 0, "host", h->id, NULL, "disabled in hosts.yml");
		break;
	}
	if (w && (h->state == DCM_ONLINE || h->state == DCM_DEGRADED))
		all_steps(d, h, w);
	dcm_text_free(&said);
	dcm_text_free(&age);
}

/* ---- its collector --------------------------------------------------------- */

/* What stands in memory is the last that it said: no walk by that. */
static void without_collector(struct doctor *d, const struct dcm_host *h)
{
	struct dcm_text age = {0};

	verified(&age, h);
	finding(d, NOTICE, 0, "host", h->id, "it is told anew when its collector runs",
		"was %s when its collector ended, %s", dcm_host_state_name(h->state), age.s);
	finding(d, FAIL, EXIT_PARTIAL, "collector", h->id,
		alive(d->info.supervisor_pid) ?
		    "dcmd starts it again within seconds: if not, see its log" :
		    "start dcmd",
		"pid %lld does not run", (long long)h->pid);
	dcm_text_free(&age);
}

static void check_collector(struct doctor *d, const struct dcm_host *h)
{
	/* Two lists that should have come did not: its process hangs or is slow. */
	double late = 2 * d->info.status_update + 5;

	if (h->state == DCM_ONLINE && h->age > late)
		finding(d, FAIL, EXIT_PARTIAL, "collector", h->id,
			"try dcm-client refresh, and see the log of dcmd",
			"nothing verified for %.0f s, though a list is due every %.0f s", h->age,
			d->info.status_update);
	if (h->restarts != DCM_UNKNOWN && h->restarts > 0)
		finding(d, NOTICE, 0, "collector", h->id, "see the log of dcmd for the cause",
			"restarted %lld times", (long long)h->restarts);
	if (fabs(h->clock_offset) > CLOCK_MOST)
		finding(d, NOTICE, 0, "clock", h->id, "let both follow NTP",
			"that engine's clock is %.1f s %s this one", fabs(h->clock_offset),
			h->clock_offset > 0 ? "ahead of" : "behind");
}

/* ---- its memory -------------------------------------------------------------- */

static void check_shard(struct doctor *d, const struct dcm_host *h)
{
	struct dcm_text held = {0}, used = {0}, limit = {0};

	if (d->info.shard_limit <= 0 || (double)h->memory_held < /* unknown: below, too */
					     SHARD_MOST * (double)d->info.shard_limit)
		return;
	text_bytes(&held, h->memory_held);
	text_bytes(&used, h->memory_used);
	text_bytes(&limit, d->info.shard_limit);
	finding(d, NOTICE, 0, "shard", h->id,
		"raise cache.shard_limit, or have less kept of it (cache.environment)",
		"it holds %s of the %s that shard_limit allows, %s of it in use", held.s, limit.s,
		used.s);
	dcm_text_free(&held);
	dcm_text_free(&used);
	dcm_text_free(&limit);
}

static void check_freshness(struct doctor *d, const struct dcm_host *h)
{
	static const char *const tiers[] = {"stats", "status", "config", "compose"};
	struct dcm_query q = {.kind = DCM_Q_ALL, .host = h->id.s};
	size_t stale[4] = {0}, i, t, n;
	struct dcm_refs refs = {0};
	struct dcm_record r;

	if (dcm_query(d->c->d, &q, &refs) != DCM_OK)
		return;
	dcm_record_init(&r);
	for (i = n = 0; i < refs.n; i++) {
		if (read_record(d->c, refs.v[i], &r) != DCM_OK)
			continue;
		n++;
		for (t = 0; t < 4; t++) /* never filled is not old */
			stale[t] += r.freshness[t].stale && isfinite(r.freshness[t].age);
	}
	for (t = 0; t < 4; t++)
		if (stale[t])
			finding(d, h->state == DCM_ONLINE ? FAIL : NOTICE, EXIT_PARTIAL,
				"freshness", h->id,
				"try dcm-client refresh, and see the log of dcmd",
				"%s of %zu of %zu containers is stale", tiers[t], stale[t], n);
	dcm_record_free(&r);
	dcm_refs_free(&refs);
}

/* ---- all of it ----------------------------------------------------------------- */

static void check_host(struct doctor *d, const struct dcm_host *h)
{
	bool dead = h->state != DCM_DISABLED && h->pid != DCM_UNKNOWN && !alive(h->pid);

	if (dead)
		without_collector(d, h);
	else
		check_state(d, h);
	check_conditions(d, h->id, &h->conditions, &h->warnings);
	if (h->state == DCM_DISABLED)
		return;
	if (!dead)
		check_collector(d, h);
	check_shard(d, h);
	check_freshness(d, h);
}

static bool asked_for(const struct doctor *d, struct dcm_str id)
{
	const struct options *o = &d->c->o;

	for (int i = 0; i < o->n_args; i++)
		if (str_is(id, o->args[i]))
			return true;
	return !o->n_args;
}

void check_hosts(struct doctor *d)
{
	struct dcm_hosts hosts = {0};
	int rc = dcm_hosts_read(d->c->d, &hosts);

	if (rc)
		finding(d, FAIL, exit_of(rc), "hosts", nobody, "start dcmd anew", "%s",
			dcm_error(d->c->d));
	else if (!hosts.n)
		finding(d, NOTICE, 0, "hosts", nobody, "add some to hosts.yml", "none configured");
	for (size_t i = 0; i < hosts.n; i++)
		if (asked_for(d, hosts.v[i].id))
			check_host(d, &hosts.v[i]);
	dcm_hosts_free(&hosts);
}
