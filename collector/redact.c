/*
 * redact.c - takes secrets out of a record.
 *
 * Two things are secrets: the value of a variable whose name holds a word, and
 * a password in an URL.  In the modes `names` and `none` every value is taken
 * out, harmless ones too.  What was taken out, and has 6 bytes or more, is
 * replaced wherever else it stands; and the fields are of three kinds:
 *
 *  - KEPT, whatever they hold: what the engine itself makes up (ids, states,
 *    times, numbers) and the container's name, the key by which it is found;
 *  - HANDLES, which other things are found by (image, compose project and
 *    service, networks, ports, addresses): secrets are replaced there, harmless
 *    values are not, so that NGINX_VERSION=1.25.3 in mode `names` leaves the
 *    image's name what it is;
 *  - all else, text: both are replaced, keys of labels included.
 *
 * The names of variables stay as they are: they are what redaction goes by.
 */
#include "redact.h"

#include <string.h>

#include "redact_text.h"

struct redaction {
	struct arena *a;
	struct secret_index all, sure; /* `sure`: secrets in every mode */
	bool failed;
};

enum kind { TEXT, HANDLE, KEPT };

static enum kind kind_of(enum dcm_field f)
{
	switch (f) {
	case DCM_F_container_id:
	case DCM_F_image_id:
	case DCM_F_name:
	case DCM_F_status:
	case DCM_F_health_status:
	case DCM_F_created:
	case DCM_F_started:
	case DCM_F_finished:
	case DCM_F_restart_policy:
	case DCM_F_log_driver:
	case DCM_F_compose_stack_containers: /* other containers' names */
	case DCM_F_environment_vars:	     /* done apart */
		return KEPT;
	case DCM_F_image:
	case DCM_F_compose_project:
	case DCM_F_compose_service:
	case DCM_F_depends_on:
	case DCM_F_networks:
	case DCM_F_network_aliases:
	case DCM_F_ports:
	case DCM_F_ip_address:
		return HANDLE;
	default:
		return TEXT;
	}
}

/* ---- one walk over all fields, by type ----------------------------------- */

static void do_str(struct redaction *r, enum kind kind, struct dcm_str *s)
{
	struct spans found = {NULL, 0, 0, false};
	bool had = s->s;

	if (!had)
		return;
	cover_secrets(&found, kind == TEXT ? &r->all : &r->sure, *s);
	if (kind == TEXT)
		cover_urls(&found, *s, false);
	*s = spans_apply(&found, r->a, *s);
	r->failed |= !s->s;
}

/* Lists are the decoder's, in its arena, and so ours to write to; but they may
 * be constants too: they are copied before they change. */
static void *copied(struct redaction *r, const void *v, size_t size)
{
	void *to = arena_alloc(r->a, size);

	if (to)
		memcpy(to, v, size);
	else
		r->failed = true;
	return to;
}

static void do_strs(struct redaction *r, enum kind kind, struct dcm_strs *l)
{
	struct dcm_str *v = l->n ? copied(r, l->v, l->n * sizeof(*v)) : NULL;
	uint32_t i;

	if (!v)
		return;
	for (i = 0; i < l->n; i++)
		do_str(r, kind, &v[i]);
	l->v = v;
}

static void do_map(struct redaction *r, enum kind kind, struct dcm_map *m)
{
	struct dcm_pair *v = m->n ? copied(r, m->v, m->n * sizeof(*v)) : NULL;
	uint32_t i;

	if (!v)
		return;
	for (i = 0; i < m->n; i++) {
		do_str(r, kind, &v[i].key);
		do_str(r, kind, &v[i].value);
	}
	m->v = v;
}

static void do_networks(struct redaction *r, enum kind kind, struct dcm_networks *l)
{
	struct dcm_network *v = l->n ? copied(r, l->v, l->n * sizeof(*v)) : NULL;
	uint32_t i;

	if (!v)
		return;
	for (i = 0; i < l->n; i++) {
		do_str(r, kind, &v[i].name);
		do_str(r, kind, &v[i].ip);
		do_str(r, kind, &v[i].gateway);
		do_str(r, kind, &v[i].mac);
		do_str(r, kind, &v[i].ipv6);
	}
	l->v = v;
}

static void do_aliases(struct redaction *r, enum kind kind, struct dcm_aliases *l)
{
	struct dcm_alias *v = l->n ? copied(r, l->v, l->n * sizeof(*v)) : NULL;
	uint32_t i;

	if (!v)
		return;
	for (i = 0; i < l->n; i++) {
		do_str(r, kind, &v[i].network);
		do_strs(r, TEXT, &v[i].aliases);
	}
	l->v = v;
}

static void do_volumes(struct redaction *r, enum kind kind, struct dcm_volumes *l)
{
	struct dcm_volume *v = l->n ? copied(r, l->v, l->n * sizeof(*v)) : NULL;
	uint32_t i;

	if (!v)
		return;
	for (i = 0; i < l->n; i++) {
		do_str(r, kind, &v[i].name);
		do_str(r, kind, &v[i].source);
		do_str(r, kind, &v[i].destination);
		do_str(r, kind, &v[i].driver);
	}
	l->v = v;
}

static void do_number(const void *field)
{
	(void)field; /* holds no text */
}

static void every_field(struct redaction *r, struct dcm_record *rec)
{
#define DO_STR(f, kind) do_str(r, kind, &rec->f)
#define DO_STRS(f, kind) do_strs(r, kind, &rec->f)
#define DO_MAP(f, kind) do_map(r, kind, &rec->f)
#define DO_NETS(f, kind) do_networks(r, kind, &rec->f)
#define DO_ALIASES(f, kind) do_aliases(r, kind, &rec->f)
#define DO_VOLS(f, kind) do_volumes(r, kind, &rec->f)
#define DO_INT(f, kind) do_number(&rec->f)
#define DO_FLOAT(f, kind) do_number(&rec->f)
#define DO_BOOL(f, kind) do_number(&rec->f)
#define DO(f, tier, type)               \
	if (kind_of(DCM_F_##f) != KEPT) \
		DO_##type(f, kind_of(DCM_F_##f));
	DCM_FIELDS(DO)
#undef DO
}

/* ---- variables ----------------------------------------------------------- */

/* Fills `all` and `sure` with what the mode takes out of the variables. */
static bool find(const struct redact_rules *rules, struct arena *a, const struct dcm_map *env,
		 struct secrets *all, struct secrets *sure)
{
	uint32_t i;

	for (i = 0; i < env->n; i++) {
		const struct dcm_pair *p = &env->v[i];
		bool secret = redact_name(rules, p->key.s, p->key.len);

		if (secret && !secret_add(sure, a, p->value))
			return false;
		if ((secret || rules->mode != ENV_REDACT) && !secret_add(all, a, p->value))
			return false;
		if (!secret_add_urls(sure, a, p->value) || !secret_add_urls(all, a, p->value))
			return false;
	}
	return true;
}

static void do_environment(const struct redact_rules *rules, struct redaction *r,
			   struct dcm_map *env)
{
	struct dcm_pair *v = env->n ? copied(r, env->v, env->n * sizeof(*v)) : NULL;
	uint32_t i;

	if (rules->mode == ENV_NONE) {
		*env = (struct dcm_map){NULL, 0, false};
		return;
	}
	if (!v)
		return;
	for (i = 0; i < env->n; i++) {
		struct spans found = {NULL, 0, 0, false};
		struct dcm_str *value = &v[i].value;

		if (!value->s)
			continue;
		if (rules->mode == ENV_NAMES) {
			*value = (struct dcm_str){NULL, 0};
		} else if (redact_name(rules, v[i].key.s, v[i].key.len)) {
			*value = (struct dcm_str){"********", 8};
		} else {
			cover_secrets(&found, &r->all, *value);
			cover_urls(&found, *value, true);
			*value = spans_apply(&found, r->a, *value);
			r->failed |= !value->s;
		}
	}
	env->v = v;
}

int redact_record(const struct redact_rules *rules, struct arena *a, struct dcm_record *rec,
		  struct secrets *found)
{
	struct redaction r = {.a = a};
	struct secrets sure = {NULL, 0, 0};

	*found = (struct secrets){NULL, 0, 0};
	if (rules->mode == ENV_FULL)
		return 0;
	if (!find(rules, a, &rec->environment_vars, found, &sure) ||
	    !secret_index_init(&r.all, found))
		return -1;
	if (!secret_index_init(&r.sure, &sure)) {
		secret_index_free(&r.all);
		return -1;
	}
	do_environment(rules, &r, &rec->environment_vars);
	every_field(&r, rec);
	secret_index_free(&r.all);
	secret_index_free(&r.sure);
	return r.failed ? -1 : 0;
}

struct dcm_str redact_text(const struct redact_rules *rules, const struct secrets *s,
			   struct arena *a, struct dcm_str text)
{
	struct spans found = {NULL, 0, 0, false};
	struct secret_index x;

	if (rules->mode == ENV_FULL || !text.s)
		return text;
	if (secret_index_init(&x, s)) {
		cover_secrets(&found, &x, text);
		secret_index_free(&x);
	} else {
		found.failed = true;
	}
	cover_urls(&found, text, false);
	return spans_apply(&found, a, text);
}
