/* cmd_hosts.c - what is known of the hosts and of the cache itself. */
#include <math.h>
#include <string.h>

#include "client.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

int cmd_hosts(struct client *c)
{
	struct dcm_hosts hosts = {0};
	int rc = dcm_hosts_read(c->d, &hosts);
	size_t i;

	if (rc)
		return fail_rc(c, rc);
	output_begin(&c->out, &host_rows, SHAPE_LIST);
	for (i = 0; i < hosts.n; i++)
		output_row(&c->out, &hosts.v[i]);
	dcm_hosts_free(&hosts);
	return output_end(&c->out);
}

/* ---- stats ------------------------------------------------------------- */

struct stats {
	int64_t hosts_cached, total_containers;
	struct dcm_text cache_ages; /* {host: seconds} */
	double update_interval, cache_ttl;
	int64_t memory_held, memory_used, events, refreshes, errors, restarts;
	int64_t refused, truncated;
	struct dcm_text warnings; /* ["who: what: mend"]: conditions in force */
};

#define S(m) PROP(struct stats, m)
#define S_IN(m, unit) PROP_IN(struct stats, m, unit)

static const struct prop stats_props[] = {
	S(hosts_cached), S(total_containers), S(cache_ages),
	S_IN(update_interval, U_SECONDS), S_IN(cache_ttl, U_SECONDS),
	S_IN(memory_held, U_BYTES), S_IN(memory_used, U_BYTES), S(events), S(refreshes),
	S(errors), S(restarts), S(refused), S(truncated), S(warnings),
};
const struct rows stats_rows = {stats_props, COUNT(stats_props), NULL, 0};

static void count(int64_t *sum, int64_t v)
{
	if (v != DCM_UNKNOWN)
		*sum += v;
}

static void add_warnings(struct stats *s, struct dcm_str who, const struct dcm_strs *list)
{
	struct dcm_text line = {0};

	for (uint32_t i = 0; list->known && i < list->n; i++) {
		text_clear(&line);
		text_add(&line, who.s, who.len);
		text_puts(&line, ": ");
		text_add(&line, list->v[i].s, list->v[i].len);
		text_puts(&s->warnings, s->warnings.len > 1 ? "," : "");
		dcm_json_str(&s->warnings, (struct dcm_str){line.s, (uint32_t)line.len});
	}
	dcm_text_free(&line);
}

static void stats_of_host(struct stats *s, const struct dcm_host *h)
{
	add_warnings(s, h->id, &h->warnings);
	count(&s->total_containers, h->containers);
	count(&s->memory_held, h->memory_held);
	count(&s->memory_used, h->memory_used);
	count(&s->events, h->events);
	count(&s->refreshes, h->refreshes);
	count(&s->errors, h->errors);
	count(&s->restarts, h->restarts);
	count(&s->refused, h->refused);
	count(&s->truncated, h->truncated);
	if (h->state == DCM_DISABLED)
		return;
	if (isfinite(h->age))
		s->hosts_cached++;
	text_puts(&s->cache_ages, s->cache_ages.len > 1 ? "," : "");
	dcm_json_str(&s->cache_ages, h->id);
	text_putc(&s->cache_ages, ':');
	text_number(&s->cache_ages, round(h->age * 1000) / 1000);
}

int cmd_stats(struct client *c)
{
	struct dcm_hosts hosts = {0};
	struct dcm_info info;
	struct stats s = {0};
	int rc = dcm_info_read(c->d, &info), status;
	size_t i;

	text_puts(&s.warnings, "[");
	if (!rc) { /* they live until the next call */
		add_warnings(&s, str_of("dcmd"), &info.warnings);
		rc = dcm_hosts_read(c->d, &hosts);
	}
	if (rc) {
		dcm_text_free(&s.warnings);
		return fail_rc(c, rc);
	}
	s.update_interval = info.status_update;
	s.cache_ttl = info.ttl[DCM_STATUS];
	count(&s.restarts, info.broker_restarts);
	text_putc(&s.cache_ages, '{');
	for (i = 0; i < hosts.n; i++)
		stats_of_host(&s, &hosts.v[i]);
	text_putc(&s.cache_ages, '}');
	text_putc(&s.warnings, ']');
	output_begin(&c->out, &stats_rows, SHAPE_ONE);
	output_row(&c->out, &s);
	status = output_end(&c->out);
	dcm_text_free(&s.cache_ages);
	dcm_text_free(&s.warnings);
	dcm_hosts_free(&hosts);
	return status;
}
