"""Faults as exceptions: those of Python where there is one, each with the fault as its attribute fault."""
import queue
import threading
from multiprocessing import AuthenticationError


class ManagerGone(ConnectionError, EOFError):
    """The connection to the manager has ended, or the manager has: nothing that was held over it is held any more."""


class RemoteError(Exception):
    """A fault of a manager or of a task that Python has no exception for."""

    @property
    def kind(self):
        return self.fault.kind


class Gone(RemoteError):
    """The object has ended."""


class UnknownObject(RemoteError, LookupError):
    """There is no object of this name or id."""


class UnknownKind(RemoteError, ValueError):
    """There are no objects of this kind."""


class Exists(RemoteError):
    """The name is taken."""


class LimitReached(RemoteError):
    """A limit of the connection, or of the size of a value."""


class Cancelled(RemoteError):
    """The call was cancelled."""


class Denied(RemoteError, PermissionError):
    """Not allowed here."""


class NotOwner(RuntimeError, AssertionError):
    """A lock that the calling thread does not hold. CPython raises the one in threads, the other in processes."""


ShutDown = getattr(queue, "ShutDown", None)  # of Python 3.13 and later
if ShutDown is None:

    class ShutDown(Exception):
        """The queue is shut down."""


_EXCEPTIONS = {
    "index_error": IndexError,
    "attribute_error": AttributeError,
    "value_error": ValueError,
    "type_error": TypeError,
    "overflow": OverflowError,
    "changed": RuntimeError,
    "empty": queue.Empty,
    "full": queue.Full,
    "closed": ShutDown,
    "not_locked": NotOwner,
    "not_owner": NotOwner,
    "broken_barrier": threading.BrokenBarrierError,
    "timeout": TimeoutError,
    "cancelled": Cancelled,
    "gone": Gone,
    "unknown_object": UnknownObject,
    "unknown_kind": UnknownKind,
    "unknown_method": AttributeError,
    "exists": Exists,
    "too_many": LimitReached,
    "too_large": LimitReached,
    "denied": Denied,
    "arguments": TypeError,
}


def exception_of(fault):
    """The exception that is raised for a fault."""
    if fault.kind == "key_error":
        error = KeyError(fault.value)
    else:
        make = _EXCEPTIONS.get(fault.kind, RemoteError)
        text = f"{fault.kind}: {fault.text}" if make is RemoteError else fault.text
        error = make(text + (f"\n{fault.stack}" if make is RemoteError and fault.stack else ""))
    error.fault = fault
    return error
