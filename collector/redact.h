/*
 * redact.h - takes secrets out of a record before it leaves the collector's
 * private memory.
 *
 * What counts: the value of a variable whose name holds one of the words (any
 * case); the password in scheme://user:password@….  A value so taken out, of 6
 * bytes or more, is replaced by ******** wherever else it stands in the record,
 * its compose text or its log lines.
 */
#ifndef DCM_REDACT_H
#define DCM_REDACT_H

#include "arena.h"
#include "config.h"

struct redact_rules {
	enum environment_mode mode;
	char *const *words; /* upper case */
	size_t n_words;
};
struct secrets { /* values to look for, in the caller's arena */
	struct dcm_str *v;
	size_t n, room;
};
/* Finds the secrets of rec's environment_vars and applies the mode to them and
 * to every text of the record.  In mode FULL nothing changes. */
int redact_record(const struct redact_rules *rules, struct arena *a, struct dcm_record *rec,
		  struct secrets *found);
/* The text with every secret and URL password in it replaced. */
struct dcm_str redact_text(const struct redact_rules *rules, const struct secrets *s,
			   struct arena *a, struct dcm_str text);
/* The same for compose YAML: values of environment entries (map and list form)
 * by the same rule as environment_vars; their secrets are added to `s` first. */
struct dcm_str redact_compose(const struct redact_rules *rules, struct secrets *s,
			      struct arena *a, struct dcm_str text);

#endif
