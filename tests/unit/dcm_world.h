/* dcm_world.h - each test has an instance that tells of itself, of two hosts, and a reader
 * of it without a broker. */
#ifndef DCM_WORLD_H
#define DCM_WORLD_H

#include "dcm_help.h"

static struct world world;
static dcm *d;

static int setup(void **state)
{
	static const struct dcm_info info = {.ttl = {120, 300, 3600, 7200, 0},
					     .status_update = 60, .supervisor_pid = 4711,
					     .version = "0.1.0", .runtime_dir = "/run/dcm"};

	(void)state;
	world_open(&world);
	world_info(&world, &info);
	world_host(&world, 0, "beta");
	world_host(&world, 1, "alpha");
	d = world_reader(&world, DCM_NO_BROKER);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dcm_close(&d);
	assert_null(d);
	dcm_close(&d); /* NULL is fine */
	world_close(&world);
	return 0;
}

#endif
