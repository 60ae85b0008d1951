/* condition.c - conditions: what is in force, and a log line at begin and end.
 * See condition.h. */
#include "condition.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

static const struct {
	const char *begin, *end, *says;
} kinds[COND_COUNT] = {
#define CONDITION_KIND(name, begin, end, says) {begin, end, says},
	CONDITIONS(CONDITION_KIND)
#undef CONDITION_KIND
};

void conditions_init(struct conditions *c, const char *host, void (*changed)(void *arg),
		     void *arg)
{
	*c = (struct conditions){.host = host, .changed = changed, .arg = arg};
}

void condition_set(struct conditions *c, enum condition which, const char *mend, const char *fmt,
		   ...)
{
	char text[CONDITION_TEXT], what[CONDITION_TEXT];
	size_t room = sizeof(text) - strlen(mend) - 3; /* ": " and a NUL */
	bool begins = !c->of[which].on;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(text, sizeof(text), "%.*s: %s", (int)room, what, mend);
	if (begins)
		log_event(LOG_LEVEL_WARN, kinds[which].begin, c->host, LF_STR("error", text));
	condition_relay(c, which, text);
}

void condition_clear(struct conditions *c, enum condition which)
{
	if (!c->of[which].on)
		return;
	log_event(LOG_LEVEL_INFO, kinds[which].end, c->host,
		  LF_STR("message", kinds[which].says));
	condition_relay(c, which, NULL);
}

void condition_relay(struct conditions *c, enum condition which, const char *text)
{
	bool on = text != NULL;

	if (c->of[which].on == on && (!on || !strcmp(c->of[which].text, text)))
		return;
	c->of[which].on = on;
	snprintf(c->of[which].text, sizeof(c->of[which].text), "%s", on ? text : "");
	if (c->changed)
		c->changed(c->arg);
}

void conditions_relay_none(struct conditions *c)
{
	for (int i = 0; i < COND_COUNT; i++)
		condition_relay(c, (enum condition)i, NULL);
}

static struct dcm_str str(const char *s)
{
	return (struct dcm_str){s, (uint32_t)strlen(s)};
}

void conditions_list(const struct conditions *c, struct condition_list *list)
{
	for (int i = 0; i < COND_COUNT && list->n < COND_COUNT; i++) {
		if (!c->of[i].on)
			continue;
		list->names[list->n] = str(kinds[i].begin);
		list->warnings[list->n++] = str(c->of[i].text);
	}
}
