"""Shared lists and dicts against Python's own: the same operations, results, errors and contents."""
import array
import random
import unittest
from collections import OrderedDict

from tests.support import ManagerTest, eventually


def outcome(function, *args):
    """What a call returns, or the type of what it raises."""
    try:
        return function(*args)
    except (LookupError, ValueError, TypeError, OverflowError, AttributeError) as e:
        return next(base for base in type(e).__mro__ if base.__module__ == "builtins")


def typed(value):
    """A form in which 1, 1.0 and True are three."""
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [typed(v) for v in value]
    if isinstance(value, dict):
        return "dict", [(typed(k), typed(v)) for k, v in value.items()]
    return type(value).__name__, repr(value)


VALUES = [0, 1, 1.0, True, -1, 2, 2.5, "", "a", "1", b"a", b"1", None, (1,), (1, 2), [], [1], [1.0], {"a": 1}, 1 << 70, float(1 << 70)]
KEYS = ["", "a", "1", b"1", 1, 1.0, True, 0, False, (1,), (1.0,), (1, "a"), None, 2.5, 1 << 70, float(1 << 70), frozenset([1, 2]), -1]
NO_KEYS = [[], {}, {1}, (1, [])]


class TestList(ManagerTest):
    def check(self, shared, plain, operation, *args):
        got, want = outcome(getattr(shared, operation), *args), outcome(getattr(plain, operation), *args)
        if operation in ("__iadd__", "__imul__"):
            got, want = got is shared or got, want is plain or want
        self.assertEqual(typed(got), typed(want), f"{operation}{args} of {plain}")
        self.assertEqual(typed(shared.copy()), typed(plain), f"after {operation}{args}")

    def test_random_operations(self):
        for seed in range(12):
            rnd = random.Random(seed)
            shared, plain = self.m.list(), []
            with self.subTest(seed=seed):
                for _ in range(250):
                    self.step(rnd, shared, plain)

    def step(self, rnd, shared, plain):
        def value():
            return rnd.choice(VALUES)

        def values():
            return [value() for _ in range(rnd.randrange(5))]

        def index():
            return rnd.randrange(-len(plain) - 2, len(plain) + 3)

        def bounds():
            return slice(*(rnd.choice([None, index(), 1 << 80, -1 << 80]) for _ in range(2)), rnd.choice([None, 1, 2, 3, -1, -2, 0, 1 << 80]))

        operation, *make = rnd.choice([
            ("append", value), ("extend", values), ("insert", index, value), ("pop",), ("pop", index), ("remove", value), ("index", value),
            ("index", value, index), ("index", value, index, index), ("count", value), ("__contains__", value), ("reverse",), ("__len__",),
            ("__getitem__", index), ("__getitem__", bounds), ("__setitem__", index, value), ("__setitem__", bounds, values),
            ("__delitem__", index), ("__delitem__", bounds), ("__add__", values), ("__mul__", lambda: rnd.randrange(-1, 3)), ("__iadd__", values),
            ("copy",), ("append", value), ("append", value), ("extend", values), ("sort",),
        ])  # fmt: skip
        args = [m() for m in make]
        if operation == "sort":
            try:
                sorted(plain)
            except TypeError:  # Python leaves the list in some order, ours in the old one
                self.assertRaises(TypeError, shared.sort)
                return
        self.check(shared, plain, operation, *args)
        if len(plain) > 30:
            self.check(shared, plain, "__delitem__", slice(5, None))

    def test_slices(self):
        """Each slice of each short list: get, delete, set."""
        bounds = [None, *range(-5, 6)]
        for n in range(0, 5):
            plain = list(range(n))
            shared = self.m.list(plain)
            for start in bounds:
                for stop in bounds:
                    for step in (None, 1, 2, 3, -1, -2, -4):
                        s = slice(start, stop, step)
                        want = plain[s]
                        pending = [shared.call_async("get", s)]
                        for new in (["x"] * len(want), [], ["y", "z"]):
                            pending.append(shared.call_async("set", s, new))
                            pending.append(shared.call_async("copy"))
                            pending.append(shared.call_async("set", slice(None), plain))
                        pending.append(shared.call_async("delete", s))
                        pending.append(shared.call_async("copy"))
                        pending.append(shared.call_async("set", slice(None), plain))
                        results = [outcome(p.result) for p in pending]
                        self.assertEqual(results[0], want, s)
                        for i, new in enumerate((["x"] * len(want), [], ["y", "z"])):
                            model = list(plain)
                            fails = outcome(model.__setitem__, s, new)
                            self.assertEqual((results[1 + 3 * i], results[2 + 3 * i]), (fails, model), (plain, s, new))
                        model = list(plain)
                        del model[s]
                        self.assertEqual(results[11], model, (plain, s))

    def test_no_step(self):
        l = self.m.list([1])
        for do in (lambda: l[::0], lambda: l.__setitem__(slice(None, None, 0), [1]), lambda: l.__delitem__(slice(None, None, 0))):
            self.assertRaises(ValueError, do)

    def test_types_of_indices(self):
        l = self.m.list([1, 2])
        for index in ("0", 1.0, None, (0,)):
            self.assertRaises(TypeError, l.__getitem__, index)
            self.assertRaises(TypeError, l.__setitem__, index, 1)
            self.assertRaises(TypeError, l.__delitem__, index)
        self.assertEqual(l[True], 2)
        self.assertRaises(IndexError, l.__getitem__, 1 << 80)
        l.insert(1 << 80, 3)
        l.insert(-1 << 80, 0)
        self.assertEqual(l, [0, 1, 2, 3])
        self.assertRaises(TypeError, l.__setitem__, slice(0, 1), 5)
        self.assertRaises(TypeError, l.extend, 5)

    def test_sort(self):
        for plain in ([3, 1.5, 2, 1 << 70, -5, True], ["b", "a", ""], [b"b", b"a"], [(2, 1), (1, "x"), (1,)], [[2], [1, 5], [1]], []):
            for reverse in (False, True):
                shared = self.m.list(plain)
                shared.sort(reverse=reverse)
                self.assertEqual(typed(shared.copy()), typed(sorted(plain, reverse=reverse)))
        pairs = [(random.Random(1).randrange(5), i) for i in range(50)]
        shared = self.m.list(pairs)
        shared.sort(key=lambda p: p[0], reverse=True)
        self.assertEqual(shared, sorted(pairs, key=lambda p: p[0], reverse=True))
        mixed = self.m.list([1, "a", None])
        self.assertRaises(TypeError, mixed.sort)
        self.assertEqual(mixed, [1, "a", None])

    def test_sort_is_stable(self):
        for reverse in (False, True):
            plain = [1, True, 1.0, 0, False, 0.0, 1, 2, True]
            shared = self.m.list(plain)
            shared.sort(reverse=reverse)
            self.assertEqual(typed(shared.copy()), typed(sorted(plain, reverse=reverse)))

    def test_iteration_is_live(self):
        l = self.m.list([1, 2, 3])
        seen = []
        for value in l:
            seen.append(value)
            if value == 1:
                l.append(4)
                del l[1]
        self.assertEqual(seen, [1, 3, 4])
        self.assertEqual(list(reversed(l)), [4, 3, 1])
        self.assertEqual([*l], [1, 3, 4])

    def test_operators(self):
        l = self.m.list([1, 2])
        self.assertEqual([0] + l, [0, 1, 2])
        self.assertEqual(l + l, [1, 2, 1, 2])
        self.assertEqual(2 * l, [1, 2, 1, 2])
        self.assertRaises(TypeError, lambda: l + (3,))
        self.assertRaises(TypeError, lambda: l * "2")
        same = l
        l += (3,)
        l *= 2
        self.assertIs(same, l)
        self.assertEqual(l, [1, 2, 3, 1, 2, 3])
        l.extend(l)
        self.assertEqual(len(l), 12)
        self.assertTrue(l > [1, 2] and l >= [1, 2] and l < [2] and l <= [2] and l != [1])
        self.assertEqual(str(self.m.list([1, "a", (2,)])), "[1, 'a', (2,)]")
        self.assertTrue(repr(l).startswith("<ListProxy object, typeid 'list' at 0x"))
        first, *rest = self.m.list("abc")
        self.assertEqual((first, rest), ("a", ["b", "c"]))

    def test_atomic(self):
        l, other = self.m.list([1, 2, 3]), self.m.list(["x"])
        self.assertEqual(l.add(-1, 1.5), 4.5)
        self.assertEqual((l.cas(0, 1.0, "one"), l.cas(0, 1, "two")), (True, False))
        self.assertEqual(l.move(other), "one")
        self.assertEqual(l.move(other, -1, 0), 4.5)
        self.assertEqual((l, other), ([2], [4.5, "x", "one"]))
        self.assertEqual([other.push_trim(i, 3) for i in range(2)], [[4.5], ["x"]])
        thread = self.thread(other.wait, ">=", 4)
        eventually(lambda: other.describe()["waiting"] == 1, "a waiting thread")
        other.append(1)
        self.assertEqual(thread.result(), 4)
        self.assertRaises(TimeoutError, other.wait, "==", 0, timeout=0.01)
        self.assertRaises(IndexError, self.m.list().move, other)


class TestDict(ManagerTest):
    def test_random_operations(self):
        for seed in range(12):
            rnd = random.Random(seed)
            shared, plain = self.m.dict(), {}
            with self.subTest(seed=seed):
                for _ in range(250):
                    self.step(rnd, shared, plain)

    def step(self, rnd, shared, plain):
        def key():
            return rnd.choice(KEYS if rnd.random() < 0.97 else NO_KEYS)

        def value():
            return rnd.choice(VALUES)

        def some():
            return {rnd.choice(KEYS): value() for _ in range(rnd.randrange(4))}

        operation, *make = rnd.choice([
            ("__getitem__", key), ("__setitem__", key, value), ("__setitem__", key, value), ("__setitem__", key, value), ("__delitem__", key),
            ("__contains__", key), ("__len__",), ("get", key), ("get", key, value), ("pop", key), ("pop", key, value), ("popitem",),
            ("setdefault", key), ("setdefault", key, value), ("update", some), ("update", lambda: list(some().items())), ("copy",),
        ])  # fmt: skip
        args = [m() for m in make]
        got, want = outcome(getattr(shared, operation), *args), outcome(getattr(plain, operation), *args)
        self.assertEqual(typed(got), typed(want), f"{operation}{args} of {plain}")
        self.assertEqual(typed(shared.copy()), typed(plain), f"after {operation}{args}")

    def test_keys_are_python_keys(self):
        d = self.m.dict()
        for key in ("1", b"1", 1, (1,)):
            d[key] = key
        self.assertEqual(len(d), 4)
        d[1.0], d[True] = "float", "bool"
        self.assertEqual(typed(d.copy()), typed({"1": "1", b"1": b"1", 1: "bool", (1,): (1,)}))
        nan = float("nan")
        d[nan] = "nan"
        self.assertEqual(d[nan], "nan")

    def test_key_error_names_the_key(self):
        d = self.m.dict()
        for key in ("missing", (1, "x"), b"b", 1 << 80):
            for do in (d.__getitem__, d.__delitem__, d.pop):
                with self.assertRaises(KeyError) as caught:
                    do(key)
                self.assertEqual(caught.exception.args, (key,))
        self.assertRaises(KeyError, d.popitem)

    def test_making(self):
        self.assertEqual(self.m.dict([("a", 1)], name=2, keep=3), {"a": 1, "name": 2, "keep": 3})
        self.assertEqual(self.m.dict({1: 2}), {1: 2})
        d = self.m.dict(a=1)
        self.assertEqual(self.m.dict(d.items(), b=2), {"a": 1, "b": 2})
        d.update(d, b=2)
        d |= {"c": 3}
        d |= [("d", 4)]
        self.assertEqual(d, {"a": 1, "b": 2, "c": 3, "d": 4})
        self.assertEqual(d | {"a": 0}, {"a": 0, "b": 2, "c": 3, "d": 4})
        self.assertEqual({"a": 0} | d, d.copy())
        self.assertEqual(str(self.m.dict({1: "x"})), "{1: 'x'}")
        self.assertEqual({**d}, d.copy())
        self.assertEqual(OrderedDict(d), d.copy())

    def test_views(self):
        d = self.m.dict(a=1, b=2)
        keys, values, items = d.keys(), d.values(), d.items()
        d["c"] = 3
        self.assertEqual((list(keys), list(values), list(items)), (["a", "b", "c"], [1, 2, 3], [("a", 1), ("b", 2), ("c", 3)]))
        self.assertEqual((len(keys), "c" in keys, 3 in values, ("c", 3) in items, ("c", 4) in items), (3, True, True, True, False))
        self.assertEqual((keys & {"a", "z"}, keys - {"a"}, keys | {"z"}), ({"a"}, {"b", "c"}, {"a", "b", "c", "z"}))
        self.assertEqual(keys, {"a", "b", "c"})
        self.assertEqual(repr(keys), "dict_keys(['a', 'b', 'c'])")
        self.assertEqual(repr(items), "dict_items([('a', 1), ('b', 2), ('c', 3)])")
        self.assertEqual((list(reversed(d)), list(reversed(items))), (["c", "b", "a"], [("c", 3), ("b", 2), ("a", 1)]))

    def test_iteration_notices_change(self):
        d = self.m.dict((i, i) for i in range(10))
        for change in (lambda: d.pop(0), lambda: d.setdefault(99), d.clear):
            with self.assertRaises(RuntimeError):
                for _ in d:
                    change()
        for content, change in (({1: 1}, d.clear), ({}, lambda: d.update(a=1))):
            d.clear()
            d.update(content)
            iterator = iter(d)
            change()
            self.assertRaises(RuntimeError, next, iterator)
        d.clear()
        d.update((i, i) for i in range(300))
        for at in (0, 1, 2, 100, 298, 299):
            with self.assertRaises(RuntimeError):
                for i, _ in enumerate(d.items()):
                    if i == at:
                        d.pop(at)
            d[at] = at
        for key in d:
            d[key] = -1
        self.assertEqual(set(d.values()), {-1})
        self.assertEqual(len(list(d)), 300)
        self.assertEqual(list(self.m.dict()), [])

    def test_atomic(self):
        d = self.m.dict(n=1)
        self.assertEqual((d.add("n", 2), d.add("new", 1, 10), d.add("big", 1, 1 << 64), d.add("s", "b", "a")), (3, 11, (1 << 64) + 1, "ab"))
        self.assertRaises(KeyError, d.add, "missing", 1)
        self.assertRaises(TypeError, d.add, "n", "x")
        self.assertEqual((d.cas("n", 3.0, 4), d.cas("n", 3, 5), d.cas("missing", None, 1)), (True, False, False))
        self.assertEqual((d.insert("n", 0), d.insert("i", 0), d.delete_if("i", 1), d.delete_if("i", 0)), (False, True, False, True))
        self.assertEqual((d.get_many(["n", "new"]), d.get_many(["n", "missing"], None)), ([4, 11], [4, None]))
        self.assertRaises(KeyError, d.get_many, ["n", "missing"])
        value, version = d.get_version("n")
        self.assertEqual((value, d.get_version("missing")), (4, (None, 0)))
        newer = d.cas_version("n", version, 5)
        self.assertGreater(newer, version)
        self.assertEqual((d.cas_version("n", version, 6), d["n"], d.version()), (0, 5, newer))
        self.assertGreater(d.cas_version("fresh", 0, 1), newer)
        made = d.get_or_create("l", "list", [1])
        self.assertEqual((made, d.get_or_create("l", "list") == made), ([1], True))

    def test_wait(self):
        d = self.m.dict()
        for condition, operand, before, after in (
            ("present", (), None, ("k", 1)), ("==", ((1, 2),), ("k", 3), ("k", (1, 2.0))), (">=", (5,), ("k", "text"), ("k", 7)), ("absent", (), ("k", 1), None),
        ):  # fmt: skip
            d.clear()
            if before:
                d[before[0]] = before[1]
            self.assertRaises(TimeoutError, d.wait, "k", condition, *operand, timeout=0)
            thread = self.thread(lambda: d.wait("k", condition, *operand))
            eventually(lambda: d.describe()["waiting"] == 1, "a waiting thread")
            if after:
                d[after[0]] = after[1]
            else:
                d.clear()
            self.assertEqual(thread.result(), after and after[1])

    def test_watch(self):
        d = self.m.dict(a=1)
        now, _, changes = d.watch()
        self.assertEqual(changes, [])
        self.assertRaises(TimeoutError, d.watch, now, timeout=0.01)
        thread = self.thread(d.watch, now, ["b"])
        eventually(lambda: d.describe()["waiting"] == 1, "a waiting thread")
        d["a"] = 2
        d["b"] = 3
        _, complete, changes = thread.result()
        self.assertEqual((complete, [(k, present, v) for k, _, present, v in changes]), (True, [("b", True, 3)]))
        del d["a"]
        _, complete, changes = d.watch(now)
        self.assertEqual((complete, [(k, present, v) for k, _, present, v in changes]), (True, [("b", True, 3), ("a", False, None)]))


class TestOthers(ManagerTest):
    def test_namespace(self):
        n = self.m.Namespace(x=1, y="two")
        n.z = [3]
        n._mine = 4
        self.assertEqual((n.x, n.y, n.z, n._mine, hasattr(n, "missing")), (1, "two", [3], 4, False))
        self.assertEqual(str(n), "Namespace(x=1, y='two', z=[3])")
        del n.x
        for do in (lambda: n.x, lambda: delattr(n, "x")):
            with self.assertRaises(AttributeError) as caught:
                do()
            self.assertIn("x", str(caught.exception))

    def test_value(self):
        v = self.m.Value("i", 1)
        v.value += 1
        v.set(v.get() + 1)
        self.assertEqual((v.value, v.add(1), v.cas(4, "x"), v.cas(4, "y"), v.value, v.typecode), (3, 4, True, False, "x", "i"))
        self.assertRaises(TypeError, v.add, 1)
        self.assertEqual(str(self.m.Value("i", 7)), "Value('i', 7)")

    def test_array(self):
        for code in "bBhHiIlLqQ":
            plain = array.array(code, [0, 1, 2])
            size = plain.itemsize if code not in "lL" else 8
            low, high = (0, (1 << 8 * size) - 1) if code.isupper() else (-1 << 8 * size - 1, (1 << 8 * size - 1) - 1)
            shared = self.m.Array(code, plain)
            shared[0], shared[-1] = low, high
            self.assertEqual((shared[:], len(shared), shared.typecode), ([low, 1, high], 3, code))
            for value in (low - 1, high + 1):
                self.assertRaises(OverflowError, shared.__setitem__, 1, value)
            self.assertRaises(OverflowError, shared.add, -1, 1)
            self.assertRaises(TypeError, shared.__setitem__, 0, 1.5)
            self.assertEqual(shared[:], [low, 1, high])
        shared = self.m.Array("d", 3)
        shared[1:] = [1, 2.5]
        self.assertEqual(typed(shared[:]), typed([0.0, 1.0, 2.5]))
        self.assertRaises(ValueError, shared.__setitem__, slice(0, 2), [1])
        self.assertRaises(IndexError, shared.__getitem__, 3)
        self.assertRaises((TypeError, AttributeError), shared.__delitem__ if hasattr(shared, "__delitem__") else lambda i: len(None), 0)
        self.assertEqual((list(shared), str(shared)), ([0.0, 1.0, 2.5], "array('d', [0.0, 1.0, 2.5])"))


class TestNesting(ManagerTest):
    def test_copies_and_references(self):
        d, l = self.m.dict(), self.m.list()
        d["copy"], d["l"] = [1], l
        d["copy"].append(2)
        d["l"].append(2)
        self.assertEqual((d["copy"], l.copy(), d["l"] == l), ([1], [2], True))
        l.append(d["l"])
        self.assertEqual(l[1][1][1][0], 2)
        l.clear()

    def test_deep(self):
        deep = []
        for _ in range(60):
            deep = [deep, (deep and 1,), {"k": 1}]
        self.assertEqual(self.m.list([deep])[0], deep)

    def test_references_in_all_places(self):
        d = self.m.dict()
        inner = self.m.list(["it"])
        d["x"] = [inner, (inner, {inner}), {"k": inner, inner: 1}, frozenset([inner])]
        d[inner] = 1
        d[(1, inner)] = 2
        stored = inner.describe()["stored"]
        del inner
        x = d["x"]
        self.assertEqual(stored, 8)
        found = [x[0], x[1][0], *x[1][1], x[2]["k"], *x[3]]
        self.assertEqual([f.copy() for f in found], [["it"]] * 5)
        self.assertEqual(len(set(found)), 1)
        self.assertEqual((d[x[0]], d[(1, x[0])], x[0] in d.keys()), (1, 2, True))
        del x
        self.assertEqual(found[0].describe()["leases"], len(found))
        got = d.pop("x")
        d.clear()
        del d
        self.assertEqual(got[0], ["it"])

    def test_pop_hands_over(self):
        """What only the container had lives on in who popped it."""
        for _ in range(50):
            l = self.m.list([self.m.list([1])])
            inner = l.pop()
            self.assertEqual(inner, [1])
            inner = None
            self.assertEqual(self.m.stats()["objects"], 1)

    def test_cycles_end(self):
        a, b = self.m.list(), self.m.dict()
        a.append(b)
        b["a"] = a
        del a, b  # the check at the end of the test sees that they are gone

    def test_big_values(self):
        l = self.m.list()
        big = b"x" * (8 << 20)
        l.append(big)
        self.assertEqual(l[0], big)
        self.assertRaises((ValueError, TypeError), l.append, [b"x" * (40 << 20)] * 2)
        self.assertEqual(len(l), 1)


if __name__ == "__main__":
    unittest.main()
