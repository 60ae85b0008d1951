/* test_client_table.c - layout of tables at every width. */
#include "client_help.h"

#include "../../client/table.h"

struct row {
	const char *id, *name, *size;
};

static enum paint id(struct dcm_text *t, const void *row)
{
	text_puts(t, ((const struct row *)row)->id);
	return PLAIN;
}

static enum paint name(struct dcm_text *t, const void *row)
{
	text_puts(t, ((const struct row *)row)->name);
	return GOOD;
}

static enum paint size(struct dcm_text *t, const void *row)
{
	text_puts(t, ((const struct row *)row)->size);
	return PLAIN;
}

static const struct column columns[] = {
	{"ID", id, 0, false}, {"NAME", name, 4, false}, {"SIZE", size, 0, true}};

static struct table table;
static struct dcm_text out;

static const char *lay_out(const struct row *rows, size_t n, struct terminal term)
{
	text_clear(&out);
	table_begin(&table, columns, 3, term.charset);
	while (n--)
		table_row(&table, rows++);
	table_end(&table, &out, &term);
	return out.s;
}

static const struct row two[] = {{"a1", "a-long-name", "1"}, {"b22", "web", "1000"}};

static void natural_width(void **state)
{
	(void)state;
	assert_string_equal(lay_out(two, 2, (struct terminal){0}),
			    "ID   NAME         SIZE\n"
			    "a1   a-long-name     1\n"
			    "b22  web          1000\n");
}

static void nothing_but_the_header(void **state)
{
	(void)state;
	assert_string_equal(lay_out(two, 0, (struct terminal){0}), "ID  NAME  SIZE\n");
}

static void cut_to_the_terminal(void **state)
{
	(void)state;
	assert_string_equal(lay_out(two, 2, (struct terminal){.width = 18}),
			    "ID   NAME     SIZE\n"
			    "a1   a-long…     1\n"
			    "b22  web      1000\n");
	assert_string_equal(lay_out(two, 1, (struct terminal){.width = 14, .charset = TEXT_ASCII}),
			    "ID  NAME  SIZE\n"
			    "a1  a-l~     1\n");
}

static void columns_go_from_the_right(void **state)
{
	(void)state;
	assert_string_equal(lay_out(two, 2, (struct terminal){.width = 10}),
			    "ID   NAME\n"
			    "a1   a-lo…\n" /* as wide as can be */
			    "b22  web\n");
	assert_string_equal(lay_out(two, 2, (struct terminal){.width = 1}),
			    "ID\n"
			    "a1\n"
			    "b22\n");
}

static void no_line_is_wider_than_the_terminal(void **state)
{
	const struct row rows[] = {{"日本", "日本日本日本日本", "größe"}, {"x", "\033]0;x\a", "\xff"}};
	unsigned width, used;
	char *line, *save;

	(void)state;
	for (width = 4; width < 40; width++) {
		lay_out(rows, 2, (struct terminal){.width = width});
		for (line = strtok_r(out.s, "\n", &save); line;
		     line = strtok_r(NULL, "\n", &save)) {
			assert_int_equal(text_fit(line, strlen(line), 1000, &used), strlen(line));
			assert_true(used <= width);
		}
	}
}

static void an_enormous_cell(void **state)
{
	size_t n = 1 << 20;
	char *big = malloc(n + 1);
	struct row row = {"a", big, "1"};

	(void)state;
	memset(big, 'x', n);
	big[n] = '\0';
	lay_out(&row, 1, (struct terminal){.width = 80});
	assert_int_equal(strcspn(strchr(out.s, '\n') + 1, "\n"), 80 + 2); /* … is 3 bytes */
	free(big);
}

/* A column that is never cut may be wider than all that the others can give. */
static void an_enormous_cell_that_is_never_cut(void **state)
{
	char big[1001];
	struct row rows[] = {{big, "a-long-name", "1"}, {"a", "b", "2"}};

	(void)state;
	memset(big, 'x', 1000);
	big[1000] = '\0';
	lay_out(rows, 2, (struct terminal){.width = 80});
	assert_int_equal(strcspn(out.s, "\n"), 2); /* "ID" alone, with nothing behind it */
	assert_int_equal(strcspn(out.s + 3, "\n"), 1000);
	assert_string_equal(out.s + 3 + 1001, "a\n");
}

static void colour_takes_no_width(void **state)
{
	(void)state;
	assert_string_equal(lay_out(two, 2, (struct terminal){.tty = true, .colour = true}),
			    "ID   NAME         SIZE\n"
			    "a1   \033[32ma-long-name\033[0m     1\n"
			    "b22  \033[32mweb\033[0m          1000\n");
}

static void strangers_cannot_colour(void **state)
{
	const struct row row = {"a", "\033[31mred\n", "1"};

	(void)state;
	lay_out(&row, 1, (struct terminal){0});
	assert_null(strchr(out.s, '\033'));
	assert_non_null(strstr(out.s, "\\x1b[31mred\\n"));
}

static void many_rows(void **state)
{
	size_t i, lines = 0;

	(void)state;
	text_clear(&out);
	table_begin(&table, columns, 3, TEXT_UTF8);
	for (i = 0; i < 5000; i++)
		table_row(&table, &two[i % 2]);
	table_end(&table, &out, &(struct terminal){0});
	for (i = 0; i < out.len; i++)
		lines += out.s[i] == '\n';
	assert_int_equal(lines, 5001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(natural_width),
		cmocka_unit_test(nothing_but_the_header),
		cmocka_unit_test(cut_to_the_terminal),
		cmocka_unit_test(columns_go_from_the_right),
		cmocka_unit_test(no_line_is_wider_than_the_terminal),
		cmocka_unit_test(an_enormous_cell),
		cmocka_unit_test(an_enormous_cell_that_is_never_cut),
		cmocka_unit_test(colour_takes_no_width),
		cmocka_unit_test(strangers_cannot_colour),
		cmocka_unit_test(many_rows),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	table_free(&table);
	dcm_text_free(&out);
	return failed;
}
