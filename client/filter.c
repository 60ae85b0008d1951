/* filter.c - `--filter`: parsing, matching.  See filter.h. */
#include "filter_impl.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const key_names[] = {
	[F_ID] = "id",		   [F_NAME] = "name",	    [F_LABEL] = "label",
	[F_STATUS] = "status",	   [F_HEALTH] = "health",   [F_ANCESTOR] = "ancestor",
	[F_NETWORK] = "network",   [F_VOLUME] = "volume",   [F_EXITED] = "exited",
	[F_PUBLISH] = "publish",   [F_EXPOSE] = "expose",   [F_BEFORE] = "before",
	[F_SINCE] = "since",	   [F_TASK] = "is-task",    [F_HOST] = "host",
	[F_PROJECT] = "project",   [F_SERVICE] = "service",
};

/* ---- parsing ----------------------------------------------------------- */

/* Checks and prepares the value; returns what was expected, NULL if it is well. */
static const char *term_parse(struct filter_term *t, const char **note)
{
	char *end;

	switch (t->key) {
	case F_STATUS:
		return one_of(t->value, FILTER_STATUSES) ? NULL : FILTER_STATUSES;
	case F_HEALTH:
		return one_of(t->value, FILTER_HEALTHS) ? NULL : FILTER_HEALTHS;
	case F_TASK:
		t->truth = one_of(t->value, "1 true");
		return one_of(t->value, "0 1 false true") ? NULL : "true or false";
	case F_EXITED:
		errno = 0;
		t->number = strtol(t->value, &end, 10);
		return *t->value && !*end && !errno ? NULL : "a number";
	case F_PUBLISH:
	case F_EXPOSE:
		return port_range_parse(&t->port, t->value) ? NULL :
							      "PORT[/PROTO] or PORT-PORT[/PROTO]";
	case F_NAME:
		t->has_pattern = pattern_compile(&t->pattern, t->value);
		if (!t->has_pattern)
			*note = "the name in --filter is not a pattern that can be used: it "
				"matches that very name alone";
		return NULL;
	case F_ANCESTOR:
		if (*t->value)
			image_normalise(&t->image, str_of(t->value));
		return NULL;
	default:
		return NULL;
	}
}

static int key_of(const char *name, size_t len)
{
	int k;

	for (k = 0; k < F_KEYS; k++)
		if (strlen(key_names[k]) == len && !strncasecmp(key_names[k], name, len))
			return k;
	return -1;
}

static void unknown_key(const char *name, size_t len, struct dcm_text *why)
{
	int k;

	text_printf(why, "no filter '%.*s': the filters are", (int)len, name);
	for (k = 0; k < F_KEYS; k++)
		text_printf(why, "%s %s", k ? "," : "", key_names[k]);
}

static struct filter_term *term_new(struct filter **f)
{
	struct filter *g = *f;
	size_t n = g ? g->n : 0;

	g = realloc(g, sizeof(*g) + (n + 1) * sizeof(g->terms[0]));
	if (!g)
		return NULL;
	if (!n)
		g->keys = 0;
	g->n = n + 1;
	g->terms[n] = (struct filter_term){0};
	*f = g;
	return &g->terms[n];
}

/* Without the spaces around it, as the docker command takes it. */
static char *trimmed(const char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	n = strlen(s);
	while (n && isspace((unsigned char)s[n - 1]))
		n--;
	return strndup(s, n);
}

bool filter_add(struct filter **f, const char *arg, const char **note, struct dcm_text *why)
{
	const char *eq = strchr(arg, '=');
	const char *name = arg + strspn(arg, " \t"), *expected;
	size_t len = strcspn(name, " \t=");
	struct filter_term *t;
	int key;

	*note = NULL;
	if (!eq) {
		text_printf(why, "--filter '%s' has no '=': write KEY=VALUE", arg);
		return false;
	}
	key = key_of(name, len);
	if (key < 0) {
		unknown_key(name, len, why);
		return false;
	}
	t = term_new(f);
	if (!t || !(t->value = trimmed(eq + 1))) {
		text_puts(why, "out of memory");
		return false;
	}
	t->key = (enum filter_key)key;
	(*f)->keys |= 1u << key;
	expected = term_parse(t, note);
	if (expected)
		text_printf(why, "--filter %s takes no '%s': expected %s", key_names[key], t->value,
			    expected);
	else if (key == F_TASK && (*f)->n > 1)
		for (t = (*f)->terms; t < &(*f)->terms[(*f)->n - 1]; t++)
			if (t->key == F_TASK && t->truth != (*f)->terms[(*f)->n - 1].truth) {
				expected = "";
				text_puts(why, "--filter is-task cannot be both true and false");
			}
	return !expected;
}

void filter_free(struct filter **f)
{
	size_t i;

	if (!*f)
		return;
	for (i = 0; i < (*f)->n; i++) {
		struct filter_term *t = &(*f)->terms[i];

		free(t->value);
		if (t->has_pattern)
			regfree(&t->pattern);
		dcm_text_free(&t->image);
		dcm_text_free(&t->found);
	}
	free(*f);
	*f = NULL;
}

/* ---- matching: one term against one record ----------------------------- */

static bool match_name(const struct filter_term *t, const struct dcm_record *r)
{
	struct dcm_text s = {0};
	bool yes;

	if (!r->name.s)
		return false;
	/* With and without the engine's leading slash. */
	text_putc(&s, '/');
	text_add(&s, r->name.s, r->name.len);
	yes = !strcmp(s.s, t->value) || !strcmp(s.s + 1, t->value);
	if (!yes && t->has_pattern)
		yes = !regexec(&t->pattern, s.s, 0, NULL, 0) ||
		      !regexec(&t->pattern, s.s + 1, 0, NULL, 0);
	dcm_text_free(&s);
	return yes;
}

static bool match_label(const struct filter_term *t, const struct dcm_record *r)
{
	size_t key = strcspn(t->value, "=");
	uint32_t i;

	for (i = 0; i < r->labels.n; i++) {
		const struct dcm_pair *l = &r->labels.v[i];

		if (l->key.s && l->key.len == key && !memcmp(l->key.s, t->value, key))
			return !t->value[key] || str_is(l->value, t->value + key + 1);
	}
	return false;
}

/* A mount is known by its destination, and by its volume's name or, where it
 * has none, by its source. */
static bool match_volume(const struct filter_term *t, const struct dcm_record *r)
{
	uint32_t i;

	for (i = 0; i < r->volumes.n; i++) {
		const struct dcm_volume *v = &r->volumes.v[i];

		if (str_is(v->destination, t->value) ||
		    str_is(v->name.s && v->name.len ? v->name : v->source, t->value))
			return true;
	}
	for (i = 0; i < r->bind_mounts.n; i++) {
		struct dcm_str source, destination;

		if (bind_split(r->bind_mounts.v[i], &source, &destination) &&
		    (str_is(source, t->value) || str_is(destination, t->value)))
			return true;
	}
	return false;
}

static bool match_ports(const struct filter_term *t, const struct dcm_record *r)
{
	uint32_t i;

	for (i = 0; i < r->ports.n; i++)
		if (port_text_matches(r->ports.v[i], &t->port, t->key == F_PUBLISH))
			return true;
	return false;
}

/* An exit code counts when the container ran and does so no more. */
static bool match_exited(const struct filter_term *t, const struct dcm_record *r)
{
	return r->exit_code == t->number && r->started.s && r->status.s &&
	       !str_is(r->status, "running") && !str_is(r->status, "paused") &&
	       !str_is(r->status, "restarting");
}

static bool match_task(const struct filter_term *t, const struct dcm_record *r)
{
	const struct filter_term label = {.value = (char *)"com.docker.swarm.task"},
				 id = {.value = (char *)"com.docker.swarm.task.id"};

	return t->truth == (match_label(&label, r) || match_label(&id, r));
}

static bool match_term(const struct filter_term *t, const struct dcm_record *r)
{
	switch (t->key) {
	case F_ID:
		return filter_match_id(t, r);
	case F_NAME:
		return match_name(t, r);
	case F_LABEL:
		return match_label(t, r);
	case F_STATUS:
		return str_is(r->status, t->value);
	case F_HEALTH:
		return r->health_status.s ? str_is(r->health_status, t->value) :
					    !strcmp(t->value, "none");
	case F_ANCESTOR:
		return filter_match_ancestor(t, r);
	case F_NETWORK:
		return filter_match_network(t, r);
	case F_VOLUME:
		return match_volume(t, r);
	case F_EXITED:
		return match_exited(t, r);
	case F_PUBLISH:
	case F_EXPOSE:
		return match_ports(t, r);
	case F_BEFORE:
	case F_SINCE:
		return filter_match_time(t, r);
	case F_TASK:
		return match_task(t, r);
	case F_HOST:
		return str_is(r->host_id, t->value);
	case F_PROJECT:
		return str_is(r->compose_project, t->value);
	case F_SERVICE:
		return str_is(r->compose_service, t->value);
	case F_KEYS:
		break;
	}
	return false;
}

/* ---- matching: the whole ----------------------------------------------- */

bool filter_match(const struct filter *f, const struct dcm_record *r)
{
	const unsigned ports = 1u << F_PUBLISH | 1u << F_EXPOSE;
	unsigned met = 0;
	size_t i;

	if (!f)
		return true;
	for (i = 0; i < f->n; i++) {
		const struct filter_term *t = &f->terms[i];
		unsigned bit = 1u << t->key;

		if (bit & ports)
			bit = ports & f->keys;
		if ((met & bit) == bit && t->key != F_LABEL)
			continue; /* another of its values did */
		if (match_term(t, r))
			met |= bit;
		else if (t->key == F_LABEL)
			return false;
	}
	return met == f->keys;
}

bool filter_is_of_hosts(const struct filter *f)
{
	return !f || f->keys == 1u << F_HOST;
}

bool filter_match_host(const struct filter *f, struct dcm_str host)
{
	size_t i;

	if (!f || !(f->keys & 1u << F_HOST))
		return true;
	for (i = 0; i < f->n; i++)
		if (f->terms[i].key == F_HOST && str_is(host, f->terms[i].value))
			return true;
	return false;
}

size_t filter_hosts(const struct filter *f, const char **hosts, size_t room)
{
	size_t i, n = 0;

	for (i = 0; f && i < f->n && n < room; i++)
		if (f->terms[i].key == F_HOST)
			hosts[n++] = f->terms[i].value;
	return n;
}

void filter_narrow(const struct filter *f, struct dcm_query *q)
{
	static const struct {
		enum filter_key key;
		enum dcm_query_kind kind;
	} index[] = {{F_PROJECT, DCM_Q_PROJECT}, {F_NETWORK, DCM_Q_NETWORK},
		     {F_HEALTH, DCM_Q_HEALTH},	 {F_STATUS, DCM_Q_STATUS}};
	const char *value = NULL;
	size_t i, k, n;

	for (k = 0; f && k < sizeof(index) / sizeof(*index); k++) {
		for (i = n = 0; i < f->n; i++)
			if (f->terms[i].key == index[k].key) {
				value = f->terms[i].value;
				/* a network's id is none of its names */
				n += 1 + (index[k].key == F_NETWORK &&
					  filter_found_count(&f->terms[i]) > 0);
			}
		if (n != 1 || !*value)
			continue;
		q->kind = index[k].kind;
		q->text = index[k].key == F_HEALTH && !strcmp(value, "none") ? "" : value;
		return;
	}
}
