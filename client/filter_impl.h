/* filter_impl.h - the inside of a filter: filter.c and filter_lookup.c. */
#ifndef CLIENT_FILTER_IMPL_H
#define CLIENT_FILTER_IMPL_H

#include "filter.h"
#include "filter_value.h"

enum filter_key {
	F_ID, F_NAME, F_LABEL, F_STATUS, F_HEALTH, F_ANCESTOR, F_NETWORK, F_VOLUME, F_EXITED,
	F_PUBLISH, F_EXPOSE, F_BEFORE, F_SINCE, F_TASK, F_HOST, F_PROJECT, F_SERVICE,
	F_KEYS
};
#define FILTER_HEALTHS "none starting healthy unhealthy"

struct filter_term {
	enum filter_key key;
	char *value;
	bool truth;		/* is-task */
	long number;		/* exited */
	struct port_range port; /* publish, expose */
	bool has_pattern;	/* name */
	regex_t pattern;
	struct dcm_text image;	/* ancestor: the full reference */
	struct dcm_text found;	/* what filter_resolve() found: struct filter_found[] */
};
struct filter {
	unsigned keys; /* 1 << key of each that is there */
	size_t n;
	struct filter_term terms[];
};

/* What a value refers to on one host. */
struct filter_found {
	char host[64];
	char text[256]; /* id: the id that the prefix means, "" if several;
			 * ancestor: an image id; network: its name */
	int64_t created; /* before, since: ns */
	bool told;	 /* by the engine's own lists, which then alone count */
};
size_t filter_found_count(const struct filter_term *t);
const struct filter_found *filter_found_at(const struct filter_term *t, size_t i);
struct filter_found *filter_found_on(const struct filter_term *t, struct dcm_str host);
void filter_found_add(struct filter_term *t, struct dcm_str host, struct dcm_str text,
		      int64_t created, bool told);

/* filter_catalog.c: what the value of ancestor or network means on one host, by its
 * engine's lists of images and networks. */
void filter_learn_catalog(struct filter_term *t, struct dcm_str host,
			  const struct dcm_catalog *c);

bool filter_match_network(const struct filter_term *t, const struct dcm_record *r);
bool filter_match_id(const struct filter_term *t, const struct dcm_record *r);
bool filter_match_ancestor(const struct filter_term *t, const struct dcm_record *r);
bool filter_match_time(const struct filter_term *t, const struct dcm_record *r);

#endif
