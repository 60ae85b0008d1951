/*
 * snapshot_file.c - when a snapshot of this host is read and written.
 *
 * At the start, a region that is new gets what the snapshot holds, before the
 * engine is asked for anything.  A region says in its own row (tier CONFIG) which
 * engine its content is of and by which rules it was redacted; that mark is
 * written last, so content without it, or with another, is not taken over: the
 * region is made anew.  A snapshot says the same of itself.
 *
 * It is written when something was published, at most every 10 s, and at the
 * stop; only of a host that is known whole: not before all of its first list is
 * there, nor after it was forgotten until the next one is, and not for what changes
 * while it is away.  A job (snapshot_job.h), one at a time, copies the items out of the
 * region, a slice at each turn of the loop, then compresses and writes them in a thread.
 * What changes meanwhile makes the next one due.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <xxhash.h>

#include "collector_impl.h"
#include "snapshot_disk.h"
#include "snapshot_job.h"

static const double every = 10;	   /* s between writes */
static const double settle = 0.5;  /* s: changes come in company */
static const double renewed = 300; /* s: times move though nothing changes */
static size_t limit(const struct collector *c)
{
	return c->cache->shard_limit ? c->cache->shard_limit : (size_t)1 << 30;
}

/* ---- whose content it is ----------------------------------------------------------- */

static struct snapshot_origin origin_of(const struct host_config *host,
					const struct redact_rules *rules)
{
	struct snapshot_origin o = {0};
	char at[512];
	size_t i;

	config_endpoint_text(&host->at, at, sizeof(at));
	o.engine = XXH3_64bits(at, strlen(at));
	o.rules = (uint64_t)rules->mode + 1;
	for (i = 0; rules->mode == ENV_REDACT && i < rules->n_words; i++)
		o.rules = XXH3_64bits_withSeed(rules->words[i], strlen(rules->words[i]), o.rules);
	return o;
}

static bool same_origin(const struct snapshot_origin *a, const struct snapshot_origin *b)
{
	return a->engine == b->engine && a->rules == b->rules;
}

/* The mark: all that the region holds is of this engine, by these rules. */
static void put_mark(struct collector *c)
{
	struct record_buf b = {0};
	struct region_tier t = {.tier = DCM_CONFIG, .verified = NAN};

	if (!snapshot_origin_encode(&c->snapshot.origin, &b)) {
		t.data = b.data;
		t.len = (uint32_t)b.len;
		region_put_self(c->region, &t, 1);
	}
	record_buf_free(&b);
}

/* Is what the region holds ours to go on with? */
static bool has_mark(struct collector *c)
{
	struct snapshot_origin there;
	struct region_item self;

	region_get_self(c->region, &self);
	if (!self.tier[DCM_CONFIG].data ||
	    !snapshot_origin_decode(self.tier[DCM_CONFIG].data, self.tier[DCM_CONFIG].len, &there))
		return false;
	c->snapshot.origin.forgotten = there.forgotten;
	return same_origin(&there, &c->snapshot.origin);
}

/* ---- read -------------------------------------------------------------------------- */

static void set_aside(struct collector *c, const char *why)
{
	char to[160] = "", error[SNAPSHOT_DISK_ERR] = "", text[2 * SNAPSHOT_DISK_ERR + 64];
	int rc = snapshot_disk_set_aside(c->env->state_dir, c->host->id, to, sizeof(to), error);

	c->snapshot.aside = rc != 0; /* then before it would be written over */
	snprintf(text, sizeof(text), "the snapshot is of no use: %s%s%s", why,
		 rc ? "; and it cannot be set aside: " : "", rc ? error : "");
	log_event(LOG_LEVEL_WARN, "snapshot_bad", c->host->id, LF_STR("error", text),
		  LF_STR("moved_to", rc ? NULL : to));
}

/* Is it of this engine, redacted as it would be now, and young enough? */
static bool fits(struct collector *c, const struct snapshot_head *h)
{
	const struct snapshot_origin *now = &c->snapshot.origin;
	char error[SNAPSHOT_DISK_ERR] = "";
	int rc;

	if (h->origin.rules != now->rules) {
		rc = snapshot_disk_remove(c->env->state_dir, c->host->id, error);
		log_event(rc ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "snapshot_dropped", c->host->id,
			  LF_STR("cause", "it was redacted by other rules than those of now"),
			  LF_STR("error", rc ? error : NULL));
		return false;
	}
	if (h->origin.engine != now->engine) {
		log_event(LOG_LEVEL_INFO, "snapshot_dropped", c->host->id,
			  LF_STR("cause", "it is of another engine"));
		return false;
	}
	if (wall_now() - h->time > c->cache->disk_retention) {
		log_event(LOG_LEVEL_INFO, "snapshot_dropped", c->host->id,
			  LF_STR("cause", "it is older than disk_retention"),
			  LF_NUM("age", wall_now() - h->time));
		return false;
	}
	return true;
}

static int put_item(struct collector *c, const struct region_item *item, double now)
{
	struct region_tier tiers[DCM_TIERS];
	size_t n = 0;

	for (size_t t = 0; t < DCM_TIERS; t++) {
		/* the row's mark is written at the end, and is our own */
		if (!item->tier[t].data || (!item->id && t == DCM_CONFIG))
			continue;
		/* a clock that was set back must not make it look fresh for long */
		tiers[n++] = (struct region_tier){(enum dcm_tier)t, item->tier[t].data,
						  item->tier[t].len,
						  fmin(item->tier[t].verified, now)};
	}
	return item->id ? region_put(c->region, item->id, &item->name, &item->brief, tiers, n)
			: region_put_self(c->region, tiers, n);
}

static void load_content(struct collector *c, const uint8_t *content, size_t len, double time)
{
	struct mp m = mp_of(content, len);
	struct region_item item;
	double now = wall_now();
	int64_t n = -1;
	int rc = 0;

	while (!rc && snapshot_next(&m, &item) == 1) {
		rc = put_item(c, &item, now);
		n += !rc;
	}
	if (rc == -ENOSPC)
		publish_full(c);
	else if (rc)
		log_event(LOG_LEVEL_WARN, "shard_failed", c->host->id,
			  LF_STR("error", region_error(c->region)));
	c->snapshot.seen = time;
	log_event(LOG_LEVEL_INFO, "snapshot_loaded", c->host->id, LF_INT("containers", n),
		  LF_NUM("age", now - time));
}

static void load(struct collector *c)
{
	char error[SNAPSHOT_DISK_ERR] = "", why[SNAPSHOT_ERR] = "";
	struct snapshot_head head;
	size_t len = 0, content_len = 0;
	uint8_t *content = NULL;
	void *file;
	int rc = snapshot_disk_read(c->env->state_dir, c->host->id, c->env->uid, limit(c), &file,
				    &len, error);

	if (rc == -EINVAL)
		set_aside(c, error);
	else if (rc && rc != -ENOENT)
		log_event(LOG_LEVEL_WARN, "snapshot_failed", c->host->id, LF_STR("error", error));
	if (rc)
		return;
	rc = snapshot_open(file, len, c->host->id, limit(c), &head, &content, &content_len, why);
	free(file);
	if (!rc && snapshot_check(content, content_len) < 0)
		rc = snprintf(why, sizeof(why), "its content makes no sense");
	if (rc == -ENOMEM)
		log_event(LOG_LEVEL_WARN, "snapshot_failed", c->host->id,
			  LF_STR("error", "no memory to read the snapshot"));
	else if (rc)
		set_aside(c, why);
	else if (fits(c, &head))
		load_content(c, content, content_len, head.time);
	free(content);
}

/* ---- write ------------------------------------------------------------------------- */

static struct snapshot_job *job_new(struct collector *c)
{
	struct snapshot_head head = {.origin = c->snapshot.origin};

	if (c->session.live)
		c->snapshot.seen = wall_now();
	head.time = c->snapshot.seen;
	snprintf(head.host, sizeof(head.host), "%s", c->host->id);
	return snapshot_job_new(&head, c->env->state_dir, limit(c), c->snapshot.aside);
}

/* Said once for each change of state. */
static void written(struct collector *c, int rc, const char *error)
{
	struct snapshot_keeper *k = &c->snapshot;

	bool descriptors = rc == -EMFILE || rc == -ENFILE;

	if (rc) {
		condition_set(&c->conditions, COND_SNAPSHOT,
			      descriptors ? "raise LimitNOFILE of dcmd"
					  : "make room there, or let the user of dcmd write there",
			      "%s", error);
		k->dirty = true;
	} else {
		condition_clear(&c->conditions, COND_SNAPSHOT);
		k->aside = false;
	}
}

static void write_later(struct collector *c)
{
	struct snapshot_keeper *k = &c->snapshot;

	if (k->dirty && !k->hold && !k->job && !evtimer_pending(k->timer, NULL))
		timer_set(k->timer, fmax(settle, k->begun_at + every - mono_now()));
}

/* The next one is begun. */
static void begin_job(struct collector *c)
{
	struct snapshot_keeper *k = &c->snapshot;

	k->begun_at = mono_now();
	k->dirty = false;
	k->job = job_new(c);
	if (k->job)
		return;
	written(c, -ENOMEM, "no memory for the snapshot: raise the limits");
	write_later(c);
}

/* What it copied is not to be written. */
static void drop_copy(struct collector *c)
{
	struct snapshot_keeper *k = &c->snapshot;

	if (!k->job || snapshot_job_started(k->job))
		return;
	snapshot_job_free(&k->job);
	evtimer_del(k->timer);
	k->dirty = true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;
	struct snapshot_keeper *k = &c->snapshot;
	int rc;

	(void)fd;
	(void)what;
	if (!k->job && k->dirty && !k->hold)
		begin_job(c);
	if (!k->job || snapshot_job_started(k->job))
		return;
	rc = snapshot_job_copy(k->job, c->region, SNAPSHOT_SLICE);
	if (rc > 0) { /* the engine and those who ask come between */
		timer_set(k->timer, 0);
		return;
	}
	if (!rc)
		rc = snapshot_job_start(k->job, k->bell);
	if (!rc)
		return;
	written(c, rc, snapshot_job_error(k->job));
	snapshot_job_free(&k->job);
	write_later(c);
}

/* The writer has ended, or is waited for. */
static void join(struct collector *c)
{
	struct snapshot_keeper *k = &c->snapshot;
	char error[SNAPSHOT_DISK_ERR];
	int rc = snapshot_job_wait(k->job);

	written(c, rc, snapshot_job_error(k->job));
	snapshot_job_free(&k->job);
	if (k->remove && snapshot_disk_remove(c->env->state_dir, c->host->id, error))
		log_event(LOG_LEVEL_WARN, "snapshot_failed", c->host->id, LF_STR("error", error));
	k->remove = false;
}

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) != sizeof(n) || !c->snapshot.job)
		return;
	join(c);
	write_later(c);
	collector_trim(c);
}

/* ---- what the others say --------------------------------------------------------------- */

static void is_whole(struct collector *c)
{
	struct snapshot_keeper *k = &c->snapshot;

	if (k->origin.forgotten) {
		k->origin.forgotten = false;
		put_mark(c);
	}
	k->hold = false;
}

void snapshot_changed(struct collector *c)
{
	struct snapshot_keeper *k = &c->snapshot;

	if (!c->session.live)
		return;
	k->dirty = true;
	k->seen = wall_now();
	/* all of a list is there, though the cycle still waits, say for stats */
	if (k->hold && c->cycle.number != k->held_at && !c->cycle.listing &&
	    c->inventory.published == c->inventory.count)
		is_whole(c);
	write_later(c);
}

void snapshot_whole(struct collector *c)
{
	struct snapshot_keeper *k = &c->snapshot;

	is_whole(c);
	if (!k->begun_at || mono_now() - k->begun_at > renewed)
		k->dirty = true;
	write_later(c);
}

void snapshot_emptied(struct collector *c, bool on_demand)
{
	struct snapshot_keeper *k = &c->snapshot;
	char error[SNAPSHOT_DISK_ERR];

	drop_copy(c);
	k->hold = true;
	k->held_at = c->cycle.number;
	k->dirty = false;
	k->origin.forgotten = true;
	put_mark(c);
	if (!on_demand)
		return;
	k->remove = k->job != NULL; /* again, once it is written */
	if (snapshot_disk_remove(c->env->state_dir, c->host->id, error))
		log_event(LOG_LEVEL_WARN, "snapshot_failed", c->host->id, LF_STR("error", error));
}

/* ---- begin and end ----------------------------------------------------------------------- */

int snapshot_init(struct collector *c)
{
	struct snapshot_keeper *k = &c->snapshot;

	k->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	k->timer = evtimer_new(c->base, on_timer, c);
	if (k->bell >= 0)
		k->rung = event_new(c->base, k->bell, EV_READ | EV_PERSIST, on_bell, c);
	if (!k->timer || !k->rung || event_add(k->rung, NULL))
		return -1;
	return 0;
}

int snapshot_begin(struct collector *c, bool reattached)
{
	struct snapshot_keeper *k = &c->snapshot;
	struct region_item self;
	bool ours;

	k->origin = origin_of(c->host, &c->rules);
	snapshot_disk_tidy(c->env->state_dir, c->host->id);
	ours = reattached && has_mark(c);
	k->hold = !ours || k->origin.forgotten;
	if (ours) { /* newer than any snapshot: the writer before us may not have come to it */
		region_get_self(c->region, &self);
		k->seen = self.tier[DCM_STATUS].verified;
		k->dirty = !k->hold && k->seen > 0;
		write_later(c);
		return 0;
	}
	k->origin.forgotten = false;
	if (reattached && region_reset(c->region) < 0)
		return -1;
	load(c);
	put_mark(c);
	return 0;
}

static void write_last(struct collector *c)
{
	struct snapshot_job *j = job_new(c);
	int rc = j ? snapshot_job_copy(j, c->region, SNAPSHOT_ALL) : -ENOMEM;

	if (!rc)
		rc = snapshot_job_run(j);
	written(c, rc, j ? snapshot_job_error(j) : "no memory for the snapshot");
	snapshot_job_free(&j);
}

void snapshot_end(struct collector *c)
{
	struct snapshot_keeper *k = &c->snapshot;

	drop_copy(c);
	if (k->job)
		join(c);
	if (k->rung && c->region && !k->hold && (k->dirty || c->session.live))
		write_last(c);
	if (k->timer)
		event_free(k->timer);
	if (k->rung)
		event_free(k->rung);
	if (k->rung && k->bell >= 0)
		close(k->bell);
}
