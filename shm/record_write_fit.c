/*
 * record_write_fit.c - a tier that is too large for one, made to fit: the largest of
 * its fields is halved until it does.  Lists and maps lose their ends, texts too.
 */
#include "fields.h"
#include "record.h"
#include "record_write.h"

#include <errno.h>

/* Bytes that it takes, or nearly. */
static size_t strs_size(const struct dcm_strs *l)
{
	size_t n = 0;

	for (uint32_t i = 0; i < l->n; i++)
		n += l->v[i].len + 5u;
	return n;
}

static size_t map_size(const struct dcm_map *m)
{
	size_t n = 0;

	for (uint32_t i = 0; i < m->n; i++)
		n += m->v[i].key.len + (size_t)m->v[i].value.len + 10;
	return n;
}

static size_t nets_size(const struct dcm_networks *l)
{
	size_t n = 0;

	for (uint32_t i = 0; i < l->n; i++)
		n += (size_t)l->v[i].name.len + l->v[i].ip.len + l->v[i].gateway.len +
		     l->v[i].mac.len + l->v[i].ipv6.len + 50;
	return n;
}

static size_t aliases_size(const struct dcm_aliases *l)
{
	size_t n = 0;

	for (uint32_t i = 0; i < l->n; i++)
		n += l->v[i].network.len + 10u + strs_size(&l->v[i].aliases);
	return n;
}

static size_t vols_size(const struct dcm_volumes *l)
{
	size_t n = 0;

	for (uint32_t i = 0; i < l->n; i++)
		n += (size_t)l->v[i].name.len + l->v[i].source.len + l->v[i].destination.len +
		     l->v[i].driver.len + l->v[i].mode.len + 60;
	return n;
}

static size_t size_of(const struct field *f, const void *member)
{
	switch ((enum field_type)f->type) {
	case FIELD_STR:
		return ((const struct dcm_str *)member)->len;
	case FIELD_STRS:
		return strs_size(member);
	case FIELD_MAP:
		return map_size(member);
	case FIELD_NETS:
		return nets_size(member);
	case FIELD_ALIASES:
		return aliases_size(member);
	case FIELD_VOLS:
		return vols_size(member);
	case FIELD_INT:
	case FIELD_FLOAT:
	case FIELD_BOOL:
		break;
	}
	return 0;
}

/* To half its length, between characters. */
static void halve_text(struct dcm_str *s)
{
	s->len /= 2;
	while (s->len && ((unsigned char)s->s[s->len] & 0xC0) == 0x80)
		s->len--;
}

static void halve(const struct field *f, void *member)
{
	switch ((enum field_type)f->type) {
	case FIELD_STR:
		halve_text(member);
		break;
	case FIELD_STRS:
		((struct dcm_strs *)member)->n /= 2;
		break;
	case FIELD_MAP:
		((struct dcm_map *)member)->n /= 2;
		break;
	case FIELD_NETS:
		((struct dcm_networks *)member)->n /= 2;
		break;
	case FIELD_ALIASES:
		((struct dcm_aliases *)member)->n /= 2;
		break;
	case FIELD_VOLS:
		((struct dcm_volumes *)member)->n /= 2;
		break;
	case FIELD_INT:
	case FIELD_FLOAT:
	case FIELD_BOOL:
		break;
	}
}

/* false: there is nothing left to take. */
static bool shrink(struct dcm_record *r, enum dcm_tier tier)
{
	struct field_range range = record_tier_fields[tier];
	const struct field *largest = NULL;
	size_t most = 0;

	for (unsigned i = range.first; i < range.end; i++) {
		const struct field *f = &record_fields[i];
		size_t n = size_of(f, (const char *)r + f->offset);

		if (n > most) {
			most = n;
			largest = f;
		}
	}
	if (!largest)
		return false;
	halve(largest, (char *)r + largest->offset);
	return true;
}

int record_encode_fit(struct dcm_record *r, enum dcm_tier tier, struct record_buf *b)
{
	int rc = record_encode(r, tier, b);

	while (rc == -E2BIG && shrink(r, tier)) {
		r->truncated = true;
		rc = record_encode(r, tier, b);
	}
	return rc;
}
