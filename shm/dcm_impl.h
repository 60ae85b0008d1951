/*
 * dcm_impl.h - what the files of libdcm share.
 *
 *   dcm_open.c     find an instance, judge whom to trust, open and close
 *   dcm_slots.c    the directory's rows and the shards that they lead to
 *   dcm_place.c    entries, and where a reference leads
 *   dcm_find.c     one container by id, prefix or name
 *   dcm_view.c     a tier in place; the digest of an entry
 *   dcm_read.c     a whole record, decoded (dcm_time.c: ages and uptime)
 *   dcm_hosts.c    rows of hosts, the daemon's settings
 *   dcm_catalog.c  a host's images and networks
 *   dcm_query.c    a cross-host query: asks the broker, or has dcm_scan.c scan
 *                  (dcm_top.c: for the highest)
 *   dcm_broker.c   the connection to the broker
 *   dcm_ask.c      refresh, logs, forget
 *   dcm_changes.c  what changed (dcm_wait.c: being told of it)
 *
 * A handle belongs to one thread, so nothing here is locked or atomic; what is
 * shared is the mapped memory alone, and region_read.c reads that.
 */
#ifndef DCM_IMPL_H
#define DCM_IMPL_H

#include <sys/types.h>

#include "dcm.h"
#include "match.h"
#include "names.h"
#include "record.h"
#include "region_read.h"

/*
 * A slot of the directory as this handle knows it: the row of a host, and its
 * shard once something was read from it.  `publish` is the directory's count of
 * publications when the row was read: while that stands, so does the row.
 */
struct dcm_slot {
	uint32_t publish;
	uint32_t entry_generation; /* of the directory's entry */
	bool live, enabled;
	uint32_t row_generation;   /* the shard that the row names; 0: none */
	char host[DCM_HOST_ID_MAX + 1];
	int64_t restarts;
	char error[160];	   /* why its collector cannot work; "" */

	uint32_t generation;	   /* of `map` */
	uint32_t followed_row;	   /* row_generation from which `map` was found */
	struct region_map map;	   /* base NULL: not mapped */
	double checked;		   /* monotonic s: a silent shard was held against its name */
	uint32_t before_generation;
	struct region_map before;  /* the one that `map` replaced: to translate references */

	double clock_offset;	   /* of the host's engine, s; 0 where not known */
	uint64_t clock_ref;	   /* the blob that said so */
};

struct dcm_broker;  /* dcm_broker.c */
struct dcm_follow;  /* dcm_follow.h */

struct dcm {
	uid_t uid;			      /* whose instance it is */
	char instance[DCM_INSTANCE_MAX + 1];
	char runtime_dir[256];
	unsigned flags;

	struct region_map dir;
	double dir_checked;		      /* monotonic s: dir was last held against its name */
	uint32_t epoch;			      /* raised when `dir` is another one */

	struct dcm_slot **slot;		      /* by entry of the directory; NULL: not seen yet */
	uint32_t n_slots;
	uint32_t last_slot;		      /* of the last look-up by id */
	uint32_t *order;		      /* live slots by host id */
	uint32_t n_order, room_order;
	uint32_t order_publish, order_epoch;
	bool ordered;
	bool mapped_all;		      /* a scan has: what is left are news */

	struct dcm_info info;
	uint64_t info_ref;		      /* the blob that `info` was decoded from */
	struct dcm_piece *info_pieces;	      /* memory of its lists */

	struct dcm_broker *broker;
	struct dcm_follow *follow;

	char err[640];
};

/* Sets the sentence; returns rc. */
int dcm_fail(dcm *d, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
double dcm_now(void);	    /* CLOCK_REALTIME, s */
double dcm_monotonic(void); /* s */

/* ---- dcm_slots.c -------------------------------------------------------- */

/* The directory as it is now: reopened where dcmd has replaced it.  The first is
 * one load; the second also finds, at most once a second, a directory whose
 * writer is gone. */
int dcm_directory(dcm *d);
int dcm_directory_checked(dcm *d);
/* The row of slot `host`, up to date.  DCM_ESTALE: there is none (any more). */
int dcm_slot_row(dcm *d, uint32_t host, struct dcm_slot **out);
/* And its shard, mapped.  DCM_ENOTFOUND: it has none (yet, or as it is disabled). */
int dcm_slot_shard(dcm *d, uint32_t host, struct dcm_slot **out);
/* The common case of it, in a few loads: mapped, and nothing was published or
 * replaced since.  NULL: go the long way. */
static inline struct dcm_slot *dcm_slot_ready(const dcm *d, uint32_t host)
{
	struct dcm_slot *s = host < d->n_slots ? d->slot[host] : NULL;

	if (!s || !s->map.base || !s->enabled ||
	    s->publish != atomic_load_explicit(&d->dir.h->publish, memory_order_acquire) ||
	    atomic_load_explicit(&s->map.h->state, memory_order_acquire) != DCM_REGION_LIVE ||
	    atomic_load_explicit(&d->dir.h->state, memory_order_acquire) != DCM_REGION_LIVE)
		return NULL;
	return s;
}
/* The same, and a shard whose writer is silent is held against its name: once a
 * second at most, for the calls that look at much. */
int dcm_slot_shard_checked(dcm *d, uint32_t host, struct dcm_slot **out);
/* The live rows by host id: d->order[0..n_order). */
int dcm_slots_sorted(dcm *d);
/* The slot of a host id; DCM_ENOTFOUND with the sentence. */
int dcm_slot_of(dcm *d, const char *host, uint32_t *slot);
void dcm_slots_release(dcm *d);

/* ---- dcm_place.c -------------------------------------------------------- */

/* Where a reference leads now. */
struct dcm_place {
	struct dcm_slot *slot;
	const struct region_map *map;
	const struct dcm_entry *e;
	uint32_t entry, generation;
};
/* DCM_ESTALE with the sentence where the container is gone. */
int dcm_locate(dcm *d, struct dcm_ref ref, struct dcm_place *out);
/* A live entry of a shard: its generation, or 0 (which none has) where it is in
 * no use. */
uint32_t dcm_live_entry(const struct region_map *m, uint32_t index, const struct dcm_entry **e);
/* An entry's name, copied and NUL-terminated; DCM_OK, DCM_ESTALE, DCM_EBUSY. */
int dcm_entry_name(const struct region_map *m, const struct dcm_entry *e, uint32_t index,
		   uint32_t generation, char buf[DCM_NAME_MAX + 1], uint32_t *len);
void dcm_entry_id(const struct dcm_entry *e, uint8_t id[32]);
void dcm_hex(const uint8_t *bytes, size_t n, char *out); /* 2n digits and a NUL */

/* ---- the rest ----------------------------------------------------------- */

void dcm_brief_of(const struct dcm_entry *e, struct dcm_brief *out);

/* dcm_scan.c: answers any query from the memory. */
int dcm_scan(dcm *d, const struct dcm_query *q, struct dcm_refs *out);
/* Room for n of them; DCM_ENOMEM beyond DCM_REFS_MAX, too. */
int dcm_refs_room(struct dcm_refs *r, size_t n);
int dcm_refs_add(struct dcm_refs *r, struct dcm_ref ref);
/* The n-th host of a query: all in order, or the one of slot *only.  DCM_ESTALE:
 * behind the last; DCM_ENOTFOUND: it has no containers. */
int dcm_query_host(dcm *d, const uint32_t *only, uint32_t n, uint32_t *slot,
		   struct dcm_slot **out);
/* dcm_top.c: the TOP queries. */
int dcm_scan_top(dcm *d, const struct dcm_query *q, const uint32_t *only, struct dcm_refs *out);
enum { DCM_REFS_MAX = 1 << 26, /* of an answer */
       DCM_AHEAD = 8 /* entries to fetch before a scan needs them */ };

/* dcm_time.c: RFC 3339 to Unix seconds, NaN where it is none; and an age in words. */
double dcm_time_parse(struct dcm_str s);
void dcm_uptime_text(double seconds, char out[24]);

/* dcm_hosts.c: d->info, as the daemon says it now. */
int dcm_info_load(dcm *d);
void dcm_info_release(dcm *d);

/* dcm_broker.c: sends `q` and waits for its reply.  `reply` points into the
 * connection's buffer until the next call.  DCM_OK (whatever reply->rc says),
 * DCM_EBROKER, DCM_ENOMEM, DCM_EINVAL. */
struct protocol_request;
struct protocol_reply;
int dcm_broker_call(dcm *d, struct protocol_request *q, struct protocol_reply *reply,
		    int timeout_ms);
/* A connection of its own, non-blocking, to the broker: fd, or -1 with the sentence. */
int dcm_broker_connect(dcm *d, int timeout_ms);
/* A request to fill; its memory is the connection's.  NULL: no memory. */
struct protocol_request *dcm_broker_request(dcm *d);
void dcm_broker_release(dcm *d);

void dcm_follow_release(dcm *d);

#endif
