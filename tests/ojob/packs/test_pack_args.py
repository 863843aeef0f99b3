"""Wrong args of bundled jobs, and jobs that are not bundled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.ojob import check_file
from ojobchannels.ojob.load.includes import NOT_BUNDLED

if TYPE_CHECKING:
    from tests.ojob.conftest import Run


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("{name: oJob Queue Add}", "`job` is missing: pass a name"),
        ("{name: oJob Queue Add, args: {job: A, delay: -1}}", "`delay` is -1: pass milliseconds"),
        ("{name: oJob Queue Manager, args: {queueAttempts: 0}}", "`queueAttempts` is 0: pass an i"),
        ("{name: oJob Queue Manager, args: {queueDelete: x}}", "`queueDelete` is 'x': pass `true`"),
        ("{name: oJob Queue Rules, args: {rules: 1}}", "`rules` is 1: pass a list of maps"),
        ("{name: oJob Queue Rules, args: {rules: [{rule: 1/0}]}}", "rule '1/0' failed: ZeroDiv"),
        ("{name: oJob Director check, args: {jobName: a}}", "`jobUUID` is missing: pass a name"),
        (
            "{name: oJob Director checkout, args: {jobName: a, jobUUID: b}}",
            "'a' 'b' was not started here; put `oJob Director checkin` under `from`",
        ),
    ],
)
def test_invalid_args_are_reported_with_what_to_pass(run: Run, call: str, message: str) -> None:
    """In one line."""
    result, _ = run(f"jobs: []\ntodo:\n- {call}\n")
    assert result.exit_status == 1
    assert message.replace(": ", "; ") in str(result.outcomes[0].error).replace(": ", "; ")


@pytest.mark.parametrize("name", NOT_BUNDLED)
def test_a_job_that_is_not_bundled_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """The message says what to do instead."""
    path = tmp_path / "f.yaml"
    path.write_text(f"include: oJobBasics.yaml\njobs: []\ntodo: [{name}]\n")
    with pytest.raises(oc.JobFileError) as raised:
        check_file(path)
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.message == f"the job {name!r} is not supported"
    assert diagnostic.hint
    assert diagnostic.line == 3
