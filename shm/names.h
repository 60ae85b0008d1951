/*
 * names.h - what an instance's things are called, and who may be trusted.
 *
 * An instance is a user id and a name.  Its memory objects are
 *	/dev/shm/dcm-UID-INSTANCE-:lock          0600, OFD-locked by the supervisor
 *	/dev/shm/dcm-UID-INSTANCE-:dir           the directory
 *	/dev/shm/dcm-UID-INSTANCE-:host:ID:GEN   a host's shard, one per generation
 * ':' stands in no instance name and no host id, so no name can be read two
 * ways.  Its broker listens at RUNTIME_DIR/INSTANCE/broker.sock.
 */
#ifndef DCM_NAMES_H
#define DCM_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { DCM_OBJECT_NAME_MAX = 192, DCM_HOST_ID_MAX = 63, DCM_INSTANCE_MAX = 32 };

bool names_id_valid(const char *s, size_t max); /* starts with letter or digit, then A-Za-z0-9._- */

/* Each writes the shm_open() name ("/dcm-…") into buf[DCM_OBJECT_NAME_MAX]. */
void names_lock(char *buf, uid_t uid, const char *instance);
void names_directory(char *buf, uid_t uid, const char *instance);
void names_shard(char *buf, uid_t uid, const char *instance, const char *host, uint32_t generation);

/* Takes a file name found in /dev/shm apart.  Returns false where it is not an
 * object of dcm.  host is "" and generation 0 for lock and directory. */
struct names_parsed {
	uid_t uid;
	char instance[DCM_INSTANCE_MAX + 1];
	enum { NAMES_LOCK, NAMES_DIRECTORY, NAMES_SHARD } kind;
	char host[DCM_HOST_ID_MAX + 1];
	uint32_t generation;
};
bool names_parse(const char *file, struct names_parsed *out);

/* The default directories of the calling user (CONTRACT section 2); false where
 * there is none ($HOME unset, no XDG_RUNTIME_DIR: /run/user/UID, else
 * /tmp/dcm-UID).  kind: 'r'untime, 's'tate, 'c'onfig file. */
bool names_default_path(char kind, char *buf, size_t len);

/* The binary id by which the directory keeps a host: XXH3-128 of its id under
 * two seeds.  In directory_id.c. */
void directory_host_id(const char *host, uint8_t id[32]);

#endif
