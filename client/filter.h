/*
 * filter.h - `--filter KEY=VALUE`, with the meanings that `docker ps` gives
 * its keys (moby, daemon/list.go), and host, project and service besides.
 *
 * Several values of one key are alternatives (of label: all must hold);
 * several keys must all hold, but publish and expose are alternatives, as in
 * the engine.  What the engine decides by things that dcm does not hold is
 * told in dcm-client(1): ancestor knows an image by its reference and id, not
 * the images built upon it; network knows names, not ids.
 */
#ifndef CLIENT_FILTER_H
#define CLIENT_FILTER_H

#include "text.h"

struct filter;

#define FILTER_STATUSES "created running paused restarting removing exited dead"

/* Adds "KEY=VALUE" to *f (NULL: makes it).  false: not valid, `why` says so;
 * *note (when set: a constant text) is a warning, for a pattern that can
 * match nothing but itself. */
bool filter_add(struct filter **f, const char *arg, const char **note, struct dcm_text *why);
void filter_free(struct filter **f);

/*
 * Looks up what values refer to: containers of before and since, images of
 * ancestor, id prefixes; on `host` alone, or on all (NULL).  Returns enum
 * dcm_rc with the sentence in `why`.
 */
int filter_resolve(struct filter *f, dcm *d, const char *host, struct dcm_text *why);

/* NULL matches everything. */
bool filter_match(const struct filter *f, const struct dcm_record *r);
/* There is none, or none but on hosts. */
bool filter_is_of_hosts(const struct filter *f);
/* Of the host key alone. */
bool filter_match_host(const struct filter *f, struct dcm_str host);
/* The hosts that the host key names, at most `room`: how many; 0: any. */
size_t filter_hosts(const struct filter *f, const char **hosts, size_t room);
/* Narrows a query of everything to an index that the broker has, where one
 * value of the filter is enough for that; filter_match() still decides. */
void filter_narrow(const struct filter *f, struct dcm_query *q);

/* "source:destination:mode" of a bind mount taken apart. */
bool bind_split(struct dcm_str bind, struct dcm_str *source, struct dcm_str *destination);

#endif
