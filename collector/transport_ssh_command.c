/*
 * transport_ssh_command.c - what is run on a host, and what its answers mean.
 *
 * The login shell there may be any: a command is `sh -c` with everything in single
 * quotes.  A path with a newline or a backslash is not asked for so: csh ends a quoted
 * text at the one, and fish lets the other quote a quote, so that the rest of the path
 * would be run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport_ssh.h"

enum { COMMAND_MAX = 4096 };
/* In front of a file: a forced command of the key prints something else. */
#define FILE_MARK "dcm:"

/* The docker program is started only where there is something for it to say. */
const char ssh_engine_command[] =
    "sh -c 'if [ -n \"$DOCKER_HOST\" ]; then echo \"$DOCKER_HOST\"; "
    "elif [ -n \"$DOCKER_CONTEXT\" ] || "
    "grep -q currentContext \"${DOCKER_CONFIG:-$HOME/.docker}/config.json\" 2>/dev/null; then "
    "docker context inspect --format \"{{.Endpoints.docker.Host}}\" 2>/dev/null; fi'";

const char *ssh_engine_path(char *printed)
{
	static const char scheme[] = "unix://";

	printed[strcspn(printed, "\r\n")] = '\0';
	if (!printed[0])
		return NULL;
	if (!strncmp(printed, scheme, sizeof(scheme) - 1) && printed[sizeof(scheme) - 1] == '/' &&
	    strlen(printed) < SSH_PATH + sizeof(scheme) - 1)
		return printed + sizeof(scheme) - 1;
	return strstr(printed, "://") && strlen(printed) < 512 ? "" : NULL;
}

char *ssh_file_command(const char *path, size_t max)
{
	static const char script[] =
	    "[ -e \"$1\" ] || exit 3; [ -f \"$1\" ] && [ ! -L \"$1\" ] || exit 4; "
	    "[ \"$(readlink -f \"$1\")\" = \"$1\" ] || exit 5; [ -r \"$1\" ] || exit 6; "
	    "printf " FILE_MARK " && exec head -c \"$2\" \"$1\"";
	char quoted[COMMAND_MAX], *command;
	size_t n = 0;

	if (path[0] != '/')
		return NULL;
	for (const char *p = path; *p; p++) {
		if (n + 8 > sizeof(quoted) || *p == '\n' || *p == '\\')
			return NULL;
		if (*p == '\'') {
			memcpy(quoted + n, "'\\''", 4);
			n += 4;
		} else {
			quoted[n++] = *p;
		}
	}
	quoted[n] = '\0';
	if (asprintf(&command, "sh -c '%s' sh '%s' %zu", script, quoted, max) < 0)
		return NULL;
	return command;
}

char *ssh_dial_command(const char *path)
{
	const char *quote;
	char *command;

	if (!path)
		return strdup("docker system dial-stdio");
	quote = strspn(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			     "0123456789/._-") == strlen(path) ? "" : "'";
	if (asprintf(&command, "docker --host %sunix://%s%s system dial-stdio", quote, path,
		     quote) < 0)
		return NULL;
	return command;
}

const char *ssh_file_read(int exit_status, const char **data, size_t *len)
{
	const size_t mark = sizeof(FILE_MARK) - 1;

	switch (exit_status) {
	case 0:
		if (*len < mark || memcmp(*data, FILE_MARK, mark))
			return "the key may run no commands there";
		*data += mark;
		*len -= mark;
		return NULL;
	case 3:
		return "no such file";
	case 4:
		return "not a regular file";
	case 5:
		return "a part of the path is a symbolic link";
	case 6:
		return "permission denied";
	case -1:
		return "the connection to the host was lost, or gave no answer in time";
	}
	return "cannot be read";
}

void ssh_docker_error(const struct ssh_target *t, const char *said, int status, char *why)
{
	const char *last = said;
	int n;

	for (const char *p = said; *p; p++) /* the line that matters is the last one */
		if (*p == '\n' && p[1] && p[1] != '\n')
			last = p + 1;
	n = (int)strcspn(last, "\r\n");
	if (n > 110)
		n = 110;
	if (strcasestr(said, "permission denied"))
		ssh_say(why, "permission denied on docker's socket at %s: add the user to group docker "
			     "there",
			t->where);
	else if (status == 127 || strcasestr(said, "not found"))
		ssh_say(why, "no docker at %s, neither can its socket be opened nor is there a docker "
			     "program: install it, or give the path of the socket in the url",
			t->where);
	else if (strcasestr(said, "cannot connect to the docker daemon") ||
		 strstr(said, "raw stream connection")) /* the same of dial-stdio */
		ssh_say(why, "no docker engine runs at %s: start it there (%.*s)", t->where, n, last);
	else if (n)
		ssh_say(why, "docker system dial-stdio at %s failed (%.*s)", t->where, n, last);
	else
		ssh_say(why, "docker at %s cannot be reached, its socket cannot be opened, and docker "
			     "system dial-stdio gave no answer (exit status %d)",
			t->where, status);
}
