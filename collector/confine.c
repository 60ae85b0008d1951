/*
 * confine.c - see confine.h: what each process gives up, as tables.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/capability.h>

#include "../shm/log.h"
#include "confine_impl.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CALL(name) {.nr = __NR_##name}
/* With argument `a` of these bits only. */
#define CALL_IF(name, a, m, v) {.nr = __NR_##name, .tested = 1, .arg = a, .mask = m, .value = v}

/* A sanitizer looks for leaks at the exit: by a process that traces this one, and by
 * what stands in /proc. */
#ifdef __has_feature /* clang's way to say it */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

/* What cannot be given up: found by the supervisor, which tells; children inherit that
 * it was told. */
static char missing[160];

static void note(const char *what, int rc)
{
	size_t len = strlen(missing);

	if (rc && !strstr(missing, what))
		snprintf(missing + len, sizeof(missing) - len, "%s%s: %s", len ? ", " : "", what,
			 strerror(-rc));
}

static void only_calls(const struct confine_call *calls, size_t n, enum confine_rule rule)
{
	note("system calls (seccomp)", confine_calls(calls, n, rule));
}

static void only_files(uint64_t rights, const struct confine_path *paths, size_t n)
{
	note("files (Landlock)", confine_files(rights, paths, n));
}

static void only_capabilities(uint64_t keep)
{
	note("capabilities", confine_capabilities(keep));
}

/* A child tells of what its supervisor could not foresee. */
static void tell(const char *host, size_t told)
{
	if (strlen(missing) > told)
		log_event(LOG_LEVEL_WARN, "not_confined", host, LF_STR("error", missing));
}

/* ---- everybody ------------------------------------------------------------ */

/* What neither dcmd nor an ssh that it starts has to do with: other processes' memory,
 * other file systems and namespaces, the kernel's modules, keys and tables, and two
 * ways past a filter (io_uring, and what acts in another's name).  ptrace is the first:
 * sanitizers need it. */
static const struct confine_call never[] = {
	CALL(ptrace),
	CALL(process_vm_readv), CALL(process_vm_writev), CALL(process_madvise),
	CALL(pidfd_getfd), CALL(kcmp), CALL(perf_event_open), CALL(userfaultfd), CALL(bpf),
	CALL(io_uring_setup), CALL(io_uring_enter), CALL(io_uring_register),
	CALL(mount), CALL(umount2), CALL(pivot_root), CALL(chroot), CALL(unshare), CALL(setns),
	CALL(open_tree), CALL(move_mount), CALL(fsopen), CALL(fsconfig), CALL(fsmount),
	CALL(fspick), CALL(mount_setattr), CALL(open_by_handle_at), CALL(quotactl), CALL(acct),
	CALL(swapon), CALL(swapoff), CALL(fanotify_init), CALL(mknodat),
	CALL(init_module), CALL(finit_module), CALL(delete_module), CALL(kexec_load),
	CALL(reboot), CALL(syslog), CALL(vhangup),
	CALL(keyctl), CALL(add_key), CALL(request_key),
	CALL(settimeofday), CALL(clock_settime), CALL(clock_adjtime), CALL(adjtimex),
	CALL(sethostname), CALL(setdomainname),
#ifdef __x86_64__
	CALL(mknod), CALL(iopl), CALL(ioperm), CALL(modify_ldt), CALL(kexec_file_load),
#endif
};

/* Where dcmd is root's: files of others are read (keys, sockets of engines), its own
 * given to --group; and an ssh may run a program as somebody else. */
static const uint64_t kept_by_all = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
				    1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER |
				    1u << CAP_SETUID | 1u << CAP_SETGID;
static const uint64_t kept_by_collectors = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
					   1u << CAP_DAC_READ_SEARCH;

const char *confine_all(void)
{
	const struct rlimit no_core = {0, 0};

	/* Neither a core file nor a debugger of the same user sees keys and secrets. */
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		note("programs (no_new_privs)", -errno);
	only_capabilities(kept_by_all);
	only_calls(never + sanitized, COUNT(never) - sanitized, CONFINE_DENY);
	note("files (Landlock)", confine_files_known()); /* children will need it */
	return *missing ? missing : NULL;
}

/* ---- where files may be --------------------------------------------------- */

/* STATE_DIR, above the instance's own directory: a collector makes that anew where it
 * was removed.  Where STATE_DIR itself is not there yet, what is above it. */
static void state_place(const struct child_env *env, char path[PATH_MAX])
{
	struct stat st;
	char *slash;

	snprintf(path, PATH_MAX, "%s", env->state_dir);
	do {
		slash = strrchr(path, '/');
		if (!slash || slash == path)
			return;
		*slash = '\0';
	} while (stat(path, &st) < 0);
}

/* ---- the broker ----------------------------------------------------------- */

/* All that it calls, and what libc and libevent may call in its place. */
static const struct confine_call broker_calls[] = {
	/* its sockets, all of which are there or are accepted: it makes and connects none */
	CALL(epoll_pwait), CALL(epoll_pwait2), CALL(epoll_ctl), CALL(epoll_create1), CALL(ppoll),
	CALL(pselect6), CALL(read), CALL(readv), CALL(write), CALL(writev), CALL(pwritev2),
	CALL(recvfrom), CALL(recvmsg), CALL(sendto), CALL(sendmsg), CALL(accept), CALL(accept4),
	CALL(getsockopt), CALL(setsockopt), CALL(getsockname), CALL(getpeername), CALL(shutdown),
	CALL_IF(ioctl, 1, ~0u, FIONREAD), CALL_IF(ioctl, 1, ~0u, TIOCOUTQ),
	CALL_IF(ioctl, 1, ~0u, TCGETS), CALL(fcntl), CALL(close), CALL(close_range), CALL(dup),
	CALL(dup3), CALL(pipe2), CALL(eventfd2), CALL(signalfd4), CALL(timerfd_create),
	CALL(timerfd_settime), CALL(timerfd_gettime),
	/* memory: nothing that was written is run */
	CALL_IF(mmap, 2, PROT_EXEC, 0), CALL_IF(mprotect, 2, PROT_EXEC, 0), CALL(munmap),
	CALL(mremap), CALL(madvise), CALL(brk), CALL(membarrier), CALL(mincore),
	/* files: below /dev/shm and STATE_DIR, if the kernel knows Landlock */
	CALL(openat), CALL(newfstatat), CALL(fstat), CALL(statx), CALL(fstatfs), CALL(statfs),
	CALL(faccessat), CALL(faccessat2), CALL(readlinkat), CALL(getdents64), CALL(lseek),
	CALL(pread64), CALL(preadv), CALL(preadv2), CALL(unlinkat),
	/* itself */
	CALL(clock_gettime), CALL(clock_getres), CALL(gettimeofday), CALL(nanosleep),
	CALL(clock_nanosleep), CALL(getrandom), CALL(futex), CALL(sched_yield),
	CALL(sched_getaffinity), CALL(getcpu), CALL(rseq), CALL(sysinfo), CALL(uname),
	CALL(getpid), CALL(gettid), CALL(getppid), CALL(getuid), CALL(geteuid), CALL(getgid),
	CALL(getegid), CALL(getrusage), CALL_IF(prlimit64, 0, ~0u, 0),
	CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(sigaltstack),
	CALL(restart_syscall), CALL(exit), CALL(exit_group),
#ifdef __x86_64__
	CALL(epoll_wait), CALL(epoll_create), CALL(poll), CALL(select), CALL(pipe), CALL(dup2),
	CALL(open), CALL(stat), CALL(lstat), CALL(access), CALL(readlink), CALL(unlink),
	CALL(getdents), CALL(time), CALL(getrlimit), CALL(setrlimit),
#endif
};

void confine_broker(const struct child_env *env)
{
	size_t told = strlen(missing);
	char state[PATH_MAX];
	const struct confine_path places[] = {
		{"/dev/shm", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
				     LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
				     LANDLOCK_ACCESS_FS_REMOVE_FILE},
		{state, LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE},
	};

	only_capabilities(0);
	if (!sanitized) {
		state_place(env, state);
		only_files(~0ull, places, COUNT(places));
		only_calls(broker_calls, COUNT(broker_calls), CONFINE_ONLY);
	}
	tell(NULL, told);
}

/* ---- collectors ----------------------------------------------------------- */

void confine_collector(const struct child_env *env, const struct host_config *host)
{
	static const struct confine_call programs[] = {
		CALL(execve), CALL(execveat), CALL(listen),
	};
	const uint64_t of_files = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |
				  LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
	/* What stands in a snapshot's place is renamed, whatever it is. */
	const uint64_t of_names = LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |
				  LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_MAKE_FIFO |
				  LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REFER;
	const uint64_t never_done = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
				    LANDLOCK_ACCESS_FS_MAKE_BLOCK;
	size_t told = strlen(missing);
	char state[PATH_MAX];
	const struct confine_path places[] = {
		{"/dev/shm", of_files},
		{state, of_files | of_names},
		{"/dev/null", LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE},
	};

	if (host->at.kind == ENDPOINT_SSH)
		return;
	only_capabilities(kept_by_collectors);
	state_place(env, state);
	only_files(of_files | of_names | never_done, places, COUNT(places));
	only_calls(programs, COUNT(programs), CONFINE_DENY);
	tell(host->id, told);
}
