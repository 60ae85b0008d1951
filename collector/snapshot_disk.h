/*
 * snapshot_disk.h - the files of snapshots in the state directory: one for each
 * host, HOST.snap; HOST.snap.bad-N, set aside; HOST.snap.tmp-PID, being written.
 * Blocking I/O and nothing else: called at the start, at the stop, and from the
 * thread that writes (snapshot_job.c).
 */
#ifndef DCM_SNAPSHOT_DISK_H
#define DCM_SNAPSHOT_DISK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SNAPSHOT_BAD_KEPT = 3, SNAPSHOT_DISK_ERR = 320 };

/* Reads DIR/HOST.snap whole; the caller frees.  0; -ENOENT: there is none;
 * -EINVAL: it must be set aside; another -errno: it could not be read for now.
 * err[SNAPSHOT_DISK_ERR] has the sentence. */
int snapshot_disk_read(const char *dir, const char *host, uid_t uid, uint64_t max, void **data,
		       size_t *len, char *err);
/* Replaces it: a new file, fsync, rename, fsync of the directory.  `time` becomes
 * its mtime, by which it gets too old.  0, or -errno and what was there stays. */
int snapshot_disk_write(const char *dir, const char *host, const void *data, size_t len,
			double time, char *err);
/* Renames it to HOST.snap.bad-N, and removes the oldest of more than
 * SNAPSHOT_BAD_KEPT.  The new name in to[len].  0, or -errno with err. */
int snapshot_disk_set_aside(const char *dir, const char *host, char *to, size_t len, char *err);
/* 0 also where there is none. */
int snapshot_disk_remove(const char *dir, const char *host, char *err);
/* What a writer that died left half written: there is one writer, the caller. */
void snapshot_disk_tidy(const char *dir, const char *host);

#endif
