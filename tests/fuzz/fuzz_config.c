/* fuzz_config.c - hosts.yml: a configuration with sound hosts, or errors of one
 * line each that name their place. */
#include <stdlib.h>

#include "../../collector/config.h"
#include "../../shm/names.h"
#include "fuzz_decode.h"

static void check_line(const char *s)
{
	check(!strncmp(s, "hosts.yml:", 10) && s[10] >= '1' && s[10] <= '9');
	for (; *s; s++)
		check((unsigned char)*s >= ' ' && *s != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_errors e = {0};
	struct config c = {0};
	char at[512];

	if (config_parse(&c, "hosts.yml", (const char *)data, size, &e) < 0) {
		check(e.n > 0);
	} else {
		check(e.n == 0);
		for (size_t i = 0; i < c.n_hosts; i++) {
			check(names_id_valid(c.hosts[i].id, 63));
			check(config_host(&c, c.hosts[i].id) == &c.hosts[i]);
			config_endpoint_text(&c.hosts[i].at, at, sizeof(at));
		}
		for (size_t i = 0; i < c.n_warnings; i++)
			check_line(c.warnings[i]);
		config_free(&c);
	}
	for (size_t i = 0; i < e.n; i++)
		check_line(e.v[i]);
	config_errors_free(&e);
	return 0;
}
