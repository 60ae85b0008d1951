/*
 * instance.h - what a running instance holds on this machine: its lock, its
 * directories, the broker's socket, its memory objects.
 */
#ifndef DCM_INSTANCE_H
#define DCM_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { INSTANCE_ERR = 512, INSTANCE_HELD = 3, INSTANCE_RELOCKED = -1 };

struct instance {
	const char *name, *runtime_dir, *state_dir;
	uid_t uid;
	gid_t gid;
	const char *refresh_group; /* NULL: whoever may read may have engines asked */
	gid_t refresh_gid;
	char run[108];	  /* RUNTIME_DIR/INSTANCE */
	char socket[108]; /* RUNTIME_DIR/INSTANCE/broker.sock: fits sun_path */
	char *state;	  /* STATE_DIR/INSTANCE */
	int lock, listener;
};

/* Each returns 0, or an exit status with a sentence in err[INSTANCE_ERR]. */

/* Takes the lock; INSTANCE_HELD where another dcmd has it.  Then waits until
 * the last children of a predecessor that was killed are gone. */
int instance_lock(struct instance *i, char *err);
/* Makes and takes the lock again where its name was removed (INSTANCE_RELOCKED);
 * INSTANCE_HELD where another dcmd has it since. */
int instance_relock(struct instance *i, char *err);
/* Makes the directories. */
int instance_directories(struct instance *i, char *err);
/* Makes the broker's socket, in place of a stale one. */
int instance_listen(struct instance *i, char *err);

/* In a child: says, by a lock that the kernel drops with it, that it lives, so
 * that no successor of the supervisor starts another writer beside it. */
void instance_child_lock(const struct instance *i);

/* Unlinks the shards whose host `keep` (NULL: none) refuses. */
void instance_unlink_shards(const struct instance *i,
			    bool (*keep)(const char *host, void *arg), void *arg);
/* Another has the instance: closes what we hold and removes nothing. */
void instance_let_go(struct instance *i);
/* The orderly end: socket, directory, lock object. */
void instance_remove(struct instance *i);

#endif
