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

bool filter_match_id(const struct filter_term *t, const struct dcm_record *r);
bool filter_match_ancestor(const struct filter_term *t, const struct dcm_record *r);
bool filter_match_time(const struct filter_term *t, const struct dcm_record *r);

#endif
