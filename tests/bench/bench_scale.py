#!/usr/bin/python3
"""bench_scale.py BUILD [HOSTSxCONTAINERS…]: dcm with many simulated hosts, and with many
containers on one, at default intervals: how long until all is there, what it uses then,
and how long reads take meanwhile.

`make bench-scale` takes under ten minutes and writes the section of docs/performance.md and
docs/scale.png; with points named it only says what it saw.  Of a point that does not come to
its end it says what was lacking, and goes on with the next; then nothing is written, and the
exit status is 1.  Needs root for nothing.
"""
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
if len(sys.argv) > 1:
    os.environ["DCM_BUILD"] = os.path.abspath(sys.argv[1])
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]
import dcmtest  # noqa: E402
import rows  # noqa: E402,F401: its signal handlers
import usage  # noqa: E402

DOCS = os.path.join(HERE, "..", "..", "docs")
BEGIN, END = "<!-- scale: written by make bench-scale -->\n", "<!-- end of scale -->\n"
POINTS = [(50, 200), (100, 200), (250, 200), (500, 200), (1, 1000), (1, 5000), (1, 20000)]
HOSTS_OF_ONE = 50  # simulated engine: it may open so many connections
WINDOW = 30  # s of steady running: one stats_update
PATIENCE = 120  # s that each of the two states may take to come
MIB = 1 << 20


# ---- one point ----------------------------------------------------------------------------

class Late(Exception):
    """A point did not come to its end; says what was lacking."""


class Fleet:
    """Many simulated hosts, and dcmd in front of them."""

    def __init__(self, hosts, containers):
        self.hosts, self.containers = hosts, containers
        self.engines, self.dcm, table = [], None, {}
        for first in range(0, hosts, HOSTS_OF_ONE):
            d = dcmtest.fresh("m")
            n = min(HOSTS_OF_ONE, hosts - first)
            self.engines.append(dcmtest.SimEngine("scale", containers, "--hosts", str(n), "--seed",
                                                  str(first + 1), "--listen",
                                                  "unix://%s/%%d.sock" % d))
            for i in range(n):
                table["h%03d" % (first + i)] = {"url": "unix://%s/%d.sock" % (d, i)}
        self.begin, self.engines_before = time.monotonic(), self.engines_cpu()
        self.dcm = dcmtest.Dcm(json.dumps({"hosts": table}))

    def until(self, lacking, what):
        """Seconds since the start when nothing was lacking any more."""
        end = time.monotonic() + PATIENCE
        while True:
            asked = time.monotonic()
            left = lacking()
            now = time.monotonic()
            if not left:
                return now - self.begin
            if now > end:
                raise Late("%s did not come within %d s: %s" % (what, PATIENCE, left))
            time.sleep(max(0.5, 3 * (now - asked)))  # to look is work, too

    def not_inspected(self):
        """What is lacking until every container's inspect is there; "": nothing."""
        warm = self.dcm.log_events("host_warm")
        if len(warm) < self.hosts:
            return "%d of %d hosts are warm; %s" % (len(warm), self.hosts, self.trouble())
        if not any(e["failed"] for e in warm):
            return ""
        # some were late: an exit code is told by inspects alone
        whole = len(self.values("{exit_code}"))
        if whole < self.hosts * self.containers:
            return "%d of %d containers were inspected; %s" % (
                whole, self.hosts * self.containers, self.trouble())
        return ""

    def not_measured(self):
        """The same of their second samples of stats."""
        running = sum(h["running"] for h in self.dcm.json("hosts"))
        measured = len(self.values("{cpu_percent}", "--filter", "status=running"))
        if measured < running:
            return "%d of %d running containers have a CPU usage; %s" % (
                measured, running, self.trouble())
        return ""

    def values(self, field, *options):
        """The field of each container where it is not null."""
        done = self.dcm.run("ps", *options, "--format", field)
        if done.returncode:
            raise dcmtest.ClientFailed(("ps", *options), done.returncode, done.stderr)
        return [v for v in done.stdout.split("\n") if v not in ("", "-", "null")]

    def trouble(self):
        """What went wrong so far."""
        seen = {}
        for e in self.dcm.log_events():
            if e.get("level") in ("warn", "error"):
                seen.setdefault(e["event"], []).append(e.get("error", ""))
        said = ["%d × %s (%s)" % (len(v), k, v[0]) for k, v in seen.items()]
        errors = self.dcm.json("stats")["errors"]
        return "; ".join(said + ["%d errors" % errors])

    def parts(self):
        """{part: pids} of dcmd."""
        found = {"collectors": [], "broker": [], "supervisor": []}
        for title, pid in self.dcm.pids().items():
            part = title.split(":")[-1].split()[0]
            found["collectors" if part == "collector" else part].append(pid)
        return found

    def memory_objects(self):
        """Bytes that the objects of this instance take."""
        return sum(os.stat(os.path.join(self.dcm.shm(), n)).st_blocks * 512
                   for n in self.dcm.objects())

    def engines_cpu(self):
        """Seconds of CPU that the engines' side took."""
        return usage.cpu([e.process.pid for e in self.engines])

    def stop(self):
        if self.dcm:
            self.dcm.stop()
        for e in self.engines:
            e.stop()


def reads(fleet, until):
    """Seconds that each read takes as a process, all the while."""
    one = "h%03d" % (fleet.hosts // 2)
    first = fleet.dcm.ps(one)[0]
    kinds = {"get": ["--json", "get", one, first["name"]],
             "search of one": ["search", first["container_id"]],
             "search of each host": ["search", first["name"]],
             "top": ["top"], "hosts": ["--json", "hosts"]}
    assert list(kinds) == READS
    took = {k: [] for k in kinds}
    while time.monotonic() < until:
        for kind, args in kinds.items():
            begin = time.perf_counter()
            subprocess.run([*fleet.dcm.client(), *args], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, check=True)
            took[kind].append(time.perf_counter() - begin)
        time.sleep(0.25)
    return took


def observe(fleet, p):
    """Fills the figures of a point."""
    p["whole"] = fleet.until(fleet.not_inspected, "every container's inspect")
    p["start"] = {"dcmd": sum(usage.cpu(v) for v in fleet.parts().values()),
                  "engines": fleet.engines_cpu() - fleet.engines_before}
    p["measured"] = fleet.until(fleet.not_measured, "every container's second sample")
    time.sleep(5)
    parts = fleet.parts()
    begin, before = time.monotonic(), {k: usage.cpu(v) for k, v in parts.items()}
    took = reads(fleet, begin + WINDOW)
    wall = time.monotonic() - begin
    p["cpu"] = {k: (usage.cpu(v) - before[k]) / wall for k, v in parts.items()}
    p["steady"] = sum(p["cpu"].values())
    p["private"] = {k: sum(usage.memory(pid)[0] for pid in v) for k, v in parts.items()}
    p["shared"] = fleet.memory_objects()
    p["fds"] = {k: sum(usage.descriptors(pid) for pid in v) for k, v in parts.items()}
    p["fds_most"] = max(usage.descriptors(pid) for v in parts.values() for pid in v)
    p["reads"] = {k: (statistics.median(v), max(v)) for k, v in took.items()}
    p["trouble"] = fleet.trouble()


def measure(hosts, containers):
    """A point; None where it did not come to its end, which is told."""
    p = {"hosts": hosts, "containers": containers, "total": hosts * containers}
    fleet = None
    try:
        fleet = Fleet(hosts, containers)
        observe(fleet, p)
    except (Late, AssertionError, LookupError, OSError, dcmtest.ClientFailed,
            subprocess.SubprocessError) as e:
        print("%d × %d: %s\n" % (hosts, containers, str(e) or repr(e)), flush=True)
        return None
    finally:
        if fleet:
            fleet.stop()
    return p


# ---- telling it ---------------------------------------------------------------------------

READS = ["get", "search of one", "search of each host", "top", "hosts"]
COLUMNS = ["hosts × containers", "all inspected", "CPU until then: dcmd's, the engines'",
           "all measured", "steady CPU of dcmd (cores)", "collectors, broker, supervisor",
           "private memory of a collector", "broker's", "shared memory", "a container",
           "descriptors (most of one)"] + READS


def cells(p):
    def ms(kind):
        return "%.1f / %.1f ms" % tuple(1e3 * v for v in p["reads"][kind])
    return ["%d × %d" % (p["hosts"], p["containers"]), "%.1f s" % p["whole"],
            "%.1f s, %.1f s" % (p["start"]["dcmd"], p["start"]["engines"]),
            "%.1f s" % p["measured"], "%.2f" % p["steady"],
            "%.2f, %.2f, %.2f" % tuple(p["cpu"][k] for k in ("collectors", "broker", "supervisor")),
            "%.1f MiB" % (p["private"]["collectors"] / p["hosts"] / MIB),
            "%.0f MiB" % (p["private"]["broker"] / MIB), "%.0f MiB" % (p["shared"] / MIB),
            "%.1f KiB" % (p["shared"] / p["total"] / 1024),
            "%d (%d)" % (sum(p["fds"].values()), p["fds_most"]),
            *(ms(k) for k in READS)]


def say(p):
    for name, value in zip(COLUMNS, cells(p)):
        print("  %-38s %s" % (name, value))
    print("  %-38s %s\n" % ("warnings and errors", p["trouble"]), flush=True)


def slope(points, value, last=-1):
    """Between two points that follow each other, for a host more."""
    a, b = points[last - 1], points[last]
    return (value(b) - value(a)) / (b["hosts"] - a["hosts"])


GROWS = [  # what, by which unit, and its value
    ("ms a second of CPU", lambda p: 1e3 * p["steady"]),
    ("ms until all is inspected", lambda p: 1e3 * p["whole"]),
    ("ms until all is measured", lambda p: 1e3 * p["measured"]),
    ("KiB of private memory", lambda p: sum(p["private"].values()) / 1024),
    ("KiB of shared memory", lambda p: p["shared"] / 1024),
    ("µs of `top`", lambda p: 1e6 * p["reads"]["top"][0]),
    ("µs of `hosts`", lambda p: 1e6 * p["reads"]["hosts"][0]),
]


def next_factor(points):
    """What ten times the hosts of the last point would take, and how far that can be
    believed: whether what a host more takes grows with their number."""
    last = points[-1]
    n = 10 * last["hosts"]

    def grown(value):
        return value(last) + slope(points, value) * (n - last["hosts"])
    cores = grown(lambda p: p["steady"])
    private = grown(lambda p: sum(p["private"].values())) / MIB / 1024
    memory = private + grown(lambda p: p["shared"]) / MIB / 1024
    return [
        "A host more takes, between %d and %d hosts (between %d and %d): %s. Where the first is "
        "clearly more than the second, it grows faster than the number of hosts, and what follows "
        "is too little." % (points[-2]["hosts"], last["hosts"], points[-3]["hosts"],
                            points[-2]["hosts"], ", ".join(
                                "%.1f (%.1f) %s" % (slope(points, v), slope(points, v, -2), what)
                                for what, v in GROWS)),
        "Ten times as much (%d hosts, %d containers), from the slope of the last two points: "
        "%.1f cores for dcmd at default intervals (the engines' side not counted), %.1f GiB of "
        "memory (%.1f of it private), %.1f minutes until all is inspected on this machine, which "
        "runs the engines, too." % (n, n * last["containers"], cores, memory, private,
                                    grown(lambda p: p["whole"]) / 60),
        "Processes: %d; descriptors: %d, at most %d of one process (the limit is LimitNOFILE). A "
        "program that maps every shard takes %.1f of its 128 TiB of addresses, and %d of "
        "`vm.max_map_count` (65,530) mappings." % (
            n + 2, grown(lambda p: sum(p["fds"].values())), grown(lambda p: p["fds_most"]),
            n * 4 / 1024, n),
        "As processes: %s." % ", ".join(
            "`%s` %.1f ms" % (k, 1e3 * grown(lambda p, k=k: p["reads"][k][0])) for k in READS),
    ]


def plot(points, path):
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("no plot: python3-matplotlib is not installed")
        return False
    many = [p for p in points if p["hosts"] > 1]
    one = [p for p in points if p["hosts"] == 1]
    panels = [
        ("until all is there (s)", [("inspected", lambda p: p["whole"]),
                                    ("measured", lambda p: p["measured"])]),
        ("steady CPU (cores)", [("dcmd", lambda p: p["steady"]),
                                ("collectors", lambda p: p["cpu"]["collectors"]),
                                ("broker", lambda p: p["cpu"]["broker"])]),
        ("memory (MiB)", [("shared", lambda p: p["shared"] / MIB),
                          ("collectors, private", lambda p: p["private"]["collectors"] / MIB),
                          ("broker, private", lambda p: p["private"]["broker"] / MIB)]),
        ("reads as a process, median (ms)",
         [(k, lambda p, k=k: 1e3 * p["reads"][k][0]) for k in READS]),
    ]
    figure, axes = pyplot.subplots(2, 4, figsize=(16, 7))
    for line, (chosen, x, label) in enumerate((
            (many, lambda p: p["hosts"], "hosts of 200 containers"),
            (one, lambda p: p["containers"], "containers of one host"))):
        for axis, (title, series) in zip(axes[line], panels):
            for name, y in series:
                axis.plot([x(p) for p in chosen], [y(p) for p in chosen], marker="o", label=name)
            axis.set(title=title, xlabel=label, xlim=(0, None), ylim=(0, None))
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=80, metadata={"Software": None})
    return True


def circumstances():
    model = ""
    with open("/proc/cpuinfo") as f:
        for text in f:
            if text.startswith("model name"):
                model = text.split(":", 1)[1].strip()
    return "%s, %d × %s, load before %.2f" % (
        time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), os.cpu_count(), model,
        os.getloadavg()[0])


def section(points, where, plotted):
    many = [p for p in points if p["hosts"] > 1]
    largest = many[-1]
    out = ["", where + ".", ""]
    if plotted:
        out += ["![how it grows with hosts and with containers](scale.png)", ""]
    # one column a point: there are more figures than points
    table = [COLUMNS] + [cells(p) for p in points]
    for i, line in enumerate(zip(*table)):
        out.append("| %s |" % " | ".join(line))
        if i == 0:
            out.append("|---|" + "--:|" * len(points))
    out += ["", "Steady CPU is of %d s (one stats_update), without the full inspect of every "
            "config_update; reads are of whole processes, median / most, while all that runs "
            "(`search of each host`: of a name that a container of each host has). Containers "
            "count as measured when the second sample of each is there." % WINDOW, "",
            "Warnings and errors on the way: %s." % "; ".join(
                "%d × %d: %s" % (p["hosts"], p["containers"], p["trouble"]) for p in points), "",
            "Goal, %d hosts × %d: steady CPU under one core: %.2f, %s." % (
                largest["hosts"], largest["containers"], largest["steady"],
                "met" if largest["steady"] < 1 else "NOT met"), "",
            "What limits the next factor of ten:", ""]
    out += ["- " + line for line in next_factor(many)] + [""]
    return "\n".join(out)


def write(text):
    path = os.path.join(DOCS, "performance.md")
    with open(path, encoding="utf-8") as f:
        page = f.read()
    before, rest = page.split(BEGIN)
    with open(path, "w", encoding="utf-8") as f:
        f.write(before + BEGIN + text + END + rest.split(END)[1])
    print("wrote docs/performance.md")


def point(text):
    hosts, containers = (int(x) for x in text.split("x"))
    if hosts < 1 or containers < 1:
        raise ValueError(text)
    return hosts, containers


def main(argv):
    if len(argv) < 2 or argv[1].startswith("-"):
        sys.stderr.write(__doc__)
        return 2
    try:
        chosen = [point(a) for a in argv[2:]]
    except ValueError:
        sys.stderr.write(__doc__)
        return 2
    where = circumstances()
    points = []
    for hosts, containers in chosen or POINTS:
        points.append(measure(hosts, containers))
        if points[-1]:
            say(points[-1])
    if None in points:
        print("%d of %d points did not come to their end" % (points.count(None), len(points)))
        return 1
    if not chosen:
        write(section(points, where, plot(points, os.path.join(DOCS, "scale.png"))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
