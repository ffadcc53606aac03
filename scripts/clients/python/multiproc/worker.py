"""The worker side: a program whose tasks a master runs.

    #!/usr/bin/env python3
    from multiproc.worker import main, task

    @task("square")
    def square(n):
        return n * n

    if __name__ == "__main__":
        main()

    master -worker ./squares.py -workers 4 -job job.json

A task has one argument, the ticket's, and returns the result; what it raises fails the ticket, with its traceback. Tasks run in the main
thread, one after the other. When a ticket is cancelled or its time is over, Cancelled is raised in the task, as KeyboardInterrupt
would be; current() tells more. A task may use a manager; its lease and locks are the process's, and end with it.
"""
import contextlib
import os
import queue
import select
import signal
import sys
import threading
import time
import traceback

from ._msgpack import FormatError, LimitError, pack, unpack
from ._orphans import adopt_orphans, kill_descendants
from ._stream import ProtocolError, Stream

VERSION = 1
_FD = 3
_VARIABLE = "MULTIPROC_WORKER"
DONE, FAILED, MISUSE, TROUBLE = 0, 1, 100, 111

_tasks = {}
_current = threading.local()


class Cancelled(BaseException):
    """Raised in a task whose ticket was cancelled or whose time is over. No Exception: except Exception shall not swallow it."""


def task(name):
    """Makes a function a task that a master can run under this name."""

    def register(function):
        if name in _tasks:
            raise ValueError(f"there is a task {name!r} already")
        _tasks[name] = function
        return function

    return register


class Run:
    """The run that is under way."""

    def __init__(self, id, task, args, options):
        self.id, self.task, self.args = id, task, args
        self.ticket = options.get("ticket")
        self.attempt, self.attempts = options.get("attempt"), options.get("attempts")
        self.seq = options.get("seq")
        left = options.get("timeout_ms")
        self.deadline = time.monotonic() + left / 1000 if left else None
        self.reason = None  # why it was cancelled
        self.cancelled = threading.Event()

    def remaining(self):
        """Seconds until its time is over; None if there is no limit."""
        return None if self.deadline is None else max(0, self.deadline - time.monotonic())


def current():
    """The run of the task that calls this; None outside of one."""
    return getattr(_current, "run", None)


def main(initializer=None):
    """Serves the tasks until the master has no more; it does not return. initializer() is called before the first."""
    worker = _inherited()
    if worker is None:
        print(f"{sys.argv[0]}: not started by a master; run: master -worker {sys.argv[0]} -job FILE", file=sys.stderr)
        sys.exit(MISUSE)
    status = worker.serve(initializer)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    sys.exit(status)


def _inherited():
    """What the environment says this process is; None if it is no worker."""
    role = os.environ.pop(_VARIABLE, "").split(":")
    try:
        stat = os.fstat(_FD)
    except OSError:
        return None
    if role[:2] != [str(_FD), str(stat.st_ino)] or not os.path.stat.S_ISSOCK(stat.st_mode):
        return None  # left over from another process
    os.set_inheritable(_FD, False)
    import socket

    stream = Stream(socket.socket(fileno=_FD))
    return _Entry(stream) if role[2:] == ["entry"] else _Worker(stream)


class _Worker:
    def __init__(self, stream):
        self.stream = stream
        self.inbox = queue.SimpleQueue()  # of runs, and None at the end
        self.run = None  # what is under way or waits to begin
        self.stopping = False  # no run begins any more
        self.terminated = False  # by SIGTERM
        self.interruptible = False  # the task is being run: Cancelled may be raised
        self.lock = threading.Lock()

    # The life of the process

    def serve(self, initializer):
        """Until the end; returns the exit status."""
        _be_worker()
        signal.signal(signal.SIGTERM, self.on_sigterm)
        signal.signal(signal.SIGUSR1, self.on_cancel)
        self.send([0, 1, "hello", [VERSION, sorted(_tasks), {"min": VERSION, "pid": os.getpid(), "program": "multiproc/python"}]])
        welcome = self.receive()
        if welcome is None:
            return FAILED
        body, fds = welcome
        message = unpack(body, levels=136, fds=fds)
        if message[:2] != [1, 1]:
            raise ProtocolError("no answer to hello")
        if message[2] is not None:
            print(f"the master refuses this worker: {message[2][1]}", file=sys.stderr)
            return MISUSE
        options = message[3][1]
        if options.get("data_limit"):
            _limit_data(options["data_limit"])
        try:
            if initializer is not None:
                initializer()
        except Exception as e:
            self.send([2, "ready", [_fault("error", e), {}]])
            traceback.print_exc()
            return FAILED
        self.send([2, "ready", [None, {}]])
        threading.Thread(target=self.read, name="multiproc reader", daemon=True).start()
        return self.work()

    def work(self):
        while True:
            run = self.inbox.get()
            if run is None:
                break
            self.answer(run, *self.execute(run))
            if self.terminated:
                break
        return self.end(DONE)

    def end(self, status):
        """The last thing: nobody below this process goes on. SIGTERM may be the kernel's word that the master is dead, before the end
        of file."""
        kill_descendants()
        if self.terminated:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        return status

    # The thread that reads

    def read(self):
        try:
            while True:
                self.watch_clock()
                frame = self.receive()
                if frame is None:
                    break
                self.handle(*frame)
        except Exception:
            traceback.print_exc()
        kill_descendants()  # the master is gone, or is not to be trusted
        os._exit(FAILED)

    def watch_clock(self):
        """Returns when there is something to read; the time of the run is kept meanwhile."""
        while not self.stream.buffered():
            run = self.run
            left = None
            if run is not None and run.deadline is not None and not run.cancelled.is_set():
                left = run.deadline - time.monotonic()
                if left <= 0:
                    self.cancel(run, "timeout")
                    continue
            if select.select([_FD], [], [], left)[0]:
                return

    def handle(self, body, fds):
        message = self.open(body, fds)
        if message[0] == 0:
            return self.request(*message[1:])
        if message[0] != 2:
            raise ProtocolError("an answer to nothing")
        method, params = message[1:]
        if method == "cancel":
            run = self.run
            if run is not None and run.id == params[0]:
                self.cancel(run, params[1].get("reason") or "cancelled")
        elif method == "stop":
            self.stop()

    def open(self, body, fds):
        """The message in a frame; what was sent with it and is not in it is closed."""
        fds = list(fds)
        try:
            message = unpack(body, levels=136, fds=fds)
        finally:
            for fd in fds:
                if fd is not None:
                    os.close(fd)
        if type(message) is not list or len(message) != {0: 4, 2: 3}.get(message[0]):
            raise ProtocolError("no message")
        return message

    def request(self, id, method, params):
        fault = None
        if method != "run":
            fault = ["unknown_method", f"unknown method {method}", {}]
        else:
            name, args, options = params
            with self.lock:
                if self.stopping:
                    fault = ["stopping", "the worker was told to stop", {}]
                elif self.run is not None:
                    fault = ["busy", "the worker has a run already", {}]
                elif name not in _tasks:
                    fault = ["unknown_task", f"unknown task {name}", {}]
                else:
                    self.run = Run(id, name, args, options)
                    self.inbox.put(self.run)
        if fault is not None:
            self.send([1, id, fault, None])

    def cancel(self, run, reason):
        run.reason = run.reason or reason
        run.cancelled.set()
        # A signal, so that it wakes the main thread from whatever it waits in.
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    def stop(self):
        with self.lock:
            self.stopping = True
        self.inbox.put(None)

    # The main thread

    def on_cancel(self, *_):
        run = self.run
        if self.interruptible and run is not None and run.cancelled.is_set():
            self.interruptible = False  # once
            raise Cancelled(run.reason)

    def on_sigterm(self, *_):
        self.stopping = self.terminated = True
        run = self.run
        if run is not None:
            run.reason = run.reason or "shutdown"
            run.cancelled.set()
        self.inbox.put(None)
        self.on_cancel()

    def execute(self, run):
        """(fault, result) of a run; one of them is None."""
        _current.run = run
        try:
            try:
                self.interruptible = True
                self.on_cancel()  # what came before
                result = _tasks[run.task](run.args)
            finally:
                self.interruptible = False
            return None, result
        except Cancelled as e:
            return _fault("timeout" if run.reason == "timeout" else "cancelled", e), None
        except BaseException as e:  # SystemExit too: there is to be an answer
            return _fault("error", e), None
        finally:
            _current.run = None
            run.args = None

    def answer(self, run, fault, result):
        try:
            body = pack([1, run.id, fault, result], levels=136)
            if len(body) > self.stream.max_body:
                raise LimitError(f"{len(body)} > {self.stream.max_body} bytes")
        except LimitError as e:
            body = pack([1, run.id, _fault("too_large", e), None], levels=136)
        except Exception as e:
            body = pack([1, run.id, _fault("result", e), None], levels=136)
        with self.lock:
            self.run = None  # before the answer: the next run may come at once
        self.write(body)

    # The wire

    def send(self, message):
        self.write(pack(message, levels=136))

    def write(self, body):
        try:
            self.stream.write(body)
        except OSError:
            self.lost()

    def receive(self):
        try:
            return self.stream.read()
        except ConnectionError as e:
            if isinstance(e, ProtocolError):
                raise
            return None  # reset: the master is gone

    def lost(self):
        kill_descendants()
        os._exit(FAILED)


class _Entry(_Worker):
    """A process that runs one function: a task, by its name, whose result is dropped."""

    def serve(self, initializer):
        _be_worker()
        signal.signal(signal.SIGTERM, self.on_sigterm)
        signal.signal(signal.SIGUSR1, self.on_cancel)
        frame = self.receive()
        if frame is None:
            return FAILED
        version, name, args, options = self.open(*frame)[2]
        if version != VERSION or name not in _tasks:
            print(f"no entry {name!r}; there are {sorted(_tasks)}", file=sys.stderr)
            return MISUSE
        threading.Thread(target=self.read, name="multiproc reader", daemon=True).start()
        if initializer is not None:
            initializer()
        self.run = Run(0, name, args, {})
        fault, _ = self.execute(self.run)
        if fault is not None and not self.terminated:
            print(fault[2].get("stack") or fault[1], file=sys.stderr)
        return self.end(DONE if fault is None else FAILED)


def _be_worker():
    """Ctrl-C is the master's affair, what a task prints is seen at once, and whoever leaves a task's process falls to this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(line_buffering=True)


def _limit_data(limit):
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _fault(kind, error):
    """An exception as a fault, with its traceback."""
    text = "".join(traceback.format_exception_only(type(error), error)).strip() or type(error).__name__
    stack = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if len(stack) > 8000:  # of at most 4 bytes each
        stack = stack[:4000] + "\n…\n" + stack[-3990:]
    return [kind, text[:4000].encode(errors="replace").decode(), {"stack": stack.encode(errors="replace").decode()}]
