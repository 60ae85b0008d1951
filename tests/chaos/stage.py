"""Two real engines, both behind an sshd as well, dcmd in front of them, and the program
that reads; what they hold, and whether that is the truth."""
import atexit
import json
import os
import signal
import subprocess
import threading

import churn
import dcmtest
import expected
import sshserver

RESIDENTS = 4  # an engine: there from the start to the end
OTHER_WAYS = {"alpha": ["openssh"], "beta": ["far"]}  # the hosts that are the same engine


def start_engine(e):
    """After a kill its containerd dies with it, but their pid files stay, and dockerd
    believes them: of another process of that number, or of one that nobody has reaped."""
    for path in (e.dir + "/pid", e.dir + "/x/containerd/containerd.pid"):
        if os.path.exists(path):
            os.unlink(path)
    e.start()


class Reader:
    """build/tests/chaos_reader: what it says is gathered as it comes."""

    def __init__(self, dcm, residents):
        path = os.path.join(dcm.dir, "residents")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines("%s %s %s\n" % r for r in residents)
        self.process = subprocess.Popen(
            [os.path.join(dcmtest.BUILD, "tests", "chaos_reader"), dcm.instance, dcm.runtime,
             path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        atexit.register(self.end)
        self.bad = []
        self.answer = []
        self.answered = threading.Event()
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        lines = []
        for line in self.process.stdout:
            kind, _, rest = line.rstrip("\n").partition(" ")
            if kind == "bad":
                self.bad.append(rest)
            elif kind == "end":
                self.answer, lines = lines, []
                self.answered.set()
            else:
                lines.append((kind, rest.split()))
        self.answered.set()

    def ask(self, what):
        self.answered.clear()
        self.process.stdin.write(what + "\n")
        assert self.answered.wait(60) and self.process.poll() is None, "the reader died"
        return self.answer

    def seen(self):
        """{thread: {(host, id)}}"""
        found = {"scan": set(), "broker": set(), "changes": set()}
        for _, (thread, host, container) in self.ask("seen"):
            found[thread].add((host, container))
        return found

    def figures(self):
        """({thread: its figures}, worst stall, sum of stalls)"""
        threads, stalls = {}, (0.0, 0.0)
        for kind, words in self.ask("figures"):
            if kind == "stalls":
                stalls = float(words[0]), float(words[1])
            else:
                threads[words[0]] = {"calls": int(words[1]), "again": int(words[2]),
                                     "wall": float(words[4]), "charged": float(words[5])}
        return threads, stalls[0], stalls[1]

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.thread.join(10)
        return self.process.returncode


class Stage:
    def __init__(self):
        self.engines = [dcmtest.Engine("alpha"), dcmtest.Engine("beta")]
        for e in self.engines:
            atexit.register(self._settle_engine, e)
        self.sshd = sshserver.Sshd()
        login = {"identity_file": self.sshd.key("ed25519"),
                 "known_hosts": self.sshd.known_hosts()}
        self.openssh = self.sshd.entry(self.engines[0], ssh_backend="openssh", **login)
        self.far = self.sshd.entry(self.engines[1], ssh_backend="libssh2", **login)
        self.guest = False
        self.residents = []
        for number, e in enumerate(self.engines):
            for i in range(RESIDENTS):
                self._resident(e, 10 * number + i)
        self.tmp = dcmtest.fresh("t")  # where collectors have their private directories
        self.dcm = dcmtest.Dcm(self.config(), env={"TMPDIR": self.tmp})
        self.dcm.settle(self.engines)
        self.reader = Reader(self.dcm, self.residents)

    def _settle_engine(self, e):
        """An engine that was interrupted in a fault is made whole, so that it can be
        ended with all that it started."""
        e.process.send_signal(signal.SIGCONT)
        if e.process.poll() is not None:
            start_engine(e)

    def _resident(self, e, serial):
        make = e.api.create if serial % 10 == 0 else e.api.run
        container = make("resident-%d" % serial, ["sleep", "100000"],
                         **churn.words(serial, "chaos-residents"))
        for host in [e.name] + OTHER_WAYS[e.name]:
            self.residents.append((host, "resident-%d" % serial, container))

    def hosts(self):
        """{host: its engine}"""
        alpha, beta = self.engines
        out = {"alpha": alpha, "beta": beta, "far": beta, "openssh": alpha}
        if self.guest:
            out["guest"] = alpha
        return out

    def config(self):
        hosts = {"alpha": {"url": self.engines[0].url}, "beta": {"url": self.engines[1].url},
                 "far": self.far, "openssh": self.openssh}
        if self.guest:
            hosts["guest"] = {"url": self.engines[0].url}
        return json.dumps({"hosts": hosts, "cache": {"stats_update": 5, "connect_timeout": 5,
                                                     "request_timeout": 10}})

    def toggle_guest(self):
        self.guest = not self.guest
        self.dcm.configure(self.config())
        self.dcm.process.send_signal(signal.SIGHUP)

    # ---- the truth ----

    def truth(self):
        """{engine: {id: what inspect says}}"""
        return {e.name: {c["Id"]: e.api.inspect(c["Id"]) for c in e.api.list()}
                for e in self.engines}

    def wrong(self, truth):
        """What dcm says wrongly, as text; empty: nothing."""
        out, whole, hosts = [], set(), self.hosts()
        rows = self.dcm.hosts() or {}
        if set(rows) != set(hosts):
            out.append("hosts: %s, not %s" % (sorted(rows), sorted(hosts)))
        for host, e in hosts.items():
            docs = truth[e.name]
            records = {r["container_id"]: r for r in self.dcm.ps(host)}
            out += ["%s: %s" % (host, rows.get(host))] if \
                rows.get(host, {}).get("state") != "online" else []
            out += ["%s: %s is missing" % (host, docs[i]["Name"]) for i in set(docs) - set(records)]
            out += ["%s: %s is not there any more" % (host, records[i]["name"])
                    for i in set(records) - set(docs)]
            for i in set(docs) & set(records):
                out += ["%s: %s: %s" % (host, docs[i]["Name"], d)
                        for d in expected.differences(records[i], docs[i])]
            out += wrong_stacks(host, records.values())
            whole.update((host, i) for i in docs)
        if not out:
            for thread, seen in self.reader.seen().items():
                out += ["%s reader: more %s, less %s" % (thread, seen - whole, whole - seen)] \
                    if seen != whole else []
        return out


def wrong_stacks(host, records):
    out = []
    for r in records:
        others = sorted(o["name"] for o in records
                        if o["compose_project"] == r["compose_project"] and o is not r)
        if r["compose_stack_containers"] != others:
            out.append("%s: %s: stack %s, not %s" % (host, r["name"],
                                                    r["compose_stack_containers"], others))
    return out


# ---- dcmd's processes, and what they take --------------------------------------------------

def _process(pid):
    """(title, parent) of a process of this dcmd or an earlier one; None: it is gone."""
    try:
        with open("/proc/%s/comm" % pid, encoding="utf-8", errors="replace") as f:
            if not f.read().startswith("dcmd: "):
                return None
        with open("/proc/%s/cmdline" % pid, encoding="utf-8", errors="replace") as f:
            title = f.read().split("\0")[0]
        with open("/proc/%s/stat" % pid, encoding="utf-8", errors="replace") as f:
            return title, f.read().rpartition(")")[2].split()[1]
    except OSError:
        return None


def twice(dcm):
    """{title: pids} of parts that there are several of; dcmd's log tells whose they are.
    One that forks for an ssh has two processes of its title for a moment, and one that ends
    has files still, but no title."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        process = _process(pid)
        try:
            if process and process[0] not in ("", "dcmd: supervisor") and \
                    os.readlink("/proc/%s/fd/2" % pid) == dcm.log_path:
                found.setdefault(process[0], {})[pid] = process[1]
        except OSError:
            continue
    own = {title: [pid for pid, parent in pids.items() if parent not in pids]
           for title, pids in found.items()}
    return {title: pids for title, pids in own.items() if len(pids) > 1 and
            all((_process(pid) or [None])[0] == title for pid in pids)}


def private_kib(pid):
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private_"))


def sizes(stage):
    """{what: (descriptors, mappings, private KiB)}, and "memory": bytes in /dev/shm."""
    out = {}
    for title, pid in list(stage.dcm.pids().items()) + [("reader", stage.reader.process.pid)]:
        try:
            with open("/proc/%d/maps" % pid) as f:
                mappings = sum(1 for _ in f)
            out[title] = (len(os.listdir("/proc/%d/fd" % pid)), mappings, private_kib(pid))
        except OSError:
            continue
    shared = sum(os.stat("/dev/shm/" + name).st_size for name in stage.dcm.objects())
    out["memory"] = (len(stage.dcm.objects()), 0, shared // 1024)
    return out
