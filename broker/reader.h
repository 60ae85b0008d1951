/*
 * reader.h - true copies of what the memory says of one container.
 */
#ifndef DCM_READER_H
#define DCM_READER_H

#include "../shm/dcm.h"

struct reader {
	dcm *d;
	uint8_t *tier; /* the copy; as large as the largest tier so far */
	uint32_t room;
	struct dcm_record record;
};
void reader_init(struct reader *r, dcm *d);
void reader_free(struct reader *r);

/* A tier's bytes, until the next call.  DCM_ENOTFOUND (with *data NULL): it was
 * never filled; DCM_ESTALE: the container is gone; DCM_EBUSY; DCM_ENOMEM. */
int reader_tier(struct reader *r, struct dcm_ref ref, enum dcm_tier tier, const uint8_t **data,
		uint32_t *len);
/* The full id; slower, and always there. */
int reader_id(struct reader *r, struct dcm_ref ref, uint8_t id[32]);

#endif
