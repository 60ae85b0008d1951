/* config_host.h - one entry of `hosts:`.  Private to the configuration. */
#ifndef DCM_CONFIG_HOST_H
#define DCM_CONFIG_HOST_H

#include "config_check.h"

extern const char *const config_environment_words[]; /* in the order of the enum */

/* Fills *out (zeroed) from the value of a host's key.  Faults go to c. */
void config_parse_host(struct checker *c, const struct pair *at, struct host_config *out);
void config_host_clear(struct host_config *h);

#endif
