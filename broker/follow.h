/*
 * follow.h - keeps the index true to the shared memory: lists hosts, takes the
 * shards' changes, and reads anew the tiers that changed.  A reader like any
 * other, over the public dcm.h; it never writes.
 *
 * Everything is done in steps of bounded time, so that the broker's loop goes on.
 * Between "a change was seen" and "its tiers are read" the index is behind, and
 * follow_query() does not answer from it.
 */
#ifndef DCM_FOLLOW_H
#define DCM_FOLLOW_H

#include "../shm/dcm.h"
#include "index.h"

struct follow;

/* Opens the instance.  Returns enum dcm_rc and the sentence in err. */
int follow_open(struct follow **out, const char *instance, const char *runtime_dir, char *err,
		size_t errlen);
void follow_close(struct follow **f);

/* Works for about `budget_us`.  *changed: something in the memory is new since the
 * last call.  true: more is to be done. */
bool follow_step(struct follow *f, unsigned budget_us, bool *changed);
/* Looks for hosts that left the directory, where rows changed since the last call. */
void follow_hosts(struct follow *f);

/* Any query of dcm.h.  DCM_OK: *refs[*n], until the next call.  DCM_EBROKER: the
 * index is behind, scan instead.  Else the sentence is in *error. */
int follow_query(struct follow *f, const struct dcm_query *q, const struct dcm_ref **refs,
		 uint32_t *n, const char **error);

/* The reader's own handle, for hosts and settings. */
dcm *follow_handle(struct follow *f);
const struct index *follow_index(const struct follow *f);

#endif
