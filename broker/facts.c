/* facts.c - see facts.h. */
#include "facts.h"

#include <string.h>

#include <xxhash.h>

#include "../shm/match.h"
#include "../shm/mp.h"

static void add_key(struct facts *f, struct term_key key, enum term_kind kind)
{
	if (f->n == FACTS_MAX)
		f->wide = true;
	else
		f->v[f->n++] = (struct fact){key, kind};
}

static void add(struct facts *f, const struct terms *t, enum term_kind kind, struct dcm_str s)
{
	/* Nobody can ask for a text longer than that. */
	if (s.len <= MATCH_TEXT_MAX)
		add_key(f, terms_key(t, kind, s.s, s.len), kind);
}

/* A name or image: the arena keeps its text. */
static void add_text(struct facts *f, const struct terms *t, enum term_kind kind, struct dcm_str s)
{
	if (f->has_text || s.len > sizeof(f->text) || (s.len && memchr(s.s, 0, s.len))) {
		f->wide = true;
		return;
	}
	f->has_text = true;
	match_fold(f->text, s.s, s.len);
	f->text_len = s.len;
	add(f, t, kind, (struct dcm_str){f->text, s.len});
}

/* A path and all paths above it, so that "equal to PATH or below it" is one
 * look-up. */
static void add_path(struct facts *f, const struct terms *t, struct dcm_str at)
{
	if (!at.len)
		return;
	while (at.len && at.s[at.len - 1] == '/')
		at.len--;
	add(f, t, TERM_MOUNT, at);
	for (uint32_t i = 0; i < at.len && i <= MATCH_TEXT_MAX && !f->wide; i++)
		if (at.s[i] == '/')
			add(f, t, TERM_MOUNT, (struct dcm_str){at.s, i});
}

static void get_labels(struct facts *f, const struct terms *t, struct mp *m)
{
	struct dcm_str key, value;
	uint32_t pairs;

	if (!mp_map(m, &pairs))
		return;
	for (uint32_t i = 0; i < pairs && !m->bad && !f->wide; i++) {
		struct term_key k;

		if (!mp_str(m, &key)) {
			mp_skip(m);
			continue;
		}
		k = terms_key(t, TERM_LABEL, key.s, key.len);
		add_key(f, k, TERM_LABEL);
		if (mp_str(m, &value))
			add_key(f, terms_pair(k, value.s, value.len), TERM_PAIR);
	}
}

static void get_binds(struct facts *f, const struct terms *t, struct mp *m)
{
	struct dcm_str bind, source, destination;
	uint32_t n;

	if (!mp_array(m, &n))
		return;
	for (uint32_t i = 0; i < n && !m->bad && !f->wide; i++)
		if (mp_str(m, &bind) && match_bind_split(bind, &source, &destination)) {
			add_path(f, t, source);
			add_path(f, t, destination);
		}
}

/* Maps in a list: `get` sees each key with its text. */
static void get_maps(struct facts *f, const struct terms *t, struct mp *m,
		     void (*get)(struct facts *, const struct terms *, struct dcm_str,
				 struct dcm_str))
{
	struct dcm_str key, value;
	uint32_t n, pairs;

	if (!mp_array(m, &n))
		return;
	for (uint32_t i = 0; i < n && !m->bad && !f->wide; i++) {
		if (!mp_map(m, &pairs))
			continue;
		for (uint32_t j = 0; j < pairs && !m->bad; j++) {
			if (!mp_str(m, &key))
				mp_skip(m);
			else if (mp_str(m, &value))
				get(f, t, key, value);
		}
	}
}

static void got_network(struct facts *f, const struct terms *t, struct dcm_str key,
			struct dcm_str value)
{
	if (mp_key_is(key, "name"))
		add(f, t, TERM_NETWORK, value);
}

static void got_volume(struct facts *f, const struct terms *t, struct dcm_str key,
		       struct dcm_str value)
{
	if (mp_key_is(key, "name") || mp_key_is(key, "destination"))
		add_path(f, t, value);
}

/* The value of one field. */
static void get_field(struct facts *f, const struct terms *t, enum dcm_tier tier,
		      struct dcm_str key, struct mp *m)
{
	struct dcm_str s;

	if (tier == DCM_STATUS && mp_key_is(key, "name")) {
		if (mp_str(m, &f->name))
			add_text(f, t, TERM_NAME, f->name);
	} else if (tier == DCM_STATUS && mp_key_is(key, "networks")) {
		get_maps(f, t, m, got_network);
	} else if (tier == DCM_CONFIG && mp_key_is(key, "image")) {
		if (mp_str(m, &s))
			add_text(f, t, TERM_IMAGE, s);
	} else if (tier == DCM_CONFIG && mp_key_is(key, "labels")) {
		get_labels(f, t, m);
	} else if (tier == DCM_CONFIG && mp_key_is(key, "bind_mounts")) {
		get_binds(f, t, m);
	} else if (tier == DCM_CONFIG && mp_key_is(key, "volumes")) {
		get_maps(f, t, m, got_volume);
	} else if (tier == DCM_COMPOSE && mp_key_is(key, "compose_project")) {
		if (mp_str(m, &s))
			add(f, t, TERM_PROJECT, s);
	} else {
		/* A name where none belongs: a search looks at it all the same. */
		if (mp_key_is(key, "name") || mp_key_is(key, "image"))
			f->wide = true;
		mp_skip(m);
	}
}

void facts_of(struct facts *out, const struct terms *terms, enum dcm_tier tier,
	      const uint8_t *data, uint32_t len)
{
	struct dcm_str key;
	uint32_t pairs;
	struct mp m;

	out->n = out->text_len = 0;
	out->name = (struct dcm_str){NULL, 0};
	out->wide = out->has_text = false;
	if (!data)
		return;
	m = mp_of(data, len);
	if (!mp_map(&m, &pairs)) {
		out->wide = true;
		return;
	}
	for (uint32_t i = 0; i < pairs && !m.bad && !out->wide; i++) {
		if (mp_str(&m, &key))
			get_field(out, terms, tier, key, &m);
		else
			mp_skip(&m);
	}
	if (m.bad)
		out->wide = true;
}

int facts_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool facts_parse_id(struct dcm_str s, uint8_t id[32])
{
	if (!s.s || s.len != 64)
		return false;
	for (unsigned i = 0; i < 32; i++) {
		int hi = facts_hex(s.s[2 * i]), lo = facts_hex(s.s[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		id[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

bool facts_id(const uint8_t *data, uint32_t len, uint8_t id[32])
{
	struct mp m = mp_of(data, len);
	struct dcm_str key, s = {NULL, 0};
	uint32_t pairs;

	if (!mp_map(&m, &pairs))
		return false;
	for (uint32_t i = 0; i < pairs && !m.bad; i++) {
		if (!mp_str(&m, &key) || !mp_key_is(key, "container_id")) {
			mp_skip(&m);
			continue;
		}
		return mp_str(&m, &s) && facts_parse_id(s, id);
	}
	return false;
}

uint64_t facts_print(const struct facts *f)
{
	return XXH3_64bits_withSeed(f->v, f->n * sizeof(f->v[0]),
				    f->name.s ? XXH3_64bits(f->name.s, f->name.len) : 0) + f->wide;
}
