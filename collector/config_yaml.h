/*
 * config_yaml.h - a YAML document as a tree of nodes that know their place.
 *
 * Private to the configuration.  libyaml is known to config_yaml.c alone.
 */
#ifndef DCM_CONFIG_YAML_H
#define DCM_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"

enum ykind { Y_SCALAR, Y_LIST, Y_MAP, Y_BAD /* what is wrong with it was told */ };
enum ytype { YT_NULL, YT_BOOL, YT_INT, YT_FLOAT, YT_STR, YT_LIST, YT_MAP, YT_BAD };

/* An alias is its anchor's own node, so a node may have several parents; there
 * are no cycles. */
struct ynode {
	enum ykind kind;
	unsigned line, column; /* of its first character, from 1 */
	const char *text;      /* SCALAR: NUL-terminated, without NUL inside */
	bool plain;	       /* SCALAR: without quotes, so its text has a type */
	struct ynode **item;   /* LIST: n items; MAP: n pairs of key, value */
	size_t n;
};

/* Is told each fault, where and what. */
struct yerrors {
	void (*tell)(void *arg, unsigned line, unsigned column, const char *what);
	void *arg;
};

enum {
	YAML_BYTES_MAX = 4 << 20,  /* of a file */
	YAML_DEPTH_MAX = 32,	   /* of nesting */
	YAML_NODES_MAX = 200000,
	YAML_ANCHORS_MAX = 1024,
};

/* Parses one document.  0 with *root (NULL: the text holds no document); a node that
 * is no good (an unknown tag or alias) was told and is Y_BAD.  -1: it was told why
 * nothing can be read.  Nodes live in the arena. */
int yaml_parse(const char *text, size_t len, struct arena *a, struct ynode **root,
	       const struct yerrors *errors);

/* What YAML 1.1 takes the node for. */
enum ytype ynode_type(const struct ynode *n);
const char *ytype_name(enum ytype t); /* "a string", for messages */

/* Values of scalars; false where the text is of another type or does not fit. */
bool ynode_bool(const struct ynode *n, bool *out);
bool ynode_int(const struct ynode *n, long long *out);
bool ynode_number(const struct ynode *n, double *out);

#endif
