/*
 * stress_region.c - one writer, killed and stopped at random; three readers that
 * believe nothing.
 *
 *	stress_region [READS [SECONDS]]		default 20,000,000 and no time limit
 *
 * The writer puts, changes, renames, removes, grows the region and lets it
 * shrink into new generations, as fast as it can.  The parent kills it (SIGKILL)
 * and starts the next one, which takes the region over; or stops it (SIGSTOP)
 * for a while, and sees that every reader goes on reading meanwhile.
 *
 * All that is written describes itself: a payload holds its container, tier,
 * which life of that container it is, random bytes and a checksum.  A reader
 * checks each one that the protocol calls valid, and that
 *   - all tiers of a record are of one life of one container,
 *   - containers that are never removed are always found by id, those that are
 *     never renamed always by name.
 * It ends with 0 when READS valid payloads were read and all were whole.  Built
 * with -DDCM_TEST_NO_VALIDATION it must end with 1: that shows that the test
 * would see a torn read, and that it is the validation which prevents them.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "../../shm/names.h"
#include "../../shm/region_read.h"
#include "../../shm/region_write.h"
#include "hold_instance.h"

enum {
	READERS = 3,
	CONTAINERS = 3000,
	KEPT = 64,	  /* the first ones are never removed, and the first half of */
	NAMED = KEPT / 2, /* these never renamed */
	PAYLOAD_MAX = 20000,
	WAVE = 5000,		 /* writes between growing and shrinking */
	READS_PER_KILL = 100000, /* so that many end in the middle of something */
	STALL_SECONDS = 30,	 /* a reader that reads nothing for so long is blocked */
};

/* What the processes tell the parent: pages that they share. */
struct told {
	_Atomic uint32_t generation; /* that the "directory" shows; 0: none yet */
	_Atomic uint32_t stop;
	_Atomic uint64_t writes, renewals, attaches, anew, full;
	struct {
		_Alignas(64) _Atomic uint64_t reads, records, busy, moved, torn, lost;
	} reader[READERS];
};
static struct told *told;
static char instance[32];

struct payload {
	uint64_t check; /* of all that follows */
	uint64_t life;
	uint32_t container, tier, len, zero;
	uint8_t random[];
};

static void add(_Atomic uint64_t *p, uint64_t n)
{
	atomic_fetch_add_explicit(p, n, memory_order_relaxed);
}

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void id_of(uint32_t container, uint8_t id[32])
{
	XXH128_hash_t a = XXH3_128bits_withSeed(&container, sizeof(container), 1);
	XXH128_hash_t b = XXH3_128bits_withSeed(&container, sizeof(container), 2);

	memcpy(id, &a, 16);
	memcpy(id + 16, &b, 16);
}

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "stress_region: %s: %s\n", what, why);
	_exit(3);
}

/* ---- the writer ---------------------------------------------------------------- */

static struct region_spec spec(void)
{
	return (struct region_spec){REGION_SHARD, getuid(), getgid(), instance, "stress", 24 << 20};
}

static struct region_tier fill(uint8_t *buf, uint32_t container, enum dcm_tier tier, uint64_t life,
			       uint64_t *rnd)
{
	struct payload *p = (struct payload *)buf;
	uint64_t r = next_random(rnd);
	uint32_t body =
	    r % 64 == 0 ? (uint32_t)(r >> 8) % (PAYLOAD_MAX - 64) : (uint32_t)(r >> 8) % 700;

	p->life = life;
	p->container = container;
	p->tier = tier;
	p->len = (uint32_t)sizeof(*p) + body;
	p->zero = 0;
	for (uint32_t i = 0; i < body; i += 8) {
		uint64_t w = next_random(rnd);

		memcpy(p->random + i, &w, body - i < 8 ? body - i : 8);
	}
	p->check = XXH3_64bits(buf + 8, p->len - 8);
	return (struct region_tier){tier, buf, p->len, 1.7e9};
}

static int put(struct region *r, uint32_t c, bool rename, uint64_t *rnd)
{
	static uint8_t buf[DCM_TIERS][PAYLOAD_MAX];
	struct region_tier tiers[DCM_TIERS];
	struct region_item item;
	char text[64];
	struct dcm_str name = {text, 0};
	uint8_t id[32];
	uint64_t life = next_random(rnd);
	size_t n = 0;
	bool there;

	id_of(c, id);
	there = region_get(r, id, &item);
	if (there && item.tier[DCM_STATS].data)
		life = ((const struct payload *)item.tier[DCM_STATS].data)->life;
	for (int t = 0; t < DCM_TIERS; t++)
		if (!there || next_random(rnd) % 3 == 0)
			tiers[n++] = fill(buf[t], c, (enum dcm_tier)t, life, rnd);
	name.len = (uint32_t)snprintf(text, sizeof(text), "container-%u", c);
	if (c >= NAMED && (rename || !there))
		name.len += (uint32_t)snprintf(text + name.len, sizeof(text) - name.len, ".%u",
					       (unsigned)(next_random(rnd) % 1000));
	return region_put(r, id, there && !rename ? NULL : &name, NULL, tiers, n);
}

static void show(struct region *r)
{
	atomic_store(&told->generation, region_generation(r));
}

/* Waves: the fleet grows to full size, then to a few; so the region grows, and
 * is renewed. */
static void write_wave(struct region *r, uint32_t most, uint64_t *rnd)
{
	uint8_t id[32];
	int rc = 0;

	for (int i = 0; i < WAVE; i++) {
		uint64_t x = next_random(rnd);
		uint32_t c = (uint32_t)(x >> 16) % most;

		if (x % 8 == 0 && c >= KEPT) {
			id_of(c, id);
			region_remove(r, id);
		} else {
			rc = put(r, c, x % 16 == 1, rnd);
		}
		if (rc == -ENOSPC)
			add(&told->full, 1);
		else if (rc < 0)
			fail("put", region_error(r));
		if (i % 32 == 0)
			region_publish(r);
		add(&told->writes, 1);
	}
}

static void shrink(struct region *r)
{
	uint8_t id[32];

	for (uint32_t c = KEPT; c < CONTAINERS; c++) {
		id_of(c, id);
		region_remove(r, id);
	}
	region_publish(r);
	for (int i = 0; i < 10; i++) {
		if (region_beat(r) != 1)
			continue;
		add(&told->renewals, 1);
		show(r);
		region_unlink_old(r);
	}
}

static void writer(uint64_t seed)
{
	struct region_spec s = spec();
	struct region *r;
	bool reattached;
	char err[256];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (region_open(&r, &s, &reattached, err, sizeof(err)) < 0)
		fail("open", err);
	add(reattached ? &told->attaches : &told->anew, 1);
	for (uint32_t c = 0; c < KEPT; c++)
		if (put(r, c, false, &seed) < 0)
			fail("first put", region_error(r));
	region_publish(r);
	show(r);
	if (next_random(&seed) % 4 == 0)
		shrink(r); /* what the one before let grow */
	for (;;) {
		write_wave(r, CONTAINERS, &seed);
		write_wave(r, KEPT * 2, &seed);
		shrink(r);
	}
}

/* ---- a reader -------------------------------------------------------------------- */

struct reader {
	struct region_map m;
	uint32_t generation;
	int n;
	uint64_t rnd;
	uint8_t copy[PAYLOAD_MAX];
};

static void attach(struct reader *rd)
{
	char object[DCM_OBJECT_NAME_MAX], err[256];

	for (;;) {
		uint32_t g = atomic_load(&told->generation);

		if (atomic_load(&told->stop))
			_exit(0);
		if (g == rd->generation && rd->m.base)
			return; /* the old one still serves */
		if (g) {
			struct region_map m;

			names_shard(object, getuid(), instance, "stress", g);
			if (region_map_open(&m, object, getuid(), err, sizeof(err)) == DCM_OK) {
				if (rd->m.base)
					region_map_close(&rd->m);
				rd->m = m;
				rd->generation = g;
				add(&told->reader[rd->n].moved, 1);
				return;
			}
		}
		if (rd->m.base)
			return;
		usleep(100);
	}
}

static bool payload_whole(const uint8_t *data, uint32_t len, uint32_t container, uint32_t tier,
			  uint64_t *life)
{
	struct payload p;

	if (len < sizeof(p) || len > PAYLOAD_MAX)
		return false;
	memcpy(&p, data, sizeof(p));
	*life = p.life;
	return p.len == len && p.container == container && p.tier == tier &&
	       p.check == XXH3_64bits(data + 8, len - 8);
}

/* One tier: copied, or in place.  The code, and whether a valid one was whole. */
static int read_tier(struct reader *rd, const struct dcm_entry *e, uint32_t entry, uint32_t gen,
		     uint32_t tier, uint32_t container, uint64_t *life, bool *whole)
{
	struct region_blob b;
	uint64_t written;
	uint32_t len;
	int rc;

	if (next_random(&rd->rnd) & 1) {
		rc = region_blob_copy(&rd->m, &e->ref[tier], entry, gen, tier, rd->copy,
				      sizeof(rd->copy), &len, &written);
		if (rc == DCM_OK)
			*whole = payload_whole(rd->copy, len, container, tier, life);
		return rc;
	}
	for (int i = 0; i < 4; i++) {
		rc = region_blob_load(&rd->m, &e->ref[tier], entry, gen, tier, &b);
		if (rc != DCM_OK)
			return rc;
		*whole = payload_whole(b.data, b.len, container, tier, life);
		if (region_blob_ok(&b))
			return DCM_OK;
	}
	return DCM_EBUSY;
}

/* What must be there is looked for again where the region has just been replaced. */
static bool still_current(const struct reader *rd)
{
	return atomic_load(&rd->m.h->state) == DCM_REGION_LIVE &&
	       rd->generation == atomic_load(&told->generation);
}

static void check_name(struct reader *rd, uint32_t container, uint32_t entry)
{
	char name[64];
	uint32_t e, g;
	int rc = region_find_name(
	    &rd->m, name, (size_t)snprintf(name, sizeof(name), "container-%u", container), &e, &g);

	if (rc == DCM_EBUSY)
		add(&told->reader[rd->n].busy, 1);
	else if ((rc != DCM_OK || e != entry) && still_current(rd))
		add(&told->reader[rd->n].lost, 1);
}

static void read_record(struct reader *rd)
{
	uint32_t c = (uint32_t)(next_random(&rd->rnd) >> 20) % CONTAINERS, entry, gen;
	uint64_t lives[DCM_TIERS], ok = 0;
	const struct dcm_entry *e;
	uint8_t id[32];
	int rc;

	if (next_random(&rd->rnd) % 2)
		c %= KEPT * 2;
	id_of(c, id);
	rc = region_find_id(&rd->m, id, &entry, &gen);
	if (rc != DCM_OK) {
		add(&told->reader[rd->n].busy, rc == DCM_EBUSY);
		if (rc == DCM_ENOTFOUND && c < KEPT && still_current(rd))
			add(&told->reader[rd->n].lost, 1);
		return;
	}
	e = region_entry(&rd->m, entry);
	for (uint32_t t = 0; e && t < DCM_TIERS; t++) {
		bool whole = false;

		rc = read_tier(rd, e, entry, gen, t, c, &lives[ok], &whole);
		if (rc != DCM_OK) {
			add(&told->reader[rd->n].busy, rc == DCM_EBUSY);
			break;
		}
		add(&told->reader[rd->n].torn, !whole);
		ok++;
	}
	add(&told->reader[rd->n].reads, ok);
	if (ok == DCM_TIERS && region_entry_ok(e, gen)) {
		add(&told->reader[rd->n].records, 1);
		for (int t = 1; t < DCM_TIERS; t++)
			add(&told->reader[rd->n].torn, lives[t] != lives[0]);
		if (c < NAMED)
			check_name(rd, c, entry);
	}
}

static void reader(int n)
{
	static struct reader rd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rd.n = n;
	rd.rnd = 0x9e3779b97f4a7c15u + (uint64_t)n * 77;
	while (!atomic_load(&told->stop)) {
		if (!rd.m.base || rd.generation != atomic_load(&told->generation))
			attach(&rd);
		for (int i = 0; i < 64; i++)
			read_record(&rd);
	}
	_exit(0);
}

/* ---- the parent --------------------------------------------------------------------- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t total(size_t offset)
{
	uint64_t n = 0;

	for (int i = 0; i < READERS; i++)
		n += atomic_load((_Atomic uint64_t *)((char *)&told->reader[i] + offset));
	return n;
}
#define TOTAL(member) total(offsetof(__typeof__(told->reader[0]), member))

static pid_t start(void (*fn)(uint64_t), uint64_t arg)
{
	pid_t pid = fork();

	if (pid == 0) {
		fn(arg);
		_exit(0);
	}
	return pid;
}

static void start_reader(uint64_t n)
{
	reader((int)n);
}

/* With the writer stopped where it happens to be, every reader must go on. */
static bool readers_go_on(void)
{
	uint64_t had[READERS];
	double end = now() + STALL_SECONDS;

	for (int i = 0; i < READERS; i++)
		had[i] = atomic_load(&told->reader[i].reads);
	for (int i = 0; i < READERS; i++)
		while (atomic_load(&told->reader[i].reads) == had[i]) {
			if (now() > end)
				return false;
			usleep(1000);
		}
	return true;
}

static void report(uint64_t kills, uint64_t stops, double seconds)
{
	printf("# %llu valid reads, %llu whole records, %llu busy, by %d readers in %.1f s\n",
	       (unsigned long long)TOTAL(reads), (unsigned long long)TOTAL(records),
	       (unsigned long long)TOTAL(busy), READERS, seconds);
	printf("# %llu writes (%llu refused for space); %llu kills, %llu stops; %llu take-overs, "
	       "%llu made "
	       "anew, %llu renewals\n",
	       (unsigned long long)told->writes, (unsigned long long)told->full,
	       (unsigned long long)kills, (unsigned long long)stops,
	       (unsigned long long)told->attaches, (unsigned long long)told->anew,
	       (unsigned long long)told->renewals);
	printf("# torn %llu, lost %llu\n", (unsigned long long)TOTAL(torn),
	       (unsigned long long)TOTAL(lost));
}

int main(int argc, char **argv)
{
	uint64_t reads = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000000, kills = 0, stops = 0;
	double seconds = argc > 2 ? atof(argv[2]) : 1e9, from = now();
	uint64_t rnd = (uint64_t)getpid() * 0x2545f4914f6cdd1du | 1;
	struct region_spec s;
	pid_t readers[READERS], w;
	struct region *r;
	bool blocked = false, ok;
	char err[256];

	snprintf(instance, sizeof(instance), "stress.%d", (int)getpid());
	hold_instance(instance);
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return 3;
	w = start(writer, next_random(&rnd));
	for (int i = 0; i < READERS; i++)
		readers[i] = start(start_reader, (uint64_t)i);
	while ((TOTAL(reads) < reads || kills < reads / READS_PER_KILL) && now() - from < seconds &&
	       !TOTAL(torn) && !TOTAL(lost) && !blocked) {
		int status;

		usleep(1000 + (useconds_t)(next_random(&rnd) % 50000));
		if (waitpid(w, &status, WNOHANG) == w)
			break; /* it failed and said why */
		if (next_random(&rnd) % 3) {
			kill(w, SIGKILL);
			waitpid(w, &status, 0);
			w = start(writer, next_random(&rnd));
			kills++;
		} else {
			kill(w, SIGSTOP);
			blocked = atomic_load(&told->generation) && !readers_go_on();
			kill(w, SIGCONT);
			stops++;
		}
	}
	ok = (TOTAL(reads) >= reads && kills >= reads / READS_PER_KILL) || now() - from >= seconds;
	kill(w, SIGKILL);
	waitpid(w, NULL, 0);
	atomic_store(&told->stop, 1);
	for (int i = 0; i < READERS; i++)
		waitpid(readers[i], NULL, 0);
	report(kills, stops, now() - from);
	s = spec();
	if (region_open(&r, &s, NULL, err, sizeof(err)) == 0)
		region_close(&r, true);
	release_instance(instance);
	ok = ok && !TOTAL(torn) && !TOTAL(lost) && !blocked &&
	     (kills < 100 || (told->attaches && told->renewals));
	printf("%sok 1 - %llu reads beside a writer that is killed and stopped%s\n",
	       ok ? "" : "not ", (unsigned long long)TOTAL(reads),
	       blocked ? ": a reader was blocked" : "");
	return ok ? 0 : 1;
}
