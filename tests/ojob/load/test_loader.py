"""Loading job files: short forms, YAML features, and includes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from ojobchannels.cli.commands.acting.run import run
from ojobchannels.errors import InvalidJobArgs
from ojobchannels.ojob import JobFile, check_file, manager_config, parse_args
from ojobchannels.ojob.yaml.source import Source, read


def load(folder: Path, **files: str) -> JobFile:
    """Write files, and load the one called `main`."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(dedent(text))
    return check_file(folder / "main.yaml")


def todo_of(file: JobFile) -> list[str]:
    return [entry.job for entry in file.todo]


def test_names_are_single_or_in_lists(tmp_path: Path) -> None:
    file = load(
        tmp_path,
        main="""\
        jobs:
        - {name: A}
        - {name: B, from: A, to: [A, A], catch: A, deps: A}
        """,
    )
    job = file.jobs["B"]
    assert (job.before, job.after, job.catch, job.deps) == (("A",), ("A", "A"), ("A",), ("A",))


def test_empty_values_count_as_absent(tmp_path: Path) -> None:
    file = load(tmp_path, main="include:\njobs:\n- name: A\n  args:\n  from:\n  exec:\ntodo:\n")
    job = file.jobs["A"]
    assert (job.args, job.before, job.body, file.todo) == ({}, (), None, ())


def test_a_todo_entry_is_a_name_or_a_map_with_name_or_job(tmp_path: Path) -> None:
    file = load(
        tmp_path,
        main="""\
        jobs: [{name: A}]
        todo:
        - A
        - {name: A, args: {x: 1}}
        - {job: A, args: [{x: 1}, {x: 2}]}
        """,
    )
    assert todo_of(file) == ["A", "A", "A"]
    assert [entry.calls for entry in file.todo] == [({},), ({"x": 1},), ({"x": 1}, {"x": 2})]


def test_yaml_is_read_as_1_2_and_dates_stay_text(tmp_path: Path) -> None:
    file = load(
        tmp_path,
        main="""\
        jobs:
        - name: A
          args: {a: yes, b: 010, c: 2026-11-22, d: 1e3, e: ~, f: no, g: true}
        """,
    )
    assert file.jobs["A"].args == {
        "a": "yes",
        "b": 10,
        "c": "2026-11-22",
        "d": 1000.0,
        "e": None,
        "f": "no",
        "g": True,
    }


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    file = load(
        tmp_path,
        main="""\
        jobs:
        - name: A
          args: &common {a: 1, b: 2}
        - name: B
          args:
            <<: [*common, {c: 4}]
            b: 3
        """,
    )
    assert file.jobs["B"].args == {"a": 1, "b": 3, "c": 4}


def test_a_merged_map_can_be_merged_again_and_the_closest_value_wins(tmp_path: Path) -> None:
    """A merge includes what its map has merged; the own values of the map take precedence."""
    file = load(
        tmp_path,
        main="""\
        jobs:
        - name: A
          args: &a {a: 1, b: 1, c: 1}
        - name: B
          args: &b {b: 2, <<: *a, d: 2}
        - name: C
          args: {<<: *b, c: 3}
        """,
    )
    assert file.jobs["C"].args == {"a": 1, "b": 2, "c": 3, "d": 2}


def test_the_name_of_an_anchor_may_be_reused(tmp_path: Path) -> None:
    """As in YAML, an alias refers to the latest anchor above it."""
    file = load(tmp_path, main="jobs: [{name: A, args: {a: &x 1, b: *x, c: &x [2], d: *x}}]")
    assert file.jobs["A"].args == {"a": 1, "b": 1, "c": [2], "d": [2]}


def test_json_is_read_with_tabs_and_surrogate_pairs(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    jobs = [{"name": "A\U0001f600", "args": {"n": 1e5}}]
    path.write_text(json.dumps({"jobs": jobs, "todo": ["A\U0001f600"]}, indent="\t"))
    file = check_file(path)
    assert file.jobs["A\U0001f600"].args == {"n": 100000.0}


def test_included_jobs_come_first_and_ours_win(tmp_path: Path) -> None:
    file = load(
        tmp_path,
        main="""\
        include: [one.yaml, two.yaml]
        ojob: {numThreads: 7}
        jobs: [{name: C, args: {by: main}}]
        """,
        one="ojob: {numThreads: 3}\njobs: [{name: A}, {name: B, args: {by: one}}]",
        two="jobs: [{name: B, args: {by: two}}, {name: C}]",
    )
    assert list(file.jobs) == ["A", "B", "C"]
    assert {name: dict(job.args) for name, job in file.jobs.items()} == {
        "A": {},
        "B": {"by": "two"},
        "C": {"by": "main"},
    }
    assert file.threads == 7


def test_an_included_todo_runs_before_ours(tmp_path: Path) -> None:
    file = load(
        tmp_path,
        main="include: [one.yaml, two.yaml]\njobs: [{name: M}]\ntodo: [M]",
        one="include: [three.yaml]\njobs: [{name: A}]\ntodo: [A]",
        two="jobs: [{name: B}]\ntodo: [B]",
        three="jobs: [{name: C}]\ntodo: [C]",
    )
    assert todo_of(file) == ["C", "A", "B", "M"]


def test_a_file_is_included_once_and_circles_are_harmless(tmp_path: Path) -> None:
    file = load(
        tmp_path,
        main="include: [one.yaml, two.yaml, ./one.yaml]\njobs: [{name: M}]\ntodo: [M]",
        one="include: [two.yaml, main.yaml]\njobs: [{name: A}]\ntodo: [A]",
        two="include: [one.yaml]\njobs: [{name: B}]\ntodo: [B]",
    )
    assert todo_of(file) == ["B", "A", "M"]


def test_an_include_is_relative_to_the_file_that_includes(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "one.yaml").write_text("include: two.yaml")
    (folder / "two.yaml").write_text("jobs: [{name: Two}]")
    file = load(tmp_path, main="include: parts/one.yaml")
    assert list(file.jobs) == ["Two"]


def test_a_bundled_pack_is_included_by_its_name_and_a_file_beside_by_its_path(
    tmp_path: Path,
) -> None:
    own = "jobs: [{name: My Own}]"
    (tmp_path / "oJobManager.yaml").write_text(own)
    bundled = load(tmp_path, main="include: oJobManager.yaml")
    assert "oJobManager Init" in bundled.jobs
    beside = load(tmp_path, main="include: ./oJobManager.yaml")
    assert list(beside.jobs) == ["My Own"]


def test_a_catch_is_code_when_it_names_no_job(tmp_path: Path) -> None:
    file = load(
        tmp_path,
        main="""\
        jobs:
        - {name: Alarm}
        - {name: A, catch: Alarm}
        - {name: B, catch: log(error)}
        """,
    )
    assert (file.jobs["A"].catch, file.jobs["A"].handler) == (("Alarm",), None)
    assert file.jobs["B"].catch == ()
    assert file.jobs["B"].handler is not None


def test_command_line_args_are_yaml_scalars() -> None:
    words = ["a=5", "b=true", "c=", "d='5'", "e=x=y", "f=[1]", "g=a: b", "h=2026-11-22", "a=6"]
    assert parse_args(words) == {
        "a": 6,
        "b": True,
        "c": None,
        "d": "5",
        "e": "x=y",
        "f": "[1]",
        "g": "a: b",
        "h": "2026-11-22",
    }


@pytest.mark.parametrize("word", ["a", "=5", ""])
def test_a_command_line_arg_without_key_or_value_is_refused(word: str) -> None:
    with pytest.raises(InvalidJobArgs, match="write key=value"):
        parse_args([word])


def test_manager_config_returns_what_the_todo_will_open(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(
        dedent("""\
        include: oJobManager.yaml
        jobs:
        - name: Init
          to: oJobManager Init
          args:
            chJobs: {type: db, args: {file: "${folder:-./data}/jobs.db"}}
        - name: Other
          to: oJobManager Init
          args: {chJobs: {type: simple}}
        todo: [Init]
        """)
    )
    assert manager_config(path) == (
        {"type": "db", "args": {"file": "./data/jobs.db"}},
        None,
    )
    config = manager_config(path, {"folder": "/srv"})
    assert config is not None
    assert config.jobs == {"type": "db", "args": {"file": "/srv/jobs.db"}}


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("jobs: [{name: A}]\ntodo: [A]", None),
        ("include: oJobManager.yaml\ntodo: [oJobManager Init]", (None, None)),
        ("include: oJobManager.yaml\njobs: [{name: A, from: oJobManager Job Start}]", (None, None)),
        (
            "include: oJobManager.yaml\n"
            "todo:\n- {name: oJobManager Init, args: {chLocks: 'file:x.json'}}",
            (None, "file:x.json"),
        ),
    ],
)
def test_manager_config_knows_every_way_to_init(
    tmp_path: Path, text: str, config: tuple[object, object] | None
) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(text)
    assert manager_config(path) == config


def test_a_file_is_read_once_where_the_environment_names_the_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ojob run` asks the loaded file whether it configures channels of its own."""
    path = tmp_path / "f.yaml"
    path.write_text("include: oJobManager.yaml\njobs: [{name: A}]\ntodo: [oJobManager Init, A]\n")
    reads: Counter[Path] = Counter()

    def counted(path: Path, name: str, **options: bool) -> Source:
        reads[path] += 1
        return read(path, name, **options)

    monkeypatch.setattr("ojobchannels.ojob.load.includes.read", counted)
    monkeypatch.setenv("OJOB_JOBS", f"sqlite:///{tmp_path}/jobs.db")
    assert CliRunner().invoke(run, [str(path)]).exit_code == 0
    assert reads[path] == 1
    assert (tmp_path / "jobs.db").exists()
