/* fuzz_inspect.c - whatever an engine answers to inspect: a sound record, which
 * loses its secrets in every mode, or a sentence. */
#include "../../collector/redact.h"
#include "fuzz_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char password[] = "PASSWORD", key[] = "KEY";
	char *words[] = {password, key};
	struct redact_rules rules = {ENV_REDACT, words, 2};
	struct arena a = {.max = 4 << 20};
	struct secrets found;
	struct decoded d;
	char err[DECODE_ERR] = "";
	int mode;

	if (decode_inspect((const char *)data, size, &a, &d, err) < 0) {
		check(err[0] && strlen(err) < sizeof(err));
	} else {
		check_record(&d.rec);
		check_order(d.rec.networks);
		for (mode = ENV_REDACT; mode <= ENV_NONE; mode++) {
			struct dcm_record r = d.rec;

			rules.mode = (enum environment_mode)mode;
			if (redact_record(&rules, &a, &r, &found) == 0)
				check_record(&r);
		}
	}
	arena_free(&a);
	return 0;
}
