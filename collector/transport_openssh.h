/* transport_openssh.h - what the files of the backend by the system's ssh share. */
#ifndef DCM_TRANSPORT_OPENSSH_H
#define DCM_TRANSPORT_OPENSSH_H

#include "transport_ssh.h"

enum {
	PROGRAM_ARGS = 64,
	PROGRAM_TEXT = 4096, /* of the arguments that are made up */
	PROGRAM_DIALS = 4,   /* dial-stdio streams at once */
	PROGRAM_WAITING = 64, /* connections that wait for one */
};

/* An argument vector and the texts that it points to. */
struct program_args {
	const char *v[PROGRAM_ARGS];
	unsigned n;
	char text[PROGRAM_TEXT];
	size_t used;
};
/* The one connection to the host, kept as a master of others. */
void program_master(struct program_args *a, const struct ssh_target *t, const struct endpoint *at,
		    const char *control);
/* A command over it; NULL: what follows is to be added (-O forward …). */
void program_client(struct program_args *a, const struct ssh_target *t, const struct endpoint *at,
		    const char *control, const char *command);
/* A forwarding of `local` to `remote`, asked of the master. */
void program_forward(struct program_args *a, const struct ssh_target *t, const struct endpoint *at,
		     const char *control, const char *local, const char *remote);
/* What ssh said on its standard error, as a sentence; returns the step that failed. */
enum dcm_step program_error(const struct ssh_target *t, const char *said, char *why);

struct program_run;
struct program_result {
	int status; /* exit status; -1: none, the connection was lost or it took too long */
	const char *out, *err; /* NUL-terminated; what came first, at most the maximum */
	size_t out_len;
};
typedef void program_done(void *arg, const struct program_result *r);
/* Runs a command on the host over the master, its output kept up to `max` bytes.
 * target, at and control must outlive it.  stdio >= 0: taken, and given to it as stdin
 * and stdout.  seconds 0: no limit.  done is called once from the loop, and the run is
 * gone then.  What was refused has status -1, and the reason in err. */
struct program_run *program_run(struct event_base *base, const struct ssh_target *target,
				const struct endpoint *at, const char *control,
				const char *command, int stdio, size_t max, double seconds,
				program_done *done, void *arg);
/* Ends it, there as well; done is not called any more. */
void program_run_cancel(struct program_run *r);

struct ssh_ping;
/* Writes a ping to fd (taken) and waits for the first bytes of an answer; done is
 * called once from the loop. */
struct ssh_ping *ssh_ping(struct event_base *base, int fd, double seconds,
			  void (*done)(void *arg, bool answered), void *arg);
void ssh_ping_cancel(struct ssh_ping *p);

#endif
