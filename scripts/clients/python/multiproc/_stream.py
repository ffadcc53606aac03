"""Frames over a socket: a header of eight bytes, a body, and perhaps descriptors."""
import array
import collections
import os
import socket
import ssl
import struct
import threading

MAX_BODY = 67_174_400
MAX_FDS = 64
_HEADER = struct.Struct(">IBBH")
_CHUNK = 1 << 16
_SPACE = socket.CMSG_SPACE(4 * 253)


class ProtocolError(ConnectionError):
    """The peer sent what is no frame, or no message, of this protocol; the connection is of no use any more."""


class Stream:
    """One connection. One thread may read while others write; each frame is written whole."""

    def __init__(self, sock, tls=None, max_body=MAX_BODY):
        self._sock, self._tls = sock, tls
        self.max_body = max_body
        self._unix = sock.family == socket.AF_UNIX
        self._buffer, self._fds = bytearray(), collections.deque()
        self._writing = threading.Lock()

    def write(self, body, fds=(), sent=None):
        """Sends one frame. What interrupts it (KeyboardInterrupt) is raised when the frame is sent whole, or not at all:
        then sent, a list, is empty. A second interrupt ends the connection."""
        if len(body) > self.max_body:
            raise ValueError(f"frame too large: {len(body)} > {self.max_body} bytes")
        if len(fds) > MAX_FDS or fds and not self._unix:
            raise ValueError(f"{len(fds)} descriptors cannot be sent here")
        with self._writing:
            self._write_locked(body, fds, [] if sent is None else sent)

    def try_write(self, body):
        """Writes the frame that body() is, unless somebody writes at the moment; whether it did."""
        if not self._writing.acquire(blocking=False):
            return False
        try:
            self._write_locked(body(), (), [])
            return True
        finally:
            self._writing.release()

    def _write_locked(self, body, fds, sent):
        frame = memoryview(_HEADER.pack(len(body), len(fds), 0, 0) + body)
        if self._tls:
            frame = self._encrypt(frame)
        try:
            self._push(frame, sent, fds)
        except OSError:
            self.shutdown()
            raise
        except BaseException:
            if 0 < sum(sent) < len(frame):
                self._finish(frame, sent)
            raise

    def _push(self, frame, sent, fds=()):
        while sum(sent) < len(frame):
            rest = frame[sum(sent) :]
            # The call and the record of what it did are one step to the interpreter: no signal handler runs between them.
            if fds and not sent:
                control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
                sent.extend(map(self._sock.sendmsg, ([rest],), (control,)))
            else:
                sent.extend(map(self._sock.send, (rest,)))

    def _finish(self, frame, sent):
        try:
            self._push(frame, sent)
        except BaseException:
            self.shutdown()
            raise

    def _encrypt(self, frame):
        try:
            return memoryview(self._tls.encrypt(frame))
        except BaseException:  # interrupted who knows where: the records would not fit together any more
            self.shutdown()
            raise

    def read(self):
        """The next frame, (body, fds); None when the peer has ended the connection between two frames."""
        header = self._take(_HEADER.size)
        if header is None:
            return None
        length, count, flags, reserved = _HEADER.unpack(header)
        if length == 0 or length > self.max_body or count > MAX_FDS or flags or reserved:
            raise ProtocolError(f"bad header {header.hex()}")
        body = self._take(length)
        if body is None:
            raise ProtocolError("the connection ended within a frame")
        if len(self._fds) < count:
            raise ProtocolError(f"{len(self._fds)} descriptors for a frame with {count}")
        return body, [self._fds.popleft() for _ in range(count)]

    def _take(self, n):
        while len(self._buffer) < n:
            data = self._receive(max(_CHUNK, min(n - len(self._buffer), 1 << 20)))
            if not data:
                if self._buffer:
                    raise ProtocolError("the connection ended within a frame")
                return None
            self._buffer += data
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    def _receive(self, n):
        if self._tls:
            return self._tls.receive(self._sock, n)
        if not self._unix:
            return self._sock.recv(n)
        data, control, flags, _ = self._sock.recvmsg(n, _SPACE, socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(content[: len(content) // fds.itemsize * fds.itemsize])
                self._fds.extend(fds)
        if flags & socket.MSG_CTRUNC or len(self._fds) > 4 * MAX_FDS:
            raise ProtocolError("too many descriptors")
        return data

    def buffered(self):
        """Whether there is something to read that no poll would show."""
        return len(self._buffer) > 0

    def shutdown(self):
        """Ends the connection for both sides; a read that waits returns."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        """Closes the descriptors. It is for the thread that reads: no other closes what that one waits on."""
        self._sock.close()
        while self._fds:
            os.close(self._fds.popleft())


class TLS:
    """TLS without a socket: OpenSSL is never asked to read in one thread while it writes in another, which older Pythons do not guard."""

    def __init__(self, sock, context, name):
        self._lock = threading.Lock()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_hostname=name)
        self._handshake(sock)

    def _handshake(self, sock):
        while True:
            try:
                self._object.do_handshake()
                wants = False
            except ssl.SSLWantReadError:
                wants = True
            if self._out.pending:
                sock.sendall(self._out.read())
            if not wants:
                return
            data = sock.recv(_CHUNK)
            if not data:
                raise ConnectionError("the connection ended during the TLS handshake")
            self._in.write(data)

    def encrypt(self, data):
        with self._lock:
            while data:
                data = data[self._object.write(data) :]
            return self._out.read()

    def receive(self, sock, n):
        """Up to n bytes; none at the end."""
        while True:
            with self._lock:
                try:
                    return self._object.read(n)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLZeroReturnError:
                    return b""
            data = sock.recv(_CHUNK)
            if not data:
                return b""
            with self._lock:
                self._in.write(data)
