"""The journal of `file` when something is wrong with it, and edits by hand beside it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ojobchannels as oc
from ojobchannels.backends.file.journal import JournalName

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Storage

LONG = "x" * 20_000


def journal(storage: Storage) -> Path:
    """Return the one journal beside the file."""
    (path,) = storage.path.parent.glob(f"{storage.path.name}.journal-*")
    return path


def begun(storage: Storage) -> oc.Channel:
    """Open a channel whose file is long, and which has an empty journal."""
    channel = storage.open()
    channel.set_all({"long": LONG, "a": 0})
    channel.set("b", 0)
    return channel


def edit(storage: Storage, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit the entries of the file like a person whose editor formats it differently."""
    tables = json.loads(storage.path.read_text("utf-8"))
    change(tables[storage.name])
    storage.path.write_text(json.dumps(tables, indent=4, sort_keys=True), "utf-8")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_line_that_cannot_be_flushed_is_taken_back(
    file_storage: Storage, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Also for a handle that has already read it."""
    writer, reader = begun(file_storage), file_storage.open()
    assert reader.get("a") == 0
    fsync, read = os.fsync, []

    def failing(_: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        read.append(reader.get("a"))
        raise OSError(error, "no room")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(oc.StorageFull if error == errno.ENOSPC else oc.ChannelUnavailable):
        writer.set("a", 1)
    writer.set("c", "another, longer value, so that the journal is longer than before")
    assert read == [1]
    assert reader.get("a") == writer.get("a") == 0
    assert file_storage.open().get("a") == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"name": {"7": {"key": 1, "value": 2}', "line 4: Expecting"),
        (b"Dear diary,", "line 4: Expecting value at line 4, column 1"),
        (b"\xff", "line 4: byte 0 is not UTF-8"),
        (b"[]", "line 4: it is not a JSON object of tables"),
        (b'{"name": 7}', "line 4: it is not a JSON object of tables"),
        (b'{"name": {"07": null}}', "line 4: '07' in the table 'name'"),
        (b'{"name": {"7": {"value": 7}}}', "line 4: entry 7 of the table 'name'"),
        (b'{"name": {"7": {"key": 1, "value": 1e999}}}', "line 4: entry 7 of the table 'name'"),
        (b'{"name": {"3": {"key": "b", "value": 7}}}', "line 4: entry 3 of the table 'name' is in"),
        (b'{"name": {"3": "removed"}}', "line 4: entry 3 of the table 'name'"),
    ],
)
def test_a_damaged_line_raises_one_error_that_names_it(
    file_storage: Storage, line: bytes, reason: str
) -> None:
    """In handles that are open, and at open; both files are left as they are, and can be mended."""
    channel = begun(file_storage)
    for number in range(4):
        channel.set("a", number)
    path, name = journal(file_storage), file_storage.name
    whole = path.read_bytes().splitlines(keepends=True)
    whole[3] = line.replace(b"name", name.encode()) + b"\n"
    path.write_bytes(b"".join(whole))
    before = [path.read_bytes(), file_storage.path.read_bytes()]
    os.utime(file_storage.path)
    for attempt in (lambda: channel.get("a"), lambda: channel.set("b", 1), file_storage.open):
        with pytest.raises(oc.ChannelDamaged) as damaged:
            attempt()
        assert damaged.value.path == str(path)
        assert damaged.value.reason.startswith(reason.replace("'name'", repr(name)))
        assert "end the programs" in damaged.value.advice
    assert [path.read_bytes(), file_storage.path.read_bytes()] == before
    path.write_bytes(b"".join([*whole[:3], whole[4]]))
    os.utime(file_storage.path)
    with pytest.raises(oc.ChannelDamaged, match="have the same key"):
        channel.get("a")  # the entry that the deleted line would have removed


def test_an_edit_of_the_file_is_seen_beside_the_journal(file_storage: Storage) -> None:
    """By open handles, and by new ones; the changes of the journal are kept."""
    channel = begun(file_storage)
    channel.set("a", 1)

    def change(entries: dict[str, Any]) -> None:
        entries["3"]["value"] = "edited"
        entries["1000"] = {"key": {"by": "hand"}, "value": None}

    edit(file_storage, change)
    for handle in (channel, file_storage.open()):
        assert dict(list(handle.items())[1:3]) == {"b": "edited", "a": 1}
        assert handle.get({"by": "hand"}) is None
        assert handle.size() == 4
    channel.set("b", 2)
    assert file_storage.open().get("b") == 2


CONFLICTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "an edited entry": (
        lambda entries: entries["2"].update(value="edited"),
        "entry 2 of the table 'name' was edited in the file after a program had replaced",
    ),
    "a number": (
        lambda entries: entries.update({"4": {"key": "c", "value": 1}}),
        "entry 4 of the table 'name' is in the file too",
    ),
    "a key": (
        lambda entries: entries.update({"1": {"key": "a", "value": LONG}}),
        "the entries 1 and 4 of the table 'name' have the same key",
    ),
}


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_an_edit_that_contradicts_the_journal_is_reported(
    file_storage: Storage, conflict: str
) -> None:
    """Neither the edit nor the change of a program is lost in silence."""
    channel = begun(file_storage)
    channel.set("a", 1)
    whole = file_storage.path.read_bytes()
    change, reason = CONFLICTS[conflict]
    edit(file_storage, change)
    for attempt in (lambda: channel.set("c", 1), file_storage.open):
        with pytest.raises(oc.ChannelDamaged) as damaged:
            attempt()
        assert reason.replace("name", file_storage.name) in damaged.value.reason
    file_storage.path.write_bytes(whole)
    assert channel.get("a") == 1
    edit(file_storage, lambda entries: entries.pop("2"))
    assert file_storage.open().get("a") == channel.get("a") == 1


def test_a_file_that_is_replaced_at_each_attempt_to_read_it_is_unavailable(
    file_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal was gone each time; without it, the entries would be older ones."""
    begun(file_storage).set("a", 1)
    whole = file_storage.path.read_bytes()
    real = JournalName.of

    def replacing(file: Path, text: str) -> JournalName | None:
        file.write_bytes(whole)
        os.utime(file, ns=(next(times), next(times)))
        return real(file.with_name("gone.json"), text)

    times = iter(range(1_000))
    monkeypatch.setattr(JournalName, "of", replacing)
    with pytest.raises(oc.ChannelUnavailable, match="replaced 100 times while it was being read"):
        file_storage.open().get("a")


@pytest.mark.parametrize("journal_of", ["nothing", "another time", "garbage"])
def test_a_file_without_its_journal_is_refused(file_storage: Storage, journal_of: str) -> None:
    """As after half of a backup was restored; without the line that names it, the file is valid."""
    channel = begun(file_storage)
    channel.set("a", 1)
    path = journal(file_storage)
    match journal_of:
        case "nothing":
            path.unlink()
        case "another time":
            path.write_bytes(b'{"journal of":"channel.file","id":"01234567"}\n')
        case "garbage":
            path.write_bytes(b"garbage")
    for attempt in (lambda: channel.get("a"), lambda: channel.set("a", 2), file_storage.open):
        with pytest.raises(oc.ChannelDamaged) as damaged:
            attempt()
        assert f"the newest changes are in {path.name}" in damaged.value.reason
        assert "same copy" in damaged.value.advice
    lines = file_storage.path.read_text("utf-8").splitlines(keepends=True)
    marks = [line for line in lines if "newest changes in" in line]
    assert len(marks) == 1
    file_storage.path.write_text("".join(line for line in lines if line not in marks), "utf-8")
    assert channel.get("a") == 0
    channel.set("a", 2)
    assert file_storage.open().get("a") == 2


def test_both_files_copied_while_no_program_writes_are_a_complete_copy(
    file_storage: Storage, tmp_path: Path
) -> None:
    """Under the lock that all writers acquire."""
    channel = begun(file_storage)
    channel.set("a", 1)
    side = file_storage.path.with_name(f"{file_storage.path.name}.ojob")
    (tmp_path / "copy").mkdir()
    with (side / "gate").open() as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for path in (file_storage.path, journal(file_storage)):
            (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
    channel.set("a", 2)
    copy = tmp_path / "copy" / file_storage.path.name
    with oc.open_channel(file_storage.name, type="file", file=copy) as restored:
        assert (restored.get("a"), restored.size()) == (1, 3)


def test_a_close_that_cannot_fold_loses_nothing(file_storage: Storage) -> None:
    """Another process writes just then, or the disk is full: the journal stays."""
    channel = begun(file_storage)
    channel.set("a", 1)
    new = file_storage.path.with_name(f".{file_storage.path.name}.new")
    new.mkdir()  # no new file can be written
    channel.close()
    assert journal(file_storage).exists()
    new.rmdir()
    with file_storage.open() as again:
        assert again.get("a") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_a_journal_of_another_user_is_refused(file_storage: Storage) -> None:
    """In a folder that others may write to, they could plant changes."""
    channel = begun(file_storage)
    channel.set("a", 1)
    os.chown(journal(file_storage), 12345, 12345)
    with pytest.raises(oc.ChannelUnavailable, match="user id 12345"):
        file_storage.open()


def test_a_link_in_the_place_of_a_journal_is_refused(file_storage: Storage, tmp_path: Path) -> None:
    """It is not followed."""
    channel = begun(file_storage)
    channel.set("a", 1)
    journal(file_storage).rename(tmp_path / "elsewhere")
    Path(f"{file_storage.path}.journal-1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(oc.ChannelUnavailable, match="symbolic link"):
        file_storage.open()


def test_a_read_only_file_has_a_journal_that_all_handles_can_append_to(
    file_storage: Storage,
) -> None:
    """Such a file is replaced at a write, and keeps its mode; nothing replaces the journal."""
    channel = begun(file_storage)
    channel.close()
    file_storage.path.chmod(0o400)
    channel = file_storage.open()
    for number in range(3):
        channel.set("a", number)
    modes = [path.stat().st_mode & 0o777 for path in (file_storage.path, journal(file_storage))]
    assert modes == [0o400, 0o600]


def test_a_folder_in_the_place_of_a_journal_fails_no_write_that_is_stored(
    file_storage: Storage,
) -> None:
    """An old journal that cannot be deleted is not needed."""
    Path(f"{file_storage.path}.journal-2").mkdir()
    channel = file_storage.open()
    assert channel.add("a", 1)
    assert channel.pop() == 1
    channel = begun(file_storage)
    channel.set("a", 2)
    channel.close()
    assert file_storage.open().get("a") == 2


KEYS = st.sampled_from(["a", "b", {"c": 1}])
VALUES = st.sampled_from([1, "text", "z" * 3000])
STEPS = st.one_of(
    st.tuples(st.just("unset"), KEYS),
    st.tuples(st.just("pop")),
    st.tuples(st.just("set_all"), st.lists(st.tuples(KEYS, VALUES), max_size=2)),
    st.tuples(st.just("fold")),
    st.tuples(st.just("reopen")),
)


@settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(st.integers(0, 1), STEPS), min_size=5, max_size=20))
def test_two_handles_with_folds_in_between_equal_a_mapping(
    steps: list[tuple[int, tuple[Any, ...]]],
) -> None:
    """After any steps of two handles in turn, both see the same entries in the same order."""
    with tempfile.TemporaryDirectory() as folder:

        def opened() -> oc.Channel:
            return oc.open_channel("orders", type="file", file=f"{folder}/orders.json")

        handles = [opened(), opened()]
        model: dict[str, Any] = {}
        handles[0].set_all({"long": LONG, "first": 1})
        handles[0].set("first", 2)
        for who, (what, *args) in steps:
            handle = handles[who]
            if what == "reopen":
                handle.close()
                handles[who] = opened()
            elif what == "fold":
                for each in handles:
                    each.close()
                handles = [opened(), opened()]
            elif what == "unset":
                handle.unset(*args)
                model.pop(json.dumps(args[0]), None)
            elif what == "set_all":
                handle.set_all(*args)
                for key, value in args[0]:
                    model.pop(json.dumps(key), None)
                    model[json.dumps(key)] = value
            elif model:
                assert handle.pop() == model.popitem()[1]
            for each in handles:
                found = [(json.dumps(key), value) for key, value in each.items()]
                assert found[2:] == list(model.items())
        for each in handles:
            each.close()
        assert {path.name for path in Path(folder).iterdir()} == {"orders.json", "orders.json.ojob"}
