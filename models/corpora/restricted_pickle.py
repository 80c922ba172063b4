"""Pickles read as data: a machine for the opcodes of protocols 0 to 5 that imports nothing and calls nothing.

Python's own unpickler imports whatever a file names and calls it, so a pickle from a stranger is a program. Here a name
is a value (`pickled_values.Name`), and only what `BUILDERS` has a row for is made: arrays and numbers of numpy, lists,
tuples, dicts, sets, texts, bytes, numbers, None, and records of classes that the caller names. All else is refused by
its dotted name. No subclass of `pickle.Unpickler` does this: BUILD and APPEND would still reach the attributes of
whatever `find_class` gives, and numpy's functions trust their arguments.

What Python 2 wrote is read, too; its byte strings are texts in latin1, as the field reads them.
The rule of this file: a length that stands in the file is compared with the bytes that are there before it is used.
"""

import codecs
import struct
from collections.abc import Callable, Collection
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from erc_live.models.corpora.pickled_values import (
    ARGUMENTS,
    BUILDERS,
    RECONSTRUCTORS,
    EmptyArray,
    Name,
    PickledObject,
    PickleRefused,
    TypeOfNumbers,
    keys,
)
from erc_live.models.errors import CorpusError

LARGEST = 8 << 30  # bytes of a file; those of the field have 2 GB at most
STEPS = 200_000_000  # opcodes of a file; every number of a list is one
DISPLAYED = 80  # characters of a name in a message
MARK = object()


def load(path: Path, records: Collection[str] = ()) -> Any:
    """The value that the pickle at `path` describes; what follows it in the file is not read.

    Args:
        path: of the file.
        records: dotted names of classes whose objects become a `PickledObject`.

    Raises:
        CorpusError: it cannot be read, is no pickle, is damaged, or holds something else than plain data.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if not 0 < size <= LARGEST:
                raise PickleRefused(f"{size} bytes")
            with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                return _Machine(data, size, records).run()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from error
    except PickleRefused as error:
        raise CorpusError(
            f"{path}: {error}; of a pickle only arrays, lists, dicts, texts and numbers are read"
        ) from error


def loads(data: bytes, records: Collection[str] = ()) -> Any:
    """As `load`, of bytes. Raises PickleRefused."""
    return _Machine(data, len(data), records).run()


class _Machine:
    """A stack, marks and a memo, as the protocol has them."""

    def __init__(self, data: bytes | mmap, size: int, records: Collection[str]) -> None:
        self._data, self._size, self._at = data, size, 0
        self._records = frozenset(records)
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value on the stack when the opcode STOP comes."""
        data, opcodes = self._data, _OPCODES
        try:
            for _ in range(STEPS):
                code = data[self._at]
                self._at += 1
                if code == _STOP:
                    return self._result()
                action = opcodes.get(code)
                if action is None:
                    raise PickleRefused(f"opcode {code:#04x} at byte {self._at}")
                action(self)
        except PickleRefused:
            raise
        except (IndexError, struct.error) as error:
            raise PickleRefused(f"damaged or cut off at byte {self._at}") from error
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError) as error:
            raise PickleRefused(f"damaged at byte {self._at} ({type(error).__name__})") from error
        raise PickleRefused(f"more than {STEPS} steps")

    def _result(self) -> Any:
        value = self.pop()
        if isinstance(value, Name):
            raise PickleRefused(_named(value.dotted))
        return value

    # The file

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if not 0 <= count <= self._size - self._at:
            raise PickleRefused(f"cut off at byte {self._at}")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, form: str) -> Any:
        """The next number, in a form of `struct`."""
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return value

    def line(self) -> bytes:
        """The bytes up to the end of the line."""
        end = self._data.find(b"\n", self._at)
        if end < 0:
            raise PickleRefused(f"cut off at byte {self._at}")
        text = self._data[self._at : end]
        self._at = end + 1
        return text

    # The stack

    def push(self, value: Any) -> None:
        """One more on the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """The last on the stack."""
        value = self._stack.pop()
        if value is MARK:
            raise PickleRefused(f"damaged at byte {self._at}")
        return value

    def drop(self) -> None:
        """Forget the last on the stack, which may be a mark."""
        self._stack.pop()

    def top(self) -> Any:
        """The last on the stack, which stays there."""
        return self._stack[-1]

    def since_mark(self) -> list[Any]:
        """What came after the last mark."""
        stack = self._stack
        start = len(stack) - 1
        while stack[start] is not MARK:
            start -= 1
            if start < 0:
                raise PickleRefused(f"damaged at byte {self._at}")
        items = stack[start + 1 :]
        del stack[start:]
        return items

    # The memo

    def put(self, key: int) -> None:
        """Remember the last on the stack."""
        value = self._memo[key] = self._stack[-1]
        if isinstance(value, EmptyArray):
            value.memo_key = key

    def memoize(self) -> None:
        """Remember it under the next number."""
        self.put(len(self._memo))

    def get(self, key: int) -> None:
        """What was remembered."""
        self.push(self._memo[key])

    # What is built

    def name(self, module: Any, qualified: Any) -> None:
        """A dotted name as a value. Refused at once when nothing can come of it."""
        dotted = f"{module}.{qualified}"
        if dotted not in self._records and dotted not in BUILDERS and dotted not in ARGUMENTS | RECONSTRUCTORS:
            raise PickleRefused(_named(dotted))
        self.push(Name(dotted))

    def make(self, name: Any, arguments: Any) -> None:
        """What a name makes of its arguments."""
        if not (isinstance(name, Name) and isinstance(arguments, tuple)):
            raise PickleRefused(f"damaged at byte {self._at}")
        if name.dotted in RECONSTRUCTORS:
            name, arguments = arguments[0], ()
        if isinstance(name, Name) and name.dotted in self._records:
            if arguments:
                raise PickleRefused(f"{_named(name.dotted)} with arguments")
            self.push(PickledObject(name.dotted))
        elif isinstance(name, Name) and name.dotted in BUILDERS:
            self.push(BUILDERS[name.dotted](*arguments))
        else:
            raise PickleRefused(_named(name.dotted) if isinstance(name, Name) else "an object without a class")

    def build(self) -> None:
        """Give the last on the stack its state; an array takes the place of what announced it."""
        state, target = self.pop(), self.top()
        if not isinstance(target, PickledObject | TypeOfNumbers | EmptyArray):
            raise PickleRefused(f"a state for a {type(target).__name__}")
        whole = target.build(state)
        self._stack[-1] = whole
        if isinstance(target, EmptyArray) and target.memo_key is not None:
            self._memo[target.memo_key] = whole

    def append(self, items: list[Any]) -> None:
        """More items for the list on the stack."""
        target = self.top()
        if not isinstance(target, list):
            raise PickleRefused(f"items for a {type(target).__name__}")
        target.extend(items)

    def add(self, items: list[Any]) -> None:
        """More items for the set on the stack."""
        target = self.top()
        if not isinstance(target, set):
            raise PickleRefused(f"items for a {type(target).__name__}")
        target.update(keys(items))

    def set_items(self, items: list[Any]) -> None:
        """More keys and values, in turn, for the dict on the stack."""
        target = self.top()
        if not isinstance(target, dict):
            raise PickleRefused(f"keys for a {type(target).__name__}")
        target.update(zip(keys(items[::2]), items[1::2], strict=True))


def _named(dotted: str) -> str:
    text = ascii(dotted)[1:-1]
    return f"it names {text if len(text) <= DISPLAYED else text[:DISPLAYED] + '...'}"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _quoted(line: bytes) -> str:
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise PickleRefused("a text without its quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")


def _decimal(line: bytes) -> int | bool:
    return {b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line)


def _long(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _dict(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(keys(items[::2]), items[1::2], strict=True))


def _set_item(m: _Machine) -> None:
    value, key = m.pop(), m.pop()
    m.set_items([key, value])


def _new_object(m: _Machine) -> None:
    arguments, name = m.pop(), m.pop()
    m.make(name, arguments)


def _stack_global(m: _Machine) -> None:
    qualified, module = m.pop(), m.pop()
    m.name(module, qualified)


def _object(m: _Machine) -> None:
    name, *arguments = m.since_mark()
    m.make(name, tuple(arguments))


def _instance(m: _Machine) -> None:
    m.name(_text(m.line()), _text(m.line()))
    name = m.pop()
    m.make(name, tuple(m.since_mark()))


def _tuple_of(count: int) -> Callable[[_Machine], None]:
    return lambda m: m.push(tuple(m.pop() for _ in range(count))[::-1])


_STOP = ord(".")
_OPCODES: dict[int, Callable[[_Machine], Any]] = {
    code[0]: action
    for code, action in (
        (b"\x80", lambda m: m.take(1)),  # PROTO
        (b"\x95", lambda m: m.take(8)),  # FRAME
        (b"(", lambda m: m.push(MARK)),
        (b"0", lambda m: m.drop()),
        (b"1", lambda m: m.since_mark()),
        (b"2", lambda m: m.push(m.top())),
        (b"N", lambda m: m.push(None)),
        (b"\x88", lambda m: m.push(True)),
        (b"\x89", lambda m: m.push(False)),
        (b"I", lambda m: m.push(_decimal(m.line()))),
        (b"L", lambda m: m.push(int(m.line().rstrip(b"L")))),
        (b"J", lambda m: m.push(m.number("<i"))),
        (b"K", lambda m: m.push(m.number("<B"))),
        (b"M", lambda m: m.push(m.number("<H"))),
        (b"\x8a", lambda m: m.push(_long(m.take(m.number("<B"))))),
        (b"\x8b", lambda m: m.push(_long(m.take(m.number("<i"))))),
        (b"F", lambda m: m.push(float(m.line()))),
        (b"G", lambda m: m.push(m.number(">d"))),
        (b"S", lambda m: m.push(_quoted(m.line()))),
        (b"T", lambda m: m.push(m.take(m.number("<i")).decode("latin-1"))),
        (b"U", lambda m: m.push(m.take(m.number("<B")).decode("latin-1"))),
        (b"V", lambda m: m.push(m.line().decode("raw-unicode-escape"))),
        (b"X", lambda m: m.push(_text(m.take(m.number("<I"))))),
        (b"\x8c", lambda m: m.push(_text(m.take(m.number("<B"))))),
        (b"\x8d", lambda m: m.push(_text(m.take(m.number("<Q"))))),
        (b"B", lambda m: m.push(m.take(m.number("<I")))),
        (b"C", lambda m: m.push(m.take(m.number("<B")))),
        (b"\x8e", lambda m: m.push(m.take(m.number("<Q")))),
        (b"\x96", lambda m: m.push(bytearray(m.take(m.number("<Q"))))),  # BYTEARRAY8
        (b"]", lambda m: m.push([])),
        (b"l", lambda m: m.push(m.since_mark())),
        (b"a", lambda m: m.append([m.pop()])),
        (b"e", lambda m: m.append(m.since_mark())),
        (b"}", lambda m: m.push({})),
        (b"d", lambda m: m.push(_dict(m.since_mark()))),
        (b"s", _set_item),
        (b"u", lambda m: m.set_items(m.since_mark())),
        (b")", lambda m: m.push(())),
        (b"t", lambda m: m.push(tuple(m.since_mark()))),
        (b"\x85", _tuple_of(1)),
        (b"\x86", _tuple_of(2)),
        (b"\x87", _tuple_of(3)),
        (b"\x8f", lambda m: m.push(set())),
        (b"\x90", lambda m: m.add(m.since_mark())),
        (b"\x91", lambda m: m.push(frozenset(keys(m.since_mark())))),
        (b"p", lambda m: m.put(int(m.line()))),
        (b"q", lambda m: m.put(m.number("<B"))),
        (b"r", lambda m: m.put(m.number("<I"))),
        (b"\x94", lambda m: m.memoize()),
        (b"g", lambda m: m.get(int(m.line()))),
        (b"h", lambda m: m.get(m.number("<B"))),
        (b"j", lambda m: m.get(m.number("<I"))),
        (b"c", lambda m: m.name(_text(m.line()), _text(m.line()))),
        (b"\x93", _stack_global),
        (b"R", _new_object),
        (b"\x81", _new_object),
        (b"b", lambda m: m.build()),
        (b"o", _object),
        (b"i", _instance),
    )
}
