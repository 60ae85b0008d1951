/*
 * watch.c - `dcm-client watch`: a line a change, until interrupted.
 *
 * A change in the memory is only a hint: the container is read and compared
 * with what was last seen of it (known.h), and shown when a field that means
 * something differs.  With --filter a container that starts to match has
 * `appeared`, one that ceases to is `removed`; hosts are shown unless a filter
 * on containers is given (`host=` filters them, too).
 *
 * It ends with 0 on SIGINT and SIGTERM, and when nobody reads its output.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "filter.h"
#include "known.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* ---- the row ----------------------------------------------------------- */

struct change_row {
	const char *event;
	struct dcm_str host_id;
	const char *container_id, *name;
	struct dcm_strs changed;
	struct dcm_text record; /* JSON */
	struct dcm_text details; /* for people */
};

static const struct prop change_props[] = {
	PROP(struct change_row, event), PROP(struct change_row, host_id),
	PROP(struct change_row, container_id), PROP(struct change_row, name),
	PROP(struct change_row, changed), PROP(struct change_row, record),
};

static enum paint cell_time(struct dcm_text *t, const void *row)
{
	time_t now = time(NULL);
	struct tm tm;

	(void)row;
	if (localtime_r(&now, &tm))
		text_printf(t, "%02d:%02d:%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
	return FAINT;
}

static enum paint cell_event(struct dcm_text *t, const void *row)
{
	const char *event = ((const struct change_row *)row)->event;

	text_printf(t, "%-8s", event);
	return *event == 'a' ? GOOD : *event == 'r' ? BAD : PLAIN;
}

static enum paint cell_whose(struct dcm_text *t, const void *row)
{
	const struct change_row *c = row;

	add_str(t, c->host_id);
	if (c->name)
		text_printf(t, "/%s", c->name);
	return PLAIN;
}

static enum paint cell_details(struct dcm_text *t, const void *row)
{
	const struct dcm_text *details = &((const struct change_row *)row)->details;

	text_add(t, details->s, details->len);
	return PLAIN;
}

static const struct column change_columns[] = {
	{"TIME", cell_time, 0, false},
	{"EVENT", cell_event, 0, false},
	{"CONTAINER", cell_whose, 0, false},
	{"CHANGES", cell_details, 0, false},
};
const struct rows change_rows = {change_props, COUNT(change_props), change_columns,
				 COUNT(change_columns)};

/* ---- showing ----------------------------------------------------------- */

struct watch {
	struct client *c;
	struct known_table known;
	struct known_host *hosts;
	size_t n_hosts;
	uint32_t mark;	/* of the last resync */
	bool silent;	/* taking stock: nothing is shown */
	bool show_hosts;
	struct dcm_record record;
	struct change_row row;
};

/* "status=exited exit_code=137 networks": values where they are short. */
static void describe(struct dcm_text *t, const struct rows *rows, const void *row,
		     const struct changed *changed)
{
	struct dcm_text value = {0};
	size_t i;

	for (i = 0; i < changed->n; i++) {
		const struct prop *p = &rows->props[changed->v[i]];

		text_puts(t, t->len ? " " : "");
		text_puts(t, p->name);
		text_clear(&value);
		prop_human(&value, p, row);
		if (value.len <= 64 && !memchr(value.s, '\n', value.len))
			text_printf(t, "=%s", value.s);
	}
	dcm_text_free(&value);
}

/* `rows` and `subject`: whose record it is, NULL when there is none any more. */
static void show(struct watch *w, const char *event, const struct rows *rows, const void *subject,
		 const struct changed *changed)
{
	struct dcm_str names[KNOWN_FIELDS];
	struct output *o = &w->c->out;
	size_t i;

	for (i = 0; i < changed->n; i++)
		names[i] = str_of(rows->props[changed->v[i]].name);
	w->row.event = event;
	w->row.changed = (struct dcm_strs){names, (uint32_t)changed->n, true};
	text_clear(&w->row.record);
	text_clear(&w->row.details);
	if (subject && o->form != FORM_TABLE)
		row_json(&w->row.record, rows, subject);
	else if (subject)
		describe(&w->row.details, rows, subject, changed);
	output_row(o, &w->row);
}

static void show_container(struct watch *w, const char *event, const struct known *k,
			   const struct dcm_record *r, const struct changed *changed)
{
	static const struct changed none;

	w->row.host_id = str_of(k->host);
	w->row.container_id = k->id;
	w->row.name = k->name;
	show(w, event, &record_rows, r, changed ? changed : &none);
}

/* ---- containers -------------------------------------------------------- */

static void container_gone(struct known *k, void *arg)
{
	struct watch *w = arg;

	if (k->shown && !w->silent)
		show_container(w, "removed", k, NULL, NULL);
	known_remove(&w->known, k);
}

static void container_read(struct watch *w, struct known *k, bool is_new,
			   const struct changed *changed)
{
	bool matches = filter_match(w->c->o.filter, &w->record), was = k->shown;

	k->shown = matches;
	if (w->silent)
		return;
	if (matches && (is_new || !was))
		show_container(w, "appeared", k, &w->record, NULL);
	else if (matches && changed->n)
		show_container(w, "updated", k, &w->record, changed);
	else if (!matches && was)
		show_container(w, "removed", k, NULL, NULL);
}

static void container(struct watch *w, struct dcm_ref ref, uint32_t tiers)
{
	struct changed changed = {.n = 0};
	struct known *k = known_by_ref(&w->known, ref);
	bool is_new = false;

	/* One that went meanwhile, or cannot be read now, is told by a later change. */
	if (read_record(w->c, ref, &w->record) != DCM_OK)
		return;
	if (!k) {
		k = known_by_id(&w->known, w->record.host_id, w->record.id);
		if (k)
			known_move(&w->known, k, ref);
		tiers = UINT32_MAX;
	}
	if (k)
		known_compare(k, &w->record, tiers, &changed);
	else
		k = known_add(&w->known, &w->record, ref), is_new = true;
	k->mark = w->mark;
	container_read(w, k, is_new, &changed);
}

/* Reads a whole host: after a gap, for a new one, and at the start. */
static void resync(struct watch *w, struct dcm_str host)
{
	struct dcm_text id = {0};
	struct dcm_query q = {.kind = DCM_Q_ALL};
	struct dcm_refs refs = {0};
	size_t i;
	int rc;

	text_add(&id, host.s, host.len);
	q.host = id.s;
	w->mark++;
	rc = dcm_query(w->c->d, &q, &refs);
	for (i = 0; !rc && i < refs.n && !w->c->out.error; i++)
		container(w, refs.v[i], UINT32_MAX);
	if (rc == DCM_OK || rc == DCM_ENOTFOUND)
		known_unmarked(&w->known, str_of(id.s), w->mark, container_gone, w);
	dcm_refs_free(&refs);
	dcm_text_free(&id);
}

/* ---- hosts ------------------------------------------------------------- */

static void show_host(struct watch *w, struct dcm_str id, const struct dcm_host *h,
		      const struct changed *changed)
{
	if (w->silent || !w->show_hosts || !filter_match_host(w->c->o.filter, id))
		return;
	w->row.host_id = id;
	w->row.container_id = w->row.name = NULL;
	show(w, "host", &host_rows, h, changed);
}

static struct known_host *host_known(struct watch *w, struct dcm_str id)
{
	struct known_host *v;
	size_t i;

	for (i = 0; i < w->n_hosts; i++)
		if (str_is(id, w->hosts[i].id))
			return &w->hosts[i];
	v = realloc(w->hosts, (w->n_hosts + 1) * sizeof(*v));
	if (!v)
		exit(fail(EXIT_OTHER, "out of memory: free some"));
	w->hosts = v;
	v += w->n_hosts++;
	*v = (struct known_host){.mark = 0};
	if (id.len < sizeof(v->id))
		memcpy(v->id, id.s, id.len);
	return v;
}

static void hosts(struct watch *w)
{
	static const struct changed none;
	struct dcm_hosts list = {0};
	struct changed changed;
	uint32_t mark;
	size_t i;

	if (dcm_hosts_read(w->c->d, &list) != DCM_OK)
		return;
	mark = ++w->mark;
	for (i = 0; i < list.n; i++) {
		struct known_host *k = host_known(w, list.v[i].id);
		bool is_new = !k->mark;

		known_compare_host(k, &list.v[i], &changed);
		k->mark = mark;
		if (changed.n)
			show_host(w, list.v[i].id, &list.v[i], &changed);
		if (is_new)
			resync(w, list.v[i].id);
	}
	for (i = 0; i < w->n_hosts;) {
		struct known_host gone = w->hosts[i];

		if (gone.mark == mark) {
			i++;
			continue;
		}
		w->hosts[i] = w->hosts[--w->n_hosts];
		known_unmarked(&w->known, str_of(gone.id), ++w->mark, container_gone, w);
		show_host(w, str_of(gone.id), NULL, &none);
	}
	dcm_hosts_free(&list);
}

/* ---- changes as they come ---------------------------------------------- */

static void change(struct watch *w, const struct dcm_change *ch)
{
	struct known *k;
	size_t i;

	switch (ch->kind) {
	case DCM_APPEARED:
		container(w, ch->ref, UINT32_MAX);
		break;
	case DCM_UPDATED:
		container(w, ch->ref, ch->tiers);
		break;
	case DCM_REMOVED:
		k = known_by_ref(&w->known, ch->ref);
		if (k)
			container_gone(k, w);
		break;
	case DCM_HOST:
		hosts(w);
		break;
	case DCM_RESYNC:
		if (ch->ref.host != UINT32_MAX) {
			resync(w, ch->host_id);
			break;
		}
		hosts(w);
		for (i = 0; i < w->n_hosts; i++)
			resync(w, str_of(w->hosts[i].id));
		break;
	}
}

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* SIGINT and SIGTERM are let in only while waiting, so none is missed. */
static void catch_signals(sigset_t *while_waiting)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t block;

	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, while_waiting);
	sigdelset(while_waiting, SIGINT);
	sigdelset(while_waiting, SIGTERM);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

/* Until something may have changed.  Without the broker's bell, or when it
 * hangs up, every 100 ms.  true: nobody reads standard output any more. */
static bool wait_for_change(dcm *d, const sigset_t *mask)
{
	struct pollfd fd[2] = {{.fd = 1}, {.fd = dcm_changes_fd(d), .events = POLLIN}};
	const struct timespec short_nap = {0, 100000000}, long_nap = {1, 0};
	int n;

	n = ppoll(fd, 2, fd[1].fd < 0 ? &short_nap : &long_nap, mask);
	if (n > 0 && fd[0].revents)
		return true;
	if (n > 0 && fd[1].revents & (POLLHUP | POLLERR | POLLNVAL))
		ppoll(fd, 1, &short_nap, mask);
	return false;
}

static int follow(struct watch *w)
{
	struct dcm_change ch;
	sigset_t mask;
	int rc;

	catch_signals(&mask);
	for (;;) {
		while ((rc = dcm_changes_next(w->c->d, &ch, 0)) == DCM_OK) {
			change(w, &ch);
			if (w->c->out.error)
				return EXIT_OK;
		}
		if (rc != DCM_ETIMEDOUT)
			return fail_rc(w->c, rc);
		if (wait_for_change(w->c->d, &mask) || interrupted)
			return EXIT_OK;
	}
}

int cmd_watch(struct client *c)
{
	struct watch w = {.c = c, .silent = true};
	struct dcm_change first;
	struct dcm_text why = {0};
	int rc = filter_resolve(c->o.filter, c->d, NULL, &why), status;

	if (rc) {
		status = fail(exit_of(rc), "%s", why.s ? why.s : dcm_strerror(rc));
		dcm_text_free(&why);
		return status;
	}
	w.show_hosts = filter_is_of_hosts(c->o.filter);
	dcm_record_init(&w.record);
	output_begin(&c->out, &change_rows, SHAPE_STREAM);
	/* From this call on libdcm follows; what comes while stock is taken is in
	 * it, and comes again as a change that changes nothing. */
	dcm_changes_next(c->d, &first, 0);
	hosts(&w);
	w.silent = false;
	status = follow(&w);
	if (!status)
		status = output_end(&c->out);
	dcm_record_free(&w.record);
	dcm_text_free(&w.row.record);
	dcm_text_free(&w.row.details);
	known_free(&w.known);
	free(w.hosts);
	return status;
}
