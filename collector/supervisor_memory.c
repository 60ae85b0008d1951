/*
 * supervisor_memory.c - is what we hold in /dev/shm still there?
 *
 * Others may remove it while dcmd runs: logind does so when a user logs out
 * (RemoveIPC=), an administrator may by hand.  What was mapped goes on working
 * for those who have it, but nobody new would find it.  So the names are looked
 * at every few seconds, and what is gone is made anew: the lock, the directory,
 * and shards by restarting their collectors.  When another dcmd has taken the
 * instance meanwhile, this one ends and touches nothing more.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../shm/log.h"
#include "../shm/names.h"
#include "supervisor_impl.h"

static const double EVERY = 5, PATIENCE = 3; /* s */

static uint64_t inode_of(const char *object)
{
	char path[DCM_OBJECT_NAME_MAX + 16];
	struct stat st;

	snprintf(path, sizeof(path), "/dev/shm%s", object);
	return stat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

static uint64_t directory_inode(const struct supervisor *s)
{
	char name[DCM_OBJECT_NAME_MAX];

	names_directory(name, s->instance->uid, s->instance->name);
	return inode_of(name);
}

static void lost(const char *what, const char *host)
{
	log_event(LOG_LEVEL_ERROR, "memory_removed", host, LF_STR("what", what),
		  LF_STR("error", "somebody removed it from /dev/shm: it is made anew"));
}

static void check_lock(struct supervisor *s, double now)
{
	char err[INSTANCE_ERR];
	int rc = instance_relock(s->instance, err);

	if (rc == INSTANCE_HELD) {
		log_event(LOG_LEVEL_ERROR, "instance_lost", NULL, LF_STR("error", err));
		s->ousted = s->stop = true;
	} else if (rc == INSTANCE_RELOCKED) {
		/* Children, too, hold a lock on the object that is gone. */
		lost("lock", NULL);
		child_stop(&s->broker, now, PATIENCE, "the lock was made anew");
		for (size_t i = 0; i < s->n_hosts; i++)
			child_stop(s->hosts[i], now, PATIENCE, "the lock was made anew");
	} else if (rc) {
		log_event(LOG_LEVEL_ERROR, "memory_removed", NULL, LF_STR("what", "lock"),
			  LF_STR("error", err));
	}
}

static void check_directory(struct supervisor *s)
{
	struct region *old = s->dir;
	char err[512];

	if (directory_inode(s) == s->dir_inode)
		return;
	lost("directory", NULL);
	if (directory_open(s, err, sizeof(err)) < 0) {
		log_event(LOG_LEVEL_ERROR, "directory_behind", NULL, LF_STR("error", err));
		s->dir = old;
		return;
	}
	region_close(&old, false);
	s->dir_inode = directory_inode(s);
	directory_sync(s);
}

/* Twice in a row: a collector that starts replaces a shard before it says so. */
static void check_shard(struct supervisor *s, struct child *c, double now)
{
	char name[DCM_OBJECT_NAME_MAX];
	bool gone;

	names_shard(name, s->instance->uid, s->instance->name, c->host, c->generation);
	gone = c->state == CHILD_RUNNING && c->generation && !inode_of(name);
	if (gone && c->shard_gone) {
		lost("shard", c->host);
		directory_forget(s, c);
		directory_host(s, c);
		child_stop(c, now, PATIENCE, "its memory was removed");
	}
	c->shard_gone = gone;
}

void memory_check(struct supervisor *s, double now)
{
	if (!s->dir_inode)
		s->dir_inode = directory_inode(s);
	if (now < s->memory_check_at || s->stop)
		return;
	s->memory_check_at = now + EVERY;
	check_lock(s, now);
	if (s->stop)
		return;
	check_directory(s);
	for (size_t i = 0; i < s->n_hosts; i++)
		check_shard(s, s->hosts[i], now);
}
