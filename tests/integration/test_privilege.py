"""What each process of dcmd can reach, as the kernel shows it: descriptors, mappings,
privileges; after the start, after each was killed, after a reload."""
import ctypes
import json
import os
import platform
import shutil
import signal
import stat
import struct
import subprocess
import unittest

import dcmtest
import sshserver
from dcmtest import wait_until

NOBODY = 65534
ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


def read(path):
    with open(path, "rb") as f:
        return f.read().decode(errors="replace")


class Process:
    """A process as /proc shows it."""

    def __init__(self, title, pid):
        self.title, self.pid = title, pid
        self.fds = {}  # number -> (what it is, how it was opened)
        base = "/proc/%d/" % pid
        for fd in os.listdir(base + "fd"):
            try:
                info = dict(line.split(":", 1) for line in
                            read(base + "fdinfo/" + fd).splitlines() if ":" in line)
                self.fds[int(fd)] = (os.readlink(base + "fd/" + fd), int(info["flags"], 8))
            except FileNotFoundError:
                pass  # closed meanwhile
        self.maps = [line.split(None, 5) for line in read(base + "maps").splitlines()]
        self.status = dict(line.split(":\t", 1) for line in
                           read(base + "status").splitlines() if ":\t" in line)
        self.limits = read(base + "limits")

    def sockets(self):
        return {int(what[8:-1]) for what, _ in self.fds.values() if what.startswith("socket:")}

    def objects(self, marker):
        """Memory objects that it has open (a name -> may it write?)."""
        return {what.partition(marker)[2]: flags & ACCESS != os.O_RDONLY
                for what, flags in self.fds.values() if marker in what}

    def mapped(self, marker):
        return {m[5].partition(marker)[2]: m[1] for m in self.maps
                if len(m) > 5 and marker in m[5]}


def unix_sockets():
    """{inode: (path, listens)} of this machine."""
    found = {}
    for line in read("/proc/net/unix").splitlines()[1:]:
        part = line.split(None, 7)
        found[int(part[6])] = (part[7] if len(part) > 7 else "", int(part[3], 16) & 0x10000 != 0)
    return found


def not_confined(dcm):
    """What dcmd could not give up, but for what this kernel lacks."""
    landlock = ctypes.CDLL(None).syscall(444, None, 0, 1) >= 1
    return [e["error"] for e in dcm.log_events("not_confined")
            if landlock or "seccomp" in e["error"]]


# seccomp(2); those of Landlock are 444 to 446 everywhere.
SECCOMP = {"x86_64": 317, "aarch64": 277}


def without_confinement():
    """For preexec_fn: as in a container whose rules let nobody confine itself."""
    def op(code, jt, jf, k):
        return struct.pack("HBBI", code, jt, jf, k)
    LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
    program = b"".join([
        op(LOAD, 0, 0, 0), op(EQUAL, 2, 0, SECCOMP[platform.machine()]),
        op(AT_LEAST, 0, 2, 444), op(AT_LEAST, 1, 0, 447),
        op(RETURN, 0, 0, 0x00050001), op(RETURN, 0, 0, 0x7fff0000)])
    text = ctypes.create_string_buffer(program, len(program))
    libc = ctypes.CDLL(None, use_errno=True)

    def really():
        filter_ = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(text))
        assert libc.prctl(38, 1, 0, 0, 0) == 0
        assert libc.prctl(22, 2, filter_) == 0, os.strerror(ctypes.get_errno())
    return really


class Privilege(dcmtest.Case):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to look into other processes")
        self.engines = [dcmtest.SimEngine("sim-" + n, 3) for n in "abc"]
        for e in self.engines:
            self.addCleanup(e.stop)

    def look(self, dcm):
        """All processes, once each host is served and no client is connected."""
        pids = dcm.pids()
        return {title: Process(title, pid) for title, pid in pids.items()}

    def check_memory(self, p, dcm):
        marker = "/dev/shm/dcm-%d-%s-:" % (os.geteuid(), dcm.instance)
        mapped, opened = p.mapped(marker), p.objects(marker)
        opened.pop("lock")  # each holds it, as a sign of life
        if p.title == "dcmd: broker":
            self.assertEqual(set(opened), set(), p.title)
            self.assertEqual(set(mapped.values()), {"r--s"}, p.title)
            self.assertEqual([m for m in p.maps if "w" in m[1] and not m[1].endswith("p")], [])
        else:
            own = "dir" if p.title == "dcmd: supervisor" else \
                "host:%s:" % p.title.rpartition(" ")[2]
            for name in [*mapped, *opened]:
                self.assertTrue(name.startswith(own), (p.title, name))
            self.assertEqual(set(mapped.values()), {"rw-s"}, p.title)
        for m in p.maps:
            self.assertFalse("w" in m[1] and "x" in m[1], (p.title, m))

    def check_sockets(self, processes, dcm, place=None):
        """`place`: in the path of the socket through which a collector reaches its ssh."""
        listener = os.path.join(dcm.runtime, dcm.instance, "broker.sock")
        known = unix_sockets()
        owner = {}
        for p in processes.values():
            for inode in p.sockets():
                # A socket of a kind that is not listed there is of another family.
                self.assertIn(inode, known, (p.title, "a network socket"))
                path, listens = known[inode]
                if listens and place and place in path:
                    self.assertTrue(p.title.startswith("dcmd: collector "), p.title)
                elif listens:
                    self.assertEqual(path, listener)
                    self.assertIn(p.title, ("dcmd: supervisor", "dcmd: broker"))
                else:
                    self.assertNotIn(inode, owner, (p.title, owner.get(inode)))
                    owner[inode] = p.title
        broker = processes["dcmd: broker"]
        self.assertEqual(len([i for i in broker.sockets() if not known[i][0]]), 1,
                         "the broker has its control socket, and no other that it connected")

    def check_rights(self, p):
        self.assertEqual(p.status["NoNewPrivs"], "1", p.title)
        if os.path.exists("/proc/sys/kernel/seccomp/actions_avail"):
            self.assertEqual(p.status["Seccomp"], "2", p.title)
            if p.title != "dcmd: supervisor":
                self.assertGreaterEqual(int(p.status.get("Seccomp_filters", 2)),
                                        1 if self.sanitized() else 2, p.title)
        rights = int(p.status["CapEff"], 16)
        at_most = {"dcmd: supervisor": 0xcf, "dcmd: broker": 0}.get(p.title, 0x7)
        self.assertEqual(rights & ~at_most, 0, p.title)
        self.assertEqual(int(p.status["CapInh"], 16), 0, p.title)
        self.assertRegex(p.limits, r"Max core file size +0 +0 ", p.title)

    def sanitized(self):
        return b"__asan_init" in open(os.path.join(dcmtest.BUILD, "dcmd"), "rb").read()

    def check(self, dcm, engines):
        # a client that just left may still be known to the broker
        wait_until(lambda: all(not path.endswith("broker.sock") or listens for path, listens in
                               (unix_sockets().get(i, ("", False)) for i in
                                Process("", dcm.pids()["dcmd: broker"]).sockets())))
        processes = self.look(dcm)
        self.assertEqual(set(processes), {"dcmd: supervisor", "dcmd: broker"} |
                         {"dcmd: collector " + e.name for e in engines})
        for p in processes.values():
            with self.subTest(process=p.title):
                self.check_memory(p, dcm)
                self.check_rights(p)
                for what, flags in p.fds.values():
                    if what.startswith("/") and flags & ACCESS != os.O_RDONLY:
                        self.assertTrue(what.startswith("/dev/") or what == dcm.log_path, what)
        self.check_sockets(processes, dcm)
        return processes

    def test_each_has_what_it_needs_and_no_more(self):
        a, b, c = self.engines
        dcm = dcmtest.Dcm(dcmtest.hosts_yml(self.engines))
        self.addCleanup(dcm.kill)
        dcm.settle(self.engines)
        before = self.check(dcm, self.engines)
        # the successors of those that died inherit nothing more
        for title in ("dcmd: collector sim-a", "dcmd: broker"):
            os.kill(before[title].pid, signal.SIGKILL)
        wait_until(lambda: {"dcmd: collector sim-a", "dcmd: broker"} <= set(dcm.pids()) and
                   dcm.pids()["dcmd: broker"] != before["dcmd: broker"].pid and
                   dcm.pids()["dcmd: collector sim-a"] != before["dcmd: collector sim-a"].pid)
        wait_until(lambda: len(dcm.log_events("broker_indexed")) == 2, "the next broker")
        dcm.settle(self.engines)
        self.check(dcm, self.engines)
        # nor those that a reload brings
        d = dcmtest.SimEngine("sim-d", 2)
        self.addCleanup(d.stop)
        dcm.configure(dcmtest.hosts_yml([b, c, d], **{"sim-c": {"stats": False}}))
        dcm.process.send_signal(signal.SIGHUP)
        wait_until(lambda: set(dcm.hosts()) == {"sim-b", "sim-c", "sim-d"} and
                   "dcmd: collector sim-d" in dcm.pids() and
                   "dcmd: collector sim-a" not in dcm.pids(), "the reload")
        dcm.settle([b, c, d])
        after = self.check(dcm, [b, c, d])
        self.assertEqual(after["dcmd: collector sim-b"].pid, before["dcmd: collector sim-b"].pid)
        self.assertEqual(not_confined(dcm), [])
        self.assertEqual(a.process.poll(), None)

    def test_an_ssh_has_what_an_ssh_needs(self):
        e = self.engines[0]
        sshd = sshserver.Sshd()
        self.addCleanup(sshd.stop)
        dcm = dcmtest.Dcm(json.dumps({"hosts": {
            "far": sshd.entry(e, ssh_backend="openssh", known_hosts=sshd.known_hosts(),
                              identity_file=sshd.key("ed25519"))}}))
        self.addCleanup(dcm.kill)
        wait_until(lambda: dcm.hosts()["far"]["state"] == "online", "online")
        all_of_it = self.look(dcm)
        dcmds = [p for title, p in all_of_it.items() if title.startswith("dcmd: ")]
        theirs = set().union(*(p.sockets() for p in dcmds))
        master = [int(p) for p in os.listdir("/proc") if p.isdigit() and
                  self.parent(p) == all_of_it["dcmd: collector far"].pid]
        self.assertEqual(len(master), 1)
        ssh = Process("ssh", master[0])
        self.assertIn("ssh", read("/proc/%d/comm" % ssh.pid))
        self.assertEqual(ssh.sockets() & theirs, set())
        self.assertEqual([what for what, _ in ssh.fds.values()
                          if what.startswith("/") and what != "/dev/null"], [])
        self.assertEqual([m for m in ssh.maps if "/dev/shm" in m[-1]], [])
        self.assertEqual(ssh.status["NoNewPrivs"], "1")
        self.assertEqual(int(ssh.status["CapEff"], 16) & ~0xcf, 0)
        # and the collector has no more than one by any other way
        self.check_memory(all_of_it["dcmd: collector far"], dcm)
        self.check_sockets({p.title: p for p in dcmds}, dcm, place="/dcm-ssh-")

    @staticmethod
    def parent(pid):
        try:
            return int(read("/proc/%s/stat" % pid).rpartition(")")[2].split()[1])
        except OSError:
            return 0

    def test_its_own_user_cannot_look_into_it(self):
        """Neither keys nor what is redacted later: not by /proc, not by a debugger."""
        e = self.engines[0]
        os.chmod(e.dir, 0o755)
        os.chmod(e.socket, 0o666)
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([e]), start=False)
        self.addCleanup(dcm.kill)
        dcm.launch_as(NOBODY)
        wait_until(lambda: len(dcm.pids()) == 3, "its processes")
        marker = "/dev/shm/dcm-%d-%s-:" % (NOBODY, dcm.instance)
        wait_until(lambda: Process("", dcm.pids()["dcmd: collector sim-a"]).mapped(marker))
        for title, pid in dcm.pids().items():
            for name in ("environ", "mem", "maps"):
                done = subprocess.run(["dd", "if=/proc/%d/%s" % (pid, name), "count=0"],
                                      preexec_fn=dcmtest.become(NOBODY, NOBODY), check=False,
                                      capture_output=True, text=True, cwd="/")
                self.assertIn("Permission denied", done.stderr, (title, name))
            self.assertEqual(os.stat("/proc/%d/environ" % pid).st_uid, 0, title)
            self.assertEqual(read("/proc/%d/cmdline" % pid).split("\0")[0], title)
            self.assertTrue(stat.S_ISREG(os.stat("/proc/%d/status" % pid).st_mode))

    def test_where_nothing_can_be_given_up(self):
        """It works as well, and says once what is missing."""
        if platform.machine() not in SECCOMP:
            self.skipTest("no number of seccomp(2) for this machine")
        e = self.engines[0]
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([e]), start=False)
        self.addCleanup(dcm.kill)
        with open(dcm.log_path, "ab") as log:
            dcm.process = subprocess.Popen(dcm.command(), stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=log, preexec_fn=without_confinement())
        wait_until(dcm.hosts, "its memory")
        dcm.settle([e])
        self.assertEqual(dcm.run("refresh", "sim-a").returncode, 0)
        told = dcm.log_events("not_confined")
        self.assertEqual(len(told), 1, told)
        for what in ("seccomp", "Landlock", "docs/security.md"):
            self.assertIn(what, told[0]["error"])
        self.assertEqual(Process("", dcm.pids()["dcmd: broker"]).status["CapEff"].strip("0\n"), "")


UNIT = os.path.join(dcmtest.ROOT, "scripts", "dcmd.service")


def analyze(*args):
    """systemd-analyze's answer; SkipTest where it has none."""
    if shutil.which("systemd-analyze") is None:
        raise unittest.SkipTest("needs systemd-analyze")
    done = subprocess.run(["systemd-analyze", *args], capture_output=True, text=True, timeout=60,
                          check=False, stdin=subprocess.DEVNULL)
    if done.returncode < 0 or "unrecognized option" in done.stderr:
        raise unittest.SkipTest("systemd-analyze is too old: " + done.stderr.strip())
    return done


def calls_of(names):
    """System calls of a SystemCallFilter=, its sets taken apart."""
    found = set()
    for name in names:
        if name.startswith("@"):
            lines = [x.strip() for x in analyze("syscall-filter", name).stdout.splitlines()[1:]]
            found |= calls_of(x for x in lines if x and not x.startswith("#"))
        else:
            found.add(name)
    return found


def under_filter(allowed, uid):
    """For preexec_fn: what systemd does with User=, NoNewPrivileges= and the filter."""
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int,
                                           ctypes.c_uint, ctypes.c_void_p]
    lib.seccomp_load.argtypes = [ctypes.c_void_p]
    libc = ctypes.CDLL(None)
    rules = lib.seccomp_init(0x00050001)  # EPERM
    for name in allowed:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            lib.seccomp_rule_add_array(rules, 0x7fff0000, number, 0, None)

    def really():
        dcmtest.become(uid, uid)()
        libc.prctl(38, 1, 0, 0, 0)
        assert lib.seccomp_load(rules) == 0
    return really


class Unit(dcmtest.Case):
    """scripts/dcmd.service, as far as it can be tried without systemd."""

    def filter(self):
        allowed = calls_of(["@default"])
        with open(UNIT, encoding="utf-8") as f:
            for line in f:
                key, _, value = line.strip().partition("=")
                if key == "SystemCallFilter" and value.startswith("~"):
                    allowed -= calls_of(value[1:].split())
                elif key == "SystemCallFilter":
                    allowed |= calls_of(value.split())
        return allowed

    def test_exposure(self):
        """docs/security.md says 1.6; other versions of systemd weigh otherwise."""
        place = os.path.join(dcmtest.fresh("unit"), "dcmd.service")
        shutil.copy(UNIT, place)
        done = analyze("security", "--offline=true", "--threshold=20", place)
        self.assertEqual(done.returncode, 0, done.stdout[-300:] + done.stderr)

    def test_system_calls(self):
        """All of dcmd works under the unit's filter, and gives up the rest itself."""
        if os.geteuid() != 0:
            self.skipTest("needs root, to be another user")
        try:
            really = under_filter(self.filter(), NOBODY)
        except OSError as e:
            self.skipTest("needs libseccomp: %s" % e)
        e = dcmtest.SimEngine("sim", 4)
        self.addCleanup(e.stop)
        os.chmod(e.dir, 0o755)
        os.chmod(e.socket, 0o666)
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([e]), start=False)
        self.addCleanup(dcm.kill)
        dcm.launch_as(NOBODY, really)

        def ask(*args):
            return subprocess.run(
                [dcmtest.public("dcm-client"), "--instance", dcm.instance, "--runtime-dir",
                 dcm.runtime, *args], preexec_fn=dcmtest.become(NOBODY, NOBODY), cwd="/",
                capture_output=True, text=True, timeout=60, check=False)
        wait_until(lambda: ask("refresh", "sim").returncode == 0, "a refresh")
        self.assertEqual(ask("logs", "sim", "stack0-web-1").returncode, 0)
        self.assertEqual(not_confined(dcm), [])
        self.assertEqual(dcm.stop(), 0)
        self.assertEqual(os.listdir(os.path.join(dcm.state, dcm.instance)), ["sim.snap"])
