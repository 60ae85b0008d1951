"""Containers that are created, started, paused, renamed and removed all the time.

Each carries its serial wherever a record can show it, so that a record made of two
containers is seen: name `c7-r2` (serial 7, renamed twice), label chaos.serial, variable
CHAOS, host name and compose service `s7`.  Some begin under a name that others had
before them.
"""
import http.client
import itertools
import threading
import time

from dcmtest import ApiError

WORKERS = 4  # an engine
FAILURES = (ApiError, OSError, http.client.HTTPException, ValueError)


def words(serial, project):
    """What a container is created with so that its record can be checked."""
    return {"Env": ["CHAOS=%d" % serial], "Hostname": "s%d" % serial,
            "Labels": {"chaos.serial": str(serial), "com.docker.compose.project": project,
                       "com.docker.compose.service": "s%d" % serial}}


class Churn:
    """`per_minute` lives a minute over all engines.  While an engine is away its workers
    try again: what a life leaves then is removed by the next."""

    def __init__(self, engines, rng, per_minute):
        self.interval = 60.0 / per_minute
        self.rng = rng
        self.serials = itertools.count(1000)
        self.done = dict.fromkeys("created paused renamed removed failed".split(), 0)
        self.lock = threading.Lock()
        self.due = time.monotonic()
        self.running = threading.Event()
        self.busy = 0
        self.ended = False
        self.last = 0.0
        self.threads = [threading.Thread(target=self._work, args=(e,), daemon=True)
                        for e in engines for _ in range(WORKERS)]
        for t in self.threads:
            t.start()

    def go(self):
        self.due = time.monotonic()
        self.running.set()

    def pause(self):
        """No more steps; returns when those under way have ended."""
        self.running.clear()
        while self.busy:
            time.sleep(0.005)

    def end(self):
        self.ended = True
        self.running.set()
        for t in self.threads:
            t.join(60)

    def _chance(self, probability):
        with self.lock:
            return self.rng.random() < probability

    def _turn(self):
        """Waits for its turn to begin a life; they are spread evenly."""
        with self.lock:
            self.due = max(self.due + self.interval, time.monotonic() - 1)
            due = self.due
        while not self.ended and time.monotonic() < due:
            time.sleep(0.02)

    def _step(self, what, call, *args, **more):
        """One call of the engine, unless it is quiet; None where it failed."""
        while True:
            self.running.wait()
            with self.lock:
                if self.running.is_set():
                    self.busy += 1
                    break
        try:
            value = None if self.ended else call(*args, **more)
            if what and not self.ended:
                with self.lock:
                    self.done[what] += 1
            return value
        except FAILURES:
            with self.lock:
                self.done["failed"] += 1
            time.sleep(0.2)
            return None
        finally:
            with self.lock:
                self.busy -= 1
                self.last = time.monotonic()

    def _work(self, engine):
        api, left = engine.api, []
        while not self.ended:
            self._turn()
            for name in left[:4]:
                if self._removed(api, name):
                    left.remove(name)
            serial = next(self.serials)
            container = self._live(api, serial)
            if container:
                left.append(container)

    def _removed(self, api, container):
        def remove():
            api.remove(container)
            return True
        return self._step("removed", remove)

    def _live(self, api, serial):
        """One life; the id of what is left of it."""
        first = "again-%d" % (serial % 7) if self._chance(0.2) else "c%d-r0" % serial
        container = self._step("created", api.create, first, ["sleep", "100000"],
                               **words(serial, "chaos"))
        if not container:
            return None
        if self._chance(0.9):
            self._step(None, api.start, container)
            self._linger()
            self._step("paused", api.act, container, "pause")
        self._step("renamed", api.act, container, "rename", name="c%d-r1" % serial)
        self._linger()
        if self._chance(0.5):
            self._step(None, api.act, container, "unpause")
            self._step(None, api.act, container, "rename", name="c%d-r2" % serial)
        return None if self._removed(api, container) else container

    def _linger(self):
        with self.lock:
            seconds = self.rng.uniform(0, 2)
        if not self.ended:
            time.sleep(seconds)
