/* cmd_list.c - the commands that answer with container records. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "filter.h"

/* The records of `refs` that match, as rows; one that went meanwhile is left
 * out.  *busy counts those that could not be read whole. */
static void rows_of(struct client *c, const struct dcm_refs *refs, const struct filter *f,
		    size_t *busy)
{
	struct dcm_record r;
	size_t i;

	dcm_record_init(&r);
	for (i = 0; i < refs->n && !c->out.error; i++) {
		int rc = read_record(c, refs->v[i], &r);

		if (rc == DCM_OK && filter_match(f, &r))
			output_row(&c->out, &r);
		else if (rc != DCM_OK && rc != DCM_ESTALE && rc != DCM_ENOTFOUND)
			++*busy;
	}
	dcm_record_free(&r);
}

static int end_of(struct client *c, size_t busy)
{
	int status = output_end(&c->out);

	if (status == EXIT_OK && busy)
		return fail(EXIT_PARTIAL, "%zu containers changed too fast to be read, so the "
			    "answer is partial: ask again", busy);
	return status;
}

static int list(struct client *c, const struct dcm_query *q, const struct filter *f)
{
	struct dcm_refs refs = {0};
	size_t busy = 0;
	int rc = dcm_query(c->d, q, &refs), status;

	if (rc) {
		status = fail_rc(c, rc);
	} else {
		output_begin(&c->out, &record_rows, SHAPE_LIST);
		rows_of(c, &refs, f, &busy);
		status = end_of(c, busy);
	}
	dcm_refs_free(&refs);
	return status;
}

int cmd_ps(struct client *c)
{
	const char *host = c->o.n_args ? c->o.args[0] : NULL;
	struct dcm_query q = {.kind = DCM_Q_ALL, .host = host};
	struct dcm_text why = {0};
	const char *hosts[64];
	size_t n;
	int status, rc;

	if (host && (status = host_exists(c, host)) != EXIT_OK)
		return status;
	if (c->o.refresh) {
		n = filter_hosts(c->o.filter, hosts, 64);
		refresh_first(c, host ? &host : hosts, host ? 1 : n);
	}
	rc = filter_resolve(c->o.filter, c->d, host, &why);
	if (rc) {
		status = fail(exit_of(rc), "%s", why.s ? why.s : dcm_strerror(rc));
		dcm_text_free(&why);
		return status;
	}
	filter_narrow(c->o.filter, &q);
	return list(c, &q, c->o.filter);
}

int cmd_get(struct client *c)
{
	const char *host = c->o.args[0];
	struct dcm_record r;
	struct dcm_ref ref;
	int rc = DCM_ESTALE, tries, status;

	if (c->o.refresh) {
		status = host_exists(c, host);
		if (status)
			return status;
		refresh_first(c, &host, 1);
	}
	dcm_record_init(&r);
	/* Removed and made anew between look-up and reading: look it up again. */
	for (tries = 0; rc == DCM_ESTALE && tries < 3; tries++) {
		rc = dcm_find(c->d, host, c->o.args[1], &ref);
		if (!rc)
			rc = read_record(c, ref, &r);
	}
	if (rc) {
		status = fail_rc(c, rc);
	} else {
		output_begin(&c->out, &record_rows, SHAPE_ONE);
		output_row(&c->out, &r);
		status = output_end(&c->out);
	}
	dcm_record_free(&r);
	return status;
}

/* One text, one query, --refresh where the command takes it. */
static int by_text(struct client *c, enum dcm_query_kind kind, const char *text, const char *value)
{
	struct dcm_query q = {.kind = kind, .text = text, .value = value};

	if (c->o.refresh)
		refresh_first(c, NULL, 0);
	return list(c, &q, NULL);
}

int cmd_stack(struct client *c)
{
	return by_text(c, DCM_Q_PROJECT, c->o.args[0], NULL);
}

int cmd_search(struct client *c)
{
	return by_text(c, DCM_Q_SEARCH, c->o.args[0], NULL);
}

int cmd_mounts(struct client *c)
{
	return by_text(c, DCM_Q_MOUNT, c->o.args[0], NULL);
}

int cmd_network(struct client *c)
{
	return by_text(c, DCM_Q_NETWORK, c->o.args[0], NULL);
}

int cmd_label(struct client *c)
{
	char *key = c->o.args[0], *value = strchr(key, '=');

	if (value == key)
		return fail(EXIT_USAGE, "label '%s' has no key: write KEY or KEY=VALUE", key);
	if (value)
		*value++ = '\0';
	return by_text(c, DCM_Q_LABEL, key, value);
}

int cmd_status(struct client *c)
{
	if (!one_of(c->o.args[0], FILTER_STATUSES))
		return fail(EXIT_USAGE, "no status '%s': the statuses are %s", c->o.args[0],
			    FILTER_STATUSES);
	return by_text(c, DCM_Q_STATUS, c->o.args[0], NULL);
}

/* ---- sections ---------------------------------------------------------- */

static double weight(const struct dcm_record *r, enum dcm_query_kind kind)
{
	if (kind == DCM_Q_TOP_CPU)
		return r->cpu_percent;
	return r->memory_usage == DCM_UNKNOWN ? NAN : (double)r->memory_usage;
}

static int heavier(const void *a, const void *b, void *kind)
{
	const enum dcm_query_kind *k = kind;
	double x = weight(a, *k), y = weight(b, *k);

	return (x < y) - (x > y);
}

/* The order was made from the digests; the values may have moved since, so it
 * is made again from what is shown. */
static int top_section(struct client *c, const char *name, enum dcm_query_kind kind, size_t *busy)
{
	struct dcm_query q = {.kind = kind, .n = c->o.n ? (uint32_t)c->o.n : 10};
	struct dcm_refs refs = {0};
	struct dcm_record *r;
	size_t i, n = 0, kept = 0;
	int rc = dcm_query(c->d, &q, &refs);

	if (rc)
		return rc;
	r = calloc(refs.n ? refs.n : 1, sizeof(*r));
	if (!r) {
		dcm_refs_free(&refs);
		return DCM_ENOMEM;
	}
	for (i = 0; i < refs.n; i++, n++) {
		dcm_record_init(&r[n]);
		rc = read_record(c, refs.v[i], &r[n]);
		if (rc == DCM_OK && !isnan(weight(&r[n], kind))) {
			struct dcm_record swap = r[kept];

			r[kept++] = r[n];
			if (kept - 1 != n)
				r[n] = swap;
		} else if (rc == DCM_EBUSY) {
			++*busy;
		}
	}
	qsort_r(r, kept, sizeof(*r), heavier, &kind);
	output_section(&c->out, name);
	for (i = 0; i < kept; i++)
		output_row(&c->out, &r[i]);
	for (i = 0; i < n; i++)
		dcm_record_free(&r[i]);
	free(r);
	dcm_refs_free(&refs);
	return DCM_OK;
}

int cmd_top(struct client *c)
{
	size_t busy = 0;
	int rc;

	output_begin(&c->out, &record_rows, SHAPE_SECTIONS);
	rc = top_section(c, "top_cpu", DCM_Q_TOP_CPU, &busy);
	if (!rc)
		rc = top_section(c, "top_memory", DCM_Q_TOP_MEMORY, &busy);
	return rc ? fail_rc(c, rc) : end_of(c, busy);
}

int cmd_health(struct client *c)
{
	static const struct {
		const char *name;
		enum dcm_health health;
	} section[] = {{"healthy", DCM_H_HEALTHY}, {"unhealthy", DCM_H_UNHEALTHY},
		       {"starting", DCM_H_STARTING}, {"no_health_check", DCM_H_NONE}};
	struct dcm_query q = {.kind = DCM_Q_ALL};
	struct dcm_refs all = {0}, some = {0};
	struct dcm_brief brief;
	size_t i, s, busy = 0;
	uint8_t *health;
	int rc = dcm_query(c->d, &q, &all);

	if (rc)
		return fail_rc(c, rc);
	health = malloc(all.n + 1);
	some.v = malloc((all.n + 1) * sizeof(*some.v));
	if (!health || !some.v)
		exit(fail(EXIT_OTHER, "out of memory: free some"));
	for (i = 0; i < all.n; i++)
		health[i] = dcm_brief_read(c->d, all.v[i], &brief) == DCM_OK ? brief.health : 255;
	output_begin(&c->out, &record_rows, SHAPE_SECTIONS);
	for (s = 0; s < sizeof(section) / sizeof(*section); s++) {
		for (some.n = i = 0; i < all.n; i++)
			if (health[i] == section[s].health)
				some.v[some.n++] = all.v[i];
		output_section(&c->out, section[s].name);
		rows_of(c, &some, NULL, &busy);
	}
	free(health);
	free(some.v);
	dcm_refs_free(&all);
	return end_of(c, busy);
}
