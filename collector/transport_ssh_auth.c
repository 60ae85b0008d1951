/*
 * transport_ssh_auth.c - logs a libssh2 session in by public key.
 *
 * Offered are, as ssh does it, the key files' keys as the agent holds them, then
 * the key files, then the agent's other keys (unless IdentitiesOnly), and at most
 * five in all: sshd hangs up after six.  Keys that libssh2 cannot use are not
 * offered; they are the reason to try the system's ssh.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport_ssh_session.h"

enum { OFFERS = 5 };

/* The type in front of a public key's blob. */
static void blob_type(const unsigned char *blob, size_t len, char *out, size_t room)
{
	size_t n = len < 4 ? 0 : (size_t)blob[2] << 8 | blob[3];

	if (len < 4 || n > len - 4 || n >= room)
		n = 0;
	if (n)
		memcpy(out, blob + 4, n);
	out[n] = '\0';
}

/* The public key beside a private key's file, as a blob. */
static size_t public_blob(const char *path, unsigned char *blob, size_t room)
{
	char name[1024], line[8192], *key;
	FILE *f;
	size_t n = 0;

	if ((size_t)snprintf(name, sizeof(name), "%s.pub", path) >= sizeof(name))
		return 0;
	f = fopen(name, "re");
	if (!f)
		return 0;
	if (fgets(line, sizeof(line), f) && (key = strchr(line, ' ')))
		n = ssh_unbase64(key + 1, strlen(key + 1), blob, room);
	fclose(f);
	return n;
}

static void add(struct ssh_way *w, struct ssh_try t)
{
	for (unsigned i = 0; i < w->n_tries; i++)
		if (t.key && w->tries[i].key == t.key)
			return;
	if (w->n_tries < OFFERS)
		w->tries[w->n_tries++] = t;
}

static void note(struct ssh_way *w, const char *what)
{
	size_t n = strlen(w->tried);

	snprintf(w->tried + n, sizeof(w->tried) - n, "%s%s", n ? ", " : "", what);
}

/* Connecting waits for an agent that takes no more connections. */
static bool agent_is_full(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc = 0;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd >= 0)
		rc = connect(fd, (struct sockaddr *)&a, sizeof(a));
	rc = rc && errno == EAGAIN;
	if (fd >= 0)
		close(fd);
	return rc;
}

static bool agent_open(struct ssh_way *w)
{
	if (!w->target->agent)
		return false;
	w->agent_silent = agent_is_full(w->target->agent);
	if (w->agent_silent)
		return false;
	w->agent = libssh2_agent_init(w->ssh);
	if (!w->agent)
		return false;
	libssh2_agent_set_identity_path(w->agent, w->target->agent);
	if (libssh2_agent_connect(w->agent) == 0 && libssh2_agent_list_identities(w->agent) == 0)
		return true;
	libssh2_agent_free(w->agent);
	w->agent = NULL;
	return false;
}

/* The agent's keys: that of `blob`, or all. */
static bool add_of_agent(struct ssh_way *w, const unsigned char *blob, size_t len)
{
	struct libssh2_agent_publickey *key = NULL, *before = NULL;
	bool found = false;
	char type[64];

	while (libssh2_agent_get_identity(w->agent, &key, before) == 0) {
		before = key;
		if (blob && (key->blob_len != len || memcmp(key->blob, blob, len)))
			continue;
		found = true;
		blob_type(key->blob, key->blob_len, type, sizeof(type));
		if (ssh_key_usable(type))
			add(w, (struct ssh_try){.key = key});
		else
			w->other_may = true;
	}
	return found;
}

/* A certificate beside it is shown by the system's ssh alone. */
static bool has_certificate(const char *path)
{
	char name[1024];

	return (size_t)snprintf(name, sizeof(name), "%s-cert.pub", path) < sizeof(name) &&
	       access(name, R_OK) == 0;
}

static void add_file(struct ssh_way *w, const char *path)
{
	unsigned char blob[4096];
	struct ssh_key_kind kind;
	size_t n;

	ssh_key_look(path, &kind);
	n = public_blob(path, blob, sizeof(blob));
	if (w->agent && n && add_of_agent(w, blob, n))
		w->other_may |= has_certificate(path);
	else if (!kind.readable)
		ssh_say(w->login_error, "%.120s cannot be read: let the user of dcmd read it", path);
	else if (kind.encrypted)
		ssh_say(w->login_error,
			"%.100s is encrypted, and dcm asks for no passphrase: load it into an "
			"agent (ssh-add) that SSH_AUTH_SOCK names",
			path);
	else if (!ssh_key_usable(kind.type))
		w->other_may = true;
	else {
		w->other_may |= has_certificate(path);
		add(w, (struct ssh_try){.path = path});
	}
}

static void gather(struct ssh_way *w)
{
	const struct ssh_target *t = w->target;
	bool agent = agent_open(w);

	w->other_may = t->certificate;
	for (unsigned i = 0; i < t->n_identities; i++)
		add_file(w, t->identity[i]);
	if (agent && !t->identities_only)
		add_of_agent(w, NULL, 0);
}

static void refused(struct ssh_way *w, const char *methods)
{
	const struct ssh_target *t = w->target;

	if (w->agent_silent && !w->n_tries)
		ssh_fail(w, false,
			 "login refused by %s, the agent %.80s does not answer: restart it, or give "
			 "identity_file",
			 t->where, t->agent);
	else if (w->login_error[0] && !w->n_tries)
		ssh_fail(w, w->other_may, "login refused by %s, %s", t->where, w->login_error);
	else if (!w->n_tries && !w->other_may)
		ssh_fail(w, t->gssapi && strstr(methods, "gssapi"),
			 "login refused by %s, there is no key to offer: give identity_file, or "
			 "an agent by SSH_AUTH_SOCK",
			 t->where);
	else
		ssh_fail(w, w->other_may || (t->gssapi && strstr(methods, "gssapi")),
			 "login refused by %s (tried %s): add the public key to "
			 "~%.32s/.ssh/authorized_keys there",
			 t->where, w->tried[0] ? w->tried : "no key that libssh2 knows", t->user);
}

static int next_try(struct ssh_way *w)
{
	const struct ssh_try *t = &w->tries[w->at_try];
	const char *user = w->target->user;
	int rc;

	if (t->key)
		rc = libssh2_agent_userauth(w->agent, user, t->key);
	else
		rc = libssh2_userauth_publickey_fromfile_ex(w->ssh, user, (unsigned)strlen(user),
							    NULL, t->path, NULL);
	if (rc == LIBSSH2_ERROR_EAGAIN || rc == 0)
		return rc;
	if (!(t->key && w->agent_silent) &&
	    (rc == LIBSSH2_ERROR_SOCKET_DISCONNECT || rc == LIBSSH2_ERROR_SOCKET_SEND ||
	     rc == LIBSSH2_ERROR_SOCKET_RECV))
		return rc;
	note(w, t->key ? (t->key->comment && t->key->comment[0] ? t->key->comment : "agent") : t->path);
	if (rc == LIBSSH2_ERROR_FILE || rc == LIBSSH2_ERROR_METHOD_NOT_SUPPORTED)
		w->other_may = true;
	w->at_try++;
	return 1;
}

int ssh_login(struct ssh_way *w)
{
	const char *user = w->target->user;
	int rc;

	if (w->phase == SSH_METHODS) {
		const char *methods = libssh2_userauth_list(w->ssh, user, (unsigned)strlen(user));

		if (!methods && libssh2_userauth_authenticated(w->ssh))
			return 1;
		if (!methods && libssh2_session_last_errno(w->ssh) == LIBSSH2_ERROR_EAGAIN)
			return 0;
		if (!methods) {
			ssh_fail(w, false, "%s closed the connection at login (%s)",
				 w->target->where, ssh_last(w));
			return 1;
		}
		snprintf(w->methods, sizeof(w->methods), "%s", methods);
		if (strstr(methods, "publickey"))
			gather(w);
		else
			w->other_may = true; /* it may know another way without a password */
		w->phase = SSH_LOGIN;
	}
	while (w->at_try < w->n_tries) {
		rc = next_try(w);
		if (rc == LIBSSH2_ERROR_EAGAIN)
			return 0;
		if (rc == 0)
			return 1;
		if (rc < 0) {
			ssh_fail(w, false, "%s closed the connection at login (%s)",
				 w->target->where, ssh_last(w));
			return 1;
		}
	}
	refused(w, w->methods);
	return 1;
}

void ssh_login_clear(struct ssh_way *w)
{
	if (w->agent) {
		libssh2_agent_disconnect(w->agent);
		libssh2_agent_free(w->agent);
	}
	w->agent = NULL;
}
