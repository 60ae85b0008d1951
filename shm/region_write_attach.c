/*
 * region_write_attach.c - a writer comes: it takes over what its predecessor
 * left, or makes a new generation.
 *
 * Names in /dev/shm can be squatted by anyone.  So an object is made with
 * O_EXCL and nothing else, is taken over only where this user owns it and its
 * mode is ours, and gets its group and mode before its magic.  A generation
 * whose name somebody else holds is passed over, and the note says so.
 */
#include "clock.h"
#include "region_impl.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "region_read.h"

enum {
	FIRST_SIZE = 64 << 10,
	FIRST_LOG2 = 7,	      /* of the tables' buckets */
	GENERATIONS_MAX = 64, /* that are looked at; what is older goes unseen */
	SQUATTED_MAX = 64,    /* names passed over before giving up */
	MODE = 0640,
	EPOCH_BEFORE = 4 * 366 * 86400, /* times of before the start can be said, too */
};

/* ---- the process's side --------------------------------------------------------- */

struct region *region_new(const struct region_spec *spec)
{
	struct region *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->fd = -1;
	r->spec = *spec;
	snprintf(r->instance, sizeof(r->instance), "%s", spec->instance);
	snprintf(r->host, sizeof(r->host), "%s", spec->host ? spec->host : "");
	r->spec.instance = r->instance;
	r->spec.host = r->host;
	return r;
}

static int region_map_object(struct region *r)
{
	void *p =
	    mmap(NULL, DCM_MAP_SPAN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, r->fd, 0);

	if (p == MAP_FAILED)
		return region_fail(r, errno,
				   "cannot map %s: %s; it takes 4 GiB of addresses (see ulimit -v)",
				   r->object, strerror(errno));
	r->base = p;
	r->h = p;
	r->by_id = (struct region_table){.slot = &r->h->table_id};
	r->by_name = (struct region_table){.slot = &r->h->table_name, .by_name = true};
	return 0;
}

void region_unmap(struct region *r)
{
	if (r->base)
		munmap(r->base, DCM_MAP_SPAN);
	if (r->fd >= 0)
		close(r->fd);
	r->base = NULL;
	r->h = NULL;
	r->fd = -1;
	space_release(&r->space);
	free(r->unused);
	r->unused = NULL;
	r->n_unused = r->room_unused = r->shadowed = 0;
}

static void object_name(struct region *r, uint32_t generation)
{
	r->generation = generation;
	if (r->spec.kind == REGION_DIRECTORY)
		names_directory(r->object, r->spec.uid, r->instance);
	else
		names_shard(r->object, r->spec.uid, r->instance, r->host, generation);
}

static void read_boot_id(char id[40])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	memset(id, 0, 40);
	if (f) {
		if (!fgets(id, 40, f))
			id[0] = '\0';
		fclose(f);
	}
	id[strcspn(id, "\n")] = '\0';
}

/* ---- a new generation ------------------------------------------------------------- */

static void fill_identity(struct region *r)
{
	struct dcm_header *h = r->h;
	uint32_t base;

	REGION_STORE();
	h->abi_major = DCM_ABI_MAJOR;
	h->abi_minor = DCM_ABI_MINOR;
	h->canary = DCM_CANARY;
	h->layout_hash = region_layout_hash();
	h->header_size = sizeof(*h);
	h->entry_size = DCM_ENTRY_SIZE;
	h->change_slots = DCM_CHANGES;
	h->kind = r->spec.kind;
	h->generation = r->generation;
	st_i64(&h->epoch, (int64_t)region_wall() - EPOCH_BEFORE);
	st_i64(&h->clock, clock_between(CLOCK_REALTIME, CLOCK_BOOTTIME));
	h->changes_offset = DCM_PAGE;
	read_boot_id(h->boot_id);
	memcpy(h->host, r->host, sizeof(h->host));
	/* A random start, so that a reference from before a restart does not
	 * happen to fit another container. */
	if (getrandom(h->seed, sizeof(h->seed), 0) != sizeof(h->seed) ||
	    getrandom(&base, sizeof(base), 0) != sizeof(base)) {
		h->seed[0] = region_now();
		base = (uint32_t)region_now();
	}
	h->generation_base = (base & 0x3fffffff) | 1;
}

/* The object of r->generation, empty: 0, -EEXIST, or another -errno. */
static int create_object(struct region *r)
{
	int rc;

	r->fd = shm_open(r->object, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r->fd < 0)
		return region_fail(r, errno, "cannot make the shared memory %s: %s", r->object,
				   strerror(errno));
	if (fchown(r->fd, (uid_t)-1, r->spec.gid) < 0)
		rc = region_fail(r, errno,
				 "cannot give %s to group %u: %s; --group must be one of yours",
				 r->object, (unsigned)r->spec.gid, strerror(errno));
	else if (fchmod(r->fd, MODE) < 0)
		rc = region_fail(r, errno, "cannot set the mode of %s: %s", r->object,
				 strerror(errno));
	else
		rc = 0;
	if (rc == 0) {
		rc = posix_fallocate(r->fd, 0, FIRST_SIZE);
		if (rc)
			rc = region_fail(r, rc, "no room for %s: %s; make room in /dev/shm",
					 r->object, strerror(rc));
	}
	if (rc == 0)
		rc = region_map_object(r);
	if (rc < 0) {
		shm_unlink(r->object);
		region_unmap(r);
	}
	return rc;
}

static int create_content(struct region *r)
{
	struct region_extent none;

	st_64_release(&r->h->data_limit, FIRST_SIZE);
	fill_identity(r);
	space_rebuild(r, &none, 0, (DCM_PAGE + DCM_CHANGES * 8) / DCM_UNIT);
	if (chunk_make(r, 0) < 0 || table_make(r, &r->by_id, FIRST_LOG2) < 0 ||
	    table_make(r, &r->by_name, FIRST_LOG2) < 0)
		return -ENOSPC;
	st_32(&entry_of(r, DCM_SELF)->generation, r->h->generation_base + 1);
	st_32_release(&r->h->entries, 1);
	return 0;
}

int region_create(struct region *r, uint32_t generation, char *note, size_t notelen)
{
	int rc = 0;

	for (uint32_t i = 0; i < SQUATTED_MAX; i++) {
		object_name(r, generation + i);
		rc = create_object(r);
		if (rc == 0 && i > 0)
			snprintf(
			    note, notelen,
			    "%u name(s) before %s belong to another user and were passed over: "
			    "see who made them in /dev/shm",
			    i, r->object);
		if (rc != -EEXIST || r->spec.kind == REGION_DIRECTORY)
			break;
	}
	if (rc == -EEXIST)
		return region_fail(r, EEXIST,
				   "%s exists and is not this user's: remove it from /dev/shm",
				   r->object);
	if (rc < 0)
		return rc;
	rc = create_content(r);
	if (rc < 0) {
		shm_unlink(r->object);
		region_unmap(r);
	}
	return rc;
}

void region_go_live(struct region *r)
{
	region_follow_clock(r); /* it may have been set while nobody wrote */
	st_64(&r->h->heartbeat, region_now());
	st_64(&r->h->bytes_live, space_live(r));
	st_32(&r->h->incarnation, ld(&r->h->incarnation) + 1);
	st_32(&r->h->state, DCM_REGION_LIVE);
	st_32_release(&r->h->magic, DCM_MAGIC);
}

/* ---- what a predecessor left ------------------------------------------------------- */

/* Whether an object is this user's, with our mode: only then it is touched. */
static bool object_ours(int fd, const struct region_spec *spec, struct stat *st)
{
	return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_uid == spec->uid;
}

static const char *identity_fault(const struct region *r)
{
	const struct dcm_header *h = r->h;
	char boot[40];

	read_boot_id(boot);
	if (ld(&h->magic) != DCM_MAGIC)
		return "it was never finished";
	if (h->canary != DCM_CANARY || h->abi_major != DCM_ABI_MAJOR ||
	    h->abi_minor != DCM_ABI_MINOR || h->layout_hash != region_layout_hash() ||
	    h->header_size != sizeof(*h) || h->entry_size != DCM_ENTRY_SIZE ||
	    h->change_slots != DCM_CHANGES || h->changes_offset != DCM_PAGE)
		return "its layout is of another version";
	if (memcmp(h->boot_id, boot, sizeof(boot)) != 0)
		return "it is of another boot";
	if (h->kind != (uint32_t)r->spec.kind || memcmp(h->host, r->host, sizeof(h->host)) != 0 ||
	    (r->spec.kind == REGION_SHARD && h->generation != r->generation))
		return "it is not what its name says";
	if (ld(&h->state) != DCM_REGION_LIVE)
		return "it was replaced";
	return NULL;
}

/* Opens, maps and checks the object of `generation`; 0 when it is taken over. */
static int take_over(struct region *r, uint32_t generation)
{
	struct stat st;
	const char *fault;
	uint64_t limit;
	int rc = 0;

	object_name(r, generation);
	r->fd = shm_open(r->object, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
	if (r->fd < 0)
		return region_fail(r, errno, "cannot open %s: %s", r->object, strerror(errno));
	if (!object_ours(r->fd, &r->spec, &st) || (st.st_mode & 07777) != MODE)
		rc = region_fail(r, EPERM, "%s has another owner or mode", r->object);
	else if (st.st_size < FIRST_SIZE || st.st_size > (off_t)DCM_MAP_SPAN ||
		 st.st_size % DCM_PAGE != 0)
		rc = region_fail(r, EUCLEAN, "%s has a wrong size", r->object);
	else if (st.st_gid != r->spec.gid && fchown(r->fd, (uid_t)-1, r->spec.gid) < 0)
		rc = region_fail(r, EPERM, "%s cannot be given to its group", r->object);
	else
		rc = region_map_object(r);
	if (rc == 0) {
		fault = identity_fault(r);
		limit = ld(&r->h->data_limit);
		if (fault)
			rc = region_fail(r, EUCLEAN, "%s: %s", r->object, fault);
		else if (limit > (uint64_t)st.st_size || limit < FIRST_SIZE ||
			 limit % DCM_PAGE != 0)
			rc = region_fail(r, EUCLEAN, "%s: its limit is not its size", r->object);
		else
			rc = region_verify(r);
	}
	if (rc < 0) {
		region_unmap(r);
		return rc;
	}
	/* The file may have grown just before the predecessor ended. */
	if (ld(&r->h->data_limit) < (uint64_t)st.st_size)
		st_64_release(&r->h->data_limit, (uint64_t)st.st_size);
	return 0;
}

/* Takes an object out of use: readers that have it mapped are told which
 * generation to look for, as far as its header can be trusted. */
static void retire_object(struct region *r, const char *object, uint32_t successor)
{
	struct dcm_header *h = MAP_FAILED;
	struct stat st;
	int fd = shm_open(object, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);

	if (fd >= 0 && object_ours(fd, &r->spec, &st) && st.st_size >= DCM_PAGE)
		h = mmap(NULL, DCM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (h != MAP_FAILED) {
		if (ld(&h->magic) == DCM_MAGIC && h->layout_hash == region_layout_hash() &&
		    ld(&h->state) == DCM_REGION_LIVE)
			region_retire(h, successor);
		munmap(h, DCM_PAGE);
	}
	if (fd >= 0)
		close(fd);
	shm_unlink(object);
}

static int newest_first(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x > y ? -1 : x < y;
}

/* The generations of this region in /dev/shm that this user owns. */
static uint32_t list_generations(const struct region *r, uint32_t out[GENERATIONS_MAX])
{
	DIR *d = opendir("/dev/shm");
	struct names_parsed p;
	struct dirent *e;
	struct stat st;
	uint32_t n = 0;

	while (d && n < GENERATIONS_MAX && (e = readdir(d)) != NULL) {
		if (!names_parse(e->d_name, &p) || p.uid != r->spec.uid ||
		    strcmp(p.instance, r->instance) != 0)
			continue;
		if (r->spec.kind == REGION_DIRECTORY
			? p.kind != NAMES_DIRECTORY
			: p.kind != NAMES_SHARD || strcmp(p.host, r->host) != 0)
			continue;
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_uid == r->spec.uid)
			out[n++] = p.generation;
	}
	if (d)
		closedir(d);
	qsort(out, n, sizeof(*out), newest_first);
	return n;
}

static int attach_or_create(struct region *r, bool *reattached, char *note, size_t notelen)
{
	uint32_t found[GENERATIONS_MAX], n = list_generations(r, found), i, taken;
	uint32_t next = n && found[0] < UINT32_MAX - SQUATTED_MAX ? found[0] + 1 : 1;
	char object[DCM_OBJECT_NAME_MAX];
	int rc = -ENOENT;

	for (i = 0; i < n && rc < 0; i++) {
		rc = take_over(r, found[i]);
		if (rc < 0 && rc != -EUCLEAN && rc != -EPERM && rc != -EACCES && rc != -ENOENT)
			return rc; /* nothing is wrong with it: try again later */
		if (rc < 0) {
			snprintf(note, notelen, "made anew: %s", r->err);
			memcpy(object, r->object, sizeof(object));
			retire_object(r, object, next);
		}
	}
	*reattached = rc == 0;
	taken = i;
	if (rc < 0)
		rc = region_create(r, next, note, notelen);
	if (rc < 0)
		return rc;
	for (i = taken; i < n; i++) {
		names_shard(object, r->spec.uid, r->instance, r->host, found[i]);
		retire_object(r, object, r->generation);
	}
	blob_spare(r);
	region_go_live(r);
	return 0;
}

int region_open(struct region **out, const struct region_spec *spec, bool *reattached, char *err,
		size_t errlen)
{
	struct region *r;
	bool again = false;
	int rc;

	*out = NULL;
	if (errlen)
		err[0] = '\0';
	if (!names_id_valid(spec->instance, DCM_INSTANCE_MAX) ||
	    (spec->kind == REGION_SHARD && !names_id_valid(spec->host, DCM_HOST_ID_MAX))) {
		snprintf(err, errlen, "not a valid name of an instance or host");
		return -EINVAL;
	}
	r = region_new(spec);
	if (!r) {
		snprintf(err, errlen, "no memory");
		return -ENOMEM;
	}
	rc = attach_or_create(r, &again, err, errlen);
	if (rc < 0) {
		snprintf(err, errlen, "%s", r->err);
		region_close(&r, false);
		return rc;
	}
	r->err[0] = '\0';
	if (reattached)
		*reattached = again;
	*out = r;
	return 0;
}

void region_close(struct region **rp, bool unlink_it)
{
	struct region *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	if (unlink_it && r->base) {
		shm_unlink(r->object);
		region_retire(r->h, 0); /* by nothing: whoever waits need not wait for beats */
	}
	region_unlink_old(r);
	region_unmap(r);
	free(r);
}
