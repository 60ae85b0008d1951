/*
 * transport_openssh_args.c - how `ssh` is called, and what it says.
 *
 * What `ssh -G` had resolved is given again only where hosts.yml says it, or where
 * HOME is another than passwd's; everything else is ssh_config's.  Nothing is ever
 * asked (BatchMode), and no key is accepted unseen.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "transport_openssh.h"

static void add(struct program_args *a, const char *s)
{
	if (a->n < PROGRAM_ARGS - 1)
		a->v[a->n++] = s;
	a->v[a->n] = NULL;
}

static void option(struct program_args *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void option(struct program_args *a, const char *fmt, ...)
{
	size_t room = sizeof(a->text) - a->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(a->text + a->used, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room)
		return;
	add(a, "-o");
	add(a, a->text + a->used);
	a->used += (size_t)n + 1;
}

static void begin(struct program_args *a, const struct ssh_target *t, const char *control)
{
	a->n = 0;
	a->used = 0;
	add(a, "ssh");
	if (t->config) {
		add(a, "-F");
		add(a, t->config);
	}
	option(a, "ControlPath=%s", control);
	option(a, "BatchMode=yes");
	option(a, "StrictHostKeyChecking=yes");
	option(a, "ForwardAgent=no");
	option(a, "ForwardX11=no");
	option(a, "RequestTTY=no");
	option(a, "PermitLocalCommand=no");
	option(a, "RemoteCommand=none");
	option(a, "LogLevel=INFO");
}

static void host(struct program_args *a, const struct ssh_target *t, const struct endpoint *at)
{
	if (at->port)
		option(a, "Port=%u", at->port);
	if (at->user) {
		add(a, "-l");
		add(a, at->user);
	}
	add(a, "--");
	add(a, t->name);
}

static void known_hosts(struct program_args *a, const struct ssh_target *t)
{
	char list[2048];
	size_t n = 0;

	for (unsigned i = 0; i < t->n_known; i++)
		if (n + strlen(t->known[i]) + 4 < sizeof(list))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s\"%s\"", n ? " " : "",
					      t->known[i]);
	option(a, "UserKnownHostsFile=%s", n ? list : "none");
	option(a, "GlobalKnownHostsFile=none");
}

void program_master(struct program_args *a, const struct ssh_target *t, const struct endpoint *at,
		    const char *control)
{
	begin(a, t, control);
	add(a, "-M");
	add(a, "-N");
	option(a, "ControlPersist=no");
	option(a, "ClearAllForwardings=yes"); /* those of ssh_config */
	option(a, "ForkAfterAuthentication=no");
	option(a, "UpdateHostKeys=no");
	option(a, "TCPKeepAlive=yes");
	option(a, "ServerAliveInterval=%u", t->alive_interval);
	option(a, "ServerAliveCountMax=%u", t->alive_count);
	option(a, "ConnectTimeout=%.0f", t->timeout < 1 ? 1 : t->timeout);
	known_hosts(a, t);
	for (unsigned i = 0; i < t->n_identities; i++) {
		add(a, "-i");
		add(a, t->identity[i]);
	}
	host(a, t, at);
}

/* Without the master it must fail: never a connection of its own. */
static void client(struct program_args *a, const struct ssh_target *t, const char *control)
{
	begin(a, t, control);
	option(a, "ControlMaster=no");
	option(a, "ProxyCommand=false");
}

void program_client(struct program_args *a, const struct ssh_target *t, const struct endpoint *at,
		    const char *control, const char *command)
{
	client(a, t, control);
	option(a, "ClearAllForwardings=yes");
	host(a, t, at);
	add(a, command);
}

void program_forward(struct program_args *a, const struct ssh_target *t, const struct endpoint *at,
		     const char *control, const char *local, const char *remote)
{
	size_t room;
	int n;

	client(a, t, control);
	room = sizeof(a->text) - a->used;
	n = snprintf(a->text + a->used, room, "%s:%s", local, remote);
	add(a, "-O");
	add(a, "forward");
	add(a, "-L");
	add(a, n > 0 && (size_t)n < room ? a->text + a->used : "");
	a->used += (size_t)n + 1;
	host(a, t, at);
}

/* ---- what it says ---------------------------------------------------------------------- */

static void host_key_error(const struct ssh_target *t, const char *said, char *why)
{
	const char *add_to = t->n_known ? t->known[0] : "~/.ssh/known_hosts";
	static const char invalid[] = "Certificate invalid: ";
	const char *hash = strstr(said, "SHA256:"), *certificate = strstr(said, invalid);
	char print[64] = "?";

	if (hash) {
		hash += strlen("SHA256:");
		snprintf(print, sizeof(print), "%.*s", (int)strcspn(hash, " .\r\n"), hash);
	}
	if (strstr(said, "HAS CHANGED"))
		ssh_say_changed(t, print, add_to, why);
	else if (certificate)
		ssh_say(why, "host key of %.80s: its certificate is not valid (%.*s): have the key "
			     "signed anew for %.60s (ssh-keygen -s CA -h -n NAME)",
			t->where, (int)strcspn(certificate + sizeof(invalid) - 1, "\r\n"),
			certificate + sizeof(invalid) - 1, t->host);
	else if (strcasestr(said, "revoked"))
		ssh_say(why, "host key of %s is revoked in known_hosts: do not trust this host",
			t->where);
	else
		ssh_say(why,
			"host key of %.60s is unknown: ssh-keyscan -p %u %.40s >> %.64s, after you "
			"checked its fingerprint",
			t->where, t->port, t->host, add_to);
}

static void last_line(const char *said, char *out, size_t room)
{
	const char *last = said;
	size_t n;

	for (const char *p = said; *p; p++)
		if (*p == '\n' && p[1] && p[1] != '\r' && p[1] != '\n')
			last = p + 1;
	n = strcspn(last, "\r\n");
	if (n >= room)
		n = room - 1;
	memcpy(out, last, n);
	out[n] = '\0';
}

enum dcm_step program_error(const struct ssh_target *t, const char *said, char *why)
{
	static const struct {
		const char *said, *means;
		enum dcm_step step;
	} causes[] = {
		{"Connection refused", "connection refused by %s: start sshd there, or correct the "
				       "port (%s)", DCM_STEP_CONNECT},
		{"Could not resolve", "no address found for the host name of %s: check it in "
				      "hosts.yml, and DNS (%s)", DCM_STEP_NAME},
		{"No route to host", "no route to %s: check the network, or the address (%s)",
		 DCM_STEP_CONNECT},
		{"Network is unreachable", "no route to %s: check the network, or the address (%s)",
		 DCM_STEP_CONNECT},
		{"timed out", "timeout: no answer of %s: check the host and the network (%s)",
		 DCM_STEP_CONNECT},
		{"Too many authentication failures", "login refused by %s: too many keys were tried; "
						     "give identity_file (%s)",
		 DCM_STEP_LOGIN},
		{"Permission denied (", "login refused by %s: add the public key to "
				      "authorized_keys there, or load its key into an agent (%s)",
		 DCM_STEP_LOGIN},
		/* any other cause: a blackhole, or a route or firewall that prohibits it */
		{"connect to host", "no route to %s: check the network, and routes and firewall of this "
				    "machine (%s)", DCM_STEP_CONNECT},
		{"no matching", "handshake with %s failed, ssh shares no algorithms with it: allow "
				"more on either side (%s)", DCM_STEP_CONNECT},
		{"onnection closed by", "%s closed the connection: is it sshd, and is its MaxStartups "
					"reached? (%s)", DCM_STEP_CONNECT},
		{"onnection reset by", "%s closed the connection: is it sshd, and is its MaxStartups "
				       "reached? (%s)", DCM_STEP_CONNECT},
	};
	char line[100];

	last_line(said, line, sizeof(line));
	if (strcasestr(said, "host key") || strstr(said, "HOST IDENTIFICATION")) {
		host_key_error(t, said, why);
		return DCM_STEP_HOST_KEY;
	}
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
		if (strstr(said, causes[i].said)) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			ssh_say(why, causes[i].means, t->where, line);
#pragma GCC diagnostic pop
			return causes[i].step;
		}
	ssh_say(why, "ssh to %s failed (%s)", t->where, line[0] ? line : "it ended without a word");
	return DCM_STEP_CONNECT;
}
