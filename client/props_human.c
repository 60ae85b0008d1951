/* props_human.c - one property of a row for people: figures with their units,
 * a line an item where there are several. */
#include <math.h>
#include <time.h>

#include "props.h"

static void figure(struct dcm_text *t, enum prop_unit unit, double v)
{
	struct tm tm;
	char s[40];
	time_t when = (time_t)v;

	switch (unit) {
	case U_LIMIT:
		if (v == 0) {
			text_puts(t, "unlimited");
			break;
		}
		/* fall through */
	case U_BYTES:
		text_bytes(t, (int64_t)v);
		break;
	case U_SECONDS:
		text_seconds(t, v);
		break;
	case U_PERCENT:
		text_printf(t, "%.2f%%", v);
		break;
	case U_UNIX:
		if (gmtime_r(&when, &tm) && strftime(s, sizeof(s), "%Y-%m-%dT%H:%M:%SZ", &tm))
			text_puts(t, s);
		break;
	default:
		break;
	}
}

/* A new line before each item but the first. */
static void next(struct dcm_text *t, uint32_t i)
{
	if (i)
		text_putc(t, '\n');
}

static void strs(struct dcm_text *t, const struct dcm_strs *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		next(t, i);
		add_str(t, l->v[i]);
	}
}

static void map(struct dcm_text *t, const struct dcm_map *m)
{
	for (uint32_t i = 0; i < m->n; i++) {
		next(t, i);
		add_str(t, m->v[i].key);
		if (m->v[i].value.s) {
			text_putc(t, '=');
			add_str(t, m->v[i].value);
		}
	}
}

static void networks(struct dcm_text *t, const struct dcm_networks *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		const struct dcm_network *n = &l->v[i];

		next(t, i);
		add_str(t, n->name);
		if (n->ip.len) {
			text_putc(t, ' ');
			add_str(t, n->ip);
		}
		if (n->ipv6.len) {
			text_putc(t, ' ');
			add_str(t, n->ipv6);
		}
		if (n->gateway.len) {
			text_puts(t, " via ");
			add_str(t, n->gateway);
		}
	}
}

static void aliases(struct dcm_text *t, const struct dcm_aliases *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		next(t, i);
		add_str(t, l->v[i].network);
		text_puts(t, ": ");
		add_list(t, &l->v[i].aliases);
	}
}

static void volumes(struct dcm_text *t, const struct dcm_volumes *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		const struct dcm_volume *v = &l->v[i];

		next(t, i);
		add_str(t, v->name);
		text_putc(t, ':');
		add_str(t, v->destination);
		text_putc(t, ':');
		add_str(t, v->mode);
	}
}

static void freshness(struct dcm_text *t, const struct dcm_freshness *f)
{
	static const char *const tiers[] = {"stats", "status", "config", "compose"};

	for (unsigned i = 0; i < sizeof(tiers) / sizeof(*tiers); i++) {
		text_puts(t, i ? ", " : "");
		text_puts(t, tiers[i]);
		text_putc(t, ' ');
		text_seconds(t, f[i].age);
		text_puts(t, f[i].stale ? " (stale)" : "");
	}
}

void prop_human(struct dcm_text *t, const struct prop *p, const void *row)
{
	const void *v = (const char *)row + p->offset;
	size_t before = t->len;

	if (prop_is_null(p, row)) {
		text_putc(t, '-');
		return;
	}
	switch (p->kind) {
	case P_STRS:
		strs(t, v);
		break;
	case P_MAP:
		map(t, v);
		break;
	case P_NETS:
		networks(t, v);
		break;
	case P_ALIASES:
		aliases(t, v);
		break;
	case P_VOLS:
		volumes(t, v);
		break;
	case P_FRESH:
		freshness(t, v);
		break;
	case P_INT:
	case P_FLOAT:
		if (p->unit != U_NONE) {
			figure(t, p->unit, p->kind == P_INT ? (double)*(const int64_t *)v :
							      *(const double *)v);
			break;
		}
		prop_plain(t, p, row);
		break;
	default:
		prop_plain(t, p, row);
	}
	if (t->len == before) /* an empty list or text */
		text_putc(t, '-');
}
