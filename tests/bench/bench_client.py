#!/usr/bin/python3
"""dcm-client as a process beside the docker program, on one private engine of
100 containers, and on the same behind an sshd: the two in turn, medians, and the
ratio of the medians.

Part of `make bench`; needs root and dockerd, and says so where they are missing.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]
import dcmtest  # noqa: E402
import sshserver  # noqa: E402
from rows import row  # noqa: E402

CONTAINERS = 100
RUNS = 15
LOCAL = "dcm-client as a process, 100 containers"
FAR = "an SSH host of 100 containers, as a process"


def seconds(command, env):
    begin = time.perf_counter()
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   check=True)
    return time.perf_counter() - begin


def beside(what, ours, rival, theirs, env, runs, ratio, goal=None, group=LOCAL):
    """Runs both in turn, once for warmth, and prints a row."""
    a, b = [], []
    for i in range(runs + 1):
        x, y = seconds(ours, env), seconds(theirs, env)
        if i:
            a.append(x)
            b.append(y)
    row(group, what, statistics.median(a), rival,
        statistics.median(b), ratio=ratio, goal=goal)


def client_of(dcm):
    return [os.path.join(dcmtest.BUILD, "dcm-client"), "--instance", dcm.instance,
            "--runtime-dir", dcm.runtime]


def over_ssh(engine, local, env):
    """The same engine behind an sshd of its own: the docker program's way to an SSH host,
    which starts ssh and a login there for each command, and dcm's, which keeps one."""
    try:
        sshd = sshserver.Sshd(env={"DOCKER_HOST": engine.url})
    except unittest.SkipTest as e:
        print("# over SSH: left out: %s" % e)
        return
    key, known = sshd.key("ed25519"), sshd.known_hosts()
    dcm = dcmtest.Dcm(json.dumps({"hosts": {"far": sshd.entry(engine, identity_file=key,
                                                              known_hosts=known)}}))
    dcmtest.wait_until(lambda: dcm.hosts()["far"]["state"] == "online" and
                       len(dcm.ps()) == CONTAINERS, "the SSH host")
    # docker gives ssh no options of ours: an ssh before it in PATH does.
    wrapper = os.path.join(dcmtest.fresh("b"), "ssh")
    with open(wrapper, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nexec %s -F none -i %s -o UserKnownHostsFile=%s \"$@\"\n" %
                (shutil.which("ssh"), key, known))
    os.chmod(wrapper, 0o755)
    far = dict(env, PATH=os.path.dirname(wrapper) + ":" + env["PATH"],
               DOCKER_HOST="ssh://%s@127.0.0.1:%d" % (sshserver.USER, sshd.port))
    client = client_of(dcm)
    beside("get --json", client + ["--json", "get", "far", "c050"], "docker -H ssh://… inspect",
           ["docker", "inspect", "c050"], far, RUNS, 0.02, group=FAR)
    beside("ps", client + ["ps"], "docker -H ssh://… ps -a", ["docker", "ps", "-a"], far, RUNS,
           0.02, group=FAR)
    beside("refresh", client + ["refresh", "far"], "the same over the unix socket",
           client_of(local) + ["refresh", "bench"], env, 5, 1.5, group=FAR)
    dcm.stop()
    sshd.stop()


def main():
    try:
        engine = dcmtest.Engine("bench")
    except unittest.SkipTest as e:
        print("# bench_client: left out: %s" % e)
        return
    for i in range(CONTAINERS):
        engine.api.run("c%03d" % i, ["sleep", "100000"])
    dcm = dcmtest.Dcm(dcmtest.hosts_yml([engine]))
    dcm.settle([engine])
    dcmtest.wait_until(lambda: all(r["cpu_percent"] is not None for r in dcm.ps()),
                       "every container measured")
    client = client_of(dcm)
    docker = ["docker"]
    env = dict(os.environ, DOCKER_HOST=engine.url, DOCKER_CONFIG=engine.dir)

    beside("get --json", client + ["--json", "get", "bench", "c050"],
           "docker inspect", docker + ["inspect", "c050"], env, RUNS, 0.15)
    beside("ps", client + ["ps"], "docker ps -a", docker + ["ps", "-a"], env, RUNS, 0.15)
    beside("ps --json", client + ["--json", "ps"], "docker ps -a --no-trunc",
           docker + ["ps", "-a", "--no-trunc"], env, RUNS, 0.15)
    # Debian's python3-docker: a program that asks one question
    python = ["/usr/bin/python3", "-c",
              "import docker, json, sys; c = docker.from_env().containers\n"
              "print(json.dumps(c.get('c050').attrs) if sys.argv[1] == 'get' else\n"
              "      [(x.name, x.status) for x in c.list(all=True)])"]
    beside("get --json", client + ["--json", "get", "bench", "c050"],
           "python3-docker get", python + ["get"], env, 5, None)
    beside("ps --json", client + ["--json", "ps"], "python3-docker list", python + ["list"], env,
           5, None)
    beside("top -n 100", client + ["top", "-n", str(CONTAINERS)], "docker stats --no-stream",
           docker + ["stats", "--no-stream"], env, 3, None, 5e-3)
    over_ssh(engine, dcm, env)
    dcm.stop()


if __name__ == "__main__":
    main()
