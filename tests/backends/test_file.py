"""`file`: a JSON file that people read and mend, and that no kill, edit or full disk spoils."""

from __future__ import annotations

import errno
import json
import os
import random
import stat
import struct
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tinydb import TinyDB
from tinydb.table import Document, Table

import ojobchannels as oc
from ojobchannels.backends.local import paths as places
from ojobchannels.backends.local.file_lock import FileLock
from ojobchannels.hookspecs import LeaseRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def table(storage: Storage) -> dict[str, Any]:
    """The channel's entries, as they stand in the file."""
    entries: dict[str, Any] = json.loads(storage.path.read_text("utf-8"))[storage.name]
    return entries


def rewrite(storage: Storage, change: Callable[[dict[str, Any]], object]) -> None:
    """Edits the file as a person would: with an editor that lays it out in its own way."""
    tables = json.loads(storage.path.read_text("utf-8"))
    change(tables)
    storage.path.write_text(json.dumps(tables, indent=4), "utf-8")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_person_can_read_the_file(file_storage: Storage) -> None:
    """One entry a line, in the order of change, keys and values as they are, nothing escaped."""
    channel = file_storage.open()
    channel.set({"id": 1}, {"name": "Jürgen"})
    channel.set("b", [1, None], fence=7)
    channel.set({"id": 1}, {"name": "日本語"})
    assert table(file_storage) == {
        "2": {"key": "b", "value": [1, None], "fence": 7},
        "3": {"key": {"id": 1}, "value": {"name": "日本語"}},
    }
    lines = file_storage.path.read_text("utf-8").splitlines()
    assert sum('"key":' in line for line in lines) == 2
    assert any("日本語" in line for line in lines)


def test_tinydb_itself_reads_the_file(file_storage: Storage) -> None:
    """It is an ordinary TinyDB file, one table per channel."""
    file_storage.open().set("a", {"n": 1})
    with TinyDB(file_storage.path) as database:
        assert [dict(row) for row in database.table(file_storage.name)] == [
            {"key": "a", "value": {"n": 1}}
        ]


def test_edits_by_hand_are_picked_up_by_open_handles(file_storage: Storage) -> None:
    """Changed, added and removed entries count from the next read on, and survive our writes."""
    channel = file_storage.open()
    channel.set_all({"a": 1, "b": 2, "c": 3})

    def edit(tables: dict[str, Any]) -> None:
        entries = tables[channel.name]
        entries["1"]["value"] = "edited"
        del entries["2"]
        entries["9"] = {"key": {"by": "hand"}, "value": None}

    rewrite(file_storage, edit)
    assert list(channel.items()) == [("a", "edited"), ("c", 3), ({"by": "hand"}, None)]
    channel.set("d", 4)
    assert channel.get_keys() == ["a", "c", {"by": "hand"}, "d"]
    rewrite(file_storage, lambda tables: tables[channel.name].clear())
    assert channel.size() == 0
    channel.set("e", 5)
    assert channel.get_keys() == ["e"]


def test_a_key_mended_into_another_notation_is_the_same_key(file_storage: Storage) -> None:
    """Keys of the file are compared in canonical form too."""
    channel = file_storage.open()
    channel.set({"a": 1, "b": 2}, "value")
    rewrite(file_storage, lambda tables: tables[channel.name]["1"].update(key={"b": 2.0, "a": 1.0}))
    assert channel.get({"a": 1, "b": 2}) == "value"
    channel.set({"a": 1, "b": 2}, "new")
    assert channel.size() == 1


def test_the_numbers_give_the_order_not_the_lines(file_storage: Storage) -> None:
    """Lines that were shuffled, as by a sort, change nothing."""
    channel = file_storage.open()
    channel.set_all({"a": 1, "b": 2, "c": 3})
    rewrite(
        file_storage,
        lambda tables: tables.update(
            {channel.name: dict(reversed(list(tables[channel.name].items())))}
        ),
    )
    assert channel.get_keys() == ["a", "b", "c"]
    assert channel.pop() == 3


def test_tables_that_are_not_ours_stay(file_storage: Storage) -> None:
    """Other channels and other programs' tables in the file are kept as they are."""
    channel = file_storage.open()
    channel.set("a", 1)
    rewrite(file_storage, lambda tables: tables.update({"mine": {"1": {"key": 0, "x": [1.0]}}}))
    channel.set("b", 2)
    channel.destroy()
    assert json.loads(file_storage.path.read_text("utf-8"))["mine"] == {"1": {"key": 0, "x": [1.0]}}


def test_a_file_that_was_removed_begins_anew(file_storage: Storage) -> None:
    """An open handle finds an empty channel and writes a new file."""
    channel = file_storage.open()
    channel.set("a", 1)
    file_storage.path.unlink()
    assert channel.size() == 0
    channel.set("b", 2)
    assert channel.get_keys() == ["b"]


def test_a_page_of_many_entries_costs_no_more_than_its_own(
    file_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read all, page by page, takes each entry in hand once, or the time grows as its square."""
    channel = file_storage.open()
    channel.set_all((n, n) for n in range(3000))
    made: list[int] = []

    class Counted(Document):
        def __init__(self, value: dict[str, Any], doc_id: int) -> None:
            super().__init__(value, doc_id)
            made.append(doc_id)

    monkeypatch.setattr(Table, "document_class", Counted)
    assert len(list(channel.items())) == 3000
    assert len(list(channel.items(newest_first=True))) == 3000
    assert [item.position for item in channel.items(limit=1, newest_first=True)] == [3000]
    assert len(made) < 2 * 3000 + 100


ENTRY = '{"key": "a", "value": 1}'

DAMAGED = {
    "empty": (b"", "it is empty"),
    "blank": (b" \n\n ", "it is empty"),
    "truncated": (b'{"name": {"1": {"key": "a", "val', "line 1"),
    "text": (b"Dear diary,\n", "line 1, column 1"),
    "not UTF-8": (b'{"\xff": {}}', "byte 2 is not UTF-8"),
    "binary": (b"\x00\x01\x02", "line 1"),
    "two documents": (b"{}\n{}", "line 2, column 1"),
    "NaN": (b'{"name": {"1": {"key": "a", "value": NaN}}}', "$.value: nan is not JSON"),
    "no tables": (b"[]", "not a JSON object of tables"),
    "no entries": (b'{"name": []}', "'name' is not a JSON object"),
    "no number": (b'{"name": {"first": %s}}' % ENTRY.encode(), "'first'"),
    "negative": (b'{"name": {"-1": %s}}' % ENTRY.encode(), "'-1'"),
    "no entry": (b'{"name": {"1": 7}}', "entry 1"),
    "no key": (b'{"name": {"1": {"value": 7}}}', "entry 1"),
    "bad key": (
        b'{"name": {"1": {"key": null, "value": 7}}}',
        "entry 1 of the table 'name': invalid key at $",
    ),
    "bad value": (
        b'{"name": {"1": {"key": 1, "value": {"n": 1e999}}}}',
        "entry 1 of the table 'name', at $.value.n: inf is not JSON",
    ),
    "bad value elsewhere": (
        b'{"name": {}, "other": {"7": {"key": 1, "value": [-1e400]}}}',
        "entry 7 of the table 'other', at $.value[0]: -inf is not JSON",
    ),
    "long number": (
        b'{"name": {"1": {"key": 1, "value": ' + b"9" * 5000 + b"}}}",
        "entry 1 of the table 'name', at $.value: the integer does not fit into 64 bits",
    ),
    "long fence": (
        b'{"name": {"1": {"key": 1, "value": 1, "fence": ' + b"9" * 30 + b"}}}",
        "entry 1 of the table 'name', at $.fence",
    ),
    "padded": (b'{"name": {"01": %s}}' % ENTRY.encode(), "'01' in the table 'name'"),
    "beyond 64 bits": (
        b'{"name": {"9223372036854775808": %s}}' % ENTRY.encode(),
        "'9223372036854775808' in the table 'name'",
    ),
    "surrogate in a value": (
        b'{"name": {"1": {"key": "a", "value": "\\ud800"}}}',
        "entry 1 of the table 'name', at $.value: the text contains a lone surrogate",
    ),
    "surrogate in a name": (b'{"name": {}, "\\udfff": {}}', "of the table '\\udfff': the text"),
    "bad number": (b'{"name": {"1": {"key": 1, "value": 9223372036854775808}}}', "64 bits"),
    "surrogate": (b'{"name": {"1": {"key": "\\ud800", "value": 7}}}', "lone surrogate"),
    "bad fence": (b'{"name": {"1": {"key": 1, "value": 7, "fence": "x"}}}', "fence of entry 1"),
    "same key": (
        b'{"name": {"1": {"key": 1, "value": 1}, "2": {"key": 1.0, "value": 2}}}',
        "the entries 1 and 2 of the table 'name' have the same key",
    ),
    "same number": (b'{"name": {"1": %s, "1": {"key": "b", "value": 2}}}' % ENTRY.encode(), "'1'"),
    "too deep": (b'{"name": {"1": {"key": 1, "value": ' + b"[" * 5000 + b"]" * 5000 + b"}}}", ""),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_gets_one_clear_error_and_is_left_as_it_was(
    file_storage: Storage, damage: str
) -> None:
    """Path, what is wrong with it, and what to do; at the open and in open handles."""
    content, reason = DAMAGED[damage]
    content = content.replace(b"name", file_storage.name.encode())
    reason = reason.replace("name", file_storage.name)
    channel = file_storage.open()
    channel.set("a", 1)
    whole = file_storage.path.read_bytes()
    file_storage.path.write_bytes(content)
    for attempt in (
        file_storage.open,
        lambda: channel.get("a"),
        channel.get_all,
        lambda: channel.set("b", 1),
        lambda: channel.unset("a"),
        channel.destroy,
    ):
        with pytest.raises(oc.ChannelDamaged) as damaged:
            attempt()
        assert damaged.value.path == str(file_storage.path)
        assert reason in damaged.value.reason
        assert "left unchanged" in str(damaged.value)
        assert file_storage.path.read_bytes() == content
    file_storage.path.write_bytes(whole)
    assert channel.get("a") == 1
    channel.set("b", 2)
    assert file_storage.open().get_all() == [1, 2]


def test_locks_work_while_the_file_is_damaged(file_storage: Storage) -> None:
    """A holder can still renew and release; no lock is in the file."""
    channel = file_storage.open()
    channel.set("a", 1)
    with channel.lock("nightly", ttl=30) as lease:
        file_storage.path.write_bytes(b"")
        lease.extend()
    assert channel.lock_info("nightly") is None


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o644, 0o666])
def test_the_mode_is_kept_and_nothing_beside_the_file_is_wider(
    file_storage: Storage, bits: int
) -> None:
    """Whoever may not read the file may not read what stands beside it either."""
    file_storage.path.write_text("{}")
    file_storage.path.chmod(bits)
    channel = file_storage.open()
    channel.set("a", 1)
    channel.lock("nightly", ttl=30).release()
    assert mode(file_storage.path) == bits
    for path in file_storage.path.parent.rglob("*"):
        assert mode(path) & 0o666 & ~bits == 0, path


def test_a_new_file_has_the_mode_of_the_umask(
    file_storage: Storage, start_worker: StartWorker
) -> None:
    """And so has all that stands beside it."""
    worker = start_worker(
        """
import os
os.umask(0o077)
with oc.open_channel(params["name"], params["config"]) as channel:
    channel.set("a", 1)
    channel.lock("nightly", ttl=30).release()
""",
        name=file_storage.name,
        config=file_storage.config,
    )
    assert worker.end() == 0
    assert mode(file_storage.path) == 0o600
    for path in file_storage.path.parent.rglob("*"):
        assert mode(path) & 0o077 == 0, path


def test_a_link_stays_a_link(file_storage: Storage, tmp_path: Path) -> None:
    """The file that it points to is replaced; through the link and directly it is one channel."""
    real = tmp_path / "elsewhere" / "real.json"
    real.parent.mkdir()
    real.write_text("{}")
    file_storage.path.symlink_to(real)
    channel = file_storage.open()
    direct = oc.open_channel(channel.name, type="file", file=real)
    with direct:
        for turn in range(5):
            channel.set("a", turn)
            assert direct.get("a") == turn
            direct.set("b", turn)
            assert channel.get("b") == turn
        with channel.lock("nightly", ttl=30):
            assert direct.try_lock("nightly", ttl=30) is None
    assert file_storage.path.is_symlink()
    assert not real.is_symlink()
    assert list(tmp_path.glob("*.ojob")) == []


AS_NOBODY = """
import os, sys, tempfile
with tempfile.TemporaryDirectory() as folder:
    with oc.open_channel("warm up", type=params["type"], file=folder + "/warm") as channel:
        channel.set("a", 1)
        channel.lock("nightly", ttl=30).release()
os.setgroups([])
os.setgid(params["user"])
os.setuid(params["user"])
try:
    with oc.open_channel("test", type=params["type"], file=params["file"]) as channel:
        channel.set("by", "nobody")
        channel.lock("nightly", ttl=30).release()
        channel.lock("nobody's", ttl=30).release()
    send("passed")
except oc.ChannelError as error:
    send([type(error).__name__, str(error)])
"""


@needs_root
@pytest.mark.parametrize("bits", [0o600, 0o644, 0o666])
def test_another_users_file_is_left_alone(
    common_folder: Path, start_worker: StartWorker, bits: int
) -> None:
    """To replace it would make it ours: a clear error instead, and nothing changed."""
    file = common_folder / "channel.json"
    with oc.open_channel("test", type="file", file=file) as channel:
        channel.set("a", 1)
    file.chmod(bits)
    before = file.read_bytes(), file.stat()
    worker = start_worker(AS_NOBODY, type="file", file=str(file), user=NOBODY)
    kind, message = worker.receive()
    assert kind == "ChannelUnavailable"
    assert str(file) in message
    assert "user id" in message
    assert worker.end() == 0
    assert (file.read_bytes(), file.stat()) == before


@needs_root
@pytest.mark.parametrize("type", ["file", "db"])
def test_root_keeps_the_owner_of_a_file_and_does_not_lock_him_out(
    common_folder: Path, start_worker: StartWorker, type: str
) -> None:
    """After root wrote and locked there, all is the user's, and still works for him."""
    file = common_folder / f"channel.{type}"
    own = {"type": type, "file": str(file), "user": NOBODY}
    assert start_worker(AS_NOBODY, **own).receive() == "passed"
    with oc.open_channel("test", type=type, file=file) as channel:
        assert channel.get("by") == "nobody"
        channel.set("by", "root")
        channel.lock("nightly", ttl=30).release()
        channel.lock("root's", ttl=30).release()
        channel.lock("nobody's", ttl=30).release()
    assert (file.stat().st_uid, file.stat().st_gid) == (NOBODY, NOBODY)
    assert {path.stat().st_uid for path in common_folder.rglob("*")} == {NOBODY}
    assert start_worker(AS_NOBODY, **own).receive() == "passed"


@needs_root
@pytest.mark.parametrize("type", ["file", "db"])
def test_a_folder_that_may_not_be_written_gets_one_clear_error(
    common_folder: Path, start_worker: StartWorker, type: str
) -> None:
    """It names the path and what permission is needed."""
    file = common_folder / "locked" / f"channel.{type}"
    file.parent.mkdir(mode=0o755)
    worker = start_worker(AS_NOBODY, type=type, file=str(file), user=NOBODY)
    kind, message = worker.receive()
    assert kind == "ChannelUnavailable"
    assert str(file.parent) in message
    assert "write permission" in message
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("type", ["file", "db"])
def test_a_path_that_is_a_folder_gets_one_clear_error(tmp_path: Path, type: str) -> None:
    """Nothing is made in or beside it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(oc.ChannelUnavailable, match="is a folder"):
        oc.open_channel("test", type=type, file=folder)
    assert list(tmp_path.rglob("*")) == [folder]


@pytest.mark.parametrize("type", ["file", "db"])
def test_folders_on_the_way_are_made(tmp_path: Path, type: str) -> None:
    """As the first run of a job in a fresh checkout needs it."""
    with oc.open_channel("test", type=type, file=tmp_path / "a" / "b" / "c") as channel:
        channel.set("a", 1)
    assert (tmp_path / "a" / "b" / "c").is_file()


@pytest.mark.parametrize("type", ["file", "db"])
@pytest.mark.parametrize("filesystem", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_network_filesystems_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type: str, filesystem: str
) -> None:
    """Locks of one host do not hold there: the error says so and names what to use."""
    monkeypatch.setattr(places, "filesystem_type", lambda _: filesystem)
    with pytest.raises(oc.NotSupported, match=f"network filesystem {filesystem}") as refused:
        oc.open_channel("test", type=type, file=tmp_path / "channel")
    assert "redis" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells it in /proc")
def test_the_type_of_a_filesystem_is_known() -> None:
    """From /proc, by the device that holds the path."""
    assert places.filesystem_type(Path("/proc")) == "proc"
    assert places.filesystem_type(Path("/sys")) == "sysfs"


WRITE_LARGE = """
import random
number = 0
while True:
    number += 1
    channel.set("large", {"first": number, "text": "x" * 200_000, "last": number})
    channel.set({"n": number % 5}, number)
    send(number)
"""


def test_a_kill_at_any_instant_leaves_the_old_or_the_new_file(
    file_storage: Storage, start_worker: StartWorker
) -> None:
    """Never a torn one; what was acknowledged is in it; no temporary file stays for good."""
    reached = 0
    for _ in range(12):
        worker = start_worker(WRITE_LARGE, file_storage)
        for _ in range(random.randrange(1, 12)):
            reached = worker.receive()
        worker.kill()
        reached = max(worker.remaining(), default=reached)
        json.loads(file_storage.path.read_text("utf-8"))
        channel = file_storage.open()
        large = channel.get("large")
        assert large["first"] == large["last"] >= reached
        assert channel.get({"n": reached % 5}) >= reached
    channel.set("after", 1)
    left = {path.name for path in file_storage.path.parent.iterdir()}
    assert left == {file_storage.path.name, f"{file_storage.path.name}.ojob"}


FULL_DISK = """
import resource
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
channel.set("small", 1)
limit(100_000)
for attempt in (
    lambda: channel.set("large", "x" * 200_000),
    lambda: channel.set("small", "x" * 200_000),
    lambda: channel.set_all({"small": 2, "large": "x" * 200_000}),
    lambda: channel.get_set(1, "small", "x" * 200_000),
    lambda: channel.add("large", "x" * 200_000),
):
    try:
        attempt()
        send("passed")
    except oc.StorageFull as error:
        send(str(error))
    send([channel.get("small"), channel.size()])
lease = channel.lock("nightly", ttl=30)
lease.extend()
lease.release()
channel.set("small", 2)
limit(resource.RLIM_INFINITY)
channel.set("large", "x" * 200_000)
send(channel.size())
"""


def test_a_full_disk_is_told_and_nothing_is_lost(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """StorageFull; the old values are there, small writes go on, large ones once there is room."""
    worker = start_worker(FULL_DISK, shared_storage)
    for _ in range(5):
        message = worker.receive()
        assert str(shared_storage.path) in message or shared_storage.path.name in message
        assert "nothing was changed" in message
        assert worker.receive() == [1, 1]
    assert worker.receive() == 2
    assert worker.end() == 0
    channel = shared_storage.open()
    assert channel.get("small") == 2
    if shared_storage.type == "file":
        assert list(shared_storage.path.parent.glob(".*")) == []


def test_a_write_is_on_the_disk_before_the_file_is_replaced(
    file_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporary file, fsync, rename, fsync of the folder: in this order."""
    channel = file_storage.open()
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append(f"fsync {kind}")
        fsync(descriptor)

    def noting_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        assert path.parent == target.parent
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    channel.set("a", 1)
    assert steps == ["fsync file", "rename", "fsync folder"]


def test_a_folder_that_cannot_be_flushed_is_not_told_as_nothing_changed(
    file_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is replaced by then: the change is there, and the message says so."""
    channel = file_storage.open()
    channel.set("a", 1)
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENOSPC, "no room")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(oc.ChannelUnavailable, match="the change is stored") as told:
        channel.set("a", 2)
    assert not isinstance(told.value, oc.StorageFull)
    assert "no room" in str(told.value)
    monkeypatch.undo()
    assert channel.get("a") == file_storage.open().get("a") == 2
    channel.set("b", 3)
    assert channel.get_all() == [2, 3]


def test_a_write_that_changes_nothing_leaves_the_file_alone(file_storage: Storage) -> None:
    """Refused compares, removals of what is not there, and locks write no document file."""
    channel = file_storage.open()
    channel.set("a", 1)
    before = file_storage.path.stat()
    channel.unset("b")
    channel.unset_all(["b", "c"])
    channel.get_set(2, "a", 3)
    channel.add("a", 3)
    channel.lock("nightly", ttl=30).release()
    assert file_storage.path.stat() == before


def test_lock_files_are_never_unlinked(file_storage: Storage) -> None:
    """A lock's file is the same one for as long as the channel is there."""
    channel = file_storage.open()

    def lock_files() -> dict[str, int]:
        folder = file_storage.path.with_name(f"{file_storage.path.name}.ojob") / "locks"
        return {path.name: path.stat().st_ino for path in folder.iterdir()}

    channel.lock("nightly", ttl=30).release()
    before = lock_files()
    assert len(before) == 1
    for _ in range(5):
        channel.lock("nightly", ttl=30).release()
        channel.force_unlock("nightly")
        channel.destroy()
    channel.close()
    file_storage.open().lock("nightly", ttl=30).release()
    assert lock_files() == before


def record_of_a_lock(storage: Storage) -> Path:
    (path,) = storage.path.with_name(f"{storage.path.name}.ojob").joinpath("locks").iterdir()
    return path


def cut(content: bytes, at: int) -> bytes:
    return content[:at]


def spoilt(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]


@pytest.mark.parametrize("spoil", [cut, spoilt])
def test_a_lock_record_that_is_not_whole_is_no_free_lock(
    file_storage: Storage, spoil: Callable[[bytes, int], bytes]
) -> None:
    """Whatever byte it is: one error that names the file, for all who ask; then it goes on."""
    channel, other = file_storage.open(), file_storage.open()
    lease = channel.lock("nightly", ttl=60)
    record = record_of_a_lock(file_storage)
    whole = record.read_bytes()
    end = whole.rindex(b"}", 0, 4096) + 1
    for at in range(1, end):
        record.write_bytes(spoil(whole, at))
        with pytest.raises(oc.ChannelDamaged) as damaged:
            other.try_lock("nightly", ttl=60)
        assert damaged.value.path == str(record)
        assert "'nightly' is damaged" in str(damaged.value)
    for attempt in (
        lambda: other.lock_info("nightly"),
        lambda: other.force_unlock("nightly"),
        lease.extend,
        lease.share,
        lease.release,
    ):
        with pytest.raises(oc.ChannelDamaged):
            attempt()
    record.write_bytes(whole)
    lease.extend()
    lease.release()
    with other.lock("nightly", ttl=60) as later:
        assert later.fence > lease.fence


def test_a_lock_record_that_is_not_whole_holds_up_no_other_renewal(file_storage: Storage) -> None:
    """It is to be asked for again, as one that somebody stays in."""
    channel = file_storage.open()
    damaged = channel.lock("damaged", ttl=60)
    record = record_of_a_lock(file_storage)
    well = channel.lock("well", ttl=60)
    record.write_bytes(b"x")
    requests = [LeaseRequest(one.name, one.token, 60_000) for one in (damaged, well)]
    assert channel.hook.extend_all(leases=requests, timeout=1000) == [None, True]


def test_a_damaged_lock_file_can_be_deleted(file_storage: Storage) -> None:
    """As the error advises; fences go on growing."""
    channel = file_storage.open()
    fence = channel.lock("nightly", ttl=60).fence
    record = record_of_a_lock(file_storage)
    record.write_bytes(b"x")
    with pytest.raises(oc.ChannelDamaged, match="delete that file"):
        channel.try_lock("nightly", ttl=60)
    record.unlink()
    with channel.lock("nightly", ttl=60) as lease:
        assert lease.fence > fence


def test_more_locks_than_files_that_stay_open(file_storage: Storage) -> None:
    """Hundreds of names at once work, and open files do not grow with them."""
    channel = file_storage.open()
    leases = [channel.lock(f"lock {n}", ttl=60) for n in range(400)]
    assert len(channel.locks()) == 400
    assert len(list(Path("/proc/self/fd").iterdir())) < 350
    for lease in leases:
        lease.release()
    assert channel.locks() == []


def test_closing_closes_every_file(shared_storage: Storage) -> None:
    """A handle leaves no descriptor open, whatever was done with it."""
    shared_storage.open().close()
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are what is compared
    channel = shared_storage.open()
    channel.set("a", 1)
    for name in "abc":
        channel.lock(name, ttl=30, keep_alive=True)
    channel.lock("shared", ttl=30).share()
    channel.close()
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_lock_that_does_not_fit_on_the_disk_is_not_granted(
    shared_storage: Storage, start_worker: Callable[..., Any]
) -> None:
    """A full disk refuses the lock with StorageFull, and what was known of it stays."""
    channel = shared_storage.open()
    fence = channel.lock("nightly", ttl=60).fence
    channel.force_unlock("nightly")
    script = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (170, 170))
try:
    channel.lock("nightly", ttl=60)
except oc.StorageFull:
    send("full")
"""
    worker = start_worker(script, shared_storage)
    assert worker.receive() == "full"
    assert worker.end() == 0
    with channel.lock("nightly", ttl=60) as lease:
        assert lease.fence > fence


def test_a_write_that_fails_right_after_another_leaves_the_index_in_step(
    file_storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    in_background: Callable[..., Future[Any]],
) -> None:
    """What one thread began to change in vain is not taken for what another has just stored."""
    channel = file_storage.open()
    channel.set_all({"a": 1, "b": 1})
    leave, fsync = FileLock.release, os.fsync
    failing: list[Future[Any]] = []
    reached, may_fail = threading.Event(), threading.Event()

    def full(_: int) -> None:
        reached.set()
        assert may_fail.wait(20)
        raise OSError(errno.ENOSPC, "no room")

    def leaving(lock: FileLock) -> None:
        leave(lock)
        if not failing and lock.path.name == "gate":
            monkeypatch.setattr(os, "fsync", full)
            failing.append(in_background(channel.set, "b", 2))
            assert reached.wait(20)

    monkeypatch.setattr(FileLock, "release", leaving)
    channel.set("a", 2)
    may_fail.set()
    assert isinstance(failing[0].exception(20), oc.StorageFull)
    monkeypatch.setattr(os, "fsync", fsync)
    assert dict(channel.items()) == {"a": 2, "b": 1}
    assert (channel.get("a"), channel.get("b")) == (2, 1)


@needs_root
def test_a_refused_open_makes_nothing_beside_another_users_file(
    common_folder: Path, start_worker: StartWorker
) -> None:
    """A side folder of a stranger's would keep the owner out."""
    file = common_folder / "channel.json"
    file.write_text("{}")
    worker = start_worker(AS_NOBODY, type="file", file=str(file), user=NOBODY)
    assert worker.receive()[0] == "ChannelUnavailable"
    assert worker.end() == 0
    assert list(common_folder.iterdir()) == [file]


def test_a_mode_that_is_changed_while_the_file_is_open_stays(file_storage: Storage) -> None:
    """What was made private is not opened to others again by the next write."""
    channel = file_storage.open()
    channel.set("a", 1)
    file_storage.path.chmod(0o600)
    channel.set("a", 2)
    assert mode(file_storage.path) == 0o600


@pytest.mark.parametrize("counters", [b"\xff" * 16, struct.pack("<QQ", 1, 2**63), b"?"])
def test_counters_that_are_damaged_do_no_harm_to_the_file(
    file_storage: Storage, counters: bytes
) -> None:
    """What is written after that can be read by all."""
    channel = file_storage.open()
    channel.set("a", 1)
    file_storage.path.with_name(f"{file_storage.path.name}.ojob").joinpath("version").write_bytes(
        counters
    )
    channel.set("b", 2)
    assert file_storage.open().get_all() == channel.get_all() == [1, 2]


def test_an_entry_whose_number_leaves_none_for_others_is_told(file_storage: Storage) -> None:
    """No write makes a file that cannot be read any more."""
    entry = {"key": "a", "value": 1}
    content = json.dumps({file_storage.name: {str(2**63 - 1): entry}})
    file_storage.path.write_text(content)
    channel = file_storage.open()
    with pytest.raises(oc.ChannelDamaged, match="is too large to add another entry"):
        channel.set("b", 2)
    assert file_storage.path.read_text() == content
    assert file_storage.open().get_all() == [1]


def test_a_strangers_file_among_the_locks_hides_none(file_storage: Storage) -> None:
    """Nor does one whose name of a lock was cut off."""
    channel = file_storage.open()
    channel.lock("nightly", ttl=60)
    locks = file_storage.path.with_name(f"{file_storage.path.name}.ojob") / "locks"
    locks.joinpath("stray").write_bytes(b"x" * 5000)
    assert [info.name for info in channel.locks()] == ["nightly"]


@pytest.mark.parametrize("type", ["file", "db"])
@pytest.mark.parametrize("file", ["~nobody-of-this-name/x", "a\0b", "loop"])
def test_a_file_that_is_no_path_is_told(
    type: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a wrong option, whatever the system calls it."""
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    with pytest.raises((oc.InvalidOption, oc.ChannelUnavailable)):
        oc.open_channel("test", type=type, file=file)


@pytest.mark.parametrize("name", ["\ud800", "x" * 5000])
def test_a_threads_name_keeps_it_from_no_lock(file_storage: Storage, name: str) -> None:
    """It is told to people, as far as it can be."""
    channel = file_storage.open()
    granted: list[oc.Lease | None] = []
    thread = threading.Thread(
        target=lambda: granted.append(channel.try_lock("nightly", ttl=60)), name=name
    )
    thread.start()
    thread.join()
    assert granted[0] is not None
