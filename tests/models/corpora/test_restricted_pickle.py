"""Pickles as data: what is plain comes back as Python's own unpickler gives it, and all else is refused by its name,
with nothing imported, called or filled with memory.
"""

import builtins
import collections
import contextlib
import io
import os
import pickle
import pickletools
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_pickles import record_class
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from erc_live.models.corpora.pickled_values import PickledObject, PickleRefused
from erc_live.models.corpora.restricted_pickle import load, loads
from erc_live.models.errors import CorpusError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
KEYS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
DATA = st.recursive(
    KEYS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=20,
)
NUMBERS = (
    hnp.boolean_dtypes() | hnp.integer_dtypes(endianness="?") | hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64))
)
ARRAYS = hnp.arrays(
    NUMBERS | hnp.unicode_string_dtypes(max_len=3), hnp.array_shapes(min_dims=0, min_side=0, max_side=3)
)


@given(DATA, st.sampled_from(PROTOCOLS))
def test_plain_data_is_what_it_was(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert repr(loads(data)) == repr(pickle.loads(data)) == repr(value)
    assert repr(loads(pickletools.optimize(data))) == repr(value)


@given(st.sets(KEYS, max_size=3), st.sampled_from(PROTOCOLS))
def test_sets_are_what_they_were(value: set[Any], protocol: int) -> None:
    assert loads(pickle.dumps([value, frozenset(value)], protocol)) == [value, frozenset(value)]


@given(ARRAYS, st.sampled_from(PROTOCOLS), st.booleans())
def test_arrays_are_what_they_were(values: np.ndarray[Any, Any], protocol: int, columns_first: bool) -> None:
    given_values = np.asfortranarray(values) if columns_first else values
    twice = loads(pickle.dumps({"a": given_values, "b": [given_values]}, protocol))
    assert twice["a"] is twice["b"][0]
    assert twice["a"].shape == given_values.shape
    assert twice["a"].tobytes() == given_values.astype(twice["a"].dtype).tobytes()
    scalars = list(given_values.ravel())
    assert repr(loads(pickle.dumps(scalars, protocol))) == repr([scalar.item() for scalar in scalars])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_dicts_of_other_kinds_arrays_of_objects_and_bytearrays(protocol: int) -> None:
    default = collections.defaultdict(list, {1: [2]})
    value = {
        "o": collections.OrderedDict(a=1),
        "d": default,
        "n": np.array(["a", None, 1], dtype=object),
        "b": bytearray(b"\xff"),
    }
    assert loads(pickle.dumps(value, protocol)) == {
        "o": {"a": 1},
        "d": {1: [2]},
        "n": ["a", None, 1],
        "b": bytearray(b"\xff"),
    }


def test_what_python_2_wrote() -> None:
    raw = np.array([1.5, -2.0], "<f4").tobytes()
    texts = b"(S'caf\\xe9'\nU\x01\xe9T\x02\x00\x00\x00abt."
    assert loads(texts) == ("café", "é", "ab")
    head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    kind = b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    content = repr(raw)[1:].encode()
    array = loads(head + b"(I1\n(I2\nt" + kind + b"I00\nS" + content + b"\ntb.")
    assert array.tolist() == [1.5, -2.0]
    assert loads(b"c__builtin__\nset\n((lp0\nI1\nI2\natR.".replace(b"(lp0\nI1\n", b"(lp0\nI1\na")) == {1, 2}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_records_of_the_classes_that_are_expected(protocol: int) -> None:
    with record_class() as kind:
        one = kind()
        one.vid, one.text = "a", [np.float32(1.0)]
        data = pickle.dumps([one, one], protocol)
    first, second = loads(data, ("himallgg.Sample.Sample",))
    assert first is second
    assert isinstance(first, PickledObject)
    assert first.fields == {"vid": "a", "text": [1.0]}
    assert "himallgg" not in sys.modules
    with pytest.raises(PickleRefused, match=r"it names himallgg\.Sample\.Sample"):
        loads(data)


class Call:
    """Pickled as a call of anything."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.parts


def hostile() -> list[Any]:
    touch = ("import os; os.environ['ERC_PWNED'] = '1'",)
    return [
        Call(exec, *touch),
        Call(eval, "1"),
        Call(os.system, "exit 1"),
        Call(os.putenv, "a", "b"),
        Call(getattr, "", "join"),
        Call(builtins.__import__, "os"),
        Call(io.open, "/etc/passwd"),
        Call(np.load, "a.npy"),
        Call(np.fromfile, "a.npy"),
        Call(np.zeros, 1 << 60),
        Call(bytes, 1 << 40),
        Call(bytearray, 1 << 40),
        Call(list, (1,)),
        Call(object),
        Call(type, "A", (), {}),
        np.array([Call(exec, *touch)], dtype=object),
        np.zeros(2, [("a", "f4"), ("b", "O")]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.zeros((2, 2), object),
        np.ma.masked_array([1]),
        complex(1, 2),
        range(3),
        {(1, 2): 3},
        Path("a"),
        Call(np.dtype, "f4", state=(3, "|", None, ("a",), {"a": 1}, 8, 1, 63)),
        [[Call(exec, *touch)] * 3] * 3,
    ]


@pytest.mark.parametrize("place", range(len(hostile())))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_what_is_no_data_is_refused(place: int, protocol: int) -> None:
    value = hostile()[place]
    allowed = isinstance(value, Call) and value.parts[0] is np.dtype  # read as a type, and never as numpy's own
    if allowed:
        assert type(loads(pickle.dumps(value, protocol))).__module__ == "erc_live.models.corpora.pickled_values"
    else:
        with pytest.raises(PickleRefused):
            loads(pickle.dumps(value, protocol))
    assert "ERC_PWNED" not in os.environ


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"cposix\nsystem\n(S'ls'\ntR.", "it names posix.system"),
        (b"cos\nsystem\n.", "it names os.system"),
        (b"(S'ls'\niposix\nsystem\n.", "it names posix.system"),
        (b"(cposix\nsystem\nS'ls'\no.", "it names posix.system"),
        (b"\x8c\x08builtins\x8c\x04eval\x93.", "it names builtins.eval"),
        (b"\x8c\x08builtins\x8c\x0cset.__init__\x93.", "it names builtins.set.__init__"),
        (b"cnumpy\ndtype\n.", "it names numpy.dtype"),
        (b"cnumpy\ndtype\n}b.", "a state for a Name"),
        (b"cnumpy\ndtype\nI1\na.", "items for a Name"),
        (b"Pos\n.", "opcode 0x50"),  # a persistent id
        (b"\x82\x01.", "opcode 0x82"),  # an extension
        (b"\x97.", "opcode 0x97"),  # a buffer from elsewhere
        (b"\x92.", "opcode 0x92"),
        (b"]" + b"h\x00.", "damaged"),
        (b"(.", "damaged"),
        (b".", "damaged"),
        (b"X\xff\xff\xff\x7fab.", "cut off"),
        (b"\x8e" + b"\xff" * 8, "cut off"),
        (b"\x8b\xff\xff\xff\xff.", "cut off"),
        (b"L" + b"9" * 5000 + b"L\n.", "damaged"),
        (b"(" * 100_000 + b".", "damaged"),
        (b"hello", "opcode 0x68|damaged|cut off"),
        (b"\xff\xfe", "opcode 0xff"),
    ],
)
def test_one_line_for_what_is_no_pickle_of_data(data: bytes, says: str) -> None:
    with pytest.raises(PickleRefused, match=says) as refusal:
        loads(data)
    assert "\n" not in str(refusal.value)


def array_state(shape: bytes, content: bytes, kind: bytes = b"f4") -> bytes:
    head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR"
    return head + b"(I1\n" + shape + b"cnumpy\ndtype\n(U" + bytes([len(kind)]) + kind + b"tRI00\n" + content + b"tb."


@pytest.mark.parametrize(
    ("shape", "content", "kind"),
    [
        (b"(I1000000000000\nt", b"C\x04abcd", b"f4"),
        (b"(I-1\nt", b"C\x04abcd", b"f4"),
        (b"(I1\nI1000000000000000000\nI0\nt", b"C\x04abcd", b"f4"),
        (b"(I1\nt", b"C\x03abc", b"f4"),
        (b"(I1\nt", b"N", b"f4"),
        (b"I1\n", b"C\x04abcd", b"f4"),
        (b"(F1\nt", b"C\x04abcd", b"f4"),
        (b"(I1\nt", b"C\x08abcdefgh", b"O8"),
        (b"(I1\nt", b"C\x08abcdefgh", b"M8"),
        (b"(I1\nt", b"C\x04abcd", b"V4"),
        (b"(I1\nt", b"C\x04abcd", b"f4,f4"),
        (b"(" + b"I1\n" * 9 + b"t", b"C\x04abcd", b"f4"),
    ],
)
def test_arrays_whose_parts_do_not_belong_together(shape: bytes, content: bytes, kind: bytes) -> None:
    assert loads(array_state(b"(I1\nt", b"C\x04abcd")).shape == (1,)
    with pytest.raises(PickleRefused):
        loads(array_state(shape, content, kind))


def test_what_is_nested_or_shared_without_end_costs_no_more_than_its_bytes() -> None:
    deep = loads(b"]" + b"]" * 20_000 + b"a" * 20_000 + b".")
    assert len(deep) == 1
    with pytest.raises(PickleRefused, match="a tuple as a key"):  # whose hash would go as deep, and end the process
        loads(b"})" + b"\x85" * 200_000 + b"Ns.")
    laughs = b"]q\x00" + b"".join(
        b"]" + b"q" + bytes([n]) + b"(" + b"h" + bytes([n - 1]) + b"h" + bytes([n - 1]) + b"e" for n in range(1, 200)
    )
    assert len(loads(laughs + b".")) == 2
    itself = loads(b"]q\x00h\x00a.")
    assert itself[0] is itself


@settings(max_examples=300)
@given(st.data())
def test_any_bytes_are_data_or_refused(data: st.DataObject) -> None:
    whole = bytearray(
        pickle.dumps([{"a": np.arange(3.0), "b": (1, "x", b"y", {2})}], data.draw(st.sampled_from(PROTOCOLS)))
    )
    for place, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=4)
    ):
        whole[place] = byte
    with contextlib.suppress(PickleRefused):
        loads(bytes(whole[: data.draw(st.integers(1, len(whole)))]))


@given(st.binary(max_size=60))
def test_noise_is_data_or_refused(data: bytes) -> None:
    with contextlib.suppress(PickleRefused):
        loads(data)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([1]))
    assert load(path) == [1]
    path.write_bytes(pickle.dumps(Call(os.system, "exit 1")))
    with pytest.raises(CorpusError, match=r"a\.pkl: it names (posix|nt)\.system; of a pickle only arrays"):
        load(path)
    path.write_bytes(b"")
    with pytest.raises(CorpusError, match="0 bytes"):
        load(path)
    with pytest.raises(CorpusError, match="cannot be read: No such file"):
        load(tmp_path / "absent.pkl")


def test_lengths_of_all_kinds() -> None:
    text = "a" * 300
    for head, form in ((b"X", "<I"), (b"\x8d", "<Q")):
        assert loads(head + struct.pack(form, 300) + text.encode() + b".") == text
    assert loads(b"B" + struct.pack("<I", 300) + text.encode() + b".") == text.encode()
    assert loads(b"\x8b" + struct.pack("<i", 2) + b"\xff\x7f.") == 32767
    assert loads(b"r".join([b"N", struct.pack("<I", 1000) + b"0j" + struct.pack("<I", 1000) + b"."])) is None
