"""What the tests share: a manager for each class, processes that are killed, and waiting with an end."""
import os
import signal
import sys
import threading
import time
import traceback
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import multiproc

PATIENCE = 20  # seconds


def eventually(condition, what):
    """Polls until condition() is true: for what nobody announces."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE} s for: {what}")
        time.sleep(0.002)


class ManagerTest(unittest.TestCase):
    """Each class has a manager, $MULTIPROC_MASTER; each test leaves it as it was."""

    options = {}

    @classmethod
    def setUpClass(cls):
        cls.m = multiproc.SyncManager(**cls.options)
        cls.m.start()

    @classmethod
    def tearDownClass(cls):
        cls.m.shutdown()

    def setUp(self):
        self.addCleanup(self.check_nothing_is_left)

    def check_nothing_is_left(self):
        def nothing():
            stats = self.m.stats()
            return (stats["objects"], stats["leases"], stats["waiting"], stats["connections"]) == (0, 0, 0, 1)

        try:
            eventually(nothing, "an empty manager")
        except AssertionError:
            raise AssertionError(f"left: {self.m.stats()}, {self.m.objects()}") from None

    def connect(self):
        """Another connection, as another program would have."""
        other = multiproc.Manager(self.m.address)
        self.addCleanup(other.shutdown)
        return other

    def thread(self, function, *args):
        """A thread that has ended by the end of the test; result() is what function returned."""
        thread = Thread(function, args)
        self.addCleanup(thread.finish)
        return thread

    def child(self, function, *args):
        """A forked process that runs function, and is gone by the end of the test."""
        child = Child(function, args)
        self.addCleanup(child.kill)
        return child


class Thread(threading.Thread):
    def __init__(self, function, args):
        super().__init__(daemon=True)
        self.function, self.args, self.value, self.error = function, args, None, None
        self.start()

    def run(self):
        try:
            self.value = self.function(*self.args)
        except BaseException as e:
            self.error = e
        self.function = self.args = None

    def result(self):
        self.join(PATIENCE)
        if self.is_alive():
            raise AssertionError(f"a thread has not ended after {PATIENCE} s")
        if self.error is not None:
            raise self.error
        return self.value

    def finish(self):
        self.join(PATIENCE)
        self.value = self.error = None


class Child:
    def __init__(self, function, args):
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                function(*args)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)

    def kill(self, sig=signal.SIGKILL):
        if self.pid is not None:
            os.kill(self.pid, sig)
            os.waitpid(self.pid, 0)
            self.pid = None

    def wait(self):
        """Its exit status; it must end by itself."""
        pid, self.pid = self.pid, None
        end = time.monotonic() + PATIENCE
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise AssertionError(f"a child has not ended after {PATIENCE} s")
            time.sleep(0.002)
