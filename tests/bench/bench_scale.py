#!/usr/bin/python3
"""bench_scale.py BUILD [HOSTSxCONTAINERS…]: dcm with many simulated hosts, and with many
containers on one, at default intervals: how long until all is there, what it uses then,
and how long reads take meanwhile.

`make bench-scale` takes some ten minutes and writes the section of docs/performance.md and
docs/scale.png; with points named it only says what it saw.  Needs root for nothing.
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
MIB = 1 << 20


# ---- one point ----------------------------------------------------------------------------

class Fleet:
    """Many simulated hosts, and dcmd in front of them."""

    def __init__(self, hosts, containers):
        self.hosts, self.containers = hosts, containers
        self.engines, table = [], {}
        for first in range(0, hosts, HOSTS_OF_ONE):
            d = dcmtest.fresh("m")
            n = min(HOSTS_OF_ONE, hosts - first)
            self.engines.append(dcmtest.SimEngine("scale", containers, "--hosts", str(n), "--seed",
                                                  str(first + 1), "--listen",
                                                  "unix://%s/%%d.sock" % d))
            for i in range(n):
                table["h%03d" % (first + i)] = {"url": "unix://%s/%d.sock" % (d, i)}
        self.begin = time.monotonic()
        self.dcm = dcmtest.Dcm(json.dumps({"hosts": table}))

    def until(self, condition, what):
        """Seconds since the start when it came true."""
        dcmtest.wait_until(condition, what, 300, 0.5)
        return time.monotonic() - self.begin

    def whole(self):
        return len(self.dcm.log_events("host_warm")) >= self.hosts

    def measured(self):
        done = self.dcm.run("ps", "--filter", "status=running", "--format", "{cpu_percent}")
        values = done.stdout.split("\n")[:-1]
        return bool(values) and all(v not in ("", "-", "null") for v in values)

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

    def stop(self):
        self.dcm.stop()
        for e in self.engines:
            e.stop()


def reads(fleet, until):
    """Seconds that each read takes as a process, all the while."""
    one = "h%03d" % (fleet.hosts // 2)
    name = fleet.dcm.run("ps", one, "--format", "{name}").stdout.split("\n")[0]
    kinds = {"get": ["--json", "get", one, name], "search": ["search", name],
             "top": ["top"], "hosts": ["--json", "hosts"]}
    took = {k: [] for k in kinds}
    while time.monotonic() < until:
        for kind, args in kinds.items():
            begin = time.perf_counter()
            subprocess.run([*fleet.dcm.client(), *args], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, check=True)
            took[kind].append(time.perf_counter() - begin)
        time.sleep(0.25)
    return took


def measure(hosts, containers):
    fleet = Fleet(hosts, containers)
    total = hosts * containers
    p = {"hosts": hosts, "containers": containers, "total": total}
    p["whole"] = fleet.until(fleet.whole, "every container's inspect")
    p["measured"] = fleet.until(fleet.measured, "every container's second sample")
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
    fleet.stop()
    return p


# ---- telling it ---------------------------------------------------------------------------

COLUMNS = ["hosts × containers", "all inspected", "all measured", "CPU of dcmd (cores)",
           "collectors, broker, supervisor", "private memory of a collector", "broker's",
           "shared memory", "a container", "descriptors (most of one)", "get", "search", "top",
           "hosts"]


def cells(p):
    def ms(kind):
        return "%.1f / %.1f ms" % tuple(1e3 * v for v in p["reads"][kind])
    return ["%d × %d" % (p["hosts"], p["containers"]), "%.1f s" % p["whole"],
            "%.1f s" % p["measured"], "%.2f" % p["steady"],
            "%.2f, %.2f, %.2f" % tuple(p["cpu"][k] for k in ("collectors", "broker", "supervisor")),
            "%.1f MiB" % (p["private"]["collectors"] / p["hosts"] / MIB),
            "%.0f MiB" % (p["private"]["broker"] / MIB), "%.0f MiB" % (p["shared"] / MIB),
            "%.1f KiB" % (p["shared"] / p["total"] / 1024),
            "%d (%d)" % (sum(p["fds"].values()), p["fds_most"]),
            ms("get"), ms("search"), ms("top"), ms("hosts")]


def say(p):
    for name, value in zip(COLUMNS, cells(p)):
        print("  %-32s %s" % (name, value))
    print(flush=True)


def slope(points, value):
    """Of the last two points, for a host more."""
    a, b = points[-2:]
    return (value(b) - value(a)) / (b["hosts"] - a["hosts"])


def next_factor(points):
    """What ten times the hosts of the last point would take."""
    last = points[-1]
    n = 10 * last["hosts"]

    def grown(value):
        return value(last) + slope(points, value) * (n - last["hosts"])
    cores = grown(lambda p: p["steady"])
    memory = grown(lambda p: sum(p["private"].values()) + p["shared"]) / MIB / 1024
    whole = grown(lambda p: p["whole"]) / 60
    return [
        "Ten times as much (%d hosts, %d containers), from the slope of the last two points: "
        "%.1f cores for dcmd at default intervals (the engines' side not counted), %.1f GiB of "
        "memory (%.1f of it private), %.1f minutes until all is there on this machine, which runs "
        "the engines, too." % (n, n * last["containers"], cores, memory,
                               grown(lambda p: sum(p["private"].values())) / MIB / 1024, whole),
        "Processes: %d; descriptors: %d, at most %d of one process (the broker or the supervisor: "
        "the limit is LimitNOFILE)." % (n + 2, grown(lambda p: sum(p["fds"].values())),
                                       grown(lambda p: p["fds_most"])),
        "`search`, `top` and `hosts` as processes: %.0f, %.0f and %.0f ms; `get` %.1f ms." % tuple(
            1e3 * grown(lambda p, k=k: p["reads"][k][0]) for k in ("search", "top", "hosts",
                                                                   "get")),
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
         [(k, lambda p, k=k: 1e3 * p["reads"][k][0]) for k in ("get", "search", "top", "hosts")]),
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
    out += ["", "CPU is of %d s (one stats_update) in steady running, without the full inspect of "
            "every config_update; reads are of whole processes, median / most, while all that "
            "runs." % WINDOW, "",
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


def main(argv):
    if len(argv) < 2:
        sys.stderr.write(__doc__)
        return 2
    chosen = [tuple(int(x) for x in a.split("x")) for a in argv[2:]]
    where = circumstances()
    points = []
    for hosts, containers in chosen or POINTS:
        points.append(measure(hosts, containers))
        say(points[-1])
    if not chosen:
        write(section(points, where, plot(points, os.path.join(DOCS, "scale.png"))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
