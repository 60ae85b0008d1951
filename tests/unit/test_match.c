/* test_match.c - which containers a query means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../../shm/match.h"
#include "../../shm/record.h"

static struct dcm_str str(const char *s)
{
	return (struct dcm_str){s, s ? (uint32_t)strlen(s) : 0};
}

static void test_paths(void **state)
{
	static const struct {
		const char *at, *path;
		bool is;
	} cases[] = {
		{"/data", "/data", true},	   {"/data/x", "/data", true},
		{"/database", "/data", false},	   {"/data", "/data/", true},
		{"/data/", "/data", true},	   {"/data", "/data/x", false},
		{"/data", "/", true},		   {"/", "/", true},
		{"/data", "/dat", false},	   {"volume", "volume", true},
		{"volume/sub", "volume", true},	   {"volume2", "volume", false},
		{"volume", "/", false},		   {"", "/", false},
		{"/a//", "/a///", true},	   {"/Data", "/data", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (match_path(str(cases[i].at), str(cases[i].path)) != cases[i].is)
			fail_msg("%s below %s: want %d", cases[i].at, cases[i].path, cases[i].is);
	assert_false(match_path((struct dcm_str){0}, str("/")));
}

static void check_bind(const char *bind, const char *source, const char *destination)
{
	struct dcm_str s, d;

	assert_true(match_bind_split(str(bind), &s, &d));
	assert_int_equal(s.len, strlen(source));
	assert_memory_equal(s.s, source, s.len);
	assert_int_equal(d.len, strlen(destination));
	assert_memory_equal(d.s, destination, d.len);
}

static void test_binds(void **state)
{
	struct dcm_str s, d;

	(void)state;
	check_bind("/a:/b:rw", "/a", "/b");
	check_bind("/a:b:/c:ro", "/a:b", "/c");
	check_bind("/a:/b:c:ro", "/a", "/b:c");
	check_bind("C:\\x:target:rw", "C:\\x", "target");
	assert_false(match_bind_split(str("/a"), &s, &d));
	assert_false(match_bind_split(str("/a:/b"), &s, &d));
	assert_false(match_bind_split(str(""), &s, &d));
	assert_true(match_bind(str("/srv/web:/data:rw"), str("/srv")));
	assert_true(match_bind(str("/srv/web:/data/x:rw"), str("/data/")));
	assert_false(match_bind(str("/srv/web:/data:rw"), str("rw")));
	assert_false(match_bind(str("/srv/web:/data:rw"), str("/web")));
}

static void test_contains(void **state)
{
	(void)state;
	assert_true(match_contains(str("Nginx:1.21"), str("nginx")));
	assert_true(match_contains(str("my-NGINX"), str("nginx")));
	assert_true(match_contains(str("x"), str("")));
	assert_false(match_contains(str("ngin"), str("nginx")));
	assert_false(match_contains((struct dcm_str){0}, str("a")));
	assert_true(match_contains(str("gr\xc3\xbc\xc3\x9f"), str("\xc3\xbc")));
}

static void test_id_prefix(void **state)
{
	uint8_t id[32] = {0xab, 0xcd, 0xef};

	(void)state;
	assert_true(match_id_prefix(id, str("")));
	assert_true(match_id_prefix(id, str("abc")));
	assert_true(match_id_prefix(id, str("ABCDEF00")));
	assert_false(match_id_prefix(id, str("abd")));
	assert_false(match_id_prefix(id, str("abcx")));
	assert_true(match_id_prefix(
		id, str("abcdef0000000000000000000000000000000000000000000000000000000000")));
	assert_false(match_id_prefix(
		id, str("abcdef00000000000000000000000000000000000000000000000000000000000")));
}

/* ---- whole queries over encoded tiers ----------------------------------- */

static struct record_buf tiers[DCM_TIERS];

static int setup(void **state)
{
	static const struct dcm_network nets[] = {{.name = {"front", 5}}, {.name = {"back", 4}}};
	static const struct dcm_str binds[] = {{"/srv/web:/usr/share/www:ro", 26}};
	static const struct dcm_volume vols[] = {{.name = {"dbdata", 6},
						  .source = {"/var/lib/docker/volumes/x", 25},
						  .destination = {"/var/lib/db", 11}}};
	static const struct dcm_pair labels[] = {{{"tier", 4}, {"web", 3}},
						 {{"empty", 5}, {"", 0}}};
	struct dcm_record r;

	(void)state;
	record_out_init(&r);
	r.name = str("Shop-Web-1");
	r.image = str("registry/Nginx:1.21");
	r.networks = (struct dcm_networks){nets, 2, true};
	r.bind_mounts = (struct dcm_strs){binds, 1, true};
	r.volumes = (struct dcm_volumes){vols, 1, true};
	r.labels = (struct dcm_map){labels, 2, true};
	r.compose_project = str("shop");
	for (int t = 0; t < DCM_TIERS; t++)
		assert_int_equal(record_encode(&r, (enum dcm_tier)t, &tiers[t]), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int t = 0; t < DCM_TIERS; t++)
		record_buf_free(&tiers[t]);
	return 0;
}

static bool matches(enum dcm_query_kind kind, const char *text, const char *value)
{
	static const uint8_t id[32] = {0x12, 0x34};
	struct dcm_query q = {.kind = kind, .text = text, .value = value};
	struct match m;
	const char *why = NULL;
	int said;

	assert_int_equal(match_init(&m, &q, &why), DCM_OK);
	said = match_entry(&m, id, DCM_S_RUNNING, DCM_H_HEALTHY);
	for (int t = 0; said < 0 && t < DCM_TIERS; t++)
		if (match_tier(&m, (enum dcm_tier)t, (const uint8_t *)tiers[t].data,
			       (uint32_t)tiers[t].len))
			said = 1;
	return said > 0;
}

static void test_queries(void **state)
{
	(void)state;
	assert_true(matches(DCM_Q_ALL, NULL, NULL));
	assert_true(matches(DCM_Q_PROJECT, "shop", NULL));
	assert_false(matches(DCM_Q_PROJECT, "Shop", NULL));
	assert_false(matches(DCM_Q_PROJECT, "sho", NULL));
	assert_true(matches(DCM_Q_LABEL, "tier", NULL));
	assert_true(matches(DCM_Q_LABEL, "tier", "web"));
	assert_false(matches(DCM_Q_LABEL, "tier", "we"));
	assert_false(matches(DCM_Q_LABEL, "tier", ""));
	assert_true(matches(DCM_Q_LABEL, "empty", ""));
	assert_true(matches(DCM_Q_LABEL, "empty", NULL));
	assert_false(matches(DCM_Q_LABEL, "absent", NULL));
	assert_true(matches(DCM_Q_SEARCH, "web-1", NULL));
	assert_true(matches(DCM_Q_SEARCH, "NGINX", NULL));
	assert_true(matches(DCM_Q_SEARCH, "1234", NULL));
	assert_false(matches(DCM_Q_SEARCH, "234", NULL));
	assert_true(matches(DCM_Q_SEARCH, "", NULL));
	assert_true(matches(DCM_Q_MOUNT, "/srv", NULL));
	assert_true(matches(DCM_Q_MOUNT, "/usr/share/www/", NULL));
	assert_true(matches(DCM_Q_MOUNT, "dbdata", NULL));
	assert_true(matches(DCM_Q_MOUNT, "/var/lib/db", NULL));
	assert_true(matches(DCM_Q_MOUNT, "/var", NULL));
	assert_true(matches(DCM_Q_MOUNT, "/", NULL));
	assert_false(matches(DCM_Q_MOUNT, "/var/lib/docker", NULL)); /* a volume's source */
	assert_false(matches(DCM_Q_MOUNT, "db", NULL));
	assert_true(matches(DCM_Q_NETWORK, "back", NULL));
	assert_false(matches(DCM_Q_NETWORK, "bac", NULL));
	assert_true(matches(DCM_Q_STATUS, "running", NULL));
	assert_false(matches(DCM_Q_STATUS, "exited", NULL));
	assert_false(matches(DCM_Q_STATUS, "no such status", NULL));
	assert_true(matches(DCM_Q_HEALTH, "healthy", NULL));
	assert_false(matches(DCM_Q_HEALTH, "", NULL));
	assert_false(matches(DCM_Q_HEALTH, "no such health", NULL));
}

static void test_refused(void **state)
{
	static char huge[MATCH_TEXT_MAX + 2];
	struct dcm_query q = {.kind = DCM_Q_LABEL, .text = ""};
	struct match m;
	const char *why = NULL;

	(void)state;
	assert_int_equal(match_init(&m, &q, &why), DCM_EINVAL);
	assert_non_null(why);
	q.text = NULL;
	assert_int_equal(match_init(&m, &q, &why), DCM_EINVAL);
	memset(huge, 'x', sizeof(huge) - 1);
	q.text = huge;
	assert_int_equal(match_init(&m, &q, &why), DCM_EINVAL);
	q = (struct dcm_query){.kind = DCM_Q_TOP_CPU};
	assert_int_equal(match_init(&m, &q, &why), DCM_EINVAL);
}

/* Cut short anywhere, a tier matches or not, and nothing beyond is read. */
static void test_cut_bytes(void **state)
{
	struct dcm_query q = {.kind = DCM_Q_MOUNT, .text = "/no/such/path"};
	struct match m;
	const char *why;

	(void)state;
	assert_int_equal(match_init(&m, &q, &why), DCM_OK);
	for (uint32_t n = 0; n <= tiers[DCM_CONFIG].len; n++) {
		uint8_t *cut = test_malloc(n ? n : 1);

		memcpy(cut, tiers[DCM_CONFIG].data, n);
		assert_false(match_tier(&m, DCM_CONFIG, cut, n));
		test_free(cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_binds),
		cmocka_unit_test(test_contains),
		cmocka_unit_test(test_id_prefix),
		cmocka_unit_test(test_queries),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_cut_bytes),
	};

	return cmocka_run_group_tests_name("match", tests, setup, teardown);
}
