/*
 * snapshot_job.h - one snapshot on its way from a region to the disk.
 *
 *	new -> copy, slice by slice, in the loop -> start -> (bell) wait -> free
 *	                                         or run, at the end of the collector
 *
 * A slice is bounded, so that a host of 100,000 containers holds the loop no longer
 * than one of a hundred does.  Each item is copied whole, but items of one snapshot may
 * be some slices apart: what changed meanwhile is in the next one.
 */
#ifndef DCM_SNAPSHOT_JOB_H
#define DCM_SNAPSHOT_JOB_H

#include <stdbool.h>
#include <stddef.h>

#include "../shm/snapshot.h"

struct snapshot_job;

/* Items of a slice, which ends after SNAPSHOT_SLICE_BYTES all the same. */
enum { SNAPSHOT_SLICE = 256, SNAPSHOT_ALL = 0, SNAPSHOT_SLICE_BYTES = 1 << 20 };

/* For the directory `dir` (it must live as long) and a file of at most `max` bytes;
 * aside: what stands in its place is bad, and set aside first.  NULL: no memory. */
struct snapshot_job *snapshot_job_new(const struct snapshot_head *head, const char *dir,
				      size_t max, bool aside);
/* Copies the next slice of `most` items; SNAPSHOT_ALL: all that is left.  1: there is
 * more; 0: it is whole; -E2BIG, -ENOMEM.  Where the region was renewed since the last
 * slice, its entries have moved: the copy begins anew. */
int snapshot_job_copy(struct snapshot_job *j, struct region *r, size_t most);

/* Writes it in a thread, which rings `bell` (an eventfd) at its end; 0 or -errno. */
int snapshot_job_start(struct snapshot_job *j, int bell);
bool snapshot_job_started(const struct snapshot_job *j);
int snapshot_job_wait(struct snapshot_job *j); /* what became of it; blocks until then */
int snapshot_job_run(struct snapshot_job *j);  /* the same without a thread */

/* The sentence of what failed last. */
const char *snapshot_job_error(const struct snapshot_job *j);
void snapshot_job_free(struct snapshot_job **j); /* not while its thread runs */

#endif
