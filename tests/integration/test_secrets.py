"""What was taken out of a record is nowhere: not in memory, on disk, in a log or
on a screen."""
import os

import dcmtest
import fleet
from dcmtest import wait_until

SECRETS = [s.encode() for s in (fleet.SECRET, fleet.URL_SECRET, fleet.COMPOSE_SECRET)]


def files_holding(path, secrets):
    found = []
    for d, _, names in os.walk(path):
        for n in names:
            f = os.path.join(d, n)
            if os.path.isfile(f):
                with open(f, "rb") as handle:
                    data = handle.read()
                found += [(f, s) for s in secrets if s in data]
    return found


def memory_holding(pid, secrets):
    """Secrets in the memory of a process: its heap, its stack, what it maps."""
    found = []
    with open("/proc/%d/maps" % pid, encoding="utf-8") as maps, \
            open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            parts = line.split()
            start, end = (int(x, 16) for x in parts[0].split("-"))
            # A sanitizer's shadow is terabytes of nothing.
            if "r" not in parts[1] or end - start > 1 << 30 or parts[-1] == "[vvar]":
                continue
            try:
                mem.seek(start)
                data = mem.read(end - start) or b""
            except (OSError, ValueError, OverflowError):
                continue
            found += [s for s in secrets if s in data]
    return found


class Secrets(dcmtest.Case):
    @classmethod
    def setUpClass(cls):
        cls.shared, cls.engines = dcmtest.stage()

    def start(self, mode, **more):
        cache = dict({"environment": mode}, **more)
        dcm = dcmtest.Dcm(dcmtest.hosts_yml(self.engines[:1], cache), "--log-level", "debug")
        self.addCleanup(dcm.stop)
        return dcm.settle(self.engines[:1])

    def everything_shown(self, dcm):
        shown = []
        for args in (["ps"], ["get", "alpha", "shop-db-1"], ["logs", "alpha", "shop-db-1"],
                     ["stack", "shop"], ["label", "echo.of.the.secret"], ["search", "shop"]):
            shown.append(dcm.run("--json", *args).stdout)
            shown.append(dcm.run(*args).stdout)
        return "\n".join(shown).encode()

    def test_redacted_by_default(self):
        dcm = self.start("redact")
        r = dcm.get("alpha", "shop-db-1")
        self.assertEqual(r["environment_vars"], {
            "DB_PASSWORD": "********", "URL": "postgres://app:********@db:5432/app",
            "PLAIN": "visible"})
        self.assertIn("it is ********!", r["labels"]["echo.of.the.secret"])
        self.assertIn("echo started with ********", r["command"])
        log = wait_until(lambda: dcm.json("logs", "alpha", "shop-db-1")["log_tail"], "its log")
        self.assertEqual(log, ["started with ********"])
        wait_until(lambda: dcm.get("alpha", "shop-db-1")["compose_file_content"], "compose text")
        shown = self.everything_shown(dcm)
        for s in SECRETS:
            self.assertNotIn(s, shown)
        for name in dcm.objects():
            with open("/dev/shm/" + name, "rb") as f:
                data = f.read()
            self.assertEqual([s for s in SECRETS if s in data], [], name)
        for title, pid in dcm.pids().items():
            if title.startswith("dcmd: broker") or title.startswith("dcmd: supervisor"):
                self.assertEqual(memory_holding(pid, SECRETS), [], title)
        dcm.stop()
        self.assertEqual(files_holding(dcm.dir, SECRETS), [], "state, logs")

    def test_names_alone(self):
        r = self.start("names").get("alpha", "shop-db-1")
        self.assertEqual(r["environment_vars"], {"DB_PASSWORD": None, "URL": None, "PLAIN": None})
        self.assertNotIn(fleet.SECRET, r["labels"]["echo.of.the.secret"])

    def test_none(self):
        r = self.start("none").get("alpha", "shop-db-1")
        self.assertIn(r["environment_vars"], ({}, None))
        self.assertNotIn(fleet.SECRET, r["labels"]["echo.of.the.secret"])

    def test_full(self):
        dcm = self.start("full")
        r = dcm.get("alpha", "shop-db-1")
        self.assertEqual(r["environment_vars"]["DB_PASSWORD"], fleet.SECRET)
        self.assertIn(fleet.URL_SECRET, r["environment_vars"]["URL"])
        self.assertIn(fleet.SECRET, r["labels"]["echo.of.the.secret"])
        text = wait_until(lambda: dcm.get("alpha", "shop-web-1")["compose_file_content"])
        self.assertEqual(text, fleet.COMPOSE_FILE)

    def test_files_below_a_secret_path(self):
        """are read, though the record does not say where they are, nor does the log"""
        where = dcmtest.fresh("hidden-place")
        for name in ("one.yml", "two.yml"):
            with open(os.path.join(where, name), "w", encoding="utf-8") as f:
                f.write("# DB_PASSWORD=commented-out\nname: %s\n" % name)
        container = self.engines[0].api.create(
            "below-a-secret", ["true"], Env=["SECRETS_DIR=" + where],
            Labels={"com.docker.compose.project": "below-a-secret",
                    "com.docker.compose.project.config_files":
                        ",".join("%s/%s.yml" % (where, n) for n in ("one", "two", "gone"))})
        self.addCleanup(self.engines[0].api.remove, container)
        dcm = self.start("redact")
        r = dcm.get("alpha", "below-a-secret")
        self.assertEqual(r["compose_config_files"],
                         "********/one.yml,********/two.yml,********/gone.yml")
        self.assertEqual(r["compose_file_content"], "".join(
            "# ********/%s\n# DB_PASSWORD=********\nname: %s\n" % (n, n)
            for n in ("one.yml", "two.yml")))
        self.assertEqual([e["error"] for e in dcm.log_events("compose_file")], ["no such file"])
        dcm.stop()
        self.assertEqual(files_holding(dcm.dir, [where.encode()]), [])

    def test_words_of_ones_own(self):
        r = self.start("redact", redact=["plain"]).get("alpha", "shop-db-1")
        self.assertEqual(r["environment_vars"]["PLAIN"], "********")
        self.assertEqual(r["environment_vars"]["DB_PASSWORD"], fleet.SECRET)

    def test_a_host_of_its_own_mind(self):
        text = dcmtest.hosts_yml(self.engines, {"environment": "names"},
                                 beta={"environment": "full"})
        dcm = dcmtest.Dcm(text)
        self.addCleanup(dcm.stop)
        dcm.settle(self.engines)
        self.assertIsNone(dcm.get("alpha", "shop-db-1")["environment_vars"]["PLAIN"])
        self.assertEqual(dcm.get("beta", "shop-db-1")["environment_vars"]["PLAIN"], "visible")
