"""Backends with a defect in keys, values or reads."""

from __future__ import annotations

import copy
import time
import unicodedata
from typing import ClassVar

from broken_backends import BrokenSimple

from ojobchannels.documents import Document, Item, Key, check_key, encode
from ojobchannels.hookspecs import MISSING, Compared


class ConfusedKeys(BrokenSimple):
    """Base of the backends that confuse keys."""

    def confuse(self, key: Key) -> Key:
        confused = Key(self.text(key.document))
        confused.document = key.document
        return confused

    def text(self, document: Document) -> str:
        raise NotImplementedError

    def get(self, key: Key) -> Document:
        return super().get(self.confuse(key))

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        return super().set(self.confuse(key), value, fence)

    def unset(self, key: Key, fence: int | None) -> bool:
        return super().unset(self.confuse(key), fence)

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        return super().get_set(match, self.confuse(key), value, fence)

    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        return super().set_all([(self.confuse(key), value) for key, value in items])


class KeysAsText(ConfusedKeys):
    """The keys `1`, `"1"` and `True` are one key."""

    caught_by = "test_number_string_and_boolean_are_different_keys"

    def text(self, document: Document) -> str:
        return str(int(document) if isinstance(document, bool) else document)


class KeysWithoutCase(ConfusedKeys):
    """Keys are compared without regard to case."""

    caught_by = "test_case_and_unicode_form_make_different_keys"

    def text(self, document: Document) -> str:
        return check_key(document).lower()


class KeysNormalized(ConfusedKeys):
    """Keys are normalized to one Unicode form."""

    caught_by = (
        "test_case_and_unicode_form_make_different_keys test_different_keys_are_never_confused"
    )

    def text(self, document: Document) -> str:
        return unicodedata.normalize("NFC", check_key(document))


class KeysAsWritten(ConfusedKeys):
    """Keys are compared as they were written: `1.0` is not `1`, and the order of fields matters."""

    caught_by = "test_keys_equal_in_canonical_form_are_one_key test_marks_use_canonical_keys"

    def text(self, document: Document) -> str:
        return encode(document)


class KeysAsFloats(ConfusedKeys):
    """Large integers in keys lose their last digits."""

    caught_by = "test_large_integers_are_different_keys"

    def text(self, document: Document) -> str:
        return repr(_as_doubles(document))


class ValuesAsFloats(BrokenSimple):
    """Integers beyond 2**53 are converted to floats and lose their last digits."""

    caught_by = "test_numbers_keep_type_and_every_digit"

    def get(self, key: Key) -> Document:
        return _as_doubles(super().get(key))


class EmptyListsAreMaps(BrokenSimple):
    """An empty list comes back as an empty map, as from a Lua script on a server."""

    caught_by = "test_structures_come_back_unchanged"

    def get(self, key: Key) -> Document:
        value = super().get(key)
        return {} if value == [] else value


class NullIsMissing(BrokenSimple):
    """A stored null is treated like a missing key."""

    caught_by = "test_a_stored_null_is_a_value"

    def get(self, key: Key) -> Document:
        value = super().get(key)
        return MISSING if value is None else value


class LiveReferencesOut(BrokenSimple):
    """A change of a returned value changes what is stored."""

    caught_by = "test_returned_documents_are_copies"
    live: ClassVar[dict[str, Document]] = {}

    def get(self, key: Key) -> Document:
        value = super().get(key)
        return value if value is MISSING else self.live.setdefault(encode(value), value)


class LiveReferencesIn(BrokenSimple):
    """A change of a value after `set` changes what is stored."""

    caught_by = "test_stored_documents_are_copies"
    live: ClassVar[dict[Key, Document]] = {}

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        self.live[key] = value
        return super().set(key, value, fence)

    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        found = super().items(match, limit, newest_first, after)
        return [
            Item(key, copy.deepcopy(self.live.get(check_key(key), value)), item.position)
            for item in found
            for key, value in [item]
        ]


class LiveBatches(BrokenSimple):
    """A batch is stored without a copy, and copied when it is read."""

    caught_by = "test_batches_are_copied_like_single_values"
    live: ClassVar[dict[Key, Document]] = {}

    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        self.live.update(items)
        return super().set_all(items)

    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        found = super().items(match, limit, newest_first, after)
        return [
            Item(item[0], copy.deepcopy(self.live.get(check_key(item[0]), item[1])), item.position)
            for item in found
        ]


class StaleReads(BrokenSimple):
    """A handle caches what it has read, and ignores writes of others."""

    caught_by = "test_handles_see_each_others_changes_at_once"

    def get(self, key: Key) -> Document:
        kept = self.__dict__.setdefault("kept", {})
        if key not in kept:
            kept[key] = super().get(key)
        return kept[key]


class StaleListings(BrokenSimple):
    """A handle caches its listings until it writes itself."""

    caught_by = "test_listings_include_the_last_write"

    def get_all(self, match: Document) -> list[Document]:
        kept: dict[str, list[Document]] = self.__dict__.setdefault("kept", {})
        return kept.setdefault(encode(match), super().get_all(match))

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        self.__dict__.pop("kept", None)
        return super().set(key, value, fence)


class TornListings(BrokenSimple):
    """`get_all` reads entry by entry while others write."""

    caught_by = "test_a_batch_is_never_half_visible"

    def get_all(self, match: Document) -> list[Document]:
        values = []
        for number, key in enumerate(list(self._store.entries)):
            value = self.get(Key(key))
            if number % 4 == 0:
                time.sleep(1e-5)
            if value is not MISSING:
                values.append(value)
        return values


class SetInTwoSteps(BrokenSimple):
    """`set` removes the old value before it stores the new one."""

    caught_by = "test_a_key_exists_while_it_is_overwritten"

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        self.unset(key, fence)
        time.sleep(1e-4)
        return super().set(key, value, fence)


def _as_doubles(document: Document) -> Document:
    if isinstance(document, dict):
        return {name: _as_doubles(part) for name, part in document.items()}
    if isinstance(document, list):
        return [_as_doubles(part) for part in document]
    if isinstance(document, int) and not isinstance(document, bool) and abs(document) > 2**53:
        return int(float(document))
    return document
