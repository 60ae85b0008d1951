/*
 * transport_ssh_key.c - what kind of key a private key file holds, without
 * deciphering it: the public key in front of it says.  And base64.
 *
 * libssh2 1.10 signs with RSA keys by SHA-1 alone, which no sshd takes any more,
 * and knows no FIDO keys: such keys are better not offered.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "transport_ssh.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t ssh_base64(const unsigned char *data, size_t len, char *out)
{
	size_t n = 0;
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | data[i];
		for (have += 8; have >= 6; have -= 6)
			out[n++] = alphabet[bits >> (have - 6) & 63];
	}
	if (have)
		out[n++] = alphabet[bits << (6 - have) & 63];
	out[n] = '\0';
	return n;
}

size_t ssh_unbase64(const char *text, size_t len, unsigned char *out, size_t room)
{
	size_t n = 0;
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < len && n < room; i++) {
		const char *p;

		if (text[i] == '\n' || text[i] == '\r')
			continue;
		p = text[i] ? strchr(alphabet, text[i]) : NULL;
		if (!p)
			break;
		bits = bits << 6 | (uint32_t)(p - alphabet);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (unsigned char)(bits >> have);
		}
	}
	return n;
}

static size_t read_start(const char *path, char *buf, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, buf, room - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

/* The next string of SSH's wire format, or NULL. */
static const unsigned char *next_string(const unsigned char **p, const unsigned char *end,
					size_t *len)
{
	const unsigned char *s = *p;
	size_t n;

	if (end - s < 4)
		return NULL;
	n = (size_t)s[0] << 24 | (size_t)s[1] << 16 | (size_t)s[2] << 8 | s[3];
	s += 4;
	if (n > (size_t)(end - s))
		return NULL;
	*p = s + n;
	*len = n;
	return s;
}

/* "openssh-key-v1\0", cipher, kdf, kdf options, count, the public key's blob, … */
static void look_openssh(const char *text, size_t len, struct ssh_key_kind *out)
{
	static const char magic[] = "openssh-key-v1";
	unsigned char raw[512];
	size_t n = ssh_unbase64(text, len, raw, sizeof(raw)), m;
	const unsigned char *p = raw + sizeof(magic), *end = raw + n, *s;

	if (n < sizeof(magic) || memcmp(raw, magic, sizeof(magic)))
		return;
	s = next_string(&p, end, &m);
	if (!s)
		return;
	out->encrypted = m != 4 || memcmp(s, "none", 4);
	if (!next_string(&p, end, &m) || !next_string(&p, end, &m) || end - p < 8)
		return;
	p += 8; /* the number of keys, and the length of the first blob */
	s = next_string(&p, end, &m);
	if (s && m < sizeof(out->type))
		memcpy(out->type, s, m);
}

void ssh_key_look(const char *path, struct ssh_key_kind *out)
{
	static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
	char text[1024];
	size_t n = read_start(path, text, sizeof(text));
	const char *p;

	memset(out, 0, sizeof(*out));
	if (!n)
		return;
	out->readable = true;
	p = strstr(text, begin);
	if (p) {
		p += sizeof(begin) - 1;
		look_openssh(p, strlen(p), out);
	} else if (strstr(text, "BEGIN RSA PRIVATE KEY")) {
		memcpy(out->type, "ssh-rsa", 8);
	} else if (strstr(text, "BEGIN DSA PRIVATE KEY")) {
		memcpy(out->type, "ssh-dss", 8);
	} else if (strstr(text, "BEGIN EC PRIVATE KEY")) {
		memcpy(out->type, "ecdsa-sha2-", 12);
	}
	if (strstr(text, "ENCRYPTED"))
		out->encrypted = true;
}

bool ssh_key_usable(const char *type)
{
	return !strcmp(type, "ssh-ed25519") || !strncmp(type, "ecdsa-sha2-", 11) || !type[0];
}
