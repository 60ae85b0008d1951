/* config_file.c - reads a whole small file: see config_file.h. */
#include "config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, size_t max, char **text, size_t *len)
{
	size_t room = 0;
	char *s = NULL;

	*len = 0;
	for (;;) {
		ssize_t n;

		if (*len + 1 >= room) {
			char *grown = realloc(s, room * 2 + 4096);

			if (!grown) {
				free(s);
				return -ENOMEM;
			}
			s = grown;
			room = room * 2 + 4096;
		}
		n = read(fd, s + *len, room - *len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || *len + (size_t)n > max) {
			int rc = n < 0 ? -errno : -EFBIG;

			free(s);
			return rc;
		}
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	s[*len] = '\0';
	*text = s;
	return 0;
}

int config_read_file(const char *path, size_t max, char **text, size_t *len)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), rc;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else if (S_ISDIR(st.st_mode))
		rc = -EISDIR;
	else
		rc = S_ISREG(st.st_mode) ? read_all(fd, max, text, len) : -EINVAL;
	close(fd);
	return rc;
}
