/*
 * compose.c - compose projects: who belongs to which, and the text of their files.
 *
 * Files are read through the transport, where it can, when a container is first
 * inspected, when its config_files change, and in each full cycle.  Members of a
 * project name the same files, so a text is kept for the short time of a sweep.
 * Nothing but *.yml and *.yaml is asked for.  One file is given as it is; of
 * several each is headed by a comment line with its path.  An inspect waits a
 * moment for its text; a file system that hangs costs it that moment once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector_impl.h"

enum {
	FILES_MAX = 16,	    /* of one container */
	PATH_MAX_BYTES = 4096,
	TEXTS_MAX = 8,	    /* file sets kept during a sweep */
	SMALL_PROJECT = 64, /* members; larger ones are rewritten once a second at most */
};
static const double text_patience = 1; /* s that an inspect waits for its files */
static const double large_after = 1;   /* s */

struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct inspection *inspection;
};

/* A set of files: being read, then kept until the sweep ends. */
struct text {
	TAILQ_ENTRY(text) link;
	struct collector *collector;
	uint64_t key;
	unsigned n_files, next, readable;
	char *file[FILES_MAX];
	char *data;
	size_t len;
	bool complete, reading, late, waking;
	struct event *patience;
	TAILQ_HEAD(, waiter) waiters;
};

struct compose_cache {
	TAILQ_HEAD(, text) texts;
	unsigned n;
	struct event *large;
	double flushed_at;
};

/* ---- which files --------------------------------------------------------------------- */

static bool is_yaml(const char *path, size_t n)
{
	return (n > 4 && !memcmp(path + n - 4, ".yml", 4)) ||
	       (n > 5 && !memcmp(path + n - 5, ".yaml", 5));
}

/* What is not YAML by its name is passed over. */
static void add_file(struct text *t, struct dcm_str dir, const char *name, size_t n)
{
	char path[PATH_MAX_BYTES];
	int m;

	while (n && *name == ' ')
		name++, n--;
	if (t->n_files == FILES_MAX || !is_yaml(name, n) || memchr(name, '\0', n))
		return;
	if (*name == '/')
		m = snprintf(path, sizeof(path), "%.*s", (int)n, name);
	else
		m = snprintf(path, sizeof(path), "%.*s/%.*s", (int)dir.len, dir.s ? dir.s : "", (int)n,
			     name);
	if (m < 0 || (size_t)m >= sizeof(path) || path[0] != '/')
		return;
	t->file[t->n_files] = strdup(path);
	t->n_files += t->file[t->n_files] != NULL;
}

static void add_files(struct text *t, struct dcm_str files, struct dcm_str dir)
{
	const char *p = files.s, *end = files.s + files.len;

	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end;

		add_file(t, dir, p, (size_t)(stop - p));
		p = stop + 1;
	}
}

/* ---- reading -------------------------------------------------------------------------- */

static void text_free(struct text *t)
{
	struct compose_cache *cc = t->collector->compose;
	unsigned i;

	TAILQ_REMOVE(&cc->texts, t, link);
	cc->n--;
	for (i = 0; i < t->n_files; i++)
		free(t->file[i]);
	if (t->patience)
		event_free(t->patience);
	free(t->data);
	free(t);
}

static void answer(const struct text *t, struct inspection *in)
{
	struct dcm_str none = {NULL, 0}, all = {t->data, (uint32_t)t->len};

	inspect_ready(in, t->complete && !t->late, t->readable ? all : none);
}

/* May free t. */
static void wake(struct text *t)
{
	struct collector *c = t->collector;
	struct waiter *w;

	event_del(t->patience);
	t->waking = true;
	while ((w = TAILQ_FIRST(&t->waiters))) {
		struct inspection *in = w->inspection;

		TAILQ_REMOVE(&t->waiters, w, link);
		free(w);
		answer(t, in);
	}
	t->waking = false;
	if (!c->inspector.n_active)
		compose_idle(c);
}

static void on_impatient(evutil_socket_t fd, short what, void *arg)
{
	struct text *t = arg;

	(void)fd;
	(void)what;
	t->late = true; /* and so it stays while its read hangs: nobody waits again */
	wake(t);
}

/* How many bytes at the end are the beginning of a UTF-8 character. */
static size_t cut_character(const char *s, size_t len)
{
	size_t back;

	for (back = 1; back <= 3 && back <= len; back++) {
		unsigned char ch = (unsigned char)s[len - back];
		size_t whole = ch >= 0xf0 ? 4 : ch >= 0xe0 ? 3 : ch >= 0xc0 ? 2 : 0;

		if (whole)
			return whole > back ? back : 0;
		if (ch < 0x80)
			break;
	}
	return 0;
}

static void append(struct text *t, const char *data, size_t len)
{
	size_t room = COMPOSE_MAX - t->len;
	char *p;

	if (len > room)
		len = room;
	p = realloc(t->data, t->len + len + 1);
	if (!p)
		return;
	memcpy(p + t->len, data, len);
	t->data = p;
	t->len += len;
	if (t->len == COMPOSE_MAX)
		t->len -= cut_character(p, t->len);
	p[t->len] = '\0';
}

static void read_next(struct text *t);

static void on_file(void *arg, const char *data, size_t len, const char *error)
{
	struct text *t = arg;
	const char *path = t->file[t->next++];

	if (error) {
		log_event(LOG_LEVEL_DEBUG, "compose_file", t->collector->host->id,
			  LF_STR("path", path), LF_STR("error", error));
	} else {
		if (t->n_files > 1) {
			append(t, "# ", 2);
			append(t, path, strlen(path));
			append(t, "\n", 1);
		}
		append(t, data, len);
		if (t->n_files > 1 && t->len && t->data[t->len - 1] != '\n')
			append(t, "\n", 1);
		t->readable += t->data != NULL;
	}
	read_next(t);
}

static void read_next(struct text *t)
{
	struct session *se = &t->collector->session;

	if (t->next < t->n_files && t->len < COMPOSE_MAX && se->transport) {
		t->reading = true;
		se->ops->read_file(se->transport, t->file[t->next], COMPOSE_MAX - t->len, on_file, t);
		return;
	}
	t->reading = false;
	t->complete = true;
	if (t->late) { /* those who waited are gone; the next sweep asks again */
		text_free(t);
		return;
	}
	wake(t);
}

static struct text *find_text(struct compose_cache *cc, uint64_t key)
{
	struct text *t;

	TAILQ_FOREACH(t, &cc->texts, link)
		if (t->key == key)
			return t;
	return NULL;
}

static void make_room(struct compose_cache *cc)
{
	struct text *t, *next;

	for (t = TAILQ_FIRST(&cc->texts); t && cc->n >= TEXTS_MAX; t = next) {
		next = TAILQ_NEXT(t, link);
		if (t->complete && !t->waking)
			text_free(t);
	}
}

static struct text *new_text(struct collector *c, uint64_t key, const struct dcm_record *r)
{
	struct text *t;

	make_room(c->compose);
	if (c->compose->n >= 4 * TEXTS_MAX || !(t = calloc(1, sizeof(*t))))
		return NULL;
	t->collector = c;
	t->key = key;
	TAILQ_INIT(&t->waiters);
	TAILQ_INSERT_TAIL(&c->compose->texts, t, link);
	c->compose->n++;
	add_files(t, r->compose_config_files, r->compose_working_dir);
	t->patience = evtimer_new(c->base, on_impatient, t);
	if (!t->patience || !t->n_files) {
		text_free(t);
		return NULL;
	}
	timer_set(t->patience, text_patience);
	return t;
}

void compose_read(struct collector *c, struct inspection *in)
{
	const struct dcm_record *r = &in->decoded.rec;
	struct dcm_str none = {NULL, 0};
	struct text *t;
	struct waiter *w;
	uint64_t key;

	if (!r->compose_config_files.s || !c->session.ops->read_file) {
		inspect_ready(in, true, none); /* there is no way to it */
		return;
	}
	key = hash_str(r->compose_config_files) ^ hash_str(r->compose_working_dir) * 3;
	t = find_text(c->compose, key);
	if (t && (t->late || t->complete)) {
		answer(t, in);
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w || (!t && !(t = new_text(c, key, r)))) {
		free(w);
		inspect_ready(in, true, none);
		return;
	}
	w->inspection = in;
	TAILQ_INSERT_TAIL(&t->waiters, w, link);
	if (!t->reading)
		read_next(t);
}

void compose_read_cancel(struct collector *c, struct inspection *in)
{
	struct text *t;
	struct waiter *w;

	TAILQ_FOREACH(t, &c->compose->texts, link)
		TAILQ_FOREACH(w, &t->waiters, link)
			if (w->inspection == in) {
				TAILQ_REMOVE(&t->waiters, w, link);
				free(w);
				return;
			}
}

void compose_idle(struct collector *c)
{
	struct text *t, *next;

	for (t = TAILQ_FIRST(&c->compose->texts); t; t = next) {
		next = TAILQ_NEXT(t, link);
		if (t->complete && !t->waking)
			text_free(t);
	}
}

void compose_reset(struct collector *c)
{
	while (!TAILQ_EMPTY(&c->compose->texts))
		text_free(TAILQ_FIRST(&c->compose->texts));
}

/* ---- projects ------------------------------------------------------------------------- */

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
	struct compose_cache *cc = c->compose;
	double now = mono_now();
	bool large_too = now - cc->flushed_at >= large_after;
	struct project *p, *next;

	for (p = LIST_FIRST(&c->inventory.dirty); p; p = next) {
		next = LIST_NEXT(p, dirty_link);
		if (p->count > SMALL_PROJECT && !large_too) {
			if (!evtimer_pending(cc->large, NULL))
				timer_set(cc->large, large_after);
			continue;
		}
		if (p->count > SMALL_PROJECT)
			cc->flushed_at = now;
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
	c->compose = calloc(1, sizeof(*c->compose));
	if (!c->compose)
		return -1;
	TAILQ_INIT(&c->compose->texts);
	c->compose->large = evtimer_new(c->base, on_large, c);
	return c->compose->large ? 0 : -1;
}

void compose_free(struct collector *c)
{
	struct compose_cache *cc = c->compose;

	if (!cc)
		return;
	compose_reset(c);
	if (cc->large)
		event_free(cc->large);
	free(cc);
	c->compose = NULL;
}
