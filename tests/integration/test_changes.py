"""watch, logs, refresh and forget: what is asked of a running dcmd."""
import json
import threading

import dcmtest
from dcmtest import wait_until


class Changes(dcmtest.Case):
    @classmethod
    def setUpClass(cls):
        cls.engine = dcmtest.real_engines(1)[0]
        cls.api = cls.engine.api
        cls.dcm = dcmtest.Dcm(dcmtest.hosts_yml([cls.engine])).settle([cls.engine])

    @classmethod
    def tearDownClass(cls):
        cls.dcm.stop()

    def test_watch_tells_of_every_change(self):
        watch = dcmtest.Watch(self.dcm)
        self.addCleanup(watch.end)
        self.addCleanup(self.api.remove, "watched")
        c = self.api.run("watched", ["sleep", "100000"])
        line = wait_until(lambda: watch.find("appeared", "watched"), "appeared")
        self.assertEqual(set(line), {"event", "host_id", "container_id", "name", "changed",
                                     "record"})
        self.assertEqual((line["host_id"], line["container_id"]), ("alpha", c))
        self.assertEqual(line["record"]["name"], "watched")
        wait_until(lambda: watch.find("appeared", "watched", status="running") or
                   watch.find("updated", "watched", status="running"), "running")
        self.api.act(c, "pause")
        line = wait_until(lambda: watch.find("updated", "watched", status="paused"), "paused")
        self.assertIn("status", line["changed"])
        self.assertNotIn("image", line["changed"])
        self.api.remove(c)
        wait_until(lambda: watch.find("removed", "watched"), "removed")
        self.assertIn(watch.end(), (0, 130, -2))

    def test_watch_with_a_filter(self):
        watch = dcmtest.Watch(self.dcm, "--filter", "label=seen")
        self.addCleanup(watch.end)
        for name in ("unseen", "seen"):
            self.addCleanup(self.api.remove, name)
            self.api.create(name, ["true"], Labels={name: "1"})
        wait_until(lambda: watch.find("appeared", "seen"), "the one with the label")
        self.assertIsNone(watch.find("appeared", "unseen"))

    def test_logs_are_fetched_now(self):
        self.addCleanup(self.api.remove, "growing")
        self.api.run("growing", ["sh", "-c",
                                 "n=0; while true; do n=$((n+1)); echo tick $n; sleep 0.2; done"])
        wait_until(lambda: self.dcm.get("alpha", "growing"))
        def three():
            lines = self.dcm.json("logs", "alpha", "growing", "-n", "3")["log_tail"]
            return lines if len(lines) == 3 else None
        first = wait_until(three, "three lines")
        # An engine that is just writing may hold a line back: then they are two.
        last = wait_until(lambda: next((x for x in [three()] if x and x != first), None),
                          "other lines")
        self.assertEqual(self.dcm.get("alpha", "growing")["log_tail"], last)

    def test_logs_for_several_at_once(self):
        self.addCleanup(self.api.remove, "shared")
        self.api.run("shared", ["sh", "-c", "i=0; while [ $i -lt 300 ]; do i=$((i+1)); "
                                            "echo $i; done; sleep 100000"])
        wait_until(lambda: self.dcm.json("logs", "alpha", "shared", "-n", "1")["log_tail"] ==
                   ["300"], "its last line")
        wrong, asked = [], (3, 100, 10, 200)

        def ask(n):
            for _ in range(25):
                said = self.dcm.json("logs", "alpha", "shared", "-n", str(n))["log_tail"]
                if said != [str(i) for i in range(301 - n, 301)]:
                    wrong.append((n, len(said)))
        askers = [threading.Thread(target=ask, args=(n,)) for n in asked]
        for t in askers:
            t.start()
        for t in askers:
            t.join()
        # One that comes just between an answer and its being read is not held off.
        self.assertLess(len(wrong), 12, wrong)

    def test_more_of_a_log_than_is_fetched(self):
        self.addCleanup(self.api.remove, "longlog")
        self.api.run("longlog", ["sh", "-c", "i=0; while [ $i -lt 10003 ]; do i=$((i+1)); "
                                             "echo $i; done; sleep 100000"])
        wait_until(lambda: self.dcm.json("logs", "alpha", "longlog", "-n", "1")["log_tail"] ==
                   ["10003"], "its last line")
        done = self.dcm.run("--json", "logs", "alpha", "longlog", "-n", "10001")
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertEqual(json.loads(done.stdout)["log_tail"],
                         [str(n) for n in range(4, 10004)])
        self.assertEqual(len(self.dcm.json("logs", "alpha", "longlog", "-n", "10000")["log_tail"]),
                         10000)

    def test_as_many_lines_of_a_log_as_configured(self):
        self.addCleanup(self.api.remove, "lines")
        self.api.run("lines", ["sh", "-c", "for i in 1 2 3 4; do echo $i; done; sleep 100000"])
        wait_until(lambda: len(self.dcm.json("logs", "alpha", "lines")["log_tail"]) == 4, "lines")
        few = dcmtest.Dcm(dcmtest.hosts_yml([self.engine], {"log_tail_lines": 2}))
        self.addCleanup(few.stop)
        few.settle([self.engine])
        self.assertEqual(few.json("logs", "alpha", "lines")["log_tail"], ["3", "4"])
        self.assertEqual(few.get("alpha", "lines")["log_tail"], ["3", "4"])
        self.assertEqual(len(few.json("logs", "alpha", "lines", "-n", "3")["log_tail"]), 3)

    def test_logs_of_a_driver_that_keeps_none(self):
        self.addCleanup(self.api.remove, "mute")
        mute = self.api.create("mute", ["true"], HostConfig={"LogConfig": {"Type": "none"}})
        wait_until(lambda: self.dcm.get("alpha", "mute"))
        done = self.dcm.run("logs", "alpha", "mute")
        self.assertIn(done.returncode, (4, 5), done)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertEqual(done.stdout, "")
        for said in (mute[:12], "log driver", "json-file"):
            self.assertIn(said, done.stderr)

    def test_refresh_shows_what_no_event_tells(self):
        """A network connect on a stopped container has no event."""
        self.addCleanup(self.api.delete, "/networks/quiet_net")
        self.addCleanup(self.api.remove, "quiet")
        self.api.network("quiet_net", dcmtest.subnet() + "0/24")
        c = self.api.create("quiet", ["true"])
        wait_until(lambda: self.dcm.get("alpha", "quiet"))
        self.api.disconnect("none", c)
        self.api.connect("quiet_net", c)
        self.assertEqual(self.dcm.run("refresh", "alpha").returncode, 0)
        self.assertEqual([n["name"] for n in self.dcm.get("alpha", "quiet")["networks"]],
                         ["quiet_net"])

    def test_forget_drops_and_fills_again(self):
        before = {r["container_id"] for r in self.dcm.ps("alpha")}
        self.addCleanup(self.api.remove, "remembered")
        self.api.create("remembered", ["true"])
        self.assertEqual(self.dcm.run("forget", "alpha").returncode, 0)
        self.dcm.settle([self.engine])
        after = {r["container_id"] for r in self.dcm.ps("alpha")}
        self.assertEqual(after, before | {self.api.inspect("remembered")["Id"]})
        self.assertEqual(self.dcm.run("forget", "no-such-host").returncode, 1)

    def test_stats_agree_with_docker_stats(self):
        self.addCleanup(self.api.remove, "busy")
        self.addCleanup(self.api.remove, "idle")
        self.api.run("busy", ["sh", "-c", "while true; do :; done"],
                     HostConfig={"NanoCpus": 300000000, "Memory": 67108864})
        self.api.run("idle", ["sleep", "100000"])

        def agrees():
            rows = [line.split() for line in self.engine.docker(
                "stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemPerc}} {{.PIDs}}",
                "busy", "idle")]
            for name, cpu, memory, pids in rows:
                r = self.dcm.get("alpha", name)
                self.assertIsNotNone(r["cpu_percent"], name)
                # The two look at different seconds of a noisy machine.
                self.assertLess(abs(r["cpu_percent"] - float(cpu.rstrip("%"))), 15, name)
                self.assertLess(abs(r["memory_percent"] - float(memory.rstrip("%"))), 2, name)
                self.assertEqual(r["pids"], int(pids), name)
            return True
        wait_until(agrees, "the figures of docker stats")
        self.assertEqual(self.dcm.json("top", "-n", "1")["top_cpu"][0]["name"], "busy")

    def test_cached_reads_do_not_wait_for_a_stopped_engine_process(self):
        """An engine that hangs is SIGSTOP to us: reads answer all the same."""
        import signal
        self.engine.process.send_signal(signal.SIGSTOP)
        try:
            names = self.dcm.names("alpha")
            done = self.dcm.run("ps", "--refresh", timeout=60)
            self.assertEqual(done.returncode, 0)
            self.assertNotEqual(done.stderr, "")
            strict = self.dcm.run("--json", "ps", "--refresh", "--strict", timeout=60)
            self.assertEqual(strict.returncode, 4)
            self.assertEqual(sorted(r["name"] for r in json.loads(strict.stdout)), names)
            self.assertEqual(self.dcm.names("alpha"), names)
        finally:
            self.engine.process.send_signal(signal.SIGCONT)
        self.dcm.settle([self.engine])
