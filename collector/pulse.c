/*
 * pulse.c - does the engine answer?
 *
 * One ping, on a connection that is open already where there is one.  While it has
 * no answer another goes out every 2 s, each on a connection of its own, and whatever
 * is answered first decides.  Where that is not the first one, what was open before
 * is stuck: the network was cut for a while, or something between has forgotten it.
 * So a host that comes back is seen within 2 s, however long the first ping still
 * would wait for its packets to be sent again.
 *
 * A transport that has one way for all its streams (SSH) is asked once only.
 */
#include <math.h>
#include <stdio.h>

#include "collector_impl.h"

static const double again_after = 2; /* s */

bool pulse_asking(const struct collector *c)
{
	return c->pulse.sent > 0;
}

void pulse_stop(struct collector *c)
{
	struct pulse *p = &c->pulse;

	for (unsigned i = 0; i < p->sent; i++) {
		engine_cancel(p->ping[i].request);
		p->ping[i].request = NULL;
	}
	p->sent = 0;
	if (p->timer)
		event_del(p->timer);
}

static void answered(struct collector *c, const struct engine_reply *r, bool stuck)
{
	pulse_done *done = c->pulse.done;

	pulse_stop(c);
	done(c, r, stuck);
}

static void on_ping(void *arg, const struct engine_reply *r)
{
	struct pulse_ping *ping = arg;
	struct collector *c = ping->collector;

	ping->request = NULL;
	answered(c, r, ping != c->pulse.ping && !r->failure);
}

static int send_one(struct collector *c)
{
	struct pulse *p = &c->pulse;
	struct pulse_ping *ping = &p->ping[p->sent];

	ping->collector = c;
	ping->request = engine_ping(c->session.engine, p->sent > 0, on_ping, ping);
	if (!ping->request)
		return -1;
	p->sent++;
	return 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct collector *c = arg;
	struct pulse *p = &c->pulse;
	double left = p->until - mono_now();
	struct engine_reply r = {.failure = ENGINE_TIMEOUT, .body = "", .date = NAN};

	(void)fd;
	(void)what;
	if (left < 0.01) {
		engine_silent(r.error, sizeof(r.error), c->session.where, p->until - p->began_at);
		r.step = engine_step(p->ping[0].request);
		answered(c, &r, false);
		return;
	}
	if (!c->session.ops->connections && p->sent < PULSE_PINGS)
		send_one(c); /* without memory for it the others go on */
	timer_set(p->timer, fmin(left, again_after));
}

int pulse_ask(struct collector *c, double seconds, pulse_done *done)
{
	struct pulse *p = &c->pulse;

	pulse_stop(c);
	p->done = done;
	p->began_at = mono_now();
	p->until = p->began_at + seconds;
	if (send_one(c))
		return -1;
	timer_set(p->timer, fmin(seconds, again_after));
	return 0;
}

int pulse_init(struct collector *c)
{
	c->pulse.timer = evtimer_new(c->base, on_timer, c);
	return c->pulse.timer ? 0 : -1;
}
