"""Documents against a model: random sequences of operations, on several handles of one storage."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import ojobchannels as oc

KEYS: list[Any] = [1, 1.0, "1", True, 0, -0.0, "", {}, {"a": 1, "b": 2}, {"b": 2.0, "a": 1.0}, "é"]
VALUES: list[Any] = [None, 0, 1, 1.0, True, "", [], {}, {"s": "new"}, {"s": "new", "n": [1]}]
MATCHES: list[Any] = [None, 1, {}, {"s": "new"}, {"s": None}, []]

handles = st.integers(0, 1)
keys = st.sampled_from(KEYS)
values = st.sampled_from(VALUES)
matches = st.sampled_from(MATCHES)
fences = st.none() | st.integers(1, 4)
batches = st.lists(st.tuples(keys, values), max_size=4)


def canonical(key: Any) -> str:
    """Written anew here, so that a fault of the package's own does not hide itself."""
    if isinstance(key, dict):
        return json.dumps({name: canonical(key[name]) for name in sorted(key)})
    if isinstance(key, bool | str):
        return json.dumps(key)
    return repr(float(key) + 0.0)


class Documents(RuleBasedStateMachine):
    """A channel does what an ordered dict with marks does."""

    type: ClassVar[str]

    @initialize()
    def open(self) -> None:
        self.stack = ExitStack()
        folder = tempfile.mkdtemp(prefix="ojobchannels-")
        self.stack.callback(shutil.rmtree, folder)
        config: dict[str, Any] = {"type": self.type}
        if self.type != "simple":
            config["args"] = {"file": str(Path(folder, "channel"))}
        name = f"test-{secrets.token_hex(6)}"
        self.handles = [self.stack.enter_context(oc.open_channel(name, config)) for _ in range(2)]
        self.entries: dict[str, tuple[Any, Any]] = {}
        self.marks: dict[str, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    def put(self, key: Any, value: Any) -> None:
        self.entries.pop(canonical(key), None)
        self.entries[canonical(key)] = key, value

    def passes(self, key: Any, fence: int | None) -> bool:
        if fence is None:
            return True
        if fence < self.marks.get(canonical(key), 0):
            return False
        self.marks[canonical(key)] = fence
        return True

    @rule(handle=handles, key=keys, value=values, fence=fences)
    def set(self, handle: int, key: Any, value: Any, fence: int | None) -> None:
        if self.passes(key, fence):
            self.handles[handle].set(key, value, fence=fence)
            self.put(key, value)
        else:
            with pytest.raises(oc.StaleFence):
                self.handles[handle].set(key, value, fence=fence)

    @rule(handle=handles, key=keys, fence=fences)
    def unset(self, handle: int, key: Any, fence: int | None) -> None:
        if self.passes(key, fence):
            removed = self.handles[handle].unset(key, fence=fence)
            assert removed == (self.entries.pop(canonical(key), None) is not None)
        else:
            with pytest.raises(oc.StaleFence):
                self.handles[handle].unset(key, fence=fence)

    @rule(handle=handles, match=matches, key=keys, value=values, fence=fences)
    def get_set(self, handle: int, match: Any, key: Any, value: Any, fence: int | None) -> None:
        present = self.entries.get(canonical(key))
        compare = self.handles[handle].get_set
        if present is None or not oc.matches(match, present[1]):
            answer = compare(match, key, value, fence=fence, default=oc.MISSING)
            assert answer is oc.MISSING
        elif self.passes(key, fence):
            answer = compare(match, key, value, fence=fence, default=oc.MISSING)
            assert repr(answer) == repr(present[1])
            self.put(key, value)
        else:
            with pytest.raises(oc.StaleFence):
                compare(match, key, value, fence=fence)

    @rule(handle=handles, key=keys, value=values)
    def add(self, handle: int, key: Any, value: Any) -> None:
        added = self.handles[handle].add(key, value)
        assert added == (canonical(key) not in self.entries)
        if added:
            self.put(key, value)

    @rule(handle=handles, batch=batches)
    def set_all(self, handle: int, batch: list[tuple[Any, Any]]) -> None:
        self.handles[handle].set_all(batch)
        for key, value in batch:
            self.put(key, value)

    @rule(handle=handles, some=st.lists(keys, max_size=4))
    def unset_all(self, handle: int, some: list[Any]) -> None:
        removed = self.handles[handle].unset_all(some)
        assert removed == sum(self.entries.pop(canonical(key), None) is not None for key in some)

    @rule(handle=handles)
    def pop(self, handle: int) -> None:
        expected = self.entries.popitem()[1][1] if self.entries else oc.MISSING
        assert repr(self.handles[handle].pop(default=oc.MISSING)) == repr(expected)

    @rule(handle=handles)
    def shift(self, handle: int) -> None:
        first = next(iter(self.entries), None)
        expected = oc.MISSING if first is None else self.entries.pop(first)[1]
        assert repr(self.handles[handle].shift(default=oc.MISSING)) == repr(expected)

    @rule(handle=handles)
    def destroy(self, handle: int) -> None:
        self.handles[handle].destroy()
        self.entries.clear()

    @rule(handle=handles, match=matches, limit=st.integers(0, 3), newest_first=st.booleans())
    def pages(self, handle: int, match: Any, limit: int, newest_first: bool) -> None:
        channel = self.handles[handle]
        expected = [
            (key, value)
            for key, value in self.entries.values()
            if match is None or oc.matches(match, value)
        ][:: -1 if newest_first else 1]
        read: list[oc.Item] = []
        while True:
            after = read[-1].position if read else None
            page = list(
                channel.items(match=match, limit=limit + 1, newest_first=newest_first, after=after)
            )
            if not page:
                break
            read += page
        assert repr([tuple(item) for item in read]) == repr(expected)

    @invariant()
    def all_handles_show_the_model(self) -> None:
        for channel in getattr(self, "handles", []):
            assert repr([tuple(item) for item in channel.items()]) == repr(
                list(self.entries.values())
            )
            assert repr(channel.get_keys()) == repr([key for key, _ in self.entries.values()])
            assert repr(channel.get_all()) == repr([value for _, value in self.entries.values()])
            assert channel.size() == len(self.entries)
            for key in KEYS:
                expected = self.entries.get(canonical(key), (None, oc.MISSING))[1]
                assert repr(channel.get(key, default=oc.MISSING)) == repr(expected)


class SimpleDocuments(Documents):
    """The same on type `simple`."""

    type = "simple"


class FileDocuments(Documents):
    """The same on type `file`."""

    type = "file"


class DatabaseDocuments(Documents):
    """The same on type `db`."""

    type = "db"


@pytest.mark.parametrize("machine", [SimpleDocuments, FileDocuments, DatabaseDocuments])
def test_a_channel_does_what_the_model_does(machine: type[Documents]) -> None:
    """Whatever the sequence of operations, every handle shows what the model holds."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
