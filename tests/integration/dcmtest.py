"""What the integration tests stand on: private Docker engines, real and
simulated, a private dcmd in front of them, and dcm-client.

Engines are driven over their HTTP API, so that the same test runs against a
real engine and against the simulated one.  Nothing here outlives the tests: all
lives in one directory under /tmp, and what was started is stopped by its pid.
"""
import atexit
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
import unittest
import urllib.parse

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(ROOT, os.environ.get("DCM_BUILD", "build"))
IMAGE = "busybox:1"
PATIENCE = 30  # seconds that a condition may take to come true; never asserted on


def wait_until(condition, what="the condition", seconds=PATIENCE, pause=0.05):
    """Polls until condition() is true, and returns what it returned.  A failed
    assertion inside counts as not yet; the last one is told when time is up."""
    end = time.monotonic() + seconds
    while True:
        try:
            value = condition()
            last = "it was %r" % (value,)
            if value:
                return value
        except (AssertionError, LookupError, ClientFailed) as e:
            last = str(e)
        if time.monotonic() > end:
            raise AssertionError("%s did not come within %d s: %s" % (what, seconds, last))
        time.sleep(pause)


# ---- a place, and an end -----------------------------------------------------------

_directory = None


def directory():
    """The directory of this run; its path is short, for sockets' sake."""
    global _directory
    if _directory is None:
        _directory = tempfile.mkdtemp(prefix="dcmt.", dir="/tmp")
        os.chmod(_directory, 0o755)
        atexit.register(shutil.rmtree, _directory, True)
    return _directory


_numbers = {}


def fresh(name):
    """A new directory below directory()."""
    _numbers[name] = _numbers.get(name, 0) + 1
    path = os.path.join(directory(), "%s%d" % (name, _numbers[name]))
    os.makedirs(path)
    return path


def end_process(p, sig=signal.SIGTERM, seconds=20):
    if p.poll() is None:
        p.send_signal(sig)
        try:
            p.wait(seconds)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
    return p.returncode


# ---- other users -------------------------------------------------------------------

def public(name):
    """A program of the build, where every user may run it: the tree may lie elsewhere."""
    path = os.path.join(directory(), name)
    if not os.path.exists(path):
        shutil.copy(os.path.join(BUILD, name), path)
    return path


def become(uid, gid, groups=()):
    """For preexec_fn: that user, in these groups besides its own, and no others."""
    def really():
        os.setgroups(list(groups))
        os.setgid(gid)
        os.setuid(uid)
    return really


# ---- the Engine API ----------------------------------------------------------------

class ApiError(Exception):
    def __init__(self, status, message):
        super().__init__("%d: %s" % (status, message))
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    """The Engine API on a unix socket: one connection a request."""

    def __init__(self, path, version="/v1.41"):
        self.path = path
        self.version = version

    def raw(self, method, target, body=None, content_type="application/json", timeout=60):
        c = _UnixConnection(self.path, timeout)
        try:
            headers = {"Content-Type": content_type} if body is not None else {}
            c.request(method, target, body=body, headers=headers)
            reply = c.getresponse()
            data = reply.read()
            return reply, data
        finally:
            c.close()

    def call(self, method, path, body=None, **query):
        target = self.version + path
        if query:
            target += "?" + urllib.parse.urlencode(query)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        reply, data = self.raw(method, target, body)
        if reply.status >= 400:
            raise ApiError(reply.status, data.decode(errors="replace").strip())
        if data and "json" in reply.getheader("Content-Type", ""):
            return json.loads(data.splitlines()[-1] if path == "/images/create" else data)
        return data

    def get(self, path, **query):
        return self.call("GET", path, **query)

    def post(self, path, body=None, **query):
        return self.call("POST", path, body, **query)

    def delete(self, path, **query):
        return self.call("DELETE", path, **query)

    # What the stories say.
    def inspect(self, name):
        return self.get("/containers/%s/json" % name)

    def list(self, **filters):
        query = {"all": 1}
        if filters:
            query["filters"] = json.dumps(filters)
        return self.get("/containers/json", **query)

    def create(self, name, cmd, **more):
        body = {"Image": IMAGE, "Cmd": cmd, "StopTimeout": 0,
                "HostConfig": {"NetworkMode": "none"}}
        host = more.pop("HostConfig", {})
        body.update(more)
        body["HostConfig"] = dict(body["HostConfig"], **host)
        return self.post("/containers/create", body, name=name)["Id"]

    def run(self, name, cmd, **more):
        container = self.create(name, cmd, **more)
        self.start(container)
        return container

    def start(self, name):
        self.post("/containers/%s/start" % name)

    def stop(self, name):
        self.post("/containers/%s/stop" % name, t=0)

    def act(self, container, action, **query):
        self.post("/containers/%s/%s" % (container, action), **query)

    def remove(self, name):
        try:
            self.delete("/containers/%s" % name, force=1, v=1)
        except ApiError as e:
            if e.status != 404:
                raise

    def network(self, name, subnet=None, internal=True):
        body = {"Name": name, "Internal": internal, "CheckDuplicate": True}
        if subnet:
            body["IPAM"] = {"Config": [{"Subnet": subnet}]}
        return self.post("/networks/create", body)["Id"]

    def connect(self, network, container, **config):
        self.post("/networks/%s/connect" % network,
                  {"Container": container, "EndpointConfig": config})

    def disconnect(self, network, container):
        self.post("/networks/%s/disconnect" % network, {"Container": container, "Force": True})


# ---- engines -----------------------------------------------------------------------

_image = None


def image_tar():
    """A file system for containers: busybox, and names for its commands."""
    global _image
    if _image is None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            tar.add(shutil.which("busybox"), "bin/busybox")
            for name in ("sh sleep cat echo true false test ls tail dd yes id touch rm "
                         "head env").split():
                link = tarfile.TarInfo("bin/" + name)
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
            for name in ("tmp", "etc", "data"):
                d = tarfile.TarInfo(name)
                d.type, d.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(d)
        _image = out.getvalue()
    return _image


class Engine:
    """A private dockerd."""
    simulated = False

    def __init__(self, name):
        self.name = name
        self.dir = fresh("e")
        self.socket = os.path.join(self.dir, "docker.sock")
        self.url = "unix://" + self.socket
        self.api = Api(self.socket)
        self.process = None
        atexit.register(self.stop)
        self.start()
        try:
            self.api.call("POST", "/images/create", image_tar(), fromSrc="-", repo="busybox",
                          tag="1")
        except ApiError as e:
            raise unittest.SkipTest("dockerd takes no image here: %s" % e) from e

    def start(self):
        log = open(os.path.join(self.dir, "log"), "ab")
        self.process = subprocess.Popen(
            ["dockerd", "--data-root", self.dir + "/data", "--exec-root", self.dir + "/x",
             "-H", self.url, "--pidfile", self.dir + "/pid", "--bridge=none",
             "--iptables=false", "--ip6tables=false"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir)
        log.close()
        wait_until(self.answers, "an answer of dockerd %s" % self.name, 60)

    def answers(self):
        if self.process.poll() is not None:
            with open(os.path.join(self.dir, "log"), errors="replace") as f:
                raise unittest.SkipTest("dockerd does not start here: " + f.read()[-600:])
        try:
            return self.api.raw("GET", "/_ping", timeout=5)[0].status == 200
        except OSError:
            return False

    def stop(self):
        """Ends dockerd and its containers."""
        if self.process is not None and self.process.poll() is None:
            end_process(self.process, seconds=40)
        self._end_shims()
        self._unmount()

    def _unmount(self):
        """What an engine leaves mounted that was killed: its root, containers, networks."""
        with open("/proc/self/mounts", encoding="utf-8") as f:
            points = [line.split()[1] for line in f]
        for point in reversed(points):  # what lies above another goes first
            if point.startswith(self.dir + "/"):
                subprocess.run(["umount", "-q", "-l", point], check=False,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _end_shims(self):
        """What an engine that was killed has left: shims, and the containers below them."""
        parents, shims = {}, []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/stat" % pid) as f:
                    parents.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(
                        int(pid))
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    argv = f.read().split(b"\0")
            except OSError:
                continue  # it is gone
            if b"containerd-shim" in argv[0] and (self.dir + "/").encode() in b" ".join(argv):
                shims.append(int(pid))
        for shim in shims:
            for pid in [shim, *parents.get(shim, [])]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def docker(self, *args):
        """The docker program's answer, as lines."""
        env = dict(os.environ, DOCKER_HOST=self.url, DOCKER_CONFIG=self.dir)
        env.pop("DOCKER_CONTEXT", None)
        done = subprocess.run(["docker", *args], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120, check=True)
        return done.stdout.splitlines()


class SimEngine:
    """A simulated engine of its own process; inside: what starts it elsewhere."""
    simulated = True

    def __init__(self, name, containers=0, *options, inside=()):
        self.name = name
        self.dir = fresh("s")
        self.socket = os.path.join(self.dir, "docker.sock")
        self.url = "unix://" + self.socket
        self.api = Api(self.socket, "")  # in the newest version that it speaks
        self.command = [*inside, os.path.join(BUILD, "tests", "simengine"), "--listen", self.url,
                        "--containers", str(containers), *options]
        self.process = None
        atexit.register(self.stop)
        self.start()
        self.api.call("POST", "/images/create", b"", fromSrc="-", repo="busybox", tag="1")

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE)
        assert self.process.stdout.readline().startswith(b"simengine: ready"), self.command

    def stop(self):
        if self.process is not None:
            end_process(self.process, signal.SIGKILL)
            self.process.stdout.close()
            self.process = None

    def fault(self, spec=None):
        """Goes wrong so; None: no more."""
        if spec is None:
            self.api.raw("DELETE", "/_sim/fault")
        else:
            reply, data = self.api.raw("POST", "/_sim/fault?spec=" + urllib.parse.quote(spec))
            assert reply.status == 204, data

    def requests(self):
        return json.loads(self.api.raw("GET", "/_sim/requests")[1])


_engines = {}


def real_engines(count=2):
    """The two real engines that all modules share; SkipTest where none can run."""
    if "failed" in _engines:
        raise unittest.SkipTest(_engines["failed"])
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        raise unittest.SkipTest("needs dockerd, and to be root")
    try:
        for name in ("alpha", "beta")[:count]:
            if name not in _engines:
                _engines[name] = Engine(name)
    except unittest.SkipTest as e:
        _engines["failed"] = str(e)
        raise
    return [_engines[n] for n in ("alpha", "beta")[:count]]


# Other runs on this machine have other subnets and ports.
_subnets = [0]


def subnet():
    """The first three numbers of a subnet that nobody else has, with the dot."""
    _subnets[0] += 1
    return "10.%d.%d." % (200 + os.getpid() % 50, _subnets[0] + os.getpid() // 50 % 5 * 50)


def port():
    """A port for nobody else, and the next."""
    _subnets[0] += 1
    return 20000 + os.getpid() % 1000 * 10 + _subnets[0] * 2 % 10


# ---- dcmd and dcm-client -----------------------------------------------------------

class ClientFailed(Exception):
    def __init__(self, args, status, error):
        super().__init__("dcm-client %s: exit %d: %s" % (" ".join(args), status, error.strip()))
        self.status, self.error = status, error


def hosts_yml(engines, cache=None, **more):
    """A configuration of engines (name -> url, or Engine objects), as text.  What is
    written is JSON, which is YAML."""
    hosts = {}
    for e in engines:
        hosts[e.name] = {"url": e.url, "description": "engine %s" % e.name,
                         "tags": ["test", e.name]}
        hosts[e.name].update(more.get(e.name, {}))
    quick = {"stats_update": 2, "connect_timeout": 5, "request_timeout": 10}
    quick.update(cache or {})
    return json.dumps({"hosts": hosts, "cache": quick}, indent=1)


class Dcm:
    """A private instance: dcmd with its own directories, and its client."""

    def __init__(self, config, *options, start=True, env=None):
        self.dir = fresh("d")
        os.chmod(self.dir, 0o755)
        self.instance = "t%d-%s" % (os.getpid(), os.path.basename(self.dir))
        self.runtime = os.path.join(self.dir, "run")
        self.state = os.path.join(self.dir, "state")
        self.config = os.path.join(self.dir, "hosts.yml")
        self.log_path = os.path.join(self.dir, "log")
        self.options = list(options)
        self.env = dict(os.environ, **(env or {}))
        self.process = None
        if config is not None:
            self.configure(config)
        atexit.register(self.kill)
        if start:
            self.start()

    def configure(self, text):
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text)

    def command(self):
        config = ["--config", self.config] if os.path.exists(self.config) else []
        return [os.path.join(BUILD, "dcmd"), *config, "--instance", self.instance,
                "--runtime-dir", self.runtime, "--state-dir", self.state,
                "--log-format", "json", *self.options]

    def start(self):
        with open(self.log_path, "ab") as log:
            before = log.tell()
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=self.env)

        def begun():  # the memory may be one that was killed before it
            with open(self.log_path, "rb") as log:
                log.seek(before)
                return b'"dcmd_start"' in log.read() and self.hosts() is not None
        wait_until(lambda: self.process.poll() is not None or begun(), "dcmd's memory")
        assert self.process.poll() is None, self.log()
        return self

    def launch_as(self, uid, really=None):
        """Begins it as a user of few rights, who gets its directory and configuration;
        waits for nothing.  `really`: what makes the process that user's."""
        for name in (self.dir, self.config):
            os.chown(name, uid, uid)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [public("dcmd"), *self.command()[1:]], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd="/", preexec_fn=really or become(uid, uid))
        return self

    def kill(self):
        """Ends it, whatever the test made of it; its log must be clean."""
        if self.process is not None:
            end_process(self.process)
            self.process = None
            self.check_log()

    def stop(self, sig=signal.SIGTERM):
        """An orderly stop; returns the exit status."""
        return end_process(self.process, sig)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def log_events(self, event=None):
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [x for x in lines if event is None or x.get("event") == event]

    def check_log(self):
        """No sanitizer has complained."""
        text = self.log()
        for sign in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer"):
            assert sign not in text, text[text.index(sign) - 200:][:4000]

    # The client.
    def client(self):
        return [os.path.join(BUILD, "dcm-client"), "--instance", self.instance,
                "--runtime-dir", self.runtime]

    def run(self, *args, env=None, timeout=60):
        return subprocess.run(
            [*self.client(), *args],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
            env=dict(os.environ, **(env or {})), check=False)

    def json(self, *args):
        done = self.run("--json", *args)
        if done.returncode != 0:
            raise ClientFailed(args, done.returncode, done.stderr + self.condition(done.returncode))
        return json.loads(done.stdout)

    def condition(self, status):
        """Where the client finds no daemon: what has become of it."""
        if status != 3 or self.process is None:
            return ""
        return " (dcmd: %s; objects: %s; log: %s)" % (
            self.process.poll(), self.objects(), self.log()[-1500:])

    def hosts(self):
        """{id: row}, or None while there is no memory."""
        try:
            return {h["id"]: h for h in self.json("hosts")}
        except ClientFailed:
            return None

    def warnings(self):
        """The sentences of `stats`: of all hosts, and of dcmd itself."""
        s = self.json("stats")
        return sum(s["warnings"].values(), []) + s["daemon_warnings"]

    def doctor(self, *hosts):
        """(exit status, {subject: [finding]})"""
        done = self.run("--json", "doctor", *hosts)
        if done.returncode in (1, 2):  # at the very start there is no such host yet
            raise ClientFailed(("doctor", *hosts), done.returncode, done.stderr)
        found = {}
        for finding in json.loads(done.stdout):
            found.setdefault(finding["subject"], []).append(finding)
        return done.returncode, found

    def get(self, host, container):
        return self.json("get", host, container)

    def ps(self, *args):
        return self.json("ps", *args)

    def names(self, *args):
        return sorted(r["name"] for r in self.ps(*args))

    def settle(self, engines=()):
        """Waits until every host is online, and each of these engines' containers is
        there whole."""
        def settled():
            hosts = self.hosts()
            assert hosts, "no hosts"
            for h in hosts.values():
                assert h["state"] in ("online", "disabled"), h
            for e in engines:
                there = {r["container_id"]: r for r in self.ps(e.name)}
                listed = {c["Id"] for c in e.api.list()}
                assert set(there) == listed, (e.name, len(there), len(listed))
                for r in there.values():
                    assert r["freshness"]["config"]["age"] is not None, r["name"]
            return True
        wait_until(settled, "all hosts online, all containers whole", 60)
        return self

    def pids(self):
        """{title: pid} of dcmd's processes."""
        found = {}
        parents = {self.process.pid}
        for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdigit()):
            try:
                with open("/proc/%d/stat" % pid) as f:
                    parent = int(f.read().rpartition(")")[2].split()[1])
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    title = f.read().split(b"\0")[0].decode(errors="replace")
            except (OSError, IndexError, ValueError):
                continue
            if pid in parents or parent in parents:
                found[title] = pid
        return found

    def objects(self):
        """Its objects in /dev/shm."""
        prefix = "dcm-%d-%s-" % (os.geteuid(), self.instance)
        return sorted(n for n in os.listdir(self.shm()) if n.startswith(prefix))

    def shm(self):
        return "/dev/shm"


class Watch:
    """dcm-client watch --json in the background; lines are gathered as they come."""

    def __init__(self, dcm, *args):
        self.process = subprocess.Popen(
            [*dcm.client(), "--json", "watch", *args], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True)
        self.lines = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        time.sleep(0.3)  # "from now": it has to be there

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def find(self, event, name=None, **fields):
        for line in list(self.lines):
            if line["event"] == event and (name is None or line.get("name") == name) and \
                    all((line.get("record") or {}).get(k) == v for k, v in fields.items()):
                return line
        return None

    def end(self, sig=signal.SIGINT):
        status = end_process(self.process, sig)
        self.thread.join(10)
        self.process.stdout.close()
        return status


_stage = {}


def stage(kind="real"):
    """(dcm, engines): a varied fleet on two engines, and dcmd in front of them, shared
    by all modules that only read."""
    import fleet  # needs this module
    if kind not in _stage:
        engines = real_engines() if kind == "real" else \
            [SimEngine("sim-a", 20), SimEngine("sim-b", 0)]
        for e in engines:
            e.stack = fleet.make(e)
        _stage[kind] = (Dcm(hosts_yml(engines)).settle(engines), engines)
    return _stage[kind]


class Case(unittest.TestCase):
    """A test whose differences are shown whole."""
    maxDiff = None
    longMessage = True
