/*
 * dcmd.c - the daemon's main(): options, configuration, the instance's lock and
 * directories, then the supervisor.  The composition root: the one file that
 * knows collector and broker both.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../broker/broker.h"
#include "../shm/dcm.h"
#include "../shm/log.h"
#include "../shm/names.h"
#include "collector.h"
#include "confine.h"
#include "notify.h"
#include "supervisor.h"
#include "title.h"
#include "transport.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, GO_ON = -1 };

/* Texts are copies: the arguments' own memory becomes the process title. */
struct options {
	char *config, *instance, *group, *refresh_group;
	char *runtime_dir, *state_dir; /* absolute, once settled */
	gid_t gid, refresh_gid;
	enum log_level level;
	bool json, check;
};

static const char usage[] =
	"usage: dcmd [OPTION]...\n"
	"Keep the state of the containers of many Docker hosts in shared memory.\n"
	"\n"
	"  --config FILE        hosts.yml; default /etc/dcm/hosts.yml as root, else\n"
	"                       $XDG_CONFIG_HOME/dcm/hosts.yml; none: the local engine\n"
	"  --instance NAME      default $DCM_INSTANCE, else \"default\"\n"
	"  --runtime-dir DIR    the broker's socket; default /run/dcm as root, else\n"
	"                       $XDG_RUNTIME_DIR/dcm\n"
	"  --state-dir DIR      snapshots; default /var/lib/dcm as root, else\n"
	"                       $XDG_STATE_HOME/dcm\n"
	"  --group NAME         who may read besides this user; default: its own group\n"
	"  --refresh-group NAME who of them may have engines asked (refresh, logs, forget);\n"
	"                       default: all who may read\n"
	"  --log-level LEVEL    debug, info (default), warn or error\n"
	"  --log-format FORMAT  text (default) or json\n"
	"  --check              read the configuration, say what it found, and exit\n"
	"  --version            print the version, and exit\n"
	"  --help               print this, and exit\n"
	"\n"
	"Signals: TERM, INT stop; HUP reads the configuration again.\n"
	"Exit status: 0 stopped, 1 cannot run, 2 usage or configuration, 3 the\n"
	"instance is running already.  See dcmd(8), dcm-hosts.yml(5).\n";

/* One line for a person who sits at the terminal, or for the log. */
static void complain(const struct options *o, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void complain(const struct options *o, const char *event, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *c = text; *c; c++) /* an argument may hold anything */
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (o->json)
		log_event(LOG_LEVEL_ERROR, event, NULL, LF_STR("error", text));
	else
		fprintf(stderr, "dcmd: %s\n", text);
}

/* ---- options -------------------------------------------------------------- */

enum { OPT_CONFIG = 256, OPT_INSTANCE, OPT_RUNTIME, OPT_STATE, OPT_GROUP, OPT_REFRESH_GROUP,
       OPT_LEVEL, OPT_FORMAT, OPT_CHECK, OPT_VERSION, OPT_HELP };

static const struct option long_options[] = {
	{"config", required_argument, NULL, OPT_CONFIG},
	{"instance", required_argument, NULL, OPT_INSTANCE},
	{"runtime-dir", required_argument, NULL, OPT_RUNTIME},
	{"state-dir", required_argument, NULL, OPT_STATE},
	{"group", required_argument, NULL, OPT_GROUP},
	{"refresh-group", required_argument, NULL, OPT_REFRESH_GROUP},
	{"log-level", required_argument, NULL, OPT_LEVEL},
	{"log-format", required_argument, NULL, OPT_FORMAT},
	{"check", no_argument, NULL, OPT_CHECK},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int parse_level(struct options *o, const char *s)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};

	for (int i = 0; i < 4; i++) {
		if (!strcmp(s, names[i])) {
			o->level = (enum log_level)i;
			return 0;
		}
	}
	complain(o, "usage", "unknown log level \"%s\"; expected debug, info, warn or error", s);
	return -1;
}

static int parse_format(struct options *o, const char *s)
{
	if (strcmp(s, "json") && strcmp(s, "text")) {
		complain(o, "usage", "unknown log format \"%s\"; expected json or text", s);
		return -1;
	}
	o->json = !strcmp(s, "json");
	return 0;
}

static int set(struct options *o, char **to, const char *value)
{
	free(*to);
	*to = strdup(value);
	if (*to)
		return 0;
	complain(o, "usage", "no memory left for the options");
	return -1;
}

/* The directory that was given, absolute and without a slash at its end; else
 * the default of `kind`. */
static int settle_dir(struct options *o, char **dir, const char *option, char kind)
{
	char path[PATH_MAX], cwd[PATH_MAX] = "";
	int len;

	if (*dir && !**dir) {
		complain(o, "usage", "%s is empty; expected a directory", option);
		return -1;
	}
	if (!*dir) {
		if (!names_default_path(kind, path, sizeof(path))) {
			complain(o, "usage", "HOME is not set; give %s", option);
			return -1;
		}
		return set(o, dir, path);
	}
	if (**dir != '/' && !getcwd(cwd, sizeof(cwd))) {
		complain(o, "usage", "%s: no working directory; give a path from /", option);
		return -1;
	}
	len = snprintf(path, sizeof(path), "%s%s%s", cwd, *cwd ? "/" : "", *dir);
	if (len < 0 || (size_t)len >= sizeof(path)) {
		complain(o, "usage", "%s is too long; expected a shorter path", option);
		return -1;
	}
	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
	return set(o, dir, path);
}

/* `name` may be NULL: then the gid stays as it is. */
static int find_group(struct options *o, const char *option, const char *name, gid_t *gid)
{
	const struct group *g = name ? getgrnam(name) : NULL;

	if (name && !g) {
		complain(o, "usage", "there is no group \"%s\"; make it, or give another %s", name,
			 option);
		return -1;
	}
	if (g)
		*gid = g->gr_gid;
	return 0;
}

static int settle(struct options *o)
{
	const char *instance = getenv("DCM_INSTANCE");

	if (!o->instance && set(o, &o->instance, instance && *instance ? instance : "default") < 0)
		return EXIT_USAGE;
	if (!names_id_valid(o->instance, DCM_INSTANCE_MAX)) {
		complain(o, "usage",
			 "the instance name \"%s\" is not valid; expected 1 to %d of A-Z a-z 0-9 "
			 ". _ -, starting with a letter or digit",
			 o->instance, DCM_INSTANCE_MAX);
		return EXIT_USAGE;
	}
	if (o->config && !*o->config) {
		complain(o, "usage", "--config is empty; expected a file");
		return EXIT_USAGE;
	}
	o->gid = getegid();
	if (settle_dir(o, &o->runtime_dir, "--runtime-dir", 'r') < 0 ||
	    settle_dir(o, &o->state_dir, "--state-dir", 's') < 0 ||
	    find_group(o, "--group", o->group, &o->gid) < 0 ||
	    find_group(o, "--refresh-group", o->refresh_group, &o->refresh_gid) < 0)
		return EXIT_USAGE;
	return 0;
}

/* GO_ON, or the exit status. */
static int parse_options(struct options *o, int argc, char **argv)
{
	int c, bad = 0;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1 && !bad) {
		switch (c) {
		case OPT_CONFIG:
			bad = set(o, &o->config, optarg);
			break;
		case OPT_INSTANCE:
			bad = set(o, &o->instance, optarg);
			break;
		case OPT_RUNTIME:
			bad = set(o, &o->runtime_dir, optarg);
			break;
		case OPT_STATE:
			bad = set(o, &o->state_dir, optarg);
			break;
		case OPT_GROUP:
			bad = set(o, &o->group, optarg);
			break;
		case OPT_REFRESH_GROUP:
			bad = set(o, &o->refresh_group, optarg);
			break;
		case OPT_LEVEL:
			bad = parse_level(o, optarg);
			break;
		case OPT_FORMAT:
			bad = parse_format(o, optarg);
			break;
		case OPT_CHECK:
			o->check = true;
			break;
		case OPT_VERSION:
			puts("dcmd " DCM_VERSION);
			return 0;
		case OPT_HELP:
			fputs(usage, stdout);
			return 0;
		case ':':
			complain(o, "usage", "%s needs a value; see dcmd --help", argv[optind - 1]);
			return EXIT_USAGE;
		default:
			complain(o, "usage", "unknown option %s; see dcmd --help",
				 argv[optind - 1]);
			return EXIT_USAGE;
		}
	}
	if (bad)
		return EXIT_USAGE;
	if (optind < argc) {
		complain(o, "usage", "unexpected argument \"%s\"; see dcmd --help", argv[optind]);
		return EXIT_USAGE;
	}
	return GO_ON;
}

/* ---- configuration -------------------------------------------------------- */

static int load(const struct options *o, struct config *config)
{
	struct config_errors e = {0};
	int rc = config_load(config, o->config, &e);

	for (size_t i = 0; i < e.n; i++) {
		if (o->json)
			log_event(LOG_LEVEL_ERROR, "config_error", NULL, LF_STR("error", e.v[i]));
		else
			fprintf(stderr, "%s\n", e.v[i]);
	}
	config_errors_free(&e);
	return rc < 0 ? EXIT_USAGE : 0;
}

static void say_host(const struct host_config *h, size_t width)
{
	char at[512];

	config_endpoint_text(&h->at, at, sizeof(at));
	printf("  %-*s  %s", (int)width, h->id, at);
	if (h->at.kind == ENDPOINT_SSH && h->at.identity_file)
		printf("  identity_file %s", h->at.identity_file);
	if (h->at.kind == ENDPOINT_TLS && !h->at.verify)
		printf("  certificate not verified");
	if (!h->stats)
		printf("  no stats");
	if (!h->enabled)
		printf("  disabled");
	putchar('\n');
}

/* What --check prints. */
static int say_what_was_found(const struct config *c)
{
	size_t enabled = 0, width = 0;

	for (size_t i = 0; i < c->n_hosts; i++) {
		enabled += c->hosts[i].enabled;
		if (strlen(c->hosts[i].id) > width)
			width = strlen(c->hosts[i].id);
	}
	for (size_t i = 0; i < c->n_warnings; i++)
		fprintf(stderr, "warning: %s\n", c->warnings[i]);
	printf("%s\n%zu host%s, %zu enabled\n", c->source ? c->source : "", c->n_hosts,
	       c->n_hosts == 1 ? "" : "s", enabled);
	for (size_t i = 0; i < c->n_hosts; i++)
		say_host(&c->hosts[i], width);
	return fflush(stdout) == 0 ? 0 : EXIT_FAILED;
}

/* ---- main ----------------------------------------------------------------- */

/* 0 to 2 are open, so that what is opened later does not take their place, and
 * nothing else is: a daemon holds on to nothing that it was started with. */
static void settle_descriptors(void)
{
	int fd;

	close_range(3, ~0u, 0);
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* From the first step to the loop that reads them, signals wait: a stop is
 * orderly, and a reload no death, however early they come. */
static void hold_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* The children, each with what it needs and no more. */
static int confined_broker(const struct child_env *env)
{
	confine_broker(env);
	return broker_run(env);
}

static int confined_collector(const struct child_env *env, const struct host_config *host,
			      const struct cache_config *cache)
{
	confine_collector(env, host);
	return collector_run(env, host, cache);
}

static int run(const struct options *o, struct config *config)
{
	const char *not_confined = confine_all(); /* before anything is opened or forked */
	struct instance instance = {
		.name = o->instance,
		.runtime_dir = o->runtime_dir,
		.state_dir = o->state_dir,
		.uid = geteuid(),
		.gid = o->gid,
		.refresh_group = o->refresh_group,
		.refresh_gid = o->refresh_gid,
		.lock = -1,
		.listener = -1,
	};
	const struct supervisor_options opt = {
		.not_confined = not_confined,
		.config_path = o->config,
		.instance = &instance,
		.broker = confined_broker,
		.collector = confined_collector,
	};
	char err[INSTANCE_ERR];
	int rc = instance_lock(&instance, err);

	if (!rc)
		rc = instance_directories(&instance, err);
	if (!rc)
		rc = instance_listen(&instance, err);
	if (rc)
		complain(o, rc == INSTANCE_HELD ? "already_running" : "dcmd_failed", "%s", err);
	for (size_t i = 0; !rc && i < config->n_warnings; i++)
		log_event(LOG_LEVEL_WARN, "config_warning", NULL,
			  LF_STR("error", config->warnings[i]));
	if (!rc) {
		transport_sweep();
		rc = supervisor_run(&opt, config);
	}
	instance_remove(&instance);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o = {.level = LOG_LEVEL_INFO};
	struct config config = {0};
	int rc;

	hold_signals();
	settle_descriptors();
	title_init(argc, argv);
	log_init(o.level, false);
	rc = parse_options(&o, argc, argv);
	log_init(o.level, o.json);
	if (rc != GO_ON)
		goto done;
	rc = settle(&o);
	if (!rc)
		rc = load(&o, &config);
	if (!rc && o.check) {
		rc = say_what_was_found(&config);
	} else if (!rc) {
		umask(077);
		notify_init();
		rc = run(&o, &config);
	}
done:
	config_free(&config);
	free(o.config);
	free(o.instance);
	free(o.group);
	free(o.refresh_group);
	free(o.runtime_dir);
	free(o.state_dir);
	return rc;
}
