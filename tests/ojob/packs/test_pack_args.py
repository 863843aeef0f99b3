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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("{job: A, delay: -1}", "`delay` is -1; pass milliseconds, 0 or more"),
        ("{job: A, priority: x}", "`priority` is 'x'; pass an integer, 0 or more"),
        ("{job: [A]}", "`job` is ['A']; pass a name"),
        ("{jbo: A}", "'oJob Queue Add' has no arg `jbo`; did you mean `job`?"),
        ("{job: A, chQueue: {type: dbb}}", "type 'dbb'; did you mean `db`?"),
    ],
)
@pytest.mark.parametrize("by", ["todo", "job", "code"])
def test_args_of_a_bundled_job_are_checked_with_the_file(
    tmp_path: Path, call: str, message: str, by: str
) -> None:
    """Those in the todo, of a job that it is a step of, and the names of those in code."""
    texts = {
        "todo": f"todo: [{{name: oJob Queue Add, args: {call}}}]",
        "job": f"jobs: [{{name: Add, from: oJob Queue Add, args: {call}}}]",
        "code": 'jobs: [{name: Add, exec: \'job("oJob Queue Add", {"jbo": 1})\'}]',
    }
    path = tmp_path / "f.yaml"
    path.write_text(f"include: oJobQueue.yaml\n{texts[by]}\n")
    with pytest.raises(oc.JobFileError) as raised:
        check_file(path)
    if by == "job":
        message = message.replace("'oJob Queue Add' has no arg", "no step of 'Add' reads the arg")
    if by == "code":
        message = "'oJob Queue Add' has no arg `jbo`; did you mean `job`?"
    assert message in str(raised.value)


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
