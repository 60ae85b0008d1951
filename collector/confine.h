/*
 * confine.h - what each process of dcmd gives up before it starts its work.
 *
 * A process that is taken over by what it reads (an engine's JSON, an SSH server's
 * packets, a client's request) can do what its user and the kernel let it do.  So
 * each gives up what it never needs: docs/security.md says what, why, and what is
 * left.  Where the kernel (or a container around dcmd) lacks a way to do so, that is
 * a condition (not_confined), and work goes on without.
 *
 * Nothing here can be taken back, and all of it goes over to children.
 */
#ifndef DCM_CONFINE_H
#define DCM_CONFINE_H

#include "../shm/child.h"
#include "config.h"

/* The supervisor, and so everybody: no new privileges by exec, no core files, no
 * debugger of the same user, none of the system calls that no part of dcmd uses.
 * NULL, or (static) what cannot be given up here, and why. */
const char *confine_all(void);
/* The broker: no network, no programs, no processes, no files but /dev/shm and
 * STATE_DIR.  Only the system calls that it uses. */
void confine_broker(const struct child_env *env);
/* A collector: one that reaches its engine by itself (not by SSH, which runs programs
 * of the user's choice) runs no programs, and writes /dev/shm and STATE_DIR alone. */
void confine_collector(const struct child_env *env, const struct host_config *host);

#endif
