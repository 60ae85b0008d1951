/*
 * log.h - structured log lines on standard error, one write() each: text for a
 * person ("ts level event host=… key=value: message") or one JSON object.
 *
 *	log_event(LOG_LEVEL_WARN, "host_offline", host, LF_STR("error", cause));
 */
#ifndef DCM_LOG_H
#define DCM_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

void log_init(enum log_level least, bool json);
/* Lines that name no host are of this one, from now on: in its collector.  It must stay. */
void log_host(const char *host);
bool log_wants(enum log_level l);

/* A field of a line.  Numbers are written as numbers in JSON. */
struct log_field {
	const char *key;
	enum { LOG_STR, LOG_INT, LOG_NUM } type;
	union {
		const char *s; /* NULL: the field is left out */
		int64_t i;
		double f;
	};
};
#define LF_STR(k, v) ((struct log_field){.key = (k), .type = LOG_STR, .s = (v)})
#define LF_INT(k, v) ((struct log_field){.key = (k), .type = LOG_INT, .i = (v)})
#define LF_NUM(k, v) ((struct log_field){.key = (k), .type = LOG_NUM, .f = (v)})

/* event: snake_case, listed in docs/operations.md.  host may be NULL. */
void log_fields(enum log_level l, const char *event, const char *host,
		const struct log_field *fields, int n);
#define log_event(level, event, host, ...)                                      \
	do {                                                                    \
		const struct log_field log_f_[] = {__VA_ARGS__};                \
		log_fields(level, event, host, log_f_,                          \
			   (int)(sizeof(log_f_) / sizeof(log_f_[0])));          \
	} while (0)
/* A line with a message alone; what is wrong goes into `error` for WARN and ERROR. */
void log_msg(enum log_level l, const char *event, const char *host, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
