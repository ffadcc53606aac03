"""The codec against the vectors of proto/testdata/golden.json, and against itself."""
import datetime
import enum
import json
import math
import os
import random
import unittest
from collections import OrderedDict, namedtuple

from multiproc import Blob, Ext, Fault, Map, Reference, _msgpack
from multiproc._msgpack import FormatError, LimitError, pack, unpack

GOLDEN = os.path.join(os.path.dirname(__file__), *[".."] * 4, "proto", "testdata", "golden.json")
# Extensions that Python has a value for; the vectors have them as {"$ext": [code, hex]}.
OWN = {-1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}


def from_json(value):
    if isinstance(value, list):
        return [from_json(v) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (word, of), = value.items()
        if word == "$float":
            return float(of)
        if word == "$bin":
            return bytes.fromhex(of)
        if word == "$ext":
            return Ext(of[0], bytes.fromhex(of[1]))
        if word == "$map":
            pairs = [(from_json(k), from_json(v)) for k, v in of]
            return dict(pairs) if len(dict(pairs)) == len(pairs) else Map(pairs)
    return {k: from_json(v) for k, v in value.items()}


def same(a, b):
    """Equal, and of the same types; NaN is NaN."""
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(sorted(a.items(), key=repr), sorted(b.items(), key=repr)))
    return a == b


class TestGolden(unittest.TestCase):
    def setUp(self):
        with open(GOLDEN) as file:
            self.golden = json.load(file)

    def test_values(self):
        for vector in self.golden["values"]:
            data = bytes.fromhex(vector["hex"])
            found, want = unpack(data), from_json(vector["value"])
            if not (isinstance(want, Ext) and want.code in OWN):
                self.assertTrue(same(found, want), f"{vector['name']}: {found!r}; want {want!r}")
            if vector["shortest"] and data[0] != 0xCA:  # Python has no floats of 32 bits
                if isinstance(found, float) and math.isnan(found):
                    continue
                self.assertEqual(pack(found).hex(), vector["hex"], vector["name"])

    def test_bodies(self):
        for vector in self.golden["frames"]:
            body = bytes.fromhex(vector["frame"])[8:]
            self.assertIsInstance(unpack(body, levels=136, fds=[None] * 9), list, vector["name"])


class TestRoundTrip(unittest.TestCase):
    def check(self, value, levels=128):
        found = unpack(pack(value, levels=levels), levels=levels)
        self.assertTrue(same(found, value), f"{found!r}; want {value!r}")

    def test_integers(self):
        for bit in range(0, 130):
            for near in (-1, 0, 1):
                for n in ((1 << bit) + near, -(1 << bit) + near):
                    self.check(n)

    def test_integers_are_shortest(self):
        for n, text in {(1 << 64): "c70905010000000000000000", -(1 << 63) - 1: "c70905ff7fffffffffffffff", -(1 << 71): "c70905800000000000000000"}.items():
            self.assertEqual(pack(n).hex(), text, n)

    def test_values(self):
        utc = datetime.timezone.utc
        for value in (
            (), (1, (2, [3])), {1, "1", b"1", (1,)}, frozenset([1.5, None]), slice(None, 3, -1), slice(1, None), 1j, complex(0.5, -2),
            [True, 1, 1.0], {1: 2, "1": 3, (1, 2): {b"x": []}}, {frozenset([1]): 1}, "\udcff", "é\0", b"\xff",
            datetime.datetime(2001, 2, 3, 4, 5, 6, tzinfo=utc), datetime.datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=utc),
            datetime.datetime(1001, 2, 3, tzinfo=utc), datetime.datetime(9999, 12, 31, tzinfo=utc),
            Reference(1 << 63, 7, "/run/x"), Reference(0, 1), Blob("go.gob", b"\0"), Fault("error", "bad", "line 1", [1]), Ext(99, b"x"),
            Map([([1], 2)]), Map([(1, "a"), (1.0, "b")]),
        ):  # fmt: skip
            self.check(value)

    def test_bytes_of_extensions(self):
        for value, text in (
            ((1, "a"), "d6029201a161"),
            ({7}, "d5039107"),
            (frozenset([7]), "d5049107"),
            (slice(None, 3, -1), "d60693c003ff"),
            (Reference(1, 2, "/a"), "c71207" + "0000000000000001" + "0000000000000002" + "2f61"),
            (Fault("error", "t"), "c70a0893a56572726f72a17480"),
            (Blob("f", b"\1"), "c7060992a166c40101"),
            (1 + 2j, "d80a" + "3ff0000000000000" + "4000000000000000"),
        ):
            self.assertEqual(pack(value).hex(), text, value)

    def test_subclasses_are_their_bases(self):
        Point = namedtuple("Point", "x y")
        Colour = enum.IntEnum("Colour", "RED")
        for value, want in ((Point(1, 2), (1, 2)), (Colour.RED, 1), (OrderedDict(a=1), {"a": 1}), (bytearray(b"x"), b"x"), (memoryview(b"x"), b"x")):
            self.assertTrue(same(unpack(pack(value)), want), value)

    def test_no_place(self):
        for value in (object(), range(3), datetime.datetime(2001, 1, 1), [object()]):
            with self.assertRaises(TypeError):
                pack(value)
        self.assertEqual(unpack(pack([range(3)], default=lambda v: list(v))), [[0, 1, 2]])

    def test_random(self):
        rnd = random.Random(5)
        for _ in range(300):
            self.check(random_value(rnd, 5))


class TestBounds(unittest.TestCase):
    def test_levels(self):
        deep = []
        for _ in range(127):
            deep = [deep]
        self.assertEqual(unpack(pack(deep)), deep)
        mixed = ()
        for _ in range(127):
            mixed = (mixed,)
        self.assertEqual(unpack(pack(mixed)), mixed)
        for value in ([deep], [mixed]):
            with self.assertRaises(LimitError):
                pack(value)
        with self.assertRaises(LimitError):
            unpack(b"\x91" * 129 + b"\xc0")
        loop = []
        loop.append(loop)
        with self.assertRaises(LimitError):
            pack(loop)

    def test_elements(self):
        self.assertEqual(len(unpack(pack([0] * 1000, elements=1000), elements=1000)), 1000)
        with self.assertRaises(LimitError):
            pack([[0] * 500, [0] * 500], elements=1000)
        for data in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"):
            with self.assertRaises(LimitError):
                unpack(data)
        with self.assertRaises(FormatError):
            unpack(b"\xdd\x00\x10\x00\x00")

    def test_cut_short(self):
        whole = pack([1, "abc", {"k": b"v"}, (1, 2), 1.5, 1 << 70])
        for n in range(len(whole)):
            with self.assertRaises(FormatError):
                unpack(whole[:n])
        with self.assertRaises(FormatError):
            unpack(whole + b"\0")
        with self.assertRaises(FormatError):
            unpack(b"\xc1")

    def test_odd_contents_stay_extensions(self):
        for code, data in (
            (2, b"\x01"), (2, b""), (2, b"\x92\x01"), (3, b"\x92\x01\x01"), (3, b"\x91\x90"), (5, b""), (6, b"\x90"), (7, b"short"), (8, b"\x90"),
            (9, b"\x92\x01\x01"), (10, b"x"), (-1, b"xxxxx"), (-1, b"\xff" * 8), (1, b""), (1, b"\1\0\1"), (2, b"\x91" * 140 + b"\xc0"), (77, b"what"),
        ):  # fmt: skip
            value = Ext(code, data)
            self.assertEqual(unpack(pack([value])), [value])
            self.assertEqual(pack(unpack(pack(value))), pack(value))

    def test_noise(self):
        rnd = random.Random(6)
        for _ in range(3000):
            data = bytes(rnd.randrange(256) for _ in range(rnd.randrange(40)))
            try:
                unpack(data)
            except (FormatError, LimitError):
                pass

    def test_pickle_only_when_asked(self):
        blob = Blob.pickled({1: object})
        self.assertIsInstance(unpack(pack(blob)), Blob)
        self.assertEqual(unpack(pack(blob), blob=Blob.unpickle), {1: object})


def random_value(rnd, depth):
    leaves = [
        lambda: None, lambda: rnd.random() < 0.5, lambda: rnd.randrange(-200, 200), lambda: rnd.randrange(-(1 << 80), 1 << 80), rnd.random,
        lambda: "".join(chr(rnd.randrange(32, 1000)) for _ in range(rnd.randrange(40))), lambda: rnd.getrandbits(64).to_bytes(8, "big"),
    ]  # fmt: skip
    if depth == 0 or rnd.random() < 0.3:
        return rnd.choice(leaves)()
    many = range(rnd.randrange(6))
    return rnd.choice([
        lambda: [random_value(rnd, depth - 1) for _ in many],
        lambda: tuple(random_value(rnd, depth - 1) for _ in many),
        lambda: {rnd.choice(leaves)(): random_value(rnd, depth - 1) for _ in many},
        lambda: {rnd.choice(leaves)() for _ in many},
    ])()  # fmt: skip


if __name__ == "__main__":
    unittest.main()
