/*
 * decode.h - what the Docker Engine says, made into records.  Pure: bytes in,
 * struct or a sentence out, no I/O; json-c is known to these files alone.
 *
 * Every function returns 0, or -1 with a sentence in err[DECODE_ERR] that says
 * what was wrong and where in the document.  Engines differ (API 1.24 to the
 * newest, podman); a field that one lacks is null, a field of a wrong type is
 * null too, and only a document without a usable id is an error.
 */
#ifndef DCM_DECODE_H
#define DCM_DECODE_H

#include "arena.h"

enum { DECODE_ERR = 256 };

/* One container as inspect or the list tells it.  Pointers live in the arena.
 * `rec` has all fields of STATUS, CONFIG and COMPOSE that the document gives
 * (compose_stack_containers and compose_file_content are the collector's), as
 * the engine says them: nothing is redacted yet.  cached_at and last_updated
 * are null. */
struct decoded {
	uint8_t id[32];
	struct dcm_record rec;
	bool running;			/* State.Running: stats make sense */
	bool tty;			/* Config.Tty: logs have no frames */
	bool truncated;
};
int decode_inspect(const char *json, size_t len, struct arena *a, struct decoded *out, char *err);
/* Calls fn for each container of /containers/json; fn returns false to stop.
 * `a` is emptied after each call of fn.  An item that cannot be used is counted
 * in *bad (may be NULL) and passed over. */
int decode_list(const char *json, size_t len, struct arena *a,
		bool (*fn)(const struct decoded *, void *), void *arg, unsigned *bad, char *err);

/* One /stats reply: raw counters, from which usage is computed against the
 * sample before. */
struct stats_sample {
	bool usable;		/* false: not running, or podman's empty body */
	double read;		/* Unix s of the sample by the engine's clock */
	uint64_t cpu_total, cpu_system;
	uint32_t online_cpus;
	/* the sample's own precpu, for engines without one-shot; 0 where absent */
	uint64_t precpu_total, precpu_system;
	int64_t memory_usage, memory_limit_in_force; /* DCM_UNKNOWN */
	int64_t network_rx, network_tx, block_read, block_write, pids;
};
int decode_stats(const char *json, size_t len, struct stats_sample *out, char *err);
/* Fills the STATS fields of rec from `now` and, for cpu_percent, the sample
 * before (NULL, or one of before a restart: cpu_percent stays null). */
void stats_to_record(const struct stats_sample *before, const struct stats_sample *now,
		     struct dcm_record *rec);

/* One line of /events. */
enum event_kind { EVENT_OTHER, EVENT_CONTAINER, EVENT_NETWORK, EVENT_VOLUME, EVENT_IMAGE };
struct engine_event {
	enum event_kind kind;
	char action[32];	  /* up to the colon: "create", "health_status" */
	char id[65];		  /* container's id (of network and volume events: from the
				   * attributes), "" where none */
	char object[256];	  /* network's, volume's or image's own name, else "" */
	int64_t time_nano;
};
int decode_event(const char *json, size_t len, struct engine_event *out, char *err);
/* Splits a stream of concatenated or newline-separated JSON objects: returns
 * the bytes of the first whole object in [s, s+len), 0 where it is not whole
 * yet, -1 where it can be none. */
long decode_split(const char *s, size_t len);

struct engine_about { /* /_ping's header, /version, /info */
	char version[64], api_version[16], min_api_version[16], os[128], kernel[128], name[64];
	int64_t cpus, memory_total; /* DCM_UNKNOWN */
	double system_time;	    /* Unix s by the engine's clock; NaN */
	bool podman;
};
/* Nothing known; the two below add what they find to what is there. */
void decode_about_init(struct engine_about *out);
int decode_version(const char *json, size_t len, struct engine_about *out, char *err);
int decode_info(const char *json, size_t len, struct engine_about *out, char *err);
/* {"message": …} of an error reply, or plain text; one line, clean UTF-8. */
void decode_error(const char *body, size_t len, char *out, size_t outlen);

/* /images/json?all=1 and /networks, as struct dcm_catalog (dcm.h) tells of them.  What
 * has no id, or words with spaces in them, is left out. */
int decode_images(const char *json, size_t len, struct arena *a, struct dcm_strs *out, char *err);
int decode_networks(const char *json, size_t len, struct arena *a, struct dcm_strs *out, char *err);

/* Log bytes (8-byte frames unless tty) into the last `max` lines. */
int decode_logs(const char *data, size_t len, bool tty, uint32_t max, struct arena *a,
		struct dcm_strs *out);

/* RFC 3339 to Unix seconds; NaN where it is none. */
double decode_time(struct dcm_str s);
/* A copy of s with each byte sequence that is not UTF-8 (and NUL) made U+FFFD. */
struct dcm_str decode_utf8(struct arena *a, const char *s, size_t len);
/* The same, but NUL stays: for what nobody takes for a name or a path. */
struct dcm_str decode_utf8_nul(struct arena *a, const char *s, size_t len);

#endif
