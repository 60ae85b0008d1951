/* match.c - which containers a cross-host query means; see match.h. */
#include "match.h"

#include <string.h>

#include "mp.h"
#include "record.h"

/* ---- the parts ---------------------------------------------------------- */

static inline char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

void match_fold(char *dst, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = fold(s[i]);
}

bool match_contains(struct dcm_str text, struct dcm_str folded)
{
	if (folded.len == 0)
		return true;
	for (uint32_t i = 0; text.s && i + (uint64_t)folded.len <= text.len; i++) {
		uint32_t k = 0;

		while (k < folded.len && fold(text.s[i + k]) == folded.s[k])
			k++;
		if (k == folded.len)
			return true;
	}
	return false;
}

static int hex_value(char c)
{
	c = fold(c);
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool match_id_prefix(const uint8_t id[32], struct dcm_str prefix)
{
	if (prefix.len > 64)
		return false;
	for (uint32_t i = 0; i < prefix.len; i++) {
		int digit = i % 2 ? id[i / 2] & 0xf : id[i / 2] >> 4;

		if (hex_value(prefix.s[i]) != digit)
			return false;
	}
	return true;
}

static struct dcm_str trim_slashes(struct dcm_str s)
{
	while (s.len > 0 && s.s[s.len - 1] == '/')
		s.len--;
	return s;
}

/* Both trimmed: "/" is "", and everything that begins with a slash is below it. */
static bool path_below(struct dcm_str at, struct dcm_str path)
{
	return at.len >= path.len && memcmp(at.s, path.s, path.len) == 0 &&
	       (at.len == path.len || at.s[path.len] == '/');
}

bool match_path(struct dcm_str at, struct dcm_str path)
{
	return at.s && at.len > 0 && path_below(trim_slashes(at), trim_slashes(path));
}

/* The last `c` in the first `n` bytes of s; -1: none. */
static int64_t last_of(const char *s, int64_t n, char c)
{
	while (--n >= 0 && s[n] != c)
		;
	return n;
}

bool match_bind_split(struct dcm_str bind, struct dcm_str *source, struct dcm_str *destination)
{
	int64_t mode = bind.s ? last_of(bind.s, bind.len, ':') : -1;
	int64_t at = mode > 0 ? last_of(bind.s, mode, ':') : -1;
	int64_t first = at;

	if (at < 0)
		return false;
	/* A destination is absolute; one that holds a colon is found so. */
	while (at > 0 && bind.s[at + 1] != '/')
		at = last_of(bind.s, at, ':');
	if (at <= 0)
		at = first;
	*source = (struct dcm_str){bind.s, (uint32_t)at};
	*destination = (struct dcm_str){bind.s + at + 1, (uint32_t)(mode - at - 1)};
	return true;
}

bool match_bind(struct dcm_str bind, struct dcm_str path)
{
	struct dcm_str source, destination;

	return match_bind_split(bind, &source, &destination) &&
	       (match_path(source, path) || match_path(destination, path));
}

/* ---- a whole query ------------------------------------------------------ */

static unsigned tiers_of(enum dcm_query_kind kind)
{
	switch (kind) {
	case DCM_Q_PROJECT:
		return 1u << DCM_COMPOSE;
	case DCM_Q_LABEL:
	case DCM_Q_MOUNT:
		return 1u << DCM_CONFIG;
	case DCM_Q_SEARCH:
		return 1u << DCM_STATUS | 1u << DCM_CONFIG;
	case DCM_Q_NETWORK:
		return 1u << DCM_STATUS;
	default:
		return 0;
	}
}

static bool needs_text(enum dcm_query_kind kind)
{
	return kind == DCM_Q_PROJECT || kind == DCM_Q_LABEL || kind == DCM_Q_MOUNT ||
	       kind == DCM_Q_NETWORK || kind == DCM_Q_STATUS;
}

static int init_text(struct match *m, const struct dcm_query *q, const char **why)
{
	size_t len = q->text ? strlen(q->text) : 0;

	if (len == 0 && needs_text(q->kind)) {
		*why = "the text of the query is empty; give the project, label, path, network "
		       "or status to look for";
		return DCM_EINVAL;
	}
	if (len > MATCH_TEXT_MAX || (q->value && strlen(q->value) > MATCH_TEXT_MAX)) {
		*why = "the text of the query is longer than 4095 bytes; shorten it";
		return DCM_EINVAL;
	}
	if (q->kind == DCM_Q_SEARCH)
		match_fold(m->buf, q->text ? q->text : "", len);
	else
		memcpy(m->buf, q->text ? q->text : "", len);
	m->buf[len] = '\0';
	m->text = (struct dcm_str){m->buf, (uint32_t)len};
	if (q->kind == DCM_Q_MOUNT)
		m->text = trim_slashes(m->text);
	m->value = (struct dcm_str){q->value, q->value ? (uint32_t)strlen(q->value) : 0};
	return DCM_OK;
}

int match_init(struct match *m, const struct dcm_query *q, const char **why)
{
	int rc;

	m->kind = q->kind;
	m->code = 0;
	m->none = false;
	m->tiers = tiers_of(q->kind);
	if ((unsigned)q->kind > DCM_Q_HEALTH) {
		*why = "no such kind of query";
		return DCM_EINVAL;
	}
	rc = init_text(m, q, why);
	if (rc != DCM_OK)
		return rc;
	if (q->kind == DCM_Q_STATUS) {
		m->code = record_status_code(m->text);
		m->none = m->code == DCM_S_UNKNOWN;
	} else if (q->kind == DCM_Q_HEALTH) {
		m->code = record_health_code(m->text);
		m->none = m->code == DCM_H_NONE && m->text.len > 0;
	}
	return DCM_OK;
}

int match_entry(const struct match *m, const uint8_t id[32], uint8_t status, uint8_t health)
{
	if (m->none)
		return 0;
	switch (m->kind) {
	case DCM_Q_ALL:
		return 1;
	case DCM_Q_STATUS:
		return status == m->code;
	case DCM_Q_HEALTH:
		return health == m->code;
	case DCM_Q_SEARCH:
		return match_id_prefix(id, m->text) ? 1 : -1;
	default:
		return -1;
	}
}

static bool str_is(struct mp *m, struct dcm_str want)
{
	struct dcm_str s;

	return mp_str(m, &s) && s.len == want.len && memcmp(s.s, want.s, want.len) == 0;
}

/* The value of `m->text` in the map of labels. */
static bool label_in(const struct match *m, struct mp *c)
{
	uint32_t n;
	bool found = false;

	if (!mp_map(c, &n))
		return false;
	for (uint32_t i = 0; i < n && !c->bad && !found; i++) {
		if (!str_is(c, m->text))
			mp_skip(c);
		else if (!m->value.s)
			found = true;
		else
			found = str_is(c, m->value);
	}
	return found;
}

static bool bind_in(const struct match *m, struct mp *c)
{
	struct dcm_str s;
	uint32_t n;

	if (!mp_array(c, &n))
		return false;
	for (uint32_t i = 0; i < n && !c->bad; i++)
		if (mp_str(c, &s) && match_bind(s, m->text))
			return true;
	return false;
}

/* One member of a map such as a volume or a network. */
typedef bool member_fits(struct dcm_str key, struct dcm_str value, struct dcm_str text);

static bool volume_fits(struct dcm_str key, struct dcm_str value, struct dcm_str path)
{
	return (mp_key_is(key, "name") || mp_key_is(key, "destination")) && match_path(value, path);
}

static bool network_fits(struct dcm_str key, struct dcm_str value, struct dcm_str name)
{
	return mp_key_is(key, "name") && value.s && value.len == name.len &&
	       memcmp(value.s, name.s, name.len) == 0;
}

/* Has a map of this array a member that fits? */
static bool maps_in(const struct match *m, struct mp *c, member_fits *fits)
{
	uint32_t n, pairs;

	if (!mp_array(c, &n))
		return false;
	for (uint32_t i = 0; i < n && !c->bad; i++) {
		if (!mp_map(c, &pairs))
			continue;
		for (uint32_t k = 0; k < pairs && !c->bad; k++) {
			struct dcm_str key = {0}, s = {0};

			mp_str(c, &key);
			mp_str(c, &s);
			if (fits(key, s, m->text))
				return true;
		}
	}
	return false;
}

/* What one pair of a tier's map says; the value is passed over. */
static bool pair_matches(const struct match *m, struct dcm_str key, struct mp *c)
{
	struct dcm_str s;

	switch (m->kind) {
	case DCM_Q_PROJECT:
		if (mp_key_is(key, "compose_project"))
			return str_is(c, m->text);
		break;
	case DCM_Q_LABEL:
		if (mp_key_is(key, "labels"))
			return label_in(m, c);
		break;
	case DCM_Q_SEARCH:
		if (mp_key_is(key, "name") || mp_key_is(key, "image"))
			return mp_str(c, &s) && match_contains(s, m->text);
		break;
	case DCM_Q_MOUNT:
		if (mp_key_is(key, "bind_mounts"))
			return bind_in(m, c);
		if (mp_key_is(key, "volumes"))
			return maps_in(m, c, volume_fits);
		break;
	case DCM_Q_NETWORK:
		if (mp_key_is(key, "networks"))
			return maps_in(m, c, network_fits);
		break;
	default:
		break;
	}
	mp_skip(c);
	return false;
}

bool match_tier(const struct match *m, enum dcm_tier tier, const uint8_t *data, uint32_t len)
{
	struct mp c = mp_of(data, len);
	uint32_t pairs;

	if (m->none || !(m->tiers & 1u << tier) || !mp_map(&c, &pairs))
		return false;
	for (uint32_t i = 0; i < pairs && !c.bad; i++) {
		struct dcm_str key = {0};

		mp_str(&c, &key);
		if (pair_matches(m, key, &c))
			return true;
	}
	return false;
}
