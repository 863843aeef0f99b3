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
from ojobchannels.testing.machines.base import (
    ChannelMachine,
    clients,
    from_machine,
    short,
    step,
)
from ojobchannels.testing.machines.document_model import DocumentModel, fits, mutate, unchanged

_RECENT = 4


def _likely_keys(machine: DocumentMachine) -> st.SearchStrategy[Document]:
    """Present and recent keys, keys similar to them, and sometimes any key."""
    known = machine.recent_keys + [key for key, _ in machine.model][-3:]
    if not known:
        return strategies.keys()
    similar = [lookalike for key in known[:2] for lookalike in strategies.lookalikes(key)]
    likely = st.sampled_from(known + similar)
    return st.integers(0, 3).flatmap(lambda dice: likely if dice < 3 else strategies.keys())


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


_keys = from_machine(_likely_keys)
_values = strategies.values()
_matching = from_machine(_likely_matches)
_fences = st.none() | st.integers(1, 4) | strategies.fences()
_first = st.lists(st.tuples(strategies.keys(), _values), max_size=4)


class DocumentMachine(ChannelMachine):
    """A channel behaves like an ordered dict with fence marks, through each of its handles."""

    @initialize(entries=_first)
    def open(self, entries: list[tuple[Document, Document]]) -> None:
        """Store some entries."""
        self.begin()
        self.model = DocumentModel()
        self.recent_keys: list[Document] = []
        for key, value in entries:
            self.log(f", {short(key)} is set to {short(value)}")
            self.next_handle()[1].set(*self._copies(key, value))
            self.model.put(key, value)

    @step(client=clients(), key=_keys, value=_values, fence=_fences)
    def set(self, client: str, key: Document, value: Document, fence: int | None) -> None:
        """Set a key."""
        self.log(f"{client} sets {short(key)} to {short(value)}{_with(fence)}")
        copies = self._copies(key, value)
        if self.model.passes(key, fence):
            self.handle(client).set(*copies, fence=fence)
            self.model.put(key, value)
        else:
            with self.refused(StaleFence, "the key was written with a higher fence"):
                self.handle(client).set(*copies, fence=fence)
        mutate(copies[0])
        mutate(copies[1])

    @step(client=clients(), key=_keys, fence=_fences)
    def unset(self, client: str, key: Document, fence: int | None) -> None:
        """Unset a key."""
        self.log(f"{client} unsets {short(key)}{_with(fence)}")
        self._touch(key)
        if self.model.passes(key, fence):
            removed = self.handle(client).unset(key, fence=fence)
            self.log(f" -> {removed}")
            self.expect(removed, self.model.take(key), "whether the key existed")
        else:
            with self.refused(StaleFence, "the key was written with a higher fence"):
                self.handle(client).unset(key, fence=fence)

    @step(client=clients(), pair=from_machine(_key_and_match), value=_values, fence=_fences)
    def get_set(
        self, client: str, pair: tuple[Document, Any], value: Document, fence: int | None
    ) -> None:
        """Compare and set a key."""
        key, match = pair
        self.log(f"{client} sets {short(key)} to {short(value)}{_with(fence)}")
        self.log(f" if {short(match)} matches")
        self._compare_and_set(client, match, key, value, fence)

    @step(client=clients(), key=_keys, value=_values)
    def add(self, client: str, key: Document, value: Document) -> None:
        """Add a key."""
        self.log(f"{client} adds {short(key)} as {short(value)}")
        copies = self._copies(key, value)
        added = self.handle(client).add(*copies)
        self.log(f" -> {added}")
        self.expect(added, self.model.compares(ABSENT, key), "whether the key was missing")
        if added:
            self.model.put(key, value)

    @step(client=clients(), batch=st.lists(st.tuples(_keys, _values), max_size=4))
    def set_all(self, client: str, batch: list[tuple[Document, Document]]) -> None:
        """Set a batch."""
        if not batch:
            self.skip()
            return
        self.log(f"{client} sets the batch {short(batch)}")
        copies = [self._copies(*pair) for pair in batch]
        if self._is_unsupported_batch(client, batch):
            with self.refused(NotSupported, "the backend does not claim atomic_batches"):
                self.handle(client).set_all(copies)
            return
        self.handle(client).set_all(copies)
        for key, value in batch:
            self.model.put(key, value)

    @step(_is_filled, client=clients(), keys=st.lists(_keys, max_size=4))
    def unset_all(self, client: str, keys: list[Document]) -> None:
        """Unset a batch."""
        if not keys:
            self.skip()
            return
        self.log(f"{client} unsets the batch {short(keys)}")
        for key in keys:
            self._touch(key)
        if self._is_unsupported_batch(client, keys):
            with self.refused(NotSupported, "the backend does not claim atomic_batches"):
                self.handle(client).unset_all(keys)
            return
        removed = self.handle(client).unset_all(keys)
        self.log(f" -> {removed}")
        self.expect(removed, sum(map(self.model.take, keys)), "number of removed keys")

    @step(client=clients(), last=st.booleans())
    def take_out(self, client: str, last: bool) -> None:
        """Pop the last entry, or shift the first."""
        self.log(f"{client} {'pops the last' if last else 'shifts the first'}")
        channel = self.handle(client)
        taken = channel.pop(default=MISSING) if last else channel.shift(default=MISSING)
        self.log(f" -> {short(taken)}")
        self._same(taken, self.model.take_at(-1 if last else 0), "the removed value")

    @step(_is_filled, client=clients())
    def destroy(self, client: str) -> None:
        """Destroy the channel."""
        self.log(f"{client} destroys the channel")
        self.handle(client).destroy()
        self.model.clear()

    @step(_is_filled, client=clients())
    def reopen(self, client: str) -> None:
        """Close a handle; the next operation of the client opens a new one."""
        self.log(f"{client} closes the handle and opens a new one")
        self.close_handle(client)

    @step(client=clients(), key=_keys, refused=strategies.not_documents())
    def set_invalid(self, client: str, key: Document, refused: Any) -> None:
        """Set a value and a key that are not JSON."""
        self.log(f"{client} sets {short(key)} to {short(refused)}, and uses it in a key")
        with self.refused(InvalidValue, "it is not JSON"):
            self.handle(client).set(key, refused)
        with self.refused(InvalidKey, "it is not JSON"):
            self.handle(client).set({"a": refused}, 1)

    @step(
        _is_filled,
        client=clients(),
        match=_matching,
        newest_first=st.booleans(),
        size=st.integers(1, 3),
    )
    def read(self, client: str, match: Document, newest_first: bool, size: int) -> None:
        """Read the matching entries, all at once and in pages."""
        self.log(f"{client} reads the matches of {short(match)} in pages of {size}")
        expected = self.model.matching(lambda value: match is None or fits(match, value))
        channel = self.handle(client)
        self._same(channel.get_all(match), [value for _, value in expected], "get_all")
        if newest_first:
            expected.reverse()
        self._same(_in_pages(channel, match, size, newest_first), expected, "the pages")

    def check(self) -> None:
        """Compare the entries that each handle reads with the model."""
        __tracebackhide__ = True
        for client, channel in self.handles().items():
            items = [tuple(item) for item in channel.items()]
            self._same(items, list(self.model), f"the items that {client} reads")
        client, channel = self.next_handle()
        keys = channel.get_keys()
        self._same(keys, [key for key, _ in self.model], f"the keys that {client} reads")
        values = channel.get_all()
        self._same(values, [value for _, value in self.model], f"the values that {client} reads")
        self.expect(channel.size(), len(self.model), f"the size that {client} reads")
        for key in self.recent_keys:
            value = channel.get(key, default=MISSING)
            self._same(
                value, self.model.get(key), f"the value that {client} reads for {short(key)}"
            )

    def _compare_and_set(
        self, client: str, match: Document, key: Document, value: Document, fence: int | None
    ) -> None:
        copies, present = self._copies(key, value), self.model.get(key)
        compare = self.handle(client).get_set
        if not self.model.compares(match, key):
            old = compare(match, *copies, fence=fence, default=MISSING)
            self._same(old, MISSING, "the default")
        elif self.model.passes(key, fence):
            old = compare(match, *copies, fence=fence, default=MISSING)
            self._same(old, present, "the old value")
            self.model.put(key, value)
        else:
            with self.refused(StaleFence, "the key was written with a higher fence"):
                compare(match, *copies, fence=fence)

    def _copies(self, key: Document, value: Document) -> tuple[Document, Document]:
        """Return copies, which the caller can change after the operation."""
        self._touch(key)
        return deepcopy(key), deepcopy(value)

    def _touch(self, key: Document) -> None:
        self.recent_keys = [deepcopy(key), *self.recent_keys[: _RECENT - 1]]

    def _is_unsupported_batch(self, client: str, batch: list[Any]) -> bool:
        return len(batch) > 1 and "atomic_batches" not in self.handle(client).capabilities

    def _same(self, result: Any, expected: Any, what: str) -> None:
        __tracebackhide__ = True
        if not unchanged(result, expected):
            self.fail(f"{what}: got {short(result)}, expected {short(expected)}")
        mutate(result)


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
