"""Ending everybody below this process."""
import contextlib
import os
import signal

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """A process whose parent has ended becomes this one's child, not init's: it stays in sight. (When it ends, it stays a zombie until
    this process does: who reaps it could take a status that somebody waits for.)"""
    with contextlib.suppress(Exception):  # a Python without ctypes
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants():
    """The processes below this one, as one walk through /proc shows them; a zombie is none."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b") ")[2].split()[:2]
            except OSError:  # it has ended meanwhile
                continue
            if state != b"Z":
                children.setdefault(int(parent), []).append(int(name))
    found = list(children.get(os.getpid(), ()))
    for pid in found:
        found += children.get(pid, ())
    return found


def kill_descendants():
    """Kills until a walk finds nobody: a process may start another while it is looked for. First all are stopped, so that whose parent
    dies does not get out of sight."""
    for stop in (signal.SIGSTOP, signal.SIGKILL):
        done = set()
        while True:
            fresh = set(descendants()) - done
            if not fresh:
                break
            for pid in fresh:
                try:
                    os.kill(pid, stop)
                except OSError:
                    pass
            done |= fresh
