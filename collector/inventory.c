/*
 * inventory.c - the containers of one host that the collector knows: a hash
 * table by id, the debounce, and what was removed lately.
 *
 * A container is known from the first event or list that names it, and published
 * from its first whole inspect.  Ids never return: an id that was removed is
 * remembered for a while, so that a list or event from before cannot bring it
 * back.  Only its destruction is final, though: while it is being created, an
 * engine lists it some 50 ms before an inspect finds it and its `create` is told (of
 * Docker 20.10, right after a restart above all, when many wait to be created).  So
 * one that an inspect or a list has missed is looked at again at its next event.
 * Debounce: the first event on a container sets the time of its inspect, and what
 * comes until then is the same update.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "collector_impl.h"

enum { BUCKETS_FIRST = 256 };

uint64_t hash_str(struct dcm_str s)
{
	return s.s ? XXH3_64bits(s.s, s.len) | 1 : 0;
}

bool id_parse(const char *hex, uint8_t id[32])
{
	size_t i;

	for (i = 0; i < 64; i++) {
		char ch = hex[i];
		int v = ch >= '0' && ch <= '9'	 ? ch - '0'
			: ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
						 : -1;

		if (v < 0)
			return false;
		id[i / 2] = (uint8_t)(i & 1 ? id[i / 2] | v : v << 4);
	}
	return hex[64] == '\0';
}

void id_hex(const uint8_t id[32], char hex[65])
{
	size_t i;

	for (i = 0; i < 32; i++) {
		hex[2 * i] = "0123456789abcdef"[id[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[id[i] & 15];
	}
	hex[64] = '\0';
}

/* Ids are random, but an engine may lie: mix all of it. */
static size_t bucket(const struct inventory *v, const uint8_t id[32])
{
	return (size_t)XXH3_64bits(id, 32) & (v->n_buckets - 1);
}

struct container *inventory_find(struct collector *c, const uint8_t id[32])
{
	struct container *ct = c->inventory.buckets[bucket(&c->inventory, id)];

	while (ct && memcmp(ct->id, id, 32))
		ct = ct->chain;
	return ct;
}

static void grow(struct inventory *v)
{
	struct container **old = v->buckets;
	size_t n = v->n_buckets, i;
	struct container **fresh = calloc(n * 2, sizeof(*fresh));

	if (!fresh)
		return; /* longer chains, and right all the same */
	v->buckets = fresh;
	v->n_buckets = n * 2;
	for (i = 0; i < n; i++) {
		struct container *ct, *next;

		for (ct = old[i]; ct; ct = next) {
			size_t b = bucket(v, ct->id);

			next = ct->chain;
			ct->chain = fresh[b];
			fresh[b] = ct;
		}
	}
	free(old);
}

struct container *inventory_add(struct collector *c, const uint8_t id[32])
{
	struct inventory *v = &c->inventory;
	struct container *ct;
	size_t b;

	if (v->count >= CONTAINERS_MAX || !(ct = calloc(1, sizeof(*ct)))) {
		c->errors++;
		c->over_limit++;
		return NULL;
	}
	if (v->count >= v->n_buckets)
		grow(v);
	memcpy(ct->id, id, 32);
	ct->collector = c;
	ct->first_seen_at = mono_now();
	ct->cached_at = ct->last_updated = NAN;
	ct->compose_due = true;
	b = bucket(v, id);
	ct->chain = v->buckets[b];
	v->buckets[b] = ct;
	v->count++;
	cycle_list_after(c, c->cache->request_timeout);
	return ct;
}

void inventory_forget_id(struct collector *c, const uint8_t id[32], bool destroyed)
{
	struct inventory *v = &c->inventory;
	unsigned i = v->next_gone++ % GONE_SLOTS;

	memcpy(v->gone[i].id, id, sizeof(v->gone[i].id));
	v->gone[i].at = mono_now();
	v->gone[i].destroyed = destroyed;
}

bool inventory_was_removed(const struct collector *c, const uint8_t id[32], double since_at)
{
	const struct inventory *v = &c->inventory;
	unsigned i;

	for (i = 0; i < GONE_SLOTS; i++)
		if (v->gone[i].at > since_at && !memcmp(v->gone[i].id, id, sizeof(v->gone[i].id)))
			return true;
	return false;
}

bool inventory_was_destroyed(const struct collector *c, const uint8_t id[32])
{
	const struct inventory *v = &c->inventory;
	unsigned i;

	for (i = 0; i < GONE_SLOTS; i++)
		if (v->gone[i].destroyed && !memcmp(v->gone[i].id, id, sizeof(v->gone[i].id)))
			return true;
	return false;
}

/* Everything that holds on to it lets go. */
static void release(struct collector *c, struct container *ct)
{
	struct inventory *v = &c->inventory;
	struct container **at = &v->buckets[bucket(v, ct->id)];

	inventory_queue(c, ct, QUEUE_NONE);
	inspect_drop(c, ct);
	sampler_drop(c, ct);
	compose_member(c, ct, (struct dcm_str){NULL, 0}, false);
	v->published -= ct->published;
	v->running -= ct->published && ct->up;
	v->failing -= ct->failures > 0;
	v->truncated -= ct->truncated;
	while (*at != ct)
		at = &(*at)->chain;
	*at = ct->chain;
	v->count--;
	free(ct);
}

void inventory_remove(struct collector *c, struct container *ct, const char *why)
{
	uint8_t id[32];
	char hex[65];

	if (!ct)
		return;
	memcpy(id, ct->id, sizeof(id));
	if (log_wants(LOG_LEVEL_DEBUG)) {
		id_hex(id, hex);
		log_event(LOG_LEVEL_DEBUG, "container_removed", c->host->id,
			  LF_STR("container", hex), LF_STR("cause", why));
	}
	if (ct->published)
		publish_removed(c, id);
	inventory_forget_id(c, id, false);
	if (ct->in_cycle)
		cycle_left(c, ct, true);
	release(c, ct);
	session_update(c);
}

void inventory_each(struct collector *c, void (*fn)(struct collector *, struct container *, void *),
		    void *arg)
{
	struct container *ct, *next;
	size_t i;

	for (i = 0; i < c->inventory.n_buckets; i++)
		for (ct = c->inventory.buckets[i]; ct; ct = next) {
			next = ct->chain;
			fn(c, ct, arg);
		}
}

static void release_each(struct collector *c, struct container *ct, void *arg)
{
	(void)arg;
	release(c, ct);
}

void inventory_clear(struct collector *c)
{
	inventory_each(c, release_each, NULL);
	memset(c->inventory.gone, 0, sizeof(c->inventory.gone));
}

/* ---- queues ------------------------------------------------------------------------- */

static struct container_queue *queue_of(struct inventory *v, unsigned q)
{
	return q == QUEUE_SETTLING ? &v->settling : q == QUEUE_URGENT ? &v->urgent : &v->sweep;
}

void inventory_queue(struct collector *c, struct container *ct, enum queue_name q)
{
	struct inventory *v = &c->inventory;

	if (ct->queue != QUEUE_NONE)
		TAILQ_REMOVE(queue_of(v, ct->queue), ct, link);
	ct->queue = (uint8_t)q;
	if (q != QUEUE_NONE)
		TAILQ_INSERT_TAIL(queue_of(v, q), ct, link);
}

static void settle_timer(struct collector *c)
{
	struct container *first = TAILQ_FIRST(&c->inventory.settling);

	if (first)
		timer_set(c->inventory.settle, fmax(first->due_at - mono_now(), 0));
}

void inventory_touch(struct collector *c, struct container *ct, double after)
{
	struct inventory *v = &c->inventory;
	double due = mono_now() + after;
	struct container *before;

	if (ct->inspecting) {
		ct->again = true;
		return;
	}
	if (ct->queue == QUEUE_URGENT || (ct->queue == QUEUE_SETTLING && ct->due_at <= due))
		return;
	inventory_queue(c, ct, QUEUE_NONE);
	ct->queue = QUEUE_SETTLING;
	ct->due_at = due;
	/* in order of due_at; nearly always at the end */
	before = TAILQ_LAST(&v->settling, container_queue);
	while (before && before->due_at > due)
		before = TAILQ_PREV(before, container_queue, link);
	if (before)
		TAILQ_INSERT_AFTER(&v->settling, before, ct, link);
	else
		TAILQ_INSERT_HEAD(&v->settling, ct, link);
	if (TAILQ_FIRST(&v->settling) == ct)
		settle_timer(c);
}

static void on_settled(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;
	struct container *ct;
	double now = mono_now() + 0.0005; /* timers wake a little early, too */

	(void)fd;
	(void)what;
	while ((ct = TAILQ_FIRST(&c->inventory.settling)) && ct->due_at <= now)
		inventory_queue(c, ct, QUEUE_URGENT);
	settle_timer(c);
	inspect_pump(c);
}

/* ---- begin and end -------------------------------------------------------------------- */

static void read_times(struct container *ct, const struct region_item *item)
{
	static const enum dcm_tier tiers[] = {DCM_STATUS, DCM_CONFIG};
	struct dcm_record r;
	void *memory[2];
	size_t i;

	record_out_init(&r);
	for (i = 0; i < 2; i++) {
		size_t len = item->tier[tiers[i]].len;

		memory[i] = malloc(record_decode_room(len));
		if (memory[i] && item->tier[tiers[i]].data)
			record_decode_copy(item->tier[tiers[i]].data, len, tiers[i], &r, memory[i]);
	}
	ct->cached_at = r.cached_at;
	ct->last_updated = r.last_updated;
	/* the same run as before: its stats stay until there are newer ones */
	ct->started = hash_str(r.started);
	ct->truncated = r.truncated;
	ct->collector->inventory.truncated += r.truncated;
	for (i = 0; i < 2; i++)
		free(memory[i]);
}

/* What was inspected stays as it is until the next inspect; a list alone does not
 * make it less. */
static bool adopt(const struct region_item *item, void *arg)
{
	struct collector *c = arg;
	struct container *ct = inventory_add(c, item->id);

	if (!ct)
		return false;
	ct->published = true;
	ct->up = item->brief.status == DCM_S_RUNNING;
	ct->running = ct->up || item->brief.status == DCM_S_PAUSED ||
		      item->brief.status == DCM_S_RESTARTING;
	c->inventory.published++;
	c->inventory.running += ct->up;
	ct->whole = item->tier[DCM_CONFIG].verified > 0;
	read_times(ct, item);
	return true;
}

void inventory_adopt(struct collector *c)
{
	region_each(c->region, adopt, c);
}

int inventory_init(struct collector *c)
{
	struct inventory *v = &c->inventory;

	TAILQ_INIT(&v->settling);
	TAILQ_INIT(&v->urgent);
	TAILQ_INIT(&v->sweep);
	v->n_buckets = BUCKETS_FIRST;
	v->buckets = calloc(v->n_buckets, sizeof(*v->buckets));
	v->settle = evtimer_new(c->base, on_settled, c);
	return v->buckets && v->settle ? 0 : -1;
}

void inventory_free(struct collector *c)
{
	if (c->inventory.buckets)
		inventory_clear(c);
	free(c->inventory.buckets);
	if (c->inventory.settle)
		event_free(c->inventory.settle);
}
