"""`dcm-client doctor`: hosts that cannot be reached, each for another reason, in front of
real sshds, TLS servers and a real docker program; it shows the way to each step by step, says
where it stops, and the mend."""
import json
import os
import shutil
import socket
import subprocess
import threading
import unittest

import dcmtest
import sshserver
from dcmtest import SimEngine, wait_until
from sshserver import Sshd, USER
from test_tls import Authority, SslServer

NOBODY = 65534
STEPS = {"unix": ["docker", "API"],
         "tcp": ["name", "connect", "API"],
         "tls": ["name", "connect", "certificate", "API"],
         "ssh": ["name", "connect", "host key", "login", "docker", "API"]}
# One that no name service is asked for: a part of it is too long.
NO_NAME = "x" * 64 + ".invalid"


class Answers:
    """A socket where every connection gets the same answer; None: none, for ever."""

    def __init__(self, answer, family=socket.AF_UNIX):
        self.answer, self.open = answer, []
        self.s = socket.socket(family)
        if family == socket.AF_UNIX:
            self.path = os.path.join(dcmtest.fresh("u"), "s")
            self.s.bind(self.path)
        else:
            self.s.bind(("127.0.0.1", 0))
            self.port = self.s.getsockname()[1]
        self.s.listen(64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c = self.s.accept()[0]
            except OSError:
                return
            if self.answer is None:
                self.open.append(c)
                continue
            with c:
                c.settimeout(dcmtest.PATIENCE)
                try:
                    c.recv(4096)
                    c.sendall(self.answer)
                except OSError:
                    pass

    def stop(self):
        self.s.shutdown(socket.SHUT_RDWR)
        self.s.close()
        for c in self.open:
            c.close()


WEB_SERVER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Doctor(dcmtest.Case):
    def setUp(self):
        for program in ("sshd", "ssh", "openssl", "docker"):
            if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
                self.skipTest("needs " + program)
        self.engine = SimEngine("sim", 3)
        self.addCleanup(self.engine.stop)

    def dcmd(self, hosts, *options, **more):
        cache = {"connect_timeout": 5, "request_timeout": 5}
        dcm = dcmtest.Dcm(json.dumps({"hosts": hosts, "cache": cache}), *options, **more)
        self.addCleanup(dcm.kill)
        return dcm

    def answers(self, answer, *where):
        a = Answers(answer, *where)
        self.addCleanup(a.stop)
        return a

    # ---- hosts, and what the doctor is to say: (step, words of the cause, of the mend) ----

    def sockets(self):
        """Here, and at a port."""
        refused = os.path.join(dcmtest.fresh("u"), "s")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(refused)  # nobody listens
        web, garbage, hangs = (self.answers(x) for x in (
            WEB_SERVER, b"220 mail ESMTP\r\n", None))
        unix, tcp = "unix://%s", "tcp://%s:%d"
        yield "unix-missing", unix % "/nonexistent/s", "docker", "no socket at", "start the engine"
        yield "unix-refused", unix % refused, "docker", "refused", "start the engine"
        yield "unix-web", unix % web.path, "API", "API version", "is it a Docker engine"
        yield "unix-garbage", unix % garbage.path, "API", "HTTP", "is it a Docker engine"
        yield "unix-silent", unix % hangs.path, "API", "timeout: no answer", "check the engine"
        yield "tcp-name", tcp % (NO_NAME, 2375), "name", "no address", "hosts.yml, and DNS"
        yield ("tcp-refused", tcp % ("127.0.0.1", sshserver.free_port()), "connect", "refused",
               "start the engine")
        yield ("tcp-ssh", tcp % ("127.0.0.1", self.sshd.port), "API", "HTTP",
               "is it a Docker engine")

    def certificates(self):
        d = dcmtest.fresh("c")
        ca, stranger = Authority(d, "ca"), Authority(d, "stranger")
        here, there = "IP:127.0.0.1", "DNS:elsewhere.example"
        old = ("200101000000Z", "210101000000Z")
        servers = {
            "tls-expired": (ca.sign("old", "e", "serverAuth", here, old), "expired", "renew"),
            "tls-wrong": (ca.sign("wrong", "e", "serverAuth", there), "for another name",
                          "use a name"),
            "tls-stranger": (stranger.sign("s", "e", "serverAuth", here), "not trusted", "tls.ca"),
            "tls-plain": ((None, None), "TLS", "check its port"),
        }
        for name, (server, said, mend) in servers.items():
            e = SslServer(*server)
            self.addCleanup(e.stop)
            yield (name, {"url": "https://127.0.0.1:%d" % e.port, "tls": {"ca": ca.cert}},
                   "certificate", said, mend)
        yield ("tls-silent", {"url": "https://127.0.0.1:%d" % self.silent.port}, "certificate",
               "timeout: no answer", "check the engine")

    def key(self, name, options=None):
        """A key for an sshd that may log in; with options, only to run a command."""
        path = sshserver.keygen(os.path.join(self.sshd.dir, name), "ed25519")
        with open(path + ".pub") as f, open(self.sshd.authorized, "a") as to:
            to.write("%s%s" % (options + " " if options else "", f.read()))
        return path

    def over_ssh(self):
        """Entries as they are by the one backend and by the other."""
        s = self.sshd
        key, known = self.key("good"), s.known_hosts()
        stranger = sshserver.keygen(os.path.join(s.dir, "stranger"), "ed25519")
        changed = os.path.join(s.dir, "changed")
        with open(changed, "w") as f, open(stranger + ".pub") as other:
            f.write("[127.0.0.1]:%d %s" % (s.port, other.read()))
        empty = os.path.join(s.dir, "empty")
        open(empty, "w").close()
        web = self.answers(WEB_SERVER)

        def entry(path=self.engine.socket, **more):
            more = dict({"identity_file": key, "known_hosts": known}, **more)
            return dict({"url": "ssh://%s@127.0.0.1:%d%s" % (USER, s.port, path)}, **more)

        def command(name, line):
            """What the docker program says there, of the engine's socket."""
            return self.key(name, 'restrict,command="%s"' % line)

        dial = "docker -H %s system dial-stdio" % self.engine.url
        as_nobody = "setpriv --reuid=%d --regid=%d --clear-groups " % (NOBODY, NOBODY)
        yield ("name", entry(url="ssh://%s@%s/s" % (USER, NO_NAME)), "name",
               "no address", "hosts.yml, and DNS")
        yield ("refused", entry(url="ssh://%s@127.0.0.1:%d/s" % (USER, sshserver.free_port())),
               "connect", "refused", "start sshd")
        yield ("silent", entry(url="ssh://%s@127.0.0.1:%d/s" % (USER, self.silent.port)), "connect",
               "timeout: no answer", "check the host")
        yield "unknown", entry(known_hosts=empty), "host key", "is unknown", "ssh-keyscan -p"
        yield "changed", entry(known_hosts=changed), "host key", "changed", "ssh-keygen -f"
        yield ("login", entry(identity_file=stranger), "login", "login refused",
               "authorized_keys")
        yield ("nodocker", entry(identity_file=command("nodocker", "PATH=/nowhere " + dial)),
               "docker", "no docker at", "install it")
        yield ("stopped", entry("/nonexistent/s"), "docker", "no docker engine runs",
               "start it there")
        yield ("denied", entry(identity_file=command("denied", as_nobody + dial)), "docker",
               "permission denied on docker's socket", "group docker")
        yield "web", entry(web.path), "API", "API version", "is it a Docker engine"
        yield "good", entry(), None, "", ""

    def host(self, found, way, step, said, mend):
        """What was found of one host: its way, as far as it goes, and no further."""
        found = {f["check"]: f for f in found}
        if step is None:
            self.assertEqual(found["host"]["status"], "ok", found)
            self.assertEqual(found["steps"]["status"], "ok")
            self.assertEqual(found["steps"]["message"], ", ".join(STEPS[way]))
            return
        walked = STEPS[way][:STEPS[way].index(step) + 1]
        self.assertEqual(list(found)[:len(walked) + 1], ["host"] + walked, found)
        self.assertEqual(set(found) & set(STEPS["ssh"] + STEPS["tls"]), set(walked))
        for passed in walked[:-1]:
            self.assertEqual(found[passed]["status"], "ok")
        self.assertEqual(found[step]["status"], "fail")
        self.assertIn(said, found[step]["message"])
        self.assertIn(mend, found[step]["mend"] or "")
        self.assertEqual(found["host"]["status"], "fail")
        self.assertIn("stops at " + step, found["host"]["message"])

    def test_each_step(self):
        """a few dozen hosts, each of which stops at another step for another reason"""
        env = {"DOCKER_HOST": "unix:///nonexistent/s"}
        self.sshd = Sshd(env=env)
        self.addCleanup(self.sshd.stop)
        self.silent = self.answers(None, socket.AF_INET)
        hosts, wanted = {}, {}
        for name, entry, *expected in [*self.sockets(), *self.certificates()]:
            hosts[name] = entry if isinstance(entry, dict) else {"url": entry}
            wanted[name] = [name.split("-")[0], *expected]
        for name, entry, *expected in self.over_ssh():
            for backend in ("libssh2", "openssh"):
                hosts[name + "-" + backend] = dict(entry, ssh_backend=backend)
                wanted[name + "-" + backend] = ["ssh", *expected]
        dcm = self.dcmd(hosts)

        def each(name):
            def right():
                self.host(dcm.doctor(name)[1][name], *wanted[name])
                return True
            wait_until(right, "the walk to " + name, pause=0.3)
        for name in hosts:
            each(name)

        def all_of_them():  # with the rest of dcm well, also on a machine that is busy
            status, found = dcm.doctor()
            self.assertEqual(status, 4, [f for f in found[None] if f["status"] != "ok"])
            self.assertLessEqual(set(hosts), set(found))
            self.assertEqual(dcm.doctor("good-libssh2", "good-openssh")[0], 0)
            return True
        wait_until(all_of_them, "each host's own fault and no other")
        self.assertEqual(dcm.run("doctor", "nowhere").returncode, 1)

    def test_no_right_to_the_socket(self):
        """dcmd is not root, and the engine's socket is"""
        os.chmod(self.engine.dir, 0o755)
        dcm = self.dcmd({"h": {"url": self.engine.url}}, start=False)
        os.chmod(self.engine.socket, 0o600)
        dcm.launch_as(NOBODY)

        def right():
            done = subprocess.run(
                [dcmtest.public("dcm-client"), *dcm.client()[1:], "--json", "doctor", "h"],
                preexec_fn=dcmtest.become(NOBODY, NOBODY), cwd="/", capture_output=True,
                text=True, check=False)
            self.assertEqual(done.returncode, 4, done.stdout)
            self.host([f for f in json.loads(done.stdout) if f["subject"] == "h"], "unix",
                      "docker", "permission denied", "(0660, docker)")
            return True
        wait_until(right, "the walk to h")

    def test_dcmd_is_gone(self):
        """its memory is still there: nothing that it says of hosts counts as so"""
        dcm = self.dcmd({"h": {"url": self.engine.url}, "off": {"url": "unix:///nowhere"}})
        wait_until(lambda: dcm.hosts()["h"]["state"] == "online", "h online")
        wait_until(lambda: dcm.hosts()["off"]["state"] == "offline", "off offline")
        dcm.process.kill()
        dcm.process.wait()
        done, found = wait_until(lambda: dcm.doctor() if all(
            any(f["check"] == "collector" for f in dcm.doctor()[1][h]) for h in ("h", "off"))
            else None, "an end of the collectors")
        self.assertEqual(done, 3)
        of_none = {f["check"]: f for f in found[None]}
        self.assertEqual(of_none["supervisor"]["status"], "fail")
        self.assertIn("start dcmd", of_none["supervisor"]["mend"])
        for host, was in (("h", "online"), ("off", "offline")):
            checks = {f["check"]: f for f in found[host]}
            self.assertIn("was %s when its collector ended" % was, checks["host"]["message"])
            self.assertEqual((checks["collector"]["status"], checks["collector"]["mend"]),
                             ("fail", "start dcmd"))
            self.assertFalse(set(checks) & {"steps", "docker", "API"}, checks)
        dcm.start()  # and takes over
        wait_until(lambda: dcm.doctor("h")[0] == 0, "h online again")
        self.assertEqual(dcm.stop(), 0)
        done, found = dcm.doctor()
        self.assertEqual(done, 3)
        self.assertEqual([f["check"] for f in found[None]], ["instance"])
        self.assertIsNotNone(found[None][0]["mend"])


if __name__ == "__main__":
    unittest.main()
