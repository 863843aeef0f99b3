"""Backends with a defect in writes, order, matches, fence marks or subscriptions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from broken_backends import BrokenSimple

from ojobchannels.backends.simple.backend import _stores
from ojobchannels.changes import Change, Versions
from ojobchannels.documents import Document, Item, Key, decode, encode, matches, same
from ojobchannels.errors import StaleFence
from ojobchannels.hookspecs import ABSENT, MISSING, Compared


class CompareThenSet(BrokenSimple):
    """`get_set` compares in one step and stores in another."""

    caught_by = "test_one_of_many_adds_stores test_one_of_many_get_sets_succeeds"

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
    """ABSENT matches a stored null."""

    caught_by = "test_absent_matches_only_a_missing_key"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        if match is ABSENT and self.get(key) is None:
            match = None
        return super().get_set(match, key, value, fence)


class NullIncludesAbsent(BrokenSimple):
    """`get_set(None, …)` matches a missing key."""

    caught_by = "test_get_set_never_creates_an_entry"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        if match is None and self.get(key) is MISSING:
            match = ABSENT
        return super().get_set(match, key, value, fence)


class MarkedByAttempts(BrokenSimple):
    """A `get_set` that does not store still marks the key with its fence."""

    caught_by = "test_a_comparison_that_fails_leaves_no_fence_mark"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        with self._store.mutex:
            self._mark(key, fence)
        return super().get_set(match, key, value, fence)


class UnmarkedCompare(BrokenSimple):
    """`get_set` ignores fences, and does not mark the key."""

    caught_by = "test_a_comparison_that_succeeds_leaves_a_fence_mark"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        return super().get_set(match, key, value, None)


class BatchesOneByOne(BrokenSimple):
    """`set_all` stores one entry after the other, visibly."""

    caught_by = "test_a_batch_is_never_half_visible"

    def set_all(self, items: list[tuple[Key, Document]]) -> bool:
        for key, value in items:
            self.set(key, value, None)
            time.sleep(1e-5)
        return True


class BatchesRemovedOneByOne(BrokenSimple):
    """`unset_all` removes one entry after the other, visibly."""

    caught_by = "test_a_batch_is_never_half_removed"

    def unset_all(self, keys: list[Key]) -> int:
        removed = 0
        for key in keys:
            removed += self.unset(key, None)
            time.sleep(1e-4)
        return removed


class RemovalsCountKeys(BrokenSimple):
    """`unset_all` returns the number of its arguments."""

    caught_by = "test_unset_all_counts_removed_keys test_a_batch_of_one_entry_always_works"

    def unset_all(self, keys: list[Key]) -> int:
        super().unset_all(keys)
        return len(keys)


class UnsetAlwaysTrue(BrokenSimple):
    """`unset` returns True, whether the key existed or not."""

    caught_by = "test_unset_returns_whether_the_key_existed"

    def unset(self, key: Key, fence: int | None) -> bool:
        super().unset(key, fence)
        return True


class PopsTakeTwice(BrokenSimple):
    """`pop` reads the last entry in one step and removes it in another."""

    caught_by = "test_every_entry_is_removed_only_once"

    def pop(self) -> Document:
        for key, entry in reversed(list(self._store.entries.items())):
            time.sleep(1e-4)
            self.unset(Key(key), None)
            return decode(entry.value)
        return MISSING


class PopsLose(BrokenSimple):
    """`pop` loses an entry, as if another client had taken it."""

    caught_by = "test_every_entry_is_removed_only_once test_pop_removes_the_last_entry"

    def pop(self) -> Document:
        super().pop()
        return super().pop()


class PopsTheFirst(BrokenSimple):
    """`pop` removes the first entry, and `shift` the last."""

    caught_by = "test_pop_removes_the_last_entry test_shift_removes_the_first_entry"

    def pop(self) -> Document:
        return super().shift()

    def shift(self) -> Document:
        return super().pop()


class PopIgnoresNull(BrokenSimple):
    """`pop` of a stored null returns the default."""

    caught_by = "test_pop_and_shift_return_a_stored_null"

    def pop(self) -> Document:
        value = super().pop()
        return MISSING if value is None else value


class OrderOfFirstWrite(BrokenSimple):
    """A key that is overwritten keeps its position."""

    caught_by = "test_every_write_moves_its_key_to_the_end"

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        old = self._store.entries.get(key)
        if old is None:
            return bool(super().set(key, value, fence))
        self._store.entries[key] = old._replace(key=encode(key.document), value=encode(value))
        return True


class EqualWritesStay(BrokenSimple):
    """A write of an equal value is skipped, and does not move the key."""

    caught_by = "test_every_write_moves_its_key_to_the_end"

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        old = self._store.entries.get(key)
        if old is None or old.value != encode(value):
            super().set(key, value, fence)
        return True


class PagesRepeat(BrokenSimple):
    """`after` includes the entry at the position itself."""

    caught_by = "test_pages_are_complete_and_do_not_overlap"

    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        shift = 1 if newest_first else -1
        return super().items(match, limit, newest_first, None if after is None else after + shift)


class LimitsBeforeMatches(BrokenSimple):
    """`limit` counts entries before those that do not match are removed."""

    caught_by = "test_a_limit_counts_only_matches"

    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        found = super().items(None, limit, newest_first, after)
        return [item for item in found if match is None or matches(match, item[1])]


class MatchesOneLevel(BrokenSimple):
    """Nested maps in a match are compared exactly."""

    caught_by = "test_get_all_returns_what_matches"

    def get_all(self, match: Document) -> list[Document]:
        values = super().get_all(None)
        return [one for one in values if match is None or _shallow(match, one)]


class MatchesElements(BrokenSimple):
    """A scalar matches a list that contains it, as in a query of MongoDB."""

    caught_by = "test_get_all_returns_what_matches"

    def get_all(self, match: Document) -> list[Document]:
        values = super().get_all(None)
        return [one for one in values if match is None or _like_mongo(match, one)]


class IndexesOnce(BrokenSimple):
    """An index does not get the entries of other handles."""

    caught_by = "test_an_index_changes_no_result"

    def index(self, fields: tuple[str, ...]) -> bool:
        self._known = {str(item[0]) for item in super().items(None, 10_000, False, None)}
        return bool(fields)

    def items(
        self, match: Document, limit: int, newest_first: bool, after: int | None
    ) -> list[Item]:
        page = super().items(match, limit, newest_first, after)
        known = getattr(self, "_known", None)
        return page if known is None else [item for item in page if str(item[0]) in known]


class MatchesByOldValues(BrokenSimple):
    """A match finds an entry by a value that was overwritten."""

    caught_by = "test_a_match_uses_the_present_value"
    written: ClassVar[dict[str, Key]] = {}

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        self.written[f"{self._channel} {encode(value)}"] = key
        return super().set(key, value, fence)

    def get_all(self, match: Document) -> list[Document]:
        found = super().get_all(match)
        for text, key in self.written.items():
            channel, _, value = text.partition(" ")
            if channel == self._channel and matches(match, decode(value)) and not found:
                found = [self.get(key)]
        return [one for one in found if one is not MISSING]


class LowerFencesPass(BrokenSimple):
    """The fences of writes are ignored."""

    caught_by = (
        "test_a_lower_fence_is_refused test_an_expired_holder_cannot_overwrite_the_next_holder"
    )

    def _mark(self, key: Key, fence: int | None) -> None:
        pass


class EqualFencesRefused(BrokenSimple):
    """A holder can write a key only once."""

    caught_by = "test_an_equal_fence_is_accepted"

    def _mark(self, key: Key, fence: int | None) -> None:
        if fence is not None and fence == self._store.marks.get(key):
            raise StaleFence(self._channel, key.document, fence, fence)
        super()._mark(key, fence)


class MarksRemovedByUnset(BrokenSimple):
    """`unset` removes the fence mark of the key."""

    caught_by = "test_a_mark_survives_operations_without_a_higher_fence"

    def unset(self, key: Key, fence: int | None) -> bool:
        removed = super().unset(key, fence)
        self._store.marks.pop(key, None)
        return removed


class MarksRemovedByDestroy(BrokenSimple):
    """`destroy` removes the fence marks of all keys."""

    caught_by = "test_a_mark_survives_operations_without_a_higher_fence"

    def destroy(self) -> bool:
        self._store.marks.clear()
        return super().destroy()


class MarksLoweredByRefusals(BrokenSimple):
    """A refused write lowers the mark to its own fence."""

    caught_by = "test_a_refused_write_does_not_change_the_mark"

    def _mark(self, key: Key, fence: int | None) -> None:
        try:
            super()._mark(key, fence)
        except StaleFence:
            self._store.marks[key] = fence or 0
            raise


class SizeCountsMarks(BrokenSimple):
    """`size` counts removed keys that have a fence mark."""

    caught_by = "test_size_counts_only_entries"

    def size(self) -> int:
        return len({*self._store.entries, *self._store.marks})


class EventsCoalesced(BrokenSimple):
    """A subscription polls, and misses changes although `events_every` is claimed."""

    caught_by = "test_each_change_is_delivered_in_order"

    def subscribe(self, notify: Callable[[], None]) -> Any:
        return Versions(lambda: self._store.entries.position, 0.001)


class EventsOfOtherChannels(BrokenSimple):
    """A subscription gets the changes of all channels."""

    caught_by = "test_changes_of_other_channels_are_not_delivered"

    def set(self, key: Key, value: Document, fence: int | None) -> bool:
        stored = super().set(key, value, fence)
        change = Change("set", encode(key.document), encode(value), self._store.entries.position)
        for store in list(_stores.values()):
            if store is not self._store:
                for feed in store.entries.feeds:
                    feed.add(change)
        return bool(stored)


class EventsOfFailures(BrokenSimple):
    """A compare-and-set that did not match is delivered as a change."""

    caught_by = "test_operations_without_effect_are_not_delivered"

    def get_set(self, match: Document, key: Key, value: Document, fence: int | None) -> Compared:
        compared = super().get_set(match, key, value, fence)
        if not compared.stored:
            self._store.entries.position += 1
            details = encode(key.document), encode(value), self._store.entries.position
            for feed in self._store.entries.feeds:
                feed.add(Change("set", *details))
        return compared


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
