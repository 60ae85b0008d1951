/*
 * decode_trim.c - see decode_trim.h.
 *
 * Dropping begins behind a comma's place and ends at the bracket that closes the same
 * array or object, so what stays is JSON where it was.
 */
#include "decode_trim.h"

#include <string.h>

#include "decode_json.h"

void json_trim_init(struct json_trim *t, unsigned level)
{
	memset(t, 0, sizeof(*t));
	t->level = level;
}

/* One byte of a text: does it stay?  Escapes stay or go whole. */
static bool text_byte(struct json_trim *t, char ch)
{
	bool in_escape = t->escape > 0;

	if (in_escape) {
		/* 1 is the letter behind the backslash, 5 to 2 are hex digits */
		if (t->escape == 1)
			t->escape = ch == 'u' ? 5 : 0;
		else
			t->escape = t->escape == 2 ? 0 : t->escape - 1;
	} else if (ch == '"') {
		t->in_text = false;
		return true;
	} else if (!t->cut_text && t->text > DECODE_TEXT_MAX) {
		t->cut_text = t->cut = true; /* the decoder sees it too long, and cuts it */
	}
	if (!in_escape) {
		t->text++;
		if (ch == '\\')
			t->escape = 1;
	}
	return !t->cut_text;
}

static bool too_much(const struct json_trim *t)
{
	return t->item > (t->depth == t->level ? 2 * TRIM_ITEM : TRIM_ITEM);
}

/* An opening bracket: does it stay?  One too deep becomes "0". */
static bool opened(struct json_trim *t, char *ch)
{
	if (++t->depth == t->level && t->drop == TRIM_KEEP) {
		t->item = 0;
		t->cut = false;
	}
	if (t->drop != TRIM_KEEP)
		return false;
	if (t->depth > TRIM_DEPTH) {
		t->drop = TRIM_DROP_DEEP;
		t->drop_depth = t->depth;
		t->cut = true;
		*ch = '0';
	}
	return true;
}

/* A closing bracket: does it stay?  *mark: TRIM_MARK goes before it. */
static bool closed(struct json_trim *t, char ch, bool *mark)
{
	bool stays = t->drop == TRIM_KEEP;

	if (!t->depth)
		return true;
	if (t->depth == t->drop_depth && t->drop != TRIM_KEEP) {
		stays = t->drop == TRIM_DROP_REST;
		t->drop = TRIM_KEEP;
	}
	*mark = t->depth == t->level && t->cut && ch == '}';
	t->depth--;
	return stays;
}

static bool is_blank(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

static bool stays(struct json_trim *t, char *ch, bool *mark)
{
	bool again = t->blank && is_blank(*ch);

	t->blank = is_blank(*ch);
	if (again)
		return false;
	switch (*ch) {
	case '"':
		t->in_text = true;
		t->cut_text = false;
		t->text = 0;
		break;
	case '{':
	case '[':
		return opened(t, ch);
	case '}':
	case ']':
		return closed(t, *ch, mark);
	case ',':
		if (t->drop == TRIM_KEEP && t->depth >= t->level && too_much(t)) {
			t->drop = TRIM_DROP_REST;
			t->drop_depth = t->depth;
			t->cut = true;
		}
		break;
	default:
		break;
	}
	return t->drop == TRIM_KEEP;
}

size_t json_trim_feed(struct json_trim *t, char *to, const char *from, size_t len)
{
	static const char said[] = ",\"" TRIM_MARK "\":true";
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char ch = from[i];
		bool mark = false, keep;

		if (t->in_text)
			keep = text_byte(t, ch) && t->drop == TRIM_KEEP;
		else
			keep = stays(t, &ch, &mark);
		if (mark) {
			memcpy(to + n, said, sizeof(said) - 1);
			n += sizeof(said) - 1;
		}
		if (keep) {
			to[n++] = ch;
			t->item++;
		}
	}
	return n;
}
