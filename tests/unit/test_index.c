/* test_index.c - the broker's indexes against the plain truth: whatever came, went
 * and changed, an answer is what asking each container with shm/match.h gives, in
 * the order of host and name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../broker/index.h"
#include "random_record.h"

enum { HOSTS = 5, PER_HOST = 60 };

/* What the index is told, kept aside. */
struct truth {
	bool there;
	struct dcm_ref ref;
	uint8_t id[32];
	char name[80];
	struct record_buf tier[DCM_TIERS];
};
static struct truth world[HOSTS][PER_HOST];
static const char *const host_ids[HOSTS] = {"host-0", "host-1", "host-2", "host-3", "host-4"};
static unsigned serial;

static uint32_t slot_of(unsigned host) /* slots are in another order than ids */
{
	return 1 + (host * 3 + 2) % HOSTS;
}

static void tell(struct index *ix, struct truth *t, enum dcm_tier tier)
{
	static struct random_record x;
	uint32_t doc = index_find(ix, t->ref);

	memset(&x, 0, sizeof(x));
	record_out_init(&x.r);
	if (tier == DCM_STATUS) {
		random_status(&x, serial++);
		snprintf(t->name, sizeof(t->name), "%s", x.r.name.s);
	} else if (tier == DCM_CONFIG) {
		random_config(&x);
	} else {
		random_compose(&x);
	}
	assert_int_equal(record_encode(&x.r, tier, &t->tier[tier]), 0);
	if (tier != DCM_STATUS && rnd(12) == 0)
		t->tier[tier].len = 0;
	index_tier(ix, doc, tier, t->tier[tier].len ? (uint8_t *)t->tier[tier].data : NULL,
		   (uint32_t)t->tier[tier].len);
}

static void appear(struct index *ix, unsigned h, unsigned e)
{
	struct truth *t = &world[h][e];
	uint32_t host = index_host(ix, slot_of(h), host_ids[h]);

	t->there = true;
	t->ref = (struct dcm_ref){slot_of(h), 1, e, t->ref.entry_generation + 2};
	random_id(t->id);
	index_identify(ix, index_put(ix, host, t->ref), t->id);
	tell(ix, t, DCM_STATUS);
	tell(ix, t, DCM_CONFIG);
	tell(ix, t, DCM_COMPOSE);
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct truth *const *)a)->name, (*(struct truth *const *)b)->name);
}

static bool matches(const struct match *m, const struct truth *t)
{
	int said = match_entry(m, t->id, 0, 0);

	for (enum dcm_tier k = 0; said < 0 && k < DCM_TIERS; k++)
		if (m->tiers & 1u << k && t->tier[k].len &&
		    match_tier(m, k, (const uint8_t *)t->tier[k].data, (uint32_t)t->tier[k].len))
			said = 1;
	return said > 0;
}

static struct truth *truth_of(struct dcm_ref r)
{
	for (unsigned h = 0; h < HOSTS; h++)
		if (slot_of(h) == r.host && world[h][r.entry].there)
			return &world[h][r.entry];
	return NULL;
}

static bool ask_wide(void *arg, const struct match *m, struct dcm_ref ref)
{
	(*(unsigned *)arg)++;
	return matches(m, truth_of(ref));
}

static unsigned wide_asked;

static void check(struct index *ix, const struct dcm_query *q)
{
	static struct match m;
	const char *why;
	uint32_t n = 0;

	if (match_init(&m, q, &why) != DCM_OK)
		return;
	assert_true(index_query(ix, &m, q->host, ask_wide, &wide_asked));
	for (unsigned h = 0; h < HOSTS; h++) {
		struct truth *want[PER_HOST];
		unsigned k = 0;

		for (unsigned e = 0; e < PER_HOST; e++)
			if (world[h][e].there && matches(&m, &world[h][e]) &&
			    (!q->host || strcmp(q->host, host_ids[h]) == 0))
				want[k++] = &world[h][e];
		qsort(want, k, sizeof(want[0]), by_name);
		for (unsigned i = 0; i < k; i++, n++) {
			assert_true(n < ix->answer_n);
			assert_memory_equal(&ix->answer[n], &want[i]->ref, sizeof(struct dcm_ref));
		}
	}
	assert_int_equal(n, ix->answer_n);
}

static void check_some(struct index *ix, unsigned times)
{
	static const enum dcm_query_kind kinds[] = {DCM_Q_PROJECT, DCM_Q_LABEL, DCM_Q_SEARCH,
						    DCM_Q_MOUNT, DCM_Q_NETWORK};
	struct random_query x;

	for (unsigned i = 0; i < times; i++) {
		random_query(&x, kinds[i % 5], HOSTS);
		if (x.q.host)
			index_host(ix, slot_of((unsigned)atoi(x.q.host + 5)), x.q.host);
		check(ix, &x.q);
	}
}

static void forget_world(void)
{
	for (unsigned h = 0; h < HOSTS; h++)
		for (unsigned e = 0; e < PER_HOST; e++) {
			for (int k = 0; k < DCM_TIERS; k++)
				record_buf_free(&world[h][e].tier[k]);
			world[h][e] = (struct truth){0};
		}
}

static void churn_agrees_with_the_truth(void **state)
{
	struct index *ix = index_new(42);

	wide_asked = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		unsigned h = rnd(HOSTS), e = rnd(PER_HOST);
		struct truth *t = &world[h][e];

		if (!t->there) {
			appear(ix, h, e);
		} else if (rnd(3) == 0) {
			index_remove(ix, index_find(ix, t->ref));
			t->there = false;
		} else {
			tell(ix, t, rnd(3) == 0 ? DCM_COMPOSE : rnd(2) ? DCM_CONFIG : DCM_STATUS);
		}
		if (round % 7 == 0)
			check_some(ix, 10);
	}
	check_some(ix, 2000);
	assert_int_equal(wide_asked, 0);
	/* when all have gone nothing is left of them */
	for (unsigned h = 0; h < HOSTS; h++)
		for (unsigned e = 0; e < PER_HOST; e++)
			if (world[h][e].there) {
				index_remove(ix, index_find(ix, world[h][e].ref));
				world[h][e].there = false;
			}
	check_some(ix, 20);
	assert_int_equal(ix->docs, 0);
	assert_int_equal(ix->terms.links, 0);
	assert_int_equal(ix->terms.used, 0);
	assert_int_equal(ix->text.dead, ix->text.len);
	index_free(&ix);
	forget_world();
}

static void another_generation_takes_the_place(void **state)
{
	struct index *ix = index_new(1);
	struct dcm_query q = {.kind = DCM_Q_SEARCH, .text = "_"};

	(void)state;
	appear(ix, 0, 3);
	appear(ix, 0, 3);
	check(ix, &q);
	assert_int_equal(ix->docs, 1);
	/* the slot is given to another host: nothing of the first is left */
	appear(ix, 1, 4);
	index_host(ix, slot_of(0), "other");
	world[0][3].there = false;
	check(ix, &q);
	q.host = "unheard";
	static struct match m;
	const char *why;
	assert_int_equal(match_init(&m, &q, &why), DCM_OK);
	assert_false(index_query(ix, &m, q.host, ask_wide, &wide_asked));
	index_free(&ix);
	forget_world();
}

static void too_much_is_asked_about(void **state)
{
	static struct random_record x;
	static struct dcm_pair labels[FACTS_MAX];
	static char keys[FACTS_MAX][16];
	struct index *ix = index_new(1);
	struct truth *t = &world[2][7];
	struct dcm_query q = {.kind = DCM_Q_LABEL, .text = "k4095"};
	unsigned before;

	(void)state;
	appear(ix, 2, 7);
	appear(ix, 2, 8);
	record_out_init(&x.r);
	for (int i = 0; i < FACTS_MAX; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%d", i);
		labels[i] = (struct dcm_pair){str_of(keys[i]), str_of("v")};
	}
	x.r.labels = (struct dcm_map){labels, FACTS_MAX, true};
	assert_int_equal(record_encode(&x.r, DCM_CONFIG, &t->tier[DCM_CONFIG]), 0);
	index_tier(ix, index_find(ix, t->ref), DCM_CONFIG, (uint8_t *)t->tier[DCM_CONFIG].data,
		   (uint32_t)t->tier[DCM_CONFIG].len);
	before = wide_asked;
	check(ix, &q);
	assert_int_equal(ix->answer_n, 1);
	assert_int_equal(wide_asked, before + 1);
	/* bytes that are no map are asked about, too, and do no harm */
	index_tier(ix, index_find(ix, t->ref), DCM_STATUS, (const uint8_t *)"\x81\xa4name", 6);
	t->tier[DCM_STATUS].len = 0;
	check(ix, &q);
	/* and small again: it is indexed again */
	tell(ix, t, DCM_STATUS);
	tell(ix, t, DCM_CONFIG);
	before = wide_asked;
	check_some(ix, 50);
	assert_int_equal(wide_asked, before);
	assert_int_equal(ix->n_wide, 0);
	index_free(&ix);
	forget_world();
}

static int backwards(const void *arg, uint32_t a, uint32_t b)
{
	(void)arg;
	return a > b ? -1 : a < b;
}

static uint32_t places[1000];

static void moved(void *arg, uint32_t doc, uint32_t place)
{
	(void)arg;
	places[doc] = place;
}

static void order_stays_sorted(void **state)
{
	struct order o = {0};
	bool in[1000] = {false};

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		for (unsigned k = rnd(40); k; k--) {
			uint32_t d = rnd(1000);

			if (in[d])
				order_remove(&o, places[d]);
			else
				places[d] = order_add(&o, d);
			in[d] = !in[d];
		}
		if (rnd(3))
			continue;
		assert_true(order_settle(&o, backwards, moved, NULL));
		for (uint32_t i = 0; i + 1 < o.n; i++)
			assert_true(o.v[i] > o.v[i + 1]);
		uint32_t n = 0;
		for (uint32_t d = 0; d < 1000; d++)
			if (in[d]) {
				n++;
				assert_int_equal(o.v[places[d]], d);
			}
		assert_int_equal(o.n, n);
	}
	order_free(&o);
}

static uint32_t hits[4096], n_hits;

static void hit(void *arg, uint32_t owner)
{
	(void)arg;
	hits[n_hits++] = owner;
}

static void no_move(void *arg, uint32_t owner, uint32_t i)
{
	((uint32_t *)arg)[owner] = i;
}

static void every_text_is_found(void **state)
{
	static char text[600][40];
	static uint32_t at[600];
	struct text_arena t = {0};
	bool gone[600] = {false};

	(void)state;
	for (uint32_t i = 0; i < 600; i++) {
		uint32_t n = rnd(39);

		for (uint32_t k = 0; k < n; k++)
			text[i][k] = "abc\x80-"[rnd(5)];
		text[i][n] = 0;
		at[i] = texts_add(&t, text[i], n, i);
	}
	for (unsigned round = 0; round < 2000; round++) {
		const char *from = text[rnd(600)];
		char needle[40];
		uint32_t k = 0, n, begin = rnd((uint32_t)strlen(from) + 1);

		snprintf(needle, sizeof(needle), "%.*s", (int)rnd(20), from + begin);
		if (rnd(4) == 0)
			memcpy(needle, "cab", 4);
		n = (uint32_t)strlen(needle);
		if (!n)
			continue;
		n_hits = 0;
		texts_search(&t, needle, n, hit, NULL);
		for (uint32_t i = 0; i < 600; i++)
			if (!gone[i] && strstr(text[i], needle)) {
				assert_true(k < n_hits);
				assert_int_equal(hits[k++], i);
			}
		assert_int_equal(k, n_hits);
		if (round % 4 == 0) {
			uint32_t i = rnd(600);

			if (!gone[i])
				texts_remove(&t, at[i]);
			gone[i] = true;
		}
		if (round % 100 == 0)
			texts_pack(&t, no_move, at);
	}
	texts_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_stays_sorted),
		cmocka_unit_test(every_text_is_found),
		cmocka_unit_test(another_generation_takes_the_place),
		cmocka_unit_test(too_much_is_asked_about),
		cmocka_unit_test(churn_agrees_with_the_truth),
	};

	return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
