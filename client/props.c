/* props.c - one property of a row as JSON and as bare text. */
#include "props.h"

#include <math.h>
#include <string.h>

static const void *at(const struct prop *p, const void *row)
{
	return (const char *)row + p->offset;
}

/* The value as a string where it is one; s == NULL: null, or not a string. */
static struct dcm_str as_str(const struct prop *p, const void *row)
{
	switch (p->kind) {
	case P_STR:
		return *(const struct dcm_str *)at(p, row);
	case P_CSTR:
		return str_of(*(const char *const *)at(p, row));
	case P_CHARS:
		return *(const char *)at(p, row) ? str_of(at(p, row)) : (struct dcm_str){0};
	case P_STATE:
		return str_of(dcm_host_state_name(*(const enum dcm_host_state *)at(p, row)));
	default:
		return (struct dcm_str){0};
	}
}

static bool is_str(const struct prop *p)
{
	return p->kind == P_STR || p->kind == P_CSTR || p->kind == P_CHARS || p->kind == P_STATE;
}

bool prop_is_null(const struct prop *p, const void *row)
{
	switch (p->kind) {
	case P_INT:
		return *(const int64_t *)at(p, row) == DCM_UNKNOWN;
	case P_FLOAT:
		return !isfinite(*(const double *)at(p, row));
	case P_TRIBOOL:
		return *(const int8_t *)at(p, row) < 0;
	case P_STRS:
		return !((const struct dcm_strs *)at(p, row))->known;
	case P_TEXT:
		return !((const struct dcm_text *)at(p, row))->len;
	case P_STR:
	case P_CSTR:
	case P_CHARS:
		return !as_str(p, row).s;
	default:
		return false; /* those of a record say so themselves */
	}
}

static void strs_json(struct dcm_text *t, const struct dcm_strs *list)
{
	uint32_t i;

	text_putc(t, '[');
	for (i = 0; i < list->n; i++) {
		if (i)
			text_putc(t, ',');
		dcm_json_str(t, list->v[i]);
	}
	text_putc(t, ']');
}

void prop_json(struct dcm_text *t, const struct prop *p, const void *row)
{
	const void *v = at(p, row);

	if (prop_is_null(p, row)) {
		text_puts(t, "null");
		return;
	}
	switch (p->kind) {
	case P_INT:
		text_printf(t, "%lld", (long long)*(const int64_t *)v);
		break;
	case P_FLOAT:
		text_number(t, *(const double *)v);
		break;
	case P_BOOL:
		text_puts(t, *(const bool *)v ? "true" : "false");
		break;
	case P_TRIBOOL:
		text_puts(t, *(const int8_t *)v ? "true" : "false");
		break;
	case P_STRS:
		strs_json(t, v);
		break;
	case P_TEXT:
		text_add(t, ((const struct dcm_text *)v)->s, ((const struct dcm_text *)v)->len);
		break;
	case P_MAP:
	case P_NETS:
	case P_ALIASES:
	case P_VOLS:
	case P_FRESH:
		dcm_record_json_field(row, p->name, t);
		break;
	default:
		dcm_json_str(t, as_str(p, row));
	}
}

void prop_plain(struct dcm_text *t, const struct prop *p, const void *row)
{
	if (prop_is_null(p, row))
		return;
	if (is_str(p))
		text_add(t, as_str(p, row).s, as_str(p, row).len);
	else
		prop_json(t, p, row);
}

void row_json(struct dcm_text *t, const struct rows *rows, const void *row)
{
	size_t i, n = 0;

	if (rows == &record_rows) {
		dcm_record_json(row, t);
		return;
	}
	for (i = 0; i < rows->n_props; i++) {
		if (rows->props[i].unit == U_KEY)
			continue;
		text_puts(t, n++ ? ",\"" : "{\"");
		text_puts(t, rows->props[i].name);
		text_puts(t, "\":");
		prop_json(t, &rows->props[i], row);
	}
	text_putc(t, '}');
}

const struct prop *prop_find(const struct rows *rows, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < rows->n_props; i++)
		if (!strncmp(rows->props[i].name, name, len) && !rows->props[i].name[len])
			return &rows->props[i];
	return NULL;
}
