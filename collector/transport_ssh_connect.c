/*
 * transport_ssh_connect.c - the libssh2 backend's first steps: addresses, the TCP
 * connection, the handshake, and the host key.
 *
 * A vanished host is the kernel's to notice: keep-alive probes while nothing is on
 * its way, and TCP_USER_TIMEOUT for what is not acknowledged, by ssh_config's
 * ServerAlive values.  (libssh2 keeps every answer to a keep-alive of its own.)
 *
 * A host that was silent the last time is given 3 s for its first byte, and then all
 * its time: so that its return is seen soon, whatever a lost packet waits for.
 */
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport_ssh_session.h"

static const double first_byte = 3; /* s, of a host that was silent */
static const int agent_patience = 1000; /* ms that an agent has: the loop waits for it */
static bool was_silent; /* the last connection; a collector has one host */

void ssh_deadline(struct ssh_way *w, double seconds)
{
	w->patience = seconds;
	ssh_timer(w->deadline, seconds);
}

void ssh_deadline_over(struct ssh_way *w)
{
	static const char *const doing[] = {"looking up its name", "connecting", "in the handshake",
					    "at login", "at login"};

	was_silent = !w->heard;
	ssh_fail(w, false, "timeout: no answer of %s within %.0f s %s: check the host and the network",
		 w->target->where, w->patience, doing[w->phase]);
}

/* ---- connecting --------------------------------------------------------------------------- */

static void set_keepalive(struct ssh_way *w)
{
	const struct ssh_target *t = w->target;
	int on = 1, every = (int)t->alive_interval, count = (int)t->alive_count;
	unsigned most = t->alive_interval * t->alive_count * 1000;

	setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(w->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(w->fd, IPPROTO_TCP, TCP_KEEPIDLE, &every, sizeof(every));
	setsockopt(w->fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	setsockopt(w->fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(w->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &most, sizeof(most));
}

static void connect_failed(struct ssh_way *w, int e)
{
	const char *where = w->target->where;

	switch (e) {
	case ECONNREFUSED:
		ssh_fail(w, false, "connection refused by %s: start sshd there, or correct the port",
			 where);
		break;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EINVAL: /* a blackhole */
		ssh_fail(w, false, "no route to %s: check the network, or the address in hosts.yml",
			 where);
		break;
	case EACCES:
	case EPERM:
		ssh_fail(w, false, "no route to %s, a rule of this machine prohibits it: check its "
				   "routes and firewall",
			 where);
		break;
	default:
		ssh_fail(w, false, "cannot connect to %s (%s): check the host and the network",
			 where, strerror(e));
	}
}

/* Tries the addresses one after the other; `e`: why the last one failed. */
static void connect_next(struct ssh_way *w, int e)
{
	while (w->next) {
		struct addrinfo *a = w->next;

		w->next = a->ai_next;
		ssh_want(w, 0);
		if (w->fd >= 0)
			close(w->fd);
		w->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (w->fd < 0) {
			e = errno;
			continue;
		}
		if (!connect(w->fd, a->ai_addr, a->ai_addrlen) || errno == EINPROGRESS)
			return;
		e = errno;
	}
	connect_failed(w, e);
}

static void on_addresses(void *arg, struct addrinfo *list, const char *error)
{
	struct ssh_way *w = arg;

	w->lookup = NULL;
	w->addresses = w->next = list;
	if (error) {
		ssh_fail(w, false,
			 "no address found for the host name of %s (%s): check it in hosts.yml, "
			 "and DNS",
			 w->target->where, error);
	} else {
		w->phase = SSH_CONNECT;
		connect_next(w, EHOSTUNREACH);
	}
	if (was_silent && w->phase == SSH_CONNECT)
		ssh_deadline(w, fmin(first_byte, w->target->timeout));
	ssh_turn(w);
}

/* libssh2 waits for the agent where it stands, for ever. */
static bool agent_answers(struct ssh_way *w, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (!w->agent_silent && poll(&p, 1, agent_patience) > 0)
		return true;
	w->agent_silent = true;
	return false;
}

/* sshd leaves Nagle's algorithm on: the second packet of an answer waits until the first
 * is acknowledged, for which the kernel would take its time (40 ms).  It forgets that it
 * is in a hurry, so it is told each time. */
static ssize_t on_recv(libssh2_socket_t fd, void *buf, size_t len, int flags, void **abstract)
{
	struct ssh_way *w = *abstract;
	int at_once = 1;
	ssize_t n;

	if (fd != w->fd && !agent_answers(w, fd))
		return -ETIMEDOUT;
	n = recv(fd, buf, len, flags);
	if (n < 0)
		return -errno;
	if (fd != w->fd || n == 0)
		return n;
	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &at_once, sizeof(at_once));
	w->received = true;
	if (!w->heard)
		ssh_deadline(w, w->target->timeout);
	w->heard = true;
	was_silent = false;
	return n;
}

static void begin_handshake(struct ssh_way *w)
{
	const char *methods;

	set_keepalive(w);
	w->ssh = libssh2_session_init_ex(NULL, NULL, NULL, w);
	w->known = w->ssh ? ssh_known_read(w->ssh, w->target) : NULL;
	if (!w->known) {
		ssh_fail(w, false, "no memory for the way to %s", w->target->where);
		return;
	}
	libssh2_session_set_blocking(w->ssh, 0);
	libssh2_session_callback_set(w->ssh, LIBSSH2_CALLBACK_RECV, (void *)on_recv);
	methods = ssh_known_methods(w->known);
	if (!*methods) {
		w->phase = SSH_HOST_KEY;
		ssh_fail(w, true,
			 "libssh2 cannot check the host key of %s that known_hosts holds (RSA, "
			 "FIDO or a certificate): set ssh_backend to auto or openssh",
			 w->target->where);
		return;
	}
	libssh2_session_method_pref(w->ssh, LIBSSH2_METHOD_HOSTKEY, methods);
	w->phase = SSH_HANDSHAKE;
}

void ssh_connected(struct ssh_way *w)
{
	struct sockaddr_storage peer;
	socklen_t n = sizeof(peer), m = sizeof(int);
	int e = 0;

	getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &e, &m);
	if (e)
		connect_next(w, e);
	else if (!getpeername(w->fd, (struct sockaddr *)&peer, &n))
		begin_handshake(w);
}

/* ---- handshake, host key -------------------------------------------------------------------- */

void ssh_handshake_failed(struct ssh_way *w, int rc)
{
	const char *where = w->target->where;

	switch (rc) {
	case LIBSSH2_ERROR_KEX_FAILURE:
	case LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE:
	case LIBSSH2_ERROR_HOSTKEY_INIT:
	case LIBSSH2_ERROR_HOSTKEY_SIGN:
	case LIBSSH2_ERROR_METHOD_NONE:
		ssh_fail(w, true,
			 "handshake with %s failed, libssh2 shares no algorithms with it (%s): set "
			 "ssh_backend to auto or openssh",
			 where, ssh_last(w));
		break;
	case LIBSSH2_ERROR_SOCKET_DISCONNECT:
	case LIBSSH2_ERROR_SOCKET_RECV:
	case LIBSSH2_ERROR_SOCKET_SEND:
	case LIBSSH2_ERROR_BANNER_RECV:
		ssh_fail(w, false,
			 "%s closed the connection in the handshake: is it sshd, and is its "
			 "MaxStartups reached?",
			 where);
		break;
	default:
		ssh_fail(w, false, "handshake with %s failed (%s)", where, ssh_last(w));
	}
}

static void host_key_refused(struct ssh_way *w, enum ssh_known_verdict v, const char *file)
{
	const struct ssh_target *t = w->target;
	const char *hash = libssh2_hostkey_hash(w->ssh, LIBSSH2_HOSTKEY_HASH_SHA256);
	const char *add_to = t->n_known ? t->known[0] : "~/.ssh/known_hosts";
	bool other = ssh_known_by_authority(w->known);
	char print[64] = "?";
	ssh_why why;

	if (hash)
		ssh_base64((const unsigned char *)hash, 32, print);
	if (v == KNOWN_REVOKED)
		ssh_fail(w, false, "host key of %s (SHA256:%s) is revoked in %.90s: do not trust this "
				   "host",
			 t->where, print, file);
	else if (v == KNOWN_CHANGED) {
		ssh_say_changed(t, print, file, why);
		ssh_fail(w, other, "%s", why);
	} else
		ssh_fail(w, other,
			 "host key of %.60s is unknown: check its SHA256:%s, then ssh-keyscan -p %u "
			 "%.40s >> %.64s",
			 t->where, print, t->port, t->host, add_to);
}

void ssh_check_host_key(struct ssh_way *w)
{
	size_t len = 0;
	int type;
	const char *key = libssh2_session_hostkey(w->ssh, &len, &type), *file;
	enum ssh_known_verdict v = KNOWN_NOT;

	w->phase = SSH_HOST_KEY;
	if (key)
		v = ssh_known_check(w->known, (const unsigned char *)key, len, &file);
	if (!key || v != KNOWN_OK) {
		host_key_refused(w, v, key ? file : NULL);
		return;
	}
	ssh_known_free(w->known);
	w->known = NULL;
	w->phase = SSH_METHODS;
}

void ssh_connect(struct ssh_way *w)
{
	w->lookup = ssh_lookup(w->base, w->target->host, w->target->port, on_addresses, w);
	if (!w->lookup)
		ssh_fail(w, false, "no memory to look up %s", w->target->where);
}
