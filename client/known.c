/* known.c - what `watch` last saw.  See known.h. */
#include "known.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"

/* ---- two hash tables over the same containers -------------------------- */

static uint64_t hash_of(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	while (n--)
		h = (h ^ *p++) * 0x100000001b3u;
	return h ^ h >> 32;
}

static size_t ref_bucket(const struct known_table *t, struct dcm_ref ref)
{
	return hash_of(&ref, sizeof(ref)) & (t->buckets - 1);
}

static size_t id_bucket(const struct known_table *t, const char *id)
{
	return hash_of(id, strlen(id)) & (t->buckets - 1);
}

static void link_by_ref(struct known_table *t, struct known *k)
{
	struct known **at = &t->by_ref[ref_bucket(t, k->ref)];

	k->next_by_ref = *at;
	*at = k;
}

static void link_by_id(struct known_table *t, struct known *k)
{
	struct known **at = &t->by_id[id_bucket(t, k->id)];

	k->next_by_id = *at;
	*at = k;
}

static void *memory(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		exit(fail(EXIT_OTHER, "out of memory: free some, or watch fewer containers with "
			  "--filter"));
	return p;
}

static void grow(struct known_table *t)
{
	struct known **old = t->by_id, *k, *next;
	size_t i, n = t->buckets;

	t->buckets = n ? n * 2 : 256;
	free(t->by_ref);
	t->by_ref = memory(t->buckets, sizeof(*t->by_ref));
	t->by_id = memory(t->buckets, sizeof(*t->by_id));
	for (i = 0; i < n; i++)
		for (k = old[i]; k; k = next) {
			next = k->next_by_id;
			link_by_id(t, k);
			link_by_ref(t, k);
		}
	free(old);
}

struct known *known_by_ref(const struct known_table *t, struct dcm_ref ref)
{
	struct known *k = t->buckets ? t->by_ref[ref_bucket(t, ref)] : NULL;

	while (k && memcmp(&k->ref, &ref, sizeof(ref)) != 0)
		k = k->next_by_ref;
	return k;
}

struct known *known_by_id(const struct known_table *t, struct dcm_str host, const char *id)
{
	struct known *k = t->buckets ? t->by_id[id_bucket(t, id)] : NULL;

	while (k && (strcmp(k->id, id) != 0 || !str_is(host, k->host)))
		k = k->next_by_id;
	return k;
}

static void put_str(char *buf, size_t room, struct dcm_str s)
{
	size_t n = s.len < room - 1 ? s.len : room - 1;

	if (n)
		memcpy(buf, s.s, n);
	buf[n] = '\0';
}

static void set_name(struct known *k, struct dcm_str name)
{
	free(k->name);
	k->name = memory(name.len + 1, 1);
	if (name.len)
		memcpy(k->name, name.s, name.len);
}

struct known *known_add(struct known_table *t, const struct dcm_record *r, struct dcm_ref ref)
{
	struct known *k;
	struct changed all;

	if (t->n >= t->buckets)
		grow(t);
	k = memory(1, sizeof(*k));
	put_str(k->host, sizeof(k->host), r->host_id);
	memcpy(k->id, r->id, sizeof(k->id));
	k->ref = ref;
	known_compare(k, r, UINT32_MAX, &all);
	set_name(k, r->name);
	link_by_ref(t, k);
	link_by_id(t, k);
	t->n++;
	return k;
}

static void unlink_by_ref(struct known_table *t, struct known *k)
{
	struct known **at = &t->by_ref[ref_bucket(t, k->ref)];

	while (*at != k)
		at = &(*at)->next_by_ref;
	*at = k->next_by_ref;
}

void known_move(struct known_table *t, struct known *k, struct dcm_ref ref)
{
	unlink_by_ref(t, k);
	k->ref = ref;
	link_by_ref(t, k);
}

void known_remove(struct known_table *t, struct known *k)
{
	struct known **at = &t->by_id[id_bucket(t, k->id)];

	unlink_by_ref(t, k);
	while (*at != k)
		at = &(*at)->next_by_id;
	*at = k->next_by_id;
	t->n--;
	free(k->name);
	free(k);
}

void known_unmarked(struct known_table *t, struct dcm_str host, uint32_t mark,
		    void (*fn)(struct known *k, void *arg), void *arg)
{
	struct known *k, *next;
	size_t i;

	for (i = 0; i < t->buckets; i++)
		for (k = t->by_id[i]; k; k = next) {
			next = k->next_by_id;
			if (k->mark != mark && str_is(host, k->host))
				fn(k, arg);
		}
}

void known_free(struct known_table *t)
{
	size_t i;

	for (i = 0; i < t->buckets; i++)
		while (t->by_id[i])
			known_remove(t, t->by_id[i]);
	free(t->by_ref);
	free(t->by_id);
	*t = (struct known_table){0};
}

/* ---- what changed ------------------------------------------------------ */

static const uint8_t tier_of[DCM_FIELD_COUNT] = {
#define TIER_OF(name, tier, type) [DCM_F_##name] = DCM_##tier,
	DCM_FIELDS(TIER_OF)
#undef TIER_OF
};

#define RECORD_SILENT "host_id container_id uptime freshness cached_at last_updated"
#define HOST_SILENT "id containers running age cpu_percent memory_usage"

/* Whether the property is compared; *tier: whose it is. */
static bool is_compared(const struct rows *rows, const struct prop *p, uint32_t tiers)
{
	int field;

	if (rows != &record_rows)
		return !one_of(p->name, HOST_SILENT);
	field = dcm_field_by_name(p->name);
	return field >= 0 && tiers & 1u << tier_of[field] && !one_of(p->name, RECORD_SILENT);
}

static void compare(uint64_t *hash, const struct rows *rows, const void *row, uint32_t tiers,
		    struct changed *out)
{
	static struct dcm_text value;
	size_t i;

	out->n = 0;
	for (i = 0; i < rows->n_props && i < KNOWN_FIELDS; i++) {
		uint64_t h;

		if (!is_compared(rows, &rows->props[i], tiers))
			continue;
		text_clear(&value);
		prop_json(&value, &rows->props[i], row);
		h = hash_of(value.s, value.len);
		if (h != hash[i])
			out->v[out->n++] = (uint8_t)i;
		hash[i] = h;
	}
}

void known_compare(struct known *k, const struct dcm_record *r, uint32_t tiers,
		   struct changed *out)
{
	compare(k->hash, &record_rows, r, tiers, out);
	if (k->name && r->name.s && !str_is(r->name, k->name))
		set_name(k, r->name);
}

void known_compare_host(struct known_host *k, const struct dcm_host *h, struct changed *out)
{
	compare(k->hash, &host_rows, h, UINT32_MAX, out);
}
