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
	struct dcm_text warnings;	  /* {host: ["what: mend"]}: conditions in force */
	struct dcm_strs daemon_warnings; /* those of dcmd itself, which is no host */
};

#define S(m) PROP(struct stats, m)
#define S_IN(m, unit) PROP_IN(struct stats, m, unit)

static const struct prop stats_props[] = {
	S(hosts_cached), S(total_containers), S(cache_ages),
	S_IN(update_interval, U_SECONDS), S_IN(cache_ttl, U_SECONDS),
	S_IN(memory_held, U_BYTES), S_IN(memory_used, U_BYTES), S(events), S(refreshes),
	S(errors), S(restarts), S(refused), S(truncated), S(warnings),
	S(daemon_warnings),
};
const struct rows stats_rows = {stats_props, COUNT(stats_props), NULL, 0};

static void count(int64_t *sum, int64_t v)
{
	if (v != DCM_UNKNOWN)
		*sum += v;
}

/* The next key of a map of hosts. */
static void add_key(struct dcm_text *map, struct dcm_str host)
{
	text_puts(map, map->len > 1 ? "," : "");
	dcm_json_str(map, host);
	text_putc(map, ':');
}

static void add_warnings(struct stats *s, const struct dcm_host *h)
{
	const struct dcm_strs *list = &h->warnings;

	if (!list->known || !list->n)
		return;
	add_key(&s->warnings, h->id);
	for (uint32_t i = 0; i < list->n; i++) {
		text_putc(&s->warnings, i ? ',' : '[');
		dcm_json_str(&s->warnings, list->v[i]);
	}
	text_putc(&s->warnings, ']');
}

static void stats_of_host(struct stats *s, const struct dcm_host *h)
{
	add_warnings(s, h);
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
	add_key(&s->cache_ages, h->id);
	text_number(&s->cache_ages, round(h->age * 1000) / 1000);
}

int cmd_stats(struct client *c)
{
	struct dcm_hosts hosts = {0};
	struct dcm_info info;
	struct stats s = {0};
	int rc = dcm_hosts_read(c->d, &hosts), status;
	size_t i;

	if (!rc) /* last: its lists live until the next call */
		rc = dcm_info_read(c->d, &info);
	if (rc) {
		dcm_hosts_free(&hosts);
		return fail_rc(c, rc);
	}
	s.daemon_warnings = info.warnings;
	s.daemon_warnings.known = true; /* a dcmd that starts has said none yet */
	s.update_interval = info.status_update;
	s.cache_ttl = info.ttl[DCM_STATUS];
	count(&s.restarts, info.broker_restarts);
	text_putc(&s.cache_ages, '{');
	text_putc(&s.warnings, '{');
	for (i = 0; i < hosts.n; i++)
		stats_of_host(&s, &hosts.v[i]);
	text_putc(&s.cache_ages, '}');
	text_putc(&s.warnings, '}');
	output_begin(&c->out, &stats_rows, SHAPE_ONE);
	output_row(&c->out, &s);
	status = output_end(&c->out);
	dcm_text_free(&s.cache_ages);
	dcm_text_free(&s.warnings);
	dcm_hosts_free(&hosts);
	return status;
}
