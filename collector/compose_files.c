/*
 * compose_files.c - the text of compose files.
 *
 * Files are read through the transport, where it can, when a container is first
 * inspected, when its config_files change, and in each full cycle.  Members of a
 * project name the same files, so a text is kept for the short time of a sweep.
 * Nothing but *.yml and *.yaml is asked for.  One file is given as it is; of
 * several each is headed by a comment line with its path.  An inspect waits a
 * moment for its text; a file system that hangs costs it that moment once, and a text
 * that comes later is told by another inspect.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector_impl.h"

enum {
	FILES_MAX = 16, /* of one container */
	PATH_MAX_BYTES = 4096,
	TEXTS_MAX = 64,	     /* file sets kept during a sweep */
	TEXTS_BYTES = 2 << 20, /* of them */
};
static const double text_patience = 1; /* s that an inspect waits for its files */
static const double late_kept = 5;     /* s that a late text waits for its inspects */

struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct inspection *inspection;
};

/* A set of files: being read, then kept until the sweep ends. */
struct text {
	TAILQ_ENTRY(text) link;
	struct collector *collector;
	uint64_t key, files; /* files: as struct container's */
	unsigned n_files, next, readable;
	char *file[FILES_MAX];
	char *data;
	size_t len;
	bool complete, reading, late, waking;
	bool secret; /* their names hold what was taken out: for no log */
	double kept_until;
	struct event *patience;
	TAILQ_HEAD(, waiter) waiters;
};

struct compose_cache {
	TAILQ_HEAD(, text) texts;
	unsigned n;
	size_t bytes;
};

/* ---- which files --------------------------------------------------------------------- */

static bool is_yaml(const char *path, size_t n)
{
	return (n > 4 && !memcmp(path + n - 4, ".yml", 4)) ||
	       (n > 5 && !memcmp(path + n - 5, ".yaml", 5));
}

/* /a//b/./c is /a/b/c: SFTP and commands take a path only as the host itself writes
 * it.  A ".." stays: where it leads, links decide. */
static void tidy(char *path)
{
	char *to = path;

	for (const char *p = path; *p;) {
		size_t n = strcspn(p + 1, "/");

		if (n && !(n == 1 && p[1] == '.')) {
			memmove(to, p, n + 1);
			to += n + 1;
		}
		p += n + 1;
	}
	*to = '\0';
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
	else if (dir.len)
		m = snprintf(path, sizeof(path), "%.*s/%.*s", (int)dir.len, dir.s, (int)n, name);
	else
		return; /* relative to nobody knows what */
	if (m < 0 || (size_t)m >= sizeof(path) || path[0] != '/')
		return;
	tidy(path);
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
	cc->bytes -= t->complete ? t->len : 0;
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
	t->late = true; /* and so it stays while it is read: nobody waits again */
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
			  LF_STR("path", t->secret ? "********" : path), LF_STR("error", error));
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

static void tell_late(struct collector *c, struct container *ct, void *arg)
{
	const struct text *t = arg;

	if (ct->compose_due && ct->files == t->files)
		inventory_touch(c, ct, 0);
}

static void read_next(struct text *t)
{
	struct session *se = &t->collector->session;

	if (t->next < t->n_files && t->len < COMPOSE_MAX && se->transport) {
		t->reading = true;
		se->ops->read_file(se->transport, t->file[t->next], COMPOSE_MAX - t->len, on_file,
				   t);
		return;
	}
	t->reading = false;
	t->complete = true;
	t->collector->compose->bytes += t->len;
	if (t->late) { /* those who waited are gone, without it */
		t->late = false;
		t->kept_until = mono_now() + late_kept;
		inventory_each(t->collector, tell_late, t);
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
	struct text *t = TAILQ_FIRST(&cc->texts), *next;

	for (; t && (cc->n >= TEXTS_MAX || cc->bytes > TEXTS_BYTES); t = next) {
		next = TAILQ_NEXT(t, link);
		if (t->complete && !t->waking)
			text_free(t);
	}
}

/* Was something taken out of it? */
static bool differ(struct dcm_str a, struct dcm_str b)
{
	return a.len != b.len || (a.len && memcmp(a.s, b.s, a.len));
}

static struct text *new_text(struct collector *c, uint64_t key, const struct inspection *in)
{
	const struct dcm_record *r = &in->decoded.rec;
	struct text *t;

	make_room(c->compose);
	if (c->compose->n >= 2 * TEXTS_MAX || !(t = calloc(1, sizeof(*t))))
		return NULL;
	t->collector = c;
	t->key = key;
	t->files = hash_str(in->files);
	t->secret = differ(in->files, r->compose_config_files) ||
		    differ(in->files_dir, r->compose_working_dir);
	TAILQ_INIT(&t->waiters);
	TAILQ_INSERT_TAIL(&c->compose->texts, t, link);
	c->compose->n++;
	add_files(t, in->files, in->files_dir);
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
	struct dcm_str none = {NULL, 0};
	struct text *t;
	struct waiter *w;
	uint64_t key;

	if (!in->files.s || !c->session.ops->read_file) {
		inspect_ready(in, true, none); /* there is no way to it */
		return;
	}
	key = hash_str(in->files) ^ hash_str(in->files_dir) * 3;
	t = find_text(c->compose, key);
	if (t && (t->late || t->complete)) {
		answer(t, in);
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w || (!t && !(t = new_text(c, key, in)))) {
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
		if (t->complete && !t->waking && mono_now() > t->kept_until)
			text_free(t);
	}
}

void compose_reset(struct collector *c)
{
	while (!TAILQ_EMPTY(&c->compose->texts))
		text_free(TAILQ_FIRST(&c->compose->texts));
}

int compose_files_init(struct collector *c)
{
	c->compose = calloc(1, sizeof(*c->compose));
	if (!c->compose)
		return -1;
	TAILQ_INIT(&c->compose->texts);
	return 0;
}

void compose_files_free(struct collector *c)
{
	if (c->compose)
		compose_reset(c);
	free(c->compose);
	c->compose = NULL;
}
