"""dict, list, Namespace, Value, Array."""
import collections.abc
import operator
from types import SimpleNamespace

from ._client import proxy_for
from ._proxy import BaseProxy
from ._values import Map

_MISSING = object()


def _plain(value):
    """What a proxy stands for, so that it can be compared and joined with plain values."""
    return value._getvalue() if isinstance(value, (DictProxy, ListProxy, ArrayProxy)) else value


def _pairs(args, kwds):
    """What dict(*args, **kwds) would hold."""
    if len(args) == 1 and isinstance(args[0], DictProxy):
        args = (args[0].copy(),)
    return [[key, value] for key, value in dict(*args, **kwds).items()]


def _dict(pairs):
    """Pairs as a dict; as a Map if there is a key that cannot be one in Python."""
    try:
        return dict(pairs)
    except TypeError:
        return Map(map(tuple, pairs))


@proxy_for("dict")
class DictProxy(BaseProxy):
    """A shared dict, in insertion order. Each method is one step to everybody else. Values are copies: what is changed in one has
    to be set again; proxies among the values stay what they are, one object for all."""

    def __getitem__(self, key):
        return self._call("get", key)

    def __setitem__(self, key, value):
        self._call("set", key, value)

    def __delitem__(self, key):
        self._call("delete", key)

    def __contains__(self, key):
        return self._call("contains", key)

    def __len__(self):
        return self._call("len")

    def __iter__(self):
        return (key for key, _ in self._scan())

    def __reversed__(self):
        return reversed(self._call("keys"))

    def _scan(self):
        """All entries; RuntimeError once a key was added or removed by anybody since this call. The first one comes alone, so that a
        loop which changes the dict is told at once; then twice as many each time."""
        return self._scan_on(self._call("scan", 0, 1)[0])

    def _scan_on(self, shape):
        at, count = 0, 1
        while at is not None:
            shape, at, pairs = self._call("scan", at, count, shape)
            yield from pairs
            count = min(2 * count, 1024)
        self._call("scan", 0, 1, shape)  # has it changed since the last entry?

    def get(self, key, default=None):
        try:
            return self._call("get", key)
        except KeyError:
            return default

    def setdefault(self, key, default=None):
        return self._call("setdefault", key, default)

    def pop(self, key, default=_MISSING):
        try:
            return self._call("pop", key)
        except KeyError:
            if default is _MISSING:
                raise
            return default

    def popitem(self):
        return tuple(self._call("popitem"))

    def update(self, *args, **kwds):
        self._call("update", _pairs(args, kwds))

    def clear(self):
        self._call("clear")

    def copy(self):
        """A plain dict."""
        return _dict(self._call("copy"))

    _getvalue = copy

    def keys(self):
        """A view that follows the dict. So are values and items."""
        return _Keys(self)

    def values(self):
        return _Values(self)

    def items(self):
        return _Items(self)

    def __or__(self, other):
        other = _plain(other)
        return self.copy() | other if isinstance(other, collections.abc.Mapping) else NotImplemented

    def __ror__(self, other):
        return other | self.copy() if isinstance(other, collections.abc.Mapping) else NotImplemented

    def __ior__(self, other):
        self.update(other)
        return self

    def __eq__(self, other):
        if isinstance(other, BaseProxy):
            return BaseProxy.__eq__(self, other)
        return self.copy() == other if isinstance(other, collections.abc.Mapping) else NotImplemented

    __hash__ = BaseProxy.__hash__

    def _text(self):
        return "{" + ", ".join(f"{key!r}: {value!r}" for key, value in self._call("items")) + "}"

    # One step, where Python needs a lock

    def add(self, key, delta, *start):
        """d[key] += delta, and the new value; with start, a missing key counts as start."""
        return self._call("add", key, delta, *start)

    def cas(self, key, old, new):
        """Sets new if the value is equal to old; whether it was."""
        return self._call("cas", key, old, new)

    def insert(self, key, value):
        """Sets value if key is missing; whether it was."""
        return self._call("insert", key, value)

    def delete_if(self, key, old):
        """Removes key if its value is equal to old; whether it was."""
        return self._call("delete_if", key, old)

    def get_many(self, keys, *default):
        return self._call("get_many", list(keys), *default)

    def get_version(self, key):
        """(value, version); (None, 0) where key is missing."""
        return tuple(self._call("get_version", key))

    def cas_version(self, key, version, new):
        """Sets new if the entry still has this version (0: it is missing); the new version, or 0."""
        return self._call("cas_version", key, version, new)

    def version(self):
        """That of the last change."""
        return self._call("version")

    def get_or_create(self, key, kind, *args):
        """The value of key; where it is missing, a new object of this kind ("list", "lock"), which is set."""
        return self._call("get_or_create", key, kind, list(args))

    def wait(self, key, condition="present", *operand, timeout=None):
        """Waits until the value of key is "present", "absent", "==", "!=", "<", "<=", ">", ">=" an operand, or "newer" than a version.
        TimeoutError after so many seconds."""
        return self._call("wait", key, condition, *operand, timeout=timeout)

    def watch(self, version=None, keys=None, timeout=None):
        """(version, complete, changes) as soon as there is a change after version; changes are (key, version, present, value).
        Without a version: the present one, at once."""
        now, complete, changes = self._call("watch", version, *([] if keys is None else [list(keys)]), timeout=timeout)
        return now, complete, [tuple(change) for change in changes]


collections.abc.MutableMapping.register(DictProxy)


class _Keys(collections.abc.KeysView):
    def __repr__(self):
        return f"dict_keys({self._mapping._call('keys')})"

    def __reversed__(self):
        return reversed(self._mapping._call("keys"))


class _Values(collections.abc.ValuesView):
    def __repr__(self):
        return f"dict_values({self._mapping._call('values')})"

    def __iter__(self):
        return (value for _, value in self._mapping._scan())

    def __contains__(self, value):
        return value in self._mapping._call("values")

    def __reversed__(self):
        return reversed(self._mapping._call("values"))


class _Items(collections.abc.ItemsView):
    def __repr__(self):
        return f"dict_items({list(map(tuple, self._mapping._call('items')))})"

    def __iter__(self):
        return map(tuple, self._mapping._scan())

    def __reversed__(self):
        return reversed([tuple(pair) for pair in self._mapping._call("items")])


def _index(index, what="list"):
    """An index or a slice as it is sent."""
    if isinstance(index, slice):
        return slice(*(None if n is None else operator.index(n) for n in (index.start, index.stop, index.step)))
    try:
        return operator.index(index)
    except TypeError:
        raise TypeError(f"{what} indices must be integers or slices, not {type(index).__name__}") from None


class _Sequence(BaseProxy):
    """What list and Array share."""

    def __getitem__(self, index):
        return self._call("get", _index(index))

    def __setitem__(self, index, value):
        index = _index(index)
        if isinstance(index, slice):
            value = list(_plain(value))
        self._call("set", index, value)

    def __len__(self):
        return self._call("len")

    def __iter__(self):
        """By live index, as a list's: what is appended meanwhile is seen."""
        index = 0
        while True:
            try:
                value = self._call("get", index)
            except IndexError:
                return
            yield value
            index += 1

    def _getvalue(self):
        return self._call("copy")

    def __eq__(self, other):
        if isinstance(other, BaseProxy):
            return BaseProxy.__eq__(self, other)
        return self._getvalue() == other if isinstance(other, list) else NotImplemented

    __hash__ = BaseProxy.__hash__

    def add(self, index, delta):
        """l[index] += delta in one step, and the new value."""
        return self._call("add", index, delta)

    def cas(self, index, old, new):
        """Sets new if the element is equal to old; whether it was."""
        return self._call("cas", index, old, new)


@proxy_for("list")
class ListProxy(_Sequence):
    """A shared list. What is said of DictProxy holds for it."""

    def __delitem__(self, index):
        self._call("delete", _index(index))

    def __contains__(self, value):
        return self._call("contains", value)

    def __reversed__(self):
        index = len(self) - 1
        while index >= 0:
            try:
                yield self._call("get", index)
            except IndexError:
                return
            index -= 1

    def append(self, value):
        self._call("append", value)

    def extend(self, values):
        self._call("extend", list(_plain(values)))

    def insert(self, index, value):
        self._call("insert", operator.index(index), value)

    def pop(self, index=-1):
        return self._call("pop", operator.index(index))

    def remove(self, value):
        self._call("remove", value)

    def index(self, value, *bounds):
        return self._call("index", value, *map(operator.index, bounds))

    def count(self, value):
        return self._call("count", value)

    def reverse(self):
        self._call("reverse")

    def sort(self, *, key=None, reverse=False):
        """With a key it is done here and written back: what others change meanwhile is lost."""
        if key is None:
            self._call("sort", bool(reverse))
        else:
            self[:] = sorted(self.copy(), key=key, reverse=reverse)

    def clear(self):
        self._call("clear")

    def copy(self):
        """A plain list."""
        return self._getvalue()

    def __add__(self, other):
        other = _plain(other)
        return self._call("concat", other) if isinstance(other, list) else NotImplemented

    def __radd__(self, other):
        return other + self.copy() if isinstance(other, list) else NotImplemented

    def __iadd__(self, values):
        self.extend(values)
        return self

    def __mul__(self, n):
        return self._call("repeat", _count(n))

    __rmul__ = __mul__

    def __imul__(self, n):
        self._call("imul", _count(n))
        return self

    def _compare(self, other, how):
        other = _plain(other)
        return how(self.copy(), other) if isinstance(other, list) else NotImplemented

    def __lt__(self, other):
        return self._compare(other, operator.lt)

    def __le__(self, other):
        return self._compare(other, operator.le)

    def __gt__(self, other):
        return self._compare(other, operator.gt)

    def __ge__(self, other):
        return self._compare(other, operator.ge)

    def _text(self):
        return repr(self.copy())

    def push_trim(self, value, max):
        """Appends, and removes from the front until there are max at most; what was removed."""
        return self._call("push_trim", value, max)

    def move(self, other, index=0, *to):
        """Moves an element into another shared list (before its index to, or to its end) in one step, and returns it."""
        return self._call("move", other, index, *to)

    def wait(self, condition, n, timeout=None):
        """Waits until the length is "==", "!=", "<", "<=", ">", ">=" n, and returns it. TimeoutError after so many seconds."""
        return self._call("wait", condition, n, timeout=timeout)


collections.abc.MutableSequence.register(ListProxy)


def _count(n):
    try:
        return operator.index(n)
    except TypeError:
        raise TypeError(f"can't multiply sequence by non-int of type {type(n).__name__!r}") from None


@proxy_for("array")
class ArrayProxy(_Sequence):
    """A shared array of numbers of one type and of a fixed length."""

    @property
    def typecode(self):
        return self._call("type")

    def _text(self):
        return f"array({self.typecode!r}, {self._getvalue()!r})"


@proxy_for("namespace")
class NamespaceProxy(BaseProxy):
    """Attributes that are shared; names that begin with an underscore are this proxy's own."""

    def __getattr__(self, name):
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        return self._call("get", name)

    def __setattr__(self, name, value):
        if name.startswith("_"):
            return object.__setattr__(self, name, value)
        self._call("set", name, value)

    def __delattr__(self, name):
        if name.startswith("_"):
            return object.__delattr__(self, name)
        self._call("delete", name)

    def __contains__(self, name):
        return self._call("contains", name)

    def _getvalue(self):
        return SimpleNamespace(**dict(self._call("items")))

    def _text(self):
        return "Namespace(" + ", ".join(f"{name}={value!r}" for name, value in sorted(self._call("items"))) + ")"


@proxy_for("value")
class ValueProxy(BaseProxy):
    """One shared value."""

    def get(self):
        return self._call("get")

    def set(self, value):
        self._call("set", value)

    value = property(get, set)
    _getvalue = get

    @property
    def typecode(self):
        return self._call("type")

    def add(self, delta):
        """v.value += delta in one step, and the new value."""
        return self._call("add", delta)

    def cas(self, old, new):
        """Sets new if the value is equal to old; whether it was."""
        return self._call("cas", old, new)

    def _text(self):
        return f"Value({self.typecode!r}, {self.get()!r})"
