/* supervisor.h - keeps a broker and a collector for each enabled host running. */
#ifndef DCM_SUPERVISOR_H
#define DCM_SUPERVISOR_H

#include "../shm/child.h"
#include "config.h"
#include "instance.h"

struct supervisor_options {
	const char *config_path; /* NULL: the default file, or none */
	struct instance *instance; /* locked, with directories and socket */
	const char *not_confined; /* NULL, or what this machine does not let us give up */
	/* What the children do. */
	int (*broker)(const struct child_env *env);
	int (*collector)(const struct child_env *env, const struct host_config *host,
			 const struct cache_config *cache);
};

/* Runs until SIGTERM or SIGINT; takes *config over.  The exit status. */
int supervisor_run(const struct supervisor_options *opt, struct config *config);

#endif
