"""The connection: threads, forks, interrupts, pickles, long paths, a manager that goes."""
import _thread
import gc
import multiprocessing
import os
import pickle
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import multiproc
from tests.support import ManagerTest, eventually


class TestConnection(ManagerTest):
    def test_threads_share_one(self):
        value = self.m.Value("i", 0)
        threads = [self.thread(lambda: [value.add(1) for _ in range(200)]) for _ in range(8)]
        seen = sorted(n for t in threads for n in t.result())
        self.assertEqual((seen, self.m.stats()["connections"]), (list(range(1, 1601)), 1))

    def test_a_wait_holds_up_nobody(self):
        event, value = self.m.Event(), self.m.Value("i", 1)
        thread = self.thread(event.wait)
        eventually(lambda: event.describe()["waiting"] == 1, "the waiting thread")
        self.assertEqual(value.get(), 1)
        event.set()
        self.assertTrue(thread.result())

    def test_many_under_way(self):
        value = self.m.Value("i", 0)
        pending = [value.call_async("add", 1) for _ in range(1000)]
        self.assertEqual([p.result() for p in pending], list(range(1, 1001)))
        self.assertRaises(ValueError, pending[0].result)

    def test_batch(self):
        a, b = self.m.Value("i", 1), self.m.Event()
        answers = self.m.batch([(a, "add", 1), (a, "add", "x"), (b, "set"), (a, "get")])
        self.assertEqual((answers[0], type(answers[1]), answers[2], answers[3], b.is_set()), (2, TypeError, None, 2, True))

    def test_cancel(self):
        event = self.m.Event()
        pending = event.call_async("wait")
        self.assertFalse(pending.done())
        self.assertRaises(TimeoutError, pending.result, 0.01)
        self.assertTrue(pending.cancel())
        self.assertRaises(multiproc.Cancelled, pending.result)
        self.assertFalse(pending.cancel())

    def test_names(self):
        value = self.m.named("one", keep=True).Value("i", 1)
        self.assertEqual(self.connect().attach("one").value, 1)
        self.assertRaises(multiproc.Exists, self.m.Value, "i", 2, name="one")
        self.assertEqual(self.m.Value("i", 3, name="one", existing=True), value)
        self.assertEqual([d["id"] for d in self.m.objects(kind="value", prefix="on")], [value.id])
        self.assertTrue(value.keep(False))
        del value
        eventually(lambda: self.m.stats()["objects"] == 0, "the end of the object")
        self.assertRaises(multiproc.UnknownObject, self.m.attach, "one")

    def test_errors_leave_it_usable(self):
        value = self.m.Value("i", 1)
        for do, error in (
            (lambda: value._call("fly"), AttributeError), (lambda: value._call("get", 1), TypeError), (lambda: self.m.create("car"), multiproc.UnknownKind),
            (lambda: self.m.attach("nobody"), multiproc.UnknownObject), (lambda: self.m._request("dance"), AttributeError), (lambda: value.set(object()), TypeError),
        ):  # fmt: skip
            self.assertRaises(error, do)
            self.assertEqual(value.get(), 1)

    def test_leases(self):
        value = self.m.Value("i", 1)
        others = [self.m.attach(value.id) for _ in range(10)]
        self.assertEqual(value.describe()["leases"], 11)
        others.clear()
        gc.collect()
        eventually(lambda: value.describe()["leases"] == 1, "leases given back")
        value.value = [value] * 5
        pending = value.call_async("get")  # an answer that nobody looks at
        pending.wait()
        eventually(lambda: value.describe()["leases"] == 6, "five more leases")
        del pending
        eventually(lambda: value.describe()["leases"] == 1, "leases given back")
        value.value = None

    def test_values_of_other_pythons(self):
        value = self.m.Value("i", multiproc.Blob.pickled(range(3)))
        self.assertEqual(value.value.unpickle(), range(3))
        self.assertRaises(TypeError, value.set, range(3))
        trusting = multiproc.Manager(self.m.address, pickle=True)
        self.addCleanup(trusting.shutdown)
        theirs = trusting.attach(value.id)
        theirs.value = [range(4), {1: theirs}]
        self.assertEqual(theirs.value, [range(4), {1: theirs}])
        self.assertIsInstance(value.value[0], multiproc.Blob)
        value.value = None

    def test_descriptors(self):
        with tempfile.TemporaryFile() as file:
            file.write(b"left for you")
            file.flush()
            left = self.m.deposit(file, name="file")
        fds = set(os.listdir("/proc/self/fd"))
        handle = self.connect().take("file")
        fd, = handle.detach()
        self.assertEqual(os.pread(fd, 100, 0), b"left for you")
        self.assertFalse(os.get_inheritable(fd))
        os.close(fd)
        del left, handle
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), len(fds) + 1)  # the other connection

    def test_text(self):
        value = self.m.Value("i", 1)
        self.assertRegex(repr(value), r"<ValueProxy object, typeid 'Value' at 0x[0-9a-f]+>")
        self.assertEqual((value._callmethod("get"), value._getvalue(), value._callmethod("__str__")), (1, 1, "Value('i', 1)"))
        self.assertIn("refcount=1", self.m._debug_info())
        self.assertEqual(self.m._number_of_objects(), 1)


class TestInterrupt(ManagerTest):
    def interrupt_when(self, proxy):
        def do():
            eventually(lambda: proxy.describe()["waiting"] == 1, "the main thread")
            os.kill(os.getpid(), signal.SIGINT)

        return self.thread(do)

    def test_cancels_the_wait(self):
        event, value = self.m.Event(), self.m.Value("i", 1)
        for _ in range(20):
            thread = self.interrupt_when(event)
            self.assertRaises(KeyboardInterrupt, event.wait)
            thread.result()
            self.assertEqual((self.m.stats()["waiting"], value.get()), (0, 1))

    def test_at_any_moment(self):
        """A storm of signals loses neither an answer nor its place."""
        value, done, rounds = self.m.Value("i", 0), [], 0
        stop = threading.Event()

        class Bang(Exception):
            pass

        def bang(*_):
            raise Bang

        def storm():
            while not stop.is_set():
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR2)
                stop.wait(0.0007)

        old = signal.signal(signal.SIGUSR2, bang)
        thread = None
        try:
            end = time.monotonic() + 5
            while time.monotonic() < end:
                try:
                    if thread is None:
                        thread = threading.Thread(target=storm, daemon=True)
                        thread.start()
                    while time.monotonic() < end:
                        rounds += 1
                        n = value.add(1)
                        done.append(n)
                except Bang:
                    pass
        finally:
            while True:
                try:
                    stop.set()
                    thread.join()
                    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
                    break
                except Bang:
                    pass
            signal.signal(signal.SIGUSR2, old)
        self.assertEqual(done, sorted(set(done)))
        self.assertGreater(len(done), 50)
        self.assertTrue(len(done) <= value.get() <= rounds, (len(done), value.get(), rounds))


class TestFork(ManagerTest):
    def test_child_has_its_own(self):
        value, event = self.m.Value("i", 0), self.m.Event()

        def count():
            for _ in range(100):
                value.add(1)
            assert len([o for o in self.m.objects() if o["leases"] == 6]) == 2, self.m.objects()
            event.wait()

        children = [self.child(lambda: (value.add(100), event.wait())) for _ in range(4)]
        eventually(lambda: value.value == 400, "the children")
        last = self.child(count)
        eventually(lambda: event.describe()["waiting"] == 5, "five children")
        self.assertEqual(self.m.stats()["connections"], 6)
        event.set()
        self.assertEqual([c.wait() for c in [*children, last]], [0] * 5)
        self.assertEqual(value.value, 500)

    def test_parent_lets_go_at_once(self):
        """The child's lease is there before the parent can drop its own."""
        result = self.m.Value("i", 0)
        for i in range(20):
            box = [self.m.Value("i", i)]
            child = self.child(lambda: result.add(box.pop().get()))
            box.clear()
            self.assertEqual(child.wait(), 0)
        self.assertEqual(result.value, sum(range(20)))

    def test_dead_parent_is_seen(self):
        """A child that lives keeps nothing alive of a parent that is dead."""
        event, lease = self.m.Event(), self.m.Event()

        def parent():
            mine = self.m.named("of the parent").Value("i", 1)  # noqa: F841
            if os.fork() == 0:
                del mine
                event.set()
                lease.wait(20)
                os._exit(0)
            time.sleep(300)

        child = self.child(parent)
        event.wait()
        eventually(lambda: self.m.attach("of the parent").describe()["leases"] == 2, "the parent's lease")  # and ours
        child.kill()
        eventually(lambda: not self.m.objects(prefix="of"), "the end of what the dead parent held")
        lease.set()

    def test_while_other_threads_call(self):
        value, stop = self.m.Value("i", 0), threading.Event()

        def calls():
            while not stop.is_set():
                value.add(1)

        threads = [self.thread(calls) for _ in range(3)]
        try:
            for _ in range(20):
                self.assertEqual(self.child(value.add, 1).wait(), 0)
        finally:
            stop.set()
        for thread in threads:
            thread.result()


class TestPickle(ManagerTest):
    def test_same_process(self):
        value = self.m.Value("i", 1)
        again = pickle.loads(pickle.dumps(value))
        again.value = 2
        self.assertEqual((value.value, again == value, hash(again) == hash(value)), (2, True, True))

    def test_children(self):
        for method in multiprocessing.get_all_start_methods():
            with self.subTest(method=method):
                context = multiprocessing.get_context(method)
                value, event = self.m.Value("i", 0), self.m.Event()
                process = context.Process(target=child_of_pickle, args=(value, [event]))
                process.start()
                self.assertTrue(event.wait(60))
                process.join(60)
                self.assertEqual((process.exitcode, value.value), (0, 1))

    def test_pool(self):
        value = self.m.Value("i", 0)
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            self.assertEqual(sorted(pool.map(add_one, [value] * 10)), list(range(1, 11)))
        gc.collect()

    def test_manager_itself(self):
        self.assertRaises(TypeError, pickle.dumps, self.m)


def child_of_pickle(value, events):
    value.add(1)
    events[0].set()


def add_one(value):
    return value.add(1)


class TestAccess(unittest.TestCase):
    def test_key(self):
        key, own = os.urandom(32), multiprocessing.current_process().authkey
        for address in (None, ("127.0.0.1", 0), "tcp:127.0.0.1:0"):
            with multiproc.SyncManager(address, key) as m:
                value = m.Value("i", 1)
                self.assertEqual(multiproc.Manager(m.address, key).attach(value.id).value, 1)
                for wrong in (b"", key[:-1], key + b"x", os.urandom(32), None):
                    with self.assertRaises(multiproc.AuthenticationError):
                        multiproc.Manager(m.address, wrong)
                multiprocessing.current_process().authkey = key
                again = pickle.loads(pickle.dumps(value))
                self.assertEqual(again.value, 1)
                self.assertEqual(multiproc.Manager(m.address).attach(value.id).value, 1)
                multiprocessing.current_process().authkey = own

    def test_manager_without_the_key(self):
        """One that takes every client, but cannot prove that it knows the key, is not believed."""
        from multiproc._msgpack import pack, unpack

        for says, error in (({"auth": "hmac-sha256", "nonce": bytes(32)}, multiproc.AuthenticationError), ({}, multiproc.AuthenticationError), ({"auth": "plain"}, multiproc.AuthenticationError)):
            with socket.create_server(("127.0.0.1", 0)) as door:

                def serve():
                    with door.accept()[0] as peer:
                        for answer in ([1, dict(says, instance=1)], [bytes(32)]):
                            data = peer.recv(1 << 16)
                            if data:
                                body = pack([1, unpack(data[8:], levels=136)[1], None, answer])
                                peer.sendall(len(body).to_bytes(4, "big") + bytes(4) + body)

                thread = threading.Thread(target=serve)
                thread.start()
                self.assertRaises(error, multiproc.Manager, door.getsockname(), b"a key of 16 bytes")
                thread.join()

    @unittest.skipUnless(os.environ.get("MULTIPROC_TEST_CERTIFICATE"), "no certificate: the Go test makes one")
    def test_tls(self):
        certificate, key = os.environ["MULTIPROC_TEST_CERTIFICATE"].split(":")
        context = ssl.create_default_context(cafile=certificate)
        context.load_cert_chain(certificate, key)
        m = multiproc.SyncManager("tcp:127.0.0.1:0", context=context)
        m.start("-tls-cert", certificate, "-tls-key", key, "-tls-ca", certificate)
        with m:
            big, value = b"x" * (8 << 20), m.Value("i", 0)
            threads = [threading.Thread(target=lambda: [value.add(1) for _ in range(200)]) for _ in range(4)]
            for thread in threads:
                thread.start()
            l = m.list([big])
            self.assertEqual(l[0], big)
            for thread in threads:
                thread.join()
            self.assertEqual(value.value, 800)
            self.assertRaises(TypeError, pickle.dumps, value)
            stranger = ssl.create_default_context(cafile=certificate)
            for context in (stranger, None):  # without a certificate; without TLS
                with self.assertRaises((ConnectionError, OSError)):
                    multiproc.Manager(m.address, b"a key of 16 bytes", context=context)


class TestEnds(unittest.TestCase):
    def test_shutdown(self):
        m = multiproc.SyncManager()
        m.start()
        address, value = m.address, m.Value("i", 1)
        self.assertEqual(os.stat(os.path.dirname(address)).st_mode & 0o777, 0o700)
        m.shutdown()
        m.shutdown()
        self.assertFalse(os.path.exists(os.path.dirname(address)))
        for error in (multiproc.ManagerGone, EOFError, ConnectionError):
            self.assertRaises(error, value.get)
        with self.assertRaises(multiproc.ManagerGone):
            multiproc.Manager(address)

    def test_with(self):
        with multiproc.SyncManager() as m:
            self.assertEqual(m.Value("i", 1).value, 1)
        m = multiproc.Manager()
        with m, multiproc.Manager(m.address) as other:
            self.assertEqual(other.Value("i", 1).value, 1)

    def test_manager_dies(self):
        """Whoever waits is told, and so is whoever calls later."""
        m = multiproc.Manager()
        event, value = m.Event(), m.Value("i", 1)
        waiting = event.call_async("wait")
        m._process.kill()
        self.assertRaises(multiproc.ManagerGone, waiting.result)
        self.assertRaises(multiproc.ManagerGone, value.get)
        self.assertRaises(multiproc.ManagerGone, m.Event)
        m.shutdown()

    def test_program_dies(self):
        """A manager that was started by a program does not outlive it."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "manager")
            program = subprocess.Popen(
                [sys.executable, "-c", f"import multiproc; m = multiproc.SyncManager({path!r}); m.start(); print(flush=True); input()"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(multiproc.__file__))},
            )  # fmt: skip
            with program:
                program.stdout.readline()
                event = multiproc.Manager(path).Event()
                waiting = event.call_async("wait")
                program.kill()
                self.assertRaises(multiproc.ManagerGone, waiting.result)

    def test_long_path(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "d" * 120, "e" * 120, "manager")
            os.makedirs(os.path.dirname(path), 0o700)
            m = multiproc.SyncManager(path)
            m.start()
            self.assertEqual(multiproc.Manager(path).Value("i", 1).value, 1)
            m.shutdown()

    def test_no_program(self):
        self.assertRaises(OSError, multiproc.SyncManager(master="/no/such/master").start)
        self.assertRaises(RuntimeError, multiproc.SyncManager(master="/bin/false").start)

    def test_nobody_listens(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertRaises(multiproc.ManagerGone, multiproc.Manager, os.path.join(folder, "none"))

    def test_bad_manager(self):
        """One that sends what is no frame, or no answer, or ends."""
        for data in (b"", b"HTTP/1.1 400 Bad\r\n\r\n", bytes(8), bytes.fromhex("0000000100000000c0"), bytes.fromhex("0000000500000000") + b"\x94\1\2\xc0\xc0"):
            with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as door:
                path = os.path.join(folder, "door")
                door.bind(path)
                door.listen()

                def serve():
                    with door.accept()[0] as peer:
                        peer.recv(1 << 16)
                        peer.sendall(data)

                thread = threading.Thread(target=serve)
                thread.start()
                with self.assertRaises((ConnectionError, ValueError)):
                    multiproc.Manager(path)
                thread.join()

    def test_nothing_is_left_at_exit(self):
        """A program that ends without a word leaves no message on its standard error, whatever it had under way."""
        m = multiproc.Manager()
        code = f"""if 1:
            import multiproc, threading
            m = multiproc.Manager({m.address!r})
            v, e = m.Value("i", 1), m.Event()
            threading.Thread(target=e.wait, daemon=True).start()
            p = e.call_async("wait")
            v.value = e
            print(v.value == e)
        """
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=dict(os.environ, PYTHONPATH=path), capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"True\n", b""))
        eventually(lambda: (m.stats()["connections"], m.stats()["objects"]) == (1, 0), "an empty manager")
        m.shutdown()


if __name__ == "__main__":
    unittest.main()
