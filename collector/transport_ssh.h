/*
 * transport_ssh.h - what the files of the SSH transport share.
 *
 *	transport_ssh.c		the transport: resolves, chooses a backend, falls back
 *	transport_ssh_target.c	what hosts.yml and ssh_config say together (ssh -G)
 *	transport_ssh_lookup.c	name to addresses, beside the loop
 *	transport_ssh_child.c	a program run beside the loop
 *	transport_ssh_place.c	the private directory, and the listener in it
 *	transport_ssh_key.c	what kind of key a file holds
 *	transport_ssh_known.c	known_hosts
 *	transport_ssh_command.c	what is run on the host, and what it answers
 *	transport_ssh_http.c	is a connection idle?
 *	transport_ssh_session.c	backend libssh2: from a name to a session that serves
 *	transport_ssh_connect.c	its way to the server, and the host key
 *	transport_ssh_auth.c	its login
 *	transport_ssh_stream.c	its channels
 *	transport_ssh_open.c	how they open
 *	transport_ssh_sftp.c	files by SFTP
 *	transport_ssh_output.c	what a program prints
 *	transport_openssh.c	backend: the system's ssh
 *	transport_openssh_args.c	how it is called, and what it says
 *	transport_openssh_run.c	a command over its master
 *	transport_openssh_ping.c	does an engine answer there?
 *	transport_ssh_mux.c	the bytes that the master understands
 */
#ifndef DCM_TRANSPORT_SSH_H
#define DCM_TRANSPORT_SSH_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../shm/dcm.h"
#include "config.h"

enum {
	SSH_WHY = 256,	     /* of a sentence: what a host's row takes */
	SSH_IDENTITIES = 8,  /* key files, at most */
	SSH_KNOWN_FILES = 8, /* known_hosts files, at most */
	SSH_FILES = 4,	     /* files that are read at once */
	SSH_DIAL_MAX = 8,    /* dial-stdio channels of a session: MaxSessions is 10 */
};

typedef char ssh_why[SSH_WHY];
/* A sentence, cut where it does not fit. */
void ssh_say(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ssh_timer(struct event *timer, double seconds);

/* ---- target: where to, and as whom ------------------------------------------------- */

struct ssh_target {
	char *name;	/* as hosts.yml says it */
	char *host;	/* HostName */
	char *user;
	unsigned port;
	char *alias;	/* HostKeyAlias, or NULL */
	char *identity[SSH_IDENTITIES];
	unsigned n_identities;
	bool identities_only;
	char *known[SSH_KNOWN_FILES]; /* the first is where a new key belongs */
	unsigned n_known;
	char *agent;	/* socket of the agent, or NULL */
	bool jump;	/* ProxyJump or ProxyCommand */
	bool gssapi;
	bool certificate; /* ssh_config names one to log in with */
	bool have_ssh;	/* there is an `ssh` program */
	double timeout; /* s to be ready; the shorter of both */
	unsigned alive_interval, alive_count;
	char *config;	/* the -F to give to ssh, or NULL */
	char *dial;	/* the command there that leads to the engine */
	char where[160];
};
struct ssh_resolving;
/* Asks `ssh -G`; done is called once from the loop, t NULL with why: no memory,
 * or ssh refused (a bad ssh_config).  The target is the caller's. */
struct ssh_resolving *ssh_resolve(struct event_base *base, const struct endpoint *at,
				  double timeout,
				  void (*done)(void *arg, struct ssh_target *t, const char *why),
				  void *arg);
void ssh_resolve_cancel(struct ssh_resolving *r);
void ssh_target_free(struct ssh_target *t);
/* What `ssh -G` printed, into a target that has name, host and user. */
void ssh_target_read(struct ssh_target *t, const struct endpoint *at, const char *text);

/* ---- backends ---------------------------------------------------------------------- */

/* Each is called from the loop, and its caller touches nothing of the backend
 * afterwards: it may be closed in there. */
struct ssh_owner {
	void (*up)(void *arg);
	/* It never came up, for this step failed, or it is lost.  other: the system's ssh
	 * may well manage. */
	void (*down)(void *arg, enum dcm_step step, bool other, const char *why);
};
struct ssh_way;
typedef void ssh_file_done(void *arg, const char *data, size_t len, const char *error);
struct ssh_backend_ops {
	const char *name;
	struct ssh_way *(*open)(struct event_base *base, const struct endpoint *at,
				    const struct ssh_target *target,
				    const struct ssh_owner *owner, void *arg);
	const char *(*socket)(struct ssh_way *b); /* for libcurl, when it is up */
	/* Requests at once besides events and a ping; 0: any number. */
	unsigned (*connections)(struct ssh_way *b);
	/* May libcurl keep connections for later?  NULL: yes. */
	bool (*keeps)(struct ssh_way *b);
	/* At most SSH_FILES at once; done is called once from the loop, or never after
	 * close.  -1: it cannot be started. */
	int (*read_file)(struct ssh_way *b, const char *path, size_t max, ssh_file_done *done,
			 void *arg);
	void (*close)(struct ssh_way *b);
};
extern const struct ssh_backend_ops ssh_libssh2, ssh_openssh;

/* ---- tools ------------------------------------------------------------------------- */

struct ssh_lookup;
/* done(arg, list, error) once from the loop; the list (getaddrinfo's) is the caller's. */
struct addrinfo;
struct ssh_lookup *ssh_lookup(struct event_base *base, const char *host, unsigned port,
			      void (*done)(void *arg, struct addrinfo *list, const char *error),
			      void *arg);
void ssh_lookup_cancel(struct ssh_lookup *l);

struct ssh_child;
struct ssh_child_result {
	int status;	 /* as waitpid() tells; -1: it took too long and was killed */
	const char *out, *err; /* NUL-terminated; what came first, at most the maximum */
	size_t out_len;
};
enum { SSH_CHILD_ERR_MAX = 4096 };
/* Runs argv beside the loop, its output kept up to `max` bytes; it dies with this
 * process.  stdio >= 0: taken, and given to it as stdin and stdout.  seconds 0: no
 * limit.  done is called once from the loop, and the child is gone then. */
struct ssh_child *ssh_child_start(struct event_base *base, const char *const argv[], int stdio,
				  size_t max, double seconds,
				  void (*done)(void *arg, const struct ssh_child_result *r),
				  void *arg);
/* What it said so far on its standard error. */
const char *ssh_child_said(const struct ssh_child *c);
/* Kills and reaps it; done is not called any more. */
void ssh_child_kill(struct ssh_child *c);

struct ssh_place;
/* A private directory; accepted(arg, fd) hands over each connection of this very
 * process to its socket.  NULL with why. */
struct ssh_place *ssh_place_open(struct event_base *base, void (*accepted)(void *arg, int fd),
				 void *arg, char *why);
const char *ssh_place_socket(const struct ssh_place *p);
/* A name in the directory; buf of at least SSH_PATH bytes. */
enum { SSH_PATH = 108 };
void ssh_place_path(const struct ssh_place *p, const char *name, char *buf);
void ssh_place_close(struct ssh_place *p);

/* What a private key file holds. */
struct ssh_key_kind {
	char type[64]; /* "ssh-ed25519", "ssh-rsa" …; "": not to be told */
	bool readable, encrypted;
};
void ssh_key_look(const char *path, struct ssh_key_kind *out);
/* May libssh2 1.10 use a key of this type? */
bool ssh_key_usable(const char *type);
/* Base64 without padding; out has room for len * 4 / 3 + 4.  Returns the length. */
size_t ssh_base64(const unsigned char *data, size_t len, char *out);
/* Decodes until something else comes; returns the length. */
size_t ssh_unbase64(const char *text, size_t len, unsigned char *out, size_t room);

/* Where a connection of libcurl's is in HTTP: transport_ssh_http.c. */
struct ssh_http {
	bool busy, chunked;
	size_t got, total;
	double at;
	char tail[5];
};
void http_asked(struct ssh_http *h);
void http_answered(struct ssh_http *h, const char *data, size_t len, double now);
/* Its answer came whole, and nothing since `since`. */
bool http_idle(const struct ssh_http *h, double since);

/* Shell commands, for `sh -c` in a login shell of any kind. */
/* Prints where the docker command there would go; nothing: the default. */
extern const char ssh_engine_command[];
/* Prints a file; its output is SSH_FILE_EXTRA bytes longer.  To be freed; NULL: the
 * path does not fit, or there is no memory. */
char *ssh_file_command(const char *path, size_t max);
enum { SSH_FILE_EXTRA = 4 };
/* Makes *data and *len the file's; or returns why there is none. */
const char *ssh_file_read(int exit_status, const char **data, size_t *len);
/* The socket of what ssh_engine_command printed: a path, NULL for the default, or
 * "" where only the docker program knows the way. */
const char *ssh_engine_path(char *printed);
/* `docker system dial-stdio` to the socket at this path, as the docker program runs it
 * for ssh://HOST/PATH; NULL: to the engine that it finds there by itself.  To be freed. */
char *ssh_dial_command(const char *path);
/* The sentence of a host that shows another key (base64 of its SHA256) than the file has. */
void ssh_say_changed(const struct ssh_target *t, const char *print, const char *file, char *why);
/* What `docker system dial-stdio` said on its standard error, as a sentence. */
void ssh_docker_error(const struct ssh_target *t, const char *said, int status, char *why);

#endif
