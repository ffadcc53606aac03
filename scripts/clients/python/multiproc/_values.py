"""What PROTOCOL.md has and Python has not: the values that a Python value of the same meaning cannot be made of."""
import os
import pickle


class Ext:
    """An extension that is not known here, or whose content is no Python value (a set of lists, say). It is kept byte for byte."""

    __slots__ = ("code", "data")

    def __init__(self, code, data):
        if not -128 <= code <= 127:
            raise ValueError(f"extension code {code}: expected -128 to 127")
        self.code, self.data = code, bytes(data)

    def __eq__(self, other):
        return isinstance(other, Ext) and (self.code, self.data) == (other.code, other.data)

    def __hash__(self):
        return hash((self.code, self.data))

    def __repr__(self):
        return f"Ext({self.code}, {self.data!r})"


class Map(list):
    """A map that no dict can hold, as a list of pairs: a key is a list, or two keys (1 and 1.0) are one to Python."""

    def __repr__(self):
        return f"Map({list.__repr__(self)})"


class Reference:
    """An object of a manager, by name only: without a connection to it, and without a lease. Proxies are made of it."""

    __slots__ = ("instance", "id", "address")

    def __init__(self, instance, id, address=""):
        self.instance, self.id, self.address = instance, id, address

    def __eq__(self, other):
        return isinstance(other, Reference) and (self.instance, self.id) == (other.instance, other.id)

    def __hash__(self):
        return hash((self.instance, self.id))

    def __repr__(self):
        return f"Reference({self.instance}, {self.id}, {self.address!r})"


class Blob:
    """Bytes in a format private to one language; nobody looks into them by himself."""

    __slots__ = ("format", "data")
    PICKLE = "python.pickle"

    def __init__(self, format, data):
        self.format, self.data = format, bytes(data)

    @classmethod
    def pickled(cls, value):
        return cls(cls.PICKLE, pickle.dumps(value))

    def unpickle(self):
        """Runs whatever code the one who made the blob has put there: only for those whom you trust."""
        if self.format != self.PICKLE:
            raise ValueError(f"a blob of format {self.format!r}; expected {self.PICKLE!r}")
        return pickle.loads(self.data)

    def __eq__(self, other):
        return isinstance(other, Blob) and (self.format, self.data) == (other.format, other.data)

    def __hash__(self):
        return hash((self.format, self.data))

    def __repr__(self):
        return f"Blob({self.format!r}, {self.data!r})"


class Fault:
    """An error as data: kind, text, and perhaps stack and value. _errors.py makes exceptions of it."""

    __slots__ = ("kind", "text", "stack", "value")

    def __init__(self, kind, text, stack=None, value=None):
        self.kind, self.text, self.stack, self.value = kind, text, stack, value

    @classmethod
    def of_array(cls, array):
        kind, text, options = array
        if not (isinstance(kind, str) and isinstance(text, str) and isinstance(options, dict)):
            raise ValueError("not a fault")
        return cls(kind, text, options.get("stack"), options.get("value"))

    def to_array(self):
        options = {"stack": self.stack, "value": self.value}
        return [self.kind, self.text, {k: v for k, v in options.items() if v is not None}]

    def __eq__(self, other):
        return isinstance(other, Fault) and self.to_array() == other.to_array()

    __hash__ = None

    def __repr__(self):
        return f"Fault({self.kind!r}, {self.text!r})"


class Handle:
    """Something that lives in descriptors, which it owns: close it, or let go of it."""

    __slots__ = ("kind", "fds", "meta")

    def __init__(self, kind, fds, meta=b""):
        self.kind, self.fds, self.meta = kind, list(fds), meta

    def detach(self):
        """The descriptors; they are the caller's from now on."""
        fds, self.fds = self.fds, []
        return fds

    def close(self):
        for fd in self.detach():
            os.close(fd)

    def __del__(self):
        try:
            self.close()
        except Exception:  # not built to its end, or the interpreter goes down
            pass

    def __repr__(self):
        return f"Handle({self.kind}, {self.fds}, {self.meta!r})"
