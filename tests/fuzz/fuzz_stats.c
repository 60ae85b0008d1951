/* fuzz_stats.c - two replies to stats, one after the other: no number that cannot
 * be, and nothing measured of what is not usable. */
#include <math.h>

#include "fuzz_decode.h"

static void check_percent(double v)
{
	check(isnan(v) || (v >= 0 && isfinite(v)));
}

static void check_amount(int64_t v)
{
	check(v == DCM_UNKNOWN || v >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *cut = size ? memchr(data, '|', size) : NULL;
	size_t first = cut ? (size_t)(cut - data) : size;
	struct stats_sample before, now;
	char err[DECODE_ERR] = "";
	struct dcm_record r = {.pids = 0};

	if (decode_stats((const char *)data, first, &before, err) < 0)
		check(err[0] && !before.usable);
	if (decode_stats((const char *)(cut ? cut + 1 : data), cut ? size - first - 1 : size, &now,
			 err) < 0)
		check(err[0] && !now.usable);
	stats_to_record(cut ? &before : NULL, &now, &r);
	check_percent(r.cpu_percent);
	check_percent(r.memory_percent);
	check_amount(r.memory_usage);
	check_amount(r.network_rx);
	check_amount(r.network_tx);
	check_amount(r.block_read);
	check_amount(r.block_write);
	check_amount(r.pids);
	check(now.usable || (isnan(r.cpu_percent) && r.memory_usage == DCM_UNKNOWN));
	return 0;
}
