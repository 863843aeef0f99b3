"""An invalid job file: all diagnostics are reported at once, by position, and nothing runs."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path
from textwrap import dedent

import pytest

from ojobchannels.errors import JobFileError
from ojobchannels.ojob import check_file, run_file


def test_a_dependency_may_have_a_schedule_if_the_todo_also_runs_it(tmp_path: Path) -> None:
    """One entry that the todo runs at once is enough."""
    file = tmp_path / "f.yaml"
    file.write_text(
        "jobs:\n- name: A\n- {name: B, deps: A}\n"
        "todo:\n- A\n- {name: A, typeArgs: {timeInterval: 9}}\n- {name: A, type: shutdown}\n- B\n"
    )
    assert [entry.job for entry in check_file(file).todo] == ["A", "A", "A", "B"]


def test_all_diagnostics_of_all_files_are_reported_at_once_by_position(
    tmp_path: Path,
) -> None:
    (tmp_path / "part.yaml").write_text("jobs:\n- name: P\n  exec: |\n    x = (\n")
    file = tmp_path / "whole.yaml"
    file.write_text(
        dedent("""\
        include: part.yaml
        ojob: {numThreds: 2}
        jobs:
        - name: A
          from: Nobody
          args: {a: "{{}}"}
          exec: |
            return )
        - nane: B
        todo: [A, C]
        """)
    )
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    places = [(Path(one.file).name, one.line, one.path) for one in caught.value.diagnostics]
    assert places == [
        ("part.yaml", 4, "jobs[0].exec"),
        ("whole.yaml", 2, "ojob.numThreds"),
        ("whole.yaml", 5, "jobs[0].from"),
        ("whole.yaml", 6, "jobs[0].args.a"),
        ("whole.yaml", 8, "jobs[0].exec"),
        ("whole.yaml", 9, "jobs[1]"),
        ("whole.yaml", 9, "jobs[1].nane"),
        ("whole.yaml", 10, "todo[1]"),
    ]


def test_the_jobs_of_a_missing_include_are_not_reported_too(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("include: gone.yaml\njobs:\n- {name: A, from: Of Gone}\ntodo: [Of Gone, A]\n")
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    assert [diagnostic.path for diagnostic in caught.value.diagnostics] == ["include"]


def test_the_advice_for_a_file_with_includes_is_to_add_the_pack_to_them(tmp_path: Path) -> None:
    """The advice fits a file that includes something, but not the pack that it needs."""
    (tmp_path / "part.yaml").write_text("jobs: [{name: P}]")
    file = tmp_path / "f.yaml"
    file.write_text("include: part.yaml\ntodo: [oJobManager Init]")
    with pytest.raises(JobFileError, match=r"2:8: .*; add `oJobManager\.yaml` to `include`$"):
        check_file(file)


def test_a_misspelled_pack_is_suggested_whatever_files_are_beside(tmp_path: Path) -> None:
    """Names are compared without their suffix."""
    (tmp_path / "on-error.yaml").write_text("jobs: []")
    path = tmp_path / "f.yaml"
    path.write_text("include: oJobmanger.yaml")
    with pytest.raises(JobFileError, match=r"did you mean `oJobManager\.yaml`\?"):
        check_file(path)


def test_a_misspelled_include_is_suggested_from_the_files_beside(tmp_path: Path) -> None:
    (tmp_path / "common-jobs.yaml").write_text("jobs: []")
    (tmp_path / "f.yaml").write_text("include: [./commonjobs.yaml]")
    with pytest.raises(JobFileError, match=r"did you mean `common-jobs\.yaml`\?"):
        check_file(tmp_path / "f.yaml")


def test_no_job_of_an_invalid_file_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        "jobs:\n- {name: A, exec: print(1)}\n- {name: B, deps: [Absent]}\ntodo: [A, B]\n"
    )
    with pytest.raises(JobFileError):
        run_file(file)
    assert capsys.readouterr() == ("", "")


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    """The message contains the reason of the system, and a suggestion."""
    (tmp_path / "latin.yaml").write_bytes(b"jobs: \xe4")
    (tmp_path / "jobs.txt").write_text("")
    (tmp_path / "jobs.yaml").write_text("")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "broken.json").write_text('{\n\t"jobs" []\n}')
    absent, a_folder = os.strerror(errno.ENOENT), os.strerror(errno.EISDIR)
    for name, message in {
        "gone.yaml": f"gone.yaml: cannot read the file: {absent}",
        "jabs.yaml": f"jabs.yaml: cannot read the file: {absent}; did you mean `",
        "no/f.yaml": f"no/f.yaml: cannot read the file: {absent}; there is no folder ",
        "folder.yaml": f"folder.yaml: cannot read the file: {a_folder}; name a file in it",
        "latin.yaml": "latin.yaml:1:7: the byte 0xE4 is not UTF-8; save the file as UTF-8",
        "jobs.txt": "jobs.txt: not the name of a job file; the name of",
        "broken.json": "broken.json:2:9: invalid JSON: a comma or a colon is missing",
    }.items():
        with pytest.raises(JobFileError) as caught:
            check_file(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_a_file_that_a_program_would_wait_for_is_refused(tmp_path: Path) -> None:
    """A FIFO without a writer would let the run hang, a device may never end."""
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    reason = "cannot read the file: it is not a regular file; write the jobs into a regular file"
    for name in ("fifo.yaml", "zero.yaml"):
        with pytest.raises(JobFileError) as caught:
            check_file(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {reason}"


def test_the_error_survives_pickling(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("todo: [A]")
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.diagnostics == caught.value.diagnostics
    assert str(again) == str(caught.value)
    assert isinstance(again, ValueError)


def test_an_error_hides_no_other_one(tmp_path: Path) -> None:
    """The valid parts of a job, an entry or a file are checked whatever else is wrong with it."""
    file = tmp_path / "f.yaml"
    file.write_text(
        dedent("""\
        ojob: {daemon: 5, catch: [Absent]}
        jobs:
        - {name: A, deps: [5, Bee], typeArgs: {single: 1, cron: x}, exec: "x ="}
        - {type: odd, from: Cee}
        - 7
        todo:
        - {name: A, when: {}, args: {a: "{{}}"}}
        - {name: Dee, typeArgs: {lock: 5}}
        """)
    )
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    assert [one.path for one in caught.value.diagnostics] == [
        *("ojob.daemon", "ojob.catch[0]"),
        *("jobs[0].deps[0]", "jobs[0].deps[1]", "jobs[0].typeArgs.single", "jobs[0].typeArgs.cron"),
        *("jobs[0].exec", "jobs[1]", "jobs[1].type", "jobs[1].from", "jobs[2]"),
        *("todo[0].when", "todo[0].args.a", "todo[1].name", "todo[1].typeArgs.lock"),
    ]
