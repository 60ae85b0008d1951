/* test_client_filter.c - `--filter`: values, patterns, what matches what. */
#include "client_help.h"

#include "../../client/filter.h"
#include "../../client/filter_value.h"

/* ---- values ------------------------------------------------------------ */

static bool matches(const char *pattern, const char *name)
{
	regex_t re;
	bool yes;

	if (!pattern_compile(&re, pattern))
		return false;
	yes = !regexec(&re, name, 0, NULL, 0);
	regfree(&re);
	return yes;
}

static void patterns_are_go_patterns(void **state)
{
	(void)state;
	assert_true(matches("web", "my-web-1"));
	assert_true(matches("^web", "web-1"));
	assert_false(matches("^web", "my-web"));
	assert_true(matches("web|db", "a-db"));
	assert_false(matches("^(web|db)$", "dbx"));
	assert_true(matches("^web-\\d+$", "web-12"));
	assert_false(matches("^web-\\d+$", "web-x"));
	assert_true(matches("^web-[\\d.]+$", "web-1.2"));
	assert_true(matches("^\\w+$", "a_b9"));
	assert_true(matches("^\\D+$", "abc"));
	assert_false(matches("^\\D+$", "ab1"));
	assert_true(matches("(?i)WEB", "web"));
	assert_true(matches("^w.*?b$", "web"));
	assert_true(matches("^(?:we)+b$", "weweb"));
	assert_true(matches("a{2}", "aa"));
	assert_false(matches("^a{2,3}$", "aaaa"));
	assert_true(matches("\\Aweb\\z", "web"));
	assert_true(matches("web\\.1", "web.1"));
	assert_false(matches("web\\.1", "web-1"));
	assert_true(matches("", "anything"));
	assert_true(matches("^[^-]+$", "abc"));
	assert_true(matches("^[a\\-z]+$", "a-z"));
	assert_false(matches("^[a\\-z]+$", "abz"));
	assert_true(matches("^[\\]x]+$", "x]"));
	assert_true(matches("[\\^]", "^"));
	assert_false(matches("[\\^]", "x"));
	assert_true(matches("[[:digit:]]", "7"));
	assert_true(matches("a{x", "a{x"));
}

static void what_is_no_pattern(void **state)
{
	static const char *const bad[] = {"[", "(", ")", "*", "a|*", "a\\", "(a)\\1", "\\pL", "[a",
					  "(?P<n>a)", "a{2", "[\\D]"};
	regex_t re;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (pattern_compile(&re, bad[i]))
			fail_msg("'%s' compiles", bad[i]);
}

static bool port(const char *value, const char *text, bool published)
{
	struct port_range p;

	return port_range_parse(&p, value) && port_text_matches(str_of(text), &p, published);
}

static void ports(void **state)
{
	struct port_range p;

	(void)state;
	assert_true(port("8080", "80/tcp->0.0.0.0:8080", true));
	assert_true(port("8080/TCP", "80/tcp->:::8080", true));
	assert_false(port("80", "80/tcp->0.0.0.0:8080", true));
	assert_true(port("80", "80/tcp->0.0.0.0:8080", false));
	assert_false(port("80/udp", "80/tcp->0.0.0.0:8080", false));
	assert_true(port("8000-8090", "80/tcp->0.0.0.0:8080", true));
	assert_false(port("8000-8079", "80/tcp->0.0.0.0:8080", true));
	assert_true(port("443", "443/tcp", false));
	assert_false(port("443", "443/tcp", true)); /* not published */
	assert_true(port("0", "443/tcp", true));    /* as the engine has it */
	assert_false(port("1-65535", "443/tcp", true));
	assert_true(port("53/udp", "53/udp", false));
	assert_true(port_range_parse(&p, "80/") && !strcmp(p.proto, "tcp"));
	assert_false(port_range_parse(&p, ""));
	assert_false(port_range_parse(&p, "x"));
	assert_false(port_range_parse(&p, "90-80"));
	assert_false(port_range_parse(&p, "80:90"));
	assert_false(port_range_parse(&p, "65536"));
	assert_false(port_range_parse(&p, "80/averylongprotocol"));
}

static void image(const char *ref, const char *full)
{
	struct dcm_text t = {0};

	image_normalise(&t, str_of(ref));
	assert_string_equal(t.s, full);
	dcm_text_free(&t);
}

static void images(void **state)
{
	(void)state;
	image("nginx", "docker.io/library/nginx:latest");
	image("nginx:1.21", "docker.io/library/nginx:1.21");
	image("docker.io/nginx", "docker.io/library/nginx:latest");
	image("index.docker.io/library/nginx", "docker.io/library/nginx:latest");
	image("me/app", "docker.io/me/app:latest");
	image("localhost/app:1", "localhost/app:1");
	image("host:5000/app", "host:5000/app:latest");
	image("ghcr.io/a/b:2", "ghcr.io/a/b:2");
	image("nginx:1@sha256:ab", "docker.io/library/nginx@sha256:ab");
	assert_true(image_id_has_prefix(S("sha256:0123456789ab"), "01234"));
	assert_true(image_id_has_prefix(S("sha256:0123456789ab"), "sha256:0123"));
	assert_true(image_id_has_prefix(S("sha256:0123456789ab"), "0"));
	assert_false(image_id_has_prefix(S("sha256:0123456789ab"), ""));
	assert_false(image_id_has_prefix(S("sha256:0123456789ab"), "1234"));
	assert_false(image_id_has_prefix(S("sha256:0123"), "01234"));
	assert_false(image_id_has_prefix((struct dcm_str){NULL, 0}, "0123"));
}

static void binds(void **state)
{
	struct dcm_str s, d;

	(void)state;
	assert_true(bind_split(S("/a:/b:rw"), &s, &d) && str_is(s, "/a") && str_is(d, "/b"));
	assert_true(bind_split(S("/a:x:/b:ro"), &s, &d) && str_is(s, "/a:x") && str_is(d, "/b"));
	assert_false(bind_split(S("/a"), &s, &d));
	assert_false(bind_split(S("/a:/b"), &s, &d));
	assert_false(bind_split((struct dcm_str){NULL, 0}, &s, &d));
}

/* ---- matching ---------------------------------------------------------- */

static struct dcm_record web;

static int make_web(void **state)
{
	static const struct dcm_pair labels[] = {{S("tier"), S("front")}, {S("empty"), S("")},
						 {S("com.docker.swarm.task.id"), S("x")}};
	static const struct dcm_network nets[] = {{.name = S("front")}, {.name = S("back")}};
	static const struct dcm_volume vols[] = {
		{S("shop_data"), S("/var/lib/v"), S("/data"), S("local"), S("rw")}};
	static const struct dcm_str port_texts[] = {S("80/tcp->0.0.0.0:8080"), S("443/tcp")};
	static const struct dcm_str bind_texts[] = {S("/srv/www:/www:ro")};

	(void)state;
	record_named(&web, "alpha", ID_A, "shop-web-1");
	web.status = S("running");
	web.image = S("nginx:1.21");
	web.image_id = S("sha256:0123456789abcdef");
	web.created = S("2026-01-01T00:00:00.5Z");
	web.started = S("2026-01-01T00:00:01Z");
	web.exit_code = 0;
	web.labels = (struct dcm_map){labels, 3, true};
	web.networks = (struct dcm_networks){nets, 2, true};
	web.volumes = (struct dcm_volumes){vols, 1, true};
	web.ports = (struct dcm_strs){port_texts, 2, true};
	web.bind_mounts = (struct dcm_strs){bind_texts, 1, true};
	web.compose_project = S("shop");
	web.compose_service = S("web");
	return 0;
}

/* Whether `web` matches filters that are separated by spaces. */
static bool match(const char *filters)
{
	struct filter *f = NULL;
	struct dcm_text why = {0};
	char *copy = strdup(filters), *one, *save;
	const char *note;
	bool yes;

	for (one = strtok_r(copy, " ", &save); one; one = strtok_r(NULL, " ", &save))
		if (!filter_add(&f, one, &note, &why))
			fail_msg("%s: %s", one, why.s);
	yes = filter_match(f, &web);
	filter_free(&f);
	free(copy);
	return yes;
}

static void each_key(void **state)
{
	static const char *const yes[] = {
		"id=a000", "name=web", "name=/shop-web-1", "name=^/shop", "name=^shop",
		"label=tier", "label=tier=front", "label=empty=", "label=empty", "status=running",
		"health=none", "ancestor=nginx:1.21", "ancestor=docker.io/library/nginx:1.21",
		"ancestor=0123456789ab", "network=back", "volume=shop_data", "volume=/data",
		"volume=/srv/www", "volume=/www", "publish=8080", "publish=8000-9000/tcp",
		"expose=443", "is-task=true", "is-task=1", "host=alpha", "project=shop",
		"service=web", "NAME=web"};
	static const char *const no[] = {"id=b",
					 "id=000",
					 "name=db",
					 "name=^web",
					 "label=tie",
					 "label=tier=",
					 "label=tier=back",
					 "status=exited",
					 "health=healthy",
					 "ancestor=nginx",
					 "ancestor=nginx:1.2",
					 "network=fro",
					 "volume=/var/lib/v",
					 "volume=/dat",
					 "volume=/srv",
					 "exited=0",
					 "publish=80",
					 "publish=443",
					 "expose=8080",
					 "expose=443/udp",
					 "is-task=false",
					 "host=alp",
					 "project=sho",
					 "service="};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		if (!match(yes[i]))
			fail_msg("%s should match", yes[i]);
	for (i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (match(no[i]))
			fail_msg("%s should not match", no[i]);
}

static void values_of_a_key_are_alternatives(void **state)
{
	(void)state;
	assert_true(match("status=exited status=running"));
	assert_true(match("name=nope name=web"));
	assert_true(match("host=beta host=alpha"));
	assert_false(match("host=beta host=gamma"));
	/* but all labels must hold */
	assert_true(match("label=tier label=empty"));
	assert_false(match("label=tier label=nope"));
	assert_false(match("label=nope label=tier"));
}

static void keys_all_hold_but_publish_or_expose(void **state)
{
	(void)state;
	assert_true(match("status=running name=web"));
	assert_false(match("status=running name=db"));
	assert_false(match("status=exited name=web"));
	assert_true(match("publish=1 expose=443"));
	assert_true(match("publish=8080 expose=1"));
	assert_false(match("publish=1 expose=1"));
}

static void exited_means_ran_and_ended(void **state)
{
	(void)state;
	web.status = S("exited");
	web.exit_code = 137;
	assert_true(match("exited=137"));
	assert_true(match("exited=1 exited=137"));
	assert_false(match("exited=0"));
	web.started = (struct dcm_str){NULL, 0};
	assert_false(match("exited=137"));
	make_web(state);
	web.health_status = S("healthy");
	assert_true(match("health=healthy"));
	assert_false(match("health=none"));
	make_web(state);
}

static void nothing_known_matches_nothing(void **state)
{
	static const char *const f[] = {"name=shop",	  "label=tier",	   "status=running",
					"ancestor=nginx", "network=front", "volume=/data",
					"exited=0",	  "publish=80",	   "project=shop"};
	size_t i;

	(void)state;
	record_named(&web, "alpha", ID_A, NULL);
	for (i = 0; i < sizeof(f) / sizeof(*f); i++)
		assert_false(match(f[i]));
	assert_true(filter_match(NULL, &web));
	make_web(state);
}

static void what_is_refused(void **state)
{
	static const struct {
		const char *filter, *says;
	} bad[] = {{"status", "has no '='"},	  {"colour=red", "no filter 'colour'"},
		   {"status=up", "takes no 'up'"}, {"health=well", "takes no 'well'"},
		   {"exited=x", "a number"},	  {"exited=", "a number"},
		   {"is-task=maybe", "true or false"}, {"publish=80:80", "PORT"},
		   {"=x", "no filter ''"},	  {"isolation=default", "no filter 'isolation'"}};
	struct dcm_text why = {0};
	struct filter *f = NULL;
	const char *note;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		text_clear(&why);
		assert_false(filter_add(&f, bad[i].filter, &note, &why));
		if (!strstr(why.s, bad[i].says))
			fail_msg("%s: %s", bad[i].filter, why.s);
		filter_free(&f);
	}
	assert_true(filter_add(&f, "is-task=true", &note, &why));
	assert_false(filter_add(&f, "is-task=0", &note, &why));
	filter_free(&f);
	assert_true(filter_add(&f, "name=[", &note, &why));
	assert_non_null(note);
	filter_free(&f);
	dcm_text_free(&why);
}

static void queries_are_narrowed(void **state)
{
	struct dcm_query q = {.kind = DCM_Q_ALL};
	struct dcm_text why = {0};
	struct filter *f = NULL;
	const char *note, *hosts[4];

	(void)state;
	filter_narrow(NULL, &q);
	assert_int_equal(q.kind, DCM_Q_ALL);
	assert_true(filter_is_of_hosts(NULL));
	assert_true(filter_add(&f, "host=alpha", &note, &why));
	assert_true(filter_is_of_hosts(f));
	assert_true(filter_add(&f, "health=none", &note, &why));
	filter_narrow(f, &q);
	assert_int_equal(q.kind, DCM_Q_HEALTH);
	assert_string_equal(q.text, "");
	/* Two values of a key cannot be one look-up. */
	assert_true(filter_add(&f, "health=healthy", &note, &why));
	q.kind = DCM_Q_ALL;
	filter_narrow(f, &q);
	assert_int_equal(q.kind, DCM_Q_ALL);
	assert_true(filter_add(&f, "project=shop", &note, &why));
	filter_narrow(f, &q);
	assert_int_equal(q.kind, DCM_Q_PROJECT);
	assert_int_equal(filter_hosts(f, hosts, 4), 1);
	assert_string_equal(hosts[0], "alpha");
	assert_true(filter_match_host(f, S("alpha")) && !filter_match_host(f, S("beta")));
	filter_free(&f);
	dcm_text_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_are_go_patterns),
		cmocka_unit_test(what_is_no_pattern),
		cmocka_unit_test(ports),
		cmocka_unit_test(images),
		cmocka_unit_test(binds),
		cmocka_unit_test(each_key),
		cmocka_unit_test(values_of_a_key_are_alternatives),
		cmocka_unit_test(keys_all_hold_but_publish_or_expose),
		cmocka_unit_test(exited_means_ran_and_ended),
		cmocka_unit_test(nothing_known_matches_nothing),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(queries_are_narrowed),
	};

	return cmocka_run_group_tests(tests, make_web, NULL);
}
