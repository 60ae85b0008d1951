/*
 * protocol.c - the codec of protocol.h: pure, bytes in and bytes out.
 *
 * Encoding appends to a record_buf through msgpack-c and takes back what it
 * began when the message would pass its maximum.  Decoding goes over mp.h, in
 * one pass: it allocates nothing, checks every length and number, passes over
 * keys that it does not know, and refuses what is not a whole message of this
 * version.  What the two sides mean by a message is docs/protocol.md.
 */
#include <errno.h>
#include <msgpack/pack.h>
#include <string.h>

#include "mp.h"
#include "protocol.h"

enum { PREFIX = 4, REF_SIZE = 16 };

static const char *const op_names[] = {
	[PROTOCOL_QUERY] = "query",   [PROTOCOL_REFRESH] = "refresh",
	[PROTOCOL_LOGS] = "logs",     [PROTOCOL_FORGET] = "forget",
	[PROTOCOL_SUBSCRIBE] = "subscribe", [PROTOCOL_PING] = "ping",
};
static const char *const kind_names[] = {
	[DCM_Q_ALL] = "all",	     [DCM_Q_PROJECT] = "project", [DCM_Q_LABEL] = "label",
	[DCM_Q_SEARCH] = "search",   [DCM_Q_MOUNT] = "mount",	  [DCM_Q_NETWORK] = "network",
	[DCM_Q_STATUS] = "status",   [DCM_Q_HEALTH] = "health",	  [DCM_Q_TOP_CPU] = "top_cpu",
	[DCM_Q_TOP_MEMORY] = "top_memory",
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The place of `s` in a table of names, or -1. */
static int name_index(const char *const *names, size_t n, struct dcm_str s)
{
	for (size_t i = 0; i < n; i++)
		if (names[i] && mp_key_is(s, names[i]))
			return (int)i;
	return -1;
}

/* ---- encoding ---------------------------------------------------------- */

struct sink {
	struct record_buf *b;
	size_t start, max; /* where the message began; bytes of body allowed */
	int error;
	msgpack_packer pk;
};

static int sink_write(void *data, const char *bytes, size_t n)
{
	struct sink *s = data;

	if (!s->error)
		s->error = record_buf_append(s->b, bytes, n, s->start + PREFIX + s->max);
	return s->error ? -1 : 0;
}

static void sink_begin(struct sink *s, struct record_buf *b, size_t max)
{
	s->b = b;
	s->start = b->len;
	s->max = max;
	s->error = 0;
	msgpack_packer_init(&s->pk, s, sink_write);
	sink_write(s, "\0\0\0", PREFIX);
}

static int sink_end(struct sink *s)
{
	uint32_t len;
	uint8_t *p;

	if (s->error) {
		s->b->len = s->start;
		return s->error;
	}
	len = (uint32_t)(s->b->len - s->start - PREFIX);
	p = (uint8_t *)s->b->data + s->start;
	p[0] = (uint8_t)(len >> 24);
	p[1] = (uint8_t)(len >> 16);
	p[2] = (uint8_t)(len >> 8);
	p[3] = (uint8_t)len;
	return 0;
}

static void put_str(struct sink *s, struct dcm_str v)
{
	if (!v.s) {
		msgpack_pack_nil(&s->pk);
		return;
	}
	msgpack_pack_str(&s->pk, v.len);
	if (v.len)
		msgpack_pack_str_body(&s->pk, v.s, v.len);
}

static void put_text(struct sink *s, const char *v)
{
	put_str(s, (struct dcm_str){v, v ? (uint32_t)strlen(v) : 0});
}

static void put_int(struct sink *s, const char *key, int64_t v)
{
	put_text(s, key);
	msgpack_pack_int64(&s->pk, v);
}

static void put_query(struct sink *s, const struct dcm_query *q)
{
	put_text(s, "kind");
	put_text(s, kind_names[q->kind]);
	put_text(s, "host");
	put_text(s, q->host);
	put_text(s, "text");
	put_text(s, q->text);
	put_text(s, "value");
	put_text(s, q->value);
	put_int(s, "n", q->n);
}

static void put_action(struct sink *s, const struct protocol_request *q)
{
	put_text(s, "hosts");
	msgpack_pack_array(&s->pk, q->n_hosts);
	for (uint32_t i = 0; i < q->n_hosts; i++)
		put_str(s, q->hosts[i]);
	put_text(s, "container");
	put_text(s, q->op == PROTOCOL_LOGS ? q->container : NULL);
	put_int(s, "lines", q->lines);
	put_int(s, "timeout_ms", q->timeout_ms);
}

static bool fits(const char *s, size_t room)
{
	return !s || strnlen(s, room) < room;
}

/* What the decoder on the other side would refuse is refused here. */
static bool request_valid(const struct protocol_request *q)
{
	switch (q->op) {
	case PROTOCOL_QUERY:
		return q->query.kind <= DCM_Q_TOP_MEMORY && fits(q->query.text, sizeof(q->text)) &&
		       fits(q->query.value, sizeof(q->value)) &&
		       fits(q->query.host, sizeof(q->host));
	case PROTOCOL_REFRESH:
		return q->n_hosts <= PROTOCOL_HOSTS_MAX;
	case PROTOCOL_LOGS:
		return q->n_hosts == 1 && strnlen(q->container, sizeof(q->container)) == 64;
	case PROTOCOL_FORGET:
		return q->n_hosts == 1;
	case PROTOCOL_SUBSCRIBE:
	case PROTOCOL_PING:
		return true;
	}
	return false;
}

int protocol_encode_request(const struct protocol_request *q, struct record_buf *b)
{
	bool query = q->op == PROTOCOL_QUERY;
	bool action = q->op == PROTOCOL_REFRESH || q->op == PROTOCOL_LOGS ||
		      q->op == PROTOCOL_FORGET;
	struct sink s;

	if (!request_valid(q))
		return -EINVAL;
	sink_begin(&s, b, PROTOCOL_REQUEST_MAX);
	msgpack_pack_map(&s.pk, query ? 8 : action ? 7 : 3);
	put_int(&s, "v", PROTOCOL_VERSION);
	put_int(&s, "id", q->id);
	put_text(&s, "op");
	put_text(&s, op_names[q->op]);
	if (query)
		put_query(&s, &q->query);
	else if (action)
		put_action(&s, q);
	return sink_end(&s);
}

static void put_outcomes(struct sink *s, const struct protocol_reply *r)
{
	put_text(s, "outcomes");
	msgpack_pack_array(&s->pk, r->n_outcomes);
	for (uint32_t i = 0; i < r->n_outcomes; i++) {
		msgpack_pack_map(&s->pk, 3);
		put_text(s, "host");
		put_text(s, r->outcomes[i].host);
		put_int(s, "rc", r->outcomes[i].rc);
		put_text(s, "error");
		put_text(s, r->outcomes[i].error);
	}
}

int protocol_encode_reply(const struct protocol_reply *r, struct record_buf *b)
{
	size_t refs = (size_t)r->n_refs * REF_SIZE;
	struct sink s;

	sink_begin(&s, b, PROTOCOL_REPLY_MAX);
	if (r->notice) {
		msgpack_pack_map(&s.pk, 2);
		put_int(&s, "v", PROTOCOL_VERSION);
		put_text(&s, "notice");
		msgpack_pack_true(&s.pk);
		return sink_end(&s);
	}
	msgpack_pack_map(&s.pk, 4 + (r->refs != NULL) + (r->outcomes != NULL));
	put_int(&s, "v", PROTOCOL_VERSION);
	put_int(&s, "id", r->id);
	put_int(&s, "rc", r->rc);
	put_text(&s, "error");
	put_str(&s, r->error);
	if (r->refs) {
		put_text(&s, "refs");
		msgpack_pack_bin(&s.pk, refs);
		if (refs)
			msgpack_pack_bin_body(&s.pk, r->refs, refs);
	}
	if (r->outcomes)
		put_outcomes(&s, r);
	return sink_end(&s);
}

/* ---- decoding ---------------------------------------------------------- */

static bool get_u32(struct mp *m, uint32_t *out)
{
	int64_t i;

	if (!mp_int(m, &i) || i < 0 || i > UINT32_MAX)
		return false;
	*out = (uint32_t)i;
	return true;
}

/* Text into dst[room], NUL-terminated; a NUL inside is refused. */
static bool get_text(struct mp *m, char *dst, size_t room, bool *null)
{
	struct mp_item it = mp_next(m);

	*null = it.type == MP_NIL;
	if (*null)
		return true;
	if (it.type != MP_STR || it.s.len >= room || (it.s.len && memchr(it.s.s, 0, it.s.len)))
		return false;
	if (it.s.len)
		memcpy(dst, it.s.s, it.s.len);
	dst[it.s.len] = 0;
	return true;
}

static bool get_name(struct mp *m, const char *const *names, size_t n, int *out)
{
	struct dcm_str s;

	*out = mp_str(m, &s) ? name_index(names, n, s) : -1;
	return *out >= 0;
}

static bool get_hosts(struct mp *m, struct protocol_request *q)
{
	uint32_t n;

	if (!mp_array(m, &n) || n > PROTOCOL_HOSTS_MAX)
		return false;
	for (q->n_hosts = 0; q->n_hosts < n; q->n_hosts++) {
		struct dcm_str *h = &q->hosts[q->n_hosts];

		if (!mp_str(m, h) || !h->len || h->len >= sizeof(q->host) ||
		    memchr(h->s, 0, h->len))
			return false;
	}
	return true;
}

/* The value of one key of a request.  false: not what it must be. */
static bool get_request_key(struct mp *m, struct dcm_str key, struct protocol_request *q,
			    uint32_t *v)
{
	bool null;
	int i;

	if (mp_key_is(key, "v"))
		return get_u32(m, v);
	if (mp_key_is(key, "id"))
		return get_u32(m, &q->id);
	if (mp_key_is(key, "op")) {
		if (!get_name(m, op_names, COUNT(op_names), &i))
			return false;
		q->op = (enum protocol_op)i;
	} else if (mp_key_is(key, "kind")) {
		if (!get_name(m, kind_names, COUNT(kind_names), &i))
			return false;
		q->query.kind = (enum dcm_query_kind)i;
	} else if (mp_key_is(key, "host")) {
		if (!get_text(m, q->host, sizeof(q->host), &null))
			return false;
		q->query.host = null ? NULL : q->host;
	} else if (mp_key_is(key, "text")) {
		if (!get_text(m, q->text, sizeof(q->text), &null))
			return false;
		q->query.text = null ? NULL : q->text;
	} else if (mp_key_is(key, "value")) {
		if (!get_text(m, q->value, sizeof(q->value), &null))
			return false;
		q->query.value = null ? NULL : q->value;
	} else if (mp_key_is(key, "n")) {
		return get_u32(m, &q->query.n);
	} else if (mp_key_is(key, "hosts")) {
		return get_hosts(m, q);
	} else if (mp_key_is(key, "container")) {
		return get_text(m, q->container, sizeof(q->container), &null);
	} else if (mp_key_is(key, "lines")) {
		return get_u32(m, &q->lines);
	} else if (mp_key_is(key, "timeout_ms")) {
		return get_u32(m, &q->timeout_ms);
	} else {
		mp_skip(m);
	}
	return !m->bad;
}

/* Is what is needed there? */
static bool request_whole(const struct protocol_request *q)
{
	if (q->op != PROTOCOL_QUERY)
		return request_valid(q);
	switch (q->query.kind) {
	case DCM_Q_ALL:
	case DCM_Q_TOP_CPU:
	case DCM_Q_TOP_MEMORY:
		return true;
	default:
		return q->query.text != NULL;
	}
}

bool protocol_decode_request(const uint8_t *data, size_t len, struct protocol_request *out)
{
	struct mp m = mp_of(data, len);
	struct dcm_str key;
	uint32_t pairs, version = 0;

	out->id = out->n_hosts = out->lines = out->timeout_ms = 0;
	out->op = 0;
	memset(&out->query, 0, sizeof(out->query));
	out->container[0] = 0;
	if (!mp_map(&m, &pairs))
		return false;
	for (uint32_t i = 0; i < pairs; i++)
		if (!mp_str(&m, &key) || !get_request_key(&m, key, out, &version))
			return false;
	return !m.bad && m.p == m.end && version == PROTOCOL_VERSION && request_whole(out);
}

static bool get_rc(struct mp *m, int *rc)
{
	int64_t i;

	if (!mp_int(m, &i) || i < DCM_OK || i > DCM_EREFUSED)
		return false;
	*rc = (int)i;
	return true;
}

static bool get_outcome(struct mp *m, struct dcm_outcome *o)
{
	struct dcm_str key;
	uint32_t pairs;
	bool null;

	o->host[0] = o->error[0] = 0;
	o->rc = DCM_OK;
	if (!mp_map(m, &pairs))
		return false;
	for (uint32_t i = 0; i < pairs; i++) {
		bool ok = mp_str(m, &key);

		if (ok && mp_key_is(key, "host"))
			ok = get_text(m, o->host, sizeof(o->host), &null);
		else if (ok && mp_key_is(key, "rc"))
			ok = get_rc(m, &o->rc);
		else if (ok && mp_key_is(key, "error"))
			ok = get_text(m, o->error, sizeof(o->error), &null);
		else if (ok)
			mp_skip(m);
		if (!ok || m->bad)
			return false;
	}
	return true;
}

/* Those past the caller's room are checked and passed over. */
static bool get_outcomes(struct mp *m, struct protocol_reply *r)
{
	struct dcm_outcome spare;
	uint32_t n;

	if (!mp_array(m, &n))
		return false;
	r->n_outcomes = 0;
	for (uint32_t i = 0; i < n; i++) {
		bool kept = r->outcomes && r->n_outcomes < r->room_outcomes;

		if (!get_outcome(m, kept ? &r->outcomes[r->n_outcomes] : &spare))
			return false;
		r->n_outcomes += kept;
	}
	return true;
}

static bool get_refs(struct mp *m, struct protocol_reply *r)
{
	struct mp_item it = mp_next(m);

	if (it.type != MP_BIN || it.s.len % REF_SIZE)
		return false;
	r->refs = (const uint8_t *)it.s.s;
	r->n_refs = it.s.len / REF_SIZE;
	return true;
}

static bool get_reply_key(struct mp *m, struct dcm_str key, struct protocol_reply *r, uint32_t *v)
{
	struct mp_item it;

	if (mp_key_is(key, "v"))
		return get_u32(m, v);
	if (mp_key_is(key, "id"))
		return get_u32(m, &r->id);
	if (mp_key_is(key, "rc"))
		return get_rc(m, &r->rc);
	if (mp_key_is(key, "refs"))
		return get_refs(m, r);
	if (mp_key_is(key, "outcomes"))
		return get_outcomes(m, r);
	if (mp_key_is(key, "notice"))
		return mp_bool(m, &r->notice);
	if (mp_key_is(key, "error")) {
		it = mp_next(m);
		if (it.type == MP_STR)
			r->error = it.s;
		return it.type == MP_STR || it.type == MP_NIL;
	}
	mp_skip(m);
	return !m->bad;
}

bool protocol_decode_reply(const uint8_t *data, size_t len, struct protocol_reply *out)
{
	struct mp m = mp_of(data, len);
	struct dcm_str key;
	uint32_t pairs, version = 0;

	out->id = out->n_refs = out->n_outcomes = 0;
	out->rc = DCM_OK;
	out->error = (struct dcm_str){NULL, 0};
	out->refs = NULL;
	out->notice = false;
	if (!mp_map(&m, &pairs))
		return false;
	for (uint32_t i = 0; i < pairs; i++)
		if (!mp_str(&m, &key) || !get_reply_key(&m, key, out, &version))
			return false;
	return !m.bad && m.p == m.end && version == PROTOCOL_VERSION;
}
