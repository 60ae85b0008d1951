"""Others on this machine: readers who are in the group and mean ill, users who are not,
and what strangers leave in /dev/shm."""
import grp
import json
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import time

import dcmtest
from dcmtest import wait_until

NOBODY = 65534
STRANGER = 61234  # a user and a group that nobody made
READERS, ACTORS = 12, 20  # groups of every Debian, with nobody in them


# ---- the broker's protocol, as anybody may write it --------------------------------------

def pack(v):
    """msgpack, of what a request is made of."""
    if isinstance(v, int):
        return struct.pack(">BI", 0xce, v)
    if isinstance(v, str):
        return struct.pack(">BH", 0xda, len(v.encode())) + v.encode()
    if isinstance(v, list):
        return struct.pack(">BH", 0xdc, len(v)) + b"".join(pack(x) for x in v)
    return struct.pack(">BH", 0xde, len(v)) + b"".join(pack(k) + pack(x) for k, x in v.items())


def request(op, number=1, **more):
    body = pack(dict(v=1, id=number, op=op, **more))
    return struct.pack(">I", len(body)) + body


class Connection:
    def __init__(self, dcm):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(dcmtest.PATIENCE)
        self.s.connect(os.path.join(dcm.runtime, dcm.instance, "broker.sock"))

    def send(self, data):
        try:
            self.s.sendall(data)
        except BrokenPipeError:
            pass  # it was closed; what was said before is there to be read

    def reply(self):
        """The body of the next message; b"": it was closed."""
        head = self.take(4)
        return self.take(struct.unpack(">I", head)[0]) if head else b""

    def take(self, n):
        data = b""
        while len(data) < n:
            more = self.s.recv(n - len(data))
            if not more:
                return b""
            data += more
        return data

    def close(self):
        self.s.close()


def as_user(uid, gid, groups, what):
    """What `what` returns, as JSON, when that user does it."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            dcmtest.become(uid, gid, groups)()
            os.write(into, json.dumps(what()).encode())
        finally:
            os._exit(0)
    os.close(into)
    with open(out, "rb") as f:
        data = f.read()
    os.waitpid(pid, 0)
    return json.loads(data)


def outcome(act, *args):
    """"" or the name of what was refused."""
    try:
        act(*args)
        return "done"
    except OSError as e:
        return type(e).__name__


# ---- stories -----------------------------------------------------------------------------

class Neighbours(dcmtest.Case):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to be others")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 4096:
            self.skipTest("needs 4096 descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
        self.engine = dcmtest.SimEngine("sim", 6)
        self.addCleanup(self.engine.stop)

    def dcmd(self, *options):
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([self.engine], {"stats_update": 600}), *options)
        self.addCleanup(dcm.kill)
        return dcm.settle([self.engine])

    def client(self, dcm, groups, *args, uid=STRANGER):
        return subprocess.run(
            [dcmtest.public("dcm-client"), "--instance", dcm.instance, "--runtime-dir",
             dcm.runtime, *args], preexec_fn=dcmtest.become(uid, STRANGER, groups), cwd="/",
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

    def asked(self):
        """What the engine was asked so far, but for what dcmd asks by its own clock."""
        return {k: n for k, n in self.engine.requests().items()
                if k in ("list", "inspect", "logs", "info")}

    # -- asking --

    def test_a_thousand_who_want_a_refresh_cost_a_few(self):
        dcm = self.dcmd()
        self.engine.fault("slow:300@list")
        before = self.engine.requests()["list"]
        crowd = [Connection(dcm) for _ in range(1000)]
        for c in crowd:
            c.send(request("refresh", hosts=["sim"], timeout_ms=60000))
        for c in crowd:
            self.assertIn(b"outcomes", c.reply())
            c.close()
        # Those who came while the first was under way had the second together: two, or
        # some more where this machine was too busy to let all ask meanwhile.
        self.assertLessEqual(self.engine.requests()["list"] - before, 20)

    def test_bad_clients_disturb_nobody(self):
        dcm = self.dcmd()
        pid = dcm.pids()["dcmd: broker"]
        bad = [Connection(dcm) for _ in range(600)]
        for i, c in enumerate(bad):
            if i % 3 == 0:
                c.send(b"GET / HTTP/1.1\r\n\r\n")              # no request at all
            elif i % 3 == 1:
                c.send(request("ping")[:7])                    # half a one
            else:
                for n in range(50):                            # and never a reply read
                    c.send(request("query", n, kind="search", text="web"))
        for text, n in (("web", 2), ("none such", 0)):
            done = dcm.run("--json", "search", text)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertLessEqual(n, len(json.loads(done.stdout)))

        def broker_is_well():  # a machine that is busy itself may keep it from an answer
            doctor = {c["check"]: c for c in dcm.json("doctor")}
            self.assertEqual(doctor["broker"]["status"], "ok", doctor["broker"])
            return True
        wait_until(broker_is_well, "a broker that answers beside them")
        for i in range(0, len(bad), 3):
            self.assertIn(b"not a request", bad[i].reply())
            self.assertEqual(bad[i].reply(), b"")
        for c in bad:
            c.close()
        self.assertEqual(dcm.pids()["dcmd: broker"], pid)
        self.assertEqual(dcm.run("refresh", "sim").returncode, 0)

    def test_one_user_does_not_take_all_connections(self):
        dcm = self.dcmd("--group", self.group(READERS))
        with open(os.path.join(dcm.dir, "crowd"), "w", encoding="utf-8") as f:
            f.write("import socket, sys\n"
                    "crowd = [socket.socket(socket.AF_UNIX) for _ in range(1100)]\n"
                    "for s in crowd:\n"
                    "    s.connect(sys.argv[1])\n"
                    "print('there', flush=True)\n"
                    "print(crowd[-1].recv(1000), flush=True)\n"
                    "sys.stdin.read()\n")
        holder = subprocess.Popen(
            ["python3", f.name, os.path.join(dcm.runtime, dcm.instance, "broker.sock")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", text=True,
            preexec_fn=dcmtest.become(STRANGER, STRANGER, [READERS]))
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.stdin.close)
        self.addCleanup(dcmtest.end_process, holder)
        self.assertEqual(holder.stdout.readline(), "there\n")
        self.assertIn("your user", holder.stdout.readline())
        # another reader has a place
        done = self.client(dcm, [READERS], "refresh", "sim", uid=STRANGER + 1)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.client(dcm, [READERS], "refresh", "sim").returncode, 4)

    def test_more_connections_than_there_are(self):
        dcm = self.dcmd()
        crowd = [Connection(dcm) for _ in range(1200)]
        crowd[-1].send(request("ping"))
        self.assertIn(b"close some", crowd[-1].reply())
        # who finds no place scans the memory
        self.assertEqual(len(dcm.json("search", "web")), len(dcm.ps("--filter", "name=web")))
        for c in crowd:
            c.close()
        wait_until(lambda: dcm.run("refresh", "sim").returncode == 0, "room again")

    def test_a_stranger_in_the_brokers_place(self):
        dcm = self.dcmd()
        path = os.path.join(dcm.runtime, dcm.instance, "broker.sock")
        os.unlink(path)
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.bind(path)
        pid = os.fork()
        if pid == 0:
            dcmtest.become(STRANGER, STRANGER)()
            s.listen(8)  # who listens is who the other end sees
            while True:
                time.sleep(1)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        wait_until(lambda: "another user" in dcm.run("refresh", "sim").stderr, "a refusal")
        self.assertEqual(dcm.run("refresh", "sim").returncode, 4)
        self.assertEqual(dcm.run("search", "web").returncode, 0)

    # -- who may --

    def group(self, gid):
        """Its name, for options."""
        try:
            return grp.getgrgid(gid).gr_name
        except KeyError:
            self.skipTest("no group %d" % gid)

    def test_engines_are_asked_for_one_group_alone(self):
        dcm = self.dcmd("--group", self.group(READERS), "--refresh-group", self.group(ACTORS))
        before = self.asked()
        asks = (["refresh", "sim"], ["refresh", "--all"], ["forget", "sim"],
                ["logs", "sim", "stack0-web-1"])
        for args in asks:
            done = self.client(dcm, [READERS], *args)
            self.assertEqual((done.returncode, done.stdout), (5, ""), (args, done))
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn('"%s"' % self.group(ACTORS), done.stderr)
        # what is cached goes on, and --refresh is a wish
        done = self.client(dcm, [READERS], "--json", "ps", "--refresh")
        self.assertEqual((done.returncode, len(json.loads(done.stdout))), (0, 6), done.stderr)
        self.assertIn('"%s"' % self.group(ACTORS), done.stderr)
        self.assertEqual(self.client(dcm, [READERS], "ps", "--refresh", "--strict").returncode, 4)
        for args in (["search", "web"], ["get", "sim", "stack0-web-1"], ["doctor"]):
            self.assertEqual(self.client(dcm, [READERS], *args).returncode, 0, args)
        self.assertEqual(self.asked(), before)
        for args in asks:
            done = self.client(dcm, [READERS, ACTORS], *args)
            self.assertEqual(done.returncode, 0, (args, done.stderr))
            wait_until(lambda: len(dcm.ps("sim")) == 6)
        self.assertEqual(dcm.run("refresh", "sim").returncode, 0)
        # a group that is not there is no group at all
        done = subprocess.run([os.path.join(dcmtest.BUILD, "dcmd"), "--config", dcm.config,
                               "--refresh-group", "no such group", "--check"],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--refresh-group", done.stderr)
        # to act one must be let in first
        self.assertEqual(self.client(dcm, [ACTORS], "refresh", "sim").returncode, 3)

    def test_who_is_not_in_the_group(self):
        dcm = self.dcmd()
        for args in (["ps"], ["hosts"], ["refresh", "sim"], ["watch"]):
            done = self.client(dcm, [], *args)
            self.assertEqual((done.returncode, done.stdout), (3, ""), args)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn("group", done.stderr)
        # the socket asks who it is, whoever changed the modes
        place = os.path.join(dcm.runtime, dcm.instance)
        os.chmod(dcm.runtime, 0o755)
        os.chmod(place, 0o755)
        os.chmod(os.path.join(place, "broker.sock"), 0o666)

        def ask():
            c = Connection(dcm)
            c.send(request("query", kind="all"))
            return c.reply().decode(errors="replace")
        self.assertIn("does not answer your user", as_user(STRANGER, STRANGER, [], ask))

    def test_a_reader_cannot_write(self):
        dcm = self.dcmd("--group", self.group(READERS))
        objects = ["/dev/shm/" + n for n in dcm.objects() if not n.endswith(":lock")]
        self.assertEqual(len(objects), 2)
        lock = [n for n in dcm.objects() if n.endswith(":lock")][0]
        place = os.path.join(dcm.runtime, dcm.instance)

        def writable_map(path, prot):
            with open(path, "rb") as f:
                mmap.mmap(f.fileno(), 4096, mmap.MAP_SHARED, prot)

        def try_all():
            found = {}
            for path in objects:
                found["read " + path] = outcome(open, path, "rb")
                found["write " + path] = outcome(open, path, "r+b")
                found["append " + path] = outcome(open, path, "ab")
                found["map " + path] = outcome(writable_map, path, mmap.PROT_READ | mmap.PROT_WRITE)
                found["unlink " + path] = outcome(os.unlink, path)
                found["rename " + path] = outcome(os.rename, path, path + "x")
                found["chmod " + path] = outcome(os.chmod, path, 0o666)
                found["truncate " + path] = outcome(os.truncate, path, 0)
            found["lock"] = outcome(open, "/dev/shm/" + lock, "rb")
            found["snapshots"] = outcome(os.listdir, os.path.join(dcm.state, dcm.instance))
            found["socket"] = outcome(os.unlink, os.path.join(place, "broker.sock"))
            found["another socket"] = outcome(
                socket.socket(socket.AF_UNIX).bind, os.path.join(place, "mine.sock"))
            return found
        for what, came in as_user(STRANGER, STRANGER, [READERS], try_all).items():
            self.assertEqual(came, "done" if what.startswith("read ") else "PermissionError", what)

    # -- what strangers leave --

    def squat(self, name, kind="file", to=None):
        """A stranger's object in /dev/shm."""
        path = "/dev/shm/" + name
        if kind == "link":
            os.symlink(to, path)
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            with open(path, "wb") as f:
                f.truncate(65536)
        self.addCleanup(os.unlink, path)
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
        if kind != "link":
            os.chmod(path, 0o666)
        return path

    def user_dcmd(self, dcm):
        """dcmd of a user who cannot remove what belongs to others."""
        os.chmod(self.engine.dir, 0o755)
        os.chmod(self.engine.socket, 0o666)
        return dcm.launch_as(NOBODY)

    def new(self):
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([self.engine]), start=False)
        self.addCleanup(dcm.kill)
        return dcm, "dcm-%d-%s-:" % (NOBODY, dcm.instance)

    def test_squatted_names(self):
        # without its lock or its directory it does not start, and says whose they are
        victim = os.path.join(dcmtest.fresh("v"), "victim")
        with open(victim, "wb") as f:
            f.write(b"mine")
        os.chown(victim, NOBODY, NOBODY)
        os.chmod(victim, 0o600)
        os.chown(os.path.dirname(victim), NOBODY, NOBODY)
        for name, kind in (("lock", "file"), ("dir", "file"), ("lock", "link"), ("dir", "link"),
                           ("lock", "pipe")):
            dcm, prefix = self.new()
            self.squat(prefix + name, kind, victim)
            self.user_dcmd(dcm)
            self.assertEqual(dcm.process.wait(30), 1)
            self.assertIn("/dev/shm", dcm.log())
            self.assertIn(prefix + name, dcm.log())
            self.assertEqual([n for n in os.listdir("/dev/shm") if n.startswith(prefix)],
                             [prefix + name], "it takes with it what it made")
        # a shard has other names
        dcm, prefix = self.new()
        path = self.squat(prefix + "host:sim:1")
        self.squat(prefix + "host:sim:2", "link", victim)
        self.squat(prefix + "host:sim:3", "pipe")
        self.user_dcmd(dcm)
        wait_until(lambda: os.path.exists("/dev/shm/" + prefix + "host:sim:4"), "its shard")
        done = wait_until(lambda: [
            d for d in [subprocess.run(
                [dcmtest.public("dcm-client"), "--instance", dcm.instance, "--runtime-dir",
                 dcm.runtime, "--json", "ps"], preexec_fn=dcmtest.become(NOBODY, NOBODY), cwd="/",
                capture_output=True, text=True, check=False, timeout=60)]
            if d.returncode == 0 and len(json.loads(d.stdout)) == 6], "its containers")
        self.assertEqual(done[0].stderr, "")
        for name, content in ((path, b"\0" * 65536), (victim, b"mine")):
            with open(name, "rb") as f:
                self.assertEqual(f.read(), content)

    def test_readers_are_not_fooled(self):
        """By a runtime directory and memory that a stranger made."""
        dcm = self.dcmd()
        place = os.path.join(dcmtest.fresh("f"), dcm.instance)
        os.mkdir(place)
        os.chown(place, STRANGER, STRANGER)
        done = subprocess.run([os.path.join(dcmtest.BUILD, "dcm-client"), "--instance",
                               dcm.instance, "--runtime-dir", os.path.dirname(place), "ps"],
                              capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertIn("not trusted", done.stderr)
        # nor do they wait for somebody to write into a pipe
        os.chown(place, 0, 0)
        pipe = "/dev/shm/dcm-0-%s-:dir" % (dcm.instance + "-pipe")
        os.rename(place, place + "-pipe")
        os.mkfifo(pipe, 0o644)
        self.addCleanup(os.unlink, pipe)
        os.chown(pipe, STRANGER, STRANGER)
        done = subprocess.run([os.path.join(dcmtest.BUILD, "dcm-client"), "--instance",
                               dcm.instance + "-pipe", "--runtime-dir", os.path.dirname(place),
                               "ps"], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertIn("not trusted", done.stderr)
        # nor where others may write what is to be read
        objects = ["/dev/shm/" + n for n in dcm.objects() if n.endswith(":dir")]
        os.chmod(objects[0], 0o666)
        done = dcm.run("ps")
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertIn("not trusted", done.stderr)
        os.chmod(objects[0], 0o640)
        self.assertEqual(dcm.run("ps").returncode, 0)
