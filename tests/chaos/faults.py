"""What goes wrong: processes are killed and stopped, engines and sshd restarted, hosts
taken out and put back, several at a time, at random.

A fault is a method that does it, waits, and mends what does not mend itself; it returns
when no more comes of it.  Each runs in a thread of its own, one a target.
"""
import os
import signal
import threading
import time

from dcmtest import end_process
from stage import start_engine


class Faults:
    def __init__(self, stage, rng):
        self.stage = stage
        self.rng = rng
        self.count = {}
        self.last = 0.0
        self.threads = []
        self.targets = {}
        self.failed = []
        dcm = ["collector %s" % h for h in ("alpha", "beta", "far", "openssh")]
        self.kinds = [(self.kill, t, 3) for t in dcm] + [(self.stop, t, 2) for t in dcm]
        self.kinds += [(self.kill, "broker", 4), (self.stop, "broker", 3),
                       (self.kill_supervisor, "supervisor", 4),
                       (self.stop_supervisor, "supervisor", 2), (self.reload, "supervisor", 5),
                       (self.restart_sshd, "sshd", 3), (self.kill_ssh, "ssh", 2)]
        self.outside = (self.reload, self.restart_sshd, self.kill_ssh, self.kill_engine,
                        self.restart_engine, self.hang_engine)
        for name in ("alpha", "beta"):
            self.kinds += [(self.kill_engine, name, 2), (self.restart_engine, name, 1),
                           (self.hang_engine, name, 2)]

    # ---- one at random, and the end of all ----

    def strike(self, calm):
        """Calm: dcmd's own processes live."""
        kinds = [k for k in self.kinds if k[1] not in self.targets and
                 (not calm or k[0] in self.outside)]
        fault, target, _ = self.rng.choices(kinds, [k[2] for k in kinds])[0]
        seconds = self.rng.random()
        self.count[fault.__name__] = self.count.get(fault.__name__, 0) + 1
        self.targets[target] = True
        t = threading.Thread(target=self._run, args=(fault, target, seconds), daemon=True)
        self.threads.append(t)
        t.start()

    def _run(self, fault, target, seconds):
        try:
            fault(target, seconds)
        except Exception as e:  # pylint: disable=broad-except
            self.failed.append("%s of %s: %r" % (fault.__name__, target, e))
        self.last = max(self.last, time.monotonic())
        del self.targets[target]

    def join(self):
        for t in self.threads:
            t.join()
        self.threads = []

    # ---- dcm's processes ----

    def _pid(self, title):
        return self.stage.dcm.pids().get("dcmd: " + title)

    def _signal(self, pid, sig):
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass

    def kill(self, target, _):
        pid = self._pid(target)
        if pid:
            self._signal(pid, signal.SIGKILL)

    def stop(self, target, seconds):
        """Longer than 3.5 s is silence, for which it is killed."""
        pid = self._pid(target)
        if pid:
            self._signal(pid, signal.SIGSTOP)
            time.sleep(0.2 + 5 * seconds)
            self._signal(pid, signal.SIGCONT)

    def kill_supervisor(self, _, seconds):
        dcm = self.stage.dcm
        dcm.process.kill()
        dcm.process.wait()
        time.sleep(seconds if seconds > 0.3 else 0)
        dcm.start()

    def stop_supervisor(self, _, seconds):
        self._signal(self.stage.dcm.process.pid, signal.SIGSTOP)
        time.sleep(0.2 + 5 * seconds)
        self._signal(self.stage.dcm.process.pid, signal.SIGCONT)

    def reload(self, _, seconds):
        """A host is taken out or put in; soon after, at times, the other way round."""
        self.stage.toggle_guest()
        if seconds < 0.3:
            time.sleep(seconds)
            self.stage.toggle_guest()

    # ---- engines, and the way to one ----

    def _engine(self, name):
        return next(e for e in self.stage.engines if e.name == name)

    def kill_engine(self, name, seconds):
        e = self._engine(name)
        e.process.kill()
        e.process.wait()
        time.sleep(seconds)
        start_engine(e)

    def restart_engine(self, name, _):
        e = self._engine(name)
        end_process(e.process, seconds=40)
        start_engine(e)

    def hang_engine(self, name, seconds):
        e = self._engine(name)
        e.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(0.2 + 4 * seconds)
        finally:
            e.process.send_signal(signal.SIGCONT)

    def kill_ssh(self, *_):
        """The programs by which one host is reached."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/stat" % pid, encoding="utf-8") as f:
                    name, _, rest = f.read().partition("(")[2].rpartition(")")
            except OSError:
                continue  # it is gone
            if name == "ssh" and int(rest.split()[1]) == self._pid("collector openssh"):
                self._signal(int(pid), signal.SIGKILL)

    def restart_sshd(self, _, seconds):
        self.stage.sshd.stop()
        time.sleep(seconds)
        self.stage.sshd.start()
