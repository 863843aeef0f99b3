"""The pack oJobQueue.yaml in job files."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import ojobchannels as oc
from ojobchannels.recipes.queue import Queue

if TYPE_CHECKING:
    from tests.ojob.conftest import Run


def listed(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all messages."""
    with oc.open_channel("oJobQueue", config) as channel:
        return Queue(channel).messages()


WORK = """\
jobs:
- {{name: Send, exec: "log('to', args['data']['to'], args['obj']['job'], args['attempts'])"}}
- {{name: Fail, exec: "1/0"}}
- name: Fill
  exec: |
    job("oJob Queue Add", {{"chQueue": {config}, "job": "Send", "data": {{"to": "Ada"}}}})
    job("oJob Queue Add", {{"job": "Fail"}})
    job("oJob Queue Add", {{"job": "Nobody"}})
todo:
- Fill
- name: oJob Queue Manager
  args: {{queueAttempts: 2, queuePause: 0}}
- oJob Queue List
"""


def test_messages_are_processed_by_the_jobs_that_they_name(
    run: Run, config: dict[str, Any]
) -> None:
    """A failed message is retried, and then kept with its error."""
    _, reported = run(WORK.format(config=config))
    assert "Send: to Ada Send 1" in reported
    assert sum(line.startswith("Fail failed (ZeroDivisionError: ") for line in reported) == 2
    kept = {one["job"]: one for one in listed(config)}
    assert {name: one["status"] for name, one in kept.items()} == {
        "Fail": "failed",
        "Nobody": "failed",
    }
    assert "ZeroDivisionError" in kept["Fail"]["error"]
    assert "UnknownJob" in kept["Nobody"]["error"]
    given_up = [line for line in reported if "failed for good" in line]
    assert len(given_up) == 2
    assert any("Fail: failed, attempts 2: ZeroDivisionError" in line for line in reported)


def test_messages_can_be_retried_and_deleted(run: Run, config: dict[str, Any]) -> None:
    """By their ids."""
    run(WORK.format(config=config))
    ids = {one["job"]: one["id"] for one in listed(config)}
    _, reported = run(
        f"""\
        jobs:
        - {{name: Fail, exec: "log('better now')"}}
        todo:
        - {{name: oJob Queue Retry, args: {{idx: {ids["Fail"]}, chQueue: {config}}}}}
        - {{name: oJob Queue Delete, args: {{idx: {ids["Nobody"]}}}}}
        - oJob Queue Manager
        """,
    )
    assert "Fail: better now" in reported
    assert listed(config) == []


def test_rules_that_are_true_add_a_message(run: Run, config: dict[str, Any]) -> None:
    """They can use the data and rendered templates."""
    run(
        f"""\
        jobs:
        - {{name: Alarm}}
        todo:
        - name: oJob Queue Rules
          args:
            chQueue: {config}
            data: {{temperature: 35}}
            rules:
            - {{rule: "data['temperature'] > 30", job: Alarm}}
            - {{rule: "data['temperature'] < 0", job: Frost}}
        """,
    )
    assert [(one["job"], one["data"]) for one in listed(config)] == [("Alarm", {"temperature": 35})]


def test_a_queue_in_memory_gives_a_warning(run: Run) -> None:
    """No other process sees it, and it is lost at the end."""
    _, reported = run("jobs: []\ntodo: [oJob Queue Manager]\n")
    message = "messages are kept in the memory of this process only: set chQueue"
    assert reported[0] == f"oJob Queue Manager: warn: {message}"


def test_a_worker_in_a_daemon_waits_for_messages_until_the_shutdown(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    """It finishes the current message."""
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
            - {{name: oJob Queue Manager, args: {{queuePeriod: 5, chQueue: {config}}}}}
            """
        )
    )
    with oc.open_channel("oJobQueue", config) as channel:
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
        assert [one["data"] for one in queue.messages()] == [3]
