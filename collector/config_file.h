/* config_file.h - reads a whole small file.  Private to the configuration. */
#ifndef DCM_CONFIG_FILE_H
#define DCM_CONFIG_FILE_H

#include <stddef.h>

/* 0 with *text (to be freed, NUL behind it), or -errno; -EFBIG: longer than
 * max; -EINVAL: not a regular file.  Never waits for a FIFO's writer. */
int config_read_file(const char *path, size_t max, char **text, size_t *len);

#endif
