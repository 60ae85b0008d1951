/*
 * network.c - the networks of a container as inspect and the list tell them:
 * its endpoints, their addresses, and what it publishes.
 */
#include <stdio.h>
#include <string.h>

#include "documents.h"

static const char endpoint_defaults[] =
	"{\"IPAMConfig\":null,\"Links\":null,\"Aliases\":null,\"NetworkID\":\"\","
	"\"EndpointID\":\"\","
	"\"Gateway\":\"\",\"IPAddress\":\"\",\"IPPrefixLen\":0,\"IPv6Gateway\":\"\","
	"\"GlobalIPv6Address\":\"\",\"GlobalIPv6PrefixLen\":0,\"MacAddress\":\"\","
	"\"DriverOpts\":null}";

/* The endpoint of a running container in a network that has addresses. */
static void fill_address(const struct container *c, const struct network *n, struct json_object *o,
			 struct json_object *want)
{
	const char *asked = json_object_get_string(json_at(want, "IPAMConfig", "IPv4Address"));
	unsigned a = 10, b = n->subnet, d = c->birth / 250 % 250, e = c->birth % 250 + 2;
	char text[64];

	if (asked != NULL)
		sscanf(asked, "%u.%u.%u.%u", &a, &b, &d, &e);
	snprintf(text, sizeof(text), "%u.%u.%u.%u", a, b, d, e);
	put_str(o, "IPAddress", text);
	snprintf(text, sizeof(text), "02:42:%02x:%02x:%02x:%02x", a & 255, b & 255, d & 255,
		 e & 255);
	put_str(o, "MacAddress", text);
	snprintf(text, sizeof(text), "%u.%u.%u.1", a, b, asked != NULL ? d : 0);
	put_str(o, "Gateway", text);
	put_int(o, "IPPrefixLen", asked != NULL ? 24 : 16);
}

static struct json_object *endpoint(const struct container *c, const char *name,
				    struct json_object *want, int api_minor, bool in_list)
{
	struct json_object *o = json_tokener_parse(endpoint_defaults), *list = NULL;
	const struct network *n = fleet_network(c->engine, name, false);
	struct json_object *aliases = json_at(want, "Aliases", NULL);
	bool plain = strcmp(name, "none") == 0 || strcmp(name, "host") == 0;
	char id[65], hex[65];

	if (n == NULL)
		return o;
	if (json_at(want, "IPAMConfig", NULL) != NULL)
		json_object_object_add(o, "IPAMConfig",
				       json_object_get(json_at(want, "IPAMConfig", NULL)));
	else if (!plain && strcmp(name, "bridge") != 0 && json_object_object_length(want) > 0)
		json_object_object_add(o, "IPAMConfig", json_object_new_object());
	if (c->started != 0 || c->error != NULL)
		put_str(o, "NetworkID", n->id);
	if (is_up(c)) {
		for (int i = 0; i < 4; i++)
			snprintf(hex + 16 * i, 17, "%016llx",
				 (unsigned long long)sim_hash((uint64_t)c->started + (unsigned)i,
							      c->birth ^ n->subnet));
		put_str(o, "EndpointID", hex);
		if (!plain)
			fill_address(c, n, o, want);
	}
	if (!in_list && !plain && strcmp(name, "bridge") != 0) {
		list = json_object_new_array();
		for (size_t i = 0; aliases != NULL && i < json_object_array_length(aliases); i++)
			json_object_array_add(list, json_object_get(
							    json_object_array_get_idx(aliases, i)));
		sim_hex(c->id, 32, id);
		id[12] = '\0';
		if (api_minor < 45)
			json_object_array_add(list, json_object_new_string(id));
		json_object_object_add(o, "Aliases", list);
	}
	return o;
}

struct json_object *endpoints(const struct container *c, int api_minor, bool in_list)
{
	struct json_object *nets = fleet_networks(c), *o = json_object_new_object();

	json_object_object_foreach(nets, name, want)
		json_object_object_add(o, name, endpoint(c, name, want, api_minor, in_list));
	json_object_put(nets);
	return o;
}

/* NetworkSettings.Ports of a running container: what is published, with both
 * families where no address was given, and null for what is only exposed. */
struct json_object *ports(const struct container *c, struct json_object *asked)
{
	struct json_object *o = json_object_new_object(), *list, *one;
	struct json_object *exposed = json_at(asked, "ExposedPorts", NULL);
	struct json_object *bindings = json_at(asked, "HostConfig", "PortBindings");

	if (!is_up(c))
		return o;
	if (exposed != NULL) {
		json_object_object_foreach(exposed, port, unused)
		{
			(void)unused;
			json_object_object_add(o, port, NULL);
		}
	}
	if (bindings == NULL)
		return o;
	json_object_object_foreach(bindings, bound, hosts)
	{
		list = json_object_new_array();
		for (size_t i = 0; i < json_object_array_length(hosts); i++) {
			struct json_object *h = json_object_array_get_idx(hosts, i);
			struct json_object *ip = get_str(h, "HostIp");
			const char *both[] = {"0.0.0.0", "::"};

			for (int k = 0; k < (ip != NULL ? 1 : 2); k++) {
				one = json_object_new_object();
				put_str(one, "HostIp",
					ip != NULL ? json_object_get_string(ip) : both[k]);
				put_str(one, "HostPort",
					json_object_get_string(json_at(h, "HostPort", NULL)));
				json_object_array_add(list, one);
			}
		}
		json_object_object_add(o, bound, list);
	}
	return o;
}

struct json_object *network_settings(const struct container *c, struct json_object *asked,
				     int api_minor)
{
	struct json_object *o = json_object_new_object(), *bridge, *v;
	static const char *const copied[] = {"EndpointID",	 "Gateway",   "GlobalIPv6Address",
					     "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen",
					     "IPv6Gateway",	 "MacAddress"};
	char id[65], key[128];

	sim_hex(c->id, 32, id);
	put_str(o, "Bridge", "");
	put_str(o, "SandboxID", c->started != 0 ? id : "");
	put_bool(o, "HairpinMode", false);
	put_str(o, "LinkLocalIPv6Address", "");
	put_int(o, "LinkLocalIPv6PrefixLen", 0);
	json_object_object_add(o, "Ports", ports(c, asked));
	snprintf(key, sizeof(key), "/var/run/docker/netns/%.12s", id);
	put_str(o, "SandboxKey", c->started != 0 ? key : "");
	json_object_object_add(o, "SecondaryIPAddresses", NULL);
	json_object_object_add(o, "SecondaryIPv6Addresses", NULL);
	v = endpoints(c, api_minor, false);
	bridge = json_at(v, "bridge", NULL);
	if (api_minor < 52) {
		struct json_object *from = bridge != NULL ? json_object_get(bridge)
							  : json_tokener_parse(endpoint_defaults);

		for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
			json_object_object_add(o, copied[i],
					       json_object_get(json_at(from, copied[i], NULL)));
		json_object_put(from);
	}
	json_object_object_add(o, "Networks", v);
	return o;
}

