/* record_write.h - what the two writers of msgpack maps share: record_write.c (a
 * container's tiers) and record_write_rows.c (rows of hosts and the directory). */
#ifndef DCM_RECORD_WRITE_H
#define DCM_RECORD_WRITE_H

#include <msgpack.h>

#include "record.h"

/* Packs into a record_buf; the first failure stays in rc and ends the writing. */
struct record_writer {
	msgpack_packer pk;
	struct record_buf *buf;
	int rc; /* 0, -E2BIG, -ENOMEM */
};

void record_write_start(struct record_writer *w, struct record_buf *b);
int record_write_bytes(void *writer, const char *data, size_t len);
void record_write_key(msgpack_packer *pk, const char *name);
/* Each writes nil for the value that means "not known". */
void record_write_str(msgpack_packer *pk, struct dcm_str s);
void record_write_int(msgpack_packer *pk, int64_t v);
void record_write_float(msgpack_packer *pk, double v);
void record_write_strs(msgpack_packer *pk, const struct dcm_strs *l);

#endif
