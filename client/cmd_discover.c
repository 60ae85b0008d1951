/* cmd_discover.c - what a host has of compose projects and of data kept in its
 * file system. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "filter.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* ---- a sorted set of strings that owns them ---------------------------- */

struct set {
	struct dcm_str *v;
	uint32_t n, room;
};

static void set_add(struct set *set, struct dcm_str s)
{
	uint32_t lo = 0, hi = set->n;
	char *copy;

	if (!s.s || !s.len)
		return;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int order = str_cmp(set->v[mid], s);

		if (!order)
			return;
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (set->n == set->room) {
		struct dcm_str *v = realloc(set->v, (set->room * 2 + 16) * sizeof(*v));

		if (!v)
			exit(fail(EXIT_OTHER, "out of memory: free some"));
		set->v = v;
		set->room = set->room * 2 + 16;
	}
	copy = strndup(s.s, s.len);
	if (!copy)
		exit(fail(EXIT_OTHER, "out of memory: free some"));
	memmove(set->v + lo + 1, set->v + lo, (set->n - lo) * sizeof(*set->v));
	set->v[lo] = (struct dcm_str){copy, s.len};
	set->n++;
}

static struct dcm_strs set_list(const struct set *set)
{
	return (struct dcm_strs){set->v, set->n, true};
}

static void set_free(struct set *set)
{
	while (set->n)
		free((char *)set->v[--set->n].s);
	free(set->v);
	*set = (struct set){0};
}

/* ---- the row ----------------------------------------------------------- */

struct discovery {
	const char *host;
	struct dcm_strs compose_projects, compose_paths, appdata_paths;
	int64_t total_containers;
};

#define D(m) PROP(struct discovery, m)

static const struct prop discover_props[] = {
	PROP_IN(struct discovery, host, U_KEY), D(compose_projects), D(compose_paths),
	D(appdata_paths), D(total_containers),
};

static enum paint cell_host(struct dcm_text *t, const void *row)
{
	text_puts(t, ((const struct discovery *)row)->host);
	return PLAIN;
}

static enum paint cell_total(struct dcm_text *t, const void *row)
{
	text_printf(t, "%lld", (long long)((const struct discovery *)row)->total_containers);
	return PLAIN;
}

static enum paint cell_projects(struct dcm_text *t, const void *row)
{
	add_list(t, &((const struct discovery *)row)->compose_projects);
	return PLAIN;
}

static enum paint cell_compose(struct dcm_text *t, const void *row)
{
	add_list(t, &((const struct discovery *)row)->compose_paths);
	return PLAIN;
}

static enum paint cell_appdata(struct dcm_text *t, const void *row)
{
	add_list(t, &((const struct discovery *)row)->appdata_paths);
	return PLAIN;
}

static const struct column discover_columns[] = {
	{"HOST", cell_host, 8, false},
	{"CONTAINERS", cell_total, 0, true},
	{"COMPOSE PROJECTS", cell_projects, 16, false},
	{"COMPOSE PATHS", cell_compose, 16, false},
	{"APPDATA PATHS", cell_appdata, 16, false},
};
const struct rows discover_rows = {discover_props, COUNT(discover_props), discover_columns,
				   COUNT(discover_columns)};

/* ---- gathering --------------------------------------------------------- */

struct gathered {
	struct set projects, compose, appdata;
	int64_t containers;
};

/* `appdata` or `data` is one of the components of the path. */
static bool holds_data(struct dcm_str path)
{
	const char *s = path.s, *end = path.s + path.len;

	while (s < end) {
		const char *slash = memchr(s, '/', (size_t)(end - s));
		struct dcm_str part = {s, (uint32_t)((slash ? slash : end) - s)};

		if (str_is(part, "appdata") || str_is(part, "data"))
			return true;
		s += part.len + 1;
	}
	return false;
}

/* The directories of the comma-joined config files; a relative one is meant
 * from the working directory, which is listed anyway. */
static void add_config_dirs(struct set *paths, struct dcm_str files)
{
	const char *s = files.s, *end = files.s + files.len;

	while (files.s && s < end) {
		const char *comma = memchr(s, ',', (size_t)(end - s)), *stop = comma ? comma : end;
		const char *slash = memrchr(s, '/', (size_t)(stop - s));

		if (*s == '/' && slash)
			set_add(paths, (struct dcm_str){s, slash == s ? 1 : (uint32_t)(slash - s)});
		s = stop + 1;
	}
}

static void gather(struct gathered *g, const struct dcm_record *r)
{
	struct dcm_str source, destination;
	uint32_t i;

	g->containers++;
	set_add(&g->projects, r->compose_project);
	set_add(&g->compose, r->compose_working_dir);
	add_config_dirs(&g->compose, r->compose_config_files);
	for (i = 0; i < r->bind_mounts.n; i++)
		if (bind_split(r->bind_mounts.v[i], &source, &destination) && holds_data(source))
			set_add(&g->appdata, source);
}

static int discover(struct client *c, const char *host)
{
	struct dcm_query q = {.kind = DCM_Q_ALL, .host = host};
	struct dcm_refs refs = {0};
	struct gathered g = {0};
	struct discovery row;
	struct dcm_record r;
	int rc = dcm_query(c->d, &q, &refs);
	size_t i;

	dcm_record_init(&r);
	for (i = 0; !rc && i < refs.n; i++)
		if (read_record(c, refs.v[i], &r) == DCM_OK)
			gather(&g, &r);
	if (!rc) {
		row = (struct discovery){host, set_list(&g.projects), set_list(&g.compose),
					 set_list(&g.appdata), g.containers};
		output_section(&c->out, host);
		output_row(&c->out, &row);
	}
	set_free(&g.projects);
	set_free(&g.compose);
	set_free(&g.appdata);
	dcm_record_free(&r);
	dcm_refs_free(&refs);
	return rc;
}

int cmd_discover(struct client *c)
{
	const char *only = c->o.n_args ? c->o.args[0] : NULL;
	struct dcm_hosts hosts = {0};
	struct dcm_text id = {0};
	int rc, status;
	size_t i;

	if (only && (status = host_exists(c, only)) != EXIT_OK)
		return status;
	rc = dcm_hosts_read(c->d, &hosts);
	output_begin(&c->out, &discover_rows, SHAPE_MAP);
	for (i = 0; !rc && i < hosts.n; i++) {
		if (only ? !str_is(hosts.v[i].id, only) : hosts.v[i].state == DCM_DISABLED)
			continue;
		text_clear(&id);
		text_add(&id, hosts.v[i].id.s, hosts.v[i].id.len);
		rc = discover(c, id.s);
		if (rc == DCM_ENOTFOUND) /* the host went meanwhile */
			rc = DCM_OK;
	}
	status = rc ? fail_rc(c, rc) : output_end(&c->out);
	dcm_text_free(&id);
	dcm_hosts_free(&hosts);
	return status;
}
