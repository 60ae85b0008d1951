/*
 * region_help.h - for the tests of regions: a region of the test's own, a reader
 * of it, and short ways to write and read.
 */
#ifndef DCM_REGION_HELP_H
#define DCM_REGION_HELP_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../shm/names.h"
#include "../../shm/region_read.h"
#include "../../shm/region_write.h"
#include "../stress/hold_instance.h"

struct world {
	char instance[33], object[DCM_OBJECT_NAME_MAX], err[256];
	struct region_spec spec;
	struct region *r;
	bool reattached;
};

static inline void world_open(struct world *w)
{
	if (region_open(&w->r, &w->spec, &w->reattached, w->err, sizeof(w->err)) < 0)
		fail_msg("open: %s", w->err);
	names_shard(w->object, getuid(), w->instance, "h", region_generation(w->r));
}

static inline int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	snprintf(w->instance, sizeof(w->instance), "unit.%d", (int)getpid());
	hold_instance(w->instance);
	w->spec = (struct region_spec){REGION_SHARD, getuid(), getgid(), w->instance, "h", 0};
	world_open(w);
	*state = w;
	return 0;
}

static inline int world_teardown(void **state)
{
	struct world *w = *state;

	if (w->r)
		region_close(&w->r, true);
	release_instance(w->instance);
	free(w);
	return 0;
}

/* The writer goes as if killed: nothing is tidied up, and the next one comes. */
static inline void world_reopen(struct world *w)
{
	region_close(&w->r, false);
	world_open(w);
}

static inline void map_open(const struct world *w, struct region_map *m)
{
	char err[256];

	if (region_map_open(m, w->object, getuid(), err, sizeof(err)) != DCM_OK)
		fail_msg("map: %s", err);
}

static inline struct dcm_str str(const char *s)
{
	return (struct dcm_str){s, (uint32_t)strlen(s)};
}

static inline const uint8_t *id_of(int n)
{
	static uint8_t id[32];

	memset(id, 0x5a, sizeof(id));
	memcpy(id, &n, sizeof(n));
	return id;
}

static inline int put_text(struct region *r, int n, const char *name, enum dcm_tier tier,
			   const char *text)
{
	struct dcm_str s = str(name ? name : "");
	struct region_tier t = {tier, text, text ? (uint32_t)strlen(text) : 0, 1.7e9};

	return region_put(r, id_of(n), name ? &s : NULL, NULL, &t, 1);
}

/* The text of a tier, or "none", "gone", "busy". */
static inline const char *read_text(const struct region_map *m, int n, enum dcm_tier tier)
{
	static char text[4096];
	uint32_t entry, gen, len;
	uint64_t written;
	const struct dcm_entry *e;

	switch (region_find_id(m, id_of(n), &entry, &gen)) {
	case DCM_ENOTFOUND:
		return "gone";
	case DCM_EBUSY:
		return "busy";
	}
	e = region_entry(m, entry);
	assert_non_null(e);
	if (region_blob_copy(m, &e->ref[tier], entry, gen, tier, text, sizeof(text) - 1, &len,
			     &written) != DCM_OK)
		return "none";
	text[len] = '\0';
	return text;
}

/* The entry of a name, or 0. */
static inline uint32_t entry_of_name(const struct region_map *m, const char *name)
{
	uint32_t entry, gen;

	return region_find_name(m, name, strlen(name), &entry, &gen) == DCM_OK ? entry : 0;
}

static inline uint32_t entry_of_id(const struct region_map *m, int n)
{
	uint32_t entry, gen;

	return region_find_id(m, id_of(n), &entry, &gen) == DCM_OK ? entry : 0;
}

/* Containers 0 to n - 1, each with a text of its own ... */
static inline void fill(struct world *w, int n)
{
	char name[32], text[400];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		memset(text, 'a' + i % 26, sizeof(text));
		text[snprintf(text, sizeof(text), "text %d", i)] = ' ';
		text[20 + i * 7 % 370] = '\0';
		assert_int_equal(put_text(w->r, i, name, DCM_CONFIG, text), 0);
		assert_int_equal(put_text(w->r, i, NULL, DCM_STATS, "stats"), 0);
	}
	region_publish(w->r);
}

static inline uint64_t repaired(const struct world *w)
{
	struct region_usage u;

	region_usage(w->r, &u);
	return u.repaired;
}

/* ... and are they all there? */
static inline void check_all(const struct world *w, int n)
{
	struct region_map m;
	char name[32];

	map_open(w, &m);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		assert_int_equal(atoi(read_text(&m, i, DCM_CONFIG) + 5), i);
		assert_string_equal(read_text(&m, i, DCM_STATS), "stats");
		assert_int_equal(entry_of_name(&m, name), entry_of_id(&m, i));
	}
	region_map_close(&m);
}

#endif
