/* transport_ssh_output.h - what a program, here or there, prints into a pipe. */
#ifndef DCM_TRANSPORT_SSH_OUTPUT_H
#define DCM_TRANSPORT_SSH_OUTPUT_H

#include <event2/event.h>
#include <stddef.h>

struct ssh_output {
	struct event *event;
	int fd;	    /* -1: it has ended, or there is none */
	char *data; /* NUL-terminated: what came first, len bytes, at most max */
	size_t len, max;
	void (*ended)(void *arg);
	void *arg;
};
/* -1: no memory.  In either case ssh_output_free() is right afterwards. */
int ssh_output_init(struct ssh_output *o, size_t max, void (*ended)(void *arg), void *arg);
/* Reads of fd (taken) until it ends; ended() is called once from the loop. */
int ssh_output_watch(struct event_base *base, struct ssh_output *o, int fd);
void ssh_output_add(struct ssh_output *o, const char *data, size_t len);
void ssh_output_free(struct ssh_output *o);

#endif
