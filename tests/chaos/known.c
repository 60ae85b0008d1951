/* known.c - what one reader has seen of each container: see known.h. */
#include "known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 2 * KNOWN_MAX };

static uint32_t hash_of(const char *host, const char *id)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *host; host++)
		h = (h ^ (unsigned char)*host) * 16777619u;
	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 16777619u;
	return h;
}

static void *must(void *p)
{
	if (p)
		return p;
	fputs("reader: no memory, or too many containers\n", stderr);
	exit(2);
}

struct known *known_get(struct known_set *s, const char *host, const char *id)
{
	uint32_t h = hash_of(host, id);
	struct known *k;

	if (!s->v) {
		/* Touched now: what this program grows by later is the library's. */
		s->v = must(malloc(KNOWN_MAX * sizeof(*s->v)));
		s->bucket = must(malloc(BUCKETS * sizeof(*s->bucket)));
		memset(s->v, 0, KNOWN_MAX * sizeof(*s->v));
		memset(s->bucket, 0, BUCKETS * sizeof(*s->bucket));
	}
	for (; s->bucket[h % BUCKETS]; h++) {
		k = &s->v[s->bucket[h % BUCKETS] - 1];
		if (!strcmp(k->id, id) && !strcmp(k->host, host))
			return k;
	}
	must(s->n < KNOWN_MAX ? s : NULL);
	k = &s->v[s->n++];
	s->bucket[h % BUCKETS] = (uint32_t)s->n;
	snprintf(k->host, sizeof(k->host), "%s", host);
	snprintf(k->id, sizeof(k->id), "%s", id);
	k->serial = k->revision = -1;
	return k;
}

void known_settle(struct known_set *s, const char *host, uint32_t round)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].round != round && !strcmp(s->v[i].host, host))
			s->v[i].gone = true;
}

void known_drop(struct known_set *s, const char *host)
{
	for (size_t i = 0; i < s->n; i++)
		if (!host || !strcmp(s->v[i].host, host))
			s->v[i].here = false;
}

void known_drop_ref(struct known_set *s, const char *host, struct dcm_ref ref)
{
	for (size_t i = 0; i < s->n; i++) {
		struct known *k = &s->v[i];

		if (k->here && !strcmp(k->host, host) && !memcmp(&k->ref, &ref, sizeof(ref)))
			k->here = false;
	}
}

void known_free(struct known_set *s)
{
	free(s->v);
	free(s->bucket);
	*s = (struct known_set){0};
}
