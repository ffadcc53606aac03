"""Queue and its kin, and the pool of a master."""
import itertools
import multiprocessing
import threading

from ._client import proxy_for
from ._proxy import BaseProxy, milliseconds


def _limit(block, timeout):
    if not block:
        return 0
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return timeout


@proxy_for("queue", "joinable_queue", "simple_queue", "lifo_queue", "priority_queue")
class QueueProxy(BaseProxy):
    """A shared queue: queue.Queue with exact qsize, empty and full. queue.Empty, queue.Full and queue.ShutDown are what it raises
    (multiproc.ShutDown before Python 3.13)."""

    def put(self, item, block=True, timeout=None):
        self._call("put", item, timeout=_limit(block, timeout))

    def get(self, block=True, timeout=None):
        return self._call("get", timeout=_limit(block, timeout))

    def put_nowait(self, item):
        self.put(item, False)

    def get_nowait(self):
        return self.get(False)

    def qsize(self):
        return self._call("len")

    __len__ = qsize

    def __bool__(self):
        return True

    def empty(self):
        return self._call("empty")

    def full(self):
        return self._call("full")

    def task_done(self, n=1):
        self._call("task_done", *([] if n == 1 else [n]))

    def join(self, timeout=None):
        """TimeoutError after so many seconds."""
        self._call("join", timeout=timeout)

    def shutdown(self, immediate=False):
        """No more puts; gets take what is left, then raise ShutDown. immediate: what is left is dropped."""
        self._call("close", bool(immediate))

    def closed(self):
        return self._call("closed")

    def unfinished(self):
        return self._call("unfinished")

    @property
    def maxsize(self):
        return self._call("maxsize")

    @maxsize.setter
    def maxsize(self, n):
        self._call("maxsize", n)

    def put_many(self, items, timeout=None):
        """How many went in before the time was over; queue.Full if none."""
        return self._call("put_many", list(items), timeout=timeout)

    def get_many(self, n, timeout=None):
        """A list of 1 to n items: what is there after the first has come."""
        return self._call("get_many", n, timeout=timeout)

    def getting(self):
        """How many wait to get."""
        return self._call("getting")

    def putting(self):
        """How many wait to put."""
        return self._call("putting")


@proxy_for("pool")
class PoolProxy(BaseProxy):
    """The pool of a master: its tasks, by name, each with one argument, run in its workers."""

    def tasks(self):
        return self._call("tasks")

    def status(self):
        return self._call("status")

    def submit(self, task, arg=None, **options):
        """An AsyncResult. options: attempts, timeout, delay (in seconds), priority."""
        return AsyncResult(self, self._call("submit", task, arg, _ticket_options(options)))

    def apply(self, task, arg=None, **options):
        """The task's result; what it raised comes as the exception that stands for the fault. Ctrl-C cancels the ticket."""
        return self._call("run", task, arg, _ticket_options(options))

    def apply_async(self, task, arg=None, callback=None, error_callback=None, **options):
        result = self.submit(task, arg, **options)
        if callback or error_callback:
            result.call_back(callback, error_callback)
        return result

    def map_async(self, task, args, **options):
        """A list of AsyncResults, submitted in one go."""
        tickets = self._call("submit_many", task, list(args), _ticket_options(options))
        return [AsyncResult(self, ticket) for ticket in tickets]

    def map(self, task, args, **options):
        return [result.get() for result in self.map_async(task, args, **options)]

    def imap(self, task, args, ahead=64, **options):
        """The results in order; args are taken as they are needed, so many ahead."""
        args, under_way = iter(args), []
        while True:
            under_way += (self.submit(task, arg, **options) for arg in itertools.islice(args, ahead - len(under_way)))
            if not under_way:
                return
            yield under_way.pop(0).get()


def _ticket_options(options):
    unknown = set(options) - {"attempts", "timeout", "delay", "priority"}
    if unknown:
        raise TypeError(f"unknown option {unknown.pop()!r}")
    known = {key: options[key] for key in ("attempts", "priority") if options.get(key) is not None}
    known.update((key + "_ms", milliseconds(options[key])) for key in ("timeout", "delay") if options.get(key) is not None)
    return known


class ResultTimeout(TimeoutError, multiprocessing.TimeoutError):
    """There is no result yet."""


class AsyncResult:
    """A ticket. The manager gives its result once; it is kept here."""

    def __init__(self, pool, ticket):
        self._pool, self.ticket = pool, ticket
        self._lock, self._value, self._error, self._known = threading.Lock(), None, None, False
        self._overdue = None  # the last fault that said that the time is over

    def _fetch(self, timeout):
        with self._lock:
            if self._known:
                return
            try:
                self._value = self._ask(timeout)
            except ResultTimeout:
                raise
            except Exception as e:
                self._error = e
            self._known = True

    def _ask(self, timeout):
        """The result. A fault "timeout" is the call's, or the task's own: then the ticket is forgotten, which the next call tells."""
        for limit in (timeout, 0):
            try:
                return self._pool._call("result", self.ticket, timeout=limit)
            except TimeoutError as e:
                if limit is None:
                    raise
                self._overdue = e
            except KeyError:
                raise self._overdue or RuntimeError(f"ticket {self.ticket} is not one of this connection") from None
        raise ResultTimeout(f"ticket {self.ticket} has no result within {timeout} s")

    def wait(self, timeout=None):
        try:
            self._fetch(timeout)
        except ResultTimeout:
            pass

    def ready(self):
        self.wait(0)
        return self._known

    def successful(self):
        if not self.ready():
            raise ValueError(f"ticket {self.ticket} not ready")
        return self._error is None

    def get(self, timeout=None):
        """The result, or the exception. ResultTimeout, a TimeoutError, leaves the task under way."""
        self._fetch(timeout)
        if self._error is not None:
            raise self._error
        return self._value

    def call_back(self, callback, error_callback):
        """Waits in a thread of its own, and calls one of them."""

        def wait():
            self.wait()
            if self._error is None and callback:
                callback(self._value)
            elif self._error is not None and error_callback:
                error_callback(self._error)

        threading.Thread(target=wait, name=f"ticket {self.ticket}", daemon=True).start()

    def cancel(self):
        """Whether it had not ended."""
        return self._pool._call("cancel", self.ticket)
