/*
 * transport_ssh_mux.c - the bytes of OpenSSH's multiplexing protocol (PROTOCOL.mux in
 * its source), as far as running a command takes.
 *
 *	packet		uint32 length, uint32 type, body; all big-endian
 *	string		uint32 length, bytes
 *
 *	both sides	HELLO: version 4, pairs of strings that extend it
 *	we		NEW_SESSION, and three descriptors after it
 *	master		SESSION_OPENED, or FAILURE or PERMISSION_DENIED with a reason
 *	master		EXIT_MESSAGE, then the end of the connection
 *
 * An answer is believed only when it is exactly as long as it says, to the last byte.
 */
#include "transport_ssh_mux.h"

#include <string.h>

enum {
	HELLO = 0x00000001,
	NEW_SESSION = 0x10000002,
};
static const uint32_t permission_denied = 0x80000002, failure = 0x80000003,
		      exit_message = 0x80000004, session_opened = 0x80000006;

/* ---- writing ---------------------------------------------------------------------------- */

struct packet {
	unsigned char *at, *end; /* at NULL: it did not fit */
};

static void put_u32(struct packet *p, uint32_t v)
{
	if (!p->at || p->end - p->at < 4) {
		p->at = NULL;
		return;
	}
	for (int i = 0; i < 4; i++)
		*p->at++ = (unsigned char)(v >> (24 - 8 * i));
}

static void put_string(struct packet *p, const char *s)
{
	size_t n = strlen(s);

	put_u32(p, (uint32_t)n);
	if (!p->at || (size_t)(p->end - p->at) < n) {
		p->at = NULL;
		return;
	}
	memcpy(p->at, s, n);
	p->at += n;
}

/* Puts the length in front; 0: the packet did not fit. */
static size_t whole(const struct packet *p, unsigned char *buf)
{
	struct packet length = {buf, buf + 4};
	size_t n = p->at ? (size_t)(p->at - buf) : 0;

	if (n)
		put_u32(&length, (uint32_t)(n - 4));
	return n;
}

size_t mux_hello(unsigned char *buf, size_t room)
{
	struct packet p = {buf + 4, buf + room};

	put_u32(&p, HELLO);
	put_u32(&p, MUX_VERSION);
	return whole(&p, buf);
}

size_t mux_new_session(unsigned char *buf, size_t room, uint32_t request, const char *command)
{
	struct packet p = {buf + 4, buf + room};

	put_u32(&p, NEW_SESSION);
	put_u32(&p, request);
	put_string(&p, ""); /* reserved */
	for (int i = 0; i < 4; i++)
		put_u32(&p, 0); /* no terminal, X11, agent or subsystem */
	put_u32(&p, 0xffffffff); /* no escape character */
	put_string(&p, "");	 /* TERM */
	put_string(&p, command);
	return whole(&p, buf);
}

/* ---- reading ---------------------------------------------------------------------------- */

struct body {
	const unsigned char *at;
	size_t left;
	bool bad;
};

static uint32_t get_u32(struct body *b)
{
	uint32_t v = 0;

	if (b->left < 4) {
		b->bad = true;
		return 0;
	}
	for (int i = 0; i < 4; i++)
		v = v << 8 | *b->at++;
	b->left -= 4;
	return v;
}

static size_t get_string(struct body *b, const char **s)
{
	size_t n = get_u32(b);

	if (b->bad || n > b->left) {
		b->bad = true;
		n = 0;
	}
	*s = (const char *)b->at;
	b->at += n;
	b->left -= n;
	return n;
}

static void get_hello(struct body *b, struct mux_answer *a)
{
	const char *ignored;

	a->kind = MUX_HELLO;
	a->version = get_u32(b);
	while (b->left && !b->bad) {
		get_string(b, &ignored);
		get_string(b, &ignored);
	}
}

static void get_refusal(struct body *b, struct mux_answer *a)
{
	const char *reason;
	size_t n;

	a->kind = MUX_REFUSED;
	a->request = get_u32(b);
	n = get_string(b, &reason);
	if (n >= sizeof(a->reason))
		n = sizeof(a->reason) - 1;
	memcpy(a->reason, reason, n);
	a->reason[n] = '\0';
}

size_t mux_read(const unsigned char *data, size_t len, struct mux_answer *a)
{
	struct body b = {data, len, false};
	uint32_t type, n;

	a->kind = MUX_MORE;
	if (len < 4)
		return 0;
	n = get_u32(&b);
	a->kind = MUX_BAD;
	if (n < 4 || n > MUX_PACKET_MAX - 4)
		return 0;
	a->kind = MUX_MORE;
	if (b.left < n)
		return 0;
	b.left = n;
	type = get_u32(&b);
	if (type == HELLO) {
		get_hello(&b, a);
	} else if (type == session_opened) {
		a->kind = MUX_OPENED;
		a->request = get_u32(&b);
		a->session = get_u32(&b);
	} else if (type == failure || type == permission_denied) {
		get_refusal(&b, a);
	} else if (type == exit_message) {
		a->kind = MUX_EXIT;
		a->session = get_u32(&b);
		a->status = get_u32(&b);
	} else {
		b.bad = true;
	}
	if (b.bad || b.left)
		a->kind = MUX_BAD;
	return a->kind == MUX_BAD ? 0 : n + 4;
}
