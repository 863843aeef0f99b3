"""Hypothesis strategies for what channels take: keys, values, matches, lock names, fences.

Each strategy starts with the simplest value, so that failures shrink to ``"a"`` and ``1``. Values
that backends confuse, truncate or escape wrongly are likely.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ojobchannels.documents import Document

_LEAST, _GREATEST = -(2**63), 2**63 - 1
_ODD_TEXTS: Final = (
    "",
    "1",
    "true",
    "null",
    "A",
    "$",
    "$where",
    "a.b",
    "a/b",
    "../a",
    "{a}",
    "a:b",
    "*",
    " ",
    "a\n",
    "'\"\\",
    "%s",
    "é",
    "e\u0301",  # looks like the previous text, but differs
    "名前",
    "🔑",
    "\u2028",
    "a" * 4096,
)
_ODD_NUMBERS: Final = (
    1.0,
    0,
    -0.0,
    -1,
    0.1,
    2**31,
    2**53,
    2**53 + 1,  # not representable as a float
    _GREATEST,
    _LEAST,
    float(2**63),
    1e300,
    5e-324,
)
_SIMPLE: Final = ("a", 1, "b", 2)
_TWINS: Final[tuple[Document, ...]] = (
    {"a": 1, "b": 2},
    {"b": 2.0, "a": 1.0},
    {"a": "1"},
    {"a": True},
    {"a": None},
    {"a": [1]},
    {"a": {"b": {}}},
    {"$a": 1},
    {"a.b": 1},
    {"a": {"b": 1}},
    {"": ""},
)


def texts() -> SearchStrategy[str]:
    """Texts: letters, difficult ones, and any Unicode that UTF-8 can encode."""
    return st.sampled_from(("a", "b")) | st.sampled_from(_ODD_TEXTS) | _any_text()


def numbers() -> SearchStrategy[int | float]:
    """64-bit integers and finite floats."""
    return (
        st.sampled_from((1, 2))
        | st.sampled_from(_ODD_NUMBERS)
        | st.integers(_LEAST, _GREATEST)
        | st.floats(allow_nan=False, allow_infinity=False)
    )


def keys() -> SearchStrategy[Document]:
    """Keys: strings, numbers, booleans and maps, many of them similar to each other."""
    return (
        st.sampled_from(_SIMPLE)
        | st.sampled_from((1.0, "1", True, 0, -0.0, "", {}, False))
        | st.sampled_from(_TWINS)
        | texts()
        | numbers()
        | _maps(values())
    )


def values() -> SearchStrategy[Document]:
    """Values: any JSON document, mostly small."""
    scalars = st.none() | st.booleans() | numbers() | texts()
    nested = st.recursive(
        scalars, lambda parts: st.lists(parts, max_size=3) | _maps(parts), max_leaves=8
    )
    states = st.sampled_from(("new", "done"))
    return (
        st.sampled_from((1, {}, [], None))
        | st.fixed_dictionaries({"state": states}, optional={"n": numbers(), "tags": _lists()})
        | nested
    )


def matches() -> SearchStrategy[Document]:
    """Matches for `get_all` and `get_set`."""
    return st.sampled_from(({}, {"state": "new"}, {"state": None}, 1, [])) | values()


def parts_of(value: Document) -> SearchStrategy[Document]:
    """Matches that select `value`: the value itself, or part of its fields."""
    if not isinstance(value, dict) or not value:
        return st.just(value)
    parts = {field: parts_of(part) for field, part in value.items()}
    return st.just(value) | st.fixed_dictionaries({}, optional=parts)


def lock_names() -> SearchStrategy[str]:
    """Names of locks and channels: 1 to 4096 bytes of UTF-8 without NUL."""
    texts_without_nul = _any_text().filter(lambda text: text and "\0" not in text)
    odd = tuple(text for text in _ODD_TEXTS if text)
    return st.sampled_from(("a", "b")) | st.sampled_from((*odd, "é" * 2048)) | texts_without_nul


def fences() -> SearchStrategy[int]:
    """Fences: small ones, typical ones, and the largest possible one."""
    return st.integers(1, 4) | st.sampled_from((1_900_000_000_000_000, 2**53 + 1, _GREATEST))


def not_documents() -> SearchStrategy[Any]:
    """Objects that are not JSON documents, which channels refuse as keys and as values."""
    refused = (
        float("nan"),
        float("inf"),
        2**63,
        _LEAST - 1,
        "\ud800",
        (1, 2),
        {1},
        b"a",
        {1: "a"},
        {"a\0": 1},
        object,
    )
    return st.sampled_from(refused).flatmap(lambda part: st.sampled_from((part, {"a": [part]})))


def _any_text() -> SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8"), max_size=12)


def _maps(parts: SearchStrategy[Document]) -> SearchStrategy[dict[str, Document]]:
    fields = texts().filter(lambda field: "\0" not in field)
    return st.dictionaries(fields, parts, max_size=3)


def _lists() -> SearchStrategy[list[Document]]:
    return st.lists(texts() | numbers(), max_size=2)


def lookalikes(key: Document) -> Iterator[Document]:
    """Yield other notations of a key, and different keys that look similar."""
    if isinstance(key, dict):
        yield dict(reversed(key.items()))
        yield {field: next(lookalikes(part), part) for field, part in key.items()}
    elif isinstance(key, bool):
        yield from (int(key), str(key).lower(), str(key))
    elif isinstance(key, int | float):
        if float(key) == key:
            yield float(key)
        if isinstance(key, float) and key.is_integer() and _LEAST <= key <= _GREATEST:
            yield int(key)
        yield str(key)
        if key in (0, 1):
            yield bool(key)
    elif isinstance(key, str):
        yield from (key.upper(), key + " ", {key.replace("\0", ""): 1})
