/* routes.h - the requests that changes.c serves, and what it needs for it. */
#ifndef SIM_ROUTES_H
#define SIM_ROUTES_H

#include "sim.h"

/* The container of the route's *, or NULL and a reply. */
struct container *wanted(struct conn *c);
void done(struct conn *c); /* 204 */

/* changes.c */
void serve_create(struct conn *c);
void serve_start(struct conn *c);
void serve_stop(struct conn *c);
void serve_restart(struct conn *c);
void serve_kill(struct conn *c);
void serve_pause(struct conn *c);
void serve_rename(struct conn *c);
void serve_remove(struct conn *c);
void serve_import(struct conn *c);
void serve_network_create(struct conn *c);
void serve_network_connect(struct conn *c);
void serve_nothing(struct conn *c);

#endif
