/* decode_parts.h - the parts of a container that inspect and the list tell alike. */
#ifndef DCM_DECODE_PARTS_H
#define DCM_DECODE_PARTS_H

#include "decode_json.h"

/* Id: 64 hex digits into out->id and rec.container_id; false where it is none. */
bool part_id(struct decode_to *to, struct json_object *id, struct decoded *out);
/* Labels, and what compose tells by them: compose_* and depends_on. */
void part_labels(struct decode_to *to, struct json_object *o, struct dcm_record *rec);
/* Created: text as it is, a number as RFC 3339. */
struct dcm_str part_time(struct decode_to *to, struct json_object *v);
/* A state by Docker's name, where podman has its own. */
struct dcm_str part_status(struct decode_to *to, struct json_object *v);
/* "healthy", "unhealthy", "starting"; else null. */
struct dcm_str part_health(struct dcm_str s);
/* NetworkSettings.Networks: networks and, where told (inspect), network_aliases. */
void part_networks(struct decode_to *to, struct json_object *settings, bool aliases,
		   struct dcm_record *rec);
/* ip_address, by the settings and HostConfig.NetworkMode. */
void part_address(struct decode_to *to, struct json_object *settings, struct json_object *mode,
		  struct dcm_record *rec);
/* o.Mounts: bind_mounts, volumes, volume_drivers. */
void part_mounts(struct decode_to *to, struct json_object *o, struct dcm_record *rec);

/* One text of `ports`, in the making; part_ports_sorted() orders them by port
 * and protocol, and as they came, and makes the list. */
struct port {
	unsigned number, order;
	struct dcm_str protocol, text;
};
/* container: "80/tcp".  host_ip and host_port (may be empty: not published). */
void part_port(struct decode_to *to, struct dcm_str container, struct dcm_str host_ip,
	       struct dcm_str host_port, unsigned order, struct port *out);
struct dcm_strs part_ports_sorted(struct decode_to *to, struct port *v, unsigned n);

/* The document is done: 0, or -1 where the arena was too small. */
int part_end(const struct decode_to *to, struct decoded *out, char *err);

#endif
