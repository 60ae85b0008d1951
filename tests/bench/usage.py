"""usage.py - what processes use: CPU time, memory, descriptors, from /proc."""
import os
import re


def cpu(pids):
    """CPU seconds of these processes so far; by the scheduler's nanoseconds where the
    kernel counts them, else by ticks."""
    total = 0.0
    for pid in pids:
        try:
            tasks = ["/proc/%d/task/%s" % (pid, t) for t in os.listdir("/proc/%d/task" % pid)]
        except OSError:
            continue
        for task in tasks:
            try:
                with open(task + "/schedstat") as f:
                    total += int(f.read().split()[0]) / 1e9
            except FileNotFoundError:
                total += ticks(task)
            except (OSError, IndexError):
                continue
    return total


def ticks(task):
    try:
        with open(task + "/stat") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def with_text(text):
    """The processes whose command line holds it."""
    found = []
    for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                if text.encode() in f.read():
                    found.append(pid)
        except OSError:
            continue
    return found


def memory(pid):
    """(private, shared memory of ours) in bytes: what is this process's alone, which
    leaves out the objects in /dev/shm whoever maps them; and these."""
    private = shm = 0
    ours = False
    try:
        with open("/proc/%d/smaps" % pid) as f:
            for line in f:
                if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                    ours = "/dev/shm/" in line
                elif ours and line.startswith("Rss:"):
                    shm += int(line.split()[1])
                elif not ours and line.startswith(("Private_Clean:", "Private_Dirty:")):
                    private += int(line.split()[1])
    except OSError:
        pass
    return private * 1024, shm * 1024


def descriptors(pid):
    try:
        return len(os.listdir("/proc/%d/fd" % pid))
    except OSError:
        return 0
