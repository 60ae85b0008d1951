/*
 * catalog.c - the images and networks of the host, for filters that name them.
 *
 * Asked for with each full cycle and after events that change them (never more than a
 * tenth of the time, since a long list is work for its engine), behind all
 * other requests: one list after the other, both published together.  An engine
 * that tells nothing of them (a proxy before it, say) lacks nothing else by it.
 */
#include <string.h>

#include "collector_impl.h"

static const double rest_most = 60; /* s between the end of two lists and the next */

static void on_images(void *arg, const struct engine_reply *r);
static void on_networks(void *arg, const struct engine_reply *r);

static bool ask(struct collector *c, const char *what, engine_done *done)
{
	char path[64];

	session_path(c, path, sizeof(path), "%s", what);
	c->catalog.request = engine_get_later(c->session.engine, path, ENGINE_CATALOG_MAX, done, c);
	return c->catalog.request != NULL;
}

static void put(struct collector *c)
{
	struct record_buf *b = &c->buf[DCM_COMPOSE];
	struct region_tier tier = {.tier = DCM_COMPOSE, .verified = wall_now()};

	if (record_encode_catalog(&c->catalog.lists, b))
		return; /* too long: what was known stays */
	tier.data = b->data;
	tier.len = (uint32_t)b->len;
	/* where there is no room, containers come first: their writes say so */
	if (region_put_self(c->region, &tier, 1) == 0)
		publish_flush(c, false);
}

/* Builds change the lists all the time: nine tenths of it are left to others. */
static void rest(struct catalog *cat)
{
	double now = mono_now(), nap = 9 * (now - cat->asked_at);

	if (cat->asked_at > 0)
		cat->rest_until = now + (nap < rest_most ? nap : rest_most);
	cat->asked_at = 0;
}

static void end(struct collector *c)
{
	struct catalog *cat = &c->catalog;

	arena_free(&cat->arena);
	cat->lists = (struct dcm_catalog){0};
	rest(cat);
	if (cat->again)
		catalog_want(c, 0);
	cat->again = false;
}

/* What the answer says, or that nothing is known. */
static void take(struct collector *c, const struct engine_reply *r,
		 int (*decode)(const char *, size_t, struct arena *, struct dcm_strs *, char *),
		 struct dcm_strs *out)
{
	char error[DECODE_ERR];

	c->catalog.request = NULL;
	collector_answered(c, r);
	if (!r->failure && decode(r->body, r->len, &c->catalog.arena, out, error) == 0)
		return;
	log_event(LOG_LEVEL_DEBUG, "catalog_failed", c->host->id,
		  LF_STR("error", r->failure ? r->error : error));
}

static void on_images(void *arg, const struct engine_reply *r)
{
	struct collector *c = arg;

	take(c, r, decode_images, &c->catalog.lists.images);
	if (!ask(c, "/networks", on_networks))
		end(c);
}

static void on_networks(void *arg, const struct engine_reply *r)
{
	struct collector *c = arg;

	take(c, r, decode_networks, &c->catalog.lists.networks);
	put(c);
	end(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;

	(void)fd;
	(void)what;
	if (!c->session.engine || c->session.phase != PHASE_UP)
		return; /* with the next connection */
	c->catalog.asked_at = mono_now();
	if (!ask(c, "/images/json?all=1", on_images))
		end(c);
}

void catalog_want(struct collector *c, double after)
{
	double rests = c->catalog.rest_until - mono_now();

	if (c->catalog.request)
		c->catalog.again = true;
	else if (!evtimer_pending(c->catalog.timer, NULL))
		timer_set(c->catalog.timer, after > rests ? after : rests);
}

void catalog_stop(struct collector *c)
{
	if (c->catalog.timer)
		event_del(c->catalog.timer);
	engine_cancel(c->catalog.request);
	c->catalog.request = NULL;
	c->catalog.again = false;
	c->catalog.asked_at = 0;
	end(c);
	c->catalog.rest_until = 0;
}

void catalog_forget(struct collector *c)
{
	catalog_stop(c);
	put(c);
}

int catalog_init(struct collector *c)
{
	c->catalog.arena.max = ARENA_CATALOG;
	c->catalog.timer = evtimer_new(c->base, on_timer, c);
	return c->catalog.timer ? 0 : -1;
}
