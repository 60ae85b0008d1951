/*
 * config_check.c - maps of the document against tables of keys: see
 * config_check.h.
 *
 * A value that is wrong leaves its member as it was (the default), so what
 * comes later may go on checking; nobody uses the result when there is an error.
 */
#include "config_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_expand.h"

/* ---- pairs ---------------------------------------------------------------- */

const struct pair *pairs_find(const struct pairs *p, const char *key)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->v[i].key->text, key))
			return &p->v[i];
	return NULL;
}

static int pairs_add(struct pairs *p, const struct ynode *key, const struct ynode *value)
{
	if (p->n == p->room) {
		size_t room = p->room * 2 + 16;
		struct pair *grown = realloc(p->v, room * sizeof(*grown));

		if (!grown)
			return -1;
		p->v = grown;
		p->room = room;
	}
	p->v[p->n++] = (struct pair){key, value};
	return 0;
}

static bool is_merge(const struct ynode *key)
{
	return key->plain && !strcmp(key->text, "<<");
}

static bool visit(struct checker *c, const struct ynode *at, size_t n)
{
	bool before = c->visits <= CONFIG_VISITS_MAX;

	c->visits += n + 1;
	if (c->visits <= CONFIG_VISITS_MAX)
		return true;
	if (before)
		check_error(c, at,
			    "more than %d values once merge keys are resolved; expected fewer",
			    CONFIG_VISITS_MAX);
	return false;
}

static int add_own(struct checker *c, const struct ynode *map, const char *what, struct pairs *out)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct ynode *key = map->item[2 * i], *value = map->item[2 * i + 1];
		const struct pair *first;

		if (key->kind != Y_SCALAR) {
			check_error(c, key, "a key of %s is %s; expected a string", what,
				    ytype_name(ynode_type(key)));
			continue;
		}
		first = pairs_find(out, key->text);
		if (first) {
			check_error(c, key,
				    "duplicate %s \"%.80s\", first on line %u; expected it once",
				    !strcmp(what, "hosts") ? "host" : "key", key->text,
				    first->key->line);
			continue;
		}
		if (pairs_add(out, key, value) < 0)
			return -1;
	}
	return 0;
}

static int add_merged(struct checker *c, const struct ynode *from, unsigned depth,
		      struct pairs *out);

static int add_merges_of(struct checker *c, const struct ynode *map, unsigned depth,
			 struct pairs *out)
{
	for (size_t i = 0; i < map->n; i++)
		if (is_merge(map->item[2 * i]) &&
		    add_merged(c, map->item[2 * i + 1], depth, out) < 0)
			return -1;
	return 0;
}

/* Adds what the value of a merge key (a map, or a list of maps) has and `out`
 * has not. */
static int add_merged(struct checker *c, const struct ynode *from, unsigned depth,
		      struct pairs *out)
{
	if (!visit(c, from, from->n) || depth > YAML_DEPTH_MAX)
		return -1;
	if (from->kind == Y_LIST) {
		for (size_t i = 0; i < from->n; i++)
			if (add_merged(c, from->item[i], depth + 1, out) < 0)
				return -1;
		return 0;
	}
	if (from->kind != Y_MAP) {
		check_error(c, from, "the value of << is %s; expected a map or a list of maps",
			    ytype_name(ynode_type(from)));
		return 0;
	}
	for (size_t i = 0; i < from->n; i++) {
		const struct ynode *key = from->item[2 * i];

		if (key->kind != Y_SCALAR || is_merge(key) || pairs_find(out, key->text))
			continue;
		if (pairs_add(out, key, from->item[2 * i + 1]) < 0)
			return -1;
	}
	return add_merges_of(c, from, depth + 1, out);
}

int check_pairs(struct checker *c, const struct ynode *map, const char *what, struct pairs *out)
{
	size_t kept = 0;

	*out = (struct pairs){0};
	if (!visit(c, map, map->n))
		return -1;
	if (map->n > 4 * CONFIG_HOSTS_MAX) {
		check_error(c, map, "%zu keys in %s; expected at most %d", map->n, what,
			    CONFIG_HOSTS_MAX);
		return -1;
	}
	if (add_own(c, map, what, out) < 0 || add_merges_of(c, map, 0, out) < 0)
		goto fail;
	for (size_t i = 0; i < out->n; i++) /* the merge key itself is no key */
		if (!is_merge(out->v[i].key))
			out->v[kept++] = out->v[i];
	out->n = kept;
	return 0;
fail:
	free(out->v);
	*out = (struct pairs){0};
	if (!c->errors->n)
		check_error(c, map, "no memory left for %s; expected a smaller file", what);
	return -1;
}

/* ---- values --------------------------------------------------------------- */

char *check_path(const struct checker *c, const char *text)
{
	char *out;

	if (*text == '/')
		return strdup(text);
	if (asprintf(&out, "%s/%s", !strcmp(c->base, "/") ? "" : c->base, text) < 0)
		return NULL;
	return out;
}

static void wrong_type(struct checker *c, const struct key *k, const struct ynode *v,
		       const char *expected)
{
	enum ytype t = ynode_type(v);
	bool quote = k->type <= KEY_STRS && (t == YT_BOOL || t == YT_INT || t == YT_FLOAT);

	if (v->kind == Y_SCALAR && *v->text)
		check_error(c, v, "%s is %s (%.60s); expected %s%s", k->name, ytype_name(t),
			    v->text, expected, quote ? ": put it in quotes" : "");
	else
		check_error(c, v, "%s is %s; expected %s", k->name, ytype_name(t), expected);
}

/* The string with ${VAR} and ~/ expanded; NULL after an error. */
static char *string_value(struct checker *c, const struct key *k, const struct ynode *v)
{
	char err[256];
	char *s;

	if (ynode_type(v) != YT_STR) {
		wrong_type(c, k, v, k->type == KEY_STRS ? "a list of strings" : "a string");
		return NULL;
	}
	s = config_expand(v->text, err, sizeof(err));
	if (!s)
		check_error(c, v, "%s: %s", k->name, err);
	return s;
}

static void set_str(char **to, char *s)
{
	free(*to);
	*to = s;
}

static void check_string(struct checker *c, const struct key *k, const struct ynode *v, char **to)
{
	char *s = string_value(c, k, v);
	struct stat st;

	if (!s)
		return;
	if (k->type != KEY_STR) {
		char *path = NULL;

		if (!*s)
			check_error(c, v, "%s is empty; expected the path of a file", k->name);
		else
			path = check_path(c, s);
		free(s);
		if (!path)
			return;
		s = path;
	}
	if (k->type == KEY_FILE && stat(s, &st) < 0)
		check_error(c, v, "%s: %s: %s; expected a file that exists", k->name, s,
			    strerror(errno));
	else if (k->type == KEY_FILE && S_ISDIR(st.st_mode))
		check_error(c, v, "%s: %s is a directory; expected a file", k->name, s);
	set_str(to, s);
}

static void free_strs(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

static void check_strings(struct checker *c, const struct key *k, const struct ynode *v, void *to)
{
	char ***strs = to;
	size_t *count = (size_t *)((char *)to + sizeof(char **)), n = 0;
	char **list;

	if (v->kind != Y_LIST) {
		wrong_type(c, k, v, "a list of strings");
		return;
	}
	if (v->n > CONFIG_LIST_MAX) {
		check_error(c, v, "%s has %zu items; expected at most %d", k->name, v->n,
			    CONFIG_LIST_MAX);
		return;
	}
	list = calloc(v->n + 1, sizeof(*list));
	if (!list)
		return;
	for (size_t i = 0; i < v->n; i++) {
		char *s = string_value(c, k, v->item[i]);

		if (s && !*s) {
			check_error(c, v->item[i], "%s has an empty item; expected a word",
				    k->name);
			free(s);
		} else if (s) {
			list[n++] = s;
		}
	}
	free_strs(*strs, *count);
	*strs = list;
	*count = n;
}

static void check_int(struct checker *c, const struct key *k, const struct ynode *v, void *to)
{
	char expected[96];
	long long i;

	snprintf(expected, sizeof(expected), "%san integer from %.0f to %.0f",
		 k->type == KEY_AUTO ? "auto, or " : "", k->min, k->max);
	if (k->type == KEY_AUTO && v->kind == Y_SCALAR && !strcmp(v->text, "auto")) {
		*(unsigned *)to = 0;
		return;
	}
	if (!ynode_int(v, &i)) {
		wrong_type(c, k, v, expected);
	} else if ((double)i < k->min || (double)i > k->max) {
		check_error(c, v, "%s is %lld, out of range; expected %s", k->name, i, expected);
	} else if (k->type == KEY_BYTES) {
		*(uint64_t *)to = (uint64_t)i;
	} else {
		*(unsigned *)to = (unsigned)i;
	}
}

static void check_seconds(struct checker *c, const struct key *k, const struct ynode *v,
			  double *to)
{
	char expected[96];
	double d;

	snprintf(expected, sizeof(expected), "seconds, a number from %g to %.0f", k->min, k->max);
	if (!ynode_number(v, &d))
		wrong_type(c, k, v, expected);
	else if (d < k->min || d > k->max)
		check_error(c, v, "%s is %s, out of range; expected %s", k->name, v->text,
			    expected);
	else
		*to = d;
}

static void check_word(struct checker *c, const struct key *k, const struct ynode *v, void *to)
{
	char expected[128] = "one of";
	char *s;

	for (size_t i = 0; k->words[i]; i++) {
		strncat(expected, i ? ", " : " ", sizeof(expected) - strlen(expected) - 1);
		strncat(expected, k->words[i], sizeof(expected) - strlen(expected) - 1);
	}
	if (ynode_type(v) != YT_STR) {
		wrong_type(c, k, v, expected);
		return;
	}
	s = string_value(c, k, v);
	if (!s)
		return;
	for (int i = 0; k->words[i]; i++) {
		if (!strcmp(s, k->words[i])) {
			memcpy(to, &i, sizeof(i));
			free(s);
			return;
		}
	}
	check_error(c, v, "%s is \"%.60s\"; expected %s", k->name, s, expected);
	free(s);
}

/* A bare ${VAR} where a number or a boolean is wanted stands for what the variable holds,
 * and has its type.  NULL after an error; *text is to be freed. */
static const struct ynode *plain_value(struct checker *c, const struct key *k,
				       const struct ynode *v, struct ynode *expanded, char **text)
{
	char err[256];

	*text = NULL;
	if (k->type < KEY_BOOL || k->type > KEY_AUTO || k->type == KEY_WORD ||
	    v->kind != Y_SCALAR || !v->plain || !strstr(v->text, "${"))
		return v;
	*text = config_expand(v->text, err, sizeof(err));
	if (!*text) {
		check_error(c, v, "%s: %s", k->name, err);
		return NULL;
	}
	*expanded = *v;
	expanded->text = *text;
	return expanded;
}

static void check_value(struct checker *c, const struct key *k, const struct pair *p, void *to)
{
	struct ynode expanded;
	char *text;
	const struct ynode *v = plain_value(c, k, p->value, &expanded, &text);
	bool b;

	if (!v)
		return;

	/* A key without a value is one not given, where the type has a "none". */
	if (k->type <= KEY_STRS && ynode_type(v) == YT_NULL)
		return; /* no `text` there: it was not expanded */
	switch (k->type) {
	case KEY_STR:
	case KEY_PATH:
	case KEY_FILE:
		check_string(c, k, v, to);
		break;
	case KEY_STRS:
		check_strings(c, k, v, to);
		break;
	case KEY_BOOL:
		if (ynode_bool(v, &b))
			*(bool *)to = b;
		else
			wrong_type(c, k, v, "a boolean (true, false, yes, no, on, off)");
		break;
	case KEY_UINT:
	case KEY_BYTES:
	case KEY_AUTO:
		check_int(c, k, v, to);
		break;
	case KEY_SECONDS:
		check_seconds(c, k, v, to);
		break;
	case KEY_WORD:
		check_word(c, k, v, to);
		break;
	case KEY_NODE:
		*(const struct ynode **)to = v;
		break;
	case KEY_LEGACY:
		check_warn(c, p->key, "%s is a key of the Python server and means nothing to dcm; "
			   "it is passed over", k->name);
		break;
	}
	free(text);
}

static void unknown_key(struct checker *c, const struct pair *p, const char *what,
			const struct key *keys, size_t n_keys)
{
	char expected[512] = "";

	for (size_t i = 0; i < n_keys; i++) {
		if (keys[i].type == KEY_LEGACY)
			continue;
		if (*expected)
			strncat(expected, ", ", sizeof(expected) - strlen(expected) - 1);
		strncat(expected, keys[i].name, sizeof(expected) - strlen(expected) - 1);
	}
	check_error(c, p->key, "unknown key \"%.60s\" in %s; expected one of %s", p->key->text,
		    what, expected);
}

void check_map(struct checker *c, const struct pairs *p, const char *what, const struct key *keys,
	       size_t n_keys, void *base)
{
	for (size_t i = 0; i < p->n; i++) {
		size_t k = 0;

		while (k < n_keys && strcmp(keys[k].name, p->v[i].key->text))
			k++;
		if (k < n_keys)
			check_value(c, &keys[k], &p->v[i], (char *)base + keys[k].offset);
		else
			unknown_key(c, &p->v[i], what, keys, n_keys);
	}
}
