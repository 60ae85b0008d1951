/*
 * confine_kernel.c - seccomp, Landlock and capabilities, spoken to directly.
 *
 * The filter is a list: native architecture, then one comparison a rule.  libseccomp
 * could write it as well; it is left out because the list is all that is needed, and
 * its tables of all architectures would be in every collector's memory.  The kernel
 * remembers which calls pass whatever their arguments are, so the length of the list
 * costs nothing at run time (Linux 5.11 and later).
 *
 * A call that is not in a CONFINE_ONLY list fails with ENOSYS, not EPERM: a libc of
 * later years that tries a newer call first takes that for an older kernel, and falls
 * back to the call that it used before.  SECCOMP_FILTER_FLAG_LOG has the kernel's audit
 * log name each call that was refused.
 */
#include "confine_impl.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

/* ---- system calls --------------------------------------------------------- */

#if defined(__x86_64__) && !defined(__ILP32__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && __BYTE_ORDER == __LITTLE_ENDIAN
#define NATIVE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE AUDIT_ARCH_RISCV64
#endif

enum {
	CALLS_MAX = 160,
	X32 = 0x40000000, /* x86-64's second table of the same calls */
	HEAD = 6, A_RULE = 6, /* instructions */
	/* No mitigation that slows the whole process down, as older kernels put on: what
	 * runs here is our own. */
	FLAGS = SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
	NUMBER = offsetof(struct seccomp_data, nr),
	ARCH = offsetof(struct seccomp_data, arch),
	ARGUMENTS = offsetof(struct seccomp_data, args), /* 8 bytes each, the low half first */
};

#ifdef NATIVE
struct program {
	struct sock_filter f[HEAD + CALLS_MAX * A_RULE + 1];
	unsigned short n;
};

static void load(struct program *p, uint32_t at)
{
	p->f[p->n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at);
}

/* Where `how` does not hold, the next `skip` instructions are passed over. */
static void unless(struct program *p, uint16_t how, uint32_t value, uint8_t skip)
{
	p->f[p->n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | how | BPF_K, value, 0, skip);
}

static void end(struct program *p, uint32_t verdict)
{
	p->f[p->n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict);
}

static void add_call(struct program *p, const struct confine_call *c, uint32_t verdict)
{
	unless(p, BPF_JEQ, (uint32_t)c->nr, c->tested ? 5 : 1);
	if (c->tested) {
		load(p, ARGUMENTS + 8u * c->arg);
		p->f[p->n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, c->mask);
		unless(p, BPF_JEQ, c->value, 1);
	}
	end(p, verdict);
	if (c->tested)
		load(p, NUMBER);
}

int confine_calls(const struct confine_call *calls, size_t n, enum confine_rule rule)
{
	const uint32_t unknown = SECCOMP_RET_ERRNO | ENOSYS;
	struct program p = {.n = 0};
	struct sock_fprog prog = {.filter = p.f};

	if (n > CALLS_MAX)
		return -E2BIG;
	load(&p, ARCH);
	p.f[p.n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0);
	end(&p, unknown);
	load(&p, NUMBER);
	unless(&p, BPF_JGE, X32, 1);
	end(&p, unknown);
	for (size_t i = 0; i < n; i++)
		add_call(&p, &calls[i],
			 rule == CONFINE_DENY ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ALLOW);
	end(&p, rule == CONFINE_DENY ? SECCOMP_RET_ALLOW : unknown);
	prog.len = p.n;
	/* Not by prctl(): valgrind passes that on, and this would bind valgrind itself. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, FLAGS, &prog))
		return -errno;
	return 0;
}
#else
int confine_calls(const struct confine_call *calls, size_t n, enum confine_rule rule)
{
	(void)calls;
	(void)n;
	(void)rule;
	return -ENOSYS; /* a machine whose calls are not numbered here */
}
#endif

/* ---- files ---------------------------------------------------------------- */

static long landlock_version(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

int confine_files_known(void)
{
	return landlock_version() < 1 ? -errno : 0;
}

/* What the kernel's version of Landlock knows; 0: there is none. */
static uint64_t known_rights(void)
{
	long version = landlock_version();
	uint64_t rights = 0;

	if (version >= 1)
		rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
	if (version >= 2)
		rights |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (version >= 5)
		rights |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	return rights;
}

static int allow_path(int ruleset, const struct confine_path *p, uint64_t known)
{
	const uint64_t of_files = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				  LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_TRUNCATE |
				  LANDLOCK_ACCESS_FS_IOCTL_DEV;
	struct landlock_path_beneath_attr rule = {.allowed_access = p->rights & known};
	struct stat st;
	int rc;

	rule.parent_fd = open(p->path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return 0;
	if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= of_files;
	rc = rule.allowed_access ? (int)syscall(SYS_landlock_add_rule, ruleset,
						LANDLOCK_RULE_PATH_BENEATH, &rule, 0)
				 : 0;
	rc = rc ? -errno : 0;
	close(rule.parent_fd);
	return rc;
}

int confine_files(uint64_t rights, const struct confine_path *paths, size_t n)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = rights & known_rights()};
	int ruleset, rc = 0;

	if (!attr.handled_access_fs)
		return -ENOSYS;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return -errno;
	for (size_t i = 0; !rc && i < n; i++)
		rc = allow_path(ruleset, &paths[i], attr.handled_access_fs);
	if (!rc && syscall(SYS_landlock_restrict_self, ruleset, 0))
		rc = -errno;
	close(ruleset);
	return rc;
}

/* ---- capabilities --------------------------------------------------------- */

int confine_capabilities(uint64_t keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, d))
		return -errno;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		d[i].permitted &= (uint32_t)(keep >> 32 * i);
		d[i].effective &= d[i].permitted;
		d[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, d) ? -errno : 0;
}
