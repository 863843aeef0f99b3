"""The examples of the oJob Manager document, as they are printed there, run as JavaScript.

The files under document/ hold its blocks with the indentation put back. What the document leaves to
the reader (`loadData()` and its like) is defined in the first line of each body.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ojobchannels import JobManager
from ojobchannels.ojob import check_file

RunPath: TypeAlias = Callable[..., Any]

DOCUMENT = Path(__file__).with_name("document")
NAMES = sorted(path.name for path in DOCUMENT.glob("*.yaml"))
SAYING = (
    "loadData saveResults cleanupOldFiles cleanupExpiredSessions cleanupLogs processItem sendAlert "
    "saveToStaging loadToTarget extractFromDatabase loadFromStaging cleanupOldJobRecords "
    "checkForStuckJobs alertOnLongRunning processOrder doWork"
).split()
PLACEHOLDERS = " ".join(
    [
        *(
            f'function {name}(...a) {{ log(["{name}", ...a].join(" ")); return 1; }}'
            for name in SAYING
        ),
        "function processData(data) { return data + 1; }",
        "function transformData(data) { return data + 1; }",
        "function getOrders() { return [1, 2]; }",
        'function riskyOperation() { throw new Error("too risky"); }',
        "var someCondition = true, ITEMS = [7];",
        "var work = 2; function hasMoreWork() { return work-- > 0; }",
    ]
)


def prepared(folder: Path, name: str) -> Path:
    """Write an example with its placeholders defined."""
    text = (DOCUMENT / name).read_text()
    path = folder / name
    path.write_text(re.sub(r"exec: \|\n( +)", rf"exec: |\n\1{PLACEHOLDERS}\n\1", text))
    return path


def call(folder: Path, name: str, *jobs: str) -> Path:
    """Write a file that calls scheduled jobs of an example once."""
    prepared(folder, name)
    calls = "".join(f"    $job({job!r});\n" for job in jobs)
    path = folder / "call.yaml"
    path.write_text(
        f"jobsInclude: [./{name}]\nojob: {{daemon: false}}\n"
        f"jobs:\n- name: Call\n  exec: |\n{calls}todo: [Call]\n"
    )
    return path


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_checks_out(name: str) -> None:
    """Each block is taken verbatim, without any placeholder."""
    check_file(DOCUMENT / name, locations=False, lang="js")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_as_python_is_recognised_as_javascript(name: str, tmp_path: Path) -> None:
    """A body that is not Python is refused with the advice to run it as JavaScript."""
    with pytest.raises(ValueError, match="it looks like JavaScript: write `lang: js`"):
        check_file(prepared(tmp_path, name))


def test_getting_started(
    run_path: RunPath, tmp_path: Path, manager: JobManager, config: Any
) -> None:
    """The first example runs its body under the lock, and is recorded as completed."""
    path = tmp_path / "f.yaml"
    text = (DOCUMENT / "getting-started.yaml").read_text()
    path.write_text(text.replace("sleep(5000, true)", "sleep(5, true)"))
    result, reported = run_path(path, config)
    assert result.exit_status == 0
    assert reported == [
        "Managed Job: Job is running - protected by lock",
        "Managed Job: Job completed",
        "Managed Job completed",
    ]
    assert manager.runs()[0]["status"] == "completed"


def test_pattern_1(run_path: RunPath, tmp_path: Path, manager: JobManager, config: Any) -> None:
    """The managed job loads, processes and saves; without placeholders its error is recorded."""
    result, reported = run_path(prepared(tmp_path, "pattern-1.yaml"), config)
    assert result.exit_status == 0
    assert "Process Data: saveResults 2" in reported
    result, reported = run_path(DOCUMENT / "pattern-1.yaml", config)
    assert result.exit_status == 1
    failed, completed = manager.runs("daily-data-processor")
    assert "pattern-1.yaml:18: ReferenceError: loadData is not defined" in failed["error"]
    assert completed["status"] == "completed"


def test_pattern_2(run_path: RunPath, tmp_path: Path, manager: JobManager, config: Any) -> None:
    """The scheduled job cleans up under its lock."""
    path = call(tmp_path, "pattern-2.yaml", "Init Manager", "Hourly Cleanup")
    result, reported = run_path(path, config)
    assert result.exit_status == 0
    assert "Hourly Cleanup: cleanupExpiredSessions" in reported
    assert manager.runs("hourly-cleanup")[0]["status"] == "completed"


def test_pattern_3(
    run_path: RunPath,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Orders are processed with the lock and the records on Redis."""
    pytest.importorskip("ojobchannels_redis", reason="pip install ojobchannels-redis")
    url = request.getfixturevalue("ojob_redis").url
    monkeypatch.setenv("INSTANCE_ID", "one")
    result, reported = run_path(prepared(tmp_path, "pattern-3.yaml"), None, url=url)
    assert result.exit_status == 0
    assert reported[-5:] == [
        "Process Orders: Processing orders - instance: one",
        "Process Orders: processOrder 1",
        "Process Orders: processOrder 2",
        "Process Orders: Orders processed",
        "Process Orders completed",
    ]


def test_pattern_4(run_path: RunPath, tmp_path: Path, manager: JobManager, config: Any) -> None:
    """Each batch is launched, and has a lock and a record of its own."""
    result, reported = run_path(prepared(tmp_path, "pattern-4.yaml"), config)
    assert result.exit_status == 0
    names = [f"batch-00{n}" for n in (1, 2, 3)]
    assert {f"Process Batch: Batch completed: {name}" for name in names} <= set(reported)
    assert sorted(record["name"] for record in manager.runs()) == [f"batch-{one}" for one in names]


def test_pattern_5(run_path: RunPath, tmp_path: Path, manager: JobManager, config: Any) -> None:
    """The monitor logs each run; the cleanup removes only old records."""
    with manager.run("done"):
        pass
    old = manager.runs("done")[0].copy()
    hour = 3_600_000
    old = old | {"name": "old", "startTime": old["startTime"] - 30 * hour}
    old |= {"endTime": old["endTime"] - 29 * hour}
    manager.jobs.set({"name": "old", "startTime": old["startTime"]}, old)
    path = call(tmp_path, "pattern-5.yaml", "Init", "Monitor Jobs", "Cleanup Old Records")
    with manager.run("at-work"):
        result, reported = run_path(path, config)
    assert result.exit_status == 0
    assert "Monitor Jobs: Active Jobs: 3" in reported
    assert "Monitor Jobs: Job: old | Status: COMPLETED | Duration: 3600s" in reported
    assert any("Job: at-work | Status: RUNNING" in line for line in reported)
    names = {record["name"] for record in manager.jobs.get_all()}
    assert names == {"done", "at-work"}


def test_error_handling(
    run_path: RunPath, tmp_path: Path, manager: JobManager, config: Any
) -> None:
    """A thrown string is recorded; a body that ends its run itself records its own error."""
    result, reported = run_path(prepared(tmp_path, "errors.yaml"), config)
    assert result.exit_status == 1
    (safe,) = manager.runs("safe-job")
    assert safe["inError"]
    assert safe["error"].endswith("errors.yaml:13: Job failed due to condition")
    (custom,) = manager.runs("custom-error-job")
    assert (custom["inError"], custom["error"]) == (True, "Error: too risky")
    assert "Custom Error Job: error: Job failed: too risky" in reported
    assert "Custom Error Job: sendAlert Job failed: custom-error-job" in reported


def test_status_tracking(
    run_path: RunPath, tmp_path: Path, config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The status is logged before and after a run, and the history has the mean duration."""
    result, _ = run_path(prepared(tmp_path, "status.yaml"), config)
    assert result.exit_status == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Job not found or not running\nJob: my-job\nStarted: 20")
    assert "\nStatus: Success\n" in printed
    history = printed[printed.index("- name: my-job") :]
    assert re.fullmatch(
        r"- name: my-job\n  totalRuns: 1\n  successfulRuns: 1\n  failedRuns: 0\n"
        r"  avgDuration: \d+(\.\d+)?\n\n",
        history,
    )


def test_a_running_job_is_not_called(
    run_path: RunPath, tmp_path: Path, manager: JobManager, config: Any
) -> None:
    """The conditional job checks the records, and skips a job that is running."""
    path = call(tmp_path, "status.yaml", "oJobManager Init", "Conditional Job")
    with manager.run("my-job"):
        result, reported = run_path(path, config)
    assert result.exit_status == 0
    assert "Conditional Job: Job already running, skipping" in reported


def test_timeout_handling(run_path: RunPath, tmp_path: Path, config: Any) -> None:
    """The body sees its timeout in `args`, and works until nothing is left to do."""
    result, reported = run_path(prepared(tmp_path, "timeout.yaml"), config)
    assert result.exit_status == 0
    assert reported.count("Job with Timeout: doWork") == 2


def test_dependencies(run_path: RunPath, tmp_path: Path, manager: JobManager, config: Any) -> None:
    """Job B runs after Job A, though it comes first in the todo."""
    result, _ = run_path(prepared(tmp_path, "dependencies.yaml"), config)
    assert result.exit_status == 0
    assert [record["name"] for record in manager.runs()] == ["job-b", "job-a"]


def test_complete_example(run_path: RunPath, tmp_path: Path) -> None:
    """The batch runs in order, the monitor reports it, and the cleanup counts removed records."""
    path = call(tmp_path, "complete.yaml", "Init System", "Batch Coordinator")
    result, reported = run_path(path, None)
    assert result.exit_status == 0
    done = [line for line in reported if "completed" in line and "Data" in line]
    assert done[-1] == "Load Data completed"
    assert "Transform Data: saveToStaging 2 transformed" in reported
    path = call(tmp_path, "complete.yaml", "Init System", "Monitor Batch", "Cleanup Old Jobs")
    result, reported = run_path(path, None)
    assert result.exit_status == 0
    assert sum(": COMPLETED (0s)" in line for line in reported) == 3
    assert "Cleanup Old Jobs: Removed 0 old job records" in reported
    assert Path("data/jobs.db").exists()
    assert list(Path("logs").glob("*.log"))


def test_best_practices_and_troubleshooting(
    run_path: RunPath, tmp_path: Path, manager: JobManager, config: Any
) -> None:
    """The small blocks run, and a stuck lock is released by its name."""
    manager.locks.lock("stuck", ttl=60)
    jobs = ("oJobManager Init", "Force Unlock", "Cleanup", "Health Check")
    path = call(tmp_path, "practices.yaml", *jobs)
    result, reported = run_path(path, config, jobName="stuck")
    assert result.exit_status == 0
    for message in (
        "Cleanup: cleanupOldJobRecords",
        "Health Check: checkForStuckJobs",
        "Health Check: alertOnLongRunning",
        "Force Unlock: Unlocked: stuck",
    ):
        assert message in reported
    assert manager.locks.lock_info("stuck") is None
