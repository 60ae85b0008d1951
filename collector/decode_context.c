/*
 * decode_context.c - the docker command's own JSON files, as far as they say
 * where an engine is.
 */
#include "decode_context.h"

#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A whole JSON object, or NULL. */
static struct json_object *parse(const char *json, size_t len)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *o;

	if (!tok || len > INT_MAX)
		return NULL;
	o = json_tokener_parse_ex(tok, json, (int)len);
	json_tokener_free(tok);
	if (o && !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

static char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	return strdup(json_object_get_string(v));
}

int decode_context(const char *json, size_t len, struct docker_context *out)
{
	struct json_object *o = parse(json, len), *v;

	memset(out, 0, sizeof(*out));
	if (!o)
		return -1;
	out->name = text_of(o, "Name");
	if (json_object_object_get_ex(o, "Endpoints", &v) &&
	    json_object_is_type(v, json_type_object) &&
	    json_object_object_get_ex(v, "docker", &v) &&
	    json_object_is_type(v, json_type_object)) {
		struct json_object *skip;

		out->host = text_of(v, "Host");
		out->skip_tls_verify = json_object_object_get_ex(v, "SkipTLSVerify", &skip) &&
				       json_object_get_boolean(skip);
	}
	json_object_put(o);
	if (out->name)
		return 0;
	free(out->host);
	out->host = NULL;
	return -1;
}

int decode_docker_config(const char *json, size_t len, char **current)
{
	struct json_object *o = parse(json, len);

	*current = NULL;
	if (!o)
		return -1;
	*current = text_of(o, "currentContext");
	json_object_put(o);
	return 0;
}
