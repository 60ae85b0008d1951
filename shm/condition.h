/*
 * condition.h - conditions: named states, with a begin and an end, of a process of
 * dcmd that a person should know of ("nothing new fits into memory").
 *
 * Setting one that is not in force writes one log line, and so does clearing one
 * that is; in between its sentence may change without a word.  What is in force is
 * published by the owner: a collector in its host's row, the supervisor in
 * struct dcm_info; `dcm-client stats` and `doctor` show it.  The broker's go to the
 * supervisor (CONTROL_CONDITION), which publishes them with its own.
 *
 *	condition_set(&c->conditions, COND_SHARD_FULL, "make room in /dev/shm",
 *		      "%s cannot grow: %s", object, strerror(rc));
 *	...
 *	condition_clear(&c->conditions, COND_SHARD_FULL);
 */
#ifndef DCM_CONDITION_H
#define DCM_CONDITION_H

#include "dcm.h"

/*
 * X(name, event at the begin, event at the end, what the end says).  The first event
 * is the condition's name to readers, too.  Both are in docs/operations.md, and what
 * is a fault rather than a warning is said in client/doctor_hosts.c.
 */
#define CONDITIONS(X)                                                                        \
	X(SHARD_FULL, "shard_full", "shard_ok", "all that is known fits into memory again")  \
	X(SNAPSHOT, "snapshot_failed", "snapshot_ok", "snapshots are written again")         \
	X(STATS_STRETCHED, "stats_stretched", "stats_ok", "stats come in time again")        \
	X(DIRECTORY_BEHIND, "directory_behind", "directory_ok", "the directory is up to date") \
	X(DESCRIPTORS, "descriptors_short", "descriptors_ok", "there are descriptors enough") \
	X(SHARD_WAITS, "shard_waits", "shard_made", "every host has its memory again")       \
	X(NOT_STARTED, "child_not_started", "children_started", "every process runs again")  \
	X(NOT_CONFINED, "not_confined", "confined", "all processes have given up what they can")

enum condition {
#define CONDITION_ENUM(name, begin, end, says) COND_##name,
	CONDITIONS(CONDITION_ENUM)
#undef CONDITION_ENUM
	COND_COUNT
};

enum { CONDITION_TEXT = 256 }; /* bytes of a sentence; longer ones are cut before the mend */

struct conditions {
	const char *host;	   /* for the log, or NULL */
	void (*changed)(void *arg); /* what is in force, or a sentence of it, is another */
	void *arg;
	struct {
		bool on;
		char text[CONDITION_TEXT]; /* "what: mend" */
	} of[COND_COUNT];
};

/* changed is called from within set and clear: let it do no more than note it. */
void conditions_init(struct conditions *c, const char *host, void (*changed)(void *arg),
		     void *arg);
/* The condition is in force; what is wrong, and why.  The mend holds no ": ". */
void condition_set(struct conditions *c, enum condition which, const char *mend, const char *fmt,
		   ...) __attribute__((format(printf, 4, 5)));
/* It is over; nothing where it was not in force. */
void condition_clear(struct conditions *c, enum condition which);
static inline bool condition_on(const struct conditions *c, enum condition which)
{
	return c->of[which].on;
}
/* What another process that has logged it has in force: text NULL, none. */
void condition_relay(struct conditions *c, enum condition which, const char *text);
void conditions_relay_none(struct conditions *c); /* that process has ended */
/* Those in force, as rows publish them: names and sentences. */
struct condition_list {
	struct dcm_str names[COND_COUNT], warnings[COND_COUNT];
	uint32_t n;
};
/* Adds those of `c`, which must outlive the list; what is full takes no more. */
void conditions_list(const struct conditions *c, struct condition_list *list);

#endif
