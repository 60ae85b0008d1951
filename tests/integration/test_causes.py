"""Causes that lie outside of dcm and of the engine's program: a full disk below a real
engine, a network that says that there is no way, a socket that its owner keeps to
himself.  Each is told in a sentence of its own, and leaves other hosts alone."""
import atexit
import errno
import grp
import json
import os
import pwd
import shutil
import subprocess
import unittest

import dcmtest
from dcmtest import wait_until


def row_is(case, dcm, host, state, *words):
    def there():
        row = dcm.hosts()[host]
        case.assertEqual(row["state"], state, row)
        for word in words:
            case.assertIn(word, row["error"])
        return row
    return wait_until(there, "%s %s with %s" % (host, state, words))


# ---- a full disk -----------------------------------------------------------------------

class SmallEngine(dcmtest.Engine):
    """Its data root has little room.  The disk lies outside of its directory, where an end
    of the engine unmounts all."""
    disk = None

    def start(self):
        if self.disk is None:
            self.disk = dcmtest.fresh("disk")
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m,mode=711", "dcm-test",
                               self.disk], check=False, capture_output=True).returncode:
                raise unittest.SkipTest("mount is not allowed here")
            atexit.register(self.end)
            os.mkdir(os.path.join(self.disk, "root"), 0o711)
            os.symlink(os.path.join(self.disk, "root"), os.path.join(self.dir, "data"))
        super().start()

    def fill(self):
        with open(os.path.join(self.disk, "filler"), "ab", buffering=0) as f:
            for size in (65536, 4096, 1):
                try:
                    while f.write(b"x" * size) == size:
                        pass
                except OSError as e:
                    assert e.errno == errno.ENOSPC, e

    def clear(self):
        os.unlink(os.path.join(self.disk, "filler"))

    def end(self):
        self.stop()
        subprocess.run(["umount", "-l", "-q", self.disk], check=False, capture_output=True)


class FullDisk(dcmtest.Case):
    def setUp(self):
        if shutil.which("dockerd") is None or os.geteuid() != 0:
            raise unittest.SkipTest("needs dockerd, and to be root")
        self.engine = SmallEngine("small")
        self.addCleanup(self.engine.end)
        self.other = dcmtest.SimEngine("other", 5)
        self.addCleanup(self.other.stop)

    def exact(self, dcm):
        """What is shown is what the engine's inspects say: on a full disk its list keeps
        the states from before."""
        def same():
            api = self.engine.api
            truth = {c["Id"]: api.inspect(c["Id"]) for c in api.list()}
            shown = {r["container_id"]: r for r in dcm.ps("small")}
            self.assertEqual(set(shown), set(truth))
            for i, c in truth.items():
                self.assertEqual(shown[i]["name"], c["Name"][1:])
                self.assertEqual(shown[i]["status"], c["State"]["Status"])
                self.assertEqual(shown[i]["exit_code"], c["State"]["ExitCode"])
            return True
        wait_until(same, "what the engine says")

    def test_story(self):
        api = self.engine.api
        api.run("stays", ["sleep", "1000"])
        stops = api.run("stops", ["sleep", "1000"])
        goes = api.run("goes", ["sleep", "1000"])
        api.run("writes", ["sh", "-c", "while true; do echo line; sleep 0.1; done"])
        dcm = dcmtest.Dcm(json.dumps({
            "hosts": {"small": {"url": self.engine.url}, "other": {"url": self.other.url}},
            "cache": {"stats_update": 1, "status_update": 1, "connect_timeout": 4}}))
        self.addCleanup(dcm.kill)
        for host in ("small", "other"):
            row_is(self, dcm, host, "online")
        self.exact(dcm)

        self.engine.fill()
        with self.assertRaises(dcmtest.ApiError) as refused:
            api.create("new", ["true"])
        self.assertIn("no space left", str(refused.exception))
        # What happens to the others is seen, whatever the engine's list says of it.
        api.act(stops, "kill")
        api.remove(goes)
        wait_until(lambda: dcm.get("small", "stops")["status"] == "exited", "the stop")
        self.exact(dcm)
        for _ in range(3):  # lists, too: they contradict the inspects
            dcm.json("refresh", "small")
            self.assertEqual(dcm.get("small", "stops")["status"], "exited")
        self.exact(dcm)
        row_is(self, dcm, "small", "online")

        # It goes down, and would not start without room.
        self.engine.stop()
        row_is(self, dcm, "small", "offline", "unix://", "start the engine")
        self.assertEqual(dcm.names("small"), ["stays", "stops", "writes"])
        row_is(self, dcm, "other", "online")
        dcm.json("refresh", "other")

        self.engine.clear()
        self.engine.start()
        row_is(self, dcm, "small", "online")
        api.start(stops)
        api.run("new", ["sleep", "1000"])
        wait_until(lambda: dcm.get("small", "new")["status"] == "running", "the new one", 5)
        self.exact(dcm)
        offline = [x["host"] for x in dcm.log_events("host_offline")]
        self.assertEqual(offline, ["small"])


# ---- no way ------------------------------------------------------------------------------

class NoRoute(dcmtest.Case):
    """dcmd in a network namespace whose routes say no."""
    ROUTES = {"unreachable": "198.18.7.1", "prohibit": "198.18.8.1", "blackhole": "198.18.9.1",
              "none": "203.0.113.1"}  # of the last no route knows anything

    def test_each(self):
        name = "dcmt-causes-%d" % os.getpid()
        if os.geteuid() != 0 or shutil.which("ip") is None or \
                subprocess.run(["ip", "netns", "add", name], check=False,
                               capture_output=True).returncode:
            raise unittest.SkipTest("no network namespaces here")
        self.addCleanup(subprocess.run, ["ip", "netns", "del", name], check=False)
        for kind, address in self.ROUTES.items():
            if kind != "none":
                subprocess.run(["ip", "-n", name, "route", "add", kind, address], check=True)
        hosts = {}
        for kind, address in self.ROUTES.items():
            hosts["tcp-" + kind] = {"url": "tcp://%s:2375" % address}
            hosts["tls-" + kind] = {"url": "https://%s:2376" % address}
            if shutil.which("ssh"):
                for backend in ("libssh2", "openssh"):
                    hosts["%s-%s" % (backend, kind)] = {"url": "ssh://root@" + address,
                                                        "ssh_backend": backend}

        class Inside(dcmtest.Dcm):
            def command(self):
                return ["ip", "netns", "exec", name, *super().command()]
        dcm = Inside(json.dumps({"hosts": hosts}))
        self.addCleanup(dcm.kill)
        for host in hosts:
            error = row_is(self, dcm, host, "offline", "no route to ", "check ")["error"]
            if host.endswith("prohibit"):
                self.assertRegex(error, "firewall", host)


# ---- another's socket -----------------------------------------------------------------------

NOBODY = 65534


class AsNobody(dcmtest.Dcm):
    """dcmd and its client as a user who may nothing."""
    AS = ["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups"]

    def __init__(self, config):
        super().__init__(config, start=False)
        os.chown(self.dir, NOBODY, NOBODY)
        self.start()

    def command(self):
        return [*self.AS, dcmtest.public("dcmd"), *super().command()[1:]]

    def client(self):
        return [*self.AS, dcmtest.public("dcm-client"), *super().client()[1:]]


class Denied(dcmtest.Case):
    def test_sentence(self):
        """a socket for its owner, for a group, and below a directory that is closed"""
        if os.geteuid() != 0 or shutil.which("setpriv") is None:
            raise unittest.SkipTest("needs root, and setpriv")
        user = pwd.getpwuid(NOBODY).pw_name
        group = next(g for g in grp.getgrall() if g.gr_gid not in (0, NOBODY))
        place = dcmtest.fresh("u")
        paths = {}
        for name in ("owner", "group", "closed"):
            os.mkdir(os.path.join(place, name), 0o755)
            paths[name] = os.path.join(place, name, "docker.sock")
            sim = dcmtest.SimEngine(name, 2, "--listen", "unix://" + paths[name])
            self.addCleanup(sim.stop)
        os.chmod(paths["owner"], 0o600)
        os.chown(paths["group"], 0, group.gr_gid)
        os.chmod(paths["group"], 0o660)
        os.chmod(os.path.join(place, "closed"), 0o700)
        dcm = AsNobody(json.dumps({"hosts": {k: {"url": "unix://" + v} for k, v in paths.items()},
                                   "cache": {"connect_timeout": 3}}))
        self.addCleanup(dcm.kill)
        words = {"owner": ("0600", "user " + user),
                 "group": ("add user %s to group %s" % (user, group.gr_name),),
                 "closed": ("let user %s into its directory" % user,)}
        for name, path in paths.items():
            row_is(self, dcm, name, "offline", "permission denied on unix://" + path, *words[name])
        # What the sentence says mends it.
        os.chown(paths["owner"], 0, NOBODY)
        os.chmod(paths["owner"], 0o660)
        os.chmod(os.path.join(place, "closed"), 0o755)
        os.chmod(paths["closed"], 0o666)
        for name in ("owner", "closed"):
            row_is(self, dcm, name, "online")


if __name__ == "__main__":
    unittest.main()
