"""rows.py - how the parts of the benchmark that are in Python tell a row: one line, as
tests/bench/measure.c does, of which tests/bench/run makes a table.  A part that is told to
stop ends as one that is done: what it started is stopped."""
import signal
import sys


def _stop(number, _frame):
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, signal.SIG_IGN)  # the end takes its time
    sys.exit(128 + number)


for _s in (signal.SIGINT, signal.SIGTERM):
    signal.signal(_s, _stop)


def row(group, what, ours, rival="", theirs=None, unit="s", ratio=None, goal=None):
    """`ours` and `theirs`: medians, in `unit` (s, B, or what is counted); `ratio`: the most
    that ours may be of theirs; `goal`: the most that ours may be.  A row whose `what` is ""
    is another rival of the row before it."""
    def number(v):
        return "" if v is None else "%.9g" % v
    print("\t".join(["row", group, what, number(ours), rival, number(theirs), unit,
                     number(ratio), number(goal)]), flush=True)
