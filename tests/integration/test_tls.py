"""tcp:// and TLS: a real engine behind a throwaway CA, and docker contexts that the
docker program itself made."""
import json
import os
import shutil
import socket
import subprocess
import unittest

import dcmtest
from dcmtest import wait_until

CONTAINERS = ("tls-a", "tls-b")


def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Authority:
    """A CA, and what it signs."""

    def __init__(self, directory, name):
        self.dir, self.name = directory, name
        self.cert = os.path.join(directory, name + ".pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "2", "-subj", "/CN=" + name, "-keyout", name + ".key", "-out",
                name + ".pem", cwd=directory)

    def sign(self, name, subject, usage, alt=None, dates=None):
        """(certificate, key); dates: (from, to), as openssl ca writes them."""
        d = self.dir
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                "/CN=" + subject, "-keyout", name + ".key", "-out", name + ".csr", cwd=d)
        with open(os.path.join(d, name + ".ext"), "w") as f:
            f.write("[e]\nextendedKeyUsage=%s\n" % usage)
            if alt:
                f.write("subjectAltName=%s\n" % alt)
        with open(os.path.join(d, name + ".cnf"), "w") as f:
            f.write("[ca]\ndefault_ca=c\n[c]\nnew_certs_dir=.\ndatabase=%s.db\nserial=%s.srl\n"
                    "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n"
                    % (name, name))
        open(os.path.join(d, name + ".db"), "w").close()
        with open(os.path.join(d, name + ".srl"), "w") as f:
            f.write("%02X\n" % (len(os.listdir(d)) + 1))
        when = ["-startdate", dates[0], "-enddate", dates[1]] if dates else ["-days", "1"]
        openssl("ca", "-batch", "-notext", "-config", name + ".cnf", "-cert", self.name + ".pem",
                "-keyfile", self.name + ".key", "-in", name + ".csr", "-out", name + ".pem",
                "-extfile", name + ".ext", "-extensions", "e", *when, cwd=d)
        return os.path.join(d, name + ".pem"), os.path.join(d, name + ".key")


class TlsEngine(dcmtest.Engine):
    """A dockerd that listens on TCP, too: by TLS, clients verified, or in the clear."""

    def __init__(self, name, ca=None, server=None):
        self.tls = [] if ca is None else ["--tlsverify", "--tlscacert", ca, "--tlscert", server[0],
                                          "--tlskey", server[1]]
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        super().__init__(name)

    def start(self):
        with open(os.path.join(self.dir, "daemon.json"), "w") as f:
            f.write("{}")
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--config-file", self.dir + "/daemon.json",
                 "--data-root", self.dir + "/data", "--exec-root", self.dir + "/x",
                 "-H", self.url, "-H", "tcp://127.0.0.1:%d" % self.port,
                 "--pidfile", self.dir + "/pid", "--bridge=none", "--iptables=false",
                 "--ip6tables=false", *self.tls],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir)
        wait_until(self.answers, "an answer of dockerd %s" % self.name, 60)


_shared = {}


def parts():
    """The CA, and an engine behind TLS with two containers."""
    if not _shared:
        if shutil.which("dockerd") is None or os.geteuid() != 0:
            raise unittest.SkipTest("needs dockerd, and to be root")
        if shutil.which("openssl") is None:
            raise unittest.SkipTest("needs openssl")
        ca = Authority(dcmtest.fresh("c"), "ca")
        server = ca.sign("server", "engine", "serverAuth", "IP:127.0.0.1,DNS:localhost")
        e = TlsEngine("tls", ca.cert, server)
        for name in CONTAINERS:
            e.api.create(name, ["true"])
        _shared.update(ca=ca, engine=e, client=ca.sign("client", "dcm", "clientAuth"))
    return _shared["ca"], _shared["engine"], _shared["client"]


def tearDownModule():
    if _shared:
        _shared["engine"].stop()


class Tls(dcmtest.Case):
    def setUp(self):
        self.ca, self.engine, (self.cert, self.key) = parts()
        self.tls = {"ca": self.ca.cert, "cert": self.cert, "key": self.key}

    def dcmd(self, env=None, **hosts):
        text = json.dumps({"hosts": hosts, "cache": {"connect_timeout": 5, "request_timeout": 10}}) \
            if hosts else None
        dcm = dcmtest.Dcm(text, env=env)
        self.addCleanup(dcm.kill)
        return dcm

    def online(self, dcm, host, transport):
        def there():
            row = dcm.hosts()[host]
            self.assertEqual((row["state"], row["error"]), ("online", None), row)
            self.assertEqual(dcm.names(host), list(CONTAINERS))
            return row
        self.assertEqual(wait_until(there, host + " online")["transport"], transport)

    def offline(self, dcm, host, *words):
        def there():
            row = dcm.hosts()[host]
            self.assertEqual(row["state"], "offline", row)
            for word in words:
                self.assertIn(word, row["error"])
            return row["error"]
        return wait_until(there, "%s offline with %s" % (host, words))

    def test_verified_both_ways(self):
        port = self.engine.port
        dcm = self.dcmd(https={"url": "https://127.0.0.1:%d" % port, "tls": self.tls},
                        tcp={"url": "tcp://127.0.0.1:%d" % port, "tls": self.tls},
                        name={"url": "https://localhost:%d" % port, "tls": self.tls},
                        unix={"url": self.engine.url})
        for host in ("https", "tcp", "name"):
            self.online(dcm, host, "tls")
        self.online(dcm, "unix", "unix")
        want = dcm.get("unix", CONTAINERS[0])
        got = dcm.get("https", CONTAINERS[0])
        for field in ("container_id", "name", "image", "created", "status", "command"):
            self.assertEqual(got[field], want[field])
        made = self.engine.api.create("tls-later", ["true"])
        wait_until(lambda: "tls-later" in dcm.names("https"), "an event through TLS")
        self.engine.api.remove(made)
        wait_until(lambda: "tls-later" not in dcm.names("https"), "its end")

    def test_each_fault_by_name(self):
        ca, port = self.ca, self.engine.port
        url = "https://127.0.0.1:%d" % port
        stranger = Authority(dcmtest.fresh("c"), "stranger")
        bad_client = stranger.sign("client", "dcm", "clientAuth")
        servers = {
            "expired": ca.sign("old", "engine", "serverAuth", "IP:127.0.0.1",
                               ("200101000000Z", "210101000000Z")),
            "wrong": ca.sign("wrong", "engine", "serverAuth", "DNS:elsewhere.example"),
        }
        hosts = {
            "unknown": {"url": url, "tls": dict(self.tls, ca=stranger.cert)},
            "default": {"url": url, "tls": {"cert": self.cert, "key": self.key}},
            "nocert": {"url": url, "tls": {"ca": ca.cert}},
            "stranger": {"url": url, "tls": {"ca": ca.cert, "cert": bad_client[0],
                                             "key": bad_client[1]}},
            "unverified": {"url": url, "tls": dict(self.tls, ca=stranger.cert, verify=False)},
        }
        engines = {}
        for name, server in servers.items():
            e = engines[name] = SslServer(*server)
            self.addCleanup(e.stop)
            hosts[name] = {"url": "https://127.0.0.1:%d" % e.port, "tls": {"ca": ca.cert}}
        plain = SslServer(None, None)
        self.addCleanup(plain.stop)
        hosts["notls"] = {"url": "https://127.0.0.1:%d" % plain.port, "tls": {"ca": ca.cert}}
        dcm = self.dcmd(**hosts)
        said = {name: self.offline(dcm, name, "certificate") for name in
                ("unknown", "default", "nocert", "stranger", "expired", "wrong")}
        self.assertIn("expired", said["expired"])
        self.assertIn("name", said["wrong"])
        self.assertIn("tls", said["unknown"])
        for name in ("nocert", "stranger"):
            self.assertIn("client certificate", said[name])
            self.assertIn("tls.cert", said[name])
        self.offline(dcm, "notls", "TLS")
        self.online(dcm, "unverified", "tls")

    def test_clear_tcp(self):
        e = TlsEngine("clear")
        self.addCleanup(e.stop)
        for name in CONTAINERS:
            e.api.create(name, ["true"])
        dcm = self.dcmd(h={"url": "tcp://127.0.0.1:%d" % e.port},
                        tls={"url": "https://127.0.0.1:%d" % e.port})
        self.online(dcm, "h", "tcp")
        self.offline(dcm, "tls", "TLS")
        # And TLS spoken to in the clear.
        dcm = self.dcmd(h={"url": "tcp://127.0.0.1:%d" % self.engine.port})
        self.offline(dcm, "h", "HTTPS")


class SslServer:
    """`openssl s_server` with a certificate; without, a port that speaks no TLS."""

    def __init__(self, cert, key):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        if cert is None:
            command = ["python3", "-m", "http.server", "--bind", "127.0.0.1", str(self.port)]
        else:
            command = ["openssl", "s_server", "-quiet", "-accept", "127.0.0.1:%d" % self.port,
                       "-cert", cert, "-key", key, "-www"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        cwd=dcmtest.fresh("w"))
        wait_until(self.answers, "a server at port %d" % self.port)

    def answers(self):
        assert self.process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        except OSError:
            return False

    def stop(self):
        dcmtest.end_process(self.process)


class Contexts(Tls):
    """docker contexts, as `docker context create` writes them, and docker's variables."""

    def setUp(self):
        super().setUp()
        if shutil.which("docker") is None:
            self.skipTest("needs the docker program")
        self.config = dcmtest.fresh("x")
        self.env = {"DOCKER_CONFIG": self.config, "DOCKER_HOST": "", "DOCKER_CONTEXT": "",
                    "DOCKER_TLS_VERIFY": "", "DOCKER_CERT_PATH": ""}
        self.context("remote", "host=tcp://127.0.0.1:%d,ca=%s,cert=%s,key=%s" % (
            self.engine.port, self.ca.cert, self.cert, self.key))
        self.context("here", "host=" + self.engine.url)

    def docker(self, *args):
        env = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
        subprocess.run(["docker", "--config", self.config, *args], check=True, env=env,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def context(self, name, endpoint):
        self.docker("context", "create", name, "--docker", endpoint)

    def test_docker_context(self):
        dcm = self.dcmd(env=self.env, remote={"docker_context": "remote"},
                        here={"docker_context": "here"},
                        wins={"docker_context": "remote", "url": "unix:///nowhere"})
        self.online(dcm, "remote", "tls")
        self.online(dcm, "here", "unix")
        self.online(dcm, "wins", "tls")

    def test_current_context(self):
        self.docker("context", "use", "remote")
        self.online(self.dcmd(env=self.env), "local", "tls")
        # DOCKER_CONTEXT wins over it, and DOCKER_HOST over both.
        self.online(self.dcmd(env=dict(self.env, DOCKER_CONTEXT="here")), "local", "unix")
        self.online(self.dcmd(env=dict(self.env, DOCKER_CONTEXT="remote",
                                       DOCKER_HOST=self.engine.url)), "local", "unix")

    def test_docker_cert_path(self):
        env = dict(self.env, DOCKER_HOST="tcp://127.0.0.1:%d" % self.engine.port,
                   DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=self.certs())
        self.online(self.dcmd(env=env), "local", "tls")

    def certs(self):
        """A directory that DOCKER_CERT_PATH may name."""
        certs = dcmtest.fresh("p")
        for source, name in ((self.ca.cert, "ca.pem"), (self.cert, "cert.pem"),
                             (self.key, "key.pem")):
            shutil.copy(source, os.path.join(certs, name))
        return certs

    def says(self, case, *command):
        """What a command says where of docker's variables these are set."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env=dict(env, DOCKER_CONFIG=self.config, **case), check=False)

    def docker_says(self, case):
        """The endpoint of docker's current context; None where docker refuses."""
        done = self.says(case, "docker", "context", "ls", "--format",
                         "{{.Current}} {{.DockerEndpoint}}")
        current = [x.split(" ")[1] for x in done.stdout.splitlines() if x.startswith("true ")]
        return current[0] if done.returncode == 0 and current else None

    def dcm_says(self, case):
        """The endpoint of `local`, and what is said of it; None where it is refused."""
        done = self.says(case, os.path.join(dcmtest.BUILD, "dcmd"), "--check")
        self.assertIn(done.returncode, (0, 2), done.stderr)
        said = done.stdout + done.stderr
        rows = [x.split()[1] for x in said.splitlines() if x.startswith("  local ")]
        return (rows[0] if rows else None), said

    def test_the_same_endpoint_as_docker(self):
        """each form of the variables, beside the docker program itself"""
        certs = self.certs()
        tls = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": certs}
        self.docker("context", "use", "remote")
        cases = [{"DOCKER_HOST": form} for form in (
            "192.0.2.4:2375", "somewhere", ":99", "::1", "tcp://", "tcp://h", "tcp://h:9",
            "tcp://:99", "tcp://h:", "tcp://[::1]:7", "tcp://[::1]:", " tcp://h:1 ", "unix://",
            "unix:///run/a.sock", "ssh://u@h:2", " ",
            "tcp://h:x", "foo://x", "foo://")]
        cases += [{}, {"DOCKER_CONTEXT": "here"}, {"DOCKER_CONTEXT": "default"},
                  {"DOCKER_CONTEXT": "nowhere"}, {"DOCKER_CONTEXT": "here", "DOCKER_HOST": "h"},
                  dict(tls), dict(tls, DOCKER_CONTEXT="default"), dict(tls, DOCKER_HOST="tcp://h"),
                  dict(tls, DOCKER_HOST="tcp://h:9"), dict(tls, DOCKER_CONTEXT="here"),
                  dict(tls, DOCKER_HOST="tcp://h", DOCKER_TLS_VERIFY="0"),
                  {"DOCKER_TLS": "1", "DOCKER_CERT_PATH": certs, "DOCKER_HOST": "tcp://h"},
                  {"DOCKER_TLS_VERIFY": "1", "DOCKER_HOST": "tcp://h"},
                  {"DOCKER_TLS": "1", "DOCKER_HOST": "tcp://h"}]
        for case in cases:
            with self.subTest(**case):
                docker, (dcm, said) = self.docker_says(case), self.dcm_says(case)
                remote = "\"remote\"" in said  # whose context holds material
                if docker and (remote or any(k.startswith("DOCKER_TLS") for k in case)):
                    docker = docker.replace("tcp:", "https:")
                self.assertEqual(dcm, docker or None, said)

    def test_current_context_that_is_gone(self):
        with open(os.path.join(self.config, "config.json"), "w") as f:
            f.write('{"currentContext": "gone"}')
        where, said = self.dcm_says({})
        self.assertIsNone(where)
        self.assertIn('there is no docker context "gone"', said)

    def test_context_without_verification(self):
        stranger = Authority(dcmtest.fresh("c"), "stranger")
        material = "ca=%s,cert=%s,key=%s" % (stranger.cert, self.cert, self.key)
        url = "host=tcp://127.0.0.1:%d" % self.engine.port
        self.context("strict", "%s,%s" % (url, material))
        self.context("lenient", "%s,%s,skip-tls-verify=true" % (url, material))
        dcm = self.dcmd(env=self.env, strict={"docker_context": "strict"},
                        lenient={"docker_context": "lenient"})
        self.offline(dcm, "strict", "certificate")
        self.online(dcm, "lenient", "tls")

    test_verified_both_ways = test_each_fault_by_name = test_clear_tcp = None


if __name__ == "__main__":
    unittest.main()
