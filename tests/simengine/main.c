/* main.c - the simulated engine's options, listeners and churn.  See sim.h. */
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "sim.h"

static const char usage[] =
	"usage: simengine --listen unix:///PATH|tcp://127.0.0.1:PORT [--listen ...]\n"
	"  --containers N      containers of each host (default 20)\n"
	"  --hosts M           M hosts; %d in a unix path is the host's number,\n"
	"                      a tcp port counts up (default 1)\n"
	"  --seed S            which fleet (default 1)\n"
	"  --churn RATE        changes a second, over all hosts (default 0)\n"
	"  --api 1.MINOR       the newest API version spoken (default 1.41)\n"
	"  --api-least 1.MINOR the oldest API version spoken (default 1.12)\n"
	"  --stats-tick MS     hold one-shot stats to a tick, as engines before v25\n"
	"                      do with 1000 (default 0: at once)\n"
	"  --clock SECONDS     the engines' clock is so much ahead of the machine's, or\n"
	"                      behind it (default 0)\n"
	"  --fault KIND[:ARG][@WHERE[,WHERE]]   go wrong; may be given several times\n";

/* The number at the end of an option, or -1 and a message. */
static long number(const char *option, const char *text, long least, long most)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n < least || n > most) {
		fprintf(stderr, "simengine: --%s %s: expected a number from %ld to %ld\n", option,
			text, least, most);
		exit(2);
	}
	return n;
}

/* The address of host `i`: %d filled in, or the port counted up. */
static void address_of(const char *pattern, unsigned i, char *out, size_t len)
{
	const char *mark = strstr(pattern, "%d");
	const char *colon = strrchr(pattern, ':');

	if (mark != NULL)
		snprintf(out, len, "%.*s%u%s", (int)(mark - pattern), pattern, i, mark + 2);
	else if (strncmp(pattern, "tcp://", 6) == 0 && colon != NULL)
		snprintf(out, len, "%.*s:%u", (int)(colon - pattern), pattern,
			 (unsigned)atoi(colon + 1) + i);
	else
		snprintf(out, len, "%s", pattern);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static void on_churn(evutil_socket_t fd, short what, void *arg)
{
	static double owed;
	struct sim *s = arg;

	(void)fd;
	(void)what;
	for (owed += s->churn / 20; owed >= 1; owed -= 1)
		life_churn(&s->engines[sim_random(s) % s->n_engines]);
}

static void start_churn(struct sim *s)
{
	struct timeval every = {0, 50000};
	struct event *ev = event_new(s->base, -1, EV_PERSIST, on_churn, s);

	event_add(ev, &every);
}

struct options {
	const char *listen[16];
	size_t n_listen;
	const char *faults[SIM_FAULTS];
	size_t n_faults;
};

static void parse_options(int argc, char **argv, struct sim *s, struct options *o)
{
	static const struct option longs[] = {
		{"listen", 1, NULL, 'l'}, {"containers", 1, NULL, 'n'}, {"hosts", 1, NULL, 'm'},
		{"seed", 1, NULL, 's'},	  {"churn", 1, NULL, 'c'},	{"api", 1, NULL, 'a'},
		{"fault", 1, NULL, 'f'},  {"stats-tick", 1, NULL, 't'}, {"help", 0, NULL, 'h'},
		{"clock", 1, NULL, 'k'},  {"api-least", 1, NULL, 'o'},	{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'l' && o->n_listen < 16)
			o->listen[o->n_listen++] = optarg;
		else if (c == 'n')
			s->containers = (unsigned)number("containers", optarg, 0, 10000000);
		else if (c == 'm')
			s->n_engines = (unsigned)number("hosts", optarg, 1, 10000);
		else if (c == 's')
			s->seed = (uint64_t)number("seed", optarg, 0, 1L << 60);
		else if (c == 'c')
			s->churn = atof(optarg);
		else if (c == 't')
			s->stats_tick = number("stats-tick", optarg, 0, 60000);
		else if (c == 'k')
			sim_set_clock(atof(optarg));
		else if (c == 'a' && sscanf(optarg, "1.%d", &s->api_minor) == 1)
			continue;
		else if (c == 'o' && sscanf(optarg, "1.%d", &s->api_least) == 1)
			continue;
		else if (c == 'f' && o->n_faults < SIM_FAULTS)
			o->faults[o->n_faults++] = optarg;
		else {
			fprintf(c == 'h' ? stdout : stderr, "%s%s", usage, faults_help);
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (o->n_listen == 0 || optind != argc) {
		fprintf(stderr, "simengine: --listen is needed, and nothing but options\n%s",
			usage);
		exit(2);
	}
}

static void start_engine(struct sim *s, unsigned i, const struct options *o)
{
	struct engine *e = &s->engines[i];
	char address[512];

	e->sim = s;
	e->index = i;
	e->seed = sim_hash(s->seed, i);
	snprintf(e->name, sizeof(e->name), "sim-%u", i);
	if (fleet_fill(e, s->containers) != 0) {
		fprintf(stderr, "simengine: no memory for %u containers\n", s->containers);
		exit(1);
	}
	for (size_t k = 0; k < o->n_faults; k++) {
		if (faults_add(e, o->faults[k]) != 0) {
			fprintf(stderr, "simengine: --fault %s: not known\n%s", o->faults[k],
				faults_help);
			exit(2);
		}
	}
	for (size_t k = 0; k < o->n_listen; k++) {
		address_of(o->listen[k], i, address, sizeof(address));
		if (http_listen(e, address) != 0) {
			perror(address);
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	struct sim s = {
		.n_engines = 1, .containers = 20, .seed = 1, .api_minor = 41, .api_least = 12};
	struct options o = {0};
	struct rlimit files;

	parse_options(argc, argv, &s, &o);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	s.random = s.seed;
	s.base = event_base_new();
	s.engines = calloc(s.n_engines, sizeof(*s.engines));
	if (s.base == NULL || s.engines == NULL) {
		fputs("simengine: no memory\n", stderr);
		return 1;
	}
	for (unsigned i = 0; i < s.n_engines; i++)
		start_engine(&s, i, &o);
	event_add(evsignal_new(s.base, SIGTERM, on_signal, s.base), NULL);
	event_add(evsignal_new(s.base, SIGINT, on_signal, s.base), NULL);
	if (s.churn > 0)
		start_churn(&s);
	printf("simengine: ready, %u hosts of %u containers\n", s.n_engines, s.containers);
	fflush(stdout);
	event_base_dispatch(s.base);
	for (size_t k = 0; k < o.n_listen; k++) {
		char address[512];

		for (unsigned i = 0; i < s.n_engines; i++) {
			address_of(o.listen[k], i, address, sizeof(address));
			if (strncmp(address, "unix://", 7) == 0)
				remove(address + 7);
		}
	}
	return 0;
}
