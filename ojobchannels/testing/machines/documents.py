"""The state machine for documents."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document, Item
from ojobchannels.errors import InvalidKey, InvalidValue, NotSupported, StaleFence
from ojobchannels.hookspecs import ABSENT, MISSING
from ojobchannels.testing.kit import strategies
from ojobchannels.testing.machines.document_model import DocumentModel, fits, spoil, unchanged
from ojobchannels.testing.machines.teller import (
    Teller,
    of_the_machine,
    people,
    short,
    step,
)

_LATELY = 4


def _likely_keys(machine: DocumentMachine) -> st.SearchStrategy[Document]:
    """Those that are or were there, and what could be taken for them; else any."""
    known = machine.lately + [key for key, _ in machine.model][-3:]
    if not known:
        return strategies.keys()
    alike = [one for key in known[:2] for one in strategies.twins(key)]
    there = st.sampled_from(known + alike)
    return st.integers(0, 3).flatmap(lambda dice: there if dice < 3 else strategies.keys())


def _likely_matches(machine: DocumentMachine) -> st.SearchStrategy[Document]:
    known = [value for _, value in machine.model][-3:]
    if not known:
        return strategies.matches()
    parts = st.sampled_from(known).flatmap(strategies.parts_of)
    return st.integers(0, 3).flatmap(lambda dice: parts if dice < 3 else strategies.matches())


def _key_and_match(machine: DocumentMachine) -> st.SearchStrategy[tuple[Document, Document]]:
    any_pair = st.tuples(_keys, st.just(ABSENT) | _matching)
    entries = list(machine.model)[-4:]
    if not entries:
        return any_pair
    fitting = st.sampled_from(entries).flatmap(
        lambda entry: st.tuples(st.just(entry[0]), strategies.parts_of(entry[1]))
    )
    return st.integers(0, 2).flatmap(lambda dice: fitting if dice < 2 else any_pair)


def _is_filled(machine: DocumentMachine) -> bool:
    return len(machine.model) > 0


_keys = of_the_machine(_likely_keys)
_values = strategies.values()
_matching = of_the_machine(_likely_matches)
_fences = st.none() | st.integers(1, 4) | strategies.fences()
_first = st.lists(st.tuples(strategies.keys(), _values), max_size=4)


class DocumentMachine(Teller):
    """A channel does what an ordered dict with marks does, through whichever handle."""

    @initialize(entries=_first)
    def open(self, entries: list[tuple[Document, Document]]) -> None:
        """Stores some entries."""
        self.begin()
        self.model = DocumentModel()
        self.lately: list[Document] = []
        for key, value in entries:
            self.tell(f", {short(key)} is set to {short(value)}")
            self.next_handle()[1].set(*self._given(key, value))
            self.model.put(key, value)

    @step(who=people(), key=_keys, value=_values, fence=_fences)
    def set(self, who: str, key: Document, value: Document, fence: int | None) -> None:
        """Stores."""
        self.tell(f"{who} sets {short(key)} to {short(value)}{_with(fence)}")
        given = self._given(key, value)
        if self.model.passes(key, fence):
            self.handle(who).set(*given, fence=fence)
            self.model.put(key, value)
        else:
            with self.refused(StaleFence, "a higher fence has written that key"):
                self.handle(who).set(*given, fence=fence)
        spoil(given[0])
        spoil(given[1])

    @step(who=people(), key=_keys, fence=_fences)
    def unset(self, who: str, key: Document, fence: int | None) -> None:
        """Removes."""
        self.tell(f"{who} unsets {short(key)}{_with(fence)}")
        self._touch(key)
        if self.model.passes(key, fence):
            removed = self.handle(who).unset(key, fence=fence)
            self.tell(f" -> {removed}")
            self.expect(removed, self.model.take(key), "whether it was there")
        else:
            with self.refused(StaleFence, "a higher fence has written that key"):
                self.handle(who).unset(key, fence=fence)

    @step(who=people(), pair=of_the_machine(_key_and_match), value=_values, fence=_fences)
    def get_set(
        self, who: str, pair: tuple[Document, Any], value: Document, fence: int | None
    ) -> None:
        """Compares and sets."""
        key, match = pair
        self.tell(f"{who} sets {short(key)} to {short(value)}{_with(fence)}")
        self.tell(f" if {short(match)} matches")
        self._compare_and_set(who, match, key, value, fence)

    @step(who=people(), key=_keys, value=_values)
    def add(self, who: str, key: Document, value: Document) -> None:
        """Stores where nothing is."""
        self.tell(f"{who} adds {short(key)} as {short(value)}")
        given = self._given(key, value)
        added = self.handle(who).add(*given)
        self.tell(f" -> {added}")
        self.expect(added, self.model.compares(ABSENT, key), "whether nothing stood there")
        if added:
            self.model.put(key, value)

    @step(who=people(), batch=st.lists(st.tuples(_keys, _values), max_size=4))
    def set_all(self, who: str, batch: list[tuple[Document, Document]]) -> None:
        """Stores a batch."""
        self.tell(f"{who} sets in one step {short(batch)}")
        given = [self._given(*pair) for pair in batch]
        if self._is_too_much(who, batch):
            with self.refused(NotSupported, "it does not claim atomic_batches"):
                self.handle(who).set_all(given)
            return
        self.handle(who).set_all(given)
        for key, value in batch:
            self.model.put(key, value)

    @step(_is_filled, who=people(), keys=st.lists(_keys, max_size=4))
    def unset_all(self, who: str, keys: list[Document]) -> None:
        """Removes a batch."""
        self.tell(f"{who} unsets in one step {short(keys)}")
        for key in keys:
            self._touch(key)
        if self._is_too_much(who, keys):
            with self.refused(NotSupported, "it does not claim atomic_batches"):
                self.handle(who).unset_all(keys)
            return
        removed = self.handle(who).unset_all(keys)
        self.tell(f" -> {removed}")
        self.expect(removed, sum(map(self.model.take, keys)), "how many were there")

    @step(who=people(), last=st.booleans())
    def take_out(self, who: str, last: bool) -> None:
        """Takes out the last, or the first."""
        self.tell(f"{who} {'pops the last' if last else 'shifts the first'}")
        channel = self.handle(who)
        taken = channel.pop(default=MISSING) if last else channel.shift(default=MISSING)
        self.tell(f" -> {short(taken)}")
        self._same(taken, self.model.take_at(-1 if last else 0), "what is taken out")

    @step(_is_filled, who=people())
    def destroy(self, who: str) -> None:
        """Removes all."""
        self.tell(f"{who} destroys the channel")
        self.handle(who).destroy()
        self.model.clear()

    @step(_is_filled, who=people())
    def reopen(self, who: str) -> None:
        """Closes a handle and opens another."""
        self.tell(f"{who} closes the handle, to open another")
        self.close_handle(who)

    @step(who=people(), key=_keys, refused=strategies.not_documents())
    def give_nonsense(self, who: str, key: Document, refused: Any) -> None:
        """Stores what cannot be stored."""
        self.tell(f"{who} sets {short(key)} to {short(refused)}, and a key like that")
        with self.refused(InvalidValue, "it is no JSON"):
            self.handle(who).set(key, refused)
        with self.refused(InvalidKey, "it is no JSON"):
            self.handle(who).set({"a": refused}, 1)

    @step(
        _is_filled,
        who=people(),
        match=_matching,
        newest_first=st.booleans(),
        size=st.integers(1, 3),
    )
    def read(self, who: str, match: Document, newest_first: bool, size: int) -> None:
        """Reads what matches, all at once and in pages."""
        self.tell(f"{who} reads what {short(match)} matches, {size} at a time")
        expected = self.model.matching(lambda value: match is None or fits(match, value))
        channel = self.handle(who)
        self._same(channel.get_all(match), [value for _, value in expected], "get_all")
        if newest_first:
            expected.reverse()
        self._same(_in_pages(channel, match, size, newest_first), expected, "the pages")

    def check(self) -> None:
        """Compares what every handle shows with the model."""
        __tracebackhide__ = True
        for who, channel in self.handles().items():
            items = [tuple(item) for item in channel.items()]
            self._same(items, list(self.model), f"the items that {who} sees")
        who, channel = self.next_handle()
        keys = channel.get_keys()
        self._same(keys, [key for key, _ in self.model], f"the keys that {who} sees")
        values = channel.get_all()
        self._same(values, [value for _, value in self.model], f"the values that {who} sees")
        self.expect(channel.size(), len(self.model), f"the size that {who} sees")
        for key in self.lately:
            value = channel.get(key, default=MISSING)
            self._same(value, self.model.get(key), f"what {who} gets for {short(key)}")

    def _compare_and_set(
        self, who: str, match: Document, key: Document, value: Document, fence: int | None
    ) -> None:
        given, present = self._given(key, value), self.model.get(key)
        compare = self.handle(who).get_set
        if not self.model.compares(match, key):
            old = compare(match, *given, fence=fence, default=MISSING)
            self._same(old, MISSING, "what it answers")
        elif self.model.passes(key, fence):
            old = compare(match, *given, fence=fence, default=MISSING)
            self._same(old, present, "the old value")
            self.model.put(key, value)
        else:
            with self.refused(StaleFence, "a higher fence has written that key"):
                compare(match, *given, fence=fence)

    def _given(self, key: Document, value: Document) -> tuple[Document, Document]:
        """Copies, which can be spoilt afterwards."""
        self._touch(key)
        return deepcopy(key), deepcopy(value)

    def _touch(self, key: Document) -> None:
        self.lately = [deepcopy(key), *self.lately[: _LATELY - 1]]

    def _is_too_much(self, who: str, batch: list[Any]) -> bool:
        return len(batch) > 1 and "atomic_batches" not in self.handle(who).capabilities

    def _same(self, answer: Any, expected: Any, what: str) -> None:
        __tracebackhide__ = True
        if not unchanged(answer, expected):
            self.doubt(f"{what}: got {short(answer)}, and should be {short(expected)}")
        spoil(answer)


def _in_pages(channel: Channel, match: Document, size: int, newest_first: bool) -> list[Any]:
    read: list[Item] = []
    while True:
        after = read[-1].position if read else None
        page = list(channel.items(match, size, newest_first, after))
        if not page:
            return [tuple(item) for item in read]
        read += page


def _with(fence: int | None) -> str:
    return "" if fence is None else f" with fence {fence}"
