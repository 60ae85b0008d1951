"""An engine that means harm: whatever it sends is bounded, costs no other host
anything, and one container over a limit costs that container alone."""
import os
import subprocess

import dcmtest
from dcmtest import Api, Dcm, SimEngine, hosts_yml, wait_until

MIB = 1 << 20


def peak(pid):
    """The most memory of its own that a process ever had, in MiB."""
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0


class Hostile(dcmtest.Case):
    QUICK = {"request_timeout": 2, "connect_timeout": 2, "status_update": 2, "stats_update": 1,
             "config_update": 5}

    def dcm(self, engines, cache=None):
        d = Dcm(hosts_yml(engines, dict(self.QUICK, **(cache or {}))))
        self.addCleanup(d.stop)
        return d

    def small(self, d, titles, most):
        """No sanitizer: it has its own idea of memory."""
        for title in titles:
            if "asan" not in dcmtest.BUILD:
                self.assertLess(peak(d.pids()[title]), most, title)

    def test_a_label_of_64_mib(self):
        """Kept with what fits, marked truncated; counted; and whole again afterwards."""
        e, good = SimEngine("sim", 2), SimEngine("good", 2)
        self.addCleanup(e.stop)
        self.addCleanup(good.stop)
        listed = {c["Id"]: c for c in e.api.list()}
        e.fault("huge:%d" % (64 * MIB))
        d = self.dcm([e, good], {"request_timeout": 20, "status_update": 60})
        wait_until(lambda: [r.get("truncated") for r in d.ps("sim")] == [True, True], "both", 60)
        for r in d.ps("sim"):
            self.assertEqual(len(r["labels"]["sim.fault"]), MIB)
            c = listed[r["container_id"]]
            self.assertEqual((r["name"], r["status"]), (c["Names"][0][1:], c["State"]))
            for key, value in c["Labels"].items():
                self.assertEqual(r["labels"][key], value)
        self.assertEqual([r for r in d.ps("good") if "truncated" in r], [])
        self.assertEqual(d.json("stats")["truncated"], 2)
        self.assertEqual(d.hosts()["sim"]["state"], "online")
        self.small(d, ["dcmd: collector sim"], 64)
        e.fault(None)
        self.assertEqual(d.run("refresh", "sim").returncode, 0)
        self.assertEqual([r for r in d.ps("sim") if "truncated" in r], [])
        self.assertEqual(d.json("stats")["truncated"], 0)

    def test_ten_thousand_labels(self):
        e = SimEngine("sim", 3)
        self.addCleanup(e.stop)
        e.fault("labels:10000")
        d = self.dcm([e], {"request_timeout": 20}).settle([e])
        for r in d.ps():
            self.assertNotIn("truncated", r)
            self.assertEqual(r["labels"]["sim.label.9999"], "9999")
            self.assertGreaterEqual(len(r["labels"]), 10000)
        self.assertEqual(len(d.ps("--filter", "label=sim.label.77=77")), 3)

    def test_more_labels_than_fit(self):
        """More than one record may have: as many as fit."""
        e = SimEngine("sim", 1)
        self.addCleanup(e.stop)
        e.fault("labels:500000@inspect")
        d = self.dcm([e], {"request_timeout": 20, "status_update": 60}).settle([e])
        r = d.ps()[0]
        self.assertIs(r["truncated"], True)
        self.assertGreater(len(r["labels"]), 10000)
        self.assertLess(len(r["labels"]), 500000)
        self.small(d, ["dcmd: collector sim"], 128)

    def test_containers_that_come_and_go(self):
        """20,000 changes of a fleet of 100, as fast as they can be told."""
        e = SimEngine("sim", 100)
        self.addCleanup(e.stop)
        d = self.dcm([e]).settle([e])
        held = d.json("stats")["memory_held"]
        for _ in range(40):
            e.api.raw("POST", "/_sim/churn?n=500")
        d.settle([e])
        self.assertLess(d.json("stats")["memory_held"], 4 * held)
        self.small(d, ["dcmd: collector sim", "dcmd: broker"], 64)

    FAULTS = ["chunks", "headers", "continue", "gzip", "twice", "endless-headers@inspect",
              "chunks@inspect", "headers@events", "gzip@stats,inspect", "deep@inspect", "utf8",
              "storm:5000"]

    FAIL = ("chunks", "headers", "continue", "gzip", "endless-headers@inspect", "chunks@inspect",
            "gzip@stats,inspect")

    def test_many_at_once(self):
        """A dozen hosts, each with a fault of its own, beside one that is well."""
        at = dcmtest.fresh("h")
        n = len(self.FAULTS)
        engines = SimEngine("many", 10, "--hosts", str(n + 1), "--listen",
                            "unix://%s/%%d.sock" % at)
        self.addCleanup(engines.stop)

        class One:
            def __init__(self, i):
                self.name = "h%02d" % i
                path = os.path.join(at, "%d.sock" % i)
                self.url, self.api = "unix://" + path, Api(path)
        hosts = [One(i) for i in range(n + 1)]
        d = self.dcm(hosts, {"request_timeout": 1}).settle(hosts)
        pids = d.pids()
        for h, spec in zip(hosts, self.FAULTS):
            reply, data = h.api.raw("POST", "/_sim/fault?spec=" + spec)
            self.assertEqual(reply.status, 204, data)
        self.assertEqual(d.run("refresh", hosts[-1].name).returncode, 0)
        # What an inspect that fails costs is not waited for, but seen to begin.
        ask = subprocess.Popen([*d.client(), "refresh", "--all"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(dcmtest.end_process, ask)
        failing = {h.name for h, spec in zip(hosts, self.FAULTS) if spec in self.FAIL}

        def failed():
            events = ("inspect_failed", "host_degraded", "host_offline", "cycle_failed")
            self.assertLessEqual(failing, {x["host"] for x in d.log_events()
                                           if x["event"] in events})
            return True
        wait_until(failed, "every one that must fail")
        self.assertEqual(d.hosts()[hosts[-1].name]["state"], "online")
        self.assertEqual(len(d.ps(hosts[-1].name)), 10)
        for h in hosts:  # nothing that was known is lost by it
            self.assertEqual(len(d.ps(h.name)), 10, h.name)
        for h in hosts:
            h.api.raw("DELETE", "/_sim/fault")
        d.settle(hosts)
        self.assertEqual(d.pids(), pids, "nobody died of it")
        self.small(d, ["dcmd: collector " + h.name for h in hosts], 64)
