/*
 * collector_impl.h - the parts of a collector, and how they call each other.
 *
 *	collector.c	the process: region, control socket, timers
 *	handshake.c	connect, negotiate, subscribe
 *	session.c	the host's state, backoff, what a loss leads to
 *	pulse.c		does the engine answer?
 *	watch.c		the event stream; an event becomes "inspect this soon"
 *	cycle.c		a list, compared with what is held, and what it leads to
 *	inventory.c	the containers that are known, and the debounce
 *	inspect.c	the queue of inspects
 *	sampler.c	one-shot stats
 *	compose.c	compose projects
 *	compose_files.c	the text of compose files
 *	catalog.c	the host's images and networks
 *	publish.c	decoded containers into the region; the host's row
 *	ask.c		refresh, logs, forget
 *	snapshot_file.c	the snapshot on disk: read at the start, written on change
 *
 * Each container's private state is small; what was published is read back from
 * the region where it is needed.  Times named *_at and `now` are mono_now();
 * times for records and `verified` are Unix seconds.
 */
#ifndef DCM_COLLECTOR_IMPL_H
#define DCM_COLLECTOR_IMPL_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "../shm/child.h"
#include "../shm/clock.h"
#include "../shm/condition.h"
#include "../shm/control.h"
#include "../shm/log.h"
#include "../shm/record.h"
#include "../shm/region_write.h"
#include "../shm/snapshot.h"
#include "arena.h"
#include "config.h"
#include "decode.h"
#include "engine.h"
#include "redact.h"
#include "transport.h"

enum {
	CONTAINERS_MAX = 1 << 18, /* of one host; what a list has beyond is left out */
	GONE_SLOTS = 1024,	  /* ids that are remembered as removed */
	EVENTS_SEEN = 512,	  /* events that are remembered, for replays */
	ASKS_MAX = 256,		  /* requests that wait; more are refused */
	SLOW_INSPECTS = 128,	  /* inspects that hang, beside inspect_concurrency */
	STATS_AUTO = 128,
	ARENA_INSPECT = 96 << 20,
	ARENA_CATALOG = 16 << 20,
	COMPOSE_MAX = 256 << 10, /* bytes of a record's compose_file_content */
	STACK_MAX = 1024,	 /* names in compose_stack_containers */
	PROJECT_BUCKETS = 256,
};

LIST_HEAD(project_list, project);
struct project {
	LIST_ENTRY(project) link; /* in its hash bucket */
	LIST_ENTRY(project) dirty_link;
	LIST_HEAD(, container) members;
	unsigned count;
	bool dirty; /* a member came, went or was renamed */
	char name[];
};

enum queue_name { QUEUE_NONE, QUEUE_SETTLING, QUEUE_URGENT, QUEUE_SWEEP };

struct container {
	uint8_t id[32];
	struct collector *collector;
	struct container *chain;     /* in its hash bucket */
	TAILQ_ENTRY(container) link; /* in the queue that it waits in */
	TAILQ_ENTRY(container) sample_link;
	LIST_ENTRY(container) project_link;
	struct project *project;
	struct inspection *inspecting; /* in flight, else NULL */
	struct engine_request *sampling;
	double first_seen_at, due_at, second_sample_at;
	double cached_at, last_updated; /* Unix s; NaN: not yet */
	uint64_t listed;		/* hash of what the list last said of it */
	uint64_t started;		/* hash of State.StartedAt */
	uint64_t files;			/* hash of compose_config_files */
	uint64_t cpu_total, cpu_system; /* the sample before; cpu_system 0: none */
	double sampled;			/* its time, by the engine's clock */
	uint32_t cycle;			/* the last list that had it */
	uint8_t queue;			/* enum queue_name */
	uint8_t failures;		/* inspects that failed in a row */
	bool published : 1;
	bool whole : 1; /* published from an inspect */
	bool running : 1; /* State.Running: measured; paused ones too */
	bool up : 1;	  /* its status is running: what the host's row counts */
	bool again : 1;	    /* asked for while being inspected */
	bool in_cycle : 1;  /* the cycle waits for its inspect */
	bool followed : 1; /* looked at once more after it was created */
	bool unsettled : 1; /* it is to be looked at once more, for what comes of an exec */
	bool inspected : 1; /* since the last list */
	bool compose_due : 1;
	bool sample_queued : 1;
	bool has_sample : 1;
	bool no_stats : 1; /* the engine refused them the last time */
	bool refused : 1;  /* there was no space for what was last known of it */
	bool truncated : 1;
};
TAILQ_HEAD(container_queue, container);
TAILQ_HEAD(inspection_list, inspection);

enum phase {
	PHASE_DOWN,
	PHASE_OPEN,
	PHASE_PING,
	PHASE_VERSION,
	PHASE_INFO,
	PHASE_SUBSCRIBE,
	PHASE_UP
};

struct session {
	enum phase phase;
	bool live; /* a list was verified since the connection was made */
	const struct transport_ops *ops;
	struct transport *transport;
	struct engine *engine;
	struct engine_request *step;
	struct event *retry, *subscribe_limit;
	double backoff, attempt_at, live_at, asked_wall, warm_by;
	struct engine_about about, fresh; /* of the last handshake; of the one that runs */
	char api[8];			  /* negotiated, "1.41" */
	unsigned api_minor;
	double clock_offset; /* engine - ours, s; NaN */
	char where[320];
	enum dcm_host_state state;
	char error[256]; /* why it is not online; "" */
	enum dcm_step failed_at; /* in the last attempt */
	char list_error[256];
};

typedef void pulse_done(struct collector *c, const struct engine_reply *r, bool stuck);
enum { PULSE_PINGS = 8 };

struct pulse {
	struct pulse_ping {
		struct collector *collector;
		struct engine_request *request; /* NULL: not sent */
	} ping[PULSE_PINGS];
	unsigned sent; /* 0: nothing is asked */
	double began_at, until;
	struct event *timer;
	pulse_done *done;
};

struct watch {
	struct engine_request *stream;
	bool open;
	double opened_at;
	unsigned short_lives; /* streams in a row that ended at once */
	int64_t last_event;   /* ns, engine's clock; 0: none yet */
	uint64_t seen[EVENTS_SEEN];
	unsigned next_seen;
	char error[256];
};

struct inventory {
	struct container **buckets;
	size_t n_buckets, count;
	unsigned published, running, failing, truncated;
	struct container_queue settling, urgent, sweep;
	struct {
		uint8_t id[8];
		bool destroyed; /* the engine said so by an event */
		double at;
	} gone[GONE_SLOTS];
	unsigned next_gone;
	struct event *large; /* large projects wait for it */
	double large_at;
	struct event *settle;
	struct project_list projects[PROJECT_BUCKETS], dirty;
};

struct inspector {
	struct inspection_list active;
	unsigned n_active;
	double tried_at; /* when those that failed were tried at once */
	double answered; /* when the latest was begun that was answered */
	struct event *tick;
	char error[256]; /* of the last failure */
};

struct sampler {
	struct container_queue queue;
	struct container_queue seconds; /* of one sample, in order of their time */
	unsigned n_active, limit, most; /* limit: of those at once, at most `most` */
	double cut_at;			/* when the limit was halved */
	bool burst, failing;
	bool overdue; /* the burst takes longer than the interval */
	double began_at, answered_at, told_at; /* told: an answer that was no failure */
	unsigned asked, failed; /* since it was last idle */
	unsigned late;		/* that failed before that */
	struct event *timer, *second, *again, *ended;
	char error[256];
};

struct cycle {
	uint32_t number;
	bool active, listing, full, stats, first;
	bool wanted, wanted_full, wanted_stats;
	bool goes_on; /* the first one is continued by the next list */
	double began_at, retry; /* s until a list that failed is tried again */
	unsigned pending, failed, slow, changed;
	uint64_t requests;
	struct engine_request *list;
	struct event *status_timer, *config_timer, *complete, *again;
};

struct ask {
	TAILQ_ENTRY(ask) link;
	struct control_msg msg;
	bool served; /* refresh: by the cycle that runs */
	struct collector *collector;
	struct engine_request *request;
	uint8_t id[32];
	bool tty;
	uint32_t fetched;   /* logs: the lines that the engine was asked for */
	struct arena arena; /* of what was decoded */
	struct secrets secrets;
};

struct snapshot_job;

struct snapshot_keeper {
	struct snapshot_origin origin; /* of what the region holds */
	struct event *timer, *rung;
	int bell;		  /* the writer rings it at its end */
	struct snapshot_job *job; /* being copied, or written; else NULL */
	double begun_at; /* the last write; 0: none yet */
	double seen;	 /* Unix s when what is held was last known to be true */
	bool dirty;	 /* the snapshot is behind */
	bool hold;	 /* what is held is not whole: nothing is written */
	uint32_t held_at; /* the last list before that */
	bool aside;	 /* a bad one is still in the place of the next */
	bool remove;	 /* what the job's thread writes */
};

struct compose_cache;

struct catalog {
	struct engine_request *request; /* the one that runs, else NULL */
	struct event *timer;
	bool again; /* it changed while it was asked for */
	double asked_at, rest_until; /* 0: not asked for, no rest */
	struct arena arena;
	struct dcm_catalog lists; /* what came so far; in the arena */
};

struct collector {
	const struct child_env *env;
	const struct host_config *host;
	const struct cache_config *cache;
	struct redact_rules rules;
	struct event_base *base;
	struct region *region;
	struct session session;
	struct pulse pulse;
	struct watch watch;
	struct inventory inventory;
	struct inspector inspector;
	struct sampler sampler;
	struct cycle cycle;
	struct catalog catalog;
	TAILQ_HEAD(, ask) asks;
	unsigned n_asks;
	struct compose_cache *compose;
	struct snapshot_keeper snapshot;
	struct conditions conditions; /* set and cleared by whoever finds out */
	/* publishing */
	struct event *flush;
	double flushed_at;
	double listed; /* Unix s of the last complete list; NaN: none, or the row has it;
			  0: it was forgotten */
	bool was_listed;
	bool row_dirty;
	unsigned refused; /* writes in this cycle that the region had no space for */
	struct usage {
		double cpu_percent;
		int64_t memory;
		int64_t with_cpu, with_memory; /* containers that count in them */
	} usage; /* sums over the containers */
	struct record_buf buf[DCM_TIERS];
	int64_t events, refreshes, errors;
	int64_t over_limit; /* answers, events, containers and writes that were refused */
	/* process */
	struct event *beat, *control, *sigterm, *trim;
	struct event *again; /* the region could not be opened: it is tried again */
	double beat_at; /* the last one that was sent */
	struct clock_watch clock;
	struct control_msg unsent[64]; /* answers that the control socket had no room for */
	unsigned n_unsent;
};

/* collector.c */
void collector_say(struct collector *c, const struct control_msg *m);
void collector_trim(struct collector *c); /* gives freed memory back to the system, soon */
/* Called by what may take seconds on end: its beat comes in time all the same. */
void collector_alive(struct collector *c);
void timer_set(struct event *timer, double seconds);
/* The time until something periodic comes again that did not come by its own timer: a
 * part of the interval, for each host another, so that hosts which began at once (a
 * start, `refresh --all`) do not do everything at once from then on. */
double collector_spread(const struct collector *c, double interval);
/* Counts an answer that was longer than its limit. */
void collector_answered(struct collector *c, const struct engine_reply *r);

/* handshake.c */
int handshake_init(struct collector *c);
void handshake_start(struct collector *c); /* from the transport on */
void handshake_again(struct collector *c); /* on the connections that there are */
/* The event stream is there, or will not come: the list need not wait any longer. */
void handshake_subscribed(struct collector *c);

/* session.c */
int session_open(struct collector *c);
void session_close(struct collector *c);
void session_connect_now(struct collector *c); /* an attempt without waiting for the backoff */
/* An attempt failed at this step, or the host was lost: offline until the next one. */
void session_failed(struct collector *c, enum dcm_step step, const char *error);
void session_failed_reply(struct collector *c, const struct engine_reply *r);
void session_forget(struct collector *c);      /* what a lost engine told of itself */
void session_suspect(struct collector *c);     /* something failed: does the engine live? */
void session_stream_lost(struct collector *c, const char *error);
void session_listed(struct collector *c, const char *error); /* a list ended; NULL: well */
void session_update(struct collector *c);		     /* the state, from what is known now */
void session_tick(struct collector *c);			     /* each second */
/* The wall clock was set, or the machine slept, by so many seconds. */
void session_clock(struct collector *c, double set, double slept);
/* "/v1.41" + fmt; false where it does not fit. */
bool session_path(const struct collector *c, char *buf, size_t len, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* pulse.c */
int pulse_init(struct collector *c);
/* done is called once, unless it is stopped; r->failure is ENGINE_TIMEOUT where no
 * answer came within `seconds`; stuck: only a new connection got one.  -1: no memory. */
int pulse_ask(struct collector *c, double seconds, pulse_done *done);
bool pulse_asking(const struct collector *c);
void pulse_stop(struct collector *c);

/* watch.c */
int watch_open(struct collector *c); /* subscribes; -1: no memory */
void watch_close(struct collector *c);
void watch_tick(struct collector *c);

/* inventory.c */
int inventory_init(struct collector *c);
void inventory_free(struct collector *c);
struct container *inventory_find(struct collector *c, const uint8_t id[32]);
struct container *inventory_add(struct collector *c, const uint8_t id[32]);
void inventory_remove(struct collector *c, struct container *ct, const char *why);
void inventory_clear(struct collector *c); /* private state alone, not the region's */
void inventory_forget_id(struct collector *c, const uint8_t id[32], bool destroyed);
bool inventory_was_removed(const struct collector *c, const uint8_t id[32], double since_at);
bool inventory_was_destroyed(const struct collector *c, const uint8_t id[32]);
/* fn may remove the container that it gets. */
void inventory_each(struct collector *c, void (*fn)(struct collector *, struct container *, void *),
		    void *arg);
void inventory_adopt(struct collector *c); /* what a region that was re-attached holds */
/* Inspect it after the debounce; or when its turn comes. */
void inventory_touch(struct collector *c, struct container *ct, double after);
void inventory_queue(struct collector *c, struct container *ct, enum queue_name q);
bool id_parse(const char *hex, uint8_t id[32]);
void id_hex(const uint8_t id[32], char hex[65]);
uint64_t hash_str(struct dcm_str s);

/* inspect.c */
int inspect_init(struct collector *c);
void inspect_pump(struct collector *c);
void inspect_drop(struct collector *c, struct container *ct); /* what is in flight */
void inspect_stop(struct collector *c);			      /* all, and the queues */

/* cycle.c */
int cycle_init(struct collector *c);
void cycle_want(struct collector *c, bool full, bool stats);
void cycle_list_after(struct collector *c, double seconds);
void cycle_left(struct collector *c, struct container *ct, bool ok); /* its inspect ended */
bool cycle_warms(const struct collector *c); /* the first one still inspects */
void cycle_check(struct collector *c);				     /* is it complete? */
void cycle_stop(struct collector *c, const char *error);	     /* the host was lost */
void cycle_restart(struct collector *c); /* what was held was forgotten */

/* catalog.c */
int catalog_init(struct collector *c);
void catalog_want(struct collector *c, double after); /* s */
void catalog_stop(struct collector *c);		      /* its engine is being closed */
void catalog_forget(struct collector *c);	      /* nothing is known of them */

/* sampler.c */
int sampler_init(struct collector *c);
void sampler_want(struct collector *c, struct container *ct); /* its first sample, now */
void sampler_burst(struct collector *c);
void sampler_pump(struct collector *c); /* a cycle has ended, for which some may have waited */
bool sampler_idle(const struct collector *c);
unsigned sampler_late(const struct collector *c); /* how many did not answer, of the last */
bool sampler_settled(const struct collector *c);  /* but for what hangs */
void sampler_drop(struct collector *c, struct container *ct);
void sampler_stop(struct collector *c);

/* compose_files.c */
struct inspection {
	TAILQ_ENTRY(inspection) link;
	struct collector *collector;
	struct container *container;
	struct engine_request *request; /* NULL: answered, its compose file is being read */
	double began_at;
	bool slow;
	double answered; /* Unix s */
	struct arena arena;
	struct decoded decoded;
	/* Of compose, as the engine said: a value taken out may be a part of them, which
	 * is for opening them only. */
	struct dcm_str files, files_dir;
	struct secrets secrets;
};
int compose_files_init(struct collector *c);
void compose_files_free(struct collector *c);
/* Gets the text of the container's compose files, then (or at once) calls
 * inspect_ready(); known false: the files hang, what was known stays. */
void compose_read(struct collector *c, struct inspection *in);
void compose_read_cancel(struct collector *c, struct inspection *in);
void compose_idle(struct collector *c);	 /* no inspect is waiting: forget texts */
void compose_reset(struct collector *c); /* the transport was closed */
/* text: not redacted; s NULL: there is none. */
void inspect_ready(struct inspection *in, bool known, struct dcm_str text);

/* compose.c */
int compose_init(struct collector *c);
/* The container's project is `name` (s NULL: none), and it is (re)named. */
void compose_member(struct collector *c, struct container *ct, struct dcm_str name, bool renamed);
/* Names of its project's other members, sorted; not known (known false) of a
 * project so large that compose_flush() alone writes them. */
struct dcm_strs compose_stack(struct collector *c, const struct container *ct, struct arena *a);
void compose_flush(struct collector *c); /* rewrites the members of dirty projects */

/* publish.c */
enum { PUBLISH_OK, PUBLISH_REFUSED };
struct publish_source {
	struct decoded *decoded;
	struct arena *arena;
	double verified;
	bool whole;		 /* from an inspect, else from a list */
	struct secrets *secrets; /* of the redacted record */
	bool text_known;	 /* text is what the compose files hold (s NULL: nothing) */
	struct dcm_str text;
};
int publish_container(struct collector *c, struct container *ct, struct publish_source *src);
void publish_verified(struct collector *c, struct container *ct, double verified); /* by a list */
void publish_stats(struct collector *c, struct container *ct, const struct dcm_record *rec,
		   double verified);
void publish_stack(struct collector *c, struct container *ct, struct dcm_strs stack);
int publish_logs(struct collector *c, const uint8_t id[32], struct dcm_strs lines);
void publish_removed(struct collector *c, const uint8_t id[32]);
void publish_full(struct collector *c); /* the region refused a write for want of space */
void publish_recount(struct collector *c);	       /* the sums, from what is published */
void publish_flush(struct collector *c, bool at_once); /* else within 20 ms */
int publish_init(struct collector *c);
void publish_free(struct collector *c);

void publish_recall(struct collector *c); /* the row's part that the engine told before */

/* snapshot_file.c */
int snapshot_init(struct collector *c);
/* Brings the region, which was opened, to what is known: as it is, or from disk. */
int snapshot_begin(struct collector *c, bool reattached);
void snapshot_end(struct collector *c);	    /* writes the last one; blocks */
void snapshot_changed(struct collector *c); /* something was published */
void snapshot_whole(struct collector *c);   /* a cycle was complete */
/* The region was emptied: by somebody who wants nothing kept (the snapshot goes,
 * too), or because nobody has verified it for long. */
void snapshot_emptied(struct collector *c, bool on_demand);

/* ask.c */
void ask_received(struct collector *c, const struct control_msg *m);
void ask_list_begins(struct collector *c); /* those that wait are served by this cycle */
void ask_cycle_ended(struct collector *c, int rc, const char *error);
void ask_attempt_failed(struct collector *c, const char *error);
void ask_cycle_dropped(struct collector *c); /* the next one serves them */
void ask_stop(struct collector *c);	     /* drops what is in flight, unanswered */
bool ask_served(const struct collector *c);
bool ask_waiting(const struct collector *c); /* refreshes that no cycle serves yet */

#endif
