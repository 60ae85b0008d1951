/* test_broker.c - a real broker over a written memory: whatever happens to the
 * containers, its answers are those of a scan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker_world.h"
#include "random_record.h"

enum { HOSTS = 4, PER_HOST = 120 };

static struct {
	bool there;
	uint8_t id[32];
} box[HOSTS + 1][PER_HOST];
static unsigned serial;

static dcm *open_dcm(const struct world *w, unsigned flags)
{
	struct dcm_options o = {
	    .size = sizeof(o), .instance = w->instance, .runtime_dir = w->runtime, .flags = flags};
	char err[256] = "";
	dcm *d;
	int rc = dcm_open(&d, &o, err, sizeof(err));

	if (rc)
		fail_msg("dcm_open: %s", err);
	return d;
}

/* Writes the tiers in `what` of a container, as a collector would. */
static void put(struct region *shard, uint8_t id[32], unsigned what)
{
	static struct random_record x;
	static struct record_buf b[DCM_TIERS];
	struct region_brief brief = {.cpu_percent = rnd(3) ? rnd(400) / 4.0 : NAN,
				     .memory_usage = rnd(3) ? (int64_t)rnd(1000000) : DCM_UNKNOWN};
	struct region_tier t[DCM_TIERS];
	struct dcm_str name;
	static char hex_id[65];
	size_t n = 0;

	memset(&x, 0, sizeof(x));
	record_out_init(&x.r);
	for (int i = 0; i < 32; i++)
		snprintf(hex_id + 2 * i, 3, "%02x", id[i]);
	x.r.container_id = str_of(hex_id);
	random_status(&x, serial++);
	random_config(&x);
	random_compose(&x);
	name = x.r.name;
	brief.status = record_status_code(x.r.status);
	brief.health = record_health_code(x.r.health_status);
	for (enum dcm_tier k = 0; k < DCM_TIERS; k++) {
		if (!(what & 1u << k))
			continue;
		assert_int_equal(record_encode(&x.r, k, &b[k]), 0);
		t[n++] = (struct region_tier){k, b[k].data, (uint32_t)b[k].len, unix_now()};
	}
	assert_int_equal(region_put(shard, id, what & 1 << DCM_STATUS ? &name : NULL,
				    what & 1 << DCM_STATUS ? &brief : NULL, t, n), 0);
}

static void churn(struct region *shard, unsigned h, unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		unsigned e = rnd(PER_HOST);

		if (!box[h][e].there) {
			random_id(box[h][e].id);
			/* now and then one that only the list told of */
			put(shard, box[h][e].id, rnd(10) ? 0xe : 1 << DCM_STATUS);
		} else if (rnd(4) == 0) {
			assert_int_equal(region_remove(shard, box[h][e].id), 0);
			box[h][e].there = false;
			continue;
		} else {
			put(shard, box[h][e].id, 1u << rnd(4));
		}
		box[h][e].there = true;
	}
	region_publish(shard);
}

static unsigned by_broker, asked;

/* Both ways, the same containers in the same order. */
static void compare(dcm *with, dcm *without, const struct dcm_query *q)
{
	static struct dcm_refs a, b;
	int ra = dcm_query(with, q, &a), rb = dcm_query(without, q, &b);

	assert_int_equal(ra, rb);
	asked++;
	if (ra != DCM_OK)
		return;
	by_broker += a.by_broker;
	assert_false(b.by_broker);
	assert_int_equal(a.n, b.n);
	if (a.n)
		assert_memory_equal(a.v, b.v, a.n * sizeof(a.v[0]));
}

static void compare_some(dcm *with, dcm *without, unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		struct random_query x;

		random_query(&x, (enum dcm_query_kind)(DCM_Q_PROJECT + rnd(5)), HOSTS + 2);
		compare(with, without, &x.q);
	}
}

static void await_ready(struct world *w)
{
	struct control_msg m;

	assert_true(world_hear(w, &m, PATIENCE_MS));
	assert_int_equal(m.kind, CONTROL_READY);
}

/* Until the indexes have caught up with what was there at the start. */
static void await_index(dcm *d)
{
	struct dcm_query q = {.kind = DCM_Q_NETWORK, .text = "none such"};
	struct dcm_refs r = {0};

	for (int i = 0; i < PATIENCE_MS / 10; i++) {
		assert_int_equal(dcm_query(d, &q, &r), DCM_OK);
		if (r.by_broker)
			break;
		poll(NULL, 0, 10);
	}
	assert_true(r.by_broker);
	dcm_refs_free(&r);
}

static void churn_is_followed(void **state)
{
	struct world w;
	dcm *with, *without;

	(void)state;
	memset(box, 0, sizeof(box));
	world_begin(&w, HOSTS);
	for (unsigned h = 0; h < HOSTS; h++)
		churn(w.shard[h], h, PER_HOST);
	world_broker(&w);
	await_ready(&w);
	with = open_dcm(&w, 0);
	without = open_dcm(&w, DCM_NO_BROKER);
	await_index(with);
	asked = by_broker = 0;
	for (unsigned round = 0; round < 300; round++) {
		unsigned h = rnd(HOSTS);

		/* rung or not: an answer is of the memory as it is now */
		churn(w.shard[h], h, rnd(30));
		if (rnd(2))
			world_ring(&w);
		compare_some(with, without, 12);
	}
	/* The broker may be behind now and then, but not as a rule. */
	print_message("%u of %u answered by the broker\n", by_broker, asked);
	assert_true(by_broker > asked / 2);
	dcm_close(&with);
	dcm_close(&without);
	assert_int_equal(world_broker_end(&w, SIGTERM), 0);
	world_end(&w);
}

/* More than the change rings hold, cleared shards, hosts that come and go. */
static void upheavals_are_followed(void **state)
{
	struct world w;
	dcm *with, *without;
	struct region *late;
	uint8_t key[32];

	(void)state;
	memset(box, 0, sizeof(box));
	world_begin(&w, HOSTS);
	world_broker(&w);
	await_ready(&w);
	with = open_dcm(&w, 0);
	without = open_dcm(&w, DCM_NO_BROKER);
	await_index(with);
	for (unsigned round = 0; round < 4; round++) {
		churn(w.shard[1], 1, 9000);
		compare_some(with, without, 20);
		await_index(with);
		compare_some(with, without, 50);
		assert_int_equal(region_clear(w.shard[1]), 0);
		region_publish(w.shard[1]);
		memset(box[1], 0, sizeof(box[1]));
		compare_some(with, without, 20);
		await_index(with);
		compare_some(with, without, 50);
	}
	late = world_region(&w, "host-9");
	world_host(&w, "host-9", true, late);
	world_row(late, 0, unix_now());
	memset(box[HOSTS], 0, sizeof(box[HOSTS]));
	churn(late, HOSTS, 100);
	world_ring(&w);
	compare_some(with, without, 20);
	await_index(with);
	compare_some(with, without, 50);
	/* and away */
	directory_host_id("host-9", key);
	assert_int_equal(region_remove(w.dir, key), 0);
	region_publish(w.dir);
	region_close(&late, true);
	world_ring(&w);
	for (int i = 0; i < 100; i++) { /* it is noticed at a slow pace */
		poll(NULL, 0, 20);
		compare_some(with, without, 2);
	}
	await_index(with);
	compare_some(with, without, 100);
	dcm_close(&with);
	dcm_close(&without);
	assert_int_equal(world_broker_end(&w, 0), 0);
	world_end(&w);
}

/* Queries that the library would scan for are answered by the broker, too. */
static void every_kind_is_answered(void **state)
{
	struct world w;
	dcm *without;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	static struct protocol_request q;
	struct record_buf b = {0};
	int fd;

	(void)state;
	memset(box, 0, sizeof(box));
	world_begin(&w, HOSTS);
	for (unsigned h = 0; h < HOSTS; h++)
		churn(w.shard[h], h, PER_HOST);
	world_broker(&w);
	await_ready(&w);
	without = open_dcm(&w, DCM_NO_BROKER);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", w.socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	for (unsigned i = 0; i < 200; i++) {
		struct random_query x;
		struct protocol_reply r = {0};
		struct dcm_refs want = {0};
		uint8_t head[4], *body;
		size_t len;

		random_query(&x, (enum dcm_query_kind)(i % 10), HOSTS);
		q = (struct protocol_request){.id = i, .op = PROTOCOL_QUERY, .query = x.q};
		b.len = 0;
		assert_int_equal(protocol_encode_request(&q, &b), 0);
		assert_int_equal(send(fd, b.data, b.len, 0), b.len);
		assert_int_equal(recv(fd, head, 4, MSG_WAITALL), 4);
		len =
		    (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
		body = malloc(len);
		assert_int_equal(recv(fd, body, len, MSG_WAITALL), len);
		assert_true(protocol_decode_reply(body, len, &r));
		assert_int_equal(r.id, i);
		assert_int_equal(r.rc == DCM_EBROKER ? DCM_OK : r.rc,
				 dcm_query(without, &x.q, &want));
		if (r.rc == DCM_OK) {
			assert_int_equal(r.n_refs, want.n);
			if (want.n)
				assert_memory_equal(r.refs, want.v, 16 * want.n);
		}
		free(body);
		dcm_refs_free(&want);
	}
	close(fd);
	record_buf_free(&b);
	dcm_close(&without);
	world_broker_end(&w, SIGTERM);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(churn_is_followed),
		cmocka_unit_test(upheavals_are_followed),
		cmocka_unit_test(every_kind_is_answered),
	};

	return cmocka_run_group_tests_name("broker", tests, NULL, NULL);
}
