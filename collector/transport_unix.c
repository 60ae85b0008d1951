/*
 * transport_unix.c - an engine on a unix socket of this machine.
 *
 * Its files are our files: compose files are read from the local file system,
 * beside the loop (local_file.c), one after the other.
 */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local_file.h"
#include "transport.h"

struct file_request {
	TAILQ_ENTRY(file_request) link;
	size_t max;
	void (*done)(void *arg, const char *data, size_t len, const char *error);
	void *arg;
	char path[];
};

struct transport {
	const struct endpoint *at;
	struct event_base *base;
	struct event *ready, *next_file;
	void (*done)(void *arg, const char *error);
	void *arg;
	TAILQ_HEAD(, file_request) files; /* the first is being read */
	struct local_file *reading;
	bool in_callback, closed;
};

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;

	(void)fd;
	(void)what;
	t->done(t->arg, NULL);
}

static void unix_free(struct transport *t)
{
	struct file_request *q;

	while ((q = TAILQ_FIRST(&t->files))) {
		TAILQ_REMOVE(&t->files, q, link);
		free(q);
	}
	if (t->ready)
		event_free(t->ready);
	if (t->next_file)
		event_free(t->next_file);
	free(t);
}

static void on_file(void *arg, const char *data, size_t len, const char *error)
{
	struct transport *t = arg;
	struct file_request *q = TAILQ_FIRST(&t->files);

	t->reading = NULL;
	TAILQ_REMOVE(&t->files, q, link);
	t->in_callback = true;
	q->done(q->arg, data, len, error);
	t->in_callback = false;
	free(q);
	if (t->closed)
		unix_free(t);
	else if (!TAILQ_EMPTY(&t->files))
		event_active(t->next_file, 0, 0);
}

static void on_next_file(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;
	struct file_request *q = TAILQ_FIRST(&t->files);

	(void)fd;
	(void)what;
	if (!q || t->reading)
		return;
	t->reading = local_file_read(t->base, q->path, q->max, on_file, t);
	if (!t->reading)
		on_file(t, NULL, 0, "cannot be read: no memory or thread for it");
}

static struct transport *unix_open(struct event_base *base, const struct endpoint *at,
				   double connect_timeout,
				   void (*done)(void *arg, const char *error), void *arg)
{
	struct transport *t = calloc(1, sizeof(*t));

	(void)connect_timeout;
	if (!t)
		return NULL;
	*t = (struct transport){.at = at, .base = base, .done = done, .arg = arg};
	TAILQ_INIT(&t->files);
	t->ready = event_new(base, -1, 0, on_ready, t);
	t->next_file = event_new(base, -1, 0, on_next_file, t);
	if (!t->ready || !t->next_file) {
		unix_free(t);
		return NULL;
	}
	event_active(t->ready, 0, 0);
	return t;
}

static int unix_prepare(struct transport *t, CURL *easy)
{
	return curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, t->at->path) ? -1 : 0;
}

static const char *unix_url(struct transport *t)
{
	(void)t;
	return "http://docker";
}

static void unix_read_file(struct transport *t, const char *path, size_t max,
			   void (*done)(void *arg, const char *data, size_t len, const char *error),
			   void *arg)
{
	size_t n = strlen(path) + 1;
	struct file_request *q = malloc(sizeof(*q) + n);

	if (!q)
		return; /* the caller's own time limit gives up on it */
	*q = (struct file_request){.max = max, .done = done, .arg = arg};
	memcpy(q->path, path, n);
	TAILQ_INSERT_TAIL(&t->files, q, link);
	event_active(t->next_file, 0, 0);
}

static void unix_close(struct transport *t)
{
	t->closed = true;
	if (t->reading)
		local_file_cancel(t->reading);
	t->reading = NULL;
	if (!t->in_callback)
		unix_free(t);
}

static const char *user_name(uid_t uid)
{
	const struct passwd *p = getpwuid(uid);

	return p ? p->pw_name : "of dcmd";
}

void transport_unix_denied(const char *path, char *buf, size_t len)
{
	const struct group *g;
	struct stat st;

	if (stat(path, &st)) {
		snprintf(buf, len,
			 "permission denied on unix://%s: let user %s into its directory, or run "
			 "dcmd as another",
			 path, user_name(geteuid()));
	} else if (st.st_mode & S_IWGRP) {
		g = getgrgid(st.st_gid);
		snprintf(buf, len,
			 "permission denied on unix://%s: add user %s to group %s, and start dcmd "
			 "anew",
			 path, user_name(geteuid()), g ? g->gr_name : "docker");
	} else {
		snprintf(buf, len,
			 "permission denied on unix://%s: its mode %04o is for its owner alone: "
			 "give it a group (0660, docker), and add user %s to that",
			 path, (unsigned)st.st_mode & 07777, user_name(geteuid()));
	}
}

const struct transport_ops transport_unix = {
    .name = "unix",
    .open = unix_open,
    .prepare = unix_prepare,
    .url = unix_url,
    .read_file = unix_read_file,
    .close = unix_close,
};
