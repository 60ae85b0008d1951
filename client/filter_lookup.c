/*
 * filter_lookup.c - filters whose values refer to something: another
 * container (before, since), an image (ancestor), one id by its prefix (id).
 *
 * As each engine would, a reference is looked up on its own host; a container
 * named by before or since that only one host has counts for all of them,
 * since times compare across hosts.
 */
#include "filter_impl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* What a value refers to on one host. */
struct filter_found {
	char host[64];
	char text[80]; /* id: the id that the prefix means, "" if several;
			* ancestor: an image id */
	int64_t created; /* before, since: ns */
};

static size_t found_count(const struct filter_term *t)
{
	return t->found.len / sizeof(struct filter_found);
}

static const struct filter_found *found_at(const struct filter_term *t, size_t i)
{
	return (const struct filter_found *)(const void *)t->found.s + i;
}

static struct filter_found *found_on(const struct filter_term *t, struct dcm_str host)
{
	size_t i;

	for (i = 0; i < found_count(t); i++)
		if (str_is(host, found_at(t, i)->host))
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

static void found_add(struct filter_term *t, struct dcm_str host, struct dcm_str text,
		      int64_t created)
{
	struct filter_found f = {.created = created};

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
	f = found_on(t, r->host_id);
	if (f)
		f->text[0] = '\0';
	else
		found_add(t, r->host_id, str_of(r->id), 0);
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

	if (!r->image_id.s || !is_reference(t, r->image))
		return;
	for (i = 0; i < found_count(t); i++)
		if (str_is(r->image_id, found_at(t, i)->text) &&
		    str_is(r->host_id, found_at(t, i)->host))
			return;
	found_add(t, r->host_id, r->image_id, 0);
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
			found_add(t, r.host_id, str_of(r.id), created);
		else if (rc != DCM_OK && rc != DCM_ENOTFOUND && rc != DCM_ESTALE)
			break;
		rc = DCM_OK;
	}
	dcm_record_free(&r);
	if (rc) {
		text_puts(why, dcm_error(d));
	} else if (!found_count(t)) {
		text_printf(why, "no container '%s', which --filter %s names: see dcm-client ps",
			    t->value, t->key == F_BEFORE ? "before" : "since");
		rc = DCM_ENOTFOUND;
	}
	return rc;
}

int filter_resolve(struct filter *f, dcm *d, const char *host, struct dcm_text *why)
{
	struct dcm_hosts hosts = {0};
	int rc = DCM_OK;
	size_t i;

	if (!f)
		return DCM_OK;
	for (i = 0; i < f->n; i++)
		text_clear(&f->terms[i].found);
	if (f->keys & (1u << F_ID | 1u << F_ANCESTOR))
		rc = learn_all(f, d, host, why);
	if (!rc && f->keys & (1u << F_BEFORE | 1u << F_SINCE)) {
		rc = dcm_hosts_read(d, &hosts);
		if (rc)
			text_puts(why, dcm_error(d));
		for (i = 0; !rc && i < f->n; i++)
			if (f->terms[i].key == F_BEFORE || f->terms[i].key == F_SINCE)
				rc = learn_created(&f->terms[i], d, host, &hosts, why);
		dcm_hosts_free(&hosts);
	}
	return rc;
}

/* ---- matching ---------------------------------------------------------- */

bool filter_match_id(const struct filter_term *t, const struct dcm_record *r)
{
	const struct filter_found *f = found_on(t, r->host_id);

	/* Without a meaning on this host yet (watch): what begins with it. */
	if (!f)
		return *t->value && !strncmp(r->id, t->value, strlen(t->value));
	return !strcmp(f->text, r->id);
}

bool filter_match_ancestor(const struct filter_term *t, const struct dcm_record *r)
{
	size_t i;

	if (is_reference(t, r->image) || image_id_has_prefix(r->image_id, t->value))
		return true;
	for (i = 0; i < found_count(t); i++)
		if (str_is(r->image_id, found_at(t, i)->text) &&
		    str_is(r->host_id, found_at(t, i)->host))
			return true;
	return false;
}

bool filter_match_time(const struct filter_term *t, const struct dcm_record *r)
{
	const struct filter_found *f = found_on(t, r->host_id);
	int64_t created;

	if (!f && found_count(t) == 1)
		f = found_at(t, 0);
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
