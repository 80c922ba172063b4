"""What a key of the configuration takes, in words: `a whole number from 0 to 65535`, `en, de or fr`.

The rule of this file: the words are made of the types that check the value, so the two cannot differ.
"""

import re

from msgspec import inspect


def wanted(tree: type, place: str) -> str:
    """What belongs at a place of that type, as msgspec names places: `metrics.port`, `alerts[0].run`."""
    kind = inspect.type_info(tree)
    for step in re.findall(r"\w+|\[[^]]*\]", place):
        kind = _inside(kind, step)
    return _words(kind)


def _inside(kind: inspect.Type, step: str) -> inspect.Type:
    match kind:
        case inspect.StructType():
            return next(field.type for field in kind.fields if field.encode_name == step)
        case inspect.DictType():
            return kind.value_type
        case inspect.TupleType():
            return kind.item_types[int(step.strip("[]"))]
        case inspect.ListType() | inspect.VarTupleType():
            return kind.item_type
    raise TypeError(f"{step}: nothing is inside of {kind}")


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.LiteralType():
            return _either([str(value) for value in kind.values])
        case inspect.UnionType():
            return _either([_words(one) for one in kind.types if not isinstance(one, inspect.NoneType)])
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            return noun + _range(kind.ge, kind.le)
        case inspect.StrType():
            lengths = _range(kind.min_length, kind.max_length)
            return f"a text of{lengths.removeprefix(' from')} letters" if lengths else "a text"
        case inspect.DictType() | inspect.StructType():
            return "a table"
    return f"a list of {len(kind.item_types)}" if isinstance(kind, inspect.TupleType) else "a list"


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f" of at most {most:g}"
    return f" from {least:g} on" if most is None else f" from {least:g} to {most:g}"


def _either(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
