/*
 * config_check.h - maps of the document against tables of keys.  Private to the
 * configuration.
 *
 * A table says of each key its name, its type, its range and where its value
 * goes; check_map() does the rest: merge keys, duplicates, unknown keys, types,
 * ranges, ${VAR} and ~/, files.  Every fault becomes one sentence with its
 * place, and the walk goes on, so that one run reports them all.
 */
#ifndef DCM_CONFIG_CHECK_H
#define DCM_CONFIG_CHECK_H

#include "config.h"
#include "config_yaml.h"

enum {
	CONFIG_ERRORS_MAX = 4096, /* told of one file, and that there are more */
	CONFIG_VISITS_MAX = 200000, /* pairs looked at, merged ones each time */
	CONFIG_HOSTS_MAX = 1024,
	CONFIG_LIST_MAX = 1024,	  /* items of tags, redact */
};

struct checker {
	const char *path;   /* as errors name the file */
	char *base;	    /* absolute directory of relative paths */
	struct config_errors *errors;
	struct config *out; /* gets the warnings */
	size_t visits;
};

/* One sentence at a node; the format ends in "; expected …". */
void check_error(struct checker *c, const struct ynode *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void check_warn(struct checker *c, const struct ynode *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts the sentences that begin with `path` and a place in the file's order. */
void check_sort(char **sentences, size_t n, const char *path);
/* Sentences without a place. */
void errors_add(struct config_errors *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

enum key_type {
	KEY_STR,     /* char * */
	KEY_PATH,    /* char *, made absolute */
	KEY_FILE,    /* char *, made absolute; must be a file that exists */
	KEY_STRS,    /* char **, and its size_t count right behind it */
	KEY_BOOL,    /* bool */
	KEY_UINT,    /* unsigned */
	KEY_BYTES,   /* uint64_t */
	KEY_SECONDS, /* double */
	KEY_WORD,    /* int: index in `words` */
	KEY_AUTO,    /* unsigned, or the word auto: 0 */
	KEY_NODE,    /* const struct ynode *: looked at later; any type */
	KEY_LEGACY,  /* of the Python server: a warning, and passed over */
};

struct key {
	const char *name;
	enum key_type type;
	size_t offset;
	double min, max;
	const char *const *words;
};

/* The pairs of a map with its merge keys (<<) resolved: own ones win, then the
 * earlier of the merged. */
struct pairs {
	struct pair {
		const struct ynode *key, *value;
	} *v;
	size_t n, room;
};
int check_pairs(struct checker *c, const struct ynode *map, const char *what, struct pairs *out);
const struct pair *pairs_find(const struct pairs *p, const char *key);

/* Fills the members of `base` that the map gives; `what` names the map in
 * sentences: "a host", "cache", …. */
void check_map(struct checker *c, const struct pairs *p, const char *what, const struct key *keys,
	       size_t n_keys, void *base);

/* The absolute path of `text` as the file means it; NULL: out of memory. */
char *check_path(const struct checker *c, const char *text);

#endif
