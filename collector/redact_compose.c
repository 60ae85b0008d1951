/*
 * redact_compose.c - takes secrets out of the text of compose files.
 *
 * The text stays what it is, byte by byte, but for the values that go; so the
 * YAML is not written anew: libyaml says where each value stands.  Values are
 *
 *  - those of every `environment` entry, in map and list form, through anchors,
 *    aliases and merge keys, by the rule of environment_vars;
 *  - elsewhere (build arguments, extension fields) those whose name looks like a
 *    variable's, in capitals, and holds one of the words.
 *
 *  - the same in comments: a line that was commented out, "# NAME=value".
 *
 * What they held is then replaced wherever else it stands, like any secret.
 * A text that libyaml refuses (a template, a file cut at the limit) is gone
 * through line by line besides, and there more is taken out rather than less.
 */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "redact_text.h"

struct compose {
	const struct redact_rules *rules;
	struct secrets *secrets;
	struct arena *a;
	struct dcm_str text;
	struct spans spans;
	uint32_t *offsets; /* of each character, where not all are one byte */
	size_t chars;
	yaml_document_t *document;
	unsigned char *seen; /* by node: 1 outside, 2 inside an environment */
	bool deep;	     /* deeper than is followed */
	bool failed;	     /* no memory: nothing may be shown */
};

enum { DEPTH_MAX = 64 };
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

/* ---- values -------------------------------------------------------------- */

/* Is a value of this name to go?  `inside` an environment, or elsewhere. */
static bool must_go(const struct compose *c, const char *name, size_t len, bool inside)
{
	size_t i;

	if (inside && c->rules->mode != ENV_REDACT)
		return true;
	if (!inside)
		for (i = 0; i < len; i++)
			if (!(name[i] >= 'A' && name[i] <= 'Z') && name[i] != '_' &&
			    !(name[i] >= '0' && name[i] <= '9'))
				return false;
	return redact_name(c->rules, name, len);
}

/* A value that is taken out is a secret, and a mere reference to a variable of
 * the shell is none: of "${NAME:-value}" it is the value. */
static void take(struct compose *c, const char *p, size_t len)
{
	struct dcm_str value = {p, (uint32_t)len};
	const char *s;

	if (len && p[0] == '$' && strspn(p + 1, NAME_CHARS) >= len - 1)
		return;
	if (len > 2 && p[0] == '$' && p[1] == '{' && memchr(p, '}', len) == p + len - 1) {
		s = memmem(p, len, ":-", 2);
		if (!s)
			return;
		value.s = s + 2;
		value.len = (uint32_t)(p + len - 1 - value.s);
	}
	if (!secret_add(c->secrets, c->a, value))
		c->failed = true;
}

static void take_urls(struct compose *c, const char *p, size_t len)
{
	if (!secret_add_urls(c->secrets, c->a, (struct dcm_str){p, (uint32_t)len}))
		c->failed = true;
}

/* ---- where a scalar stands ----------------------------------------------- */

/* libyaml counts characters, not bytes. */
static bool find_offsets(struct compose *c)
{
	size_t i, n = 0;

	for (i = 0; i < c->text.len; i++)
		n += ((unsigned char)c->text.s[i] & 0xC0) != 0x80;
	c->chars = n;
	if (n == c->text.len)
		return true;
	c->offsets = malloc((n + 1) * sizeof(*c->offsets));
	if (!c->offsets)
		return false;
	for (i = 0, n = 0; i < c->text.len; i++)
		if (((unsigned char)c->text.s[i] & 0xC0) != 0x80)
			c->offsets[n++] = (uint32_t)i;
	c->offsets[n] = c->text.len;
	return true;
}

static size_t offset(const struct compose *c, yaml_mark_t mark)
{
	if (mark.index >= c->chars)
		return c->text.len;
	return c->offsets ? c->offsets[mark.index] : mark.index;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The scalar's text, without its anchor, tag, quotes and what blank follows. */
static struct span place(const struct compose *c, const yaml_node_t *node)
{
	struct span s = {offset(c, node->start_mark), offset(c, node->end_mark)};
	const char *p = c->text.s;
	yaml_scalar_style_t style = node->data.scalar.style;

	while (s.to > s.from && is_blank(p[s.to - 1]))
		s.to--;
	while (s.from < s.to && (p[s.from] == '&' || p[s.from] == '!')) {
		while (s.from < s.to && !is_blank(p[s.from]))
			s.from++;
		while (s.from < s.to && is_blank(p[s.from]))
			s.from++;
	}
	if ((style == YAML_SINGLE_QUOTED_SCALAR_STYLE ||
	     style == YAML_DOUBLE_QUOTED_SCALAR_STYLE) &&
	    s.to - s.from >= 2) {
		s.from++;
		s.to--;
	}
	return s;
}

/* ---- the tree ------------------------------------------------------------ */

static const yaml_node_t *scalar(const yaml_node_t *n)
{
	return n && n->type == YAML_SCALAR_NODE ? n : NULL;
}

static bool key_is(const yaml_node_t *key, const char *text)
{
	return scalar(key) && key->data.scalar.length == strlen(text) &&
	       memcmp(key->data.scalar.value, text, strlen(text)) == 0;
}

static void pair(struct compose *c, const yaml_node_t *key, const yaml_node_t *value, bool inside)
{
	const char *name = (const char *)key->data.scalar.value;
	const char *text = (const char *)value->data.scalar.value;
	struct span at = place(c, value);

	if (inside)
		take_urls(c, text, value->data.scalar.length);
	if (!must_go(c, name, key->data.scalar.length, inside))
		return;
	take(c, text, value->data.scalar.length);
	spans_add(&c->spans, at.from, at.to);
	if (inside && c->rules->mode == ENV_NONE) {
		at = place(c, key);
		spans_add(&c->spans, at.from, at.to);
	}
}

/* An item of a list, "NAME=value". */
static void item(struct compose *c, const yaml_node_t *node, bool inside)
{
	const char *text = (const char *)node->data.scalar.value, *eq, *at_eq;
	size_t len = node->data.scalar.length, name;
	struct span at = place(c, node);

	if (inside && c->rules->mode == ENV_NONE)
		spans_add(&c->spans, at.from, at.to);
	eq = memchr(text, '=', len);
	if (!eq)
		return;
	name = (size_t)(eq - text);
	if (inside)
		take_urls(c, eq + 1, len - name - 1);
	if (!must_go(c, text, name, inside))
		return;
	take(c, eq + 1, len - name - 1);
	at_eq = memchr(c->text.s + at.from, '=', at.to - at.from);
	spans_add(&c->spans, at_eq ? (size_t)(at_eq + 1 - c->text.s) : at.from, at.to);
}

static void walk(struct compose *c, int id, bool inside, unsigned depth)
{
	yaml_node_t *node = yaml_document_get_node(c->document, id);
	unsigned char bit = inside ? 2 : 1;

	/* An alias leads to a node that may have been seen: once is enough. */
	if (!node || (c->seen[id] & bit))
		return;
	c->seen[id] |= bit;
	if (depth > DEPTH_MAX) {
		c->deep = true;
		return;
	}
	if (node->type == YAML_SEQUENCE_NODE) {
		for (yaml_node_item_t *i = node->data.sequence.items.start;
		     i < node->data.sequence.items.top; i++) {
			const yaml_node_t *n = scalar(yaml_document_get_node(c->document, *i));

			if (n)
				item(c, n, inside);
			else
				walk(c, *i, inside, depth + 1);
		}
	} else if (node->type == YAML_MAPPING_NODE) {
		for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
		     p < node->data.mapping.pairs.top; p++) {
			yaml_node_t *key = yaml_document_get_node(c->document, p->key);
			yaml_node_t *value = yaml_document_get_node(c->document, p->value);

			if (scalar(key) && scalar(value))
				pair(c, key, value, inside);
			else
				walk(c, p->value, inside || key_is(key, "environment"), depth + 1);
		}
	}
}

/* 0, or -1 where libyaml refuses the text. */
static int by_tree(struct compose *c)
{
	yaml_parser_t parser;
	yaml_document_t document;
	int rc = -1;

	if (!yaml_parser_initialize(&parser))
		return -1;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)c->text.s, c->text.len);
	while (yaml_parser_load(&parser, &document)) {
		size_t nodes = (size_t)(document.nodes.top - document.nodes.start);

		if (!nodes) {
			rc = 0;
			yaml_document_delete(&document);
			break;
		}
		c->document = &document;
		c->seen = calloc(nodes + 1, 1);
		if (c->seen)
			walk(c, 1, false, 0);
		else
			c->failed = true;
		free(c->seen);
		yaml_document_delete(&document);
	}
	yaml_parser_delete(&parser);
	return rc;
}

/* ---- comments ------------------------------------------------------------- */

/* The value of "NAME=value" or "NAME: value" at the beginning of a comment. */
static bool comment_value(struct compose *c, size_t from, size_t to, struct span *out)
{
	const char *p = c->text.s;
	size_t i = from, name;

	while (i < to && strchr("# \t-\"'", p[i]))
		i++;
	name = i;
	while (i < to && strchr(NAME_CHARS, p[i]))
		i++;
	if (i == name || !must_go(c, p + name, i - name, false))
		return false;
	while (i < to && strchr(" \"'", p[i]))
		i++;
	if (i == to || (p[i] != '=' && p[i] != ':'))
		return false;
	i++;
	while (i < to && strchr(" \t\"'", p[i]))
		i++;
	while (to > i && strchr(" \t\r\"'", p[to - 1]))
		to--;
	*out = (struct span){i, to};
	return i < to;
}

static void by_comments(struct compose *c)
{
	const char *p = c->text.s, *nl;
	struct span value;
	size_t from, to, i;

	for (from = 0; from < c->text.len; from = to + 1) {
		nl = memchr(p + from, '\n', c->text.len - from);
		to = nl ? (size_t)(nl - p) : c->text.len;
		for (i = from; i < to; i++) {
			if (p[i] != '#' || (i > from && !is_blank(p[i - 1])) ||
			    !comment_value(c, i, to, &value))
				continue;
			take(c, p + value.from, value.to - value.from);
			spans_add(&c->spans, value.from, value.to);
			break;
		}
	}
}

/* ---- line by line -------------------------------------------------------- */

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '-';
}

/* The value of the first name in the line that must go, to the line's end; false
 * where there is none.  Of a bare "NAME:" it is empty. */
static bool line_value(struct compose *c, size_t from, size_t to, bool inside, struct span *out)
{
	const char *p = c->text.s;
	size_t i = from, name, end;

	while (i < to) {
		while (i < to && !is_name(p[i]))
			i++;
		for (name = i; i < to && is_name(p[i]); i++)
			;
		end = i;
		while (i < to && (p[i] == '"' || p[i] == '\'' || p[i] == ' '))
			i++;
		if (i >= to || (p[i] != '=' && p[i] != ':'))
			continue;
		i++;
		while (p[name] == '-' && name < end) /* "-NAME" of a careless list */
			name++;
		if (!redact_name(c->rules, p + name, end - name) &&
		    !(inside && c->rules->mode != ENV_REDACT) &&
		    !(c->rules->mode != ENV_REDACT && must_go(c, p + name, end - name, false)))
			continue;
		while (i < to && (p[i] == ' ' || p[i] == '"' || p[i] == '\''))
			i++;
		out->from = inside && c->rules->mode == ENV_NONE ? name : i;
		out->to = to;
		while (out->to > out->from && (is_blank(p[out->to - 1]) || p[out->to - 1] == '"' ||
					       p[out->to - 1] == '\''))
			out->to--;
		return true;
	}
	return false;
}

static size_t indent_of(const char *p, size_t from, size_t to)
{
	size_t i = from;

	while (i < to && (p[i] == ' ' || p[i] == '\t'))
		i++;
	return i - from;
}

static void by_lines(struct compose *c)
{
	const size_t none = SIZE_MAX;
	size_t environment = none, block = none; /* indents of what is open */
	const char *p = c->text.s, *nl;
	size_t from, to, indent, at;
	struct span value;

	for (from = 0; from < c->text.len; from = to + 1) {
		nl = memchr(p + from, '\n', c->text.len - from);
		to = nl ? (size_t)(nl - p) : c->text.len;
		indent = indent_of(p, from, to);
		if (from + indent == to || (p[from + indent] == '\r' && from + indent + 1 == to))
			continue;
		/* Deeper lines continue a value that began above. */
		if (block != none && indent > block) {
			take(c, p + from + indent, to - from - indent);
			spans_add(&c->spans, from + indent, to);
			continue;
		}
		block = none;
		if (environment != none &&
		    (indent < environment || (indent == environment && p[from + indent] != '-')))
			environment = none;
		at = from + indent;
		if (to - at >= 12 && memcmp(p + at, "environment:", 12) == 0) {
			environment = indent;
			at += 12;
		}
		if (line_value(c, at, to, environment != none, &value)) {
			take(c, p + value.from, value.to - value.from);
			spans_add(&c->spans, value.from, value.to);
			/* "NAME:" alone may be a map of others, such as `secrets:`. */
			if (value.from < value.to)
				block = indent;
		}
	}
}

struct dcm_str redact_compose(const struct redact_rules *rules, struct secrets *s, struct arena *a,
			      struct dcm_str text)
{
	struct compose c = {.rules = rules, .secrets = s, .a = a, .text = text};
	struct secret_index x;

	if (rules->mode == ENV_FULL || !text.s)
		return text;
	if (!find_offsets(&c))
		c.failed = true;
	else if (by_tree(&c) < 0 || c.deep)
		by_lines(&c);
	by_comments(&c);
	free(c.offsets);
	c.spans.failed |= c.failed;
	if (secret_index_init(&x, s)) {
		cover_secrets(&c.spans, &x, text);
		secret_index_free(&x);
	} else {
		c.spans.failed = true;
	}
	cover_urls(&c.spans, text, false);
	return spans_apply(&c.spans, a, text);
}
