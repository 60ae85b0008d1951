/*
 * transport_ssh_target.c - what hosts.yml and ssh_config say together of a host.
 *
 * `ssh -G HOST` resolves ssh_config better than any parser of ours would; what
 * the host's entry of hosts.yml says itself wins.  Without an `ssh` program the
 * plain values count.  Where HOME is not the home directory of passwd (a service,
 * a test), HOME's .ssh counts, as everywhere else in dcm.
 */
#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport_ssh.h"

enum { CONFIG_MAX = 64 << 10, ALIVE_INTERVAL = 15, ALIVE_COUNT = 3 };
static const double config_patience = 10; /* s that ssh -G may take */

struct ssh_resolving {
	struct ssh_child *child;
	struct event *ready; /* there is no ssh */
	const struct endpoint *at;
	struct ssh_target *target;
	void (*done)(void *arg, struct ssh_target *t, const char *why);
	void *arg;
};

void ssh_say(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, SSH_WHY, fmt, ap);
	va_end(ap);
}

void ssh_timer(struct event *timer, double seconds)
{
	struct timeval t = {.tv_sec = (time_t)seconds};

	t.tv_usec = (suseconds_t)((seconds - (double)t.tv_sec) * 1e6);
	evtimer_add(timer, &t);
}

void ssh_target_free(struct ssh_target *t)
{
	if (!t)
		return;
	free(t->name);
	free(t->host);
	free(t->user);
	free(t->alias);
	free(t->agent);
	free(t->config);
	free(t->dial);
	for (unsigned i = 0; i < t->n_identities; i++)
		free(t->identity[i]);
	for (unsigned i = 0; i < t->n_known; i++)
		free(t->known[i]);
	free(t);
}

static const char *passwd_home(void)
{
	const struct passwd *p = getpwuid(geteuid());

	return p && p->pw_dir ? p->pw_dir : "/";
}

static const char *home(void)
{
	const char *set = getenv("HOME");

	return set && *set == '/' ? set : passwd_home();
}

static void put(char *out, size_t *n, const char *s)
{
	size_t len = strlen(s);

	if (*n + len < SSH_PATH * 8) {
		memcpy(out + *n, s, len);
		*n += len;
	}
}

/* ~/ and ssh_config's tokens; to be freed. */
static char *expand(const struct ssh_target *t, const char *s)
{
	char out[SSH_PATH * 8 + 1];
	size_t n = 0;

	if (s[0] == '~' && s[1] == '/')
		put(out, &n, home()), s++;
	for (; *s; s++) {
		const char *p = NULL;
		char one[2] = {*s, '\0'};

		if (*s == '%' && s[1]) {
			switch (s[1]) {
			case 'd':
				p = home();
				break;
			case 'h':
				p = t->host;
				break;
			case 'n':
				p = t->name;
				break;
			case 'r':
				p = t->user;
				break;
			case '%':
				p = "%";
				break;
			}
		}
		put(out, &n, p ? p : one);
		s += p != NULL;
	}
	out[n] = '\0';
	return strdup(out);
}

static void set(char **to, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return;
	free(*to);
	*to = copy;
}

static void add_identity(struct ssh_target *t, const char *path)
{
	char *p = t->n_identities < SSH_IDENTITIES ? expand(t, path) : NULL;

	if (p && access(p, F_OK) == 0)
		t->identity[t->n_identities++] = p;
	else
		free(p);
}

static void add_known(struct ssh_target *t, const char *path)
{
	char *p;

	if (t->n_known == SSH_KNOWN_FILES || !strcmp(path, "none"))
		return;
	p = expand(t, path);
	if (p)
		t->known[t->n_known++] = p;
}

/* A list of files; passwd's home directory becomes HOME's. */
static void add_known_list(struct ssh_target *t, char *list)
{
	const char *from = passwd_home();
	size_t n = strlen(from);

	for (char *save, *p = strtok_r(list, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
		char path[SSH_PATH * 4];

		if (!strncmp(p, from, n) && p[n] == '/' && strcmp(from, home())) {
			snprintf(path, sizeof(path), "~%s", p + n);
			p = path;
		}
		add_known(t, p);
	}
}

static void take_agent(struct ssh_target *t, const char *value)
{
	const char *from = value;

	if (!strcmp(value, "none")) {
		free(t->agent);
		t->agent = NULL;
		return;
	}
	if (!strcmp(value, "SSH_AUTH_SOCK"))
		return;
	if (value[0] == '$')
		from = getenv(value + 1);
	if (from && *from) {
		free(t->agent);
		t->agent = expand(t, from);
	}
}

/* One line of ssh -G: names come first (hostname, user, port), files later. */
static void take(struct ssh_target *t, const struct endpoint *at, const char *key, char *value)
{
	unsigned long number = strtoul(value, NULL, 10);
	bool none = !strcmp(value, "none");

	if (!strcmp(key, "hostname"))
		set(&t->host, value);
	else if (!strcmp(key, "user"))
		set(&t->user, value);
	else if (!strcmp(key, "port") && number && number < 65536)
		t->port = (unsigned)number;
	else if (!strcmp(key, "identityfile") && !at->identity_file)
		add_identity(t, value);
	else if (!strcmp(key, "identitiesonly"))
		t->identities_only = !strcmp(value, "yes");
	else if (!strcmp(key, "identityagent"))
		take_agent(t, value);
	else if ((!strcmp(key, "proxyjump") || !strcmp(key, "proxycommand")) && !none)
		t->jump = true;
	else if (!strcmp(key, "certificatefile"))
		t->certificate = !none;
	else if (!strcmp(key, "gssapiauthentication"))
		t->gssapi = !strcmp(value, "yes");
	else if ((!strcmp(key, "userknownhostsfile") || !strcmp(key, "globalknownhostsfile")) &&
		 !at->known_hosts)
		add_known_list(t, value);
	else if (!strcmp(key, "hostkeyalias") && !none)
		set(&t->alias, value);
	else if (!strcmp(key, "connecttimeout") && number && (double)number < t->timeout)
		t->timeout = (double)number;
	else if (!strcmp(key, "serveraliveinterval") && number && number < 3600)
		t->alive_interval = (unsigned)number;
	else if (!strcmp(key, "serveralivecountmax") && number && number < 100)
		t->alive_count = (unsigned)number;
}

/* Names come first: those of files depend on them.  The user's files of known keys come
 * before the machine's, which ssh prints first: a new key belongs into the first. */
static int pass_of(const char *key)
{
	if (!strcmp(key, "hostname") || !strcmp(key, "user") || !strcmp(key, "port"))
		return 0;
	return strcmp(key, "globalknownhostsfile") ? 1 : 2;
}

static void take_all(struct ssh_target *t, const struct endpoint *at, const char *text, int pass)
{

	while (*text) {
		char line[4096], *value;
		size_t n = strcspn(text, "\n"), m = n < sizeof(line) - 1 ? n : sizeof(line) - 1;

		memcpy(line, text, m);
		line[m] = '\0';
		text += n + (text[n] == '\n');
		value = strchr(line, ' ');
		if (!value)
			continue;
		*value++ = '\0';
		if (pass_of(line) == pass)
			take(t, at, line, value);
	}
}

void ssh_target_read(struct ssh_target *t, const struct endpoint *at, const char *text)
{
	for (int pass = 0; pass < 3; pass++)
		take_all(t, at, text, pass);
}

static void settle(struct ssh_target *t, const struct endpoint *at)
{
	bool plain = t->port == 22, v6 = strchr(t->host, ':');
	char port[16];

	if (!t->have_ssh && !at->known_hosts) {
		add_known(t, "~/.ssh/known_hosts");
		add_known(t, "~/.ssh/known_hosts2");
		add_known(t, "/etc/ssh/ssh_known_hosts");
	}
	if (!t->have_ssh && !at->identity_file) {
		add_identity(t, "~/.ssh/id_ed25519");
		add_identity(t, "~/.ssh/id_ecdsa");
		add_identity(t, "~/.ssh/id_rsa");
	}
	snprintf(port, sizeof(port), ":%u", t->port);
	snprintf(t->where, sizeof(t->where), "ssh://%.40s@%s%.80s%s%s", t->user, v6 ? "[" : "",
		 t->host, v6 ? "]" : "", plain ? "" : port);
}

static void finish(struct ssh_resolving *r, const char *why)
{
	struct ssh_target *t = r->target;
	void (*done)(void *, struct ssh_target *, const char *) = r->done;
	void *arg = r->arg;

	r->target = NULL;
	r->child = NULL;
	if (why) {
		ssh_target_free(t);
		t = NULL;
	} else {
		settle(t, r->at);
	}
	ssh_resolve_cancel(r);
	done(arg, t, why);
}

static void on_config(void *arg, const struct ssh_child_result *got)
{
	struct ssh_resolving *r = arg;
	const char *said = got->err;
	ssh_why why;

	r->child = NULL;
	if (got->status != -1 && WIFEXITED(got->status) && WEXITSTATUS(got->status) == 127 &&
	    !*said) {
		finish(r, NULL); /* there is no ssh program */
		return;
	}
	if (got->status) {
		ssh_say(why, "ssh cannot resolve %.80s (%.*s): correct ssh_config", r->target->name,
			(int)strcspn(said, "\r\n"), *said ? said : "ssh -G gave no answer");
		finish(r, why);
		return;
	}
	r->target->have_ssh = true;
	ssh_target_read(r->target, r->at, got->out);
	finish(r, NULL);
}

static bool start(struct event_base *base, struct ssh_resolving *r)
{
	const struct endpoint *at = r->at;
	const char *argv[12];
	char port[16];
	int n = 0;

	argv[n++] = "ssh";
	argv[n++] = "-G";
	if (r->target->config) {
		argv[n++] = "-F";
		argv[n++] = r->target->config;
	}
	if (at->port) {
		snprintf(port, sizeof(port), "%u", at->port);
		argv[n++] = "-p";
		argv[n++] = port;
	}
	if (at->user) {
		argv[n++] = "-l";
		argv[n++] = at->user;
	}
	argv[n++] = "--";
	argv[n++] = at->hostname;
	argv[n] = NULL;
	r->child = ssh_child_start(base, argv, -1, CONFIG_MAX, config_patience, on_config, r);
	return r->child != NULL;
}

/* What counts without ssh_config. */
static struct ssh_target *plain_target(const struct endpoint *at, double timeout)
{
	struct ssh_target *t = calloc(1, sizeof(*t));
	const struct passwd *me = getpwuid(geteuid());
	const char *agent = getenv("SSH_AUTH_SOCK");
	char config[SSH_PATH * 4];

	if (!t)
		return NULL;
	t->name = strdup(at->hostname);
	t->host = strdup(at->hostname);
	t->user = strdup(at->user ? at->user : me ? me->pw_name : "root");
	t->port = at->port ? at->port : 22;
	t->timeout = timeout;
	t->alive_interval = ALIVE_INTERVAL;
	t->alive_count = ALIVE_COUNT;
	t->agent = agent && *agent ? strdup(agent) : NULL;
	t->dial = ssh_dial_command(at->path);
	if (!t->name || !t->host || !t->user || !t->dial) {
		ssh_target_free(t);
		return NULL;
	}
	if (at->identity_file)
		t->identity[t->n_identities++] = strdup(at->identity_file);
	if (at->known_hosts)
		t->known[t->n_known++] = strdup(at->known_hosts);
	snprintf(config, sizeof(config), "%.300s/.ssh/config", home());
	if (at->ssh_config)
		t->config = strdup(at->ssh_config);
	else if (strcmp(home(), passwd_home()) && access(config, R_OK) == 0)
		t->config = strdup(config);
	return t;
}

struct ssh_resolving *ssh_resolve(struct event_base *base, const struct endpoint *at,
				  double timeout,
				  void (*done)(void *arg, struct ssh_target *t, const char *why),
				  void *arg)
{
	struct ssh_resolving *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	*r = (struct ssh_resolving){.at = at, .done = done, .arg = arg};
	r->target = plain_target(at, timeout);
	if (!r->target || !start(base, r)) {
		ssh_resolve_cancel(r);
		return NULL;
	}
	return r;
}

void ssh_resolve_cancel(struct ssh_resolving *r)
{
	if (!r)
		return;
	ssh_child_kill(r->child);
	ssh_target_free(r->target);
	free(r);
}
