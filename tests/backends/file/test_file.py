"""Documents of `file`: a JSON file that people can read and edit while programs use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tinydb import TinyDB
from tinydb.table import Document, Table

from ojobchannels.errors import StaleFence

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]


def table(storage: Storage) -> dict[str, Any]:
    """Return the entries of the channel as stored in the file."""
    entries: dict[str, Any] = json.loads(storage.path.read_text("utf-8"))[storage.name]
    return entries


def rewrite(storage: Storage, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit the file like a person with an editor that formats it differently."""
    tables = json.loads(storage.path.read_text("utf-8"))
    change(tables)
    storage.path.write_text(json.dumps(tables, indent=4), "utf-8")


def test_a_person_can_read_the_file(file_storage: Storage) -> None:
    """One entry per line, in the order of change, with keys and values not escaped."""
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
    """It is an ordinary TinyDB file with one table per channel."""
    file_storage.open().set("a", {"n": 1})
    with TinyDB(file_storage.path) as database:
        assert [dict(row) for row in database.table(file_storage.name)] == [
            {"key": "a", "value": {"n": 1}}
        ]


def test_edits_by_hand_are_picked_up_by_open_handles(file_storage: Storage) -> None:
    """Changed, added and removed entries are seen by the next read, and survive our writes."""
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


def test_a_key_edited_into_another_notation_is_the_same_key(file_storage: Storage) -> None:
    """Keys in the file are compared in canonical form too."""
    channel = file_storage.open()
    channel.set({"a": 1, "b": 2}, "value")
    rewrite(file_storage, lambda tables: tables[channel.name]["1"].update(key={"b": 2.0, "a": 1.0}))
    assert channel.get({"a": 1, "b": 2}) == "value"
    channel.set({"a": 1, "b": 2}, "new")
    assert channel.size() == 1


def test_entry_numbers_define_the_order_and_lines_do_not(file_storage: Storage) -> None:
    """Sorting the lines changes nothing."""
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


def test_tables_of_other_programs_are_kept(file_storage: Storage) -> None:
    """Other channels and other programs' tables in the file are kept as they are."""
    channel = file_storage.open()
    channel.set("a", 1)
    rewrite(file_storage, lambda tables: tables.update({"mine": {"1": {"key": 0, "x": [1.0]}}}))
    channel.set("b", 2)
    channel.destroy()
    assert json.loads(file_storage.path.read_text("utf-8"))["mine"] == {"1": {"key": 0, "x": [1.0]}}


def test_a_deleted_file_is_an_empty_channel(file_storage: Storage) -> None:
    """An open handle finds an empty channel and writes a new file."""
    channel = file_storage.open()
    channel.set("a", 1)
    file_storage.path.unlink()
    assert channel.size() == 0
    channel.set("b", 2)
    assert channel.get_keys() == ["b"]


def test_a_page_of_many_entries_copies_only_that_page(
    file_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading all entries in pages reads each entry once, so that the time grows linearly."""
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


def test_a_write_that_changes_nothing_leaves_the_file_alone(file_storage: Storage) -> None:
    """Failed comparisons, removals of missing keys, and locks do not write the file."""
    channel = file_storage.open()
    channel.set("a", 1)
    before = file_storage.path.stat()
    channel.unset("b")
    channel.unset_all(["b", "c"])
    channel.get_set(2, "a", 3)
    channel.add("a", 3)
    channel.lock("nightly", ttl=30).release()
    assert file_storage.path.stat() == before


def test_a_key_that_its_caller_changes_later_keeps_its_mark(file_storage: Storage) -> None:
    """Also when the handle that wrote it removes the value with all others."""
    channel = file_storage.open()
    key = {"a": 1}
    channel.set(key, 1, fence=4)
    key["b"] = 2
    channel.destroy()
    with pytest.raises(StaleFence):
        channel.set({"a": 1}, 2, fence=3)
