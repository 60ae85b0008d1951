/*
 * fuzz_redact.c - no secret is left in a record's text, a log line or a compose
 * file, whatever the secrets and the text are.
 *
 * Input: a byte of mode; variables, "NAME=value" each ended by NUL, the list
 * ended by an empty one; the rest is the text.
 */
#include "../../collector/redact.h"
#include "fuzz_decode.h"

/* A secret with a star in it may come about by chance, where ******** stands. */
static void check_gone(const struct secrets *s, struct dcm_str text)
{
	for (size_t i = 0; text.s && i < s->n; i++)
		check(s->v[i].len >= 6 && (memchr(s->v[i].s, '*', s->v[i].len) ||
					   !memmem(text.s, text.len, s->v[i].s, s->v[i].len)));
}

static size_t read_variables(struct arena *a, const char *s, size_t len, struct dcm_map *env)
{
	enum { MAX = 64 };
	struct dcm_pair *v = arena_alloc(a, MAX * sizeof(*v));
	const char *p = s, *end = s + len, *stop, *eq;

	env->known = true;
	env->v = v;
	while (p < end && *p && env->n < MAX) {
		stop = memchr(p, 0, (size_t)(end - p));
		stop = stop ? stop : end;
		eq = memchr(p, '=', (size_t)(stop - p));
		v[env->n].key = decode_utf8(a, p, (size_t)((eq ? eq : stop) - p));
		if (eq)
			v[env->n].value = decode_utf8(a, eq + 1, (size_t)(stop - eq - 1));
		env->n++;
		p = stop < end ? stop + 1 : end;
	}
	return (size_t)((p < end ? p + 1 : end) - s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char password[] = "PASSWORD", key[] = "KEY";
	char *words[] = {password, key};
	struct redact_rules rules = {ENV_REDACT, words, 2};
	struct arena a = {NULL, 0, 0};
	struct dcm_record r = {.pids = 0};
	struct dcm_str text, out;
	struct secrets found;
	size_t used;

	if (size < 1)
		return 0;
	rules.mode = (enum environment_mode)(data[0] % 4);
	used = 1 + read_variables(&a, (const char *)data + 1, size - 1, &r.environment_vars);
	text = decode_utf8(&a, (const char *)data + used, size - used);
	r.command = text;
	check(redact_record(&rules, &a, &r, &found) == 0);
	check_gone(&found, r.command);
	for (uint32_t i = 0; rules.mode == ENV_REDACT && i < r.environment_vars.n; i++)
		check_gone(&found, r.environment_vars.v[i].value);
	out = redact_text(&rules, &found, &a, text);
	check_str(out);
	check_gone(&found, out);
	out = redact_compose(&rules, &found, &a, text);
	check_str(out);
	check_gone(&found, out);
	if (rules.mode == ENV_FULL)
		check(out.s == text.s);
	arena_free(&a);
	return 0;
}
