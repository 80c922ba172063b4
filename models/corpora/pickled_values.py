"""What a pickle of data may name: arrays and numbers of numpy, sets, dicts of other kinds, and plain records.

A name in a pickle stands for nothing here but a row of `BUILDERS`: a function of ours that makes a plain value of plain
arguments. numpy's own functions are never called, for a hostile state given to `dtype.__setstate__` writes into memory;
an array is made from its bytes alone, after its type, shape and length were compared.

The rule of this file: no name from the file is imported, and nothing grows beyond the bytes that were given.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

AXES = 8  # of an array; those of the field have one or two
# As numpy writes a type: booleans, whole numbers, floats, and texts of a fixed length. No objects, no fields.
PLAIN_TYPE = re.compile(r"b1|[iu][1248]|f[248]|[SU][0-9]{1,6}")
EMPTY = {"U0": "", "S0": b""}  # the type of an empty text, of which there are no arrays
OBJECTS = re.compile(r"O[48]?")


class PickleRefused(ValueError):
    """What a pickle holds that is not plain data, or is damaged: in words, without the file's name."""


@dataclass(frozen=True)
class Name:
    """A dotted name that stands in a pickle."""

    dotted: str


@dataclass(eq=False)
class PickledObject:
    """An object of a class that the caller expects: its name and its attributes, and nothing of its code."""

    dotted: str
    fields: dict[str, Any] = field(default_factory=dict)

    def build(self, state: Any) -> "PickledObject":
        """The same record with its attributes."""
        if not (isinstance(state, dict) and all(isinstance(key, str) for key in state)):
            raise PickleRefused(f"{self.dotted} with another state than its attributes")
        self.fields.update(state)
        return self


@dataclass(eq=False)
class TypeOfNumbers:
    """A type of numpy's: `code` without, `order` with its order of bytes."""

    code: str
    order: str = "="

    def build(self, state: Any) -> "TypeOfNumbers":
        """The same type with its order of bytes."""
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "=")):
            raise PickleRefused("a type of numpy with a state that is none")
        self.order = state[1]
        return self

    @property
    def objects(self) -> bool:
        """Whether it stands for values of any kind."""
        return OBJECTS.fullmatch(self.code) is not None

    def plain(self) -> np.dtype[Any]:
        """As numpy has it. Raises PickleRefused when it is none of numbers or texts."""
        if not PLAIN_TYPE.fullmatch(self.code):
            raise PickleRefused(f"numpy's type {self.code[:20]!r}")
        return np.dtype(self.order.replace("|", "=") + self.code)


@dataclass(eq=False)
class EmptyArray:
    """An array whose content has not come yet; `memo_key` is where the memo has it."""

    memo_key: int | None = None

    def build(self, state: Any) -> Any:
        """The array; of values of any kind, the list of them."""
        if not (isinstance(state, tuple) and len(state) in (4, 5)):
            raise PickleRefused("an array of numpy with a state that is none")
        shape, kind, columns_first, content = state[-4:]
        if isinstance(kind, TypeOfNumbers) and kind.objects:
            if not (isinstance(content, list) and isinstance(shape, tuple) and shape == (len(content),)):
                raise PickleRefused("an array of objects with several axes")
            return content
        return array(content, kind, shape, "F" if columns_first else "C")


def array(content: Any, kind: Any, shape: Any, order: Any = "C") -> np.ndarray[Any, Any]:
    """An array from its bytes. Raises PickleRefused when type, shape and bytes do not belong together."""
    content = content.encode("latin-1") if isinstance(content, str) else content  # Python 2 wrote bytes so
    if not (isinstance(content, bytes | bytearray) and isinstance(kind, TypeOfNumbers) and order in ("C", "F")):
        raise PickleRefused("an array of numpy that is not made of bytes")
    whole = isinstance(shape, tuple) and len(shape) <= AXES and all(type(n) is int and n >= 0 for n in shape)
    if not whole or prod(shape) * kind.plain().itemsize != len(content):
        raise PickleRefused("an array of numpy whose shape and length differ")
    return np.frombuffer(content, kind.plain()).reshape(shape, order=order)


def _type(code: Any, *_: Any) -> TypeOfNumbers:
    if not isinstance(code, str):
        raise PickleRefused("a type of numpy without a name")
    return TypeOfNumbers(code.lstrip("<>=|"), code[0] if code[:1] in ("<", ">") else "=")


def _scalar(kind: Any, content: Any) -> Any:
    if isinstance(kind, TypeOfNumbers) and kind.code in EMPTY and not content:
        return EMPTY[kind.code]
    return array(content, kind, ()).item()


def _empty_array(*_: Any) -> EmptyArray:
    return EmptyArray()


def _array_of_buffer(content: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> np.ndarray[Any, Any]:
    if axes is not None:
        raise PickleRefused("an array of numpy with its axes in another order")
    return array(content, kind, shape, order)


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise PickleRefused("bytes that are not written as latin1")
    return text.encode("latin-1")


def _bytes(content: Any = b"", encoding: Any = "latin1") -> bytes:
    return bytes(content) if isinstance(content, bytes | bytearray) else _encoded(content, encoding)


def _set(items: Any = ()) -> set[Any]:
    return set(keys(items))


def _frozenset(items: Any = ()) -> frozenset[Any]:
    return frozenset(keys(items))


def _dict(*arguments: Any) -> dict[Any, Any]:
    """Of an OrderedDict the pairs come with it or later; of a defaultdict the kind of its default, which has no use."""
    pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise PickleRefused("a dict of something else than pairs")
    return dict(zip(keys([pair[0] for pair in pairs]), (pair[1] for pair in pairs), strict=True))


def keys(items: Any) -> list[Any]:
    """What may be in a set or be a key of a dict: texts, numbers, bytes and None. Nothing nested is hashed, for the
    hash of what is nested a million times ends the process.
    """
    if not isinstance(items, list | tuple):
        raise PickleRefused("a set of something else than a list")
    for item in items:
        if not isinstance(item, str | bytes | int | float | None):
            raise PickleRefused(f"a {type(item).__name__} as a key")
    return list(items)


BUILDERS: dict[str, Callable[..., Any]] = {
    **{f"{room}.multiarray._reconstruct": _empty_array for room in ("numpy.core", "numpy._core")},
    **{f"{room}.multiarray.scalar": _scalar for room in ("numpy.core", "numpy._core")},
    **{f"{room}.numeric._frombuffer": _array_of_buffer for room in ("numpy.core", "numpy._core")},
    "numpy.dtype": _type,
    "_codecs.encode": _encoded,
    **{f"{room}.set": _set for room in ("builtins", "__builtin__")},
    **{f"{room}.frozenset": _frozenset for room in ("builtins", "__builtin__")},
    **{f"{room}.bytearray": _bytes for room in ("builtins", "__builtin__")},
    **{f"{room}.bytes": _bytes for room in ("builtins", "__builtin__")},
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _dict,
}
# Names that only stand as an argument of those above: the class of an array, of a default, of what has no other base.
ARGUMENTS = frozenset(
    (
        "numpy.ndarray",
        *(f"{room}.{name}" for room in ("builtins", "__builtin__") for name in ("list", "dict", "object")),
    )
)
RECONSTRUCTORS = frozenset(("copyreg._reconstructor", "copy_reg._reconstructor"))  # of a record, by protocols 0 and 1
