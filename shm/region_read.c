/*
 * region_read.c - the read side of the protocol: find an entry, load a blob,
 * check that it was not changed meanwhile.
 *
 * A reader never writes, never waits, and believes nothing: every offset, index
 * and length is checked against what can be read, whatever the bytes say.
 *
 * A blob:   r = load(slot, acquire); bounds; q = load(b->seq, acquire), its low
 *           half must be r's; header fields once; [payload]; fence(acquire);
 *           b->seq still q and slot still r, else what was read is thrown away.
 * An entry: bucket -> entry; its generation, even; its key; fence(acquire); the
 *           generation again.
 * A miss:   believed only when the table descriptor is still the one that was
 *           probed, and no bucket with the key's tag moved under the probe.
 * Each is tried 4 times, then DCM_EBUSY: a reader never spins.
 *
 * Why the blob's check is enough: the writer swings the slot away from a blob
 * before its space is used again, and before it writes there it stores seq = 0
 * and fences (release).  A reader that saw a single word of the new use then
 * sees, after its own fence (acquire), the slot changed; and where the space
 * holds a blob again at the same place, its sequence is one never seen before.
 * Atomics are of 8 bytes or fewer: wider ones may write, and so fault on a read-only
 * page.  A payload is copied by plain loads, which may tear and are then thrown away;
 * under TSan by relaxed words, so that it checks what is meant.
 */
#include "region_read.h"

#include <string.h>
#include <xxhash.h>

#include "region_inline.h"

enum {
	TRIES = 4,
	RECHECK = 256,	     /* buckets between looks at the descriptor */
	LIKELY = 8,	     /* buckets that most probes end within */
};

/* ---- entries ------------------------------------------------------------- */

uint32_t region_entries(const struct region_map *m)
{
	uint32_t said = load_acq(&m->h->entries);
	uint64_t most = region_limit(m) / DCM_ENTRY_SIZE;

	return said < most ? said : (uint32_t)most; /* a damaged count must not be counted to */
}

uintptr_t region_chunk_check(const struct region_map *m, unsigned k)
{
	/* A cache, shared by threads; as region_limit_probe() keeps one. */
	_Atomic uintptr_t *known = (_Atomic uintptr_t *)&m->chunk[k];
	uint64_t off = load_acq(&m->h->chunk[k]), limit = region_limit(m);
	uintptr_t at = (uintptr_t)m->base + off;

	if (off < DCM_PAGE || off % DCM_UNIT != 0 || off > limit || limit - off < dcm_chunk_bytes(k))
		return 0;
	atomic_store_explicit(known, at, memory_order_relaxed);
	return at;
}

const struct dcm_entry *region_entry(const struct region_map *m, uint32_t index)
{
	return entry_at(m, index);
}

bool region_entry_ok(const struct dcm_entry *e, uint32_t generation)
{
	return entry_same(e, generation);
}

void region_entry_prefetch(const struct region_map *m, const struct dcm_entry *e)
{
	__builtin_prefetch(&e->name); /* its other line, which has the last references */
	for (int t = 0; t < DCM_TIER_SLOTS; t++) {
		uint64_t ref = load_rlx(&e->ref[t]);
		const uint8_t *b = m->base + DCM_REF_OFFSET(ref);

		for (const uint8_t *end = b + DCM_REF_UNITS(ref) * DCM_UNIT; b < end; b += DCM_UNIT)
			__builtin_prefetch(b);
	}
}

double region_verified(const struct region_map *m, const struct dcm_entry *e, unsigned tier)
{
	uint32_t t = tier < DCM_TIER_SLOTS ? load_rlx(&e->verified[tier]) : 0;

	if (t == 0)
		return 0;
	return (double)atomic_load_explicit(&m->h->epoch, memory_order_relaxed) +
	       (double)(t - 1) / DCM_TICKS;
}

/* ---- blobs --------------------------------------------------------------- */

int region_blob_load(const struct region_map *m, const _Atomic uint64_t *slot, uint32_t entry,
		     uint32_t generation, uint32_t tier, struct region_blob *out)
{
	int rc = DCM_EBUSY;

	for (int i = 0; i < TRIES && rc == DCM_EBUSY; i++)
		rc = blob_try(m, slot, entry, generation, tier, out);
	return rc;
}

bool region_blob_ok(const struct region_blob *b)
{
	return blob_same(b->blob, b->seq, b->slot, b->ref);
}

#ifdef __SANITIZE_THREAD__
/* A payload is stored in whole words of 8 bytes, and here read so: what the protocol
 * means is said in terms that TSan checks. */
static void copy_payload(void *dst, const uint8_t *src, uint32_t len)
{
	const _Atomic uint64_t *s = (const _Atomic uint64_t *)src;
	uint8_t *d = dst;

	for (uint32_t i = 0; i < len; i += 8) {
		uint64_t w = load_rlx(&s[i / 8]);

		memcpy(d + i, &w, len - i < 8 ? len - i : 8);
	}
}
#else
/* The same in wider loads, a fourth of the time.  What they see half of is thrown away
 * by the check behind them; the fence there (acquire) is behind these loads, too. */
static inline void copy_payload(void *dst, const uint8_t *src, uint32_t len)
{
	memcpy(dst, src, len);
}
#endif

/* Flat: five times in each read of a record. */
__attribute__((flatten))
int region_blob_copy(const struct region_map *m, const _Atomic uint64_t *slot, uint32_t entry,
		     uint32_t generation, uint32_t tier, void *dst, size_t room, uint32_t *len,
		     uint64_t *written)
{
	struct region_blob b;
	int rc;

	for (int i = 0; i < TRIES; i++) {
		rc = blob_try(m, slot, entry, generation, tier, &b);
		if (rc == DCM_EBUSY)
			continue;
		if (rc != DCM_OK)
			return rc;
		*len = b.len;
		if (b.len > room) {
			if (region_blob_ok(&b))
				return DCM_ENOMEM;
			continue;
		}
		copy_payload(dst, b.data, b.len);
		if (!region_blob_ok(&b))
			continue;
		*written = b.written;
		return DCM_OK;
	}
	return DCM_EBUSY;
}

/* ---- tables -------------------------------------------------------------- */

struct table {
	const _Atomic uint64_t *v;
	uint64_t descriptor;
	uint32_t mask;
};

static inline bool table_load(const struct region_map *m, const _Atomic uint64_t *slot, struct table *t)
{
	uint64_t d = load_acq(slot), off = DCM_TABLE_OFFSET(d), limit = region_limit(m);
	unsigned log2 = DCM_TABLE_LOG2(d);

	t->descriptor = d;
	if (off < DCM_PAGE || log2 < 3 || log2 > 28 || off > limit || (8ull << log2) > limit - off)
		return false;
	t->v = (const _Atomic uint64_t *)(m->base + off);
	t->mask = (1u << log2) - 1;
	return true;
}

/* Whether an entry, as it stands now, has the key looked for. */
enum match { IS, IS_NOT, CHANGED };

struct id_key {
	uint64_t w[4];
};
struct name_key {
	const char *s;
	size_t len;
};

static inline enum match match_id(const struct region_map *m, const struct id_key *key, uint32_t entry,
				  uint32_t *generation)
{
	const struct dcm_entry *e = entry_ahead(m, entry);
	uint32_t gen;
	uint64_t diff;

	if (!e)
		return IS_NOT;
	gen = load_acq(&e->generation);
	diff = load_rlx(&e->id[0]) ^ key->w[0];
	diff |= load_rlx(&e->id[1]) ^ key->w[1];
	diff |= load_rlx(&e->id[2]) ^ key->w[2];
	diff |= load_rlx(&e->id[3]) ^ key->w[3];
	if ((gen & 1) || !region_entry_ok(e, gen))
		return CHANGED;
	*generation = gen;
	return diff == 0 ? IS : IS_NOT;
}

static enum match match_name(const struct region_map *m, const struct name_key *key, uint32_t entry,
			     uint32_t *generation)
{
	const struct dcm_entry *e = entry_ahead(m, entry);
	struct region_blob b;
	uint32_t gen;
	char copy[DCM_NAME_MAX];
	bool same;

	if (!e)
		return IS_NOT;
	gen = load_acq(&e->generation);
	if ((gen & 1) || blob_try(m, &e->name, entry, gen, DCM_BLOB_NAME, &b) != DCM_OK)
		return CHANGED;
	same = b.len == key->len;
	if (same) {
		copy_payload(copy, b.data, b.len);
		same = memcmp(copy, key->s, key->len) == 0;
	}
	if (!region_blob_ok(&b) || !region_entry_ok(e, gen))
		return CHANGED;
	*generation = gen;
	return same ? IS : IS_NOT;
}

static inline __attribute__((always_inline)) enum match
matches(const struct region_map *m, const void *key, bool by_name, uint64_t bucket,
	uint32_t *generation)
{
	return by_name ? match_name(m, key, (uint32_t)bucket, generation)
		       : match_id(m, key, (uint32_t)bucket, generation);
}

/*
 * The bucket that the probe most likely ends at: the first one of a few with the
 * hash's tag, found without a branch that depends on what they hold.  A processor
 * would guess wrong at most of those, and then fetch nothing ahead until the bucket
 * has come out of memory.  0: none of them.
 */
static inline uint64_t likely_bucket(const struct table *t, uint64_t hash)
{
	uint32_t first = (uint32_t)hash & t->mask;
	const _Atomic uint64_t *v = t->v + first;
	unsigned hits = 0;

	if (t->mask - first < LIKELY - 1)
		return 0;
	for (unsigned i = 0; i < LIKELY; i++)
		hits |= (unsigned)((load_rlx(&v[i]) ^ hash) >> 32 == 0) << i;
	return hits ? load_acq(&v[__builtin_ctz(hits)]) : 0;
}

/*
 * Probes for `hash`.  Inlined into its two callers, so that `by_name` costs
 * nothing.  A bucket whose entry is not (or no longer) the one may have been
 * handed over to another entry after it was read: then it has changed, and the
 * probe starts again.
 */
static inline __attribute__((always_inline)) int
find(const struct region_map *m, const _Atomic uint64_t *slot, uint64_t hash, bool by_name,
     const void *key, uint32_t *entry, uint32_t *generation)
{
	struct table t;

	for (int try = 0; try < TRIES; try++) {
		bool again = false;
		enum match is;
		uint64_t b;

		if (!table_load(m, slot, &t))
			continue;
		b = likely_bucket(&t, hash);
		if (b && matches(m, key, by_name, b, generation) == IS) {
			*entry = (uint32_t)b;
			return DCM_OK;
		}
		for (uint32_t n = 0, i = (uint32_t)hash & t.mask; n <= t.mask; n++, i = (i + 1) & t.mask) {
			b = load_acq(&t.v[i]);
			if (b == 0)
				break;
			if (n % RECHECK == RECHECK - 1 && load_acq(slot) != t.descriptor)
				break;
			if ((b ^ hash) >> 32 != 0 || b == DCM_TOMBSTONE)
				continue;
			is = matches(m, key, by_name, b, generation);
			if (is == IS) {
				*entry = (uint32_t)b;
				return DCM_OK;
			}
			again = is == CHANGED || load_acq(&t.v[i]) != b;
			if (again)
				break;
		}
		if (!again && load_acq(slot) == t.descriptor)
			return DCM_ENOTFOUND;
	}
	return DCM_EBUSY;
}

int region_find_id(const struct region_map *m, const uint8_t id[32], uint32_t *entry, uint32_t *generation)
{
	struct id_key key;

	memcpy(key.w, id, sizeof(key.w));
	return find(m, &m->h->table_id, dcm_hash_id(m->h->seed, key.w), false, &key, entry, generation);
}

int region_find_name(const struct region_map *m, const char *name, size_t len, uint32_t *entry,
		     uint32_t *generation)
{
	struct name_key key = {name, len};

	if (len == 0 || len > DCM_NAME_MAX)
		return DCM_ENOTFOUND;
	return find(m, &m->h->table_name, XXH3_64bits_withSeed(name, len, m->h->seed[0]), true, &key,
		    entry, generation);
}
