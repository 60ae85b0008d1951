/*
 * decode_catalog.c - the lists of images and of networks, one text for each.
 *
 * Only what `docker ps --filter` asks of them is kept: ids, whose child an image
 * is, and names.
 */
#include <stdio.h>
#include <string.h>

#include "decode_json.h"

enum { LINE_MAX_BYTES = 8192 }; /* of one image; references beyond are left out */

struct line {
	size_t len;
	char s[LINE_MAX_BYTES];
};

static bool is_word(struct dcm_str s)
{
	uint32_t i;

	for (i = 0; i < s.len; i++)
		if ((unsigned char)s.s[i] <= ' ' || s.s[i] == 0x7F)
			return false;
	return s.len > 0;
}

static bool add(struct line *l, struct dcm_str s)
{
	if (!is_word(s) || s.len + 1 > sizeof(l->s) - l->len)
		return false;
	if (l->len)
		l->s[l->len++] = ' ';
	memcpy(l->s + l->len, s.s, s.len);
	l->len += s.len;
	return true;
}

static void add_references(struct line *l, struct json_object *list)
{
	size_t i;

	for (i = 0; i < json_len(list); i++) {
		struct dcm_str s = json_raw(json_at(list, i));

		if (s.s && strncmp(s.s, "<none>", 6) != 0)
			add(l, s);
	}
}

static bool image(struct line *l, struct json_object *o)
{
	if (!add(l, json_raw(json_get(o, "Id"))))
		return false;
	if (!add(l, json_raw(json_get(o, "ParentId"))))
		add(l, to_const("-"));
	add_references(l, json_get(o, "RepoTags"));
	add_references(l, json_get(o, "RepoDigests"));
	return true;
}

static bool network(struct line *l, struct json_object *o)
{
	return add(l, json_raw(json_get(o, "Id"))) && add(l, json_raw(json_get(o, "Name")));
}

static int decode(const char *json, size_t len, const char *what, struct arena *a,
		  bool (*read)(struct line *, struct json_object *), struct dcm_strs *out,
		  char *err)
{
	struct dcm_str *v;
	struct json doc;
	size_t i, n;
	int rc = -1;

	*out = (struct dcm_strs){0};
	if (json_open(&doc, json, len, what, err) < 0)
		return -1;
	n = json_len(doc.root);
	v = json_is_array(doc.root) && n <= DCM_CATALOG_MAX ?
		    arena_alloc(a, (n + 1) * sizeof(*v)) : NULL;
	if (!v) {
		snprintf(err, DECODE_ERR, "%s: no JSON array, or of more than %d", what,
			 DCM_CATALOG_MAX);
	} else {
		*out = (struct dcm_strs){v, 0, true};
		for (i = 0; i < n; i++) {
			struct line l = {.len = 0};

			if (!read(&l, json_at(doc.root, i)))
				continue;
			v[out->n] = arena_str(a, l.s, l.len);
			out->n += v[out->n].s != NULL;
		}
		rc = 0;
	}
	json_close(&doc);
	return rc;
}

int decode_images(const char *json, size_t len, struct arena *a, struct dcm_strs *out, char *err)
{
	return decode(json, len, "the list of images", a, image, out, err);
}

int decode_networks(const char *json, size_t len, struct arena *a, struct dcm_strs *out, char *err)
{
	return decode(json, len, "the list of networks", a, network, out, err);
}
