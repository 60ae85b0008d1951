/*
 * transport_ssh_session.h - what the files of the libssh2 backend share.
 *
 * One libssh2 session, non-blocking.  Three rules of libssh2 1.10 shape it all:
 *
 *  - A call that could send a part of its packet only must be repeated, unchanged,
 *    before any other call sends: `blocked` says who, and nobody else is let near
 *    the session until then.
 *  - Any call may take packets of other channels off the socket: after each pass
 *    that read something every channel is looked at again.
 *  - Opening a channel is a state of the session: one opens at a time.
 */
#ifndef DCM_TRANSPORT_SSH_SESSION_H
#define DCM_TRANSPORT_SSH_SESSION_H

#include <libssh2.h>
#include <stdint.h>
#include <sys/queue.h>

#include "transport_ssh.h"
#include "transport_ssh_known.h"

enum {
	STREAM_CHUNK = 32 << 10,  /* moved at once; at most this waits in either direction */
	STREAM_WINDOW = 256 << 10, /* that the server may send unasked */
	COMMAND_ERR = 1024,	  /* kept of a command's standard error */
};

enum stream_kind {
	STREAM_ENGINE, /* a connection of libcurl's */
	STREAM_PROBE,  /* does the engine answer this way?  Nobody's connection */
	STREAM_COMMAND,
	STREAM_FILES, /* the SFTP channel: transport_ssh_sftp.c does its steps */
};
enum stream_state {
	STREAM_WAIT, /* for its turn to open */
	STREAM_OPEN,
	STREAM_EXEC,
	STREAM_RUN,
	STREAM_FREE, /* until the server has closed it, too */
};

struct ssh_way;
struct ssh_command_result {
	const char *out;
	size_t len;
	const char *err;
	int status;	    /* exit status; -1: it could not be run */
	const char *failed; /* why not, where status is -1 */
};

typedef void ssh_command_done(struct ssh_way *w, void *arg, const struct ssh_command_result *r);

struct ssh_stream {
	TAILQ_ENTRY(ssh_stream) link;
	struct ssh_way *way;
	enum stream_kind kind;
	enum stream_state state;
	bool dial;	    /* an exec channel, to dial-stdio or another command */
	bool write_first;   /* the write was cut: it comes before all else */
	bool eof_sent, local_gone;
	LIBSSH2_CHANNEL *channel;
	int fd;		    /* libcurl's end */
	struct event *readable, *writable;
	char *out;	    /* to the host: out_len - out_off bytes wait */
	size_t out_len, out_off;
	char *in;	    /* to libcurl: the same.  Of a command: all that it printed */
	size_t in_len, in_off, max;
	double stalled;	    /* when the oldest of what waits began to; 0: nothing waits */
	double limit;	    /* of a command or probe: when it has to be over; 0: none */
	char err[COMMAND_ERR];
	size_t err_len;
	char *command;
	struct ssh_http http;
	/* of commands and probes; called outside libssh2, the stream goes afterwards */
	ssh_command_done *done;
	void *arg;
	bool finished;
	int status;
	ssh_why failed;
};

enum ssh_phase {
	SSH_LOOKUP,
	SSH_CONNECT,
	SSH_HANDSHAKE,
	SSH_HOST_KEY,
	SSH_METHODS, /* which ways to log in? */
	SSH_LOGIN,
	SSH_DISCOVER,
	SSH_PROBE_FORWARD,
	SSH_PROBE_DIAL,
	SSH_UP,
	SSH_DEAD,
};

enum { SSH_TRIES = 16 };
struct ssh_try {
	const char *path;			 /* of a key file, or */
	struct libssh2_agent_publickey *key; /* of the agent */
};

/* A file that is asked for. */
struct ssh_file {
	ssh_file_done *done; /* NULL: this place is free */
	void *arg;
	char *path; /* NULL: a command reads it */
	size_t max;
};

struct ssh_way {
	struct event_base *base;
	const struct endpoint *at;
	const struct ssh_target *target;
	const struct ssh_owner *owner;
	void *owner_arg;
	enum ssh_phase phase;

	struct ssh_lookup *lookup;
	struct addrinfo *addresses, *next;
	int fd;
	LIBSSH2_SESSION *ssh;
	struct event *io; /* the socket */
	struct event *deadline, *tick, *kick;
	short io_wants;
	struct ssh_known *known;

	/* login */
	LIBSSH2_AGENT *agent;
	struct ssh_try tries[SSH_TRIES];
	unsigned n_tries, at_try;
	bool other_may; /* there are keys, or methods, for the system's ssh alone */
	bool agent_silent; /* it is not asked again */
	char tried[100], methods[128];
	ssh_why login_error;

	/* channels */
	TAILQ_HEAD(, ssh_stream) streams;
	struct ssh_stream *opening, *blocked;
	double blocked_at;
	bool received;	    /* since it was set to false */
	bool heard;	    /* the server has said something */
	double patience;    /* s, of the deadline that runs */
	unsigned dial_most; /* exec channels at once */
	double freed_at;    /* the last one; sshd may still count it */
	double refused_at, refused_until; /* since when; 0: it is not */
	struct ssh_place *place;
	char *engine;	    /* its socket there; "": only docker knows */
	bool dial;	    /* the socket cannot be opened: dial-stdio */
	double forward_again; /* when to try whether it can be opened by now */
	char scratch[STREAM_CHUNK];

	/* what to tell the owner, from the kick event */
	bool say_up, say_down, other;
	enum dcm_step step; /* that failed */
	ssh_why why;

	struct ssh_file files[SSH_FILES];
	struct ssh_sftp *sftp;
	struct ssh_stream *files_stream;
};

/* transport_ssh_session.c */
double ssh_now(void);
/* The session is over; the owner is told from the loop. */
void ssh_fail(struct ssh_way *w, bool other, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Something can be done: soon, from the loop. */
void ssh_kick(struct ssh_way *w);
/* Does all that can be done, waits for what libssh2 waits for, and tells the owner:
 * the last thing that a callback calls. */
void ssh_turn(struct ssh_way *w);
/* Waits for these events of the socket. */
void ssh_want(struct ssh_way *w, short events);
/* The engine's socket there; "" where only docker knows the way. */
const char *ssh_engine(const struct ssh_way *w);
/* libssh2's last words. */
const char *ssh_last(struct ssh_way *w);

/* transport_ssh_connect.c: steps to a server whose key is right. */
void ssh_deadline(struct ssh_way *w, double seconds);
void ssh_deadline_over(struct ssh_way *w);
void ssh_connect(struct ssh_way *w);
void ssh_connected(struct ssh_way *w); /* or not yet, or not at all */
void ssh_handshake_failed(struct ssh_way *w, int rc);
void ssh_check_host_key(struct ssh_way *w);

/* transport_ssh_auth.c: 1 when done (logged in, or failed), 0 to be called again. */
int ssh_login(struct ssh_way *w);
void ssh_login_clear(struct ssh_way *w);

/* transport_ssh_open.c: false where the pass ends there. */
bool ssh_stream_open(struct ssh_stream *st);

/* transport_ssh_sftp.c */
/* -1: there is no SFTP. */
int ssh_sftp_read(struct ssh_way *w, struct ssh_file *f, const char *path);
bool ssh_sftp_step(struct ssh_stream *st); /* as ssh_stream_open() */
void ssh_sftp_tick(struct ssh_way *w);
bool ssh_sftp_busy(const struct ssh_way *w);
void ssh_sftp_free(struct ssh_way *w);
/* transport_ssh_session.c: the other way to a file. */
int ssh_file_by_command(struct ssh_way *w, struct ssh_file *f, const char *path);

/* transport_ssh_stream.c */
/* Nobody wants it any more.  What is opening must first be open, and a packet that
 * was cut must first be whole. */
void ssh_stream_end(struct ssh_stream *st);
/* The end of a connection; the answer of a command or probe. */
void ssh_stream_finish(struct ssh_stream *st, int status, const char *failed);
/* After EAGAIN: true where the call must be repeated before all others. */
bool ssh_stream_blocked(struct ssh_stream *st);
struct ssh_stream *ssh_stream_new(struct ssh_way *w, enum stream_kind kind, int fd);
/* Runs a command there, keeping up to `max` bytes of what it prints.  -1: no memory. */
int ssh_command(struct ssh_way *w, const char *command, size_t max, double seconds,
		ssh_command_done *done, void *arg);
/* Asks the engine for a ping over a channel of its own. */
int ssh_probe(struct ssh_way *w, bool dial, double seconds, ssh_command_done *done, void *arg);
void ssh_streams_pass(struct ssh_way *w);
/* Is there one that takes what the server sends? */
bool ssh_streams_listen(const struct ssh_way *w);
void ssh_streams_tick(struct ssh_way *w);
/* Tells those who finished. */
void ssh_streams_report(struct ssh_way *w);
/* Without a word to the server. */
void ssh_streams_drop(struct ssh_way *w);
/* Connections of libcurl's end now. */
void ssh_streams_hang_up(struct ssh_way *w);

#endif
