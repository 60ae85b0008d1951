/*
 * test_config.c - the configuration: golden files, and what they cannot say.
 *
 * tests/data/config/NAME.yml is parsed and NAME.expect is what must come of it:
 * every error with its place, or else every warning and every value.  "@" stands
 * for that directory.  After an intended change DCM_GOLDEN=write makes the
 * .expect files anew: read the difference before it is committed.
 */
#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../collector/config.h"
#include "../../collector/config_endpoint.h"
#include "../../collector/config_file.h"

static char here[PATH_MAX]; /* tests/data/config */

/* ---- what a configuration is, as text ---------------------------------------- */

static void say(FILE *f, const char *name, const char *value)
{
	if (value)
		fprintf(f, "    %s: \"%s\"\n", name, value);
}

static void say_host(FILE *f, const struct host_config *h)
{
	static const char *const kinds[] = {"unix", "tcp", "tls", "ssh"};
	char url[512];

	config_endpoint_text(&h->at, url, sizeof(url));
	fprintf(f, "  %s: %s %s%s%s environment=%d\n", h->id, kinds[h->at.kind], url,
		h->enabled ? "" : " disabled", h->stats ? "" : " no-stats", h->environment);
	say(f, "description", h->description);
	for (size_t i = 0; i < h->n_tags; i++)
		say(f, "tag", h->tags[i]);
	say(f, "compose_path", h->compose_path);
	say(f, "appdata_path", h->appdata_path);
	say(f, "ca", h->at.ca);
	say(f, "cert", h->at.cert);
	say(f, "key", h->at.key);
	if (h->at.kind == ENDPOINT_TLS && !h->at.verify)
		fprintf(f, "    not verified\n");
	say(f, "identity_file", h->at.identity_file);
	say(f, "known_hosts", h->at.known_hosts);
	say(f, "ssh_config", h->at.ssh_config);
	if (h->at.backend != SSH_AUTO)
		fprintf(f, "    backend %d\n", h->at.backend);
}

static void say_cache(FILE *f, const struct cache_config *c)
{
	fprintf(f, "ttl %g %g %g %g update %g %g %g\n", c->stats_ttl, c->status_ttl, c->config_ttl,
		c->compose_ttl, c->stats_update, c->status_update, c->config_update);
	fprintf(f, "retention %g %g cleanup %g %g\n", c->memory_retention, c->disk_retention,
		c->memory_cleanup_interval, c->disk_cleanup_interval);
	fprintf(f, "concurrency %u %u debounce %u lines %u timeouts %g %g limit %llu\n",
		c->stats_concurrency, c->inspect_concurrency, c->event_debounce_ms,
		c->log_tail_lines, c->connect_timeout, c->request_timeout,
		(unsigned long long)c->shard_limit);
	fprintf(f, "environment %d redact", c->environment);
	for (size_t i = 0; i < c->n_redact; i++)
		fprintf(f, " %s", c->redact[i]);
	fprintf(f, "\n");
}

/* The text with this directory as "@". */
static char *portable(const char *text)
{
	size_t len = strlen(here), size;
	char *out = NULL;
	FILE *f = open_memstream(&out, &size);

	while (*text) {
		if (!strncmp(text, here, len)) {
			fputc('@', f);
			text += len;
		} else {
			fputc(*text++, f);
		}
	}
	fclose(f);
	return out;
}

static char *describe(const char *path)
{
	struct config_errors e = {0};
	struct config c;
	char *out = NULL, *text;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	if (config_load(&c, path, &e) < 0) {
		assert_true(e.n > 0);
		for (size_t i = 0; i < e.n; i++)
			fprintf(f, "%s\n", e.v[i]);
	} else {
		assert_int_equal(e.n, 0);
		for (size_t i = 0; i < c.n_warnings; i++)
			fprintf(f, "warning: %s\n", c.warnings[i]);
		for (size_t i = 0; i < c.n_hosts; i++)
			say_host(f, &c.hosts[i]);
		say_cache(f, &c.cache);
		config_free(&c);
	}
	fclose(f);
	config_errors_free(&e);
	text = portable(out);
	free(out);
	return text;
}

static void compare(const char *path, const char *expect)
{
	const char *mode = getenv("DCM_GOLDEN");
	char *is = describe(path), *want;
	size_t len;

	if (mode && !strcmp(mode, "write")) {
		FILE *f = fopen(expect, "w");

		assert_non_null(f);
		fputs(is, f);
		fclose(f);
	}
	assert_int_equal(config_read_file(expect, 1 << 20, &want, &len), 0);
	assert_string_equal(is, want);
	free(is);
	free(want);
}

/* ---- golden files -------------------------------------------------------------- */

static int yml_only(const struct dirent *e)
{
	const char *dot = strrchr(e->d_name, '.');

	return dot && !strcmp(dot, ".yml");
}

static void test_golden(void **state)
{
	struct dirent **v;
	int n = scandir(".", &v, yml_only, alphasort);

	(void)state;
	assert_true(n > 20);
	for (int i = 0; i < n; i++) {
		char expect[NAME_MAX + 8];

		snprintf(expect, sizeof(expect), "%.*s.expect", (int)strlen(v[i]->d_name) - 4,
			 v[i]->d_name);
		compare(v[i]->d_name, expect);
		free(v[i]);
	}
	free(v);
}

static void test_shipped_example(void **state)
{
	(void)state;
	compare("../../../docs/hosts.example.yml", "shipped-example.expect");
}

/* The example says that it shows the defaults: it must. */
static void test_example_shows_the_defaults(void **state)
{
	struct config_errors e = {0};
	struct config example, none;
	struct host_config same = {.enabled = true};

	(void)state;
	assert_int_equal(config_load(&example, "../../../docs/hosts.example.yml", &e), 0);
	assert_int_equal(config_parse(&none, "x", "", 0, &e), 0);
	assert_true(config_host_equal(&same, &example.cache, &same, &none.cache));
	assert_true(example.cache.stats_ttl == none.cache.stats_ttl);
	assert_true(example.cache.status_ttl == none.cache.status_ttl);
	assert_true(example.cache.config_ttl == none.cache.config_ttl);
	assert_true(example.cache.memory_retention == none.cache.memory_retention);
	config_free(&example);
	config_free(&none);
}

/* ---- files -------------------------------------------------------------------------- */

static void expect_error(const char *path, const char *text, size_t len, const char *part)
{
	struct config_errors e = {0};
	struct config c;

	assert_int_equal(text ? config_parse(&c, path, text, len, &e) : config_load(&c, path, &e),
			 -1);
	assert_true(e.n > 0);
	if (!strstr(e.v[0], part))
		fail_msg("\"%s\" does not hold \"%s\"", e.v[0], part);
	config_errors_free(&e);
}

static void test_files_that_cannot_be_read(void **state)
{
	char fifo[] = "/tmp/dcm-test-XXXXXX", path[64];

	(void)state;
	expect_error("none.yml", NULL, 0, "none.yml:1:1: cannot be read: No such file");
	expect_error("tls", NULL, 0, "Is a directory");
	assert_non_null(mkdtemp(fifo));
	snprintf(path, sizeof(path), "%s/fifo", fifo);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_error(path, NULL, 0, "expected a regular file"); /* and does not wait */
	unlink(path);
	rmdir(fifo);
}

/* Text made of n copies of `piece`. */
static char *repeat(const char *head, const char *piece, size_t n, size_t *len)
{
	size_t h = strlen(head), p = strlen(piece);
	char *s = malloc(h + n * p + 1);

	assert_non_null(s);
	memcpy(s, head, h);
	for (size_t i = 0; i < n; i++)
		memcpy(s + h + i * p, piece, p);
	*len = h + n * p;
	s[*len] = '\0';
	return s;
}

static void test_documents_without_measure(void **state)
{
	char *s, line[160];
	size_t len, size;
	FILE *f;

	(void)state;
	s = repeat("", "[", 1 << 20, &len);
	expect_error("x", s, len, "x:1:33: nested deeper than 32 levels");
	free(s);
	s = repeat("", "# y\n", (4 << 20) / 4 + 1, &len);
	expect_error("x", s, len, "longer than 4 MiB");
	free(s);
	s = repeat("hosts: [", "a,", 300000, &len);
	expect_error("x", s, len, "more than 200000 values");
	free(s);
	/* Each host merges the one above nine times: 9^40 pairs. */
	f = open_memstream(&s, &size);
	fputs("hosts:\n  a0: &a0 {url: \"unix:///x\"}\n", f);
	for (int i = 1; i < 40; i++) {
		snprintf(line, sizeof(line), "  a%d: &a%d {<<: [", i, i);
		fputs(line, f);
		for (int j = 0; j < 9; j++)
			fprintf(f, "*a%d, ", i - 1);
		fputs("]}\n", f);
	}
	fclose(f);
	expect_error("x", s, size, "more than 200000 values once merge keys are resolved");
	free(s);
	f = open_memstream(&s, &size);
	fputs("hosts:\n", f);
	for (int i = 0; i < 1025; i++)
		fprintf(f, "  h%d: {url: \"unix:///x\"}\n", i);
	fclose(f);
	expect_error("x", s, size, "1025 hosts; expected at most 1024");
	free(s);
}

static void test_errors_are_bounded(void **state)
{
	struct config_errors e = {0};
	struct config c;
	char *s;
	size_t len;
	FILE *f = open_memstream(&s, &len);

	(void)state;
	fputs("hosts:\n", f);
	for (int i = 0; i < 1000; i++)
		fprintf(f, "  h%d: {url: \"unix:///x\", a: 1, b: 1, c: 1, d: 1, e: 1}\n", i);
	fclose(f);
	assert_int_equal(config_parse(&c, "x", s, len, &e), -1);
	assert_int_equal(e.n, 4097);
	assert_non_null(strstr(e.v[4096], "more errors"));
	config_errors_free(&e);
	free(s);
}

/* ---- without a file ------------------------------------------------------------------- */

static void test_local(void **state)
{
	static const struct {
		const char *host, *context, *verify, *certs, *url, *source;
	} cases[] = {
		{NULL, "default", NULL, NULL, "unix:///var/run/docker.sock", "docker.sock"},
		{NULL, NULL, NULL, NULL, "unix:///run/prod.sock", "\"prod\" (currentContext)"},
		{NULL, "far", NULL, NULL, "ssh://me@far.example", "\"far\" (DOCKER_CONTEXT)"},
		{NULL, "secure", NULL, NULL, "https://secure.example:2376", "\"secure\""},
		{"unix:///a.sock", "far", NULL, NULL, "unix:///a.sock", "DOCKER_HOST"},
		{"tcp://h", NULL, NULL, NULL, "tcp://h:2375", "DOCKER_HOST"},
		{"tcp://h", NULL, "0", "tls", "https://h:2375", "DOCKER_HOST"},
		{"tcp://h:9", NULL, "1", "tls", "https://h:9", "DOCKER_HOST"},
		{NULL, "default", "1", "tls", "https://localhost:2376", "localhost"},
		{NULL, "far", "1", NULL, "ssh://me@far.example", "\"far\" (DOCKER_CONTEXT)"},
		{" tcp://h:1\n", NULL, NULL, NULL, "tcp://h:1", "DOCKER_HOST"},
		{"192.0.2.4:2375", NULL, NULL, NULL, "tcp://192.0.2.4:2375", "DOCKER_HOST"},
		{"h", NULL, NULL, NULL, "tcp://h:2375", "DOCKER_HOST"},
		{":99", NULL, NULL, NULL, "tcp://localhost:99", "DOCKER_HOST"},
		{"tcp://", NULL, NULL, NULL, "tcp://localhost:2375", "DOCKER_HOST"},
		{"tcp://:99", NULL, NULL, NULL, "tcp://localhost:99", "DOCKER_HOST"},
		{"tcp://h:", NULL, NULL, NULL, "tcp://h:2375", "DOCKER_HOST"},
		{"::1", NULL, NULL, NULL, "tcp://[::1]:2375", "DOCKER_HOST"},
		{"tcp://[::1]:7", NULL, NULL, NULL, "tcp://[::1]:7", "DOCKER_HOST"},
		{"tcp://[::1]:", NULL, NULL, NULL, "tcp://[::1]:2375", "DOCKER_HOST"},
		{"unix://", NULL, NULL, NULL, "unix:///var/run/docker.sock", "DOCKER_HOST"},
		{" ", NULL, NULL, NULL, "unix:///var/run/docker.sock", "DOCKER_HOST"},
		{"/a.sock", NULL, NULL, NULL, "unix:///a.sock", "DOCKER_HOST"},
		{"ssh://u@h:2/p", NULL, NULL, NULL, "ssh://u@h:2/p", "DOCKER_HOST"},
		{"unix:///a.sock", NULL, "1", "tls", "unix:///a.sock", "DOCKER_HOST"},
	};
	char url[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct config_errors e = {0};
		struct config c;

		cases[i].host ? setenv("DOCKER_HOST", cases[i].host, 1) : unsetenv("DOCKER_HOST");
		cases[i].context ? setenv("DOCKER_CONTEXT", cases[i].context, 1)
				 : unsetenv("DOCKER_CONTEXT");
		cases[i].verify ? setenv("DOCKER_TLS_VERIFY", cases[i].verify, 1)
				: unsetenv("DOCKER_TLS_VERIFY");
		cases[i].certs ? setenv("DOCKER_CERT_PATH", cases[i].certs, 1)
			       : unsetenv("DOCKER_CERT_PATH");
		assert_int_equal(config_load(&c, NULL, &e), 0);
		assert_int_equal(c.n_hosts, 1);
		assert_string_equal(c.hosts[0].id, "local");
		assert_true(c.hosts[0].enabled);
		config_endpoint_text(&c.hosts[0].at, url, sizeof(url));
		assert_string_equal(url, cases[i].url);
		assert_non_null(strstr(c.source, cases[i].source));
		assert_int_equal(c.hosts[0].at.kind == ENDPOINT_TLS && cases[i].certs,
				 c.hosts[0].at.cert != NULL && cases[i].certs);
		config_free(&c);
	}
	unsetenv("DOCKER_HOST");
	unsetenv("DOCKER_TLS_VERIFY");
	unsetenv("DOCKER_CERT_PATH");
}

static void test_local_that_cannot_be(void **state)
{
	(void)state;
	setenv("DOCKER_HOST", "fd://", 1);
	expect_error(NULL, NULL, 0, "DOCKER_HOST: \"fd://\" is of no kind that dcm knows; exp");
	setenv("DOCKER_HOST", "npipe://", 1);
	expect_error(NULL, NULL, 0, "DOCKER_HOST: \"npipe://\" is of no kind that dcm knows; e");
	setenv("DOCKER_HOST", "tcp://h:x", 1);
	expect_error(NULL, NULL, 0, "DOCKER_HOST: \"tcp://h:x\" has no valid host and port");
	setenv("DOCKER_HOST", "tcp://h:1", 1);
	setenv("DOCKER_TLS_VERIFY", "1", 1);
	expect_error(NULL, NULL, 0, "DOCKER_HOST: DOCKER_TLS_VERIFY is set, and there is no ca.");
	unsetenv("DOCKER_TLS_VERIFY");
	setenv("DOCKER_TLS", "1", 1);
	expect_error(NULL, NULL, 0, "DOCKER_HOST: DOCKER_TLS is set, and there is no ca.pem in ");
	unsetenv("DOCKER_TLS");
	unsetenv("DOCKER_HOST");
	setenv("DOCKER_CONTEXT", "missing", 1);
	expect_error(NULL, NULL, 0, "DOCKER_CONTEXT: there is no docker context \"missing\"");
	unsetenv("DOCKER_CONTEXT");
}

/* ---- what a reload sees ------------------------------------------------------------------ */

static bool equal(const char *a, const char *b)
{
	struct config_errors e = {0};
	struct config x, y;
	bool is;

	assert_int_equal(config_parse(&x, "x", a, strlen(a), &e), 0);
	assert_int_equal(config_parse(&y, "y", b, strlen(b), &e), 0);
	assert_non_null(config_host(&x, "h"));
	assert_null(config_host(&x, "g"));
	is = config_host_equal(config_host(&x, "h"), &x.cache, config_host(&y, "h"), &y.cache);
	config_free(&x);
	config_free(&y);
	return is;
}

static void test_host_equal(void **state)
{
#define H "hosts: {h: {url: \"unix:///h\""
	static const char *const same[] = {
		H "}}", H ", description: x}}", H ", tags: [a]}}", H ", stats: true}}",
		H "}}\ncache: {stats_ttl: 1}", H "}}\ncache: {memory_retention: 9}",
		H "}, a: {url: \"unix:///a\"}}",
	};
	static const char *const other[] = {
		"hosts: {h: {url: \"unix:///i\"}}", "hosts: {h: {url: \"tcp://h\"}}",
		"hosts: {h: {hostname: h}}", H ", stats: false}}", H ", enabled: no}}",
		H ", environment: full}}", H "}}\ncache: {environment: none}",
		H "}}\ncache: {stats_update: 9}", H "}}\ncache: {redact: [A]}",
		H "}}\ncache: {shard_limit: 2097152}", H "}}\ncache: {request_timeout: 1}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
		if (!equal(H "}}", same[i]))
			fail_msg("differs: %s", same[i]);
	for (size_t i = 0; i < sizeof(other) / sizeof(*other); i++)
		if (equal(H "}}", other[i]))
			fail_msg("is the same: %s", other[i]);
#undef H
}

static int settle(void **state)
{
	char home[PATH_MAX + 8], docker[PATH_MAX + 8];

	(void)state;
	if (chdir("tests/data/config") < 0 || !getcwd(here, sizeof(here)))
		return -1;
	snprintf(home, sizeof(home), "%s/home", here);
	snprintf(docker, sizeof(docker), "%s/docker", here);
	setenv("HOME", home, 1);
	setenv("XDG_CONFIG_HOME", home, 1); /* holds no dcm/hosts.yml */
	setenv("DOCKER_CONFIG", docker, 1);
	setenv("DCM_TEST_USER", "me", 1);
	setenv("DCM_TEST_PORT", "2222", 1);
	setenv("DCM_TEST_BIG", "70000", 1);
	setenv("DCM_TEST_YES", "yes", 1);
	setenv("DCM_TEST_NO", "off", 1);
	setenv("DCM_TEST_AUTO", "auto", 1);
	setenv("DCM_TEST_MB", "000000", 1);
	unsetenv("DOCKER_HOST");
	unsetenv("DOCKER_CONTEXT");
	unsetenv("DCM_TEST_UNSET");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_shipped_example),
		cmocka_unit_test(test_example_shows_the_defaults),
		cmocka_unit_test(test_files_that_cannot_be_read),
		cmocka_unit_test(test_documents_without_measure),
		cmocka_unit_test(test_errors_are_bounded),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_local_that_cannot_be),
		cmocka_unit_test(test_host_equal),
	};

	return cmocka_run_group_tests(tests, settle, NULL);
}
