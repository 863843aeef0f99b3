"""The database of `db`: its file, what is refused, and what happens when the disk is full."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]

DAY = 86_400


def query(path: Path, statement: str) -> list[Any]:
    """Query the database like any SQLite program."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def content(folder: Path) -> dict[str, bytes]:
    """Return the content of all files except those beside the database."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_database_is_in_wal_mode_and_has_an_application_id(db_storage: Storage) -> None:
    """Application id and schema version are set, and the integrity check passes."""
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
    """The log is merged into the database, so that the file can be copied."""
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
def test_a_file_that_is_not_a_database_is_left_unchanged(db_storage: Storage, text: bytes) -> None:
    """One clear error gives the path, and no byte of the file is changed."""
    db_storage.path.write_bytes(text)
    with pytest.raises(oc.ChannelDamaged) as damaged:
        db_storage.open()
    assert damaged.value.path == str(db_storage.path)
    assert "left unchanged" in str(damaged.value)
    assert content(db_storage.path.parent) == {db_storage.path.name: text}


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_database_of_another_program_is_unchanged(db_storage: Storage, journal: str) -> None:
    """Neither its tables nor its journal mode are changed."""
    with closing(sqlite3.connect(db_storage.path)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("CREATE TABLE documents (mine)")
    before = content(db_storage.path.parent)
    with pytest.raises(oc.ChannelDamaged, match="another program"):
        db_storage.open()
    assert content(db_storage.path.parent) == before


def test_a_later_schema_is_refused(db_storage: Storage) -> None:
    """The error says to upgrade, and nothing is changed."""
    with db_storage.open() as channel:
        channel.set("a", 1)
    with closing(sqlite3.connect(db_storage.path)) as connection:
        connection.execute("PRAGMA user_version=99")
    before = content(db_storage.path.parent)
    with pytest.raises(oc.ChannelDamaged, match="version 99") as damaged:
        db_storage.open()
    assert "upgrade ojobchannels" in str(damaged.value)
    assert content(db_storage.path.parent) == before


def test_a_truncated_database_is_reported_and_left_unchanged(db_storage: Storage) -> None:
    """At open or at the first read; it never counts as an empty database."""
    with db_storage.open() as channel:
        channel.set_all((n, "x" * 500) for n in range(200))
    os.truncate(db_storage.path, db_storage.path.stat().st_size // 2)
    before = content(db_storage.path.parent)
    with pytest.raises(oc.ChannelDamaged), db_storage.open() as channel:
        channel.get_all()
    assert content(db_storage.path.parent) == before


def test_an_empty_file_is_a_new_database(db_storage: Storage) -> None:
    """As for SQLite; `touch` creates such a file."""
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
def test_missing_write_permission_raises_one_clear_error(
    common_folder: Path, start_worker: StartWorker, file_mode: int, folder_mode: int
) -> None:
    """For a read-only file or folder and a user other than root: path and required permission."""
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
def test_a_disk_that_fills_up_loses_nothing_and_each_failed_write_raises(
    db_storage: Storage, start_worker: StartWorker, before: int, room: int
) -> None:
    """Refused writes are absent, accepted ones are present, even if no checkpoint is possible."""
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


def test_many_channels_share_one_database(db_storage: Storage) -> None:
    """Documents, marks, locks and `destroy` of one channel do not affect another."""
    channels = [db_storage.open(f"channel {n}") for n in range(10)]
    for number, channel in enumerate(channels):
        channel.set("key", number, fence=number + 1)
        channel.lock("nightly", ttl=30)
    channels[3].destroy()
    assert [channel.get("key") for channel in channels] == [0, 1, 2, None, *range(4, 10)]
    channels[0].force_unlock("nightly")
    assert [len(channel.locks()) for channel in channels] == [0] + [1] * 9


def test_a_database_with_odd_characters_in_its_path(tmp_path: Path) -> None:
    """The path is used literally, not as a URI or a pattern."""
    for name in ("a b.db", "ü?.db", "#%41.db", "file:x.db", ":memory:", "a'\"b.db", "-x"):
        with oc.open_channel("test", type="db", file=tmp_path / name) as channel:
            channel.set("a", name)
        assert (tmp_path / name).is_file()
        with oc.open_channel("test", type="db", file=tmp_path / name) as channel:
            assert channel.get("a") == name


def test_a_channel_that_was_not_closed_ends_silently_with_its_process(tmp_path: Path) -> None:
    """Python 3.13 and later warn at the end about a database that was left open."""
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


def test_a_stored_value_that_is_not_json_is_reported_and_kept(db_storage: Storage) -> None:
    """After a manual change of the table, no operation returns or removes such a value."""
    channel = db_storage.open()
    channel.set("a", 1)
    for text in ("oops", "1, 2"):
        with closing(sqlite3.connect(db_storage.path)) as connection, connection:
            connection.execute("UPDATE documents SET value = ?", (text,))
        for attempt in (lambda: channel.get("a"), channel.get_all, channel.pop, channel.shift):
            with pytest.raises(oc.ChannelDamaged, match=f"'{text}' is not a JSON document"):
                attempt()
    assert channel.size() == 1


def marks(storage: Storage) -> set[str]:
    """Return the keys that have a mark."""
    with closing(sqlite3.connect(storage.path)) as connection:
        statement = "SELECT key FROM marks WHERE channel <> ''"
        return {key for (key,) in connection.execute(statement)}


def test_a_mark_is_swept_a_day_after_the_clock_has_passed_it(db_storage: Storage) -> None:
    """By the first process that opens the database then, also if its entry was removed."""
    clock = ManualClock()
    with db_storage.open(clock=clock) as channel:
        lease = channel.lock("nightly", ttl=30)
        for key in ("kept", "removed"):
            channel.set(key, 1, fence=lease.fence)
        channel.unset("removed")
        clock.step_wall(DAY - 60)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == {'"kept"', '"removed"'}
        with pytest.raises(oc.StaleFence):
            channel.set("removed", 2, fence=lease.fence - 1)
        clock.step_wall(DAY)
        lease.release()
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == set()
        assert channel.get("kept") == 1


def test_a_mark_of_a_held_lease_and_one_of_the_caller_are_kept(db_storage: Storage) -> None:
    """However old they are: a number of the caller's own says nothing about time."""
    clock = ManualClock()
    with db_storage.open(clock=clock) as channel:
        lease = channel.lock("nightly", ttl=30 * DAY)
        channel.set("held", 1, fence=lease.fence)
        channel.set("own", 1, fence=7)
        clock.step_wall(3 * DAY)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == {'"held"', '"own"'}
        lease.release()
        clock.step_wall(2 * DAY)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == {'"own"'}


def test_marks_are_searched_once_a_day(db_storage: Storage) -> None:
    """An open does not read all marks."""
    clock = ManualClock()
    with db_storage.open(clock=clock) as channel:
        lease = channel.lock("nightly", ttl=30)
        channel.set("a", 1, fence=lease.fence)
        lease.release()
        clock.step_wall(1.5 * DAY)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == set()
        channel.set("b", 1, fence=lease.fence)
        clock.step_wall(DAY / 2)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == {'"b"'}
        clock.step_wall(DAY)
        db_storage.open(clock=clock).close()
        assert marks(db_storage) == set()
