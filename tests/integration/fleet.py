"""A varied fleet: a container for each thing that a record can say."""
import os

from dcmtest import ApiError, port, subnet, wait_until

SECRET = "correct-horse-battery"      # value of a variable with a secret's name
URL_SECRET = "staple-in-the-url"      # password in a URL
COMPOSE_SECRET = "tr0ub4dor-compose"  # stands in the compose file alone

COMPOSE_FILE = """\
services:
  db:
    image: busybox:1
    environment:
      DB_PASSWORD: %s
      PLAIN: visible
  web:
    image: busybox:1
    environment:
      - API_TOKEN=%s
    depends_on: [db]
""" % (SECRET, COMPOSE_SECRET)


def compose(project, service, directory, depends_on=""):
    c = "com.docker.compose."
    return {c + "project": project, c + "service": service, c + "container-number": "1",
            c + "oneoff": "False", c + "depends_on": depends_on,
            c + "project.working_dir": directory,
            c + "project.config_files": directory + "/docker-compose.yml"}


def _sleep(api, name, **more):
    return api.run(name, ["sleep", "100000"], **more)


def _stack(api, d):
    """Two services of one project: networks, mounts, health, secrets."""
    net = subnet()
    api.network("shop_net", net + "0/24")
    labels = compose("shop", "db", d)
    labels["echo.of.the.secret"] = "it is %s!" % SECRET
    api.run("shop-db-1", ["sh", "-c", "echo started with %s; sleep 100000" % SECRET],
            Env=["DB_PASSWORD=" + SECRET, "URL=postgres://app:%s@db:5432/app" % URL_SECRET,
                 "PLAIN=visible"],
            Labels=labels, HostConfig={"NetworkMode": "shop_net", "Binds": ["shop_data:/data"]},
            NetworkingConfig={"EndpointsConfig": {"shop_net": {"Aliases": ["db", "database"]}}})
    labels = compose("shop", "web", d, "db:service_started:true,cache:service_healthy:false")
    labels.update({"equals=in=key": "a=b=c", "empty": "", "größe": "café ☕ 日本", "quote": 'say "hi"\\n'})
    _sleep(api, "shop-web-1", Labels=labels,
           Env=["A=b=c", "NOEQ", "EMPTY=", "UNICODE=naïve ✓", "PATH=/bin"],
           Healthcheck={"Test": ["CMD-SHELL", "true"], "Interval": 1000000000},
           HostConfig={"NetworkMode": "shop_net", "Memory": 67108864,
                       "RestartPolicy": {"Name": "unless-stopped"},
                       "Binds": ["shop_data:/data:ro", d + "/appdata/ro:/ro:ro", d + "/rw:/rw"],
                       "Tmpfs": {"/scratch": "size=1m"}},
           NetworkingConfig={"EndpointsConfig": {"shop_net": {
               "Aliases": ["web", "www"],
               "IPAMConfig": {"IPv4Address": net + "77"}}}})


def _odd_ones(api):
    """Configuration that is seldom."""
    _sleep(api, "privileged", User="65534:65534", Hostname="odd-host", WorkingDir="/tmp",
           HostConfig={"Privileged": True, "RestartPolicy": {"Name": "on-failure",
                                                             "MaximumRetryCount": 5}})
    api.run("entrypoint", ["100000"], Entrypoint=["sleep"])
    _sleep(api, "hostnet", HostConfig={"NetworkMode": "host"})
    _sleep(api, "nolog", HostConfig={"LogConfig": {"Type": "none", "Config": {}}})
    _sleep(api, "limited", HostConfig={"Memory": 33554432})
    api.run("talker", ["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; echo oops >&2; "
                                   "sleep 100000"])
    api.run("tty", ["sh", "-c", "echo on a terminal; sleep 100000"], Tty=True)


def _in_each_state(api):
    api.create("never-started", ["sleep", "1"])
    api.run("done", ["sh", "-c", "exit 3"])
    _sleep(api, "paused")
    api.act("paused", "pause")
    _sleep(api, "sick", Healthcheck={"Test": ["CMD-SHELL", "false"], "Interval": 1000000000,
                                     "Retries": 1})
    api.create("bad-command", ["/nonexistent"])
    try:
        api.start("bad-command")
    except ApiError:
        pass
    _sleep(api, "twice-started")
    api.stop("twice-started")
    api.start("twice-started")


def _published(api):
    """A network with a way out, so that ports are published; loopback alone."""
    first = port()
    api.network("pub_net", subnet() + "0/24", internal=False)
    _sleep(api, "published", ExposedPorts={"80/tcp": {}, "443/tcp": {}, "53/udp": {}},
           HostConfig={"NetworkMode": "pub_net",
                       "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(first)},
                                                   {"HostIp": "127.0.0.1",
                                                    "HostPort": str(first + 1)}],
                                        "53/udp": [{"HostIp": "127.0.0.1",
                                                    "HostPort": str(first)}]}})


def make(engine):
    """Fills an engine.  Returns the directory of its stack."""
    api = engine.api
    d = os.path.join(engine.dir, "shop")
    for sub in ("appdata/ro", "rw"):
        os.makedirs(os.path.join(d, sub))
    with open(os.path.join(d, "docker-compose.yml"), "w", encoding="utf-8") as f:
        f.write(COMPOSE_FILE)
    _stack(api, d)
    _published(api)
    _odd_ones(api)
    _in_each_state(api)
    wait_until(lambda: api.inspect("shop-web-1")["State"]["Health"]["Status"] == "healthy"
               and api.inspect("sick")["State"]["Health"]["Status"] == "unhealthy"
               and api.inspect("done")["State"]["Status"] == "exited", "the fleet's states")
    return d
