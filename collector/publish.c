/*
 * publish.c - what is known, written into the region.
 *
 * A container is encoded tier by tier; a tier whose bytes are those that stand
 * there is only marked as verified.  last_updated is the time when anything but
 * stats last changed, so that equal states stay equal bytes.  Readers are told by
 * publish_flush(): at once for a change that an event told of, every 20 ms
 * through a sweep.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector_impl.h"

static const double batch = 0.02; /* s */

/* ---- refusals ---------------------------------------------------------------------- */

void publish_full(struct collector *c)
{
	const char *error = region_error(c->region);

	c->refused++; /* it is full until a whole cycle went without */
	c->over_limit++;
	condition_set(&c->conditions, COND_SHARD_FULL, /* in place of the error's own mend */
		      "raise cache.shard_limit, or make room in /dev/shm", "%.*s",
		      (int)strcspn(error, ";"), error);
}

static int put_result(struct collector *c, int rc)
{
	c->errors += rc != 0;
	if (rc == -ENOSPC) {
		publish_full(c);
		session_update(c);
	} else if (rc) {
		log_event(LOG_LEVEL_WARN, "shard_failed", c->host->id,
			  LF_STR("error", region_error(c->region)));
	}
	return rc;
}

/* ---- the host's sums ------------------------------------------------------------------ */

/* Kept by what each write adds and takes away; publish_recount() puts right what
 * rounding and a lying engine's numbers leave behind. */
static void add_usage(struct collector *c, const struct region_brief *b, int sign)
{
	struct usage *u = &c->usage;

	if (!isnan(b->cpu_percent)) {
		u->cpu_percent += sign * (double)(float)b->cpu_percent;
		u->with_cpu += sign;
	}
	if (b->memory_usage == DCM_UNKNOWN)
		return;
	u->with_memory += sign;
	if (__builtin_add_overflow(u->memory, sign * b->memory_usage, &u->memory))
		u->memory = INT64_MAX;
}

static bool count_one(const struct region_item *item, void *arg)
{
	add_usage(arg, &item->brief, 1);
	return true;
}

void publish_recount(struct collector *c)
{
	c->usage = (struct usage){0};
	region_each(c->region, count_one, c);
	c->row_dirty = true;
}

/* ---- one container ------------------------------------------------------------------- */

static bool same_bytes(const struct region_item *item, enum dcm_tier t, const struct record_buf *b)
{
	return item->tier[t].data && item->tier[t].len == b->len &&
	       !memcmp(item->tier[t].data, b->data, b->len);
}

/* The compose tier that stands there: what is not read anew is taken over. */
static void take_over_compose(const struct region_item *item, const struct publish_source *src,
			      struct dcm_record *r)
{
	size_t len = item->tier[DCM_COMPOSE].len;
	void *memory = arena_alloc(src->arena, record_decode_room(len));
	struct dcm_record old;

	if (!memory || !item->tier[DCM_COMPOSE].data ||
	    record_decode_copy(item->tier[DCM_COMPOSE].data, len, DCM_COMPOSE, &old, memory))
		return;
	if (!src->text_known)
		r->compose_file_content = old.compose_file_content;
	if (!r->compose_stack_containers.known)
		r->compose_stack_containers = old.compose_stack_containers;
}

static void fill_compose(struct collector *c, struct container *ct, struct publish_source *src,
			 const struct region_item *item)
{
	struct dcm_record *r = &src->decoded->rec;

	r->compose_stack_containers = compose_stack(c, ct, src->arena);
	if (src->text_known && src->text.s)
		r->compose_file_content =
		    redact_compose(&c->rules, src->secrets, src->arena,
				   decode_utf8(src->arena, src->text.s, src->text.len));
	if (item)
		take_over_compose(item, src, r);
}

static int encode(struct collector *c, struct container *ct, struct publish_source *src,
		  const struct region_item *item)
{
	struct dcm_record *r = &src->decoded->rec;
	struct record_buf *b = c->buf;
	double now = wall_now();
	int rc;

	if (isnan(ct->cached_at))
		ct->cached_at = now;
	r->cached_at = ct->cached_at;
	r->last_updated = isnan(ct->last_updated) ? now : ct->last_updated;
	rc = record_encode_fit(r, DCM_STATUS, &b[DCM_STATUS]);
	if (!rc)
		rc = record_encode_fit(r, DCM_COMPOSE, &b[DCM_COMPOSE]);
	if (!rc) /* the last: it says whether something was cut */
		rc = record_encode_fit(r, DCM_CONFIG, &b[DCM_CONFIG]);
	if (rc)
		return rc;
	if (!item || !same_bytes(item, DCM_STATUS, &b[DCM_STATUS]) ||
	    !same_bytes(item, DCM_CONFIG, &b[DCM_CONFIG]) ||
	    !same_bytes(item, DCM_COMPOSE, &b[DCM_COMPOSE])) {
		ct->last_updated = r->last_updated = now;
		rc = record_encode(r, DCM_STATUS, &b[DCM_STATUS]);
	}
	return rc;
}

static struct region_tier tier_of(const struct collector *c, enum dcm_tier t, double verified)
{
	return (struct region_tier){t, c->buf[t].data, (uint32_t)c->buf[t].len, verified};
}

/* Stats of a container that does not run are null, and known to be so; those of
 * one that has just started are null until they are measured. */
static bool null_stats(struct collector *c, struct container *ct, bool restarted)
{
	struct dcm_record none;

	if (!c->host->stats || (ct->running && !restarted))
		return false;
	record_out_init(&none);
	return !record_encode(&none, DCM_STATS, &c->buf[DCM_STATS]);
}

static void note_running(struct collector *c, struct container *ct, bool running, bool up)
{
	if (ct->published)
		c->inventory.running += (unsigned)up - (unsigned)ct->up;
	ct->running = running;
	ct->up = up;
	c->row_dirty = true;
}

static void became_published(struct collector *c, struct container *ct)
{
	if (ct->published)
		return;
	ct->published = true;
	c->inventory.published++;
	c->inventory.running += ct->up;
	c->row_dirty = true;
}

int publish_container(struct collector *c, struct container *ct, struct publish_source *src)
{
	struct dcm_record *r = &src->decoded->rec;
	struct region_item item, *old = region_get(c->region, ct->id, &item) ? &item : NULL;
	struct region_brief brief = {record_status_code(r->status),
				     record_health_code(r->health_status), NAN, DCM_UNKNOWN};
	struct region_brief was = old ? item.brief : (struct region_brief){0, 0, NAN, DCM_UNKNOWN};
	uint64_t started = src->whole ? hash_str(r->started) : ct->started;
	bool was_running = ct->running, restarted = src->decoded->running && started != ct->started;
	bool renamed = !old || old->name.len != r->name.len ||
		       memcmp(old->name.s, r->name.s ? r->name.s : "", r->name.len);
	struct region_tier tiers[4];
	size_t n = 0;
	int rc;

	if (!r->name.s) /* an entry needs one */
		r->name = r->container_id;
	note_running(c, ct, src->decoded->running, brief.status == DCM_S_RUNNING);
	ct->started = started;
	compose_member(c, ct, r->compose_project, renamed);
	fill_compose(c, ct, src, old);
	rc = encode(c, ct, src, old);
	if (!rc) {
		tiers[n++] = tier_of(c, DCM_STATUS, src->verified);
		/* of a list the config is not whole: it has no age */
		if (src->whole || !ct->whole)
			tiers[n++] = tier_of(c, DCM_CONFIG, src->whole ? src->verified : 0);
		/* nor is compose verified while its files were not looked at */
		tiers[n++] =
		    tier_of(c, DCM_COMPOSE, src->whole && !src->text_known ? NAN : src->verified);
		if (null_stats(c, ct, restarted))
			tiers[n++] = tier_of(c, DCM_STATS, ct->running ? 0 : src->verified);
		else if (old && ct->running) {
			brief.cpu_percent = old->brief.cpu_percent;
			brief.memory_usage = old->brief.memory_usage;
		}
		rc = region_put(c->region, ct->id, &r->name, &brief, tiers, n);
	}
	ct->refused = put_result(c, rc) == -ENOSPC;
	if (rc)
		return PUBLISH_REFUSED;
	add_usage(c, &was, -1);
	add_usage(c, &brief, 1);
	if (src->whole || !ct->whole) {
		c->inventory.truncated += (unsigned)r->truncated - (unsigned)ct->truncated;
		ct->truncated = r->truncated;
	}
	became_published(c, ct);
	ct->whole |= src->whole;
	if (!ct->running)
		sampler_drop(c, ct);
	else if (restarted || !was_running)
		sampler_want(c, ct);
	return PUBLISH_OK;
}

void publish_verified(struct collector *c, struct container *ct, double verified)
{
	struct region_tier tiers[2] = {{DCM_STATUS, NULL, 0, verified},
				       {DCM_STATS, NULL, 0, verified}};

	put_result(c, region_put(c->region, ct->id, NULL, NULL, tiers,
				 ct->running || !c->host->stats ? 1 : 2));
}

void publish_stats(struct collector *c, struct container *ct, const struct dcm_record *rec,
		   double verified)
{
	struct region_item item;
	struct region_brief brief, was;
	struct region_tier tier;

	if (!ct->published || !region_get(c->region, ct->id, &item))
		return;
	brief = was = item.brief;
	brief.cpu_percent = rec->cpu_percent;
	brief.memory_usage = rec->memory_usage;
	if (put_result(c, record_encode(rec, DCM_STATS, &c->buf[DCM_STATS])))
		return;
	tier = tier_of(c, DCM_STATS, verified);
	if (put_result(c, region_put(c->region, ct->id, NULL, &brief, &tier, 1)))
		return;
	add_usage(c, &was, -1);
	add_usage(c, &brief, 1);
	c->row_dirty = true;
}

void publish_stack(struct collector *c, struct container *ct, struct dcm_strs stack)
{
	struct arena a = {.max = ARENA_INSPECT};
	struct region_item item;
	struct dcm_record r;
	struct region_tier tier;
	size_t len;
	void *memory;

	if (!region_get(c->region, ct->id, &item) || !item.tier[DCM_COMPOSE].data)
		return;
	len = item.tier[DCM_COMPOSE].len;
	memory = arena_alloc(&a, record_decode_room(len));
	if (memory &&
	    !record_decode_copy(item.tier[DCM_COMPOSE].data, len, DCM_COMPOSE, &r, memory)) {
		r.compose_stack_containers = stack;
		if (!put_result(c, record_encode(&r, DCM_COMPOSE, &c->buf[DCM_COMPOSE]))) {
			tier = tier_of(c, DCM_COMPOSE, NAN);
			if (put_result(c, region_put(c->region, ct->id, NULL, NULL, &tier, 1)) ==
			    -ENOSPC)
				ct->refused = true;
		}
	}
	arena_free(&a);
}

int publish_logs(struct collector *c, const uint8_t id[32], struct dcm_strs lines)
{
	struct dcm_record r;
	struct region_tier tier;
	int rc;

	record_out_init(&r);
	r.log_tail = lines;
	rc = record_encode(&r, DCM_LOGS, &c->buf[DCM_LOGS]);
	if (rc)
		return rc;
	tier = tier_of(c, DCM_LOGS, wall_now());
	return put_result(c, region_put(c->region, id, NULL, NULL, &tier, 1));
}

void publish_removed(struct collector *c, const uint8_t id[32])
{
	struct region_item item;

	if (region_get(c->region, id, &item))
		add_usage(c, &item.brief, -1);
	region_remove(c->region, id);
	c->row_dirty = true;
}

/* ---- the host's row ------------------------------------------------------------------- */

static struct dcm_str text(const char *s)
{
	return s && s[0] ? (struct dcm_str){s, (uint32_t)strlen(s)} : (struct dcm_str){NULL, 0};
}

static void fill_row(struct collector *c, struct dcm_host *h, struct condition_list *list)
{
	struct session *se = &c->session;
	const struct usage *u = &c->usage;
	/* Where nothing was measured, a sum is 0 only if it is known that nothing runs. */
	bool zero = !c->inventory.running && c->host->stats && c->was_listed &&
		    !c->snapshot.origin.forgotten;

	*h = (struct dcm_host){
		.state = se->state,
		.error = text(se->error),
		.step = se->failed_at,
		.engine_version = text(se->about.version),
		.api_version = text(se->api),
		.transport = text(transport_kind(&c->host->at)),
		.cpus = se->about.cpus,
		.memory_total = se->about.memory_total,
		.os = text(se->about.os),
		.kernel = text(se->about.kernel),
		.clock_offset = se->clock_offset,
		.containers = c->inventory.published,
		.running = c->inventory.running,
		.cpu_percent = u->with_cpu || zero ? fmax(u->cpu_percent, 0) : NAN,
		.memory_usage = u->with_memory || zero ? u->memory : DCM_UNKNOWN,
		.events = c->events,
		.refreshes = c->refreshes,
		.errors = c->errors,
		.refused = c->over_limit,
		.truncated = c->inventory.truncated,
		.pid = getpid(),
	};
	conditions_list(&c->conditions, list);
	h->conditions = (struct dcm_strs){list->names, list->n, true};
	h->warnings = (struct dcm_strs){list->warnings, list->n, true};
}

static void recall_text(char *to, size_t len, struct dcm_str s)
{
	snprintf(to, len, "%.*s", (int)s.len, s.s ? s.s : "");
}

/* What the engine told of itself is shown until it tells it again. */
void publish_recall(struct collector *c)
{
	struct session *se = &c->session;
	struct dcm_host h = {.cpus = DCM_UNKNOWN, .memory_total = DCM_UNKNOWN, .clock_offset = NAN};
	struct region_item self;

	region_get_self(c->region, &self);
	if (!self.tier[DCM_STATUS].data ||
	    !record_decode_host(self.tier[DCM_STATUS].data, self.tier[DCM_STATUS].len, DCM_STATUS,
				&h, RECORD_NO_ROOM))
		return;
	recall_text(se->about.version, sizeof(se->about.version), h.engine_version);
	recall_text(se->about.os, sizeof(se->about.os), h.os);
	recall_text(se->about.kernel, sizeof(se->about.kernel), h.kernel);
	recall_text(se->api, sizeof(se->api), h.api_version);
	se->about.cpus = h.cpus;
	se->about.memory_total = h.memory_total;
	se->clock_offset = h.clock_offset;
}

static void put_row(struct collector *c)
{
	struct region_tier tiers[2];
	struct condition_list list = {0};
	struct dcm_host h;

	fill_row(c, &h, &list);
	if (record_encode_host(&h, DCM_STATUS, &c->buf[DCM_STATUS]) ||
	    record_encode_host(&h, DCM_STATS, &c->buf[DCM_STATS]))
		return;
	tiers[0] = tier_of(c, DCM_STATUS, c->listed);
	tiers[1] = tier_of(c, DCM_STATS, wall_now());
	if (put_result(c, region_put_self(c->region, tiers, 2)))
		return;
	c->row_dirty = false;
	c->listed = NAN; /* the row has it, and keeps it right where the clock is set */
}

/* ---- batches ---------------------------------------------------------------------------- */

static void flush_now(struct collector *c)
{
	uint64_t one = 1;

	event_del(c->flush);
	c->flushed_at = mono_now();
	compose_flush(c);
	if (c->row_dirty)
		put_row(c);
	if (!region_publish(c->region))
		return;
	snapshot_changed(c);
	/* a full eventfd is a bell that is ringing already */
	if (c->env->bell >= 0 && write(c->env->bell, &one, sizeof(one)) < 0)
		return;
}

void publish_flush(struct collector *c, bool at_once)
{
	if (at_once || mono_now() - c->flushed_at >= batch)
		flush_now(c);
	else if (!evtimer_pending(c->flush, NULL))
		timer_set(c->flush, batch);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush_now(arg);
}

/* From within whatever found it out, so not at once. */
static void on_condition(void *arg)
{
	struct collector *c = arg;

	c->row_dirty = true;
	if (!evtimer_pending(c->flush, NULL))
		timer_set(c->flush, batch);
}

int publish_init(struct collector *c)
{
	conditions_init(&c->conditions, c->host->id, on_condition, c);
	c->listed = NAN;
	c->row_dirty = true;
	c->flush = evtimer_new(c->base, on_flush, c);
	return c->flush ? 0 : -1;
}

void publish_free(struct collector *c)
{
	size_t t;

	for (t = 0; t < DCM_TIERS; t++)
		record_buf_free(&c->buf[t]);
	if (c->flush)
		event_free(c->flush);
}
