/*
 * config_yaml.c - YAML text to a tree of nodes with lines and columns.
 *
 * Part: the only file of the configuration that knows libyaml.  It reads
 * libyaml's events, not its document, so that depth, nodes and anchors are
 * bounded while they come, and an alias inside its own anchor is an error
 * instead of a cycle.  Pure: bytes in, tree and errors out.  After a syntax error
 * nothing that follows could be trusted, so it is the only one; a node that alone is
 * no good leaves the rest as it is.
 */
#include "config_yaml.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct anchor {
	const char *name;
	struct ynode *node; /* NULL: not complete yet */
};

struct loader {
	yaml_parser_t parser;
	struct arena *arena;
	const struct yerrors *errors;
	const char *text;
	struct anchor *anchors;
	size_t n_anchors;
	size_t nodes;
};

static int fail(struct loader *l, yaml_mark_t at, const char *what)
{
	l->errors->tell(l->errors->arg, (unsigned)at.line + 1, (unsigned)at.column + 1, what);
	return -1;
}

static int no_memory(struct loader *l, yaml_mark_t at)
{
	return fail(l, at, "no memory left for this document; expected a smaller file");
}

/* libyaml gives a bad byte by its offset, everything else by a mark. */
static int fail_syntax(struct loader *l)
{
	const yaml_parser_t *p = &l->parser;
	yaml_mark_t at = p->problem_mark;
	char what[200];

	if (p->error == YAML_MEMORY_ERROR)
		return no_memory(l, p->mark);
	if (p->error == YAML_READER_ERROR) {
		at = (yaml_mark_t){0};
		for (size_t i = 0; i < p->problem_offset; i++) {
			at.column++;
			if (l->text[i] == '\n')
				at = (yaml_mark_t){.line = at.line + 1};
		}
	}
	snprintf(what, sizeof(what), "not valid YAML: %s%s%s; expected YAML 1.1 in UTF-8",
		 p->problem ? p->problem : "cannot be read", p->context ? " " : "",
		 p->context ? p->context : "");
	return fail(l, at, what);
}

static int next_event(struct loader *l, yaml_event_t *ev)
{
	return yaml_parser_parse(&l->parser, ev) ? 0 : fail_syntax(l);
}

static struct ynode *new_node(struct loader *l, enum ykind kind, yaml_mark_t at)
{
	struct ynode *n;

	if (++l->nodes > YAML_NODES_MAX) {
		fail(l, at, "more than 200000 values in one file; expected a smaller file");
		return NULL;
	}
	n = arena_alloc(l->arena, sizeof(*n));
	if (!n) {
		no_memory(l, at);
		return NULL;
	}
	n->kind = kind;
	n->line = (unsigned)at.line + 1;
	n->column = (unsigned)at.column + 1;
	return n;
}

/* Tells a fault of this node alone. */
static int bad_node(struct loader *l, yaml_mark_t at, const char *what, struct ynode **out)
{
	fail(l, at, what);
	*out = new_node(l, Y_BAD, at);
	return *out ? 0 : -1;
}

static struct anchor *find_anchor(struct loader *l, const char *name)
{
	/* The newest of a name counts. */
	for (size_t i = l->n_anchors; i-- > 0;)
		if (!strcmp(l->anchors[i].name, name))
			return &l->anchors[i];
	return NULL;
}

/* Notes that an anchor begins here; *index is its place, or -1 where there is
 * no anchor. */
static int begin_anchor(struct loader *l, const yaml_char_t *name, yaml_mark_t at, long *index)
{
	struct anchor *grown;
	const char *copy;

	*index = -1;
	if (!name)
		return 0;
	if (l->n_anchors == YAML_ANCHORS_MAX)
		return fail(l, at, "more than 1024 anchors; expected fewer");
	grown = realloc(l->anchors, (l->n_anchors + 1) * sizeof(*grown));
	if (grown)
		l->anchors = grown;
	copy = arena_str(l->arena, (const char *)name, strlen((const char *)name)).s;
	if (!grown || !copy)
		return no_memory(l, at);
	l->anchors[l->n_anchors] = (struct anchor){.name = copy};
	*index = (long)l->n_anchors++;
	return 0;
}

static int load_node(struct loader *l, yaml_event_t *ev, unsigned depth, struct ynode **out);

/* Children up to the event `end`, into an array of the arena. */
static int load_children(struct loader *l, yaml_event_type_t end, unsigned depth, yaml_mark_t at,
			 struct ynode ***items, size_t *count)
{
	struct ynode **v = NULL;
	size_t n = 0, room = 0;
	int rc = -1;

	for (;;) {
		yaml_event_t ev;

		if (next_event(l, &ev) < 0)
			break;
		if (ev.type == end) {
			yaml_event_delete(&ev);
			*items = arena_alloc(l->arena, (n + 1) * sizeof(*v));
			if (!*items) {
				no_memory(l, at);
				break;
			}
			if (n)
				memcpy(*items, v, n * sizeof(*v));
			*count = n;
			rc = 0;
			break;
		}
		if (n == room) {
			struct ynode **grown = realloc(v, (room * 2 + 8) * sizeof(*v));

			if (!grown) {
				yaml_event_delete(&ev);
				no_memory(l, at);
				break;
			}
			v = grown;
			room = room * 2 + 8;
		}
		if (load_node(l, &ev, depth + 1, &v[n]) < 0)
			break;
		n++;
	}
	free(v);
	return rc;
}

static bool tag_is(const yaml_char_t *tag, const char *name)
{
	return tag && !strncmp((const char *)tag, "tag:yaml.org,2002:", 18) &&
	       !strcmp((const char *)tag + 18, name);
}

static const char unknown_tag[] = "a tag that dcm does not know; expected no tag";

static int load_scalar(struct loader *l, const yaml_event_t *ev, struct ynode **out)
{
	size_t len = ev->data.scalar.length;
	const yaml_char_t *tag = ev->data.scalar.tag;
	struct ynode *n = new_node(l, Y_SCALAR, ev->start_mark);
	char *text;

	if (!n)
		return -1;
	if (memchr(ev->data.scalar.value, '\0', len))
		return bad_node(l, ev->start_mark, "a NUL in a string; expected text", out);
	if (tag && !tag_is(tag, "str") && strcmp((const char *)tag, "!"))
		return bad_node(l, ev->start_mark, unknown_tag, out);
	text = arena_alloc(l->arena, len + 1);
	if (!text)
		return no_memory(l, ev->start_mark);
	memcpy(text, ev->data.scalar.value, len);
	n->text = text;
	n->plain = !tag && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	*out = n;
	return 0;
}

static int load_alias(struct loader *l, const yaml_event_t *ev, struct ynode **out)
{
	const char *name = (const char *)ev->data.alias.anchor;
	const struct anchor *a = find_anchor(l, name);
	char what[160];

	if (a && a->node) {
		*out = a->node;
		return 0;
	}
	snprintf(what, sizeof(what), "the alias *%.60s %s; expected the name of an anchor above",
		 name, a ? "stands inside its own anchor" : "has no anchor");
	return bad_node(l, ev->start_mark, what, out);
}

static int load_collection(struct loader *l, const yaml_event_t *ev, unsigned depth,
			   struct ynode **out)
{
	bool map = ev->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *tag =
		map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag;
	const yaml_char_t *name =
		map ? ev->data.mapping_start.anchor : ev->data.sequence_start.anchor;
	struct ynode *n;
	long index;

	if (depth >= YAML_DEPTH_MAX)
		return fail(l, ev->start_mark, "nested deeper than 32 levels; expected fewer");
	n = new_node(l, map ? Y_MAP : Y_LIST, ev->start_mark);
	if (!n || begin_anchor(l, name, ev->start_mark, &index) < 0)
		return -1;
	if (load_children(l, map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT, depth,
			  ev->start_mark, &n->item, &n->n) < 0)
		return -1;
	if (map)
		n->n /= 2;
	if (tag && !tag_is(tag, map ? "map" : "seq")) {
		fail(l, ev->start_mark, unknown_tag);
		n->kind = Y_BAD;
	}
	if (index >= 0)
		l->anchors[index].node = n;
	*out = n;
	return 0;
}

/* Takes the event over. */
static int load_node(struct loader *l, yaml_event_t *ev, unsigned depth, struct ynode **out)
{
	long index = -1;
	int rc;

	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		rc = load_scalar(l, ev, out);
		if (rc == 0)
			rc = begin_anchor(l, ev->data.scalar.anchor, ev->start_mark, &index);
		if (rc == 0 && index >= 0)
			l->anchors[index].node = *out;
		break;
	case YAML_ALIAS_EVENT:
		rc = load_alias(l, ev, out);
		break;
	default:
		rc = load_collection(l, ev, depth, out);
	}
	yaml_event_delete(ev);
	return rc;
}

static int load_stream(struct loader *l, struct ynode **root)
{
	bool have = false;

	for (;;) {
		yaml_event_type_t type;
		yaml_event_t ev;

		if (next_event(l, &ev) < 0)
			return -1;
		type = ev.type;
		if (type == YAML_DOCUMENT_START_EVENT && have) {
			fail(l, ev.start_mark, "a second YAML document; expected one in a file");
			yaml_event_delete(&ev);
			return 0;
		}
		if (type == YAML_SCALAR_EVENT || type == YAML_ALIAS_EVENT ||
		    type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT) {
			have = true;
			if (load_node(l, &ev, 0, root) < 0)
				return -1;
			continue;
		}
		yaml_event_delete(&ev);
		if (type == YAML_STREAM_END_EVENT)
			return 0;
	}
}

int yaml_parse(const char *text, size_t len, struct arena *a, struct ynode **root,
	       const struct yerrors *errors)
{
	struct loader l = {.arena = a, .errors = errors, .text = text};
	int rc;

	*root = NULL;
	if (len > YAML_BYTES_MAX)
		return fail(&l, (yaml_mark_t){0}, "longer than 4 MiB; expected a smaller file");
	if (!yaml_parser_initialize(&l.parser))
		return no_memory(&l, (yaml_mark_t){0});
	yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, len);
	rc = load_stream(&l, root);
	yaml_parser_delete(&l.parser);
	free(l.anchors);
	return rc;
}

/* ---- types of scalars, as YAML 1.1 reads plain text ----------------------- */

static bool any_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(s, *words))
			return true;
	return false;
}

static const char *const words_null[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const words_true[] = {"true", "True", "TRUE", "yes", "Yes",
					 "YES",	 "on",	 "On",	 "ON",	NULL};
static const char *const words_false[] = {"false", "False", "FALSE", "no",  "No",
					  "NO",	   "off",   "Off",   "OFF", NULL};

bool ynode_bool(const struct ynode *n, bool *out)
{
	if (n->kind != Y_SCALAR || !n->plain)
		return false;
	/* "y" and "n" are booleans of YAML 1.1, too, but where a string is wanted
	 * they are more likely meant as such: known here, not in ynode_type(). */
	*out = any_of(n->text, words_true) || !strcmp(n->text, "y") || !strcmp(n->text, "Y");
	return *out || any_of(n->text, words_false) || !strcmp(n->text, "n") ||
	       !strcmp(n->text, "N");
}

bool ynode_int(const struct ynode *n, long long *out)
{
	const char *s = n->text;
	char *end;

	if (n->kind != Y_SCALAR || !n->plain)
		return false;
	if (*s == '-' || *s == '+')
		s++;
	/* A leading 0 would be octal in YAML 1.1 and decimal in 1.2: take neither. */
	if (*s < '0' || *s > '9' || (*s == '0' && s[1]))
		return false;
	errno = 0;
	*out = strtoll(n->text, &end, 10);
	return !*end && !errno;
}

static bool looks_numeric(const char *s)
{
	if (*s == '-' || *s == '+')
		s++;
	if (*s == '.' ? !(s[1] >= '0' && s[1] <= '9') : !(*s >= '0' && *s <= '9'))
		return false;
	return strspn(s, "0123456789.eE+-_") == strlen(s);
}

bool ynode_number(const struct ynode *n, double *out)
{
	char *end;

	if (n->kind != Y_SCALAR || !n->plain || !looks_numeric(n->text))
		return false;
	*out = strtod(n->text, &end);
	return !*end && isfinite(*out);
}

enum ytype ynode_type(const struct ynode *n)
{
	long long i;
	double d;

	if (n->kind == Y_LIST)
		return YT_LIST;
	if (n->kind == Y_MAP)
		return YT_MAP;
	if (n->kind == Y_BAD)
		return YT_BAD;
	if (!n->plain)
		return YT_STR;
	if (any_of(n->text, words_null))
		return YT_NULL;
	if (any_of(n->text, words_true) || any_of(n->text, words_false))
		return YT_BOOL;
	if (ynode_int(n, &i))
		return YT_INT;
	if (ynode_number(n, &d))
		return YT_FLOAT;
	return YT_STR;
}

const char *ytype_name(enum ytype t)
{
	static const char *const names[] = {"nothing", "a boolean", "an integer", "a number",
					    "a string", "a list", "a map", "no good"};

	return names[t];
}
