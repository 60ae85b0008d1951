/* test_client_output.c - JSON of every shape, --format, the upright view, -q. */
#include "client_help.h"

#include "../../client/template.h"

/* ---- properties and formats -------------------------------------------- */

struct thing {
	struct dcm_str text;
	const char *constant;
	char chars[8];
	int64_t count;
	double share;
	bool sure;
	int8_t maybe;
	struct dcm_strs list;
	enum dcm_host_state state;
	struct dcm_text json;
};
#define T(m) PROP(struct thing, m)
static const struct prop props[] = {
	T(text), T(constant), T(chars), PROP_IN(struct thing, count, U_BYTES),
	PROP_IN(struct thing, share, U_PERCENT), T(sure), T(maybe), T(list), T(state), T(json)};

static enum paint cell_text(struct dcm_text *t, const void *row)
{
	add_str(t, ((const struct thing *)row)->text);
	return PLAIN;
}

static const struct column columns[] = {{"TEXT", cell_text, 0, false}};
static const struct rows things = {props, sizeof(props) / sizeof(*props), columns, 1};

static char json_text[] = "{\"a\":1}";
static struct thing full(void)
{
	static const struct dcm_str list[] = {S("x"), S("y\"z")};

	return (struct thing){S("a\tb"), "const", "chars", 2048, 12.5, true, 0, {list, 2, true},
			      DCM_DEGRADED, {json_text, sizeof(json_text) - 1, 0}};
}
static const struct thing empty = {.count = DCM_UNKNOWN, .share = NAN, .maybe = -1};

static void json_of_a_row(void **state)
{
	struct dcm_text t = {0};
	struct thing f = full();

	(void)state;
	row_json(&t, &things, &f);
	assert_text(t,
		    "{\"text\":\"a\\tb\",\"constant\":\"const\",\"chars\":\"chars\",\"count\":2048,"
		    "\"share\":12.5,\"sure\":true,\"maybe\":false,\"list\":[\"x\",\"y\\\"z\"],"
		    "\"state\":\"degraded\",\"json\":{\"a\":1}}");
	text_clear(&t);
	row_json(&t, &things, &empty);
	assert_text(t,
		    "{\"text\":null,\"constant\":null,\"chars\":null,\"count\":null,\"share\":null,"
		    "\"sure\":false,\"maybe\":null,\"list\":null,\"state\":\"starting\","
		    "\"json\":null}");
	dcm_text_free(&t);
}

static const char *formatted(const char *format, const struct thing *row)
{
	static struct dcm_text out;
	struct template t = {0};
	struct dcm_text why = {0};

	text_clear(&out);
	if (template_compile(&t, format, &things, &why))
		template_row(&t, &out, row);
	else
		text_printf(&out, "error: %s", why.s);
	template_free(&t);
	dcm_text_free(&why);
	return out.s;
}

static void formats(void **state)
{
	struct thing f = full();

	(void)state;
	assert_string_equal(formatted("", &f), "\n");
	assert_string_equal(formatted("{text}|{count}", &f), "a\tb|2048\n");
	assert_string_equal(formatted("{count}\\t{share}\\nx", &f), "2048\t12.5\nx\n");
	assert_string_equal(formatted("{list} {json} {state}", &f),
			    "[\"x\",\"y\\\"z\"] {\"a\":1} degraded\n");
	assert_string_equal(formatted("<{text}{count}{share}{maybe}{list}>", &empty), "<>\n");
	assert_string_equal(formatted("\\{{sure}\\} \\\\ \\q }", &f), "{true} \\ \\q }\n");
	assert_string_equal(formatted("{count}{count}", &f), "20482048\n");
	assert_string_equal(formatted("{count}\\n", &f), "2048\n");
}

static void formats_that_are_wrong(void **state)
{
	struct thing f = full();

	(void)state;
	assert_non_null(strstr(formatted("{nope}", &f), "no field 'nope'"));
	assert_non_null(strstr(formatted("{nope}", &f), "text, constant, chars"));
	assert_non_null(strstr(formatted("{tex}", &f), "no field"));
	assert_non_null(strstr(formatted("{}", &f), "no field ''"));
	assert_non_null(strstr(formatted("{count", &f), "without its }"));
	assert_non_null(strstr(formatted("{{.Names}}", &f), "no Go templates"));
}

/* ---- documents --------------------------------------------------------- */

static struct capture got;

static const struct prop one_prop[] = {
	{"container_id", P_STR, U_NONE, offsetof(struct thing, text)}};
static const struct rows ids = {one_prop, 1, columns, 1};

/* n rows, in as many sections as there are names. */
static const char *document(enum output_form form, enum output_shape shape, int n,
			    const char *const *sections)
{
	struct output o = {0};
	struct dcm_text why = {0};
	struct thing row = {.text = S("0123456789abcdef")};
	int i, status;

	capture(&got, STDOUT_FILENO);
	output_init(&o, form, "{container_id}", &ids, &why);
	output_begin(&o, &ids, shape);
	do {
		if (*sections)
			output_section(&o, *sections);
		for (i = 0; i < n; i++)
			output_row(&o, &row);
	} while (*sections && *++sections);
	status = output_end(&o);
	output_free(&o);
	captured(&got);
	assert_int_equal(status, EXIT_OK);
	return got.text;
}

#define ROW "{\"container_id\":\"0123456789abcdef\"}"

static void json_documents(void **state)
{
	static const char *const none[] = {NULL}, *const ab[] = {"a", "b", NULL};

	(void)state;
	assert_string_equal(document(FORM_JSON, SHAPE_LIST, 0, none), "[]\n");
	assert_string_equal(document(FORM_JSON, SHAPE_LIST, 2, none), "[\n" ROW ",\n" ROW "\n]\n");
	assert_string_equal(document(FORM_JSON, SHAPE_LINES, 1, none), "[\n" ROW "\n]\n");
	assert_string_equal(document(FORM_JSON, SHAPE_ONE, 1, none), ROW "\n");
	assert_string_equal(document(FORM_JSON, SHAPE_SECTIONS, 0, ab),
			    "{\n\"a\": [],\n\"b\": []\n}\n");
	assert_string_equal(document(FORM_JSON, SHAPE_SECTIONS, 1, ab),
			    "{\n\"a\": [\n" ROW "\n],\n\"b\": [\n" ROW "\n]\n}\n");
	assert_string_equal(document(FORM_JSON, SHAPE_MAP, 0, none), "{}\n");
	assert_string_equal(document(FORM_JSON, SHAPE_MAP, 1, ab),
			    "{\n\"a\": " ROW ",\n\"b\": " ROW "\n}\n");
	assert_string_equal(document(FORM_JSON, SHAPE_STREAM, 2, none), ROW "\n" ROW "\n");
}

static void text_documents(void **state)
{
	static const char *const none[] = {NULL}, *const ab[] = {"top_a", "b", NULL};

	(void)state;
	assert_string_equal(document(FORM_TABLE, SHAPE_LIST, 0, none), "TEXT\n");
	assert_string_equal(document(FORM_TABLE, SHAPE_LIST, 1, none), "TEXT\n0123456789abcdef\n");
	assert_string_equal(document(FORM_TABLE, SHAPE_ONE, 1, none),
			    "container_id  0123456789abcdef\n");
	assert_string_equal(document(FORM_TABLE, SHAPE_SECTIONS, 1, ab),
			    "TOP A\nTEXT\n0123456789abcdef\n\nB\nTEXT\n0123456789abcdef\n");
	assert_string_equal(document(FORM_TABLE, SHAPE_SECTIONS, 0, ab),
			    "TOP A\n(none)\n\nB\n(none)\n");
	assert_string_equal(document(FORM_TABLE, SHAPE_STREAM, 1, none), "0123456789abcdef\n");
	assert_string_equal(document(FORM_TEMPLATE, SHAPE_LIST, 2, none),
			    "0123456789abcdef\n0123456789abcdef\n");
	assert_string_equal(document(FORM_IDS, SHAPE_LIST, 2, none),
			    "0123456789ab\n0123456789ab\n");
	assert_string_equal(document(FORM_IDS_JSON, SHAPE_LIST, 1, none),
			    "[\n\"0123456789abcdef\"\n]\n");
}

static void a_full_disk_is_told(void **state)
{
	struct output o = {0};
	struct dcm_text why = {0};
	struct thing row = {.text = S("x")};
	int full_disk = open("/dev/full", O_WRONLY), saved = dup(STDOUT_FILENO), status;

	(void)state;
	assert_true(full_disk >= 0);
	capture(&got, STDERR_FILENO);
	fflush(NULL);
	dup2(full_disk, STDOUT_FILENO);
	output_init(&o, FORM_JSON, NULL, &ids, &why);
	output_begin(&o, &ids, SHAPE_LIST);
	output_row(&o, &row);
	status = output_end(&o);
	dup2(saved, STDOUT_FILENO);
	captured(&got);
	close(saved);
	close(full_disk);
	output_free(&o);
	assert_int_equal(status, EXIT_OTHER);
	assert_non_null(strstr(got.text, "No space left"));
	assert_int_equal(strcspn(got.text, "\n"), strlen(got.text) - 1);
}

static void messages_are_one_safe_line(void **state)
{
	(void)state;
	capture(&got, STDERR_FILENO);
	assert_int_equal((fail)(EXIT_NOTFOUND, "no host '%s'", "a\nb\033[2J"), EXIT_NOTFOUND);
	captured(&got);
	assert_string_equal(got.text, "dcm-client: no host 'a\\nb\\x1b[2J'\n");
}

/* ---- records ----------------------------------------------------------- */

static void every_field_of_a_record_has_a_format(void **state)
{
	struct dcm_record r;
	struct dcm_text t = {0}, field = {0};
	size_t i;

	(void)state;
	record_named(&r, "alpha", ID_A, "web");
	for (i = 0; i < record_rows.n_props; i++) {
		text_clear(&t);
		text_clear(&field);
		prop_json(&t, &record_rows.props[i], &r);
		assert_int_equal(dcm_record_json_field(&r, record_rows.props[i].name, &field),
				 DCM_OK);
		/* One way to write a value, ours or libdcm's. */
		assert_string_equal(t.s, field.s);
	}
	dcm_text_free(&t);
	dcm_text_free(&field);
}

static void a_record_upright(void **state)
{
	static const struct dcm_pair env[] = {{S("A"), S("1")}, {S("B"), {NULL, 0}}};
	static const struct dcm_network nets[] = {
		{.name = S("front"), .ip = S("10.0.0.2"), .gateway = S("10.0.0.1")}};
	static const struct dcm_str aliases[] = {S("web"), S("w")};
	static const struct dcm_alias alias[] = {{S("front"), {aliases, 2, true}}};
	static const struct dcm_volume vols[] = {{.name = S("v"), .destination = S("/v"),
						  .mode = S("ro")}};
	static const char *const lines[] = {
		"environment_vars          A=1\n                          B\nlabels ",
		"networks                  front 10.0.0.2 via 10.0.0.1\n",
		"network_aliases           front: web, w\n", "volumes                   v:/v:ro\n",
		"compose_file_content      a:\n                            b\\x1b\ncompose_working",
		"memory_limit              unlimited\n", "memory_usage              1.0MiB\n",
		"links                     -\n",
		"freshness                 stats 1s, status 1s (stale), config 1s, compose -\n"};
	struct output o = {0};
	struct dcm_text why = {0};
	struct dcm_record r;
	size_t i;

	(void)state;
	record_named(&r, "alpha", ID_A, "web");
	r.environment_vars = (struct dcm_map){env, 2, true};
	r.networks = (struct dcm_networks){nets, 1, true};
	r.network_aliases = (struct dcm_aliases){alias, 1, true};
	r.volumes = (struct dcm_volumes){vols, 1, true};
	r.links = (struct dcm_strs){NULL, 0, true};
	r.compose_file_content = S("a:\n  b\033\n");
	r.memory_limit = 0;
	r.memory_usage = 1 << 20;
	r.freshness[DCM_STATUS].stale = true;
	r.freshness[DCM_COMPOSE].age = NAN;
	capture(&got, STDOUT_FILENO);
	output_init(&o, FORM_TABLE, NULL, &record_rows, &why);
	output_begin(&o, &record_rows, SHAPE_ONE);
	output_row(&o, &r);
	output_end(&o);
	captured(&got);
	output_free(&o);
	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		if (!strstr(got.text, lines[i]))
			fail_msg("not there: %s\nin:\n%s", lines[i], got.text);
}

static void stale_is_marked(void **state)
{
	struct dcm_record r;
	struct output o = {0};
	struct dcm_text why = {0};

	(void)state;
	record_named(&r, "alpha", ID_A, "web");
	r.status = S("exited");
	r.exit_code = 3;
	r.cpu_percent = 12.345;
	r.memory_usage = 1 << 20;
	r.freshness[DCM_STATUS].stale = r.freshness[DCM_STATS].stale = true;
	capture(&got, STDOUT_FILENO);
	output_init(&o, FORM_TABLE, NULL, &record_rows, &why);
	output_begin(&o, &record_rows, SHAPE_LIST);
	output_row(&o, &r);
	output_end(&o);
	captured(&got);
	output_free(&o);
	assert_non_null(strstr(got.text, "exited (3) (stale)"));
	assert_non_null(strstr(got.text, "12.35%*"));
	assert_non_null(strstr(got.text, "1.0MiB*"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_of_a_row),
		cmocka_unit_test(formats),
		cmocka_unit_test(formats_that_are_wrong),
		cmocka_unit_test(json_documents),
		cmocka_unit_test(text_documents),
		cmocka_unit_test(a_full_disk_is_told),
		cmocka_unit_test(messages_are_one_safe_line),
		cmocka_unit_test(every_field_of_a_record_has_a_format),
		cmocka_unit_test(a_record_upright),
		cmocka_unit_test(stale_is_marked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
