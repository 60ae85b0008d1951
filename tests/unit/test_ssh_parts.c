/* test_ssh_parts.c - the parts of the SSH transport that only look at bytes. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../collector/transport.h"
#include "../../collector/transport_openssh.h"
#include "../../collector/transport_ssh_known.h"

static struct ssh_target target = {
	.name = (char[]){"h"},
	.host = (char[]){"192.0.2.1"},
	.user = (char[]){"u"},
	.port = 2222,
	.where = "ssh://u@192.0.2.1:2222",
};

static void test_base64(void **state)
{
	static const char *const text[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
	static const char *const coded[] = {"",       "Zg",      "Zm8",     "Zm9v",
					    "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"};

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		char out[32];
		unsigned char back[32];
		size_t n = ssh_base64((const unsigned char *)text[i], strlen(text[i]), out);

		assert_string_equal(out, coded[i]);
		assert_int_equal(ssh_unbase64(out, n, back, sizeof(back)), strlen(text[i]));
		assert_memory_equal(back, text[i], strlen(text[i]));
	}
	unsigned char small[2];

	/* never more than there is room */
	assert_int_equal(ssh_unbase64("Zm9vYmFy", 8, small, 2), 2);
	assert_int_equal(ssh_unbase64("Zm=9", 4, small, 2), 1);
}

static void test_which_engine(void **state)
{
	char path[] = "unix:///run/user/1000/docker.sock\nmore", tcp[] = "tcp://127.0.0.1:2375\n";
	char empty[] = "", noise[] = "Welcome to the host!\n";

	(void)state;
	assert_string_equal(ssh_engine_path(path), "/run/user/1000/docker.sock");
	assert_string_equal(ssh_engine_path(tcp), "");
	assert_null(ssh_engine_path(empty));
	assert_null(ssh_engine_path(noise));
}

/* Runs what would run on the host, by this machine's shell. */
static int run(const char *command, char *out, size_t room)
{
	FILE *p = popen(command, "r");
	size_t n;
	int status;

	assert_non_null(p);
	n = fread(out, 1, room - 1, p);
	out[n] = '\0';
	status = pclose(p);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_file_command(void **state)
{
	char dir[] = "/tmp/dcm-test-XXXXXX", path[128], link[128], out[256], *command;
	const char *data = out;
	size_t len;
	FILE *f;
	int rc;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/it's $(echo x) \"y\".yml", dir);
	snprintf(link, sizeof(link), "%s/link.yml", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("services: {}", f);
	fclose(f);
	assert_int_equal(symlink(path, link), 0);

	command = ssh_file_command(path, 8);
	rc = run(command, out, sizeof(out));
	free(command);
	len = strlen(out);
	assert_null(ssh_file_read(rc, &data, &len));
	assert_int_equal(len, 8); /* no more than was asked for */
	assert_memory_equal(data, "services", 8);
	command = ssh_file_command(link, 8);
	rc = run(command, out, sizeof(out));
	free(command);
	assert_string_equal(ssh_file_read(rc, &data, &len), "not a regular file");
	assert_null(ssh_file_command("relative.yml", 8));
	assert_null(ssh_file_command("/new\nline.yml", 8));
	assert_null(ssh_file_command("/back\\';slash;.yml", 8));
	/* another program answered: a forced command */
	data = "HTTP/1.1 400";
	len = 12;
	assert_non_null(ssh_file_read(0, &data, &len));
	unlink(path);
	unlink(link);
	rmdir(dir);
}

static void dials(const char *path, const char *want)
{
	char *command = ssh_dial_command(path);

	assert_string_equal(command, want);
	free(command);
}

static void test_dial_command(void **state)
{
	(void)state;
	dials(NULL, "docker system dial-stdio");
	dials("/run/d.sock", "docker --host unix:///run/d.sock system dial-stdio");
	dials("/a b;c", "docker --host 'unix:///a b;c' system dial-stdio");
}

static void test_where_a_new_key_belongs(void **state)
{
	struct endpoint at = {.port = 22};
	struct ssh_target *t = calloc(1, sizeof(*t));

	(void)state;
	t->host = strdup("h");
	t->user = strdup("u");
	ssh_target_read(t, &at, "user u\nglobalknownhostsfile /etc/all\nhostname h\n"
				"userknownhostsfile /home/mine /home/mine2\n");
	assert_int_equal(t->n_known, 3);
	assert_string_equal(t->known[0], "/home/mine");
	assert_string_equal(t->known[2], "/etc/all");
	ssh_target_free(t);
}

static void ask_and_answer(struct ssh_http *h, const char *answer, double at)
{
	http_asked(h);
	http_answered(h, answer, strlen(answer), at);
}

static void test_idle_connections(void **state)
{
	struct ssh_http h = {0};

	(void)state;
	assert_false(http_idle(&h, 100)); /* about to ask */
	http_asked(&h);
	assert_false(http_idle(&h, 100));
	ask_and_answer(&h, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nO", 1);
	assert_false(http_idle(&h, 100)); /* a byte is missing */
	http_answered(&h, "K", 1, 2);
	assert_true(http_idle(&h, 100));
	assert_false(http_idle(&h, 1.5)); /* only a moment ago */
	ask_and_answer(&h, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n", 1);
	assert_false(http_idle(&h, 100)); /* events: the end has not come */
	http_answered(&h, "0\r\n", 3, 1);
	assert_false(http_idle(&h, 100));
	http_answered(&h, "\r\n", 2, 1);
	assert_true(http_idle(&h, 100));
	/* a head in two parts: in doubt, busy */
	ask_and_answer(&h, "HTTP/1.1 200 OK\r\nContent-Le", 1);
	http_answered(&h, "ngth: 0\r\n\r\n", 11, 1);
	assert_false(http_idle(&h, 100));
}

static void says(const char *said, const char *word)
{
	ssh_why why;

	program_error(&target, said, why);
	assert_non_null(strstr(why, word));
}

static void test_what_ssh_says(void **state)
{
	ssh_why why;

	(void)state;
	says("ssh: connect to host h port 22: Connection refused\r\n", "connection refused");
	says("ssh: Could not resolve hostname h: Name or service not known\r\n", "no address");
	says("u@h: Permission denied (publickey).\r\n", "login refused");
	says("ssh: connect to host h port 22: No route to host\r\n", "no route");
	says("ssh: connect to host h port 22: Permission denied\r\n", "no route"); /* prohibit */
	says("ssh: connect to host h port 22: Invalid argument\r\n", "no route"); /* blackhole */
	says("No ED25519 host key is known for h and you have requested strict checking.\r\n"
	     "Host key verification failed.\r\n", "ssh-keyscan -p 2222");
	says("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nSHA256:abc.\r\n"
	     "Host key verification failed.\r\n", "SHA256:abc: if");
	says("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n"
	     "Host key verification failed.\r\n",
	     "ssh-keygen -f ~/.ssh/known_hosts -R '[192.0.2.1]:2222'");
	says("Certificate invalid: expired\r\nNo ED25519 host key is known for h.\r\n"
	     "Host key verification failed.\r\n", "certificate is not valid (expired)");
	says("ssh: connect to host h port 22: Connection timed out\r\n", "timeout");
	says("", "without a word");
	ssh_docker_error(&target, "sh: 1: docker: not found\n", 127, why);
	assert_non_null(strstr(why, "no docker"));
	ssh_docker_error(&target, "dial unix /var/run/docker.sock: connect: permission denied\n", 1,
			 why);
	assert_non_null(strstr(why, "permission denied"));
	assert_non_null(strstr(why, "group docker"));
	ssh_docker_error(&target, "failed to open the raw stream connection: dial unix /a: no such "
				  "file or directory\n", 1, why);
	assert_non_null(strstr(why, "no docker engine runs"));
}

static LIBSSH2_SESSION *session;

static enum ssh_known_verdict verdict(const char *text, const char *blob, const char **methods)
{
	char path[] = "/tmp/dcm-test-XXXXXX";
	const char *where;
	int fd = mkstemp(path);
	struct ssh_known *k;
	enum ssh_known_verdict v;
	static char kept[512];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	target.known[0] = path;
	target.n_known = 1;
	k = ssh_known_read(session, &target);
	v = ssh_known_check(k, (const unsigned char *)blob, strlen(blob), &where);
	snprintf(kept, sizeof(kept), "%s", ssh_known_methods(k));
	if (methods)
		*methods = kept;
	ssh_known_free(k);
	unlink(path);
	target.n_known = 0;
	return v;
}

static void test_known_hosts(void **state)
{
	const char *methods;

	(void)state;
	session = libssh2_session_init();
	/* Zm9v is foo, YmFy bar */
	assert_int_equal(verdict("", "foo", NULL), KNOWN_NOT);
	assert_int_equal(verdict("[192.0.2.1]:2222 ssh-ed25519 Zm9v me\n", "foo", &methods),
			 KNOWN_OK);
	assert_int_equal(strncmp(methods, "ssh-ed25519,", 12), 0);
	assert_int_equal(
		verdict("# x\n\n[192.0.2.1]:2222 ecdsa-sha2-nistp256 Zm9v\n", "foo", &methods),
		KNOWN_OK);
	assert_int_equal(strncmp(methods, "ecdsa-sha2-nistp256,", 20), 0);
	assert_int_equal(verdict("[192.0.2.1]:2222 ssh-ed25519 YmFy\n", "foo", NULL),
			 KNOWN_CHANGED);
	assert_int_equal(verdict("[192.0.2.1]:22 ssh-ed25519 Zm9v\n", "foo", NULL), KNOWN_NOT);
	assert_int_equal(verdict("[192.0.2.*]:2222,!x ssh-ed25519 Zm9v\n", "foo", NULL), KNOWN_OK);
	assert_int_equal(verdict("[192.0.2.*]:2222,![192.0.2.1]:* ssh-ed25519 Zm9v\n", "foo", NULL),
			 KNOWN_NOT);
	/* the bare name may speak for a key, not against it */
	assert_int_equal(verdict("192.0.2.1 ssh-ed25519 Zm9v\n", "foo", NULL), KNOWN_OK);
	assert_int_equal(verdict("192.0.2.1 ssh-ed25519 YmFy\n", "foo", NULL), KNOWN_NOT);
	assert_int_equal(verdict("[192.0.2.1]:2222 ssh-ed25519 Zm9v\n"
				 "@revoked [192.0.2.1]:2222 ssh-ed25519 Zm9v\n", "foo", NULL),
			 KNOWN_REVOKED);
	/* RSA alone: not for libssh2 */
	verdict("[192.0.2.1]:2222 ssh-rsa Zm9v\n", "foo", &methods);
	assert_string_equal(methods, "");
	libssh2_session_free(session);
}

/* ---- private directories ----------------------------------------------------------- */

static char tmp[] = "/tmp/dcm-test-XXXXXX";

/* A directory in tmp as a collector's; its path until the next call. */
static const char *directory(const char *name, mode_t mode)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", tmp, name);
	assert_int_equal(mkdir(path, mode), 0);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static int listen_in(const char *dir)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* Another process with a place; `path` is its socket's, and then its directory's. */
static pid_t somebody(char path[SSH_PATH])
{
	int p[2];
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		char why[256] = "";
		struct ssh_place *place = ssh_place_open(event_base_new(), NULL, NULL, why);

		if (!place || write(p[1], ssh_place_socket(place), SSH_PATH) != SSH_PATH)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(p[0], path, SSH_PATH), SSH_PATH);
	close(p[0]);
	close(p[1]);
	assert_true(is_there(path));
	path[strlen(path) - 2] = '\0';
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_places(void **state)
{
	char alive[SSH_PATH], dead[SSH_PATH], dying[SSH_PATH], heard[64], path[64];
	pid_t who, zombie;
	int listener;

	(void)state;
	assert_non_null(mkdtemp(tmp));
	setenv("TMPDIR", tmp, 1);
	end(somebody(dead));
	assert_true(is_there(dead));
	zombie = somebody(dying);
	kill(zombie, SIGKILL);
	waitid(P_PID, (id_t)zombie, &(siginfo_t){0}, WEXITED | WNOWAIT); /* it has a pid still */
	who = somebody(alive); /* cleans up, too */
	assert_false(is_there(dead));
	assert_false(is_there(dying));
	waitpid(zombie, NULL, 0);

	/* none of these is one that a killed collector left */
	snprintf(heard, sizeof(heard), "%s", directory("dcm-ssh-1.unlocked", 0700));
	listener = listen_in(heard);
	directory("dcm-ssh-1.open", 0755);
	directory("dcm-other", 0700);
	directory("target", 0700);
	snprintf(path, sizeof(path), "%s/dcm-ssh-1.link", tmp);
	assert_int_equal(symlink("target", path), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(directory("dcm-ssh-1.others", 0700), 65534, 65534), 0);
	transport_sweep();
	assert_true(is_there(alive));
	assert_true(is_there(heard));
	assert_true(is_there(path));
	close(listener); /* nobody is behind it now */
	transport_sweep();
	assert_false(is_there(heard));
	for (const char *const *name = (const char *const[]){"dcm-ssh-1.open", "dcm-other",
							     "target", "dcm-ssh-1.others", NULL};
	     *name; name++) {
		snprintf(path, sizeof(path), "%s/%s", tmp, *name);
		assert_true(rmdir(path) == 0 || geteuid() != 0);
	}
	end(who);
	transport_sweep();
	snprintf(path, sizeof(path), "%s/dcm-ssh-1.link", tmp);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(tmp), 0); /* all else is gone */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_which_engine),
		cmocka_unit_test(test_file_command),
		cmocka_unit_test(test_dial_command),
		cmocka_unit_test(test_where_a_new_key_belongs),
		cmocka_unit_test(test_idle_connections),
		cmocka_unit_test(test_what_ssh_says),
		cmocka_unit_test(test_known_hosts),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
