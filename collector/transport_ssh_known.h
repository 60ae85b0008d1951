/* transport_ssh_known.h - known_hosts: which keys a host may show.  Pure but for
 * reading the files. */
#ifndef DCM_TRANSPORT_SSH_KNOWN_H
#define DCM_TRANSPORT_SSH_KNOWN_H

#include <libssh2.h>

#include "transport_ssh.h"

enum ssh_known_verdict { KNOWN_OK, KNOWN_NOT, KNOWN_CHANGED, KNOWN_REVOKED };

struct ssh_known;
/* Reads every file of the target and keeps the lines that name it. */
struct ssh_known *ssh_known_read(LIBSSH2_SESSION *ssh, const struct ssh_target *t);
/* The host key algorithms to ask for, those of known keys first; "" where each known
 * key is of a kind that libssh2 cannot check (only the system's ssh can). */
const char *ssh_known_methods(const struct ssh_known *k);
/* blob: the key in SSH's wire format, as the server showed it.  *file: where the line
 * is that spoke against it. */
enum ssh_known_verdict ssh_known_check(const struct ssh_known *k, const unsigned char *blob,
				       size_t len, const char **file);
/* Does @cert-authority name it?  Its certificate may be right where its key is not known,
 * or is another one; libssh2 cannot tell. */
bool ssh_known_by_authority(const struct ssh_known *k);
void ssh_known_free(struct ssh_known *k);

#endif
