/*
 * dcm.h - read the state of every container of many Docker hosts, live, from
 * the shared memory that dcmd keeps on this machine.
 *
 * Read this first:
 *
 *  - A `dcm` handle is an open instance.  A handle and what was got from it
 *    belong to one thread at a time; several threads open a handle each (the
 *    memory behind them is mapped read-only and shared, so a second handle
 *    costs little).  After fork() the child must open its own handle; it may
 *    dcm_close() the inherited one, which touches nothing of the parent's.
 *  - No call but dcm_refresh(), dcm_logs(), dcm_forget(), dcm_wait() and
 *    dcm_changes_next() ever waits.  A read never waits for an engine, for
 *    dcmd, or for a lock: there are none in the memory.
 *  - Functions return DCM_OK (0) or one of the codes below; dcm_error() then
 *    holds one sentence for a person: what, why, and the mend.
 *  - Text is UTF-8.  `struct dcm_str` is a pointer and a length; in a decoded
 *    record it is NUL-terminated as well.  A value that is not known is null:
 *    s == NULL for text, DCM_UNKNOWN for integers, NaN for floats, -1 for
 *    booleans, known == false for lists and maps.
 *  - Everything in the memory comes from Docker engines, that is, from
 *    strangers.  The library checks every length; do check what you print.
 *
 * Source: the memory layout is docs/memory-layout.md, the broker's protocol
 * docs/protocol.md, the fields the contract of dcm ("The record").
 */
#ifndef DCM_H
#define DCM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DCM_VERSION "0.1.0"

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

typedef struct dcm dcm;

/* ---- errors ------------------------------------------------------------ */

enum dcm_rc {
	DCM_OK = 0,
	DCM_ENOTFOUND,	 /* no such container or host */
	DCM_EAMBIGUOUS,	 /* a prefix or name that several containers match */
	DCM_EINVAL,	 /* an argument is not valid */
	DCM_ENOTRUNNING, /* no such instance: dcmd is not running here */
	DCM_EACCESS,	 /* its memory is not readable by, or not trusted from, you */
	DCM_ELAYOUT,	 /* the memory is of another version, or damaged */
	DCM_ESTALE,	 /* the reference's container is gone: look it up anew */
	DCM_EBUSY,	 /* changed under the reader 4 times: try again */
	DCM_EBROKER,	 /* needs the broker, which is away */
	DCM_EHOST,	 /* the engine of a host could not be reached */
	DCM_ETIMEDOUT,	 /* the time limit passed */
	DCM_ENOMEM,	 /* no memory in this process */
	DCM_ESYSTEM,	 /* a system call failed; dcm_error() names it */
	DCM_EREFUSED,	 /* you may read, but not have engines asked: dcmd's --refresh-group */
};

/* A short constant text for a code, such as "no such container or host". */
const char *dcm_strerror(int rc);

/* The sentence of the last call on `d` that failed; "" if none did.  It lives
 * until the next call on `d`. */
const char *dcm_error(const dcm *d);

const char *dcm_version(void);

/* ---- opening ----------------------------------------------------------- */

enum {
	DCM_NO_BROKER = 1, /* answer every query by scanning the memory */
};

struct dcm_options {
	size_t size;		 /* sizeof(struct dcm_options) */
	const char *instance;	 /* NULL: $DCM_INSTANCE, else "default" */
	const char *runtime_dir; /* NULL: your own, then /run/dcm */
	unsigned flags;
};

/* Opens an instance; `opt` may be NULL.  On failure *out is NULL, and `err`
 * (when not NULL) holds up to `errlen` bytes of the sentence. */
int dcm_open(dcm **out, const struct dcm_options *opt, char *err, size_t errlen);
/* Closes *d and sets it to NULL.  All views and views' pointers end here;
 * records own their data and stay. */
void dcm_close(dcm **d);

/* ---- fields ------------------------------------------------------------ */

struct dcm_str {
	const char *s; /* NULL: not known */
	uint32_t len;
};
struct dcm_strs {
	const struct dcm_str *v;
	uint32_t n;
	bool known;
};
struct dcm_pair {
	struct dcm_str key, value; /* value.s == NULL: null */
};
struct dcm_map {
	const struct dcm_pair *v;
	uint32_t n;
	bool known;
};
struct dcm_network {
	struct dcm_str name, ip, gateway, mac, ipv6;
};
struct dcm_networks {
	const struct dcm_network *v;
	uint32_t n;
	bool known;
};
struct dcm_alias {
	struct dcm_str network;
	struct dcm_strs aliases;
};
struct dcm_aliases {
	const struct dcm_alias *v;
	uint32_t n;
	bool known;
};
struct dcm_volume {
	struct dcm_str name, source, destination, driver, mode;
};
struct dcm_volumes {
	const struct dcm_volume *v;
	uint32_t n;
	bool known;
};

#define DCM_UNKNOWN INT64_MIN /* an integer that is not known */

/* Tiers age one by one.  The first four are those of `freshness`. */
enum dcm_tier {
	DCM_STATS,
	DCM_STATUS,
	DCM_CONFIG,
	DCM_COMPOSE,
	DCM_LOGS,
	DCM_TIERS
};

/*
 * Every stored field of a record: X(name, TIER, TYPE), in the order in which
 * the record's msgpack maps hold them.  TYPE is one of
 *   STR     struct dcm_str        INT      int64_t (bytes, counts, codes)
 *   FLOAT   double                BOOL     int8_t (1, 0, -1 unknown)
 *   STRS    struct dcm_strs       MAP      struct dcm_map
 *   NETS    struct dcm_networks   ALIASES  struct dcm_aliases
 *   VOLS    struct dcm_volumes
 * Units: memory and I/O are bytes; cpu_percent 100 is one core; times in text
 * are RFC 3339; cached_at and last_updated are Unix seconds.
 * A record has besides, added by the reader: host_id, uptime, freshness.
 */
#define DCM_FIELDS(X)                           \
	X(cpu_percent, STATS, FLOAT)            \
	X(memory_usage, STATS, INT)             \
	X(memory_percent, STATS, FLOAT)         \
	X(network_rx, STATS, INT)               \
	X(network_tx, STATS, INT)               \
	X(block_read, STATS, INT)               \
	X(block_write, STATS, INT)              \
	X(pids, STATS, INT)                     \
	X(name, STATUS, STR)                    \
	X(status, STATUS, STR)                  \
	X(started, STATUS, STR)                 \
	X(finished, STATUS, STR)                \
	X(health_status, STATUS, STR)           \
	X(restart_count, STATUS, INT)           \
	X(exit_code, STATUS, INT)               \
	X(oom_killed, STATUS, BOOL)             \
	X(error, STATUS, STR)                   \
	X(pid, STATUS, INT)                     \
	X(networks, STATUS, NETS)               \
	X(ports, STATUS, STRS)                  \
	X(ip_address, STATUS, STR)              \
	X(network_aliases, STATUS, ALIASES)     \
	X(last_updated, STATUS, FLOAT)          \
	X(container_id, CONFIG, STR)            \
	X(image, CONFIG, STR)                   \
	X(image_id, CONFIG, STR)                \
	X(created, CONFIG, STR)                 \
	X(memory_limit, CONFIG, INT)            \
	X(bind_mounts, CONFIG, STRS)            \
	X(volumes, CONFIG, VOLS)                \
	X(volume_drivers, CONFIG, MAP)          \
	X(working_dir, CONFIG, STR)             \
	X(environment_vars, CONFIG, MAP)        \
	X(labels, CONFIG, MAP)                  \
	X(command, CONFIG, STR)                 \
	X(entrypoint, CONFIG, STR)              \
	X(restart_policy, CONFIG, STR)          \
	X(depends_on, CONFIG, STRS)             \
	X(links, CONFIG, STRS)                  \
	X(log_driver, CONFIG, STR)              \
	X(hostname, CONFIG, STR)                \
	X(user, CONFIG, STR)                    \
	X(privileged, CONFIG, BOOL)             \
	X(cached_at, CONFIG, FLOAT)             \
	X(compose_project, COMPOSE, STR)        \
	X(compose_service, COMPOSE, STR)        \
	X(compose_stack_containers, COMPOSE, STRS) \
	X(compose_config_files, COMPOSE, STR)   \
	X(compose_file_content, COMPOSE, STR)   \
	X(compose_working_dir, COMPOSE, STR)    \
	X(log_tail, LOGS, STRS)

enum dcm_field {
#define DCM_FIELD_ENUM(name, tier, type) DCM_F_##name,
	DCM_FIELDS(DCM_FIELD_ENUM)
#undef DCM_FIELD_ENUM
	DCM_FIELD_COUNT
};

/* The name of a field ("cpu_percent"), or NULL; and the reverse, or -1. */
const char *dcm_field_name(enum dcm_field f);
int dcm_field_by_name(const char *name);

/* ---- hosts ------------------------------------------------------------- */

enum dcm_host_state {
	DCM_STARTING, /* no attempt has ended yet */
	DCM_ONLINE,   /* list verified, event stream open */
	DCM_DEGRADED, /* the engine answers, but events, stats or inspects fail */
	DCM_OFFLINE,  /* the last attempt failed: see error */
	DCM_DISABLED, /* no collector, no containers */
};
const char *dcm_host_state_name(enum dcm_host_state s);

/* The steps of the way to an engine.  Over a unix socket there are docker and API;
 * over TCP name, connect and API, with TLS certificate before that; over SSH name,
 * connect, host key, login, docker and API. */
enum dcm_step {
	DCM_STEP_NONE,
	DCM_STEP_NAME,	      /* the host's name has an address */
	DCM_STEP_CONNECT,     /* something answers at its port */
	DCM_STEP_CERTIFICATE, /* TLS, and both certificates */
	DCM_STEP_HOST_KEY,
	DCM_STEP_LOGIN,
	DCM_STEP_DOCKER,      /* the engine's socket can be opened there */
	DCM_STEP_API,	      /* ping, version, list */
};
const char *dcm_step_name(enum dcm_step s); /* "host key"; "" for none */

struct dcm_host {
	struct dcm_str id;
	enum dcm_host_state state;
	int64_t containers, running;
	double age;			     /* s since last verified; NaN: never */
	struct dcm_str engine_version, api_version, transport, error;
	struct dcm_str description;
	struct dcm_strs tags;
	int64_t cpus, memory_total;
	struct dcm_str os, kernel;
	double cpu_percent;		     /* sums over its containers */
	int64_t memory_usage;
	/* Of the host's collector, for `stats` and `doctor`. */
	double clock_offset;		     /* engine's clock - ours, s; NaN */
	int64_t events, refreshes, errors, restarts, pid;
	/* What went past a limit (docs/limits.md): answers, events and writes that were
	 * refused; records that were cut. */
	int64_t refused, truncated;
	int64_t memory_held, memory_used;    /* bytes of the shard: file, live */
	/* Where the last attempt stopped; DCM_STEP_NONE: it came through, or something is
	 * lacking on this machine. */
	enum dcm_step step;
	/* What a person should know of now: the names of the conditions in force
	 * ("shard_full"; the log's events), and a sentence "what: mend" for each. */
	struct dcm_strs conditions, warnings;
};
/* A list that owns its data; zero it before the first use. */
struct dcm_hosts {
	struct dcm_host *v;
	size_t n;
	void *priv;
};
/* All hosts, in the order of their ids. */
int dcm_hosts_read(dcm *d, struct dcm_hosts *out);
void dcm_hosts_free(struct dcm_hosts *h);

/* What else a host's engine has, each a text of words with one space between: images
 * "ID PARENT REFERENCE...", PARENT being "-" where it has none, and networks "ID NAME".
 * Not known: not asked yet, the engine does not tell, or more than DCM_CATALOG_MAX. */
enum { DCM_CATALOG_MAX = 8192 };
struct dcm_catalog {
	struct dcm_strs images, networks;
	void *priv;
};
/* Owns its data; zero it before the first use. */
int dcm_catalog_read(dcm *d, const char *host, struct dcm_catalog *out);
void dcm_catalog_free(struct dcm_catalog *c);

/* Settings of the running daemon that readers need, and who it is. */
struct dcm_info {
	double ttl[DCM_TIERS];	 /* s; a tier older than this is stale; 0 for logs */
	double status_update;	 /* s */
	double memory_retention; /* s */
	double disk_retention;	 /* s */
	double memory_cleanup_interval, disk_cleanup_interval; /* s */
	int64_t log_tail_lines;
	int64_t supervisor_pid, broker_pid, broker_restarts;
	double started;		 /* Unix seconds */
	char version[32];	 /* dcmd's */
	char instance[40];
	char runtime_dir[256];
	uint32_t uid;		 /* whose memory it is */
	int64_t shard_limit;	 /* bytes that one host may use */
	/* Of the daemon itself, as those of struct dcm_host.  They live until the
	 * handle's next call. */
	struct dcm_strs conditions, warnings;
};
int dcm_info_read(dcm *d, struct dcm_info *out);

/* ---- references, look-up, queries -------------------------------------- */

/* A container, cheaply: valid until it is removed (then DCM_ESTALE). */
struct dcm_ref {
	uint32_t host;		   /* the host's slot in the directory */
	uint32_t shard_generation;
	uint32_t entry;
	uint32_t entry_generation;
};
/* A list that owns its data; zero it before the first use; reused by each
 * call that fills it. */
struct dcm_refs {
	struct dcm_ref *v;
	size_t n, room;
	bool by_broker; /* the broker answered; else by scanning */
};
void dcm_refs_free(struct dcm_refs *r);

/* One container of `host` by full id (64 hex), unique id prefix (4 or more hex
 * digits) or name (a leading '/' is passed over).  DCM_EAMBIGUOUS: dcm_error()
 * lists the matches. */
int dcm_find(dcm *d, const char *host, const char *container, struct dcm_ref *out);
/* By binary id: one probe, no text. */
int dcm_find_id(dcm *d, const char *host, const uint8_t id[32], struct dcm_ref *out);

enum dcm_query_kind {
	DCM_Q_ALL,     /* every container of `host`, or of all hosts (NULL) */
	DCM_Q_PROJECT, /* text: compose project */
	DCM_Q_LABEL,   /* text: key; value: NULL any, else equal (may be "") */
	DCM_Q_SEARCH,  /* text: in name or image, any case, or prefix of id */
	DCM_Q_MOUNT,   /* text: path, see `dcm-client mounts`; or a volume's name */
	DCM_Q_NETWORK, /* text: network name */
	DCM_Q_STATUS,  /* text: status */
	DCM_Q_HEALTH,  /* text: healthy unhealthy starting, or "" for no check */
	DCM_Q_TOP_CPU, /* n: how many; highest first, unmeasured left out */
	DCM_Q_TOP_MEMORY,
};
struct dcm_query {
	enum dcm_query_kind kind;
	const char *host;  /* NULL: all hosts */
	const char *text;
	const char *value;
	uint32_t n;	   /* TOP only */
};
/* Fills `out`: by the broker's indexes where it answers within 50 ms, else by
 * scanning the memory here.  The order is host id, then name; of TOP queries,
 * by value, then host id and name (which of several with the value of the last
 * place are in is not defined). */
int dcm_query(dcm *d, const struct dcm_query *q, struct dcm_refs *out);

/* ---- reading: zero-copy ------------------------------------------------ */

/*
 * A view is one tier of one container as it stands in the shared memory, seen
 * in place.  The memory may be reused at any time; so read the fields you
 * need, then ask dcm_view_ok(): only when it says true were all the values
 * that you read a true state of the container.  Otherwise throw them away and
 * take the view again.  Pointers into a view (struct dcm_str) must not be kept
 * past that check: copy first, check then.
 */
struct dcm_view {
	const void *map;    /* the shard's mapping */
	const uint8_t *data; /* msgpack map, in place */
	uint32_t len;
	uint32_t cursor;    /* where the last field was found: in-order reads are fast */
	uint64_t ref;
	const void *entry;
	uint32_t entry_generation;
	enum dcm_tier tier;
	uint64_t sequence;
};
/* DCM_ENOTFOUND: the tier was never filled. */
int dcm_view(dcm *d, struct dcm_ref ref, enum dcm_tier tier, struct dcm_view *out);
/* Each returns false when the field is null, absent or of another type. */
bool dcm_view_int(struct dcm_view *v, enum dcm_field f, int64_t *out);
bool dcm_view_float(struct dcm_view *v, enum dcm_field f, double *out);
bool dcm_view_bool(struct dcm_view *v, enum dcm_field f, bool *out);
bool dcm_view_str(struct dcm_view *v, enum dcm_field f, struct dcm_str *out);
bool dcm_view_ok(const struct dcm_view *v);

/* The digest of a container that lies in its entry: no blob is touched. */
struct dcm_brief {
	uint8_t status;	      /* enum dcm_status */
	uint8_t health;	      /* enum dcm_health */
	double cpu_percent;   /* NaN: not measured */
	int64_t memory_usage; /* DCM_UNKNOWN: not measured */
};
enum dcm_status {
	DCM_S_UNKNOWN,
	DCM_S_CREATED,
	DCM_S_RUNNING,
	DCM_S_PAUSED,
	DCM_S_RESTARTING,
	DCM_S_REMOVING,
	DCM_S_EXITED,
	DCM_S_DEAD
};
enum dcm_health { DCM_H_NONE, DCM_H_HEALTHY, DCM_H_UNHEALTHY, DCM_H_STARTING };
int dcm_brief_read(dcm *d, struct dcm_ref ref, struct dcm_brief *out);

/* ---- reading: decoded -------------------------------------------------- */

struct dcm_freshness {
	double age;  /* s since the tier was last verified; NaN: never filled */
	bool stale;
};

/*
 * A whole record, decoded.  Its data is its own (one block, reused by the next
 * dcm_read into it), and stays when the handle is closed.
 *	struct dcm_record r; dcm_record_init(&r);
 *	dcm_read(d, ref, &r); ... dcm_record_free(&r);
 */
struct dcm_record {
	struct dcm_str host_id;
	char id[65];			/* container_id, even if no tier is filled */
	char uptime[24];		/* "2d 5h"; "" : null */
	struct dcm_freshness freshness[DCM_TIERS];
#define DCM_TYPE_STR struct dcm_str
#define DCM_TYPE_INT int64_t
#define DCM_TYPE_FLOAT double
#define DCM_TYPE_BOOL int8_t
#define DCM_TYPE_STRS struct dcm_strs
#define DCM_TYPE_MAP struct dcm_map
#define DCM_TYPE_NETS struct dcm_networks
#define DCM_TYPE_ALIASES struct dcm_aliases
#define DCM_TYPE_VOLS struct dcm_volumes
#define DCM_FIELD_MEMBER(name, tier, type) DCM_TYPE_##type name;
	DCM_FIELDS(DCM_FIELD_MEMBER)
#undef DCM_FIELD_MEMBER
	bool truncated;			/* did not fit a limit: see docs/limits.md */
	void *priv;
};
void dcm_record_init(struct dcm_record *r);
void dcm_record_free(struct dcm_record *r);
/* All tiers of one container; never a mix of two containers. */
int dcm_read(dcm *d, struct dcm_ref ref, struct dcm_record *out);

/* The record as a JSON object with every field of the contract, in its order,
 * NUL-terminated; *out is grown by realloc (start with NULL and 0) and *len is
 * the text's length.  dcm_record_json_field: the value of one field by name,
 * host_id, uptime and freshness included (DCM_ENOTFOUND: no such field). */
struct dcm_text {
	char *s;
	size_t len, room;
};
void dcm_text_free(struct dcm_text *t);
int dcm_record_json(const struct dcm_record *r, struct dcm_text *append_to);
int dcm_record_json_field(const struct dcm_record *r, const char *field,
			  struct dcm_text *append_to);
/* Appends text as a JSON string, quotes included. */
int dcm_json_str(struct dcm_text *append_to, struct dcm_str s);

/* ---- asking dcmd to act ------------------------------------------------ */

/* What became of each host that was asked; `error` is "" on success. */
struct dcm_outcome {
	char host[64];
	int rc;		 /* DCM_OK, DCM_EHOST, DCM_ENOTFOUND, DCM_ETIMEDOUT */
	char error[256];
};
/* Read `hosts` (n of them; n == 0: every enabled host) anew from their engines
 * and return when the memory shows it, or after `timeout_ms` (at most 10 min).
 * DCM_OK: all did.  Else what they failed by, DCM_EHOST where they failed
 * variously: see `out` (may be NULL; else room for n, or for all hosts).
 * *n_out (may be NULL): how many outcomes. */
int dcm_refresh(dcm *d, const char *const *hosts, size_t n, int timeout_ms,
		struct dcm_outcome *out, size_t room, size_t *n_out);
/* Fetch the last `lines` of a container's log into its log_tail; of more than
 * DCM_LOG_LINES the last of them. */
#define DCM_LOG_LINES 10000
int dcm_logs(dcm *d, struct dcm_ref ref, uint32_t lines, int timeout_ms);
/* Drop what is cached of a host; it fills again from the engine. */
int dcm_forget(dcm *d, const char *host, int timeout_ms);

/* ---- changes ----------------------------------------------------------- */

enum dcm_change_kind {
	DCM_APPEARED,
	DCM_UPDATED,  /* tiers: a bit (1 << tier) for each that has new content */
	DCM_REMOVED,
	DCM_HOST,     /* a host came, went, or its row changed */
	DCM_RESYNC,   /* too much was missed: read `host` anew (all: slot UINT32_MAX) */
};
struct dcm_change {
	enum dcm_change_kind kind;
	struct dcm_ref ref;
	uint32_t tiers;
	struct dcm_str host_id; /* valid until the next call on the handle */
};
/* The next change since the first call of this function or dcm_changes_fd() on
 * the handle; so call it once with 0 before you read the state that changes are
 * to be applied to.  Waits up to `timeout_ms` (0: not, -1: for ever).
 * DCM_ETIMEDOUT: there was none, or a signal came.  Changes of one container are
 * in order; several between two calls may come as one. */
int dcm_changes_next(dcm *d, struct dcm_change *out, int timeout_ms);
/* A descriptor that polls readable when dcm_changes_next(…, 0) may have
 * something.  Owned by the handle, and the same while it lives.  After each wake
 * call dcm_changes_next(…, 0) until DCM_ETIMEDOUT.  While the broker is away it
 * is a timer of 20 ms.  -1: see dcm_error(). */
int dcm_changes_fd(dcm *d);
/* Waits until `host` (NULL: any) publishes something that this function has not
 * told of on this handle, or `timeout_ms` (-1: for ever).  The first call waits
 * for what comes from then on.  DCM_ETIMEDOUT also where a signal came. */
int dcm_wait(dcm *d, const char *host, int timeout_ms);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif
#endif
