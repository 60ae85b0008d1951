/*
 * test_client_commands.c - the whole program against memory made by hand: every
 * command that needs no broker, its document, its exit status, its messages.
 */
#include "client_instance.h"

/* ---- running the program ----------------------------------------------- */

static struct capture out, err;

/* Words separated by single spaces; the exit status. */
static int dcm_client(const char *line)
{
	static char copy[512];
	char *argv[40] = {(char *)"dcm-client", (char *)"--runtime-dir", runtime_dir,
			  (char *)"--instance", instance}, *save;
	int argc = 5, status;

	snprintf(copy, sizeof(copy), "%s", line);
	for (argv[argc] = strtok_r(copy, " ", &save); argv[argc];
	     argv[argc] = strtok_r(NULL, " ", &save))
		argc++;
	/* Nobody beats here: without this the handle looks for successors. */
	region_beat(directory);
	region_beat(alpha);
	region_beat(beta);
	capture(&out, STDOUT_FILENO);
	capture(&err, STDERR_FILENO);
	status = client_main(argc, argv);
	captured(&err);
	captured(&out);
	return status;
}

static json_object *doc;

static json_object *json(const char *line)
{
	char with[512];

	json_object_put(doc);
	snprintf(with, sizeof(with), "--json %s", line);
	assert_int_equal(dcm_client(with), EXIT_OK);
	assert_string_equal(err.text, "");
	doc = json_tokener_parse(out.text);
	if (!doc)
		fail_msg("%s: not JSON: %s", line, out.text);
	return doc;
}

/* "alpha/shop-db-1 alpha/shop-web-1 …" of an array of records. */
static const char *names(json_object *records)
{
	static char text[1024];
	size_t i, n = 0;

	text[0] = '\0';
	for (i = 0; i < json_object_array_length(records); i++) {
		json_object *r = json_object_array_get_idx(records, i);

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s/%s", i ? " " : "",
				      json_object_get_string(member(r, "host_id")),
				      json_object_get_string(member(r, "name")));
	}
	return text;
}

/* A list command answers with these. */
static void lists(const char *line, const char *expected)
{
	const char *got = names(json(line));

	if (strcmp(got, expected) != 0)
		fail_msg("%s: %s, not %s", line, got, expected);
}

/* A command fails with this status, and one line that says this. */
static void fails(const char *line, int status, const char *says)
{
	int got = dcm_client(line);

	if (got != status || !strstr(err.text, says) || strcmp(out.text, "") != 0 ||
	    strcspn(err.text, "\n") != strlen(err.text) - 1 ||
	    strncmp(err.text, "dcm-client: ", 12) != 0)
		fail_msg("%s: exit %d, '%s', '%s'", line, got, err.text, out.text);
}

#define ALPHA "alpha/lone alpha/shop-db-1 alpha/shop-web-1"

/* ---- tests ------------------------------------------------------------- */

static void hosts(void **state)
{
	json_object *rows = json("hosts"), *row = json_object_array_get_idx(rows, 0);

	(void)state;
	assert_int_equal(json_object_array_length(rows), 3);
	assert_string_equal(keys(row),
			    "id state containers running age engine_version api_version transport "
			    "error description tags cpus memory_total os kernel cpu_percent "
			    "memory_usage");
	assert_string_equal(json_object_get_string(member(row, "state")), "online");
	assert_null(member(row, "error"));
	assert_true(json_object_get_double(member(row, "age")) >= 1);
	row = json_object_array_get_idx(rows, 1);
	assert_string_equal(json_object_get_string(member(row, "state")), "offline");
	assert_string_equal(json_object_get_string(member(row, "error")), "connection refused");
	row = json_object_array_get_idx(rows, 2);
	assert_string_equal(json_object_get_string(member(row, "state")), "disabled");
	assert_null(member(row, "age"));
	assert_int_equal(dcm_client("hosts"), EXIT_OK);
	assert_non_null(strstr(out.text, "connection refused"));
}

static void ps(void **state)
{
	(void)state;
	lists("ps", ALPHA " beta/shop-web-1");
	lists("ps alpha", ALPHA);
	lists("ps off", "");
	lists("ps --filter host=beta", "beta/shop-web-1");
	lists("ps --filter host=nowhere", "");
	lists("ps --filter status=exited", "alpha/shop-db-1");
	lists("ps --filter status=exited --filter status=running", ALPHA " beta/shop-web-1");
	lists("ps --filter project=shop --filter service=db", "alpha/shop-db-1");
	lists("ps --filter health=none", "alpha/shop-db-1");
	lists("ps alpha --filter network=shop_net", "alpha/shop-web-1");
	lists("ps --filter name=^shop --filter exited=1", "alpha/shop-db-1");
	fails("ps nowhere", EXIT_NOTFOUND, "'nowhere': the hosts are alpha, beta, off");
	fails("ps --filter colour=red", EXIT_USAGE, "no filter 'colour'");
	fails("ps a b", EXIT_USAGE, "ps takes fewer arguments");
	fails("ps --all", EXIT_USAGE, "ps takes no --all");
}

static void filters_that_refer(void **state)
{
	(void)state;
	lists("ps alpha --filter since=shop-web-1", "alpha/lone");
	lists("ps alpha --filter before=shop-web-1", "alpha/shop-db-1");
	lists("ps alpha --filter before=" WEB_ID, "alpha/shop-db-1");
	lists("ps alpha --filter before=lone --filter since=shop-db-1", "alpha/shop-web-1");
	/* Only alpha has it: times compare across hosts. */
	lists("ps --filter before=lone", "alpha/shop-db-1 alpha/shop-web-1 beta/shop-web-1");
	/* Both have it: each host by its own. */
	lists("ps --filter since=shop-web-1", "alpha/lone");
	fails("ps --filter before=nobody", EXIT_NOTFOUND, "no container 'nobody'");
	fails("ps alpha --filter before=abcd", EXIT_NOTFOUND, "abcd00000000");
	lists("ps --filter id=1234", "alpha/lone");
	lists("ps --filter id=abcd", "beta/shop-web-1"); /* two on alpha: none there, as docker */
	lists("ps --filter id=9", "");
	lists("ps alpha --filter ancestor=busybox:latest", "alpha/lone");
	lists("ps alpha --filter ancestor=nginx", "");
}

static void put_catalog(const struct dcm_catalog *c)
{
	struct record_buf b = {0};

	assert_int_equal(record_encode_catalog(c, &b), 0);
	const struct region_tier tier = {DCM_COMPOSE, b.data, (uint32_t)b.len, now()};
	assert_int_equal(region_put_self(alpha, &tier, 1), 0);
	region_publish(alpha);
	record_buf_free(&b);
}

/* By the engine's own lists: tags that moved, what was built upon what, network ids. */
static void filters_by_the_catalog(void **state)
{
	static const struct dcm_str images[] = {
		S("sha256:aaaa - nginx:1.21 postgres:16"), S("sha256:bbaa sha256:aaaa moved:1"),
		S("sha256:bbbb sha256:bbaa"), S("sha256:cccc -"),
	};
	static const struct dcm_str networks[] = {S("abc123 shop_net"), S("abd123 other")};
	struct dcm_catalog c = {.images = {images, 4, true}, .networks = {networks, 2, true}};
	struct dcm_record r;

	(void)state;
	make_web(&r);
	r.image_id = S("sha256:bbbb");
	put(alpha, &r);
	put_catalog(&c);
	lists("ps alpha --filter ancestor=nginx:1.21", "alpha/shop-web-1");
	lists("ps alpha --filter ancestor=postgres:16", "alpha/shop-web-1");
	lists("ps alpha --filter ancestor=moved:1", "alpha/shop-web-1");
	lists("ps alpha --filter ancestor=aa", "alpha/shop-web-1");
	lists("ps alpha --filter ancestor=cccc", "");
	lists("ps alpha --filter ancestor=b", ""); /* several */
	/* Of an image that the engine does not list, what the records say. */
	lists("ps alpha --filter ancestor=postgres:15", "alpha/shop-db-1");
	lists("ps beta --filter ancestor=nginx:1.21", "beta/shop-web-1");
	lists("ps alpha --filter network=shop_net", "alpha/shop-web-1");
	lists("ps alpha --filter network=abc123", "alpha/shop-web-1");
	lists("ps alpha --filter network=ab", "alpha/shop-web-1");
	lists("ps --filter network=abc", "alpha/shop-web-1");
	lists("ps alpha --filter network=abd", "");
	lists("ps alpha --filter network=bc123", "");
	put_catalog(&(struct dcm_catalog){0});
	make_web(&r);
	put(alpha, &r);
}

static void ps_quiet_and_formats(void **state)
{
	(void)state;
	assert_int_equal(dcm_client("ps -q beta"), EXIT_OK);
	assert_string_equal(out.text, "abcd00000000\n");
	assert_int_equal(dcm_client("ps -q beta --json"), EXIT_OK);
	assert_non_null(strstr(out.text, WEB_ID));
	assert_int_equal(dcm_client("ps alpha --format {host_id}/{name}={exit_code}"), EXIT_OK);
	assert_string_equal(out.text, "alpha/lone=\nalpha/shop-db-1=1\nalpha/shop-web-1=\n");
	assert_int_equal(dcm_client("ps alpha --format table"), EXIT_OK);
	assert_non_null(strstr(out.text, "CONTAINER ID"));
	assert_null(strchr(out.text, '\033'));
	assert_int_equal(dcm_client("hosts --format {id}:{state}"), EXIT_OK);
	assert_string_equal(out.text, "alpha:online\nbeta:offline\noff:disabled\n");
	fails("ps --format {nope}", EXIT_USAGE, "no field 'nope'");
	fails("ps --format {name} --json", EXIT_USAGE, "exclude each other");
	fails("hosts --format {name}", EXIT_USAGE, "no field 'name'");
}

static void get(void **state)
{
	json_object *r;

	(void)state;
	r = json("get alpha shop-web-1");
	assert_string_equal(json_object_get_string(member(r, "container_id")), WEB_ID);
	assert_string_equal(json_object_get_string(member(r, "host_id")), "alpha");
	assert_int_equal(json_object_object_length(r), DCM_FIELD_COUNT + 3);
	r = member(member(r, "freshness"), "stats");
	assert_false(json_object_get_boolean(member(r, "stale")));
	json("get alpha /shop-web-1");
	json("get alpha 1234");
	json("get alpha " DB_ID);
	fails("get alpha abcd", EXIT_NOTFOUND, "shop-web-1");
	fails("get alpha abcd", EXIT_NOTFOUND, "shop-db-1");
	fails("get alpha 123", EXIT_NOTFOUND, "123");
	fails("get alpha nobody", EXIT_NOTFOUND, "nobody");
	fails("get nowhere lone", EXIT_NOTFOUND, "nowhere");
	fails("get alpha", EXIT_USAGE, "get takes more arguments");
	assert_int_equal(dcm_client("get alpha lone"), EXIT_OK);
	assert_non_null(strstr(out.text, "memory_usage              200MiB\n"));
	assert_non_null(strstr(out.text, "exit_code                 -\n"));
}

static void queries(void **state)
{
	(void)state;
	lists("stack shop", "alpha/shop-db-1 alpha/shop-web-1 beta/shop-web-1");
	lists("stack none", "");
	lists("label tier", "alpha/shop-web-1 beta/shop-web-1");
	lists("label tier=front", "alpha/shop-web-1 beta/shop-web-1");
	lists("label tier=back", "");
	lists("label empty=", "alpha/shop-web-1 beta/shop-web-1");
	lists("label tier=", "");
	lists("search NGINX", "alpha/shop-web-1 beta/shop-web-1");
	lists("search 1234", "alpha/lone");
	lists("search nothing", "");
	lists("mounts /srv", "alpha/shop-web-1 beta/shop-web-1");
	lists("mounts /www", "alpha/shop-web-1 beta/shop-web-1");
	lists("mounts /sr", "");
	lists("network shop_net", "alpha/shop-web-1 beta/shop-web-1");
	lists("status exited", "alpha/shop-db-1");
	lists("status dead", "");
	fails("status up", EXIT_USAGE, "no status 'up'");
	fails("label =x", EXIT_USAGE, "no key");
}

static void top(void **state)
{
	json_object *d = json("top");

	(void)state;
	assert_string_equal(keys(d), "top_cpu top_memory");
	assert_string_equal(names(member(d, "top_cpu")),
			    "alpha/shop-web-1 beta/shop-web-1 alpha/lone");
	assert_string_equal(names(member(d, "top_memory")),
			    "alpha/lone alpha/shop-web-1 beta/shop-web-1");
	d = json("top -n 1");
	assert_string_equal(names(member(d, "top_memory")), "alpha/lone");
	fails("top -n 0", EXIT_USAGE, "-n takes no '0'");
	fails("ps -n 1", EXIT_USAGE, "ps takes no -n");
}

static void health(void **state)
{
	json_object *d = json("health");

	(void)state;
	assert_string_equal(keys(d), "healthy unhealthy starting no_health_check");
	assert_string_equal(names(member(d, "healthy")), "alpha/shop-web-1 beta/shop-web-1");
	assert_string_equal(names(member(d, "unhealthy")), "alpha/lone");
	assert_string_equal(names(member(d, "starting")), "");
	assert_string_equal(names(member(d, "no_health_check")), "alpha/shop-db-1");
}

static void discover(void **state)
{
	json_object *d = json("discover");

	(void)state;
	assert_string_equal(keys(d), "alpha beta");
	d = json("discover alpha");
	assert_string_equal(compact(d), "{\"alpha\":{\"compose_projects\":[\"shop\"],"
			    "\"compose_paths\":[\"/srv/over\",\"/srv/shop\"],"
			    "\"appdata_paths\":[\"/srv/appdata/web\"],\"total_containers\":3}}");
	fails("discover nowhere", EXIT_NOTFOUND, "nowhere");
	assert_int_equal(dcm_client("discover --format {host}={total_containers}"), EXIT_OK);
	assert_string_equal(out.text, "alpha=3\nbeta=1\n");
}

static void stats(void **state)
{
	json_object *d = json("stats");

	(void)state;
	assert_string_equal(keys(d), "hosts_cached total_containers cache_ages update_interval "
				     "cache_ttl memory_held memory_used events refreshes errors "
				     "restarts refused truncated warnings daemon_warnings");
	assert_int_equal(json_object_get_int(member(d, "hosts_cached")), 2);
	assert_int_equal(json_object_get_int(member(d, "update_interval")), 60);
	assert_int_equal(json_object_get_int(member(d, "cache_ttl")), 300);
	assert_int_equal(json_object_get_int(member(d, "events")), 14);
	assert_int_equal(json_object_get_int(member(d, "restarts")), 7);
	assert_true(json_object_get_int64(member(d, "memory_held")) >=
		    json_object_get_int64(member(d, "memory_used")));
	assert_string_equal(keys(member(d, "cache_ages")), "alpha beta");
}

static void asking_without_a_broker(void **state)
{
	(void)state;
	/* From the cache, with a warning; on demand that it is fresh, exit 4. */
	assert_int_equal(dcm_client("ps beta --refresh -q"), EXIT_OK);
	assert_string_equal(out.text, "abcd00000000\n");
	assert_non_null(strstr(err.text, "could be read anew"));
	assert_int_equal(dcm_client("get beta shop-web-1 --refresh --format {name}"), EXIT_OK);
	assert_string_equal(out.text, "shop-web-1\n");
	fails("get nowhere x --refresh", EXIT_NOTFOUND, "nowhere");
	assert_int_equal(dcm_client("ps beta --refresh --strict -q"), EXIT_PARTIAL);
	assert_string_equal(out.text, "abcd00000000\n");
	assert_non_null(strstr(err.text, "could be read anew"));
	assert_int_equal(dcm_client("get beta nobody --refresh --strict"), EXIT_NOTFOUND);
	assert_int_equal(dcm_client("refresh alpha"), EXIT_PARTIAL);
	assert_int_equal(dcm_client("logs alpha lone"), EXIT_PARTIAL);
	fails("refresh nowhere", EXIT_NOTFOUND, "nowhere");
	fails("refresh", EXIT_USAGE, "hosts or --all");
	fails("refresh --all alpha", EXIT_USAGE, "hosts or --all");
	fails("forget nowhere", EXIT_NOTFOUND, "nowhere");
	fails("logs alpha nobody", EXIT_NOTFOUND, "nobody");
}

/* What the doctor finds, a line a finding: "check subject status: message | mend". */
static const char *findings(const char *line, const char *of_host)
{
	static char text[8192];
	size_t i, n = 0;
	char with[512];

	snprintf(with, sizeof(with), "--json %s", line);
	dcm_client(with);
	json_object_put(doc);
	doc = json_tokener_parse(out.text);
	if (!doc)
		fail_msg("%s: not JSON: %s", line, out.text);
	text[0] = '\0';
	for (i = 0; i < json_object_array_length(doc); i++) {
		json_object *f = json_object_array_get_idx(doc, i);
		const char *subject = json_object_get_string(member(f, "subject"));
		const char *mend = json_object_get_string(member(f, "mend"));

		assert_string_equal(keys(f), "check subject status message mend");
		if (of_host && (!subject || strcmp(subject, of_host) != 0))
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %s: %s%s%s\n",
				      json_object_get_string(member(f, "status")),
				      json_object_get_string(member(f, "check")),
				      json_object_get_string(member(f, "message")),
				      mend ? " | " : "", mend ? mend : "");
		assert_true(n < sizeof(text));
	}
	return text;
}

static void holds(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no '%s' in:\n%s", part, text);
}

static void lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("'%s' in:\n%s", part, text);
}

static void doctor(void **state)
{
	(void)state;
	/* No broker, and beta is offline: both are told, with a mend. */
	assert_int_equal(dcm_client("doctor"), EXIT_OTHER);
	holds(out.text, "FAIL  broker:");
	holds(out.text, "FAIL  host beta:");
	holds(out.text, "connection refused");
	holds(out.text, "ok    host alpha:");
	holds(findings("doctor", "alpha"), "ok steps: docker, API\n");
	holds(findings("doctor", "off"), "ok host: disabled in hosts.yml\n");
	assert_int_equal(dcm_client("doctor beta"), EXIT_OTHER);
	holds(out.text, "host beta");
	lacks(out.text, "host alpha");
	fails("doctor beta nowhere", EXIT_NOTFOUND, "nowhere");
	assert_int_equal(dcm_client("--instance nobody-runs-this doctor"), EXIT_NOTRUNNING);
	holds(out.text, "FAIL  instance:");
}

/* Each transport's steps, as far as they went; the mend is the cause's own, or else
 * that of the step. */
static void doctor_walks(void **state)
{
	static const struct {
		const char *transport, *error;
		enum dcm_step step;
		const char *found;
	} ways[] = {
		{"unix", "permission denied on unix:///a (EACCES: 13): let dcmd open it (group d)",
		 DCM_STEP_DOCKER,
		 "fail docker: permission denied on unix:///a (EACCES: 13) | let dcmd open it "
		 "(group d)\n"},
		{"unix", "the engine answered 500 (oh: run this)", DCM_STEP_API,
		 "ok docker: its socket can be opened\n"
		 "fail API: the engine answered 500 (oh: run this) | check that the engine there "
		 "is well: its log, its load\n"},
		{"tcp", "no address found", DCM_STEP_NAME,
		 "fail name: no address found | check the host name in hosts.yml, and DNS\n"},
		{"tls", "it has expired: renew it", DCM_STEP_CERTIFICATE,
		 "ok name: has an address\nok connect: answers at its port\n"
		 "fail certificate: it has expired | renew it\n"},
		{"ssh/libssh2", "unknown: add it", DCM_STEP_HOST_KEY,
		 "ok name: has an address\nok connect: answers at its port\n"
		 "fail host key: unknown | add it\n"},
		{"ssh/openssh", "no", DCM_STEP_API,
		 "ok name: has an address\nok connect: answers at its port\n"
		 "ok host key: is the known one\nok login: is accepted\n"
		 "ok docker: its socket can be opened\nfail API: no | "},
	};
	struct dcm_host h = host_row(NULL, DCM_OFFLINE);
	const char *found;
	char where[64];

	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		h.transport = str_of(ways[i].transport);
		h.error = str_of(ways[i].error);
		h.step = ways[i].step;
		put_row(beta, &h);
		found = findings("doctor", "beta");
		snprintf(where, sizeof(where), "by %s it stops at %s | ", ways[i].transport,
			 dcm_step_name(ways[i].step));
		holds(found, where);
		holds(found, ways[i].found);
		assert_null(strstr(found, " steps:"));
	}
	/* A lack of our own, and a step that this way has not: the cause alone. */
	h.step = DCM_STEP_NONE;
	h.error = S("there is no ssh: install it");
	put_row(beta, &h);
	holds(findings("doctor", "beta"), ", there is no ssh | install it\n");
	h.transport = S("unix");
	h.step = DCM_STEP_LOGIN;
	put_row(beta, &h);
	holds(findings("doctor", "beta"), ", there is no ssh | install it\n");
	/* The engine answers. */
	h = host_row("its events fail: see its log", DCM_DEGRADED);
	h.transport = S("ssh/openssh");
	put_row(beta, &h);
	found = findings("doctor", "beta");
	holds(found, "warn host: degraded, its events fail | see its log\n");
	holds(found, "ok steps: name, connect, host key, login, docker, API\n");
	/* Its collector is gone: what it said last is no walk. */
	h = host_row("connection refused", DCM_OFFLINE);
	h.step = DCM_STEP_DOCKER;
	h.pid = INT32_MAX;
	put_row(beta, &h);
	found = findings("doctor", "beta");
	holds(found, "warn host: was offline when its collector ended, verified ");
	holds(found, "fail collector: pid 2147483647 does not run | dcmd starts it again");
	lacks(found, " docker:");
	put_host_row(beta, "connection refused", DCM_OFFLINE);
}

static void warnings(void **state)
{
	static const struct dcm_str names[] = {S("shard_full"), S("snapshot_failed")};
	static const struct dcm_str said[] = {S("it is \"full\" (a: b): make room"), S("no disk")};
	static const struct dcm_str own[] = {S("not given up, seccomp: see docs")};
	struct dcm_host h = host_row("connection refused", DCM_OFFLINE);
	struct dcm_info info = info_made();
	json_object *d = json("stats");
	const char *found;

	(void)state;
	assert_string_equal(compact(member(d, "warnings")), "{}");
	assert_string_equal(compact(member(d, "daemon_warnings")), "[]");
	h.conditions = (struct dcm_strs){names, 2, true};
	h.warnings = (struct dcm_strs){said, 2, true};
	put_row(beta, &h);
	info.conditions = info.warnings = (struct dcm_strs){own, 1, true};
	info.shard_limit = 1; /* all shards are beyond it */
	put_info(&info);
	d = json("stats");
	assert_string_equal(compact(member(d, "warnings")),
			    "{\"beta\":[\"it is \\\"full\\\" (a: b): make room\",\"no disk\"]}");
	assert_string_equal(compact(member(d, "daemon_warnings")),
			    "[\"not given up, seccomp: see docs\"]");
	assert_int_equal(dcm_client("stats"), EXIT_OK);
	holds(out.text, "make room");
	found = findings("doctor", "beta");
	holds(found, "fail condition: it is \"full\" (a: b) | make room\n");
	holds(found, "warn condition: no disk | see the log of dcmd\n");
	holds(found, "warn shard: it holds ");
	holds(findings("doctor", NULL), "warn condition: not given up, seccomp | see docs\n");
	info = info_made();
	put_info(&info);
	put_host_row(beta, "connection refused", DCM_OFFLINE);
	lacks(findings("doctor", "beta"), " shard:");
}

static void usage(void **state)
{
	(void)state;
	fails("", EXIT_USAGE, "no command");
	fails("no-such-command", EXIT_USAGE, "no command 'no-such-command'");
	fails("--instance nobody-runs-this hosts", EXIT_NOTRUNNING, "nobody-runs-this");
	fails("--runtime-dir /nonexistent hosts", EXIT_NOTRUNNING, "not running");
	fails("--instance ../x hosts", EXIT_USAGE, "../x");
	assert_int_equal(dcm_client("--help"), EXIT_OK);
	assert_non_null(strstr(out.text, "Usage: dcm-client"));
	assert_int_equal(dcm_client("get --help"), EXIT_OK);
	assert_non_null(strstr(out.text, "get HOST CONTAINER"));
	assert_int_equal(dcm_client("--version"), EXIT_OK);
	assert_string_equal(out.text, "dcm-client " DCM_VERSION "\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts),
		cmocka_unit_test(ps),
		cmocka_unit_test(filters_that_refer),
		cmocka_unit_test(filters_by_the_catalog),
		cmocka_unit_test(ps_quiet_and_formats),
		cmocka_unit_test(get),
		cmocka_unit_test(queries),
		cmocka_unit_test(top),
		cmocka_unit_test(health),
		cmocka_unit_test(discover),
		cmocka_unit_test(stats),
		cmocka_unit_test(asking_without_a_broker),
		cmocka_unit_test(doctor),
		cmocka_unit_test(doctor_walks),
		cmocka_unit_test(warnings),
		cmocka_unit_test(usage),
	};
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);

	json_object_put(doc);
	return failed;
}
