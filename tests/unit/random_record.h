/* random_record.h - containers out of a hat, for tests that hold two ways of
 * answering a query against each other: few names, labels, paths and networks, so
 * that they meet often, and odd ones among them. */
#ifndef RANDOM_RECORD_H
#define RANDOM_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../../shm/dcm.h"
#include "../../shm/record.h"

static uint64_t random_state = 88172645463325252ull;

static inline uint32_t rnd(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 16) % n);
}

static inline struct dcm_str str_of(const char *s)
{
	return (struct dcm_str){s, s ? (uint32_t)strlen(s) : 0};
}

/* Room for what a record points to. */
struct random_record {
	struct dcm_record r;
	char text[64][80];
	unsigned n_text;
	struct dcm_pair label[16];
	struct dcm_str bind[8];
	struct dcm_volume volume[4];
	struct dcm_network network[4];
};

static const char *const some_words[] = {"web",	 "Web", "db", "cache", "worker",
					 "shop", "a",	"AB", "x-1",   "d\xc3\xa9j\xc3\xa0"};
static const char *const some_paths[] = {
    "/",	   "/srv",     "/srv/", "/srv/data", "/srv/data/db", "/srv/database",
    "/var/lib//x", "/srv/a:b", "data",	"data/x",    "shopdata"};
static const char *const some_labels[] = {
    "com.docker.compose.project", "com.docker.compose.service", "a", "A", "tier", ""};
#define WORD() some_words[rnd(sizeof(some_words) / sizeof(some_words[0]))]
#define PATH() some_paths[rnd(sizeof(some_paths) / sizeof(some_paths[0]))]
#define LABEL() some_labels[rnd(sizeof(some_labels) / sizeof(some_labels[0]))]

static inline struct dcm_str random_text(struct random_record *x, const char *fmt, const char *a,
					 const char *b, unsigned n)
{
	char *t = x->text[x->n_text++];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(t, sizeof(x->text[0]), fmt, a, b, n);
#pragma GCC diagnostic pop
	return str_of(t);
}

/* serial makes the name one of its own. */
static inline void random_status(struct random_record *x, unsigned serial)
{
	struct dcm_record *r = &x->r;

	r->name = random_text(x, "%s_%s-%u", WORD(), WORD(), serial);
	r->status = str_of(rnd(3) ? "running" : "exited");
	r->health_status = str_of(rnd(2) ? NULL : rnd(2) ? "healthy" : "unhealthy");
	r->networks = (struct dcm_networks){x->network, rnd(4), true};
	for (uint32_t i = 0; i < r->networks.n; i++)
		x->network[i] = (struct dcm_network){
		    .name = random_text(x, "%s%s", WORD(), rnd(2) ? "" : "_net", 0),
		    .ip = str_of("10.0.0.1")};
	if (rnd(8) == 0)
		r->networks = (struct dcm_networks){0};
}

static inline void random_config(struct random_record *x)
{
	struct dcm_record *r = &x->r;

	r->image = rnd(10) ? random_text(x, "%s:%s.%u", WORD(), "1", rnd(3)) : str_of(NULL);
	r->labels = (struct dcm_map){x->label, rnd(6), rnd(8) != 0};
	for (uint32_t i = 0; i < 6; i++)
		x->label[i] = (struct dcm_pair){str_of(LABEL()), str_of(rnd(6)	 ? WORD()
									: rnd(2) ? ""
										 : NULL)};
	r->bind_mounts = (struct dcm_strs){x->bind, rnd(4), rnd(8) != 0};
	for (uint32_t i = 0; i < 4; i++)
		x->bind[i] = random_text(x, "%s:%s:rw", PATH(), PATH(), 0);
	if (rnd(10) == 0)
		x->bind[0] = str_of("no bind");
	r->volumes = (struct dcm_volumes){x->volume, rnd(3), rnd(8) != 0};
	for (uint32_t i = 0; i < 3; i++)
		x->volume[i] = (struct dcm_volume){.name = str_of(rnd(4) ? PATH() : NULL),
						   .source = str_of("/elsewhere"),
						   .destination = str_of(PATH()),
						   .driver = str_of("local"),
						   .mode = str_of("rw")};
}

static inline void random_compose(struct random_record *x)
{
	x->r.compose_project = str_of(rnd(3) ? WORD() : rnd(4) ? NULL : "");
	x->r.compose_service = str_of(WORD());
}

static inline void random_id(uint8_t id[32])
{
	for (int i = 0; i < 32; i++)
		id[i] = (uint8_t)rnd(256);
	if (rnd(3) == 0) /* beginnings that meet */
		id[0] = 0xab, id[1] = (uint8_t)rnd(2);
}

/* A query that now and then finds something. */
struct random_query {
	struct dcm_query q;
	char text[80], host[64];
};
static inline void random_query(struct random_query *x, enum dcm_query_kind kind, unsigned hosts)
{
	x->q = (struct dcm_query){.kind = kind, .text = x->text, .n = rnd(20)};
	if (rnd(4) == 0) {
		snprintf(x->host, sizeof(x->host), "host-%u", rnd(hosts));
		x->q.host = x->host;
	}
	switch (kind) {
	case DCM_Q_LABEL:
		snprintf(x->text, sizeof(x->text), "%s", LABEL());
		if (rnd(3))
			x->q.value = rnd(5) ? WORD() : "";
		break;
	case DCM_Q_MOUNT:
		snprintf(x->text, sizeof(x->text), "%s%s", rnd(8) ? PATH() : "/nowhere",
			 rnd(6) ? "" : "/");
		break;
	case DCM_Q_STATUS:
		snprintf(x->text, sizeof(x->text), "%s",
			 rnd(2) ? "running" : rnd(4) ? "exited" : "unheard");
		break;
	case DCM_Q_HEALTH:
		snprintf(x->text, sizeof(x->text), "%s", rnd(2) ? "" : "healthy");
		break;
	case DCM_Q_SEARCH:
		switch (rnd(5)) {
		case 0:
			snprintf(x->text, sizeof(x->text), "%s", rnd(2) ? "AB0" : "ab");
			break;
		case 1:
			snprintf(x->text, sizeof(x->text), "%s_", WORD());
			break;
		case 2:
			snprintf(x->text, sizeof(x->text), "%u", rnd(30));
			break;
		case 3:
			snprintf(x->text, sizeof(x->text), "%x", rnd(256));
			break;
		default:
			snprintf(x->text, sizeof(x->text), "%s", rnd(4) ? WORD() : "");
		}
		break;
	default:
		snprintf(x->text, sizeof(x->text), "%s%s", WORD(), rnd(3) ? "" : "_net");
	}
}

#endif
