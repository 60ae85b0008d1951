/* fuzz_facts.c - bytes of a tier gone mad: the index reads nothing out of bounds,
 * and what it answers of them is what asking them by shm/match.h gives. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../broker/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	enum dcm_tier tier;
	const uint8_t *data;
	uint32_t len;
};

static bool ask(void *arg, const struct match *m, struct dcm_ref ref)
{
	const struct bytes *b = arg;

	(void)ref;
	return match_tier(m, b->tier, b->data, b->len);
}

static void compare(struct index *ix, struct bytes *b, enum dcm_query_kind kind, const char *text,
		    const char *value)
{
	struct dcm_query q = {.kind = kind, .text = text, .value = value};
	static struct match m;
	const char *why;
	bool want;

	if (match_init(&m, &q, &why) != DCM_OK)
		return;
	if (!index_query(ix, &m, NULL, ask, b))
		abort();
	want = ask(b, &m, (struct dcm_ref){0}) ||
	       (kind == DCM_Q_SEARCH && match_id_prefix((const uint8_t[32]){0}, m.text));
	if (want != (ix->answer_n == 1) || ix->answer_n > 1)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dcm_tier tiers[] = {DCM_STATUS, DCM_CONFIG, DCM_COMPOSE};
	struct bytes b = {.len = 0};
	struct index *ix;
	uint32_t doc;

	if (size < 1 || size > 1 << 20 || !(ix = index_new(7)))
		return 0;
	b = (struct bytes){tiers[data[0] % 3], data + 1, (uint32_t)size - 1};
	doc = index_put(ix, index_host(ix, 1, "h"), (struct dcm_ref){1, 1, 1, 2});
	if (doc == INDEX_NONE)
		abort();
	index_identify(ix, doc, (const uint8_t[32]){0});
	index_tier(ix, doc, DCM_STATUS, NULL, 0);
	index_tier(ix, doc, b.tier, b.data, b.len);
	compare(ix, &b, DCM_Q_SEARCH, "we", NULL);
	compare(ix, &b, DCM_Q_SEARCH, "", NULL);
	compare(ix, &b, DCM_Q_LABEL, "a", NULL);
	compare(ix, &b, DCM_Q_LABEL, "a", "b");
	compare(ix, &b, DCM_Q_LABEL, "a", "");
	compare(ix, &b, DCM_Q_MOUNT, "/", NULL);
	compare(ix, &b, DCM_Q_MOUNT, "/srv", NULL);
	compare(ix, &b, DCM_Q_MOUNT, "/srv/", NULL);
	compare(ix, &b, DCM_Q_MOUNT, "data", NULL);
	compare(ix, &b, DCM_Q_NETWORK, "net", NULL);
	compare(ix, &b, DCM_Q_PROJECT, "shop", NULL);
	index_remove(ix, doc);
	if (ix->docs || ix->terms.links || ix->n_wide)
		abort();
	index_free(&ix);
	return 0;
}
