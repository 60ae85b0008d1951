/*
 * transport_ssh.c - an engine behind SSH: resolves the host, chooses a backend,
 * and falls back from libssh2 to the system's `ssh` where libssh2 cannot.
 *
 * The fallback is remembered for the life of the process: each try of libssh2 would
 * be one more failed login in the host's log.  A collector has one host, so one
 * word says it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "../shm/log.h"
#include "transport.h"
#include "transport_ssh.h"

struct file_request {
	TAILQ_ENTRY(file_request) link;
	size_t max;
	void (*done)(void *arg, const char *data, size_t len, const char *error);
	void *arg;
	struct transport *transport;
	bool started, answered;
	char *data;
	size_t len;
	ssh_why error;
	char path[];
};

struct transport {
	const struct endpoint *at;
	struct event_base *base;
	double timeout;
	void (*done)(void *arg, const char *error);
	void *arg;
	struct ssh_resolving *resolving;
	struct ssh_target *target;
	const struct ssh_backend_ops *ops;
	struct ssh_way *way;
	struct event *files_event, *report;
	TAILQ_HEAD(, file_request) files;
	unsigned reading; /* of them, at most SSH_FILES */
	bool in_callback, closed, opened, up, lost;
	enum dcm_step failed; /* where why says it is */
	ssh_why why;
};

static bool openssh_needed;

bool transport_ssh_by_program(const struct endpoint *at)
{
	return at->backend == SSH_OPENSSH || (at->backend == SSH_AUTO && openssh_needed);
}

static void start(struct transport *t);

static void transport_free(struct transport *t)
{
	struct file_request *q;

	while ((q = TAILQ_FIRST(&t->files))) {
		TAILQ_REMOVE(&t->files, q, link);
		free(q->data);
		free(q);
	}
	if (t->files_event)
		event_free(t->files_event);
	if (t->report)
		event_free(t->report);
	ssh_target_free(t->target);
	free(t);
}

/* ---- up and down ----------------------------------------------------------------------- */

static void on_report(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;

	(void)fd;
	(void)what;
	if (t->opened)
		return;
	t->opened = true;
	t->done(t->arg, t->up ? NULL : t->why);
}

static void on_up(void *arg)
{
	struct transport *t = arg;

	t->up = true;
	event_active(t->report, 0, 0);
}

static void drop_way(struct transport *t)
{
	if (t->way)
		t->ops->close(t->way);
	t->way = NULL;
}

static bool may_fall_back(const struct transport *t)
{
	return t->at->backend == SSH_AUTO && t->ops == &ssh_libssh2 && t->target->have_ssh;
}

static void fall_back(struct transport *t, const char *why)
{
	log_event(LOG_LEVEL_INFO, "ssh_fallback", NULL, LF_STR("to", ssh_openssh.name),
		  LF_STR("reason", why));
	openssh_needed = true;
	drop_way(t);
	start(t);
}

/* Once up, the end of libcurl's connections says it; the way stays for that. */
static void on_down(void *arg, enum dcm_step step, bool other, const char *why)
{
	struct transport *t = arg;

	if (t->up) {
		t->lost = true;
		t->failed = step;
		ssh_say(t->why, "%s", why);
		return;
	}
	if (other && may_fall_back(t)) {
		ssh_why reason;

		ssh_say(reason, "%s", why);
		fall_back(t, reason);
		return;
	}
	t->failed = step;
	ssh_say(t->why, "%s", why);
	event_active(t->report, 0, 0);
}

static const struct ssh_owner owner = {.up = on_up, .down = on_down};

static void start(struct transport *t)
{
	t->ops = transport_ssh_by_program(t->at) ? &ssh_openssh : &ssh_libssh2;
	t->failed = DCM_STEP_CONNECT;
	if (t->ops == &ssh_openssh && !t->target->have_ssh) {
		t->failed = DCM_STEP_NONE; /* a lack of our own */
		ssh_say(t->why, "there is no ssh program here, and ssh_backend wants it: install "
				"openssh-client");
		event_active(t->report, 0, 0);
		return;
	}
	t->way = t->ops->open(t->base, t->at, t->target, &owner, t);
	if (t->way)
		return;
	ssh_say(t->why, "no memory for the way to %s", t->target->where);
	event_active(t->report, 0, 0);
}

static void on_target(void *arg, struct ssh_target *target, const char *why)
{
	struct transport *t = arg;

	t->resolving = NULL;
	t->target = target;
	t->failed = DCM_STEP_NAME;
	if (!target) {
		ssh_say(t->why, "%s", why);
		event_active(t->report, 0, 0);
		return;
	}
	if (target->jump && t->at->backend == SSH_AUTO && target->have_ssh && !openssh_needed) {
		log_event(LOG_LEVEL_INFO, "ssh_fallback", NULL, LF_STR("to", ssh_openssh.name),
			  LF_STR("reason", "ssh_config names a ProxyJump or ProxyCommand"));
		openssh_needed = true;
	}
	if (target->jump && t->at->backend == SSH_LIBSSH2) {
		t->failed = DCM_STEP_CONNECT;
		ssh_say(t->why, "ssh_config names a ProxyJump or ProxyCommand for %s, which libssh2 "
				"cannot: set ssh_backend to auto or openssh",
			target->where);
		event_active(t->report, 0, 0);
		return;
	}
	start(t);
}

/* ---- files -------------------------------------------------------------------------------- */

static void on_file(void *arg, const char *data, size_t len, const char *error)
{
	struct file_request *q = arg;
	struct transport *t = q->transport;

	t->reading--;
	q->answered = true;
	ssh_say(q->error, "%s", error ? error : "");
	if (!error && (q->data = malloc(len + 1))) {
		memcpy(q->data, data, len);
		q->len = len;
	} else if (!error) {
		ssh_say(q->error, "no memory for it");
	}
	event_active(t->files_event, 0, 0); /* not from inside the backend */
}

static void start_files(struct transport *t)
{
	struct file_request *q;

	TAILQ_FOREACH(q, &t->files, link) {
		if (q->started)
			continue;
		if (t->reading == SSH_FILES)
			return;
		q->started = true;
		t->reading++;
		if (!t->way || t->ops->read_file(t->way, q->path, q->max, on_file, q))
			on_file(q, NULL, 0, "cannot be read: there is no way to it");
	}
}

static struct file_request *answered_file(struct transport *t)
{
	struct file_request *q;

	TAILQ_FOREACH(q, &t->files, link)
		if (q->answered)
			break;
	return q;
}

static void on_files(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;
	struct file_request *q;

	(void)fd;
	(void)what;
	while (!t->closed && (q = answered_file(t))) {
		TAILQ_REMOVE(&t->files, q, link);
		t->in_callback = true;
		q->done(q->arg, q->data, q->len, q->error[0] ? q->error : NULL);
		t->in_callback = false;
		free(q->data);
		free(q);
	}
	if (t->closed)
		transport_free(t);
	else
		start_files(t);
}

static void ssh_read_file(struct transport *t, const char *path, size_t max,
			  void (*done)(void *arg, const char *data, size_t len, const char *error),
			  void *arg)
{
	size_t n = strlen(path) + 1;
	struct file_request *q = calloc(1, sizeof(*q) + n);

	if (!q)
		return; /* the caller's own time limit gives up on it */
	q->max = max;
	q->done = done;
	q->arg = arg;
	q->transport = t;
	memcpy(q->path, path, n);
	TAILQ_INSERT_TAIL(&t->files, q, link);
	event_active(t->files_event, 0, 0);
}

/* ---- the transport --------------------------------------------------------------------------- */

static void ssh_close(struct transport *t)
{
	t->closed = true;
	ssh_resolve_cancel(t->resolving);
	t->resolving = NULL;
	drop_way(t);
	if (!t->in_callback)
		transport_free(t);
}

static struct transport *ssh_open(struct event_base *base, const struct endpoint *at,
				  double connect_timeout,
				  void (*done)(void *arg, const char *error), void *arg)
{
	struct transport *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct transport){
		.at = at, .base = base, .timeout = connect_timeout, .done = done, .arg = arg};
	TAILQ_INIT(&t->files);
	t->files_event = event_new(base, -1, 0, on_files, t);
	t->report = event_new(base, -1, 0, on_report, t);
	if (t->files_event && t->report)
		t->resolving = ssh_resolve(base, at, connect_timeout, on_target, t);
	if (!t->resolving) {
		transport_free(t);
		return NULL;
	}
	return t;
}

static enum dcm_step ssh_failed(const struct transport *t)
{
	return t->failed;
}

static const char *ssh_lost(const struct transport *t)
{
	return t->lost ? t->why : NULL;
}

static int ssh_prepare(struct transport *t, CURL *easy)
{
	if (t->ops->keeps && !t->ops->keeps(t->way))
		curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	return curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, t->ops->socket(t->way)) ? -1 : 0;
}

static const char *ssh_url(struct transport *t)
{
	(void)t;
	return "http://docker";
}

static unsigned ssh_connections(struct transport *t)
{
	return t->way ? t->ops->connections(t->way) : 0;
}

const struct transport_ops transport_ssh = {
    .name = "ssh/libssh2",
    .open = ssh_open,
    .failed = ssh_failed,
    .lost = ssh_lost,
    .prepare = ssh_prepare,
    .url = ssh_url,
    .connections = ssh_connections,
    .read_file = ssh_read_file,
    .close = ssh_close,
};
const struct transport_ops transport_openssh = {
    .name = "ssh/openssh",
    .open = ssh_open,
    .failed = ssh_failed,
    .lost = ssh_lost,
    .prepare = ssh_prepare,
    .url = ssh_url,
    .connections = ssh_connections,
    .read_file = ssh_read_file,
    .close = ssh_close,
};
