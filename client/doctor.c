/*
 * doctor.c - `dcm-client doctor`: what is wrong with the cache, and the mend.
 *
 * It only looks, and asks nobody but the broker.  Exit status: 0 nothing is
 * wrong (warnings may stand), 3 dcm does not run or is not readable, 4 a
 * host's records are not fresh, 5 anything else is wrong.
 */
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "client.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

enum { ROOM_LEAST = 64 << 20 };	/* bytes of /dev/shm that should be free */
#define CLOCK_MOST 5.0		/* s that an engine's clock may be off */

enum verdict { OK, NOTICE, FAIL };

struct check_row {
	const char *check;
	struct dcm_str subject;
	const char *status, *message, *mend;
};

static const struct prop check_props[] = {
	PROP(struct check_row, check),	 PROP(struct check_row, subject),
	PROP(struct check_row, status),	 PROP(struct check_row, message),
	PROP(struct check_row, mend),
};

static enum paint cell_status(struct dcm_text *t, const void *row)
{
	const char *status = ((const struct check_row *)row)->status;

	text_printf(t, "%-4s", *status == 'f' ? "FAIL" : status);
	return *status == 'o' ? GOOD : *status == 'w' ? WARN : BAD;
}

static enum paint cell_check(struct dcm_text *t, const void *row)
{
	const struct check_row *c = row;

	text_puts(t, c->check);
	if (c->subject.s)
		text_printf(t, " %.*s", (int)c->subject.len, c->subject.s);
	text_putc(t, ':');
	return PLAIN;
}

static enum paint cell_message(struct dcm_text *t, const void *row)
{
	const struct check_row *c = row;

	text_puts(t, c->message);
	if (c->mend)
		text_printf(t, ": %s", c->mend);
	return PLAIN;
}

static const struct column check_columns[] = {
	{"STATUS", cell_status, 0, false},
	{"CHECK", cell_check, 0, false},
	{"MESSAGE", cell_message, 0, false},
};
const struct rows check_rows = {check_props, COUNT(check_props), check_columns,
				COUNT(check_columns)};

struct doctor {
	struct client *c;
	struct dcm_info info;
	int status; /* the exit status so far */
};

/* One finding; `status`: the exit status if it is a FAIL; mend NULL: none needed. */
static void finding(struct doctor *d, enum verdict v, int status, const char *check,
		    struct dcm_str subject, const char *mend, const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));
static void finding(struct doctor *d, enum verdict v, int status, const char *check,
		    struct dcm_str subject, const char *mend, const char *fmt, ...)
{
	static const char *const names[] = {"ok", "warn", "fail"};
	struct dcm_text message = {0};
	struct check_row row = {check, subject, names[v], NULL, mend};
	va_list ap;

	va_start(ap, fmt);
	text_vprintf(&message, fmt, ap);
	va_end(ap);
	row.message = message.s ? message.s : "";
	output_row(&d->c->out, &row);
	dcm_text_free(&message);
	/* Not running outweighs, then damage, then what is not fresh. */
	if (v == FAIL && (d->status == EXIT_OK || d->status == EXIT_PARTIAL))
		d->status = status;
}

static const struct dcm_str nobody;

static bool alive(int64_t pid)
{
	return pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* ---- the daemon -------------------------------------------------------- */

/* What is wrong for a while, and says so itself: "what: mend". */
static void check_conditions(struct doctor *d, struct dcm_str who, const struct dcm_strs *list)
{
	for (uint32_t i = 0; list->known && i < list->n; i++)
		finding(d, NOTICE, 0, "condition", who, NULL, "%.*s", (int)list->v[i].len,
			list->v[i].s);
}

static void check_instance(struct doctor *d)
{
	const struct dcm_info *i = &d->info;

	finding(d, OK, 0, "instance", nobody, NULL, "%s of user %u, in %s", i->instance, i->uid,
		i->runtime_dir);
	if (strcmp(i->version, DCM_VERSION) != 0)
		finding(d, NOTICE, 0, "version", nobody, "install the same version of both",
			"dcmd is %s, dcm-client %s", i->version, DCM_VERSION);
	if (alive(i->supervisor_pid))
		finding(d, OK, 0, "supervisor", nobody, NULL, "pid %lld",
			(long long)i->supervisor_pid);
	else
		finding(d, FAIL, EXIT_NOTRUNNING, "supervisor", nobody,
			"start dcmd: it takes over what is in memory",
			"pid %lld does not run, nothing is kept up to date",
			(long long)i->supervisor_pid);
	check_conditions(d, nobody, &i->warnings);
}

static void check_broker(struct doctor *d)
{
	/* A query that libdcm asks the broker rather than scan for. */
	struct dcm_query q = {.kind = DCM_Q_PROJECT, .text = "-"};
	struct dcm_refs refs = {0};
	int rc = dcm_query(d->c->d, &q, &refs);
	long long pid = d->info.broker_pid, restarts = d->info.broker_restarts;

	if (rc)
		finding(d, FAIL, exit_of(rc), "broker", nobody, "see the log of dcmd", "%s",
			dcm_error(d->c->d));
	else if (!refs.by_broker)
		finding(d, FAIL, EXIT_OTHER, "broker", nobody,
			alive(pid) ? "if it stays so, see the log of dcmd and who may open "
				     "broker.sock" :
				     "dcmd starts it again: see its log",
			"no answer within 50 ms (pid %lld), queries scan the memory", pid);
	else
		finding(d, restarts > 0 ? NOTICE : OK, 0, "broker", nobody,
			restarts > 0 ? "see the log of dcmd for the cause" : NULL,
			"pid %lld answers, restarted %lld times", pid, restarts);
	dcm_refs_free(&refs);
}

/* ---- the memory -------------------------------------------------------- */

static void check_object(struct doctor *d, const char *name, unsigned *n, int64_t *bytes)
{
	struct dcm_text path = {0};
	struct stat st;

	text_printf(&path, "/dev/shm/%s", name);
	if (stat(path.s, &st) == 0) {
		*bytes += st.st_size;
		++*n;
		if (st.st_mode & 0027)
			finding(d, FAIL, EXIT_OTHER, "permissions", str_of(name),
				"chmod it to 0640 and find out who changed it",
				"mode %04o lets others in", (unsigned)st.st_mode & 07777);
		if (st.st_uid != d->info.uid)
			finding(d, FAIL, EXIT_OTHER, "permissions", str_of(name),
				"remove it and find out who made it", "belongs to user %u, not %u",
				(unsigned)st.st_uid, d->info.uid);
	}
	dcm_text_free(&path);
}

static void check_readers(struct doctor *d, const char *directory)
{
	struct dcm_text path = {0};
	struct group *g;
	struct stat st;

	text_printf(&path, "/dev/shm/%s", directory);
	if (stat(path.s, &st) == 0) {
		g = getgrgid(st.st_gid);
		if (st.st_mode & 0040)
			finding(d, OK, 0, "readers", nobody, NULL, "user %u and group %s",
				d->info.uid, g ? g->gr_name : "(without a name)");
		else
			finding(d, OK, 0, "readers", nobody, NULL, "user %u alone", d->info.uid);
	}
	dcm_text_free(&path);
}

static void check_memory(struct doctor *d)
{
	struct dcm_text prefix = {0}, size = {0}, room = {0};
	DIR *dir = opendir("/dev/shm");
	struct dirent *e;
	struct statvfs fs;
	int64_t bytes = 0, left;
	unsigned n = 0;

	text_printf(&prefix, "dcm-%u-%s-:", d->info.uid, d->info.instance);
	while (dir && (e = readdir(dir)))
		if (!strncmp(e->d_name, prefix.s, prefix.len)) {
			check_object(d, e->d_name, &n, &bytes);
			if (!strcmp(e->d_name + prefix.len, "dir"))
				check_readers(d, e->d_name);
		}
	if (dir)
		closedir(dir);
	text_bytes(&size, bytes);
	finding(d, OK, 0, "memory", nobody, NULL, "%s in %u objects", size.s, n);
	if (statvfs("/dev/shm", &fs) == 0) {
		left = (int64_t)(fs.f_bavail * fs.f_frsize);
		text_bytes(&room, left);
		if (left < ROOM_LEAST)
			finding(d, FAIL, EXIT_OTHER, "room", nobody,
				"free some, or mount it larger (mount -o remount,size=…)",
				"only %s left in /dev/shm: what is new may not fit", room.s);
		else
			finding(d, OK, 0, "room", nobody, NULL, "%s left in /dev/shm", room.s);
	}
	dcm_text_free(&prefix);
	dcm_text_free(&size);
	dcm_text_free(&room);
}

/* ---- the hosts --------------------------------------------------------- */

static void check_state(struct doctor *d, const struct dcm_host *h)
{
	struct dcm_text age = {0};

	if (isfinite(h->age)) {
		text_puts(&age, "verified ");
		text_seconds(&age, h->age);
		text_puts(&age, " ago");
	} else {
		text_puts(&age, "never verified");
	}
	switch (h->state) {
	case DCM_ONLINE:
		finding(d, OK, 0, "host", h->id, NULL, "online, %lld containers, %s",
			(long long)h->containers, age.s);
		break;
	case DCM_STARTING:
		finding(d, NOTICE, 0, "host", h->id,
			h->error.s ? NULL : "wait for its first attempt to end", "starting%s%.*s",
			h->error.s ? ", " : "", (int)h->error.len, h->error.s ? h->error.s : "");
		break;
	case DCM_DEGRADED:
		finding(d, NOTICE, 0, "host", h->id, "see the log of dcmd and of that engine",
			"degraded: %.*s", (int)h->error.len, h->error.s ? h->error.s : "");
		break;
	case DCM_OFFLINE:
		finding(d, FAIL, EXIT_PARTIAL, "host", h->id, "it is tried again every few seconds",
			"offline, %s: %.*s", age.s, (int)h->error.len,
			h->error.s ? h->error.s : "");
		break;
	case DCM_DISABLED:
		finding(d, OK, 0, "host", h->id, NULL, "disabled in hosts.yml");
		break;
	}
	dcm_text_free(&age);
}

static void check_collector(struct doctor *d, const struct dcm_host *h)
{
	/* Two lists that should have come did not: its process hangs or is slow. */
	double late = 2 * d->info.status_update + 5;

	if (h->pid != DCM_UNKNOWN && !alive(h->pid))
		finding(d, FAIL, EXIT_PARTIAL, "collector", h->id,
			"dcmd starts it again within seconds: if not, see its log",
			"pid %lld does not run", (long long)h->pid);
	else if (h->state == DCM_ONLINE && h->age > late)
		finding(d, FAIL, EXIT_PARTIAL, "collector", h->id,
			"try dcm-client refresh, and see the log of dcmd",
			"nothing verified for %.0f s, though a list is due every %.0f s", h->age,
			d->info.status_update);
	if (h->restarts != DCM_UNKNOWN && h->restarts > 0)
		finding(d, NOTICE, 0, "collector", h->id, "see the log of dcmd for the cause",
			"restarted %lld times", (long long)h->restarts);
	if (fabs(h->clock_offset) > CLOCK_MOST)
		finding(d, NOTICE, 0, "clock", h->id, "let both follow NTP",
			"that engine's clock is %.1f s %s this one", fabs(h->clock_offset),
			h->clock_offset > 0 ? "ahead of" : "behind");
}

static void check_freshness(struct doctor *d, const struct dcm_host *h, const char *host)
{
	static const char *const tiers[] = {"stats", "status", "config", "compose"};
	struct dcm_query q = {.kind = DCM_Q_ALL, .host = host};
	size_t stale[4] = {0}, i, t, n;
	struct dcm_refs refs = {0};
	struct dcm_record r;

	if (dcm_query(d->c->d, &q, &refs) != DCM_OK)
		return;
	dcm_record_init(&r);
	for (i = n = 0; i < refs.n; i++) {
		if (read_record(d->c, refs.v[i], &r) != DCM_OK)
			continue;
		n++;
		for (t = 0; t < 4; t++) /* never filled is not old */
			stale[t] += r.freshness[t].stale && isfinite(r.freshness[t].age);
	}
	for (t = 0; t < 4; t++)
		if (stale[t])
			finding(d, h->state == DCM_ONLINE ? FAIL : NOTICE, EXIT_PARTIAL,
				"freshness", h->id,
				"try dcm-client refresh, and see the log of dcmd",
				"%s of %zu of %zu containers is stale", tiers[t], stale[t], n);
	dcm_record_free(&r);
	dcm_refs_free(&refs);
}

static void check_hosts(struct doctor *d)
{
	struct dcm_hosts hosts = {0};
	struct dcm_text id = {0};
	int rc = dcm_hosts_read(d->c->d, &hosts);
	size_t i;

	if (rc)
		finding(d, FAIL, exit_of(rc), "hosts", nobody, "start dcmd anew", "%s",
			dcm_error(d->c->d));
	else if (!hosts.n)
		finding(d, NOTICE, 0, "hosts", nobody, "add some to hosts.yml", "none configured");
	for (i = 0; i < hosts.n; i++) {
		check_state(d, &hosts.v[i]);
		check_conditions(d, hosts.v[i].id, &hosts.v[i].warnings);
		if (hosts.v[i].state == DCM_DISABLED)
			continue;
		check_collector(d, &hosts.v[i]);
		text_clear(&id);
		text_add(&id, hosts.v[i].id.s, hosts.v[i].id.len);
		check_freshness(d, &hosts.v[i], id.s);
	}
	dcm_text_free(&id);
	dcm_hosts_free(&hosts);
}

int cmd_doctor(struct client *c)
{
	struct doctor d = {.c = c};
	char err[512] = "";
	int rc = client_open(c, err, sizeof(err)), written;

	output_begin(&c->out, &check_rows, SHAPE_LINES);
	if (!rc) {
		rc = dcm_info_read(c->d, &d.info);
		if (rc)
			snprintf(err, sizeof(err), "%s", dcm_error(c->d));
	}
	if (rc) {
		finding(&d, FAIL, exit_of(rc), "instance", nobody, NULL, "%s",
			*err ? err : dcm_strerror(rc));
	} else {
		check_instance(&d);
		check_broker(&d);
		check_memory(&d);
		check_hosts(&d);
	}
	written = output_end(&c->out);
	if (written)
		return written;
	if (d.status)
		fail(d.status, "something is wrong: see the lines marked FAIL");
	return d.status;
}
