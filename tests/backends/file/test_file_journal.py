"""The journal of `file`: a long file is not rewritten at each write, and nothing is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]

LONG = "x" * 20_000
HALF = "y" * 6_000


def journals(storage: Storage) -> list[Path]:
    """Return the journals beside the file."""
    return sorted(storage.path.parent.glob(f"{storage.path.name}.journal-*"))


def journal(storage: Storage) -> Path:
    """Return the one journal beside the file."""
    (path,) = journals(storage)
    return path


def begun(storage: Storage) -> oc.Channel:
    """Open a channel whose file is long, and which has an empty journal."""
    channel = storage.open()
    channel.set_all({"long": LONG, "a": 0})
    channel.set("b", 0)
    return channel


def contents(storage: Storage) -> dict[Any, Any]:
    """Return what a new handle finds, without the long text."""
    with storage.open() as channel:
        return {key: value for key, value in channel.items() if key != "long"}


def test_a_write_to_a_long_file_appends_a_line(file_storage: Storage) -> None:
    """The file itself is left as it is, and says where its newest changes are."""
    channel = begun(file_storage)
    before = file_storage.path.stat()
    channel.set("a", "Jürgen", fence=3)
    channel.unset("b")
    assert file_storage.path.stat() == before
    head, first, second = journal(file_storage).read_text("utf-8").splitlines()
    assert json.loads(head)["journal of"] == file_storage.path.name
    entry = {"key": "a", "value": "Jürgen", "fence": 3}
    assert json.loads(first)[channel.name]["4"] == entry
    assert "Jürgen" in first
    assert list(json.loads(second)[channel.name]) == ["3"]
    marked = json.loads(file_storage.path.read_text("utf-8"))["newest changes in"]
    assert marked.startswith(journal(file_storage).name)
    assert contents(file_storage) == {"a": "Jürgen"}


def test_closing_brings_the_changes_into_the_file(file_storage: Storage) -> None:
    """The last of several handles does it; then there is no journal, and no mark."""
    channel = begun(file_storage)
    other = file_storage.open()
    channel.set("a", 1)
    assert other.get("a") == 1
    channel.close()
    assert journal(file_storage).exists()
    other.close()
    assert journals(file_storage) == []
    tables = json.loads(file_storage.path.read_text("utf-8"))
    assert list(tables) == [channel.name]
    assert [entry["value"] for entry in tables[channel.name].values()] == [LONG, 0, 1]


def test_the_changes_of_a_killed_process_are_folded_by_the_next(
    file_storage: Storage, start_worker: StartWorker
) -> None:
    """It needs to be opened and closed only."""
    worker = start_worker(
        "for n in range(5): channel.set(n, 'x' * 20_000)\nchannel.set(0, 0)\nsend()\nreceive()",
        file_storage,
    )
    worker.receive()
    worker.kill()
    assert "newest changes in" in file_storage.path.read_text("utf-8")
    file_storage.open().close()
    assert journals(file_storage) == []
    assert "newest changes in" not in file_storage.path.read_text("utf-8")
    assert file_storage.open().get(0) == 0


def test_the_number_of_an_entry_of_the_journal_is_never_used_again(file_storage: Storage) -> None:
    """Also if the entry is gone when its journal is folded."""
    with begun(file_storage) as channel:
        channel.set("new", 1)
        (item,) = channel.items(limit=1, newest_first=True)
        channel.unset("new")
    again = file_storage.open()
    again.set("newer", 1)
    assert next(iter(again.items(limit=1, newest_first=True))).position > item.position


def test_a_short_file_has_no_journal(file_storage: Storage) -> None:
    """A person sees the present content in it at any time."""
    channel = file_storage.open()
    for number in range(20):
        channel.set(number, "some text")
        assert len(json.loads(file_storage.path.read_text("utf-8"))[channel.name]) == number + 1
    assert journals(file_storage) == []


def test_a_journal_is_folded_when_it_is_half_as_long_as_the_file(file_storage: Storage) -> None:
    """It never grows without limit, and the next journal replaces it."""
    channel = begun(file_storage)
    first, longest = journal(file_storage), 0
    replaced = set()
    for number in range(12):
        channel.set("a", f"{number} {HALF}")
        longest = max(longest, journal(file_storage).stat().st_size)
        replaced.add(journal(file_storage).name)
        assert file_storage.open().get("a") == f"{number} {HALF}"
    assert longest <= file_storage.path.stat().st_size / 2
    assert first.name in replaced
    assert len(replaced) == 2
    channel.destroy()
    for number in range(3):
        channel.set("a", f"{number} {HALF}")
    assert journals(file_storage) == []  # the file is short again


def test_a_line_that_is_cut_anywhere_is_complete_or_absent(file_storage: Storage) -> None:
    """After a kill or a power cut; the next write repairs it."""
    channel = begun(file_storage)
    channel.set("a", 1)
    complete = journal(file_storage).read_bytes()
    channel.set("a", 2)
    torn = journal(file_storage).read_bytes()
    channel.set("b", 1)  # of this line only NULs reached the disk
    holes = torn + b"\0" * (journal(file_storage).stat().st_size - len(torn) - 1)
    cuts = [torn[:length] for length in range(len(complete), len(torn) + 1)]
    for content in [*cuts, holes, holes + b"\n"]:
        journal(file_storage).write_bytes(content)
        is_complete = len(content) >= len(torn) - 1
        reader = file_storage.open()
        expected = {"a": 2 if is_complete else 1, "b": 0}
        assert {key: reader.get(key) for key in "ab"} == expected
        reader.set("c", 3)
        assert journal(file_storage).read_bytes().count(b"\n") == 3 + is_complete
        assert contents(file_storage) == expected | {"c": 3}


KILL_AT_EACH_STEP = """
import os, shutil, signal, sys
from pathlib import Path

def kill_at(step):
    def trace(frame, event, _):
        nonlocal step
        if not frame.f_code.co_filename.endswith(("storage.py", "journal.py", "new_file.py")):
            return None
        if event == "line":
            step -= 1
            if step < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)

def opened(number):
    return oc.open_channel(channel_name, type="file", file=str(folder / str(number) / name))

path = Path(channel_config["args"]["file"])
folder, name = path.parent, path.name
step, ended = params["begin"], False
while not ended:
    (folder / str(step)).mkdir()
    for part in folder.glob(f"{name}*"):
        if part.is_file():
            shutil.copy(part, folder / str(step))
    child = os.fork()
    if child == 0:
        changed = opened(step)
        kill_at(step)
        if params["value"] == 1:
            changed.close()
        else:
            changed.set("a", params["value"])
        os._exit(0)
    ended = os.waitpid(child, 0)[1] == 0
    for turn in range(2):
        with opened(step) as fresh:
            found = [fresh.get("a"), fresh.get("b"), len(fresh.get("long")), fresh.size()]
            if turn:
                fresh.set("b", 2)
        assert found[1:] == [2, 20_000, 3], (step, found)
        assert found[0] in (1, params["value"]), (step, found[0])
        assert found[0] == params["value"] or not ended
    left = {part.name for part in (folder / str(step)).iterdir()}
    assert left == {name, f"{name}.ojob"}, (step, left)
    shutil.rmtree(folder / str(step))
    step += params["stride"]
    send(step)
"""
CHANGES = {"append": 2, "fold": "z" * 16_000, "close": 1}
FROM_EACH = [
    *(pytest.param(what, 3 * n, 11, id=f"{what}-{n}") for n, what in enumerate(CHANGES)),
    *(pytest.param(what, 0, 1, id=f"{what}-all", marks=pytest.mark.thorough) for what in CHANGES),
]


@pytest.mark.parametrize(("what", "begin", "stride"), FROM_EACH)
def test_a_kill_at_any_step_applies_each_change_once(
    file_storage: Storage, start_worker: StartWorker, what: str, begin: int, stride: int
) -> None:
    """During an append, a fold and a close: nothing is lost, nothing is damaged."""
    channel = begun(file_storage)
    channel.set("b", 2)
    channel.set("a", 1)
    worker = start_worker(
        KILL_AT_EACH_STEP, file_storage, value=CHANGES[what], begin=begin, stride=stride
    )
    assert max(worker.remaining()) > 50
    assert worker.end() == 0


FORK_IN_A_WRITE = """
import os, threading, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
shared = oc.open_channel(channel_name, type="file", file=channel_config["args"]["file"], timeout=60)
fsync, children = os.fsync, []

def write_in_child():
    child = os.fork()
    if child == 0:
        try:
            shared.set("child", 1)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    children.append(child)

def fork_first(descriptor):
    os.fsync = fsync
    thread = threading.Thread(target=write_in_child)
    thread.start()
    thread.join()
    fsync(descriptor)

os.fsync = fork_first
shared.set("parent", 1)
(child,) = children
send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_forked_during_a_write_does_not_repeat_it(
    file_storage: Storage, start_worker: StartWorker
) -> None:
    """The write of the parent's other thread is in the journal once, beside that of the child."""
    channel = begun(file_storage)
    worker = start_worker(FORK_IN_A_WRITE, file_storage)
    assert list(worker.remaining()) == [0]
    assert worker.end() == 0
    assert len(journal(file_storage).read_text("utf-8").splitlines()) == 3
    assert [channel.get(key) for key in ("parent", "child", "b")] == [1, 1, 0]


def test_part_of_a_journal_that_a_reader_follows(file_storage: Storage) -> None:
    """A line that is still being written is seen once it is complete, and then once only."""
    writer, reader = begun(file_storage), file_storage.open()
    assert reader.get("a") == 0
    writer.set("a", 1)
    complete = journal(file_storage).read_bytes()
    for length in (2, 20, 40):
        os.truncate(journal(file_storage), len(complete) - length)
        assert reader.get("a") == 0
    journal(file_storage).write_bytes(complete)
    assert (reader.get("a"), reader.size()) == (1, 3)
    writer.set("a", 2)
    assert (reader.get("a"), reader.size(), writer.get("a")) == (2, 3, 2)
