"""Shared objects and workers of Multiproc, for Python. The standard library only; see README.md beside this package."""
from . import _containers, _queues, _sync  # noqa: F401 (they register their proxies)
from ._containers import ArrayProxy, DictProxy, ListProxy, NamespaceProxy, ValueProxy
from ._errors import (
    AuthenticationError, Cancelled, Denied, Exists, Gone, LimitReached, ManagerGone, NotOwner, RemoteError, ShutDown, UnknownKind, UnknownObject,
)  # fmt: skip
from ._proxy import BaseProxy
from ._queues import AsyncResult, PoolProxy, QueueProxy, ResultTimeout
from ._stream import ProtocolError
from ._sync import BarrierProxy, ConditionProxy, EventProxy, Held, LockProxy, RLockProxy, SemaphoreProxy
from ._values import Blob, Ext, Fault, Handle, Map, Reference
from .managers import Manager, SyncManager
