/*
 * stores_region.c - the writer ends at each of its stores in turn.
 *
 *	stores_region [STRIDE]		every STRIDEth store; default 1, all of them
 *
 * Built with the writer under -DDCM_TEST_STORES, which numbers every store that
 * it makes to the memory.  A child runs a script of steps and ends at store N;
 * then, for N = 1, 2, 3 ... until the script runs through:
 *   - a reader that knows nothing of it sees, of each container, either what the
 *     script had before the step that was cut, or what it has after it;
 *   - the next writer takes the region over with nothing to repair (so nothing
 *     half done was ever led to), everything is found by id and name, no space
 *     is lost, and it writes on.
 * For some N the taking over is itself cut at each of its stores.
 */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "../../shm/region_impl.h"
#include "../../shm/region_read.h"
#include "hold_instance.h"

enum { CUT = 77, CONTAINERS = 140, NESTED_EVERY = 97 };

/* ---- the hook ------------------------------------------------------------------- */

static long stores_left = -1; /* -1: not counted */

void region_test_store(void);
void region_test_store(void)
{
	if (stores_left > 0 && --stores_left == 0)
		_exit(CUT);
}

static void fail(long n, const char *what, const char *why)
{
	printf("not ok 3 - store %ld: %s: %s\n", n, what, why);
	exit(1);
}

/* What the child tells the parent. */
struct shared {
	_Atomic int step;	     /* that was begun last */
	_Atomic uint32_t generation; /* that was shown last */
	_Atomic bool opened;
};
static struct shared *shared;

/* ---- the script: what there is after each step ------------------------------------ */

static char instance[32];

/* A container of the model; version 0: it is not there. */
struct state {
	int version; /* of its tiers */
	int name;    /* "n<name>" */
};
struct model {
	struct state c[CONTAINERS];
	int self;
};

static void id_of(int c, uint8_t id[32])
{
	XXH128_hash_t h = XXH3_128bits_withSeed(&c, sizeof(c), 5);

	memcpy(id, &h, 16);
	memcpy(id + 16, &h, 16);
}

/* Few have all tiers: each store costs a run of the script. */
static int tiers_of(int c)
{
	return c < 20 ? DCM_TIERS : 1;
}

static uint32_t text_of(char *buf, size_t len, int c, int version, int tier)
{
	return (uint32_t)snprintf(buf, len, "container %d version %d tier %d ................", c,
				  version, tier);
}

/* The whole script, as the model sees it.  Each step changes the model, and the
 * region is brought to it by apply(). */
enum { STEPS = 17 };
static void step(struct model *m, int n)
{
	switch (n) {
	case 1:
		m->c[0] = (struct state){1, 0};
		break;
	case 2:
		m->c[1] = (struct state){1, 1};
		break;
	case 3:
		m->c[0].version = 2;
		break;
	case 4:
		m->c[0].name = 7;
		break; /* rename */
	case 5:
		m->c[2] = (struct state){1, 1};
		break; /* takes the name of 1 */
	case 6:
		m->c[2].version = 0;
		break; /* which gets it back */
	case 7:
		m->self = 1;
		break;
	case 8:
		for (int i = 3; i < 70; i++)
			m->c[i] = (struct state){1, i + 100};
		break; /* a second chunk */
	case 9:
		for (int i = 70; i < CONTAINERS; i++)
			m->c[i] = (struct state){1, i + 100};
		break; /* tables */
	case 10:
		for (int i = 10; i < 30; i++)
			m->c[i].version = 0;
		break;
	case 11:
		m->c[5].name = m->c[6].name;
		break; /* two of one name */
	case 12:
		m->c[6].name = 999;
		break;
	case 13:
		for (int i = 10; i < 20; i++)
			m->c[i] = (struct state){3, i + 300};
		break; /* entries again */
	case 14:
		break; /* renewal, see apply() */
	case 15:
		for (int i = 40; i < CONTAINERS; i++)
			m->c[i].version = 0;
		break;
	case 16:
		break; /* renewal again: entries are left off */
	case 17:
		memset(m->c, 0, sizeof(m->c));
		break; /* forget */
	}
}

static int bring(struct region *r, int c, const struct state *from, const struct state *to)
{
	char name[32], text[DCM_TIERS][96];
	struct region_tier t[DCM_TIERS];
	struct region_brief brief = {2, 1, to->version, to->version};
	struct dcm_str n = {name, (uint32_t)snprintf(name, sizeof(name), "n%d", to->name)};
	uint8_t id[32];

	id_of(c, id);
	if (to->version == 0)
		return from->version ? region_remove(r, id) : 0;
	if (memcmp(from, to, sizeof(*from)) == 0)
		return 0;
	for (int i = 0; i < tiers_of(c); i++)
		t[i] = (struct region_tier){(enum dcm_tier)i, text[i],
					    text_of(text[i], sizeof(text[i]), c, to->version, i),
					    1.7e9};
	return region_put(r, id, &n, &brief, t, (size_t)tiers_of(c));
}

static int apply(struct region *r, const struct model *from, const struct model *to, int n)
{
	char text[96];
	struct region_tier t = {DCM_STATUS, text, text_of(text, sizeof(text), -1, to->self, 1),
				NAN};
	int rc = 0;

	if (n == STEPS)
		rc = region_clear(r);
	else if (n == 14 || n == 16)
		rc = region_renew(r);
	else if (from->self != to->self)
		rc = region_put_self(r, &t, 1);
	else
		for (int c = 0; c < CONTAINERS && rc == 0; c++)
			rc = bring(r, c, &from->c[c], &to->c[c]);
	region_publish(r);
	if (n == 14 || n == 16) {
		shared->generation = region_generation(r);
		region_unlink_old(r);
	}
	region_beat(r);
	return rc;
}

static struct region_spec spec(void)
{
	return (struct region_spec){REGION_SHARD, getuid(), getgid(), instance, "stores", 0};
}

/* ---- what a reader sees ------------------------------------------------------------- */

static bool tier_is(const struct region_map *m, const struct dcm_entry *e, uint32_t entry,
		    uint32_t gen, int c, int version, int tier)
{
	char want[96], have[96];
	uint32_t len, n = text_of(want, sizeof(want), c, version, tier);
	uint64_t written;

	return region_blob_copy(m, &e->ref[tier], entry, gen, (uint32_t)tier, have, sizeof(have),
				&len, &written) == DCM_OK &&
	       len == n && memcmp(have, want, n) == 0;
}

/* Every tier is of one of the two states: a step changes tiers one by one. */
static bool seen_as(const struct region_map *m, int c, const struct state *a, const struct state *b)
{
	const struct dcm_entry *e;
	uint32_t entry, gen;
	uint8_t id[32];
	int rc;

	id_of(c, id);
	rc = region_find_id(m, id, &entry, &gen);
	if (rc == DCM_ENOTFOUND)
		return a->version == 0 || b->version == 0;
	if (rc != DCM_OK || (e = region_entry(m, entry)) == NULL)
		return false;
	for (int t = 0; t < tiers_of(c); t++)
		if (!(a->version && tier_is(m, e, entry, gen, c, a->version, t)) &&
		    !(b->version && tier_is(m, e, entry, gen, c, b->version, t)))
			return false;
	return region_entry_ok(e, gen);
}

/* Whether another container has, before or after the step, what c is called. */
static bool name_shared(int c, int name, const struct model *a, const struct model *b)
{
	for (int i = 0; i < CONTAINERS; i++)
		if (i != c && ((a->c[i].version && a->c[i].name == name) ||
			       (b->c[i].version && b->c[i].name == name)))
			return true;
	return false;
}

static int find_name(const struct region_map *m, int name, uint32_t *entry)
{
	char text[32];
	uint32_t gen;

	return region_find_name(m, text, (size_t)snprintf(text, sizeof(text), "n%d", name), entry,
				&gen);
}

/* A container that is there before and after is found by its name, in a rename
 * by the old or the new one.  Any name leads somewhere or nowhere at once. */
static bool name_leads(const struct region_map *m, int c, const struct model *a,
		       const struct model *b)
{
	uint32_t by_id, old = UINT32_MAX, new = UINT32_MAX, gen;
	int rc_old = find_name(m, a->c[c].name, &old), rc_new = find_name(m, b->c[c].name, &new);
	uint8_t id[32];

	if (rc_old == DCM_EBUSY || rc_new == DCM_EBUSY)
		return false;
	if (!a->c[c].version || !b->c[c].version || name_shared(c, a->c[c].name, a, b) ||
	    name_shared(c, b->c[c].name, a, b))
		return true;
	id_of(c, id);
	return region_find_id(m, id, &by_id, &gen) == DCM_OK && (by_id == old || by_id == new);
}

static void check_reader(long n, uint32_t generation, const struct model *a, const struct model *b)
{
	char object[DCM_OBJECT_NAME_MAX], err[256], what[64];
	struct region_map m;

	names_shard(object, getuid(), instance, "stores", generation);
	if (region_map_open(&m, object, getuid(), err, sizeof(err)) != DCM_OK)
		fail(n, "a reader", err);
	for (int c = 0; c < CONTAINERS; c++) {
		snprintf(what, sizeof(what), "container %d of generation %u", c, generation);
		if (!seen_as(&m, c, &a->c[c], &b->c[c]))
			fail(n, what, "neither the old state nor the new one");
		if (!name_leads(&m, c, a, b))
			fail(n, what, "not found by its name");
	}
	region_map_close(&m);
}

/* ---- what the next writer finds -------------------------------------------------------- */

static struct region *take_over(long n, bool opened)
{
	struct region_spec s = spec();
	struct region *r;
	bool reattached;
	char err[256];

	if (region_open(&r, &s, &reattached, err, sizeof(err)) < 0)
		fail(n, "taking over", err);
	if (opened && !reattached)
		fail(n, "taking over", err);
	return r;
}

static void check_writer(long n, struct region *r, const struct model *a, const struct model *b)
{
	struct region_usage u;
	struct model none = {0}, done = *b;
	int rc = 0;

	region_usage(r, &u);
	if (u.repaired)
		fail(n, "taking over", "there was something to repair");
	check_reader(n, region_generation(r), a, b);
	/* On from here to the state after the step, then to nothing. */
	for (int c = 0; c < CONTAINERS && rc == 0; c++) {
		struct region_item item;
		uint8_t id[32];

		id_of(c, id);
		rc = bring(r, c, region_get(r, id, &item) ? &(struct state){-1, -1} : &none.c[c],
			   &done.c[c]);
	}
	if (rc < 0)
		fail(n, "writing on", region_error(r));
	region_publish(r);
	check_reader(n, region_generation(r), b, b);
	region_clear(r);
	region_usage(r, &u);
	if (u.entries != 0 || ld(&r->h->live) != 0)
		fail(n, "writing on", "entries are left");
	while (r->space.waiting) { /* all that was in use comes back */
		r->space.ring[r->space.head].since = 0;
		space_reclaim(r);
	}
	for (int t = 0; t < DCM_TIER_SLOTS; t++)
		blob_retire(r, ld(&entry_of(r, DCM_SELF)->ref[t]));
	region_usage(r, &u);
	for (unsigned k = 0; k < DCM_CHUNKS && ld(&r->h->chunk[k]); k++)
		u.live -= dcm_chunk_entries(k) * DCM_ENTRY_SIZE;
	u.live -= 8ull << DCM_TABLE_LOG2(ld(&r->h->table_id));
	u.live -= 8ull << DCM_TABLE_LOG2(ld(&r->h->table_name));
	if (u.live != DCM_PAGE + DCM_CHANGES * 8)
		fail(n, "writing on", "space was lost");
}

/* ---- one cut ------------------------------------------------------------------------------ */

/* In the child: the whole script, to be cut at store n. */
static void run_script(long n)
{
	struct model from = {0}, to = {0};
	struct region *r;

	stores_left = n;
	r = take_over(n, false);
	shared->opened = true;
	shared->generation = region_generation(r);
	for (int i = 1; i <= STEPS; i++) {
		shared->step = i;
		step(&to, i);
		if (apply(r, &from, &to, i) < 0)
			fail(n, "the script", region_error(r));
		shared->generation = region_generation(r);
		from = to;
	}
	_exit(0);
}

static void remove_objects(void)
{
	char object[DCM_OBJECT_NAME_MAX];

	for (uint32_t g = 1; g < 64; g++) {
		names_shard(object, getuid(), instance, "stores", g);
		shm_unlink(object);
	}
}

static int child(void (*fn)(long), long n)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		fn(n);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		fail(n, "the child", "did not end by itself");
	return WEXITSTATUS(status);
}

static void take_over_and_close(long n)
{
	struct region *r;

	stores_left = n;
	r = take_over(n, true);
	region_close(&r, false);
	_exit(0);
}

/* false: the script ran through. */
static bool cut_at(long n, long *nested)
{
	struct model before = {0}, after = {0};
	struct region *r;
	int rc;

	remove_objects();
	memset(shared, 0, sizeof(*shared));
	rc = child(run_script, n);
	if (rc != CUT && rc != 0)
		exit(1);
	for (int i = 1; i <= shared->step; i++) {
		before = after;
		step(&after, i);
	}
	if (shared->opened)
		check_reader(n, shared->generation, &before, &after);
	if (rc == CUT && shared->opened && n % NESTED_EVERY == 0) {
		for (long m = 1; child(take_over_and_close, m) == CUT; m++) {
			r = take_over(n, true);
			check_reader(n, region_generation(r), &before, &after);
			region_close(&r, false);
			++*nested;
		}
	}
	r = take_over(n, shared->opened);
	check_writer(n, r, &before, &after);
	region_close(&r, true);
	return rc == CUT;
}

int main(int argc, char **argv)
{
	long stride = argc > 1 ? atol(argv[1]) : 1, n, nested = 0;

	snprintf(instance, sizeof(instance), "stores.%d", (int)getpid());
	hold_instance(instance);
	shared =
	    mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || stride < 1)
		return 3;
	for (n = 1; cut_at(n, &nested); n += stride)
		;
	remove_objects();
	release_instance(instance);
	printf("ok 3 - the writer ended at %ld of its %ld stores in turn, and at %ld while taking "
	       "over\n",
	       (n - 1) / stride, n - 1, nested);
	return 0;
}
