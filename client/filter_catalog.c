/*
 * filter_catalog.c - what the value of --filter ancestor or network means on one
 * host, looked up as its engine does: in its own lists.
 *
 * An image is named by a reference that it has now, or by a prefix of its id that
 * no other image has; it stands for all images that were built upon it.
 */
#include "filter_impl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { BUILT_UPON_MAX = 256 }; /* images between one and the first; engines hold fewer */

struct image {
	struct dcm_str id, parent, references;
};

/* The first word; *rest is what follows it. */
static struct dcm_str word(struct dcm_str *rest)
{
	const char *space = memchr(rest->s, ' ', rest->len);
	struct dcm_str w = {rest->s, space ? (uint32_t)(space - rest->s) : rest->len};

	*rest = str_from(*rest, space ? w.len + 1 : w.len);
	return w;
}

static bool same(struct dcm_str a, struct dcm_str b)
{
	return a.len == b.len && !memcmp(a.s, b.s, a.len);
}

/* ---- images ------------------------------------------------------------ */

static bool is_named(const struct filter_term *t, const struct image *image)
{
	struct dcm_str rest = image->references;
	bool yes = false;

	while (!yes && rest.len) {
		struct dcm_text full = {0};

		image_normalise(&full, word(&rest));
		yes = full.len == t->image.len && full.s && !memcmp(full.s, t->image.s, full.len);
		dcm_text_free(&full);
	}
	return yes;
}

/* The one that is meant; NULL: none, or several. */
static const struct image *meant(const struct filter_term *t, const struct image *v, size_t n)
{
	const struct image *found = NULL;
	size_t i, several = 0;

	for (i = 0; i < n; i++)
		if (is_named(t, &v[i]))
			return &v[i];
	for (i = 0; i < n; i++)
		if (image_id_has_prefix(v[i].id, t->value)) {
			found = &v[i];
			several++;
		}
	return several == 1 ? found : NULL;
}

static int by_id(const void *a, const void *b)
{
	const struct dcm_str *x = &((const struct image *)a)->id;
	const struct dcm_str *y = &((const struct image *)b)->id;
	int order = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static bool is_built_upon(const struct image *image, const struct image *base,
			  const struct image *v, size_t n)
{
	for (int i = 0; image && i < BUILT_UPON_MAX; i++) {
		struct image parent = {.id = image->parent};

		if (image == base)
			return true;
		image = bsearch(&parent, v, n, sizeof(*v), by_id);
	}
	return false;
}

static void learn_images(struct filter_term *t, struct dcm_str host, const struct dcm_strs *list)
{
	struct image *v = calloc(list->n + 1, sizeof(*v));
	const struct image *base;
	size_t i, n;

	for (n = 0; v && n < list->n; n++) {
		v[n].references = list->v[n];
		v[n].id = word(&v[n].references);
		v[n].parent = word(&v[n].references);
	}
	if (v && t->image.len) {
		qsort(v, n, sizeof(*v), by_id);
		base = meant(t, v, n);
		for (i = 0; base && i < n; i++)
			if (is_built_upon(&v[i], base, v, n))
				filter_found_add(t, host, v[i].id, 0, true);
	}
	free(v);
}

/* ---- networks ---------------------------------------------------------- */

static void learn_networks(struct filter_term *t, struct dcm_str host, const struct dcm_strs *list)
{
	size_t len = strlen(t->value);
	uint32_t i;

	for (i = 0; len && i < list->n; i++) {
		struct dcm_str name = list->v[i], id = word(&name);

		if (len <= id.len && same((struct dcm_str){id.s, (uint32_t)len}, str_of(t->value)))
			filter_found_add(t, host, name, 0, true);
	}
}

void filter_learn_catalog(struct filter_term *t, struct dcm_str host, const struct dcm_catalog *c)
{
	if (t->key == F_ANCESTOR)
		learn_images(t, host, &c->images);
	else
		learn_networks(t, host, &c->networks);
}
