/* rivals_redis.c - see rivals_redis.h. */
#include "rivals_redis.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "fleet.h"

enum { BATCH = 100 };

struct redis {
	pid_t pid;
	char dir[64];
	redisContext *c;
	unsigned pending; /* commands whose answers were not read */
};

static redisReply *answer(struct redis *r)
{
	void *reply = NULL;

	if (redisGetReply(r->c, &reply) != REDIS_OK)
		die("Redis: %s", r->c->errstr);
	if (((redisReply *)reply)->type == REDIS_REPLY_ERROR)
		die("Redis: %s", ((redisReply *)reply)->str);
	return reply;
}

static void settle(struct redis *r)
{
	for (; r->pending; r->pending--)
		freeReplyObject(answer(r));
}

static void start(struct redis *r, const char *socket)
{
	pid_t parent = getpid();

	r->pid = fork();
	if (r->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent || !freopen("/dev/null", "w", stdout))
			_exit(1);
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket,
		       "--save", "", "--appendonly", "no", "--dir", r->dir, (char *)NULL);
		_exit(127);
	}
}

struct redis *redis_new(void)
{
	struct redis *r = calloc(1, sizeof(*r));
	char socket[80];

	if (!r)
		die("no memory");
	snprintf(r->dir, sizeof(r->dir), "/tmp/bench-redis-XXXXXX");
	if (!mkdtemp(r->dir))
		die("cannot make %s", r->dir);
	snprintf(socket, sizeof(socket), "%s/s", r->dir);
	start(r, socket);
	for (int i = 0; i < 100; i++) {
		int status;

		r->c = redisConnectUnix(socket);
		if (r->c && !r->c->err)
			return r;
		redisFree(r->c);
		if (waitpid(r->pid, &status, WNOHANG) == r->pid)
			break;
		usleep(50000);
	}
	rmdir(r->dir);
	free(r);
	return NULL;
}

#define ASK(r, ...) (redisAppendCommand((r)->c, __VA_ARGS__), (r)->pending++)

void redis_put(struct redis *r, const uint8_t id[32], const struct dcm_record *c,
	       const struct record_buf tiers[DCM_TIERS])
{
	ASK(r, "HSET %b cpu %f stats %b status %b config %b compose %b", id, (size_t)32,
	    isnan(c->cpu_percent) ? -1 : c->cpu_percent, tiers[0].data, tiers[0].len, tiers[1].data,
	    tiers[1].len, tiers[2].data, tiers[2].len, tiers[3].data, tiers[3].len);
	ASK(r, "SADD all %b", id, (size_t)32);
	ASK(r, "SADD status:%s %b", c->status.s, id, (size_t)32);
	ASK(r, "SADD project:%s %b", c->compose_project.s, id, (size_t)32);
	for (uint32_t i = 0; i < c->labels.n; i++)
		ASK(r, "SADD label:%s=%s %b", c->labels.v[i].key.s, c->labels.v[i].value.s, id,
		    (size_t)32);
	if (!isnan(c->cpu_percent)) {
		ASK(r, "ZADD cpu %f %b", c->cpu_percent, id, (size_t)32);
		ASK(r, "ZADD memory %f %b", (double)c->memory_usage, id, (size_t)32);
	}
	if (r->pending > 2000)
		settle(r);
}

void redis_ready(struct redis *r)
{
	settle(r);
}

double redis_field(struct redis *r, const uint8_t id[32])
{
	redisReply *a;
	double v;

	redisAppendCommand(r->c, "HGET %b cpu", id, (size_t)32);
	a = answer(r);
	v = a->str ? strtod(a->str, NULL) : 0;
	freeReplyObject(a);
	return v;
}

static void ask_tiers(struct redis *r, const void *id)
{
	redisAppendCommand(r->c, "HMGET %b stats status config compose", id, (size_t)32);
}

static void take_tiers(struct redis *r, redis_bytes *fn, void *arg)
{
	redisReply *a = answer(r);

	for (size_t i = 0; i < a->elements; i++)
		if (a->element[i]->str)
			fn((const uint8_t *)a->element[i]->str, a->element[i]->len, arg);
	freeReplyObject(a);
}

void redis_record(struct redis *r, const uint8_t id[32], redis_bytes *fn, void *arg)
{
	ask_tiers(r, id);
	take_tiers(r, fn, arg);
}

void redis_each(struct redis *r, redis_bytes *fn, void *arg)
{
	redisReply *ids;

	redisAppendCommand(r->c, "SMEMBERS all");
	ids = answer(r);
	for (size_t i = 0; i < ids->elements; i += BATCH) {
		size_t n = ids->elements - i < BATCH ? ids->elements - i : BATCH;

		for (size_t k = 0; k < n; k++)
			ask_tiers(r, ids->element[i + k]->str);
		for (size_t k = 0; k < n; k++)
			take_tiers(r, fn, arg);
	}
	freeReplyObject(ids);
}

static size_t count(struct redis *r)
{
	redisReply *a = answer(r);
	size_t n = a->elements;

	freeReplyObject(a);
	return n;
}

size_t redis_set(struct redis *r, const char *key)
{
	redisAppendCommand(r->c, "SMEMBERS %s", key);
	return count(r);
}

size_t redis_top(struct redis *r, const char *key)
{
	redisAppendCommand(r->c, "ZREVRANGE %s 0 9", key);
	return count(r);
}

void redis_free(struct redis *r)
{
	if (!r)
		return;
	redisFree(r->c);
	kill(r->pid, SIGTERM);
	waitpid(r->pid, NULL, 0);
	rmdir(r->dir);
	free(r);
}
