/* snapshot_job.c - one snapshot on its way to the disk; see snapshot_job.h. */
#include "snapshot_job.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snapshot_disk.h"

enum { WRITER_STACK = 256 << 10 };

struct snapshot_job {
	struct snapshot_head head;
	const char *dir;
	size_t max;
	bool aside;
	/* the copy */
	struct record_buf content;
	uint32_t generation, next; /* where the next slice begins; 0: nothing is copied yet */
	/* the writer */
	pthread_t thread;
	bool started;
	int bell;
	int rc;
	char error[SNAPSHOT_DISK_ERR];
};

struct snapshot_job *snapshot_job_new(const struct snapshot_head *head, const char *dir,
				      size_t max, bool aside)
{
	struct snapshot_job *j = calloc(1, sizeof(*j));

	if (j)
		*j = (struct snapshot_job){.head = *head, .dir = dir, .max = max, .aside = aside};
	return j;
}

static int fail(struct snapshot_job *j, int rc)
{
	snprintf(j->error, sizeof(j->error), "%s",
		 rc == -E2BIG ? "the snapshot would be larger than shard_limit: raise it"
			      : "no memory for the snapshot: raise the limits");
	return rc;
}

/* ---- the copy ---------------------------------------------------------------------- */

struct slice {
	struct snapshot_job *job;
	size_t left, until; /* items; bytes of the content */
	int rc;
};

static bool take(const struct region_item *item, void *arg)
{
	struct slice *s = arg;

	s->rc = snapshot_pack(&s->job->content, s->job->max, item);
	return !s->rc && --s->left && s->job->content.len < s->until;
}

int snapshot_job_copy(struct snapshot_job *j, struct region *r, size_t most)
{
	struct slice s = {.job = j, .left = most};
	struct region_item self;

	if (!j->next || j->generation != region_generation(r)) {
		j->content.len = 0;
		j->generation = region_generation(r);
		j->next = 1;
		region_get_self(r, &self);
		s.rc = snapshot_pack(&j->content, j->max, &self);
	}
	s.until = j->content.len + SNAPSHOT_SLICE_BYTES;
	if (most == SNAPSHOT_ALL)
		s.left = s.until = SIZE_MAX;
	if (!s.rc)
		j->next = region_each_from(r, j->next, take, &s);
	if (s.rc)
		return fail(j, s.rc);
	return j->next != 0;
}

/* ---- the writer -------------------------------------------------------------------- */

int snapshot_job_run(struct snapshot_job *j)
{
	struct record_buf file = {0};
	char to[160];

	j->rc = snapshot_seal(&j->head, &j->content, &file, j->max);
	record_buf_free(&j->content); /* it may be a gigabyte */
	if (j->rc)
		fail(j, j->rc);
	if (!j->rc && j->aside)
		j->rc = snapshot_disk_set_aside(j->dir, j->head.host, to, sizeof(to), j->error);
	if (j->rc == -ENOENT) /* somebody has cleared it away */
		j->rc = 0;
	if (!j->rc)
		j->rc = snapshot_disk_write(j->dir, j->head.host, file.data, file.len,
					    j->head.time, j->error);
	record_buf_free(&file);
	return j->rc;
}

static void *writer(void *arg)
{
	struct snapshot_job *j = arg;
	uint64_t one = 1;

	snapshot_job_run(j);
	if (write(j->bell, &one, sizeof(one)) < 0)
		return NULL; /* it cannot be full */
	return NULL;
}

int snapshot_job_start(struct snapshot_job *j, int bell)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int rc;

	j->bell = bell;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WRITER_STACK);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&j->thread, &attr, writer, j);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	j->started = !rc;
	if (rc)
		snprintf(j->error, sizeof(j->error),
			 "no thread for the snapshot: %s: raise the limits", strerror(rc));
	return -rc;
}

bool snapshot_job_started(const struct snapshot_job *j)
{
	return j->started;
}

int snapshot_job_wait(struct snapshot_job *j)
{
	pthread_join(j->thread, NULL);
	j->started = false;
	return j->rc;
}

const char *snapshot_job_error(const struct snapshot_job *j)
{
	return j->error;
}

void snapshot_job_free(struct snapshot_job **j)
{
	if (*j)
		record_buf_free(&(*j)->content);
	free(*j);
	*j = NULL;
}
