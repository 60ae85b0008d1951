#!/usr/bin/python3
"""How old is what readers see: a container is renamed again and again, and the time from
the engine's event (its timeNano) until the new name is in the memory, and until a reader
that waits has been woken and found it.

On a real engine and on a simulated one, quiet and while the host has 500 other events a
second, over the socket and over SSH.  The debounce is left out (event_debounce_ms: 0).
Part of `make bench`; needs root.
"""
import http.client
import json
import math
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]
import dcmtest  # noqa: E402
import sshserver  # noqa: E402
from rows import row  # noqa: E402

EVENTS = int(os.environ.get("EVENTS", "1000"))
STORM = 500   # events a second
PAUSE = 0.004
GROUP = "event at the engine to visible, %d renames" % EVENTS


class Told:
    """What the engine's own event stream tells of one container's renames: when."""

    def __init__(self, engine, container):
        filters = json.dumps({"container": [container], "event": ["rename"]})
        self.connection = dcmtest._UnixConnection(engine.socket, 30)
        self.connection.request("GET", "/v1.41/events?filters=" + urllib.parse.quote(filters))
        self.socket = self.connection.sock
        self.times = queue.Queue()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        time.sleep(0.3)  # it has to be there

    def read(self):
        try:
            reply = self.connection.getresponse()
            for line in reply:
                at = re.search(rb'"timeNano":\s*(\d+)', line)
                if at:
                    self.times.put(int(at.group(1)) / 1e9)
        except (OSError, http.client.HTTPException):
            pass  # it was closed

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()


class Look:
    """The two readers: see fresh.c."""

    def __init__(self, dcm, host):
        self.process = subprocess.Popen(
            [os.path.join(dcmtest.BUILD, "tests", "fresh"), dcm.instance, dcm.runtime, host],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def out_for(self, name):
        self.process.stdin.write(name + "\n")
        assert self.process.stdout.readline() == "looking\n"

    def seen(self):
        return [float(x) for x in self.process.stdout.readline().split()]

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        dcmtest.end_process(self.process)


def measure(engine, container, dcm, host):
    """(in memory, to one who waits): seconds after the event, of each rename."""
    told, look, found = Told(engine, container), Look(dcm, host), ([], [])
    for i in range(EVENTS):
        name = "fresh-%s-%d" % (host, i)
        look.out_for(name)
        engine.api.act(container, "rename", name=name)
        seen = look.seen()
        at = told.times.get(timeout=20)
        for values, s in zip(found, seen):
            values.append(s - at)
        time.sleep(PAUSE)
    told.close()
    look.close()
    return found


def percentile(values, p):
    v = sorted(values)
    return v[min(len(v) - 1, math.ceil(p * len(v)) - 1)]


def report(what, found):
    for who, values in zip(("in memory", "a waiting reader"), found):
        lost = sum(math.isnan(v) for v in values)
        values = [v for v in values if not math.isnan(v)]
        if lost or not values:
            print("# %s, %s: %d of %d were never seen" % (what, who, lost, EVENTS), flush=True)
        if values:
            row(GROUP, "%s, %s: p50" % (what, who), percentile(values, 0.5), goal=10e-3)
            row(GROUP, "… p99", percentile(values, 0.99), goal=50e-3)
            row(GROUP, "… max", max(values))


def follow(engine, container, way, host):
    """One way to an engine, quiet and, where it is simulated, in a storm."""
    kind = "simulated" if engine.simulated else "real"
    dcm = dcmtest.Dcm(json.dumps({"hosts": {way: host}, "cache": {"event_debounce_ms": 0}}))
    dcmtest.wait_until(lambda: len(dcm.ps()) == len(engine.api.list()) and
                       dcm.hosts()[way]["state"] == "online", "the host")
    time.sleep(2)  # first and second samples
    report("%s engine, %s, quiet" % (kind, way), measure(engine, container, dcm, way))
    if engine.simulated:
        engine.fault("storm:%d" % STORM)
        time.sleep(1)
        report("%s engine, %s, %d other events/s" % (kind, way, STORM),
               measure(engine, container, dcm, way))
        engine.fault(None)
    dcm.stop()


def story(engine, sshd=None):
    container = engine.api.create("fresh", ["sleep", "1"])
    follow(engine, container, "unix", {"url": engine.url})
    if sshd is not None:
        follow(engine, container, "ssh",
               sshd.entry(engine, identity_file=sshd.key("ed25519", "id_" + engine.name),
                          known_hosts=sshd.known_hosts()))


def main():
    sshd = None
    try:
        sshd = sshserver.Sshd()
    except unittest.SkipTest as e:
        print("# bench_fresh: over SSH left out: %s" % e)
    try:
        story(dcmtest.Engine("fresh"), sshd)
    except unittest.SkipTest as e:
        print("# bench_fresh: real engine left out: %s" % e)
    story(dcmtest.SimEngine("sim", 100), sshd)


if __name__ == "__main__":
    main()
