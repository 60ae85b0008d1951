/*
 * transport_ssh_known.c - known_hosts: plain names, patterns, hashed names,
 * [host]:port, @revoked; see sshd(8).
 *
 * The lines are matched here and not by libssh2, which knows neither markers nor
 * patterns; it does the hashing alone.  A line is looked at for "[host]:port" (the
 * bare name on port 22), and then, as OpenSSH does it, for the bare name, which may
 * speak for a key and not against it.
 */
#include "transport_ssh_known.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	LINES_MAX = 64,	     /* that name one host */
	LINE_BYTES = 16384,  /* of one; longer ones are passed over */
};

struct line {
	enum { PLAIN, REVOKED, AUTHORITY } marker;
	bool bare; /* found by the bare name only */
	char type[64];
	unsigned char *blob;
	size_t len;
	const char *file;
};

struct ssh_known {
	struct line line[LINES_MAX];
	unsigned n;
	char methods[320];
};

/* Is the last part of |1|salt|hash a SHA-1?  Of another libssh2 1.10 loses memory. */
static bool hash_is_whole(const char *names)
{
	enum { HASH = 20, CODED = 28 };
	const char *hash = strncmp(names, "|1|", 3) ? NULL : strchr(names + 3, '|');
	unsigned char raw[CODED];

	return hash && strlen(hash + 1) == CODED &&
	       ssh_unbase64(hash + 1, CODED, raw, sizeof(raw)) == HASH;
}

/* |1|salt|hash: libssh2 compares, given the line's own key. */
static bool hashed_is(LIBSSH2_SESSION *ssh, const char *names, const char *type, const char *key,
		      const char *name)
{
	LIBSSH2_KNOWNHOSTS *one = libssh2_knownhost_init(ssh);
	char line[LINE_BYTES + 256];
	bool found = false;
	int n = snprintf(line, sizeof(line), "%s %s %s\n", names, type, key);

	if (!one)
		return false;
	if (n > 0 && (size_t)n < sizeof(line) &&
	    !libssh2_knownhost_readline(one, line, (size_t)n, LIBSSH2_KNOWNHOST_FILE_OPENSSH))
		found = libssh2_knownhost_check(one, name, key, strlen(key),
						LIBSSH2_KNOWNHOST_TYPE_PLAIN |
						    LIBSSH2_KNOWNHOST_KEYENC_BASE64,
						NULL) == LIBSSH2_KNOWNHOST_CHECK_MATCH;
	libssh2_knownhost_free(one);
	return found;
}

/* One comma-separated pattern against a name; fnmatch knows [..], which ssh does not. */
static bool pattern_is(const char *p, size_t n, const char *name)
{
	char escaped[512];
	size_t m = 0;

	for (size_t i = 0; i < n && m < sizeof(escaped) - 2; i++) {
		if (p[i] == '[' || p[i] == '\\')
			escaped[m++] = '\\';
		escaped[m++] = p[i];
	}
	escaped[m] = '\0';
	return fnmatch(escaped, name, FNM_CASEFOLD) == 0;
}

static bool names_hold(const char *names, const char *name)
{
	bool found = false;

	while (*names) {
		size_t n = strcspn(names, ",");
		bool not = *names == '!';

		if (pattern_is(names + not, n - not, name)) {
			if (not)
				return false;
			found = true;
		}
		names += n + (names[n] == ',');
	}
	return found;
}

static bool line_names(LIBSSH2_SESSION *ssh, const char *names, const char *type, const char *key,
		       const char *name)
{
	if (names[0] == '|')
		return hash_is_whole(names) && hashed_is(ssh, names, type, key, name);
	return names_hold(names, name);
}

static void add_line(struct ssh_known *k, struct line l, const char *type, const char *key)
{
	size_t n = strlen(key);

	if (k->n == LINES_MAX || strlen(type) >= sizeof(l.type))
		return;
	l.blob = malloc(n + 1);
	if (!l.blob)
		return;
	l.len = ssh_unbase64(key, n, l.blob, n);
	memcpy(l.type, type, strlen(type) + 1);
	k->line[k->n++] = l;
}

static void take_line(struct ssh_known *k, LIBSSH2_SESSION *ssh, const struct ssh_target *t,
		      const char *file, char *text)
{
	struct line l = {.marker = PLAIN, .file = file};
	char bare[256], with_port[272], *save, *names, *type, *key;
	const char *name = t->alias ? t->alias : t->host;
	bool ported = t->port != 22 && !t->alias;

	names = strtok_r(text, " \t\r\n", &save);
	if (!names || *names == '#')
		return;
	if (*names == '@') {
		l.marker = !strcmp(names, "@revoked") ? REVOKED : AUTHORITY;
		names = strtok_r(NULL, " \t\r\n", &save);
	}
	type = strtok_r(NULL, " \t\r\n", &save);
	key = strtok_r(NULL, " \t\r\n", &save);
	if (!names || !type || !key || isdigit((unsigned char)type[0]))
		return;
	snprintf(bare, sizeof(bare), "%.250s", name);
	for (char *p = bare; *p; p++) /* hashes are of the name in lower case */
		*p = (char)tolower((unsigned char)*p);
	snprintf(with_port, sizeof(with_port), "[%s]:%u", bare, t->port);
	if (!line_names(ssh, names, type, key, ported ? with_port : bare)) {
		if (!ported || !line_names(ssh, names, type, key, bare))
			return;
		l.bare = true;
	}
	add_line(k, l, type, key);
}

static void read_file(struct ssh_known *k, LIBSSH2_SESSION *ssh, const struct ssh_target *t,
		      const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;

	if (!f)
		return;
	while (getline(&line, &room, f) > 0)
		if (strlen(line) < LINE_BYTES)
			take_line(k, ssh, t, path, line);
	free(line);
	fclose(f);
}

/* libssh2 prefers ecdsa: a file that holds ed25519 alone would then say "unknown". */
static void choose_methods(struct ssh_known *k)
{
	static const char *const can[] = {"ssh-ed25519", "ecdsa-sha2-nistp256",
					  "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"};
	bool known = false;

	for (int pass = 0; pass < 2; pass++) { /* the known ones, then the others */
		for (size_t i = 0; i < sizeof(can) / sizeof(can[0]); i++) {
			size_t n = strlen(k->methods);
			bool has = false;

			for (unsigned j = 0; j < k->n; j++)
				has |= k->line[j].marker == PLAIN &&
				       !strcmp(k->line[j].type, can[i]);
			known |= has;
			if (has == (pass == 0))
				snprintf(k->methods + n, sizeof(k->methods) - n, "%s%s",
					 n ? "," : "", can[i]);
		}
	}
	for (unsigned j = 0; !known && j < k->n; j++)
		if (k->line[j].marker != REVOKED && !k->line[j].bare)
			k->methods[0] = '\0';
}

struct ssh_known *ssh_known_read(LIBSSH2_SESSION *ssh, const struct ssh_target *t)
{
	struct ssh_known *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	for (unsigned i = 0; i < t->n_known; i++)
		read_file(k, ssh, t, t->known[i]);
	choose_methods(k);
	return k;
}

const char *ssh_known_methods(const struct ssh_known *k)
{
	return k->methods;
}

enum ssh_known_verdict ssh_known_check(const struct ssh_known *k, const unsigned char *blob,
				       size_t len, const char **file)
{
	enum ssh_known_verdict v = KNOWN_NOT;

	*file = NULL;
	for (unsigned i = 0; i < k->n; i++) {
		const struct line *l = &k->line[i];
		bool same = l->len == len && !memcmp(l->blob, blob, len);

		if (same && l->marker == REVOKED) {
			*file = l->file;
			return KNOWN_REVOKED;
		}
		if (l->marker != PLAIN || v == KNOWN_OK)
			continue;
		if (same) {
			v = KNOWN_OK;
		} else if (!l->bare) {
			v = KNOWN_CHANGED;
			*file = l->file;
		}
	}
	return v;
}

bool ssh_known_by_authority(const struct ssh_known *k)
{
	for (unsigned i = 0; i < k->n; i++)
		if (k->line[i].marker == AUTHORITY)
			return true;
	return false;
}

void ssh_known_free(struct ssh_known *k)
{
	if (!k)
		return;
	for (unsigned i = 0; i < k->n; i++)
		free(k->line[i].blob);
	free(k);
}

/* ssh-keygen removes what stands under this very name. */
void ssh_say_changed(const struct ssh_target *t, const char *print, const char *file, char *why)
{
	char name[80];

	if (t->alias || t->port == 22)
		snprintf(name, sizeof(name), "%.64s", t->alias ? t->alias : t->host);
	else
		snprintf(name, sizeof(name), "[%.64s]:%u", t->host, t->port);
	ssh_say(why, "host key of %.60s changed to SHA256:%s: if that is right, ssh-keygen -f %.64s "
		     "-R '%s', then add the new one",
		t->where, print, file, name);
}
