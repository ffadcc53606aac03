#!/usr/bin/env python3
"""Ten tickets, twenty buyers in four processes, one lock: MULTIPROC_MASTER=/path/to/master ./tickets.py"""
import multiprocessing
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import multiproc


def buy(stock, lock, sold, buyer):
    with lock:
        if stock.value > 0:
            stock.value -= 1
            sold.append((buyer, os.getpid()))


if __name__ == "__main__":
    with multiproc.Manager() as m:
        stock, lock, sold = m.Value("i", 10), m.Lock(), m.list()
        with multiprocessing.get_context("spawn").Pool(4) as pool:
            pool.starmap(buy, [(stock, lock, sold, f"buyer {i}") for i in range(20)])
        for buyer, pid in sold:
            print(f"{buyer}: pid {pid} bought a ticket")
        print(f"{len(sold)} sold, {stock.value} left")
