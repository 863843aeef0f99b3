"""The number of entries of a `db` channel, which the database keeps."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def counted(path: Path, channel: str) -> int:
    """Return the number of entries by counting them."""
    with closing(sqlite3.connect(path)) as connection:
        statement = "SELECT count(*) FROM documents WHERE channel = ?"
        number: int = connection.execute(statement, (channel,)).fetchone()[0]
    return number


def is_kept(path: Path) -> bool:
    """Return whether the database keeps the numbers."""
    with closing(sqlite3.connect(path)) as connection:
        statement = "SELECT 1 FROM sqlite_schema WHERE name = 'counts'"
        return connection.execute(statement).fetchone() is not None


CHANGES: dict[str, Callable[[oc.Channel, int], object]] = {
    "set": lambda channel, key: channel.set(key, key),
    "add": lambda channel, key: channel.add(key, key),
    "get_set": lambda channel, key: channel.get_set({}, key, {"new": key}),
    "fenced": lambda channel, key: channel.set(key, {}, fence=10**9),
    "unset": lambda channel, key: channel.unset(key),
    "set_all": lambda channel, key: channel.set_all([(key, 1), (key + 1, 2), (key, 3)]),
    "unset_all": lambda channel, key: channel.unset_all([key, key + 1]),
    "pop": lambda channel, _: channel.pop(),
    "shift": lambda channel, _: channel.shift(),
    "destroy": lambda channel, _: channel.destroy(),
    "size": lambda channel, _: channel.size(),
}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*CHANGES]), st.integers(0, 3), st.booleans())))
def test_the_kept_number_is_the_counted_one(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int, bool]]
) -> None:
    """After any changes of two channels of one database, before and after the first question."""
    path = tmp_path_factory.mktemp("counts") / "c.db"
    config: dict[str, Any] = {"type": "db", "args": {"file": str(path), "durable": False}}
    with oc.open_channel("a", config) as first, oc.open_channel("b", config) as second:
        for name, key, is_first in changes:
            CHANGES[name](first if is_first else second, key)
        for channel in (first, second):
            assert channel.size() == counted(path, channel.name) == len(channel.get_keys())


def test_numbers_are_kept_from_the_first_question_on(tmp_path: Path) -> None:
    """Channels of which no program asks the size cost nothing more."""
    path = tmp_path / "c.db"
    with oc.open_channel("a", type="db", file=str(path)) as channel:
        channel.set(1, 1)
        assert not is_kept(path)
        assert channel.size() == 1
        assert is_kept(path)


def test_other_programs_keep_the_number_too(tmp_path: Path) -> None:
    """The database itself counts: also what an older version, or the sqlite3 shell, changes."""
    path = tmp_path / "c.db"
    with (
        oc.open_channel("a", type="db", file=str(path)) as channel,
        closing(sqlite3.connect(path, isolation_level=None)) as shell,
    ):
        channel.set("1", 1)
        assert channel.size() == 1
        shell.execute("INSERT INTO documents VALUES (5, 'a', '\"2\"', '\"2\"', '2')")
        shell.execute("INSERT INTO documents VALUES (6, 'b', '\"2\"', '\"2\"', '2')")
        assert channel.size() == 2
        shell.execute("DELETE FROM documents WHERE channel = 'a' AND position = 5")
        assert channel.size() == 1


_KILLED = """
import sqlite3, sys
shell = sqlite3.connect(sys.argv[1], isolation_level=None)
for number in range(100, 110):
    shell.execute("INSERT INTO documents VALUES (?, 'a', ?, ?, '1')", (number, number, number))
shell.execute("BEGIN IMMEDIATE")
shell.execute("DELETE FROM documents WHERE position = 100")
for number in range(200, 210):
    shell.execute("INSERT INTO documents VALUES (?, 'a', ?, ?, '1')", (number, number, number))
print("in the middle", flush=True)
sys.stdin.read()
"""


def test_a_kill_in_a_transaction_leaves_the_right_number(tmp_path: Path) -> None:
    """Entries and their number change together, or not at all."""
    path = tmp_path / "c.db"
    with oc.open_channel("a", type="db", file=str(path)) as channel:
        assert channel.size() == 0
        command = [sys.executable, "-I", "-S", "-c", _KILLED, str(path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]  # of a dict
            assert process.stdout.readline()
            process.kill()
        assert channel.size() == counted(path, "a") == 10
        channel.set("after", 1)
        assert channel.size() == 11


def test_a_database_for_reading_only_is_counted(tmp_path: Path) -> None:
    """A database that was made without the numbers has a size nevertheless."""
    path = tmp_path / "c.db"
    with oc.open_channel("a", type="db", file=str(path)) as channel:
        channel.set(1, 1)
        with closing(sqlite3.connect(path)) as shell:
            shell.execute("CREATE VIEW counts AS SELECT 1 AS entries")  # nothing can be created
            shell.commit()
        assert channel.size() == 1
        assert channel.hook.size_until(position=0) == 0
