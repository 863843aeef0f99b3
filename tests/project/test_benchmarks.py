"""The instrument that measures speed measures rightly, and tells what it found."""

import ast
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.kit  # on one interpreter: most of its time goes into programs that start

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
if not FOLDER.is_dir():
    pytest.skip("the benchmarks are not in the source archive", allow_module_level=True)


def load_benchmarks() -> None:
    """Makes `benchmarks` importable without putting the checkout on the path."""
    spec = importlib.util.spec_from_file_location(
        "benchmarks", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["benchmarks"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


load_benchmarks()

from benchmarks import __main__ as command  # noqa: E402
from benchmarks import measure, report  # noqa: E402
from benchmarks.cases import PARTS, TYPES, Case, cases  # noqa: E402
from benchmarks.entrants import FLOOR, floor_locker  # noqa: E402
from benchmarks.measure import Entrant, Numbers, Place, Result, Turn  # noqa: E402
from benchmarks.ours import NAME, SimpleLock  # noqa: E402
from benchmarks.together import MEMBERS, Board, hand_over  # noqa: E402

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
    def opened(_place: Place) -> Iterator[Turn]:
        yield lambda _: {"wall": seconds}

    return Entrant(name, opened)


def made_up(limit: float | None, **seconds: float) -> Case:
    """A case whose entrants take what they are told to take; the floor is called floor."""
    entrants = [entrant(name.replace("ours", NAME), wall) for name, wall in seconds.items()]
    return Case("locks", "db", "lock, unlock", "a floor", lambda: entrants, {"wall": limit})


def results(**seconds: list[float]) -> list[Result]:
    return [
        Result(name.replace("ours", NAME), [{"wall": one} for one in walls])
        for name, walls in seconds.items()
    ]


def test_a_ratio_is_taken_round_by_round_so_that_slow_rounds_cancel_out() -> None:
    """A round in which the whole machine was slow changes no ratio."""
    ours, floor = results(ours=[3.0, 30.0, 3.0], floor=[2.0, 20.0, 2.0])
    found = measure.ratio(ours, floor, "wall")
    assert found == measure.Ratio(1.5, 1.5, 1.5)


def test_a_table_tells_ratios_marks_and_who_did_not_take_part() -> None:
    """Reached and missed targets are marked, and the absent are told with their reason."""
    found = [
        *results(floor=[1.0, 1.0], ours=[1.5, 1.5], slow=[3.0, 3.0], quick=[1.0, 1.0]),
        Result("absent", trouble="No module named 'absent'"),
    ]
    row = report.Row(made_up(2.0), found)
    text = report.markdown("locks", [row], ABOUT)
    assert "| `db` | lock, unlock | 1.50 (" in text
    assert ") | 2 | ✓ | 0.50 slow · 1.50 quick ✗ |" in text
    assert "- absent, db: No module named 'absent'" in text
    assert "a processor" in text
    assert "valkey 9" in text
    assert list(report.missed(row)) == ["locks db lock, unlock, wall: 1.50 of quick, at most 1"]
    told = report.as_json([row], ABOUT)["rows"][0]
    assert [one["reached"] for one in told["verdicts"]] == [True, True, False]
    assert told["results"]["absent"] == {"trouble": "No module named 'absent'"}


def test_a_target_that_nobody_could_measure_is_missed() -> None:
    """Ours that fails is no target reached."""
    broken = Result(NAME, trouble="it broke")
    row = report.Row(made_up(2.0), [*results(floor=[1.0]), broken])
    assert list(report.missed(row)) == ["locks db lock, unlock: not measured: it broke"]
    assert "not measured: it broke" in report.markdown("locks", [row], ABOUT)


def test_every_case_has_a_floor_in_words_and_targets_as_data() -> None:
    """Each part and type has cases, each of them takes part by name, and has something to tell."""
    all_cases = list(cases())
    assert {case.part for case in all_cases} == set(PARTS)
    assert {case.type for case in all_cases} - {""} == set(TYPES)
    for case in all_cases:
        names = [one.name for one in case.entrants()]
        assert names.count(NAME) == 1, case.title
        assert (FLOOR in names) == (case.floor != "none"), case.title
        assert case.limits, case.title
        judged = any(case.limits.values()) or case.at_most or len(names) > 1
        assert judged or case.part == "sizes", case.title
    titles = [case.title for case in all_cases]
    assert len(set(titles)) == len(titles)


def test_the_floors_import_nothing_of_the_project() -> None:
    """What the floor costs does not depend on the code that is measured."""
    tree = ast.parse((FOLDER / "floors.py").read_text("utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or ".")
    roots = {name.partition(".")[0] for name in imported}
    assert not roots & {
        "",
        "ojobchannels",
        "ojobchannels_redis",
        "ojobchannels_mongo",
        "benchmarks",
    }


def test_who_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    """Trouble at the opening or in a turn ends the part of one entrant only."""

    @contextmanager
    def does_not_open(place: Place) -> Iterator[Turn]:
        place.server("no such server")
        yield lambda _: {}

    @contextmanager
    def breaks(_place: Place) -> Iterator[Turn]:
        def turn(_seconds: float) -> Numbers:
            raise ValueError("it broke")

        yield turn

    entrants = [Entrant("shut", does_not_open), Entrant("weak", breaks), entrant("well", 1.0)]
    shut, weak, well = measure.contest(entrants, Place(tmp_path), 2, 0.0)
    assert (shut.trouble, shut.rounds) == ("no such server", [])
    assert (weak.trouble, weak.rounds) == ("ValueError: it broke", [])
    assert (well.trouble, well.rounds) == ("", [{"wall": 1.0}] * 2)


def test_what_comes_before_a_step_is_not_timed() -> None:
    """The preparation of a step costs nothing."""
    turn = measure.repeated(lambda: None, before=lambda: time.sleep(0.01))
    assert turn(0.02)["wall"] < 0.005


def test_a_board_counts_changes_of_owner_and_the_worst_second(tmp_path: Path) -> None:
    """Who takes the lock twice in a row does not change its owner."""
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

    def floor(place: Place, name: str) -> object:
        return floor_locker("simple", place, name)

    opened: Callable[[Place, str], object] = locker or floor
    with hand_over(opened, Place(tmp_path), threads=True) as turn:  # type: ignore[arg-type]
        found = turn(0.005)
    assert 0 < found["p50"] <= found["p90"] <= found["p99"]


def test_the_command_measures_a_case_within_seconds(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A quick run of one case tells its table, and nothing is left in its folder."""
    narrow = ["--part", "locks", "--type", "simple", "--rounds", "2", "--seconds", "0.01"]
    assert command.main([*narrow, "--folder", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "| `simple` | lock, unlock | " in told
    assert "2 rounds of 0.01 s" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("ours", "status"), [(1.5, 0), (3.0, 1)])
def test_check_makes_a_missed_target_a_failure(
    monkeypatch: pytest.MonkeyPatch, ours: float, status: int
) -> None:
    """With --check the exit status is 1 if a target is missed; without it, 0."""
    monkeypatch.setattr(command, "cases", lambda _records: [made_up(2.0, floor=1.0, ours=ours)])
    assert command.main(["--check", "--rounds", "1"]) == status
    assert command.main(["--rounds", "1"]) == 0


def test_out_writes_tables_and_pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A part is written as Markdown, JSON, PNG and SVG."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(command, "cases", lambda _records: [made_up(2.0, floor=1.0, ours=1.5)])
    command.main(["--rounds", "1", "--out", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {
        f"locks.{kind}" for kind in ("md", "json", "png", "svg")
    }
    told = json.loads((tmp_path / "locks.json").read_text("utf-8"))
    assert told["rows"][0]["results"][NAME]["rounds"] == [{"wall": 1.5}]
    assert told["about"]["versions"]["pluggy"]
