"""What happens at an engine is seen by a reader: each kind of change, on a real
engine and on the simulated one."""
import dcmtest
import expected
from dcmtest import wait_until


class Live:
    kind = ""

    @classmethod
    def setUpClass(cls):
        if cls.kind == "real":
            cls.engine = dcmtest.real_engines(1)[0]
        else:
            cls.engine = dcmtest.SimEngine("alpha", 10)
        cls.api = cls.engine.api
        cls.host = cls.engine.name
        # No list and no inspect on the clock: what is seen here, an event has told.
        slow = {"status_update": 3600, "config_update": 3600}
        cls.dcm = dcmtest.Dcm(dcmtest.hosts_yml([cls.engine], slow)).settle([cls.engine])

    @classmethod
    def tearDownClass(cls):
        cls.dcm.stop()

    def record(self, name):
        return self.dcm.get(self.host, name)

    def run_one(self, name, cmd=("sleep", "100000"), **more):
        name = "live-" + name
        self.addCleanup(self.api.remove, name)
        return self.api.run(name, list(cmd), **more)

    def sees(self, container, what, **fields):
        """The record comes to have these values, and to agree with the engine."""
        def seen():
            r, doc = self.record(container), self.api.inspect(container)
            for field, value in fields.items():
                self.assertEqual(r[field], value, "%s; the engine says %r" % (
                    field, expected.fields(doc).get(field)))
            self.assertEqual(expected.differences(r, doc), [])
            return r
        return wait_until(seen, what)

    def gone(self, container):
        return self.dcm.run("get", self.host, container).returncode == 1

    def test_create_start_stop_start_remove(self):
        self.addCleanup(self.api.remove, "live-c")
        c = self.api.create("live-c", ["sleep", "100000"])
        self.sees(c, "creation", status="created", started=None, uptime=None)
        self.api.start(c)
        self.sees(c, "start", status="running", finished=None)
        self.api.stop(c)
        r = self.sees(c, "stop", status="exited", uptime=None, cpu_percent=None)
        self.assertEqual(r["exit_code"], 137)
        self.api.start(c)
        self.sees(c, "a second start", status="running", exit_code=0)
        self.api.remove(c)
        wait_until(lambda: self.gone(c), "removal")
        self.assertNotIn("live-c", self.dcm.names())

    def test_pause_and_unpause(self):
        c = self.run_one("p")
        self.api.act(c, "pause")
        self.sees(c, "pause", status="paused")
        self.assertIn(c, [r["container_id"] for r in self.dcm.json("status", "paused")])
        self.api.act(c, "unpause")
        self.sees(c, "unpause", status="running")

    def test_rename(self):
        c = self.run_one("r1")
        self.sees("live-r1", "start", status="running")
        self.addCleanup(self.api.remove, "live-r2")
        self.api.act(c, "rename", name="live-r2")
        self.assertEqual(self.sees(c, "the new name", name="live-r2")["container_id"], c)
        self.assertEqual(self.record("live-r2")["container_id"], c)
        wait_until(lambda: self.gone("live-r1"), "the end of the old name")
        # The old name is free for another.
        d = self.run_one("r1")
        self.assertEqual(self.sees("live-r1", "the other", name="live-r1")["container_id"], d)

    def test_exit_by_itself(self):
        c = self.run_one("x", ["sh", "-c", "exit 42"])
        self.sees(c, "the end", status="exited", exit_code=42, pid=0)

    def test_restart(self):
        c = self.run_one("re")
        first = self.sees(c, "start", status="running")
        self.api.act(c, "restart", t=0)
        second = wait_until(lambda: next(
            (r for r in [self.record(c)] if r["pid"] not in (0, first["pid"])), None),
            "another pid")
        self.assertEqual(second["status"], "running")
        self.assertGreater(second["started"], first["started"])

    def test_kill(self):
        c = self.run_one("k")
        self.api.act(c, "kill")
        self.sees(c, "the kill", status="exited", exit_code=137)

    def test_failed_start(self):
        self.addCleanup(self.api.remove, "live-f")
        c = self.api.create("live-f", ["/nonexistent"])
        with self.assertRaises(dcmtest.ApiError):
            self.api.start(c)

        def told():
            r = self.dcm.json("get", self.host, c, "--refresh")
            self.assertEqual(expected.differences(r, self.api.inspect(c)), [])
            return r
        r = wait_until(told, "the failed start")
        self.assertEqual((r["status"], r["exit_code"], r["started"]), ("created", 127, None))
        self.assertIn("/nonexistent", r["error"])

    def test_crash_loop(self):
        c = self.run_one("loop", ["sh", "-c", "exit 7"],
                         HostConfig={"RestartPolicy": {"Name": "always"}})
        wait_until(lambda: self.record(c)["restart_count"] >= 2, "restarts")
        r = wait_until(lambda: next(
            (r for r in [self.record(c)] if r["status"] == "restarting"), None), "restarting")
        self.assertEqual((r["exit_code"], r["restart_policy"]), (7, "always"))
        self.api.stop(c)
        self.sees(c, "the end of the loop", status="exited")

    def test_health(self):
        good = self.run_one("well", Healthcheck={"Test": ["CMD-SHELL", "sleep 0.1; true"],
                                                 "Interval": 1500000000})
        bad = self.run_one("ill", Healthcheck={"Test": ["CMD-SHELL", "sleep 0.1; exit 1"],
                                               "Interval": 1500000000, "Retries": 1})
        for c, name in ((good, "healthy"), (bad, "unhealthy")):
            wait_until(lambda c=c: self.record(c)["health_status"] == "starting" or
                       self.record(c)["health_status"] is not None, "a state of health")
            self.sees(c, name, health_status=name)
            ids = [r["container_id"] for r in self.dcm.json("health")[name]]
            self.assertIn(c, ids)

    def test_networks_come_and_go(self):
        one, other = self.network("live_one"), self.network("live_two")
        c = self.run_one("n", HostConfig={"NetworkMode": one})
        self.sees(c, "start", status="running")
        self.api.connect(other, c, Aliases=["also"])
        r = self.sees(c, "the second network")
        self.assertEqual([n["name"] for n in r["networks"]], ["live_one", "live_two"])
        self.assertIn("also", r["network_aliases"]["live_two"])
        self.assertIn(c, [x["container_id"] for x in self.dcm.json("network", "live_two")])
        self.api.disconnect(other, c)
        r = self.sees(c, "the second network's end")
        self.assertEqual([n["name"] for n in r["networks"]], ["live_one"])

    def network(self, name):
        if self.kind == "real":
            def away():
                try:
                    self.api.delete("/networks/" + name)
                except dcmtest.ApiError:
                    return False
                return True
            self.addCleanup(wait_until, away, "the end of a network")
        self.api.network(name, dcmtest.subnet() + "0/24" if self.kind == "real" else None)
        return name

    def test_members_of_a_stack_come_and_go(self):
        def labels(service):
            return {"com.docker.compose.project": "livestack",
                    "com.docker.compose.service": service}
        a = self.run_one("st-a", Labels=labels("a"))
        b = self.run_one("st-b", Labels=labels("b"))
        self.sees(a, "both", compose_stack_containers=["live-st-b"])
        self.sees(b, "both", compose_stack_containers=["live-st-a"])
        self.addCleanup(self.api.remove, "live-st-z")
        self.api.act(b, "rename", name="live-st-z")
        self.sees(a, "the new name", compose_stack_containers=["live-st-z"])
        self.api.remove(b)
        self.sees(a, "alone", compose_stack_containers=[])

    def test_many_at_once(self):
        names = ["live-many-%d" % n for n in range(12)]
        for n in names:
            self.addCleanup(self.api.remove, n)
            self.api.create(n, ["sleep", "100000"])
        wait_until(lambda: set(names) <= set(self.dcm.names(self.host)), "all twelve")
        for n in names:
            self.api.remove(n)
        wait_until(lambda: not set(names) & set(self.dcm.names(self.host)), "none of them")

    def test_a_short_life_leaves_nothing(self):
        for n in range(5):
            c = self.api.create("live-short-%d" % n, ["true"])
            self.api.start(c)
            self.api.remove(c)
        wait_until(lambda: {r["container_id"] for r in self.dcm.ps(self.host)} ==
                   {c["Id"] for c in self.api.list()}, "the same containers as the engine's")

    def test_hosts_row_follows(self):
        wait_until(lambda: self.dcm.hosts()[self.host]["containers"] == len(self.api.list()),
                   "an end of what was before")
        before = self.dcm.hosts()[self.host]
        c = self.run_one("row")
        wait_until(lambda: self.dcm.hosts()[self.host]["running"] >= before["running"] + 1 and
                   self.dcm.hosts()[self.host]["containers"] >= before["containers"] + 1,
                   "one more")
        self.api.remove(c)


class RealLive(Live, dcmtest.Case):
    kind = "real"

    def test_out_of_memory(self):
        c = self.run_one("oom", ["sh", "-c", "sleep 1; tail /dev/zero"],
                         HostConfig={"Memory": 8388608, "MemorySwap": 8388608})
        wait_until(lambda: self.api.inspect(c)["State"]["Status"] == "exited", "the oom killer")
        self.sees(c, "the oom kill", status="exited", oom_killed=True)

    def test_health_that_changes(self):
        d = dcmtest.fresh("h")
        c = self.run_one("hc", HostConfig={"Binds": [d + ":/h"]}, Healthcheck={
            "Test": ["CMD", "test", "!", "-e", "/h/sick"], "Interval": 500000000, "Retries": 1})
        self.sees(c, "health", health_status="healthy")
        with open(d + "/sick", "w", encoding="utf-8"):
            pass
        self.sees(c, "sickness", health_status="unhealthy")

    def test_a_container_that_removes_itself(self):
        c = self.api.run("live-rm", ["sleep", "2"], HostConfig={"AutoRemove": True})
        self.sees(c, "start", status="running")
        wait_until(lambda: self.gone(c), "its end")

    def test_restart_policy_after_a_kill(self):
        c = self.run_one("again", ["sh", "-c", "sleep 2; exit 9"],
                         HostConfig={"RestartPolicy": {"Name": "on-failure",
                                                       "MaximumRetryCount": 1}})
        self.sees(c, "the last end", status="exited", restart_count=1, exit_code=9)

    def test_limits_that_change(self):
        c = self.run_one("up", HostConfig={"Memory": 33554432})
        self.sees(c, "the limit", memory_limit=33554432)
        self.api.post("/containers/%s/update" % c, {"Memory": 67108864, "MemorySwap": 134217728})
        self.sees(c, "the new limit", memory_limit=67108864)


class SimulatedLive(Live, dcmtest.Case):
    kind = "simulated"
