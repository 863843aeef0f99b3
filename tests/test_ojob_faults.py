"""A faulty job file: every fault is told, each with its place and what to do, and nothing runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from textwrap import dedent

import pytest

from ojobchannels.errors import JobFileError
from ojobchannels.ojob import check_file, run_file

FAULTS = {  # what is in the file; what is told of it, after its name
    "an empty file": (
        "",
        "1:1: the file is empty; write `jobs` and a `todo`",
    ),
    "a list": (
        "- a",
        "1:1: expected a map, found a list",
    ),
    "broken flow": (
        "jobs: [1\ntodo: 2",
        "2:5: this is not YAML: while parsing a flow sequence, expected ',' or ']', but got "
        "':'; look at the indentation and the quotes here and in the lines above",
    ),
    "a tab": (
        "jobs:\n\t- name: A",
        "2:1: this is not YAML: while scanning for the next token, found character '\\t' that "
        "cannot start any token; indent with spaces, YAML takes no tabs",
    ),
    "a colon in a text": (
        "todo:\n- a: b: c",
        "2:7: this is not YAML: mapping values are not allowed here; put quotes around a text "
        "that contains a colon and a space",
    ),
    "two documents": (
        "jobs: []\n---\ntodo: []",
        "2:1: this is not YAML: expected a single document in the stream, but found another "
        "document; a job file is one document",
    ),
    "a control character": (
        "jobs:\n- name: a\x07",
        "2:10: the character U+0007 is not allowed in YAML; take it out",
    ),
    "a key twice": (
        "jobs:\n- name: A\n  exec: pass\n  exec: pass",
        "4:3: jobs[0].exec: the key `exec` is here twice; keep one of them; the first is in line 3",
    ),
    "a key that is no text": (
        "jobs:\n- name: A\n  args: {1: x}",
        "3:10: jobs[0].args: the key `1` is not text; put quotes around it",
    ),
    "a tag": (
        "jobs:\n- name: !!binary A",
        "2:9: jobs[0].name: the tag tag:yaml.org,2002:binary means nothing here; take it out",
    ),
    "a number that is none": (
        "jobs:\n- name: A\n  args: {a: !!int x}",
        "3:13: jobs[0].args.a: 'x' is no int",
    ),
    "a merge of something else": (
        "jobs:\n- name: A\n  <<: 5",
        "3:7: jobs[0]: `<<` takes a map or a list of maps",
    ),
    "too many brackets": (
        "[" * 5000,
        "1:1: it is nested too deeply; write it flatter",
    ),
    "an alias to itself": (
        "jobs: &a [*a]",
        "1:7: jobs[0]: it contains itself; take the alias out",
    ),
    "a misspelt section": (
        "job: []",
        "1:1: job: unknown key `job`; did you mean `jobs`?",
    ),
    "a misspelt key": (
        "jobs:\n- name: A\n  exce: pass",
        "3:3: jobs[0].exce: unknown key `exce`; did you mean `exec`?",
    ),
    "a key like nothing known": (
        "jobs:\n- name: A\n  zzz: 1",
        "3:3: jobs[0].zzz: unknown key `zzz`; known here: `name`, `type`, `typeArgs`, `lang`, "
        "`deps`, `args`, `from`, `exec`, `to`, `catch`",
    ),
    "no name": (
        "jobs:\n- exec: pass",
        "2:3: jobs[0]: `name` is missing",
    ),
    "a name that is a number": (
        "jobs:\n- name: 5",
        "2:9: jobs[0].name: expected text, found the number 5; put quotes around it",
    ),
    "an empty name": (
        "jobs:\n- name: ''",
        "2:9: jobs[0].name: it is empty; write a name",
    ),
    "a job that is a text": (
        "jobs:\n- A",
        "2:3: jobs[0]: expected a map, found text",
    ),
    "args that are a list": (
        "jobs:\n- name: A\n  args: [1]",
        "3:9: jobs[0].args: expected a map, found a list",
    ),
    "args that are no JSON": (
        "jobs:\n- name: A\n  args: {a: {b: .nan}}",
        "3:17: jobs[0].args.a.b: nan is not JSON; args are JSON documents",
    ),
    "args beyond 64 bits": (
        "jobs:\n- name: A\n  args: {a: 18446744073709551616}",
        "3:13: jobs[0].args.a: the integer does not fit into 64 bits; args are JSON documents",
    ),
    "a template that names nothing": (
        "jobs:\n- name: A\n  args:\n    a: 'x {{#if b}}'",
        "4:8: jobs[0].args.a: `{{#if b}}` is no template; write {{name}} or ${name:-default}; a "
        "backslash before it takes it literally",
    ),
    "an open template": (
        "jobs:\n- name: A\ntodo:\n- name: A\n  args:\n  - a: '${b'",
        "6:8: todo[0].args[0].a: `${` is no template; write {{name}} or ${name:-default}; a "
        "backslash before it takes it literally",
    ),
    "cron": (
        "jobs:\n- name: A\n  typeArgs:\n    cron: '* * * * *'",
        "4:5: jobs[0].typeArgs.cron: this version does not support `cron`; take it out",
    ),
    "daemon": (
        "ojob:\n  daemon: true",
        "2:3: ojob.daemon: this version does not support `daemon`; take it out",
    ),
    "logToFile": (
        "ojob: {logToFile: {logFolder: ./logs}}",
        "1:8: ojob.logToFile: this version does not support `logToFile`; take it out",
    ),
    "a periodic job": (
        "jobs:\n- name: A\n  type: periodic",
        "3:9: jobs[0].type: this version does not support `type: periodic`; jobs run once for "
        "each todo entry; leave `type` out",
    ),
    "a type that nobody knows": (
        "jobs:\n- name: A\n  type: simpel",
        "3:9: jobs[0].type: unknown type 'simpel'; leave `type` out",
    ),
    "another language": (
        "jobs:\n- name: A\n  typeArgs: {lang: shell}",
        "3:20: jobs[0].typeArgs.lang: this version does not support `lang: shell`; it runs "
        "Python only",
    ),
    "each": (
        "jobs:\n- name: A\n  each: [A]",
        "3:3: jobs[0].each: this version does not support `each`; take it out",
    ),
    "an old alias": (
        "jobs:\n- name: A\n  onerror: pass",
        "3:3: jobs[0].onerror: this version does not support `onerror`; write `catch`",
    ),
    "when": (
        "jobs:\n- name: A\ntodo:\n- {name: A, when: init}",
        "4:13: todo[0].when: this version does not support `when`; take it out",
    ),
    "a todo shortcut": (
        "todo:\n- (if): 'x'",
        "2:3: todo[0]['(if)']: this version does not support the shortcut `(if)`; write `name` "
        "and `args`",
    ),
    "a todo entry with two jobs": (
        "jobs:\n- name: A\ntodo:\n- {name: A, job: A}",
        "4:3: todo[0]: expected either `name` or `job`; write one of them",
    ),
    "no threads": (
        "ojob: {numThreads: 0}",
        "1:20: ojob.numThreads: 0 is out of range; write 1 to 1000",
    ),
    "threads in quotes": (
        "ojob: {numThreads: '4'}",
        "1:20: ojob.numThreads: expected a whole number, found text",
    ),
    "an unknown job in the todo": (
        "jobs:\n- name: Count Words\ntodo:\n- Count Word",
        "4:3: todo[0]: there is no job 'Count Word'; did you mean `Count Words`?",
    ),
    "an unknown job in from": (
        "jobs:\n- name: A\n  from: [B]\n- name: Cook",
        "3:10: jobs[0].from[0]: there is no job 'B'; known here: `A`, `Cook`",
    ),
    "an unknown job in to": (
        "include: [oJobManager.yaml]\njobs:\n- name: A\n  to: oJobManager Job Ende",
        "4:7: jobs[0].to: there is no job 'oJobManager Job Ende'; did you mean "
        "`oJobManager Job End`?",
    ),
    "an unknown job in catch": (
        "include: [oJobManager.yaml]\njobs:\n- name: A\n  catch: oJobManager Eror",
        "4:10: jobs[0].catch: there is no job 'oJobManager Eror'; did you mean "
        "`oJobManager Error`?",
    ),
    "an unknown job of one word in catch": (
        "jobs:\n- name: Alarm\n- name: A\n  catch: Alarn",
        "4:10: jobs[1].catch: there is no job 'Alarn'; did you mean `Alarm`?",
    ),
    "an unknown job in deps": (
        "jobs:\n- name: A\n  deps:\n  - Bee\n- name: Be",
        "4:5: jobs[0].deps[0]: there is no job 'Bee'; did you mean `Be`?",
    ),
    "an unknown job that code launches": (
        "jobs:\n- name: Batch\n- name: A\n  exec: |\n    x = 1\n    launch('Bach', {})",
        "6:5: jobs[1].exec: there is no job 'Bach'; did you mean `Batch`?",
    ),
    "a job twice": (
        "jobs:\n- name: A\n- name: A",
        "3:9: jobs[1].name: there is another job 'A' in line 2; rename one of them",
    ),
    "a circle of deps": (
        "jobs:\n- {name: A, deps: B}\n- {name: B, deps: [C]}\n- {name: C, deps: A}",
        "2:19: jobs[0].deps: these jobs wait for each other: A -> B -> C -> A; take one of them "
        "out",
    ),
    "a job that waits for itself": (
        "jobs:\n- {name: A, deps: A}",
        "2:19: jobs[0].deps: these jobs wait for each other: A -> A; take one of them out",
    ),
    "a circle of from and to": (
        "jobs:\n- {name: A, from: B}\n- {name: B, to: A}",
        "2:19: jobs[0].from: these jobs are parts of each other: A -> B -> A; take one of them out",
    ),
    "a dependency that is not in the todo": (
        "jobs:\n- name: A\n- {name: B, deps: A}\ntodo: [B]",
        "3:19: jobs[1].deps: 'B' is in the todo, but 'A', for which it waits, is not; add 'A' to "
        "the todo",
    ),
    "code that is no Python": (
        "jobs:\n- name: A\n  exec: |\n    x = 1\n    if x\n      y = 2",
        "5:9: jobs[0].exec: this is not Python: expected ':'",
    ),
    "code in quotes that is no Python": (
        'jobs:\n- name: A\n  exec: "x = 1\\nif x"',
        "3:9: jobs[0].exec: this is not Python: expected ':' (line 2 of the code)",
    ),
    "code that yields": (
        "jobs:\n- name: A\n  exec: |\n    yield 1",
        "3:9: jobs[0].exec: it yields, but is no generator; put the `yield` into a function",
    ),
    "code that awaits": (
        "jobs:\n- name: A\n  exec: |\n    await x",
        "4:5: jobs[0].exec: this is not Python: 'await' outside async function",
    ),
    "a catch that is no Python": (
        "jobs:\n- name: A\n  catch: |\n    log('failed'\n    pass",
        "4:8: jobs[0].catch: this is not Python: '(' was never closed",
    ),
    "a pack that does not exist": (
        "include:\n- oJobManger.yaml",
        "2:3: include[0]: there is no `oJobManger.yaml`: no bundled pack has that name, nor a "
        "file at {folder}/oJobManger.yaml; did you mean `oJobManager.yaml`?",
    ),
    "a web page as include": (
        "include: https://example.org/jobs.yaml",
        "1:10: include[0]: this version includes files only; get the file, and include that",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_told_with_its_place_and_what_to_do(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, told = FAULTS[case]
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(text)
    with pytest.raises(JobFileError) as caught:
        check_file("f.yaml")
    assert str(caught.value) == f"f.yaml:{told.replace('{folder}', str(tmp_path))}"


def test_all_faults_of_all_files_are_told_at_once_in_the_order_of_their_places(
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
    places = [(Path(one.file).name, one.line, one.path) for one in caught.value.problems]
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


def test_a_missing_include_does_not_make_its_jobs_faults_too(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("include: gone.yaml\njobs:\n- {name: A, from: Of Gone}\ntodo: [Of Gone, A]\n")
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    assert [problem.path for problem in caught.value.problems] == ["include[0]"]


def test_a_misspelt_include_is_told_of_the_file_beside(tmp_path: Path) -> None:
    (tmp_path / "common-jobs.yaml").write_text("jobs: []")
    (tmp_path / "f.yaml").write_text("include: [./commonjobs.yaml]")
    with pytest.raises(JobFileError, match=r"did you mean `common-jobs\.yaml`\?"):
        check_file(tmp_path / "f.yaml")


def test_nothing_of_a_faulty_file_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        "jobs:\n- {name: A, exec: print(1)}\n- {name: B, deps: [Nobody]}\ntodo: [A, B]\n"
    )
    with pytest.raises(JobFileError):
        run_file(file)
    assert capsys.readouterr() == ("", "")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"jobs: \xe4")
    (tmp_path / "jobs.txt").write_text("")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "broken.json").write_text('{\n\t"jobs" []\n}')
    for name, told in {
        "gone.yaml": "gone.yaml: cannot read it: No such file or directory",
        "folder.yaml": "folder.yaml: cannot read it: Is a directory",
        "latin.yaml": "latin.yaml: byte 6 is not UTF-8; save the file as UTF-8",
        "jobs.txt": "jobs.txt: this is no job file by its name; a job file ends in .yaml, ",
        "broken.json": "broken.json:2:9: this is not JSON: Expecting ':' delimiter",
    }.items():
        with pytest.raises(JobFileError) as caught:
            check_file(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path}/{told}")


def test_the_error_survives_pickling(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("todo: [A]")
    with pytest.raises(JobFileError) as caught:
        check_file(file)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problems == caught.value.problems
    assert str(again) == str(caught.value)
    assert isinstance(again, ValueError)
