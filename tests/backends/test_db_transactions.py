"""Statements and transactions of `db`: flushes, locks, checkpoints and interruptions."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]


def test_the_first_open_by_eight_processes_at_once(
    db_storage: Storage, start_worker: StartWorker
) -> None:
    """All of them succeed, several times."""
    script = """
for _ in range(10):
    name = receive()
    with oc.open_channel("test", type="db", file=name) as channel:
        channel.add("key", 1)
        channel.set(params["number"], 1)
    send()
"""
    workers = [start_worker(script, number=number) for number in range(8)]
    for turn in range(10):
        file = db_storage.path.parent / f"fresh-{turn}.db"
        for worker in workers:
            worker.send(str(file))
        for worker in workers:
            worker.receive()
        with oc.open_channel("test", type="db", file=file) as channel:
            assert channel.size() == 9
            assert sorted(channel.get_keys(), key=str) == [*range(8), "key"]
    assert [worker.end() for worker in workers] == [0] * 8


class Tracer:
    """Records the flush level of each statement."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[tuple[str, str]] = []
        connect = sqlite3.connect

        def connecting(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **kwargs)
            level = ["?"]

            def note(statement: str) -> None:
                words = statement.split()
                if words[:1] == ["PRAGMA"] and words[1].startswith("synchronous="):
                    level[0] = words[1].partition("=")[2]
                self.ran.append((level[0], " ".join(words[:3])))

            connection.set_trace_callback(note)
            return connection

        monkeypatch.setattr(sqlite3, "connect", connecting)

    def level_of(self, statement: str) -> set[str]:
        return {level for level, ran in self.ran if ran.startswith(statement)}


@pytest.mark.parametrize(("durable", "level"), [(True, "FULL"), (False, "NORMAL")])
def test_documents_are_flushed_at_commit_unless_durable_is_false(
    db_storage: Storage, monkeypatch: pytest.MonkeyPatch, durable: bool, level: str
) -> None:
    """Lock rows are not flushed: a power cut ends their holders too."""
    tracer = Tracer(monkeypatch)
    channel = db_storage.open(durable=durable)
    tracer.ran.clear()  # what was swept at the opening need not be flushed
    channel.set("a", 1)
    channel.set("b", 1, fence=1)
    channel.unset("a")
    channel.pop()
    with channel.lock("nightly", ttl=30) as lease:
        lease.extend()
    assert tracer.level_of("INSERT INTO documents") == {level}
    assert tracer.level_of("INSERT INTO marks") == {level}
    assert tracer.level_of("DELETE FROM documents") == {level}
    assert tracer.level_of("INSERT INTO locks") == {"NORMAL"}
    assert tracer.level_of("UPDATE locks") == {"NORMAL"}


def test_transactions_that_read_and_write_begin_immediate(
    db_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction never fails because it read before it wrote."""
    tracer = Tracer(monkeypatch)
    channel = db_storage.open()
    channel.set("a", 1)
    channel.set("a", 2, fence=1)
    channel.get_set(2, "a", 3)
    channel.set_all({"b": 1, "c": 2})
    channel.unset_all(["b", "c"])
    channel.lock("nightly", ttl=30)
    channel.force_unlock("nightly")
    begun = {ran for _, ran in tracer.ran if ran.startswith("BEGIN")}
    assert begun == {"BEGIN IMMEDIATE"}


def test_a_lock_is_acquired_and_released_by_one_statement_each(
    db_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no transaction around it and no second read."""
    channel = db_storage.open()
    channel.lock("warm up", ttl=30).release()
    channel.close()
    tracer = Tracer(monkeypatch)
    channel = db_storage.open()
    opened = len(tracer.ran)
    channel.lock("nightly", ttl=30).release()
    assert [ran.split()[0] for _, ran in tracer.ran[opened:]] == ["INSERT", "UPDATE"]


def test_the_log_does_not_grow_without_limit(db_storage: Storage) -> None:
    """Even if one handle is open all the time, and each of the others writes little."""
    staying = db_storage.open()
    staying.set("a", 1)
    log = db_storage.path.with_name(f"{db_storage.path.name}-wal")
    largest = 0
    for turn in range(60):
        with db_storage.open(durable=False) as channel:
            for number in range(20):
                channel.set(number, f"{turn}" + "x" * 20_000)
        assert staying.get(0)[:2] == f"{turn}x"[:2]
        largest = max(largest, log.stat().st_size)
    assert largest < 12_000_000


def test_a_long_transaction_of_another_program_ends_in_a_timeout(
    db_storage: Storage,
) -> None:
    """Another writer delays our writes by at most the timeout; nothing is lost."""
    channel = db_storage.open(timeout=0.2)
    channel.set("a", 1)
    with closing(sqlite3.connect(db_storage.path, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(oc.ChannelTimeout) as late:
            channel.set("a", 2)
        assert late.value.seconds == 0.2
        assert channel.get("a") == 1
        intruder.execute("ROLLBACK")
    channel.set("a", 2)
    assert channel.get("a") == 2


class HookedConnection(sqlite3.Connection):
    """A connection that lets a test act right after a statement."""

    after: dict[str, Callable[[Any], None]] = {}  # noqa: RUF012  each test sets its own

    def execute(self, statement: str, given: Any = ()) -> sqlite3.Cursor:
        word = statement.split()[0]
        result = super().execute(statement, given)
        if word in self.after:
            self.after[word](given)
        return result


@pytest.fixture
def hooked_connection(monkeypatch: pytest.MonkeyPatch) -> type[HookedConnection]:
    """Replace the class of all connections, and return the new class."""
    monkeypatch.setattr(HookedConnection, "after", {})
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=HookedConnection))
    return HookedConnection


class Struck(BaseException):
    """The exception of a signal handler."""


def strike(_: object) -> None:
    raise Struck


@pytest.mark.parametrize("word", ["BEGIN", "INSERT", "COMMIT"])
def test_a_transaction_interrupted_by_a_signal_is_rolled_back(
    db_storage: Storage, hooked_connection: type[HookedConnection], word: str
) -> None:
    """No connection stays in a transaction: other handles and this one can write at once."""
    channel = db_storage.open(timeout=1)
    channel.set("a", 1)
    hooked_connection.after[word] = strike
    with pytest.raises(Struck):
        channel.set("a", 2, fence=7)
    hooked_connection.after.clear()
    with db_storage.open(timeout=0.2) as other:
        other.set("c", 3)
    for turn in range(3):
        channel.set_all({"d": turn, "e": turn})
    assert channel.get("a") == (2 if word == "COMMIT" else 1)


def test_the_lock_of_a_dead_holder_is_not_granted_twice(
    db_storage: Storage, hooked_connection: type[HookedConnection], start_worker: StartWorker
) -> None:
    """Another process may acquire the lock between the check of the dead holder and our request."""
    holder = start_worker("send(channel.lock('nightly', ttl=60).token); receive()", db_storage)
    holder.receive()
    holder.kill()
    channel, heir = db_storage.open(), db_storage.open()
    leases: list[oc.Lease] = []

    def take(_: Any) -> None:
        hooked_connection.after.clear()
        leases.append(heir.lock("nightly", ttl=60, holder={"by": "heir"}))

    hooked_connection.after["SELECT"] = take
    with pytest.raises(oc.LockBusy) as busy:
        channel.lock("nightly", ttl=60)
    assert busy.value.holder["by"] == "heir"
    leases[0].extend()
