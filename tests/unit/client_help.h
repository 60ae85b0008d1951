/* client_help.h - what the tests of client/ share: records made by hand, and
 * what the program wrote. */
#ifndef CLIENT_HELP_H
#define CLIENT_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Before cmocka.h, which has a macro by the name of fail(). */
#include "../../client/client.h"
#include "../../client/text.h"
#include "../../shm/record.h"

#include <cmocka.h>

#define ID_A "a000000000000000000000000000000000000000000000000000000000000001"
#define ID_B "b000000000000000000000000000000000000000000000000000000000000002"

#define S(text) ((struct dcm_str){text, sizeof(text) - 1})

static inline void record_named(struct dcm_record *r, const char *host, const char *id,
				const char *name)
{
	record_out_init(r);
	r->host_id = str_of(host);
	memcpy(r->id, id, 65);
	r->container_id = str_of(r->id);
	r->name = str_of(name);
	for (int i = 0; i < DCM_TIERS; i++)
		r->freshness[i] = (struct dcm_freshness){1.0, false};
}

#define assert_text(t, expected) assert_string_equal((t).s ? (t).s : "", expected)

/* Standard output, or error, goes to a file until captured() gives its text. */
struct capture {
	int fd, saved, file;
	char text[1 << 20];
};
static inline void capture(struct capture *c, int fd)
{
	char path[] = "/tmp/dcm-test-XXXXXX";

	c->fd = fd;
	c->file = mkstemp(path);
	assert_true(c->file >= 0);
	unlink(path);
	c->saved = dup(fd);
	fflush(NULL);
	dup2(c->file, fd);
}
static inline const char *captured(struct capture *c)
{
	ssize_t n;

	fflush(NULL);
	dup2(c->saved, c->fd);
	close(c->saved);
	n = pread(c->file, c->text, sizeof(c->text) - 1, 0);
	assert_true(n >= 0);
	c->text[n] = '\0';
	close(c->file);
	return c->text;
}

#endif
