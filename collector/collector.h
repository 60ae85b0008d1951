/* collector.h - the collector process of one Docker host. */
#ifndef DCM_COLLECTOR_H
#define DCM_COLLECTOR_H

#include "../shm/child.h"
#include "config.h"

/* Runs until the control socket ends or SIGTERM; returns the exit status.
 * `host` and `cache` are this process's own copies. */
int collector_run(const struct child_env *env, const struct host_config *host,
		  const struct cache_config *cache);

#endif
