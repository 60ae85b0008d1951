/*
 * test_region_damage.c - damage in a region: the next writer takes out what is wrong,
 * or makes it anew; and readers live through every byte that may stand there.
 */
#include <fcntl.h>
#include <xxhash.h>

#include "../../shm/region_impl.h"
#include "region_help.h"

/* Each of these is damage to one thing of container 5, or to a table. */
static void damage(struct region *r, int how)
{
	uint64_t id[4];
	struct dcm_entry *e, *other;
	struct dcm_blob *b;

	memcpy(id, id_of(5), sizeof(id));
	e = entry_of(r, table_find_id(r, id));
	memcpy(id, id_of(6), sizeof(id));
	other = entry_of(r, table_find_id(r, id));
	b = blob_of(r, ld(&e->ref[DCM_CONFIG]));
	switch (how) {
	case 0:
		e->ref[DCM_CONFIG] ^= 1ull << 63;
		break; /* far outside */
	case 1:
		e->ref[DCM_CONFIG] = DCM_REF(DCM_PAGE, 1, 1);
		break; /* into the ring */
	case 2:
		e->ref[DCM_CONFIG] ^= 1;
		break; /* another sequence */
	case 3:
		e->ref[DCM_CONFIG] = other->ref[DCM_CONFIG];
		break; /* another's blob */
	case 4:
		e->ref[DCM_CONFIG] = e->ref[DCM_STATS];
		break; /* another tier */
	case 5:
		((uint8_t *)b)[DCM_BLOB_HEADER + 3] ^= 1;
		break; /* the payload */
	case 6:
		b->length += 8;
		break;
	case 7:
		b->length = UINT32_MAX;
		break;
	case 8:
		b->generation += 2;
		break;
	case 9:
		b->seq = 0;
		break;
	case 10:
		b->seq += 1ull << 32;
		break; /* above the header's */
	case 11:
		e->ref[DCM_CONFIG] = DCM_REF(ld(&r->h->data_limit) - 64, 1, 5);
		break;
	}
}
enum { DAMAGES = 12 };

static void test_bad_references_are_taken_out(void **state)
{
	struct world *w = *state;
	struct region_map m;

	for (int how = 0; how < DAMAGES; how++) {
		fill(w, 50);
		damage(w->r, how);
		map_open(w, &m);
		read_text(&m, 5, DCM_CONFIG); /* a reader gets past it, too */
		region_map_close(&m);
		world_reopen(w);
		if (!w->reattached || repaired(w) != 1)
			fail_msg("damage %d: %d, %d repaired: %s", how, w->reattached,
				 (int)repaired(w), w->err);
		map_open(w, &m);
		assert_string_equal(read_text(&m, 5, DCM_CONFIG), "none");
		assert_string_equal(read_text(&m, 5, DCM_STATS), "stats");
		assert_true(region_verified(&m, region_entry(&m, entry_of_id(&m, 5)), DCM_CONFIG) ==
			    0);
		region_map_close(&m);
	}
	fill(w, 50);
	check_all(w, 50);
}

static void test_bad_name(void **state)
{
	struct world *w = *state;
	struct region_map m;
	uint64_t id[4];

	fill(w, 20);
	memcpy(id, id_of(5), sizeof(id));
	entry_of(w->r, table_find_id(w->r, id))->name ^= 2;
	world_reopen(w);
	map_open(w, &m);
	assert_int_equal(repaired(w), 1);
	assert_int_equal(entry_of_name(&m, "name-5"), 0);
	assert_string_equal(read_text(&m, 5, DCM_STATS), "stats");
	region_map_close(&m);
	fill(w, 20);
	check_all(w, 20);
}

static void test_bad_tables_are_rebuilt(void **state)
{
	struct world *w = *state;

	for (int how = 0; how < 6; how++) {
		_Atomic uint64_t *slot = how & 1 ? &w->r->h->table_id : &w->r->h->table_name;
		_Atomic uint64_t *v;

		fill(w, 60);
		v = (_Atomic uint64_t *)(w->r->base + DCM_TABLE_OFFSET(*slot));
		switch (how / 2) {
		case 0:
			*slot = 0xffffffffffffffffull;
			break;
		case 1:
			memset((void *)v, 0, 8ull << DCM_TABLE_LOG2(*slot));
			break;
		case 2:
			for (size_t i = 0; i < 1ull << DCM_TABLE_LOG2(*slot); i++)
				v[i] = v[i] ? v[i] : 0x1234567800000000ull + 5000;
			break;
		}
		world_reopen(w);
		assert_true(w->reattached);
		check_all(w, 60);
	}
}

static void test_one_id_twice(void **state)
{
	struct world *w = *state;
	struct dcm_entry *a, *b;
	uint64_t id[4];
	uint32_t one, two;

	fill(w, 20);
	memcpy(id, id_of(5), sizeof(id));
	one = table_find_id(w->r, id);
	a = entry_of(w->r, one);
	memcpy(id, id_of(6), sizeof(id));
	two = table_find_id(w->r, id);
	b = entry_of(w->r, two);
	for (int i = 0; i < 4; i++)
		b->id[i] = ld(&a->id[i]);
	world_reopen(w);
	assert_true(w->reattached);
	assert_true(repaired(w) >= 1);
	assert_int_equal(w->r->h->live, 19);
	fill(w, 20);
	check_all(w, 20);
}

static void test_damaged_header_is_made_anew(void **state)
{
	struct world *w = *state;

	for (int how = 0; how < 14; how++) {
		char before[DCM_OBJECT_NAME_MAX];
		uint32_t generation = region_generation(w->r);
		struct dcm_header *h = w->r->h;

		fill(w, 10);
		switch (how) {
		case 0:
			h->magic = 0;
			break;
		case 1:
			h->canary = 1;
			break;
		case 2:
			h->abi_major++;
			break;
		case 3:
			h->layout_hash++;
			break;
		case 4:
			h->boot_id[0] ^= 1;
			break;
		case 5:
			h->host[0] ^= 1;
			break;
		case 6:
			h->generation++;
			break;
		case 7:
			h->data_limit += 1ull << 33;
			break;
		case 8:
			h->data_limit = 100;
			break;
		case 9:
			h->chunk[0] = 3 * DCM_MAP_SPAN;
			break;
		case 10:
			h->entries = 1u << 30;
			break;
		case 11:
			h->kind = REGION_DIRECTORY;
			break;
		case 12:
			h->state = DCM_REGION_RETIRED;
			break;
		case 13:
			h->generation_base = 2;
			break;
		}
		memcpy(before, w->object, sizeof(before));
		world_reopen(w);
		if (w->reattached)
			fail_msg("damage %d was taken over", how);
		assert_int_equal(region_generation(w->r), generation + 1);
		assert_true(strlen(w->err) > 0);
		assert_int_equal(shm_open(before, O_RDONLY, 0), -1);
	}
}

/* ---- any bytes ---------------------------------------------------------------------- */

static uint64_t rnd = 0x1234567;

static uint64_t next_random(void)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return rnd;
}

/* A value of the kind that breaks things. */
static uint64_t nasty(const struct region *r)
{
	switch (next_random() % 8) {
	case 0:
		return next_random();
	case 1:
		return UINT64_MAX;
	case 2:
		return (ld(&r->h->data_limit) / 64) << 32;
	case 3:
		return ((ld(&r->h->data_limit) / 64 - 1) << 32) | 1;
	case 4:
		return next_random() % 4096;
	case 5:
		return DCM_MAP_SPAN - 64;
	case 6:
		return 1ull << (next_random() % 64);
	default:
		return 0;
	}
}

static void mutate(struct region *r, int words)
{
	static const size_t hot[] = {
	    offsetof(struct dcm_header, data_limit), offsetof(struct dcm_header, incarnation),
	    offsetof(struct dcm_header, table_id),   offsetof(struct dcm_header, table_name),
	    offsetof(struct dcm_header, sequence),   offsetof(struct dcm_header, change_head),
	    offsetof(struct dcm_header, chunk),	     offsetof(struct dcm_header, chunk) + 8,
	};

	for (int i = 0; i < words; i++) {
		size_t at = next_random() % 3
				? next_random() % (size_t)r->space.top * 64 + next_random() % 8 * 8
				: hot[next_random() % (sizeof(hot) / sizeof(hot[0]))];

		if (at < 256 && next_random() % 8)
			continue; /* else it is mostly the identity that is wrong */
		memcpy(r->base + at, &(uint64_t){nasty(r)}, 8);
	}
}

static void read_everything(const struct region_map *m)
{
	uint32_t n = region_entries(m);
	uint64_t cursor = region_change_head(m) - 1000;
	struct region_change c;
	char name[32];

	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		read_text(m, i, DCM_CONFIG);
		entry_of_name(m, name);
	}
	for (uint32_t i = 0; i < n && i < 300; i++) {
		const struct dcm_entry *e = region_entry(m, i);
		struct region_blob b;

		if (!e)
			continue;
		region_entry_prefetch(m, e);
		for (uint32_t t = 0; t < DCM_TIER_SLOTS; t++) {
			uint32_t gen = atomic_load(&e->generation);

			region_verified(m, e, t);
			if (region_blob_load(m, &e->ref[t], i, gen, t, &b) == DCM_OK) {
				XXH3_64bits(b.data, b.len);
				region_blob_ok(&b);
			}
		}
	}
	for (int i = 0; i < 2000 && region_change_next(m, &cursor, &c) == 1; i++)
		;
}

static void test_any_bytes(void **state)
{
	struct world *w = *state;
	int taken = 0, anew = 0;

	for (int round = 0; round < 1500; round++) {
		struct region_map m;
		char err[256];

		if (round % 50 == 0 || !w->reattached)
			fill(w, 60);
		map_open(w, &m);
		mutate(w->r, 1 + (int)(next_random() % 40));
		read_everything(&m);
		region_map_close(&m);
		if (region_map_open(&m, w->object, getuid(), err, sizeof(err)) == DCM_OK) {
			read_everything(&m);
			region_map_close(&m);
		}
		world_reopen(w);
		taken += w->reattached;
		anew += !w->reattached;
		/* What came out of it is sound: it takes over again with nothing to do. */
		world_reopen(w);
		assert_true(w->reattached);
		assert_int_equal(repaired(w), 0);
		fill(w, 30);
		check_all(w, 30);
	}
	assert_true(taken > 100 && anew > 100);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_bad_references_are_taken_out),
	    T(test_bad_name),
	    T(test_bad_tables_are_rebuilt),
	    T(test_one_id_twice),
	    T(test_damaged_header_is_made_anew),
	    T(test_any_bytes),
	};

	return cmocka_run_group_tests_name("region_damage", tests, NULL, NULL);
}
