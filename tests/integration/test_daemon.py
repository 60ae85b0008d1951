"""dcmd as a program: starting, stopping, reloading, instances, and what happens when
a part of it, or an engine, dies."""
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time

import dcmtest
from dcmtest import wait_until

DCMD = os.path.join(dcmtest.BUILD, "dcmd")
NOBODY = 65534


def run_dcmd(*args, **options):
    return subprocess.run([DCMD, *args], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, check=False, **options)


class Processes(dcmtest.Case):
    """On simulated engines, which start at once."""

    def setUp(self):
        self.a = dcmtest.SimEngine("sim-a", 12)
        self.b = dcmtest.SimEngine("sim-b", 8)
        self.addCleanup(self.a.stop)
        self.addCleanup(self.b.stop)

    def dcmd(self, engines=None, *options, **more):
        dcm = dcmtest.Dcm(dcmtest.hosts_yml(engines or [self.a, self.b], **more), *options)
        self.addCleanup(dcm.kill)
        return dcm

    def test_orderly_stop_leaves_nothing(self):
        for sig in (signal.SIGTERM, signal.SIGINT):
            dcm = self.dcmd().settle([self.a, self.b])
            pids = dcm.pids()
            self.assertEqual(set(pids), {"dcmd: supervisor", "dcmd: broker",
                                         "dcmd: collector sim-a", "dcmd: collector sim-b"})
            self.assertTrue(dcm.objects())
            dcm.process.send_signal(sig)
            self.assertEqual(dcm.process.wait(5), 0, "the contract's five seconds")
            self.assertEqual(dcm.objects(), [])
            self.assertEqual([f for _, _, fs in os.walk(dcm.runtime) for f in fs
                              if f.endswith(".sock")], [])
            for title, pid in pids.items():
                self.assertFalse(os.path.exists("/proc/%d" % pid), title)
            self.assertEqual(dcm.run("hosts").returncode, 3)

    def test_a_stop_while_it_starts_is_orderly(self):
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([self.a]), start=False)
        lock = "/dev/shm/dcm-%d-%s-:lock" % (os.geteuid(), dcm.instance)
        for sig in (signal.SIGTERM, signal.SIGINT) * 15:
            with open(dcm.log_path, "ab") as log:
                p = subprocess.Popen(dcm.command(), stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=log)
            while not os.path.exists(lock) and p.poll() is None:
                pass
            p.send_signal(sig)
            self.assertEqual(p.wait(20), 0, dcm.log()[-1000:])
            self.assertEqual(dcm.objects(), [])

    def test_stop_with_an_engine_that_hangs(self):
        self.a.fault("hang")
        dcm = self.dcmd()
        dcm.settle_b = wait_until(lambda: len(dcm.ps("sim-b")) == 8)
        dcm.process.send_signal(signal.SIGTERM)
        self.assertEqual(dcm.process.wait(5), 0)
        self.assertEqual(dcm.objects(), [])

    def test_paths_and_modes(self):
        dcm = self.dcmd().settle([self.a])
        self.assertEqual(stat.S_IMODE(os.stat(dcm.runtime).st_mode), 0o750)
        sock = os.path.join(dcm.runtime, dcm.instance, "broker.sock")
        self.assertTrue(stat.S_ISSOCK(os.stat(sock).st_mode))
        self.assertEqual([f for _, _, fs in os.walk(dcm.runtime) for f in fs
                          if f.endswith(".sock")], ["broker.sock"])
        for name in dcm.objects():
            s = os.stat("/dev/shm/" + name)
            self.assertEqual(s.st_uid, os.geteuid())
            self.assertEqual(s.st_mode & 0o027, 0, name)

    def test_a_second_of_the_same_instance_is_refused(self):
        dcm = self.dcmd().settle([self.a, self.b])
        before = dcm.pids()
        done = run_dcmd("--config", dcm.config, "--instance", dcm.instance, "--runtime-dir",
                        dcm.runtime, "--state-dir", dcm.state)
        self.assertEqual(done.returncode, 3)
        self.assertIn(str(dcm.process.pid), done.stderr)
        # Nor from other directories: an instance is a user and a name.
        other = dcmtest.fresh("o")
        done = run_dcmd("--config", dcm.config, "--instance", dcm.instance, "--runtime-dir",
                        other + "/r", "--state-dir", other + "/s")
        self.assertEqual(done.returncode, 3)
        self.assertEqual(dcm.pids(), before)
        self.assertEqual(len(dcm.ps()), 20)

    def test_two_instances_side_by_side(self):
        one, two = self.dcmd([self.a]).settle([self.a]), self.dcmd([self.b]).settle([self.b])
        self.assertEqual(set(one.hosts()), {"sim-a"})
        self.assertEqual(set(two.hosts()), {"sim-b"})
        self.assertEqual(one.stop(), 0)
        self.assertEqual(one.objects(), [])
        self.assertEqual(len(two.ps()), 8)
        # With one directory for both, too.
        three = dcmtest.Dcm(dcmtest.hosts_yml([self.a]), start=False)
        three.runtime, three.state = two.runtime, two.state
        self.addCleanup(three.kill)
        three.start().settle([self.a])
        self.assertEqual((len(three.ps()), len(two.ps())), (12, 8))
        self.assertEqual(two.stop(), 0)
        self.assertEqual(len(three.ps()), 12)

    def test_after_a_kill_the_next_one_takes_over(self):
        dcm = self.dcmd().settle([self.a, self.b])
        pids = dcm.pids()
        dcm.process.kill()
        dcm.process.wait()
        wait_until(lambda: not any(os.path.exists("/proc/%d" % p) for p in pids.values()),
                   "the end of the children")
        dcm.start().settle([self.a, self.b])
        self.assertEqual(len(dcm.ps()), 20)
        self.assertEqual(dcm.stop(), 0)
        self.assertEqual(dcm.objects(), [])

    def test_after_a_kill_memory_alone_serves_engines_that_are_away(self):
        dcm = self.dcmd().settle([self.a, self.b])
        before = {r["container_id"] for r in dcm.ps()}
        dcm.process.kill()
        dcm.process.wait()
        self.a.stop()
        self.b.stop()
        shutil.rmtree(os.path.join(dcm.state, dcm.instance), ignore_errors=True)
        dcm.start()

        def away():  # at each moment until the next one's collectors have tried
            self.assertEqual({r["container_id"] for r in dcm.ps()}, before)
            return len(dcm.log_events("host_offline")) >= 2 and \
                all(h["state"] == "offline" for h in dcm.hosts().values())
        wait_until(away, "both hosts offline, in the view of the next dcmd")
        self.assertEqual({r["container_id"] for r in dcm.ps()}, before)

    def test_after_a_kill_nothing_is_left_of_hosts_that_were_taken_out(self):
        dcm = self.dcmd().settle([self.a, self.b])
        for pid in dcm.pids().values():
            os.kill(pid, signal.SIGKILL)
        dcm.process.wait()
        left = [n for n in dcm.objects() if ":sim-b:" in n]
        self.assertTrue(left)
        # Another generation, as one that died while it made one leaves behind.
        shutil.copyfile("/dev/shm/" + left[0], "/dev/shm/" + left[0].rpartition(":")[0] + ":7")
        dcm.configure(dcmtest.hosts_yml([self.a]))
        dcm.start()
        wait_until(lambda: set(dcm.hosts()) == {"sim-a"}, "the one host")
        self.assertEqual([n for n in dcm.objects() if ":sim-b:" in n], [])
        dcm.settle([self.a])
        self.assertEqual(len(dcm.ps()), 12)

    def test_reload(self):
        c = dcmtest.SimEngine("sim-c", 3)
        self.addCleanup(c.stop)
        dcm = self.dcmd().settle([self.a, self.b])
        before = dcm.pids()
        # A host that is new, one that goes, and one that stays.
        dcm.configure(dcmtest.hosts_yml([self.a, c]))
        dcm.process.send_signal(signal.SIGHUP)
        wait_until(lambda: set(dcm.hosts()) == {"sim-a", "sim-c"}, "the new set of hosts")
        wait_until(lambda: len(dcm.ps()) == 15, "the new host's containers")
        after = dcm.pids()
        for title in ("dcmd: supervisor", "dcmd: broker", "dcmd: collector sim-a"):
            self.assertEqual(after[title], before[title])
        wait_until(lambda: "dcmd: collector sim-b" not in dcm.pids() and
                   not any("sim-b" in name for name in dcm.objects()), "all of the old host's end")
        # A file with an error is refused whole.
        with open(dcm.config, "w", encoding="utf-8") as f:
            f.write("hosts:\n  sim-b: {url: 'unix:///x.sock', nonsense: 1}\n")
        dcm.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "nonsense" in dcm.log(), "the refusal in the log")
        self.assertEqual(set(dcm.hosts()), {"sim-a", "sim-c"})
        after.pop("dcmd: collector sim-b", None)
        self.assertEqual(dcm.pids(), after)
        # And one that disables a host.
        dcm.configure(dcmtest.hosts_yml([self.a, c], **{"sim-c": {"enabled": False}}))
        dcm.process.send_signal(signal.SIGHUP)
        wait_until(lambda: dcm.hosts()["sim-c"]["state"] == "disabled", "disabled")
        self.assertEqual(len(dcm.ps()), 12)
        wait_until(lambda: "dcmd: collector sim-c" not in dcm.pids(), "its collector's end")
        self.assertEqual(dcm.pids()["dcmd: collector sim-a"], before["dcmd: collector sim-a"])

    def test_the_broker_is_killed(self):
        dcm = self.dcmd().settle([self.a, self.b])
        old = dcm.pids()["dcmd: broker"]
        os.kill(old, signal.SIGKILL)
        # Without it the client scans the memory: at every moment there is an answer.
        for _ in range(20):
            self.assertEqual(len(dcm.json("search", "stack0-")), 10)
            time.sleep(0.02)
        wait_until(lambda: dcm.pids().get("dcmd: broker", old) != old, "another broker")
        wait_until(lambda: dcm.run("refresh", "sim-a").returncode == 0, "a refresh through it")

    def test_the_broker_hangs(self):
        dcm = self.dcmd().settle([self.a, self.b])
        old = dcm.pids()["dcmd: broker"]
        os.kill(old, signal.SIGSTOP)
        self.assertEqual(len(dcm.json("search", "stack0-")), 10)
        wait_until(lambda: dcm.pids().get("dcmd: broker", old) != old, "another broker", 30)
        self.assertEqual(len(dcm.json("search", "stack0-")), 10)

    def test_a_collector_is_killed(self):
        dcm = self.dcmd().settle([self.a, self.b])
        before = {r["container_id"]: r["name"] for r in dcm.ps("sim-a")}
        old = dcm.pids()["dcmd: collector sim-a"]
        os.kill(old, signal.SIGKILL)
        for _ in range(20):  # what was published stays readable
            self.assertEqual({r["container_id"]: r["name"] for r in dcm.ps("sim-a")}, before)
            time.sleep(0.02)
        wait_until(lambda: dcm.pids().get("dcmd: collector sim-a", old) != old, "another one")
        dcm.settle([self.a, self.b])
        self.assertEqual({r["container_id"]: r["name"] for r in dcm.ps("sim-a")}, before)
        self.assertGreaterEqual(dcm.json("stats")["restarts"], 1)
        self.a.api.run("after-it", ["sleep", "1000"])
        wait_until(lambda: dcm.get("sim-a", "after-it")["status"] == "running", "news")

    def test_one_that_dies_again_and_again_costs_the_others_nothing(self):
        d = self.dcmd().settle([self.a, self.b])
        other = d.pids()["dcmd: collector sim-b"]
        title = "dcmd: collector sim-a"
        for _ in range(11):
            pid = wait_until(lambda: d.pids().get(title), "its next collector")
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: d.pids().get(title) != pid, "its end")
            self.assertEqual(len(d.ps("sim-a")), 12)  # memory outlives it
        seen = len(d.ps("sim-b"))
        container = self.b.api.list()[0]["Id"]
        self.b.api.act(container, "rename", name="told-meanwhile")
        wait_until(lambda: "told-meanwhile" in {r["name"] for r in d.ps("sim-b")}, "its event")
        self.assertEqual(len(d.ps("sim-b")), seen)
        wait_until(lambda: d.hosts()["sim-a"]["state"] == "online" and d.pids().get(title),
                   "the one that died", 40)
        self.assertEqual(d.pids()["dcmd: collector sim-b"], other, "the other lives on")
        waits = [x["restart_in"] for x in d.log_events("child_died")]
        self.assertGreater(waits[-1], waits[0], waits)  # it is not restarted ever faster

    def test_a_collector_hangs(self):
        dcm = self.dcmd().settle([self.a, self.b])
        old = dcm.pids()["dcmd: collector sim-a"]
        os.kill(old, signal.SIGSTOP)
        self.assertEqual(len(dcm.ps()), 20)
        wait_until(lambda: dcm.pids().get("dcmd: collector sim-a", old) != old, "another one", 30)
        dcm.settle([self.a, self.b])

    def test_an_engine_goes_and_comes(self):
        dcm = self.dcmd().settle([self.a, self.b])
        self.a.stop()
        wait_until(lambda: dcm.hosts()["sim-a"]["state"] == "offline", "offline")
        self.assertTrue(dcm.hosts()["sim-a"]["error"])
        self.assertEqual(len(dcm.ps("sim-a")), 12)
        self.assertEqual(dcm.hosts()["sim-b"]["state"], "online")
        self.assertEqual(dcm.run("refresh", "sim-a").returncode, 4)
        done = dcm.run("ps", "sim-a", "--refresh")
        self.assertEqual((done.returncode, done.stderr != ""), (0, True))
        self.assertEqual(dcm.run("ps", "sim-a", "--refresh", "--strict").returncode, 4)
        self.a.start()
        dcm.settle([self.a, self.b])
        self.assertIsNone(dcm.hosts()["sim-a"]["error"])

    def test_an_engine_that_was_never_there(self):
        class Nowhere:
            name, url = "nowhere", "unix:///nonexistent/docker.sock"
        dcm = self.dcmd([self.a, Nowhere])
        wait_until(lambda: dcm.hosts()["nowhere"]["state"] == "offline", "offline")
        self.assertIn("/nonexistent/docker.sock", dcm.hosts()["nowhere"]["error"])
        self.assertEqual(dcm.ps("nowhere"), [])
        dcm.settle_a = wait_until(lambda: len(dcm.ps("sim-a")) == 12)

    def test_connection_refused_is_said_by_name(self):
        path = os.path.join(dcmtest.fresh("r"), "docker.sock")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)

        class Refusing:
            name, url = "refusing", "unix://" + path
        dcm = self.dcmd([Refusing])
        error = wait_until(lambda: dcm.hosts()["refusing"]["error"], "an error")
        self.assertIn("connection refused", error.lower())

    def test_log_lines_are_objects(self):
        dcm = self.dcmd().settle([self.a, self.b])
        wait_until(lambda: any("total_containers" in e for e in dcm.log_events()), "a cycle")
        for line in dcm.log().splitlines():
            event = json.loads(line)
            self.assertLessEqual({"ts", "level", "event"}, set(event), line)
            self.assertIn(event["level"], ("debug", "info", "warn", "error"))
        cycle = [e for e in dcm.log_events() if "total_containers" in e][-1]
        self.assertLessEqual({"successful", "failed", "total_containers", "seconds"}, set(cycle))

    def test_readiness_is_told(self):
        path = os.path.join(dcmtest.fresh("n"), "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(path)
            s.settimeout(30)
            dcm = dcmtest.Dcm(dcmtest.hosts_yml([self.a]), env={"NOTIFY_SOCKET": path})
            self.addCleanup(dcm.kill)
            told = b""
            while b"READY=1" not in told:
                told += s.recv(4096)
            with open(dcm.config, "a", encoding="utf-8") as f:
                f.write("not YAML any more\n")
            dcm.process.send_signal(signal.SIGHUP)
            while b"STATUS=reload refused: " not in told:
                told += s.recv(4096)
            self.assertIn(b"RELOADING=1", told)
            self.assertIn(dcm.config.encode() + b":", told)

    def test_stats_can_be_left_out(self):
        dcm = self.dcmd(**{"sim-a": {"stats": False}}).settle([self.a, self.b])
        wait_until(lambda: any(r["cpu_percent"] is not None for r in dcm.ps("sim-b")), "measures")
        self.assertTrue(all(r["cpu_percent"] is None for r in dcm.ps("sim-a")))
        self.assertEqual(self.a.requests()["stats"], 0)


class OtherUsers(dcmtest.Case):
    """Who may read: the owner and one group."""

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to be others")
        self.engine = dcmtest.SimEngine("sim", 4)
        self.addCleanup(self.engine.stop)

    def client_as(self, dcm, uid, gid, *args):
        # The tree may lie where others cannot look: run a copy.
        program = os.path.join(dcmtest.directory(), "dcm-client")
        if not os.path.exists(program):
            subprocess.run(["cp", os.path.join(dcmtest.BUILD, "dcm-client"), program], check=True)

        def become():
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        return subprocess.run([program, "--instance", dcm.instance, "--runtime-dir", dcm.runtime,
                               "--json", *args], preexec_fn=become, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False,
                              cwd="/")

    def test_another_user_is_refused(self):
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([self.engine]))
        self.addCleanup(dcm.kill)
        dcm.settle([self.engine])
        done = self.client_as(dcm, NOBODY, NOBODY, "ps")
        self.assertEqual(done.returncode, 3, done)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_a_member_of_the_group_may_read(self):
        import grp
        group = grp.getgrgid(os.stat("/etc/shadow").st_gid).gr_name
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([self.engine]), "--group", group)
        self.addCleanup(dcm.kill)
        dcm.settle([self.engine])
        gid = grp.getgrnam(group).gr_gid
        for args in (["ps"], ["search", "stack"], ["get", "sim", "stack0-web-1"]):
            done = self.client_as(dcm, NOBODY, gid, *args)
            self.assertEqual(done.returncode, 0, (args, done.stderr))
            self.assertTrue(json.loads(done.stdout))
        self.assertEqual(self.client_as(dcm, NOBODY, NOBODY, "ps").returncode, 3)

    def test_a_member_of_the_group_may_read_where_one_directory_is_for_all(self):
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([self.engine]), "--group", "nogroup", start=False)
        dcm.state = dcm.runtime
        self.addCleanup(dcm.kill)
        dcm.start().settle([self.engine])
        self.assertEqual(self.client_as(dcm, NOBODY, NOBODY, "ps").returncode, 0)
        self.assertEqual(dcm.stop(), 0)
        snapshot = os.path.join(dcm.state, dcm.instance, "sim.snap")
        self.assertEqual(os.stat(snapshot).st_mode & 0o777, 0o600)

    def test_a_users_own_instance(self):
        """Not root: default directories below the user's own, and no touch of root's."""
        home = dcmtest.fresh("u")
        os.chown(home, NOBODY, NOBODY)
        os.chmod(self.engine.socket, 0o666)
        os.chmod(self.engine.dir, 0o755)
        program = os.path.join(dcmtest.directory(), "dcmd")
        for name in ("dcmd", "dcm-client"):
            subprocess.run(["cp", os.path.join(dcmtest.BUILD, name), dcmtest.directory()], check=True)
        os.makedirs(home + "/.config/dcm")
        with open(home + "/.config/dcm/hosts.yml", "w", encoding="utf-8") as f:
            f.write(dcmtest.hosts_yml([self.engine]))
        env = {"HOME": home, "XDG_RUNTIME_DIR": home + "/run", "PATH": os.environ["PATH"]}
        os.mkdir(home + "/run")
        os.chown(home + "/run", NOBODY, NOBODY)

        def become():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        instance = "own%d" % os.getpid()
        with open(home + "/log", "wb") as log:
            p = subprocess.Popen([program, "--instance", instance], preexec_fn=become, env=env,
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        self.addCleanup(dcmtest.end_process, p)

        def answer():
            done = subprocess.run([dcmtest.directory() + "/dcm-client", "--instance", instance,
                                   "--json", "ps"], preexec_fn=become, env=env, cwd="/",
                                  capture_output=True, text=True, check=False, timeout=60)
            return done.returncode == 0 and len(json.loads(done.stdout)) == 4
        wait_until(answer, "its own answer")
        self.assertTrue(os.path.exists(home + "/run/dcm/%s/broker.sock" % instance))
        self.assertTrue(os.path.isdir(home + "/.local/state/dcm"))
        names = [n for n in os.listdir("/dev/shm") if n.startswith("dcm-%d-%s-" % (NOBODY, instance))]
        self.assertTrue(names)
        self.assertEqual(dcmtest.end_process(p), 0)


class RealEngine(dcmtest.Case):
    def test_an_engine_stops_and_starts_again(self):
        e = dcmtest.real_engines(1)[0]
        other = dcmtest.Engine("gamma")
        self.addCleanup(other.stop)
        other.api.run("stays", ["sleep", "100000"], HostConfig={
            "RestartPolicy": {"Name": "always"}})
        other.api.run("ends", ["sleep", "100000"])
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([other]))
        self.addCleanup(dcm.kill)
        dcm.settle([other])
        other.stop()
        wait_until(lambda: dcm.hosts()["gamma"]["state"] == "offline", "offline")
        self.assertTrue(dcm.hosts()["gamma"]["error"])
        self.assertEqual(dcm.names("gamma"), ["ends", "stays"])
        other.start()
        dcm.settle([other])
        wait_until(lambda: dcm.get("gamma", "ends")["status"] == "exited" and
                   dcm.get("gamma", "stays")["status"] == "running", "the truth")
        self.assertNotEqual(e.socket, other.socket)

    def test_without_a_configuration_it_is_the_engine_of_docker_host(self):
        e = dcmtest.real_engines(1)[0]
        home = dcmtest.fresh("u")
        for env in ({"DOCKER_HOST": e.url}, self.context(home, e)):
            env = dict(env, HOME=home, XDG_CONFIG_HOME=home + "/.config")
            if os.path.exists("/etc/dcm/hosts.yml"):
                self.skipTest("/etc/dcm/hosts.yml is there")
            with self.subTest(env=sorted(env)):
                dcm = dcmtest.Dcm(None, start=False)
                dcm.env = dict(os.environ, **env)
                if "DOCKER_HOST" not in env:
                    dcm.env.pop("DOCKER_HOST", None)
                self.addCleanup(dcm.kill)
                dcm.start()
                wait_until(lambda dcm=dcm: dcm.hosts()["local"]["state"] == "online", "online")
                self.assertEqual(set(dcm.hosts()), {"local"})
                wait_until(lambda dcm=dcm: {r["container_id"] for r in dcm.ps()} ==
                           {c["Id"] for c in e.api.list()}, "its containers")
                self.assertEqual(dcm.stop(), 0)

    def context(self, home, e):
        """The environment of a docker context of this engine."""
        import hashlib
        d = os.path.join(home, ".docker")
        meta = os.path.join(d, "contexts", "meta", hashlib.sha256(b"mine").hexdigest())
        os.makedirs(meta)
        with open(meta + "/meta.json", "w", encoding="utf-8") as f:
            json.dump({"Name": "mine", "Metadata": {},
                       "Endpoints": {"docker": {"Host": e.url, "SkipTLSVerify": False}}}, f)
        with open(d + "/config.json", "w", encoding="utf-8") as f:
            json.dump({"currentContext": "mine"}, f)
        return {"DOCKER_CONFIG": d}


class Options(dcmtest.Case):
    def check(self, text):
        path = os.path.join(dcmtest.fresh("c"), "hosts.yml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path, run_dcmd("--config", path, "--check")

    def test_version_and_help(self):
        done = run_dcmd("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"\d+\.\d+\.\d+")
        done = run_dcmd("--help")
        self.assertEqual(done.returncode, 0)
        for option in ("--config", "--instance", "--runtime-dir", "--state-dir", "--group",
                       "--log-level", "--log-format", "--check", "--version"):
            self.assertIn(option, done.stdout)
        self.assertEqual(run_dcmd("--no-such-option").returncode, 2)
        self.assertEqual(run_dcmd("--log-level", "shouting", "--check").returncode, 2)
        self.assertEqual(run_dcmd("--instance", "a/b", "--check").returncode, 2)
        self.assertEqual(run_dcmd("--config", "", "--check").returncode, 2)
        self.assertEqual(run_dcmd("two\nlines\x1b[31m").stderr,
                         'dcmd: unexpected argument "two?lines?[31m"; see dcmd --help\n')

    def test_check_says_what_it_found(self):
        _, done = self.check("hosts:\n  one: {url: 'unix:///run/one.sock'}\n"
                             "  two: {hostname: 192.0.2.10, user: u, enabled: false}\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("one", done.stdout + done.stderr)
        self.assertIn("two", done.stdout + done.stderr)

    def test_check_reports_every_error_with_its_place(self):
        path, done = self.check(
            "hosts:\n"
            "  good: {url: 'unix:///run/one.sock'}\n"
            "  bad name: {url: 'unix:///x'}\n"
            "  a:\n"
            "    hostname: 1.2.3.4\n"
            "    prot: 22\n"
            "  good: {url: 'unix:///run/two.sock'}\n"
            "  b: {url: 'ftp://x'}\n"
            "cache:\n"
            "  stats_ttl: soon\n"
            "  stats_concurrency: 1000\n")
        self.assertEqual(done.returncode, 2)
        said = done.stdout + done.stderr
        for line in (3, 6, 7, 8, 10, 11):
            self.assertRegex(said, r"%s:%d:\d+: " % (path.replace(".", r"\."), line))
        self.assertNotRegex(said, r":2:\d+: ")

    def test_check_of_a_file_that_is_not_there(self):
        done = run_dcmd("--config", "/nonexistent/hosts.yml", "--check")
        self.assertEqual(done.returncode, 2)
        self.assertIn("/nonexistent/hosts.yml", done.stdout + done.stderr)

    def test_the_old_servers_file_is_read_with_warnings(self):
        _, done = self.check(
            "server: {port: 8080}\ntransfer: {}\nhosts:\n  nas:\n    hostname: 192.0.2.10\n"
            "    user: root\n    zfs_capable: True\n    zfs_dataset: pool/appdata\n"
            "    enabled: yes\n")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        said = done.stdout + done.stderr
        for key in ("server", "transfer", "zfs_capable", "zfs_dataset"):
            self.assertIn(key, said)

    def test_the_client_too(self):
        client = os.path.join(dcmtest.BUILD, "dcm-client")
        for args, status in ((["--help"], 0), (["--version"], 0), ([], 2), (["fly"], 2)):
            done = subprocess.run([client, *args], capture_output=True, text=True, check=False,
                                  stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, status, (args, done))
