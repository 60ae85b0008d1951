/*
 * transport.h - the way to an engine: something that gives libcurl a byte
 * stream.  A transport is a few operations; the engine client knows no other.
 *
 * unix, tcp and tls need nothing but options on the easy handle.  SSH opens a
 * private unix listener whose accepted connections become channels, and gives its
 * path.
 */
#ifndef DCM_TRANSPORT_H
#define DCM_TRANSPORT_H

#include <event2/event.h>
#include <curl/curl.h>

#include "../shm/dcm.h"
#include "config.h"

struct transport;

struct transport_ops {
	const char *name; /* as `dcm-client hosts` shows it */
	/* Starts getting ready, within connect_timeout s; done(arg, NULL) or
	 * done(arg, sentence) is called from the loop, never from inside open().  A sentence is "what: mend", or says
	 * only what; texts of others stand in brackets. */
	struct transport *(*open)(struct event_base *base, const struct endpoint *at,
				  double connect_timeout,
				  void (*done)(void *arg, const char *error), void *arg);
	/* The step that it failed at, where done() had a sentence (DCM_STEP_NONE: something
	 * is lacking here).  NULL: it never does. */
	enum dcm_step (*failed)(const struct transport *t);
	/* Why it does not carry any more, once it was ready; NULL where it does, or where
	 * its connections say it.  The operation may be NULL, too. */
	const char *(*lost)(const struct transport *t);
	/* Sets what a request needs on an easy handle; -1: no memory. */
	int (*prepare)(struct transport *t, CURL *easy);
	/* What stands before a request's path: "http://docker". */
	const char *(*url)(struct transport *t);
	/* How many requests it carries at once besides streams and pings; 0: any
	 * number.  It may change.  NULL: any number. */
	unsigned (*connections)(struct transport *t);
	/* Reads a file of the host, at most `max` bytes; done(arg, data, len, error)
	 * from the loop.  NULL: there is no way (compose_file_content stays null). */
	void (*read_file)(struct transport *t, const char *path, size_t max,
			  void (*done)(void *arg, const char *data, size_t len, const char *error),
			  void *arg);
	void (*close)(struct transport *t);
};
/* The operations for an endpoint; NULL with *why where there are none.  For SSH they
 * may change while a transport opens (another backend): transport_kind() knows. */
const struct transport_ops *transport_for(const struct endpoint *at, const char **why);
/* What a person calls the endpoint: "unix:///run/docker.sock", "tcp://h:2375". */
void transport_where(const struct endpoint *at, char *buf, size_t len);
/* Why a socket of this machine cannot be opened, and what mends it. */
void transport_unix_denied(const char *path, char *buf, size_t len);
/* The name that `dcm-client hosts` shows, with or without a transport. */
const char *transport_kind(const struct endpoint *at);
/* Is it the system's ssh that reaches it, as chosen or as found out since? */
bool transport_ssh_by_program(const struct endpoint *at);
/* Removes what transports of killed processes left in TMPDIR. */
void transport_sweep(void);

extern const struct transport_ops transport_unix, transport_tcp, transport_tls;
extern const struct transport_ops transport_ssh, transport_openssh;

#endif
