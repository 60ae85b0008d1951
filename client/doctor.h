/*
 * doctor.h - what the files of `dcm-client doctor` share: findings.
 *
 * The doctor says what is wrong with the cache, and the mend.  It only looks, and
 * asks nobody but the broker: how far the way to an engine goes is what the host's
 * collector published of its last attempt.  Exit status: 0 nothing is wrong
 * (warnings may stand), 3 dcm does not run or is not readable, 4 a host's records
 * are not fresh, 5 anything else is wrong.
 */
#ifndef CLIENT_DOCTOR_H
#define CLIENT_DOCTOR_H

#include "client.h"

struct doctor {
	struct client *c;
	struct dcm_info info;
	int status; /* the exit status so far */
};

enum verdict { OK, NOTICE, FAIL };

static const struct dcm_str nobody;

/* One finding; `status`: the exit status if it is a FAIL; mend NULL: none needed. */
void finding(struct doctor *d, enum verdict v, int status, const char *check,
	     struct dcm_str subject, const char *mend, const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));
/* What dcmd says of itself, "what: mend"; `mend` where it names none. */
void finding_said(struct doctor *d, enum verdict v, int status, const char *check,
		  struct dcm_str subject, struct dcm_str said, const char *mend);
/* Conditions in force, of a host or (`nobody`) of the daemon. */
void check_conditions(struct doctor *d, struct dcm_str who, const struct dcm_strs *names,
		      const struct dcm_strs *said);
bool alive(int64_t pid);

/* doctor_hosts.c: the hosts that the command line names, or all. */
void check_hosts(struct doctor *d);

#endif
