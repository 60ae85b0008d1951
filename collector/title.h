/* title.h - what `ps` shows of a process: /proc/PID/cmdline and comm. */
#ifndef DCM_TITLE_H
#define DCM_TITLE_H

enum { TITLE_MAX = 128 };

/* First thing in main().  May run the program anew, with the same arguments and
 * environment, where these leave too little room for a title. */
void title_init(int argc, char **argv);
/* The title of this process; at most TITLE_MAX - 1 bytes of it are shown. */
void title_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
