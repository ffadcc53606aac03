"""A program beside a master: cmd/master/python_test.go runs it with a pool of tests/worker.py and $MULTIPROC_SOCKET."""
import os
import unittest

import multiproc
from tests.support import eventually


class TestPool(unittest.TestCase):
    def setUp(self):
        self.m = multiproc.Manager(os.environ["MULTIPROC_SOCKET"])
        self.addCleanup(self.m.shutdown)
        self.pool = self.m.Pool()

    def test_results(self):
        blob = multiproc.Blob.pickled(range(3))
        for value in (1, "x", None, (1, {2}), {"k": [1 << 70]}, blob, b"x" * (1 << 20)):
            self.assertEqual(self.pool.apply("echo", {"value": value}), value)
        args = [{"value": i} for i in range(100)]
        self.assertEqual(self.pool.map("echo", args), list(range(100)))
        self.assertEqual(list(self.pool.imap("echo", iter(args), ahead=5)), list(range(100)))
        self.assertIn("echo", self.pool.tasks())
        self.assertEqual(self.pool.status()["workers"], 2)

    def test_async(self):
        got, failed = [], []
        self.pool.apply_async("echo", {"value": 1}, got.append, failed.append)
        self.pool.apply_async("fail", {}, got.append, failed.append)
        eventually(lambda: got and failed, "both callbacks")
        self.assertEqual((got, failed[0].kind), ([1], "error"))
        result = self.pool.submit("nap", {"seconds": 0.2})
        self.assertFalse(result.ready())
        self.assertRaises(ValueError, result.successful)
        self.assertRaises(TimeoutError, result.get, 0.01)
        self.assertEqual((result.get(), result.get(), result.successful()), (0.2, 0.2, True))

    def test_errors(self):
        for task, kind, text in (("fail", "error", "ValueError: it is said to fail"), ("die", "died", "exit status 9"), ("odd", "result", "cannot send")):
            with self.assertRaises(multiproc.RemoteError) as caught:
                self.pool.apply(task, {})
            self.assertEqual(caught.exception.kind, kind)
            self.assertIn(text, str(caught.exception))
        with self.assertRaises(multiproc.RemoteError) as caught:
            self.pool.apply("dance")
        self.assertEqual(caught.exception.kind, "unknown_task")

    def test_time_of_the_task(self):
        """Over is over, however it is asked."""
        for limits in ([None], [20], [0.01, 0.01, 20]):
            result = self.pool.submit("nap", {"seconds": 300}, timeout=0.2)
            for limit in limits[:-1]:
                self.assertRaises(multiproc.ResultTimeout, result.get, limit)
            for _ in range(2):
                with self.assertRaises(TimeoutError) as caught:
                    result.get(limits[-1])
                self.assertNotIsInstance(caught.exception, multiproc.ResultTimeout)

    def test_cancel(self):
        result = self.pool.submit("nap", {"seconds": 300})
        self.assertTrue(result.cancel())
        self.assertRaises(multiproc.Cancelled, result.get)

    def test_tickets_end_with_the_connection(self):
        other = multiproc.Manager(self.m.address)
        for _ in range(4):
            other.Pool().submit("nap", {"seconds": 300})
        eventually(lambda: self.pool.status()["busy"] == 2, "two who nap")
        other.shutdown()
        eventually(lambda: self.pool.status()["idle"] == 2, "two who are free")

    def test_tickets_are_sold_once(self):
        """Ten tickets, twenty buyers in two processes, a lock, and this program beside them."""
        stock, lock = self.m.Value("i", 10), self.m.Lock(name="lock")
        bought = self.pool.map("buy", [{"stock": stock}] * 20)
        self.assertEqual((bought.count(True), stock.value, lock.locked()), (10, 0, False))


if __name__ == "__main__":
    unittest.main()
