"""`db`: a SQLite database in WAL mode, opened by many, that refuses what is not its own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]


def query(path: Path, statement: str) -> list[Any]:
    """Asks the database as any SQLite program does."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def content(folder: Path) -> dict[str, bytes]:
    """All files but those beside the database."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_database_is_in_wal_mode_and_says_whose_it_is(db_storage: Storage) -> None:
    """Application id and schema version are set, and it is sound."""
    with db_storage.open() as channel:
        channel.set("a", 1)
        assert query(db_storage.path, "PRAGMA journal_mode") == [("wal",)]
    assert query(db_storage.path, "PRAGMA application_id") == [(0x6F4A6F62,)]
    assert query(db_storage.path, "PRAGMA user_version") != [(0,)]
    assert query(db_storage.path, "PRAGMA integrity_check") == [("ok",)]


def test_any_sqlite_program_reads_the_documents(db_storage: Storage) -> None:
    """Keys and values are JSON text, in order."""
    with db_storage.open() as channel:
        channel.set({"b": 1, "a": "é"}, {"n": [1, None]})
        assert query(
            db_storage.path, "SELECT channel, written_key, value FROM documents ORDER BY position"
        ) == [(channel.name, '{"b":1,"a":"é"}', '{"n":[1,null]}')]


def test_closing_the_last_handle_leaves_one_file(db_storage: Storage) -> None:
    """The log is folded in: what lies there can be copied."""
    handles = [db_storage.open() for _ in range(3)]
    for number, handle in enumerate(handles):
        handle.set(number, number)
    for handle in handles:
        handle.close()
    assert set(content(db_storage.path.parent)) == {db_storage.path.name}
    assert query(db_storage.path, "SELECT count(*) FROM documents") == [(3,)]


@pytest.mark.parametrize(
    "text",
    [b"no database", b"no database" * 1000, b"\0" * 4096, b"{}"],
    ids="short long nul json".split(),
)
def test_a_file_that_is_no_database_is_left_alone(db_storage: Storage, text: bytes) -> None:
    """One clear error that names the path, and not a byte is changed."""
    db_storage.path.write_bytes(text)
    with pytest.raises(oc.ChannelDamaged) as damaged:
        db_storage.open()
    assert damaged.value.path == str(db_storage.path)
    assert "left unchanged" in str(damaged.value)
    assert content(db_storage.path.parent) == {db_storage.path.name: text}


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_the_database_of_another_program_is_left_alone(db_storage: Storage, journal: str) -> None:
    """Neither tables nor its journal mode are touched."""
    with closing(sqlite3.connect(db_storage.path)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("CREATE TABLE documents (mine)")
    before = content(db_storage.path.parent)
    with pytest.raises(oc.ChannelDamaged, match="another program"):
        db_storage.open()
    assert content(db_storage.path.parent) == before


def test_a_later_schema_is_left_to_the_later_program(db_storage: Storage) -> None:
    """The error tells to upgrade, and nothing is changed."""
    with db_storage.open() as channel:
        channel.set("a", 1)
    with closing(sqlite3.connect(db_storage.path)) as connection:
        connection.execute("PRAGMA user_version=99")
    before = content(db_storage.path.parent)
    with pytest.raises(oc.ChannelDamaged, match="version 99") as damaged:
        db_storage.open()
    assert "upgrade ojobchannels" in str(damaged.value)
    assert content(db_storage.path.parent) == before


def test_a_database_cut_short_is_told_and_left_alone(db_storage: Storage) -> None:
    """At the open or at the first read; it is never taken for an empty one."""
    with db_storage.open() as channel:
        channel.set_all((n, "x" * 500) for n in range(200))
    os.truncate(db_storage.path, db_storage.path.stat().st_size // 2)
    before = content(db_storage.path.parent)
    with pytest.raises(oc.ChannelDamaged), db_storage.open() as channel:
        channel.get_all()
    assert content(db_storage.path.parent) == before


def test_an_empty_file_is_a_new_database(db_storage: Storage) -> None:
    """As SQLite has it, and `touch` makes it."""
    db_storage.path.touch()
    db_storage.open().set("a", 1)
    assert db_storage.open().get("a") == 1


AS_NOBODY = """
import os
with oc.open_channel("test", type="db", file=params["file"]) as channel:
    channel.set("a", 1)
os.chmod(params["file"], params["file_mode"])
os.chmod(params["file"] + ".ojob", params["folder_mode"])
os.chmod(os.path.dirname(params["file"]), params["folder_mode"])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    with oc.open_channel("test", type="db", file=params["file"]) as channel:
        channel.set("b", 1)
    send("passed")
except oc.ChannelError as error:
    send([type(error).__name__, str(error)])
"""


@pytest.mark.parametrize(
    ("file_mode", "folder_mode"), [(0o444, 0o555), (0o444, 0o777), (0o644, 0o555), (0o000, 0o777)]
)
def test_what_may_not_be_written_gets_one_clear_error(
    common_folder: Path, start_worker: StartWorker, file_mode: int, folder_mode: int
) -> None:
    """A read-only file or folder, for a user who is not root: the path and what is needed."""
    file = common_folder / "inner" / "channel.db"
    file.parent.mkdir()
    worker = start_worker(AS_NOBODY, file=str(file), file_mode=file_mode, folder_mode=folder_mode)
    try:
        kind, message = worker.receive()
        assert kind == "ChannelUnavailable"
        assert str(file) in message
        assert "write permission" in message
        assert worker.end() == 0
    finally:
        file.parent.chmod(0o777)
        file.chmod(0o666)
    assert query(file, "SELECT count(*) FROM documents") == [(1,)]


FILL = """
import os, resource
file = params["config"]["args"]["file"]
with oc.open_channel(params["name"], params["config"]) as channel:
    channel.set_all((n, "x" * 1000) for n in range(params["before"]))
limit = os.stat(file).st_size + params["room"]
channel = oc.open_channel(params["name"], params["config"])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
stored = params["before"]
refused = 0
while refused < 3 and stored < 8000:
    try:
        channel.set(stored, "x" * 1000)
    except oc.StorageFull as error:
        refused += 1
        assert "nothing was changed" in str(error)
        assert channel.get(stored) is None, (stored, refused)
    else:
        stored += 1
    assert channel.size() == stored
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
channel.set("after", 1)
channel.close()
send([stored, refused])
"""


@pytest.mark.parametrize(("before", "room"), [(0, 500_000), (4000, 300_000)])
def test_a_disk_that_fills_up_loses_nothing_and_says_what_was_not_stored(
    db_storage: Storage, start_worker: StartWorker, before: int, room: int
) -> None:
    """What was refused is not there, what was taken is: also where the log cannot be folded in."""
    with db_storage.open():
        pass
    worker = start_worker(
        FILL, None, name=db_storage.name, config=db_storage.config, before=before, room=room
    )
    stored, _ = worker.receive()
    assert worker.end() == 0
    channel = db_storage.open()
    assert channel.get_keys() == [*range(stored), "after"]
    channel.close()
    assert query(db_storage.path, "PRAGMA integrity_check") == [("ok",)]


def test_the_first_open_by_eight_processes_at_once(
    db_storage: Storage, start_worker: StartWorker
) -> None:
    """All of them get through, several times over."""
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
    """Notes on which level of flushing each statement ran."""

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
    """Lock rows are not: a power cut ends their holders too."""
    tracer = Tracer(monkeypatch)
    channel = db_storage.open(durable=durable)
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


def test_what_reads_and_then_writes_begins_immediate(
    db_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction never fails for having read before it wrote."""
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


def test_a_lock_is_taken_and_given_back_by_one_statement_each(
    db_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No transaction around it, no second read."""
    channel = db_storage.open()
    channel.lock("warm up", ttl=30).release()
    channel.close()
    tracer = Tracer(monkeypatch)
    channel = db_storage.open()
    opened = len(tracer.ran)
    channel.lock("nightly", ttl=30).release()
    assert [ran.split()[0] for _, ran in tracer.ran[opened:]] == ["INSERT", "UPDATE"]


def test_the_log_does_not_grow_without_end(db_storage: Storage) -> None:
    """Though one handle is open all the time, and each of the others writes but little."""
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


def test_many_channels_share_one_database(db_storage: Storage) -> None:
    """Documents, marks, locks and `destroy` of one are none of another's."""
    channels = [db_storage.open(f"channel {n}") for n in range(10)]
    for number, channel in enumerate(channels):
        channel.set("key", number, fence=number + 1)
        channel.lock("nightly", ttl=30)
    channels[3].destroy()
    assert [channel.get("key") for channel in channels] == [0, 1, 2, None, *range(4, 10)]
    channels[0].force_unlock("nightly")
    assert [len(channel.locks()) for channel in channels] == [0] + [1] * 9


def test_a_database_with_odd_characters_in_its_path(tmp_path: Path) -> None:
    """The path is a path, never a URI or a pattern."""
    for name in ("a b.db", "ü?.db", "#%41.db", "file:x.db", ":memory:", "a'\"b.db", "-x"):
        with oc.open_channel("test", type="db", file=tmp_path / name) as channel:
            channel.set("a", name)
        assert (tmp_path / name).is_file()
        with oc.open_channel("test", type="db", file=tmp_path / name) as channel:
            assert channel.get("a") == name


def test_another_programs_long_transaction_is_waited_for_and_then_told(
    db_storage: Storage,
) -> None:
    """Who writes to the database beside us holds us up for a timeout at most; nothing is lost."""
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


class Meddling(sqlite3.Connection):
    """A connection that lets a test do something right after a statement."""

    after: dict[str, Callable[[Any], None]] = {}  # noqa: RUF012  each test sets its own

    def execute(self, statement: str, given: Any = ()) -> sqlite3.Cursor:
        word = statement.split()[0]
        answer = super().execute(statement, given)
        if word in self.after:
            self.after[word](given)
        return answer


@pytest.fixture
def meddling(monkeypatch: pytest.MonkeyPatch) -> type[Meddling]:
    """Has every connection be a meddling one; answers its class."""
    monkeypatch.setattr(Meddling, "after", {})
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Meddling))
    return Meddling


class Struck(BaseException):
    """What a signal handler raises."""


def strike(_: object) -> None:
    raise Struck


@pytest.mark.parametrize("word", ["BEGIN", "INSERT", "COMMIT"])
def test_a_transaction_that_a_signal_interrupts_is_over(
    db_storage: Storage, meddling: type[Meddling], word: str
) -> None:
    """No connection is kept within it: others write at once, and so does this handle."""
    channel = db_storage.open(timeout=1)
    channel.set("a", 1)
    meddling.after[word] = strike
    with pytest.raises(Struck):
        channel.set("a", 2, fence=7)
    meddling.after.clear()
    with db_storage.open(timeout=0.2) as other:
        other.set("c", 3)
    for turn in range(3):
        channel.set_all({"d": turn, "e": turn})
    assert channel.get("a") == (2 if word == "COMMIT" else 1)


def test_a_dead_holders_lock_that_was_taken_meanwhile_is_not_taken_twice(
    db_storage: Storage, meddling: type[Meddling], start_worker: StartWorker
) -> None:
    """Between the look at a dead holder and the taking, another may have taken its lock."""
    holder = start_worker("send(channel.lock('nightly', ttl=60).token); receive()", db_storage)
    holder.receive()
    holder.kill()
    channel, heir = db_storage.open(), db_storage.open()
    leases: list[oc.Lease] = []

    def take(_: Any) -> None:
        meddling.after.clear()
        leases.append(heir.lock("nightly", ttl=60, holder={"by": "heir"}))

    meddling.after["SELECT"] = take
    with pytest.raises(oc.LockBusy) as busy:
        channel.lock("nightly", ttl=60)
    assert busy.value.holder["by"] == "heir"
    leases[0].extend()


def test_a_channel_that_nobody_closed_ends_in_silence_with_its_process(tmp_path: Path) -> None:
    """From Python 3.13 on a database that is left open is warned of at the end."""
    script = (
        "import ojobchannels as oc\n"
        "channel = oc.open_channel('orders', type='db', file='orders.db')\n"
        "channel.set('a', channel.lock('nightly', ttl=60).fence)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_value_that_is_no_json_is_told_and_stays(db_storage: Storage) -> None:
    """Somebody wrote to the table by hand: no operation answers nonsense, or takes it away."""
    channel = db_storage.open()
    channel.set("a", 1)
    for text in ("oops", "1, 2"):
        with closing(sqlite3.connect(db_storage.path)) as connection, connection:
            connection.execute("UPDATE documents SET value = ?", (text,))
        for attempt in (lambda: channel.get("a"), channel.get_all, channel.pop, channel.shift):
            with pytest.raises(oc.ChannelDamaged, match=f"'{text}' is not a JSON document"):
                attempt()
    assert channel.size() == 1
