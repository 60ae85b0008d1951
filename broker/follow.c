/* follow.c - see follow.h. */
#include "follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "reader.h"

enum {
	TODO_GONE = 1,	      /* beside FACTS_TIERS' bits, which start at 2 */
	LISTS_MAX = 1 << 16,  /* hosts that wait to be listed */
	ANSWER_US = 10000,    /* what a query may spend on catching up */
	BETWEEN_CLOCKS = 16,  /* docs or changes between two looks at the clock */
	LOST_US = 1000000,    /* until what went wrong is tried again */
	BROKEN_US = 60000000, /* until indexes that ran out of memory are made anew */
};

struct follow {
	dcm *d;
	struct index *ix;
	struct {
		char (*v)[64];
		uint32_t n, room;
	} list; /* hosts to list, last first */
	struct {
		uint32_t *v;
		uint32_t head, n, room; /* a ring; room is a power of two */
	} todo; /* docs whose index_doc.todo is not 0 */
	struct dcm_refs refs;
	struct reader reader;
	struct match match;
	bool hosts_changed;
	bool changed;	/* what a query saw when it caught up: owed to follow_step() */
	bool lost;	/* something was missed: list all again, at retry_at */
	uint64_t retry_at;
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- what is to be done --------------------------------------------------- */

static void lose(struct follow *f, uint64_t wait_us)
{
	f->lost = true;
	f->retry_at = now_us() + wait_us;
}

static void want_list(struct follow *f, const char *host)
{
	for (uint32_t i = 0; i < f->list.n; i++)
		if (strcmp(f->list.v[i], host) == 0)
			return;
	if (f->list.n == f->list.room) {
		uint32_t room = f->list.room * 2 + 64;
		void *v =
		    room <= LISTS_MAX ? realloc(f->list.v, room * sizeof(f->list.v[0])) : NULL;

		if (!v) {
			lose(f, LOST_US);
			return;
		}
		f->list.v = v;
		f->list.room = room;
	}
	snprintf(f->list.v[f->list.n++], sizeof(f->list.v[0]), "%s", host);
}

static bool copy_id(char id[64], struct dcm_str s)
{
	if (!s.s || s.len >= 64)
		return false;
	memcpy(id, s.s, s.len);
	id[s.len] = 0;
	return true;
}

static void want_all(struct follow *f)
{
	struct dcm_hosts hosts = {0};
	char id[64];

	f->lost = false;
	if (dcm_hosts_read(f->d, &hosts) != DCM_OK)
		lose(f, LOST_US);
	for (size_t i = 0; i < hosts.n; i++)
		if (copy_id(id, hosts.v[i].id))
			want_list(f, id);
	for (uint32_t i = 0; i < f->ix->hosts; i++)
		want_list(f, f->ix->host[i]->id);
	dcm_hosts_free(&hosts);
}

static void want_doc(struct follow *f, uint32_t doc, uint8_t what)
{
	uint8_t *todo;

	if (doc == INDEX_NONE) {
		lose(f, LOST_US);
		return;
	}
	todo = &f->ix->doc[doc].todo;
	if (*todo) {
		*todo = (what & TODO_GONE ? *todo : *todo & ~TODO_GONE) | what;
		return;
	}
	if (f->todo.n == f->todo.room) {
		uint32_t room = f->todo.room ? f->todo.room * 2 : 1024;
		uint32_t *v = malloc(room * sizeof(*v));

		if (!v) {
			lose(f, LOST_US);
			return;
		}
		for (uint32_t i = 0; i < f->todo.n; i++)
			v[i] = f->todo.v[(f->todo.head + i) & (f->todo.room - 1)];
		free(f->todo.v);
		f->todo.v = v;
		f->todo.head = 0;
		f->todo.room = room;
	}
	f->todo.v[(f->todo.head + f->todo.n++) & (f->todo.room - 1)] = doc;
	*todo = what;
}

/* ---- one container -------------------------------------------------------- */

/* Reads the tiers in `what`.  DCM_OK, or why not all of them could be read. */
static int read_doc(struct follow *f, uint32_t doc, uint8_t *what)
{
	struct index *ix = f->ix;
	struct dcm_ref ref = ix->ref[doc];
	const uint8_t *data;
	uint8_t id[32];
	uint32_t len;
	int rc;

	for (enum dcm_tier t = 0; t < DCM_TIERS; t++) {
		if (!(*what & FACTS_TIERS & 1 << t))
			continue;
		rc = reader_tier(&f->reader, ref, t, &data, &len);
		if (rc != DCM_OK && rc != DCM_ENOTFOUND)
			return rc;
		index_tier(ix, doc, t, data, len);
		*what &= (uint8_t) ~(1 << t);
		if (t == DCM_CONFIG && data && !ix->doc[doc].identified && facts_id(data, len, id))
			index_identify(ix, doc, id);
	}
	if (ix->doc[doc].identified)
		return DCM_OK;
	rc = reader_id(&f->reader, ref, id);
	if (rc == DCM_OK)
		index_identify(ix, doc, id);
	return rc;
}

static void do_doc(struct follow *f)
{
	uint32_t doc = f->todo.v[f->todo.head];
	struct index *ix = f->ix;
	uint32_t host = ix->where[doc].host;
	uint8_t what = ix->doc[doc].todo;
	int rc;

	f->todo.head = (f->todo.head + 1) & (f->todo.room - 1);
	f->todo.n--;
	if (!what) /* removed since */
		return;
	ix->doc[doc].todo = 0;
	if (what & TODO_GONE) {
		index_remove(ix, doc);
		return;
	}
	rc = read_doc(f, doc, &what);
	if (rc == DCM_EBUSY)
		want_doc(f, doc, what | 1 << DCM_STATUS);
	else if (rc == DCM_ENOMEM)
		lose(f, LOST_US);
	else if (rc != DCM_OK)
		index_remove(ix, doc); /* gone, or of no use; what replaces it is announced */
	if (ix->host[host]->order.n - ix->host[host]->order.sorted >= ORDER_TAIL_MAX)
		index_settle(ix, host);
}

/* ---- one host ------------------------------------------------------------- */

static struct index_host *host_by_id(struct follow *f, const char *id)
{
	for (uint32_t i = 0; i < f->ix->hosts; i++)
		if (strcmp(f->ix->host[i]->id, id) == 0)
			return f->ix->host[i];
	return NULL;
}

/* Who was not in the list is gone. */
static void sweep(struct follow *f, const struct index_host *h)
{
	for (uint32_t e = 0; e < h->entries; e++)
		if (h->by_entry[e] && f->ix->doc[h->by_entry[e] - 1].epoch != h->epoch)
			want_doc(f, h->by_entry[e] - 1, TODO_GONE);
}

static void do_list(struct follow *f)
{
	char id[64];
	struct dcm_query q = {.kind = DCM_Q_ALL, .host = id};
	struct index_host *h;
	uint32_t host;
	int rc;

	memcpy(id, f->list.v[--f->list.n], sizeof(id));
	rc = dcm_query(f->d, &q, &f->refs);
	if (rc != DCM_OK)
		f->refs.n = 0;
	if (rc != DCM_OK && rc != DCM_ENOTFOUND)
		lose(f, LOST_US);
	if (f->refs.n) {
		host = index_host(f->ix, f->refs.v[0].host, id);
		h = host == INDEX_NONE ? NULL : f->ix->host[host];
	} else {
		h = host_by_id(f, id);
	}
	if (!h)
		return;
	h->gone = rc == DCM_ENOTFOUND;
	h->epoch++;
	for (size_t i = 0; i < f->refs.n; i++) {
		uint32_t doc = index_put(f->ix, f->ix->by_slot[h->slot] - 1, f->refs.v[i]);

		if (doc != INDEX_NONE)
			f->ix->doc[doc].epoch = h->epoch;
		want_doc(f, doc, FACTS_TIERS);
	}
	sweep(f, h);
}

void follow_hosts(struct follow *f)
{
	struct dcm_hosts hosts = {0};
	char id[64];

	if (!f->hosts_changed || dcm_hosts_read(f->d, &hosts) != DCM_OK)
		return;
	f->hosts_changed = false;
	for (uint32_t i = 0; i < f->ix->hosts; i++) {
		struct index_host *h = f->ix->host[i];
		bool here = false;

		for (size_t k = 0; k < hosts.n && !here; k++)
			here = copy_id(id, hosts.v[k].id) && strcmp(id, h->id) == 0;
		if (!here && !h->gone)
			want_list(f, h->id);
	}
	dcm_hosts_free(&hosts);
}

/* ---- changes -------------------------------------------------------------- */

/* The number of the host that a change is about, or INDEX_NONE. */
static uint32_t host_of(struct follow *f, const struct dcm_change *c)
{
	char id[64];
	uint32_t known = f->ix->hosts, host;

	if (!copy_id(id, c->host_id))
		return INDEX_NONE;
	host = index_host(f->ix, c->ref.host, id);
	if (host == INDEX_NONE)
		lose(f, LOST_US);
	else if (host == known)
		want_list(f, id);
	return host;
}

static void take_container(struct follow *f, const struct dcm_change *c)
{
	uint32_t host = host_of(f, c), doc = index_find(f->ix, c->ref), before = doc;

	if (host == INDEX_NONE)
		return;
	if (c->kind == DCM_REMOVED) {
		if (doc != INDEX_NONE &&
		    f->ix->ref[doc].entry_generation == c->ref.entry_generation &&
		    f->ix->ref[doc].shard_generation == c->ref.shard_generation)
			index_remove(f->ix, doc);
		return;
	}
	doc = index_put(f->ix, host, c->ref);
	if (doc != INDEX_NONE)
		f->ix->doc[doc].epoch = f->ix->host[host]->epoch;
	if (c->kind == DCM_APPEARED || doc != before || doc == INDEX_NONE)
		want_doc(f, doc, FACTS_TIERS);
	else
		want_doc(f, doc, (uint8_t)(c->tiers & FACTS_TIERS));
}

static void take_change(struct follow *f, const struct dcm_change *c)
{
	char id[64];

	switch (c->kind) {
	case DCM_UPDATED:
		/* Measurements are no business of the indexes. */
		if (c->tiers & FACTS_TIERS)
			take_container(f, c);
		break;
	case DCM_APPEARED:
	case DCM_REMOVED:
		take_container(f, c);
		break;
	case DCM_HOST:
		f->hosts_changed = true;
		break;
	case DCM_RESYNC:
		if (c->ref.host != UINT32_MAX && copy_id(id, c->host_id))
			want_list(f, id);
		else
			want_all(f);
		break;
	}
}

/* true: there may be more. */
static bool take_changes(struct follow *f, uint64_t until, bool *changed)
{
	struct dcm_change c;

	for (unsigned i = 1; dcm_changes_next(f->d, &c, 0) == DCM_OK; i++) {
		*changed = true;
		take_change(f, &c);
		if (i % BETWEEN_CLOCKS == 0 && now_us() >= until)
			return true;
	}
	return false;
}

static bool behind(const struct follow *f)
{
	return f->list.n || f->todo.n || f->lost;
}

/* Indexes that ran out of memory are of no use: give it back, and wait. */
static void start_anew(struct follow *f)
{
	struct index *ix = index_new(f->ix->terms.seed);

	lose(f, BROKEN_US);
	if (!ix)
		return;
	index_free(&f->ix);
	f->ix = ix;
	f->list.n = f->todo.n = 0;
}

/* true: there is more to do. */
static bool catch_up(struct follow *f, unsigned budget_us)
{
	uint64_t until = now_us() + budget_us;

	if (take_changes(f, until, &f->changed))
		return true;
	if (f->lost && now_us() >= f->retry_at)
		want_all(f);
	while ((f->list.n || f->todo.n) && !f->ix->broken) {
		for (int i = 0; i < BETWEEN_CLOCKS && f->todo.n; i++)
			do_doc(f);
		if (!f->todo.n && f->list.n)
			do_list(f);
		if (now_us() >= until)
			break;
	}
	if (f->ix->broken)
		start_anew(f);
	return f->list.n || f->todo.n;
}

bool follow_step(struct follow *f, unsigned budget_us, bool *changed)
{
	bool more = catch_up(f, budget_us);

	*changed = f->changed;
	f->changed = false;
	return more;
}

/* ---- answering ------------------------------------------------------------ */

/* A container that the index cannot hold: its tiers are asked, as a scan does. */
static bool ask_wide(void *arg, const struct match *m, struct dcm_ref ref)
{
	struct follow *f = arg;
	const uint8_t *data;
	uint32_t len;

	for (enum dcm_tier t = 0; t < DCM_TIERS; t++)
		if (m->tiers & 1u << t && reader_tier(&f->reader, ref, t, &data, &len) == DCM_OK &&
		    match_tier(m, t, data, len))
			return true;
	return false;
}

static bool indexed(enum dcm_query_kind kind)
{
	return kind == DCM_Q_PROJECT || kind == DCM_Q_LABEL || kind == DCM_Q_SEARCH ||
	       kind == DCM_Q_MOUNT || kind == DCM_Q_NETWORK;
}

int follow_query(struct follow *f, const struct dcm_query *q, const struct dcm_ref **refs,
		 uint32_t *n, const char **error)
{
	int rc;

	if (indexed(q->kind)) {
		rc = match_init(&f->match, q, error);
		if (rc != DCM_OK)
			return rc;
		*error = "the indexes are behind the memory at the moment: scan it";
		if (catch_up(f, ANSWER_US) || behind(f))
			return DCM_EBROKER;
		if (index_query(f->ix, &f->match, q->host, ask_wide, f)) {
			*refs = f->ix->answer;
			*n = f->ix->answer_n;
			return DCM_OK;
		}
	}
	/* What lies in the entries is quickest found there. */
	rc = dcm_query(f->d, q, &f->refs);
	*error = dcm_error(f->d);
	*refs = f->refs.v;
	*n = (uint32_t)f->refs.n;
	return rc;
}

/* ---- opening -------------------------------------------------------------- */

int follow_open(struct follow **out, const char *instance, const char *runtime_dir, char *err,
		size_t errlen)
{
	struct dcm_options opt = {.size = sizeof(opt), .instance = instance,
				  .runtime_dir = runtime_dir, .flags = DCM_NO_BROKER};
	struct follow *f = calloc(1, sizeof(*f));
	uint64_t seed = 0;
	int rc;

	*out = NULL;
	if (!f)
		return DCM_ENOMEM;
	rc = dcm_open(&f->d, &opt, err, errlen);
	if (rc == DCM_OK && getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		rc = DCM_ESYSTEM;
	if (rc == DCM_OK) {
		f->ix = index_new(seed);
		rc = f->ix ? DCM_OK : DCM_ENOMEM;
	}
	reader_init(&f->reader, f->d);
	if (rc != DCM_OK) {
		follow_close(&f);
		return rc;
	}
	/* Changes count from here on; what was before is listed. */
	lose(f, 0);
	*out = f;
	return DCM_OK;
}

void follow_close(struct follow **p)
{
	struct follow *f = *p;

	*p = NULL;
	if (!f)
		return;
	index_free(&f->ix);
	dcm_refs_free(&f->refs);
	reader_free(&f->reader);
	dcm_close(&f->d);
	free(f->list.v);
	free(f->todo.v);
	free(f);
}

dcm *follow_handle(struct follow *f)
{
	return f->d;
}

const struct index *follow_index(const struct follow *f)
{
	return f->ix;
}
