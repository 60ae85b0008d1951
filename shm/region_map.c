/*
 * region_map.c - attaching to a region as a reader: whose object it is, whether
 * its header is of this layout, how far it may be read, and waiting for news.
 *
 * The mapping is longer than the file, and touching it beyond the file's end is
 * SIGBUS.  So `known` holds how many bytes were seen to be there, and a
 * data_limit above that is believed only after a probe: the kernel is asked to
 * read a word at its end, which fails by an error code instead of a signal.
 * This needs no descriptor (a reader of 500 hosts holds none), and works after
 * the object was unlinked or the process gave up its rights.  The file never
 * shrinks.
 */
#include "region_read.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "region_limit.h"

uint64_t region_layout_hash(void)
{
#define AT(type, member) ((uint32_t)offsetof(struct type, member))
	const uint32_t v[] = {
	    DCM_UNIT,
	    DCM_PAGE,
	    DCM_ENTRY_SIZE,
	    DCM_TIER_SLOTS,
	    DCM_CHUNKS,
	    DCM_CHUNK0,
	    DCM_HOME_CHUNK,
	    DCM_HOMES,
	    DCM_HOME_SIZE,
	    DCM_CHANGES,
	    DCM_TICKS,
	    DCM_BLOB_HEADER,
	    DCM_BLOB_NAME,
	    sizeof(struct dcm_header),
	    AT(dcm_header, layout_hash),
	    AT(dcm_header, kind),
	    AT(dcm_header, generation),
	    AT(dcm_header, epoch),
	    AT(dcm_header, boot_id),
	    AT(dcm_header, host),
	    AT(dcm_header, changes_offset),
	    AT(dcm_header, seed),
	    AT(dcm_header, clock),
	    AT(dcm_header, data_limit),
	    AT(dcm_header, state),
	    AT(dcm_header, entries),
	    AT(dcm_header, table_id),
	    AT(dcm_header, table_name),
	    AT(dcm_header, heartbeat),
	    AT(dcm_header, sequence),
	    AT(dcm_header, publish),
	    AT(dcm_header, change_head),
	    AT(dcm_header, chunk),
	    AT(dcm_entry, generation),
	    AT(dcm_entry, id),
	    AT(dcm_entry, name),
	    AT(dcm_entry, brief),
	    AT(dcm_entry, memory_usage),
	    AT(dcm_entry, ref),
	    AT(dcm_entry, verified),
	    AT(dcm_blob, seq),
	    AT(dcm_blob, entry),
	    AT(dcm_blob, generation),
	    AT(dcm_blob, tier),
	    AT(dcm_blob, length),
	    AT(dcm_blob, checksum),
	    AT(dcm_blob, written),
	};
#undef AT
	return XXH3_64bits(v, sizeof(v));
}

/* rt_sigprocmask() copies its set before it finds `how` to be invalid: EFAULT
 * where the word cannot be read, EINVAL where it can; nothing is changed. */
static bool can_read(const void *p)
{
	return syscall(SYS_rt_sigprocmask, ~0, p, NULL, sizeof(uint64_t)) == -1 && errno == EINVAL;
}

uint64_t region_limit_probe(const struct region_map *m, uint64_t limit)
{
	/* A cache of what the kernel said, shared by threads. */
	_Atomic uint64_t *known = (_Atomic uint64_t *)&m->known;
	uint64_t have = atomic_load_explicit(known, memory_order_relaxed);
	int saved = errno;

	if (limit > DCM_MAP_SPAN)
		limit = DCM_MAP_SPAN;
	limit &= ~(uint64_t)(DCM_PAGE - 1);
	if (limit > have && can_read(m->base + limit - sizeof(uint64_t))) {
		atomic_store_explicit(known, limit, memory_order_relaxed);
		have = limit;
	}
	errno = saved;
	return limit < have ? limit : have;
}

/* What must hold for the header before anything behind it is believed. */
static const char *header_fault(const struct dcm_header *h, uint64_t size)
{
	if (atomic_load_explicit(&h->magic, memory_order_acquire) != DCM_MAGIC)
		return "it is not finished, or not dcm's";
	if (h->canary != DCM_CANARY)
		return "its byte order is another";
	if (h->abi_major != DCM_ABI_MAJOR)
		return "its layout is of another version of dcm";
	if (h->layout_hash != region_layout_hash() || h->header_size != sizeof(struct dcm_header) ||
	    h->entry_size != DCM_ENTRY_SIZE || h->change_slots != DCM_CHANGES)
		return "its sizes and offsets are those of another build of dcm";
	if (h->changes_offset % DCM_UNIT != 0 || h->changes_offset < DCM_PAGE ||
	    h->changes_offset > size || size - h->changes_offset < DCM_CHANGES * 8)
		return "its change ring lies outside";
	return NULL;
}

static int open_trusted(const char *object, uid_t uid, struct stat *st, char *err, size_t errlen)
{
	int fd = shm_open(object, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);

	if (fd < 0) {
		if (errno == ENOENT) {
			snprintf(err, errlen, "no shared memory %s: dcmd is not running here",
				 object);
			return -DCM_ENOTRUNNING;
		}
		if (errno == EACCES || errno == ELOOP) {
			snprintf(
			    err, errlen,
			    "cannot read the shared memory %s: %s; join the group that dcmd runs "
			    "with (its --group), or ask as its user",
			    object, strerror(errno));
			return -DCM_EACCESS;
		}
		snprintf(err, errlen, "cannot open the shared memory %s: %s", object,
			 strerror(errno));
		return -DCM_ESYSTEM;
	}
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_uid != uid ||
	    (st->st_mode & (S_IWGRP | S_IWOTH))) {
		snprintf(err, errlen,
			 "the shared memory %s is not trusted: it must be a regular file of user "
			 "%u that "
			 "nobody else may write, and is of user %u with mode %o; remove it, then "
			 "start dcmd",
			 object, (unsigned)uid, (unsigned)st->st_uid,
			 (unsigned)st->st_mode & 07777);
		close(fd);
		return -DCM_EACCESS;
	}
	return fd;
}

int region_map_open(struct region_map *m, const char *object, uid_t uid, char *err, size_t errlen)
{
	struct stat st = {0};
	const char *fault;
	void *p;
	int fd;

	memset(m, 0, sizeof(*m));
	fd = open_trusted(object, uid, &st, err, errlen);
	if (fd < 0)
		return -fd;
	if (st.st_size < DCM_PAGE) {
		close(fd);
		snprintf(err, errlen, "the shared memory %s is being made: try again", object);
		return DCM_ELAYOUT;
	}
	p = mmap(NULL, DCM_MAP_SPAN, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	close(fd);
	if (p == MAP_FAILED) {
		snprintf(err, errlen,
			 "cannot map the shared memory %s: %s; it takes 4 GiB of addresses (see "
			 "ulimit -v)",
			 object, strerror(errno));
		return DCM_ESYSTEM;
	}
	m->base = p;
	m->h = p;
	m->inode = (uint64_t)st.st_ino;
	atomic_init(&m->known, (uint64_t)st.st_size & ~(uint64_t)(DCM_PAGE - 1));
	fault = header_fault(m->h, atomic_load(&m->known));
	if (!fault)
		return DCM_OK;
	snprintf(err, errlen,
		 "the shared memory %s cannot be read: %s; use the programs of one build, "
		 "or restart dcmd",
		 object, fault);
	region_map_close(m);
	return DCM_ELAYOUT;
}

void region_map_close(struct region_map *m)
{
	if (m->base)
		munmap((void *)(uintptr_t)m->base, DCM_MAP_SPAN);
	memset(m, 0, sizeof(*m));
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool region_wait(const struct region_map *m, uint32_t seen, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms, left = timeout_ms;
	struct timespec t;

	while (atomic_load_explicit(&m->h->publish, memory_order_acquire) == seen) {
		if (left <= 0)
			return false;
		t.tv_sec = left / 1000;
		t.tv_nsec = left % 1000 * 1000000;
		/* Not FUTEX_PRIVATE: the word is shared between processes. */
		if (syscall(SYS_futex, &m->h->publish, FUTEX_WAIT, seen, &t, NULL, 0) < 0 &&
		    errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT)
			return false;
		left = end - now_ms();
	}
	return true;
}
