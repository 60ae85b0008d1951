"""A real sshd on 127.0.0.1 with keys of its own, for the tests of SSH hosts."""
import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import unittest

import dcmtest

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
USER = pwd.getpwuid(os.geteuid()).pw_name


def free_port():
    """A port that was free a moment ago; an sshd that stops and starts keeps it."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def keygen(path, kind, passphrase="", *options):
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", kind, "-f", path,
                    *options], check=True, stdin=subprocess.DEVNULL)
    return path


class Sshd:
    """`options`: lines of sshd_config; `host_keys`: kinds of keys that it shows; `inside`:
    what starts it elsewhere (ip netns exec …), where it has this address."""

    def __init__(self, *options, host_keys=("ed25519", "ecdsa"), env=None, address="127.0.0.1",
                 inside=()):
        if SSHD is None or os.geteuid() != 0:
            raise unittest.SkipTest("needs sshd, and to be root")
        self.dir = dcmtest.fresh("k")
        os.chmod(self.dir, 0o755)
        self.address, self.inside = address, list(inside)
        self.port = free_port()
        self.host_keys = {kind: keygen(os.path.join(self.dir, "host_" + kind), kind)
                          for kind in host_keys}
        self.authorized = os.path.join(self.dir, "authorized_keys")
        open(self.authorized, "w").close()
        self.log = os.path.join(self.dir, "log")
        self.config = os.path.join(self.dir, "sshd_config")
        # a home of its own: what shells read there costs time, and is not ours
        env = dict({"PATH": os.environ["PATH"], "HOME": self.dir}, **(env or {}))
        lines = ["ListenAddress " + address, "Port %d" % self.port, "PidFile none", "UsePAM no",
                 "StrictModes no", "PermitRootLogin yes", "PasswordAuthentication no",
                 "KbdInteractiveAuthentication no", "LogLevel DEBUG1",
                 "AuthorizedKeysFile " + self.authorized,
                 "SetEnv " + " ".join('"%s=%s"' % kv for kv in env.items())]
        lines += ["HostKey " + path for path in self.host_keys.values()]
        given = {line.split()[0] for line in options}
        lines = [x for x in lines if x.split()[0] not in given] + list(options)
        if not any(x.startswith("Subsystem") for x in options):
            lines.append("Subsystem sftp internal-sftp")
        with open(self.config, "w") as f:
            f.write("\n".join(lines) + "\n")
        os.makedirs("/run/sshd", exist_ok=True)
        self.process = None
        atexit.register(self.stop)
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self.inside, SSHD, "-D", "-e", "-f", self.config],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)

        def answers():
            assert self.process.poll() is None, self.said()
            try:
                with socket.create_connection((self.address, self.port), 5) as s:
                    return s.recv(4) == b"SSH-"
            except OSError:
                return False
        dcmtest.wait_until(answers, "sshd's banner")

    def below(self):
        """{pid: command line} of all that this sshd started and that still runs."""
        parents, lines = {}, {}
        for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
            try:
                with open("/proc/%d/stat" % pid) as f:
                    parents[pid] = int(f.read().rpartition(")")[2].split()[1])
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    lines[pid] = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
        found, new = {}, {self.process.pid} if self.process else set()
        while new:
            new = {pid for pid, parent in parents.items() if parent in new and pid in lines}
            found.update((pid, lines[pid]) for pid in new)
        return found

    def programs(self):
        """What runs in its sessions, sshd's own processes left out."""
        return [line for line in self.below().values() if not line.startswith("sshd")]

    def stop(self):
        """Ends it with its connections, as a host that goes down would."""
        if self.process is None:
            return
        rest = self.below()
        dcmtest.end_process(self.process)
        for pid in rest:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process = None

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def count(self, text):
        return self.said().count(text)

    def key(self, kind, name=None, passphrase="", *options):
        """A new key that may log in; its path."""
        path = keygen(os.path.join(self.dir, name or "id_" + kind), kind, passphrase, *options)
        self.allow(path)
        return path

    def allow(self, path):
        with open(path + ".pub") as f, open(self.authorized, "a") as to:
            to.write(f.read())

    def known_hosts(self, *kinds, name="known_hosts", hashed=False, host=None):
        """A new known_hosts file that holds its keys of these kinds."""
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            for kind in kinds or self.host_keys:
                with open(self.host_keys[kind] + ".pub") as key:
                    f.write("%s %s\n" % (host or "[%s]:%d" % (self.address, self.port),
                                         " ".join(key.read().split()[:2])))
        if hashed:
            subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return path

    def entry(self, engine, **more):
        """The host's entry in hosts.yml."""
        entry = {"url": "ssh://%s@%s:%d%s" % (USER, self.address, self.port, engine.socket)}
        entry.update(more)
        return entry
