"""Every command of dcm-client: its document, its table, its exit status, and its
filters against the answers of `docker ps`."""
import json
import re

import dcmtest
import expected


class Commands(dcmtest.Case):
    @classmethod
    def setUpClass(cls):
        cls.dcm, cls.engines = dcmtest.stage()
        cls.alpha = cls.engines[0]

    def names(self, records):
        return sorted((r["host_id"], r["name"]) for r in records)

    def both(self, *names):
        return sorted((e.name, n) for e in self.engines for n in names)

    # ---- hosts ----
    def test_hosts(self):
        rows = self.dcm.json("hosts")
        self.assertEqual([r["id"] for r in rows], ["alpha", "beta"])
        info = self.alpha.api.get("/info")
        for r in rows:
            self.assertEqual(set(r), set("""id state containers running age engine_version
                api_version transport error description tags cpus memory_total os kernel
                cpu_percent memory_usage""".split()))
            self.assertEqual(r["state"], "online")
            self.assertEqual(r["transport"], "unix")
            self.assertIsNone(r["error"])
            self.assertEqual(r["engine_version"], info["ServerVersion"])
            self.assertEqual(r["api_version"], "1.41")
            self.assertEqual(r["cpus"], info["NCPU"])
            self.assertEqual(r["memory_total"], info["MemTotal"])
            self.assertEqual(r["os"], info["OperatingSystem"])
            self.assertEqual(r["kernel"], info["KernelVersion"])
            self.assertEqual(r["description"], "engine " + r["id"])
            self.assertEqual(r["tags"], ["test", r["id"]])
            self.assertGreaterEqual(r["age"], 0)
        row = rows[0]
        self.assertEqual(row["containers"], len(self.alpha.api.list()))
        running = [c for c in self.alpha.api.list() if c["State"] == "running"]
        self.assertEqual(row["running"], len(running))

    # ---- ps, get ----
    def test_ps_of_all_and_of_one(self):
        for e in self.engines:
            listed = {c["Id"] for c in e.api.list()}
            self.assertEqual({r["container_id"] for r in self.dcm.ps(e.name)}, listed)
        every = {r["container_id"] for r in self.dcm.ps()}
        self.assertEqual(every, {c["Id"] for e in self.engines for c in e.api.list()})

    def test_ps_quiet_is_the_ids(self):
        done = self.dcm.run("ps", "alpha", "-q")
        ids = done.stdout.split()
        listed = {c["Id"] for c in self.alpha.api.list()}
        self.assertEqual(len(ids), len(listed))
        for i in ids:
            self.assertTrue(any(full.startswith(i) for full in listed), i)

    def test_get_by_id_prefix_and_name(self):
        whole = self.alpha.api.inspect("shop-web-1")["Id"]
        for what in (whole, whole[:12], "shop-web-1"):
            r = self.dcm.get("alpha", what)
            self.assertIsInstance(r, dict)
            self.assertEqual(r["container_id"], whole)

    def test_get_what_is_not_there_is_exit_1(self):
        for args in (("alpha", "no-such-container"), ("no-such-host", "done"),
                     ("alpha", "0" * 64)):
            done = self.dcm.run("get", *args)
            self.assertEqual(done.returncode, 1, done)
            self.assertEqual(done.stdout, "")
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn(args[1] if args[0] == "alpha" else args[0], done.stderr)

    def test_a_short_or_ambiguous_prefix(self):
        many = dcmtest.SimEngine("many", 1500)  # so many that some ids begin alike
        self.addCleanup(many.stop)
        dcm = dcmtest.Dcm(dcmtest.hosts_yml([many]))
        self.addCleanup(dcm.stop)
        dcm.settle([many])
        by4 = {}
        for i in (r["container_id"] for r in dcm.ps()):
            by4.setdefault(i[:4], []).append(i)
        pair = next(v for v in by4.values() if len(v) > 1)
        alone = next(v for v in by4.values() if len(v) == 1)[0]
        self.assertEqual(dcm.get("many", alone[:4])["container_id"], alone)
        self.assertEqual(dcm.run("get", "many", alone[:3]).returncode, 1)
        done = dcm.run("get", "many", pair[0][:4])
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        for one in pair:
            self.assertIn(one[:12], done.stderr)

    def test_a_damaged_usage_is_exit_2(self):
        for args in (["get", "alpha"], ["no-such-command"], ["ps", "--no-such-option"],
                     ["ps", "--filter", "nonsense=1"], ["ps", "--filter", "status"], [],
                     ["top", "-n", "many"]):
            done = self.dcm.run(*args)
            self.assertEqual(done.returncode, 2, (args, done))
            self.assertNotEqual(done.stderr, "")

    # ---- cross-host queries ----
    def test_stack(self):
        self.assertEqual(self.names(self.dcm.json("stack", "shop")),
                         self.both("shop-db-1", "shop-web-1"))
        self.assertEqual(self.dcm.json("stack", "no-such-project"), [])

    def test_label(self):
        key = "com.docker.compose.service"
        self.assertEqual(self.names(self.dcm.json("label", key)),
                         self.both("shop-db-1", "shop-web-1"))
        self.assertEqual(self.names(self.dcm.json("label", key + "=web")),
                         self.both("shop-web-1"))
        self.assertEqual(self.names(self.dcm.json("label", "empty=")), self.both("shop-web-1"))
        self.assertEqual(self.names(self.dcm.json("label", "größe=café ☕ 日本")),
                         self.both("shop-web-1"))
        self.assertEqual(self.dcm.json("label", key + "=no"), [])

    def test_search(self):
        self.assertEqual(self.names(self.dcm.json("search", "SHOP-")),
                         self.both("shop-db-1", "shop-web-1"))
        everyone = {c["Id"] for e in self.engines for c in e.api.list()}
        self.assertEqual({r["container_id"] for r in self.dcm.json("search", "BusyBox")},
                         everyone)
        whole = self.alpha.api.inspect("done")["Id"]
        self.assertIn(whole, [r["container_id"] for r in self.dcm.json("search", whole[:10])])
        self.assertEqual(self.dcm.json("search", "nobody is called so"), [])

    def test_top(self):
        top = dcmtest.wait_until(
            lambda: next((t for t in [self.dcm.json("top")] if len(t["top_cpu"]) == 10), None),
            "ten measured containers")
        self.assertEqual(set(top), {"top_cpu", "top_memory"})
        for key, field in (("top_cpu", "cpu_percent"), ("top_memory", "memory_usage")):
            values = [r[field] for r in top[key]]
            self.assertEqual(len(values), 10)
            self.assertNotIn(None, values)
            self.assertEqual(values, sorted(values, reverse=True))
        self.assertEqual(len(self.dcm.json("top", "-n", "3")["top_memory"]), 3)
        every = self.dcm.json("top", "-n", "1000")["top_memory"]
        running = {c["Id"] for e in self.engines for c in e.api.list(status=["running"])}
        self.assertLessEqual(running, {r["container_id"] for r in every})

    def test_mounts(self):
        d = self.alpha.stack
        for path, names in (
                (d, [("alpha", "shop-web-1")]),                       # below it
                (d + "/rw", [("alpha", "shop-web-1")]),               # a bind's source
                ("/data", self.both("shop-db-1", "shop-web-1")),      # a volume's destination
                ("shop_data", self.both("shop-db-1", "shop-web-1")),  # its name
                ("/ro", self.both("shop-web-1")),
                (d + "/r", []), ("/dat", []), ("/nowhere", [])):
            self.assertEqual(self.names(self.dcm.json("mounts", path)), names, path)

    def test_network_and_status(self):
        self.assertEqual(self.names(self.dcm.json("network", "shop_net")),
                         self.both("shop-db-1", "shop-web-1"))
        self.assertEqual(self.names(self.dcm.json("network", "host")), self.both("hostnet"))
        self.assertEqual(self.names(self.dcm.json("status", "paused")), self.both("paused"))
        self.assertEqual(self.names(self.dcm.json("status", "created")),
                         self.both("bad-command", "never-started"))
        self.assertEqual(self.dcm.json("status", "dead"), [])

    def test_health(self):
        health = self.dcm.json("health")
        self.assertEqual(set(health), {"healthy", "unhealthy", "starting", "no_health_check"})
        self.assertEqual(self.names(health["healthy"]), self.both("shop-web-1"))
        self.assertEqual(self.names(health["unhealthy"]), self.both("sick"))
        self.assertEqual(sum(len(v) for v in health.values()), len(self.dcm.ps()))

    def test_discover(self):
        found = self.dcm.json("discover")
        self.assertEqual(set(found), {"alpha", "beta"})
        for e in self.engines:
            d = found[e.name]
            self.assertEqual(set(d), {"compose_projects", "compose_paths", "appdata_paths",
                                      "total_containers"})
            self.assertIn("shop", d["compose_projects"])
            self.assertIn(e.stack, " ".join(d["compose_paths"]))
            self.assertIn(e.stack + "/appdata/ro", d["appdata_paths"])
            self.assertNotIn(e.stack + "/rw", d["appdata_paths"])
            self.assertEqual(d["total_containers"], len(e.api.list()))
        self.assertEqual(set(self.dcm.json("discover", "beta")), {"beta"})
        self.assertEqual(self.dcm.run("discover", "no-such-host").returncode, 1)

    def test_stats(self):
        s = self.dcm.json("stats")
        self.assertLessEqual(set("""hosts_cached total_containers cache_ages update_interval
            cache_ttl memory_held memory_used events refreshes errors restarts refused
            truncated""".split()), set(s))
        self.assertEqual((s["refused"], s["truncated"], s["warnings"]), (0, 0, {}))
        self.assertEqual(s["hosts_cached"], 2)
        self.assertEqual(s["total_containers"], len(self.dcm.ps()))
        self.assertEqual(set(s["cache_ages"]), {"alpha", "beta"})
        self.assertEqual((s["update_interval"], s["cache_ttl"]), (60, 300))
        self.assertGreater(s["memory_held"], s["memory_used"])
        self.assertGreater(s["memory_used"], 10000)

    def test_doctor(self):
        done = self.dcm.run("doctor")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(done.stdout.strip())
        json.loads(self.dcm.run("--json", "doctor").stdout)

    # ---- logs ----
    def test_logs(self):
        log = self.dcm.json("logs", "alpha", "talker")
        whole = self.alpha.api.inspect("talker")["Id"]
        self.assertEqual(set(log), {"host_id", "container_id", "log_tail"})
        self.assertEqual((log["host_id"], log["container_id"]), ("alpha", whole))
        self.assertEqual(sorted(log["log_tail"]),
                         sorted(["line %d" % n for n in range(1, 6)] + ["oops"]))
        self.assertEqual(len(self.dcm.json("logs", "alpha", "talker", "-n", "2")["log_tail"]), 2)
        self.assertEqual(len(self.dcm.get("alpha", "talker")["log_tail"]), 2)
        tty = self.dcm.json("logs", "beta", "tty")["log_tail"]
        self.assertEqual([line.rstrip("\r") for line in tty], ["on a terminal"])
        self.assertEqual(self.dcm.run("logs", "alpha", "nobody").returncode, 1)

    # ---- filters ----
    FILTERS = [
        "status=running", "status=exited", "status=created", "status=paused", "name=shop",
        "name=^/?done$", "name=web", "label=com.docker.compose.service",
        "label=com.docker.compose.service=web", "label=empty=", "label=nothing",
        "health=healthy", "health=unhealthy", "health=none", "ancestor=busybox:1",
        "ancestor=busybox", "network=shop_net", "network=host", "network=none",
        "volume=shop_data", "volume=/data", "volume=/ro", "exited=3", "exited=0", "exited=1",
        "exited=137", "publish=80", "publish=80/tcp", "publish=53/udp", "publish=1-65535/tcp",
        "expose=443", "expose=443/tcp", "expose=80", "expose=53/udp", "before=sick",
        "since=sick", "is-task=true", "is-task=false",
    ]

    def test_filters_answer_as_docker_does(self):
        for f in self.FILTERS:
            with self.subTest(filter=f):
                want = self.alpha.docker("ps", "-aq", "--no-trunc", "--filter", f)
                got = [r["container_id"] for r in self.dcm.ps("alpha", "--filter", f)]
                self.assertEqual(sorted(got), sorted(want))

    def test_filters_know_images_and_networks_as_the_engine_does(self):
        api = self.alpha.api
        image = api.inspect("done")["Image"]
        network = next(n for n in api.get("/networks") if n["Name"] == "shop_net")["Id"]
        api.post("/images/busybox:1/tag", repo="also", tag="2")
        api.post("/commit", container="done", repo="built", tag="3")
        made = api.create("child", ["true"], Image="built:3")

        def as_docker(f):
            want = self.alpha.docker("ps", "-aq", "--no-trunc", "--filter", f)
            got = [r["container_id"] for r in self.dcm.ps("alpha", "--filter", f)]
            return want and sorted(got) == sorted(want)

        try:
            for f in ("ancestor=also:2", "ancestor=built:3", "ancestor=busybox:1",
                      "ancestor=" + image, "ancestor=" + image[7:9], "network=" + network,
                      "network=" + network[:12]):
                dcmtest.wait_until(lambda f=f: as_docker(f), "docker's answer to " + f)
        finally:
            api.remove(made)
            for reference in ("also:2", "built:3"):
                api.delete("/images/" + reference)
        dcmtest.wait_until(lambda: not self.dcm.ps("alpha", "--filter", "ancestor=also:2"),
                           "a tag that is gone to be forgotten")

    def test_several_filters(self):
        for pair in (("status=exited", "status=created"), ("status=running", "name=shop"),
                     ("label=empty=", "label=quote"), ("name=shop", "name=done")):
            args = [a for f in pair for a in ("--filter", f)]
            want = self.alpha.docker("ps", "-aq", "--no-trunc", *args)
            got = [r["container_id"] for r in self.dcm.ps("alpha", *args)]
            self.assertEqual(sorted(got), sorted(want), pair)

    def test_filter_by_id(self):
        whole = self.alpha.api.inspect("done")["Id"]
        for part in (whole, whole[:12]):
            got = [r["container_id"] for r in self.dcm.ps("--filter", "id=" + part)]
            self.assertEqual(got, [whole])

    def test_filters_of_our_own(self):
        self.assertEqual({r["host_id"] for r in self.dcm.ps("--filter", "host=beta")}, {"beta"})
        self.assertEqual(self.names(self.dcm.ps("--filter", "project=shop")),
                         self.both("shop-db-1", "shop-web-1"))
        self.assertEqual(self.names(self.dcm.ps("--filter", "service=db")),
                         self.both("shop-db-1"))

    # ---- how it is said ----
    def test_tables_are_aligned_and_plain_without_a_terminal(self):
        for args in (["hosts"], ["ps"], ["ps", "alpha"], ["get", "alpha", "done"], ["top"],
                     ["health"], ["stats"], ["discover"], ["stack", "shop"], ["mounts", "/"],
                     ["logs", "alpha", "talker"]):
            done = self.dcm.run(*args)
            self.assertEqual(done.returncode, 0, (args, done.stderr))
            self.assertTrue(done.stdout.strip(), args)
            self.assertNotIn("\x1b", done.stdout, args)

    def test_format(self):
        done = self.dcm.run("--format", "{host_id}\\t{name}\\n", "ps", "alpha")
        lines = [line.split("\t") for line in done.stdout.splitlines() if line]
        self.assertEqual(sorted(n for _, n in lines), self.dcm.names("alpha"))
        done = self.dcm.run("--format", "json", "get", "alpha", "done")
        self.assertEqual(json.loads(done.stdout)["name"], "done")
        table = self.dcm.run("--format", "table", "ps", "alpha").stdout
        self.assertIn("shop-web-1", table)

    def test_colour_is_off_when_told(self):
        done = self.dcm.run("ps", env={"NO_COLOR": "1"})
        self.assertIsNone(re.search("\x1b\\[", done.stdout))

    def test_refresh_option_asks_the_engine(self):
        r = self.dcm.json("get", "alpha", "done", "--refresh")
        self.assertEqual(expected.differences(r, self.alpha.api.inspect("done")), [])
        self.assertEqual(self.dcm.run("refresh", "--all").returncode, 0)
        self.assertEqual(self.dcm.run("refresh", "no-such-host").returncode, 1)

    def test_without_a_daemon_it_is_exit_3(self):
        done = self.dcm.run("--instance", "nobody-runs-this", "hosts")
        self.assertEqual(done.returncode, 3)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertEqual(self.dcm.run("--runtime-dir", "", "hosts").returncode, 2)
