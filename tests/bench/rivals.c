/* rivals.c - see rivals.h. */
#include "rivals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <lmdb.h>

#include "fleet.h"

/* ---- LMDB --------------------------------------------------------------- */

struct rival {
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *write, *all, *own;
};

static void must(int rc, const char *what)
{
	if (rc != 0)
		die("%s: %s", what, mdb_strerror(rc));
}

/* The files are mapped, and need no name: nothing is left, however we end. */
static void unname(const char *dir)
{
	static const char *const files[] = {"data.mdb", "lock.mdb"};
	char path[256];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
}

struct rival *lmdb_new(const char *dir, uint32_t n)
{
	struct rival *r = calloc(1, sizeof(*r));

	if (!r)
		die("no memory");
	must(mdb_env_create(&r->env), "mdb_env_create");
	must(mdb_env_set_mapsize(r->env, (size_t)n * 8192 + (64 << 20)), "mdb_env_set_mapsize");
	must(mdb_env_open(r->env, dir, MDB_NOSYNC | MDB_WRITEMAP | MDB_NOTLS, 0600),
	     "mdb_env_open");
	unname(dir);
	must(mdb_txn_begin(r->env, NULL, 0, &r->write), "mdb_txn_begin");
	must(mdb_dbi_open(r->write, NULL, 0, &r->dbi), "mdb_dbi_open");
	return r;
}

void lmdb_put(struct rival *r, const uint8_t id[32], const void *value, size_t len)
{
	MDB_val k = {32, (void *)(uintptr_t)id}, v = {len, (void *)(uintptr_t)value};

	must(mdb_put(r->write, r->dbi, &k, &v, 0), "mdb_put");
}

void lmdb_ready(struct rival *r)
{
	must(mdb_txn_commit(r->write), "mdb_txn_commit");
	must(mdb_txn_begin(r->env, NULL, MDB_RDONLY, &r->all), "mdb_txn_begin");
	must(mdb_txn_begin(r->env, NULL, MDB_RDONLY, &r->own), "mdb_txn_begin");
	mdb_txn_reset(r->own);
}

const uint8_t *lmdb_get(struct rival *r, const uint8_t id[32], size_t *len, int renewed)
{
	MDB_val k = {32, (void *)(uintptr_t)id}, v;
	MDB_txn *txn = renewed ? r->own : r->all;

	if (renewed)
		must(mdb_txn_renew(txn), "mdb_txn_renew");
	must(mdb_get(txn, r->dbi, &k, &v), "mdb_get");
	if (renewed)
		mdb_txn_reset(txn); /* a program would have used the value before */
	*len = v.mv_size;
	return v.mv_data;
}

void lmdb_each(struct rival *r, void (*fn)(const uint8_t *value, size_t len, void *arg), void *arg)
{
	MDB_cursor *c;
	MDB_val k, v;

	must(mdb_cursor_open(r->all, r->dbi, &c), "mdb_cursor_open");
	while (mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0)
		fn(v.mv_data, v.mv_size, arg);
	mdb_cursor_close(c);
}

void lmdb_begin_writing(struct rival *r)
{
	mdb_txn_abort(r->all);
	r->all = r->write = NULL;
}

void lmdb_write(struct rival *r, const uint8_t id[32], const void *value, size_t len)
{
	if (!r->write)
		must(mdb_txn_begin(r->env, NULL, 0, &r->write), "mdb_txn_begin");
	lmdb_put(r, id, value, len);
}

void lmdb_commit(struct rival *r)
{
	if (r->write)
		must(mdb_txn_commit(r->write), "mdb_txn_commit");
	r->write = NULL;
}

struct lmdb_reader {
	MDB_txn *txn;
	MDB_dbi dbi;
};

struct lmdb_reader *lmdb_reader_new(struct rival *r)
{
	struct lmdb_reader *l = calloc(1, sizeof(*l));

	if (!l)
		die("no memory");
	l->dbi = r->dbi;
	must(mdb_txn_begin(r->env, NULL, MDB_RDONLY, &l->txn), "mdb_txn_begin");
	mdb_txn_reset(l->txn);
	return l;
}

void lmdb_reader_free(struct lmdb_reader *l)
{
	mdb_txn_abort(l->txn);
	free(l);
}

uint64_t lmdb_reader_get(struct lmdb_reader *l, const uint8_t id[32])
{
	MDB_val k = {32, (void *)(uintptr_t)id}, v;
	uint64_t word;

	must(mdb_txn_renew(l->txn), "mdb_txn_renew");
	must(mdb_get(l->txn, l->dbi, &k, &v), "mdb_get");
	memcpy(&word, v.mv_data, sizeof(word));
	mdb_txn_reset(l->txn);
	return word;
}

void lmdb_free(struct rival *r)
{
	if (r->all)
		mdb_txn_abort(r->all);
	mdb_txn_abort(r->own);
	mdb_env_close(r->env);
	free(r);
}

/* ---- a bare hash table -------------------------------------------------- */

struct item {
	uint8_t id[32];
	uint32_t len;
	uint8_t data[];
};
struct bare {
	uint8_t *base;
	size_t size, used;
	uint64_t mask;
	uint64_t *bucket; /* offsets of items; 0: empty */
};

struct bare *bare_new(uint32_t n, size_t bytes)
{
	struct bare *h = calloc(1, sizeof(*h));
	uint64_t buckets = 1;

	while (buckets < 2ull * n)
		buckets *= 2;
	if (!h)
		die("no memory");
	h->size = buckets * 8 + (size_t)n * (bytes + 128);
	h->base = mmap(NULL, h->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (h->base == MAP_FAILED)
		die("no memory for %zu bytes", h->size);
	h->bucket = (uint64_t *)h->base;
	h->mask = buckets - 1;
	h->used = buckets * 8;
	return h;
}

static uint64_t first_bucket(const struct bare *h, const uint8_t id[32])
{
	uint64_t v;

	memcpy(&v, id, 8); /* ids are random */
	return v & h->mask;
}

void bare_put(struct bare *h, const uint8_t id[32], const void *value, size_t len)
{
	struct item *it = (struct item *)(h->base + h->used);
	uint64_t i = first_bucket(h, id);

	if (h->size - h->used < sizeof(*it) + len + 64)
		die("the bare table is full");
	while (h->bucket[i])
		i = (i + 1) & h->mask;
	h->bucket[i] = h->used;
	memcpy(it->id, id, 32);
	it->len = (uint32_t)len;
	memcpy(it->data, value, len);
	h->used = (h->used + sizeof(*it) + len + 63) & ~(size_t)63;
}

const uint8_t *bare_get(const struct bare *h, const uint8_t id[32], size_t *len)
{
	for (uint64_t i = first_bucket(h, id); h->bucket[i]; i = (i + 1) & h->mask) {
		const struct item *it = (const struct item *)(h->base + h->bucket[i]);

		if (memcmp(it->id, id, 32) == 0) {
			*len = it->len;
			return it->data;
		}
	}
	die("a record is missing in the bare table");
}

void bare_free(struct bare *h)
{
	munmap(h->base, h->size);
	free(h);
}

/* ---- the memory itself -------------------------------------------------- */

struct line {
	_Alignas(64) uint32_t next;
};
struct chase {
	struct line *line;
	uint32_t n;
};

struct chase *chase_new(uint32_t lines)
{
	struct chase *c = calloc(1, sizeof(*c));
	uint64_t x = 88172645463325252ull;

	if (!c)
		die("no memory");
	c->n = lines;
	c->line = aligned_alloc(64, (size_t)lines * sizeof(*c->line));
	if (!c->line)
		die("no memory");
	for (uint32_t i = 0; i < lines; i++)
		c->line[i].next = i;
	/* Sattolo's shuffle: one cycle through all of them. */
	for (uint32_t i = lines - 1; i > 0; i--) {
		uint32_t k, was = c->line[i].next;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		k = (uint32_t)(x % i);
		c->line[i].next = c->line[k].next;
		c->line[k].next = was;
	}
	return c;
}

uint32_t chase_on(const struct chase *c, uint32_t from, uint32_t steps)
{
	while (steps--)
		from = c->line[from].next;
	return from;
}

void chase_free(struct chase *c)
{
	free(c->line);
	free(c);
}
