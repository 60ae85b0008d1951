/*
 * dcm_find.c - one container of a host, by full id, by name, or by a unique
 * prefix of its id, in this order, as docker does.
 */
#include "dcm_impl.h"

#include <stdio.h>
#include <string.h>

enum { PREFIX_LEAST = 4, LISTED_MAX = 5 };

static int fail_find(dcm *d, int rc)
{
	if (rc == DCM_EBUSY)
		dcm_fail(d, rc, "the index changes too fast to be read; try again");
	return rc;
}

static void make_ref(const struct dcm_slot *s, uint32_t slot, uint32_t entry, uint32_t generation,
		     struct dcm_ref *out)
{
	*out = (struct dcm_ref){slot, s->generation, entry, generation};
}

/* The shard of a host; DCM_ENOTFOUND where nothing is known of it yet. */
static int host_shard(dcm *d, const char *host, uint32_t *slot, struct dcm_slot **s)
{
	int rc = dcm_slot_of(d, host, slot);

	return rc == DCM_OK ? dcm_slot_shard_checked(d, *slot, s) : rc;
}

/* The same for a look-up by id, which is to be quick: no look at a clock where it
 * is the host of the last one and nothing was published since. */
static int host_shard_again(dcm *d, const char *host, uint32_t *slot, struct dcm_slot **s)
{
	*slot = d->last_slot;
	*s = dcm_slot_ready(d, *slot);
	if (*s && host && strcmp((*s)->host, host) == 0)
		return DCM_OK;
	return host_shard(d, host, slot, s);
}

int dcm_find_id(dcm *d, const char *host, const uint8_t id[32], struct dcm_ref *out)
{
	uint32_t slot, entry, generation;
	struct dcm_slot *s;
	int rc = host_shard_again(d, host, &slot, &s);

	if (rc != DCM_OK)
		return rc;
	d->last_slot = slot;
	rc = region_find_id(&s->map, id, &entry, &generation);
	if (rc == DCM_OK && entry != DCM_SELF) {
		make_ref(s, slot, entry, generation, out);
		return DCM_OK;
	}
	if (rc == DCM_ENOTFOUND || rc == DCM_OK)
		return dcm_fail(d, DCM_ENOTFOUND, "no container with this id on host '%s'", host);
	return fail_find(d, rc);
}

static bool all_hex(const char *s, size_t len)
{
	return strspn(s, "0123456789abcdefABCDEF") == len;
}

static void parse_id(const char *hex, uint8_t id[32])
{
	for (int i = 0; i < 32; i++) {
		unsigned v;

		sscanf(hex + 2 * i, "%2x", &v);
		id[i] = (uint8_t)v;
	}
}

/* What a search by prefix has found so far. */
struct prefix_matches {
	struct dcm_ref first;
	unsigned n;
	char listed[400];
	size_t len;
};

static void list_match(struct prefix_matches *p, const uint8_t id[32], const char *name)
{
	char hex[65];

	if (p->n > LISTED_MAX)
		return;
	dcm_hex(id, 32, hex);
	p->len += (size_t)snprintf(p->listed + p->len, sizeof(p->listed) - p->len,
				   "%s%.12s (%.40s)", p->len ? ", " : "", hex, name);
}

static void find_prefix(struct dcm_slot *s, uint32_t slot, struct dcm_str prefix,
			struct prefix_matches *p)
{
	uint32_t n = region_entries(&s->map);

	for (uint32_t i = DCM_SELF + 1; i < n; i++) {
		const struct dcm_entry *e;
		uint32_t generation = dcm_live_entry(&s->map, i, &e), len;
		char name[DCM_NAME_MAX + 1];
		uint8_t id[32];

		if (generation == 0)
			continue;
		dcm_entry_id(e, id);
		if (!match_id_prefix(id, prefix) || !region_entry_ok(e, generation))
			continue;
		if (p->n++ == 0)
			make_ref(s, slot, i, generation, &p->first);
		if (dcm_entry_name(&s->map, e, i, generation, name, &len) != DCM_OK)
			name[0] = '\0';
		list_match(p, id, name);
	}
}

static int find_text(dcm *d, uint32_t slot, struct dcm_slot *s, const char *text, bool name_only,
		     struct dcm_ref *out)
{
	struct dcm_str prefix = {text, (uint32_t)strlen(text)};
	bool hex = !name_only && all_hex(text, prefix.len);
	struct prefix_matches found = {.n = 0};
	uint32_t entry, generation;
	uint8_t id[32];
	int rc = DCM_ENOTFOUND;

	if (hex && prefix.len == 64) {
		parse_id(text, id);
		rc = region_find_id(&s->map, id, &entry, &generation);
	}
	if (rc == DCM_ENOTFOUND)
		rc = region_find_name(&s->map, text, prefix.len, &entry, &generation);
	if (rc == DCM_OK && entry != DCM_SELF) {
		make_ref(s, slot, entry, generation, out);
		return DCM_OK;
	}
	if (rc != DCM_ENOTFOUND)
		return fail_find(d, rc);
	if (hex && prefix.len >= PREFIX_LEAST && prefix.len < 64)
		find_prefix(s, slot, prefix, &found);
	if (found.n == 1) {
		*out = found.first;
		return DCM_OK;
	}
	if (found.n > 1)
		return dcm_fail(d, DCM_EAMBIGUOUS,
				"'%.64s' matches %u containers on host '%s': %s%s; "
				"give more digits",
				text, found.n, s->host, found.listed,
				found.n > LISTED_MAX ? ", ..." : "");
	return DCM_ENOTFOUND;
}

int dcm_find(dcm *d, const char *host, const char *container, struct dcm_ref *out)
{
	const char *text = container;
	uint32_t slot;
	struct dcm_slot *s;
	int rc = host_shard(d, host, &slot, &s);

	if (rc != DCM_OK)
		return rc;
	if (!container)
		return dcm_fail(d, DCM_EINVAL,
				"no container given: an id, 4 or more of its first "
				"digits, or a name");
	while (*text == '/')
		text++;
	if (!*text)
		return dcm_fail(d, DCM_EINVAL,
				"the container is empty: give an id, 4 or more of its "
				"first digits, or a name");
	rc = find_text(d, slot, s, text, text != container, out);
	if (rc == DCM_ENOTFOUND)
		dcm_fail(d, rc, "no container '%.200s' on host '%s'; `dcm-client ps %s` lists them",
			 container, host, host);
	return rc;
}
