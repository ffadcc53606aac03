"""Queues: order, limits, being done, being closed; with processes that are killed."""
import queue
import random
import unittest

from multiproc import ShutDown
from tests.support import ManagerTest, eventually


class TestQueue(ManagerTest):
    def waits(self, proxy, n=1):
        eventually(lambda: proxy.describe()["waiting"] == n, f"{n} who wait")

    def test_order(self):
        items = [10, -1, 0, 5, 0.5, -7, 1 << 70]
        for make, want in (
            (self.m.Queue, items), (self.m.JoinableQueue, items), (self.m.SimpleQueue, items),
            (self.m.LifoQueue, items[::-1]), (self.m.PriorityQueue, sorted(items)),
        ):  # fmt: skip
            q = make()
            for item in items:
                q.put(item)
            self.assertEqual(q.qsize(), len(items))
            self.assertEqual([q.get() for _ in items], want)

    def test_priorities(self):
        rnd = random.Random(3)
        q = self.m.PriorityQueue()
        items = [(rnd.randrange(5), rnd.choice("abc"), rnd.random()) for _ in range(200)]
        q.put_many(items)
        self.assertEqual([q.get() for _ in items], sorted(items))
        equal = [1, 1.0, True, 1, 1.0]
        for item in equal:
            q.put(item)
        self.assertEqual([repr(q.get()) for _ in equal], [repr(i) for i in equal])
        q.put(1)
        self.assertRaises(TypeError, q.put, "text")
        self.assertEqual((q.qsize(), q.get()), (1, 1))

    def test_items(self):
        q = self.m.Queue()
        for item in (42, None, "hello", (1, [2]), {"k": b"v"}):
            q.put(item)
            self.assertEqual(q.get(), item)

    def test_full_and_empty(self):
        q = self.m.Queue(3)
        self.assertEqual((q.empty(), q.full(), q.maxsize), (True, False, 3))
        self.assertRaises(queue.Empty, q.get_nowait)
        self.assertRaises(queue.Empty, q.get, True, 0.01)
        self.assertEqual(q.put_many([1, 2, 3, 4], timeout=0), 3)
        self.assertEqual((q.empty(), q.full(), q.qsize()), (False, True, 3))
        self.assertRaises(queue.Full, q.put_nowait, 4)
        self.assertRaises(queue.Full, q.put, 4, True, 0.01)
        self.assertRaises(ValueError, q.put, 4, True, -1)
        self.assertRaises(ValueError, q.get, True, -1)
        thread = self.thread(q.put, 4)
        self.waits(q)
        self.assertEqual((q.putting(), q.get()), (1, 1))
        thread.result()
        self.assertEqual((q.get_many(2), q.get_many(9), q.qsize()), ([2, 3], [4], 0))
        q.maxsize = 0
        q.put_many(range(10))
        self.assertEqual(q.qsize(), 10)

    def test_getters_in_turn(self):
        q = self.m.Queue()
        threads = []
        for i in range(4):
            threads.append(self.thread(q.get))
            eventually(lambda: q.getting() == i + 1, f"{i + 1} getters")
        for i in range(4):
            q.put(i)
        self.assertEqual([t.result() for t in threads], [0, 1, 2, 3])

    def test_join(self):
        q = self.m.JoinableQueue()
        q.join()
        q.put_many([1, 2, 3])
        self.assertEqual(q.unfinished(), 3)
        self.assertRaises(TimeoutError, q.join, 0.01)
        thread = self.thread(q.join)
        self.waits(q)
        q.get_many(3)
        q.task_done(2)
        self.assertEqual(q.unfinished(), 1)
        q.task_done()
        thread.result()
        self.assertRaises(ValueError, q.task_done)

    def test_shutdown(self):
        q = self.m.Queue(1)
        q.put(1)
        putter = self.thread(lambda: self.assertRaises(ShutDown, q.put, 2))
        self.waits(q)
        q.shutdown()
        putter.result()
        self.assertRaises(ShutDown, q.put, 3)
        self.assertEqual((q.closed(), q.get()), (True, 1))
        for do in (q.get, q.get_nowait):
            self.assertRaises(ShutDown, do)
        q = self.m.Queue()
        getters = [self.thread(lambda: self.assertRaises(ShutDown, q.get)) for _ in range(3)]
        self.waits(q, 3)
        q.shutdown()
        for getter in getters:
            getter.result()

    def test_shutdown_at_once(self):
        q = self.m.JoinableQueue()
        q.put_many([1, 2])
        thread = self.thread(q.join)
        self.waits(q)
        q.shutdown(immediate=True)
        thread.result()
        self.assertEqual((q.qsize(), q.unfinished()), (0, 0))
        self.assertRaises(ShutDown, q.get)
        q.shutdown()

    def test_dead_getter_takes_nothing(self):
        q = self.m.Queue()
        for _ in range(20):
            child = self.child(q.get)
            self.waits(q)
            child.kill()
            q.put("it")
            self.assertEqual(q.get(timeout=20), "it")

    def test_producers_and_consumers(self):
        """Each item comes to one, in the order of its producer; consumers end when the queue is closed."""
        q, got = self.m.Queue(5), self.m.list()

        def produce(me):
            for i in range(100):
                q.put((me, i))

        def consume():
            mine = []
            try:
                while True:
                    mine.append(q.get())
            except ShutDown:
                got.append(mine)

        consumers = [self.child(consume) for _ in range(3)]
        producers = [self.child(produce, me) for me in range(3)]
        self.assertEqual([p.wait() for p in producers], [0] * 3)
        q.shutdown()
        self.assertEqual([c.wait() for c in consumers], [0] * 3)
        for mine in got.copy():
            for me in range(3):
                order = [i for who, i in mine if who == me]
                self.assertEqual(order, sorted(order))
        self.assertEqual(sorted(i for mine in got.copy() for i in mine), [(me, i) for me in range(3) for i in range(100)])

    def test_references_in_items(self):
        q = self.m.Queue()
        q.put(self.m.list([1]))
        l = q.get()
        l.append(2)
        self.assertEqual(l, [1, 2])


if __name__ == "__main__":
    unittest.main()
