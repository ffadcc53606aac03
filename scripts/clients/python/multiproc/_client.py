"""A process's way to a manager: its connection, the proxies that hold leases on it, and what a fork does to both."""
import collections
import os
import threading
import weakref

from ._connection import Connection
from ._errors import Gone, ManagerGone
from ._values import Blob, Reference

_clients = weakref.WeakSet()
_owners = threading.local()
_owner_numbers = iter(range(1, 1 << 62))

PROXIES = {}  # kind: class


def proxy_for(*kinds):
    """Registers a class as the proxy of objects of these kinds."""

    def register(cls):
        PROXIES.update(dict.fromkeys(kinds, cls))
        cls.KIND = kinds[0]
        return cls

    return register


def owner():
    """The number of this thread as an owner of locks. It is never given to another, as the thread's ident is."""
    try:
        return _owners.number
    except AttributeError:
        _owners.number = next(_owner_numbers)
        return _owners.number


class Client:
    """Shared by a manager and all its proxies. Its connection is opened once; when it is lost, that is told to everybody until
    connect is called again: locks that were held over it are held no more, and nobody shall go on as if they were."""

    def __init__(self, address, authkey=None, context=None, pickle=False):
        self.address, self.authkey, self.context, self.pickle = address, authkey, context, pickle
        self.live = {}  # id() of a proxy: id of its object. One step each way, for it is changed from __del__
        self._kinds = {}
        self._lock = threading.RLock()
        self._connection = None
        _clients.add(self)

    @classmethod
    def shared(cls, address, authkey):
        """That of this process for an address; a new one if there is none."""
        for client in list(_clients):
            if client.address == address and client._connection is not None and client._connection.alive:
                return client
        return cls(address, authkey)

    def connect(self):
        with self._lock:
            old = self._connection
            if old is not None and old.alive:
                return old
            self._use(Connection.open(self.address, self.authkey, self.context))
            return self._connection

    def adopt(self, connection):
        self._use(connection)

    def _use(self, connection):
        connection.default = self._substitute
        connection.drop = self._drop
        connection.hooks["reference"] = self._proxy_of
        if self.pickle:
            connection.hooks["blob"] = _unpickle
        self._connection = connection
        weakref.finalize(self, Connection.close, connection).atexit = False

    def connection(self):
        connection = self._connection
        if connection is None:
            return self.connect()
        return connection

    def close(self):
        if self._connection is not None:
            self._connection.close()

    # Values

    def _substitute(self, value):
        reference = getattr(type(value), "_reference", None)
        if reference is not None:
            return reference(value)
        return Blob.pickled(value) if self.pickle else value

    def _proxy_of(self, reference):
        """A reference in a result comes with a lease: the proxy has it."""
        connection = self._connection
        if reference.instance != connection.instance:
            return reference
        return self.proxy(reference.id, self.kind_of(reference.id), connection)

    def _drop(self, reference):
        if reference.instance == self._connection.instance:
            self._connection.release(reference.id)
        return None

    def kind_of(self, id):
        kind = self._kinds.get(id)
        if kind is None:
            kind = self._kinds[id] = self.connection().call("describe", [id, {}])["kind"]
        return kind

    # Leases

    def proxy(self, id, kind, lease):
        """A proxy with one lease on the object, which it holds over the connection lease."""
        self._kinds[id] = kind
        return PROXIES.get(kind, PROXIES[None])(self, id, kind, lease)

    def lend(self, id, kind, instance):
        """A proxy for an object that somebody else has told of."""
        connection = self.connection()
        if connection.instance != instance:
            raise Gone(f"object {id} was one of another manager than the one at {self.address}")
        connection.call("incref", [id, 1, {}])
        return self.proxy(id, kind, connection)

    def renew(self, proxy):
        """The connection, with a lease for the proxy: it had one on a connection that is no more."""
        with self._lock:
            connection = self.connection()
            if proxy._lease is not connection:
                if proxy._instance != connection.instance:
                    raise Gone(f"object {proxy._id} was one of another manager than the one at {self.address}")
                connection.call("incref", [proxy._id, 1, {}])
                proxy._lease = connection
            return connection

    # Forks. A child inherits the proxies, and its parent may let go of its own at once. So the leases of the child are taken before
    # it is born, on a connection that the parent opens for it; it never uses the parent's (cpython#101320), and closes it, or the
    # manager would not see the parent's death.

    def before_fork(self):
        connection = self._connection
        if connection is None or not connection.alive or not self.live:
            return None
        try:
            spare = Connection.open(self.address, self.authkey, self.context)
            for id, n in collections.Counter(list(self.live.values())).items():
                spare.notify("incref", [id, n, {}])
            spare._exchange("ping", [{}])
            return spare
        except (OSError, ManagerGone):
            return None  # the child opens one when it needs it

    def after_fork(self, spare):
        self._lock = threading.RLock()
        if self._connection is None:
            return
        if spare is not None:
            self._connection.become(spare)
        else:
            self._connection.forget()
            self._connection = None


def _unpickle(blob):
    return blob.unpickle() if blob.format == Blob.PICKLE else blob


_spares = {}  # by thread: two may fork at once


def _before_fork():
    _spares[threading.get_ident()] = [(client, client.before_fork()) for client in list(_clients)]


def _after_fork_in_parent():
    for _, spare in _spares.pop(threading.get_ident(), ()):
        if spare is not None:
            spare.forget()


def _after_fork_in_child():
    own = dict((id(client), spare) for client, spare in _spares.pop(threading.get_ident(), ()))
    for spares in _spares.values():
        for _, spare in spares:
            if spare is not None:
                spare.forget()
    _spares.clear()
    for client in list(_clients):
        client.after_fork(own.get(id(client)))


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
