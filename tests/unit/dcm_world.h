/* dcm_world.h - each test has an instance of two hosts, and a reader of it without
 * a broker. */
#ifndef DCM_WORLD_H
#define DCM_WORLD_H

#include "dcm_help.h"

static struct world world;
static dcm *d;

static int setup(void **state)
{
	(void)state;
	world_open(&world);
	world_host(&world, 0, "beta");
	world_host(&world, 1, "alpha");
	d = world_reader(&world, DCM_NO_BROKER);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dcm_close(&d);
	world_close(&world);
	return 0;
}

#endif
