"""The state machines, on each embedded type and on backends with defects."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ojobchannels.backends import lock_record
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.backends.simple.backend import SimpleBackend
from ojobchannels.channels import held_locks
from ojobchannels.documents import Key
from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import Busy, Granted, hookimpl
from ojobchannels.host.clock import Clock
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.machines import (
    base,
    document_machine,
    lock_machine,
    prove_documents,
    prove_locks,
)

pytestmark = pytest.mark.kit

Break = Callable[[pytest.MonkeyPatch], None]

# What an author of a backend writes:
TestDocuments = document_machine(lambda: Subject("simple"), examples=40)
TestLocks = lock_machine(lambda: Subject("simple"), examples=80)


@pytest.fixture(params=["file", "db"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    """The embedded types that keep files."""
    return Subject(request.param, {"file": str(tmp_path / "channel")})


def test_documents_behave_like_the_model(subject: Subject) -> None:
    """On types that keep files."""
    prove_documents(subject, examples=30)


def test_locks_behave_like_the_model(subject: Subject) -> None:
    """On types that keep files."""
    prove_locks(subject, examples=60)


def _ignores_tokens(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SimpleBackend, "_holds", lambda self, record, token: bool(record.token))


def _revives(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SimpleBackend, "_holds", lambda self, record, token: record.token == token)


def _loses_the_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lock_record, "freed", lambda record: LockRecord())


def _expires_too_late(patch: pytest.MonkeyPatch) -> None:
    real = lock_record.remaining

    def remaining(record: LockRecord, clock: Clock) -> int:
        return real(record, clock) or int(bool(record.token) and record.until == clock.now())

    patch.setattr(lock_record, "remaining", remaining)


def _grants_twice(patch: pytest.MonkeyPatch) -> None:
    real = SimpleBackend.lock

    @hookimpl
    def lock(
        self: SimpleBackend, name: str, token: str, ttl: int, holder: dict[str, Any]
    ) -> Granted | Busy:
        result: Granted | Busy = real(self, name, token, ttl, holder)
        return Granted(result.fence + 1, None) if isinstance(result, Busy) else result

    patch.setattr(SimpleBackend, "lock", lock)


def _has_one_slot(patch: pytest.MonkeyPatch) -> None:
    real = SimpleBackend.lock

    @hookimpl
    def lock(
        self: SimpleBackend, name: str, token: str, ttl: int, holder: dict[str, Any]
    ) -> Granted | Busy:
        end = name.find("\x1fslot ")
        return real(self, name[:end] if end > 0 else name, token, ttl, holder)

    patch.setattr(SimpleBackend, "lock", lock)


def _evicts_from_the_first_slot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(held_locks, "_slot", lambda name, slot: name)


def _pops_the_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SimpleBackend, "pop", SimpleBackend.shift)


def _confuses_true_and_one(patch: pytest.MonkeyPatch) -> None:
    real = Key.__hash__
    patch.setattr(Key, "__hash__", lambda key: hash("1") if key == "true" else real(key), False)
    patch.setattr(
        Key,
        "__eq__",
        lambda one, two: str(one).replace("true", "1") == str(two).replace("true", "1"),
    )


def _loses_marks(patch: pytest.MonkeyPatch) -> None:
    real = SimpleBackend.destroy

    @hookimpl
    def destroy(self: SimpleBackend) -> bool:
        self._store.marks.clear()
        return bool(real(self))

    patch.setattr(SimpleBackend, "destroy", destroy)


@pytest.mark.parametrize(
    ("break_it", "prove", "wrong"),
    [
        (_ignores_tokens, prove_locks, "expected False|does not hold the lock"),
        (_revives, prove_locks, "does not hold the lock"),
        (_loses_the_fence, prove_locks, "is not greater than|the holder is reported"),
        (_expires_too_late, prove_locks, "the lock is free"),
        (_grants_twice, prove_locks, r"although lease_\d|reports fence"),
        (_has_one_slot, prove_locks, "although the lock is free|has fence|does not hold|got None"),
        (_evicts_from_the_first_slot, prove_locks, "reports"),
        (_pops_the_first, prove_documents, "the removed value|the items that"),
        (_confuses_true_and_one, prove_documents, "expected|refused to write"),
        (_loses_marks, prove_documents, "expected StaleFence"),
    ],
)
def test_a_defect_fails_the_state_machine(
    break_it: Break, prove: Callable[..., None], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error describes the defect."""
    monkeypatch.setattr(base, "SHRINK_SECONDS", 0.0)
    break_it(monkeypatch)
    with pytest.raises((AssertionError, ChannelError), match=wrong):
        prove(Subject("simple"), examples=300)


def test_a_failure_shows_a_short_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The notes of the error have the shrunk sequence of operations with results, and the seed."""
    monkeypatch.setattr(base, "SHRINK_SECONDS", 300)
    _loses_the_fence(monkeypatch)
    with pytest.raises(AssertionError) as caught:
        prove_locks(Subject("simple"), seed=5)
    trace = "\n".join(caught.value.__notes__)
    assert re.search(r"an empty channel of type 'simple', and locks 'a'", trace)
    assert re.search(r"(alice|bob|carol) (locks|tries) 'a' for \d+ s", trace)
    assert "fence 1900000000000000" in trace
    assert "seed 5: set OJOBCHANNELS_TEST_SEED=5 to repeat this run" in trace
    assert "SearchStrategy" not in trace
    assert not re.search(r"teardown|state\b|nothing happens|no time passes", trace)
    assert len(trace.splitlines()) < 12


def test_a_failure_that_is_not_reproducible_shows_its_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error is that of the failing run, not one about flaky tests from Hypothesis."""
    failed: list[bool] = []
    real = SimpleBackend.size

    @hookimpl
    def size(self: SimpleBackend) -> int:
        number: int = real(self)
        if number == 2 and not failed:
            failed.append(True)
            return 3
        return number

    monkeypatch.setattr(SimpleBackend, "size", size)
    with pytest.raises(AssertionError, match=r"the size that .* reads: got 3") as caught:
        prove_documents(Subject("simple"))
    assert "The failure is not reproducible" in "\n".join(caught.value.__notes__)


def test_long_texts_that_differ_where_they_are_cut_print_differently() -> None:
    """With their length, so that 4,095 equal characters are not taken for 4,096."""
    assert base.short("k" * 4095) != base.short("k" * 4096)
    assert base.short("k" * 4096).endswith("(4096 characters)")
    assert base.short("short") == "'short'"


def test_shrinking_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow backend gets the shortest sequence found so far, before the test times out."""
    monkeypatch.setattr(base, "SHRINK_SECONDS", 0.3)
    _pops_the_first(monkeypatch)
    began = time.monotonic()
    with pytest.raises(AssertionError) as caught:
        prove_documents(Subject("simple"), examples=1000)
    assert time.monotonic() < began + 30
    assert any("pops the last" in note for note in caught.value.__notes__)


def test_the_environment_scales_the_examples(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """OJOBCHANNELS_TEST_EXAMPLES multiplies the examples; OJOBCHANNELS_TEST_SEED sets the seed."""
    monkeypatch.setenv("OJOBCHANNELS_TEST_EXAMPLES", "0.1")
    monkeypatch.setenv("OJOBCHANNELS_TEST_SEED", "7")
    prove_locks(Subject("simple"), examples=30)
    assert capsys.readouterr().out.startswith("LockMachine on simple, 3 examples, seed 7: ")


def test_a_seed_reproduces_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs with one seed fail with the same error and the same trace."""
    monkeypatch.setattr(base, "SHRINK_SECONDS", 0.0)
    _loses_the_fence(monkeypatch)
    traces = []
    for _ in range(2):
        with pytest.raises(AssertionError) as caught:
            prove_locks(Subject("simple"), seed=11)
        traces.append((str(caught.value), caught.value.__notes__))
    assert traces[0] == traces[1]
