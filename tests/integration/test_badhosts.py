"""Life with bad hosts: each way in which a host can go wrong, all at once, in front of
one dcmd with a good host among them.  What was known is served on, each cause is named,
the log says it once, the good host feels nothing; and each is exact again when it
returns.  DCM_LONG=1: with defaults, and cut for a minute."""
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time
import unittest

import dcmtest
import sshserver
from dcmtest import wait_until
from sshserver import Sshd, USER

LONG = bool(os.environ.get("DCM_LONG"))
CACHE = {} if LONG else {"connect_timeout": 4, "request_timeout": 6, "stats_update": 2}
CONTAINERS = 12


# ---- a proxy that goes wrong ---------------------------------------------------------

class Proxy:
    """A TCP port in front of a unix socket or another port.  mode:
    pass; hold (bytes wait, and come later: a cut that TCP mends); swallow (bytes are lost,
    and what was open then is dead for good); trickle (one byte a second); cut (closes in
    the middle of an answer); refuse (nobody listens)."""
    _loop = None

    @classmethod
    def loop(cls):
        if cls._loop is None:
            cls._loop = asyncio.new_event_loop()
            threading.Thread(target=cls._loop.run_forever, daemon=True).start()
        return cls._loop

    def __init__(self, target):
        self.target, self.mode = target, "pass"
        self.port = sshserver.free_port()
        self.server, self.writers = None, set()
        self._do(self._listen())

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop()).result(10)

    async def _listen(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _hang_up(self):
        for w in list(self.writers):
            w.transport.abort()

    async def _close(self):
        self.server.close()
        await self._hang_up()

    def set(self, mode):
        before, self.mode = self.mode, mode
        if mode == "refuse":
            self._do(self._close())
        elif before == "refuse":
            self._do(self._listen())

    async def _serve(self, reader, writer):
        self.writers.add(writer)
        state = {"dead": self.mode == "swallow"}
        back = None
        try:
            if isinstance(self.target, str):
                far, back = await asyncio.open_unix_connection(self.target)
            else:
                far, back = await asyncio.open_connection(*self.target)
            await asyncio.gather(self._pump(reader, back, state, False),
                                 self._pump(far, writer, state, True))
        except (OSError, EOFError):
            pass
        finally:
            for w in (writer, back):
                if w is not None:
                    w.transport.abort()
            self.writers.discard(writer)

    async def _pump(self, reader, writer, state, answer):
        while True:
            data = await reader.read(65536)
            while self.mode == "hold":
                await asyncio.sleep(0.02)
            while data and answer and self.mode == "trickle" and not writer.is_closing():
                writer.write(data[:1])
                data = data[1:]
                await asyncio.sleep(1)
            state["dead"] = state["dead"] or self.mode == "swallow"
            if state["dead"]:
                await asyncio.sleep(3600)
            if answer and self.mode == "cut":
                writer.write(data[:max(len(data) // 2, 1)])
                await writer.drain()
                raise EOFError
            if not data:
                raise EOFError
            writer.write(data)
            await writer.drain()


class Away:
    """A network namespace at the other end of a cable."""

    def __init__(self):
        net = "198.18.%d." % (os.getpid() % 256)  # for benches of networks: no engine's own
        self.name = "dcmt%d" % os.getpid()
        self.here, self.address = net + "1", net + "2"
        self.inside = ["ip", "netns", "exec", self.name]
        try:
            self.ip("netns", "add", self.name)
            self.ip("link", "add", self.name, "type", "veth", "peer", "name", "v", "netns",
                    self.name)
            self.ip("addr", "add", self.here + "/24", "dev", self.name)
            self.ip("link", "set", self.name, "up")
            for args in (["addr", "add", self.address + "/24", "dev", "v"],
                         ["link", "set", "v", "up"], ["link", "set", "lo", "up"]):
                self.ip("-n", self.name, *args)
            self.rule("-A")
            self.rule("-D")
        except (OSError, subprocess.CalledProcessError) as e:
            self.end()
            raise unittest.SkipTest("no network namespaces here: %s" % e) from e

    @staticmethod
    def ip(*args):
        subprocess.run(["ip", *args], check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def rule(self, how):
        for chain in ("INPUT", "OUTPUT"):
            subprocess.run([*self.inside, "iptables", how, chain, "-j", "DROP"], check=True,
                           capture_output=True, stdin=subprocess.DEVNULL)

    def cut(self):
        self.rule("-A")

    def mend(self):
        self.rule("-D")

    def end(self):
        for args in (["netns", "del", self.name], ["link", "del", self.name]):
            subprocess.run(["ip", *args], check=False, capture_output=True,
                           stdin=subprocess.DEVNULL)


# ---- hosts ---------------------------------------------------------------------------

class Host:
    """name: the host's id; entry: of hosts.yml; api: of its engine; bad, mend: what happens
    to it; words: what the error must hold then; states: what it may be then."""

    def __init__(self, name, entry, api, bad, mend, *words, states=("offline",)):
        self.name, self.entry, self.api = name, entry, api
        self.bad, self.mend, self.words, self.states = bad, mend, words, states

    def truth(self):
        return sorted((c["Id"], c["Names"][0][1:], c["State"]) for c in self.api.list())


class World:
    """Engines of one simulated fleet, each behind something of its own."""

    def __init__(self, cleanup):
        self.cleanup = cleanup
        self.dir = dcmtest.fresh("b")
        self.hosts, self.used = [], 0
        self.sim = dcmtest.SimEngine("fleet", CONTAINERS, "--hosts", "24", "--listen",
                                     "unix://%s/%%d.sock" % self.dir)
        cleanup(self.sim.stop)

    def engine(self):
        """Another engine's socket."""
        self.used += 1
        assert self.used < 24
        path = "%s/%d.sock" % (self.dir, self.used)
        return path, dcmtest.Api(path)

    def add(self, *args, **more):
        self.hosts.append(Host(*args, **more))

    def sshd(self, *options, **more):
        s = Sshd(*options, **more)
        self.cleanup(s.stop)
        return s

    def over_tcp(self, name, mode, *words):
        path, api = self.engine()
        p = Proxy(path)
        self.add(name, {"url": "tcp://127.0.0.1:%d" % p.port}, api, lambda: p.set(mode),
                 lambda: p.set("pass"), *words)

    def over_ssh(self, name, s, bad, mend, *words, port=None, known=None, **more):
        path, api = self.engine()
        key = s.key("ed25519", "id_" + name)
        entry = {"url": "ssh://%s@%s:%d%s" % (USER, s.address, port or s.port, path),
                 "identity_file": key, "known_hosts": known or s.known_hosts()}
        entry.update(more)
        self.add(name, entry, api, bad, mend, *words)


def end_sessions(s, logged_in=False):
    """The connections of an sshd end (those that are logged in alone), and it listens on."""
    for pid, line in s.below().items():
        if pid != s.process.pid and (not logged_in or line.startswith("sshd: " + USER)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def signal_all(s, number):
    for pid in [s.process.pid, *s.below()]:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def swap(path, text):
    """Another content; returns the one before."""
    with open(path) as f:
        before = f.read()
    with open(path, "w") as f:
        f.write(text)
    return before


def tcp_hosts(w):
    w.over_tcp("refused", "refuse", "connection refused")
    w.over_tcp("swallowed", "swallow", "timeout")
    w.over_tcp("held", "hold", "timeout")
    w.over_tcp("trickle", "trickle", "timeout")
    w.over_tcp("cut", "cut", "closed the connection")
    # A hung engine, and one that is started anew with other containers.
    place = "tcp://127.0.0.1:%d" % sshserver.free_port()
    hung = dcmtest.SimEngine("hung", CONTAINERS, "--listen", place)
    w.cleanup(hung.stop)
    w.add("hung", {"url": place}, hung.api,
          lambda: hung.process.send_signal(signal.SIGSTOP),
          lambda: hung.process.send_signal(signal.SIGCONT), "timeout")
    other = dcmtest.SimEngine("restarted", CONTAINERS)
    w.cleanup(other.stop)

    def restart():
        other.command[other.command.index("--containers") + 1] = str(CONTAINERS - 3)
        other.start()
    w.add("restarted", {"url": other.url}, other.api, other.stop, restart, "unix://")


def clock_hosts(w):
    """An engine ten minutes behind: nothing is wrong with it."""
    late = dcmtest.SimEngine("late", CONTAINERS, "--clock", "-600")
    w.cleanup(late.stop)
    w.add("late", {"url": late.url}, late.api, lambda: None, lambda: None, states=("online",))


def ssh_hosts(w):
    s = w.sshd()
    p = Proxy(("127.0.0.1", s.port))
    known = s.known_hosts(name="known_swallowed", host="[127.0.0.1]:%d" % p.port)
    w.over_ssh("ssh-swallowed", s, lambda: p.set("swallow"), lambda: p.set("pass"), "timeout",
               port=p.port, known=known)
    program = Proxy(("127.0.0.1", s.port))
    known = s.known_hosts(name="known_program", host="[127.0.0.1]:%d" % program.port)
    w.over_ssh("program-held", s, lambda: program.set("hold"), lambda: program.set("pass"), "time",
               port=program.port, known=known, ssh_backend="openssh")
    restarted = w.sshd()
    w.over_ssh("ssh-restarted", restarted, restarted.stop, restarted.start, "connection refused")
    stopped = w.sshd()
    w.over_ssh("ssh-hung", stopped, lambda: signal_all(stopped, signal.SIGSTOP),
               lambda: signal_all(stopped, signal.SIGCONT), "timeout")
    # Keys.
    login = w.sshd()
    kept = {}

    def lock_out():
        kept["login"] = swap(login.authorized, "")
        end_sessions(login)
    w.over_ssh("ssh-login", login, lock_out, lambda: swap(login.authorized, kept["login"]),
               "login refused", "authorized_keys")
    changed = w.sshd()
    known = changed.known_hosts()

    def other_key():
        with open(login.known_hosts(name="of_another", host="[127.0.0.1]:%d" % changed.port)) as f:
            kept["known"] = swap(known, f.read())
        end_sessions(changed)
    w.over_ssh("ssh-hostkey", changed, other_key, lambda: swap(known, kept["known"]),
               "host key", "changed", known=known)
    # Limits of the server.
    full = w.sshd("MaxStartups 1:100:1", "LoginGraceTime 600")
    held = []

    def crowd():
        held.append(socket.create_connection(("127.0.0.1", full.port)))
        held[0].recv(10)
        end_sessions(full, logged_in=True)

    def leave():
        held[0].close()
    w.over_ssh("ssh-startups", full, crowd, leave, "MaxStartups")


def docker_hosts(w):
    """sshds that forward nothing: the docker program there has the say."""
    docker = shutil.which("docker")
    if docker is None:
        return
    for name, broken, words in (
            ("ssh-nodocker", "exit 127", ("no docker",)),
            ("ssh-denied", 'exec setpriv --reuid 65534 --clear-groups "%s" "$@"' % docker,
             ("permission denied", "group docker"))):
        d = dcmtest.fresh("p")
        path, api = w.engine()
        os.chmod(path, 0o600)
        mark = os.path.join(d, "bad")
        with open(os.path.join(d, "docker"), "w") as f:
            f.write('#!/bin/sh\nif [ -e %s ]; then %s; fi\nexec "%s" "$@"\n' % (mark, broken, docker))
        os.chmod(os.path.join(d, "docker"), 0o755)
        s = w.sshd("AllowStreamLocalForwarding no",
                   env={"PATH": d + ":/usr/bin:/bin", "DOCKER_HOST": "unix://" + path})

        def spoil(mark=mark, s=s):
            open(mark, "w").close()
            end_sessions(s)
        entry = {"url": "ssh://%s@127.0.0.1:%d%s" % (USER, s.port, path), "stats": False,
                 "identity_file": s.key("ed25519"), "known_hosts": s.known_hosts()}
        w.add(name, entry, api, spoil, lambda mark=mark: os.unlink(mark), *words)


def far_hosts(w):
    """Three ways over one cable that is cut."""
    try:
        away = Away()
    except unittest.SkipTest as e:
        print("# " + str(e))
        return
    w.cleanup(away.end)
    far = dcmtest.SimEngine("far", CONTAINERS, "--listen", "tcp://%s:2375" % away.address,
                            inside=away.inside)
    w.cleanup(far.stop)
    s = w.sshd(address=away.address, inside=away.inside)
    w.add("far", {"url": "tcp://%s:2375" % away.address}, far.api, away.cut, away.mend, "timeout")
    w.over_ssh("far-ssh", s, lambda: None, lambda: None, "timeout")
    w.over_ssh("far-program", s, lambda: None, lambda: None, "", ssh_backend="openssh")


# ---- the story ------------------------------------------------------------------------

class Stamped(dcmtest.Watch):
    """Lines with the time at which each came."""

    def _read(self):
        self.times = []
        for line in self.process.stdout:
            self.times.append(time.monotonic())
            self.lines.append(json.loads(line))


class BadHosts(dcmtest.Case):
    def setUp(self):
        w = World(self.addCleanup)
        tcp_hosts(w)
        clock_hosts(w)
        far_hosts(w)
        if sshserver.SSHD is not None and os.geteuid() == 0:
            ssh_hosts(w)
            docker_hosts(w)
        self.world = w
        path, api = w.engine()
        self.good = Host("good", {"url": "unix://" + path}, api, None, None, states=("online",))
        hosts = {h.name: h.entry for h in [self.good, *w.hosts]}
        # Bad from the first to the last.
        hosts["nameless"] = {"url": "tcp://no-such-host.invalid:2375"}
        self.dcm = dcmtest.Dcm(json.dumps({"hosts": hosts, "cache": CACHE}))
        self.addCleanup(self.dcm.kill)

    def shown(self, host):
        return sorted((r["container_id"], r["name"], r["status"]) for r in self.dcm.ps(host.name))

    def exact(self, hosts):
        """{host: seconds} until each is online and shows what its engine says."""
        began, took = time.monotonic(), {}

        def all_are():
            rows = self.dcm.hosts()
            for h in hosts:
                if h.name not in took and rows[h.name]["state"] == "online" and \
                        self.shown(h) == h.truth():
                    took[h.name] = time.monotonic() - began
            return len(took) == len(hosts)
        try:
            wait_until(all_are, "hosts that are exact", 60, 0.02)
        except AssertionError:
            rows = self.dcm.hosts()
            self.fail("not exact: %s" % [
                (rows[h.name], [x for x in self.shown(h) if x not in h.truth()],
                 [x for x in h.truth() if x not in self.shown(h)])
                for h in hosts if h.name not in took])
        return took

    def latency(self, watch):
        """(read, refresh, event) of the good host, ms: medians."""
        reads, refreshes, events = [], [], []
        for _ in range(7):
            t = time.monotonic()
            self.assertEqual(len(self.dcm.ps("good")), CONTAINERS)
            reads.append(time.monotonic() - t)
            t = time.monotonic()
            self.dcm.json("refresh", "good")
            refreshes.append(time.monotonic() - t)
            name = "seen-%d" % time.monotonic_ns()
            container = self.good.api.list()[0]["Id"]
            t = time.monotonic()
            self.good.api.act(container, "rename", name=name)
            wait_until(lambda: watch.find("updated", name), "the event", pause=0.001)
            at = next(i for i, x in enumerate(watch.lines) if x.get("name") == name)
            events.append(watch.times[at] - t)
        return [1e3 * statistics.median(x) for x in (reads, refreshes, events)]

    def is_bad(self, hosts):
        began, took = time.monotonic(), {}

        def all_are():
            rows = self.dcm.hosts()
            for h in hosts:
                row = rows[h.name]
                if h.name not in took and row["state"] in h.states and \
                        all(x in (row["error"] or "") for x in h.words):
                    took[h.name] = time.monotonic() - began
            return len(took) == len(hosts)
        try:
            wait_until(all_are, "bad hosts", 90, 0.05)
        except AssertionError:
            rows = self.dcm.hosts()
            self.fail("not as they should be: %s" % [rows[h.name] for h in hosts
                                                     if h.name not in took])
        return took

    def said(self, since=0):
        """{host: events of info and above} of the log's lines from `since` on."""
        out = {}
        for line in self.dcm.log_events()[since:]:
            if "host" in line and line["level"] != "debug":
                out.setdefault(line["host"], []).append(line["event"])
        return out

    def test_all_at_once(self):
        hosts = self.world.hosts
        bad = [h for h in hosts if "online" not in h.states]
        told = {"come up": self.exact([self.good, *hosts])}
        pids = self.dcm.pids()
        watch = Stamped(self.dcm, "--filter", "host=good")
        self.addCleanup(watch.end)
        before = self.latency(watch)
        known = {h.name: self.shown(h) for h in bad}
        lines = len(self.dcm.log_events())
        for h in hosts:
            h.bad()
        told["noticed"] = self.is_bad(hosts)
        meanwhile = self.latency(watch)
        # What was known is served, and older than its host's last word.
        end = time.monotonic() + (60 if LONG else 0)
        while True:
            for h in hosts:
                if h.name not in ("hung", "restarted"):
                    h.api.raw("POST", "/_sim/churn?n=40")
            if time.monotonic() > end:
                break
            time.sleep(1)
        for h in bad:
            self.assertEqual(self.shown(h), known[h.name], h.name)
            row = self.dcm.hosts()[h.name]
            self.assertGreater(row["age"], 0, h.name)
            self.assertGreaterEqual(self.dcm.ps(h.name)[0]["freshness"]["status"]["age"], 0)
            self.assertEqual(self.dcm.run("refresh", h.name).returncode
                             if h.name in ("refused", "cut") else 4, 4, h.name)
        said = self.said(lines)
        for h in bad:
            self.assertEqual(said.get(h.name), ["host_offline"], h.name)
        self.assertEqual(self.dcm.hosts()["nameless"]["state"], "offline")
        self.assertIn("no address", self.dcm.hosts()["nameless"]["error"])
        self.assertEqual(sorted(self.said()["nameless"]), ["child_started", "host_offline"])
        for h in hosts:
            h.mend()
        told["exact again"] = self.exact([self.good, *hosts])
        for h in bad:
            self.assertEqual(self.said(lines)[h.name], ["host_offline", "host_online"],
                             [x for x in self.dcm.log_events() if x.get("host") == h.name])
        self.assertEqual(self.dcm.pids(), pids, "nobody died of it")
        for what, took in told.items():
            print("# s to %s: %s" % (what, ", ".join(
                "%s %.1f" % x for x in sorted(took.items(), key=lambda x: -x[1]))))
        print("# good host, ms: read %.1f, refresh %.1f, event %.1f" % tuple(before))
        print("#     meanwhile: read %.1f, refresh %.1f, event %.1f" % tuple(meanwhile))


# ---- what is scarce, late or silent --------------------------------------------------------

def silent_agent(path):
    """It takes connections, and never answers."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    kept = []

    def accept():
        while True:
            try:
                kept.append(server.accept()[0])
            except OSError:
                return
    threading.Thread(target=accept, daemon=True).start()
    return server, kept


class Scarce(dcmtest.Case):
    """Few sessions, a file that comes late, an agent that never answers, stats that fail,
    a clock that is set: one dcmd for all."""

    def setUp(self):
        if shutil.which("docker") is None:
            raise unittest.SkipTest("needs the docker program")
        self.sim = self.engine("few", 9, "--stats-tick", "1000")
        env = {"DOCKER_HOST": self.sim.url}
        refuse = "AllowStreamLocalForwarding no"
        many, two, one = (self.sshd(refuse, *x, env=env)
                          for x in ((), ("MaxSessions 2",), ("MaxSessions 1",)))
        slow = self.sshd("Subsystem nothing /bin/false", env={"PATH": self.slow_path()})
        self.files = self.engine("files", 0)
        self.files.api.create("late", ["true"], Labels={
            "com.docker.compose.project": "p", "com.docker.compose.service": "s",
            "com.docker.compose.project.config_files": self.compose})
        port = sshserver.free_port()
        self.clock = self.engine("clock", 0, "--clock", "-600", "--listen",
                                 "tcp://127.0.0.1:%d" % port)
        self.stats = self.engine("stats", 4)
        locked = sshserver.keygen(os.path.join(many.dir, "locked"), "ed25519", "secret")
        hosts = {
            "many": self.entry(many, self.sim),
            "program": self.entry(many, self.sim, ssh_backend="openssh"),
            "two": self.entry(two, self.sim, stats=False),
            "one": self.entry(one, self.sim, stats=False),
            "files": self.entry(slow, self.files),
            "locked": self.entry(many, self.sim, identity_file=locked),
            "clock": {"url": "tcp://127.0.0.1:%d" % port},
            "stats": {"url": self.stats.url},
        }
        agent = os.path.join(many.dir, "agent")
        server, self.asked = silent_agent(agent)
        self.addCleanup(server.close)
        cache = {"connect_timeout": 4, "request_timeout": 20, "stats_update": 3600}
        self.dcm = dcmtest.Dcm(json.dumps({"hosts": hosts, "cache": cache}),
                               env={"SSH_AUTH_SOCK": agent})
        self.addCleanup(self.dcm.kill)

    def engine(self, *args):
        e = dcmtest.SimEngine(*args)
        self.addCleanup(e.stop)
        return e

    def sshd(self, *options, **more):
        s = Sshd(*options, **more)
        self.addCleanup(s.stop)
        return s

    def slow_path(self):
        """A PATH whose readlink takes longer than an inspect waits for its files."""
        d = dcmtest.fresh("slow")
        self.compose = os.path.join(d, "compose.yml")
        with open(self.compose, "w") as f:
            f.write("services: {late: {}}\n")
        program = os.path.join(d, "readlink")
        with open(program, "w") as f:
            f.write('#!/bin/sh\nsleep 2\nexec /bin/readlink "$@"\n')
        os.chmod(program, 0o755)
        return d + ":/usr/bin:/bin"

    @staticmethod
    def entry(s, engine, **more):
        more.setdefault("identity_file", s.key("ed25519", "id%d" % len(os.listdir(s.dir))))
        return s.entry(engine, known_hosts=s.known_hosts(), **more)

    def state(self, host, state, *words):
        def there():
            row = self.dcm.hosts()[host]
            self.assertEqual(row["state"], state, row)
            for word in words:
                self.assertIn(word, row["error"])
            return True
        wait_until(there, "%s %s" % (host, state))

    def test_all_at_once(self):
        pids = wait_until(lambda: len(self.dcm.pids()) == len(self.dcm.hosts()) + 2 and
                          self.dcm.pids(), "a collector of each")
        well = ("many", "two", "files", "clock", "stats")
        for host in well:
            self.state(host, "online")
        self.assertTrue(self.asked)
        # Where sessions are few, all comes in time nevertheless.
        listed = {c["Id"] for c in self.sim.api.list()}
        for host in ("many", "two"):
            self.dcm.json("refresh", host)
            self.assertEqual({r["container_id"] for r in self.dcm.ps(host)}, listed)
        for r in self.dcm.ps("many"):
            self.assertEqual(r["memory_usage"] is None, r["status"] not in ("running", "paused"))
        self.state("one", "offline", "MaxSessions")
        self.state("locked", "offline", "login refused", "agent")
        self.state("program", "offline", "timeout")  # that program waits for the agent itself
        wait_until(lambda: "late" in (self.dcm.get("files", "late")["compose_file_content"] or ""),
                   "the file that came late")
        # Stats that failed are asked for again before the next burst.
        self.stats.fault("error@stats")
        self.dcm.run("refresh", "stats")  # a refusal counts when it comes twice
        self.dcm.run("refresh", "stats")
        self.state("stats", "degraded", "stats failed")
        self.stats.fault(None)
        self.state("stats", "online")
        # By the engine's clock, also where somebody sets it.
        self.clock.api.run("young", ["sleep", "1000"])
        wait_until(lambda: self.dcm.get("clock", "young")["uptime"].endswith("s"), "seconds")
        self.clock.api.raw("POST", "/_sim/clock?seconds=0")
        wait_until(lambda: self.dcm.get("clock", "young")["uptime"].startswith("10m"), "minutes")
        self.assertEqual(self.dcm.pids(), pids, "nobody was killed for silence")
        offline = [x["host"] for x in self.dcm.log_events("host_offline")]
        self.assertEqual(sorted(offline), ["locked", "one", "program"])


if __name__ == "__main__":
    unittest.main()
