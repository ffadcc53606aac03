#!/usr/bin/env python3
"""The worker that cmd/master/python_test.go runs under a master."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import multiproc
from multiproc.worker import Cancelled, current, main, task


@task("echo")
def echo(args):
    return args["value"]


@task("nap")
def nap(args):
    print(f"{current().ticket} naps in pid {os.getpid()}")
    time.sleep(args["seconds"])
    return args["seconds"]


@task("fail")
def fail(args):
    raise ValueError("it is said to fail")


@task("exit")
def exit(args):
    sys.exit(3)


@task("odd")
def odd(args):
    return object()


@task("huge")
def huge(args):
    return b"x" * (70 << 20)


@task("die")
def die(args):
    os._exit(9)


@task("deaf")
def deaf(args):
    print(f"{current().ticket} hears nothing in pid {os.getpid()}")
    while True:
        try:
            time.sleep(300)
        except Cancelled:
            pass


@task("parent")
def parent(args):
    """Has a grandchild that has left session and group."""
    subprocess.run(["sh", "-c", f"setsid sh -c 'sleep 300 & sleep 300' & echo {current().ticket} is a parent; sleep 300"])


@task("swallow")
def swallow(args):
    """except Exception must not stop a cancel."""
    while True:
        try:
            time.sleep(300)
        except Exception:
            pass


@task("buy")
def buy(args):
    """A task that takes part: it uses the objects of the job's manager."""
    with multiproc.Manager(os.environ["MULTIPROC_SOCKET"]) as m:
        stock, lock = m.attach(args["stock"]), m.attach("lock")
        with lock:
            left = stock.value
            if left > 0:
                time.sleep(0.001)
                stock.value = left - 1
        return left > 0


if __name__ == "__main__":
    main()
