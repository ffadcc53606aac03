"""One connection to a manager: many calls under way at once, from any number of threads."""
import collections
import hmac
import itertools
import os
import platform
import socket
import threading
from multiprocessing import current_process

from ._errors import AuthenticationError, ManagerGone, exception_of
from ._msgpack import FormatError, pack, unpack
from ._stream import TLS, ProtocolError, Stream
from ._values import Fault

VERSION = 1
HELLO_TIMEOUT = 10  # seconds; the manager waits no longer either
_PROGRAM = f"multiproc/python {platform.python_version()}"


def connect_socket(address):
    """A socket connected to address: the path of a socket, "tcp:host:port", or (host, port)."""
    if isinstance(address, str) and address.startswith("tcp:"):
        host, _, port = address[4:].rpartition(":")
        address = host.strip("[]"), int(port)
    if isinstance(address, tuple):
        sock = socket.create_connection(address, HELLO_TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(HELLO_TIMEOUT)
        connect_path(sock, address)
        return sock
    except BaseException:
        sock.close()
        raise


def connect_path(sock, path):
    """A path may be longer than the 107 bytes of a socket address: then it is reached from its directory."""
    if len(os.fsencode(path)) <= 107:
        return sock.connect(path)
    folder, name = os.path.split(path)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)


class Pending:
    """A call under way. result() waits for its answer; any thread may."""

    __slots__ = ("_connection", "id", "sent", "_gate", "_body", "_fds", "_error", "__weakref__")

    def __init__(self, connection):
        self._connection, self.id = connection, connection.next_id()
        self.sent = []  # how much of the request is written
        self._gate = threading.Lock()  # held until there is an answer, or there will be none
        self._gate.acquire()
        self._body = self._error = None
        self._fds = ()

    def settle(self, body=None, fds=(), error=None):
        self._body, self._fds, self._error = body, fds, error
        self._gate.release()

    def done(self):
        return not self._gate.locked()

    def wait(self, timeout=None):
        """Whether there is an answer."""
        if not self._gate.acquire(timeout=-1 if timeout is None else timeout):
            return False
        self._gate.release()
        return True

    def result(self, timeout=None):
        """The result, or the exception that the fault stands for. TimeoutError leaves the call under way. It can be had once."""
        if not self.wait(timeout):
            raise TimeoutError(f"no answer within {timeout} s")
        if self._error is not None:
            raise ManagerGone(str(self._error)) from self._error
        body, self._body = self._body, None
        if body is None:
            raise ValueError("the result of this call has been taken")
        return self._connection.open_response(body, self._fds)

    def cancel(self):
        """Whether the call was still waiting; then its result is the exception Cancelled."""
        return self._connection.call("cancel", [self.id, {}])

    def __del__(self):
        try:
            if self._body is not None:  # nobody has looked at it: what it holds goes back
                self._connection.discard(self._body, self._fds)
        except Exception:  # the interpreter goes down
            pass


class Connection:
    """What is common to all threads. The objects are the affair of others: see _client.py."""

    def __init__(self, stream, first_id=1):
        self.instance = None
        self.limits = {}
        self.hooks = {}  # for unpack: reference, blob
        self.drop = None  # takes a Reference that nobody wants
        self.default = None  # for pack
        self._dropped = collections.deque()  # ids whose leases go back
        self._ids = itertools.count(first_id)
        self._adopt(stream)

    def _adopt(self, stream):
        self._stream = stream
        self._calls, self._error = {}, None
        self._reader, self._starting = None, threading.Lock()
        self.pid = os.getpid()

    @classmethod
    def open(cls, address, authkey=None, context=None):
        """Connects, says hello and proves what is asked for. context: an ssl.SSLContext, over TCP."""
        try:
            sock = connect_socket(address)
        except OSError as e:
            raise ManagerGone(f"{address}: {e.strerror or e}") from e
        try:
            name = address[0] if isinstance(address, tuple) else str(address)[4:].rpartition(":")[0].strip("[]")
            connection = cls(Stream(sock, TLS(sock, context, name) if context else None))
            connection._hello(authkey, sock.family == socket.AF_UNIX)
            sock.settimeout(None)
            return connection
        except OSError as e:
            sock.close()
            if isinstance(e, (ManagerGone, AuthenticationError)) or not isinstance(e, ConnectionError):
                raise
            raise ManagerGone(f"{address}: {e}") from e
        except BaseException:
            sock.close()
            raise

    def _hello(self, authkey, local):
        answer = self._exchange("hello", [VERSION, [], {"min": VERSION, "pid": os.getpid(), "program": _PROGRAM}])
        try:
            version, options = answer
            self.instance = int(options["instance"])
            self.limits = dict(options.get("limits") or {})
        except (TypeError, KeyError, ValueError, AttributeError):
            raise ProtocolError(f"an answer to hello that is none: {answer!r:.100}") from None
        if version != VERSION:
            raise ProtocolError(f"the manager speaks version {version}; expected {VERSION}")
        if options.get("auth") is None:
            if authkey is not None and not local:
                raise AuthenticationError("the manager does not prove that it has the key")
            return
        if options["auth"] != "hmac-sha256":
            raise AuthenticationError(f"the manager asks for {options['auth']}, which is not known here")
        self._prove(bytes(current_process().authkey if authkey is None else authkey), options["nonce"])

    def _prove(self, authkey, theirs):
        ours = os.urandom(32)

        def proof(side):
            return hmac.digest(authkey, b"multiproc manager 1 " + side + theirs + ours, "sha256")

        try:
            answer = self._exchange("auth", [ours, proof(b"client"), {}])
        except PermissionError as e:
            raise AuthenticationError(str(e)) from None
        if not hmac.compare_digest(answer[0], proof(b"server")):
            raise AuthenticationError("the manager has another key")

    def _exchange(self, method, params):
        """A request and its answer before there is a thread that reads."""
        self._stream.write(pack([0, self.next_id(), method, params]))
        frame = self._stream.read()
        if frame is None:
            raise ManagerGone("the manager has closed the connection")
        return self.open_response(*frame)

    def next_id(self):
        return next(self._ids)

    # Requests

    def call(self, method, params, fds=(), undo=None):
        """The result of a request. What interrupts the wait (KeyboardInterrupt) cancels the call; if it was too late for that,
        undo(result) is called before the interrupt goes on."""
        pending = Pending(self)
        try:
            self._send(pending, method, params, fds)
            pending.wait()
        except ManagerGone:
            raise
        except BaseException:
            self._abandon(pending, undo)
            raise
        return pending.result()

    def start(self, method, params):
        """Sends a request and returns without its answer."""
        pending = Pending(self)
        try:
            self._send(pending, method, params)
        except ManagerGone:
            raise
        except BaseException:
            self._abandon(pending, None)
            raise
        return pending

    def notify(self, method, params):
        self._write(pack([2, method, params]))

    def _send(self, pending, method, params, fds=()):
        own = []
        body = pack([0, pending.id, method, params], default=self.default, levels=136, fds=own if fds is not None else None)
        self._start_reader()
        self._calls[pending.id] = pending
        if self._error is not None:  # the reader may have ended before it could see this call
            self._calls.pop(pending.id, None)
            raise ManagerGone(str(self._error)) from self._error
        self._write(body, own, pending.sent)

    def _write(self, body, fds=(), sent=None):
        try:
            self._stream.write(body, fds, sent)
        except OSError as e:
            raise ManagerGone(f"the connection to the manager has ended: {e}") from e
        if self._dropped:
            self._give_back()

    def release(self, id):
        """Gives one lease back. It may be called from __del__, so at any point of any thread: it waits for no lock."""
        self._dropped.append(id)
        if self._reader is not threading.current_thread():
            self._give_back()

    def _give_back(self):
        """Whoever has the stream, writes what has been dropped: whoever could not have it knows that the other looks again."""
        try:
            while self._dropped and self._stream.try_write(self._decref):
                pass
        except (OSError, IndexError):
            pass

    def _decref(self):
        """The frame for an id that has been dropped, and for the same ones next to it."""
        id, n = self._dropped.popleft(), 1
        while self._dropped and self._dropped[0] == id:
            self._dropped.popleft()
            n += 1
        return pack([2, "decref", [id, n, {}]])

    def _abandon(self, pending, undo):
        """Sees to it that a call which nobody waits for has done nothing, or what it did is undone."""
        if not pending.sent:
            self._calls.pop(pending.id, None)
            return
        try:
            self.notify("cancel", [pending.id, {}])
            result = pending.result()
            if undo is not None:
                undo(result)
        except Exception:  # cancelled, as a rule; or there is no connection any more
            pass

    # Responses

    def _start_reader(self):
        if self._reader is None and self._error is None:
            with self._starting:
                if self._reader is None:
                    self._reader = threading.Thread(target=self._read, name="multiproc reader", daemon=True)
                    self._reader.start()

    def _read(self):
        stream, error = self._stream, None
        try:
            while True:
                frame = stream.read()
                if frame is None:
                    break
                pending = self._calls.pop(_response_id(frame[0]), None)
                if pending is None:
                    raise ProtocolError("an answer to nothing")
                pending.settle(*frame)
                del pending, frame  # or the last one would live until the next
        except Exception as e:
            error = e
        self._fail(error or ManagerGone("the manager has ended the connection"))
        stream.close()

    def _fail(self, error):
        self._error = self._error or error
        while self._calls:
            try:
                self._calls.popitem()[1].settle(error=self._error)
            except KeyError:
                pass

    def open_response(self, body, fds):
        """The result in the body of a response."""
        fds = list(fds)
        try:
            response = unpack(body, levels=136, fds=fds, **self.hooks)
        finally:
            for fd in fds:
                if fd is not None:
                    os.close(fd)
        if type(response) is not list or len(response) != 4:
            raise ProtocolError("not a response")
        if response[2] is not None:
            raise exception_of(Fault.of_array(response[2]))
        return response[3]

    def discard(self, body, fds):
        for fd in fds:
            os.close(fd)
        unpack(body, levels=136, reference=self.drop)

    # Ends

    @property
    def alive(self):
        return self._error is None and self.pid == os.getpid()

    def close(self):
        """Ends the connection: what was held over it is given back, and every call under way ends with ManagerGone."""
        if self._error is None:
            self._error = ManagerGone("the connection is closed")
        self._stream.shutdown()
        if self._reader is None:
            self._stream.close()

    def forget(self):
        """In a process that has inherited the connection: closes its copy, which tells the manager nothing."""
        self._error = ManagerGone("the connection belongs to the parent process")
        self._stream.close()

    def become(self, other):
        """In a child process: goes on as another connection, which nobody else uses, and on which the same leases are held."""
        self._stream.close()
        self._adopt(other._stream)


def _response_id(body):
    """The id in the body of a response; the rest is read by who waits for it."""
    if len(body) < 3 or body[0] != 0x94 or body[1] != 1:
        raise ProtocolError(f"not a response: {body[:16].hex()}")
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(body[2])
    if size is None:
        if body[2] > 127:
            raise FormatError("the id is no number")
        return body[2]
    return int.from_bytes(body[3 : 3 + size], "big")
