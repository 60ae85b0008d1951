/*
 * hold_instance.h - holds an instance's lock, as its supervisor would, so that no
 * broker that runs on this machine takes a test's objects for orphans.
 */
#ifndef DCM_HOLD_INSTANCE_H
#define DCM_HOLD_INSTANCE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../shm/names.h"

static inline void hold_instance(const char *instance)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char object[DCM_OBJECT_NAME_MAX];
	int fd;

	names_lock(object, getuid(), instance);
	fd = shm_open(object, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		perror(object);
		exit(3);
	}
	/* The descriptor stays open: the lock goes with the last process. */
}

static inline void release_instance(const char *instance)
{
	char object[DCM_OBJECT_NAME_MAX];

	names_lock(object, getuid(), instance);
	shm_unlink(object);
}

#endif
