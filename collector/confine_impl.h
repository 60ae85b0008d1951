/*
 * confine_impl.h - the kernel's ways to give something up, for confine.c, which says
 * what: system calls (seccomp), files (Landlock), capabilities.
 *
 * Each returns 0, or -errno where the kernel cannot or will not; nothing is given up
 * then.
 */
#ifndef DCM_CONFINE_IMPL_H
#define DCM_CONFINE_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <linux/landlock.h>

/* Rights that came after the headers of Linux 6.1. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

/* ---- system calls --------------------------------------------------------- */

/* A system call, or (`tested`) one whose argument `arg`, of which the bits of `mask`
 * count, is `value`.  Several rules of one call: one that fits is enough. */
struct confine_call {
	int nr;
	uint8_t tested, arg;
	uint32_t mask, value;
};
enum confine_rule {
	CONFINE_DENY, /* these fail with EPERM, all others are let through */
	CONFINE_ONLY, /* all but these fail with ENOSYS */
};
int confine_calls(const struct confine_call *calls, size_t n, enum confine_rule rule);

/* ---- files ---------------------------------------------------------------- */

/* What may be done to a file, or below a directory; a path that is not there is
 * passed over. */
struct confine_path {
	const char *path;
	uint64_t rights; /* LANDLOCK_ACCESS_FS_… */
};
/* Of `rights` none is left but below these paths.  Rights that the kernel does not
 * know stay as they are. */
int confine_files(uint64_t rights, const struct confine_path *paths, size_t n);
int confine_files_known(void); /* 0: confine_files() can do something here */

/* ---- capabilities --------------------------------------------------------- */

/* Keeps those (bit n: capability n), as far as they are there. */
int confine_capabilities(uint64_t keep);

#endif
