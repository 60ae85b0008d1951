"""A start after a stop, a crash or a power cut: the last good state is served at
once, marked by its age, and replaced as hosts answer."""
import os
import random
import signal
import struct
import subprocess
import time
import unittest

import dcmtest
import fleet
from dcmtest import Dcm, SimEngine, hosts_yml, wait_until

AGES = ("uptime", "freshness")  # what differs at each reading


# ---- snapshots as files ------------------------------------------------------------

def lz4_block(data, out):
    """Unpacks an LZ4 block behind what `out` holds."""
    i = 0
    while i < len(data):
        token = data[i]
        i += 1
        n = token >> 4
        if n == 15:
            while True:
                n += data[i]
                i += 1
                if data[i - 1] != 255:
                    break
        out += data[i:i + n]
        i += n
        if i >= len(data):
            return
        offset, n = data[i] | data[i + 1] << 8, token & 15
        i += 2
        if n == 15:
            while True:
                n += data[i]
                i += 1
                if data[i - 1] != 255:
                    break
        for _ in range(n + 4):
            out.append(out[-offset])


def unpack(path):
    """The content of a snapshot, from its documentation alone (docs/snapshots.md)."""
    with open(path, "rb") as f:
        data = f.read()
    magic, version, header, _, length, frame = struct.unpack_from("<8sIIQQQ", data)
    assert (magic, version, header) == (b"DCMSNAP\n", 1, 128), data[:16]
    data = data[header:]
    assert len(data) == frame
    assert data[:4] == b"\x04\x22\x4d\x18"
    flags = data[4]
    at = 7 + (8 if flags & 8 else 0)
    out = bytearray()
    while True:
        size = struct.unpack_from("<I", data, at)[0]
        at += 4
        if size == 0:
            break
        block = data[at:at + (size & 0x7fffffff)]
        if size >> 31:
            out += block
        else:
            lz4_block(block, out)
        at += len(block) + (4 if flags & 16 else 0)
    assert len(out) == length
    return bytes(out)


class Case(dcmtest.Case):
    def engine(self, containers=20, *options):
        e = SimEngine("sim", containers, *options)
        self.addCleanup(e.stop)
        return e

    def dcm(self, engines, cache=None, **more):
        d = Dcm(hosts_yml(engines, cache, **more))
        self.addCleanup(d.stop)
        return d

    def snapshot(self, d, name="sim.snap"):
        return os.path.join(d.state, d.instance, name)

    def written(self, d, name="sim.snap"):
        wait_until(lambda: os.path.exists(self.snapshot(d, name)), "a snapshot")

    def holds(self, d, text, name="sim.snap"):
        self.written(d, name)
        wait_until(lambda: text in unpack(self.snapshot(d, name)), "a snapshot that holds it")

    def files(self, d):
        return sorted(os.listdir(os.path.join(d.state, d.instance)))

    def crash(self, d):
        """The machine loses its power: no process and no memory is left."""
        pids = list(d.pids().values())
        d.process.kill()
        d.process.wait()
        wait_until(lambda: not any(os.path.exists("/proc/%d" % p) for p in pids[1:]), "the end")
        for name in d.objects():
            os.unlink("/dev/shm/" + name)

    def records(self, d):
        return {r["name"]: {k: v for k, v in r.items() if k not in AGES} for r in d.ps()}

    def serves(self, d, names):
        wait_until(lambda: d.names() == sorted(names), "what was known")

    def row(self, d, host="sim"):
        return (d.hosts() or {}).get(host, {})


class Warm(Case):
    def test_stop_and_start(self):
        """The whole record comes back as it was, with its age, of an engine that is away."""
        e = self.engine()
        d = self.dcm([e], {"stats_update": 3600}).settle([e])
        wait_until(lambda: all(r["cpu_percent"] is not None for r in d.ps("--filter", "status=running")),
                   "stats")
        before, host = self.records(d), d.hosts()["sim"]
        self.assertEqual(d.stop(), 0)
        self.assertEqual(d.objects(), [])
        self.assertEqual(self.files(d), ["sim.snap"])
        self.assertEqual(os.stat(self.snapshot(d)).st_mode & 0o7777, 0o600)
        e.stop()
        d.start()
        self.serves(d, before)
        self.assertEqual(self.records(d), before)
        wait_until(lambda: self.row(d)["state"] == "offline", "offline")
        after = self.row(d)
        for k in ("containers", "running", "engine_version", "cpus", "memory_total", "os",
                  "cpu_percent", "memory_usage"):
            self.assertEqual(after[k], host[k], k)
        age = after["age"]
        self.assertGreater(age, 0)
        one = d.ps()[0]
        self.assertIsNotNone(one["freshness"]["config"]["age"])
        wait_until(lambda: self.row(d)["age"] > age, "a growing age")

        # It answers again: what changed meanwhile is seen, cached_at is kept.
        e.start()
        e.api.call("POST", "/images/create", b"", fromSrc="-", repo="busybox", tag="1")
        e.api.create("new", ["sleep", "1"])
        d.settle([e])
        now = self.records(d)
        self.assertEqual(set(now), set(before) | {"new"})
        for name in set(now) & set(before):
            self.assertEqual(now[name]["cached_at"], before[name]["cached_at"], name)

    def test_those_that_went_leave(self):
        e = self.engine(5)
        d = self.dcm([e]).settle([e])
        gone = d.ps()[0]
        d.stop()
        e.api.remove(gone["container_id"])
        d.start().settle([e])
        self.assertNotIn(gone["name"], d.names())
        d.stop()
        self.assertNotIn(gone["container_id"].encode()[:12], unpack(self.snapshot(d)))

    def test_power_cut(self):
        """Written on change while dcmd runs: nothing is lost with the machine."""
        e = self.engine(10)
        d = self.dcm([e]).settle([e])
        self.written(d)
        e.api.create("comes-afterwards", ["sleep", "1"])
        self.holds(d, b"comes-afterwards")
        names = d.names()
        self.crash(d)
        e.stop()
        d.start()
        self.serves(d, names)

    def test_damage(self):
        """Cut short, bits flipped, made up: never a crash, set aside, said why."""
        e = self.engine(3)
        d = self.dcm([e]).settle([e])
        d.stop()
        e.stop()
        path = self.snapshot(d)
        with open(path, "rb") as f:
            good = f.read()
        rng = random.Random(4)
        flip = rng.randrange(len(good))
        bad = [b"", good[:100], good[:rng.randrange(128, len(good))], os.urandom(4096),
               good[:flip] + bytes([good[flip] ^ 4]) + good[flip + 1:]]
        for n, data in enumerate(bad, 1):
            with open(path, "wb") as f:
                f.write(data)
            d.start()
            wait_until(lambda: self.row(d).get("state") == "offline", "offline")
            self.assertEqual(d.names(), [])
            d.stop()
            self.assertFalse(os.path.exists(path))
            aside = self.snapshot(d, "sim.snap.bad-%d" % n)
            with open(aside, "rb") as f:
                self.assertEqual(f.read(), data)
            self.assertEqual(os.stat(aside).st_mode & 0o7777, 0o600)
        self.assertEqual(self.files(d), ["sim.snap.bad-%d" % n for n in (3, 4, 5)])
        warnings = d.log_events("snapshot_bad")
        self.assertEqual(len(warnings), len(bad))
        for w in warnings:
            self.assertEqual((w["level"], w["host"]), ("warn", "sim"))
            self.assertTrue(w["error"] and w["moved_to"])
        self.assertFalse(d.log_events("child_died"))
        # a link is not followed
        with open(path + ".elsewhere", "wb") as f:
            f.write(good)
        os.chmod(path + ".elsewhere", 0o600)
        os.symlink(path + ".elsewhere", path)
        d.start()
        wait_until(lambda: self.row(d).get("state") == "offline", "offline")
        self.assertEqual(d.names(), [])
        self.assertIn("link", d.log_events("snapshot_bad")[-1]["error"])
        d.stop()
        # and a good one is served again
        with open(path, "wb") as f:
            f.write(good)
        os.chmod(path, 0o600)
        d.start()
        wait_until(lambda: len(d.names()) == 3, "three")

    def test_no_secret_in_it(self):
        """Neither what was redacted, nor after a reload what is to be from now on."""
        _, engines = dcmtest.stage("sim")
        e = engines[0]
        secrets = [s.encode() for s in (fleet.SECRET, fleet.URL_SECRET, fleet.COMPOSE_SECRET)]
        d = self.dcm([e], {"environment": "full"}).settle([e])
        name = e.name + ".snap"
        self.holds(d, secrets[0], name)
        d.configure(hosts_yml([e], {"environment": "redact"}))
        d.process.send_signal(signal.SIGHUP)
        wait_until(lambda: d.get(e.name, "shop-db-1")["environment_vars"]["DB_PASSWORD"] ==
                   "********", "redaction")
        self.written(d, name)
        d.json("logs", e.name, "shop-db-1")
        d.stop()
        content = unpack(self.snapshot(d, name))
        self.assertIn(b"DB_PASSWORD", content)
        self.assertEqual([s for s in secrets if s in content], [])
        # Stricter rules while dcmd was away: it is not served, and goes.
        d.configure(hosts_yml([e], {"environment": "names"}))
        with open(self.snapshot(d, name), "rb") as f:
            before = f.read()
        d.start().settle([e])
        self.assertTrue(d.log_events("snapshot_dropped"))
        self.assertEqual(d.get(e.name, "shop-db-1")["environment_vars"],
                         {"DB_PASSWORD": None, "URL": None, "PLAIN": None})
        d.stop()
        self.assertNotEqual(before, open(self.snapshot(d, name), "rb").read())
        self.assertNotIn(b"visible", unpack(self.snapshot(d, name)))

    def test_stricter_rules_after_a_crash(self):
        """The memory of a killed dcmd is not taken over where it holds too much."""
        _, engines = dcmtest.stage("sim")
        e = engines[0]
        d = self.dcm([e], {"environment": "full"}).settle([e])
        d.process.kill()
        d.process.wait()
        d.configure(hosts_yml([e], {"environment": "redact"}))
        d.start()
        wait_until(lambda: len(d.log_events("host_online")) == 2, "online for the second time")
        secret = fleet.SECRET.encode()
        for name in d.objects():
            with open("/dev/shm/" + name, "rb") as f:
                self.assertNotIn(secret, f.read(), name)
        d.stop()
        self.assertNotIn(secret, unpack(self.snapshot(d, e.name + ".snap")))

    def test_forget(self):
        e = self.engine(4)
        d = self.dcm([e]).settle([e])
        self.written(d)
        e.stop()
        wait_until(lambda: self.row(d)["state"] == "offline", "offline")
        d.run("forget", "sim")
        self.assertEqual(d.names(), [])
        self.assertEqual(self.files(d), [])
        for _ in range(2):  # and of the host itself, also by the next collector
            row = self.row(d)
            self.assertEqual(row["containers"], 0)
            for k in ("age", "cpu_percent", "memory_usage", "cpus", "memory_total", "os", "kernel",
                      "engine_version", "api_version"):
                self.assertIsNone(row[k], k)
            old = d.pids()["dcmd: collector sim"]
            os.kill(old, signal.SIGKILL)
            wait_until(lambda old=old: d.pids().get("dcmd: collector sim", old) != old, "another")
            wait_until(lambda: self.row(d)["state"] == "offline", "offline again")
        d.stop()
        self.assertEqual(self.files(d), [])

    def test_a_host_taken_out_and_back(self):
        one, two = self.engine(2), SimEngine("two", 2)
        self.addCleanup(two.stop)
        d = self.dcm([one, two]).settle([one, two])
        names = d.names("two")
        d.configure(hosts_yml([one]))
        d.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "two" not in d.hosts(), "one host less")
        self.written(d, "two.snap")
        two.stop()
        d.configure(hosts_yml([one, two]))
        d.process.send_signal(signal.SIGHUP)
        wait_until(lambda: d.names("two") == names, "what was known of it")

    # ---- disks ----

    def mount(self, path, options):
        os.makedirs(path, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=False,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise unittest.SkipTest("cannot mount: " + done.stderr)
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=False)

    def remount(self, path, options):
        subprocess.run(["mount", "-o", "remount," + options, path], check=True)

    def failures(self, d):
        return [x["event"] for x in d.log_events() if x["event"] in ("snapshot_failed", "snapshot_ok")]

    def test_full_disk(self):
        """Said once, tried again, and collecting goes on."""
        e = self.engine(200)
        d = Dcm(hosts_yml([e]), start=False)
        self.mount(d.state, "size=16k")
        d.start().settle([e])
        self.addCleanup(d.stop)
        wait_until(lambda: self.failures(d) == ["snapshot_failed"], "a warning")
        self.assertIn("No space left", d.log_events("snapshot_failed")[0]["error"])
        wait_until(lambda: "No space left" in " ".join(d.warnings()), "a warning")
        self.assertIn("No space left", d.run("doctor").stdout)
        e.api.create("comes-afterwards", ["sleep", "1"])
        wait_until(lambda: "comes-afterwards" in d.names(), "the new one")
        self.remount(d.state, "size=4m")
        wait_until(lambda: self.failures(d) == ["snapshot_failed", "snapshot_ok"], "an end")
        wait_until(lambda: d.warnings() == [], "no warning any more")
        self.assertIn(b"comes-afterwards", unpack(self.snapshot(d)))
        self.assertEqual(self.files(d), ["sim.snap"])

    def test_read_only_disk(self):
        e = self.engine(3)
        d = Dcm(hosts_yml([e]), start=False)
        self.mount(d.state, "size=4m")
        d.start().settle([e])
        self.addCleanup(d.stop)
        self.written(d)
        names = d.names()
        self.remount(d.state, "ro")
        wait_until(lambda: self.failures(d) == ["snapshot_failed"], "a warning")
        self.assertEqual(d.stop(), 0)
        e.stop()
        d.start()  # with what is there
        self.serves(d, names)
        e.start()
        d.settle([e])
        wait_until(lambda: len(self.failures(d)) == 2, "a second warning, of the second start")
        self.remount(d.state, "rw")
        wait_until(lambda: self.failures(d)[-1] == "snapshot_ok", "an end")

    def test_no_state_directory_at_first(self):
        e = self.engine(2)
        d = Dcm(hosts_yml([e]), start=False)
        self.mount(d.state, "size=4m,ro")
        d.start().settle([e])
        self.addCleanup(d.stop)
        wait_until(lambda: self.failures(d) == ["snapshot_failed"], "a warning")
        self.remount(d.state, "rw")
        wait_until(lambda: self.failures(d)[-1] == "snapshot_ok", "an end")
        self.assertEqual(os.stat(os.path.dirname(self.snapshot(d))).st_mode & 0o7777, 0o700)


class WarmReal(dcmtest.Case):
    def test_a_real_engine(self):
        """Every field of a varied fleet, as it was."""
        _, engines = dcmtest.stage()
        e = engines[0]
        d = Dcm(hosts_yml([e])).settle([e])
        self.addCleanup(d.stop)
        d.stop()
        d.start()
        first = wait_until(d.ps, "what was known")
        self.assertEqual({r["container_id"] for r in first}, {c["Id"] for c in e.api.list()})
        for r in first:
            self.assertIsNotNone(r["freshness"]["config"]["age"], r["name"])
        d.settle([e])
        now = {r["container_id"]: r for r in d.ps()}
        for r in first:
            self.assertEqual(now[r["container_id"]]["cached_at"], r["cached_at"])
