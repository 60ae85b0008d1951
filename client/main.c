/*
 * main.c - dcm-client: the table of commands, help, dispatch.
 *
 * Whatever is wrong with the command line is told before anything is asked.
 */
#include <signal.h>
#include <string.h>

#include "client.h"
#include "filter.h"

enum { MANY = 1 << 20 };

struct command {
	const char *name;
	int (*run)(struct client *c);
	const struct rows *rows;
	unsigned options;   /* OPT_* that it takes */
	int least, most;    /* arguments */
	bool opens;	    /* by itself */
	const char *synopsis, *help;
};

static const struct command commands[] = {
	{"hosts", cmd_hosts, &host_rows, 0, 0, 0, false, "",
	 "a row a host: state, age, engine, load"},
	{"ps", cmd_ps, &record_rows, OPT_FILTER | OPT_QUIET | OPT_REFRESH, 0, 1, false,
	 "[HOST] [--filter K=V]... [-q] [--refresh]", "the containers of one host, or of all"},
	{"get", cmd_get, &record_rows, OPT_REFRESH, 2, 2, false, "HOST CONTAINER [--refresh]",
	 "one record, by id, id prefix or name"},
	{"stack", cmd_stack, &record_rows, OPT_REFRESH, 1, 1, false, "PROJECT [--refresh]",
	 "the members of a compose stack, on all hosts"},
	{"label", cmd_label, &record_rows, OPT_REFRESH, 1, 1, false, "KEY[=VALUE] [--refresh]",
	 "by label"},
	{"search", cmd_search, &record_rows, OPT_REFRESH, 1, 1, false, "TEXT [--refresh]",
	 "by part of the name or image, or prefix of the id"},
	{"top", cmd_top, &record_rows, OPT_N, 0, 0, false, "[-n N]",
	 "the N (10) that use most CPU, and most memory"},
	{"mounts", cmd_mounts, &record_rows, 0, 1, 1, false, "PATH",
	 "with a bind or volume at PATH or below it"},
	{"network", cmd_network, &record_rows, 0, 1, 1, false, "NAME", "by network"},
	{"status", cmd_status, &record_rows, 0, 1, 1, false, "STATUS",
	 "by status: " FILTER_STATUSES},
	{"health", cmd_health, &record_rows, 0, 0, 0, false, "",
	 "healthy, unhealthy, starting, without a check"},
	{"discover", cmd_discover, &discover_rows, 0, 0, 1, false, "[HOST]",
	 "compose projects, compose paths, data paths of hosts"},
	{"stats", cmd_stats, &stats_rows, 0, 0, 0, false, "", "figures of the cache itself"},
	{"logs", cmd_logs, &logs_rows, OPT_N, 2, 2, false, "HOST CONTAINER [-n N]",
	 "the last N (100) lines of its log, fetched now"},
	{"refresh", cmd_refresh, &outcome_rows, OPT_ALL, 0, MANY, false, "HOST...|--all",
	 "read hosts anew; returns when the memory shows it"},
	{"forget", cmd_forget, &outcome_rows, 0, 1, 1, false, "HOST",
	 "drop what is cached of a host; it fills again"},
	{"watch", cmd_watch, &change_rows, OPT_FILTER, 0, 0, false, "[--filter K=V]...",
	 "a line a change, until interrupted"},
	{"doctor", cmd_doctor, &check_rows, 0, 0, MANY, true, "[HOST...]",
	 "what is wrong with dcm here, and the mend"},
};
enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

/* ---- help -------------------------------------------------------------- */

static void options_help(struct dcm_text *t)
{
	text_puts(t, "\n"
		"Options, anywhere on the line:\n"
		"  --instance NAME    the instance (default: $DCM_INSTANCE, else \"default\")\n"
		"  --runtime-dir DIR  where to look for it (default: your own, then /run/dcm)\n"
		"  --json             one JSON document\n"
		"  --format FMT       table, json, or a text with {field}, \\t, \\n\n"
		"  -f, --filter K=V   as of docker ps, and host, project, service\n"
		"  --refresh          read the hosts anew first; --strict: else exit 4\n"
		"  -q, --quiet        ids only\n"
		"  -n N               how many\n"
		"  --help, --version\n"
		"\n"
		"Exit status: 0 answered; 1 no such container or host; 2 usage; 3 dcm is not\n"
		"running, or not readable by you; 4 partial, or not fresh though demanded;\n"
		"5 anything else.\n");
}

static int help(struct client *c, const struct command *only)
{
	struct dcm_text *t = &c->out.text;
	const struct command *k;

	if (only) {
		text_printf(t, "Usage: dcm-client [options] %s %s\n\n%s.\n", only->name,
			    only->synopsis, only->help);
	} else {
		text_puts(t, "Usage: dcm-client [--instance NAME] [--runtime-dir DIR] "
			     "[--json|--format FMT] COMMAND ...\n\n"
			     "Asks dcm about the containers of all its Docker hosts.\n\n"
			     "Commands:\n");
		for (k = commands; k < commands + COMMANDS; k++) {
			size_t n = strlen(k->name) + 1 + strlen(k->synopsis);

			text_printf(t, "  %s %s", k->name, k->synopsis);
			text_pad(t, n < 28 ? 28 - n : 2);
			text_printf(t, "%s\n", k->help);
		}
	}
	options_help(t);
	output_flush(&c->out);
	return c->out.error ? EXIT_OTHER : EXIT_OK;
}

static int version(struct client *c)
{
	text_puts(&c->out.text, "dcm-client " DCM_VERSION "\n");
	output_flush(&c->out);
	return c->out.error ? EXIT_OTHER : EXIT_OK;
}

/* ---- dispatch ---------------------------------------------------------- */

static const struct {
	unsigned option;
	const char *name;
} option_names[] = {{OPT_QUIET, "-q"},	   {OPT_FILTER, "--filter"}, {OPT_REFRESH, "--refresh"},
		    {OPT_N, "-n"},	   {OPT_ALL, "--all"}};

static const struct command *command_find(const char *name)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int check_usage(const struct command *k, const struct options *o)
{
	size_t i;

	for (i = 0; i < sizeof(option_names) / sizeof(*option_names); i++)
		if (o->given & option_names[i].option & ~k->options)
			return fail(EXIT_USAGE, "%s takes no %s: write dcm-client %s %s", k->name,
				    option_names[i].name, k->name, k->synopsis);
	if (o->n_args < k->least || o->n_args > k->most)
		return fail(EXIT_USAGE, "%s takes %s arguments: write dcm-client %s %s", k->name,
			    o->n_args < k->least ? "more" : k->most ? "fewer" : "no", k->name,
			    k->synopsis);
	if (o->json && o->format && strcmp(o->format, "json") != 0)
		return fail(EXIT_USAGE, "--json and --format exclude each other: give one");
	if (o->quiet && o->format && !one_of(o->format, "table json"))
		return fail(EXIT_USAGE, "-q and --format exclude each other: give one");
	return EXIT_OK;
}

static enum output_form form_of(const struct options *o)
{
	bool json = o->json || (o->format && !strcmp(o->format, "json"));

	if (o->quiet)
		return json ? FORM_IDS_JSON : FORM_IDS;
	if (json)
		return FORM_JSON;
	return o->format && strcmp(o->format, "table") != 0 ? FORM_TEMPLATE : FORM_TABLE;
}

static int run(struct client *c, const struct command *k)
{
	struct dcm_text why = {0};
	char err[512] = "";
	int status = check_usage(k, &c->o), rc;

	if (status)
		return status;
	if (!output_init(&c->out, form_of(&c->o), c->o.format, k->rows, &why)) {
		status = fail(EXIT_USAGE, "%s", why.s);
		dcm_text_free(&why);
		return status;
	}
	if (!k->opens) {
		rc = client_open(c, err, sizeof(err));
		if (rc)
			return fail(exit_of(rc), "%s", *err ? err : dcm_strerror(rc));
	}
	status = k->run(c);
	return status == EXIT_OK && c->stale ? EXIT_PARTIAL : status;
}

static int dispatch(struct client *c)
{
	const struct command *k = c->o.command ? command_find(c->o.command) : NULL;

	if (c->o.version)
		return version(c);
	if (c->o.help || (c->o.command && !strcmp(c->o.command, "help")))
		return help(c, k);
	if (!c->o.command)
		return fail(EXIT_USAGE, "no command: see dcm-client --help");
	if (!k)
		return fail(EXIT_USAGE, "no command '%s': see dcm-client --help", c->o.command);
	return run(c, k);
}

int main(int argc, char **argv)
{
	static struct client c;
	int status;

	dcm_close(&c.d); /* of the run before, in a test */
	c = (struct client){0};

	/* A reader that goes away is an error of a write, told where it happens. */
	signal(SIGPIPE, SIG_IGN);
	status = options_parse(&c.o, argc, argv);
	if (status == EXIT_OK)
		status = dispatch(&c);
	output_free(&c.out);
	options_free(&c.o);
	/* c.d stays open: of many hosts' mappings the kernel takes all at once in half
	 * the time that they take one by one. */
	return status;
}
