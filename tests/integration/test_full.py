"""What dcmd needs of its machine and does not get: room in /dev/shm, descriptors,
processes, memory of its cgroup, a clock that goes straight.  Nothing dies, no record
is wrong, the condition is shown while it lasts, and ends when its cause ends.

Each story has a /dev/shm of its own, in a mount namespace in which dcmd and its
readers run; the test itself stays outside."""
import json
import os
import pwd
import shutil
import signal
import struct
import subprocess
import unittest

import dcmtest
from dcmtest import Dcm, SimEngine, hosts_yml, wait_until


class Room:
    """A mount namespace whose /dev/shm is a tmpfs of its own."""

    def __init__(self, size):
        if os.geteuid() != 0 or not shutil.which("nsenter"):
            raise unittest.SkipTest("needs root and nsenter, for a /dev/shm of its own")
        self.holder = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c",
             "mount -t tmpfs -o mode=1777,size=%s tmpfs /dev/shm && echo ready; exec sleep 1000000"
             % size], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        said = self.holder.stdout.readline()
        if said != b"ready\n":
            self.close()
            raise unittest.SkipTest("no mount namespace here: %r" % said)
        self.shm = "/proc/%d/root/dev/shm" % self.holder.pid
        self.filler = os.path.join(self.shm, "filler")

    def enter(self):
        # With its root: the machine of the tests may be a chroot.
        return ["nsenter", "-m", "-r", "-t", str(self.holder.pid), "--"]

    def free(self):
        fs = os.statvfs(self.shm)
        return fs.f_bavail * fs.f_frsize

    def fill(self, leave=0):
        """Leaves so many bytes."""
        with open(self.filler, "ab") as f:
            at = f.seek(0, os.SEEK_END)
            if self.free() > leave:
                os.posix_fallocate(f.fileno(), at, self.free() - leave)

    def clear(self):
        os.unlink(self.filler)

    def close(self):
        dcmtest.end_process(self.holder, signal.SIGKILL)
        self.holder.stdout.close()


class Inside(Dcm):
    """dcmd and its client in the namespace of a Room."""

    def __init__(self, room, config, *options, before=(), **more):
        self.room = room
        self.before = list(before)
        super().__init__(config, *options, **more)

    def command(self):
        return self.room.enter() + self.before + super().command()

    def client(self):
        return self.room.enter() + super().client()

    def shm(self):
        return self.room.shm


class Story(dcmtest.Case):
    def room(self, size="8m"):
        room = Room(size)
        self.addCleanup(room.close)
        return room

    def sim(self, name, containers=20, *options):
        e = SimEngine(name, containers, *options)
        self.addCleanup(e.stop)
        return e

    def dcm(self, room, engines, cache=None, *options, **more):
        quick = {"stats_update": 1, "status_update": 2, "config_update": 5}
        d = Inside(room, hosts_yml(engines, dict(quick, **(cache or {}))), *options, **more)
        self.addCleanup(d.stop)
        return d

    def exact(self, d, e):
        """The memory says what the engine says, of every container."""
        def same():
            there = {r["container_id"]: r for r in d.ps(e.name)}
            listed = {c["Id"]: c for c in e.api.list()}
            self.assertEqual(set(there), set(listed))
            for i, c in listed.items():
                self.assertEqual(there[i]["name"], c["Names"][0][1:])
                self.assertEqual(there[i]["status"], c["State"])
                self.assertEqual(there[i]["labels"], c["Labels"])
            return True
        wait_until(same, "what the engine says")

    def add(self, e, n, prefix, size=2000):
        return [e.api.run("%s%d" % (prefix, i), ["sleep", "100000"], Labels={"fill": "x" * size})
                for i in range(n)]

    def shown(self, d, text):
        """In `stats` and in `doctor`, as long as it lasts."""
        def told():
            self.assertIn(text, " ".join(d.warnings()))
            self.assertIn(text, d.run("doctor").stdout)
            return True
        wait_until(told, "a word of " + text)

    def over(self, d):
        wait_until(lambda: d.warnings() == [], "no warning any more")
        self.assertNotIn(" condition", d.run("doctor").stdout)

    def alive(self, d, pids):
        self.assertEqual(d.pids(), pids, "nobody died of it")


class Clocked(Dcm):
    """dcmd and its client under clocks that the test sets."""

    def __init__(self, *args, **more):
        library = os.path.join(dcmtest.BUILD, "tests", "clocks.so")
        if not os.path.exists(library) or "asan" in dcmtest.BUILD:
            raise unittest.SkipTest("needs clocks.so, and programs without a sanitizer")
        self.clocks = os.path.join(dcmtest.fresh("k"), "clocks")
        self.clock()
        self.under = ["env", "LD_PRELOAD=" + library, "DCM_TEST_CLOCKS=" + self.clocks]
        super().__init__(*args, **more)

    def clock(self, wall=0, asleep=0):
        """The wall clock is set by so many seconds, and the machine slept so many."""
        with open(self.clocks, "r+b" if os.path.exists(self.clocks) else "wb") as f:
            f.write(struct.pack("<qq", int(wall * 1e9), int(asleep * 1e9)))

    def command(self):
        return self.under + super().command()

    def client(self):
        return self.under + super().client()


class Clock(Story):
    """The clock of the machine is set while dcmd runs; the engines' stay."""
    CACHE = {"stats_update": 1, "status_update": 2, "memory_retention": 300,
             "memory_cleanup_interval": 1}

    def begin(self):
        a, b = self.sim("a", 6), self.sim("b", 6)
        d = Clocked(hosts_yml([a, b], self.CACHE)).settle([a, b])
        self.addCleanup(d.stop)
        self.up = {r["name"]: r["uptime"] for r in d.ps("b")}
        self.assertTrue([u for u in self.up.values() if u and "d" in u], self.up)
        b.stop()
        wait_until(lambda: d.hosts()["b"]["state"] == "offline", "b offline")
        return d, a, b

    def ages(self, d, least, most, uptime=True):
        """Of the host that is away, and of its containers: nobody makes them young."""
        def right():
            row, records = d.hosts()["b"], d.ps("b")
            self.assertEqual(len(records), 6)
            for r in records:  # by the engine's clock
                if self.up[r["name"]] and "d" in self.up[r["name"]] and uptime:
                    self.assertEqual(r["uptime"].split()[0], self.up[r["name"]].split()[0])
            for age in [row["age"]] + [r["freshness"]["status"]["age"] for r in records]:
                self.assertGreaterEqual(age, least)
                self.assertLess(age, most)
            return True
        wait_until(right, "ages from %d to %d" % (least, most))

    def test_set_forwards_and_back(self):
        d, a, b = self.begin()
        pids = d.pids()
        up = {r["name"]: r["uptime"] for r in d.ps("a")}
        for wall in (7200, -86400):
            with self.subTest(wall=wall):
                known = d.hosts()["b"]["age"]
                d.clock(wall)
                self.ages(d, known, known + 60)
                wait_until(lambda: len([x for x in d.log_events("clock_set")
                                        if x["level"] == "warn"]) > 0, "a word in the log")

                def well():
                    row = d.hosts()["a"]
                    self.assertEqual(row["state"], "online")
                    self.assertLess(row["age"], 30)
                    for r in d.ps("a"):
                        for tier in ("stats", "status", "config"):
                            self.assertLess(r["freshness"][tier]["age"], 60)
                        # by the engine's clock
                        if up[r["name"]] and "h" in up[r["name"]]:
                            self.assertEqual(r["uptime"].split()[0], up[r["name"]].split()[0])
                    return True
                wait_until(well, "a as ever")
                name = "made-at-%d" % wall
                a.api.run(name, ["sleep", "100000"])
                up[name] = None
                wait_until(lambda: name in d.names("a"), "a new one")
        self.assertEqual(d.log_events("host_expired"), [])
        self.alive(d, pids)

    def test_started_in_the_past(self):
        """A snapshot of a time to come is served all the same, and is not young for ever."""
        d, a, b = self.begin()
        names = d.names()
        self.assertEqual(d.stop(), 0)
        a.stop()
        d.clock(-86400)
        d.start()
        wait_until(lambda: d.names() == names, "what was known")
        self.ages(d, 0, 60, uptime=False)
        d.clock(0)
        self.ages(d, 0, 60, uptime=False)
        a.start()
        wait_until(lambda: d.hosts()["a"]["state"] == "online", "a")

    def test_asleep(self):
        """Ages count the sleep; nobody is killed for his silence; connections are new."""
        d, a, b = self.begin()
        pids = d.pids()
        streams = a.requests()
        known = d.hosts()["b"]["age"]
        for p in pids.values():
            os.kill(p, signal.SIGSTOP)
        d.clock(asleep=7200)
        for p in pids.values():
            os.kill(p, signal.SIGCONT)
        self.ages(d, known + 7200, known + 7300, uptime=False)
        wait_until(lambda: d.log_events("host_awake"), "a word in the log")
        wait_until(lambda: a.requests()["events"] > streams["events"], "a stream anew")
        wait_until(lambda: d.hosts()["a"]["age"] < 60 and d.hosts()["a"]["state"] == "online",
                   "a verified")
        a.api.run("afterwards", ["sleep", "100000"])
        wait_until(lambda: "afterwards" in d.names("a"), "a new one")
        self.alive(d, pids)


class Few(Story):
    """Few descriptors, processes, or memory of the control group."""

    @staticmethod
    def limit(pid, what, n, under=()):
        subprocess.run([*under, "prlimit", "--pid", str(pid), "--%s=%d:" % (what, n)], check=True)

    @staticmethod
    def descriptors(pid):
        return len(os.listdir("/proc/%d/fd" % pid))

    def test_descriptors_of_a_collector(self):
        """Fewer requests run at once, and all are answered: no host is blamed for it."""
        e = self.sim("a", 60)
        d = Dcm(hosts_yml([e], {"stats_update": 1, "status_update": 2})).settle([e])
        self.addCleanup(d.stop)
        pid = d.pids()["dcmd: collector a"]
        self.limit(pid, "nofile", self.descriptors(pid) + 4)
        wait_until(lambda: d.log_events("descriptors_short"), "the condition")
        self.shown(d, "LimitNOFILE")
        e.api.run("afterwards", ["sleep", "100000"])
        self.assertEqual(d.run("refresh", "a").returncode, 0)
        self.assertIn("afterwards", d.names("a"))
        self.assertEqual(d.hosts()["a"]["state"], "online")
        self.limit(pid, "nofile", 1024)
        wait_until(lambda: d.log_events("descriptors_ok"), "the end of the condition")
        self.assertEqual(d.log_events("host_offline"), [])
        self.over(d)

    def test_descriptors_of_the_others(self):
        """A process that cannot be started comes when it can; the broker goes on."""
        e = self.sim("a", 4)
        d = Dcm(hosts_yml([e], {"stats_update": 1, "status_update": 2})).settle([e])
        self.addCleanup(d.stop)
        pids = d.pids()
        supervisor, broker = pids["dcmd: supervisor"], pids["dcmd: broker"]
        self.limit(supervisor, "nofile", 3)
        self.limit(broker, "nofile", self.descriptors(broker))
        self.assertEqual(len(d.ps("--filter", "status=running")), 4)  # nobody to ask: by scanning
        os.kill(pids["dcmd: collector a"], signal.SIGKILL)
        wait_until(lambda: d.log_events("child_not_started"), "the condition")
        self.assertEqual(len(d.ps()), 4)
        self.shown(d, "cannot be started")
        self.limit(supervisor, "nofile", 1024)
        self.limit(broker, "nofile", 1024)
        wait_until(lambda: d.log_events("children_started"), "the end of the condition")
        d.settle([e])
        self.assertEqual(len(d.log_events("child_not_started")), 1)
        self.over(d)

    def test_processes_of_a_user(self):
        """Nothing can be forked: said once, and tried until it can."""
        user = pwd.getpwnam("nobody")
        e = self.sim("a", 4)
        os.chmod(e.dir, 0o755)
        os.chmod(e.socket, 0o666)
        d = Dcm(hosts_yml([e], {"status_update": 2}), start=False)
        os.chown(d.dir, user.pw_uid, user.pw_gid)
        d.under = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid),
                   "--clear-groups"]
        d.command = lambda command=d.command: d.under + command()
        d.client = lambda client=d.client: d.under + client()
        d.start().settle([e])
        self.addCleanup(d.stop)
        pids = d.pids()
        self.limit(pids["dcmd: supervisor"], "nproc", 0, d.under)
        os.kill(pids["dcmd: collector a"], signal.SIGKILL)
        wait_until(lambda: d.log_events("child_not_started"), "the condition")
        self.assertEqual(len(d.ps()), 4)
        self.limit(pids["dcmd: supervisor"], "nproc", 1000, d.under)
        wait_until(lambda: d.log_events("children_started"), "the end of the condition")
        d.settle([e])
        self.assertEqual(d.stop(), 0)

    def group(self, limit):
        """A control group with so much memory."""
        name = "dcm-test-%d" % os.getpid()
        with open("/proc/self/cgroup", encoding="ascii") as f:
            lines = [line.strip().split(":", 2) for line in f]
        for _, controllers, path in lines:
            if "memory" in controllers.split(","):
                at, file = "/sys/fs/cgroup/memory" + path, "memory.limit_in_bytes"
                break
        else:
            at, file = "/sys/fs/cgroup" + [p for n, _, p in lines if n == "0"][0], "memory.max"
        at = os.path.join(at, name)
        try:
            os.mkdir(at)
            self.addCleanup(os.rmdir, at)
            with open(os.path.join(at, file), "w", encoding="ascii") as f:
                f.write(str(limit))
        except OSError as error:
            raise unittest.SkipTest("no control group of memory here: %s" % error) from error
        return at

    def test_memory_of_the_control_group(self):
        """A shard stops growing before the kernel kills for it."""
        if "asan" in dcmtest.BUILD:
            raise unittest.SkipTest("a sanitizer needs more memory than the group has")
        group = self.group(64 << 20)
        room = self.room("256m")
        enter = ["sh", "-c", "echo $$ > %s/cgroup.procs; exec \"$@\"" % group, "sh"]
        e = self.sim("a", 0)
        d = self.dcm(room, [e], before=enter).settle([e])
        pids = d.pids()
        v1 = "/memory/" in group
        with open(os.path.join(group, "memory.usage_in_bytes" if v1 else "memory.current"),
                  encoding="ascii") as f:
            used = int(f.read())
        with open(os.path.join(group, "memory.stat"), encoding="ascii") as f:
            stat = dict(line.split() for line in f)
        for key in ("active_file", "inactive_file"):  # what the kernel drops first
            used -= int(stat[("total_" if v1 else "") + key])
        rest = (58 << 20) - used
        subprocess.run(room.enter() + enter + ["fallocate", "-l", str(rest), "/dev/shm/filler"],
                       check=True)
        self.add(e, 120, "big", 20000)
        wait_until(lambda: d.hosts()["a"]["state"] == "degraded", "the condition")
        self.assertIn("cgroup", d.log_events("shard_full")[0]["error"])
        self.assertLess(len(d.ps("-q")), 120)
        room.clear()
        self.exact(d, e)
        wait_until(lambda: d.hosts()["a"]["state"] == "online", "the end of the condition")
        self.alive(d, pids)
        self.assertEqual(d.stop(), 0)


class SharedMemory(Story):
    """/dev/shm is full."""

    def test_full_while_a_shard_grows(self):
        """What is known stays, whole; what is new comes when there is room."""
        room = self.room("6m")
        a, b = self.sim("a"), self.sim("b")
        d = self.dcm(room, [a, b]).settle([a, b])
        pids = d.pids()
        before = {r["container_id"]: r["labels"] for r in d.ps()}
        watch = dcmtest.Watch(d)  # a reader throughout
        self.addCleanup(watch.end)
        room.fill(200 << 10)
        ids = self.add(a, 150, "more")
        a.api.act(ids[0], "rename", name="renamed")
        wait_until(lambda: d.hosts()["a"]["state"] == "degraded", "the condition")
        self.assertIn("/dev/shm", d.hosts()["a"]["error"])
        self.assertEqual(len(d.log_events("shard_full")), 1)
        self.assertGreater(d.json("stats")["refused"], 0)
        self.shown(d, "make room in /dev/shm")
        # For as long as something is kept out, whatever cycles end meanwhile.
        lists = a.requests()["list"]
        wait_until(lambda: a.requests()["list"] > lists + 2, "more cycles")
        self.assertEqual(d.log_events("shard_ok"), [])
        self.assertEqual(d.hosts()["a"]["state"], "degraded")
        self.shown(d, "make room in /dev/shm")
        there = {r["container_id"]: r["labels"] for r in d.ps()}
        self.assertLessEqual(set(before), set(there))
        for i, labels in there.items():
            self.assertEqual(labels, before.get(i, {"fill": "x" * 2000}))
        a.api.remove(ids[0])  # needs no room
        wait_until(lambda: ids[0] not in {r["container_id"] for r in d.ps("a")}, "a removal")
        self.exact(d, b)
        self.assertEqual(d.hosts()["b"]["state"], "online")
        room.clear()
        self.exact(d, a)
        wait_until(lambda: d.hosts()["a"]["state"] == "online", "the end of the condition")
        self.assertEqual(len(d.log_events("shard_ok")), 1)
        self.over(d)
        self.alive(d, pids)
        wait_until(lambda: watch.find("appeared", "more149"), "the reader's word of it")
        self.assertIsNone(watch.process.poll())

    def test_full_when_a_host_comes(self):
        """It waits for room and is no crash loop; the directory grows when it can."""
        room = self.room("2m")
        a, b = self.sim("a"), self.sim("b")
        d = self.dcm(room, [a]).settle([a])
        room.fill()
        hosts = json.loads(hosts_yml([a, b], {"stats_update": 1, "status_update": 2,
                                              "config_update": 5}))
        for i in range(80):
            hosts["hosts"]["off%02d" % i] = {"url": a.url, "enabled": False,
                                             "description": "d" * 3000}
        d.configure(json.dumps(hosts))
        d.process.send_signal(signal.SIGHUP)

        def waits():
            row = d.hosts()["b"]
            self.assertEqual(row["state"], "starting")
            return "no room for" in (row["error"] or "")
        wait_until(waits, "why it waits")
        wait_until(lambda: d.log_events("directory_behind"), "a directory without room")
        self.shown(d, "no room for")
        pid = d.pids()["dcmd: collector b"]
        self.exact(d, a)
        self.assertEqual(len(d.log_events("shard_waits")), 1)
        self.assertEqual(d.log_events("shard_made"), [])
        room.clear()
        wait_until(lambda: len(d.hosts()) == 82, "every row")
        d.settle([a, b])
        self.assertEqual(d.pids()["dcmd: collector b"], pid)
        self.assertTrue(d.log_events("shard_made"))
        wait_until(lambda: d.log_events("directory_ok"), "the end of the condition")
        self.assertEqual(d.hosts()["b"]["error"], None)
        self.over(d)

    def test_full_and_taken_out(self):
        """A host that waited for room and is taken out takes its condition along."""
        room = self.room("2m")
        a, b = self.sim("a", 2), self.sim("b", 2)
        d = self.dcm(room, [a]).settle([a])
        room.fill()
        for hosts, event in (([a, b], "shard_waits"), ([a], "shard_made")):
            d.configure(hosts_yml(hosts, {"stats_update": 1, "status_update": 2,
                                          "config_update": 5}))
            d.process.send_signal(signal.SIGHUP)
            wait_until(lambda: d.log_events(event), event)
        self.exact(d, a)

    def test_shard_limit(self):
        """A shard uses at most so much; less to hold, and it is well again."""
        room = self.room("16m")
        a = self.sim("a", 0)
        d = self.dcm(room, [a], {"shard_limit": 1 << 20}).settle([a])
        ids = self.add(a, 150, "c", 9000)
        wait_until(lambda: d.hosts()["a"]["state"] == "degraded", "the condition")
        self.assertIn("shard_limit", d.hosts()["a"]["error"])
        self.assertLessEqual(d.json("stats")["memory_held"], 1 << 20)
        self.assertLess(len(d.ps()), 150)
        found = {f["check"]: f for f in d.doctor("a")[1]["a"]}
        self.assertEqual(found["condition"]["status"], "fail", found)
        self.assertIn("raise cache.shard_limit", found["shard"]["mend"])
        self.assertIn("shard_limit", " ".join(d.json("stats")["warnings"]["a"]))
        for i in ids[20:]:
            a.api.remove(i)
        self.exact(d, a)
        wait_until(lambda: d.hosts()["a"]["state"] == "online", "the end of the condition")

    def test_a_directory_that_does_not_fit(self):
        """At the start: a sentence, and no half of an instance."""
        room = self.room("1m")
        room.fill()
        e = self.sim("a", 0)
        d = Inside(room, hosts_yml([e]), start=False)
        done = subprocess.run(d.command(), capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("make room in /dev/shm", done.stderr)
        self.assertEqual([n for n in d.objects() if not n.endswith(":lock")], [])
        room.clear()
        d.start().settle([e])
        self.assertEqual(d.stop(), 0)
