"""The manager as a program sees it: SyncManager and Manager, as in multiprocessing.managers."""
import contextlib
import os
import select
import shutil
import subprocess
import tempfile
import weakref

from ._client import Client
from ._errors import Denied, Gone, ManagerGone
from ._proxy import BaseProxy
from ._queues import PoolProxy
from ._values import Handle, Reference

START_TIMEOUT = 10  # seconds in which a manager that was started must listen


class SyncManager:
    """A connection to a manager, and a maker of objects in it.

    address    the path of its socket, "tcp:host:port" or (host, port)
    authkey    bytes; only if the manager asks for a key. By default that of multiprocessing.current_process()
    context    an ssl.SSLContext, for TLS over TCP
    pickle     lets any Python object be a value: it is pickled, and unpickled here. Only where all clients of the manager are trusted,
               for who can store a value can then run code here

    connect() joins a manager that is there; start() starts one. Used with "with", it starts unless it is connected, and shuts down
    at the end what it has started.
    """

    def __init__(self, address=None, authkey=None, *, context=None, pickle=False, master=None):
        address = os.fspath(address) if isinstance(address, os.PathLike) else address
        self._client = Client(address, authkey, context, pickle)
        self._master = master
        self._process = self._folder = None
        self._extras = {}

    @property
    def address(self):
        return self._client.address

    def connect(self):
        """Connects, or connects again after the connection was lost: then proxies work again whose objects are still there, but what was
        held (locks, permits) is not held any more."""
        if self.address is None:
            raise ValueError("no address to connect to")
        self._client.connect()

    def start(self, *args):
        """Starts a manager of its own: master manager -listen ADDRESS, and these arguments ("-persist", "DIR"). The program is the argument
        master of this manager, or $MULTIPROC_MASTER, or "master" in PATH. With an authkey, of 16 bytes or more, clients must have it."""
        if self._process is not None:
            raise RuntimeError("the manager is started already")
        program = self._master or os.environ.get("MULTIPROC_MASTER") or "master"
        if self.address is None:
            self._folder = tempfile.mkdtemp(prefix="multiproc-")
            self._client.address = os.path.join(self._folder, "manager")
        try:
            with _key_pipe(self._client.authkey) as fds:
                # A session of its own: Ctrl-C is for the program, which ends the manager when it has cleaned up.
                self._process = subprocess.Popen(
                    [program, "manager", "-listen", _text(self.address), "-until-eof", *(f"-key-fd={fd}" for fd in fds), *args],
                    stdin=subprocess.PIPE,  # never written: it ends with this process, and the manager with it
                    stdout=subprocess.PIPE, start_new_session=True, pass_fds=fds,
                )  # fmt: skip
            self._finalizer = weakref.finalize(self, _end, self._process, os.getpid())
            self._wait_until_it_listens()
            self._client.connect()
        except BaseException:
            self._end_process()
            raise

    def _wait_until_it_listens(self):
        with self._process.stdout as out:
            if not select.select([out], [], [], START_TIMEOUT)[0]:
                raise RuntimeError(f"the manager does not listen after {START_TIMEOUT} s")
            line = out.readline().decode()
        if not line.startswith("listening on "):
            raise RuntimeError(f"the manager ended with status {self._process.wait()}")
        self._client.address = line[len("listening on ") :].rstrip("\n")

    def shutdown(self):
        """Ends the manager if it was started here; again: nothing. Elsewhere it only ends the connection."""
        if self._process is not None:
            with contextlib.suppress(ManagerGone, Denied):  # over TCP a signal has to do
                self._request("shutdown", {})
        self._client.close()
        self._end_process()

    def _end_process(self):
        process, self._process = self._process, None
        if process is not None:
            self._finalizer.detach()
            _end(process, os.getpid())
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = self._client.address = None

    def join(self, timeout=None):
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)

    def __enter__(self):
        if self._process is None and self._client._connection is None:
            self.start()
        return self

    def __exit__(self, *error):
        self.shutdown()

    def __reduce__(self):
        raise TypeError("a manager cannot be pickled: connect another one to its address, or pass proxies")

    # Objects

    def named(self, name, keep=False, existing=False):
        """This manager, with a name for what is created through it: manager.named("jobs").Queue(). keep: it stays when nobody refers to it.
        existing: what has this name and kind already is used instead."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _process=None, _folder=None)
        other._extras = {"name": name, "keep": keep, "existing": existing}
        return other

    def create(self, kind, *args, **extras):
        """A new object of a kind of PROTOCOL.md. extras: name, keep, existing, as of named."""
        connection = self._client.connection()
        id, about = connection.call("create", [kind, list(args), dict(self._extras, **extras)])
        return self._client.proxy(id, about["kind"], connection)

    def attach(self, name):
        """The object of this name, this id, or of a Reference that came on another way (a task's argument)."""
        connection = self._client.connection()
        if isinstance(name, Reference):
            if name.instance != connection.instance:
                raise Gone(f"{name} is of another manager than {self.address}")
            name = name.id
        id, about = connection.call("attach", [name, {}])
        return self._client.proxy(id, about["kind"], connection)

    def dict(self, *args, **kwds):
        return self.create("dict", [[key, value] for key, value in dict(*args, **kwds).items()])

    def list(self, values=(), **extras):
        return self.create("list", list(values), **extras)

    def Namespace(self, **kwds):
        return self.create("namespace", kwds)

    def Value(self, typecode=None, value=None, lock=True, **extras):
        return self.create("value", typecode, value, **extras)

    def Array(self, typecode, sequence, lock=True, **extras):
        return self.create("array", typecode, sequence if isinstance(sequence, int) else list(sequence), **extras)

    def Lock(self, *, handoff=False, **extras):
        return self.create("lock", *_handoff(handoff), **extras)

    def RLock(self, **extras):
        return self.create("rlock", **extras)

    def Semaphore(self, value=1, *, handoff=False, **extras):
        return self.create("semaphore", value, *_handoff(handoff), **extras)

    def BoundedSemaphore(self, value=1, *, handoff=False, **extras):
        return self.create("bounded_semaphore", value, *_handoff(handoff), **extras)

    def Condition(self, lock=None, *, handoff=False, **extras):
        return self.create("condition", lock, *_handoff(handoff), **extras)

    def Event(self, **extras):
        return self.create("event", **extras)

    def Barrier(self, parties, action=None, timeout=None, **extras):
        """action runs in the process of one of the parties."""
        options = {"action": action is not None}
        if timeout is not None:
            options["timeout_ms"] = max(1, round(timeout * 1000))
        barrier = self.create("barrier", parties, options, **extras)
        barrier.action = action
        return barrier

    def Queue(self, maxsize=0, **extras):
        return self.create("queue", maxsize, **extras)

    def JoinableQueue(self, maxsize=0, **extras):
        return self.create("joinable_queue", maxsize, **extras)

    def SimpleQueue(self, maxsize=0, **extras):
        return self.create("simple_queue", maxsize, **extras)

    def LifoQueue(self, maxsize=0, **extras):
        return self.create("lifo_queue", maxsize, **extras)

    def PriorityQueue(self, maxsize=0, **extras):
        return self.create("priority_queue", maxsize, **extras)

    def Pool(self, name="pool"):
        """The pool of the master, if the manager is in one."""
        pool = self.attach(name)
        if not isinstance(pool, PoolProxy):
            raise TypeError(f"{name!r} is a {pool._kind}, not a pool")
        return pool

    def deposit(self, file, kind=2, meta=b"", **extras):
        """Leaves a descriptor (or a list of them, or an open file) under a name for others on this machine. See take."""
        fds = file if isinstance(file, (list, tuple)) else [file if isinstance(file, int) else file.fileno()]
        handle = Handle(kind, map(os.dup, fds), meta)
        connection = self._client.connection()
        id, about = connection.call("deposit", [handle, dict(self._extras, **extras)])
        return self._client.proxy(id, about["kind"], connection)

    def take(self, name):
        """What was left under a name: a Handle, whose descriptors are the caller's."""
        return self.attach(name)._call("open")

    # The manager itself

    def batch(self, calls):
        """Many operations as one step: calls are (proxy, op, *args), the result is a list of results, of which those that failed are the
        exceptions."""
        from ._client import owner
        from ._errors import exception_of
        from ._values import Fault

        sent = [[proxy._reference().id, op, list(args)] for proxy, op, *args in calls]
        answers = self._request("batch", sent, {"owner": owner()})
        return [result if fault is None else exception_of(Fault.of_array(fault)) for fault, result in answers]

    def objects(self, kind=None, prefix=None):
        """Descriptions of what the manager has; of one kind, with names that begin so."""
        return self._request("list", {key: value for key, value in (("kind", kind), ("prefix", prefix)) if value is not None})

    def stats(self):
        return self._request("stats", {})

    def ping(self):
        self._request("ping", {})

    def _request(self, method, *params):
        return self._client.connection().call(method, list(params))

    def _number_of_objects(self):
        return self.stats()["objects"]

    def _debug_info(self):
        return "\n".join(f"  {d['id']}: refcount={d['refs']}\n    {d['text']}" for d in self.objects())


def _text(address):
    return address if isinstance(address, str) else "tcp:%s:%d" % address


@contextlib.contextmanager
def _key_pipe(key):
    """The descriptors from which a manager that is started reads its key: it is in no file and on no command line."""
    if key is None:
        yield ()
        return
    fd, end = os.pipe()
    try:
        with open(end, "wb") as file:
            file.write(key)
        yield (fd,)
    finally:
        os.close(fd)


def _end(process, pid):
    """Ends a manager that was started by process pid: not by a child of that."""
    if pid != os.getpid():
        return
    process.stdin.close()
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _handoff(handoff):
    return [{"handoff": True}] if handoff else []


def Manager(address=None, authkey=None, **options):
    """A manager that is started, or with an address, connected to. See SyncManager."""
    manager = SyncManager(address, authkey, **options)
    if address is None:
        manager.start()
    else:
        manager.connect()
    return manager


BaseManager = SyncManager
__all__ = ["BaseManager", "BaseProxy", "Manager", "SyncManager"]
