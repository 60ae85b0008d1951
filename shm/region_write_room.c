/*
 * region_write_room.c - how much memory the control groups of this process
 * still allow.  A page of /dev/shm counts there, and where the limit is reached
 * the kernel kills instead of failing the allocation.  Both hierarchies are
 * read, from the process's group up to the root; what cannot be read is no
 * limit.
 */
#include "region_impl.h"

#include <stdio.h>
#include <stdlib.h>

/* The number in a file of one number; UINT64_MAX for "max" and on any failure. */
static uint64_t read_number(const char *dir, const char *file)
{
	char path[1200], text[64];
	uint64_t v = UINT64_MAX;
	char *end;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "re");
	if (!f)
		return v;
	if (fgets(text, sizeof(text), f) && text[0] >= '0' && text[0] <= '9')
		v = strtoull(text, &end, 10);
	fclose(f);
	return v;
}

/* Page cache that the kernel drops before it kills: files, not shared memory. */
static uint64_t read_reclaimable(const char *dir, const char *prefix)
{
	char path[1200], line[128], key[64];
	uint64_t sum = 0;
	unsigned long long v;
	FILE *f;

	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %llu", key, &v) != 2 ||
		    strncmp(key, prefix, strlen(prefix)) != 0)
			continue;
		if (strcmp(key + strlen(prefix), "inactive_file") == 0 ||
		    strcmp(key + strlen(prefix), "active_file") == 0)
			sum += v;
	}
	fclose(f);
	return sum;
}

static uint64_t group_room(const char *dir, bool v2)
{
	uint64_t limit = read_number(dir, v2 ? "memory.max" : "memory.limit_in_bytes");
	uint64_t usage = read_number(dir, v2 ? "memory.current" : "memory.usage_in_bytes");
	uint64_t cache;

	/* Version 1 writes "no limit" as a number near the greatest. */
	if (limit >= 1ull << 62 || usage == UINT64_MAX)
		return UINT64_MAX;
	cache = read_reclaimable(dir, v2 ? "" : "total_");
	usage -= cache < usage ? cache : usage;
	return usage < limit ? limit - usage : 0;
}

/* The tightest from the group up to the root of its hierarchy. */
static uint64_t hierarchy_room(const char *root, const char *group, bool v2)
{
	uint64_t least = UINT64_MAX, room;
	size_t base = strlen(root);
	char dir[1100];
	char *slash;

	snprintf(dir, sizeof(dir), "%s%s", root, group);
	for (;;) {
		room = group_room(dir, v2);
		least = room < least ? room : least;
		slash = strrchr(dir, '/');
		if (!slash || (size_t)(slash - dir) < base || dir[base] == '\0')
			return least;
		*slash = '\0';
	}
}

uint64_t region_cgroup_room(const char *proc_cgroup, const char *sys_root)
{
	uint64_t least = UINT64_MAX, room;
	char line[1024], root[128];
	FILE *f = fopen(proc_cgroup, "re");

	while (f && fgets(line, sizeof(line), f)) {
		/* "0::/path" is version 2, "N:a,memory,b:/path" version 1. */
		char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
		bool v2 = list && list[1] == ':';

		line[strcspn(line, "\n")] = '\0';
		if (!path)
			continue;
		*path++ = '\0';
		*list = ','; /* so that every controller has a comma before it */
		if (!v2 && !strstr(list, ",memory"))
			continue;
		snprintf(root, sizeof(root), "%s%s", sys_root, v2 ? "" : "/memory");
		room = hierarchy_room(root, path, v2);
		least = room < least ? room : least;
	}
	if (f)
		fclose(f);
	return least;
}
