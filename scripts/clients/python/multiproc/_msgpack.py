"""MessagePack with the extensions of PROTOCOL.md: pack(value) and unpack(data).

| Python | on the wire |
| --- | --- |
| None, bool, int, float, str, bytes, list, dict | as MessagePack has them; integers beyond 64 bits: extension 5 |
| tuple, set, frozenset, slice, complex | extensions 2, 3, 4, 6, 10 |
| datetime with a time zone | extension -1, a time; read back in UTC |
| Map, Ext, Reference, Blob, Fault, Handle | see _values.py |

A subclass (an IntEnum, a namedtuple) is written as what it is a subclass of. What is read is what was written, but for 32-bit
floats, which Python has not. An extension whose content is not what the page says stays an Ext: what another has stored
shall not make the rest of an answer unreadable.
"""
import datetime
import struct

from ._values import Blob, Ext, Fault, Handle, Map, Reference

MAX_LEVELS = 128  # arrays and maps within each other, of one value
MAX_ELEMENTS = 4_194_304  # of all arrays and maps of one value; a map entry counts two

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class FormatError(ValueError):
    """The bytes are no MessagePack, or not the whole of one value."""


class LimitError(ValueError):
    """The value has more levels or elements than the protocol allows."""


def pack(value, *, default=None, levels=MAX_LEVELS, elements=MAX_ELEMENTS, fds=None):
    """The bytes of value. default(v) is asked for a substitute of what has no place here; without it that is a TypeError.

    Descriptors of handles are appended to fds; without fds a handle is a TypeError.
    """
    writer = _Writer(default, elements, fds)
    writer.put(value, levels)
    return bytes(writer.out)


class _Writer:
    def __init__(self, default, elements, fds):
        self.out = bytearray()
        self.default, self.elements, self.fds = default, elements, fds

    def put(self, value, levels):
        kind = type(value)
        put = _PUT.get(kind)
        if put is None:
            if self.default is not None:
                substitute = self.default(value)
                if substitute is not value:
                    return self.put(substitute, levels)
            put = next((_PUT[base] for base in kind.__mro__ if base in _PUT), None)
            if put is None:
                raise TypeError(f"cannot send {kind.__module__}.{kind.__qualname__}: it has no place in MessagePack (multiproc.Blob.pickled wraps it for other Pythons)")
        put(self, value, levels)

    def head(self, n, fix, fix_max, *codes):
        """The head of something of length n: codes are those for lengths of 8 (or None), 16 and 32 bits."""
        one, two, four = codes
        if n <= fix_max:
            self.out.append(fix | n)
        elif n < 1 << 8 and one is not None:
            self.out += bytes((one, n))
        elif n < 1 << 16:
            self.out += struct.pack(">BH", two, n)
        elif n < 1 << 32:
            self.out += struct.pack(">BI", four, n)
        else:
            raise LimitError("a length beyond 32 bits")

    def inside(self, levels, elements):
        self.elements -= elements
        if levels < 1:
            raise LimitError("a value of too many levels")
        if self.elements < 0:
            raise LimitError("a value of too many elements")
        return levels - 1

    def none(self, value, levels):
        self.out.append(0xC0)

    def bool(self, value, levels):
        self.out.append(0xC3 if value else 0xC2)

    def int(self, n, levels):
        if -32 <= n < 128:
            self.out.append(n & 0xFF)
        elif n >= 0:
            for limit, form in _UNSIGNED:
                if n < limit:
                    self.out += form(n)
                    return
            self.big(n)
        else:
            for limit, form in _SIGNED:
                if n >= limit:
                    self.out += form(n)
                    return
            self.big(n)

    def big(self, n):
        size = (n if n >= 0 else ~n).bit_length() // 8 + 1
        self.ext(5, n.to_bytes(size, "big", signed=True))

    def float(self, value, levels):
        self.out += struct.pack(">Bd", 0xCB, value)

    def str(self, value, levels):
        try:
            data = value.encode()
        except UnicodeEncodeError:  # read from bytes that are no UTF-8
            data = value.encode(errors="surrogateescape")
        self.head(len(data), 0xA0, 31, 0xD9, 0xDA, 0xDB)
        self.out += data

    def bytes(self, value, levels):
        if isinstance(value, memoryview):
            value = value.tobytes()
        self.head(len(value), 0, -1, 0xC4, 0xC5, 0xC6)
        self.out += value

    def list(self, value, levels):
        levels = self.inside(levels, len(value))
        self.head(len(value), 0x90, 15, None, 0xDC, 0xDD)
        for element in value:
            self.put(element, levels)

    def pairs(self, pairs, levels):
        levels = self.inside(levels, 2 * len(pairs))
        self.head(len(pairs), 0x80, 15, None, 0xDE, 0xDF)
        for key, value in pairs:
            self.put(key, levels)
            self.put(value, levels)

    def dict(self, value, levels):
        self.pairs(list(value.items()), levels)

    def ext(self, code, data):
        n = len(data)
        if n in _FIXED_EXT:
            self.out.append(_FIXED_EXT[n])
        else:
            self.head(n, 0, -1, 0xC7, 0xC8, 0xC9)
        self.out += struct.pack(">b", code)
        self.out += data

    def content(self, code, value, levels):
        """An extension whose content is an array."""
        out, self.out = self.out, bytearray()
        self.list(value, levels)
        data, self.out = self.out, out
        self.ext(code, data)

    def tuple(self, value, levels):
        self.content(2, value, levels)

    def set(self, value, levels):
        self.content(3, value, levels)

    def frozenset(self, value, levels):
        self.content(4, value, levels)

    def slice(self, value, levels):
        self.content(6, [value.start, value.stop, value.step], levels)

    def complex(self, value, levels):
        self.ext(10, struct.pack(">dd", value.real, value.imag))

    def datetime(self, value, levels):
        if value.tzinfo is None:
            raise TypeError("cannot send a datetime without a time zone: it is no point in time")
        past = value - _EPOCH
        seconds, nanoseconds = past.days * 86400 + past.seconds, past.microseconds * 1000
        if nanoseconds == 0 and 0 <= seconds < 1 << 32:
            self.ext(-1, struct.pack(">I", seconds))
        elif 0 <= seconds < 1 << 34:
            self.ext(-1, struct.pack(">Q", nanoseconds << 34 | seconds))
        else:
            self.ext(-1, struct.pack(">Iq", nanoseconds, seconds))

    def raw(self, value, levels):
        self.ext(value.code, value.data)

    def reference(self, value, levels):
        self.ext(7, struct.pack(">QQ", value.instance, value.id) + value.address.encode())

    def blob(self, value, levels):
        self.content(9, [value.format, value.data], levels)

    def fault(self, value, levels):
        self.content(8, value.to_array(), levels)

    def handle(self, value, levels):
        if self.fds is None:
            raise TypeError("cannot send a handle here")
        self.ext(1, bytes((value.kind, len(self.fds), len(value.fds))) + value.meta)
        self.fds += value.fds


_PUT = {
    type(None): _Writer.none,
    bool: _Writer.bool,
    int: _Writer.int,
    float: _Writer.float,
    str: _Writer.str,
    bytes: _Writer.bytes,
    bytearray: _Writer.bytes,
    memoryview: _Writer.bytes,
    list: _Writer.list,
    Map: _Writer.pairs,
    dict: _Writer.dict,
    tuple: _Writer.tuple,
    set: _Writer.set,
    frozenset: _Writer.frozenset,
    slice: _Writer.slice,
    complex: _Writer.complex,
    datetime.datetime: _Writer.datetime,
    Ext: _Writer.raw,
    Reference: _Writer.reference,
    Blob: _Writer.blob,
    Fault: _Writer.fault,
    Handle: _Writer.handle,
}
_FIXED_EXT = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}


def _forms(*table):
    return [(limit, lambda n, code=code, form=struct.Struct(form): form.pack(code, n)) for limit, code, form in table]


_UNSIGNED = _forms((1 << 8, 0xCC, ">BB"), (1 << 16, 0xCD, ">BH"), (1 << 32, 0xCE, ">BI"), (1 << 64, 0xCF, ">BQ"))
_SIGNED = _forms((-1 << 7, 0xD0, ">Bb"), (-1 << 15, 0xD1, ">Bh"), (-1 << 31, 0xD2, ">Bi"), (-1 << 63, 0xD3, ">Bq"))


def unpack(data, *, reference=None, blob=None, levels=MAX_LEVELS, elements=MAX_ELEMENTS, fds=()):
    """The one value that data is. FormatError if it is not one, LimitError if it is too deep or too long.

    reference(Reference) and blob(Blob) make something else of these. fds are the descriptors of the frame: a handle takes its
    own, and their places in fds become None.
    """
    reader = _Reader(data, reference, blob, elements, fds)
    value = reader.get(levels)
    if reader.at != len(data):
        raise FormatError(f"{len(data) - reader.at} bytes after the value")
    return value


class _Reader:
    def __init__(self, data, reference, blob, elements, fds):
        self.data, self.at = data, 0
        self.reference, self.blob, self.elements, self.fds = reference, blob, elements, fds

    def get(self, levels):
        code = self.take(1)[0]
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if 0xA0 <= code < 0xC0:
            return self.str(code & 31)
        if code < 0xA0:
            return (self.array if code >= 0x90 else self.map)(code & 15, levels)
        form, method, nested = _GET[code - 0xC0]
        n = self.number(form) if type(form) is struct.Struct else form
        if method is None:
            return n
        return method(self, n, levels) if nested else method(self, n)

    def take(self, n):
        end = self.at + n
        if end > len(self.data):
            raise FormatError("cut short")
        data = self.data[self.at : end]
        self.at = end
        return data

    def number(self, form):
        return form.unpack(self.take(form.size))[0]

    def str(self, n):
        return str(self.take(n), "utf-8", "surrogateescape")

    def inside(self, levels, elements):
        self.elements -= elements
        if levels < 1:
            raise LimitError("a value of too many levels")
        if self.elements < 0:
            raise LimitError("a value of too many elements")
        if elements > len(self.data) - self.at:
            raise FormatError("cut short")
        return levels - 1

    def array(self, n, levels):
        levels = self.inside(levels, n)
        found = []
        for _ in range(n):  # a comprehension would be one more call for each level
            found.append(self.get(levels))
        return found

    def map(self, n, levels):
        levels = self.inside(levels, 2 * n)
        pairs = []
        for _ in range(n):
            pairs.append((self.get(levels), self.get(levels)))
        try:
            found = dict(pairs)
        except TypeError:  # a key that cannot be one in Python
            return Map(pairs)
        return found if len(found) == n else Map(pairs)

    def ext(self, n, levels):
        code = self.number(_INT8)
        data = bytes(self.take(n))
        if code not in _EXT:
            return Ext(code, data)
        outer = self.data, self.at
        try:
            if code not in _OF_ARRAY:
                return _EXT[code](self, data)
            self.data, self.at = data, 0
            array = self.get(levels)
            if self.at != n or type(array) is not list:
                raise FormatError("the content is not one array")
            return _EXT[code](self, array)
        except (ValueError, TypeError, OverflowError, struct.error):
            return Ext(code, data)
        finally:
            self.data, self.at = outer

    def set(self, array, make=set):
        found = make(array)
        if len(found) != len(array):
            raise FormatError("an element occurs twice")
        return found

    def frozenset(self, array):
        return self.set(array, frozenset)

    def big(self, data):
        if not data:
            raise FormatError("no bytes")
        return int.from_bytes(data, "big", signed=True)

    def slice(self, array):
        start, stop, step = array
        return slice(start, stop, step)

    def complex(self, data):
        return complex(*struct.unpack(">dd", data))

    def time(self, data):
        if len(data) == 4:
            seconds, nanoseconds = struct.unpack(">I", data)[0], 0
        elif len(data) == 8:
            both = struct.unpack(">Q", data)[0]
            seconds, nanoseconds = both & (1 << 34) - 1, both >> 34
        else:
            nanoseconds, seconds = struct.unpack(">Iq", data)
        if nanoseconds % 1000 or nanoseconds >= 10**9:  # finer than a datetime
            raise FormatError("nanoseconds")
        return _EPOCH + datetime.timedelta(seconds=seconds, microseconds=nanoseconds // 1000)

    def refer(self, data):
        instance, id = struct.unpack(">QQ", data[:16])
        found = Reference(instance, id, data[16:].decode())
        return self.reference(found) if self.reference else found

    def wrapped(self, array):
        format, content = array
        if not isinstance(format, str) or not isinstance(content, bytes):
            raise FormatError("not a blob")
        found = Blob(format, content)
        return self.blob(found) if self.blob else found

    def handle(self, data):
        kind, first, count = data[:3]
        own = self.fds[first : first + count]
        if len(own) != count or None in own:
            raise FormatError("a handle without its descriptors")
        self.fds[first : first + count] = [None] * count
        return Handle(kind, own, data[3:])


_INT8, _UINT8, _UINT16, _UINT32 = (struct.Struct(">" + c) for c in "bBHI")


def _never(r, n):
    raise FormatError("the byte c1")


def _bytes(r, n):
    return bytes(r.take(n))


# For the codes c0 to df: the number that follows, or a constant; what makes the value of it, if it is not the value; whether that
# has values inside.
_GET = [
    (None, None, False), (None, _never, False), (False, None, False), (True, None, False),
    *((form, _bytes, False) for form in (_UINT8, _UINT16, _UINT32)),
    *((form, _Reader.ext, True) for form in (_UINT8, _UINT16, _UINT32)),
    *((struct.Struct(">" + c), None, False) for c in "fdBHIQbhiq"),
    *((n, _Reader.ext, True) for n in (1, 2, 4, 8, 16)),
    *((form, _Reader.str, False) for form in (_UINT8, _UINT16, _UINT32)),
    *((form, _Reader.array, True) for form in (_UINT16, _UINT32)),
    *((form, _Reader.map, True) for form in (_UINT16, _UINT32)),
]  # fmt: skip
_EXT = {
    -1: _Reader.time, 1: _Reader.handle, 2: lambda r, array: tuple(array), 3: _Reader.set, 4: _Reader.frozenset, 5: _Reader.big,
    6: _Reader.slice, 7: _Reader.refer, 8: lambda r, array: Fault.of_array(array), 9: _Reader.wrapped, 10: _Reader.complex,
}  # fmt: skip
_OF_ARRAY = {2, 3, 4, 6, 8, 9}
