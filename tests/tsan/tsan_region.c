/*
 * tsan_region.c - a region's writer and its copying readers as threads of one
 * process, so that TSan sees every access that races without being atomic.  It
 * goes by addresses, so the readers read in the writer's own mapping.  (It does
 * not know fences; that the order is right is for tests/stress to show.)
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../shm/region_impl.h"
#include "../../shm/region_read.h"
#include "../stress/hold_instance.h"

enum { READERS = 3, CONTAINERS = 400, ROUNDS = 30000 };

static char instance[33];
static struct region *r;
static _Atomic int done, wrong;
static _Atomic long whole;

static void id_of(unsigned n, uint8_t id[32])
{
	memset(id, 7, 32);
	memcpy(id, &n, sizeof(n));
}

/* A text of one digit: torn where it is not. */
static bool is_whole(const char *text, uint32_t len)
{
	for (uint32_t i = 1; i < len; i++)
		if (text[i] != text[0])
			return false;
	return true;
}

static void read_one(struct region_map *m, unsigned n)
{
	uint32_t entry, gen, len;
	const struct dcm_entry *e;
	uint64_t written;
	char text[700], name[16];
	uint8_t id[32];

	id_of(n, id);
	snprintf(name, sizeof(name), "n%u", n);
	region_find_name(m, name, strlen(name), &entry, &gen);
	if (region_find_id(m, id, &entry, &gen) != DCM_OK)
		return;
	e = region_entry(m, entry);
	region_entry_prefetch(m, e);
	region_verified(m, e, DCM_STATUS);
	if (region_blob_copy(m, &e->ref[DCM_STATUS], entry, gen, DCM_STATUS, text, sizeof(text),
			     &len, &written) != DCM_OK ||
	    !region_entry_ok(e, gen))
		return;
	whole++;
	wrong += !is_whole(text, len);
}

static void *reader(void *arg)
{
	unsigned n = (unsigned)(uintptr_t)arg;
	struct region_change c;
	struct region_map m = {.base = r->base, .h = r->h};
	uint64_t cursor;

	cursor = region_change_head(&m);
	while (!done) {
		for (int i = 0; i < 50; i++)
			read_one(&m, n = (n * 1103515245 + 12345) % CONTAINERS);
		while (region_change_next(&m, &cursor, &c) != 0)
			;
		region_wait(&m, atomic_load(&m.h->publish), 1);
	}
	return NULL;
}

static void write_one(unsigned x)
{
	unsigned n = (x >> 8) % CONTAINERS;
	char text[700], name[24];
	struct dcm_str s = {name,
			    (uint32_t)snprintf(name, sizeof(name), x & 64 ? "n%u" : "r%u", n)};
	struct region_tier t = {DCM_STATUS, text, (x >> 4) % sizeof(text), 1.7e9};
	struct region_brief b = {2, 0, x, x};
	uint8_t id[32];

	id_of(n, id);
	memset(text, '0' + (int)(x % 10), sizeof(text));
	if ((x >> 16) % 10 == 0)
		region_remove(r, id);
	else if (region_put(r, id, &s, &b, &t, 1) < 0)
		wrong++;
}

int main(void)
{
	struct region_spec spec = {REGION_SHARD, getuid(), getgid(), instance, "h", 0};
	pthread_t t[READERS];
	unsigned x = 1;
	char err[256];

	snprintf(instance, sizeof(instance), "tsan.%d", (int)getpid());
	hold_instance(instance);
	if (region_open(&r, &spec, NULL, err, sizeof(err)) < 0) {
		fprintf(stderr, "%s\n", err);
		return 3;
	}
	for (uintptr_t i = 0; i < READERS; i++)
		pthread_create(&t[i], NULL, reader, (void *)i);
	for (int i = 0; i < ROUNDS || (whole < 1000 && i < ROUNDS * 100); i++) {
		write_one(x = x * 1664525 + 1013904223);
		if (i % 16 == 0)
			region_publish(r);
		if (i % 4096 == 0)
			region_beat(r);
	}
	done = 1;
	for (int i = 0; i < READERS; i++)
		pthread_join(t[i], NULL);
	region_close(&r, true);
	release_instance(instance);
	printf("%sok - %ld reads beside a writing thread, %d wrong\n",
	       wrong || !whole ? "not " : "", (long)whole, (int)wrong);
	return wrong || !whole;
}
