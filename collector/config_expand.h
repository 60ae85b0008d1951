/* config_expand.h - ${VAR} and a leading ~/ in the strings of hosts.yml. */
#ifndef DCM_CONFIG_EXPAND_H
#define DCM_CONFIG_EXPAND_H

#include <stddef.h>

/* The expanded string, to be freed; NULL with a clause "what is wrong; expected
 * …" in err. */
char *config_expand(const char *text, char *err, size_t errlen);
/* $HOME, else what the user database says; NULL: neither. */
const char *config_home(void);

#endif
