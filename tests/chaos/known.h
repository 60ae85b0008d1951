/* known.h - what one reader has seen of each container, by host and id, for ever. */
#ifndef DCM_TEST_KNOWN_H
#define DCM_TEST_KNOWN_H

#include "../../shm/dcm.h"

struct known {
	char host[64], id[65];
	int serial, revision; /* -1: not seen yet */
	uint32_t round;	      /* that last showed it */
	bool gone;	      /* a later one did not */
	bool here;	      /* in the mirror that changes keep, as: */
	struct dcm_ref ref;
};

struct known_set {
	struct known *v;
	size_t n;
	uint32_t *bucket; /* index + 1; 0: free */
};
enum { KNOWN_MAX = 16384 };

/* Adds it where it is new.  The pointer holds until the next call. */
struct known *known_get(struct known_set *s, const char *host, const char *id);
/* Those of the host that this round, which was whole, did not show are gone. */
void known_settle(struct known_set *s, const char *host, uint32_t round);
/* Out of the mirror: all of a host (NULL: of all), one by its reference. */
void known_drop(struct known_set *s, const char *host);
void known_drop_ref(struct known_set *s, const char *host, struct dcm_ref ref);
void known_free(struct known_set *s);

#endif
