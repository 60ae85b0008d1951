/* record_write_rows.c - packs rows of hosts, entries of the directory and the
 * daemon's info, by the tables of record_rows.c. */
#include "record_rows.h"
#include "record_write.h"

#include <errno.h>
#include <string.h>

static void write_ttl(msgpack_packer *pk, const double *ttl)
{
	msgpack_pack_array(pk, DCM_TIERS);
	for (int i = 0; i < DCM_TIERS; i++)
		record_write_float(pk, ttl[i]);
}

static struct dcm_str text(const char *s, size_t size)
{
	return (struct dcm_str){s, (uint32_t)strnlen(s, size)};
}

static void write_value(msgpack_packer *pk, const struct row_field *f, const void *at)
{
	const char *name;

	switch ((enum row_type)f->type) {
	case ROW_STR:
		record_write_str(pk, *(const struct dcm_str *)at);
		break;
	case ROW_STRS:
		record_write_strs(pk, at);
		break;
	case ROW_INT:
		record_write_int(pk, *(const int64_t *)at);
		break;
	case ROW_U32:
		msgpack_pack_uint32(pk, *(const uint32_t *)at);
		break;
	case ROW_FLOAT:
		record_write_float(pk, *(const double *)at);
		break;
	case ROW_BOOL:
		if (*(const bool *)at)
			msgpack_pack_true(pk);
		else
			msgpack_pack_false(pk);
		break;
	case ROW_STATE:
		name = dcm_host_state_name(*(const enum dcm_host_state *)at);
		record_write_key(pk, name);
		break;
	case ROW_STEP:
		record_write_key(pk, dcm_step_name(*(const enum dcm_step *)at));
		break;
	case ROW_TEXT:
		record_write_str(pk, text(at, f->size));
		break;
	case ROW_TTL:
		write_ttl(pk, at);
		break;
	}
}

static int write_row(const struct row *row, const void *from, struct record_buf *b)
{
	struct record_writer w;

	if (row->n == 0)
		return -EINVAL;
	record_write_start(&w, b);
	msgpack_pack_map(&w.pk, row->n);
	for (unsigned i = 0; i < row->n; i++) {
		record_write_key(&w.pk, row->fields[i].name);
		write_value(&w.pk, &row->fields[i], (const char *)from + row->fields[i].offset);
	}
	return w.rc;
}

int record_encode_host(const struct dcm_host *h, enum dcm_tier tier, struct record_buf *b)
{
	return (unsigned)tier < DCM_TIERS ? write_row(&record_host_row[tier], h, b) : -EINVAL;
}

int record_encode_dirent(const struct record_dirent *e, enum dcm_tier tier, struct record_buf *b)
{
	return (unsigned)tier < DCM_TIERS ? write_row(&record_dirent_row[tier], e, b) : -EINVAL;
}

int record_encode_info(const struct dcm_info *i, struct record_buf *b)
{
	return write_row(&record_info_row, i, b);
}

int record_encode_catalog(const struct dcm_catalog *c, struct record_buf *b)
{
	return write_row(&record_catalog_row, c, b);
}
