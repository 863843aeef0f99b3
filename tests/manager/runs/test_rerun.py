"""Promises about runs that are run again."""

from __future__ import annotations

from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.errors import NoDaemon, WrongRun
from tests.manager.conftest import complete


def test_a_known_job_runs_again_with_the_args_of_the_past_run(
    simple_manager: oc.JobManager,
) -> None:
    """Changed ones replace them; the action has the past run, the author and the reason."""
    seen: list[tuple[int, str]] = []

    @simple_manager.job("report", if_running="wait")
    def report(day: int, **more: str) -> None:
        seen.append((day, more["format"]))

    report(3, format="html")
    past = simple_manager.runs("report")[0]["runId"]
    action = simple_manager.rerun(past, reason="lost", author="ann@desk")
    simple_manager.rerun(past[:8], {"day": 4})
    simple_manager._launcher.wait(30)
    assert sorted(seen) == [(3, "html"), (3, "html"), (4, "html")]
    assert (action.action, action.target, action.author) == ("rerun", "report", "ann@desk")
    assert (action.reason, action.details["of"]) == ("lost", past)


@pytest.mark.parametrize("secret", [{"password": "pa55word"}, {"to": ["redis://u:pw12@host/0"]}])
def test_masked_args_must_be_passed_again(
    simple_manager: oc.JobManager, secret: dict[str, Any]
) -> None:
    """Otherwise the job would run with asterisks; the error names them."""
    seen: list[Any] = []

    @simple_manager.job("login")
    def login(**args: Any) -> None:
        seen.append(args)

    login(**secret)
    past = simple_manager.runs("login")[0]
    assert "***" in str(past["args"])
    with pytest.raises(WrongRun, match="secrets in 'args'"):
        simple_manager.rerun(past["runId"])
    assert len(seen) == 1


def test_a_job_that_no_daemon_has_is_not_run(simple_manager: oc.JobManager) -> None:
    """Nor one whose run is active, or unknown; nothing is recorded."""
    past = complete(simple_manager, "job")
    with pytest.raises(NoDaemon, match="'job'"):
        simple_manager.rerun(past)
    with simple_manager.run("job") as run, pytest.raises(WrongRun, match="it is active"):
        simple_manager.rerun(run.run_id)
    with pytest.raises(WrongRun, match="not recorded"):
        simple_manager.rerun("f" * 32)
    assert simple_manager.actions() == []
