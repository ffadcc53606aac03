"""CPython's multiprocessing, measured: "peers.py MEASURE" prints "MEASURE VALUE".

Standard library only. The values are those of ours/main.go: nanoseconds of an acquire
and release, microseconds of a round trip, operations or bytes per second. There is no
"died": a lock whose owner is killed is never free again.
"""
import multiprocessing as mp
import sys
import time

SPAN = 0.4  # seconds that a measure of throughput lasts
TURNS = 3000


def free(lock):
    n = 100_000
    acquire, release = lock.acquire, lock.release
    t = time.perf_counter()
    for _ in range(n):
        acquire()
        release()
    return (time.perf_counter() - t) / n * 1e9


def start(f, *args):
    p = mp.Process(target=f, args=args, daemon=True)
    p.start()
    return p


def rate(processes, counts):
    """How much the sum of counts grows in a second."""
    end = time.monotonic() + 10
    while not all(counts) and time.monotonic() < end:
        time.sleep(0.001)
    first, t = sum(counts), time.perf_counter()
    time.sleep(SPAN)
    r = (sum(counts) - first) / (time.perf_counter() - t)
    for p in processes:
        p.kill()
    return r


def incrementer(lock, count):
    while True:
        with lock:
            count[0] += 1


def increments(n):
    lock, count = mp.Lock(), mp.RawArray("Q", 1)
    return rate([start(incrementer, lock, count) for _ in range(n)], count)


def event_echo(a, b):
    while True:
        a.wait()
        a.clear()
        b.set()


def event():
    a, b = mp.Event(), mp.Event()
    p = start(event_echo, a, b)
    for i in range(TURNS + 100):
        if i == 100:
            t = time.perf_counter()
        a.set()
        b.wait()
        b.clear()
    r = (time.perf_counter() - t) / TURNS * 1e6
    p.kill()
    return r


def take_turns(cond, turn, mine, n):
    for _ in range(n):
        with cond:
            cond.wait_for(lambda: turn.value == mine)
            turn.value = 1 - mine
            cond.notify()


def cond():
    c, turn = mp.Condition(), mp.RawValue("i", 0)
    p = start(take_turns, c, turn, 1, TURNS + 100)
    take_turns(c, turn, 0, 100)
    t = time.perf_counter()
    take_turns(c, turn, 0, TURNS)
    p.join()
    return (time.perf_counter() - t) / TURNS * 1e6


def pipe_echo(c):
    while True:
        c.send(c.recv())


def pipe():
    a, b = mp.Pipe()
    p = start(pipe_echo, b)
    for i in range(TURNS + 100):
        if i == 100:
            t = time.perf_counter()
        a.send(i)
        a.recv()
    r = (time.perf_counter() - t) / TURNS * 1e6
    p.kill()
    return r


def put(q, item):
    while True:
        q.put(item)


def get(q, counts, i, size):
    while True:
        q.get()
        counts[i] += size


def queue(producers, consumers, size=0, bound=1000):
    q, counts = mp.Queue(bound), mp.RawArray("Q", consumers)
    item = b"x" * size if size else 7
    ps = [start(put, q, item) for _ in range(producers)]
    ps += [start(get, q, counts, i, size or 1) for i in range(consumers)]
    return rate(ps, counts)


MEASURES = {
    "lock": lambda: free(mp.Lock()),
    "rlock": lambda: free(mp.RLock()),
    "sem": lambda: free(mp.Semaphore(1)),
    "inc2": lambda: increments(2),
    "inc4": lambda: increments(4),
    "event": event,
    "cond": cond,
    "q11": lambda: queue(1, 1),
    "q22": lambda: queue(2, 2),
    "batch": lambda: queue(1, 1),
    "q64k": lambda: queue(1, 1, 64 << 10, 64),
    "into64k": lambda: queue(1, 1, 64 << 10, 64),
    "q1m": lambda: queue(1, 1, 1 << 20, 8),
    "into1m": lambda: queue(1, 1, 1 << 20, 8),
    "pipe": pipe,
}

if __name__ == "__main__":
    mp.set_start_method("fork")
    if sys.argv[1] in MEASURES:
        print(sys.argv[1], MEASURES[sys.argv[1]]())
