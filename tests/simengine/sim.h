/*
 * sim.h - the simulated engine: one process that speaks the Docker Engine API
 * for many hosts with many containers each, for demonstrations, scale and
 * faults.  tests/README.md tells how to run it.
 *
 * A container is what was asked for (the body of POST /containers/create) and
 * what became of it (struct container).  The containers of --containers are
 * asked for by a function of the seed, on the fly, so that each costs some 200
 * bytes.  Documents are made from the two when they are asked for (documents.c)
 * and agree in shape with those of engine 20.10, which
 * tests/integration/test_simengine.py holds them to.
 *
 *	main.c       options, listeners, churn
 *	http.c       connections: bytes in, struct request out, and replies
 *	routes.c     which request does what; changes.c: those that change something
 *	fleet.c      which containers there are; what the seed asks for
 *	life.c       start, stop, die, restart: a container's states and its events
 *	documents.c  inspect as JSON, with network.c; listing.c: the list, info and
 *	             version; usage.c: stats and logs
 *	events.c     the backlog and those who listen to it
 *	faults.c     what goes wrong on purpose
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <json-c/json.h>

enum {
	SIM_BACKLOG = 256,	      /* events an engine keeps, as dockerd does */
	SIM_NETWORKS = 1024,	      /* of one engine */
	SIM_FAULTS = 8,		      /* at once */
	SIM_HEADER_MAX = 64 << 10,    /* bytes of a request's head */
	SIM_BODY_MAX = 1 << 20,	      /* bytes of a request's body */
	SIM_UNREAD_MAX = 1 << 20,     /* a listener with more unread misses events */
	SIM_CPUS = 4,
};
#define SIM_MEMORY 8589934592ll
#define SIM_VERSION "20.10.24+sim"

enum status { CREATED, RUNNING, PAUSED, RESTARTING, EXITED, DEAD };
enum health { HEALTH_NONE, HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

struct container {
	struct container *next_by_id, *next_by_name; /* in the engine's tables */
	struct engine *engine;
	uint8_t id[32];
	char *name;
	uint32_t birth;		     /* how many containers the engine had before it */
	uint32_t pid;
	struct json_object *asked;   /* NULL: what the seed asks for */
	struct json_object *networks; /* name -> {Aliases, IPAMConfig}; NULL: as asked */
	char *error;		     /* State.Error, or NULL */
	struct event *timer;	     /* what happens next by itself; NULL: never did */
	int64_t created, started, finished;    /* ns; 0: never */
	int64_t exit_at, health_at, restart_at; /* ns; 0: not */
	int32_t exit_code, restarts;
	uint8_t status, health, streak, backoff;
	bool oom, stopped_by_hand;
};

struct network {
	char name[96];
	char id[65];
	uint8_t subnet;
};

/* Places where a fault can strike. */
enum where {
	AT_PING = 1,
	AT_LIST = 2,
	AT_INSPECT = 4,
	AT_STATS = 8,
	AT_EVENTS = 16,
	AT_LOGS = 32,
	AT_INFO = 64,
	AT_OTHER = 128,
	AT_ALL = 255,
};
enum fault_kind {
	FAULT_SLOW = 1,
	FAULT_CUT,
	FAULT_SHORT,
	FAULT_MALFORMED,
	FAULT_ENDLESS_BODY,
	FAULT_ENDLESS_HEADERS,
	FAULT_LYING,
	FAULT_TYPES,
	FAULT_HUGE,
	FAULT_UTF8,
	FAULT_DEEP,
	FAULT_MISSING,
	FAULT_ERROR,
	FAULT_NO_EVENTS,
	FAULT_STORM,
	FAULT_HANG,
	FAULT_TRICKLE,
	FAULT_CHUNKS,
	FAULT_HEADERS,
	FAULT_CONTINUE,
	FAULT_GZIP,
	FAULT_LABELS,
	FAULT_TWICE,
};
struct fault {
	enum fault_kind kind;
	long arg;
	unsigned where; /* enum where, several */
};

struct conn;
struct engine {
	struct sim *sim;
	unsigned index;
	uint64_t seed;
	char name[64];
	struct container **v; /* oldest first */
	size_t n, room, births;
	struct container **by_id, **by_name;
	size_t buckets; /* of each table, a power of two */
	struct network *networks;
	size_t n_networks;
	char *images[64]; /* references that can be created from */
	size_t n_images;
	struct { char *text; int64_t time; } backlog[SIM_BACKLOG];
	size_t events; /* ever */
	struct conn *listeners;
	struct fault faults[SIM_FAULTS];
	size_t n_faults;
	struct event *storm;
	uint64_t requests[8]; /* by the bit of enum where */
};
struct sim {
	struct event_base *base;
	struct engine *engines;
	unsigned n_engines;
	unsigned containers;
	uint64_t seed, random;
	double churn;	 /* changes a second over all engines */
	int api_minor;	 /* 41 of 1.41: the newest that it speaks */
	int api_least;	 /* the oldest */
	long stats_tick; /* ms that one-shot stats are held to; 0: at once */
};

struct request {
	char method[8];
	char path[512]; /* decoded, without /v1.41 */
	char query[2048];
	int api_minor;	/* of the path, else the newest */
	char *body;	/* NUL-terminated; "" where there is none */
	char arg[256];	/* what stands for * in the route */
	enum where where;
};
struct conn {
	struct engine *engine;
	struct bufferevent *bev;
	struct event *timer;	    /* a delayed or dripping reply */
	struct evbuffer *pending;   /* its bytes */
	bool busy;		    /* a reply is under way: read no more requests */
	bool close_after;
	bool streaming;		    /* is in engine->listeners */
	struct conn *next, **link;
	struct json_object *filters;
	int64_t until;
	struct request req;
};

/* http.c */
int http_listen(struct engine *e, const char *address);
bool http_query(const struct request *r, const char *key, char *out, size_t len);
bool http_flag(const struct request *r, const char *key);
/* Each takes the reply over and looks after what faults do to it. */
void http_reply(struct conn *c, int code, const char *type, const void *body, size_t len);
void http_json(struct conn *c, int code, struct json_object *o); /* takes o */
void http_error(struct conn *c, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void http_stream_start(struct conn *c);
void http_stream_write(struct conn *c, const char *data, size_t len);
void http_stream_end(struct conn *c);
void http_end(struct conn *c); /* the reply is out: next request, or close */
void http_free(struct conn *c);
/* Calls fn after `ms`, unless the connection ends first. */
void http_later(struct conn *c, long ms, event_callback_fn fn);
struct evbuffer *http_head(struct conn *c, int code, const char *type, size_t len);

/* routes.c */
void routes_serve(struct conn *c);

/* fleet.c */
int64_t sim_now(void); /* ns, Unix */
void sim_set_clock(double seconds); /* so far from the machine's */
uint64_t sim_random(struct sim *s);
uint64_t sim_hash(uint64_t a, uint64_t b);
void sim_hex(const uint8_t *bytes, size_t n, char *out);
int fleet_fill(struct engine *e, unsigned containers);
struct container *fleet_find(struct engine *e, const char *what); /* id, prefix or name */
struct container *fleet_add(struct engine *e, const char *name, struct json_object *asked);
void fleet_remove(struct container *c);
void fleet_rename(struct container *c, const char *name);
struct network *fleet_network(struct engine *e, const char *name, bool make);
bool fleet_has_image(const struct engine *e, const char *reference);
void fleet_add_image(struct engine *e, const char *reference);
struct json_object *fleet_asked(const struct container *c);    /* a reference to put */
struct json_object *fleet_networks(const struct container *c); /* a reference to put */
/* The member of an object by a path of keys, or NULL. */
struct json_object *json_at(struct json_object *o, const char *key, const char *key2);

/* life.c */
void life_begin(struct container *c); /* as it stands when the engine starts */
int life_start(struct container *c);  /* 0, or -1: error is set */
void life_stop(struct container *c, int exit_code, const char *signals);
void life_die(struct container *c, int exit_code, bool oom);
void life_restart(struct container *c);
void life_pause(struct container *c, bool pause);
void life_rename(struct container *c, const char *name);
void life_remove(struct container *c);
void life_connect(struct container *c, struct network *n, struct json_object *config, bool connect);
void life_health(struct container *c, enum health h);
void life_churn(struct engine *e); /* one change, by chance */

/* documents.c, listing.c, usage.c */
const char *document_status(enum status s);
const char *document_health(enum health h);
void document_time(int64_t ns, char out[40]);
struct json_object *document_inspect(const struct container *c, int api_minor);
struct json_object *document_list(const struct container *c);
struct json_object *document_version(const struct sim *s);
struct json_object *document_info(const struct engine *e);
void document_stats(const struct container *c, bool with_pre, struct evbuffer *out);
void document_logs(const struct container *c, long tail, bool stamps, struct evbuffer *out);

/* events.c */
void events_container(struct container *c, const char *action, const char *key, const char *value);
void events_network(struct container *c, const struct network *n, const char *action);
void events_volume(struct container *c, const char *volume, const char *destination,
		   const char *action);
void events_listen(struct conn *c);
void events_forget(struct conn *c);

/* faults.c */
int faults_add(struct engine *e, const char *spec); /* KIND[:ARG][@WHERE,…]; -1: not known */
void faults_clear(struct engine *e);
const struct fault *faults_at(const struct engine *e, enum fault_kind kind, enum where where);
/* Sends head and body as the faults of this place will have it. */
void faults_send(struct conn *c, int code, const char *type, struct evbuffer *body);
extern const char faults_help[];

#endif
