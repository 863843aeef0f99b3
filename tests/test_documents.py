"""Keys and values: what may be stored, when two are the same, and what a refusal says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ojobchannels as oc
from ojobchannels.documents import check_key, check_value, same

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Storage


def nested(levels: int) -> Any:
    """Maps and lists in turn, so many levels deep."""
    document: Any = "core"
    for level in range(levels):
        document = {"in": document} if level % 2 else [document]
    return document


ONE_AND_THE_SAME: list[tuple[Any, Any]] = [
    (1, 1.0),
    (0, -0.0),
    (0.0, -0.0),
    (-7, -7.0),
    (2**53, float(2**53)),
    (-(2**63), float(-(2**63))),
    ({"a": 1, "b": 2}, {"b": 2.0, "a": 1.0}),
    ({"a": {"x": [1, -0.0], "y": 2}}, {"a": {"y": 2, "x": [1.0, 0]}}),
]

ALL_DIFFERENT: list[Any] = [
    *(1, "1", True, "true", 0, "0", False, 1.5, "1.0", "", {}, "{}", "null"),
    *(2**53, 2**53 + 1, 2**63 - 1, -(2**63), 1e300, 5e-324, 0.1, 1e16, 123456789012345678),
    *("é", "e\u0301", "ß", "ss", "A", "a", " a", "a ", "日本語", "😀", "\ufeff", "\x7f"),
    *(
        "$",
        "$ne",
        ".",
        "a.b",
        "/",
        "a/b",
        "..",
        "\\",
        "line\nbreak",
        "\r\n",
        "\t",
        "\0",
        "a\0b",
        '"',
    ),
    *({"": ""}, {"a": 1}, {"a": "1"}, {"a": True}, {"a": None}, {"a": []}, {"a": {}}, {"a": [{}]}),
    *({"a": 0}, {"a": False}, {"a": [1, 2]}, {"a": [2, 1]}, {"a": {"b": {"c": 1}}}, {"b": 1}),
    *({"$set": {"a.b": "/"}}, {"a": 1, "b": None}, {"é": 1}, {"e\u0301": 1}, {"a b": "\n"}),
    *("k" * 4096, {"k" * 4096: "v" * 4096}, {"deep": nested(99)}),
]

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.0, -0.0, 0.1, 1e300, 5e-324, 2**53 + 1, 2**63 - 1, -(2**63)),
    *("", "é", "e\u0301", "😀", "\0", "line\nbreak\r\n", "\u2028", '"\\', "$", "a" * 100_000),
    *([], {}, [[]], [{}], {"": None}, [None, [None, {"a": None}]], {"a.b": {"$c": ["/"]}}),
    *({"b": 1, "a": 2}, list(range(1000)), nested(100)),
]

NOT_JSON: list[tuple[Any, str, str]] = [
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
    (1j, "", "a complex is not JSON"),
    (oc.MISSING, "", "not JSON"),
    ({1: "a"}, "", "the field name 1 is an int, not a string"),
    ({"a": {None: 1}}, ".a", "the field name None is a NoneType, not a string"),
    ({"a": {(1,): 1}}, ".a", "not a string"),
    ({"a\0b": 1}, "", "contains NUL"),
    ({"a": {"\0": 1}}, ".a", "contains NUL"),
    ("\ud800", "", "a lone surrogate"),
    ({"text": ["ok", "bad \udfff"]}, ".text[1]", "a lone surrogate"),
    ({"\ud83d": 1}, "['\\ud83d']", "a lone surrogate"),
    ({"a b": object()}, "['a b']", "an object is not JSON"),
    ({"a.b": {"$": object()}}, "['a.b']['$']", "an object is not JSON"),
    ({"deep": nested(100)}, "." + "deep", "more than 100 levels"),
]


@pytest.mark.parametrize(("one", "other"), ONE_AND_THE_SAME, ids=ascii)
def test_keys_equal_in_canonical_form_are_one_key(
    channel: oc.Channel, one: Any, other: Any
) -> None:
    """Order in maps, 1 and 1.0, 0 and -0.0 make no other key; the key reads as last written."""
    channel.set(one, "first")
    channel.set(other, "second")
    assert channel.size() == 1
    assert channel.get(one) == channel.get(other) == "second"
    assert repr(channel.get_keys()) == repr([other])
    assert channel.unset(one)


def test_keys_that_differ_at_all_are_different_keys(channel: oc.Channel) -> None:
    """No type, order, case, Unicode form or special character makes two keys fall together."""
    channel.set_all((key, position) for position, key in enumerate(ALL_DIFFERENT))
    assert channel.size() == len(ALL_DIFFERENT)
    assert [channel.get(key) for key in ALL_DIFFERENT] == list(range(len(ALL_DIFFERENT)))
    assert repr(channel.get_keys()) == repr(ALL_DIFFERENT)


def test_odd_keys_work_one_by_one_too(channel: oc.Channel) -> None:
    """Every key can be written with a fence, compared, read back by items, and removed."""
    for position, key in enumerate(ALL_DIFFERENT):
        assert channel.add(key, position, fence=position)
        assert channel.get_set(position, key, [position], fence=position) == position
    assert [repr(key) for key, _ in channel.items()] == [repr(key) for key in ALL_DIFFERENT]
    assert all(channel.unset(key) for key in ALL_DIFFERENT)
    assert channel.size() == 0


@pytest.mark.parametrize("value", VALUES, ids=lambda value: ascii(value)[:20])
def test_values_come_back_as_they_went_in(storage: Storage, value: Any) -> None:
    """A value read back, also through another handle, has the same types, order and digits."""
    channel, other = storage.open(), storage.open()
    channel.set("key", value)
    for handle in (channel, other):
        assert repr(handle.get("key", default="nothing")) == repr(value)
        assert repr(handle.get_all()) == repr([value])
        assert repr(list(handle.items())) == repr([("key", value)])


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    NOT_JSON,
    ids=[f"{n} {why}" for n, (_, _, why) in enumerate(NOT_JSON)],
)
def test_what_is_not_json_is_refused_and_the_place_is_named(
    channel: oc.Channel, document: Any, path: str, reason: str
) -> None:
    """A refused value or key changes nothing, whichever operation brought it."""
    channel.set("kept", 1)
    value_attempts: list[Callable[[], object]] = [
        lambda: channel.set("new", document),
        lambda: channel.set_all([("kept", 2), ("new", document)]),
        lambda: channel.get_set(1, "kept", document),
        lambda: channel.get_set(document, "kept", 2),
        lambda: channel.add("new", document),
        lambda: channel.get_all(match=document),
        lambda: list(channel.items(match=document)),
    ]
    key_attempts: list[Callable[[], object]] = [
        lambda: channel.set(document, 1),
        lambda: channel.set_all([("kept", 2), (document, 1)]),
        lambda: channel.unset(document),
        lambda: channel.unset_all(["kept", document]),
        lambda: channel.get_set(1, document, 1),
        lambda: channel.add(document, 1),
        lambda: channel.get(document),
    ]
    for attempt in value_attempts:
        with pytest.raises(oc.InvalidValue) as refused:
            attempt()
        assert refused.value.path.startswith(f"${path}")
        assert reason in refused.value.reason
        assert f"invalid value at ${path}" in str(refused.value)
    for attempt in key_attempts:
        with pytest.raises(oc.InvalidKey) as refused_key:
            attempt()
        assert refused_key.value.path.startswith(f"${path}")
        assert reason in refused_key.value.reason
    assert list(channel.items()) == [("kept", 1)]


@pytest.mark.parametrize(("key", "kind"), [(None, "null"), ([], "a list"), ([1], "a list")])
def test_null_and_lists_are_no_keys(channel: oc.Channel, key: Any, kind: str) -> None:
    """They may stand inside a map, but are no keys of their own."""
    with pytest.raises(oc.InvalidKey, match=f"{kind} is no key"):
        channel.get(key)
    channel.set({"inside": key}, 1)
    assert channel.get({"inside": key}) == 1


def test_a_hundred_levels_are_taken_and_one_more_is_not(channel: oc.Channel) -> None:
    """The limit of nesting is the same for keys and values."""
    channel.set({"in": nested(99)}, nested(100))
    assert channel.get({"in": nested(99)}) == nested(100)
    with pytest.raises(oc.InvalidValue, match="more than 100 levels"):
        channel.set("key", nested(101))
    with pytest.raises(oc.InvalidKey, match="more than 100 levels"):
        channel.set({"in": nested(100)}, 1)


def test_a_document_that_contains_itself_is_refused(channel: oc.Channel) -> None:
    """A circle ends at the limit of nesting and not in an overflow."""
    circle: dict[str, Any] = {}
    circle["again"] = circle
    with pytest.raises(oc.InvalidValue, match="more than 100 levels"):
        channel.set("key", circle)


def test_what_goes_in_is_copied_and_what_comes_out_is_the_callers_own(storage: Storage) -> None:
    """Changing a document after `set`, or one that was read, changes nothing that is stored."""
    channel = storage.open()
    key: dict[str, Any] = {"id": [1]}
    value: dict[str, Any] = {"list": [1]}
    channel.set(key, value)
    key["id"].append(2)
    value["list"].append(2)
    outputs = [
        channel.get({"id": [1]}),
        channel.get_all()[0],
        channel.get_all(match={"list": [1]})[0],
        next(channel.items())[1],
        channel.get_keys()[0],
        next(channel.items())[0],
    ]
    for output in outputs:
        assert output in ({"list": [1]}, {"id": [1]})
        output["spoiled"] = True
        output.get("list", output.get("id")).append("spoiled")
    assert list(channel.items()) == [({"id": [1]}, {"list": [1]})]
    match: dict[str, Any] = {"list": [1]}
    new: dict[str, Any] = {"list": [2]}
    old = channel.get_set(match, {"id": [1]}, new)
    old["list"].append("spoiled")
    new["list"].append("spoiled")
    batch: list[tuple[dict[str, Any], list[int]]] = [({"id": [2]}, [1])]
    channel.set_all(batch)
    batch[0][0]["id"].append(3)
    batch[0][1].append(2)
    assert list(channel.items()) == [({"id": [1]}, {"list": [2]}), ({"id": [2]}, [1])]
    assert list(storage.open().items()) == [({"id": [1]}, {"list": [2]}), ({"id": [2]}, [1])]


@pytest.mark.parametrize(
    ("match", "value", "expected"),
    [
        ({}, {}, True),
        ({}, {"a": 1}, True),
        ({}, [], False),
        ({}, None, False),
        ({}, "", False),
        ({"a": 1}, {"a": 1.0, "b": 2}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": None}, {}, False),
        ({"a": None}, {"a": None}, True),
        ({"a": {}}, {"a": {"b": 1}}, True),
        ({"a": {}}, {"a": None}, False),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}, True),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, False),
        ({"a": [{"b": 1, "c": 2}]}, {"a": [{"c": 2.0, "b": 1}]}, True),
        ({"a.b": 1}, {"a": {"b": 1}}, False),
        ({"$gt": 1}, {"$gt": 1, "x": 2}, True),
        ({"$gt": 1}, 2, False),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ("a", "a", True),
        (0, -0.0, True),
        (0, False, False),
        (2**53 + 1, float(2**53), False),
        ("é", "e\u0301", False),
    ],
    ids=ascii,
)
def test_a_match_compares_maps_as_subsets_and_all_else_exactly(
    channel: oc.Channel, match: Any, value: Any, expected: bool
) -> None:
    """`matches`, `get_all`, `items` and `get_set` decide alike."""
    channel.set("other", {"unrelated": True})
    channel.set("key", value)
    assert oc.matches(match, value) is expected
    assert (value in channel.get_all(match=match)) is expected
    assert ("key" in [key for key, _ in channel.items(match=match)]) is expected
    done = channel.get_set(match, "key", "new", default=oc.MISSING)
    assert (done is not oc.MISSING) is expected
    assert channel.get("key") == ("new" if expected else value)


def test_a_match_of_null_is_null_in_get_set(channel: oc.Channel) -> None:
    """`get_set(None, …)` stores where null stands, not where nothing stands."""
    assert channel.get_set(None, "key", 1, default=oc.MISSING) is oc.MISSING
    assert channel.size() == 0
    channel.set("key", None)
    assert channel.get_set(None, "key", 1, default=oc.MISSING) is None
    assert channel.get("key") == 1


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=12
)
keys = documents.filter(lambda it: it is not None and not isinstance(it, list))
quick = settings(database=None, deadline=None, max_examples=100)


def shuffled(document: Any) -> Any:
    """The same document, written in another way."""
    if isinstance(document, dict):
        return {name: shuffled(document[name]) for name in reversed(document)}
    if isinstance(document, list):
        return [shuffled(part) for part in document]
    if isinstance(document, int) and not isinstance(document, bool):
        return float(document) if int(float(document)) == document else document
    if isinstance(document, float) and document.is_integer() and abs(document) < 2**63:
        return int(document)
    return document


@quick
@given(document=documents)
def test_another_way_to_write_a_document_is_the_same_document(document: Any) -> None:
    """Canonical equality does not depend on how numbers and maps were written."""
    check_value(document)
    assert same(document, shuffled(document))
    assert oc.matches(document, shuffled(document))
    assert check_key({"in": document}) == check_key({"in": shuffled(document)})


@quick
@given(one=keys, other=keys)
def test_keys_and_documents_agree_on_what_is_the_same(one: Any, other: Any) -> None:
    """Two documents are the same exactly if their canonical texts are."""
    assert (check_key(one) == check_key(other)) == same(one, other)
    assert check_key(one).document is one


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is empty"),
        ("a\0b", "it contains NUL"),
        ("\ud800", "lone surrogate"),
        ("é" * 2049, "4098 bytes long"),
        (None, "a NoneType, not a string"),
        (7, "an int, not a string"),
        (b"name", "a bytes, not a string"),
    ],
    ids=["empty", "NUL", "surrogate", "long", "None", "int", "bytes"],
)
def test_bad_names_of_locks_and_channels_are_refused(
    storage: Storage, name: Any, reason: str
) -> None:
    """Every operation that takes a name checks it, and the error says what a name is."""
    channel = storage.open()
    attempts: list[Callable[[], object]] = [
        lambda: channel.lock(name, ttl=1),
        lambda: channel.try_lock(name, ttl=1),
        lambda: channel.lock_info(name),
        lambda: channel.force_unlock(name),
        lambda: oc.open_channel(name, storage.config),
    ]
    for attempt in attempts:
        with pytest.raises(oc.InvalidName, match=reason) as refused:
            attempt()
        assert "1 to 4096 bytes of UTF-8 without NUL" in str(refused.value)
    assert channel.locks() == []
