/* rows.c - the rows of containers and of hosts: properties and columns. */
#include <math.h>
#include <string.h>

#include "props.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* ---- containers, in the order of the record in the contract ------------ */

#define R(m) PROP(struct dcm_record, m)
#define R_IN(m, unit) PROP_IN(struct dcm_record, m, unit)

static const struct prop record_props[] = {
	R(host_id),
	{"container_id", P_CHARS, U_NONE, offsetof(struct dcm_record, id)},
	R(name), R(status), R(image), R(created), R(started), R(uptime),
	R_IN(cpu_percent, U_PERCENT), R_IN(memory_usage, U_BYTES),
	R_IN(memory_percent, U_PERCENT), R_IN(memory_limit, U_LIMIT),
	R(networks), R(ports), R(ip_address), R(network_aliases),
	R(compose_project), R(compose_service), R(compose_stack_containers),
	R(compose_config_files), R(compose_file_content), R(compose_working_dir),
	R(bind_mounts), R(volumes), R(volume_drivers), R(working_dir),
	R(environment_vars), R(labels), R(command), R(entrypoint),
	R(health_status), R(restart_count), R(exit_code), R(restart_policy),
	R(depends_on), R(links),
	R(log_tail), R(log_driver),
	R_IN(cached_at, U_UNIX), R_IN(last_updated, U_UNIX),
	R(image_id), R(finished), R(oom_killed), R(error), R(pid), R(hostname), R(user),
	R(privileged), R(pids), R_IN(network_rx, U_BYTES), R_IN(network_tx, U_BYTES),
	R_IN(block_read, U_BYTES), R_IN(block_write, U_BYTES), R(freshness),
};
/* Every stored field, and the three that the reader adds. */
_Static_assert(COUNT(record_props) == DCM_FIELD_COUNT + 3, "record_props");

void add_str(struct dcm_text *t, struct dcm_str s)
{
	if (s.s)
		text_add(t, s.s, s.len);
	else
		text_putc(t, '-');
}

static enum paint cell_host(struct dcm_text *t, const void *row)
{
	add_str(t, ((const struct dcm_record *)row)->host_id);
	return PLAIN;
}

static enum paint cell_id(struct dcm_text *t, const void *row)
{
	const struct dcm_record *r = row;

	text_printf(t, "%.12s", r->id);
	return PLAIN;
}

static enum paint cell_name(struct dcm_text *t, const void *row)
{
	add_str(t, ((const struct dcm_record *)row)->name);
	return PLAIN;
}

static enum paint cell_image(struct dcm_text *t, const void *row)
{
	const struct dcm_record *r = row;

	/* An image that is only known by its id, as docker ps shows it. */
	if (r->image.s && r->image.len == 71 && !strncmp(r->image.s, "sha256:", 7))
		text_add(t, r->image.s + 7, 12);
	else
		add_str(t, r->image);
	return PLAIN;
}

static enum paint cell_state(struct dcm_text *t, const void *row)
{
	const struct dcm_record *r = row;
	bool ended = str_is(r->status, "exited") || str_is(r->status, "dead");

	add_str(t, r->status);
	if (ended && r->exit_code != DCM_UNKNOWN)
		text_printf(t, " (%lld)", (long long)r->exit_code);
	if (r->freshness[DCM_STATUS].stale) {
		text_puts(t, " (stale)");
		return FAINT;
	}
	if (str_is(r->status, "running"))
		return GOOD;
	if (str_is(r->status, "dead") || r->oom_killed == 1 ||
	    (ended && r->exit_code != 0 && r->exit_code != DCM_UNKNOWN))
		return BAD;
	return str_is(r->status, "paused") || str_is(r->status, "restarting") ||
			       str_is(r->status, "removing") ?
		       WARN :
		       PLAIN;
}

static enum paint cell_health(struct dcm_text *t, const void *row)
{
	const struct dcm_record *r = row;

	add_str(t, r->health_status);
	return str_is(r->health_status, "healthy")   ? GOOD :
	       str_is(r->health_status, "unhealthy") ? BAD :
	       str_is(r->health_status, "starting")  ? WARN :
						       PLAIN;
}

static enum paint cell_uptime(struct dcm_text *t, const void *row)
{
	const struct dcm_record *r = row;

	text_puts(t, *r->uptime ? r->uptime : "-");
	return PLAIN;
}

/* A figure of the stats tier is marked when that tier is stale. */
static enum paint stats_cell(struct dcm_text *t, const struct dcm_record *r, bool known)
{
	if (!known) {
		text_putc(t, '-');
	} else if (r->freshness[DCM_STATS].stale) {
		text_putc(t, '*');
		return FAINT;
	}
	return PLAIN;
}

static enum paint cell_cpu(struct dcm_text *t, const void *row)
{
	const struct dcm_record *r = row;

	if (isfinite(r->cpu_percent))
		text_printf(t, "%.2f%%", r->cpu_percent);
	return stats_cell(t, r, isfinite(r->cpu_percent));
}

static enum paint cell_memory(struct dcm_text *t, const void *row)
{
	const struct dcm_record *r = row;
	bool known = r->memory_usage != DCM_UNKNOWN;

	if (known)
		text_bytes(t, r->memory_usage);
	if (known && r->memory_limit != DCM_UNKNOWN && r->memory_limit > 0) {
		text_puts(t, " / ");
		text_bytes(t, r->memory_limit);
	}
	return stats_cell(t, r, known);
}

void add_list(struct dcm_text *t, const struct dcm_strs *list)
{
	uint32_t i;

	for (i = 0; i < list->n; i++) {
		if (i)
			text_puts(t, ", ");
		add_str(t, list->v[i]);
	}
	if (!list->n)
		text_putc(t, '-');
}

static enum paint cell_ports(struct dcm_text *t, const void *row)
{
	add_list(t, &((const struct dcm_record *)row)->ports);
	return PLAIN;
}

static const struct column record_columns[] = {
	{"HOST", cell_host, 8, false},
	{"CONTAINER ID", cell_id, 0, false},
	{"NAME", cell_name, 12, false},
	{"STATE", cell_state, 0, false},
	{"HEALTH", cell_health, 0, false},
	{"UPTIME", cell_uptime, 0, false},
	{"CPU", cell_cpu, 0, true},
	{"MEMORY", cell_memory, 0, true},
	{"IMAGE", cell_image, 12, false},
	{"PORTS", cell_ports, 8, false},
};

const struct rows record_rows = {record_props, COUNT(record_props), record_columns,
				 COUNT(record_columns)};

/* ---- hosts ------------------------------------------------------------- */

#define H(m) PROP(struct dcm_host, m)
#define H_IN(m, unit) PROP_IN(struct dcm_host, m, unit)

static const struct prop host_props[] = {
	H(id), H(state), H(containers), H(running), H_IN(age, U_SECONDS),
	H(engine_version), H(api_version), H(transport), H(error), H(description), H(tags),
	H(cpus), H_IN(memory_total, U_BYTES), H(os), H(kernel),
	H_IN(cpu_percent, U_PERCENT), H_IN(memory_usage, U_BYTES),
};

static void add_int(struct dcm_text *t, int64_t v)
{
	if (v == DCM_UNKNOWN)
		text_putc(t, '-');
	else
		text_printf(t, "%lld", (long long)v);
}

static enum paint host_id(struct dcm_text *t, const void *row)
{
	add_str(t, ((const struct dcm_host *)row)->id);
	return PLAIN;
}

static enum paint host_state(struct dcm_text *t, const void *row)
{
	static const enum paint paint[] = {[DCM_STARTING] = WARN, [DCM_ONLINE] = GOOD,
					   [DCM_DEGRADED] = WARN, [DCM_OFFLINE] = BAD,
					   [DCM_DISABLED] = FAINT};
	const struct dcm_host *h = row;

	text_puts(t, dcm_host_state_name(h->state));
	return (unsigned)h->state < COUNT(paint) ? paint[h->state] : PLAIN;
}

static enum paint host_containers(struct dcm_text *t, const void *row)
{
	const struct dcm_host *h = row;

	add_int(t, h->running);
	text_putc(t, '/');
	add_int(t, h->containers);
	return PLAIN;
}

static enum paint host_age(struct dcm_text *t, const void *row)
{
	text_seconds(t, ((const struct dcm_host *)row)->age);
	return PLAIN;
}

static enum paint host_engine(struct dcm_text *t, const void *row)
{
	add_str(t, ((const struct dcm_host *)row)->engine_version);
	return PLAIN;
}

static enum paint host_transport(struct dcm_text *t, const void *row)
{
	add_str(t, ((const struct dcm_host *)row)->transport);
	return PLAIN;
}

static enum paint host_cpu(struct dcm_text *t, const void *row)
{
	const struct dcm_host *h = row;

	if (isfinite(h->cpu_percent))
		text_printf(t, "%.1f%%", h->cpu_percent);
	else
		text_putc(t, '-');
	if (h->cpus != DCM_UNKNOWN)
		text_printf(t, " of %lld", (long long)h->cpus);
	return PLAIN;
}

static enum paint host_memory(struct dcm_text *t, const void *row)
{
	const struct dcm_host *h = row;

	if (h->memory_usage != DCM_UNKNOWN)
		text_bytes(t, h->memory_usage);
	else
		text_putc(t, '-');
	if (h->memory_total != DCM_UNKNOWN) {
		text_puts(t, " / ");
		text_bytes(t, h->memory_total);
	}
	return PLAIN;
}

/* The cause of trouble, where there is some; else what the host is for. */
static enum paint host_remark(struct dcm_text *t, const void *row)
{
	const struct dcm_host *h = row;

	add_str(t, h->error.s ? h->error : h->description);
	return h->error.s ? BAD : PLAIN;
}

static const struct column host_columns[] = {
	{"HOST", host_id, 8, false},
	{"STATE", host_state, 0, false},
	{"RUNNING", host_containers, 0, true},
	{"AGE", host_age, 0, true},
	{"ENGINE", host_engine, 7, false},
	{"TRANSPORT", host_transport, 0, false},
	{"CPU", host_cpu, 0, true},
	{"MEMORY", host_memory, 0, true},
	{"REMARK", host_remark, 10, false},
};

const struct rows host_rows = {host_props, COUNT(host_props), host_columns, COUNT(host_columns)};
