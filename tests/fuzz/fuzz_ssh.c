/*
 * fuzz_ssh.c - files and answers that the SSH transport reads.  The first byte says
 * what the rest is: known_hosts, a private key, what `ssh -G` prints, what a command on
 * the host answers, HTTP through a tunnel, base64, or what an ssh master says.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../collector/transport_ssh_known.h"
#include "../../collector/transport_ssh_mux.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static LIBSSH2_SESSION *session;
static char path[32];
static int file;

static void check(bool truth)
{
	if (!truth)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	libssh2_init(0);
	session = libssh2_session_init();
	file = memfd_create("fuzz_ssh", MFD_CLOEXEC);
	check(session && file >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return 0;
}

static void put_file(const char *s, size_t len)
{
	check(ftruncate(file, 0) == 0 && pwrite(file, s, len, 0) == (ssize_t)len);
}

static struct ssh_target *target_new(unsigned port)
{
	struct ssh_target *t = malloc(sizeof(*t));

	*t = (struct ssh_target){.name = strdup("h"), .host = strdup("h.example"),
				 .user = strdup("u"), .port = port, .timeout = 10};
	return t;
}

/* A key that no line holds is not known, and the methods are a list of algorithms. */
static void try_known(const char *s, size_t len, unsigned port)
{
	static const unsigned char other[] = "\0\0\0\1xa key of nobody";
	struct ssh_target *t = target_new(port);
	const char *methods, *where;
	struct ssh_known *k;

	put_file(s, len);
	t->known[t->n_known++] = strdup(path);
	k = ssh_known_read(session, t);
	methods = ssh_known_methods(k);
	check(strspn(methods, "abcdehinpst0123456789-,") == strlen(methods));
	check(ssh_known_check(k, other, sizeof(other), &where) != KNOWN_OK);
	ssh_known_free(k);
	ssh_target_free(t);
}

static void try_key(const char *s, size_t len)
{
	struct ssh_key_kind kind;

	put_file(s, len);
	ssh_key_look(path, &kind);
	check(memchr(kind.type, 0, sizeof(kind.type)) && kind.readable == (len > 0));
	ssh_key_usable(kind.type);
}

static void try_config(const char *text)
{
	const struct endpoint at = {.port = 0};
	struct ssh_target *t = target_new(22);

	ssh_target_read(t, &at, text);
	check(t->host && t->user && t->port > 0 && t->port < 65536);
	check(t->n_identities <= SSH_IDENTITIES && t->n_known <= SSH_KNOWN_FILES);
	check(t->timeout > 0 && t->timeout <= 10);
	ssh_target_free(t);
}

static void try_answer(char *text, size_t len, int status)
{
	struct ssh_target *t = target_new(22);
	const char *data = text, *engine, *said;
	size_t left = len;
	ssh_why why = "";

	said = ssh_file_read(status, &data, &left);
	check(said || (data + left == text + len && left < len));
	ssh_docker_error(t, text, status, why);
	check(why[0] && strlen(why) < sizeof(why) && !strpbrk(why, "\r\n"));
	engine = ssh_engine_path(text);
	check(!engine || !*engine || (*engine == '/' && strlen(engine) < SSH_PATH));
	ssh_target_free(t);
}

/* In whatever pieces an answer comes after its head, it is idle or it is not. */
static void try_http(const char *s, size_t len, size_t piece)
{
	const char *end = memmem(s, len < 1000 ? len : 1000, "\r\n\r\n", 4);
	size_t at = end ? (size_t)(end - s) + 4 : len;
	struct ssh_http whole, parts;

	http_asked(&whole);
	http_asked(&parts);
	if (!len)
		return;
	http_answered(&whole, s, len, 1);
	http_answered(&parts, s, at, 1);
	for (size_t n; at < len; at += n) {
		n = len - at < piece ? len - at : piece;
		http_answered(&parts, s + at, n, 1);
	}
	check(whole.got == len && parts.got == len && http_idle(&whole, 2) == http_idle(&parts, 2));
}

static void try_base64(const char *s, size_t len)
{
	unsigned char *raw = malloc(len + 1), *again = malloc(len + 1);
	char *text = malloc(len * 4 / 3 + 4);
	size_t n = ssh_unbase64(s, len, raw, len);

	check(n <= len * 3 / 4);
	check(ssh_base64((const unsigned char *)s, len, text) == strlen(text));
	check(ssh_unbase64(text, strlen(text), again, len) == len && !memcmp(again, s, len));
	free(raw);
	free(again);
	free(text);
}

/* What is taken is there; what is not, no more of it makes whole. */
static void try_master(const uint8_t *data, size_t len)
{
	struct mux_answer a;
	size_t n;

	for (; (n = mux_read(data, len, &a)); data += n, len -= n) {
		check(n <= len && n >= 8 && a.kind != MUX_MORE && a.kind != MUX_BAD);
		check(a.kind != MUX_REFUSED || strlen(a.reason) < sizeof(a.reason));
		check(mux_read(data, n - 1, &a) == 0 && a.kind == MUX_MORE);
	}
	check(a.kind == MUX_BAD || (a.kind == MUX_MORE && len < MUX_PACKET_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;
	size_t len;

	if (size < 1)
		return 0;
	len = size - 1;
	text = malloc(len + 1);
	memcpy(text, data + 1, len);
	text[len] = '\0';
	switch (data[0] % 8) {
	case 0:
	case 1:
		try_known(text, len, data[0] % 8 ? 22 : 2222);
		break;
	case 2:
		try_key(text, len);
		break;
	case 3:
		try_config(text);
		break;
	case 4:
		try_answer(text, len, data[0] / 8 % 8 - 1);
		break;
	case 5:
		try_http(text, len, data[0] / 8 + 1u);
		break;
	case 6:
		try_master(data + 1, len);
		break;
	default:
		try_base64(text, len);
	}
	free(text);
	return 0;
}
