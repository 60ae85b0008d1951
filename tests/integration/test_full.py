"""What dcmd needs of its machine and does not get: room in /dev/shm, descriptors,
processes, memory of its cgroup, a clock that goes straight.  Nothing dies, no record
is wrong, the condition is shown while it lasts, and ends when its cause ends.

Each story has a /dev/shm of its own, in a mount namespace in which dcmd and its
readers run; the test itself stays outside."""
import json
import os
import shutil
import signal
import subprocess
import time
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
        return ["nsenter", "-m", "-t", str(self.holder.pid), "--"]

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

    def alive(self, d, pids):
        self.assertEqual(d.pids(), pids, "nobody died of it")


class SharedMemory(Story):
    """/dev/shm is full."""

    def test_full_while_a_shard_grows(self):
        room = self.room("6m")
        a, b = self.sim("a"), self.sim("b")
        d = self.dcm(room, [a, b]).settle([a, b])
        pids = d.pids()
        before = {r["container_id"]: r["labels"] for r in d.ps()}
        room.fill(200 << 10)
        ids = self.add(a, 200, "more")
        wait_until(lambda: d.hosts()["a"]["state"] == "degraded", "the condition")
        self.assertIn("/dev/shm", d.hosts()["a"]["error"])
        self.assertTrue(d.log_events("shard_full"))
        print(d.run("doctor").stdout, d.run("stats").stdout)
        # What was there is there, whole; what came fits or is not there.
        for r in d.ps():
            if r["container_id"] in before:
                self.assertEqual(r["labels"], before[r["container_id"]])
            else:
                self.assertEqual(len(r["labels"].get("fill", "")), 2000)
        t=time.time()
        room.clear()
        self.exact(d, a)
        print("exact after", time.time()-t)
        wait_until(lambda: d.hosts()["a"]["state"] == "online", "the end of the condition")
        print("end after", time.time()-t)
        self.exact(d, b)
        self.alive(d, pids)
        for i in ids:
            a.api.remove(i)
        self.exact(d, a)

    def test_full_at_the_start_of_a_host(self):
        room = self.room("2m")
        a, b = self.sim("a"), self.sim("b")
        d = self.dcm(room, [a]).settle([a])
        room.fill()
        d.configure(hosts_yml([a, b], {"status_update": 2}))
        d.process.send_signal(signal.SIGHUP)
        time.sleep(8)
        print(d.run("hosts").stdout, d.run("doctor").stdout)
        t=time.time()
        room.clear()
        d.settle([a, b])
        print("end after", time.time()-t)
        print(d.log())
