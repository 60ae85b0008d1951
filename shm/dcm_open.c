/*
 * dcm_open.c - finds an instance, judges whom to trust, opens and closes.
 *
 * An instance is a user id and a name.  RUNTIME_DIR/INSTANCE says whose it is:
 * its owner must be root, the user `dcm`, or the caller, and then only memory
 * of that owner is read (region_map_open() holds each object to it).
 */
#include "dcm_impl.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int dcm_fail(dcm *d, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->err, sizeof(d->err), fmt, ap);
	va_end(ap);
	return rc;
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The time of the last tick, a few ms ago: ages are told in sixteenths of a second, and
 * the very time would be a twentieth of what a record takes to read. */
double dcm_now(void)
{
	return seconds(CLOCK_REALTIME_COARSE);
}

double dcm_monotonic(void)
{
	return seconds(CLOCK_MONOTONIC);
}

static bool user_dcm(uid_t uid)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	return getpwnam_r("dcm", &pw, buf, sizeof(buf), &found) == 0 && found &&
	       found->pw_uid == uid;
}

static bool trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid() || uid == getuid() || user_dcm(uid);
}

/* The name of a group, or its number. */
static void group_text(gid_t gid, char *out, size_t len)
{
	struct group gr, *found = NULL;
	char buf[4096];

	if (getgrgid_r(gid, &gr, buf, sizeof(buf), &found) == 0 && found)
		snprintf(out, len, "%s", found->gr_name);
	else
		snprintf(out, len, "%u", (unsigned)gid);
}

static int not_permitted(dcm *d, const char *runtime_dir)
{
	struct stat st;
	char group[64];

	if (stat(runtime_dir, &st) < 0)
		return dcm_fail(
		    d, DCM_EACCESS,
		    "may not look into %s: permission denied; ask as the user that runs "
		    "dcmd, or name the directory that you may read",
		    runtime_dir);
	group_text(st.st_gid, group, sizeof(group));
	return dcm_fail(d, DCM_EACCESS,
			"may not read dcm's memory: %s is for the group %s; join it (usermod -aG "
			"%s YOU, then log in anew), or ask as root",
			runtime_dir, group, group);
}

/* Opens the instance below `runtime_dir`.  DCM_ENOTRUNNING: it is not there. */
static int open_below(dcm *d, const char *runtime_dir)
{
	char path[sizeof(d->runtime_dir) + DCM_INSTANCE_MAX + 2];
	char object[DCM_OBJECT_NAME_MAX];
	struct stat st;
	int rc;

	if (strlen(runtime_dir) >= sizeof(d->runtime_dir))
		return dcm_fail(d, DCM_EINVAL,
				"the runtime directory's name is longer than %zu "
				"bytes; shorten it",
				sizeof(d->runtime_dir) - 1);
	snprintf(path, sizeof(path), "%s/%s", runtime_dir, d->instance);
	if (lstat(path, &st) < 0) {
		if (errno == EACCES)
			return not_permitted(d, runtime_dir);
		return dcm_fail(d, DCM_ENOTRUNNING,
				"dcm is not running: no instance '%s' in %s; start dcmd, or name "
				"another --instance or --runtime-dir",
				d->instance, runtime_dir);
	}
	if (!S_ISDIR(st.st_mode) || !trusted(st.st_uid))
		return dcm_fail(
		    d, DCM_EACCESS,
		    "%s is not trusted: it must be a directory of root, of the user dcm or "
		    "of your own, and is of user %u; see who made it",
		    path, (unsigned)st.st_uid);
	d->uid = st.st_uid;
	snprintf(d->runtime_dir, sizeof(d->runtime_dir), "%s", runtime_dir);
	names_directory(object, d->uid, d->instance);
	rc = region_map_open(&d->dir, object, d->uid, d->err, sizeof(d->err));
	if (rc == DCM_ENOTRUNNING)
		dcm_fail(d, rc,
			 "dcm is not running: the instance '%s' in %s has no memory; start "
			 "dcmd",
			 d->instance, runtime_dir);
	else if (rc == DCM_EACCESS && access(path, R_OK | X_OK) < 0 && errno == EACCES)
		rc = not_permitted(d, path);
	return rc;
}

/* Without a directory from the caller: the own one, then the system's. */
static int open_default(dcm *d)
{
	static const char system_dir[] = "/run/dcm";
	char own[sizeof(d->runtime_dir)];
	int rc, other;

	if (!names_default_path('r', own, sizeof(own)))
		return open_below(d, system_dir);
	rc = open_below(d, own);
	if (rc != DCM_ENOTRUNNING || strcmp(own, system_dir) == 0)
		return rc;
	other = open_below(d, system_dir);
	if (other != DCM_ENOTRUNNING)
		return other;
	return dcm_fail(d, DCM_ENOTRUNNING,
			"dcm is not running: no instance '%s' in %s or %s; start dcmd, or name "
			"another --instance or --runtime-dir",
			d->instance, own, system_dir);
}

static int open_instance(dcm *d, const struct dcm_options *opt)
{
	const char *instance = opt->instance;

	if (!instance)
		instance = getenv("DCM_INSTANCE");
	if (!instance || (!opt->instance && !*instance))
		instance = "default";
	if (!names_id_valid(instance, DCM_INSTANCE_MAX))
		return dcm_fail(
		    d, DCM_EINVAL,
		    "'%.64s' is not the name of an instance: 1 to %d of A-Z a-z 0-9 . _ -, "
		    "starting with a letter or digit",
		    instance, DCM_INSTANCE_MAX);
	snprintf(d->instance, sizeof(d->instance), "%s", instance);
	d->flags = opt->flags;
	return opt->runtime_dir ? open_below(d, opt->runtime_dir) : open_default(d);
}

int dcm_open(dcm **out, const struct dcm_options *given, char *err, size_t errlen)
{
	struct dcm_options opt = {.size = sizeof(opt)};
	dcm *d;
	int rc;

	*out = NULL;
	if (err && errlen)
		err[0] = '\0';
	if (given && given->size >= sizeof(size_t))
		memcpy(&opt, given, given->size < sizeof(opt) ? given->size : sizeof(opt));
	d = calloc(1, sizeof(*d));
	if (!d) {
		if (err)
			snprintf(err, errlen, "out of memory");
		return DCM_ENOMEM;
	}
	rc = given && given->size < sizeof(size_t)
		 ? dcm_fail(d, DCM_EINVAL, "dcm_options.size must be sizeof(struct dcm_options)")
		 : open_instance(d, &opt);
	if (rc != DCM_OK) {
		if (err)
			snprintf(err, errlen, "%s", d->err);
		dcm_close(&d);
		return rc;
	}
	d->dir_checked = dcm_monotonic();
	*out = d;
	return DCM_OK;
}

void dcm_close(dcm **dp)
{
	dcm *d = *dp;

	*dp = NULL;
	if (!d)
		return;
	dcm_follow_release(d);
	dcm_broker_release(d);
	dcm_info_release(d);
	dcm_slots_release(d);
	region_map_close(&d->dir);
	free(d->order);
	free(d);
}

const char *dcm_error(const dcm *d)
{
	return d->err;
}
