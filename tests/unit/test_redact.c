/* test_redact.c - what is taken out of records, texts and compose files. */
#include "../../collector/redact.h"
#include "decode_help.h"

static char password[] = "PASSWORD", secret[] = "SECRET", token[] = "TOKEN", key[] = "KEY";
static char *words[] = {password, secret, token, key};
static struct arena arena;
static struct secrets secrets;

static struct redact_rules rules_of(enum environment_mode mode)
{
	return (struct redact_rules){mode, words, sizeof(words) / sizeof(*words)};
}

static struct dcm_str str(const char *s)
{
	return (struct dcm_str){s, s ? (uint32_t)strlen(s) : 0};
}

/* A record with the given variables, all else null. */
static struct dcm_record record(const char *const *env, size_t n)
{
	struct dcm_pair *v = arena_alloc(&arena, n * sizeof(*v));
	struct dcm_record r;
	size_t i;

	memset(&r, 0, sizeof(r));
	for (i = 0; i < n; i++) {
		const char *eq = strchr(env[i], '=');

		v[i].key = arena_str(&arena, env[i], eq ? (size_t)(eq - env[i]) : strlen(env[i]));
		if (eq)
			v[i].value = str(eq + 1);
	}
	r.environment_vars = (struct dcm_map){v, (uint32_t)n, true};
	return r;
}
#define RECORD(...) record(LIST(__VA_ARGS__), sizeof(LIST(__VA_ARGS__)) / sizeof(char *))

static void redact(enum environment_mode mode, struct dcm_record *r)
{
	struct redact_rules rules = rules_of(mode);

	assert_int_equal(redact_record(&rules, &arena, r, &secrets), 0);
}

static void variables(void **state)
{
	struct dcm_record r = RECORD("db_Password=hunter22", "API_KEY=", "TOKEN", "HOME=/root",
				     "URL=postgres://app:pw@db:5432/x", "COPY=is hunter22.");

	(void)state;
	redact(ENV_REDACT, &r);
	assert_text(value_of(r.environment_vars, "db_Password"), "********");
	assert_text(value_of(r.environment_vars, "API_KEY"), "********");
	assert_null_text(value_of(r.environment_vars, "TOKEN"));
	assert_text(value_of(r.environment_vars, "HOME"), "/root");
	assert_text(value_of(r.environment_vars, "URL"), "postgres://app:********@db:5432/x");
	assert_text(value_of(r.environment_vars, "COPY"), "is ********.");
	/* In a value a quote is part of the password; in a text it ends the URL. */
	r = RECORD("URL=x://u:a'b\"c@h");
	redact(ENV_REDACT, &r);
	assert_text(value_of(r.environment_vars, "URL"), "x://u:********@h");
}

static void urls(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"redis://:pw@h", "redis://:********@h"},
		{"a://u:p@h,b://v:q@i/x", "a://u:********@h,b://v:********@i/x"},
		{"x postgres+ssl://u:p@ss:w@h/d y", "x postgres+ssl://u:********@h/d y"},
		{"amqp://u:p/a?s#s@h:1/v", "amqp://u:********@h:1/v"},
		{"http://h:4873/@scope/pkg", NULL},
		{"http://[::1]:80/a@b", NULL},
		{"http://h/p?m=a@b", NULL},
		{"http://user@host/", NULL},
		{"http://user:@host/", NULL},
		{"://u:p@h", NULL},
		{"http://", NULL},
		{"mailto:a@b", NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct redact_rules rules = rules_of(ENV_REDACT);
		struct secrets none = {NULL, 0, 0};
		char var[200];
		struct dcm_record r;

		assert_text(redact_text(&rules, &none, &arena, str(cases[i].in)),
			    cases[i].out ? cases[i].out : cases[i].in);
		snprintf(var, sizeof(var), "V=%s", cases[i].in);
		r = RECORD(var);
		redact(ENV_REDACT, &r);
		assert_text(value_of(r.environment_vars, "V"),
			    cases[i].out ? cases[i].out : cases[i].in);
	}
}

/* A record with the text in every place that has text. */
static struct dcm_record everywhere(const char *s)
{
	static struct dcm_str one;
	static struct dcm_pair pairs;
	static struct dcm_network network;
	static struct dcm_alias alias;
	static struct dcm_volume volume;
	struct dcm_record r = RECORD("MY_SECRET=hush-hush", "PLAIN=harmless");
	struct dcm_strs list = {&one, 1, true};

	one = str(s);
	pairs = (struct dcm_pair){one, one};
	network = (struct dcm_network){one, one, one, one, one};
	alias = (struct dcm_alias){one, list};
	volume = (struct dcm_volume){one, one, one, one, one};
	r.container_id = r.name = r.status = r.image_id = r.created = r.started = one;
	r.image = r.compose_project = r.compose_service = r.ip_address = one;
	r.command = r.entrypoint = r.error = r.working_dir = r.hostname = r.user = one;
	r.compose_config_files = r.compose_working_dir = r.compose_file_content = one;
	r.ports = r.depends_on = r.bind_mounts = r.links = r.log_tail = list;
	r.compose_stack_containers = list;
	r.labels = r.volume_drivers = (struct dcm_map){&pairs, 1, true};
	r.networks = (struct dcm_networks){&network, 1, true};
	r.network_aliases = (struct dcm_aliases){&alias, 1, true};
	r.volumes = (struct dcm_volumes){&volume, 1, true};
	return r;
}

static void check_text_fields(const struct dcm_record *r, const char *s)
{
	assert_text(r->command, s);
	assert_text(r->entrypoint, s);
	assert_text(r->error, s);
	assert_text(r->working_dir, s);
	assert_text(r->hostname, s);
	assert_text(r->user, s);
	assert_text(r->compose_config_files, s);
	assert_text(r->compose_working_dir, s);
	assert_text(r->compose_file_content, s);
	assert_list(r->bind_mounts, s);
	assert_list(r->links, s);
	assert_list(r->log_tail, s);
	assert_text(r->labels.v[0].key, s);
	assert_text(r->labels.v[0].value, s);
	assert_text(r->volume_drivers.v[0].key, s);
	assert_text(r->volumes.v[0].name, s);
	assert_text(r->volumes.v[0].source, s);
	assert_text(r->volumes.v[0].destination, s);
	assert_list(r->network_aliases.v[0].aliases, s);
}

static void check_handles(const struct dcm_record *r, const char *s)
{
	assert_text(r->image, s);
	assert_text(r->compose_project, s);
	assert_text(r->compose_service, s);
	assert_text(r->ip_address, s);
	assert_list(r->ports, s);
	assert_list(r->depends_on, s);
	assert_text(r->networks.v[0].name, s);
	assert_text(r->networks.v[0].ip, s);
	assert_text(r->network_aliases.v[0].network, s);
}

static void check_kept(const struct dcm_record *r, const char *s)
{
	assert_text(r->container_id, s);
	assert_text(r->name, s);
	assert_text(r->status, s);
	assert_text(r->image_id, s);
	assert_text(r->created, s);
	assert_text(r->started, s);
	assert_list(r->compose_stack_containers, s);
}

static void wherever_a_secret_stands(void **state)
{
	struct dcm_record r;
	int mode;

	(void)state;
	for (mode = ENV_REDACT; mode <= ENV_NONE; mode++) {
		bool full = mode == ENV_FULL;

		r = everywhere("x hush-hush y");
		redact((enum environment_mode)mode, &r);
		check_text_fields(&r, full ? "x hush-hush y" : "x ******** y");
		check_handles(&r, full ? "x hush-hush y" : "x ******** y");
		check_kept(&r, "x hush-hush y");
	}
}

static void wherever_a_harmless_value_stands(void **state)
{
	struct dcm_record r;

	(void)state;
	r = everywhere("harmless");
	redact(ENV_REDACT, &r);
	check_text_fields(&r, "harmless");
	assert_text(value_of(r.environment_vars, "PLAIN"), "harmless");

	r = everywhere("harmless");
	redact(ENV_NAMES, &r);
	check_text_fields(&r, "********");
	check_handles(&r, "harmless");
	check_kept(&r, "harmless");
	assert_int_equal(r.environment_vars.n, 2);
	assert_null_text(value_of(r.environment_vars, "PLAIN"));
	assert_null_text(value_of(r.environment_vars, "MY_SECRET"));

	r = everywhere("harmless");
	redact(ENV_NONE, &r);
	check_text_fields(&r, "********");
	assert_false(r.environment_vars.known);
	assert_int_equal(r.environment_vars.n, 0);

	r = everywhere("harmless hush-hush");
	redact(ENV_FULL, &r);
	check_text_fields(&r, "harmless hush-hush");
	assert_text(value_of(r.environment_vars, "MY_SECRET"), "hush-hush");
	assert_int_equal(secrets.n, 0);
}

static const char *text_without(const char *text, const char *const *env, size_t n)
{
	struct redact_rules rules = rules_of(ENV_REDACT);
	struct dcm_record r = record(env, n);

	redact(ENV_REDACT, &r);
	return redact_text(&rules, &secrets, &arena, str(text)).s;
}
#define TEXT(text, ...) \
	text_without(text, LIST(__VA_ARGS__), sizeof(LIST(__VA_ARGS__)) / sizeof(char *))

static void texts(void **state)
{
	const char *same = "nothing here";

	(void)state;
	/* Five bytes are not looked for, six are. */
	assert_string_equal(TEXT("12345 123456", "A_KEY=12345", "B_KEY=123456"), "12345 ********");
	/* The longer of two that begin alike; each of two that touch. */
	assert_string_equal(TEXT("abcdefgh abcdefgabcdef", "A_KEY=abcdef", "B_KEY=abcdefgh"),
			    "******** ********g********");
	/* Two that overlap leave nothing between them. */
	assert_string_equal(TEXT("-abcdefghij-", "A_KEY=abcdefg", "B_KEY=defghij"), "-********-");
	/* One inside another. */
	assert_string_equal(TEXT("0123456789", "A_KEY=0123456789", "B_KEY=345678"), "********");
	/* White space around a value is not part of it. */
	assert_string_equal(TEXT("pw=hunter22;", "A_KEY= hunter22\n"), "pw=********;");
	/* The lines of a key of several lines. */
	assert_string_equal(TEXT("log: SECONDLINE", "A_KEY=FIRSTLINE\n  SECONDLINE\n"),
			    "log: ********");
	/* The password of an URL stands alone, too; so does that of a secret URL. */
	assert_string_equal(TEXT("--pw hunter22", "U=x://a:hunter22@h"), "--pw ********");
	assert_string_equal(TEXT("--pw hunter22", "U_KEY=x://a:hunter22@h"), "--pw ********");
	/* What was redacted before stays as it is. */
	assert_string_equal(TEXT("* ******** *", "A_KEY=********"), "* ******** *");
	/* At the very ends; and nothing is copied where nothing changes. */
	assert_string_equal(TEXT("abcdef", "A_KEY=abcdef"), "********");
	assert_ptr_equal(TEXT(same, "A_KEY=abcdef"), same);
	assert_null(TEXT(NULL, "A_KEY=abcdef"));
}

/* Ten thousand variables, made to be slow to compare: bounded, nothing shown. */
static void hostile_variables(void **state)
{
	enum { N = 10000, LEN = 400 };
	char (*env)[LEN + 20] = calloc(N, sizeof(*env));
	const char **list = calloc(N, sizeof(*list));
	struct redact_rules rules = rules_of(ENV_REDACT);
	char *text = malloc(300001);
	struct dcm_str out;
	struct dcm_record r;
	size_t i;

	(void)state;
	for (i = 0; i < N; i++) {
		int n = snprintf(env[i], sizeof(*env), "K_KEY%zu=", i);

		memset(env[i] + n, 'a', LEN);
		snprintf(env[i] + n + LEN - 8, 9, "%08zu", i);
		list[i] = env[i];
	}
	memset(text, 'a', 300000);
	text[300000] = 0;
	r = record(list, N);
	redact(ENV_REDACT, &r);
	assert_int_equal(secrets.n, N);
	out = redact_text(&rules, &secrets, &arena, str(text));
	assert_text(out, "********");
	assert_text(redact_text(&rules, &secrets, &arena, str("short and harmless")),
		    "short and harmless");
	assert_text(redact_text(&rules, &secrets, &arena, str(strchr(env[77], '=') + 1)),
		    "********");
	free(text);
	free(env);
	free(list);
}

/* With any amount of memory: redacted, or refused. */
static void starved(void **state)
{
	size_t max, done = 0;

	(void)state;
	for (max = 96; max < 6000; max += 8) {
		struct redact_rules rules = rules_of(ENV_REDACT);
		struct dcm_record r;
		size_t held;

		arena_free(&arena);
		r = everywhere("x hush-hush y");
		held = arena.used;
		arena.max = held + max;
		if (redact_record(&rules, &arena, &r, &secrets) == 0) {
			check_text_fields(&r, "x ******** y");
			done++;
		}
		arena.max = 0;
	}
	assert_in_range(done, 1, 700);
}

/* ---- compose ------------------------------------------------------------- */

static const char *compose(enum environment_mode mode, const char *text)
{
	struct redact_rules rules = rules_of(mode);

	memset(&secrets, 0, sizeof(secrets));
	return redact_compose(&rules, &secrets, &arena, str(text)).s;
}

static void compose_forms(void **state)
{
	(void)state;
	assert_string_equal(
		compose(ENV_REDACT,
			"# key: kept\n"
			"services:\n"
			"  db:\n"
			"    image: postgres:15   # image\n"
			"    command: [\"--pw\", \"hunter22\"]\n"
			"    environment:\n"
			"      POSTGRES_PASSWORD: hunter22 # why\n"
			"      quoted_secret: \"two words\"\n"
			"      SINGLE_TOKEN: 'it''s'\n"
			"      PLAIN: plain\n"
			"      API_KEY:\n"
			"      URL: postgres://u:pw@db/x\n"
			"    secrets:\n"
			"      - source\n"
			"  web:\n"
			"    environment:\n"
			"      - A_TOKEN=ab=cd\n"
			"      - \"B_TOKEN=with space\"\n"
			"      - PLAIN=plain\n"
			"      - C_TOKEN\n"
			"    key: stays\n"),
		"# key: kept\n"
		"services:\n"
		"  db:\n"
		"    image: postgres:15   # image\n"
		"    command: [\"--pw\", \"********\"]\n"
		"    environment:\n"
		"      POSTGRES_PASSWORD: ******** # why\n"
		"      quoted_secret: \"********\"\n"
		"      SINGLE_TOKEN: '********'\n"
		"      PLAIN: plain\n"
		"      API_KEY:\n"
		"      URL: postgres://u:********@db/x\n"
		"    secrets:\n"
		"      - source\n"
		"  web:\n"
		"    environment:\n"
		"      - A_TOKEN=********\n"
		"      - \"B_TOKEN=********\"\n"
		"      - PLAIN=plain\n"
		"      - C_TOKEN\n"
		"    key: stays\n");
}

static void compose_modes(void **state)
{
	const char *text = "a: {environment: {ONE: x, TWO_KEY: \"y\"}}\n"
			   "b:\n  environment: [ONE=x, TWO_KEY=y, THREE]\n";

	(void)state;
	assert_ptr_equal(compose(ENV_FULL, text), text);
	assert_string_equal(compose(ENV_REDACT, text),
			    "a: {environment: {ONE: x, TWO_KEY: \"********\"}}\n"
			    "b:\n  environment: [ONE=x, TWO_KEY=********, THREE]\n");
	assert_string_equal(compose(ENV_NAMES, text),
			    "a: {environment: {ONE: ********, TWO_KEY: \"********\"}}\n"
			    "b:\n  environment: [ONE=********, TWO_KEY=********, THREE]\n");
	assert_string_equal(compose(ENV_NONE, text),
			    "a: {environment: {********: ********, ********: \"********\"}}\n"
			    "b:\n  environment: [********, ********, ********]\n");
}

static void compose_anchors(void **state)
{
	char tower[4000];
	int i, n;

	(void)state;
	assert_string_equal(compose(ENV_REDACT, "x-pw: &pw !!str hunter22\n"
						"x-env: &env\n"
						"  db_password: &x |\n"
						"    line one\n"
						"    line two\n"
						"\n"
						"  plain: a\n"
						"s:\n"
						"  environment:\n"
						"    <<: [*env]\n"
						"    K_KEY: *pw\n"
						"    log: 'line one'\n"),
			    "x-pw: &pw !!str ********\n"
			    "x-env: &env\n"
			    "  db_password: &x ********\n"
			    "\n"
			    "  plain: a\n"
			    "s:\n"
			    "  environment:\n"
			    "    <<: [*env]\n"
			    "    K_KEY: *pw\n"
			    "    log: '********'\n");
	/* A value begins at the first '='. */
	assert_string_equal(compose(ENV_REDACT, "environment: [A_KEY=one=two]\nx: one=two two\n"),
			    "environment: [A_KEY=********]\nx: ******** two\n");
	/* A circle ends; so does a tower of aliases. */
	assert_non_null(compose(ENV_REDACT, "a: &a\n  b: *a\n"));
	n = snprintf(tower, sizeof(tower), "a0: &a0 [K_KEY=hunter22]\n");
	for (i = 1; i < 40; i++)
		n += snprintf(tower + n, sizeof(tower) - (size_t)n,
			      "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1,
			      i - 1);
	snprintf(tower + n, sizeof(tower) - (size_t)n, "environment: [*a39]\n");
	assert_null(strstr(compose(ENV_REDACT, tower), "hunter22"));
}

/* Elsewhere than in an environment, only what looks like a variable. */
static void compose_elsewhere(void **state)
{
	(void)state;
	assert_string_equal(compose(ENV_REDACT, "build:\n"
						"  args:\n"
						"    NPM_TOKEN: abcdef\n"
						"    - NO\n"),
			    "build:\n"
			    "  args:\n"
			    "    NPM_TOKEN: ********\n"
			    "    - NO\n");
	assert_string_equal(compose(ENV_REDACT, "build:\n"
						"  args: [NPM_TOKEN=abcdef, x=abcdef]\n"
						"  key_file: /etc/key.pem\n"),
			    "build:\n"
			    "  args: [NPM_TOKEN=********, x=********]\n"
			    "  key_file: /etc/key.pem\n");
}

static void compose_comments(void **state)
{
	(void)state;
	assert_string_equal(compose(ENV_REDACT, "# API_KEY=oldold1\n"
						"environment:\n"
						"  #- DB_PASSWORD: \"oldold2\"\r\n"
						"  A: b # X_TOKEN=oldold3\n"
						"  B: b#X_TOKEN=mine\n"
						"# the key: is oldold1, not PLAIN=plain\n"
						"# API_KEY\n# API_KEY=\n#"),
			    "# API_KEY=********\n"
			    "environment:\n"
			    "  #- DB_PASSWORD: \"********\"\r\n"
			    "  A: b # X_TOKEN=********\n"
			    "  B: b#X_TOKEN=mine\n"
			    "# the key: is ********, not PLAIN=plain\n"
			    "# API_KEY\n# API_KEY=\n#");
}

static void compose_references(void **state)
{
	(void)state;
	assert_string_equal(compose(ENV_REDACT, "environment:\n"
						"  A_KEY: ${A_KEY}\n"
						"  B_KEY: ${B_KEY:-hunter22}\n"
						"  C_KEY: $CCCCCC\n"
						"command: ${A_KEY} hunter22 $CCCCCC\n"),
			    "environment:\n"
			    "  A_KEY: ********\n"
			    "  B_KEY: ********\n"
			    "  C_KEY: ********\n"
			    "command: ${A_KEY} ******** $CCCCCC\n");
}

static void compose_not_ascii(void **state)
{
	(void)state;
	assert_string_equal(compose(ENV_REDACT, "\xEF\xBB\xBF# \xc3\xa9\xe2\x82\xac\r\n"
						"environment:\r\n"
						"  K_KEY: \xc3\xa9" "a # x\r\n"
						"  L: \xf0\x9f\x98\x80\r\n"),
			    "\xEF\xBB\xBF# \xc3\xa9\xe2\x82\xac\r\n"
			    "environment:\r\n"
			    "  K_KEY: ******** # x\r\n"
			    "  L: \xf0\x9f\x98\x80\r\n");
}

/* Several files one after the other; and one that libyaml refuses. */
static void compose_broken(void **state)
{
	(void)state;
	assert_string_equal(compose(ENV_REDACT, "---\nenvironment: {A_KEY: one111}\n"
						"---\nenvironment: [B_KEY=two222]\n"),
			    "---\nenvironment: {A_KEY: ********}\n"
			    "---\nenvironment: [B_KEY=********]\n");
	assert_string_equal(compose(ENV_REDACT, "services: {{ template }}\n"
						"  environment:\n"
						"    - A_KEY=hunter22\n"
						"    \"B_KEY\": \"x y\"\n"
						"    C_KEY: |\n"
						"      some\n"
						"\n"
						"      lines\n"
						"    D: d\n"
						"  command: run --pw hunter22 E_KEY=e\n"
						"  secrets:\n"
						"    - s\n"
						"  bad: [\n"),
			    "services: {{ template }}\n"
			    "  environment:\n"
			    "    - A_KEY=********\n"
			    "    \"B_KEY\": \"********\"\n"
			    "    C_KEY: ********\n"
			    "      ********\n"
			    "\n"
			    "      ********\n"
			    "    D: d\n"
			    "  command: run --pw ******** E_KEY=********\n"
			    "  secrets:\n"
			    "    - s\n"
			    "  bad: [\n");
	assert_string_equal(compose(ENV_NAMES, "environment:\n- a=b\n- c: d\nother: x\n}"),
			    "environment:\n- a=********\n- c: ********\nother: x\n}");
	assert_string_equal(compose(ENV_REDACT, ""), "");
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variables),
		cmocka_unit_test(urls),
		cmocka_unit_test(wherever_a_secret_stands),
		cmocka_unit_test(wherever_a_harmless_value_stands),
		cmocka_unit_test(texts),
		cmocka_unit_test(hostile_variables),
		cmocka_unit_test(starved),
		cmocka_unit_test(compose_forms),
		cmocka_unit_test(compose_modes),
		cmocka_unit_test(compose_anchors),
		cmocka_unit_test(compose_elsewhere),
		cmocka_unit_test(compose_comments),
		cmocka_unit_test(compose_references),
		cmocka_unit_test(compose_not_ascii),
		cmocka_unit_test(compose_broken),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
