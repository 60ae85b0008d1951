/*
 * filter_lookup.c - filters whose values refer to something: another
 * container (before, since), an image (ancestor), a network (network), one id by
 * its prefix (id).
 *
 * As each engine would, a reference is looked up on its own host; a container
 * named by before or since that only one host has counts for all of them,
 * since times compare across hosts.
 */
#include "filter_impl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Digits of an image's id that mean it where nobody tells which images there are. */
enum { ID_PREFIX_LEAST = 4 };

size_t filter_found_count(const struct filter_term *t)
{
	return t->found.len / sizeof(struct filter_found);
}

const struct filter_found *filter_found_at(const struct filter_term *t, size_t i)
{
	return (const struct filter_found *)(const void *)t->found.s + i;
}

struct filter_found *filter_found_on(const struct filter_term *t, struct dcm_str host)
{
	size_t i;

	for (i = 0; i < filter_found_count(t); i++)
		if (str_is(host, filter_found_at(t, i)->host))
			return (struct filter_found *)(void *)t->found.s + i;
	return NULL;
}

static void put_str(char *buf, size_t room, struct dcm_str s)
{
	size_t n = s.len < room - 1 ? s.len : room - 1;

	if (n)
		memcpy(buf, s.s, n);
	buf[n] = '\0';
}

void filter_found_add(struct filter_term *t, struct dcm_str host, struct dcm_str text,
		      int64_t created, bool told)
{
	struct filter_found f = {.created = created, .told = told};

	put_str(f.host, sizeof(f.host), host);
	put_str(f.text, sizeof(f.text), text);
	text_add(&t->found, (const char *)&f, sizeof(f));
}

/* ---- looking up -------------------------------------------------------- */

/* The id that begins with the value; as in docker, several are none. */
static void learn_id(struct filter_term *t, const struct dcm_record *r)
{
	struct filter_found *f;

	if (!*t->value || strncmp(r->id, t->value, strlen(t->value)) != 0)
		return;
	f = filter_found_on(t, r->host_id);
	if (f)
		f->text[0] = '\0';
	else
		filter_found_add(t, r->host_id, str_of(r->id), 0, false);
}

/* Did the engine's own list tell what the value means on this host? */
static bool told(const struct filter_term *t, struct dcm_str host)
{
	const struct filter_found *f = filter_found_on(t, host);

	return f && f->told;
}

static bool is_reference(const struct filter_term *t, struct dcm_str image)
{
	struct dcm_text full = {0};
	bool yes;

	if (!image.s || !image.len || !t->image.len)
		return false;
	image_normalise(&full, image);
	yes = full.len == t->image.len && !memcmp(full.s, t->image.s, full.len);
	dcm_text_free(&full);
	return yes;
}

/* The images that the reference stands for: other containers may have been
 * created from the same image by its id or another tag. */
static void learn_image(struct filter_term *t, const struct dcm_record *r)
{
	size_t i;

	if (!r->image_id.s || told(t, r->host_id) || !is_reference(t, r->image))
		return;
	for (i = 0; i < filter_found_count(t); i++)
		if (str_is(r->image_id, filter_found_at(t, i)->text) &&
		    str_is(r->host_id, filter_found_at(t, i)->host))
			return;
	filter_found_add(t, r->host_id, r->image_id, 0, false);
}

static int learn_all(struct filter *f, dcm *d, const char *host, struct dcm_text *why)
{
	struct dcm_query q = {.kind = DCM_Q_ALL, .host = host};
	struct dcm_refs refs = {0};
	struct dcm_record r;
	size_t i, k;
	int rc = dcm_query(d, &q, &refs);

	if (rc)
		text_puts(why, dcm_error(d));
	dcm_record_init(&r);
	for (i = 0; !rc && i < refs.n; i++) {
		if (dcm_read(d, refs.v[i], &r) != DCM_OK)
			continue;
		for (k = 0; k < f->n; k++) {
			if (f->terms[k].key == F_ID)
				learn_id(&f->terms[k], &r);
			else if (f->terms[k].key == F_ANCESTOR)
				learn_image(&f->terms[k], &r);
		}
	}
	dcm_record_free(&r);
	dcm_refs_free(&refs);
	return rc;
}

/* Of every host that the question is about. */
static int learn_catalogs(struct filter *f, dcm *d, const char *host, const struct dcm_hosts *hosts,
			  struct dcm_text *why)
{
	struct dcm_catalog c = {0};
	int rc = DCM_OK;
	size_t i, k;

	for (i = 0; i < hosts->n; i++) {
		char id[64];

		if (host && !str_is(hosts->v[i].id, host))
			continue;
		put_str(id, sizeof(id), hosts->v[i].id);
		/* A host that went, or whose memory cannot be read, has none. */
		rc = dcm_catalog_read(d, id, &c);
		if (rc == DCM_ENOMEM)
			break;
		for (k = 0; rc == DCM_OK && k < f->n; k++)
			if (f->terms[k].key == F_ANCESTOR || f->terms[k].key == F_NETWORK)
				filter_learn_catalog(&f->terms[k], hosts->v[i].id, &c);
	}
	dcm_catalog_free(&c);
	if (rc == DCM_ENOMEM)
		text_puts(why, dcm_error(d));
	return rc == DCM_ENOMEM ? rc : DCM_OK;
}

/* When the container of before or since was created, on each host that has it. */
static int learn_created(struct filter_term *t, dcm *d, const char *host,
			 const struct dcm_hosts *hosts, struct dcm_text *why)
{
	struct dcm_record r;
	struct dcm_ref ref;
	int rc = DCM_OK;
	size_t i;

	dcm_record_init(&r);
	for (i = 0; i < hosts->n; i++) {
		int64_t created;
		char id[64];

		if (host && !str_is(hosts->v[i].id, host))
			continue;
		put_str(id, sizeof(id), hosts->v[i].id);
		rc = dcm_find(d, id, t->value, &ref);
		if (rc == DCM_OK)
			rc = dcm_read(d, ref, &r);
		if (rc == DCM_OK && time_parse(r.created, &created))
			filter_found_add(t, r.host_id, str_of(r.id), created, false);
		else if (rc != DCM_OK && rc != DCM_ENOTFOUND && rc != DCM_ESTALE)
			break;
		rc = DCM_OK;
	}
	dcm_record_free(&r);
	if (rc) {
		text_puts(why, dcm_error(d));
	} else if (!filter_found_count(t)) {
		text_printf(why, "no container '%s', which --filter %s names: see dcm-client ps",
			    t->value, t->key == F_BEFORE ? "before" : "since");
		rc = DCM_ENOTFOUND;
	}
	return rc;
}

int filter_resolve(struct filter *f, dcm *d, const char *host, struct dcm_text *why)
{
	const unsigned catalogs = 1u << F_ANCESTOR | 1u << F_NETWORK;
	const unsigned times = 1u << F_BEFORE | 1u << F_SINCE;
	struct dcm_hosts hosts = {0};
	int rc = DCM_OK;
	size_t i;

	if (!f)
		return DCM_OK;
	for (i = 0; i < f->n; i++)
		text_clear(&f->terms[i].found);
	if (f->keys & (catalogs | times)) {
		rc = dcm_hosts_read(d, &hosts);
		if (rc)
			text_puts(why, dcm_error(d));
	}
	if (!rc && f->keys & catalogs)
		rc = learn_catalogs(f, d, host, &hosts, why);
	if (!rc && f->keys & (1u << F_ID | 1u << F_ANCESTOR))
		rc = learn_all(f, d, host, why);
	for (i = 0; !rc && i < f->n; i++)
		if (1u << f->terms[i].key & times)
			rc = learn_created(&f->terms[i], d, host, &hosts, why);
	dcm_hosts_free(&hosts);
	return rc;
}

/* ---- matching ---------------------------------------------------------- */

bool filter_match_id(const struct filter_term *t, const struct dcm_record *r)
{
	const struct filter_found *f = filter_found_on(t, r->host_id);

	/* Without a meaning on this host yet (watch): what begins with it. */
	if (!f)
		return *t->value && !strncmp(r->id, t->value, strlen(t->value));
	return !strcmp(f->text, r->id);
}

bool filter_match_ancestor(const struct filter_term *t, const struct dcm_record *r)
{
	size_t i;

	if (!told(t, r->host_id) &&
	    (is_reference(t, r->image) ||
	     (strlen(t->value) >= ID_PREFIX_LEAST && image_id_has_prefix(r->image_id, t->value))))
		return true;
	for (i = 0; i < filter_found_count(t); i++)
		if (str_is(r->image_id, filter_found_at(t, i)->text) &&
		    str_is(r->host_id, filter_found_at(t, i)->host))
			return true;
	return false;
}

/* By name, or by the beginning of its id where it has joined it. */
bool filter_match_network(const struct filter_term *t, const struct dcm_record *r)
{
	size_t i, k;

	for (k = 0; k < r->networks.n; k++) {
		if (str_is(r->networks.v[k].name, t->value) || !*t->value)
			return true;
		for (i = 0; r->started.s && i < filter_found_count(t); i++)
			if (str_is(r->networks.v[k].name, filter_found_at(t, i)->text) &&
			    str_is(r->host_id, filter_found_at(t, i)->host))
				return true;
	}
	return false;
}

bool filter_match_time(const struct filter_term *t, const struct dcm_record *r)
{
	const struct filter_found *f = filter_found_on(t, r->host_id);
	int64_t created;

	if (!f && filter_found_count(t) == 1)
		f = filter_found_at(t, 0);
	if (!f || !time_parse(r->created, &created))
		return false;
	return t->key == F_BEFORE ? created < f->created : created > f->created;
}

bool bind_split(struct dcm_str bind, struct dcm_str *source, struct dcm_str *destination)
{
	const char *end, *second, *first;

	if (!bind.s)
		return false;
	end = memrchr(bind.s, ':', bind.len); /* before the mode */
	second = end ? memrchr(bind.s, ':', (size_t)(end - bind.s)) : NULL;
	if (!second)
		return false;
	first = bind.s;
	*source = (struct dcm_str){first, (uint32_t)(second - first)};
	*destination = (struct dcm_str){second + 1, (uint32_t)(end - second - 1)};
	return true;
}
