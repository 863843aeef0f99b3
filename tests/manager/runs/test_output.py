"""Promises about the output that is kept with a run."""

# ruff: noqa: T201  what is printed is what is tested

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.host.wakeup import Latch
from ojobchannels.manager.output import OutputLimits, RunOutput
from tests.manager.conftest import Log, Managers, Meddler

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future


def texts(manager: oc.JobManager, run_id: str) -> list[str]:
    """Return the lines that are kept of a run."""
    manager._writer.flush()
    output = manager.output(run_id)
    return [] if output is None else [line.text for _, line in output.numbered()]


def test_what_a_run_prints_and_logs_is_kept(manager: oc.JobManager) -> None:
    """On every backend, in its order, with where it went and when."""
    with manager.run("job") as run:
        print("to standard output")
        print("to standard error", file=sys.stderr)
        logging.getLogger("app").warning("logged by %s", "the app")
        run.log("by the run", "info")
    manager._writer.flush()
    output = manager.output(run.run_id)
    assert output is not None
    assert [(line.level, line.text) for line in output.first] == [
        ("out", "to standard output"),
        ("err", "to standard error"),
        ("warn", "logged by the app"),
        ("info", "by the run"),
    ]
    assert output.ended
    assert (output.run_id, output.name, output.total) == (run.run_id, "job", 4)
    start, end = run.record["startTime"], run.record["endTime"]
    assert all(start <= line.time <= end + 1000 for line in output.first)


def test_what_is_printed_still_reaches_the_streams(
    simple_manager: oc.JobManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """The streams and the factory of log records are those of before when no run is open."""
    streams, factory = (sys.stdout, sys.stderr), logging.getLogRecordFactory()
    with simple_manager.run("job"):
        print("seen")
        sys.stderr.writelines(["also ", "seen\n"])
    assert capsys.readouterr() == ("seen\n", "also seen\n")
    assert (sys.stdout, sys.stderr) == streams
    assert logging.getLogRecordFactory() == factory


def test_a_library_may_wrap_the_factory_of_log_records_during_a_run(
    simple_manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that begin afterwards capture each message once."""
    monkeypatch.setattr(logging, "_logRecordFactory", logging.getLogRecordFactory())
    with simple_manager.run("first"):
        wrapped = logging.getLogRecordFactory()
        logging.setLogRecordFactory(lambda *args, **named: wrapped(*args, **named))
        with simple_manager.run("inner") as inner:
            logging.getLogger("library").warning("in the first")
    with simple_manager.run("second") as second:
        logging.getLogger("library").warning("in the second")
    assert texts(simple_manager, inner.run_id) == ["in the first"]
    assert texts(simple_manager, second.run_id) == ["in the second"]


def test_runs_in_several_threads_keep_their_own_lines(
    simple_manager: oc.JobManager, in_background: Callable[..., Future[str]]
) -> None:
    """Also if they are open at the same time; what no run prints is kept by none."""
    inside, proceed = Latch(), Latch()

    def other() -> str:
        with simple_manager.run("other") as run:
            inside.set()
            proceed.wait(30)
            print("of the other")
            return run.run_id

    result = in_background(other)
    assert inside.wait(30)
    with simple_manager.run("mine") as run:
        print("mine")
        proceed.set()
        other_id = result.result(30)
    print("of no run")
    assert texts(simple_manager, run.run_id) == ["mine"]
    assert texts(simple_manager, other_id) == ["of the other"]


def test_a_log_record_is_kept_once(simple_manager: oc.JobManager) -> None:
    """Although a handler that was made within the run writes it to the captured stream."""
    logger = logging.getLogger("app.once")
    with simple_manager.run("job") as run:
        handler = logging.StreamHandler()
        logger.addHandler(handler)
        try:
            logger.error("once")
        finally:
            logger.removeHandler(handler)
    assert texts(simple_manager, run.run_id) == ["once"]


def test_a_logged_exception_is_kept_with_its_traceback(simple_manager: oc.JobManager) -> None:
    """As `logging` would write it."""
    with simple_manager.run("job") as run:
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("app").exception("it failed")
    kept = texts(simple_manager, run.run_id)
    assert kept[0] == "it failed"
    assert kept[-1] == "ValueError: broken"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (["no ", "line ", "end"], ["no line end"]),
        (["a\nb\n", "\n", "c"], ["a", "b", "", "c"]),
        (["10 %\r", "20 %\r", "done\n"], ["done"]),
        (["dos\r\n"], ["dos"]),
        (["not UTF-8: \udcff\n"], ["not UTF-8: \\udcff"]),
        (["x" * 9000 + "\n"], ["x" * 8192 + "…"]),
        (["x" * 5000, "x" * 5000], ["x" * 8192 + "…"]),
    ],
    ids=["pieces", "lines", "progress", "line ends", "bytes", "long", "long without end"],
)
def test_lines_are_put_together(
    simple_manager: oc.JobManager, written: list[str], kept: list[str]
) -> None:
    """From whatever pieces they were written in; very long ones are cut."""
    with simple_manager.run("job") as run:
        assert run.output is not None
        for text in written:
            run.output.write("out", text)
    assert texts(simple_manager, run.run_id) == kept


def test_the_first_and_the_last_part_are_kept(simple_managers: Managers) -> None:
    """Within the limits, with the number of the lines between them."""
    manager = simple_managers.open(output=OutputLimits(first=200, last=300))
    with manager.run("job") as run:
        for number in range(1, 1001):
            run.log(f"line {number}")
    manager._writer.flush()
    output = manager.output(run.run_id)
    assert output is not None
    assert [line.text for line in output.first] == [f"line {number}" for number in range(1, 6)]
    assert output.last[-1].text == "line 1000"
    assert sum(len(line.text) + 32 for line in output.last) <= 300
    assert output.dropped == 1000 - 5 - len(output.last) > 900
    numbers = [number for number, _ in output.numbered(after=3)]
    assert numbers == [4, 5, *range(1001 - len(output.last), 1001)]


def test_nothing_is_kept_with_limits_of_zero(simple_managers: Managers) -> None:
    """Then nothing is written either."""
    manager = simple_managers.open(output=OutputLimits(0, 0))
    with manager.run("job") as run:
        print("not kept")
        run.log("nor this")
    assert texts(manager, run.run_id) == []


def test_limits_that_no_document_can_have_are_refused() -> None:
    """The largest part fits into a document of every backend."""
    with pytest.raises(oc.InvalidOption, match=r"output\.last"):
        OutputLimits(last=1_000_001)
    with pytest.raises(oc.InvalidOption, match=r"output\.first"):
        OutputLimits(first=-1)


def test_secrets_are_masked(simple_manager: oc.JobManager) -> None:
    """The values of secret args, what looks like a secret, and private keys of several lines."""
    args = {"password": "pa55word", "pin": "98765"}
    with simple_manager.run("job", args=args, secret=["pin"]) as run:
        print("login with pa55word, pin 98765")
        print("see redis://user:hidden@example.org/0")
        print("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\nafter")
    assert texts(simple_manager, run.run_id) == [
        "login with ***, pin ***",
        "see redis://***@example.org/0",
        "***",
        "after",
    ]


def test_the_begin_of_a_key_does_not_hide_all_that_follows(simple_manager: oc.JobManager) -> None:
    """A key has at most a hundred lines."""
    with simple_manager.run("job") as run:
        print("-----BEGIN PRIVATE KEY-----")
        for number in range(200):
            print(number)
    assert texts(simple_manager, run.run_id) == ["***", *map(str, range(100, 200))]


def test_output_is_readable_while_the_run_is_active(managers: Managers) -> None:
    """From another manager, without an end or a call that stores it."""
    worker, reader = managers.open(), managers.open()
    stored = Latch()
    subscription = reader._channels.output.subscribe(lambda _: stored.set())
    with worker.run("job") as run:
        print("one")
        assert stored.wait(30)
        output = reader.output(run.run_id)
        assert output is not None
        assert [line.text for line in output.first] == ["one"]
        assert not output.ended
    subscription.close()


def test_many_lines_cause_few_writes(simple_managers: Managers) -> None:
    """The writer waits; with the end of the run, it writes once more."""
    manager = simple_managers.open()
    with manager.run("job") as run:
        for number in range(5000):
            run.log(str(number))
    assert len(texts(manager, run.run_id)) > 1000
    stored = manager._channels.output
    position = next(iter(stored.items(newest_first=True))).position
    assert position <= 20


def test_a_store_that_is_down_does_not_stop_the_job(
    simple_managers: Managers, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning says so; the run ends as if nothing was wrong, and so does the manager."""
    meddler = Meddler()
    down = oc.ChannelUnavailable("outputs", "it is down", "start it")
    meddler.failing["set"] = down
    manager = simple_managers.open()
    broken = simple_managers.storage.open("broken", extensions=(meddler,))
    monkeypatch.setitem(manager._channels._beside, "output", broken)
    for _ in range(3):
        with manager.run("job") as run:
            print("said")
    manager.close()
    assert run.record["status"] == "completed"
    warnings = [line for line in log.read() if line.startswith("WARNING")]
    assert len(warnings) == 2
    assert "cannot store the output of job 'job'" in warnings[0]
    assert "is not stored" in warnings[1]


def test_prune_removes_the_output_with_the_record(manager: oc.JobManager) -> None:
    """That of other runs stays."""
    with manager.run("old") as old:
        print("old")
    with manager.run("new") as new:
        print("new")
        manager._writer.flush()
        manager.prune(0)
        assert manager.output(old.run_id) is None
        assert texts(manager, new.run_id) == ["new"]


def test_prune_removes_outputs_without_a_record(simple_manager: oc.JobManager) -> None:
    """Such as that of a run whose record was removed in another way."""
    with simple_manager.run("job") as run:
        print("orphan")
    simple_manager._writer.flush()
    simple_manager.jobs.destroy()
    simple_manager.prune(0)
    assert simple_manager.output(run.run_id) is None


def test_a_damaged_output_is_ignored(simple_manager: oc.JobManager) -> None:
    """A query does not fail because of a document that another program has changed."""
    simple_manager._channels.output.set({"run": "x"}, {"runId": "x", "first": "none"})
    assert simple_manager.output("x") is None
    document = {"runId": "x", "name": "n", "first": [1], "last": [], "lines": 1, "ended": True}
    assert RunOutput.from_document(document) is None


def test_a_record_is_found_by_its_run(manager: oc.JobManager) -> None:
    """By the whole identifier or its beginning, whether the run is active, ended or skipped."""
    with manager.run("job") as run:
        with pytest.raises(oc.LockBusy):
            manager.start("job")
        active = manager.record(run.run_id)
        assert active is not None
        assert active.status == "running"
        skipped = manager.runs(status="skipped")[0]
        assert manager.record(skipped["runId"]) == skipped
    record = run.record
    assert manager.record(run.run_id) == record
    assert manager.record(run.run_id[:8]) == record
    assert manager.record(run.run_id[:3]) is None
    assert manager.record("f" * 32) is None
