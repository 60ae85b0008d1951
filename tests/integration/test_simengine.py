"""The simulated engine: its documents have the shape of a real engine's, and dcmd
lives through everything that it does wrong."""
import datetime
import json
import threading
import time

import dcmtest
from dcmtest import wait_until

# Keys that depend on the machine, the storage or the moment.
FREE = {"Labels", "Attributes", "Networks", "Ports", "ExposedPorts", "PortBindings", "Config.Env",
        "GraphDriver", "Tmpfs", "networks", "DriverOpts", "SandboxKey", "Volumes", "Details",
        "Components", "stats", "ExecIDs"}
OF_INFO = {"ID", "Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped",
           "SystemTime", "KernelVersion", "OperatingSystem", "NCPU", "MemTotal", "Name",
           "ServerVersion", "OSType", "Architecture"}


def kind(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return type(value).__name__


def differences(real, sim, path=""):
    """Where two documents are of another shape: keys, and types of values."""
    out = []
    if kind(real) != kind(sim):
        return ["%s: %s, and simulated %s" % (path, kind(real), kind(sim))]
    if isinstance(real, dict):
        for key in sorted(set(real) | set(sim)):
            where = "%s.%s" % (path, key)
            if key not in real or key not in sim:
                out.append("%s: only %s" % (where, "real" if key in real else "simulated"))
            elif key not in FREE:
                out += differences(real[key], sim[key], where)
    elif isinstance(real, list) and real and sim:
        if isinstance(real[0], dict) and "Destination" in real[0]:
            real, sim = (sorted(v, key=lambda m: m["Destination"]) for v in (real, sim))
        for a, b in zip(real, sim):
            out += differences(a, b, path + "[]")
    return out


class Agreement(dcmtest.Case):
    @classmethod
    def setUpClass(cls):
        cls.real = dcmtest.stage()[1][0].api
        cls.sim = dcmtest.stage("simulated")[1][0].api
        cls.names = sorted(c["Names"][0][1:] for c in cls.real.list())

    def test_inspect(self):
        for name in self.names:
            with self.subTest(name=name):
                self.assertEqual(differences(self.real.inspect(name), self.sim.inspect(name)), [])

    def test_endpoints(self):
        """Networks have free keys: compare what is behind them."""
        for name in ("shop-web-1", "done", "never-started", "hostnet", "paused"):
            r, s = (a.inspect(name)["NetworkSettings"]["Networks"] for a in (self.real, self.sim))
            self.assertEqual(set(r), set(s))
            for network in r:
                self.assertEqual(differences(r[network], s[network], name + "." + network), [])

    def test_ports(self):
        r, s = (a.inspect("published")["NetworkSettings"]["Ports"] for a in (self.real, self.sim))
        self.assertEqual(set(r), set(s))
        for port in r:
            self.assertEqual(differences(r[port], s[port], port), [])

    def test_list(self):
        real = {c["Names"][0]: c for c in self.real.list()}
        sim = {c["Names"][0]: c for c in self.sim.list()}
        for name in self.names:
            self.assertEqual(differences(real["/" + name], sim["/" + name], name), [])

    def test_stats(self):
        for name in ("shop-db-1", "done", "hostnet", "paused"):
            r, s = (a.get("/containers/%s/stats" % name, **{"stream": "0", "one-shot": "1"})
                    for a in (self.real, self.sim))
            self.assertEqual(differences(r, s, name), [])

    def test_info_has_what_is_read_of_it(self):
        r, s = self.real.get("/info"), self.sim.get("/info")
        self.assertLessEqual(OF_INFO, set(s))
        self.assertEqual(differences({k: r[k] for k in s}, s), [])
        self.assertEqual(differences(self.real.get("/version"), self.sim.get("/version")), [])

    def test_refusals(self):
        for method, path in (("GET", "/containers/nobody/json"), ("POST", "/containers/nobody/start"),
                             ("GET", "/containers/nobody/stats"), ("GET", "/no-such-page"),
                             ("DELETE", "/containers/shop-db-1"), ("POST", "/containers/done/pause"),
                             ("POST", "/containers/done/kill"), ("POST", "/containers/paused/pause"),
                             ("POST", "/containers/done/rename?name=done"),
                             ("POST", "/containers/shop-db-1/start"),
                             ("POST", "/containers/done/stop"),
                             ("GET", "/containers/nolog/logs?stdout=1"),
                             ("GET", "/containers/done/logs")):
            replies = [a.raw(method, "/v1.41" + path) for a in (self.real, self.sim)]
            self.assertEqual(*[r[0].status for r in replies], (method, path))
            if replies[0][1] and replies[0][0].status >= 400:
                self.assertEqual(*[set(json.loads(r[1])) for r in replies], (method, path))
        replies = [a.raw("GET", "/v1.99/info") for a in (self.real, self.sim)]
        self.assertEqual(*[r[0].status for r in replies])

    def test_events(self):
        """The same story is told by the same events."""
        told = [self.story(a) for a in (self.real, self.sim)]
        # Order is not guaranteed: compare what was told, and each one's shape.
        # attach comes of the docker program; exec_ of health checks alone.
        self.assertEqual(sorted(told[0]), sorted(told[1]))
        for key in told[0]:
            self.assertEqual(differences(told[0][key], told[1][key], str(key)), [])

    def story(self, api):
        since = "%.9f" % self.clock(api)
        c = api.create("told", ["sleep", "100000"], HostConfig={"Binds": ["told_data:/d"]})
        try:
            api.start(c)
            api.act(c, "pause")
            api.act(c, "unpause")
            api.act(c, "rename", name="told-2")
            api.act(c, "kill", signal="CONT")
            api.act(c, "restart", t=0)
            api.stop(c)
        finally:
            api.remove(c)
        until = "%.9f" % (self.clock(api) + 0.2)
        reply, data = api.raw("GET", "/v1.41/events?since=%s&until=%s" % (since, until))
        self.assertEqual(reply.status, 200)
        out = {}
        for line in data.splitlines():
            event = json.loads(line)
            attributes = event["Actor"]["Attributes"]
            if event["Actor"]["ID"] == c or attributes.get("container") == c:
                out[(event["Type"], event["Action"])] = event
        for gone in (("volume", "create"), ("volume", "destroy")):
            out.pop(gone, None)
        return out

    @staticmethod
    def clock(api):
        text = api.get("/info")["SystemTime"]
        import datetime
        whole, _, rest = text.rstrip("Z").partition(".")
        t = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
        return t.timestamp() + float("0." + (rest or "0"))


class Faults(dcmtest.Case):
    """A host that goes wrong costs no other anything, and comes back by itself."""

    FAULTS = ["slow:300", "cut", "short", "malformed", "endless-body", "endless-headers",
              "lying", "types", "huge:200000", "utf8", "deep", "missing", "error:500",
              "error:503@list", "error@stats", "error@inspect", "noevents", "storm:3000", "hang",
              "hang@inspect", "hang@stats", "trickle:20@inspect", "malformed@events",
              "cut@events", "endless-body@events"]

    @classmethod
    def setUpClass(cls):
        cls.bad = dcmtest.SimEngine("bad", 20, "--churn", "5")
        cls.good = dcmtest.SimEngine("good", 20)
        cls.dcm = dcmtest.Dcm(dcmtest.hosts_yml(
            [cls.bad, cls.good], {"request_timeout": 2, "connect_timeout": 2, "status_update": 2,
                                  "stats_update": 1, "config_update": 5}))
        cls.dcm.settle([cls.good])

    @classmethod
    def tearDownClass(cls):
        assert cls.dcm.stop() == 0, cls.dcm.log()[-2000:]
        cls.dcm.check_log()

    def check_one(self, fault):
        self.bad.fault(fault)
        pids = self.dcm.pids()
        done = self.dcm.run("refresh", "bad", timeout=60)
        self.assertIn(done.returncode, (0, 4), (fault, done.stderr))
        # The good one is as ever, at once.
        self.assertEqual(self.dcm.run("refresh", "good").returncode, 0, fault)
        self.assertEqual(self.dcm.hosts()["good"]["state"], "online", fault)
        self.assertEqual(len(self.dcm.ps("good")), 20, fault)
        self.assertIn(self.dcm.hosts()["bad"]["state"],
                      ("online", "degraded", "offline", "starting"), fault)
        self.dcm.ps("bad")  # every record is whole JSON, and UTF-8
        self.bad.fault(None)
        return pids

    def test_each_fault(self):
        pids = self.dcm.pids()
        for fault in self.FAULTS:
            with self.subTest(fault=fault):
                self.check_one(fault)
        with self.subTest("and after them all"):
            def well():
                self.assertEqual(self.dcm.hosts()["bad"]["state"], "online")
                listed = {c["Id"] for c in self.bad.api.list()}
                self.assertEqual({r["container_id"] for r in self.dcm.ps("bad")}, listed)
                return True
            wait_until(well, "a whole host again", 60)
            self.assertEqual(self.dcm.pids(), pids, "nobody died of it")


class Versions(dcmtest.Case):
    """Engines from API 1.24 to newer than dcm, with the same containers."""
    SPOKEN = {  # newest and oldest of the engine: what dcm speaks with it
        ("1.24", "1.12"): "1.24",   # no one-shot stats
        ("1.40", "1.12"): "1.40",
        ("1.41", "1.24"): "1.41",
        ("1.44", "1.24"): "1.44",
        ("1.48", "1.44"): "1.48",   # refuses what is older than 1.44
        ("1.52", "1.44"): "1.52",   # no IPAddress of the container itself
        ("1.60", "1.44"): "1.52",   # newer than dcm, and still good
    }

    def test_each(self):
        sims = {}
        for newest, least in [*self.SPOKEN, ("1.99", "1.90"), ("1.22", "1.12")]:
            sims[newest] = dcmtest.SimEngine("v" + newest, 12, "--api", newest,
                                             "--api-least", least)
            self.addCleanup(sims[newest].stop)
        dcm = dcmtest.Dcm(dcmtest.hosts_yml(list(sims.values())))
        self.addCleanup(dcm.stop)

        def records():
            by_host = {}
            for r in dcm.ps():
                by_host.setdefault(r["host_id"][1:], {})[r["name"]] = r
            for newest, _ in self.SPOKEN:
                self.assertEqual(len(by_host[newest]), 12)
                for r in by_host[newest].values():
                    self.assertEqual(r["cpu_percent"] is not None, r["status"] == "running", r)
            return by_host
        by_host = wait_until(records, "what each has", 60)
        rows = dcm.hosts()
        for (newest, _), spoken in self.SPOKEN.items():
            row = rows["v" + newest]
            self.assertEqual((row["state"], row["api_version"]), ("online", spoken), newest)
            self.assertEqual(by_host[newest].keys(), by_host["1.41"].keys())
            for name, r in by_host[newest].items():
                same = by_host["1.41"][name]
                for field in ("container_id", "status", "image", "ports", "ip_address", "labels",
                              "bind_mounts", "volumes", "restart_policy", "memory_limit",
                              "networks", "environment_vars", "command"):
                    with self.subTest(api=newest, name=name, field=field):
                        self.assertEqual(r[field], same[field])
        for newest, mend in (("1.99", "update dcm"), ("1.22", "update the engine")):
            self.assertEqual(rows["v" + newest]["state"], "offline")
            self.assertIn(mend, rows["v" + newest]["error"])


class Busy(dcmtest.Case):
    def test_a_ping_that_waits_behind_other_requests_is_no_loss(self):
        sim = dcmtest.SimEngine("busy", 12)
        self.addCleanup(sim.stop)
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([sim], {
            "stats_update": 1, "status_update": 1, "connect_timeout": 4, "request_timeout": 4}))
        self.addCleanup(dcm.stop)
        dcm.settle([sim])
        before = sim.requests()["ping"]
        sim.fault("hang@ping,stats")
        # one that got no answer begins another only after it was judged
        wait_until(lambda: sim.requests()["ping"] >= before + 3, "pings", 60)

        def degraded():
            row = dcm.hosts()["busy"]
            self.assertEqual(row["state"], "degraded")
            self.assertIn("stats failed", row["error"])
            return True
        wait_until(degraded, "what fails is told")
        self.assertEqual(dcm.log_events("host_offline"), [])
        sim.fault("hang")
        wait_until(lambda: dcm.hosts()["busy"]["state"] == "offline", "silence is a loss", 60)

    def test_hosts_that_began_together_do_not_burst_together(self):
        d = dcmtest.fresh("m")
        sim = dcmtest.SimEngine("many", 4, "--hosts", "8", "--listen", "unix://%s/%%d.sock" % d)
        self.addCleanup(sim.stop)
        table = {"h%d" % n: {"url": "unix://%s/%d.sock" % (d, n)} for n in range(8)}
        dcm = dcmtest.Dcm(json.dumps({"hosts": table, "cache": {"stats_update": 2}}),
                          "--log-level", "debug")
        self.addCleanup(dcm.stop)

        def third_bursts():
            times = {}
            for e in dcm.log_events("stats"):
                if e["containers"]:
                    when = datetime.datetime.fromisoformat(e["ts"].replace("Z", "+00:00"))
                    times.setdefault(e["host"], []).append(when.timestamp())
            return [t[2] for t in times.values() if len(t) > 2] if len(times) == 8 else []
        times = wait_until(lambda: len(third_bursts()) == 8 and third_bursts(), "three bursts", 60)
        self.assertGreater(max(times) - min(times), 0.4)


class Slow(dcmtest.Case):
    def test_refresh_waits_for_stats_that_come(self):
        """one after the other, for longer than one answer may take; not for those that hang"""
        sim = dcmtest.SimEngine("slow", 24, "--stats-tick", "0")
        self.addCleanup(sim.stop)
        dcm = dcmtest.Dcm(json.dumps({"hosts": {"slow": {"url": sim.url}}, "cache": {
            "request_timeout": 2, "status_update": 1, "stats_update": 3600,
            "stats_concurrency": 1}}))
        self.addCleanup(dcm.stop)
        wait_until(lambda: dcm.hosts()["slow"]["state"] == "online", "online")
        running = [c["Id"] for c in sim.api.list() if c["State"] == "running"]
        self.assertGreater(len(running), 12)
        wait_until(lambda: all(r["cpu_percent"] is not None for r in dcm.ps() if r["status"] == "running"),
                   "the first stats")
        sim.fault("slow:320@stats")
        began = time.monotonic()
        dcm.json("refresh", "slow")
        took = time.monotonic() - began
        self.assertGreater(took, 3, "it was slow")
        for r in dcm.ps("slow"):
            if r["container_id"] in running:
                age = r["freshness"]["stats"]["age"]
                self.assertLess(age, time.monotonic() - began + 0.1, r["name"])
        sim.fault("hang@stats")
        done = dcm.run("refresh", "slow")
        self.assertEqual(done.returncode, 4, done)
        self.assertIn("in time", done.stdout)


class Scale(dcmtest.Case):
    def test_sixty_hosts_of_fifty(self):
        d = dcmtest.fresh("m")
        sim = dcmtest.SimEngine("many", 50, "--hosts", "60", "--churn", "20", "--listen",
                                "unix://%s/%%d.sock" % d)
        self.addCleanup(sim.stop)
        hosts = {"hosts": {"h%02d" % n: {"url": "unix://%s/%d.sock" % (d, n)} for n in range(60)}}
        dcm = dcmtest.Dcm(json.dumps(hosts))
        self.addCleanup(dcm.stop)
        wait_until(lambda: len(dcm.ps()) == 3000, "3,000 containers", 90)
        wait_until(lambda: all(h["state"] == "online" for h in dcm.hosts().values()), "online", 60)
        self.assertEqual(len(dcm.json("search", "stack3-web")), 60)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(len(dcm.json("status", "running"))))
                   for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(answers), 8)
        self.assertGreater(min(answers), 2000)
        self.assertEqual(dcm.stop(), 0)
        self.assertEqual(dcm.objects(), [])
