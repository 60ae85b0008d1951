/*
 * fuzz_client.c - what dcm-client is asked, and what it shows of a record that a
 * stranger made: nothing but clean lines reach a terminal, and JSON is JSON.
 *
 * Input: a line, the --filter; a line, the --format; then a byte, the tier, and that
 * tier's msgpack map.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../../client/filter.h"
#include "../../client/known.h"
#include "../../client/output.h"
#include "../../collector/decode_text.h"
#include "../../shm/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PATTERN_MAX = 48 };

static void check(bool truth)
{
	if (!truth)
		abort();
}

/* Characters that move a terminal's cursor, colour it, or turn its text around. */
static void check_clean(const struct dcm_text *t)
{
	check(!t->s || text_valid(t->s, t->len) == t->len);
	for (size_t i = 0; i < t->len; i++) {
		unsigned char c = (unsigned char)t->s[i], d = (unsigned char)t->s[i + 1];

		check((c >= ' ' && c != 0x7f) || c == '\n');
		check(c != 0xc2 || d > 0x9f);			      /* C1 */
		check(c != 0xe2 || d != 0x80 || (unsigned char)t->s[i + 2] < 0xa8 ||
		      (unsigned char)t->s[i + 2] > 0xae);	      /* U+2028 to U+202E */
	}
}

static void check_json(const struct dcm_text *t)
{
	struct json_tokener *k = json_tokener_new();
	struct json_object *o;

	json_tokener_set_flags(k, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(k, t->s, (int)t->len);
	check(o && json_object_is_type(o, json_type_object));
	json_object_put(o);
	json_tokener_free(k);
}

static void show(const struct dcm_record *r)
{
	const struct terminal wide = {.width = 0}, narrow = {.width = 40, .charset = TEXT_ASCII};
	struct dcm_text t = {0};
	struct table table = {0};

	row_json(&t, &record_rows, r);
	check_json(&t);
	for (unsigned i = 0; i < 2; i++) {
		text_clear(&t);
		table_begin(&table, record_rows.columns, record_rows.n_columns,
			    i ? TEXT_ASCII : TEXT_UTF8);
		table_row(&table, r);
		table_end(&table, &t, i ? &narrow : &wide);
		check_clean(&t);
		for (size_t k = 0; i && k < t.len; k++)
			check((unsigned char)t.s[k] < 0x80);
	}
	table_free(&table);
	dcm_text_free(&t);
}

static void ask(const char *filter, const char *format, const struct dcm_record *r)
{
	struct dcm_text why = {0}, out = {0};
	struct template template = {0};
	struct filter *f = NULL;
	const char *note;

	/* the C library's patterns may take for ever, by who asks */
	if (strlen(filter) < PATTERN_MAX && !strchr(filter, '{')) {
		if (filter_add(&f, filter, &note, &why))
			filter_match(f, r);
		else
			check(why.len > 0);
	}
	text_clear(&why);
	if (template_compile(&template, format, &record_rows, &why))
		template_row(&template, &out, r);
	else
		check(why.len > 0);
	template_free(&template);
	filter_free(&f);
	dcm_text_free(&why);
	dcm_text_free(&out);
}

/* Up to the end of the line. */
static char *line(const uint8_t **data, size_t *size)
{
	const uint8_t *end = *size ? memchr(*data, '\n', *size) : NULL;
	size_t n = end ? (size_t)(end - *data) : *size, used = end ? n + 1 : n;
	char *s = malloc(n + 1);

	memcpy(s, *data, n);
	s[n] = '\0';
	*data += used;
	*size -= used;
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *filter = line(&data, &size), *format = line(&data, &size);
	size_t len = size ? size - 1 : 0, room = len * RECORD_ARENA * 2;
	uint8_t *bytes = malloc(len + RECORD_BEHIND), *memory = malloc(room + 1), *arena = memory;
	struct dcm_record r;
	struct changed changed;
	struct known k = {.mark = 0};
	enum dcm_tier tier;

	record_out_init(&r);
	if (len)
		memcpy(bytes, data + 1, len);
	tier = len ? (enum dcm_tier)((data[0] & 7) % DCM_TIERS) : DCM_STATS;
	if (!len || record_decode_tier(bytes, len, tier, &r, &arena, &room) == DCM_OK) {
		show(&r);
		ask(filter, format, &r);
		known_compare(&k, &r, ~0u, &changed);
		known_compare(&k, &r, ~0u, &changed);
		check(changed.n == 0);
	}
	free(bytes);
	free(memory);
	free(filter);
	free(format);
	return 0;
}
