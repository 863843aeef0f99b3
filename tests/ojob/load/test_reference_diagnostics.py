"""Diagnostics of the jobs, packs and files that a job file names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.ojob.load.conftest import CheckReport

CASES = {  # the text of the file; what is reported, after its name
    "names with a comma": (
        "jobs:\n- name: B\n- name: C\n- {name: A, deps: 'B, C'}",
        "4:19: jobs[2].deps: unknown job 'B, C'; write several names as a list: [B, C]",
    ),
    "names joined by indentation": (
        "jobs:\n- name: A\n- name: B\ntodo:\n- A\n  - B",
        "5:3: todo[0]: unknown job 'A - B'; YAML has joined two lines; begin them in the same "
        "column, or write a list: [A, B]",
    ),
    "a control character in a name": (
        'jobs:\n- name: "a\\e[2J"\ntodo: ["b\\e[2J"]',
        "3:8: todo[0]: unknown job 'b\\x1b[2J'; did you mean `a\\x1b[2J`?",
    ),
    "an unknown name among many jobs": (
        "jobs:\n" + "".join(f"- name: J{at}\n" for at in range(100)) + "todo: [Zebra]",
        "102:8: todo[0]: unknown job 'Zebra'; known: `J0`, `J1`, `J2`, `J3`, `J4`, `J5`, "
        "`J6`, `J7`, `J8`, `J9`, `J10`, `J11` and 88 more",
    ),
    "an unknown job in the todo": (
        "jobs:\n- name: Count Words\ntodo:\n- Count Word",
        "4:3: todo[0]: unknown job 'Count Word'; did you mean `Count Words`?",
    ),
    "an unknown job in from": (
        "jobs:\n- name: A\n  from: [B]\n- name: Cook",
        "3:10: jobs[0].from[0]: unknown job 'B'; known: `A`, `Cook`",
    ),
    "an unknown job in to": (
        "include: [oJobManager.yaml]\njobs:\n- name: A\n  to: oJobManager Job Ende",
        "4:7: jobs[0].to: unknown job 'oJobManager Job Ende'; did you mean `oJobManager Job End`?",
    ),
    "a job of a pack that is not included": (
        "jobs:\n- name: A\n  from: oJobManager Job Start",
        "3:9: jobs[0].from: unknown job 'oJobManager Job Start': it is in a bundled "
        "pack; add `include: [oJobManager.yaml]`",
    ),
    "a catch of a pack that is not included": (
        "include: []\njobs:\n- name: A\n  catch: oJobManager Error",
        "4:10: jobs[0].catch: unknown job 'oJobManager Error': it is in a bundled "
        "pack; add `include: [oJobManager.yaml]`",
    ),
    "a job of a pack that is not included, called by code": (
        "jobs:\n- name: A\n  exec: |\n    job('oJobManager Init')\ntodo: [A]",
        "4:5: jobs[0].exec: unknown job 'oJobManager Init': it is in a bundled "
        "pack; add `include: [oJobManager.yaml]`",
    ),
    "a misspelled job of a pack that is not included": (
        "jobs:\n- name: Aha\ntodo: [oJobManager init]",
        "3:8: todo[0]: unknown job 'oJobManager init'; did you mean `oJobManager Init`? To "
        "use it, add `include: [oJobManager.yaml]`",
    ),
    "an unknown job in catch": (
        "include: [oJobManager.yaml]\njobs:\n- name: A\n  catch: oJobManager Eror",
        "4:10: jobs[0].catch: unknown job 'oJobManager Eror'; did you mean `oJobManager Error`?",
    ),
    "an unknown single word in catch": (
        "jobs:\n- name: Alarm\n- name: A\n  catch: Alarn",
        "4:10: jobs[1].catch: unknown job 'Alarn'; did you mean `Alarm`?",
    ),
    "an unknown job in deps": (
        "jobs:\n- name: A\n  deps:\n  - Bee\n- name: Be",
        "4:5: jobs[0].deps[0]: unknown job 'Bee'; did you mean `Be`?",
    ),
    "an unknown job in a launch": (
        "jobs:\n- name: Batch\n- name: A\n  exec: |\n    x = 1\n    launch('Bach', {})",
        "6:5: jobs[1].exec: unknown job 'Bach'; did you mean `Batch`?",
    ),
    "a duplicate job": (
        "jobs:\n- name: A\n- name: A",
        "3:9: jobs[1].name: duplicate job 'A'; the first is on line 2; rename one of them",
    ),
    "a circle of deps": (
        "jobs:\n- {name: A, deps: B}\n- {name: B, deps: [C]}\n- {name: C, deps: A}",
        "2:19: jobs[0].deps: circular dependency: A -> B -> C -> A; remove one of them",
    ),
    "a dependency on itself": (
        "jobs:\n- {name: A, deps: A}",
        "2:19: jobs[0].deps: 'A' depends on itself; remove it",
    ),
    "a dependency on itself through a part": (
        "jobs:\n- {name: A, deps: B}\n- {name: B, to: A}",
        "3:10: jobs[1].name: 'B' depends on itself, through one of its `from` or `to` jobs; "
        "remove it",
    ),
    "a part of itself": (
        "jobs:\n- {name: A, from: A}",
        "2:19: jobs[0].from: 'A' runs itself; remove it",
    ),
    "a circle of from and to": (
        "jobs:\n- {name: A, from: B}\n- {name: B, to: A}",
        "2:19: jobs[0].from: circular `from` or `to`: A -> B -> A; remove one of them",
    ),
    "parts that name each other too often": (
        "jobs:\n"
        + "".join(f"- {{name: J{at}, from: [J{at + 1}, J{at + 1}]}}\n" for at in range(60))
        + "- {name: J60}",
        "49:22: jobs[47].from[0]: 'J47' has 16,383 steps, with its `from` and `to` jobs "
        "and theirs; the maximum is 10,000: name each job less often",
    ),
    "a dependency that is not in the todo": (
        "jobs:\n- name: A\n- {name: B, deps: A}\ntodo: [B]",
        "3:19: jobs[1].deps: 'B' is in the todo, but its dependency 'A' is not; add 'A' to the "
        "todo",
    ),
    "a dependency with a schedule": (
        "jobs:\n- {name: A, typeArgs: {timeInterval: 9}}\n- {name: B, deps: A}\ntodo: [A, B]",
        "3:19: jobs[1].deps: 'B' depends on 'A', which the todo only runs by its schedule; "
        "remove the dependency",
    ),
    "a dependency that subscribes": (
        "jobs:\n- {name: A, type: subscribe, typeArgs: {chSubscribe: c}}\n- {name: B, deps: A}\n"
        "todo: [A, B]",
        "3:19: jobs[1].deps: 'B' depends on 'A', which the todo only runs when a channel "
        "changes; remove the dependency",
    ),
    "a dependency that this todo runs at the end": (
        "jobs:\n- name: A\n- {name: B, deps: A}\ntodo:\n- {job: A, type: shutdown}\n- B",
        "3:19: jobs[1].deps: 'B' depends on 'A', which the todo only runs at the end of the run; "
        "remove the dependency",
    ),
    "an unknown job after non-ASCII text": (
        "jobs:\n- name: A\n  exec: |\n    'ä'; job('Nobody')",
        "4:10: jobs[0].exec: unknown job 'Nobody'; known: `A`",
    ),
    "a pack that does not exist": (
        "include:\n- oJobManger.yaml",
        "2:3: include[0]: there is no `oJobManger.yaml`: not a bundled pack, and not a "
        "file: {folder}/oJobManger.yaml; did you mean `oJobManager.yaml`?",
    ),
    "a folder as include": (
        "include: ..",
        "1:10: include: {parent} is a folder; name a file in it",
    ),
    "a file of another kind as include": (
        "include: notes.txt",
        "1:10: include: `notes.txt` does not have the name of a job file; the name of a job file "
        "ends in .yaml, .yml, .json",
    ),
    "an include with NUL": (
        'include: "jobs\\0/other.yaml"',
        "1:10: include: there is no `jobs\\x00/other.yaml`: not a bundled pack, and "
        "not a file: {folder}/jobs\\x00/other.yaml; bundled packs: `oJobBasics.yaml`, "
        "`oJobDirector.yaml`, `oJobManager.yaml`, `oJobQueue.yaml`",
    ),
    "an include with a tilde": (
        "include: ~/jobs.yaml",
        "1:10: include: `~` is not expanded in `~/jobs.yaml`; write the path in full",
    ),
    "a URL as include": (
        "include: https://example.org/jobs.yaml",
        "1:10: include: only files can be included; download the file, and include that",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_invalid_name_is_reported(case: str, check_report: CheckReport) -> None:
    """The diagnostic has its position, its path, and what to do."""
    check_report(*CASES[case])
