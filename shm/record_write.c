/*
 * record_write.c - packs the fields of a record's tier as a msgpack map, through
 * msgpack-c.  Every field of the tier is there, in the order of DCM_FIELDS, nil
 * where it is not known: equal states are equal bytes, and a reader that expects
 * the order finds each key at once.
 */
#include "fields.h"
#include "record.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include <msgpack.h>

#include "record_write.h"

int record_write_bytes(void *arg, const char *data, size_t len)
{
	struct record_writer *w = arg;

	if (w->rc == 0)
		w->rc = record_buf_append(w->buf, data, len, RECORD_TIER_MAX);
	return w->rc;
}

void record_write_start(struct record_writer *w, struct record_buf *b)
{
	b->len = 0;
	w->buf = b;
	w->rc = 0;
	msgpack_packer_init(&w->pk, w, record_write_bytes);
}

void record_write_str(msgpack_packer *pk, struct dcm_str s)
{
	if (!s.s) {
		msgpack_pack_nil(pk);
		return;
	}
	msgpack_pack_str(pk, s.len);
	if (s.len)
		msgpack_pack_str_body(pk, s.s, s.len);
}

void record_write_key(msgpack_packer *pk, const char *name)
{
	record_write_str(pk, (struct dcm_str){name, (uint32_t)strlen(name)});
}

void record_write_int(msgpack_packer *pk, int64_t v)
{
	if (v == DCM_UNKNOWN)
		msgpack_pack_nil(pk);
	else
		msgpack_pack_int64(pk, v);
}

void record_write_float(msgpack_packer *pk, double v)
{
	if (isfinite(v))
		msgpack_pack_double(pk, v);
	else
		msgpack_pack_nil(pk);
}

void record_write_strs(msgpack_packer *pk, const struct dcm_strs *l)
{
	if (!l->known) {
		msgpack_pack_nil(pk);
		return;
	}
	msgpack_pack_array(pk, l->n);
	for (uint32_t i = 0; i < l->n; i++)
		record_write_str(pk, l->v[i]);
}

static void write_bool(msgpack_packer *pk, int8_t v)
{
	if (v < 0)
		msgpack_pack_nil(pk);
	else if (v)
		msgpack_pack_true(pk);
	else
		msgpack_pack_false(pk);
}

static void write_map(msgpack_packer *pk, const struct dcm_map *m)
{
	if (!m->known) {
		msgpack_pack_nil(pk);
		return;
	}
	msgpack_pack_map(pk, m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		record_write_str(pk, m->v[i].key);
		record_write_str(pk, m->v[i].value);
	}
}

static void write_nets(msgpack_packer *pk, const struct dcm_networks *l)
{
	if (!l->known) {
		msgpack_pack_nil(pk);
		return;
	}
	msgpack_pack_array(pk, l->n);
	for (uint32_t i = 0; i < l->n; i++) {
		msgpack_pack_map(pk, 5);
		record_write_key(pk, "name");
		record_write_str(pk, l->v[i].name);
		record_write_key(pk, "ip");
		record_write_str(pk, l->v[i].ip);
		record_write_key(pk, "gateway");
		record_write_str(pk, l->v[i].gateway);
		record_write_key(pk, "mac");
		record_write_str(pk, l->v[i].mac);
		record_write_key(pk, "ipv6");
		record_write_str(pk, l->v[i].ipv6);
	}
}

static void write_aliases(msgpack_packer *pk, const struct dcm_aliases *l)
{
	if (!l->known) {
		msgpack_pack_nil(pk);
		return;
	}
	msgpack_pack_map(pk, l->n);
	for (uint32_t i = 0; i < l->n; i++) {
		record_write_str(pk, l->v[i].network);
		record_write_strs(pk, &l->v[i].aliases);
	}
}

static void write_vols(msgpack_packer *pk, const struct dcm_volumes *l)
{
	if (!l->known) {
		msgpack_pack_nil(pk);
		return;
	}
	msgpack_pack_array(pk, l->n);
	for (uint32_t i = 0; i < l->n; i++) {
		msgpack_pack_map(pk, 5);
		record_write_key(pk, "name");
		record_write_str(pk, l->v[i].name);
		record_write_key(pk, "source");
		record_write_str(pk, l->v[i].source);
		record_write_key(pk, "destination");
		record_write_str(pk, l->v[i].destination);
		record_write_key(pk, "driver");
		record_write_str(pk, l->v[i].driver);
		record_write_key(pk, "mode");
		record_write_str(pk, l->v[i].mode);
	}
}

static void write_field(msgpack_packer *pk, const struct field *f, const void *member)
{
	switch ((enum field_type)f->type) {
	case FIELD_STR:
		record_write_str(pk, *(const struct dcm_str *)member);
		break;
	case FIELD_INT:
		record_write_int(pk, *(const int64_t *)member);
		break;
	case FIELD_FLOAT:
		record_write_float(pk, *(const double *)member);
		break;
	case FIELD_BOOL:
		write_bool(pk, *(const int8_t *)member);
		break;
	case FIELD_STRS:
		record_write_strs(pk, member);
		break;
	case FIELD_MAP:
		write_map(pk, member);
		break;
	case FIELD_NETS:
		write_nets(pk, member);
		break;
	case FIELD_ALIASES:
		write_aliases(pk, member);
		break;
	case FIELD_VOLS:
		write_vols(pk, member);
		break;
	}
}

void record_out_init(struct dcm_record *r)
{
	*r = record_null;
}

int record_encode(const struct dcm_record *r, enum dcm_tier tier, struct record_buf *b)
{
	bool truncated = tier == DCM_CONFIG && r->truncated;
	struct field_range range;
	struct record_writer w;

	if ((unsigned)tier >= DCM_TIERS)
		return -EINVAL;
	range = record_tier_fields[tier];
	record_write_start(&w, b);
	msgpack_pack_map(&w.pk, (size_t)(range.end - range.first) + truncated);
	for (unsigned i = range.first; i < range.end; i++) {
		const struct field *f = &record_fields[i];

		record_write_bytes(&w, f->key, f->key_len);
		write_field(&w.pk, f, (const char *)r + f->offset);
	}
	if (truncated) {
		record_write_key(&w.pk, "truncated");
		msgpack_pack_true(&w.pk);
	}
	return w.rc;
}
