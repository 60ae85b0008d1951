/*
 * doctor.c - `dcm-client doctor`: findings, the daemon, its memory.  See doctor.h.
 */
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "doctor.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

enum { ROOM_LEAST = 64 << 20 };	/* bytes of /dev/shm that should be free */

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

void finding(struct doctor *d, enum verdict v, int status, const char *check,
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

/* Where the mend begins; texts of others stand in brackets, and may hold a colon. */
static uint32_t mend_at(struct dcm_str said)
{
	uint32_t at = 0, depth = 0;

	for (uint32_t i = 0; i + 1 < said.len; i++) {
		if (said.s[i] == '(')
			depth++;
		else if (said.s[i] == ')' && depth)
			depth--;
		else if (!depth && said.s[i] == ':' && said.s[i + 1] == ' ')
			at = i;
	}
	return at;
}

void finding_said(struct doctor *d, enum verdict v, int status, const char *check,
		  struct dcm_str subject, struct dcm_str said, const char *mend)
{
	struct dcm_text own = {0};
	uint32_t at = said.s ? mend_at(said) : 0;

	if (at)
		text_add(&own, said.s + at + 2, said.len - at - 2);
	finding(d, v, status, check, subject, at ? own.s : mend, "%.*s",
		(int)(at ? at : said.len), said.s ? said.s : "");
	dcm_text_free(&own);
}

void check_conditions(struct doctor *d, struct dcm_str who, const struct dcm_strs *names,
		      const struct dcm_strs *said)
{
	/* What is new does not reach readers; the others cost speed, or safety. */
	static const char faults[] = "shard_full shard_waits child_not_started directory_behind";

	for (uint32_t i = 0; said->known && i < said->n; i++) {
		bool named = names->known && i < names->n;
		bool fault = named && names->v[i].s && one_of(names->v[i].s, faults);

		finding_said(d, fault ? FAIL : NOTICE, EXIT_PARTIAL, "condition", who, said->v[i],
			     "see the log of dcmd");
	}
}

bool alive(int64_t pid)
{
	return pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* ---- the daemon -------------------------------------------------------- */

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
	check_conditions(d, nobody, &i->conditions, &i->warnings);
}

static void check_broker(struct doctor *d)
{
	/* A query that libdcm asks the broker rather than scan for. */
	struct dcm_query q = {.kind = DCM_Q_PROJECT, .text = "-"};
	struct dcm_refs refs = {0};
	int rc = dcm_query(d->c->d, &q, &refs);
	long long pid = d->info.broker_pid, restarts = d->info.broker_restarts;

	/* On a busy machine one that lives may be late for once. */
	for (int more = 2; more-- && !rc && !refs.by_broker && alive(pid);) {
		nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100000000}, NULL);
		dcm_refs_free(&refs);
		rc = dcm_query(d->c->d, &q, &refs);
	}
	if (rc)
		finding(d, FAIL, exit_of(rc), "broker", nobody, "see the log of dcmd", "%s",
			dcm_error(d->c->d));
	else if (!refs.by_broker)
		finding(d, FAIL, EXIT_OTHER, "broker", nobody,
			alive(pid) ? "if it stays so, see the log of dcmd and who may open "
				     "broker.sock" :
				     "dcmd starts it again: see its log",
			"no answer (pid %lld), queries scan the memory", pid);
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

int cmd_doctor(struct client *c)
{
	struct doctor d = {.c = c};
	char err[512] = "";
	int rc = client_open(c, err, sizeof(err)), written;

	for (int i = 0; !rc && i < c->o.n_args; i++)
		if ((written = host_exists(c, c->o.args[i])))
			return written;
	output_begin(&c->out, &check_rows, SHAPE_LINES);
	if (!rc) {
		rc = dcm_info_read(c->d, &d.info);
		if (rc)
			snprintf(err, sizeof(err), "%s", dcm_error(c->d));
	}
	if (rc) {
		finding_said(&d, FAIL, exit_of(rc), "instance", nobody,
			     str_of(*err ? err : dcm_strerror(rc)), "start dcmd");
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
