/*
 * config_expand.c - ${VAR} and a leading ~/ in the strings of hosts.yml.
 *
 * ${VAR} stands for the environment variable VAR of dcmd; one that is not set
 * is an error, for an empty text in its place would name something else than
 * was meant.  A '$' without '{' is itself.  What a variable holds is not
 * expanded again.
 */
#include "config_expand.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXPANDED_MAX = 64 << 10 };

const char *config_home(void)
{
	const char *home = getenv("HOME");
	const struct passwd *pw;

	if (home && *home)
		return home;
	pw = getpwuid(geteuid());
	return pw && *pw->pw_dir ? pw->pw_dir : NULL;
}

static const char name_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				 "_0123456789";

/* The value of the ${VAR} at s; *len: its bytes in the text. */
static const char *variable(const char *s, size_t *len, char *err, size_t errlen)
{
	size_t n = strspn(s + 2, name_chars);
	const char *value;
	char name[256];

	if (n == 0 || n >= sizeof(name) || s[2 + n] != '}' || (s[2] >= '0' && s[2] <= '9')) {
		snprintf(err, errlen, "\"%.40s\" is no variable; expected ${NAME}", s);
		return NULL;
	}
	memcpy(name, s + 2, n);
	name[n] = '\0';
	value = getenv(name);
	if (!value)
		snprintf(err, errlen,
			 "the environment variable %.100s is not set; expected it in dcmd's "
			 "environment",
			 name);
	*len = n + 3;
	return value;
}

char *config_expand(const char *text, char *err, size_t errlen)
{
	char *out = NULL;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	if (!f)
		goto no_memory;
	if (text[0] == '~' && text[1] == '/') {
		const char *home = config_home();

		if (!home) {
			snprintf(err, errlen, "~ has no meaning: HOME is not set; expected a path");
			goto fail;
		}
		fputs(home, f);
		text++;
	}
	while (*text && ftell(f) < EXPANDED_MAX) {
		const char *value;
		size_t len;

		if (text[0] != '$' || text[1] != '{') {
			fputc(*text++, f);
			continue;
		}
		value = variable(text, &len, err, errlen);
		if (!value)
			goto fail;
		fputs(value, f);
		text += len;
	}
	if (ftell(f) >= EXPANDED_MAX) {
		snprintf(err, errlen, "longer than 64 KiB; expected a shorter string");
		goto fail;
	}
	if (fclose(f) != 0)
		goto no_memory;
	return out;
fail:
	fclose(f);
	free(out);
	return NULL;
no_memory:
	free(out);
	snprintf(err, errlen, "no memory left; expected a shorter string");
	return NULL;
}
