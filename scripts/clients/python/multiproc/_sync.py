"""Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event, Barrier."""
import collections
import threading
import time

from ._client import proxy_for
from ._proxy import BaseProxy

Held = collections.namedtuple("Held", "token owner_died")
Held.__doc__ = """A lock that was acquired. token grows with each acquisition of the lock, by whomever: a fence for what it protects. owner_died: the last
holder's connection ended while it held the lock, so what it protects may be half done."""


def _limit(blocking, timeout):
    """The limit that acquire(blocking, timeout) means."""
    if not blocking:
        if timeout not in (None, -1):
            raise ValueError("can't specify a timeout for a non-blocking call")
        return 0
    if timeout is None or timeout == -1:
        return None
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > threading.TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return timeout


class _Held(BaseProxy):
    """What can be acquired and released."""

    def _acquire(self, limit):
        try:
            return self._call("acquire", timeout=limit, undo=lambda _: self._call("release"))
        except TimeoutError:
            return None

    def release(self):
        self._call("release")

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *error):
        self.release()


class _Lock(_Held):
    def acquire(self, blocking=True, timeout=None):
        return self._acquire(_limit(blocking, timeout)) is not None

    def acquire_held(self, timeout=None):
        """As acquire, but tells what is held; None when the time is over."""
        found = self._acquire(timeout)
        return found and Held(*found[:2])

    def locked(self):
        return self._call("locked")


@proxy_for("lock")
class LockProxy(_Lock):
    """A lock of the thread that has acquired it: no other may release it, and if its process ends it passes on. With handoff anybody
    may release it, as CPython has it, and nothing is given back."""


@proxy_for("rlock")
class RLockProxy(_Lock):
    """A lock that its thread may acquire again."""

    def owned(self):
        """Whether this thread holds it."""
        return self._call("owned")

    def count(self):
        """How many levels of it this thread holds."""
        return self._call("count")


@proxy_for("semaphore", "bounded_semaphore")
class SemaphoreProxy(_Held):
    """Permits; those that a process holds come back when it ends, unless handoff was asked for."""

    def acquire(self, blocking=True, timeout=None):
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        try:
            self._call("acquire", timeout=timeout if blocking else 0, undo=lambda _: self._call("release"))
            return True
        except TimeoutError:
            return False

    def release(self, n=1):
        self._call("release", *([] if n == 1 else [n]))

    def get_value(self):
        """How many permits are free."""
        return self._call("value")


@proxy_for("condition")
class ConditionProxy(_Lock):
    """A lock, and waiting for somebody else to notify."""

    def wait(self, timeout=None):
        """Whether it was notified; false when the time is over. The lock is given back meanwhile, with all its levels."""
        return self._call("wait", timeout=timeout)[0]

    def wait_for(self, predicate, timeout=None):
        """Waits until predicate() is true; its last value."""
        end = None if timeout is None else time.monotonic() + timeout
        result = predicate()
        while not result:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify(self, n=1):
        """How many were woken: the oldest n that wait now."""
        return self._call("notify", n)

    def notify_all(self):
        return self._call("notify_all")

    def waiting(self):
        """How many wait to be notified."""
        return self._call("waiting")

    def lock(self):
        """Its lock, which others may share."""
        return self._call("lock")

    def owned(self):
        return self._call("owned")

    def count(self):
        return self._call("count")


@proxy_for("event")
class EventProxy(BaseProxy):
    def is_set(self):
        return self._call("is_set")

    isSet = is_set

    def set(self):
        self._call("set")

    def clear(self):
        self._call("clear")

    def wait(self, timeout=None):
        """Whether it is set, or was while this waited."""
        return self._call("wait", timeout=timeout)


@proxy_for("barrier")
class BarrierProxy(BaseProxy):
    """A meeting of so many parties. The action is this process's: with the proxy it goes to other processes; who has attached the barrier
    by name sets it himself."""

    _action = None

    def wait(self, timeout=None):
        """The place of this party, 0 for the first to come. BrokenBarrierError when not all come; the time limit breaks it for all."""
        place, run = self._call("wait", timeout=timeout)
        if run:
            self._run()
        return place

    def _run(self):
        try:
            if self._action is None:
                raise RuntimeError("it is on this party to run the barrier's action, but it has none: set proxy.action")
            self._action()
        except BaseException:
            self._call("failed")
            raise
        self._call("done")

    @property
    def action(self):
        return self._action

    @action.setter
    def action(self, action):
        self._action = action

    def _extras(self):
        return {"_action": self._action}

    def abort(self):
        self._call("abort")

    def reset(self):
        self._call("reset")

    @property
    def parties(self):
        return self._call("parties")

    @property
    def n_waiting(self):
        return self._call("waiting")

    @property
    def broken(self):
        return self._call("broken")
