/*
 * reader.c - a program that reads through libdcm all the time, while others make
 * the containers change and kill what it reads from.
 *
 *	reader INSTANCE RUNTIME_DIR FILE
 *
 * Four threads, each with a handle of its own that it keeps to the end: `point`
 * looks residents up by name and id, `scan` goes through the memory, `broker` asks
 * the broker, `changes` follows changes and keeps a mirror.  FILE has a line for
 * each container that is there throughout: HOST NAME ID.  A host whose id begins
 * with "guest" comes and goes.
 *
 * What must never be, and is said as `bad THREAD TEXT`:
 *  - a resident that is not found, by any way of asking;
 *  - a record of several containers: churn.py writes a container's serial into its
 *    name, labels, environment, host name and service, so into every tier;
 *  - an id that has another serial than before, or a name that is older;
 *  - one that a whole scan has not shown any more, and a later one shows;
 *  - a call that is charged (stalls.h) with more than 100 ms.
 *
 * On standard input: `seen` prints what each thread sees now, as `seen THREAD HOST
 * ID` and `end`; `figures` prints figures; the end of it ends the program.
 */
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../shm/dcm.h"
#include "known.h"
#include "stalls.h"

enum { RESIDENTS_MAX = 256, TRIES = 8, SLOTS = 64, BAD_MOST = 20 };
static const double blocked = 0.1; /* s */

struct resident {
	char host[64], name[64], id[65];
	uint8_t bytes[32];
};
static struct resident residents[RESIDENTS_MAX];
static size_t n_residents;

struct reader {
	const char *name;
	void (*read)(struct reader *t);
	void (*see)(struct reader *t);
	unsigned flags; /* of dcm_open */
	long nap;	/* us between two rounds */
	pthread_t thread;
	dcm *d;
	struct stalls_call call;
	struct known_set known;
	struct dcm_record record;
	struct dcm_refs refs;
	uint32_t round;
	uint64_t calls, again;
	double wall, charged; /* the longest */
	char longest[32];
	unsigned bad, seen; /* how many `seen` it has answered */
};

static struct dcm_options options = {.size = sizeof(options)};
static atomic_uint seen_wanted;
static atomic_bool stop;
static pthread_mutex_t out = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/* ---- what is said ------------------------------------------------------------ */

static void bad(struct reader *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void bad(struct reader *t, const char *fmt, ...)
{
	va_list ap;

	if (++t->bad > BAD_MOST)
		return;
	va_start(ap, fmt);
	pthread_mutex_lock(&out);
	printf("bad %s ", t->name);
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
	pthread_mutex_unlock(&out);
	va_end(ap);
}

static void say_seen(const struct reader *t, const char *host, const char *id)
{
	printf("seen %s %s %s\n", t->name, host, id);
}

/* ---- calls, with their time ---------------------------------------------------- */

static int ended(struct reader *t, const char *what, int rc)
{
	double wall, charged = stalls_call_end(&t->call, &wall);

	t->calls++;
	if (wall > t->wall) {
		t->wall = wall;
		snprintf(t->longest, sizeof(t->longest), "%s", what);
	}
	if (charged > t->charged)
		t->charged = charged;
	if (charged > blocked)
		bad(t, "blocked: %s took %.3f s, and the machine stalled for %.3f s of it", what,
		    wall, wall - charged);
	return rc;
}

#define TIMED(t, what, rc) (stalls_call_begin(&(t)->call), ended(t, what, rc))

/* The reference has another container, or changed while it was read: look again. */
static bool again(struct reader *t, int rc)
{
	if (rc != DCM_ESTALE && rc != DCM_EBUSY)
		return false;
	t->again++;
	return true;
}

/* ---- what a record must be ------------------------------------------------------ */

static bool is(struct dcm_str s, const char *text)
{
	return s.s && s.len == strlen(text) && !memcmp(s.s, text, s.len);
}

static const char *in(const struct dcm_map *m, const char *key)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (is(m->v[i].key, key))
			return m->v[i].value.s;
	return NULL;
}

static void disagree(struct reader *t, const struct dcm_record *r, const char *serial)
{
	const char *env = in(&r->environment_vars, "CHAOS");

	bad(t, "mixed: %s %.12s: label %s, name %s, env %s, hostname %s, service %s", r->host_id.s,
	    r->id, serial, r->name.s, env, r->hostname.s, r->compose_service.s);
}

/* Where no inspect came in time, a record has what the list says, and nothing else. */
static bool only_listed(const struct dcm_record *r)
{
	return isnan(r->freshness[DCM_CONFIG].age) && !r->environment_vars.known && !r->hostname.s;
}

/* Every tier is of the same container; the name's revision, -1 where it has none. */
static int check_tiers(struct reader *t, const struct dcm_record *r, int serial)
{
	const char *env = in(&r->environment_vars, "CHAOS");
	char text[16], service[24];
	int named = -1, revision = -1;

	snprintf(text, sizeof(text), "%d", serial);
	snprintf(service, sizeof(service), "s%d", serial);
	if (r->name.s && sscanf(r->name.s, "c%d-r%d", &named, &revision) == 2 && named != serial)
		disagree(t, r, text);
	else if ((!only_listed(r) && (!env || strcmp(env, text) || !is(r->hostname, service))) ||
		 (r->compose_service.s && !is(r->compose_service, service)) ||
		 (r->container_id.s && !is(r->container_id, r->id)))
		disagree(t, r, text);
	return revision;
}

static void check_record(struct reader *t, const struct dcm_record *r)
{
	bool guest = !strncmp(r->host_id.s, "guest", 5);
	const char *label = r->labels.known ? in(&r->labels, "chaos.serial") : NULL;
	struct known *k = known_get(&t->known, r->host_id.s, r->id);
	int serial, revision;

	if (k->gone && !guest)
		bad(t, "resurrected: %s %.12s %s was gone in round %u, and is there in %u",
		    r->host_id.s, r->id, r->name.s, k->round, t->round);
	k->gone = false;
	k->round = t->round;
	if (!r->labels.known && only_listed(r))
		return;
	if (!label) {
		bad(t, "no serial: %s %.12s %s", r->host_id.s, r->id, r->name.s);
		return;
	}
	serial = atoi(label);
	revision = check_tiers(t, r, serial);
	if (k->serial >= 0 && k->serial != serial)
		bad(t, "other serial: %s %.12s had %d, has %d", r->host_id.s, r->id, k->serial,
		    serial);
	if (k->revision > revision && revision >= 0 && !guest)
		bad(t, "older: %s %.12s was revision %d, is %s", r->host_id.s, r->id, k->revision,
		    r->name.s);
	k->serial = serial;
	k->revision = revision > k->revision ? revision : k->revision;
}

/* ---- point: residents, one by one ------------------------------------------------- */

static int read_one(struct reader *t, const struct resident *r, bool by_id)
{
	struct dcm_view v;
	struct dcm_ref ref;
	struct dcm_str name;
	bool other;
	int rc;

	if (by_id)
		rc = TIMED(t, "find_id", dcm_find_id(t->d, r->host, r->bytes, &ref));
	else
		rc = TIMED(t, "find", dcm_find(t->d, r->host, r->name, &ref));
	if (!rc)
		rc = TIMED(t, "read", dcm_read(t->d, ref, &t->record));
	if (rc)
		return rc;
	check_record(t, &t->record);
	if (strcmp(t->record.id, r->id) != 0 || !is(t->record.name, r->name))
		bad(t, "wrong: %s %s is read as %.12s %s", r->host, r->name, t->record.id,
		    t->record.name.s);
	rc = TIMED(t, "view", dcm_view(t->d, ref, DCM_STATUS, &v));
	if (rc)
		return rc;
	other = !dcm_view_str(&v, DCM_F_name, &name) || !is(name, r->name);
	if (!dcm_view_ok(&v))
		return DCM_EBUSY;
	if (other)
		bad(t, "wrong: %s %s has another name in its view", r->host, r->name);
	return DCM_OK;
}

static void read_points(struct reader *t)
{
	t->round++;
	for (size_t i = 0; i < n_residents; i++) {
		bool by_id = (i + t->round) % 2;
		int rc = DCM_ESTALE;

		for (int n = 0; n < TRIES && (rc = read_one(t, &residents[i], by_id)); n++)
			if (!again(t, rc))
				break;
		if (rc)
			bad(t, "lost: %s %s by %s: %s", residents[i].host, residents[i].name,
			    by_id ? "id" : "name", dcm_error(t->d));
	}
}

static void see_nothing(struct reader *t)
{
	(void)t;
}

/* ---- scan and broker: all that there is ---------------------------------------------- */

/* Whether a round saw all of a host: by slot, since what is stale has no other name. */
struct slots {
	char host[SLOTS][64];
	bool broken[SLOTS];
};

static void read_refs(struct reader *t, struct slots *s)
{
	for (size_t i = 0; i < t->refs.n; i++) {
		uint32_t slot = t->refs.v[i].host % SLOTS;
		int rc = TIMED(t, "read", dcm_read(t->d, t->refs.v[i], &t->record));

		if (rc == DCM_OK) {
			snprintf(s->host[slot], sizeof(s->host[slot]), "%s", t->record.host_id.s);
			check_record(t, &t->record);
			continue;
		}
		s->broken[slot] = true;
		if (!again(t, rc))
			bad(t, "unreadable: %s", dcm_error(t->d));
	}
}

/* What a whole round did not show is gone; a resident never is. */
static void settle_round(struct reader *t, const struct slots *s)
{
	bool broken = false;

	for (size_t i = 0; i < SLOTS; i++) {
		broken |= s->broken[i];
		if (s->host[i][0] && !s->broken[i])
			known_settle(&t->known, s->host[i], t->round);
	}
	for (size_t i = 0; i < n_residents; i++) {
		const struct resident *r = &residents[i];
		const struct known *k = known_get(&t->known, r->host, r->id);

		if (k->gone || (!broken && k->round != t->round))
			bad(t, "lost: %s %s is not in round %u", r->host, r->name, t->round);
	}
}

static bool query(struct reader *t, const char *what, const struct dcm_query *q)
{
	int rc = TIMED(t, what, dcm_query(t->d, q, &t->refs));

	if (rc && rc != DCM_ENOTFOUND)
		bad(t, "%s fails: %s", what, dcm_error(t->d));
	return !rc;
}

static void read_all(struct reader *t)
{
	static const struct dcm_query all = {.kind = DCM_Q_ALL};
	struct dcm_query one = {.kind = DCM_Q_PROJECT, .text = "chaos-residents"};
	struct slots s = {0};
	size_t found = 0;

	t->round++;
	if (query(t, "query", &all)) {
		read_refs(t, &s);
		settle_round(t, &s);
	}
	if (t->round % 4 || !query(t, "query of a project", &one))
		return;
	for (size_t i = 0; i < t->refs.n; i++) {
		int rc = TIMED(t, "read", dcm_read(t->d, t->refs.v[i], &t->record));

		if (rc && !again(t, rc))
			bad(t, "unreadable: %s", dcm_error(t->d));
		else if (rc)
			return; /* of another shard, or another time: not to be counted */
		else
			found += strncmp(t->record.host_id.s, "guest", 5) != 0;
	}
	if (found != n_residents)
		bad(t, "lost: %zu of %zu residents in their project (by %s)", found, n_residents,
		    t->refs.by_broker ? "broker" : "scan");
}

static void see_all(struct reader *t)
{
	static const struct dcm_query all = {.kind = DCM_Q_ALL};

	if (!query(t, "query", &all))
		return;
	for (size_t i = 0; i < t->refs.n; i++)
		if (dcm_read(t->d, t->refs.v[i], &t->record) == DCM_OK)
			say_seen(t, t->record.host_id.s, t->record.id);
}

/* ---- changes: a mirror that is kept by what changed ------------------------------------ */

static void mirror_add(struct reader *t, struct dcm_ref ref)
{
	struct known *k;

	if (TIMED(t, "read", dcm_read(t->d, ref, &t->record)) != DCM_OK)
		return; /* a later change tells of it */
	k = known_get(&t->known, t->record.host_id.s, t->record.id);
	k->gone = false; /* what is judged here is the mirror, once quiet */
	check_record(t, &t->record);
	k->ref = ref;
	k->here = true;
}

/* Reads a host anew; one that there is none of any more has nothing. */
static void mirror_host(struct reader *t, const char *host)
{
	const struct dcm_query of_host = {.kind = DCM_Q_ALL, .host = host};
	int rc = TIMED(t, "query of a host", dcm_query(t->d, &of_host, &t->refs));

	if (rc && rc != DCM_ENOTFOUND) {
		bad(t, "query of %s fails: %s", host, dcm_error(t->d));
		return;
	}
	known_drop(&t->known, host);
	for (size_t i = 0; !rc && i < t->refs.n; i++)
		mirror_add(t, t->refs.v[i]);
}

static void mirror_hosts(struct reader *t)
{
	struct dcm_hosts hosts = {0};

	known_drop(&t->known, NULL);
	if (TIMED(t, "hosts", dcm_hosts_read(t->d, &hosts)))
		bad(t, "hosts fail: %s", dcm_error(t->d));
	for (size_t i = 0; i < hosts.n; i++)
		mirror_host(t, hosts.v[i].id.s);
	dcm_hosts_free(&hosts);
}

static void mirror_change(struct reader *t, const struct dcm_change *c)
{
	char host[64];

	snprintf(host, sizeof(host), "%s", c->host_id.s ? c->host_id.s : "");
	switch (c->kind) {
	case DCM_APPEARED:
	case DCM_UPDATED:
		mirror_add(t, c->ref);
		break;
	case DCM_REMOVED:
		known_drop_ref(&t->known, host, c->ref);
		break;
	case DCM_HOST:
		if (!strncmp(host, "guest", 5))
			mirror_host(t, host);
		break;
	case DCM_RESYNC:
		if (c->ref.host == UINT32_MAX)
			mirror_hosts(t);
		else
			mirror_host(t, host);
		break;
	}
}

/* All changes that are there. */
static void read_changes(struct reader *t)
{
	struct dcm_change c;
	int rc;

	if (!t->round++) {
		dcm_changes_next(t->d, &c, 0); /* follows from here on */
		mirror_hosts(t);
	}
	while (!(rc = TIMED(t, "changes", dcm_changes_next(t->d, &c, 20))) && !stop)
		mirror_change(t, &c);
	if (rc && rc != DCM_ETIMEDOUT)
		bad(t, "changes fail: %s", dcm_error(t->d));
}

static void see_mirror(struct reader *t)
{
	for (size_t i = 0; i < t->known.n; i++)
		if (t->known.v[i].here)
			say_seen(t, t->known.v[i].host, t->known.v[i].id);
}

/* ---- threads ---------------------------------------------------------------------------- */

static struct reader readers[] = {
	{.name = "point", .read = read_points, .see = see_nothing, .nap = 1000},
	{.name = "scan", .read = read_all, .see = see_all, .nap = 5000, .flags = DCM_NO_BROKER},
	{.name = "broker", .read = read_all, .see = see_all, .nap = 5000},
	{.name = "changes", .read = read_changes, .see = see_mirror, .nap = 1000},
};
enum { READERS = sizeof(readers) / sizeof(*readers) };
static atomic_int seen_by;

static void *run(void *arg)
{
	struct reader *t = arg;
	const struct timespec nap = {.tv_nsec = t->nap * 1000};

	stalls_call_init(&t->call);
	while (!stop) {
		t->read(t);
		if (t->seen != seen_wanted) {
			t->seen = seen_wanted;
			pthread_mutex_lock(&out);
			t->see(t);
			pthread_mutex_unlock(&out);
			seen_by++;
		}
		nanosleep(&nap, NULL);
	}
	return NULL;
}

static void start(struct reader *t)
{
	struct dcm_options o = options;
	char why[256];

	o.flags = t->flags;
	dcm_record_init(&t->record);
	if (dcm_open(&t->d, &o, why, sizeof(why)) != DCM_OK ||
	    pthread_create(&t->thread, NULL, run, t) != 0) {
		fprintf(stderr, "reader: %s\n", why);
		exit(2);
	}
}

static void end(struct reader *t)
{
	pthread_join(t->thread, NULL);
	dcm_refs_free(&t->refs);
	dcm_record_free(&t->record);
	known_free(&t->known);
	dcm_close(&t->d);
}

/* ---- commands ------------------------------------------------------------------------------ */

static void seen(void)
{
	const struct timespec nap = {.tv_nsec = 1000 * 1000};

	seen_by = 0;
	seen_wanted++;
	while (seen_by < READERS)
		nanosleep(&nap, NULL);
	puts("end");
}

static void figures(void)
{
	double worst, sum;

	stalls_sum(&worst, &sum);
	pthread_mutex_lock(&out);
	for (size_t i = 0; i < READERS; i++)
		printf("figures %s %llu %llu %u %.6f %.6f %s\n", readers[i].name,
		       (unsigned long long)readers[i].calls, (unsigned long long)readers[i].again,
		       readers[i].bad, readers[i].wall, readers[i].charged, readers[i].longest);
	printf("stalls %.6f %.6f\nend\n", worst, sum);
	pthread_mutex_unlock(&out);
}

static int read_residents(const char *path)
{
	FILE *f = fopen(path, "r");
	struct resident *r;

	if (!f)
		return -1;
	for (r = residents; n_residents < RESIDENTS_MAX &&
			    fscanf(f, "%63s %63s %64s", r->host, r->name, r->id) == 3;
	     r++, n_residents++)
		for (size_t i = 0; i < 32; i++)
			if (sscanf(r->id + 2 * i, "%2hhx", &r->bytes[i]) != 1)
				return -1;
	fclose(f);
	return n_residents ? 0 : -1;
}

int main(int argc, char **argv)
{
	char line[64];

	if (argc != 4 || read_residents(argv[3]) < 0) {
		fprintf(stderr, "usage: reader INSTANCE RUNTIME_DIR RESIDENTS\n");
		return 2;
	}
	options.instance = argv[1];
	options.runtime_dir = argv[2];
	stalls_watch();
	for (size_t i = 0; i < READERS; i++)
		start(&readers[i]);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "seen\n"))
			seen();
		else if (!strcmp(line, "figures\n"))
			figures();
		fflush(stdout);
	}
	stop = true;
	for (size_t i = 0; i < READERS; i++)
		end(&readers[i]);
	return 0;
}
