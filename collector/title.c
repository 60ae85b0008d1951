/*
 * title.c - process titles.
 *
 * /proc/PID/cmdline shows the memory in which the kernel put argv and the
 * environment, so a title is written over it; the environment moves to the heap
 * first.  Where both together are shorter than a title, the program runs itself
 * anew with one more variable that makes room.
 */
#include "title.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define ROOM_VARIABLE "DCMD_TITLE_ROOM"

extern char **environ;

static char *title_start;
static size_t title_room;
/* The environment's copy: one block of text, one of pointers, both for good
 * (setenv() and unsetenv() may forget any of the pointers). */
static char **moved, *moved_text;

/* Moves the environment's strings out of the way. */
static bool move_environment(void)
{
	size_t n = 0, bytes = 0;
	char *to;

	for (; environ[n]; n++)
		bytes += strlen(environ[n]) + 1;
	moved = calloc(n + 1, sizeof(*moved));
	to = moved_text = malloc(bytes + 1);
	if (!moved || !moved_text)
		return false;
	for (size_t i = 0; i < n; i++) {
		moved[i] = to;
		to = stpcpy(to, environ[i]) + 1;
	}
	environ = moved;
	return true;
}

static void run_anew(char **argv)
{
	char room[TITLE_MAX + 1];

	memset(room, '-', TITLE_MAX);
	room[TITLE_MAX] = '\0';
	if (!getenv(ROOM_VARIABLE) && setenv(ROOM_VARIABLE, room, 1) == 0)
		execv("/proc/self/exe", argv);
}

void title_init(int argc, char **argv)
{
	char *end;

	if (argc < 1)
		return;
	end = argv[0];
	for (int i = 0; i < argc && argv[i] == end; i++)
		end += strlen(argv[i]) + 1;
	for (size_t i = 0; environ[i] && environ[i] == end; i++)
		end += strlen(environ[i]) + 1;
	if ((size_t)(end - argv[0]) < TITLE_MAX)
		run_anew(argv);
	if (!move_environment())
		return;
	unsetenv(ROOM_VARIABLE);
	title_start = argv[0];
	title_room = (size_t)(end - argv[0]);
}

/* Tells the kernel where the title ends.  Where it does not let us (a kernel
 * without CONFIG_CHECKPOINT_RESTORE), the title is filled up with NULs. */
static void set_length(size_t len)
{
	struct prctl_mm_map map = {.exe_fd = (__u32)-1};
	FILE *f = fopen("/proc/self/stat", "re");
	unsigned long long v[52] = {0}; /* by the numbers of proc(5) */
	char line[1024];
	int field = 3; /* "pid (name) state …", counted from 1 */
	char *s;

	if (!f)
		return;
	s = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	while (s && field <= 51 && (s = strchr(s, ' ')))
		v[field++] = strtoull(++s, NULL, 10);
	if (field <= 51)
		return;
	map.start_code = v[26];
	map.end_code = v[27];
	map.start_stack = v[28];
	map.start_data = v[45];
	map.end_data = v[46];
	map.start_brk = v[47];
	map.brk = (__u64)(uintptr_t)sbrk(0);
	map.arg_start = (__u64)(uintptr_t)title_start;
	map.arg_end = map.arg_start + len;
	map.env_start = v[50];
	map.env_end = v[51];
	prctl(PR_SET_MM, PR_SET_MM_MAP, (unsigned long)&map, sizeof(map), 0UL);
}

void title_set(const char *fmt, ...)
{
	char title[TITLE_MAX];
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	vsnprintf(title, sizeof(title), fmt, ap);
	va_end(ap);
	prctl(PR_SET_NAME, title);
	if (!title_start)
		return;
	len = strlen(title);
	if (len >= title_room)
		len = title_room - 1;
	memset(title_start, 0, title_room);
	memcpy(title_start, title, len);
	set_length(len + 1);
}
