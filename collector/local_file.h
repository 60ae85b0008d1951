/*
 * local_file.h - reads a file of this machine beside the event loop.
 *
 * One thread a read, so that a slow or dead file system holds up nothing; only
 * a regular file is read, and no component of its path may be a symbolic link.
 */
#ifndef DCM_LOCAL_FILE_H
#define DCM_LOCAL_FILE_H

#include <event2/event.h>
#include <stddef.h>

struct local_file;

/* Reads at most `max` bytes of `path` (absolute); done(arg, data, len, error) is
 * called once from the loop, error NULL on success; data lives during the call.
 * NULL: it could not be started, and done is not called. */
struct local_file *local_file_read(struct event_base *base, const char *path, size_t max,
				   void (*done)(void *arg, const char *data, size_t len,
						const char *error),
				   void *arg);
/* No call of done any more; a thread that still hangs frees its own. */
void local_file_cancel(struct local_file *f);

/* The blocking part: opens and reads.  Returns the length, or -1 with *error. */
long local_file_get(const char *path, char *buf, size_t max, const char **error);

#endif
