"""What bodies conclude from the run records, if they judge by `endTime` and `inError` alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ojobchannels import JobManager

Run: TypeAlias = Callable[..., tuple[Any, list[str]]]

CONCLUDE = """
- name: Conclude
  exec: |
    var jobs = $ch("oJobManager-jobs").getAll();
    log("seen: " + jobs.map(job => job.name + " " + (isDef(job.endTime)
      ? (job.inError ? "ERROR" : "COMPLETED") : "RUNNING")).join(", "));
    log("history: " + $from(jobs).groupBy("name").select(group => group.key + " "
      + group.items.filter(job => !job.inError).length + " of " + group.items.length).join(", "));
"""


def test_a_run_that_did_not_begin_is_neither_completed_nor_a_success(
    run: Run, manager: JobManager
) -> None:
    """It was skipped, or a dependency failed: the monitor and the history do not count it."""
    with manager.run("nightly"):
        _, reported = run(
            "include: [oJobManager.yaml]\njobs:\n"
            + "".join(
                f"- {{name: {job}, from: [oJobManager Job Start, {check}], "
                "to: oJobManager Job End, catch: oJobManager Error, "
                f"args: {{name: {name}}}, exec: '{code}'{deps}}}\n"
                for job, name, check, code, deps in (
                    ("Nightly", "nightly", "Has work", "", ""),
                    ("Idle", "idle", "Has none", "", ""),
                    ("Broken", "broken", "Has work", 'throw "bad"', ""),
                    ("After", "after", "Has work", "", ", deps: Broken"),
                    ("Good", "good", "Has work", "", ""),
                )
            )
            + "- {name: Has work}\n- {name: Has none, exec: 'skip(\"no news\")'}\n"
            + CONCLUDE
            + "todo: [oJobManager Init, Nightly, Idle, Broken, After, Good, Conclude]\n"
        )
    seen = next(line for line in reported if "seen: " in line).split("seen: ")[1].split(", ")
    assert sorted(seen) == ["broken ERROR", "good COMPLETED", "nightly RUNNING"]
    history = next(line for line in reported if "history: " in line).split("history: ")[1]
    assert sorted(history.split(", ")) == ["broken 0 of 1", "good 1 of 1", "nightly 1 of 1"]
    shown = {(record["name"], record["status"]) for record in manager.runs()}
    assert {("nightly", "skipped"), ("idle", "skipped"), ("after", "depsfail")} < shown
