"""What a record must say, worked out anew from what the engine itself says:
every field of the contract but those that are measured or depend on time.

Independent of dcm: it takes the reply to inspect and the contract's words."""

import re

UNKNOWN = object()  # null, or empty where there is nothing to say


def _or_null(text):
    return text if text else None


def _moment(text):
    return None if text.startswith("0001-") else text


def _words(words):
    if words is None:
        return UNKNOWN
    return " ".join(words)


def _ports(ports):
    out = []
    for port, bindings in (ports or {}).items():
        if not bindings:
            out.append(port)
        for b in bindings or []:
            out.append("%s->%s:%s" % (port, b["HostIp"], b["HostPort"]))
    return sorted(out)


def _ip_address(doc):
    settings = doc["NetworkSettings"]
    if settings.get("IPAddress"):
        return settings["IPAddress"]
    networks = settings["Networks"]
    mode = doc["HostConfig"]["NetworkMode"]
    first = networks.get("bridge" if mode == "default" else mode)
    for name, n in networks.items():
        if n["NetworkID"] and n["NetworkID"] == mode:
            first = networks[name]
    if first and first["IPAddress"]:
        return first["IPAddress"]
    for name in sorted(networks):
        if networks[name]["IPAddress"]:
            return networks[name]["IPAddress"]
    return None


def _environment(entries):
    out = {}
    for e in entries or []:
        name, equal, value = e.partition("=")
        out[name] = value if equal else None
    return out


def _depends_on(label):
    return [part.split(":")[0] for part in label.split(",") if part]


def _mounts(doc):
    binds, volumes, drivers = [], [], {}
    for m in doc["Mounts"]:
        mode = "rw" if m["RW"] else "ro"
        if m["Type"] == "bind":
            binds.append("%s:%s:%s" % (m["Source"], m["Destination"], mode))
        elif m["Type"] == "volume":
            volumes.append({"name": m["Name"], "source": m["Source"],
                            "destination": m["Destination"], "driver": m["Driver"],
                            "mode": mode})
            drivers[m["Name"]] = m["Driver"]
    return {"bind_mounts": sorted(binds),
            "volumes": sorted(volumes, key=lambda v: v["destination"]),
            "volume_drivers": drivers}


def _state(doc):
    state = doc["State"]
    return {
        "status": state["Status"],
        "started": _moment(state["StartedAt"]),
        "finished": _moment(state["FinishedAt"]),
        "health_status": (None if state.get("Health", {}).get("Status") in (None, "", "none")
                          else state["Health"]["Status"]),
        "exit_code": state["ExitCode"],
        "oom_killed": state["OOMKilled"],
        "error": state["Error"] or UNKNOWN,
        "pid": state["Pid"],
        "restart_count": doc["RestartCount"],
    }


def _networks(doc):
    networks = doc["NetworkSettings"]["Networks"]
    return {
        "networks": sorted(({"name": name, "ip": _or_null(n["IPAddress"]),
                             "gateway": _or_null(n["Gateway"]), "mac": _or_null(n["MacAddress"]),
                             "ipv6": _or_null(n["GlobalIPv6Address"])}
                            for name, n in networks.items()), key=lambda n: n["name"]),
        "network_aliases": {name: n["Aliases"] or [] for name, n in networks.items()},
        "ports": _ports(doc["NetworkSettings"]["Ports"]),
        "ip_address": _ip_address(doc),
    }


def fields(doc):
    """{field: value}; UNKNOWN: null or empty."""
    config, host = doc["Config"], doc["HostConfig"]
    labels = config["Labels"] or {}
    compose = "com.docker.compose."
    out = {
        "container_id": doc["Id"],
        "name": doc["Name"].lstrip("/"),
        "image": config["Image"] or doc["Image"],
        "image_id": doc["Image"],
        "created": doc["Created"],
        "memory_limit": host["Memory"],
        "compose_project": labels.get(compose + "project"),
        "compose_service": labels.get(compose + "service"),
        "compose_config_files": labels.get(compose + "project.config_files"),
        "compose_working_dir": labels.get(compose + "project.working_dir"),
        "working_dir": config["WorkingDir"] or UNKNOWN,
        "environment_vars": _environment(config["Env"]),
        "labels": labels,
        "command": _words(config["Cmd"]),
        "entrypoint": _words(config["Entrypoint"]),
        "restart_policy": host["RestartPolicy"]["Name"] or "no",
        "depends_on": _depends_on(labels.get(compose + "depends_on", "")),
        "links": host["Links"] or [],
        "log_driver": host["LogConfig"]["Type"],
        "hostname": config["Hostname"] or UNKNOWN,
        "user": config["User"] or UNKNOWN,
        "privileged": host["Privileged"],
    }
    out.update(_state(doc))
    out.update(_networks(doc))
    out.update(_mounts(doc))
    return out


WORDS = "PASSWORD PASSWD PASSPHRASE SECRET TOKEN KEY CREDENTIAL AUTH DSN".split()
STARS = "********"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s:@/]*:)([^\s@/]+)(@)")


def redacted(out):
    """The same fields by the default rule of the contract, section 6."""
    secrets = []
    for name, value in out["environment_vars"].items():
        if value is None:
            continue
        if any(w in name.upper() for w in WORDS):
            secrets.append(value)
            out["environment_vars"][name] = STARS
        else:
            secrets += [m.group(2) for m in _URL.finditer(value)]
            out["environment_vars"][name] = _URL.sub(r"\1%s\3" % STARS, value)

    def clean(v):
        if isinstance(v, str):
            for secret in secrets:
                if len(secret.encode()) >= 6:
                    v = v.replace(secret, STARS)
        elif isinstance(v, list):
            v = [clean(x) for x in v]
        elif isinstance(v, dict):
            v = {k: clean(x) for k, x in v.items()}
        return v
    return {k: clean(v) for k, v in out.items()}


# Every field of a record, in the contract's words.
ALL = set("""
host_id container_id name status image created started uptime
cpu_percent memory_usage memory_percent memory_limit
networks ports ip_address network_aliases
compose_project compose_service compose_stack_containers compose_config_files
compose_file_content compose_working_dir
bind_mounts volumes volume_drivers working_dir
environment_vars labels command entrypoint
health_status restart_count exit_code restart_policy depends_on links
log_tail log_driver cached_at last_updated
image_id finished oom_killed error pid hostname user privileged pids
network_rx network_tx block_read block_write freshness
""".split())
MEASURED = ("cpu_percent memory_usage memory_percent pids network_rx network_tx "
            "block_read block_write").split()


def differences(record, doc):
    """What the record says wrongly about the container, as text; empty: nothing."""
    wrong = []
    for field, value in redacted(fields(doc)).items():
        said = record.get(field, "(absent)")
        if field in ("bind_mounts", "ports") and isinstance(said, list):
            said = sorted(said)
        if field == "volumes" and isinstance(said, list):
            said = sorted(said, key=lambda v: v["destination"])
        if field == "networks" and isinstance(said, list):
            said = sorted(said, key=lambda n: n["name"])
        if value is UNKNOWN:
            if said not in (None, "", []):
                wrong.append("%s: %r, and the engine says nothing" % (field, said))
        elif said != value:
            wrong.append("%s: %r, and the engine says %r" % (field, said, value))
    return wrong
