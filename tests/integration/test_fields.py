"""Every field of every container of two engines, compared with what the engine
itself says."""
import os
import re
import time

import dcmtest
import expected
import fleet


class Fields:
    """The same questions to real and to simulated engines."""
    kind = ""

    @classmethod
    def setUpClass(cls):
        cls.dcm, cls.engines = dcmtest.stage(cls.kind)

    def each(self):
        """(engine, its inspect reply, our record) of every container, taken while
        nothing changed between the two."""
        for e in self.engines:
            records = {r["container_id"]: r for r in self.dcm.ps(e.name)}
            for c in e.api.list():
                yield e, e.api.inspect(c["Id"]), records[c["Id"]]

    def test_every_record_has_every_field_and_no_other(self):
        for _, _, record in self.each():
            self.assertEqual(set(record), expected.ALL)

    def test_fields_say_what_the_engine_says(self):
        count = 0
        for e, doc, _ in self.each():
            with self.subTest(host=e.name, name=doc["Name"]):
                def same(e=e, doc=doc):
                    record = self.dcm.get(e.name, doc["Id"])
                    self.assertEqual(record["host_id"], e.name)
                    wrong = expected.differences(record, e.api.inspect(doc["Id"]))
                    self.assertEqual(wrong, [])
                    return True
                dcmtest.wait_until(same, "the same as the engine says of " + doc["Name"], 5)
                count += 1
        self.assertGreater(count, 30)

    def test_uptime_is_of_those_that_run_and_no_other(self):
        for _, doc, r in self.each():
            if doc["State"]["Status"] == "running":
                self.assertRegex(r["uptime"] or "null", r"^(\d+d \d+h|\d+h \d+m|\d+m|\d+s)$")
            elif doc["State"]["Status"] != "paused":
                self.assertIsNone(r["uptime"], r["name"])

    def test_freshness_has_an_age_for_each_tier(self):
        for _, doc, r in self.each():
            self.assertEqual(set(r["freshness"]), {"stats", "status", "config", "compose"})
            for tier, f in r["freshness"].items():
                self.assertEqual(set(f), {"age", "stale"}, tier)
                if tier != "stats":
                    self.assertIsInstance(f["age"], (int, float), (r["name"], tier))
                    self.assertGreaterEqual(f["age"], -1)
                    self.assertIs(f["stale"], False)

    def test_times_of_caching_are_now(self):
        for _, _, r in self.each():
            for field in ("cached_at", "last_updated"):
                self.assertIsInstance(r[field], (int, float), r["name"])
                self.assertLess(abs(time.time() - r[field]), 3600, (r["name"], field))

    def test_members_of_a_stack_name_one_another(self):
        for e in self.engines:
            members = {r["name"]: r for r in self.dcm.ps(e.name)
                       if r["compose_project"] == "shop"}
            self.assertEqual(set(members), {"shop-db-1", "shop-web-1"})
            for name, r in members.items():
                self.assertEqual(sorted(r["compose_stack_containers"]),
                                 sorted(set(members) - {name}))
            alone = [r for r in self.dcm.ps(e.name) if r["compose_project"] is None]
            for r in alone:
                self.assertIn(r["compose_stack_containers"], ([], None), r["name"])

    def test_the_compose_file_is_read_and_its_secrets_are_not(self):
        for e in self.engines:
            r = dcmtest.wait_until(
                lambda e=e: next((x for x in [self.dcm.get(e.name, "shop-web-1")]
                                  if x["compose_file_content"]), None), "the compose file")
            text = r["compose_file_content"]
            self.assertIn("image: busybox:1", text)
            self.assertIn("PLAIN: visible", text)
            self.assertNotIn(fleet.COMPOSE_SECRET, text)
            self.assertNotIn(fleet.SECRET, text)
            self.assertEqual(text.count("\n"), fleet.COMPOSE_FILE.count("\n"))

    def test_what_runs_is_measured_and_what_does_not_is_null(self):
        def measured():
            for _, doc, r in self.each():
                status = doc["State"]["Status"]
                for field in expected.MEASURED:
                    value = r[field]
                    if status not in ("running", "paused", "restarting"):
                        self.assertIsNone(value, (r["name"], status, field))
                    elif status == "running" and field in (
                            "cpu_percent", "memory_usage", "memory_percent", "pids"):
                        self.assertIsInstance(value, (int, float), (r["name"], field))
                        self.assertGreaterEqual(value, 0, (r["name"], field))
            return True
        dcmtest.wait_until(measured, "measures of all that run")

    def test_a_limit_is_what_percent_is_of(self):
        for e in self.engines:
            r = dcmtest.wait_until(
                lambda e=e: next((x for x in [self.dcm.get(e.name, "limited")]
                                  if x["memory_percent"] is not None), None), "a measure")
            self.assertEqual(r["memory_limit"], 33554432)
            self.assertAlmostEqual(r["memory_percent"], 100 * r["memory_usage"] / 33554432,
                                   delta=0.01)


class RealFields(Fields, dcmtest.Case):
    kind = "real"

    def test_a_link_to_a_compose_file_is_not_followed(self):
        e = self.engines[0]
        d = dcmtest.fresh("c")
        os.symlink(os.path.join(e.stack, "docker-compose.yml"), d + "/docker-compose.yml")
        with open(d + "/compose.txt", "w", encoding="utf-8") as f:
            f.write("services: {}\n")
        os.mkfifo(d + "/pipe.yml")
        for n, file in enumerate(("docker-compose.yml", "compose.txt", "pipe.yml", "none.yml")):
            name = "link-%d" % n
            e.api.create(name, ["true"], Labels={
                "com.docker.compose.project": name,
                "com.docker.compose.project.config_files": d + "/" + file})
            self.addCleanup(e.api.remove, name)
        for n in range(4):
            r = dcmtest.wait_until(lambda n=n: self.dcm.get(e.name, "link-%d" % n))
            self.assertIsNone(r["compose_file_content"], r["compose_config_files"])
            self.assertEqual(r["compose_project"], "link-%d" % n)

    def test_a_name_of_an_image_that_is_gone_is_kept(self):
        r = self.dcm.get("alpha", "done")
        self.assertEqual(r["image"], dcmtest.IMAGE)
        self.assertTrue(re.fullmatch(r"sha256:[0-9a-f]{64}", r["image_id"]))


class SimulatedFields(Fields, dcmtest.Case):
    kind = "simulated"
