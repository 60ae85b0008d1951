#!/usr/bin/python3
"""What collecting costs: a whole refresh of a host of 100 containers on a private engine
and of 1,000 on a simulated one, the engine's own CPU beside ours, what a reader notices of a
refresh, and the load an hour of dcm puts on an engine beside what people use instead.

The floor is the same requests made by curl: a list, an inspect of each container over four
connections and, meanwhile, one burst of one-shot stats.  Part of `make bench`; needs root.
"""
import os
import resource
import statistics
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]
import dcmtest  # noqa: E402
import usage  # noqa: E402
from rows import row  # noqa: E402

CONTAINERS, SIMULATED = 100, 1000
ROUNDS = 5
QUIET = 10 ** 6  # s: an interval that does not come
HOUR = 3600
POLLER = """
import docker, sys
from concurrent.futures import ThreadPoolExecutor
client = docker.DockerClient(base_url=sys.argv[1], timeout=60)
seen = client.containers.list(all=True)
pool = ThreadPoolExecutor(32)
for line in sys.stdin:
    if line == "list\\n":
        seen = client.containers.list(all=True)
    else:
        list(pool.map(lambda c: c.stats(stream=False), seen))
    print("done", flush=True)
"""


# ---- whose CPU ---------------------------------------------------------------------------

def engine_cpu(engine):
    """CPU seconds of (the engine, its containerd and shims) so far."""
    if engine.simulated:
        return usage.cpu([engine.process.pid]), 0.0
    others = [p for p in usage.with_text(engine.dir + "/x/") if p != engine.process.pid]
    return usage.cpu([engine.process.pid]), usage.cpu(others)


def children_cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


class Spent:
    """Wall and CPU time of what is done within it: `with Spent(…) as s`."""

    def __init__(self, engine, pids=()):
        self.engine, self.pids = engine, pids

    def __enter__(self):
        self.before = (*engine_cpu(self.engine), usage.cpu(self.pids), children_cpu())
        self.begin = time.perf_counter()
        return self

    def __exit__(self, *_):
        self.wall = time.perf_counter() - self.begin
        time.sleep(0.3)  # what the engine still does for it
        after = (*engine_cpu(self.engine), usage.cpu(self.pids), children_cpu())
        self.engine_cpu, self.containerd, self.own, self.children = [
            a - b for a, b in zip(after, self.before)]
        self.all = self.engine_cpu + self.containerd


def median(spent, what):
    return statistics.median(getattr(s, what) for s in spent)


# ---- the floor -----------------------------------------------------------------------------

class Curl:
    def __init__(self, engine):
        ids = [c["Id"] for c in engine.api.list()]
        running = [c["Id"] for c in engine.api.list(status=["running"])]
        self.base = ["curl", "-s", "--no-progress-meter", "--unix-socket", engine.socket]
        self.inspects = self.urls(engine, "inspects", ids, "json")
        self.stats = self.urls(engine, "stats", running, "stats?stream=0&one-shot=1")

    @staticmethod
    def urls(engine, name, ids, what):
        path = os.path.join(engine.dir, "curl-" + name)
        with open(path, "w") as f:
            for i in ids:
                f.write('url = "http://d/v1.41/containers/%s/%s"\noutput = "/dev/null"\n' % (i, what))
        return path

    def refresh(self):
        subprocess.run(self.base + ["-o", "/dev/null", "http://d/v1.41/containers/json?all=1"],
                       check=True)
        # as many at once as dcm asks for
        both = [subprocess.Popen(self.base + ["-Z", "--parallel-max", "4", "-K", self.inspects]),
                subprocess.Popen(self.base + ["-Z", "--parallel-immediate", "--parallel-max",
                                              "128", "-K", self.stats])]
        assert [p.wait() for p in both] == [0, 0], "curl failed"

    def inspect_all(self):
        """Seconds that all inspects take, one after the other."""
        begin = time.perf_counter()
        subprocess.run(self.base + ["-K", self.inspects], check=True)
        return time.perf_counter() - begin


# ---- a whole refresh -------------------------------------------------------------------------

def collector_pid(dcm, host):
    return dcm.pids()["dcmd: collector " + host]


def refresh(engine, containers, rounds):
    """Rows of a refresh, beside curl; returns the CPU that it cost the engine."""
    group = "a whole refresh of %d containers, %s engine" % (
        containers, "simulated" if engine.simulated else "real")
    quiet = {"stats_update": QUIET, "status_update": QUIET, "config_update": QUIET,
             "request_timeout": 60}
    dcm = dcmtest.Dcm(dcmtest.hosts_yml([engine], quiet), "--log-level", "debug")
    dcm.settle([engine])
    time.sleep(2.5)  # second samples
    pid = collector_pid(dcm, engine.name)
    curl = Curl(engine)
    ours, floor = [], []
    for i in range(rounds + 1):
        with Spent(engine, [pid]) as a:
            dcm.run("refresh", engine.name).check_returncode()
        with Spent(engine) as b:
            curl.refresh()
        if i:
            ours.append(a)
            floor.append(b)
    real = not engine.simulated
    requests = max(e["requests"] for e in dcm.log_events("cycle") if e.get("requests"))
    row(group, "wall", median(ours, "wall"), "curl", median(floor, "wall"),
        goal=2.5 if real else None)
    row(group, "requests", requests, unit="requests", goal=1.05 * (2 * containers + 1))
    row(group, "CPU of the engine, all its parts", median(ours, "all"), "curl",
        median(floor, "all"), ratio=1.1 if real else None)
    if real:
        row(group, "… dockerd", median(ours, "engine_cpu"), "curl", median(floor, "engine_cpu"))
        row(group, "… containerd and shims", median(ours, "containerd"), "curl",
            median(floor, "containerd"))
    row(group, "CPU of the collector", median(ours, "own"), "the engine's own",
        median(ours, "all"), ratio=0.1 if real else None)
    row(group, "", None, "curl's", median(floor, "children"))
    if real:
        time.sleep(2)
        row(group, "private memory of the idle collector", usage.memory(pid)[0], unit="B",
            goal=3 << 20)
        reads_meanwhile(dcm, engine, curl)
    dcm.stop()
    return median(ours, "all"), median(ours, "own")


# ---- reads meanwhile ---------------------------------------------------------------------------

def reads_meanwhile(dcm, engine, curl):
    """Rows of look-ups while a refresh of their host runs, beside the same without."""
    group = "reading a host of %d containers while it is refreshed" % CONTAINERS
    names = dcm.run("ps", engine.name, "--format", "{name}").stdout.split()
    quiet, busy = [], []
    with subprocess.Popen([os.path.join(dcmtest.BUILD, "tests", "meanwhile"), dcm.instance,
                           dcm.runtime, engine.name, *names], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True, bufsize=1) as p:
        def read_for(seconds):
            p.stdin.write("%g\n" % seconds)
            median_ns, most_ns, failed = p.stdout.readline().split()
            assert failed == "0", "%s look-ups found nothing" % failed
            return float(median_ns) * 1e-9, float(most_ns) * 1e-9
        read_for(0.2)
        for _ in range(ROUNDS):
            quiet.append(read_for(0.5))
            with subprocess.Popen([*dcm.client(), "refresh", engine.name],
                                  stdout=subprocess.DEVNULL) as refreshing:
                busy.append(read_for(0.5))
                assert refreshing.poll() is None, "the refresh was done before"
                assert refreshing.wait() == 0, "refresh failed"
            time.sleep(0.5)  # what the engine still does for it
        p.stdin.close()
    for i, what in enumerate(("point read by name, one field: p50", "… the longest 64 of them")):
        row(group, what, statistics.median(b[i] for b in busy), "without a refresh",
            statistics.median(q[i] for q in quiet), ratio=None if i else 1.1)
        if i == 0:
            row(group, "", None, "the engine: inspect, one connection kept",
                statistics.median(curl.inspect_all() for _ in range(ROUNDS)) / len(names))


# ---- an hour -----------------------------------------------------------------------------------

def each(engine, cache, interval, times):
    """CPU (engine, dcmd) of what comes each `interval` s with these settings."""
    quiet = {"stats_update": QUIET, "status_update": QUIET, "config_update": QUIET}
    dcm = dcmtest.Dcm(dcmtest.hosts_yml([engine], dict(quiet, **cache)))
    dcm.settle([engine])
    time.sleep(3)
    with Spent(engine, list(dcm.pids().values())) as s:
        time.sleep(interval * times - 0.3)
    dcm.stop()
    return s.all / times, s.own / times


def docker_stats(engine, seconds):
    """CPU a second of (the engine, docker itself) while `docker stats` runs."""
    env = dict(os.environ, DOCKER_HOST=engine.url, DOCKER_CONFIG=engine.dir)
    with subprocess.Popen(["docker", "stats"], env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
        try:
            time.sleep(3)
            with Spent(engine, [p.pid]) as s:
                time.sleep(seconds - 0.3)
        finally:
            p.terminate()
    return s.all / seconds, s.own / seconds


def docker_ps(engine, times):
    env = dict(os.environ, DOCKER_HOST=engine.url, DOCKER_CONFIG=engine.dir)
    with Spent(engine) as s:
        for _ in range(times):
            subprocess.run(["docker", "ps", "-a"], env=env, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, check=True)
    return s.all / times, s.children / times


def docker_py(engine, what, times):
    """CPU of one pass of a program over python3-docker."""
    with subprocess.Popen(["/usr/bin/python3", "-c", POLLER, engine.url], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True, bufsize=1) as p:
        def go():
            p.stdin.write(what + "\n")
            assert p.stdout.readline() == "done\n", "python3-docker failed"
        go()
        with Spent(engine, [p.pid]) as s:
            for _ in range(times):
                go()
        p.stdin.close()
    return s.all / times, s.own / times


def hour(engine, full):
    """What an hour costs, from a few of each."""
    idle = 5.0
    with Spent(engine) as s:
        time.sleep(idle - 0.3)
    rest = s.all / idle
    burst = each(engine, {"stats_update": 2}, 2, 5)
    listing = each(engine, {"status_update": 1}, 1, 8)
    # what an engine does by itself is nobody's
    burst = (burst[0] - 2 * rest, burst[1])
    listing = (listing[0] - rest, listing[1])
    ours = [120 * b + 60 * li + 6 * max(f - b, 0) for b, li, f in zip(burst, listing, full)]
    stats = docker_stats(engine, 8)
    lists = docker_py(engine, "list", 5)
    samples = docker_py(engine, "stats", 1)
    ps = docker_ps(engine, 10)
    rivals = [
        ("docker stats", [HOUR * (stats[0] - rest), HOUR * stats[1]]),
        ("python3-docker: list 10 s, stats 30 s",
         [HOUR / 10 * a + HOUR / 30 * b for a, b in zip(lists, samples)]),
        ("python3-docker: list each 10 s", [HOUR / 10 * a for a in lists]),
        ("docker ps -a each 10 s", [HOUR / 10 * a for a in ps]),
    ]
    group = "CPU in an hour, %d containers, default intervals" % CONTAINERS
    for k, what in enumerate(("the engine, all its parts", "the program's own")):
        for i, (name, costs) in enumerate(rivals):
            row(group, what if i == 0 else "", ours[k] if i == 0 else None, name, costs[k])
    print("# CPU in an hour is extrapolated: dcm from 5 bursts of stats (%.0f ms of the engine's "
          "CPU each, 120 an hour), 8 lists with pings (%.1f ms, 60) and whole refreshes (%.0f ms, "
          "6); docker stats from 8 s; python3-docker from 5 lists and a pass of stats in 32 "
          "threads; docker ps from 10 runs" % (burst[0] * 1e3, listing[0] * 1e3, full[0] * 1e3),
          flush=True)


def main():
    try:
        engine = dcmtest.Engine("collect")
        for i in range(CONTAINERS):
            engine.api.run("c%03d" % i, ["sleep", "100000"])
        hour(engine, refresh(engine, CONTAINERS, ROUNDS))
        engine.stop()
    except unittest.SkipTest as e:
        print("# bench_collect: real engine left out: %s" % e)
    refresh(dcmtest.SimEngine("sim", SIMULATED), SIMULATED, 3)
    print("# a simulated engine does less for an answer than a real one: its CPU says nothing "
          "of that; ours is what counts there")


if __name__ == "__main__":
    main()
