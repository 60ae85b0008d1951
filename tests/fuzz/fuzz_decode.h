/* fuzz_decode.h - what must hold of every record that the decoders make. */
#ifndef DCM_FUZZ_DECODE_H
#define DCM_FUZZ_DECODE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../collector/decode.h"
#include "../../collector/decode_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void check(bool truth)
{
	if (!truth)
		abort();
}

/* Clean UTF-8, ended by NUL, of bounded length; or null. */
static inline void check_str(struct dcm_str s)
{
	if (!s.s) {
		check(s.len == 0);
		return;
	}
	check(s.len <= 1 << 20);
	check(strlen(s.s) == s.len);
	check(text_valid(s.s, s.len) == s.len);
}

static inline void check_strs(struct dcm_strs l)
{
	check(l.known || !l.n);
	for (uint32_t i = 0; i < l.n; i++) {
		check(l.v[i].s);
		check_str(l.v[i]);
	}
}

static inline void check_map(struct dcm_map m)
{
	check(m.known || !m.n);
	for (uint32_t i = 0; i < m.n; i++) {
		check(m.v[i].key.s);
		check_str(m.v[i].key);
		check_str(m.v[i].value);
	}
}

static inline void check_networks(struct dcm_networks l)
{
	check(l.known || !l.n);
	for (uint32_t i = 0; i < l.n; i++) {
		check(l.v[i].name.s);
		check_str(l.v[i].name);
		check_str(l.v[i].ip);
		check_str(l.v[i].gateway);
		check_str(l.v[i].mac);
		check_str(l.v[i].ipv6);
	}
}

/* By name, as they are decoded; a name that is redacted stays where it was. */
static inline void check_order(struct dcm_networks l)
{
	for (uint32_t i = 1; i < l.n; i++)
		check(strcmp(l.v[i - 1].name.s, l.v[i].name.s) <= 0);
}

static inline void check_aliases(struct dcm_aliases l)
{
	check(l.known || !l.n);
	for (uint32_t i = 0; i < l.n; i++) {
		check_str(l.v[i].network);
		check_strs(l.v[i].aliases);
	}
}

static inline void check_volumes(struct dcm_volumes l)
{
	check(l.known || !l.n);
	for (uint32_t i = 0; i < l.n; i++) {
		check_str(l.v[i].name);
		check_str(l.v[i].source);
		check_str(l.v[i].destination);
		check_str(l.v[i].driver);
		check_str(l.v[i].mode);
	}
}

static inline void check_record(const struct dcm_record *r)
{
#define CHECK_STR(f) check_str(r->f);
#define CHECK_STRS(f) check_strs(r->f);
#define CHECK_MAP(f) check_map(r->f);
#define CHECK_NETS(f) check_networks(r->f);
#define CHECK_ALIASES(f) check_aliases(r->f);
#define CHECK_VOLS(f) check_volumes(r->f);
#define CHECK_INT(f)
#define CHECK_FLOAT(f)
#define CHECK_BOOL(f) check(r->f >= -1 && r->f <= 1);
#define CHECK(f, tier, type) CHECK_##type(f)
	DCM_FIELDS(CHECK)
#undef CHECK
	check(strlen(r->id) == 64 && r->container_id.s && strcmp(r->id, r->container_id.s) == 0);
}

#endif
