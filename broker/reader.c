/* reader.c - see reader.h. */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

#include "facts.h"

enum { TRIES = 4 };

void reader_init(struct reader *r, dcm *d)
{
	*r = (struct reader){.d = d};
	dcm_record_init(&r->record);
}

void reader_free(struct reader *r)
{
	dcm_record_free(&r->record);
	free(r->tier);
	r->tier = NULL;
	r->room = 0;
}

static bool room_for(struct reader *r, uint32_t need)
{
	uint32_t room = need + need / 2;
	uint8_t *p;

	if (need <= r->room)
		return true;
	p = realloc(r->tier, room);
	if (!p)
		return false;
	r->tier = p;
	r->room = room;
	return true;
}

int reader_tier(struct reader *r, struct dcm_ref ref, enum dcm_tier tier, const uint8_t **data,
		uint32_t *len)
{
	*data = NULL;
	*len = 0;
	for (int i = 0; i < TRIES; i++) {
		struct dcm_view v;
		int rc = dcm_view(r->d, ref, tier, &v);

		if (rc != DCM_OK)
			return rc;
		if (!room_for(r, v.len))
			return DCM_ENOMEM;
		memcpy(r->tier, v.data, v.len);
		if (!dcm_view_ok(&v))
			continue;
		*data = r->tier;
		*len = v.len;
		return DCM_OK;
	}
	return DCM_EBUSY;
}

int reader_id(struct reader *r, struct dcm_ref ref, uint8_t id[32])
{
	int rc = dcm_read(r->d, ref, &r->record);

	if (rc != DCM_OK)
		return rc;
	return facts_parse_id((struct dcm_str){r->record.id, 64}, id) ? DCM_OK : DCM_ELAYOUT;
}
