"""SSH hosts: real sshds with keys of their own in front of a real engine.  Each story
says what stands between dcm and the engine, and what comes of it."""
import json
import os
import shutil
import socket
import subprocess
import threading
import unittest

import dcmtest
import sshserver
from dcmtest import wait_until
from sshserver import Sshd, USER

_shared = {}


def engine():
    """A real engine with a few containers, for all of this module: one of its own,
    since two sessions of an sshd are few for the fleets of other modules."""
    if "engine" not in _shared:
        if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
            raise unittest.SkipTest("needs ssh")
        if shutil.which("dockerd") is None or os.geteuid() != 0:
            raise unittest.SkipTest("needs dockerd, and to be root")
        e = dcmtest.Engine("ssh")
        compose = os.path.join(e.dir, "stack", "compose.yml")
        os.makedirs(os.path.dirname(compose), exist_ok=True)
        with open(compose, "w") as f:
            f.write("services: {web: {image: busybox}}\n")
        e.run_ssh = [
            e.api.run("ssh-web", ["sleep", "1000"], Env=["A=b"], Labels={
                "com.docker.compose.project": "ssh", "com.docker.compose.service": "web",
                "com.docker.compose.project.config_files": compose,
                "com.docker.compose.project.working_dir": os.path.dirname(compose)}),
            e.api.run("ssh-db", ["sleep", "1000"]),
            e.api.create("ssh-idle", ["true"])]
        _shared["engine"] = e
    return _shared["engine"]


def tearDownModule():
    for container in getattr(_shared.get("engine"), "run_ssh", []):
        _shared["engine"].api.remove(container)


class Ssh(dcmtest.Case):
    def setUp(self):
        self.engine = engine()

    def sshd(self, *options, **more):
        s = Sshd(*options, **more)
        self.addCleanup(s.stop)
        return s

    def entry(self, sshd, kind="ed25519", **more):
        """hosts.yml's entry of a host whose key and known_hosts are right."""
        more.setdefault("known_hosts", sshd.known_hosts())
        if "identity_file" not in more:
            more["identity_file"] = sshd.key(kind, "id_%s_%d" % (kind, len(os.listdir(sshd.dir))))
        return sshd.entry(self.engine, **more)

    def dcmd(self, env=None, options=(), **hosts):
        cache = {"stats_update": 2, "connect_timeout": 5, "request_timeout": 10}
        text = json.dumps({"hosts": {k.replace("_", "-"): v for k, v in hosts.items()},
                           "cache": cache})
        dcm = dcmtest.Dcm(text, *options, env=env)
        self.addCleanup(dcm.kill)
        return dcm

    def online(self, dcm, host, transport=None):
        def there():
            row = dcm.hosts()[host]
            self.assertEqual((row["state"], row["error"]), ("online", None), row)
            return row
        row = wait_until(there, "%s online" % host)
        if transport is not None:
            self.assertEqual(row["transport"], transport)
        return row

    def offline(self, dcm, host, *words):
        def there():
            row = dcm.hosts()[host]
            self.assertEqual(row["state"], "offline", row)
            for word in words:
                self.assertIn(word, row["error"])
            return row
        return wait_until(there, "%s offline with %s" % (host, words))

    def whole(self, dcm, host):
        """Its containers are there, as the engine lists them."""
        def there():
            ids = {r["container_id"] for r in dcm.ps(host)}
            self.assertEqual(ids, {c["Id"] for c in self.engine.api.list()})
            return True
        wait_until(there, "all containers of %s" % host)


VOLATILE = ("host_id", "cpu_percent", "memory_usage", "memory_percent", "uptime", "freshness",
            "cached_at", "last_updated", "pids", "block_read", "block_write")


class Ways(Ssh):
    def test_keys(self):
        """ed25519 and ecdsa by libssh2, RSA by the system's ssh, and all see the same"""
        s = self.sshd()
        dcm = self.dcmd(ed=self.entry(s), ec=self.entry(s, "ecdsa"), rsa=self.entry(s, "rsa"),
                        program=self.entry(s, ssh_backend="openssh"), unix={"url": self.engine.url})
        for host in ("ed", "ec", "rsa", "program", "unix"):
            self.online(dcm, host)
            self.whole(dcm, host)
        shown = {k: v["transport"] for k, v in dcm.hosts().items()}
        self.assertEqual(shown, {"ed": "ssh/libssh2", "ec": "ssh/libssh2", "rsa": "ssh/openssh",
                                 "program": "ssh/openssh", "unix": "unix"})
        dcm.json("refresh", "--all")  # files that came late the first time
        for name in ("ssh-web", "ssh-db", "ssh-idle"):
            def same():
                want = dcm.get("unix", name)
                for host in ("ed", "rsa"):
                    got = dcm.get(host, name)
                    for field in want:
                        if field not in VOLATILE:
                            self.assertEqual(got[field], want[field], (host, field))
                return want
            record = wait_until(same, "the same record of %s" % name)
            if name == "ssh-web":
                self.assertIn("busybox", record["compose_file_content"])
        # The fallback is said once.
        self.assertEqual(len(dcm.log_events("ssh_fallback")), 1)

    def test_one_connection_and_no_program_there(self):
        s = self.sshd()
        dcm = self.dcmd(h=self.entry(s))
        self.online(dcm, "h", "ssh/libssh2")
        self.whole(dcm, "h")
        for _ in range(3):
            dcm.json("refresh", "h")
        self.assertEqual(s.count("Accepted publickey"), 1)
        wait_until(lambda: not s.programs(), "an end of what was asked there")
        # The system's ssh: one connection, too, and nothing is started for a refresh.
        dcm.kill()
        p = self.sshd()
        dcm = self.dcmd(h=self.entry(p, ssh_backend="openssh"))
        self.online(dcm, "h", "ssh/openssh")
        self.whole(dcm, "h")
        for _ in range(3):
            dcm.json("refresh", "h")
        self.assertEqual(p.count("Accepted publickey"), 1)
        wait_until(lambda: not p.programs(), "an end of what was asked there")

    def test_the_program_is_started_once(self):
        """the system's ssh: refreshes, files and streams are all the master's"""
        compose = os.path.join(self.engine.dir, "stack", "compose.yml")
        with open(compose) as f:
            before = f.read()

        def write(text):
            with open(compose, "w") as f:
                f.write(text)
        self.addCleanup(write, before)
        env = {"DOCKER_HOST": self.engine.url}
        s, dial = self.sshd(), self.sshd("AllowStreamLocalForwarding no", env=env)
        tools = dcmtest.fresh("t")
        started = os.path.join(tools, "started")
        with open(os.path.join(tools, "ssh"), "w") as f:
            f.write("#!/bin/sh\necho \"$*\" >>%s\nexec %s \"$@\"\n" % (started, shutil.which("ssh")))
        os.chmod(os.path.join(tools, "ssh"), 0o755)
        dcm = self.dcmd(env={"PATH": tools + ":" + os.environ["PATH"]},
                        forward=self.entry(s, ssh_backend="openssh"),
                        dial=self.entry(dial, ssh_backend="openssh", stats=False))
        for host in ("forward", "dial"):
            self.online(dcm, host, "ssh/openssh")
            self.whole(dcm, host)

        def starts():
            with open(started) as f:
                return f.read().splitlines()

        def children(host):
            with open("/proc/%d/task/%d/children" % (2 * (dcm.pids()["dcmd: collector " + host],))) as f:
                return len(f.read().split())
        first = starts()
        self.assertEqual(len([x for x in first if " -M " in x]), 2, first)
        for i in range(10):
            text = "services: {web: {image: busybox}} # %d\n" % i
            write(text)
            for host in ("forward", "dial"):
                dcm.json("refresh", host)
                self.assertEqual(dcm.get(host, "ssh-web")["compose_file_content"], text)
                self.assertEqual(children(host), 1)
        self.assertEqual(starts(), first)
        wait_until(lambda: not s.programs(), "an end of what was asked there")
        wait_until(lambda: all("dial-stdio" in x for x in dial.programs()),
                   "an end of what was asked there")
        self.assertEqual(s.count("Accepted publickey"), 1)

    def test_encrypted_key_and_agent(self):
        s = self.sshd()
        key = s.key("ed25519", "secret", "passphrase")
        sock = os.path.join(s.dir, "agent")
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL)
        self.addCleanup(dcmtest.end_process, agent)
        wait_until(lambda: os.path.exists(sock), "the agent")
        dcm = self.dcmd(env={"SSH_AUTH_SOCK": sock}, h=self.entry(s, identity_file=key))
        self.offline(dcm, "h", "login refused", "encrypted", "agent")
        ask = os.path.join(s.dir, "ask")
        with open(ask, "w") as f:
            f.write("#!/bin/sh\necho passphrase\n")
        os.chmod(ask, 0o755)
        subprocess.run(["ssh-add", "-q", key], check=True, stdin=subprocess.DEVNULL,
                       env=dict(os.environ, SSH_AUTH_SOCK=sock, SSH_ASKPASS=ask,
                                SSH_ASKPASS_REQUIRE="force"))
        self.online(dcm, "h", "ssh/libssh2")

    def test_known_hosts(self):
        """hashed, of one kind of key only, by pattern; unknown, changed and revoked refused"""
        s = self.sshd()
        other = self.sshd()
        key = s.key("ed25519")
        place = "[127.0.0.1]:%d" % s.port
        files = {
            "hashed": s.known_hosts(name="hashed", hashed=True),
            "ed": s.known_hosts("ed25519", name="ed"),
            "ec": s.known_hosts("ecdsa", name="ec"),
            "pattern": s.known_hosts(name="pattern", host="[127.0.0.*]:%d,!other" % s.port),
            "bare": s.known_hosts(name="bare", host="127.0.0.1"),
            "unknown": other.known_hosts(name="unknown"),
            "changed": other.known_hosts(name="changed", host=place),
            "revoked": s.known_hosts(name="revoked"),
        }
        with open(files["revoked"]) as f:
            lines = f.read().splitlines()
        with open(files["revoked"], "w") as f:
            f.write("".join("@revoked %s\n" % line for line in lines))
        dcm = self.dcmd(**{k: self.entry(s, identity_file=key, known_hosts=v)
                           for k, v in files.items()},
                        program=self.entry(s, identity_file=key, known_hosts=files["unknown"],
                                           ssh_backend="openssh"))
        for host in ("hashed", "ed", "ec", "pattern", "bare"):
            self.online(dcm, host, "ssh/libssh2")
        self.offline(dcm, "unknown", "host key", "SHA256:", "ssh-keyscan", files["unknown"])
        self.offline(dcm, "changed", "host key", "changed", files["changed"])
        self.offline(dcm, "revoked", "host key", "revoked")
        self.offline(dcm, "program", "host key", files["unknown"])
        # Neither is a case for the other backend, and nothing was written.
        self.assertEqual(dcm.hosts()["unknown"]["transport"], "ssh/libssh2")
        with open(files["unknown"]) as f:
            self.assertNotIn(place, f.read())

    def test_known_hosts_of_rsa_alone(self):
        s = self.sshd(host_keys=("rsa",))
        dcm = self.dcmd(h=self.entry(s))
        self.online(dcm, "h", "ssh/openssh")

    def test_host_certificate(self):
        """a host that known_hosts knows by the authority that signed its key"""
        authority, other = (sshserver.keygen(os.path.join(dcmtest.fresh("a"), "ca"), "ed25519")
                            for _ in range(2))
        s = self.sshd()
        s.stop()

        def sign(names, *options):
            subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "host", "-h", "-n", names,
                            *options, s.host_keys["ed25519"] + ".pub"], check=True,
                           stderr=subprocess.DEVNULL)

        def known(name, by, names, *more):
            path = os.path.join(s.dir, name)
            with open(by + ".pub") as key, open(path, "w") as f:
                f.write("@cert-authority %s %s" % (names, key.read()) + "".join(more))
            return path
        sign("127.0.0.1")
        with open(s.config, "a") as f:
            f.write("HostCertificate %s-cert.pub\n" % s.host_keys["ed25519"])
        s.start()
        with open(self.sshd().known_hosts(host="[127.0.0.1]:%d" % s.port)) as f:
            old_key = f.read()
        place = "[127.0.0.1]:%d" % s.port
        files = {"all": known("all", authority, "*"), "place": known("place", authority, place),
                 "bare": known("bare", authority, "127.0.0.1"),
                 "new_key": known("new_key", authority, "*", old_key),
                 "other": known("other", other, "*"),
                 "only": known("only", authority, "*")}
        key = s.key("ed25519")
        dcm = self.dcmd(**{k: self.entry(s, identity_file=key, known_hosts=v)
                           for k, v in files.items() if k != "only"},
                        plain=self.entry(s, identity_file=key),
                        only=self.entry(s, identity_file=key, known_hosts=files["only"],
                                        ssh_backend="libssh2"))
        for host in ("all", "place", "bare", "new-key"):
            self.online(dcm, host, "ssh/openssh")
            self.whole(dcm, host)
        self.online(dcm, "plain", "ssh/libssh2")
        self.offline(dcm, "other", "host key", "unknown")
        self.offline(dcm, "only", "host key", "certificate", "ssh_backend")
        # One that has expired is no better than none.
        sign("127.0.0.1", "-V", "20200101:20200102")
        s.stop()
        s.start()
        self.offline(dcm, "all", "certificate", "expired")
        sign("elsewhere")
        s.stop()
        s.start()
        self.offline(dcm, "all", "certificate", "name")

    def test_user_certificate(self):
        """a key that the server knows by the authority that signed it"""
        authority = sshserver.keygen(os.path.join(dcmtest.fresh("a"), "ca"), "ed25519")
        s = self.sshd("TrustedUserCAKeys %s.pub" % authority)
        keys = {}
        for name in ("beside", "named", "none"):
            keys[name] = sshserver.keygen(os.path.join(s.dir, "user_" + name), "ed25519")
            if name != "none":
                subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "me", "-n", USER,
                                keys[name] + ".pub"], check=True, stderr=subprocess.DEVNULL)
        moved = os.path.join(s.dir, "certificate")
        os.rename(keys["named"] + "-cert.pub", moved)
        config = os.path.join(s.dir, "config")
        with open(config, "w") as f:
            f.write("Host *\n  CertificateFile %s\n" % moved)
        dcm = self.dcmd(beside=self.entry(s, identity_file=keys["beside"]),
                        named=self.entry(s, identity_file=keys["named"], ssh_config=config),
                        none=self.entry(s, identity_file=keys["none"]),
                        both=self.entry(s, identity_file=self.both(s, keys["beside"])))
        for host in ("beside", "named"):
            self.online(dcm, host, "ssh/openssh")
        self.online(dcm, "both", "ssh/libssh2")  # the key alone will do
        self.offline(dcm, "none", "login refused")

    def both(self, s, key):
        """A key that may log in, and has a certificate, too."""
        path = s.key("ed25519", "user_both")
        shutil.copy(key + "-cert.pub", path + "-cert.pub")
        return path

    def test_modern_algorithms_only(self):
        s = self.sshd("KexAlgorithms sntrup761x25519-sha512@openssh.com",
                      "Ciphers chacha20-poly1305@openssh.com")
        dcm = self.dcmd(h=self.entry(s), only=self.entry(s, ssh_backend="libssh2"))
        self.online(dcm, "h", "ssh/openssh")
        self.offline(dcm, "only", "handshake", "ssh_backend")

    def test_ssh_config_and_jump(self):
        """HostName, Port, User, IdentityFile and ProxyJump of an ssh_config"""
        s, gate = self.sshd(), self.sshd()
        key = s.key("ed25519")
        gate.allow(key)
        known = os.path.join(s.dir, "both")
        with open(known, "w") as f:
            for server in (s, gate):
                with open(server.known_hosts()) as one:
                    f.write(one.read())
        config = os.path.join(s.dir, "config")
        common = ("  HostName 127.0.0.1\n  User %s\n  IdentityFile %s\n"
                  "  UserKnownHostsFile %s\n" % (USER, key, known))
        with open(config, "w") as f:
            f.write("Host direct\n%s  Port %d\nHost behind\n%s  Port %d\n  ProxyJump gate\n"
                    "Host gate\n%s  Port %d\n" % (common, s.port, common, s.port, common,
                                                   gate.port))
        url = "ssh://%s" + self.engine.socket
        dcm = self.dcmd(direct={"url": url % "direct", "ssh_config": config},
                        behind={"url": url % "behind", "ssh_config": config})
        self.online(dcm, "direct", "ssh/libssh2")
        self.online(dcm, "behind", "ssh/openssh")
        self.whole(dcm, "behind")
        self.assertIn("direct-tcpip", gate.said())

    def test_which_engine(self):
        """what DOCKER_HOST says in a session there, where the url gives no path"""
        s = self.sshd(env={"DOCKER_HOST": self.engine.url})
        url = "ssh://%s@127.0.0.1:%d" % (USER, s.port)
        dcm = self.dcmd(lib=self.entry(s, url=url),
                        program=self.entry(s, url=url, ssh_backend="openssh"))
        for host in ("lib", "program"):
            self.online(dcm, host)
            self.whole(dcm, host)
        wait_until(lambda: not s.programs(), "an end of what was asked there")

    def test_docker_context(self):
        """an ssh endpoint of a context that the docker program made"""
        if shutil.which("docker") is None:
            self.skipTest("needs the docker program")
        s = self.sshd(env={"DOCKER_HOST": self.engine.url})
        config = dcmtest.fresh("x")
        subprocess.run(["docker", "--config", config, "context", "create", "far", "--docker",
                        "host=ssh://%s@127.0.0.1:%d" % (USER, s.port)], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        keys = {"identity_file": s.key("ed25519"), "known_hosts": s.known_hosts()}
        dcm = self.dcmd(env={"DOCKER_CONFIG": config}, h=dict(keys, docker_context="far"))
        self.online(dcm, "h", "ssh/libssh2")
        self.whole(dcm, "h")

    def test_dial_stdio(self):
        """where forwarding is refused, and where sessions are few; to the socket that the
        url names, whatever a session there would take"""
        env = {"DOCKER_HOST": "unix:///nowhere.sock"}
        s = self.sshd("AllowStreamLocalForwarding no", env=env)
        two = self.sshd("AllowStreamLocalForwarding no", "MaxSessions 2", env=env)
        # Two sessions: one for the events, one for all else, which stats alone would fill.
        dcm = self.dcmd(lib=self.entry(s), lib2=self.entry(two, stats=False),
                        program=self.entry(s, ssh_backend="openssh"),
                        program2=self.entry(two, ssh_backend="openssh", stats=False))
        for host in ("lib", "lib2", "program", "program2"):
            self.online(dcm, host)
            self.whole(dcm, host)
        programs = [x for x in s.programs() if "dial-stdio" in x]
        self.assertTrue(1 < len(programs) <= 8 + 4, programs)
        programs = [x for x in two.programs() if "dial-stdio" in x]
        self.assertTrue(1 < len(programs) <= 2 + 2, programs)
        for host in ("lib", "lib2", "program", "program2"):
            dcm.json("refresh", host)
        container = self.engine.api.run("ssh-later", ["sleep", "1000"])
        self.addCleanup(self.engine.api.remove, container)
        for host in ("lib", "lib2", "program", "program2"):
            self.whole(dcm, host)

    def test_keys_with_few_rights(self):
        """those of docs/hosts.md"""
        s = self.sshd(env={"DOCKER_HOST": self.engine.url})
        rights = {"forward": "restrict,port-forwarding",
                  "command": 'restrict,command="docker system dial-stdio"'}
        hosts = {}
        for name, options in rights.items():
            key = sshserver.keygen(os.path.join(s.dir, name), "ed25519")
            with open(key + ".pub") as f, open(s.authorized, "a") as to:
                to.write("%s %s" % (options, f.read()))
            url = "ssh://%s@127.0.0.1:%d" % (USER, s.port)
            hosts[name] = self.entry(s, url=url, identity_file=key)
            hosts[name + "_program"] = dict(hosts[name], ssh_backend="openssh")
        dcm = self.dcmd(**hosts)
        for host in hosts:
            host = host.replace("_", "-")
            self.online(dcm, host)
            self.whole(dcm, host)
        dcm.json("refresh", "--all")
        self.assertIn("busybox", wait_until(
            lambda: dcm.get("forward", "ssh-web")["compose_file_content"], "the file"))
        self.assertIsNone(dcm.get("command", "ssh-web")["compose_file_content"])

    def test_files(self):
        """of compose projects: not through links, not of other names, odd names too"""
        s = self.sshd()
        none = self.sshd("Subsystem nothing /bin/false")
        d = os.path.join(s.dir, "it's a $(dir)")
        os.makedirs(os.path.join(d, "real"))
        os.symlink("real", os.path.join(d, "linked"))
        odd = ["real/ü ☃ \"q\" `id` ;*.yml", "real/new\nline.yml", "real/back\\'slash.yaml"]
        for name in ("real/a.yml", "real/secret", *odd):
            with open(os.path.join(d, name), "w") as f:
                f.write("services: {} # " + name)
        os.symlink("a.yml", os.path.join(d, "real", "link.yml"))
        os.mkfifo(os.path.join(d, "real", "pipe.yml"))
        os.mkdir(os.path.join(d, "real", "dir.yml"))
        with open(os.path.join(d, "real", "big.yml"), "w") as f:
            f.write("#" * 300000)
        plain = "services: {} # real/a.yml"
        files = {"plain": ("real/a.yml", plain), "slashes": ("./real//a.yml", plain),
                 "odd": (odd[0], "services: {} # " + odd[0]), "big": ("real/big.yml", "#" * 262144),
                 "link": ("real/link.yml", None), "dir": ("linked/a.yml", None),
                 "none": ("real/none.yml", None), "name": ("real/secret", None),
                 "pipe": ("real/pipe.yml", None), "folder": ("real/dir.yml", None),
                 "missing": ("real/none.yml,%s/real/a.yml" % d, "\n" + plain),
                 "two": ("real/big.yml,%s/real/a.yml" % d, "###"),
                 # commands take no such names: not every login shell reads them alike
                 "newline": (odd[1], "services: {} # " + odd[1]),
                 "backslash": (odd[2], "services: {} # " + odd[2])}
        for name, (path, _) in files.items():
            made = self.engine.api.create("file-" + name, ["true"], Labels={
                "com.docker.compose.project": "files", "com.docker.compose.service": name,
                "com.docker.compose.project.config_files": os.path.join(d, path)})
            self.addCleanup(self.engine.api.remove, made)
        dcm = self.dcmd(lib=self.entry(s), nosftp=self.entry(none), unix={"url": self.engine.url},
                        program=self.entry(s, ssh_backend="openssh"))
        for host in ("lib", "nosftp", "program", "unix"):
            self.online(dcm, host)
            self.whole(dcm, host)
            for name, (_, want) in files.items():
                if host in ("nosftp", "program") and name in ("newline", "backslash"):
                    want = None
                with self.subTest(host=host, file=name):
                    self.file_is(dcm, host, "file-" + name, want, name in ("missing", "two"))
        self.assertIn("Starting session: subsystem 'sftp'", s.said())
        wait_until(lambda: not any("sftp" in x for x in s.below().values()), "sftp's end")

    def file_is(self, dcm, host, name, want, part=False):
        def so():
            r = dcm.get(host, name)
            self.assertIsNotNone(r["freshness"]["compose"]["age"])
            text = r["compose_file_content"]
            if part and text is not None:
                self.assertIn(want, text)
                self.assertLessEqual(len(text.encode()), 262144)
            else:
                self.assertEqual(text, want)
            return True
        wait_until(so, "the file of " + name)

    def test_no_docker(self):
        s = self.sshd(env={"PATH": "/nowhere:/bin"})
        bare = self.entry(s, url="ssh://%s@127.0.0.1:%d/nowhere/docker.sock" % (USER, s.port))
        dcm = self.dcmd(h=bare, program=dict(bare, ssh_backend="openssh"))
        self.offline(dcm, "h", "docker")
        self.offline(dcm, "program", "docker")


class Faults(Ssh):
    def test_refused_and_unknown_names(self):
        s = self.sshd()
        stranger = sshserver.keygen(os.path.join(s.dir, "stranger"), "ed25519")
        port = sshserver.free_port()
        hosts = {}
        for backend in ("libssh2", "openssh"):
            hosts["port_" + backend] = self.entry(
                s, url="ssh://%s@127.0.0.1:%d" % (USER, port), ssh_backend=backend)
            hosts["name_" + backend] = self.entry(
                s, url="ssh://%s@no-such-host.invalid" % USER, ssh_backend=backend)
            hosts["key_" + backend] = self.entry(s, identity_file=stranger, ssh_backend=backend)
        dcm = self.dcmd(**hosts)
        for backend in ("libssh2", "openssh"):
            self.offline(dcm, "port-" + backend, "connection refused", str(port))
            self.offline(dcm, "name-" + backend, "no address")
            self.offline(dcm, "key-" + backend, "login refused", "authorized_keys")

    def test_silent_host(self):
        """a port that accepts and never answers"""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            kept = []

            def accept():
                while True:
                    try:
                        kept.append(silent.accept()[0])
                    except OSError:
                        return
            thread = threading.Thread(target=accept, daemon=True)
            thread.start()
            s = self.sshd()
            dead = self.entry(s, url="ssh://%s@127.0.0.1:%d" % (USER, port))
            dcm = self.dcmd(well=self.entry(s), dead=dead,
                            dead_program=dict(dead, ssh_backend="openssh"))
            self.online(dcm, "well")
            self.offline(dcm, "dead", "timeout")
            self.offline(dcm, "dead-program", "time")
            self.online(dcm, "well")
            silent.shutdown(socket.SHUT_RDWR)
        for one in kept:
            one.close()

    def test_sshd_restarted(self):
        """a host that goes and comes back is exact again"""
        s = self.sshd()
        dcm = self.dcmd(lib=self.entry(s), program=self.entry(s, ssh_backend="openssh"))
        for host in ("lib", "program"):
            self.online(dcm, host)
            self.whole(dcm, host)
        s.stop()
        for host in ("lib", "program"):
            self.offline(dcm, host, "connection refused")
            self.assertTrue(dcm.ps(host), "what was known is still served")
        made = self.engine.api.run("ssh-meanwhile", ["sleep", "1000"])
        self.addCleanup(self.engine.api.remove, made)
        s.start()
        for host in ("lib", "program"):
            self.online(dcm, host)
            self.whole(dcm, host)

    def test_engine_restarted(self):
        e = dcmtest.Engine("restarted")
        self.addCleanup(e.stop)
        e.api.create("one", ["true"])
        s = self.sshd()
        self.engine = e
        dcm = self.dcmd(lib=self.entry(s), program=self.entry(s, ssh_backend="openssh"))
        for host in ("lib", "program"):
            self.online(dcm, host)
        e.stop()
        for host in ("lib", "program"):
            self.offline(dcm, host, "docker")
        e.start()
        e.api.create("two", ["true"])
        for host in ("lib", "program"):
            self.online(dcm, host)
            self.whole(dcm, host)
        # Directly again, and not by the program that was tried while it was away.
        wait_until(lambda: not s.programs(), "an end of docker system dial-stdio", 60)

    def test_nothing_is_left(self):
        s = self.sshd()
        tmp = os.path.join(s.dir, "tmp")
        os.mkdir(tmp)
        dcm = self.dcmd(env={"TMPDIR": tmp}, lib=self.entry(s),
                        program=self.entry(s, ssh_backend="openssh"))
        for host in ("lib", "program"):
            self.online(dcm, host)
        self.assertEqual(len(os.listdir(tmp)), 2)
        for name in os.listdir(tmp):
            self.assertEqual(os.stat(os.path.join(tmp, name)).st_mode & 0o777, 0o700)
        # A collector that is killed leaves its directory to the next one, and no ssh.
        before, killed = set(os.listdir(tmp)), dcm.pids()["dcmd: collector program"]
        os.kill(killed, 9)
        wait_until(lambda: len(os.listdir(tmp)) == 2 and set(os.listdir(tmp)) != before and
                   s.count("Accepted publickey") == 3, "the killed collector's successor")
        self.online(dcm, "program")

        def programs():
            """The ssh programs of this dcmd: their control socket is in its directory."""
            found = set()
            for pid in (p for p in os.listdir("/proc") if p.isdigit()):
                try:
                    with open("/proc/%s/cmdline" % pid, "rb") as f:
                        words = f.read()
                except OSError:
                    continue
                if words.startswith(b"ssh") and tmp.encode() in words:
                    found.add(pid)
            return found
        self.assertTrue(programs())
        dcm.process.kill()
        dcm.process.wait()
        wait_until(lambda: not programs(), "the end of each ssh of a killed dcmd")
        wait_until(lambda: not s.below(), "the end of its connections")
        dcm.start()
        wait_until(programs, "the ssh of the next dcmd")
        for host in ("lib", "program"):
            self.online(dcm, host)
        self.assertEqual(dcm.stop(), 0)
        self.assertFalse(programs())
        wait_until(lambda: not s.below(), "the end of the connections")


if __name__ == "__main__":
    unittest.main()
