"""The benchmarks measure correctly, and report what they measured."""

# ruff: noqa: E402  the benchmarks are imported only where they exist

import ast
import importlib.util
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.kit  # on one interpreter: most of the time goes into starting programs

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
if not FOLDER.is_dir():
    pytest.skip("the benchmarks are not in the source archive", allow_module_level=True)


def load_benchmarks() -> None:
    """Make `benchmarks` importable without the checkout on the path."""
    spec = importlib.util.spec_from_file_location(
        "benchmarks", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["benchmarks"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


load_benchmarks()

from benchmarks import __main__ as command
from benchmarks import async_calls, at_scale, measure, observed_run, report
from benchmarks.cases import PARTS, TYPES, Case, cases
from benchmarks.entrants import FLOOR, floor_locker
from benchmarks.measure import Entrant, Numbers, Result, Turn, Workspace
from benchmarks.ours import NAME, SimpleLock
from benchmarks.together import MEMBERS, Board, hand_over

ABOUT = {
    "when": "2026-01-01",
    "rounds": 3,
    "seconds": 0.1,
    "processor": "a processor",
    "cores": 2,
    "load": 0.0,
    "system": "Linux",
    "disk": "ext4",
    "python": "3.11",
    "servers": {"redis": "valkey 9"},
}


def entrant(name: str, seconds: float) -> Entrant:
    @contextmanager
    def opened(_workspace: Workspace) -> Iterator[Turn]:
        yield lambda _: {"wall": seconds}

    return Entrant(name, opened)


def fixed_case(limit: float | None, **seconds: float) -> Case:
    """Return a case whose contestants take the given seconds; the floor is called floor."""
    entrants = [entrant(name.replace("ours", NAME), wall) for name, wall in seconds.items()]
    return Case("locks", "db", "lock, unlock", "a floor", lambda: entrants, {"wall": limit})


def results(**seconds: list[float]) -> list[Result]:
    return [
        Result(name.replace("ours", NAME), [{"wall": wall} for wall in walls])
        for name, walls in seconds.items()
    ]


def test_a_ratio_is_taken_round_by_round_so_that_slow_rounds_cancel_out() -> None:
    """A round in which the whole machine was slow does not change the ratio."""
    ours, floor = results(ours=[3.0, 30.0, 3.0], floor=[2.0, 20.0, 2.0])
    assert measure.ratio(ours, floor, "wall") == measure.Ratio(1.5, 1.5, 1.5)


def test_a_table_shows_ratios_marks_and_failed_contestants() -> None:
    """Reached and missed targets are marked; failed contestants are listed with their error."""
    contestants = [
        *results(floor=[1.0, 1.0], ours=[1.5, 1.5], slow=[3.0, 3.0], quick=[1.0, 1.0]),
        Result("absent", error="No module named 'absent'"),
    ]
    row = report.Row(fixed_case(2.0), contestants)
    text = report.markdown("locks", [row], ABOUT)
    assert "| `db` | lock, unlock | 1.50 (" in text
    assert ") | 2 | ✓ | 0.50 slow · 1.50 quick ✗ |" in text
    assert "- absent, db: No module named 'absent'" in text
    assert "a processor" in text
    assert "valkey 9" in text
    assert list(report.missed(row)) == ["locks db lock, unlock, wall: 1.50 of quick, at most 1"]
    data = report.as_json([row], ABOUT)["rows"][0]
    assert [verdict["reached"] for verdict in data["verdicts"]] == [True, True, False]
    assert data["results"]["absent"] == {"error": "No module named 'absent'"}


def test_a_target_that_was_not_measured_is_missed() -> None:
    """If ours fails, no target is reached."""
    broken = Result(NAME, error="it broke")
    row = report.Row(fixed_case(2.0), [*results(floor=[1.0]), broken])
    assert list(report.missed(row)) == ["locks db lock, unlock: not measured: it broke"]
    assert "not measured: it broke" in report.markdown("locks", [row], ABOUT)


def test_every_case_describes_its_floor_and_has_targets() -> None:
    """Each part and type has cases, and in each case ours takes part and something is measured."""
    all_cases = list(cases())
    assert {case.part for case in all_cases} == set(PARTS)
    assert {case.type for case in all_cases} - {""} == set(TYPES)
    for case in all_cases:
        names = [contestant.name for contestant in case.entrants()]
        assert names.count(NAME) == 1, case.title
        assert (FLOOR in names) == (case.floor != "none"), case.title
        assert case.limits, case.title
        judged = any(case.limits.values()) or case.at_most or len(names) > 1
        assert judged or case.part == "sizes", case.title
    titles = [case.title for case in all_cases]
    assert len(set(titles)) == len(titles)


def test_the_floors_import_nothing_of_the_project() -> None:
    """The cost of the floor does not depend on the code that is measured."""
    modules = sorted((FOLDER / "floors").glob("*.py"))
    assert len(modules) > 5
    imported = set()
    for node in (node for path in modules for node in ast.walk(ast.parse(path.read_text("utf-8")))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or ".")
    own = [name for name in imported if name.startswith((".", "ojobchannels", "benchmarks"))]
    assert own == ["benchmarks.floors.common"]


def test_a_failing_contestant_is_reported_and_the_others_continue(tmp_path: Path) -> None:
    """An error while opening or in a turn ends one contestant only."""

    @contextmanager
    def does_not_open(workspace: Workspace) -> Iterator[Turn]:
        workspace.server("redis")
        yield lambda _: {}

    @contextmanager
    def breaks(_workspace: Workspace) -> Iterator[Turn]:
        def turn(_seconds: float) -> Numbers:
            raise ValueError("it broke")

        yield turn

    entrants = [Entrant("shut", does_not_open), Entrant("weak", breaks), entrant("well", 1.0)]
    workspace = Workspace(tmp_path, {"redis": "no such server"})
    shut, weak, well = measure.contest(entrants, workspace, 2, 0.0)
    assert (shut.error, shut.rounds) == ("no such server", [])
    assert (weak.error, weak.rounds) == ("ValueError: it broke", [])
    assert (well.error, well.rounds) == ("", [{"wall": 1.0}] * 2)


@pytest.mark.ojob_timed
def test_the_preparation_of_a_step_is_not_timed() -> None:
    """The time of `before` is not part of `wall`."""
    turn = measure.repeated(lambda: None, before=lambda: time.sleep(0.01))
    assert turn(0.02)["wall"] < 0.005


def test_a_board_counts_changes_of_owner_and_the_worst_second(tmp_path: Path) -> None:
    """A member that takes the lock twice in a row does not change its owner."""
    board = Board(tmp_path / "board", 2)
    for second, grants in ((0, 1), (1, 2)):
        for member in range(MEMBERS):
            for _ in range(grants + (second and member == 3)):
                board.note(member, second)
    assert board.changes() == 2 * MEMBERS
    assert board.unfairness() == 1.5
    board.close()


@pytest.mark.parametrize("locker", [SimpleLock, None])
def test_a_hand_over_is_timed_for_ours_and_for_the_floor(
    locker: type[SimpleLock] | None, tmp_path: Path
) -> None:
    """The time from unlock to lock is positive, and its percentiles grow."""

    def floor(workspace: Workspace, name: str) -> object:
        return floor_locker("simple", workspace, name)

    opened: Callable[[Workspace, str], object] = locker or floor
    with hand_over(opened, Workspace(tmp_path), threads=True) as turn:  # type: ignore[arg-type]  # a pair of a test
        numbers = turn(0.005)
    assert 0 < numbers["p50"] <= numbers["p90"] <= numbers["p99"]


def test_the_command_measures_a_case_within_seconds(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A quick run of one case prints its table and leaves nothing in its folder."""
    narrow = ["--part", "locks", "--type", "simple", "--rounds", "2", "--seconds", "0.01"]
    assert command.main([*narrow, "--folder", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "| `simple` | lock, unlock | " in printed
    assert "2 rounds of 0.01 s" in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("ours", "status"), [(1.5, 0), (3.0, 1)])
def test_check_exits_with_1_if_a_target_is_missed(
    monkeypatch: pytest.MonkeyPatch, ours: float, status: int
) -> None:
    """With --check the exit status is 1 if a target is missed; without it, 0."""
    monkeypatch.setattr(command, "cases", lambda _records: [fixed_case(2.0, floor=1.0, ours=ours)])
    assert command.main(["--check", "--rounds", "1"]) == status
    assert command.main(["--rounds", "1"]) == 0


def test_out_writes_tables_and_plots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A part is written as Markdown, JSON and PNG."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(command, "cases", lambda _records: [fixed_case(2.0, floor=1.0, ours=1.5)])
    command.main(["--rounds", "1", "--out", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {
        f"locks.{kind}" for kind in ("md", "json", "png")
    }
    data = json.loads((tmp_path / "locks.json").read_text("utf-8"))
    assert data["rows"][0]["results"][NAME]["rounds"] == [{"wall": 1.5}]
    assert data["about"]["versions"]["pluggy"]


def test_the_cost_of_observing_a_run_is_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each way of observing has a line, and nothing is left behind."""
    quick = ["--rounds", "2", "--runs", "2", "--folder", str(tmp_path)]
    assert observed_run.main(quick) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["plain", "interface", "metrics", "tenth", "spans", "bare", "alert"]
    assert not list(tmp_path.iterdir())


def test_calls_of_tasks_are_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each call has a rate in the loop, one on threads, and their ratio."""
    quick = ["--callers", "2", "--calls", "2", "--rounds", "1"]
    assert async_calls.main([*quick, "--url", f"sqlite:///{tmp_path}/bench.db"]) == 0
    rows = [
        line.rsplit(None, 1) for line in capsys.readouterr().out.splitlines() if "ratio" in line
    ]
    assert len(rows) == len(async_calls.CALLS)
    assert all(float(ratio) > 0 for _, ratio in rows)


@pytest.mark.parametrize("what", ["leases", "schedules"])
def test_what_many_of_a_kind_use_is_measured(
    what: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each number of them has a line with processor time and memory."""
    quick = ["--counts", "2,3", "--ttl", "1.5", "--seconds", "0.3", "--settling", "0"]
    assert at_scale.main([what, *quick, "--url", f"sqlite:///{tmp_path}/bench.db"]) == 0
    found = re.findall(r"(\d+) (\w+): +[\d.]+ % of a core, +-?[\d.]+ KB", capsys.readouterr().out)
    assert found == [("2", what), ("3", what)]


def test_the_takes_of_a_full_queue_are_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each number of messages has a line with the first take and the next ones."""
    url = f"sqlite:///{tmp_path}/bench.db"
    assert at_scale.main(["messages", "--counts", "2,30", "--url", url]) == 0
    found = re.findall(r"(\d+) messages: the first take [\d.]+ ms", capsys.readouterr().out)
    assert found == ["2", "30"]
