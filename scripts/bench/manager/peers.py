"""CPython's managers, measured: "peers.py MEASURE" prints "MEASURE VALUE", operations per second.

Standard library only. It has no pipelining and no batches: those measures are compared with calls one at a time, by as many
clients.
"""
import multiprocessing as mp
import sys
import time

SPAN = 0.8


def steps(proxy, kind):
    if kind == "lock":
        acquire, release = proxy.acquire, proxy.release

        def step():
            acquire()
            release()

    elif kind == "set":

        def step():
            proxy["x"] = 7

    else:

        def step():
            proxy["x"]

    return step


def client(proxy, kind, out):
    step = steps(proxy, kind)
    for _ in range(500):
        step()
    n, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < SPAN:
        for _ in range(20):
            step()
        n += 20
    out.put(n / (time.perf_counter() - begin))


MEASURES = {
    "get1": (1, "get"),
    "set1": (1, "set"),
    "get4": (4, "get"),
    "set4": (4, "set"),
    "pipe1": (1, "get"),
    "pipe4": (4, "get"),
    "batch": (1, "get"),
    "lock": (1, "lock"),
}


def main(name):
    clients, kind = MEASURES[name]
    with mp.Manager() as manager:
        proxy = manager.Lock() if kind == "lock" else manager.dict(x=7)
        out = mp.SimpleQueue()
        processes = [mp.Process(target=client, args=(proxy, kind, out)) for _ in range(clients)]
        for p in processes:
            p.start()
        print(name, sum(out.get() for _ in processes))
        for p in processes:
            p.join()


if __name__ == "__main__":
    main(sys.argv[1])
