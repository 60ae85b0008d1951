/* documents.h - what the files that make documents share.  See sim.h. */
#ifndef SIM_DOCUMENTS_H
#define SIM_DOCUMENTS_H

#include "sim.h"

void put_str(struct json_object *o, const char *key, const char *value);
void put_int(struct json_object *o, const char *key, int64_t value);
void put_bool(struct json_object *o, const char *key, bool value);
void put_time(struct json_object *o, const char *key, int64_t ns);
/* The member, where it is a text that is not empty; else NULL. */
struct json_object *get_str(struct json_object *o, const char *key);
void image_id(const char *reference, char out[72]);
bool is_up(const struct container *c); /* running or paused */

/* network.c */
struct json_object *endpoints(const struct container *c, int api_minor, bool in_list);
struct json_object *network_settings(const struct container *c, struct json_object *asked,
				     int api_minor);
struct json_object *ports(const struct container *c, struct json_object *asked);

/* documents.c */
void put_words(struct json_object *o, struct json_object *asked);
struct json_object *mounts(struct json_object *asked);

#endif
