/* session.c - what the commands share on the way to libdcm. */
#include <sched.h>
#include <stdio.h>

#include "client.h"
#include "text.h"

int exit_of(int rc)
{
	switch (rc) {
	case DCM_OK:
		return EXIT_OK;
	case DCM_ENOTFOUND:
	case DCM_EAMBIGUOUS:
	case DCM_ESTALE:
		return EXIT_NOTFOUND;
	case DCM_EINVAL:
		return EXIT_USAGE;
	case DCM_ENOTRUNNING:
	case DCM_EACCESS:
	case DCM_ELAYOUT:
		return EXIT_NOTRUNNING;
	case DCM_EBUSY:
	case DCM_EBROKER:
	case DCM_EHOST:
	case DCM_ETIMEDOUT:
		return EXIT_PARTIAL;
	default:
		return EXIT_OTHER;
	}
}

int fail_rc(const struct client *c, int rc)
{
	const char *why = dcm_error(c->d);

	return fail(exit_of(rc), "%s", *why ? why : dcm_strerror(rc));
}

int client_open(struct client *c, char *err, size_t errlen)
{
	struct dcm_options opt = {.size = sizeof(opt), .instance = c->o.instance,
				  .runtime_dir = c->o.runtime_dir};

	return dcm_open(&c->d, &opt, err, errlen);
}

int read_record(struct client *c, struct dcm_ref ref, struct dcm_record *r)
{
	int rc = DCM_EBUSY, tries;

	for (tries = 0; rc == DCM_EBUSY && tries < 50; tries++) {
		if (tries)
			sched_yield(); /* let the writer finish its burst */
		rc = dcm_read(c->d, ref, r);
	}
	return rc;
}

/* A query for nothing of it looks at the directory alone, and not at every host. */
static bool host_known(struct client *c, const char *host)
{
	struct dcm_query q = {.kind = DCM_Q_TOP_CPU, .host = host, .n = 0};
	struct dcm_refs none = {0};
	int rc = dcm_query(c->d, &q, &none);

	dcm_refs_free(&none);
	return rc == DCM_OK;
}

int host_exists(struct client *c, const char *host)
{
	struct dcm_hosts hosts = {0};
	struct dcm_text ids = {0};
	int rc, status = EXIT_NOTFOUND;
	size_t i;

	if (host_known(c, host))
		return EXIT_OK;
	rc = dcm_hosts_read(c->d, &hosts);

	for (i = 0; !rc && i < hosts.n; i++) {
		if (str_is(hosts.v[i].id, host))
			status = EXIT_OK;
		if (i < 20)
			text_printf(&ids, "%s%.*s", i ? ", " : "", (int)hosts.v[i].id.len,
				    hosts.v[i].id.s);
	}
	if (rc)
		status = fail_rc(c, rc);
	else if (status && !hosts.n)
		fail(status, "no host '%s': none is configured; add it to hosts.yml and reload "
		     "dcmd", host);
	else if (status)
		fail(status, "no host '%s': the hosts are %s%s", host, ids.s,
		     hosts.n > 20 ? ", … (see dcm-client hosts)" : "");
	dcm_text_free(&ids);
	dcm_hosts_free(&hosts);
	return status;
}
