/*
 * supervisor_impl.h - the parts of the supervisor, and how they call each other.
 *
 *	supervisor.c		the loop: signals, control sockets, deadlines; start, stop
 *	supervisor_child.c	one child: fork, what it inherits, silence, death, restart
 *	supervisor_hosts.c	which collectors there are: start and reload
 *	supervisor_dir.c	the directory region, through which readers find shards
 *	supervisor_memory.c	is what we hold in /dev/shm still there?
 *	supervisor_message.c	what children say: shards, cycles, requests passed on
 *	restart.c		how long to wait before a restart (pure)
 *
 * A child's life, by state and event (s6's way):
 *
 *	state \ event	deadline		death			told to stop
 *	WAITING		fork -> RUNNING		-			-> GONE
 *	RUNNING		silent: KILL -> ENDING	wanted: -> WAITING	TERM -> ENDING
 *	ENDING		KILL			wanted: -> WAITING	-
 *					        else    -> GONE
 *
 * Single-threaded; nothing here waits for anything but epoll.
 */
#ifndef DCM_SUPERVISOR_IMPL_H
#define DCM_SUPERVISOR_IMPL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <time.h>

#include "../shm/clock.h"
#include "../shm/condition.h"
#include "../shm/control.h"
#include "../shm/region_write.h"
#include "restart.h"
#include "supervisor.h"

enum {
	ASKS_OUTSTANDING_MAX = 4096, /* requests passed on and not answered yet */
	OUTGOING_MAX = 1024,	     /* messages that wait for one child */
	MESSAGES_A_TURN = 256,	     /* of one child, before the others have theirs */
	FORKS_A_TURN = 16,
};

enum child_state { CHILD_WAITING, CHILD_RUNNING, CHILD_ENDING, CHILD_GONE };

struct outgoing {
	STAILQ_ENTRY(outgoing) link;
	struct control_msg msg;
};

struct child {
	char host[64]; /* "": the broker */
	enum child_state state;
	bool wanted;   /* to run; false: it is on its way out */
	bool fresh;    /* its shards are to be unlinked before the next start */
	pid_t pid;
	int control;   /* -1: closed */
	double due;    /* WAITING: fork; ENDING: KILL */
	double heard;  /* RUNNING: when it last said something, or was forked */
	bool spoke, beaten, killed;
	const char *why; /* it was told to end, for the log */
	struct restart_history history;
	int64_t restarts;
	uint32_t generation; /* of its shard, as the directory shows it */
	char trouble[160];   /* why it cannot work, as the directory shows it; "" */
	enum condition trouble_of;
	bool shard_gone;     /* when last looked at */
	struct { /* the last list cycle; reported: since the last log line */
		bool reported, ok;
		int64_t containers;
		double seconds;
	} cycle;
	STAILQ_HEAD(, outgoing) outgoing;
	size_t n_outgoing;
};

/* A request of the broker that a collector has.  Tokens on the way to the
 * collector are the supervisor's own, so that an answer to a broker that died
 * never reaches its successor. */
struct ask {
	uint64_t token, theirs;
	struct child *to;
	double since;
};

struct supervisor {
	const struct supervisor_options *opt;
	struct instance *instance;
	struct config config;
	struct region *dir;
	bool dir_behind;     /* a write failed: everything is written again */
	bool dir_touched;    /* since the last publish */
	bool self_behind;    /* its own row is to be written, at the next beat */
	struct conditions conditions, of_broker; /* the latter as it told of them */
	int epoll, signals, bell;
	pid_t pid;
	double started_unix, started;
	struct clock_watch clock;
	struct child broker;
	struct child **hosts;
	size_t n_hosts;
	struct ask *asks;
	size_t n_asks;
	uint64_t last_token;
	unsigned forks_left; /* of this turn */
	bool reap, reload, stop, hurry, ready, warm;
	bool ousted;	     /* another dcmd has the instance */
	uint64_t dir_inode;
	double stop_by, tick_at, cycle_since, cycle_logged, memory_check_at;
};

static inline double mono_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* supervisor.c */
void supervisor_tell_ready(const struct supervisor *s); /* the service manager */

/* supervisor_child.c */
void child_init(struct child *c, const char *host, double due);
const char *child_name(const struct child *c); /* for the log: host, or NULL */
/* Does what is due; the next time that something is. */
double child_deadline(struct supervisor *s, struct child *c, double now);
void child_stop(struct child *c, double now, double patience, const char *why);
void child_send(struct supervisor *s, struct child *c, const struct control_msg *m);
void child_readable(struct supervisor *s, struct child *c, double now);
void child_writable(struct supervisor *s, struct child *c);
void children_reap(struct supervisor *s, double now);

/* It cannot work, and why; it can again.  Said once each. */
void child_trouble(struct supervisor *s, struct child *c, enum condition which, const char *why);
void child_well(struct supervisor *s, struct child *c, enum condition which);

/* supervisor_hosts.c */
struct child *hosts_find(struct supervisor *s, const char *id);
void hosts_start(struct supervisor *s, double now);
void hosts_reload(struct supervisor *s, double now);
/* A child that was not to come back is gone: frees it (not the broker). */
void hosts_gone(struct supervisor *s, struct child *c);
void hosts_unlink_shards_of(struct supervisor *s, const char *id);

/* supervisor_dir.c */
int directory_open(struct supervisor *s, char *err, size_t errlen);
void directory_sync(struct supervisor *s);	/* all rows as they should be */
void directory_host(struct supervisor *s, const struct child *c);
void directory_forget(struct supervisor *s, struct child *c); /* until it is put again */
void directory_self(struct supervisor *s);
void directory_conditions_init(struct supervisor *s);
void directory_publish(struct supervisor *s);	/* when something was touched */
void directory_beat(struct supervisor *s);

/* supervisor_memory.c */
void memory_check(struct supervisor *s, double now);

/* supervisor_message.c */
void message_from(struct supervisor *s, struct child *c, const struct control_msg *m, double now);
void asks_of_dead(struct supervisor *s, const struct child *c);
void cycles_check(struct supervisor *s, double now); /* logs a finished one */

#endif
