/*
 * control.c - messages between the supervisor and its children.
 *
 * Part: codec and socket calls of control.h; the meaning of the messages is
 * the supervisor's, the collector's and the broker's.
 *
 * Protocol: one msgpack map a datagram, of the keys below; a key that does not
 * apply (0 or "") is left out, an unknown key is skipped, a key of a wrong type
 * or out of range makes the message malformed.  The two ends are processes of
 * one program, but a child that went mad must not bring the supervisor down:
 * decoding trusts nothing.
 */
#include "control.h"

#include <errno.h>
#include <msgpack.h>
#include <string.h>
#include <sys/socket.h>

#include "mp.h"

struct out {
	uint8_t *buf;
	size_t len;
	bool full;
};

static int out_write(void *data, const char *s, size_t n)
{
	struct out *o = data;

	if (n > CONTROL_MAX - o->len) {
		o->full = true;
		return -1;
	}
	memcpy(o->buf + o->len, s, n);
	o->len += n;
	return 0;
}

static void pack_text(msgpack_packer *pk, const char *s)
{
	msgpack_pack_str(pk, strlen(s));
	msgpack_pack_str_body(pk, s, strlen(s));
}

static void pack_uint(msgpack_packer *pk, const char *key, uint64_t v)
{
	if (v == 0)
		return;
	pack_text(pk, key);
	msgpack_pack_uint64(pk, v);
}

static void pack_str(msgpack_packer *pk, const char *key, const char *v)
{
	if (!*v)
		return;
	pack_text(pk, key);
	pack_text(pk, v);
}

static size_t pairs_of(const struct control_msg *m)
{
	return 1 + (m->token != 0) + (m->generation != 0) + (m->rc != 0) + (m->containers != 0) +
	       (m->seconds != 0) + (m->what != 0) + (m->lines != 0) + (*m->host != 0) +
	       (*m->container != 0) + (*m->error != 0);
}

size_t control_encode(const struct control_msg *m, uint8_t buf[CONTROL_MAX])
{
	struct out o = {.buf = buf};
	msgpack_packer pk;

	msgpack_packer_init(&pk, &o, out_write);
	msgpack_pack_map(&pk, pairs_of(m));
	pack_text(&pk, "kind");
	msgpack_pack_uint32(&pk, m->kind);
	pack_uint(&pk, "token", m->token);
	pack_uint(&pk, "generation", m->generation);
	if (m->rc) {
		pack_text(&pk, "rc");
		msgpack_pack_int(&pk, m->rc);
	}
	if (m->containers) {
		pack_text(&pk, "containers");
		msgpack_pack_int64(&pk, m->containers);
	}
	if (m->seconds != 0) {
		pack_text(&pk, "seconds");
		msgpack_pack_double(&pk, m->seconds);
	}
	pack_uint(&pk, "what", m->what);
	pack_uint(&pk, "lines", m->lines);
	pack_str(&pk, "host", m->host);
	pack_str(&pk, "container", m->container);
	pack_str(&pk, "error", m->error);
	return o.full ? 0 : o.len;
}

static bool read_u64(struct mp *p, uint64_t max, uint64_t *out)
{
	int64_t i;

	if (!mp_int(p, &i) || i < 0 || (uint64_t)i > max)
		return false;
	*out = (uint64_t)i;
	return true;
}

static bool read_u32(struct mp *p, uint32_t max, uint32_t *out)
{
	uint64_t v;

	if (!read_u64(p, max, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool read_text(struct mp *p, char *dst, size_t room)
{
	struct dcm_str s;

	if (!mp_str(p, &s) || s.len >= room || memchr(s.s, '\0', s.len))
		return false;
	memcpy(dst, s.s, s.len);
	dst[s.len] = '\0';
	return true;
}

static bool read_int(struct mp *p, int64_t min, int64_t max, int64_t *out)
{
	return mp_int(p, out) && *out >= min && *out <= max;
}

static bool read_key(struct mp *p, struct dcm_str key, struct control_msg *m)
{
	uint32_t u;
	int64_t i;

	if (mp_key_is(key, "kind")) {
		if (!read_u32(p, CONTROL_CONDITION, &u))
			return false;
		m->kind = u;
		return true;
	}
	if (mp_key_is(key, "what")) {
		if (!read_u32(p, CONTROL_EXPIRE, &u))
			return false;
		m->what = u;
		return true;
	}
	if (mp_key_is(key, "rc")) {
		if (!read_int(p, INT32_MIN, INT32_MAX, &i))
			return false;
		m->rc = (int)i;
		return true;
	}
	if (mp_key_is(key, "token"))
		return read_u64(p, INT64_MAX, &m->token);
	if (mp_key_is(key, "generation"))
		return read_u32(p, UINT32_MAX, &m->generation);
	if (mp_key_is(key, "containers"))
		return read_int(p, INT64_MIN, INT64_MAX, &m->containers);
	if (mp_key_is(key, "seconds"))
		return mp_float(p, &m->seconds);
	if (mp_key_is(key, "lines"))
		return read_u32(p, UINT32_MAX, &m->lines);
	if (mp_key_is(key, "host"))
		return read_text(p, m->host, sizeof(m->host));
	if (mp_key_is(key, "container"))
		return read_text(p, m->container, sizeof(m->container));
	if (mp_key_is(key, "error"))
		return read_text(p, m->error, sizeof(m->error));
	mp_skip(p);
	return true;
}

bool control_decode(const uint8_t *data, size_t len, struct control_msg *out)
{
	struct mp p = mp_of(data, len);
	uint32_t pairs;

	memset(out, 0, sizeof(*out));
	if (!mp_map(&p, &pairs))
		return false;
	while (pairs-- > 0) {
		struct dcm_str key;

		if (!mp_str(&p, &key) || !read_key(&p, key, out) || p.bad)
			return false;
	}
	return p.p == p.end && out->kind >= CONTROL_BEAT;
}

int control_send(int fd, const struct control_msg *m)
{
	uint8_t buf[CONTROL_MAX];
	size_t len = control_encode(m, buf);
	ssize_t n;

	if (len == 0)
		return -EMSGSIZE;
	do
		n = send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int control_recv(int fd, struct control_msg *out)
{
	uint8_t buf[CONTROL_MAX];
	ssize_t n;

	do
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	if ((size_t)n > sizeof(buf) || !control_decode(buf, (size_t)n, out))
		return -EBADMSG;
	return 1;
}
