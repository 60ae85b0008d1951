/*
 * layout.h - every byte of a region of shared memory.
 *
 * A *region* is one POSIX shared-memory object with one writer.  A shard (one
 * host's containers; writer: its collector) and the directory (the hosts;
 * writer: the supervisor) are both regions: the directory's entries are hosts,
 * found by host id as the name.  docs/memory-layout.md says the same in prose,
 * with the protocol and the reasons; a test holds the two together.
 *
 * Only files in shm/ include this.  The protocol is touched in region_read.c
 * (reader) and region_write*.c (writer) and nowhere else.
 *
 * All integers are little-endian as the machine stores them; offsets are from
 * the start of the region; a "unit" is 64 bytes.
 */
#ifndef DCM_LAYOUT_H
#define DCM_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#define DCM_MAGIC 0x314d4344u /* "DCM1" */
#define DCM_CANARY 0x0102030405060708ull
enum {
	DCM_ABI_MAJOR = 2, /* another: refused */
	DCM_ABI_MINOR = 0, /* newer: only additions; served */
	DCM_UNIT = 64,
	DCM_PAGE = 4096,
	DCM_ENTRY_SIZE = 128,
	DCM_TIER_SLOTS = 5,
	DCM_CHUNKS = 20,	/* entry chunk k holds DCM_CHUNK0 << k entries */
	DCM_CHUNK0 = 64,
	DCM_HOME_CHUNK = 4,	/* chunks from this one on have homes behind their entries */
	DCM_HOMES = 2,		/* of each entry */
	DCM_HOME_SIZE = 256,
	DCM_CHANGES = 1024,	/* slots of the change ring, a power of two */
	DCM_TICKS = 16,		/* per second, of entry times */
	DCM_SELF = 0,		/* entry 0: the region itself (a host's row) */
	DCM_NAME_MAX = 1024,	/* bytes of a name */
	DCM_BLOB_MAX = 16 << 20 /* bytes of a payload */
};
#define DCM_MAP_SPAN (1ull << 32) /* addresses a mapping takes; the file grows under it */

/*
 * An entry: one container (or host).  generation is odd only while no bucket
 * leads to it.  Times are ticks since header.epoch + 1, 0 = never.
 */
struct dcm_entry {
	_Atomic uint32_t generation;
	_Atomic uint32_t reserved;
	_Atomic uint64_t id[4];	       /* binary id, bytes in order */
	_Atomic uint64_t ref[DCM_TIER_SLOTS]; /* the first three in this cache line */
	_Atomic uint64_t name;	       /* reference to a blob: the name's bytes */
	_Atomic uint64_t brief;	       /* cpu_percent as float:32 | 0:16 | health:8 | status:8 */
	_Atomic uint64_t memory_usage; /* bytes; UINT64_MAX: not measured */
	_Atomic uint32_t verified[DCM_TIER_SLOTS]; /* when last found true */
	_Atomic uint32_t reserved2;
};
_Static_assert(sizeof(struct dcm_entry) == DCM_ENTRY_SIZE, "entry");

/* A reference: the units that the blob fills:6 (high; 63: or more), its offset in
 * units:26, the low half of its sequence:32.  0: none.  Its size is there for a reader
 * to fetch all of it ahead, before it sees the blob's header; who reads it goes by that. */
#define DCM_REF(off, units, seq)                                                         \
	((uint64_t)((units) < DCM_REF_UNITS_MAX ? (units) : DCM_REF_UNITS_MAX) << 58 |    \
	 ((uint64_t)((off) / DCM_UNIT) << 32) | (uint32_t)(seq))
#define DCM_REF_UNITS(ref) ((unsigned)((ref) >> 58))
#define DCM_REF_OFFSET(ref) ((uint64_t)((ref) >> 32 & 0x3ffffff) * DCM_UNIT)
#define DCM_REF_SEQ(ref) ((uint32_t)(ref))
enum { DCM_REF_UNITS_MAX = 63 };

/* A blob: immutable once published, at a multiple of 64 bytes. */
struct dcm_blob {
	_Atomic uint64_t seq;	     /* never reused; 0: being written or free */
	_Atomic uint32_t entry;	     /* whose */
	_Atomic uint32_t generation; /* of that entry */
	_Atomic uint32_t tier;	     /* enum dcm_tier, DCM_BLOB_NAME */
	_Atomic uint32_t length;     /* payload bytes */
	_Atomic uint64_t checksum;   /* XXH3-64 of the payload */
	_Atomic uint64_t written;    /* Unix time, bits of a double */
	/* payload follows, in whole 8-byte words */
};
enum { DCM_BLOB_HEADER = 40, DCM_BLOB_NAME = 15 };
_Static_assert(sizeof(struct dcm_blob) == DCM_BLOB_HEADER, "blob");
/* Units that it fills, header and payload. */
static inline uint32_t dcm_blob_units(uint32_t length)
{
	return (DCM_BLOB_HEADER + length + DCM_UNIT - 1) / DCM_UNIT;
}

/* A table descriptor: offset in units:32 | log2 of buckets:8 | serial:24.
 * A bucket: tag:32 (high) | entry:32; 0 = empty, DCM_TOMBSTONE. */
#define DCM_TABLE_OFFSET(d) ((uint64_t)((d) >> 32) * DCM_UNIT)
#define DCM_TABLE_LOG2(d) ((unsigned)((d) >> 24) & 0xff)
#define DCM_TOMBSTONE 0x00000000ffffffffull

/* A change: entry:32 (high) | generation, low 16:16 | tiers:8 | kind:8. */
enum { DCM_CH_APPEARED = 1, DCM_CH_UPDATED, DCM_CH_REMOVED, DCM_CH_SELF, DCM_CH_CLEARED };

enum dcm_region_state { DCM_REGION_LIVE = 1, DCM_REGION_RETIRED = 2 /* see successor */ };

struct dcm_header {
	/* identity: constant once magic is there (but for the epoch); magic is written last */
	_Atomic uint32_t magic;
	uint16_t abi_major, abi_minor;
	uint64_t canary;
	uint64_t layout_hash;	  /* XXH3 of the sizes and offsets, region_layout_hash() */
	uint32_t header_size, entry_size, change_slots, kind; /* kind: 1 directory, 2 shard */
	uint32_t generation;
	uint32_t generation_base; /* odd: generation of an entry never used */
	_Atomic int64_t epoch;	  /* Unix seconds that entry times count from */
	char boot_id[40];
	char host[64];		  /* host id; "" for the directory */
	uint64_t changes_offset;  /* of the change ring */
	uint64_t seed[4];	  /* random; key of the table hashes */
	_Atomic int64_t clock;	  /* CLOCK_REALTIME - CLOCK_BOOTTIME that epoch fits, ns */
	uint8_t pad0[256 - 208];

	/* Cache lines of their own: what every look-up reads and little changes. */
	_Alignas(64) _Atomic uint64_t data_limit; /* bytes that are backed by memory */
	_Atomic uint32_t state;			  /* enum dcm_region_state */
	_Atomic uint32_t successor;		  /* generation that replaces this one */
	_Atomic uint32_t incarnation;		  /* attaches of a writer */
	_Atomic uint32_t entries;		  /* entries ever used: all indexes are below */
	_Atomic uint64_t table_id;		  /* descriptors */
	_Atomic uint64_t table_name;

	/* What the writer changes all the time, and a look-up does not read. */
	_Alignas(64) _Atomic uint64_t heartbeat;  /* CLOCK_MONOTONIC ns of the last beat */
	_Atomic uint64_t sequence;		  /* the last blob sequence given out */
	_Atomic uint64_t live;			  /* entries in use, self left out */
	_Atomic uint64_t bytes_live;		  /* bytes of live blobs, tables, entries */

	_Alignas(64) _Atomic uint32_t publish;	  /* batches published; the futex word */
	_Atomic uint32_t reserved1;
	_Atomic uint64_t change_head;		  /* changes ever written to the ring */

	_Alignas(64) _Atomic uint64_t chunk[DCM_CHUNKS]; /* offsets of entry chunks; 0: not yet */
};
_Static_assert(sizeof(struct dcm_header) <= DCM_PAGE, "header");

/* Where entry `index` lies: chunk k, and how far in it. */
static inline unsigned dcm_chunk_of(uint32_t index)
{
	return 31u - (unsigned)__builtin_clz(index / DCM_CHUNK0 + 1);
}
static inline uint64_t dcm_chunk_entries(unsigned k)
{
	return (uint64_t)DCM_CHUNK0 << k;
}
static inline uint64_t dcm_chunk_first(unsigned k)
{
	return dcm_chunk_entries(k) - DCM_CHUNK0;
}

/* A chunk is its entries, then their homes: places for blobs of the stats, which of
 * all tiers are read most, and change most.  That a blob lies there is no promise (a
 * reference says where), but a reader who knows the entry's number can fetch both
 * homes while it fetches the entry, instead of one after the other. */
static inline uint64_t dcm_chunk_bytes(unsigned k)
{
	return dcm_chunk_entries(k) *
	       (DCM_ENTRY_SIZE + (k >= DCM_HOME_CHUNK ? DCM_HOMES * DCM_HOME_SIZE : 0));
}
/* How far in its chunk k >= DCM_HOME_CHUNK the homes of an entry lie. */
static inline uint64_t dcm_homes_at(unsigned k, uint32_t index)
{
	return dcm_chunk_entries(k) * DCM_ENTRY_SIZE +
	       (index - dcm_chunk_first(k)) * (DCM_HOMES * DCM_HOME_SIZE);
}

/* The hash of an id.  Engines choose ids, so all of it is mixed with a secret
 * (two multiplications that run side by side); names are XXH3 under seed[0]. */
static inline uint64_t dcm_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}
static inline uint64_t dcm_hash_id(const uint64_t seed[4], const uint64_t id[4])
{
	return dcm_fold(id[0] ^ seed[0], id[1] ^ seed[1]) ^
	       dcm_fold(id[2] ^ seed[2], id[3] ^ seed[3]);
}
/* The first bucket to look at is the low bits of a hash, the tag its high half. */
static inline uint64_t dcm_bucket(uint64_t hash, uint32_t entry)
{
	return (hash & 0xffffffff00000000ull) | entry;
}

#endif
