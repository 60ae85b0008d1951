/* cmd_ask.c - the commands that ask dcmd to act: refresh, forget, logs. */
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* What became of one host. */
struct outcome {
	const char *host, *error;
	bool ok;
};

static const struct prop outcome_props[] = {
	PROP(struct outcome, host), PROP(struct outcome, ok), PROP(struct outcome, error),
};

static enum paint cell_host(struct dcm_text *t, const void *row)
{
	text_puts(t, ((const struct outcome *)row)->host);
	return PLAIN;
}

static enum paint cell_result(struct dcm_text *t, const void *row)
{
	const struct outcome *o = row;

	text_puts(t, o->ok ? "ok" : "failed");
	return o->ok ? GOOD : BAD;
}

static enum paint cell_error(struct dcm_text *t, const void *row)
{
	const struct outcome *o = row;

	text_puts(t, o->error ? o->error : "-");
	return PLAIN;
}

static const struct column outcome_columns[] = {
	{"HOST", cell_host, 8, false},
	{"RESULT", cell_result, 0, false},
	{"ERROR", cell_error, 10, false},
};
const struct rows outcome_rows = {outcome_props, COUNT(outcome_props), outcome_columns,
				  COUNT(outcome_columns)};

/* ---- refresh ----------------------------------------------------------- */

/* dcm_refresh() with room for every outcome; the caller frees *out. */
static int refresh(struct client *c, const char *const *hosts, size_t n, struct dcm_outcome **out,
		   size_t *n_out)
{
	struct dcm_hosts all = {0};
	size_t room = n;
	int rc;

	*out = NULL;
	*n_out = 0;
	if (!n) {
		rc = dcm_hosts_read(c->d, &all);
		if (rc)
			return rc;
		room = all.n + 16; /* hosts may be added meanwhile */
		dcm_hosts_free(&all);
	}
	*out = calloc(room, sizeof(**out));
	if (!*out)
		exit(fail(EXIT_OTHER, "out of memory: free some"));
	rc = dcm_refresh(c->d, hosts, n, REFRESH_TIMEOUT_MS, *out, room, n_out);
	if (*n_out > room)
		*n_out = room;
	return rc;
}

static const char *outcome_error(const struct dcm_outcome *o)
{
	return o->rc == DCM_OK ? NULL : *o->error ? o->error : dcm_strerror(o->rc);
}

void refresh_first(struct client *c, const char *const *hosts, size_t n)
{
	struct dcm_outcome *out;
	size_t i, n_out;
	int rc = refresh(c, hosts, n, &out, &n_out);

	for (i = 0; i < n_out; i++)
		if (out[i].rc != DCM_OK)
			warn("%s could not be read anew (%s): the answer is what was known of it",
			     out[i].host, outcome_error(&out[i]));
	if (rc && !n_out)
		warn("nothing could be read anew (%s): the answer is what was known",
		     dcm_error(c->d));
	c->stale = rc && c->o.strict;
	free(out);
}

/* A host that is not there is 1, and nothing was asked; one that could not be
 * reached is 4. */
int cmd_refresh(struct client *c)
{
	struct dcm_outcome *out;
	size_t i, n_out, failed = 0;
	int rc, status;

	if (c->o.all == (c->o.n_args > 0))
		return fail(EXIT_USAGE, "refresh takes hosts or --all: write refresh HOST… or "
			    "refresh --all");
	for (i = 0; i < (size_t)c->o.n_args; i++) {
		status = host_exists(c, c->o.args[i]);
		if (status)
			return status;
	}
	rc = refresh(c, (const char *const *)c->o.args, (size_t)c->o.n_args, &out, &n_out);
	if (rc && !n_out) {
		free(out);
		return fail_rc(c, rc);
	}
	output_begin(&c->out, &outcome_rows, SHAPE_LIST);
	for (i = 0; i < n_out; i++) {
		struct outcome o = {out[i].host, outcome_error(&out[i]), out[i].rc == DCM_OK};

		output_row(&c->out, &o);
		failed += !o.ok;
	}
	status = output_end(&c->out);
	if (!status && failed)
		status = fail(EXIT_PARTIAL, "%zu of %zu hosts could not be read anew: see ERROR, "
			      "and dcm-client doctor", failed, n_out);
	free(out);
	return status;
}

/* ---- forget ------------------------------------------------------------ */

int cmd_forget(struct client *c)
{
	struct outcome o = {c->o.args[0], NULL, true};
	int status = host_exists(c, o.host), rc;

	if (status)
		return status;
	rc = dcm_forget(c->d, o.host, FORGET_TIMEOUT_MS);
	if (rc)
		return fail_rc(c, rc);
	output_begin(&c->out, &outcome_rows, SHAPE_ONE);
	output_row(&c->out, &o);
	return output_end(&c->out);
}

/* ---- logs -------------------------------------------------------------- */

struct log {
	struct dcm_str host_id;
	const char *container_id;
	struct dcm_strs log_tail;
};

static const struct prop logs_props[] = {
	PROP(struct log, host_id), PROP(struct log, container_id), PROP(struct log, log_tail),
};
const struct rows logs_rows = {logs_props, COUNT(logs_props), NULL, 0};

/* As text: the lines themselves, safe for a terminal, raw for a program. */
static int print_lines(struct output *o, const struct dcm_strs *lines)
{
	uint32_t i;

	output_begin(o, &logs_rows, SHAPE_ONE);
	for (i = 0; i < lines->n; i++) {
		if (o->term.tty)
			text_add_safe(&o->text, lines->v[i].s, lines->v[i].len, o->term.charset);
		else
			text_add(&o->text, lines->v[i].s, lines->v[i].len);
		text_putc(&o->text, '\n');
	}
	return output_end(o);
}

/* Without -n as many as the configuration keeps. */
static uint32_t lines_wanted(struct client *c)
{
	struct dcm_info info;

	if (c->o.n)
		return (uint32_t)c->o.n;
	if (dcm_info_read(c->d, &info) || info.log_tail_lines < 1)
		return 100;
	return info.log_tail_lines < DCM_LOG_LINES ? (uint32_t)info.log_tail_lines : DCM_LOG_LINES;
}

int cmd_logs(struct client *c)
{
	uint32_t lines = lines_wanted(c);
	struct dcm_record r;
	struct dcm_ref ref;
	struct log log;
	int rc, status;

	rc = dcm_find(c->d, c->o.args[0], c->o.args[1], &ref);
	if (!rc)
		rc = dcm_logs(c->d, ref, lines, LOGS_TIMEOUT_MS);
	dcm_record_init(&r);
	if (!rc)
		rc = read_record(c, ref, &r);
	if (rc) {
		status = fail_rc(c, rc);
	} else {
		log = (struct log){r.host_id, r.id, r.log_tail};
		if (log.log_tail.n > lines) { /* somebody asked for more meanwhile */
			log.log_tail.v += log.log_tail.n - lines;
			log.log_tail.n = lines;
		}
		if (c->out.form == FORM_TABLE) {
			status = print_lines(&c->out, &log.log_tail);
		} else {
			output_begin(&c->out, &logs_rows, SHAPE_ONE);
			output_row(&c->out, &log);
			status = output_end(&c->out);
		}
		if (status == EXIT_OK && lines > DCM_LOG_LINES && log.log_tail.n == DCM_LOG_LINES)
			status = fail(EXIT_PARTIAL,
				      "the answer is the last %d lines, the most that is fetched: "
				      "ask the engine for more", DCM_LOG_LINES);
	}
	dcm_record_free(&r);
	return status;
}
