#!/usr/bin/env python3
"""A worker in Python: master -worker ./squares.py -workers 4 -job squares.json"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from multiproc.worker import current, main, task


@task("square")
def square(args):
    n = args["n"]
    print(f"{current().ticket}: pid {os.getpid()}: {n} * {n} = {n * n}")
    return n * n


@task("nap")
def nap(args):
    """time.sleep is woken when the ticket is cancelled, or its time is over."""
    time.sleep(args["seconds"])


if __name__ == "__main__":
    main()
