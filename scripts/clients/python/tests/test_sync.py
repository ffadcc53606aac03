"""Locks and their kin: between threads, between processes, and with processes that are killed."""
import os
import threading
import time
import unittest

from tests.support import ManagerTest, eventually


class SyncTest(ManagerTest):
    def waits(self, proxy, n=1):
        eventually(lambda: proxy.describe()["waiting"] == n, f"{n} who wait")


class TestLock(SyncTest):
    def test_excludes(self):
        lock = self.m.Lock()
        self.assertEqual((lock.acquire(), lock.acquire(False), lock.acquire(timeout=0.01), lock.locked()), (True, False, False, True))
        self.assertEqual(self.thread(lock.acquire, False).result(), False)
        thread = self.thread(lambda: (lock.acquire(), lock.release()))
        self.waits(lock)
        lock.release()
        thread.result()
        self.assertFalse(lock.locked())

    def test_release(self):
        lock = self.m.Lock()
        self.assertRaises(RuntimeError, lock.release)
        lock.acquire()
        with self.assertRaises(RuntimeError):
            self.thread(lock.release).result()
        with self.assertRaises(RuntimeError):
            self.connect().attach(lock.id).release()
        lock.release()
        self.assertRaises(RuntimeError, lock.release)

    def test_arguments(self):
        lock = self.m.Lock()
        self.assertRaises(ValueError, lock.acquire, False, 1)
        self.assertRaises(ValueError, lock.acquire, True, -2)
        self.assertRaises(OverflowError, lock.acquire, True, threading.TIMEOUT_MAX * 2)
        self.assertTrue(lock.acquire(False, -1))
        lock.release()
        self.assertTrue(lock.acquire(timeout=-1))
        lock.release()

    def test_handoff(self):
        lock = self.m.Lock(handoff=True)
        self.assertEqual(self.child(lock.acquire).wait(), 0)
        self.assertTrue(lock.locked())
        self.thread(lock.release).result()
        self.assertRaises(RuntimeError, lock.release)

    def test_dead_holder(self):
        """Killed while it holds the lock: the next one has it, and is told. Each holding has a higher token."""
        lock, event = self.m.Lock(), self.m.Event()
        last = 0
        for _ in range(10):
            event.clear()
            child = self.child(lambda: (lock.acquire(), event.set(), time.sleep(300)))
            event.wait()
            thread = self.thread(lambda: (lock.acquire_held(), lock.release())[0])
            self.waits(lock)
            child.kill()
            held = thread.result()
            self.assertTrue(held.owner_died)
            self.assertGreater(held.token, last)
            last = held.token
        self.assertEqual(lock.acquire_held().owner_died, False)
        lock.release()
        self.assertIsNone(None if lock.acquire_held() is None else lock.release())

    def test_dead_waiter(self):
        lock = self.m.Lock()
        lock.acquire()
        child = self.child(lock.acquire)
        self.waits(lock)
        thread = self.thread(lambda: (lock.acquire(), lock.release()))
        self.waits(lock, 2)
        child.kill()
        self.waits(lock, 1)
        lock.release()
        thread.result()

    def test_counter(self):
        """Four processes and a lock around what is no single step."""
        lock, value = self.m.Lock(), self.m.Value("i", 0)

        def count():
            for _ in range(100):
                with lock:
                    value.value += 1

        children = [self.child(count) for _ in range(4)]
        self.assertEqual([c.wait() for c in children], [0] * 4)
        self.assertEqual(value.value, 400)

    def test_stored(self):
        """A lock that is found in a dict is the same lock."""
        d = self.m.dict(lock=self.m.Lock())
        self.assertTrue(d["lock"].acquire())
        self.assertFalse(d["lock"].acquire(False))
        d["lock"].release()


class TestRLock(SyncTest):
    def test_levels(self):
        lock = self.m.RLock()
        self.assertRaises((AssertionError, RuntimeError), lock.release)
        with lock, lock:
            self.assertEqual((lock.count(), lock.owned()), (2, True))
            self.assertEqual(self.thread(lambda: (lock.acquire(False), lock.owned(), lock.count())).result(), (False, False, 0))
            with self.assertRaises(AssertionError):
                self.thread(lock.release).result()
        self.assertEqual((lock.count(), lock.locked()), (0, False))
        self.assertRaises(RuntimeError, lock.release)

    def test_dead_holder_of_levels(self):
        lock, event = self.m.RLock(), self.m.Event()
        child = self.child(lambda: (lock.acquire(), lock.acquire(), event.set(), time.sleep(300)))
        event.wait()
        thread = self.thread(lambda: (lock.acquire_held(), lock.count(), lock.release())[:2])
        self.waits(lock)
        child.kill()
        held, count = thread.result()
        self.assertEqual((held.owner_died, count), (True, 1))


class TestSemaphore(SyncTest):
    def test_permits(self):
        for make in (self.m.Semaphore, self.m.BoundedSemaphore):
            s = make(2)
            self.assertEqual((s.acquire(), s.acquire(), s.acquire(False), s.acquire(timeout=0.01), s.get_value()), (True, True, False, False, 0))
            thread = self.thread(s.acquire)
            self.waits(s)
            s.release()
            self.assertTrue(thread.result())
            s.release(2)
            self.assertEqual(s.get_value(), 2)
            self.assertRaises(ValueError, s.release, 0)
            self.assertRaises(ValueError, s.acquire, False, 1)
        self.assertRaises(ValueError, s.release)
        self.assertEqual(s.get_value(), 2)
        free = self.m.Semaphore(0)
        free.release(3)
        self.assertEqual(free.get_value(), 3)
        self.assertRaises(ValueError, self.m.Semaphore, -1)

    def test_dead_holder(self):
        s, event = self.m.Semaphore(3), self.m.Event()
        child = self.child(lambda: (s.acquire(), s.acquire(), event.set(), time.sleep(300)))
        event.wait()
        self.assertEqual(s.get_value(), 1)
        child.kill()
        eventually(lambda: s.get_value() == 3, "the permits of the dead")

    def test_three_at_a_time(self):
        s, inside, most = self.m.Semaphore(3), self.m.Value("i", 0), self.m.list()

        def work():
            for _ in range(20):
                with s:
                    most.append(inside.add(1))
                    inside.add(-1)

        children = [self.child(work) for _ in range(5)]
        self.assertEqual([c.wait() for c in children], [0] * 5)
        self.assertEqual((len(most), max(most.copy()) <= 3), (100, True))


class TestCondition(SyncTest):
    def sleepers(self, condition, n, woken):
        def sleep():
            with condition:
                notified = condition.wait(30)
                woken.append(notified)

        threads = []
        for i in range(n):
            threads.append(self.thread(sleep))
            eventually(lambda: condition.waiting() == i + 1, f"{i + 1} sleepers")
        return threads

    def test_exact_numbers(self):
        condition, woken = self.m.Condition(), self.m.list()
        threads = self.sleepers(condition, 6, woken)
        for n, sum in ((1, 1), (2, 3)):
            with condition:
                self.assertEqual(condition.notify(n), n)
            eventually(lambda: len(woken) == sum, f"{sum} woken")
            self.assertEqual(condition.waiting(), 6 - sum)
        with condition:
            condition.notify_all()
        for thread in threads:
            thread.result()
        self.assertEqual(woken, [True] * 6)
        with condition:
            self.assertEqual(condition.notify(), 0)

    def test_without_the_lock(self):
        condition = self.m.Condition()
        for do in (condition.wait, condition.notify, condition.notify_all, condition.release):
            self.assertRaises(RuntimeError, do)

    def test_limits(self):
        condition = self.m.Condition()
        with condition, condition:
            self.assertEqual((condition.wait(0.01), condition.wait(0), condition.wait(-1)), (False, False, False))
            self.assertEqual(condition.count(), 2)
            self.assertEqual((condition.wait_for(lambda: False, 0.02), condition.wait_for(lambda: 7)), (False, 7))

    def test_all_levels_are_given_back(self):
        condition = self.m.Condition()

        def sleep():
            with condition, condition:
                return condition.wait(), condition.count()

        thread = self.thread(sleep)
        eventually(lambda: condition.waiting() == 1, "a sleeper")
        with condition:
            condition.notify()
        self.assertEqual(thread.result(), (True, 2))

    def test_shared_lock(self):
        lock = self.m.Lock()
        a, b = self.m.Condition(lock), self.m.Condition(lock)
        with a:
            self.assertFalse(b.acquire(False))
            self.assertEqual((lock.locked(), a.lock() == lock), (True, True))
        thread = self.sleepers(a, 1, self.m.list())[0]
        with lock:
            self.assertEqual((b.notify(), a.notify()), (0, 1))
        thread.result()

    def test_dead_waiter_is_not_notified(self):
        condition, woken = self.m.Condition(), self.m.list()

        def sleep():
            with condition:
                condition.wait()

        child = self.child(sleep)
        eventually(lambda: condition.waiting() == 1, "the child")
        threads = self.sleepers_after(condition, woken)
        child.kill()
        eventually(lambda: condition.waiting() == 1, "the child's end")
        with condition:
            self.assertEqual(condition.notify(), 1)
        threads.result()
        self.assertEqual(woken, [True])

    def sleepers_after(self, condition, woken):
        def sleep():
            with condition:
                woken.append(condition.wait(30))

        thread = self.thread(sleep)
        eventually(lambda: condition.waiting() == 2, "the thread")
        return thread

    def test_two_in_turn(self):
        """Two processes wake each other."""
        condition, turn = self.m.Condition(), self.m.Value("i", 0)

        def play(me):
            for _ in range(50):
                with condition:
                    assert condition.wait_for(lambda: turn.value == me, 20)
                    turn.value = 1 - me
                    condition.notify()

        children = [self.child(play, me) for me in (0, 1)]
        self.assertEqual([c.wait() for c in children], [0, 0])
        self.assertEqual(turn.value, 0)


class TestEvent(SyncTest):
    def test_event(self):
        event = self.m.Event()
        self.assertEqual((event.is_set(), event.wait(0), event.wait(0.01)), (False, False, False))
        for _ in range(5):
            children = [self.child(event.wait, 20) for _ in range(2)]
            self.waits(event, 2)
            event.set()
            self.assertEqual((event.is_set(), event.wait()), (True, True))
            self.assertEqual([c.wait() for c in children], [0, 0])
            event.clear()

    def test_set_and_clear_at_once(self):
        event = self.m.Event()
        threads = [self.thread(event.wait) for _ in range(8)]
        self.waits(event, 8)
        event.set()
        event.clear()
        self.assertEqual([t.result() for t in threads], [True] * 8)


class TestBarrier(SyncTest):
    def test_rounds(self):
        barrier, places = self.m.Barrier(3), self.m.list()
        self.assertEqual(barrier.parties, 3)

        def meet():
            for i in range(10):
                places.append((i, barrier.wait()))

        children = [self.child(meet) for _ in range(3)]
        self.assertEqual([c.wait() for c in children], [0] * 3)
        self.assertEqual(sorted(places.copy()), [(i, place) for i in range(10) for place in range(3)])

    def test_action(self):
        """It runs once in a round, before anybody goes on."""
        ran = self.m.list()
        barrier = self.m.Barrier(3, lambda: ran.append(os.getpid()))
        counts = self.m.list()

        def meet():
            for _ in range(5):
                barrier.wait()
                counts.append(len(ran))
                barrier.wait()

        threads = [self.thread(meet) for _ in range(3)]
        for thread in threads:
            thread.result()
        self.assertEqual(sorted(counts.copy()), sorted([1, 3, 5, 7, 9] * 3))
        barrier.action = None

    def test_failing_action(self):
        barrier = self.m.Barrier(2, lambda: 1 / 0)
        thread = self.thread(lambda: self.assertRaises(threading.BrokenBarrierError, barrier.wait))
        self.waits(barrier)
        self.assertRaises(ZeroDivisionError, barrier.wait)
        thread.result()
        self.assertTrue(barrier.broken)
        self.assertRaises(threading.BrokenBarrierError, barrier.wait)

    def test_breaks_and_mends(self):
        barrier = self.m.Barrier(3)
        for break_, broken in ((barrier.abort, True), (barrier.reset, False)):
            barrier.reset()
            threads = [self.thread(lambda: self.assertRaises(threading.BrokenBarrierError, barrier.wait)) for _ in range(2)]
            eventually(lambda: barrier.n_waiting == 2, "two parties")
            break_()
            for thread in threads:
                thread.result()
            self.assertEqual((barrier.broken, barrier.n_waiting), (broken, 0))
        self.assertRaises(threading.BrokenBarrierError, barrier.wait, 0.01)
        self.assertTrue(barrier.broken)
        barrier.reset()
        threads = [self.thread(barrier.wait) for _ in range(3)]
        self.assertEqual(sorted(t.result() for t in threads), [0, 1, 2])

    def test_default_limit(self):
        barrier = self.m.Barrier(2, timeout=0.01)
        self.assertRaises(threading.BrokenBarrierError, barrier.wait)
        self.assertRaises(ValueError, self.m.Barrier, 0)

    def test_dead_party(self):
        barrier = self.m.Barrier(3)
        child = self.child(barrier.wait)
        self.waits(barrier)
        thread = self.thread(lambda: self.assertRaises(threading.BrokenBarrierError, barrier.wait))
        self.waits(barrier, 2)
        child.kill()
        thread.result()

    def test_dead_runner(self):
        barrier = self.m.Barrier(2, lambda: os._exit(9))
        thread = self.thread(lambda: self.assertRaises(threading.BrokenBarrierError, barrier.wait))
        self.waits(barrier)
        self.assertEqual(self.child(barrier.wait).wait(), 9)
        thread.result()
        barrier.action = None


if __name__ == "__main__":
    unittest.main()
