/* test_decode_list.c - the list of containers, whole and damaged. */
#include "decode_help.h"

static struct arena arena;

/* What the callback saw. */
struct seen {
	size_t n, stop_after;
	void (*check)(size_t i, const struct decoded *d);
};

static bool see(const struct decoded *d, void *arg)
{
	struct seen *s = arg;

	assert_true(s->n < 16);
	if (s->check)
		s->check(s->n, d);
	s->n++;
	return s->n != s->stop_after;
}

static unsigned list(struct seen *s, const char *name)
{
	struct bytes b = load(name);
	char err[DECODE_ERR] = "";
	unsigned bad;

	if (decode_list(b.p, b.len, &arena, see, s, &bad, err) < 0)
		fail_msg("%s: %s", name, err);
	free(b.p);
	assert_int_equal(arena.used, 0);
	return bad;
}

static void check_docker(size_t i, const struct decoded *d)
{
	static const char *const names[] = {"paused",  "badstart", "created",	"done",
					    "hostnet", "plain",	   "shop-web-1"};
	static const char *const states[] = {"paused",	"created", "created", "exited",
					     "running", "running", "running"};
	const struct dcm_record *r = &d->rec;

	assert_text(r->name, names[i]);
	assert_text(r->status, states[i]);
	assert_text(r->image, "busy:1");
	assert_int_equal(d->running, i == 0 || i > 3);
	if (i == 3)
		assert_int_equal(r->exit_code, 7);
	else
		assert_int_equal(r->exit_code, DCM_UNKNOWN);
	if (i != 6)
		return;
	assert_text(r->container_id,
		    "5fd46afef4cd4d41623309d5bc8962cd892f45faa1fab4914e9e66ae024a673c");
	assert_text(r->created, "2026-11-23T06:36:56Z");
	assert_text(r->health_status, "healthy");
	assert_text(r->compose_project, "shop");
	assert_list(r->depends_on, "db", "cache");
	assert_text(r->ip_address, "172.18.0.2");
	assert_int_equal(r->networks.n, 2);
	assert_list(r->bind_mounts, "/srv/shop/conf:/etc/shop:ro");
	assert_text(r->volumes.v[0].name, "shopdata");
	assert_text(r->image_id,
		    "sha256:030bcef190ccab38b76a2da90f5c632b2d6cefedc1995cd7a15ff5e6a6f5b989");
	/* What the list does not say. */
	assert_false(r->network_aliases.known);
	assert_false(r->environment_vars.known);
	assert_null_text(r->command);
	assert_null_text(r->started);
	assert_int_equal(r->pid, DCM_UNKNOWN);
	assert_int_equal(r->memory_limit, DCM_UNKNOWN);
}

static void docker(void **state)
{
	struct seen s = {.check = check_docker};

	(void)state;
	assert_int_equal(list(&s, "docker-20.10-list.json"), 0);
	assert_int_equal(s.n, 7);
}

static void check_podman(size_t i, const struct decoded *d)
{
	(void)i;
	assert_non_null(d->rec.name.s);
	assert_non_null(d->rec.created.s);
	if (strcmp(d->rec.name.s, "pcreated") == 0)
		assert_list(d->rec.ports, "80/tcp->:8080");
	else
		assert_empty(d->rec.networks);
}

static void podman(void **state)
{
	struct seen s = {.check = check_podman};

	(void)state;
	assert_int_equal(list(&s, "podman-4.3-list.json"), 0);
	assert_int_equal(s.n, 3);
}

static void check_newest(size_t i, const struct decoded *d)
{
	const struct dcm_record *r = &d->rec;

	switch (i) {
	case 0:
		assert_text(r->name, "new"); /* not the alias */
		assert_text(r->created, "2026-01-01T00:00:00Z");
		/* The field counts, not the text. */
		assert_text(r->health_status, "unhealthy");
		assert_list(r->ports, "53/udp->127.0.0.1:5353", "80/tcp->0.0.0.0:8080",
			    "80/tcp->:::8080", "443/tcp");
		assert_text(r->ip_address, "10.2.0.2");
		assert_list(r->bind_mounts, "/a:/b:rw");
		break;
	case 1:
		assert_text(r->name, "gone/only");
		assert_text(r->status, "exited");
		assert_int_equal(r->exit_code, 137);
		assert_empty(r->ports);
		assert_empty(r->labels);
		assert_empty(r->volumes);
		assert_false(r->networks.known);
		assert_text(r->created, "1970-01-01T00:00:00Z");
		break;
	case 2:
		assert_null_text(r->name);
		assert_text(r->status, "running");
		assert_text(r->health_status, "starting");
		assert_text(r->image, "i");
		assert_null_text(r->image_id);
		assert_true(d->running);
		break;
	case 3:
		assert_text(r->status, "paused");
		assert_false(r->labels.known);
		assert_false(r->ports.known);
		assert_null_text(r->created);
		break;
	}
}

static void newest_and_odd_items(void **state)
{
	struct seen s = {.check = check_newest};

	(void)state;
	assert_int_equal(list(&s, "handmade-1.52-list.json"), 5);
	assert_int_equal(s.n, 4);
}

static void may_be_stopped(void **state)
{
	struct seen s = {.stop_after = 2};

	(void)state;
	list(&s, "docker-20.10-list.json");
	assert_int_equal(s.n, 2);
}

static int list_text(const char *text, size_t len, char *err)
{
	struct seen s = {.n = 0};

	err[0] = 0;
	return decode_list(text, len, &arena, see, &s, NULL, err);
}

static void damaged_lists(void **state)
{
	static const char *const bad[] = {
	    "",	    "null",  "{}",	"[",	   "[{}",
	    "[{},", "[{},]", "[{} {}]", "[{}:{}]", "[}]",
	    "[,]",  "[\"]",  "[{]}",	"[{}",	   "{\"message\":\"x\"}",
	};
	char err[DECODE_ERR];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (list_text(bad[i], strlen(bad[i]), err) != -1)
			fail_msg("%s: taken as a list", bad[i]);
		assert_non_null(strstr(err, "list of containers"));
	}
	assert_int_equal(list_text(" [ ] \n", 6, err), 0);
}

static void every_cut_is_an_error(void **state)
{
	struct bytes b = load("docker-20.10-list.json");
	char err[DECODE_ERR];
	size_t i;

	(void)state;
	while (b.len && b.p[b.len - 1] != ']')
		b.len--;
	assert_int_equal(list_text(b.p, b.len, err), 0);
	for (i = 0; i < b.len; i++) {
		char *exact = exact_copy(b.p, i);

		assert_int_equal(list_text(exact, i, err), -1);
		free(exact);
	}
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
	    cmocka_unit_test(docker),
	    cmocka_unit_test(podman),
	    cmocka_unit_test(newest_and_odd_items),
	    cmocka_unit_test(may_be_stopped),
	    cmocka_unit_test(damaged_lists),
	    cmocka_unit_test(every_cut_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
