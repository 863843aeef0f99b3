"""The packs oJobBasics.yaml, oJobQueue.yaml and oJobDirector.yaml, in job files."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.ojob import RunResult, check_file, run_file
from ojobchannels.ojob.load.includes import NOT_BUNDLED
from ojobchannels.recipes.director import Director
from ojobchannels.recipes.queue import Queue

if TYPE_CHECKING:
    from tests.ojob.conftest import Run, Told


@pytest.fixture
def place(tmp_path: Path) -> dict[str, Any]:
    """Where the messages, or the notes of the director, are."""
    return {"type": "db", "args": {"file": str(tmp_path / "pack.db")}}


@pytest.fixture
def run(tmp_path: Path, told: Told) -> Run:
    """Runs a job file, given without its `include` of all packs; answers what was told, too."""

    def run(text: str, **args: Any) -> tuple[RunResult, list[str]]:
        path, told.lines = tmp_path / "f.yaml", []
        path.write_text(
            "include: [oJobBasics.yaml, oJobQueue.yaml, oJobDirector.yaml]\n" + dedent(text)
        )
        return run_file(path, args, told), told.lines

    return run


def listed(place: dict[str, Any]) -> list[dict[str, Any]]:
    """All messages."""
    with oc.open_channel("oJobQueue", place) as channel:
        return Queue(channel).listed()


WORK = """\
jobs:
- {{name: Send, exec: "log('to', args['data']['to'], args['obj']['job'], args['attempts'])"}}
- {{name: Fail, exec: "1/0"}}
- name: Fill
  exec: |
    job("oJob Queue Add", {{"chQueue": {place}, "job": "Send", "data": {{"to": "Ada"}}}})
    job("oJob Queue Add", {{"job": "Fail"}})
    job("oJob Queue Add", {{"job": "Nobody"}})
todo:
- Fill
- name: oJob Queue Manager
  args: {{queueAttempts: 2, queuePause: 0}}
- oJob Queue List
"""


def test_messages_are_worked_on_by_the_jobs_that_they_name(run: Run, place: dict[str, Any]) -> None:
    """What fails is tried again, and then kept in view, with its error."""
    _, told = run(WORK.format(place=place))
    assert "Send: to Ada Send 1" in told
    assert sum(line.startswith("Fail failed (ZeroDivisionError: ") for line in told) == 2
    kept = {one["job"]: one for one in listed(place)}
    assert {name: one["status"] for name, one in kept.items()} == {
        "Fail": "failed",
        "Nobody": "failed",
    }
    assert "ZeroDivisionError" in kept["Fail"]["error"]
    assert "UnknownJob" in kept["Nobody"]["error"]
    given_up = [line for line in told if "failed for good" in line]
    assert len(given_up) == 2
    assert any("Fail: failed, attempts 2: ZeroDivisionError" in line for line in told)


def test_messages_can_be_tried_again_and_deleted(run: Run, place: dict[str, Any]) -> None:
    """By what names them."""
    run(WORK.format(place=place))
    ids = {one["job"]: one["id"] for one in listed(place)}
    _, told = run(
        f"""\
        jobs:
        - {{name: Fail, exec: "log('better now')"}}
        todo:
        - {{name: oJob Queue Retry, args: {{idx: {ids["Fail"]}, chQueue: {place}}}}}
        - {{name: oJob Queue Delete, args: {{idx: {ids["Nobody"]}}}}}
        - oJob Queue Manager
        """,
    )
    assert "Fail: better now" in told
    assert listed(place) == []


def test_rules_add_a_message_where_they_are_true(run: Run, place: dict[str, Any]) -> None:
    """They see the data, and what templates have made of it."""
    run(
        f"""\
        jobs:
        - {{name: Alarm}}
        todo:
        - name: oJob Queue Rules
          args:
            chQueue: {place}
            data: {{temperature: 35}}
            rules:
            - {{rule: "data['temperature'] > 30", job: Alarm}}
            - {{rule: "data['temperature'] < 0", job: Frost}}
        """,
    )
    assert [(one["job"], one["data"]) for one in listed(place)] == [("Alarm", {"temperature": 35})]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("{name: oJob Queue Add}", "`job` is missing: pass a name"),
        ("{name: oJob Queue Add, args: {job: A, delay: -1}}", "`delay` is -1: pass milliseconds"),
        ("{name: oJob Queue Manager, args: {queueAttempts: 0}}", "`queueAttempts` is 0: pass a w"),
        ("{name: oJob Queue Manager, args: {queueDelete: x}}", "`queueDelete` is 'x': pass true"),
        ("{name: oJob Queue Rules, args: {rules: 1}}", "`rules` is 1: pass a list of maps"),
        ("{name: oJob Queue Rules, args: {rules: [{rule: 1/0}]}}", "rule '1/0' failed: ZeroDiv"),
        ("{name: oJob Director check, args: {jobName: a}}", "`jobUUID` is missing: pass a name"),
        (
            "{name: oJob Director checkout, args: {jobName: a, jobUUID: b}}",
            "'a' 'b' has not begun here; put `oJob Director checkin` under `from`",
        ),
    ],
)
def test_wrong_args_are_told_with_what_to_give(run: Run, call: str, said: str) -> None:
    """In one line."""
    result, _ = run(f"jobs: []\ntodo:\n- {call}\n")
    assert result.exit_status == 1
    assert said.replace(": ", "; ") in str(result.outcomes[0].error).replace(": ", "; ")


def test_a_queue_in_memory_is_warned_of(run: Run) -> None:
    """Nobody else sees it, and it does not survive."""
    _, told = run("jobs: []\ntodo: [oJob Queue Manager]\n")
    said = "messages are kept in the memory of this process only: set chQueue"
    assert told[0] == f"oJob Queue Manager: warn: {said}"


def test_a_worker_in_a_daemon_waits_for_messages_until_it_is_told_to_stop(
    tmp_path: Path, place: dict[str, Any]
) -> None:
    """It finishes the one that it is at."""
    path = tmp_path / "daemon.yaml"
    path.write_text(
        dedent(
            f"""\
            include: [oJobQueue.yaml]
            ojob: {{daemon: true}}
            jobs:
            - name: Send
              exec: |
                import sys
                print("at work on", args["data"], flush=True)
                sys.stdin.readline()
            todo:
            - {{name: oJob Queue Manager, args: {{queuePeriod: 5, chQueue: {place}}}}}
            """
        )
    )
    with oc.open_channel("oJobQueue", place) as channel:
        queue = Queue(channel)
        with subprocess.Popen(
            [sys.executable, "-m", "ojobchannels", "run", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            lines = (line for line in process.stdout if "at work" in line)
            queue.add("Send", 1)
            assert next(lines) == "at work on 1\n"
            process.stdin.write("go\n")
            process.stdin.flush()
            queue.add("Send", 2)
            assert next(lines) == "at work on 2\n"
            queue.add("Send", 3)
            process.send_signal(signal.SIGTERM)
            next(line for line in process.stdout if "interrupted: waiting for" in line)
            process.communicate("go\n")
        assert process.returncode == 0
        assert [one["data"] for one in queue.listed()] == [3]


DIRECTED = """\
jobs:
- name: Load
  from: [oJob Director init, oJob Director checkin]
  to: oJob Director checkout
  args: {{jobName: load, jobUUID: monday, chDirector: {place}}}
  exec: |
    if args.get("fails"):
        raise ValueError("no file")
    log("loading")
todo: [Load]
"""


def test_what_was_executed_is_left_out(run: Run, place: dict[str, Any]) -> None:
    """A failure does not count as executed."""
    text = DIRECTED.format(place=place)
    _, failed = run(text, fails=True)
    assert failed == ["Load failed (ValueError: no file)"]
    _, first = run(text)
    assert first == ["Load: loading", "Load completed"]
    _, second = run(text)
    assert second == ["Load skipped ('load' 'monday' was already executed)"]


def test_what_another_process_is_at_is_left_out(run: Run, place: dict[str, Any]) -> None:
    """With who it is."""
    with oc.open_channel("oJobDirector", place) as channel:
        lease = Director(channel, {"type": "director"}).check_in("load", "monday", ttl=60)
        assert lease is not None
        _, told = run(DIRECTED.format(place=place))
        assert "('load' 'monday' is already being executed, by host " in told[0]


def test_a_job_may_wait_for_an_execution(run: Run, place: dict[str, Any]) -> None:
    """And fails where it does not come."""
    waiting = """
- name: oJob Director wait
  args: {jobName: load, jobUUID: monday, jobWaitTime: 1, jobWaitRetry: 2}
"""
    text = DIRECTED.format(place=place)
    result, _ = run(text.replace("todo: [Load]", "todo:" + waiting))
    assert isinstance(result.outcomes[0].error, oc.JobTimeout)
    result, told = run(text.replace("todo: [Load]", "todo:\n- Load" + waiting))
    assert result.exit_status == 0, told


def test_commands_of_the_shell_tell_what_they_write(run: Run) -> None:
    """Or leave it in the args; another exit status than asked for is a failure."""
    result, told = run(
        """\
        jobs:
        - name: Say
          to: oJob sh
          args: {cmd: [echo one, "cat; echo wrong >&2"], stdin: two, prefix: "> "}
        - name: Keep Quiet
          from: oJob sh
          args: {cmd: "pwd; exit 3", quiet: true, exitcode: 3, directory: /}
          exec: log(repr(args["stdout"]), repr(args["stderr"]))
        - name: Fail
          to: oJob sh
          args: {cmd: "exit 4"}
        todo: [Say, Keep Quiet, Fail]
        """,
    )
    assert told[:3] == ["Say: > one", "Say: > two", "Say: warn: > wrong"]
    assert r"Keep Quiet: '/\n' ''" in told
    assert result.exit_status == 1
    assert getattr(result.outcomes[-1].error, "returncode", None) == 4


def test_args_are_printed_sorted_picked_and_split(run: Run) -> None:
    """By paths through them."""
    _, told = run(
        """\
        jobs:
        - name: Show
          from: [oJob Sort Array, oJob Split into items]
          args:
            name: sorted.names
            srcName: names
            reverse: true
            names: [b, c, a]
            source: text
            text: "one,two"
            separator: ","
          exec: |
            log(args["sorted"]["names"], args["_list"])
        - name: Pick
          from: oJob Map Array
          args:
            name: picked
            srcName: people
            selectors: [name, home.town]
            limit: 1
            people: [{name: Ada, age: 36, home: {town: London}}, {name: Bob}]
          exec: log(args["picked"])
        todo:
        - Show
        - Pick
        - {name: oJob Stringify, args: {name: a.b.1, min: true, a: {b: [1, {c: 2}]}}}
        - {name: oJob YAML, args: {name: a, a: {b: [1, x]}}}
        - {name: oJob Print args, args: {_path: a, a: 5}}
        """,
    )
    said = [line for line in told if "completed" not in line]
    assert said == [
        "Show: ['c', 'b', 'a'] [{'item': 'one'}, {'item': 'two'}]",
        "Pick: [{'name': 'Ada', 'home.town': 'London'}]",
        'oJob Stringify: {"c": 2}',
        "oJob YAML: b: [1, x]",
        "oJob Print args: 5",
    ]


def test_results_are_kept_for_other_jobs(run: Run) -> None:
    """Under a name, whole or in part; what was not kept is an error that tells what was."""
    result, told = run(
        """\
        jobs:
        - {name: Count, exec: "args['count'] = {'words': 3}", to: oJob Keep result}
        - name: Use
          from: oJob Get kept result
          args: {ojobkeep: {keep: count.words}}
          exec: log(args["words"])
        todo: [Count, Use, {name: oJob Get kept result, args: {ojobkeep: {name: other}}}]
        """,
    )
    assert "Use: 3" in told
    assert "no value was kept as 'other'; kept values: 'default'" in str(result.outcomes[-1].error)


def test_args_are_read_from_files(run: Run, tmp_path: Path) -> None:
    """JSON or YAML; a faulty file is told with its place."""
    (tmp_path / "a.json").write_text('{"who": "Ada"}')
    (tmp_path / "b.yaml").write_text("who: Bob\n")
    (tmp_path / "c.yaml").write_text("who: [\n")
    calls = "\n".join(
        f"- {{name: Greet, args: {{file: '{tmp_path / name}'}}}}"
        for name in ("a.json", "b.yaml", "c.yaml")
    )
    result, told = run(
        "jobs:\n- {name: Greet, from: oJob Args from YAML, exec: \"log('Hello', args['who'])\"}\n"
        f"todo:\n{calls}\n",
    )
    assert [line for line in told if "Hello" in line] == ["Greet: Hello Ada", "Greet: Hello Bob"]
    assert "c.yaml:2" in str(result.outcomes[-1].error)


def test_a_switch_runs_the_jobs_of_a_value(run: Run) -> None:
    """Or those for any other value."""
    _, told = run(
        """\
        jobs:
        - {name: Greet, exec: "log(args.get('how', 'plainly'))"}
        - name: Choose
          from: oJob Switch
          args:
            switchOn: mood
            lowerCase: true
            todos: {good: [{name: Greet, args: {how: warmly}}, Greet]}
            default: Greet
        todo:
        - {name: Choose, args: {mood: GOOD}}
        - {name: Choose, args: {mood: 1}}
        """,
    )
    assert [line for line in told if line.startswith("Greet: ")] == [
        "Greet: warmly",
        "Greet: plainly",
        "Greet: plainly",
    ]


@pytest.mark.parametrize(
    ("format", "said"),
    [
        ("json", '"status": "completed"'),
        ("yaml", "job: Work"),
        ("table", "job   status     seconds"),
    ],
)
def test_a_report_tells_what_became_of_the_jobs(run: Run, format: str, said: str) -> None:
    """In three forms, now or at the end."""
    _, lines = run(
        f"""\
        jobs: [{{name: Work}}]
        todo:
        - {{name: oJob Jobs Final Report, args: {{format: {format}}}}}
        - Work
        """,
    )
    assert said in "\n".join(lines)
    assert lines[0] == "Work completed"


@pytest.mark.parametrize("name", NOT_BUNDLED)
def test_a_job_that_no_pack_has_here_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """With what to do instead."""
    path = tmp_path / "f.yaml"
    path.write_text(f"include: oJobBasics.yaml\njobs: []\ntodo: [{name}]\n")
    with pytest.raises(oc.JobFileError) as raised:
        check_file(path)
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.message == f"the job {name!r} is not supported"
    assert diagnostic.hint
    assert diagnostic.line == 3
