/* decode_context.h - the docker command's own JSON files.  Pure. */
#ifndef DCM_DECODE_CONTEXT_H
#define DCM_DECODE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

/* contexts/meta/…/meta.json.  Texts are the caller's to free. */
struct docker_context {
	char *name;	      /* never NULL on success */
	char *host;	      /* Endpoints.docker.Host; NULL: none given */
	bool skip_tls_verify;
};
int decode_context(const char *json, size_t len, struct docker_context *out);
/* config.json: 0 with *current NULL where it names none; -1 where it is no
 * JSON object. */
int decode_docker_config(const char *json, size_t len, char **current);

#endif
