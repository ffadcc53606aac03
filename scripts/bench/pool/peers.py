"""CPython's multiprocessing, measured: "peers.py MEASURE" prints "MEASURE VALUE".

Standard library only. The values are those of main.go: tickets or items per second,
microseconds of a round trip, milliseconds of a start, bytes. There is no "replace": a Pool
whose worker is killed may hang for ever; and no "mixed", which compares with itself.
"""
import multiprocessing as mp
import os
import sys
import time

NOOPS = 20_000
TRIPS = 2000
STARTS = 10
ITEMS = 2_000_000


def noop(n):
    return n


def apply_async(name):
    with mp.Pool(2) as pool:
        for n in NOOPS // 10, NOOPS:
            t = time.perf_counter()
            results = [pool.apply_async(noop, (i,)) for i in range(n)]
            for r in results:
                r.get()
        print(name, NOOPS / (time.perf_counter() - t))


def call(name):
    times = []
    with mp.Pool(2) as pool:
        for _ in range(200):
            pool.apply(noop, (7,))
        for _ in range(TRIPS):
            t = time.perf_counter()
            pool.apply(noop, (7,))
            times.append(time.perf_counter() - t)
    times.sort()
    print(name + ".p50", times[TRIPS // 2] * 1e6)
    print(name + ".p99", times[TRIPS * 99 // 100] * 1e6)


def map_ready(name):
    items = list(range(ITEMS))
    with mp.Pool(2) as pool:
        pool.map(noop, items[: ITEMS // 10])
        t = time.perf_counter()
        pool.map(noop, items)
        print(name, ITEMS / (time.perf_counter() - t))


def median(name, n, f):
    times = sorted(f() for _ in range(n))
    print(name, times[n // 2] * 1e3)


def answer(conn):
    conn.send(7)


def start():
    t = time.perf_counter()
    ours, theirs = mp.Pipe()
    p = mp.Process(target=answer, args=(theirs,))
    p.start()
    ours.recv()
    d = time.perf_counter() - t
    p.join()
    return d


def start_1g(name):
    ballast = b"x" * (1 << 30)
    median(name, STARTS, start)
    del ballast


def ready(fd):
    os.write(fd, b"x")


def ready4():
    r, w = os.pipe()
    t = time.perf_counter()
    pool = mp.Pool(4, ready, (w,))
    for _ in range(4):
        os.read(r, 1)
    d = time.perf_counter() - t
    pool.close()
    pool.join()
    os.close(r)
    os.close(w)
    return d


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024


def memory(name):
    with mp.Pool(2) as pool:
        for _ in range(200):
            pool.apply(noop, (7,))
        time.sleep(0.3)
        print(name + ".master", pss("self"))
        print(name + ".worker", sum(pss(p.pid) for p in mp.active_children()) / 2)


MEASURES = {
    "noop": apply_async,
    "call": call,
    "map": map_ready,
    "start": lambda name: median(name, STARTS, start),
    "start1g": start_1g,
    "ready4": lambda name: median(name, STARTS // 2, ready4),
    "memory": memory,
}

if __name__ == "__main__":
    mp.set_start_method("fork")
    if sys.argv[1] in MEASURES:
        MEASURES[sys.argv[1]](sys.argv[1])
