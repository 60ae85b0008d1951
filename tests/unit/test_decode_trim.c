/* test_decode_trim.c - JSON made small as it comes: what fits stays, and is JSON. */
#include "decode_help.h"

#include "../../collector/decode_json.h"
#include "../../collector/decode_trim.h"

static char *out;
static size_t out_len;
static struct arena arena;

/* Feeds it in pieces of `piece` bytes. */
static void trim(const char *s, size_t len, unsigned level, size_t piece)
{
	struct json_trim t;

	free(out);
	out = malloc(TRIM_ROOM(len) + len / piece * 64 + 64);
	out_len = 0;
	json_trim_init(&t, level);
	for (size_t i = 0; i < len; i += piece) {
		size_t n = len - i < piece ? len - i : piece;
		char *exact = exact_copy(s + i, n), *to = malloc(TRIM_ROOM(n));
		size_t got = json_trim_feed(&t, to, exact, n);

		assert_true(got <= TRIM_ROOM(n));
		memcpy(out + out_len, to, got);
		out_len += got;
		free(exact);
		free(to);
	}
	out[out_len] = '\0';
}

struct text {
	char *s;
	size_t len;
};

static void add(struct text *t, const char *s)
{
	size_t n = strlen(s);

	memcpy(t->s + t->len, s, n + 1);
	t->len += n;
}

static void add_many(struct text *t, char ch, size_t n)
{
	memset(t->s + t->len, ch, n);
	t->len += n;
}

static struct text text_new(void)
{
	return (struct text){malloc(80 << 20), 0};
}

#define ID "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
#define ID2 "1234560123456789abcdef0123456789abcdef0123456789abcdef0123456789"

/* What is not too large comes out as it went in, whatever the pieces. */
static void as_it_was(void **state)
{
	static const char *const files[] = {"docker-20.10-inspect-web.json",
					    "docker-20.10-list.json"};
	static const char odd[] =
		"[ {\"a\\\"}{\":[1,2,{}],\"\\u00e9\\\\\":\"\\u005c\\\"]\"} , null,\"x\"]\n";

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct bytes b = load(files[i]);

		for (size_t piece = 1; piece < b.len; piece = piece * 7 + 1) {
			trim(b.p, b.len, i + 1, piece);
			assert_int_equal(out_len, b.len);
			assert_memory_equal(out, b.p, b.len);
		}
		free(b.p);
	}
	trim(" [ \t\r\n 1 2 , \" \t  \" ] \n\n", 25, 1, 3);
	assert_string_equal(out, " [ 1 2 , \" \t  \" ] ");
	for (size_t piece = 1; piece < sizeof(odd); piece++) {
		trim(odd, sizeof(odd) - 1, 2, piece);
		assert_string_equal(out, odd);
	}
}

/* A label of 64 MiB costs the end of that label. */
static void a_huge_text(void **state)
{
	struct text t = text_new();
	struct decoded d;
	char err[DECODE_ERR] = "";

	(void)state;
	add(&t, "{\"Id\":\"" ID "\",\"Name\":\"/web\",\"Config\":{"
		"\"Labels\":{\"a\":\"b\",\"big\":\"");
	add_many(&t, 'x', 64 << 20);
	add(&t, "\\\"\",\"c\":\"d\"},\"Hostname\":\"h\"}}");
	trim(t.s, t.len, 1, 65536);
	assert_true(out_len < (2 << 20));
	assert_int_equal(decode_inspect(out, out_len, &arena, &d, err), 0);
	assert_true(d.rec.truncated);
	assert_text(d.rec.name, "web");
	assert_text(value_of(d.rec.labels, "a"), "b");
	assert_int_equal(value_of(d.rec.labels, "big").len, DECODE_TEXT_MAX);
	assert_text(value_of(d.rec.labels, "c"), "d");
	assert_text(d.rec.hostname, "h");
	arena_free(&arena);
	free(t.s);
}

/* Escapes count as what they stand for, and are cut whole. */
static void escapes(void **state)
{
	struct text t = text_new();
	struct decoded d;
	char err[DECODE_ERR] = "";

	(void)state;
	for (int shift = 0; shift < 7; shift++) {
		t.len = 0;
		add(&t, "{\"Id\":\"" ID "\",\"Config\":{\"Hostname\":\"h\",\"User\":\"");
		add_many(&t, 'y', (size_t)shift);
		for (int i = 0; i < 2 << 20; i++)
			add(&t, "\\u0041");
		add(&t, "\"}}");
		trim(t.s, t.len, 1, 65536 + 1);
		assert_int_equal(decode_inspect(out, out_len, &arena, &d, err), 0);
		assert_true(d.rec.truncated);
		assert_int_equal(d.rec.user.len, DECODE_TEXT_MAX);
		assert_text(d.rec.hostname, "h");
		arena_free(&arena);
	}
	free(t.s);
}

struct seen {
	size_t n;
	struct {
		bool truncated, whole;
	} v[4];
};

static bool see(const struct decoded *d, void *arg)
{
	struct seen *s = arg;

	s->v[s->n].truncated = d->rec.truncated;
	s->v[s->n].whole = d->rec.status.s && d->rec.name.s;
	return ++s->n < 4;
}

/* Of a list, one container with labels without end: the others are as they were. */
static void one_of_a_list(void **state)
{
	struct text t = text_new();
	struct seen s = {0};
	char err[DECODE_ERR] = "", label[64];
	unsigned bad;

	(void)state;
	add(&t, "[{\"Id\":\"" ID2 "\",\"Names\":[\"/a\"],\"State\":\"running\"},");
	add(&t, "{\"Id\":\"" ID "\",\"Names\":[\"/b\"],\"Labels\":{\"x\":\"y\"");
	for (int i = 0; i < 1000000; i++) {
		snprintf(label, sizeof(label), ",\"label.%d\":[%d,\"]}\"]", i, i);
		add(&t, label);
	}
	add(&t, "},\"Mounts\":[{\"Type\":\"bind\",\"Name\":\"z\"},{}],\"State\":\"running\"},");
	add(&t, "{\"Id\":\"" ID2 "\",\"Names\":[\"/c\"],\"State\":\"exited\"}]");
	trim(t.s, t.len, 2, 16384);
	assert_true(out_len < 2 * TRIM_ITEM);
	assert_int_equal(decode_list(out, out_len, &arena, see, &s, &bad, err), 0);
	assert_int_equal(bad, 0);
	assert_int_equal(s.n, 3);
	assert_true(s.v[0].whole && s.v[1].whole && s.v[2].whole);
	assert_true(!s.v[0].truncated && s.v[1].truncated && !s.v[2].truncated);
	free(t.s);
}

/* Members of the container itself without end: it ends early. */
static void an_endless_item(void **state)
{
	struct text t = text_new();
	char member[64];

	(void)state;
	add(&t, "{\"Id\":\"" ID "\"");
	for (int i = 0; i < 1000000; i++) {
		snprintf(member, sizeof(member), ",\"member.%d\":%d", i, i);
		add(&t, member);
	}
	add(&t, "}");
	trim(t.s, t.len, 1, 1000);
	assert_true(out_len < 2 * TRIM_ITEM + 100);
	assert_string_equal(out + out_len - strlen(",\"" TRIM_MARK "\":true}"),
			    ",\"" TRIM_MARK "\":true}");
	free(t.s);
}

/* What is too deep is left out, in a document of any size. */
static void deep(void **state)
{
	struct text t = text_new();
	struct decoded d;
	char err[DECODE_ERR] = "";

	(void)state;
	add(&t, "{\"Id\":\"" ID "\",\"Name\":\"/web\",\"GraphDriver\":");
	for (int i = 0; i < 100000; i++)
		add(&t, "[{\"a\":");
	add(&t, "1");
	for (int i = 0; i < 100000; i++)
		add(&t, "}]");
	add(&t, ",\"Config\":{\"Hostname\":\"h\"}}");
	assert_int_equal(decode_inspect(t.s, t.len, &arena, &d, err), 0);
	assert_true(d.rec.truncated);
	assert_text(d.rec.name, "web");
	assert_text(d.rec.hostname, "h");
	arena_free(&arena);
	free(t.s);
}

/* Noise: nothing is written beyond the room, and what is endless stays small. */
static void noise(void **state)
{
	static const char letters[] = "{}[],:\"\\u0aA \n\xff";
	static char s[100000];

	(void)state;
	srand(1);
	for (int round = 0; round < 100; round++) {
		for (size_t i = 0; i < sizeof(s); i++)
			s[i] = letters[(size_t)rand() % (sizeof(letters) - 1)];
		trim(s, sizeof(s), 1 + (unsigned)round % 2, 1 + (size_t)rand() % 9999);
		assert_true(out_len <= TRIM_ROOM(sizeof(s)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_it_was),	 cmocka_unit_test(a_huge_text),
		cmocka_unit_test(escapes),	 cmocka_unit_test(one_of_a_list),
		cmocka_unit_test(an_endless_item), cmocka_unit_test(deep),
		cmocka_unit_test(noise),
	};
	int rc = cmocka_run_group_tests_name("decode_trim", tests, NULL, NULL);

	free(out);
	return rc;
}
