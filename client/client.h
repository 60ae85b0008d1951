/*
 * client.h - what the files of dcm-client share: options, exit statuses,
 * messages.
 *
 * Data flows one way: options.c parses the line, main.c finds the command in
 * its table; a command (cmd_*.c, watch.c, doctor.c) asks libdcm and hands rows
 * to an output (output.h), which renders them as a table, JSON or by a format.
 * A command returns its exit status; fail() prints the one message.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "../shm/dcm.h"
#include "output.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_NOTFOUND = 1,   /* no such container or host, or an ambiguous one */
	EXIT_USAGE = 2,
	EXIT_NOTRUNNING = 3, /* or not readable by you */
	EXIT_PARTIAL = 4,    /* partial, or not fresh though that was demanded */
	EXIT_OTHER = 5,
};

struct filter;

struct options {
	const char *instance, *runtime_dir, *format;
	bool json, quiet, refresh, strict, all, help, version;
	long n;			/* 0: not given */
	struct filter *filter;	/* NULL: none */
	unsigned given;		/* which of OPT_* were */
	char **words;		/* all that are no options */
	const char *command;	/* the first; NULL: none */
	char **args;		/* the others */
	int n_args;
};
/* EXIT_OK, or a message was printed.  Free it in either case. */
int options_parse(struct options *o, int argc, char **argv);
void options_free(struct options *o);

enum {
	OPT_QUIET = 1,
	OPT_FILTER = 2,
	OPT_REFRESH = 4, /* --refresh and --strict */
	OPT_N = 8,
	OPT_ALL = 16,
};

struct client {
	dcm *d;
	struct options o;
	struct output out;
	bool stale; /* --strict, and the answer is not fresh: exit 4 */
};

/* The most that is waited for dcmd to read hosts anew, or to fetch a log. */
enum { REFRESH_TIMEOUT_MS = 120000, LOGS_TIMEOUT_MS = 30000, FORGET_TIMEOUT_MS = 15000 };

/* One line on standard error, "dcm-client: …", made safe; fail() returns
 * `status`, so that a command can end with it. */
int fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same with dcm_error() and the status that belongs to `rc`. */
int fail_rc(const struct client *c, int rc);
int exit_of(int rc);

/* ---- commands: each returns the exit status ---------------------------- */

int cmd_ps(struct client *c);
int cmd_get(struct client *c);
int cmd_stack(struct client *c);
int cmd_label(struct client *c);
int cmd_search(struct client *c);
int cmd_top(struct client *c);
int cmd_mounts(struct client *c);
int cmd_network(struct client *c);
int cmd_status(struct client *c);
int cmd_health(struct client *c);

int cmd_hosts(struct client *c);
int cmd_stats(struct client *c);
int cmd_discover(struct client *c);

int cmd_logs(struct client *c);
int cmd_refresh(struct client *c);
int cmd_forget(struct client *c);

int cmd_watch(struct client *c);
int cmd_doctor(struct client *c);

/* ---- shared by commands ------------------------------------------------ */

/* Opens c->d as the options say; enum dcm_rc, with the sentence in err. */
int client_open(struct client *c, char *err, size_t errlen);
/* EXIT_OK where the host exists, else a message. */
int host_exists(struct client *c, const char *host);
/* Reads hosts anew (n 0: all) for --refresh: what cannot be is a warning, and
 * under --strict makes an answer exit 4. */
void refresh_first(struct client *c, const char *const *hosts, size_t n);
/* dcm_read() that tries again while a writer is faster. */
int read_record(struct client *c, struct dcm_ref ref, struct dcm_record *r);

#endif
