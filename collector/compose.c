/*
 * compose.c - compose projects: who belongs to which.
 *
 * compose_stack_containers of a container are the names of its project's other
 * members.  When a member comes, goes or is renamed, its project is marked, and
 * the next flush rewrites the members' compose tiers: all of a small project at
 * once, those of a large one once a second at most.
 */
#include <stdlib.h>
#include <string.h>

#include "collector_impl.h"

enum { SMALL_PROJECT = 64 };	     /* members */
static const double large_after = 1; /* s */

static struct project *project_get(struct collector *c, struct dcm_str name)
{
	struct project_list *bucket = &c->inventory.projects[hash_str(name) / 2 % PROJECT_BUCKETS];
	struct project *p;

	LIST_FOREACH(p, bucket, link)
		if (strlen(p->name) == name.len && !memcmp(p->name, name.s, name.len))
			return p;
	p = calloc(1, sizeof(*p) + name.len + 1);
	if (!p)
		return NULL;
	memcpy(p->name, name.s, name.len);
	LIST_INSERT_HEAD(bucket, p, link);
	return p;
}

static void mark(struct collector *c, struct project *p)
{
	if (!p->dirty)
		LIST_INSERT_HEAD(&c->inventory.dirty, p, dirty_link);
	p->dirty = true;
}

static void project_leave(struct collector *c, struct container *ct)
{
	struct project *p = ct->project;

	LIST_REMOVE(ct, project_link);
	ct->project = NULL;
	mark(c, p);
	if (--p->count)
		return;
	LIST_REMOVE(p, dirty_link);
	LIST_REMOVE(p, link);
	free(p);
}

void compose_member(struct collector *c, struct container *ct, struct dcm_str name, bool renamed)
{
	struct project *p = name.s ? project_get(c, name) : NULL;

	if (p == ct->project) {
		if (p && renamed)
			mark(c, p);
		return;
	}
	if (ct->project)
		project_leave(c, ct);
	ct->project = p;
	if (!p)
		return;
	LIST_INSERT_HEAD(&p->members, ct, project_link);
	p->count++;
	mark(c, p);
}

struct member {
	struct dcm_str name;
	struct container *container;
};

static int by_name(const void *a, const void *b)
{
	const struct dcm_str *x = &((const struct member *)a)->name;
	const struct dcm_str *y = &((const struct member *)b)->name;
	int d = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);

	return d ? d : (x->len > y->len) - (x->len < y->len);
}

/* The published members, by name; the names are copied, since writing moves. */
static struct member *members(struct collector *c, const struct project *p, struct arena *a,
			      uint32_t *n)
{
	struct member *v = arena_alloc(a, sizeof(*v) * p->count);
	struct container *m;

	*n = 0;
	if (!v)
		return NULL;
	LIST_FOREACH(m, &p->members, project_link) {
		struct region_item item;

		if (!m->published || !region_get(c->region, m->id, &item))
			continue;
		v[*n] = (struct member){arena_str(a, item.name.s, item.name.len), m};
		*n += v[*n].name.s != NULL;
	}
	qsort(v, *n, sizeof(*v), by_name);
	return v;
}

static struct dcm_strs others(const struct member *v, uint32_t n, const struct container *ct,
			      struct dcm_str *room)
{
	struct dcm_strs out = {room, 0, true};
	uint32_t i;

	for (i = 0; i < n && out.n < STACK_MAX; i++)
		if (v[i].container != ct)
			room[out.n++] = v[i].name;
	return out;
}

struct dcm_strs compose_stack(struct collector *c, const struct container *ct, struct arena *a)
{
	struct dcm_strs unknown = {NULL, 0, false};
	struct dcm_str *room;
	struct member *v;
	uint32_t n;

	if (!ct->project)
		return (struct dcm_strs){NULL, 0, true};
	if (ct->project->count > SMALL_PROJECT)
		return unknown;
	v = members(c, ct->project, a, &n);
	room = arena_alloc(a, sizeof(*room) * (n + 1));
	return v && room ? others(v, n, ct, room) : unknown;
}

static void rewrite(struct collector *c, struct project *p)
{
	struct arena a = {.max = ARENA_INSPECT};
	struct dcm_str *room = arena_alloc(&a, sizeof(*room) * STACK_MAX);
	uint32_t n = 0, i;
	struct member *v = members(c, p, &a, &n);

	for (i = 0; v && room && i < n; i++)
		publish_stack(c, v[i].container, others(v, n, v[i].container, room));
	arena_free(&a);
}

void compose_flush(struct collector *c)
{
	struct inventory *v = &c->inventory;
	double now = mono_now();
	bool large_too = now - v->large_at >= large_after;
	struct project *p, *next;

	for (p = LIST_FIRST(&v->dirty); p; p = next) {
		next = LIST_NEXT(p, dirty_link);
		if (p->count > SMALL_PROJECT && !large_too) {
			if (!evtimer_pending(v->large, NULL))
				timer_set(v->large, large_after);
			continue;
		}
		if (p->count > SMALL_PROJECT)
			v->large_at = now;
		LIST_REMOVE(p, dirty_link);
		p->dirty = false;
		rewrite(c, p);
	}
}

static void on_large(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	publish_flush(arg, true);
}

int compose_init(struct collector *c)
{
	c->inventory.large = evtimer_new(c->base, on_large, c);
	return c->inventory.large ? compose_files_init(c) : -1;
}
