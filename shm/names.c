/*
 * names.c - the names of an instance's objects in /dev/shm, both ways, and the
 * default directories.  Pure but for the environment and getuid().
 */
#include "names.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool alnum(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool id_valid(const char *s, size_t len, size_t max)
{
	if (len < 1 || len > max || !alnum(s[0]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!alnum(s[i]) && s[i] != '.' && s[i] != '_' && s[i] != '-')
			return false;
	return true;
}

bool names_id_valid(const char *s, size_t max)
{
	return s != NULL && id_valid(s, strnlen(s, max + 1), max);
}

void names_lock(char *buf, uid_t uid, const char *instance)
{
	snprintf(buf, DCM_OBJECT_NAME_MAX, "/dcm-%u-%s-:lock", (unsigned)uid, instance);
}

void names_directory(char *buf, uid_t uid, const char *instance)
{
	snprintf(buf, DCM_OBJECT_NAME_MAX, "/dcm-%u-%s-:dir", (unsigned)uid, instance);
}

void names_shard(char *buf, uid_t uid, const char *instance, const char *host, uint32_t generation)
{
	snprintf(buf, DCM_OBJECT_NAME_MAX, "/dcm-%u-%s-:host:%s:%" PRIu32, (unsigned)uid, instance,
		 host, generation);
}

/* A number as we write it: no sign, no leading zero.  Returns what follows it. */
static const char *canonical_u32(const char *s, uint32_t *out)
{
	uint64_t v = 0;
	const char *p = s;

	for (; *p >= '0' && *p <= '9' && p - s < 11; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	if (p == s || v > UINT32_MAX || (*s == '0' && p - s > 1))
		return NULL;
	*out = (uint32_t)v;
	return p;
}

static bool parse_shard(const char *s, struct names_parsed *out)
{
	const char *colon = strchr(s, ':');
	size_t len = colon ? (size_t)(colon - s) : 0;
	const char *end;

	if (!colon || !id_valid(s, len, DCM_HOST_ID_MAX))
		return false;
	memcpy(out->host, s, len);
	end = canonical_u32(colon + 1, &out->generation);
	out->kind = NAMES_SHARD;
	return end && *end == '\0' && out->generation > 0;
}

bool names_parse(const char *file, struct names_parsed *out)
{
	const char *p, *colon;
	uint32_t uid;
	size_t len;

	memset(out, 0, sizeof(*out));
	if (strncmp(file, "dcm-", 4) != 0)
		return false;
	p = canonical_u32(file + 4, &uid);
	if (!p || *p != '-')
		return false;
	p++;
	colon = strchr(p, ':');
	if (!colon || colon - p < 2 || colon[-1] != '-')
		return false;
	len = (size_t)(colon - p) - 1;
	if (!id_valid(p, len, DCM_INSTANCE_MAX))
		return false;
	out->uid = (uid_t)uid;
	memcpy(out->instance, p, len);
	if (strcmp(colon, ":lock") == 0) {
		out->kind = NAMES_LOCK;
		return true;
	}
	if (strcmp(colon, ":dir") == 0) {
		out->kind = NAMES_DIRECTORY;
		return true;
	}
	return strncmp(colon, ":host:", 6) == 0 && parse_shard(colon + 6, out);
}

/* The XDG specification has relative paths ignored. */
static const char *absolute_env(const char *name)
{
	const char *v = getenv(name);

	return v && v[0] == '/' ? v : NULL;
}

static bool fits(int n, size_t len)
{
	return n > 0 && (size_t)n < len;
}

static bool runtime_path(char *buf, size_t len)
{
	const char *xdg = absolute_env("XDG_RUNTIME_DIR");
	unsigned uid = (unsigned)getuid();
	char run[64];
	struct stat st;

	if (xdg)
		return fits(snprintf(buf, len, "%s/dcm", xdg), len);
	snprintf(run, sizeof(run), "/run/user/%u", uid);
	if (stat(run, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == uid)
		return fits(snprintf(buf, len, "%s/dcm", run), len);
	return fits(snprintf(buf, len, "/tmp/dcm-%u", uid), len);
}

static bool home_path(char *buf, size_t len, const char *var, const char *below, const char *tail)
{
	const char *xdg = absolute_env(var), *home = absolute_env("HOME");

	if (xdg)
		return fits(snprintf(buf, len, "%s/%s", xdg, tail), len);
	return home && fits(snprintf(buf, len, "%s/%s/%s", home, below, tail), len);
}

bool names_default_path(char kind, char *buf, size_t len)
{
	bool root = getuid() == 0;

	switch (kind) {
	case 'r':
		return root ? fits(snprintf(buf, len, "/run/dcm"), len) : runtime_path(buf, len);
	case 's':
		return root ? fits(snprintf(buf, len, "/var/lib/dcm"), len)
			    : home_path(buf, len, "XDG_STATE_HOME", ".local/state", "dcm");
	case 'c':
		return root ? fits(snprintf(buf, len, "/etc/dcm/hosts.yml"), len)
			    : home_path(buf, len, "XDG_CONFIG_HOME", ".config", "dcm/hosts.yml");
	default:
		return false;
	}
}
