/* test_decode_inspect.c - inspect documents of real and old and new engines. */
#include "decode_help.h"

static struct arena arena;
static struct decoded d;

static const struct dcm_record *inspect(const char *name)
{
	struct bytes b = load(name);
	char err[DECODE_ERR] = "";

	arena_free(&arena);
	if (decode_inspect(b.p, b.len, &arena, &d, err) < 0)
		fail_msg("%s: %s", name, err);
	free(b.p);
	return &d.rec;
}

static int inspect_text(const char *json, size_t len, char *err)
{
	arena_free(&arena);
	err[0] = 0;
	return decode_inspect(json, len, &arena, &d, err);
}

#define ID "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"

static void running_compose_service(void **state)
{
	const struct dcm_record *r = inspect("docker-20.10-inspect-web.json");

	(void)state;
	assert_true(d.running);
	assert_false(d.tty);
	assert_false(d.truncated);
	assert_int_equal(d.id[0], 0x5f);
	assert_int_equal(d.id[31], 0x3c);
	assert_text(r->container_id,
		    "5fd46afef4cd4d41623309d5bc8962cd892f45faa1fab4914e9e66ae024a673c");
	assert_string_equal(r->id, r->container_id.s);
	assert_text(r->name, "shop-web-1");
	assert_text(r->status, "running");
	assert_text(r->health_status, "healthy");
	assert_text(r->created, "2026-11-23T06:36:56.160006177Z");
	assert_text(r->started, "2026-11-23T06:36:56.458463937Z");
	assert_null_text(r->finished);
	assert_text(r->image, "busy:1");
	assert_text(r->image_id,
		    "sha256:030bcef190ccab38b76a2da90f5c632b2d6cefedc1995cd7a15ff5e6a6f5b989");
	assert_int_equal(r->pid, 11608);
	assert_int_equal(r->exit_code, 0);
	assert_int_equal(r->restart_count, 0);
	assert_int_equal(r->oom_killed, 0);
	assert_int_equal(r->privileged, 0);
	assert_text(r->error, "");
	assert_text(r->entrypoint, "/bin/sleep");
	assert_text(r->command, "1000");
	assert_text(r->working_dir, "/srv");
	assert_text(r->hostname, "shopweb");
	assert_text(r->user, "1000:1000");
	assert_int_equal(r->memory_limit, 67108864);
	assert_text(r->restart_policy, "unless-stopped");
	assert_text(r->log_driver, "json-file");
	assert_empty(r->links);
	assert_list(r->bind_mounts, "/srv/shop/conf:/etc/shop:ro");
	assert_int_equal(r->volumes.n, 1);
	assert_text(r->volumes.v[0].name, "shopdata");
	assert_text(r->volumes.v[0].source, "/var/lib/docker/volumes/shopdata/_data");
	assert_text(r->volumes.v[0].destination, "/var/lib/shop");
	assert_text(r->volumes.v[0].driver, "local");
	assert_text(r->volumes.v[0].mode, "rw");
	assert_int_equal(r->volume_drivers.n, 1);
	assert_text(value_of(r->volume_drivers, "shopdata"), "local");
	assert_int_equal(r->environment_vars.n, 5);
	assert_text(value_of(r->environment_vars, "A"), "b=c");
	assert_text(value_of(r->environment_vars, "EMPTY"), "");
	assert_null_text(value_of(r->environment_vars, "NOEQ"));
	assert_text(value_of(r->environment_vars, "URL"),
		    "postgres://app:neutral-pass@db:5432/shop");
	assert_int_equal(r->labels.n, 5);
	assert_text(value_of(r->labels, "com.docker.compose.service"), "web");
	assert_text(r->compose_project, "shop");
	assert_text(r->compose_service, "web");
	assert_text(r->compose_config_files, "/srv/shop/compose.yml");
	assert_text(r->compose_working_dir, "/srv/shop");
	assert_list(r->depends_on, "db", "cache");
	/* What is not this decoder's to say. */
	assert_false(r->compose_stack_containers.known);
	assert_null_text(r->compose_file_content);
	assert_false(r->log_tail.known);
	assert_true(isnan(r->cpu_percent));
	assert_int_equal(r->memory_usage, DCM_UNKNOWN);
	assert_true(isnan(r->cached_at));
	assert_true(isnan(r->last_updated));
}

static void networks_of_a_running_service(void **state)
{
	const struct dcm_record *r = inspect("docker-20.10-inspect-web.json");

	(void)state;
	assert_true(r->networks.known);
	assert_int_equal(r->networks.n, 2);
	assert_text(r->networks.v[0].name, "backnet");
	assert_text(r->networks.v[0].ip, "172.17.0.2");
	assert_text(r->networks.v[0].gateway, "172.17.0.1");
	assert_text(r->networks.v[0].mac, "02:42:ac:11:00:02");
	assert_null_text(r->networks.v[0].ipv6);
	assert_text(r->networks.v[1].name, "frontnet");
	/* Not the first by name: the one of the network mode. */
	assert_text(r->ip_address, "172.18.0.2");
	assert_int_equal(r->network_aliases.n, 2);
	assert_text(r->network_aliases.v[0].network, "backnet");
	assert_list(r->network_aliases.v[0].aliases, "web2", "5fd46afef4cd", "shopweb");
	assert_list(r->network_aliases.v[1].aliases, "web", "5fd46afef4cd", "shopweb");
	assert_empty(r->ports);
}

static void other_states(void **state)
{
	const struct dcm_record *r = inspect("docker-20.10-inspect-done.json");

	(void)state;
	assert_text(r->status, "exited");
	assert_int_equal(r->exit_code, 7);
	assert_int_equal(r->pid, 0);
	assert_non_null(r->finished.s);
	assert_false(d.running);
	assert_null_text(r->health_status);
	assert_text(r->restart_policy, "no");
	assert_null_text(r->ip_address);
	assert_text(r->networks.v[0].name, "none");
	assert_null_text(r->networks.v[0].ip);
	assert_null_text(r->entrypoint);
	assert_text(r->command, "sh -c exit 7");
	assert_empty(r->labels);
	assert_empty(r->depends_on);
	assert_empty(r->bind_mounts);
	assert_empty(r->volumes);
	assert_empty(r->volume_drivers);
	assert_null_text(r->compose_project);
	assert_int_equal(r->memory_limit, 0);

	r = inspect("docker-20.10-inspect-badstart.json");
	assert_text(r->status, "created");
	assert_int_equal(r->exit_code, 127);
	assert_non_null(strstr(r->error.s, "/nonexistent"));
	assert_null_text(r->started);

	r = inspect("docker-20.10-inspect-paused.json");
	assert_text(r->status, "paused");
	assert_true(d.running);

	r = inspect("docker-20.10-inspect-hostnet.json");
	assert_text(r->networks.v[0].name, "host");
	assert_true(d.tty);

	r = inspect("docker-20.10-inspect-created.json");
	assert_text(r->status, "created");
	assert_int_equal(r->exit_code, 0);
}

static void podman(void **state)
{
	const struct dcm_record *r = inspect("podman-4.3-inspect-plain.json");

	(void)state;
	assert_text(r->name, "pplain");
	assert_text(r->image, "localhost/busy:1");
	assert_null_text(r->health_status);
	assert_empty(r->networks);
	assert_list(r->bind_mounts, "/srv/shop/conf:/c:ro");
	assert_text(r->volumes.v[0].name, "pv");
	assert_text(r->entrypoint, "");
	assert_text(r->command, "/bin/sleep 1000");
	assert_text(r->working_dir, "/");
	assert_text(r->user, "");

	r = inspect("podman-4.3-inspect-running.json");
	assert_text(r->status, "running");
	assert_text(r->health_status, "starting");
	assert_int_equal(r->pid, 30630);
	assert_true(d.running);
	assert_text(r->started, "2026-11-23T07:31:53.426947349Z");
	r = inspect("podman-4.3-inspect-done.json");
	assert_int_equal(r->exit_code, 3);
	r = inspect("podman-4.3-inspect-created.json");
	assert_list(r->ports, "80/tcp->:8080");
}

static void api_1_24(void **state)
{
	const struct dcm_record *r = inspect("handmade-1.24-inspect.json");

	(void)state;
	assert_text(r->status, "running");
	assert_text(r->ip_address, "172.17.0.9");
	assert_list(r->bind_mounts, "/srv/www:/usr/share/nginx/html:ro");
	assert_int_equal(r->volumes.n, 2);
	assert_text(r->volumes.v[1].mode, "ro");
	assert_int_equal(r->volume_drivers.n, 1);
	assert_list(r->links, "/db:/old-web/db");
	assert_list(r->depends_on, "db", "cache");
	assert_list(r->ports, "53/tcp", "53/udp->127.0.0.1:5353", "80/tcp->0.0.0.0:8080",
		    "80/tcp->:::8080", "443/tcp", "9090/tcp");
	assert_int_equal(r->privileged, 1);
	assert_text(r->restart_policy, "on-failure");
	assert_empty(r->environment_vars);
	assert_empty(r->network_aliases.v[0].aliases);
	assert_true(d.tty);
	assert_text(r->command, "nginx -g daemon off;");
	assert_int_equal(r->restart_count, 2);
}

static void api_1_45(void **state)
{
	const struct dcm_record *r = inspect("handmade-1.45-inspect.json");

	(void)state;
	assert_text(r->health_status, "unhealthy");
	assert_int_equal(r->oom_killed, 1);
	assert_int_equal(r->exit_code, 137);
	assert_text(r->finished, "2024-05-01T13:00:00+02:00");
	/* No reference: the image's id. */
	assert_text(r->image, r->image_id.s);
	assert_text(r->command, "");
	assert_text(r->entrypoint, "/app --flag two words");
	assert_empty(r->bind_mounts);
	assert_int_equal(r->volumes.n, 1);
	assert_text(value_of(r->volume_drivers, "data"), "nfs");
	assert_text(r->volumes.v[0].mode, "ro");
	assert_int_equal(r->memory_limit, INT64_MAX);
	assert_int_equal(r->environment_vars.n, 4);
	assert_text(value_of(r->environment_vars, "A"), "2");
	assert_text(value_of(r->environment_vars, ""), "odd");
	assert_null_text(value_of(r->environment_vars, "B"));
	assert_empty(r->labels);
	assert_text(r->networks.v[0].name, "alpha");
	assert_text(r->networks.v[1].name, "app_default");
	assert_text(r->networks.v[2].name, "zeta");
	assert_text(r->networks.v[2].ipv6, "fd00::2");
	assert_text(r->ip_address, "10.1.0.2");
	assert_empty(r->network_aliases.v[0].aliases);
	assert_list(r->network_aliases.v[1].aliases, "app");
}

static void api_1_52(void **state)
{
	const struct dcm_record *r = inspect("handmade-1.52-inspect.json");

	(void)state;
	assert_null_text(r->health_status);
	assert_null_text(r->command);
	assert_null_text(r->entrypoint);
	assert_null_text(r->user);
	assert_false(r->links.known);
	assert_text(r->restart_policy, "no");
	/* The mode names no network here: the first by name that has an address. */
	assert_text(r->ip_address, "10.2.0.2");
	assert_text(r->networks.v[0].ipv6, "fd00::1");
	assert_list(r->ports, "80/tcp->:::8080");
	assert_empty(r->environment_vars);
}

/* ip_address of a container in networks a and bridge, by its network mode. */
static const char *address(const char *mode)
{
	char json[600], err[DECODE_ERR];

	snprintf(json, sizeof(json),
		 "{\"Id\":\"" ID "\",\"HostConfig\":{\"NetworkMode\":\"%s\"},"
		 "\"NetworkSettings\":{\"Networks\":{\"a\":{\"NetworkID\":\"n1\","
		 "\"IPAddress\":\"1.1.1.1\"},\"bridge\":{\"NetworkID\":\"n2\","
		 "\"IPAddress\":\"2.2.2.2\"},\"c\":{\"NetworkID\":\"n3\","
		 "\"IPAddress\":\"\"}}}}",
		 mode);
	assert_int_equal(inspect_text(json, strlen(json), err), 0);
	return d.rec.ip_address.s;
}

static void address_by_network_mode(void **state)
{
	(void)state;
	assert_string_equal(address("bridge"), "2.2.2.2");
	assert_string_equal(address("default"), "2.2.2.2");
	assert_string_equal(address("n2"), "2.2.2.2");
	assert_string_equal(address("a"), "1.1.1.1");
	assert_string_equal(address("c"), "1.1.1.1"); /* it has none: the first that has */
	assert_string_equal(address("container:x"), "1.1.1.1");
	assert_string_equal(address(""), "1.1.1.1");
}

static void odd_variables_and_mounts(void **state)
{
	char err[DECODE_ERR];
	const char *json = "{\"Id\":\"" ID "\",\"Config\":{\"Env\":[\"A=1\",\"A\",null,\"B\","
			   "\"B=\"]},\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/x\"},"
			   "{\"Type\":\"bind\",\"Source\":\"/x\",\"Destination\":\"/y\"},"
			   "7,{\"Type\":\"volume\",\"Destination\":\"/z\",\"RW\":false}]}";

	(void)state;
	assert_int_equal(inspect_text(json, strlen(json), err), 0);
	assert_int_equal(d.rec.environment_vars.n, 2);
	assert_null_text(value_of(d.rec.environment_vars, "A"));
	assert_text(value_of(d.rec.environment_vars, "B"), "");
	assert_list(d.rec.bind_mounts, "/x:/y");
	assert_int_equal(d.rec.volumes.n, 1);
	assert_null_text(d.rec.volumes.v[0].name);
	assert_text(d.rec.volumes.v[0].mode, "ro");
	assert_empty(d.rec.volume_drivers);
}

static void what_is_absent_is_null(void **state)
{
	char err[DECODE_ERR];
	const char *json = "{\"Id\":\"" ID "\"}";

	(void)state;
	assert_int_equal(inspect_text(json, strlen(json), err), 0);
	assert_text(d.rec.container_id, ID);
	assert_null_text(d.rec.name);
	assert_null_text(d.rec.status);
	assert_false(d.rec.ports.known);
	assert_false(d.rec.networks.known);
	assert_false(d.rec.network_aliases.known);
	assert_false(d.rec.bind_mounts.known);
	assert_false(d.rec.environment_vars.known);
	assert_false(d.rec.labels.known);
	assert_false(d.rec.depends_on.known);
	assert_int_equal(d.rec.exit_code, DCM_UNKNOWN);
	assert_int_equal(d.rec.oom_killed, -1);
	assert_int_equal(d.rec.privileged, -1);
}

static void what_has_a_wrong_type_is_null(void **state)
{
	char err[DECODE_ERR];
	const char *json = "{\"Id\":\"" ID "\",\"Name\":5,\"State\":[],\"Config\":{\"Env\":{},"
			   "\"Labels\":[1],\"Cmd\":7,\"Tty\":\"yes\"},\"HostConfig\":{\"Links\":1,"
			   "\"Memory\":\"x\",\"Privileged\":1},\"Mounts\":{},"
			   "\"NetworkSettings\":{\"Ports\":[],\"Networks\":[]}}";

	(void)state;
	assert_int_equal(inspect_text(json, strlen(json), err), 0);
	assert_null_text(d.rec.name);
	assert_null_text(d.rec.status);
	assert_null_text(d.rec.command);
	assert_false(d.rec.environment_vars.known);
	assert_false(d.rec.labels.known);
	assert_false(d.rec.links.known);
	assert_false(d.rec.ports.known);
	assert_false(d.rec.networks.known);
	assert_false(d.rec.bind_mounts.known);
	assert_int_equal(d.rec.memory_limit, DCM_UNKNOWN);
	assert_int_equal(d.rec.privileged, -1);
}

static void bad_text_becomes_fffd(void **state)
{
	char err[DECODE_ERR];
	static const char json[] =
		"{\"Id\":\"" ID "\",\"Name\":\"/n\xff\xfe\",\"Config\":{\"Hostname\":\"a\\u0000b\","
		"\"User\":\"\\ud800x\",\"WorkingDir\":\"\\\\u0000\","
		"\"Labels\":{\"k\\u0000a\":\"1\","
		"\"k\\u0000b\":\"\xc3\xa9\xe2\x82\"}}}";

	(void)state;
	assert_int_equal(inspect_text(json, sizeof(json) - 1, err), 0);
	assert_text(d.rec.name, "n\xEF\xBF\xBD\xEF\xBF\xBD");
	assert_text(d.rec.hostname, "a\xEF\xBF\xBD" "b");
	assert_text(d.rec.user, "\xEF\xBF\xBDx");
	assert_text(d.rec.working_dir, "\\u0000");
	assert_int_equal(d.rec.labels.n, 2);
	assert_text(value_of(d.rec.labels, "k\xEF\xBF\xBD" "b"), "\xc3\xa9\xEF\xBF\xBD");
}

static void the_last_of_doubled_keys_counts(void **state)
{
	char err[DECODE_ERR];
	const char *json = "{\"Id\":\"bad\",\"Name\":\"/a\",\"Name\":\"/b\",\"Id\":\"" ID "\"}";

	(void)state;
	assert_int_equal(inspect_text(json, strlen(json), err), 0);
	assert_text(d.rec.name, "b");
}

static void refuses(const char *json, const char *word)
{
	char err[DECODE_ERR];

	assert_int_equal(inspect_text(json, strlen(json), err), -1);
	if (!strstr(err, word))
		fail_msg("\"%s\" does not say \"%s\"", err, word);
}

static void sentences_of_errors(void **state)
{
	char deep[400];

	(void)state;
	refuses("", "ends in the middle");
	refuses("{\"Id\":", "ends in the middle");
	refuses("{\"Id\":}", "at byte 6");
	refuses("null\n", "null");
	refuses("[]", "no Id");
	refuses("{\"Id\":\"abc\"}", "no Id");
	refuses("{\"Id\":1,}", "not JSON");
	refuses("{} trailing", "not JSON");
	memset(deep, '[', sizeof(deep));
	deep[sizeof(deep) - 1] = 0;
	refuses(deep, "too deep");
}

/* A text over 1 MiB is cut between characters; 10,000 labels are no trouble. */
static void large_documents(void **state)
{
	size_t room = 4 << 20, n, i;
	char *json = malloc(room), err[DECODE_ERR];

	(void)state;
	n = (size_t)snprintf(json, room, "{\"Id\":\"" ID "\",\"Config\":{\"Hostname\":\"x");
	for (i = 0; i < 700000; i++)
		n += (size_t)snprintf(json + n, room - n, "\xc3\xa9");
	n += (size_t)snprintf(json + n, room - n, "\",\"Env\":[\"Z=1\"");
	for (i = 0; i < 10000; i++)
		n += (size_t)snprintf(json + n, room - n, ",\"V%zu=%zu\"", i % 5000, i);
	n += (size_t)snprintf(json + n, room - n, "],\"Labels\":{\"l\":\"\"");
	for (i = 0; i < 10000; i++)
		n += (size_t)snprintf(json + n, room - n, ",\"label.%zu\":\"%zu\"", i, i);
	n += (size_t)snprintf(json + n, room - n, "}}}");
	assert_true(n < room);
	assert_int_equal(inspect_text(json, n, err), 0);
	assert_true(d.truncated);
	assert_true(d.rec.truncated);
	assert_int_equal(d.rec.hostname.len, (1 << 20) - 1);
	assert_int_equal(d.rec.labels.n, 10001);
	assert_text(value_of(d.rec.labels, "label.9999"), "9999");
	assert_int_equal(d.rec.environment_vars.n, 5001);
	assert_text(value_of(d.rec.environment_vars, "V0"), "5000");
	assert_text(value_of(d.rec.environment_vars, "V4999"), "9999");

	arena.max = 100000;
	assert_int_equal(inspect_text(json, n, err), -1);
	assert_non_null(strstr(err, "container abcdef012345"));
	assert_non_null(strstr(err, "100000 bytes"));
	assert_true(arena.used <= 100000);
	arena.max = 0;
	free(json);
}

/* Whatever part of a document comes, the answer is a record or a sentence; and
 * whatever the arena holds. */
static void cut_and_starved(void **state)
{
	struct bytes b = load("docker-20.10-inspect-web.json");
	char err[DECODE_ERR];
	size_t i;

	(void)state;
	for (i = 0; i < b.len - 2; i++) {
		char *exact = exact_copy(b.p, i);

		assert_int_equal(inspect_text(exact, i, err), -1);
		assert_non_null(strstr(err, "inspect"));
		free(exact);
	}
	for (i = 1; i < 20000; i += 40) {
		arena.max = i;
		if (inspect_text(b.p, b.len, err) < 0)
			assert_true(err[0]);
		else
			assert_true(i > 2000);
	}
	arena.max = 0;
	assert_int_equal(inspect_text(b.p, b.len, err), 0);
	free(b.p);
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
		cmocka_unit_test(running_compose_service),
		cmocka_unit_test(networks_of_a_running_service),
		cmocka_unit_test(other_states),
		cmocka_unit_test(podman),
		cmocka_unit_test(api_1_24),
		cmocka_unit_test(api_1_45),
		cmocka_unit_test(api_1_52),
		cmocka_unit_test(address_by_network_mode),
		cmocka_unit_test(odd_variables_and_mounts),
		cmocka_unit_test(what_is_absent_is_null),
		cmocka_unit_test(what_has_a_wrong_type_is_null),
		cmocka_unit_test(bad_text_becomes_fffd),
		cmocka_unit_test(the_last_of_doubled_keys_counts),
		cmocka_unit_test(sentences_of_errors),
		cmocka_unit_test(large_documents),
		cmocka_unit_test(cut_and_starved),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
