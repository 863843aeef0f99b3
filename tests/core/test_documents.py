"""Keys and values: what may be stored, when two are the same, and what a refusal says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ojobchannels as oc
from ojobchannels.documents import (
    check_key,
    check_value,
    decode,
    encode,
    matches,
    parts_of_text,
    same,
)
from ojobchannels.testing.kit import samples
from ojobchannels.testing.kit.samples import MATCHES
from ojobchannels.testing.kit.strategies import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Storage


NOT_JSON: list[tuple[Any, str, str]] = [
    *samples.NOT_JSON,
    (1j, "", "a complex is not JSON"),
    (oc.MISSING, "", "not JSON"),
    ({"a": {(1,): 1}}, ".a", "not a string"),
    ({"a": {"\0": 1}}, ".a", "contains NUL"),
    ({"a b": object()}, "['a b']", "an object is not JSON"),
]


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    NOT_JSON,
    ids=[f"{n} {why}" for n, (_, _, why) in enumerate(NOT_JSON)],
)
def test_what_is_not_json_is_refused_and_the_place_is_named(
    simple_storage: Storage, document: Any, path: str, reason: str
) -> None:
    """A refused value or key changes nothing, for every operation."""
    channel = simple_storage.open()
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


@pytest.mark.parametrize(("match", "value", "expected"), MATCHES, ids=ascii)
def test_a_match_compares_maps_as_subsets_and_all_else_exactly(
    match: Any, value: Any, expected: bool
) -> None:
    """The rules of `matches`; the kit proves that all operations use the same."""
    assert oc.matches(match, value) is expected


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
@given(value=documents, data=st.data())
def test_the_text_of_what_matches_holds_the_parts_that_are_looked_for(
    value: Any, data: st.DataObject
) -> None:
    """A backend that decodes only texts with these parts misses no match."""
    for stored in (value, {"state": value}):
        match = data.draw(parts_of(shuffled(stored)))
        assert matches(match, stored)
        assert all(part in encode(stored) for part in parts_of_text(match))


@quick
@given(one=keys, other=keys)
def test_keys_and_documents_agree_on_what_is_the_same(one: Any, other: Any) -> None:
    """Two documents are equal exactly if their canonical texts are."""
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
    simple_storage: Storage, name: Any, reason: str
) -> None:
    """Every operation with a name checks it, and the error says what a valid name is."""
    channel = simple_storage.open()
    attempts: list[Callable[[], object]] = [
        lambda: channel.lock(name, ttl=1),
        lambda: channel.try_lock(name, ttl=1),
        lambda: channel.lock_info(name),
        lambda: channel.force_unlock(name),
        lambda: oc.open_channel(name, simple_storage.config),
    ]
    for attempt in attempts:
        with pytest.raises(oc.InvalidName, match=reason) as refused:
            attempt()
        assert "1 to 4096 bytes of UTF-8 without NUL" in str(refused.value)
    assert channel.locks() == []


@pytest.mark.parametrize("text", ['{"a":[1,"b",null]}', ' {"a" : 1.5}\n', "\t1", "1 ", '"a"\n'])
def test_text_is_read_with_blanks_around_it_or_without(text: str) -> None:
    """A person who edits a document with another program may leave white space."""
    assert decode(text) == json.loads(text)


@pytest.mark.parametrize("text", ["", " ", "{", "1 2", '{"a":1}}', '{"a":1} x', "x", "[1,]"])
def test_text_that_is_not_a_document_is_an_error_that_names_the_path(text: str) -> None:
    """Half a document, or more than one, is never accepted as one."""
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(text)
    with pytest.raises(json.JSONDecodeError) as error:
        decode(text)
    assert str(error.value) == str(expected.value)
