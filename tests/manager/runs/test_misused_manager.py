"""Arguments that no manager can use, and calls after its end: one error of ours for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.errors import ManagerClosed


def work() -> int:
    """A job without arguments."""
    return 1


MISUSES: dict[str, tuple[Callable[[Any], object], str]] = {
    "a job that cannot be called": (lambda manager: manager.job("j")(5), "5 cannot be called"),
    "a listener": (lambda manager: manager.on("failed")("log"), "'log' cannot be called"),
    "a notice": (lambda manager: manager.job("j", on_failure=5)(work), "5 cannot be called"),
    "retries in words": (lambda manager: manager.job("j", retries="x")(work), "retries: 'x'"),
    "negative retries": (lambda manager: manager.job("j", retries=-1)(work), "retries: -1"),
    "a list as args of a launch": (lambda manager: manager.launch("known", [1]), r"args: \[1\]"),
    "a text as args of a run": (lambda manager: manager.run("known", args="x"), "args: 'x'"),
    "a priority in words": (
        lambda manager: manager.launch("known", durable=True, priority="x"),
        "priority: 'x' is not a number",
    ),
    "a priority of what is not durable": (
        lambda manager: manager.launch("known", priority=5),
        "invalid launch: delay, priority,.*durable=True",
    ),
    "a limit of runs": (lambda manager: manager.runs(limit="x"), "limit: 'x'"),
    "a negative limit": (lambda manager: manager.runs(limit=-1), "limit: -1"),
    "a limit of launches": (lambda manager: manager.launches(limit=-1), "limit: -1"),
    "a limit of actions": (lambda manager: manager.actions(limit="x"), "limit: 'x'"),
    "a time in words": (lambda manager: manager.runs(since="x"), "since: 'x' is not a time"),
    "a number as run to cancel": (lambda manager: manager.cancel(5), "run_id: 5"),
    "a number as run to repeat": (lambda manager: manager.rerun(5), "run_id: 5"),
    "a number as job to launch": (lambda manager: manager.launch(5), "job name 5"),
    "a number as schedule": (lambda manager: manager.pause(5), "schedule name 5"),
    "a pause until a time in words": (
        lambda manager: manager.pause("tick", until="tomorrow"),
        "until: 'tomorrow' is not a time",
    ),
    "a text as args of a schedule": (lambda manager: manager.run_now("tick", "x"), "args: 'x'"),
    "threads in words": (lambda manager: type(manager)(threads="x"), "threads: 'x'"),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_a_misuse_is_an_error_that_names_the_argument(
    simple_manager: oc.JobManager, misuse: str
) -> None:
    """And shows its value; nothing has run, and nothing is stored."""
    attempt, message = MISUSES[misuse]
    simple_manager.job("known")(work)
    with pytest.raises((oc.InvalidOption, oc.InvalidName), match=message):
        attempt(simple_manager)
    assert simple_manager.runs() == []
    assert simple_manager.launches() == []


@pytest.mark.parametrize("seconds", [-1, float("nan"), "1"])
def test_a_run_waits_for_no_less_than_0_seconds(
    simple_manager: oc.JobManager, seconds: Any
) -> None:
    """A time that is over already is an error, not a wait without end."""
    with simple_manager.run("waits") as run:
        with pytest.raises(oc.InvalidOption, match="seconds"):
            run.wait(seconds)
        assert run.wait(0) is False


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("timeout", [-1, float("nan"), "1"])
def test_a_launch_is_awaited_for_no_less_than_0_seconds(
    simple_manager: oc.JobManager, timeout: Any, *, durable: bool
) -> None:
    """A time that is over already is an error, not a wait until the end."""
    options: dict[str, Any] = {"durable": True} if durable else {}
    simple_manager.job("known")(work)
    launch: oc.Launch[Any] | oc.DurableLaunch[Any] = simple_manager.launch("known", **options)
    for attempt in (launch.wait, launch.result):
        with pytest.raises(oc.InvalidOption, match="timeout"):
            attempt(timeout)


def test_a_run_logs_on_known_levels_only(simple_manager: oc.JobManager) -> None:
    """Readers of the output rely on them."""
    loud: Any = "loud"
    with simple_manager.run("logs") as run:
        with pytest.raises(oc.InvalidOption, match="'loud' is not known; pass info, warn, error"):
            run.log("x", level=loud)
        run.log("y", level="warn")
    output = simple_manager.output(run.run_id)
    assert output is not None
    assert [line.text for _, line in output.numbered()] == ["y"]


@pytest.mark.parametrize("passed_open", [False, True])
@pytest.mark.parametrize(
    "call", ["launch", "launch of the job", "launch durably", "serve", "worker", "schedules"]
)
def test_a_closed_manager_takes_no_work(call: str, *, passed_open: bool) -> None:
    """It says so, also if its channels are still open: what it stored or began would be left."""
    with oc.open_channel("jobs") as jobs, oc.open_channel("locks") as locks:
        with oc.JobManager(*((jobs, locks) if passed_open else ())) as manager:
            job = manager.job("known")(work)
        calls: dict[str, Callable[[], object]] = {
            "launch": lambda: manager.launch("known"),
            "launch of the job": job.launch,
            "launch durably": lambda: manager.launch("known", durable=True),
            "serve": manager.serve,
            "worker": manager.start_worker,
            "schedules": manager.start_schedules,
        }
        with pytest.raises(ManagerClosed, match=r"cannot .* job manager .* is closed"):
            calls[call]()
