"""How long what is known of a host that is away is kept: in memory, on disk.  A module of
its own, since it runs alone: see run."""
import os
import time
import unittest

import test_warm
from dcmtest import wait_until


class Retention(test_warm.Case):
    def test_memory_retention(self):
        """A host away for so long leaves the memory; its row and its snapshot stay."""
        e = self.engine(4)
        d = self.dcm([e], {"memory_retention": 3, "memory_cleanup_interval": 1}).settle([e])
        names = d.names()
        self.written(d)
        e.stop()
        wait_until(lambda: d.names() == [], "an empty memory")
        self.assertEqual(self.row(d)["state"], "offline")
        self.assertEqual(self.row(d)["containers"], 0)
        time.sleep(1)
        d.stop()
        self.assertEqual(self.files(d), ["sim.snap"])
        # It is older than that at the start, and shown again as long.
        d.start()
        self.serves(d, names)
        self.assertGreater(self.row(d)["age"], 3)
        wait_until(lambda: d.names() == [], "an empty memory again")
        self.assertEqual(len(d.log_events("host_expired")), 2)
        # The host comes back, and all is as before.
        e.start()
        d.settle([e])
        self.assertEqual(d.names(), sorted(c["Names"][0][1:] for c in e.api.list()))

    def test_disk_retention(self):
        e = self.engine(2)
        d = self.dcm([e]).settle([e])
        d.stop()
        e.stop()
        old = time.time() - 604800 - 60
        os.utime(self.snapshot(d), (old, old))
        for name in ("gone.snap", "gone.snap.bad-1", "young.snap"):
            with open(self.snapshot(d, name), "w"):
                pass
            if name != "young.snap":
                os.utime(self.snapshot(d, name), (old, old))
        d.start()
        wait_until(lambda: self.files(d) == ["young.snap"], "only the young one left")

    def test_one_retention_after_the_other(self):
        """Away, a host leaves the memory first, and later the disk; its row stays."""
        e = self.engine(3)
        d = self.dcm([e], {"memory_retention": 2, "memory_cleanup_interval": 1,
                           "disk_retention": 6, "disk_cleanup_interval": 1}).settle([e])
        self.written(d)
        with open(self.snapshot(d, "sim.snap.bad-1"), "wb") as f:
            f.write(b"set aside")
        e.stop()
        wait_until(lambda: d.names() == [], "an empty memory")
        wait_until(lambda: self.files(d) == [], "an empty disk")
        self.assertTrue(d.log_events("host_expired") and d.log_events("snapshots_removed"))
        self.assertEqual(self.row(d)["state"], "offline")
        d.stop()
        self.assertEqual(self.files(d), [])
        d.start()  # nothing is known any more
        wait_until(lambda: self.row(d).get("state") == "offline", "offline")
        self.assertEqual(d.names(), [])
        self.assertFalse(d.log_events("snapshot_loaded"))


if __name__ == "__main__":
    unittest.main()
