/*
 * snapshot.c - the codec of snapshots; see snapshot.h.
 *
 * A file is a header of fixed size and one LZ4 frame; all integers little-endian.
 *
 *	 0  "DCMSNAP\n"			40  hash of the engine's address
 *	 8  version u32			48  hash of the redaction rules
 *	12  size of the header u32	56  time, a double's bits
 *	16  XXH3-64 of all that follows	64  host id, filled up with NUL
 *	24  bytes of the content u64	128 the frame
 *	32  bytes of the frame u64
 *
 * The content is msgpack: an array for each item, the region's own row first.
 *
 *	[id (bin 32; nil: the row), name, status, health, cpu_percent, memory_usage,
 *	 [[verified, data (bin, or nil)] for each tier]]
 */
#include "snapshot.h"

#include <endian.h>
#include <errno.h>
#include <lz4frame.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "layout.h"

static const char magic[8] = {'D', 'C', 'M', 'S', 'N', 'A', 'P', '\n'};

enum {
	AT_VERSION = 8,
	AT_HEADER = 12,
	AT_CHECKSUM = 16,
	AT_CHECKED = 24, /* the checksum's part begins */
	AT_CONTENT = 24,
	AT_FRAME = 32,
	AT_ENGINE = 40,
	AT_RULES = 48,
	AT_TIME = 56,
	AT_HOST = 64,
	HOST_ROOM = SNAPSHOT_HEADER - AT_HOST,
	ITEM_PARTS = 7,
	RATIO_MAX = 255, /* LZ4 unpacks a byte to no more than that */
};

static void put_u32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static void put_u64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* ---- items to bytes ------------------------------------------------------------ */

struct packing {
	struct record_buf *b;
	size_t max;
	int rc;
};

static int pack_bytes(void *arg, const char *data, size_t len)
{
	struct packing *p = arg;

	if (p->rc == 0)
		p->rc = record_buf_append(p->b, data, len, p->max);
	return p->rc;
}

static void pack_bin(msgpack_packer *pk, const void *data, size_t len)
{
	msgpack_pack_bin(pk, len);
	if (len)
		msgpack_pack_bin_body(pk, data, len);
}

int snapshot_pack(struct record_buf *b, size_t max, const struct region_item *item)
{
	struct packing p = {.b = b, .max = max};
	msgpack_packer pk;

	msgpack_packer_init(&pk, &p, pack_bytes);
	msgpack_pack_array(&pk, ITEM_PARTS);
	if (item->id)
		pack_bin(&pk, item->id, 32);
	else
		msgpack_pack_nil(&pk);
	pack_bin(&pk, item->name.s, item->name.len);
	msgpack_pack_uint8(&pk, item->brief.status);
	msgpack_pack_uint8(&pk, item->brief.health);
	if (isfinite(item->brief.cpu_percent))
		msgpack_pack_double(&pk, item->brief.cpu_percent);
	else
		msgpack_pack_nil(&pk);
	if (item->brief.memory_usage != DCM_UNKNOWN)
		msgpack_pack_int64(&pk, item->brief.memory_usage);
	else
		msgpack_pack_nil(&pk);
	msgpack_pack_array(&pk, DCM_TIERS);
	for (size_t t = 0; t < DCM_TIERS; t++) {
		msgpack_pack_array(&pk, 2);
		msgpack_pack_double(&pk, item->tier[t].verified);
		if (item->tier[t].data)
			pack_bin(&pk, item->tier[t].data, item->tier[t].len);
		else
			msgpack_pack_nil(&pk);
	}
	return p.rc;
}

/* ---- the file ------------------------------------------------------------------ */

static void fill_header(uint8_t *h, const struct snapshot_head *head, size_t content, size_t frame)
{
	uint64_t time;

	memcpy(&time, &head->time, sizeof(time));
	memset(h, 0, SNAPSHOT_HEADER);
	memcpy(h, magic, sizeof(magic));
	put_u32(h + AT_VERSION, SNAPSHOT_VERSION);
	put_u32(h + AT_HEADER, SNAPSHOT_HEADER);
	put_u64(h + AT_CONTENT, content);
	put_u64(h + AT_FRAME, frame);
	put_u64(h + AT_ENGINE, head->origin.engine);
	put_u64(h + AT_RULES, head->origin.rules);
	put_u64(h + AT_TIME, time);
	memcpy(h + AT_HOST, head->host, strnlen(head->host, HOST_ROOM - 1));
	put_u64(h + AT_CHECKSUM,
		XXH3_64bits(h + AT_CHECKED, SNAPSHOT_HEADER - AT_CHECKED + frame));
}

int snapshot_seal(const struct snapshot_head *head, const struct record_buf *content,
		  struct record_buf *out, size_t max)
{
	const LZ4F_preferences_t how = {
		.frameInfo = {.blockSizeID = LZ4F_max64KB,
			      .contentChecksumFlag = LZ4F_contentChecksumEnabled,
			      .contentSize = content->len},
	};
	size_t room = LZ4F_compressFrameBound(content->len, &how), frame;
	uint8_t *file;

	if (content->len > max)
		return -E2BIG;
	file = malloc(SNAPSHOT_HEADER + room); /* memory that is not written is not taken */
	if (!file)
		return -ENOMEM;
	frame = LZ4F_compressFrame(file + SNAPSHOT_HEADER, room, content->data, content->len, &how);
	if (LZ4F_isError(frame) || frame > max || SNAPSHOT_HEADER > max - frame) {
		free(file);
		return LZ4F_isError(frame) ? -ENOMEM : -E2BIG;
	}
	fill_header(file, head, content->len, frame);
	record_buf_free(out);
	*out = (struct record_buf){(char *)file, SNAPSHOT_HEADER + frame, SNAPSHOT_HEADER + room};
	return 0;
}

static int fail(char *err, const char *what)
{
	snprintf(err, SNAPSHOT_ERR, "%s", what);
	return -EINVAL;
}

/* All that can be said of a file before its content is unpacked. */
static int check_header(const uint8_t *h, size_t len, const char *host, size_t max, char *err)
{
	uint64_t content, frame;

	if (len < SNAPSHOT_HEADER)
		return fail(err, len ? "it is cut short" : "it is empty");
	if (memcmp(h, magic, sizeof(magic)) != 0)
		return fail(err, "it does not begin as a snapshot does");
	if (get_u32(h + AT_VERSION) != SNAPSHOT_VERSION) {
		snprintf(err, SNAPSHOT_ERR, "it is of version %u, and this dcmd reads %d",
			 get_u32(h + AT_VERSION), SNAPSHOT_VERSION);
		return -EINVAL;
	}
	content = get_u64(h + AT_CONTENT);
	frame = get_u64(h + AT_FRAME);
	if (get_u32(h + AT_HEADER) != SNAPSHOT_HEADER || frame != len - SNAPSHOT_HEADER)
		return fail(err, "its size is not what its header says");
	if (XXH3_64bits(h + AT_CHECKED, len - AT_CHECKED) != get_u64(h + AT_CHECKSUM))
		return fail(err, "its checksum is wrong");
	if (h[SNAPSHOT_HEADER - 1] != 0 || strcmp((const char *)h + AT_HOST, host) != 0) {
		snprintf(err, SNAPSHOT_ERR, "it is of host %.*s", HOST_ROOM - 1, h + AT_HOST);
		return -EINVAL;
	}
	if (content > max || content / RATIO_MAX > frame)
		return fail(err, "it says to be larger than it can be, or than shard_limit");
	return 0;
}

/* 0 where the frame unpacks to just these bytes. */
static int unpack(const uint8_t *frame, size_t frame_len, uint8_t *content, size_t len)
{
	LZ4F_dctx *d = NULL;
	size_t in = 0, out = 0, hint;

	if (LZ4F_isError(LZ4F_createDecompressionContext(&d, LZ4F_VERSION)))
		return -ENOMEM;
	do {
		size_t some_in = frame_len - in, some_out = len - out;

		hint = LZ4F_decompress(d, content + out, &some_out, frame + in, &some_in, NULL);
		if (LZ4F_isError(hint) || (!some_in && !some_out))
			break;
		in += some_in;
		out += some_out;
	} while (hint != 0);
	LZ4F_freeDecompressionContext(d);
	return hint == 0 && in == frame_len && out == len ? 0 : -EINVAL;
}

int snapshot_open(const void *file, size_t len, const char *host, size_t max,
		  struct snapshot_head *head, uint8_t **content, size_t *content_len, char *err)
{
	const uint8_t *h = file;
	int rc = check_header(h, len, host, max, err);
	uint64_t time;

	*content = NULL;
	if (rc)
		return rc;
	time = get_u64(h + AT_TIME);
	*head = (struct snapshot_head){
		.origin = {get_u64(h + AT_ENGINE), get_u64(h + AT_RULES), false}};
	memcpy(&head->time, &time, sizeof(time));
	memcpy(head->host, h + AT_HOST, sizeof(head->host));
	if (!isfinite(head->time))
		return fail(err, "its time is none");
	*content_len = get_u64(h + AT_CONTENT);
	*content = malloc(*content_len + 1);
	if (!*content)
		return -ENOMEM;
	rc = unpack(h + SNAPSHOT_HEADER, len - SNAPSHOT_HEADER, *content, *content_len);
	if (rc == -EINVAL)
		fail(err, "its content does not unpack");
	if (rc) {
		free(*content);
		*content = NULL;
	}
	return rc;
}

/* ---- bytes to items ------------------------------------------------------------ */

static bool take_bin(struct mp *m, size_t max, struct dcm_str *out)
{
	struct mp_item it = mp_next(m);

	if (it.type != MP_BIN || it.s.len > max)
		return false;
	*out = it.s;
	return true;
}

/* nil, or a bin. */
static bool take_optional(struct mp *m, size_t max, struct dcm_str *out)
{
	struct mp before = *m;

	*out = (struct dcm_str){NULL, 0};
	if (mp_next(m).type == MP_NIL)
		return true;
	*m = before;
	return take_bin(m, max, out);
}

static bool take_byte(struct mp *m, uint8_t *out)
{
	int64_t i;

	if (!mp_int(m, &i) || i < 0 || i > UINT8_MAX)
		return false;
	*out = (uint8_t)i;
	return true;
}

/* One map and nothing behind it, as every tier is. */
static bool is_tier(struct dcm_str data)
{
	struct mp m = mp_of(data.s, data.len), at = m;

	if (mp_next(&at).type != MP_MAP)
		return false;
	mp_skip(&m);
	return !m.bad && m.p == m.end;
}

static bool take_tiers(struct mp *m, struct region_item *out)
{
	uint32_t n, two;

	if (!mp_array(m, &n) || n != DCM_TIERS)
		return false;
	for (uint32_t t = 0; t < n; t++) {
		struct dcm_str data;
		double verified;

		if (!mp_array(m, &two) || two != 2 || !mp_float(m, &verified) ||
		    !(verified >= 0) || !isfinite(verified) ||
		    !take_optional(m, DCM_BLOB_MAX, &data) || (data.s && !is_tier(data)))
			return false;
		out->tier[t].data = (const uint8_t *)data.s;
		out->tier[t].len = data.len;
		out->tier[t].verified = verified;
	}
	return true;
}

int snapshot_next(struct mp *m, struct region_item *out)
{
	struct region_brief *b = &out->brief;
	struct dcm_str id;
	uint32_t parts;

	if (m->p == m->end && !m->bad)
		return 0;
	memset(out, 0, sizeof(*out));
	if (!mp_array(m, &parts) || parts != ITEM_PARTS || !take_optional(m, 32, &id) ||
	    (id.s && id.len != 32) || !take_bin(m, DCM_NAME_MAX, &out->name) ||
	    !take_byte(m, &b->status) || !take_byte(m, &b->health))
		return -1;
	out->id = (const uint8_t *)id.s;
	if (!mp_float(m, &b->cpu_percent))
		b->cpu_percent = NAN;
	if (!mp_int(m, &b->memory_usage) || b->memory_usage < 0)
		b->memory_usage = DCM_UNKNOWN;
	return take_tiers(m, out) && !m->bad ? 1 : -1;
}

int64_t snapshot_check(const uint8_t *content, size_t len)
{
	struct mp m = mp_of(content, len);
	struct region_item item;
	int64_t n = 0;
	int rc;

	while ((rc = snapshot_next(&m, &item)) == 1)
		if ((item.id == NULL) != (n++ == 0))
			return -1;
	return rc < 0 || n == 0 ? -1 : n - 1;
}

/* ---- the mark in a region --------------------------------------------------------- */

static void pack_key(msgpack_packer *pk, const char *key)
{
	msgpack_pack_str(pk, strlen(key));
	msgpack_pack_str_body(pk, key, strlen(key));
}

int snapshot_origin_encode(const struct snapshot_origin *o, struct record_buf *b)
{
	struct packing p = {.b = b, .max = 256};
	msgpack_packer pk;

	b->len = 0;
	msgpack_packer_init(&pk, &p, pack_bytes);
	msgpack_pack_map(&pk, 3);
	pack_key(&pk, "engine");
	msgpack_pack_int64(&pk, (int64_t)o->engine);
	pack_key(&pk, "rules");
	msgpack_pack_int64(&pk, (int64_t)o->rules);
	pack_key(&pk, "forgotten");
	if (o->forgotten)
		msgpack_pack_true(&pk);
	else
		msgpack_pack_false(&pk);
	return p.rc;
}

bool snapshot_origin_decode(const uint8_t *data, size_t len, struct snapshot_origin *out)
{
	struct mp m = mp_of(data, len);
	unsigned found = 0;
	struct dcm_str key;
	uint32_t pairs;
	int64_t v;

	*out = (struct snapshot_origin){0};
	if (!mp_map(&m, &pairs))
		return false;
	while (pairs-- > 0 && mp_str(&m, &key)) {
		if (mp_key_is(key, "engine") && mp_int(&m, &v)) {
			out->engine = (uint64_t)v;
			found |= 1;
		} else if (mp_key_is(key, "rules") && mp_int(&m, &v)) {
			out->rules = (uint64_t)v;
			found |= 2;
		} else if (!mp_key_is(key, "forgotten") || !mp_bool(&m, &out->forgotten)) {
			return false;
		}
	}
	return found == 3 && !m.bad && m.p == m.end;
}
