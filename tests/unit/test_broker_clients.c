/* test_broker_clients.c - what the broker relays, and how it bears bad clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/resource.h>

#include "broker_world.h"

/* ---- a client of few words ------------------------------------------------ */

static int connect_to(const struct world *w)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval patience = {PATIENCE_MS / 1000, 0};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", w->socket);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	MUST(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	return fd;
}

static void ask(int fd, const struct protocol_request *q)
{
	struct record_buf b = {0};

	assert_int_equal(protocol_encode_request(q, &b), 0);
	assert_int_equal(send(fd, b.data, b.len, MSG_NOSIGNAL), b.len);
	record_buf_free(&b);
}

static struct dcm_outcome outcomes[16];
static uint8_t body[8 << 20];

/* The next message; false: the connection is at its end. */
static bool hear(int fd, struct protocol_reply *r)
{
	uint8_t head[4];
	size_t len;

	*r = (struct protocol_reply){.outcomes = outcomes, .room_outcomes = 16};
	if (recv(fd, head, 4, MSG_WAITALL) != 4)
		return false;
	len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	assert_true(len <= sizeof(body));
	assert_int_equal(recv(fd, body, len, MSG_WAITALL), len);
	assert_true(protocol_decode_reply(body, len, r));
	return true;
}

static bool silent(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 50) == 0;
}

static void ask_refresh(int fd, uint32_t id, const char *host, uint32_t timeout_ms)
{
	static struct protocol_request q;

	q = (struct protocol_request){.id = id, .op = PROTOCOL_REFRESH, .timeout_ms = timeout_ms};
	if (host) {
		q.hosts[0] = (struct dcm_str){host, (uint32_t)strlen(host)};
		q.n_hosts = 1;
	}
	ask(fd, &q);
}

static void ping(int fd)
{
	static struct protocol_request q = {.op = PROTOCOL_PING};
	struct protocol_reply r;

	q.id++;
	ask(fd, &q);
	assert_true(hear(fd, &r));
	assert_int_equal(r.id, q.id);
	assert_int_equal(r.rc, DCM_OK);
}

static struct world w;

static int begin(void **state)
{
	struct control_msg m;

	(void)state;
	world_begin(&w, 3);
	world_host(&w, "off", false, NULL);
	world_broker(&w);
	assert_true(world_hear(&w, &m, PATIENCE_MS));
	assert_int_equal(m.kind, CONTROL_READY);
	return 0;
}

static int end(void **state)
{
	(void)state;
	assert_int_equal(world_broker_end(&w, 0), 0);
	world_end(&w);
	return 0;
}

/* ---- relays ---------------------------------------------------------------- */

static void a_refresh_begins_after_it_was_asked(void **state)
{
	struct control_msg first, second, third;
	struct protocol_reply r;
	int fd[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		fd[i] = connect_to(&w);
	ask_refresh(fd[0], 1, "host-1", 60000);
	assert_true(world_hear(&w, &first, PATIENCE_MS));
	assert_int_equal(first.kind, CONTROL_ASK);
	assert_int_equal(first.what, CONTROL_REFRESH);
	assert_string_equal(first.host, "host-1");
	/* the engine may be at it already: these four wait for the next, together */
	for (int i = 1; i < 5; i++) {
		ask_refresh(fd[i], 1, "host-1", 60000);
		ping(fd[i]);
	}
	assert_false(world_hear(&w, &second, 100));
	assert_true(silent(fd[0]));
	world_done(&w, first.token, DCM_OK, "");
	assert_true(hear(fd[0], &r));
	assert_int_equal(r.rc, DCM_OK);
	assert_int_equal(r.n_outcomes, 1);
	assert_string_equal(outcomes[0].host, "host-1");
	assert_true(world_hear(&w, &second, PATIENCE_MS));
	assert_true(second.token != first.token);
	assert_true(silent(fd[1]));
	/* a late or strange answer moves nobody */
	world_done(&w, first.token, DCM_OK, "");
	world_done(&w, 12345, DCM_OK, "");
	assert_true(silent(fd[1]));
	world_done(&w, second.token, DCM_EHOST, "connection refused");
	for (int i = 1; i < 5; i++) {
		assert_true(hear(fd[i], &r));
		assert_int_equal(r.rc, DCM_EHOST);
		assert_non_null(memmem(r.error.s, r.error.len, "connection refused", 18));
		assert_int_equal(outcomes[0].rc, DCM_EHOST);
		close(fd[i]);
	}
	assert_false(world_hear(&w, &third, 100)); /* five requests cost two */
	close(fd[0]);
}

static void each_host_has_its_outcome(void **state)
{
	static struct protocol_request q;
	struct control_msg m[3];
	struct protocol_reply r;
	int fd = connect_to(&w);

	(void)state;
	/* all: the enabled ones, at the same time */
	ask_refresh(fd, 7, NULL, 60000);
	for (int i = 0; i < 3; i++) {
		assert_true(world_hear(&w, &m[i], PATIENCE_MS));
		assert_int_equal(m[i].what, CONTROL_REFRESH);
	}
	world_done(&w, m[2].token, DCM_OK, "");
	world_done(&w, m[0].token, DCM_OK, "");
	assert_true(silent(fd));
	world_done(&w, m[1].token, DCM_EHOST, "no route");
	assert_true(hear(fd, &r));
	assert_int_equal(r.id, 7);
	assert_int_equal(r.rc, DCM_EHOST);
	assert_int_equal(r.n_outcomes, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(outcomes[i].rc,
				 strcmp(outcomes[i].host, m[1].host) ? DCM_OK : DCM_EHOST);
	/* named ones: who cannot be asked is not */
	q = (struct protocol_request){
	    .id = 8, .op = PROTOCOL_REFRESH, .n_hosts = 3, .timeout_ms = 60000};
	q.hosts[0] = (struct dcm_str){"unheard", 7};
	q.hosts[1] = (struct dcm_str){"off", 3};
	q.hosts[2] = (struct dcm_str){"host-0", 6};
	ask(fd, &q);
	assert_true(world_hear(&w, &m[0], PATIENCE_MS));
	assert_string_equal(m[0].host, "host-0");
	world_done(&w, m[0].token, DCM_OK, "");
	assert_true(hear(fd, &r));
	assert_int_equal(r.rc, DCM_EHOST);
	assert_int_equal(outcomes[0].rc, DCM_ENOTFOUND);
	assert_int_equal(outcomes[1].rc, DCM_EHOST);
	assert_int_equal(outcomes[2].rc, DCM_OK);
	/* nobody that can be asked: an answer at once */
	ask_refresh(fd, 9, "unheard", 60000);
	assert_true(hear(fd, &r));
	assert_int_equal(r.rc, DCM_ENOTFOUND);
	/* time is up */
	ask_refresh(fd, 10, "host-2", 1);
	assert_true(hear(fd, &r));
	assert_int_equal(r.rc, DCM_ETIMEDOUT);
	assert_int_equal(outcomes[0].rc, DCM_ETIMEDOUT);
	close(fd);
}

static void logs_and_forget_are_relayed(void **state)
{
	static struct protocol_request q;
	struct control_msg m, n;
	struct protocol_reply r;
	int fd = connect_to(&w), gone = connect_to(&w);

	(void)state;
	q = (struct protocol_request){
	    .id = 1, .op = PROTOCOL_LOGS, .n_hosts = 1, .lines = 50, .timeout_ms = 60000};
	q.hosts[0] = (struct dcm_str){"host-0", 6};
	memset(q.container, 'a', 64);
	ask(fd, &q);
	assert_true(world_hear(&w, &m, PATIENCE_MS));
	assert_int_equal(m.what, CONTROL_LOGS);
	assert_string_equal(m.container, q.container);
	assert_int_equal(m.lines, 50);
	/* another container does not wait for this one */
	q.container[0] = 'b';
	q.id = 2;
	ask(fd, &q);
	assert_true(world_hear(&w, &n, PATIENCE_MS));
	world_done(&w, n.token, DCM_OK, "");
	assert_true(hear(fd, &r));
	assert_int_equal(r.id, 2);
	world_done(&w, m.token, DCM_ENOTFOUND, "no such container");
	assert_true(hear(fd, &r));
	assert_int_equal(r.id, 1);
	assert_int_equal(r.rc, DCM_ENOTFOUND);
	q.op = PROTOCOL_FORGET;
	ask(fd, &q);
	assert_true(world_hear(&w, &m, PATIENCE_MS));
	assert_int_equal(m.what, CONTROL_FORGET);
	world_done(&w, m.token, DCM_OK, "");
	assert_true(hear(fd, &r));
	assert_int_equal(r.rc, DCM_OK);
	/* who goes away is not waited for, and spoils nothing */
	ask_refresh(gone, 1, "host-0", 60000);
	assert_true(world_hear(&w, &m, PATIENCE_MS));
	close(gone);
	ping(fd);
	world_done(&w, m.token, DCM_OK, "");
	ping(fd);
	close(fd);
}

/* ---- clients --------------------------------------------------------------- */

static void garbage_is_answered_and_ended(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{"\0\0\0\0", 4},
		{"\xff\xff\xff\xff", 4},
		{"\0\1\0\1", 4}, /* one more than may be */
		{"GET / HTTP/1.1\r\n\r\n", 18},
		{"\0\0\0\3abc", 7},
	};
	struct protocol_reply r;
	int good = connect_to(&w);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = connect_to(&w);

		assert_int_equal(send(fd, bad[i].bytes, bad[i].n, MSG_NOSIGNAL), bad[i].n);
		assert_true(hear(fd, &r));
		assert_int_equal(r.rc, DCM_EINVAL);
		assert_true(r.error.len > 0);
		assert_false(hear(fd, &r));
		close(fd);
		ping(good);
	}
	/* random bytes: whatever comes of it, the others are served */
	for (int i = 0; i < 200; i++) {
		uint8_t noise[300];
		int fd = connect_to(&w);

		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = (uint8_t)rand();
		noise[0] = noise[1] = noise[2] = 0;
		send(fd, noise, sizeof(noise), MSG_NOSIGNAL);
		if (i % 10 == 0)
			ping(good);
		close(fd);
	}
	ping(good);
	close(good);
}

static void a_message_may_come_in_pieces(void **state)
{
	static struct protocol_request q = {.id = 3, .op = PROTOCOL_PING};
	struct record_buf b = {0};
	struct protocol_reply r;
	int fd = connect_to(&w);

	(void)state;
	assert_int_equal(protocol_encode_request(&q, &b), 0);
	q.id = 4;
	assert_int_equal(protocol_encode_request(&q, &b), 0);
	for (size_t i = 0; i < b.len; i++) {
		assert_int_equal(send(fd, b.data + i, 1, MSG_NOSIGNAL), 1);
		if (i % 5 == 0)
			poll(NULL, 0, 1);
	}
	assert_true(hear(fd, &r));
	assert_int_equal(r.id, 3);
	assert_true(hear(fd, &r));
	assert_int_equal(r.id, 4);
	record_buf_free(&b);
	close(fd);
}

static void who_is_one_too_many_hears_so(void **state)
{
	enum { MANY = 1100 };
	static int fd[MANY];
	struct protocol_reply r;
	int last, refused = 0;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		struct pollfd p = {.events = POLLIN};

		fd[i] = connect_to(&w);
		p.fd = fd[i];
		if (i >= 1000 && poll(&p, 1, 20) == 1) {
			assert_true(hear(fd[i], &r));
			assert_int_equal(r.rc, DCM_EBUSY);
			assert_false(hear(fd[i], &r));
			refused++;
		}
	}
	assert_true(refused > 0);
	ping(fd[0]);
	for (int i = 0; i < MANY; i++)
		close(fd[i]);
	/* and then there is room again */
	for (int i = 0; i < PATIENCE_MS / 10; i++) {
		static struct protocol_request q = {.id = 1, .op = PROTOCOL_PING};

		last = connect_to(&w);
		ask(last, &q);
		if (hear(last, &r) && r.rc == DCM_OK) {
			close(last);
			return;
		}
		close(last);
		poll(NULL, 0, 10);
	}
	fail_msg("the places were not given back");
}

static void who_does_not_read_waits_alone(void **state)
{
	static struct protocol_request q = {.op = PROTOCOL_REFRESH};
	static struct record_buf flood;
	int deaf = connect_to(&w), good = connect_to(&w);
	size_t sent = 0;

	(void)state;
	/* thousands of requests, and not one reply read */
	while (flood.len < 8 << 20) {
		q.id++;
		q.n_hosts = 1;
		q.hosts[0] = (struct dcm_str){"unheard", 7};
		assert_int_equal(protocol_encode_request(&q, &flood), 0);
	}
	fcntl(deaf, F_SETFL, O_NONBLOCK);
	for (int stuck = 0; stuck < 100 && sent < flood.len;) {
		ssize_t n = send(deaf, flood.data + sent, flood.len - sent, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		stuck = n > 0 ? 0 : stuck + 1;
		ping(good);
		poll(NULL, 0, n > 0 ? 0 : 3);
	}
	/* it is not read from any more: nothing grows without end */
	assert_true(sent < flood.len);
	record_buf_free(&flood);
	close(deaf);
	ping(good);
	close(good);
}

/* One shard of many containers that a search finds all. */
static void fill(struct region *shard, unsigned n)
{
	struct record_buf status = {0};
	struct dcm_record r;
	char name[32];

	for (unsigned i = 0; i < n; i++) {
		struct dcm_str s = {name, 0};
		struct region_tier t = {.tier = DCM_STATUS, .verified = unix_now()};
		uint8_t id[32] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), 1};

		s.len = (uint32_t)snprintf(name, sizeof(name), "box-%u", i);
		record_out_init(&r);
		r.name = s;
		assert_int_equal(record_encode(&r, DCM_STATUS, &status), 0);
		t.data = status.data;
		t.len = (uint32_t)status.len;
		assert_int_equal(region_put(shard, id, &s, NULL, &t, 1), 0);
	}
	region_publish(shard);
	record_buf_free(&status);
}

static bool search_all(int fd, uint32_t id, struct protocol_reply *r)
{
	static struct protocol_request q = {.op = PROTOCOL_QUERY,
					    .query = {.kind = DCM_Q_SEARCH, .text = "box"}};

	q.id = id;
	ask(fd, &q);
	return r ? hear(fd, r) : true;
}

static void the_deaf_make_room_for_others(void **state)
{
	enum { DEAF = 200, BOXES = 60000 };
	int deaf[DEAF], good = connect_to(&w);
	bool ended = false;
	static char sink[1 << 20];
	struct protocol_reply r;

	(void)state;
	fill(w.shard[1], BOXES);
	do
		assert_true(search_all(good, 1, &r));
	while (r.rc == DCM_EBROKER); /* the index is being made */
	assert_int_equal(r.n_refs, BOXES);
	/* each leaves half a MiB beyond what its socket holds, all of them more than 64 MiB */
	for (int i = 0; i < DEAF; i++) {
		deaf[i] = connect_to(&w);
		search_all(deaf[i], 1, NULL);
	}
	for (uint32_t i = 2; i < 10; i++) {
		assert_true(search_all(good, i, &r));
		assert_int_equal(r.id, i);
		assert_int_equal(r.n_refs, BOXES);
	}
	/* those who had not read for longest were closed, with what waited for them */
	for (int i = 0; i < 3; i++) {
		struct pollfd p = {.fd = deaf[i], .events = POLLIN};

		while (poll(&p, 1, 200) == 1 && !ended)
			ended = recv(deaf[i], sink, sizeof(sink), MSG_DONTWAIT) <= 0;
	}
	assert_true(ended);
	for (int i = 0; i < DEAF; i++)
		close(deaf[i]);
	ping(good);
	close(good);
}

static void subscribers_hear_of_changes(void **state)
{
	static struct protocol_request q = {.id = 5, .op = PROTOCOL_SUBSCRIBE};
	struct protocol_reply r;
	int fd = connect_to(&w);

	(void)state;
	ask(fd, &q);
	assert_true(hear(fd, &r));
	assert_int_equal(r.id, 5);
	assert_false(r.notice);
	assert_true(hear(fd, &r)); /* look once: what changed before was told to nobody */
	assert_true(r.notice);
	for (int i = 0; i < 3; i++) {
		world_row(w.shard[0], i + 1, unix_now());
		world_ring(&w);
		assert_true(hear(fd, &r));
		assert_true(r.notice);
	}
	/* without a bell: found by looking, a little later */
	world_row(w.shard[0], 9, unix_now());
	assert_true(hear(fd, &r));
	assert_true(r.notice);
	/* a thousand changes unread are few notices */
	for (int i = 0; i < 1000; i++) {
		world_row(w.shard[0], i, unix_now());
		world_ring(&w);
		if (i % 100 == 0)
			poll(NULL, 0, 10);
	}
	uint8_t bytes[4096];
	poll(NULL, 0, 20);
	assert_in_range(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), 1, 64);
	close(fd);
}

/* ---- cleanup ---------------------------------------------------------------- */

static void hosts_nobody_verifies_are_forgotten(void **state)
{
	struct control_msg m;
	int heard[3] = {0};

	(void)state;
	world_row(w.shard[0], 3, unix_now() - 5000); /* old, with containers */
	world_row(w.shard[1], 0, unix_now() - 5000); /* old and empty */
	world_row(w.shard[2], 3, unix_now());	     /* fresh */
	world_info(&w, 3600, 1, 10); /* what came from disk has an hour from the start */
	assert_int_equal(world_broker_end(&w, SIGTERM), 0);
	world_broker(&w);
	assert_true(world_hear(&w, &m, PATIENCE_MS));
	assert_int_equal(m.kind, CONTROL_READY);
	assert_false(world_hear(&w, &m, 2500));
	world_info(&w, 3600, 1, 5000);
	for (int i = 0; i < 2; i++) {
		assert_true(world_hear(&w, &m, PATIENCE_MS));
		assert_int_equal(m.what, CONTROL_EXPIRE);
		heard[m.host[5] - '0']++;
		world_done(&w, m.token, DCM_OK, "");
	}
	assert_int_equal(heard[0], 2);
	assert_int_equal(heard[1] + heard[2], 0);
}

int main(void)
{
	struct rlimit files;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_refresh_begins_after_it_was_asked, begin, end),
		cmocka_unit_test_setup_teardown(each_host_has_its_outcome, begin, end),
		cmocka_unit_test_setup_teardown(logs_and_forget_are_relayed, begin, end),
		cmocka_unit_test_setup_teardown(garbage_is_answered_and_ended, begin, end),
		cmocka_unit_test_setup_teardown(a_message_may_come_in_pieces, begin, end),
		cmocka_unit_test_setup_teardown(who_is_one_too_many_hears_so, begin, end),
		cmocka_unit_test_setup_teardown(who_does_not_read_waits_alone, begin, end),
		cmocka_unit_test_setup_teardown(the_deaf_make_room_for_others, begin, end),
		cmocka_unit_test_setup_teardown(subscribers_hear_of_changes, begin, end),
		cmocka_unit_test_setup_teardown(hosts_nobody_verifies_are_forgotten, begin, end),
	};

	/* one of them opens more than are usual */
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	return cmocka_run_group_tests_name("broker clients", tests, NULL, NULL);
}
