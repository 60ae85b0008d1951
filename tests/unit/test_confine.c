/* test_confine.c - what a confined process cannot do any more, and what it still can.
 * Each try is made in a process of its own, which ends with what came of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../collector/confine.h"
#include "../../collector/confine_impl.h"
#include "../../shm/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* the broker keeps what a sanitizer needs */
#else
#define SANITIZED 0
#endif

static char place[] = "/tmp/dcm-confine-XXXXXX", state_dir[64], instance_state[64];
static char outside[64], shm[64];
static struct child_env env;
static bool no_calls; /* there is no seccomp here */
static struct host_config host;

enum { WORKED = 0, UNEXPECTED = 255 };

typedef int attempt(void); /* 0, or the errno */

static int because(bool failed)
{
	return failed ? errno : WORKED;
}

/* ---- as whom -------------------------------------------------------------- */

static void as_any(void)
{
	confine_all();
}

static void as_broker(void)
{
	confine_all();
	confine_broker(&env);
}

static void as_collector(void)
{
	confine_all();
	host.at.kind = ENDPOINT_UNIX;
	confine_collector(&env, &host);
}

static void as_ssh_collector(void)
{
	confine_all();
	host.at.kind = ENDPOINT_SSH;
	confine_collector(&env, &host);
}

/* What comes of `try` after `become`. */
static int tried(void (*become)(void), attempt *try)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		log_init(LOG_LEVEL_ERROR, false);
		become();
		_exit(try());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define WORKS(become, try) assert_int_equal(tried(become, try), WORKED)
#define REFUSED(become, try, why) assert_int_equal(tried(become, try), why)

/* ---- what is tried -------------------------------------------------------- */

static int inet(void)
{
	return because(socket(AF_INET, SOCK_STREAM, 0) < 0);
}

static int unix_socket(void)
{
	return because(socket(AF_UNIX, SOCK_STREAM, 0) < 0);
}

/* To a descriptor that was there before: connecting is refused, not only making. */
static int connecting(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET};

	return because(connect(STDIN_FILENO, (struct sockaddr *)&to, sizeof(to)) < 0);
}

static int listening(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	/* a name that the kernel chooses, in no directory */
	if (bind(fd, (struct sockaddr *)&at, sizeof(sa_family_t)))
		return UNEXPECTED;
	return because(listen(fd, 1) < 0);
}

static int executing(void)
{
	static char name[] = "true";
	char *argv[] = {name, NULL}, *none[] = {NULL};

	execve("/bin/true", argv, none);
	return errno;
}

static int forking(void)
{
	return because(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0);
}

static int tracing(void)
{
	return because(ptrace(PTRACE_TRACEME, 0, 0, 0) < 0);
}

static int new_namespace(void)
{
	return because(syscall(SYS_unshare, 0) < 0);
}

static int of_x32(void)
{
	return because(syscall(0x40000000 + 39) < 0);
}

static int code_from_data(void)
{
	const int prot = PROT_READ | PROT_EXEC, flags = MAP_PRIVATE | MAP_ANONYMOUS;

	return because(mmap(NULL, 4096, prot, flags, -1, 0) == MAP_FAILED);
}

static int another_control(void)
{
	int n;

	return because(ioctl(STDIN_FILENO, FIONBIO, &n) < 0);
}

static int write_outside(void)
{
	return because(open(outside, O_WRONLY) < 0);
}

static int make_outside(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/made", place);
	return because(open(path, O_WRONLY | O_CREAT, 0600) < 0);
}

static int read_outside(void)
{
	return because(open("/etc/passwd", O_RDONLY) < 0);
}

static int write_state(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/h.snap", instance_state);
	return because(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) < 0);
}

static int state_anew(void)
{
	return mkdir(instance_state, 0700) ? errno : write_state();
}

static int state_dir_anew(void)
{
	return mkdir(state_dir, 0700) ? errno : state_anew();
}

static int remove_state(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/h.snap", instance_state);
	return because(unlink(path) < 0);
}

static int list_state(void)
{
	DIR *d = opendir(instance_state);

	return because(!d || !readdir(d));
}

static int make_memory(void)
{
	int fd = shm_open(shm, O_RDWR | O_CREAT | O_EXCL, 0600);

	return because(fd < 0 || ftruncate(fd, 4096) ||
		       mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ||
		       shm_unlink(shm));
}

/* As the broker does with an instance that left no lock behind. */
static int make_lock(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = shm_open(shm, O_RDWR | O_CREAT, 0600);

	return because(fd < 0 || fcntl(fd, F_OFD_SETLK, &l) || shm_unlink(shm));
}

static int answer(void)
{
	int n, pair = epoll_create1(0);

	if (pair < 0 || ioctl(STDIN_FILENO, FIONREAD, &n))
		return errno;
	return because(!malloc(64 << 20));
}

static int privileges(void)
{
	struct rlimit core;

	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0 ||
	       getrlimit(RLIMIT_CORE, &core) || core.rlim_max != 0;
}

/* ---- stories -------------------------------------------------------------- */

static void everybody(void **s)
{
	(void)s;
	WORKS(as_any, privileges);
	if (no_calls)
		skip();
	REFUSED(as_any, new_namespace, EPERM);
	if (!SANITIZED)
		REFUSED(as_any, tracing, EPERM);
#ifdef __x86_64__
	REFUSED(as_any, of_x32, ENOSYS);
#endif
	WORKS(as_any, inet);
	WORKS(as_any, executing);
	WORKS(as_any, forking);
	WORKS(as_any, write_outside);
}

static void the_broker_reaches_nobody(void **s)
{
	(void)s;
	if (no_calls)
		skip();
	if (SANITIZED)
		return;
	REFUSED(as_broker, inet, ENOSYS);
	REFUSED(as_broker, unix_socket, ENOSYS);
	REFUSED(as_broker, connecting, ENOSYS);
	REFUSED(as_broker, executing, ENOSYS);
	REFUSED(as_broker, forking, ENOSYS);
	REFUSED(as_broker, tracing, ENOSYS);
	REFUSED(as_broker, new_namespace, ENOSYS);
	REFUSED(as_broker, code_from_data, ENOSYS);
	REFUSED(as_broker, another_control, ENOSYS);
	WORKS(as_broker, answer);
}

static void a_collector_runs_no_programs(void **s)
{
	(void)s;
	if (no_calls)
		skip();
	WORKS(as_collector, inet);
	WORKS(as_collector, forking); /* threads */
	REFUSED(as_collector, executing, EPERM);
	REFUSED(as_collector, listening, EPERM);
	/* but where ssh may be one */
	WORKS(as_ssh_collector, executing);
	WORKS(as_ssh_collector, listening);
	WORKS(as_ssh_collector, write_outside);
}

static void files(void **s)
{
	(void)s;
	if (no_calls || confine_files_known())
		skip();
	WORKS(as_collector, make_memory);
	WORKS(as_collector, write_state);
	WORKS(as_collector, remove_state);
	rmdir(instance_state); /* somebody did; the collector makes it anew */
	WORKS(as_collector, state_anew);
	WORKS(as_collector, read_outside);
	REFUSED(as_collector, write_outside, EACCES);
	REFUSED(as_collector, make_outside, EACCES);
	if (SANITIZED)
		return;
	WORKS(as_broker, make_lock);
	REFUSED(as_broker, make_memory, ENOSYS);
	WORKS(as_broker, list_state);
	WORKS(as_broker, remove_state);
	REFUSED(as_broker, write_state, EACCES);
	REFUSED(as_broker, read_outside, EACCES);
	REFUSED(as_broker, write_outside, EACCES);
	REFUSED(as_broker, make_outside, EACCES);
}

/* STATE_DIR is not there when a process starts, and is made later. */
static void a_state_directory_to_come(void **s)
{
	(void)s;
	if (confine_files_known())
		skip();
	remove_state();
	rmdir(instance_state);
	rmdir(state_dir);
	WORKS(as_collector, state_dir_anew);
	REFUSED(as_collector, make_outside, EACCES);
}

/* ---- the mechanisms ------------------------------------------------------- */

static void deny_two(void)
{
	static const struct confine_call calls[] = {
		{.nr = __NR_getppid},
		{.nr = __NR_lseek, .tested = 1, .arg = 2, .mask = 3, .value = SEEK_END},
	};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (confine_calls(calls, 2, CONFINE_DENY))
		_exit(UNEXPECTED);
}

static int ask_parent(void)
{
	return because(syscall(SYS_getppid) < 0);
}

static int seek_end(void)
{
	return because(lseek(STDIN_FILENO, 0, SEEK_END) < 0);
}

static int seek_set(void)
{
	return because(lseek(STDIN_FILENO, 0, SEEK_SET) < 0);
}

static void arguments_are_looked_at(void **s)
{
	(void)s;
	if (no_calls)
		skip();
	REFUSED(deny_two, ask_parent, EPERM);
	REFUSED(deny_two, seek_end, EPERM);
	WORKS(deny_two, seek_set);
	WORKS(deny_two, inet);
	assert_int_equal(confine_calls(NULL, 100000, CONFINE_DENY), -E2BIG);
}

static void deny_none(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	no_calls = confine_calls(NULL, 0, CONFINE_DENY) != 0;
}

static int looked(void)
{
	return no_calls;
}

static int begin(void **s)
{
	int fd;

	(void)s;
	if (!mkdtemp(place))
		return -1;
	snprintf(state_dir, sizeof(state_dir), "%s/s", place);
	snprintf(instance_state, sizeof(instance_state), "%s/s/i", place);
	snprintf(outside, sizeof(outside), "/tmp/dcm-confine-out-%d", (int)getpid());
	snprintf(shm, sizeof(shm), "/dcm-confine-%d", (int)getpid());
	env.state_dir = instance_state;
	fd = open(outside, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0) /* a file: it can be sought in */
		return -1;
	close(fd);
	no_calls = tried(deny_none, looked) != 0;
	return mkdir(state_dir, 0700) || mkdir(instance_state, 0700);
}

static int end(void **s)
{
	(void)s;
	remove_state();
	unlink(outside);
	shm_unlink(shm);
	rmdir(instance_state);
	rmdir(state_dir);
	return rmdir(place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody),
		cmocka_unit_test(the_broker_reaches_nobody),
		cmocka_unit_test(a_collector_runs_no_programs),
		cmocka_unit_test(files),
		cmocka_unit_test(a_state_directory_to_come),
		cmocka_unit_test(arguments_are_looked_at),
	};

	return cmocka_run_group_tests_name("confine", tests, begin, end);
}
