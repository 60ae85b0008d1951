/* filter_value.h - values of filters: patterns, ports, image references.  Pure. */
#ifndef CLIENT_FILTER_VALUE_H
#define CLIENT_FILTER_VALUE_H

#include <regex.h>

#include "text.h"

/* Compiles a Go (RE2) pattern as docker takes it for names: what POSIX spells
 * otherwise (\d, (?i), (?:, lazy repeats) is translated.  false: not a pattern,
 * or beyond that; then only equality matches, as in docker. */
bool pattern_compile(regex_t *re, const char *go);

/* "80", "80/udp", "8000-8080/tcp". */
struct port_range {
	unsigned lo, hi;
	char proto[8];
};
bool port_range_parse(struct port_range *p, const char *s);
/* One text of a record's `ports`: "80/tcp->0.0.0.0:8080", "443/tcp". */
bool port_text_matches(struct dcm_str text, const struct port_range *p, bool published);

/* Appends the reference in its full form: "nginx" as "docker.io/library/
 * nginx:latest", without the tag where there is a digest. */
void image_normalise(struct dcm_text *t, struct dcm_str ref);
/* `prefix` (hex digits, with or without "sha256:") begins the id. */
bool image_id_has_prefix(struct dcm_str id, const char *prefix);

#endif
