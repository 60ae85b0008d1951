/*
 * changes.c - the requests that change something: containers, images, networks.
 * What an engine refuses is refused in its words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routes.h"

/* ---- changing containers ------------------------------------------------------- */

void serve_create(struct conn *c)
{
	struct json_object *asked = json_tokener_parse(c->req.body), *reply;
	const char *image = json_object_get_string(json_at(asked, "Image", NULL));
	char name[256], id[65];
	struct container *x;

	if (!http_query(&c->req, "name", name, sizeof(name)))
		snprintf(name, sizeof(name), "nameless_%zu", c->engine->births);
	if (image == NULL || !fleet_has_image(c->engine, image)) {
		http_error(c, 404, "No such image: %s", image != NULL ? image : "");
	} else if (json_at(asked, "Cmd", NULL) == NULL &&
		   json_at(asked, "Entrypoint", NULL) == NULL) {
		http_error(c, 400, "No command specified");
	} else if ((x = fleet_find(c->engine, name)) != NULL && strcmp(x->name, name) == 0) {
		sim_hex(x->id, 32, id);
		http_error(c, 409, "Conflict. The container name \"/%s\" is already in use by "
			   "container \"%s\". You have to remove (or rename) that container to be "
			   "able to reuse that name.", name, id);
	} else if ((x = fleet_add(c->engine, name, json_object_get(asked))) == NULL) {
		http_error(c, 500, "no memory");
	} else {
		events_container(x, "create", NULL, NULL);
		sim_hex(x->id, 32, id);
		reply = json_object_new_object();
		json_object_object_add(reply, "Id", json_object_new_string(id));
		json_object_object_add(reply, "Warnings", json_object_new_array());
		http_json(c, 201, reply);
	}
	json_object_put(asked);
}

static bool up(const struct container *x)
{
	return x->status == RUNNING || x->status == PAUSED || x->status == RESTARTING;
}

void serve_start(struct conn *c)
{
	struct container *x = wanted(c);

	if (x == NULL)
		return;
	if (up(x))
		http_reply(c, 304, NULL, "", 0);
	else if (life_start(x) == 0)
		done(c);
	else
		http_error(c, 400, "%s", x->error);
}

void serve_stop(struct conn *c)
{
	struct container *x = wanted(c);

	if (x == NULL)
		return;
	if (!up(x)) {
		http_reply(c, 304, NULL, "", 0);
		return;
	}
	life_stop(x, 137, "15 9");
	events_container(x, "stop", NULL, NULL);
	done(c);
}

void serve_restart(struct conn *c)
{
	struct container *x = wanted(c);

	if (x == NULL)
		return;
	life_restart(x);
	done(c);
}

void serve_kill(struct conn *c)
{
	struct container *x = wanted(c);
	char id[65], signal[16];

	if (x == NULL)
		return;
	sim_hex(x->id, 32, id);
	if (!up(x)) {
		http_error(c, 409, "Cannot kill container: %s: Container %s is not running",
			   x->name, id);
		return;
	}
	http_query(&c->req, "signal", signal, sizeof(signal));
	/* As pid 1, most programs pass over all signals but the last resort. */
	if (signal[0] == '\0' || strcmp(signal, "KILL") == 0 || strcmp(signal, "SIGKILL") == 0 ||
	    strcmp(signal, "9") == 0)
		life_stop(x, 137, "9");
	else
		events_container(x, "kill", "signal", signal);
	done(c);
}

void serve_pause(struct conn *c)
{
	struct container *x = wanted(c);
	bool pause = strstr(c->req.path, "/unpause") == NULL;
	char id[65];

	if (x == NULL)
		return;
	sim_hex(x->id, 32, id);
	if (pause && x->status == PAUSED) {
		http_error(c, 409, "Container %s is already paused", id);
	} else if (!up(x)) {
		http_error(c, 409, "Container %s is not running", id);
	} else if (!pause && x->status != PAUSED) {
		http_error(c, 500, "Container %s is not paused", id);
	} else {
		life_pause(x, pause);
		done(c);
	}
}

void serve_rename(struct conn *c)
{
	struct container *x = wanted(c), *other;
	char name[256], id[65];

	if (x == NULL)
		return;
	if (!http_query(&c->req, "name", name, sizeof(name))) {
		http_error(c, 500, "Neither old nor new names may be empty");
	} else if (strcmp(name, x->name) == 0) {
		http_error(c, 400, "Renaming a container with the same name as its current name");
	} else if ((other = fleet_find(c->engine, name)) != NULL &&
		   strcmp(other->name, name) == 0) {
		sim_hex(other->id, 32, id);
		http_error(c, 409, "Conflict. The container name \"/%s\" is already in use by "
			   "container \"%s\".", name, id);
	} else {
		life_rename(x, name);
		done(c);
	}
}

void serve_remove(struct conn *c)
{
	struct container *x = wanted(c);
	char id[65];

	if (x == NULL)
		return;
	sim_hex(x->id, 32, id);
	if (up(x) && !http_flag(&c->req, "force")) {
		http_error(c, 409, "You cannot remove a running container %s. Stop the container "
			   "before attempting removal or force remove", id);
		return;
	}
	life_remove(x);
	done(c);
}

/* ---- images and networks ------------------------------------------------------- */

/* Whatever is imported or pulled is there from then on. */
void serve_import(struct conn *c)
{
	char repo[256], tag[64], reference[330];

	if (!http_query(&c->req, "repo", repo, sizeof(repo)))
		http_query(&c->req, "fromImage", repo, sizeof(repo));
	if (!http_query(&c->req, "tag", tag, sizeof(tag)))
		snprintf(reference, sizeof(reference), "%s", repo);
	else
		snprintf(reference, sizeof(reference), "%s:%s", repo, tag);
	fleet_add_image(c->engine, reference);
	http_reply(c, 200, "application/json", "{\"status\":\"imported\"}\n", 22);
}

void serve_network_create(struct conn *c)
{
	struct json_object *asked = json_tokener_parse(c->req.body), *reply;
	struct json_object *name = json_at(asked, "Name", NULL);
	struct network *n;

	if (name == NULL)
		http_error(c, 400, "a network needs a name");
	else if (fleet_network(c->engine, json_object_get_string(name), false) != NULL)
		http_error(c, 409, "network with name %s already exists",
			   json_object_get_string(name));
	else if ((n = fleet_network(c->engine, json_object_get_string(name), true)) == NULL)
		http_error(c, 500, "too many networks");
	else {
		reply = json_object_new_object();
		json_object_object_add(reply, "Id", json_object_new_string(n->id));
		json_object_object_add(reply, "Warning", json_object_new_string(""));
		http_json(c, 201, reply);
	}
	json_object_put(asked);
}

void serve_network_connect(struct conn *c)
{
	struct json_object *asked = json_tokener_parse(c->req.body);
	const char *who = json_object_get_string(json_at(asked, "Container", NULL));
	struct network *n = fleet_network(c->engine, c->req.arg, false);
	struct container *x = who != NULL ? fleet_find(c->engine, who) : NULL;

	if (n == NULL) {
		http_error(c, 404, "network %s not found", c->req.arg);
	} else if (x == NULL) {
		http_error(c, 404, "No such container: %s", who != NULL ? who : "");
	} else {
		life_connect(x, n, json_at(asked, "EndpointConfig", NULL),
			     strstr(c->req.path, "/disconnect") == NULL);
		http_reply(c, 200, NULL, "", 0);
	}
	json_object_put(asked);
}

void serve_nothing(struct conn *c)
{
	http_reply(c, 200, "application/json", "[]\n", 3);
}
