"""What all proxies have in common."""
import math
import threading
from multiprocessing.context import get_spawning_popen

from ._client import Client, owner, proxy_for
from ._values import Reference

MAX_MS = 9_223_372_036_854


def milliseconds(seconds):
    """A time limit as it is sent: whole milliseconds, rounded up; None for none, 0 for what is over already."""
    if seconds is None:
        return None
    if seconds != seconds:
        raise ValueError("a time limit that is not a number")
    if seconds <= 0:
        return 0
    return min(math.ceil(seconds * 1000), MAX_MS) if seconds < MAX_MS / 1000 else MAX_MS


@proxy_for(None)
class BaseProxy:
    """An object of a manager, seen from here. It holds a lease, which it gives back when it is collected. It may be stored in other
    objects (as a reference, so that all see the same object), pickled for another process, and used by many threads."""

    def __init__(self, client, id, kind, lease):
        self._client, self._id, self._kind, self._lease = client, id, kind, lease
        self._instance = lease.instance
        client.live[builtin_id(self)] = id

    def __del__(self):
        try:
            self._client.live.pop(builtin_id(self), None)
            if self._lease.alive:
                self._lease.release(self._id)
        except Exception:  # not built to its end, or the interpreter goes down
            pass

    # Calls

    def _options(self, timeout):
        options = {"owner": owner()}
        if timeout is not None:
            options["timeout_ms"] = milliseconds(timeout)
        return options

    def _call(self, op, *args, timeout=None, undo=None):
        """Calls an operation of PROTOCOL.md. timeout in seconds; None for no limit."""
        connection = self._client.connection()
        if self._lease is not connection:
            connection = self._client.renew(self)
        return connection.call("call", [self._id, op, list(args), self._options(timeout)], undo=undo)

    def call_async(self, op, *args, timeout=None):
        """Begins an operation of PROTOCOL.md; result() of what it returns waits for the answer. Many may be under way at once."""
        connection = self._client.connection()
        if self._lease is not connection:
            connection = self._client.renew(self)
        return connection.start("call", [self._id, op, list(args), self._options(timeout)])

    def _callmethod(self, methodname, args=(), kwds={}):
        """As in multiprocessing: calls a method by its Python name."""
        if methodname in ("__repr__", "__str__"):
            return self._text()
        return getattr(self, methodname)(*args, **kwds)

    def _getvalue(self):
        """A copy of what is in the object."""
        raise TypeError(f"a {self._kind} cannot be copied")

    # About the object

    @property
    def id(self):
        """What names the object in its manager."""
        return self._id

    def describe(self):
        """What the manager tells of the object: name, text, references, waiters."""
        return self._client.connection().call("describe", [self._id, {}])

    def keep(self, on=True):
        """Whether the object shall stay when nobody refers to it; returns whether it did."""
        return self._client.connection().call("keep", [self._id, on, {}])

    def _reference(self):
        if self._lease is not self._client.connection():
            self._client.renew(self)
        return Reference(self._instance, self._id)

    def __eq__(self, other):
        if not isinstance(other, BaseProxy):
            return NotImplemented
        return (self._instance, self._id) == (other._instance, other._id)

    def __hash__(self):
        return hash((self._instance, self._id))

    def __repr__(self):
        return f"<{type(self).__name__} object, typeid {_TYPEIDS.get(self._kind, self._kind)!r} at {builtin_id(self):#x}>"

    def __str__(self):
        try:
            return self._text()
        except Exception:
            return repr(self)[:-1] + "; '__str__()' failed>"

    def _text(self):
        return self.describe()["text"]

    # Other processes. Whoever unpickles a proxy takes a lease of his own: until then the sender must keep one.

    def __reduce__(self):
        client = self._client
        if client.context is not None:
            raise TypeError("a proxy over TLS cannot be pickled: connect in the other process, and attach")
        key = client.authkey if get_spawning_popen() is not None else None
        return rebuild, (client.address, self._instance, self._id, self._kind, key, self._extras())

    def _extras(self):
        return {}

    def __copy__(self):
        return self._client.lend(self._id, self._kind, self._instance)

    def __deepcopy__(self, memo):
        return self._getvalue()


builtin_id = id


# The names of the methods that make them, which repr shows as in multiprocessing.
_TYPEIDS = {
    "namespace": "Namespace", "value": "Value", "array": "Array", "lock": "Lock", "rlock": "RLock", "semaphore": "Semaphore",
    "bounded_semaphore": "BoundedSemaphore", "condition": "Condition", "event": "Event", "barrier": "Barrier", "queue": "Queue",
    "joinable_queue": "JoinableQueue", "simple_queue": "SimpleQueue", "lifo_queue": "LifoQueue", "priority_queue": "PriorityQueue", "pool": "Pool",
}  # fmt: skip


def rebuild(address, instance, id, kind, key, extras):
    proxy = Client.shared(address, key).lend(id, kind, instance)
    proxy.__dict__.update(extras)
    return proxy


class PerThread(threading.local):
    """What the last call of this thread was told."""

    held = None
