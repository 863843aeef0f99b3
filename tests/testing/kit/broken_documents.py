"""Backends whose documents are broken on purpose; long, since it is a list."""

from __future__ import annotations

import copy
import time
import unicodedata
from collections.abc import Callable
from typing import Any, ClassVar

from broken_backends import BrokenSimple

from ojobchannels.backends.simple.backend import _stores
from ojobchannels.changes import Change, Versions
from ojobchannels.documents import Document, Item, Key, check_key, decode, encode, matches, same
from ojobchannels.errors import StaleFence
from ojobchannels.hookspecs import ABSENT, MISSING, Compared


class BentKeys(BrokenSimple):
    """Base of those that take two keys for one."""

    def bend(self, key: Key) -> Key:
        bent = Key(self.text(key.document))
        bent.document = key.document
        return bent

    def text(self, document: Document) -> str:
        raise NotImplementedError

    def get(self, key: Key) -> Document:
        return super().get(self.bend(key))

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        return super().set(self.bend(key), value, fence)

    def unset(self, key: Key, fence: int | None) -> bool:
        return super().unset(self.bend(key), fence)

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        return super().get_set(match, self.bend(key), value, fence)

    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        return super().set_all([(self.bend(key), value) for key, value in items])


class KeysAsText(BentKeys):
    """The keys `1`, `"1"` and `True` are one key."""

    caught_by = "test_one_and_the_text_1_and_true_are_three_keys"

    def text(self, document: Document) -> str:
        return str(int(document) if isinstance(document, bool) else document)


class KeysWithoutCase(BentKeys):
    """Keys are compared without regard to case."""

    caught_by = "test_case_and_unicode_form_make_another_key"

    def text(self, document: Document) -> str:
        return check_key(document).lower()


class KeysNormalised(BentKeys):
    """Keys are brought to one Unicode form."""

    caught_by = (
        "test_case_and_unicode_form_make_another_key "
        "test_keys_that_differ_at_all_are_different_keys"
    )

    def text(self, document: Document) -> str:
        return unicodedata.normalize("NFC", check_key(document))


class KeysAsWritten(BentKeys):
    """Keys are compared by how they were written: `1.0` is not `1`, and order counts."""

    caught_by = "test_keys_equal_in_canonical_form_are_one_key test_marks_go_by_canonical_keys"

    def text(self, document: Document) -> str:
        return encode(document)


class KeysAsFloats(BentKeys):
    """Large integers within keys lose their last digits."""

    caught_by = "test_neighbours_beyond_53_bits_are_different_keys"

    def text(self, document: Document) -> str:
        return repr(_as_doubles(document))


class ValuesAsFloats(BrokenSimple):
    """Integers beyond 2**53 lose their last digits on their way through doubles."""

    caught_by = "test_numbers_keep_type_and_every_digit"

    def get(self, key: Key) -> Document:
        return _as_doubles(super().get(key))


class EmptyListsAreMaps(BrokenSimple):
    """An empty list comes back as an empty map, as from a server script in Lua."""

    caught_by = "test_shapes_stay_what_they_are"

    def get(self, key: Key) -> Document:
        value = super().get(key)
        return {} if value == [] else value


class NullIsMissing(BrokenSimple):
    """A stored null is answered as if nothing stood there."""

    caught_by = "test_a_stored_null_is_a_value"

    def get(self, key: Key) -> Document:
        value = super().get(key)
        return MISSING if value is None else value


class LiveReferencesOut(BrokenSimple):
    """Who changes what was read changes what is stored."""

    caught_by = "test_what_comes_out_is_the_callers_own"
    live: ClassVar[dict[str, Document]] = {}

    def get(self, key: Key) -> Document:
        value = super().get(key)
        return value if value is MISSING else self.live.setdefault(encode(value), value)


class LiveReferencesIn(BrokenSimple):
    """Who changes a value after `set` changes what is stored."""

    caught_by = "test_what_goes_in_is_copied"
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
    """A batch is kept as it was passed, and copied when it is read."""

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
    """A handle keeps what it read once, whatever others write."""

    caught_by = "test_handles_see_each_others_changes_at_once"

    def get(self, key: Key) -> Document:
        kept = self.__dict__.setdefault("kept", {})
        if key not in kept:
            kept[key] = super().get(key)
        return kept[key]


class StaleListings(BrokenSimple):
    """A handle lists what it listed before until it writes itself."""

    caught_by = "test_a_listing_is_never_older_than_the_last_write"

    def get_all(self, match: Document) -> list[Document]:
        kept: dict[str, list[Document]] = self.__dict__.setdefault("kept", {})
        return kept.setdefault(encode(match), super().get_all(match))

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        self.__dict__.pop("kept", None)
        return super().set(key, value, fence)


class TornListings(BrokenSimple):
    """`get_all` reads entry by entry while others write."""

    caught_by = "test_a_batch_is_never_seen_half_done"

    def get_all(self, match: Document) -> list[Document]:
        values = []
        for number, key in enumerate(list(self._store.entries)):
            value = self.get(key)
            if number % 4 == 0:
                time.sleep(1e-5)
            if value is not MISSING:
                values.append(value)
        return values


class SetInTwoSteps(BrokenSimple):
    """`set` removes the old value before it stores the new one."""

    caught_by = "test_a_key_is_there_while_it_is_written_again"

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        self.unset(key, fence)
        time.sleep(1e-4)
        return super().set(key, value, fence)


class CompareThenSet(BrokenSimple):
    """`get_set` compares, and stores in another step."""

    caught_by = "test_one_of_many_adds test_one_of_many_takes"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        probe = super().get(key)
        time.sleep(1e-4)
        if (probe is MISSING) != (match is ABSENT):
            return Compared(False, probe)
        if match is not ABSENT and not matches(match, probe):
            return Compared(False, probe)
        self.set(key, value, fence)
        return Compared(True, probe)


class AbsentIncludesNull(BrokenSimple):
    """ABSENT stores where a null stands."""

    caught_by = "test_absent_stores_only_where_nothing_stands"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        if match is ABSENT and self.get(key) is None:
            match = None
        return super().get_set(match, key, value, fence)


class NullIncludesAbsent(BrokenSimple):
    """`get_set(None, …)` stores where nothing stands."""

    caught_by = "test_get_set_never_makes_an_entry_where_none_was"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        if match is None and self.get(key) is MISSING:
            match = ABSENT
        return super().get_set(match, key, value, fence)


class MarkedByTheAttempt(BrokenSimple):
    """A `get_set` that stores nothing still marks the key with its fence."""

    caught_by = "test_a_comparison_that_fails_leaves_no_mark"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        with self._store.mutex:
            self._mark(key, fence)
        return super().get_set(match, key, value, fence)


class UnmarkedCompare(BrokenSimple):
    """`get_set` looks at no fence, and leaves none."""

    caught_by = "test_a_comparison_that_holds_leaves_its_mark"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        return super().get_set(match, key, value, None)


class BatchesOneByOne(BrokenSimple):
    """`set_all` stores one entry after the other, for all to see."""

    caught_by = "test_a_batch_is_never_seen_half_done"

    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        for key, value in items:
            self.set(key, value, None)
            time.sleep(1e-5)
        return True


class BatchesRemovedOneByOne(BrokenSimple):
    """`unset_all` removes one entry after the other, for all to see."""

    caught_by = "test_a_batch_is_never_seen_half_removed"

    def unset_all(self, keys: list[Key]) -> int:
        removed = 0
        for key in keys:
            removed += self.unset(key, None)
            time.sleep(1e-4)
        return removed


class RemovalsCountKeys(BrokenSimple):
    """`unset_all` answers how many keys it was given."""

    caught_by = "test_unset_all_counts_what_was_there test_a_batch_of_one_is_taken_everywhere"

    def unset_all(self, keys: list[Key]) -> int:
        super().unset_all(keys)
        return len(keys)


class UnsetAlwaysDid(BrokenSimple):
    """`unset` says that the key was there, whether it was or not."""

    caught_by = "test_unset_tells_whether_the_key_was_there"

    def unset(self, key: Key, fence: int | None) -> bool:
        super().unset(key, fence)
        return True


class PopsTakeTwice(BrokenSimple):
    """`pop` reads the last entry and removes it in another step."""

    caught_by = "test_every_entry_is_taken_out_once"

    def pop(self) -> Document:
        for key, entry in reversed(list(self._store.entries.items())):
            time.sleep(1e-4)
            self.unset(key, None)
            return decode(entry.value)
        return MISSING


class PopsLose(BrokenSimple):
    """`pop` gives up, and answers nothing, when somebody else took the entry that it saw."""

    caught_by = "test_every_entry_is_taken_out_once test_pop_takes_the_last_in_order"

    def pop(self) -> Document:
        super().pop()
        return super().pop()


class PopsTheFirst(BrokenSimple):
    """`pop` takes the first entry, and `shift` the last."""

    caught_by = "test_pop_takes_the_last_in_order test_shift_takes_the_first_in_order"

    def pop(self) -> Document:
        return super().shift()

    def shift(self) -> Document:
        return super().pop()


class PopOverlooksNull(BrokenSimple):
    """A null that is taken out is answered as if nothing had been there."""

    caught_by = "test_pop_and_shift_tell_a_stored_null_from_nothing"

    def pop(self) -> Document:
        value = super().pop()
        return MISSING if value is None else value


class OrderOfFirstWrite(BrokenSimple):
    """A key that is written again keeps its old place."""

    caught_by = "test_every_write_moves_its_key_to_the_end"

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        old = self._store.entries.get(key)
        if old is None:
            return bool(super().set(key, value, fence))
        self._store.entries[key] = old._replace(key=encode(key.document), value=encode(value))
        return True


class EqualWritesStay(BrokenSimple):
    """A write that changes nothing of the value is left out, and moves nothing."""

    caught_by = "test_every_write_moves_its_key_to_the_end"

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        old = self._store.entries.get(key)
        if old is None or old.value != encode(value):
            super().set(key, value, fence)
        return True


class PagesRepeat(BrokenSimple):
    """`after` includes the entry at the position itself."""

    caught_by = "test_pages_lose_nothing_and_repeat_nothing"

    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        shift = 1 if newest_first else -1
        return super().items(match, limit, newest_first, None if after is None else after + shift)


class LimitsBeforeMatches(BrokenSimple):
    """`limit` counts entries, and those that do not match are left out afterwards."""

    caught_by = "test_a_limit_counts_what_matches"

    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        found = super().items(None, limit, newest_first, after)
        return [item for item in found if match is None or matches(match, item[1])]


class MatchesOneLevel(BrokenSimple):
    """Maps within a match have to be equal, not a part."""

    caught_by = "test_get_all_answers_what_matches"

    def get_all(self, match: Document) -> list[Document]:
        values = super().get_all(None)
        return [one for one in values if match is None or _shallow(match, one)]


class MatchesElements(BrokenSimple):
    """A match of a scalar holds of a list that has it, as in a query of MongoDB."""

    caught_by = "test_get_all_answers_what_matches"

    def get_all(self, match: Document) -> list[Document]:
        values = super().get_all(None)
        return [one for one in values if match is None or _like_mongo(match, one)]


class MatchesByTheIndex(BrokenSimple):
    """A match finds a value by what it was before it was overwritten."""

    caught_by = "test_a_match_follows_the_value_that_stands_now"
    index: ClassVar[dict[str, Key]] = {}

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        self.index[f"{self._channel} {encode(value)}"] = key
        return super().set(key, value, fence)

    def get_all(self, match: Document) -> list[Document]:
        found = super().get_all(match)
        for text, key in self.index.items():
            channel, _, value = text.partition(" ")
            if channel == self._channel and matches(match, decode(value)) and not found:
                found = [self.get(key)]
        return [one for one in found if one is not MISSING]


class LowerFencesPass(BrokenSimple):
    """Writes carry fences, and nobody looks at them."""

    caught_by = "test_a_lower_fence_is_refused test_a_holder_that_was_overtaken_cannot_write"

    def _mark(self, key: Key, fence: int | None) -> None:
        pass


class EqualFencesRefused(BrokenSimple):
    """A holder can write a key once, and not again."""

    caught_by = "test_an_equal_fence_passes"

    def _mark(self, key: Key, fence: int | None) -> None:
        if fence is not None and fence == self._store.marks.get(key):
            raise StaleFence(self._channel, key.document, fence, fence)
        super()._mark(key, fence)


class MarksGoWithValues(BrokenSimple):
    """`unset` forgets the mark of the key."""

    caught_by = "test_a_mark_outlives_what_is_done_without_a_higher_fence"

    def unset(self, key: Key, fence: int | None) -> bool:
        removed = super().unset(key, fence)
        self._store.marks.pop(key, None)
        return removed


class MarksDestroyed(BrokenSimple):
    """`destroy` forgets the marks of all keys."""

    caught_by = "test_a_mark_outlives_what_is_done_without_a_higher_fence"

    def destroy(self) -> bool:
        self._store.marks.clear()
        return super().destroy()


class MarksLoweredByRefusals(BrokenSimple):
    """A refused write lowers the mark to its own fence."""

    caught_by = "test_a_refused_write_leaves_the_mark"

    def _mark(self, key: Key, fence: int | None) -> None:
        try:
            super()._mark(key, fence)
        except StaleFence:
            self._store.marks[key] = fence or 0
            raise


class SizeCountsMarks(BrokenSimple):
    """`size` counts keys that were removed and are only remembered for their mark."""

    caught_by = "test_size_counts_entries_and_nothing_else"

    def size(self) -> int:
        return len({*self._store.entries, *self._store.marks})


class TellsTheLatestOnly(BrokenSimple):
    """A subscription looks now and then, and does not get each change as claimed."""

    caught_by = "test_each_change_is_told_in_its_order"

    def subscribe(self, ring: Callable[[], None]) -> Any:
        return Versions(lambda: self._store.entries.position, 0.001)


class TellsOfOtherChannels(BrokenSimple):
    """A subscription gets what changes in any channel."""

    caught_by = "test_channels_are_told_apart"

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        stored = super().set(key, value, fence)
        told = Change("set", encode(key.document), encode(value), self._store.entries.position)
        for store in list(_stores.values()):
            if store is not self._store:
                for feed in store.entries.feeds:
                    feed.add(told)
        return bool(stored)


class TellsOfWhatFailed(BrokenSimple):
    """A compare-and-set that did not match is told as a change."""

    caught_by = "test_what_changes_nothing_is_not_told"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        compared = super().get_set(match, key, value, fence)
        if not compared.stored:
            self._store.entries.position += 1
            told = encode(key.document), encode(value), self._store.entries.position
            for feed in self._store.entries.feeds:
                feed.add(Change("set", *told))
        return compared


def _as_doubles(document: Document) -> Document:
    if isinstance(document, dict):
        return {name: _as_doubles(part) for name, part in document.items()}
    if isinstance(document, list):
        return [_as_doubles(part) for part in document]
    if isinstance(document, int) and not isinstance(document, bool) and abs(document) > 2**53:
        return int(float(document))
    return document


def _shallow(match: Any, value: Any) -> bool:
    if isinstance(match, dict):
        return isinstance(value, dict) and all(
            name in value and same(part, value[name]) for name, part in match.items()
        )
    return same(match, value)


def _like_mongo(match: Any, value: Any) -> bool:
    if isinstance(match, dict):
        return isinstance(value, dict) and all(
            name in value and _like_mongo(part, value[name]) for name, part in match.items()
        )
    return same(match, value) or (isinstance(value, list) and any(same(match, v) for v in value))
