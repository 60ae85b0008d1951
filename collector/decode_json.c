/*
 * decode_json.c - json-c in strict mode, behind a small accessor.
 *
 * One tokener serves every document: a collector is one thread.  Its buffer
 * grows with the longest text, so it is given back after a large document.
 *
 * A document is made clean before it is parsed, since json-c refuses invalid
 * UTF-8 whole and ends keys at NUL: bytes that are no UTF-8 become U+FFFD, and
 * so does each \u0000, which is as long.  A sound document, that is nearly
 * every one, is parsed where it lies.
 */
#include "decode_json.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "decode_text.h"
#include "decode_trim.h"

static struct json_tokener *tokener;

/* Makes each escape \u0000 in s (writable) \ufffd. */
static void replace_nul_escapes(char *s, size_t len)
{
	char *p = s, *end = s + len;

	while ((p = memmem(p, (size_t)(end - p), "\\u0000", 6))) {
		size_t slashes = 1;

		/* "\\u0000" is a backslash and five letters: count them. */
		while (p - slashes >= s && p[-(ptrdiff_t)slashes] == '\\')
			slashes++;
		if (slashes % 2)
			memcpy(p, "\\ufffd", 6);
		p += 6;
	}
}

/* s as json-c may have it: itself, or a clean copy in `room`. */
static struct dcm_str clean(struct arena *room, const char *s, size_t len)
{
	struct dcm_str out = {s, (uint32_t)len};
	bool escapes = memmem(s, len, "\\u0000", 6);

	if (!escapes && text_valid(s, len) == len && !memchr(s, 0, len))
		return out;
	out = decode_utf8(room, s, len);
	if (out.s && escapes)
		replace_nul_escapes((char *)(uintptr_t)out.s, out.len);
	return out;
}

static enum json_tokener_error parse(struct json *j, struct dcm_str text)
{
	json_tokener_reset(tokener);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	j->root = json_tokener_parse_ex(tokener, text.s, (int)text.len);
	return json_tokener_get_error(tokener);
}

/* Again, without what is too deep. */
static void parse_less(struct json *j, struct dcm_str text)
{
	struct json_trim t;
	char *less = arena_alloc(&j->clean, TRIM_ROOM((size_t)text.len));
	size_t n = 0, i, step;

	json_trim_init(&t, 1);
	for (i = 0; less && i < text.len; i += step) {
		step = text.len - i < TRIM_ITEM ? text.len - i : TRIM_ITEM;
		n += json_trim_feed(&t, less + n, text.s + i, step);
	}
	if (less)
		parse(j, (struct dcm_str){less, (uint32_t)n});
}

int json_open(struct json *j, const char *s, size_t len, const char *what, char *err)
{
	struct dcm_str text;
	enum json_tokener_error e;
	size_t at;

	memset(j, 0, sizeof(*j));
	if (len > JSON_DOC_MAX) {
		snprintf(err, DECODE_ERR, "%s is larger than %d MiB, and refused", what,
			 JSON_DOC_MAX >> 20);
		return -1;
	}
	if (!tokener)
		tokener = json_tokener_new_ex(JSON_DEPTH);
	text = clean(&j->clean, s, len);
	if (!tokener || !text.s || text.len > INT_MAX) {
		arena_free(&j->clean);
		snprintf(err, DECODE_ERR, "no memory to read %s", what);
		return -1;
	}
	e = parse(j, text);
	at = json_tokener_get_parse_end(tokener);
	if (e == json_tokener_error_depth)
		parse_less(j, text);
	if (j->root) {
		j->trimmed = json_flag(json_get(j->root, TRIM_MARK)) == 1;
		goto out;
	}
	if (e == json_tokener_continue)
		snprintf(err, DECODE_ERR, "%s ends in the middle, after %zu bytes", what, len);
	else if (e == json_tokener_success)
		snprintf(err, DECODE_ERR, "%s is null", what);
	else
		snprintf(err, DECODE_ERR, "%s is not JSON (%s at byte %zu)", what,
			 json_tokener_error_desc(e), at);
	json_close(j);
out:
	if (len > DECODE_TEXT_MAX) {
		json_tokener_free(tokener);
		tokener = NULL;
	}
	return j->root ? 0 : -1;
}

void json_close(struct json *j)
{
	json_object_put(j->root);
	j->root = NULL;
	arena_free(&j->clean);
}

/* The bytes of the string at s[0] == '"'; 0: not whole. */
static size_t string_span(const char *s, size_t len)
{
	const char *p = s + 1, *end = s + len, *q;

	while ((q = memchr(p, '"', (size_t)(end - p)))) {
		const char *b = q;

		while (b > p && b[-1] == '\\')
			b--;
		if ((q - b) % 2 == 0)
			return (size_t)(q + 1 - s);
		p = q + 1;
	}
	return 0;
}

long json_span(const char *s, size_t len)
{
	size_t i = 0, depth = 0, n;

	while (i < len && strchr(" \t\r\n", s[i]) && s[i])
		i++;
	for (; i < len; i++) {
		switch (s[i]) {
		case '"':
			n = string_span(s + i, len - i);
			if (!n)
				return 0;
			i += n - 1;
			break;
		case '{':
		case '[':
			depth++;
			continue;
		case '}':
		case ']':
			if (!depth)
				return -1;
			depth--;
			break;
		default:
			if (depth)
				continue;
			if (s[i] == ',' || s[i] == ':')
				return -1;
			/* A number or a word ends before what follows it. */
			if (i + 1 == len)
				return 0;
			if (!strchr(" \t\r\n,]}", s[i + 1]))
				continue;
			break;
		}
		if (!depth)
			return (long)(i + 1);
	}
	return 0;
}

/* ---- values -------------------------------------------------------------- */

struct json_object *json_get(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	if (json_object_is_type(o, json_type_object))
		json_object_object_get_ex(o, key, &v);
	return v;
}

bool json_has(struct json_object *o, const char *key)
{
	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, NULL);
}

bool json_is_object(struct json_object *v)
{
	return json_object_is_type(v, json_type_object);
}

bool json_is_array(struct json_object *v)
{
	return json_object_is_type(v, json_type_array);
}

size_t json_len(struct json_object *array)
{
	return json_is_array(array) ? json_object_array_length(array) : 0;
}

struct json_object *json_at(struct json_object *array, size_t i)
{
	return i < json_len(array) ? json_object_array_get_idx(array, i) : NULL;
}

int64_t json_int(struct json_object *v)
{
	double d;

	if (json_object_is_type(v, json_type_int))
		return json_object_get_int64(v);
	if (!json_object_is_type(v, json_type_double))
		return DCM_UNKNOWN;
	d = json_object_get_double(v);
	return d > -9.2e18 && d < 9.2e18 ? (int64_t)d : DCM_UNKNOWN;
}

bool json_u64(struct json_object *v, uint64_t *out)
{
	double d;

	if (json_object_is_type(v, json_type_int)) {
		if (json_object_get_int64(v) < 0)
			return false;
		*out = json_object_get_uint64(v);
		return true;
	}
	if (!json_object_is_type(v, json_type_double))
		return false;
	d = json_object_get_double(v);
	if (!(d >= 0 && d < 1.8e19))
		return false;
	*out = (uint64_t)d;
	return true;
}

int8_t json_flag(struct json_object *v)
{
	return json_object_is_type(v, json_type_boolean) ? (int8_t)json_object_get_boolean(v) : -1;
}

struct dcm_str json_raw(struct json_object *v)
{
	struct dcm_str out = {NULL, 0};

	if (json_object_is_type(v, json_type_string)) {
		out.s = json_object_get_string(v);
		out.len = (uint32_t)json_object_get_string_len(v);
	}
	return out;
}

/* ---- texts of a record --------------------------------------------------- */

void *to_alloc(struct decode_to *to, size_t n, size_t size)
{
	void *p = n <= SIZE_MAX / 4 / size ? arena_alloc(to->a, n * size) : NULL;

	if (!p)
		to->full = true;
	return p;
}

struct dcm_str to_str(struct decode_to *to, const char *s, size_t len)
{
	struct dcm_str out;

	if (len > DECODE_TEXT_MAX) {
		len = text_cut(s, len, DECODE_TEXT_MAX);
		to->truncated = true;
	}
	out = arena_str(to->a, s, len);
	if (!out.s)
		to->full = true;
	return out;
}

struct dcm_str to_name(struct decode_to *to, const char *s, size_t len)
{
	size_t fits = text_cut(s, len, DECODE_NAME_MAX);

	to->truncated |= fits < len;
	return to_str(to, s, fits);
}

struct dcm_str to_text(struct decode_to *to, struct json_object *v)
{
	struct dcm_str raw = json_raw(v);

	return raw.s ? to_str(to, raw.s, raw.len) : raw;
}

struct dcm_str to_text_known(struct decode_to *to, struct json_object *v)
{
	struct dcm_str raw = json_raw(v);

	return raw.len ? to_str(to, raw.s, raw.len) : (struct dcm_str){NULL, 0};
}

struct dcm_str to_const(const char *constant)
{
	return (struct dcm_str){constant, (uint32_t)strlen(constant)};
}

struct dcm_strs to_strs(struct decode_to *to, struct json_object *v, bool has)
{
	struct dcm_strs out = {NULL, 0, has && (!v || json_is_array(v))};
	size_t i, n = json_len(v);
	struct dcm_str *list;

	if (!n)
		return out;
	list = to_alloc(to, n, sizeof(*list));
	if (!list)
		return out;
	for (i = 0; i < n; i++) {
		struct dcm_str s = to_text(to, json_at(v, i));

		if (s.s)
			list[out.n++] = s;
	}
	out.v = list;
	return out;
}
