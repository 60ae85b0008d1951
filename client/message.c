/* message.c - what goes to standard error. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "client.h"
#include "text.h"

static void say(const char *fmt, va_list ap)
{
	struct dcm_text raw = {0}, line = {0};
	ssize_t n;

	text_vprintf(&raw, fmt, ap);
	text_puts(&line, "dcm-client: ");
	text_add_safe(&line, raw.s ? raw.s : "", raw.len, TEXT_UTF8);
	text_putc(&line, '\n');
	n = write(STDERR_FILENO, line.s, line.len);
	(void)n; /* there is nowhere left to complain */
	dcm_text_free(&raw);
	dcm_text_free(&line);
}

int fail(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return status;
}

void warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}
