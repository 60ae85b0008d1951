/* broker.h - the broker process: cross-host queries, requests, cleanup. */
#ifndef DCM_BROKER_H
#define DCM_BROKER_H

#include "../shm/child.h"

/* Runs until the control socket ends or SIGTERM; returns the exit status. */
int broker_run(const struct child_env *env);

#endif
