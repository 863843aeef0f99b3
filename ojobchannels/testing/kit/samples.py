"""Documents, keys and names that are hard for backends; the contracts use all of them."""

from __future__ import annotations

from typing import Any, Final


def nested(levels: int) -> Any:
    """Return maps and lists in turn, nested `levels` deep."""
    document: Any = "core"
    for level in range(levels):
        document = {"in": document} if level % 2 else [document]
    return document


SAME_KEYS: Final[list[tuple[Any, Any]]] = [
    (1, 1.0),
    (0, -0.0),
    (0.0, -0.0),
    (-7, -7.0),
    (2**53, float(2**53)),
    (-(2**63), float(-(2**63))),
    ({"a": 1, "b": 2}, {"b": 2.0, "a": 1.0}),
    ({"a": {"x": [1, -0.0], "y": 2}}, {"a": {"y": 2, "x": [1.0, 0]}}),
]

SIGNS: Final = [
    *("$", "$ne", ".", "a.b", "/", "a/b", "..", "\\", "%", "*", "?", "[a]", "{}", "{a}", ":", "'"),
    *('"', "line\nbreak", "\r\n", "\t", " ", " a", "a ", "\x7f", "\ufeff", "\u2028", "'; --"),
]

DIFFERENT_KEYS: Final[list[Any]] = [
    *(1, "1", True, "true", 0, "0", False, 1.5, "1.5", "1.0", "", {}, "null", "\0", "a\0b"),
    *(2**53, 2**53 + 1, 2**63 - 1, -(2**63), 1e300, 5e-324, 0.1, 1e16, 123456789012345678),
    *("é", "e\u0301", "ß", "ss", "A", "a", "日本語", "😀", *SIGNS),
    *({"": ""}, {"a": 1}, {"a": "1"}, {"a": True}, {"a": None}, {"a": []}, {"a": {}}, {"a": [{}]}),
    *({"a": 0}, {"a": False}, {"a": [1, 2]}, {"a": [2, 1]}, {"a": {"b": {"c": 1}}}, {"b": 1}),
    *({"$set": {"a.b": "/"}}, {"a": 1, "b": None}, {"é": 1}, {"e\u0301": 1}, {"a b": "\n"}),
    *("k" * 4095 + "m", "m" + "k" * 4095, "k" * 256, "k" * 255),
    *("k" * 4096, {"k" * 4096: "v" * 4096}, {"deep": nested(99)}),
]

NUMBERS: Final[list[Any]] = [
    *(0, 1, -1, 2**31, 2**32, 2**53 - 1, 2**53, 2**53 + 1, 10**18 + 1, 2**63 - 1, -(2**63)),
    *(0.0, -0.0, 1.0, -1.5, 0.1, 1 / 3, 1e16, 1e22, 1e300, 5e-324, -1.7976931348623157e308),
]

TEXTS: Final[list[str]] = [
    *("", "é", "e\u0301", "ß", "İ", "😀", "日本語", "\0", "a\0b", "\x01\x1f\x7f", "\ud7ff\ue000"),
    *("null", "true", "1", "[]", "{}", "\\u0041", "a" * 100_000, *SIGNS),
]

SHAPES: Final[list[Any]] = [
    *(None, True, False, [], {}, [[]], [{}], {"": None}, {"": {"": []}}, [None, [None]]),
    *({"a": []}, {"a": {}}, {"a.b": {"$c": ["/"]}}, {"b": 1, "a": 2, "B": 3}, {"$set": {"a": 1}}),
    *({"_id": 1}, {"id": {"_id": 2}}, {"__proto__": 1}, [1, "1", True, None, 1.5], nested(100)),
    *([None, [None, {"a": None}]], list(range(1000))),
]

NOT_JSON: Final[list[tuple[Any, str, str]]] = [
    (float("nan"), "", "nan is not JSON"),
    (float("inf"), "", "inf is not JSON"),
    ({"a": [1, float("-inf")]}, ".a[1]", "-inf is not JSON"),
    (2**63, "", "does not fit into 64 bits"),
    ({"n": 2**70}, ".n", "does not fit into 64 bits"),
    (-(2**63) - 1, "", "does not fit into 64 bits"),
    (object(), "", "an object is not JSON"),
    ({"when": {"exactly": object()}}, ".when.exactly", "an object is not JSON"),
    ((1, 2), "", "a tuple is not JSON"),
    ({"pair": (1, 2)}, ".pair", "a tuple is not JSON"),
    (b"bytes", "", "a bytes is not JSON"),
    ({1, 2}, "", "a set is not JSON"),
    ({1: "a"}, "", "the field name 1 is an int, not a string"),
    ({"a": {None: 1}}, ".a", "the field name None is a NoneType, not a string"),
    ({"a\0b": 1}, "", "contains NUL"),
    ("\ud800", "", "a lone surrogate"),
    ({"text": ["ok", "bad \udfff"]}, ".text[1]", "a lone surrogate"),
    ({"\ud83d": 1}, "['\\ud83d']", "a lone surrogate"),
    ({"a.b": {"$": object()}}, "['a.b']['$']", "an object is not JSON"),
    ({"deep": nested(100)}, ".deep", "more than 100 levels"),
]

LOCK_NAMES: Final = [
    *("nightly", "Nightly", "nightly ", "é", "e\u0301", "ß", "ss", "😀", "0", "00", "-1", "null"),
    *("../../etc", "a/b/", "a//b", ".hidden", "batch-{id}", "n" * 4096, "é" * 2048, *SIGNS),
    *("a", "a" * 255, "a" * 256, "n" * 4095 + "m", "\x1f", "a\x1fslots"),
]

MATCHES: Final[list[tuple[Any, Any, bool]]] = [
    ({}, {}, True),
    ({}, {"a": 1}, True),
    ({}, [], False),
    ({}, None, False),
    ({}, "", False),
    ({"a": 1}, {"a": 1.0, "b": 2}, True),
    ({"a": 1}, {"a": True}, False),
    ({"a": 0}, {"a": False}, False),
    ({"a": 1}, {"a": "1"}, False),
    ({"a": 1}, {"a": [1]}, False),
    ({"a": 1}, {"a": [1, 2]}, False),
    ({"a": None}, {}, False),
    ({"a": None}, {"a": None}, True),
    ({"a": {}}, {"a": {"b": 1}}, True),
    ({"a": {}}, {"a": None}, False),
    ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}, True),
    ({"a": {"b": 1}}, {"a": {"c": 1}}, False),
    ({"a": {"b": 1}}, {"a": [{"b": 1}]}, False),
    ({"a": [1]}, {"a": [1, 2]}, False),
    ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, False),
    ({"a": [{"b": 1, "c": 2}]}, {"a": [{"c": 2.0, "b": 1}]}, True),
    ({"a": []}, {"a": []}, True),
    ({"a": []}, {"a": {}}, False),
    ({"a.b": 1}, {"a": {"b": 1}}, False),
    ({"a.b": 1}, {"a.b": 1, "c": 2}, True),
    ({"a": {"b": 1}}, {"a.b": 1}, False),
    ({"$gt": 1}, {"$gt": 1, "x": 2}, True),
    ({"$gt": 1}, 2, False),
    ({"a": {"$gt": 1}}, {"a": 2}, False),
    ({"a": {"$exists": True}}, {"a": 2}, False),
    ({"a": "%"}, {"a": "b"}, False),
    ({"a": "B"}, {"a": "b"}, False),
    ({"a": "*"}, {"a": "b"}, False),
    ({"": 1}, {"": 1.0}, True),
    ([1, 2], [1, 2], True),
    ([1, 2], [2, 1], False),
    ([], [], True),
    ([], {}, False),
    ("a", "a", True),
    ("a", "a ", False),
    (0, -0.0, True),
    (0, False, False),
    (1, True, False),
    (False, False, True),
    (2**53 + 1, float(2**53), False),
    (2**63 - 1, float(2**63), False),
    ("é", "e\u0301", False),
    (0.1, 0.1, True),
]
