/*
 * options.c - the command line.  Options may stand before, between and behind
 * the command and its arguments; "--" ends them.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "client.h"
#include "filter.h"

enum { N_MOST = 1000000 };

/* ---- options ----------------------------------------------------------- */

enum {
	O_INSTANCE = 256, O_RUNTIME_DIR, O_JSON, O_FORMAT, O_REFRESH, O_STRICT, O_ALL, O_HELP,
	O_VERSION
};

static const struct option long_options[] = {
	{"instance", required_argument, NULL, O_INSTANCE},
	{"runtime-dir", required_argument, NULL, O_RUNTIME_DIR},
	{"json", no_argument, NULL, O_JSON},
	{"format", required_argument, NULL, O_FORMAT},
	{"filter", required_argument, NULL, 'f'},
	{"quiet", no_argument, NULL, 'q'},
	{"refresh", no_argument, NULL, O_REFRESH},
	{"strict", no_argument, NULL, O_STRICT},
	{"all", no_argument, NULL, O_ALL},
	{"help", no_argument, NULL, O_HELP},
	{"version", no_argument, NULL, O_VERSION},
	{0},
};

static int take_filter(struct options *o, const char *arg)
{
	struct dcm_text why = {0};
	const char *note;
	int status = EXIT_OK;

	o->given |= OPT_FILTER;
	if (!filter_add(&o->filter, arg, &note, &why))
		status = fail(EXIT_USAGE, "%s", why.s);
	else if (note)
		warn("%s", note);
	dcm_text_free(&why);
	return status;
}

static int take_n(struct options *o, const char *arg)
{
	char *end;

	o->given |= OPT_N;
	errno = 0;
	o->n = strtol(arg, &end, 10);
	if (errno || end == arg || *end || o->n < 1 || o->n > N_MOST)
		return fail(EXIT_USAGE, "-n takes no '%s': expected a number from 1 to %d", arg,
			    N_MOST);
	return EXIT_OK;
}

/* One option; EXIT_OK, or the status to end with. */
static int take(struct options *o, int opt, const char *arg)
{
	switch (opt) {
	case O_INSTANCE:
		o->instance = arg;
		break;
	case O_RUNTIME_DIR:
		if (!*arg)
			return fail(EXIT_USAGE, "--runtime-dir is empty: give a directory, or "
						"leave the option out");
		o->runtime_dir = arg;
		break;
	case O_JSON:
		o->json = true;
		break;
	case O_FORMAT:
		o->format = arg;
		break;
	case 'f':
		return take_filter(o, arg);
	case 'n':
		return take_n(o, arg);
	case 'q':
		o->quiet = true;
		o->given |= OPT_QUIET;
		break;
	case O_REFRESH:
	case O_STRICT:
		o->refresh |= opt == O_REFRESH;
		o->strict |= opt == O_STRICT;
		o->given |= OPT_REFRESH;
		break;
	case O_ALL:
		o->all = true;
		o->given |= OPT_ALL;
		break;
	case O_HELP:
	case 'h':
		o->help = true;
		break;
	case O_VERSION:
		o->version = true;
		break;
	}
	return EXIT_OK;
}

static int bad_option(int opt, char **argv)
{
	const char *word = optind > 0 ? argv[optind - 1] : "";

	if (opt == ':')
		return fail(EXIT_USAGE, "option '%s' needs a value: see dcm-client --help", word);
	if (optopt && optopt < 256)
		return fail(EXIT_USAGE, "no option '-%c': see dcm-client --help", optopt);
	return fail(EXIT_USAGE, "no option '%s', or it takes no value, or may mean several: see "
		    "dcm-client --help", word);
}

int options_parse(struct options *o, int argc, char **argv)
{
	int opt, status;

	o->words = calloc((size_t)argc + 1, sizeof(*o->words));
	if (!o->words)
		return fail(EXIT_OTHER, "out of memory: free some");
	opterr = 0;
	optind = 0; /* anew */
	/* '-': words come in order, as option 1; no POSIXLY_CORRECT changes that. */
	while ((opt = getopt_long(argc, argv, "-:f:qn:h", long_options, NULL)) != -1) {
		if (opt == 1)
			o->words[o->n_args++] = optarg;
		else if (opt == '?' || opt == ':')
			return bad_option(opt, argv);
		else if ((status = take(o, opt, optarg)) != EXIT_OK)
			return status;
	}
	while (optind < argc)
		o->words[o->n_args++] = argv[optind++];
	o->args = o->words + 1;
	o->command = o->words[0];
	o->n_args -= o->n_args > 0;
	return EXIT_OK;
}

void options_free(struct options *o)
{
	filter_free(&o->filter);
	free(o->words);
	o->words = NULL;
}
