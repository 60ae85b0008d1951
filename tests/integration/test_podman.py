"""podman as a host: its service (the Docker API) over a unix socket, TCP and SSH.
Every field of a record is what podman's own inspect says, and every kind of change
is seen without a list."""
import json
import os
import resource
import shutil
import subprocess
import unittest

import dcmtest
import expected
import sshserver
from dcmtest import wait_until

COMPOSE_FILE = "services: {web: {image: busybox}}\n"
# What nothing tells but the clock: lists and inspects are for the tests to ask for.
QUIET = {"stats_update": 1, "status_update": 3600, "config_update": 3600,
         "connect_timeout": 5, "request_timeout": 10}


class Podman(dcmtest.Engine):
    """A podman of its own: storage, network files and events in one directory, and two
    processes of `podman system service` before them, on a socket and on a port."""

    def __init__(self):
        self.port = sshserver.free_port()
        self.tcp = None
        self.dir = dcmtest.fresh("p")
        self.config = os.path.join(self.dir, "containers.conf")
        os.mkdir(os.path.join(self.dir, "net"))
        with open(self.config, "w") as f:
            f.write('[containers]\nnetns="none"\n'
                    '[engine]\ncgroup_manager="cgroupfs"\nevents_logger="file"\n'
                    '[network]\nnetwork_config_dir="%s/net"\n' % self.dir)
        # Health checks are systemd's timers elsewhere; here the tests run them.
        self.env = dict(os.environ, CONTAINERS_CONF=self.config, DISABLE_HC_SYSTEMD="true")
        super().__init__("podman")
        self.tcp_url = "tcp://127.0.0.1:%d" % self.port
        tar = os.path.join(self.dir, "image.tar")
        with open(tar, "wb") as f:
            f.write(dcmtest.image_tar())
        self.run("import", tar, dcmtest.IMAGE)  # by the API it would have no name

    def command(self, *args):
        d = self.dir
        return ["podman", "--root", d + "/root", "--runroot", d + "/run", "--tmpdir", d + "/tmp",
                "--storage-driver", "vfs", *args]

    def service(self, url):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            return subprocess.Popen(self.command("system", "service", "--time", "0", url),
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env=self.env, cwd=self.dir)

    def start(self):
        self.socket = os.path.join(self.dir, "podman.sock")
        self.url = "unix://" + self.socket
        self.api = PodmanApi(self.socket)
        self.process = self.service(self.url)
        wait_until(self.answers, "an answer of podman", 60)
        if self.tcp is None:
            self.tcp = self.service("tcp://127.0.0.1:%d" % self.port)

    def stop(self):
        for p in (self.process, self.tcp):
            if p is not None:
                dcmtest.end_process(p)

    def run(self, *args):
        return subprocess.run(self.command(*args), env=self.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False, cwd=self.dir)

    def end(self):
        """Its containers go with it, and what is mounted below its directory."""
        self.run("rm", "--all", "--force", "--time", "0")
        self.stop()
        subprocess.run(["umount", "-q", self.dir + "/root/vfs"], check=False,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class PodmanApi(dcmtest.Api):
    def create(self, name, cmd, **more):
        """podman raises the limits of files and processes to the most that a system
        allows, which not every machine lets it."""
        limits = []
        for limit, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
            most = min(n if n > 0 else 1024 for n in resource.getrlimit(kind))
            limits.append({"Name": limit, "Soft": min(most, 1024), "Hard": min(most, 1024)})
        host = dict(more.pop("HostConfig", {}), Ulimits=limits)
        return super().create(name, cmd, HostConfig=host, **more)


def compose(service, more=""):
    label = "com.docker.compose."
    return {label + "project": "shop", label + "service": service, label + "depends_on": more}


def fill(e):
    """Containers of each state, with what podman tells in words of its own."""
    file = os.path.join(e.dir, "compose.yml")
    with open(file, "w") as f:
        f.write("services: {web: {image: busybox}}\n")
    labels = dict(compose("web", "db:service_started:false"),
                  **{"com.docker.compose.project.config_files": file})
    e.api.run("web", ["sh", "-c", "echo out; echo err >&2; exec sleep 100000"],
              Env=["A=b", "EMPTY=", "DB_PASSWORD=hidden-secret"], Labels=labels,
              WorkingDir="/tmp", User="0", Hostname="webhost",
              Healthcheck={"Test": ["CMD", "true"], "Interval": 3600 * 10**9},
              HostConfig={"Memory": 67108864, "Binds": [e.dir + ":/srv:ro", "vol:/vol"],
                          "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}})
    e.api.run("db", ["sleep", "100000"], Labels=compose("db"),
              HostConfig={"RestartPolicy": {"Name": "always"}, "NetworkMode": "host"})
    e.api.run("busy", ["sh", "-c", "while true; do :; done"], Entrypoint=["/bin/busybox"],
              HostConfig={"Privileged": False})
    e.api.run("paused", ["sleep", "100000"])
    e.api.act("paused", "pause")
    e.api.create("idle", ["true"])
    e.api.run("done", ["sh", "-c", "exit 3"])
    wait_until(lambda: e.api.inspect("done")["State"]["Status"] == "exited", "the end of done")
    e.api.create("broken", ["/no/such/program"])
    try:
        e.api.start("broken")
    except dcmtest.ApiError:
        pass
    try:
        e.api.network("shopnet")
        e.api.create("netted", ["true"], HostConfig={"NetworkMode": "shopnet"})
    except dcmtest.ApiError:
        pass  # a podman without the programs for networks


_shared = {}


def setUpModule():
    if shutil.which("podman") is None or os.geteuid() != 0:
        raise unittest.SkipTest("needs podman, and to be root")
    e = Podman()
    unittest.addModuleCleanup(e.end)
    try:
        fill(e)
    except dcmtest.ApiError as why:
        raise unittest.SkipTest("podman runs no containers here: %s" % why) from why
    hosts = {"unix": {"url": e.url}, "tcp": {"url": e.tcp_url}}
    try:
        s = sshserver.Sshd()
        unittest.addModuleCleanup(s.stop)
        hosts["ssh"] = s.entry(e, identity_file=s.key("ed25519"), known_hosts=s.known_hosts())
    except unittest.SkipTest:
        pass
    dcm = dcmtest.Dcm(json.dumps({"hosts": hosts, "cache": QUIET}))
    unittest.addModuleCleanup(dcm.kill)
    _shared.update(engine=e, dcm=dcm, hosts=sorted(hosts))
    wait_until(whole, "all of podman's containers on each host")


def whole():
    listed = {c["Id"] for c in _shared["engine"].api.list()}
    for host, row in _shared["dcm"].hosts().items():
        assert row["state"] == "online", row
        there = {r["container_id"]: r for r in _shared["dcm"].ps(host)}
        assert set(there) == listed, (host, len(there), len(listed))
        assert all(r["freshness"]["config"]["age"] is not None for r in there.values())
    return True


class Case(dcmtest.Case):
    def setUp(self):
        self.engine, self.dcm = _shared["engine"], _shared["dcm"]
        self.api, self.hosts = self.engine.api, _shared["hosts"]

    def everywhere(self, name, **fields):
        """The record says so on each host."""
        self.everywhere_in(self.hosts, name, **fields)

    def everywhere_in(self, hosts, name, **fields):
        def so():
            for host in hosts:
                r = self.dcm.get(host, name)
                self.assertEqual({f: r[f] for f in fields}, fields, host)
            return True
        wait_until(so, "%s with %s" % (name, fields))

    def gone(self, name):
        wait_until(lambda: not any(name in self.dcm.names(host) for host in self.hosts),
                   "the end of " + name)


class Podmans(Case):
    def test_hosts(self):
        rows = self.dcm.hosts()
        version = self.api.get("/version")
        for host in self.hosts:
            row = rows[host]
            self.assertEqual(row["engine_version"], version["Version"])
            self.assertEqual(row["api_version"], version["ApiVersion"])
            self.assertEqual(row["cpus"], os.cpu_count())
            self.assertGreater(row["memory_total"], 0)
            self.assertEqual(row["containers"], len(self.api.list()))
        ways = {"unix": "unix", "tcp": "tcp", "ssh": "ssh/libssh2"}
        self.assertEqual({h: rows[h]["transport"] for h in self.hosts},
                         {h: ways[h] for h in self.hosts})

    def test_every_field(self):
        count = 0
        for c in self.api.list():
            for host in self.hosts:
                with self.subTest(host=host, name=c["Names"]):
                    def same(host=host, c=c):
                        record = self.dcm.get(host, c["Id"])
                        self.assertEqual(set(record), expected.ALL)
                        doc = self.api.inspect(c["Id"])
                        self.assertEqual(expected.differences(record, doc), [])
                        return True
                    wait_until(same, "what podman says of %s" % c["Names"], 10)
                    count += 1
        self.assertGreaterEqual(count, 7 * len(self.hosts))

    def test_what_podman_does_not_say_is_null(self):
        for host in self.hosts:
            db = self.dcm.get(host, "db")
            self.assertIsNone(db["health_status"])  # podman: Health with an empty Status
            self.assertIsNone(db["ip_address"])
            self.assertIsNone(self.dcm.get(host, "idle")["started"])
            broken = self.dcm.get(host, "broken")
            self.assertEqual(broken["status"], self.api.inspect("broken")["State"]["Status"])

    def test_the_stack(self):
        for host in self.hosts:
            web = self.dcm.get(host, "web")
            self.assertEqual(web["compose_stack_containers"], ["db"])
            self.assertEqual(web["depends_on"], ["db"])
            self.assertEqual(web["environment_vars"]["DB_PASSWORD"], expected.STARS)
        self.assertEqual(len(self.dcm.json("stack", "shop")), 2 * len(self.hosts))
        for host in self.hosts:  # over tcp there is no way to a file
            text = None if host == "tcp" else COMPOSE_FILE
            self.dcm.json("refresh", host)
            self.everywhere_in([host], "web", compose_file_content=text)

    def test_stats(self):
        def measured():
            for host in self.hosts:
                for r in self.dcm.ps(host):
                    values = {f: r[f] for f in expected.MEASURED}
                    if r["status"] == "running":
                        self.assertNotIn(None, values.values(), r["name"])
                        self.assertGreaterEqual(min(values.values()), 0, r["name"])
                    elif r["status"] != "paused":
                        self.assertEqual(set(values.values()), {None}, r["name"])
                web, busy = (self.dcm.get(host, n) for n in ("web", "busy"))
                self.assertAlmostEqual(web["memory_percent"],
                                       100 * web["memory_usage"] / 67108864, delta=0.01)
                # One thread is one core, whatever else the machine does.
                self.assertGreater(busy["cpu_percent"], 1)
                self.assertLess(busy["cpu_percent"], 130)
                self.assertGreater(busy["cpu_percent"], web["cpu_percent"])
            return True
        wait_until(measured, "measures of all that run")

    def test_logs(self):
        for host in self.hosts:
            self.assertEqual(sorted(self.dcm.json("logs", host, "web")["log_tail"]),
                             ["err", "out"])
            self.assertEqual(self.dcm.json("logs", host, "idle")["log_tail"], [])

    def test_events(self):
        """create start pause unpause rename die stop health remove, and no list meanwhile"""
        before = self.dcm.json("stats")["refreshes"]
        made = self.api.create("told", ["sh", "-c", "sleep 100000; exit 4"],
                               Healthcheck={"Test": ["CMD", "sleep", "1"],
                                            "Interval": 3600 * 10**9})
        self.addCleanup(self.api.remove, made)
        self.everywhere("told", status="created", health_status=None)
        self.api.start(made)
        self.everywhere("told", status="running", health_status="starting")
        done = self.engine.run("healthcheck", "run", made)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.everywhere("told", health_status="healthy")
        self.api.act(made, "pause")
        self.everywhere("told", status="paused")
        self.api.act(made, "unpause")
        self.everywhere("told", status="running")
        self.api.act(made, "rename", name="told-2")
        self.everywhere("told-2", status="running", container_id=made)
        self.gone("told")
        self.api.act(made, "kill", signal="KILL")
        self.everywhere("told-2", status="exited", exit_code=137)
        self.api.start(made)
        self.everywhere("told-2", status="running")
        self.api.act(made, "restart", t=0)
        pid = self.api.inspect(made)["State"]["Pid"]
        self.everywhere("told-2", status="running", pid=pid)
        self.api.stop(made)
        self.everywhere("told-2", status="exited", pid=0)
        self.api.remove(made)
        self.gone("told-2")
        self.assertEqual(self.dcm.json("stats")["refreshes"], before)

    def test_refresh(self):
        for host in self.hosts:
            self.dcm.json("refresh", host)
        wait_until(whole, "the same as before")

    def test_watch(self):
        w = dcmtest.Watch(self.dcm, "--filter", "host=unix")
        self.addCleanup(w.end)
        made = self.api.create("seen", ["true"])
        wait_until(lambda: w.find("appeared", "seen"), "its appearance")
        self.api.remove(made)
        wait_until(lambda: w.find("removed", "seen"), "its removal")


class ServiceEnds(Case):
    def test_service_restarted(self):
        """containers live on without podman's service, and change meanwhile"""
        dcmtest.end_process(self.engine.process)
        wait_until(lambda: self.dcm.hosts()["unix"]["state"] == "offline", "its absence")
        self.assertEqual(self.dcm.run("refresh", "unix").returncode, 4)
        self.assertTrue(self.dcm.ps("unix"))
        done = self.engine.run("rm", "--force", "--time", "0", "done")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.engine.start()
        wait_until(whole, "all of podman's containers on each host")
        self.gone("done")


if __name__ == "__main__":
    unittest.main()
