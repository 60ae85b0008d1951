/* notify.h - the service manager's notification protocol (sd_notify(3)). */
#ifndef DCM_NOTIFY_H
#define DCM_NOTIFY_H

/* Takes NOTIFY_SOCKET and WATCHDOG_USEC out of the environment, so that no child
 * speaks for the daemon.  Without them the functions below do nothing. */
void notify_init(void);
/* Sends "KEY=VALUE" lines; never waits: where there is no room,
 * notify_beat() sends them, but for what begins with STATUS. */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* To be called at least each second: sends what could not be, and pets the watchdog. */
void notify_beat(double mono_now);

#endif
