/*
 * supervised.h - a supervisor with real processes and memory, and with children
 * that do what a test wants: their role follows from the host's id.  What they do
 * they say on standard output, which the test reads:
 *
 *	HOST start PID		HOST shown GENERATION		HOST ask WHAT
 *	broker start PID	broker done TOKEN RC HOST NTH
 *
 * Nothing is asserted on time but that what must come does come.
 */
#ifndef DCM_TEST_SUPERVISED_H
#define DCM_TEST_SUPERVISED_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../collector/notify.h"
#include "../../collector/supervisor.h"
#include "../../collector/title.h"
#include "../../shm/control.h"
#include "../../shm/dcm.h"
#include "../../shm/log.h"
#include "../../shm/names.h"

/* ---- the children --------------------------------------------------------- */

enum { GENERATION = 7 }; /* of every shard */

static inline void beat(const struct child_env *env)
{
	const struct control_msg m = {.kind = CONTROL_BEAT};

	control_send(env->control, &m);
}

/* Waits up to a second for a message; exits when the supervisor is gone. */
static inline bool hear(const struct child_env *env, struct control_msg *m)
{
	struct pollfd p = {.fd = env->control, .events = POLLIN};
	int rc;

	poll(&p, 1, 1000);
	rc = control_recv(env->control, m);
	if (rc == 0)
		exit(0);
	return rc == 1;
}

static inline void send_ask(const struct child_env *env, uint64_t token, const char *host)
{
	struct control_msg m = {.kind = CONTROL_ASK, .token = token, .what = CONTROL_REFRESH};

	snprintf(m.host, sizeof(m.host), "%s", host);
	control_send(env->control, &m);
}

/* Asks once for each host when the file RUN/ask is there. */
static inline int broker(const struct child_env *env)
{
	static const char *const hosts[] = {"good", "unknown", "off", "dies-when-asked", "slow"};
	char flag[200];

	snprintf(flag, sizeof(flag), "%s/ask", env->runtime_dir);
	dprintf(1, "broker start %d\n", (int)getpid());
	for (;;) {
		struct control_msg m;

		beat(env);
		if (unlink(flag) == 0)
			for (size_t i = 0; i < 5; i++)
				send_ask(env, 1 + i, hosts[i]);
		if (hear(env, &m) && m.kind == CONTROL_DONE)
			dprintf(1, "broker done %d %d %s %d\n", (int)m.token, m.rc, m.host,
				(int)m.containers);
	}
	return 0;
}

static inline void answer(const struct child_env *env, const char *id,
			  const struct control_msg *ask)
{
	static int nth; /* of this process */
	struct control_msg m = {
		.kind = CONTROL_DONE, .token = ask->token, .containers = ++nth};

	dprintf(1, "%s ask %d\n", id, ask->what);
	if (!strcmp(id, "dies-when-asked"))
		raise(SIGKILL);
	if (!strcmp(id, "slow"))
		sleep(2);
	control_send(env->control, &m);
}

static inline int collector(const struct child_env *env, const struct host_config *host,
		     const struct cache_config *cache)
{
	struct control_msg m = {.kind = CONTROL_SHARD, .generation = GENERATION};
	char shard[DCM_OBJECT_NAME_MAX];

	(void)cache;
	dprintf(1, "%s start %d\n", host->id, (int)getpid());
	if (!strcmp(host->id, "stillborn"))
		return 5;
	if (!strcmp(host->id, "mute"))
		pause();
	names_shard(shard, env->uid, env->instance, host->id, GENERATION);
	close(shm_open(shard, O_CREAT | O_RDWR, 0640));
	control_send(env->control, &m);
	m = (struct control_msg){.kind = CONTROL_CYCLE, .containers = 4, .seconds = 0.5};
	control_send(env->control, &m);
	for (;;) {
		beat(env);
		if (!strcmp(host->id, "silent"))
			pause();
		if (!hear(env, &m))
			continue;
		if (m.kind == CONTROL_SHOWN)
			dprintf(1, "%s shown %u\n", host->id, m.generation);
		else if (m.kind == CONTROL_ASK)
			answer(env, host->id, &m);
	}
	return 0;
}

/* ---- a supervisor ----------------------------------------------------------- */

static struct {
	char dir[64], config[96], instance[40];
	int out, log, notify;
	pid_t pid;
	char said[1 << 20]; /* all that the children said so far */
	size_t n;
} t;

static const char base[] = "hosts:\n"
			   "  good: {url: \"unix:///x\", tags: [a], description: d}\n"
			   "  off: {url: \"unix:///x\", enabled: false}\n";

static inline void write_config(const char *text)
{
	FILE *f = fopen(t.config, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static inline struct instance new_instance(void)
{
	return (struct instance){.name = t.instance,
				 .runtime_dir = t.dir,
				 .state_dir = t.dir,
				 .uid = geteuid(),
				 .gid = getegid(),
				 .lock = -1,
				 .listener = -1};
}

static inline int run_supervisor(void)
{
	struct instance i = new_instance();
	const struct supervisor_options opt = {
		.config_path = t.config, .instance = &i, .broker = broker, .collector = collector};
	struct config_errors e = {0};
	struct config config;
	char err[INSTANCE_ERR];
	int rc;

	notify_init();
	if (config_load(&config, t.config, &e) < 0)
		return 2;
	rc = instance_lock(&i, err);
	if (!rc)
		rc = instance_directories(&i, err);
	if (!rc)
		rc = instance_listen(&i, err);
	if (!rc)
		rc = supervisor_run(&opt, &config);
	config_free(&config);
	instance_remove(&i);
	return rc;
}

static inline void start(void)
{
	int out[2], log[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(log, O_CLOEXEC), 0);
	t.pid = fork();
	assert_true(t.pid >= 0);
	if (t.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], 1);
		dup2(log[1], 2);
		log_init(LOG_LEVEL_INFO, true);
		exit(run_supervisor());
	}
	close(out[1]);
	close(log[1]);
	t.out = out[0];
	t.log = log[0];
	fcntl(t.log, F_SETFL, O_NONBLOCK);
}

/* Waits until the children have said `what` n times; the last occurrence. */
static inline const char *said(const char *what, int n)
{
	for (int patience = 0; patience < 600; patience++) {
		struct pollfd p = {.fd = t.out, .events = POLLIN};
		const char *at = t.said, *last = NULL;
		int found = 0;

		for (; found < n && (at = strstr(at, what)); found++)
			last = at++;
		if (found == n)
			return last;
		if (poll(&p, 1, 100) == 1) {
			ssize_t got = read(t.out, t.said + t.n, sizeof(t.said) - 1 - t.n);

			t.n += got > 0 ? (size_t)got : 0;
			t.said[t.n] = '\0';
		}
	}
	fail_msg("\"%s\" was not said %d times, but:\n%s", what, n, t.said);
	return NULL;
}

static inline int times(const char *what)
{
	int n = 0;

	for (const char *at = t.said; (at = strstr(at, what)); at++)
		n++;
	return n;
}

static inline pid_t pid_of(const char *who, int n)
{
	char what[80];

	snprintf(what, sizeof(what), "%s start ", who);
	return atoi(said(what, n) + strlen(what));
}

/* This process is the reaper of what a killed supervisor leaves. */
static inline bool alive(pid_t pid)
{
	waitpid(pid, NULL, WNOHANG);
	return kill(pid, 0) == 0;
}

static inline void wait_gone(pid_t pid)
{
	for (int i = 0; i < 600 && alive(pid); i++)
		usleep(50000);
	assert_false(alive(pid));
}

/* What it told its service manager next, but for beats of the watchdog and mere statuses. */
static inline const char *notice(void)
{
	static char buf[600];

	do {
		struct pollfd p = {.fd = t.notify, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, 30000) != 1)
			fail_msg("no further notice");
		n = recv(t.notify, buf, sizeof(buf) - 1, 0);
		assert_true(n > 0);
		buf[n] = '\0';
	} while (!strcmp(buf, "WATCHDOG=1") || !strncmp(buf, "STATUS=", 7));
	return buf;
}

/* It tells this, sooner or later. */
static inline void assert_notified(const char *part)
{
	char buf[600];

	for (;;) {
		struct pollfd p = {.fd = t.notify, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, 30000) != 1)
			fail_msg("no notice of %s", part);
		n = recv(t.notify, buf, sizeof(buf) - 1, 0);
		assert_true(n > 0);
		buf[n] = '\0';
		if (strstr(buf, part))
			return;
	}
}

static inline bool logged(const char *what)
{
	static char buf[1 << 18];
	static size_t n;

	for (int i = 0; i < 300; i++) {
		ssize_t got = read(t.log, buf + n, sizeof(buf) - 1 - n);

		n += got > 0 ? (size_t)got : 0;
		buf[n] = '\0';
		if (strstr(buf, what)) {
			n = 0;
			return true;
		}
		usleep(50000);
	}
	return false;
}

static inline int end(int sig)
{
	int status;

	kill(t.pid, sig);
	assert_int_equal(waitpid(t.pid, &status, 0), t.pid);
	t.pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int objects(const char *part)
{
	char prefix[80];
	struct dirent *e;
	DIR *d = opendir("/dev/shm");
	int n = 0;

	assert_non_null(d);
	snprintf(prefix, sizeof(prefix), "dcm-%u-%s-:", (unsigned)geteuid(), t.instance);
	while ((e = readdir(d)))
		n += !strncmp(e->d_name, prefix, strlen(prefix)) && strstr(e->d_name, part);
	closedir(d);
	return n;
}

/* The row of a host as readers see it; false: there is none. */
static inline bool row(const char *id, struct dcm_host *out, char description[64])
{
	const struct dcm_options opt = {
		.size = sizeof(opt), .instance = t.instance, .runtime_dir = t.dir};
	struct dcm_hosts hosts = {0};
	bool found = false;
	char err[256];
	dcm *d;

	if (dcm_open(&d, &opt, err, sizeof(err)) != DCM_OK)
		fail_msg("%s", err);
	assert_int_equal(dcm_hosts_read(d, &hosts), DCM_OK);
	for (size_t i = 0; i < hosts.n; i++) {
		if (strcmp(hosts.v[i].id.s, id))
			continue;
		*out = hosts.v[i];
		snprintf(description, 64, "%s", out->description.s ? out->description.s : "");
		found = true;
	}
	dcm_hosts_free(&hosts);
	dcm_close(&d);
	return found;
}

static inline int setup(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	(void)state;
	memset(&t, 0, sizeof(t));
	snprintf(t.dir, sizeof(t.dir), "/tmp/dcm-test-XXXXXX");
	if (!mkdtemp(t.dir))
		return -1;
	snprintf(t.config, sizeof(t.config), "%s/hosts.yml", t.dir);
	snprintf(t.instance, sizeof(t.instance), "test%d", (int)getpid());
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", t.dir);
	t.notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(t.notify, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -1;
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	return 0;
}

static inline int remove_it(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	(void)st, (void)kind, (void)f;
	return remove(path);
}

static inline int teardown(void **state)
{
	struct instance i = new_instance();
	char name[DCM_OBJECT_NAME_MAX];

	(void)state;
	if (t.pid > 0)
		end(SIGKILL);
	instance_unlink_shards(&i, NULL, NULL);
	names_directory(name, i.uid, i.name);
	shm_unlink(name);
	names_lock(name, i.uid, i.name);
	shm_unlink(name);
	close(t.out);
	close(t.log);
	close(t.notify);
	return nftw(t.dir, remove_it, 8, FTW_DEPTH | FTW_PHYS);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* The whole of a test program's main(). */
#define RUN_STORIES(argc, argv, stories)                                        \
	(title_init(argc, argv), prctl(PR_SET_CHILD_SUBREAPER, 1),              \
	 cmocka_run_group_tests(stories, NULL, NULL))

#endif
