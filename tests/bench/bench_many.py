#!/usr/bin/python3
"""dcm-client as a process on one simulated host of 10,000 containers, beside the docker
program asking the same simulated engine.  Part of `make bench`."""
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]
import dcmtest  # noqa: E402
from rows import row  # noqa: E402

CONTAINERS = 10000
RUNS = 5
GROUP = "dcm-client as a process, %d containers of a simulated engine" % CONTAINERS


def seconds(command, env):
    begin = time.perf_counter()
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   check=True)
    return time.perf_counter() - begin


def beside(what, ours, rival, theirs, env, runs=RUNS):
    """Both in turn, once for warmth; a rival of a row before has no ours."""
    a, b = [], []
    for i in range(runs + 1):
        x = seconds(ours, env)
        y = seconds(theirs, env) if theirs else None
        if i:
            a.append(x)
            b.append(y)
    row(GROUP, what, statistics.median(a), rival, statistics.median(b) if theirs else None)


def main():
    engine = dcmtest.SimEngine("many", CONTAINERS)
    dcm = dcmtest.Dcm(dcmtest.hosts_yml([engine], {"stats_update": 3600, "status_update": 3600,
                                                   "config_update": 3600}))
    dcmtest.wait_until(lambda: dcm.log_events("host_warm"), "all containers", 120)
    time.sleep(8)  # their stats
    client = dcm.client()
    env = dict(os.environ, DOCKER_HOST=engine.url, DOCKER_CONFIG=engine.dir)
    docker = ["docker"]
    names = [c["Names"][0][1:] for c in engine.api.list()]
    one = names[len(names) // 2]
    beside("get --json", client + ["--json", "get", "many", one],
           "docker inspect", docker + ["inspect", one], env)
    beside("ps", client + ["ps"], "docker ps -a", docker + ["ps", "-a"], env)
    beside("ps --json", client + ["--json", "ps"], "docker ps -a, as JSON",
           docker + ["ps", "-a", "--no-trunc", "--format", "{{json .}}"], env)
    beside("ps -q", client + ["ps", "-q"], "docker ps -a -q", docker + ["ps", "-a", "-q"], env)
    beside("search %s" % one, client + ["search", one],
           "docker ps -a --filter name=", docker + ["ps", "-a", "--filter", "name=" + one], env)
    beside("top -n 10", client + ["top", "-n", "10"], "", None, env)
    beside("health", client + ["health"], "", None, env)
    dcm.stop()


if __name__ == "__main__":
    main()
